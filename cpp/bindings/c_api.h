// The small tools of functions and types that are written against the C API.
#pragma once

#include <pybind11/pybind11.h>

#include <cstring>
#include <exception>
#include <new>
#include <string_view>

namespace s3accel::bindings {

namespace py = pybind11;

// Positional arguments that may be given as keywords too, of which the first `required` must be there; the
// others are nullptr if they are not. False with an exception set.
bool unpack(const char* function, const char* const* words, std::size_t n, std::size_t required,
            PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames, PyObject** out);

// A C++ exception (out of memory, or a Python error in flight) must not leave a C function.
template <class F>
PyObject* guarded(F&& f) {
  try {
    return f();
  } catch (py::error_already_set& e) {
    e.restore();
  } catch (const py::builtin_exception& e) {
    e.set_error();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  }
  return nullptr;
}

// A new str of a text that is ASCII by construction: no decoding. nullptr with an exception set.
inline PyObject* ascii_object(std::string_view text) {
  PyObject* object = PyUnicode_New(static_cast<Py_ssize_t>(text.size()), 127);
  if (object != nullptr) std::memcpy(PyUnicode_1BYTE_DATA(object), text.data(), text.size());
  return object;
}

// Sets an item and takes `value`, which may be nullptr with an exception set. False with an exception set.
inline bool set_item(PyObject* dict, PyObject* name, PyObject* value) {
  if (value == nullptr) return false;
  const int r = PyDict_SetItem(dict, name, value);
  Py_DECREF(value);
  return r == 0;
}

// A METH_FASTCALL function as the type that PyMethodDef asks for.
template <class F>
PyCFunction as_function(F f) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(f));
}

}  // namespace s3accel::bindings
