// SHA-256 (FIPS 180-4): of one message, piece by piece or at once, and of many independent messages in lanes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "s3accel/bytes.h"

namespace s3accel {

inline constexpr std::size_t kSha256Size = 32;
inline constexpr std::size_t kSha256Block = 64;

// The eight chaining words after a whole number of 64-byte blocks.
struct Sha256State {
  std::uint32_t words[8];
};

// The state before the first block.
inline constexpr Sha256State kSha256Initial = {
    {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};

class Sha256 {
 public:
  Sha256() noexcept { reset(); }
  // Goes on after `bytes_before` bytes (a multiple of 64) that led to `midstate`.
  Sha256(const Sha256State& midstate, std::uint64_t bytes_before) noexcept
      : state_(midstate), length_(bytes_before) {}

  void update(Bytes data) noexcept;
  // Writes the digest. The object must be reset before it is used again.
  void finish(std::uint8_t out[kSha256Size]) noexcept;
  void reset() noexcept {
    state_ = kSha256Initial;
    length_ = 0;
  }

  // Bytes taken in so far.
  std::uint64_t length() const noexcept { return length_; }
  // The state after the whole blocks taken in so far; length() % 64 further bytes are only buffered.
  const Sha256State& midstate() const noexcept { return state_; }

 private:
  friend void sha256_many_and_whole(std::span<const Bytes> parts, std::uint8_t* out, Sha256& whole) noexcept;

  Sha256State state_;
  std::uint64_t length_;
  std::uint8_t buffer_[kSha256Block];
};

void sha256(Bytes in, std::uint8_t out[kSha256Size]) noexcept;

// Digest i is written to out + 32 * i. Any count, any lengths (equal lengths are fastest); the messages run
// side by side in the lanes of the best kernel this CPU has, padding included. Allocates nothing.
void sha256_many(std::span<const Bytes> inputs, std::uint8_t* out) noexcept;

// How many equal messages fill the lanes of the kernel in use: hand sha256_many a multiple of it where you
// can choose (4 for the hybrid kernel; a lone message costs three quarters of four).
unsigned sha256_many_lanes() noexcept;

// The digests of `parts` as sha256_many would give them, and whole.update() of all parts in order, in one
// pass: the long chain of `whole` runs in one lane and the parts one after another in a second lane, so that
// the second digest of the same bytes costs almost nothing where the CPU overlaps two chains.
void sha256_many_and_whole(std::span<const Bytes> parts, std::uint8_t* out, Sha256& whole) noexcept;

// The 64 lower-case hexadecimal digits of a digest (no terminating zero).
void hex32(const std::uint8_t in[kSha256Size], char out[2 * kSha256Size]) noexcept;

}  // namespace s3accel
