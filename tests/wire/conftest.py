"""Servers on loopback that do exactly what a test says, right or wrong, with or without TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pycurl")
pytest.importorskip("cryptography")

from s3accel.local.tls import CertificateFiles, make_certificates


class Connection:
    """One accepted connection, seen as HTTP/1.1 by a patient reader."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number
        self.file = sock.makefile("rb")

    def head(self) -> tuple[str, str, dict[str, str]] | None:
        """Method, target and headers of the next request, or None at the end."""
        line = self.file.readline()
        if not line:
            return None
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers: dict[str, str] = {}
        while (line := self.file.readline().rstrip(b"\r\n")) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return method, target, headers

    def request(self) -> tuple[str, str, dict[str, str], bytes] | None:
        """The same with the whole body."""
        head = self.head()
        if head is None:
            return None
        return (*head, self.file.read(int(head[2].get("content-length", "0"))))

    def answer(
        self, status: int = 200, body: bytes = b"", headers: str = "", length: int | None = None
    ) -> None:
        size = len(body) if length is None else length
        self.sock.sendall(
            f"HTTP/1.1 {status} X\r\nContent-Length: {size}\r\n{headers}\r\n".encode("latin-1") + body
        )

    def reset(self) -> None:
        """Close so that the peer sees a reset, not an end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.file.close()
        self.sock.close()


Handler = Callable[[Connection], Any]


class Server:
    """Runs ``handler`` for every connection, each in a thread of its own."""

    def __init__(self, handler: Handler, context: ssl.SSLContext | None = None) -> None:
        self.handler = handler
        self.context = context
        self.connections = 0
        self.resumed: list[bool] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http{'s' if context else ''}://localhost:{self.port}"
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self.context is not None:
                secure = self.context.wrap_socket(sock, server_side=True)
                self.resumed.append(bool(secure.session_reused))
                sock = secure
                self._open.append(secure)
            connection = Connection(sock, number)
            try:
                self.handler(connection)
            finally:
                connection.file.close()
        with contextlib.suppress(OSError):
            sock.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._thread.join(5)
        for thread in self._threads:
            thread.join(5)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def ca_file(certificates: CertificateFiles) -> Path:
    return Path(certificates.ca_file)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """``serve(handler, context=None)`` starts a server that is gone after the test."""
    servers: list[Server] = []

    def start(handler: Handler, context: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(handler, context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def tls(certificates: CertificateFiles) -> ssl.SSLContext:
    return certificates.server_context()
