// Asks the CPU, and the operating system through it, for the instruction sets the kernels need.
#include "hash/kernels/registry.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace s3accel::kernel {
namespace {

#if defined(__x86_64__)

std::uint32_t extended_control_register() noexcept {
  std::uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

std::uint32_t detect() noexcept {
  std::uint32_t a, b, c, d, found = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
  const auto add = [&found](bool has, std::uint32_t feature) {
    if (has) found |= feature;
  };
  add(c & (1u << 9), kSsse3);
  add(c & (1u << 19), kSse41);
  add(c & (1u << 1), kPclmul);
  // Bit 27 says that the system uses XSAVE; XCR0 then tells which registers it saves.
  const std::uint32_t saved = c & (1u << 27) ? extended_control_register() : 0;
  const bool ymm = (saved & 0x06) == 0x06, zmm = (saved & 0xe6) == 0xe6;
  add(ymm && (c & (1u << 28)), kAvx);
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return found;
  add(b & (1u << 29), kSha);
  add(ymm && (b & (1u << 5)), kAvx2);
  add(zmm && (b & (1u << 16)), kAvx512f);
  add(zmm && (b & (1u << 30)), kAvx512bw);
  add(zmm && (b & (1u << 31)), kAvx512vl);
  add(ymm && (c & (1u << 10)), kVpclmul);
  return found;
}

#elif defined(__aarch64__) && defined(__linux__)

std::uint32_t detect() noexcept {
  // HWCAP bits of the Linux arm64 ABI (Documentation/arch/arm64/elf_hwcaps.rst).
  const unsigned long caps = getauxval(AT_HWCAP);
  std::uint32_t found = 0;
  if (caps & (1ul << 6)) found |= kArmSha2;
  if (caps & (1ul << 4)) found |= kArmPmull;
  if (caps & (1ul << 7)) found |= kArmCrc;
  return found;
}

#elif defined(__aarch64__) && defined(__APPLE__)

// Every Apple Silicon CPU has all three.
std::uint32_t detect() noexcept {
  return kArmSha2 | kArmPmull | kArmCrc;
}

#else

std::uint32_t detect() noexcept {
  return 0;
}

#endif

}  // namespace

std::uint32_t cpu_features() noexcept {
  static const std::uint32_t features = detect();
  return features;
}

}  // namespace s3accel::kernel
