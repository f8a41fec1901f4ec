// The native half of the botocore adapter: one call reads a request's headers, signs by botocore's own rules
// and puts the new headers into the list. It never half-does anything: whatever it is not sure to do exactly
// as botocore does, it leaves untouched and returns None, and botocore's own code signs that request.
#include <pybind11/pybind11.h>
// datetime.h needs Python.h first.
#include <datetime.h>

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "bindings.h"
#include "buffers.h"
#include "c_api.h"
#include "s3accel/botocore.h"
#include "s3accel/key_cache.h"
#include "s3accel/sha256.h"

namespace s3accel::bindings {

namespace {

enum Flags : long {
  kS3 = 1,        // path as it is, X-Amz-Content-SHA256 always
  kExpress = 2,   // the token goes into x-amz-s3session-token
  kDetailed = 4,  // give the stages
  kUnsigned = 8,  // a service with unsigned payload: UNSIGNED-PAYLOAD in the header
};

struct BotocoreObject {
  PyObject_HEAD SigningKeyCache* keys;
  std::atomic<std::uint64_t> signed_, presigned;
};

struct Names {
  PyObject *authorization, *date, *token, *sha256, *session_token, *timestamp, *unsigned_payload, *empty_hash;
};
Names names;

// The text of a str object; false (without an exception) for anything else and for lone surrogates.
bool plain_text(PyObject* object, std::string_view& out) {
  if (!PyUnicode_Check(object)) return false;
  Py_ssize_t n = 0;
  const char* p = PyUnicode_AsUTF8AndSize(object, &n);
  if (p == nullptr) {
    PyErr_Clear();
    return false;
  }
  out = {p, static_cast<std::size_t>(n)};
  return true;
}

// The headers of email.message's private list, kept with all that is viewed of them.
class GivenHeaders {
 public:
  bool read(PyObject* list) {
    if (!PyList_CheckExact(list)) return false;
    // The views below live while Python code and other threads run, which may change the list: the tuple
    // keeps every pair.
    pairs_ = py::reinterpret_steal<py::object>(PyList_AsTuple(list));
    if (!pairs_) throw py::error_already_set();
    const Py_ssize_t n = PyTuple_GET_SIZE(pairs_.ptr());
    views_.reserve(static_cast<std::size_t>(n));
    for (Py_ssize_t i = 0; i < n; ++i) {
      PyObject* pair = PyTuple_GET_ITEM(pairs_.ptr(), i);
      if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2) return false;
      HeaderView view;
      if (!plain_text(PyTuple_GET_ITEM(pair, 0), view.name) ||
          !value_of(PyTuple_GET_ITEM(pair, 1), view.value)) {
        return false;
      }
      views_.push_back(view);
    }
    return true;
  }

  std::span<const HeaderView> views() const noexcept { return views_; }
  PyObject* pair(std::size_t i) const noexcept {
    return PyTuple_GET_ITEM(pairs_.ptr(), static_cast<Py_ssize_t>(i));
  }

 private:
  // Beyond ASCII Python knows more kinds of white space than we do, so Python collapses it.
  bool value_of(PyObject* value, std::string_view& out) {
    if (!PyUnicode_Check(value)) return false;
    if (PyUnicode_IS_ASCII(value)) return plain_text(value, out);
    py::object words = py::reinterpret_steal<py::object>(PyUnicode_Split(value, nullptr, -1));
    if (!words) throw py::error_already_set();
    joined_.push_back(py::reinterpret_steal<py::object>(PyUnicode_Join(py::str(" ").ptr(), words.ptr())));
    if (!joined_.back()) throw py::error_already_set();
    return plain_text(joined_.back().ptr(), out);
  }

  std::vector<HeaderView> views_;
  py::object pairs_;  // a tuple, one pair for each view
  std::vector<py::object> joined_;
};

bool stamp_of(PyObject* now, char out[16]) {
  if (!PyDateTime_Check(now)) return false;
  const int year = PyDateTime_GET_YEAR(now);
  if (year < 1000) return false;  // strftime pads such years differently on different systems
  const auto put = [&out](int at, int v) {
    out[at] = static_cast<char>('0' + v / 10);
    out[at + 1] = static_cast<char>('0' + v % 10);
  };
  put(0, year / 100);
  put(2, year % 100);
  put(4, PyDateTime_GET_MONTH(now));
  put(6, PyDateTime_GET_DAY(now));
  out[8] = 'T';
  put(9, PyDateTime_DATE_GET_HOUR(now));
  put(11, PyDateTime_DATE_GET_MINUTE(now));
  put(13, PyDateTime_DATE_GET_SECOND(now));
  out[15] = 'Z';
  return true;
}

PyObject* none() {
  return Py_NewRef(Py_None);
}

// What sign and presign share. All views borrow from the call's
// arguments.
struct SigningCall {
  PyObject *header_list, *context;
  GivenHeaders headers;
  std::string_view url_text, access_key;
  PyObject* token = nullptr;
  char stamp[16];
  UrlParts url;
  Text host;
  std::vector<std::string_view> skipped;
  py::object skipped_owner, path_owner, payload_owner;
  std::shared_ptr<SigningKey> key;
  long flags = 0;
  botocore::Signing signing;
  botocore::Request request;

  // The arguments that sign and presign share: headers, context, method, url, now, access key, secret, token,
  // region, service, names that are not signed, a function that normalizes a path or None, payload, query,
  // flags. False: botocore must do it.
  bool read(BotocoreObject* self, PyObject* const* a) {
    flags = PyLong_AsLong(a[14]);
    if (flags == -1 && PyErr_Occurred() != nullptr) throw py::error_already_set();
    header_list = a[0];
    context = a[1];
    if (!PyDict_Check(context) || !plain_text(a[2], request.method) || !plain_text(a[3], url_text) ||
        !stamp_of(a[4], stamp)) {
      return false;
    }
    std::string_view secret, region, service;
    if (!plain_text(a[5], access_key) || !plain_text(a[6], secret) || !plain_text(a[8], region) ||
        !plain_text(a[9], service)) {
      return false;
    }
    token = a[7];
    if (token != Py_None && !plain_text(token, signing.session_token.emplace())) return false;
    if (!botocore::split_url(url_text, url, host) || !headers.read(header_list)) return false;
    read_skipped(a[10]);
    if (skipped.size() != static_cast<std::size_t>(PyTuple_GET_SIZE(skipped_owner.ptr()))) return false;
    request.path = url.path;
    if (PyObject* normalize = a[11]; normalize != Py_None && !botocore::path_is_normal(url.path)) {
      const py::str text(url.path.data(), url.path.size());
      path_owner = py::reinterpret_steal<py::object>(PyObject_CallOneArg(normalize, text.ptr()));
      if (!path_owner) throw py::error_already_set();
      if (!plain_text(path_owner.ptr(), request.path)) return false;
    }
    request.host = host.view();
    request.skipped = skipped;
    signing.kind = (flags & kExpress) != 0 ? botocore::Kind::express
                   : (flags & kS3) != 0    ? botocore::Kind::s3
                                           : botocore::Kind::generic;
    signing.unsigned_payload = (flags & kUnsigned) != 0;
    signing.timestamp = {stamp, 16};
    key = self->keys->get(secret, signing.timestamp.substr(0, 8), region, service);
    return key != nullptr;
  }

  // The payload's line of the canonical request: a str as it is, None for nothing, or bytes to hash.
  bool read_payload(PyObject* payload) {
    if (const auto decided = botocore::decided_payload(headers.views(), signing)) {
      request.payload_hash = *decided;
      return true;
    }
    if (payload == Py_None) {
      payload_owner = py::reinterpret_borrow<py::object>(names.empty_hash);
    } else if (PyUnicode_Check(payload)) {
      payload_owner = py::reinterpret_borrow<py::object>(payload);
    } else {
      char digits[64];
      std::uint8_t digest[32];
      const BufferView view(payload);
      without_gil(view.bytes().size(), [&] { sha256(view.bytes(), digest); });
      hex_encode({digest, 32}, digits);
      payload_owner = py::str(digits, 64);
    }
    return plain_text(payload_owner.ptr(), request.payload_hash);
  }

  // Makes the request's list hold these headers, and Authorization behind them if it is not empty.
  bool write(const botocore::Headers& placed, PyObject* stamp_text, std::string_view authorization) const {
    const auto n = static_cast<Py_ssize_t>(placed.size());
    py::object fresh = py::reinterpret_steal<py::object>(PyList_New(n + (authorization.empty() ? 0 : 1)));
    if (!fresh) return false;
    for (Py_ssize_t i = 0; i < n; ++i) {
      PyObject* made = pair_of(placed[static_cast<std::size_t>(i)], stamp_text);
      if (made == nullptr) return false;
      PyList_SET_ITEM(fresh.ptr(), i, made);
    }
    if (!authorization.empty()) {
      const py::object value = py::reinterpret_steal<py::object>(
          PyUnicode_FromStringAndSize(authorization.data(), static_cast<Py_ssize_t>(authorization.size())));
      PyObject* made = value ? PyTuple_Pack(2, names.authorization, value.ptr()) : nullptr;
      if (made == nullptr) return false;
      PyList_SET_ITEM(fresh.ptr(), n, made);
    }
    return PyList_SetSlice(header_list, 0, PY_SSIZE_T_MAX, fresh.ptr()) == 0;
  }

  PyObject* details(const HeaderSignature& s, const py::str& stamp_text) const {
    return py::make_tuple(py::str(s.canonical.data(), s.canonical.size()),
                          py::str(s.to_sign.data(), s.to_sign.size()), py::str(s.signature, 64), key,
                          stamp_text)
        .release()
        .ptr();
  }

 private:
  void read_skipped(PyObject* words) {
    skipped_owner = py::reinterpret_steal<py::object>(PySequence_Tuple(words));
    if (!skipped_owner) throw py::error_already_set();
    const Py_ssize_t n = PyTuple_GET_SIZE(skipped_owner.ptr());
    skipped.reserve(static_cast<std::size_t>(n));
    for (Py_ssize_t i = 0; i < n; ++i) {
      std::string_view word;
      if (!plain_text(PyTuple_GET_ITEM(skipped_owner.ptr(), i), word)) return;
      skipped.push_back(word);
    }
  }

  PyObject* pair_of(const botocore::Header& header, PyObject* stamp_text) const {
    using Origin = botocore::Header::Origin;
    switch (header.origin) {
      case Origin::given:
        return Py_NewRef(headers.pair(header.index));
      case Origin::date:
        return PyTuple_Pack(2, names.date, stamp_text);
      case Origin::security_token:
        return PyTuple_Pack(2, names.token, token);
      case Origin::session_token:
        return PyTuple_Pack(2, names.session_token, token);
      case Origin::content_sha256:
        return PyTuple_Pack(2, names.sha256, payload_owner ? payload_owner.ptr() : names.unsigned_payload);
    }
    return nullptr;
  }
};

// sign(what SigningCall::read reads): True, or the stages if asked for.
PyObject* core_sign(PyObject* object, PyObject* const* args, Py_ssize_t nargs) {
  return guarded([&]() -> PyObject* {
    if (nargs != 15) {
      PyErr_SetString(PyExc_TypeError, "sign() takes 15 arguments");
      return nullptr;
    }
    auto* self = reinterpret_cast<BotocoreObject*>(object);
    SigningCall call;
    if (!call.read(self, args) || !call.read_payload(args[12])) return none();
    botocore::Headers placed;
    if (!botocore::place_headers(call.headers.views(), call.signing, call.request.payload_hash, placed)) {
      return none();
    }
    call.request.query = call.url.query;
    if (args[13] != Py_None) {
      call.request.sort_query = false;
      if (!plain_text(args[13], call.request.query)) return none();
    }
    HeaderSignature signature;
    if (!botocore::sign(call.request, placed, call.access_key, *call.key, call.signing.timestamp,
                        signature)) {
      return none();
    }
    const py::str stamp(call.stamp, 16);
    if (!call.write(placed, stamp.ptr(), signature.authorization.view()) ||
        PyDict_SetItem(call.context, names.timestamp, stamp.ptr()) != 0) {
      return nullptr;
    }
    self->signed_.fetch_add(1, std::memory_order_relaxed);
    return (call.flags & kDetailed) != 0 ? call.details(signature, stamp) : Py_NewRef(Py_True);
  });
}

// presign(the same, expires, token_parameter): the URL, or (URL, stages) if detailed. `query` holds the
// encoded parameters of the operation, without those of the signature.
PyObject* core_presign(PyObject* object, PyObject* const* args, Py_ssize_t nargs) {
  return guarded([&]() -> PyObject* {
    if (nargs != 17) {
      PyErr_SetString(PyExc_TypeError, "presign() takes 17 arguments");
      return nullptr;
    }
    auto* self = reinterpret_cast<BotocoreObject*>(object);
    SigningCall call;
    if (!call.read(self, args) || call.url.has_fragment) return none();
    botocore::Presigning wish;
    if (!plain_text(args[13], wish.given_query) || !plain_text(args[15], wish.expires) ||
        !plain_text(args[16], wish.token_parameter)) {
      return none();
    }
    // A presigned request's payload is what a header of it says, for S3 too.
    call.signing.kind = botocore::Kind::generic;
    call.signing.unsigned_payload = false;
    if (!call.read_payload(args[12])) return none();
    wish.access_key_id = call.access_key;
    wish.timestamp = call.signing.timestamp;
    wish.session_token = call.signing.session_token;
    botocore::Headers placed;
    bool dropped = false;
    botocore::place_presigned_headers(call.headers.views(), placed, dropped);
    HeaderSignature signature;
    Text query;
    if (!botocore::presign(call.request, placed, wish, *call.key, signature, query)) return none();

    Text url;
    url.append(call.url_text.substr(0, call.url.path_offset + call.url.path.size()));
    url.push('?');
    url.append(query.view());
    url.append("&X-Amz-Signature=");
    url.append({signature.signature, 64});
    py::str result(url.data(), url.size());
    const py::str stamp(call.stamp, 16);
    if (dropped && !call.write(placed, stamp.ptr(), {})) return nullptr;
    if (PyDict_SetItem(call.context, names.timestamp, stamp.ptr()) != 0) return nullptr;
    self->presigned.fetch_add(1, std::memory_order_relaxed);
    if ((call.flags & kDetailed) == 0) return result.release().ptr();
    const py::object stages = py::reinterpret_steal<py::object>(call.details(signature, stamp));
    return py::make_tuple(result, stages).release().ptr();
  });
}

// key(secret, date, region, service): a SigningKey, or None if such a key cannot be.
PyObject* signer_key(PyObject* object, PyObject* const* args, Py_ssize_t nargs) {
  return guarded([&]() -> PyObject* {
    if (nargs != 4) {
      PyErr_SetString(PyExc_TypeError, "key() takes 4 arguments");
      return nullptr;
    }
    std::string_view texts[4];
    for (int i = 0; i < 4; ++i) {
      if (!plain_text(args[i], texts[i])) return none();
    }
    const auto key =
        reinterpret_cast<BotocoreObject*>(object)->keys->get(texts[0], texts[1], texts[2], texts[3]);
    return key ? py::cast(key).release().ptr() : none();
  });
}

PyObject* signer_clear(PyObject* object, PyObject* random_key) {
  return guarded([&]() -> PyObject* {
    const BufferView view(random_key);
    reinterpret_cast<BotocoreObject*>(object)->keys->clear(view.bytes());
    return none();
  });
}

// unchanged(object, names, originals): True if each attribute is the original one.
PyObject* signer_unchanged(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 3 || !PyTuple_CheckExact(args[1]) || !PyTuple_CheckExact(args[2]) ||
      PyTuple_GET_SIZE(args[1]) != PyTuple_GET_SIZE(args[2])) {
    PyErr_SetString(PyExc_TypeError, "unchanged(object, names, originals): two tuples of one length");
    return nullptr;
  }
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args[1]); ++i) {
    PyObject* found = PyObject_GetAttr(args[0], PyTuple_GET_ITEM(args[1], i));
    if (found == nullptr) {
      PyErr_Clear();
      Py_RETURN_FALSE;
    }
    const bool same = found == PyTuple_GET_ITEM(args[2], i);
    Py_DECREF(found);
    if (!same) Py_RETURN_FALSE;
  }
  Py_RETURN_TRUE;
}

PyObject* signer_counts(PyObject* object, PyObject*) {
  auto* self = reinterpret_cast<BotocoreObject*>(object);
  return Py_BuildValue("KKn", static_cast<unsigned long long>(self->signed_.load()),
                       static_cast<unsigned long long>(self->presigned.load()),
                       static_cast<Py_ssize_t>(self->keys->size()));
}

PyObject* signer_new(PyTypeObject* type, PyObject* args, PyObject*) {
  return guarded([&]() -> PyObject* {
    PyObject* random_key = nullptr;
    if (!PyArg_ParseTuple(args, "O", &random_key)) return nullptr;
    const BufferView view(random_key);
    PyObject* self = type->tp_alloc(type, 0);
    if (self == nullptr) return nullptr;
    auto* object = reinterpret_cast<BotocoreObject*>(self);
    object->keys = nullptr;
    new (&object->signed_) std::atomic<std::uint64_t>(0);
    new (&object->presigned) std::atomic<std::uint64_t>(0);
    object->keys = new (std::nothrow) SigningKeyCache(view.bytes());
    if (object->keys == nullptr) {
      Py_DECREF(self);
      return PyErr_NoMemory();
    }
    return self;
  });
}

void signer_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  delete reinterpret_cast<BotocoreObject*>(self)->keys;
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef methods[] = {
    {"sign", as_function(&core_sign), METH_FASTCALL,
     "Signs with headers, in place. None: nothing was changed, botocore's own code must do it."},
    {"presign", as_function(&core_presign), METH_FASTCALL, "The presigned URL, or None as for sign()."},
    {"key", as_function(&signer_key), METH_FASTCALL,
     "The SigningKey of a secret, date, region, service; or None."},
    {"clear", &signer_clear, METH_O, "Drops all keys; further ones are found under another random key."},
    {"counts", &signer_counts, METH_NOARGS, "(signed, presigned, keys held)"},
    {"unchanged", as_function(&signer_unchanged), METH_FASTCALL | METH_STATIC,
     "unchanged(object, names, originals): True if each attribute is the original one."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(&signer_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(&signer_dealloc)},
    {Py_tp_methods, methods},
    {Py_tp_doc, const_cast<char*>("The native half of s3accel.adapters.botocore.")},
    {0, nullptr},
};

PyType_Spec spec = {"s3accel._core.BotocoreSigner", sizeof(BotocoreObject), 0, Py_TPFLAGS_DEFAULT, slots};

}  // namespace

void bind_botocore(py::module_& m) {
  PyDateTime_IMPORT;
  if (PyDateTimeAPI == nullptr) throw py::error_already_set();
  names.authorization = PyUnicode_InternFromString("Authorization");
  names.date = PyUnicode_InternFromString("X-Amz-Date");
  names.token = PyUnicode_InternFromString("X-Amz-Security-Token");
  names.sha256 = PyUnicode_InternFromString("X-Amz-Content-SHA256");
  names.session_token = PyUnicode_InternFromString("x-amz-s3session-token");
  names.timestamp = PyUnicode_InternFromString("timestamp");
  names.unsigned_payload = PyUnicode_InternFromString(std::string(kUnsignedPayload).c_str());
  names.empty_hash = PyUnicode_InternFromString(std::string(kEmptyHash).c_str());
  PyObject* type = PyType_FromSpec(&spec);
  if (type == nullptr) throw py::error_already_set();
  m.attr("BotocoreSigner") = py::reinterpret_steal<py::object>(type);
}

}  // namespace s3accel::bindings
