// Verification: parse, check, decode. Codes and places of faults go to Python as VerificationFault values;
// s3accel.verify turns them into S3's errors.
#include <pybind11/pybind11.h>

#include <string>

#include "bindings.h"
#include "buffers.h"
#include "received.h"
#include "s3accel/verify.h"

namespace s3accel::bindings {

namespace {

struct PyParsed {
  ParsedAuth auth;
  Error error;
};

PyParsed parse_py(py::handle method, py::handle target, py::handle headers, py::handle region,
                  py::handle service, double now, double max_skew, py::handle body_hash) {
  const Received request(method, target, headers, body_hash);
  VerifyPolicy policy;
  if (!region.is_none()) policy.region = text_of(region);
  policy.service = text_of(service);
  policy.now = seconds(now);
  policy.max_skew = seconds(max_skew);
  PyParsed parsed;
  const auto r = parse_auth(request.view(), policy, parsed.auth);
  parsed.error = r.ok() ? parsed.auth.deferred : r.error();
  return parsed;
}

// (code or None, offset, canonical request, string to sign)
py::tuple check_py(py::handle method, py::handle target, py::handle headers, const PyParsed& parsed,
                   const SigningKey& key, py::handle body_hash) {
  const Received request(method, target, headers, body_hash);
  Text canonical, to_sign;
  const auto r = check_signature(request.view(), parsed.auth, key, canonical, to_sign);
  py::object code = py::none();
  if (!r) code = py::str(errc_name(r.error().code));
  return py::make_tuple(code, r.error().offset, to_bytes(canonical.view()), to_bytes(to_sign.view()));
}

// The same for a scheme whose signature is checked elsewhere.
py::tuple string_to_verify_py(py::handle method, py::handle target, py::handle headers,
                              const PyParsed& parsed, py::handle algorithm, py::handle scope) {
  const Received request(method, target, headers, py::none());
  Text canonical, to_sign;
  const auto r =
      string_to_verify(request.view(), parsed.auth, text_of(algorithm), text_of(scope), canonical, to_sign);
  py::object code = py::none();
  if (!r) code = py::str(errc_name(r.error().code));
  return py::make_tuple(code, r.error().offset, to_bytes(canonical.view()), to_bytes(to_sign.view()));
}

struct PyDecoder {
  ChunkDecoder decoder;
  bool busy = false;

  // (decoded bytes, code or None, offset)
  py::tuple feed(py::handle data) {
    const Exclusive exclusive(busy);
    const BufferView view(data);
    PyObject* raw = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(view.bytes().size()));
    if (raw == nullptr) throw py::error_already_set();
    auto* out = reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(raw));
    const auto r = without_gil(view.bytes().size(), [&] { return decoder.feed(view.bytes(), out); });
    if (!r) {
      Py_DECREF(raw);
      return py::make_tuple(py::bytes(), py::str(errc_name(r.error().code)), r.error().offset);
    }
    if (_PyBytes_Resize(&raw, static_cast<Py_ssize_t>(r.value())) != 0) throw py::error_already_set();
    return py::make_tuple(py::reinterpret_steal<py::bytes>(raw), py::none(), 0);
  }

  py::tuple finish() {
    const Exclusive exclusive(busy);
    const auto r = decoder.finish();
    py::object code = py::none();
    if (!r) code = py::str(errc_name(r.error().code));
    return py::make_tuple(code, r.error().offset);
  }
};

template <std::string ParsedAuth::* Member>
py::str member(const PyParsed& p) {
  return to_latin1(p.auth.*Member);
}

// The same words as in Verified (bind_verifier.cpp).
void claims(py::class_<PyParsed>& c) {
  c.def_property_readonly(
       "mechanism",
       [](const PyParsed& p) { return py::str(p.auth.mechanism == Mechanism::query ? "query" : "header"); })
      .def_property_readonly("detail", &member<&ParsedAuth::detail>)
      .def_property_readonly("access_key_id", &member<&ParsedAuth::access_key_id>)
      .def_property_readonly("credential", &member<&ParsedAuth::credential>)
      .def_property_readonly("region", &member<&ParsedAuth::region>)
      .def_property_readonly("service", &member<&ParsedAuth::service>)
      .def_property_readonly("date", &member<&ParsedAuth::date>)
      .def_property_readonly("scope", &member<&ParsedAuth::scope>)
      .def_property_readonly("timestamp", &member<&ParsedAuth::timestamp>)
      .def_property_readonly("signed_headers", &member<&ParsedAuth::signed_headers>)
      .def_property_readonly("signature", &member<&ParsedAuth::signature>)
      .def_property_readonly("payload_hash", &member<&ParsedAuth::payload_hash>)
      .def_property_readonly("session_token", &member<&ParsedAuth::session_token>)
      .def_property_readonly("expires", [](const PyParsed& p) { return p.auth.expires; })
      .def("__repr__", [](const PyParsed& p) { return "<claims of " + p.auth.scope + ">"; });
}

}  // namespace

void bind_verify(py::module_& m) {
  py::class_<PyParsed> parsed(m, "ParsedAuth",
                              "What a request says about its own signature; not yet believed.");
  parsed
      .def_property_readonly("error",
                             [](const PyParsed& p) -> py::object {
                               if (p.error.code == Errc::ok) return py::none();
                               return py::str(errc_name(p.error.code));
                             })
      .def_property_readonly("deferred", [](const PyParsed& p) { return p.auth.deferred.code != Errc::ok; });
  claims(parsed);

  m.def("parse_auth", &parse_py, py::arg("method"), py::arg("target"), py::arg("headers"), py::arg("region"),
        py::arg("service"), py::arg("now"), py::arg("max_skew"), py::arg("body_hash") = py::none(),
        "Reads and judges the authentication of a received request, except its signature.");
  m.def("check_signature", &check_py, py::arg("method"), py::arg("target"), py::arg("headers"),
        py::arg("parsed"), py::arg("key"), py::arg("body_hash") = py::none(),
        "(code or None, offset, canonical request, string to sign)");
  m.def("string_to_verify", &string_to_verify_py, py::arg("method"), py::arg("target"), py::arg("headers"),
        py::arg("parsed"), py::arg("algorithm"), py::arg("scope"),
        "(code or None, offset, canonical request, string to sign) of a request whose signature is checked "
        "elsewhere");

  py::class_<PyDecoder>(m, "ChunkDecoder", "Decodes and checks one aws-chunked body.")
      .def(py::init([](std::shared_ptr<SigningKey> key, py::handle timestamp, py::handle seed_signature,
                       bool trailer_mode, std::uint64_t decoded_length, py::handle trailer_name) {
             ChunkDecoder::Config config;
             config.with_signatures = key != nullptr;
             config.trailer_mode = trailer_mode;
             config.decoded_length = decoded_length;
             config.trailer_name = text_of(trailer_name);
             config.timestamp = text_of(timestamp);
             config.seed_signature = text_of(seed_signature);
             return std::make_unique<PyDecoder>(PyDecoder{ChunkDecoder(std::move(config), key.get()), false});
           }),
           py::arg("key").none(true), py::arg("timestamp"), py::arg("seed_signature"),
           py::arg("trailer_mode"), py::arg("decoded_length"), py::arg("trailer_name"))
      .def("feed", &PyDecoder::feed, py::arg("data"), py::pos_only(), "(decoded bytes, code or None, offset)")
      .def("finish", &PyDecoder::finish, "(code or None, offset)")
      .def_property_readonly("decoded", [](const PyDecoder& d) { return d.decoder.decoded(); })
      .def_property_readonly("data_chunks", [](const PyDecoder& d) { return d.decoder.data_chunks(); })
      .def_property_readonly("bad_chunk", [](const PyDecoder& d) { return d.decoder.bad_chunk(); })
      .def_property_readonly("bad_chunk_size", [](const PyDecoder& d) { return d.decoder.bad_chunk_size(); })
      .def_property_readonly("provided", [](const PyDecoder& d) { return d.decoder.provided(); })
      .def_property_readonly("to_sign", [](const PyDecoder& d) { return to_bytes(d.decoder.to_sign()); })
      .def_property_readonly("provided_signature",
                             [](const PyDecoder& d) { return to_latin1(d.decoder.provided_signature()); })
      .def_property_readonly("trailer_value",
                             [](const PyDecoder& d) { return to_latin1(d.decoder.trailer_value()); })
      .def("__reduce_ex__", [](const PyDecoder&, int) -> py::object {
        throw py::type_error("a ChunkDecoder holds a signing key and is not pickled");
      });
}

}  // namespace s3accel::bindings
