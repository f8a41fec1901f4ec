#include "s3accel/error.h"

namespace s3accel {

const char* errc_name(Errc code) noexcept {
  switch (code) {
#define S3ACCEL_NAME(x) \
  case Errc::x:         \
    return #x;
    S3ACCEL_NAME(ok)
    S3ACCEL_NAME(bad_method)
    S3ACCEL_NAME(bad_url)
    S3ACCEL_NAME(fragment_in_url)
    S3ACCEL_NAME(bad_percent_escape)
    S3ACCEL_NAME(raw_plus_in_query)
    S3ACCEL_NAME(bad_header_name)
    S3ACCEL_NAME(bad_header_value)
    S3ACCEL_NAME(reserved_header)
    S3ACCEL_NAME(missing_host)
    S3ACCEL_NAME(bad_timestamp)
    S3ACCEL_NAME(bad_payload_hash)
    S3ACCEL_NAME(payload_conflict)
    S3ACCEL_NAME(bad_scope)
    S3ACCEL_NAME(bad_secret)
    S3ACCEL_NAME(bad_key)
    S3ACCEL_NAME(bad_chunk_size)
    S3ACCEL_NAME(bad_trailer)
    S3ACCEL_NAME(bad_credentials)
    S3ACCEL_NAME(bad_expires)
    S3ACCEL_NAME(wrong_order)
    S3ACCEL_NAME(too_long)
    S3ACCEL_NAME(bad_target)
    S3ACCEL_NAME(auth_missing)
    S3ACCEL_NAME(auth_unsupported_v2)
    S3ACCEL_NAME(auth_two_mechanisms)
    S3ACCEL_NAME(auth_unknown_type)
    S3ACCEL_NAME(auth_malformed)
    S3ACCEL_NAME(credential_malformed)
    S3ACCEL_NAME(credential_bad_date)
    S3ACCEL_NAME(credential_wrong_terminal)
    S3ACCEL_NAME(credential_wrong_service)
    S3ACCEL_NAME(credential_wrong_region)
    S3ACCEL_NAME(credential_date_mismatch)
    S3ACCEL_NAME(region_set_malformed)
    S3ACCEL_NAME(date_missing)
    S3ACCEL_NAME(expires_not_a_number)
    S3ACCEL_NAME(expires_negative)
    S3ACCEL_NAME(expires_too_large)
    S3ACCEL_NAME(time_skewed)
    S3ACCEL_NAME(request_expired)
    S3ACCEL_NAME(request_not_yet_valid)
    S3ACCEL_NAME(header_not_signed)
    S3ACCEL_NAME(signed_header_missing)
    S3ACCEL_NAME(content_sha256_missing)
    S3ACCEL_NAME(content_sha256_invalid)
    S3ACCEL_NAME(signature_mismatch)
    S3ACCEL_NAME(body_incomplete)
    S3ACCEL_NAME(body_length_mismatch)
    S3ACCEL_NAME(chunk_too_small)
    S3ACCEL_NAME(chunk_signature_mismatch)
    S3ACCEL_NAME(trailer_signature_mismatch)
    S3ACCEL_NAME(trailer_malformed)
#undef S3ACCEL_NAME
  }
  return "unknown";
}

}  // namespace s3accel
