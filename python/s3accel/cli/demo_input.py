"""What the demonstration uploads: a real tree, and one large generated file."""

from __future__ import annotations

import os
import random
import sysconfig
from pathlib import Path

from s3accel.errors import ConfigError

from .jobs import Job, find_jobs
from .values import S3Url

__all__ = ["TREE_RULE", "generate", "tree_jobs"]

#: What of the running Python is taken, in the words that are printed.
TREE_RULE = "without site-packages and compiled caches"
#: Folders of the standard library that are not its own, or only made from it.
_LEFT_OUT = frozenset({"site-packages", "dist-packages", "__pycache__"})
_BLOCK = 1 << 20


def tree_jobs(source: str | None, bucket: str) -> tuple[str, list[Job]]:
    """The folder (or file) to upload and one job for each file, below ``tree/``.

    Args:
        source: None for the running Python's standard library.

    Raises:
        ConfigError: it cannot be read, or holds no file.
    """
    target = S3Url(bucket, "tree/")
    if source is not None:
        jobs = find_jobs([source], target, recursive=True, skipped=_ignore)
        if not jobs:
            raise ConfigError(
                f"demo: {source!r} holds no file; give a folder with files, or leave --source out"
            )
        return source, jobs
    folder = sysconfig.get_path("stdlib")
    jobs = find_jobs([folder], target, recursive=True, skipped=_ignore, without=_LEFT_OUT)
    if not jobs:
        raise ConfigError(
            f"demo: the standard library at {folder!r} is not in files here; give --source FOLDER"
        )
    return folder, jobs


def _ignore(_path: str, _reason: str) -> None:
    """Links to folders and special files of a tree are no part of the demonstration."""


def generate(path: Path, size: int) -> None:
    """A file of `size` bytes without pattern, the same on every run.

    Raises:
        ConfigError: there is no room for it.
    """
    source = random.Random(20261123)  # noqa: S311  test data, no secret
    try:
        with open(path, "wb") as file:
            left = size
            while left:
                block = source.randbytes(min(left, _BLOCK))
                file.write(block)
                left -= len(block)
    except OSError as error:
        raise ConfigError(
            f"demo: the generated file cannot be written to {os.fspath(path)!r}: {error.strerror}; "
            "give a smaller --size, or set TMPDIR to a folder with room"
        ) from error
