#include "s3accel/checksum.h"

#include "hash/kernels/crc_constants.h"
#include "hash/kernels/registry.h"

namespace s3accel {
namespace {

// Polynomials over GF(2) modulo a CRC's polynomial, bits reflected: the top bit of a Word is x^0.
template <class Word, Word kPolynomial>
struct Field {
  static constexpr Word kOne = Word{1} << (sizeof(Word) * 8 - 1);

  static constexpr Word times(Word a, Word b) noexcept {
    Word product = 0;
    for (; a != 0; a <<= 1) {
      if (a & kOne) product ^= b;
      b = (b >> 1) ^ (b & 1 ? kPolynomial : Word{0});
    }
    return product;
  }

  // powers[k] = x^(8 * 2^k): appending 2^k zero bytes multiplies a CRC by it.
  struct Powers {
    Word power[64];
    constexpr Powers() : power{} {
      Word x = kOne >> 8;
      for (Word& p : power) p = x, x = times(x, x);
    }
  };
  static constexpr Powers kPowers{};

  // The initial and final inversions of a and b cancel, so plain CRCs combine like running registers.
  static Word combine(Word a, Word b, std::uint64_t length_b) noexcept {
    for (int k = 0; length_b != 0; ++k, length_b >>= 1) {
      if (length_b & 1) a = times(kPowers.power[k], a);
    }
    return a ^ b;
  }
};

}  // namespace

std::uint32_t crc32(Bytes data, std::uint32_t crc) noexcept {
  return ~kernel::plan().crc->crc32(~crc, data.data(), data.size());
}

std::uint32_t crc32c(Bytes data, std::uint32_t crc) noexcept {
  return ~kernel::plan().crc->crc32c(~crc, data.data(), data.size());
}

std::uint64_t crc64nvme(Bytes data, std::uint64_t crc) noexcept {
  return ~kernel::plan().crc->crc64nvme(~crc, data.data(), data.size());
}

std::uint32_t crc32_combine(std::uint32_t a, std::uint32_t b, std::uint64_t length_b) noexcept {
  return Field<std::uint32_t, kernel::kCrc32Polynomial>::combine(a, b, length_b);
}

std::uint32_t crc32c_combine(std::uint32_t a, std::uint32_t b, std::uint64_t length_b) noexcept {
  return Field<std::uint32_t, kernel::kCrc32cPolynomial>::combine(a, b, length_b);
}

std::uint64_t crc64nvme_combine(std::uint64_t a, std::uint64_t b, std::uint64_t length_b) noexcept {
  return Field<std::uint64_t, kernel::kCrc64nvmePolynomial>::combine(a, b, length_b);
}

}  // namespace s3accel
