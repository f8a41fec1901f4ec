// Errc -> Python exception: the one translation table for signing. (Verification errors carry S3's codes and
// texts; verify.py has that table.)
#include <pybind11/pybind11.h>

#include <string>

#include "bindings.h"

namespace py = pybind11;

namespace s3accel::bindings {

namespace {

struct Description {
  const char* field;
  const char* message;
};

Description describe(Errc code) noexcept {
  switch (code) {
    case Errc::bad_method:
      return {"method", "the method must be upper-case letters, for example GET"};
    case Errc::bad_url:
      return {
          "url",
          "the URL must be absolute and percent-encoded: no space, control character or byte beyond ASCII "
          "(s3accel.uri_encode makes the path of a key)"};
    case Errc::missing_host:
      return {"url", "the URL names no host"};
    case Errc::fragment_in_url:
      return {"url", "a raw '#' ends the path; write %23 for one in a key"};
    case Errc::bad_percent_escape:
      return {"url", "'%' must be followed by two hexadecimal digits; a literal percent sign is %25"};
    case Errc::raw_plus_in_query:
      return {"url",
              "a raw '+' in the query is read as a space by some servers and as a plus by others: write %20 "
              "or %2B"};
    case Errc::bad_header_name:
      return {"header", "the name is not an HTTP token"};
    case Errc::bad_header_value:
      return {"header", "the value holds a line break or NUL"};
    case Errc::reserved_header:
      return {"header", "the signer sets this header itself; take it out of the request"};
    case Errc::bad_timestamp:
      return {"timestamp", "the timestamp must be YYYYMMDD'T'HHMMSS'Z'"};
    case Errc::bad_payload_hash:
      return {"payload",
              "a payload given as text must be 64 hexadecimal digits, UNSIGNED-PAYLOAD or a STREAMING-... "
              "constant; "
              "give the body itself as bytes"};
    case Errc::payload_conflict:
      return {"header", "the request says two different things of its payload"};
    case Errc::bad_scope:
      return {"scope", "date must be YYYYMMDD; region and service must be visible ASCII without / , ; ="};
    case Errc::bad_secret:
      return {
          "secret_access_key",
          "the secret access key is empty or has white space or a control character in it (often a line end "
          "that was pasted along)"};
    case Errc::bad_key:
      return {"key", "a signing key has 32 bytes, as export() gives them"};
    case Errc::bad_credentials:
      return {"credentials", "the access key id or the session token holds a character that no AWS key has"};
    case Errc::bad_chunk_size:
      return {"chunk_size", "the chunk size must be 8,192 to 16,777,216 bytes"};
    case Errc::bad_trailer:
      return {"trailer", "the trailer's value does not have the length that was announced"};
    case Errc::bad_expires:
      return {"expires", "a presigned URL may live 1 to 604,800 seconds (7 days)"};
    case Errc::wrong_order:
      return {"order", "this step was called out of turn"};
    case Errc::too_long:
      return {"length", "a hard limit on a length was passed"};
    default:
      return {"", errc_name(code)};
  }
}

}  // namespace

PyObject* set_signing_error(Error error, std::span<const HeaderView> headers, std::string_view payload_hash) {
  if (PyErr_Occurred() != nullptr) return nullptr;
  const Description text = describe(error.code);
  std::string field = text.field;
  std::string message = "cannot sign: ";
  py::object offset = py::none();
  if (field == "header" && error.offset < headers.size()) {
    field += " ";
    field += headers[error.offset].name.substr(0, 128);
    message += field + ": ";
  } else if (field == "url") {
    offset = py::int_(error.offset);
    message += "url, at byte " + std::to_string(error.offset) + ": ";
  }
  message += text.message;
  if (error.code == Errc::payload_conflict && error.offset < headers.size()) {
    message += ": the header says " + std::string(headers[error.offset].value.substr(0, 128));
    message += payload_hash.empty() ? " after another one of that name"
                                    : ", the payload argument " + std::string(payload_hash.substr(0, 128));
    message += "; give one of them";
  }
  const py::module_ errors = py::module_::import("s3accel.errors");
  const bool config = error.code == Errc::bad_chunk_size || error.code == Errc::bad_expires;
  const py::object type = errors.attr(config ? "ConfigError" : "SigningError");
  PyObject* decoded =
      PyUnicode_DecodeLatin1(message.data(), static_cast<Py_ssize_t>(message.size()), nullptr);
  const py::object shown = py::reinterpret_steal<py::object>(decoded);
  PyObject* decoded_field =
      PyUnicode_DecodeLatin1(field.data(), static_cast<Py_ssize_t>(field.size()), nullptr);
  const py::object shown_field = py::reinterpret_steal<py::object>(decoded_field);
  const py::object exception = config ? type(shown) : type(shown, shown_field, offset);
  PyErr_SetObject(type.ptr(), exception.ptr());
  return nullptr;
}

void throw_signing_error(Error error, std::span<const HeaderView> headers, std::string_view payload_hash) {
  set_signing_error(error, headers, payload_hash);
  throw py::error_already_set();
}

}  // namespace s3accel::bindings
