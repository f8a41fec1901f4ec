"""aws-chunked bodies: whole frames, signed in place, with the length known before the first byte."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from . import _core, checksums
from .errors import ConfigError, SourceError
from .turns import Turn

if TYPE_CHECKING:
    from .signer import Signer

__all__ = ["DEFAULT_CHUNK_SIZE", "MAX_CHUNK_SIZE", "MIN_CHUNK_SIZE", "SignedStream", "encoded_length"]

#: Payload bytes in a chunk unless asked otherwise. Measured (benchmarks/bench_chunks.py): below 64 KiB the
#: chained HMACs show (16 KiB: -7 %), above it nothing is gained and a group of chunks outgrows the L2 cache.
DEFAULT_CHUNK_SIZE = 65_536
MIN_CHUNK_SIZE: int = _core.MIN_CHUNK_SIZE
MAX_CHUNK_SIZE: int = _core.MAX_CHUNK_SIZE

#: Payload bytes that one group of frames should hold: a megabyte is 16 chunks of the default size, enough
#: lanes for every kernel, and fits into the L2 cache of a server core while it is hashed and summed.
GROUP_BYTES = 1 << 20


class SignedStream:
    """One attempt at sending one body as aws-chunked. Made by `Signer.stream`; a retry makes a new one.

    Attributes:
        headers: everything to add to the request, ``Content-Length`` included.
        encoded_length: bytes that go over the wire.
        decoded_length: bytes of the object.
        checksum_header: name of the trailer, or None.

    Fill the views of `slots` and call `seal` until `slots` gives None, or let `frames` do both.
    """

    def __init__(
        self,
        signer: Signer,
        method: str,
        url: str,
        headers: Mapping[str, Any] | Iterable[tuple[str, Any]] | None,
        decoded_length: int,
        *,
        chunk_size: int = DEFAULT_CHUNK_SIZE,
        checksum: str | None = None,
        signed: bool = True,
    ) -> None:
        algorithm = None if checksum is None else checksums.lookup(checksum)
        length = encoded_length(decoded_length, chunk_size, checksum=checksum, signed=signed)
        if signed:
            payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("" if algorithm is None else "-TRAILER")
        elif algorithm is None:
            raise ConfigError("an unsigned stream needs a checksum: nothing else would protect the body")
        else:
            payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

        kept, extra = stream_headers(headers, decoded_length, algorithm)
        added, seed, timestamp, _, _, _, key = signer._sign_detailed(
            method, url, [*kept, *extra.items()], payload
        )

        self.headers: dict[str, str] = {**added, **extra, "Content-Length": str(length)}
        self.encoded_length = length
        self.decoded_length = decoded_length
        self.chunk_size = chunk_size
        self.checksum_header = None if algorithm is None else algorithm.header
        in_core = algorithm is None or algorithm.native or algorithm.name == "sha256"
        self._running = None if in_core or algorithm is None else checksums.new(algorithm.name)
        self._algorithm = algorithm
        self._value: str | None = None
        self._open: list[memoryview] | None = None
        self._turn = Turn()
        # Four chunks fill the lanes of the kernels that need few messages; 16 MiB is the most a group may hold.
        self._max_chunks = max(
            1, min(max(4, GROUP_BYTES // chunk_size // 4 * 4), MAX_CHUNK_SIZE // chunk_size)
        )
        self._encoder = _core.ChunkEncoder(
            key if signed else None,
            timestamp,
            seed,
            decoded_length,
            chunk_size,
            "" if algorithm is None else algorithm.name,
            "" if algorithm is None else algorithm.header,
            0 if algorithm is None else algorithm.base64_size,
        )

    @property
    def checksum(self) -> str | None:
        """The trailer's value (base64), known after the last `seal`; None before, or without a checksum."""
        return self._value

    @property
    def remaining(self) -> int:
        """Payload bytes not sealed yet."""
        return self._encoder.remaining

    def slots(self) -> list[memoryview] | None:
        """Writable views for the payload of the next group, to be filled completely and in order.

        An empty list means that only the end of the body is left to seal; None that everything is sealed.
        """
        with self._turn:
            if self._open is None:
                self._open = self._encoder.open(self._max_chunks)
            return self._open

    def fill(self, data: Any) -> None:
        """Copies the open group's payload from one contiguous buffer, without the GIL."""
        self._encoder.fill(data)

    @property
    def open_payload(self) -> int:
        """Payload bytes of the group that `slots` opened."""
        return self._encoder.open_payload

    def seal(self) -> bytes:
        """The frames of the open group, ready for the wire; the last ones carry the end and the trailer."""
        with self._turn:
            if self._open is None:
                raise ConfigError("seal() without slots(): there is no open group")
            trailer = None
            if self._running is not None:
                for view in self._open:
                    self._running.update(view)
                if self._encoder.open_payload == self._encoder.remaining:
                    trailer = checksums.encode(self._running.digest())
            self._open = None
            frames = self._encoder.seal(trailer)
            if self._encoder.finished:
                self._note_checksum(trailer)
            return frames

    def pieces(self, data: Any) -> Iterator[bytes | memoryview]:
        """The encoded body of a contiguous buffer without copying it: headers, and views of `data` between.

        Args:
            data: bytes-like, exactly `decoded_length` bytes; must not change until the last piece is sent.

        The pieces are ready for ``socket.sendmsg`` or ``writelines``; joined they are what `frames` gives.

        Raises:
            ConfigError: the buffer does not have the announced length.
        """
        view = memoryview(data).cast("B")
        if len(view) != self.decoded_length:
            raise ConfigError(f"the buffer has {len(view)} bytes, {self.decoded_length} were announced")
        at = 0
        while True:
            group = view[at : at + self._max_chunks * self.chunk_size]
            at += len(group)
            with self._turn:
                trailer = None
                if self._running is not None:
                    self._running.update(group)
                    if at == len(view):
                        trailer = checksums.encode(self._running.digest())
                pieces = self._encoder.seal_apart(group, self._max_chunks, trailer)
                if last := self._encoder.finished:
                    self._note_checksum(trailer)
            yield from pieces
            if last:
                return

    def _note_checksum(self, trailer: str | None) -> None:
        if self._algorithm is not None:
            self._value = trailer if trailer is not None else checksums.encode(self._encoder.checksum())

    def frames(self, readinto: Callable[[memoryview], int | None]) -> Iterator[bytes]:
        """Whole frames, read from ``readinto(view) -> bytes read``.

        Raises:
            SourceError: the source ended before `decoded_length` bytes.
        """
        while (slots := self.slots()) is not None:
            for slot in slots:
                done = 0
                while done < len(slot):
                    n = readinto(slot[done:])
                    if not n:
                        missing = self.remaining - self.open_payload + len(slot) - done
                        raise SourceError(
                            f"the source ended {missing} bytes or more before the {self.decoded_length} announced"
                        )
                    done += _believable(n, len(slot) - done)
            yield self.seal()

    def __repr__(self) -> str:
        encoder = getattr(self, "_encoder", None)
        if encoder is None:
            return "<SignedStream not made>"  # a debugger may look at one whose constructor refused
        return (
            f"<SignedStream {self.decoded_length} bytes as {self.encoded_length}, {encoder.remaining} left>"
        )


def _believable(count: Any, room: int) -> int:
    """The number of bytes a source says it wrote into a view of `room` bytes."""
    if not isinstance(count, int) or isinstance(count, bool) or not 0 < count <= room:
        raise SourceError(
            f"the source's readinto() answered {count!r} for a view of {room} bytes; it must give the number of "
            f"bytes it wrote, 1 to {room}, or 0 at the end"
        )
    return count


def stream_headers(
    headers: Mapping[str, Any] | Iterable[tuple[str, Any]] | None,
    decoded_length: int,
    algorithm: checksums.Algorithm | None,
) -> tuple[list[tuple[str, Any]], dict[str, str]]:
    """The caller's headers that go out as they are, and those that say what the stream is.

    Raises:
        ConfigError: the caller's headers hold one that the stream sets itself.
    """
    given = list(headers.items() if isinstance(headers, Mapping) else headers or ())
    extra = {"X-Amz-Decoded-Content-Length": str(decoded_length)}
    coding = "aws-chunked"
    for name, value in given:
        lower = name.lower()
        if lower == "content-encoding" and value:
            text = value if isinstance(value, str) else value.decode("ascii")
            # S3 strips the token wherever it stands; a second one would be stored with the object.
            named = "aws-chunked" in [token.strip().lower() for token in text.split(",")]
            coding = text if named else f"{text},aws-chunked"
        elif lower in (
            "content-length",
            "transfer-encoding",
            "x-amz-trailer",
            "x-amz-decoded-content-length",
        ):
            raise ConfigError(f"the stream sets {name} itself; take it out of the request's headers")
    extra["Content-Encoding"] = coding
    if algorithm is not None:
        extra["X-Amz-Trailer"] = algorithm.header
    kept = [(name, value) for name, value in given if name.lower() != "content-encoding"]
    return kept, extra


def encoded_length(
    decoded_length: int,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
    *,
    checksum: str | None = None,
    signed: bool = True,
) -> int:
    """The exact Content-Length of an aws-chunked body of `decoded_length` object bytes.

    Raises:
        ConfigError: the chunk size is outside 8,192 to 16,777,216, or the length is negative.
    """
    if not isinstance(decoded_length, int) or isinstance(decoded_length, bool) or decoded_length < 0:
        raise ConfigError(f"the decoded length must be a number of bytes, not {decoded_length!r}")
    if decoded_length >> 62:
        raise ConfigError(f"{decoded_length} bytes are more than any object can have")
    if not MIN_CHUNK_SIZE <= chunk_size <= MAX_CHUNK_SIZE:
        raise ConfigError(
            f"chunk_size {chunk_size} is outside {MIN_CHUNK_SIZE} to {MAX_CHUNK_SIZE} bytes (S3 refuses smaller ones)"
        )
    algorithm = None if checksum is None else checksums.lookup(checksum)
    return _core.encoded_length(
        decoded_length,
        chunk_size,
        signed,
        None if algorithm is None else algorithm.header,
        0 if algorithm is None else algorithm.base64_size,
    )
