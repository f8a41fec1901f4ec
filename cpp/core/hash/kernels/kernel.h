// The narrow waist between the core and the kernels: plain function pointers, a name, and what the CPU must
// have. A kernel file includes this header and its intrinsics, nothing else, so that code compiled for a wide
// instruction set never reaches a function that other files share.
#pragma once

#include <cstddef>
#include <cstdint>

namespace s3accel::kernel {

// Instruction sets the kernels ask for. The avx and avx512 bits also mean that the operating system saves the
// registers.
enum Feature : std::uint32_t {
  kSsse3 = 1u << 0,
  kSse41 = 1u << 1,
  kSha = 1u << 2,
  kAvx = 1u << 3,
  kAvx2 = 1u << 4,
  kAvx512f = 1u << 5,
  kAvx512bw = 1u << 6,
  kAvx512vl = 1u << 7,
  kPclmul = 1u << 8,
  kVpclmul = 1u << 9,
  kArmSha2 = 1u << 10,
  kArmPmull = 1u << 11,
  kArmCrc = 1u << 12,
};

// Advances `lanes` independent messages by `blocks` 64-byte blocks each. states: lanes arrays of 8 words, one
// after another; data: one pointer for each lane, of any alignment. Lanes may share their data.
using Sha256Compress = void (*)(std::uint32_t* states, const std::uint8_t* const* data, std::size_t blocks);

struct Sha256Kernel {
  const char* name;
  const char* needs;
  std::uint32_t features;
  std::uint32_t lanes;
  // Cycles to advance all lanes by one block, measured on Zen 4 (ARM: derived from published latencies).
  // Used instead of a measurement when S3ACCEL_KERNEL fixes the choice, so that it is deterministic.
  std::uint32_t step_cycles;
  Sha256Compress compress;
};

// Running registers in and out: the callers in checksum.cpp invert before and after.
struct CrcKernel {
  const char* name;
  const char* needs;
  std::uint32_t features;
  std::uint32_t (*crc32)(std::uint32_t crc, const std::uint8_t* data, std::size_t size);
  std::uint32_t (*crc32c)(std::uint32_t crc, const std::uint8_t* data, std::size_t size);
  std::uint64_t (*crc64nvme)(std::uint64_t crc, const std::uint8_t* data, std::size_t size);
};

// One table of each kernel file.
extern const Sha256Kernel kSha256Portable;
extern const CrcKernel kCrcPortable;
#if defined(__x86_64__)
extern const Sha256Kernel kSha256Shani;
extern const Sha256Kernel kSha256Avx2;
extern const Sha256Kernel kSha256ShaniMany[3];  // x2, x3, x4
extern const Sha256Kernel kSha256Hybrid;
extern const Sha256Kernel kSha256Avx512;
extern const CrcKernel kCrcVpclmul512;
extern const CrcKernel kCrcVpclmul256;
extern const CrcKernel kCrcPclmul;
#elif defined(__aarch64__)
extern const Sha256Kernel kSha256Armv8[2];  // x1, x2
extern const CrcKernel kCrcArmv8;
#endif

}  // namespace s3accel::kernel
