#include "chunked/chain.h"

#include <algorithm>

#include "s3accel/secret.h"
#include "s3accel/sigv4.h"

namespace s3accel {

namespace {

std::string head_of(std::string_view timestamp, std::string_view scope) {
  std::string head;
  head.append(timestamp).append("\n").append(scope).append("\n");
  return head;
}

class EcdsaChain final : public SignatureChain {
 public:
  EcdsaChain(std::string_view scope, std::string_view timestamp, std::string_view seed,
             ChunkDecoder::Check check)
      : check_(std::move(check)), head_(head_of(timestamp, scope)), previous_(seed) {}

  std::size_t signature_size() const noexcept override { return kEcdsaSignatureSize; }

  // Lower-case hexadecimal digits, at least one, and then nothing but what fills it up.
  bool good_form(std::string_view signature) const noexcept override {
    const std::string_view digits = without_filling(signature);
    return !digits.empty() && digits.find_first_not_of("0123456789abcdef") == digits.npos;
  }

  bool check_chunk(const std::uint8_t digest[32], std::string_view signature) override {
    const std::string_view own = without_filling(signature);
    const std::string to_sign = text("-PAYLOAD\n", std::string(kEmptyHash) + "\n", digest);
    if (!check_(to_sign, own)) return refuse(to_sign, own);
    previous_ = own;
    return true;
  }

  bool check_trailer(const std::uint8_t digest[32], std::string_view signature) override {
    const std::string to_sign = text("-TRAILER\n", {}, digest);
    return (signature.size() == kEcdsaSignatureSize && good_form(signature) &&
            check_(to_sign, without_filling(signature))) ||
           refuse(to_sign, signature);
  }

 private:
  static std::string_view without_filling(std::string_view signature) noexcept {
    return signature.substr(0, signature.find_last_not_of('*') + 1);
  }

  std::string text(std::string_view kind, std::string_view before_digest,
                   const std::uint8_t digest[32]) const {
    std::string out(kEcdsaAlgorithm);
    out.append(kind).append(head_).append(previous_).append("\n").append(before_digest);
    out.append(64, '0');
    hex_encode({digest, 32}, out.data() + out.size() - 64);
    return out;
  }

  ChunkDecoder::Check check_;
  std::string head_, previous_;
};

bool equal(const HmacSha256Key& key, Bytes message, std::string_view signature) noexcept {
  std::uint8_t mac[kSha256Size];
  char expected[kHmacSignatureSize];
  key.sign(message, mac);
  hex_encode(mac, expected);
  const bool same = equal_constant_time({expected, sizeof expected}, signature);
  secure_wipe(expected, sizeof expected);
  secure_wipe(mac, sizeof mac);
  return same;
}

}  // namespace

HmacChain::HmacChain(const SigningKey& key, std::string_view timestamp, std::string_view seed)
    : hmac_(key.hmac()), head_(head_of(timestamp, key.scope())) {
  to_sign_.append(kAlgorithm).append("-PAYLOAD\n").append(head_);
  previous_at_ = to_sign_.size();
  to_sign_.append(seed).append("\n").append(kEmptyHash).append("\n").append(kHmacSignatureSize, '0');
  // The constant part of a chunk's string to sign fills the first block with any scope, since the timestamp
  // is whole.
  chunk_ = hmac_.after_block(as_bytes(to_sign_).data());
}

bool HmacChain::check_chunk(const std::uint8_t digest[32], std::string_view signature) {
  hex_encode({digest, 32}, to_sign_.data() + to_sign_.size() - kHmacSignatureSize);
  if (!equal(chunk_, as_bytes(to_sign_).subspan(kSha256Block), signature)) return refuse(to_sign_, signature);
  // Equal, so the received text is the previous signature of the next chunk.
  std::copy(signature.begin(), signature.end(), to_sign_.data() + previous_at_);
  return true;
}

bool HmacChain::check_trailer(const std::uint8_t digest[32], std::string_view signature) {
  std::string to_sign(kAlgorithm);
  to_sign.append("-TRAILER\n").append(head_).append(to_sign_, previous_at_, kHmacSignatureSize);
  to_sign.append("\n").append(kHmacSignatureSize, '0');
  hex_encode({digest, 32}, to_sign.data() + to_sign.size() - kHmacSignatureSize);
  return equal(hmac_, as_bytes(to_sign), signature) || refuse(to_sign, signature);
}

std::unique_ptr<SignatureChain> hmac_chain(const SigningKey& key, std::string_view timestamp,
                                           std::string_view seed_signature) {
  if (seed_signature.size() != kHmacSignatureSize || !Timestamp::parse(timestamp)) return nullptr;
  return std::make_unique<HmacChain>(key, timestamp, seed_signature);
}

std::unique_ptr<SignatureChain> ecdsa_chain(std::string_view scope, std::string_view timestamp,
                                            std::string_view seed_signature, ChunkDecoder::Check check) {
  if (seed_signature.empty() || seed_signature.size() > kEcdsaSignatureSize || !Timestamp::parse(timestamp)) {
    return nullptr;
  }
  return std::make_unique<EcdsaChain>(scope, timestamp, seed_signature, std::move(check));
}

}  // namespace s3accel
