// The text of an Authorization header, written and read. Private to the core.
#pragma once

#include <string_view>

#include "s3accel/error.h"
#include "s3accel/text.h"

namespace s3accel {

// Appends "AWS4-HMAC-SHA256 Credential=AKID/scope, SignedHeaders=..., Signature=...".
void write_authorization(std::string_view access_key_id, std::string_view scope,
                         std::string_view signed_headers, std::string_view signature, Text& out);

// Views into the text that was read.
struct AuthorizationParts {
  std::string_view credential, signed_headers, signature;
};

// Reads one whose scheme is `algorithm`: the three components in any order, white space round them, nothing
// twice and nothing else. Errors: auth_unsupported_v2, auth_unknown_type, auth_malformed; `detail` is then
// the piece at fault.
Result<AuthorizationParts> read_authorization(std::string_view text, std::string_view algorithm,
                                              std::string_view& detail) noexcept;

// A credential's parts: "AKID/date/region/service/aws4_request", or without the region. Views into the text.
struct CredentialParts {
  std::string_view access_key_id, date, region, service, terminal;
  std::string_view scope;  // all behind the access key id
};

// Cuts at the slashes and says nothing of the parts but their number and that the first is an access key id
// of 1 to 256 characters. Error: credential_malformed.
Result<CredentialParts> read_credential(std::string_view text, bool with_region) noexcept;

}  // namespace s3accel
