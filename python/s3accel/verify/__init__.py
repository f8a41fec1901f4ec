"""Checking what a signature says about a received request and its body, as S3 checks it.

`Verifier` is for servers and tests: it takes the raw request (method, raw target, raw header list), raises
`VerificationError` with S3's code, HTTP status and extra elements, and gives a `BodyVerifier` that decodes
and checks the body as it streams in, in bounded memory. Verifying raises; it never returns False.

Source: the order of checks and the codes are those of S3 as far as published (S3 API Reference, "Error
responses") and as servers that were compared with it answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from .. import _core
from ..credentials import Credentials
from ..errors import ConfigError, VerificationError
from .body import BodyReport, BodyVerifier, header
from .errors import refusal, sha256_mismatch, signature_mismatch

if TYPE_CHECKING:
    from ..postpolicy.verifying import VerifiedPost
    from ..sigv4a.ecdsa import PublicKeyV4a
    from ..sigv4a.verifying import VerifierV4a

__all__ = ["BodyReport", "BodyVerifier", "VerifiedRequest", "Verifier"]

MAX_SKEW = 900.0
SIGV4A = "AWS4-ECDSA-P256-SHA256"


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

    #: Payload constants that make a body aws-chunked, with: chunks are signed, a trailer may come.
    STREAMING: ClassVar[Mapping[str, tuple[bool, bool]]] = {
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": (True, False),
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": (True, True),
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER": (False, True),
    }

    def __init__(self, claims: Any, headers: Sequence[tuple[str, str]]) -> None:
        self._claims = claims
        self._headers = headers
        self.payload = claims.payload_hash
        # Streaming constants are valid with header authentication only.
        self.streaming = self.payload in self.STREAMING and claims.mechanism == "header"
        self.decoded_length: int | None = None
        if self.streaming:
            text = header(headers, "x-amz-decoded-content-length")
            if text is None or not (text.isascii() and text.isdigit()) or len(text) > 15:
                raise VerificationError(
                    "MissingContentLength", 411, "You must provide the Content-Length HTTP header."
                )
            self.decoded_length = int(text)

    @property
    def access_key_id(self) -> str:
        return str(self._claims.access_key_id)

    @property
    def mechanism(self) -> str:
        return str(self._claims.mechanism)

    @property
    def timestamp(self) -> str:
        return str(self._claims.timestamp)

    @property
    def scope(self) -> str:
        return str(self._claims.scope)

    @property
    def signed_headers(self) -> str:
        return str(self._claims.signed_headers)

    @property
    def signature(self) -> str:
        return str(self._claims.signature)

    @property
    def canonical_request(self) -> bytes:
        return bytes(self._claims.canonical_request)

    @property
    def string_to_sign(self) -> bytes:
        return bytes(self._claims.string_to_sign)

    def body(self, *, object_checksums: bool = True) -> BodyVerifier:
        """What checks the body. Make one for each reading of the body.

        Args:
            object_checksums: False where ``x-amz-checksum-*`` describes an object and not this body, as in
                CompleteMultipartUpload; hash and Content-MD5 are checked all the same.

        Raises:
            VerificationError: the checksum headers cannot be right, whatever the body is.
        """
        headers = self._headers
        if not object_checksums:
            dropped = ("x-amz-checksum-", "x-amz-sdk-checksum-algorithm")
            headers = [(name, value) for name, value in headers if not name.lower().startswith(dropped)]
        return BodyVerifier(self, self._claims.key, headers)

    def check_body_sha256(self, found: str) -> None:
        """Refuses a body whose SHA-256 (64 hexadecimal digits) is not the one that was signed.

        Raises:
            VerificationError: XAmzContentSHA256Mismatch.
        """
        if len(self.payload) == 64 and found.lower() != self.payload.lower():
            raise sha256_mismatch(self.payload, found)

    def decoder(self, key: Any, trailer_name: str) -> _core.ChunkDecoder:
        """What decodes the aws-chunked body of this request. `key` checks the chunks' signatures."""
        with_signatures, with_trailer = self.STREAMING[self.payload]
        return _core.ChunkDecoder(
            key if with_signatures else None,
            self.timestamp,
            self.signature,
            with_trailer,
            self.decoded_length or 0,
            trailer_name,
        )

    def mismatch(self, string_to_sign: bytes, provided: str) -> VerificationError:
        """The error for a signature of this request or of a chunk of it that does not match."""
        return signature_mismatch(self.access_key_id, self.canonical_request, string_to_sign, provided)

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
        public_keys: access key id -> `PublicKeyV4a`, or None to ask `lookup`: for a server that checks SigV4a
            requests without knowing secrets.

    SigV4a requests need the extra ``sigv4a``; without it they are refused with ``NotImplemented``.
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
        public_keys: Callable[[str], PublicKeyV4a | None] | None = None,
    ) -> None:
        for what, name in (("region", region), ("service", service)):
            if name is not None and (not isinstance(name, str) or not name):
                raise ConfigError(f"the {what} of a Verifier must be a name, not {name!r}")
        if service is None:
            raise ConfigError("the service of a Verifier must be a name, not None")
        for what, function in (("lookup", lookup), ("public_keys", public_keys), ("clock", clock)):
            if not callable(function) and (function is not None or what == "lookup"):
                advice = "; of a dict give its method get" if isinstance(function, Mapping) else ""
                raise ConfigError(f"{what} must be a function, not {type(function).__name__}{advice}")
        if not isinstance(max_skew, (int, float)) or not max_skew >= 0:
            raise ConfigError(f"max_skew must be a number of seconds, 0 or more, not {max_skew!r:.40}")
        self._lookup = lookup
        self._public_keys = public_keys
        self._v4a: VerifierV4a | None = None
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
            headers: the raw list in the order received, duplicates kept, values decoded as latin-1. It is read
                once; what becomes of it afterwards changes nothing.
            body_sha256: of the whole body, 64 hexadecimal digits. Services other than S3 need it: their canonical
                request ends in it when no header says it, and one that says it must say the same. A body that is
                signed chunk by chunk, or not at all (``UNSIGNED-PAYLOAD``), has no such hash, and nothing is
                compared. None: for S3 `VerifiedRequest.body` checks the body, for others there is none.

        Raises:
            VerificationError: with S3's code, status and extra elements.
            ConfigError: `body_sha256` is no SHA-256 in hexadecimal digits.
        """
        if body_sha256 is not None and not _is_sha256(body_sha256):
            raise ConfigError(f"body_sha256 must be 64 hexadecimal digits as str, not {body_sha256!r:.80}")
        if not isinstance(headers, (list, tuple)):
            headers = list(headers.items() if isinstance(headers, Mapping) else headers)
        now = self._clock()
        try:
            claims = self._native.verify(method, target, headers, now, body_sha256)
        except UnicodeEncodeError as strange:
            if not _is_part(strange.object, method, target, headers):
                raise  # of the caller's lookup
            raise VerificationError(
                "InvalidRequest",
                400,
                "The request could not be read: a character beyond latin-1 stands for no byte that can have come.",
            ) from None
        error = claims.error
        if error is not None:
            if error == "auth_unknown_type" and claims.detail == SIGV4A:
                return self._sigv4a().verify(method, target, claims.headers, body_sha256)
            raise refusal(
                error, claims, now, region=self._region, service=self._service, max_skew=self._max_skew
            )
        # From here on what was judged: the caller's list may have changed meanwhile.
        request = VerifiedRequest(claims, claims.headers)
        if body_sha256 is not None:
            request.check_body_sha256(body_sha256)
        return request

    def verify_post(
        self, fields: Iterable[tuple[str, str]], bucket: str, *, filename: str = ""
    ) -> VerifiedPost:
        """Checks the fields of a browser's form upload, whose signature covers its POST policy.

        Args:
            fields: name and value of every form field before the file, in order, duplicates kept; str (bytes that
                are no UTF-8 as surrogates, PEP 383) or bytes.
            bucket: the one the form was sent to.
            filename: of the file part, for ``${filename}`` in the key; without it that becomes nothing.

        Raises:
            VerificationError: with S3's code, status and extra elements.

        The file's size is checked by `VerifiedPost.check_length`.
        """
        from ..postpolicy.verifying import verify_post

        return verify_post(
            fields,
            bucket,
            lookup=self._lookup,
            region=self._region,
            service=self._service,
            now=self._clock(),
            filename=filename,
        )

    def _sigv4a(self) -> VerifierV4a:
        """The half for SigV4a; imported when the first such request comes."""
        if self._v4a is None:
            from ..sigv4a.ecdsa import available
            from ..sigv4a.verifying import VerifierV4a

            if not available():
                raise VerificationError(
                    "NotImplemented",
                    501,
                    "A header or query you provided requested a function that is not implemented: "
                    "AWS4-ECDSA-P256-SHA256",
                )
            self._v4a = VerifierV4a(
                self._known,
                region=self._region,
                service=self._service,
                clock=self._clock,
                max_skew=self._max_skew,
            )
        return self._v4a

    def _known(self, access_key_id: str) -> Credentials | PublicKeyV4a | None:
        key = None if self._public_keys is None else self._public_keys(access_key_id)
        return self._lookup(access_key_id) if key is None else key


def _is_sha256(text: object) -> bool:
    if not isinstance(text, str) or len(text) != 64:
        return False
    try:
        return len(bytes.fromhex(text)) == 32
    except ValueError:
        return False


def _is_part(text: str, method: str, target: str, headers: Sequence[tuple[str, str]]) -> bool:
    return text in (method, target) or any(text in pair for pair in headers)
