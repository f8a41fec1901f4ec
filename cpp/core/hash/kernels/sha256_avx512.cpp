// The face of sha256_avx512.S: sixteen messages, one in each 32-bit lane. Compiled for the baseline CPU.
#include "hash/kernels/kernel.h"

#if defined(__x86_64__)

extern "C" void s3accel_sha256_avx512_x16(std::uint32_t* states, const std::uint8_t* const* data,
                                          std::size_t blocks);

namespace {

void compress(std::uint32_t* states, const std::uint8_t* const* data, std::size_t blocks) {
  if (blocks != 0) s3accel_sha256_avx512_x16(states, data, blocks);
}

}  // namespace

namespace s3accel::kernel {
const Sha256Kernel kSha256Avx512 = {
    "avx512-x16", "avx512f, avx512bw", kAvx | kAvx2 | kAvx512f | kAvx512bw, 16, 960, compress,
};
}  // namespace s3accel::kernel

#endif
