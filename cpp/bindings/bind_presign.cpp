// SignerBase.presign and _presign_many: presigned URLs, one or many, against the C API as in bind_signer.cpp.
#include <pybind11/pybind11.h>

#include <algorithm>
#include <vector>

#include "bindings.h"
#include "headers.h"
#include "signer_object.h"

namespace s3accel::bindings {

namespace {

// What presign and presign_many share: the moment and the request's fixed parts.
struct Presigning {
  std::shared_ptr<const Second> second;
  PresignRequest request;
  HeaderList headers;

  // `payload` may be nullptr: the core then takes what the headers or the service say.
  bool prepare(SignerObject* self, PyObject* method, PyObject* url, PyObject* expires,
               PyObject* given_headers, PyObject* payload) {
    second = second_of(self);
    if (!second) return false;
    const State& state = *second->state;
    if (!text_of(method, request.method) || !text_of(url, request.url)) return false;
    if (!headers.read(given_headers, true)) return false;
    request.headers = headers.views();
    if (payload != nullptr && payload != Py_None) {
      if (!text_of(payload, request.payload_hash)) return false;
      // An empty text is a hash that was forgotten; to the core it would mean "none given".
      if (request.payload_hash.empty()) {
        set_signing_error({Errc::bad_payload_hash, 0});
        return false;
      }
    }
    if (expires != nullptr) {
      // Whole seconds only: a float would be cut in silence.
      if (!PyLong_Check(expires) || PyBool_Check(expires)) {
        PyErr_Format(PyExc_TypeError, "expires must be whole seconds (int), not %.100s",
                     Py_TYPE(expires)->tp_name);
        return false;
      }
      int overflow = 0;
      request.expires = PyLong_AsLongLongAndOverflow(expires, &overflow);
      if (overflow != 0) request.expires = -1;
    }
    request.session_token = state.token_text;
    if (state.key->service() == "s3express") request.token_parameter = "X-Amz-S3session-Token";
    request.sign_token = state.sign_token;
    return true;
  }
};

}  // namespace

// presign(method, url, expires=3600, headers=None, payload=None)
PyObject* signer_presign(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  static constexpr const char* kWords[] = {"method", "url", "expires", "headers", "payload"};
  PyObject* given[5];
  if (!unpack("presign", kWords, 5, 2, args, nargs, kwnames, given)) return nullptr;
  return guarded([&]() -> PyObject* {
    Presigning p;
    if (!p.prepare(reinterpret_cast<SignerObject*>(self), given[0], given[1], given[2], given[3], given[4])) {
      return nullptr;
    }
    HeaderSignature stages;
    Text url;
    const Second& second = *p.second;
    if (auto r = presign(second.key, second.state->access_key_id, p.request, stages, url); !r) {
      return set_signing_error(r.error(), p.headers.views(), p.request.payload_hash);
    }
    return ascii_object(url.view());
  });
}

// _presign_many(method, base_url, keys, expires, headers): a list of URLs, one for each raw key.
PyObject* signer_presign_many(PyObject* self, PyObject* const* args, Py_ssize_t nargs) {
  return guarded([&]() -> PyObject* {
    if (nargs != 5) {
      PyErr_SetString(PyExc_TypeError, "_presign_many() takes five arguments");
      return nullptr;
    }
    Presigning p;
    if (!p.prepare(reinterpret_cast<SignerObject*>(self), args[0], args[1], args[3], args[4], nullptr)) {
      return nullptr;
    }
    const py::object fast = py::reinterpret_steal<py::object>(
        PySequence_Fast(args[2], "keys must be an iterable of str or bytes"));
    if (!fast) return nullptr;
    // A list could be changed by another thread while the GIL is released; a tuple keeps every key alive.
    const py::object keys = py::reinterpret_steal<py::object>(PySequence_Tuple(fast.ptr()));
    if (!keys) return nullptr;
    const Py_ssize_t n = PyTuple_GET_SIZE(keys.ptr());
    std::vector<std::string_view> texts(static_cast<std::size_t>(n));
    for (Py_ssize_t i = 0; i < n; ++i) {
      if (!text_of(PyTuple_GET_ITEM(keys.ptr(), i), texts[static_cast<std::size_t>(i)])) return nullptr;
    }
    PresignTemplate shared;
    const Second& second = *p.second;
    if (auto r = presign_prepare(second.key, second.state->access_key_id, p.request, shared); !r) {
      return set_signing_error(r.error(), p.headers.views(), p.request.payload_hash);
    }
    Text urls;
    std::vector<std::size_t> ends(texts.size());
    const auto work = [&] {
      for (std::size_t i = 0; i < texts.size(); i += kPresignBatch) {
        const std::size_t count = std::min(kPresignBatch, texts.size() - i);
        presign_batch(second.key, shared, {texts.data() + i, count}, urls, ends.data() + i);
      }
    };
    if (texts.size() > 4) {
      py::gil_scoped_release release;
      work();
    } else {
      work();
    }
    py::object list = py::reinterpret_steal<py::object>(PyList_New(n));
    if (!list) return nullptr;
    std::size_t from = 0;
    for (Py_ssize_t i = 0; i < n; ++i) {
      const std::size_t end = ends[static_cast<std::size_t>(i)];
      PyObject* url = ascii_object(urls.view(from, end - from));
      if (url == nullptr) return nullptr;
      PyList_SET_ITEM(list.ptr(), i, url);
      from = end;
    }
    return list.release().ptr();
  });
}

}  // namespace s3accel::bindings
