"""Request bodies that can be read again from where they stood, hashed, and framed as signed chunks."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .._core import Sha256
from ..errors import ConfigError, SourceError
from ..streaming import SignedStream

__all__ = ["FileBody", "Framer", "OnceBody", "SignedBody", "UnknownBody", "body_of"]

#: Bytes read at a time: as much as a group of signed chunks holds.
BLOCK = 1 << 20


class FileBody:
    """A seekable file from where it stands to its end. Every iteration begins there again."""

    rewindable = True

    def __init__(self, file: Any) -> None:
        if isinstance(file, io.TextIOBase):
            raise ConfigError("the body is a file in text mode; open it in binary mode ('rb')")
        self._file = file
        self.start: int = file.tell()
        self.length: int = file.seek(0, io.SEEK_END) - self.start
        file.seek(self.start)
        if self.length < 0:
            raise ConfigError(f"the body's file stands at byte {self.start}, beyond its end")
        self._digest: str | None = None

    def __len__(self) -> int:
        return self.length

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(self.start)
        left = self.length
        while left:
            block = self._file.read(min(left, BLOCK))
            if not block:
                raise SourceError(
                    f"the file ended {left} bytes before the {self.length} it had when the request was made"
                )
            left -= len(block)
            yield block

    def digest(self) -> str:
        """SHA-256 in hex, computed once; the file stands at its start afterwards."""
        if self._digest is None:
            running = Sha256()
            for block in self:
                running.update(block)
            self._file.seek(self.start)
            self._digest = running.hexdigest()
        return self._digest


class OnceBody:
    """Blocks that can be read only once, with a length the caller announced."""

    rewindable = False

    def __init__(self, blocks: Iterable[Any], length: int) -> None:
        self._blocks: Iterable[Any] | None = blocks
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[bytes]:
        blocks, self._blocks = self._blocks, None
        if blocks is None:
            raise SourceError(
                "the body can be read only once and was sent already, so this retry or redirect cannot send it; "
                "give bytes or a seekable file"
            )
        left = self.length
        for block in blocks:
            checked = checked_block(block)
            left -= len(checked)
            if left < 0:
                raise SourceError(f"the body is longer than the {self.length} bytes announced")
            yield checked
        if left:
            raise SourceError(f"the body ended {left} bytes before the {self.length} announced")


class UnknownBody:
    """Blocks that can be read once and whose length nobody said."""

    rewindable = False
    length = None

    def __init__(self, blocks: Iterable[Any]) -> None:
        self._blocks = blocks

    def read_all(self) -> bytes:
        return b"".join(checked_block(block) for block in self._blocks)


class SignedBody:
    """An aws-chunked body. Each iteration sends the same frames again, from where the source stood.

    Attributes:
        source: what the frames are made of.
    """

    def __init__(self, source: bytes | FileBody | OnceBody) -> None:
        self.source = source
        self._open: Callable[[], SignedStream] | None = None
        self._length = 0

    def arm(self, open_stream: Callable[[], SignedStream], encoded_length: int) -> None:
        """Takes a new signature: `open_stream` gives its stream, from the beginning, as often as asked."""
        self._open, self._length = open_stream, encoded_length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        if self._open is None:
            raise ConfigError("a signed body without a signature")
        framer = Framer(self._open())
        blocks: Iterable[bytes] = (self.source,) if isinstance(self.source, bytes) else self.source
        for block in blocks:
            yield from framer.push(block)
        yield from framer.finish()


class Framer:
    """Pushes blocks of any size into a `SignedStream` and gives the frames they fill."""

    def __init__(self, stream: SignedStream) -> None:
        self._stream = stream
        self._slots = stream.slots()
        self._slot = self._at = 0

    def push(self, block: Any) -> Iterator[bytes]:
        view = memoryview(block).cast("B")
        while len(view):
            if not self._slots:
                raise SourceError(
                    f"the body is longer than the {self._stream.decoded_length} bytes announced"
                )
            slot = self._slots[self._slot]
            size = min(len(view), len(slot) - self._at)
            slot[self._at : self._at + size] = view[:size]
            view = view[size:]
            self._at += size
            if self._at == len(slot):
                self._slot, self._at = self._slot + 1, 0
                if self._slot == len(self._slots):
                    yield self._seal()

    def finish(self) -> Iterator[bytes]:
        while self._slots is not None:
            if self._slots:
                raise SourceError(
                    f"the body ended before the {self._stream.decoded_length} bytes announced were read"
                )
            yield self._seal()

    def _seal(self) -> bytes:
        frames = self._stream.seal()
        self._slots = self._stream.slots()
        self._slot = self._at = 0
        return frames


def checked_block(block: Any) -> bytes:
    """The block, if it is bytes.

    Raises:
        ConfigError: it is text.
    """
    if isinstance(block, bytes):
        return block
    if isinstance(block, str):
        raise ConfigError("the body gives text; it must give bytes, for the signature covers bytes")
    return bytes(block)


def body_of(body: Any, announced: int | None) -> bytes | FileBody | OnceBody | UnknownBody | None:
    """What a library was given as a body, in one of the forms above.

    Args:
        announced: the request's Content-Length; seekable files know their own.

    Raises:
        ConfigError: it is a file in text mode, or nothing that can be read.
    """
    if body is None or isinstance(body, (bytes, FileBody, OnceBody, UnknownBody)):
        return body
    if isinstance(body, SignedBody):
        return body.source
    if isinstance(body, str):
        return body.encode("utf-8")
    if isinstance(body, (bytearray, memoryview)):
        return bytes(body)
    if hasattr(body, "read"):
        if _seekable(body):
            return FileBody(body)
        blocks: Iterable[Any] = iter(lambda: body.read(BLOCK), b"")
    elif hasattr(body, "__iter__"):
        blocks = body
    else:
        raise ConfigError(f"a {type(body).__name__} cannot be read as a request body")
    return UnknownBody(blocks) if announced is None else OnceBody(blocks, announced)


def _seekable(file: Any) -> bool:
    try:
        if hasattr(file, "seekable"):
            return bool(file.seekable())
        file.seek(file.tell())
    except (AttributeError, OSError, ValueError):
        return False
    return True
