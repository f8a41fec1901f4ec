// One call of botocore's signer: what its arguments say, read without copying, and what is written back.
#pragma once

#include <pybind11/pybind11.h>

#include <span>
#include <string_view>
#include <vector>

#include "buffers.h"
#include "c_api.h"
#include "s3accel/botocore.h"
#include "s3accel/key_cache.h"

namespace s3accel::bindings {

enum BotocoreFlags : long {
  kS3 = 1,        // path as it is, X-Amz-Content-SHA256 always
  kExpress = 2,   // the token goes into x-amz-s3session-token
  kDetailed = 4,  // give the stages
  kUnsigned = 8,  // a service with unsigned payload: UNSIGNED-PAYLOAD in the header
};

// Interns the names of headers; needs the GIL. Throws error_already_set.
void init_botocore_call();

// The text of a str object; false (without an exception) for anything else and for lone surrogates.
bool plain_text(PyObject* object, std::string_view& out);

// The headers of email.message's private list, kept with all that is viewed of them.
class GivenHeaders {
 public:
  // False (without an exception) for what only Python can judge.
  bool read(PyObject* list);

  std::span<const HeaderView> views() const noexcept { return views_; }
  PyObject* pair(std::size_t i) const noexcept {
    return PyTuple_GET_ITEM(pairs_.ptr(), static_cast<Py_ssize_t>(i));
  }

 private:
  bool value_of(PyObject* value, std::string_view& out);

  std::vector<HeaderView> views_;
  py::object pairs_;  // a tuple, one pair for each view
  std::vector<py::object> joined_;
};

// What sign and presign share. All views borrow from the call's arguments. Functions that give false without
// an exception say that botocore must do it.
struct SigningCall {
  PyObject *header_list, *context;
  GivenHeaders headers;
  std::string_view url_text, access_key;
  PyObject* token = nullptr;
  char stamp[16];
  UrlParts url;
  Text host;
  std::vector<std::string_view> skipped;
  py::object skipped_owner, path_owner, payload_owner;
  std::shared_ptr<SigningKey> key;
  long flags = 0;
  botocore::Signing signing;
  botocore::Request request;

  // The arguments that sign and presign share: headers, context, method, url, now, access key, secret, token,
  // region, service, names that are not signed, a function that normalizes a path or None, payload, query,
  // flags.
  bool read(SigningKeyCache& keys, PyObject* const* a);

  // The payload's line of the canonical request: a str as it is, None for nothing, or bytes to hash.
  bool read_payload(PyObject* payload);

  // Makes the request's list hold these headers, and Authorization behind them if it is not empty. False with
  // an exception set.
  bool write(const botocore::Headers& placed, PyObject* stamp_text, std::string_view authorization) const;

  // Where botocore's signers leave the moment for those who come after. False with an exception set.
  bool tell_timestamp(PyObject* stamp_text) const;

  PyObject* details(const HeaderSignature& s, const py::str& stamp_text) const;

 private:
  void read_skipped(PyObject* words);
  PyObject* pair_of(const botocore::Header& header, PyObject* stamp_text) const;
};

}  // namespace s3accel::bindings
