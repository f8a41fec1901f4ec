"""Signed streaming uploads for botocore: STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER with an exact length.

Every chunk of the body carries its own signature, so the body is protected end to end, over plain HTTP too,
and it is read once. botocore hashes it beforehand (HTTP) or leaves it unsigned (HTTPS).

Source: S3 API Reference, "sigv4-streaming-trailers".
"""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import AsyncIterator, Iterator
from inspect import isawaitable
from typing import Any

import botocore.httpchecksum as _http
from botocore.exceptions import AwsChunkedWrapperError
from botocore.utils import determine_content_length

from .. import _core, checksums
from ..errors import SourceError
from ..streaming import DEFAULT_CHUNK_SIZE, encoded_length
from ._botocore_body import ALL, CHECKSUMS, Pieces, Wrapper
from ._botocore_payload import position_of
from ._botocore_state import count, settings

__all__ = ["SignedBody", "header_checksum", "sign", "wanted"]

GROUP = (1 << 20) // DEFAULT_CHUNK_SIZE  # chunks that are signed side by side: 1 MiB, as `SignedStream` does
_NATIVE = frozenset(CHECKSUMS)
S3, EXPRESS, DETAILED = 1, 2, 4


def _asked(context: Any) -> bool:
    return settings.signed_chunks or "s3accel_signed_chunks" in context


def wanted(auth: Any, request: Any) -> bool:
    """True for PutObject and UploadPart with a streaming body, unless payloads shall not be signed."""
    context = request.context
    config = getattr(context.get("client_config"), "s3", None) or {}
    return (
        auth._s3accel_flags & (S3 | EXPRESS) == S3
        and auth._service_name == "s3"
        and request.method == "PUT"
        and bool(context.get("has_streaming_input"))
        and config.get("payload_signing_enabled") is not False
        and hasattr(request.data, "read")
        and auth._s3accel_fast(request)
        and _length(request) is not None
    )


def _length(request: Any) -> int | None:
    """Bytes of the object, or None if nobody knows yet."""
    headers = request.headers
    given = headers.get("X-Amz-Decoded-Content-Length") or headers.get("Content-Length")
    if given is not None and str(given).isascii() and str(given).isdigit():
        return int(given)
    if isinstance(request.data, Wrapper):
        return None
    length = determine_content_length(request.data)
    return length if isinstance(length, int) else None


def sign(auth: Any, request: Any) -> bool:
    """Signs the request as a signed stream and gives it the body that makes the chunks.

    False: the core could not sign this request, which is as it was.
    """
    headers, data = request.headers, request.data
    length = _length(request) or 0
    wrapped = isinstance(data, Wrapper)
    raw = data._raw if wrapped else data
    name: str | None = data._checksum_name if wrapped and data._checksum_cls else None
    algorithm = None if name is None else checksums.by_header(name)
    before = list(headers._headers)
    encoded = encoded_length(
        length, DEFAULT_CHUNK_SIZE, checksum=None if algorithm is None else algorithm.name
    )
    coding = headers.get("Content-Encoding")
    if coding is None or "aws-chunked" not in [token.strip() for token in coding.split(",")]:
        coding = "aws-chunked" if not coding else f"{coding},aws-chunked"
    for header, value in (
        ("Transfer-Encoding", None),
        ("Content-Encoding", coding),
        ("X-Amz-Decoded-Content-Length", str(length)),
        ("Content-Length", str(encoded)),
    ):
        del headers[header]
        if value is not None:
            headers[header] = value
    payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("" if algorithm is None else "-TRAILER")
    stages = auth._s3accel_sign(request, auth.credentials, payload, DETAILED)
    if stages is None:
        headers._headers[:] = before
        return False
    _, _, signature, key, stamp = stages
    made = _aio_class() if _is_async(request) else SignedBody
    start = data._start if hasattr(data, "_start") else position_of(raw) or 0
    checksum_cls = data._checksum_cls if wrapped else None
    request.data = made(raw, start, (key, stamp, signature), length, algorithm, checksum_cls)
    count("streams")
    return True


def _is_async(request: Any) -> bool:
    config = request.context.get("client_config")
    return type(config).__module__.partition(".")[0] == "aiobotocore"


class SignedBody(Wrapper):  # type: ignore[misc]
    """One attempt's body: whole signed chunks, in reads of any size.

    Rewinding (`seek(0)`) starts the same attempt again: same date, same signatures.
    """

    def __init__(
        self,
        raw: Any,
        start: int,
        seed: tuple[Any, str, str],
        length: int,
        algorithm: checksums.Algorithm | None,
        checksum_cls: Any,
    ) -> None:
        self._start = start
        self._seed = seed
        self._length = length
        self._algorithm = algorithm
        native = algorithm is None or algorithm.name in _NATIVE
        name = "x-amz-checksum" if algorithm is None else algorithm.header
        super().__init__(raw, None if native else checksum_cls, name, DEFAULT_CHUNK_SIZE)

    def _reset(self) -> None:
        super()._reset()
        self._pending = Pieces()
        key, stamp, signature = self._seed
        algorithm = self._algorithm
        self._encoder = _core.ChunkEncoder(
            key,
            stamp,
            signature,
            self._length,
            DEFAULT_CHUNK_SIZE,
            "" if algorithm is None else algorithm.name,
            "" if algorithm is None else algorithm.header,
            0 if algorithm is None else algorithm.base64_size,
        )

    def seek(self, offset: int, whence: int = 0) -> None:
        if offset != 0 or whence != 0:
            raise AwsChunkedWrapperError(error_msg="Can only seek to start of stream")
        self._reset()
        self._raw.seek(self._start)

    def read(self, size: int | None = None) -> bytes:
        wanted = size if size is not None and size > 0 else ALL
        self._prepare(wanted)
        return self._pending.take(wanted)

    def s3accel_pieces(self, size: int) -> list[Any]:
        """What `read` would give, not joined."""
        self._prepare(size)
        return self._pending.cut(size)

    def _prepare(self, wanted: int) -> None:
        while not self._complete and self._pending.size < wanted:
            want = self._want()
            self._add_group(self._view(want) if type(self._raw) is io.BytesIO else self._gather(want))

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(GROUP * DEFAULT_CHUNK_SIZE):
            yield piece

    def _want(self) -> int:
        """Payload bytes of the next group."""
        return min(self._encoder.remaining, GROUP * DEFAULT_CHUNK_SIZE)

    def _view(self, want: int) -> Any:
        raw = self._raw
        at = raw.tell()
        data = memoryview(raw.getvalue())[at : at + want]
        raw.seek(at + len(data))
        return self._whole(data, want)

    def _gather(self, want: int) -> Any:
        if not want:
            return b""
        data = self._raw.read(want)
        if len(data) == want:
            return data
        parts = [data]
        have = len(data)
        while have < want and (data := self._raw.read(want - have)):
            parts.append(data)
            have += len(data)
        return self._whole(b"".join(parts), want)

    def _whole(self, data: Any, want: int) -> Any:
        if len(data) != want:
            missing = self._encoder.remaining - len(data)
            raise SourceError(
                f"the body ended {missing} bytes before the {self._length} that were announced; the request was "
                "broken off"
            )
        return data

    def _add_group(self, data: Any) -> None:
        """Signs one group of chunks; the payload is not copied."""
        trailer = None
        checksum = self._checksum
        if checksum is not None:
            checksum.update(data)
            if len(data) == self._encoder.remaining:
                trailer = base64.b64encode(checksum.digest()).decode("ascii")
        for piece in self._encoder.seal_apart(data, GROUP, trailer):
            self._pending.add(piece)
        self._complete = self._encoder.finished


def _aio_class() -> Any:
    global _aio
    if _aio is None:
        module: Any = sys.modules["aiobotocore.httpchecksum"]

        class AioSignedBody(SignedBody, module.AioAwsChunkedWrapper):  # type: ignore[misc]
            """`SignedBody` for aiobotocore, whose bodies may be asynchronous."""

            async def read(self, size: int | None = None) -> bytes:  # type: ignore[override]
                pending = self._pending
                wanted = size if size is not None and size > 0 else ALL
                while not self._complete and pending.size < wanted:
                    want = self._want()
                    if type(self._raw) is io.BytesIO:
                        self._add_group(self._view(want))
                    else:
                        self._add_group(await self._gather_async(want))
                return pending.take(wanted)

            async def _gather_async(self, want: int) -> bytes:
                parts: list[bytes] = []
                have = 0
                while have < want:
                    data = self._raw.read(want - have)
                    if isawaitable(data):
                        data = await data
                    if not data:
                        break
                    parts.append(data)
                    have += len(data)
                whole: bytes = self._whole(b"".join(parts), want)
                return whole

            def __aiter__(self) -> AsyncIterator[bytes]:
                return self

            async def __anext__(self) -> bytes:
                piece = await self.read(GROUP * DEFAULT_CHUNK_SIZE)
                if not piece:
                    raise StopAsyncIteration
                return piece

        _aio = AioSignedBody
    return _aio


_aio: Any = None


def header_checksum(original: Any) -> Any:
    """For botocore's `_apply_request_header_checksum`: over plain HTTP the checksum of a streaming body becomes
    a trailer, so that the body is read once."""

    def apply(request: Any) -> Any:
        context = request.get("context", {})
        algorithm = context.get("checksum", {}).get("request_algorithm")
        body = request["body"]
        if (
            _asked(context)
            and context.get("has_streaming_input")
            and request.get("method") == "PUT"
            and algorithm["name"] not in request["headers"]
            and getattr(context.get("client_config"), "signature_version", None) != "s3"
            and context.get("signing", {}).get("signing_name") == "s3"
            and hasattr(body, "read")
            and (isinstance(determine_content_length(body), int) or "Content-Length" in request["headers"])
        ):
            algorithm["in"] = "trailer"
            is_async = type(context.get("client_config")).__module__.partition(".")[0] == "aiobotocore"
            module = sys.modules["aiobotocore.httpchecksum"] if is_async else _http
            return module._apply_request_trailer_checksum(request)
        return original(request)

    return apply
