// A request as a server received it, as Python gives it -> views.
#pragma once

#include <pybind11/pybind11.h>

#include <vector>

#include "buffers.h"
#include "headers.h"
#include "s3accel/verify.h"

namespace s3accel::bindings {

// A received request as views. Servers decode the request line as latin-1: a str beyond ASCII is encoded back
// to the bytes that came in.
class Received {
 public:
  Received(py::handle method, py::handle target, py::handle headers, py::handle body_hash) {
    if (!list_.read(headers.ptr(), false, true)) throw py::error_already_set();
    request_.method = raw(method);
    request_.target = raw(target);
    request_.headers = list_.views();
    if (!body_hash.is_none()) request_.body_hash = text_of(body_hash);
  }
  const ReceivedRequest& view() const noexcept { return request_; }
  // What was read, as a tuple of (str, str): whatever looks at headers later must look at these.
  py::object headers() const { return list_.pairs(); }

 private:
  std::string_view raw(py::handle text) {
    if (!PyUnicode_Check(text.ptr()) || PyUnicode_IS_ASCII(text.ptr())) return text_of(text);
    PyObject* latin1 = PyUnicode_AsLatin1String(text.ptr());
    if (latin1 == nullptr) throw py::error_already_set();
    kept_.push_back(py::reinterpret_steal<py::object>(latin1));
    return text_of(kept_.back());
  }

  HeaderList list_;
  std::vector<py::object> kept_;
  ReceivedRequest request_;
};

inline std::int64_t seconds(double value) {
  // An unlimited skew is a natural thing to ask for; a century is as good and cannot overflow.
  constexpr double kLimit = 4e11;
  return static_cast<std::int64_t>(value > kLimit ? kLimit : value >= 0 ? value : 0);
}

}  // namespace s3accel::bindings
