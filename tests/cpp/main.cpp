// Runs the tests. Usage: tests [--seed N] [--list] [PART OF A TEST'S NAME ...]
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "minitest.h"
#include "s3accel/cpu.h"

namespace {

// True if tests.cmake runs everything with this kernel, too.
bool tested(const char* kernel) {
#ifdef S3ACCEL_TESTED_KERNELS
  const std::string all = "," S3ACCEL_TESTED_KERNELS ",";
  return all.find(std::string(",").append(kernel).append(",")) != std::string::npos;
#else
  return kernel != nullptr;
#endif
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seed =
      static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count()) % 1000000007;
  std::vector<std::string> filters;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--list") == 0) {
      for (const auto& test : minitest::state().tests) std::cout << test.name << "\n";
      return 0;
    }
    if (std::strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
      seed = std::strtoull(argv[++i], nullptr, 10);
    } else {
      filters.push_back(argv[i]);
    }
  }
  if (const char* error = s3accel::kernel_selection_error()) {
    std::cout << "skipped: " << error << "\n";
    return 77;
  }
  for (const s3accel::KernelInfo& kernel : s3accel::kernels()) {
    if (tested(kernel.name)) continue;
    std::cout << "tests.cmake does not name the kernel " << kernel.name << "\n";
    return 1;
  }
  std::cout << "random seed " << seed << " (repeat with --seed " << seed << ")\n";
  int passed = 0, failed = 0;
  for (const auto& test : minitest::state().tests) {
    bool wanted = filters.empty();
    for (const auto& filter : filters)
      wanted = wanted || std::string(test.name).find(filter) != std::string::npos;
    if (!wanted) continue;
    // Each test starts from the seed, so that a filter does not change what it sees.
    minitest::random().seed(seed);
    minitest::state().failures = 0;
    test.run();
    if (minitest::state().failures == 0) {
      ++passed;
    } else {
      ++failed;
      std::cout << "FAILED " << test.name << ": " << minitest::state().failures << " checks\n";
    }
  }
  for (const auto& what : minitest::state().skipped) std::cout << "skipped " << what << "\n";
  std::cout << passed << " passed, " << failed << " failed, " << minitest::state().skipped.size()
            << " skipped\n";
  if (passed + failed == 0) std::cout << "no test matches\n";
  return failed == 0 && passed != 0 ? 0 : 1;
}
