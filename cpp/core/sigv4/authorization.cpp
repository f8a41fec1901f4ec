#include "sigv4/authorization.h"

#include <algorithm>

#include "base/ascii.h"
#include "s3accel/signing_key.h"

namespace s3accel {

void write_authorization(std::string_view access_key_id, std::string_view scope,
                         std::string_view signed_headers, std::string_view signature, Text& out) {
  out.append(kAlgorithm);
  out.append(" Credential=");
  out.append(access_key_id);
  out.push('/');
  out.append(scope);
  out.append(", SignedHeaders=");
  out.append(signed_headers);
  out.append(", Signature=");
  out.append(signature);
}

Result<AuthorizationParts> read_authorization(std::string_view text, std::string_view algorithm,
                                              std::string_view& detail) noexcept {
  text = trim(text);
  if (text.starts_with("AWS ")) return Errc::auth_unsupported_v2;
  const std::size_t space = std::min(text.find(' '), text.size());
  if (text.substr(0, space) != algorithm) {
    detail = text.substr(0, std::min<std::size_t>(space, 64));
    return Errc::auth_unknown_type;
  }
  constexpr std::string_view kNames[] = {"Credential", "SignedHeaders", "Signature"};
  AuthorizationParts out;
  std::string_view* const values[] = {&out.credential, &out.signed_headers, &out.signature};
  bool seen[3] = {};
  std::string_view rest = text.substr(std::min(space + 1, text.size()));
  while (!rest.empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view part = trim(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    const std::size_t eq = part.find('=');
    if (eq == part.npos) return Errc::auth_malformed;
    const auto which = static_cast<std::size_t>(
        std::find(std::begin(kNames), std::end(kNames), part.substr(0, eq)) - std::begin(kNames));
    if (which == 3 || seen[which]) {
      detail = part.substr(0, std::min<std::size_t>(eq, 64));
      return Errc::auth_malformed;
    }
    seen[which] = true;
    *values[which] = part.substr(eq + 1);
  }
  if (const bool* missing = std::find(std::begin(seen), std::end(seen), false); missing != std::end(seen)) {
    detail = kNames[missing - std::begin(seen)];
    return Errc::auth_malformed;
  }
  return out;
}

Result<CredentialParts> read_credential(std::string_view text, bool with_region) noexcept {
  CredentialParts out;
  std::string_view* const parts[] = {&out.access_key_id, &out.date, with_region ? &out.region : &out.service,
                                     with_region ? &out.service : &out.terminal, &out.terminal};
  const std::size_t wanted = with_region ? 5 : 4;
  std::string_view rest = text;
  for (std::size_t i = 0; i < wanted; ++i) {
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    const bool last = i + 1 == wanted;
    if (last != (slash == rest.size())) return Errc::credential_malformed;
    *parts[i] = rest.substr(0, slash);
    rest.remove_prefix(last ? slash : slash + 1);
  }
  if (out.access_key_id.empty() || out.access_key_id.size() > 256) return Errc::credential_malformed;
  out.scope = text.substr(out.access_key_id.size() + 1);
  return out;
}

}  // namespace s3accel
