"""URLs as they go on the wire, hosts that must not be spoken to in the clear, and redirects.

HTTP libraries write a URL in their own way; S3 decodes what arrives and encodes it again by its own rule before
it checks the signature. So the adapters write S3's form themselves, sign it, and hand exactly that to the library.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes, urljoin

from .._core import uri_encode
from ..errors import EndpointError, SigningError
from ..redact import redact_url

__all__ = ["S3_SERVICES", "Wire", "object_url", "redirect_region", "wire_of"]

#: Services that read the path as it is, once encoded; all others normalize it and encode it twice.
S3_SERVICES = frozenset({"s3", "s3express", "s3-outposts", "s3-object-lambda"})

_AWS_SUFFIXES = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PORTS = {"http": 80, "https": 443}
# What RFC 3986 allows in a path, and "%" of what is encoded already.
_PATH_SAFE = "!$&'()*+,;=:@/~-._%"

_S3_HOST = re.compile(
    r"(?:(?P<bucket>.+)\.)?s3(?:-accelerate)?(?:[.-]dualstack)?"
    r"(?:[.-](?P<region>[a-z]{2,3}(?:-[a-z]+)+-\d{1,2}))?\.amazonaws\.com(?P<china>\.cn)?"
)


class Wire(NamedTuple):
    """One URL, taken apart and written as it will be sent."""

    scheme: str
    host: str  # lower case; IPv6 in brackets
    port: int | None  # None if the URL names none
    target: str  # path and query, as in the request line

    @property
    def netloc(self) -> str:
        """The Host header: the port is left out where it is the scheme's own."""
        own = self.port is None or self.port == _PORTS[self.scheme]
        return self.host if own else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.target}"

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port or _PORTS[self.scheme]

    @property
    def secure(self) -> bool:
        return self.scheme == "https"


def wire_of(url: str, service: str) -> Wire:
    """The URL as it must be sent and signed.

    For S3 the path is decoded and encoded again with S3's own set, as the server does it: ``(`` becomes
    ``%28``, ``%2E%2E`` becomes ``..``, and ``%2F``, which S3 reads as a slash, is written as one. Dot segments
    and double slashes stay. For other services the path stays as it is. The query is written as the signature
    covers it, a raw ``+`` as ``%20``; user info and fragment are left out.

    Raises:
        SigningError: not an absolute http(s) URL with an ASCII host, or it holds a stray ``%``.
        EndpointError: plain HTTP to a host of AWS.
    """
    scheme, found, rest = url.partition("://")
    scheme = scheme.lower()
    if not found or scheme not in _PORTS:
        raise _bad_url(url, "it must begin with https:// (or http:// for a host that is not AWS's)")
    rest = rest.partition("#")[0]
    end = min((at for mark in "/?" if (at := rest.find(mark)) >= 0), default=len(rest))
    host, port = _authority(url, rest[:end].rpartition("@")[2])
    path, asked, query = rest[end:].partition("?")
    if _STRAY_PERCENT.search(rest[end:]):
        raise _bad_url(url, "it holds a '%' that encodes nothing; a percent sign itself is %25")
    if service in S3_SERVICES:
        path = uri_encode(unquote_to_bytes(path), True)
    else:
        path = quote(path, safe=_PATH_SAFE)
    query = "&".join(_parameter(pair) for pair in query.split("&") if pair)
    wire = Wire(scheme, host, port, (path or "/") + (f"?{query}" if asked and query else ""))
    if scheme == "http" and (host.endswith(_AWS_SUFFIXES) or host in ("amazonaws.com", "amazonaws.com.cn")):
        raise EndpointError(
            f"plain HTTP to {host!r} is refused: anyone on the path can read the data and the session token",
            "use https://",
        )
    return wire


def _parameter(pair: str) -> str:
    """A query parameter as a signature covers it. Libraries write a raw ``+`` for a space; servers differ."""
    name, equals, value = pair.replace("+", "%20").partition("=")
    return uri_encode(unquote_to_bytes(name)) + equals + uri_encode(unquote_to_bytes(value))


def _authority(url: str, text: str) -> tuple[str, int | None]:
    host, colon, port = text.rpartition(":")
    if not colon or "]" in port:
        host, port = text, ""
    host = host.lower()
    if not host or not host.isascii() or any(c <= " " or c in '\\^`{|}<>"%' for c in host):
        raise _bad_url(url, "its host is empty or not written in ASCII (xn--... for an international name)")
    if port and not (port.isdigit() and int(port) < 65536):
        raise _bad_url(url, "its port is not a number from 0 to 65535")
    return host, int(port) if port else None


def _bad_url(url: str, why: str) -> SigningError:
    return SigningError(f"cannot sign {redact_url(url)!r}: {why}", field="url")


def object_url(endpoint: str, key: str | bytes) -> str:
    """The URL of an object, written so that it reaches these adapters unharmed.

    Args:
        endpoint: what stands before the key, ``https://bucket.s3.eu-west-1.amazonaws.com`` for example, or
            with the bucket as its path.
        key: the raw key.

    The segments ``.`` and ``..`` are written ``%2E`` and ``%2E%2E``: plain ones are resolved by the library
    before anybody can see them. The adapters write them as dots again, which is what S3 signs.
    """
    path = uri_encode(key, True)
    dots = {".": "%2E", "..": "%2E%2E"}
    return endpoint.rstrip("/") + "/" + "/".join(dots.get(part, part) for part in path.split("/"))


def redirect_region(
    old: Wire, location: str | Wire, service: str, allowed: Collection[str]
) -> tuple[Wire, str | None]:
    """Where a redirect leads, and the region to sign it for (None: the one before).

    Followed are redirects inside one origin, from port 80 of a host to port 443 of the same host, and, where
    the caller allowed that region, to the same bucket and path of S3 in another region.

    Raises:
        EndpointError: anything else; nothing was sent there.
    """
    new = location if isinstance(location, Wire) else wire_of(urljoin(old.url, location), service)
    if new.origin == old.origin or (old.origin, new.origin) == (
        ("http", old.host, 80),
        ("https", old.host, 443),
    ):
        return new, None
    if old.secure and not new.secure:
        raise _refused(old, new, "it leaves TLS", "ask the server's owner; it is never followed")
    here, there = _S3_HOST.fullmatch(old.host), _S3_HOST.fullmatch(new.host)
    if here is None or there is None or there["region"] is None or service != "s3":
        raise _refused(
            old,
            new,
            "credentials are not sent to another host",
            "send a new request there yourself if the host is meant",
        )
    same = (here["bucket"], here["china"], old.origin[2], old.path) == (
        there["bucket"],
        there["china"],
        new.origin[2],
        new.path,
    )
    if not same or not new.secure:
        raise _refused(old, new, "it names another bucket, key or port", "send a new request yourself")
    if there["region"] not in allowed:
        raise _refused(
            old,
            new,
            f"the region {there['region']} was not allowed",
            f"give redirect_regions=[{there['region']!r}], or use that region's endpoint at once",
        )
    return new, there["region"]


def _refused(old: Wire, new: Wire, why: str, remedy: str) -> EndpointError:
    return EndpointError(
        f"the redirect from {old.scheme}://{old.netloc} to {new.scheme}://{new.netloc} is not followed: {why}; "
        "nothing was sent there",
        remedy,
    )
