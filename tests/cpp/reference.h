// What the tests compare with: the protocol written down in the plainest way, whole bodies in strings, one
// chunk after another. Uses nothing of the core but SHA-256 and HMAC, which have their own published vectors.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "s3accel/bytes.h"
#include "s3accel/error.h"
#include "s3accel/hmac.h"
#include "s3accel/sha256.h"

namespace reference {

using s3accel::Errc;

inline const std::string kKeyId = "AKIAIOSFODNN7EXAMPLE";                       // AWS's documentation key,
inline const std::string kSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";  // not a real one
inline const std::string kEmptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

inline std::string hex(std::string_view raw) {
  std::string out;
  for (const char c : raw) {
    out += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
    out += "0123456789abcdef"[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

inline std::string sha256_hex(std::string_view text) {
  std::string raw(32, '\0');
  s3accel::sha256(s3accel::as_bytes(text), reinterpret_cast<std::uint8_t*>(raw.data()));
  return hex(raw);
}

inline std::string hmac(std::string_view key, std::string_view text) {
  std::string raw(32, '\0');
  s3accel::hmac_sha256(s3accel::as_bytes(key), s3accel::as_bytes(text),
                       reinterpret_cast<std::uint8_t*>(raw.data()));
  return raw;
}

// Signs with the documentation key. `scope` is "date/region/service/aws4_request".
inline std::string sign(std::string_view scope, std::string_view to_sign) {
  std::string key = "AWS4" + kSecret;
  for (;;) {
    const std::size_t slash = scope.find('/');
    key = hmac(key, scope.substr(0, slash));
    if (slash == scope.npos) return hex(hmac(key, to_sign));
    scope.remove_prefix(slash + 1);
  }
}

inline std::string request_signature(std::string_view timestamp, const std::string& scope,
                                     std::string_view canonical) {
  return sign(scope,
              "AWS4-HMAC-SHA256\n" + std::string(timestamp) + "\n" + scope + "\n" + sha256_hex(canonical));
}

// An aws-chunked body and what is needed to write or read it.
struct Stream {
  bool with_signatures = true;
  bool trailer_mode = false;
  std::uint64_t decoded_length = 0;
  std::string trailer_name;
  std::string trailer_value;  // for writing
  std::string timestamp = "20130524T000000Z";
  std::string scope = "20130524/us-east-1/s3/aws4_request";
  std::string seed = std::string(64, '5');

  std::string chunk_signature(const std::string& previous, std::string_view data) const {
    return sign(scope, "AWS4-HMAC-SHA256-PAYLOAD\n" + timestamp + "\n" + scope + "\n" + previous + "\n" +
                           kEmptyHash + "\n" + sha256_hex(data));
  }
  std::string trailer_signature(const std::string& previous, const std::string& value) const {
    return sign(scope, "AWS4-HMAC-SHA256-TRAILER\n" + timestamp + "\n" + scope + "\n" + previous + "\n" +
                           sha256_hex(trailer_name + ":" + value + "\n"));
  }
};

inline std::string hex_number(std::uint64_t v) {
  std::string out;
  do {
    out.insert(out.begin(), "0123456789abcdef"[v & 15]);
    v >>= 4;
  } while (v != 0);
  return out;
}

// Writes chunks of the given sizes; what is left of the data after them, if anything, is one more chunk.
inline std::string encode(const Stream& s, std::string_view data, const std::vector<std::size_t>& sizes) {
  std::string out, previous = s.seed;
  const auto chunk = [&](std::string_view piece) {
    out += hex_number(piece.size());
    if (s.with_signatures) {
      previous = s.chunk_signature(previous, piece);
      out += ";chunk-signature=" + previous;
    }
    out += "\r\n";
    if (!piece.empty()) out += std::string(piece) + "\r\n";
  };
  for (const std::size_t size : sizes) {
    if (data.empty()) break;
    chunk(data.substr(0, size));
    data.remove_prefix(std::min(size, data.size()));
  }
  if (!data.empty()) chunk(data);
  chunk({});
  if (!s.trailer_name.empty()) {
    out += s.trailer_name + ":" + s.trailer_value + "\r\n";
    if (s.with_signatures)
      out += "x-amz-trailer-signature:" + s.trailer_signature(previous, s.trailer_value) + "\r\n";
  }
  return out + "\r\n";
}

struct Decoded {
  Errc code = Errc::ok;
  std::size_t offset = 0;
  std::string data;
  std::string trailer_value;
};

inline void skip_spaces(std::string_view& s) {
  while (!s.empty() && s[0] == ' ') s.remove_prefix(1);
}

// Takes `what` off the front of `s`, with spaces on both sides of it.
inline bool take(std::string_view& s, std::string_view what) {
  skip_spaces(s);
  if (s.substr(0, what.size()) != what) return false;
  s.remove_prefix(what.size());
  skip_spaces(s);
  return true;
}

// Reads a whole body. The rules are those of the protocol for servers; the limits are those of verify.h.
inline Decoded decode(const Stream& s, std::string_view body) {
  Decoded out;
  const auto fail = [&out](Errc code, std::size_t offset) {
    out.code = code;
    out.offset = offset;
    return out;
  };
  std::string previous = s.seed;
  std::size_t at = 0, chunks = 0;
  std::uint64_t last_size = 0;
  for (;;) {
    const std::size_t start = at, lf = body.find('\n', at);
    if ((lf == body.npos ? body.size() : lf + 1) - at > 1024) return fail(Errc::body_incomplete, start);
    if (lf == body.npos) return fail(Errc::body_incomplete, body.size());
    std::string_view line = body.substr(at, lf - at);
    at = lf + 1;
    if (line.empty() || line.back() != '\r') return fail(Errc::body_incomplete, start);
    line.remove_suffix(1);
    std::size_t digits = 0;
    while (digits < line.size() && s3accel::hex_digit(line[digits]) >= 0) ++digits;
    if (digits == 0 || digits > 16) return fail(Errc::body_incomplete, start);
    const std::uint64_t size = std::stoull(std::string(line.substr(0, digits)), nullptr, 16);
    line.remove_prefix(digits);
    std::string signature;
    if (s.with_signatures) {
      if (!take(line, ";") || !take(line, "chunk-signature") || !take(line, "=") || line.size() != 64) {
        return fail(Errc::body_incomplete, start);
      }
      signature = line;
    } else if (!line.empty()) {
      return fail(Errc::body_incomplete, start);
    }
    if (size == 0) {
      if (s.with_signatures && signature != s.chunk_signature(previous, {})) {
        return fail(Errc::chunk_signature_mismatch, start);
      }
      previous = signature;
      if (out.data.size() != s.decoded_length) return fail(Errc::body_length_mismatch, start);
      break;
    }
    if (chunks > 0 && last_size < 8192) return fail(Errc::chunk_too_small, start);
    if (size > s.decoded_length - out.data.size()) return fail(Errc::body_length_mismatch, start);
    ++chunks;
    last_size = size;
    if (body.size() - at < size) return fail(Errc::body_incomplete, body.size());
    const std::string_view data = body.substr(at, static_cast<std::size_t>(size));
    at += data.size();
    if (s.with_signatures && signature != s.chunk_signature(previous, data)) {
      return fail(Errc::chunk_signature_mismatch, start);
    }
    previous = signature;
    out.data += data;
    for (const char wanted : {'\r', '\n'}) {
      if (at == body.size() || body[at] != wanted) return fail(Errc::body_incomplete, at);
      ++at;
    }
  }

  std::string_view section = body.substr(at);
  std::size_t end = section.substr(0, 2) == "\r\n" ? 2 : section.find("\r\n\r\n");
  if (end == section.npos) {
    if (section.size() > 4096) return fail(Errc::trailer_malformed, at + 4097);
    if (!section.empty() && (section.size() < 2 || section.substr(section.size() - 2) != "\r\n")) {
      return fail(Errc::body_incomplete, body.size());
    }
  } else {
    if (end > 2 || section.substr(0, 2) != "\r\n") end += 4;
    if (end > 4097) return fail(Errc::trailer_malformed, at + 4097);
    section = section.substr(0, end);
  }
  if (s.with_signatures && s.trailer_mode && s.trailer_name.empty())
    return fail(Errc::body_incomplete, body.size());
  bool seen = false, signature_seen = false;
  std::string signature;
  for (;;) {
    const std::size_t line_end = section.find("\r\n");
    if (line_end == section.npos || line_end == 0) break;
    const std::string_view line = section.substr(0, line_end);
    section.remove_prefix(line_end + 2);
    const std::size_t colon = line.find(':');
    if (colon == line.npos || !s.trailer_mode) return fail(Errc::trailer_malformed, body.size());
    std::string name;
    for (const char c : line.substr(0, colon))
      name += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    std::string value(line.substr(colon + 1));
    while (!value.empty() && value.back() == ' ') value.pop_back();
    while (!value.empty() && value.front() == ' ') value.erase(value.begin());
    if (!s.trailer_name.empty() && name == s.trailer_name) {
      out.trailer_value = value;
      seen = true;
    } else if (s.with_signatures && name == "x-amz-trailer-signature") {
      signature = value;
      signature_seen = true;
    } else {
      return fail(Errc::trailer_malformed, body.size());
    }
  }
  if (seen == s.trailer_name.empty()) return fail(Errc::trailer_malformed, body.size());
  if (!s.with_signatures || !s.trailer_mode) return out;
  if (!signature_seen) return fail(Errc::trailer_malformed, body.size());
  if (signature != s.trailer_signature(previous, out.trailer_value)) {
    return fail(Errc::trailer_signature_mismatch, body.size());
  }
  return out;
}

}  // namespace reference
