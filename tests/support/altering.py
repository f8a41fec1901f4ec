"""A proxy on loopback that really alters what goes through it, as bad proxies do, and a client that does not tidy."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType


@dataclass
class Message:
    """One request on its way: request line and header lines as they stand, and the body."""

    line: str
    headers: list[str]
    body: bytes = b""

    def target(self, change: Callable[[str], str]) -> None:
        method, target, version = self.line.split(" ")
        self.line = f"{method} {change(target)} {version}"

    def method(self, method: str) -> None:
        self.line = f"{method} {self.line.partition(' ')[2]}"

    def index(self, name: str) -> int:
        return next(i for i, line in enumerate(self.headers) if line.lower().startswith(f"{name.lower()}:"))

    def value(self, name: str) -> str:
        return self.headers[self.index(name)].partition(":")[2].strip()

    def set(self, name: str, value: str) -> None:
        self.headers[self.index(name)] = f"{name}: {value}"

    def add(self, name: str, value: str) -> None:
        self.headers.append(f"{name}: {value}")

    def drop(self, name: str) -> None:
        del self.headers[self.index(name)]

    def replace_body(self, body: bytes) -> None:
        self.body = body
        self.set("Content-Length", str(len(body)))

    def encode(self) -> bytes:
        head = "\r\n".join([self.line, *self.headers, "", ""])
        return head.encode("latin-1") + self.body


def read_head(source: socket.socket) -> tuple[bytes, bytes]:
    """Everything up to the empty line, and what came behind it."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = source.recv(65536)
        if not piece:
            return b"", b""
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def content_length(lines: Iterable[str]) -> int:
    for line in lines:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


@dataclass
class AlteringProxy:
    """Takes plain HTTP/1.1, changes each request with ``alter``, and passes it on; one request a connection.

    ``upstream``: address. ``context`` and ``server_name``: TLS towards it.
    """

    upstream: tuple[str, int]
    alter: Callable[[Message], None] = lambda message: None
    context: ssl.SSLContext | None = None
    server_name: str | None = None
    seen: list[bytes] = field(default_factory=list)  #: the requests as they were passed on

    def __enter__(self) -> AlteringProxy:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept, name="altering-proxy", daemon=True)
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # shutdown wakes the thread that waits in accept; close alone does not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(5)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(20)
            head, body = read_head(client)
            if not head:
                return
            lines = head.decode("latin-1").split("\r\n")
            if any(line.lower().replace(" ", "") == "expect:100-continue" for line in lines):
                client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = content_length(lines)
            while len(body) < length:
                piece = client.recv(65536)
                if not piece:
                    return
                body += piece
            hops = ("connection:", "expect:", "keep-alive:")
            headers = [line for line in lines[1:] if not line.lower().startswith(hops)]
            message = Message(lines[0], [*headers, "Connection: close"], body)
            self.alter(message)
            self._forward(client, message.encode())

    def _forward(self, client: socket.socket, request: bytes) -> None:
        self.seen.append(request)
        raw = socket.create_connection(self.upstream, timeout=20)
        upstream = (
            raw if self.context is None else self.context.wrap_socket(raw, server_hostname=self.server_name)
        )
        with upstream:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                upstream.sendall(request)
            while piece := upstream.recv(65536):
                client.sendall(piece)


def send(port: int, method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> bytes:
    """One request, byte for byte as given, through the proxy on ``port``: the raw answer."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall("\r\n".join(lines).encode("latin-1") + body)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer
