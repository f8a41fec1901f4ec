// ASCII as HTTP needs it: letters in lower case, names that are equal in any case, and questions about all
// bytes of a text, many at a time. Compilers do not make SIMD of loops that may end early (g++ 12 leaves a
// bool reduction scalar), and signing asks them of every header value. Private to src.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace s3accel {

constexpr char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

constexpr bool letter(char c) noexcept {
  return lower(c) >= 'a' && lower(c) <= 'z';
}

constexpr bool digit(char c) noexcept {
  return c >= '0' && c <= '9';
}

// Equal in any case: header names, schemes, hosts.
inline bool same_name(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

inline bool name_starts_with(std::string_view name, std::string_view prefix) noexcept {
  return name.size() >= prefix.size() && same_name(name.substr(0, prefix.size()), prefix);
}

// Without the spaces and tabs at both ends: OWS of RFC 9110, 5.6.3.
inline std::string_view trim(std::string_view s) noexcept {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

namespace scan {

inline constexpr std::uint64_t kOnes = 0x0101010101010101;
inline constexpr std::uint64_t kHigh = 0x8080808080808080;

template <class T>
inline T load(const char* p) noexcept {
  T x;
  std::memcpy(&x, p, sizeof x);
  return x;
}

// Fewer than eight bytes as one word; the bytes that are missing are repeated ones, or 'a' for no bytes.
inline std::uint64_t load_few(const char* p, std::size_t n) noexcept {
  if (n >= 4) return load<std::uint32_t>(p) | std::uint64_t{load<std::uint32_t>(p + n - 4)} << 32;
  if (n == 0) return kOnes * 'a';
  const auto byte = [p](std::size_t i) { return std::uint64_t{static_cast<unsigned char>(p[i])}; };
  return kOnes * byte(0) ^ (byte(0) ^ byte(n / 2)) << 8 ^ (byte(0) ^ byte(n - 1)) << 16;
}

// True if `word(x)` has a high bit for any eight bytes x of the text. `word` must judge bytes alone: some are
// shown to it twice.
template <class Word>
inline bool any(std::string_view text, Word word) noexcept {
  const char* p = text.data();
  const std::size_t n = text.size();
  if (n < 8) return (word(load_few(p, n)) & kHigh) != 0;
  std::uint64_t found = word(load<std::uint64_t>(p + n - 8));
  // No early end: texts are short and nearly always good, and without it the loop becomes SIMD.
  for (std::size_t i = 0; i + 8 < n; i += 8) found |= word(load<std::uint64_t>(p + i));
  return (found & kHigh) != 0;
}

// A high bit for each of eight bytes that is First to Last, or has the high bit itself.
template <unsigned char First, unsigned char Last>
inline std::uint64_t within(std::uint64_t x) noexcept {
  const std::uint64_t low = x & ~kHigh;
  return (low + kOnes * (0x80 - First)) & ~(low + kOnes * (0x7f - Last));
}

// For each of eight bytes: A-Z becomes a-z.
inline std::uint64_t lower_word(std::uint64_t x) noexcept {
  const std::uint64_t low = x & ~kHigh;
  const std::uint64_t from_a = low + kOnes * (0x80 - 'A'), beyond_z = low + kOnes * (0x7f - 'Z');
  return x | (from_a & ~beyond_z & ~x & kHigh) >> 2;
}

}  // namespace scan

// A byte below `limit` (at most 0x80). The borrow of a subtraction can only reach bytes behind one that is
// below the limit itself, so the answer to "any" is exact.
template <unsigned Limit>
inline bool any_below(std::string_view text) noexcept {
  static_assert(Limit <= 0x80);
  return scan::any(text, [](std::uint64_t x) { return (x - scan::kOnes * Limit) & ~x; });
}

// A control character: below 0x20, or 0x7f.
inline bool any_control(std::string_view text) noexcept {
  return scan::any(text, [](std::uint64_t x) {
    const std::uint64_t del = x ^ scan::kOnes * 0x7f;
    return ((x - scan::kOnes * ' ') & ~x) | ((del - scan::kOnes) & ~del);
  });
}

// Only letters, digits, '-', '.', '_' and '~', and '/' if `Slash`: RFC 3986's unreserved characters.
template <bool Slash>
inline bool all_unreserved(std::string_view text) noexcept {
  return !scan::any(text, [](std::uint64_t x) {
    using scan::within;
    // '-', '.', '/' and the digits follow each other.
    const std::uint64_t low = Slash ? within<'-', '9'>(x) : within<'-', '.'>(x) | within<'0', '9'>(x);
    return x | ~(low | within<'a', 'z'>(x | scan::kOnes * 0x20) | within<'_', '_'>(x) | within<'~', '~'>(x));
  });
}

// Only hexadecimal digits, of either case.
inline bool all_hex(std::string_view text) noexcept {
  return !scan::any(text, [](std::uint64_t x) {
    return x | ~(scan::within<'0', '9'>(x) | scan::within<'a', 'f'>(x | scan::kOnes * 0x20));
  });
}

// Only visible ASCII: 0x21 to 0x7e.
inline bool all_visible(std::string_view text) noexcept {
  return !scan::any(text,
                    [](std::uint64_t x) { return x | (x + scan::kOnes) | ((x - scan::kOnes * 0x21) & ~x); });
}

// Writes `text` with A-Z as a-z.
inline void lower_ascii(std::string_view text, char* out) noexcept {
  const std::size_t n = text.size();
  if (n < 8) {
    for (std::size_t i = 0; i < n; ++i) out[i] = lower(text[i]);
    return;
  }
  // The last word may overlap the one before.
  for (std::size_t i = 0;; i += 8) {
    const std::size_t at = std::min(i, n - 8);
    const std::uint64_t word = scan::lower_word(scan::load<std::uint64_t>(text.data() + at));
    std::memcpy(out + at, &word, 8);
    if (at + 8 == n) break;
  }
}

}  // namespace s3accel
