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
#include "s3accel/verbatim.h"

namespace s3accel::bindings {

namespace {

constexpr std::string_view kFormType = "application/x-www-form-urlencoded; charset=utf-8";

enum Flags : long {
  kS3 = 1,        // path as it is, X-Amz-Content-SHA256 always
  kExpress = 2,   // the token goes into x-amz-s3session-token
  kDetailed = 4,  // give the stages
  kUnsigned = 8,  // a service with unsigned payload: UNSIGNED-PAYLOAD in the header
};

struct CoreObject {
  PyObject_HEAD SigningKeyCache* keys;
  std::atomic<std::uint64_t> signed_, presigned;
};

struct Names {
  PyObject *authorization, *date, *token, *sha256, *session_token, *timestamp, *unsigned_payload, *empty_hash;
};
Names names;

bool equal_lower(std::string_view name, std::string_view lower) noexcept {
  if (name.size() != lower.size()) return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c) != lower[i]) return false;
  }
  return true;
}

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

// One header of the request's list, or one to add.
struct Header {
  PyObject* pair;  // of the request's list, kept by Headers; nullptr for one to add
  PyObject *name, *value;
  HeaderView view;
};

// The headers of email.message's private list, and what becomes of them.
class Headers {
 public:
  bool read(PyObject* list) {
    if (!PyList_CheckExact(list)) return false;
    const Py_ssize_t n = PyList_GET_SIZE(list);
    all_.reserve(static_cast<std::size_t>(n) + 6);
    kept_.reserve(static_cast<std::size_t>(n) + 6);
    for (Py_ssize_t i = 0; i < n; ++i) {
      PyObject* pair = PyList_GET_ITEM(list, i);
      if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2) return false;
      // The views below live while Python code and other threads run, which may change the list.
      kept_.push_back(py::reinterpret_borrow<py::object>(pair));
      Header header{pair, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1), {}};
      if (!plain_text(header.name, header.view.name) || !value_of(header)) return false;
      all_.push_back(header);
    }
    return true;
  }

  const Header* find(std::string_view lower) const {
    for (const Header& header : all_) {
      if (equal_lower(header.view.name, lower)) return &header;
    }
    return nullptr;
  }
  void remove(std::string_view lower) {
    std::erase_if(all_, [&](const Header& header) { return equal_lower(header.view.name, lower); });
  }
  bool add(PyObject* name, PyObject* value) {
    kept_.push_back(py::reinterpret_borrow<py::object>(value));
    Header header{nullptr, name, value, {}};
    if (!plain_text(name, header.view.name) || !value_of(header)) return false;
    all_.push_back(header);
    return true;
  }

  std::vector<HeaderView> views() const {
    std::vector<HeaderView> out;
    out.reserve(all_.size());
    for (const Header& header : all_) out.push_back(header.view);
    return out;
  }

  // Makes the list hold these headers.
  bool write(PyObject* list) const {
    py::object fresh = py::reinterpret_steal<py::object>(PyList_New(static_cast<Py_ssize_t>(all_.size())));
    if (!fresh) return false;
    for (std::size_t i = 0; i < all_.size(); ++i) {
      const Header& header = all_[i];
      PyObject* pair =
          header.pair != nullptr ? Py_NewRef(header.pair) : PyTuple_Pack(2, header.name, header.value);
      if (pair == nullptr) return false;
      PyList_SET_ITEM(fresh.ptr(), static_cast<Py_ssize_t>(i), pair);
    }
    return PyList_SetSlice(list, 0, PyList_GET_SIZE(list), fresh.ptr()) == 0;
  }

 private:
  // Beyond ASCII Python knows more kinds of white space than we do, so Python collapses it.
  bool value_of(Header& header) {
    if (!PyUnicode_Check(header.value)) return false;
    if (PyUnicode_IS_ASCII(header.value)) return plain_text(header.value, header.view.value);
    py::object words = py::reinterpret_steal<py::object>(PyUnicode_Split(header.value, nullptr, -1));
    if (!words) throw py::error_already_set();
    py::object joined = py::reinterpret_steal<py::object>(PyUnicode_Join(py::str(" ").ptr(), words.ptr()));
    if (!joined) throw py::error_already_set();
    kept_.push_back(joined);
    return plain_text(joined.ptr(), header.view.value);
  }

  std::vector<Header> all_;
  std::vector<py::object> kept_;
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

// What sign and presign share. All views borrow from the call's arguments.
struct Call {
  Headers headers;
  std::string_view method, access_key, secret, region, service, token;
  bool has_token = false;
  char stamp[16];
  PlainUrl url;
  Text host;
  std::vector<std::string_view> skipped;
  py::object skipped_owner, path_owner;
  std::string_view path;
  std::shared_ptr<SigningKey> key;

  std::string_view stamp_text() const { return {stamp, 16}; }

  // args: headers, context, method, url, now, access_key, secret, token, region, service, blacklist,
  // normalize
  bool read(CoreObject* self, PyObject* const* a) {
    if (!PyDict_Check(a[1])) return false;
    std::string_view url_text;
    if (!plain_text(a[2], method) || !plain_text(a[3], url_text) || !stamp_of(a[4], stamp)) return false;
    if (!plain_text(a[5], access_key) || !plain_text(a[6], secret)) return false;
    if (a[7] != Py_None) {
      if (!plain_text(a[7], token)) return false;
      has_token = true;
    }
    if (!plain_text(a[8], region) || !plain_text(a[9], service)) return false;
    if (!split_plain_url(url_text, url, host)) return false;
    if (!headers.read(a[0])) return false;
    skipped_owner = py::reinterpret_steal<py::object>(PySequence_Tuple(a[10]));
    if (!skipped_owner) throw py::error_already_set();
    const Py_ssize_t n = PyTuple_GET_SIZE(skipped_owner.ptr());
    skipped.resize(static_cast<std::size_t>(n));
    for (Py_ssize_t i = 0; i < n; ++i) {
      if (!plain_text(PyTuple_GET_ITEM(skipped_owner.ptr(), i), skipped[static_cast<std::size_t>(i)])) {
        return false;
      }
    }
    path = url.path;
    if (a[11] != Py_None && !path_is_normal(path)) {
      const py::str text(path.data(), path.size());
      path_owner = py::reinterpret_steal<py::object>(PyObject_CallOneArg(a[11], text.ptr()));
      if (!path_owner) throw py::error_already_set();
      if (!plain_text(path_owner.ptr(), path)) return false;
    }
    key = self->keys->get(secret, stamp_text().substr(0, 8), region, service);
    return key != nullptr;
  }

  bool canonical(std::string_view query, std::string_view payload, HeaderSignature& out) {
    const std::vector<HeaderView> views = headers.views();
    const VerbatimRequest request{method, path, query, host.view(), views, skipped, payload};
    if (!verbatim_canonical(request, out.canonical, out.signed_headers)) return false;
    string_to_sign(kAlgorithm, stamp_text(), key->scope(), out.canonical.view(), out.to_sign);
    key->sign(out.to_sign.view(), out.signature);
    return true;
  }

  PyObject* details(const HeaderSignature& s) const {
    return py::make_tuple(py::str(s.canonical.data(), s.canonical.size()),
                          py::str(s.to_sign.data(), s.to_sign.size()), py::str(s.signature, 64), key,
                          py::str(stamp, 16))
        .release()
        .ptr();
  }
};

// The payload's line of the canonical request: a str as it is, None for nothing, or bytes to hash.
bool payload_line(PyObject* payload, py::object& owner, std::string_view& out) {
  char digits[64];
  std::uint8_t digest[32];
  if (payload == Py_None) {
    owner = py::reinterpret_borrow<py::object>(names.empty_hash);
  } else if (PyUnicode_Check(payload)) {
    owner = py::reinterpret_borrow<py::object>(payload);
  } else {
    const BufferView view(payload);
    without_gil(view.bytes().size(), [&] { sha256(view.bytes(), digest); });
    hex_encode({digest, 32}, digits);
    owner = py::str(digits, 64);
  }
  return plain_text(owner.ptr(), out);
}

// sign(headers, context, method, url, now, access_key, secret, token, region, service, blacklist, normalize,
//      payload, query, flags)
PyObject* core_sign(PyObject* object, PyObject* const* args, Py_ssize_t nargs) {
  return guarded([&]() -> PyObject* {
    if (nargs != 15) {
      PyErr_SetString(PyExc_TypeError, "sign() takes 15 arguments");
      return nullptr;
    }
    auto* self = reinterpret_cast<CoreObject*>(object);
    const long flags = PyLong_AsLong(args[14]);
    if (flags == -1 && PyErr_Occurred() != nullptr) return nullptr;
    Call call;
    if (!call.read(self, args)) return none();
    Headers& headers = call.headers;
    if (headers.find("date") != nullptr) return none();  // botocore then signs that header
    headers.remove("authorization");
    headers.remove("x-amz-date");
    const py::str stamp(call.stamp, 16);
    if (!headers.add(names.date, stamp.ptr())) return none();
    const bool with_token = call.has_token && !call.token.empty();
    if (with_token) {
      headers.remove("x-amz-security-token");
      if ((flags & kExpress) == 0 && !headers.add(names.token, args[7])) return none();
    }
    py::object payload_owner;
    std::string_view payload;
    if ((flags & kS3) != 0) {
      headers.remove("x-amz-content-sha256");
      if (!payload_line(args[12], payload_owner, payload)) return none();
      if (!headers.add(names.sha256, payload_owner.ptr())) return none();
    } else {
      if ((flags & kUnsigned) != 0) {
        headers.remove("x-amz-content-sha256");
        if (!headers.add(names.sha256, names.unsigned_payload)) return none();
      }
      // A header that is there already says what the body is.
      if (const Header* given = headers.find("x-amz-content-sha256"); given != nullptr) {
        if (!plain_text(given->value, payload)) return none();
      } else if (!payload_line(args[12], payload_owner, payload)) {
        return none();
      }
    }
    if ((flags & kExpress) != 0) {
      if (headers.find("x-amz-s3session-token") == nullptr &&
          (!call.has_token || !headers.add(names.session_token, args[7]))) {
        return none();
      }
      headers.remove("x-amz-security-token");
    }

    Text sorted;
    std::string_view query;
    if (args[13] != Py_None) {
      if (!plain_text(args[13], query)) return none();
    } else {
      verbatim_query(call.url.query, sorted);
      query = sorted.view();
    }
    HeaderSignature signature;
    if (!call.canonical(query, payload, signature)) return none();

    Text& a = signature.authorization;
    a.append("AWS4-HMAC-SHA256 Credential=");
    a.append(call.access_key);
    a.push('/');
    a.append(call.key->scope());
    a.append(", SignedHeaders=");
    a.append(signature.signed_headers.view());
    a.append(", Signature=");
    a.append({signature.signature, 64});
    const py::str authorization(a.data(), a.size());
    if (!headers.add(names.authorization, authorization.ptr())) return none();
    if (!headers.write(args[0]) || PyDict_SetItem(args[1], names.timestamp, stamp.ptr()) != 0) return nullptr;
    self->signed_.fetch_add(1, std::memory_order_relaxed);
    return (flags & kDetailed) != 0 ? call.details(signature) : Py_NewRef(Py_True);
  });
}

void add_parameter(Text& out, std::string_view name, std::string_view value) {
  if (out.size() != 0) out.push('&');
  out.append(name);
  out.push('=');
  uri_encode(value, false, out);
}

// presign(headers, context, method, url, now, access_key, secret, token, region, service, blacklist,
// normalize,
//         payload, query, flags, expires, token_parameter): the URL, or (URL, stages...) if detailed.
// `query` holds the encoded parameters of the operation, without those of the signature.
PyObject* core_presign(PyObject* object, PyObject* const* args, Py_ssize_t nargs) {
  return guarded([&]() -> PyObject* {
    if (nargs != 17) {
      PyErr_SetString(PyExc_TypeError, "presign() takes 17 arguments");
      return nullptr;
    }
    auto* self = reinterpret_cast<CoreObject*>(object);
    const long flags = PyLong_AsLong(args[14]);
    if (flags == -1 && PyErr_Occurred() != nullptr) return nullptr;
    Call call;
    if (!call.read(self, args) || call.url.has_fragment) return none();
    Headers& headers = call.headers;
    const Header* type = headers.find("content-type");
    const bool drop_type = type != nullptr && type->view.value == kFormType;
    if (drop_type) headers.remove("content-type");

    std::string_view given, payload, expires, token_parameter;
    py::object payload_owner;
    if (!plain_text(args[13], given) || !plain_text(args[15], expires) ||
        !plain_text(args[16], token_parameter)) {
      return none();
    }
    if (const Header* header = headers.find("x-amz-content-sha256"); header != nullptr) {
      if (!plain_text(header->value, payload)) return none();
    } else if (!payload_line(args[12], payload_owner, payload)) {
      return none();
    }

    // The names first: they are part of the query.
    HeaderSignature signature;
    {
      Text unused;
      const std::vector<HeaderView> views = headers.views();
      const VerbatimRequest request{call.method, {}, {}, call.host.view(), views, call.skipped, {}};
      if (!verbatim_canonical(request, unused, signature.signed_headers)) return none();
    }
    Text credential, query, sorted;
    credential.append(call.access_key);
    credential.push('/');
    credential.append(call.key->scope());
    query.append(given);
    add_parameter(query, "X-Amz-Algorithm", kAlgorithm);
    add_parameter(query, "X-Amz-Credential", credential.view());
    add_parameter(query, "X-Amz-Date", call.stamp_text());
    add_parameter(query, "X-Amz-Expires", expires);
    add_parameter(query, "X-Amz-SignedHeaders", signature.signed_headers.view());
    if (call.has_token) add_parameter(query, token_parameter, call.token);
    verbatim_query(query.view(), sorted);
    signature.signed_headers.clear();
    if (!call.canonical(sorted.view(), payload, signature)) return none();

    Text url;
    url.append(call.url.before_query);
    url.push('?');
    url.append(query.view());
    url.append("&X-Amz-Signature=");
    url.append({signature.signature, 64});
    py::str result(url.data(), url.size());
    const py::str stamp(call.stamp, 16);
    if (drop_type && !headers.write(args[0])) return nullptr;
    if (PyDict_SetItem(args[1], names.timestamp, stamp.ptr()) != 0) return nullptr;
    self->presigned.fetch_add(1, std::memory_order_relaxed);
    if ((flags & kDetailed) == 0) return result.release().ptr();
    const py::object stages = py::reinterpret_steal<py::object>(call.details(signature));
    return py::make_tuple(result, stages).release().ptr();
  });
}

// key(secret, date, region, service): a SigningKey, or None if such a key cannot be.
PyObject* core_key(PyObject* object, PyObject* const* args, Py_ssize_t nargs) {
  return guarded([&]() -> PyObject* {
    if (nargs != 4) {
      PyErr_SetString(PyExc_TypeError, "key() takes 4 arguments");
      return nullptr;
    }
    std::string_view texts[4];
    for (int i = 0; i < 4; ++i) {
      if (!plain_text(args[i], texts[i])) return none();
    }
    const auto key = reinterpret_cast<CoreObject*>(object)->keys->get(texts[0], texts[1], texts[2], texts[3]);
    return key ? py::cast(key).release().ptr() : none();
  });
}

PyObject* core_clear(PyObject* object, PyObject* random_key) {
  return guarded([&]() -> PyObject* {
    const BufferView view(random_key);
    reinterpret_cast<CoreObject*>(object)->keys->clear(view.bytes());
    return none();
  });
}

// unchanged(object, names, originals): True if each attribute is the original one.
PyObject* core_unchanged(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
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

PyObject* core_counts(PyObject* object, PyObject*) {
  auto* self = reinterpret_cast<CoreObject*>(object);
  return Py_BuildValue("KKn", static_cast<unsigned long long>(self->signed_.load()),
                       static_cast<unsigned long long>(self->presigned.load()),
                       static_cast<Py_ssize_t>(self->keys->size()));
}

PyObject* core_new(PyTypeObject* type, PyObject* args, PyObject*) {
  return guarded([&]() -> PyObject* {
    PyObject* random_key = nullptr;
    if (!PyArg_ParseTuple(args, "O", &random_key)) return nullptr;
    const BufferView view(random_key);
    PyObject* self = type->tp_alloc(type, 0);
    if (self == nullptr) return nullptr;
    auto* object = reinterpret_cast<CoreObject*>(self);
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

void core_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  delete reinterpret_cast<CoreObject*>(self)->keys;
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef methods[] = {
    {"sign", as_function(&core_sign), METH_FASTCALL,
     "Signs with headers, in place. None: nothing was changed, botocore's own code must do it."},
    {"presign", as_function(&core_presign), METH_FASTCALL, "The presigned URL, or None as for sign()."},
    {"key", as_function(&core_key), METH_FASTCALL,
     "The SigningKey of a secret, date, region, service; or None."},
    {"clear", &core_clear, METH_O, "Drops all keys; further ones are found under another random key."},
    {"counts", &core_counts, METH_NOARGS, "(signed, presigned, keys held)"},
    {"unchanged", as_function(&core_unchanged), METH_FASTCALL | METH_STATIC,
     "unchanged(object, names, originals): True if each attribute is the original one."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(&core_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(&core_dealloc)},
    {Py_tp_methods, methods},
    {Py_tp_doc, const_cast<char*>("The native half of s3accel.adapters.botocore.")},
    {0, nullptr},
};

PyType_Spec spec = {"s3accel._core.BotocoreSigner", sizeof(CoreObject), 0, Py_TPFLAGS_DEFAULT, slots};

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
