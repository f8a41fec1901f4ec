// SHA-256 in plain C++: runs everywhere, and the oracle for all other kernels.
#include "hash/kernels/kernel.h"

namespace {

constexpr std::uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

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
