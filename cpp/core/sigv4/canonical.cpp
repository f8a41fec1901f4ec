#include "s3accel/canonical.h"

namespace s3accel {

Result<void> canonical_start(const RequestView& request, const CanonicalOptions& options, Text& out) {
  out.append(request.method);
  out.push('\n');
  if (auto r = canonical_path(request.path, options.path, options.query.escapes, out); !r) return r;
  out.push('\n');
  if (auto r = canonical_query(request.query, options.query, out); !r) return r;
  out.push('\n');
  return {};
}

Result<void> canonical_request(const RequestView& request, const CanonicalOptions& options, Text& out,
                               Text& signed_headers) {
  if (auto r = canonical_start(request, options, out); !r) return r;
  const auto block = write_header_block(request.headers, options.headers, out, signed_headers);
  if (!block && block.error().code != Errc::signed_header_missing) return block;
  out.push('\n');
  out.append(signed_headers.view());
  out.push('\n');
  out.append(request.payload_hash);
  return block;
}

}  // namespace s3accel
