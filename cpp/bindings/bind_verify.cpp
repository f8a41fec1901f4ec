// Verification: parse, check, decode. Codes and places of faults go to Python as VerificationFault values;
// s3accel.verify turns them into S3's errors.
#include <pybind11/pybind11.h>

#include <string>
#include <unordered_map>
#include <vector>

#include "bindings.h"
#include "buffers.h"
#include "headers.h"
#include "s3accel/secret.h"
#include "s3accel/verify.h"

namespace s3accel::bindings {

namespace {

struct PyParsed {
  ParsedAuth auth;
  Error error;
};

// A received request as views. Servers decode the request line as latin-1: a str beyond ASCII is encoded back
// to the bytes that came in.
class Received {
 public:
  Received(py::handle method, py::handle target, py::handle headers, py::handle body_hash) {
    if (!list_.read(headers.ptr(), false)) throw py::error_already_set();
    request_.method = raw(method);
    request_.target = raw(target);
    request_.headers = list_.views();
    if (!body_hash.is_none()) request_.body_hash = text_of(body_hash);
  }
  const ReceivedRequest& view() const noexcept { return request_; }

 private:
  std::string_view raw(py::handle text) {
    if (!PyUnicode_Check(text.ptr()) || PyUnicode_IS_ASCII(text.ptr())) return text_of(text);
    PyObject* latin1 = PyUnicode_AsLatin1String(text.ptr());
    if (latin1 == nullptr) throw py::error_already_set();
    kept_.push_back(py::reinterpret_steal<py::object>(latin1));
    return text_of(kept_.back());
  }

  HeaderList list_;
  std::vector<py::object> kept_;
  ReceivedRequest request_;
};

std::int64_t seconds(double value) {
  // An unlimited skew is a natural thing to ask for; a century is as good and cannot overflow.
  constexpr double kLimit = 4e11;
  return static_cast<std::int64_t>(value > kLimit ? kLimit : value >= 0 ? value : 0);
}

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

// One request, judged: the claims, the texts, and the first fault in S3's order.
struct PyVerified {
  ParsedAuth auth;
  std::string error;  // empty: the signature is right
  std::string canonical, to_sign;
  std::shared_ptr<SigningKey> key;
};

// Everything verify needs beside the request. Derived keys are kept for the very Credentials object they were
// derived from: equal access key ids do not make equal secrets.
struct PyVerifier {
  std::string region, service;
  double max_skew;
  py::object lookup;
  std::size_t max_keys;

  struct Entry {
    py::object credentials;
    std::shared_ptr<SigningKey> key;
  };
  std::unordered_map<std::string, Entry> keys;

  std::shared_ptr<SigningKey> key_for(const py::object& credentials, const ParsedAuth& auth) {
    const std::string name = auth.access_key_id + "/" + auth.scope;
    if (const auto it = keys.find(name); it != keys.end() && it->second.credentials.is(credentials)) {
      return it->second.key;
    }
    const py::object secret = credentials.attr("secret_access_key");
    auto derived = SigningKey::derive(text_of(secret), auth.date, auth.region, auth.service);
    // A scope that no key can have is the request's fault; a secret that none can be is the lookup's.
    if (!derived && derived.error().code == Errc::bad_scope) return nullptr;
    if (!derived) throw_signing_error(derived.error());
    if (keys.size() >= max_keys) keys.clear();
    auto key = std::make_shared<SigningKey>(std::move(derived.value()));
    keys[name] = {credentials, key};
    return key;
  }

  std::unique_ptr<PyVerified> verify(py::handle method, py::handle target, py::handle headers, double now,
                                     py::handle body_hash) {
    const Received received(method, target, headers, body_hash);
    const ReceivedRequest& request = received.view();
    VerifyPolicy policy;
    policy.region = region;
    policy.service = service;
    policy.now = seconds(now);
    policy.max_skew = seconds(max_skew);
    auto out = std::make_unique<PyVerified>();
    ParsedAuth& auth = out->auth;
    if (const auto r = parse_auth(request, policy, auth); !r) {
      out->error = errc_name(r.error().code);
      return out;
    }
    const py::object credentials = lookup(to_latin1(auth.access_key_id));
    if (credentials.is_none()) {
      out->error = "unknown_access_key";
      return out;
    }
    const py::object token = credentials.attr("session_token");
    const std::string_view expected = token.is_none() ? std::string_view() : text_of(token);
    if (!equal_constant_time(expected, auth.session_token)) {
      out->error = "invalid_token";
      return out;
    }
    const py::object expires = credentials.attr("expires_at");
    if (!expires.is_none() && now >= expires.cast<double>()) {
      out->error = "expired_token";
      return out;
    }
    if (auth.deferred.code != Errc::ok) {
      out->error = errc_name(auth.deferred.code);
      return out;
    }
    out->key = key_for(credentials, auth);
    if (!out->key) {
      out->error = errc_name(Errc::credential_malformed);
      return out;
    }
    Text canonical, to_sign;
    const auto r = check_signature(request, auth, *out->key, canonical, to_sign);
    out->canonical = canonical.view();
    out->to_sign = to_sign.view();
    if (!r) out->error = errc_name(r.error().code);
    return out;
  }
};

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

template <class Holder, std::string ParsedAuth::* Member>
py::str member(const Holder& p) {
  return to_latin1(p.auth.*Member);
}

template <class Holder>
py::str mechanism(const Holder& p) {
  return py::str(p.auth.mechanism == Mechanism::query ? "query" : "header");
}

// The claims are read in the same words from both kinds of object.
template <class Holder, class Class>
void claims(Class& c) {
  c.def_property_readonly("mechanism", &mechanism<Holder>)
      .def_property_readonly("detail", &member<Holder, &ParsedAuth::detail>)
      .def_property_readonly("access_key_id", &member<Holder, &ParsedAuth::access_key_id>)
      .def_property_readonly("credential", &member<Holder, &ParsedAuth::credential>)
      .def_property_readonly("region", &member<Holder, &ParsedAuth::region>)
      .def_property_readonly("service", &member<Holder, &ParsedAuth::service>)
      .def_property_readonly("date", &member<Holder, &ParsedAuth::date>)
      .def_property_readonly("scope", &member<Holder, &ParsedAuth::scope>)
      .def_property_readonly("timestamp", &member<Holder, &ParsedAuth::timestamp>)
      .def_property_readonly("signed_headers", &member<Holder, &ParsedAuth::signed_headers>)
      .def_property_readonly("signature", &member<Holder, &ParsedAuth::signature>)
      .def_property_readonly("payload_hash", &member<Holder, &ParsedAuth::payload_hash>)
      .def_property_readonly("session_token", &member<Holder, &ParsedAuth::session_token>)
      .def_property_readonly("expires", [](const Holder& p) { return p.auth.expires; })
      .def("__repr__", [](const Holder& p) { return "<claims of " + p.auth.scope + ">"; });
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
  claims<PyParsed>(parsed);

  py::class_<PyVerified> verified(m, "Verified",
                                  "A request that was judged: claims, texts and the fault, if any.");
  verified
      .def_property_readonly("error",
                             [](const PyVerified& v) -> py::object {
                               if (v.error.empty()) return py::none();
                               return py::str(v.error);
                             })
      .def_property_readonly("canonical_request", [](const PyVerified& v) { return to_bytes(v.canonical); })
      .def_property_readonly("string_to_sign", [](const PyVerified& v) { return to_bytes(v.to_sign); })
      .def_property_readonly("key", [](const PyVerified& v) { return v.key; });
  claims<PyVerified>(verified);

  py::class_<PyVerifier>(m, "VerifierBase", "The native half of s3accel.verify.Verifier.")
      .def(py::init([](py::object lookup, py::object region, py::handle service, double max_skew,
                       std::size_t max_keys) {
             auto v = std::make_unique<PyVerifier>();
             v->lookup = std::move(lookup);
             if (!region.is_none()) v->region = text_of(region);
             v->service = text_of(service);
             v->max_skew = max_skew;
             v->max_keys = max_keys;
             return v;
           }),
           py::arg("lookup"), py::arg("region"), py::arg("service"), py::arg("max_skew"), py::arg("max_keys"))
      .def("verify", &PyVerifier::verify, py::arg("method"), py::arg("target"), py::arg("headers"),
           py::arg("now"), py::arg("body_hash"), py::pos_only())
      .def("__reduce_ex__", [](const PyVerifier&, int) -> py::object {
        throw py::type_error("a VerifierBase holds signing keys and is not pickled");
      });

  m.def("parse_auth", &parse_py, py::arg("method"), py::arg("target"), py::arg("headers"), py::arg("region"),
        py::arg("service"), py::arg("now"), py::arg("max_skew"), py::arg("body_hash") = py::none(),
        "Reads and judges the authentication of a received request, except its signature.");
  m.def("check_signature", &check_py, py::arg("method"), py::arg("target"), py::arg("headers"),
        py::arg("parsed"), py::arg("key"), py::arg("body_hash") = py::none(),
        "(code or None, offset, canonical request, string to sign)");

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
