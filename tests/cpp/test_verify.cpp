// Verifying: the published outcomes of tests/vectors/signing-extra.json, and requests signed by reference.h
// over canonical texts written out by hand, attacked in every way we could think of.
#include "s3accel/verify.h"

#include <algorithm>
#include <string>
#include <vector>

#include "minitest.h"
#include "reference.h"

using namespace s3accel;
using Headers = std::vector<HeaderView>;

namespace {

struct Case {
  const char* id;
  Errc expected;
  std::string_view now, method, target;
  Headers headers;
};

const Case kCases[] = {
#include "verify_cases.inc"
};

constexpr std::string_view kNow = "20260101T120000Z";
const std::string kScope = "20260101/us-east-1/s3/aws4_request";

VerifyPolicy policy_at(std::string_view now) {
  VerifyPolicy policy;
  policy.region = "us-east-1";
  policy.now = Timestamp::parse(now).value().epoch();
  return policy;
}

struct Outcome {
  Errc code;
  ParsedAuth auth;
  std::string canonical, to_sign;
};

Outcome judge(std::string_view method, std::string_view target, const Headers& headers,
              const VerifyPolicy& policy = policy_at(kNow), std::string_view body_hash = {}) {
  const ReceivedRequest request{method, target, headers, body_hash};
  Outcome out;
  const auto formed = well_formed(request);
  if (!formed) {
    out.code = formed.error().code;
    return out;
  }
  const auto parsed = parse_auth(formed.value(), policy, out.auth);
  out.code = parsed ? out.auth.deferred.code : parsed.error().code;
  if (out.code != Errc::ok) return out;
  const auto key = SigningKey::derive(reference::kSecret, out.auth.date, out.auth.region, out.auth.service);
  if (!key) {
    out.code = key.error().code;
    return out;
  }
  Text canonical, to_sign;
  out.code = check_signature(formed.value(), out.auth, key.value(), canonical, to_sign).error().code;
  out.canonical = canonical.view();
  out.to_sign = to_sign.view();
  return out;
}

// A request signed with a header. `names` and `lines` are SignedHeaders and the canonical header lines.
struct Request {
  std::string method = "GET", path = "/k", query;
  std::string names = "host;x-amz-content-sha256;x-amz-date";
  std::string lines =
      "host:b.s3.amazonaws.com\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:20260101T120000Z\n";
  std::string payload = "UNSIGNED-PAYLOAD";
  std::string timestamp{kNow}, scope = kScope;

  std::string authorization() const {
    return "AWS4-HMAC-SHA256 Credential=" + reference::kKeyId + "/" + scope + ", SignedHeaders=" + names +
           ", Signature=" + signature();
  }
  std::string signature() const {
    return reference::request_signature(
        timestamp, scope, method + "\n" + path + "\n" + query + "\n" + lines + "\n" + names + "\n" + payload);
  }
};

const Headers kPlain = {
    {"Host", "b.s3.amazonaws.com"}, {"x-amz-content-sha256", "UNSIGNED-PAYLOAD"}, {"X-Amz-Date", kNow}};

Headers with(Headers headers, std::string_view name, std::string_view value) {
  headers.push_back({name, value});
  return headers;
}

Errc code_of(const Request& request, std::string_view target, Headers headers = kPlain) {
  const std::string authorization = request.authorization();
  return judge(request.method, target, with(std::move(headers), "Authorization", authorization)).code;
}

Errc code_of_authorization(std::string_view authorization) {
  return judge("GET", "/k", with(kPlain, "Authorization", authorization)).code;
}

// A presigned URL's query: the six parameters in canonical order, then `more`.
struct Presigned {
  std::string expires = "60", timestamp{kNow}, more;

  std::string query() const {
    return "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + reference::kKeyId +
           "%2F20260101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=" + timestamp +
           "&X-Amz-Expires=" + expires + "&X-Amz-SignedHeaders=host" + more;
  }
  std::string signature() const {
    return reference::request_signature(
        timestamp, kScope, "GET\n/k\n" + query() + "\nhost:b.s3.amazonaws.com\n\nhost\nUNSIGNED-PAYLOAD");
  }
  std::string target() const { return "/k?" + query() + "&X-Amz-Signature=" + signature(); }
};

Errc code_of_presigned(const std::string& target, const VerifyPolicy& policy = policy_at(kNow)) {
  return judge("GET", target, {{"Host", "b.s3.amazonaws.com"}}, policy).code;
}

}  // namespace

TEST(verify_published_cases) {
  for (const Case& c : kCases) {
    const Outcome out = judge(c.method, c.target, c.headers, policy_at(c.now));
    const bool other_key = std::string_view(c.id) == "unknown-access-key";
    if (other_key) CHECK(out.auth.access_key_id != reference::kKeyId);
    CHECK_SAY(other_key || out.code == c.expected, c.id << ": " << errc_name(out.code));
  }
}

TEST(verify_reads_what_was_said) {
  const Request request;
  const std::string authorization = request.authorization();
  const Outcome out = judge("GET", "/k", with(kPlain, "authorization", authorization));
  CHECK(out.code == Errc::ok);
  CHECK_EQ(out.auth.access_key_id, reference::kKeyId);
  CHECK_EQ(out.auth.credential, reference::kKeyId + "/" + kScope);
  CHECK_EQ(out.auth.region, "us-east-1");
  CHECK_EQ(out.auth.service, "s3");
  CHECK_EQ(out.auth.date, "20260101");
  CHECK_EQ(out.auth.scope, kScope);
  CHECK_EQ(out.auth.timestamp, kNow);
  CHECK_EQ(out.auth.signed_headers, request.names);
  CHECK_EQ(out.auth.signature, request.signature());
  CHECK_EQ(out.auth.payload_hash, "UNSIGNED-PAYLOAD");
  CHECK_EQ(out.auth.session_token, "");
  CHECK_EQ(out.canonical, "GET\n/k\n\n" + request.lines + "\n" + request.names + "\nUNSIGNED-PAYLOAD");
  CHECK_EQ(out.to_sign,
           "AWS4-HMAC-SHA256\n20260101T120000Z\n" + kScope + "\n" + reference::sha256_hex(out.canonical));
}

// S3 decodes and encodes path and query again: every spelling of the same bytes has one signature.
TEST(verify_spellings_of_the_target) {
  Request request;
  request.path = "/a%20b~c/%C3%A9%2B";
  request.query = "a=%2F&b=x%20y&lifecycle=";
  for (std::string_view target :
       {"/a%20b~c/%C3%A9%2B?a=%2F&b=x%20y&lifecycle=", "/a%20b%7ec/%c3%a9+?lifecycle&b=x+y&a=/",
        "/a b~c/\xc3\xa9+?&&b=%78%20y&a=%2f&lifecycle&",
        "https://b.s3.amazonaws.com/a%20b~c%2F%C3%A9%2B?a=%2F&b=x%20y&lifecycle",
        "HTTP://B.S3.amazonaws.com:80/a%20b~c/%C3%A9%2B?lifecycle&a=%2F&b=x%20y"}) {
    CHECK_SAY(code_of(request, target) == Errc::ok, target);
  }
  for (std::string_view target :
       {"/a%20b~c/%C3%A9%2B",
        "/a%20b~c//%C3%A9%2B?a=%2F&b=x%20y&lifecycle=", "/a%20b~c/./%C3%A9%2B?a=%2F&b=x%20y&lifecycle=",
        "/a%20b~c/%C3%A9%2B?a=%2F&b=x%2By&lifecycle=", "/a%20b~c/%C3%A9%2B?a=%2F&b=x%20y&b=x%20y&lifecycle=",
        "/a%2520b~c/%C3%A9%2B?a=%2F&b=x%20y&lifecycle=", "/a%20b~c/%C3%A9%20?a=%2F&b=x%20y&lifecycle=",
        "/a%20b~c/%C3%A9%2B?a=%2F&b=x%20y&lifecycle=&"}) {
    const bool same = std::string_view(target).back() == '&';  // a lone '&' says nothing
    CHECK_SAY(code_of(request, target) == (same ? Errc::ok : Errc::signature_mismatch), target);
  }
}

// What the verifier signs and what a router sees must be the same bytes.
TEST(verify_nothing_of_the_target_is_left_out) {
  Request request;
  CHECK(code_of(request, "/k") == Errc::ok);
  // A fragment has no place in a request target: cutting it off would leave it unsigned, and whoever serves
  // what is signed as %23 may cut it off.
  for (std::string_view target : {"/k#x", "/k#", "/k?#", "/k#?acl", "http://b.s3.amazonaws.com/k#x"}) {
    CHECK_SAY(code_of(request, target) == Errc::bad_target, target);
  }
  CHECK(code_of(request, "//h/k") == Errc::signature_mismatch);
  // "://" further on does not make an absolute form, another scheme is none, and the authority is the Host
  // (RFC 9112, 3.2.2).
  for (std::string_view target :
       {"other?u=http://h/k", "x://b.s3.amazonaws.com/k", "ftp://b.s3.amazonaws.com/k", "k", "*", "#",
        "http:///k", "http://other/k", "http://b.s3.amazonaws.com.evil/k", "http://x@b.s3.amazonaws.com/k",
        "http://b.s3.amazonaws.com:8080/k", "/k\n", "/k\x7f"}) {
    CHECK_SAY(code_of(request, target) == Errc::bad_target, target);
  }
  request.path = "/k%23x";
  CHECK(code_of(request, "/k#x") == Errc::bad_target);
  CHECK(code_of(request, "/k%23x") == Errc::ok);
  request.path = "/";
  for (std::string_view target :
       {"", "/", "http://b.s3.amazonaws.com", "http://b.s3.amazonaws.com?", "https://b.s3.amazonaws.com/"}) {
    CHECK_SAY(code_of(request, target) == Errc::ok, target);
  }
}

TEST(verify_authorization_shapes) {
  const Request request;
  const std::string good = request.authorization();
  const std::string credential = "Credential=" + reference::kKeyId + "/" + kScope;
  const std::string names = "SignedHeaders=" + request.names, signature = "Signature=" + request.signature();
  const std::string scheme = "AWS4-HMAC-SHA256 ";
  for (const std::string& text :
       {good, "  " + good + "\t", scheme + credential + "," + names + "," + signature,
        scheme + signature + ", " + credential + " ,\t" + names,
        scheme + credential + "," + names + "," + signature + ","}) {
    CHECK_SAY(code_of_authorization(text) == Errc::ok, text);
  }
  for (const std::string& text :
       {scheme, std::string("AWS4-HMAC-SHA256"), scheme + credential, scheme + credential + "," + names,
        scheme + credential + "," + signature, scheme + names + "," + signature, good + "," + signature,
        good + ", Credential=x", good + ", SignedHeaders=host", good + ", Other=1", good + ",,", good + ",x",
        scheme + "credential=" + good.substr(28), scheme + credential + ";" + names + ";" + signature,
        scheme + " =," + credential + "," + names + "," + signature}) {
    CHECK_SAY(code_of_authorization(text) == Errc::auth_malformed, text);
  }
  for (const std::string& text : {std::string("AWS AKID:c2ln"), std::string("AWS ")}) {
    CHECK_SAY(code_of_authorization(text) == Errc::auth_unsupported_v2 || text == "AWS ", text);
  }
  for (std::string_view text :
       {"Basic dXNlcjpwYXNz", "Bearer x", "", "aws4-hmac-sha256 Credential=x", "AWS4-HMAC-SHA1 x",
        "AWS4-ECDSA-P256-SHA256 Credential=x", "AWS4-HMAC-SHA256,Credential=x", "AWS"}) {
    CHECK_SAY(code_of_authorization(text) == Errc::auth_unknown_type, text);
  }
}

TEST(verify_credential_shapes) {
  struct Credential {
    std::string_view text;
    Errc code;
  };
  constexpr Credential kCredentials[] = {
      {"AKID/20260101/us-east-1/s3", Errc::credential_malformed},
      {"AKID/20260101/us-east-1/s3/aws4_request/", Errc::credential_malformed},
      {"AK/ID/20260101/us-east-1/s3/aws4_request", Errc::credential_malformed},
      {"/20260101/us-east-1/s3/aws4_request", Errc::credential_malformed},
      {"", Errc::credential_malformed},
      {"////", Errc::credential_malformed},
      {"AKID/2026010/us-east-1/s3/aws4_request", Errc::credential_bad_date},
      {"AKID/20260230/us-east-1/s3/aws4_request", Errc::credential_bad_date},
      {"AKID//us-east-1/s3/aws4_request", Errc::credential_bad_date},
      {"AKID/20260101/us-east-1/s3/aws4", Errc::credential_wrong_terminal},
      {"AKID/20260101/us-east-1/s3/", Errc::credential_wrong_terminal},
      {"AKID/20260101/us-east-1/S3/aws4_request", Errc::credential_wrong_service},
      {"AKID/20260101/us-east-1//aws4_request", Errc::credential_wrong_service},
      {"AKID/20260101/us-east-2/s3/aws4_request", Errc::credential_wrong_region},
      {"AKID/20260101//s3/aws4_request", Errc::credential_wrong_region},
      {"AKID/20251231/us-east-1/s3/aws4_request", Errc::credential_date_mismatch},
  };
  for (const Credential& c : kCredentials) {
    const std::string text =
        "AWS4-HMAC-SHA256 Credential=" + std::string(c.text) + ",SignedHeaders=host,Signature=x";
    CHECK_SAY(code_of_authorization(text) == c.code,
              c.text << ": " << errc_name(code_of_authorization(text)));
  }
  const std::string huge = "AWS4-HMAC-SHA256 Credential=" + std::string(257, 'A') + "/" + kScope +
                           ",SignedHeaders=host,Signature=x";
  CHECK(code_of_authorization(huge) == Errc::credential_malformed);
  // Without a region in the policy any will do, but not none.
  VerifyPolicy any = policy_at(kNow);
  any.region = {};
  for (const Credential& c :
       {Credential{"AKID/20260101//s3/aws4_request", Errc::credential_wrong_region},
        Credential{"AKID/20260101/eu-west-3/s3/aws4_request", Errc::header_not_signed}}) {
    const std::string text =
        "AWS4-HMAC-SHA256 Credential=" + std::string(c.text) + ",SignedHeaders=host,Signature=x";
    CHECK(judge("GET", "/k", with(kPlain, "Authorization", text), any).code == c.code);
  }
}

TEST(verify_the_clock) {
  const Request request;
  const std::string authorization = request.authorization();
  const auto at = [&](std::int64_t offset) {
    VerifyPolicy policy = policy_at(kNow);
    policy.now += offset;
    return judge("GET", "/k", with(kPlain, "Authorization", authorization), policy).code;
  };
  CHECK(at(0) == Errc::ok);
  CHECK(at(900) == Errc::ok);
  CHECK(at(-900) == Errc::ok);
  CHECK(at(901) == Errc::time_skewed);
  CHECK(at(-901) == Errc::time_skewed);
  CHECK(at(1000000000) == Errc::time_skewed);

  const auto presigned_at = [](std::int64_t offset, const std::string& expires) {
    Presigned presigned;
    presigned.expires = expires;
    VerifyPolicy policy = policy_at(kNow);
    policy.now += offset;
    return code_of_presigned(presigned.target(), policy);
  };
  CHECK(presigned_at(0, "60") == Errc::ok);
  CHECK(presigned_at(60, "60") == Errc::ok);
  CHECK(presigned_at(61, "60") == Errc::request_expired);
  CHECK(presigned_at(604800, "604800") == Errc::ok);
  CHECK(presigned_at(604801, "604800") == Errc::request_expired);
  CHECK(presigned_at(-900, "60") == Errc::ok);
  CHECK(presigned_at(-901, "60") == Errc::request_not_yet_valid);
  CHECK(presigned_at(0, "604801") == Errc::expires_too_large);
  CHECK(presigned_at(0, "99999999999999999999999999999999999999") == Errc::expires_too_large);
  CHECK(presigned_at(0, "-1") == Errc::expires_negative);
  CHECK(presigned_at(0, "-99999999999999999999999") == Errc::expires_negative);
  for (const char* text : {"", "-", "+60", "6e1", "60s", "%2060", "0x3c", "6.0"}) {
    CHECK_SAY(presigned_at(0, text) == Errc::expires_not_a_number, text);
  }
}

TEST(verify_dates) {
  Request request;
  Headers headers = {{"Host", "b.s3.amazonaws.com"}, {"x-amz-content-sha256", "UNSIGNED-PAYLOAD"}};
  CHECK(code_of(request, "/k", headers) == Errc::date_missing);
  CHECK(code_of(request, "/k", with(headers, "Date", "Thu, 01 Jan 2026 12:00:00 GMT")) == Errc::date_missing);
  CHECK(code_of(request, "/k", with(headers, "x-amz-date", "20260101T120000")) == Errc::date_missing);
  // Date alone counts in its basic form.
  request.names = "date;host;x-amz-content-sha256";
  request.lines = "date:20260101T120000Z\nhost:b.s3.amazonaws.com\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n";
  CHECK(code_of(request, "/k", with(headers, "Date", kNow)) == Errc::ok);
  // x-amz-date beats Date.
  const Request plain;
  CHECK(code_of(plain, "/k", with(kPlain, "Date", "20200101T000000Z")) == Errc::ok);
}

// Headers that must be there once. Whoever reads the request after us may believe the other one.
TEST(verify_repeated_headers) {
  Request request;
  const std::string authorization = request.authorization();
  CHECK(judge("GET", "/k", with(with(kPlain, "Authorization", authorization), "Authorization", authorization))
            .code == Errc::auth_malformed);
  CHECK(judge("GET", "/k", with(with(kPlain, "authorization", authorization), "AUTHORIZATION", "Basic eDp5"))
            .code == Errc::auth_malformed);
  CHECK(code_of(request, "/k", with(kPlain, "x-amz-date", kNow)) == Errc::date_missing);
  CHECK(code_of(request, "/k", with(kPlain, "X-AMZ-DATE", "20200101T000000Z")) == Errc::date_missing);
  CHECK(code_of(request, "/k", with(kPlain, "X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD")) ==
        Errc::content_sha256_invalid);
  // S3 lets x-amz-content-sha256 be unlisted, so a second one would not even be signed.
  request.names = "host;x-amz-date";
  request.lines = "host:b.s3.amazonaws.com\nx-amz-date:20260101T120000Z\n";
  CHECK(code_of(request, "/k") == Errc::ok);
  CHECK(code_of(request, "/k", with(kPlain, "x-amz-content-sha256", reference::kEmptyHash)) ==
        Errc::content_sha256_invalid);
  // Any other name may repeat; all values are signed, in order.
  request.names = "host;x-amz-content-sha256;x-amz-date;x-amz-meta-a";
  request.lines += "x-amz-meta-a:1,2\n";
  request.lines.insert(request.lines.find("x-amz-date"), "x-amz-content-sha256:UNSIGNED-PAYLOAD\n");
  CHECK(code_of(request, "/k", with(with(kPlain, "x-amz-meta-a", "1"), "X-Amz-Meta-A", "2")) == Errc::ok);
  CHECK(code_of(request, "/k", with(with(kPlain, "x-amz-meta-a", "2"), "X-Amz-Meta-A", "1")) ==
        Errc::signature_mismatch);
  CHECK(code_of(request, "/k", with(kPlain, "x-amz-meta-a", "1,2")) == Errc::ok);  // the same by RFC 9110
  // A second host is signed with the first, so nobody can add one.
  CHECK(code_of(Request(), "/k", with(kPlain, "Host", "evil")) == Errc::signature_mismatch);
}

TEST(verify_repeated_parameters) {
  // Correctly signed, but with two values for one parameter: their order on the wire is not signed.
  for (const char* more :
       {"&X-Amz-Expires=604800", "&X-Amz-Expires=60", "&X-Amz-Date=20200101T000000Z",
        "&X-Amz-SignedHeaders=host", "&X-Amz-Algorithm=AWS4-HMAC-SHA256", "&X-Amz-Credential=x"}) {
    Presigned presigned;
    presigned.more = more;
    // Sorted for the signature, as the canonical query is.
    std::vector<std::string> parts;
    std::string query = presigned.query();
    for (std::size_t at = 0, end; at <= query.size(); at = end + 1) {
      end = std::min(query.find('&', at), query.size());
      parts.push_back(query.substr(at, end - at));
    }
    std::sort(parts.begin(), parts.end());
    std::string sorted;
    for (const std::string& part : parts) sorted += (sorted.empty() ? "" : "&") + part;
    const std::string signature = reference::request_signature(
        kNow, kScope, "GET\n/k\n" + sorted + "\nhost:b.s3.amazonaws.com\n\nhost\nUNSIGNED-PAYLOAD");
    CHECK_SAY(code_of_presigned("/k?" + query + "&X-Amz-Signature=" + signature) == Errc::auth_malformed,
              more);
  }
  const Presigned good;
  CHECK(code_of_presigned(good.target()) == Errc::ok);
  CHECK(code_of_presigned(good.target() + "&X-Amz-Signature=0") == Errc::auth_malformed);
  CHECK(code_of_presigned(good.target() + "&X%2DAmz%2DSignature=0") == Errc::auth_malformed);
  // Names are exact: another case is an ordinary parameter, and it is signed.
  CHECK(code_of_presigned(good.target() + "&x-amz-signature=0") == Errc::signature_mismatch);
  CHECK(code_of_presigned(good.target() + "&acl") == Errc::signature_mismatch);
  // Encoded spellings of the names mean the same.
  std::string encoded = good.target();
  encoded.replace(encoded.find("X-Amz-Expires"), 13, "X%2dAmz-%45xpires");
  CHECK(code_of_presigned(encoded) == Errc::ok);
}

TEST(verify_two_mechanisms) {
  const Presigned presigned;
  const std::string authorization = Request().authorization();
  CHECK(judge("GET", presigned.target(), with(kPlain, "Authorization", authorization)).code ==
        Errc::auth_two_mechanisms);
  CHECK(judge("GET", "/k?X-Amz-Signature=1", with(kPlain, "Authorization", authorization)).code ==
        Errc::auth_two_mechanisms);
  CHECK(judge("GET", "/k?X-Amz-Credential", with(kPlain, "Authorization", "")).code ==
        Errc::auth_two_mechanisms);
  CHECK(judge("GET", "/k?X%2DAmz-Algorithm=x", with(kPlain, "Authorization", authorization)).code ==
        Errc::auth_two_mechanisms);
  CHECK(judge("GET", "/k", kPlain).code == Errc::auth_missing);
  CHECK(judge("GET", "/k?x-amz-algorithm=x", kPlain).code == Errc::auth_missing);
  CHECK(judge("GET", "/k?AWSAccessKeyId=AKID&Signature=s&Expires=1", kPlain).code ==
        Errc::auth_unsupported_v2);
}

TEST(verify_header_list) {
  Request request;
  CHECK(code_of(request, "/k", with(kPlain, "Accept", "*/*")) == Errc::ok);
  CHECK(code_of(request, "/k", with(kPlain, "x-amz-acl", "public-read")) == Errc::header_not_signed);
  CHECK(code_of(request, "/k", with(kPlain, "X-AMZ-ACL", "public-read")) == Errc::header_not_signed);
  const std::string authorization = request.authorization();
  const Outcome out = judge(
      "GET", "/k", with(with(with(kPlain, "X-Amz-B", "1"), "x-amz-a", "2"), "Authorization", authorization));
  CHECK_EQ(out.auth.detail, "x-amz-b, x-amz-a");
  // A list in upper case names nothing.
  request.names = "Host;X-Amz-Content-Sha256;X-Amz-Date";
  CHECK(code_of(request, "/k") == Errc::header_not_signed);
  // Host must be listed, and what is listed must be there.
  request = Request();
  request.names = "x-amz-content-sha256;x-amz-date";
  request.lines = "x-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:20260101T120000Z\n";
  CHECK(code_of(request, "/k") == Errc::header_not_signed);
  request = Request();
  request.names = "host;range;x-amz-content-sha256;x-amz-date";
  CHECK(code_of(request, "/k") == Errc::signed_header_missing);
  // A header nobody can name would break the texts.
  CHECK(code_of(Request(), "/k", with(kPlain, "bad name", "1")) == Errc::bad_header_name);
  CHECK(code_of(Request(), "/k", with(kPlain, "x-a\nhost", "1")) == Errc::bad_header_name);
}

// The method goes into the canonical request as it came; this one would move path and query down a line.
TEST(verify_methods) {
  Request request;
  request.method = "GET\n/k\n\nhost:h\n";
  CHECK(code_of(request, "/k") == Errc::bad_method);
  for (const char* method : {"", "get", "GET ", "G\tT", "GET\r"}) {
    request.method = method;
    CHECK_SAY(code_of(request, "/k") == Errc::bad_method, method);
  }
}

TEST(verify_payload_hash) {
  Request request;
  const auto headers = [](std::string_view hash) {
    return Headers{{"Host", "b.s3.amazonaws.com"}, {"x-amz-content-sha256", hash}, {"X-Amz-Date", kNow}};
  };
  CHECK(code_of(request, "/k", {{"Host", "b.s3.amazonaws.com"}, {"X-Amz-Date", kNow}}) ==
        Errc::content_sha256_missing);
  for (const char* hash : {"", "UNSIGNED", "unsigned-payload", "0123", "UNSIGNED-PAYLOAD,UNSIGNED-PAYLOAD"}) {
    CHECK_SAY(code_of(request, "/k", headers(hash)) == Errc::content_sha256_invalid, hash);
  }
  // Signed as sent: upper-case digits stay upper case in the text.
  const std::string upper = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
  request.payload = upper;
  request.lines =
      "host:b.s3.amazonaws.com\nx-amz-content-sha256:" + upper + "\nx-amz-date:20260101T120000Z\n";
  CHECK(code_of(request, "/k", headers(upper)) == Errc::ok);
  CHECK(code_of(request, "/k", headers(reference::kEmptyHash)) == Errc::signature_mismatch);

  // Presigned: a signed header counts, an unsigned one does not, a signed parameter does.
  Presigned presigned;
  Headers extra = {{"Host", "b.s3.amazonaws.com"}, {"x-amz-content-sha256", reference::kEmptyHash}};
  Outcome out = judge("GET", presigned.target(), extra);
  CHECK(out.code == Errc::ok);
  CHECK_EQ(out.auth.payload_hash, "UNSIGNED-PAYLOAD");
  const std::string target =
      "/k?" + presigned.query() + "&X-Amz-Content-Sha256=" + reference::kEmptyHash + "&X-Amz-Signature=0";
  out = judge("GET", target, {{"Host", "h"}});
  CHECK_EQ(out.auth.payload_hash, reference::kEmptyHash);
  CHECK(out.code == Errc::signature_mismatch);
}

TEST(verify_other_services) {
  VerifyPolicy policy = policy_at(kNow);
  policy.service = "execute-api";
  Request request;
  request.scope = "20260101/us-east-1/execute-api/aws4_request";
  request.path = "/a%2520b/c";  // normalized, then encoded once more
  request.names = "host;x-amz-date";
  request.lines = "host:h\nx-amz-date:20260101T120000Z\n";
  request.payload = reference::sha256_hex("body");
  const std::string authorization = request.authorization();
  const Headers headers = {{"Host", "h"}, {"X-Amz-Date", kNow}, {"Authorization", authorization}};
  CHECK(judge("GET", "/a%20b/./x/..//c", headers, policy, request.payload).code == Errc::ok);
  CHECK(judge("GET", "/a%20b/./x/..//c", headers, policy).code == Errc::signature_mismatch);
}

TEST(verify_session_tokens) {
  Request request;
  request.names += ";x-amz-security-token";
  request.lines += "x-amz-security-token:token+/==\n";
  const std::string authorization = request.authorization();
  Headers headers = with(with(kPlain, "X-Amz-Security-Token", " token+/== "), "Authorization", authorization);
  Outcome out = judge("GET", "/k", headers);
  CHECK(out.code == Errc::ok);
  CHECK_EQ(out.auth.session_token, "token+/==");
  Presigned presigned;
  presigned.more = "&X-Amz-Security-Token=t%2B%2F%3D";
  std::string query = presigned.query();
  out = judge("GET", "/k?" + query + "&X-Amz-Signature=0", {{"Host", "h"}});
  CHECK_EQ(out.auth.session_token, "t+/=");
  CHECK(out.code == Errc::signature_mismatch);
}

TEST(verify_limits) {
  const std::string authorization = Request().authorization();
  const Headers headers = with(kPlain, "Authorization", authorization);
  CHECK(judge("GET", "/" + std::string(kMaxTargetLength, 'a'), headers).code == Errc::too_long);
  CHECK(judge("GET", "/" + std::string(kMaxTargetLength - 1, 'a'), headers).code == Errc::signature_mismatch);
  Headers many = headers;
  while (many.size() < kMaxHeaders) many.push_back({"a", "b"});
  CHECK(judge("GET", "/k", many).code == Errc::ok);
  many.push_back({"a", "b"});
  CHECK(judge("GET", "/k", many).code == Errc::too_long);
  const std::string big(kMaxHeaderBytes, 'a');
  CHECK(judge("GET", "/k", with(headers, "a", big)).code == Errc::too_long);
  // Names and parameters that would be compared with each other are counted before anybody is known.
  std::string names;
  while (names.size() < 60000) names += "host;";
  CHECK(judge("GET", "/" + std::string(30000, '&') + "?" + std::string(2000, '&'),
              with(kPlain, "Authorization",
                   "AWS4-HMAC-SHA256 Credential=A/" + kScope + ",SignedHeaders=" + names + ",Signature=x"))
            .code == Errc::too_long);
  const auto parameters = [&](std::size_t n) {
    return judge("GET", "/k?" + std::string(n, '&'), headers).code;
  };
  CHECK(parameters(kMaxQueryParameters - 1) == Errc::ok);
  CHECK(parameters(kMaxQueryParameters) == Errc::too_long);
}

TEST(verify_signature_is_compared_whole) {
  const Request request;
  const std::string good = request.authorization();
  for (std::size_t i = good.size() - 64; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = bad[i] == '0' ? '1' : '0';
    CHECK(code_of_authorization(bad) == Errc::signature_mismatch);
  }
  CHECK(code_of_authorization(good + "0") == Errc::signature_mismatch);
  CHECK(code_of_authorization(good.substr(0, good.size() - 1)) == Errc::signature_mismatch);
  CHECK(code_of_authorization(good.substr(0, good.size() - 64)) == Errc::signature_mismatch);
}

// A key of another scope never matches, even if the caller mixes them up.
TEST(verify_wants_the_key_of_the_scope) {
  const Request request;
  const std::string authorization = request.authorization();
  const Headers headers = with(kPlain, "Authorization", authorization);
  const ReceivedRequest received{"GET", "/k", headers};
  ParsedAuth auth;
  const WellFormedRequest formed = well_formed(received).value();
  CHECK(parse_auth(formed, policy_at(kNow), auth).ok());
  const auto right = SigningKey::derive(reference::kSecret, "20260101", "us-east-1", "s3");
  // The same 32 bytes under another name.
  const auto wrong = SigningKey::restore({right.value().raw().data(), 32}, "20260101", "eu-west-1", "s3");
  Text a, b, c, d;
  CHECK(check_signature(formed, auth, right.value(), a, b).ok());
  CHECK(check_signature(formed, auth, wrong.value(), c, d).error().code == Errc::signature_mismatch);
}
