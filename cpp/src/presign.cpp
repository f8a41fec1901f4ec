// Presigned URLs: one at a time, and in batches that share everything but the path. Declared in sigv4.h.
#include <algorithm>
#include <array>
#include <charconv>

#include "s3accel/sha256.h"
#include "s3accel/sigv4.h"
#include "signing_input.h"
#include "small_vector.h"

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
  Text host;
  SmallVector<HeaderView, 48> headers;
};

// Checks the input and writes the query without the signature to `query`, canonical; it goes out like that.
Result<void> prepare(const SigningKey& key, std::string_view access_key_id, const Timestamp& now,
                     const PresignRequest& request, Prepared& prepared, Text& signed_headers, Text& query) {
  if (!valid_method(request.method)) return Errc::bad_method;
  if (request.expires < 1 || request.expires > kMaxExpires) return Errc::bad_expires;
  if (!valid_payload_hash(request.payload_hash)) return Errc::bad_payload_hash;
  if (!valid_credentials(access_key_id, request.session_token)) return Errc::bad_credentials;
  // An unencoded '#' is nearly always part of a key that was not encoded: the URL would name another object.
  if (const std::size_t hash = request.url.find('#'); hash != request.url.npos) return {Errc::bad_url, hash};
  auto url = split_url(request.url, prepared.host);
  if (!url) return url.error();
  prepared.parts = url.value();
  const UrlParts& parts = prepared.parts;
  if (auto r = refuse_own_parameters(parts.query, parts.query_offset); !r) return r;
  if (auto r = take_headers(request.headers, prepared.host.view(), true, prepared.headers); !r) return r;

  // The names of the signed headers go into the query, so they are needed first: the sorted list comes from
  // a canonical request that is thrown away. It is short: there is no query in it yet.
  Text scratch;
  const RequestView names_only{
      request.method, "/", {}, {prepared.headers.begin(), prepared.headers.size()}, request.payload_hash};
  CanonicalOptions options;
  options.selection = Selection::all;
  if (auto r = canonical_request(names_only, options, scratch, signed_headers); !r) return r;

  Text raw;
  raw.append(parts.query);
  while (raw.size() != 0 && raw.view().back() == '&') raw.truncate(raw.size() - 1);
  Text credential;
  credential.append(access_key_id);
  credential.push('/');
  credential.append(key.scope());
  std::array<char, 8> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), request.expires).ptr;
  add("X-Amz-Algorithm", kAlgorithm, raw);
  add("X-Amz-Credential", credential.view(), raw);
  add("X-Amz-Date", now.text(), raw);
  add("X-Amz-Expires", {digits.data(), static_cast<std::size_t>(end - digits.data())}, raw);
  if (!request.session_token.empty() && request.sign_token) {
    add(request.token_parameter, request.session_token, raw);
  }
  add("X-Amz-SignedHeaders", signed_headers.view(), raw);
  QueryOptions query_options;
  query_options.plus = Plus::refuse;
  if (auto r = canonical_query(raw.view(), query_options, query); !r)
    return in_url(r.error(), parts.query_offset);
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

// What follows the path in the canonical request: query, headers, their names, the payload hash.
Result<void> append_after_path(const PresignRequest& request, const Prepared& prepared,
                               std::string_view query, Text& out) {
  // The same builder as everywhere writes it; the method and path before it are cut off.
  Text whole, names;
  const RequestView view{
      request.method, "/", {}, {prepared.headers.begin(), prepared.headers.size()}, request.payload_hash};
  CanonicalOptions options;
  options.selection = Selection::all;
  if (auto r = canonical_request(view, options, whole, names); !r) return r;
  const std::string_view text = whole.view();
  const std::size_t skip = request.method.size() + 1 + 1 + 1;  // METHOD LF / LF
  out.push('\n');
  out.append(query);
  out.append(text.substr(skip));  // begins with the LF that ends the query's line
  return {};
}

}  // namespace

Result<void> presign(const SigningKey& key, std::string_view access_key_id, const Timestamp& now,
                     const PresignRequest& request, HeaderSignature& stages, Text& out) {
  Prepared prepared;
  Text query;
  if (auto r = prepare(key, access_key_id, now, request, prepared, stages.signed_headers, query); !r)
    return r;
  const std::string_view path = prepared.parts.path.empty() ? std::string_view("/") : prepared.parts.path;
  stages.canonical.append(request.method);
  stages.canonical.push('\n');
  if (auto r = canonical_path(path, signing_path_rule(key.service()), Escapes::strict, stages.canonical);
      !r) {
    return r;
  }
  if (auto r = append_after_path(request, prepared, query.view(), stages.canonical); !r) return r;
  string_to_sign(kAlgorithm, now.text(), key.scope(), stages.canonical.view(), stages.to_sign);
  key.sign(stages.to_sign.view(), stages.signature);

  out.append(request.url.substr(0, prepared.parts.path_offset));
  out.append(path);
  out.push('?');
  out.append(query.view());
  finish_url(request, stages.signature, out);
  return {};
}

Result<void> presign_prepare(const SigningKey& key, std::string_view access_key_id, const Timestamp& now,
                             const PresignRequest& request, PresignTemplate& out) {
  Prepared prepared;
  Text names;
  if (!is_s3_service(key.service())) return {Errc::bad_scope, 2};
  if (auto r = prepare(key, access_key_id, now, request, prepared, names, out.query); !r) return r;
  const std::string_view path = prepared.parts.path.empty() ? std::string_view("/") : prepared.parts.path;
  out.method.append(request.method);
  out.head.append(request.url.substr(0, prepared.parts.path_offset));
  out.path_at = out.head.size();
  out.head.append(path);
  if (auto r = append_after_path(request, prepared, out.query.view(), out.tail); !r) return r;
  out.to_sign.append(kAlgorithm);
  out.to_sign.push('\n');
  out.to_sign.append(now.text());
  out.to_sign.push('\n');
  out.to_sign.append(key.scope());
  out.to_sign.push('\n');
  if (!request.session_token.empty() && !request.sign_token) return Errc::wrong_order;
  return {};
}

void presign_batch(const SigningKey& key, const PresignTemplate& shared,
                   std::span<const std::string_view> keys, Text& out, std::size_t* ends) {
  const std::size_t n = std::min(keys.size(), kPresignBatch);
  // All canonical requests one behind the other, then all strings to sign: the hashes of each step are
  // independent of each other and run in lanes.
  Text canonical;
  std::array<std::size_t, kPresignBatch + 1> at{};
  std::array<std::size_t, kPresignBatch> path_end{};
  for (std::size_t i = 0; i < n; ++i) {
    at[i] = canonical.size();
    canonical.append(shared.method.view());
    canonical.push('\n');
    canonical.append(shared.head.view().substr(shared.path_at));
    uri_encode(keys[i], true, canonical);
    path_end[i] = canonical.size();
    canonical.append(shared.tail.view());
  }
  at[n] = canonical.size();
  std::array<Bytes, kPresignBatch> spans;
  std::array<std::uint8_t, kPresignBatch * kSha256Size> digests;
  for (std::size_t i = 0; i < n; ++i) spans[i] = as_bytes(canonical.view(at[i], at[i + 1] - at[i]));
  sha256_many({spans.data(), n}, digests.data());

  Text strings;
  const std::size_t size = shared.to_sign.size() + 64;
  for (std::size_t i = 0; i < n; ++i) {
    strings.append(shared.to_sign.view());
    hex_encode({digests.data() + i * kSha256Size, kSha256Size}, strings.grow(64));
  }
  for (std::size_t i = 0; i < n; ++i) spans[i] = as_bytes(strings.view(i * size, size));
  key.hmac().sign_many({spans.data(), n}, digests.data());

  for (std::size_t i = 0; i < n; ++i) {
    out.append(shared.head.view().substr(0, shared.path_at));
    const std::size_t path = at[i] + shared.method.size() + 1;
    out.append(canonical.view(path, path_end[i] - path));
    out.push('?');
    out.append(shared.query.view());
    out.append("&X-Amz-Signature=");
    hex_encode({digests.data() + i * kSha256Size, kSha256Size}, out.grow(64));
    ends[i] = out.size();
  }
}

}  // namespace s3accel
