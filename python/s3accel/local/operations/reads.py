"""GetObject and HeadObject: conditions, ranges, parts, header overrides."""

from __future__ import annotations

from ..conditions import NotModified, check_read, http_date, parse_range
from ..exchange import Reply
from ..records import ObjectRecord
from ..refusals import Refusal, invalid_argument, invalid_request
from .common import Call, add_checksum, number

BLOCK_BYTES = 1024 * 1024
INLINE_BYTES = 256 * 1024
"""Small enough to read on the event loop: a thread would cost more than the read from the page cache."""

_OVERRIDES = (
    "content-type",
    "content-language",
    "expires",
    "cache-control",
    "content-disposition",
    "content-encoding",
)


async def get_object(call: Call) -> Reply:
    # The record is held until the answer was sent, so that its bytes cannot be deleted under the reader.
    record = call.store.hold(call.bucket, call.key)
    try:
        reply = _read(call, record)
        if reply.status != 304 and reply.length:
            first = reply.first
            if reply.length <= INLINE_BYTES:
                blocks = call.store.read_segments(record.segments, first, reply.length, INLINE_BYTES)
                reply.body = b"".join(blocks)
            else:
                reply.stream = call.store.read_segments(record.segments, first, reply.length, BLOCK_BYTES)
    except BaseException:
        call.store.release(record)
        raise
    reply.done = lambda: call.store.release(record)
    return reply


async def head_object(call: Call) -> Reply:
    return _read(call, call.store.find(call.bucket, call.key))


def _read(call: Call, record: ObjectRecord) -> Reply:
    """Status and headers of an answer, without its bytes."""
    overrides = _overrides(call)
    try:
        check_read(call.request.header, record.etag, record.modified)
    except NotModified:
        reply = Reply(304)
        _identify(reply, record)
        return reply
    reply = Reply(length=record.size, xml=False)
    span, part = _span(call, record)
    if span is not None:
        first, length = span
        reply.status, reply.length, reply.first = 206, length, first
        reply.add("Content-Range", f"bytes {first}-{first + length - 1}/{record.size}")
    _identify(reply, record)
    reply.add("Accept-Ranges", "bytes")
    for name, value in {**record.headers, **overrides}.items():
        reply.add(name, value)
    for name, value in record.metadata:
        reply.add(f"x-amz-meta-{name}", value)
    if record.storage_class != "STANDARD":
        reply.add("x-amz-storage-class", record.storage_class)
    reply.add("x-amz-server-side-encryption", record.encryption)
    if part is not None and record.multipart:
        reply.add("x-amz-mp-parts-count", str(len(record.segments)))
    if (call.request.amz("x-amz-checksum-mode") or "").upper() == "ENABLED":
        _add_checksum(reply, record, span, part)
    return reply


def _identify(reply: Reply, record: ObjectRecord) -> None:
    reply.add("ETag", f'"{record.etag}"')
    reply.add("Last-Modified", http_date(record.modified))


def _overrides(call: Call) -> dict[str, str]:
    found = {}
    for name in _OVERRIDES:
        value = call.query.get(f"response-{name}")
        if value is not None:
            # A line break here would let a URL write response headers.
            if any(
                ord(character) < 32 or ord(character) > 255 or ord(character) == 127 for character in value
            ):
                raise invalid_argument("Header value cannot be represented", f"response-{name}", value)
            found[name] = value
    return found


def _span(call: Call, record: ObjectRecord) -> tuple[tuple[int, int] | None, int | None]:
    """First byte and length to send, None for the whole object, and the part number asked for."""
    range_header = call.request.header("range")
    if "partNumber" not in call.query:
        return parse_range(range_header, record.size), None
    if range_header is not None:
        raise invalid_request("Cannot specify both Range header and partNumber query parameter")
    wanted = number(call, "partNumber", 0, 1, 10_000)
    first = 0
    for position, segment in enumerate(record.segments, 1):
        if position == wanted:
            return ((first, segment.size) if segment.size else None), wanted
        first += segment.size
    raise Refusal(
        "InvalidPartNumber",
        416,
        "The requested partnumber is not satisfiable",
        {"PartNumberRequested": str(wanted), "ActualPartCount": str(len(record.segments))},
    )


def _add_checksum(reply: Reply, record: ObjectRecord, span: tuple[int, int] | None, part: int | None) -> None:
    """The checksum that belongs to exactly the bytes of this answer; none for other ranges."""
    if part is not None and record.multipart:
        reply.add(f"x-amz-checksum-{record.checksum_algorithm}", record.segments[part - 1].checksum)
        reply.add("x-amz-checksum-type", record.checksum_type)
    elif span is None or span == (0, record.size):
        add_checksum(reply, record)
