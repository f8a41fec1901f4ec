"""An object into a file: whole and checked, or not there at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from typing import Any, BinaryIO, Union

from s3accel.errors import ConfigError, TransportError
from s3accel.transfer.messages import Headers
from s3accel.transfer.objectinfo import ObjectInfo
from s3accel.transfer.s3 import S3

__all__ = ["Target", "download"]

Target = Union[str, "os.PathLike[str]", BinaryIO, Any]


def download(
    s3: S3, bucket: str, key: str, target: Target, byte_range: tuple[int, int | None] | None = None
) -> ObjectInfo:
    """Read ``s3://bucket/key`` into ``target``: a path, or a binary file open for writing.

    A path is written beside its place and renamed once the bytes are all there and their checksum is right. A file
    is rewound and cut before another attempt; one that cannot be rewound is written once, so a connection lost in
    the middle is an error there.
    """
    if isinstance(target, (str, os.PathLike)):
        return _to_path(s3, bucket, key, os.fspath(target), byte_range)
    if not hasattr(target, "write"):
        raise ConfigError(f"cannot write to a {type(target).__name__}; give a path or a binary file")
    return s3.get_object(bucket, key, _FileSink(target), byte_range=byte_range)


def _to_path(
    s3: S3, bucket: str, key: str, path: str, byte_range: tuple[int, int | None] | None
) -> ObjectInfo:
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name[:100]}.{secrets.token_hex(6)}.part")
    file = open(temporary, "xb")  # noqa: SIM115 (closed below; a plain open keeps the user's umask)
    try:
        with file:
            info = s3.get_object(bucket, key, _FileSink(file), byte_range=byte_range)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    return info


class _FileSink:
    """Gives the file to each attempt as it was before the first one."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._dirty = False
        seekable = getattr(file, "seekable", None)
        self._start = file.tell() if seekable is not None and seekable() else None

    def __call__(self, _headers: Headers) -> Callable[[bytes], object]:
        if self._dirty:
            if self._start is None:
                raise TransportError(
                    "the connection was lost in the middle, and the file written to cannot be rewound",
                    phase="receive",
                    retryable=False,
                )
            self._file.seek(self._start)
            self._file.truncate()
        self._dirty = True
        return self._write

    def _write(self, data: bytes) -> None:
        self._file.write(data)
