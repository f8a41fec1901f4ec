// parse_auth and string_to_verify for both schemes on one raw request: whatever was parsed, the canonical
// request and the string to sign are those of a plain implementation, no signature over them passes for the
// other scheme, and memory is bounded by what was received. Input: request line, then name:value lines, ended
// by LF.
#include "../reference.h"
#include "budget.h"
#include "fuzz.h"
#include "request.h"
#include "s3accel/verify.h"

using namespace s3accel;

std::vector<std::string> fuzz_seeds() {
  const std::string authorization =
      "Authorization:AWS4-ECDSA-P256-SHA256 Credential=AKID/20260101/s3/aws4_request, "
      "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-region-set, Signature=3045\n";
  const std::string headers =
      "Host:b.s3.amazonaws.com\nX-Amz-Date:20260101T120000Z\nX-Amz-Region-Set:us-*,eu-west-1\n"
      "x-amz-content-sha256:STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD\n";
  const std::string query =
      "X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-Credential=A%2F20260101%2Fs3%2Faws4_request"
      "&X-Amz-Date=20260101T120000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Region-Set=%2A&X-Amz-"
      "Signature=x";
  return {
      "GET /k%20?a=1&b\n" + headers + authorization, "GET /k?" + query + "\nHost:h\n",
      "PUT https://b.s3.amazonaws.com/?x-id=1\n" + authorization + headers + "x-amz-meta-a: 1\n",
      "GET /k?" + query + "&X-Amz-Security-Token=t%2B&a=b+c\nHost:h\n",
      "GET /\nHost:h\nX-Amz-Date:20260101T120000Z\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n"
      "Authorization:AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/s3/aws4_request,SignedHeaders=host;"
      "x-amz-content-sha256;x-amz-date,Signature=0\n"};
}

namespace {

// Returns whether the request was parsed.
bool check(const ReceivedRequest& request, const fuzz::Sent& sent, Scheme scheme, std::size_t size) {
  VerifyPolicy policy;
  policy.now = 1767268800;  // 20260101T120000Z
  policy.scheme = scheme;
  ParsedAuth auth;
  const auto formed = well_formed(request);
  if (!formed) return false;
  const WellFormedRequest& good = formed.value();
  Result<void> parsed, built;
  Text canonical, to_sign;
  const std::size_t bytes = fuzz::bytes_of([&] {
    parsed = parse_auth(good, policy, auth);
    if (parsed && auth.deferred.code == Errc::ok) built = string_to_verify(good, auth, canonical, to_sign);
  });
  REQUIRE(bytes <= 40 * size + 65536);
  if (!parsed) {
    REQUIRE(parsed.error().code >= Errc::too_long && parsed.error().code < Errc::signature_mismatch);
    return false;
  }
  const bool hmac = scheme == Scheme::hmac;
  REQUIRE(auth.scheme == scheme && valid_date(auth.date) && auth.service == "s3");
  REQUIRE(auth.credential == auth.access_key_id + "/" + auth.scope && !auth.access_key_id.empty());
  REQUIRE(auth.scope == auth.date + (hmac ? "/" + auth.region : "") + "/s3/aws4_request");
  REQUIRE(hmac ? auth.region_set.empty() : auth.region.empty() && !auth.region_set.empty());
  REQUIRE(auth.region_set.size() <= kMaxRegionSet && auth.signed_headers.size() <= kMaxSignedHeadersLength);
  if (auth.deferred.code != Errc::ok) return true;
  REQUIRE(valid_payload_hash(auth.payload_hash));
  if (!built && built.error().code == Errc::bad_header_name) {
    REQUIRE(built.error().offset < request.headers.size());
    return true;
  }
  const std::string expected = std::string(hmac ? kAlgorithm : kEcdsaAlgorithm) + "\n" + auth.timestamp +
                               "\n" + auth.scope + "\n" + reference::sha256_hex(canonical.view());
  REQUIRE(to_sign.view() == expected);
  const std::set<std::string> names = fuzz::name_set(auth.signed_headers);
  REQUIRE(canonical.view() == sent.canonical(names) + auth.payload_hash);
  if (built) {
    // Every x-amz-* header and the host are among the names, and all names are there.
    std::set<std::string> there;
    for (const auto& [name, value] : sent.headers) there.insert(fuzz::lower(name));
    for (const std::string& name : names) REQUIRE(there.count(name) == 1);
    for (const std::string& name : sent.amz_names())
      REQUIRE(name == "x-amz-content-sha256" || names.count(name) == 1);
    REQUIRE(names.count("host") == 1);
  } else {
    REQUIRE(built.error().code == Errc::signed_header_missing);
  }

  // Signed with the key of another scheme, region or day.
  auto key = SigningKey::derive(reference::kSecret, auth.date, hmac ? auth.region : "us-east-1", "s3");
  if (!key) return true;
  char digits[64];
  key.value().sign(to_sign.view(), digits);
  ParsedAuth right = auth;
  right.signature.assign(digits, 64);
  Text c, t;
  REQUIRE(check_signature(good, right, key.value(), c, t).ok() == (hmac && built.ok()));
  const auto wrong = SigningKey::derive(reference::kSecret, auth.date, hmac ? auth.region + "x" : "eu", "s3");
  if (wrong) {
    wrong.value().sign(to_sign.view(), digits);
    right.signature.assign(digits, 64);
    Text c2, t2;
    REQUIRE(!check_signature(good, right, wrong.value(), c2, t2).ok());
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  fuzz::Sent sent;
  sent.method = input.until(' ');
  sent.target = input.until('\n');
  sent.headers = fuzz::header_lines(input);
  const std::vector<HeaderView> headers = sent.views();
  const std::string target = sent.target;
  const ReceivedRequest request{sent.method, target, headers, {}};
  if (const auto formed = well_formed(request); formed) {
    // The plain form of what was judged: an absolute target is its path and query.
    sent.target = formed.value().target.path;
    if (!formed.value().target.query.empty()) sent.target += "?" + std::string(formed.value().target.query);
  }
  const bool hmac = check(request, sent, Scheme::hmac, size),
             ecdsa = check(request, sent, Scheme::ecdsa, size);
  REQUIRE(!(hmac && ecdsa));
  return 0;
}
