#include "s3accel/cpu.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "hash/kernels/registry.h"
#include "minitest.h"

using namespace s3accel;

TEST(cpu_lists_every_kernel_once_and_marks_active_ones) {
  int one = 0, crc = 0;
  for (const KernelInfo& k : kernels()) {
    CHECK(k.name[0] != 0);
    if (k.active) CHECK_SAY(k.available, k.name);
    if (std::string(k.what) == "sha256-many") {
      CHECK_SAY(k.lanes > 1 && k.lanes <= kernel::kMaxLanes, k.name);
    } else {
      CHECK_EQ(k.lanes, 1u);
    }
    if (k.active && std::string(k.what) == "sha256") ++one;
    if (k.active && std::string(k.what) == "crc") ++crc;
    if (!k.available) {
      CHECK_EQ(k.rate, 0.0);
      minitest::skip(std::string("kernel ") + k.name + " (" + k.what + "): this CPU lacks " + k.needs);
    }
  }
  CHECK_EQ(one, 1);
  CHECK_EQ(crc, 1);
}

TEST(cpu_measures_only_where_nothing_is_fixed) {
  const char* forced = std::getenv("S3ACCEL_KERNEL");
  for (const KernelInfo& k : kernels()) {
    if (forced != nullptr && forced[0] != 0) CHECK_EQ(k.rate, 0.0);
    if ((forced == nullptr || forced[0] == 0) && k.active) CHECK_SAY(k.rate > 0, k.name);
  }
}

TEST(cpu_every_name_is_accepted_or_refused_with_a_reason) {
  for (const kernel::Sha256Kernel* k : kernel::sha256_kernels()) {
    kernel::Plan plan;
    char error[512] = {};
    const bool made = kernel::make_plan(k->name, plan, error, sizeof error);
    CHECK_EQ(made, kernel::runs_here(k->features));
    CHECK_EQ(made, error[0] == 0);
    if (!made) CHECK_SAY(std::strstr(error, "this CPU lacks ") != nullptr, error);
    if (!made) continue;
    bool used = plan.one == k || plan.bulk.kernel == k;
    for (unsigned n = 1; n <= kernel::kMaxLanes; ++n) used = used || plan.groups[n].kernel == k;
    CHECK_SAY(used, k->name);
    if (k->lanes > 1) CHECK_EQ(std::string(plan.bulk.kernel->name), k->name);
  }
  for (const kernel::CrcKernel* k : kernel::crc_kernels()) {
    kernel::Plan plan;
    char error[512] = {};
    CHECK_EQ(kernel::make_plan(k->name, plan, error, sizeof error), kernel::runs_here(k->features));
    if (error[0] == 0) CHECK_EQ(std::string(plan.crc->name), k->name);
  }
}

TEST(cpu_short_names_stand_for_the_lane_counts) {
  kernel::Plan plan;
  char error[512] = {};
  for (const char* name : {"avx512", "avx2", "armv8"}) {
    if (kernel::make_plan(name, plan, error, sizeof error)) {
      CHECK_EQ(std::string(plan.bulk.kernel->name).rfind(name, 0), 0u);
    }
  }
}

TEST(cpu_unknown_name_falls_back_to_portable_and_lists_what_is_known) {
  kernel::Plan plan;
  char error[512] = {};
  CHECK(!kernel::make_plan("foo", plan, error, sizeof error));
  const std::string text = error;
  CHECK_EQ(text.rfind("S3ACCEL_KERNEL=foo: unknown kernel; known: ", 0), 0u);
  CHECK(text.find("portable") != std::string::npos);
  CHECK_EQ(std::string(plan.one->name), "portable");
  CHECK_EQ(std::string(plan.bulk.kernel->name), "portable");
  CHECK_EQ(std::string(plan.crc->name), "portable");
  // A value too long for the sentence is cut, never overrun.
  CHECK(!kernel::make_plan(std::string(5000, 'x').c_str(), plan, error, sizeof error));
  CHECK(std::strlen(error) < sizeof error);
}

TEST(cpu_plans_cover_every_count_of_messages) {
  for (const char* name : {"", "portable", "shani", "hybrid", "avx512", "avx2", "armv8", "shani-x3"}) {
    kernel::Plan plan;
    char error[512] = {};
    if (!kernel::make_plan(name, plan, error, sizeof error)) continue;
    CHECK(plan.one != nullptr && plan.one->lanes == 1);
    CHECK(plan.bulk.take >= 1 && plan.bulk.take <= kernel::kMaxLanes);
    for (unsigned n = 1; n <= kernel::kMaxLanes; ++n) {
      CHECK(plan.groups[n].kernel != nullptr);
      CHECK(plan.groups[n].take >= 1 && plan.groups[n].take <= n);
      CHECK(plan.groups[n].take <= plan.groups[n].kernel->lanes);
    }
  }
}

#if defined(__x86_64__)
// The plan for times as the tables predict them, but for one kernel that takes `factor` times as long.
static kernel::Plan plan_with(const char* name, double factor, double unit = 0.28e-9) {
  std::vector<double> times;
  for (const kernel::Sha256Kernel* k : kernel::sha256_kernels()) {
    const bool slow = std::strcmp(k->name, name) == 0;
    times.push_back(unit * k->step_cycles * (slow ? factor : 1));
  }
  kernel::Plan plan{};
  kernel::plan_of_times(times, plan);
  return plan;
}

TEST(cpu_noise_in_the_timing_does_not_change_the_choice) {
  const kernel::Plan quiet = plan_with("", 1);
  CHECK_EQ(std::string(quiet.bulk.kernel->name), "hybrid");
  CHECK_EQ(std::string(quiet.one->name), "shani");
  for (const kernel::Sha256Kernel* k : kernel::sha256_kernels()) {
    for (const double factor : {0.9, 1.1, 1.29}) {
      const kernel::Plan noisy = plan_with(k->name, factor);
      CHECK_SAY(noisy.one == quiet.one && noisy.pair == quiet.pair, k->name);
      CHECK_SAY(noisy.bulk.kernel == quiet.bulk.kernel, k->name);
      for (unsigned n = 1; n <= kernel::kMaxLanes; ++n) {
        CHECK_SAY(noisy.groups[n].kernel == quiet.groups[n].kernel, k->name);
        CHECK_EQ(noisy.groups[n].take, quiet.groups[n].take);
      }
    }
  }
}

TEST(cpu_a_clear_difference_changes_the_choice) {
  CHECK_EQ(std::string(plan_with("hybrid", 3).bulk.kernel->name).rfind("shani-x", 0), 0u);
  CHECK_EQ(std::string(plan_with("avx512-x16", 0.4).bulk.kernel->name), "avx512-x16");
  CHECK(plan_with("hybrid", 3).groups[16].kernel != plan_with("", 1).bulk.kernel);
  // Whatever the unit of the times.
  CHECK_EQ(std::string(plan_with("hybrid", 3, 1).bulk.kernel->name).rfind("shani-x", 0), 0u);
}

TEST(cpu_kernels_that_were_not_timed_are_not_chosen) {
  std::vector<double> times;
  for (const kernel::Sha256Kernel* k : kernel::sha256_kernels()) {
    times.push_back(std::strcmp(k->name, "portable") == 0 ? 1 : 0);
  }
  kernel::Plan plan{};
  kernel::plan_of_times(times, plan);
  CHECK_EQ(std::string(plan.one->name), "portable");
  CHECK_EQ(std::string(plan.bulk.kernel->name), "portable");
  CHECK(plan.pair == nullptr);
}
#endif

TEST(cpu_selection_error_matches_the_environment) {
  const char* forced = std::getenv("S3ACCEL_KERNEL");
  kernel::Plan plan;
  char error[512] = {};
  const bool good = kernel::make_plan(forced, plan, error, sizeof error);
  CHECK_EQ(kernel_selection_error() == nullptr, good);
  if (!good) CHECK_EQ(std::string(kernel_selection_error()), std::string(error));
}
