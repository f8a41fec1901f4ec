// The polynomials of the three CRCs, and what folding by carry-less multiplication needs of them, computed by
// the compiler. `consteval` leaves no function behind: this header is compiled with every kernel's flags, and
// a shared function could carry wide instructions to where no CPU was asked. Source of the method: V. Gopal
// and others, "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel, 2009.
#pragma once

#include <cstdint>

namespace s3accel::kernel {

// In reflected form: the lowest bit is the coefficient of the highest power below the top.
inline constexpr std::uint32_t kCrc32Polynomial = 0xEDB88320;              // ISO 3309, zlib
inline constexpr std::uint32_t kCrc32cPolynomial = 0x82F63B78;             // RFC 3720, Castagnoli
inline constexpr std::uint64_t kCrc64nvmePolynomial = 0x9A6C9329AC4BC9B5;  // NVM Express, Command Set 1.0

// x^n modulo the polynomial, reflected, with x^0 in bit 63.
template <int kWidth>
consteval std::uint64_t power(std::uint64_t polynomial, int n) {
  std::uint64_t v = std::uint64_t{1} << (kWidth - 1);
  for (; n != 0; --n) v = (v >> 1) ^ (v & 1 ? polynomial : 0);
  return v << (64 - kWidth);
}

// x^n modulo polynomial * x^(64 - width): only the last step needs this modulus.
template <int kWidth>
consteval std::uint64_t scaled_power(std::uint64_t polynomial, int n) {
  return power<kWidth>(polynomial, n - (64 - kWidth)) >> (64 - kWidth);
}

// The quotient of x^128 by the scaled polynomial without its x^0 term, reflected, with x^64 in bit 0.
template <std::uint64_t kPolynomial>
consteval std::uint64_t quotient() {
  std::uint64_t q = 1, rest = kPolynomial;  // x^64 goes once, the polynomial below its top power remains
  for (int bit = 1; bit < 64; ++bit) {
    if (rest & 1) q |= std::uint64_t{1} << bit;
    rest = (rest >> 1) ^ (rest & 1 ? kPolynomial : 0);
  }
  return q;
}

// Constants to fold a 128-bit value over `distance` bits: for its first (low) and its last eight bytes.
struct Pair {
  std::uint64_t low, high;
};

// This and `quotient` are templates outside of Constants because clang 14 evaluates no other consteval
// function there.
template <int kWidth, std::uint64_t kPolynomial>
consteval Pair fold_over(int distance) {
  return {power<kWidth>(kPolynomial, distance + 63), power<kWidth>(kPolynomial, distance - 1)};
}

template <int kWidth, std::uint64_t kPolynomial>
struct Constants {
  static constexpr Pair k2048 = fold_over<kWidth, kPolynomial>(2048);
  static constexpr Pair k1024 = fold_over<kWidth, kPolynomial>(1024);
  static constexpr Pair k512 = fold_over<kWidth, kPolynomial>(512);
  static constexpr Pair k384 = fold_over<kWidth, kPolynomial>(384);
  static constexpr Pair k256 = fold_over<kWidth, kPolynomial>(256);
  static constexpr Pair k128 = fold_over<kWidth, kPolynomial>(128);
  // In `low` what multiplies the first half in the last fold, in `high` the quotient for Barrett's reduction.
  static constexpr Pair last = {scaled_power<kWidth>(kPolynomial, 127), quotient<kPolynomial>()};
  static constexpr std::uint64_t modulus = kPolynomial << 1 | 1;
  static constexpr bool has_constant_term = kWidth == 64;
};

using Crc32 = Constants<32, kCrc32Polynomial>;
using Crc32c = Constants<32, kCrc32cPolynomial>;
using Crc64nvme = Constants<64, kCrc64nvmePolynomial>;

}  // namespace s3accel::kernel
