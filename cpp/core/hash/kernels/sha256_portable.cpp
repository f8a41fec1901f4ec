// SHA-256 in plain C++: runs everywhere, and the oracle for all other kernels.
#include "hash/kernels/kernel.h"
#include "hash/kernels/sha256_constants.h"

namespace {

using s3accel::kernel::kRound;

inline std::uint32_t rotate(std::uint32_t x, int n) {
  return (x >> n) | (x << (32 - n));
}

inline std::uint32_t load_be(const std::uint8_t* p) {
  return std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
}

// Round i with the states in s[(k - i) mod 8] for k = a..h. Unrolled, nothing moves and no index is computed.
__attribute__((always_inline)) inline void one_round(std::uint32_t* s, std::uint32_t* w, int i) {
  const std::uint32_t a = s[(64 - i) & 7], b = s[(65 - i) & 7], c = s[(66 - i) & 7];
  const std::uint32_t e = s[(68 - i) & 7], f = s[(69 - i) & 7], g = s[(70 - i) & 7];
  std::uint32_t &d = s[(67 - i) & 7], &h = s[(71 - i) & 7];
  if (i >= 16) {
    const std::uint32_t x = w[(i + 1) & 15], y = w[(i + 14) & 15];
    w[i & 15] += w[(i + 9) & 15] + (rotate(x, 7) ^ rotate(x, 18) ^ (x >> 3)) +
                 (rotate(y, 17) ^ rotate(y, 19) ^ (y >> 10));
  }
  const std::uint32_t t1 =
      h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + (g ^ (e & (f ^ g))) + kRound[i] + w[i & 15];
  d += t1;
  h = t1 + (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) | (c & (a | b)));
}

void compress(std::uint32_t* state, const std::uint8_t* const* data, std::size_t blocks) {
  const std::uint8_t* p = data[0];
  for (; blocks != 0; --blocks, p += 64) {
    std::uint32_t w[16], s[8];
    for (int i = 0; i < 16; ++i) w[i] = load_be(p + 4 * i);
    for (int k = 0; k < 8; ++k) s[k] = state[k];
#pragma GCC unroll 64
    for (int i = 0; i < 64; ++i) one_round(s, w, i);
    for (int k = 0; k < 8; ++k) state[k] += s[k];
  }
}

}  // namespace

namespace s3accel::kernel {
const Sha256Kernel kSha256Portable = {"portable", "", 0, 1, 740, compress};
}  // namespace s3accel::kernel
