"""What stands for the body in the canonical request, decided as botocore decides it and hashed by the core."""

from __future__ import annotations

import io
from inspect import iscoroutinefunction
from typing import Any

import botocore.auth as _auth
from botocore.httpchecksum import AwsChunkedWrapper

from .. import _core

__all__ = ["hash_stream", "hold_position", "payload_of", "position_of"]

PIECE = 1 << 20


def payload_of(auth: Any, request: Any, s3: int, *, empty: bool = False) -> Any:
    """A constant or digest (str), bytes that the core shall hash, or None for no body.

    `empty` says that the body will be empty by the time the request is sent.
    """
    if auth._is_streaming_checksum_payload(request):
        return _auth.STREAMING_UNSIGNED_PAYLOAD_TRAILER
    if not auth._should_sha256_sign_payload(request):
        return _auth.UNSIGNED_PAYLOAD
    data = request.data
    if empty or not data:
        return None
    if type(data) is bytes:
        return data
    if type(data) is str:
        return data.encode("utf-8")
    if not hasattr(data, "seek"):
        data = request.body  # what botocore makes of a dict, for example
        if not data or not hasattr(data, "seek"):
            return data or None
    if not s3 and "X-Amz-Content-SHA256" in request.headers:
        return None  # the header wins; hashing a file for nothing would take time
    return hash_stream(data)


def hash_stream(body: Any) -> str:
    """Hexadecimal SHA-256 of what is left of a seekable body, which stands where it stood afterwards."""
    start = body.tell()
    if type(body) is io.BytesIO:
        return _core.sha256(memoryview(body.getvalue())[start:]).hex()
    running = _core.Sha256()
    if type(body) is io.BufferedReader:
        buffer = memoryview(bytearray(PIECE))
        while n := body.readinto(buffer):
            running.update(buffer[:n])
    else:
        while piece := body.read(PIECE):
            running.update(piece)
    body.seek(start)
    return running.hexdigest()


def position_of(body: Any) -> int | None:
    """Where a body stands, or None if it cannot tell (an asynchronous one is not asked)."""
    tell = getattr(body, "tell", None)
    if tell is None or iscoroutinefunction(tell) or not hasattr(body, "seek"):
        return None
    try:
        position = tell()
    except Exception:  # noqa: BLE001  somebody's object, which botocore itself might never have asked
        return None
    return position if isinstance(position, int) else None


def hold_position(context: Any, body: Any) -> None:
    """Makes every attempt of a call send the same bytes.

    botocore rewinds to 0 before it tries again, so a file that stood elsewhere would be sent from its
    beginning. The first attempt notes where the body stood; a later one goes back there, before the length
    and the hash are computed.
    """
    if isinstance(body, (bytes, bytearray, str, dict, AwsChunkedWrapper)):
        return
    held = context.get("s3accel_start")
    if held is not None and held[0] is body:
        if held[1] is not None and position_of(body) != held[1]:
            body.seek(held[1])
    else:
        context["s3accel_start"] = (body, position_of(body))
