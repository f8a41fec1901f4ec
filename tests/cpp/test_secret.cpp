// Memory that held a secret is zero after the destructor, whatever the optimizer thinks of dead stores.
#include "s3accel/secret.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "buffers.h"
#include "chunked/chain.h"
#include "minitest.h"
#include "s3accel/chunked.h"
#include "s3accel/hmac.h"
#include "s3accel/sigv4.h"
#include "s3accel/verify.h"

using namespace s3accel;

namespace {

// Storage that outlives the object in it. The memory is read through a volatile pointer, so that the compiler
// cannot assume anything about it after the destructor.
template <class T>
struct Grave {
  alignas(T) unsigned char bytes[sizeof(T)];
  T* at() { return reinterpret_cast<T*>(bytes); }
  std::string read() const {
    std::string out;
    const volatile unsigned char* p = bytes;
    for (std::size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<char>(p[i]));
    return out;
  }
  bool holds(std::string_view what) const { return read().find(what) != std::string::npos; }
};

std::string_view text_of(const std::uint8_t* p, std::size_t n) {
  return {reinterpret_cast<const char*>(p), n};
}

}  // namespace

TEST(secret_array_is_zero_after_destruction) {
  Grave<SecretArray<32>> grave;
  auto* secret = new (grave.bytes) SecretArray<32>();
  CHECK_EQ(grave.read(), std::string(32, '\0'));
  std::fill_n(secret->data(), 32, std::uint8_t{0xa5});
  CHECK_EQ(grave.read(), std::string(32, '\xa5'));
  secret->~SecretArray();
  CHECK_EQ(grave.read(), std::string(32, '\0'));
}

TEST(secret_array_copies_are_wiped_too) {
  SecretArray<16> source;
  std::fill_n(source.data(), 16, std::uint8_t{0x5a});
  Grave<SecretArray<16>> grave;
  new (grave.bytes) SecretArray<16>(source);
  CHECK_EQ(grave.read(), std::string(16, '\x5a'));
  grave.at()->~SecretArray();
  CHECK_EQ(grave.read(), std::string(16, '\0'));
  CHECK_EQ(source.data()[0], 0x5a);
}

TEST(secret_hmac_key_is_zero_after_destruction) {
  const std::string key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
  for (std::size_t size : {std::size_t{0}, std::size_t{32}, key.size()}) {
    Grave<HmacSha256Key> grave;
    std::memset(grave.bytes, 0, sizeof grave.bytes);
    new (grave.bytes) HmacSha256Key(as_bytes(key).first(size));
    const std::string alive = grave.read().substr(0, 2 * sizeof(Sha256State));
    CHECK(alive != std::string(alive.size(), '\0'));
    grave.at()->~HmacSha256Key();
    // Both midstates are gone; the count of bytes behind them is no secret.
    CHECK_EQ(grave.read().substr(0, alive.size()), std::string(alive.size(), '\0'));
  }
}

TEST(secret_signing_key_leaves_nothing_behind) {
  Grave<SigningKey> grave;
  auto key = SigningKey::derive("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1", "s3");
  CHECK(key.ok());
  if (!key) return;
  new (grave.bytes) SigningKey(std::move(key.value()));
  const std::string raw(text_of(grave.at()->raw().data(), 32));
  // Key derivation example of the AWS documentation (s3-doc-examples.json, key_derivation).
  CHECK_EQ(minitest::hex(as_bytes(raw)), "dbb893acc010964918f1fd433add87c70e8b0db6be30c1fbeafefa5ec6ba8378");
  const std::string hmac(text_of(reinterpret_cast<const std::uint8_t*>(&grave.at()->hmac()), 64));
  CHECK(grave.holds(raw));
  CHECK(grave.holds(hmac));
  grave.at()->~SigningKey();
  CHECK(!grave.holds(raw));
  CHECK(!grave.holds(hmac));
  CHECK(!grave.holds(hmac.substr(0, 32)));
  CHECK(!grave.holds(hmac.substr(32)));
}

TEST(secret_chunk_coders_leave_no_key_behind) {
  auto made = SigningKey::derive("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1", "s3");
  CHECK(made.ok());
  if (!made) return;
  const SigningKey& key = made.value();
  const std::string inner(text_of(reinterpret_cast<const std::uint8_t*>(&key.hmac()), 32));
  const std::string outer(text_of(reinterpret_cast<const std::uint8_t*>(&key.hmac()) + 32, 32));
  const std::string seed(64, 'a');

  Grave<ChunkEncoder> encoder;
  auto created = ChunkEncoder::create(ChunkLayout{.decoded_length = 5}, &key, "20130524T000000Z", seed,
                                      ChunkEncoder::Checksum::none);
  CHECK(created.ok());
  if (!created) return;
  new (encoder.bytes) ChunkEncoder(std::move(created.value()));
  CHECK(encoder.holds(inner));
  encoder.at()->~ChunkEncoder();
  CHECK(!encoder.holds(inner));
  CHECK(!encoder.holds(outer));

  // What a ChunkDecoder keeps of a key.
  Grave<HmacChain> chain;
  new (chain.bytes) HmacChain(key, "20130524T000000Z", seed);
  CHECK(chain.holds(inner));
  chain.at()->~HmacChain();
  CHECK(!chain.holds(inner));
  CHECK(!chain.holds(outer));
}

TEST(secret_wipe_takes_any_length) {
  for (std::size_t n = 0; n < 70; ++n) {
    std::vector<std::uint8_t> memory(n + 2, 0xee);
    secure_wipe(memory.data() + 1, n);
    CHECK_EQ(memory.front(), 0xee);
    CHECK_EQ(memory.back(), 0xee);
    CHECK(std::all_of(memory.begin() + 1, memory.end() - 1, [](std::uint8_t b) { return b == 0; }));
  }
  secure_wipe(nullptr, 0);
}

TEST(secret_equal_constant_time_is_equality) {
  CHECK(equal_constant_time("", ""));
  CHECK(equal_constant_time("a", "a"));
  CHECK(!equal_constant_time("", "a"));
  CHECK(!equal_constant_time("a", ""));
  CHECK(!equal_constant_time("ab", "abc"));
  CHECK(!equal_constant_time("abc", "ab"));
  CHECK(equal_constant_time(std::string_view("a\0b", 3), std::string_view("a\0b", 3)));
  CHECK(!equal_constant_time(std::string_view("a\0b", 3), std::string_view("a\0c", 3)));
  // Every single bit of 64 characters counts, at every place.
  const std::string text = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
  CHECK(equal_constant_time(text, std::string(text)));
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string other = text;
      other[i] = static_cast<char>(other[i] ^ 1 << bit);
      CHECK(!equal_constant_time(text, other));
      CHECK(!equal_constant_time(other, text));
    }
  }
  // Two differences do not cancel each other.
  std::string other = text;
  other[3] = static_cast<char>(other[3] ^ 1);
  other[9] = static_cast<char>(other[9] ^ 1);
  CHECK(!equal_constant_time(text, other));
}
