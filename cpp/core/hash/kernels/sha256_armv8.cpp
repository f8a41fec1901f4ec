// SHA-256 with the cryptographic extension of ARMv8: one message, and two interleaved.
//
// sha256h and sha256h2 chain through a block (16 steps of 4-5 cycles on Cortex-A76 and Neoverse cores), which
// leaves room for a second message: published gains are +65 % (N1), +43 % (N2), +68 % (V1, V2). Not measured
// by this project, whose tests run these kernels under an emulator; the timing at first use decides.
#include "hash/kernels/kernel.h"
#include "hash/kernels/sha256_constants.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace {

using s3accel::kernel::kRound;

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
