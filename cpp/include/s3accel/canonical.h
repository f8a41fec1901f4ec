// The canonical request: the exact text over which both sides compute the signature.
#pragma once

#include <span>
#include <string_view>

#include "s3accel/error.h"
#include "s3accel/header_block.h"
#include "s3accel/text.h"
#include "s3accel/uri.h"

namespace s3accel {

// Views that own nothing; they must outlive the call.
struct RequestView {
  std::string_view method;              // as sent, upper case
  std::string_view path;                // wire path without query; empty stands for "/"
  std::string_view query;               // wire query without '?'
  std::span<const HeaderView> headers;  // order kept for names that occur several times
  std::string_view payload_hash;        // last line: 64 digits or one of the constants
};

// By whose rules: S3's, those of other services, of a verifier, or botocore's own.
struct CanonicalOptions {
  PathRule path = PathRule::as_sent;
  QueryOptions query = {};
  HeaderOptions headers = {};
};

// Appends its first three lines: method, path and query. Errors: those of canonical_path and canonical_query.
Result<void> canonical_start(const RequestView& request, const CanonicalOptions& options, Text& out);

// Appends the canonical request to `out` and the signed names, sorted and joined by ';', to `signed_headers`.
// Errors: those of canonical_path and canonical_query (offset into path or query) and of write_header_block;
// after signed_header_missing the texts are complete all the same. Source: S3 API Reference,
// "sig-v4-header-based-auth"; IAM User Guide, "Create a signed AWS API request".
Result<void> canonical_request(const RequestView& request, const CanonicalOptions& options, Text& out,
                               Text& signed_headers);

}  // namespace s3accel
