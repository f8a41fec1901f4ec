"""Checking what a signature says about a received request and its body, as S3 checks it.

`Verifier` is for servers and tests: it takes the raw request (method, raw target, raw header list), raises
`VerificationError` with S3's code, HTTP status and extra elements, and gives a `BodyVerifier` that decodes
and checks the body as it streams in, in bounded memory. Verifying raises; it never returns False.

Source: the order of checks and the codes are those of S3 as far as published (S3 API Reference, "Error
responses") and as servers that were compared with it answer.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from . import _core, checksums
from .credentials import Credentials
from .errors import VerificationError

__all__ = ["BodyReport", "BodyVerifier", "VerifiedRequest", "Verifier"]

MAX_SKEW = 900.0

_STREAMING = {
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": (True, False),
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": (True, True),
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER": (False, True),
}

_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your key and signing method."
)
_TERMINATED = "The request body terminated unexpectedly"
_QUERY_NEEDS = (
    "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
    "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
)


def _iso(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _hex_bytes(data: bytes) -> str:
    return data.hex(" ")


class VerifiedRequest:
    """A request whose signature is right. Its body is still to be checked: see `body`.

    Attributes:
        access_key_id: who signed.
        mechanism: ``"header"`` or ``"query"``.
        timestamp: ``YYYYMMDD'T'HHMMSS'Z'``. scope: ``date/region/service/aws4_request``.
        signed_headers: lower-case names joined by ``;``. signature: 64 hexadecimal digits.
        payload: ``x-amz-content-sha256``, or ``UNSIGNED-PAYLOAD``.
        streaming: True if the body is aws-chunked. decoded_length: its object bytes, else None.
        canonical_request, string_to_sign: the texts the signature was computed over.
    """

    __slots__ = ("_claims", "_headers", "decoded_length", "payload", "streaming")

    def __init__(self, claims: _core.Verified, headers: Sequence[tuple[str, str]]) -> None:
        self._claims = claims
        self._headers = headers
        self.payload = claims.payload_hash
        # Streaming constants are valid with header authentication only.
        self.streaming = self.payload in _STREAMING and claims.mechanism == "header"
        self.decoded_length: int | None = None
        if self.streaming:
            text = _header(headers, "x-amz-decoded-content-length")
            if text is None or not (text.isascii() and text.isdigit()) or len(text) > 15:
                raise VerificationError(
                    "MissingContentLength", 411, "You must provide the Content-Length HTTP header."
                )
            self.decoded_length = int(text)

    @property
    def access_key_id(self) -> str:
        return self._claims.access_key_id

    @property
    def mechanism(self) -> str:
        return self._claims.mechanism

    @property
    def timestamp(self) -> str:
        return self._claims.timestamp

    @property
    def scope(self) -> str:
        return self._claims.scope

    @property
    def signed_headers(self) -> str:
        return self._claims.signed_headers

    @property
    def signature(self) -> str:
        return self._claims.signature

    @property
    def canonical_request(self) -> bytes:
        return self._claims.canonical_request

    @property
    def string_to_sign(self) -> bytes:
        return self._claims.string_to_sign

    def body(self) -> BodyVerifier:
        """What checks the body. Make one for each reading of the body.

        Raises:
            VerificationError: the checksum headers cannot be right, whatever the body is.
        """
        return BodyVerifier(self, self._claims.key, self._headers)

    def mismatch(self, string_to_sign: bytes, provided: str) -> VerificationError:
        """The error for a signature of this request or of a chunk of it that does not match."""
        return _signature_mismatch(self.access_key_id, self.canonical_request, string_to_sign, provided)

    def __repr__(self) -> str:
        return f"<VerifiedRequest {self.access_key_id} {self.scope} {self.payload}>"


class Verifier:
    """Checks requests for one region and one service. Thread-safe.

    Args:
        lookup: access key id -> `Credentials`, or None if there is no such key. Return the same object as
            long as a key is valid: derived keys are kept for it.
        region: what the scope must name; None accepts any.
        service: what the scope must name.
        clock: epoch seconds; the system's by default.
        max_skew: seconds that a header-signed request may be off, inclusive (S3: 900).
    """

    #: Derived keys kept; a new day or a new region adds one for each access key in use.
    MAX_KEYS = 1024

    def __init__(
        self,
        lookup: Callable[[str], Credentials | None],
        *,
        region: str | None = None,
        service: str = "s3",
        clock: Callable[[], float] | None = None,
        max_skew: float = MAX_SKEW,
    ) -> None:
        self._region = region
        self._service = service
        self._clock = clock or time.time
        self._max_skew = max_skew
        self._native = _core.VerifierBase(lookup, region, service, max_skew, self.MAX_KEYS)

    def verify(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        *,
        body_sha256: str | None = None,
    ) -> VerifiedRequest:
        """Checks everything but the body.

        Args:
            method: as received.
            target: the raw request target (path, ``?``, query), percent-encoded, bytes decoded as latin-1.
            headers: the raw list in the order received, duplicates kept, values decoded as latin-1.
            body_sha256: 64 hexadecimal digits; only for services other than S3, whose canonical request
                ends in the body's hash without a header that says it.

        Raises:
            VerificationError: with S3's code, status and extra elements.
        """
        now = self._clock()
        claims = self._native.verify(method, target, headers, now, body_sha256)
        error = claims.error
        if error is not None:
            raise self._refusal(error, claims, now)
        return VerifiedRequest(claims, headers)

    def _refusal(self, code: str, parsed: _core.Verified, now: float) -> VerificationError:
        query = parsed.mechanism == "query"
        malformed = "AuthorizationQueryParametersError" if query else "AuthorizationHeaderMalformed"
        prefix = (
            "Error parsing the X-Amz-Credential parameter; "
            if query
            else "The authorization header is malformed; "
        )
        detail = parsed.detail

        def bad(message: str, **extra: str) -> VerificationError:
            return VerificationError(malformed, 400, message, extra)

        if code in ("signature_mismatch", "signed_header_missing"):
            return _signature_mismatch(
                parsed.access_key_id, parsed.canonical_request, parsed.string_to_sign, parsed.signature
            )
        if code == "unknown_access_key":
            return VerificationError(
                "InvalidAccessKeyId",
                403,
                "The AWS Access Key Id you provided does not exist in our records.",
                {"AWSAccessKeyId": parsed.access_key_id},
            )
        if code == "invalid_token":
            return VerificationError(
                "InvalidToken", 400, "The provided token is malformed or otherwise invalid."
            )
        if code == "expired_token":
            return VerificationError("ExpiredToken", 400, "The provided token has expired.")
        if code == "auth_missing":
            return VerificationError("AccessDenied", 403, "Access Denied")
        if code == "auth_unsupported_v2":
            return VerificationError(
                "InvalidRequest",
                400,
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
            )
        if code == "auth_two_mechanisms":
            return VerificationError(
                "InvalidArgument",
                400,
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query "
                "string parameter or the Authorization header should be specified",
                {"ArgumentName": "Authorization"},
            )
        if code == "auth_unknown_type":
            if query:
                return bad(
                    'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"',
                )
            return VerificationError(
                "InvalidArgument",
                400,
                "Unsupported Authorization Type",
                {"ArgumentName": "Authorization", "ArgumentValue": detail},
            )
        if code == "auth_malformed":
            if query:
                return bad(_QUERY_NEEDS)
            return bad(f"{prefix}the {detail or 'Authorization'} component is missing or malformed.")
        if code == "credential_malformed":
            return bad(
                f"{prefix}the Credential is mal-formed; expecting "
                '"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
            )
        if code == "credential_bad_date":
            return bad(
                f'{prefix}incorrect date format "{detail}". This date in the credential must be in the format "yyyyMMdd".'
            )
        if code == "credential_wrong_terminal":
            return bad(f'{prefix}incorrect terminal "{detail}". This endpoint uses "aws4_request".')
        if code == "credential_wrong_service":
            return bad(f'{prefix}incorrect service "{detail}". This endpoint belongs to "{self._service}".')
        if code == "credential_wrong_region":
            region = self._region or ""
            return bad(f"{prefix}the region '{detail}' is wrong; expecting '{region}'", Region=region)
        if code == "credential_date_mismatch":
            return bad(
                f'{prefix}Invalid credential date "{parsed.date}". This date is not the same as X-Amz-Date: '
                f'"{parsed.timestamp[:8]}".'
            )
        if code == "date_missing":
            if query:
                return bad("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
            return VerificationError(
                "AccessDenied", 403, "AWS authentication requires a valid Date or x-amz-date header"
            )
        if code == "expires_not_a_number":
            return bad("X-Amz-Expires should be a number")
        if code == "expires_negative":
            return bad("X-Amz-Expires must be non-negative")
        if code == "expires_too_large":
            return bad(
                "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be "
                "less than 604800 seconds"
            )
        if code == "time_skewed":
            return VerificationError(
                "RequestTimeTooSkewed",
                403,
                "The difference between the request time and the current time is too large.",
                {
                    "RequestTime": parsed.timestamp,
                    "ServerTime": _iso(now),
                    "MaxAllowedSkewMilliseconds": str(int(self._max_skew * 1000)),
                },
            )
        if code == "request_expired":
            return VerificationError(
                "AccessDenied",
                403,
                "Request has expired",
                {
                    "X-Amz-Expires": str(parsed.expires),
                    "Expires": _iso(_core.epoch_of(parsed.timestamp) + parsed.expires),
                    "ServerTime": _iso(now),
                },
            )
        if code == "request_not_yet_valid":
            return VerificationError(
                "AccessDenied",
                403,
                "Request is not valid yet",
                {"X-Amz-Date": parsed.timestamp, "ServerTime": _iso(now)},
            )
        if code == "content_sha256_missing":
            return VerificationError(
                "InvalidRequest", 400, "Missing required header for this request: x-amz-content-sha256"
            )
        if code == "content_sha256_invalid":
            return VerificationError(
                "InvalidArgument",
                400,
                "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
                "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, "
                "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER "
                "or a valid sha256 value.",
                {"ArgumentName": "x-amz-content-sha256", "ArgumentValue": detail},
            )
        if code == "header_not_signed":
            return VerificationError(
                "AccessDenied",
                403,
                "There were headers present in the request which were not signed",
                {"HeadersNotSigned": detail},
            )
        if code == "too_long":
            return VerificationError(
                "RequestHeaderSectionTooLarge",
                400,
                "Your request header section exceeds the maximum allowed size.",
            )
        return VerificationError("InvalidRequest", 400, f"The request could not be read: {code}")


def _signature_mismatch(
    access_key_id: str, canonical: bytes, to_sign: bytes, provided: str
) -> VerificationError:
    return VerificationError(
        "SignatureDoesNotMatch",
        403,
        _MISMATCH,
        {
            "AWSAccessKeyId": access_key_id,
            "StringToSign": to_sign.decode("latin-1"),
            "SignatureProvided": provided,
            "StringToSignBytes": _hex_bytes(to_sign),
            "CanonicalRequest": canonical.decode("latin-1"),
            "CanonicalRequestBytes": _hex_bytes(canonical),
        },
    )


def _header(headers: Sequence[tuple[str, str]], name: str) -> str | None:
    for key, value in headers:
        if key.lower() == name:
            return value.strip()
    return None


@dataclass(frozen=True)
class BodyReport:
    """What a whole body turned out to be.

    Attributes:
        length: object bytes. chunks: data chunks, 0 if the body was not aws-chunked.
        signed: True if a signature or a signed hash covers every byte of the body.
        checksum_algorithm, checksum_base64: the flexible checksum that was sent and is right, or None.
        md5_hex: for ETags. sha256_hex: only if it had to be computed. crc64nvme_base64: S3 stores it for
            objects that came without a checksum.
    """

    length: int
    chunks: int
    signed: bool
    checksum_algorithm: str | None
    checksum_base64: str | None
    md5_hex: str
    sha256_hex: str | None
    crc64nvme_base64: str


class BodyVerifier:
    """Decodes and checks one body as it streams in.

    `feed` gives the object bytes, which are to be kept in a temporary place: only `finish` says that the
    whole body is right.
    """

    def __init__(
        self, request: VerifiedRequest, key: _core.SigningKey, headers: Sequence[tuple[str, str]]
    ) -> None:
        self._request = request
        self._length = 0
        self._decoder: _core.ChunkDecoder | None = None
        self._sha256: _core.Sha256 | None = None
        self._expected_sha256 = ""
        self._checksum_value: str | None = None
        self._md5_value = _header(headers, "content-md5")

        trailer = _header(headers, "x-amz-trailer")
        self._algorithm = self._declared(headers, trailer)
        if request.streaming:
            with_signatures, with_trailer = _STREAMING[request.payload]
            name = ""
            if trailer is not None and self._algorithm is not None and self._checksum_value is None:
                name = self._algorithm.header
            self._decoder = _core.ChunkDecoder(
                key if with_signatures else None,
                request.timestamp,
                request.signature,
                with_trailer,
                request.decoded_length or 0,
                name,
            )
        elif trailer is not None:
            raise VerificationError(
                "MalformedTrailerError",
                400,
                "The request contained trailing data that was not well-formed or did not conform to our "
                "published schema.",
            )
        elif request.payload.startswith("STREAMING-"):
            # With query authentication the constant is nothing but a hash that no body has.
            self._expected_sha256 = request.payload
            self._sha256 = _core.Sha256()
        elif request.payload != "UNSIGNED-PAYLOAD":
            self._expected_sha256 = request.payload
            self._sha256 = _core.Sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc64 = checksums.new("crc64nvme")
        self._checksum = None
        if self._algorithm is not None and self._algorithm.name not in ("md5", "crc64nvme"):
            self._checksum = checksums.new(self._algorithm.name)
        if self._md5_value is not None and _decoded(self._md5_value, 16) is None:
            raise VerificationError(
                "InvalidDigest",
                400,
                "The Content-MD5 you specified was invalid.",
                {"Content-MD5": self._md5_value},
            )

    def _declared(
        self, headers: Sequence[tuple[str, str]], trailer: str | None
    ) -> checksums.Algorithm | None:
        """The one checksum that headers announce, as value or as trailer."""
        found: list[tuple[checksums.Algorithm | None, str, str]] = []
        for key, value in headers:
            lower = key.lower()
            if lower.startswith("x-amz-checksum-") and lower not in (
                "x-amz-checksum-mode",
                "x-amz-checksum-type",
                "x-amz-checksum-algorithm",
            ):
                found.append((checksums.by_header(lower), lower, value.strip()))
        names = []
        if trailer is not None:
            pieces = [piece.strip().lower() for piece in trailer.split(",")]
            if pieces and pieces[-1] == "":
                pieces.pop()  # S3 tolerates one comma at the end
            names = pieces
            for name in names:
                if checksums.by_header(name) is None:
                    raise VerificationError(
                        "InvalidRequest",
                        400,
                        "The value specified in the x-amz-trailer header is not supported",
                    )
        if len(found) + len(names) > 1:
            more = "" if names and found else " Multiple checksum Types are not allowed."
            raise VerificationError(
                "InvalidRequest", 400, "Expecting a single x-amz-checksum- header." + more
            )
        algorithm: checksums.Algorithm | None = None
        if found:
            algorithm, name, value = found[0]
            if algorithm is None:
                raise VerificationError(
                    "InvalidRequest",
                    400,
                    "The algorithm type you specified in x-amz-checksum- header is invalid.",
                )
            if _decoded(value, algorithm.digest_size) is None:
                raise VerificationError("InvalidRequest", 400, f"Value for {name} header is invalid.")
            self._checksum_value = value
        elif names:
            algorithm = checksums.by_header(names[0])
        said = _header(headers, "x-amz-sdk-checksum-algorithm")
        if said is not None:
            if algorithm is None:
                raise VerificationError(
                    "InvalidRequest",
                    400,
                    "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or "
                    "x-amz-trailer headers were found.",
                )
            if said.lower() != algorithm.name:
                raise VerificationError(
                    "InvalidRequest", 400, "Value for x-amz-sdk-checksum-algorithm header is invalid."
                )
        return algorithm

    def feed(self, data: Any) -> bytes:
        """Takes the next bytes of the body, in pieces of any size; gives the object bytes among them.

        Raises:
            VerificationError: framing, length, chunk size or a chunk's signature is wrong.
        """
        if self._decoder is None:
            piece = bytes(data)
        else:
            piece, code, _ = self._decoder.feed(data)
            if code is not None:
                raise self._refusal(code)
        self._length += len(piece)
        if piece:
            self._md5.update(piece)
            self._crc64.update(piece)
            if self._sha256 is not None:
                self._sha256.update(piece)
            if self._checksum is not None:
                self._checksum.update(piece)
        return piece

    def finish(self) -> BodyReport:
        """Must be called at the end of the body.

        Raises:
            VerificationError: the body ended early, its trailer is wrong, or a hash does not agree. The
                order is S3's: framing, payload hash, Content-MD5, flexible checksum.
        """
        request = self._request
        chunks = 0
        if self._decoder is not None:
            code, _ = self._decoder.finish()
            if code is not None:
                raise self._refusal(code)
            chunks = self._decoder.data_chunks
            if self._algorithm is not None and self._checksum_value is None:
                value = self._decoder.trailer_value
                if _decoded(value, self._algorithm.digest_size) is None:
                    raise VerificationError(
                        "InvalidRequest",
                        400,
                        f"Value for {self._algorithm.header} trailing header is invalid.",
                    )
                self._checksum_value = value
        sha256 = None if self._sha256 is None else self._sha256.hexdigest()
        if sha256 is not None and sha256 != self._expected_sha256.lower():
            raise VerificationError(
                "XAmzContentSHA256Mismatch",
                400,
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
                {
                    "ClientComputedContentSHA256": self._expected_sha256,
                    "S3ComputedContentSHA256": sha256,
                },
            )
        md5 = self._md5.digest()
        if self._md5_value is not None and _decoded(self._md5_value, 16) != md5:
            raise VerificationError(
                "BadDigest",
                400,
                "The Content-MD5 you specified did not match what we received.",
                {
                    "ExpectedDigest": self._md5_value,
                    "CalculatedDigest": checksums.encode(md5),
                },
            )
        crc64 = self._crc64.digest()
        algorithm = self._algorithm
        if algorithm is not None:
            if algorithm.name == "md5":
                digest = md5
            elif self._checksum is None:
                digest = crc64
            else:
                digest = self._checksum.digest()
            if checksums.encode(digest) != self._checksum_value:
                raise VerificationError(
                    "BadDigest",
                    400,
                    f"The {algorithm.name.upper()} you specified did not match the calculated checksum.",
                )
        signed = sha256 is not None or (request.streaming and "UNSIGNED" not in request.payload)
        return BodyReport(
            length=self._length,
            chunks=chunks,
            signed=signed,
            checksum_algorithm=None if algorithm is None else algorithm.name,
            checksum_base64=self._checksum_value,
            md5_hex=md5.hex(),
            sha256_hex=sha256,
            crc64nvme_base64=checksums.encode(crc64),
        )

    def _refusal(self, code: str) -> VerificationError:
        decoder = self._decoder
        if decoder is None:
            return VerificationError("InternalError", 500, code)
        if code in ("chunk_signature_mismatch", "trailer_signature_mismatch"):
            return self._request.mismatch(decoder.to_sign, decoder.provided_signature)
        if code == "chunk_too_small":
            return VerificationError(
                "InvalidChunkSizeError",
                403,
                "Only the last chunk is allowed to have a size less than 8192 bytes",
                {"Chunk": str(decoder.bad_chunk), "BadChunkSize": str(decoder.bad_chunk_size)},
            )
        if code == "body_length_mismatch":
            return VerificationError(
                "IncompleteBody",
                400,
                "You did not provide the number of bytes specified by the Content-Length HTTP header",
                {
                    "NumberBytesExpected": str(self._request.decoded_length),
                    "NumberBytesProvided": str(decoder.provided),
                },
            )
        if code == "trailer_malformed":
            return VerificationError(
                "MalformedTrailerError",
                400,
                "The request contained trailing data that was not well-formed or did not conform to our "
                "published schema.",
            )
        return VerificationError("IncompleteBody", 400, _TERMINATED)

    def __repr__(self) -> str:
        return f"<BodyVerifier {self._length} bytes so far>"


def _decoded(value: str, size: int) -> bytes | None:
    """Strict base64 of exactly `size` bytes, or None."""
    try:
        raw = base64.b64decode(value, validate=True)
    except (ValueError, TypeError):
        return None
    return raw if len(raw) == size and base64.b64encode(raw).decode("ascii") == value else None
