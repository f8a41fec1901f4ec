#include "s3accel/verify.h"

#include <algorithm>

#include "base/ascii.h"
#include "s3accel/secret.h"
#include "s3accel/small_vector.h"
#include "sigv4/signing_input.h"

namespace s3accel {

namespace {

constexpr std::string_view kHmacScheme = "AWS4-HMAC-SHA256";

char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

bool same_name(std::string_view a, std::string_view lower_b) noexcept {
  return a.size() == lower_b.size() &&
         std::equal(a.begin(), a.end(), lower_b.begin(), [](char x, char y) { return lower(x) == y; });
}

bool starts_with_name(std::string_view a, std::string_view lower_prefix) noexcept {
  return a.size() >= lower_prefix.size() && same_name(a.substr(0, lower_prefix.size()), lower_prefix);
}

std::string_view trim(std::string_view s) noexcept {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

const HeaderView* find_header(std::span<const HeaderView> headers, std::string_view lower_name) noexcept {
  for (const HeaderView& header : headers) {
    if (same_name(header.name, lower_name)) return &header;
  }
  return nullptr;
}

// Two headers where one is meant: this code would believe the first, another layer perhaps the last.
bool repeated(std::span<const HeaderView> headers, std::string_view lower_name) noexcept {
  return std::count_if(headers.begin(), headers.end(),
                       [&](const HeaderView& header) { return same_name(header.name, lower_name); }) > 1;
}

// The names of SignedHeaders, sorted, so that asking for many headers costs no product of lengths.
class SignedNames {
 public:
  explicit SignedNames(std::string_view list) {
    while (!list.empty()) {
      const std::size_t end = std::min(list.find(';'), list.size());
      names_.push_back(list.substr(0, end));
      list.remove_prefix(std::min(end + 1, list.size()));
    }
    std::sort(names_.begin(), names_.end());
  }
  bool contains(std::string_view name) const {
    Text low;
    lower_ascii(name, low.grow(name.size()));
    return std::binary_search(names_.begin(), names_.end(), low.view());
  }

 private:
  SmallVector<std::string_view, 32> names_;
};

struct Target {
  std::string_view authority, path, query;
};

// A '#' is an ordinary byte here: request targets have no fragment, and cutting one off would leave what
// follows it unsigned.
Target split_target(std::string_view target) noexcept {
  Target out;
  if (starts_with_name(target, "http://") || starts_with_name(target, "https://")) {
    // A proxy may send the absolute form; only its path is signed.
    target.remove_prefix(target.find(':') + 3);
    const std::size_t end = std::min(target.find_first_of("/?"), target.size());
    out.authority = target.substr(0, end);
    target.remove_prefix(end);
    if (target.empty()) target = "/";
  }
  const std::size_t question = std::min(target.find('?'), target.size());
  out.path = target.substr(0, question);
  if (question < target.size()) out.query = target.substr(question + 1);
  return out;
}

// "h:443" and "h:80" as "h": either side may leave out the port that its scheme implies.
std::string_view without_port(std::string_view host) noexcept {
  for (std::string_view port : {":443", ":80"}) {
    if (host.size() > port.size() && host.substr(host.size() - port.size()) == port) {
      host.remove_suffix(port.size());
      break;
    }
  }
  return host;
}

// RFC 9112, 3.2: a path, or an absolute URL whose authority is the Host that was asked. Another authority
// would be served by whoever goes by the target, and judged by the Host that is signed.
bool good_target(std::string_view text, std::span<const HeaderView> headers) noexcept {
  const Target target = split_target(text);
  if (!target.authority.empty()) {
    const HeaderView* host = find_header(headers, "host");
    if (host == nullptr) return false;
    const std::string_view a = without_port(target.authority), b = without_port(trim(host->value));
    if (a.size() != b.size() ||
        !std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); })) {
      return false;
    }
  } else if (!text.empty() && text[0] != '/') {
    return false;
  }
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; });
}

// Percent-decodes one query value; a raw '+' is a space, as servers that decode forms read it.
std::string decode(std::string_view in) {
  std::string out;
  out.reserve(in.size());
  for (std::size_t i = 0; i < in.size(); ++i) {
    const int hi = in[i] == '%' && i + 2 < in.size() ? hex_digit(in[i + 1]) : -1;
    const int lo = hi >= 0 ? hex_digit(in[i + 2]) : -1;
    if (lo >= 0) {
      out.push_back(static_cast<char>(hi << 4 | lo));
      i += 2;
    } else {
      out.push_back(in[i] == '+' ? ' ' : in[i]);
    }
  }
  return out;
}

// The value of a query parameter, the first one; how often the parameter is there.
std::size_t query_value(std::string_view query, std::string_view name, std::string& out) {
  std::size_t found = 0;
  for (std::size_t i = 0; i < query.size();) {
    const std::size_t end = std::min(query.find('&', i), query.size());
    const std::string_view segment = query.substr(i, end - i);
    const std::size_t eq = std::min(segment.find('='), segment.size());
    const std::string_view raw = segment.substr(0, eq);
    // An escape takes three bytes for one: longer or shorter names need no decoding, and most have none.
    const bool plain = raw.size() < name.size() || raw.size() > 3 * name.size() ||
                       (raw.size() == name.size() && raw.find_first_of("%+") == raw.npos);
    if (plain ? raw == name : decode(raw) == name) {
      if (++found == 1) out = eq < segment.size() ? decode(segment.substr(eq + 1)) : std::string();
    }
    i = end + 1;
  }
  return found;
}

bool all_digits(std::string_view s) noexcept {
  return !s.empty() && std::all_of(s.begin(), s.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "AKID/20260101/us-east-1/s3/aws4_request" into its five parts.
Result<void> parse_credential(std::string_view text, const VerifyPolicy& policy, ParsedAuth& out) {
  out.credential = text;
  std::string_view parts[5];
  std::size_t n = 0;
  std::string_view rest = text;
  for (;;) {
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    if (n == 5) return Errc::credential_malformed;
    parts[n++] = rest.substr(0, slash);
    if (slash == rest.size()) break;
    rest.remove_prefix(slash + 1);
  }
  if (n != 5 || parts[0].empty() || parts[0].size() > 256) return Errc::credential_malformed;
  out.access_key_id = parts[0];
  out.date = parts[1];
  out.region = parts[2];
  out.service = parts[3];
  out.scope = text.substr(parts[0].size() + 1);
  if (!valid_date(parts[1])) {
    out.detail = parts[1];
    return Errc::credential_bad_date;
  }
  if (parts[4] != "aws4_request") {
    out.detail = parts[4];
    return Errc::credential_wrong_terminal;
  }
  if (parts[3] != policy.service) {
    out.detail = parts[3];
    return Errc::credential_wrong_service;
  }
  if (parts[2].empty() || (!policy.region.empty() && parts[2] != policy.region)) {
    out.detail = parts[2];
    return Errc::credential_wrong_region;
  }
  return {};
}

Result<void> parse_authorization(std::string_view value, std::string_view& credential, ParsedAuth& out) {
  value = trim(value);
  if (value.substr(0, 4) == "AWS ") return Errc::auth_unsupported_v2;
  const std::size_t space = std::min(value.find(' '), value.size());
  if (value.substr(0, space) != kHmacScheme) {
    out.detail = value.substr(0, std::min<std::size_t>(space, 64));
    return Errc::auth_unknown_type;
  }
  std::string_view rest = value.substr(std::min(space + 1, value.size()));
  bool have_credential = false, have_headers = false, have_signature = false;
  while (!rest.empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view part = trim(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    const std::size_t eq = part.find('=');
    if (eq == part.npos) return Errc::auth_malformed;
    const std::string_view name = part.substr(0, eq), text = part.substr(eq + 1);
    bool& seen = name == "Credential"      ? have_credential
                 : name == "SignedHeaders" ? have_headers
                                           : have_signature;
    if (seen || (&seen == &have_signature && name != "Signature")) {
      out.detail = name.substr(0, 64);
      return Errc::auth_malformed;
    }
    seen = true;
    if (&seen == &have_credential) credential = text;
    if (&seen == &have_headers) out.signed_headers = text;
    if (&seen == &have_signature) out.signature = text;
  }
  if (!have_credential || !have_headers || !have_signature) {
    out.detail = !have_credential ? "Credential" : !have_headers ? "SignedHeaders" : "Signature";
    return Errc::auth_malformed;
  }
  return {};
}

Result<void> parse_header_auth(const ReceivedRequest& request, const HeaderView& authorization,
                               const VerifyPolicy& policy, ParsedAuth& out) {
  out.mechanism = Mechanism::header;
  if (repeated(request.headers, "authorization")) {
    out.detail = "Authorization";
    return Errc::auth_malformed;
  }
  std::string_view credential;
  if (auto r = parse_authorization(authorization.value, credential, out); !r) return r;
  if (auto r = parse_credential(credential, policy, out); !r) return r;

  const HeaderView* date = find_header(request.headers, "x-amz-date");
  if (date == nullptr) date = find_header(request.headers, "date");
  const auto stamp = Timestamp::parse(date == nullptr ? std::string_view() : trim(date->value));
  if (!stamp || repeated(request.headers, "x-amz-date")) return Errc::date_missing;
  out.timestamp = stamp.value().text();
  if (stamp.value().date() != out.date) return Errc::credential_date_mismatch;
  const std::int64_t skew = policy.now - stamp.value().epoch();
  if (skew > policy.max_skew || skew < -policy.max_skew) return Errc::time_skewed;
  return {};
}

Result<void> parse_query_auth(std::string_view query, const VerifyPolicy& policy, ParsedAuth& out) {
  out.mechanism = Mechanism::query;
  std::string algorithm, credential, date, expires;
  const std::pair<std::string_view, std::string*> wanted[] = {
      {"X-Amz-Algorithm", &algorithm},
      {"X-Amz-Credential", &credential},
      {"X-Amz-Signature", &out.signature},
      {"X-Amz-Date", &date},
      {"X-Amz-SignedHeaders", &out.signed_headers},
      {"X-Amz-Expires", &expires},
  };
  for (const auto& [name, value] : wanted) {
    // Two of them are covered by the signature in any order, so their order must not decide anything.
    if (query_value(query, name, *value) != 1) {
      out.detail = name;
      return Errc::auth_malformed;
    }
  }
  if (algorithm != kHmacScheme) {
    out.detail = algorithm.substr(0, 64);
    return Errc::auth_unknown_type;
  }
  if (auto r = parse_credential(credential, policy, out); !r) return r;
  const auto stamp = Timestamp::parse(date);
  if (!stamp) return Errc::date_missing;
  out.timestamp = stamp.value().text();
  if (stamp.value().date() != out.date) return Errc::credential_date_mismatch;

  const bool negative = !expires.empty() && expires[0] == '-';
  if (!all_digits(std::string_view(expires).substr(negative ? 1 : 0))) return Errc::expires_not_a_number;
  if (negative) return Errc::expires_negative;
  for (char c : expires) {
    out.expires = out.expires * 10 + (c - '0');
    if (out.expires > 604800) return Errc::expires_too_large;
  }
  if (policy.now > stamp.value().epoch() + out.expires) return Errc::request_expired;
  // A presigned request may start late by its own rule, but not early by more than clocks may differ.
  if (policy.now + policy.max_skew < stamp.value().epoch()) return Errc::request_not_yet_valid;
  return {};
}

// Steps 5 and 6. Their faults are deferred, so this returns nothing.
void judge_headers(const ReceivedRequest& request, std::string_view query, ParsedAuth& out) {
  const HeaderView* sha = find_header(request.headers, "x-amz-content-sha256");
  const bool s3 = is_s3_service(out.service);
  const SignedNames names(out.signed_headers);
  if (sha != nullptr && (out.mechanism == Mechanism::header || names.contains(sha->name))) {
    out.payload_hash = trim(sha->value);
  } else if (std::string text;
             out.mechanism == Mechanism::query && (query_value(query, "X-Amz-Content-Sha256", text) != 0 ||
                                                   query_value(query, "x-amz-content-sha256", text) != 0)) {
    out.payload_hash = text;
  } else if (out.mechanism == Mechanism::query && s3) {
    out.payload_hash = kUnsignedPayload;
  } else if (s3) {
    out.deferred = {Errc::content_sha256_missing, 0};
    return;
  } else {
    out.payload_hash = request.body_hash.empty() ? kEmptyHash : request.body_hash;
  }
  if (!valid_payload_hash(out.payload_hash) || repeated(request.headers, "x-amz-content-sha256")) {
    out.detail = out.payload_hash.substr(0, 256);
    out.deferred = {Errc::content_sha256_invalid, 0};
    return;
  }

  std::string missing;
  const auto miss = [&missing](std::string_view name) {
    if (!missing.empty()) missing += ", ";
    for (char c : name) missing += lower(c);
  };
  if (!names.contains("host")) miss("host");
  for (const HeaderView& header : request.headers) {
    if (starts_with_name(header.name, "x-amz-") && !same_name(header.name, "x-amz-content-sha256") &&
        !names.contains(header.name)) {
      miss(header.name);
    }
  }
  if (!missing.empty()) {
    out.detail = missing;
    out.deferred = {Errc::header_not_signed, 0};
  }
}

}  // namespace

Result<void> parse_auth(const ReceivedRequest& request, const VerifyPolicy& policy, ParsedAuth& out) {
  std::size_t bytes = 0;
  for (const HeaderView& header : request.headers) bytes += header.name.size() + header.value.size();
  if (request.target.size() > kMaxTargetLength || request.headers.size() > kMaxHeaders ||
      bytes > kMaxHeaderBytes) {
    return Errc::too_long;
  }
  // The method stands in the canonical request as it came; a line break in it would make lines of its own.
  if (!valid_method(request.method)) return Errc::bad_method;
  if (!good_target(request.target, request.headers)) return Errc::bad_target;
  const Target target = split_target(request.target);
  if (static_cast<std::size_t>(std::count(target.query.begin(), target.query.end(), '&')) >=
      kMaxQueryParameters) {
    return Errc::too_long;
  }
  const HeaderView* authorization = find_header(request.headers, "authorization");
  std::string ignored;
  bool in_query = false;
  for (std::string_view name : {"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"}) {
    in_query = in_query || query_value(target.query, name, ignored) != 0;
  }
  if (authorization != nullptr && in_query) return Errc::auth_two_mechanisms;
  Result<void> result;
  if (authorization != nullptr) {
    result = parse_header_auth(request, *authorization, policy, out);
  } else if (in_query) {
    result = parse_query_auth(target.query, policy, out);
  } else if (query_value(target.query, "AWSAccessKeyId", ignored) != 0) {
    return Errc::auth_unsupported_v2;
  } else {
    return Errc::auth_missing;
  }
  if (!result) return result;
  if (static_cast<std::size_t>(std::count(out.signed_headers.begin(), out.signed_headers.end(), ';')) >=
          kMaxSignedHeaders ||
      out.signed_headers.size() > kMaxSignedHeadersLength) {
    return Errc::too_long;
  }

  const HeaderView* token = find_header(request.headers, "x-amz-security-token");
  if (token == nullptr) token = find_header(request.headers, "x-amz-s3session-token");
  if (token != nullptr) {
    out.session_token = trim(token->value);
  } else if (query_value(target.query, "X-Amz-Security-Token", out.session_token) == 0) {
    query_value(target.query, "X-Amz-S3session-Token", out.session_token);
  }
  judge_headers(request, target.query, out);
  return {};
}

Result<void> string_to_verify(const ReceivedRequest& request, const ParsedAuth& auth,
                              std::string_view algorithm, std::string_view scope, Text& canonical,
                              Text& to_sign) {
  if (!valid_method(request.method)) return Errc::bad_method;
  if (!good_target(request.target, request.headers)) return Errc::bad_target;
  const Target target = split_target(request.target);
  CanonicalOptions options;
  options.path = is_s3_service(auth.service) ? PathRule::decode_encode : PathRule::normalize_encode;
  options.query = {Escapes::tolerant, Plus::space, "X-Amz-Signature"};
  options.selection = Selection::listed;
  options.listed = auth.signed_headers;
  // The payload hash stands in the canonical request as it was sent: upper-case digits are signed as such.
  const RequestView view{request.method, target.path, target.query, request.headers, auth.payload_hash};
  Text names;
  const Result<void> built = canonical_request(view, options, canonical, names);
  if (!built && built.error().code != Errc::signed_header_missing) return built;
  string_to_sign(algorithm, auth.timestamp, scope, canonical.view(), to_sign);
  return built;
}

Result<void> check_signature(const ReceivedRequest& request, const ParsedAuth& auth, const SigningKey& key,
                             Text& canonical, Text& to_sign) {
  const Result<void> built = string_to_verify(request, auth, kAlgorithm, auth.scope, canonical, to_sign);
  if (!built && built.error().code != Errc::signed_header_missing) return built;
  char expected[64];
  key.sign(to_sign.view(), expected);
  const bool equal = equal_constant_time(auth.signature, {expected, 64});
  secure_wipe(expected, sizeof expected);
  if (!built) return built;
  if (!equal || key.scope() != auth.scope) return Errc::signature_mismatch;
  return {};
}

}  // namespace s3accel
