// Signature Version 4: scope, signing key, string to sign, header signing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "s3accel/bytes.h"
#include "s3accel/canonical.h"
#include "s3accel/error.h"
#include "s3accel/hmac.h"
#include "s3accel/secret.h"
#include "s3accel/text.h"

namespace s3accel {

inline constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";
inline constexpr std::string_view kStreamingSigned = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
inline constexpr std::string_view kStreamingSignedTrailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
inline constexpr std::string_view kStreamingUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
inline constexpr std::string_view kStreamingEcdsa = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD";
inline constexpr std::string_view kStreamingEcdsaTrailer = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER";
// SHA-256 of nothing.
inline constexpr std::string_view kEmptyHash =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// YYYYMMDD'T'HHMMSS'Z' in UTC. Both directions are total over 0001..9999.
class Timestamp {
 public:
  static Result<Timestamp> parse(std::string_view text) noexcept;
  static Timestamp from_epoch(std::int64_t seconds) noexcept;

  std::string_view text() const noexcept { return {text_.data(), 16}; }
  std::string_view date() const noexcept { return {text_.data(), 8}; }
  std::int64_t epoch() const noexcept;

 private:
  std::array<char, 16> text_{};
};

// True for 8 digits that name a day of the calendar.
bool valid_date(std::string_view date) noexcept;

// Services whose path is signed decoded and encoded again, as their servers read it: s3, s3express,
// s3-outposts, s3-object-lambda.
bool is_s3_service(std::string_view service) noexcept;
PathRule signing_path_rule(std::string_view service) noexcept;

// True for 64 hexadecimal digits or one of the constants above: what x-amz-content-sha256 may say.
bool valid_payload_hash(std::string_view value) noexcept;

// The key that signs for one day, one region and one service. It holds the HMAC's prepared state, not the
// secret; both the state and the derived bytes are wiped when it goes.
class SigningKey {
 public:
  // `secret` is the secret access key. Errors: bad_secret, bad_scope (offset 0 date, 1 region, 2 service).
  static Result<SigningKey> derive(std::string_view secret, std::string_view date, std::string_view region,
                                   std::string_view service);
  // From 32 bytes that were exported elsewhere.
  static Result<SigningKey> restore(Bytes key, std::string_view date, std::string_view region,
                                    std::string_view service);

  // "20260823/us-east-1/s3/aws4_request"
  std::string_view scope() const noexcept { return scope_; }
  std::string_view date() const noexcept { return scope().substr(0, 8); }
  std::string_view region() const noexcept { return scope().substr(9, region_size_); }
  std::string_view service() const noexcept;

  // Writes 64 lower-case digits.
  void sign(std::string_view string_to_sign, char out[64]) const noexcept;
  const HmacSha256Key& hmac() const noexcept { return hmac_; }
  const SecretArray<32>& raw() const noexcept { return raw_; }

 private:
  SigningKey() = default;
  HmacSha256Key hmac_;
  SecretArray<32> raw_;
  std::string scope_;
  std::size_t region_size_ = 0;
};

// One key at one second. All its strings to sign begin with the same bytes (algorithm, timestamp, scope); the
// HMAC state behind the first 64 of them is kept, which saves a block of each signature. Wiped when it goes.
class Moment {
 public:
  // `key` must outlive this object.
  Moment(const SigningKey& key, const Timestamp& now);

  const SigningKey& key() const noexcept { return *key_; }
  const Timestamp& now() const noexcept { return now_; }

  // The string to sign of a canonical request with this SHA-256.
  void string_to_sign(const std::uint8_t* digest, Text& out) const;
  // Both take strings made by string_to_sign. The first writes 64 digits, the second 32 bytes for each
  // string.
  void sign(std::string_view to_sign, char out[64]) const noexcept;
  void sign_many(std::span<Bytes> strings, std::uint8_t* out) const noexcept;

 private:
  const SigningKey* key_;
  Timestamp now_;
  std::string prefix_;
  HmacSha256Key hmac_;
  std::size_t hashed_ = 0;  // bytes of prefix_ that hmac_ has hashed: 0 or 64
};

// Appends algorithm, timestamp, scope and the hex hash of the canonical request.
void string_to_sign(std::string_view algorithm, std::string_view timestamp, std::string_view scope,
                    std::string_view canonical_request, Text& out);

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
Result<void> sign_headers(const Moment& moment, std::string_view access_key_id, const SignRequest& request,
                          HeaderSignature& out);

// Up to 16 requests at once: their canonical requests, and then their strings to sign, are hashed side by
// side. `out` has one entry a request; it is cleared first and can be used again. On an error `failed` is the
// index of the request at fault and nothing is signed.
inline constexpr std::size_t kSignBatch = 16;
Result<void> sign_headers_batch(const Moment& moment, std::string_view access_key_id,
                                std::span<const SignRequest> requests, HeaderSignature* out,
                                std::size_t& failed);

// An absolute URL cut into what signing needs. `host` is lower-cased into `host_text`, without user info and
// without the port if that is the scheme's own.
struct UrlParts {
  std::string_view scheme, path, query;
  std::size_t path_offset = 0, query_offset = 0;
};
Result<UrlParts> split_url(std::string_view url, Text& host_text);

// --- presigned URLs ------------------------------------------------------------------------------------

inline constexpr std::int64_t kMaxExpires = 604800;  // 7 days, S3's limit

struct PresignRequest {
  std::string_view method;
  std::string_view url;                 // absolute, percent-encoded; its query is signed with the rest
  std::span<const HeaderView> headers;  // to be signed besides host; whoever uses the URL must send them
  std::string_view payload_hash = kUnsignedPayload;
  std::int64_t expires = 3600;  // seconds
  std::string_view session_token = {};
  std::string_view token_parameter = "X-Amz-Security-Token";
  bool sign_token = true;  // a few services (IoT) want the token outside the signature
};

// Appends the presigned URL to `out`. The texts of the stages are in `stages` (its authorization stays
// empty). Errors: as sign_headers, and bad_expires. A parameter of the signature that the URL has already is
// reserved_header with the offset in the URL.
// Source: S3 API Reference, "sigv4-query-string-auth".
Result<void> presign(const Moment& moment, std::string_view access_key_id, const PresignRequest& request,
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
Result<void> presign_prepare(const Moment& moment, std::string_view access_key_id,
                             const PresignRequest& request, PresignTemplate& out);

// Appends the URLs of up to 16 raw keys (UTF-8, encoded here) to `out`, one behind the other; `ends` receives
// the offset after each. The hashes of the batch run side by side. `moment` is the one of the template.
void presign_batch(const Moment& moment, const PresignTemplate& shared,
                   std::span<const std::string_view> keys, Text& out, std::size_t* ends);
inline constexpr std::size_t kPresignBatch = 16;

}  // namespace s3accel
