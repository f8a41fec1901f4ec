// CRCs by carry-less multiplication, 256 bytes a step in four AVX-512 accumulators.
//
// Two multiplications fold 64 bytes onto the next 64; Zen 4 does one 512-bit multiplication in 2 cycles,
// which makes 16 bytes a cycle the limit whatever the width of the loop. All three CRCs take the same steps
// with other constants: a reflected polynomial of degree 32 is treated as one of degree 64 by multiplying
// with x^32.
#include "hash/kernels/crc_constants.h"
#include "hash/kernels/kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define S3ACCEL_INLINE __attribute__((always_inline)) inline

namespace {

using s3accel::kernel::Crc32;
using s3accel::kernel::Crc32c;
using s3accel::kernel::Crc64nvme;
using s3accel::kernel::Pair;

S3ACCEL_INLINE __m128i set(Pair k) {
  return _mm_set_epi64x(static_cast<long long>(k.high), static_cast<long long>(k.low));
}
S3ACCEL_INLINE __m512i set4(Pair k) {
  return _mm512_broadcast_i32x4(set(k));
}

S3ACCEL_INLINE __m128i fold(__m128i a, Pair k, __m128i data) {
  const __m128i c = set(k);
  return _mm_ternarylogic_epi64(_mm_clmulepi64_si128(a, c, 0x00), _mm_clmulepi64_si128(a, c, 0x11), data,
                                0x96);
}

S3ACCEL_INLINE __m512i fold4(__m512i a, __m512i c, const std::uint8_t* p) {
  return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(a, c, 0x00), _mm512_clmulepi64_epi128(a, c, 0x11),
                                   _mm512_loadu_si512(p), 0x96);
}

S3ACCEL_INLINE __m128i load(const std::uint8_t* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}

// The CRC register after the 16 bytes in `r`, whatever came before already folded into them.
template <class K>
S3ACCEL_INLINE std::uint64_t reduce(__m128i r) {
  const __m128i k = set(K::last);
  const __m128i q = _mm_xor_si128(_mm_clmulepi64_si128(r, k, 0x00), _mm_srli_si128(r, 8));
  const __m128i t = _mm_clmulepi64_si128(q, k, 0x10);
  const __m128i modulus = _mm_cvtsi64_si128(static_cast<long long>(K::modulus));
  const __m128i product = _mm_xor_si128(_mm_clmulepi64_si128(t, modulus, 0x00), q);
  std::uint64_t crc = static_cast<std::uint64_t>(_mm_extract_epi64(product, 1));
  if constexpr (K::has_constant_term) crc ^= static_cast<std::uint64_t>(_mm_cvtsi128_si64(t));
  return crc;
}

// Indices for pshufb: at 16 - n it moves bytes up by 16 - n (the first n remain, zeros below); at n down by
// n.
alignas(64) constexpr std::uint8_t kShift[48] = {
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
    0,    1,    2,    3,    4,    5,    6,    7,    8,    9,    10,   11,   12,   13,   14,   15,
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80};

// Appends the 1..15 bytes at p; at least 16 bytes of the same buffer lie before p.
S3ACCEL_INLINE __m128i append(__m128i r, const std::uint8_t* p, std::size_t n, Pair k128) {
  const __m128i first = _mm_shuffle_epi8(r, load(kShift + n));        // n bytes, moved to the end
  const __m128i others = _mm_shuffle_epi8(r, load(kShift + 16 + n));  // 16 - n bytes, moved to the start
  const __m128i fresh = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + n - 16));
  // Of the 16 bytes that end the buffer the last n are new.
  const __m128i keep = _mm_cmplt_epi8(load(kShift + 16 + n), _mm_setzero_si128());
  return fold(first, k128, _mm_or_si128(others, _mm_and_si128(fresh, keep)));
}

// Fewer than 16 bytes: put at the end of a register of zeros, which do not change a CRC register of zero.
template <class K>
S3ACCEL_INLINE std::uint64_t few_bytes(std::uint64_t crc, const std::uint8_t* p, std::size_t n) {
  if (n == 0) return crc;
  std::uint64_t low = 0, high = 0;
  if (n >= 8) {
    __builtin_memcpy(&low, p, 8);
    __builtin_memcpy(&high, p + n - 8, 8);
    if (n > 8) {
      high >>= 8 * (16 - n);
    } else {
      high = 0;
    }
  } else {
    for (std::size_t i = n; i-- > 0;) low = low << 8 | p[i];
  }
  low ^= crc;
  // Bytes of the register beyond the message only move down.
  const std::uint64_t beyond = n < 8 ? crc >> (8 * n) : 0;
  const __m128i r = _mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low));
  return reduce<K>(_mm_shuffle_epi8(r, load(kShift + n))) ^ beyond;
}

template <class K>
S3ACCEL_INLINE std::uint64_t update(std::uint64_t crc, const std::uint8_t* p, std::size_t n) {
  if (n < 16) return few_bytes<K>(crc, p, n);
  const __m128i start = _mm_cvtsi64_si128(static_cast<long long>(crc));
  __m128i r;
  if (n >= 64) {
    const __m512i k512 = set4(K::k512);
    __m512i a = _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_zextsi128_si512(start));
    p += 64, n -= 64;
    if (n >= 192) {
      __m512i b = _mm512_loadu_si512(p), c = _mm512_loadu_si512(p + 64), d = _mm512_loadu_si512(p + 128);
      const __m512i k2048 = set4(K::k2048);
      for (p += 192, n -= 192; n >= 256; p += 256, n -= 256) {
        a = fold4(a, k2048, p);
        b = fold4(b, k2048, p + 64);
        c = fold4(c, k2048, p + 128);
        d = fold4(d, k2048, p + 192);
      }
      b = _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(a, k512, 0x00),
                                    _mm512_clmulepi64_epi128(a, k512, 0x11), b, 0x96);
      c = _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(b, k512, 0x00),
                                    _mm512_clmulepi64_epi128(b, k512, 0x11), c, 0x96);
      a = _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(c, k512, 0x00),
                                    _mm512_clmulepi64_epi128(c, k512, 0x11), d, 0x96);
    }
    for (; n >= 64; p += 64, n -= 64) a = fold4(a, k512, p);
    r = fold(_mm512_castsi512_si128(a), K::k384, _mm512_extracti32x4_epi32(a, 3));
    r = fold(_mm512_extracti32x4_epi32(a, 1), K::k256, r);
    r = fold(_mm512_extracti32x4_epi32(a, 2), K::k128, r);
  } else {
    r = _mm_xor_si128(load(p), start);
    p += 16, n -= 16;
  }
  for (; n >= 16; p += 16, n -= 16) r = fold(r, K::k128, load(p));
  if (n != 0) r = append(r, p, n, K::k128);
  crc = reduce<K>(r);
  _mm256_zeroupper();
  return crc;
}

std::uint32_t crc32(std::uint32_t crc, const std::uint8_t* p, std::size_t n) {
  return static_cast<std::uint32_t>(update<Crc32>(crc, p, n));
}
std::uint32_t crc32c(std::uint32_t crc, const std::uint8_t* p, std::size_t n) {
  return static_cast<std::uint32_t>(update<Crc32c>(crc, p, n));
}
std::uint64_t crc64nvme(std::uint64_t crc, const std::uint8_t* p, std::size_t n) {
  return update<Crc64nvme>(crc, p, n);
}

}  // namespace

namespace s3accel::kernel {
const CrcKernel kCrcVpclmul512 = {
    "vpclmul512",
    "vpclmulqdq, avx512f, avx512bw, avx512vl",
    kSsse3 | kSse41 | kPclmul | kVpclmul | kAvx | kAvx2 | kAvx512f | kAvx512bw | kAvx512vl,
    crc32,
    crc32c,
    crc64nvme,
};
}  // namespace s3accel::kernel

#endif
