// Headers as Python gives them -> views.
#pragma once

#include <pybind11/critical_section.h>
#include <pybind11/pybind11.h>

#include <string>
#include <string_view>

#include "buffers.h"
#include "s3accel/canonical.h"
#include "s3accel/small_vector.h"

namespace s3accel::bindings {

// Reads None, a dict, another mapping, or an iterable of (name, value) pairs. It keeps every name and value
// whose bytes it views, so the views live as long as this object, whatever becomes of the list: other
// threads, and Python code that runs while the list is read, may change it.
class HeaderList {
 public:
  HeaderList() = default;
  HeaderList(const HeaderList&) = delete;
  HeaderList& operator=(const HeaderList&) = delete;
  ~HeaderList() {
    for (PyObject* object : held_) Py_DECREF(object);
  }

  // `ascii_only` refuses a str with other characters: HTTP libraries send those in different encodings, so
  // nobody knows which bytes were signed. bytes are taken as they are. False: latin-1, as servers decode.
  // With `keep_pairs` pairs() gives what was read.
  bool read(PyObject* object, bool ascii_only, bool keep_pairs = false) {
    if (object == nullptr || object == Py_None) return true;
    if (PyDict_CheckExact(object) && !keep_pairs) {
      // No Python code runs between two steps of this walk: add() reads str and bytes and calls nothing of
      // theirs. Without a GIL no other thread may come between a step and add()'s hold of what it gave.
      const py::scoped_critical_section section(object);
      PyObject *name, *value;
      Py_ssize_t at = 0;
      while (PyDict_Next(object, &at, &name, &value)) {
        if (!add(name, value, ascii_only)) return false;
      }
      return true;
    }
    py::object pairs = py::reinterpret_borrow<py::object>(object);
    // Lists and tuples pass for mappings, and asking them for `items` would cost an exception.
    if (!PyList_Check(object) && !PyTuple_Check(object) && PyMapping_Check(object) &&
        PyObject_HasAttrString(object, "items")) {
      pairs = py::reinterpret_steal<py::object>(PyMapping_Items(object));
      if (!pairs) return false;
    }
    keep_ = py::reinterpret_steal<py::object>(
        PySequence_Fast(pairs.ptr(), "headers must be a mapping or an iterable of (name, value) pairs"));
    if (!keep_) return false;
    if ((keep_pairs || keep_.is(pairs)) && PyList_Check(keep_.ptr())) {
      // The caller's own list: a pair that is no tuple runs Python code below, which may shrink it.
      keep_ = py::reinterpret_steal<py::object>(PyList_AsTuple(keep_.ptr()));
      if (!keep_) return false;
    }
    const Py_ssize_t n = PySequence_Fast_GET_SIZE(keep_.ptr());
    py::object changed;  // a list, if the tuple is not what pairs() promises
    for (Py_ssize_t i = 0; i < n; ++i) {
      PyObject* pair = PySequence_Fast_GET_ITEM(keep_.ptr(), i);
      if (PyTuple_Check(pair) && PyTuple_GET_SIZE(pair) == 2) {
        PyObject *name = PyTuple_GET_ITEM(pair, 0), *value = PyTuple_GET_ITEM(pair, 1);
        if (!add(name, value, ascii_only)) return false;
        if (keep_pairs &&
            !(PyTuple_CheckExact(pair) && PyUnicode_CheckExact(name) && PyUnicode_CheckExact(value)) &&
            !replace(changed, i, name, value)) {
          return false;
        }
      } else {
        py::object fast =
            py::reinterpret_steal<py::object>(PySequence_Fast(pair, "a header must be a (name, value) pair"));
        if (!fast) return false;
        if (PyList_Check(fast.ptr())) {
          fast = py::reinterpret_steal<py::object>(PyList_AsTuple(fast.ptr()));
          if (!fast) return false;
        }
        if (PyTuple_GET_SIZE(fast.ptr()) != 2) {
          PyErr_SetString(PyExc_ValueError, "a header must be a (name, value) pair");
          return false;
        }
        PyObject* name = PyTuple_GET_ITEM(fast.ptr(), 0);
        PyObject* value = PyTuple_GET_ITEM(fast.ptr(), 1);
        if (!add(name, value, ascii_only)) return false;
        if (keep_pairs && !replace(changed, i, name, value)) return false;
      }
    }
    if (changed) keep_ = py::reinterpret_steal<py::object>(PyList_AsTuple(changed.ptr()));
    return static_cast<bool>(keep_);
  }

  // A tuple of (str, str) tuples, bytes decoded as latin-1; only after read() with `keep_pairs`.
  py::object pairs() const { return keep_ ? keep_ : py::tuple(); }

  std::span<const HeaderView> views() const noexcept { return {views_.begin(), views_.size()}; }

 private:
  // Puts (name, value) as two plain str in the place of a pair.
  bool replace(py::object& changed, Py_ssize_t i, PyObject* name, PyObject* value) {
    if (!changed) changed = py::reinterpret_steal<py::object>(PySequence_List(keep_.ptr()));
    const py::object texts[] = {plain(name), plain(value)};
    PyObject* pair =
        changed && texts[0] && texts[1] ? PyTuple_Pack(2, texts[0].ptr(), texts[1].ptr()) : nullptr;
    return pair != nullptr && PyList_SetItem(changed.ptr(), i, pair) == 0;
  }

  static py::object plain(PyObject* text) {
    return py::reinterpret_steal<py::object>(
        PyBytes_Check(text) ? PyUnicode_DecodeLatin1(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), nullptr)
                            : PyUnicode_FromObject(text));
  }

  bool add(PyObject* name, PyObject* value, bool ascii_only) {
    hold(name);
    hold(value);
    HeaderView view;
    if (!text_of(name, view.name)) return false;
    if (PyUnicode_Check(value) && !PyUnicode_IS_ASCII(value)) {
      if (ascii_only) {
        const py::object type = py::module_::import("s3accel.errors").attr("SigningError");
        const std::string shown = py::str(py::handle(name));
        const py::object error = type(
            "cannot sign: header " + shown +
                ": the value holds characters beyond ASCII; give it as bytes, exactly as it will be sent",
            "header " + shown);
        PyErr_SetObject(type.ptr(), error.ptr());
        return false;
      }
      PyObject* latin1 = PyUnicode_AsLatin1String(value);
      if (latin1 == nullptr) return false;
      hold(latin1);
      Py_DECREF(latin1);
      view.value = {PyBytes_AS_STRING(latin1), static_cast<std::size_t>(PyBytes_GET_SIZE(latin1))};
    } else if (PyUnicode_Check(value) || PyBytes_Check(value)) {
      if (!text_of(value, view.value)) return false;
    } else {
      PyErr_Format(PyExc_TypeError, "header %.100S: the value must be str or bytes, not %.100s", name,
                   Py_TYPE(value)->tp_name);
      return false;
    }
    views_.push_back(view);
    return true;
  }

  void hold(PyObject* object) {
    held_.push_back(object);
    Py_INCREF(object);
  }

  SmallVector<HeaderView, 16> views_;
  SmallVector<PyObject*, 32> held_;
  py::object keep_;
};

}  // namespace s3accel::bindings
