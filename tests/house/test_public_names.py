"""The public names are a promise: adding or dropping one is a decision, made here and in the changelog."""

from __future__ import annotations

import importlib

import pytest

import s3accel

NAMES = {
    "s3accel": [
        "Clock",
        "Credentials",
        "EnvironmentProvider",
        "RefreshingProvider",
        "S3AccelError",
        "SignedStream",
        "Signer",
        "SigningKey",
        "StaticProvider",
        "Verifier",
        "__version__",
        "errors",
        "install",
        "kernels",
        "uninstall",
        "uri_encode",
    ],
    "s3accel.errors": [
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
    ],
    "s3accel.transfer": [
        "BucketConfig",
        "Certificate",
        "Client",
        "ConnectionInfo",
        "CurlTransport",
        "DeleteOutcome",
        "DownloadResult",
        "Endpoint",
        "JobOutcome",
        "JournaledUploader",
        "ObjectInfo",
        "ObjectSummary",
        "ProgressEvent",
        "Request",
        "Response",
        "RetryPolicy",
        "RoutePolicy",
        "Router",
        "Transport",
        "UploadResult",
    ],
}


@pytest.mark.parametrize("module", NAMES)
def test_names_are_the_promised_ones(module: str) -> None:
    found = importlib.import_module(module).__all__
    assert list(found) == sorted(found), "sorted, so that a change is one line"
    assert list(found) == NAMES[module]


@pytest.mark.parametrize("module", NAMES)
def test_every_name_is_there(module: str) -> None:
    loaded = importlib.import_module(module)
    assert [name for name in loaded.__all__ if not hasattr(loaded, name)] == []


def test_errors_are_one_tree() -> None:
    """Everything raised on purpose can be caught broad: by S3AccelError."""
    for name in s3accel.errors.__all__:
        assert issubclass(getattr(s3accel.errors, name), s3accel.errors.S3AccelError)
