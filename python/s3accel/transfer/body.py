"""Source + payload mode -> what the transport reads: the headers to add, and the frames.

    signed-chunks      aws-chunked, every chunk signed, checksum in a trailer       one pass
    unsigned-trailer   aws-chunked, checksum in a trailer, TLS protects the rest    one pass
    signed             SHA-256 (and checksum) in the headers                        two passes, or one if it is small
    unsigned           UNSIGNED-PAYLOAD, checksum in a header                       the same; one without a checksum

One call of ``prepare`` makes one attempt: a new reader over the source, a new date, a new seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s3accel import checksums
from s3accel.errors import ConfigError, TransportError
from s3accel.signer import DEFAULT_CHUNK_SIZE
from s3accel.transfer.messages import Body

if TYPE_CHECKING:
    from s3accel.signer import Signer
    from s3accel.streaming import SignedStream
    from s3accel.transfer.progress import AttemptMeter
    from s3accel.transfer.source import Part, Source

__all__ = ["MODES", "Payload", "Prepared", "choose_mode"]

MODES = ("auto", "signed-chunks", "signed", "unsigned-trailer", "unsigned")

#: Plain bodies are read in blocks of this size; smaller ones are read once and sent from memory.
BLOCK = 1024 * 1024


def choose_mode(mode: str, length: int, chunk_size: int) -> str:
    """``auto``: the hash goes into the header while the body fits in one chunk, else chunks are signed one by one."""
    if mode != "auto":
        return mode
    return "signed-chunks" if length > chunk_size else "signed"


@dataclass
class Prepared:
    """One attempt, ready to send. ``checksum()``: base64, valid once the body was sent; "" without one."""

    headers: list[tuple[str, str]]
    body: Body
    checksum: Callable[[], str]


@dataclass(frozen=True)
class Payload:
    """A range of a source, and how it is to be sent.

    Attributes:
        mode: one of MODES but ``"auto"``.
        checksum: algorithm name, or None.
        stopped: asked between frames; once true, the attempt ends with a TransportError.
    """

    source: Source
    offset: int
    length: int
    mode: str
    checksum: str | None = None
    chunk_size: int = DEFAULT_CHUNK_SIZE
    stopped: Callable[[], bool] | None = None

    def prepare(
        self,
        signer: Signer,
        method: str,
        url: str,
        headers: list[tuple[str, str]],
        meter: AttemptMeter | None,
    ) -> Prepared:
        """Sign one attempt. Reads the source already where the hash must be in the headers."""
        if self.mode in ("signed-chunks", "unsigned-trailer"):
            return self._chunked(signer, method, url, headers, meter)
        if self.mode in ("signed", "unsigned"):
            return self._plain(signer, method, url, headers, meter)
        raise ConfigError(f"payload mode {self.mode!r} is not one of {', '.join(MODES[1:])}")

    def _chunked(
        self,
        signer: Signer,
        method: str,
        url: str,
        headers: list[tuple[str, str]],
        meter: AttemptMeter | None,
    ) -> Prepared:
        stream = signer.stream(
            method,
            url,
            headers,
            self.length,
            chunk_size=self.chunk_size,
            checksum=self.checksum,
            signed=self.mode == "signed-chunks",
        )
        # The stream's Content-Encoding holds the caller's.
        kept = [(name, value) for name, value in headers if name.lower() != "content-encoding"]
        part = self.source.open_part(self.offset, self.length)
        body = _ChunkedBody(self, stream, part, meter)
        return Prepared([*kept, *stream.headers.items()], body, lambda: stream.checksum or "")

    def _plain(
        self,
        signer: Signer,
        method: str,
        url: str,
        headers: list[tuple[str, str]],
        meter: AttemptMeter | None,
    ) -> Prepared:
        signed = self.mode == "signed"
        small: list[bytes | memoryview] | None = None
        value = ""
        digest = "UNSIGNED-PAYLOAD"
        if self.length <= BLOCK:
            small = list(self.source.open_part(self.offset, self.length).blocks(BLOCK))
        if signed or self.checksum is not None:
            sums = [checksums.new(name) for name in (*(["sha256"] * signed), *filter(None, [self.checksum]))]
            for block in small if small is not None else self._blocks():
                for running in sums:
                    running.update(block)
            if signed:
                digest = sums[0].digest().hex()
            if self.checksum is not None:
                value = checksums.encode(sums[-1].digest())
                headers = [*headers, (checksums.lookup(self.checksum).header, value)]
        added = signer.sign(method, url, headers, digest)
        return Prepared([*headers, *added.items()], _PlainBody(self, small, meter), lambda: value)

    def _blocks(self) -> Iterator[bytes | memoryview]:
        return self.source.open_part(self.offset, self.length).blocks(BLOCK)

    def check_stopped(self) -> None:
        if self.stopped is not None and self.stopped():
            raise TransportError("the upload was stopped", phase="send", retryable=False)


class _ChunkedBody:
    """Fills a group of chunks straight from the source, seals it, hands out its frames."""

    def __init__(
        self, payload: Payload, stream: SignedStream, part: Part, meter: AttemptMeter | None
    ) -> None:
        self._payload = payload
        self._stream = stream
        self._part = part
        self._meter = meter
        self.length = stream.encoded_length

    def frames(self) -> Iterator[bytes | memoryview]:
        stream, part, meter = self._stream, self._part, self._meter
        while (slots := stream.slots()) is not None:
            self._payload.check_stopped()
            count = stream.open_payload
            view = part.view(count) if count else None
            if view is not None:
                stream.fill(view)
            else:
                part.readinto_exact(slots)
            if not part.remaining:
                # Before the end of the body is sent: a changed file must not become an object.
                self._payload.source.check_unchanged()
            yield stream.seal()
            if meter is not None:
                meter.add(count)


class _PlainBody:
    """The bytes as they are, from memory if they are there already, else read again from the source."""

    def __init__(
        self, payload: Payload, small: list[bytes | memoryview] | None, meter: AttemptMeter | None
    ) -> None:
        self._payload = payload
        self._small = small
        self._meter = meter
        self.length = payload.length

    def frames(self) -> Iterator[bytes | memoryview]:
        part = None
        blocks: Iterator[bytes | memoryview]
        if self._small is not None:
            blocks = iter(self._small)
        else:
            part = self._payload.source.open_part(self._payload.offset, self._payload.length)
            blocks = part.blocks(BLOCK)
        for block in blocks:
            self._payload.check_stopped()
            if part is None or not part.remaining:
                self._payload.source.check_unchanged()
            yield block
            if self._meter is not None:
                self._meter.add(len(block))
