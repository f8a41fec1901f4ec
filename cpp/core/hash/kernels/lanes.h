// Runs many independent messages through the lanes of the kernels: SHA-256 from any state, and HMAC.
#pragma once

#include <cstdint>
#include <span>

#include "hash/kernels/registry.h"
#include "s3accel/bytes.h"
#include "s3accel/sha256.h"

namespace s3accel::kernel {

struct LaneWork {
  std::span<const Bytes> messages;
  std::uint8_t* out;           // digest i goes to out + 32 * i
  Sha256State start;           // the state every message begins with
  std::uint64_t start_length;  // bytes that led to it, a multiple of 64
  const Sha256State* outer;    // HMAC's state after key ^ opad; nullptr for a plain digest
};

void run_lanes(const Plan& plan, const LaneWork& work) noexcept;

// Writes what follows the last whole block of a message: its final `rest` bytes (fewer than 64), the padding,
// and the length in bits of all `total` bytes. Returns the number of blocks, 1 or 2.
std::size_t write_tail(std::uint8_t tail[2 * kSha256Block], const std::uint8_t* end, std::size_t rest,
                       std::uint64_t total) noexcept;

void write_digest(std::uint8_t out[kSha256Size], const std::uint32_t words[8]) noexcept;

// The one block of HMAC's outer hash: the inner digest, given as words, and its padding.
void write_outer_block(std::uint8_t block[kSha256Block], const std::uint32_t inner[8]) noexcept;

// One message of `size` bytes from `state` on, with a kernel for one message; `state` is then its result.
void finish_state(const Sha256Kernel& kernel, Sha256State& state, const std::uint8_t* data, std::size_t size,
                  std::uint64_t start_length) noexcept;

// The same, and the digest written out.
void finish_one(const Sha256Kernel& kernel, Sha256State& state, const std::uint8_t* data, std::size_t size,
                std::uint64_t start_length, std::uint8_t out[kSha256Size]) noexcept;

}  // namespace s3accel::kernel
