#include "s3accel/sha256.h"

#include <algorithm>
#include <cstring>

#include "hash/kernels/lanes.h"
#include "hash/kernels/registry.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace s3accel {

void Sha256::update(Bytes data) noexcept {
  if (data.empty()) return;
  const std::size_t used = length_ % kSha256Block;
  length_ += data.size();
  const kernel::Sha256Kernel& one = *kernel::plan().one;
  if (used != 0) {
    const std::size_t fill = std::min(kSha256Block - used, data.size());
    std::memcpy(buffer_ + used, data.data(), fill);
    if (used + fill < kSha256Block) return;
    const std::uint8_t* p = buffer_;
    one.compress(state_.words, &p, 1);
    data = data.subspan(fill);
  }
  const std::size_t blocks = data.size() / kSha256Block;
  if (blocks != 0) {
    const std::uint8_t* p = data.data();
    one.compress(state_.words, &p, blocks);
    data = data.subspan(blocks * kSha256Block);
  }
  if (!data.empty()) std::memcpy(buffer_, data.data(), data.size());
}

void Sha256::finish(std::uint8_t out[kSha256Size]) noexcept {
  const std::size_t rest = length_ % kSha256Block;
  kernel::finish_one(*kernel::plan().one, state_, buffer_, rest, length_ - rest, out);
}

void sha256(Bytes in, std::uint8_t out[kSha256Size]) noexcept {
  Sha256State state = kSha256Initial;
  kernel::finish_one(*kernel::plan().one, state, in.data(), in.size(), 0, out);
}

void sha256_many(std::span<const Bytes> inputs, std::uint8_t* out) noexcept {
  if (inputs.size() == 1) return sha256(inputs[0], out);
  kernel::run_lanes(kernel::plan(), {inputs, out, kSha256Initial, 0, nullptr});
}

unsigned sha256_many_lanes() noexcept {
  return kernel::plan().bulk.take;
}

void sha256_many_and_whole(std::span<const Bytes> parts, std::uint8_t* out, Sha256& whole) noexcept {
  const kernel::Plan& plan = kernel::plan();
  for (const Bytes part : parts) {
    // The two lanes need not begin at the same byte: `whole` may first have to fill a block.
    const std::size_t used = whole.length_ % kSha256Block;
    const std::size_t fill = used == 0 ? 0 : std::min(kSha256Block - used, part.size());
    whole.update(part.first(fill));
    const Bytes rest = part.subspan(fill);
    const std::size_t blocks = plan.pair == nullptr ? 0 : rest.size() / kSha256Block;
    std::uint32_t states[16];
    std::memcpy(states, kSha256Initial.words, kSha256Size);
    std::memcpy(states + 8, whole.state_.words, kSha256Size);
    if (blocks != 0) {
      const std::uint8_t* data[2] = {part.data(), rest.data()};
      plan.pair->compress(states, data, blocks);
      std::memcpy(whole.state_.words, states + 8, kSha256Size);
      whole.length_ += blocks * kSha256Block;
    }
    whole.update(rest.subspan(blocks * kSha256Block));
    Sha256State state;
    std::memcpy(state.words, states, kSha256Size);
    const std::size_t done = blocks * kSha256Block;
    kernel::finish_one(*plan.one, state, part.data() + done, part.size() - done, done, out);
    out += kSha256Size;
  }
}

void hex32(const std::uint8_t in[kSha256Size], char out[2 * kSha256Size]) noexcept {
#if defined(__SSE2__)
  const __m128i nibble = _mm_set1_epi8(15), nine = _mm_set1_epi8(9);
  const __m128i zero = _mm_set1_epi8('0'), letters = _mm_set1_epi8('a' - '0' - 10);
  const auto digits = [&](__m128i v) {
    return _mm_add_epi8(_mm_add_epi8(v, zero), _mm_and_si128(_mm_cmpgt_epi8(v, nine), letters));
  };
  for (std::size_t half = 0; half < 2; ++half) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + 16 * half));
    const __m128i high = digits(_mm_and_si128(_mm_srli_epi16(v, 4), nibble));
    const __m128i low = digits(_mm_and_si128(v, nibble));
    __m128i* to = reinterpret_cast<__m128i*>(out + 32 * half);
    _mm_storeu_si128(to, _mm_unpacklo_epi8(high, low));
    _mm_storeu_si128(to + 1, _mm_unpackhi_epi8(high, low));
  }
#else
  // Compilers turn this loop into vector code where the baseline has any.
  for (std::size_t i = 0; i < kSha256Size; ++i) {
    const unsigned high = in[i] >> 4, low = in[i] & 15;
    out[2 * i] = static_cast<char>(high + '0' + (high > 9 ? 'a' - '0' - 10 : 0));
    out[2 * i + 1] = static_cast<char>(low + '0' + (low > 9 ? 'a' - '0' - 10 : 0));
  }
#endif
}

}  // namespace s3accel
