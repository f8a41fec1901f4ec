"""One request in flight on one libcurl handle: the callbacks, and what they collected.

libcurl calls these from inside ``perform()``. An exception must not leave a callback (libcurl is C), so it is kept
and raised again when ``perform()`` is back.
"""

from __future__ import annotations

import hashlib
import re
import select
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

from s3accel.errors import TransportError
from s3accel.transfer.limits import Throttle
from s3accel.transfer.messages import Certificate, Headers, Request

__all__ = ["Exchange", "certificate_from", "handshake_of"]

#: libcurl's text about the handshake, with OpenSSL ("TLSv1.3 / TLS_AES_256_GCM_SHA384 / X25519 / RSASSA-PSS") and
#: with GnuTLS ("TLS1.3 / ECDHE_RSA_AES_256_GCM_SHA384"). pycurl has no getinfo for it (CURLINFO_TLS_SSL_PTR gives
#: a C pointer), and the text comes once per connection.
_HANDSHAKE = re.compile(r"SSL connection using ([^ /]+) / ([^ /]+)(?: / ([^ /]+))?")
_RESUMED = re.compile(r"SSL reus(?:ed|ing) session", re.IGNORECASE)

#: How often a read may be put off because the server has something to say (see ``read``).
MAX_PAUSES = 16


class Exchange:
    """State of one request. Bound to a handle once, reset for every request."""

    def __init__(self, curl: Any, buffers: bool, throttle: Throttle) -> None:
        self._curl = curl
        self._throttle = throttle
        self._buffers = buffers
        self._pollers: dict[tuple[str, str], Any] = {}
        self._origin = ("", "")
        self.reset(None)

    def reset(self, request: Request | None) -> None:
        self.request = request
        self.error: BaseException | None = None
        self.status = 0
        self.http_version = ""
        self.headers: list[tuple[str, str]] = []
        self.body = bytearray()
        self.sent = 0
        self.length = 0
        self.tls: tuple[str, str, str] | None = None
        self.resumed = False
        self._writer: Callable[[bytes], object] | None = None
        self._frames: Iterator[bytes | memoryview] | None = None
        self._rest = memoryview(b"")
        self._paused = False
        self._pauses = 0
        if request is not None and request.body is not None:
            self.length = request.body.length
            self._frames = request.body.frames()

    # -- sending

    def read(self, size: int) -> bytes | memoryview | int:
        """READFUNCTION: the next bytes of the body, whole frames where they fit."""
        try:
            while not self._rest:
                if self._frames is None:
                    return b""
                frame = next(self._frames, None)
                if frame is None:
                    self._frames = None
                    if self.sent < self.length:
                        raise TransportError(
                            f"the body ended after {self.sent} of {self.length} bytes",
                            phase="send",
                            retryable=False,
                        )
                    return b""
                self._rest = memoryview(frame)
            if self._has_answer():
                # Bytes of an answer wait on the socket although the body is not sent yet: most likely a refusal,
                # after which the server resets the connection. Were more sent now, the reset would swallow the
                # answer; so libcurl gets a chance to read first. (A TLS session ticket looks the same from here,
                # hence only a bounded number of times.)
                self._paused = True
                return int(self._curl.READFUNC_PAUSE)
            if self._throttle.rate is not None:
                size = self._slowed(size)
            block = self._rest[:size]
            self._rest = self._rest[size:]
            self.sent += len(block)
            return block if self._buffers else bytes(block)
        except BaseException as exc:  # noqa: BLE001 (kept, raised again by the transport)
            self.error = exc
            return int(self._curl.READFUNC_ABORT)

    def _slowed(self, size: int) -> int:
        """Wait for what was sent before; then how much may be sent now."""
        request, wait = self.request, self._throttle.wait()
        while wait > 0:
            if request is not None and request.cancelled is not None and request.cancelled():
                break
            time.sleep(min(wait, 0.25))
            wait = self._throttle.wait()  # the rate may have been changed meanwhile
        size = min(self._throttle.portion(size), len(self._rest))
        self._throttle.take(size)
        return size

    def _has_answer(self) -> bool:
        poller = self._pollers.get(self._origin)
        if poller is None or self.sent == 0 or self._pauses >= MAX_PAUSES:
            return False
        if not any(event & select.POLLIN for _, event in poller.poll(0)):
            return False
        self._pauses += 1
        return True

    def socket_opened(self, fd: int, _purpose: int) -> int:
        """SOCKOPTFUNCTION: remember the socket, so that ``read`` can look whether an answer waits on it."""
        if hasattr(select, "poll"):
            poller = select.poll()
            poller.register(fd, select.POLLIN)
            self._pollers[self._origin] = poller
        return 0

    def use_socket_of(self, origin: tuple[str, str]) -> None:
        """The request about to run goes to ``origin``; its socket, if it has one, is the one to look at."""
        self._origin = origin

    def progress(self, *_counts: int) -> int:
        """XFERINFOFUNCTION: goes on after a pause; ends the request when it was cancelled."""
        try:
            if self._paused:
                self._paused = False
                self._curl.pause(self._curl.PAUSE_CONT)
            request = self.request
            if (
                request is not None
                and request.cancelled is not None
                and (self.sent < self.length or request.sink is not None)
                and request.cancelled()
            ):
                raise TransportError(
                    f"{request.method} was cancelled after {self.sent} of {self.length} bytes",
                    host=request.host,
                    phase="send" if self.sent < self.length else "receive",
                    retryable=False,
                )
            return 0
        except BaseException as exc:  # noqa: BLE001 (also KeyboardInterrupt: it must not be lost in C)
            self.error = self.error or exc
            return 1

    # -- receiving

    def header(self, line: bytes) -> None:
        """HEADERFUNCTION: one line. A status line (100 Continue, then the real one) starts afresh."""
        text = bytes(line).decode("latin-1").rstrip("\r\n")
        if text.startswith("HTTP/"):
            version, _, rest = text.partition(" ")
            self.http_version = version[5:]
            self.status = int(rest[:3]) if rest[:3].isdigit() else 0
            self.headers = []
        elif text:
            name, _, value = text.partition(":")
            self.headers.append((name.strip().lower(), value.strip()))

    def write(self, data: bytes) -> int | None:
        """WRITEFUNCTION: to the sink if the answer is a success, else into memory, bounded."""
        try:
            request = self.request
            if request is None:
                return None
            if request.sink is not None and 200 <= self.status < 300:
                if self._writer is None:
                    self._writer = request.sink(self.response_headers())
                self._writer(bytes(data))
            elif len(self.body) + len(data) > request.max_body:
                raise TransportError(
                    f"the answer's body is larger than {request.max_body} bytes",
                    host=request.host,
                    phase="receive",
                    retryable=False,
                )
            else:
                self.body += data
            return None
        except BaseException as exc:  # noqa: BLE001 (kept, raised again by the transport)
            self.error = exc
            return 0

    def finish(self) -> None:
        """After ``perform()``: a sink is opened for an empty body too."""
        request = self.request
        if (
            request is not None
            and request.sink is not None
            and 200 <= self.status < 300
            and self._writer is None
        ):
            self._writer = request.sink(self.response_headers())

    def debug(self, kind: int, data: bytes) -> None:
        """DEBUGFUNCTION: only libcurl's own text (kind 0), and of that only what says something about TLS.

        Requests and bodies (other kinds) are neither kept nor logged: they hold signatures and tokens.
        """
        if kind != 0:
            return
        tls, resumed = handshake_of(data)
        self.tls = tls or self.tls
        self.resumed = self.resumed or resumed

    def response_headers(self) -> Headers:
        return Headers(self.headers)


def handshake_of(data: bytes) -> tuple[tuple[str, str, str] | None, bool]:
    """What a line of libcurl's text says: TLS version, cipher and group (or None); whether a session is resumed."""
    text = bytes(data).decode("latin-1", "replace")
    found = _HANDSHAKE.search(text)
    if found:
        version = found[1] if found[1].startswith("TLSv") else found[1].replace("TLS", "TLSv")
        return (version, found[2], found[3] or ""), False
    return None, bool(_RESUMED.search(text))


def certificate_from(chain: Any) -> Certificate | None:
    """The leaf of CURLINFO_CERTINFO, or None if the TLS library told nothing."""
    if not chain:
        return None
    fields = dict(chain[0])
    digest = ""
    if fields.get("Cert"):
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(fields["Cert"])).hexdigest()
    return Certificate(
        subject=fields.get("Subject", ""),
        issuer=fields.get("Issuer", ""),
        expires=fields.get("Expire date", ""),
        sha256=digest,
    )
