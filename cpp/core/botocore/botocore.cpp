#include "s3accel/botocore.h"

#include "base/ascii.h"
#include "sigv4/authorization.h"

namespace s3accel::botocore {

namespace {

constexpr std::string_view kFormType = "application/x-www-form-urlencoded; charset=utf-8";

const HeaderView* find(std::span<const HeaderView> headers, std::string_view name) noexcept {
  for (const HeaderView& header : headers) {
    if (same_name(header.name, name)) return &header;
  }
  return nullptr;
}

void add(Header::Origin origin, std::string_view name, std::string_view value, Headers& out) {
  out.push_back({origin, 0, {name, value}});
}

void add_parameter(std::string_view name, std::string_view value, Text& out) {
  if (out.size() != 0) out.push('&');
  out.append(name);
  out.push('=');
  uri_encode(value, false, out);
}

using Views = SmallVector<HeaderView, 48>;

void views_of(const Headers& headers, Views& out) {
  for (const Header& header : headers) out.push_back(header.view);
}

HeaderOptions options_of(const Request& request) noexcept {
  return {Selection::others, HeaderRule::python, {}, request.skipped, request.host};
}

void sign_text(const SigningKey& key, std::string_view timestamp, HeaderSignature& out) {
  string_to_sign(kAlgorithm, timestamp, key.scope(), out.canonical.view(), out.to_sign);
  key.sign(out.to_sign.view(), out.signature);
}

}  // namespace

bool split_url(std::string_view url, UrlParts& out, Text& host) {
  if (!all_visible(url) || !cut_url(url, Fragment::cut, out)) return false;
  if ((out.scheme != "https" && out.scheme != "http") || out.host.empty() || !good_authority(out))
    return false;
  // is_valid_ipv6_endpoint_url() takes everything in brackets for a candidate; '%' begins a zone; a backslash
  // or the like in a host is for botocore to judge.
  if (out.host.find_first_of("[]%\\^`{|}<>\"") != url.npos) return false;
  write_host(out, host);
  return true;
}

bool path_is_normal(std::string_view path) {
  Text normal;
  return path.starts_with('/') &&
         canonical_path(path, PathRule::normalize_encode, Escapes::strict, normal).ok() &&
         normal.view() == path;
}

std::optional<std::string_view> decided_payload(std::span<const HeaderView> given, const Signing& signing) {
  if (signing.kind != Kind::generic) return std::nullopt;
  if (signing.unsigned_payload) return kUnsignedPayload;
  // A header that is there already says what the body is.
  const HeaderView* header = find(given, "x-amz-content-sha256");
  return header == nullptr ? std::nullopt : std::optional(header->value);
}

bool place_headers(std::span<const HeaderView> given, const Signing& signing, std::string_view payload,
                   Headers& out) {
  if (find(given, "date") != nullptr) return false;
  const bool with_token = signing.session_token.has_value() && !signing.session_token->empty();
  const bool express = signing.kind == Kind::express;
  const bool set_hash = signing.kind != Kind::generic || signing.unsigned_payload;
  const bool add_session = express && find(given, "x-amz-s3session-token") == nullptr;
  if (add_session && !signing.session_token.has_value()) return false;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const std::string_view name = given[i].name;
    const bool replaced = same_name(name, "authorization") || same_name(name, "x-amz-date") ||
                          ((with_token || express) && same_name(name, "x-amz-security-token")) ||
                          (set_hash && same_name(name, "x-amz-content-sha256"));
    if (!replaced) out.push_back({Header::Origin::given, i, given[i]});
  }
  add(Header::Origin::date, "X-Amz-Date", signing.timestamp, out);
  if (with_token && !express) {
    add(Header::Origin::security_token, "X-Amz-Security-Token", *signing.session_token, out);
  }
  if (set_hash) add(Header::Origin::content_sha256, "X-Amz-Content-SHA256", payload, out);
  if (add_session) add(Header::Origin::session_token, "x-amz-s3session-token", *signing.session_token, out);
  return true;
}

void place_presigned_headers(std::span<const HeaderView> given, Headers& out, bool& dropped) {
  const HeaderView* type = find(given, "content-type");
  // botocore's own for parameters in the body, which move into the URL.
  dropped = type != nullptr && type->value == kFormType;
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (!dropped || !same_name(given[i].name, "content-type")) {
      out.push_back({Header::Origin::given, i, given[i]});
    }
  }
}

bool canonical_request(const Request& request, const Headers& headers, Text& canonical,
                       Text& signed_headers) {
  Text method;
  for (char c : request.method) {
    if (static_cast<unsigned char>(c) >= 0x80) return false;
    method.push(c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c);
  }
  Views views;
  views_of(headers, views);
  CanonicalOptions options;
  options.path = PathRule::verbatim;
  options.query.rule = request.sort_query ? QueryRule::sorted : QueryRule::as_sent;
  options.headers = options_of(request);
  return s3accel::canonical_request({method.view(),
                                     request.path,
                                     request.query,
                                     {views.begin(), views.size()},
                                     request.payload_hash},
                                    options, canonical, signed_headers)
      .ok();
}

bool sign(const Request& request, const Headers& headers, std::string_view access_key_id,
          const SigningKey& key, std::string_view timestamp, HeaderSignature& out) {
  if (!canonical_request(request, headers, out.canonical, out.signed_headers)) return false;
  sign_text(key, timestamp, out);
  write_authorization(access_key_id, key.scope(), out.signed_headers.view(), {out.signature, 64},
                      out.authorization);
  return true;
}

bool presign(Request request, const Headers& headers, const Presigning& presigning, const SigningKey& key,
             HeaderSignature& out, Text& query) {
  // The names first: they are part of the query.
  Text ignored, names;
  Views views;
  views_of(headers, views);
  if (!write_header_block({views.begin(), views.size()}, options_of(request), ignored, names)) return false;
  Text credential;
  credential.append(presigning.access_key_id);
  credential.push('/');
  credential.append(key.scope());
  query.append(presigning.given_query);
  add_parameter("X-Amz-Algorithm", kAlgorithm, query);
  add_parameter("X-Amz-Credential", credential.view(), query);
  add_parameter("X-Amz-Date", presigning.timestamp, query);
  add_parameter("X-Amz-Expires", presigning.expires, query);
  add_parameter("X-Amz-SignedHeaders", names.view(), query);
  if (presigning.session_token) add_parameter(presigning.token_parameter, *presigning.session_token, query);
  request.query = query.view();
  if (!canonical_request(request, headers, out.canonical, out.signed_headers)) return false;
  sign_text(key, presigning.timestamp, out);
  return true;
}

}  // namespace s3accel::botocore
