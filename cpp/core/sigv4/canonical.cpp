#include "s3accel/canonical.h"

#include <algorithm>
#include <array>

#include "base/ascii.h"
#include "s3accel/small_vector.h"

namespace s3accel {

namespace {

struct Item {
  std::uint64_t
      key;           // the first eight bytes of the lower-case name, so that most comparisons are of one word
  std::size_t name;  // offset of the name in the scratch text
  std::size_t name_size;
  std::size_t index;  // position among the given headers: the order of duplicates
};

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
  const std::uint64_t low = x & ~scan::kHigh;
  const auto within = [low](int first, int last) {
    return (low + scan::kOnes * static_cast<unsigned>(0x80 - first)) &
           ~(low + scan::kOnes * static_cast<unsigned>(0x7f - last));
  };
  return (x | ~(within('a', 'z') | within('0', '9') | within('-', '-'))) & scan::kHigh;
}

// Appends the lower-case name; false if it is no name.
bool lower_into(std::string_view name, Text& out) {
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

// SP and HTAB are white space, and so are the line breaks of a folded header. A no-break space is not.
inline bool blank(char c) noexcept {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// Trims both ends and makes every inner run of white space one space, also inside quotes.
void append_value(std::string_view value, Text& out) {
  // Most values have no white space at all.
  if (!any_below<' ' + 1>(value)) {
    out.append(value);
    return;
  }
  std::size_t i = 0, n = value.size();
  while (i < n && blank(value[i])) ++i;
  while (n > i && blank(value[n - 1])) --n;
  while (i < n) {
    std::size_t run = i;
    while (run < n && !blank(value[run])) ++run;
    out.append(value.substr(i, run - i));
    if (run == n) return;
    out.push(' ');
    i = run;
    while (blank(value[i])) ++i;
  }
}

bool starts_with(std::string_view text, std::string_view prefix) noexcept {
  return text.substr(0, prefix.size()) == prefix;
}

bool in_list(std::string_view list, std::string_view name) noexcept {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(';'), list.size());
    if (list.substr(0, end) == name) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
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
  return starts_with(lower, "x-amz-") || lower == "host" || lower == "content-type" ||
         lower == "content-md5" || lower == "range";
}

Result<void> canonical_start(const RequestView& request, const CanonicalOptions& options, Text& out) {
  out.append(request.method);
  out.push('\n');
  if (auto r = canonical_path(request.path, options.path, options.query.escapes, out); !r) return r;
  out.push('\n');
  if (auto r = canonical_query(request.query, options.query, out); !r) return r;
  out.push('\n');
  return {};
}

Result<void> canonical_request(const RequestView& request, const CanonicalOptions& options, Text& out,
                               Text& signed_headers) {
  if (auto r = canonical_start(request, options, out); !r) return r;
  Text names;
  SmallVector<Item, 48> items;
  for (std::size_t i = 0; i < request.headers.size(); ++i) {
    const std::size_t at = names.size();
    if (!lower_into(request.headers[i].name, names)) return {Errc::bad_header_name, i};
    const std::string_view lower = names.view(at, names.size() - at);
    const bool take = options.selection == Selection::listed ? in_list(options.listed, lower)
                      : options.selection == Selection::all  ? !never_signed(lower)
                                                             : recommended_signed(lower);
    if (take) {
      items.push_back({sort_key(lower), at, lower.size(), i});
    }
  }
  // Insertion sort: a request has about ten headers, most of them in order already, and the sort must be
  // stable in the order received.
  const auto name_of = [&names](const Item& item) { return names.view(item.name, item.name_size); };
  const auto before = [&](const Item& a, const Item& b) {
    if (a.key != b.key) return a.key < b.key;
    const int c = name_of(a).compare(name_of(b));
    return c != 0 ? c < 0 : a.index < b.index;
  };
  if (items.size() > 64) {
    std::sort(items.begin(), items.end(), before);
  } else {
    for (std::size_t i = 1; i < items.size(); ++i) {
      const Item item = items[i];
      std::size_t k = i;
      for (; k > 0 && before(item, items[k - 1]); --k) items[k] = items[k - 1];
      items[k] = item;
    }
  }

  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::string_view name = name_of(items[i]);
    const bool again = i > 0 && name == name_of(items[i - 1]);
    if (again) {
      // The same name several times: values joined by a comma, in the order received.
      out.truncate(out.size() - 1);
      out.push(',');
    } else {
      if (signed_headers.size() != 0) signed_headers.push(';');
      signed_headers.append(name);
      out.append(name);
      out.push(':');
    }
    append_value(request.headers[items[i].index].value, out);
    out.push('\n');
  }

  out.push('\n');
  out.append(signed_headers.view());
  out.push('\n');
  out.append(request.payload_hash);

  if (options.selection == Selection::listed && signed_headers.view() != options.listed) {
    // A listed name that was not received, or a list that is not sorted: find the first one.
    std::size_t at = 0;
    std::string_view list = options.listed;
    while (at < list.size()) {
      const std::size_t end = std::min(list.find(';', at), list.size());
      if (!in_list(signed_headers.view(), list.substr(at, end - at))) break;
      at = end + 1;
    }
    if (at < list.size()) return {Errc::signed_header_missing, at};
  }
  return {};
}

}  // namespace s3accel
