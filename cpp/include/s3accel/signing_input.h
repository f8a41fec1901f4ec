// What every way of signing asks of a request, whatever makes the signature.
#pragma once

#include <span>
#include <string_view>

#include "s3accel/canonical.h"
#include "s3accel/error.h"
#include "s3accel/sigv4.h"
#include "s3accel/small_vector.h"
#include "s3accel/text.h"
#include "s3accel/url.h"

namespace s3accel {

bool valid_method(std::string_view method) noexcept;

// Both go into headers or queries as they are: a line break in one would be a header of its own.
bool valid_credentials(std::string_view access_key_id, std::string_view session_token) noexcept;

// Where the signature goes. A presigned URL must not carry one of the parameters that it adds, nor a '#',
// which is nearly always part of a key that was not encoded; but it may have x-amz-content-sha256 as a signed
// header.
enum class Place { headers, query };

// A request that can be signed. Views into it.
struct SigningInput {
  UrlParts url;
  Text host;                            // what Host says unless it is among the headers
  SmallVector<HeaderView, 48> headers;  // the caller's; room for those that the signer adds
  std::string_view payload_hash;
};

// `payload_hash` may be empty for Place::query: then it is the value of the x-amz-content-sha256 header if
// there is one, or else UNSIGNED-PAYLOAD for S3 and the hash of nothing for other services. Errors:
// bad_method; bad_url, fragment_in_url, bad_percent_escape, missing_host (offset in the URL); reserved_header
// (the header's index, or for a parameter the offset in the URL); bad_header_value, payload_conflict (the
// header's index); bad_payload_hash.
Result<void> read_signing_input(std::string_view method, std::string_view url,
                                std::span<const HeaderView> headers, std::string_view payload_hash,
                                Place place, std::string_view service, Scheme scheme, SigningInput& out);

// An offset that counts in the query, as one that counts in the URL.
Error in_url(Error error, std::size_t query_offset) noexcept;

}  // namespace s3accel
