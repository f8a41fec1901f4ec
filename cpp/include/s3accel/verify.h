// Verification: the same steps against what was received. Nothing here trusts its input; every length has a
// hard limit and every comparison of signatures takes constant time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "s3accel/bytes.h"
#include "s3accel/canonical.h"
#include "s3accel/error.h"
#include "s3accel/sha256.h"
#include "s3accel/sigv4.h"
#include "s3accel/text.h"

namespace s3accel {

// Hard limits. S3 takes 8 KiB of headers in a PUT; these leave room for proxies and for tests that probe.
inline constexpr std::size_t kMaxTargetLength = 32 * 1024;
inline constexpr std::size_t kMaxHeaders = 256;
inline constexpr std::size_t kMaxHeaderBytes = 64 * 1024;
// What is compared with what before anybody is known: products of these must stay cheap.
inline constexpr std::size_t kMaxQueryParameters = 256;
inline constexpr std::size_t kMaxSignedHeaders = 256;
inline constexpr std::size_t kMaxSignedHeadersLength = 8 * 1024;
inline constexpr std::size_t kMaxChunkHeader = 1024;
inline constexpr std::size_t kMaxTrailerBytes = 4096;

// A request as it came in: raw target, raw header list in order with duplicates.
struct ReceivedRequest {
  std::string_view method;
  std::string_view target;  // path?query, percent-encoded, as on the request line
  std::span<const HeaderView> headers;
  std::string_view body_hash = {};  // services other than S3 without x-amz-content-sha256; empty: no body
};

struct VerifyPolicy {
  std::string_view region = {};  // empty: any
  std::string_view service = "s3";
  std::int64_t now = 0;         // epoch seconds
  std::int64_t max_skew = 900;  // S3: 15 minutes, inclusive
};

enum class Mechanism { header, query };

// What the request says about its own signature, checked for shape, scope and date, not yet for truth.
struct ParsedAuth {
  Mechanism mechanism = Mechanism::header;
  std::string access_key_id;
  std::string credential;  // as received, for messages
  std::string region;
  std::string service;
  std::string date;            // of the scope
  std::string scope;           // date/region/service/aws4_request
  std::string timestamp;       // 16 characters
  std::string signed_headers;  // lower case, joined by ';'
  std::string signature;
  std::string payload_hash;  // last line of the canonical request
  std::string session_token;
  std::int64_t expires = 0;  // seconds; query only
  Error deferred;            // a fault of steps 5 and 6, to be reported only if the access key is known
  std::string detail;        // the offending text of `deferred` or of the error returned
};

// Section 12 of the protocol: steps 1 to 3, whose faults are returned, and 5 and 6, which are left in
// `deferred` because an unknown access key (step 4, the caller's) is reported before them. Whatever was read
// before the fault is in `out`, for the message.
// Codes: bad_method, bad_target, auth_*, credential_*, date_missing, expires_*, time_skewed, request_*,
// too_long; deferred: content_sha256_*, header_not_signed.
Result<void> parse_auth(const ReceivedRequest& request, const VerifyPolicy& policy, ParsedAuth& out);

// The first half of step 7, the same for every scheme: the canonical request from the raw target, and the
// string to sign under `algorithm` and `scope`. signed_header_missing: a header that is named as signed is
// not there; the texts are filled all the same. bad_header_name (offset: the header's index): no HTTP parser
// lets that through.
Result<void> string_to_verify(const ReceivedRequest& request, const ParsedAuth& auth,
                              std::string_view algorithm, std::string_view scope, Text& canonical,
                              Text& to_sign);

// Step 7: builds the canonical request from the raw target and compares. Errors: signature_mismatch,
// signed_header_missing (both mean that the signature does not match, and the texts are filled for the
// message); bad_method, bad_header_name (offset: the header's index), which no HTTP parser lets through.
Result<void> check_signature(const ReceivedRequest& request, const ParsedAuth& auth, const SigningKey& key,
                             Text& canonical, Text& to_sign);

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

  // With signatures, `key`, a timestamp and a seed signature of 64 characters are needed; without them every
  // call fails with wrong_order.
  ChunkDecoder(Config config, const SigningKey* key);

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
  const std::string& to_sign() const noexcept { return failed_to_sign_; }
  const std::string& provided_signature() const noexcept { return failed_signature_; }
  const std::string& trailer_value() const noexcept { return trailer_value_; }

 private:
  enum class State { header, data, data_crlf, trailer, done };
  struct Pending {
    Bytes data;
    char signature[64];
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
  HmacSha256Key hmac_;
  HmacSha256Key chunk_;  // after the constant first 64 bytes of every chunk's string to sign
  std::string head_;     // "<date>\n<scope>\n"
  std::string to_sign_;  // chunk string to sign, rewritten in place
  std::size_t previous_at_ = 0;
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
  char signature_[64] = {};
  Sha256 hash_;
  bool partial_ = false;  // some bytes of the current chunk went through hash_
  bool crlf_seen_cr_ = false;
  std::vector<Pending> pending_;
  std::uint64_t bad_chunk_ = 0, bad_chunk_size_ = 0, provided_ = 0;
  std::string failed_to_sign_, failed_signature_, trailer_value_;
};

}  // namespace s3accel
