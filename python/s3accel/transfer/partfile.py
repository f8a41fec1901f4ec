"""A file that is being downloaded: its bytes beside the target, and what is known of them.

Beside ``NAME`` lie ``.NAME.s3accel-data`` (the bytes, each range at its place) and ``.NAME.s3accel-part`` (lines of
JSON: which object, which ranges are there, their digests). A line is written after its bytes, and a download that goes
on checks the bytes of every line, so nothing depends on the order in which a disk wrote them before a power cut.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from s3accel import checksums
from s3accel.errors import ConfigError
from s3accel.transfer.pieces import Got

__all__ = ["Identity", "PartFile", "left_over", "new_file"]

FORMAT = 1
#: Preallocation ends after so many seconds: on file systems without it the C library writes into every block.
ALLOCATE_SECONDS = 1.0
ALLOCATE_STEP = 256 * 1024 * 1024
BLOCK = 1024 * 1024


@dataclass(frozen=True)
class Identity:
    """What a half download must agree in, to be gone on with."""

    bucket: str
    key: str
    etag: str
    size: int
    algorithm: str
    by_part: bool
    step: int


def check_folder(path: str) -> None:
    """Refuses a target whose folder is not there, in the target's own name and before anything is asked of S3."""
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise ConfigError(f"cannot write to {path!r}: the folder {folder!r} is not there; make it first")


def new_file(path: str) -> tuple[int, str]:
    """A new file beside ``path``, for what is written in one go: descriptor and name."""
    check_folder(path)
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name[:50]}.{secrets.token_hex(6)}.part")
    # 0o666 under the user's umask, as for a file made by hand.
    return os.open(
        temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666
    ), temporary


class PartFile:
    """Thread-safe as far as it goes: writes are by position, lines are appended whole.

    Args:
        path: the target. With ``resume`` what an earlier call left beside it is taken up if it is of the same object.

    Raises ConfigError if another download to the same target is under way; OSError.
    """

    def __init__(self, path: str, identity: Identity, *, resume: bool) -> None:
        self.path = path
        self.identity = identity
        self.done: dict[int, Got] = {}
        self._state = -1
        self._resume = resume
        if not resume:
            self.fd, self._data_path = new_file(path)
            self._state_path = ""
            return
        check_folder(path)
        self._data_path, self._state_path = _beside(path, "data"), _beside(path, "part")
        self._state = _lock(self._state_path, path)
        try:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
            self.fd = os.open(self._data_path, flags, 0o666)
        except BaseException:
            os.close(self._state)
            raise
        try:
            self._take_up()
        except BaseException:
            self.close()
            raise

    # -- going on

    def _take_up(self) -> None:
        lines = _read_all(self._state).split(b"\n")[:-1]  # what has no line end was cut off
        header = _json(lines[0]) if lines else {}
        same = {**header, "step": self.identity.step} == {"format": FORMAT, **asdict(self.identity)}
        step = header.get("step")
        if same and isinstance(step, int) and step > 0:
            # The ranges of the earlier call are used further, whatever the part size is now.
            self.identity = Identity(**{**asdict(self.identity), "step": step})
            for line in lines[1:]:
                self._take_line(_json(line))
        if self.done:
            return
        os.ftruncate(self._state, 0)
        os.ftruncate(self.fd, 0)
        self._append({"format": FORMAT, **asdict(self.identity)})

    def _take_line(self, line: dict[str, Any]) -> None:
        try:
            got = Got(int(line["offset"]), int(line["length"]), base64.b64decode(line["digest"]))
            number = int(line["number"])
        except (KeyError, TypeError, ValueError, binascii.Error):
            return
        if got.offset >= 0 and got.length > 0 and got.offset + got.length <= self.identity.size:
            running = checksums.new(self.identity.algorithm)
            for block in self.read(got.offset, got.length):
                running.update(block)
            if running.digest() == got.digest:
                self.done[number] = got

    def _append(self, line: dict[str, Any]) -> None:
        data = (json.dumps(line, ensure_ascii=True) + "\n").encode("ascii")
        os.lseek(self._state, 0, os.SEEK_END)
        if os.write(self._state, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._state_path)

    # -- writing

    def allocate(self) -> None:
        """Reserve the space, so that a disk that is too small is noticed first. Raises OSError (ENOSPC)."""
        size = self.identity.size
        allocate = getattr(os, "posix_fallocate", None)
        if allocate is not None:
            started = time.monotonic()
            for offset in range(0, size, ALLOCATE_STEP):
                try:
                    allocate(self.fd, offset, min(ALLOCATE_STEP, size - offset))
                except OSError as error:
                    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                        raise OSError(error.errno, error.strerror, self.path) from error
                    break  # not every file system can; then a full disk is noticed when it is full
                if time.monotonic() - started > ALLOCATE_SECONDS:
                    break
        os.ftruncate(self.fd, size)

    def write(self, offset: int, buffers: Sequence[bytes]) -> None:
        """All buffers, one after the other, from ``offset``."""
        pending = [memoryview(buffer) for buffer in buffers if buffer]
        while pending:
            count = os.pwritev(self.fd, pending[:512], offset)
            offset += count
            while pending and count >= len(pending[0]):
                count -= len(pending.pop(0))
            if count:
                pending[0] = pending[0][count:]

    def record(self, number: int, got: Got) -> None:
        """The piece is there. Not thread-safe: the caller has a lock."""
        self.done[number] = got
        if self._state >= 0:
            line = {"number": number, "offset": got.offset, "length": got.length}
            self._append({**line, "digest": checksums.encode(got.digest)})

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        while length:
            block = os.pread(self.fd, min(BLOCK, length), offset)
            if not block:
                return
            offset += len(block)
            length -= len(block)
            yield block

    # -- the end

    @property
    def kept(self) -> int:
        """Bytes that another call need not fetch again."""
        return sum(got.length for got in self.done.values()) if self._resume else 0

    def commit(self, *, fsync: bool) -> None:
        """Give the file its name. With ``fsync`` bytes and name are on the disk when this returns."""
        if fsync:
            os.fsync(self.fd)
        os.replace(self._data_path, self.path)
        if fsync:
            folder = os.open(os.path.dirname(self.path) or ".", os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        if self._state_path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._state_path)
        self.close()

    def discard(self) -> None:
        """Leave nothing behind."""
        for path in (self._data_path, self._state_path):
            if path:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
        self.close()

    def leave(self) -> int:
        """After a failure: keep what another call can use, and say how many bytes that are."""
        kept = self.kept
        if kept:
            self.close()
        else:
            self.discard()
        return kept

    def close(self) -> None:
        for fd in (self.fd, self._state):
            if fd >= 0:
                os.close(fd)
        self.fd = self._state = -1


def left_over(path: str) -> bool:
    """True if an earlier download to ``path`` left something to go on with."""
    return os.path.exists(_beside(path, "part"))


def _beside(path: str, what: str) -> str:
    """``.NAME.s3accel-WHAT``, the name cut where that would be more than the 255 bytes of a file name."""
    folder, name = os.path.split(path)
    raw = os.fsencode(name)
    if len(raw) > 220:
        name = os.fsdecode(raw[:150]) + "." + hashlib.sha256(raw).hexdigest()[:16]
    return os.path.join(folder, f".{name}.s3accel-{what}")


def _lock(path: str, target: str) -> int:
    """Open the state file, alone."""
    import fcntl  # here: Windows has none, and nothing else needs it

    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    while True:
        fd = os.open(path, flags, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it before may have finished and deleted the file that we opened.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), os.stat(path)):
                    return fd
        except BlockingIOError as error:
            os.close(fd)
            raise ConfigError(
                f"another download to {target!r} is under way; wait for it, or give another target"
            ) from error
        os.close(fd)


def _read_all(fd: int) -> bytes:
    os.lseek(fd, 0, os.SEEK_SET)
    data = bytearray()
    while block := os.read(fd, BLOCK):
        data += block
    return bytes(data)


def _json(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
