"""Exit codes, and what an exception means in them. README.md and `--help` show the same table."""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import IntEnum

from s3accel.errors import (
    AccelerationUnavailable,
    AccessDenied,
    ChecksumMismatch,
    ConfigError,
    CredentialsError,
    DownloadError,
    EndpointError,
    JournalError,
    S3Error,
    SigningError,
    SourceError,
    TlsError,
    TransportError,
    UploadError,
)
from s3accel.redact import redact_text
from s3accel.transfer.s3xml import REMEDY

__all__ = [
    "TABLE",
    "Exit",
    "cause_of",
    "concerns_every_object",
    "exit_of",
    "in_options",
    "overall",
    "remedy_of",
    "text_of",
]


class Exit(IntEnum):
    """What the command ends with."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    CREDENTIALS = 3
    NETWORK = 4
    REFUSED = 5
    SOURCE = 6
    JOURNAL = 7
    PENDING = 8
    INTERNAL = 70
    INTERRUPTED = 130
    TERMINATED = 143


#: Code and meaning, in the words of the documentation.
TABLE: tuple[tuple[Exit, str], ...] = (
    (Exit.DONE, "everything was done"),
    (Exit.SOME_FAILED, "some objects failed and others did not, or they failed for different reasons"),
    (Exit.USAGE, "wrong arguments or configuration; nothing was sent"),
    (Exit.CREDENTIALS, "no credentials, or S3 does not accept them"),
    (Exit.NETWORK, "no usable answer: name lookup, connection, TLS, time-out"),
    (Exit.REFUSED, "S3 refused, or what is stored or came is not what was sent"),
    (Exit.SOURCE, "a local file could not be read or written, or changed meanwhile"),
    (Exit.JOURNAL, "the journal cannot be used: in use, damaged, or no room for it"),
    (Exit.PENDING, "jobs are left in the journal for another time; s3accel resume goes on with them"),
    (Exit.INTERNAL, "a fault in s3accel itself"),
    (Exit.INTERRUPTED, "interrupted (Ctrl-C)"),
    (Exit.TERMINATED, "ended by SIGTERM"),
)

#: S3's ways to say that the key, the token or the secret is not good.
_BAD_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
#: Refusals of the bucket or of the account: the next object would be refused alike.
_OF_THE_BUCKET = frozenset(
    {
        "AccountProblem",
        "AllAccessDisabled",
        "AuthorizationHeaderMalformed",
        "InvalidBucketName",
        "NoSuchBucket",
        "NotSignedUp",
        "PermanentRedirect",
        "RequestTimeTooSkewed",
    }
)

_REMEDIES = {
    "AccessDenied": "check that the key's policy allows s3:PutObject and s3:AbortMultipartUpload there",
    "AuthorizationHeaderMalformed": "give the bucket's own region with --region",
    "ExpiredToken": "fetch new temporary credentials",
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID or the profile: S3 does not know this key",
    "NoSuchBucket": "check the bucket's name and --region",
    "NoSuchKey": "check the key; s3accel ls s3://BUCKET/ shows what is there",
    "404": "check the bucket and the key; s3accel ls s3://BUCKET/ shows what is there",
    "PermanentRedirect": "give the bucket's own region with --region",
    "RequestTimeTooSkewed": "set this machine's clock",
    "SignatureDoesNotMatch": "check the secret access key (white space, a cut end, another key's secret); s3accel explain says more",
    "SlowDown": "try again later, or with a smaller --concurrency",
}


#: Arguments of the library, as its errors write them, and the command's options.
_OPTIONS = (
    (r"accelerate=False\b", "--no-accelerate"),
    (r"accelerate=True\b", "--accelerate"),
    (r"accelerate='auto'", "--route auto"),
    (r"connect_to=\{'([^']*)': '([^']*)'\}", r"--connect-to \1=\2"),
    (r"connect_to\['([^']*)'\] is '([^']*)'", r"--connect-to \1=\2"),
    (r"max_concurrency\b", "--concurrency"),
    (r"checksum=\.\.\.", "--checksum"),
    (r"(allow_http_host|endpoint_url|payload)='([^']*)'", r"--\1 \2"),
    (r"(allow_http_host|ca_file|chunk_size|connect_to|endpoint_url|part_size)\b", r"--\1"),
    (r"dualstack (does|out)\b", r"--dualstack \1"),
)

#: Calls that need another right than an upload does.
_RIGHTS = {
    "GetBucketAccelerateConfiguration": "s3:GetAccelerateConfiguration",
    "PutBucketAccelerateConfiguration": "s3:PutAccelerateConfiguration",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "ListObjectsV2": "s3:ListBucket",
    "DeleteObjects": "s3:DeleteObject",
    "DeleteObject": "s3:DeleteObject",
}


def cause_of(error: BaseException) -> BaseException:
    """The error that an UploadError or DownloadError reports: the last one of the transfer; other errors are themselves."""
    while isinstance(error, (UploadError, DownloadError)) and error.__cause__ is not None:
        error = error.__cause__
    return error


def exit_of(error: BaseException) -> Exit:
    """The exit code for one error on its own."""
    error = cause_of(error)
    if isinstance(error, KeyboardInterrupt):
        return Exit.INTERRUPTED
    if isinstance(error, CredentialsError):
        return Exit.CREDENTIALS
    if isinstance(error, JournalError):
        return Exit.JOURNAL
    if isinstance(error, S3Error):
        return Exit.CREDENTIALS if error.code in _BAD_CREDENTIALS else Exit.REFUSED
    if isinstance(error, TransportError):
        return Exit.NETWORK
    if isinstance(error, ChecksumMismatch):
        return Exit.REFUSED
    if isinstance(error, (SourceError, OSError)):
        return Exit.SOURCE
    if isinstance(error, (ConfigError, SigningError)):
        return Exit.USAGE
    return Exit.INTERNAL


def overall(failures: Collection[Exit], done: int) -> Exit:
    """The exit code of a run: `failures` of the objects that failed, and how many did not."""
    if not failures:
        return Exit.DONE
    kinds = set(failures)
    return Exit.SOME_FAILED if done or len(kinds) > 1 else kinds.pop()


def concerns_every_object(error: BaseException) -> bool:
    """True if the next object of the same run would fail alike, so that trying it only costs time."""
    error = cause_of(error)
    if isinstance(error, (AccelerationUnavailable, CredentialsError, EndpointError, TlsError)):
        return True
    return isinstance(error, S3Error) and error.code in _BAD_CREDENTIALS | _OF_THE_BUCKET


def text_of(error: BaseException) -> str:
    """One line about an error, without secrets."""
    # What Python should do about acceleration that is off; remedy_of says what the command should.
    text = redact_text(str(error)).replace("\n", " ").replace(f"; {REMEDY}", "").strip()
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError) and error.strerror:
        name = f": {error.filename!r}" if error.filename else ""
        return f"{error.strerror}{name}"
    if exit_of(error) is Exit.INTERNAL:
        return f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, ConfigError):  # others may hold keys and file names that look like arguments
        text = in_options(text)
    return text or type(error).__name__


def in_options(text: str) -> str:
    """The library's texts name its arguments; whoever runs the command needs the options."""
    for argument, option in _OPTIONS:
        text = re.sub(rf"(?<!\S){argument}", option, text)
    return re.sub(r"(?<!\S)--\w+", lambda found: found[0].replace("_", "-"), text)


def remedy_of(error: BaseException) -> str:
    """What to do, one sentence, or "" if there is nothing to say that the error does not say itself."""
    cause = cause_of(error)
    if isinstance(cause, EndpointError):
        return ""  # its text ends in the remedy
    if isinstance(cause, AccelerationUnavailable):
        bucket = cause.bucket or "BUCKET"
        return f"s3accel accelerate on {bucket}, or go the other way with --route auto or --no-accelerate"
    if isinstance(cause, AccessDenied) and cause.operation in _RIGHTS:
        return f"check that the key's policy allows {_RIGHTS[cause.operation]} on the bucket"
    if isinstance(cause, S3Error):
        return _REMEDIES.get(cause.code, "").replace("BUCKET", cause.bucket or "BUCKET")
    if isinstance(cause, TlsError):
        return "check the host's certificate, this machine's clock and --ca-file"
    if isinstance(cause, TransportError):
        return "check the network (name lookup, proxy, firewall) and run the same command again"
    if isinstance(cause, CredentialsError) and cause.absent:  # bad ones say what is bad
        return (
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile (with pip install 's3accel[boto]')"
        )
    return ""
