#include "s3accel/uri.h"

#include <algorithm>
#include <array>

#include "base/ascii.h"
#include "s3accel/bytes.h"
#include "s3accel/small_vector.h"

namespace s3accel {

namespace {

constexpr std::array<bool, 256> make_unreserved() {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[c] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[c] = true;
  table['-'] = table['.'] = table['_'] = table['~'] = true;
  return table;
}

constexpr std::array<bool, 256> kUnreserved = make_unreserved();
constexpr char kUpperHex[] = "0123456789ABCDEF";

inline bool unreserved(char c) noexcept {
  return kUnreserved[static_cast<unsigned char>(c)];
}

inline void push_encoded(unsigned char byte, bool keep_slash, Text& out) {
  if (kUnreserved[byte] || (keep_slash && byte == '/')) {
    out.push(static_cast<char>(byte));
    return;
  }
  char* p = out.grow(3);
  p[0] = '%';
  p[1] = kUpperHex[byte >> 4];
  p[2] = kUpperHex[byte & 15];
}

// Encodes a text without '%'.
Result<void> encode_run(std::string_view in, bool keep_slash, Plus plus, std::size_t base, Text& out) {
  if (keep_slash ? all_unreserved<true>(in) : all_unreserved<false>(in)) {
    out.append(in);
    return {};
  }
  for (std::size_t i = 0; i < in.size(); ++i) {
    auto byte = static_cast<unsigned char>(in[i]);
    if (byte == '+' && plus != Plus::literal) {
      if (plus == Plus::refuse) return {Errc::raw_plus_in_query, base + i};
      byte = ' ';
    }
    push_encoded(byte, keep_slash, out);
  }
  return {};
}

// Decodes and encodes again in one go, byte by byte: the canonical form of a component that is already on
// the wire. `base` is where `in` starts in the caller's text, for the error's offset.
Result<void> reencode(std::string_view in, bool keep_slash, Escapes escapes, Plus plus, std::size_t base,
                      Text& out) {
  // By far the most common input has nothing to decode or to encode.
  if (keep_slash ? all_unreserved<true>(in) : all_unreserved<false>(in)) {
    out.append(in);
    return {};
  }
  std::size_t i = 0;
  while (i < in.size()) {
    const std::size_t escape = std::min(in.find('%', i), in.size());
    if (auto r = encode_run(in.substr(i, escape - i), keep_slash, plus, base + i, out); !r) return r;
    if (escape == in.size()) break;
    auto byte = static_cast<unsigned char>('%');
    const int hi = escape + 2 < in.size() ? hex_digit(in[escape + 1]) : -1;
    const int lo = hi >= 0 ? hex_digit(in[escape + 2]) : -1;
    i = escape + 1;
    if (lo >= 0) {
      byte = static_cast<unsigned char>(hi << 4 | lo);
      i += 2;
    } else if (escapes == Escapes::strict) {
      return {Errc::bad_percent_escape, base + escape};
    }
    push_encoded(byte, keep_slash, out);
  }
  return {};
}

// RFC 3986 dot-segment removal as AWS does it for services other than S3: empty segments vanish too, '..'
// above the root is ignored, and one trailing slash stays if the input ended in '/' and something is left.
void normalize(std::string_view path, Text& out) {
  SmallVector<std::string_view, 32> kept;
  std::size_t i = 0;
  while (i <= path.size()) {
    std::size_t end = path.find('/', i);
    if (end == std::string_view::npos) end = path.size();
    const std::string_view segment = path.substr(i, end - i);
    if (segment == "..") {
      if (!kept.empty()) kept.pop_back();
    } else if (!segment.empty() && segment != ".") {
      kept.push_back(segment);
    }
    i = end + 1;
  }
  for (std::string_view segment : kept) {
    out.push('/');
    out.append(segment);
  }
  if (kept.empty() || path.back() == '/') out.push('/');
}

struct Pair {
  std::size_t name, name_size, value, value_size;  // offsets into the scratch text
};

// A name or a value as it is written; `base` as for reencode.
Result<void> append_component(std::string_view in, const QueryOptions& options, std::size_t base, Text& out) {
  if (options.rule == QueryRule::canonical) {
    return reencode(in, false, options.escapes, options.plus, base, out);
  }
  out.append(in);
  return {};
}

}  // namespace

void uri_encode(std::string_view in, bool keep_slash, Text& out) {
  std::size_t i = 0;
  while (i < in.size()) {
    std::size_t run = i;
    while (run < in.size() && (unreserved(in[run]) || (keep_slash && in[run] == '/'))) ++run;
    out.append(in.substr(i, run - i));
    if (run == in.size()) return;
    push_encoded(static_cast<unsigned char>(in[run]), keep_slash, out);
    i = run + 1;
  }
}

Result<void> canonical_query(std::string_view raw, const QueryOptions& options, Text& out) {
  if (raw.empty()) return {};
  if (options.rule == QueryRule::as_sent) {
    out.append(raw);
    return {};
  }
  Text scratch;
  SmallVector<Pair, 32> pairs;
  for (std::size_t i = 0; i <= raw.size();) {
    const std::size_t end = std::min(raw.find('&', i), raw.size());
    const std::string_view segment = raw.substr(i, end - i);
    if (!segment.empty() || options.rule == QueryRule::sorted) {
      const std::size_t eq = std::min(segment.find('='), segment.size());
      Pair pair{scratch.size(), 0, 0, 0};
      if (auto r = append_component(segment.substr(0, eq), options, i, scratch); !r) return r;
      pair.name_size = scratch.size() - pair.name;
      pair.value = scratch.size();
      if (eq < segment.size()) {
        if (auto r = append_component(segment.substr(eq + 1), options, i + eq + 1, scratch); !r) return r;
      }
      pair.value_size = scratch.size() - pair.value;
      if (options.skip.empty() || scratch.view(pair.name, pair.name_size) != options.skip) {
        pairs.push_back(pair);
      }
    }
    i = end + 1;
  }
  auto less = [&scratch](const Pair& a, const Pair& b) {
    // Pairs are compared, not joined text: '-' and '.' sort before '='.
    const auto an = scratch.view(a.name, a.name_size), bn = scratch.view(b.name, b.name_size);
    if (const int c = an.compare(bn); c != 0) return c < 0;
    return scratch.view(a.value, a.value_size) < scratch.view(b.value, b.value_size);
  };
  std::sort(pairs.begin(), pairs.end(), less);
  bool first = true;
  for (const Pair& pair : pairs) {
    if (!first) out.push('&');
    first = false;
    out.append(scratch.view(pair.name, pair.name_size));
    out.push('=');
    out.append(scratch.view(pair.value, pair.value_size));
  }
  return {};
}

Result<void> canonical_path(std::string_view wire, PathRule rule, Escapes escapes, Text& out) {
  if (wire.empty() && rule != PathRule::verbatim) wire = "/";
  switch (rule) {
    case PathRule::verbatim:
    case PathRule::as_sent:
      out.append(wire);
      return {};
    case PathRule::decode_encode:
      return reencode(wire, true, escapes, Plus::literal, 0, out);
    case PathRule::encode:
      uri_encode(wire, true, out);
      return {};
    case PathRule::normalize_encode: {
      Text normal;
      normalize(wire, normal);
      uri_encode(normal.view(), true, out);
      return {};
    }
  }
  return {};
}

}  // namespace s3accel
