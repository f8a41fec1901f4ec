#include "s3accel/chunk_decoder.h"

#include <algorithm>
#include <cstring>

#include "base/ascii.h"
#include "chunked/chain.h"
#include "s3accel/chunked.h"

namespace s3accel {

namespace {

// Whole chunks of one feed() hashed in one call; they are views into the caller's output.
constexpr std::size_t kBatch = 16;

std::string_view skip_blanks(std::string_view s) noexcept {
  while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
  return s;
}

bool take(std::string_view& s, std::string_view prefix) noexcept {
  if (s.substr(0, prefix.size()) != prefix) return false;
  s.remove_prefix(prefix.size());
  return true;
}

}  // namespace

ChunkDecoder::ChunkDecoder(Config config, const SigningKey* key) : config_(std::move(config)) {
  if (!config_.with_signatures) return;
  if (key != nullptr) chain_ = hmac_chain(*key, config_.timestamp, config_.seed_signature);
  if (chain_ == nullptr) failed_ = {Errc::wrong_order, 0};
  pending_.reserve(kBatch);
}

ChunkDecoder::ChunkDecoder(Config config, std::string_view scope, Check check) : config_(std::move(config)) {
  chain_ = ecdsa_chain(scope, config_.timestamp, config_.seed_signature, std::move(check));
  config_.with_signatures = true;
  if (chain_ == nullptr) failed_ = {Errc::wrong_order, 0};
  pending_.reserve(kBatch);
}

ChunkDecoder::~ChunkDecoder() = default;
ChunkDecoder::ChunkDecoder(ChunkDecoder&&) noexcept = default;
ChunkDecoder& ChunkDecoder::operator=(ChunkDecoder&&) noexcept = default;

std::string_view ChunkDecoder::to_sign() const noexcept {
  return chain_ == nullptr ? std::string_view() : chain_->wanted();
}

std::string_view ChunkDecoder::provided_signature() const noexcept {
  return chain_ == nullptr ? std::string_view() : chain_->provided();
}

Result<void> ChunkDecoder::check_chunk(const std::uint8_t digest[32], const char* signature,
                                       std::uint64_t offset) {
  if (chain_->check_chunk(digest, {signature, chain_->signature_size()})) return {};
  return {Errc::chunk_signature_mismatch, static_cast<std::size_t>(offset)};
}

Result<void> ChunkDecoder::flush_pending() {
  if (pending_.empty()) return {};
  Bytes data[kBatch];
  std::uint8_t digests[kBatch * 32];
  for (std::size_t i = 0; i < pending_.size(); ++i) data[i] = pending_[i].data;
  sha256_many({data, pending_.size()}, digests);
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    if (auto r = check_chunk(digests + 32 * i, pending_[i].signature.data(), pending_[i].offset); !r) {
      pending_.clear();
      return r;
    }
  }
  pending_.clear();
  return {};
}

// One chunk header without its CRLF: hex size, and in signed modes ";chunk-signature=" with the signature. S3
// accepts spaces round ';' and '='; other extensions are refused.
Result<void> ChunkDecoder::parse_header(std::string_view line) {
  const Error malformed{Errc::body_incomplete, static_cast<std::size_t>(chunk_offset_)};
  std::uint64_t size = 0;
  std::size_t digits = 0;
  while (digits < line.size() && hex_digit(line[digits]) >= 0) {
    if (digits == 16) return malformed;
    size = size << 4 | static_cast<std::uint64_t>(hex_digit(line[digits++]));
  }
  if (digits == 0) return malformed;
  std::string_view rest = line.substr(digits);
  if (config_.with_signatures) {
    rest = skip_blanks(rest);
    if (!take(rest, ";")) return malformed;
    rest = skip_blanks(rest);
    if (!take(rest, "chunk-signature")) return malformed;
    rest = skip_blanks(rest);
    if (!take(rest, "=")) return malformed;
    rest = skip_blanks(rest);
    if (rest.size() != chain_->signature_size() || !chain_->good_form(rest)) return malformed;
    std::copy(rest.begin(), rest.end(), signature_.begin());
  } else if (!rest.empty()) {
    return malformed;
  }

  if (size == 0) {
    if (auto r = flush_pending(); !r) return r;
    if (config_.with_signatures) {
      std::uint8_t empty[32];
      sha256({}, empty);
      if (auto r = check_chunk(empty, signature_.data(), chunk_offset_); !r) return r;
    }
    return end_of_data();
  }
  // The rule is found broken at the header after the short chunk, because the last one may be short.
  if (chunks_ > 0 && previous_size_ < kMinChunkSize) {
    bad_chunk_ = chunks_ + 1;
    bad_chunk_size_ = previous_size_;
    return {Errc::chunk_too_small, static_cast<std::size_t>(chunk_offset_)};
  }
  if (size > config_.decoded_length - decoded_) {
    // Only for the message; a size near 2^64 must not make it wrap.
    provided_ = size > UINT64_MAX - decoded_ ? UINT64_MAX : decoded_ + size;
    return {Errc::body_length_mismatch, static_cast<std::size_t>(chunk_offset_)};
  }
  ++chunks_;
  previous_size_ = chunk_size_ = chunk_left_ = size;
  partial_ = false;
  state_ = State::data;
  return {};
}

Result<void> ChunkDecoder::end_of_data() {
  if (decoded_ != config_.decoded_length) {
    provided_ = decoded_;
    return {Errc::body_length_mismatch, static_cast<std::size_t>(chunk_offset_)};
  }
  state_ = State::trailer;
  line_.clear();
  return {};
}

Result<std::size_t> ChunkDecoder::feed(Bytes in, std::uint8_t* out) {
  if (failed_.code != Errc::ok) return failed_;
  const auto decoded = decode(in, out);
  // The views in pending_ die with this call. They are older than a fault that was just found, so their
  // verdict comes first.
  if (auto r = flush_pending(); !r) {
    failed_ = r.error();
  } else if (!decoded) {
    failed_ = decoded.error();
  }
  if (failed_.code != Errc::ok) return failed_;
  consumed_ += in.size();
  return decoded;
}

Result<std::size_t> ChunkDecoder::decode(Bytes in, std::uint8_t* out) {
  std::uint8_t* const start = out;
  std::size_t i = 0;
  while (i < in.size()) {
    switch (state_) {
      case State::header: {
        if (line_.empty()) chunk_offset_ = consumed_ + i;
        const auto* from = in.data() + i;
        const auto* lf = static_cast<const std::uint8_t*>(std::memchr(from, '\n', in.size() - i));
        const std::size_t n = lf == nullptr ? in.size() - i : static_cast<std::size_t>(lf - from) + 1;
        if (line_.size() + n > kMaxChunkHeader) {
          return {Errc::body_incomplete, static_cast<std::size_t>(chunk_offset_)};
        }
        line_.append(reinterpret_cast<const char*>(from), n);
        i += n;
        if (lf == nullptr) break;
        if (line_.size() < 2 || line_[line_.size() - 2] != '\r') {
          return {Errc::body_incomplete, static_cast<std::size_t>(chunk_offset_)};
        }
        line_.resize(line_.size() - 2);
        const auto r = parse_header(line_);
        line_.clear();
        if (!r) return r.error();
        break;
      }
      case State::data: {
        const std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(chunk_left_, in.size() - i));
        std::memcpy(out, in.data() + i, n);
        // The copy is hashed, not the input: what is released is what was checked, even if somebody writes
        // into the input meanwhile.
        const Bytes piece(out, n);
        out += n;
        i += n;
        decoded_ += n;
        chunk_left_ -= n;
        if (config_.with_signatures) {
          if (!partial_ && chunk_left_ == 0) {
            pending_.push_back({piece, signature_, chunk_offset_});
            if (pending_.size() == kBatch) {
              if (auto r = flush_pending(); !r) return r.error();
            }
          } else {
            if (!partial_) hash_.reset();
            partial_ = true;
            hash_.update(piece);
            if (chunk_left_ == 0) {
              if (auto r = flush_pending(); !r) return r.error();
              std::uint8_t digest[32];
              hash_.finish(digest);
              if (auto r = check_chunk(digest, signature_.data(), chunk_offset_); !r) return r.error();
            }
          }
        }
        if (chunk_left_ == 0) {
          state_ = State::data_crlf;
          crlf_seen_cr_ = false;
        }
        break;
      }
      case State::data_crlf: {
        const char wanted = crlf_seen_cr_ ? '\n' : '\r';
        if (static_cast<char>(in[i]) != wanted) {
          return {Errc::body_incomplete, static_cast<std::size_t>(consumed_ + i)};
        }
        ++i;
        if (crlf_seen_cr_) state_ = State::header;
        crlf_seen_cr_ = true;
        break;
      }
      case State::trailer: {
        // The section ends at its first empty line. What follows is ignored, as S3 ignores it.
        while (i < in.size()) {
          line_.push_back(static_cast<char>(in[i++]));
          const bool ends =
              line_.size() >= 2 && line_[line_.size() - 1] == '\n' && line_[line_.size() - 2] == '\r' &&
              (line_.size() == 2 ||
               (line_.size() >= 4 && line_[line_.size() - 3] == '\n' && line_[line_.size() - 4] == '\r'));
          if (ends) {
            state_ = State::done;
            break;
          }
          if (line_.size() > kMaxTrailerBytes) {
            return {Errc::trailer_malformed, static_cast<std::size_t>(consumed_ + i)};
          }
        }
        break;
      }
      case State::done:
        i = in.size();
        break;
    }
  }
  return static_cast<std::size_t>(out - start);
}

Result<void> ChunkDecoder::finish() {
  if (failed_.code != Errc::ok) return failed_;
  const auto result = check_end();
  failed_ = result.error();
  return result;
}

Result<void> ChunkDecoder::check_end() {
  const auto at = static_cast<std::size_t>(consumed_);
  if (state_ != State::trailer && state_ != State::done) return {Errc::body_incomplete, at};
  if (state_ == State::trailer && !line_.empty() &&
      (line_.size() < 2 || line_.substr(line_.size() - 2) != "\r\n")) {
    return {Errc::body_incomplete, at};
  }
  // A signed stream that announces a trailer mode must bring a checksum trailer; S3 refuses it otherwise.
  if (config_.with_signatures && config_.trailer_mode && config_.trailer_name.empty()) {
    return {Errc::body_incomplete, at};
  }
  return parse_trailers();
}

Result<void> ChunkDecoder::parse_trailers() {
  const Error malformed{Errc::trailer_malformed, static_cast<std::size_t>(consumed_)};
  std::string_view rest = line_;
  bool seen = false, signature_seen = false;
  std::string signature;
  while (!rest.empty()) {
    const std::size_t end = rest.find("\r\n");
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == rest.npos ? rest.size() : end + 2);
    if (line.empty()) break;
    const std::size_t colon = line.find(':');
    if (colon == line.npos || !config_.trailer_mode) return malformed;
    std::string name(line.substr(0, colon));
    for (char& c : name) c = lower(c);
    std::string_view value = skip_blanks(line.substr(colon + 1));
    while (!value.empty() && value.back() == ' ') value.remove_suffix(1);
    if (!config_.trailer_name.empty() && name == config_.trailer_name) {
      trailer_value_ = value;  // repeated: the last one counts, as S3 does it
      seen = true;
    } else if (config_.with_signatures && name == "x-amz-trailer-signature") {
      signature = value;
      signature_seen = true;
    } else {
      return malformed;
    }
  }
  if (seen != !config_.trailer_name.empty()) return malformed;
  if (!config_.with_signatures || !config_.trailer_mode) return {};
  if (!signature_seen) return malformed;

  Sha256 hash;
  for (std::string_view piece : {std::string_view(config_.trailer_name), std::string_view(":"),
                                 std::string_view(trailer_value_), std::string_view("\n")}) {
    hash.update(as_bytes(piece));
  }
  std::uint8_t digest[32];
  hash.finish(digest);
  if (chain_->check_trailer(digest, signature)) return {};
  return {Errc::trailer_signature_mismatch, static_cast<std::size_t>(consumed_)};
}

}  // namespace s3accel
