"""The one list of what must never be shown, and the functions that take it out.

Signatures and presigned queries count as secrets: whoever holds one can act with it until it expires.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["SECRET_HEADERS", "SECRET_QUERY", "redact_headers", "redact_text", "redact_url"]

HIDDEN = "[hidden]"

#: Header names (lower case) whose values are never shown.
SECRET_HEADERS = frozenset(
    {
        "authorization",
        "cookie",
        "proxy-authorization",
        "set-cookie",
        "x-amz-copy-source-server-side-encryption-customer-key",
        "x-amz-s3session-token",
        "x-amz-security-token",
        "x-amz-server-side-encryption-customer-key",
    }
)

#: Query parameter names (lower case) whose values are never shown.
SECRET_QUERY = frozenset(
    {"x-amz-credential", "x-amz-s3session-token", "x-amz-security-token", "x-amz-signature", "signature"}
)

#: Further words after which a secret stands in answers of S3 and STS, in configurations and in reprs.
_SECRET_WORDS = (
    "aws_secret_access_key",
    "aws_session_token",
    "secret_access_key",
    "secretaccesskey",
    "session_token",
    "sessiontoken",
    "signatureprovided",
    "x-amz-trailer-signature",
)
_EVERY_NAME = "|".join(re.escape(n) for n in sorted(SECRET_HEADERS | SECRET_QUERY | set(_SECRET_WORDS)))
_ELEMENT = re.compile(rf"(?i)<({_EVERY_NAME})(\s[^<>]*)?>[^<]+")
# 'name': 'value', "name": "value", (b'name', b'value'), name='value': whatever stands between the value's quotes.
_QUOTED_PAIR = re.compile(
    rf"""(?i)\b({_EVERY_NAME})(["']?\s*[:=,]\s*[bu]?)(["'])((?:\\.|(?!\3)[^\\\r\n])+)\3"""
)
# name=value and name: value as configurations and environments have them.
_PLAIN_PAIR = re.compile(rf"(?i)\b({'|'.join(_SECRET_WORDS)})(\s*[:=]\s*)([^\s\"'<>&,;]+)")
_QUERY_PAIR = re.compile(
    r"(?i)\b(" + "|".join(re.escape(name) for name in sorted(SECRET_QUERY)) + r")=([^&\s\"'<>]+)"
)
# A folded header goes on in the next line.
_HEADER_LINE = re.compile(
    r"(?im)\b("
    + "|".join(re.escape(name) for name in sorted(SECRET_HEADERS | {"x-amz-trailer-signature"}))
    + r")([\"']?\s*[:=]\s*)([^\r\n]+(?:\r?\n[ \t]+[^\r\n]+)*)"
)
_SIGNATURE = re.compile(r"(?i)\b(signature\s*[:=]\s*)[0-9a-f]{64,144}")


def redact_headers(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The same headers with the values of secret ones hidden, and secrets in URLs in others; order and duplicates kept.

    Names and values may be bytes, as ASGI has them.
    """
    items = headers.items() if isinstance(headers, Mapping) else headers
    return [(name, _shown_value(name, value)) for name, value in items]


def _shown_value(name: str | bytes, value: Any) -> Any:
    text = name.decode("latin-1") if isinstance(name, bytes) else name
    if text.strip().lower() in SECRET_HEADERS:
        return HIDDEN.encode() if isinstance(value, bytes) else HIDDEN
    # Location and Referer hold URLs, and other headers may.
    if isinstance(value, bytes):
        return redact_url(value.decode("latin-1")).encode("latin-1") if b"=" in value else value
    return redact_url(value) if isinstance(value, str) and "=" in value else value


def redact_url(url: str) -> str:
    """The URL with the values of secret query parameters hidden and any user info removed."""
    # Up to the last '@' before the path: a password may hold one that was not encoded.
    url = re.sub(r"(?i)^(\s*(?:[a-z][a-z0-9+.-]*:)?//)[^/?#]*@", r"\1", url)
    rest, mark, query = url.partition("?")
    query = "&".join(map(_shown_pair, query.split("&")))
    return _QUERY_PAIR.sub(rf"\1={HIDDEN}", rest) + mark + query


def _shown_pair(pair: str) -> str:
    """One parameter. A server decodes names before it compares them, and a value ends at '&' and nowhere before."""
    from urllib.parse import unquote_plus  # not needed by those who only sign

    name, mark, _ = pair.partition("=")
    if mark and unquote_plus(name).strip().lower() in SECRET_QUERY:
        return f"{name}={HIDDEN}"
    # A URL may hold another one that is not encoded, or parameters after a second '?' or a '#'.
    return _QUERY_PAIR.sub(rf"\1={HIDDEN}", pair)


def redact_text(text: str) -> str:
    """Free text (a log line, an error body) with what looks like a secret hidden: what stands after a name of the
    lists above, as a header, parameter, element, pair in quotes, or ``name=value``."""
    text = _ELEMENT.sub(rf"<\1\2>{HIDDEN}", text)
    text = _QUOTED_PAIR.sub(rf"\1\2\3{HIDDEN}\3", text)
    text = _HEADER_LINE.sub(rf"\1\2{HIDDEN}", text)
    text = _QUERY_PAIR.sub(rf"\1={HIDDEN}", text)
    text = _PLAIN_PAIR.sub(rf"\1\2{HIDDEN}", text)
    return _SIGNATURE.sub(rf"\1{HIDDEN}", text)
