"""What `SignerV4a` checks before it signs: the same things, with the same meaning, as the core's `Signer`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .. import _core
from ..errors import ConfigError, SigningError
from .streaming import EMPTY_HASH, STREAMING, STREAMING_TRAILER

__all__ = [
    "RESERVED",
    "S3_SERVICES",
    "Headers",
    "Target",
    "own_headers",
    "payload_hash",
    "region_set_of",
    "target_of",
]

Headers = Mapping[str, Any] | Iterable[tuple[str, Any]] | None

#: Services whose path is signed decoded and encoded again; for all others it is normalized and encoded once more.
S3_SERVICES = frozenset({"s3", "s3express", "s3-outposts", "s3-object-lambda"})
#: What the signer sets itself: a second one could be taken for the right one.
RESERVED = frozenset(
    {
        "authorization",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-region-set",
        "x-amz-s3session-token",
        "x-amz-security-token",
    }
)
CONSTANTS = frozenset(
    {"UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", STREAMING, STREAMING_TRAILER}
)

_METHOD = re.compile(r"[A-Z0-9_-]{1,32}")
_HASH = re.compile(r"[0-9a-fA-F]{64}")
_REGION = re.compile(r"[a-z0-9*-]{1,64}")
_OUTSIDE_URL = re.compile(r"[^!-~]")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(?::(?P<port>[1-9][0-9]{0,4}))?")


def region_set_of(regions: str | Iterable[str]) -> str:
    """The text of ``X-Amz-Region-Set``: names joined by commas; ``*`` stands for any part of a name.

    Raises:
        ConfigError: no region, or one that cannot be a region's name.
    """
    names = regions.split(",") if isinstance(regions, str) else list(regions)
    for name in names:
        if not isinstance(name, str) or not _REGION.fullmatch(name):
            raise ConfigError(
                f"{name!r} is no region of a region set; write names like us-east-1, us-west-* or * without spaces"
            )
    if not names:
        raise ConfigError("a region set needs at least one region; * stands for all")
    return ",".join(names)


class Target(NamedTuple):
    """A URL cut into what signing needs. `base` is all before the query, as given."""

    base: str
    host: str
    path: str
    query: str


def target_of(method: str, url: str) -> Target:
    """Checks what the core's `Signer` checks, with the same meaning of each part."""
    if not isinstance(method, str) or not _METHOD.fullmatch(method):
        raise SigningError("cannot sign: the method must be upper-case letters, for example GET", "method")
    outside = _OUTSIDE_URL.search(url)
    if outside is not None:
        raise SigningError(
            f"cannot sign: url, at byte {outside.start()}: the URL must be percent-encoded",
            "url",
            outside.start(),
        )
    scheme, separator, rest = url.partition("://")
    if not separator or not scheme:
        raise SigningError("cannot sign: url: it must be absolute, https://host/path", "url", 0)
    end = re.search(r"[/?#]|$", rest)
    at = len(rest) if end is None else end.start()
    found = _AUTHORITY.fullmatch(rest[:at].rpartition("@")[2])
    if found is None or not found["host"] or int(found["port"] or 1) > 65535:
        raise SigningError("cannot sign: url: it names no host, or no valid port", "url", len(scheme) + 3)
    port = found["port"] or ""
    default = {"https": "443", "http": "80"}.get(scheme.lower())
    host = found["host"].lower() + (f":{port}" if port and port != default else "")
    path, _, query = rest[at:].partition("#")[0].partition("?")
    stray = _STRAY_PERCENT.search(path)
    if stray is not None:
        raise SigningError(
            "cannot sign: url: '%' must be followed by two hexadecimal digits; a literal percent sign is %25",
            "url",
            len(scheme) + 3 + at + stray.start(),
        )
    if "+" in query:
        raise SigningError(
            "cannot sign: url: a raw '+' in the query is read as a space by some servers and as a plus by "
            "others: write %20 or %2B",
            "url",
            url.index("+", url.index("?")),
        )
    return Target(f"{scheme}://{rest[:at]}{path or '/'}", host, path, query)


def own_headers(headers: Headers, host: str, reserved: frozenset[str]) -> list[tuple[str, Any]]:
    """The request's headers, checked, with Host in front unless it is among them."""
    out: list[tuple[str, Any]] = []
    has_host = False
    for name, value in headers.items() if isinstance(headers, Mapping) else headers or ():
        lower = name.lower()
        if lower in reserved:
            raise SigningError(f"cannot sign: header {name}: the signer sets it itself", f"header {name}")
        if isinstance(value, str) and not value.isascii():
            raise SigningError(
                f"cannot sign: header {name} holds characters beyond ASCII: give its value as bytes, exactly "
                "as it will be sent",
                f"header {name}",
            )
        if not isinstance(value, (str, bytes, bytearray)):
            raise TypeError(f"header {name}: the value must be str or bytes, not {type(value).__name__}")
        text = value if isinstance(value, str) else bytes(value).decode("latin-1")
        if any(c in text for c in "\r\n\0"):
            raise SigningError(
                f"cannot sign: header {name}: the value holds a line break or NUL", f"header {name}"
            )
        has_host = has_host or lower == "host"
        out.append((name, value))
    return out if has_host else [("Host", host), *out]


def payload_hash(payload: Any) -> str:
    if payload is None:
        return EMPTY_HASH
    if not isinstance(payload, str):
        return _core.sha256(payload).hex()
    if _HASH.fullmatch(payload) or payload in CONSTANTS:
        return payload
    raise SigningError(
        "cannot sign: a payload given as text must be 64 hexadecimal digits, UNSIGNED-PAYLOAD or a constant of "
        "SigV4a streaming; give the body itself as bytes",
        "payload",
    )
