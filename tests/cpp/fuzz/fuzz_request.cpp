// Signing with headers, there and back: what is signed verifies, a batch signs as one by one, and after any
// change the request is refused unless it still means the same. Input, lines ended by LF: flags and three
// bytes of the change; method; URL; another target for the batch; token; then name:value lines.
#include "verdict.h"

using namespace s3accel;

using fuzz::key;
using fuzz::now;
using fuzz::Verdict;
using fuzz::verify;

std::vector<std::string> fuzz_seeds() {
  using namespace std::string_literals;
  return {
      "\0\0\0\0\nGET\nhttps://b.s3.amazonaws.com/k%20?a=1&b\n/z\n\n"s,
      "\1\x0a\0\0\nPUT\nhttps://h:9000/a/(1).jpg\n/b?x-id=PutObject\ntoken/+=\ncontent-type: text/plain \nx-amz-meta-a:1  2\nx-amz-meta-a:3\n"s,
      "\2\3\0\5\nPOST\nhttp://h/?uploads\n\n\nHost:other\nRange:bytes=0-1\nX-Amz-Acl:private\n"s,
      "\7\1\0\3\nDELETE\nhttps://h/k~\n/k#x\n\ncontent-md5:a\n"s};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t flags = input.byte();
  std::uint8_t steps[4];
  for (std::uint8_t& step : steps) step = input.byte();
  const std::uint8_t* const change_at = steps;
  input.until('\n');
  const std::string method(input.until('\n')), url(input.until('\n')), other_target(input.until('\n'));
  const std::string token(input.until('\n'));
  const auto given = fuzz::header_lines(input, 60);
  fuzz::Sent sent{method, "", given};
  const std::vector<HeaderView> headers = sent.views();

  SignRequest request;
  request.method = method;
  request.url = url;
  request.headers = headers;
  request.session_token = token;
  static const std::string kDigits(64, 'A');
  const std::string_view hashes[] = {kUnsignedPayload, kEmptyHash, kDigits, kStreamingSigned};
  request.payload_hash = hashes[flags & 3];
  request.selection = (flags & 4) != 0 ? Selection::all : Selection::recommended;
  const TimedKey timed(key(), now());
  HeaderSignature made;
  Result<void> r;
  const std::size_t signing =
      fuzz::bytes_of([&] { r = sign_headers(timed, reference::kKeyId, request, made); });
  REQUIRE(signing <= 40 * size + 65536);

  // Three at once, of which the second differs in its target: what they share is made once.
  Text host;
  const auto cut = split_url(url, host);
  std::string other = url;
  if (cut) other = url.substr(0, cut.value().path_offset) + other_target;
  SignRequest batch[] = {request, request, request};
  batch[1].url = other;
  HeaderSignature single, many[3];
  const auto r_other = sign_headers(timed, reference::kKeyId, batch[1], single);
  std::size_t failed = 0;
  const auto r_many = sign_headers_batch(timed, reference::kKeyId, batch, many, failed);
  if (!r || !r_other) {
    const Error expected = r ? r_other.error() : r.error();
    REQUIRE(!r_many.ok() && failed == (r ? 1u : 0u));
    REQUIRE(r_many.error().code == expected.code && r_many.error().offset == expected.offset);
  } else {
    REQUIRE(r_many.ok());
    const HeaderSignature* const expected[] = {&made, &single, &made};
    for (std::size_t i = 0; i < 3; ++i) {
      REQUIRE(many[i].canonical.view() == expected[i]->canonical.view());
      REQUIRE(many[i].authorization.view() == expected[i]->authorization.view());
    }
  }
  if (!r) return 0;

  // What goes out.
  const UrlParts& parts = cut.value();
  sent.target = parts.path.empty() ? "/" : std::string(parts.path);
  if (!parts.query.empty()) sent.target += "?" + std::string(parts.query);
  const bool has_host =
      std::any_of(given.begin(), given.end(), [](const auto& h) { return fuzz::lower(h.first) == "host"; });
  if (!has_host) sent.headers.emplace_back("Host", host.view());
  sent.headers.emplace_back("X-Amz-Date", now().text());
  sent.headers.emplace_back("x-amz-content-sha256", request.payload_hash);
  if (!token.empty()) sent.headers.emplace_back("X-Amz-Security-Token", token);
  sent.headers.emplace_back("Authorization", made.authorization.view());

  const Verdict first = verify(sent);
  if (!first.ok) {
    // A query that looks like a presigned one, or has another token, or more than a server reads.
    REQUIRE(first.code == Errc::auth_two_mechanisms || first.code == Errc::auth_malformed ||
            first.code == Errc::too_long);
    return 0;
  }
  const std::set<std::string> names = fuzz::name_set(made.signed_headers.view());
  const std::string meaning = sent.canonical(names);
  REQUIRE(first.canonical == made.canonical.view());
  REQUIRE(first.canonical == meaning + std::string(request.payload_hash));

  fuzz::Sent changed = sent;
  fuzz::Input how(change_at, 4);
  fuzz::change(changed, how);
  const Verdict second = verify(changed);
  const bool absolute = !changed.target.empty() && changed.target[0] != '/';
  if (second.ok && !absolute) {
    REQUIRE(fuzz::name_set(second.auth.signed_headers) == names);
    REQUIRE(changed.canonical(names) == meaning);
    REQUIRE(changed.amz_names() == sent.amz_names());
  }
  return 0;
}
