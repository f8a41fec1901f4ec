#include "s3accel/key_cache.h"

#include <algorithm>
#include <cstring>

namespace s3accel {

SigningKeyCache::SigningKeyCache(Bytes random_key, std::size_t max_entries)
    : random_(random_key), max_entries_(max_entries) {}

std::shared_ptr<SigningKey> SigningKeyCache::get(std::string_view secret, std::string_view date,
                                                 std::string_view region, std::string_view service) {
  std::uint8_t tag[32];
  const std::lock_guard<std::mutex> lock(mutex_);
  random_.sign(as_bytes(secret), tag);
  for (Entry& entry : entries_) {
    if (std::memcmp(entry.tag, tag, sizeof tag) == 0 && entry.key->date() == date &&
        entry.key->region() == region && entry.key->service() == service) {
      entry.used = ++clock_;
      return entry.key;
    }
  }
  auto made = SigningKey::derive(secret, date, region, service);
  if (!made) return nullptr;
  auto key = std::make_shared<SigningKey>(std::move(made.value()));
  // A later day ends the earlier ones. An earlier day (a clock set back) is used and not kept.
  std::erase_if(entries_, [&](const Entry& entry) { return entry.key->date() < date; });
  if (!entries_.empty() && entries_.front().key->date() > date) return key;
  if (entries_.size() >= max_entries_) {
    const auto oldest = std::min_element(entries_.begin(), entries_.end(),
                                         [](const Entry& a, const Entry& b) { return a.used < b.used; });
    entries_.erase(oldest);
  }
  Entry entry{{}, key, ++clock_};
  std::memcpy(entry.tag, tag, sizeof tag);
  entries_.push_back(std::move(entry));
  return key;
}

void SigningKeyCache::clear(Bytes random_key) {
  const std::lock_guard<std::mutex> lock(mutex_);
  entries_.clear();
  random_ = HmacSha256Key(random_key);
}

std::size_t SigningKeyCache::size() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return entries_.size();
}

}  // namespace s3accel
