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

// What may stand in a trailer line: a line break would start a line of its own.
bool visible(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

bool valid_trailer(const ChunkLayout& layout, ChunkEncoder::Checksum checksum) noexcept {
  const std::string_view name = layout.trailer_name;
  if (checksum == ChunkEncoder::Checksum::none) return name.empty();
  const auto in_name = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  if (name.empty() || name.size() > kMaxTrailerLength || !std::all_of(name.begin(), name.end(), in_name)) {
    return false;
  }
  const std::size_t length = layout.trailer_value_length;
  if (checksum == ChunkEncoder::Checksum::external) return length >= 1 && length <= kMaxTrailerLength;
  return length == base64_length(checksum == ChunkEncoder::Checksum::sha256      ? kSha256Size
                                 : checksum == ChunkEncoder::Checksum::crc64nvme ? 8
                                                                                 : 4);
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
    case ChunkEncoder::Checksum::sha256:
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
  if (layout.decoded_length > kMaxDecodedLength) return Errc::too_long;
  if (!valid_trailer(layout, checksum)) return Errc::bad_trailer;
  if (layout.mode == ChunkMode::signed_hmac && (key == nullptr || seed_signature.size() != kSignatureSize)) {
    return Errc::wrong_order;
  }
  // Also makes the constant part of a chunk's string to sign at least one block long.
  if (layout.mode == ChunkMode::signed_hmac && !Timestamp::parse(timestamp)) return Errc::bad_timestamp;
  ChunkEncoder encoder(layout, key, checksum);
  if (layout.mode == ChunkMode::signed_hmac) {
    encoder.head_.append(timestamp).append("\n").append(key->scope()).append("\n");
    std::string& s = encoder.to_sign_;
    s.append("AWS4-HMAC-SHA256-PAYLOAD\n").append(encoder.head_);
    encoder.previous_at_ = s.size();
    s.append(seed_signature).append("\n").append(kEmptyHash).append("\n").append(kSignatureSize, '0');
    // Algorithm, date and scope fill the first block of every chunk's string (25 + 17 + at least 25 bytes):
    // hashed once, each chunk costs five blocks instead of six.
    encoder.chunk_ = encoder.hmac_.after_block(as_bytes(s).data());
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
  chunk_.sign(as_bytes(to_sign_).subspan(kSha256Block), mac);
  hex_encode(mac, previous);
}

// What both ways of sealing share: hash in lanes, sum while the bytes are in the cache, walk the chain.
// payload_at(i) is chunk i's payload; emit(i, size) writes what goes round it, with the signature just made.
template <class At, class Emit>
Result<void> ChunkEncoder::seal_chunks(const Group& group, std::string_view external_value,
                                       const At& payload_at, const Emit& emit) {
  const Group next = next_group(group.chunks);
  if (finished_ || group.chunks != next.chunks || group.payload != next.payload ||
      group.bytes != next.bytes || group.last != next.last) {
    return Errc::wrong_order;
  }
  // Judged before the chain moves on: the Content-Length was computed with this length, and a call that
  // failed here can be made again.
  if (group.last && checksum_ == Checksum::external &&
      (external_value.size() != layout_.trailer_value_length || !visible(external_value))) {
    return Errc::bad_trailer;
  }
  std::array<Bytes, kHashBatch> data;
  std::array<std::uint8_t, kHashBatch * kSha256Size> digests;
  const bool chunk_hashes = layout_.mode == ChunkMode::signed_hmac;
  for (std::size_t from = 0; from < group.chunks; from += kHashBatch) {
    const std::size_t n = std::min(kHashBatch, group.chunks - from);
    for (std::size_t i = 0; i < n; ++i) data[i] = {payload_at(from + i), slot_size(from + i)};
    if (chunk_hashes && checksum_ == Checksum::sha256) {
      // The object's own hash is one more chain over the same bytes: it runs beside those of the chunks.
      sha256_many_and_whole({data.data(), n}, digests.data(), whole_);
    } else if (chunk_hashes) {
      sha256_many({data.data(), n}, digests.data());
    }
    for (std::size_t i = 0; i < n; ++i) {
      if (checksum_ == Checksum::sha256 && !chunk_hashes) whole_.update(data[i]);
      if (checksum_ != Checksum::none) crc_ = crc_update(checksum_, crc_, data[i]);
      if (chunk_hashes) sign_chunk(digests.data() + kSha256Size * i);
      emit(from + i, data[i].size());
    }
  }
  done_ += group.payload;
  return {};
}

Result<void> ChunkEncoder::seal(const Group& group, std::uint8_t* buffer, std::string_view external_value) {
  const auto sealed = seal_chunks(
      group, external_value, [&](std::size_t i) { return buffer + slot_offset(i); },
      [&](std::size_t i, std::size_t size) {
        std::uint8_t* slot = buffer + slot_offset(i);
        write_header(slot - layout_.header_length(size), size, to_sign_.data() + previous_at_);
        put(slot + size, "\r\n");
      });
  if (sealed.ok() && group.last) write_end(buffer + group.bytes - end_length_, external_value);
  return sealed;
}

Result<void> ChunkEncoder::seal_apart(const Group& group, const std::uint8_t* payload, std::uint8_t* out,
                                      std::size_t* ends, std::string_view external_value) {
  std::uint8_t* at = out;
  const auto sealed = seal_chunks(
      group, external_value, [&](std::size_t i) { return payload + i * layout_.chunk_size; },
      [&](std::size_t i, std::size_t size) {
        if (i != 0) at = put(at, "\r\n");
        write_header(at, size, to_sign_.data() + previous_at_);
        at += layout_.header_length(size);
        ends[i] = static_cast<std::size_t>(at - out);
      });
  if (!sealed) return sealed;
  if (group.chunks != 0) at = put(at, "\r\n");
  if (group.last) {
    write_end(at, external_value);
    at += end_length_;
  }
  ends[group.chunks] = static_cast<std::size_t>(at - out);
  return {};
}

void ChunkEncoder::write_end(std::uint8_t* at, std::string_view external_value) noexcept {
  if (layout_.mode == ChunkMode::signed_hmac) {
    std::uint8_t empty[32];
    sha256({}, empty);
    sign_chunk(empty);
  }
  write_header(at, 0, to_sign_.data() + previous_at_);
  at += layout_.header_length(0);
  if (checksum_ != Checksum::none) {
    std::array<char, kMaxTrailerLength> value;
    const std::size_t length = layout_.trailer_value_length;
    if (checksum_ == Checksum::external) {
      std::copy(external_value.begin(), external_value.end(), value.begin());
    } else {
      std::uint8_t raw[kSha256Size];
      const std::size_t n = checksum(raw);
      base64_encode({raw, n}, value.data());
    }
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
}

std::size_t ChunkEncoder::checksum(std::uint8_t out[kSha256Size]) const noexcept {
  switch (checksum_) {
    case Checksum::crc32:
    case Checksum::crc32c:
      store_be32(out, static_cast<std::uint32_t>(crc_));
      return 4;
    case Checksum::crc64nvme:
      store_be64(out, crc_);
      return 8;
    case Checksum::sha256: {
      Sha256 copy = whole_;
      copy.finish(out);
      return kSha256Size;
    }
    case Checksum::none:
    case Checksum::external:
      return 0;
  }
  return 0;
}

}  // namespace s3accel
