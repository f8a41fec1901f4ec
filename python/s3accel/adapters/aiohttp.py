"""Signed requests with aiohttp 3.12.15 or later, whose client has middlewares.

    from s3accel.adapters.aiohttp import SigV4Middleware, object_url

    signed = SigV4Middleware(Credentials(...), "eu-west-1")
    async with aiohttp.ClientSession(middlewares=[signed]) as session:
        await session.put(object_url("https://bucket.s3.eu-west-1.amazonaws.com", "a/b"), data=open(path, "rb"))

What is refused, and what can be set, stands at `SigV4Middleware`.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import re
import weakref
from typing import Any, cast

from .._core import Sha256
from ..errors import ConfigError
from . import _wire
from ._attempt import Attempt, Headers, as_headers, restore
from ._bodies import Framer, OnceBody
from ._signing import SignsRequests, given_digest
from ._wire import Wire, redirect_region, wire_of

try:
    import aiohttp
    from aiohttp import payload as payloads
    from aiohttp.abc import AbstractStreamWriter
    from yarl import URL
except ImportError as error:
    raise ImportError("s3accel.adapters.aiohttp needs aiohttp: pip install 'aiohttp>=3.12.15'") from error

# Middlewares came with 3.12.0; files are rewound to where they stood, and measured from there, since 3.12.15.
if tuple(int(digits) for digits in re.findall(r"\d+", aiohttp.__version__)[:3]) < (3, 12, 15):
    raise ImportError(
        f"s3accel.adapters.aiohttp needs aiohttp 3.12.15 or later, this is {aiohttp.__version__}: "
        "pip install 'aiohttp>=3.12.15'"
    )

__all__ = ["SigV4Middleware", "object_url"]


def object_url(endpoint: str, key: str | bytes) -> URL:
    """The URL of an object, as a `yarl.URL` that keeps the key as it is, dot segments and all.

    Args:
        endpoint: what stands before the key, the bucket in its host or as its path.
        key: the raw key.
    """
    return URL(_wire.object_url(endpoint, key), encoded=True)


class SigV4Middleware(SignsRequests):
    """Signs requests: in ``middlewares=`` of a `aiohttp.ClientSession` or of one call, the last of the list.
    Its arguments stand at ``__init__``.

    It signs whatever the session sends: use a session of its own for S3. aiohttp runs it again for each
    redirect and each attempt, so all are signed anew; files are read again from where they stood.

    Raises:
        ConfigError: a bad argument; or (by requests) a body that cannot be sent in this mode.
        EndpointError: plain HTTP to AWS, or a redirect that is not followed.
        SourceError: the body ended early.
    """

    @functools.cached_property
    def _before(self) -> weakref.WeakKeyDictionary[Any, dict[str, Any]]:
        """What stood in the headers of the requests that were signed here, to be put back."""
        return weakref.WeakKeyDictionary()

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        before = self._before.pop(request, None)
        if before is not None:
            restore(request.headers, before)  # a middleware outside this one sends the same request again
        wire = wire_of(str(request.url), self._signing.service)
        call = getattr(request, "_timer", None)
        region: str | None = None
        last = _LAST.get()
        if last is not None and call is not None and last[0] is call and last[1] != wire:
            _, region = redirect_region(last[1], wire, self._signing.service, self._signing.redirect_regions)
            region = region or last[2]
        attempt = await self._attempt(request, wire, region)
        self._before[request] = attempt.apply(request.headers)
        request.url = URL(wire.url, encoded=True)
        response = await handler(request)
        # One call's redirects come through here in one task, all with the call's own timer.
        _LAST.set((call, wire, region))
        return response

    async def _attempt(self, request: Any, wire: Wire, region: str | None) -> Attempt:
        signing, method = self._signing, request.method
        if method in request.POST_METHODS and not any(
            "Content-Type" in names for names in (request.headers, request.skip_auto_headers)
        ):
            request.headers["Content-Type"] = "application/octet-stream"  # aiohttp would add it after signing
        headers = as_headers(request.headers.items(), "utf-8")
        body: Any = request.body
        if isinstance(body, _FramedPayload):
            body = body.source
        if getattr(request, "compress", None):
            raise ConfigError(
                "a body that aiohttp compresses while it is sent cannot be signed; compress it before"
            )
        if not isinstance(body, payloads.Payload):
            _send(request, None)
            return signing.plain(method, wire, headers, None, given_digest(headers) or b"", region)
        length = body.size if body.size is not None else _announced(headers)
        plain = OnceBody((), length or 0)  # only its length is used; aiohttp sends its own payload
        given = given_digest(headers)
        if given and length is not None:
            _send(request, body)
            return signing.plain(method, wire, headers, plain, given, region)
        buffered = isinstance(body, payloads.BytesPayload)
        file = isinstance(body, payloads.IOBasePayload)
        how = signing.how(method, wire, headers, buffered=buffered, rewindable=file, known=length is not None)
        if length == 0:
            how = "hash" if buffered or file else "read"
        if how in ("chunks", "trailer"):
            attempt = Attempt(
                signing, method, wire, headers, None, None, region, signed=how == "chunks", length=length
            )
            _send(request, _FramedPayload(body, attempt))
            return attempt
        if how == "unsigned":
            _send(request, body)
            return signing.plain(method, wire, headers, plain, "UNSIGNED-PAYLOAD", region)
        if how == "read" or not (buffered or file):
            data = await body.as_bytes()
            _send(request, payloads.BytesPayload(data, content_type=body.content_type))
            return signing.plain(method, wire, headers, data, data, region)
        hashing = _Hashing()
        await body.write_with_length(hashing, length)
        _send(request, body)
        return signing.plain(method, wire, headers, plain, hashing.hexdigest(), region)


_LAST: contextvars.ContextVar[tuple[Any, Wire, str | None] | None] = contextvars.ContextVar(
    "s3accel_aiohttp_last", default=None
)


def _send(request: Any, payload: Any) -> None:
    """Makes the payload the request's body, with a length that is known.

    Not by ``update_body``: that closes the payload before, whose file is what is sent.
    """
    request.chunked = None
    if payload is None:
        return
    request._body = payload
    if request.body is not payload:
        raise ConfigError(f"aiohttp {aiohttp.__version__} keeps the body elsewhere; give it as bytes")


def _announced(headers: Headers) -> int | None:
    return next((int(value) for name, value in headers if name.lower() == "content-length"), None)


class _FramedPayload(payloads.Payload):
    """A payload in signed chunks. Each writing begins where the payload itself begins again."""

    def __init__(self, source: Any, attempt: Attempt) -> None:
        super().__init__(source, content_type=source.content_type)
        self.source, self._attempt = source, attempt
        self._size = int(attempt.headers["Content-Length"])

    @property
    def consumed(self) -> bool:
        return bool(self.source.consumed)

    @property
    def autoclose(self) -> bool:
        return bool(self.source.autoclose)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return cast("str", self.source.decode(encoding, errors))

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return cast("bytes", await self.source.as_bytes(encoding, errors))

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        if self._attempt.open_stream is None:
            raise ConfigError("a signed body without a signature")
        stream = self._attempt.open_stream()
        framing = _Framing(writer, Framer(stream))
        await self.source.write_with_length(framing, stream.decoded_length)
        await framing.write_eof()

    def _close(self) -> None:
        self.source._close()

    async def close(self) -> None:
        await self.source.close()


class _Sink(AbstractStreamWriter):
    """What a payload may call of a writer, beside writing."""

    async def write_eof(self, chunk: bytes = b"") -> None:
        await self.write(chunk)

    async def drain(self) -> None:
        return None

    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        return None

    def enable_chunking(self) -> None:
        return None

    async def write_headers(self, status_line: str, headers: Any) -> None:
        return None


class _Framing(_Sink):
    """Frames what a payload writes, and passes it on."""

    def __init__(self, writer: AbstractStreamWriter, framer: Framer) -> None:
        self._writer, self._framer = writer, framer

    async def write(self, chunk: Any) -> None:
        for frames in self._framer.push(chunk):
            await self._writer.write(frames)

    async def write_eof(self, chunk: bytes = b"") -> None:
        for frames in self._framer.finish():
            await self._writer.write(frames)

    async def drain(self) -> None:
        await self._writer.drain()


class _Hashing(_Sink):
    """Hashes what a payload writes, large pieces beside the event loop."""

    def __init__(self) -> None:
        self._running = Sha256()

    async def write(self, chunk: Any) -> None:
        if len(chunk) > 65_536:
            await asyncio.get_running_loop().run_in_executor(None, self._running.update, chunk)
        else:
            self._running.update(chunk)

    def hexdigest(self) -> str:
        return self._running.hexdigest()
