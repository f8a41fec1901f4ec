// ChunkDecoder: an aws-chunked body, decoded and checked. Codes and places of faults go to Python as values;
// s3accel.verify turns them into S3's errors.
#include <pybind11/pybind11.h>

#include <functional>
#include <memory>
#include <string>

#include "bindings.h"
#include "buffers.h"
#include "locks.h"
#include "s3accel/chunk_decoder.h"

namespace s3accel::bindings {

namespace {

// The caller's function that judges the signatures of SigV4a. What it raises is kept until the decoder has
// come to its end, because a C++ frame that another exception leaves half-way could not go on.
struct Checker {
  py::object function;  // check(string to sign: bytes, signature: str) -> bool
  std::exception_ptr raised;

  bool operator()(std::string_view to_sign, std::string_view signature) {
    const py::gil_scoped_acquire gil;
    try {
      return function(to_bytes(to_sign), to_latin1(signature)).cast<bool>();
    } catch (const std::exception&) {
      raised = std::current_exception();
      return false;
    }
  }
};

struct PyDecoder {
  ChunkDecoder decoder;
  std::shared_ptr<Checker> checker;  // nullptr: HMAC, or no signatures
  Turn turn;

  // What `f` tells of the decoder; a step that another thread is in is waited for.
  template <class F>
  auto look(F&& f) const {
    return alone(turn.mutex, 0, [&] { return std::invoke(f, decoder); });
  }

  void rethrow() const {
    if (checker && checker->raised) std::rethrow_exception(std::exchange(checker->raised, nullptr));
  }

  // (decoded bytes, code or None, offset)
  py::tuple feed(py::handle data) {
    const Exclusive exclusive(turn);
    const BufferView view(data);
    PyObject* raw = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(view.bytes().size()));
    if (raw == nullptr) throw py::error_already_set();
    auto bytes = py::reinterpret_steal<py::object>(raw);
    auto* out = reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(raw));
    const auto r = alone(turn.mutex, view.bytes().size(), [&] { return decoder.feed(view.bytes(), out); });
    rethrow();
    if (!r) return py::make_tuple(py::bytes(), py::str(errc_name(r.error().code)), r.error().offset);
    raw = bytes.release().ptr();
    if (_PyBytes_Resize(&raw, static_cast<Py_ssize_t>(r.value())) != 0) throw py::error_already_set();
    return py::make_tuple(py::reinterpret_steal<py::bytes>(raw), py::none(), 0);
  }

  py::tuple finish() {
    const Exclusive exclusive(turn);
    const auto r = alone(turn.mutex, 0, [&] { return decoder.finish(); });
    rethrow();
    py::object code = py::none();
    if (!r) code = py::str(errc_name(r.error().code));
    return py::make_tuple(code, r.error().offset);
  }
};

template <auto Getter>
auto number(const PyDecoder& d) {
  return d.look(Getter);
}

// A copy: what the decoder gives is a view of what the next step changes.
template <auto Getter>
std::string text(const PyDecoder& d) {
  return d.look([](const ChunkDecoder& decoder) { return std::string((decoder.*Getter)()); });
}

ChunkDecoder::Config config_of(py::handle timestamp, py::handle seed_signature, bool trailer_mode,
                               std::uint64_t decoded_length, py::handle trailer_name) {
  ChunkDecoder::Config config;
  config.trailer_mode = trailer_mode;
  config.decoded_length = decoded_length;
  config.trailer_name = text_of(trailer_name);
  config.timestamp = text_of(timestamp);
  config.seed_signature = text_of(seed_signature);
  return config;
}

}  // namespace

void bind_decoder(py::module_& m) {
  py::class_<PyDecoder>(m, "ChunkDecoder", "Decodes and checks one aws-chunked body.")
      .def(py::init([](std::shared_ptr<SigningKey> key, py::handle timestamp, py::handle seed_signature,
                       bool trailer_mode, std::uint64_t decoded_length, py::handle trailer_name) {
             auto config = config_of(timestamp, seed_signature, trailer_mode, decoded_length, trailer_name);
             config.with_signatures = key != nullptr;
             return std::unique_ptr<PyDecoder>(
                 new PyDecoder{ChunkDecoder(std::move(config), key.get()), nullptr, {}});
           }),
           py::arg("key").none(true), py::arg("timestamp"), py::arg("seed_signature"),
           py::arg("trailer_mode"), py::arg("decoded_length"), py::arg("trailer_name"))
      .def_static(
          "checked_by",
          [](py::object check, py::handle scope, py::handle timestamp, py::handle seed_signature,
             bool trailer_mode, std::uint64_t decoded_length, py::handle trailer_name) {
            auto checker = std::make_shared<Checker>(Checker{std::move(check), nullptr});
            auto config = config_of(timestamp, seed_signature, trailer_mode, decoded_length, trailer_name);
            const auto call = [checker](std::string_view to_sign, std::string_view signature) {
              return (*checker)(to_sign, signature);
            };
            return std::unique_ptr<PyDecoder>(
                new PyDecoder{ChunkDecoder(std::move(config), text_of(scope), call), checker, {}});
          },
          py::arg("check"), py::arg("scope"), py::arg("timestamp"), py::arg("seed_signature"),
          py::arg("trailer_mode"), py::arg("decoded_length"), py::arg("trailer_name"),
          "One of SigV4a: check(string to sign, signature) judges each signature of the stream.")
      .def("feed", &PyDecoder::feed, py::arg("data"), py::pos_only(), "(decoded bytes, code or None, offset)")
      .def("finish", &PyDecoder::finish, "(code or None, offset)")
      .def_property_readonly("decoded", &number<&ChunkDecoder::decoded>)
      .def_property_readonly("data_chunks", &number<&ChunkDecoder::data_chunks>)
      .def_property_readonly("bad_chunk", &number<&ChunkDecoder::bad_chunk>)
      .def_property_readonly("bad_chunk_size", &number<&ChunkDecoder::bad_chunk_size>)
      .def_property_readonly("provided", &number<&ChunkDecoder::provided>)
      .def_property_readonly("to_sign",
                             [](const PyDecoder& d) { return to_bytes(text<&ChunkDecoder::to_sign>(d)); })
      .def_property_readonly(
          "provided_signature",
          [](const PyDecoder& d) { return to_latin1(text<&ChunkDecoder::provided_signature>(d)); })
      .def_property_readonly(
          "trailer_value",
          [](const PyDecoder& d) { return to_latin1(text<&ChunkDecoder::trailer_value>(d)); })
      .def("__reduce_ex__", [](const PyDecoder&, int) -> py::object {
        throw py::type_error("a ChunkDecoder holds a signing key and is not pickled");
      });
}

}  // namespace s3accel::bindings
