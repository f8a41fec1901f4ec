// ChunkDecoder in random pieces against reference::decode on the whole body: same verdict, same offset, same
// bytes. Input: flags, seed of the pieces, then either a raw body or a recipe: sizes of a valid body and
// edits to it.
#include "../reference.h"
#include "fuzz.h"
#include "keys.h"
#include "s3accel/chunk_decoder.h"

using namespace s3accel;

namespace {

const SigningKey& key() {
  static const SigningKey instance = fuzz::key_of("20130524");
  return instance;
}

std::string recipe(fuzz::Input& input, reference::Stream& s) {
  std::vector<std::size_t> sizes;
  std::size_t total = 0;
  for (std::size_t n = input.byte() % 4; n > 0; --n) {
    sizes.push_back(1 + input.number() % 9000);
    total += sizes.back();
  }
  s.decoded_length = total;
  std::string body = reference::encode(s, std::string(total, 'd'), sizes);
  while (!input.empty() && !body.empty()) {
    const std::uint8_t what = input.byte();
    const std::size_t at =
        (what & 8) != 0 ? body.size() - 1 - input.number() % body.size() : input.number() % body.size();
    switch (what % 5) {
      case 0:
        body[at] = static_cast<char>(input.byte());
        break;
      case 1:
        body.insert(at, 1, static_cast<char>(input.byte()));
        break;
      case 2:
        body.erase(at, 1 + input.byte() % 4);
        break;
      case 3:
        body.resize(at);
        break;
      default:
        s.decoded_length += static_cast<std::uint64_t>(input.byte()) - 128;
        break;
    }
  }
  return body;
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  using namespace std::string_literals;
  return {
      "\x02\1\0\0\0\0\0\0\0\x05"
      "5\r\nhello\r\n0\r\n\r\n"s,
      "\x06\1\0\0\0\0\0\0\0\x05"
      "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"s,
      "\x02\1\xff\xff\xff\xff\xff\xff\xff\xff"
      "ffffffffffffffff\r\n"s,
      "\x03\1\0\0\0\0\0\0\0\0"
      "0;chunk-signature="s +
          std::string(64, '0') + "\r\n\r\n",
      "\x09\1\1\0\x10"s,
      "\x0f\3\2\x20\x00\x00\x10"s,
      "\x0d\3\2\x20\x00\x00\x10\x08\x00\x05X"s,
      "\x0b\2\3\x20\x01\x20\x01\x00\x01"s};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t flags = input.byte();
  std::uint32_t state = input.byte() * 2654435761u + 1;
  reference::Stream s;
  s.with_signatures = (flags & 1) != 0;
  s.trailer_mode = (flags & 2) != 0;
  if ((flags & 4) != 0) s.trailer_name = "x-amz-checksum-crc32";
  s.trailer_value = "NhCmhg==";
  std::string body;
  if ((flags & 8) != 0) {
    body = recipe(input, s);
  } else {
    for (int i = 0; i < 8; ++i) s.decoded_length = s.decoded_length << 8 | input.byte();
    body = input.rest();
  }
  const reference::Decoded expected = reference::decode(s, body);

  ChunkDecoder::Config config;
  config.with_signatures = s.with_signatures;
  config.trailer_mode = s.trailer_mode;
  config.decoded_length = s.decoded_length;
  config.trailer_name = s.trailer_name;
  config.timestamp = s.timestamp;
  config.seed_signature = s.seed;
  ChunkDecoder decoder(config, s.with_signatures ? &key() : nullptr);
  std::string got;
  Error error;
  for (std::size_t at = 0; at < body.size() && error.code == Errc::ok;) {
    state = state * 1664525u + 1013904223u;
    const std::size_t most = (state >> 28) == 0 ? 20000 : (state >> 28) < 6 ? 2 : 300;
    const std::size_t n = std::min(1 + (state >> 8) % most, body.size() - at);
    const std::vector<std::uint8_t> piece(body.begin() + static_cast<std::ptrdiff_t>(at),
                                          body.begin() + static_cast<std::ptrdiff_t>(at + n));
    std::vector<std::uint8_t> out(n);
    const auto r = decoder.feed(piece, out.data());
    error = r.error();
    if (r) got += as_text({out.data(), r.value()});
    at += n;
  }
  const auto finished = decoder.finish();
  if (error.code == Errc::ok) error = finished.error();
  REQUIRE(finished.error().code == error.code && finished.error().offset == error.offset);
  REQUIRE(error.code == expected.code);
  REQUIRE(error.offset == expected.offset);
  if (error.code == Errc::ok) {
    REQUIRE(got == expected.data);
    REQUIRE(decoder.trailer_value() == expected.trailer_value);
    REQUIRE(decoder.decoded() == s.decoded_length);
  }
  return 0;
}
