// The one place that cuts URLs and targets, for signing, verifying and botocore's rules: what was cut, put
// together again, is the text; a judgement is that of RFC 9112, 3.2, written plainly. Input: Host, LF, URL or
// target.
#include "fuzz.h"
#include "request.h"
#include "s3accel/botocore.h"
#include "s3accel/url.h"
#include "s3accel/verify.h"

using namespace s3accel;

namespace {

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

std::string without_port(std::string_view host) {
  for (const std::string_view port : {":443", ":80"}) {
    if (host.size() > port.size() && host.substr(host.size() - port.size()) == port)
      return fuzz::lower(host.substr(0, host.size() - port.size()));
  }
  return fuzz::lower(host);
}

// What must be behind the '?' or the end: "" for a target that is refused.
bool plain_target(std::string_view target, std::string_view host, std::string& path, std::string& query) {
  for (const char c : target) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '#') return false;
  }
  std::string rest(target);
  if (!rest.empty() && rest[0] != '/') {
    const std::size_t colon = rest.find("://");
    if (colon == rest.npos) return false;
    const std::string scheme = fuzz::lower(rest.substr(0, colon));
    if (scheme != "http" && scheme != "https") return false;
    rest = rest.substr(colon + 3);
    const std::size_t end = std::min(rest.find_first_of("/?#"), rest.size());
    const std::string authority = rest.substr(0, end);
    rest = rest.substr(end);
    if (authority.empty() || without_port(authority) != without_port(trimmed(host))) return false;
    // "http://h?q" has the path "/" only if nothing at all stands behind the authority.
    if (rest.empty() || rest[0] == '?') rest = "/" + rest;
  }
  const std::size_t question = std::min(rest.find('?'), rest.size());
  path = rest.substr(0, question);
  query = question < rest.size() ? rest.substr(question + 1) : "";
  return true;
}

void check_cut(std::string_view url, Fragment fragment) {
  UrlParts p;
  if (!cut_url(url, fragment, p)) {
    REQUIRE(url.find("://") != url.find(':') || url.find(':') == url.npos);
    return;
  }
  std::string again(p.scheme);
  again += "://";
  again += p.authority;
  REQUIRE(p.path_offset == again.size());
  again += p.path;
  REQUIRE(url.substr(0, again.size()) == again);
  if (again.size() < url.size() && url[again.size()] == '?') {
    again += "?";
    REQUIRE(p.query_offset == again.size());
    again += p.query;
  } else {
    REQUIRE(p.query.empty());
  }
  REQUIRE(p.has_fragment == (again.size() < url.size()));
  REQUIRE(url.substr(0, again.size()) == again);
  REQUIRE(!p.has_fragment || (url[again.size()] == '#' && fragment == Fragment::cut));
  REQUIRE(p.path.find('?') == p.path.npos);
  REQUIRE(fragment == Fragment::ordinary ||
          (p.path.find('#') == p.path.npos && p.query.find('#') == p.query.npos));
  REQUIRE(p.authority.find_first_of("/?#") == p.authority.npos);
  // user@host:port
  std::string end(p.host);
  if (p.has_port) end += ":" + std::string(p.port);
  REQUIRE(p.authority.size() >= end.size() && p.authority.substr(p.authority.size() - end.size()) == end);
  REQUIRE(p.authority.size() == end.size() || p.authority[p.authority.size() - end.size() - 1] == '@');
  REQUIRE(p.host.find('@') == p.host.npos && p.port.find_first_of(":]@") == p.port.npos);
  REQUIRE(!p.plain || (p.authority == p.host && !p.has_port && p.host.find_first_of("[]:@") == p.host.npos));
}

void check_split(std::string_view url) {
  Text host, host_of_botocore;
  const auto cut = split_url(url, host);
  UrlParts parts;
  const bool plain = botocore::split_url(url, parts, host_of_botocore);
  if (!cut) {
    REQUIRE(cut.error().offset <= url.size());
    return;
  }
  // What goes out is the same request, whoever cuts it again: without user info and fragment, in lower case.
  const UrlParts& p = cut.value();
  std::string again = fuzz::lower(p.scheme) + "://" + std::string(host.view()) + std::string(p.path);
  if (!p.query.empty()) again += "?" + std::string(p.query);
  Text host_again;
  const auto second = split_url(again, host_again);
  REQUIRE(second.ok());
  REQUIRE(host_again.view() == host.view());
  REQUIRE(second.value().path == p.path && second.value().query == p.query);
  REQUIRE(!second.value().has_fragment &&
          second.value().host == second.value().authority.substr(0, second.value().host.size()));
  // A server that is sent the path with its query, or all of it, reads the same.
  const std::string target = std::string(p.path.empty() ? "/" : p.path) +
                             again.substr(again.size() - (p.query.empty() ? 0 : p.query.size() + 1));
  const auto origin = split_target(target, host.view());
  REQUIRE(origin.ok() && origin.value().query == p.query &&
          origin.value().path == (p.path.empty() ? "/" : p.path));
  if (const std::string scheme = fuzz::lower(p.scheme); scheme == "http" || scheme == "https") {
    const auto whole = split_target(again, host.view());
    REQUIRE(whole.ok() && whole.value().path == origin.value().path &&
            whole.value().query == origin.value().query);
  }
  if (!plain) return;
  REQUIRE(parts.path == p.path && parts.query == p.query);
  // What differs between the two hosts is botocore's: it keeps the case, and user info away from nothing
  // else.
  REQUIRE(fuzz::lower(host_of_botocore.view()) == host.view());
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  return {"h\n/k?a=1#x?y",
          "h:443\nhttps://H/k?x",
          "h\nhttp://h:80?q",
          "h\nhttps://u:p@h:1/",
          "h\n",
          "[::1]:9000\nhttp://[::1]:9000/b/k?c#d",
          "h\nhttp://h",
          "h\nhttps://h#/k",
          " H \nHTTP://h/a/../b//",
          "h\n*",
          "h\nhttps:///k",
          "h\nftp://h/k"};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::string_view host = input.until('\n');
  const std::string_view text = input.rest();
  check_cut(text, Fragment::cut);
  check_cut(text, Fragment::ordinary);
  check_split(text);

  std::string path, query;
  const bool good = plain_target(text, host, path, query);
  const auto split = split_target(text, host);
  REQUIRE(split.ok() == good);
  if (!good) {
    REQUIRE(split.error().code == Errc::bad_target);
  } else {
    REQUIRE(split.value().path == path && split.value().query == query);
  }
  // well_formed asks the same, and counts.
  const HeaderView headers[] = {{"hOst", host}};
  const auto formed = well_formed({"GET", text, headers, {}});
  if (formed) {
    REQUIRE(good && formed.value().target.path == path && formed.value().target.query == query);
  } else {
    REQUIRE(formed.error().code == Errc::bad_target
                ? !good
                : text.size() > kMaxTargetLength || host.size() + 4 > kMaxHeaderBytes ||
                      std::count(query.begin(), query.end(), '&') >=
                          static_cast<std::ptrdiff_t>(kMaxQueryParameters));
  }
  return 0;
}
