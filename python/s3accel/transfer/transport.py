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

from s3accel.errors import ConfigError, ConnectionLost
from s3accel.redact import redact_url
from s3accel.transfer.curlerrors import lost, translate
from s3accel.transfer.exchange import Exchange, certificate_from
from s3accel.transfer.lane import Lane
from s3accel.transfer.limits import Throttle
from s3accel.transfer.lines import ConnectTo, header_lines
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
        self._connect_to = ConnectTo(connect_to or {})
        self._tls_min = tls_min
        self._connect_timeout = connect_timeout
        self._stall_seconds = stall_seconds
        self._stall_bytes = stall_bytes
        self._proxy = proxy
        self._user_agent = user_agent
        #: Bytes a second for all bodies together; its ``rate`` may be changed while they are sent.
        self.throttle = Throttle()
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
        exchange = Exchange(curl, self._buffers, self.throttle)
        self._set_constants(curl)
        setopt = curl.setopt
        setopt(lib.SHARE, share)
        setopt(lib.READFUNCTION, exchange.read)
        setopt(lib.WRITEFUNCTION, exchange.write)
        setopt(lib.HEADERFUNCTION, exchange.header)
        setopt(lib.DEBUGFUNCTION, exchange.debug)
        setopt(lib.SOCKOPTFUNCTION, exchange.socket_opened)
        setopt(lib.XFERINFOFUNCTION, exchange.progress)
        return Handle(curl, exchange)

    def _set_constants(self, curl: Any) -> None:
        """What never changes on a handle, whoever drives it."""
        lib, setopt = self._pycurl, curl.setopt
        setopt(lib.NOSIGNAL, 1)
        setopt(lib.HTTP_VERSION, lib.CURL_HTTP_VERSION_1_1)
        # S3 keys may hold dot segments and double slashes; the path is signed as it is.
        setopt(lib.PATH_AS_IS, 1)
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

    def lane(self, limit: int) -> Lane:
        """A second way through the door, for many small bodies: one thread, up to ``limit`` requests in flight."""
        # A small body that is not answered when twice the stall limit is over never will be.
        deadline = self._connect_timeout + 2 * self._stall_seconds
        lane = Lane(self._pycurl, self._set_constants, self._connect_to, limit, self._stall_seconds, deadline)
        lane.throttle = self.throttle
        return lane

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
        handle = self._pool.take(origin, request.watched)
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
                raise self._translated(handle, request, failure) from failure
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
        setopt(lib.HTTPHEADER, header_lines(request))
        target = self._connect_to.lookup(origin)
        if target != handle.connect_to:
            if target is None:
                curl.unsetopt(lib.CONNECT_TO)
            else:
                setopt(lib.CONNECT_TO, [target])
            handle.connect_to = target
        stall = request.stall_seconds if request.stall_seconds is not None else self._stall_seconds
        setopt(lib.LOW_SPEED_TIME, max(1, round(stall)))
        timeout = 0
        if request.deadline is not None:
            timeout = max(1, int((request.deadline - time.monotonic()) * 1000))
        if timeout != handle.timeout:
            setopt(lib.TIMEOUT_MS, timeout)
            handle.timeout = timeout
        # The handshake is told in libcurl's debug text, which costs a copy of every byte sent and the GIL for every
        # TLS record, so it is only asked for when a new connection is likely and somebody wants to know.
        watch = request.watched and (
            origin not in handle.connections or time.monotonic() - handle.since >= WATCH_AFTER
        )
        setopt(lib.VERBOSE, int(watch))
        handle.exchange.use_socket_of(origin)
        # The progress callback resumes a paused read, looks at cancellation and lets Ctrl-C through.
        long = (body is not None and body.length > LARGE_BODY) or (
            request.sink is not None and request.cancelled is not None
        )
        setopt(lib.NOPROGRESS, int(not (long or threading.current_thread() is threading.main_thread())))

    def _response(self, handle: Handle, request: Request, origin: tuple[str, str]) -> Response:
        exchange = handle.exchange
        info = self._connection(handle, request, origin)
        return Response(exchange.status, exchange.response_headers(), bytes(exchange.body), info)

    def _connection(self, handle: Handle, request: Request, origin: tuple[str, str]) -> ConnectionInfo:
        curl, lib, exchange = handle.curl, self._pycurl, handle.exchange
        known = handle.connections.get(origin)
        reused = curl.getinfo(lib.NUM_CONNECTS) == 0
        if known is not None and reused:
            return known
        address = curl.getinfo(lib.PRIMARY_IP)
        address = f"[{address}]" if ":" in address else address
        tls = exchange.tls or (None, None, None)
        secure = origin[0] == "https"
        info = ConnectionInfo(
            host=request.host,
            address=f"{address}:{curl.getinfo(lib.PRIMARY_PORT)}",
            http_version=exchange.http_version,
            tls_version=tls[0],
            cipher=tls[1],
            key_exchange=tls[2] or None,
            resumed=exchange.resumed,
            reused=reused,
            certificate=certificate_from(curl.getinfo(lib.INFO_CERTINFO)) if tls[0] else None,
        )
        if exchange.tls is not None or not secure:
            handle.connections[origin] = replace(info, reused=True)
        else:
            handle.connections.pop(origin, None)  # nobody has seen this one being made
        return info

    # -- errors

    def _salvaged(self, handle: Handle, exc: Exception) -> bool:
        """True if a complete answer came although libcurl failed: a server may answer and reset at once."""
        exchange = handle.exchange
        if handle.curl.getinfo(self._pycurl.HTTP_CONNECTCODE) not in (0, 200):
            return False  # that was the proxy's answer
        if exchange.status < 300 or exc.args[0] not in lost(self._pycurl):
            return False
        length = Response(exchange.status, exchange.response_headers()).headers.get("content-length")
        return length.isdigit() and int(length) == len(exchange.body)

    def _translated(self, handle: Handle, request: Request, exc: Exception) -> Exception:
        exchange = handle.exchange
        text = str(exc.args[1]) if len(exc.args) > 1 else ""
        return translate(
            self._pycurl,
            handle.curl,
            exc.args[0],
            text,
            request.method,
            request.url,
            request.host,
            exchange.sent,
            exchange.length,
        )

    def close(self) -> None:
        """Close idle connections now, those in use when they are given back. Later requests are refused."""
        self._pool.close()

    def __enter__(self) -> CurlTransport:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
