// What threads share in the core: the choice of kernels at first use, keys, timed keys, the cache of keys. A
// program of its own, since the first use comes once in a process: to be built with S3ACCEL_SANITIZE=thread
// as well, which sees a race even where it spoils nothing. Every result is compared with one that a single
// thread made.
#include <atomic>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "s3accel/checksum.h"
#include "s3accel/cpu.h"
#include "s3accel/hmac.h"
#include "s3accel/key_cache.h"
#include "s3accel/presign.h"
#include "s3accel/sha256.h"
#include "s3accel/sigv4.h"
#include "s3accel/verify.h"

using namespace s3accel;

namespace {

constexpr int kThreads = 4;
std::atomic<int> failures{0};

void check(bool right, const char* what, int line) {
  if (right) return;
  if (failures.fetch_add(1) < 20) std::printf("test_threads.cpp:%d: %s\n", line, what);
}
#define CHECK(condition) check((condition), #condition, __LINE__)

// `work(thread, round)` in all threads at once; none begins before all are there.
template <class F>
void together(int rounds, F work) {
  std::atomic<int> waiting{kThreads};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      waiting.fetch_sub(1);
      while (waiting.load() != 0) std::this_thread::yield();
      for (int i = 0; i < rounds; ++i) work(t, i);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

std::string digits_of(const SigningKey& key, std::string_view text) {
  char out[64];
  key.sign(text, out);
  return {out, sizeof out};
}

SigningKey key_of(std::string_view secret) {
  return SigningKey::derive(secret, "20260101", "us-east-1", "s3").value();
}

// Must run first: nobody has asked for a kernel yet.
void kernels_are_chosen_once() {
  const std::vector<std::uint8_t> data(4096, 0x61);
  std::string digests[kThreads], chosen[kThreads];
  std::uint64_t crc[kThreads];
  together(1, [&](int t, int) {
    std::uint8_t out[kSha256Size];
    sha256(data, out);
    digests[t].assign(reinterpret_cast<const char*>(out), sizeof out);
    crc[t] = crc64nvme(data, 0);
    for (const KernelInfo& kernel : kernels()) {
      if (kernel.active) chosen[t].append(kernel.name).append(" ");
    }
    CHECK(kernel_selection_error() == nullptr);
  });
  for (int t = 0; t < kThreads; ++t) {
    CHECK(digests[t] == digests[0]);
    CHECK(crc[t] == crc[0]);
    CHECK(!chosen[t].empty() && chosen[t] == chosen[0]);
  }
  std::printf("kernels: %s\n", chosen[0].c_str());
}

void one_key_signs_for_all() {
  const SigningKey key = key_of("secret");
  const std::string expected = digits_of(key, "text");
  const HmacSha256Key& hmac = key.hmac();
  const std::string message(500, 'm');
  std::vector<Bytes> messages(20, as_bytes(message));
  std::uint8_t one[kSha256Size];
  hmac.sign(as_bytes(message), one);
  together(300, [&](int, int) {
    CHECK(digits_of(key, "text") == expected);
    const SigningKey copy = key;  // wiped at the end of each round
    CHECK(digits_of(copy, "text") == expected);
    std::vector<std::uint8_t> out(messages.size() * kSha256Size);
    hmac.sign_many(messages, out.data());
    CHECK(std::memcmp(out.data() + 19 * kSha256Size, one, sizeof one) == 0);
  });
}

void one_timed_key_signs_presigns_and_is_verified() {
  const SigningKey key = key_of("secret");
  const TimedKey timed(key, Timestamp::parse("20260101T120000Z").value());
  const HeaderView header{"x-amz-meta-a", "1"};
  SignRequest request;
  request.method = "GET";
  request.url = "https://h/b/k";
  request.headers = {&header, 1};
  request.payload_hash = kEmptyHash;
  HeaderSignature expected;
  CHECK(sign_headers(timed, "AKID", request, expected).ok());
  PresignRequest base;
  base.method = "GET";
  base.url = "https://h/b/";
  PresignTemplate shared;
  CHECK(presign_prepare(timed, "AKID", base, shared).ok());
  const std::vector<std::string_view> keys(kPresignBatch, "a key");
  Text urls;
  std::vector<std::size_t> ends(keys.size());
  presign_batch(timed, shared, keys, urls, ends.data());

  const HeaderView received[] = {{"host", "h"},
                                 {"x-amz-meta-a", "1"},
                                 {"x-amz-date", "20260101T120000Z"},
                                 {"x-amz-content-sha256", kEmptyHash},
                                 {"authorization", expected.authorization.view()}};
  ReceivedRequest arrived;
  arrived.method = "GET";
  arrived.target = "/b/k";
  arrived.headers = received;
  VerifyPolicy policy;
  policy.now = timed.now().epoch();

  together(200, [&](int, int) {
    HeaderSignature made;
    CHECK(sign_headers(timed, "AKID", request, made).ok());
    CHECK(made.authorization.view() == expected.authorization.view());
    Text out;
    std::vector<std::size_t> at(keys.size());
    presign_batch(timed, shared, keys, out, at.data());
    CHECK(out.view() == urls.view());
    ParsedAuth auth;
    Text canonical, to_sign;
    const auto formed = well_formed(arrived);
    CHECK(formed.ok());
    CHECK(parse_auth(formed.value(), policy, auth).ok());
    CHECK(check_signature(formed.value(), auth, key, canonical, to_sign).ok());
  });
}

void one_cache_of_keys() {
  constexpr std::size_t kRoom = 4;
  const std::string random(32, 'r');
  SigningKeyCache cache(as_bytes(random), kRoom);
  std::vector<std::string> secrets, expected;
  for (int i = 0; i < 10; ++i) {
    secrets.push_back("secret" + std::to_string(i));
    expected.push_back(digits_of(key_of(secrets.back()), "text"));
  }
  together(300, [&](int t, int i) {
    const std::size_t at = static_cast<std::size_t>(i * (t + 1)) % secrets.size();
    const auto key = cache.get(secrets[at], "20260101", "us-east-1", "s3");
    CHECK(key != nullptr && digits_of(*key, "text") == expected[at]);
    CHECK(cache.size() <= kRoom);
    if (t == 0 && i % 50 == 0) cache.clear(as_bytes(std::string(32, static_cast<char>('a' + i / 50))));
    if (t == 1 && i % 60 == 0) CHECK(cache.get(secrets[at], "20260102", "us-east-1", "s3") != nullptr);
  });
}

}  // namespace

int main() {
  kernels_are_chosen_once();
  one_key_signs_for_all();
  one_timed_key_signs_presigns_and_is_verified();
  one_cache_of_keys();
  std::printf("4 passed in %d threads, %d checks failed\n", kThreads, failures.load());
  return failures.load() == 0 ? 0 : 1;
}
