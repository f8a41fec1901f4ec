// Canonical requests by botocore's rules, for the adapter that signs in botocore's place. They differ from
// canonical.h where botocore is lenient: the query is sorted but never re-encoded, every header but a given
// list is signed, and nothing is refused. What these functions cannot do exactly as botocore does they report
// as false, and botocore's own code signs that request. Source: botocore, auth.py.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

#include "s3accel/canonical.h"
#include "s3accel/hmac.h"
#include "s3accel/sigv4.h"
#include "s3accel/text.h"

namespace s3accel {

// An absolute http or https URL cut as Python's urlsplit would cut it, and the Host header botocore derives
// from it. False: user info aside, anything unusual (upper-case scheme, IPv6 literal, non-ASCII byte, space).
struct PlainUrl {
  std::string_view path, query, before_query;
  bool has_fragment = false;
};
bool split_plain_url(std::string_view url, PlainUrl& out, Text& host);

// Pairs sorted by name, then by value; a pair without '=' gets one. Nothing is decoded or encoded.
void verbatim_query(std::string_view raw, Text& out);

// True if normalizing and quoting the path for a service other than S3 gives the path itself.
bool path_is_normal(std::string_view path) noexcept;

struct VerbatimRequest {
  std::string_view method;  // any case
  std::string_view path;    // final
  std::string_view query;   // final
  std::string_view host;    // used if no header of that name is signed
  std::span<const HeaderView> headers;
  std::span<const std::string_view> skipped;  // lower-case names that are not signed
  std::string_view payload_hash;
};

// Appends the canonical request and the signed names. False: a name or the method holds a byte beyond ASCII,
// or a name holds white space; both texts are then incomplete.
bool verbatim_canonical(const VerbatimRequest& request, Text& canonical, Text& signed_headers);

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
