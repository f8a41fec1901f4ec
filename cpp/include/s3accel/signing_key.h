// The keys of Signature Version 4: one of a day, region and service, and the same at one second.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "s3accel/bytes.h"
#include "s3accel/error.h"
#include "s3accel/hmac.h"
#include "s3accel/secret.h"
#include "s3accel/text.h"
#include "s3accel/timestamp.h"

namespace s3accel {

inline constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
inline constexpr std::string_view kEcdsaAlgorithm = "AWS4-ECDSA-P256-SHA256";  // Signature Version 4a
// The last part of every scope.
inline constexpr std::string_view kTerminal = "aws4_request";

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

// Appends algorithm, timestamp, scope and the hex hash of the canonical request.
void string_to_sign(std::string_view algorithm, std::string_view timestamp, std::string_view scope,
                    std::string_view canonical_request, Text& out);

// A key at one second. All its strings to sign begin with the same bytes (algorithm, timestamp, scope); the
// HMAC state behind the first 64 of them is kept, which saves a block of each signature. Wiped when it goes.
class TimedKey {
 public:
  // `key` must outlive this object.
  TimedKey(const SigningKey& key, const Timestamp& now);

  const SigningKey& key() const noexcept { return *key_; }
  const Timestamp& now() const noexcept { return now_; }

  // Signs a canonical request by its SHA-256 (32 bytes): appends the string to sign to `to_sign` and writes
  // 64 lower-case digits.
  void sign(const std::uint8_t* digest, Text& to_sign, char out[64]) const;
  // The same for n digests, one behind the other, in lanes; `macs` receives 32 bytes for each. n is at most
  // kMaxLanes.
  static constexpr std::size_t kMaxLanes = 16;
  void sign_many(const std::uint8_t* digests, std::size_t n, std::uint8_t* macs) const;

 private:
  const SigningKey* key_;
  Timestamp now_;
  std::string prefix_;
  HmacSha256Key hmac_;
  std::size_t hashed_ = 0;  // bytes of prefix_ that hmac_ has hashed: 0 or 64
};

}  // namespace s3accel
