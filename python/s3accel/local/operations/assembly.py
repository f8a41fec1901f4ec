"""CompleteMultipartUpload: from a list of parts to one object.

The parts' files become the object's segments as they are, so completing costs the same for any size. Rules:
S3 API Reference, CompleteMultipartUpload; S3 User Guide, "Checking object integrity" (COMPOSITE and
FULL_OBJECT).
"""

from __future__ import annotations

import base64
import hashlib

from ... import checksums
from ..conditions import WriteCondition
from ..exchange import Reply
from ..records import ObjectRecord, Part, Segment, UploadRecord
from ..refusals import Refusal, invalid_request, malformed_xml
from ..routing import CHECKSUM_HEADERS
from ..xml import Element, Node, document, parse
from .common import Call, checksum_element

MIN_PART_BYTES = 5 * 1024**2
"""Every part but the last has at least 5 MiB (S3 User Guide, multipart upload limits)."""


def _listed_parts(upload: UploadRecord, node: Node) -> list[Part]:
    """The parts the client lists, checked one by one against what was uploaded."""
    listed = node.children("Part")
    if not listed or len(listed) > 10_000:
        raise malformed_xml()
    parts: list[Part] = []
    for entry in listed:
        text, etag = entry.get("PartNumber") or "", (entry.get("ETag") or "").strip().strip('"')
        if not (text.isascii() and text.isdigit()) or len(text) > 5 or not etag:
            raise malformed_xml()
        if parts and int(text) <= parts[-1].number:
            raise Refusal(
                "InvalidPartOrder",
                400,
                "The list of parts was not in ascending order. Parts must be ordered by part number.",
                {"UploadId": upload.upload_id},
            )
        part = upload.parts.get(int(text))
        if part is None or part.etag != etag:
            raise _invalid_part(upload, text, etag)
        _check_listed_checksum(upload, part, entry, etag)
        parts.append(part)
    return parts


def _invalid_part(upload: UploadRecord, part_number: str, etag: str) -> Refusal:
    return Refusal(
        "InvalidPart",
        400,
        "One or more of the specified parts could not be found.  The part may not have been "
        "uploaded, or the specified "
        "entity tag may not match the part's entity tag.",
        {"UploadId": upload.upload_id, "PartNumber": part_number, "ETag": etag},
    )


def _check_listed_checksum(upload: UploadRecord, part: Part, entry: Node, etag: str) -> None:
    algorithm = part.checksum_algorithm
    given = entry.get(checksum_element(algorithm)) if algorithm is not None else None
    if given is not None and given != part.checksum:
        raise _invalid_part(upload, str(part.number), etag)
    if given is None and upload.checksum_type == "COMPOSITE":
        raise invalid_request(
            f"The upload was created using a {upload.checksum_algorithm} checksum. The complete "
            "request must include "
            f"the checksum for each part. It was missing for part {part.number} in the request."
        )


def _check_sizes(parts: list[Part]) -> None:
    for part in parts[:-1]:
        if part.size < MIN_PART_BYTES:
            raise Refusal(
                "EntityTooSmall",
                400,
                "Your proposed upload is smaller than the minimum allowed size",
                {
                    "ProposedSize": str(part.size),
                    "MinSizeAllowed": str(MIN_PART_BYTES),
                    "PartNumber": str(part.number),
                    "ETag": part.etag,
                },
            )


def _composite(algorithm: str, parts: list[Part]) -> str:
    """base64(alg(digest of part 1 || ... || digest of part N)) + "-N"."""
    if [part.number for part in parts] != list(range(1, len(parts) + 1)):
        # "You must use consecutive part numbers ... otherwise Amazon S3 generates an HTTP 500" (API
        # Reference).
        raise Refusal(
            "InternalError", 500, "A composite checksum needs consecutive part numbers that begin with 1."
        )
    return checksums.composite(algorithm, [base64.b64decode(part.checksum or "") for part in parts])


def _full_object(algorithm: str, parts: list[Part]) -> str:
    """The CRC of the whole object, combined from those of the parts."""
    values = [part.crc64nvme if algorithm == "crc64nvme" else part.checksum or "" for part in parts]
    total = base64.b64decode(values[0])
    for part, value in zip(parts[1:], values[1:], strict=True):
        total = checksums.combine(algorithm, total, base64.b64decode(value), part.size)
    return checksums.encode(total)


def _expected_checksum(call: Call, algorithm: str, kind: str) -> str | None:
    """The value the client says the object has. Raises Refusal InvalidRequest for another type or
    algorithm."""
    wanted_kind = call.request.header("x-amz-checksum-type")
    if wanted_kind is not None and wanted_kind != kind:
        raise invalid_request(
            f"The upload was created using the {kind} checksum mode. The complete request must use "
            "the same checksum mode."
        )
    sent = [name for name in CHECKSUM_HEADERS if call.request.header(name) is not None]
    if len(sent) > 1:
        raise invalid_request(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        )
    if not sent:
        return None
    name = sent[0].removeprefix("x-amz-checksum-")
    if name != algorithm:
        raise invalid_request(
            f"Checksum Type mismatch occurred, expected checksum Type: {algorithm}, actual checksum "
            f"Type: {name}"
        )
    return call.request.header(sent[0])


def complete_upload(call: Call, upload: UploadRecord, body: bytes, condition: WriteCondition) -> Reply:
    """Make the object. Called with the store's lock held; a refusal leaves the upload as it was."""
    parts = _listed_parts(upload, parse(body, "CompleteMultipartUpload"))
    _check_sizes(parts)
    size = sum(part.size for part in parts)
    declared = call.request.header("x-amz-mp-object-size")
    if declared is not None and declared.strip() != str(size):
        raise invalid_request(
            f"The provided 'x-amz-mp-object-size' header value {declared} does not match what was "
            f"computed: {size}"
        )
    algorithm = upload.checksum_algorithm or "crc64nvme"
    kind = upload.checksum_type or "FULL_OBJECT"
    checksum = _composite(algorithm, parts) if kind == "COMPOSITE" else _full_object(algorithm, parts)
    expected = _expected_checksum(call, algorithm, kind)
    if expected is not None and expected != checksum:
        raise Refusal(
            "BadDigest", 400, f"The {algorithm.upper()} you specified did not match the calculated checksum."
        )
    joined = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in parts), usedforsecurity=False)
    segments = []
    for part in parts:
        value = part.crc64nvme if algorithm == "crc64nvme" else part.checksum
        segments.append(Segment(part.file, part.size, part.number, value))
    record = ObjectRecord(
        key=call.key,
        size=size,
        etag=f"{joined.hexdigest()}-{len(parts)}",
        modified=call.services.now(),
        headers=upload.headers,
        metadata=upload.metadata,
        segments=segments,
        checksum_algorithm=algorithm,
        checksum=checksum,
        checksum_type=kind,
        multipart=True,
        storage_class=upload.storage_class,
        encryption=upload.encryption,
    )
    call.store.commit(call.bucket, record, condition)
    location = f"{call.request.scheme}://{call.request.host}{call.request.raw_path}"
    children: list[Element] = [
        ("Location", location),
        ("Bucket", call.bucket),
        ("Key", call.key),
        ("ETag", f'"{record.etag}"'),
        (checksum_element(algorithm), checksum),
        ("ChecksumType", kind),
    ]
    answer = document("CompleteMultipartUploadResult", children)
    headers = {} if upload.encryption is None else {"x-amz-server-side-encryption": upload.encryption}
    call.services.uploads.finish(upload, {part.file for part in parts}, answer, headers)
    return Reply(body=answer, headers=list(headers.items()))
