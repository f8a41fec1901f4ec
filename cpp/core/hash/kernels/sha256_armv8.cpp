// SHA-256 with the cryptographic extension of ARMv8: one message, and two interleaved.
//
// sha256h and sha256h2 chain through a block (16 steps of 4-5 cycles on Cortex-A76 and Neoverse cores), which
// leaves room for a second message: published gains are +65 % (N1), +43 % (N2), +68 % (V1, V2). Not measured
// by this project, whose tests run these kernels under an emulator; the timing at first use decides.
#include "hash/kernels/kernel.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace {

alignas(64) constexpr std::uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

template <int kLanes>
struct Messages {
  uint32x4_t abcd[kLanes], efgh[kLanes], w[kLanes][4];
  const std::uint8_t* p[kLanes];
};

// Rounds 4 * kGroup .. + 3 of all messages, and the words kGroup + 4 while there are any.
template <int kLanes, int kGroup>
__attribute__((always_inline)) inline void four_rounds(Messages<kLanes>& m) {
  const uint32x4_t k = vld1q_u32(kRound + 4 * kGroup);
#pragma GCC unroll 2
  for (int l = 0; l < kLanes; ++l) {
    uint32x4_t* w = m.w[l];
    if constexpr (kGroup < 4) {
      w[kGroup] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(m.p[l] + 16 * kGroup)));
    }
    const uint32x4_t wk = vaddq_u32(w[kGroup & 3], k);
    const uint32x4_t abcd = m.abcd[l];
    m.abcd[l] = vsha256hq_u32(abcd, m.efgh[l], wk);
    m.efgh[l] = vsha256h2q_u32(m.efgh[l], abcd, wk);
    // Words kGroup + 1 are complete once all four groups before them are there.
    if constexpr (kGroup >= 3 && kGroup < 15) {
      uint32x4_t* next = &w[(kGroup + 1) & 3];
      *next =
          vsha256su1q_u32(vsha256su0q_u32(*next, w[(kGroup + 2) & 3]), w[(kGroup + 3) & 3], w[kGroup & 3]);
    }
  }
}

template <int kLanes>
void compress(std::uint32_t* states, const std::uint8_t* const* data, std::size_t blocks) {
  Messages<kLanes> m;
#pragma GCC unroll 2
  for (int l = 0; l < kLanes; ++l) {
    m.p[l] = data[l];
    m.abcd[l] = vld1q_u32(states + 8 * l);
    m.efgh[l] = vld1q_u32(states + 8 * l + 4);
  }
  for (; blocks != 0; --blocks) {
    uint32x4_t abcd[kLanes], efgh[kLanes];
#pragma GCC unroll 2
    for (int l = 0; l < kLanes; ++l) {
      abcd[l] = m.abcd[l];
      efgh[l] = m.efgh[l];
    }
    four_rounds<kLanes, 0>(m);
    four_rounds<kLanes, 1>(m);
    four_rounds<kLanes, 2>(m);
    four_rounds<kLanes, 3>(m);
    four_rounds<kLanes, 4>(m);
    four_rounds<kLanes, 5>(m);
    four_rounds<kLanes, 6>(m);
    four_rounds<kLanes, 7>(m);
    four_rounds<kLanes, 8>(m);
    four_rounds<kLanes, 9>(m);
    four_rounds<kLanes, 10>(m);
    four_rounds<kLanes, 11>(m);
    four_rounds<kLanes, 12>(m);
    four_rounds<kLanes, 13>(m);
    four_rounds<kLanes, 14>(m);
    four_rounds<kLanes, 15>(m);
#pragma GCC unroll 2
    for (int l = 0; l < kLanes; ++l) {
      m.abcd[l] = vaddq_u32(m.abcd[l], abcd[l]);
      m.efgh[l] = vaddq_u32(m.efgh[l], efgh[l]);
      m.p[l] += 64;
    }
  }
#pragma GCC unroll 2
  for (int l = 0; l < kLanes; ++l) {
    vst1q_u32(states + 8 * l, m.abcd[l]);
    vst1q_u32(states + 8 * l + 4, m.efgh[l]);
  }
}

}  // namespace

namespace s3accel::kernel {
// Cycles from the latencies and the gain published for Neoverse N1.
const Sha256Kernel kSha256Armv8[2] = {
    {"armv8", "sha2", kArmSha2, 1, 80, compress<1>},
    {"armv8-x2", "sha2", kArmSha2, 2, 97, compress<2>},
};
}  // namespace s3accel::kernel

#endif
