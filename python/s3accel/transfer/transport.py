"""Bytes to the server and back: one method, over libcurl.

The transport signs nothing, retries nothing and follows nothing. It verifies TLS, keeps connections alive, reports
what it observed, and turns libcurl's errors into ours.
"""

from __future__ import annotations

import importlib
import logging
import os
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import urlsplit

from s3accel.errors import (
    ConfigError,
    ConnectError,
    ConnectionLost,
    TlsError,
    TransferTimeout,
    TransportError,
)
from s3accel.redact import redact_text, redact_url
from s3accel.transfer.exchange import Exchange, certificate_from
from s3accel.transfer.messages import ConnectionInfo, Request, Response
from s3accel.transfer.pool import Handle, HandlePool

__all__ = ["CurlTransport", "Transport"]

log = logging.getLogger("s3accel.transfer")

#: libcurl reads bodies larger than this through its largest buffer (2 MiB), smaller ones through its usual 64 KiB.
LARGE_BODY = 64 * 1024
LARGE_BUFFER = 2 * 1024 * 1024
#: A handle that rested this long (seconds) may have lost its connection: the next handshake is watched.
WATCH_AFTER = 1.0

_TLS_VERSIONS = {"1.2": "SSLVERSION_TLSv1_2", "1.3": "SSLVERSION_TLSv1_3"}
#: Forward secrecy and AEAD only, for TLS 1.2 (1.3 has nothing else). OpenSSL's words, so only given to OpenSSL.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL"


class Transport(Protocol):
    """What the S3 calls need. A fake with this one method tests everything above it."""

    def send(self, request: Request) -> Response:
        """Send, receive, return the answer whatever its status. Raises TransportError if there is none."""


def _load_pycurl() -> Any:
    try:
        return importlib.import_module("pycurl")
    except ImportError as exc:
        raise ConfigError(
            f"the transfer layer needs pycurl, which cannot be imported ({exc}): pip install 's3accel[transfer]'"
        ) from exc


class CurlTransport:
    """HTTP/1.1 over libcurl's easy handles, one per request in flight. Thread-safe.

    Args:
        ca_file: PEM file of the authorities to trust; None: the system's (or SSL_CERT_FILE, SSL_CERT_DIR).
        connect_to: ``{"host:port": "address:port"}``: where to connect for a host name; TLS and the Host header
            keep the name. ``"*.example.com:443"`` and ``"*"`` match many.
        tls_min: ``"1.2"`` or ``"1.3"``.
        max_connections: handles, and so requests in flight; more wait.
        connect_timeout: seconds for name lookup, connection and handshake.
        stall_seconds: with less than ``stall_bytes`` a second for so long, a request ends.
        proxy: as curl's; None: from the environment (https_proxy, no_proxy); "" for none.
        user_agent: sent, never signed.
    """

    def __init__(
        self,
        *,
        ca_file: str | os.PathLike[str] | None = None,
        connect_to: Mapping[str, str] | None = None,
        tls_min: str = "1.2",
        max_connections: int = 64,
        connect_timeout: float = 10.0,
        stall_seconds: float = 60.0,
        stall_bytes: int = 1,
        proxy: str | None = None,
        user_agent: str = "s3accel",
    ) -> None:
        if tls_min not in _TLS_VERSIONS:
            raise ConfigError(f"tls_min is {tls_min!r}; it can be '1.2' or '1.3'")
        if ca_file is not None and not os.path.isfile(ca_file):
            raise ConfigError(f"ca_file {os.fspath(ca_file)!r} is no file")
        self._pycurl = _load_pycurl()
        version = self._pycurl.version.split()[0].rpartition("/")[2].split(".")
        # Since 7.46 pycurl takes any buffer from a read callback; before, a copy as bytes is needed.
        self._buffers = tuple(int(part) for part in version[:2] if part.isdigit()) >= (7, 46)
        self._ca_file = None if ca_file is None else os.fspath(ca_file)
        self._connect_to = _ConnectTo(connect_to or {})
        self._tls_min = tls_min
        self._connect_timeout = connect_timeout
        self._stall_seconds = stall_seconds
        self._stall_bytes = stall_bytes
        self._proxy = proxy
        self._user_agent = user_agent
        self._pool = HandlePool(max_connections, self._new_share, self._new_handle)

    # -- handles

    def _new_share(self) -> Any:
        """DNS and TLS sessions are shared by all handles; connections are not (libcurl cannot, across threads)."""
        share = self._pycurl.CurlShare()
        share.setopt(self._pycurl.SH_SHARE, self._pycurl.LOCK_DATA_DNS)
        share.setopt(self._pycurl.SH_SHARE, self._pycurl.LOCK_DATA_SSL_SESSION)
        return share

    def _new_handle(self, share: Any) -> Handle:
        lib = self._pycurl
        curl = lib.Curl()
        exchange = Exchange(curl, self._buffers)
        setopt = curl.setopt
        setopt(lib.SHARE, share)
        setopt(lib.NOSIGNAL, 1)
        setopt(lib.HTTP_VERSION, lib.CURL_HTTP_VERSION_1_1)
        setopt(
            lib.PATH_AS_IS, 1
        )  # S3 keys may hold dot segments and double slashes; the path is signed as it is.
        setopt(lib.FOLLOWLOCATION, 0)
        setopt(lib.HTTP_CONTENT_DECODING, 0)  # objects come back as they were stored
        setopt(lib.HTTP09_ALLOWED, 0)
        setopt(lib.NETRC, 0)
        if hasattr(lib, "PROTOCOLS_STR"):
            setopt(lib.PROTOCOLS_STR, "http,https")
        else:
            setopt(lib.PROTOCOLS, lib.PROTO_HTTP | lib.PROTO_HTTPS)
        setopt(lib.SSL_VERIFYPEER, 1)
        setopt(lib.SSL_VERIFYHOST, 2)
        setopt(lib.SSLVERSION, getattr(lib, _TLS_VERSIONS[self._tls_min]))
        setopt(lib.OPT_CERTINFO, 1)
        if "OpenSSL" in lib.version or "LibreSSL" in lib.version:
            setopt(lib.SSL_CIPHER_LIST, _CIPHERS)
        for option, value in self._trust().items():
            setopt(getattr(lib, option), value)
        setopt(lib.CONNECTTIMEOUT_MS, max(1, int(self._connect_timeout * 1000)))
        setopt(lib.LOW_SPEED_LIMIT, self._stall_bytes)
        setopt(lib.TCP_KEEPALIVE, 1)
        setopt(lib.USERAGENT, self._user_agent)
        setopt(lib.HEADEROPT, lib.HEADER_SEPARATE)  # a proxy must not see Authorization in CONNECT
        if self._proxy is not None:
            setopt(lib.PROXY, self._proxy)
            setopt(lib.NOPROXY, "")  # what was given here beats no_proxy in the environment
        setopt(lib.READFUNCTION, exchange.read)
        setopt(lib.WRITEFUNCTION, exchange.write)
        setopt(lib.HEADERFUNCTION, exchange.header)
        setopt(lib.DEBUGFUNCTION, exchange.debug)
        setopt(lib.SOCKOPTFUNCTION, exchange.socket_opened)
        setopt(lib.XFERINFOFUNCTION, exchange.progress)
        return Handle(curl, exchange)

    def _trust(self) -> dict[str, str]:
        """libcurl in a wheel knows the paths of the machine it was built on, Python those of this one."""
        if self._ca_file is not None:
            return {"CAINFO": self._ca_file}
        paths = ssl.get_default_verify_paths()
        found = {"CAINFO": paths.cafile, "CAPATH": paths.capath}
        return {option: value for option, value in found.items() if value}

    # -- sending

    def send(self, request: Request) -> Response:
        """Send ``request`` and return the answer, whatever its status.

        Raises TransportError (ConnectError, TlsError, TransferTimeout, ConnectionLost) if there is no answer, and
        whatever the body or the sink raised.
        """
        parts = urlsplit(request.url)
        origin = (parts.scheme, parts.netloc)
        handle = self._pool.take(origin)
        healthy = False
        started = time.monotonic()
        try:
            self._prepare(handle, request, origin)
            failure = None
            try:
                handle.curl.perform()
            except self._pycurl.error as exc:
                failure = exc
            if handle.exchange.error is not None:
                raise handle.exchange.error  # kept by a callback: the true cause of whatever libcurl says
            if failure is not None and not self._salvaged(handle, failure):
                raise self._translate(handle, request, failure) from failure
            handle.exchange.finish()
            response = self._response(handle, request, origin)
            healthy = failure is None and response.headers.get("connection").lower() != "close"
        except ConnectionLost:
            # What was idle as long as this one has most likely been cut by the same hand.
            self._pool.drop_idle(origin)
            raise
        finally:
            handle.exchange.reset(None)
            self._pool.give(handle, origin, keep=healthy)
        if log.isEnabledFor(logging.DEBUG):
            log.debug(
                "%s %s -> %d in %.3f s (%s, %s)",
                request.method,
                redact_url(request.url),
                response.status,
                time.monotonic() - started,
                response.connection.address,
                "reused"
                if response.connection.reused
                else f"new, {response.connection.tls_version or 'no TLS'}",
            )
        return response

    def _prepare(self, handle: Handle, request: Request, origin: tuple[str, str]) -> None:
        lib = self._pycurl
        curl = handle.curl
        setopt = curl.setopt
        handle.exchange.reset(request)
        body = request.body
        setopt(lib.URL, request.url)
        if body is not None:
            setopt(lib.NOBODY, 0)
            setopt(lib.UPLOAD, 1)
            setopt(lib.INFILESIZE_LARGE, body.length)
            buffer = LARGE_BUFFER if body.length > LARGE_BODY else LARGE_BODY
            if handle.buffer != buffer:
                setopt(lib.UPLOAD_BUFFERSIZE, buffer)
                handle.buffer = buffer
        elif request.method == "HEAD":
            setopt(lib.UPLOAD, 0)
            setopt(lib.NOBODY, 1)
        else:
            setopt(lib.NOBODY, 0)
            setopt(lib.HTTPGET, 1)
        setopt(lib.CUSTOMREQUEST, request.method)
        setopt(lib.HTTPHEADER, _header_lines(request))
        target = self._connect_to.lookup(origin)
        if target != handle.connect_to:
            if target is None:
                curl.unsetopt(lib.CONNECT_TO)
            else:
                setopt(lib.CONNECT_TO, [target])
            handle.connect_to = target
        stall = request.stall_seconds if request.stall_seconds is not None else self._stall_seconds
        setopt(lib.LOW_SPEED_TIME, max(1, round(stall)))
        # The handshake is told in libcurl's debug text, which costs a copy of every byte sent, so it is only asked
        # for when a new connection is likely.
        watch = origin not in handle.connections or time.monotonic() - handle.since >= WATCH_AFTER
        setopt(lib.VERBOSE, int(watch))
        handle.exchange.use_socket_of(origin)
        # The progress callback resumes a paused read, looks at cancellation and lets Ctrl-C through.
        long = body is not None and body.length > LARGE_BODY
        setopt(lib.NOPROGRESS, int(not (long or threading.current_thread() is threading.main_thread())))

    def _response(self, handle: Handle, request: Request, origin: tuple[str, str]) -> Response:
        exchange = handle.exchange
        info = self._connection(handle, request, origin)
        return Response(exchange.status, exchange.response_headers(), bytes(exchange.body), info)

    def _connection(self, handle: Handle, request: Request, origin: tuple[str, str]) -> ConnectionInfo:
        curl, lib, exchange = handle.curl, self._pycurl, handle.exchange
        known = handle.connections.get(origin)
        if known is not None and curl.getinfo(lib.NUM_CONNECTS) == 0:
            return known
        address = curl.getinfo(lib.PRIMARY_IP)
        address = f"[{address}]" if ":" in address else address
        tls = exchange.tls or (None, None, None)
        info = ConnectionInfo(
            host=request.host,
            address=f"{address}:{curl.getinfo(lib.PRIMARY_PORT)}",
            http_version=exchange.http_version,
            tls_version=tls[0],
            cipher=tls[1],
            key_exchange=tls[2] or None,
            resumed=exchange.resumed,
            certificate=certificate_from(curl.getinfo(lib.INFO_CERTINFO)) if origin[0] == "https" else None,
        )
        handle.connections[origin] = replace(info, reused=True)
        return info

    # -- errors

    def _salvaged(self, handle: Handle, exc: Exception) -> bool:
        """True if a complete answer came although libcurl failed: a server may answer and reset at once."""
        exchange = handle.exchange
        if handle.curl.getinfo(self._pycurl.HTTP_CONNECTCODE) not in (0, 200):
            return False  # that was the proxy's answer
        if exchange.status < 300 or exc.args[0] not in self._lost():
            return False
        length = Response(exchange.status, exchange.response_headers()).headers.get("content-length")
        return length.isdigit() and int(length) == len(exchange.body)

    def _lost(self) -> tuple[int, ...]:
        lib = self._pycurl
        return (
            lib.E_SEND_ERROR,
            lib.E_RECV_ERROR,
            lib.E_GOT_NOTHING,
            lib.E_PARTIAL_FILE,
            lib.E_SEND_FAIL_REWIND,
        )

    def _translate(self, handle: Handle, request: Request, exc: Exception) -> BaseException:
        """libcurl's error as ours."""
        exchange, lib = handle.exchange, self._pycurl
        number, text = exc.args[0], redact_text(str(exc.args[1]) if len(exc.args) > 1 else "")
        host = request.host
        what = f"{request.method} to {host}"
        # What libcurl has taken from us may still lie in its buffer; this is what went to the socket.
        gone = handle.curl.getinfo(lib.SIZE_UPLOAD_T) if hasattr(lib, "SIZE_UPLOAD_T") else exchange.sent
        sent = f"after {gone} of {exchange.length} bytes" if exchange.length else "before an answer"
        if number in (lib.E_COULDNT_RESOLVE_HOST, lib.E_COULDNT_RESOLVE_PROXY, lib.E_COULDNT_CONNECT):
            return ConnectError(f"{what}: no connection: {text}", host=host, phase="connect")
        certificate = (lib.E_PEER_FAILED_VERIFICATION, lib.E_SSL_ISSUER_ERROR, lib.E_SSL_CRL_BADFILE)
        if number in certificate:
            return TlsError(
                f"{what}: the server's certificate was refused: {text}",
                host=host,
                phase="tls",
                retryable=False,
            )
        if number == lib.E_SSL_CACERT_BADFILE:
            return ConfigError(f"the CA file cannot be used: {text}")
        if number in (lib.E_SSL_CONNECT_ERROR, lib.E_SSL_CIPHER):
            # A handshake that was cut may succeed elsewhere; one that was refused (no common version) will not.
            cut = any(word in text.lower() for word in ("reset", "syscall", "unexpected eof", "timed out"))
            return TlsError(f"{what}: TLS handshake failed: {text}", host=host, phase="tls", retryable=cut)
        phase = "send" if gone < exchange.length else "receive"
        if number == lib.E_OPERATION_TIMEDOUT:
            if handle.curl.getinfo(lib.REQUEST_SIZE) == 0:
                phase = "connect"
            return TransferTimeout(
                f"{what}: timed out in phase {phase}, {sent}: {text}", host=host, phase=phase
            )
        if number in self._lost():
            return ConnectionLost(f"{what}: the connection broke {sent}: {text}", host=host, phase=phase)
        if number == lib.E_URL_MALFORMAT:
            return ConfigError(f"{request.method} {redact_url(request.url)}: no usable URL: {text}")
        return TransportError(
            f"{what}: libcurl error {number}: {text}",
            host=host,
            phase=phase,
            # An answer that is no HTTP/1 (libcurl: "HTTP/0.9", error 1) or has a garbled header (8) is damage on the
            # way; the rest is not known to be harmless.
            retryable=number in (1, 8),
        )

    def close(self) -> None:
        """Close idle connections now, those in use when they are given back. Later requests are refused."""
        self._pool.close()

    def __enter__(self) -> CurlTransport:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _header_lines(request: Request) -> list[str]:
    """libcurl's header list: ours, and an empty line for each header it would add on its own."""
    lines = []
    expect = False
    for name, value in request.headers:
        lowered = name.lower()
        if lowered == "content-length":
            continue  # libcurl writes it from INFILESIZE
        expect = expect or lowered == "expect"
        lines.append(f"{name}: {value}" if value else f"{name};")
    if not expect:
        lines.append("Expect:")
    lines.append("Accept:")
    return lines


class _ConnectTo:
    """host:port -> libcurl's CONNECT_TO entry; exact names first, then the longest matching suffix, then ``*``."""

    def __init__(self, mapping: Mapping[str, str]) -> None:
        self._exact: dict[str, str] = {}
        self._suffixes: list[tuple[str, str]] = []
        for source, target in mapping.items():
            host, separator, port = target.rpartition(":")
            if not separator or not host or not port.isdigit():
                raise ConfigError(f"connect_to[{source!r}] is {target!r}; it must be 'address:port'")
            if source.startswith("*"):
                self._suffixes.append((source[1:].lower(), target))
            elif source.rpartition(":")[2].isdigit():
                self._exact[source.lower()] = target
            else:
                raise ConfigError(
                    f"connect_to has {source!r}; it must be 'host:port', '*.domain:port' or '*'"
                )
        self._suffixes.sort(key=lambda item: -len(item[0]))

    def lookup(self, origin: tuple[str, str]) -> str | None:
        if not self._exact and not self._suffixes:
            return None
        scheme, authority = origin
        if not authority.rpartition(":")[2].isdigit() or authority.endswith("]"):
            authority += ":443" if scheme == "https" else ":80"
        authority = authority.lower()
        target = self._exact.get(authority)
        if target is None:
            target = next((value for suffix, value in self._suffixes if authority.endswith(suffix)), None)
        return None if target is None else f"{authority}:{target}"
