"""One HTTPS request, byte for byte as given, to a loopback port under another host name.

The refusal tests change requests after they were signed. No client library may tidy them up, so this one
writes what it is told.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import unescape

from servers.process import RunningServer


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def element(self, name: str) -> str | None:
        """Text of an element of S3's flat error document."""
        found = re.search(f"<{name}>(.*?)</{name}>", self.body.decode("utf-8", "replace"), re.DOTALL)
        return unescape(found.group(1)) if found else None


def send(
    server: RunningServer,
    method: str,
    host: str,
    target: str,
    headers: Iterable[tuple[str, str]],
    body: bytes,
) -> Answer:
    context = ssl.create_default_context(cafile=str(server.ca_file))
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection = http.client.HTTPConnection(host)
    connection.sock = context.wrap_socket(raw, server_hostname=host)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", host)
        for name, value in headers:
            connection.putheader(name, value)
        # A server may refuse before it read everything; its answer is there to be read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.endheaders(body)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, response.read(), found)
    finally:
        connection.close()
