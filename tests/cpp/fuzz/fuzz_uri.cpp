// canonical_query, canonical_path and uri_encode against decoding, encoding and sorting done one after
// another.
#include "fuzz.h"
#include "s3accel/uri.h"

using namespace s3accel;

namespace {

std::string reference_query(std::string_view raw, const QueryOptions& options, bool& bad) {
  std::vector<std::pair<std::string, std::string>> pairs;
  while (!raw.empty()) {
    const std::size_t end = std::min(raw.find('&'), raw.size());
    const std::string_view segment = raw.substr(0, end);
    raw.remove_prefix(std::min(end + 1, raw.size()));
    if (segment.empty()) continue;
    const std::size_t eq = std::min(segment.find('='), segment.size());
    const bool space = options.plus == Plus::space;
    const std::string name = fuzz::decode(segment.substr(0, eq), space, bad);
    const std::string value = fuzz::decode(segment.substr(std::min(eq + 1, segment.size())), space, bad);
    if (!options.skip.empty() && name == options.skip) continue;
    pairs.emplace_back(fuzz::encode(name, false), fuzz::encode(value, false));
  }
  std::sort(pairs.begin(), pairs.end());
  std::string out;
  for (const auto& [name, value] : pairs)
    out += (out.empty() && &name == &pairs[0].first ? "" : "&") + name + "=" + value;
  return out;
}

std::string reference_normal(std::string_view path) {
  std::vector<std::string> kept;
  const bool slash = path.empty() || path.back() == '/';
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string segment(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
    if (segment == "..") {
      if (!kept.empty()) kept.pop_back();
    } else if (!segment.empty() && segment != ".") {
      kept.push_back(segment);
    }
  }
  std::string out;
  for (const std::string& segment : kept) out += "/" + segment;
  return kept.empty() || slash ? out + "/" : out;
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  return {std::string("\0a=1&b=%2F&c+d=x&&=&e", 21),
          "\x01X-Amz-Signature=1&a",
          "\x02%zz=%4&%",
          "\x07?x=%41%7e~*",
          std::string("\0/a/./b/../c//%2F%e9+", 21),
          "\x03/../..",
          "\x04/a%",
          "\x0f//a b\xc3\xa9/."};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t flags = input.byte();
  const std::string_view text = input.rest();

  QueryOptions options;
  options.escapes = (flags & 1) != 0 ? Escapes::tolerant : Escapes::strict;
  options.plus = (flags & 2) != 0 ? Plus::space : (flags & 4) != 0 ? Plus::refuse : Plus::literal;
  if ((flags & 8) != 0) options.skip = "X-Amz-Signature";
  bool bad = false;
  const std::string expected = reference_query(text, options, bad);
  Text out;
  const auto r = canonical_query(text, options, out);
  if (!r) {
    REQUIRE(r.error().offset < text.size());
    const char at = text[r.error().offset];
    REQUIRE((r.error().code == Errc::bad_percent_escape && at == '%' && bad &&
             options.escapes == Escapes::strict) ||
            (r.error().code == Errc::raw_plus_in_query && at == '+' && options.plus == Plus::refuse));
  } else {
    REQUIRE(out.view() == expected);
    REQUIRE(!bad || options.escapes == Escapes::tolerant);
    Text again;
    REQUIRE(canonical_query(out.view(), {}, again).ok());
    REQUIRE(again.view() == out.view());
  }

  Text path;
  bool bad_path = false;
  const std::string decoded = fuzz::decode(text, false, bad_path);
  const auto p = canonical_path(text, PathRule::decode_encode, options.escapes, path);
  REQUIRE(p.ok() == (!bad_path || options.escapes == Escapes::tolerant));
  if (p.ok()) REQUIRE(path.view() == (text.empty() ? "/" : fuzz::encode(decoded, true)));
  if (!p.ok()) REQUIRE(p.error().code == Errc::bad_percent_escape && text[p.error().offset] == '%');

  const std::string_view wire = text.empty() ? std::string_view("/") : text;
  Text sent, once, normal;
  REQUIRE(canonical_path(text, PathRule::as_sent, options.escapes, sent).ok());
  REQUIRE(sent.view() == wire);
  REQUIRE(canonical_path(text, PathRule::encode, options.escapes, once).ok());
  REQUIRE(once.view() == fuzz::encode(wire, true));
  REQUIRE(canonical_path(text, PathRule::normalize_encode, options.escapes, normal).ok());
  REQUIRE(normal.view() == fuzz::encode(reference_normal(wire), true));
  return 0;
}
