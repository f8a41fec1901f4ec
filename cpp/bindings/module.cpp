// The module only calls one register function a noun.
#include <pybind11/pybind11.h>

#include <cstring>
#include <string>

#include "bindings.h"
#include "s3accel/cpu.h"

namespace {

namespace py = pybind11;

// pybind11 gives an object that was made by __new__ alone memory that nobody initialised, and ends the
// process when one is copied or pickled by protocol 0. So the classes of this module are made by calling them
// and no other way.
thread_local bool called = false;

newfunc pybind11_new = nullptr;

PyObject* new_when_called(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  if (!called) {
    PyErr_Format(PyExc_TypeError, "%.100s is made by calling it, not by __new__", type->tp_name);
    return nullptr;
  }
  called = false;
  return pybind11_new(type, args, kwargs);
}

PyObject* call_class(PyObject* type, PyObject* args, PyObject* kwargs) {
  called = true;
  PyObject* made = Py_TYPE(type)->tp_base->tp_call(type, args, kwargs);
  called = false;
  return made;
}

PyType_Slot meta_slots[] = {{Py_tp_call, reinterpret_cast<void*>(&call_class)}, {0, nullptr}};
PyType_Spec meta_spec = {"s3accel._core.NativeClass", 0, 0, Py_TPFLAGS_DEFAULT, meta_slots};

void close_classes(py::module_& m) {
  PyObject* base = nullptr;
  PyObject* meta = nullptr;
  for (auto item : m.attr("__dict__").cast<py::dict>()) {
    PyObject* object = item.second.ptr();
    if (!PyType_Check(object) || std::strcmp(Py_TYPE(object)->tp_name, "pybind11_type") != 0) continue;
    if (meta == nullptr) {
      base = reinterpret_cast<PyObject*>(Py_TYPE(object));
      meta = PyType_FromSpecWithBases(&meta_spec, base);
      if (meta == nullptr) throw py::error_already_set();
    }
    auto* type = reinterpret_cast<PyTypeObject*>(object);
    pybind11_new = type->tp_new;
    type->tp_new = &new_when_called;
    Py_INCREF(meta);
    Py_SET_TYPE(object, reinterpret_cast<PyTypeObject*>(meta));
    PyType_Modified(type);
    if (!py::reinterpret_borrow<py::dict>(type->tp_dict).contains("__reduce_ex__")) {
      const std::string name = type->tp_name;
      py::setattr(
          object, "__reduce_ex__",
          py::cpp_function(
              [name](py::handle, int) -> py::object { throw py::type_error(name + " is not pickled"); },
              py::is_method(object)));
    }
  }
}

}  // namespace

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  m.doc() = "The compiled core of s3accel. Private: use the modules of the package.";
  // A kernel that was asked for by name and cannot run must not be replaced in silence.
  if (const char* error = s3accel::kernel_selection_error()) throw pybind11::import_error(error);
  m.attr("__version__") = S3ACCEL_VERSION;
  s3accel::bindings::bind_hash(m);
  s3accel::bindings::bind_sigv4(m);
  s3accel::bindings::bind_signer(m);
  s3accel::bindings::bind_chunked(m);
  s3accel::bindings::bind_decoder(m);
  s3accel::bindings::bind_verifier(m);
  s3accel::bindings::bind_verify(m);
  s3accel::bindings::bind_botocore(m);
  close_classes(m);
}
