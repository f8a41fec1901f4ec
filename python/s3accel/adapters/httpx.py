"""Signed requests with httpx, sync and async.

    from s3accel.adapters.httpx import SigV4Auth, object_url

    with httpx.Client(auth=SigV4Auth(Credentials(...), "eu-west-1")) as client:
        client.put(object_url("https://bucket.s3.eu-west-1.amazonaws.com", "a/b"), content=open(path, "rb"))

What is refused, and what can be set, stands at `SigV4Auth`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Generator, Iterator
from typing import Any, cast

from ..credentials import Credentials, Provider
from ..errors import ConfigError, EndpointError
from ..signer import Signer
from ..streaming import DEFAULT_CHUNK_SIZE
from ._attempt import Attempt, as_headers, restore
from ._bodies import FileBody, Framer, OnceBody, SignedBody, UnknownBody, body_of, checked_block
from ._signing import RequestSigning, given_digest
from ._wire import Wire, object_url, redirect_region, wire_of

try:
    import httpx
except ImportError as error:
    raise ImportError("s3accel.adapters.httpx needs httpx: pip install httpx") from error

__all__ = ["SigV4Auth", "object_url"]

_KEY = "s3accel"  # of request.extensions, which httpx copies to the requests of redirects


class SigV4Auth(httpx.Auth):
    """Signs requests: ``auth=`` of a call, a `httpx.Client` or a `httpx.AsyncClient`.

    Args:
        credentials, region, service: a `Signer`, `Credentials`, a provider or None (environment, then
            botocore's chain), with the endpoint's region and service (``"s3"`` if not given).
        payload: ``"auto"`` (streams to S3 as signed chunks, all else hashed), ``"signed-chunks"``, ``"signed"``,
            ``"unsigned-trailer"`` or ``"unsigned"``.
        checksum: of `s3accel.checksums.ALGORITHMS`, sent as a trailer of bodies in chunks.
        follow_redirects: follow them here, signed anew. httpx's own ``follow_redirects`` works beneath its auth
            objects, with the first request's signature: a redirect it follows is stopped before it is sent.
        redirect_regions: regions that S3 may redirect to for the same bucket and key.
        clock: epoch seconds.
        sign_all_headers: as of `Signer`.

    Sending a request again signs it anew. ``HTTPTransport(retries=...)`` repeats only connecting, before
    anything is sent.

    Raises:
        ConfigError: a bad argument; or (by requests) a body that cannot be sent in this mode.
        EndpointError: plain HTTP to AWS, or a redirect that is not followed.
        SourceError: the body ended early, or cannot be read again.
    """

    def __init__(
        self,
        credentials: Signer | Credentials | Provider | None = None,
        region: str | None = None,
        service: str | None = None,
        *,
        payload: str = "auto",
        checksum: str | None = None,
        chunk_size: int = DEFAULT_CHUNK_SIZE,
        follow_redirects: bool = False,
        redirect_regions: Collection[str] = (),
        clock: Callable[[], float] | None = None,
        sign_all_headers: bool = False,
    ) -> None:
        self._follow = follow_redirects
        self._signing = RequestSigning(
            credentials,
            region,
            service,
            payload=payload,
            checksum=checksum,
            chunk_size=chunk_size,
            redirect_regions=redirect_regions,
            clock=clock,
            sign_all_headers=sign_all_headers,
        )

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        region: str | None = None
        while True:
            state = self._begin(request)
            body = _sync_body(request)
            headers = as_headers(request.headers.raw)
            attempt = self._signing.attempt(request.method, state.wire, headers, body, region)
            if isinstance(attempt.body, (FileBody, OnceBody, SignedBody)):
                request.stream = _Blocks(attempt.body, body)
            elif attempt.body is not None:
                request.stream = httpx.ByteStream(attempt.body)
            self._finish(request, state, attempt, _guard)
            response = yield request
            follow, region = self._redirected(state, response, region)
            if follow is None:
                return
            request = follow

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        region: str | None = None
        while True:
            state = self._begin(request)
            attempt = await self._attempt_async(request, state.wire, region)
            self._finish(request, state, attempt, _async_guard)
            response = yield request
            follow, region = self._redirected(state, response, region)
            if follow is None:
                return
            request = follow

    async def _attempt_async(self, request: httpx.Request, wire: Wire, region: str | None) -> Attempt:
        signing = self._signing
        headers = as_headers(request.headers.raw)
        stream: Any = request.stream
        if isinstance(stream, _AsyncFrames):
            stream = request.stream = stream.source
        if isinstance(stream, (httpx.ByteStream, _Blocks)):
            content = stream.source if isinstance(stream, _Blocks) else await request.aread()
            attempt = signing.attempt(request.method, wire, headers, content or None, region)
            if isinstance(attempt.body, SignedBody):
                request.stream = _Blocks(attempt.body, content)
            return attempt
        if not isinstance(stream, httpx.AsyncByteStream):
            raise ConfigError(
                "an AsyncClient needs the body as bytes or an async iterable; this one can only be read blocking"
            )
        length = _announced(request)
        given = given_digest(headers)
        if given and length is not None:
            return signing.plain(request.method, wire, headers, OnceBody((), length), given, region)
        how = signing.how(
            request.method, wire, headers, buffered=False, rewindable=False, known=length is not None
        )
        if how == "unsigned":
            body = OnceBody((), cast("int", length))  # only its length is used; httpx sends its own stream
            return signing.plain(request.method, wire, headers, body, "UNSIGNED-PAYLOAD", region)
        if how in ("read", "hash"):
            content = b"".join([checked_block(block) async for block in stream])
            request.stream = httpx.ByteStream(content)
            return signing.attempt(request.method, wire, headers, content, region)
        attempt = Attempt(
            signing, request.method, wire, headers, None, None, region, signed=how == "chunks", length=length
        )
        request.stream = _AsyncFrames(stream, attempt)
        return attempt

    def _begin(self, request: httpx.Request) -> _State:
        old = request.extensions.pop(_KEY, None)
        if isinstance(old, _State):
            old.undo(request)
        target = request.extensions.get("target")
        if target is not None:
            text = target.decode("latin-1") if isinstance(target, bytes) else target
            url = f"{request.url.scheme}://{request.url.netloc.decode('ascii')}{text}"
        else:
            url = str(request.url)
        return _State(wire_of(url, self._signing.service), "target" in request.extensions)

    @staticmethod
    def _finish(request: httpx.Request, state: _State, attempt: Attempt, guard: Any) -> None:
        state.before = attempt.apply(request.headers)
        target = state.wire.target.encode("ascii")
        url = httpx.URL(state.wire.url)
        if url.raw_path == target:
            request.url = url
        else:
            request.extensions["target"] = target  # httpx resolves dot segments; httpcore sends this instead
        state.path = request.url.raw_path
        state.host = request.headers.get("host", state.wire.netloc).encode("latin-1")
        state.user_trace = request.extensions.get("trace")
        request.extensions["trace"] = guard(state)
        request.extensions[_KEY] = state

    def _redirected(
        self, state: _State, response: httpx.Response, region: str | None
    ) -> tuple[httpx.Request | None, str | None]:
        request = response.next_request
        if request is None:
            return None, region
        # Whoever sends `response.next_request` by hand must not carry this signature and token along.
        state.undo(request)
        if not self._follow:
            return None, region
        _, led_to = redirect_region(
            state.wire,
            wire_of(str(request.url), self._signing.service),
            self._signing.service,
            self._signing.redirect_regions,
        )
        return request, led_to or region


class _State:
    """What was signed, kept with the request so that it can be taken off again."""

    def __init__(self, wire: Wire, own_target: bool) -> None:
        self.wire, self._own_target = wire, own_target
        self.path = b""
        self.host = wire.netloc.encode("ascii")
        self.before: dict[str, Any] = {}
        self.user_trace: Any = None

    def undo(self, request: httpx.Request) -> None:
        gone = request.method == "GET" and "content-length" not in request.headers
        restore(request.headers, self.before, body_gone=gone)
        request.extensions.pop(_KEY, None)
        request.extensions.pop("trace", None)
        if self.user_trace is not None:
            request.extensions["trace"] = self.user_trace
        if not self._own_target or request.url.raw_path != self.path:
            request.extensions.pop("target", None)

    def check(self, event: str, info: Any) -> None:
        if not event.endswith(".send_request_headers.started"):
            return
        sent = info["request"]
        if sent.method == b"CONNECT":
            return
        hosts = [value for name, value in sent.headers if name.lower() == b"host"]
        targets = (self.wire.target.encode("ascii"), self.wire.url.encode("ascii"))
        if hosts[:1] != [self.host] or sent.url.target not in targets:
            raise EndpointError(
                f"httpx follows a redirect of {self.wire.netloc} with the first request's signature; it was stopped, "
                "nothing was sent",
                "leave httpx's follow_redirects off and give SigV4Auth(follow_redirects=True)",
            )


def _guard(state: _State) -> Callable[[str, Any], None]:
    def trace(event: str, info: Any) -> None:
        state.check(event, info)
        if state.user_trace is not None:
            state.user_trace(event, info)

    return trace


def _async_guard(state: _State) -> Any:
    async def trace(event: str, info: Any) -> None:
        state.check(event, info)
        if state.user_trace is not None:
            await state.user_trace(event, info)

    return trace


class _Blocks(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body of ours as httpx's stream; `source` is what it was made of. Async only over bytes in memory."""

    def __init__(self, body: FileBody | OnceBody | SignedBody, source: Any) -> None:
        self._body, self.source = body, source

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for block in self._body:
            yield block


class _AsyncFrames(httpx.AsyncByteStream):
    """Signed chunks of an async stream, framed as it is read."""

    def __init__(self, source: httpx.AsyncByteStream, attempt: Attempt) -> None:
        self.source, self._attempt = source, attempt

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._attempt.open_stream is None:
            raise ConfigError("a signed body without a signature")
        framer = Framer(self._attempt.open_stream())
        async for block in self.source:
            for frames in framer.push(checked_block(block)):
                yield frames
        for frames in framer.finish():
            yield frames


def _announced(request: httpx.Request) -> int | None:
    text = request.headers.get("content-length")
    return None if text is None else int(text)


def _sync_body(request: httpx.Request) -> bytes | FileBody | OnceBody | UnknownBody | None:
    stream: Any = request.stream
    if isinstance(stream, _Blocks):
        return body_of(stream.source, None)
    if isinstance(stream, httpx.ByteStream):
        return request.read() or None
    if not isinstance(stream, httpx.SyncByteStream):
        raise ConfigError(
            "a Client needs the body as bytes, a file or an iterable; this one is read by awaiting"
        )
    # httpx announces a file's whole size, wherever it stands: the file itself is asked instead.
    file = getattr(stream, "_stream", None)
    return body_of(file if hasattr(file, "read") else stream, _announced(request))
