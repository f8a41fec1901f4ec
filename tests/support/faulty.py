"""A TLS proxy on loopback that passes bytes on as they are and breaks requests that a test names."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

ERROR = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
ANSWER = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(ERROR), ERROR)
)


class FaultyProxy:
    """Between a client and the server on ``127.0.0.1:port``, with certificates of its own.

    ``break_first(pattern, how)`` breaks the next request whose first line matches: ``"500"`` takes its body and
    answers 500, ``"cut"`` resets the connection in the middle of the body. ``broken`` counts them.
    """

    def __init__(self, port: int, trusted: Path, chain: Path, key: Path) -> None:
        self._upstream = ("127.0.0.1", port)
        self._outward = ssl.create_default_context(cafile=str(trusted))
        self._inward = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._inward.load_cert_chain(chain, key)
        self._plan: tuple[re.Pattern[bytes], str] | None = None
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self.broken = 0

    def break_first(self, pattern: bytes, how: str) -> None:
        with self._lock:
            self._plan = (re.compile(pattern), how)

    def __enter__(self) -> FaultyProxy:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets.append(self._listener)
        self._run(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            for opened in self._sockets:
                with contextlib.suppress(OSError):
                    opened.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for it
            self._listener.close()

    @staticmethod
    def _run(work: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=work, args=arguments, name="faulty-proxy", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            self._run(self._serve, raw)

    def _serve(self, raw: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
            opened.callback(raw.close)
            client = opened.enter_context(self._inward.wrap_socket(raw, server_side=True))
            plain = socket.create_connection(self._upstream)
            server = opened.enter_context(self._outward.wrap_socket(plain, server_hostname="127.0.0.1"))
            client.settimeout(20)
            server.settimeout(20)
            with self._lock:
                self._sockets += [client, server]
            # One thread for both directions: a TLS connection is not to be used by two at once.
            begins = True  # the next bytes from the client begin a request
            while True:
                ready = [side for side in (client, server) if side.pending()]
                ready = ready or select.select([client, server], [], [])[0]
                piece = _now(ready[-1])
                if piece is None:
                    continue
                if ready[-1] is server:
                    # No client here sends a request before it has the answer to the last.
                    begins = begins or not piece.startswith(b"HTTP/1.1 100")
                    other = client
                else:
                    how = self._fault(piece) if begins else None
                    if how is not None:
                        return self._break(client, piece, how)
                    begins = False
                    other = server
                if not piece:
                    return None
                other.sendall(piece)

    def _fault(self, piece: bytes) -> str | None:
        with self._lock:
            if self._plan is None or not self._plan[0].match(piece.partition(b"\r\n")[0]):
                return None
            how = self._plan[1]
            self._plan = None
            self.broken += 1
            return how

    @staticmethod
    def _break(client: ssl.SSLSocket, data: bytes, how: str) -> None:
        while b"\r\n\r\n" not in data:
            data += client.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        if b"100-continue" in head.lower():
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        chunked = b"transfer-encoding" in head.lower()
        whole = 1 << 60 if chunked else int(length[1]) if length else 0
        enough = whole if how == "500" else min(whole, 100_000) // 2
        while len(body) < enough and not (chunked and body.endswith(b"\r\n0\r\n\r\n")):
            piece = client.recv(65536)
            if not piece:
                return
            body += piece
        if how == "500":
            client.sendall(ANSWER)
        else:
            # No orderly end: the peer sees a reset.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _now(side: ssl.SSLSocket) -> bytes | None:
    """What there is to read; None if that was nothing of the application's (session tickets, half a record)."""
    side.settimeout(0)
    try:
        return side.recv(65536)
    except ssl.SSLWantReadError:
        return None
    finally:
        side.settimeout(20)
