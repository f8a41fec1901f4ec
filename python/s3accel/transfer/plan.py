"""Size -> one put, or parts of what size. Pure arithmetic; S3's limits live here.

Source of the limits: S3 User Guide, "Amazon S3 multipart upload limits" (2026).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from s3accel.errors import ConfigError

__all__ = [
    "DEFAULT_MULTIPART_THRESHOLD",
    "DEFAULT_PART_SIZE",
    "DEFAULT_STREAM_PART_SIZE",
    "MAX_PARTS",
    "MAX_PART_SIZE",
    "MAX_PUT_SIZE",
    "MAX_SIZE",
    "MIN_PART_SIZE",
    "PartRange",
    "Plan",
    "check_part_size",
    "make_plan",
    "stream_part_size",
    "stream_reach",
]

MIB = 1024 * 1024
GIB = 1024 * MIB

MIN_PART_SIZE = 5 * MIB
MAX_PART_SIZE = 5 * GIB
MAX_PUT_SIZE = 5 * GIB
MAX_PARTS = 10_000
#: 48.8 TiB. The exact limit is not published; this is what parts can hold, the server decides below it.
MAX_SIZE = MAX_PARTS * MAX_PART_SIZE

#: One part is what a failed attempt sends again, and what one connection carries between two round trips.
DEFAULT_PART_SIZE = 16 * MIB
DEFAULT_MULTIPART_THRESHOLD = 16 * MIB
#: Parts of streams are buffered, so they are smaller.
DEFAULT_STREAM_PART_SIZE = 8 * MIB

#: Parts of a stream keep their size for the first thousand, then double every hundred.
STREAM_FLAT_PARTS = 1_000
STREAM_DOUBLING = 100


@dataclass(frozen=True)
class PartRange:
    """Part ``number`` (from 1) holds ``length`` bytes from ``offset``."""

    number: int
    offset: int
    length: int


@dataclass(frozen=True)
class Plan:
    """How ``size`` bytes are sent: in one put (``part_size`` 0), or in ``count`` parts, the last one shorter."""

    size: int
    part_size: int
    count: int

    @property
    def multipart(self) -> bool:
        return self.part_size > 0

    def part(self, number: int) -> PartRange:
        """The range of part ``number``, 1 to ``count``."""
        if not 1 <= number <= self.count:
            raise ConfigError(f"part {number} is not one of 1 to {self.count}")
        if not self.part_size:
            return PartRange(1, 0, self.size)
        offset = (number - 1) * self.part_size
        return PartRange(number, offset, min(self.part_size, self.size - offset))

    def parts(self) -> Iterator[PartRange]:
        return (self.part(number) for number in range(1, self.count + 1))


def check_part_size(part_size: int | None) -> int | None:
    """``part_size`` itself if S3 can take it (5 MiB to 5 GiB) or None. Raises ConfigError."""
    if part_size is not None and not MIN_PART_SIZE <= part_size <= MAX_PART_SIZE:
        raise ConfigError(
            f"part_size is {part_size} bytes; S3 takes parts of {MIN_PART_SIZE} (5 MiB) to {MAX_PART_SIZE} (5 GiB)"
        )
    return part_size


def make_plan(
    size: int, *, part_size: int | None = None, multipart_threshold: int = DEFAULT_MULTIPART_THRESHOLD
) -> Plan:
    """The plan for an object of known size.

    Args:
        size: bytes, 0 to MAX_SIZE.
        part_size: wanted size of parts; it grows (to whole MiB) when 10,000 parts would not be enough.
        multipart_threshold: from this size on, parts. At most 5 GiB, since one put holds no more.

    Raises ConfigError if no plan fits.
    """
    if size < 0:
        raise ConfigError(f"size is {size}; it cannot be negative")
    if size > MAX_SIZE:
        raise ConfigError(
            f"{size} bytes do not fit in one object: S3 takes at most {MAX_SIZE} (10,000 parts of 5 GiB)"
        )
    check_part_size(part_size)
    if size < min(multipart_threshold, MAX_PUT_SIZE + 1) or size == 0:
        return Plan(size, 0, 1)
    needed = _ceil(_ceil(size, MAX_PARTS), MIB) * MIB
    chosen = min(max(part_size or DEFAULT_PART_SIZE, MIN_PART_SIZE, needed), MAX_PART_SIZE)
    return Plan(size, chosen, _ceil(size, chosen))


def _ceil(value: int, divisor: int) -> int:
    return (value + divisor - 1) // divisor


def stream_part_size(number: int, base: int = DEFAULT_STREAM_PART_SIZE) -> int:
    """Size of part ``number`` (from 1) of a stream of unknown length.

    The first 1,000 parts have the base size, then it doubles every 100 parts up to 5 GiB. With 8 MiB that is
    7.8 GiB before the first growth and 40.3 TiB in 10,000 parts. A stream cannot reach 48.8 TiB whatever the rule:
    that takes 10,000 parts of 5 GiB, the first one too. ``base=MAX_PART_SIZE`` gives just that.
    """
    if number <= STREAM_FLAT_PARTS:
        return base
    doublings = min((number - STREAM_FLAT_PARTS - 1) // STREAM_DOUBLING + 1, 12)
    return min(base << doublings, MAX_PART_SIZE)


def stream_reach(base: int = DEFAULT_STREAM_PART_SIZE) -> int:
    """How many bytes of a stream 10,000 parts hold."""
    return sum(stream_part_size(number, base) for number in range(1, MAX_PARTS + 1))
