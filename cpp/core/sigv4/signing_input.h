// Checks that header signing and presigning share. Private to src; defined in sigv4.cpp.
#pragma once

#include <span>
#include <string_view>

#include "s3accel/canonical.h"
#include "s3accel/error.h"
#include "s3accel/small_vector.h"

namespace s3accel {

bool valid_method(std::string_view method) noexcept;

// Both go into headers or queries as they are: a line break in one would be a header of its own.
bool valid_credentials(std::string_view access_key_id, std::string_view session_token) noexcept;

// An offset that counts in the query, as one that counts in the URL.
Error in_url(Error error, std::size_t query_offset) noexcept;

// Checks the caller's headers and adds `host` unless it is among them. A presigned request may carry
// x-amz-content-sha256 as a signed header of its own (`allow_sha256`).
Result<void> take_headers(std::span<const HeaderView> given, std::string_view host, bool allow_sha256,
                          SmallVector<HeaderView, 48>& out);

}  // namespace s3accel
