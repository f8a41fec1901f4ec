// The native half of the botocore adapter: one call reads a request's headers, signs by botocore's own rules
// and puts the new headers into the list. It never half-does anything: whatever it is not sure to do exactly
// as botocore does, it leaves untouched and returns None, and botocore's own code signs that request.
#include <pybind11/pybind11.h>

#include <atomic>

#include "bindings.h"
#include "botocore_call.h"

namespace s3accel::bindings {

namespace {

struct BotocoreObject {
  PyObject_HEAD SigningKeyCache* keys;
  std::atomic<std::uint64_t> signed_, presigned;
};

PyObject* none() {
  return Py_NewRef(Py_None);
}

// sign(what SigningCall::read reads): True, or the stages if asked for.
PyObject* core_sign(PyObject* object, PyObject* const* args, Py_ssize_t nargs) {
  return guarded([&]() -> PyObject* {
    if (nargs != 15) {
      PyErr_SetString(PyExc_TypeError, "sign() takes 15 arguments");
      return nullptr;
    }
    auto* self = reinterpret_cast<BotocoreObject*>(object);
    SigningCall call;
    if (!call.read(*self->keys, args) || !call.read_payload(args[12])) return none();
    botocore::Headers placed;
    if (!botocore::place_headers(call.headers.views(), call.signing, call.request.payload_hash, placed)) {
      return none();
    }
    call.request.query = call.url.query;
    if (args[13] != Py_None) {
      call.request.sort_query = false;
      if (!plain_text(args[13], call.request.query)) return none();
    }
    HeaderSignature signature;
    if (!botocore::sign(call.request, placed, call.access_key, *call.key, call.signing.timestamp,
                        signature)) {
      return none();
    }
    const py::str stamp(call.stamp, 16);
    if (!call.write(placed, stamp.ptr(), signature.authorization.view()) ||
        !call.tell_timestamp(stamp.ptr())) {
      return nullptr;
    }
    self->signed_.fetch_add(1, std::memory_order_relaxed);
    return (call.flags & kDetailed) != 0 ? call.details(signature, stamp) : Py_NewRef(Py_True);
  });
}

// presign(the same, expires, token_parameter): the URL, or (URL, stages) if detailed. `query` holds the
// encoded parameters of the operation, without those of the signature.
PyObject* core_presign(PyObject* object, PyObject* const* args, Py_ssize_t nargs) {
  return guarded([&]() -> PyObject* {
    if (nargs != 17) {
      PyErr_SetString(PyExc_TypeError, "presign() takes 17 arguments");
      return nullptr;
    }
    auto* self = reinterpret_cast<BotocoreObject*>(object);
    SigningCall call;
    if (!call.read(*self->keys, args) || call.url.has_fragment) return none();
    botocore::Presigning wish;
    if (!plain_text(args[13], wish.given_query) || !plain_text(args[15], wish.expires) ||
        !plain_text(args[16], wish.token_parameter)) {
      return none();
    }
    // A presigned request's payload is what a header of it says, for S3 too.
    call.signing.kind = botocore::Kind::generic;
    call.signing.unsigned_payload = false;
    if (!call.read_payload(args[12])) return none();
    wish.access_key_id = call.access_key;
    wish.timestamp = call.signing.timestamp;
    wish.session_token = call.signing.session_token;
    botocore::Headers placed;
    bool dropped = false;
    botocore::place_presigned_headers(call.headers.views(), placed, dropped);
    HeaderSignature signature;
    Text query;
    if (!botocore::presign(call.request, placed, wish, *call.key, signature, query)) return none();

    Text url;
    url.append(call.url_text.substr(0, call.url.path_offset + call.url.path.size()));
    url.push('?');
    url.append(query.view());
    url.append("&X-Amz-Signature=");
    url.append({signature.signature, 64});
    py::str result(url.data(), url.size());
    const py::str stamp(call.stamp, 16);
    if (dropped && !call.write(placed, stamp.ptr(), {})) return nullptr;
    if (!call.tell_timestamp(stamp.ptr())) return nullptr;
    self->presigned.fetch_add(1, std::memory_order_relaxed);
    if ((call.flags & kDetailed) == 0) return result.release().ptr();
    const py::object stages = py::reinterpret_steal<py::object>(call.details(signature, stamp));
    return py::make_tuple(result, stages).release().ptr();
  });
}

// key(secret, date, region, service): a SigningKey, or None if such a key cannot be.
PyObject* signer_key(PyObject* object, PyObject* const* args, Py_ssize_t nargs) {
  return guarded([&]() -> PyObject* {
    if (nargs != 4) {
      PyErr_SetString(PyExc_TypeError, "key() takes 4 arguments");
      return nullptr;
    }
    std::string_view texts[4];
    for (int i = 0; i < 4; ++i) {
      if (!plain_text(args[i], texts[i])) return none();
    }
    const auto key =
        reinterpret_cast<BotocoreObject*>(object)->keys->get(texts[0], texts[1], texts[2], texts[3]);
    return key ? py::cast(key).release().ptr() : none();
  });
}

PyObject* signer_clear(PyObject* object, PyObject* random_key) {
  return guarded([&]() -> PyObject* {
    const BufferView view(random_key);
    reinterpret_cast<BotocoreObject*>(object)->keys->clear(view.bytes());
    return none();
  });
}

// unchanged(object, names, originals): True if each attribute is the original one.
PyObject* signer_unchanged(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 3 || !PyTuple_CheckExact(args[1]) || !PyTuple_CheckExact(args[2]) ||
      PyTuple_GET_SIZE(args[1]) != PyTuple_GET_SIZE(args[2])) {
    PyErr_SetString(PyExc_TypeError, "unchanged(object, names, originals): two tuples of one length");
    return nullptr;
  }
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args[1]); ++i) {
    PyObject* found = PyObject_GetAttr(args[0], PyTuple_GET_ITEM(args[1], i));
    if (found == nullptr) {
      PyErr_Clear();
      Py_RETURN_FALSE;
    }
    const bool same = found == PyTuple_GET_ITEM(args[2], i);
    Py_DECREF(found);
    if (!same) Py_RETURN_FALSE;
  }
  Py_RETURN_TRUE;
}

PyObject* signer_counts(PyObject* object, PyObject*) {
  auto* self = reinterpret_cast<BotocoreObject*>(object);
  return Py_BuildValue("KKn", static_cast<unsigned long long>(self->signed_.load()),
                       static_cast<unsigned long long>(self->presigned.load()),
                       static_cast<Py_ssize_t>(self->keys->size()));
}

PyObject* signer_new(PyTypeObject* type, PyObject* args, PyObject*) {
  return guarded([&]() -> PyObject* {
    PyObject* random_key = nullptr;
    if (!PyArg_ParseTuple(args, "O", &random_key)) return nullptr;
    const BufferView view(random_key);
    PyObject* self = type->tp_alloc(type, 0);
    if (self == nullptr) return nullptr;
    auto* object = reinterpret_cast<BotocoreObject*>(self);
    object->keys = nullptr;
    new (&object->signed_) std::atomic<std::uint64_t>(0);
    new (&object->presigned) std::atomic<std::uint64_t>(0);
    object->keys = new (std::nothrow) SigningKeyCache(view.bytes());
    if (object->keys == nullptr) {
      Py_DECREF(self);
      return PyErr_NoMemory();
    }
    return self;
  });
}

void signer_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  delete reinterpret_cast<BotocoreObject*>(self)->keys;
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef methods[] = {
    {"sign", as_function(&core_sign), METH_FASTCALL,
     "Signs with headers, in place. None: nothing was changed, botocore's own code must do it."},
    {"presign", as_function(&core_presign), METH_FASTCALL, "The presigned URL, or None as for sign()."},
    {"key", as_function(&signer_key), METH_FASTCALL,
     "The SigningKey of a secret, date, region, service; or None."},
    {"clear", &signer_clear, METH_O, "Drops all keys; further ones are found under another random key."},
    {"counts", &signer_counts, METH_NOARGS, "(signed, presigned, keys held)"},
    {"unchanged", as_function(&signer_unchanged), METH_FASTCALL | METH_STATIC,
     "unchanged(object, names, originals): True if each attribute is the original one."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(&signer_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(&signer_dealloc)},
    {Py_tp_methods, methods},
    {Py_tp_doc, const_cast<char*>("The native half of s3accel.adapters.botocore.")},
    {0, nullptr},
};

PyType_Spec spec = {"s3accel._core.BotocoreSigner", sizeof(BotocoreObject), 0, Py_TPFLAGS_DEFAULT, slots};

}  // namespace

void bind_botocore(py::module_& m) {
  init_botocore_call();
  PyObject* type = PyType_FromSpec(&spec);
  if (type == nullptr) throw py::error_already_set();
  m.attr("BotocoreSigner") = py::reinterpret_steal<py::object>(type);
}

}  // namespace s3accel::bindings
