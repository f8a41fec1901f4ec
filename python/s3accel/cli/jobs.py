"""What `cp` was asked to upload -> one job an object, all known before the first byte is sent."""

from __future__ import annotations

import mimetypes
import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from s3accel.errors import ConfigError

from .values import S3Url

__all__ = ["STDIN", "Job", "content_type_of", "find_jobs"]

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Job:
    """One object to be made.

    Attributes:
        source: path of a file, or ``"-"`` for standard input.
        size: bytes when it was looked at, or None where that cannot be known (standard input, pipes).
    """

    source: str
    key: str
    size: int | None

    #: What is said of a job that was done.
    done: ClassVar[str] = "uploaded"

    def way(self, url: str) -> str:
        """From where to where, for a line about this job. ``url`` is that of its object."""
        return f"{self.label} -> {url}"

    @property
    def label(self) -> str:
        return "standard input" if self.source == STDIN else self.source


def find_jobs(
    sources: Sequence[str],
    destination: S3Url,
    *,
    recursive: bool,
    skipped: Callable[[str, str], None],
    without: Collection[str] = (),
) -> list[Job]:
    """The jobs of `cp SOURCES DESTINATION`, in the order of the arguments, folders in the order of their names.

    Args:
        skipped: told path and reason of what lies in a folder and is not uploaded (no regular file).
        without: names of folders that are not entered.

    Raises:
        ConfigError: a source that is not there, is a folder without `-r`, a destination that cannot take what
            is given, or two sources for one key. Nothing was sent.
    """
    if not sources:
        raise ConfigError("cp: no source is given")
    remote = next((source for source in sources if source.lower().startswith("s3://")), None)
    if remote is not None:
        raise ConfigError(
            f"cp: source {remote!r} and destination {str(destination)!r} are in S3; this command copies from or to it"
        )
    if STDIN in sources:
        if len(sources) > 1 or destination.is_prefix:
            raise ConfigError(
                f"cp: standard input becomes one object: give '-' alone and a full key, not {str(destination)!r}"
            )
        return [Job(STDIN, destination.key, None)]
    several = len(sources) > 1
    if several and not destination.is_prefix:
        raise ConfigError(
            f"cp: {len(sources)} sources cannot all become {destination}; end the destination with '/' to put "
            "them below it"
        )
    jobs: list[Job] = []
    for source in sources:
        jobs += _jobs_of(source, destination, several, recursive, skipped, without)
    taken: dict[str, str] = {}
    for job in jobs:
        other = taken.setdefault(job.key, job.source)
        if other is not job.source:
            raise ConfigError(
                f"cp: {other!r} and {job.source!r} would both become s3://{destination.bucket}/{job.key}; upload "
                "them in two commands with different destinations"
            )
    return jobs


def _jobs_of(
    source: str,
    destination: S3Url,
    several: bool,
    recursive: bool,
    skipped: Callable[[str, str], None],
    without: Collection[str],
) -> Iterator[Job]:
    try:
        found = os.stat(source)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"cp: the source {source!r} cannot be read: {reason}") from error
    if stat.S_ISDIR(found.st_mode):
        if not recursive:
            raise ConfigError(f"cp: {source!r} is a folder; add -r to upload what is in it")
        prefix = destination.key
        if prefix and not prefix.endswith("/"):
            prefix += "/"
        if several:
            prefix += f"{os.path.basename(os.path.abspath(source))}/"
        yield from _walk(source, prefix, skipped, without)
        return
    size = found.st_size if stat.S_ISREG(found.st_mode) else None
    name = os.path.basename(os.path.abspath(source))
    yield Job(source, destination.key + name if destination.is_prefix else destination.key, size)


def _walk(
    folder: str, prefix: str, skipped: Callable[[str, str], None], without: Collection[str]
) -> Iterator[Job]:
    """Regular files below a folder. Links to files are followed, links to folders are not: they may go round."""

    def unreadable(error: OSError) -> None:
        raise ConfigError(
            f"cp: the folder {error.filename!r} cannot be read: {error.strerror}; nothing was sent"
        ) from error

    for here, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if name not in without)
        for name in folders:
            path = os.path.join(here, name)
            if os.path.islink(path):
                skipped(path, "a link to a folder is not followed")
        for name in sorted(files):
            path = os.path.join(here, name)
            relative = os.path.relpath(path, folder).replace(os.sep, "/")
            try:
                found = os.stat(path)
            except OSError:
                # A broken link must not vanish from the count: its job fails and says why.
                yield Job(path, prefix + relative, None)
                continue
            if not stat.S_ISREG(found.st_mode):
                skipped(path, "not a regular file")
                continue
            yield Job(path, prefix + relative, found.st_size)


def content_type_of(source: str) -> str | None:
    """The content type that a file's name suggests, or None. Only the name is looked at."""
    guessed, coding = mimetypes.guess_type(source, strict=False)
    if coding is not None:
        # `a.tar.gz` holds gzip; to call it a tar would be a lie without Content-Encoding, which browsers undo.
        return {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}.get(
            coding
        )
    return guessed
