// aws-chunked bodies: the exact encoded length, and the chain of chunk signatures written in place.
// Source: S3 API Reference, "sigv4-streaming" and "sigv4-streaming-trailers".
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "s3accel/bytes.h"
#include "s3accel/error.h"
#include "s3accel/sha256.h"
#include "s3accel/sigv4.h"

namespace s3accel {

// Every data chunk but the last must have at least 8,192 bytes (S3's rule). The upper limit is ours: a
// group of four such chunks is what must fit into memory.
inline constexpr std::size_t kMinChunkSize = 8192;
inline constexpr std::size_t kMaxChunkSize = 16777216;
// Far above any object (48.8 TiB) and far below what would overflow an encoded length in 64 bits.
inline constexpr std::uint64_t kMaxDecodedLength = std::uint64_t{1} << 60;
inline constexpr std::size_t kMaxTrailerLength = 128;  // of a trailer's name, and of its value

enum class ChunkMode {
  unsigned_trailer,  // STREAMING-UNSIGNED-PAYLOAD-TRAILER
  signed_hmac,       // STREAMING-AWS4-HMAC-SHA256-PAYLOAD and -TRAILER
};

// Where everything stands in an encoded body. All lengths in bytes.
struct ChunkLayout {
  ChunkMode mode = ChunkMode::signed_hmac;
  std::uint64_t decoded_length = 0;
  std::size_t chunk_size = 65536;
  std::string_view trailer_name = {};    // lower case, for example x-amz-checksum-crc64nvme; empty: none
  std::size_t trailer_value_length = 0;  // characters of the value; fixed by the algorithm

  // Bytes before the data of a chunk of `size` bytes: the size in hex, the signature, CRLF.
  std::size_t header_length(std::uint64_t size) const noexcept;
  // Header, data and CRLF.
  std::uint64_t frame_length(std::uint64_t size) const noexcept;
  // Everything after the last data chunk: the zero chunk, the trailer, the final CRLF.
  std::size_t end_length() const noexcept;
  // The Content-Length of the whole body.
  std::uint64_t encoded_length() const noexcept;
};

// Writes one body, group by group. The caller asks for the place of the next group, fills in the payload
// and seals it. Payload bytes are never copied. State: 64 bytes of previous signature and a CRC; nothing is
// allocated after construction.
class ChunkEncoder {
 public:
  enum class Checksum { none, crc32, crc32c, crc64nvme, sha256, external };

  // `key` and `timestamp` are those of the seed; `seed_signature` has 64 digits (empty if not signed).
  // Errors: bad_chunk_size, too_long (decoded_length), bad_trailer (a name that is no lower-case token, or a
  // value length that is not the checksum's), wrong_order (no seed), bad_timestamp.
  static Result<ChunkEncoder> create(const ChunkLayout& layout, const SigningKey* key,
                                     std::string_view timestamp, std::string_view seed_signature,
                                     Checksum checksum);

  std::uint64_t encoded_length() const noexcept { return encoded_length_; }
  std::uint64_t decoded_length() const noexcept { return layout_.decoded_length; }
  std::uint64_t remaining() const noexcept { return layout_.decoded_length - done_; }
  bool finished() const noexcept { return finished_; }

  // What one group looks like: `chunks` frames one behind the other, then the end if `last`.
  struct Group {
    std::size_t chunks = 0;     // data chunks in it; 0 if only the end is left
    std::uint64_t payload = 0;  // payload bytes
    std::uint64_t bytes = 0;    // encoded bytes, with the end if last
    bool last = false;
  };
  // The next group of at most `max_chunks` data chunks.
  Group next_group(std::size_t max_chunks) const noexcept;
  // Offset in the group's buffer of the payload of its i-th chunk, and its size.
  std::size_t slot_offset(std::size_t i) const noexcept;
  std::size_t slot_size(std::size_t i) const noexcept;

  // Hashes the payload that stands in `buffer` (group.bytes long), walks the chain of signatures and writes
  // headers, line ends and, in the last group, zero chunk and trailer. `external_value` is the trailer's
  // value for Checksum::external, in the last group: visible ASCII of the announced length. Errors:
  // wrong_order (not what next_group gives now), bad_trailer; after both the encoder is as it was before.
  Result<void> seal(const Group& group, std::uint8_t* buffer, std::string_view external_value);

  // The same for a payload that stays where it is: `payload` has group.payload bytes. What stands between the
  // pieces of payload is written to `out` (group.bytes - group.payload bytes): piece i goes before chunk i
  // and ends at ends[i], and ends[group.chunks] closes the group. On the wire pieces and chunks alternate.
  Result<void> seal_apart(const Group& group, const std::uint8_t* payload, std::uint8_t* out,
                          std::size_t* ends, std::string_view external_value);

  // The checksum over everything sealed so far, big-endian; 0, 4, 8 or 32 bytes.
  std::size_t checksum(std::uint8_t out[32]) const noexcept;

 private:
  ChunkEncoder(const ChunkLayout& layout, const SigningKey* key, Checksum checksum);
  void write_header(std::uint8_t* at, std::uint64_t size, const char* signature) const noexcept;
  void sign_chunk(const std::uint8_t digest[32]) noexcept;
  void write_end(std::uint8_t* at, std::string_view external_value) noexcept;
  template <class At, class Emit>
  Result<void> seal_chunks(const Group& group, std::string_view external_value, const At& payload_at,
                           const Emit& emit);

  ChunkLayout layout_;
  std::string trailer_name_;
  std::size_t end_length_;
  std::uint64_t encoded_length_;
  HmacSha256Key hmac_;   // of the signing key
  HmacSha256Key chunk_;  // the same after the constant first 64 bytes of every chunk's string to sign
  Checksum checksum_ = Checksum::none;
  std::uint64_t crc_ = 0;
  Sha256 whole_;  // Checksum::sha256: the whole object, hashed as one more lane beside its chunks
  std::uint64_t done_ = 0;
  bool finished_ = false;
  // "AWS4-HMAC-SHA256-PAYLOAD\n<date>\n<scope>\n" + previous signature + "\n<E>\n" + digest
  std::string to_sign_;
  std::size_t previous_at_ = 0;  // offset of the previous signature in to_sign_
  std::string head_;             // "<date>\n<scope>\n", for the trailer's string to sign
};

}  // namespace s3accel
