// Which kernels this CPU runs, and the plan made of them: what to use for one message and for n messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "hash/kernels/kernel.h"

namespace s3accel::kernel {

inline constexpr unsigned kMaxLanes = 16;

// The first group to form when n messages of equal length are at hand.
struct Group {
  const Sha256Kernel* kernel;
  unsigned take;  // messages that go into its lanes; fewer than its lanes if that is still the cheapest
};

struct Plan {
  const Sha256Kernel* one;   // one message
  const Sha256Kernel* pair;  // two blocks side by side (HMAC pads); nullptr if two calls of `one` are as good
  Group groups[kMaxLanes + 1];  // groups[n] for n messages in hand, n >= 1
  Group bulk;                   // many more messages than lanes
  const CrcKernel* crc;
};

// The plan in use: chosen once, by CPUID and then by timing or by S3ACCEL_KERNEL.
const Plan& plan() noexcept;

// All kernels compiled in, in order of preference, whether or not this CPU has what they need.
std::span<const Sha256Kernel* const> sha256_kernels() noexcept;
std::span<const CrcKernel* const> crc_kernels() noexcept;

// Measured GB/s of kernel i of the lists above; 0 if it was not measured.
double sha256_rate(std::size_t i) noexcept;
double crc_rate(std::size_t i) noexcept;

const char* selection_error() noexcept;

// What the CPU and the operating system offer (Feature bits); asked once.
std::uint32_t cpu_features() noexcept;
inline bool runs_here(std::uint32_t features) noexcept {
  return (features & ~cpu_features()) == 0;
}

// The plan's SHA-256 part for measured times of the kernels, in the order of sha256_kernels(): each the time
// of the same number of steps, in any unit; 0: does not run here or was not measured. At least one is not 0.
void plan_of_times(std::span<const double> times, Plan& plan) noexcept;

// The plan that S3ACCEL_KERNEL=name would give (nullptr or "": what CPUID and the tables' step_cycles give),
// without timing. On failure returns false and writes a sentence to `error`. For the registry and for tests.
bool make_plan(const char* name, Plan& plan, char* error, std::size_t error_size) noexcept;

}  // namespace s3accel::kernel
