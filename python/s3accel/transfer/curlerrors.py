"""libcurl's errors as ours. The numbers come from the pycurl module that is handed in."""

from __future__ import annotations

from typing import Any

from s3accel.errors import (
    ConfigError,
    ConnectError,
    ConnectionLost,
    TlsError,
    TransferTimeout,
    TransportError,
)
from s3accel.redact import redact_text, redact_url

__all__ = ["lost", "translate"]


def lost(lib: Any) -> tuple[int, ...]:
    """The numbers that mean a connection broke while bytes were moving."""
    return (
        lib.E_SEND_ERROR,
        lib.E_RECV_ERROR,
        lib.E_GOT_NOTHING,
        lib.E_PARTIAL_FILE,
        lib.E_SEND_FAIL_REWIND,
    )


def translate(
    lib: Any, curl: Any, number: int, text: str, method: str, url: str, host: str, sent: int, length: int
) -> Exception:
    """What to raise for libcurl's error ``number``.

    Args:
        sent: bytes of the body that libcurl has taken, for versions that do not say what went to the socket.
        length: of the body, 0 without one.
    """
    text = redact_text(text)
    what = f"{method} to {host}"
    # What libcurl has taken from us may still lie in its buffer; this is what went to the socket.
    gone = curl.getinfo(lib.SIZE_UPLOAD_T) if hasattr(lib, "SIZE_UPLOAD_T") else sent
    far = f"after {gone} of {length} bytes" if length else "before an answer"
    if number in (lib.E_COULDNT_RESOLVE_HOST, lib.E_COULDNT_RESOLVE_PROXY, lib.E_COULDNT_CONNECT):
        return ConnectError(f"{what}: no connection: {text}", host=host, phase="connect")
    if number in (lib.E_PEER_FAILED_VERIFICATION, lib.E_SSL_ISSUER_ERROR, lib.E_SSL_CRL_BADFILE):
        return TlsError(
            f"{what}: the server's certificate was refused: {text}", host=host, phase="tls", retryable=False
        )
    if number == lib.E_SSL_CACERT_BADFILE:
        return ConfigError(f"the CA file cannot be used: {text}")
    if number in (lib.E_SSL_CONNECT_ERROR, lib.E_SSL_CIPHER):
        # A handshake that was cut may succeed elsewhere; one that was refused (no common version) will not.
        cut = any(word in text.lower() for word in ("reset", "syscall", "unexpected eof", "timed out"))
        return TlsError(f"{what}: TLS handshake failed: {text}", host=host, phase="tls", retryable=cut)
    phase = "send" if gone < length else "receive"
    if number == lib.E_OPERATION_TIMEDOUT:
        if curl.getinfo(lib.REQUEST_SIZE) == 0:
            phase = "connect"
        return TransferTimeout(f"{what}: timed out in phase {phase}, {far}: {text}", host=host, phase=phase)
    if number in lost(lib):
        return ConnectionLost(f"{what}: the connection broke {far}: {text}", host=host, phase=phase)
    if number == lib.E_URL_MALFORMAT:
        return ConfigError(f"{method} {redact_url(url)}: no usable URL: {text}")
    return TransportError(
        f"{what}: libcurl error {number}: {text}",
        host=host,
        phase=phase,
        # An answer that is no HTTP/1 (libcurl: "HTTP/0.9", error 1) or has a garbled header (8) is damage on the
        # way; the rest is not known to be harmless.
        retryable=number in (1, 8),
    )
