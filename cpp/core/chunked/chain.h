// The chain of signatures of a received stream: each chunk's string to sign holds the signature before it.
// Private to the core.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "s3accel/chunk_decoder.h"
#include "s3accel/hmac.h"

namespace s3accel {

class SignatureChain {
 public:
  SignatureChain() = default;
  SignatureChain(const SignatureChain&) = delete;
  SignatureChain& operator=(const SignatureChain&) = delete;
  virtual ~SignatureChain() = default;

  // Characters of a signature in a chunk header.
  virtual std::size_t signature_size() const noexcept = 0;
  // False for what can be no signature at all: that is bad framing, not a wrong signature.
  virtual bool good_form(std::string_view signature) const noexcept = 0;
  // True if it is the next chunk's signature; then it becomes the one before the next. `digest` is the
  // SHA-256 of the chunk's data.
  virtual bool check_chunk(const std::uint8_t digest[32], std::string_view signature) = 0;
  // True if it is the trailer's; `digest` is that of the trailer's line.
  virtual bool check_trailer(const std::uint8_t digest[32], std::string_view signature) = 0;

  // What was asked for last, if that was wrong.
  const std::string& wanted() const noexcept { return wanted_; }
  const std::string& provided() const noexcept { return provided_; }

 protected:
  bool refuse(std::string_view to_sign, std::string_view signature) {
    wanted_ = to_sign;
    provided_ = signature.substr(0, 256);
    return false;
  }

 private:
  std::string wanted_, provided_;
};

// Signature Version 4.
class HmacChain final : public SignatureChain {
 public:
  // `seed` has kHmacSignatureSize characters, `timestamp` is one.
  HmacChain(const SigningKey& key, std::string_view timestamp, std::string_view seed);

  std::size_t signature_size() const noexcept override { return kHmacSignatureSize; }
  // Whatever stands there is compared.
  bool good_form(std::string_view) const noexcept override { return true; }
  bool check_chunk(const std::uint8_t digest[32], std::string_view signature) override;
  bool check_trailer(const std::uint8_t digest[32], std::string_view signature) override;

 private:
  HmacSha256Key hmac_;
  HmacSha256Key chunk_;  // after the constant first 64 bytes of every chunk's string to sign
  std::string head_;     // "<date>\n<scope>\n"
  std::string to_sign_;  // a chunk's, rewritten in place
  std::size_t previous_at_ = 0;
};

// nullptr: no timestamp, or a seed signature that is none.
std::unique_ptr<SignatureChain> hmac_chain(const SigningKey& key, std::string_view timestamp,
                                           std::string_view seed_signature);
std::unique_ptr<SignatureChain> ecdsa_chain(std::string_view scope, std::string_view timestamp,
                                            std::string_view seed_signature, ChunkDecoder::Check check);

}  // namespace s3accel
