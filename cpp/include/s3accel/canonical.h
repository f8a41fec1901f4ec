// The canonical request: the exact text over which both sides compute the signature.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "s3accel/error.h"
#include "s3accel/text.h"
#include "s3accel/uri.h"

namespace s3accel {

struct HeaderView {
  std::string_view name;   // any case
  std::string_view value;  // as sent; may hold outer and inner white space and folded lines
};

// Views that own nothing; they must outlive the call.
struct RequestView {
  std::string_view method;              // as sent, upper case
  std::string_view path;                // wire path without query; empty stands for "/"
  std::string_view query;               // wire query without '?'
  std::span<const HeaderView> headers;  // order kept for names that occur several times
  std::string_view payload_hash;        // last line: 64 digits or one of the constants
};

// Which of the given headers are signed.
enum class Selection {
  recommended,  // host, content-type, content-md5, range and every x-amz-*
  all,          // everything but what is hop-by-hop or rewritten on the way (see `never_signed`)
  listed,       // exactly the names in `listed`: what a verifier reads from SignedHeaders
};

struct CanonicalOptions {
  PathRule path = PathRule::as_sent;
  QueryOptions query = {};
  Selection selection = Selection::recommended;
  std::string_view listed = {};  // lower-case names joined by ';', for Selection::listed
};

// True for the header names that are never signed: authorization, connection, expect, keep-alive,
// proxy-authenticate, proxy-authorization, te, trailer, transfer-encoding, upgrade, user-agent and
// x-amzn-trace-id. `lower` is in lower case.
bool never_signed(std::string_view lower) noexcept;

// True for what Selection::recommended takes. `lower` is in lower case.
bool recommended_signed(std::string_view lower) noexcept;

// Appends its first three lines: method, path and query. Errors: those of canonical_path and canonical_query.
Result<void> canonical_start(const RequestView& request, const CanonicalOptions& options, Text& out);

// Appends the canonical request to `out` and the signed names, sorted and joined by ';', to `signed_headers`.
// Errors: those of canonical_path and canonical_query (offset into path or query), bad_header_name (offset is
// the header's index), signed_header_missing (offset into `listed`; the texts are complete all the same, so
// that a server can show them). Source: S3 API Reference, "sig-v4-header-based-auth"; IAM User Guide, "Create
// a signed AWS API request".
Result<void> canonical_request(const RequestView& request, const CanonicalOptions& options, Text& out,
                               Text& signed_headers);

}  // namespace s3accel
