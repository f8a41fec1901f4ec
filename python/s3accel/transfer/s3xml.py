"""S3's XML, read and written. Nobody else in the transfer layer knows what XML is.

Answers come from a server, so a document type is refused outright: with it go entity expansion and external entities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_plus
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from s3accel.errors import (
    AccelerationUnavailable,
    AccessDenied,
    NoSuchKey,
    S3Error,
    SignatureMismatch,
    SlowDown,
    TransportError,
)
from s3accel.transfer.messages import Response

__all__ = [
    "CompletedPart",
    "ListPage",
    "ListedPart",
    "ListedUpload",
    "ObjectSummary",
    "complete_body",
    "error_from",
    "parse",
    "read_list",
    "read_parts",
    "read_uploads",
    "text_of",
]

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
REMEDY = (
    "use accelerate=False (the regional endpoint), or enable acceleration on the bucket with"
    " PutBucketAccelerateConfiguration Status=Enabled"
)


@dataclass(frozen=True)
class CompletedPart:
    """A part that S3 holds. ``checksum``: base64, "" if there is none; ``size``: object bytes."""

    number: int
    etag: str
    size: int
    checksum: str = ""


@dataclass(frozen=True)
class ListedPart(CompletedPart):
    """A part as ListParts shows it; ``checksums`` by lower-case algorithm name."""

    checksums: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ListedUpload:
    """A multipart upload that was begun and neither completed nor aborted."""

    key: str
    upload_id: str
    initiated: str = ""


@dataclass(frozen=True)
class ObjectSummary:
    """One line of a listing. With a delimiter, a common prefix has ``is_prefix`` and no further data."""

    key: str
    size: int = 0
    etag: str = ""
    last_modified: str = ""
    storage_class: str = ""
    is_prefix: bool = False


@dataclass(frozen=True)
class ListPage:
    """One page of ListObjectsV2; ``next_token`` is "" on the last one."""

    entries: tuple[ObjectSummary, ...]
    next_token: str


class _NoDoctype(ElementTree.TreeBuilder):
    """The parser reports a document type before it looks at any entity; that ends the parse."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ElementTree.ParseError(f"document type {name!r} refused")


def _strip_namespaces(root: ElementTree.Element) -> ElementTree.Element:
    for element in root.iter():
        if isinstance(element.tag, str) and "}" in element.tag:
            element.tag = element.tag.rpartition("}")[2]
    return root


def parse(data: bytes) -> ElementTree.Element:
    """The root element, tags without namespaces. Raises xml.etree.ElementTree.ParseError: also for any DOCTYPE."""
    parser = ElementTree.XMLParser(target=_NoDoctype())  # noqa: S314 (the DOCTYPE is refused above)
    parser.feed(data)
    return _strip_namespaces(parser.close())


def text_of(element: ElementTree.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def parse_answer(response: Response, operation: str, root: str) -> ElementTree.Element:
    """The body of a 2xx answer whose root must be ``root``.

    Raises TransportError (retryable) if it is empty, cut or something else: then nobody knows what happened.
    """
    what = f"{operation} was answered {response.status}"
    if not response.body.strip():
        raise TransportError(f"{what} with an empty body", host=response.connection.host, phase="receive")
    try:
        element = parse(response.body)
    except ElementTree.ParseError as exc:
        raise TransportError(
            f"{what} with a body that is cut or no XML ({exc})",
            host=response.connection.host,
            phase="receive",
        ) from exc
    if element.tag != root:
        raise TransportError(
            f"{what} with <{element.tag}> instead of <{root}>", host=response.connection.host, phase="receive"
        )
    return element


def holds_error(response: Response) -> bool:
    """True if a 2xx answer carries an <Error> body (S3 sends the status before it knows the outcome)."""
    if b"<Error" not in response.body[:2048]:
        return False
    try:
        return parse(response.body).tag == "Error"
    except ElementTree.ParseError:
        # A cut error is an error all the same.
        return True


def error_from(response: Response, operation: str, bucket: str, key: str) -> S3Error:
    """The S3Error for an answer: from its XML if it has any, else from the status alone (HEAD, proxies)."""
    headers = response.headers
    fields: dict[str, str] = {}
    if response.body.strip():
        try:
            root = parse(response.body)
            if root.tag == "Error":
                fields = {child.tag: (child.text or "").strip() for child in root}
        except ElementTree.ParseError:
            fields = {"Message": f"unreadable error body of {len(response.body)} bytes"}
    code = fields.pop("Code", "") or str(response.status)
    message = fields.pop("Message", "")
    request_id = fields.pop("RequestId", "") or headers.get("x-amz-request-id")
    host_id = fields.pop("HostId", "") or headers.get("x-amz-id-2")
    for header, name in (("x-amz-bucket-region", "Region"), ("date", "Date"), ("retry-after", "Retry-After")):
        if headers.get(header):
            fields.setdefault(name, headers.get(header))
    kind: type[S3Error] = S3Error
    if code == "NoSuchKey" or (code == "404" and operation in ("HeadObject", "GetObject")):
        kind = NoSuchKey
        # An answer to HEAD has no body that could say it.
        message = (
            message or "there is no such object (or no right to list the bucket, which S3 answers alike)"
        )
    elif code == "InvalidRequest" and "accelerat" in message.lower():
        kind, message = AccelerationUnavailable, f"{message.rstrip('.')}; {REMEDY}"
    elif code in ("AccessDenied", "403"):
        kind = AccessDenied
    elif code == "SignatureDoesNotMatch":
        kind = SignatureMismatch
    elif code == "SlowDown":
        kind = SlowDown
    return kind(
        code,
        response.status,
        message,
        request_id=request_id,
        host_id=host_id,
        extra=fields,
        operation=operation,
        bucket=bucket,
        key=key,
    )


def complete_body(parts: Sequence[CompletedPart], algorithm: str | None) -> bytes:
    """The body of CompleteMultipartUpload: part numbers, ETags and, if there are any, the parts' checksums."""
    lines = [f'<CompleteMultipartUpload xmlns="{NAMESPACE}">']
    tag = f"Checksum{algorithm.upper()}" if algorithm else ""
    for part in parts:
        checksum = f"<{tag}>{part.checksum}</{tag}>" if tag and part.checksum else ""
        lines.append(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>{escape(part.etag)}</ETag>{checksum}</Part>"
        )
    lines.append("</CompleteMultipartUpload>")
    return "".join(lines).encode()


def _checksums(element: ElementTree.Element) -> tuple[tuple[str, str], ...]:
    return tuple(
        (child.tag[len("Checksum") :].lower(), (child.text or "").strip())
        for child in element
        if child.tag.startswith("Checksum") and child.tag not in ("ChecksumType", "ChecksumAlgorithm")
    )


def read_parts(root: ElementTree.Element) -> tuple[list[ListedPart], int | None]:
    """Parts of one ListParts page, and the marker of the next page or None."""
    parts = [
        ListedPart(
            number=int(text_of(item, "PartNumber")),
            etag=text_of(item, "ETag"),
            size=int(text_of(item, "Size") or 0),
            checksums=_checksums(item),
        )
        for item in root.findall("Part")
    ]
    marker = text_of(root, "NextPartNumberMarker")
    return parts, int(marker) if text_of(root, "IsTruncated") == "true" and marker else None


def read_list(root: ElementTree.Element) -> ListPage:
    """One page. It was asked for with encoding-type=url (XML cannot hold every key): names are decoded here."""
    decode = unquote_plus if text_of(root, "EncodingType") == "url" else str
    entries = [
        ObjectSummary(
            key=decode(item.findtext("Key") or ""),
            size=int(text_of(item, "Size") or 0),
            etag=text_of(item, "ETag"),
            last_modified=text_of(item, "LastModified"),
            storage_class=text_of(item, "StorageClass"),
        )
        for item in root.findall("Contents")
    ]
    entries += [
        ObjectSummary(key=decode(item.findtext("Prefix") or ""), is_prefix=True)
        for item in root.findall("CommonPrefixes")
    ]
    token = text_of(root, "NextContinuationToken") if text_of(root, "IsTruncated") == "true" else ""
    return ListPage(tuple(entries), token)


def read_uploads(root: ElementTree.Element) -> tuple[list[ListedUpload], tuple[str, str] | None]:
    """Uploads of one ListMultipartUploads page, and key and upload id that the next page follows, or None."""
    decode = unquote_plus if text_of(root, "EncodingType") == "url" else str
    uploads = [
        ListedUpload(
            key=decode(item.findtext("Key") or ""),
            upload_id=text_of(item, "UploadId"),
            initiated=text_of(item, "Initiated"),
        )
        for item in root.findall("Upload")
    ]
    if text_of(root, "IsTruncated") != "true":
        return uploads, None
    marker = decode(root.findtext("NextKeyMarker") or ""), text_of(root, "NextUploadIdMarker")
    return uploads, marker if any(marker) else None
