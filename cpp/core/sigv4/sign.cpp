// Header signing: one request, and batches whose hashes run side by side. Declared in sigv4.h.
#include <algorithm>
#include <array>

#include "base/ascii.h"
#include "s3accel/sha256.h"
#include "s3accel/signing_input.h"
#include "s3accel/sigv4.h"
#include "s3accel/url.h"
#include "sigv4/authorization.h"

namespace s3accel {

namespace {

CanonicalOptions options_of(const TimedKey& key, const SignRequest& request) noexcept {
  CanonicalOptions options;
  options.path = signing_path_rule(key.key().service());
  options.query.plus = Plus::refuse;
  options.headers.selection = request.selection;
  return options;
}

// By address: equal texts at different places are only a missed chance.
bool same_view(std::string_view a, std::string_view b) noexcept {
  return a.data() == b.data() && a.size() == b.size();
}

// The request of a batch that was signed before this one: nearly always the next one differs in path and
// query only, and everything behind them is copied. Views into what the caller keeps.
struct Previous {
  const SignRequest* request = nullptr;
  UrlParts url;
  std::string_view headers;  // of its canonical request: all behind the query's line
  std::string_view signed_headers;

  // True if the next request has the same scheme, authority, headers and payload hash.
  bool shares_headers(const SignRequest& next) const noexcept {
    if (request == nullptr) return false;
    const std::string_view base = request->url.substr(0, url.path_offset);
    return next.url.starts_with(base) &&
           (next.url.size() == base.size() ||
            std::string_view("/?#").find(next.url[base.size()]) != base.npos) &&
           same_view(next.payload_hash, request->payload_hash) &&
           same_view(next.session_token, request->session_token) &&
           same_view(next.token_header, request->token_header) && next.selection == request->selection &&
           next.add_content_sha256 == request->add_content_sha256 &&
           std::equal(next.headers.begin(), next.headers.end(), request->headers.begin(),
                      request->headers.end(), [](const HeaderView& a, const HeaderView& b) {
                        return same_view(a.name, b.name) && same_view(a.value, b.value);
                      });
  }
};

// write_canonical for a request that shares its headers with the one before.
Result<void> write_canonical_like(const TimedKey& key, const SignRequest& request, const Previous& previous,
                                  HeaderSignature& out) {
  if (!valid_method(request.method)) return Errc::bad_method;
  UrlParts url = previous.url;
  if (!all_visible(request.url.substr(url.path_offset))) {
    Text ignored;
    return split_url(request.url, ignored).error();
  }
  cut_target(request.url, url.path_offset, Fragment::cut, url);
  if (auto r = check_escapes(url.path); !r) return {r.error().code, url.path_offset + r.error().offset};
  const RequestView view{request.method, url.path, url.query, {}, {}};
  if (auto r = canonical_start(view, options_of(key, request), out.canonical); !r) {
    return in_url(r.error(), url.query_offset);
  }
  out.canonical.append(previous.headers);
  out.signed_headers.append(previous.signed_headers);
  return {};
}

// The canonical request of one request, with what header signing adds to it.
Result<void> write_canonical(const TimedKey& key, std::string_view access_key_id, const SignRequest& request,
                             HeaderSignature& out, Previous* previous = nullptr) {
  if (previous != nullptr && previous->shares_headers(request)) {
    return write_canonical_like(key, request, *previous, out);
  }
  if (!valid_credentials(access_key_id, request.session_token)) return Errc::bad_credentials;
  SigningInput input;
  if (auto r = read_signing_input(request.method, request.url, request.headers, request.payload_hash,
                                  Place::headers, key.key().service(), Scheme::hmac, input);
      !r) {
    return r;
  }
  const UrlParts& url = input.url;
  auto& headers = input.headers;
  if (request.add_content_sha256) headers.push_back({"x-amz-content-sha256", request.payload_hash});
  headers.push_back({"x-amz-date", key.now().text()});
  if (!request.session_token.empty()) headers.push_back({request.token_header, request.session_token});

  const RequestView view{
      request.method, url.path, url.query, {headers.begin(), headers.size()}, request.payload_hash};
  CanonicalOptions options = options_of(key, request);
  options.headers.host = input.host.view();
  if (auto r = canonical_request(view, options, out.canonical, out.signed_headers); !r) {
    return in_url(r.error(), url.query_offset);
  }
  if (previous != nullptr) {
    // Method, path and query have no line breaks, so the headers begin behind the third.
    std::size_t at = 0;
    for (int line = 0; line < 3; ++line) at = out.canonical.view().find('\n', at) + 1;
    *previous = {&request, url, out.canonical.view().substr(at), out.signed_headers.view()};
  }
  return {};
}

}  // namespace

Result<void> sign_headers(const TimedKey& key, std::string_view access_key_id, const SignRequest& request,
                          HeaderSignature& out) {
  if (auto r = write_canonical(key, access_key_id, request, out); !r) return r;
  std::uint8_t digest[kSha256Size];
  sha256(as_bytes(out.canonical.view()), digest);
  key.sign(digest, out.to_sign, out.signature);
  write_authorization(access_key_id, key.key().scope(), out.signed_headers.view(), {out.signature, 64},
                      out.authorization);
  return {};
}

Result<void> sign_headers_batch(const TimedKey& key, std::string_view access_key_id,
                                std::span<const SignRequest> requests, HeaderSignature* out,
                                std::size_t& failed) {
  const std::size_t n = std::min(requests.size(), kSignBatch);
  std::array<Bytes, kSignBatch> spans;
  std::array<std::uint8_t, kSignBatch * kSha256Size> digests;
  Previous previous;
  for (failed = 0; failed < n; ++failed) {
    HeaderSignature& one = out[failed];
    one.clear();
    if (auto r = write_canonical(key, access_key_id, requests[failed], one, &previous); !r) return r;
    spans[failed] = as_bytes(one.canonical.view());
  }
  sha256_many({spans.data(), n}, digests.data());
  std::array<std::uint8_t, kSignBatch * kSha256Size> macs;
  key.sign_many(digests.data(), n, macs.data());
  for (std::size_t i = 0; i < n; ++i) {
    hex_encode({macs.data() + i * kSha256Size, kSha256Size}, out[i].signature);
    write_authorization(access_key_id, key.key().scope(), out[i].signed_headers.view(),
                        {out[i].signature, 64}, out[i].authorization);
  }
  return {};
}

}  // namespace s3accel
