// Signing against published examples: tests/vectors/s3-doc-examples.json (AWS documentation),
// signing-extra.json and hash-primitives.json, as literals.
#include "s3accel/presign.h"
#include "s3accel/sha256.h"
#include "s3accel/sigv4.h"
#include "s3accel/url.h"

#include <algorithm>

#include <string>
#include <vector>

#include "buffers.h"
#include "minitest.h"
#include "reference.h"

using namespace s3accel;
using Headers = std::vector<HeaderView>;

namespace {

struct Case {
  const char* id;
  bool presigned;
  std::string_view method, url;
  Headers headers;
  std::string_view payload_hash, region, service, timestamp, token, token_name;
  bool token_signed;
  std::int64_t expires;
  std::string_view canonical, signature, presigned_url;
};

const Case kCases[] = {
#include "signing_cases.inc"
};

SigningKey key_of(std::string_view region, std::string_view service, std::string_view date) {
  return SigningKey::derive(reference::kSecret, date, region, service).value();
}

struct Signed {
  Error error;
  std::string canonical, names, to_sign, authorization, signature;
};

Signed sign(const SigningKey& key, const SignRequest& request,
            std::string_view timestamp = "20130524T000000Z") {
  HeaderSignature out;
  const auto r =
      sign_headers(TimedKey(key, Timestamp::parse(timestamp).value()), reference::kKeyId, request, out);
  if (!r) return {r.error(), {}, {}, {}, {}, {}};
  return {{},
          std::string(out.canonical.view()),
          std::string(out.signed_headers.view()),
          std::string(out.to_sign.view()),
          std::string(out.authorization.view()),
          std::string(out.signature, 64)};
}

Error sign_error(std::string_view url, const Headers& headers = {}, std::string_view method = "GET",
                 std::string_view hash = "UNSIGNED-PAYLOAD") {
  SignRequest request;
  request.method = method;
  request.url = url;
  request.headers = headers;
  request.payload_hash = hash;
  return sign(key_of("us-east-1", "s3", "20130524"), request).error;
}

std::vector<std::string> sorted_parameters(std::string_view url) {
  std::vector<std::string> out;
  url.remove_prefix(url.find('?') + 1);
  for (;;) {
    const std::size_t end = url.find('&');
    out.emplace_back(url.substr(0, end));
    if (end == url.npos) break;
    url.remove_prefix(end + 1);
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

TEST(sigv4_header_signing_vectors) {
  for (const Case& c : kCases) {
    if (c.presigned) continue;
    SignRequest request;
    request.method = c.method;
    request.url = c.url;
    request.headers = c.headers;
    request.payload_hash = c.payload_hash;
    request.session_token = c.token;
    if (!c.token_name.empty()) request.token_header = c.token_name;
    request.selection = Selection::all;
    request.add_content_sha256 = c.canonical.find("x-amz-content-sha256:") != std::string_view::npos;
    const SigningKey key = key_of(c.region, c.service, c.timestamp.substr(0, 8));
    const Signed s = sign(key, request, c.timestamp);
    CHECK_SAY(s.error.code == Errc::ok, c.id);
    CHECK_EQ(s.canonical, c.canonical);
    CHECK_EQ(s.signature, c.signature);
    const std::string scope = std::string(c.timestamp.substr(0, 8)) + "/" + std::string(c.region) + "/" +
                              std::string(c.service) + "/aws4_request";
    CHECK_EQ(key.scope(), scope);
    CHECK_EQ(s.to_sign, "AWS4-HMAC-SHA256\n" + std::string(c.timestamp) + "\n" + scope + "\n" +
                            reference::sha256_hex(c.canonical));
    CHECK_EQ(s.authorization, "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/" + scope +
                                  ", SignedHeaders=" + s.names + ", Signature=" + std::string(c.signature));
    // The host need not be given: it is in the URL.
    Headers without_host;
    for (const HeaderView& header : c.headers) {
      if (header.name != "Host") without_host.push_back(header);
    }
    request.headers = without_host;
    CHECK_EQ(sign(key, request, c.timestamp).signature, c.signature);
  }
}

TEST(sigv4_presigning_vectors) {
  for (const Case& c : kCases) {
    if (!c.presigned) continue;
    PresignRequest request;
    request.method = c.method;
    request.url = c.url;
    request.headers = c.headers;
    request.payload_hash = c.payload_hash;
    request.expires = c.expires;
    request.session_token = c.token;
    if (!c.token_name.empty()) request.token_parameter = c.token_name;
    request.sign_token = c.token_signed;
    HeaderSignature stages;
    Text url;
    const auto r = presign(TimedKey(key_of(c.region, c.service, c.timestamp.substr(0, 8)),
                                    Timestamp::parse(c.timestamp).value()),
                           reference::kKeyId, request, stages, url);
    CHECK_SAY(r.ok(), c.id << ": " << errc_name(r.error().code));
    CHECK_EQ(stages.canonical.view(), c.canonical);
    CHECK_EQ(std::string_view(stages.signature, 64), c.signature);
    // The order of parameters on the wire is free.
    CHECK(sorted_parameters(url.view()) == sorted_parameters(c.presigned_url));
    CHECK_EQ(url.view().substr(0, url.view().find('?')),
             c.presigned_url.substr(0, c.presigned_url.find('?')));
  }
}

// tests/vectors/hash-primitives.json: the first two were published in the AWS General Reference.
TEST(sigv4_key_derivation) {
  struct Key {
    std::string_view secret, date, region, service, key;
  };
  constexpr Key kKeys[] = {
      {"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20120215", "us-east-1", "iam",
       "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"},
      {"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830", "us-east-1", "iam",
       "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"},
      {"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1", "s3",
       "dbb893acc010964918f1fd433add87c70e8b0db6be30c1fbeafefa5ec6ba8378"},
      {"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20151229", "us-east-1", "s3",
       "cbcef1ebeaefc82cce6530b9f0a9ae598846065f5c5bae0674bd5ebc4ba52d28"},
      {"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20260101", "eu-central-1", "s3express",
       "a94600ddc940cd0b7d0ed34dfcc6d8d9603bd2a499c5fb7e04ee459bcfe8fccc"},
  };
  for (const Key& k : kKeys) {
    const auto derived = SigningKey::derive(k.secret, k.date, k.region, k.service);
    CHECK(derived.ok());
    if (!derived) continue;
    CHECK_EQ(minitest::hex({derived.value().raw().data(), 32}), k.key);
    CHECK_EQ(derived.value().date(), k.date);
    CHECK_EQ(derived.value().region(), k.region);
    CHECK_EQ(derived.value().service(), k.service);
    const auto restored =
        SigningKey::restore(minitest::unhex(std::string(k.key)), k.date, k.region, k.service);
    CHECK(restored.ok());
    char a[64], b[64];
    derived.value().sign("text", a);
    restored.value().sign("text", b);
    CHECK_EQ(std::string_view(a, 64), std::string_view(b, 64));
  }
  // A secret longer than a hash block, against the plain chain of HMACs.
  const std::string secret(300, 's');
  std::string expected = "AWS4" + secret;
  for (std::string_view step : {"20130524", "eu-west-1", "s3", "aws4_request"})
    expected = reference::hmac(expected, step);
  CHECK_EQ(
      minitest::hex({SigningKey::derive(secret, "20130524", "eu-west-1", "s3").value().raw().data(), 32}),
      reference::hex(expected));
}

TEST(sigv4_bad_keys) {
  const auto error = [](std::string_view secret, std::string_view date, std::string_view region,
                        std::string_view service) {
    return SigningKey::derive(secret, date, region, service).error();
  };
  using namespace std::string_view_literals;
  for (std::string_view secret : {""sv, " key"sv, "key\n"sv, "k\0y"sv, "k y"sv, "k\xe9y"sv}) {
    CHECK_SAY(error(secret, "20130524", "us-east-1", "s3").code == Errc::bad_secret, secret);
  }
  CHECK(error(std::string(513, 'a'), "20130524", "us-east-1", "s3").code == Errc::bad_secret);
  CHECK(error(std::string(512, 'a'), "20130524", "us-east-1", "s3").code == Errc::ok);
  for (std::string_view date :
       {"", "2013052", "201305244", "20131301", "20130229", "2013-5-4", "00000101", "20130500"}) {
    CHECK_SAY(error("key", date, "us-east-1", "s3").code == Errc::bad_scope, date);
    CHECK_EQ(error("key", date, "us-east-1", "s3").offset, 0u);
  }
  for (std::string_view part :
       {""sv, "us east"sv, "us/east"sv, "us\neast"sv, "us,east"sv, "us;east"sv, "us=east"sv, "us\0"sv}) {
    CHECK_EQ(error("key", "20130524", part, "s3").offset, 1u);
    CHECK(error("key", "20130524", part, "s3").code == Errc::bad_scope);
    CHECK_EQ(error("key", "20130524", "us-east-1", part).offset, 2u);
    CHECK(error("key", "20130524", "us-east-1", part).code == Errc::bad_scope);
  }
  CHECK(error("key", "20130524", std::string(129, 'a'), "s3").code == Errc::bad_scope);
  for (std::size_t n : {std::size_t{0}, std::size_t{31}, std::size_t{33}}) {
    CHECK(SigningKey::restore(std::vector<std::uint8_t>(n), "20130524", "us-east-1", "s3").error().code ==
          Errc::bad_key);
  }
}

TEST(sigv4_timestamps) {
  struct Stamp {
    std::int64_t epoch;
    std::string_view text;
  };
  // Epoch values from `date -u -d ... +%s`.
  constexpr Stamp kStamps[] = {
      {0, "19700101T000000Z"},
      {1369353600, "20130524T000000Z"},
      {951782400, "20000229T000000Z"},
      {951868799, "20000229T235959Z"},
      {4107542400, "21000301T000000Z"},
      {4107542399, "21000228T235959Z"},
      {-1, "19691231T235959Z"},
      {-62135596800, "00010101T000000Z"},
      {253402300799, "99991231T235959Z"},
      {1767225600, "20260101T000000Z"},
  };
  for (const Stamp& s : kStamps) {
    CHECK_EQ(Timestamp::from_epoch(s.epoch).text(), s.text);
    const auto parsed = Timestamp::parse(s.text);
    CHECK_SAY(parsed.ok(), s.text);
    if (parsed) CHECK_EQ(parsed.value().epoch(), s.epoch);
    if (parsed) CHECK_EQ(parsed.value().date(), s.text.substr(0, 8));
  }
  for (int i = 0; i < 2000; ++i) {
    const auto epoch = static_cast<std::int64_t>(minitest::random()() % 315537897600) - 62135596800;
    const auto parsed = Timestamp::parse(Timestamp::from_epoch(epoch).text());
    CHECK(parsed.ok() && parsed.value().epoch() == epoch);
  }
  for (std::string_view text :
       {"", "20130524", "20130524T000000", "20130524T000000z", "20130524 000000Z", "20130524T240000Z",
        "20130524T006000Z", "20130524T000061Z", "20130230T000000Z", "20130524T00000-Z",
        "2013-05-24T00:00:00Z", "20130524T000000ZZ", "+0130524T000000Z", "20130524T0000 0Z"}) {
    CHECK_SAY(Timestamp::parse(text).error().code == Errc::bad_timestamp, text);
  }
  // A leap second is a second that clocks can show.
  CHECK(Timestamp::parse("20161231T235960Z").ok());
}

TEST(sigv4_dates) {
  for (std::string_view date : {"20240229", "20000229", "00010101", "99991231", "20231130"})
    CHECK_SAY(valid_date(date), date);
  for (std::string_view date :
       {"20230229", "19000229", "21000229", "20231131", "20230431", "20230001", "20231301", "20230100",
        "20230132", "00000101", "2023010a", "2023 101", "", "2023011", "202301011"}) {
    CHECK_SAY(!valid_date(date), date);
  }
}

TEST(sigv4_payload_hashes) {
  for (std::string_view value :
       {"UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER"}) {
    CHECK_SAY(valid_payload_hash(value), value);
  }
  CHECK(valid_payload_hash(std::string(64, 'a')));
  CHECK(valid_payload_hash(std::string(64, 'F')));
  for (const std::string& value :
       {std::string(), std::string(63, 'a'), std::string(65, 'a'), std::string(64, 'g'),
        std::string("unsigned-payload"), std::string("UNSIGNED-PAYLOAD\n"),
        std::string("STREAMING-AWS4-HMAC-SHA256-EVENTS"), std::string(63, 'a') + "\n"}) {
    CHECK_SAY(!valid_payload_hash(value), value);
  }
}

TEST(sigv4_bad_requests) {
  const std::string good = "https://b.s3.amazonaws.com/k";
  CHECK(sign_error(good).code == Errc::ok);
  for (std::string_view method : {"", "get", "GET ", "GE\nT", "G:T"}) {
    CHECK_SAY(sign_error(good, {}, method).code == Errc::bad_method, method);
  }
  CHECK(sign_error(good, {}, std::string(33, 'A')).code == Errc::bad_method);
  for (std::string_view hash : {"", "UNSIGNED", "0123"})
    CHECK(sign_error(good, {}, "GET", hash).code == Errc::bad_payload_hash);
  using namespace std::string_view_literals;
  struct Url {
    std::string_view url;
    Errc code;
    std::size_t offset;
  };
  const Url kUrls[] = {
      {"", Errc::bad_url, 0},
      {"/relative", Errc::bad_url, 0},
      {"://host/", Errc::bad_url, 0},
      {"https:/host/", Errc::bad_url, 0},
      {"https://h/a b", Errc::bad_url, 11},
      {"https://h/a\nb", Errc::bad_url, 11},
      {"https://h/\xc3\xa9", Errc::bad_url, 10},
      {"https://h/\x7f", Errc::bad_url, 10},
      {"https://h/\0"sv, Errc::bad_url, 10},
      {"https://h:99999999999999999999/", Errc::bad_url, 8},
      {"https://h:12a/", Errc::bad_url, 8},
      {"https://h:-1/", Errc::bad_url, 8},
      {"https:///path", Errc::missing_host, 8},
      {"https://:443/", Errc::missing_host, 8},
      {"https://user@/", Errc::missing_host, 8},
      {"https://h/?a=%zz", Errc::bad_percent_escape, 13},
      {"https://h?a=1&b=%4", Errc::bad_percent_escape, 16},
      {"https://h/?a=1+1", Errc::raw_plus_in_query, 14},
  };
  for (const Url& u : kUrls) {
    CHECK_SAY(sign_error(u.url).code == u.code, u.url << ": " << errc_name(sign_error(u.url).code));
    CHECK_SAY(sign_error(u.url).offset == u.offset, u.url << ": offset " << sign_error(u.url).offset);
  }
  for (std::string_view name : {"Authorization", "x-amz-date", "X-AMZ-CONTENT-SHA256", "X-Amz-Security-Token",
                                "x-amz-s3session-token", "x-amz-region-set"}) {
    const Error error = sign_error(good, {{"a", "1"}, {name, "2"}});
    CHECK_SAY(error.code == Errc::reserved_header, name);
    CHECK_EQ(error.offset, 1u);
  }
  for (std::string_view value : {"a\rb"sv, "a\nb"sv, "a\0b"sv, "\r\n folded"sv}) {
    const Error error = sign_error(good, {{"a", "1"}, {"b", "2"}, {"x-amz-c", value}});
    CHECK(error.code == Errc::bad_header_value);
    CHECK_EQ(error.offset, 2u);
  }
  CHECK(sign_error(good, {{"a", "1"}, {"b c", "2"}}).code == Errc::bad_header_name);
  CHECK_EQ(sign_error(good, {{"a", "1"}, {"b c", "2"}}).offset, 1u);
}

TEST(sigv4_urls) {
  struct Url {
    std::string_view url, host, path, query;
  };
  constexpr Url kUrls[] = {
      {"https://Bucket.S3.amazonaws.com/Key", "bucket.s3.amazonaws.com", "/Key", ""},
      {"https://h:443/", "h", "/", ""},
      {"HTTPS://h:443/", "h", "/", ""},
      {"http://h:80/", "h", "/", ""},
      {"http://h:443/", "h:443", "/", ""},
      {"https://h:80", "h:80", "", ""},
      {"http://localhost:9000/b/k", "localhost:9000", "/b/k", ""},
      {"https://[::1]/", "[::1]", "/", ""},
      {"https://[::1]:8443/", "[::1]:8443", "/", ""},
      {"https://[FE80::A]:443/", "[fe80::a]", "/", ""},
      {"https://user:pass@h/k", "h", "/k", ""},
      {"https://user@evil@h:81/k", "h:81", "/k", ""},
      {"https://h?a=1", "h", "", "a=1"},
      {"https://h/k?a=1?b=2", "h", "/k", "a=1?b=2"},
      {"https://h/k?a=1#f?g", "h", "/k", "a=1"},
      {"https://h/k#f?a=1", "h", "/k", ""},
      {"https://h#f", "h", "", ""},
      {"https://h/k?", "h", "/k", ""},
      {"https://h/a@b:c", "h", "/a@b:c", ""},
      {"https://h/http://other/", "h", "/http://other/", ""},
  };
  for (const Url& u : kUrls) {
    Text host;
    const auto parts = split_url(u.url, host);
    CHECK_SAY(parts.ok(), u.url);
    if (!parts) continue;
    CHECK_EQ(host.view(), u.host);
    CHECK_EQ(parts.value().path, u.path);
    CHECK_EQ(parts.value().query, u.query);
    CHECK_EQ(u.url.substr(parts.value().path_offset, u.path.size()), u.path);
    if (!u.query.empty()) CHECK_EQ(u.url.substr(parts.value().query_offset, u.query.size()), u.query);
  }
}

// Both go into headers as they are.
TEST(sigv4_bad_credentials) {
  const SigningKey key = key_of("us-east-1", "s3", "20130524");
  const Timestamp now = Timestamp::from_epoch(1369353600);
  const auto codes = [&](std::string_view id, std::string_view token) {
    SignRequest request;
    request.method = "GET";
    request.url = "https://h/k";
    request.payload_hash = "UNSIGNED-PAYLOAD";
    request.session_token = token;
    HeaderSignature out;
    const Errc signing = sign_headers(TimedKey(key, now), id, request, out).error().code;
    PresignRequest wish;
    wish.method = "GET";
    wish.url = "https://h/k";
    wish.session_token = token;
    HeaderSignature stages;
    Text url;
    CHECK(presign(TimedKey(key, now), id, wish, stages, url).error().code == signing);
    return signing;
  };
  CHECK(codes("AKID", "") == Errc::ok);
  CHECK(codes("AKID", "token+/==") == Errc::ok);
  for (std::string_view id : {"", "A B", "A/B", "A,B", "A\r\nB", "A\xc3\xa9"}) {
    CHECK_SAY(codes(id, "") == Errc::bad_credentials, id);
  }
  for (std::string_view token : {"a b", "a\nb", "\xe9"})
    CHECK_SAY(codes("AKID", token) == Errc::bad_credentials, token);
}

TEST(sigv4_relative_urls) {
  // "://" further on does not make a URL absolute.
  for (std::string_view url : {"/p?u=http://evil/x", "p/http://evil/", "?http://evil/", "#://h/",
                               "user@x://h/", "https:s://h/", "1x://h/", "-://h/"}) {
    CHECK_SAY(sign_error(url).code == Errc::bad_url, url);
    CHECK_EQ(sign_error(url).offset, 0u);
  }
}

TEST(sigv4_stray_percent_in_the_path) {
  for (std::string_view url : {"https://h/a%", "https://h/a%4", "https://h/a%zz", "https://h/a%4?b"}) {
    CHECK_SAY(sign_error(url).code == Errc::bad_percent_escape, url);
    CHECK_EQ(sign_error(url).offset, 11u);
  }
}

TEST(sigv4_path_rules) {
  for (std::string_view service : {"s3", "s3express", "s3-outposts", "s3-object-lambda"}) {
    CHECK(is_s3_service(service));
    CHECK(signing_path_rule(service) == PathRule::decode_encode);
  }
  for (std::string_view service : {"S3", "s3x", "iam", ""}) {
    CHECK(!is_s3_service(service));
    CHECK(signing_path_rule(service) == PathRule::normalize_encode);
  }
}

TEST(sigv4_presign_refusals) {
  const SigningKey key = key_of("us-east-1", "s3", "20130524");
  const auto error = [&](std::string_view url, std::int64_t expires, const Headers& headers = {}) {
    PresignRequest request;
    request.method = "GET";
    request.url = url;
    request.expires = expires;
    request.headers = headers;
    HeaderSignature stages;
    Text out;
    return presign(TimedKey(key, Timestamp::parse("20130524T000000Z").value()), reference::kKeyId, request,
                   stages, out)
        .error();
  };
  for (std::int64_t expires :
       {std::int64_t{0}, std::int64_t{-1}, std::int64_t{604801}, INT64_MAX, INT64_MIN}) {
    CHECK(error("https://h/k", expires).code == Errc::bad_expires);
  }
  CHECK(error("https://h/k", 1).code == Errc::ok);
  CHECK(error("https://h/k", 604800).code == Errc::ok);
  // Parameters of the signature that are there already.
  for (std::string_view name : {"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires",
                                "X-Amz-SignedHeaders", "X-Amz-Security-Token", "X-Amz-Signature"}) {
    const std::string url = "https://h/k?a=1&" + std::string(name) + "=2";
    CHECK_SAY(error(url, 60).code == Errc::reserved_header, name);
    CHECK_EQ(error(url, 60).offset, 16u);
  }
  // Also in another spelling: the canonical query decodes names.
  CHECK(error("https://h/k?X%2DAmz-%45xpires=5", 60).code == Errc::reserved_header);
  CHECK(error("https://h/k?x-amz-expires=5", 60).code == Errc::ok);
  CHECK(error("https://h/k", 60, {{"x-amz-date", "20130524T000000Z"}}).code == Errc::reserved_header);
  CHECK(error("https://h/k?a=%zz", 60).code == Errc::bad_percent_escape);
  CHECK_EQ(error("https://h/k?a=%zz", 60).offset, 14u);
}

// The state that a timed key keeps behind the first block changes no signature, nor does a scope so short
// that there is no such block.
TEST(sigv4_timed_key_signs_as_the_key_does) {
  for (const auto& [region, service] : {std::pair("us-east-1", "s3"), std::pair("a", "b"),
                                        std::pair("abc", "s3"), std::pair("ap-southeast-2", "s3-outposts")}) {
    const SigningKey key = key_of(region, service, "20130524");
    const Timestamp now = Timestamp::parse("20130524T000000Z").value();
    const TimedKey timed(key, now);
    std::vector<std::uint8_t> digests;
    std::vector<std::string> expected;
    for (std::size_t i = 0; i < TimedKey::kMaxLanes; ++i) {
      Text whole, text;
      const std::string canonical(i, 'c');
      string_to_sign(kAlgorithm, now.text(), key.scope(), canonical, whole);
      std::uint8_t digest[kSha256Size];
      sha256(as_bytes(std::string_view(canonical)), digest);
      char by_key[64], by_timed[64];
      key.sign(whole.view(), by_key);
      text.append("before");
      timed.sign(digest, text, by_timed);
      CHECK_EQ(text.view().substr(6), whole.view());
      CHECK_EQ(std::string_view(by_timed, 64), std::string_view(by_key, 64));
      expected.emplace_back(by_key, 64);
      digests.insert(digests.end(), digest, digest + kSha256Size);
    }
    std::vector<std::uint8_t> macs(digests.size());
    timed.sign_many(digests.data(), expected.size(), macs.data());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      char digits[64];
      hex_encode({macs.data() + i * kSha256Size, kSha256Size}, digits);
      CHECK_EQ(std::string_view(digits, 64), expected[i]);
    }
  }
}

TEST(sigv4_presign_batch_equals_single) {
  const SigningKey key = key_of("us-east-1", "s3", "20130524");
  const Timestamp now = Timestamp::parse("20130524T000000Z").value();
  const TimedKey timed(key, now);
  PresignRequest request;
  request.method = "GET";
  request.url = "https://b.s3.amazonaws.com/dir/?versionId=v%2F1";
  PresignTemplate shared;
  CHECK(presign_prepare(timed, reference::kKeyId, request, shared).ok());
  const std::vector<std::string> keys = {"a",   "",      "b c",  "\xc3\xa9/x+y", std::string(1024, 'k'),
                                         "%41", "../up", "a?b#c"};
  for (std::size_t n = 1; n <= keys.size(); ++n) {
    std::vector<std::string_view> views(keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(n));
    Text out;
    std::vector<std::size_t> ends(n);
    presign_batch(timed, shared, views, out, ends.data());
    std::size_t from = 0;
    for (std::size_t i = 0; i < n; ++i) {
      Text encoded;
      uri_encode(keys[i], true, encoded);
      const std::string url =
          "https://b.s3.amazonaws.com/dir/" + std::string(encoded.view()) + "?versionId=v%2F1";
      request.url = url;
      HeaderSignature stages;
      Text single;
      CHECK(presign(timed, reference::kKeyId, request, stages, single).ok());
      CHECK_EQ(out.view().substr(from, ends[i] - from), single.view());
      from = ends[i];
    }
  }
}
