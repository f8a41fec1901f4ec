// The hot entry: SignerBase.sign. A pybind11 method with keywords costs as much as a signature (476 ns
// measured), so this type is written against the C API: METH_FASTCALL, interned names, no conversions.
// It decides nothing: when its key is not good for the moment it asks Python for another one (_renew).
#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <memory>

#include "bindings.h"
#include "headers.h"
#include "signer_object.h"

namespace s3accel::bindings {

namespace {

constexpr const char* kSignWords[] = {"method", "url", "headers", "payload"};

// The payload hash of a body, or the text given in its place. `digits` has room for 64 characters.
// `*text_object` becomes a new reference to a str that can be handed out as the header's value.
bool payload_hash_of(PyObject* payload, char digits[64], std::string_view& out, PyObject** text_object) {
  *text_object = nullptr;
  if (payload == nullptr || payload == Py_None ||
      (PyBytes_CheckExact(payload) && PyBytes_GET_SIZE(payload) == 0)) {
    out = kEmptyHash;
    *text_object = Py_NewRef(signer_names.empty_hash);
    return true;
  }
  if (PyUnicode_Check(payload)) {
    if (!text_of(payload, out)) return false;
    *text_object = Py_NewRef(payload);
    return true;
  }
  Py_buffer view;
  if (PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE) != 0) return false;
  const Bytes bytes(static_cast<const std::uint8_t*>(view.buf), static_cast<std::size_t>(view.len));
  std::uint8_t digest[32];
  if (bytes.size() >= kReleaseGilBytes) {
    Py_BEGIN_ALLOW_THREADS;
    sha256(bytes, digest);
    Py_END_ALLOW_THREADS;
  } else {
    sha256(bytes, digest);
  }
  PyBuffer_Release(&view);
  hex_encode({digest, 32}, digits);
  out = {digits, 64};
  *text_object = PyUnicode_FromStringAndSize(digits, 64);
  return *text_object != nullptr;
}

// The dict of headers to add. `hash_text` is the payload hash as a str.
PyObject* headers_to_add(const Second& second, const HeaderSignature& signature, PyObject* hash_text) {
  py::object result = py::reinterpret_steal<py::object>(PyDict_Copy(second.headers.ptr()));
  if (!result ||
      !set_item(result.ptr(), signer_names.authorization, ascii_object(signature.authorization.view()))) {
    return nullptr;
  }
  if (hash_text != signer_names.empty_hash && second.state->add_content_sha256 &&
      !set_item(result.ptr(), signer_names.sha256, Py_NewRef(hash_text))) {
    return nullptr;
  }
  return result.release().ptr();
}

// Signs and gives the dict of headers to add; with `detailed` a tuple with every stage.
PyObject* sign_common(SignerObject* self, PyObject* const args[4], bool detailed) {
  const std::shared_ptr<const Second> second = second_of(self);
  if (!second) return nullptr;
  const State& state = *second->state;

  char digits[64];
  SignRequest request;
  PyObject* hash_text = nullptr;
  // The body first: hashing may let other threads run, and the views below must not outlive a change.
  if (!payload_hash_of(args[3], digits, request.payload_hash, &hash_text)) return nullptr;
  const py::object hash_owner = py::reinterpret_steal<py::object>(hash_text);
  HeaderList headers;
  if (!text_of(args[0], request.method) || !text_of(args[1], request.url)) return nullptr;
  if (!headers.read(args[2], true)) return nullptr;
  request.headers = headers.views();
  request.session_token = state.token_text;
  request.token_header = state.token_header_text;
  request.selection = state.selection;
  request.add_content_sha256 = state.add_content_sha256;

  HeaderSignature signature;
  if (auto r = sign_headers(second->key, state.access_key_id, request, signature); !r) {
    return set_signing_error(r.error(), headers.views());
  }

  py::object result = py::reinterpret_steal<py::object>(headers_to_add(*second, signature, hash_text));
  if (!result) return nullptr;
  if (!detailed) return result.release().ptr();
  const std::string_view stamp = second->key.now().text();
  return py::make_tuple(result, py::str(signature.signature, 64), py::str(stamp.data(), stamp.size()),
                        to_bytes(signature.canonical.view()), to_bytes(signature.to_sign.view()),
                        py::str(signature.signed_headers.data(), signature.signed_headers.size()), state.key)
      .release()
      .ptr();
}

PyObject* signer_sign(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  PyObject* unpacked[4];
  if (!unpack("sign", kSignWords, 4, 2, args, nargs, kwnames, unpacked)) return nullptr;
  return guarded([&] { return sign_common(reinterpret_cast<SignerObject*>(self), unpacked, false); });
}

PyObject* signer_sign_detailed(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  PyObject* unpacked[4];
  if (!unpack("_sign_detailed", kSignWords, 4, 2, args, nargs, kwnames, unpacked)) return nullptr;
  return guarded([&] { return sign_common(reinterpret_cast<SignerObject*>(self), unpacked, true); });
}

// One entry of sign_many: (method, url[, headers[, payload]]), with everything that keeps its views alive.
struct BatchEntry {
  HeaderList headers;
  py::object hash_owner;
  char digits[64];
};

// sign_many(requests): a list of dicts, each what sign() would give, all with one date and one key.
PyObject* signer_sign_many(PyObject* self, PyObject* requests) {
  return guarded([&]() -> PyObject* {
    const std::shared_ptr<const Second> second = second_of(reinterpret_cast<SignerObject*>(self));
    if (!second) return nullptr;
    const State& state = *second->state;
    const py::object all = py::reinterpret_steal<py::object>(PySequence_Tuple(requests));
    if (!all) return nullptr;
    const Py_ssize_t n = PyTuple_GET_SIZE(all.ptr());
    py::object list = py::reinterpret_steal<py::object>(PyList_New(n));
    if (!list) return nullptr;
    const auto signatures = std::make_unique<HeaderSignature[]>(kSignBatch);
    for (Py_ssize_t from = 0; from < n; from += static_cast<Py_ssize_t>(kSignBatch)) {
      const auto count = static_cast<std::size_t>(std::min<Py_ssize_t>(n - from, kSignBatch));
      std::array<BatchEntry, kSignBatch> entries;
      std::array<SignRequest, kSignBatch> batch;
      for (std::size_t i = 0; i < count; ++i) {
        PyObject* item = PyTuple_GET_ITEM(all.ptr(), from + static_cast<Py_ssize_t>(i));
        if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) < 2 || PyTuple_GET_SIZE(item) > 4) {
          PyErr_SetString(PyExc_TypeError, "sign_many() takes tuples (method, url[, headers[, payload]])");
          return nullptr;
        }
        const Py_ssize_t given = PyTuple_GET_SIZE(item);
        PyObject* hash_text = nullptr;
        if (!payload_hash_of(given > 3 ? PyTuple_GET_ITEM(item, 3) : nullptr, entries[i].digits,
                             batch[i].payload_hash, &hash_text)) {
          return nullptr;
        }
        entries[i].hash_owner = py::reinterpret_steal<py::object>(hash_text);
        if (!text_of(PyTuple_GET_ITEM(item, 0), batch[i].method) ||
            !text_of(PyTuple_GET_ITEM(item, 1), batch[i].url) ||
            (given > 2 && !entries[i].headers.read(PyTuple_GET_ITEM(item, 2), true))) {
          return nullptr;
        }
        batch[i].headers = entries[i].headers.views();
        batch[i].session_token = state.token_text;
        batch[i].token_header = state.token_header_text;
        batch[i].selection = state.selection;
        batch[i].add_content_sha256 = state.add_content_sha256;
      }
      std::size_t at = 0;
      if (auto r = sign_headers_batch(second->key, state.access_key_id, {batch.data(), count},
                                      signatures.get(), at);
          !r) {
        return set_signing_error(r.error(), entries[at].headers.views());
      }
      for (std::size_t i = 0; i < count; ++i) {
        PyObject* dict = headers_to_add(*second, signatures[i], entries[i].hash_owner.ptr());
        if (dict == nullptr) return nullptr;
        PyList_SET_ITEM(list.ptr(), from + static_cast<Py_ssize_t>(i), dict);
      }
    }
    return list.release().ptr();
  });
}

PyMethodDef methods[] = {
    {"sign", as_function(&signer_sign), METH_FASTCALL | METH_KEYWORDS,
     "sign($self, /, method, url, headers=None, payload=b'')\n--\n\n"
     "The headers to add to a request so that AWS accepts it."},
    {"sign_many", &signer_sign_many, METH_O,
     "sign_many($self, requests, /)\n--\n\n"
     "sign() for many (method, url[, headers[, payload]]) tuples, hashed side by side."},
    {"_sign_detailed", as_function(&signer_sign_detailed), METH_FASTCALL | METH_KEYWORDS,
     "_sign_detailed($self, /, method, url, headers=None, payload=b'')\n--\n\n"
     "sign() with every stage: (headers, signature, timestamp, canonical request, string to sign, signed "
     "headers, key)."},
    {"presign", as_function(&signer_presign), METH_FASTCALL | METH_KEYWORDS,
     "presign($self, /, method, url, expires=3600, headers=None, payload=None)\n--\n\n"
     "A URL that carries its own signature."},
    {"_presign_many", as_function(&signer_presign_many), METH_FASTCALL,
     "_presign_many(method, base_url, keys, expires, headers)"},
    {"signing_key", &signer_signing_key, METH_NOARGS,
     "signing_key($self, /)\n--\n\n"
     "The key of this moment's day, region and service."},
    {"_install", as_function(&signer_install), METH_FASTCALL, "Sets what the next requests are signed with."},
    {"_set_clock", &signer_set_clock, METH_O, "A callable that gives epoch seconds, or None."},
    {"_now", &signer_now, METH_NOARGS, "Epoch seconds by this signer's clock."},
    {"_forget", &signer_forget, METH_NOARGS, "Drops the key; it is wiped when no request uses it any more."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(&signer_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(&signer_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(&signer_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(&signer_clear)},
    {Py_tp_methods, methods},
    {Py_tp_doc, const_cast<char*>("The native half of s3accel.signer.Signer.")},
    {0, nullptr},
};

PyType_Spec spec = {"s3accel._core.SignerBase", sizeof(SignerObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};

}  // namespace

void bind_signer(py::module_& m) {
  init_signer_object(m);
  PyObject* type = PyType_FromSpec(&spec);
  if (type == nullptr) throw py::error_already_set();
  m.attr("SignerBase") = py::reinterpret_steal<py::object>(type);
}

}  // namespace s3accel::bindings
