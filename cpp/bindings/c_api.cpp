#include "c_api.h"

namespace s3accel::bindings {

bool unpack(const char* function, const char* const* words, std::size_t n, std::size_t required,
            PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames, PyObject** out) {
  if (nargs > static_cast<Py_ssize_t>(n)) {
    PyErr_Format(PyExc_TypeError, "%s() takes at most %zu arguments", function, n);
    return false;
  }
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<Py_ssize_t>(i) < nargs ? args[i] : nullptr;
  const Py_ssize_t keywords = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
  for (Py_ssize_t k = 0; k < keywords; ++k) {
    PyObject* word = PyTuple_GET_ITEM(kwnames, k);
    std::size_t at = n;
    for (std::size_t i = 0; i < n; ++i) {
      if (PyUnicode_CompareWithASCIIString(word, words[i]) == 0) at = i;
    }
    if (at == n || out[at] != nullptr) {
      PyErr_Format(PyExc_TypeError, "%s() got an unexpected or repeated argument %R", function, word);
      return false;
    }
    out[at] = args[nargs + k];
  }
  for (std::size_t i = 0; i < required; ++i) {
    if (out[i] == nullptr) {
      PyErr_Format(PyExc_TypeError, "%s() needs the argument %s", function, words[i]);
      return false;
    }
  }
  return true;
}

}  // namespace s3accel::bindings
