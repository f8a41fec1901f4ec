"""Values on the command line: sizes, S3 addresses, mappings. And sizes in words for people."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import click

__all__ = [
    "CONNECT_TO",
    "METADATA",
    "S3_URL",
    "SIZE",
    "S3Url",
    "count_text",
    "rate_text",
    "seconds_text",
    "size_text",
]

if TYPE_CHECKING:  # generic only since click 8.3
    _IntType = click.ParamType[int]
    _PairType = click.ParamType[tuple[str, str]]
    _UrlType = click.ParamType["S3Url"]
else:
    _IntType = _PairType = _UrlType = click.ParamType

_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "k": 1 << 10,
    "m": 1 << 20,
    "g": 1 << 30,
    "t": 1 << 40,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}
_SIZE = re.compile(r"\s*(\d+)(\.\d+)?\s*([A-Za-z]*)\s*")


class _Size(_IntType):
    """Bytes: 65536, 64KiB, 8MiB, 1.5GiB, 5MB (decimal). One letter (64K) is binary, as in dd and split."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = _SIZE.fullmatch(str(value))
        unit = None if found is None else _UNITS.get(found[3].lower())
        if found is None or unit is None:
            self.fail(f"{value!r} is no size; write it as 65536, 64KiB, 8MiB or 5MB", param, ctx)
        whole = int(found[1]) * unit
        return whole + int(float(found[2]) * unit) if found[2] else whole


class S3Url(NamedTuple):
    """``s3://bucket/key``. The key is taken letter by letter: nothing is decoded, ``?`` and ``%`` are its own."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def is_prefix(self) -> bool:
        """True if objects go below it, rather than to it."""
        return not self.key or self.key.endswith("/")


class _S3Url(_UrlType):
    name = "s3://bucket/key"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> S3Url:
        if isinstance(value, S3Url):
            return value
        text = str(value)
        if not text.lower().startswith("s3://"):
            self.fail(f"{text!r} is no S3 address; write it as s3://bucket/key", param, ctx)
        bucket, _, key = text[5:].partition("/")
        if not bucket:
            self.fail(f"{text!r} names no bucket; write it as s3://bucket/key", param, ctx)
        return S3Url(bucket, key)


class _ConnectTo(_PairType):
    name = "host:port=address:port"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        host, equals, address = str(value).partition("=")
        for side in (host, address):
            name, colon, port = side.rpartition(":")
            if side != "*" and not (colon and name and port.isdigit() and 0 < int(port) < 65536):
                equals = ""
        if not equals or address == "*":
            self.fail(
                f"{value!r} is not HOST:PORT=ADDRESS:PORT, for example "
                "my-bucket.s3-accelerate.amazonaws.com:443=127.0.0.1:9443",
                param,
                ctx,
            )
        return host, address


class _Metadata(_PairType):
    name = "name=value"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, equals, content = str(value).partition("=")
        if not name or not equals:
            self.fail(f"{value!r} is not NAME=VALUE", param, ctx)
        return name, content


SIZE = _Size()
S3_URL = _S3Url()
CONNECT_TO = _ConnectTo()
METADATA = _Metadata()


def size_text(count: float) -> str:
    """``"12.3 MiB"``; exact bytes below 1 KiB."""
    if count < 1024:
        return f"{count:.0f} B"
    power = 1
    while count >= 1024 ** (power + 1) and power < 4:
        power += 1
    value = count / 1024**power
    unit = ("KiB", "MiB", "GiB", "TiB")[power - 1]
    return f"{value:.1f} {unit}" if value < 100 else f"{value:.0f} {unit}"


def rate_text(count: float, seconds: float) -> str:
    """``"123 MB/s"``: decimal megabytes, as line rates are given."""
    rate = count / max(seconds, 1e-9) / 1e6
    return f"{rate:.1f} MB/s" if rate < 100 else f"{rate:.0f} MB/s"


def seconds_text(seconds: float) -> str:
    """``"0.31 s"``, ``"12.4 s"``, ``"3 min 05 s"``."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def count_text(count: int, one: str, many: str | None = None) -> str:
    """``"1 object"``, ``"5,000 objects"``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
