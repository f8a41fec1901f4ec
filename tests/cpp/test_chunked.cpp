// The encoder against tests/vectors/streaming-framing.json (bodies, lengths) and
// tests/vectors/s3-doc-examples.json (the two streaming examples of the S3 API Reference) as literals, and
// against reference.h.
#include "s3accel/chunk_decoder.h"
#include "s3accel/chunked.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "buffers.h"
#include "minitest.h"
#include "reference.h"
#include "s3accel/checksum.h"
#include "s3accel/verify.h"

using namespace s3accel;
using Checksum = ChunkEncoder::Checksum;

namespace {

constexpr std::string_view kDate = "20130524T000000Z";

const SigningKey& key() {
  static const SigningKey instance =
      SigningKey::derive(reference::kSecret, "20130524", "us-east-1", "s3").value();
  return instance;
}

// Byte i is i mod 251.
std::string pattern(std::size_t n) {
  std::string out(n, '\0');
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<char>(i % 251);
  return out;
}

struct Body {
  std::string text;
  std::string error;  // the first error's name
};

// Fills and seals group after group of at most `chunks()` chunks.
template <class Chunks>
Body encode(const ChunkLayout& layout, bool with_signatures, std::string_view seed, Checksum checksum,
            std::string_view external, std::string_view data, Chunks chunks) {
  auto made = ChunkEncoder::create(layout, with_signatures ? &key() : nullptr, with_signatures ? kDate : "",
                                   seed, checksum);
  if (!made) return {"", errc_name(made.error().code)};
  ChunkEncoder& encoder = made.value();
  Body body;
  while (!encoder.finished()) {
    const ChunkEncoder::Group group = encoder.next_group(chunks());
    // Exactly the room announced, so that the sanitizers see a byte too much.
    std::vector<std::uint8_t> buffer(static_cast<std::size_t>(group.bytes), 0xee);
    for (std::size_t i = 0; i < group.chunks; ++i) {
      const std::size_t n = encoder.slot_size(i);
      std::copy_n(data.begin(), n, buffer.begin() + static_cast<std::ptrdiff_t>(encoder.slot_offset(i)));
      data.remove_prefix(n);
    }
    if (auto r = encoder.seal(group, buffer.data(), external); !r)
      return {body.text, errc_name(r.error().code)};
    body.text += as_text(buffer);
  }
  CHECK(data.empty());
  CHECK_EQ(body.text.size(), encoder.encoded_length());
  CHECK_EQ(encoder.remaining(), 0u);
  return body;
}

ChunkLayout layout_of(bool with_signatures, std::uint64_t length, std::size_t chunk_size,
                      std::string_view trailer = {}, std::size_t value_length = 0) {
  ChunkLayout layout;
  layout.mode = with_signatures ? ChunkMode::signed_hmac : ChunkMode::unsigned_trailer;
  layout.decoded_length = length;
  layout.chunk_size = chunk_size;
  layout.trailer_name = trailer;
  layout.trailer_value_length = value_length;
  return layout;
}

struct Algorithm {
  Checksum checksum;
  std::string_view trailer;
  std::size_t value_length;
};

// Base64 lengths of 4, 8 and 32 bytes are 8, 12 and 44 (RFC 4648).
constexpr Algorithm kNone = {Checksum::none, "", 0};
constexpr Algorithm kCrc32 = {Checksum::crc32, "x-amz-checksum-crc32", 8};
constexpr Algorithm kCrc32c = {Checksum::crc32c, "x-amz-checksum-crc32c", 8};
constexpr Algorithm kCrc64 = {Checksum::crc64nvme, "x-amz-checksum-crc64nvme", 12};
constexpr Algorithm kSha256 = {Checksum::sha256, "x-amz-checksum-sha256", 44};
constexpr Algorithm kSha1 = {Checksum::external, "x-amz-checksum-sha1", 28};

struct Vector {
  const char* id;
  std::string data;
  std::size_t chunk_size;
  Algorithm algorithm;
  std::string_view external;
  std::string_view seed;  // empty: unsigned
  std::size_t encoded_length;
  std::string_view encoded_sha256;
};

const Vector kVectors[] = {
    {"empty-crc32", "", 65536, kCrc32, "", "", 36,
     "34c53023f81f74c829a48a19ad4f53a293f1e263463937a86a387e02766bfeb5"},
    {"empty-crc64nvme", "", 65536, kCrc64, "", "", 44,
     "17dbf33a8155fa26cd95f58f9cef76452f56cb32618b810d042d7b66ad7a32ed"},
    {"hello-crc32c", "hello", 65536, kCrc32c, "", "", 47,
     "892f9950bd2ac29a7587fad18f9638e61fb62e0aaafe9f87d3c9ae7bef88063b"},
    {"hello-world-crc64nvme", "hello world", 1048576, kCrc64, "", "", 60,
     "6421c36bae567cbe74d70f9bff4fe59529c5132ad4d9ed9f1415959aed7518f1"},
    {"hello-sha256", "hello", 65536, kSha256, "", "", 83,
     "e05b7f8165d02c397f74e444e59dbcbca2258ccf7dcb021cad12d79233c1ac48"},
    {"hello-sha1", "hello", 65536, kSha1, "qvTGHdzF6KLavt4PO0gs2a6pQ00=", "", 65,
     "fdb35b81be75c795416d178f84b2649e9abe278538bb3541f415e8dd30138f0c"},
    {"hello-no-trailer", "hello", 65536, kNone, "", "", 15,
     "1d776e2fe456054d29a304ac4fdc70ecf6dd085237a7f0dff8bdeababec372fd"},
    {"pattern-16385-crc32", pattern(16385), 8192, kCrc32, "", "", 16442,
     "45034daa0dff550f85c1e0688932f24b1bb72f01d2f8e785e6f3891e33df745e"},
    {"pattern-16384-crc32", pattern(16384), 8192, kCrc32, "", "", 16436,
     "0f72f2810caefbdc7d05ca42478bbcb57c41c84dc26567eb0b126be36cfe5451"},
    {"one-byte-short-chunk", "a", 8192, kCrc32, "", "", 42,
     "453dad3d0e92498451157d391154918960448b989514faa6de69079a8ba4d4ab"},
    {"signed-empty", "", 65536, kNone, "", "0cd01ecc2b320b850adaed2806c98791225a9c79b228df3fa6d7d3cda1b1425d",
     86, "38b60bf7afd303efd4c101ba9ae04c88f29b3ef7c51ead229486d1db3a5c6014"},
    {"signed-empty-trailer", "", 65536, kCrc32, "",
     "d5a48a58efd21163b3f3614cdfd9b96215dc48def7ceb92c425555f387597e59", 207,
     "7ec54fb0275ad364ae2883d0db4712a771ab718651a37d6cbfa6b2f76a266d3f"},
    {"signed-hello", "hello", 65536, kNone, "",
     "e1b4bde0d940ea177f28956b047a760a92d7309e7c901b8bcf8024428f2138b2", 177,
     "d5d6ffbe5397284d14dc9af6ec8c3a859fc67e0a603f091f9df942e960196c47"},
    {"signed-hello-trailer-crc32c", "hello", 65536, kCrc32c, "",
     "b18d5254276be29552e1f82cef7bdccda2fa58801dad201282fd22a06b67dc6d", 299,
     "0874c04e77b02c59dcbc004590ab530c246eac801a5f72f66929e8d8d1dedab8"},
    {"signed-hello-trailer-sha256", "hello", 65536, kSha256, "",
     "781fa7540b2eaef8a6a2b749778a2e3af326cba2519b137b98d51b2c25135a3d", 335,
     "2d3e7dc57acded7f3c503d28cd71e8af487a8630192a75dd82363ebc1cbfe13c"},
    {"signed-16385-by-8192-crc64nvme", pattern(16385), 8192, kCrc64, "",
     "4fb2f3d53492c4dacf3a9e3762fb35494594a9f3a1aad5e7f9373f3d0cb94d2e", 16864,
     "13782bacd260c68d1bc5dc56ef13bdf42059d0258f6a0c142542df2cb79f18ed"},
    {"signed-exact-multiple", pattern(16384), 8192, kNone, "",
     "2d4931cd5d2e27b5291780b82bc94bba6a0d2abd2a1119cb9419361edb361dbf", 16648,
     "3829a2c1fbaf4ccda588aa635145e73f406178f7fc87a65f6419e9eb59fc1183"},
};

// [decoded length, chunk size, signed, trailer name length, value length, Content-Length]
struct Length {
  std::uint64_t decoded;
  std::size_t chunk_size;
  bool with_signatures;
  std::string_view trailer;
  std::size_t value_length;
  std::uint64_t encoded;
};

constexpr Length kLengths[] = {
    {0u, 65536, true, "", 0, 86u},
    {0u, 65536, true, "x-amz-checksum-crc32", 8, 207u},
    {0u, 65536, true, "x-amz-checksum-crc64nvme", 12, 215u},
    {0u, 65536, true, "x-amz-checksum-sha256", 44, 244u},
    {0u, 65536, false, "x-amz-checksum-crc32", 8, 36u},
    {0u, 65536, false, "x-amz-checksum-crc64nvme", 12, 44u},
    {0u, 65536, false, "", 0, 5u},
    {1u, 65536, true, "", 0, 173u},
    {1u, 65536, true, "x-amz-checksum-crc32", 8, 294u},
    {1u, 65536, true, "x-amz-checksum-crc64nvme", 12, 302u},
    {1u, 65536, true, "x-amz-checksum-sha256", 44, 331u},
    {1u, 65536, false, "x-amz-checksum-crc32", 8, 42u},
    {1u, 65536, false, "x-amz-checksum-crc64nvme", 12, 50u},
    {1u, 65536, false, "", 0, 11u},
    {16u, 8192, true, "", 0, 189u},
    {16u, 8192, true, "x-amz-checksum-crc32", 8, 310u},
    {16u, 8192, true, "x-amz-checksum-crc64nvme", 12, 318u},
    {16u, 8192, true, "x-amz-checksum-sha256", 44, 347u},
    {16u, 8192, false, "x-amz-checksum-crc32", 8, 58u},
    {16u, 8192, false, "x-amz-checksum-crc64nvme", 12, 66u},
    {16u, 8192, false, "", 0, 27u},
    {4096u, 8192, true, "", 0, 4271u},
    {4096u, 8192, true, "x-amz-checksum-crc32", 8, 4392u},
    {4096u, 8192, true, "x-amz-checksum-crc64nvme", 12, 4400u},
    {4096u, 8192, true, "x-amz-checksum-sha256", 44, 4429u},
    {4096u, 8192, false, "x-amz-checksum-crc32", 8, 4140u},
    {4096u, 8192, false, "x-amz-checksum-crc64nvme", 12, 4148u},
    {4096u, 8192, false, "", 0, 4109u},
    {8192u, 8192, true, "", 0, 8367u},
    {8192u, 8192, true, "x-amz-checksum-crc32", 8, 8488u},
    {8192u, 8192, true, "x-amz-checksum-crc64nvme", 12, 8496u},
    {8192u, 8192, true, "x-amz-checksum-sha256", 44, 8525u},
    {8192u, 8192, false, "x-amz-checksum-crc32", 8, 8236u},
    {8192u, 8192, false, "x-amz-checksum-crc64nvme", 12, 8244u},
    {8192u, 8192, false, "", 0, 8205u},
    {8193u, 8192, true, "", 0, 8454u},
    {8193u, 8192, true, "x-amz-checksum-crc32", 8, 8575u},
    {8193u, 8192, true, "x-amz-checksum-crc64nvme", 12, 8583u},
    {8193u, 8192, true, "x-amz-checksum-sha256", 44, 8612u},
    {8193u, 8192, false, "x-amz-checksum-crc32", 8, 8242u},
    {8193u, 8192, false, "x-amz-checksum-crc64nvme", 12, 8250u},
    {8193u, 8192, false, "", 0, 8211u},
    {65536u, 65536, true, "", 0, 65712u},
    {65536u, 65536, true, "x-amz-checksum-crc32", 8, 65833u},
    {65536u, 65536, true, "x-amz-checksum-crc64nvme", 12, 65841u},
    {65536u, 65536, true, "x-amz-checksum-sha256", 44, 65870u},
    {65536u, 65536, false, "x-amz-checksum-crc32", 8, 65581u},
    {65536u, 65536, false, "x-amz-checksum-crc64nvme", 12, 65589u},
    {65536u, 65536, false, "", 0, 65550u},
    {65537u, 65536, true, "", 0, 65799u},
    {65537u, 65536, true, "x-amz-checksum-crc32", 8, 65920u},
    {65537u, 65536, true, "x-amz-checksum-crc64nvme", 12, 65928u},
    {65537u, 65536, true, "x-amz-checksum-sha256", 44, 65957u},
    {65537u, 65536, false, "x-amz-checksum-crc32", 8, 65587u},
    {65537u, 65536, false, "x-amz-checksum-crc64nvme", 12, 65595u},
    {65537u, 65536, false, "", 0, 65556u},
    {66560u, 65536, true, "", 0, 66824u},
    {66560u, 65536, true, "x-amz-checksum-crc32", 8, 66945u},
    {66560u, 65536, true, "x-amz-checksum-crc64nvme", 12, 66953u},
    {66560u, 65536, true, "x-amz-checksum-sha256", 44, 66982u},
    {66560u, 65536, false, "x-amz-checksum-crc32", 8, 66612u},
    {66560u, 65536, false, "x-amz-checksum-crc64nvme", 12, 66620u},
    {66560u, 65536, false, "", 0, 66581u},
    {1048576u, 1048576, true, "", 0, 1048753u},
    {1048576u, 1048576, true, "x-amz-checksum-crc32", 8, 1048874u},
    {1048576u, 1048576, true, "x-amz-checksum-crc64nvme", 12, 1048882u},
    {1048576u, 1048576, true, "x-amz-checksum-sha256", 44, 1048911u},
    {1048576u, 1048576, false, "x-amz-checksum-crc32", 8, 1048622u},
    {1048576u, 1048576, false, "x-amz-checksum-crc64nvme", 12, 1048630u},
    {1048576u, 1048576, false, "", 0, 1048591u},
    {1048577u, 1048576, true, "", 0, 1048840u},
    {1048577u, 1048576, true, "x-amz-checksum-crc32", 8, 1048961u},
    {1048577u, 1048576, true, "x-amz-checksum-crc64nvme", 12, 1048969u},
    {1048577u, 1048576, true, "x-amz-checksum-sha256", 44, 1048998u},
    {1048577u, 1048576, false, "x-amz-checksum-crc32", 8, 1048628u},
    {1048577u, 1048576, false, "x-amz-checksum-crc64nvme", 12, 1048636u},
    {1048577u, 1048576, false, "", 0, 1048597u},
    {5242880u, 65536, true, "", 0, 5250166u},
    {5242880u, 65536, true, "x-amz-checksum-crc32", 8, 5250287u},
    {5242880u, 65536, true, "x-amz-checksum-crc64nvme", 12, 5250295u},
    {5242880u, 65536, true, "x-amz-checksum-sha256", 44, 5250324u},
    {5242880u, 65536, false, "x-amz-checksum-crc32", 8, 5243636u},
    {5242880u, 65536, false, "x-amz-checksum-crc64nvme", 12, 5243644u},
    {5242880u, 65536, false, "", 0, 5243605u},
    {5368709120u, 65536, true, "", 0, 5376082006u},
    {5368709120u, 65536, true, "x-amz-checksum-crc32", 8, 5376082127u},
    {5368709120u, 65536, true, "x-amz-checksum-crc64nvme", 12, 5376082135u},
    {5368709120u, 65536, true, "x-amz-checksum-sha256", 44, 5376082164u},
    {5368709120u, 65536, false, "x-amz-checksum-crc32", 8, 5369446436u},
    {5368709120u, 65536, false, "x-amz-checksum-crc64nvme", 12, 5369446444u},
    {5368709120u, 65536, false, "", 0, 5369446405u},
    {5368709120u, 1048576, true, "", 0, 5369175126u},
    {5368709120u, 1048576, true, "x-amz-checksum-crc32", 8, 5369175247u},
    {5368709120u, 1048576, true, "x-amz-checksum-crc64nvme", 12, 5369175255u},
    {5368709120u, 1048576, true, "x-amz-checksum-sha256", 44, 5369175284u},
    {5368709120u, 1048576, false, "x-amz-checksum-crc32", 8, 5368760356u},
    {5368709120u, 1048576, false, "x-amz-checksum-crc64nvme", 12, 5368760364u},
    {5368709120u, 1048576, false, "", 0, 5368760325u},
};

}  // namespace

TEST(chunked_encodes_the_vectors) {
  for (const Vector& v : kVectors) {
    for (std::size_t chunks : {std::size_t{1}, std::size_t{2}, std::size_t{100}}) {
      const bool with_signatures = !v.seed.empty();
      const auto layout = layout_of(with_signatures, v.data.size(), v.chunk_size, v.algorithm.trailer,
                                    v.algorithm.value_length);
      const Body body = encode(layout, with_signatures, v.seed, v.algorithm.checksum, v.external, v.data,
                               [chunks] { return chunks; });
      CHECK_SAY(body.error.empty(), v.id << ": " << body.error);
      CHECK_SAY(body.text.size() == v.encoded_length, v.id);
      CHECK_SAY(reference::sha256_hex(body.text) == v.encoded_sha256, v.id);
    }
  }
}

TEST(chunked_encoded_lengths) {
  for (const Length& l : kLengths) {
    CHECK_EQ(
        layout_of(l.with_signatures, l.decoded, l.chunk_size, l.trailer, l.value_length).encoded_length(),
        l.encoded);
  }
}

// S3 API Reference, "sigv4-streaming": 65 KiB of 'a' in chunks of 64 KiB.
TEST(chunked_aws_example) {
  const std::string data(66560, 'a');
  const Body body = encode(layout_of(true, data.size(), 65536), true,
                           "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9", Checksum::none,
                           "", data, [] { return std::size_t{4}; });
  const std::string expected =
      "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" +
      data.substr(0, 65536) +
      "\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" +
      data.substr(65536) +
      "\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n";
  CHECK_EQ(body.text.size(), 66824u);
  CHECK(body.text == expected);
}

// S3 API Reference, "sigv4-streaming-trailers": the same with a CRC32C trailer.
TEST(chunked_aws_example_with_trailer) {
  const std::string data(66560, 'a');
  const Body body = encode(layout_of(true, data.size(), 65536, "x-amz-checksum-crc32c", 8), true,
                           "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
                           Checksum::crc32c, "", data, [] { return std::size_t{1}; });
  const std::string expected =
      "10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n" +
      data.substr(0, 65536) +
      "\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n" +
      data.substr(65536) +
      "\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
      "x-amz-checksum-crc32c:sOO8/Q==\r\n"
      "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n";
  CHECK_EQ(body.text.size(), 66946u);
  CHECK(body.text == expected);
}

// All modes, remainders and groupings against the plain encoder, and back through the decoder in random
// pieces.
TEST(chunked_round_trip) {
  for (const std::size_t chunk : {std::size_t{8192}, std::size_t{65536}, std::size_t{1048576}}) {
    std::vector<std::size_t> lengths = {0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 2 * chunk + 17};
    if (chunk < 1048576) lengths.insert(lengths.end(), {5 * chunk + 8191, 17 * chunk, 35 * chunk + 1});
    for (const std::size_t length : lengths) {
      const auto raw = minitest::random_bytes(length);
      const std::string_view data = as_text(raw);
      for (const Algorithm& algorithm : {kNone, kCrc32, kCrc32c, kCrc64, kSha256, kSha1}) {
        // Big bodies in every second combination only; the sanitizers make hashing slow.
        if (length > 1000000 && minitest::below(3) != 0) continue;
        const bool with_signatures = minitest::below(4) != 0;
        reference::Stream s;
        s.with_signatures = with_signatures;
        s.trailer_mode = algorithm.checksum != Checksum::none || !with_signatures;
        s.decoded_length = length;
        s.trailer_name = algorithm.trailer;

        const std::string external(algorithm.checksum == Checksum::external ? 28 : 0, 'x');
        const auto layout =
            layout_of(with_signatures, length, chunk, algorithm.trailer, algorithm.value_length);
        const Body body = encode(layout, with_signatures, with_signatures ? s.seed : "", algorithm.checksum,
                                 external, data, [] { return 1 + minitest::below(40); });
        CHECK_EQ(body.error, "");
        CHECK_EQ(body.text.size(), layout.encoded_length());

        std::uint8_t sum[32];
        std::size_t sum_size = 4;
        if (algorithm.checksum == Checksum::crc32) store_be32(sum, crc32(raw));
        if (algorithm.checksum == Checksum::crc32c) store_be32(sum, crc32c(raw));
        if (algorithm.checksum == Checksum::crc64nvme) store_be64(sum, crc64nvme(raw)), sum_size = 8;
        if (algorithm.checksum == Checksum::sha256) sha256(raw, sum), sum_size = 32;
        if (algorithm.checksum == Checksum::external) {
          s.trailer_value = external;
        } else if (algorithm.checksum != Checksum::none) {
          s.trailer_value.resize(base64_length(sum_size));
          base64_encode({sum, sum_size}, s.trailer_value.data());
        }
        const std::vector<std::size_t> sizes(length / chunk, chunk);
        CHECK(body.text == reference::encode(s, data, sizes));

        ChunkDecoder::Config config;
        config.with_signatures = with_signatures;
        config.trailer_mode = s.trailer_mode;
        config.decoded_length = length;
        config.trailer_name = s.trailer_name;
        config.timestamp = s.timestamp;
        config.seed_signature = s.seed;
        ChunkDecoder decoder(config, with_signatures ? &key() : nullptr);
        std::string decoded;
        const std::size_t most = 1 + minitest::below(3 * chunk);
        for (std::size_t at = 0; at < body.text.size();) {
          const std::size_t n = std::min(1 + minitest::below(most), body.text.size() - at);
          std::vector<std::uint8_t> out(n);
          const auto r = decoder.feed(as_bytes(body.text).subspan(at, n), out.data());
          CHECK_SAY(r.ok(), errc_name(r.error().code) << " at " << r.error().offset);
          if (!r) break;
          decoded += as_text({out.data(), r.value()});
          at += n;
        }
        CHECK(decoder.finish().ok());
        CHECK(decoded == data);
        CHECK_EQ(decoder.decoded(), length);
        CHECK_EQ(decoder.data_chunks(), (length + chunk - 1) / chunk);
        CHECK_EQ(decoder.trailer_value(), s.trailer_value);
      }
    }
  }
}

TEST(chunked_groups_and_slots) {
  auto made = ChunkEncoder::create(layout_of(true, 3 * 8192 + 5, 8192), &key(), kDate, std::string(64, 'a'),
                                   Checksum::none);
  CHECK(made.ok());
  if (!made) return;
  ChunkEncoder& encoder = made.value();
  // "2000" + 81 + CRLF, "5" + 81 + CRLF (protocol: lengths of an aws-chunked body).
  const std::size_t head = 4 + 81 + 2;
  auto group = encoder.next_group(2);
  CHECK_EQ(group.chunks, 2u);
  CHECK_EQ(group.payload, 2u * 8192);
  CHECK_EQ(group.bytes, 2 * (head + 8192 + 2));
  CHECK(!group.last);
  CHECK_EQ(encoder.slot_offset(0), head);
  CHECK_EQ(encoder.slot_offset(1), head + 8192 + 2 + head);
  CHECK_EQ(encoder.slot_size(1), 8192u);
  CHECK_EQ(encoder.next_group(0).chunks, 1u);  // at least one
  group = encoder.next_group(100);
  CHECK_EQ(group.chunks, 4u);
  CHECK(group.last);
  CHECK_EQ(encoder.slot_size(3), 5u);
  CHECK_EQ(encoder.slot_size(4), 0u);
  CHECK_EQ(group.bytes, encoder.encoded_length());
  // An encoder of nothing has the end only.
  auto empty = ChunkEncoder::create(layout_of(false, 0, 8192), nullptr, "", "", Checksum::none);
  CHECK(empty.ok());
  group = empty.value().next_group(7);
  CHECK_EQ(group.chunks, 0u);
  CHECK_EQ(group.bytes, 5u);  // "0\r\n\r\n"
  CHECK(group.last);
}

TEST(chunked_refuses_bad_layouts) {
  const std::string seed(64, 'a');
  const auto code = [&](const ChunkLayout& layout, Checksum checksum, std::string_view from = {},
                        bool with_key = true, std::string_view date = kDate) {
    return ChunkEncoder::create(layout, with_key ? &key() : nullptr, date, from.empty() ? seed : from,
                                checksum)
        .error()
        .code;
  };
  CHECK(code(layout_of(true, 1, 8191), Checksum::none) == Errc::bad_chunk_size);
  CHECK(code(layout_of(true, 1, 0), Checksum::none) == Errc::bad_chunk_size);
  CHECK(code(layout_of(true, 1, 16 * 1024 * 1024 + 1), Checksum::none) == Errc::bad_chunk_size);
  CHECK(code(layout_of(true, 1, 16 * 1024 * 1024), Checksum::none) == Errc::ok);
  CHECK(code(layout_of(true, UINT64_MAX, 8192), Checksum::none) == Errc::too_long);
  CHECK(code(layout_of(true, kMaxDecodedLength + 1, 8192), Checksum::none) == Errc::too_long);
  CHECK(code(layout_of(true, kMaxDecodedLength, 8192), Checksum::none) == Errc::ok);
  CHECK(code(layout_of(true, 1, 8192), Checksum::crc32) == Errc::bad_trailer);  // no name
  CHECK(code(layout_of(true, 1, 8192, "x-amz-checksum-crc32", 8), Checksum::none) == Errc::bad_trailer);
  CHECK(code(layout_of(true, 1, 8192, "x-amz-checksum-crc32", 9), Checksum::crc32) == Errc::bad_trailer);
  CHECK(code(layout_of(true, 1, 8192, "x-amz-checksum-crc32", 8), Checksum::crc64nvme) == Errc::bad_trailer);
  CHECK(code(layout_of(true, 1, 8192, "x-amz-checksum-sha1", 0), Checksum::external) == Errc::bad_trailer);
  CHECK(code(layout_of(true, 1, 8192, "x-amz-checksum-sha1", 129), Checksum::external) == Errc::bad_trailer);
  CHECK(code(layout_of(true, 1, 8192, "x-amz-checksum-sha1", SIZE_MAX), Checksum::external) ==
        Errc::bad_trailer);
  for (std::string_view name : {"X-Amz-Checksum-Crc32", "a:b", "a\r\nb", "a b", "a\xc3\xa9"}) {
    CHECK_SAY(code(layout_of(true, 1, 8192, name, 8), Checksum::crc32) == Errc::bad_trailer, name);
  }
  CHECK(code(layout_of(true, 1, 8192, std::string(129, 'a'), 8), Checksum::crc32) == Errc::bad_trailer);
  CHECK(code(layout_of(true, 1, 8192), Checksum::none, "short") == Errc::wrong_order);
  CHECK(code(layout_of(true, 1, 8192), Checksum::none, seed, false) == Errc::wrong_order);
  CHECK(code(layout_of(true, 1, 8192), Checksum::none, seed, true, "20130524") == Errc::bad_timestamp);
  // The longest length that is allowed does not overflow anything.
  const auto longest = layout_of(true, kMaxDecodedLength, 8192, "x-amz-checksum-sha512", 88);
  CHECK_EQ(longest.encoded_length(),
           kMaxDecodedLength / 8192 * (8192 + 2 + 4 + 81 + 2) + longest.end_length());
}

TEST(chunked_seal_wants_the_group_it_gave) {
  auto made =
      ChunkEncoder::create(layout_of(true, 20000, 8192), &key(), kDate, std::string(64, 'a'), Checksum::none);
  CHECK(made.ok());
  if (!made) return;
  ChunkEncoder& encoder = made.value();
  std::vector<std::uint8_t> buffer(static_cast<std::size_t>(encoder.encoded_length()));
  const auto refused = [&](ChunkEncoder::Group group) {
    return encoder.seal(group, buffer.data(), "").error().code == Errc::wrong_order;
  };
  const ChunkEncoder::Group good = encoder.next_group(2);
  ChunkEncoder::Group bad = good;
  bad.chunks = 1;
  CHECK(refused(bad));
  bad = good, bad.chunks = 0;
  CHECK(refused(bad));
  bad = good, bad.chunks = SIZE_MAX;
  CHECK(refused(bad));
  bad = good, bad.payload -= 1;
  CHECK(refused(bad));
  bad = good, bad.bytes += 1;
  CHECK(refused(bad));
  bad = good, bad.last = true;
  CHECK(refused(bad));
  CHECK(encoder.seal(good, buffer.data(), "").ok());
  CHECK(refused(good));
  CHECK_EQ(encoder.remaining(), 20000u - 2 * 8192);
  CHECK(encoder.seal(encoder.next_group(9), buffer.data(), "").ok());
  CHECK(encoder.finished());
  CHECK(refused(encoder.next_group(1)));
}

// A value that cannot be sent is refused before anything moved on, so that the right one can follow.
TEST(chunked_external_value) {
  reference::Stream s;
  s.trailer_mode = true;
  s.decoded_length = 5;
  s.trailer_name = "x-amz-checksum-md5";
  s.trailer_value = "XUFAKrxLKna5cZ2REBfFkg==";  // md5("hello"), RFC 1321 in base64
  auto made = ChunkEncoder::create(layout_of(true, 5, 8192, s.trailer_name, 24), &key(), kDate, s.seed,
                                   Checksum::external);
  CHECK(made.ok());
  if (!made) return;
  ChunkEncoder& encoder = made.value();
  const auto group = encoder.next_group(1);
  std::vector<std::uint8_t> buffer(static_cast<std::size_t>(group.bytes));
  const std::string hello = "hello";
  std::copy(hello.begin(), hello.end(), buffer.begin() + static_cast<std::ptrdiff_t>(encoder.slot_offset(0)));
  for (const std::string& value : {std::string(), std::string(23, 'x'), std::string(25, 'x'),
                                   std::string(200, 'x'), std::string("AAAAAAAAAAAA\r\nevil:yes\r\n"),
                                   std::string(24, ' '), std::string(24, '\0'), std::string(24, '\xe9')}) {
    const auto r = encoder.seal(group, buffer.data(), value);
    CHECK_SAY(r.error().code == Errc::bad_trailer, value);
    CHECK(!encoder.finished());
  }
  CHECK(encoder.seal(group, buffer.data(), s.trailer_value).ok());
  CHECK(as_text(buffer) == reference::encode(s, hello, {}));
}

TEST(chunked_checksum_so_far) {
  // Check values of "123456789": cbf43926, e3069283, ae8b14860a799888 (CRC RevEng catalogue).
  struct Case {
    Algorithm algorithm;
    std::string_view hex;
  };
  for (const Case& c : {Case{kCrc32, "cbf43926"}, Case{kCrc32c, "e3069283"}, Case{kCrc64, "ae8b14860a799888"},
                        Case{kSha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"},
                        Case{kNone, ""}, Case{kSha1, ""}}) {
    auto made = ChunkEncoder::create(layout_of(false, 9, 8192, c.algorithm.trailer, c.algorithm.value_length),
                                     nullptr, "", "", c.algorithm.checksum);
    CHECK(made.ok());
    if (!made) return;
    const auto group = made.value().next_group(1);
    std::vector<std::uint8_t> buffer(static_cast<std::size_t>(group.bytes));
    std::copy_n("123456789", 9, buffer.begin() + static_cast<std::ptrdiff_t>(made.value().slot_offset(0)));
    CHECK(made.value().seal(group, buffer.data(), std::string(28, 'x')).ok());
    std::uint8_t out[32];
    CHECK_EQ(minitest::hex({out, made.value().checksum(out)}), c.hex);
  }
}
