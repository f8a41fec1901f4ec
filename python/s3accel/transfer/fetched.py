"""How objects are fetched, and the last look at the checksum of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from s3accel import checksums
from s3accel.errors import ChecksumMismatch, TransportError
from s3accel.transfer.objectinfo import ObjectInfo
from s3accel.transfer.pieces import Expected, Got, Pieces, combined, tiled

__all__ = ["DownloadSettings", "Verification", "verify"]


@dataclass(frozen=True)
class DownloadSettings:
    """How objects are fetched.

    Attributes:
        part_size: bytes of one range; also the size up to which an object is fetched in one request.
        concurrency: ranges in flight.
        memory_limit: bytes held at once for a stream; a file needs next to none.
        resume: keep what arrived of a large object when its download fails, and go on from it.
        fsync: bytes and name are on the disk before success is reported.
    """

    part_size: int
    concurrency: int
    memory_limit: int
    resume: bool = True
    fsync: bool = False


@dataclass(frozen=True)
class Verification:
    """``verified``: the bytes were compared with ``value``; else ``text`` says why not."""

    verified: bool
    text: str
    name: str | None = None
    value: str | None = None


def verify(
    info: ObjectInfo,
    expected: Expected | None,
    why: str,
    pieces: Pieces,
    got: Mapping[int, Got],
    whole: Callable[[str], Iterable[bytes] | bytes],
    spoilt: str,
) -> Verification:
    """Compare what arrived with what S3 holds.

    Args:
        why: why there is no ``expected``.
        got: every piece by its number.
        whole: for an algorithm that cannot be combined: the digest of the whole, or its bytes to be read once more.
        spoilt: for the error: what became of the bytes.

    Raises ChecksumMismatch; TransportError if the pieces are not the whole object.
    """
    ordered = [got[number] for number in sorted(got)]
    where = f"s3://{info.bucket}/{info.key}"
    if len(ordered) != pieces.count or not tiled(ordered, info.size):
        raise TransportError(
            f"{where}: the {len(ordered)} pieces that came are not the {info.size} bytes of the object; {spoilt}",
            phase="receive",
            retryable=False,
        )
    if expected is None:
        return Verification(False, why)
    if expected.composite and not pieces.parts:
        return Verification(
            False,
            f"the object's {expected.name} is one of its parts' checksums, and was not read part by part",
        )
    if expected.composite:
        value, how = combined(expected, got), f"from the digests of {pieces.count} parts"
    elif pieces.count == 1:
        value, how = checksums.encode(ordered[0].digest), "while it arrived"
    elif expected.combinable:
        value, how = combined(expected, got), f"combined from those of {pieces.count} ranges"
    else:
        value, how = _read_again(expected.name, whole(expected.name)), "over all bytes in order"
    if value != expected.value:
        raise ChecksumMismatch(
            f"{where}: the {info.size} bytes received have {expected.name} {value}, the object has {expected.value};"
            f" {spoilt}"
        )
    return Verification(True, f"{expected.name} computed {how}", expected.name, value)


def _read_again(name: str, whole: Iterable[bytes] | bytes) -> str:
    if isinstance(whole, bytes):
        return checksums.encode(whole)
    running = checksums.new(name)
    for block in whole:
        running.update(block)
    return checksums.encode(running.digest())
