// CRCs by carry-less multiplication, 128 bytes a step in eight NEON accumulators, with ARMv8's polynomial
// multiply; fewer than 64 bytes of CRC32 and CRC32C by the crc32 instructions. The steps are those of
// crc_vpclmul512.cpp, which explains them. Speed is not measured by this project, whose tests run this kernel
// under an emulator.
#include "hash/kernels/crc_constants.h"
#include "hash/kernels/kernel.h"

#if defined(__aarch64__)
#include <arm_acle.h>
#include <arm_neon.h>

#define S3ACCEL_INLINE __attribute__((always_inline)) inline

namespace {

using s3accel::kernel::Crc32;
using s3accel::kernel::Crc32c;
using s3accel::kernel::Crc64nvme;
using s3accel::kernel::Pair;

using Vector = uint64x2_t;

S3ACCEL_INLINE Vector set(Pair k) {
  return vcombine_u64(vcreate_u64(k.low), vcreate_u64(k.high));
}

S3ACCEL_INLINE Vector multiply_low(Vector a, Vector b) {
  return vreinterpretq_u64_p128(vmull_p64(vgetq_lane_u64(a, 0), vgetq_lane_u64(b, 0)));
}
S3ACCEL_INLINE Vector multiply_high(Vector a, Vector b) {
  return vreinterpretq_u64_p128(vmull_high_p64(vreinterpretq_p64_u64(a), vreinterpretq_p64_u64(b)));
}

S3ACCEL_INLINE Vector fold(Vector a, Vector c, Vector data) {
  return veorq_u64(veorq_u64(multiply_low(a, c), data), multiply_high(a, c));
}

S3ACCEL_INLINE Vector load(const std::uint8_t* p) {
  return vreinterpretq_u64_u8(vld1q_u8(p));
}

// Bytes i of the result are bytes index[i] of v, zero where the index is 0x80 or more.
S3ACCEL_INLINE Vector shuffle(Vector v, const std::uint8_t* index) {
  return vreinterpretq_u64_u8(vqtbl1q_u8(vreinterpretq_u8_u64(v), vld1q_u8(index)));
}

// The CRC register after the 16 bytes in `r`, whatever came before already folded into them.
template <class K>
S3ACCEL_INLINE std::uint64_t reduce(Vector r) {
  const Vector k = set(K::last), zero = vdupq_n_u64(0);
  const Vector q = veorq_u64(multiply_low(r, k), vextq_u64(r, zero, 1));
  const Vector t = multiply_low(q, vdupq_n_u64(K::last.high));
  const Vector product = veorq_u64(multiply_low(t, vdupq_n_u64(K::modulus)), q);
  std::uint64_t crc = vgetq_lane_u64(product, 1);
  if constexpr (K::has_constant_term) crc ^= vgetq_lane_u64(t, 0);
  return crc;
}

// Indices for shuffle: at 16 - n it moves bytes up by 16 - n (the first n remain, zeros below); at n down by
// n.
alignas(64) constexpr std::uint8_t kShift[48] = {
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
    0,    1,    2,    3,    4,    5,    6,    7,    8,    9,    10,   11,   12,   13,   14,   15,
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80};

// Appends the 1..15 bytes at p; at least 16 bytes of the same buffer lie before p.
S3ACCEL_INLINE Vector append(Vector r, const std::uint8_t* p, std::size_t n, Vector k128) {
  const Vector first = shuffle(r, kShift + n);        // n bytes, moved to the end
  const Vector others = shuffle(r, kShift + 16 + n);  // 16 - n bytes, moved to the start
  // Of the 16 bytes that end the buffer the last n are new.
  const uint8x16_t keep = vcgeq_u8(vld1q_u8(kShift + 16 + n), vdupq_n_u8(0x80));
  const Vector fresh = vandq_u64(load(p + n - 16), vreinterpretq_u64_u8(keep));
  return fold(first, k128, vorrq_u64(others, fresh));
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
  return reduce<K>(shuffle(set({low, high}), kShift + n)) ^ beyond;
}

template <class K>
S3ACCEL_INLINE std::uint64_t update(std::uint64_t crc, const std::uint8_t* p, std::size_t n) {
  if (n < 16) return few_bytes<K>(crc, p, n);
  const Vector k128 = set(K::k128);
  Vector r = veorq_u64(load(p), vcombine_u64(vcreate_u64(crc), vcreate_u64(0)));
  if (n >= 256) {
    const Vector k1024 = set(K::k1024);
    Vector a = r, b = load(p + 16), c = load(p + 32), d = load(p + 48);
    Vector e = load(p + 64), f = load(p + 80), g = load(p + 96), h = load(p + 112);
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

constexpr std::size_t kShort = 64;

S3ACCEL_INLINE std::uint64_t load64(const std::uint8_t* p) {
  std::uint64_t v;
  __builtin_memcpy(&v, p, 8);
  return v;
}

std::uint32_t crc32(std::uint32_t crc, const std::uint8_t* p, std::size_t n) {
  if (n >= kShort) return static_cast<std::uint32_t>(update<Crc32>(crc, p, n));
  for (; n >= 8; p += 8, n -= 8) crc = __crc32d(crc, load64(p));
  for (; n != 0; ++p, --n) crc = __crc32b(crc, *p);
  return crc;
}

std::uint32_t crc32c(std::uint32_t crc, const std::uint8_t* p, std::size_t n) {
  if (n >= kShort) return static_cast<std::uint32_t>(update<Crc32c>(crc, p, n));
  for (; n >= 8; p += 8, n -= 8) crc = __crc32cd(crc, load64(p));
  for (; n != 0; ++p, --n) crc = __crc32cb(crc, *p);
  return crc;
}

std::uint64_t crc64nvme(std::uint64_t crc, const std::uint8_t* p, std::size_t n) {
  return update<Crc64nvme>(crc, p, n);
}

}  // namespace

namespace s3accel::kernel {
const CrcKernel kCrcArmv8 = {"armv8-pmull", "pmull, crc32", kArmPmull | kArmCrc, crc32, crc32c, crc64nvme};
}  // namespace s3accel::kernel

#endif
