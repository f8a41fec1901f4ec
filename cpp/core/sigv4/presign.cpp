// Presigned URLs: one at a time, and in batches that share everything but the path. Declared in sigv4.h.
#include <algorithm>
#include <array>
#include <charconv>

#include "s3accel/sha256.h"
#include "s3accel/sigv4.h"
#include "s3accel/small_vector.h"
#include "sigv4/signing_input.h"

namespace s3accel {

namespace {

constexpr std::string_view kParameters[] = {
    "X-Amz-Algorithm",       "X-Amz-Credential",    "X-Amz-Date",
    "X-Amz-Expires",         "X-Amz-SignedHeaders", "X-Amz-Security-Token",
    "X-Amz-S3session-Token", "X-Amz-Signature",     "X-Amz-Region-Set",
};

// Writes "&name=value" with the value encoded.
void add(std::string_view name, std::string_view value, Text& out) {
  if (out.size() != 0) out.push('&');
  out.append(name);
  out.push('=');
  uri_encode(value, false, out);
}

// A parameter of the signature that stands in the URL already would be signed twice with two values.
Result<void> refuse_own_parameters(std::string_view query, std::size_t offset) {
  for (std::size_t i = 0; i <= query.size();) {
    const std::size_t end = std::min(query.find('&', i), query.size());
    const std::string_view segment = query.substr(i, end - i);
    // The canonical form decodes "X%2DAmz-Date" to "X-Amz-Date", so the name is compared in that form.
    Text name;
    QueryOptions tolerant;
    tolerant.escapes = Escapes::tolerant;
    const std::string_view raw = segment.substr(0, std::min(segment.find('='), segment.size()));
    if (auto r = canonical_query(raw, tolerant, name); !r) return r;
    for (std::string_view own : kParameters) {
      if (name.size() == own.size() + 1 && name.view().substr(0, own.size()) == own) {
        return {Errc::reserved_header, offset + i};
      }
    }
    i = end + 1;
  }
  return {};
}

struct Prepared {
  UrlParts parts;
  Text query;       // canonical, without the signature; it goes out like that
  Text after_path;  // the canonical request behind the path: query, headers, their names, the payload hash
};

// Checks the input and writes everything but the path.
Result<void> prepare(const Moment& moment, std::string_view access_key_id, const PresignRequest& request,
                     Prepared& prepared, Text& signed_headers) {
  if (!valid_method(request.method)) return Errc::bad_method;
  if (request.expires < 1 || request.expires > kMaxExpires) return Errc::bad_expires;
  if (!valid_payload_hash(request.payload_hash)) return Errc::bad_payload_hash;
  if (!valid_credentials(access_key_id, request.session_token)) return Errc::bad_credentials;
  // An unencoded '#' is nearly always part of a key that was not encoded: the URL would name another object.
  if (const std::size_t hash = request.url.find('#'); hash != request.url.npos) return {Errc::bad_url, hash};
  Text host;
  auto url = split_url(request.url, host);
  if (!url) return url.error();
  prepared.parts = url.value();
  const UrlParts& parts = prepared.parts;
  if (auto r = refuse_own_parameters(parts.query, parts.query_offset); !r) return r;
  SmallVector<HeaderView, 48> headers;
  if (auto r = take_headers(request.headers, host.view(), true, headers); !r) return r;

  // The names of the signed headers go into the query, so they are needed first. The same builder as
  // everywhere writes them; what it writes behind the query is used, the rest cut off.
  Text whole;
  const RequestView without_url{
      request.method, "/", {}, {headers.begin(), headers.size()}, request.payload_hash};
  CanonicalOptions options;
  options.selection = Selection::all;
  if (auto r = canonical_request(without_url, options, whole, signed_headers); !r) return r;

  Text raw;
  raw.append(parts.query);
  while (raw.size() != 0 && raw.view().back() == '&') raw.truncate(raw.size() - 1);
  Text credential;
  credential.append(access_key_id);
  credential.push('/');
  credential.append(moment.key().scope());
  std::array<char, 8> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), request.expires).ptr;
  add("X-Amz-Algorithm", kAlgorithm, raw);
  add("X-Amz-Credential", credential.view(), raw);
  add("X-Amz-Date", moment.now().text(), raw);
  add("X-Amz-Expires", {digits.data(), static_cast<std::size_t>(end - digits.data())}, raw);
  if (!request.session_token.empty() && request.sign_token) {
    add(request.token_parameter, request.session_token, raw);
  }
  add("X-Amz-SignedHeaders", signed_headers.view(), raw);
  QueryOptions query_options;
  query_options.plus = Plus::refuse;
  if (auto r = canonical_query(raw.view(), query_options, prepared.query); !r) {
    return in_url(r.error(), parts.query_offset);
  }
  prepared.after_path.push('\n');
  prepared.after_path.append(prepared.query.view());
  const std::size_t skip = request.method.size() + 1 + 1 + 1;  // METHOD LF / LF
  prepared.after_path.append(whole.view().substr(skip));  // begins with the LF that ends the query's line
  return {};
}

void finish_url(const PresignRequest& request, const char signature[64], Text& out) {
  out.append("&X-Amz-Signature=");
  out.append({signature, 64});
  if (!request.session_token.empty() && !request.sign_token) {
    out.push('&');
    out.append(request.token_parameter);
    out.push('=');
    uri_encode(request.session_token, false, out);
  }
}

}  // namespace

Result<void> presign(const Moment& moment, std::string_view access_key_id, const PresignRequest& request,
                     HeaderSignature& stages, Text& out) {
  Prepared prepared;
  if (auto r = prepare(moment, access_key_id, request, prepared, stages.signed_headers); !r) return r;
  const std::string_view path = prepared.parts.path.empty() ? std::string_view("/") : prepared.parts.path;
  stages.canonical.append(request.method);
  stages.canonical.push('\n');
  const PathRule rule = signing_path_rule(moment.key().service());
  if (auto r = canonical_path(path, rule, Escapes::strict, stages.canonical); !r) return r;
  stages.canonical.append(prepared.after_path.view());
  std::uint8_t digest[kSha256Size];
  sha256(as_bytes(stages.canonical.view()), digest);
  moment.string_to_sign(digest, stages.to_sign);
  moment.sign(stages.to_sign.view(), stages.signature);

  out.append(request.url.substr(0, prepared.parts.path_offset));
  out.append(path);
  out.push('?');
  out.append(prepared.query.view());
  finish_url(request, stages.signature, out);
  return {};
}

Result<void> presign_prepare(const Moment& moment, std::string_view access_key_id,
                             const PresignRequest& request, PresignTemplate& out) {
  Prepared prepared;
  Text names;
  if (!is_s3_service(moment.key().service())) return {Errc::bad_scope, 2};
  if (auto r = prepare(moment, access_key_id, request, prepared, names); !r) return r;
  const std::string_view path = prepared.parts.path.empty() ? std::string_view("/") : prepared.parts.path;
  out.method.append(request.method);
  out.head.append(request.url.substr(0, prepared.parts.path_offset));
  out.head.append(path);
  const PathRule rule = signing_path_rule(moment.key().service());
  if (auto r = canonical_path(path, rule, Escapes::strict, out.path); !r) return r;
  out.query.append(prepared.query.view());
  out.tail.append(prepared.after_path.view());
  if (!request.session_token.empty() && !request.sign_token) return Errc::wrong_order;
  return {};
}

void presign_batch(const Moment& moment, const PresignTemplate& shared,
                   std::span<const std::string_view> keys, Text& out, std::size_t* ends) {
  const std::size_t n = std::min(keys.size(), kPresignBatch);
  // All canonical requests one behind the other, then all strings to sign: the hashes of each step are
  // independent of each other and run in lanes.
  Text canonical;
  std::array<std::size_t, kPresignBatch + 1> at{};
  std::array<std::size_t, kPresignBatch> key_at{}, key_end{};
  for (std::size_t i = 0; i < n; ++i) {
    at[i] = canonical.size();
    canonical.append(shared.method.view());
    canonical.push('\n');
    canonical.append(shared.path.view());
    key_at[i] = canonical.size();
    uri_encode(keys[i], true, canonical);
    key_end[i] = canonical.size();
    canonical.append(shared.tail.view());
  }
  at[n] = canonical.size();
  std::array<Bytes, kPresignBatch> spans;
  std::array<std::uint8_t, kPresignBatch * kSha256Size> digests;
  for (std::size_t i = 0; i < n; ++i) spans[i] = as_bytes(canonical.view(at[i], at[i + 1] - at[i]));
  sha256_many({spans.data(), n}, digests.data());

  Text strings;
  for (std::size_t i = 0; i < n; ++i) moment.string_to_sign(digests.data() + i * kSha256Size, strings);
  const std::size_t size = n == 0 ? 0 : strings.size() / n;
  for (std::size_t i = 0; i < n; ++i) spans[i] = as_bytes(strings.view(i * size, size));
  moment.sign_many({spans.data(), n}, digests.data());

  for (std::size_t i = 0; i < n; ++i) {
    out.append(shared.head.view());
    out.append(canonical.view(key_at[i], key_end[i] - key_at[i]));
    out.push('?');
    out.append(shared.query.view());
    out.append("&X-Amz-Signature=");
    hex_encode({digests.data() + i * kSha256Size, kSha256Size}, out.grow(64));
    ends[i] = out.size();
  }
}

}  // namespace s3accel
