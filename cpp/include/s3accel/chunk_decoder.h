// aws-chunked bodies as a server receives them, decoded and checked while they stream by.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "s3accel/bytes.h"
#include "s3accel/error.h"
#include "s3accel/sha256.h"
#include "s3accel/signing_key.h"

namespace s3accel {

// Hard limits.
inline constexpr std::size_t kMaxChunkHeader = 1024;
inline constexpr std::size_t kMaxTrailerBytes = 4096;
// Characters of a signature in a stream: HMAC in hexadecimal, and DER in hexadecimal filled up with '*'.
inline constexpr std::size_t kHmacSignatureSize = 64;
inline constexpr std::size_t kEcdsaSignatureSize = 144;

class SignatureChain;

// Decodes an aws-chunked body and checks it chunk by chunk in bounded memory: at most one chunk header, one
// trailer section and one batch of views into the caller's output are kept. Which error is reported does not
// depend on how the body was cut into pieces, and the first error stays: every later call repeats it.
class ChunkDecoder {
 public:
  struct Config {
    bool with_signatures = true;
    bool trailer_mode = false;         // one of the ...-TRAILER constants
    std::uint64_t decoded_length = 0;  // x-amz-decoded-content-length
    std::string trailer_name;          // lower case; empty if none was declared
    std::string timestamp;
    std::string seed_signature;
  };
  // Says whether a signature (hexadecimal DER, without what fills it up) is one of a string to sign.
  using Check = std::function<bool(std::string_view to_sign, std::string_view signature)>;

  // With signatures, `key`, a timestamp and a seed signature of 64 characters are needed; without them every
  // call fails with wrong_order.
  ChunkDecoder(Config config, const SigningKey* key);
  // SigV4a: each signature of the stream, 144 characters, is for `check` to judge.
  ChunkDecoder(Config config, std::string_view scope, Check check);
  ~ChunkDecoder();
  ChunkDecoder(ChunkDecoder&&) noexcept;
  ChunkDecoder& operator=(ChunkDecoder&&) noexcept;

  // Takes the next bytes of the body, in pieces of any size, and writes the decoded ones to `out`, which has
  // room for in.size() bytes. Returns how many were written. A chunk's bytes may be written before its
  // signature is known: the caller keeps them in a temporary place until finish() says yes.
  // Errors: body_incomplete, body_length_mismatch, chunk_too_small, chunk_signature_mismatch,
  // trailer_signature_mismatch, trailer_malformed; offset: of the fault, from the start of the body.
  Result<std::size_t> feed(Bytes in, std::uint8_t* out);
  // Must be called at the end of the body. The same errors.
  Result<void> finish();

  std::uint64_t decoded() const noexcept { return decoded_; }
  std::uint64_t data_chunks() const noexcept { return chunks_; }
  // After chunk_too_small: the number of the chunk at whose header it was noticed, and the bad size.
  std::uint64_t bad_chunk() const noexcept { return bad_chunk_; }
  std::uint64_t bad_chunk_size() const noexcept { return bad_chunk_size_; }
  // After body_length_mismatch: the bytes provided so far, with those announced by the last chunk header.
  std::uint64_t provided() const noexcept { return provided_; }
  // After a signature mismatch: the string to sign and the signature received.
  std::string_view to_sign() const noexcept;
  std::string_view provided_signature() const noexcept;
  const std::string& trailer_value() const noexcept { return trailer_value_; }

 private:
  enum class State { header, data, data_crlf, trailer, done };
  struct Pending {
    Bytes data;
    std::array<char, kEcdsaSignatureSize> signature;
    std::uint64_t offset;
  };

  Result<std::size_t> decode(Bytes in, std::uint8_t* out);
  Result<void> check_end();
  Result<void> parse_header(std::string_view line);
  Result<void> parse_trailers();
  Result<void> flush_pending();
  Result<void> check_chunk(const std::uint8_t digest[32], const char* signature, std::uint64_t offset);
  Result<void> end_of_data();

  Config config_;
  std::unique_ptr<SignatureChain> chain_;  // nullptr: the chunks are not signed
  State state_ = State::header;
  Error failed_;
  std::string line_;  // header or trailer bytes collected so far
  std::uint64_t consumed_ = 0;
  std::uint64_t decoded_ = 0;
  std::uint64_t chunks_ = 0;
  std::uint64_t chunk_size_ = 0;
  std::uint64_t chunk_left_ = 0;
  std::uint64_t previous_size_ = 0;
  std::uint64_t chunk_offset_ = 0;
  std::array<char, kEcdsaSignatureSize> signature_{};
  Sha256 hash_;
  bool partial_ = false;  // some bytes of the current chunk went through hash_
  bool crlf_seen_cr_ = false;
  std::vector<Pending> pending_;
  std::uint64_t bad_chunk_ = 0, bad_chunk_size_ = 0, provided_ = 0;
  std::string trailer_value_;
};

}  // namespace s3accel
