// Whether what is done to a secret depends on what the secret is, shown in three ways:
//
//   traces (x86-64 Linux): the processor stops after each instruction, and the addresses of all of them must
//   be the
//     same ones for every secret. This is exact: an early exit, a branch on a byte, a removed loop show.
//   taint (under valgrind): the secret's bytes are said to be undefined, and memcheck reports every branch
//   and every
//     address that depends on them (the way of Langley's ctgrind), which shows look-ups in tables too.
//   times (--timing): Welch's t-test over some hundred thousand timings of a fixed and of random secrets, as
//   in
//     Reparaz, Balasch, Verbauwhede, "Dude, is my code constant time?" (DATE 2017).
//
// Each way is tried first on a comparison that stops at the first difference: if that is not noticed, the run
// fails.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "buffers.h"
#include "chunked/chain.h"
#include "reference.h"
#include "s3accel/bytes.h"
#include "s3accel/cpu.h"
#include "s3accel/hmac.h"
#include "s3accel/secret.h"
#include "s3accel/sigv4.h"
#include "s3accel/verify.h"

#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define S3ACCEL_MEMCHECK 1
#endif
#endif

#if defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
#define S3ACCEL_TRACES 1
#include <signal.h>
#include <ucontext.h>
#endif

using namespace s3accel;

namespace {

std::mt19937_64 numbers(20261201);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same secrets in every run

// Something that is done to a secret of `size` bytes; what comes out is left in `result`.
struct Case {
  const char* name;
  std::size_t size;
  std::function<void(const std::uint8_t* secret)> run;
  std::function<void(std::uint8_t* secret)>
      fixed;             // the secret that a leak would treat most unlike the others
  bool taint = true;     // false where a decision on the secret is what is asked for
  bool control = false;  // must be noticed
};

volatile bool verdict;
std::uint8_t result[4 * 32];
char text[128];

constexpr char kDigits[] = "0123456789abcdef";
const std::string kSignature = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
constexpr std::string_view kTimestamp = "20260101T120000Z";

void random_digits(std::uint8_t* to, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) to[i] = static_cast<std::uint8_t>(kDigits[numbers() % 16]);
}

// Kept out of line, and of the optimizer's sight: what must be noticed.
[[gnu::noinline]] bool leaky_equal(const std::uint8_t* a, const char* b, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    if (a[i] != static_cast<std::uint8_t>(b[i])) return false;
    __asm__ __volatile__("" ::: "memory");
  }
  return true;
}

std::string_view view(const std::uint8_t* p, std::size_t n) {
  return {reinterpret_cast<const char*>(p), n};
}

SigningKey derived(std::string_view secret) {
  return std::move(SigningKey::derive(secret, "20260101", "us-east-1", "s3").value());
}

// A request that is right but for its signature.
struct Received {
  std::vector<HeaderView> headers{{"host", "b.s3.amazonaws.com"},
                                  {"x-amz-content-sha256", "UNSIGNED-PAYLOAD"},
                                  {"x-amz-date", kTimestamp},
                                  {"authorization", authorization}};
  static inline const std::string authorization =
      "AWS4-HMAC-SHA256 Credential=" + reference::kKeyId +
      "/20260101/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=" +
      kSignature;
  ReceivedRequest request{"GET", "/k", headers, {}};
  ParsedAuth auth;
};

std::vector<Case> cases() {
  const auto key = std::make_shared<SigningKey>(derived(reference::kSecret));
  static const std::string message(150, 'm');
  const auto digits = [](std::size_t n) {
    return [n](std::uint8_t* to) { std::fill_n(to, n, std::uint8_t{'0'}); };
  };

  // What the chunk and the request below should have been signed with, found out as a client would.
  static const std::string seed(64, '1');
  static std::uint8_t digest[32] = {7};
  const std::string chunk = "AWS4-HMAC-SHA256-PAYLOAD\n" + std::string(kTimestamp) +
                            "\n20260101/us-east-1/s3/aws4_request\n" + seed + "\n" + std::string(kEmptyHash) +
                            "\n" + minitest::hex({digest, 32});
  static char right_chunk[64], right_request[64];
  key->sign(chunk, right_chunk);
  const auto received = std::make_shared<Received>();
  VerifyPolicy policy;
  policy.region = "us-east-1";
  policy.now = Timestamp::parse(kTimestamp).value().epoch();
  const auto formed = std::make_shared<Result<WellFormedRequest>>(well_formed(received->request));
  if (!*formed || !parse_auth(formed->value(), policy, received->auth)) std::abort();
  Text canonical, to_sign;
  (void)check_signature(formed->value(), received->auth, *key, canonical, to_sign);
  key->sign(to_sign.view(), right_request);
  const auto all_but_the_last = [](const char* right) {
    return [right](std::uint8_t* to) {
      std::memcpy(to, right, 64);
      to[63] = right[63] == '0' ? '1' : '0';
    };
  };

  std::vector<Case> all;
  all.push_back({"a comparison with an early exit (must be noticed)", 64,
                 [](const std::uint8_t* s) { verdict = leaky_equal(s, kSignature.data(), 64); },
                 [](std::uint8_t* to) { std::memcpy(to, kSignature.data(), 64); }, true, true});
  all.push_back({"equal_constant_time", 64,
                 [](const std::uint8_t* s) { verdict = equal_constant_time(view(s, 64), kSignature); },
                 [](std::uint8_t* to) { std::memcpy(to, kSignature.data(), 64); }, true});
  all.push_back({"equal_constant_time, 61 bytes", 61,
                 [](const std::uint8_t* s) {
                   verdict = equal_constant_time(std::string_view(kSignature).substr(0, 61), view(s, 61));
                 },
                 [](std::uint8_t* to) { std::memcpy(to, kSignature.data(), 61); }, true});
  all.push_back({"hex_encode of 32 bytes", 32, [](const std::uint8_t* s) { hex_encode({s, 32}, text); },
                 [](std::uint8_t* to) { std::memset(to, 0, 32); }});
  all.push_back({"secure_wipe", 32,
                 [](const std::uint8_t* s) {
                   std::memcpy(result, s, 32);
                   secure_wipe(result, 32);
                 },
                 [](std::uint8_t* to) { std::memset(to, 0, 32); }});
  all.push_back({"HMAC: key of 32 bytes, one message", 32,
                 [](const std::uint8_t* s) { HmacSha256Key({s, 32}).sign(as_bytes(message), result); },
                 [](std::uint8_t* to) { std::memset(to, 0, 32); }});
  all.push_back({"HMAC: key of 100 bytes", 100,
                 [](const std::uint8_t* s) { HmacSha256Key({s, 100}).sign(as_bytes(message), result); },
                 [](std::uint8_t* to) { std::memset(to, 0xff, 100); }});
  all.push_back({"HMAC: four messages side by side", 32,
                 [](const std::uint8_t* s) {
                   const Bytes messages[4] = {as_bytes(message), as_bytes(message).first(70),
                                              as_bytes(message).first(64), as_bytes(message).first(9)};
                   HmacSha256Key({s, 32}).sign_many(messages, result);
                 },
                 [](std::uint8_t* to) { std::memset(to, 0, 32); }});
  all.push_back({"HMAC: the keys of date, region, service", 44,
                 [](const std::uint8_t* s) {
                   static constexpr std::string_view kWords[] = {"20260101", "us-east-1", "s3",
                                                                 "aws4_request"};
                   const Bytes steps[] = {as_bytes(kWords[0]), as_bytes(kWords[1]), as_bytes(kWords[2]),
                                          as_bytes(kWords[3])};
                   hmac_sha256_chain({s, 44}, steps, result);
                 },
                 digits(44)});
  // Its check that the secret is visible ASCII is a decision.
  all.push_back({"a key derived from the secret, and a signature", 40,
                 [](const std::uint8_t* s) { derived(view(s, 40)).sign(message, text); }, digits(40), false});
  all.push_back({"a chunk's signature checked", 64,
                 [key](const std::uint8_t* s) {
                   HmacChain chain(*key, kTimestamp, seed);
                   verdict = chain.check_chunk(digest, view(s, 64));
                 },
                 all_but_the_last(right_chunk), false});
  all.push_back({"a request's signature checked", 64,
                 [key, received, formed](const std::uint8_t* s) {
                   Text a, b;
                   received->auth.signature = view(s, 64);
                   verdict = check_signature(formed->value(), received->auth, *key, a, b).ok();
                 },
                 all_but_the_last(right_request), false});
  return all;
}

// -- traces
// -----------------------------------------------------------------------------------------------------------

#ifdef S3ACCEL_TRACES
std::uint64_t trace_hash, trace_length;

void on_trap(int, siginfo_t*, void* context) {
  const auto at = static_cast<std::uint64_t>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
  trace_hash = (trace_hash ^ at) * 0x9e3779b97f4a7c15ULL;
  trace_hash ^= trace_hash >> 29;
  ++trace_length;
}

// Sets or clears the trap flag. The 128 bytes are the red zone, where the compiler may hold something.
[[gnu::always_inline]] inline void step(bool on) {
  if (on) {
    __asm__ __volatile__(
        "lea -128(%%rsp), %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp" ::
            : "memory", "cc");
  } else {
    __asm__ __volatile__(
        "lea -128(%%rsp), %%rsp\n\tpushfq\n\tandq $-257, (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp" ::
            : "memory", "cc");
  }
}

[[gnu::noinline]] std::pair<std::uint64_t, std::uint64_t> trace(const Case& what,
                                                                const std::uint8_t* secret) {
  trace_hash = trace_length = 0;
  step(true);
  what.run(secret);
  step(false);
  return {trace_length, trace_hash};
}

bool traces(const Case& what) {
  struct sigaction action{};
  action.sa_sigaction = &on_trap;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGTRAP, &action, nullptr);
  std::vector<std::uint8_t> secret(what.size);
  what.fixed(secret.data());
  // The first ones resolve symbols and fill the allocator's lists.
  for (int i = 0; i < 2; ++i) what.run(secret.data());
  const auto first = trace(what, secret.data());
  bool same = first.first > 20;
  // A step takes some microseconds, and many more on some virtual machines.
  const int secrets = static_cast<int>(std::clamp<std::uint64_t>(20'000 / first.first, 4, 40));
  for (int i = 0; i < secrets; ++i) {
    if (i % 2 == 0) {
      // The fixed one but for a place; for comparisons that is the number of digits that are right. Not the
      // last place: what differs from the fixed one of a check there may be the right signature.
      what.fixed(secret.data());
      const std::size_t at =
          static_cast<std::size_t>(i) * (what.size - 2) / static_cast<std::size_t>(secrets);
      secret[at] = secret[at] == '2' ? '3' : '2';
    } else {
      random_digits(secret.data(), secret.size());
    }
    if (trace(what, secret.data()) != first) same = false;
  }
  signal(SIGTRAP, SIG_DFL);
  std::cout << "  traces: " << first.first << " instructions, " << (same ? "the same" : "NOT the same")
            << " for " << secrets << " secrets\n";
  return same != what.control;
}
#endif

// -- taint
// ------------------------------------------------------------------------------------------------------------

#ifdef S3ACCEL_MEMCHECK
bool taint(const Case& what) {
  if (!what.taint) {
    std::cout << "  taint: not asked: a decision is what is asked for\n";
    return true;
  }
  std::vector<std::uint8_t> secret(what.size);
  random_digits(secret.data(), secret.size());
  const auto before = VALGRIND_COUNT_ERRORS;
  VALGRIND_MAKE_MEM_UNDEFINED(secret.data(), secret.size());
  what.run(secret.data());
  VALGRIND_MAKE_MEM_DEFINED(result, sizeof result);
  VALGRIND_MAKE_MEM_DEFINED(text, sizeof text);
  const auto found = VALGRIND_COUNT_ERRORS - before;
  std::cout << "  taint: " << found << " places where a branch or an address depends on the secret\n";
  return (found != 0) == what.control;
}
#endif

// -- times
// ------------------------------------------------------------------------------------------------------------

std::uint64_t ticks() {
#if defined(__x86_64__)
  __asm__ __volatile__("lfence" ::: "memory");
  const std::uint64_t t = __builtin_ia32_rdtsc();
  __asm__ __volatile__("lfence" ::: "memory");
  return t;
#else
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

struct Mean {
  double n = 0, mean = 0, squares = 0;
  void add(double x) {
    n += 1;
    const double d = x - mean;
    mean += d / n;
    squares += d * (x - mean);
  }
};

// The largest |t| over the whole and over what is left when the slowest are cut off, which interrupts are.
double largest_t(const std::vector<std::uint64_t>& times, const std::vector<std::uint8_t>& classes) {
  std::vector<std::uint64_t> sorted = times;
  std::sort(sorted.begin(), sorted.end());
  double largest = 0;
  for (double share : {1.0, 0.999, 0.99, 0.95, 0.9, 0.75, 0.5}) {
    const auto limit = sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
    Mean of[2];
    for (std::size_t i = 0; i < times.size(); ++i) {
      if (times[i] <= limit) of[classes[i]].add(static_cast<double>(times[i]));
    }
    if (of[0].n < 1000 || of[1].n < 1000) continue;
    const double error =
        std::sqrt(of[0].squares / (of[0].n - 1) / of[0].n + of[1].squares / (of[1].n - 1) / of[1].n);
    if (error > 0) largest = std::max(largest, std::fabs(of[0].mean - of[1].mean) / error);
  }
  return largest;
}

double measured(const Case& what, std::size_t count) {
  std::vector<std::uint64_t> times(count);
  std::vector<std::uint8_t> classes(count);
  // All secrets lie ready, in places that are alike: making one would warm caches for one class.
  constexpr std::size_t kAtOnce = 1024;
  const std::size_t stride = (what.size + 63) / 64 * 64;
  std::vector<std::uint8_t> secrets(kAtOnce * stride);
  for (std::size_t from = 0; from < count; from += kAtOnce) {
    const std::size_t n = std::min(kAtOnce, count - from);
    for (std::size_t i = 0; i < n; ++i) {
      std::uint8_t* to = secrets.data() + i * stride;
      classes[from + i] = static_cast<std::uint8_t>(numbers() >> 63);
      random_digits(to, what.size);
      if (classes[from + i] == 0) what.fixed(to);
    }
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint64_t begin = ticks();
      what.run(secrets.data() + i * stride);
      times[from + i] = ticks() - begin;
    }
  }
  return largest_t(times, classes);
}

// Above 10 a leak is certain by the paper. Noise has no memory: what is above it three times is none.
bool times(const Case& what) {
  constexpr double kCertain = 10;
  const std::size_t count = 300'000;
  double t = 0;
  std::cout << "  times: |t|";
  for (int i = 0; i < 3; ++i) {
    t = measured(what, count);
    std::cout << " " << t << std::flush;
    if ((t > kCertain) == what.control) break;
  }
  std::cout << " of " << count << " timings\n";
  return (t > kCertain) == what.control;
}

}  // namespace

int main(int argc, char** argv) {
  const bool timing = argc > 1 && std::strcmp(argv[1], "--timing") == 0;
  if (const char* error = kernel_selection_error()) {
    std::cout << "skipped: " << error << "\n";
    return 77;
  }
  bool (*way)(const Case&) = nullptr;
  if (timing) {
    way = &times;
  } else {
#ifdef S3ACCEL_TRACES
    way = &traces;
#endif
#ifdef S3ACCEL_MEMCHECK
    // Under valgrind there is no trap flag.
    if (RUNNING_ON_VALGRIND != 0) way = &taint;
#endif
  }
  if (way == nullptr) {
    std::cout << "skipped: neither under valgrind nor on x86-64 Linux without sanitizers\n";
    return 77;
  }
  bool good = true;
  for (const Case& what : cases()) {
    std::cout << what.name << "\n";
    if (way(what)) continue;
    std::cout << "  FAILED\n";
    good = false;
  }
  return good ? 0 : 1;
}
