"""Bucket, region and mode -> the host to talk to, or the reason why not.

Everything is decided before any I/O. What cannot be accelerated is refused with a reason and a remedy.
Sources: S3 User Guide "Transfer Acceleration", "Bucket naming rules", "Virtual hosting of buckets".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from s3accel.errors import ConfigError, EndpointError
from s3accel.signer import uri_encode

__all__ = [
    "ACCELERATE_SUFFIX",
    "REGIONAL_OPERATIONS",
    "Endpoint",
    "encode_query",
    "resolve",
    "validate_bucket_name",
    "validate_key",
]

ACCELERATE_SUFFIX = "s3-accelerate.amazonaws.com"
ACCELERATE_DUALSTACK_SUFFIX = "s3-accelerate.dualstack.amazonaws.com"

#: What the accelerated host does not do: these always go to the regional endpoint.
REGIONAL_OPERATIONS = frozenset(
    {
        "CreateBucket",
        "DeleteBucket",
        "GetBucketAccelerateConfiguration",
        "GetBucketLocation",
        "ListBuckets",
        "PutBucketAccelerateConfiguration",
    }
)

#: S3 API Reference, "PutObject": a key is at most 1,024 bytes of UTF-8.
MAX_KEY_BYTES = 1024

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{1,61})[a-z0-9]")
_DNS_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{1,61})[a-z0-9]")
_LEGACY_NAME = re.compile(r"[A-Za-z0-9._-]{3,255}")  # us-east-1 buckets made before March 2018
_REGION = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DIGITS = re.compile(r"\d+(\.\d+){3}")

USE_REGIONAL = "use accelerate=False (the regional endpoint)"

#: Suffixes S3 reserves for names that are not general purpose buckets.
_ALIASES = {
    "--xa-s3": "an S3 Express access point",
    "--x-s3": "an S3 Express directory bucket",
    "--table-s3": "an S3 Tables bucket",
    "--ol-s3": "an Object Lambda access point alias",
    "-s3alias": "an access point alias",
    ".mrap": "a Multi-Region Access Point alias",
}


@dataclass(frozen=True)
class Endpoint:
    """Where the requests for one bucket go.

    Attributes:
        port: None for the scheme's own.
        bucket_in_path: True for path style (the host does not name the bucket).
        region: the region to sign for: always the bucket's own.
        kind: ``"accelerate"``, ``"accelerate-dualstack"``, ``"regional"``, ``"dualstack"`` or ``"custom"``.
    """

    scheme: str
    host: str
    port: int | None
    bucket_in_path: bool
    region: str
    kind: str
    bucket: str = ""

    @property
    def accelerated(self) -> bool:
        return self.kind.startswith("accelerate")

    @property
    def authority(self) -> str:
        """Host and port as the Host header shows them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    def url(self, key: str = "", query: Iterable[tuple[str, str]] = ()) -> str:
        """The wire URL. The path is the key encoded once, never normalized: ``//``, ``.`` and ``..`` stay."""
        path = f"/{uri_encode(self.bucket)}" if self.bucket_in_path and self.bucket else ""
        if key or not path:
            path += "/" + uri_encode(key, keep_slash=True)
        text = encode_query(query)
        return f"{self.scheme}://{self.authority}{path}" + (f"?{text}" if text else "")


def encode_query(query: Iterable[tuple[str, str]]) -> str:
    """Names and values encoded and sorted as S3's canonical query is, so that wire and signature are equal."""
    return "&".join(
        f"{name}={value}" for name, value in sorted((uri_encode(n), uri_encode(v)) for n, v in query)
    )


def validate_key(key: str) -> None:
    """Refuse keys S3 cannot hold: empty, over 1,024 bytes of UTF-8, or not text. Raises ConfigError."""
    if not isinstance(key, str):
        raise ConfigError(f"the object key must be str, not {type(key).__name__}")
    if not key:
        raise ConfigError("the object key is empty; S3 objects need a key of 1 to 1,024 bytes")
    try:
        size = len(key.encode())
    except UnicodeEncodeError as exc:
        raise ConfigError(
            f"the object key {key!r} has a lone surrogate at index {exc.start} and cannot be sent as UTF-8;"
            " decode file names with os.fsencode() and your own rule first"
        ) from exc
    if size > MAX_KEY_BYTES:
        raise ConfigError(
            f"the object key is {size} bytes of UTF-8; S3's limit is {MAX_KEY_BYTES}: {key[:60]!r}..."
        )


def validate_bucket_name(bucket: str, *, accelerate: bool) -> None:
    """Raise EndpointError (reason and remedy) if the name is no bucket name, or none that can be accelerated."""
    if not isinstance(bucket, str) or not bucket:
        raise EndpointError(f"bucket name {bucket!r} is empty or no text", "give the name of a bucket")
    if bucket.startswith("arn:"):
        raise EndpointError(
            f"{bucket!r} is an ARN: access points, Outposts and Object Lambda cannot be accelerated",
            "use the bucket's own name, or the access point alias with accelerate=False",
        )
    if not accelerate:
        return
    for suffix, what in _ALIASES.items():
        if bucket.endswith(suffix):
            raise EndpointError(
                f"bucket name {bucket!r} ends in {suffix!r}: it is {what}, which cannot be accelerated",
                "use the general purpose bucket's own name, or " + USE_REGIONAL,
            )
    if _DIGITS.fullmatch(bucket):
        raise EndpointError(
            f"bucket name {bucket!r} looks like an IP address: acceleration is impossible", USE_REGIONAL
        )
    if "." in bucket:
        raise EndpointError(
            f"bucket name {bucket!r} has a dot: acceleration is impossible because the certificate of"
            f" *.{ACCELERATE_SUFFIX} covers one label only",
            USE_REGIONAL,
        )
    if not 3 <= len(bucket) <= 63:
        raise EndpointError(
            f"bucket name {bucket!r} has {len(bucket)} characters: acceleration is impossible because a bucket"
            " name has 3 to 63",
            "check the name" if len(bucket) < 3 else USE_REGIONAL,
        )
    if bucket.lower() != bucket:
        raise EndpointError(
            f"bucket name {bucket!r} has upper-case letters: acceleration is impossible because host names do"
            " not tell upper from lower case",
            "check the name (only buckets made in us-east-1 before March 2018 may have them), or "
            + USE_REGIONAL,
        )
    if bucket.startswith("xn--"):
        raise EndpointError(
            f"bucket name {bucket!r} starts with 'xn--', which S3 does not allow (it marks an IDNA host name)",
            "check the name",
        )
    if not _LABEL.fullmatch(bucket):
        raise EndpointError(
            f"bucket name {bucket!r} is not DNS compliant: acceleration is impossible because it cannot stand in"
            " a host name (allowed: a-z, 0-9 and '-', first and last a letter or digit)",
            USE_REGIONAL,
        )


def _validate_region(region: str) -> str:
    if region == "aws-global":
        return "us-east-1"
    if not isinstance(region, str) or not _REGION.fullmatch(region):
        raise EndpointError(
            f"{region!r} is no region name", "give the bucket's own region, for example 'eu-west-1'"
        )
    if region in ("accelerate", "s3-accelerate"):
        raise EndpointError(
            f"{region!r} is no region: accelerated requests are signed for the bucket's own region",
            "give the region the bucket is in",
        )
    return region


def _is_aws_host(host: str) -> bool:
    host = host.rstrip(".").lower()
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws")) or host in (
        "amazonaws.com",
        "amazonaws.com.cn",
        "api.aws",
    )


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _custom(
    bucket: str, region: str, endpoint_url: str, allow_http_host: str | None, path_style: bool | None
) -> Endpoint:
    try:
        parts = urlsplit(endpoint_url)
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise EndpointError(f"endpoint_url is no URL ({exc})", "give it as 'https://host[:port]'") from exc
    if parts.scheme not in ("http", "https") or not host:
        raise EndpointError("endpoint_url is no http(s) URL with a host", "give it as 'https://host[:port]'")
    if parts.username is not None or parts.password is not None:
        raise EndpointError("endpoint_url holds user info", "pass credentials as an argument, never in a URL")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise EndpointError(
            f"endpoint_url has a path or query after {host!r}",
            "give scheme, host and port only: the path is signed",
        )
    if "accelerate" in host and _is_aws_host(host):
        raise EndpointError(
            f"endpoint_url names the accelerated host {host!r} itself",
            "leave endpoint_url out, use accelerate=True",
        )
    if parts.scheme == "http":
        if _is_aws_host(host):
            raise EndpointError(f"plain HTTP to {host!r} is never allowed", "use https://")
        if allow_http_host is None or allow_http_host.lower() != host:
            raise EndpointError(
                f"plain HTTP to {host!r} is refused: anyone on the path can read the data",
                f"use https://, or say allow_http_host={host!r} if that host is really meant",
            )
    if port == (443 if parts.scheme == "https" else 80):
        port = None
    if path_style is None:
        path_style = True
    if not path_style and (_is_ip(host) or not _LABEL.fullmatch(bucket)):
        raise EndpointError(
            f"bucket {bucket!r} cannot stand before {host!r} in a host name",
            "use path_style=True for this endpoint",
        )
    if bucket in (".", "..") or not 1 <= len(bucket) <= 255 or re.search(r"[/\x00-\x20\x7f]", bucket):
        raise EndpointError(f"{bucket!r} is no bucket name", "give the name of a bucket")
    host = host if path_style else f"{bucket}.{host}"
    return Endpoint(parts.scheme, host, port, path_style, region, "custom", bucket)


def _regional(bucket: str, region: str, dualstack: bool, path_style: bool | None) -> Endpoint:
    if region.startswith("us-iso"):
        raise EndpointError(f"the host names of region {region!r} are not known here", "give endpoint_url")
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    host = f"s3.dualstack.{region}.{suffix}" if dualstack else f"s3.{region}.{suffix}"
    for tail in ("--x-s3", "--xa-s3", "--table-s3", ".mrap"):
        if bucket.endswith(tail):
            raise EndpointError(
                f"bucket name {bucket!r} ends in {tail!r}: {_ALIASES[tail]} has its own hosts and signatures",
                "use a general purpose bucket",
            )
    if bucket and not _LEGACY_NAME.fullmatch(bucket):
        raise EndpointError(
            f"{bucket!r} is no bucket name (3 to 63 characters a-z, 0-9, '-' and '.')", "check the name"
        )
    # A dot would put the bucket outside the one label that the TLS wildcard covers, so such names go by path.
    virtual_hosted = bool(_LABEL.fullmatch(bucket)) and not bucket.startswith("xn--")
    in_path = path_style if path_style is not None else not virtual_hosted
    if not in_path and not virtual_hosted:
        raise EndpointError(
            f"bucket name {bucket!r} cannot stand in a host name under one TLS wildcard label",
            "use path_style=True",
        )
    kind = "dualstack" if dualstack else "regional"
    return Endpoint("https", host if in_path else f"{bucket}.{host}", None, in_path, region, kind, bucket)


def resolve(
    bucket: str,
    region: str,
    *,
    accelerate: bool,
    dualstack: bool = False,
    endpoint_url: str | None = None,
    allow_http_host: str | None = None,
    path_style: bool | None = None,
    operation: str = "",
) -> Endpoint:
    """Where requests for ``bucket`` go. Pure: no I/O, no environment.

    Args:
        bucket: its name; "" only for ListBuckets.
        region: the bucket's own region, also with acceleration.
        accelerate: the accelerated host. ``operation`` in REGIONAL_OPERATIONS goes to the regional host all the same.
        dualstack: IPv6 and IPv4.
        endpoint_url: ``https://host[:port]`` of another S3; excludes ``accelerate``.
        allow_http_host: the one host that may be spoken to without TLS; never one of AWS.
        path_style: bucket in the path. None: what fits (custom endpoints: path; AWS: host name if it can be one).

    Raises:
        EndpointError: with reason and remedy.
    """
    if region.startswith("fips-") or region.endswith("-fips"):
        raise EndpointError(
            f"{region!r} asks for FIPS endpoints, which exclude acceleration and are not served here",
            "give the plain region name, or endpoint_url='https://s3-fips.<region>.amazonaws.com' with accelerate=False",
        )
    region = _validate_region(region)
    accelerate = accelerate and operation not in REGIONAL_OPERATIONS
    if not (operation == "ListBuckets" and not bucket):
        validate_bucket_name(bucket, accelerate=accelerate)
    if endpoint_url is not None:
        if accelerate:
            raise EndpointError(
                "a custom endpoint and acceleration exclude each other",
                "use accelerate=False with endpoint_url, or connect_to={'<host>:443': '<address>:<port>'} to reach"
                " the accelerated host at another address",
            )
        if dualstack:
            raise EndpointError("dualstack does nothing for a custom endpoint", "leave dualstack out")
        return _custom(bucket, region, endpoint_url, allow_http_host, path_style)
    if not accelerate:
        return _regional(bucket, region, dualstack, path_style)
    if region.startswith("cn-"):
        raise EndpointError(
            f"region {region!r} is in partition aws-cn, which has no Transfer Acceleration", USE_REGIONAL
        )
    if path_style:
        raise EndpointError(
            "path style and acceleration exclude each other: the accelerated host is found by the bucket's name in it",
            "leave path_style out, or " + USE_REGIONAL,
        )
    suffix = ACCELERATE_DUALSTACK_SUFFIX if dualstack else ACCELERATE_SUFFIX
    kind = "accelerate-dualstack" if dualstack else "accelerate"
    return Endpoint("https", f"{bucket}.{suffix}", None, False, region, kind, bucket)
