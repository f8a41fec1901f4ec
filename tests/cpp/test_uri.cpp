// Expected values: tests/vectors/uri-encoding.json (components equal Python's urllib.parse.quote; query and
// path forms were confirmed with awscrt where the file says so). Literals, so that the C++ tests need no
// JSON.
#include "s3accel/uri.h"

#include <string>

#include "minitest.h"

using namespace s3accel;

namespace {

std::string encoded(std::string_view in, bool keep_slash) {
  Text out;
  uri_encode(in, keep_slash, out);
  return std::string(out.view());
}

std::string path(std::string_view wire, PathRule rule, Escapes escapes = Escapes::strict) {
  Text out;
  const auto r = canonical_path(wire, rule, escapes, out);
  return r ? std::string(out.view()) : std::string(errc_name(r.error().code));
}

std::string query(std::string_view raw, QueryOptions options = {}) {
  Text out;
  const auto r = canonical_query(raw, options, out);
  return r ? std::string(out.view()) : std::string(errc_name(r.error().code));
}

Error query_error(std::string_view raw, QueryOptions options = {}) {
  Text out;
  return canonical_query(raw, options, out).error();
}

struct Component {
  std::string_view raw, encoded, keep_slash;
};

using namespace std::string_view_literals;

constexpr Component kComponents[] = {
    {""sv, "", ""},
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"sv,
     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~",
     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"},
    {" "sv, "%20", "%20"},
    {"!"sv, "%21", "%21"},
    {"\""sv, "%22", "%22"},
    {"#"sv, "%23", "%23"},
    {"$"sv, "%24", "%24"},
    {"%"sv, "%25", "%25"},
    {"&"sv, "%26", "%26"},
    {"'"sv, "%27", "%27"},
    {"("sv, "%28", "%28"},
    {")"sv, "%29", "%29"},
    {"*"sv, "%2A", "%2A"},
    {"+"sv, "%2B", "%2B"},
    {","sv, "%2C", "%2C"},
    {"/"sv, "%2F", "/"},
    {":"sv, "%3A", "%3A"},
    {";"sv, "%3B", "%3B"},
    {"<"sv, "%3C", "%3C"},
    {"="sv, "%3D", "%3D"},
    {">"sv, "%3E", "%3E"},
    {"?"sv, "%3F", "%3F"},
    {"@"sv, "%40", "%40"},
    {"["sv, "%5B", "%5B"},
    {"\\"sv, "%5C", "%5C"},
    {"]"sv, "%5D", "%5D"},
    {"^"sv, "%5E", "%5E"},
    {"`"sv, "%60", "%60"},
    {"{"sv, "%7B", "%7B"},
    {"|"sv, "%7C", "%7C"},
    {"}"sv, "%7D", "%7D"},
    {"\000"sv, "%00", "%00"},
    {"\011"sv, "%09", "%09"},
    {"\n"sv, "%0A", "%0A"},
    {"\r"sv, "%0D", "%0D"},
    {"\177"sv, "%7F", "%7F"},
    {"a b+c"sv, "a%20b%2Bc", "a%20b%2Bc"},
    {"~user/.profile"sv, "~user%2F.profile", "~user/.profile"},
    {"100%25/%2F%2f"sv, "100%2525%2F%252F%252f", "100%2525/%252F%252f"},
    {"%e1%88%b4"sv, "%25e1%2588%25b4", "%25e1%2588%25b4"},
    {"caf\303\251"sv, "caf%C3%A9", "caf%C3%A9"},
    {"cafe\314\201"sv, "cafe%CC%81", "cafe%CC%81"},
    {"\341\210\264"sv, "%E1%88%B4", "%E1%88%B4"},
    {"\360\237\230\200"sv, "%F0%9F%98%80", "%F0%9F%98%80"},
    {"\346\227\245\346\234\254\350\252\236.txt"sv, "%E6%97%A5%E6%9C%AC%E8%AA%9E.txt",
     "%E6%97%A5%E6%9C%AC%E8%AA%9E.txt"},
    {"\357\273\277x"sv, "%EF%BB%BFx", "%EF%BB%BFx"},
    {"\200"sv, "%80", "%80"},
    {"caf\351"sv, "caf%E9", "caf%E9"},
    {"\000\001\002\003\004\005\006\007\010\011\n\013\014\r\016\017\020\021\022\023\024\025\026\027\030\031\032\033\034\035\036\037 !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~\177\200\201\202\203\204\205\206\207\210\211\212\213\214\215\216\217\220\221\222\223\224\225\226\227\230\231\232\233\234\235\236\237\240\241\242\243\244\245\246\247\250\251\252\253\254\255\256\257\260\261\262\263\264\265\266\267\270\271\272\273\274\275\276\277\300\301\302\303\304\305\306\307\310\311\312\313\314\315\316\317\320\321\322\323\324\325\326\327\330\331\332\333\334\335\336\337\340\341\342\343\344\345\346\347\350\351\352\353\354\355\356\357\360\361\362\363\364\365\366\367\370\371\372\373\374\375\376\377"sv,
     "%00%01%02%03%04%05%06%07%08%09%0A%0B%0C%0D%0E%0F%10%11%12%13%14%15%16%17%18%19%1A%1B%1C%1D%1E%1F%20%21%"
     "22%23%24%25%26%27%28%29%2A%2B%2C-.%2F0123456789%3A%3B%3C%3D%3E%3F%40ABCDEFGHIJKLMNOPQRSTUVWXYZ%5B%5C%"
     "5D%5E_%60abcdefghijklmnopqrstuvwxyz%7B%7C%7D~%7F%80%81%82%83%84%85%86%87%88%89%8A%8B%8C%8D%8E%8F%90%91%"
     "92%93%94%95%96%97%98%99%9A%9B%9C%9D%9E%9F%A0%A1%A2%A3%A4%A5%A6%A7%A8%A9%AA%AB%AC%AD%AE%AF%B0%B1%B2%B3%"
     "B4%B5%B6%B7%B8%B9%BA%BB%BC%BD%BE%BF%C0%C1%C2%C3%C4%C5%C6%C7%C8%C9%CA%CB%CC%CD%CE%CF%D0%D1%D2%D3%D4%D5%"
     "D6%D7%D8%D9%DA%DB%DC%DD%DE%DF%E0%E1%E2%E3%E4%E5%E6%E7%E8%E9%EA%EB%EC%ED%EE%EF%F0%F1%F2%F3%F4%F5%F6%F7%"
     "F8%F9%FA%FB%FC%FD%FE%FF",
     "%00%01%02%03%04%05%06%07%08%09%0A%0B%0C%0D%0E%0F%10%11%12%13%14%15%16%17%18%19%1A%1B%1C%1D%1E%1F%20%21%"
     "22%23%24%25%26%27%28%29%2A%2B%2C-./"
     "0123456789%3A%3B%3C%3D%3E%3F%40ABCDEFGHIJKLMNOPQRSTUVWXYZ%5B%5C%5D%5E_%60abcdefghijklmnopqrstuvwxyz%7B%"
     "7C%7D~%7F%80%81%82%83%84%85%86%87%88%89%8A%8B%8C%8D%8E%8F%90%91%92%93%94%95%96%97%98%99%9A%9B%9C%9D%9E%"
     "9F%A0%A1%A2%A3%A4%A5%A6%A7%A8%A9%AA%AB%AC%AD%AE%AF%B0%B1%B2%B3%B4%B5%B6%B7%B8%B9%BA%BB%BC%BD%BE%BF%C0%"
     "C1%C2%C3%C4%C5%C6%C7%C8%C9%CA%CB%CC%CD%CE%CF%D0%D1%D2%D3%D4%D5%D6%D7%D8%D9%DA%DB%DC%DD%DE%DF%E0%E1%E2%"
     "E3%E4%E5%E6%E7%E8%E9%EA%EB%EC%ED%EE%EF%F0%F1%F2%F3%F4%F5%F6%F7%F8%F9%FA%FB%FC%FD%FE%FF"},
    {"photos/Jan/sample.jpg"sv, "photos%2FJan%2Fsample.jpg", "photos/Jan/sample.jpg"},
    {"/a//b/"sv, "%2Fa%2F%2Fb%2F", "/a//b/"},
    {"a/./b/../c"sv, "a%2F.%2Fb%2F..%2Fc", "a/./b/../c"},
    {"dir/file?x=1&y=2#frag"sv, "dir%2Ffile%3Fx%3D1%26y%3D2%23frag", "dir/file%3Fx%3D1%26y%3D2%23frag"},
    {"a;b=c,d"sv, "a%3Bb%3Dc%2Cd", "a%3Bb%3Dc%2Cd"},
    {"test$file.text"sv, "test%24file.text", "test%24file.text"},
    {"2013-05-24T00:00:00Z"sv, "2013-05-24T00%3A00%3A00Z", "2013-05-24T00%3A00%3A00Z"},
    {"report (1).pdf"sv, "report%20%281%29.pdf", "report%20%281%29.pdf"},
    {"it's*.txt"sv, "it%27s%2A.txt", "it%27s%2A.txt"},
    {"a\\b"sv, "a%5Cb", "a%5Cb"},
};

struct Query {
  std::string_view raw, canonical;
};

constexpr Query kQueries[] = {
    {"", ""},
    {"lifecycle", "lifecycle="},
    {"acl&versionId=3%2FL4", "acl=&versionId=3%2FL4"},
    {"a=", "a="},
    {"a&b&a", "a=&a=&b="},
    {"b=2&a=1", "a=1&b=2"},
    {"a=2&a=1", "a=1&a=2"},
    {"a=1&a=1", "a=1&a=1"},
    {"a=10&a=9", "a=10&a=9"},
    {"a=1&a", "a=&a=1"},
    {"A=1&a=2&B=3", "A=1&B=3&a=2"},
    {"a-b=1&a=5&a.b=2&a_b=3&ab=4", "a=5&a-b=1&a.b=2&a_b=3&ab=4"},
    {"aa=1&a=2", "a=2&aa=1"},
    {"Param-3=Value3&Param=Value2&%E1%88%B4=Value1", "%E1%88%B4=Value1&Param=Value2&Param-3=Value3"},
    {"%7Ea=1&a=2", "a=2&~a=1"},
    {"a=%2f", "a=%2F"},
    {"a=%2F", "a=%2F"},
    {"a=/", "a=%2F"},
    {"a=~", "a=~"},
    {"a=%7E", "a=~"},
    {"a=%41", "a=A"},
    {"a=*", "a=%2A"},
    {"a='()!", "a=%27%28%29%21"},
    {"a=b=c", "a=b%3Dc"},
    {"a%3Db=1", "a%3Db=1"},
    {"a=%2B", "a=%2B"},
    {"a=x%20y", "a=x%20y"},
    {"=x", "=x"},
    {"&a=1&&b=2&", "a=1&b=2"},
    {"a=1?b=2", "a=1%3Fb%3D2"},
    {"a=:;@,", "a=%3A%3B%40%2C"},
    {"\303\251=\303\274", "%C3%A9=%C3%BC"},
    {"a=%00", "a=%00"},
    {"a=x+y", "a=x%2By"},
    {"prefix=photos%2F2026%2F&delimiter=%2F&list-type=2&encoding-type=url",
     "delimiter=%2F&encoding-type=url&list-type=2&prefix=photos%2F2026%2F"},
    {"response-content-disposition=attachment%3B%20filename%3D%22a%20b%2Bc.txt%22",
     "response-content-disposition=attachment%3B%20filename%3D%22a%20b%2Bc.txt%22"},
    {"X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-SignedHeaders="
     "host%3Brange&X-Amz-Security-Token=IQoJb3JpZ2luX2VjE%2F%2F%2B%3D%3D",
     "X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Security-Token="
     "IQoJb3JpZ2luX2VjE%2F%2F%2B%3D%3D&X-Amz-SignedHeaders=host%3Brange"},
};

struct Path {
  std::string_view wire, as_sent, decode_encode, normalize_encode, encode;
};

constexpr Path kPaths[] = {
    {"", "/", "/", "/", "/"},
    {"/", "/", "/", "/", "/"},
    {"/test.txt", "/test.txt", "/test.txt", "/test.txt", "/test.txt"},
    {"/test%24file.text", "/test%24file.text", "/test%24file.text", "/test%2524file.text",
     "/test%2524file.text"},
    {"/a%20b", "/a%20b", "/a%20b", "/a%2520b", "/a%2520b"},
    {"/%E1%88%B4", "/%E1%88%B4", "/%E1%88%B4", "/%25E1%2588%25B4", "/%25E1%2588%25B4"},
    {"/a//b", "/a//b", "/a//b", "/a/b", "/a//b"},
    {"/a/./b/../c", "/a/./b/../c", "/a/./b/../c", "/a/c", "/a/./b/../c"},
    {"/a/", "/a/", "/a/", "/a/", "/a/"},
    {"//", "//", "//", "/", "//"},
    {"/../..", "/../..", "/../..", "/", "/../.."},
    {"/a/..", "/a/..", "/a/..", "/", "/a/.."},
    {"/a/b/..//c/", "/a/b/..//c/", "/a/b/..//c/", "/a/c/", "/a/b/..//c/"},
    {"/a%2Fb", "/a%2Fb", "/a/b", "/a%252Fb", "/a%252Fb"},
    {"/a+b", "/a+b", "/a%2Bb", "/a%2Bb", "/a%2Bb"},
    {"/a%2Bb", "/a%2Bb", "/a%2Bb", "/a%252Bb", "/a%252Bb"},
    {"/a%7eb", "/a%7eb", "/a~b", "/a%257eb", "/a%257eb"},
    {"/a%2fb", "/a%2fb", "/a/b", "/a%252fb", "/a%252fb"},
    {"/it's(1)*!", "/it's(1)*!", "/it%27s%281%29%2A%21", "/it%27s%281%29%2A%21", "/it%27s%281%29%2A%21"},
    {"/~user", "/~user", "/~user", "/~user", "/~user"},
    {"/a:b@c;d=e,f&g$h", "/a:b@c;d=e,f&g$h", "/a%3Ab%40c%3Bd%3De%2Cf%26g%24h",
     "/a%3Ab%40c%3Bd%3De%2Cf%26g%24h", "/a%3Ab%40c%3Bd%3De%2Cf%26g%24h"},
};

}  // namespace

TEST(uri_encode_components) {
  for (const Component& c : kComponents) {
    CHECK_EQ(encoded(c.raw, false), c.encoded);
    CHECK_EQ(encoded(c.raw, true), c.keep_slash);
  }
}

TEST(uri_encode_appends) {
  Text out;
  out.append("before:");
  uri_encode("a b", false, out);
  CHECK_EQ(out.view(), "before:a%20b");
}

// Every byte value by itself against the rule as the S3 API Reference words it.
TEST(uri_encode_every_byte) {
  for (int c = 0; c < 256; ++c) {
    const char byte = static_cast<char>(c);
    const bool kept = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '.' || c == '_' || c == '~';
    char hex[8];
    std::snprintf(hex, sizeof hex, "%%%02X", static_cast<unsigned>(c));
    CHECK_EQ(encoded({&byte, 1}, false), kept ? std::string(1, byte) : hex);
    CHECK_EQ(encoded({&byte, 1}, true), kept || c == '/' ? std::string(1, byte) : hex);
  }
}

TEST(uri_query_vectors) {
  for (const Query& q : kQueries) CHECK_EQ(query(q.raw), q.canonical);
}

TEST(uri_query_is_idempotent) {
  for (const Query& q : kQueries) CHECK_EQ(query(q.canonical), q.canonical);
}

TEST(uri_query_plus_has_three_readings) {
  CHECK_EQ(query("a=x+y", {.plus = Plus::literal}), "a=x%2By");
  CHECK_EQ(query("a=x+y", {.plus = Plus::space}), "a=x%20y");
  CHECK_EQ(query("a=x+y", {.plus = Plus::refuse}), "raw_plus_in_query");
  CHECK_EQ(query_error("a=x+y", {.plus = Plus::refuse}).offset, 3u);
  CHECK_EQ(query_error("a=1&b+c", {.plus = Plus::refuse}).offset, 5u);
  // An encoded one is a plus for everybody.
  for (Plus plus : {Plus::literal, Plus::space, Plus::refuse})
    CHECK_EQ(query("a=x%2By", {.plus = plus}), "a=x%2By");
}

TEST(uri_query_bad_escapes) {
  struct Case {
    std::string_view raw;
    std::size_t offset;
    std::string_view tolerant;
  };
  constexpr Case kCases[] = {
      {"a=%", 2, "a=%25"},         {"a=%4", 2, "a=%254"},   {"a=%zz", 2, "a=%25zz"},
      {"a=%4g", 2, "a=%254g"},     {"%", 0, "%25="},        {"a=1&b%2=x", 5, "a=1&b%252=x"},
      {"a=%&b=1", 2, "a=%25&b=1"}, {"a=%%41", 2, "a=%25A"},
  };
  for (const Case& c : kCases) {
    CHECK_SAY(query_error(c.raw).code == Errc::bad_percent_escape, c.raw);
    CHECK_EQ(query_error(c.raw).offset, c.offset);
    CHECK_EQ(query(c.raw, {.escapes = Escapes::tolerant}), c.tolerant);
  }
}

// The text ends where its view ends, whatever follows in memory.
TEST(uri_escape_cut_by_the_end) {
  const std::string_view whole = "/a%41";
  for (const std::size_t n : {std::size_t{3}, std::size_t{4}}) {
    CHECK_EQ(query(whole.substr(0, n)), "bad_percent_escape");
    CHECK_EQ(path(whole.substr(0, n), PathRule::decode_encode), "bad_percent_escape");
  }
  CHECK_EQ(path(whole, PathRule::decode_encode), "/aA");
}

TEST(uri_query_skips_one_name) {
  const QueryOptions skip{.skip = "X-Amz-Signature"};
  CHECK_EQ(query("b=1&X-Amz-Signature=ff&a=2", skip), "a=2&b=1");
  CHECK_EQ(query("X-Amz-Signature=ff", skip), "");
  // The name is compared decoded; every occurrence goes, another case stays.
  CHECK_EQ(query("X%2DAmz%2DSignature=1&X-Amz-Signature&x-amz-signature=2", skip), "x-amz-signature=2");
}

TEST(uri_query_many_parameters) {
  // More pairs than fit the stack, given in descending order.
  std::string raw, canonical;
  for (int i = 999; i >= 100; --i) raw += (raw.empty() ? "p" : "&p") + std::to_string(i);
  for (int i = 100; i <= 999; ++i) canonical += (canonical.empty() ? "p" : "&p") + std::to_string(i) + "=";
  CHECK_EQ(query(raw), canonical);
  CHECK_EQ(query(std::string(5000, '&')), "");
}

TEST(uri_path_vectors) {
  for (const Path& p : kPaths) {
    CHECK_EQ(path(p.wire, PathRule::as_sent), p.as_sent);
    CHECK_EQ(path(p.wire, PathRule::decode_encode), p.decode_encode);
    CHECK_EQ(path(p.wire, PathRule::normalize_encode), p.normalize_encode);
    CHECK_EQ(path(p.wire, PathRule::encode), p.encode);
  }
}

// Dot segments as the protocol lists them; %2E and %2F are neither dots nor slashes.
TEST(uri_path_normalizes) {
  constexpr Query kCases[] = {
      {"/a/..", "/"},
      {"//", "/"},
      {"/./x", "/x"},
      {"/x/.", "/x"},
      {"/../..", "/"},
      {"/a/b/../", "/a/"},
      {"/%2E%2E/a", "/%252E%252E/a"},
      {"/a%2F../b", "/a%252F../b"},
      {"a/b", "/a/b"},
      {"/...", "/..."},
      {"/..a/b..", "/..a/b.."},
      {"/a/./", "/a/"},
  };
  for (const Query& c : kCases) CHECK_EQ(path(c.raw, PathRule::normalize_encode), c.canonical);
}

TEST(uri_path_bad_escapes) {
  for (std::string_view wire : {"/a%", "/a%4", "/a%zz"}) {
    Text out;
    const auto r = canonical_path(wire, PathRule::decode_encode, Escapes::strict, out);
    CHECK_SAY(r.error().code == Errc::bad_percent_escape, wire);
    CHECK_EQ(r.error().offset, 2u);
  }
  CHECK_EQ(path("/a%zz", PathRule::decode_encode, Escapes::tolerant), "/a%25zz");
  CHECK_EQ(path("/a%", PathRule::decode_encode, Escapes::tolerant), "/a%25");
  // In a path a plus is a plus.
  CHECK_EQ(path("/a+b", PathRule::decode_encode), "/a%2Bb");
}
