// The decoder: published cases (tests/vectors/streaming-framing.json, from OpenStack Swift's suite that is
// also run against AWS), every kind of corruption with its code and offset, and random mutations against
// reference.h.
#include <algorithm>
#include <string>
#include <vector>

#include "minitest.h"
#include "reference.h"
#include "s3accel/chunk_decoder.h"

using namespace s3accel;
using reference::Stream;

namespace {

const SigningKey& key() {
  static const SigningKey instance =
      SigningKey::derive(reference::kSecret, "20130524", "us-east-1", "s3").value();
  return instance;
}

ChunkDecoder decoder_for(const Stream& s) {
  ChunkDecoder::Config config;
  config.with_signatures = s.with_signatures;
  config.trailer_mode = s.trailer_mode;
  config.decoded_length = s.decoded_length;
  config.trailer_name = s.trailer_name;
  config.timestamp = s.timestamp;
  config.seed_signature = s.seed;
  return ChunkDecoder(config, s.with_signatures ? &key() : nullptr);
}

// Feeds pieces of 1 to `most` bytes, each from memory of its own.
reference::Decoded run(ChunkDecoder& decoder, std::string_view body, std::size_t most) {
  reference::Decoded result;
  for (std::size_t at = 0; at < body.size();) {
    const std::size_t n = std::min(1 + minitest::below(most), body.size() - at);
    const std::vector<std::uint8_t> in(body.begin() + static_cast<std::ptrdiff_t>(at),
                                       body.begin() + static_cast<std::ptrdiff_t>(at + n));
    std::vector<std::uint8_t> out(n);
    const auto r = decoder.feed(in, out.data());
    if (!r) {
      result.code = r.error().code;
      result.offset = r.error().offset;
      break;
    }
    CHECK(r.value() <= n);
    result.data += as_text({out.data(), r.value()});
    at += n;
  }
  const auto r = decoder.finish();
  if (result.code != Errc::ok) {
    // The first error stays, whatever is done afterwards.
    CHECK(r.error().code == result.code);
    CHECK_EQ(r.error().offset, result.offset);
    std::uint8_t byte = 0;
    CHECK(decoder.feed({&byte, 1}, &byte).error().code == result.code);
  } else if (!r) {
    result.code = r.error().code;
    result.offset = r.error().offset;
  } else {
    result.trailer_value = decoder.trailer_value();
  }
  return result;
}

reference::Decoded run(const Stream& s, std::string_view body, std::size_t most = 1000000) {
  ChunkDecoder decoder = decoder_for(s);
  return run(decoder, body, most);
}

void compare(const Stream& s, std::string_view body) {
  const reference::Decoded expected = reference::decode(s, body);
  for (std::size_t most :
       {std::size_t{1}, std::size_t{3}, std::size_t{100}, std::size_t{10000}, body.size() + 1}) {
    if (most < 100 && body.size() > 3000) continue;
    const reference::Decoded got = run(s, body, most);
    CHECK_SAY(got.code == expected.code, errc_name(got.code) << " instead of " << errc_name(expected.code));
    CHECK_EQ(got.offset, expected.offset);
    if (expected.code == Errc::ok) {
      CHECK(got.data == expected.data);
      CHECK_EQ(got.trailer_value, expected.trailer_value);
    }
  }
}

Stream unsigned_stream(std::uint64_t length, std::string trailer = {}) {
  Stream s;
  s.with_signatures = false;
  s.trailer_mode = true;
  s.decoded_length = length;
  s.trailer_name = std::move(trailer);
  return s;
}

Errc code_of(const Stream& s, std::string_view body) {
  const reference::Decoded got = run(s, body);
  const reference::Decoded expected = reference::decode(s, body);
  CHECK_SAY(got.code == expected.code, "the reference says " << errc_name(expected.code));
  CHECK_EQ(got.offset, expected.offset);
  return got.code;
}

const std::string kCrc32 = "x-amz-checksum-crc32";

}  // namespace

// Cases of the file whose outcome the decoder decides; values are judged by the layer above.
TEST(decoder_published_cases) {
  struct Case {
    std::string_view id;
    Errc code;
    bool trailer;
    std::string_view body;
  };
  constexpr Case kCases[] = {
      {"ok-no-trailer", Errc::ok, false, "5\r\nhello\r\n0\r\n\r\n"},
      {"ok-trailer", Errc::ok, true, "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"},
      {"ok-trailer-space-after-colon", Errc::ok, true,
       "5\r\nhello\r\n0\r\nx-amz-checksum-crc32: NhCmhg==\r\n\r\n"},
      {"ok-trailer-without-final-crlf", Errc::ok, true,
       "5\r\nhello\r\n0\r\nx-amz-checksum-crc32: NhCmhg==\r\n"},
      {"ok-no-final-crlf", Errc::ok, false, "5\r\nhello\r\n0\r\n"},
      {"ok-junk-after-blank-line", Errc::ok, true,
       "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\njunk"},
      {"ok-repeated-trailer-last-wins", Errc::ok, true,
       "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:uxircw==\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"},
      {"not-chunked", Errc::body_incomplete, false, "hello"},
      {"lf-only", Errc::body_incomplete, false, "5\nhello\n0\n\n"},
      {"cr-only", Errc::body_incomplete, false, "5\rhello\r0\r\r"},
      {"missing-crlf-after-data", Errc::body_incomplete, false, "5\r\nhello0\r\n\r\n"},
      {"no-zero-chunk", Errc::body_incomplete, false, "5\r\nhello\r\n"},
      {"bad-hex", Errc::body_incomplete, false, "zz\r\nhello\r\n0\r\n\r\n"},
      {"truncated-data", Errc::body_incomplete, false, "5\r\nhel"},
      {"trailer-bare-lf", Errc::body_incomplete, true, "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\n"},
      {"trailer-bare-cr", Errc::body_incomplete, true, "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r"},
      {"trailer-no-line-end", Errc::body_incomplete, true,
       "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg=="},
      {"missing-final-lf", Errc::body_incomplete, false, "5\r\nhello\r\n0\r\n\r"},
      {"zero-chunk-early", Errc::body_length_mismatch, false, "2\r\nhe\r\n0\r\n\r\n3\r\nllo\r\n0\r\n\r\n"},
      {"too-many-bytes", Errc::body_length_mismatch, false, "a\r\nhellohello\r\n0\r\n\r\n"},
      {"declared-trailer-absent", Errc::trailer_malformed, true, "5\r\nhello\r\n0\r\n\r\n"},
      {"other-trailer-sent", Errc::trailer_malformed, true,
       "5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:mnG7TA==\r\n\r\n"},
      {"extra-trailer", Errc::trailer_malformed, true,
       "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\nbonus:x\r\n\r\n"},
      {"blank-line-before-trailer", Errc::trailer_malformed, true,
       "5\r\nhello\r\n0\r\n\r\nx-amz-checksum-crc32:NhCmhg==\r\n"},
      {"undeclared-trailer-sent", Errc::trailer_malformed, false,
       "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"},
  };
  for (const Case& c : kCases) {
    const Stream s = unsigned_stream(5, c.trailer ? kCrc32 : "");
    CHECK_SAY(code_of(s, c.body) == c.code, c.id << ": " << errc_name(code_of(s, c.body)));
    compare(s, c.body);
  }
  CHECK(code_of(unsigned_stream(11), "B\r\nhello world\r\n0\r\n\r\n") == Errc::ok);
}

// chunk_size_rule of the same file.
TEST(decoder_chunk_size_rule) {
  struct Case {
    std::vector<std::size_t> sizes;
    bool accepted;
    std::uint64_t chunk, bad_size;  // where it is noticed, and the short one
  };
  const Case kCases[] = {
      {{8192, 8192, 100}, true, 0, 0},
      {{100}, true, 0, 0},
      {{10000, 9500, 20}, true, 0, 0},
      {{8200, 8201, 10000, 10}, true, 0, 0},
      {{}, true, 0, 0},
      {{100, 8192, 100}, false, 2, 100},
      {{8192, 10, 100}, false, 3, 10},
      {{10, 10, 10}, false, 2, 10},
      {{10000, 10, 8192, 8192}, false, 3, 10},
      {{1024, 4096, 3072}, false, 2, 1024},
  };
  for (const Case& c : kCases) {
    for (bool with_signatures : {false, true}) {
      Stream s = unsigned_stream(0);
      s.with_signatures = with_signatures;
      s.trailer_mode = !with_signatures;
      for (std::size_t size : c.sizes) s.decoded_length += size;
      const std::string data(static_cast<std::size_t>(s.decoded_length), 'x');
      const std::string body = reference::encode(s, data, c.sizes);
      ChunkDecoder decoder = decoder_for(s);
      CHECK(run(decoder, body, 5000).code == (c.accepted ? Errc::ok : Errc::chunk_too_small));
      CHECK_EQ(decoder.bad_chunk(), c.chunk);
      CHECK_EQ(decoder.bad_chunk_size(), c.bad_size);
      compare(s, body);
    }
  }
}

TEST(decoder_header_spellings) {
  Stream s;
  s.decoded_length = 5;
  const std::string first = s.chunk_signature(s.seed, "hello"), last = s.chunk_signature(first, "");
  const std::string end = "0;chunk-signature=" + last + "\r\n\r\n";
  for (const std::string& head :
       {"5;chunk-signature=" + first, "5 ; chunk-signature = " + first, "5  ;  chunk-signature  =  " + first,
        "00005;chunk-signature=" + first, "0000000000000005;chunk-signature=" + first}) {
    CHECK_SAY(code_of(s, head + "\r\nhello\r\n" + end) == Errc::ok, head);
  }
  for (const std::string& head :
       {std::string("5"), "5chunk-signature=" + first, "5;chunk-signature" + first,
        "5;Chunk-Signature=" + first, "5;chunk-signature=" + first + " ", " 5;chunk-signature=" + first,
        "5;chunk-signature=" + first.substr(1), "5;chunk-signature=" + first + "0",
        "5;\tchunk-signature=" + first, "5;other=1;chunk-signature=" + first,
        "5;chunk-signature=" + first + ";other=1", "00000000000000005;chunk-signature=" + first,
        "0x5;chunk-signature=" + first, "-5;chunk-signature=" + first, "+5;chunk-signature=" + first,
        ";chunk-signature=" + first, std::string()}) {
    CHECK_SAY(code_of(s, head + "\r\nhello\r\n" + end) == Errc::body_incomplete, head);
  }
  std::string upper = first;
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  CHECK(code_of(s, "5;chunk-signature=" + upper + "\r\nhello\r\n" + end) == Errc::chunk_signature_mismatch);
  // Unsigned chunks have no extension at all.
  CHECK(code_of(unsigned_stream(5), "5;chunk-signature=" + first + "\r\nhello\r\n0\r\n\r\n") ==
        Errc::body_incomplete);
  CHECK(code_of(unsigned_stream(5), "5 \r\nhello\r\n0\r\n\r\n") == Errc::body_incomplete);
}

TEST(decoder_huge_sizes) {
  for (std::string_view size :
       {"ffffffffffffffff", "7fffffffffffffff", "8000000000000000", "fffffffffffffffe", "6"}) {
    for (std::uint64_t length : {std::uint64_t{0}, std::uint64_t{5}}) {
      CHECK(code_of(unsigned_stream(length), std::string(size) + "\r\nhello\r\n0\r\n\r\n") ==
            Errc::body_length_mismatch);
    }
  }
  CHECK(code_of(unsigned_stream(UINT64_MAX), "ffffffffffffffff\r\nhello\r\n0\r\n\r\n") ==
        Errc::body_incomplete);
  CHECK(code_of(unsigned_stream(5), "10000000000000005\r\nhello\r\n0\r\n\r\n") == Errc::body_incomplete);
  // The announced length for the message is held at the top instead of wrapping to a small number.
  Stream s = unsigned_stream(8192 + 5);
  ChunkDecoder decoder = decoder_for(s);
  run(decoder, "2000\r\n" + std::string(8192, 'x') + "\r\nffffffffffffffff\r\n", 100000);
  CHECK_EQ(decoder.provided(), UINT64_MAX);
  s = unsigned_stream(5);
  ChunkDecoder six = decoder_for(s);
  run(six, "6\r\nhello!\r\n", 100000);
  CHECK_EQ(six.provided(), 6u);
}

TEST(decoder_empty_object) {
  CHECK(code_of(unsigned_stream(0), "0\r\n\r\n") == Errc::ok);
  CHECK(code_of(unsigned_stream(0), "0000000000000000\r\n\r\n") == Errc::ok);
  CHECK(code_of(unsigned_stream(0), "") == Errc::body_incomplete);
  CHECK(code_of(unsigned_stream(0), "\r\n") == Errc::body_incomplete);
  CHECK(code_of(unsigned_stream(1), "0\r\n\r\n") == Errc::body_length_mismatch);
  Stream s;
  CHECK(code_of(s, reference::encode(s, "", {})) == Errc::ok);
}

TEST(decoder_header_line_limit) {
  // 1,024 bytes with the line end are read, one more is not, whether or not the line ever ends.
  const auto line = [](std::size_t n) { return "5;" + std::string(n - 4, ' ') + "\r\n"; };
  Stream s;
  s.decoded_length = 5;
  const std::string signature = s.chunk_signature(s.seed, "hello");
  const std::string rest = "chunk-signature=" + signature;
  const std::string end = "hello\r\n0;chunk-signature=" + s.chunk_signature(signature, "") + "\r\n\r\n";
  const auto padded = [&](std::size_t n) {
    return "5;" + std::string(n - 4 - rest.size(), ' ') + rest + "\r\n" + end;
  };
  CHECK(code_of(s, padded(1024)) == Errc::ok);
  CHECK(code_of(s, padded(1025)) == Errc::body_incomplete);
  CHECK(code_of(s, line(2000)) == Errc::body_incomplete);
  for (std::size_t n : {std::size_t{1023}, std::size_t{1024}, std::size_t{1025}, std::size_t{100000}}) {
    compare(s, std::string(n, 'a'));
    compare(unsigned_stream(5), std::string(n, '0'));
    compare(s, padded(1024).substr(0, n));
  }
  // Memory stays bounded while an endless line comes in byte by byte: it fails at the limit.
  ChunkDecoder decoder = decoder_for(s);
  std::uint8_t byte = ' ', out = 0;
  std::size_t taken = 0;
  while (decoder.feed({&byte, 1}, &out).ok() && taken < 5000) ++taken;
  CHECK_EQ(taken, 1024u);
}

TEST(decoder_trailer_limit) {
  const auto body = [](std::size_t section) {
    // "x-amz-checksum-crc32:" (21) + value + CRLF CRLF
    return "0\r\nx-amz-checksum-crc32:" + std::string(section - 25, 'v') + "\r\n\r\n";
  };
  const Stream s = unsigned_stream(0, kCrc32);
  CHECK(code_of(s, body(4096)) == Errc::ok);
  CHECK(code_of(s, body(4098)) == Errc::trailer_malformed);
  CHECK(code_of(s, "0\r\n" + std::string(4096, 'x')) == Errc::body_incomplete);
  CHECK(code_of(s, "0\r\n" + std::string(4097, 'x')) == Errc::trailer_malformed);
  CHECK(code_of(s, "0\r\n" + std::string(100000, '\n')) == Errc::trailer_malformed);
  compare(s, body(4096));
  compare(s, body(4097));
  compare(s, body(4098));
}

TEST(decoder_signatures) {
  Stream s;
  s.trailer_mode = true;
  s.trailer_name = kCrc32;
  s.trailer_value = "NhCmhg==";
  const std::string data = std::string(8192, 'a') + std::string(9000, 'b') + "end";
  s.decoded_length = data.size();
  const std::string good = reference::encode(s, data, {8192, 9000});
  compare(s, good);
  CHECK(code_of(s, good) == Errc::ok);
  // One bit anywhere. Digits and letters of sizes and names may make other faults; data and signatures may
  // not.
  struct Spot {
    std::string_view what;
    std::size_t at;
    Errc code;
  };
  const std::size_t second = good.find("\r\n2328;") + 2, third = good.find("\r\n3;") + 2,
                    zero = good.find("\r\n0;") + 2;
  const std::size_t trailer = good.find("x-amz-checksum"), signature = good.find("x-amz-trailer-signature");
  for (const Spot& spot : {
           Spot{"data of the first chunk", good.find("\r\n") + 100, Errc::chunk_signature_mismatch},
           Spot{"signature of the first chunk", std::string_view("2000;chunk-signature=").size(),
                Errc::chunk_signature_mismatch},
           Spot{"data of the second", second + 5000, Errc::chunk_signature_mismatch},
           Spot{"data of the last", zero - 3, Errc::chunk_signature_mismatch},
           Spot{"signature of the zero chunk", trailer - 3, Errc::chunk_signature_mismatch},
           Spot{"value of the trailer", trailer + 21, Errc::trailer_signature_mismatch},
           Spot{"signature of the trailer", signature + 24, Errc::trailer_signature_mismatch},
           Spot{"name of the trailer", trailer + 3, Errc::trailer_malformed},
           Spot{"name of the signature", signature + 3, Errc::trailer_malformed},
       }) {
    std::string bad = good;
    bad[spot.at] = static_cast<char>(bad[spot.at] ^ 1);
    CHECK_SAY(code_of(s, bad) == spot.code, spot.what << ": " << errc_name(code_of(s, bad)));
    compare(s, bad);
  }
  // Chunks cannot be swapped, dropped, repeated or moved to another stream.
  const std::string a = good.substr(0, second), b = good.substr(second, third - second),
                    rest = good.substr(third);
  CHECK(code_of(s, b + a + rest) == Errc::chunk_signature_mismatch);
  CHECK(code_of(s, b + rest) == Errc::chunk_signature_mismatch);
  CHECK(code_of(s, a + a + b + rest) == Errc::chunk_signature_mismatch);
  CHECK(code_of(s, a + rest) == Errc::chunk_signature_mismatch);
  Stream other = s;
  other.seed = std::string(64, '6');
  CHECK(code_of(other, good) == Errc::chunk_signature_mismatch);
  other = s;
  other.timestamp = "20130524T000001Z";
  CHECK(code_of(other, good) == Errc::chunk_signature_mismatch);
  // What was signed is at hand for the message.
  std::string bad = good;
  bad[200] = 'x';
  ChunkDecoder decoder = decoder_for(s);
  CHECK(run(decoder, bad, 1000).code == Errc::chunk_signature_mismatch);
  std::string received = bad.substr(0, 8192 + 87);
  received = received.substr(received.find("\r\n") + 2, 8192);
  CHECK_EQ(decoder.to_sign(),
           "AWS4-HMAC-SHA256-PAYLOAD\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n" + s.seed +
               "\n" + reference::kEmptyHash + "\n" + reference::sha256_hex(received));
  CHECK_EQ(decoder.provided_signature(), good.substr(21, 64));
}

TEST(decoder_trailer_shapes) {
  Stream s;
  s.trailer_mode = true;
  s.trailer_name = kCrc32;
  const std::string zero = s.chunk_signature(s.seed, "");
  const std::string end = "0;chunk-signature=" + zero + "\r\n";
  const std::string value = kCrc32 + ":AAAAAA==\r\n",
                    signed_by = "x-amz-trailer-signature:" + s.trailer_signature(zero, "AAAAAA==") + "\r\n";
  CHECK(code_of(s, end + value + signed_by + "\r\n") == Errc::ok);
  CHECK(code_of(s, end + signed_by + value + "\r\n") == Errc::ok);
  CHECK(code_of(s, end + "X-Amz-Checksum-CRC32: AAAAAA== \r\nX-Amz-Trailer-Signature: " +
                       signed_by.substr(24) + "\r\n") == Errc::ok);
  CHECK(code_of(s, end + value + "\r\n") == Errc::trailer_malformed);
  CHECK(code_of(s, end + signed_by + "\r\n") == Errc::trailer_malformed);
  CHECK(code_of(s, end + "\r\n") == Errc::trailer_malformed);
  CHECK(code_of(s, end) == Errc::trailer_malformed);
  CHECK(code_of(s, end + value + signed_by + "x-amz-meta-a:1\r\n\r\n") == Errc::trailer_malformed);
  CHECK(code_of(s, end + value + "nocolon\r\n" + signed_by + "\r\n") == Errc::trailer_malformed);
  CHECK(code_of(s, end + value + "x-amz-trailer-signature:\r\n\r\n") == Errc::trailer_signature_mismatch);
  CHECK(code_of(s, end + value + "x-amz-trailer-signature:" + std::string(300, 'a') + "\r\n\r\n") ==
        Errc::trailer_signature_mismatch);
  // Repeated: the last one counts, and it is the one that must be signed.
  CHECK(code_of(s, end + kCrc32 + ":BBBBBA==\r\n" + value + signed_by + "\r\n") == Errc::ok);
  CHECK(code_of(s, end + value + kCrc32 + ":BBBBBA==\r\n" + signed_by + "\r\n") ==
        Errc::trailer_signature_mismatch);
  // Trailers in a mode without them.
  s.trailer_mode = false;
  s.trailer_name = {};
  CHECK(code_of(s, end + "\r\n") == Errc::ok);
  CHECK(code_of(s, end + value + "\r\n") == Errc::trailer_malformed);
  // The signed trailer mode without a declared trailer.
  s.trailer_mode = true;
  CHECK(code_of(s, end + "\r\n") == Errc::body_incomplete);
}

// Which error is reported does not depend on the pieces: a bad chunk comes before the bad framing behind it.
TEST(decoder_earlier_faults_come_first) {
  Stream s;
  s.decoded_length = 20000;
  std::string bad = reference::encode(s, std::string(20000, 'a'), {10000});
  bad[bad.find("\r\n") + 2] = 'b';
  const std::size_t second = bad.find("\r\n2710;") + 2;
  for (const std::string& tail :
       {std::string("zz\r\n"),
        std::string("ffffffffffffffff;chunk-signature=") + std::string(64, '0') + "\r\n",
        std::string(2000, ' '), std::string("\n"), std::string()}) {
    compare(s, bad.substr(0, second) + tail);
    CHECK(code_of(s, bad.substr(0, second) + tail) == Errc::chunk_signature_mismatch);
  }
  compare(s, bad.substr(0, second - 2) + "xx");
  CHECK(code_of(s, bad.substr(0, second - 2) + "xx") == Errc::chunk_signature_mismatch);
}

TEST(decoder_every_truncation) {
  Stream s;
  s.trailer_mode = true;
  s.trailer_name = kCrc32;
  s.trailer_value = "NhCmhg==";
  const std::string data(9000, 'd');
  s.decoded_length = data.size();
  const std::string good = reference::encode(s, data, {8192});
  for (std::size_t n = 0; n < good.size(); ++n) {
    if (n > 200 && n < 8200) continue;
    const reference::Decoded got = run(s, std::string_view(good).substr(0, n), 3000);
    const reference::Decoded expected = reference::decode(s, std::string_view(good).substr(0, n));
    CHECK_SAY(got.code == expected.code, n << " bytes: " << errc_name(got.code));
    CHECK_SAY(got.code != Errc::ok || n == good.size() - 2, n);  // only the last CRLF may be missing
  }
}

TEST(decoder_random_mutations) {
  for (int round = 0; round < 3000; ++round) {
    Stream s;
    s.with_signatures = minitest::below(2) == 0;
    s.trailer_mode = minitest::below(2) == 0 || !s.with_signatures;
    if (s.trailer_mode && minitest::below(4) != 0) s.trailer_name = kCrc32;
    s.trailer_value = "NhCmhg==";
    const std::size_t length = minitest::below(8) == 0 ? 8192 + minitest::below(9000) : minitest::below(40);
    s.decoded_length = length;
    std::string body = reference::encode(s, std::string(length, 'q'), {8192});
    for (std::size_t changes = minitest::below(4); changes > 0 && !body.empty(); --changes) {
      const std::size_t at = minitest::below(2) == 0
                                 ? minitest::below(body.size())
                                 : body.size() - 1 - minitest::below(std::min<std::size_t>(body.size(), 200));
      switch (minitest::below(4)) {
        case 0:
          body[at] = static_cast<char>(minitest::random()());
          break;
        case 1:
          body.erase(at, 1 + minitest::below(3));
          break;
        case 2:
          body.insert(at, 1 + minitest::below(3), "\r\n;=:0fx "[minitest::below(9)]);
          break;
        default:
          body.resize(at);
          break;
      }
    }
    if (minitest::below(8) == 0) s.decoded_length += minitest::below(3) - 1;
    compare(s, body);
  }
}

// A decoder made without what it needs refuses everything instead of reading memory it does not have.
TEST(decoder_without_key_or_seed) {
  std::uint8_t out[16];
  for (int missing = 0; missing < 3; ++missing) {
    ChunkDecoder::Config config;
    config.decoded_length = 5;
    if (missing != 1) config.timestamp = "20130524T000000Z";
    if (missing != 2) config.seed_signature = std::string(64, '5');
    ChunkDecoder decoder(config, missing == 0 ? nullptr : &key());
    CHECK(decoder.feed(as_bytes("5"), out).error().code == Errc::wrong_order);
    CHECK(decoder.finish().error().code == Errc::wrong_order);
  }
}

TEST(decoder_feed_of_nothing) {
  Stream s = unsigned_stream(5);
  ChunkDecoder decoder = decoder_for(s);
  CHECK(decoder.feed({}, nullptr).ok());
  std::uint8_t out[64];
  CHECK_EQ(decoder.feed(as_bytes("5\r\nhello\r\n0\r\n\r\n"), out).value(), 5u);
  CHECK(decoder.feed({}, nullptr).ok());
  CHECK(decoder.finish().ok());
  CHECK(decoder.finish().ok());
}
