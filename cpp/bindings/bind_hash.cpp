// Digests, checksums, kernels.
#include <pybind11/pybind11.h>

#include <limits>
#include <mutex>
#include <vector>

#include "bindings.h"
#include "buffers.h"
#include "locks.h"
#include "s3accel/checksum.h"
#include "s3accel/cpu.h"
#include "s3accel/hmac.h"
#include "s3accel/secret.h"
#include "s3accel/sha256.h"

namespace s3accel::bindings {

namespace {

// A CRC moves 50 GB/s: releasing the GIL pays from ten times the bytes of a hash.
constexpr std::size_t kReleaseGilCrcBytes = 32768;

// The buffers of several objects. `inputs` may be changed by another thread, or make its items as it is asked
// for them: the tuple keeps those that were there.
struct BufferViews {
  explicit BufferViews(const py::sequence& inputs)
      : items(py::reinterpret_steal<py::tuple>(PySequence_Tuple(inputs.ptr()))) {
    if (!items) throw py::error_already_set();
    for (py::handle item : items) {
      views.push_back(std::make_unique<BufferView>(item));
      spans.push_back(views.back()->bytes());
      total += spans.back().size();
    }
  }

  py::tuple items;
  std::vector<std::unique_ptr<BufferView>> views;
  std::vector<Bytes> spans;
  std::size_t total = 0;
};

// `many(spans, out)` over all of them, and a list of the digests.
template <class F>
py::list digests_of(const BufferViews& inputs, F&& many) {
  std::vector<std::uint8_t> out(inputs.spans.size() * kSha256Size);
  without_gil(inputs.total, [&] { many(inputs.spans, out.data()); });
  py::list result(inputs.spans.size());
  for (std::size_t i = 0; i < inputs.spans.size(); ++i) {
    result[i] = to_bytes(Bytes(out.data() + i * kSha256Size, kSha256Size));
  }
  return result;
}

// Hash object with hashlib's words, and as safe as hashlib's: threads may share one.
class SharedSha256 {
 public:
  void update(py::handle data) {
    const BufferView view(data);
    alone(mutex_, view.bytes().size(), [&] { hash_.update(view.bytes()); });
  }
  py::bytes digest() const {
    std::uint8_t out[kSha256Size];
    finish_copy(out);
    return to_bytes(Bytes(out, sizeof out));
  }
  py::str hexdigest() const {
    std::uint8_t out[kSha256Size];
    char text[2 * kSha256Size];
    finish_copy(out);
    hex32(out, text);
    return py::str(text, sizeof text);
  }

 private:
  // Finishing ends a hash; the caller may go on with this one.
  void finish_copy(std::uint8_t out[kSha256Size]) const {
    Sha256 copy = alone(mutex_, 0, [this] { return hash_; });
    copy.finish(out);
  }

  mutable std::mutex mutex_;
  Sha256 hash_;
};

// The functions that are called for small buffers are plain C functions: a pybind11 call with a keyword costs
// 130 ns, more than the CRC of 4 KiB.
bool view_of(PyObject* object, Py_buffer& view) {
  return PyObject_GetBuffer(object, &view, PyBUF_SIMPLE) == 0;
}

Bytes bytes_of(const Py_buffer& view) {
  return {static_cast<const std::uint8_t*>(view.buf), static_cast<std::size_t>(view.len)};
}

// crc(data, value=0)
template <class Value, Value (*Update)(Bytes, Value) noexcept>
PyObject* crc_of(PyObject*, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  const Py_ssize_t words = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
  if (nargs < 1 || nargs + words > 2 ||
      (words == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0), "value") != 0)) {
    PyErr_SetString(PyExc_TypeError, "a CRC takes (data, value=0)");
    return nullptr;
  }
  Value value = 0;
  if (nargs + words == 2) {
    const unsigned long long given = PyLong_AsUnsignedLongLong(args[1]);
    if (given == static_cast<unsigned long long>(-1) && PyErr_Occurred() != nullptr) return nullptr;
    if (given > std::numeric_limits<Value>::max()) {
      PyErr_SetString(PyExc_OverflowError, "value is not a CRC of this width");
      return nullptr;
    }
    value = static_cast<Value>(given);
  }
  Py_buffer view;
  if (!view_of(args[0], view)) return nullptr;
  if (bytes_of(view).size() >= kReleaseGilCrcBytes) {
    Py_BEGIN_ALLOW_THREADS;
    value = Update(bytes_of(view), value);
    Py_END_ALLOW_THREADS;
  } else {
    value = Update(bytes_of(view), value);
  }
  PyBuffer_Release(&view);
  return PyLong_FromUnsignedLongLong(value);
}

PyObject* digest_of(PyObject*, PyObject* data) {
  Py_buffer view;
  if (!view_of(data, view)) return nullptr;
  PyObject* out = PyBytes_FromStringAndSize(nullptr, kSha256Size);
  if (out != nullptr) {
    auto* digest = reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(out));
    if (bytes_of(view).size() >= kReleaseGilBytes) {
      Py_BEGIN_ALLOW_THREADS;
      sha256(bytes_of(view), digest);
      Py_END_ALLOW_THREADS;
    } else {
      sha256(bytes_of(view), digest);
    }
  }
  PyBuffer_Release(&view);
  return out;
}

template <class F>
PyCFunction as_function(F f) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(f));
}

PyMethodDef functions[] = {
    {"sha256", &digest_of, METH_O,
     "sha256($module, data, /)\n--\n\n"
     "SHA-256 of a bytes-like object: 32 bytes. Releases the GIL above 4 KiB."},
    {"crc32", as_function(&crc_of<std::uint32_t, &crc32>), METH_FASTCALL | METH_KEYWORDS,
     "crc32($module, data, value=0)\n--\n\n"
     "CRC-32 (polynomial 04C11DB7); value is the CRC of what came before."},
    {"crc32c", as_function(&crc_of<std::uint32_t, &crc32c>), METH_FASTCALL | METH_KEYWORDS,
     "crc32c($module, data, value=0)\n--\n\nCRC-32C (polynomial 1EDC6F41)."},
    {"crc64nvme", as_function(&crc_of<std::uint64_t, &crc64nvme>), METH_FASTCALL | METH_KEYWORDS,
     "crc64nvme($module, data, value=0)\n--\n\nCRC-64/NVME (polynomial AD93D23594C93659)."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void bind_hash(py::module_& m) {
  if (PyModule_AddFunctions(m.ptr(), functions) != 0) throw py::error_already_set();
  m.def(
      "sha256_many",
      [](const py::sequence& inputs) {
        return digests_of(BufferViews(inputs),
                          [](auto& spans, std::uint8_t* out) { sha256_many(spans, out); });
      },
      py::arg("inputs"), py::pos_only(),
      "SHA-256 of each of several independent bytes-like objects, side by side in SIMD lanes.");
  m.def(
      "hmac_sha256",
      [](py::handle key, py::handle data) {
        const BufferView k(key), d(data);
        std::uint8_t out[kSha256Size];
        without_gil(d.bytes().size(), [&] { hmac_sha256(k.bytes(), d.bytes(), out); });
        return to_bytes(Bytes(out, sizeof out));
      },
      py::arg("key"), py::arg("data"), py::pos_only(), "HMAC-SHA256: 32 bytes.");
  m.def(
      "hmac_sha256_many",
      [](py::handle key, const py::sequence& messages) {
        const BufferView k(key);
        return digests_of(BufferViews(messages), [&](auto& spans, std::uint8_t* out) {
          HmacSha256Key(k.bytes()).sign_many(spans, out);
        });
      },
      py::arg("key"), py::arg("messages"), py::pos_only(),
      "HMAC-SHA256 of each of several messages under one key, side by side in SIMD lanes.");
  py::class_<SharedSha256>(m, "Sha256", "SHA-256 with hashlib's words. Threads may share one.")
      .def(py::init<>())
      .def("update", &SharedSha256::update, py::arg("data"), py::pos_only())
      .def("digest", &SharedSha256::digest)
      .def("hexdigest", &SharedSha256::hexdigest);

  m.def("crc32_combine", &crc32_combine, py::arg("a"), py::arg("b"), py::arg("len_b"),
        "CRC-32 of A || B from those of A and B and the length of B in bytes.");
  m.def("crc32c_combine", &crc32c_combine, py::arg("a"), py::arg("b"), py::arg("len_b"));
  m.def("crc64nvme_combine", &crc64nvme_combine, py::arg("a"), py::arg("b"), py::arg("len_b"));

  m.def(
      "equal_constant_time",
      [](py::handle a, py::handle b) { return equal_constant_time(text_of(a), text_of(b)); }, py::arg("a"),
      py::arg("b"), py::pos_only(), "True if two texts are equal; the time depends on the lengths only.");
  m.def(
      "kernels",
      [] {
        py::list result;
        for (const KernelInfo& k : kernels()) {
          py::dict d;
          d["name"] = k.name;
          d["what"] = k.what;
          d["lanes"] = k.lanes;
          d["needs"] = k.needs;
          d["available"] = k.available;
          d["active"] = k.active;
          d["rate"] = k.rate;
          result.append(d);
        }
        return result;
      },
      "Every kernel of this build: name, what, lanes (messages side by side), needs, available, active, rate "
      "in "
      "GB/s (0.0: not measured).");
}

}  // namespace s3accel::bindings
