// Presigned URLs: one at a time, and in batches that share everything but the path. Declared in presign.h.
#include <algorithm>
#include <array>
#include <charconv>

#include "s3accel/presign.h"
#include "s3accel/sha256.h"
#include "s3accel/signing_input.h"

namespace s3accel {

namespace {

// Writes "&name=value" with the value encoded.
void add(std::string_view name, std::string_view value, Text& out) {
  if (out.size() != 0) out.push('&');
  out.append(name);
  out.push('=');
  uri_encode(value, false, out);
}

struct Prepared {
  UrlParts parts;
  Text query;       // canonical, without the signature; it goes out like that
  Text after_path;  // the canonical request behind the path: query, headers, their names, the payload hash
};

// Checks the input and writes everything but the path.
Result<void> prepare(const TimedKey& key, std::string_view access_key_id, const PresignRequest& request,
                     Prepared& prepared, Text& signed_headers) {
  if (request.expires < 1 || request.expires > kMaxExpires) return Errc::bad_expires;
  if (!valid_credentials(access_key_id, request.session_token)) return Errc::bad_credentials;
  SigningInput input;
  if (auto r = read_signing_input(request.method, request.url, request.headers, request.payload_hash,
                                  Place::query, key.key().service(), Scheme::hmac, input);
      !r) {
    return r;
  }
  const UrlParts& parts = prepared.parts = input.url;

  // The names of the signed headers go into the query, so they are needed first.
  Text block;
  HeaderOptions options;
  options.selection = Selection::all;
  options.host = input.host.view();
  if (auto r =
          write_header_block({input.headers.begin(), input.headers.size()}, options, block, signed_headers);
      !r) {
    return r;
  }

  Text raw;
  raw.append(parts.query);
  while (raw.size() != 0 && raw.view().back() == '&') raw.truncate(raw.size() - 1);
  Text credential;
  credential.append(access_key_id);
  credential.push('/');
  credential.append(key.key().scope());
  std::array<char, 8> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), request.expires).ptr;
  add("X-Amz-Algorithm", kAlgorithm, raw);
  add("X-Amz-Credential", credential.view(), raw);
  add("X-Amz-Date", key.now().text(), raw);
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
  Text& rest = prepared.after_path;
  for (std::string_view part :
       {prepared.query.view(), block.view(), signed_headers.view(), input.payload_hash}) {
    rest.push('\n');
    rest.append(part);
  }
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

Result<void> presign(const TimedKey& key, std::string_view access_key_id, const PresignRequest& request,
                     HeaderSignature& stages, Text& out) {
  Prepared prepared;
  if (auto r = prepare(key, access_key_id, request, prepared, stages.signed_headers); !r) return r;
  const std::string_view path = prepared.parts.path.empty() ? std::string_view("/") : prepared.parts.path;
  stages.canonical.append(request.method);
  stages.canonical.push('\n');
  const PathRule rule = signing_path_rule(key.key().service());
  if (auto r = canonical_path(path, rule, Escapes::strict, stages.canonical); !r) return r;
  stages.canonical.append(prepared.after_path.view());
  std::uint8_t digest[kSha256Size];
  sha256(as_bytes(stages.canonical.view()), digest);
  key.sign(digest, stages.to_sign, stages.signature);

  out.append(request.url.substr(0, prepared.parts.path_offset));
  out.append(path);
  out.push('?');
  out.append(prepared.query.view());
  finish_url(request, stages.signature, out);
  return {};
}

Result<void> presign_prepare(const TimedKey& key, std::string_view access_key_id,
                             const PresignRequest& request, PresignTemplate& out) {
  Prepared prepared;
  Text names;
  if (!is_s3_service(key.key().service())) return {Errc::bad_scope, 2};
  if (auto r = prepare(key, access_key_id, request, prepared, names); !r) return r;
  const std::string_view path = prepared.parts.path.empty() ? std::string_view("/") : prepared.parts.path;
  out.method.append(request.method);
  out.head.append(request.url.substr(0, prepared.parts.path_offset));
  out.head.append(path);
  const PathRule rule = signing_path_rule(key.key().service());
  if (auto r = canonical_path(path, rule, Escapes::strict, out.path); !r) return r;
  out.query.append(prepared.query.view());
  out.tail.append(prepared.after_path.view());
  if (!request.session_token.empty() && !request.sign_token) return Errc::wrong_order;
  return {};
}

void presign_batch(const TimedKey& key, const PresignTemplate& shared, std::span<const std::string_view> keys,
                   Text& out, std::size_t* ends) {
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

  std::array<std::uint8_t, kPresignBatch * kSha256Size> macs;
  key.sign_many(digests.data(), n, macs.data());

  for (std::size_t i = 0; i < n; ++i) {
    out.append(shared.head.view());
    out.append(canonical.view(key_at[i], key_end[i] - key_at[i]));
    out.push('?');
    out.append(shared.query.view());
    out.append("&X-Amz-Signature=");
    hex_encode({macs.data() + i * kSha256Size, kSha256Size}, out.grow(64));
    ends[i] = out.size();
  }
}

}  // namespace s3accel
