// parse_auth and check_signature on a raw request: request line, then name:value lines, ended by LF. Whatever
// was parsed, the signature that check_signature wants is the one over its own string to sign, and only that
// one.
#include "../reference.h"
#include "fuzz.h"
#include "s3accel/verify.h"

using namespace s3accel;

std::vector<std::string> fuzz_seeds() {
  const std::string scope = "20260101/us-east-1/s3/aws4_request";
  const std::string authorization =
      "Authorization:AWS4-HMAC-SHA256 Credential=" + reference::kKeyId + "/" + scope +
      ", SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=" + std::string(64, 'a') + "\n";
  const std::string headers =
      "Host:b.s3.amazonaws.com\nX-Amz-Date:20260101T120000Z\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n";
  const std::string query =
      "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20260101%2Fus-east-1%2Fs3%2Faws4_request"
      "&X-Amz-Date=20260101T120000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=x";
  return {"GET /k%20?a=1&b\n" + headers + authorization,
          "PUT /?x-id=1\n" + authorization + headers + "x-amz-meta-a:1\nx-amz-acl:x\n",
          "GET /k?" + query + "\nHost:h\n",
          "GET http://h/k?" + query +
              "&X-Amz-Security-Token=t%2B&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD\nHost:h\n",
          "GET /k\nDate:20260101T120000Z\nAuthorization:AWS A:b\nHost:h\n",
          "GET /k?AWSAccessKeyId=A\n"};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  ReceivedRequest request{};
  request.method = input.until(' ');
  request.target = input.until('\n');
  std::vector<HeaderView> headers;
  while (!input.empty()) {
    const std::string_view line = input.until('\n');
    const std::size_t colon = std::min(line.find(':'), line.size());
    headers.push_back({line.substr(0, colon), line.substr(std::min(colon + 1, line.size()))});
  }
  request.headers = headers;
  VerifyPolicy policy;
  policy.now = 1767268800;  // 20260101T120000Z
  ParsedAuth auth;
  const auto formed = well_formed(request);
  if (!formed) {
    REQUIRE(formed.error().code == Errc::too_long || formed.error().code == Errc::bad_method ||
            formed.error().code == Errc::bad_target);
    return 0;
  }
  const auto parsed = parse_auth(formed.value(), policy, auth);
  REQUIRE(auth.detail.size() <= kMaxHeaderBytes + 4096);
  if (!parsed) {
    REQUIRE((parsed.error().code >= Errc::too_long || parsed.error().code == Errc::bad_method) &&
            parsed.error().code < Errc::signature_mismatch);
    return 0;
  }
  // What callers rely on once there is no error.
  REQUIRE(!auth.access_key_id.empty() && auth.access_key_id.find('/') == std::string::npos);
  REQUIRE(auth.credential == auth.access_key_id + "/" + auth.scope);
  REQUIRE(auth.scope == auth.date + "/" + auth.region + "/" + auth.service + "/aws4_request");
  REQUIRE(auth.service == "s3" && valid_date(auth.date) && !auth.region.empty());
  REQUIRE(Timestamp::parse(auth.timestamp).ok() && auth.timestamp.substr(0, 8) == auth.date);
  REQUIRE(auth.expires >= 0 && auth.expires <= 604800);
  if (auth.deferred.code != Errc::ok) return 0;
  REQUIRE(valid_payload_hash(auth.payload_hash));
  const auto key = SigningKey::derive(reference::kSecret, auth.date, auth.region, auth.service);
  if (!key) return 0;

  Text canonical, to_sign;
  const auto r = check_signature(formed.value(), auth, key.value(), canonical, to_sign);
  if (!r.ok() && r.error().code != Errc::signature_mismatch) return 0;
  // Nobody guesses a signature, but a test vector may hold it.
  REQUIRE(r.ok() == (auth.signature == reference::sign(auth.scope, to_sign.view())));
  // Three lines of request, one for each signed name, an empty one, the names, the hash.
  const auto lines = std::count(canonical.view().begin(), canonical.view().end(), '\n');
  const std::string names(canonical.view().substr(0, canonical.view().rfind('\n')));
  const std::string list = names.substr(names.rfind('\n') + 1);
  REQUIRE(lines == 5 + std::count(list.begin(), list.end(), ';') + 1);
  REQUIRE((";" + list + ";").find(";host;") != std::string::npos);

  ParsedAuth right = auth;
  right.signature = reference::sign(auth.scope, to_sign.view());
  Text c, t;
  REQUIRE(check_signature(formed.value(), right, key.value(), c, t).ok());
  REQUIRE(c.view() == canonical.view() && t.view() == to_sign.view());
  // With another byte in what was signed it is wrong.
  right.payload_hash =
      right.payload_hash == kUnsignedPayload ? std::string(kEmptyHash) : std::string(kUnsignedPayload);
  Text c2, t2;
  REQUIRE(check_signature(formed.value(), right, key.value(), c2, t2).error().code ==
          Errc::signature_mismatch);
  return 0;
}
