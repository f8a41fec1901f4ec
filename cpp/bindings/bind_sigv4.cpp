// The stages of signing, each a pure function, so that a mismatch is found by stage; and the signing key.
#include <pybind11/pybind11.h>
#include <algorithm>
#include <cmath>

#include <string>

#include "bindings.h"
#include "buffers.h"
#include "c_api.h"
#include "headers.h"
#include "s3accel/signing_input.h"
#include "s3accel/sigv4.h"

namespace s3accel::bindings {

namespace {

py::str uri_encode_py(py::handle text, bool keep_slash) {
  Text out;
  uri_encode(text_of(text), keep_slash, out);
  return py::str(out.data(), out.size());
}

py::str canonical_query_py(py::handle raw, bool plus_is_space, bool tolerant) {
  Text out;
  QueryOptions options;
  options.plus = plus_is_space ? Plus::space : Plus::literal;
  options.escapes = tolerant ? Escapes::tolerant : Escapes::strict;
  if (auto r = canonical_query(text_of(raw), options, out); !r) throw_signing_error(r.error());
  return py::str(out.data(), out.size());
}

py::str canonical_path_py(py::handle path, bool double_encode, bool normalize) {
  Text out;
  const PathRule rule = normalize       ? PathRule::normalize_encode
                        : double_encode ? PathRule::encode
                                        : PathRule::as_sent;
  if (auto r = canonical_path(text_of(path), rule, Escapes::strict, out); !r) throw_signing_error(r.error());
  return py::reinterpret_steal<py::str>(
      PyUnicode_DecodeUTF8(out.data(), static_cast<Py_ssize_t>(out.size()), "surrogateescape"));
}

py::tuple canonical_request_py(py::handle method, py::handle target, py::handle headers,
                               py::handle payload_hash, bool double_encode, bool normalize, py::object select,
                               bool decode, py::handle host) {
  HeaderList list;
  if (!list.read(headers.ptr(), false)) throw py::error_already_set();
  const std::string_view whole = text_of(target);
  const std::size_t question = std::min(whole.find('?'), whole.size());
  const RequestView view{text_of(method), whole.substr(0, question),
                         question < whole.size() ? whole.substr(question + 1) : std::string_view(),
                         list.views(), text_of(payload_hash)};
  CanonicalOptions options;
  options.path = normalize       ? PathRule::normalize_encode
                 : double_encode ? PathRule::encode
                 : decode        ? PathRule::decode_encode
                                 : PathRule::as_sent;
  options.headers.host = text_of(host);
  std::string names;
  if (py::isinstance<py::str>(select)) {
    const std::string word = select.cast<std::string>();
    if (word != "recommended" && word != "all") {
      throw py::value_error("select must be 'recommended', 'all' or a list of header names");
    }
    options.headers.selection = word == "all" ? Selection::all : Selection::recommended;
  } else {
    options.headers.selection = Selection::listed;
    for (py::handle name : select) {
      if (!names.empty()) names += ';';
      names += text_of(name);
    }
    options.headers.listed = names;
  }
  Text out, signed_headers;
  const auto r = canonical_request(view, options, out, signed_headers);
  if (!r && r.error().code != Errc::signed_header_missing) throw_signing_error(r.error(), list.views());
  return py::make_tuple(to_bytes(out.view()), py::str(signed_headers.data(), signed_headers.size()));
}

// (URL before the query, Host, path, query, payload hash)
py::tuple signing_input_py(py::handle method, py::handle url, py::handle headers, py::handle payload_hash,
                           py::handle service, bool presigned, bool ecdsa) {
  HeaderList list;
  if (!list.read(headers.ptr(), true)) throw py::error_already_set();
  const std::string_view text = text_of(url), hash = payload_hash.is_none() ? "" : text_of(payload_hash);
  // An empty text is a hash that was forgotten; to the core it would mean "none given".
  if (!payload_hash.is_none() && hash.empty()) throw_signing_error({Errc::bad_payload_hash, 0});
  SigningInput input;
  const auto r =
      read_signing_input(text_of(method), text, list.views(), hash, presigned ? Place::query : Place::headers,
                         text_of(service), ecdsa ? Scheme::ecdsa : Scheme::hmac, input);
  if (!r) throw_signing_error(r.error(), list.views(), hash);
  const UrlParts& parts = input.url;
  Text ignored;
  QueryOptions options;
  options.plus = Plus::refuse;
  if (auto q = canonical_query(parts.query, options, ignored); !q) {
    throw_signing_error(in_url(q.error(), parts.query_offset));
  }
  const auto str = [](std::string_view s) { return py::str(s.data(), s.size()); };
  return py::make_tuple(str(text.substr(0, parts.path_offset + parts.path.size())), str(input.host.view()),
                        str(parts.path), str(parts.query), str(input.payload_hash));
}

py::bytes string_to_sign_py(py::handle timestamp, py::handle scope, py::handle canonical,
                            py::handle algorithm) {
  const BufferView text(canonical);
  Text out;
  string_to_sign(text_of(algorithm), text_of(timestamp), text_of(scope), text.text(), out);
  return to_bytes(out.view());
}

std::shared_ptr<SigningKey> checked(Result<SigningKey> key) {
  if (!key) throw_signing_error(key.error());
  return std::make_shared<SigningKey>(std::move(key.value()));
}

// SigningKey.derive(secret, date, region, service). A pybind11 call with keywords takes a fifth of it.
PyObject* key_derive(PyObject*, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  static constexpr const char* kWords[] = {"secret", "date", "region", "service"};
  PyObject* given[4];
  if (!unpack("derive", kWords, 4, 4, args, nargs, kwnames, given)) return nullptr;
  return guarded([&] {
    std::string_view texts[4];
    for (int i = 0; i < 4; ++i) texts[i] = text_of(py::handle(given[i]));
    return py::cast(checked(SigningKey::derive(texts[0], texts[1], texts[2], texts[3]))).release().ptr();
  });
}

PyMethodDef derive_method = {"derive", as_function(&key_derive), METH_FASTCALL | METH_KEYWORDS,
                             "derive(secret, date, region, service)\n--\n\n"
                             "The key of a secret access key for one day (YYYYMMDD), region and service."};

}  // namespace

void bind_sigv4(py::module_& m) {
  m.def("uri_encode", &uri_encode_py, py::arg("text"), py::arg("keep_slash") = false,
        "UriEncode of AWS over UTF-8 bytes: all but A-Z a-z 0-9 - . _ ~ becomes %XX in upper case.");
  m.def("canonical_query", &canonical_query_py, py::arg("raw"), py::arg("plus_is_space") = false,
        py::arg("tolerant") = false, "The canonical form of a raw query (without '?').");
  m.def("canonical_path", &canonical_path_py, py::arg("path"), py::arg("double_encode") = false,
        py::arg("normalize") = false,
        "The canonical form of a wire path: as sent (S3), encoded once more, or normalized and encoded.");
  m.def("canonical_request", &canonical_request_py, py::arg("method"), py::arg("target"), py::arg("headers"),
        py::arg("payload_hash"), py::arg("double_encode") = false, py::arg("normalize") = false,
        py::arg("select") = "recommended", py::arg("decode") = false, py::arg("host") = "",
        "The canonical request as bytes, and the signed header names joined by ';'.");
  m.def("signing_input", &signing_input_py, py::arg("method"), py::arg("url"), py::arg("headers"),
        py::arg("payload_hash"), py::arg("service"), py::arg("presigned") = false, py::arg("ecdsa") = false,
        "What every way of signing asks of a request: (URL before its query, Host, path, query, payload "
        "hash).");
  m.def("string_to_sign", &string_to_sign_py, py::arg("timestamp"), py::arg("scope"), py::arg("canonical"),
        py::arg("algorithm") = "AWS4-HMAC-SHA256", "The string to sign as bytes.");
  m.def(
      "timestamp_of",
      [](double epoch) {
        if (!representable(epoch)) throw_signing_error({Errc::bad_timestamp, 0});
        const Timestamp t = Timestamp::from_epoch(static_cast<std::int64_t>(std::floor(epoch)));
        return py::str(t.text().data(), t.text().size());
      },
      py::arg("epoch"), py::pos_only(), "YYYYMMDD'T'HHMMSS'Z' of seconds since 1970.");
  m.def(
      "epoch_of",
      [](py::handle text) {
        const auto t = Timestamp::parse(text_of(text));
        if (!t) throw_signing_error(t.error());
        return t.value().epoch();
      },
      py::arg("timestamp"), py::pos_only(), "Seconds since 1970 of a timestamp.");

  py::class_<SigningKey, std::shared_ptr<SigningKey>> key_class(
      m, "SigningKey",
      "A key that signs for one day, one region and one service, in memory that is wiped when it goes.");
  PyObject* derive = PyCFunction_New(&derive_method, nullptr);
  if (derive == nullptr) throw py::error_already_set();
  key_class.attr("derive") = py::staticmethod(py::reinterpret_steal<py::object>(derive));
  key_class
      .def_static(
          "restore",
          [](py::handle key, py::handle date, py::handle region, py::handle service) {
            const BufferView raw(key);
            return checked(
                SigningKey::restore(raw.bytes(), text_of(date), text_of(region), text_of(service)));
          },
          py::arg("key"), py::arg("date"), py::arg("region"), py::arg("service"),
          "A key from the 32 bytes that export() gave elsewhere.")
      .def_property_readonly("date", [](const SigningKey& k) { return std::string(k.date()); })
      .def_property_readonly("region", [](const SigningKey& k) { return std::string(k.region()); })
      .def_property_readonly("service", [](const SigningKey& k) { return std::string(k.service()); })
      .def_property_readonly("scope", [](const SigningKey& k) { return std::string(k.scope()); })
      .def(
          "sign",
          [](const SigningKey& k, py::handle data) {
            char out[64];
            if (PyUnicode_Check(data.ptr())) {
              k.sign(text_of(data), out);
            } else {
              const BufferView view(data);
              k.sign(view.text(), out);
            }
            return py::str(out, 64);
          },
          py::arg("string_to_sign"), py::pos_only(), "64 lower-case hexadecimal digits.")
      .def(
          "export", [](const SigningKey& k) { return to_bytes(Bytes(k.raw().data(), 32)); },
          "The 32 secret bytes, for a host that shall sign this day without the secret. Handle them as one.")
      .def("__repr__",
           [](const SigningKey& k) {
             const std::string scope(k.scope());
             return "<SigningKey " + scope.substr(0, scope.rfind('/')) + ">";
           })
      .def("__reduce_ex__", [](const SigningKey&, int) -> py::object {
        throw py::type_error("a SigningKey is not pickled; call export() if you mean to hand it on");
      });
}

}  // namespace s3accel::bindings
