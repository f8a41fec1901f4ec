// SHA-256 with the SHA extensions of x86: one message, and two to four messages interleaved.
//
// One message is bound by the latency of sha256rnds2 (4 cycles, 32 of them a block: 2.00 cycles/byte on
// Zen 4), so any compiler's code will do; a second message fits into the gaps almost for free. From three
// messages on the four vector pipes bind (sha256msg1 takes 2 and sha256msg2 4 of their slots) and the order
// of instructions counts: two to four messages are generated assembly, sha256_shani.S.
#include "hash/kernels/kernel.h"
#include "hash/kernels/sha256_constants.h"

#if defined(__x86_64__)
#include <immintrin.h>

extern "C" {
void s3accel_sha256_shani_x2(std::uint32_t* states, const std::uint8_t* const* data, std::size_t blocks);
void s3accel_sha256_shani_x3(std::uint32_t* states, const std::uint8_t* const* data, std::size_t blocks);
void s3accel_sha256_shani_x4(std::uint32_t* states, const std::uint8_t* const* data, std::size_t blocks);
}

namespace {

using s3accel::kernel::kRound;

// Rounds 4 * kGroup .. + 3, and the message words they allow to be computed ahead.
template <int kGroup>
__attribute__((always_inline)) inline void four_rounds(__m128i& abef, __m128i& cdgh, __m128i (&w)[4],
                                                       const std::uint8_t* p) {
  __m128i &now = w[kGroup & 3], &next = w[(kGroup + 1) & 3], &last = w[(kGroup + 3) & 3];
  if constexpr (kGroup < 4) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    now = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p) + kGroup), swap);
  }
  __m128i wk = _mm_add_epi32(now, *reinterpret_cast<const __m128i*>(kRound + 4 * kGroup));
  cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
  if constexpr (kGroup >= 3 && kGroup < 15) {
    next = _mm_sha256msg2_epu32(_mm_add_epi32(next, _mm_alignr_epi8(now, last, 4)), now);
  }
  wk = _mm_shuffle_epi32(wk, 0x0E);
  abef = _mm_sha256rnds2_epu32(abef, cdgh, wk);
  if constexpr (kGroup >= 1 && kGroup < 13) last = _mm_sha256msg1_epu32(last, now);
}

void compress(std::uint32_t* states, const std::uint8_t* const* data, std::size_t blocks) {
  const std::uint8_t* p = data[0];
  __m128i* state = reinterpret_cast<__m128i*>(states);
  const __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128(state), 0xB1);
  const __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128(state + 1), 0x1B);
  __m128i abef = _mm_alignr_epi8(badc, hgfe, 8);
  __m128i cdgh = _mm_blend_epi16(hgfe, badc, 0xF0);
  for (; blocks != 0; --blocks, p += 64) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4];
    four_rounds<0>(abef, cdgh, w, p);
    four_rounds<1>(abef, cdgh, w, p);
    four_rounds<2>(abef, cdgh, w, p);
    four_rounds<3>(abef, cdgh, w, p);
    four_rounds<4>(abef, cdgh, w, p);
    four_rounds<5>(abef, cdgh, w, p);
    four_rounds<6>(abef, cdgh, w, p);
    four_rounds<7>(abef, cdgh, w, p);
    four_rounds<8>(abef, cdgh, w, p);
    four_rounds<9>(abef, cdgh, w, p);
    four_rounds<10>(abef, cdgh, w, p);
    four_rounds<11>(abef, cdgh, w, p);
    four_rounds<12>(abef, cdgh, w, p);
    four_rounds<13>(abef, cdgh, w, p);
    four_rounds<14>(abef, cdgh, w, p);
    four_rounds<15>(abef, cdgh, w, p);
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  const __m128i feba = _mm_shuffle_epi32(abef, 0x1B);
  const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xB1);
  _mm_storeu_si128(state, _mm_blend_epi16(feba, dchg, 0xF0));
  _mm_storeu_si128(state + 1, _mm_alignr_epi8(dchg, feba, 8));
}

template <void (*kAssembly)(std::uint32_t*, const std::uint8_t* const*, std::size_t)>
void compress_some(std::uint32_t* states, const std::uint8_t* const* data, std::size_t blocks) {
  if (blocks != 0) kAssembly(states, data, blocks);
}

constexpr std::uint32_t kNeeds = s3accel::kernel::kSha | s3accel::kernel::kSse41 | s3accel::kernel::kSsse3;

}  // namespace

namespace s3accel::kernel {

const Sha256Kernel kSha256Shani = {"shani", "sha, sse4.1", kNeeds, 1, 130, compress};

const Sha256Kernel kSha256ShaniMany[3] = {
    {"shani-x2", "sha, avx", kNeeds | kAvx, 2, 131, compress_some<s3accel_sha256_shani_x2>},
    {"shani-x3", "sha, avx", kNeeds | kAvx, 3, 164, compress_some<s3accel_sha256_shani_x3>},
    {"shani-x4", "sha, avx", kNeeds | kAvx, 4, 206, compress_some<s3accel_sha256_shani_x4>},
};

}  // namespace s3accel::kernel

#endif
