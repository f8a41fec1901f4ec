// Counts every allocation of the program. Signing a usual request, sealing groups of chunks and decoding full
// chunks allocate nothing once their objects are made.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "minitest.h"
#include "reference.h"
#include "s3accel/chunk_decoder.h"
#include "s3accel/chunked.h"
#include "s3accel/cpu.h"
#include "s3accel/presign.h"
#include "s3accel/verify.h"

namespace {

std::atomic<std::size_t> allocations{0};

void* counted(std::size_t n) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  void* p = std::malloc(n == 0 ? 1 : n);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

}  // namespace

// All forms that end in malloc and free; the aligned ones are not used by the core and not replaced.
void* operator new(std::size_t n) {
  return counted(n);
}
void* operator new[](std::size_t n) {
  return counted(n);
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete[](void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}
void operator delete[](void* p, std::size_t) noexcept {
  std::free(p);
}

using namespace s3accel;

namespace {

// How many allocations `f` makes.
template <class F>
std::size_t count(F&& f) {
  const std::size_t before = allocations.load();
  f();
  return allocations.load() - before;
}

const SigningKey& key() {
  static const SigningKey instance =
      SigningKey::derive(reference::kSecret, "20130524", "us-east-1", "s3").value();
  return instance;
}

SignRequest usual(std::span<const HeaderView> headers, std::string_view token) {
  SignRequest request;
  request.method = "PUT";
  request.url =
      "https://examplebucket.s3-accelerate.amazonaws.com/photos/2026/"
      "a%20b.jpg?partNumber=1&uploadId=VXBsb2Fk";
  request.headers = headers;
  request.payload_hash = kUnsignedPayload;
  request.session_token = token;
  return request;
}

const HeaderView kHeaders[] = {{"Content-Type", "image/jpeg"},
                               {"Content-Length", "5242880"},
                               {"x-amz-checksum-crc64nvme", "AAAAAAAAAAA="},
                               {"x-amz-meta-camera", "one  two"},
                               {"x-amz-storage-class", "STANDARD"}};

}  // namespace

TEST(allocation_counter_counts) {
  kernels();  // the kernels are chosen at first use
  // A direct call: compilers may leave out a new-expression whose object nobody uses.
  CHECK_EQ(count([] { ::operator delete(::operator new(7)); }), 1u);
  CHECK_EQ(count([] {}), 0u);
}

TEST(allocation_signing_a_request_makes_none) {
  const TimedKey timed(key(), Timestamp::from_epoch(1369353600));
  // text.h: 2 KiB hold a PUT with a 1 KiB session token.
  for (const std::string& token : {std::string(), std::string(1024, 't')}) {
    const SignRequest request = usual(kHeaders, token);
    bool ok = false;
    CHECK_EQ(count([&] {
               HeaderSignature out;
               ok = sign_headers(timed, "AKIAIOSFODNN7EXAMPLE", request, out).ok();
             }),
             0u);
    CHECK(ok);
  }
  // A token beyond that costs one larger text, and not one for each header.
  const std::string token(3000, 't');
  const SignRequest request = usual(kHeaders, token);
  CHECK(count([&] {
          HeaderSignature out;
          CHECK(sign_headers(timed, "AKIAIOSFODNN7EXAMPLE", request, out).ok());
        }) <= 2);
}

TEST(allocation_presigning_makes_none) {
  const TimedKey timed(key(), Timestamp::from_epoch(1369353600));
  PresignRequest request;
  request.method = "GET";
  request.url = "https://examplebucket.s3.amazonaws.com/photos/2026/a%20b.jpg?versionId=abc";
  CHECK_EQ(count([&] {
             HeaderSignature stages;
             Text url;
             CHECK(presign(timed, "AKIAIOSFODNN7EXAMPLE", request, stages, url).ok());
           }),
           0u);
}

TEST(allocation_deriving_a_key_makes_at_most_one) {
  // The scope's text does not fit a std::string's inner room.
  CHECK(count([] { CHECK(SigningKey::derive(reference::kSecret, "20130524", "us-east-1", "s3").ok()); }) <=
        1);
}

TEST(allocation_checking_a_signature_makes_none) {
  const SigningKey& k = key();
  const Timestamp now = Timestamp::from_epoch(1369353600);
  const TimedKey timed(k, now);
  HeaderSignature made;
  SignRequest request = usual(kHeaders, {});
  CHECK(sign_headers(timed, "AKIAIOSFODNN7EXAMPLE", request, made).ok());
  const std::string authorization(made.authorization.view());
  std::vector<HeaderView> headers(std::begin(kHeaders), std::end(kHeaders));
  headers.push_back({"host", "examplebucket.s3-accelerate.amazonaws.com"});
  headers.push_back({"x-amz-date", now.text()});
  headers.push_back({"x-amz-content-sha256", "UNSIGNED-PAYLOAD"});
  headers.push_back({"authorization", authorization});
  const ReceivedRequest received{"PUT", "/photos/2026/a%20b.jpg?partNumber=1&uploadId=VXBsb2Fk", headers, {}};
  VerifyPolicy policy;
  policy.now = now.epoch();
  ParsedAuth auth;
  const auto formed = well_formed(received);
  CHECK(formed.ok());
  CHECK(parse_auth(formed.value(), policy, auth).ok());
  CHECK(auth.deferred.code == Errc::ok);
  CHECK_EQ(count([&] {
             Text canonical, to_sign;
             CHECK(check_signature(formed.value(), auth, k, canonical, to_sign).ok());
           }),
           0u);
}

// All groups, the first and the last with zero chunk and signed trailer among them.
TEST(allocation_sealing_makes_none) {
  for (const bool with_signatures : {true, false}) {
    ChunkLayout layout;
    layout.mode = with_signatures ? ChunkMode::signed_hmac : ChunkMode::unsigned_trailer;
    layout.decoded_length = 40 * 8192 + 77;
    layout.chunk_size = 8192;
    layout.trailer_name = "x-amz-checksum-crc64nvme";
    layout.trailer_value_length = 12;
    auto made = ChunkEncoder::create(layout, with_signatures ? &key() : nullptr, "20130524T000000Z",
                                     std::string(64, 'a'), ChunkEncoder::Checksum::crc64nvme);
    CHECK(made.ok());
    if (!made) return;
    ChunkEncoder& encoder = made.value();
    std::vector<std::uint8_t> buffer(static_cast<std::size_t>(encoder.encoded_length()));
    std::size_t groups = 0;
    CHECK_EQ(count([&] {
               while (!encoder.finished()) {
                 if (!encoder.seal(encoder.next_group(7), buffer.data(), {})) break;
                 ++groups;
               }
             }),
             0u);
    CHECK_EQ(groups, 6u);
  }
}

// The first chunk header makes the line's memory; from the second feed on there is nothing more to make.
TEST(allocation_decoding_full_chunks_makes_none) {
  reference::Stream s;
  const std::size_t chunk = 8192, chunks = 64;
  s.decoded_length = chunk * chunks;
  const std::string body = reference::encode(s, std::string(static_cast<std::size_t>(s.decoded_length), 'a'),
                                             std::vector<std::size_t>(chunks, chunk));
  for (const std::size_t piece : {std::size_t{65536}, std::size_t{100000}, std::size_t{3000}}) {
    ChunkDecoder::Config config;
    config.decoded_length = s.decoded_length;
    config.timestamp = s.timestamp;
    config.seed_signature = s.seed;
    ChunkDecoder decoder(config, &key());
    std::vector<std::uint8_t> out(piece);
    std::size_t at = 0;
    bool ok = true;
    const auto feed = [&] {
      const std::size_t n = std::min(piece, body.size() - at);
      ok = ok && decoder.feed(as_bytes(body).subspan(at, n), out.data()).ok();
      at += n;
    };
    feed();
    CHECK_EQ(count([&] {
               while (at < body.size()) feed();
             }),
             0u);
    CHECK(ok);
    CHECK(decoder.finish().ok());
    CHECK_EQ(decoder.data_chunks(), chunks);
  }
}
