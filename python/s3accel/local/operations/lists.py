"""ListObjects (both versions) and ListMultipartUploads."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from ...signer import uri_encode
from ..exchange import Reply
from ..listing import Page, page
from ..records import ObjectRecord, UploadRecord
from ..refusals import invalid_argument
from ..xml import Element, timestamp
from .common import OWNER_ID, Call, number, xml_reply

_OWNER: Element = ("Owner", [("ID", OWNER_ID)])


def _encoder(call: Call) -> Callable[[str], str]:
    """How keys are written: as they are, or percent-encoded because XML cannot carry every character."""
    kind = call.query.get("encoding-type")
    if kind is None:
        return str
    if kind != "url":
        raise invalid_argument("Invalid Encoding Method specified in Request", "encoding-type", kind)
    return lambda text: uri_encode(text, keep_slash=True)


def _contents(
    page_: Page, objects: dict[str, ObjectRecord], encode: Callable[[str], str], owner: bool
) -> list[Element]:
    elements: list[Element] = []
    for key in page_.keys:
        record = objects[key]
        entry: list[Element] = [
            ("Key", encode(key)),
            ("LastModified", timestamp(record.modified)),
            ("ETag", f'"{record.etag}"'),
            ("ChecksumAlgorithm", record.checksum_algorithm.upper()),
            ("ChecksumType", record.checksum_type),
            ("Size", str(record.size)),
            ("StorageClass", record.storage_class),
        ]
        if owner:
            entry.append(_OWNER)
        elements.append(("Contents", entry))
    return elements


def _common_prefixes(page_: Page, encode: Callable[[str], str]) -> list[Element]:
    return [("CommonPrefixes", ("Prefix", encode(prefix))) for prefix in page_.prefixes]


def _encode_token(after: str) -> str:
    return base64.urlsafe_b64encode(after.encode("utf-8")).decode("ascii")


def _decode_token(token: str) -> str:
    try:
        return base64.b64decode(token.encode("ascii"), b"-_", validate=True).decode("utf-8")
    except (binascii.Error, UnicodeError) as error:
        raise invalid_argument(
            "The continuation token provided is incorrect", "continuation-token", token
        ) from error


async def list_objects_v2(call: Call) -> Reply:
    query, encode = call.query, _encoder(call)
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    start_after, token = query.get("start-after", ""), query.get("continuation-token")
    limit = number(call, "max-keys", 1000, 0, 1000, clamp=True)
    if token == "":
        raise invalid_argument("The continuation token provided is incorrect", "continuation-token", token)
    after = start_after if token is None else _decode_token(token)
    with call.store.lock:
        bucket = call.store.bucket(call.bucket)
        found = page(bucket.sorted_keys(), prefix=prefix, delimiter=delimiter, after=after, limit=limit)
        contents = _contents(found, bucket.objects, encode, query.get("fetch-owner") == "true")
    children: list[Element] = [("Name", call.bucket), ("Prefix", encode(prefix))]
    if delimiter:
        children.append(("Delimiter", encode(delimiter)))
    if token is not None:
        children.append(("ContinuationToken", token))
    if found.next_after is not None:
        children.append(("NextContinuationToken", _encode_token(found.next_after)))
    if start_after:
        children.append(("StartAfter", encode(start_after)))
    children += [
        ("KeyCount", str(found.count)),
        ("MaxKeys", str(limit)),
        ("IsTruncated", "true" if found.next_after is not None else "false"),
    ]
    if "encoding-type" in query:
        children.append(("EncodingType", "url"))
    return xml_reply("ListBucketResult", [*children, *contents, *_common_prefixes(found, encode)])


async def list_objects(call: Call) -> Reply:
    query, encode = call.query, _encoder(call)
    prefix, delimiter, marker = query.get("prefix", ""), query.get("delimiter", ""), query.get("marker", "")
    limit = number(call, "max-keys", 1000, 0, 1000, clamp=True)
    with call.store.lock:
        bucket = call.store.bucket(call.bucket)
        found = page(bucket.sorted_keys(), prefix=prefix, delimiter=delimiter, after=marker, limit=limit)
        contents = _contents(found, bucket.objects, encode, True)
    children: list[Element] = [("Name", call.bucket), ("Prefix", encode(prefix)), ("Marker", encode(marker))]
    if delimiter:
        children.append(("Delimiter", encode(delimiter)))
        # NextMarker comes with a delimiter only; without one the last key is the marker (S3 API,
        # ListObjects).
        if found.next_after is not None:
            children.append(("NextMarker", encode(found.next_after)))
    children += [
        ("MaxKeys", str(limit)),
        ("IsTruncated", "true" if found.next_after is not None else "false"),
    ]
    if "encoding-type" in query:
        children.append(("EncodingType", "url"))
    return xml_reply("ListBucketResult", [*children, *contents, *_common_prefixes(found, encode)])


async def list_multipart_uploads(call: Call) -> Reply:
    query, encode = call.query, _encoder(call)
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    key_marker = query.get("key-marker", "")
    # upload-id-marker counts only together with key-marker.
    id_marker = query.get("upload-id-marker", "") if key_marker else ""
    limit = number(call, "max-uploads", 1000, 1, 1000, clamp=True)
    call.store.bucket(call.bucket)
    uploads = [one for one in call.services.uploads.of_bucket(call.bucket) if one.key.startswith(prefix)]
    start = 0
    if id_marker:
        # The list is by time within a key, so the marker is found by its id, not by comparing ids.
        ids = [(one.key, one.upload_id) for one in uploads]
        marked = (key_marker, id_marker)
        start = ids.index(marked) + 1 if marked in ids else sum(one.key <= key_marker for one in uploads)
    elif key_marker:
        start = sum(one.key <= key_marker for one in uploads)
    entries: list[Element] = []
    prefixes: list[str] = []
    last: tuple[str, str] = ("", "")
    truncated = False
    for upload in uploads[start:]:
        cut = upload.key.find(delimiter, len(prefix)) if delimiter else -1
        common = upload.key[: cut + len(delimiter)] if cut >= 0 else None
        if common is not None and (common in prefixes or common == key_marker):
            last = (upload.key, upload.upload_id)
            continue
        if len(entries) + len(prefixes) >= limit:
            truncated = True
            break
        if common is not None:
            prefixes.append(common)
        else:
            entries.append(("Upload", _upload_entry(upload, encode)))
        last = (upload.key, upload.upload_id)
    children: list[Element] = [
        ("Bucket", call.bucket),
        ("KeyMarker", encode(key_marker)),
        ("UploadIdMarker", id_marker),
    ]
    if truncated:
        children += [("NextKeyMarker", encode(last[0])), ("NextUploadIdMarker", last[1])]
    children += [("Prefix", encode(prefix)), ("MaxUploads", str(limit))]
    if delimiter:
        children.append(("Delimiter", encode(delimiter)))
    if "encoding-type" in query:
        children.append(("EncodingType", "url"))
    children.append(("IsTruncated", "true" if truncated else "false"))
    rolled: list[Element] = [("CommonPrefixes", ("Prefix", encode(one))) for one in prefixes]
    return xml_reply("ListMultipartUploadsResult", [*children, *entries, *rolled])


def _upload_entry(upload: UploadRecord, encode: Callable[[str], str]) -> list[Element]:
    entry: list[Element] = [
        ("Key", encode(upload.key)),
        ("UploadId", upload.upload_id),
        ("Initiator", [("ID", OWNER_ID)]),
        _OWNER,
        ("StorageClass", upload.storage_class),
        ("Initiated", timestamp(upload.initiated)),
    ]
    if upload.checksum_algorithm is not None and upload.checksum_type is not None:
        entry += [
            ("ChecksumAlgorithm", upload.checksum_algorithm.upper()),
            ("ChecksumType", upload.checksum_type),
        ]
    return entry
