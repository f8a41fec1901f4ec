"""Paging through sorted keys: the part of ListObjects that is only arithmetic."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Page:
    """One page: indexes into the keys, common prefixes, and where the next page starts (None at the end)."""

    keys: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    next_after: str | None = None

    @property
    def count(self) -> int:
        return len(self.keys) + len(self.prefixes)


def page(
    keys: Sequence[str], *, prefix: str = "", delimiter: str = "", after: str = "", limit: int = 1000
) -> Page:
    """The keys after ``after`` that start with ``prefix``, rolled up at ``delimiter``, at most ``limit``
    entries.

    ``keys`` is sorted by code point, which is the order of the UTF-8 bytes. ``after`` may be a key or a
    common prefix that was returned before; in that case everything below it is skipped.
    """
    result = Page()
    if limit <= 0:
        return result
    position = bisect_left(keys, prefix)
    if after:
        position = max(position, bisect_right(keys, after))
        if delimiter and after.endswith(delimiter) and after.startswith(prefix) and len(after) > len(prefix):
            position = _skip(keys, position, after)
    last = ""
    while position < len(keys):
        key = keys[position]
        if not key.startswith(prefix):
            break
        if result.count >= limit:
            result.next_after = last
            break
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        if cut >= 0:
            last = key[: cut + len(delimiter)]
            result.prefixes.append(last)
            position = _skip(keys, position, last)
        else:
            last = key
            result.keys.append(key)
            position += 1
    return result


def _skip(keys: Sequence[str], position: int, prefix: str) -> int:
    """The position of the first key at or after ``position`` that does not start with ``prefix``."""
    # U+10FFFF is the greatest character, so this lands behind nearly every key of the prefix at once; keys
    # that hold that character themselves are stepped over one by one.
    position = bisect_left(keys, prefix + "\U0010ffff", position)
    while position < len(keys) and keys[position].startswith(prefix):
        position += 1
    return position
