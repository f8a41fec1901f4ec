// Requests as they go over the wire, changed one step at a time, and what they mean: written down in the
// plainest way, so that a target can ask whether a change is one that a signature must notice.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz.h"
#include "s3accel/header_block.h"

namespace fuzz {

inline std::set<std::string> name_set(std::string_view list) {
  std::set<std::string> out;
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(';'), list.size());
    out.emplace(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return out;
}

// As a server reads it: decoded with '+' for a space, encoded, sorted, without the signature.
inline std::string query_meaning(std::string_view raw) {
  std::vector<std::pair<std::string, std::string>> pairs;
  bool bad = false;
  while (!raw.empty()) {
    const std::size_t end = std::min(raw.find('&'), raw.size());
    const std::string_view segment = raw.substr(0, end);
    raw.remove_prefix(std::min(end + 1, raw.size()));
    if (segment.empty()) continue;
    const std::size_t eq = std::min(segment.find('='), segment.size());
    const std::string name = decode(segment.substr(0, eq), true, bad);
    if (name == "X-Amz-Signature") continue;
    pairs.emplace_back(encode(name, false),
                       encode(decode(segment.substr(std::min(eq + 1, segment.size())), true, bad), false));
  }
  std::sort(pairs.begin(), pairs.end());
  std::string out;
  for (const auto& [name, value] : pairs) out += (out.empty() ? "" : "&") + name + "=" + value;
  return out;
}

inline std::string path_meaning(std::string_view path) {
  bool bad = false;
  return path.empty() ? "/" : encode(decode(path, false, bad), true);
}

struct Sent {
  std::string method, target;
  std::vector<std::pair<std::string, std::string>> headers;

  std::vector<s3accel::HeaderView> views() const {
    std::vector<s3accel::HeaderView> out;
    for (const auto& [name, value] : headers) out.push_back({name, value});
    return out;
  }
  // The canonical request, whose last line is left to the caller. The target is a path with a query.
  std::string canonical(const std::set<std::string>& signed_names) const {
    const std::size_t question = std::min(target.find('?'), target.size());
    const std::string_view all = target;
    std::string out = method + "\n" + path_meaning(all.substr(0, question)) + "\n" +
                      query_meaning(all.substr(std::min(question + 1, all.size()))) + "\n";
    std::map<std::string, std::string> lines;
    for (const auto& [name, value] : headers) {
      if (signed_names.count(lower(name)) == 0) continue;
      const auto [at, fresh] = lines.try_emplace(lower(name), collapsed(value));
      if (!fresh) at->second += "," + collapsed(value);
    }
    std::string list;
    for (const auto& [name, value] : lines) {
      out += name + ":" + value + "\n";
      list += (list.empty() ? "" : ";") + name;
    }
    return out + "\n" + list + "\n";
  }
  // Names that a server acts on whoever signed them.
  std::set<std::string> amz_names() const {
    std::set<std::string> out;
    for (const auto& [name, value] : headers) {
      if (lower(name).substr(0, 6) == "x-amz-") out.insert(lower(name));
    }
    return out;
  }
};

// One change, anywhere; it may be one that means nothing.
inline void change(Sent& sent, Input& input) {
  static const std::pair<const char*, const char*> kAdded[] = {
      {"x-amz-acl", "public-read"},       {"X-AMZ-Meta-A", "2"},
      {"Host", "evil.example.com"},       {"x-amz-content-sha256", "UNSIGNED-PAYLOAD"},
      {"X-Amz-Date", "20260101T120001Z"}, {"content-type", "text/html"},
      {"x-amz-security-token", "t"},      {"cookie", "a"}};
  const std::uint8_t what = input.byte();
  const std::size_t n = input.number();
  const char c = static_cast<char>(input.byte());
  auto& headers = sent.headers;
  const auto text = [&](std::string& where) {
    const std::size_t at = n % (where.size() + 1);
    if (what % 3 == 0) {
      where.insert(at, 1, c);
    } else if (at < where.size() && what % 3 == 1) {
      where[at] = c;
    } else {
      where.erase(at, 1);
    }
  };
  switch (what % 12) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
      text(sent.target);
      break;
    case 5:
      text(sent.method);
      break;
    case 6:
    case 7:
    case 8:
      if (!headers.empty()) text(headers[n % headers.size()].second);
      break;
    case 9:
      if (!headers.empty()) headers.erase(headers.begin() + static_cast<std::ptrdiff_t>(n % headers.size()));
      break;
    case 10:
      headers.emplace_back(kAdded[n % std::size(kAdded)]);
      break;
    default:
      if (headers.size() > 1)
        std::swap(headers[n % headers.size()], headers[static_cast<unsigned char>(c) % headers.size()]);
      break;
  }
}

}  // namespace fuzz
