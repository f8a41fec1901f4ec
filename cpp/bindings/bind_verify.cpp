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
                  py::handle service, double now, double max_skew, py::handle body_hash, bool ecdsa) {
  const Received request(method, target, headers, body_hash);
  VerifyPolicy policy;
  if (!region.is_none()) policy.region = text_of(region);
  policy.service = text_of(service);
  policy.now = seconds(now);
  policy.max_skew = seconds(max_skew);
  policy.scheme = ecdsa ? Scheme::ecdsa : Scheme::hmac;
  PyParsed parsed;
  const auto formed = well_formed(request.view());
  if (!formed) {
    parsed.error = formed.error();
    return parsed;
  }
  const auto r = parse_auth(formed.value(), policy, parsed.auth);
  parsed.error = r.ok() ? parsed.auth.deferred : r.error();
  return parsed;
}

// (code or None, offset, canonical request, string to sign) of a request whose signature is checked
// elsewhere.
py::tuple string_to_verify_py(py::handle method, py::handle target, py::handle headers,
                              const PyParsed& parsed) {
  const Received request(method, target, headers, py::none());
  Text canonical, to_sign;
  const auto formed = well_formed(request.view());
  const auto r = formed ? string_to_verify(formed.value(), parsed.auth, canonical, to_sign)
                        : Result<void>(formed.error());
  py::object code = py::none();
  if (!r) code = py::str(errc_name(r.error().code));
  return py::make_tuple(code, r.error().offset, to_bytes(canonical.view()), to_bytes(to_sign.view()));
}

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
      .def_property_readonly("region_set", &member<&ParsedAuth::region_set>)
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
        py::arg("ecdsa") = false,
        "Reads and judges the authentication of a received request, except its signature.");
  m.def("string_to_verify", &string_to_verify_py, py::arg("method"), py::arg("target"), py::arg("headers"),
        py::arg("parsed"),
        "(code or None, offset, canonical request, string to sign) of a request whose signature is checked "
        "elsewhere");
}

}  // namespace s3accel::bindings
