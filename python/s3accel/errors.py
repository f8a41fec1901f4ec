"""Every exception that s3accel raises, in one tree: catch it broad or narrow.

S3AccelError
├── ConfigError (also ValueError)      a bad argument or combination; nothing was sent
│   └── EndpointError                  this bucket, region and mode cannot go together; carries the remedy
├── CredentialsError                   no credentials, or they cannot be used
├── SigningError (also ValueError)     the request cannot be signed as it stands; names field and offset
├── VerificationError                  a received request or body is not what its signature says
├── SourceError                        the bytes to send could not be read, ended early, or changed meanwhile
├── JournalError                       the journal cannot be opened, read or written; says what is safe
├── ChecksumMismatch                   what arrived or was stored is not what was sent
├── TransportError                     no usable HTTP answer
│   ├── ConnectError                   name lookup or connection failed
│   ├── TlsError                       the handshake or the certificate was refused
│   ├── TransferTimeout                a deadline or the stall limit was passed
│   └── ConnectionLost                 the connection broke while bytes were moving
├── S3Error                            S3 answered with an error
│   ├── AccelerationUnavailable        the bucket has no working acceleration
│   ├── AccessDenied
│   ├── NoSuchKey
│   ├── ObjectChanged                  the object was replaced or deleted while it was read
│   ├── SignatureMismatch              S3 computed another signature
│   └── SlowDown
├── DownloadError                      a download ended without success; says what state is left
└── UploadError                        an upload ended without success; says what state is left
"""

from __future__ import annotations

from collections.abc import Mapping

from .redact import HIDDEN, redact_text

__all__ = [
    "AccelerationUnavailable",
    "AccessDenied",
    "ChecksumMismatch",
    "ConfigError",
    "ConnectError",
    "ConnectionLost",
    "CredentialsError",
    "DownloadError",
    "EndpointError",
    "JournalError",
    "NoSuchKey",
    "ObjectChanged",
    "S3AccelError",
    "S3Error",
    "SignatureMismatch",
    "SigningError",
    "SlowDown",
    "SourceError",
    "TlsError",
    "TransferTimeout",
    "TransportError",
    "UploadError",
    "VerificationError",
]


class _Hidden:
    """Keeps a value out of reprs, ``vars()`` and pickles."""

    __slots__ = ("value",)

    def __init__(self, value: dict[str, str]) -> None:
        self.value = value

    def __repr__(self) -> str:
        return HIDDEN

    def __reduce__(self) -> tuple[type[_Hidden], tuple[dict[str, str]]]:
        return (_Hidden, ({},))


class S3AccelError(Exception):
    """Base of everything this package raises on purpose."""


class ConfigError(S3AccelError, ValueError):
    """A bad argument or combination of arguments. Nothing was sent."""


class EndpointError(ConfigError):
    """This bucket cannot be reached in the way that was asked for.

    Attributes:
        reason: why not, one sentence.
        remedy: what to do instead, one sentence.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason = reason
        self.remedy = remedy


class CredentialsError(S3AccelError):
    """There are no credentials, or those there are cannot be used.

    Attributes:
        absent: True if this source has none at all, so that another one may be asked.
    """

    def __init__(self, message: str, *, absent: bool = False) -> None:
        super().__init__(message)
        self.absent = absent


class SigningError(S3AccelError, ValueError):
    """The request cannot be signed as it stands.

    Attributes:
        field: the part of the request at fault, for example ``"query"`` or ``"header x-amz-meta-a"``.
        offset: byte offset inside that part, or None.
    """

    def __init__(self, message: str, field: str = "", offset: int | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.offset = offset


class VerificationError(S3AccelError):
    """A received request or body is not what its signature says.

    Attributes:
        code: S3's error code, for example ``"SignatureDoesNotMatch"``.
        status: the HTTP status S3 answers with.
        message: S3's text.
        extra: further elements of S3's error body, by name, for the answer to the client. They hold what the
            client sent and the strings derived from it: its session token too if it had one, and its signature, so
            they are not for a log. A secret access key or a right signature is never among them.

    Source: S3 API Reference, "Error responses".
    """

    def __init__(self, code: str, status: int, message: str, extra: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{code} ({status}): {message}")
        self.code = code
        self.status = status
        self.message = message
        self.extra: dict[str, str] = dict(extra or {})


class SourceError(S3AccelError):
    """The bytes to send could not be read, ended early, or changed while they were read."""


class JournalError(S3AccelError):
    """The journal of uploads cannot be opened, read or written. What it held before is not touched."""


class ChecksumMismatch(S3AccelError):
    """A checksum of what arrived, or of what was stored, is not that of what was sent."""


class TransportError(S3AccelError):
    """There is no usable HTTP answer.

    Attributes:
        host: the host that was tried.
        phase: ``"connect"``, ``"tls"``, ``"send"`` or ``"receive"``.
        retryable: True if the same request may succeed when it is tried again.
    """

    def __init__(self, message: str, *, host: str = "", phase: str = "", retryable: bool = True) -> None:
        super().__init__(message)
        self.host = host
        self.phase = phase
        self.retryable = retryable


class ConnectError(TransportError):
    """The name could not be looked up, or the connection was refused."""


class TlsError(TransportError):
    """The TLS handshake failed or the certificate was refused."""


class TransferTimeout(TransportError):
    """A deadline passed, or fewer bytes moved than the stall limit allows."""


class ConnectionLost(TransportError):
    """The connection broke while bytes were moving."""


class S3Error(S3AccelError):
    """S3 answered with an error.

    Attributes:
        code: S3's error code, or the HTTP status as text where the answer had no body (HEAD).
        status: HTTP status. An error inside a 200 answer keeps 200 here.
        message: S3's text.
        request_id, host_id: what AWS support asks for.
        extra: further elements of the error body, by name, with session tokens hidden.
        operation, bucket, key: what was tried, on what.
    """

    def __init__(
        self,
        code: str,
        status: int,
        message: str = "",
        *,
        request_id: str = "",
        host_id: str = "",
        extra: Mapping[str, str] | None = None,
        operation: str = "",
        bucket: str = "",
        key: str = "",
    ) -> None:
        self.code = code
        self.status = status
        self.message = message
        self.request_id = request_id
        self.host_id = host_id
        # S3 sends the canonical request back, session token included: shown redacted, kept whole for explain().
        self._received = _Hidden(dict(extra or {}))
        self.extra: dict[str, str] = {
            name: HIDDEN if name.endswith("Bytes") else redact_text(value)
            for name, value in (extra or {}).items()
        }
        self.operation = operation
        self.bucket = bucket
        self.key = key
        super().__init__(self._describe())

    @property
    def received(self) -> dict[str, str]:
        """The further elements exactly as S3 sent them. They may hold a session token: do not print them."""
        return self._received.value

    def _describe(self) -> str:
        where = f"s3://{self.bucket}/{self.key}" if self.bucket else ""
        what = " ".join(part for part in (self.operation, where) if part)
        text = f"{self.status} {self.code}" if self.code != str(self.status) else f"{self.status}"
        if self.message:
            text += f": {self.message}"
        if self.request_id:
            text += f" (request id {self.request_id})"
        return f"{what}: {text}" if what else text


class NoSuchKey(S3Error):
    """There is no object of that name."""


class AccessDenied(S3Error):
    """The credentials do not allow this."""


class ObjectChanged(S3Error):
    """The object was replaced or deleted while it was read; nothing of the mixture was kept."""


class SignatureMismatch(S3Error):
    """S3 computed another signature than the one sent."""


class AccelerationUnavailable(S3Error):
    """The bucket has no working Transfer Acceleration: not configured, suspended or not supported."""


class SlowDown(S3Error):
    """S3 asks for fewer requests."""


class UploadError(S3AccelError):
    """An upload ended without success. ``__cause__`` is the last error.

    Attributes:
        bucket, key: where it should have gone.
        part: the part number that failed, or None.
        attempts: how often that part or object was tried.
        upload_id: the multipart upload, or None.
        history: why each earlier attempt failed, oldest first.
        aborted: True if the multipart upload was aborted and nothing is left behind, False if the abort
            failed and parts may be stored (and billed), None if there was no multipart upload.
    """

    def __init__(
        self,
        message: str,
        *,
        bucket: str = "",
        key: str = "",
        part: int | None = None,
        attempts: int = 1,
        upload_id: str | None = None,
        aborted: bool | None = None,
        history: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.bucket = bucket
        self.key = key
        self.part = part
        self.attempts = attempts
        self.upload_id = upload_id
        self.aborted = aborted
        self.history = history


class DownloadError(S3AccelError):
    """A download ended without success after it had begun. ``__cause__`` is the last error.

    Attributes:
        bucket, key: what was read.
        target: where it should have gone, "" for a stream.
        attempts: how often the part that failed was asked for.
        kept: bytes that are right and stay beside the target, so that the same call goes on from there; 0 if nothing
            was left behind.
        written: bytes that a stream has taken already.
    """

    def __init__(
        self,
        message: str,
        *,
        bucket: str = "",
        key: str = "",
        target: str = "",
        attempts: int = 1,
        kept: int = 0,
        written: int = 0,
    ) -> None:
        super().__init__(message)
        self.bucket = bucket
        self.key = key
        self.target = target
        self.attempts = attempts
        self.kept = kept
        self.written = written
