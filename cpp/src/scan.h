// Questions about all bytes of a text, eight at a time. Compilers do not make SIMD of such loops (g++ 12
// leaves a bool reduction scalar), and signing asks them of every header value. Private to src.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace s3accel {

namespace scan {

inline constexpr std::uint64_t kOnes = 0x0101010101010101;
inline constexpr std::uint64_t kHigh = 0x8080808080808080;

// True if `word(x)` has a high bit for any eight bytes x of the text; the last ones are padded with 'a'.
template <class Word>
inline bool any(std::string_view text, Word word) noexcept {
  const char* p = text.data();
  std::size_t n = text.size();
  std::uint64_t x;
  for (; n >= 8; n -= 8, p += 8) {
    std::memcpy(&x, p, 8);
    if ((word(x) & kHigh) != 0) return true;
  }
  if (n == 0) return false;
  x = kOnes * 'a';
  std::memcpy(&x, p, n);
  return (word(x) & kHigh) != 0;
}

}  // namespace scan

// A byte below `limit` (at most 0x80). The borrow of a subtraction can only reach bytes behind one that is
// below the limit itself, so the answer to "any" is exact.
template <unsigned Limit>
inline bool any_below(std::string_view text) noexcept {
  static_assert(Limit <= 0x80);
  return scan::any(text, [](std::uint64_t x) { return (x - scan::kOnes * Limit) & ~x; });
}

// Only visible ASCII: 0x21 to 0x7e.
inline bool all_visible(std::string_view text) noexcept {
  return !scan::any(text,
                    [](std::uint64_t x) { return x | (x + scan::kOnes) | ((x - scan::kOnes * 0x21) & ~x); });
}

}  // namespace s3accel
