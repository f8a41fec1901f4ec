// The list of kernels in order of preference, the choice among them, and the only reader of S3ACCEL_KERNEL.
//
// Compiler flags of the kernel files (kernels.cmake sets them file by file; every other file is compiled for
// the baseline CPU, and nothing with LTO):
//   sha256_shani.cpp       -O3 -msha -msse4.1
//   sha256_avx2.cpp        -O3 -mavx2
//   crc_pclmul.cpp         -O3 -mpclmul -msse4.1
//   crc_vpclmul256.cpp     -O3 -mavx2 -mpclmul -mvpclmulqdq
//   crc_vpclmul512.cpp     -O3 -mavx512f -mavx512vl -mavx512bw -mpclmul -mvpclmulqdq
//                          (and -Wno-uninitialized -Wno-maybe-uninitialized: a false alarm of g++ 12)
//   sha256_shani.S, sha256_hybrid.S, sha256_avx512.S: none; sha256_hybrid.cpp, sha256_avx512.cpp: none
//   sha256_armv8.cpp       -O3 -march=armv8-a+crypto (gcc and clang; zig's clang: -mcpu=generic+crypto)
//   crc_armv8.cpp          -O3 -march=armv8-a+crypto+crc (the same way)
//   all others             -O3, no -m flag
//
// Which kernel is fastest cannot be told from CPUID alone: two SHA-NI chains overlap almost wholly on Zen 4
// and hardly at all on Ice Lake, where AVX-512 in 16 lanes wins. So each kernel that runs here is timed once,
// at first use, for 0.1 to 0.2 ms altogether; the steady clock is read here and nowhere else in the core.
// Such short times are noisy, so the tables' step_cycles hold unless a time contradicts them clearly
// (plan_of_times).
#include "hash/kernels/registry.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

namespace s3accel::kernel {
namespace {

constexpr const Sha256Kernel* kSha256[] = {
#if defined(__x86_64__)
    &kSha256Shani,        &kSha256Hybrid, &kSha256ShaniMany[2], &kSha256ShaniMany[1],
    &kSha256ShaniMany[0], &kSha256Avx512, &kSha256Avx2,
#elif defined(__aarch64__)
    &kSha256Armv8[0],
    &kSha256Armv8[1],
#endif
    &kSha256Portable,
};

constexpr const CrcKernel* kCrc[] = {
#if defined(__x86_64__)
    &kCrcVpclmul512,
    &kCrcVpclmul256,
    &kCrcPclmul,
#elif defined(__aarch64__)
    &kCrcArmv8,
#endif
    &kCrcPortable,
};

constexpr std::size_t kSha256Count = std::size(kSha256);
constexpr std::size_t kCrcCount = std::size(kCrc);

// Cycles (from the tables) or nanoseconds (measured) for one step of each SHA-256 kernel; 0: do not use it.
struct Costs {
  double step[kSha256Count] = {};
};

constexpr double kMargin = 1.1;

// How much faster the times must call another kernel before the tables' choice is given up: a busy neighbour
// on the same core slows kernels that fill it by a third, and where the tables are wrong they are so by more
// (SHA-NI x2 overlaps wholly on Zen 4 and hardly at all on Ice Lake).
constexpr double kNoise = 1.3;

std::size_t index_of(const Sha256Kernel* kernel) noexcept {
  return static_cast<std::size_t>(std::find(std::begin(kSha256), std::end(kSha256), kernel) -
                                  std::begin(kSha256));
}

// Fills the plan's SHA-256 part with the cheapest way to split n equal messages into groups, for every n.
// Many messages go to the kernel with the fewest lanes that is at most `margin` times slower than the
// fastest: fewer lanes ask for fewer messages in hand.
void solve(const Costs& costs, double margin, Plan& plan) noexcept {
  double best_one = 0, best_pair = 0, best_bulk = 0;
  for (std::size_t i = 0; i < kSha256Count; ++i) {
    const double step = costs.step[i];
    if (step == 0) continue;
    const Sha256Kernel* kernel = kSha256[i];
    if (kernel->lanes == 1 && (best_one == 0 || step < best_one)) best_one = step, plan.one = kernel;
    if (kernel->lanes == 2 && (best_pair == 0 || step < best_pair)) best_pair = step, plan.pair = kernel;
    const double each = step / kernel->lanes;
    if (best_bulk == 0 || each < best_bulk) best_bulk = each, plan.bulk = {kernel, kernel->lanes};
  }
  for (std::size_t i = 0; i < kSha256Count; ++i) {
    const unsigned lanes = kSha256[i]->lanes;
    if (costs.step[i] == 0 || costs.step[i] / lanes > margin * best_bulk || lanes >= plan.bulk.take) continue;
    plan.bulk = {kSha256[i], lanes};
  }
  if (plan.pair != nullptr && best_pair >= 2 * best_one) plan.pair = nullptr;
  double total[kMaxLanes + 1] = {};
  for (unsigned n = 1; n <= kMaxLanes; ++n) {
    plan.groups[n] = {nullptr, 0};
    for (std::size_t i = 0; i < kSha256Count; ++i) {
      if (costs.step[i] == 0) continue;
      const unsigned take = std::min(n, kSha256[i]->lanes);
      const double cost = costs.step[i] + total[n - take];
      if (plan.groups[n].kernel == nullptr || cost < total[n])
        total[n] = cost, plan.groups[n] = {kSha256[i], take};
    }
  }
}

bool has_prefix(const char* text, const char* prefix) noexcept {
  return std::strncmp(text, prefix, std::strlen(prefix)) == 0;
}

// Does `kernel` belong to what was asked for by `name`? "avx512" stands for "avx512-x16" and so on.
bool named(const char* kernel, const char* name) noexcept {
  const std::size_t n = std::strlen(name);
  return has_prefix(kernel, name) && (kernel[n] == 0 || (kernel[n] == '-' && kernel[n + 1] == 'x'));
}

struct FeatureName {
  std::uint32_t bit;
  const char* name;
};
constexpr FeatureName kFeatureNames[] = {
    {kSsse3, "ssse3"},      {kSse41, "sse4.1"},       {kSha, "sha"},           {kAvx, "avx"},
    {kAvx2, "avx2"},        {kAvx512f, "avx512f"},    {kAvx512bw, "avx512bw"}, {kAvx512vl, "avx512vl"},
    {kPclmul, "pclmulqdq"}, {kVpclmul, "vpclmulqdq"}, {kArmSha2, "sha2"},      {kArmPmull, "pmull"},
    {kArmCrc, "crc32"},
};

void append(char* text, std::size_t size, const char* more) noexcept {
  const std::size_t used = std::strlen(text);
  std::snprintf(text + used, size - used, "%s", more);
}

void say_unknown(const char* name, char* error, std::size_t size) noexcept {
  std::snprintf(error, size, "S3ACCEL_KERNEL=%.40s: unknown kernel; known: ", name);
  const char* separator = "";
  const auto add = [&](const char* kernel) {
    append(error, size, separator);
    append(error, size, kernel);
    separator = ", ";
  };
  for (const Sha256Kernel* kernel : kSha256) add(kernel->name);
  for (const CrcKernel* kernel : kCrc) {
    if (kernel != &kCrcPortable) add(kernel->name);
  }
  append(error, size, ".");
}

void say_unavailable(const char* name, std::uint32_t missing, char* error, std::size_t size) noexcept {
  std::snprintf(error, size, "S3ACCEL_KERNEL=%.40s: this CPU lacks ", name);
  const char* separator = "";
  for (const FeatureName& feature : kFeatureNames) {
    if ((missing & feature.bit) == 0) continue;
    append(error, size, separator);
    append(error, size, feature.name);
    separator = ", ";
  }
  append(error, size, ".");
}

void use_portable(Plan& plan) noexcept {
  Costs costs;
  static_assert(kSha256[kSha256Count - 1] == &kSha256Portable);
  costs.step[kSha256Count - 1] = kSha256Portable.step_cycles;
  plan = Plan{};
  solve(costs, 1, plan);
  plan.crc = &kCrcPortable;
}

const CrcKernel* best_crc() noexcept {
  for (const CrcKernel* kernel : kCrc) {
    if (runs_here(kernel->features)) return kernel;
  }
  return &kCrcPortable;
}

// --- timing ------------------------------------------------------------------------------------------

constexpr std::size_t kTimedBlocks = 32;
constexpr std::size_t kTimedCrcBytes = 8192;
constexpr int kTimedRounds = 2;
constexpr int kRunsInTurn = 2;  // the first brings a kernel's code, up to 20 KB, back into the caches

// Keeps the shortest time of several runs: an interruption makes a run longer, nothing makes it shorter.
template <class Run>
void keep_shortest(double& best, Run run) noexcept {
  for (int i = 0; i < kRunsInTurn; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    const double taken = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    // A clock too coarse for one run must not make a kernel cost nothing.
    if (best == 0 || taken < best) best = std::max(taken, 1e-9);
  }
}

struct Registry {
  Plan plan{};
  double sha256_rate[kSha256Count] = {};
  double crc_rate[kCrcCount] = {};
  char error[512] = {};

  Registry() noexcept {
    const char* name = std::getenv("S3ACCEL_KERNEL");
    if (name != nullptr && name[0] != 0) {
      make_plan(name, plan, error, sizeof error);
    } else {
      measure();
    }
  }

  // Round-robin, so that a disturbance of some microseconds does not hit all runs of one kernel.
  void measure() noexcept {
    alignas(64) static const std::uint8_t zeros[kTimedCrcBytes] = {};
    double sha256_time[kSha256Count] = {}, crc_time[kCrcCount] = {};
    for (int round = 0; round < kTimedRounds; ++round) {
      bool found = false;  // the portable kernels are slow to time and win only where they are alone
      for (std::size_t i = 0; i < kSha256Count; ++i) {
        const Sha256Kernel& kernel = *kSha256[i];
        if (!runs_here(kernel.features) || (&kernel == &kSha256Portable && found)) continue;
        found = found || kernel.lanes == 1;
        std::uint32_t states[8 * kMaxLanes] = {};
        const std::uint8_t* data[kMaxLanes];
        std::fill(std::begin(data), std::end(data), zeros);
        keep_shortest(sha256_time[i], [&] { kernel.compress(states, data, kTimedBlocks); });
      }
      found = false;
      for (std::size_t i = 0; i < kCrcCount; ++i) {
        const CrcKernel& kernel = *kCrc[i];
        if (!runs_here(kernel.features) || (&kernel == &kCrcPortable && found)) continue;
        found = true;
        keep_shortest(crc_time[i], [&] { kernel.crc64nvme(~std::uint64_t{0}, zeros, kTimedCrcBytes); });
      }
    }
    for (std::size_t i = 0; i < kSha256Count; ++i) {
      if (sha256_time[i] == 0) continue;
      sha256_rate[i] = 1e-9 * 64 * kTimedBlocks * kSha256[i]->lanes / sha256_time[i];
    }
    plan_of_times(sha256_time, plan);
    plan.crc = &kCrcPortable;
    double best = 0;  // the list is in order of preference: a later one must be clearly faster
    for (std::size_t i = 0; i < kCrcCount; ++i) {
      if (crc_time[i] == 0) continue;
      crc_rate[i] = 1e-9 * kTimedCrcBytes / crc_time[i];
      if (crc_rate[i] > kNoise * best) best = crc_rate[i], plan.crc = kCrc[i];
    }
  }
};

const Registry& registry() noexcept {
  static const Registry instance;
  return instance;
}

}  // namespace

const Plan& plan() noexcept {
  return registry().plan;
}
std::span<const Sha256Kernel* const> sha256_kernels() noexcept {
  return kSha256;
}
std::span<const CrcKernel* const> crc_kernels() noexcept {
  return kCrc;
}
double sha256_rate(std::size_t i) noexcept {
  return registry().sha256_rate[i];
}
double crc_rate(std::size_t i) noexcept {
  return registry().crc_rate[i];
}

void plan_of_times(std::span<const double> times, Plan& plan) noexcept {
  Costs predicted, measured;
  for (std::size_t i = 0; i < kSha256Count; ++i) {
    if (times[i] == 0) continue;
    predicted.step[i] = kSha256[i]->step_cycles;
    measured.step[i] = times[i];
  }
  Plan timed = plan;
  solve(predicted, kMargin, plan);
  solve(measured, kMargin, timed);
  const auto each = [&](const Sha256Kernel* kernel) { return times[index_of(kernel)] / kernel->lanes; };
  const auto beaten = [&](const Sha256Kernel* ours, const Sha256Kernel* other) {
    return each(ours) > kNoise * each(other);
  };
  if (beaten(plan.bulk.kernel, timed.bulk.kernel) || beaten(plan.one, timed.one)) plan = timed;
}

const char* selection_error() noexcept {
  const Registry& r = registry();
  return r.error[0] == 0 ? nullptr : r.error;
}

bool make_plan(const char* name, Plan& plan, char* error, std::size_t error_size) noexcept {
  const bool any = name == nullptr || name[0] == 0;
  if (!any && std::strcmp(name, "portable") == 0) {
    use_portable(plan);
    return true;
  }
  std::uint32_t missing = 0;
  bool known = any, usable = any;
  const CrcKernel* crc = nullptr;
  unsigned widest = 0;  // lanes of the widest SHA-256 kernel that was named
  for (const Sha256Kernel* kernel : kSha256) {
    if (any || !named(kernel->name, name)) continue;
    known = true;
    missing |= kernel->features & ~cpu_features();
    usable = usable || runs_here(kernel->features);
    widest = std::max(widest, kernel->lanes);
  }
  for (const CrcKernel* kernel : kCrc) {
    if (any || std::strcmp(kernel->name, name) != 0) continue;
    known = true;
    missing |= kernel->features & ~cpu_features();
    usable = usable || runs_here(kernel->features);
    crc = kernel;
  }
  if (!usable) {
    if (known) {
      say_unavailable(name, missing, error, error_size);
    } else {
      say_unknown(name, error, error_size);
    }
    use_portable(plan);
    return false;
  }
  plan = Plan{};
  plan.crc = crc != nullptr ? crc : best_crc();
  // The named kernels, the narrower ones of a "shani-xN" or "hybrid" family for leftovers, and kernels for
  // one message: a family that has none of its own is completed by the best there is.
  Costs costs;
  for (std::size_t i = 0; i < kSha256Count; ++i) {
    const Sha256Kernel& kernel = *kSha256[i];
    if (!runs_here(kernel.features)) continue;
    const bool shani_family = !any && (has_prefix(name, "shani") || std::strcmp(name, "hybrid") == 0);
    const bool narrower = shani_family && has_prefix(kernel.name, "shani") && kernel.lanes < widest;
    if (any || widest == 0 || named(kernel.name, name) || narrower || kernel.lanes == 1) {
      costs.step[i] = kernel.step_cycles;
    }
  }
  solve(costs, any ? kMargin : 1, plan);
  return true;
}

}  // namespace s3accel::kernel
