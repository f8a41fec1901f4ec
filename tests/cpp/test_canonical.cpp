// Canonical requests. Whole published examples are in test_sigv4.cpp; here each rule by itself, with the
// expected text written out by hand from the S3 API Reference, "sig-v4-header-based-auth".
#include "s3accel/canonical.h"

#include <algorithm>

#include <string>
#include <vector>

#include "minitest.h"
#include "reference.h"

using namespace s3accel;
using Headers = std::vector<HeaderView>;

namespace {

struct Built {
  Error error;
  std::string text, names;
};

Built build(const Headers& headers, CanonicalOptions options = {}, std::string_view path = "/",
            std::string_view query = "") {
  Text text, names;
  const auto r = canonical_request({"GET", path, query, headers, "UNSIGNED-PAYLOAD"}, options, text, names);
  return {r.error(), std::string(text.view()), std::string(names.view())};
}

// What stands between the query's line and the last one.
std::string middle(const Headers& headers, CanonicalOptions options = {}) {
  const Built built = build(headers, options);
  const std::string head = "GET\n/\n\n", tail = "\nUNSIGNED-PAYLOAD";
  if (built.text.size() < head.size() + tail.size() || built.text.compare(0, head.size(), head) != 0)
    return "no head";
  return built.text.substr(head.size(), built.text.size() - head.size() - tail.size());
}

CanonicalOptions all() {
  CanonicalOptions options;
  options.headers.selection = Selection::all;
  return options;
}

CanonicalOptions only(std::string_view names) {
  CanonicalOptions options;
  options.headers.selection = Selection::listed;
  options.headers.listed = names;
  return options;
}

}  // namespace

TEST(canonical_layout) {
  const Built built = build({{"Host", "h"}}, {}, "", "b=2&a=1");
  CHECK_EQ(built.text, "GET\n/\na=1&b=2\nhost:h\n\nhost\nUNSIGNED-PAYLOAD");
  CHECK_EQ(built.names, "host");
  CHECK_EQ(build({}).text, "GET\n/\n\n\n\nUNSIGNED-PAYLOAD");
}

TEST(canonical_values_are_trimmed_and_collapsed) {
  struct Case {
    std::string_view value, canonical;
  };
  constexpr Case kCases[] = {
      {"a", "a"},
      {"", ""},
      {"   ", ""},
      {" \t a \t ", "a"},
      {"a   b", "a b"},
      {"a\t\tb", "a b"},
      {"a \t b", "a b"},
      {"\"a   b\"", "\"a b\""},  // also inside quotes
      {"a\r\n b", "a b"},        // a folded line
      {"a\r\n\tb\r\n c", "a b c"},
      {"\r\n a\r\n ", "a"},
      {"a\xc2\xa0 b", "a\xc2\xa0 b"},  // a no-break space is no white space
      {"a\xa0\xa0z", "a\xa0\xa0z"},
      {"a,  b", "a, b"},  // a list in one value is left alone
  };
  for (const Case& c : kCases)
    CHECK_EQ(middle({{"x-amz-a", c.value}}), "x-amz-a:" + std::string(c.canonical) + "\n\nx-amz-a");
}

TEST(canonical_same_name_several_times) {
  // In the order received, each trimmed by itself, neither sorted nor deduplicated.
  CHECK_EQ(middle({{"x-amz-a", " 2 "}, {"host", "h"}, {"X-Amz-A", "1  1"}, {"x-amz-a", "2"}}),
           "host:h\nx-amz-a:2,1 1,2\n\nhost;x-amz-a");
  CHECK_EQ(middle({{"x-amz-a", ""}, {"x-amz-a", ""}}), "x-amz-a:,\n\nx-amz-a");
}

TEST(canonical_sorts_by_name) {
  CHECK_EQ(
      middle({{"x-amz-b", "1"}, {"x-amz-a-b", "2"}, {"X-AMZ-A", "3"}, {"x-amz-ab", "4"}, {"host", "h"}}),
      "host:h\nx-amz-a:3\nx-amz-a-b:2\nx-amz-ab:4\nx-amz-b:1\n\nhost;x-amz-a;x-amz-a-b;x-amz-ab;x-amz-b");
  // More headers than the insertion sort takes, in descending order; the duplicates keep their order.
  Headers headers;
  std::vector<std::string> names;
  for (int i = 299; i >= 100; --i) names.push_back("x-amz-" + std::to_string(i));
  for (const std::string& name : names) headers.push_back({name, "1"});
  for (const std::string& name : names) headers.push_back({name, "2"});
  std::string expected, list;
  for (int i = 100; i <= 299; ++i) {
    expected += "x-amz-" + std::to_string(i) + ":1,2\n";
    list += (list.empty() ? "x-amz-" : ";x-amz-") + std::to_string(i);
  }
  CHECK(middle(headers) == expected + "\n" + list);
}

TEST(canonical_selection) {
  const Headers headers = {{"Host", "h"},           {"Content-Type", "t"}, {"Content-MD5", "m"},
                           {"Range", "r"},          {"X-Amz-Acl", "a"},    {"Accept", "*/*"},
                           {"Date", "d"},           {"User-Agent", "u"},   {"Connection", "c"},
                           {"x-amzn-trace-id", "x"}};
  CHECK_EQ(build(headers).names, "content-md5;content-type;host;range;x-amz-acl");
  CHECK_EQ(build(headers, all()).names, "accept;content-md5;content-type;date;host;range;x-amz-acl");
  CHECK_EQ(build(headers, only("date;host")).names, "date;host");
  // A verifier signs what the list says, even what a signer would never sign.
  CHECK_EQ(build(headers, only("host;user-agent")).names, "host;user-agent");
}

// The list of the protocol: hop-by-hop headers and those that are rewritten on the way.
TEST(canonical_never_signed) {
  for (std::string_view name :
       {"authorization", "connection", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "x-amzn-trace-id"}) {
    CHECK_SAY(never_signed(name), name);
    CHECK_SAY(!recommended_signed(name), name);
  }
  for (std::string_view name :
       {"host", "date", "x-amz-date", "range", "content-length", "tea", "x-amzn-trace-ie", ""}) {
    CHECK_SAY(!never_signed(name), name);
  }
  for (std::string_view name : {"host", "content-type", "content-md5", "range", "x-amz-", "x-amz-meta-a"}) {
    CHECK_SAY(recommended_signed(name), name);
  }
  for (std::string_view name : {"x-amz", "xx-amz-a", "hosts", "content-length", "accept"}) {
    CHECK_SAY(!recommended_signed(name), name);
  }
}

TEST(canonical_bad_header_names) {
  using namespace std::string_view_literals;
  for (std::string_view name :
       {""sv, "a b"sv, "a:b"sv, "a\r\nb"sv, "a\0b"sv, "a\x80"sv, "(a)"sv, "a\t"sv, "\x7f"sv, "a;b"sv}) {
    const Built built = build({{"host", "h"}, {"x-amz-a", "1"}, {name, "2"}});
    CHECK_SAY(built.error.code == Errc::bad_header_name, name);
    CHECK_EQ(built.error.offset, 2u);
  }
  CHECK(build({{"!#$%&'*+-.^_`|~09azAZ", "1"}}).error.code == Errc::ok);
}

TEST(canonical_listed_but_absent) {
  Built built = build({{"host", "h"}}, only("host;x-amz-date"));
  CHECK(built.error.code == Errc::signed_header_missing);
  CHECK_EQ(built.error.offset, 5u);
  // The texts are whole all the same.
  CHECK_EQ(built.text, "GET\n/\n\nhost:h\n\nhost\nUNSIGNED-PAYLOAD");
  // Names in the list are compared as they stand: lower case.
  built = build({{"host", "h"}}, only("Host"));
  CHECK(built.error.code == Errc::signed_header_missing);
  CHECK_EQ(built.error.offset, 0u);
  built = build({{"host", "h"}}, only(";host"));
  CHECK(built.error.code == Errc::signed_header_missing);
  CHECK(build({}, only("host")).error.code == Errc::signed_header_missing);
  CHECK(build({{"host", "h"}, {"a", "1"}}, only("a;host")).error.code == Errc::ok);
}

TEST(canonical_errors_of_path_and_query) {
  CanonicalOptions options;
  options.path = PathRule::decode_encode;
  Built built = build({}, options, "/a%zz");
  CHECK(built.error.code == Errc::bad_percent_escape);
  CHECK_EQ(built.error.offset, 2u);
  built = build({}, {}, "/", "a=1&b=%4");
  CHECK(built.error.code == Errc::bad_percent_escape);
  CHECK_EQ(built.error.offset, 6u);
}

// No input makes a line of its own: whatever stands in a value, the number of lines is that of the names.
TEST(canonical_cannot_be_split_by_values) {
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> values(1 + minitest::below(6));
    Headers headers;
    for (std::string& value : values) {
      const std::size_t length = minitest::below(20);
      for (std::size_t i = 0; i < length; ++i) value += "\r\n\t :;,aZ\x80"[minitest::below(10)];
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      static const char* const kNames[] = {"host", "x-amz-a", "x-amz-b", "range", "X-Amz-A", "content-type"};
      headers.push_back({kNames[i], values[i]});
    }
    const Built built = build(headers);
    const auto names = std::count(built.names.begin(), built.names.end(), ';') + 1;
    CHECK_EQ(std::count(built.text.begin(), built.text.end(), '\n'), 3 + names + 2);
    CHECK(built.text.find('\r') == std::string::npos);
  }
}
