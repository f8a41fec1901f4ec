"""The caller's object headers: checked before anything is sent, and dealt out to the requests of an upload."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from s3accel.errors import ConfigError

__all__ = ["ObjectHeaders", "object_headers"]

#: Set by the signer or the transport, never by the caller.
RESERVED = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "expect",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-decoded-content-length",
        "x-amz-region-set",
        "x-amz-s3session-token",
        "x-amz-sdk-checksum-algorithm",
        "x-amz-security-token",
        "x-amz-trailer",
    }
)
#: S3 wants these on every request of a multipart upload, not only on the first.
_EVERYWHERE = frozenset(
    {
        "x-amz-expected-bucket-owner",
        "x-amz-request-payer",
        "x-amz-server-side-encryption-customer-algorithm",
        "x-amz-server-side-encryption-customer-key",
        "x-amz-server-side-encryption-customer-key-md5",
    }
)
#: Conditions are judged when the object comes into being: at the put, or at CompleteMultipartUpload.
_CONDITIONS = frozenset({"if-match", "if-none-match"})

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Signed values must arrive byte for byte, so only visible ASCII and single inner spaces are let through.
_VALUE = re.compile(r"[!-~]+( [!-~]+)*|")


@dataclass(frozen=True)
class ObjectHeaders:
    """Headers by the request they go with: ``put`` alone, or ``create``, ``part`` and ``complete``."""

    put: tuple[tuple[str, str], ...] = ()
    create: tuple[tuple[str, str], ...] = ()
    part: tuple[tuple[str, str], ...] = ()
    complete: tuple[tuple[str, str], ...] = ()


def object_headers(
    content_type: str | None, metadata: Mapping[str, str] | None, headers: Mapping[str, str] | None
) -> ObjectHeaders:
    """Check and deal out. Raises ConfigError; values of secret headers are never in its text."""
    items: list[tuple[str, str]] = []
    if content_type is not None:
        items.append(("Content-Type", content_type))
    items += [(f"x-amz-meta-{name}", value) for name, value in (metadata or {}).items()]
    items += list((headers or {}).items())
    seen: set[str] = set()
    for name, value in items:
        lowered = name.lower()
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} is no header name")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise ConfigError(
                f"the value of header {name} cannot be signed safely: only visible ASCII with single spaces between"
                " words arrives unchanged; encode it (RFC 2047 or percent-encoding)"
            )
        if lowered in RESERVED:
            raise ConfigError(f"header {name} is set by the signer or the transport and cannot be given")
        if lowered.startswith("x-amz-checksum-"):
            raise ConfigError(
                f"header {name} cannot be given: say checksum=... and it is computed while sending"
            )
        if lowered in seen:
            raise ConfigError(f"header {name} is given twice")
        if lowered == "content-type" and not value:
            raise ConfigError("Content-Type is empty; leave it out")
        seen.add(lowered)
    everywhere = tuple(item for item in items if item[0].lower() in _EVERYWHERE)
    conditions = tuple(item for item in items if item[0].lower() in _CONDITIONS)
    first = tuple(item for item in items if item not in conditions and item[0].lower() != "content-md5")
    return ObjectHeaders(put=tuple(items), create=first, part=everywhere, complete=everywhere + conditions)
