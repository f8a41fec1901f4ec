// Derived keys, kept and found again.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "s3accel/bytes.h"
#include "s3accel/hmac.h"
#include "s3accel/signing_key.h"

namespace s3accel {

// Signing keys of recent days, found by secret, date, region and service without keeping any secret: an entry
// holds the HMAC of the secret under a random key of this cache. Thread-safe; bounded; keys of a day are
// dropped when a later day is asked for.
class SigningKeyCache {
 public:
  explicit SigningKeyCache(Bytes random_key, std::size_t max_entries = 64);

  // nullptr if the secret or the scope cannot be (see SigningKey::derive).
  std::shared_ptr<SigningKey> get(std::string_view secret, std::string_view date, std::string_view region,
                                  std::string_view service);
  void clear(Bytes random_key);
  std::size_t size() const;

 private:
  struct Entry {
    std::uint8_t tag[32];
    std::shared_ptr<SigningKey> key;
    std::uint64_t used;
  };
  mutable std::mutex mutex_;
  HmacSha256Key random_;
  std::size_t max_entries_;
  std::uint64_t clock_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace s3accel
