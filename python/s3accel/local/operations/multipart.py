"""Multipart uploads: create, parts, list, complete, abort."""

from __future__ import annotations

import asyncio
import re

from ... import checksums
from ..body import receive_document, receive_object
from ..conditions import check_read, parse_range, write_condition
from ..exchange import Reply
from ..records import Part, UploadRecord
from ..refusals import invalid_argument, invalid_request
from ..routing import CHECKSUM_HEADERS
from ..xml import Element, timestamp
from .assembly import complete_upload
from .common import (
    OWNER_ID,
    Call,
    checksum_element,
    number,
    open_bucket,
    storage_class,
    stored_headers,
    user_metadata,
    xml_reply,
)
from .objects import checksum_algorithm, copy_bytes, copy_source

MAX_PART_NUMBER = 10_000
_COPY_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


async def create_multipart_upload(call: Call) -> Reply:
    await receive_document(call.request, call.verified)
    open_bucket(call)
    algorithm = checksum_algorithm(call)
    kind = call.request.amz("x-amz-checksum-type")
    if kind is not None and algorithm is None:
        raise invalid_request(
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
        )
    if algorithm is not None:
        known = checksums.ALGORITHMS[algorithm]
        kind = kind or ("COMPOSITE" if known.composite else "FULL_OBJECT")
        if not {"COMPOSITE": known.composite, "FULL_OBJECT": known.full_object}.get(kind, False):
            raise invalid_request(
                f"The {kind} checksum type cannot be used with the {algorithm} checksum algorithm."
            )
    upload = UploadRecord(
        upload_id=call.services.uploads.new_id(),
        bucket=call.bucket,
        key=call.key,
        initiated=call.services.now(),
        headers=stored_headers(call),
        metadata=user_metadata(call),
        checksum_algorithm=algorithm,
        checksum_type=kind,
        storage_class=storage_class(call),
        encryption=call.request.amz("x-amz-server-side-encryption"),
    )
    call.services.uploads.create(upload)
    reply = xml_reply(
        "InitiateMultipartUploadResult",
        [("Bucket", call.bucket), ("Key", call.key), ("UploadId", upload.upload_id)],
    )
    if algorithm is not None:
        reply.add("x-amz-checksum-algorithm", algorithm.upper())
        reply.add("x-amz-checksum-type", kind)
    reply.add("x-amz-server-side-encryption", upload.encryption)
    return reply


def _part_number(call: Call) -> int:
    text = call.query.get("partNumber", "")
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or not 1 <= int(text) <= MAX_PART_NUMBER:
        raise invalid_argument(
            f"Part number must be an integer between 1 and {MAX_PART_NUMBER}, inclusive", "partNumber", text
        )
    return int(text)


def _sent_algorithm(call: Call) -> str | None:
    """The checksum algorithm a part announces, by header or trailer, before its body is read."""
    trailer = (call.request.header("x-amz-trailer") or "").strip().rstrip(",").lower()
    for name in CHECKSUM_HEADERS:
        if call.request.header(name) is not None or trailer == name:
            return name.removeprefix("x-amz-checksum-")
    return None


def _check_algorithm(upload: UploadRecord, sent: str | None) -> None:
    """A part's checksum is of the algorithm its upload was created with; COMPOSITE uploads need one on each
    part."""
    expected = upload.checksum_algorithm
    if expected is None or sent == expected or (sent is None and upload.checksum_type == "FULL_OBJECT"):
        return
    raise invalid_request(
        f"Checksum Type mismatch occurred, expected checksum Type: {expected}, actual checksum Type: "
        f"{sent or 'null'}"
    )


async def upload_part(call: Call) -> Reply:
    part_number = _part_number(call)
    upload = call.services.uploads.find(call.query["uploadId"], call.bucket, call.key)
    sent = _sent_algorithm(call)
    _check_algorithm(upload, sent)
    # A full-object checksum is combined from those of the parts, so a part that brought none gets one here.
    extra = upload.checksum_algorithm if sent is None and upload.checksum_algorithm != "crc64nvme" else None
    with call.store.stage() as staged:
        received = await receive_object(call.request, call.verified, staged, call.services.stats, extra)
        report = received.report
        part = Part(
            number=part_number,
            file="",
            size=report.length,
            etag=report.md5_hex,
            modified=call.services.now(),
            crc64nvme=report.crc64nvme_base64,
            checksum_algorithm=report.checksum_algorithm or upload.checksum_algorithm,
            checksum=report.checksum_base64 or received.extra_checksum,
        )
        if part.checksum is None and part.checksum_algorithm == "crc64nvme":
            part.checksum = part.crc64nvme
        call.services.uploads.put_part(upload, part, staged)
    reply = Reply(headers=[("ETag", f'"{part.etag}"')])
    if part.checksum_algorithm is not None:
        reply.add(f"x-amz-checksum-{part.checksum_algorithm}", part.checksum)
    reply.add("x-amz-server-side-encryption", upload.encryption)
    return reply


async def upload_part_copy(call: Call) -> Reply:
    await receive_document(call.request, call.verified)
    part_number = _part_number(call)
    upload = call.services.uploads.find(call.query["uploadId"], call.bucket, call.key)
    source_bucket, source_key = copy_source(call)
    algorithm = upload.checksum_algorithm or "crc64nvme"
    with call.store.reading(source_bucket, source_key) as source, call.store.stage() as staged:
        check_read(call.request.amz, source.etag, source.modified, "x-amz-copy-source-")
        first, length = 0, source.size
        wanted = call.request.amz("x-amz-copy-source-range")
        if wanted is not None:
            found = _COPY_RANGE.fullmatch(wanted)
            if found is None or int(found[2]) >= source.size:
                raise invalid_argument(
                    "The x-amz-copy-source-range value must be of the form bytes=first-last where "
                    "first and last are "
                    "the zero-based offsets of the first and last bytes to copy; the source has "
                    f"{source.size} bytes",
                    "x-amz-copy-source-range",
                    wanted,
                )
            first, length = parse_range(wanted, source.size) or (0, source.size)
        md5, checksum, crc64 = await asyncio.to_thread(
            copy_bytes, call.store, staged, source.segments, first, length, algorithm
        )
        part = Part(
            number=part_number,
            file="",
            size=length,
            etag=md5,
            modified=call.services.now(),
            crc64nvme=crc64,
            checksum_algorithm=upload.checksum_algorithm,
            checksum=checksum if upload.checksum_algorithm is not None else None,
        )
        call.services.uploads.put_part(upload, part, staged)
    children: list[Element] = [("LastModified", timestamp(part.modified)), ("ETag", f'"{part.etag}"')]
    if part.checksum_algorithm is not None and part.checksum is not None:
        children.append((checksum_element(part.checksum_algorithm), part.checksum))
    return xml_reply("CopyPartResult", children)


async def list_parts(call: Call) -> Reply:
    upload = call.services.uploads.find(call.query["uploadId"], call.bucket, call.key)
    limit = number(call, "max-parts", 1000, 0, 1000, clamp=True)
    marker = number(call, "part-number-marker", 0, 0, 2**31 - 1)
    with call.store.lock:
        parts = [upload.parts[one] for one in sorted(upload.parts) if one > marker]
    shown = parts[:limit]
    children: list[Element] = [
        ("Bucket", call.bucket),
        ("Key", call.key),
        ("UploadId", upload.upload_id),
        ("Initiator", [("ID", OWNER_ID)]),
        ("Owner", [("ID", OWNER_ID)]),
        ("StorageClass", upload.storage_class),
        ("PartNumberMarker", str(marker)),
        ("NextPartNumberMarker", str(shown[-1].number if shown else marker)),
        ("MaxParts", str(limit)),
        ("IsTruncated", "true" if len(parts) > len(shown) else "false"),
    ]
    if upload.checksum_algorithm is not None and upload.checksum_type is not None:
        children += [
            ("ChecksumAlgorithm", upload.checksum_algorithm.upper()),
            ("ChecksumType", upload.checksum_type),
        ]
    for part in shown:
        entry: list[Element] = [
            ("PartNumber", str(part.number)),
            ("LastModified", timestamp(part.modified)),
            ("ETag", f'"{part.etag}"'),
            ("Size", str(part.size)),
        ]
        if part.checksum_algorithm is not None and part.checksum is not None:
            entry.append((checksum_element(part.checksum_algorithm), part.checksum))
        children.append(("Part", entry))
    return xml_reply("ListPartsResult", children)


async def abort_multipart_upload(call: Call) -> Reply:
    upload = call.services.uploads.find(call.query["uploadId"], call.bucket, call.key)
    call.services.uploads.abort(upload)
    return Reply(204)


async def complete_multipart_upload(call: Call) -> Reply:
    # Its checksum headers speak of the object that is being completed, not of the document that lists the parts.
    verifier = call.verified.body(object_checksums=False)
    body, _ = await receive_document(call.request, call.verified, verifier)
    upload_id = call.query["uploadId"]
    condition = write_condition(call.request.header)
    with call.store.lock:
        done = call.services.uploads.finished(upload_id, call.bucket, call.key)
        if done is not None:
            # The answer of the first completion was lost and the client asks again: S3 gives it again.
            answer, headers = done
            return Reply(body=answer, headers=list(headers.items()))
        upload = call.services.uploads.find(upload_id, call.bucket, call.key)
        return complete_upload(call, upload, body, condition)
