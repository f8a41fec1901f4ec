// SHA-256 of eight messages, one in each 32-bit lane of the AVX2 registers: for CPUs without SHA extensions.
// AVX2 has no rotate and no three-input logic, so each block costs twice what AVX-512 needs.
#include "hash/kernels/kernel.h"
#include "hash/kernels/sha256_constants.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define S3ACCEL_INLINE __attribute__((always_inline)) inline

namespace {

using s3accel::kernel::kRound;

S3ACCEL_INLINE __m256i add(__m256i x, __m256i y) {
  return _mm256_add_epi32(x, y);
}
S3ACCEL_INLINE __m256i xor3(__m256i x, __m256i y, __m256i z) {
  return _mm256_xor_si256(_mm256_xor_si256(x, y), z);
}

template <int kBits>
S3ACCEL_INLINE __m256i rotate(__m256i x) {
  return _mm256_or_si256(_mm256_srli_epi32(x, kBits), _mm256_slli_epi32(x, 32 - kBits));
}

// Words 8 * half .. + 7 of eight messages, byte swapped, one register for each word.
S3ACCEL_INLINE void load_words(__m256i* w, const std::uint8_t* const* p, std::size_t offset) {
  const __m256i swap =
      _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL));
  __m256i r[8], t[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    r[i] = _mm256_shuffle_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p[i] + offset)), swap);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = _mm256_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm256_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    r[4 * i] = _mm256_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = _mm256_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = _mm256_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = _mm256_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    w[i] = _mm256_permute2x128_si256(r[i], r[4 + i], 0x20);
    w[4 + i] = _mm256_permute2x128_si256(r[i], r[4 + i], 0x31);
  }
}

// Round i with the states in s[(k - i) mod 8] for k = a..h, so that nothing moves between registers.
S3ACCEL_INLINE void one_round(__m256i* s, __m256i* w, int i) {
  const __m256i a = s[(64 - i) & 7], b = s[(65 - i) & 7], c = s[(66 - i) & 7];
  const __m256i e = s[(68 - i) & 7], f = s[(69 - i) & 7], g = s[(70 - i) & 7];
  __m256i &d = s[(67 - i) & 7], &h = s[(71 - i) & 7];
  if (i >= 16) {
    const __m256i x = w[(i + 1) & 15], y = w[(i + 14) & 15];
    const __m256i sigma0 = xor3(rotate<7>(x), rotate<18>(x), _mm256_srli_epi32(x, 3));
    const __m256i sigma1 = xor3(rotate<17>(y), rotate<19>(y), _mm256_srli_epi32(y, 10));
    w[i & 15] = add(add(w[i & 15], w[(i + 9) & 15]), add(sigma0, sigma1));
  }
  const __m256i choice = _mm256_xor_si256(g, _mm256_and_si256(e, _mm256_xor_si256(f, g)));
  const __m256i majority =
      _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(c, _mm256_or_si256(a, b)));
  const __m256i t1 = add(add(h, add(w[i & 15], _mm256_set1_epi32(static_cast<int>(kRound[i])))),
                         add(xor3(rotate<6>(e), rotate<11>(e), rotate<25>(e)), choice));
  d = add(d, t1);
  h = add(t1, add(xor3(rotate<2>(a), rotate<13>(a), rotate<22>(a)), majority));
}

__attribute__((noinline)) void compress_blocks(std::uint32_t* states, const std::uint8_t* const* data,
                                               std::size_t blocks) {
  alignas(32) std::uint32_t words[8][8];
  for (int l = 0; l < 8; ++l) {
    for (int k = 0; k < 8; ++k) words[k][l] = states[8 * l + k];
  }
  __m256i s[8];
  for (int k = 0; k < 8; ++k) s[k] = _mm256_load_si256(reinterpret_cast<const __m256i*>(words[k]));
  for (std::size_t offset = 0; offset < 64 * blocks; offset += 64) {
    __m256i w[16], before[8];
    load_words(w, data, offset);
    load_words(w + 8, data, offset + 32);
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) before[k] = s[k];
#pragma GCC unroll 64
    for (int i = 0; i < 64; ++i) one_round(s, w, i);
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) s[k] = add(s[k], before[k]);
  }
  for (int k = 0; k < 8; ++k) _mm256_store_si256(reinterpret_cast<__m256i*>(words[k]), s[k]);
  for (int l = 0; l < 8; ++l) {
    for (int k = 0; k < 8; ++k) states[8 * l + k] = words[k][l];
  }
}

// 24 values do not fit into 16 registers, so compilers put some aside, and under HMAC the states come from a
// key. They lie where this function's array does: it is called from the same place, and no compiler seen
// needs more (clang 14: 3,744 bytes; gcc 12: 1,696).
__attribute__((noinline)) void wipe_stack() {
  alignas(32) unsigned char below[4096];
  for (std::size_t i = 0; i < sizeof below; i += 32) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(below + i), _mm256_setzero_si256());
  }
  asm volatile("" : : "r"(below) : "memory");
}

void compress(std::uint32_t* states, const std::uint8_t* const* data, std::size_t blocks) {
  compress_blocks(states, data, blocks);
  wipe_stack();
  _mm256_zeroupper();
}

}  // namespace

namespace s3accel::kernel {
const Sha256Kernel kSha256Avx2 = {"avx2-x8", "avx2", kAvx | kAvx2, 8, 960, compress};
}  // namespace s3accel::kernel

#endif
