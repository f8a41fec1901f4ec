// HMAC-SHA256 (RFC 2104) with the key's two pad blocks hashed once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "s3accel/bytes.h"
#include "s3accel/sha256.h"

namespace s3accel {

// A prepared key: signing a message of n bytes then costs ceil((n + 9) / 64) + 1 blocks instead of two more.
// Wiped by its destructor. Signing is const and safe from several threads.
class HmacSha256Key {
 public:
  HmacSha256Key() noexcept : HmacSha256Key(Bytes{}) {}
  explicit HmacSha256Key(Bytes key) noexcept;
  HmacSha256Key(const HmacSha256Key&) noexcept = default;
  HmacSha256Key& operator=(const HmacSha256Key&) noexcept = default;
  ~HmacSha256Key();

  void sign(Bytes message, std::uint8_t out[kSha256Size]) const noexcept;

  // Signature i is written to out + 32 * i; the messages run side by side in SIMD lanes.
  void sign_many(std::span<const Bytes> messages, std::uint8_t* out) const noexcept;

  // The key for messages that all begin with the 64 bytes of `block`: after_block(b).sign(m) equals
  // sign(b || m) and saves one block each time. A chunk's string to sign begins with 64 constant bytes
  // (algorithm, date, scope), which makes 5 blocks of 6. Can be applied again for a second block.
  HmacSha256Key after_block(const std::uint8_t block[kSha256Block]) const noexcept;

 private:
  // [0]: after key ^ ipad, and the constant blocks if any; [1]: after key ^ opad.
  Sha256State states_[2];
  std::uint64_t inner_length_ = kSha256Block;  // bytes that led to states_[0]
};

void hmac_sha256(Bytes key, Bytes message, std::uint8_t out[kSha256Size]) noexcept;

// k = key; for each message: k = HMAC(k, message); out = k. The shape of SigV4's key derivation
// (AWS4 + secret; date, region, service, "aws4_request"). The two pad blocks of each step run as a pair, and
// intermediate keys are wiped. With no messages `key` must have 32 bytes and is copied.
void hmac_sha256_chain(Bytes key, std::span<const Bytes> messages, std::uint8_t out[kSha256Size]) noexcept;

}  // namespace s3accel
