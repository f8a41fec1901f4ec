// Every code of error.h comes out of the core for some input, with the offset its function's comment
// promises.
#include "s3accel/error.h"

#include <set>
#include <string>
#include <vector>

#include "minitest.h"
#include "reference.h"
#include "s3accel/chunk_decoder.h"
#include "s3accel/chunked.h"
#include "s3accel/presign.h"
#include "s3accel/verify.h"

using namespace s3accel;
using Headers = std::vector<HeaderView>;

namespace {

const SigningKey& key() {
  static const SigningKey instance =
      SigningKey::derive(reference::kSecret, "20130524", "us-east-1", "s3").value();
  return instance;
}

Error sign(std::string_view method, std::string_view url, std::string_view hash = "UNSIGNED-PAYLOAD",
           const Headers& headers = {}) {
  SignRequest request;
  request.method = method;
  request.url = url;
  request.headers = headers;
  request.payload_hash = hash;
  HeaderSignature out;
  return sign_headers(TimedKey(key(), Timestamp::from_epoch(0)), "AKID", request, out).error();
}

Error bad_key_id() {
  SignRequest request;
  request.method = "GET";
  request.url = "https://h/k";
  request.payload_hash = "UNSIGNED-PAYLOAD";
  HeaderSignature out;
  return sign_headers(TimedKey(key(), Timestamp::from_epoch(0)), "AKID\r\nX-Evil: 1", request, out).error();
}

Error presigned(std::int64_t expires, std::string_view url = "https://h/k", const Headers& headers = {}) {
  PresignRequest request;
  request.method = "GET";
  request.url = url;
  request.headers = headers;
  request.expires = expires;
  HeaderSignature stages;
  Text out;
  return presign(TimedKey(key(), Timestamp::from_epoch(0)), "AKID", request, stages, out).error();
}

Error encoder(std::size_t chunk_size, std::string_view trailer, std::string_view seed) {
  ChunkLayout layout;
  layout.chunk_size = chunk_size;
  layout.trailer_name = trailer;
  return ChunkEncoder::create(layout, &key(), "20130524T000000Z", seed, ChunkEncoder::Checksum::none).error();
}

Error parse(std::string_view target, const Headers& headers, Scheme scheme = Scheme::hmac) {
  VerifyPolicy policy;
  policy.region = "us-east-1";
  policy.now = 1369353600;  // 20130524T000000Z
  ParsedAuth auth;
  policy.scheme = scheme;
  const auto formed = well_formed({"GET", target, headers, {}});
  if (!formed) return formed.error();
  const auto r = parse_auth(formed.value(), policy, auth);
  return r ? auth.deferred : r.error();
}

// An Authorization header with this Credential, and x-amz-date.
Error credential(std::string_view text, std::string_view date = "20130524T000000Z", const Headers& more = {},
                 std::string_view names = "host;x-amz-date") {
  const std::string authorization = "AWS4-HMAC-SHA256 Credential=" + std::string(text) +
                                    ",SignedHeaders=" + std::string(names) + ",Signature=x";
  Headers headers = {{"authorization", authorization}, {"host", "h"}};
  if (!date.empty()) headers.push_back({"x-amz-date", date});
  headers.insert(headers.end(), more.begin(), more.end());
  return parse("/", headers);
}

Error query(std::string_view date, std::string_view expires, std::string_view day = "20130524") {
  const std::string target =
      "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A/" + std::string(day) +
      "/us-east-1/s3/aws4_request&X-Amz-SignedHeaders=host&X-Amz-Signature=x&X-Amz-Date=" +
      std::string(date) + "&X-Amz-Expires=" + std::string(expires);
  return parse(target, {{"host", "h"}});
}

Error check(const Headers& headers, std::string_view names) {
  ParsedAuth auth;
  auth.service = "s3";
  auth.timestamp = "20130524T000000Z";
  auth.scope = key().scope();
  auth.signed_headers = names;
  auth.payload_hash = "UNSIGNED-PAYLOAD";
  Text canonical, to_sign;
  return check_signature(well_formed({"GET", "/", headers, {}}).value(), auth, key(), canonical, to_sign)
      .error();
}

Error decode(bool with_signatures, bool trailer, std::uint64_t length, const std::string& body) {
  ChunkDecoder::Config config;
  config.with_signatures = with_signatures;
  config.trailer_mode = trailer;
  config.decoded_length = length;
  if (trailer) config.trailer_name = "x-amz-checksum-crc32";
  config.timestamp = "20130524T000000Z";
  config.seed_signature = std::string(64, '5');
  ChunkDecoder decoder(config, with_signatures ? &key() : nullptr);
  std::string out(body.size(), '\0');
  if (auto r = decoder.feed(as_bytes(body), reinterpret_cast<std::uint8_t*>(out.data())); !r)
    return r.error();
  return decoder.finish().error();
}

struct Case {
  Errc code;
  std::size_t offset;
  Error error;
};

std::vector<Case> cases() {
  const std::string scope = "A/20130524/us-east-1/s3/aws4_request", date = "20130524T000000Z";
  const std::string url = "https://h/k", seed(64, '5'), zeros(64, '0');
  reference::Stream s;
  s.trailer_mode = true;
  const std::string end = "0;chunk-signature=" + s.chunk_signature(s.seed, "") + "\r\n";
  const std::string trailer =
      "x-amz-checksum-crc32:AAAAAA==\r\nx-amz-trailer-signature:" + zeros + "\r\n\r\n";
  return {
      {Errc::ok, 0, sign("GET", url)},
      {Errc::bad_method, 0, sign("get", url)},
      {Errc::bad_url, 11, sign("GET", "https://h/k ")},
      {Errc::bad_percent_escape, 14, sign("GET", "https://h/k?a=%")},
      {Errc::raw_plus_in_query, 14, sign("GET", "https://h/k?a=+")},
      {Errc::bad_header_name, 1, sign("GET", url, "UNSIGNED-PAYLOAD", {{"a", "b"}, {"a b", "c"}})},
      {Errc::bad_header_value, 1, sign("GET", url, "UNSIGNED-PAYLOAD", {{"a", "b"}, {"b", "c\n"}})},
      {Errc::reserved_header, 1, sign("GET", url, "UNSIGNED-PAYLOAD", {{"a", "b"}, {"X-Amz-Date", "c"}})},
      {Errc::missing_host, 8, sign("GET", "https:///k")},
      {Errc::bad_timestamp, 0, Timestamp::parse("2013").error()},
      {Errc::bad_timestamp, 9, Timestamp::parse("20130524T250000Z").error()},
      {Errc::bad_payload_hash, 0, sign("GET", url, "hash")},
      {Errc::bad_credentials, 0, bad_key_id()},
      {Errc::payload_conflict, 1,
       presigned(
           60, url,
           {{"x-amz-content-sha256", "UNSIGNED-PAYLOAD"}, {"X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"}})},
      {Errc::fragment_in_url, 11, presigned(60, "https://h/k#x")},
      {Errc::region_set_malformed, 0,
       parse(
           "/",
           {{"authorization",
             "AWS4-ECDSA-P256-SHA256 Credential=A/20130524/s3/aws4_request, SignedHeaders=host, Signature=x"},
            {"host", "h"},
            {"x-amz-date", date}},
           Scheme::ecdsa)},
      {Errc::bad_scope, 1, SigningKey::derive("s", "20130524", "a/b", "s3").error()},
      {Errc::bad_secret, 0, SigningKey::derive("", "20130524", "r", "s3").error()},
      {Errc::bad_key, 0, SigningKey::restore({}, "20130524", "r", "s3").error()},
      {Errc::bad_chunk_size, 0, encoder(8191, "", seed)},
      {Errc::bad_trailer, 0, encoder(8192, "x-amz-checksum-crc32", seed)},
      {Errc::bad_expires, 0, presigned(0)},
      {Errc::wrong_order, 0, encoder(8192, "", "")},
      {Errc::too_long, 0, parse("/" + std::string(kMaxTargetLength, 'a'), {})},
      {Errc::bad_target, 0, parse("k", {})},
      {Errc::auth_missing, 0, parse("/", {})},
      {Errc::auth_unsupported_v2, 0, parse("/", {{"authorization", "AWS A:b"}})},
      {Errc::auth_two_mechanisms, 0, parse("/?X-Amz-Algorithm", {{"authorization", "AWS4-HMAC-SHA256 x"}})},
      {Errc::auth_unknown_type, 0, parse("/", {{"authorization", "Basic x"}})},
      {Errc::auth_malformed, 0, parse("/", {{"authorization", "AWS4-HMAC-SHA256 x"}})},
      {Errc::credential_malformed, 0, credential("A/20130524/us-east-1/s3")},
      {Errc::credential_bad_date, 0, credential("A/20130532/us-east-1/s3/aws4_request")},
      {Errc::credential_wrong_terminal, 0, credential("A/20130524/us-east-1/s3/aws5_request")},
      {Errc::credential_wrong_service, 0, credential("A/20130524/us-east-1/iam/aws4_request")},
      {Errc::credential_wrong_region, 0, credential("A/20130524/us-east-2/s3/aws4_request")},
      {Errc::credential_date_mismatch, 0, credential("A/20130523/us-east-1/s3/aws4_request")},
      {Errc::date_missing, 0, credential(scope, "")},
      {Errc::expires_not_a_number, 0, query(date, "x")},
      {Errc::expires_negative, 0, query(date, "-1")},
      {Errc::expires_too_large, 0, query(date, "604801")},
      {Errc::time_skewed, 0, credential(scope, "20130524T001501Z")},
      {Errc::request_expired, 0, query("20130523T235859Z", "60", "20130523")},
      {Errc::request_not_yet_valid, 0, query("20130524T001501Z", "60")},
      {Errc::header_not_signed, 0,
       credential(scope, date, {{"x-amz-content-sha256", "UNSIGNED-PAYLOAD"}, {"x-amz-acl", "private"}})},
      {Errc::signed_header_missing, 5, check({{"host", "h"}}, "host;range")},
      {Errc::content_sha256_missing, 0, credential(scope)},
      {Errc::content_sha256_invalid, 0, credential(scope, date, {{"x-amz-content-sha256", "x"}})},
      {Errc::signature_mismatch, 0, check({{"host", "h"}}, "host")},
      {Errc::body_incomplete, 4, decode(false, false, 5, "5\r\nh")},
      {Errc::body_length_mismatch, 0, decode(false, false, 4, "5\r\nhello\r\n")},
      {Errc::chunk_too_small, 10, decode(false, false, 10, "5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n")},
      {Errc::chunk_signature_mismatch, 0, decode(true, false, 0, "0;chunk-signature=" + zeros + "\r\n\r\n")},
      {Errc::trailer_signature_mismatch, end.size() + trailer.size(), decode(true, true, 0, end + trailer)},
      {Errc::trailer_malformed, 5, decode(false, true, 0, "0\r\n\r\n")},
  };
}

}  // namespace

TEST(error_every_code_is_produced_with_its_offset) {
  std::set<int> seen;
  for (const Case& c : cases()) {
    seen.insert(static_cast<int>(c.error.code));
    CHECK_SAY(c.error.code == c.code, errc_name(c.error.code) << " instead of " << errc_name(c.code));
    CHECK_SAY(c.error.offset == c.offset, errc_name(c.code)
                                              << " at " << c.error.offset << " instead of " << c.offset);
  }
  for (int code = 0; code <= static_cast<int>(Errc::trailer_malformed); ++code) {
    CHECK_SAY(seen.count(code) == 1, errc_name(static_cast<Errc>(code)) << " is produced by no case");
  }
}

TEST(error_names_are_different) {
  std::set<std::string> names;
  for (int code = 0; code <= static_cast<int>(Errc::trailer_malformed); ++code) {
    names.insert(errc_name(static_cast<Errc>(code)));
  }
  CHECK_EQ(names.size(), static_cast<std::size_t>(Errc::trailer_malformed) + 1);
  CHECK_EQ(names.count("unknown"), 0u);
  CHECK_EQ(std::string(errc_name(static_cast<Errc>(9999))), "unknown");
}

TEST(error_results) {
  const Result<int> good = 7;
  CHECK(good.ok() && static_cast<bool>(good));
  CHECK_EQ(good.value(), 7);
  const Result<int> bad = Errc::bad_url;
  CHECK(!bad.ok());
  CHECK_EQ(bad.error().offset, 0u);
  const Result<void> at = {Errc::too_long, 5};
  CHECK_EQ(at.error().offset, 5u);
  CHECK(Result<void>().ok());
}
