// botocore's own rules, for the adapter that signs in botocore's place. They differ from AWS's where botocore
// is lenient: the query is sorted but never re-encoded, every header but a given list is signed, and nothing
// is refused. What these functions cannot do exactly as botocore does they report as false, and botocore's
// own code signs that request. Source: botocore, auth.py.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "s3accel/canonical.h"
#include "s3accel/signing_key.h"
#include "s3accel/sigv4.h"
#include "s3accel/small_vector.h"
#include "s3accel/text.h"
#include "s3accel/url.h"

namespace s3accel::botocore {

// Which of botocore's signer classes is asked to sign.
enum class Kind {
  generic,  // SigV4Auth
  s3,       // S3SigV4Auth: the path as it is, X-Amz-Content-SHA256 always
  express,  // S3ExpressAuth: the same, with the token in x-amz-s3session-token
};

// A URL as botocore's code sees it, and the Host header that botocore makes of it. False for what urlsplit
// and botocore read in ways of their own: a scheme in upper case, an IPv6 literal, a byte that is no visible
// ASCII.
bool split_url(std::string_view url, UrlParts& out, Text& host);

// True if normalizing and quoting the path for a service other than S3 gives the path itself.
bool path_is_normal(std::string_view path);

// The headers that go out: given ones that stay, and those that are added behind them.
struct Header {
  enum class Origin { given, date, security_token, content_sha256, session_token };
  Origin origin;
  std::size_t index;  // among the given ones
  HeaderView view;
};
using Headers = SmallVector<Header, 48>;

struct Signing {
  Kind kind = Kind::generic;
  bool unsigned_payload = false;                  // Kind::generic: the service takes UNSIGNED-PAYLOAD
  std::string_view timestamp;                     // 16 characters
  std::optional<std::string_view> session_token;  // of the credentials
};

// The payload's line if a header or the service decides it; nullopt: the body must be hashed.
std::optional<std::string_view> decided_payload(std::span<const HeaderView> given, const Signing& signing);

// What a request that is signed with headers sends, but Authorization. False: one that botocore must sign,
// since it has a Date header, which botocore signs instead of the timestamp, or needs a token that is not
// there.
bool place_headers(std::span<const HeaderView> given, const Signing& signing, std::string_view payload,
                   Headers& out);
// The same for a presigned one; `dropped` says that a header went.
void place_presigned_headers(std::span<const HeaderView> given, Headers& out, bool& dropped);

struct Request {
  std::string_view method;  // any case
  std::string_view path;    // final
  std::string_view query;
  bool sort_query = true;                     // false: it is final
  std::string_view host;                      // used if no header of that name is signed
  std::span<const std::string_view> skipped;  // lower-case names that are not signed
  std::string_view payload_hash;
};

// The canonical request and the signed names. False: a name or the method holds a byte beyond ASCII, or a
// name holds white space.
bool canonical_request(const Request& request, const Headers& headers, Text& canonical, Text& signed_headers);

// Signs with headers: fills all texts and the signature. False as canonical_request.
bool sign(const Request& request, const Headers& headers, std::string_view access_key_id,
          const SigningKey& key, std::string_view timestamp, HeaderSignature& out);

struct Presigning {
  std::string_view given_query;  // the operation's parameters, encoded; those of the signature follow them
  std::string_view access_key_id;
  std::string_view timestamp;
  std::string_view expires;
  std::string_view token_parameter;
  std::optional<std::string_view> session_token;
};

// Presigns: `query` receives the parameters that go out, without the signature. False as canonical_request.
bool presign(Request request, const Headers& headers, const Presigning& presigning, const SigningKey& key,
             HeaderSignature& out, Text& query);

}  // namespace s3accel::botocore
