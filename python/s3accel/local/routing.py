"""Which operation a request asks for, and whether all of what it asks for is modelled.

Every operation lists the query parameters and ``x-amz-*`` headers it understands. Anything else is answered
with 501 NotImplemented that names it: a feature that is not here must not look as if it had worked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .exchange import Request
from .names import Address
from .refusals import Refusal, invalid_argument, method_not_allowed, not_implemented

CHECKSUM_HEADERS = frozenset(
    f"x-amz-checksum-{name}"
    for name in (
        "crc32", "crc32c", "crc64nvme", "sha1", "sha256", "sha512", "md5", "xxhash64", "xxhash3", "xxhash128",
    )
)  # fmt: skip

SIGNING_QUERY = frozenset(
    "x-amz-" + name
    for name in (
        "algorithm", "credential", "date", "expires", "signedheaders", "signature", "security-token",
        "content-sha256", "region-set",
    )
)  # fmt: skip

_EVERYWHERE = frozenset(
    "x-amz-" + name
    for name in (
        "date", "content-sha256", "security-token", "user-agent", "api-version", "request-payer",
        "region-set", "expected-bucket-owner", "sdk-checksum-algorithm", "te",
    )
)  # fmt: skip
_BODY = CHECKSUM_HEADERS | {"x-amz-decoded-content-length", "x-amz-trailer"}
_STORING = frozenset({"x-amz-acl", "x-amz-storage-class", "x-amz-server-side-encryption"})
_SOURCE = frozenset(
    "x-amz-copy-source" + name
    for name in ("", "-if-match", "-if-none-match", "-if-modified-since", "-if-unmodified-since")
) | {"x-amz-source-expected-bucket-owner"}
_OVERRIDES = frozenset(
    "response-" + name
    for name in (
        "content-type", "content-language", "expires", "cache-control", "content-disposition",
        "content-encoding",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Operation:
    """What an operation understands. ``metadata``: it takes x-amz-meta-*; ``writes``: it may create the
    bucket."""

    name: str
    query: frozenset[str] = frozenset()
    headers: frozenset[str] = frozenset()
    metadata: bool = False
    writes: bool = False


def _operation(
    name: str,
    query: str = "",
    headers: frozenset[str] = frozenset(),
    *,
    overrides: bool = False,
    metadata: bool = False,
    writes: bool = False,
) -> Operation:
    names = frozenset(query.split()) | (_OVERRIDES if overrides else frozenset())
    return Operation(name, names, headers, metadata, writes)


_READ = frozenset({"x-amz-checksum-mode"})
_LISTED = frozenset({"x-amz-optional-object-attributes"})
OPERATIONS = {
    operation.name: operation
    for operation in (
        _operation("ListBuckets", "prefix max-buckets continuation-token bucket-region"),
        _operation(
            "CreateBucket",
            "",
            _BODY | {"x-amz-acl", "x-amz-object-ownership", "x-amz-bucket-object-lock-enabled"},
        ),
        _operation("DeleteBucket"),
        _operation("HeadBucket"),
        _operation("GetBucketLocation", "location"),
        _operation("GetBucketAccelerateConfiguration", "accelerate"),
        _operation("PutBucketAccelerateConfiguration", "accelerate", _BODY),
        _operation(
            "ListObjectsV2",
            "list-type prefix delimiter start-after continuation-token max-keys encoding-type fetch-owner",
            _LISTED,
        ),
        _operation("ListObjects", "prefix delimiter marker max-keys encoding-type", _LISTED),
        _operation(
            "ListMultipartUploads",
            "uploads prefix delimiter key-marker upload-id-marker max-uploads encoding-type",
        ),
        _operation("DeleteObjects", "delete", _BODY),
        _operation("PostObject", writes=True),
        _operation("PutObject", "", _BODY | _STORING, metadata=True, writes=True),
        _operation(
            "CopyObject",
            "",
            _STORING
            | _SOURCE
            | {"x-amz-metadata-directive", "x-amz-checksum-algorithm", "x-amz-tagging-directive"},
            metadata=True,
            writes=True,
        ),
        _operation("GetObject", "partNumber versionId", _READ, overrides=True),
        _operation("HeadObject", "partNumber versionId", _READ, overrides=True),
        _operation("DeleteObject", "versionId"),
        _operation(
            "CreateMultipartUpload",
            "uploads",
            _STORING | {"x-amz-checksum-algorithm", "x-amz-checksum-type"},
            metadata=True,
            writes=True,
        ),
        _operation("UploadPart", "uploadId partNumber", _BODY),
        _operation("UploadPartCopy", "uploadId partNumber", _SOURCE | {"x-amz-copy-source-range"}),
        _operation(
            "CompleteMultipartUpload", "uploadId", _BODY | {"x-amz-checksum-type", "x-amz-mp-object-size"}
        ),
        _operation("AbortMultipartUpload", "uploadId"),
        _operation("ListParts", "uploadId max-parts part-number-marker"),
    )
}

# Method and marker parameter to operation; the empty marker is the plain request. A marker of one letter
# case only.
_BUCKET_ROUTES = {
    "GET": {
        "location": "GetBucketLocation",
        "accelerate": "GetBucketAccelerateConfiguration",
        "uploads": "ListMultipartUploads",
        "": "ListObjects",
    },
    "HEAD": {"": "HeadBucket"},
    "PUT": {"accelerate": "PutBucketAccelerateConfiguration", "": "CreateBucket"},
    "DELETE": {"": "DeleteBucket"},
    "POST": {"delete": "DeleteObjects", "": "PostObject"},
}
_OBJECT_ROUTES = {
    "GET": {"uploadId": "ListParts", "": "GetObject"},
    "HEAD": {"": "HeadObject"},
    "PUT": {"uploadId": "UploadPart", "": "PutObject"},
    "DELETE": {"uploadId": "AbortMultipartUpload", "": "DeleteObject"},
    "POST": {"uploads": "CreateMultipartUpload", "uploadId": "CompleteMultipartUpload"},
}
_COPIES = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}


def route(request: Request, address: Address) -> Operation:
    """The operation of a request. Raises Refusal: MethodNotAllowed, NotImplemented."""
    query, method = request.query, request.method
    if address.bucket is None:
        if method != "GET":
            raise method_not_allowed(method, "SERVICE")
        return OPERATIONS["ListBuckets"]
    routes = _BUCKET_ROUTES if address.key is None else _OBJECT_ROUTES
    choices = routes.get(method)
    if choices is None:
        raise method_not_allowed(method, "BUCKET" if address.key is None else "OBJECT")
    name = next((found for marker, found in choices.items() if marker and marker in query), choices.get(""))
    if name is None:
        unknown = next((parameter for parameter in query if parameter.lower() not in SIGNING_QUERY), None)
        if unknown is not None:
            raise not_implemented(f"the query parameter {unknown}", unknown, "Query")
        raise method_not_allowed(method, "BUCKET" if address.key is None else "OBJECT")
    if name == "ListObjects" and "list-type" in query:
        if query["list-type"] != "2":
            raise invalid_argument("Invalid List Type specified in Request", "list-type", query["list-type"])
        name = "ListObjectsV2"
    if name in _COPIES and request.amz("x-amz-copy-source") is not None:
        name = _COPIES[name]
    return OPERATIONS[name]


def check_understood(request: Request, operation: Operation) -> None:
    """Refuse what the operation does not model, by name."""
    for name, value in request.query.items():
        lower = name.lower()
        if name in operation.query or lower in SIGNING_QUERY or name == "x-id":
            continue
        if lower.startswith("x-amz-") and lower not in CHECKSUM_HEADERS and _known(lower, operation):
            continue
        raise not_implemented(f"the query parameter {name}", f"{name}={value}" if value else name, "Query")
    for name, value in request.headers:
        lower = name.lower()
        if lower.startswith("x-amz-") and not _known(lower, operation):
            raise not_implemented(f"the header {lower}", f"{lower}: {value}")
    check_values(request.amz)
    version = request.query.get("versionId")
    if version not in (None, "null"):
        raise not_implemented("object versions", f"versionId={version}", "Query")


def _known(name: str, operation: Operation) -> bool:
    return (
        name in _EVERYWHERE
        or name in operation.headers
        or (operation.metadata and name.startswith("x-amz-meta-"))
    )


def check_values(amz: Callable[[str], str | None]) -> None:
    """Refuse values that are not modelled. ``amz`` gives an ``x-amz-*`` value by lower-case name."""
    acl = amz("x-amz-acl")
    if acl not in (None, "private", "bucket-owner-full-control"):
        raise Refusal("AccessControlListNotSupported", 400, "The bucket does not allow ACLs")
    encryption = amz("x-amz-server-side-encryption")
    if encryption not in (None, "AES256"):
        raise not_implemented("server-side encryption other than AES256", "x-amz-server-side-encryption")
    for name, only in (
        ("x-amz-bucket-object-lock-enabled", "false"),
        ("x-amz-object-ownership", "BucketOwnerEnforced"),
        ("x-amz-tagging-directive", "COPY"),
    ):
        value = amz(name)
        if value is not None and value != only:
            raise not_implemented(f"{name} other than {only}", name)
