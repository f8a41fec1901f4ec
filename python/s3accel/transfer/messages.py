"""What goes through the one door of the transport: a request, its answer, and the connection that carried both.

All of them are frozen and print without secrets. Nothing in this file opens a socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from s3accel.redact import redact_headers, redact_url

__all__ = ["Body", "BytesBody", "Certificate", "ConnectionInfo", "Headers", "Request", "Response", "Sink"]

#: Largest answer kept in memory when the request names no sink. A ListObjectsV2 page of 1,000 keys of 1,024
#: bytes, every byte of them escaped, is under 7 MiB.
MAX_BODY = 16 * 1024 * 1024


class Body(Protocol):
    """The bytes of one attempt: read once, in order, then thrown away.

    ``length`` is exact and known before the first byte. ``frames()`` yields bytes-like objects whose lengths sum
    to it; a frame may be reused by the producer as soon as the next one is asked for.
    """

    @property
    def length(self) -> int: ...

    def frames(self) -> Iterator[bytes | memoryview]: ...


class BytesBody:
    """A body that is in memory already, in one piece."""

    __slots__ = ("_data", "length")

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = data
        self.length = len(data)

    def frames(self) -> Iterator[bytes | memoryview]:
        yield self._data

    def __repr__(self) -> str:
        return f"<BytesBody {self.length} bytes>"


class Headers:
    """Response headers: ordered, duplicates kept, looked up without regard to case."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items = tuple((name.lower(), value) for name, value in items)

    def get(self, name: str, default: str = "") -> str:
        """The first value of ``name``, or ``default``."""
        name = name.lower()
        for other, value in self._items:
            if other == name:
                return value
        return default

    def __contains__(self, name: str) -> bool:
        name = name.lower()
        return any(other == name for other, _ in self._items)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"Headers({redact_headers(self._items)!r})"


Sink = Callable[[Headers], Callable[[bytes], object]]


@dataclass(frozen=True)
class Certificate:
    """What the server showed: texts as OpenSSL prints them, and the SHA-256 of the DER form in hex."""

    subject: str
    issuer: str
    expires: str
    sha256: str = ""


@dataclass(frozen=True)
class ConnectionInfo:
    """The connection an answer came over, as observed, not as hoped for.

    Attributes:
        host: the host name the URL named (what the certificate was checked against).
        address: peer address and port; with a proxy, the proxy's.
        http_version: for example ``"1.1"``.
        tls_version: for example ``"TLSv1.3"``; None on plain HTTP, where the handshake was not to be watched
            (`Request.watched`), and in the rare case that a connection was reopened behind our back.
        cipher: cipher suite as OpenSSL or GnuTLS names it.
        key_exchange: key-exchange group (``"X25519"``), where the TLS library tells.
        resumed: True if a TLS session was resumed.
        reused: True if this request went over a connection that was open already.
        certificate: the server's certificate, where the TLS library tells.
    """

    host: str = ""
    address: str = ""
    http_version: str = ""
    tls_version: str | None = None
    cipher: str | None = None
    key_exchange: str | None = None
    resumed: bool = False
    reused: bool = False
    certificate: Certificate | None = None


@dataclass(frozen=True)
class Request:
    """One HTTP request, signed and ready.

    Attributes:
        method, url: as they go on the wire; the URL is percent-encoded already.
        headers: name and value in order. ``Content-Length`` is taken from ``body`` and ignored here.
        body: None for a request without one.
        sink: called with the headers of a 2xx answer, gives the function that takes its body as it comes (and is
            called for an empty body too). Other bodies are kept in ``Response.body``.
        stall_seconds: overrides the transport's stall limit (CompleteMultipartUpload may be silent for minutes).
        deadline: monotonic time (`time.monotonic`) at which the request ends, answered or not.
        cancelled: asked now and then while the body is sent and while a sink is fed; once it is true, the request ends.
            (Not between: a body that was sent whole may have done its work.)
        watched: False where nobody will ask what TLS version its connection has: should a new one be opened, the
            handshake is not looked at, which spares a copy of every byte sent over it.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: Body | None = None
    sink: Sink | None = None
    stall_seconds: float | None = None
    cancelled: Callable[[], bool] | None = None
    max_body: int = MAX_BODY
    deadline: float | None = None
    watched: bool = True

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    def __repr__(self) -> str:
        size = 0 if self.body is None else self.body.length
        return f"<Request {self.method} {redact_url(self.url)} body={size} headers={redact_headers(self.headers)}>"


@dataclass(frozen=True)
class Response:
    """The answer: status, headers, body (empty if a sink took it) and the connection it came over."""

    status: int
    headers: Headers
    body: bytes = b""
    connection: ConnectionInfo = field(default_factory=ConnectionInfo)

    def __repr__(self) -> str:
        return f"<Response {self.status} body={len(self.body)} headers={self.headers!r}>"
