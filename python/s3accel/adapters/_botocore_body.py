"""Bodies and checksums of botocore, done by the core.

`ChunkedBody` makes the same bytes as botocore's `AwsChunkedWrapper`, which slices its whole buffer again for
every read (15 ms for 8 MiB in reads of 128 KiB), and it rewinds to where the body stood.
"""

from __future__ import annotations

import io
import sys
from collections import deque
from collections.abc import Iterator
from inspect import isawaitable
from typing import Any

import botocore.httpchecksum as _http
from botocore.exceptions import AwsChunkedWrapperError

from .. import _core
from ._botocore_payload import position_of

__all__ = ["ALL", "CHECKSUMS", "ChunkedBody", "Pieces", "Wrapper", "adopted", "aio_class"]

Wrapper: Any = _http.AwsChunkedWrapper  #: botocore's own, also while ours stands in its place


class _Crc(_http.BaseChecksum):  # type: ignore[misc]
    """A CRC by the core; releases the GIL."""

    _size = 4

    def __init__(self) -> None:
        self._value = 0

    @staticmethod
    def _function(data: Any, value: int) -> int:
        return _core.crc32(data, value)

    def update(self, chunk: Any) -> None:
        self._value = self._function(chunk, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


class Crc32(_Crc):
    _function = staticmethod(_core.crc32)


class Crc32c(_Crc):
    _function = staticmethod(_core.crc32c)


class Crc64Nvme(_Crc):
    _size = 8
    _function = staticmethod(_core.crc64nvme)


class Sha256(_http.BaseChecksum):  # type: ignore[misc]
    """SHA-256 by the core; releases the GIL."""

    def __init__(self) -> None:
        self._checksum = _core.Sha256()

    def update(self, chunk: Any) -> None:
        self._checksum.update(chunk)

    def digest(self) -> bytes:
        return self._checksum.digest()


#: For botocore's `_CHECKSUM_CLS`. CRC32C and CRC64NVME need no awscrt then.
CHECKSUMS: dict[str, type] = {"crc32": Crc32, "crc32c": Crc32c, "crc64nvme": Crc64Nvme, "sha256": Sha256}


STEP = 131_072  #: bytes that are checksummed at a time: as many as urllib3 sends at a time
ALL = 1 << 62  #: more than any body has: what read() without a size asks for


class Pieces:
    """Bytes to be sent, as pieces that are joined only once, when they are read."""

    __slots__ = ("_pieces", "size")

    def __init__(self) -> None:
        self._pieces: deque[Any] = deque()
        self.size = 0

    def add(self, piece: Any) -> None:
        if len(piece):
            self._pieces.append(piece)
            self.size += len(piece)

    def take(self, size: int) -> bytes:
        """Up to `size` bytes."""
        out = self.cut(size)
        if len(out) == 1 and type(out[0]) is bytes:
            return out[0]
        return b"".join(out)

    def cut(self, size: int) -> list[Any]:
        """Up to `size` bytes, in pieces."""
        out = []
        missing = size
        pieces = self._pieces
        while pieces and missing > 0:
            piece = pieces[0]
            n = len(piece)
            if n <= missing:
                pieces.popleft()
            else:
                piece = memoryview(piece)
                pieces[0] = piece[missing:]
                piece = piece[:missing]
                n = missing
            out.append(piece)
            missing -= n
        self.size -= size - missing
        return out


class _Framing:
    """What the synchronous and the asynchronous body share; botocore's wrapper stands behind it."""

    _raw: Any
    _checksum: Any
    _checksum_name: str
    _chunk_size: int
    _complete: bool

    def __init__(
        self,
        raw: Any,
        checksum_cls: Any = None,
        checksum_name: str = "x-amz-checksum",
        chunk_size: int | None = None,
    ) -> None:
        self._start = position_of(raw) or 0
        super().__init__(raw, checksum_cls, checksum_name, chunk_size)  # type: ignore[call-arg]

    def _reset(self) -> None:
        super()._reset()  # type: ignore[misc]
        self._pending = Pieces()

    def seek(self, offset: int, whence: int = 0) -> None:
        if offset != 0 or whence != 0:
            raise AwsChunkedWrapperError(error_msg="Can only seek to start of stream")
        self._reset()
        self._raw.seek(self._start)

    def _view(self) -> Any:
        """A chunk of a BytesIO: a view of the bytes object inside instead of a copy of a part of it."""
        raw = self._raw
        at = raw.tell()
        chunk = memoryview(raw.getvalue())[at : at + self._chunk_size]
        raw.seek(at + len(chunk))
        return chunk

    def _add_frame(self, chunk: Any) -> None:
        """Queues one chunk's frame; an empty chunk ends the body."""
        for piece in self._frame(chunk):
            self._pending.add(piece)

    def _frame(self, chunk: Any) -> tuple[Any, ...]:
        self._complete = not len(chunk)
        checksum = self._checksum
        if checksum:
            checksum.update(chunk)
            if self._complete:
                name = self._checksum_name.encode("ascii")
                return (b"0\r\n%s:%s\r\n\r\n" % (name, checksum.b64digest().encode("ascii")),)
        return (b"%x\r\n" % len(chunk), chunk, b"\r\n")


class ChunkedBody(_Framing, Wrapper):  # type: ignore[misc]
    """`AwsChunkedWrapper` with the same bytes and the same words."""

    def _reset(self) -> None:
        super()._reset()
        self._rest = memoryview(b"")

    def read(self, size: int | None = None) -> bytes:
        wanted = size if size is not None and size > 0 else ALL
        self._prepare(wanted)
        return self._pending.take(wanted)

    def s3accel_pieces(self, size: int) -> list[Any]:
        """What `read` would give, not joined."""
        self._prepare(size)
        return self._pending.cut(size)

    def _prepare(self, wanted: int) -> None:
        """Queues `wanted` bytes or all there are. A chunk's checksum is computed in steps, each just before its
        bytes are read again to be sent, so that they are in the cache then."""
        pending = self._pending
        while pending.size < wanted:
            if len(self._rest):
                part, self._rest = self._rest[:STEP], self._rest[STEP:]
                if self._checksum:
                    self._checksum.update(part)
                pending.add(part)
                if not len(self._rest):
                    pending.add(b"\r\n")
            elif self._complete:
                return
            elif len(chunk := self._raw_chunk()):
                pending.add(b"%x\r\n" % len(chunk))
                self._rest = memoryview(chunk)
            else:
                self._add_frame(chunk)

    def _raw_chunk(self) -> Any:
        return self._view() if type(self._raw) is io.BytesIO else self._raw.read(self._chunk_size)

    def _make_chunk(self) -> bytes:
        return b"".join(self._frame(self._raw_chunk()))

    def __iter__(self) -> Iterator[bytes]:
        while not self._complete:
            yield self._make_chunk()


def aio_class() -> Any:
    """aiobotocore's wrapper on the core. aiobotocore is loaded already when this is called."""
    global _aio
    if _aio is None:
        module: Any = sys.modules["aiobotocore.httpchecksum"]

        class AioChunkedBody(_Framing, module.AioAwsChunkedWrapper):  # type: ignore[misc]
            """`AioAwsChunkedWrapper` with the same bytes and the same words."""

            async def read(self, size: int | None = None) -> bytes:
                pending = self._pending
                wanted = size if size is not None and size > 0 else ALL
                while not self._complete and pending.size < wanted:
                    self._add_frame(await self._raw_chunk())
                return pending.take(wanted)

            async def _raw_chunk(self) -> Any:
                if type(self._raw) is io.BytesIO:
                    return self._view()
                chunk = self._raw.read(self._chunk_size)
                return await chunk if isawaitable(chunk) else chunk

            async def _make_chunk(self) -> bytes:
                return b"".join(self._frame(await self._raw_chunk()))

        _aio = AioChunkedBody
    return _aio


_aio: Any = None


def adopted(body: Any) -> Any:
    """Our body for one of botocore's or aiobotocore's own wrappers; anything else as it is.

    The wrapper stays in the request's dict, from which botocore makes the next attempt, and is never read.
    """
    kind = type(body)
    if kind is Wrapper:
        made: Any = ChunkedBody
    elif kind.__name__ == "AioAwsChunkedWrapper" and kind.__module__ == "aiobotocore.httpchecksum":
        made = aio_class()
    else:
        return body
    if body._complete or body._remaining:
        return body  # somebody has begun to read it
    checksum = body._checksum_cls
    own = CHECKSUMS.get(body._checksum_name.rpartition("-")[2])
    # Only what botocore itself would have used is replaced.
    if checksum is not None and own is not None and checksum.__module__ == _http.__name__:
        checksum = own
    return made(body._raw, checksum, body._checksum_name, body._chunk_size)
