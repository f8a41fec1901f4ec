// What keeps an object whole when threads share it, with the GIL and without.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>
#include <mutex>
#include <optional>
#include <stdexcept>

#include "buffers.h"

namespace s3accel::bindings {

// Held for a few instructions on an object's fields that call nothing of Python's and end nothing that could.
// Where there is a GIL nobody comes between such instructions, and it is nothing.
class FieldLock {
 public:
#ifdef Py_GIL_DISABLED
  void lock() noexcept { PyMutex_Lock(&mutex_); }
  void unlock() noexcept { PyMutex_Unlock(&mutex_); }

 private:
  PyMutex mutex_{};
#else
  void lock() noexcept {}
  void unlock() noexcept {}
#endif
};
using FieldGuard = std::lock_guard<FieldLock>;

// Runs `f` as the only one with `mutex`; without the GIL if there is enough work. Nobody waits for the mutex
// with the GIL in hand, so whoever has it may take the GIL for a while.
template <class Mutex, class F>
auto alone(Mutex& mutex, std::size_t bytes, F&& f) {
  std::optional<py::gil_scoped_release> release;
  std::unique_lock<Mutex> lock(mutex, std::defer_lock);
  if (bytes >= kReleaseGilBytes || !lock.try_lock()) {
    release.emplace();
    lock.lock();
  }
  return f();
}

// Of an object that goes step by step. A step is Exclusive, and what it does to the fields that others may
// look at it does in alone(); a look is in alone() too, and waits. A function of the caller's that a step
// calls may look as well.
struct Turn {
  std::atomic<bool> busy{false};
  mutable std::recursive_mutex mutex;
};

// Refuses the step of a second thread.
class Exclusive {
 public:
  explicit Exclusive(Turn& turn) : busy_(turn.busy) {
    if (busy_.exchange(true)) throw std::runtime_error("this object is in use by another thread");
  }
  Exclusive(const Exclusive&) = delete;
  Exclusive& operator=(const Exclusive&) = delete;
  ~Exclusive() { busy_.store(false); }

 private:
  std::atomic<bool>& busy_;
};

}  // namespace s3accel::bindings
