"""PostObject: browser uploads, a form whose POST policy is signed.

The form's fields stand for headers: the policy says which there may be, so nothing outside of it (no HTTP
header but the framing) has a say in what is stored. Source: S3 API Reference, "sigv4-HTTPPOSTForms",
"RESTObjectPOST".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode, urlsplit

from ...postpolicy.verifying import VerifiedPost
from ...signer import uri_encode
from ...verify import BodyVerifier, VerifiedRequest, Verifier
from ..body import MAX_PUT_BYTES, Received, run_pipeline
from ..conditions import UNCONDITIONAL
from ..exchange import Reply, Request
from ..formdata import FormReader, boundary_of
from ..names import Address
from ..refusals import ClientGone, Refusal, entity_too_large, incomplete_body, not_implemented
from ..routing import CHECKSUM_HEADERS, Operation, check_values
from ..staged import Staged
from ..xml import document
from .common import Call, Services, add_checksum
from .objects import store_object

FORM_OVERHEAD = 1024 * 1024
"""What a form may have beside its file; the reader's own limits are far below it."""

_CHECKED = CHECKSUM_HEADERS | {"content-md5", "x-amz-sdk-checksum-algorithm"}
_KNOWN = _CHECKED | frozenset(
    "x-amz-" + name
    for name in (
        "algorithm", "credential", "date", "signature", "security-token", "checksum-algorithm", "acl",
        "storage-class", "server-side-encryption",
    )
)  # fmt: skip
# Fields that mean something to S3 and would silently mean nothing here.
_NOT_MODELLED = frozenset({"tagging", "x-amz-tagging"})


@dataclass(frozen=True)
class _Claims:
    """A verified form in the words of a verified request: its body is the file, covered by no signature."""

    access_key_id: str
    timestamp: str
    scope: str
    signature: str
    mechanism: str = "form"
    payload_hash: str = "UNSIGNED-PAYLOAD"
    signed_headers: str = ""
    canonical_request: bytes = b""
    string_to_sign: bytes = b""
    key: None = None


class _FilePipeline:
    """The rest of a form, from the first byte of its file: checked, measured and written."""

    def __init__(
        self, reader: FormReader, post: VerifiedPost, verifier: BodyVerifier, staged: Staged
    ) -> None:
        self._reader = reader
        self._post = post
        self._verifier = verifier
        self._staged = staged
        self._most = min(MAX_PUT_BYTES if post.most is None else post.most, MAX_PUT_BYTES)

    def feed(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self.take(self._reader.feed(piece))

    def take(self, data: bytes) -> None:
        """Bytes of the file."""
        if not data:
            return
        size = self._staged.size + len(data)
        if size > self._most:
            self._post.check_length(size)
            raise entity_too_large(size, MAX_PUT_BYTES)
        self._staged.write(self._verifier.feed(data))

    def finish(self) -> Received:
        self._reader.finish()
        self._post.check_length(self._staged.size)
        return Received(self._verifier.finish())


async def post_object(
    services: Services, verifier: Verifier, request: Request, address: Address, operation: Operation
) -> Reply:
    """Take a form. Unlike the other operations it verifies for itself: the signature is in the body."""
    reader = FormReader(boundary_of(request.header("content-type")))
    _check_framing(request)
    try:
        first = await _read_fields(request, reader)
        post = verifier.verify_post(reader.fields, address.bucket or "", filename=reader.filename)
        services.stats.add_signature()
        services.stats.add_operation(operation.name)
        fields = _stored_fields(post)
        claims = _Claims(post.access_key_id, post.timestamp, post.scope, post.fields["x-amz-signature"])
        verified = VerifiedRequest(claims, [(n, v) for n, v in fields.items() if n in _CHECKED])
        call = Call(services, request, verified, replace(address, key=post.key), operation, fields)

        async def receive(staged: Staged) -> Received:
            pipeline = _FilePipeline(reader, post, verified.body(), staged)
            pipeline.take(first)
            return await run_pipeline(request, pipeline)

        record = await store_object(call, UNCONDITIONAL, receive)
    except ClientGone as error:
        raise incomplete_body(request.content_length, request.received) from error
    reply = _reply(call, post.fields, f'"{record.etag}"')
    add_checksum(reply, record)
    reply.add("x-amz-server-side-encryption", record.encryption)
    return reply


def _check_framing(request: Request) -> None:
    signed_query = any(name.lower() in ("x-amz-algorithm", "x-amz-signature") for name in request.query)
    if signed_query or request.header("authorization") is not None:
        raise Refusal(
            "InvalidArgument",
            400,
            "Only one auth mechanism allowed; a form carries its signature in its fields",
            {"ArgumentName": "Authorization"},
        )
    for name in ("x-amz-content-sha256", "if-match", "if-none-match", "content-encoding"):
        if request.header(name) is not None:
            raise not_implemented(f"the header {name} of a form upload", name)
    if request.chunked:
        raise not_implemented("Transfer-Encoding of a form upload", "Transfer-Encoding")
    if request.content_length is None:
        raise Refusal("MissingContentLength", 411, "You must provide the Content-Length HTTP header.")
    if request.content_length > MAX_PUT_BYTES + FORM_OVERHEAD:
        raise entity_too_large(request.content_length, MAX_PUT_BYTES)


async def _read_fields(request: Request, reader: FormReader) -> bytes:
    """Read up to the file; returns what came of it already."""
    while not reader.at_file:
        piece = await request.chunk()
        if piece is None:
            reader.finish()  # which raises: without a file there is no form
            break
        first = reader.feed(piece)
        if reader.at_file:
            return first
    return b""


def _stored_fields(post: VerifiedPost) -> dict[str, str]:
    """The fields that say how to store the file, as headers would. Refuses by name what is not modelled."""
    fields: dict[str, str] = {}
    for name, value in post.fields.items():
        known = name in _KNOWN or name.startswith(("x-amz-meta-", "x-amz-s3session-"))
        if name in _NOT_MODELLED or (name.startswith("x-amz-") and not known):
            raise not_implemented(f"the form field {name}", name, "Field")
        # As a header's bytes would be read: UTF-8 stays UTF-8 on its way through a record and out again.
        fields[name] = value.strip().encode("utf-8").decode("latin-1")
    if "acl" in fields:
        fields["x-amz-acl"] = fields["acl"]
    check_values(fields.get)
    announced = fields.get("x-amz-checksum-algorithm")
    if announced is not None and f"x-amz-checksum-{announced.lower()}" not in fields:
        raise Refusal(
            "InvalidRequest",
            400,
            "x-amz-checksum-algorithm specified, but no corresponding x-amz-checksum-* field was found.",
        )
    return fields


def _reply(call: Call, fields: Mapping[str, str], etag: str) -> Reply:
    target = fields.get("success_action_redirect", fields.get("redirect", ""))
    location = _location(call)
    headers = [("Location", location), ("ETag", etag)]
    if _usable(target):
        query = urlencode({"bucket": call.bucket, "key": call.key, "etag": etag})
        page, mark, fragment = target.partition("#")
        headers[0] = ("Location", f"{page}{'&' if '?' in page else '?'}{query}{mark}{fragment}")
        return Reply(303, headers=headers)
    status = fields.get("success_action_status", "")
    if status == "201":
        body = document(
            "PostResponse",
            [("Location", location), ("Bucket", call.bucket), ("Key", call.key), ("ETag", etag)],
            namespace=None,
        )
        return Reply(201, body, headers)
    return Reply(200 if status == "200" else 204, headers=headers)


def _location(call: Call) -> str:
    # S3 encodes the slashes of the key here, too.
    base = f"{call.request.scheme}://{call.request.host}"
    if call.address.style == "path":
        base += f"/{uri_encode(call.bucket)}"
    return f"{base}/{uri_encode(call.key)}"


def _usable(target: str) -> bool:
    """Whether a browser can be sent there; S3 ignores a redirect that is no URL."""
    if not target or any(not "!" <= character <= "~" for character in target):
        return False
    try:
        parts = urlsplit(target)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
