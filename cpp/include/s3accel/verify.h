// Verification: the same steps against what was received. Nothing here trusts its input; every length has a
// hard limit and every comparison of signatures takes constant time. Bodies: chunk_decoder.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "s3accel/canonical.h"
#include "s3accel/error.h"
#include "s3accel/sigv4.h"
#include "s3accel/text.h"
#include "s3accel/url.h"

namespace s3accel {

// Hard limits. S3 takes 8 KiB of headers in a PUT; these leave room for proxies and for tests that probe.
inline constexpr std::size_t kMaxTargetLength = 32768;
inline constexpr std::size_t kMaxHeaders = 256;
inline constexpr std::size_t kMaxHeaderBytes = 65536;
// What is compared with what before anybody is known: products of these must stay cheap.
inline constexpr std::size_t kMaxQueryParameters = 256;
inline constexpr std::size_t kMaxSignedHeaders = 256;
inline constexpr std::size_t kMaxSignedHeadersLength = 8192;
// There are not that many regions.
inline constexpr std::size_t kMaxRegionSet = 2048;

// A request as it came in: raw target, raw header list in order with duplicates.
struct ReceivedRequest {
  std::string_view method;
  std::string_view target;  // path?query, percent-encoded, as on the request line
  std::span<const HeaderView> headers;
  std::string_view body_hash = {};  // services other than S3 without x-amz-content-sha256; empty: no body
};

// The same inside the limits, with a method and a target that can be judged: all that follows takes this one,
// so that nothing is checked twice or not at all. Views into the request.
struct WellFormedRequest {
  std::string_view method;
  TargetParts target;
  std::span<const HeaderView> headers;
  std::string_view body_hash;
};

// Errors: too_long, bad_method, bad_target.
Result<WellFormedRequest> well_formed(const ReceivedRequest& request) noexcept;

struct VerifyPolicy {
  std::string_view region = {};  // empty: any
  std::string_view service = "s3";
  std::int64_t now = 0;         // epoch seconds
  std::int64_t max_skew = 900;  // S3: 15 minutes, inclusive
  Scheme scheme = Scheme::hmac;
};

enum class Mechanism { header, query };

// What the request says about its own signature, checked for shape, scope and date, not yet for truth.
struct ParsedAuth {
  Scheme scheme = Scheme::hmac;
  Mechanism mechanism = Mechanism::header;
  std::string access_key_id;
  std::string credential;  // as received, for messages
  std::string region;      // Scheme::hmac
  std::string service;
  std::string date;            // of the scope
  std::string scope;           // date/region/service/aws4_request, without the region for Scheme::ecdsa
  std::string timestamp;       // 16 characters
  std::string signed_headers;  // lower case, joined by ';'
  std::string signature;
  std::string payload_hash;  // last line of the canonical request
  std::string session_token;
  std::string region_set;    // Scheme::ecdsa: x-amz-region-set as sent
  std::int64_t expires = 0;  // seconds; query only
  Error deferred;            // a fault of steps 5 and 6, to be reported only if the access key is known
  std::string detail;        // the offending text of `deferred` or of the error returned
};

// Section 12 of the protocol: steps 1 to 3, whose faults are returned, and 5 and 6, which are left in
// `deferred` because an unknown access key (step 4, the caller's) is reported before them. Whatever was read
// before the fault is in `out`, for the message.
// Codes: auth_*, credential_*, region_set_malformed, date_missing, expires_*, time_skewed, request_*,
// too_long; deferred: content_sha256_*, header_not_signed.
Result<void> parse_auth(const WellFormedRequest& request, const VerifyPolicy& policy, ParsedAuth& out);

// The first half of step 7, the same for both schemes: the canonical request from the raw target, and the
// string to sign. signed_header_missing: a header that is named as signed is not there; the texts are filled
// all the same. bad_header_name (offset: the header's index): no HTTP parser lets that through.
Result<void> string_to_verify(const WellFormedRequest& request, const ParsedAuth& auth, Text& canonical,
                              Text& to_sign);

// Step 7 for Scheme::hmac: builds the canonical request from the raw target and compares. Errors:
// signature_mismatch, signed_header_missing (both mean that the signature does not match, and the texts are
// filled for the message); bad_header_name (offset: the header's index).
Result<void> check_signature(const WellFormedRequest& request, const ParsedAuth& auth, const SigningKey& key,
                             Text& canonical, Text& to_sign);

}  // namespace s3accel
