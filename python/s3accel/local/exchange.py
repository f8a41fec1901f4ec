"""One HTTP exchange over ASGI: the request exactly as it was received, and the answer to it."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from .conditions import http_date
from .faults import abort_connection, resume_connection
from .names import origin_form, parse_query
from .refusals import ClientGone, Refusal

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SERVER_NAME = "s3accel-local"
MAX_HEAD_BYTES = 32 * 1024
"""Target and headers together. S3 documents 8 KiB for headers; a presigned URL with a 1,024-byte key needs
more."""

DRAIN_BYTES = 64 * 1024 * 1024
DRAIN_SECONDS = 5.0
"""How much of a refused body is still read, so that a client that sends first and reads later sees the
answer instead of a reset connection."""


class Request:
    """A request as it came: raw target, header list in order with duplicates, body as a stream."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.receive = receive
        self.send = send
        self.method: str = scope["method"]
        self.scheme: str = scope.get("scheme", "http")
        raw_path = scope.get("raw_path")
        # raw_path is optional in ASGI. Without it the path was decoded by the server and cannot be verified.
        if raw_path is None:
            raise RuntimeError("the ASGI server gives no raw_path; run the endpoint under uvicorn")
        # Hypercorn leaves the query in raw_path, uvicorn does not.
        self.raw_path = origin_form(raw_path.decode("latin-1").partition("?")[0])
        self.raw_query: str = scope.get("query_string", b"").decode("latin-1")
        self.target = f"{self.raw_path}?{self.raw_query}" if self.raw_query else self.raw_path
        self.headers: list[tuple[str, str]] = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ]
        self._by_name: dict[str, str] = {}
        for name, value in self.headers:
            name, value = name.lower(), value.strip(" \t")
            # Repeated headers read as one list, which is also how they are signed.
            self._by_name[name] = f"{self._by_name[name]},{value}" if name in self._by_name else value
        self._query: dict[str, str] | None = None
        self.request_id = secrets.token_hex(8).upper()
        self.host_id = base64.b64encode(secrets.token_bytes(48)).decode("ascii")
        self.received = 0
        self._started = False
        self.cut_after: int | None = None
        self.seconds_per_byte = 0.0
        self.chunked = "transfer-encoding" in self._by_name
        length = self._by_name.get("content-length")
        self.content_length = (
            int(length) if length is not None and length.isascii() and length.isdigit() else None
        )
        self.ended = not self.chunked and not self.content_length

    def header(self, name: str) -> str | None:
        """A header by lower-case name; a repeated one as a comma-separated list."""
        return self._by_name.get(name)

    def amz(self, name: str) -> str | None:
        """An ``x-amz-*`` value: the header, or the query parameter of that name (presigned URLs may carry
        it there)."""
        found = self._by_name.get(name)
        if found is None and self.raw_query:
            found = next((value for key, value in self.query.items() if key.lower() == name), None)
        return found

    @property
    def host(self) -> str:
        return self._by_name.get("host", "")

    @property
    def query(self) -> dict[str, str]:
        """The decoded query. Raises Refusal (InvalidArgument) for a repeated name, whose meaning would be a
        guess."""
        if self._query is None:
            pairs = parse_query(self.raw_query)
            query = dict(pairs)
            if len(query) != len(pairs):
                raise Refusal("InvalidArgument", 400, "A query parameter was given more than once")
            self._query = query
        return self._query

    def check_head(self) -> None:
        """Refuse oversized heads and a repeated or missing Host."""
        if (
            len(self.target) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            > MAX_HEAD_BYTES
        ):
            raise Refusal(
                "RequestHeaderSectionTooLarge",
                400,
                "Your request header and query parameters used to make the request exceed the "
                "maximum allowed size.",
                {"MaxSizeAllowed": str(MAX_HEAD_BYTES)},
            )
        if sum(1 for name, _ in self.headers if name.lower() == "host") != 1:
            raise Refusal("InvalidRequest", 400, "A request needs exactly one Host header")

    async def chunk(self) -> bytes | None:
        """The next piece of the body as received; None at its end. Raises ClientGone."""
        while not self.ended:
            self._started = True
            message = await self.receive()
            if message["type"] != "http.request":
                raise ClientGone
            self.ended = not message.get("more_body", False)
            body: bytes = message.get("body", b"")
            if body:
                self.received += len(body)
                if self.seconds_per_byte:
                    await asyncio.sleep(len(body) * self.seconds_per_byte)
                if self.cut_after is not None and self.received >= self.cut_after:
                    abort_connection(self.receive)
                    raise ClientGone
                return body
        return None

    @property
    def waits_for_continue(self) -> bool:
        """Whether the client holds its body back until it is asked for it (which the first ``receive``
        does)."""
        return not self._started and "100-continue" in self._by_name.get("expect", "").lower()

    async def drain(self) -> None:
        """Read and drop the rest of the body, within limits."""
        limit = self.received + DRAIN_BYTES

        async def swallow() -> None:
            while self.received < limit and await self.chunk() is not None:
                pass

        try:
            await asyncio.wait_for(swallow(), DRAIN_SECONDS)
        except (ClientGone, asyncio.TimeoutError):
            self.ended = True


@dataclass
class Reply:
    """An answer.

    ``stream`` (an iterator of blocks, read in a thread) is sent instead of ``body`` if given; ``length`` is
    then its length, and ``first`` where it starts in the object. ``done`` is called once the answer is out,
    or lost.
    """

    status: int = 200
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    stream: Iterator[bytes] | None = None
    length: int | None = None
    first: int = 0
    xml: bool = True
    done: Callable[[], None] | None = None

    def add(self, name: str, value: str | None) -> None:
        if value is not None:
            self.headers.append((name, value))


async def send_reply(request: Request, reply: Reply, now: float) -> None:
    """Send an answer. If the request body was not read to its end the connection is closed after it."""
    length = len(reply.body) if reply.length is None else reply.length
    headers = [
        (b"x-amz-id-2", request.host_id.encode("ascii")),
        (b"x-amz-request-id", request.request_id.encode("ascii")),
        (b"date", http_date(now).encode("ascii")),
        (b"server", SERVER_NAME.encode("ascii")),
    ]
    if reply.body and reply.xml:
        headers.append((b"content-type", b"application/xml"))
    headers += [
        (name.lower().encode("ascii"), value.encode("latin-1", "replace")) for name, value in reply.headers
    ]
    if reply.status not in (204, 304):
        headers.append((b"content-length", str(length).encode("ascii")))
    unread = not request.ended
    if unread:
        headers.append((b"connection", b"close"))
    await request.send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if request.method == "HEAD" or reply.status in (204, 304):
        await request.send({"type": "http.response.body", "body": b"", "more_body": False})
        return
    if reply.stream is not None:
        await _send_stream(request, reply.stream)
        return
    if unread and not request.waits_for_continue:
        # The whole answer goes out first; what the client still sends is then dropped before the connection
        # closes.
        await request.send({"type": "http.response.body", "body": reply.body, "more_body": True})
        await request.drain()
        resume_connection(request.receive)
        await request.send({"type": "http.response.body", "body": b"", "more_body": False})
        return
    await request.send({"type": "http.response.body", "body": reply.body, "more_body": False})


async def _send_stream(request: Request, blocks: Iterator[bytes]) -> None:
    end = object()
    while True:
        block = await asyncio.to_thread(next, blocks, end)
        if not isinstance(block, bytes):
            break
        await request.send({"type": "http.response.body", "body": block, "more_body": True})
    await request.send({"type": "http.response.body", "body": b"", "more_body": False})
