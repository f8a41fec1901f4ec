#include "s3accel/checksum.h"

#include "buffers.h"
#include "hash/kernels/registry.h"
#include "minitest.h"

using namespace s3accel;
using minitest::below;

namespace {

// Bit by bit, straight from the definition: shares no table and no idea with the kernels.
template <class Word>
Word bitwise(Word reflected_polynomial, Word running, Bytes data) {
  for (const std::uint8_t byte : data) {
    running ^= byte;
    for (int bit = 0; bit < 8; ++bit) running = (running >> 1) ^ (running & 1 ? reflected_polynomial : 0);
  }
  return running;
}

std::uint32_t slow_crc32(std::uint32_t running, Bytes data) {
  return bitwise(0xEDB88320u, running, data);
}
std::uint32_t slow_crc32c(std::uint32_t running, Bytes data) {
  return bitwise(0x82F63B78u, running, data);
}
std::uint64_t slow_crc64nvme(std::uint64_t running, Bytes data) {
  return bitwise<std::uint64_t>(0x9A6C9329AC4BC9B5ull, running, data);
}

void check_kernel(const kernel::CrcKernel& k, Bytes data) {
  const std::uint64_t start = minitest::random()();
  const auto start32 = static_cast<std::uint32_t>(start);
  const char* where = k.name;
  const std::size_t n = data.size();
  CHECK_SAY(k.crc32(start32, data.data(), n) == slow_crc32(start32, data),
            where << " crc32, " << n << " bytes");
  CHECK_SAY(k.crc32c(start32, data.data(), n) == slow_crc32c(start32, data),
            where << " crc32c, " << n << " bytes");
  CHECK_SAY(k.crc64nvme(start, data.data(), n) == slow_crc64nvme(start, data),
            where << " crc64nvme, " << n << " bytes");
}

bool skipped(const kernel::CrcKernel& k) {
  if (kernel::runs_here(k.features)) return false;
  minitest::skip(std::string("kernel ") + k.name + " (crc): this CPU lacks " + k.needs);
  return true;
}

}  // namespace

TEST(checksum_check_values) {
  const Bytes digits = as_bytes("123456789");
  CHECK_EQ(crc32(digits), 0xcbf43926u);
  CHECK_EQ(crc32c(digits), 0xe3069283u);
  CHECK_EQ(crc64nvme(digits), 0xae8b14860a799888ull);
  CHECK_EQ(crc32({}), 0u);
  CHECK_EQ(crc32c({}), 0u);
  CHECK_EQ(crc64nvme({}), 0u);
  CHECK_EQ(crc32({}, 0x12345678u), 0x12345678u);
  CHECK_EQ(crc64nvme({}, 0x123456789abcdef0ull), 0x123456789abcdef0ull);
}

TEST(checksum_every_kernel_all_lengths_against_guard_pages) {
  const minitest::GuardedBytes memory(4096);
  for (const kernel::CrcKernel* k : kernel::crc_kernels()) {
    if (skipped(*k)) continue;
    for (std::size_t size = 0; size <= 1100; ++size) {
      check_kernel(*k, memory.first(size));
      check_kernel(*k, memory.last(size));
    }
    check_kernel(*k, memory.first(memory.size()));
  }
}

TEST(checksum_every_kernel_all_alignments) {
  const auto pool = minitest::random_bytes(20000);
  for (const kernel::CrcKernel* k : kernel::crc_kernels()) {
    if (skipped(*k)) continue;
    for (std::size_t alignment = 0; alignment < 64; ++alignment) {
      for (const std::size_t most : {20, 100, 300, 700, 3000}) {
        check_kernel(*k, {pool.data() + alignment, below(most)});
      }
    }
    check_kernel(*k, {pool.data() + 1, 19000});
  }
}

TEST(checksum_pieces_equal_the_whole) {
  const auto pool = minitest::random_bytes(5000);
  for (int round = 0; round < 300; ++round) {
    const Bytes data{pool.data() + below(64), below(4500)};
    const std::size_t cut = data.empty() ? 0 : below(data.size());
    const Bytes a = data.first(cut), b = data.subspan(cut);
    CHECK_EQ(crc32(b, crc32(a)), crc32(data));
    CHECK_EQ(crc32c(b, crc32c(a)), crc32c(data));
    CHECK_EQ(crc64nvme(b, crc64nvme(a)), crc64nvme(data));
    CHECK_EQ(crc32_combine(crc32(a), crc32(b), b.size()), crc32(data));
    CHECK_EQ(crc32c_combine(crc32c(a), crc32c(b), b.size()), crc32c(data));
    CHECK_EQ(crc64nvme_combine(crc64nvme(a), crc64nvme(b), b.size()), crc64nvme(data));
  }
}

TEST(checksum_combine_is_associative_for_lengths_no_memory_holds) {
  // Splitting b of 2^63 - 1 bytes in two at any place gives the same: (a b) c == a (b c).
  for (int round = 0; round < 200; ++round) {
    const std::uint64_t total = (std::uint64_t{1} << 63) - 1 - below(1000), lb = minitest::random()() % total;
    const std::uint64_t lc = total - lb, a = minitest::random()(), b = minitest::random()(),
                        c = minitest::random()();
    CHECK_EQ(crc64nvme_combine(crc64nvme_combine(a, b, lb), c, lc),
             crc64nvme_combine(a, crc64nvme_combine(b, c, lc), total));
    const auto a32 = static_cast<std::uint32_t>(a), b32 = static_cast<std::uint32_t>(b);
    const auto c32 = static_cast<std::uint32_t>(c);
    CHECK_EQ(crc32_combine(crc32_combine(a32, b32, lb), c32, lc),
             crc32_combine(a32, crc32_combine(b32, c32, lc), total));
    CHECK_EQ(crc32c_combine(crc32c_combine(a32, b32, lb), c32, lc),
             crc32c_combine(a32, crc32c_combine(b32, c32, lc), total));
  }
  CHECK_EQ(crc32_combine(5, 9, 0), 5u ^ 9u);
}
