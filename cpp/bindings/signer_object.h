// What the files of SignerBase share: its state, and the small tools of the C API functions.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <string>
#include <string_view>

#include "buffers.h"
#include "c_api.h"
#include "locks.h"
#include "s3accel/presign.h"
#include "s3accel/sigv4.h"

namespace s3accel::bindings {

// What requests are signed with until the key changes. Never changed once made: a request keeps the state it
// began with.
struct State {
  std::shared_ptr<SigningKey> key;
  std::string access_key_id;
  py::object token;  // str or None
  std::string_view token_text;
  py::object token_header;  // str
  std::string_view token_header_text;
  double valid_from = 0;   // epoch seconds: the key's day
  double valid_until = 0;  // the end of that day, or earlier when credentials must be refreshed
  Selection selection = Selection::recommended;
  bool add_content_sha256 = true;
  bool sign_token = true;  // presigned: the token inside the signature
};

// The same for one second, with what every request of that second gets.
struct Second {
  Second(std::shared_ptr<const State> of, std::int64_t epoch);

  std::shared_ptr<const State> state;
  std::int64_t epoch;
  TimedKey key;
  py::dict headers;  // to be copied: all headers to add but the payload hash and Authorization
};

struct SignerObject {
  PyObject_HEAD FieldLock lock;  // of the others; all zero, as tp_alloc gives it, it is open
  std::shared_ptr<const State>* state;
  std::shared_ptr<const Second>* second;
  PyObject* clock;  // callable giving epoch seconds, or nullptr for the system's
};

// Interned once, by init_signer_object.
struct SignerNames {
  PyObject *authorization, *date, *sha256, *renew, *empty_hash;
};
inline SignerNames signer_names;

// What a request that begins now is signed with; Python's _renew(now) is asked for a key if need be.
// nullptr with an exception set.
std::shared_ptr<const Second> second_of(SignerObject* self);

// signer_object.cpp: the names above and the functions of the clock, then the slots and methods of the type
// that are about its state.
void init_signer_object(py::module_& m);
PyObject* signer_new(PyTypeObject* type, PyObject*, PyObject*);
void signer_dealloc(PyObject* self);
int signer_traverse(PyObject* self, visitproc visit, void* arg);
int signer_clear(PyObject* self);
PyObject* signer_install(PyObject* self, PyObject* const* args, Py_ssize_t nargs);
PyObject* signer_set_clock(PyObject* self, PyObject* clock);
PyObject* signer_now(PyObject* self, PyObject*);
PyObject* signer_signing_key(PyObject* self, PyObject*);
PyObject* signer_forget(PyObject* self, PyObject*);

// bind_presign.cpp
PyObject* signer_presign(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames);
PyObject* signer_presign_many(PyObject* self, PyObject* const* args, Py_ssize_t nargs);

}  // namespace s3accel::bindings
