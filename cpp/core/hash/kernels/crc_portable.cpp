// CRCs by tables, eight bytes a step (slicing): runs everywhere, and the oracle for the folding kernels.
#include "hash/kernels/crc_constants.h"
#include "hash/kernels/kernel.h"

namespace {

// slice[k][b]: what byte b contributes when k further bytes of the same step follow it.
template <class Word>
struct Tables {
  Word slice[8][256];

  // `polynomial` is in reflected form: its lowest bit is the coefficient of the highest power below the top.
  constexpr explicit Tables(Word polynomial) : slice{} {
    for (int b = 0; b < 256; ++b) {
      Word c = static_cast<Word>(b);
      for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ (c & 1 ? polynomial : Word{0});
      slice[0][b] = c;
    }
    for (int k = 1; k < 8; ++k) {
      for (int b = 0; b < 256; ++b) slice[k][b] = (slice[k - 1][b] >> 8) ^ slice[0][slice[k - 1][b] & 255];
    }
  }
};

constexpr Tables<std::uint32_t> kCrc32{s3accel::kernel::kCrc32Polynomial};
constexpr Tables<std::uint32_t> kCrc32c{s3accel::kernel::kCrc32cPolynomial};
constexpr Tables<std::uint64_t> kCrc64nvme{s3accel::kernel::kCrc64nvmePolynomial};

inline std::uint64_t load_le64(const std::uint8_t* p) {
  std::uint64_t v = 0;
  for (int i = 7; i >= 0; --i) v = v << 8 | p[i];
  return v;
}

template <class Word>
inline Word update(const Tables<Word>& t, Word crc, const std::uint8_t* p, std::size_t n) {
  for (; n >= 8; n -= 8, p += 8) {
    const std::uint64_t v = load_le64(p) ^ crc;
    crc = t.slice[7][v & 255] ^ t.slice[6][v >> 8 & 255] ^ t.slice[5][v >> 16 & 255] ^
          t.slice[4][v >> 24 & 255] ^ t.slice[3][v >> 32 & 255] ^ t.slice[2][v >> 40 & 255] ^
          t.slice[1][v >> 48 & 255] ^ t.slice[0][v >> 56];
  }
  for (; n != 0; --n, ++p) crc = (crc >> 8) ^ t.slice[0][(crc ^ *p) & 255];
  return crc;
}

std::uint32_t crc32(std::uint32_t crc, const std::uint8_t* p, std::size_t n) {
  return update(kCrc32, crc, p, n);
}
std::uint32_t crc32c(std::uint32_t crc, const std::uint8_t* p, std::size_t n) {
  return update(kCrc32c, crc, p, n);
}
std::uint64_t crc64nvme(std::uint64_t crc, const std::uint8_t* p, std::size_t n) {
  return update(kCrc64nvme, crc, p, n);
}

}  // namespace

namespace s3accel::kernel {
const CrcKernel kCrcPortable = {"portable", "", 0, crc32, crc32c, crc64nvme};
}  // namespace s3accel::kernel
