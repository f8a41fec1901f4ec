"""The ten checksum algorithms that S3 takes.

CRC32, CRC32C and CRC64NVME are native; SHA-1, SHA-256, SHA-512 and MD5 come from the core and hashlib; the
three xxHashes from the `xxhash` package (extra ``checksums``).

Source: S3 User Guide, "Checking object integrity in Amazon S3".
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from . import _core
from .errors import ConfigError

__all__ = ["ALGORITHMS", "Algorithm", "Checksum", "by_header", "combine", "composite", "lookup", "new"]


class Algorithm(NamedTuple):
    """One algorithm.

    Attributes:
        name: lower case, as in the header: ``"crc64nvme"``.
        header: ``"x-amz-checksum-crc64nvme"``.
        digest_size: bytes of the digest; integers go big-endian.
        native: computed by the core while chunks are signed.
        composite, full_object: which multipart checksum types S3 takes for it.
    """

    name: str
    digest_size: int
    native: bool
    composite: bool
    full_object: bool

    @property
    def header(self) -> str:
        return f"x-amz-checksum-{self.name}"

    @property
    def base64_size(self) -> int:
        """Characters of the header's value."""
        return (self.digest_size + 2) // 3 * 4


ALGORITHMS: dict[str, Algorithm] = {
    a.name: a
    for a in (
        Algorithm("crc32", 4, native=True, composite=True, full_object=True),
        Algorithm("crc32c", 4, native=True, composite=True, full_object=True),
        Algorithm("crc64nvme", 8, native=True, composite=False, full_object=True),
        Algorithm("sha1", 20, native=False, composite=True, full_object=False),
        Algorithm("sha256", 32, native=False, composite=True, full_object=False),
        Algorithm("sha512", 64, native=False, composite=True, full_object=False),
        Algorithm("md5", 16, native=False, composite=True, full_object=False),
        Algorithm("xxhash64", 8, native=False, composite=True, full_object=False),
        Algorithm("xxhash3", 8, native=False, composite=True, full_object=False),
        Algorithm("xxhash128", 16, native=False, composite=True, full_object=False),
    )
}

_BY_HEADER = {a.header: a for a in ALGORITHMS.values()}


class Checksum(Protocol):
    """What `new` gives."""

    def update(self, data: Any, /) -> None: ...
    def digest(self) -> bytes: ...


def lookup(name: str) -> Algorithm:
    """The algorithm of that name, any case. Raises ConfigError with the names there are."""
    try:
        return ALGORITHMS[name.lower()]
    except (KeyError, AttributeError):
        raise ConfigError(f"unknown checksum {name!r}; S3 takes {', '.join(ALGORITHMS)}") from None


def by_header(header: str) -> Algorithm | None:
    """The algorithm of ``x-amz-checksum-...``, or None."""
    return _BY_HEADER.get(header.lower())


class _Crc:
    __slots__ = ("_function", "_size", "_value")

    def __init__(self, function: Callable[[Any, int], int], size: int) -> None:
        self._function = function
        self._size = size
        self._value = 0

    def update(self, data: Any, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


_CRCS: dict[str, tuple[Callable[[Any, int], int], Callable[[int, int, int], int]]] = {
    "crc32": (_core.crc32, _core.crc32_combine),
    "crc32c": (_core.crc32c, _core.crc32c_combine),
    "crc64nvme": (_core.crc64nvme, _core.crc64nvme_combine),
}


def new(name: str) -> Checksum:
    """A running checksum with ``update(data)`` and ``digest()``.

    Raises:
        ConfigError: unknown name, or the `xxhash` package is needed and missing.
    """
    algorithm = lookup(name)
    name = algorithm.name
    if algorithm.native:
        return _Crc(_CRCS[name][0], algorithm.digest_size)
    if name == "sha256":
        return _core.Sha256()
    if name in ("sha1", "sha512", "md5"):
        import hashlib  # here: it loads OpenSSL, which signing does not need

        return hashlib.new(name, usedforsecurity=False)
    try:
        import xxhash
    except ImportError:
        raise ConfigError(f"{name} needs the xxhash package: pip install 's3accel[checksums]'") from None
    made: Checksum = {"xxhash64": xxhash.xxh64, "xxhash3": xxhash.xxh3_64, "xxhash128": xxhash.xxh3_128}[
        name
    ]()
    return made


def encode(digest: bytes) -> str:
    """The header's value of a digest."""
    return binascii.b2a_base64(digest, newline=False).decode("ascii")


def combine(name: str, a: bytes, b: bytes, len_b: int) -> bytes:
    """The digest of A || B from the digests of A and B and the length of B in bytes.

    Raises:
        ConfigError: the algorithm is not a CRC, or a digest has the wrong size.
    """
    algorithm = lookup(name)
    if not algorithm.native:
        raise ConfigError(f"{algorithm.name} digests cannot be combined; only CRCs can")
    if len(a) != algorithm.digest_size or len(b) != algorithm.digest_size:
        raise ConfigError(f"a {algorithm.name} digest has {algorithm.digest_size} bytes")
    value = _CRCS[algorithm.name][1](int.from_bytes(a, "big"), int.from_bytes(b, "big"), len_b)
    return value.to_bytes(algorithm.digest_size, "big")


def composite(name: str, digests: list[bytes]) -> str:
    """S3's COMPOSITE value of a multipart object: base64 of the digest of the digests, ``-``, part count."""
    running = new(name)
    for digest in digests:
        running.update(digest)
    return f"{encode(running.digest())}-{len(digests)}"
