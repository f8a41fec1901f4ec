// Errors as values: bad input never throws across the core's boundary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

namespace s3accel {

// What the input broke. Each code is one meaning; the byte offset beside it in `Error` says where.
enum class Errc : std::uint16_t {
  ok = 0,

  // Signing: the caller's request cannot be signed as it stands.
  bad_method,          // empty, or a byte that is not an upper-case letter, digit, '-' or '_'
  bad_url,             // no scheme, no host, a control character or a space in it
  fragment_in_url,     // '#' in a URL to presign: browsers keep what follows it to themselves
  bad_percent_escape,  // '%' not followed by two hexadecimal digits
  raw_plus_in_query,   // '+' in a query: signers and servers read it in three different ways
  bad_header_name,     // empty or not an RFC 9110 token
  bad_header_value,    // CR, LF or NUL inside a value
  reserved_header,     // a header the signer itself sets (authorization, x-amz-date, ...)
  missing_host,        // neither the URL nor the headers name a host
  bad_timestamp,       // not YYYYMMDD'T'HHMMSS'Z'
  bad_payload_hash,    // neither 64 hexadecimal digits nor a known constant
  payload_conflict,    // x-amz-content-sha256 among the headers says another payload hash, or is there twice
  bad_scope,           // date, region or service empty or with '/' or white space in it
  bad_secret,          // empty, or white space at an end
  bad_key,             // a signing key that has not 32 bytes
  bad_chunk_size,      // outside 8 KiB .. 16 MiB
  bad_trailer,         // trailer name or value that cannot be sent
  bad_credentials,     // access key id or session token with a character that no key has
  bad_expires,         // outside 1 .. 604,800 seconds
  wrong_order,         // a step of a state machine called out of turn
  too_long,            // a hard limit on a length was passed

  // Verifying: the received request or body is not what its signature says.
  bad_target,                 // neither a path nor an http(s) URL whose authority is the Host
  auth_missing,               // no Authorization header and no X-Amz-Algorithm in the query
  auth_unsupported_v2,        // a Signature Version 2 form
  auth_two_mechanisms,        // header and query authentication in one request
  auth_unknown_type,          // an Authorization scheme that is none of AWS's
  auth_malformed,             // a component is missing, repeated or has the wrong shape
  credential_malformed,       // the Credential does not have its five parts
  credential_bad_date,        // the scope's date is no date
  credential_wrong_terminal,  // the scope does not end in aws4_request
  credential_wrong_service,
  credential_wrong_region,
  credential_date_mismatch,  // the scope's date is not the request's date
  region_set_malformed,      // SigV4a: not one x-amz-region-set that names regions
  date_missing,              // no usable x-amz-date or Date
  expires_not_a_number,
  expires_negative,
  expires_too_large,
  time_skewed,            // header authentication: more than the allowed skew from the server's clock
  request_expired,        // query authentication: later than date + expires
  request_not_yet_valid,  // query authentication: dated in the future by more than the allowed skew
  header_not_signed,      // an x-amz-* header that SignedHeaders does not list
  signed_header_missing,  // SignedHeaders lists a header that was not received
  content_sha256_missing,
  content_sha256_invalid,
  signature_mismatch,

  // Decoding an aws-chunked body.
  body_incomplete,       // bad framing, or the body ended early
  body_length_mismatch,  // sum of the chunks is not x-amz-decoded-content-length
  chunk_too_small,       // a chunk before the last one below 8,192 bytes
  chunk_signature_mismatch,
  trailer_signature_mismatch,
  trailer_malformed,  // undeclared, missing or badly formed trailer
};

struct Error {
  Errc code = Errc::ok;
  std::size_t offset = 0;  // byte offset into the input named by the function's comment
};

// A value, or an Error. `ok()` first, then `value()` or `error()`.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}  // NOLINT: implicit on purpose, `return value;`
  Result(Error error) : error_(error) {}         // NOLINT
  Result(Errc code, std::size_t offset = 0) : error_{code, offset} {}  // NOLINT

  bool ok() const noexcept { return error_.code == Errc::ok; }
  explicit operator bool() const noexcept { return ok(); }
  // Only after ok() said yes.
  T& value() noexcept { return *value_; }              // NOLINT(bugprone-unchecked-optional-access)
  const T& value() const noexcept { return *value_; }  // NOLINT(bugprone-unchecked-optional-access)
  Error error() const noexcept { return error_; }

 private:
  std::optional<T> value_;
  Error error_;
};

// The same without a value.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(error) {}                               // NOLINT
  Result(Errc code, std::size_t offset = 0) : error_{code, offset} {}  // NOLINT

  bool ok() const noexcept { return error_.code == Errc::ok; }
  explicit operator bool() const noexcept { return ok(); }
  Error error() const noexcept { return error_; }

 private:
  Error error_;
};

// The code's name as it stands above, for messages and tests.
const char* errc_name(Errc code) noexcept;

}  // namespace s3accel
