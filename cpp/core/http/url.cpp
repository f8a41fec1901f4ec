#include "s3accel/url.h"

#include <algorithm>
#include <array>

#include "base/ascii.h"
#include "s3accel/bytes.h"

namespace s3accel {

namespace {

// What a byte is in the authority of a URL: an ordinary one, one that ends it, or one that has a meaning.
enum : char { kPlain = 0, kColon = 1, kMarks = 2, kEnds = 4 };
constexpr std::array<char, 256> make_authority() {
  std::array<char, 256> table{};
  for (unsigned char c : {'/', '?', '#'}) table[c] = kEnds;
  for (unsigned char c : {'@', '[', ']'}) table[c] = kMarks;
  table[':'] = kColon;
  return table;
}
constexpr std::array<char, 256> kAuthority = make_authority();

// RFC 3986: a URL whose query holds "://" is not an absolute one.
bool good_scheme(std::string_view scheme) noexcept {
  if (scheme == "https") return true;
  return !scheme.empty() && letter(scheme[0]) && std::all_of(scheme.begin(), scheme.end(), [](char c) {
    return letter(c) || digit(c) || c == '+' || c == '-' || c == '.';
  });
}

bool good_port(std::string_view port) noexcept {
  if (port.empty() || port.size() > 5 || port[0] == '0') return false;
  unsigned value = 0;
  for (char c : port) {
    if (!digit(c)) return false;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  return value <= 65535;
}

std::string_view default_port(std::string_view scheme) noexcept {
  return same_name(scheme, "https") ? "443" : same_name(scheme, "http") ? "80" : "";
}

// "h:443" and "h:80" as "h": behind a proxy either side may leave out the port that its scheme implies.
std::string_view without_default_port(std::string_view host) noexcept {
  for (std::string_view port : {":443", ":80"}) {
    if (host.size() > port.size() && host.ends_with(port)) {
      host.remove_suffix(port.size());
      break;
    }
  }
  return host;
}

}  // namespace

void cut_target(std::string_view url, std::size_t path_offset, Fragment fragment, UrlParts& out) noexcept {
  const std::size_t hash = fragment == Fragment::cut ? url.find('#', path_offset) : url.npos;
  const std::size_t end = std::min(hash, url.size());
  const std::string_view target = url.substr(path_offset, end - path_offset);
  const std::size_t question = std::min(target.find('?'), target.size());
  out.has_fragment = end != url.size();
  out.path = target.substr(0, question);
  out.path_offset = path_offset;
  out.query = question < target.size() ? target.substr(question + 1) : std::string_view();
  out.query_offset = path_offset + question + 1;
}

bool cut_url(std::string_view url, Fragment fragment, UrlParts& out) noexcept {
  const std::size_t colon = url.find(':');
  if (colon == url.npos || url.substr(colon, 3) != "://") return false;
  out.scheme = url.substr(0, colon);
  const std::size_t begin = colon + 3;
  // Nearly always the authority is a name alone, and a path follows it.
  std::size_t end = std::min(url.find('/', begin), url.size());
  char seen = kPlain;
  if (!all_unreserved<false>(url.substr(begin, end - begin))) end = begin;
  while (end < url.size()) {
    const char kind = kAuthority[static_cast<unsigned char>(url[end])];
    if (kind == kEnds) break;
    seen |= kind;
    ++end;
  }
  out.authority = out.host = url.substr(begin, end - begin);
  out.plain = seen == kPlain;
  if ((seen & kMarks) != 0) {
    if (const std::size_t user = out.host.rfind('@'); user != url.npos) out.host.remove_prefix(user + 1);
  }
  // The port is what follows the last colon that does not stand inside an IPv6 literal's brackets.
  if (const std::size_t last = seen != kPlain ? out.host.rfind(':') : url.npos; last != url.npos) {
    const std::size_t bracket = out.host.rfind(']');
    if (bracket == url.npos || last > bracket) {
      out.has_port = true;
      out.port = out.host.substr(last + 1);
      out.host = out.host.substr(0, last);
    }
  }
  cut_target(url, end, fragment, out);
  return true;
}

bool good_authority(const UrlParts& url) noexcept {
  if (url.plain) return true;
  if (url.has_port && !good_port(url.port)) return false;
  // Colons in a host, and brackets, belong to an IPv6 literal: "[...]".
  const std::string_view host = url.host;
  const bool literal = host.size() > 2 && host.front() == '[' && host.find(']') == host.size() - 1;
  return literal || host.find_first_of("[]:") == host.npos;
}

void write_host(const UrlParts& url, Text& out) {
  lower_ascii(url.host, out.grow(url.host.size()));
  if (!url.port.empty() && url.port != default_port(url.scheme)) {
    out.push(':');
    out.append(url.port);
  }
}

Result<void> check_escapes(std::string_view path) noexcept {
  for (std::size_t i = path.find('%'); i != path.npos; i = path.find('%', i + 1)) {
    if (i + 2 >= path.size() || hex_digit(path[i + 1]) < 0 || hex_digit(path[i + 2]) < 0) {
      return {Errc::bad_percent_escape, i};
    }
  }
  return {};
}

Result<UrlParts> split_url(std::string_view url, Text& host_text) {
  // Space, controls and non-ASCII bytes cannot stand in a request target; whatever layer encoded them after
  // signing would break the signature.
  if (!all_visible(url)) {
    const auto bad = [](char c) { return !all_visible({&c, 1}); };
    return {Errc::bad_url, static_cast<std::size_t>(std::find_if(url.begin(), url.end(), bad) - url.begin())};
  }
  UrlParts parts;
  if (!cut_url(url, Fragment::cut, parts) || !good_scheme(parts.scheme)) return {Errc::bad_url, 0};
  const std::size_t at = parts.scheme.size() + 3;
  if (!good_authority(parts)) return {Errc::bad_url, at};
  if (parts.host.empty()) return {Errc::missing_host, at};
  // Other services sign an escape that no server can decode as it stands, so it is refused here for all.
  if (auto r = check_escapes(parts.path); !r) return {r.error().code, parts.path_offset + r.error().offset};
  write_host(parts, host_text);
  return parts;
}

Result<TargetParts> split_target(std::string_view target, std::string_view host) noexcept {
  // A '#' cannot stand in a target (RFC 9112, 3.2); whoever serves the request may cut there.
  if (any_control(target) || target.find('#') != target.npos) return Errc::bad_target;
  UrlParts parts;
  if (target.empty() || target[0] == '/') {
    cut_target(target, 0, Fragment::ordinary, parts);
  } else {
    const bool absolute = cut_url(target, Fragment::ordinary, parts) &&
                          (same_name(parts.scheme, "http") || same_name(parts.scheme, "https"));
    if (!absolute || parts.authority.empty() ||
        !same_name(without_default_port(parts.authority), without_default_port(trim(host)))) {
      return Errc::bad_target;
    }
    if (parts.path.empty()) {
      parts.path = "/";
    } else if (parts.path[0] != '/') {
      return Errc::bad_target;
    }
  }
  return TargetParts{parts.path, parts.query};
}

}  // namespace s3accel
