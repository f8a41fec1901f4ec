#include "s3accel/sigv4.h"

#include <algorithm>
#include <array>

#include "base/ascii.h"
#include "s3accel/sha256.h"
#include "s3accel/small_vector.h"
#include "sigv4/signing_input.h"

namespace s3accel {

namespace {

constexpr std::string_view kTerminal = "aws4_request";

// Days since 1970-01-01 of a date of the proleptic Gregorian calendar, and back.
// Source: H. Hinnant, "chrono-compatible low-level date algorithms".
std::int64_t days_from_civil(std::int64_t y, unsigned m, unsigned d) noexcept {
  y -= m <= 2;
  const std::int64_t era = (y >= 0 ? y : y - 399) / 400;
  const auto yoe = static_cast<unsigned>(y - era * 400);
  const unsigned doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
  const unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + static_cast<std::int64_t>(doe) - 719468;
}

void put2(char* p, unsigned v) noexcept {
  p[0] = static_cast<char>('0' + v / 10 % 10);
  p[1] = static_cast<char>('0' + v % 10);
}

int number(std::string_view digits) noexcept {
  int v = 0;
  for (char c : digits) {
    if (c < '0' || c > '9') return -1;
    v = v * 10 + (c - '0');
  }
  return v;
}

bool valid_scope_part(std::string_view text) noexcept {
  return !text.empty() && text.size() <= 128 && all_visible(text) && text.find_first_of("/,;=") == text.npos;
}

char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

bool equal_ignoring_case(std::string_view a, std::string_view lower_b) noexcept {
  return a.size() == lower_b.size() &&
         std::equal(a.begin(), a.end(), lower_b.begin(), [](char x, char y) { return lower(x) == y; });
}

// The headers that the signer sets itself. Two of them in one request would be refused by the server, or
// worse, be accepted with the wrong one.
bool reserved(std::string_view name) noexcept {
  return equal_ignoring_case(name, "authorization") || equal_ignoring_case(name, "x-amz-date") ||
         equal_ignoring_case(name, "x-amz-content-sha256") ||
         equal_ignoring_case(name, "x-amz-security-token") ||
         equal_ignoring_case(name, "x-amz-s3session-token") || equal_ignoring_case(name, "x-amz-region-set");
}

// RFC 3986: a URL whose query holds "://" is not an absolute one.
bool valid_scheme(std::string_view scheme) noexcept {
  if (scheme == "https") return true;
  return !scheme.empty() && lower(scheme[0]) >= 'a' && lower(scheme[0]) <= 'z' &&
         std::all_of(scheme.begin(), scheme.end(), [](char c) {
           return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '-' ||
                  c == '.';
         });
}

}  // namespace

bool valid_credentials(std::string_view access_key_id, std::string_view session_token) noexcept {
  return !access_key_id.empty() && all_visible(access_key_id) &&
         access_key_id.find('/') == access_key_id.npos && access_key_id.find(',') == access_key_id.npos &&
         all_visible(session_token);
}

bool valid_method(std::string_view method) noexcept {
  return !method.empty() && method.size() <= 32 && std::all_of(method.begin(), method.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

Error in_url(Error error, std::size_t query_offset) noexcept {
  if (error.code == Errc::bad_percent_escape || error.code == Errc::raw_plus_in_query) {
    error.offset += query_offset;
  }
  return error;
}

Result<void> take_headers(std::span<const HeaderView> given, std::string_view host, bool allow_sha256,
                          SmallVector<HeaderView, 48>& out) {
  bool has_host = false;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const HeaderView& header = given[i];
    if (reserved(header.name) &&
        !(allow_sha256 && equal_ignoring_case(header.name, "x-amz-content-sha256"))) {
      return {Errc::reserved_header, i};
    }
    if (any_below<' '>(header.value) &&
        header.value.find_first_of(std::string_view("\r\n\0", 3)) != header.value.npos) {
      return {Errc::bad_header_value, i};
    }
    has_host = has_host || equal_ignoring_case(header.name, "host");
    out.push_back(header);
  }
  if (!has_host) out.push_back({"host", host});
  return {};
}

Result<Timestamp> Timestamp::parse(std::string_view text) noexcept {
  if (text.size() != 16 || text[8] != 'T' || text[15] != 'Z') return Errc::bad_timestamp;
  if (!valid_date(text.substr(0, 8))) return Errc::bad_timestamp;
  const int h = number(text.substr(9, 2)), m = number(text.substr(11, 2)), s = number(text.substr(13, 2));
  if (h < 0 || h > 23 || m < 0 || m > 59 || s < 0 || s > 60) return {Errc::bad_timestamp, 9};
  Timestamp t;
  std::copy(text.begin(), text.end(), t.text_.begin());
  return t;
}

Timestamp Timestamp::from_epoch(std::int64_t seconds) noexcept {
  std::int64_t days = seconds / 86400, rest = seconds % 86400;
  if (rest < 0) {
    rest += 86400;
    --days;
  }
  const std::int64_t z = days + 719468;
  const std::int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  const auto doe = static_cast<unsigned>(z - era * 146097);
  const unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const unsigned mp = (5 * doy + 2) / 153;
  const unsigned d = doy - (153 * mp + 2) / 5 + 1;
  const unsigned m = mp < 10 ? mp + 3 : mp - 9;
  const auto y = static_cast<unsigned>(static_cast<std::int64_t>(yoe) + era * 400 + (m <= 2));
  const auto r = static_cast<unsigned>(rest);
  Timestamp t;
  char* p = t.text_.data();
  put2(p, y / 100);
  put2(p + 2, y % 100);
  put2(p + 4, m);
  put2(p + 6, d);
  p[8] = 'T';
  put2(p + 9, r / 3600);
  put2(p + 11, r / 60 % 60);
  put2(p + 13, r % 60);
  p[15] = 'Z';
  return t;
}

std::int64_t Timestamp::epoch() const noexcept {
  const auto part = [this](std::size_t at, std::size_t n) { return number(text().substr(at, n)); };
  return days_from_civil(part(0, 4), static_cast<unsigned>(part(4, 2)), static_cast<unsigned>(part(6, 2))) *
             86400 +
         part(9, 2) * 3600 + part(11, 2) * 60 + part(13, 2);
}

bool valid_date(std::string_view date) noexcept {
  if (date.size() != 8) return false;
  const int y = number(date.substr(0, 4)), m = number(date.substr(4, 2)), d = number(date.substr(6, 2));
  if (y < 1 || m < 1 || m > 12 || d < 1) return false;
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
  return d <= kDays[m - 1] + (m == 2 && leap);
}

bool is_s3_service(std::string_view service) noexcept {
  return service == "s3" || service == "s3express" || service == "s3-outposts" ||
         service == "s3-object-lambda";
}

PathRule signing_path_rule(std::string_view service) noexcept {
  return is_s3_service(service) ? PathRule::decode_encode : PathRule::normalize_encode;
}

bool valid_payload_hash(std::string_view value) noexcept {
  if (value.size() == 64 &&
      std::all_of(value.begin(), value.end(), [](char c) { return hex_digit(c) >= 0; })) {
    return true;
  }
  return value == kUnsignedPayload || value == kStreamingSigned || value == kStreamingSignedTrailer ||
         value == kStreamingUnsignedTrailer || value == kStreamingEcdsa || value == kStreamingEcdsaTrailer;
}

Result<SigningKey> SigningKey::derive(std::string_view secret, std::string_view date, std::string_view region,
                                      std::string_view service) {
  // White space at an end is what pasting leaves behind; AWS's keys never have it, and the server's answer
  // to it would be a bare SignatureDoesNotMatch.
  if (secret.empty() || secret.size() > 512 || !all_visible(secret)) return Errc::bad_secret;
  constexpr std::string_view kPrefix = "AWS4";
  SecretArray<4 + 512> first;
  std::copy(kPrefix.begin(), kPrefix.end(), first.data());
  std::copy(secret.begin(), secret.end(), first.data() + kPrefix.size());
  SecretArray<32> key;
  const Bytes steps[] = {as_bytes(date), as_bytes(region), as_bytes(service), as_bytes(kTerminal)};
  hmac_sha256_chain({first.data(), kPrefix.size() + secret.size()}, steps, key.data());
  return restore({key.data(), 32}, date, region, service);
}

Result<SigningKey> SigningKey::restore(Bytes key, std::string_view date, std::string_view region,
                                       std::string_view service) {
  if (key.size() != 32) return Errc::bad_secret;
  if (!valid_date(date)) return {Errc::bad_scope, 0};
  if (!valid_scope_part(region)) return {Errc::bad_scope, 1};
  if (!valid_scope_part(service)) return {Errc::bad_scope, 2};
  SigningKey k;
  k.hmac_ = HmacSha256Key(key);
  std::copy(key.begin(), key.end(), k.raw_.data());
  k.scope_.reserve(8 + region.size() + service.size() + kTerminal.size() + 3);
  k.scope_.append(date).append("/").append(region).append("/").append(service).append("/");
  k.scope_.append(kTerminal);
  k.region_size_ = region.size();
  return k;
}

std::string_view SigningKey::service() const noexcept {
  const std::size_t from = 9 + region_size_ + 1;
  return scope().substr(from, scope_.size() - from - 1 - kTerminal.size());
}

void SigningKey::sign(std::string_view string_to_sign, char out[64]) const noexcept {
  std::uint8_t mac[32];
  hmac_.sign(as_bytes(string_to_sign), mac);
  hex_encode(mac, out);
}

namespace {

void append_prefix(std::string_view algorithm, std::string_view timestamp, std::string_view scope,
                   Text& out) {
  out.append(algorithm);
  out.push('\n');
  out.append(timestamp);
  out.push('\n');
  out.append(scope);
  out.push('\n');
}

}  // namespace

void string_to_sign(std::string_view algorithm, std::string_view timestamp, std::string_view scope,
                    std::string_view canonical_request, Text& out) {
  std::uint8_t digest[kSha256Size];
  sha256(as_bytes(canonical_request), digest);
  append_prefix(algorithm, timestamp, scope, out);
  hex_encode({digest, kSha256Size}, out.grow(64));
}

Moment::Moment(const SigningKey& key, const Timestamp& now) : key_(&key), now_(now), hmac_(key.hmac()) {
  Text prefix;
  append_prefix(kAlgorithm, now.text(), key.scope(), prefix);
  prefix_ = prefix.view();
  // Only a region and a service of three letters together leave less than a block.
  if (prefix_.size() >= kSha256Block) {
    hmac_ = hmac_.after_block(as_bytes(prefix_).data());
    hashed_ = kSha256Block;
  }
}

void Moment::string_to_sign(const std::uint8_t* digest, Text& out) const {
  out.append(prefix_);
  hex_encode({digest, kSha256Size}, out.grow(64));
}

void Moment::sign(std::string_view to_sign, char out[64]) const noexcept {
  std::uint8_t mac[kSha256Size];
  hmac_.sign(as_bytes(to_sign.substr(hashed_)), mac);
  hex_encode(mac, out);
}

void Moment::sign_many(std::span<Bytes> strings, std::uint8_t* out) const noexcept {
  for (Bytes& string : strings) string = string.subspan(hashed_);
  hmac_.sign_many(strings, out);
}

namespace {

// Path and query of a URL whose authority has been read.
Result<UrlParts> split_target(std::string_view url, UrlParts parts) {
  const std::size_t begin = parts.path_offset;
  const std::size_t fragment = std::min(url.find('#', begin), url.size());
  const std::string_view target = url.substr(begin, fragment - begin);
  const std::size_t question = std::min(target.find('?'), target.size());
  parts.path = target.substr(0, question);
  // Other services sign an escape that no server can decode as it stands, so it is refused here for all.
  for (std::size_t i = parts.path.find('%'); i != parts.path.npos; i = parts.path.find('%', i + 1)) {
    if (i + 2 >= parts.path.size() || hex_digit(parts.path[i + 1]) < 0 || hex_digit(parts.path[i + 2]) < 0) {
      return {Errc::bad_percent_escape, begin + i};
    }
  }
  parts.query = question < target.size() ? target.substr(question + 1) : std::string_view();
  parts.query_offset = begin + question + 1;
  return parts;
}

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

}  // namespace

Result<UrlParts> split_url(std::string_view url, Text& host_text) {
  // Space, controls and non-ASCII bytes cannot stand in a request target; whatever layer encoded them after
  // signing would break the signature.
  if (!all_visible(url)) {
    const auto bad = [](char c) { return !all_visible({&c, 1}); };
    return {Errc::bad_url, static_cast<std::size_t>(std::find_if(url.begin(), url.end(), bad) - url.begin())};
  }
  UrlParts parts;
  std::size_t at = url.find(':');
  if (at == url.npos || url.substr(at, 3) != "://" || !valid_scheme(url.substr(0, at))) {
    return {Errc::bad_url, 0};
  }
  parts.scheme = url.substr(0, at);
  at += 3;
  std::size_t end = at;
  char seen = kPlain;
  while (end < url.size()) {
    const char kind = kAuthority[static_cast<unsigned char>(url[end])];
    if (kind == kEnds) break;
    seen |= kind;
    ++end;
  }
  std::string_view authority = url.substr(at, end - at);
  if (const std::size_t user = (seen & kMarks) != 0 ? authority.rfind('@') : authority.npos;
      user != authority.npos) {
    authority.remove_prefix(user + 1);
  }
  // The port is what follows the last colon that does not stand inside an IPv6 literal's brackets.
  std::string_view host = authority, port;
  if (const std::size_t colon = seen != kPlain ? authority.rfind(':') : authority.npos;
      colon != authority.npos) {
    const std::size_t bracket = authority.rfind(']');
    if (bracket == authority.npos || colon > bracket) {
      host = authority.substr(0, colon);
      port = authority.substr(colon + 1);
      // Who reads "0443", 99999 or nothing as a port is not agreed, and the Host header would say it.
      const int value = port.empty() || port.size() > 5 || port[0] == '0' ? -1 : number(port);
      if (value < 0 || value > 65535) return {Errc::bad_url, at};
    }
  }
  if (seen != kPlain) {
    // Colons in a host, and brackets, belong to an IPv6 literal: "[...]".
    const bool literal = host.size() > 2 && host.front() == '[' && host.find(']') == host.size() - 1;
    if (!literal && host.find_first_of("[]:") != host.npos) return {Errc::bad_url, at};
  }
  if (host.empty()) return {Errc::missing_host, at};
  lower_ascii(host, host_text.grow(host.size()));
  if (!port.empty()) {
    const std::string_view default_port = equal_ignoring_case(parts.scheme, "https")  ? "443"
                                          : equal_ignoring_case(parts.scheme, "http") ? "80"
                                                                                      : "";
    if (port != default_port) {
      host_text.push(':');
      host_text.append(port);
    }
  }
  parts.path_offset = end;
  return split_target(url, parts);
}

namespace {

CanonicalOptions options_of(const Moment& moment, const SignRequest& request) noexcept {
  CanonicalOptions options;
  options.path = signing_path_rule(moment.key().service());
  options.query.plus = Plus::refuse;
  options.selection = request.selection;
  return options;
}

// The request of a batch that was signed last: nearly always the next one differs in path and query only, and
// everything behind them is copied. Views into what the caller keeps.
struct Last {
  const SignRequest* request = nullptr;
  UrlParts parts;
  std::string_view headers;  // of its canonical request: all behind the query's line
  std::string_view signed_headers;

  // By address: equal texts at different places are only a missed chance.
  static bool same(std::string_view a, std::string_view b) noexcept {
    return a.data() == b.data() && a.size() == b.size();
  }

  bool fits(const SignRequest& next) const noexcept {
    if (request == nullptr) return false;
    const SignRequest& last = *request;
    const std::string_view base = last.url.substr(0, parts.path_offset);
    return next.url.substr(0, base.size()) == base &&
           (next.url.size() == base.size() ||
            kAuthority[static_cast<unsigned char>(next.url[base.size()])] == kEnds) &&
           same(next.payload_hash, last.payload_hash) && same(next.session_token, last.session_token) &&
           same(next.token_header, last.token_header) && next.selection == last.selection &&
           next.add_content_sha256 == last.add_content_sha256 &&
           std::equal(next.headers.begin(), next.headers.end(), last.headers.begin(), last.headers.end(),
                      [](const HeaderView& a, const HeaderView& b) {
                        return same(a.name, b.name) && same(a.value, b.value);
                      });
  }
};

// canonical_of for a request that fits the last one.
Result<void> canonical_like(const Moment& moment, const SignRequest& request, Last& last,
                            HeaderSignature& out) {
  if (!valid_method(request.method)) return Errc::bad_method;
  if (const std::size_t from = last.parts.path_offset; !all_visible(request.url.substr(from))) {
    Text ignored;
    return split_url(request.url, ignored).error();
  }
  auto url = split_target(request.url, last.parts);
  if (!url) return url.error();
  const UrlParts& parts = url.value();
  const RequestView view{request.method, parts.path, parts.query, {}, {}};
  if (auto r = canonical_start(view, options_of(moment, request), out.canonical); !r) {
    return in_url(r.error(), parts.query_offset);
  }
  out.canonical.append(last.headers);
  out.signed_headers.append(last.signed_headers);
  return {};
}

// The canonical request of one request, with what header signing adds to it.
Result<void> canonical_of(const Moment& moment, std::string_view access_key_id, const SignRequest& request,
                          HeaderSignature& out, Last* last = nullptr) {
  if (last != nullptr && last->fits(request)) return canonical_like(moment, request, *last, out);
  if (!valid_method(request.method)) return Errc::bad_method;
  if (!valid_payload_hash(request.payload_hash)) return Errc::bad_payload_hash;
  if (!valid_credentials(access_key_id, request.session_token)) return Errc::bad_credentials;
  Text host;
  auto url = split_url(request.url, host);
  if (!url) return url.error();
  const UrlParts& parts = url.value();

  SmallVector<HeaderView, 48> headers;
  if (auto r = take_headers(request.headers, host.view(), false, headers); !r) return r;
  if (request.add_content_sha256) headers.push_back({"x-amz-content-sha256", request.payload_hash});
  headers.push_back({"x-amz-date", moment.now().text()});
  if (!request.session_token.empty()) headers.push_back({request.token_header, request.session_token});

  const RequestView view{request.method, parts.path, parts.query,
                         std::span<const HeaderView>(headers.begin(), headers.size()), request.payload_hash};
  if (auto r = canonical_request(view, options_of(moment, request), out.canonical, out.signed_headers); !r) {
    return in_url(r.error(), parts.query_offset);
  }
  if (last != nullptr) {
    // Method, path and query have no line breaks, so the headers begin behind the third.
    std::size_t at = 0;
    for (int line = 0; line < 3; ++line) at = out.canonical.view().find('\n', at) + 1;
    *last = {&request, parts, out.canonical.view().substr(at), out.signed_headers.view()};
  }
  return {};
}

void write_authorization(const SigningKey& key, std::string_view access_key_id, HeaderSignature& out) {
  Text& a = out.authorization;
  a.append("AWS4-HMAC-SHA256 Credential=");
  a.append(access_key_id);
  a.push('/');
  a.append(key.scope());
  a.append(", SignedHeaders=");
  a.append(out.signed_headers.view());
  a.append(", Signature=");
  a.append({out.signature, 64});
}

}  // namespace

Result<void> sign_headers(const Moment& moment, std::string_view access_key_id, const SignRequest& request,
                          HeaderSignature& out) {
  if (auto r = canonical_of(moment, access_key_id, request, out); !r) return r;
  std::uint8_t digest[kSha256Size];
  sha256(as_bytes(out.canonical.view()), digest);
  moment.string_to_sign(digest, out.to_sign);
  moment.sign(out.to_sign.view(), out.signature);
  write_authorization(moment.key(), access_key_id, out);
  return {};
}

Result<void> sign_headers_batch(const Moment& moment, std::string_view access_key_id,
                                std::span<const SignRequest> requests, HeaderSignature* out,
                                std::size_t& failed) {
  const std::size_t n = std::min(requests.size(), kSignBatch);
  std::array<Bytes, kSignBatch> spans;
  std::array<std::uint8_t, kSignBatch * kSha256Size> digests;
  Last last;
  for (failed = 0; failed < n; ++failed) {
    HeaderSignature& one = out[failed];
    one.clear();
    if (auto r = canonical_of(moment, access_key_id, requests[failed], one, &last); !r) return r;
    spans[failed] = as_bytes(one.canonical.view());
  }
  sha256_many({spans.data(), n}, digests.data());
  for (std::size_t i = 0; i < n; ++i) {
    moment.string_to_sign(digests.data() + i * kSha256Size, out[i].to_sign);
    spans[i] = as_bytes(out[i].to_sign.view());
  }
  moment.sign_many({spans.data(), n}, digests.data());
  for (std::size_t i = 0; i < n; ++i) {
    hex_encode({digests.data() + i * kSha256Size, kSha256Size}, out[i].signature);
    write_authorization(moment.key(), access_key_id, out[i]);
  }
  return {};
}

}  // namespace s3accel
