#include "s3accel/chunked.h"

#include <algorithm>
#include <array>

#include "s3accel/checksum.h"
#include "s3accel/sha256.h"

namespace s3accel {

namespace {

constexpr std::string_view kSignatureExtension = ";chunk-signature=";       // 17 characters
constexpr std::string_view kTrailerSignature = "x-amz-trailer-signature:";  // 24 characters
constexpr std::size_t kSignatureSize = 64;
// Chunks hashed in one call. Independent of the kernel: a kernel takes what fits its lanes.
constexpr std::size_t kHashBatch = 16;

std::size_t hex_length(std::uint64_t v) noexcept {
  std::size_t n = 1;
  while (v >>= 4) ++n;
  return n;
}

std::uint8_t* put(std::uint8_t* at, std::string_view text) noexcept {
  std::copy(text.begin(), text.end(), at);
  return at + text.size();
}

std::uint8_t* put_hex(std::uint8_t* at, std::uint64_t v) noexcept {
  const std::size_t n = hex_length(v);
  for (std::size_t i = n; i-- > 0; v >>= 4) at[i] = static_cast<std::uint8_t>("0123456789abcdef"[v & 15]);
  return at + n;
}

std::size_t extension_length(ChunkMode mode) noexcept {
  return mode == ChunkMode::signed_hmac ? kSignatureExtension.size() + kSignatureSize : 0;
}

std::uint64_t crc_update(ChunkEncoder::Checksum checksum, std::uint64_t crc, Bytes data) noexcept {
  switch (checksum) {
    case ChunkEncoder::Checksum::crc32:
      return crc32(data, static_cast<std::uint32_t>(crc));
    case ChunkEncoder::Checksum::crc32c:
      return crc32c(data, static_cast<std::uint32_t>(crc));
    case ChunkEncoder::Checksum::crc64nvme:
      return crc64nvme(data, crc);
    case ChunkEncoder::Checksum::none:
    case ChunkEncoder::Checksum::external:
      return 0;
  }
  return 0;
}

}  // namespace

std::size_t ChunkLayout::header_length(std::uint64_t size) const noexcept {
  return hex_length(size) + extension_length(mode) + 2;
}

std::uint64_t ChunkLayout::frame_length(std::uint64_t size) const noexcept {
  return header_length(size) + size + 2;
}

std::size_t ChunkLayout::end_length() const noexcept {
  std::size_t n = header_length(0);
  if (!trailer_name.empty()) {
    n += trailer_name.size() + 1 + trailer_value_length + 2;
    if (mode == ChunkMode::signed_hmac) n += kTrailerSignature.size() + kSignatureSize + 2;
  }
  return n + 2;
}

std::uint64_t ChunkLayout::encoded_length() const noexcept {
  const std::uint64_t full = decoded_length / chunk_size, rest = decoded_length % chunk_size;
  return full * frame_length(chunk_size) + (rest ? frame_length(rest) : 0) + end_length();
}

ChunkEncoder::ChunkEncoder(const ChunkLayout& layout, const SigningKey* key, Checksum checksum)
    : layout_(layout),
      trailer_name_(layout.trailer_name),
      end_length_(layout.end_length()),
      encoded_length_(layout.encoded_length()),
      checksum_(checksum) {
  layout_.trailer_name = {};  // a view of the caller's memory; trailer_name_ is ours
  if (key != nullptr) hmac_ = key->hmac();
}

Result<ChunkEncoder> ChunkEncoder::create(const ChunkLayout& layout, const SigningKey* key,
                                          std::string_view timestamp, std::string_view seed_signature,
                                          Checksum checksum) {
  if (layout.chunk_size < kMinChunkSize || layout.chunk_size > kMaxChunkSize) return Errc::bad_chunk_size;
  if (layout.trailer_name.empty() != (checksum == Checksum::none)) return Errc::bad_trailer;
  if (layout.mode == ChunkMode::signed_hmac && (key == nullptr || seed_signature.size() != kSignatureSize)) {
    return Errc::wrong_order;
  }
  ChunkEncoder encoder(layout, key, checksum);
  if (layout.mode == ChunkMode::signed_hmac) {
    encoder.head_.append(timestamp).append("\n").append(key->scope()).append("\n");
    std::string& s = encoder.to_sign_;
    s.append("AWS4-HMAC-SHA256-PAYLOAD\n").append(encoder.head_);
    encoder.previous_at_ = s.size();
    s.append(seed_signature).append("\n").append(kEmptyHash).append("\n").append(kSignatureSize, '0');
  }
  return encoder;
}

ChunkEncoder::Group ChunkEncoder::next_group(std::size_t max_chunks) const noexcept {
  Group group;
  const std::uint64_t left = remaining();
  const std::uint64_t chunks = (left + layout_.chunk_size - 1) / layout_.chunk_size;
  group.chunks =
      static_cast<std::size_t>(std::min<std::uint64_t>(chunks, std::max<std::size_t>(max_chunks, 1)));
  group.payload = std::min<std::uint64_t>(left, std::uint64_t{group.chunks} * layout_.chunk_size);
  const std::uint64_t full = group.payload / layout_.chunk_size, rest = group.payload % layout_.chunk_size;
  group.bytes = full * layout_.frame_length(layout_.chunk_size) + (rest ? layout_.frame_length(rest) : 0);
  group.last = group.payload == left;
  if (group.last) {
    group.bytes += end_length_;
  }
  return group;
}

std::size_t ChunkEncoder::slot_size(std::size_t i) const noexcept {
  const std::uint64_t before = std::uint64_t{i} * layout_.chunk_size;
  if (before >= remaining()) return 0;
  return static_cast<std::size_t>(std::min<std::uint64_t>(layout_.chunk_size, remaining() - before));
}

std::size_t ChunkEncoder::slot_offset(std::size_t i) const noexcept {
  return static_cast<std::size_t>(i * layout_.frame_length(layout_.chunk_size)) +
         layout_.header_length(slot_size(i));
}

void ChunkEncoder::write_header(std::uint8_t* at, std::uint64_t size, const char* signature) const noexcept {
  at = put_hex(at, size);
  if (layout_.mode == ChunkMode::signed_hmac) {
    at = put(at, kSignatureExtension);
    at = put(at, {signature, kSignatureSize});
  }
  put(at, "\r\n");
}

// Puts the digest behind the previous signature, signs, and makes the result the previous signature.
void ChunkEncoder::sign_chunk(const std::uint8_t digest[32]) noexcept {
  char* previous = to_sign_.data() + previous_at_;
  hex_encode({digest, 32}, to_sign_.data() + to_sign_.size() - kSignatureSize);
  std::uint8_t mac[32];
  hmac_.sign(as_bytes(to_sign_), mac);
  hex_encode(mac, previous);
}

Result<void> ChunkEncoder::seal(const Group& group, std::uint8_t* buffer, std::string_view external_value) {
  if (finished_ || group.payload > remaining() || group.last != (group.payload == remaining())) {
    return Errc::wrong_order;
  }
  std::array<Bytes, kHashBatch> data;
  std::array<std::uint8_t, kHashBatch * 32> digests;
  for (std::size_t from = 0; from < group.chunks; from += kHashBatch) {
    const std::size_t n = std::min(kHashBatch, group.chunks - from);
    for (std::size_t i = 0; i < n; ++i) data[i] = {buffer + slot_offset(from + i), slot_size(from + i)};
    if (layout_.mode == ChunkMode::signed_hmac) sha256_many({data.data(), n}, digests.data());
    for (std::size_t i = 0; i < n; ++i) {
      if (checksum_ != Checksum::none) crc_ = crc_update(checksum_, crc_, data[i]);
      if (layout_.mode == ChunkMode::signed_hmac) sign_chunk(digests.data() + 32 * i);
      std::uint8_t* slot = buffer + slot_offset(from + i);
      write_header(slot - layout_.header_length(data[i].size()), data[i].size(),
                   to_sign_.data() + previous_at_);
      put(slot + data[i].size(), "\r\n");
    }
  }
  done_ += group.payload;
  if (!group.last) return {};
  return write_end(buffer + group.bytes - end_length_, external_value);
}

Result<void> ChunkEncoder::write_end(std::uint8_t* at, std::string_view external_value) noexcept {
  if (layout_.mode == ChunkMode::signed_hmac) {
    std::uint8_t empty[32];
    sha256({}, empty);
    sign_chunk(empty);
  }
  write_header(at, 0, to_sign_.data() + previous_at_);
  at += layout_.header_length(0);
  if (checksum_ != Checksum::none) {
    std::array<char, 128> value;
    std::size_t length = 0;
    if (checksum_ == Checksum::external) {
      length = external_value.size();
      if (length > value.size()) return Errc::bad_trailer;
      std::copy(external_value.begin(), external_value.end(), value.begin());
    } else {
      std::uint8_t raw[8];
      const std::size_t n = checksum(raw);
      base64_encode({raw, n}, value.data());
      length = base64_length(n);
    }
    // The Content-Length was computed with this length; another one would corrupt the framing.
    if (length != layout_.trailer_value_length) return Errc::bad_trailer;
    at = put(put(at, trailer_name_), ":");
    at = put(put(at, {value.data(), length}), "\r\n");
    if (layout_.mode == ChunkMode::signed_hmac) {
      // T = "name:value\n": the line ends in LF here, although CRLF goes over the wire.
      Sha256 hash;
      hash.update(as_bytes(trailer_name_));
      hash.update(as_bytes(":"));
      hash.update(as_bytes({value.data(), length}));
      hash.update(as_bytes("\n"));
      std::uint8_t digest[32];
      hash.finish(digest);
      Text to_sign;
      to_sign.append("AWS4-HMAC-SHA256-TRAILER\n");
      to_sign.append(head_);
      to_sign.append({to_sign_.data() + previous_at_, kSignatureSize});
      to_sign.push('\n');
      hex_encode(digest, to_sign.grow(64));
      std::uint8_t mac[32];
      hmac_.sign(as_bytes(to_sign.view()), mac);
      char signature[kSignatureSize];
      hex_encode(mac, signature);
      at = put(at, kTrailerSignature);
      at = put(put(at, {signature, kSignatureSize}), "\r\n");
    }
  }
  put(at, "\r\n");
  finished_ = true;
  return {};
}

std::size_t ChunkEncoder::checksum(std::uint8_t out[8]) const noexcept {
  switch (checksum_) {
    case Checksum::crc32:
    case Checksum::crc32c:
      store_be32(out, static_cast<std::uint32_t>(crc_));
      return 4;
    case Checksum::crc64nvme:
      store_be64(out, crc_);
      return 8;
    case Checksum::none:
    case Checksum::external:
      return 0;
  }
  return 0;
}

}  // namespace s3accel
