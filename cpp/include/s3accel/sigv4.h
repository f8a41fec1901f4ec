// Signature Version 4: what a payload hash may say, and signing with headers.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "s3accel/canonical.h"
#include "s3accel/error.h"
#include "s3accel/signing_key.h"
#include "s3accel/text.h"

namespace s3accel {

inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";
inline constexpr std::string_view kStreamingSigned = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
inline constexpr std::string_view kStreamingSignedTrailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
inline constexpr std::string_view kStreamingUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
inline constexpr std::string_view kStreamingEcdsa = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD";
inline constexpr std::string_view kStreamingEcdsaTrailer = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER";
// SHA-256 of nothing.
inline constexpr std::string_view kEmptyHash =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// Services whose path is signed decoded and encoded again, as their servers read it: s3, s3express,
// s3-outposts, s3-object-lambda.
bool is_s3_service(std::string_view service) noexcept;
PathRule signing_path_rule(std::string_view service) noexcept;

// What makes the signature. All else, canonical requests and what is asked of a request, is the same for
// both.
enum class Scheme {
  hmac,   // Signature Version 4
  ecdsa,  // Signature Version 4a, whose scope has no region but whose request names a set of them
};

// True for 64 hexadecimal digits or one of the constants above: what x-amz-content-sha256 may say. A signer
// takes the constants of its own scheme only.
bool valid_payload_hash(std::string_view value) noexcept;

// What header signing adds to a request; the four texts are views into the caller's Texts.
struct HeaderSignature {
  Text canonical;  // kept for explanations; holds the session token
  Text signed_headers;
  Text to_sign;
  Text authorization;
  char signature[64];

  void clear() noexcept {
    canonical.clear();
    signed_headers.clear();
    to_sign.clear();
    authorization.clear();
  }
};

struct SignRequest {
  std::string_view method;
  std::string_view url;                 // absolute, percent-encoded; query allowed, fragment ignored
  std::span<const HeaderView> headers;  // the caller's own
  std::string_view payload_hash;
  std::string_view session_token = {};
  std::string_view token_header = "X-Amz-Security-Token";
  Selection selection = Selection::recommended;
  bool add_content_sha256 = true;  // S3 wants it on every request, other services can do without
};

// Signs with headers. Adds host (from the URL, unless the caller gave one), x-amz-date,
// x-amz-content-sha256 and the token to what is signed.
// Errors: bad_method, bad_url, bad_percent_escape, raw_plus_in_query (offset into url), bad_credentials,
// bad_header_name,
// bad_header_value, reserved_header (offset = header's index), bad_payload_hash, missing_host.
Result<void> sign_headers(const TimedKey& key, std::string_view access_key_id, const SignRequest& request,
                          HeaderSignature& out);

// Up to 16 requests at once: their canonical requests, and then their strings to sign, are hashed side by
// side. `out` has one entry a request; it is cleared first and can be used again. On an error `failed` is the
// index of the request at fault and nothing is signed.
inline constexpr std::size_t kSignBatch = TimedKey::kMaxLanes;
Result<void> sign_headers_batch(const TimedKey& key, std::string_view access_key_id,
                                std::span<const SignRequest> requests, HeaderSignature* out,
                                std::size_t& failed);

}  // namespace s3accel
