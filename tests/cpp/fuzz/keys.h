// The key that targets sign with: of AWS's documentation, for S3 in us-east-1.
#pragma once

#include <string_view>
#include <utility>

#include "../reference.h"
#include "s3accel/signing_key.h"

namespace fuzz {

inline s3accel::SigningKey key_of(std::string_view date) {
  return std::move(s3accel::SigningKey::derive(reference::kSecret, date, "us-east-1", "s3").value());
}

}  // namespace fuzz
