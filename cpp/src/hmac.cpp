#include "s3accel/hmac.h"

#include <cstring>

#include "kernels/lanes.h"
#include "kernels/registry.h"
#include "s3accel/secret.h"

namespace s3accel {
namespace {

using kernel::Plan;

// Runs the blocks key ^ ipad and key ^ opad from the initial state, side by side where that is faster.
// `key` has at most 64 bytes.
void hash_pads(const Plan& plan, Bytes key, Sha256State& inner, Sha256State& outer) noexcept {
  alignas(64) std::uint8_t pads[2][kSha256Block];
  std::memset(pads[0], 0, kSha256Block);
  if (!key.empty()) std::memcpy(pads[0], key.data(), key.size());
  for (std::size_t i = 0; i < kSha256Block; ++i) {
    pads[1][i] = pads[0][i] ^ 0x5c;
    pads[0][i] = pads[0][i] ^ 0x36;
  }
  const std::uint8_t* data[2] = {pads[0], pads[1]};
  std::uint32_t states[16];
  std::memcpy(states, kSha256Initial.words, kSha256Size);
  std::memcpy(states + 8, kSha256Initial.words, kSha256Size);
  if (plan.pair != nullptr) {
    plan.pair->compress(states, data, 1);
  } else {
    plan.one->compress(states, data, 1);
    plan.one->compress(states + 8, data + 1, 1);
  }
  std::memcpy(inner.words, states, kSha256Size);
  std::memcpy(outer.words, states + 8, kSha256Size);
  secure_wipe(pads, sizeof pads);
  secure_wipe(states, sizeof states);
}

// The outer hash of HMAC: one block that holds the inner digest and its padding.
void finish_outer(const Plan& plan, Sha256State outer, const std::uint8_t inner_digest[kSha256Size],
                  std::uint8_t out[kSha256Size]) noexcept {
  kernel::finish_one(*plan.one, outer, inner_digest, kSha256Size, kSha256Block, out);
}

}  // namespace

HmacSha256Key::HmacSha256Key(Bytes key) noexcept {
  const Plan& plan = kernel::plan();
  if (key.size() <= kSha256Block) {
    hash_pads(plan, key, inner_, outer_);
    return;
  }
  std::uint8_t digest[kSha256Size];
  sha256(key, digest);
  hash_pads(plan, digest, inner_, outer_);
  secure_wipe(digest, sizeof digest);
}

HmacSha256Key::~HmacSha256Key() {
  secure_wipe(&inner_, sizeof inner_);
  secure_wipe(&outer_, sizeof outer_);
}

void HmacSha256Key::sign(Bytes message, std::uint8_t out[kSha256Size]) const noexcept {
  const Plan& plan = kernel::plan();
  Sha256State state = inner_;
  std::uint8_t digest[kSha256Size];
  kernel::finish_one(*plan.one, state, message.data(), message.size(), inner_length_, digest);
  finish_outer(plan, outer_, digest, out);
}

void HmacSha256Key::sign_many(std::span<const Bytes> messages, std::uint8_t* out) const noexcept {
  if (messages.size() == 1) return sign(messages[0], out);
  kernel::run_lanes(kernel::plan(), {messages, out, inner_, inner_length_, &outer_});
}

HmacSha256Key HmacSha256Key::after_block(const std::uint8_t block[kSha256Block]) const noexcept {
  HmacSha256Key key(*this);
  kernel::plan().one->compress(key.inner_.words, &block, 1);
  key.inner_length_ += kSha256Block;
  return key;
}

void hmac_sha256(Bytes key, Bytes message, std::uint8_t out[kSha256Size]) noexcept {
  HmacSha256Key(key).sign(message, out);
}

void hmac_sha256_chain(Bytes key, std::span<const Bytes> messages, std::uint8_t out[kSha256Size]) noexcept {
  if (messages.empty()) {
    std::memcpy(out, key.data(), kSha256Size);
    return;
  }
  std::uint8_t current[kSha256Size];
  for (const Bytes message : messages) {
    HmacSha256Key(key).sign(message, current);
    key = current;
  }
  std::memcpy(out, current, kSha256Size);
  secure_wipe(current, sizeof current);
}

}  // namespace s3accel
