// What every fuzz target has: an entry that libFuzzer and replay.cpp call, seeds to start from, and a check
// that ends the program. Targets check properties or compare with a plain implementation; "does not crash" is
// the least.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

// Inputs worth starting from.
std::vector<std::string> fuzz_seeds();

#define REQUIRE(condition)                                                           \
  do {                                                                               \
    if (!(condition)) {                                                              \
      std::fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                  \
    }                                                                                \
  } while (false)

namespace fuzz {

// Takes an input apart from the front; gives zeros and empty texts when it is used up.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  std::size_t number() { return static_cast<std::size_t>(byte()) << 8 | byte(); }
  // Up to the next `end`, which is taken, too.
  std::string_view until(char end) {
    const std::size_t n = std::min(rest_.find(end), rest_.size());
    const std::string_view text = rest_.substr(0, n);
    rest_.remove_prefix(std::min(n + 1, rest_.size()));
    return text;
  }
  std::string_view rest() const { return rest_; }
  bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

// The rest as name:value lines.
inline std::vector<std::pair<std::string, std::string>> header_lines(Input& input,
                                                                     std::size_t most = SIZE_MAX) {
  std::vector<std::pair<std::string, std::string>> out;
  while (!input.empty() && out.size() < most) {
    const std::string_view line = input.until('\n');
    const std::size_t colon = std::min(line.find(':'), line.size());
    out.emplace_back(line.substr(0, colon), line.substr(std::min(colon + 1, line.size())));
  }
  return out;
}

inline bool unreserved(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

inline std::string encode(std::string_view raw, bool keep_slash) {
  std::string out;
  for (const char c : raw) {
    if (unreserved(c) || (keep_slash && c == '/')) {
      out += c;
    } else {
      char hex[4];
      std::snprintf(hex, sizeof hex, "%%%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += hex;
    }
  }
  return out;
}

inline int digit(char c) {
  const std::string_view digits = "0123456789abcdefABCDEF";
  const std::size_t at = digits.find(c);
  return at == digits.npos || c == '\0' ? -1 : static_cast<int>(at < 16 ? at : at - 6);
}

// Percent-decoding; `bad` says whether there was a '%' without two digits, which stays as it is.
inline std::string decode(std::string_view text, bool plus_is_space, bool& bad) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
        out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
        i += 2;
        continue;
      }
      bad = true;
    }
    out += text[i] == '+' && plus_is_space ? ' ' : text[i];
  }
  return out;
}

inline std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

// Without white space at the ends, and one space for every run of it inside.
inline std::string collapsed(std::string_view value) {
  std::string out;
  bool gap = false;
  for (const char c : value) {
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
      gap = true;
      continue;
    }
    if (gap && !out.empty()) out += ' ';
    gap = false;
    out += c;
  }
  return out;
}

}  // namespace fuzz
