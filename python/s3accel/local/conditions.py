"""Conditional headers and ranges (RFC 9110 sections 13 and 14, with S3's choices where it differs)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate

from ..clock import http_date_of
from .refusals import Refusal, no_such_key, not_implemented, precondition_failed

_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.IGNORECASE)


class NotModified(Exception):
    """The client's copy is current: answer 304 without a body."""


def http_date(epoch: float) -> str:
    return formatdate(int(epoch), usegmt=True)


def etag_matches(header: str, etag: str) -> bool:
    """Whether an If-Match or If-None-Match list holds ``etag`` (given without quotes) or ``*``."""
    for candidate in header.split(","):
        candidate = candidate.strip().removeprefix("W/").strip('"')
        if candidate in ("*", etag):
            return True
    return False


def check_read(header: Callable[[str], str | None], etag: str, modified: float, names: str = "") -> None:
    """Apply the four conditions of a read.

    ``names`` is the prefix of the header names (``x-amz-copy-source-`` for a copy). Raises Refusal
    (PreconditionFailed) or :class:`NotModified`. If-Match beats If-Unmodified-Since, If-None-Match beats
    If-Modified-Since.
    """
    if_match, if_none_match = header(names + "if-match"), header(names + "if-none-match")
    unmodified, modified_since = header(names + "if-unmodified-since"), header(names + "if-modified-since")
    if if_match is not None:
        if not etag_matches(if_match, etag):
            raise precondition_failed("If-Match")
    elif unmodified is not None:
        limit = http_date_of(unmodified)
        if limit is not None and int(modified) > limit:
            raise precondition_failed("If-Unmodified-Since")
    if if_none_match is not None:
        if etag_matches(if_none_match, etag):
            raise precondition_failed("If-None-Match") if names else NotModified()
    elif modified_since is not None:
        limit = http_date_of(modified_since)
        if limit is not None and int(modified) <= limit:
            raise precondition_failed("If-Modified-Since") if names else NotModified()


@dataclass(frozen=True)
class WriteCondition:
    """What must hold at the moment an object is replaced: none of its kind there, or exactly this ETag."""

    if_none_match: bool = False
    if_match: str | None = None

    def check(self, key: str, current_etag: str | None) -> None:
        """Raises Refusal: PreconditionFailed, or NoSuchKey for If-Match without an object."""
        if self.if_none_match and current_etag is not None:
            raise precondition_failed("If-None-Match")
        if self.if_match is not None:
            if current_etag is None:
                raise no_such_key(key)
            if not etag_matches(self.if_match, current_etag):
                raise precondition_failed("If-Match")


UNCONDITIONAL = WriteCondition()


def write_condition(header: Callable[[str], str | None]) -> WriteCondition:
    """The conditions of a write. S3 takes ``If-None-Match: *`` only."""
    if_none_match, if_match = header("if-none-match"), header("if-match")
    for name in ("if-modified-since", "if-unmodified-since"):
        if header(name) is not None:
            raise not_implemented(f"{name} on a write", name)
    if if_none_match is not None and if_none_match.strip() != "*":
        raise not_implemented("If-None-Match takes only * on a write", "If-None-Match")
    if if_none_match is not None and if_match is not None:
        raise not_implemented("If-Match together with If-None-Match", "If-Match")
    return WriteCondition(if_none_match is not None, if_match)


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and length of a Range header over ``size`` bytes; None to answer with the whole object.

    A header that is no byte range is ignored. Several ranges are refused: S3 does not serve them.
    Raises Refusal InvalidRange (416) for one that lies behind the end.
    """
    if header is None:
        return None
    if "," in header and header.strip().lower().startswith("bytes"):
        raise not_implemented("several ranges in one request", "Range")
    found = _RANGE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        return None
    if found[1]:
        first = int(found[1])
        last = int(found[2]) if found[2] else size - 1
        if found[2] and last < first:
            return None
        last = min(last, size - 1)
    else:
        count = int(found[2])
        first, last = max(0, size - count), size - 1
        if count == 0:
            first = size
    if first >= size:
        raise Refusal(
            "InvalidRange",
            416,
            "The requested range is not satisfiable",
            {"RangeRequested": header, "ActualObjectSize": str(size)},
            {"Content-Range": f"bytes */{size}"},
        )
    return first, last - first + 1
