"""Requests written by hand: any host, any raw path, any tampering. And the strangest keys."""

from __future__ import annotations

import http.client
import socket
import ssl
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from s3accel import Credentials, Signer
from s3accel.local import LocalServer

STRANGE_KEYS = [
    "plain.txt",
    "a b+c~d/é//./..%2F",
    "a//b",
    "a/./b",
    "a/../b",
    "/lead",
    "//",
    "trail/",
    "pct%20x",
    "tab\there",
    "!*'();:@&=$,?#[]\"<>\\|^{}",
    "\U0001f600/\U0010fffe.bin",
    "e\u0301 and \u00e9",
    "..",
    ".",
    "k" * 1024,
    "\u00e4" * 512,
]


@dataclass
class Answer:
    """An answer read by hand."""

    status: int
    headers: dict[str, str]
    body: bytes
    closed: bool = False
    error: dict[str, str] = field(default_factory=dict)

    @property
    def code(self) -> str:
        return self.error.get("Code", "")


class Wire:
    """Signed requests written by hand: any host, any raw path, any tampering."""

    def __init__(self, server: LocalServer) -> None:
        self.server = server

    def connect(self, host: str | None = None) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        raw = socket.create_connection(("127.0.0.1", self.server.port), timeout=20)
        # Headers and body go out apart; Nagle's algorithm would hold the body back for 40 ms.
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = ssl.create_default_context(cafile=str(self.server.ca_file))
        name = (host or "127.0.0.1").partition(":")[0]
        connection.sock = context.wrap_socket(raw, server_hostname=name)
        return connection

    def headers(
        self,
        method: str,
        path: str,
        *,
        host: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        payload: str | None = None,
        secret: str | None = None,
        access_key_id: str | None = None,
        region: str | None = None,
        clock: Callable[[], float] | None = None,
        token: str | None = None,
    ) -> dict[str, str]:
        """The headers of a signed request, Host and Content-Length included."""
        host = host or self.server.address
        credentials = Credentials(
            access_key_id or self.server.access_key_id, secret or self.server.secret_access_key, token
        )
        signer = Signer(credentials, region or self.server.region, clock=clock)
        mine = dict(headers or {})
        added = signer.sign(method, f"https://{host}{path}", mine, body if payload is None else payload)
        return {"Host": host, **mine, **added, "Content-Length": str(len(body))}

    def raw(
        self, method: str, path: str, headers: Mapping[str, str], body: Any = b"", host: str | None = None
    ) -> Answer:
        """Send exactly this."""
        connection = self.connect(host)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            if body:
                connection.send(body)
            response = connection.getresponse()
            data = response.read()
            answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, data)
            answer.closed = response.will_close
        finally:
            connection.close()
        if data.startswith(b"<?xml") and b"<Error>" in data[:60]:
            answer.error = {child.tag: child.text or "" for child in ElementTree.fromstring(data)}
        return answer

    def send(
        self, method: str, path: str, *, host: str | None = None, body: bytes = b"", **options: Any
    ) -> Answer:
        """Sign and send."""
        return self.raw(
            method, path, self.headers(method, path, host=host, body=body, **options), body, host=host
        )
