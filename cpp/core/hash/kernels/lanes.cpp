#include "hash/kernels/lanes.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "s3accel/secret.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace s3accel::kernel {
namespace {

inline std::uint64_t big_endian(std::uint64_t v) noexcept {
  return std::endian::native == std::endian::little ? __builtin_bswap64(v) : v;
}

// What a lane is hashing: whole blocks straight from the caller's memory, then a copy of the rest with its
// padding, then, for HMAC, the inner digest under the outer key.
enum class Phase : std::uint8_t { data, tail, outer };

struct Lane {
  const std::uint8_t* data;
  std::size_t blocks;  // left in this phase
  std::size_t message;
  std::uint8_t* scratch;  // 128 bytes of its own for the tail
  Phase phase;
};

// Longer messages first, so that no lone long one is left when the others are done; the sort looks this many
// messages ahead, which bounds its memory.
constexpr std::size_t kWindow = 64;

class Engine {
 public:
  Engine(const Plan& plan, const LaneWork& work) noexcept : plan_(plan), work_(work) {
    for (unsigned i = 0; i < kMaxLanes; ++i) lanes_[i].scratch = scratch_[i];
  }

  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  // Under HMAC the states come from a key.
  ~Engine() {
    if (work_.outer == nullptr) return;
    secure_wipe(states_, sizeof states_);
    secure_wipe(scratch_, sizeof scratch_);
  }

  void run() noexcept {
    for (;;) {
      refill();
      if (live_ == 0) return;
      for (unsigned first = 0; first < live_;) {
        const Group group = plan_.groups[live_ - first];
        advance(group, first);
        first += group.take;
      }
      for (unsigned i = live_; i-- > 0;) {
        if (lanes_[i].blocks == 0 && !next_phase(i)) remove(i);
      }
    }
  }

 private:
  std::size_t waiting() const noexcept { return work_.messages.size() - taken_; }

  void refill() noexcept {
    // A fresh start may take fewer than all lanes where that splits the remainder better (5 as 3 + 2).
    const unsigned limit = live_ == 0 && waiting() <= kMaxLanes && waiting() != 0
                               ? plan_.groups[waiting()].take
                               : plan_.bulk.take;
    while (live_ < limit && waiting() != 0) start(next_message());
  }

  std::size_t next_message() noexcept {
    if (window_next_ == window_size_) {
      window_next_ = 0;
      window_size_ = std::min(kWindow, waiting());
      for (std::size_t i = 0; i < window_size_; ++i) window_[i] = taken_ + i;
      const auto longer = [this](std::size_t a, std::size_t b) {
        return work_.messages[a].size() > work_.messages[b].size();
      };
      if (!std::is_sorted(window_, window_ + window_size_, longer)) {
        std::sort(window_, window_ + window_size_, longer);
      }
    }
    ++taken_;
    return window_[window_next_++];
  }

  void start(std::size_t message) noexcept {
    Lane& lane = lanes_[live_];
    lane.message = message;
    lane.data = work_.messages[message].data();
    lane.blocks = work_.messages[message].size() / kSha256Block;
    lane.phase = Phase::data;
    std::memcpy(state(live_), work_.start.words, kSha256Size);
    ++live_;
    if (lane.blocks == 0) next_phase(live_ - 1);
  }

  // Moves a lane that has used up its blocks to what comes next; false if its digest is written.
  bool next_phase(unsigned i) noexcept {
    Lane& lane = lanes_[i];
    switch (lane.phase) {
      case Phase::data: {
        const Bytes message = work_.messages[lane.message];
        const std::size_t rest = message.size() % kSha256Block;
        lane.blocks = write_tail(lane.scratch, message.data() + (message.size() - rest), rest,
                                 work_.start_length + message.size());
        lane.phase = Phase::tail;
        break;
      }
      case Phase::tail:
        if (work_.outer == nullptr) {
          write_digest(work_.out + kSha256Size * lane.message, state(i));
          return false;
        }
        write_outer_block(lane.scratch, state(i));
        lane.blocks = 1;
        std::memcpy(state(i), work_.outer->words, kSha256Size);
        lane.phase = Phase::outer;
        break;
      case Phase::outer:
        write_digest(work_.out + kSha256Size * lane.message, state(i));
        return false;
    }
    lane.data = lane.scratch;
    return true;
  }

  void remove(unsigned i) noexcept {
    --live_;
    if (i == live_) return;
    std::swap(lanes_[i], lanes_[live_]);
    std::memcpy(state(i), state(live_), kSha256Size);
  }

  // Advances lanes first .. first + group.take - 1 in lockstep until one of them has used up its blocks.
  void advance(const Group& group, unsigned first) noexcept {
    const std::uint8_t* data[kMaxLanes];
    std::size_t blocks = lanes_[first].blocks;
    for (unsigned l = 0; l < group.take; ++l) {
      data[l] = lanes_[first + l].data;
      blocks = std::min(blocks, lanes_[first + l].blocks);
    }
    const unsigned width = group.kernel->lanes;
    if (group.take == width) {
      group.kernel->compress(state(first), data, blocks);
    } else {
      // Lanes without a message repeat the first one's data into states that nobody reads.
      std::uint32_t spare[8 * kMaxLanes] = {};
      std::memcpy(spare, state(first), kSha256Size * group.take);
      std::fill(data + group.take, data + width, data[0]);
      group.kernel->compress(spare, data, blocks);
      std::memcpy(state(first), spare, kSha256Size * group.take);
      if (work_.outer != nullptr) secure_wipe(spare, sizeof spare);
    }
    for (unsigned l = 0; l < group.take; ++l) {
      lanes_[first + l].data += kSha256Block * blocks;
      lanes_[first + l].blocks -= blocks;
    }
  }

  std::uint32_t* state(unsigned i) noexcept { return states_ + std::size_t{8} * i; }

  const Plan& plan_;
  const LaneWork& work_;
  std::size_t taken_ = 0;
  std::size_t window_next_ = 0, window_size_ = 0;
  unsigned live_ = 0;
  Lane lanes_[kMaxLanes];
  std::size_t window_[kWindow];
  alignas(64) std::uint32_t states_[8 * kMaxLanes];
  alignas(64) std::uint8_t scratch_[kMaxLanes][2 * kSha256Block];
};

}  // namespace

void run_lanes(const Plan& plan, const LaneWork& work) noexcept {
  Engine(plan, work).run();
}

std::size_t write_tail(std::uint8_t tail[2 * kSha256Block], const std::uint8_t* end, std::size_t rest,
                       std::uint64_t total) noexcept {
  const std::size_t size = rest < kSha256Block - 8 ? kSha256Block : 2 * kSha256Block;
  std::memset(tail + size - kSha256Block, 0, kSha256Block);
  if (size > kSha256Block) std::memset(tail, 0, kSha256Block);
  if (rest != 0) std::memcpy(tail, end, rest);
  tail[rest] = 0x80;
  const std::uint64_t bits = big_endian(total * 8);
  std::memcpy(tail + size - 8, &bits, 8);
  return size / kSha256Block;
}

void write_digest(std::uint8_t out[kSha256Size], const std::uint32_t words[8]) noexcept {
#if defined(__SSE2__)
  // In 16-byte stores: what hashes the digest next (HMAC) loads 16 bytes at a time, and a load cannot be
  // served from several smaller stores still under way.
  for (std::size_t half = 0; half < 2; ++half) {
    __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(words + 4 * half));
    v = _mm_or_si128(_mm_slli_epi16(v, 8), _mm_srli_epi16(v, 8));
    v = _mm_shufflehi_epi16(_mm_shufflelo_epi16(v, 0xB1), 0xB1);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 16 * half), v);
  }
#else
  for (int i = 0; i < 8; ++i) store_be32(out + 4 * i, words[i]);
#endif
}

void write_outer_block(std::uint8_t block[kSha256Block], const std::uint32_t inner[8]) noexcept {
  // 0x80, zeros, and the 768 bits of the outer key block and the inner digest.
  alignas(16) static constexpr std::uint8_t kPadding[kSha256Block - kSha256Size] = {
      0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0};
  write_digest(block, inner);
  std::memcpy(block + kSha256Size, kPadding, sizeof kPadding);
}

void finish_state(const Sha256Kernel& kernel, Sha256State& state, const std::uint8_t* data, std::size_t size,
                  std::uint64_t start_length) noexcept {
  const std::size_t blocks = size / kSha256Block, rest = size % kSha256Block;
  if (blocks != 0) kernel.compress(state.words, &data, blocks);
  alignas(64) std::uint8_t tail[2 * kSha256Block];
  const std::size_t tail_blocks = write_tail(tail, data + blocks * kSha256Block, rest, start_length + size);
  const std::uint8_t* p = tail;
  kernel.compress(state.words, &p, tail_blocks);
}

void finish_one(const Sha256Kernel& kernel, Sha256State& state, const std::uint8_t* data, std::size_t size,
                std::uint64_t start_length, std::uint8_t out[kSha256Size]) noexcept {
  finish_state(kernel, state, data, size, start_length);
  write_digest(out, state.words);
}

}  // namespace s3accel::kernel
