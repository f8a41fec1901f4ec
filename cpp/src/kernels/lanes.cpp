#include "kernels/lanes.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace s3accel::kernel {
namespace {

inline std::uint32_t big_endian(std::uint32_t v) noexcept {
  return std::endian::native == std::endian::little ? __builtin_bswap32(v) : v;
}
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
    const unsigned limit =
        live_ == 0 && waiting() <= kMaxLanes && waiting() != 0 ? plan_.groups[waiting()].take : plan_.bulk.take;
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
        std::uint8_t digest[kSha256Size];
        write_digest(digest, state(i));
        lane.blocks = write_tail(lane.scratch, digest, kSha256Size, kSha256Block + kSha256Size);
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
    }
    for (unsigned l = 0; l < group.take; ++l) {
      lanes_[first + l].data += kSha256Block * blocks;
      lanes_[first + l].blocks -= blocks;
    }
  }

  std::uint32_t* state(unsigned i) noexcept { return states_ + 8 * i; }

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

void run_lanes(const Plan& plan, const LaneWork& work) noexcept { Engine(plan, work).run(); }

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
  for (int i = 0; i < 8; ++i) {
    const std::uint32_t word = big_endian(words[i]);
    std::memcpy(out + 4 * i, &word, 4);
  }
}

void finish_one(const Sha256Kernel& kernel, Sha256State& state, const std::uint8_t* data, std::size_t size,
                std::uint64_t start_length, std::uint8_t out[kSha256Size]) noexcept {
  const std::size_t blocks = size / kSha256Block, rest = size % kSha256Block;
  if (blocks != 0) kernel.compress(state.words, &data, blocks);
  alignas(64) std::uint8_t tail[2 * kSha256Block];
  const std::size_t tail_blocks = write_tail(tail, data + blocks * kSha256Block, rest, start_length + size);
  const std::uint8_t* p = tail;
  kernel.compress(state.words, &p, tail_blocks);
  write_digest(out, state.words);
}

}  // namespace s3accel::kernel
