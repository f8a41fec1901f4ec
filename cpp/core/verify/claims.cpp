// What a received request says about its own signature. Declared in verify.h.
#include <algorithm>
#include <string>

#include "base/ascii.h"
#include "s3accel/bytes.h"
#include "s3accel/presign.h"
#include "s3accel/signing_input.h"
#include "s3accel/small_vector.h"
#include "s3accel/verify.h"
#include "sigv4/authorization.h"

namespace s3accel {

namespace {

std::string_view algorithm_of(Scheme scheme) noexcept {
  return scheme == Scheme::hmac ? kAlgorithm : kEcdsaAlgorithm;
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

constexpr std::string_view kContentSha256[] = {"X-Amz-Content-Sha256", "x-amz-content-sha256"};
constexpr std::string_view kTokens[] = {"X-Amz-Security-Token", "X-Amz-S3session-Token"};

// The same for a parameter that has two names.
std::size_t parameters(std::string_view query, const std::string_view (&names)[2], std::string& out) {
  std::string second;
  const std::size_t first_found = query_value(query, names[0], out);
  const std::size_t second_found = query_value(query, names[1], second);
  if (first_found == 0 && second_found != 0) out = std::move(second);
  return first_found + second_found;
}

bool all_digits(std::string_view s) noexcept {
  return !s.empty() && std::all_of(s.begin(), s.end(), digit);
}

Result<void> take_credential(std::string_view text, const VerifyPolicy& policy, ParsedAuth& out) {
  out.credential = text;
  const auto cut = read_credential(text, policy.scheme == Scheme::hmac);
  if (!cut) return cut.error();
  const CredentialParts& parts = cut.value();
  out.access_key_id = parts.access_key_id;
  out.date = parts.date;
  out.region = parts.region;
  out.service = parts.service;
  out.scope = parts.scope;
  const auto fault = [&out](Errc code, std::string_view part) {
    out.detail = part;
    return code;
  };
  if (!valid_date(parts.date)) return fault(Errc::credential_bad_date, parts.date);
  if (parts.terminal != kTerminal) return fault(Errc::credential_wrong_terminal, parts.terminal);
  if (parts.service != policy.service) return fault(Errc::credential_wrong_service, parts.service);
  if (policy.scheme == Scheme::hmac &&
      (parts.region.empty() || (!policy.region.empty() && parts.region != policy.region))) {
    return fault(Errc::credential_wrong_region, parts.region);
  }
  return {};
}

Result<void> parse_header_auth(const WellFormedRequest& request, const HeaderView& authorization,
                               const VerifyPolicy& policy, ParsedAuth& out) {
  out.mechanism = Mechanism::header;
  if (repeated(request.headers, "authorization")) {
    out.detail = "Authorization";
    return Errc::auth_malformed;
  }
  std::string_view detail;
  const auto read = read_authorization(authorization.value, algorithm_of(policy.scheme), detail);
  if (!read) {
    out.detail = detail;
    return read.error();
  }
  out.signed_headers = read.value().signed_headers;
  out.signature = read.value().signature;
  if (auto r = take_credential(read.value().credential, policy, out); !r) return r;

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

Result<void> parse_query_auth(const WellFormedRequest& request, const VerifyPolicy& policy, ParsedAuth& out) {
  const std::string_view query = request.target.query;
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
  if (algorithm != algorithm_of(policy.scheme)) {
    out.detail = algorithm.substr(0, 64);
    return Errc::auth_unknown_type;
  }
  if (auto r = take_credential(credential, policy, out); !r) return r;
  const auto stamp = Timestamp::parse(date);
  if (!stamp) return Errc::date_missing;
  out.timestamp = stamp.value().text();
  if (stamp.value().date() != out.date) return Errc::credential_date_mismatch;

  const bool negative = !expires.empty() && expires[0] == '-';
  if (!all_digits(std::string_view(expires).substr(negative ? 1 : 0))) return Errc::expires_not_a_number;
  if (negative) return Errc::expires_negative;
  for (char c : expires) {
    out.expires = out.expires * 10 + (c - '0');
    if (out.expires > kMaxExpires) return Errc::expires_too_large;
  }
  if (policy.now > stamp.value().epoch() + out.expires) return Errc::request_expired;
  // A presigned request may start late by its own rule, but not early by more than clocks may differ.
  if (policy.now + policy.max_skew < stamp.value().epoch()) return Errc::request_not_yet_valid;
  return {};
}

// SigV4a: where the signature shall be valid. One text, or another layer could read the other one.
Result<void> take_region_set(const WellFormedRequest& request, ParsedAuth& out) {
  bool one;
  if (out.mechanism == Mechanism::query) {
    one = query_value(request.target.query, "X-Amz-Region-Set", out.region_set) == 1;
  } else {
    const HeaderView* set = find_header(request.headers, "x-amz-region-set");
    one = set != nullptr && !repeated(request.headers, "x-amz-region-set");
    if (one) out.region_set = trim(set->value);
  }
  if (!one || out.region_set.empty() || out.region_set.size() > kMaxRegionSet)
    return Errc::region_set_malformed;
  return {};
}

// One token, or another layer could believe the other one.
Result<void> take_token(const WellFormedRequest& request, ParsedAuth& out) {
  std::size_t found = parameters(request.target.query, kTokens, out.session_token);
  for (const HeaderView& header : request.headers) {
    if (!same_name(header.name, "x-amz-security-token") && !same_name(header.name, "x-amz-s3session-token"))
      continue;
    if (++found == 1) out.session_token = trim(header.value);
  }
  if (found <= 1) return {};
  out.detail = "X-Amz-Security-Token";
  return Errc::auth_malformed;
}

// Steps 5 and 6. Their faults are deferred, so this returns nothing.
void judge_headers(const WellFormedRequest& request, ParsedAuth& out) {
  const HeaderView* sha = find_header(request.headers, "x-amz-content-sha256");
  const bool s3 = is_s3_service(out.service);
  const SignedNames names(out.signed_headers);
  std::string text;
  if (sha != nullptr && (out.mechanism == Mechanism::header || names.contains(sha->name))) {
    out.payload_hash = trim(sha->value);
  } else if (const std::size_t found = parameters(request.target.query, kContentSha256, text);
             out.mechanism == Mechanism::query && found != 0) {
    // Two would be covered by the signature in any order.
    out.payload_hash = found == 1 ? text : "more than one";
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
    // For S3 the canonical request ends in the value of x-amz-content-sha256, signed or not. Elsewhere it
    // ends in the body's hash, and a header that came later must not stand for it.
    if (name_starts_with(header.name, "x-amz-") && !names.contains(header.name) &&
        !(s3 && same_name(header.name, "x-amz-content-sha256"))) {
      miss(header.name);
    }
  }
  if (!missing.empty()) {
    out.detail = missing;
    out.deferred = {Errc::header_not_signed, 0};
  }
}

}  // namespace

Result<WellFormedRequest> well_formed(const ReceivedRequest& request) noexcept {
  std::size_t bytes = 0;
  std::string_view host;
  for (const HeaderView& header : request.headers) {
    bytes += header.name.size() + header.value.size();
    if (host.empty() && same_name(header.name, "host")) host = header.value;
  }
  if (request.target.size() > kMaxTargetLength || request.headers.size() > kMaxHeaders ||
      bytes > kMaxHeaderBytes) {
    return Errc::too_long;
  }
  // The method stands in the canonical request as it came; a line break in it would make lines of its own.
  if (!valid_method(request.method)) return Errc::bad_method;
  const auto target = split_target(request.target, host);
  if (!target) return target.error();
  const std::string_view query = target.value().query;
  if (static_cast<std::size_t>(std::count(query.begin(), query.end(), '&')) >= kMaxQueryParameters) {
    return Errc::too_long;
  }
  return WellFormedRequest{request.method, target.value(), request.headers, request.body_hash};
}

Result<void> parse_auth(const WellFormedRequest& request, const VerifyPolicy& policy, ParsedAuth& out) {
  out.scheme = policy.scheme;
  const std::string_view query = request.target.query;
  const HeaderView* authorization = find_header(request.headers, "authorization");
  std::string ignored;
  bool in_query = false;
  for (std::string_view name : {"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"}) {
    in_query = in_query || query_value(query, name, ignored) != 0;
  }
  if (authorization != nullptr && in_query) return Errc::auth_two_mechanisms;
  Result<void> result;
  if (authorization != nullptr) {
    result = parse_header_auth(request, *authorization, policy, out);
  } else if (in_query) {
    result = parse_query_auth(request, policy, out);
  } else if (query_value(query, "AWSAccessKeyId", ignored) != 0) {
    return Errc::auth_unsupported_v2;
  } else {
    return Errc::auth_missing;
  }
  if (!result) return result;
  if (policy.scheme == Scheme::ecdsa) {
    if (auto r = take_region_set(request, out); !r) return r;
  }
  if (static_cast<std::size_t>(std::count(out.signed_headers.begin(), out.signed_headers.end(), ';')) >=
          kMaxSignedHeaders ||
      out.signed_headers.size() > kMaxSignedHeadersLength) {
    return Errc::too_long;
  }

  if (auto r = take_token(request, out); !r) return r;
  judge_headers(request, out);
  return {};
}

}  // namespace s3accel
