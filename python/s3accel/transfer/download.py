"""An object into a file: whole and checked, or not there at all."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, BinaryIO, Union

from s3accel.errors import (
    ConfigError,
    DownloadError,
    ObjectChanged,
    S3AccelError,
    TransportError,
)
from s3accel.transfer.attempts import History
from s3accel.transfer.endpoint import validate_key
from s3accel.transfer.fetched import DownloadSettings
from s3accel.transfer.fetching import Download, Wanted
from s3accel.transfer.headers import object_headers
from s3accel.transfer.messages import Headers
from s3accel.transfer.objectinfo import ObjectInfo
from s3accel.transfer.partfile import check_folder, left_over, new_file
from s3accel.transfer.progress import ProgressCallback
from s3accel.transfer.results import DownloadResult
from s3accel.transfer.s3 import S3
from s3accel.transfer.s3xml import ObjectSummary
from s3accel.transfer.tries import Tries

__all__ = ["Target", "download", "fetch_object"]

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
    fd, temporary = new_file(path)
    try:
        with open(fd, "wb") as file:
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


def fetch_object(
    s3: S3,
    bucket: str,
    key: str,
    target: Any,
    settings: DownloadSettings,
    *,
    progress: ProgressCallback | None = None,
    headers: Mapping[str, str] | None = None,
    version_id: str | None = None,
    known: ObjectSummary | None = None,
) -> DownloadResult:
    """See `Client.download`. ``known``: the object's line of a listing, which saves a request for a small one."""
    validate_key(key)
    checked = object_headers(None, None, headers)
    if checked.put != checked.part:
        extra = next(name for name, _ in checked.put if name not in dict(checked.part))
        raise ConfigError(f"header {extra} does not go with a download; customer keys, owner and payer do")
    query = () if version_id is None else (("versionId", version_id),)
    if known is not None and (version_id is not None or not known.etag or "-" in known.etag):
        known = None  # a listing says nothing of the parts, and nothing of other versions
    wanted = Wanted(bucket, key, checked.part, query, settings, progress, known)
    s3.admit(bucket, "GetObject")
    size = None if known is None else known.size
    tries = Tries(s3.router, bucket, size, download=True)
    while True:
        wanted.route, wanted.reason = tries.route, tries.reason
        try:
            result = _fetch(s3, wanted, target)
        except S3AccelError as error:
            written = error.written if isinstance(error, DownloadError) else 0
            cause = error.__cause__ if isinstance(error, DownloadError) and error.__cause__ else error
            lost = tries.failed(cause, wanted.take_moved(), again=not written)
            if not lost:
                raise
            wanted.histories.append(History(1, [lost]))
        else:
            tries.done(wanted.take_moved(), route=result.route, reused=result.connection.reused)
            return replace(result, account=tuple(tries.used))


def _fetch(s3: S3, wanted: Wanted, target: Any) -> DownloadResult:
    try:
        return _to(s3, wanted, target)
    except ObjectChanged:
        if wanted.known is None:
            raise
        wanted.known = None  # the listing is older than the object; that is no failure
        return _to(s3, wanted, target)


def _to(s3: S3, wanted: Wanted, target: Any) -> DownloadResult:
    if not isinstance(target, (str, os.PathLike)):
        if not hasattr(target, "write"):
            raise ConfigError(f"cannot write to a {type(target).__name__}; give a path or a binary file")
        return Download(s3, _for_stream(wanted)).to_stream(target)
    path = os.fspath(target)
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise ConfigError(f"the target {path!r} is a folder; give the name of a file in it")
    if stat.S_ISREG(mode):
        check_folder(path)
        if wanted.settings.resume and wanted.known is not None and left_over(path):
            wanted.known = None  # what goes on in ranges needs the checksum of the whole first
        return Download(s3, wanted).to_file(path)
    # A device or a pipe is written to, not replaced.
    with open(path, "wb", buffering=0) as file:
        return Download(s3, _for_stream(wanted)).to_stream(file)


def _for_stream(wanted: Wanted) -> Wanted:
    """Pieces that fit into the memory there is: they are held until it is their turn."""
    settings = wanted.settings
    step = max(1, min(settings.part_size, settings.memory_limit // 2))
    wanted.settings = replace(settings, part_size=step)
    return wanted
