"""A TCP proxy that spoils connections on purpose: what lies between a client and its server is bytes, not requests."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


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
                target=self._serve, args=(sock, self.spoil(self.connections) or Spoil()), daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket, spoil: Spoil) -> None:
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
