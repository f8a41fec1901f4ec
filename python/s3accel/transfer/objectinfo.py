"""What the headers of an object's answer say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from s3accel import checksums
from s3accel.errors import ConfigError
from s3accel.transfer.messages import Response

__all__ = ["ObjectInfo", "object_info", "range_value"]


@dataclass(frozen=True)
class ObjectInfo:
    """What HeadObject and GetObject say about an object.

    Attributes:
        size: bytes of the whole object, also when a range was read.
        checksums: base64 values by algorithm name; with ``checksum_type`` COMPOSITE they are no object hashes.
        metadata: ``x-amz-meta-`` headers without that prefix, lower-case names.
    """

    bucket: str
    key: str
    size: int
    etag: str
    version_id: str | None
    last_modified: str
    content_type: str
    metadata: Mapping[str, str]
    checksums: Mapping[str, str]
    checksum_type: str


def range_value(start: int, stop: int | None) -> str:
    """The Range header of a half-open range."""
    if start < 0 or (stop is not None and stop <= start):
        raise ConfigError(
            f"byte range ({start}, {stop}) is empty or negative; give (start, stop) with 0 <= start < stop"
        )
    return f"bytes={start}-" + ("" if stop is None else str(stop - 1))


def object_info(bucket: str, key: str, response: Response) -> ObjectInfo:
    """Read them; what is not there is empty."""
    headers = response.headers
    size = headers.get("content-range").rpartition("/")[2] or headers.get("content-length")
    prefix = "x-amz-meta-"
    return ObjectInfo(
        bucket=bucket,
        key=key,
        size=int(size) if size.isdigit() else len(response.body),
        etag=headers.get("etag"),
        version_id=headers.get("x-amz-version-id") or None,
        last_modified=headers.get("last-modified"),
        content_type=headers.get("content-type"),
        metadata={name[len(prefix) :]: value for name, value in headers if name.startswith(prefix)},
        checksums={
            name: headers.get(item.header)
            for name, item in checksums.ALGORITHMS.items()
            if item.header in headers
        },
        checksum_type=headers.get("x-amz-checksum-type"),
    )
