// Presigned URLs: one, and many that differ in their path only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "s3accel/canonical.h"
#include "s3accel/error.h"
#include "s3accel/sigv4.h"
#include "s3accel/text.h"

namespace s3accel {

inline constexpr std::int64_t kMaxExpires = 604800;  // 7 days, S3's limit

struct PresignRequest {
  std::string_view method;
  std::string_view url;                 // absolute, percent-encoded; its query is signed with the rest
  std::span<const HeaderView> headers;  // to be signed besides host; whoever uses the URL must send them
  // What the canonical request ends in. Empty: the value of the x-amz-content-sha256 header if there is one,
  // which must be the same otherwise; without it UNSIGNED-PAYLOAD for S3 and the hash of nothing for other
  // services.
  std::string_view payload_hash = {};
  std::int64_t expires = 3600;  // seconds
  std::string_view session_token = {};
  std::string_view token_parameter = "X-Amz-Security-Token";
  bool sign_token = true;  // a few services (IoT) want the token outside the signature
};

// Appends the presigned URL to `out`. The texts of the stages are in `stages` (its authorization stays
// empty). Errors: as sign_headers, bad_expires and payload_conflict (offset: the header's index). A parameter
// of the signature that the URL has already is reserved_header with the offset in the URL. Source: S3 API
// Reference, "sigv4-query-string-auth".
Result<void> presign(const TimedKey& key, std::string_view access_key_id, const PresignRequest& request,
                     HeaderSignature& stages, Text& out);

// What all URLs of one batch share: everything but the path. One key, one date, one set of parameters.
struct PresignTemplate {
  Text head;   // "https://bucket.host" and the prefix of every path, up to the key
  Text query;  // canonical query, which is also what goes out
  Text tail;   // "\n" + query + "\nhost:...\n\nhost\nUNSIGNED-PAYLOAD"
  Text path;   // the canonical form of that prefix: what is signed, while `head` goes out as given
  Text method;
};

// Prepares a template from a request whose URL ends where the keys go ("https://bucket.host/" or
// "https://host/bucket/"). Errors: as presign.
Result<void> presign_prepare(const TimedKey& key, std::string_view access_key_id,
                             const PresignRequest& request, PresignTemplate& out);

// Appends the URLs of up to 16 raw keys (UTF-8, encoded here) to `out`, one behind the other; `ends` receives
// the offset after each. The hashes of the batch run side by side. `key` is the one of the template.
void presign_batch(const TimedKey& key, const PresignTemplate& shared, std::span<const std::string_view> keys,
                   Text& out, std::size_t* ends);
inline constexpr std::size_t kPresignBatch = TimedKey::kMaxLanes;

}  // namespace s3accel
