"""What the endpoint refuses, in S3's own words.

A handler raises :class:`Refusal`; the application turns it (and the signing floor's ``VerificationError``)
into S3's error document. A refusal never leaves the ``local`` room, so it is not part of the public tree of
errors. Codes, statuses and messages follow the S3 API Reference, "Error responses".
"""

from __future__ import annotations

from collections.abc import Mapping


class Refusal(Exception):
    """A request is answered with an S3 error.

    ``code`` is S3's error code, ``status`` the HTTP status, ``message`` the sentence of the error document,
    ``extra`` further XML elements and ``headers`` further response headers.
    """

    def __init__(
        self,
        code: str,
        status: int,
        message: str,
        extra: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.code = code
        self.status = status
        self.message = message
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})


class ClientGone(Exception):
    """The client closed the connection before its request was complete; there is nobody to answer."""


def not_implemented(what: str, value: str, kind: str = "Header") -> Refusal:
    """The answer for everything the endpoint does not model: refused loudly, never a wrong 200."""
    return Refusal(
        "NotImplemented",
        501,
        f"A header or query parameter you provided implies functionality that is not implemented: {what}",
        {kind: value},
    )


def invalid_argument(message: str, name: str, value: str) -> Refusal:
    return Refusal("InvalidArgument", 400, message, {"ArgumentName": name, "ArgumentValue": value})


def invalid_request(message: str) -> Refusal:
    return Refusal("InvalidRequest", 400, message)


def malformed_xml() -> Refusal:
    return Refusal(
        "MalformedXML",
        400,
        "The XML you provided was not well-formed or did not validate against our published schema",
    )


def no_such_bucket(bucket: str) -> Refusal:
    return Refusal("NoSuchBucket", 404, "The specified bucket does not exist", {"BucketName": bucket})


def no_such_key(key: str) -> Refusal:
    return Refusal("NoSuchKey", 404, "The specified key does not exist.", {"Key": key})


def no_such_upload(upload_id: str) -> Refusal:
    return Refusal(
        "NoSuchUpload",
        404,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been "
        "aborted or completed.",
        {"UploadId": upload_id},
    )


def precondition_failed(condition: str) -> Refusal:
    return Refusal(
        "PreconditionFailed",
        412,
        "At least one of the pre-conditions you specified did not hold",
        {"Condition": condition},
    )


def method_not_allowed(method: str, resource_type: str) -> Refusal:
    return Refusal(
        "MethodNotAllowed",
        405,
        "The specified method is not allowed against this resource.",
        {"Method": method, "ResourceType": resource_type},
    )


def incomplete_body(expected: int | None = None, provided: int | None = None) -> Refusal:
    extra = {}
    if expected is not None and provided is not None:
        extra = {"NumberBytesExpected": str(expected), "NumberBytesProvided": str(provided)}
    return Refusal(
        "IncompleteBody",
        400,
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
        extra,
    )


def entity_too_large(proposed: int, limit: int) -> Refusal:
    return Refusal(
        "EntityTooLarge",
        400,
        "Your proposed upload exceeds the maximum allowed size",
        {"ProposedSize": str(proposed), "MaxSizeAllowed": str(limit)},
    )
