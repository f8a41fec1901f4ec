// Verifier's native half and what it gives. Both types are written against the C API: a pybind11 call costs
// as much as the hashes of a request, and a server makes this one for each request.
#include <pybind11/pybind11.h>

#include <cmath>
#include <memory>
#include <new>
#include <string>
#include <unordered_map>

#include "bindings.h"
#include "c_api.h"
#include "locks.h"
#include "received.h"
#include "s3accel/secret.h"
#include "s3accel/verify.h"

namespace s3accel::bindings {

namespace {

// One request, judged: the claims, the texts, and the first fault in S3's order.
struct Judgement {
  ParsedAuth auth;
  std::string_view error;  // of static life; empty: the signature is right
  std::string canonical, to_sign;
  std::shared_ptr<SigningKey> key;
  py::object headers;  // the tuple of (str, str) that was judged
};

struct VerifiedObject {
  PyObject_HEAD Judgement judgement;
};

const Judgement& judgement_of(PyObject* self) {
  return reinterpret_cast<VerifiedObject*>(self)->judgement;
}

constexpr std::string ParsedAuth::* kClaims[] = {
    &ParsedAuth::detail,    &ParsedAuth::access_key_id, &ParsedAuth::credential,
    &ParsedAuth::region,    &ParsedAuth::service,       &ParsedAuth::date,
    &ParsedAuth::scope,     &ParsedAuth::timestamp,     &ParsedAuth::signed_headers,
    &ParsedAuth::signature, &ParsedAuth::payload_hash,  &ParsedAuth::session_token,
};

PyObject* latin1(std::string_view text) {
  return PyUnicode_DecodeLatin1(text.data(), static_cast<Py_ssize_t>(text.size()), nullptr);
}

PyObject* verified_claim(PyObject* self, void* which) {
  return latin1(judgement_of(self).auth.*kClaims[reinterpret_cast<std::uintptr_t>(which)]);
}

PyObject* verified_mechanism(PyObject* self, void*) {
  return latin1(judgement_of(self).auth.mechanism == Mechanism::query ? "query" : "header");
}

PyObject* verified_error(PyObject* self, void*) {
  const std::string_view error = judgement_of(self).error;
  return error.empty() ? Py_NewRef(Py_None) : latin1(error);
}

PyObject* verified_expires(PyObject* self, void*) {
  return PyLong_FromLongLong(judgement_of(self).auth.expires);
}

PyObject* bytes_of(const std::string& text) {
  return PyBytes_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
}

PyObject* verified_canonical(PyObject* self, void*) {
  return bytes_of(judgement_of(self).canonical);
}

PyObject* verified_to_sign(PyObject* self, void*) {
  return bytes_of(judgement_of(self).to_sign);
}

PyObject* verified_headers(PyObject* self, void*) {
  return Py_NewRef(judgement_of(self).headers.ptr());
}

PyObject* verified_key(PyObject* self, void*) {
  return guarded([&] { return py::cast(judgement_of(self).key).release().ptr(); });
}

PyObject* verified_repr(PyObject* self) {
  return PyUnicode_FromFormat("<claims of %s>", judgement_of(self).auth.scope.c_str());
}

void verified_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  reinterpret_cast<VerifiedObject*>(self)->judgement.~Judgement();
  type->tp_free(self);
  Py_DECREF(type);
}

PyGetSetDef verified_members[] = {
    {"detail", &verified_claim, nullptr, nullptr, reinterpret_cast<void*>(0)},
    {"access_key_id", &verified_claim, nullptr, nullptr, reinterpret_cast<void*>(1)},
    {"credential", &verified_claim, nullptr, nullptr, reinterpret_cast<void*>(2)},
    {"region", &verified_claim, nullptr, nullptr, reinterpret_cast<void*>(3)},
    {"service", &verified_claim, nullptr, nullptr, reinterpret_cast<void*>(4)},
    {"date", &verified_claim, nullptr, nullptr, reinterpret_cast<void*>(5)},
    {"scope", &verified_claim, nullptr, nullptr, reinterpret_cast<void*>(6)},
    {"timestamp", &verified_claim, nullptr, nullptr, reinterpret_cast<void*>(7)},
    {"signed_headers", &verified_claim, nullptr, nullptr, reinterpret_cast<void*>(8)},
    {"signature", &verified_claim, nullptr, nullptr, reinterpret_cast<void*>(9)},
    {"payload_hash", &verified_claim, nullptr, nullptr, reinterpret_cast<void*>(10)},
    {"session_token", &verified_claim, nullptr, nullptr, reinterpret_cast<void*>(11)},
    {"mechanism", &verified_mechanism, nullptr, nullptr, nullptr},
    {"error", &verified_error, nullptr, nullptr, nullptr},
    {"expires", &verified_expires, nullptr, nullptr, nullptr},
    {"canonical_request", &verified_canonical, nullptr, nullptr, nullptr},
    {"string_to_sign", &verified_to_sign, nullptr, nullptr, nullptr},
    {"headers", &verified_headers, nullptr, nullptr, nullptr},
    {"key", &verified_key, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot verified_slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(&verified_dealloc)},
    {Py_tp_repr, reinterpret_cast<void*>(&verified_repr)},
    {Py_tp_getset, verified_members},
    {Py_tp_doc, const_cast<char*>("A request that was judged: claims, texts and the fault, if any.")},
    {0, nullptr},
};

PyType_Spec verified_spec = {"s3accel._core.Verified", sizeof(VerifiedObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, verified_slots};
PyTypeObject* verified_type = nullptr;

// Everything verify needs beside the request. Derived keys are kept for the very Credentials object they were
// derived from: equal access key ids do not make equal secrets. Credentials do not change, so what they say
// of token and expiry is read once as well.
struct VerifierState {
  struct Entry {
    py::object credentials, token;  // token: str or None
    std::string_view token_text;
    double expires_at;
    std::shared_ptr<SigningKey> key;
  };

  std::string region, service;
  double max_skew = 0;
  py::object lookup;
  std::size_t max_keys = 0;
  FieldLock lock;  // of what is below, and of what changes in each entry
  std::unordered_map<std::string, std::shared_ptr<Entry>> keys;
  std::string wanted;  // kept for its room

  // The entry of these credentials, without a key if it is a new one, which is not kept yet. Shared: reading
  // a property or asking the lookup lets other threads run, and they may drop all entries.
  std::shared_ptr<Entry> entry_of(const py::object& credentials, const ParsedAuth& auth, bool& known) {
    {
      const FieldGuard guard(lock);
      wanted.assign(auth.access_key_id).append("/").append(auth.scope);
      if (const auto found = keys.find(wanted);
          found != keys.end() && found->second->credentials.is(credentials)) {
        known = true;
        return found->second;
      }
    }
    auto entry =
        std::make_shared<Entry>(Entry{credentials, credentials.attr("session_token"), {}, HUGE_VAL, {}});
    if (!entry->token.is_none()) entry->token_text = text_of(entry->token);
    const py::object expires = credentials.attr("expires_at");
    if (!expires.is_none()) entry->expires_at = expires.cast<double>();
    return entry;
  }

  // Only once a signature was right: what a stranger claims must neither take room nor drop what others need.
  void keep(const std::shared_ptr<Entry>& entry, const ParsedAuth& auth) {
    // What ends with the entries may run Python code that comes back here, so the map is emptied first.
    std::unordered_map<std::string, std::shared_ptr<Entry>> dropped;
    std::shared_ptr<Entry> replaced = entry;
    const FieldGuard guard(lock);
    if (keys.size() >= max_keys) dropped.swap(keys);
    keys[auth.access_key_id + "/" + auth.scope].swap(replaced);
  }

  // nullptr if the request names a scope that no key can have. Throws for a secret that none can be: that is
  // the lookup's fault.
  std::shared_ptr<SigningKey> key_of(Entry& entry, const ParsedAuth& auth) {
    {
      const FieldGuard guard(lock);
      if (entry.key) return entry.key;
    }
    const py::object secret = entry.credentials.attr("secret_access_key");
    auto derived = SigningKey::derive(text_of(secret), auth.date, auth.region, auth.service);
    if (!derived && derived.error().code == Errc::bad_scope) return nullptr;
    if (!derived) throw_signing_error(derived.error());
    auto key = std::make_shared<SigningKey>(std::move(derived.value()));
    const FieldGuard guard(lock);
    // Python holds keys as objects of their own: the first one stays.
    if (!entry.key) entry.key = std::move(key);
    return entry.key;
  }

  void verify(const ReceivedRequest& request, double now, Judgement& out) {
    VerifyPolicy policy;
    policy.region = region;
    policy.service = service;
    policy.now = seconds(now);
    policy.max_skew = seconds(max_skew);
    const ParsedAuth& auth = out.auth;
    const auto formed = well_formed(request);
    if (!formed) {
      out.error = errc_name(formed.error().code);
      return;
    }
    if (const auto r = parse_auth(formed.value(), policy, out.auth); !r) {
      out.error = errc_name(r.error().code);
      return;
    }
    const py::object credentials = lookup(to_latin1(auth.access_key_id));
    if (credentials.is_none()) {
      out.error = "unknown_access_key";
      return;
    }
    bool known = false;
    const std::shared_ptr<Entry> entry = entry_of(credentials, auth, known);
    if (!equal_constant_time(entry->token_text, auth.session_token)) {
      out.error = "invalid_token";
    } else if (!(now < entry->expires_at)) {
      out.error = "expired_token";
    } else if (auth.deferred.code != Errc::ok) {
      out.error = errc_name(auth.deferred.code);
    } else if (out.key = key_of(*entry, auth); !out.key) {
      out.error = errc_name(Errc::credential_malformed);
    } else {
      Text canonical, to_sign;
      const auto r = check_signature(formed.value(), auth, *out.key, canonical, to_sign);
      out.canonical = canonical.view();
      out.to_sign = to_sign.view();
      if (!r) {
        out.error = errc_name(r.error().code);
      } else if (!known) {
        keep(entry, auth);
      }
    }
  }
};

struct VerifierObject {
  PyObject_HEAD VerifierState* state;
};

// VerifierBase(lookup, region, service, max_skew, max_keys)
PyObject* verifier_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  return guarded([&]() -> PyObject* {
    static const char* words[] = {"lookup", "region", "service", "max_skew", "max_keys", nullptr};
    PyObject *lookup, *region, *service;
    double max_skew;
    Py_ssize_t max_keys;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOdn", const_cast<char**>(words), &lookup, &region,
                                     &service, &max_skew, &max_keys)) {
      return nullptr;
    }
    auto state = std::make_unique<VerifierState>();
    state->lookup = py::reinterpret_borrow<py::object>(lookup);
    if (region != Py_None) state->region = text_of(py::handle(region));
    // To the core an empty region means any, which only None shall mean.
    if (region != Py_None && state->region.empty()) throw py::value_error("a region must not be empty");
    state->service = text_of(py::handle(service));
    state->max_skew = max_skew;
    state->max_keys = static_cast<std::size_t>(max_keys);
    PyObject* self = type->tp_alloc(type, 0);
    if (self != nullptr) reinterpret_cast<VerifierObject*>(self)->state = state.release();
    return self;
  });
}

// verify(method, target, headers, now, body_hash)
PyObject* verifier_verify(PyObject* self, PyObject* const* args, Py_ssize_t nargs) {
  return guarded([&]() -> PyObject* {
    if (nargs != 5) {
      PyErr_SetString(PyExc_TypeError, "verify() takes method, target, headers, now and body_hash");
      return nullptr;
    }
    const double now = PyFloat_AsDouble(args[3]);
    if (now == -1 && PyErr_Occurred() != nullptr) return nullptr;
    const Received received(args[0], args[1], args[2], args[4]);
    py::object out = py::reinterpret_steal<py::object>(verified_type->tp_alloc(verified_type, 0));
    if (!out) return nullptr;
    auto& judgement = *new (&reinterpret_cast<VerifiedObject*>(out.ptr())->judgement) Judgement();
    judgement.headers = received.headers();
    reinterpret_cast<VerifierObject*>(self)->state->verify(received.view(), now, judgement);
    return out.release().ptr();
  });
}

void verifier_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  delete reinterpret_cast<VerifierObject*>(self)->state;
  type->tp_free(self);
  Py_DECREF(type);
}

// A server's lookup often refers to what holds the verifier.
int verifier_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (const VerifierState* state = reinterpret_cast<VerifierObject*>(self)->state; state != nullptr) {
    Py_VISIT(state->lookup.ptr());
    for (const auto& [name, entry] : state->keys) {
      Py_VISIT(entry->credentials.ptr());
      Py_VISIT(entry->token.ptr());
    }
  }
  return 0;
}

int verifier_clear(PyObject* self) {
  if (VerifierState* state = reinterpret_cast<VerifierObject*>(self)->state; state != nullptr) {
    std::unordered_map<std::string, std::shared_ptr<VerifierState::Entry>> dropped;
    dropped.swap(state->keys);
    state->lookup = py::none();
  }
  return 0;
}

PyObject* verifier_reduce(PyObject*, PyObject*) {
  PyErr_SetString(PyExc_TypeError, "a VerifierBase holds signing keys and is not pickled");
  return nullptr;
}

PyMethodDef verifier_methods[] = {
    {"verify", as_function(&verifier_verify), METH_FASTCALL,
     "verify($self, method, target, headers, now, body_hash, /)\n--\n\nJudges everything but the body."},
    {"__reduce_ex__", &verifier_reduce, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot verifier_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(&verifier_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(&verifier_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(&verifier_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(&verifier_clear)},
    {Py_tp_methods, verifier_methods},
    {Py_tp_doc, const_cast<char*>("The native half of s3accel.verify.Verifier.")},
    {0, nullptr},
};

PyType_Spec verifier_spec = {"s3accel._core.VerifierBase", sizeof(VerifierObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, verifier_slots};

}  // namespace

void bind_verifier(py::module_& m) {
  PyObject* verified = PyType_FromSpec(&verified_spec);
  if (verified == nullptr) throw py::error_already_set();
  verified_type = reinterpret_cast<PyTypeObject*>(verified);
  m.attr("Verified") = py::reinterpret_borrow<py::object>(verified);
  PyObject* verifier = PyType_FromSpec(&verifier_spec);
  if (verifier == nullptr) throw py::error_already_set();
  m.attr("VerifierBase") = py::reinterpret_steal<py::object>(verifier);
}

}  // namespace s3accel::bindings
