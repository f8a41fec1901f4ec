// Expected values: RFC 4648, sections 8 and 10 (base16 and base64 test vectors), and a bit-by-bit reference.
#include "s3accel/bytes.h"

#include <optional>
#include <string>

#include "buffers.h"
#include "minitest.h"

using namespace s3accel;

namespace {

std::string to_base64(Bytes in) {
  std::string out(base64_length(in.size()), '?');
  base64_encode(in, out.data());
  return out;
}

std::optional<std::string> from_base64(std::string_view in) {
  std::string out(in.size() / 4 * 3, '?');
  const auto n = base64_decode(in, reinterpret_cast<std::uint8_t*>(out.data()));
  if (n < 0) return std::nullopt;
  out.resize(static_cast<std::size_t>(n));
  return out;
}

// The encoding as RFC 4648 describes it: a stream of bits cut into sixes.
std::string reference_base64(Bytes in) {
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bits, out;
  for (std::uint8_t byte : in) {
    for (int bit = 7; bit >= 0; --bit) bits += (byte >> bit & 1) != 0 ? '1' : '0';
  }
  while (bits.size() % 6 != 0) bits += '0';
  for (std::size_t i = 0; i < bits.size(); i += 6) out += digits[std::stoul(bits.substr(i, 6), nullptr, 2)];
  while (out.size() % 4 != 0) out += '=';
  return out;
}

struct Pair {
  std::string_view raw, text;
};

// RFC 4648, section 10.
constexpr Pair kBase64[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

}  // namespace

TEST(bytes_base64_rfc4648) {
  for (const Pair& p : kBase64) {
    CHECK_EQ(to_base64(as_bytes(p.raw)), p.text);
    CHECK_EQ(from_base64(p.text).value_or("refused"), p.raw);
  }
}

TEST(bytes_base64_against_the_reference) {
  for (std::size_t n = 0; n < 100; ++n) {
    const auto raw = minitest::random_bytes(n);
    const std::string text = reference_base64(raw);
    CHECK_EQ(to_base64(raw), text);
    const auto back = from_base64(text);
    CHECK(back.has_value() && *back == as_text(raw));
  }
}

// One text for each value: bits cut off by padding, white space, other alphabets, padding inside, bad
// lengths.
TEST(bytes_base64_is_strict) {
  for (std::string_view text :
       {"Z",    "Zg",   "Zg=",   "Zg===",    "=",        "==",     "===",     "====",
        "Z===", "Zh==", "Zm9=",  "Zm8=Zm8=", "Zg==Zg==", "Zm9v\n", "Zm9 ",    " Zm9",
        "Zm-v", "Zm_v", "Zm9v=", "Z=9v",     "Zm=v",     "Zg=A",   "AAA\x80", "\xff\xff\xff\xff",
        "Zm9*"}) {
    CHECK_SAY(!from_base64(text).has_value(), text);
  }
  CHECK(!from_base64(std::string_view("Zm9\0", 4)).has_value());
}

TEST(bytes_base64_never_writes_too_far) {
  // The room the comment asks for, and not one byte more: the sanitizers watch the end of the allocation.
  for (std::size_t n = 0; n < 40; ++n) {
    std::vector<char> in(n, 'A');
    std::vector<std::uint8_t> out(n / 4 * 3);
    const auto size = base64_decode({in.data(), n}, out.data());
    CHECK_EQ(size, n % 4 == 0 ? static_cast<std::ptrdiff_t>(n / 4 * 3) : -1);
  }
}

TEST(bytes_hex) {
  // 32 bytes go through the digest kernel, other lengths through the table.
  for (std::size_t n = 0; n < 70; ++n) {
    const auto raw = minitest::random_bytes(n);
    std::string text(2 * n, '?');
    hex_encode(raw, text.data());
    CHECK_EQ(text, minitest::hex(raw));
    std::vector<std::uint8_t> back(n);
    CHECK(hex_decode(text, back.data()));
    CHECK(back == raw);
    for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    CHECK(hex_decode(text, back.data()));
    CHECK(back == raw);
  }
}

TEST(bytes_hex_digit_and_refusals) {
  const std::string lower = "0123456789abcdef", upper = "0123456789ABCDEF";
  for (int c = 0; c < 256; ++c) {
    const char byte = static_cast<char>(c);
    std::size_t value = lower.find(byte);
    if (value == std::string::npos) value = upper.find(byte);
    CHECK_EQ(hex_digit(byte), value == std::string::npos ? -1 : static_cast<int>(value));
  }
  std::uint8_t out[4];
  for (std::string_view text : {"0", "0g", "g0", "00 ", " 00 ", "0x12", "\xb0\xb1"})
    CHECK_SAY(!hex_decode(text, out), text);
}

TEST(bytes_big_endian) {
  std::uint8_t out[8];
  store_be32(out, 0x01020304u);
  CHECK_EQ(minitest::hex({out, 4}), "01020304");
  store_be64(out, 0xfedcba9876543210u);
  CHECK_EQ(minitest::hex(out), "fedcba9876543210");
}
