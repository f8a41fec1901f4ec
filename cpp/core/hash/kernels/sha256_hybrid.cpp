// The face of sha256_hybrid.S: four messages, two blocks of each a turn. Compiled for the baseline CPU.
#include "hash/kernels/kernel.h"

#if defined(__x86_64__)

extern "C" void s3accel_sha256_hybrid_x4(std::uint32_t* states, const std::uint8_t* const* data,
                                         std::size_t blocks);
extern "C" void s3accel_sha256_shani_x4(std::uint32_t* states, const std::uint8_t* const* data,
                                        std::size_t blocks);

namespace {

// The first schedule and the last rounds of a call have nothing to overlap with, about 170 cycles together;
// below this many blocks plain SHA-NI x4 is as fast (measured on Zen 4).
constexpr std::size_t kFewBlocks = 6;

void compress(std::uint32_t* states, const std::uint8_t* const* data, std::size_t blocks) {
  const std::size_t even = blocks < kFewBlocks ? 0 : blocks & ~std::size_t{1};
  if (even != 0) s3accel_sha256_hybrid_x4(states, data, even);
  if (even == blocks) return;
  const std::uint8_t* rest[4];
  for (int l = 0; l < 4; ++l) rest[l] = data[l] + 64 * even;
  s3accel_sha256_shani_x4(states, rest, blocks - even);
}

}  // namespace

namespace s3accel::kernel {
const Sha256Kernel kSha256Hybrid = {
    "hybrid", "sha, avx512f, avx512vl", kSha | kSse41 | kSsse3 | kAvx | kAvx2 | kAvx512f | kAvx512vl, 4, 146,
    compress,
};
}  // namespace s3accel::kernel

#endif
