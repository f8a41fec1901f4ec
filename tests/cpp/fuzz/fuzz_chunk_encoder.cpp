// ChunkEncoder: the body is the one a plain encoder writes, has exactly the length that was announced, in
// both ways of sealing; a decoder takes it, and no longer takes it with one byte changed. Input: flags, chunk
// size, length, groups, place and value of the change, then bytes that the payload repeats.
#include "../reference.h"
#include "fuzz.h"
#include "keys.h"
#include "s3accel/chunk_decoder.h"
#include "s3accel/chunked.h"

using namespace s3accel;

namespace {

const SigningKey& key() {
  static const SigningKey instance = fuzz::key_of("20130524");
  return instance;
}

bool decodes(const reference::Stream& s, std::string_view body, std::string& data) {
  ChunkDecoder::Config config;
  config.with_signatures = s.with_signatures;
  config.trailer_mode = s.trailer_mode;
  config.decoded_length = s.decoded_length;
  config.trailer_name = s.trailer_name;
  config.timestamp = s.timestamp;
  config.seed_signature = s.seed;
  ChunkDecoder decoder(config, s.with_signatures ? &key() : nullptr);
  std::vector<std::uint8_t> out(body.size());
  const auto r = decoder.feed(as_bytes(body), out.data());
  if (!r || !decoder.finish().ok()) return false;
  data.assign(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(r.value()));
  return s.trailer_name.empty() || decoder.trailer_value() == s.trailer_value;
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  using namespace std::string_literals;
  return {"\0\0\0\0\0\1\0\0\0abc"s, "\1\0\0\x40\x01\2\0\x10x0123"s, "\2\0\1\x20\0\1\1\0\x01"s,
          "\3\7\xff\x50\x05\3\0\x05y\xff\0"s, "\1\0\0\x20\0\1\0\0\0a"s};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t flags = input.byte();
  reference::Stream s;
  s.with_signatures = (flags & 1) != 0;
  const bool trailer = !s.with_signatures || (flags & 2) != 0;
  ChunkLayout layout;
  layout.mode = s.with_signatures ? ChunkMode::signed_hmac : ChunkMode::unsigned_trailer;
  layout.chunk_size = kMinChunkSize + input.number() % 5000;
  layout.decoded_length = s.decoded_length = input.number() % 40000;
  const std::size_t most = 1 + input.byte() % 5;
  const std::size_t change_at = input.number();
  const char change_to = static_cast<char>(input.byte());
  const std::string_view repeated = input.rest().empty() ? std::string_view("x") : input.rest();
  std::string payload;
  while (payload.size() < s.decoded_length) payload += repeated;
  payload.resize(static_cast<std::size_t>(s.decoded_length));

  auto checksum = ChunkEncoder::Checksum::none;
  s.trailer_mode = trailer;
  if (trailer) {
    s.trailer_name = "x-amz-checksum-sha256";
    std::string raw(32, '\0');
    sha256(as_bytes(payload), reinterpret_cast<std::uint8_t*>(raw.data()));
    s.trailer_value.resize(base64_length(32));
    base64_encode(as_bytes(raw), s.trailer_value.data());
    checksum = ChunkEncoder::Checksum::sha256;
    layout.trailer_name = s.trailer_name;
    layout.trailer_value_length = s.trailer_value.size();
  }
  const std::string expected = reference::encode(
      s, payload, std::vector<std::size_t>(payload.size() / layout.chunk_size + 1, layout.chunk_size));
  REQUIRE(layout.encoded_length() == expected.size());

  for (const bool apart : {false, true}) {
    auto made = ChunkEncoder::create(layout, s.with_signatures ? &key() : nullptr, s.timestamp,
                                     s.with_signatures ? s.seed : "", checksum);
    REQUIRE(made.ok());
    ChunkEncoder& encoder = made.value();
    REQUIRE(encoder.encoded_length() == expected.size());
    std::string body;
    std::size_t taken = 0;
    while (!encoder.finished()) {
      const ChunkEncoder::Group group = encoder.next_group(most);
      REQUIRE(group.chunks <= most && group.payload <= payload.size() - taken);
      const std::size_t all = static_cast<std::size_t>(group.bytes),
                        inner = static_cast<std::size_t>(group.payload);
      if (!apart) {
        std::vector<std::uint8_t> buffer(all);
        std::size_t at = taken;
        for (std::size_t i = 0; i < group.chunks; ++i) {
          const std::size_t n = encoder.slot_size(i);
          REQUIRE(encoder.slot_offset(i) + n <= all);
          std::copy_n(payload.begin() + static_cast<std::ptrdiff_t>(at), n,
                      buffer.begin() + static_cast<std::ptrdiff_t>(encoder.slot_offset(i)));
          at += n;
        }
        REQUIRE(encoder.seal(group, buffer.data(), {}).ok());
        body.append(buffer.begin(), buffer.end());
      } else {
        std::vector<std::uint8_t> between(all - inner);
        std::vector<std::size_t> ends(group.chunks + 1);
        std::vector<std::size_t> sizes;
        for (std::size_t i = 0; i < group.chunks; ++i) sizes.push_back(encoder.slot_size(i));
        const std::vector<std::uint8_t> part(payload.begin() + static_cast<std::ptrdiff_t>(taken),
                                             payload.begin() + static_cast<std::ptrdiff_t>(taken + inner));
        REQUIRE(encoder.seal_apart(group, part.data(), between.data(), ends.data(), {}).ok());
        std::size_t begin = 0, at = 0;
        for (std::size_t i = 0; i <= group.chunks; ++i) {
          REQUIRE(ends[i] >= begin && ends[i] <= between.size());
          body.append(between.begin() + static_cast<std::ptrdiff_t>(begin),
                      between.begin() + static_cast<std::ptrdiff_t>(ends[i]));
          begin = ends[i];
          if (i == group.chunks) break;
          body.append(part.begin() + static_cast<std::ptrdiff_t>(at),
                      part.begin() + static_cast<std::ptrdiff_t>(at + sizes[i]));
          at += sizes[i];
        }
        REQUIRE(begin == between.size() && at == inner);
      }
      taken += inner;
    }
    REQUIRE(taken == payload.size());
    REQUIRE(body == expected);
  }

  std::string got;
  REQUIRE(decodes(s, expected, got) && got == payload);
  // The size of a chunk may be written in either case, and white space stands for nothing; any other byte
  // counts.
  std::string changed = expected;
  const std::size_t at = change_at % changed.size();
  changed[at] = change_to;
  if (changed != expected && decodes(s, changed, got)) {
    const std::size_t begin = changed.rfind('\n', at) + 1;
    const std::string_view line = std::string_view(expected).substr(begin, expected.find('\n', at) - begin);
    if (s.with_signatures) {
      REQUIRE(got == payload);
      const bool name = !trailer ? false : line.find("x-amz-") == 0 && at < begin + line.find(':');
      REQUIRE((expected[at] | 0x20) == (change_to | 0x20) &&
              (name || (line.find(";chunk-signature=") != line.npos && at < begin + line.find(';'))));
    }
  }
  return 0;
}
