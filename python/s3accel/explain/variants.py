"""The known mistakes: what else a path, a query, a header or a secret may have been when it was signed.

Each generator gives (cause, words, text): the cause's code, words that end the sentence "the path ...", and the
text as that mistake leaves it. The same lists serve to name a difference that S3 shows, and to guess one that
it does not show.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote, quote_plus, unquote, unquote_to_bytes

from .. import _core
from .model import Canonical, join_pairs, octets
from .request import EMPTY_SHA256, UNSIGNED, SignedRequest, host_of

Variant = tuple[str, str, str]


class Mistake(NamedTuple):
    """A whole canonical request as one mistake leaves it; ``words`` end "the same request ..."."""

    cause: str
    words: str
    canonical: Canonical


def decoded(text: str) -> str:
    return unquote_to_bytes(octets(text)).decode("utf-8", "surrogateescape")


def encoded(text: str, keep_slash: bool = False) -> str:
    return _core.uri_encode(octets(text), keep_slash)


def as_received(path: str) -> str:
    """What S3 makes of a path on the wire: decoded and encoded again by its own rule."""
    return encoded(decoded(path), True)


def dot_segments_resolved(path: str) -> str:
    """RFC 3986, section 5.2.4, as URL libraries do it; empty segments stay."""
    out: list[str] = []
    segments = path.split("/")
    for segment in segments[1:]:
        if segment == "..":
            if out:
                out.pop()
        elif segment != ".":
            out.append(segment)
    if segments[-1] in (".", ".."):
        out.append("")
    return "/" + "/".join(out)


def _lower_escapes(text: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), text)


def path_variants(path: str) -> Iterator[Variant]:
    """Another text for the path of a canonical request."""
    if "%" in path:
        yield "path-double-encoding", "encoded a second time (% became %25)", encoded(path, True)
    if "%25" in path:
        yield "path-double-encoding", "encoded once less (%25 became %)", path.replace("%25", "%")
    merged = re.sub("/{2,}", "/", path)
    yield "path-normalized", "with double slashes merged", merged
    yield "path-normalized", "with dot segments resolved", dot_segments_resolved(path)
    yield (
        "path-normalized",
        "with dot segments resolved and double slashes merged",
        re.sub("/{2,}", "/", dot_segments_resolved(path)),
    )
    yield (
        "path-normalized",
        "with dot segments resolved and double slashes merged",
        dot_segments_resolved(merged),
    )
    if path.endswith("/") and len(path) > 1:
        yield "path-normalized", "without its trailing slash", path.rstrip("/") or "/"
    else:
        yield "path-normalized", "with a trailing slash added", path + "/"
    yield "path-plus-or-space", "with + where a space (%20) was", path.replace("%20", "+")
    yield (
        "path-plus-or-space",
        "with a space (%20) where + was",
        path.replace("+", "%20").replace("%2B", "%20"),
    )
    yield "path-plus-or-space", "with a space (%20) where + was", path.replace("+", "%20")
    yield "path-plus-or-space", "with + encoded (%2B)", path.replace("+", "%2B")
    yield "path-plus-or-space", "with + not encoded", path.replace("%2B", "+")
    yield "path-encoding", "encoded by S3's own rule", as_received(path)
    yield "path-encoding", "not percent-encoded at all", decoded(path)
    yield "path-encoding", "with ~ encoded (%7E)", path.replace("~", "%7E")
    yield "path-encoding", "with lower-case escapes", _lower_escapes(path)
    yield (
        "path-encoding",
        "with !, ', ( and ) and * not encoded",
        quote(decoded(path), safe="/~!'()*", errors="surrogateescape"),
    )
    yield (
        "path-encoding",
        "encoded as browsers do",
        quote(decoded(path), safe="/~!'()*:@&=+$,;", errors="surrogateescape"),
    )
    yield "path-encoding", "with its slashes encoded (%2F)", "/" + encoded(decoded(path[1:]))
    rest = path[1:].partition("/")[2]
    if rest or path.count("/") > 1:
        yield "path-prefix", "without its first segment", "/" + rest


def value_variants(value: str) -> Iterator[Variant]:
    """Another text for a name or value of a canonical query."""
    if "%" in value:
        yield "query-double-encoding", "encoded a second time (% became %25)", encoded(value)
    if "%25" in value:
        yield "query-double-encoding", "encoded once less (%25 became %)", value.replace("%25", "%")
    yield "query-plus-or-space", "with + where a space (%20) was", value.replace("%20", "+")
    yield (
        "query-plus-or-space",
        "with a space (%20) where + was",
        value.replace("%2B", "%20").replace("+", "%20"),
    )
    yield "query-plus-or-space", "with an encoded + (%2B) where a space was", value.replace("%20", "%2B")
    yield "query-plus-or-space", "with + not encoded", value.replace("%2B", "+")
    yield "query-plus-or-space", "with + encoded (%2B)", value.replace("+", "%2B")
    yield "query-encoding", "not percent-encoded at all", decoded(value)
    yield "query-encoding", "with its slashes not encoded", value.replace("%2F", "/")
    yield "query-encoding", "with ~ encoded (%7E)", value.replace("~", "%7E")
    yield "query-encoding", "with lower-case escapes", _lower_escapes(value)
    yield "query-encoding", "encoded by S3's own rule", encoded(decoded(value))
    yield "query-encoding", "encoded as forms are", quote_plus(decoded(value), errors="surrogateescape")


def _queries(base: Canonical, request: SignedRequest | None) -> Iterator[Variant]:
    pairs = base.pairs()
    if not pairs:
        return
    yield "query-dropped", "without any query parameter", ""
    if request is not None:
        raw = [s for s in request.target[1].split("&") if s and not s.startswith("X-Amz-Signature=")]
        cause, words = ("query-encoding", "encoded") if raw == sorted(raw) else ("query-order", "sorted")
        yield cause, f"with the query as it stands in the URL, not {words} by S3's rule", "&".join(raw)
    last = dict(pairs)
    first = dict(reversed(pairs))
    if len(last) != len(pairs):
        yield (
            "query-duplicates",
            "with only the last of duplicate query names",
            join_pairs(sorted(last.items())),
        )
        yield (
            "query-duplicates",
            "with only the first of duplicate query names",
            join_pairs(sorted(first.items())),
        )
    bare = "&".join(f"{name}={value}" if value else name for name, value in pairs)
    yield "query-encoding", "with no '=' after parameters that have no value", bare
    if len(pairs) <= 16:
        for i, (name, _) in enumerate(pairs):
            yield (
                "query-dropped",
                f"without the query parameter {name}",
                join_pairs(pairs[:i] + pairs[i + 1 :]),
            )
    changed: dict[str, tuple[str, dict[int, str]]] = {}
    for i, (_, value) in enumerate(pairs):
        for cause, words, text in value_variants(value):
            changed.setdefault(words, (cause, {}))[1].setdefault(i, text)
    for words, (cause, texts) in changed.items():
        items = [(name, texts.get(i, value)) for i, (name, value) in enumerate(pairs)]
        yield cause, f"with query values {words}", join_pairs(items)
        yield cause, f"with query values {words}", join_pairs(sorted(items))


#: What HTTP libraries fill in by themselves.
_DEFAULT_TYPES = (
    "application/octet-stream",
    "binary/octet-stream",
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded; charset=utf-8",
    "application/json",
    "text/plain",
    "text/plain; charset=utf-8",
)


def _headers(base: Canonical, request: SignedRequest | None) -> Iterator[Mistake]:
    headers = dict(base.headers)
    host = headers.get("host", "")
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    hosts = [("host-port", f"with the host {h}", h) for h in (name, f"{name}:443", f"{name}:80")]
    hosts.append(("host-changed", "with the host in lower case", host.lower()))
    if request is not None:
        hosts.append(("host-changed", f"with the URL's host {host_of(request.url)}", host_of(request.url)))
    for cause, words, text in hosts:
        if text and text != host:
            yield Mistake(cause, words, base.with_header("host", text))
    for type_ in _DEFAULT_TYPES:
        if headers.get("content-type") != type_:
            cause = "header-changed" if "content-type" in headers else "content-type-dropped"
            yield Mistake(cause, f"with content-type {type_}", base.with_header("content-type", type_))
    raw: dict[str, list[str]] = {}
    for key, value in request.headers if request is not None else ():
        raw.setdefault(key.lower(), []).append(value)
    for key, value in base.headers:
        if key == "host":
            continue
        token = key in ("x-amz-security-token", "x-amz-s3session-token")
        cause = "token-added" if token else "content-type-added" if key == "content-type" else "header-added"
        yield Mistake(cause, f"without the header {key}", base.with_header(key, None))
        yield Mistake("header-changed", f"with an empty header {key}", base.with_header(key, ""))
        if token:
            continue
        lines = raw.get(key, [value])
        loose_forms = (", ".join(lines), ",".join(lines), value.replace(", ", ","), value.replace(",", ", "))
        for loose in dict.fromkeys(loose_forms):
            yield Mistake("header-refolded", f"with other white space in {key}", base.with_header(key, loose))
        if "," in value:
            order = ",".join(reversed(value.split(",")))
            yield Mistake(
                "header-order", f"with the values of {key} in reverse order", base.with_header(key, order)
            )
        yield Mistake("header-case", f"with {key} in lower case", base.with_header(key, value.lower()))


def mistakes(base: Canonical, request: SignedRequest | None) -> Iterator[Mistake]:
    """Every known mistake applied to a canonical request, one at a time, without those that change nothing."""
    seen = {base}
    for mistake in _all(base, request):
        if mistake.canonical not in seen:
            seen.add(mistake.canonical)
            yield mistake


def _all(base: Canonical, request: SignedRequest | None) -> Iterator[Mistake]:
    for cause, words, path in path_variants(base.path):
        yield Mistake(cause, f"with the path {words}", _replace(base, path=path))
        # A change on the way is followed by the server's own decoding and encoding.
        yield Mistake(cause, f"with the path {words}", _replace(base, path=as_received(path)))
    if request is not None:
        label = request.host.partition(".")[0]
        yield Mistake(
            "path-prefix", "with the bucket before the path", _replace(base, path=f"/{label}{base.path}")
        )
    for cause, words, query in _queries(base, request):
        yield Mistake(cause, words, _replace(base, query=query))
    yield from _headers(base, request)
    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        yield Mistake("method-changed", f"with the method {method}", _replace(base, method=method))
    hash_of_words = _core.sha256(UNSIGNED.encode()).hex()
    payloads = [
        ("the hash of an empty body", EMPTY_SHA256),
        ("UNSIGNED-PAYLOAD", UNSIGNED),
        ("the hash of the words UNSIGNED-PAYLOAD", hash_of_words),
        ("the payload hash in upper case", base.payload.upper()),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
    ]
    if request is not None and request.payload_hash:
        payloads.append(("the hash of the body at hand", request.payload_hash))
    for words, payload in payloads:
        both = _replace(base, payload=payload)
        yield Mistake("payload-hash", f"ending in {words}", both)
        if "x-amz-content-sha256" in dict(base.headers):
            yield Mistake(
                "payload-hash", f"ending in {words}", both.with_header("x-amz-content-sha256", payload)
            )


def _replace(base: Canonical, **changed: str) -> Canonical:
    fields = {
        "method": base.method,
        "path": base.path,
        "query": base.query,
        "payload": base.payload,
    } | changed
    return Canonical(
        fields["method"], fields["path"], fields["query"], base.headers, base.signed, fields["payload"]
    )


def secret_variants(secret: str) -> Iterator[Variant]:
    """What a secret becomes when it is pasted, quoted or passed through the wrong decoder."""
    bare = secret.strip()
    if bare != secret:
        yield "secret-white-space", "with the white space at its end removed", bare
    ends = (
        ("a line feed after it", "", "\n"),
        ("CR and LF after it", "", "\r\n"),
        ("a carriage return after it", "", "\r"),
        ("a space after it", "", " "),
        ("two spaces after it", "", "  "),
        ("a tab after it", "", "\t"),
        ("a space before it", " ", ""),
        ("a line feed before it", "\n", ""),
        ("a tab before it", "\t", ""),
        ("spaces round it", " ", " "),
        ("a no-break space after it", "", "\u00a0"),
        ("a byte order mark before it", "\ufeff", ""),
    )
    for words, before, after in ends:
        yield "secret-white-space", f"with {words}", before + bare + after
    yield "secret-mangled", "with double quotes round it", f'"{bare}"'
    yield "secret-mangled", "with single quotes round it", f"'{bare}'"
    yield "secret-mangled", "without the quotes round it", bare.strip("\"'")
    yield "secret-mangled", "percent-encoded", quote(bare, safe="")
    yield "secret-mangled", "percent-decoded", unquote(bare)
    yield "secret-mangled", "with its + read as a space", bare.replace("+", " ")
    yield "secret-mangled", "with its slashes escaped (\\/)", bare.replace("/", "\\/")
    yield "secret-mangled", "with a $ cut at it by a shell", re.sub(r"\$\w*", "", bare)
    yield "secret-mangled", "without its last character", bare[:-1]
    yield "secret-mangled", "without its first character", bare[1:]
