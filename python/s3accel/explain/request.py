"""A request as it was signed, from whatever form it is at hand in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from .. import _core
from ..errors import ConfigError, SigningError
from ..redact import redact_headers, redact_url
from .model import Canonical, octets

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
UNSIGNED = "UNSIGNED-PAYLOAD"
_S3_SERVICES = ("", "s3", "s3express", "s3-outposts", "s3-object-lambda")
_REQUEST_LINE = re.compile(r"([!-~]+) (\S+)(?: HTTP/[0-9.]+)?")
#: The head of a request in what ``curl -v`` prints, among lines that begin with other marks.
_CURL_HEAD = re.compile(rb"^> [A-Z]+ \S+ HTTP/[0-9.]+\r?$(?:\n> (?=.*\S)[^\r\n]+\r?$)*", re.MULTILINE)


@dataclass(frozen=True)
class SignedRequest:
    """A request after it was signed.

    Args:
        method: upper case, as signed.
        url: absolute, as it goes on the wire (percent-encoded).
        headers: all of them with ``Authorization``; a mapping or (name, value) pairs, duplicates kept. A
            missing ``Host`` is taken from the URL.
        payload_hash: the body's SHA-256 in hex if it is known and no ``x-amz-content-sha256`` says it.
        canonical_request: the text that was hashed and signed, if the signer told it; otherwise it is
            rebuilt from the rest.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    payload_hash: str | None = None
    canonical_request: bytes | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", tuple(_header_items(self.headers)))
        if isinstance(self.canonical_request, str):
            object.__setattr__(self, "canonical_request", octets(self.canonical_request))

    @classmethod
    def of(cls, request: Any) -> SignedRequest:
        """From a request of s3accel, requests or botocore, or from raw HTTP text.

        Raises:
            ConfigError: there is no request in it.
        """
        if isinstance(request, cls):
            return request
        if isinstance(request, (str, bytes, bytearray)):
            return cls.from_http(request)
        method, url = getattr(request, "method", None), getattr(request, "url", None)
        if not isinstance(method, str) or not isinstance(url, str):
            raise ConfigError(
                f"a signed request has method, url and headers, which {type(request).__name__} has not; "
                "give a SignedRequest, a prepared request of requests or botocore, or raw HTTP text"
            )
        body = getattr(request, "body", None)
        payload_hash = None
        if body is None or isinstance(body, (bytes, bytearray)):
            payload_hash = _core.sha256(body or b"").hex()
        elif isinstance(body, str):
            payload_hash = _core.sha256(octets(body)).hex()
        return cls(method, url, tuple(_header_items(getattr(request, "headers", None) or ())), payload_hash)

    @classmethod
    def from_http(cls, data: str | bytes | bytearray, *, scheme: str = "https") -> SignedRequest:
        """From raw HTTP/1.1: request line, header lines, and the body if there is one.

        Lines may end in LF alone. Of what ``curl -v`` prints the last request is taken (after a redirect it is the
        one that was answered); its body is not among that.

        Raises:
            ConfigError: it does not begin with a request line.
        """
        raw = octets(data) if isinstance(data, str) else bytes(data)
        if sent := curl_request(raw):
            raw = sent
        head, separator, body = _split_head(raw)
        lines = head.decode("utf-8", "surrogateescape").splitlines()
        found = _REQUEST_LINE.fullmatch(lines[0].strip()) if lines else None
        if found is None:
            raise ConfigError(
                "a raw request begins with a line like 'PUT /key HTTP/1.1', and this one does not"
            )
        headers: list[tuple[str, str]] = []
        for line in lines[1:]:
            if line[:1] in (" ", "\t") and headers:  # a folded header goes on
                headers[-1] = (headers[-1][0], f"{headers[-1][1]}\r\n{line}")
                continue
            name, colon, value = line.partition(":")
            if colon and name.strip():
                headers.append((name.strip(), value.strip(" \t")))
        target = found[2]
        if "://" not in target.partition("?")[0]:
            host = next((value for name, value in headers if name.lower() == "host"), "")
            target = f"{scheme}://{host}{target}"
        length = next((value for name, value in headers if name.lower() == "content-length"), None)
        # A saved head often comes without its body: then nothing is known about the payload.
        whole = separator and (length is None or length == str(len(body)))
        return cls(found[1], target, tuple(headers), _core.sha256(body).hex() if whole and body else None)

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def host(self) -> str:
        """The Host header, or what an HTTP library makes of the URL."""
        sent = self.header("host")
        return sent.strip() if sent is not None else host_of(self.url)

    @property
    def target(self) -> tuple[str, str]:
        """Path and raw query on the wire."""
        rest = self.url.partition("://")[2] or self.url
        rest = rest.partition("#")[0]
        at = min((i for i in (rest.find("/"), rest.find("?")) if i >= 0), default=len(rest))
        path, _, query = rest[at:].partition("?")
        return path or "/", query

    def __repr__(self) -> str:
        return f"<SignedRequest {self.method} {redact_url(self.url)} {redact_headers(self.headers)}>"


def curl_request(log: bytes) -> bytes | None:
    """The head of the last request in what ``curl -v`` printed; None if there is none."""
    found = _CURL_HEAD.findall(log)
    return re.sub(rb"(?m)^> ", b"", found[-1]) if found else None


def _split_head(raw: bytes) -> tuple[bytes, bytes, bytes]:
    raw = raw.lstrip(b"\r\n")
    found = re.search(rb"\r?\n\r?\n", raw)
    if found is None:
        return raw, b"", b""
    return raw[: found.start()], found[0], raw[found.end() :]


def _header_items(headers: Any) -> Iterable[tuple[str, str]]:
    items = headers.items() if isinstance(headers, Mapping) or hasattr(headers, "items") else headers
    for name, value in items:
        yield _text(name), _text(value)


def _text(value: Any) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, (bytes, bytearray)) else str(value)


def host_of(url: str) -> str:
    """``host`` or ``host:port`` (if it is not the scheme's own) in lower case, without user info."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2].lower()
    default = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    return host[: -len(default)] if default and host.endswith(default) else host


@dataclass(frozen=True)
class Auth:
    """What a request says about its own signature, read as far as it can be read."""

    mechanism: str = "none"  #: "header", "query", "v2", "other" or "none"
    access_key_id: str = ""
    scope: str = ""
    timestamp: str = ""
    signed_headers: tuple[str, ...] = ()
    signature: str = ""
    token: str | None = None

    def _part(self, index: int) -> str:
        parts = self.scope.split("/")
        return parts[index] if len(parts) == 4 else ""

    @property
    def date(self) -> str:
        return self._part(0)

    @property
    def region(self) -> str:
        return self._part(1)

    @property
    def service(self) -> str:
        return self._part(2)

    def __repr__(self) -> str:
        return f"<Auth {self.mechanism} {self.access_key_id} {self.scope}>"


def auth_of(request: SignedRequest) -> Auth:
    """Never fails: what cannot be read is empty."""
    query: dict[str, str] = {}
    for segment in request.target[1].split("&"):
        name, _, value = segment.partition("=")
        query.setdefault(unquote(name), unquote(value))
    authorization = request.header("authorization")
    token = request.header("x-amz-security-token") or request.header("x-amz-s3session-token")
    if authorization is None and "X-Amz-Algorithm" in query:
        credential, names = query.get("X-Amz-Credential", ""), query.get("X-Amz-SignedHeaders", "")
        signature, timestamp = query.get("X-Amz-Signature", ""), query.get("X-Amz-Date", "")
        mechanism = "query"
        token = query.get("X-Amz-Security-Token") or query.get("X-Amz-S3session-Token") or token
    elif authorization is not None and authorization.strip().startswith("AWS4-"):
        pieces = authorization.strip().partition(" ")[2].split(",")
        named = dict(piece.strip().partition("=")[::2] for piece in pieces)
        credential, names = named.get("Credential", ""), named.get("SignedHeaders", "")
        signature = named.get("Signature", "")
        timestamp = (request.header("x-amz-date") or request.header("date") or "").strip()
        mechanism = "header"
    else:
        v2 = (authorization or "").startswith("AWS ") or (authorization is None and "AWSAccessKeyId" in query)
        other = "none" if authorization is None else "other"
        return Auth("v2" if v2 else other, token=token)
    access_key_id, _, scope = credential.partition("/")
    listed = tuple(name for name in names.lower().split(";") if name)
    return Auth(mechanism, access_key_id, scope, timestamp, listed, signature, token)


def canonical_of(request: SignedRequest, auth: Auth) -> Canonical | None:
    """What was signed: as the signer told it, else rebuilt. None if the request was not signed."""
    if request.canonical_request is not None:
        return Canonical.parse(request.canonical_request)
    if auth.mechanism not in ("header", "query"):
        return None
    path, raw_query = request.target
    query = "&".join(s for s in raw_query.split("&") if s.partition("=")[0] != "X-Amz-Signature")
    headers = [(name, octets(value)) for name, value in request.headers]
    if request.header("host") is None:
        headers.append(("host", octets(request.host)))
    s3 = auth.service in _S3_SERVICES
    payload = request.header("x-amz-content-sha256")
    if payload is None:
        payload = UNSIGNED if auth.mechanism == "query" and s3 else request.payload_hash or EMPTY_SHA256
    # A path or query that breaks the rules is the very thing to be explained: it must not stop here.
    target = f"/?{_core.canonical_query(octets(query), False, True)}"
    try:
        canonical_path = path if s3 else _core.canonical_path(path, True, True)
    except SigningError:
        canonical_path = path
    wanted = list(auth.signed_headers)
    try:
        text, _ = _core.canonical_request(request.method, target, headers, payload.strip(), select=wanted)
    except (SigningError, ValueError):
        return None
    found = Canonical.parse(text)
    if found is None:
        return None
    # A header that is listed but not there was signed by somebody who had it; here it is unknown.
    return Canonical(
        request.method,
        canonical_path,
        found.query,
        found.headers,
        ";".join(auth.signed_headers),
        found.payload,
    )
