// Speed of the native kernels on one core, against OpenSSL's libcrypto where it is found at build time.
//
//   taskset -c 1 bench_kernels [--rounds N] [--quiet]
//
// Candidates of a table run round-robin, so that a change of clock or a noisy neighbour hits all of them
// alike; a line gives the median and the best tenth, in CPU time of this thread. On a virtual machine another
// tenant may run on the same core's second thread, which slows code that fills the core (the hybrid) more
// than code that waits (OpenSSL): with --quiet a run counts only if the core did 3.6 vector additions a cycle
// right before and after it.
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "hash/kernels/lanes.h"
#include "hash/kernels/registry.h"
#include "s3accel/checksum.h"
#include "s3accel/cpu.h"
#include "s3accel/hmac.h"
#include "s3accel/sha256.h"

#if defined(S3ACCEL_HAVE_LIBCRYPTO)
#include <openssl/evp.h>
#include <openssl/hmac.h>
#endif

using namespace s3accel;

namespace {

int g_rounds = 41;
bool g_quiet = false;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Time this thread spent on a CPU, so that other processes of the machine do not count.
double own_time() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// The core clock in GHz by a chain of dependent additions; the time stamp counter runs at another rate.
double core_ghz() {
#if defined(__x86_64__) || defined(__aarch64__)
  double best = 0;
  for (int i = 0; i < 3; ++i) {
    std::uint64_t x = 1;
    const double start = now();
    for (int k = 0; k < 100; ++k) {
#if defined(__x86_64__)
      __asm__ volatile(".rept 100\n\tadd $1, %0\n\t.endr" : "+r"(x));
#else
      __asm__ volatile(".rept 100\n\tadd %0, %0, #1\n\t.endr" : "+r"(x));
#endif
    }
    best = std::max(best, 1e4 / (now() - start));
  }
  return best / 1e9;
#else
  return 0;
#endif
}

// Does this thread have the core to itself? Eight independent chains of SSE additions, four a cycle.
bool quiet(double ghz) {
#if defined(__x86_64__)
  const double start = now();
  for (int i = 0; i < 500; ++i) {
    __asm__ volatile(
        ".rept 4\n\tpaddd %%xmm0, %%xmm0\n\tpaddd %%xmm1, %%xmm1\n\tpaddd %%xmm2, %%xmm2\n\tpaddd %%xmm3, "
        "%%xmm3\n"
        "\tpaddd %%xmm4, %%xmm4\n\tpaddd %%xmm5, %%xmm5\n\tpaddd %%xmm6, %%xmm6\n\tpaddd %%xmm7, "
        "%%xmm7\n\t.endr" ::
            : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
  }
  return 500 * 32 / ((now() - start) * ghz * 1e9) > 3.6;
#else
  (void)ghz;
  return true;
#endif
}

struct Candidate {
  std::string name;
  double bytes;  // of one run; 0 for tables in nanoseconds
  std::function<void()> run;
  std::vector<double> seconds, cycles;
};

struct Result {
  double median, best;
};

Result sorted(std::vector<double>& values) {
  if (values.empty()) return {0, 0};
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values[values.size() / 10]};
}

void measure(std::vector<Candidate>& candidates, int repeat = 1) {
  for (auto& c : candidates) c.run();
  std::size_t tries = 0;
  const auto done = [&] {
    for (auto& c : candidates) {
      if (c.seconds.size() < static_cast<std::size_t>(g_rounds)) return false;
    }
    return true;
  };
  while (!done() && tries++ < static_cast<std::size_t>(g_rounds) * 100) {
    for (auto& c : candidates) {
      const double ghz = core_ghz();
      if (g_quiet && !quiet(ghz)) continue;
      const double start = own_time();
      for (int i = 0; i < repeat; ++i) c.run();
      const double taken = (own_time() - start) / repeat;
      if (g_quiet && !quiet(ghz)) continue;
      c.seconds.push_back(taken);
      c.cycles.push_back(taken * std::max(ghz, core_ghz()) * 1e9);
    }
  }
}

// GB/s and cycles a byte of each candidate; the ratio is to the first one.
void table(const char* title, std::vector<Candidate> candidates) {
  measure(candidates);
  std::printf("\n%-44s %8s %8s %8s %7s %5s\n", title, "GB/s med", "best 10%", "cyc/B", "x first", "runs");
  double first = 0;
  for (auto& c : candidates) {
    const Result time = sorted(c.seconds), cycles = sorted(c.cycles);
    if (c.seconds.empty()) {
      std::printf("%-44s    (no quiet run)\n", c.name.c_str());
      continue;
    }
    const double median = c.bytes / time.median / 1e9;
    if (first == 0) first = median;
    std::printf("%-44s %8.2f %8.2f %8.3f %7.2f %5zu\n", c.name.c_str(), median, c.bytes / time.best / 1e9,
                cycles.median / c.bytes, median / first, c.seconds.size());
  }
}

void nanoseconds(const char* title, std::vector<Candidate> candidates) {
  measure(candidates, 500);
  std::printf("\n%-44s %8s %8s %8s\n", title, "ns med", "best 10%", "cycles");
  for (auto& c : candidates) {
    const Result time = sorted(c.seconds), cycles = sorted(c.cycles);
    // `bytes` holds how many results one run gives.
    std::printf("%-44s %8.1f %8.1f %8.0f\n", c.name.c_str(), time.median * 1e9 / c.bytes,
                time.best * 1e9 / c.bytes, cycles.median / c.bytes);
  }
}

std::vector<std::uint8_t> g_memory;

void fill_memory(std::size_t size) {
  g_memory.resize(size);
  std::uint64_t x = 88172645463325252u;
  for (std::size_t i = 0; i + 8 <= size; i += 8) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    std::memcpy(&g_memory[i], &x, 8);
  }
}

std::vector<Bytes> chunks(std::size_t chunk, std::size_t total) {
  std::vector<Bytes> list;
  for (std::size_t at = 0; at + chunk <= total; at += chunk) list.push_back({g_memory.data() + at, chunk});
  return list;
}

std::uint8_t g_out[1 << 16];

#if defined(S3ACCEL_HAVE_LIBCRYPTO)
void openssl_sha256(Bytes data) {
  static EVP_MD* const md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  static EVP_MD_CTX* const context = EVP_MD_CTX_new();
  EVP_DigestInit_ex2(context, md, nullptr);
  EVP_DigestUpdate(context, data.data(), data.size());
  unsigned length = 0;
  EVP_DigestFinal_ex(context, g_out, &length);
}
#endif

void bench_sha256(std::size_t chunk, std::size_t total, std::size_t group) {
  const std::vector<Bytes> all = chunks(chunk, total);
  const double bytes = static_cast<double>(all.size() * chunk);
  std::vector<Candidate> list;
#if defined(S3ACCEL_HAVE_LIBCRYPTO)
  list.push_back({"OpenSSL EVP, one by one",
                  bytes,
                  [all] {
                    for (const Bytes c : all) openssl_sha256(c);
                  },
                  {},
                  {}});
#endif
  list.push_back({"sha256(), one by one",
                  bytes,
                  [all] {
                    for (const Bytes c : all) sha256(c, g_out);
                  },
                  {},
                  {}});
  static std::vector<kernel::Plan> plans;
  plans.reserve(32);
  for (const kernel::Sha256Kernel* k : kernel::sha256_kernels()) {
    char error[512];
    plans.emplace_back();
    if (k->lanes == 1 || !kernel::make_plan(k->name, plans.back(), error, sizeof error)) continue;
    const kernel::Plan* plan = &plans.back();
    list.push_back({std::string("sha256_many, ") + k->name,
                    bytes,
                    [all, plan] { kernel::run_lanes(*plan, {all, g_out, kSha256Initial, 0, nullptr}); },
                    {},
                    {}});
  }
  list.push_back({"sha256_many, chosen, all at once", bytes, [all] { sha256_many(all, g_out); }, {}, {}});
  list.push_back({"sha256_many, chosen, " + std::to_string(group) + " chunks a call",
                  bytes,
                  [all, group] {
                    for (std::size_t i = 0; i < all.size(); i += group) {
                      sha256_many(std::span(all).subspan(i, std::min(group, all.size() - i)), g_out);
                    }
                  },
                  {},
                  {}});
  list.push_back({"sha256_many_and_whole (counted once)",
                  bytes,
                  [all] {
                    Sha256 whole;
                    sha256_many_and_whole(all, g_out, whole);
                  },
                  {},
                  {}});
  char title[80];
  std::snprintf(title, sizeof title, "SHA-256, chunks of %zu KiB in %zu KiB", chunk >> 10, total >> 10);
  table(title, std::move(list));
  plans.clear();
}

void bench_crc(std::size_t size) {
  std::vector<Candidate> list;
  const std::uint8_t* p = g_memory.data();
  // Small buffers are done many times over, so that the clock's own cost (half a microsecond) does not show.
  const std::size_t repeat = std::max<std::size_t>(1, (1 << 21) / size);
  const double bytes = static_cast<double>(size * repeat);
  [[maybe_unused]] static volatile std::uint64_t sink;
  for (const kernel::CrcKernel* k : kernel::crc_kernels()) {
    if (!kernel::runs_here(k->features)) continue;
    const std::string name = k->name;
    list.push_back({name + " crc32",
                    bytes,
                    [=] {
                      for (std::size_t i = 0; i < repeat; ++i) sink = k->crc32(1, p, size);
                    },
                    {},
                    {}});
    list.push_back({name + " crc32c",
                    bytes,
                    [=] {
                      for (std::size_t i = 0; i < repeat; ++i) sink = k->crc32c(1, p, size);
                    },
                    {},
                    {}});
    list.push_back({name + " crc64nvme",
                    bytes,
                    [=] {
                      for (std::size_t i = 0; i < repeat; ++i) sink = k->crc64nvme(1, p, size);
                    },
                    {},
                    {}});
  }
  char title[80];
  std::snprintf(title, sizeof title, "CRC, %zu bytes a call", size);
  table(title, std::move(list));
}

void bench_hmac() {
  static const HmacSha256Key key(as_bytes("0123456789abcdef0123456789abcdef"));
  static const HmacSha256Key prefixed = key.after_block(g_memory.data());
  const std::uint8_t* p = g_memory.data();
  static std::vector<Bytes> four, sixteen;
  four.assign(4, Bytes{p, 200});
  sixteen.assign(16, Bytes{p, 200});
  std::vector<Candidate> list;
  list.push_back({"HMAC of 200 B, prepared key", 1, [=] { key.sign({p, 200}, g_out); }, {}, {}});
  list.push_back({"HMAC of 200 B, 4 at once, each", 4, [] { key.sign_many(four, g_out); }, {}, {}});
  list.push_back({"HMAC of 200 B, 16 at once, each", 16, [] { key.sign_many(sixteen, g_out); }, {}, {}});
  list.push_back({"HMAC of 271 B (a chunk's string)", 1, [=] { key.sign({p, 271}, g_out); }, {}, {}});
  list.push_back(
      {"the same after its constant 64 B", 1, [=] { prefixed.sign({p + 64, 207}, g_out); }, {}, {}});
  list.push_back(
      {"key preparation + HMAC of 200 B", 1, [=] { hmac_sha256({p, 32}, {p, 200}, g_out); }, {}, {}});
  list.push_back({"signing key derivation, 4 HMACs",
                  1,
                  [=] {
                    const Bytes steps[] = {{p, 8}, {p, 9}, {p, 2}, {p, 12}};
                    hmac_sha256_chain({p, 44}, steps, g_out);
                  },
                  {},
                  {}});
  list.push_back({"SHA-256 of 64 B", 1, [=] { sha256({p, 64}, g_out); }, {}, {}});
  list.push_back({"SHA-256 of 600 B", 1, [=] { sha256({p, 600}, g_out); }, {}, {}});
  list.push_back({"hex of 32 B", 1, [=] { hex32(p, reinterpret_cast<char*>(g_out)); }, {}, {}});
#if defined(S3ACCEL_HAVE_LIBCRYPTO)
  list.push_back({"OpenSSL HMAC() of 200 B",
                  1,
                  [=] {
                    unsigned length = 32;
                    HMAC(EVP_sha256(), p, 32, p, 200, g_out, &length);
                  },
                  {},
                  {}});
  list.push_back({"OpenSSL HMAC() x 4, key derivation",
                  1,
                  [=] {
                    unsigned length = 32;
                    HMAC(EVP_sha256(), p, 44, p, 8, g_out, &length);
                    HMAC(EVP_sha256(), g_out, 32, p, 9, g_out + 32, &length);
                    HMAC(EVP_sha256(), g_out + 32, 32, p, 2, g_out, &length);
                    HMAC(EVP_sha256(), g_out, 32, p, 12, g_out + 32, &length);
                  },
                  {},
                  {}});
  list.push_back({"OpenSSL EVP SHA-256 of 600 B", 1, [=] { openssl_sha256({p, 600}); }, {}, {}});
#endif
  nanoseconds("Small messages", std::move(list));
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--quiet") == 0) g_quiet = true;
    if (std::strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) g_rounds = std::max(1, std::atoi(argv[++i]));
  }
  fill_memory(std::size_t{16} << 20);
  std::printf("core clock %.3f GHz; rounds %d; %s\n", core_ghz(), g_rounds,
              g_quiet ? "only runs without a neighbour on the core" : "all runs");
  if (const char* error = kernel_selection_error()) std::printf("%s\n", error);
  for (const KernelInfo& k : kernels()) {
    std::printf("%-12s %-12s %s%s %.2f GB/s\n", k.name, k.what, k.available ? "available" : "missing",
                k.active ? ", active" : "", k.rate);
  }
  bench_sha256(64 << 10, std::size_t{16} << 20, 4);
  bench_sha256(8 << 10, std::size_t{256} << 10, 4);
  bench_sha256(1 << 20, std::size_t{16} << 20, 4);
  bench_sha256(64 << 10, std::size_t{256} << 10, 4);
  bench_sha256(64 << 10, std::size_t{320} << 10, 5);
  bench_crc(64);
  bench_crc(4 << 10);
  bench_crc(64 << 10);
  bench_crc(std::size_t{16} << 20);
  bench_hmac();
  return 0;
}
