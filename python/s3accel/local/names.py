"""From what a client addressed (host and raw path) to a bucket and a key.

The endpoint answers under any host name that reaches it, as the real service and its look-alikes do:

* ``BUCKET.s3-accelerate.amazonaws.com`` and its dual-stack form: the acceleration endpoint, virtual style
  only;
* ``BUCKET.s3.REGION.amazonaws.com``, ``BUCKET.s3.amazonaws.com``, ``s3.REGION.amazonaws.com/BUCKET`` and
  their dual-stack and dash forms: the regional endpoint;
* ``BUCKET.localhost`` and any other base domain it was given: virtual style;
* everything else (``127.0.0.1``, ``[::1]``, a container's name): path style.

Keys come from the raw path by percent-decoding only: no dot segment is resolved, no slash merged, ``+`` stays
``+``. What a web framework would tidy up is part of an S3 key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote_to_bytes

from .refusals import Refusal

Style = Literal["virtual", "path"]
Kind = Literal["accelerate", "regional", "custom"]

ACCELERATE_HOSTS = ("s3-accelerate.amazonaws.com", "s3-accelerate.dualstack.amazonaws.com")
DEFAULT_BASE_DOMAINS = ("localhost",)
MAX_KEY_BYTES = 1024
"""S3 User Guide, "Naming Amazon S3 objects": at most 1,024 bytes of UTF-8."""

_REGIONAL = re.compile(
    r"(?:(?P<bucket>.+)\.)?s3(?:-fips)?(?:[.-]dualstack)?(?:[.-](?P<region>[a-z]{2,}(?:-[a-z]+)+-\d+))?"
    r"\.amazonaws\.com(?:\.cn)?"
)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_IP_LIKE = re.compile(r"\d+\.\d+\.\d+\.\d+")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", "--x-s3", "--xa-s3", ".mrap", "--table-s3")


@dataclass(frozen=True)
class Address:
    """Where a request goes. ``bucket`` and ``key`` are None when it names none."""

    bucket: str | None
    key: str | None
    style: Style
    kind: Kind
    host_region: str | None = None

    @property
    def resource(self) -> str:
        """The ``Resource`` of an error document: ``/bucket/key``."""
        return "/" + "/".join(part for part in (self.bucket, self.key) if part is not None)


def host_name(host: str) -> str:
    """The host name of a ``Host`` header: lower case, without port, without the final dot."""
    host = host.strip().lower()
    if host.startswith("["):
        end = host.find("]")
        return host[1:end] if end > 0 else host
    return host.partition(":")[0].rstrip(".")


def _match_host(name: str, base_domains: Sequence[str]) -> tuple[str | None, Kind, str | None]:
    """``(bucket or None, kind, region)`` named by a host."""
    for accelerate in ACCELERATE_HOSTS:
        if name == accelerate:
            return None, "accelerate", None
        if name.endswith("." + accelerate):
            return name[: -len(accelerate) - 1], "accelerate", None
    found = _REGIONAL.fullmatch(name)
    if found is not None:
        return found["bucket"], "regional", found["region"]
    for domain in base_domains:
        if name == domain:
            return None, "custom", None
        if name.endswith("." + domain):
            return name[: -len(domain) - 1], "custom", None
    return None, "custom", None


def _decode(raw: str) -> str:
    if _BAD_ESCAPE.search(raw):
        raise Refusal("InvalidURI", 400, "Couldn't parse the specified URI.", {"URI": raw})
    try:
        return unquote_to_bytes(raw.encode("latin-1")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal("InvalidURI", 400, "Couldn't parse the specified URI.", {"URI": raw}) from error


def origin_form(path: str) -> str:
    """The path of a request target; a target in absolute form (sent through a proxy) loses scheme and
    host."""
    if path.startswith(("http://", "https://")):
        slash = path.find("/", path.index("//") + 2)
        return path[slash:] if slash >= 0 else "/"
    return path or "/"


def locate(host: str, raw_path: str, base_domains: Sequence[str] = DEFAULT_BASE_DOMAINS) -> Address:
    """Find bucket and key of a request.

    ``host`` is the Host header, ``raw_path`` the path as it came over the wire (percent-encoded, latin-1).
    Raises :class:`Refusal` (InvalidURI, KeyTooLongError) for a path that names no key S3 could hold.
    """
    bucket, kind, region = _match_host(host_name(host), base_domains)
    if not raw_path.startswith("/"):
        raise Refusal("InvalidURI", 400, "Couldn't parse the specified URI.", {"URI": raw_path})
    style: Style = "virtual"
    rest = raw_path[1:]
    if bucket is None:
        style = "path"
        first, _, rest = rest.partition("/")
        bucket = _decode(first) or None
        if bucket is None and rest:
            raise Refusal("InvalidBucketName", 400, "The specified bucket is not valid.", {"BucketName": ""})
    key = _decode(rest) or None
    if key is not None:
        size = len(key.encode("utf-8"))
        if size > MAX_KEY_BYTES:
            raise Refusal(
                "KeyTooLongError",
                400,
                "Your key is too long",
                {"Size": str(size), "MaxSizeAllowed": str(MAX_KEY_BYTES)},
            )
    return Address(bucket, key, style, kind, region)


def check_bucket_name(name: str) -> None:
    """Refuse what is not a bucket name (S3 User Guide, "General purpose bucket naming rules")."""
    if (
        not _BUCKET.fullmatch(name)
        or ".." in name
        or _IP_LIKE.fullmatch(name)
        or name.startswith(_RESERVED_PREFIXES)
        or name.endswith(_RESERVED_SUFFIXES)
    ):
        raise Refusal("InvalidBucketName", 400, "The specified bucket is not valid.", {"BucketName": name})


def parse_query(raw: str) -> list[tuple[str, str]]:
    """Names and values of a raw query, in order; ``+`` reads as a space, as S3 reads it. Empty segments
    vanish."""
    pairs = []
    for segment in raw.split("&"):
        if segment:
            name, _, value = segment.partition("=")
            pairs.append((_decode(name.replace("+", " ")), _decode(value.replace("+", " "))))
    return pairs
