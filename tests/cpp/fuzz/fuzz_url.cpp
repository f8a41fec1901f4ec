// split_url, and with it the whole way: what the signer signs, a verifier accepts if the path is written as
// S3 writes it. Input: a URL.
#include "../reference.h"
#include "fuzz.h"
#include "s3accel/presign.h"
#include "s3accel/verify.h"

using namespace s3accel;

std::vector<std::string> fuzz_seeds() {
  return {"https://b.s3.amazonaws.com/k%20?a=1&b",
          "http://[::1]:9000/b/k",
          "https://user:p@h:443/?x#f",
          "HTTPS://H",
          "https://h:99999/",
          "/p?u=http://h/x",
          "https://h/a%zz",
          "https://h?a+b",
          "https://h/%C3%A9~?X-Amz-Date=1"};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view url(reinterpret_cast<const char*>(data), size);
  Text host;
  const auto parts = split_url(url, host);
  if (!parts) {
    REQUIRE(parts.error().offset <= url.size());
    return 0;
  }
  const UrlParts& p = parts.value();
  REQUIRE(url.substr(p.path_offset, p.path.size()) == p.path);
  if (!p.query.empty())
    REQUIRE(url.substr(p.query_offset, p.query.size()) == p.query && url[p.query_offset - 1] == '?');
  REQUIRE(p.path.empty() || p.path[0] == '/');
  REQUIRE(p.path.find_first_of("?#") == p.path.npos && p.query.find('#') == p.query.npos);
  REQUIRE(!p.scheme.empty() && p.scheme.find_first_of("/?#:") == p.scheme.npos);
  REQUIRE(host.size() != 0);
  for (const char c : host.view())
    REQUIRE(c > ' ' && c < 0x7f &&
            std::string_view("@/?#ABCDEFGHIJKLMNOPQRSTUVWXYZ").find(c) == std::string_view::npos);

  static const SigningKey key = SigningKey::derive(reference::kSecret, "20260101", "us-east-1", "s3").value();
  const Timestamp now = Timestamp::parse("20260101T120000Z").value();
  const TimedKey timed(key, now);
  SignRequest request;
  request.method = "GET";
  request.url = url;
  request.payload_hash = kUnsignedPayload;
  HeaderSignature signature;
  const auto made = sign_headers(timed, reference::kKeyId, request, signature);
  if (!made) {
    REQUIRE(made.error().offset < url.size());
    REQUIRE(made.error().code == Errc::bad_percent_escape || made.error().code == Errc::raw_plus_in_query);
  }
  VerifyPolicy policy;
  policy.now = now.epoch();
  bool bad = false;
  const std::string path(p.path.empty() ? "/" : p.path);
  const bool canonical_path = fuzz::encode(fuzz::decode(path, false, bad), true) == path;
  const std::string target = p.query.empty() ? path : path + "?" + std::string(p.query);
  if (made && canonical_path && target.size() <= kMaxTargetLength) {
    const std::string authorization(signature.authorization.view());
    const HeaderView headers[] = {{"host", host.view()},
                                  {"x-amz-date", now.text()},
                                  {"x-amz-content-sha256", kUnsignedPayload},
                                  {"authorization", authorization}};
    const ReceivedRequest received{"GET", target, headers, {}};
    ParsedAuth auth;
    const auto formed = well_formed(received);
    if (!formed) {
      REQUIRE(formed.error().code == Errc::too_long);
      return 0;
    }
    const auto parsed = parse_auth(formed.value(), policy, auth);
    if (parsed) {
      REQUIRE(auth.deferred.code == Errc::ok);
      Text canonical, to_sign;
      REQUIRE(check_signature(formed.value(), auth, key, canonical, to_sign).ok());
    } else {
      // A query that looks like a presigned one, or names two tokens, or more than a server reads.
      REQUIRE(parsed.error().code == Errc::auth_two_mechanisms ||
              parsed.error().code == Errc::auth_malformed || parsed.error().code == Errc::too_long);
    }
  }

  PresignRequest wish;
  wish.method = "GET";
  wish.url = url;
  HeaderSignature stages;
  Text presigned;
  if (!presign(timed, reference::kKeyId, wish, stages, presigned)) return 0;
  Text host_again;
  const auto whole = split_url(presigned.view(), host_again);
  REQUIRE(whole.ok() && host_again.view() == host.view());
  const std::string target_presigned =
      std::string(whole.value().path) + "?" + std::string(whole.value().query);
  if (!canonical_path || target_presigned.size() > kMaxTargetLength) return 0;
  const HeaderView host_only[] = {{"host", host.view()}};
  const ReceivedRequest received{"GET", target_presigned, host_only, {}};
  ParsedAuth auth;
  const auto formed = well_formed(received);
  if (!formed) {
    REQUIRE(formed.error().code == Errc::too_long);
    return 0;
  }
  REQUIRE(parse_auth(formed.value(), policy, auth).ok());
  if (auth.payload_hash != kUnsignedPayload) return 0;  // the URL says a hash of its own
  Text canonical, to_sign;
  REQUIRE(check_signature(formed.value(), auth, key, canonical, to_sign).ok());
  return 0;
}
