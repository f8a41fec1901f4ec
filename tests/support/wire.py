"""Proxies that spoil on purpose what lies between a client and its server: bytes (`SpoiltWire`) or answers (`FaultyAnswers`)."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from support.altering import AlteringProxy


@dataclass(frozen=True)
class Spoil:
    """What happens to one connection.

    Attributes:
        cut_request, cut_response: reset after so many bytes that way (of the wire, TLS included).
        stall_after: from so many request bytes on nothing moves any more.
        drip: bytes a second, for the request.
    """

    cut_request: int | None = None
    cut_response: int | None = None
    stall_after: int | None = None
    drip: int | None = None


class SpoiltWire:
    """Forwards to ``target``. ``spoil(number)`` says what happens to the number-th connection (from 1)."""

    def __init__(
        self, target: tuple[str, int], spoil: Callable[[int], Spoil | None] = lambda _number: None
    ) -> None:
        self.target = target
        self.spoil = spoil
        self.connections = 0
        #: Bytes that came back, by connection.
        self.received: dict[int, int] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while not self._done.is_set():
            ready, _, _ = select.select([self._listener], [], [], 0.05)
            if not ready:
                continue
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(
                target=self._serve,
                args=(sock, self.connections, self.spoil(self.connections) or Spoil()),
                daemon=True,
            )
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket, number: int, spoil: Spoil) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(self.target) as server:
            sent = received = 0
            while not self._done.is_set():
                if spoil.stall_after is not None and sent >= spoil.stall_after:
                    self._done.wait(0.05)
                    continue
                ready, _, _ = select.select([client, server], [], [], 0.05)
                if client in ready:
                    data = client.recv(4096 if spoil.drip or spoil.cut_request is not None else 65536)
                    if not data:
                        return
                    if spoil.drip:
                        time.sleep(len(data) / spoil.drip)
                    sent += len(data)
                    if spoil.cut_request is not None and sent >= spoil.cut_request:
                        return self._reset(client)
                    server.sendall(data)
                if server in ready:
                    data = server.recv(65536)
                    if not data:
                        return
                    received += len(data)
                    self.received[number] = received
                    if spoil.cut_response is not None and received >= spoil.cut_response:
                        return self._reset(client)
                    client.sendall(data)

    @staticmethod
    def _reset(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        sock.close()

    def close(self) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()


class _Collected(bytearray):
    """Takes what a socket would send on."""

    sendall = bytearray.extend


#: What becomes of one request: None, the answer to give without asking the server, or what makes one of the server's
#: own (b"" for none at all: the connection is reset after the server has done its work).
Fault = bytes | Callable[[bytes], bytes] | None


@dataclass
class FaultyAnswers(AlteringProxy):
    """Speaks TLS on both sides, takes every request whole, and answers as ``fault(method, target)`` says."""

    front: ssl.SSLContext = field(default_factory=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    fault: Callable[[str, str], Fault] = lambda _method, _target: None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            super()._serve(self.front.wrap_socket(client, server_side=True))

    def _forward(self, client: socket.socket, request: bytes) -> None:
        method, target, _ = request.partition(b"\r\n")[0].decode("latin-1").split(" ")
        fault = self.fault(method, target)
        if isinstance(fault, bytes):
            client.sendall(fault)
            return
        answer = _Collected()
        super()._forward(answer, request)  # type: ignore[arg-type]
        if changed := bytes(answer) if fault is None else fault(bytes(answer)):
            client.sendall(changed)
        else:
            SpoiltWire._reset(client)


def answer_of(status: int, body: bytes) -> bytes:
    """A whole answer, after which the connection ends."""
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    return f"{head}Content-Type: application/xml\r\n\r\n".encode() + body


def s3_error(status: int, code: str) -> bytes:
    return answer_of(
        status, f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    )


def cut_body(size: int) -> Callable[[bytes], bytes]:
    """The server's answer with the first bytes of its body, as if that were all."""

    def cut(answer: bytes) -> bytes:
        head, _, body = answer.partition(b"\r\n\r\n")
        return answer_of(int(head.split(b" ", 2)[1]), body[:size])

    return cut
