#include "s3accel/header_block.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/ascii.h"
#include "s3accel/small_vector.h"

namespace s3accel {

namespace {

struct SignedHeader {
  std::uint64_t key;  // the first eight bytes of the lower-case name: most comparisons are of one word
  std::size_t name;   // offset of the name in the scratch text
  std::size_t name_size;
  std::size_t index;  // position among the given headers: the order of duplicates; behind them for the host
};

// SP and HTAB are white space, and so are the line breaks of a folded header; str.split() knows more. A
// no-break space is none for either.
template <HeaderRule Rule>
inline bool blank(char c) noexcept {
  if constexpr (Rule == HeaderRule::http) return c == ' ' || c == '\t' || c == '\r' || c == '\n';
  return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
}

// RFC 9110 token characters in lower case; 0 for every byte that cannot stand in a header name.
constexpr std::array<char, 256> make_lower_token() {
  std::array<char, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = static_cast<char>(c);
  for (int c = 'A'; c <= 'Z'; ++c) table[c] = static_cast<char>(c + 32);
  for (int c = 'a'; c <= 'z'; ++c) table[c] = static_cast<char>(c);
  for (char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<unsigned char>(c)] = c;
  return table;
}
constexpr std::array<char, 256> kLowerToken = make_lower_token();

// A high bit for each of eight bytes that is none of a-z, 0-9 and '-', which nearly all names are made of.
std::uint64_t unusual(std::uint64_t x) noexcept {
  using scan::within;
  return (x | ~(within<'a', 'z'>(x) | within<'0', '9'>(x) | within<'-', '-'>(x))) & scan::kHigh;
}

// Appends the lower-case name; false if it is no token.
bool append_token(std::string_view name, Text& out) {
  const std::size_t n = name.size();
  if (n == 0) return false;
  char* p = out.grow(n);
  if (n >= 8) {
    std::uint64_t odd = 0;
    for (std::size_t i = 0;; i += 8) {
      const std::size_t at = std::min(i, n - 8);
      const std::uint64_t word = scan::lower_word(scan::load<std::uint64_t>(name.data() + at));
      odd |= unusual(word);
      std::memcpy(p + at, &word, 8);
      if (at + 8 == n) break;
    }
    if (odd == 0) return true;
  }
  bool good = true;
  for (std::size_t i = 0; i < n; ++i) {
    p[i] = kLowerToken[static_cast<unsigned char>(name[i])];
    good &= p[i] != 0;
  }
  return good;
}

// The same by botocore's rule.
bool append_ascii(std::string_view name, Text& out) {
  lower_ascii(name, out.grow(name.size()));
  return std::none_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x80 || blank<HeaderRule::python>(c);
  });
}

// The first eight bytes of a name as a number that sorts as the bytes do.
std::uint64_t sort_key(std::string_view name) noexcept {
  std::uint64_t key = 0;
  const auto take = [&](std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) key = key << 8 | static_cast<unsigned char>(name[i]);
  };
  if (name.size() >= 8) {
    take(8);  // a constant number of steps becomes one load
    return key;
  }
  take(name.size());
  return key << 8 * (8 - name.size());
}

// Trims both ends and makes every inner run of white space one space, also inside quotes.
template <HeaderRule Rule>
void append_value(std::string_view value, Text& out) {
  // Most values have no white space at all.
  if (!any_below<' ' + 1>(value)) {
    out.append(value);
    return;
  }
  std::size_t i = 0, n = value.size();
  while (i < n && blank<Rule>(value[i])) ++i;
  while (n > i && blank<Rule>(value[n - 1])) --n;
  while (i < n) {
    std::size_t run = i;
    while (run < n && !blank<Rule>(value[run])) ++run;
    out.append(value.substr(i, run - i));
    if (run == n) return;
    out.push(' ');
    i = run;
    while (blank<Rule>(value[i])) ++i;
  }
}

bool in_list(std::string_view list, std::string_view name) noexcept {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(';'), list.size());
    if (list.substr(0, end) == name) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

bool taken(std::string_view lower, const HeaderOptions& options) noexcept {
  switch (options.selection) {
    case Selection::recommended:
      return recommended_signed(lower);
    case Selection::all:
      return !never_signed(lower);
    case Selection::listed:
      return in_list(options.listed, lower);
    case Selection::others:
      return std::find(options.skipped.begin(), options.skipped.end(), lower) == options.skipped.end();
  }
  return false;
}

// Where the names that were written part from a list that is not sorted or names what was not given; its size
// if they are the same names.
std::size_t first_missing(std::string_view listed, std::string_view written) noexcept {
  std::size_t at = 0;
  while (at < listed.size()) {
    const std::size_t end = std::min(listed.find(';', at), listed.size());
    if (!in_list(written, listed.substr(at, end - at))) return at;
    at = end + 1;
  }
  return listed.size();
}

}  // namespace

bool never_signed(std::string_view lower) noexcept {
  switch (lower.size()) {
    case 2:
      return lower == "te";
    case 6:
      return lower == "expect";
    case 7:
      return lower == "trailer" || lower == "upgrade";
    case 10:
      return lower == "connection" || lower == "keep-alive" || lower == "user-agent";
    case 13:
      return lower == "authorization";
    case 15:
      return lower == "x-amzn-trace-id";
    case 17:
      return lower == "transfer-encoding";
    case 18:
      return lower == "proxy-authenticate";
    case 19:
      return lower == "proxy-authorization";
    default:
      return false;
  }
}

bool recommended_signed(std::string_view lower) noexcept {
  return lower.starts_with("x-amz-") || lower == "host" || lower == "content-type" ||
         lower == "content-md5" || lower == "range";
}

Result<void> write_header_block(std::span<const HeaderView> headers, const HeaderOptions& options, Text& out,
                                Text& signed_headers) {
  const bool python = options.rule == HeaderRule::python;
  Text names;
  SmallVector<SignedHeader, 48> items;
  bool add_host = !options.host.empty();
  for (std::size_t i = 0; i < headers.size(); ++i) {
    const std::size_t at = names.size();
    const std::string_view name = headers[i].name;
    if (!(python ? append_ascii(name, names) : append_token(name, names))) return {Errc::bad_header_name, i};
    const std::string_view lower = names.view(at, names.size() - at);
    if (!taken(lower, options)) continue;
    items.push_back({sort_key(lower), at, lower.size(), i});
    add_host = add_host && lower != "host";
  }
  if (add_host) {
    items.push_back({sort_key("host"), names.size(), 4, headers.size()});
    names.append("host");
  }
  // Insertion sort: a request has about ten headers, most of them in order already, and the sort must be
  // stable in the order received.
  const auto name_of = [&names](const SignedHeader& item) { return names.view(item.name, item.name_size); };
  const auto before = [&](const SignedHeader& a, const SignedHeader& b) {
    if (a.key != b.key) return a.key < b.key;
    const int c = name_of(a).compare(name_of(b));
    return c != 0 ? c < 0 : a.index < b.index;
  };
  if (items.size() > 64) {
    std::sort(items.begin(), items.end(), before);
  } else {
    for (std::size_t i = 1; i < items.size(); ++i) {
      const SignedHeader item = items[i];
      std::size_t k = i;
      for (; k > 0 && before(item, items[k - 1]); --k) items[k] = items[k - 1];
      items[k] = item;
    }
  }

  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::string_view name = name_of(items[i]);
    if (i > 0 && name == name_of(items[i - 1])) {
      // The same name several times: values joined by a comma, in the order received.
      out.truncate(out.size() - 1);
      out.push(',');
    } else {
      if (i > 0) signed_headers.push(';');
      signed_headers.append(name);
      out.append(name);
      out.push(':');
    }
    const std::size_t index = items[i].index;
    const std::string_view value = index < headers.size() ? headers[index].value : options.host;
    if (python) {
      append_value<HeaderRule::python>(value, out);
    } else {
      append_value<HeaderRule::http>(value, out);
    }
    out.push('\n');
  }
  if (options.selection == Selection::listed && signed_headers.view() != options.listed) {
    const std::size_t at = first_missing(options.listed, signed_headers.view());
    if (at < options.listed.size()) return {Errc::signed_header_missing, at};
  }
  return {};
}

}  // namespace s3accel
