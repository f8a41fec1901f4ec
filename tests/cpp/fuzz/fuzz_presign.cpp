// Presigned URLs, there and back: each verifies, a batch makes the same as one by one, and after any change
// the request is refused unless it still means the same. Input, lines ended by LF: flags, change and life;
// method; URL; token; two keys for a batch; then name:value lines.
#include "s3accel/presign.h"
#include "verdict.h"

using namespace s3accel;

using fuzz::key;
using fuzz::now;
using fuzz::Verdict;
using fuzz::verify;

std::vector<std::string> fuzz_seeds() {
  using namespace std::string_literals;
  return {
      "\0\0\0\0\0\x0e\x10\nGET\nhttps://b.s3.amazonaws.com/k%20?versionId=1&b\n\na b\n\xc3\xa9/x\n"s,
      "\1\x0a\0\0\0\1\0\nPUT\nhttps://h:9000/b/\ntoken/+=\n\n..\nContent-Type: a  b\nx-amz-acl:private\n"s,
      "\2\1\0\5\1\x09\x3a\x80\nPUT\nhttps://h/?uploadId=%7E\n\nk\n?#\nX-Amz-Content-Sha256:UNSIGNED-PAYLOAD\n"s,
      "\0\0\0\0\0\0\1\nGET\nhttps://h/k?X-Amz-Date=1\n\n\n\n"s};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t flags = input.byte();
  std::uint8_t steps[4];
  for (std::uint8_t& step : steps) step = input.byte();
  PresignRequest request;
  request.expires = static_cast<std::int64_t>(input.number()) * ((flags & 2) != 0 ? 11 : 1);
  request.sign_token = (flags & 1) == 0;
  input.until('\n');
  const std::string method(input.until('\n')), url(input.until('\n')), token(input.until('\n'));
  const std::string keys[] = {std::string(input.until('\n')), std::string(input.until('\n'))};
  fuzz::Sent sent{method, "", fuzz::header_lines(input, 60)};
  const std::vector<HeaderView> headers = sent.views();
  request.method = method;
  request.url = url;
  request.headers = headers;
  request.session_token = token;
  const TimedKey timed(key(), now());
  HeaderSignature stages;
  Text out;
  Result<void> r;
  const std::size_t signing =
      fuzz::bytes_of([&] { r = presign(timed, reference::kKeyId, request, stages, out); });
  REQUIRE(signing <= 40 * size + 65536);

  // A batch: what presign makes of the URL with the key behind its path.
  PresignTemplate shared;
  const auto prepared = presign_prepare(timed, reference::kKeyId, request, shared);
  if (prepared) {
    REQUIRE(r.ok() && (request.sign_token || token.empty()));
    const std::string_view views[] = {keys[0], keys[1]};
    Text batch;
    std::size_t ends[2];
    presign_batch(timed, shared, views, batch, ends);
    const std::size_t question = std::min(url.find('?'), url.size());
    Text host;
    const bool bare = split_url(url, host).value().path.empty();
    for (int i = 0; i < 2; ++i) {
      const std::string one =
          url.substr(0, question) + (bare ? "/" : "") + fuzz::encode(keys[i], true) + url.substr(question);
      PresignRequest again = request;
      again.url = one;
      HeaderSignature ignored;
      Text made;
      REQUIRE(presign(timed, reference::kKeyId, again, ignored, made).ok());
      const std::size_t begin = i == 0 ? 0 : ends[0];
      REQUIRE(batch.view().substr(begin, ends[i] - begin) == made.view());
    }
  }
  if (!r) {
    REQUIRE(!prepared.ok());
    return 0;
  }

  Text host;
  std::string whole(out.view());
  if (!request.sign_token && !token.empty()) {
    const std::string behind = "&X-Amz-Security-Token=" + fuzz::encode(token, false);
    REQUIRE(whole.size() > behind.size() && whole.substr(whole.size() - behind.size()) == behind);
    whole.resize(whole.size() - behind.size());
  }
  const auto cut = split_url(whole, host);
  REQUIRE(cut.ok() && !cut.value().has_fragment);
  sent.target = std::string(cut.value().path) + "?" + std::string(cut.value().query);
  REQUIRE(std::count(whole.begin(), whole.end(), '?') >= 1 && sent.target[0] == '/');
  const bool has_host = std::any_of(sent.headers.begin(), sent.headers.end(),
                                    [](const auto& h) { return fuzz::lower(h.first) == "host"; });
  if (!has_host) sent.headers.emplace_back("Host", host.view());

  const Verdict first = verify(sent);
  if (!first.ok) {
    const bool auth_header = std::any_of(sent.headers.begin(), sent.headers.end(), [](const auto& h) {
      return fuzz::lower(h.first) == "authorization";
    });
    // More than a server reads; or the URL has a payload hash of its own.
    REQUIRE(!auth_header);
    const bool own_hash = fuzz::lower(cut.value().query).find("x-amz-content-sha256") != std::string::npos;
    REQUIRE(first.code == Errc::too_long || (own_hash && (first.code == Errc::content_sha256_invalid ||
                                                          first.code == Errc::signature_mismatch)));
    return 0;
  }
  REQUIRE(first.auth.expires == request.expires);
  REQUIRE(first.auth.session_token == (request.sign_token ? token : ""));
  const std::set<std::string> names = fuzz::name_set(first.auth.signed_headers);
  const std::string meaning = sent.canonical(names) + first.auth.payload_hash;
  REQUIRE(meaning == stages.canonical.view());

  fuzz::Sent changed = sent;
  fuzz::Input how(steps, 4);
  fuzz::change(changed, how);
  const Verdict second = verify(changed);
  const bool absolute = !changed.target.empty() && changed.target[0] != '/';
  if (second.ok && !absolute) {
    REQUIRE(fuzz::name_set(second.auth.signed_headers) == names);
    REQUIRE(changed.canonical(names) + second.auth.payload_hash == meaning);
    // Without a signed payload hash a header that states one is no claim of the signer's; the payload stays
    // as it was.
    std::set<std::string> before = sent.amz_names(), after = changed.amz_names();
    if (names.count("x-amz-content-sha256") == 0)
      after.erase("x-amz-content-sha256"), before.erase("x-amz-content-sha256");
    REQUIRE(after == before);
  }
  return 0;
}
