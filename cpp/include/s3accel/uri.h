// URI encoding as AWS signatures want it, and the canonical forms of path and query.
#pragma once

#include <string_view>

#include "s3accel/error.h"
#include "s3accel/text.h"

namespace s3accel {

// Appends UriEncode(in): every byte except A-Z a-z 0-9 - . _ ~ becomes %XX with upper-case digits; '/' stays
// if `keep_slash`. Never guesses that its input is encoded already.
// Source: S3 API Reference, "sig-v4-header-based-auth".
void uri_encode(std::string_view in, bool keep_slash, Text& out);

// What a '%' that no two hexadecimal digits follow means: an error for a signer, a literal '%' (so %25) for
// a verifier that must judge what it received.
enum class Escapes { strict, tolerant };

// What a raw '+' in a query means. There is no agreement: awscrt reads a plus, servers that decode forms
// read a space, botocore copies it. A signer refuses it, a verifier reads a space.
enum class Plus { literal, space, refuse };

// How the canonical query comes from the wire query.
enum class QueryRule {
  canonical,  // AWS's: empty segments dropped, names and values decoded, encoded, sorted
  sorted,     // botocore's: segments sorted as they are, an empty one is a pair of nothing; never an error
  as_sent,    // exactly as it goes out
};

struct QueryOptions {
  Escapes escapes = Escapes::strict;
  Plus plus = Plus::literal;
  std::string_view skip = {};  // one decoded name to leave out: X-Amz-Signature
  QueryRule rule = QueryRule::canonical;
};

// Appends the canonical query: split at '&', each segment at its first '=', the pairs by the rule, sorted by
// name and then by value as they are written, duplicates kept, '=' always written. `raw` is the wire query
// without '?'. The error offset counts from the start of `raw`.
Result<void> canonical_query(std::string_view raw, const QueryOptions& options, Text& out);

// How the canonical path comes from the wire path (the path without query; empty stands for "/").
enum class PathRule {
  verbatim,          // botocore for S3: as it stands in the URL, which may be nothing at all
  as_sent,           // exactly as it goes out: other signers of S3, for comparing with them
  decode_encode,     // S3: decoded and encoded again, nothing normalized
  encode,            // other services: the wire path encoded once more
  normalize_encode,  // other services: dot segments and empty segments resolved, then encoded once more
};

// Appends the canonical path. Only `decode_encode` with strict escapes can fail (bad_percent_escape).
Result<void> canonical_path(std::string_view wire, PathRule rule, Escapes escapes, Text& out);

}  // namespace s3accel
