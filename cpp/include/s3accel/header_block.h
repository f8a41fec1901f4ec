// The header lines of a canonical request: which headers are signed, in which order, and how each is written.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "s3accel/error.h"
#include "s3accel/text.h"

namespace s3accel {

struct HeaderView {
  std::string_view name;   // any case
  std::string_view value;  // as sent; may hold outer and inner white space and folded lines
};

// Which of the given headers are signed.
enum class Selection {
  recommended,  // host, content-type, content-md5, range and every x-amz-*
  all,          // everything but what is hop-by-hop or rewritten on the way (see `never_signed`)
  listed,       // exactly the names in `listed`: what a verifier reads from SignedHeaders
  others,       // everything but the names in `skipped`: botocore's rule
};

// What may be a name, and what is white space in a value.
enum class HeaderRule {
  http,    // RFC 9110: a token; SP, HTAB and the line breaks of a folded header
  python,  // botocore: ASCII without white space; what str.split() takes for white space, as far as it is
           // ASCII
};

struct HeaderOptions {
  Selection selection = Selection::recommended;
  HeaderRule rule = HeaderRule::http;
  std::string_view listed = {};                    // lower-case names joined by ';', for Selection::listed
  std::span<const std::string_view> skipped = {};  // lower-case names, for Selection::others
  std::string_view host = {};                      // written as host if no header of that name is signed
};

// True for the header names that are never signed: authorization, connection, expect, keep-alive,
// proxy-authenticate, proxy-authorization, te, trailer, transfer-encoding, upgrade, user-agent and
// x-amzn-trace-id. `lower` is in lower case.
bool never_signed(std::string_view lower) noexcept;

// True for what Selection::recommended takes. `lower` is in lower case.
bool recommended_signed(std::string_view lower) noexcept;

// Appends "name:value\n" for each signed name, sorted, to `out`, and the names joined by ';' to
// `signed_headers`. A name in lower case; a value without white space at its ends and with one space for
// every inner run of it; the values of a name that occurs several times joined by commas, in the order given.
// Errors: bad_header_name (offset: the header's index); signed_header_missing (offset into `listed`: the
// first name that was not given, or that is not where a sorted list has it; the texts are complete all the
// same, so that a server can show them).
Result<void> write_header_block(std::span<const HeaderView> headers, const HeaderOptions& options, Text& out,
                                Text& signed_headers);

}  // namespace s3accel
