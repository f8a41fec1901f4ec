#include "botocore_call.h"

#include <pybind11/pybind11.h>
// datetime.h needs Python.h first.
#include <datetime.h>

#include <string>

#include "bindings.h"
#include "s3accel/sha256.h"

namespace s3accel::bindings {

namespace {

struct Names {
  PyObject *authorization, *date, *token, *sha256, *session_token, *timestamp, *unsigned_payload, *empty_hash;
};
Names names;

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

}  // namespace

void init_botocore_call() {
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
}

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

bool GivenHeaders::read(PyObject* list) {
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

// Beyond ASCII Python knows more kinds of white space than we do, so Python collapses it.
bool GivenHeaders::value_of(PyObject* value, std::string_view& out) {
  if (!PyUnicode_Check(value)) return false;
  if (PyUnicode_IS_ASCII(value)) return plain_text(value, out);
  py::object words = py::reinterpret_steal<py::object>(PyUnicode_Split(value, nullptr, -1));
  if (!words) throw py::error_already_set();
  joined_.push_back(py::reinterpret_steal<py::object>(PyUnicode_Join(py::str(" ").ptr(), words.ptr())));
  if (!joined_.back()) throw py::error_already_set();
  return plain_text(joined_.back().ptr(), out);
}

bool SigningCall::read(SigningKeyCache& keys, PyObject* const* a) {
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
  key = keys.get(secret, signing.timestamp.substr(0, 8), region, service);
  return key != nullptr;
}

bool SigningCall::read_payload(PyObject* payload) {
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

bool SigningCall::write(const botocore::Headers& placed, PyObject* stamp_text,
                        std::string_view authorization) const {
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

bool SigningCall::tell_timestamp(PyObject* stamp_text) const {
  return PyDict_SetItem(context, names.timestamp, stamp_text) == 0;
}

PyObject* SigningCall::details(const HeaderSignature& s, const py::str& stamp_text) const {
  return py::make_tuple(py::str(s.canonical.data(), s.canonical.size()),
                        py::str(s.to_sign.data(), s.to_sign.size()), py::str(s.signature, 64), key,
                        stamp_text)
      .release()
      .ptr();
}

void SigningCall::read_skipped(PyObject* words) {
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

PyObject* SigningCall::pair_of(const botocore::Header& header, PyObject* stamp_text) const {
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

}  // namespace s3accel::bindings
