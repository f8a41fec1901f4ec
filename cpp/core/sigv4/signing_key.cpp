#include "s3accel/signing_key.h"

#include <algorithm>
#include <array>

#include "base/ascii.h"
#include "s3accel/sha256.h"

namespace s3accel {

namespace {

bool valid_scope_part(std::string_view text) noexcept {
  return !text.empty() && text.size() <= 128 && all_visible(text) && text.find_first_of("/,;=") == text.npos;
}

}  // namespace

Result<SigningKey> SigningKey::derive(std::string_view secret, std::string_view date, std::string_view region,
                                      std::string_view service) {
  // White space at an end is what pasting leaves behind; AWS's keys never have it, and the server's answer
  // to it would be a bare SignatureDoesNotMatch.
  if (secret.empty() || secret.size() > 512 || !all_visible(secret)) return Errc::bad_secret;
  constexpr std::string_view kPrefix = "AWS4";
  SecretArray<4 + 512> first;
  std::copy(kPrefix.begin(), kPrefix.end(), first.data());
  std::copy(secret.begin(), secret.end(), first.data() + kPrefix.size());
  SecretArray<32> key;
  const Bytes steps[] = {as_bytes(date), as_bytes(region), as_bytes(service), as_bytes(kTerminal)};
  hmac_sha256_chain({first.data(), kPrefix.size() + secret.size()}, steps, key.data());
  return restore({key.data(), 32}, date, region, service);
}

Result<SigningKey> SigningKey::restore(Bytes key, std::string_view date, std::string_view region,
                                       std::string_view service) {
  if (key.size() != 32) return Errc::bad_key;
  if (!valid_date(date)) return {Errc::bad_scope, 0};
  if (!valid_scope_part(region)) return {Errc::bad_scope, 1};
  if (!valid_scope_part(service)) return {Errc::bad_scope, 2};
  SigningKey k;
  k.hmac_ = HmacSha256Key(key);
  std::copy(key.begin(), key.end(), k.raw_.data());
  k.scope_.reserve(8 + region.size() + service.size() + kTerminal.size() + 3);
  k.scope_.append(date).append("/").append(region).append("/").append(service).append("/");
  k.scope_.append(kTerminal);
  k.region_size_ = region.size();
  return k;
}

std::string_view SigningKey::service() const noexcept {
  const std::size_t from = 9 + region_size_ + 1;
  return scope().substr(from, scope_.size() - from - 1 - kTerminal.size());
}

void SigningKey::sign(std::string_view string_to_sign, char out[64]) const noexcept {
  std::uint8_t mac[32];
  hmac_.sign(as_bytes(string_to_sign), mac);
  hex_encode(mac, out);
}

namespace {

void append_prefix(std::string_view algorithm, std::string_view timestamp, std::string_view scope,
                   Text& out) {
  out.append(algorithm);
  out.push('\n');
  out.append(timestamp);
  out.push('\n');
  out.append(scope);
  out.push('\n');
}

}  // namespace

void string_to_sign(std::string_view algorithm, std::string_view timestamp, std::string_view scope,
                    std::string_view canonical_request, Text& out) {
  std::uint8_t digest[kSha256Size];
  sha256(as_bytes(canonical_request), digest);
  append_prefix(algorithm, timestamp, scope, out);
  hex_encode({digest, kSha256Size}, out.grow(64));
}

TimedKey::TimedKey(const SigningKey& key, const Timestamp& now) : key_(&key), now_(now), hmac_(key.hmac()) {
  Text prefix;
  append_prefix(kAlgorithm, now.text(), key.scope(), prefix);
  prefix_ = prefix.view();
  // Only a region and a service of three letters together leave less than a block.
  if (prefix_.size() >= kSha256Block) {
    hmac_ = hmac_.after_block(as_bytes(prefix_).data());
    hashed_ = kSha256Block;
  }
}

void TimedKey::sign(const std::uint8_t* digest, Text& to_sign, char out[64]) const {
  const std::size_t from = to_sign.size();
  to_sign.append(prefix_);
  hex_encode({digest, kSha256Size}, to_sign.grow(64));
  std::uint8_t mac[kSha256Size];
  hmac_.sign(as_bytes(to_sign.view().substr(from + hashed_)), mac);
  hex_encode(mac, out);
}

void TimedKey::sign_many(const std::uint8_t* digests, std::size_t n, std::uint8_t* macs) const {
  // Only what no kept state has hashed yet is written out.
  const std::string_view rest = std::string_view(prefix_).substr(hashed_);
  const std::size_t size = rest.size() + 64;
  Text strings;
  for (std::size_t i = 0; i < n; ++i) {
    strings.append(rest);
    hex_encode({digests + i * kSha256Size, kSha256Size}, strings.grow(64));
  }
  std::array<Bytes, kMaxLanes> views;
  for (std::size_t i = 0; i < n; ++i) views[i] = as_bytes(strings.view(i * size, size));
  hmac_.sign_many({views.data(), n}, macs);
}

}  // namespace s3accel
