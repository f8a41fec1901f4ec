#include "s3accel/sha256.h"

#include <algorithm>
#include <functional>

#include "buffers.h"
#include "hash/kernels/lanes.h"
#include "hash/kernels/registry.h"
#include "minitest.h"

using namespace s3accel;
using minitest::below;
using minitest::hex;

namespace {

std::string digest_with(const kernel::Sha256Kernel& one, Bytes message) {
  Sha256State state = kSha256Initial;
  std::uint8_t out[kSha256Size];
  kernel::finish_one(one, state, message.data(), message.size(), 0, out);
  return hex(out);
}

std::string oracle(Bytes message) {
  return digest_with(kernel::kSha256Portable, message);
}

// Calls `check` with the plan of every SHA-256 kernel this CPU runs, and with the plan in use.
void for_each_plan(const std::function<void(const kernel::Plan&, const char*)>& check) {
  check(kernel::plan(), "in use");
  for (const kernel::Sha256Kernel* k : kernel::sha256_kernels()) {
    kernel::Plan plan;
    char error[512];
    if (kernel::make_plan(k->name, plan, error, sizeof error)) {
      check(plan, k->name);
    } else {
      minitest::skip(std::string("kernel ") + k->name + (k->lanes == 1 ? " (sha256)" : " (sha256-many)") +
                     ": this CPU lacks " + k->needs);
    }
  }
}

std::vector<std::string> many_with(const kernel::Plan& plan, const std::vector<Bytes>& messages) {
  std::vector<std::uint8_t> out(kSha256Size * messages.size());
  kernel::run_lanes(plan, {messages, out.data(), kSha256Initial, 0, nullptr});
  std::vector<std::string> digests;
  for (std::size_t i = 0; i < messages.size(); ++i) digests.push_back(hex({out.data() + 32 * i, 32}));
  return digests;
}

void check_many(const kernel::Plan& plan, const char* name, const std::vector<Bytes>& messages) {
  const auto digests = many_with(plan, messages);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    CHECK_SAY(digests[i] == oracle(messages[i]), name << ", message " << i << " of " << messages.size()
                                                      << ", " << messages[i].size() << " bytes");
  }
}

struct Vector {
  std::string message, digest;
};

// FIPS 180-4 examples, CAVP SHA256ShortMsg, and lengths around the padding's boundaries.
const std::vector<Vector>& vectors() {
  static const std::vector<Vector> list = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrs"
       "mnopqrstnopqrstu",
       "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
      {"\xd3", "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1"},
      {"\x11\xaf", "5ca7133fa735326081558ac312c620eeca9970d1e70a4b95533d956f072d1f98"},
      {"\xb4\x19\x0e", "dff2e73091f6c05e528896c4c831b9448653dc2ff043528f6769437bc7b975c2"},
      {"\x74\xba\x25\x21", "b16aa56be3880d18cd41e68384cf1ec8c17680c45a02b1575dc1518923ae8b0e"},
      {"\xc2\x99\x20\x96\x82", "f0887fe961c9cd3beab957e8222494abb969b1ce4c6557976df8b0f6d20e9166"},
      {std::string(55, 'a'), "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
      {std::string(56, 'a'), "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"},
      {std::string(57, 'a'), "f13b2d724659eb3bf47f2dd6af1accc87b81f09f59f2b75e5c0bed6589dfe8c6"},
      {std::string(63, 'a'), "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"},
  };
  return list;
}

}  // namespace

TEST(sha256_published_vectors_with_every_kernel) {
  std::vector<Bytes> messages;
  for (const Vector& v : vectors()) {
    CHECK_EQ(oracle(as_bytes(v.message)), v.digest);
    messages.push_back(as_bytes(v.message));
  }
  for_each_plan([&](const kernel::Plan& plan, const char* name) {
    const auto digests = many_with(plan, messages);
    for (std::size_t i = 0; i < messages.size(); ++i) {
      CHECK_SAY(digests[i] == vectors()[i].digest, name << ", vector " << i);
      CHECK_SAY(digest_with(*plan.one, messages[i]) == vectors()[i].digest, name << ", alone, vector " << i);
    }
  });
}

TEST(sha256_a_million_times_a) {
  const std::string message(1000000, 'a');
  const std::string expected = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
  for_each_plan([&](const kernel::Plan& plan, const char* name) {
    // As many copies as there are lanes, and one more that runs alone.
    const auto digests = many_with(plan, std::vector<Bytes>(plan.bulk.take + 1, as_bytes(message)));
    for (const std::string& digest : digests) CHECK_SAY(digest == expected, name);
  });
  Sha256 pieces;
  for (Bytes rest = as_bytes(message); !rest.empty();) {
    const std::size_t n = std::min(rest.size(), below(300));
    pieces.update(rest.first(n));
    rest = rest.subspan(n);
  }
  std::uint8_t out[32];
  pieces.finish(out);
  CHECK_EQ(hex(out), expected);
}

// NIST SHA-2 validation system, "SHA-256 Monte" (SHA256Monte.rsp): 100 results of 1000 chained digests each,
// of which the first two and the last are compared; they depend on all others.
TEST(sha256_monte_carlo_with_every_kernel) {
  const auto monte = [](const std::function<void(Bytes, std::uint8_t*)>& digest, const char* name) {
    auto seed = minitest::unhex("6d1e72ad03ddeb5de891e572e2396f8da015d899ef0e79503152d6010a3fe691");
    for (int count = 0; count < 100; ++count) {
      std::uint8_t message[96], out[32];
      for (int i = 0; i < 3; ++i) std::memcpy(message + 32 * i, seed.data(), 32);
      for (int i = 0; i < 1000; ++i) {
        digest(message, out);
        std::memmove(message, message + 32, 64);
        std::memcpy(message + 64, out, 32);
      }
      std::memcpy(seed.data(), out, 32);
      const char* expected = count == 0   ? "e93c330ae5447738c8aa85d71a6c80f2a58381d05872d26bdd39f1fcd4f2b788"
                             : count == 1 ? "2e78f8c8772ea7c9331d41ed3f9cdf27d8f514a99342ee766ee3b8b0d0b121c0"
                             : count == 99
                                 ? "6a912ba4188391a78e6f13d88ed2d14e13afce9db6f7dcbf4a48c24f3db02778"
                                 : nullptr;
      if (expected != nullptr) CHECK_SAY(hex(out) == expected, name << ", count " << count);
    }
  };
  monte([](Bytes message, std::uint8_t* out) { sha256(message, out); }, "in use");
  for (const kernel::Sha256Kernel* k : kernel::sha256_kernels()) {
    if (!kernel::runs_here(k->features)) continue;
    monte(
        [k](Bytes message, std::uint8_t* out) {
          // The last lane's result; all lanes hash the same.
          std::uint32_t states[8 * kernel::kMaxLanes];
          std::uint8_t tail[128];
          const std::uint8_t* data[kernel::kMaxLanes];
          for (unsigned l = 0; l < k->lanes; ++l) std::memcpy(states + 8 * l, kSha256Initial.words, 32);
          const auto run = [&](const std::uint8_t* p, std::size_t blocks) {
            std::fill(data, data + k->lanes, p);
            k->compress(states, data, blocks);
          };
          run(message.data(), message.size() / 64);
          const std::size_t rest = message.size() % 64;
          run(tail, kernel::write_tail(tail, message.data() + message.size() - rest, rest, message.size()));
          kernel::write_digest(out, states + 8 * (k->lanes - 1));
        },
        k->name);
  }
}

// The kernels themselves, from random states, between pages that fault, without touching what is not theirs.
TEST(sha256_kernels_equal_portable_from_any_state_and_alignment) {
  const std::size_t most = 40;
  const minitest::GuardedBytes memory(64 * most * 2 + 64);
  for (const kernel::Sha256Kernel* k : kernel::sha256_kernels()) {
    if (!kernel::runs_here(k->features)) continue;
    for (std::size_t blocks = 0; blocks <= most; ++blocks) {
      for (int round = 0; round < 64; round += 1 + static_cast<int>(below(9))) {
        std::vector<std::uint32_t> states(8 * k->lanes + 8);
        for (auto& word : states) word = static_cast<std::uint32_t>(minitest::random()());
        auto expected = states;
        std::vector<const std::uint8_t*> data;
        for (unsigned l = 0; l < k->lanes; ++l) {
          // Every alignment, and now and then against either guard page.
          const std::size_t n = 64 * blocks;
          const std::uint8_t* p = memory.first(n).data() + round + below(1000);
          if (below(4) == 0) p = memory.last(n).data();
          if (below(8) == 0) p = memory.first(n).data();
          data.push_back(p);
          kernel::kSha256Portable.compress(expected.data() + 8 * l, &p, blocks);
        }
        k->compress(states.data(), data.data(), blocks);
        CHECK_SAY(states == expected, k->name << ", " << blocks << " blocks, alignment " << round);
      }
    }
  }
}

TEST(sha256_many_equal_lengths_0_to_1100) {
  const auto pool = minitest::random_bytes(8192);
  for_each_plan([&](const kernel::Plan& plan, const char* name) {
    for (std::size_t size = 0; size <= 1100; ++size) {
      // All lane counts come up several times as the length grows; so do the alignments.
      const std::size_t count = size % (2 * kernel::kMaxLanes + 3);
      std::vector<Bytes> messages;
      for (std::size_t i = 0; i < count; ++i) messages.push_back({pool.data() + below(4096), size});
      check_many(plan, name, messages);
    }
  });
}

TEST(sha256_many_every_count_and_alignment) {
  const auto pool = minitest::random_bytes(8192);
  for_each_plan([&](const kernel::Plan& plan, const char* name) {
    for (std::size_t count = 0; count <= 70; ++count) {
      const std::size_t size = below(700), alignment = below(64);
      std::vector<Bytes> messages;
      for (std::size_t i = 0; i < count; ++i) messages.push_back({pool.data() + 64 * i + alignment, size});
      check_many(plan, name, messages);
    }
    for (std::size_t alignment = 0; alignment < 64; ++alignment) {
      std::vector<Bytes> messages;
      for (std::size_t i = 0; i < plan.bulk.take; ++i)
        messages.push_back({pool.data() + 64 * i + alignment, 517});
      check_many(plan, name, messages);
    }
  });
}

TEST(sha256_many_ragged_lengths) {
  const auto pool = minitest::random_bytes(1 << 16);
  for_each_plan([&](const kernel::Plan& plan, const char* name) {
    for (int round = 0; round < 60; ++round) {
      const std::size_t most = round % 3 == 0 ? 200 : round % 3 == 1 ? 1100 : 20000;
      std::vector<Bytes> messages;
      for (std::size_t n = below(40); n-- > 0;) messages.push_back({pool.data() + below(4096), below(most)});
      check_many(plan, name, messages);
    }
    // Full chunks and a short last one, as a stream has them.
    for (std::size_t full = 0; full < 9; ++full) {
      std::vector<Bytes> messages(full, Bytes{pool.data() + 3, 8192});
      messages.push_back({pool.data() + 17, 1 + below(8191)});
      check_many(plan, name, messages);
    }
  });
}

TEST(sha256_pieces_equal_the_whole) {
  const auto pool = minitest::random_bytes(3000);
  for (int round = 0; round < 300; ++round) {
    const Bytes message{pool.data() + below(64), below(2500)};
    Sha256 pieces;
    for (Bytes rest = message; !rest.empty();) {
      const std::size_t n = std::min(rest.size(), below(200));
      pieces.update(rest.first(n));
      rest = rest.subspan(n);
    }
    CHECK_EQ(pieces.length(), message.size());
    std::uint8_t out[32], all[32];
    Sha256 resumed = pieces;
    pieces.finish(out);
    sha256(message, all);
    CHECK_EQ(hex(out), hex(all));
    CHECK_EQ(hex(all), oracle(message));
    resumed.reset();
    resumed.update({});
    resumed.finish(out);
    CHECK_EQ(hex(out), vectors()[0].digest);
  }
}

TEST(sha256_resumes_from_a_midstate) {
  const auto message = minitest::random_bytes(1000);
  Sha256 begun;
  begun.update(Bytes(message).first(640));
  Sha256 resumed(begun.midstate(), 640);
  resumed.update(Bytes(message).subspan(640));
  std::uint8_t out[32];
  resumed.finish(out);
  CHECK_EQ(hex(out), oracle(message));
}

TEST(sha256_parts_and_whole_in_one_pass) {
  const auto pool = minitest::random_bytes(40000);
  for (int round = 0; round < 120; ++round) {
    Sha256 whole, expected;
    const std::size_t before = round % 2 == 0 ? 0 : below(200);  // the whole need not start at a block
    whole.update({pool.data(), before});
    expected.update({pool.data(), before});
    std::vector<Bytes> parts;
    for (std::size_t n = below(7); n-- > 0;) {
      parts.push_back({pool.data() + below(1000), round % 3 == 0 ? 4096 : below(5000)});
      expected.update(parts.back());
    }
    std::vector<std::uint8_t> out(32 * parts.size() + 1);
    sha256_many_and_whole(parts, out.data(), whole);
    for (std::size_t i = 0; i < parts.size(); ++i) CHECK_EQ(hex({out.data() + 32 * i, 32}), oracle(parts[i]));
    std::uint8_t a[32], b[32];
    CHECK_EQ(whole.length(), expected.length());
    whole.finish(a);
    expected.finish(b);
    CHECK_EQ(hex(a), hex(b));
  }
}

TEST(sha256_hex32_writes_lower_case_digits_only) {
  for (int round = 0; round < 300; ++round) {
    const auto bytes = minitest::random_bytes(32);
    char out[66];
    std::memset(out, '#', sizeof out);
    hex32(bytes.data(), out);
    CHECK_EQ(std::string(out, 64), hex(bytes));
    CHECK_EQ(std::string(out + 64, 2), "##");
  }
  std::uint8_t all[32];
  for (int start = 0; start < 256; start += 32) {
    for (int i = 0; i < 32; ++i) all[i] = static_cast<std::uint8_t>(start + i);
    char out[64];
    hex32(all, out);
    CHECK_EQ(std::string(out, 64), hex(all));
  }
}
