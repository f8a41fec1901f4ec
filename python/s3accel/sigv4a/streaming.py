"""aws-chunked bodies signed with SigV4a: the frames of `streaming.py` with ECDSA signatures.

A DER signature has 8 to 72 bytes, so on the wire its hexadecimal text is filled up with ``*`` to exactly 144
characters: that keeps the encoded length known in advance. The chain goes on with the text without filling.

Source: aws-c-auth, `source/aws_signing.c` (padding); the framing is that of S3 API Reference,
"sigv4-streaming" and "sigv4-streaming-trailers".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .. import _core, checksums
from ..errors import ConfigError
from ..streaming import DEFAULT_CHUNK_SIZE, GROUP_BYTES, SignedStream, encoded_length, stream_headers
from ..turns import Turn
from .ecdsa import ALGORITHM, SigningKeyV4a

if TYPE_CHECKING:
    from . import SignerV4a

__all__ = ["SIGNATURE_SIZE", "SignedStreamV4a", "encoded_length_v4a"]

#: Characters of a chunk's or trailer's signature on the wire.
SIGNATURE_SIZE = 144
STREAMING = f"STREAMING-{ALGORITHM}-PAYLOAD"
STREAMING_TRAILER = f"{STREAMING}-TRAILER"
EMPTY_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def encoded_length_v4a(
    decoded_length: int, chunk_size: int = DEFAULT_CHUNK_SIZE, *, checksum: str | None = None
) -> int:
    """The exact Content-Length of an aws-chunked body of `decoded_length` object bytes, signed with SigV4a.

    Raises:
        ConfigError: the chunk size is outside 8,192 to 16,777,216, or the length is negative.
    """
    # Every signature is 80 characters longer than an HMAC's 64: one for each chunk, the last and the trailer.
    chunks = -(-decoded_length // chunk_size) if isinstance(chunk_size, int) and chunk_size > 0 else 0
    signatures = chunks + 1 + (checksum is not None)
    return encoded_length(decoded_length, chunk_size, checksum=checksum) + signatures * (SIGNATURE_SIZE - 64)


def chunk_string(head: str, previous: str, digest: bytes) -> bytes:
    """The string to sign of a chunk. `head`: timestamp, LF, scope, LF."""
    return f"{ALGORITHM}-PAYLOAD\n{head}{previous}\n{EMPTY_HASH}\n{digest.hex()}".encode("ascii")


def trailer_string(head: str, previous: str, name: str, value: str) -> bytes:
    """The string to sign of the one trailer; its line ends in LF."""
    digest = _core.sha256(f"{name}:{value}\n".encode("latin-1"))
    return f"{ALGORITHM}-TRAILER\n{head}{previous}\n{digest.hex()}".encode("ascii")


class _Encoder:
    """The chain of chunk signatures, with the methods of the core's ChunkEncoder."""

    def __init__(
        self,
        key: SigningKeyV4a,
        head: str,
        seed: str,
        decoded_length: int,
        chunk_size: int,
        trailer_name: str | None,
    ) -> None:
        self._key = key
        self._head = head
        self._previous = seed
        self._chunk_size = chunk_size
        self._trailer_name = trailer_name
        self._views: list[memoryview] = []
        self.remaining = decoded_length
        self.open_payload = 0
        self.finished = False

    def open(self, max_chunks: int) -> list[memoryview] | None:
        if self.finished:
            return None
        self._take(memoryview(bytearray(min(self.remaining, max_chunks * self._chunk_size))))
        return list(self._views)

    def fill(self, data: Any) -> None:
        source = memoryview(data).cast("B")
        if len(source) != self.open_payload:
            raise ConfigError(f"the open group takes {self.open_payload} bytes, not {len(source)}")
        at = 0
        for view in self._views:
            view[:] = source[at : at + len(view)]
            at += len(view)

    def seal(self, trailer: str | None = None) -> bytes:
        return b"".join(self._frames(trailer))

    def seal_apart(
        self, group: memoryview, max_chunks: int, trailer: str | None = None
    ) -> list[bytes | memoryview]:
        """The frames of a group of whole chunks that lies elsewhere: headers, and views of it between."""
        wanted = min(self.remaining, max_chunks * self._chunk_size)
        if len(group) != wanted:
            raise ConfigError(f"the next group takes {wanted} bytes, not {len(group)}")
        self._take(group)
        return self._frames(trailer)

    def _take(self, whole: memoryview) -> None:
        self.open_payload = len(whole)
        self._views = [whole[at : at + self._chunk_size] for at in range(0, len(whole), self._chunk_size)]

    def _frames(self, trailer: str | None) -> list[bytes | memoryview]:
        out: list[bytes | memoryview] = []
        for view, digest in zip(self._views, _core.sha256_many(self._views), strict=True):
            out += [self._header(len(view), digest), view, b"\r\n"]
        self.remaining -= self.open_payload
        if self.remaining == 0:
            out.append(self._header(0, bytes.fromhex(EMPTY_HASH)))
            if self._trailer_name is not None:
                value = trailer or ""
                text = trailer_string(self._head, self._previous, self._trailer_name, value)
                signature = self._key.sign(text).ljust(SIGNATURE_SIZE, "*")
                out.append(
                    f"{self._trailer_name}:{value}\r\nx-amz-trailer-signature:{signature}\r\n".encode("ascii")
                )
            out.append(b"\r\n")
            self.finished = True
        self._views = []
        self.open_payload = 0
        return out

    def _header(self, size: int, digest: bytes) -> bytes:
        self._previous = self._key.sign(chunk_string(self._head, self._previous, digest))
        return f"{size:x};chunk-signature={self._previous.ljust(SIGNATURE_SIZE, '*')}\r\n".encode("ascii")


class SignedStreamV4a(SignedStream):
    """One attempt at sending one body as aws-chunked with SigV4a. Made by `SignerV4a.stream`.

    It is used like a `SignedStream`. Each chunk costs an ECDSA signature (about 35 us), so large chunks pay.
    """

    def __init__(
        self,
        signer: SignerV4a,
        method: str,
        url: str,
        headers: Mapping[str, Any] | Iterable[tuple[str, Any]] | None,
        decoded_length: int,
        *,
        chunk_size: int = DEFAULT_CHUNK_SIZE,
        checksum: str | None = None,
    ) -> None:
        algorithm = None if checksum is None else checksums.lookup(checksum)
        length = encoded_length_v4a(decoded_length, chunk_size, checksum=checksum)
        payload = STREAMING if algorithm is None else STREAMING_TRAILER
        kept, extra = stream_headers(headers, decoded_length, algorithm)
        added, seed, timestamp, _, _, _, key = signer._sign_detailed(
            method, url, [*kept, *extra.items()], payload
        )

        self.headers = {**added, **extra, "Content-Length": str(length)}
        self.encoded_length = length
        self.decoded_length = decoded_length
        self.chunk_size = chunk_size
        self.checksum_header = None if algorithm is None else algorithm.header
        self._algorithm = algorithm
        self._running = None if algorithm is None else checksums.new(algorithm.name)
        self._value: str | None = None
        self._open: list[memoryview] | None = None
        self._turn = Turn()
        self._max_chunks = max(1, GROUP_BYTES // chunk_size)
        head = f"{timestamp}\n{timestamp[:8]}/{signer.service}/aws4_request\n"
        encoder = _Encoder(key, head, seed, decoded_length, chunk_size, self.checksum_header)
        self._encoder = encoder  # type: ignore[assignment]  # the same methods, on another key

    def __repr__(self) -> str:
        encoder = getattr(self, "_encoder", None)
        if encoder is None:
            return "<SignedStreamV4a not made>"  # a debugger may look at one whose constructor refused
        return f"<SignedStreamV4a {self.decoded_length} bytes as {self.encoded_length}, {encoder.remaining} left>"
