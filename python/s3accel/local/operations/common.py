"""What the operations share: the services they work on and the headers objects are stored with."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...verify import VerifiedRequest
from ..exchange import Reply, Request
from ..names import Address, check_bucket_name
from ..records import BucketRecord, ObjectRecord
from ..refusals import Refusal, invalid_argument
from ..routing import Operation
from ..stats import Stats
from ..store import Bucket, Store
from ..uploads import Uploads
from ..xml import Child, document

OWNER_ACCOUNT = "123456789012"
OWNER_ID = "75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a"
"""The one account of the endpoint; the canonical id is the example of the S3 documentation."""

DEFAULT_CONTENT_TYPE = "binary/octet-stream"
MAX_METADATA_BYTES = 2048
"""S3 User Guide, "Working with object metadata": user metadata is limited to 2 KB."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_STORED = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)
STORAGE_CLASSES = frozenset(
    ("STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR")
)


@dataclass
class Services:
    """What one endpoint consists of, beside the exchange at hand."""

    store: Store
    uploads: Uploads
    region: str
    now: Callable[[], float]
    stats: Stats
    auto_create_buckets: bool


@dataclass
class Call:
    """One verified request on its way through an operation.

    ``fields`` are those of a form, by lower-case name; what is stored then comes from them and from no
    header.
    """

    services: Services
    request: Request
    verified: VerifiedRequest
    address: Address
    operation: Operation
    fields: Mapping[str, str] | None = None

    def header(self, name: str) -> str | None:
        """A header by lower-case name, or the form field that stands for it."""
        return self.request.header(name) if self.fields is None else self.fields.get(name)

    def amz(self, name: str) -> str | None:
        """An ``x-amz-*`` value: of a header, the query, or a form."""
        return self.request.amz(name) if self.fields is None else self.fields.get(name)

    @property
    def store(self) -> Store:
        return self.services.store

    @property
    def bucket(self) -> str:
        if self.address.bucket is None:
            raise RuntimeError(f"{self.operation.name} was routed without a bucket")
        return self.address.bucket

    @property
    def key(self) -> str:
        if self.address.key is None:
            raise RuntimeError(f"{self.operation.name} was routed without a key")
        return self.address.key

    @property
    def query(self) -> dict[str, str]:
        return self.request.query


def open_bucket(call: Call) -> Bucket:
    """The bucket of a call; a write makes a missing one if the endpoint was told to (acceleration enabled
    then)."""
    services, name = call.services, call.bucket
    if services.auto_create_buckets and call.operation.writes and name not in services.store.buckets:
        check_bucket_name(name)
        acceleration = None if "." in name else "Enabled"
        return services.store.create_bucket(BucketRecord(name, services.now(), acceleration))
    return services.store.bucket(name)


def xml_reply(root: str, children: Child) -> Reply:
    return Reply(body=document(root, children))


def stored_headers(call: Call) -> dict[str, str]:
    """The system headers of a new object. ``aws-chunked`` is a coding of the transfer, not of the object."""
    headers = {}
    for name in _STORED:
        value = call.header(name)
        if value is None:
            continue
        if name == "content-encoding" and call.verified.streaming:
            codings = [coding.strip() for coding in value.split(",")]
            value = ",".join(coding for coding in codings if coding and coding.lower() != "aws-chunked")
        if value:
            if not _HEADER_VALUE.fullmatch(value):
                raise invalid_argument("A header holds a control character", name, _shown(value))
            headers[name] = value
    headers.setdefault("content-type", DEFAULT_CONTENT_TYPE)
    return headers


def _shown(value: str) -> str:
    """A value with control characters, so that the error document stays one that XML parsers read."""
    return value.encode("unicode_escape").decode("ascii")


def user_metadata(call: Call) -> list[tuple[str, str]]:
    """The user metadata of a new object. Raises Refusal MetadataTooLarge above 2 KB."""
    found: dict[str, str] = {}
    given = [*call.request.headers, *call.query.items()] if call.fields is None else call.fields.items()
    for name, value in given:
        lower = name.lower()
        if lower.startswith("x-amz-meta-"):
            short, value = lower[len("x-amz-meta-") :], value.strip()
            # What came in a query may hold what no header can be answered with.
            if not _TOKEN.fullmatch(short) or not _HEADER_VALUE.fullmatch(value):
                raise invalid_argument("Metadata cannot be represented in a header", name, _shown(value))
            found[short] = f"{found[short]},{value}" if short in found else value
    size = sum(len(name) + len(value) for name, value in found.items())
    if size > MAX_METADATA_BYTES:
        raise Refusal(
            "MetadataTooLarge",
            400,
            "Your metadata headers exceed the maximum allowed metadata size",
            {"Size": str(size), "MaxSizeAllowed": str(MAX_METADATA_BYTES)},
        )
    return sorted(found.items())


def storage_class(call: Call) -> str:
    found = call.amz("x-amz-storage-class") or "STANDARD"
    if found not in STORAGE_CLASSES:
        raise Refusal("InvalidStorageClass", 400, "The storage class you specified is not valid")
    return found


def number(call: Call, name: str, default: int, low: int, high: int, *, clamp: bool = False) -> int:
    """A whole number of the query. Raises Refusal InvalidArgument; with ``clamp`` a larger one becomes
    ``high``."""
    text = call.query.get(name)
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        raise invalid_argument(f"Provided {name} not an integer or within integer range", name, text)
    value = int(text)
    if value > high and clamp:
        return high
    if not low <= value <= high:
        raise invalid_argument(f"{name} must be an integer between {low} and {high}, inclusive", name, text)
    return value


def add_checksum(reply: Reply, record: ObjectRecord) -> None:
    reply.add(f"x-amz-checksum-{record.checksum_algorithm}", record.checksum)
    reply.add("x-amz-checksum-type", record.checksum_type)


def checksum_element(algorithm: str) -> str:
    """The XML name of a checksum: ``ChecksumCRC32C``."""
    return f"Checksum{algorithm.upper()}"
