"""From parts to the whole: the object's checksum and ETag, computed from those of its parts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from s3accel import checksums
from s3accel.transfer.s3xml import CompletedPart

__all__ = ["checksum_type", "multipart_etag", "whole_checksum"]


def checksum_type(name: str) -> str:
    """CRCs of parts can be combined to that of the object; of other algorithms S3 makes a hash of hashes."""
    return "FULL_OBJECT" if checksums.lookup(name).full_object else "COMPOSITE"


def whole_checksum(name: str | None, parts: Sequence[CompletedPart]) -> str:
    """The object's checksum from its parts': base64, with ``-N`` if it is COMPOSITE; "" if a part has none."""
    if name is None or not parts or not all(part.checksum for part in parts):
        return ""
    digests = [base64.b64decode(part.checksum) for part in parts]
    if checksum_type(name) == "COMPOSITE":
        return checksums.composite(name, digests)
    whole = digests[0]
    for part, digest in zip(parts[1:], digests[1:], strict=True):
        whole = checksums.combine(name, whole, digest, part.size)
    return checksums.encode(whole)


def multipart_etag(parts: Sequence[CompletedPart]) -> str:
    """S3's ETag of a multipart object: MD5 of the parts' MD5s and their number. "" if an ETag is no MD5."""
    running = hashlib.md5(usedforsecurity=False)
    for part in parts:
        try:
            running.update(bytes.fromhex(part.etag.strip('"')))
        except ValueError:
            return ""
    return f"{running.hexdigest()}-{len(parts)}"
