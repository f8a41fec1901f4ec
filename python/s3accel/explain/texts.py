"""What to do about each cause. The keys are the stable codes that `Explanation.cause` may hold."""

from __future__ import annotations

_ON_THE_WAY = (
    "Send the request past the proxy, or make it leave signed parts alone; a change must come before signing."
)
_PATH = "Encode the key once with s3accel.uri_encode(key, keep_slash=True), and sign and send that very text."
_QUERY = (
    "Encode names and values once with s3accel.uri_encode, and sign and send that very query; write a space as %20 "
    "and a plus as %2B."
)
_SECRET = "Copy access key id and secret again as one pair, from the account and endpoint that is meant."  # noqa: S105
_PRESIGNED = (
    "Pass the presigned URL on as it is: not encoded again, not HTML-escaped, not shortened; presign it anew."
)
_TOKEN = "Use access key id, secret and session token of one and the same set, all three unchanged."  # noqa: S105

REMEDIES: dict[str, str] = {
    "access-denied": "Check bucket policy, IAM policy and object ownership; then whether Authorization reaches S3.",
    "authorization-dropped": "Make every hop pass the Authorization header on, also across redirects.",
    "authorization-malformed": "Send Authorization exactly as the signer gave it, in one header line.",
    "authorization-replaced": "Remove the netrc entry or proxy login for this host (requests: trust_env=False).",
    "canonical-form": "Sort header and query names, trim values, and keep the empty line after the headers.",
    "changed-on-the-way": "Compare what arrives with what was sent, and the server's secret for this key with this one.",
    "chunk-signature": "Send every chunk as it was signed: look for a body that changes while it is read, or a proxy "
    "that frames or compresses it anew.",
    "clock-skew": "Set the clock (NTP), sign in UTC, and sign at once before sending; s3accel.Clock learns the offset.",
    "content-type-added": "Give the content type before signing, or stop the HTTP library from adding one.",
    "content-type-dropped": "Sign only a content type that is really sent; do not send an empty one.",
    "credential-date": "Take scope and x-amz-date from one UTC time; the key is derived for that very day.",
    "credential-malformed": "Write the credential as ACCESSKEY/YYYYMMDD/REGION/SERVICE/aws4_request, encoded once in a URL.",
    "date-changed": _ON_THE_WAY,
    "date-missing": "Send x-amz-date as YYYYMMDD'T'HHMMSS'Z', and make proxies pass it on.",
    "header-added": _ON_THE_WAY,
    "header-case": _ON_THE_WAY,
    "header-changed": _ON_THE_WAY,
    "header-dropped": "Do not sign headers that hops remove (Expect, Connection, TE...); make the proxy pass the others on.",
    "header-encoding": "Keep signed header values to ASCII; percent-encode other characters before signing.",
    "header-not-signed": "Give the signer every x-amz-* header before it signs; add none afterwards.",
    "header-order": "Send duplicate headers as one line, values joined by a comma, and sign that.",
    "header-refolded": "Send each signed header as one line with single spaces and no space after commas of a list.",
    "host-changed": "Sign for the host name that reaches S3, or make the proxy keep the Host header.",
    "host-port": "Make Host equal everywhere: without the port if it is 80 or 443, with it otherwise.",
    "method-changed": "Sign the method that is sent (HEAD as HEAD), and follow no redirect that changes it.",
    "no-body": "Send the same request with GET to see S3's reason, or give credentials to try the known mistakes.",
    "not-a-signature-error": "Look at S3's message; the signature was not what S3 refused.",
    "other-request": "Explain the error with the request it answers; else find what signs the request anew on its way.",
    "path-changed": _ON_THE_WAY,
    "path-double-encoding": "Encode the key once: S3 signs the path encoded once, other services encode it twice (service "
    "name, disableDoubleEncoding).",
    "path-encoding": _PATH,
    "path-normalized": "Send the path as it is: switch off dot segment and slash merging in HTTP library and proxy, "
    "or choose keys without //, . and .. parts.",
    "path-plus-or-space": "Write a space in a key as %20 and a plus as %2B, when signing and when sending.",
    "path-prefix": "Sign the path as S3 receives it: bucket in host or in path, and no prefix that a proxy strips.",
    "path-unicode": "Normalize the key once (NFC), before both signing and sending.",
    "payload-changed": "Hash the very bytes that are sent; let no proxy change the body, and open files only once complete.",
    "payload-hash": "Put the value sent as x-amz-content-sha256 at the end of the canonical request: the body's SHA-256 "
    "in lower case hex, or UNSIGNED-PAYLOAD as it is.",
    "post-policy": "Sign the policy's base64 text exactly as it stands in the form.",
    "presign-expires": "Ask for a lifetime of 1 to 604800 seconds.",
    "presigned-expired": "Presign a new URL; one made with temporary credentials dies with them.",
    "presigned-url-cut": "Quote the URL in shells (& ends a command) and pass on all of its query.",
    "presigned-url-reencoded": _PRESIGNED,
    "query-added": "Add query parameters before signing; everything in the query is signed.",
    "query-changed": _ON_THE_WAY,
    "query-double-encoding": _QUERY,
    "query-dropped": "Make the proxy pass the whole query on, and sign the query that is sent.",
    "query-duplicates": "Send each query name once, or make sure that neither signer nor proxy drops duplicates.",
    "query-encoding": _QUERY,
    "query-order": "Sort the encoded names, then values, in the canonical request; their order on the wire is free.",
    "query-plus-or-space": _QUERY,
    "secret-mangled": "Read the secret from a file or environment as it is, without quotes, escapes or decoding.",
    "secret-white-space": "Strip the secret: white space was pasted with it, often the line feed of a file.",
    "signature-v2": "Sign with Signature Version 4 (boto3: Config(signature_version='s3v4')).",
    "token-added": _TOKEN,
    "token-changed": _TOKEN,
    "token-expired": "Fetch new temporary credentials; let a provider renew them before they expire.",
    "token-foreign": _TOKEN,
    "token-missing": "Send the session token that came with the key as X-Amz-Security-Token, and sign it.",
    "trailer-signature": "Sign the trailer lines as sent, each ended by one line feed, after the last chunk's signature.",
    "unknown": "Give the signed request and the credentials too, so that both canonical requests can be compared.",
    "unknown-access-key": "Check the access key id, and that it belongs to this endpoint and partition and is active.",
    "two-mechanisms": "Send a presigned URL without an Authorization header (also after a redirect).",
    "wrong-region": "Sign for the bucket's own region, with an accelerated endpoint too.",
    "wrong-secret": _SECRET,
    "wrong-service": "Sign for the service the endpoint belongs to: s3 for buckets, s3express for directory buckets.",
}
