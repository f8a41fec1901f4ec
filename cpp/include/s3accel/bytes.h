// Spans, hexadecimal, base64, big-endian loads and stores.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace s3accel {

using Bytes = std::span<const std::uint8_t>;

inline Bytes as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

inline std::string_view as_text(Bytes bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline void store_be32(std::uint8_t* out, std::uint32_t v) noexcept {
  for (int i = 3; i >= 0; --i, v >>= 8) out[i] = static_cast<std::uint8_t>(v);
}

inline void store_be64(std::uint8_t* out, std::uint64_t v) noexcept {
  for (int i = 7; i >= 0; --i, v >>= 8) out[i] = static_cast<std::uint8_t>(v);
}

// Writes 2 * in.size() lower-case digits to `out`.
void hex_encode(Bytes in, char* out) noexcept;

// -1 if `c` is no hexadecimal digit, else 0..15; both cases are accepted.
constexpr int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  const char low = static_cast<char>(c | 0x20);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

// Reads 2 * n digits of either case into n bytes; false if one of them is no digit.
bool hex_decode(std::string_view in, std::uint8_t* out) noexcept;

// Characters of standard base64 with padding for n bytes: 4 * ceil(n / 3).
constexpr std::size_t base64_length(std::size_t n) noexcept {
  return (n + 2) / 3 * 4;
}

// Writes base64_length(in.size()) characters to `out`.
void base64_encode(Bytes in, char* out) noexcept;

// Strict standard base64 with padding. `out` has room for in.size() / 4 * 3 bytes. Returns the number of
// bytes, or -1 if the text is not the one canonical encoding of anything.
std::ptrdiff_t base64_decode(std::string_view in, std::uint8_t* out) noexcept;

}  // namespace s3accel
