"""Transfer Acceleration of a bucket: what it is set to, and setting it. Always through the regional endpoint.

Sources: S3 API Reference, "GetBucketAccelerateConfiguration", "PutBucketAccelerateConfiguration".
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from s3accel.clock import Clock
from s3accel.credentials import Credentials, Provider
from s3accel.errors import ConfigError, TransportError
from s3accel.transfer import s3xml
from s3accel.transfer.calls import Caller, Operation, Site
from s3accel.transfer.endpoint import validate_bucket_name
from s3accel.transfer.retry import RetryPolicy
from s3accel.transfer.transport import CurlTransport, Transport

__all__ = ["ENABLED", "NEVER_SET", "SUSPENDED", "BucketConfig", "body_of", "status_of"]

ENABLED = "Enabled"
SUSPENDED = "Suspended"
#: A bucket whose acceleration was never set answers with an empty configuration.
NEVER_SET = ""
_ROOT = "AccelerateConfiguration"


def body_of(enabled: bool) -> bytes:
    """The body of PutBucketAccelerateConfiguration."""
    status = ENABLED if enabled else SUSPENDED
    return f'<{_ROOT} xmlns="{s3xml.NAMESPACE}"><Status>{status}</Status></{_ROOT}>'.encode()


def status_of(text: str) -> str:
    """ENABLED, SUSPENDED or NEVER_SET. Raises TransportError for a status nobody knows."""
    if text not in (ENABLED, SUSPENDED, NEVER_SET):
        raise TransportError(
            f"GetBucketAccelerateConfiguration was answered with the status {text[:40]!r}",
            phase="receive",
            retryable=False,
        )
    return text


class BucketConfig:
    """Reads and sets the acceleration of buckets. Close it, or use it as a context manager.

    The arguments are those of `Client`. Raises ConfigError for what cannot go together; does no I/O yet.
    """

    def __init__(
        self,
        *,
        region: str | None = None,
        credentials: Credentials | Provider | None = None,
        dualstack: bool = False,
        endpoint_url: str | None = None,
        connect_to: Mapping[str, str] | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        allow_http_host: str | None = None,
        retry: RetryPolicy | None = None,
        transport: Transport | None = None,
        clock: Clock | Callable[[], float] | None = None,
    ) -> None:
        if transport is not None and (connect_to is not None or ca_file is not None):
            raise ConfigError("connect_to and ca_file belong to the transport; give them to the one you pass")
        region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        site = Site(region, False, dualstack, endpoint_url, allow_http_host)
        self._own = None if transport is not None else CurlTransport(ca_file=ca_file, connect_to=connect_to)
        sender: Transport = transport if transport is not None else self._own  # type: ignore[assignment]
        self._caller = Caller(sender, site, credentials, policy=retry, clock=clock)

    def status(self, bucket: str) -> str:
        """ENABLED, SUSPENDED, or NEVER_SET ("").

        Raises AccessDenied without s3:GetAccelerateConfiguration, S3Error (NoSuchBucket, ...), TransportError.
        """
        operation = Operation(
            "GetBucketAccelerateConfiguration", "GET", bucket, query=[("accelerate", "")], root=_ROOT
        )
        root = self._caller.run(operation).root
        return status_of("" if root is None else s3xml.text_of(root, "Status"))

    def set(self, bucket: str, enabled: bool) -> None:
        """Turn acceleration on, or suspend it. Setting what is set already changes nothing.

        Raises EndpointError before anything is sent if the bucket's name forbids acceleration; AccessDenied without
        s3:PutAccelerateConfiguration, S3Error, TransportError.
        """
        if enabled:
            validate_bucket_name(bucket, accelerate=True)
        self._caller.run(
            Operation(
                "PutBucketAccelerateConfiguration",
                "PUT",
                bucket,
                query=[("accelerate", "")],
                headers=[("Content-Type", "application/xml")],
                body=body_of(enabled),
            )
        )

    def region(self, bucket: str) -> str:
        """The region the last answers about the bucket came from."""
        return self._caller.region(bucket)

    def close(self) -> None:
        """Close the connections."""
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> BucketConfig:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
