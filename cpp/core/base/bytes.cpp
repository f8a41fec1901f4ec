#include "s3accel/bytes.h"

#include "s3accel/sha256.h"

namespace s3accel {

namespace {

constexpr char kHex[] = "0123456789abcdef";
constexpr char kBase64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_digit(char c) noexcept {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return -1;
}

}  // namespace

void hex_encode(Bytes in, char* out) noexcept {
  // The 32-byte digest is what signing writes all the time; it has a kernel of its own.
  if (in.size() == kSha256Size) {
    hex32(in.data(), out);
    return;
  }
  for (std::uint8_t b : in) {
    *out++ = kHex[b >> 4];
    *out++ = kHex[b & 15];
  }
}

bool hex_decode(std::string_view in, std::uint8_t* out) noexcept {
  if (in.size() % 2 != 0) return false;
  for (std::size_t i = 0; i < in.size(); i += 2) {
    const int hi = hex_digit(in[i]);
    const int lo = hex_digit(in[i + 1]);
    if (hi < 0 || lo < 0) return false;
    out[i / 2] = static_cast<std::uint8_t>(hi << 4 | lo);
  }
  return true;
}

void base64_encode(Bytes in, char* out) noexcept {
  std::size_t i = 0;
  for (; i + 3 <= in.size(); i += 3) {
    const std::uint32_t v = std::uint32_t{in[i]} << 16 | std::uint32_t{in[i + 1]} << 8 | in[i + 2];
    *out++ = kBase64[v >> 18];
    *out++ = kBase64[v >> 12 & 63];
    *out++ = kBase64[v >> 6 & 63];
    *out++ = kBase64[v & 63];
  }
  if (i == in.size()) return;
  const bool two = in.size() - i == 2;
  const std::uint32_t v = std::uint32_t{in[i]} << 16 | (two ? std::uint32_t{in[i + 1]} << 8 : 0);
  *out++ = kBase64[v >> 18];
  *out++ = kBase64[v >> 12 & 63];
  *out++ = two ? kBase64[v >> 6 & 63] : '=';
  *out++ = '=';
}

std::ptrdiff_t base64_decode(std::string_view in, std::uint8_t* out) noexcept {
  if (in.size() % 4 != 0) return -1;
  std::ptrdiff_t n = 0;
  for (std::size_t i = 0; i < in.size(); i += 4) {
    const bool last = i + 4 == in.size();
    int pad = 0;
    if (last && in[i + 3] == '=') pad = in[i + 2] == '=' ? 2 : 1;
    std::uint32_t v = 0;
    for (int k = 0; k < 4; ++k) {
      const int d = k >= 4 - pad ? 0 : base64_digit(in[i + k]);
      if (d < 0) return -1;
      v = v << 6 | static_cast<std::uint32_t>(d);
    }
    // The bits that padding cuts off must be zero, or two texts would stand for one value.
    if ((pad == 1 && (v & 0xff) != 0) || (pad == 2 && (v & 0xffff) != 0)) return -1;
    out[n++] = static_cast<std::uint8_t>(v >> 16);
    if (pad < 2) out[n++] = static_cast<std::uint8_t>(v >> 8);
    if (pad < 1) out[n++] = static_cast<std::uint8_t>(v);
  }
  return n;
}

}  // namespace s3accel
