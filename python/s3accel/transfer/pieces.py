"""Which ranges an object is read in, and how their checksums become the object's. Pure: no I/O.

A full-object CRC follows from the CRCs of any ranges. A COMPOSITE checksum is a hash of the parts' hashes, so it can
only be checked where the ranges are the parts as they were uploaded. Source: S3 User Guide, "Checking object integrity".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from s3accel import checksums
from s3accel.errors import ConfigError, TransportError
from s3accel.transfer.messages import Headers
from s3accel.transfer.objectinfo import ObjectInfo
from s3accel.transfer.plan import MAX_PARTS

__all__ = ["Expected", "Got", "Piece", "Pieces", "combined", "expected_of", "span_of", "tiled"]

MIB = 1024 * 1024
#: What is kept of each range, so that a file can be checked before a download goes on, where the object itself has
#: no CRC.
OWN_ALGORITHM = "crc64nvme"

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True)
class Expected:
    """The checksum that S3 holds of an object. ``composite``: of its parts' digests, ``parts`` of them."""

    name: str
    value: str
    composite: bool = False

    @property
    def parts(self) -> int:
        count = self.value.rpartition("-")[2]
        return int(count) if self.composite and count.isdigit() else 0

    @property
    def combinable(self) -> bool:
        """True if it follows from the checksums of any ranges."""
        return not self.composite and checksums.lookup(self.name).native


@dataclass(frozen=True)
class Piece:
    """One request's worth: ``length`` bytes from ``offset``, asked for as a range or (``by_part``) as a part.

    For parts both are what they are thought to be; the answer says what they are.
    """

    number: int
    offset: int
    length: int
    by_part: bool = False


@dataclass(frozen=True)
class Got:
    """A piece that arrived: where its bytes belong, and their raw digest."""

    offset: int
    length: int
    digest: bytes


@dataclass(frozen=True)
class Pieces:
    """How ``size`` bytes are read: in ranges of ``step`` bytes, or as the ``parts`` parts they were uploaded in."""

    size: int
    step: int
    parts: int = 0

    @property
    def count(self) -> int:
        return self.parts or max(1, -(-self.size // self.step))

    def __iter__(self) -> Iterator[Piece]:
        for number in range(1, self.count + 1):
            offset = min((number - 1) * self.step, self.size)
            yield Piece(number, offset, min(self.step, self.size - offset), bool(self.parts))

    @classmethod
    def plan(cls, size: int, step: int) -> Pieces:
        """Ranges of ``step`` bytes, more where that would be more than 10,000 of them."""
        if step < 1:
            raise ConfigError(f"part_size is {step} bytes; at least 1 is needed")
        needed = -(-size // MAX_PARTS)
        if needed > step:
            step = -(-needed // MIB) * MIB
        return cls(size, step)


def expected_of(info: ObjectInfo) -> tuple[Expected | None, str]:
    """The checksum to compare with, and if there is none, why."""
    if not info.checksums:
        return None, "S3 holds no checksum of the object"
    found: list[Expected] = []
    missing = ""
    for name, value in info.checksums.items():
        composite = info.checksum_type == "COMPOSITE" or "-" in value
        try:
            checksums.new(name)
        except ConfigError as error:
            missing = str(error)
            continue
        found.append(Expected(name, value, composite))
    if not found:
        return None, missing
    # There is one as a rule; of several, that which any ranges give.
    return min(found, key=lambda item: (not item.combinable, item.composite)), ""


def span_of(piece: Piece, headers: Headers, size: int) -> tuple[int, int]:
    """Offset and length of an answer's bytes. Raises TransportError if it is not what was asked for."""
    text = headers.get("content-range")
    if not text and not piece.offset and piece.length == size:
        return 0, size
    found = _CONTENT_RANGE.fullmatch(text)
    if found is None:
        raise TransportError(
            f"asked for {piece.length} bytes from {piece.offset}, the answer has Content-Range {text!r}: the server"
            " does not serve ranges as S3 does",
            phase="receive",
            retryable=False,
        )
    first, last, total = (int(group) for group in found.groups())
    asked = piece.by_part or (first, last) == (piece.offset, piece.offset + piece.length - 1)
    if total != size or not asked or not first <= last < size:
        raise TransportError(
            f"asked for {piece.length} bytes from {piece.offset} of {size}, the answer has {text!r}",
            phase="receive",
            retryable=False,
        )
    return first, last - first + 1


def tiled(pieces: Iterable[Got], size: int) -> bool:
    """True if the pieces, in this order, are exactly the bytes 0 to ``size``."""
    position = 0
    for piece in pieces:
        if piece.offset != position:
            return False
        position += piece.length
    return position == size


def combined(expected: Expected, pieces: Mapping[int, Got] | Sequence[Got]) -> str:
    """The object's checksum from the digests of all its pieces, in the order of their numbers."""
    ordered = [pieces[number] for number in sorted(pieces)] if isinstance(pieces, Mapping) else list(pieces)
    digests = [piece.digest for piece in ordered]
    if expected.composite:
        return checksums.composite(expected.name, digests)
    whole = digests[0]
    for piece in ordered[1:]:
        whole = checksums.combine(expected.name, whole, piece.digest, piece.length)
    return checksums.encode(whole)
