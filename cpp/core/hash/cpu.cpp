#include "s3accel/cpu.h"

#include "hash/kernels/registry.h"

namespace s3accel {
namespace {

bool active(const kernel::Plan& plan, const kernel::Sha256Kernel* kernel) noexcept {
  if (kernel == plan.one || kernel == plan.pair || kernel == plan.bulk.kernel) return true;
  for (unsigned n = 2; n <= kernel::kMaxLanes; ++n) {
    if (plan.groups[n].kernel == kernel) return true;
  }
  return false;
}

}  // namespace

std::vector<KernelInfo> kernels() {
  const kernel::Plan& plan = kernel::plan();
  std::vector<KernelInfo> list;
  const auto sha256 = kernel::sha256_kernels();
  for (std::size_t i = 0; i < sha256.size(); ++i) {
    const kernel::Sha256Kernel& k = *sha256[i];
    list.push_back({k.name, k.lanes == 1 ? "sha256" : "sha256-many", k.lanes, k.needs,
                    kernel::runs_here(k.features), active(plan, &k), kernel::sha256_rate(i)});
  }
  const auto crc = kernel::crc_kernels();
  for (std::size_t i = 0; i < crc.size(); ++i) {
    const kernel::CrcKernel& k = *crc[i];
    list.push_back(
        {k.name, "crc", 1, k.needs, kernel::runs_here(k.features), plan.crc == &k, kernel::crc_rate(i)});
  }
  return list;
}

const char* kernel_selection_error() noexcept {
  return kernel::selection_error();
}

}  // namespace s3accel
