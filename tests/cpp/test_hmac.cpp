#include "s3accel/hmac.h"

#include <algorithm>

#include "buffers.h"
#include "hash/kernels/lanes.h"
#include "minitest.h"

using namespace s3accel;
using minitest::below;
using minitest::hex;

namespace {

// RFC 2104 written out with the plain digest.
std::vector<std::uint8_t> oracle(Bytes key, Bytes message) {
  std::uint8_t block[64] = {};
  if (key.size() > 64) {
    sha256(key, block);
  } else {
    std::copy(key.begin(), key.end(), block);
  }
  Sha256 inner, outer;
  std::uint8_t pad[64], digest[32];
  for (int i = 0; i < 64; ++i) pad[i] = block[i] ^ 0x36;
  inner.update(pad);
  inner.update(message);
  inner.finish(digest);
  for (int i = 0; i < 64; ++i) pad[i] = block[i] ^ 0x5c;
  outer.update(pad);
  outer.update(digest);
  outer.finish(digest);
  return {digest, digest + 32};
}

std::string sign(const HmacSha256Key& key, Bytes message) {
  std::uint8_t out[32];
  key.sign(message, out);
  return hex(out);
}

}  // namespace

TEST(hmac_rfc4231_vectors) {
  struct Case {
    std::string key, message, mac;
  };
  const std::string large_key(131, '\xaa');
  const std::vector<Case> cases = {
      {std::string(20, '\x0b'), "Hi There",
       "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
      {"Jefe", "what do ya want for nothing?",
       "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
      {std::string(20, '\xaa'), std::string(50, '\xdd'),
       "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
      {"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19",
       std::string(50, '\xcd'), "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
      {large_key, "Test Using Larger Than Block-Size Key - Hash Key First",
       "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
      {large_key,
       "This is a test using a larger than block-size key and a larger than block-size data. The key needs "
       "to be "
       "hashed before being used by the HMAC algorithm.",
       "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
  };
  for (const Case& c : cases) {
    const HmacSha256Key key(as_bytes(c.key));
    CHECK_EQ(sign(key, as_bytes(c.message)), c.mac);
    std::uint8_t out[32];
    hmac_sha256(as_bytes(c.key), as_bytes(c.message), out);
    CHECK_EQ(hex(out), c.mac);
  }
}

TEST(hmac_equals_its_definition_for_all_key_and_message_lengths) {
  const auto pool = minitest::random_bytes(2000);
  for (std::size_t size = 0; size <= 600; ++size) {
    const Bytes key{pool.data() + below(64), size % 140}, message{pool.data() + below(500), size};
    CHECK_EQ(sign(HmacSha256Key(key), message), hex(oracle(key, message)));
  }
  CHECK_EQ(sign(HmacSha256Key(), as_bytes("x")), hex(oracle({}, as_bytes("x"))));
}

TEST(hmac_many_equals_one_by_one_with_every_kernel) {
  const auto pool = minitest::random_bytes(4000);
  for (int round = 0; round < 400; ++round) {
    const HmacSha256Key key({pool.data() + below(100), below(100)});
    const std::size_t equal = below(400);
    std::vector<Bytes> messages;
    for (std::size_t n = below(40); n-- > 0;) {
      messages.push_back({pool.data() + below(1000), round % 2 == 0 ? equal : below(600)});
    }
    std::vector<std::uint8_t> out(32 * messages.size() + 1, 0x77);
    key.sign_many(messages, out.data());
    for (std::size_t i = 0; i < messages.size(); ++i) {
      CHECK_EQ(hex({out.data() + 32 * i, 32}), sign(key, messages[i]));
    }
    CHECK_EQ(out.back(), 0x77);
  }
  // The states an HMAC starts with, through the plan of each kernel.
  for (const kernel::Sha256Kernel* k : kernel::sha256_kernels()) {
    kernel::Plan plan;
    char error[512];
    if (!kernel::make_plan(k->name, plan, error, sizeof error)) continue;
    Sha256State outer;
    for (auto& word : outer.words) word = static_cast<std::uint32_t>(minitest::random()());
    std::vector<Bytes> messages;
    for (std::size_t i = 0; i < 21; ++i) messages.push_back({pool.data() + i, below(300)});
    std::vector<std::uint8_t> out(32 * messages.size());
    kernel::run_lanes(plan, {messages, out.data(), kSha256Initial, 64, &outer});
    for (std::size_t i = 0; i < messages.size(); ++i) {
      std::uint8_t inner[32], expected[32];
      Sha256State state = kSha256Initial;
      kernel::finish_one(kernel::kSha256Portable, state, messages[i].data(), messages[i].size(), 64, inner);
      state = outer;
      kernel::finish_one(kernel::kSha256Portable, state, inner, 32, 64, expected);
      CHECK_SAY(hex({out.data() + 32 * i, 32}) == hex(expected), k->name << ", message " << i);
    }
  }
}

TEST(hmac_after_block_equals_signing_the_concatenation) {
  const auto pool = minitest::random_bytes(1000);
  for (int round = 0; round < 100; ++round) {
    const HmacSha256Key key({pool.data() + below(100), 32});
    const HmacSha256Key once = key.after_block(pool.data()), twice = once.after_block(pool.data() + 64);
    const std::size_t size = below(500);
    CHECK_EQ(sign(once, {pool.data() + 64, size}), sign(key, {pool.data(), 64 + size}));
    CHECK_EQ(sign(twice, {pool.data() + 128, size}), sign(key, {pool.data(), 128 + size}));
    std::vector<Bytes> messages(5, Bytes{pool.data() + 64, size});
    std::uint8_t out[5 * 32];
    once.sign_many(messages, out);
    CHECK_EQ(hex({out + 128, 32}), sign(key, {pool.data(), 64 + size}));
  }
}

TEST(hmac_keys_can_be_copied_and_assigned) {
  const HmacSha256Key a(as_bytes("first")), b(as_bytes("second"));
  HmacSha256Key c = a;
  CHECK_EQ(sign(c, as_bytes("m")), sign(a, as_bytes("m")));
  c = b;
  CHECK_EQ(sign(c, as_bytes("m")), sign(b, as_bytes("m")));
}

TEST(hmac_chain_derives_the_documented_signing_key) {
  // Amazon's documented example key (secret wJalrXUtnFEMI..., 20150830/us-east-1/iam).
  const std::string secret = "AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
  const Bytes steps[] = {as_bytes("20150830"), as_bytes("us-east-1"), as_bytes("iam"),
                         as_bytes("aws4_request")};
  std::uint8_t out[32];
  hmac_sha256_chain(as_bytes(secret), steps, out);
  CHECK_EQ(hex(out), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
}

TEST(hmac_chain_equals_its_steps) {
  const auto pool = minitest::random_bytes(1000);
  for (int round = 0; round < 200; ++round) {
    const Bytes first{pool.data() + below(50), below(100)};
    std::vector<Bytes> messages;
    for (std::size_t n = 1 + below(5); n-- > 0;) messages.push_back({pool.data() + below(100), below(150)});
    auto expected = oracle(first, messages[0]);
    for (std::size_t i = 1; i < messages.size(); ++i) expected = oracle(expected, messages[i]);
    std::uint8_t out[32];
    hmac_sha256_chain(first, messages, out);
    CHECK_EQ(hex(out), hex(expected));
  }
  std::uint8_t out[32];
  hmac_sha256_chain({pool.data(), 32}, {}, out);
  CHECK_EQ(hex(out), hex({pool.data(), 32}));
}
