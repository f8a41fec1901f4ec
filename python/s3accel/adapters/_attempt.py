"""One signed attempt at sending one request, and how its headers are put on and taken off again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, cast

from ..errors import ConfigError
from ..streaming import SignedStream
from ._bodies import FileBody, OnceBody, SignedBody
from ._wire import Wire

if TYPE_CHECKING:
    from ..signer import Signer
    from ._signing import RequestSigning

__all__ = ["Attempt", "Headers", "as_headers", "restore"]

Headers = list[tuple[str, str | bytes]]

#: What these adapters set. The session token's header is not here: one of the caller's own is refused.
_OURS = ("authorization", "x-amz-date", "x-amz-content-sha256")
_FRAMING = ("content-length", "transfer-encoding")


class Attempt:
    """One signed request. `renew` signs it again, with a fresh date, for another attempt.

    Attributes:
        wire: the URL to send, exactly.
        headers: to be set on the request. body: to be sent.
    """

    def __init__(
        self,
        signing: RequestSigning,
        method: str,
        wire: Wire,
        headers: Headers,
        body: bytes | FileBody | OnceBody | SignedBody | None,
        payload: bytes | str | None,
        region: str | None,
        *,
        signed: bool = True,
        length: int | None = None,
    ) -> None:
        self._signing = signing
        self._signer = signing.signer_for(region)
        self._method, self._payload, self._signed, self._length = method, payload, signed, length
        self._kept: Headers = [
            (name, value) for name, value in headers if name.lower() not in (*_OURS, *_FRAMING)
        ]
        self.wire, self.body = wire, body
        self.headers: dict[str, str] = {}
        self.open_stream: Callable[[], SignedStream] | None = None
        self.renew()

    def renew(self) -> None:
        """Signs again: a new date and new `headers`; the frames of a `SignedBody` change with them."""
        if self._payload is not None:
            self.headers = self._signer.sign(self._method, self.wire.url, self._kept, self._payload)
            if self.body is not None:
                self.headers["Content-Length"] = str(len(self.body))
            return
        once = _Once(self._signer)
        source = self.body.source if isinstance(self.body, SignedBody) else None
        length = self._length if source is None else len(source)

        def open_stream() -> SignedStream:
            return SignedStream(
                cast("Signer", once),
                self._method,
                self.wire.url,
                self._kept,
                cast("int", length),
                chunk_size=self._signing.chunk_size,
                checksum=self._signing.checksum or (None if self._signed else "crc64nvme"),
                signed=self._signed,
            )

        first = open_stream()
        self.headers = dict(first.headers)
        self.open_stream = open_stream
        if isinstance(self.body, SignedBody):
            self.body.arm(open_stream, first.encoded_length)

    def apply(self, headers: MutableMapping[str, Any]) -> dict[str, Any]:
        """Sets the headers on a request, case-insensitively; gives what stood there before, for `restore`."""
        mine = {name.lower() for name in self.headers}
        if self.body is not None or self._payload is None:
            mine.update(_FRAMING)
        before = {}
        for name in list(headers):
            text = name.decode("latin-1") if isinstance(name, bytes) else name
            if text.lower() in mine or text.lower() in _OURS:
                before[text.lower()] = (name, headers.pop(name))
        for name, value in self.headers.items():
            headers[name] = value
        return {name.lower(): before.get(name.lower()) for name in (*self.headers, *before)}


def restore(headers: MutableMapping[str, Any], before: dict[str, Any], *, body_gone: bool = False) -> None:
    """Undoes `Attempt.apply`: takes the signature out and puts the caller's own headers back.

    Args:
        body_gone: a redirect turned the request into a GET; what framed its body is not put back.
    """
    for name in list(headers):
        text = name.decode("latin-1") if isinstance(name, bytes) else name
        if text.lower() in before:
            del headers[name]
    for lower, pair in before.items():
        if pair is not None and not (body_gone and lower in _FRAMING):
            headers[pair[0]] = pair[1]


class _Once:
    """Stands in for a signer so that the same attempt can be opened again byte for byte.

    HTTP libraries repeat a request beneath us, headers unchanged; its frames must then be the same, for they
    are chained on the signature in those headers.
    """

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._result: Any = None

    def _sign_detailed(self, method: str, url: str, headers: Any, payload: str) -> Any:
        if self._result is None:
            self._result = self._signer._sign_detailed(method, url, headers, payload)
        return self._result


def as_headers(items: Iterable[tuple[Any, Any]], encoding: str = "latin-1") -> Headers:
    """Names as text and values as they will be sent: `encoding` is what the library writes text in.

    Raises:
        ConfigError: a name or value that cannot be written so.
    """
    headers: Headers = []
    for name, value in items:
        try:
            text = name.decode("ascii") if isinstance(name, bytes) else str(name)
            if isinstance(value, str) and not value.isascii():
                value = value.encode(encoding)
        except UnicodeError:
            raise ConfigError(
                f"the header {name!r} holds characters that cannot be sent as {encoding}"
            ) from None
        headers.append((text, value if isinstance(value, (bytes, str)) else str(value)))
    return headers
