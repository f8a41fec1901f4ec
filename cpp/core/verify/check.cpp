// The signature of a received request, checked. Declared in verify.h.
#include "s3accel/secret.h"
#include "s3accel/verify.h"

namespace s3accel {

Result<void> string_to_verify(const WellFormedRequest& request, const ParsedAuth& auth, Text& canonical,
                              Text& to_sign) {
  CanonicalOptions options;
  options.path = signing_path_rule(auth.service);
  options.query = {Escapes::tolerant, Plus::space, "X-Amz-Signature"};
  options.headers.selection = Selection::listed;
  options.headers.listed = auth.signed_headers;
  // The payload hash stands in the canonical request as it was sent: upper-case digits are signed as such.
  const RequestView view{request.method, request.target.path, request.target.query, request.headers,
                         auth.payload_hash};
  Text names;
  const Result<void> built = canonical_request(view, options, canonical, names);
  if (!built && built.error().code != Errc::signed_header_missing) return built;
  string_to_sign(auth.scheme == Scheme::hmac ? kAlgorithm : kEcdsaAlgorithm, auth.timestamp, auth.scope,
                 canonical.view(), to_sign);
  return built;
}

Result<void> check_signature(const WellFormedRequest& request, const ParsedAuth& auth, const SigningKey& key,
                             Text& canonical, Text& to_sign) {
  const Result<void> built = string_to_verify(request, auth, canonical, to_sign);
  if (!built && built.error().code != Errc::signed_header_missing) return built;
  char expected[64];
  key.sign(to_sign.view(), expected);
  const bool equal = equal_constant_time(auth.signature, {expected, 64});
  secure_wipe(expected, sizeof expected);
  if (!built) return built;
  // A key has a region, so it is none of SigV4a's.
  if (!equal || auth.scheme != Scheme::hmac || key.scope() != auth.scope) return Errc::signature_mismatch;
  return {};
}

}  // namespace s3accel
