// CRCs by carry-less multiplication, 128 bytes a step in eight SSE accumulators. The steps are those of
// crc_vpclmul512.cpp, which explains them, with registers of 16 bytes.
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

S3ACCEL_INLINE __m128i fold(__m128i a, __m128i c, __m128i data) {
  return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(a, c, 0x00), data),
                       _mm_clmulepi64_si128(a, c, 0x11));
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
S3ACCEL_INLINE __m128i append(__m128i r, const std::uint8_t* p, std::size_t n, __m128i k128) {
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
  const __m128i k128 = set(K::k128);
  __m128i r = _mm_xor_si128(load(p), _mm_cvtsi64_si128(static_cast<long long>(crc)));
  if (n >= 256) {
    const __m128i k1024 = set(K::k1024);
    __m128i a = r, b = load(p + 16), c = load(p + 32), d = load(p + 48);
    __m128i e = load(p + 64), f = load(p + 80), g = load(p + 96), h = load(p + 112);
    for (p += 128, n -= 128; n >= 128; p += 128, n -= 128) {
      a = fold(a, k1024, load(p));
      b = fold(b, k1024, load(p + 16));
      c = fold(c, k1024, load(p + 32));
      d = fold(d, k1024, load(p + 48));
      e = fold(e, k1024, load(p + 64));
      f = fold(f, k1024, load(p + 80));
      g = fold(g, k1024, load(p + 96));
      h = fold(h, k1024, load(p + 112));
    }
    r = fold(fold(fold(a, k128, b), k128, c), k128, d);
    r = fold(fold(fold(fold(r, k128, e), k128, f), k128, g), k128, h);
  } else {
    p += 16, n -= 16;
  }
  for (; n >= 16; p += 16, n -= 16) r = fold(r, k128, load(p));
  if (n != 0) r = append(r, p, n, k128);
  return reduce<K>(r);
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
const CrcKernel kCrcPclmul = {
    "pclmul", "pclmulqdq, sse4.1", kSsse3 | kSse41 | kPclmul, crc32, crc32c, crc64nvme,
};
}  // namespace s3accel::kernel

#endif
