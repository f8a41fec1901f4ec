"""Decodes and checks an aws-chunked body whose chunks are signed with SigV4a.

The rules are those of the core's ChunkDecoder: a chunk header of at most 1 KiB, CRLF exactly, each chunk's
signature checked before the next chunk is read, bounded memory. What differs is the signature: 144
characters, ECDSA in hexadecimal DER filled up with ``*``.
"""

from __future__ import annotations

import re
from typing import Any

from .. import _core
from ..errors import VerificationError
from .ecdsa import PublicKeyV4a
from .streaming import SIGNATURE_SIZE, chunk_string, trailer_string

__all__ = ["ChunkDecoderV4a"]

MAX_HEADER = 1024
MAX_TRAILERS = 4096
MIN_CHUNK = 8192

# S3 accepts spaces round ';' and '='.
_HEADER = re.compile(rb"(?P<size>[0-9A-Fa-f]{1,16}) *; *chunk-signature *= *(?P<signature>[0-9a-f]+\**)")


class _Fault(Exception):
    def __init__(self, code: str, offset: int) -> None:
        super().__init__(code)
        self.code = code
        self.offset = offset


class ChunkDecoderV4a:
    """One body. The methods and codes are those of the core's ChunkDecoder.

    Args:
        key: who must have signed.
        timestamp, scope: of the request; the scope has no region.
        seed: the signature in the Authorization header.
        trailer_mode: the payload is one of the ``-TRAILER`` constants.
        decoded_length: object bytes announced. trailer_name: the trailer announced, or "".
    """

    def __init__(
        self,
        key: PublicKeyV4a,
        timestamp: str,
        scope: str,
        seed: str,
        trailer_mode: bool,
        decoded_length: int,
        trailer_name: str,
    ) -> None:
        self._key = key
        self._head = f"{timestamp}\n{scope}\n"
        self._previous = seed
        self._signature = ""
        self._trailer_mode = trailer_mode
        self._decoded_length = decoded_length
        self._trailer_name = trailer_name
        self._line = bytearray()
        self._state = self._read_header
        self._hash = _core.Sha256()
        self._left = 0
        self._size = 0
        self._chunk_at = 0
        self._consumed = 0
        self._fault: _Fault | None = None
        self.decoded = 0
        self.data_chunks = 0
        self.bad_chunk = 0
        self.bad_chunk_size = 0
        self.provided = 0
        self.to_sign = b""
        self.provided_signature = ""
        self.trailer_value = ""

    def feed(self, data: Any, /) -> tuple[bytes, str | None, int]:
        """(object bytes, code or None, offset of the fault)"""
        out = bytearray()
        view = memoryview(data).cast("B")
        at = 0
        try:
            if self._fault is not None:
                raise self._fault
            while at < len(view):
                at += self._state(view[at:], out, at)
        except _Fault as fault:
            self._fault = fault
            return b"", fault.code, fault.offset
        self._consumed += len(view)
        return bytes(out), None, 0

    def finish(self) -> tuple[str | None, int]:
        """(code or None, offset of the fault)"""
        try:
            self._finish()
        except _Fault as fault:
            return fault.code, fault.offset
        return None, 0

    # Each state takes what it can from the front and says how many bytes that were.

    def _read_header(self, view: memoryview, out: bytearray, at: int) -> int:
        if not self._line:
            self._chunk_at = self._consumed + at
        piece = bytes(view[: MAX_HEADER + 1])
        end = piece.find(b"\n")
        taken = len(piece) if end < 0 else end + 1
        self._line += piece[:taken]
        if len(self._line) > MAX_HEADER:
            raise _Fault("body_incomplete", self._chunk_at)
        if end >= 0:
            line = bytes(self._line)
            self._line.clear()
            if not line.endswith(b"\r\n"):
                raise _Fault("body_incomplete", self._chunk_at)
            self._begin_chunk(line[:-2])
        return taken

    def _begin_chunk(self, line: bytes) -> None:
        found = _HEADER.fullmatch(line)
        if found is None or len(found["signature"]) != SIGNATURE_SIZE:
            raise _Fault("body_incomplete", self._chunk_at)
        size = int(found["size"], 16)
        self._signature = found["signature"].decode("ascii").rstrip("*")
        if size == 0:
            self._check_chunk(_core.sha256(b""))
            if self.decoded != self._decoded_length:
                self.provided = self.decoded
                raise _Fault("body_length_mismatch", self._chunk_at)
            self._state = self._read_trailers
            return
        # Found broken at the header after the short chunk, because the last chunk may be short.
        if self.data_chunks and self._size < MIN_CHUNK:
            self.bad_chunk = self.data_chunks + 1
            self.bad_chunk_size = self._size
            raise _Fault("chunk_too_small", self._chunk_at)
        if size > self._decoded_length - self.decoded:
            self.provided = self.decoded + size
            raise _Fault("body_length_mismatch", self._chunk_at)
        self.data_chunks += 1
        self._size = self._left = size
        self._hash = _core.Sha256()
        self._state = self._read_data

    def _read_data(self, view: memoryview, out: bytearray, at: int) -> int:
        piece = view[: self._left]
        self._hash.update(piece)
        out += piece
        self._left -= len(piece)
        self.decoded += len(piece)
        if self._left == 0:
            self._check_chunk(self._hash.digest())
            self._state = self._read_crlf
        return len(piece)

    def _read_crlf(self, view: memoryview, out: bytearray, at: int) -> int:
        if view[0] != b"\r\n"[len(self._line)]:
            raise _Fault("body_incomplete", self._consumed + at)
        self._line.append(view[0])
        if len(self._line) == 2:
            self._line.clear()
            self._state = self._read_header
        return 1

    def _read_trailers(self, view: memoryview, out: bytearray, at: int) -> int:
        # The section ends at its first empty line. What follows is ignored, as S3 ignores it.
        before = len(self._line)
        self._line += view[: MAX_TRAILERS + 1]
        if self._line.startswith(b"\r\n"):
            end = 2
        else:
            found = self._line.find(b"\r\n\r\n")
            end = found + 4 if found >= 0 else -1
        if end >= 0:
            del self._line[end:]
            self._state = self._read_nothing
            return max(1, end - before)
        if len(self._line) > MAX_TRAILERS:
            raise _Fault("trailer_malformed", self._consumed + at)
        return len(self._line) - before

    def _read_nothing(self, view: memoryview, out: bytearray, at: int) -> int:
        return len(view)

    def _finish(self) -> None:
        if self._fault is not None:
            raise self._fault
        trailers = self._state in (self._read_trailers, self._read_nothing)
        if not trailers or (self._line and not self._line.endswith(b"\r\n")):
            raise _Fault("body_incomplete", self._consumed)
        # A signed stream in trailer mode must bring a checksum trailer; S3 refuses it otherwise.
        if self._trailer_mode and not self._trailer_name:
            raise _Fault("body_incomplete", self._consumed)
        malformed = _Fault("trailer_malformed", self._consumed)
        value: str | None = None
        signature: str | None = None
        for line in bytes(self._line).split(b"\r\n"):
            if not line:
                break
            raw_name, colon, raw_value = line.partition(b":")
            if not colon or not self._trailer_mode:
                raise malformed
            name, text = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip(" ")
            if name == self._trailer_name:
                value = text  # repeated: the last one counts, as S3 does it
            elif name == "x-amz-trailer-signature":
                signature = text
            else:
                raise malformed
        if (value is not None) != bool(self._trailer_name):
            raise malformed
        if not self._trailer_mode:
            return
        if value is None or signature is None:
            raise malformed
        self.trailer_value = value
        text_to_sign = trailer_string(self._head, self._previous, self._trailer_name, value)
        if len(signature) != SIGNATURE_SIZE:
            raise self._mismatch("trailer_signature_mismatch", text_to_sign, signature, self._consumed)
        self._verify("trailer_signature_mismatch", text_to_sign, signature.rstrip("*"), self._consumed)

    def _check_chunk(self, digest: bytes) -> None:
        text = chunk_string(self._head, self._previous, digest)
        self._verify("chunk_signature_mismatch", text, self._signature, self._chunk_at)
        self._previous = self._signature

    def _verify(self, code: str, text: bytes, signature: str, offset: int) -> None:
        try:
            self._key.verify(text, signature)
        except VerificationError:
            raise self._mismatch(code, text, signature, offset) from None

    def _mismatch(self, code: str, text: bytes, signature: str, offset: int) -> _Fault:
        self.to_sign = text
        self.provided_signature = signature[:256]
        return _Fault(code, offset)

    def __repr__(self) -> str:
        return f"<ChunkDecoderV4a {self.decoded} of {self._decoded_length} bytes>"
