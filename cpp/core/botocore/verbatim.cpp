#include "s3accel/verbatim.h"

#include <algorithm>
#include <cstring>

#include "s3accel/small_vector.h"

namespace s3accel {

namespace {

// What str.split() without arguments takes as white space among the ASCII characters.
inline bool python_space(char c) noexcept {
  return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
}

inline char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

bool unreserved(char c) noexcept {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         c == '.' || c == '~';
}

// ' '.join(value.split())
void append_collapsed(std::string_view value, Text& out) {
  std::size_t i = 0;
  const std::size_t n = value.size();
  bool first = true;
  while (i < n) {
    while (i < n && python_space(value[i])) ++i;
    std::size_t end = i;
    while (end < n && !python_space(value[end])) ++end;
    if (end == i) return;
    if (!first) out.push(' ');
    first = false;
    out.append(value.substr(i, end - i));
    i = end;
  }
}

struct Item {
  std::size_t name, name_size, index;
};

struct Pair {
  std::string_view name, value;
};

}  // namespace

bool split_plain_url(std::string_view url, PlainUrl& out, Text& host) {
  std::size_t at = 0;
  unsigned default_port = 0;
  if (url.substr(0, 8) == "https://") {
    at = 8;
    default_port = 443;
  } else if (url.substr(0, 7) == "http://") {
    at = 7;
    default_port = 80;
  } else {
    return false;
  }
  for (char c : url) {
    if (c <= ' ' || static_cast<unsigned char>(c) >= 0x7f) return false;
  }
  const std::size_t end = std::min(url.find_first_of("/?#", at), url.size());
  std::string_view authority = url.substr(at, end - at);
  if (const std::size_t user = authority.rfind('@'); user != authority.npos) {
    authority.remove_prefix(user + 1);
  }
  // is_valid_ipv6_endpoint_url() takes everything in brackets for a candidate; '%' begins a zone; a backslash
  // or the like in a host is for botocore to judge.
  if (authority.find_first_of("[]%\\^`{|}<>\"") != authority.npos) return false;
  const std::size_t colon = authority.find(':');
  const std::string_view name = authority.substr(0, colon);
  if (name.empty()) return false;
  for (char c : name) host.push(lower(c));
  if (colon != authority.npos) {
    const std::string_view digits = authority.substr(colon + 1);
    unsigned port = 0;
    if (digits.empty() || digits.size() > 5) return false;
    for (char c : digits) {
      if (c < '0' || c > '9') return false;
      port = port * 10 + static_cast<unsigned>(c - '0');
    }
    if (port > 65535 || digits[0] == '0') return false;
    if (port != default_port) {
      host.push(':');
      host.append(digits);
    }
  }
  const std::size_t fragment = std::min(url.find('#', end), url.size());
  out.has_fragment = fragment != url.size();
  const std::string_view target = url.substr(end, fragment - end);
  const std::size_t question = std::min(target.find('?'), target.size());
  out.path = target.substr(0, question);
  out.query = question < target.size() ? target.substr(question + 1) : std::string_view();
  out.before_query = url.substr(0, end + question);
  return true;
}

void verbatim_query(std::string_view raw, Text& out) {
  if (raw.empty()) return;
  SmallVector<Pair, 16> pairs;
  std::size_t at = 0;
  for (;;) {
    const std::size_t end = std::min(raw.find('&', at), raw.size());
    const std::string_view pair = raw.substr(at, end - at);
    const std::size_t equals = std::min(pair.find('='), pair.size());
    pairs.push_back({pair.substr(0, equals), pair.substr(std::min(equals + 1, pair.size()))});
    if (end == raw.size()) break;
    at = end + 1;
  }
  std::sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) {
    const int c = a.name.compare(b.name);
    return c != 0 ? c < 0 : a.value < b.value;
  });
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (i != 0) out.push('&');
    out.append(pairs[i].name);
    out.push('=');
    out.append(pairs[i].value);
  }
}

bool path_is_normal(std::string_view path) noexcept {
  if (path.empty() || path[0] != '/') return false;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '/') {
      if (i + 1 < path.size() && (path[i + 1] == '/' || path[i + 1] == '.')) return false;
    } else if (!unreserved(path[i])) {
      return false;
    }
  }
  return true;
}

bool verbatim_canonical(const VerbatimRequest& request, Text& canonical, Text& signed_headers) {
  for (char c : request.method) {
    if (static_cast<unsigned char>(c) >= 0x80) return false;
    canonical.push(c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c);
  }
  canonical.push('\n');
  canonical.append(request.path);
  canonical.push('\n');
  canonical.append(request.query);
  canonical.push('\n');

  Text names;
  SmallVector<Item, 48> items;
  bool has_host = false;
  for (std::size_t i = 0; i < request.headers.size(); ++i) {
    const std::string_view name = request.headers[i].name;
    const Item item{names.size(), name.size(), i};
    char* p = names.grow(name.size());
    for (char c : name) {
      if (static_cast<unsigned char>(c) >= 0x80 || python_space(c)) return false;
      *p++ = lower(c);
    }
    const std::string_view low = names.view(item.name, item.name_size);
    bool skip = false;
    for (std::string_view word : request.skipped) {
      if (word.size() == low.size() && word == low) {
        skip = true;
        break;
      }
    }
    if (skip) continue;
    has_host = has_host || low == "host";
    items.push_back(item);
  }
  if (!has_host) {
    items.push_back({names.size(), 4, request.headers.size()});
    names.append("host");
  }
  const auto name_of = [&names](const Item& item) { return names.view(item.name, item.name_size); };
  const auto before = [&](const Item& a, const Item& b) {
    const int c = name_of(a).compare(name_of(b));
    return c != 0 ? c < 0 : a.index < b.index;
  };
  std::sort(items.begin(), items.end(), before);

  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::string_view name = name_of(items[i]);
    if (i > 0 && name == name_of(items[i - 1])) {
      canonical.truncate(canonical.size() - 1);
      canonical.push(',');
    } else {
      if (signed_headers.size() != 0) signed_headers.push(';');
      signed_headers.append(name);
      canonical.append(name);
      canonical.push(':');
    }
    const bool own = items[i].index == request.headers.size();
    append_collapsed(own ? request.host : request.headers[items[i].index].value, canonical);
    canonical.push('\n');
  }
  canonical.push('\n');
  canonical.append(signed_headers.view());
  canonical.push('\n');
  canonical.append(request.payload_hash);
  return true;
}

SigningKeyCache::SigningKeyCache(Bytes random_key, std::size_t max_entries)
    : random_(random_key), max_entries_(max_entries) {}

std::shared_ptr<SigningKey> SigningKeyCache::get(std::string_view secret, std::string_view date,
                                                 std::string_view region, std::string_view service) {
  std::uint8_t tag[32];
  const std::lock_guard<std::mutex> lock(mutex_);
  random_.sign(as_bytes(secret), tag);
  for (Entry& entry : entries_) {
    if (std::memcmp(entry.tag, tag, sizeof tag) == 0 && entry.key->date() == date &&
        entry.key->region() == region && entry.key->service() == service) {
      entry.used = ++clock_;
      return entry.key;
    }
  }
  auto made = SigningKey::derive(secret, date, region, service);
  if (!made) return nullptr;
  auto key = std::make_shared<SigningKey>(std::move(made.value()));
  // A later day ends the earlier ones. An earlier day (a clock set back) is used and not kept.
  std::erase_if(entries_, [&](const Entry& entry) { return entry.key->date() < date; });
  if (!entries_.empty() && entries_.front().key->date() > date) return key;
  if (entries_.size() >= max_entries_) {
    const auto oldest = std::min_element(entries_.begin(), entries_.end(),
                                         [](const Entry& a, const Entry& b) { return a.used < b.used; });
    entries_.erase(oldest);
  }
  Entry entry{{}, key, ++clock_};
  std::memcpy(entry.tag, tag, sizeof tag);
  entries_.push_back(std::move(entry));
  return key;
}

void SigningKeyCache::clear(Bytes random_key) {
  const std::lock_guard<std::mutex> lock(mutex_);
  entries_.clear();
  random_ = HmacSha256Key(random_key);
}

std::size_t SigningKeyCache::size() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return entries_.size();
}

}  // namespace s3accel
