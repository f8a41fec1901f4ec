// The streaming signer: group buffers that Python fills in place, sealed without the GIL.
#include <pybind11/pybind11.h>

#include <array>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "bindings.h"
#include "buffers.h"
#include "locks.h"
#include "s3accel/chunked.h"

namespace s3accel::bindings {

namespace {

// A bytes object that nobody has seen yet, lent out writable. It stays alive as long as a view of it does.
struct FrameBuffer {
  py::bytes bytes;
  char* data;
  Py_ssize_t size;
};

// What stands at the end of a slot until somebody writes there: 16 random bytes, so that no payload ever
// equals them.
using Unwritten = std::array<std::uint8_t, 16>;

const Unwritten& unwritten() {
  static const Unwritten mark = [] {
    std::random_device random;
    Unwritten bytes{};
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
    return bytes;
  }();
  return mark;
}

struct PyChunkEncoder {
  ChunkEncoder encoder;
  std::optional<ChunkEncoder::Group> group;
  py::object buffer;  // FrameBuffer of the open group
  py::list views;
  Turn turn;

  // What `f` tells of the fields; a step that another thread is in is waited for.
  template <class F>
  auto look(F&& f) const {
    return alone(turn.mutex, 0, f);
  }

  // Views for the payload of the next group of up to `max_chunks` chunks, or None at the end.
  py::object open(std::size_t max_chunks) {
    const Exclusive exclusive(turn);
    if (group) throw_signing_error({Errc::wrong_order, 0});
    if (encoder.finished()) return py::none();
    const ChunkEncoder::Group next = encoder.next_group(max_chunks);
    PyObject* raw = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(next.bytes));
    if (raw == nullptr) throw py::error_already_set();
    auto frame = std::make_unique<FrameBuffer>(FrameBuffer{
        py::reinterpret_steal<py::bytes>(raw), PyBytes_AS_STRING(raw), static_cast<Py_ssize_t>(next.bytes)});
    // What earlier objects left in this memory must never be signed: a source may say that it filled a view
    // and not have done so.
    std::memset(frame->data, 0, static_cast<std::size_t>(next.bytes));
    for (std::size_t i = 0; i < next.chunks; ++i) {
      if (char* at = mark_of(frame->data, i)) std::memcpy(at, unwritten().data(), unwritten().size());
    }
    buffer = py::cast(std::move(frame));
    const py::object all = py::reinterpret_steal<py::object>(PyMemoryView_FromObject(buffer.ptr()));
    if (!all) throw py::error_already_set();
    py::list slots;
    for (std::size_t i = 0; i < next.chunks; ++i) {
      const auto from = static_cast<Py_ssize_t>(encoder.slot_offset(i));
      slots.append(all[py::slice(from, from + static_cast<Py_ssize_t>(encoder.slot_size(i)), 1)]);
    }
    views = py::list();
    for (py::handle slot : slots) views.append(slot);
    views.append(all);
    alone(turn.mutex, 0, [&] { group = next; });
    return slots;
  }

  // Where the mark of the i-th slot stands; nullptr for a slot that is too small to have one.
  char* mark_of(char* base, std::size_t i) const {
    const std::size_t size = encoder.slot_size(i), mark = unwritten().size();
    return size < mark ? nullptr : base + encoder.slot_offset(i) + size - mark;
  }

  // Copies the group's payload out of one contiguous buffer, without the GIL.
  void fill(py::handle data) {
    const Exclusive exclusive(turn);
    if (!group) throw_signing_error({Errc::wrong_order, 0});
    const BufferView view(data);
    if (view.bytes().size() != group->payload) {
      throw py::value_error(
          "fill() wants exactly the payload of the open group: " + std::to_string(group->payload) +
          " bytes, got " + std::to_string(view.bytes().size()));
    }
    char* base = buffer.cast<FrameBuffer*>()->data;
    without_gil(view.bytes().size(), [&] {
      std::size_t at = 0;
      for (std::size_t i = 0; i < group->chunks; ++i) {
        std::memcpy(base + encoder.slot_offset(i), view.bytes().data() + at, encoder.slot_size(i));
        at += encoder.slot_size(i);
      }
    });
  }

  // The next group of a payload that stays in the caller's buffer: [piece, view, piece, view, ..., piece].
  py::list seal_apart(py::handle data, std::size_t max_chunks, py::object trailer_value) {
    const Exclusive exclusive(turn);
    if (group || encoder.finished()) throw_signing_error({Errc::wrong_order, 0});
    const ChunkEncoder::Group next = encoder.next_group(max_chunks);
    const BufferView view(data);
    if (view.bytes().size() != next.payload) {
      throw py::value_error("the next group wants exactly " + std::to_string(next.payload) +
                            " bytes of payload, got " + std::to_string(view.bytes().size()));
    }
    std::string external;
    if (!trailer_value.is_none()) external = text_of(trailer_value);
    std::vector<std::uint8_t> out(static_cast<std::size_t>(next.bytes - next.payload));
    std::vector<std::size_t> ends(next.chunks + 1), sizes(next.chunks);
    for (std::size_t i = 0; i < next.chunks; ++i) sizes[i] = encoder.slot_size(i);
    Result<void> result;
    alone(turn.mutex, view.bytes().size(),
          [&] { result = encoder.seal_apart(next, view.bytes().data(), out.data(), ends.data(), external); });
    if (!result) throw_signing_error(result.error());
    const py::object whole = py::reinterpret_steal<py::object>(PyMemoryView_FromObject(data.ptr()));
    if (!whole) throw py::error_already_set();
    const py::object flat = whole.attr("cast")("B");
    py::list pieces;
    std::size_t from = 0, payload_at = 0;
    for (std::size_t i = 0; i <= next.chunks; ++i) {
      pieces.append(to_bytes(Bytes(out.data() + from, ends[i] - from)));
      from = ends[i];
      if (i == next.chunks) break;
      const auto a = static_cast<Py_ssize_t>(payload_at);
      pieces.append(flat[py::slice(a, a + static_cast<Py_ssize_t>(sizes[i]), 1)]);
      payload_at += sizes[i];
    }
    return pieces;
  }

  py::bytes seal(py::object trailer_value) {
    const Exclusive exclusive(turn);
    if (!group) throw_signing_error({Errc::wrong_order, 0});
    std::string external;
    if (!trailer_value.is_none()) external = text_of(trailer_value);
    auto* frame = buffer.cast<FrameBuffer*>();
    auto* data = reinterpret_cast<std::uint8_t*>(frame->data);
    for (std::size_t i = 0; i < group->chunks; ++i) {
      const char* at = mark_of(frame->data, i);
      // Each half by itself: a source may have written all but a few bytes.
      const std::size_t half = unwritten().size() / 2;
      if (at != nullptr && (std::memcmp(at, unwritten().data(), half) == 0 ||
                            std::memcmp(at + half, unwritten().data() + half, half) == 0)) {
        const py::object type = py::module_::import("s3accel.errors").attr("SourceError");
        const py::object error = type(
            "chunk " + std::to_string(i) + " of the open group was not filled to its end (" +
            std::to_string(encoder.slot_size(i)) +
            " bytes): nothing was signed, and this stream ends here; fill every view that slots() gives");
        PyErr_SetObject(type.ptr(), error.ptr());
        throw py::error_already_set();
      }
    }
    Result<void> result;
    alone(turn.mutex, static_cast<std::size_t>(group->bytes),
          [&] { result = encoder.seal(*group, data, external); });
    // From here on the bytes belong to whoever sends them: our views of them end. A view somebody sliced off
    // keeps the memory alive but cannot be ended from here; writing through it would be the caller's bug.
    for (py::handle view : views) {
      if (PyObject* r = PyObject_CallMethod(view.ptr(), "release", nullptr)) {
        Py_DECREF(r);
      } else {
        PyErr_Clear();
      }
    }
    py::bytes bytes = frame->bytes;
    views = py::list();
    buffer = py::none();
    alone(turn.mutex, 0, [&] { group.reset(); });
    if (!result) throw_signing_error(result.error());
    return bytes;
  }
};

ChunkEncoder::Checksum checksum_named(std::string_view name) {
  if (name.empty()) return ChunkEncoder::Checksum::none;
  if (name == "crc32") return ChunkEncoder::Checksum::crc32;
  if (name == "crc32c") return ChunkEncoder::Checksum::crc32c;
  if (name == "crc64nvme") return ChunkEncoder::Checksum::crc64nvme;
  if (name == "sha256") return ChunkEncoder::Checksum::sha256;
  return ChunkEncoder::Checksum::external;
}

ChunkLayout layout_of(std::uint64_t decoded_length, std::size_t chunk_size, bool is_signed,
                      std::string_view trailer_name, std::size_t trailer_value_length) {
  ChunkLayout layout;
  layout.mode = is_signed ? ChunkMode::signed_hmac : ChunkMode::unsigned_trailer;
  layout.decoded_length = decoded_length;
  layout.chunk_size = chunk_size;
  layout.trailer_name = trailer_name;
  layout.trailer_value_length = trailer_value_length;
  return layout;
}

}  // namespace

void bind_chunked(py::module_& m) {
  m.attr("MIN_CHUNK_SIZE") = kMinChunkSize;
  m.attr("MAX_CHUNK_SIZE") = kMaxChunkSize;

  py::class_<FrameBuffer>(m, "_FrameBuffer", py::buffer_protocol()).def_buffer([](FrameBuffer& frame) {
    return py::buffer_info(reinterpret_cast<unsigned char*>(frame.data), frame.size, false);
  });

  m.def(
      "encoded_length",
      [](std::uint64_t decoded, std::size_t chunk_size, bool is_signed, py::object trailer_name,
         std::size_t trailer_value_length) {
        if (chunk_size < kMinChunkSize || chunk_size > kMaxChunkSize) {
          throw_signing_error({Errc::bad_chunk_size, 0});
        }
        if (decoded > kMaxDecodedLength || trailer_value_length > kMaxTrailerLength)
          throw_signing_error({Errc::too_long, 0});
        std::string name;
        if (!trailer_name.is_none()) name = text_of(trailer_name);
        return layout_of(decoded, chunk_size, is_signed, name, trailer_value_length).encoded_length();
      },
      py::arg("decoded"), py::arg("chunk_size"), py::arg("signed"), py::arg("trailer_name") = py::none(),
      py::arg("trailer_value_length") = 0, "The exact Content-Length of an aws-chunked body.");

  py::class_<PyChunkEncoder>(m, "ChunkEncoder", "Writes one aws-chunked body, group by group.")
      .def(py::init([](std::shared_ptr<SigningKey> key, py::handle timestamp, py::handle seed_signature,
                       std::uint64_t decoded_length, std::size_t chunk_size, py::handle checksum,
                       py::handle trailer_name, std::size_t trailer_value_length) {
             const std::string_view trailer = text_of(trailer_name);
             auto encoder = ChunkEncoder::create(
                 layout_of(decoded_length, chunk_size, key != nullptr, trailer, trailer_value_length),
                 key.get(), text_of(timestamp), text_of(seed_signature), checksum_named(text_of(checksum)));
             if (!encoder) throw_signing_error(encoder.error());
             return std::unique_ptr<PyChunkEncoder>(
                 new PyChunkEncoder{std::move(encoder.value()), std::nullopt, py::none(), py::list(), {}});
           }),
           py::arg("key").none(true), py::arg("timestamp"), py::arg("seed_signature"),
           py::arg("decoded_length"), py::arg("chunk_size"), py::arg("checksum"), py::arg("trailer_name"),
           py::arg("trailer_value_length"))
      .def_property_readonly("encoded_length",
                             [](const PyChunkEncoder& e) { return e.encoder.encoded_length(); })
      .def_property_readonly(
          "remaining", [](const PyChunkEncoder& e) { return e.look([&] { return e.encoder.remaining(); }); })
      .def_property_readonly(
          "finished", [](const PyChunkEncoder& e) { return e.look([&] { return e.encoder.finished(); }); })
      .def_property_readonly(
          "open_payload",
          [](const PyChunkEncoder& e) { return e.look([&] { return e.group ? e.group->payload : 0; }); })
      .def("open", &PyChunkEncoder::open, py::arg("max_chunks"), py::pos_only(),
           "Writable views for the next group's payload, or None when everything was sealed.")
      .def("fill", &PyChunkEncoder::fill, py::arg("data"), py::pos_only(),
           "Copies the open group's payload from one buffer, without the GIL.")
      .def("seal", &PyChunkEncoder::seal, py::arg("trailer_value") = py::none(), py::pos_only(),
           "Signs the open group and gives its frames as bytes; releases the GIL.")
      .def("seal_apart", &PyChunkEncoder::seal_apart, py::arg("data"), py::arg("max_chunks"),
           py::arg("trailer_value") = py::none(), py::pos_only(),
           "Signs the next group of a payload that stays where it is; releases the GIL.")
      .def("checksum",
           [](const PyChunkEncoder& e) {
             std::uint8_t out[kSha256Size];
             const std::size_t n = e.look([&] { return e.encoder.checksum(out); });
             return to_bytes(Bytes(out, n));
           })
      .def("__reduce_ex__", [](const PyChunkEncoder&, int) -> py::object {
        throw py::type_error("a ChunkEncoder holds a signing key and is not pickled");
      });
}

}  // namespace s3accel::bindings
