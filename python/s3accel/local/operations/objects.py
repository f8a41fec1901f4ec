"""Writing and deleting objects: PutObject, CopyObject, DeleteObject, DeleteObjects."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from urllib.parse import unquote_to_bytes

from ... import checksums
from ..body import Received, receive_document, receive_object
from ..conditions import WriteCondition, check_read, write_condition
from ..exchange import Reply
from ..records import ObjectRecord, Segment
from ..refusals import Refusal, invalid_argument, invalid_request, malformed_xml, not_implemented
from ..routing import CHECKSUM_HEADERS
from ..staged import Staged
from ..store import Store
from ..xml import Element, parse, timestamp
from .common import (
    Call,
    add_checksum,
    checksum_element,
    open_bucket,
    storage_class,
    stored_headers,
    user_metadata,
    xml_reply,
)

BLOCK_BYTES = 1024 * 1024
MAX_DELETED = 1000


async def put_object(call: Call) -> Reply:
    async def receive(staged: Staged) -> Received:
        return await receive_object(call.request, call.verified, staged, call.services.stats)

    record = await store_object(call, write_condition(call.request.header), receive)
    reply = Reply(headers=[("ETag", f'"{record.etag}"')])
    add_checksum(reply, record)
    reply.add("x-amz-server-side-encryption", record.encryption)
    return reply


async def store_object(
    call: Call, condition: WriteCondition, receive: Callable[[Staged], Awaitable[Received]]
) -> ObjectRecord:
    """Receive an object into a staged file and commit it, once ``receive`` says that all of it is right."""
    open_bucket(call)
    # Refused now it costs the client no upload; what counts is the check at the commit.
    condition.check(call.key, call.store.etag(call.bucket, call.key))
    headers, metadata, kind = stored_headers(call), user_metadata(call), storage_class(call)
    with call.store.stage() as staged:
        report = (await receive(staged)).report
        record = ObjectRecord(
            key=call.key,
            size=report.length,
            etag=report.md5_hex,
            modified=call.services.now(),
            headers=headers,
            metadata=metadata,
            segments=[],
            checksum_algorithm=report.checksum_algorithm or "crc64nvme",
            checksum=report.checksum_base64 or report.crc64nvme_base64,
            storage_class=kind,
            encryption=call.amz("x-amz-server-side-encryption"),
        )
        call.store.commit(call.bucket, record, condition, staged)
    return record


def copy_source(call: Call) -> tuple[str, str]:
    """Bucket and key of ``x-amz-copy-source``: ``/bucket/key`` or ``bucket/key``, percent-encoded."""
    raw = call.request.amz("x-amz-copy-source") or ""
    path, _, version = raw.partition("?")
    if version and version != "versionId=null":
        raise not_implemented("copying from an object version", "x-amz-copy-source")
    if path.startswith("arn:"):
        raise not_implemented("copying from an access point", "x-amz-copy-source")
    try:
        decoded = unquote_to_bytes(path.encode("latin-1")).decode("utf-8")
    except UnicodeError as error:
        raise invalid_argument("Invalid copy source encoding", "x-amz-copy-source", raw) from error
    bucket, _, key = decoded.removeprefix("/").partition("/")
    if not bucket or not key:
        raise invalid_argument("Invalid copy source object key", "x-amz-copy-source", raw)
    return bucket, key


def copy_bytes(
    store: Store, staged: Staged, segments: list[Segment], start: int, length: int, algorithm: str
) -> tuple[str, str, str]:
    """Copy bytes of an object into a staged file; returns hex MD5, checksum by ``algorithm``, CRC64NVME
    (base64)."""
    md5 = hashlib.md5(usedforsecurity=False)
    wanted = checksums.new(algorithm)
    crc64 = wanted if algorithm == "crc64nvme" else checksums.new("crc64nvme")
    for block in store.read_segments(segments, start, length, BLOCK_BYTES):
        md5.update(block)
        wanted.update(block)
        if crc64 is not wanted:
            crc64.update(block)
        staged.write(block)
    return md5.hexdigest(), checksums.encode(wanted.digest()), checksums.encode(crc64.digest())


def checksum_algorithm(call: Call, default: str | None = None) -> str | None:
    """``x-amz-checksum-algorithm`` as our name of it. Raises Refusal InvalidRequest for an unknown one."""
    value = call.request.amz("x-amz-checksum-algorithm")
    if value is None:
        return default
    if value.lower() not in checksums.ALGORITHMS:
        raise invalid_request(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types"
        )
    return value.lower()


async def copy_object(call: Call) -> Reply:
    await receive_document(call.request, call.verified)
    open_bucket(call)
    source_bucket, source_key = copy_source(call)
    condition = write_condition(call.request.header)
    directive = call.request.amz("x-amz-metadata-directive") or "COPY"
    if directive not in ("COPY", "REPLACE"):
        raise invalid_argument("Unknown metadata directive.", "x-amz-metadata-directive", directive)
    changes = directive == "REPLACE" or call.request.amz("x-amz-storage-class") is not None
    if (source_bucket, source_key) == (call.bucket, call.key) and not changes:
        raise invalid_request(
            "This copy request is illegal because it is trying to copy an object to itself without "
            "changing the "
            "object's metadata, storage class, website redirect location or encryption attributes."
        )
    encryption = call.request.amz("x-amz-server-side-encryption")
    with call.store.reading(source_bucket, source_key) as source, call.store.stage() as staged:
        check_read(call.request.amz, source.etag, source.modified, "x-amz-copy-source-")
        # S3 computes a direct checksum of the copy: the one asked for, else the source's kind.
        algorithm = checksum_algorithm(call) or source.checksum_algorithm
        replace = directive == "REPLACE"
        headers = stored_headers(call) if replace else dict(source.headers)
        metadata = user_metadata(call) if replace else list(source.metadata)
        md5, checksum, _ = await asyncio.to_thread(
            copy_bytes, call.store, staged, source.segments, 0, source.size, algorithm
        )
        record = ObjectRecord(
            key=call.key,
            size=source.size,
            etag=md5,
            modified=call.services.now(),
            headers=headers,
            metadata=metadata,
            segments=[],
            checksum_algorithm=algorithm,
            checksum=checksum,
            storage_class=storage_class(call),
            encryption=encryption,
        )
        call.store.commit(call.bucket, record, condition, staged)
    reply = xml_reply(
        "CopyObjectResult",
        [
            ("LastModified", timestamp(record.modified)),
            ("ETag", f'"{record.etag}"'),
            ("ChecksumType", record.checksum_type),
            (checksum_element(algorithm), checksum),
        ],
    )
    reply.add("x-amz-server-side-encryption", encryption)
    return reply


async def delete_object(call: Call) -> Reply:
    if_match = call.request.header("if-match")
    if if_match is not None:
        call.store.delete(call.bucket, call.key, WriteCondition(if_match=if_match))
    else:
        call.store.delete(call.bucket, call.key)
    return Reply(204)


async def delete_objects(call: Call) -> Reply:
    body, report = await receive_document(call.request, call.verified)
    has_checksum = report.checksum_algorithm is not None or any(map(call.request.header, CHECKSUM_HEADERS))
    if call.request.header("content-md5") is None and not has_checksum:
        raise invalid_request("Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
    call.store.bucket(call.bucket)
    node = parse(body, "Delete")
    wanted = node.children("Object")
    if not 1 <= len(wanted) <= MAX_DELETED:
        raise malformed_xml()
    quiet = node.get("Quiet") == "true"
    results: list[Element] = []
    for entry in wanted:
        key = entry.get("Key")
        if not key:
            raise malformed_xml()
        for name in ("LastModifiedTime", "Size"):
            if entry.get(name) is not None:
                raise not_implemented(f"conditional deletes by {name}", name, "Element")
        if entry.get("VersionId") not in (None, "null"):
            raise not_implemented("object versions", "VersionId", "Element")
    for entry in wanted:
        key = entry.get("Key") or ""
        try:
            call.store.delete(call.bucket, key, WriteCondition(if_match=entry.get("ETag")))
        except Refusal as refusal:
            results.append(("Error", [("Key", key), ("Code", refusal.code), ("Message", refusal.message)]))
        else:
            if not quiet:
                results.append(("Deleted", ("Key", key)))
    return xml_reply("DeleteResult", results)
