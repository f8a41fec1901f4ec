// What a server makes of a request that was signed with the key of AWS's documentation, within its budget of
// memory.
#pragma once

#include <string>

#include "../reference.h"
#include "budget.h"
#include "fuzz.h"
#include "keys.h"
#include "request.h"
#include "s3accel/verify.h"

namespace fuzz {

inline const s3accel::SigningKey& key() {
  static const s3accel::SigningKey instance = key_of("20260101");
  return instance;
}

inline const s3accel::Timestamp& now() {
  static const s3accel::Timestamp instance = s3accel::Timestamp::parse("20260101T120000Z").value();
  return instance;
}

struct Verdict {
  bool ok = false;
  s3accel::Errc code = s3accel::Errc::ok;
  s3accel::ParsedAuth auth;
  std::string canonical;
};

inline Verdict verify(const Sent& sent) {
  const std::vector<s3accel::HeaderView> headers = sent.views();
  std::size_t size = sent.target.size() + sent.method.size();
  for (const s3accel::HeaderView& h : headers) size += h.name.size() + h.value.size();
  Verdict out;
  s3accel::VerifyPolicy policy;
  policy.now = now().epoch();
  const std::size_t bytes = bytes_of([&] {
    const auto formed = s3accel::well_formed({sent.method, sent.target, headers, {}});
    if (!formed) {
      out.code = formed.error().code;
      return;
    }
    const auto parsed = s3accel::parse_auth(formed.value(), policy, out.auth);
    if (!parsed || out.auth.deferred.code != s3accel::Errc::ok) {
      out.code = parsed ? out.auth.deferred.code : parsed.error().code;
      return;
    }
    s3accel::Text canonical, to_sign;
    const auto r = s3accel::check_signature(formed.value(), out.auth, key(), canonical, to_sign);
    out.ok = r.ok();
    out.code = r.error().code;
    out.canonical = canonical.view();
  });
  // An unknown client makes a server ask for this much memory at most, all blocks added up.
  REQUIRE(bytes <= 40 * size + 65536);
  return out;
}

}  // namespace fuzz
