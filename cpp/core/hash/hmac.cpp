#include "s3accel/hmac.h"

#include <algorithm>
#include <cstring>

#include "hash/kernels/lanes.h"
#include "hash/kernels/registry.h"
#include "s3accel/secret.h"

namespace s3accel {
namespace {

using kernel::Plan;

// The two pad blocks of a key. Whoever makes one wipes it.
struct alignas(64) Pads {
  std::uint8_t inner[kSha256Block], outer[kSha256Block];
};

// Runs the blocks key ^ ipad and key ^ opad from the initial state, side by side where that is faster.
// `key` has at most 64 bytes.
void hash_pads(const Plan& plan, Bytes key, Pads& pads, Sha256State (&states)[2]) noexcept {
  std::memset(pads.inner, 0x36, kSha256Block);
  std::memset(pads.outer, 0x5c, kSha256Block);
  // A derived key has 32 bytes: a loop of known length is done in 16-byte stores, which the kernel's 16-byte
  // loads can be served from before they reach the cache.
  const auto mix = [&](std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) {
      pads.inner[i] ^= key[i];
      pads.outer[i] ^= key[i];
    }
  };
  if (key.size() == kSha256Size) {
    mix(kSha256Size);
  } else {
    mix(key.size());
  }
  states[0] = states[1] = kSha256Initial;
  const std::uint8_t* data[2] = {pads.inner, pads.outer};
  if (plan.pair != nullptr) {
    plan.pair->compress(states[0].words, data, 1);
  } else {
    plan.one->compress(states[0].words, data, 1);
    plan.one->compress(states[1].words, data + 1, 1);
  }
}

// One HMAC from the prepared states.
void sign_one(const Plan& plan, const Sha256State (&states)[2], std::uint64_t inner_length, Bytes message,
              std::uint8_t out[kSha256Size]) noexcept {
  struct {
    Sha256State inner, outer;
    alignas(64) std::uint8_t block[kSha256Block];
  } local{states[0], states[1], {}};
  kernel::finish_state(*plan.one, local.inner, message.data(), message.size(), inner_length);
  kernel::write_outer_block(local.block, local.inner.words);
  const std::uint8_t* p = local.block;
  plan.one->compress(local.outer.words, &p, 1);
  kernel::write_digest(out, local.outer.words);
  secure_wipe(&local, sizeof local);
}

}  // namespace

HmacSha256Key::HmacSha256Key(Bytes key) noexcept {
  const Plan& plan = kernel::plan();
  Pads pads;
  if (key.size() <= kSha256Block) {
    hash_pads(plan, key, pads, states_);
  } else {
    std::uint8_t digest[kSha256Size];
    sha256(key, digest);
    hash_pads(plan, digest, pads, states_);
    secure_wipe(digest, sizeof digest);
  }
  secure_wipe(&pads, sizeof pads);
}

HmacSha256Key::~HmacSha256Key() {
  secure_wipe(states_, sizeof states_);
}

void HmacSha256Key::sign(Bytes message, std::uint8_t out[kSha256Size]) const noexcept {
  sign_one(kernel::plan(), states_, inner_length_, message, out);
}

void HmacSha256Key::sign_many(std::span<const Bytes> messages, std::uint8_t* out) const noexcept {
  if (messages.size() == 1) return sign(messages[0], out);
  kernel::run_lanes(kernel::plan(), {messages, out, states_[0], inner_length_, &states_[1]});
}

HmacSha256Key HmacSha256Key::after_block(const std::uint8_t block[kSha256Block]) const noexcept {
  HmacSha256Key key(*this);
  kernel::plan().one->compress(key.states_[0].words, &block, 1);
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
  const Plan& plan = kernel::plan();
  struct {
    Pads pads;
    Sha256State states[2];
    std::uint8_t current[kSha256Size];
    alignas(64) std::uint8_t block[kSha256Block];
  } secret;
  // What ends a message does not depend on the key, so it is written ahead, four messages at a time: the
  // kernel's loads would otherwise wait for its many small stores in every link of the chain.
  constexpr std::size_t kAhead = 4;
  alignas(64) std::uint8_t tails[kAhead][2 * kSha256Block];
  std::size_t tail_blocks[kAhead] = {};
  for (std::size_t i = 0; i < messages.size(); ++i) {
    for (std::size_t k = i; i % kAhead == 0 && k < std::min(i + kAhead, messages.size()); ++k) {
      const std::size_t rest = messages[k].size() % kSha256Block;
      tail_blocks[k - i] = kernel::write_tail(tails[k - i], messages[k].data() + (messages[k].size() - rest),
                                              rest, kSha256Block + messages[k].size());
    }
    if (key.size() > kSha256Block) {
      sha256(key, secret.current);
      key = secret.current;
    }
    hash_pads(plan, key, secret.pads, secret.states);
    const std::uint8_t* p = messages[i].data();
    const std::size_t blocks = messages[i].size() / kSha256Block;
    if (blocks != 0) plan.one->compress(secret.states[0].words, &p, blocks);
    p = tails[i % kAhead];
    plan.one->compress(secret.states[0].words, &p, tail_blocks[i % kAhead]);
    kernel::write_outer_block(secret.block, secret.states[0].words);
    p = secret.block;
    plan.one->compress(secret.states[1].words, &p, 1);
    kernel::write_digest(secret.current, secret.states[1].words);
    key = secret.current;
  }
  std::memcpy(out, secret.current, kSha256Size);
  secure_wipe(&secret, sizeof secret);
}

}  // namespace s3accel
