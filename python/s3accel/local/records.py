"""What the store remembers about buckets, objects and uploads; each is one JSON file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Segment:
    """A run of an object's bytes: one file. A plain object has one, a multipart object one per part."""

    file: str
    size: int
    number: int = 1
    checksum: str | None = None


@dataclass
class ObjectRecord:
    """An object: everything but its bytes.

    ``etag`` is without quotes, ``modified`` in epoch seconds, ``headers`` are the stored system headers by
    lower-case name, ``metadata`` the user metadata as (lower-case name without the prefix, value).
    """

    key: str
    size: int
    etag: str
    modified: float
    headers: dict[str, str]
    metadata: list[tuple[str, str]]
    segments: list[Segment]
    checksum_algorithm: str
    checksum: str
    checksum_type: str = "FULL_OBJECT"
    multipart: bool = False
    storage_class: str = "STANDARD"
    encryption: str | None = None
    readers: int = 0
    replaced: bool = False

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        del data["readers"], data["replaced"]
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ObjectRecord:
        data["segments"] = [Segment(**segment) for segment in data["segments"]]
        data["metadata"] = [(name, value) for name, value in data["metadata"]]
        return cls(**data)


@dataclass
class Part:
    """An uploaded part. ``etag`` is the hex MD5 of its bytes; ``crc64nvme`` is always known."""

    number: int
    file: str
    size: int
    etag: str
    modified: float
    crc64nvme: str
    checksum_algorithm: str | None = None
    checksum: str | None = None


@dataclass
class UploadRecord:
    """A multipart upload in progress."""

    upload_id: str
    bucket: str
    key: str
    initiated: float
    headers: dict[str, str]
    metadata: list[tuple[str, str]]
    checksum_algorithm: str | None = None
    checksum_type: str | None = None
    storage_class: str = "STANDARD"
    encryption: str | None = None
    parts: dict[int, Part] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        del data["parts"]
        return data


@dataclass
class BucketRecord:
    """A bucket. ``acceleration`` is "Enabled", "Suspended" or None (never configured)."""

    name: str
    created: float
    acceleration: str | None = None
