#include "s3accel/signing_input.h"

#include <algorithm>

#include "base/ascii.h"
#include "s3accel/bytes.h"
#include "s3accel/sigv4.h"

namespace s3accel {

namespace {

constexpr std::string_view kContentSha256 = "x-amz-content-sha256";

bool is_stream_of(Scheme scheme, std::string_view value) noexcept {
  return scheme == Scheme::hmac ? value == kStreamingSigned || value == kStreamingSignedTrailer
                                : value == kStreamingEcdsa || value == kStreamingEcdsaTrailer;
}

// The chunks of one scheme do not go with the head of the other.
bool can_sign(std::string_view payload_hash, Scheme scheme) noexcept {
  return valid_payload_hash(payload_hash) &&
         !is_stream_of(scheme == Scheme::hmac ? Scheme::ecdsa : Scheme::hmac, payload_hash);
}

// The headers that the signer sets itself. Two of them in one request would be refused by the server, or
// worse, be accepted with the wrong one.
bool reserved(std::string_view name) noexcept {
  switch (name.size()) {
    case 10:
      return same_name(name, "x-amz-date");
    case 13:
      return same_name(name, "authorization");
    case 16:
      return same_name(name, "x-amz-region-set");
    case 20:
      return same_name(name, "x-amz-security-token") || same_name(name, kContentSha256);
    case 21:
      return same_name(name, "x-amz-s3session-token");
    default:
      return false;
  }
}

// Checks the caller's headers. Where x-amz-content-sha256 may be among them, `payload_hash` is not nullptr:
// an empty one becomes that header's value, another one must be the same.
Result<void> take_headers(std::span<const HeaderView> given, std::string_view* payload_hash,
                          SmallVector<HeaderView, 48>& out) {
  bool has_hash = false;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const HeaderView& header = given[i];
    if (reserved(header.name)) {
      if (payload_hash == nullptr || !same_name(header.name, kContentSha256))
        return {Errc::reserved_header, i};
      // The last line of the canonical request is what a server reads in this header.
      const std::string_view value = trim(header.value);
      if (value.empty()) return {Errc::bad_payload_hash, i};
      if (has_hash || (!payload_hash->empty() && *payload_hash != value)) return {Errc::payload_conflict, i};
      *payload_hash = value;
      has_hash = true;
    }
    if (any_below<' '>(header.value) &&
        header.value.find_first_of(std::string_view("\r\n\0", 3)) != header.value.npos) {
      return {Errc::bad_header_value, i};
    }
    out.push_back(header);
  }
  return {};
}

constexpr std::string_view kParameters[] = {
    "X-Amz-Algorithm",       "X-Amz-Credential",    "X-Amz-Date",
    "X-Amz-Expires",         "X-Amz-SignedHeaders", "X-Amz-Security-Token",
    "X-Amz-S3session-Token", "X-Amz-Signature",     "X-Amz-Region-Set",
};

// A parameter of the signature that stands in the URL already would be signed twice with two values.
Result<void> refuse_own_parameters(std::string_view query, std::size_t offset) {
  for (std::size_t i = 0; i <= query.size();) {
    const std::size_t end = std::min(query.find('&', i), query.size());
    const std::string_view segment = query.substr(i, end - i);
    // The canonical form decodes "X%2DAmz-Date" to "X-Amz-Date", so the name is compared in that form.
    Text name;
    QueryOptions tolerant;
    tolerant.escapes = Escapes::tolerant;
    const std::string_view raw = segment.substr(0, std::min(segment.find('='), segment.size()));
    if (auto r = canonical_query(raw, tolerant, name); !r) return r;
    for (std::string_view own : kParameters) {
      if (name.size() == own.size() + 1 && name.view().substr(0, own.size()) == own) {
        return {Errc::reserved_header, offset + i};
      }
    }
    i = end + 1;
  }
  return {};
}

}  // namespace

bool valid_credentials(std::string_view access_key_id, std::string_view session_token) noexcept {
  return !access_key_id.empty() && all_visible(access_key_id) &&
         access_key_id.find('/') == access_key_id.npos && access_key_id.find(',') == access_key_id.npos &&
         all_visible(session_token);
}

bool valid_method(std::string_view method) noexcept {
  return !method.empty() && method.size() <= 32 && std::all_of(method.begin(), method.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

Error in_url(Error error, std::size_t query_offset) noexcept {
  if (error.code == Errc::bad_percent_escape || error.code == Errc::raw_plus_in_query) {
    error.offset += query_offset;
  }
  return error;
}

Result<void> read_signing_input(std::string_view method, std::string_view url,
                                std::span<const HeaderView> headers, std::string_view payload_hash,
                                Place place, std::string_view service, Scheme scheme, SigningInput& out) {
  const bool query = place == Place::query;
  if (!valid_method(method)) return Errc::bad_method;
  if (!query && !can_sign(payload_hash, scheme)) return Errc::bad_payload_hash;
  if (const std::size_t hash = query ? url.find('#') : url.npos; hash != url.npos)
    return {Errc::fragment_in_url, hash};
  const auto cut = split_url(url, out.host);
  if (!cut) return cut.error();
  out.url = cut.value();
  if (query) {
    if (auto r = refuse_own_parameters(out.url.query, out.url.query_offset); !r) return r;
  }
  out.payload_hash = payload_hash;
  if (auto r = take_headers(headers, query ? &out.payload_hash : nullptr, out.headers); !r || !query)
    return r;
  if (out.payload_hash.empty()) out.payload_hash = is_s3_service(service) ? kUnsignedPayload : kEmptyHash;
  return can_sign(out.payload_hash, scheme) ? Result<void>() : Errc::bad_payload_hash;
}

bool is_s3_service(std::string_view service) noexcept {
  return service == "s3" || service == "s3express" || service == "s3-outposts" ||
         service == "s3-object-lambda";
}

PathRule signing_path_rule(std::string_view service) noexcept {
  return is_s3_service(service) ? PathRule::decode_encode : PathRule::normalize_encode;
}

bool valid_payload_hash(std::string_view value) noexcept {
  if (value.size() == 64) return all_hex(value);
  return value == kUnsignedPayload || value == kStreamingUnsignedTrailer ||
         is_stream_of(Scheme::hmac, value) || is_stream_of(Scheme::ecdsa, value);
}

}  // namespace s3accel
