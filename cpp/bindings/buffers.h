// Python objects <-> spans and texts. Nothing is copied; the views live as long as the Python objects.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>
#include <string_view>

#include "s3accel/bytes.h"

namespace s3accel::bindings {

namespace py = pybind11;

// Below this many bytes the work takes less than ten times what releasing and taking back the GIL costs
// (26-39 ns on the machine measured, 4 KiB of SHA-256 about 2,300 ns).
inline constexpr std::size_t kReleaseGilBytes = 4096;

// A contiguous read-only view of a bytes-like object. Throws BufferError/TypeError as Python does.
class BufferView {
 public:
  explicit BufferView(py::handle object) {
    if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) throw py::error_already_set();
  }
  BufferView(const BufferView&) = delete;
  BufferView& operator=(const BufferView&) = delete;
  ~BufferView() { PyBuffer_Release(&view_); }

  Bytes bytes() const noexcept {
    return {static_cast<const std::uint8_t*>(view_.buf), static_cast<std::size_t>(view_.len)};
  }
  std::string_view text() const noexcept { return as_text(bytes()); }

 private:
  Py_buffer view_;
};

// The UTF-8 text of a str (cached inside the object), or the bytes of a bytes object.
inline bool text_of(PyObject* object, std::string_view& out) noexcept {
  if (PyUnicode_Check(object)) {
    Py_ssize_t n = 0;
    const char* p = PyUnicode_AsUTF8AndSize(object, &n);
    if (p == nullptr) return false;
    out = {p, static_cast<std::size_t>(n)};
    return true;
  }
  if (PyBytes_Check(object)) {
    out = {PyBytes_AS_STRING(object), static_cast<std::size_t>(PyBytes_GET_SIZE(object))};
    return true;
  }
  PyErr_Format(PyExc_TypeError, "expected str or bytes, got %.100s", Py_TYPE(object)->tp_name);
  return false;
}

inline std::string_view text_of(py::handle object) {
  std::string_view out;
  if (!text_of(object.ptr(), out)) throw py::error_already_set();
  return out;
}

inline py::bytes to_bytes(Bytes bytes) {
  return py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}
inline py::bytes to_bytes(std::string_view text) {
  return py::bytes(text.data(), text.size());
}

// Text that came from the outside and may hold any byte: each one becomes the character of that number.
inline py::str to_latin1(std::string_view text) {
  PyObject* s = PyUnicode_DecodeLatin1(text.data(), static_cast<Py_ssize_t>(text.size()), nullptr);
  if (s == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(s);
}

// True for seconds that a timestamp can stand for: the years 1 to 9999. False for NaN.
inline bool representable(double epoch) noexcept {
  return epoch >= -62135596800.0 && epoch < 253402300800.0;
}

// Runs `f` without the GIL if there is enough work.
template <class F>
auto without_gil(std::size_t bytes, F&& f) {
  std::optional<py::gil_scoped_release> release;
  if (bytes >= kReleaseGilBytes) release.emplace();
  return f();
}

}  // namespace s3accel::bindings
