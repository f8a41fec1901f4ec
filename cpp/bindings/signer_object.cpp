// The life of a signer: its key and what is made of it for a second, its clock, and its type's slots.
#include "signer_object.h"

#include <pybind11/pybind11.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <memory>
#include <new>
#include <string>

#include "bindings.h"

namespace s3accel::bindings {

namespace {

// Learned from servers, shared by every signer of the process that has no clock of its own. Nanoseconds.
std::atomic<std::int64_t> clock_offset{0};

double now_of(SignerObject* self, bool& failed) {
  failed = false;
  PyObject* clock = nullptr;
  {
    // It may be replaced while it runs.
    const FieldGuard guard(self->lock);
    clock = Py_XNewRef(self->clock);
  }
  if (clock == nullptr) {
    const auto t = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<double>(std::chrono::duration_cast<std::chrono::nanoseconds>(t).count() +
                               clock_offset.load(std::memory_order_relaxed)) *
           1e-9;
  }
  PyObject* value = PyObject_CallNoArgs(clock);
  Py_DECREF(clock);
  if (value == nullptr) {
    failed = true;
    return 0;
  }
  const double now = PyFloat_AsDouble(value);
  Py_DECREF(value);
  failed = now == -1 && PyErr_Occurred() != nullptr;
  if (!failed && !representable(now)) {
    PyErr_SetString(PyExc_ValueError, "the clock gave a time outside the years 1 to 9999");
    failed = true;
  }
  return now;
}

bool good(const std::shared_ptr<const State>& state, double now) {
  return state && now >= state->valid_from && now < state->valid_until;
}

std::shared_ptr<const State> state_of(SignerObject* self) {
  const FieldGuard guard(self->lock);
  return *self->state;
}

// The state for `now`, renewed by Python's _renew(now) if need be. nullptr with an exception set.
std::shared_ptr<const State> state_for(SignerObject* self, double now) {
  // Another thread may forget the key that was just given, or renew it for its own moment, on the other side
  // of midnight; one that does so for ever is not waited for.
  constexpr int kTries = 100;
  auto state = state_of(self);
  for (int i = 0; i < kTries && !good(state, now); ++i) {
    PyObject* seconds = PyFloat_FromDouble(now);
    if (seconds == nullptr) return nullptr;
    PyObject* r = PyObject_CallMethodOneArg(reinterpret_cast<PyObject*>(self), signer_names.renew, seconds);
    Py_DECREF(seconds);
    if (r == nullptr) return nullptr;
    Py_DECREF(r);
    state = state_of(self);
  }
  if (good(state, now)) return state;
  PyErr_SetString(PyExc_RuntimeError, "the signer was not given a key that is good for this moment");
  return nullptr;
}

// What was there ends behind the lock: its end may run Python code that comes back here.
void replace_state(SignerObject* self, std::shared_ptr<const State> state) {
  std::shared_ptr<const Second> second;
  const FieldGuard guard(self->lock);
  self->state->swap(state);
  self->second->swap(second);
}

}  // namespace

Second::Second(std::shared_ptr<const State> of, std::int64_t seconds)
    : state(std::move(of)), epoch(seconds), key(*state->key, Timestamp::from_epoch(seconds)) {
  // The order in which they will stand in every copy; the values of two are set there.
  PyObject* d = headers.ptr();
  if (!set_item(d, signer_names.authorization, Py_NewRef(Py_None)) ||
      !set_item(d, signer_names.date, ascii_object(key.now().text())) ||
      (state->add_content_sha256 && !set_item(d, signer_names.sha256, Py_NewRef(signer_names.empty_hash))) ||
      (!state->token.is_none() && !set_item(d, state->token_header.ptr(), Py_NewRef(state->token.ptr())))) {
    throw py::error_already_set();
  }
}

std::shared_ptr<const Second> second_of(SignerObject* self) {
  bool failed = false;
  const double now = now_of(self, failed);
  if (failed) return nullptr;
  const auto epoch = static_cast<std::int64_t>(std::floor(now));
  {
    const FieldGuard guard(self->lock);
    const std::shared_ptr<const Second>& last = *self->second;
    if (last && last->epoch == epoch && last->state == *self->state && good(last->state, now)) return last;
  }
  auto state = state_for(self, now);
  if (!state) return nullptr;
  auto made = std::make_shared<const Second>(std::move(state), epoch);
  // The last one ends behind the lock: its end may run Python code that comes back here.
  std::shared_ptr<const Second> last = made;
  const FieldGuard guard(self->lock);
  self->second->swap(last);
  return made;
}

// _install(key, access_key_id, token, token_header, valid_from, valid_until, sign_all, add_content_sha256,
//          sign_token)
PyObject* signer_install(PyObject* self, PyObject* const* args, Py_ssize_t nargs) {
  return guarded([&]() -> PyObject* {
    if (nargs != 9) {
      PyErr_SetString(PyExc_TypeError, "_install() takes nine arguments");
      return nullptr;
    }
    auto state = std::make_shared<State>();
    state->key = py::handle(args[0]).cast<std::shared_ptr<SigningKey>>();
    state->access_key_id = text_of(py::handle(args[1]));
    state->token = py::reinterpret_borrow<py::object>(args[2]);
    if (!state->token.is_none()) state->token_text = text_of(state->token);
    state->token_header = py::reinterpret_borrow<py::object>(args[3]);
    state->token_header_text = text_of(state->token_header);
    state->valid_from = PyFloat_AsDouble(args[4]);
    state->valid_until = PyFloat_AsDouble(args[5]);
    if (PyErr_Occurred() != nullptr) return nullptr;
    int flags[3];
    for (int i = 0; i < 3; ++i) {
      // Truth may be undecidable: numpy's arrays raise.
      flags[i] = PyObject_IsTrue(args[6 + i]);
      if (flags[i] < 0) return nullptr;
    }
    state->selection = flags[0] != 0 ? Selection::all : Selection::recommended;
    state->add_content_sha256 = flags[1] != 0;
    state->sign_token = flags[2] != 0;
    replace_state(reinterpret_cast<SignerObject*>(self), std::move(state));
    return Py_NewRef(Py_None);
  });
}

PyObject* signer_set_clock(PyObject* self, PyObject* clock) {
  auto* object = reinterpret_cast<SignerObject*>(self);
  PyObject* old = clock == Py_None ? nullptr : Py_NewRef(clock);
  {
    const FieldGuard guard(object->lock);
    std::swap(object->clock, old);
  }
  Py_XDECREF(old);
  return Py_NewRef(Py_None);
}

PyObject* signer_now(PyObject* self, PyObject*) {
  bool failed = false;
  const double now = now_of(reinterpret_cast<SignerObject*>(self), failed);
  return failed ? nullptr : PyFloat_FromDouble(now);
}

// The key that signs now, for export() to a host that shall not hold the secret.
PyObject* signer_signing_key(PyObject* self, PyObject*) {
  return guarded([&]() -> PyObject* {
    auto* object = reinterpret_cast<SignerObject*>(self);
    bool failed = false;
    const double now = now_of(object, failed);
    if (failed) return nullptr;
    const auto state = state_for(object, now);
    return state ? py::cast(state->key).release().ptr() : nullptr;
  });
}

PyObject* signer_forget(PyObject* self, PyObject*) {
  replace_state(reinterpret_cast<SignerObject*>(self), nullptr);
  return Py_NewRef(Py_None);
}

PyObject* signer_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  auto* object = reinterpret_cast<SignerObject*>(self);
  object->clock = nullptr;
  object->state = new (std::nothrow) std::shared_ptr<const State>();
  object->second = new (std::nothrow) std::shared_ptr<const Second>();
  if (object->state == nullptr || object->second == nullptr) {
    Py_DECREF(self);
    return PyErr_NoMemory();
  }
  return self;
}

void signer_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  auto* object = reinterpret_cast<SignerObject*>(self);
  delete object->second;
  delete object->state;
  Py_XDECREF(object->clock);
  type->tp_free(self);
  Py_DECREF(type);
}

int signer_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  const auto* object = reinterpret_cast<SignerObject*>(self);
  Py_VISIT(object->clock);
  // A call that still uses a state or a second holds this object as well, so counting their references as
  // this object's own can never make them look unreachable while they are used.
  const State* state = object->state == nullptr ? nullptr : object->state->get();
  const Second* second = object->second == nullptr ? nullptr : object->second->get();
  if (state != nullptr) {
    Py_VISIT(state->token.ptr());
    Py_VISIT(state->token_header.ptr());
  }
  if (second != nullptr) {
    Py_VISIT(second->headers.ptr());
    if (second->state.get() != state) {
      Py_VISIT(second->state->token.ptr());
      Py_VISIT(second->state->token_header.ptr());
    }
  }
  return 0;
}

int signer_clear(PyObject* self) {
  auto* object = reinterpret_cast<SignerObject*>(self);
  Py_CLEAR(object->clock);
  // Out of the object before they end: their ends run Python code that may come back here.
  if (object->second != nullptr) std::shared_ptr<const Second>().swap(*object->second);
  if (object->state != nullptr) std::shared_ptr<const State>().swap(*object->state);
  return 0;
}

void init_signer_object(py::module_& m) {
  signer_names.authorization = PyUnicode_InternFromString("Authorization");
  signer_names.date = PyUnicode_InternFromString("X-Amz-Date");
  signer_names.sha256 = PyUnicode_InternFromString("X-Amz-Content-Sha256");
  signer_names.renew = PyUnicode_InternFromString("_renew");
  signer_names.empty_hash = PyUnicode_InternFromString(std::string(kEmptyHash).c_str());

  m.def(
      "set_clock_offset",
      [](double seconds) {
        // A century; NaN is neither above nor below.
        if (!(std::abs(seconds) <= 3.2e9)) {
          throw py::value_error("a clock offset must be a number of seconds within a century");
        }
        clock_offset.store(static_cast<std::int64_t>(seconds * 1e9), std::memory_order_relaxed);
      },
      py::arg("seconds"), py::pos_only(), "Seconds that every signer without a clock of its own adds.");
  m.def(
      "clock_offset", [] { return static_cast<double>(clock_offset.load(std::memory_order_relaxed)) * 1e-9; },
      "What set_clock_offset was given last; 0.0 at first.");
}

}  // namespace s3accel::bindings
