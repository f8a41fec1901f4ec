// canonical_request against a map of names to joined values. Input: method, path, query, list, then
// name:value lines, all ended by NUL (values may hold line breaks).
#include <map>

#include "fuzz.h"
#include "s3accel/canonical.h"

using namespace s3accel;

namespace {

using fuzz::collapsed;
using fuzz::lower;

bool token(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos);
  });
}

std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> out;
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(';'), list.size());
    out.emplace_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return out;
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  using namespace std::string_literals;
  return {"\0GET\0/a\0b=1\0\0Host:h\0x-amz-date:2\0X-Amz-A:  1   2 \0x-amz-a:3\0"s,
          "\2PUT\0/\0\0host;range\0Host:h\0Range:\r\n bytes=0-1\0"s, "\1GET\0\0\0\0a:\0b c:1\0"s,
          "\2GET\0/\0\0host;date;host\0host:h\0"s};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t flags = input.byte();
  RequestView request{};
  request.method = input.until('\0');
  request.path = input.until('\0');
  request.query = input.until('\0');
  request.payload_hash = "UNSIGNED-PAYLOAD";
  CanonicalOptions options;
  options.query.escapes = Escapes::tolerant;
  options.headers.selection = flags % 3 == 0   ? Selection::recommended
                              : flags % 3 == 1 ? Selection::all
                                               : Selection::listed;
  options.headers.listed = input.until('\0');
  std::vector<HeaderView> headers;
  while (!input.empty() && headers.size() < 200) {
    const std::string_view line = input.until('\0');
    const std::size_t colon = std::min(line.find(':'), line.size());
    headers.push_back({line.substr(0, colon), line.substr(std::min(colon + 1, line.size()))});
  }
  request.headers = headers;

  const std::vector<std::string> listed = split(options.headers.listed);
  std::map<std::string, std::string> taken;
  std::size_t bad_name = headers.size();
  for (std::size_t i = 0; i < headers.size(); ++i) {
    if (!token(headers[i].name)) {
      bad_name = i;
      break;
    }
    const std::string name = lower(headers[i].name);
    const bool take = options.headers.selection == Selection::listed
                          ? std::find(listed.begin(), listed.end(), name) != listed.end()
                      : options.headers.selection == Selection::all ? !never_signed(name)
                                                                    : recommended_signed(name);
    if (!take) continue;
    const auto [at, fresh] = taken.try_emplace(name, collapsed(headers[i].value));
    if (!fresh) at->second += "," + collapsed(headers[i].value);
  }

  Text out, names;
  const auto r = canonical_request(request, options, out, names);
  if (bad_name < headers.size()) {
    REQUIRE(r.error().code == Errc::bad_header_name && r.error().offset == bad_name);
    return 0;
  }
  Text query;
  REQUIRE(canonical_query(request.query, options.query, query).ok());
  std::string expected(request.method), list;
  expected +=
      "\n" + std::string(request.path.empty() ? "/" : request.path) + "\n" + std::string(query.view()) + "\n";
  for (const auto& [name, value] : taken) {
    expected += name + ":" + value + "\n";
    list += (list.empty() ? "" : ";") + name;
  }
  expected += "\n" + list + "\nUNSIGNED-PAYLOAD";
  REQUIRE(out.view() == expected);
  REQUIRE(names.view() == list);
  if (options.headers.selection == Selection::listed) {
    const bool missing =
        std::any_of(listed.begin(), listed.end(), [&](const std::string& n) { return taken.count(n) == 0; });
    REQUIRE(r.ok() == !missing);
    if (missing)
      REQUIRE(r.error().code == Errc::signed_header_missing &&
              r.error().offset < options.headers.listed.size());
  } else {
    REQUIRE(r.ok());
  }
  return 0;
}
