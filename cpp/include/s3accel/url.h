// The one place that cuts URLs and request targets.
#pragma once

#include <cstddef>
#include <string_view>

#include "s3accel/error.h"
#include "s3accel/text.h"

namespace s3accel {

// An absolute URL, cut. Views into it; nothing is decoded.
struct UrlParts {
  std::string_view scheme;     // before "://", in the case given
  std::string_view authority;  // all between "://" and the path, with user info
  std::string_view host;       // without user info and port; an IPv6 literal keeps its brackets
  std::string_view port;       // what follows the host's colon
  std::string_view path, query;
  std::size_t path_offset = 0, query_offset = 0;  // in the URL
  bool has_port = false;                          // the colon is there, whatever follows it
  bool plain = false;                             // the authority is a name alone
  bool has_fragment = false;
};

// Whether a '#' begins a fragment. In a request target, as a server receives it, it is an ordinary byte: a
// target has no fragment, and what was cut off would be left unsigned.
enum class Fragment { cut, ordinary };

// Cuts an absolute URL; false if it has no "://" behind its first colon. Where a part ends is decided as RFC
// 3986 does; whether the parts are good is for the caller to ask.
bool cut_url(std::string_view url, Fragment fragment, UrlParts& out) noexcept;
// The second half of it: path and query, which begin at `path_offset`.
void cut_target(std::string_view url, std::size_t path_offset, Fragment fragment, UrlParts& out) noexcept;

// True for a host with at most one meaning: a name, or an IPv6 literal in brackets; and a port of 0 to 65535
// without leading zeros, if there is a colon at all. Who reads "0443", 99999 or nothing as a port is not
// agreed, and the Host header would say it.
bool good_authority(const UrlParts& url) noexcept;

// Appends what the Host header says of this URL: the host in lower case, and the port unless it is the
// scheme's own.
void write_host(const UrlParts& url, Text& out);

// A URL that shall be signed, cut and judged; its host goes to `host_text`. User info and fragment are left
// out. Errors: bad_url (not absolute, a byte that is no visible ASCII, a bad authority), missing_host,
// bad_percent_escape (in the path, whose offset is counted in the URL).
Result<UrlParts> split_url(std::string_view url, Text& host_text);

// Errors: bad_percent_escape, offset in `path`.
Result<void> check_escapes(std::string_view path) noexcept;

// A request target as a server received it, judged: RFC 9112, 3.2. It is a path with a query, or an absolute
// http or https URL whose authority is the Host that was asked. Another authority would be served by whoever
// goes by the target, and judged by the Host that is signed. `host` is the value of the request's Host
// header, empty if it has none. Error: bad_target.
struct TargetParts {
  std::string_view path, query;
};
Result<TargetParts> split_target(std::string_view target, std::string_view host) noexcept;

}  // namespace s3accel
