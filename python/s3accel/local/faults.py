"""Faults on demand, so that tests can see how a client behaves when the service does not.

``LocalServer(fault=hook)`` calls ``hook(request)`` once a request, after it was parsed and before its
signature is checked. The hook returns None (answer normally) or one of the actions below. It runs on the
server's event loop, so it must be quick and must not block; use :class:`Slow` to wait. An exception in it
becomes a 500.

    def hook(request):
        if request.operation == "UploadPart" and next(counter) == 3:
            return Answer(503, "SlowDown", "Please reduce your request rate.")
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class FaultRequest:
    """What a hook sees of a request. ``number`` counts requests of this server from 1."""

    number: int
    method: str
    host: str
    target: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    operation: str
    bucket: str | None
    key: str | None

    def header(self, name: str) -> str | None:
        """The first value of a header, by lower-case name."""
        return next((value for found, value in self.headers if found.lower() == name.lower()), None)


@dataclass(frozen=True)
class Answer:
    """Answer with this status instead of working.

    Without ``body`` an S3 error document is made from ``code`` and ``message``. With ``read_body`` the
    request body is read (and thrown away) first, as a service does that fails late.
    """

    status: int
    code: str = "InternalError"
    message: str = "We encountered an internal error. Please try again."
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    read_body: bool = True


@dataclass(frozen=True)
class Cut:
    """Reset the connection.

    ``after_bytes`` body bytes were read (0: at once); with ``after_work`` the operation is carried out and
    only its answer is lost.
    """

    after_bytes: int = 0
    after_work: bool = False


@dataclass(frozen=True)
class Slow:
    """Wait ``seconds`` before the request is handled normally; ``per_mebibyte`` is waited for each MiB of
    body read."""

    seconds: float = 0.0
    per_mebibyte: float = 0.0


FaultAction = Answer | Cut | Slow
FaultHook = Callable[[FaultRequest], "FaultAction | None"]


def abort_connection(receive: Callable[[], Awaitable[Any]]) -> bool:
    """Reset the connection behind an ASGI ``receive``; False if the server does not show its transport.

    ASGI has no word for this. Under uvicorn ``receive`` is a bound method of the request cycle, which holds
    the asyncio transport.
    """
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        return False
    transport.abort()
    return True


def resume_connection(receive: Callable[[], Awaitable[Any]]) -> None:
    """Let the connection behind an ASGI ``receive`` be read again, where the server shows how.

    uvicorn pauses it while much of a body waits to be asked for. A client that closes in that moment is not
    noticed, and asyncio's TLS layer (CPython 3.11, ``sslproto.eof_received``) then ignores every later close:
    the connection would stay until the process ends.
    """
    flow = getattr(getattr(receive, "__self__", None), "flow", None)
    if flow is not None:
        flow.resume_reading()
