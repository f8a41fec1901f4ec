"""`s3accel cp` from S3: which objects become which files, and the fetching of them.

Keys come from whoever may write to the bucket. A key that would leave the folder, or that cannot be a file of its own
there, is refused by name and counted as a failure; nothing is ever written outside.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from s3accel.errors import ConfigError
from s3accel.transfer import Client

from .exits import Exit
from .jobs import Job
from .outcome import DOWNLOADED, Summary
from .report import LineReporter, Reporter, printable
from .run import Stop, run_jobs
from .values import S3Url

if TYPE_CHECKING:
    from s3accel.transfer import DownloadResult, ObjectSummary, ProgressEvent

__all__ = ["STDOUT", "Fetch", "StderrReporter", "fetch", "find_fetches"]

STDOUT = "-"
#: Names of what a download keeps beside its target; an object of such a name would be mistaken for that.
_OURS = (".s3accel-data", ".s3accel-part")


@dataclass(frozen=True)
class Fetch(Job):
    """One object to be fetched; ``source`` is the path it goes to.

    Attributes:
        root: the folder that the path must stay in; "" where the user named the file.
        known: its line of the listing, if it was listed.
        refusal: why it cannot be fetched; "" if it can.
    """

    root: str = ""
    known: ObjectSummary | None = None
    refusal: str = ""

    done: ClassVar[str] = DOWNLOADED

    def way(self, url: str) -> str:
        return f"{url} -> {self.label}"

    @property
    def label(self) -> str:
        return "standard output" if self.source == STDOUT else self.source

    def check(self) -> None:
        """Raise OSError if the path cannot be written to, or if a link leads out of the folder."""
        if self.refusal:
            raise OSError(errno.EINVAL, f"refused: {self.refusal}", self.key)
        if not self.root:
            return
        folder = os.path.dirname(self.source)
        inside = os.path.realpath(self.root)
        # Before anything is made: folders made through a link would be outside too.
        if os.path.commonpath([inside, os.path.realpath(folder)]) != inside:
            raise OSError(errno.EINVAL, "refused: a link leads out of the folder", self.key)
        os.makedirs(folder, exist_ok=True)


class StderrReporter(LineReporter):
    """For objects that go to standard output: nothing else may go there."""

    def out(self, text: str) -> None:
        self.err(printable(text))


def fetch(
    sources: Sequence[str],
    destination: str,
    reporter: Reporter,
    summary: Summary,
    settings: dict[str, Any],
    options: dict[str, Any],
) -> Exit:
    """`cp SOURCES DESTINATION` from S3."""

    def skipped(key: str, reason: str) -> None:
        summary.skipped += 1
        reporter.skipped(key, reason)

    if options["as_json"] and destination == STDOUT:
        raise ConfigError("cp: --json and '-' would both write to standard output; give a file")
    for name in ("journal", "content_type", "metadata"):
        if options.get(name):
            raise ConfigError(f"cp: --{name.replace('_', '-')} is for uploads")
    urls = [_parse(source) for source in sources]
    bucket = urls[0].bucket
    if any(url.bucket != bucket for url in urls):
        raise ConfigError("cp: the sources are in several buckets; use one command for each")
    client = Client(**settings)
    try:
        client.endpoint(bucket)
        settings["credentials"].load()
        jobs = find_fetches(client, urls, destination, recursive=options["recursive"], skipped=skipped)
        reporter.begin(list(jobs))
        work = _fetcher(client, bucket, resume=options["resume"])
        return run_jobs(jobs, bucket, work, reporter, workers=options["concurrency"], summary=summary)
    finally:
        if not summary.abandoned:
            client.close()


def _parse(source: str) -> S3Url:
    if not source.lower().startswith("s3://"):
        raise ConfigError(f"cp: the source {source!r} is no S3 address as the first one is; do not mix them")
    bucket, _, key = source[5:].partition("/")
    if not bucket:
        raise ConfigError(f"cp: {source!r} names no bucket; write it as s3://bucket/key")
    return S3Url(bucket, key)


def find_fetches(
    client: Client,
    urls: Sequence[S3Url],
    destination: str,
    *,
    recursive: bool,
    skipped: Callable[[str, str], None],
) -> list[Fetch]:
    """The jobs, in the order of the arguments and of S3's listing. With ``recursive`` S3 is asked what there is.

    Raises ConfigError: nothing was fetched then.
    """
    if destination == STDOUT:
        if recursive or len(urls) > 1 or urls[0].is_prefix:
            raise ConfigError("cp: standard output takes one object: give one full key, without -r")
        return [Fetch(STDOUT, urls[0].key, None)]
    if not recursive:
        return _named(urls, destination)
    if os.path.exists(destination) and not os.path.isdir(destination):
        raise ConfigError(f"cp: the destination {destination!r} is no folder")
    os.makedirs(destination, exist_ok=True)
    names = _Names(destination)
    jobs: list[Fetch] = []
    for url in urls:
        prefix = url.key if url.is_prefix else url.key + "/"
        below = f"{prefix.rstrip('/').rpartition('/')[2] or url.bucket}/" if len(urls) > 1 else ""
        for item in client.list(url.bucket, prefix):
            if item.key.endswith("/") and not item.size:
                if item.key != prefix:
                    skipped(item.key, "a marker of a folder")
                continue
            jobs.append(names.job(item, below + item.key[len(prefix) :]))
    return jobs


def _named(urls: Sequence[S3Url], destination: str) -> list[Fetch]:
    prefix = next((url for url in urls if url.is_prefix), None)
    if prefix is not None:
        raise ConfigError(f"cp: {str(prefix)!r} names a prefix; add -r to fetch what is below it")
    folder = destination.endswith(("/", os.sep)) or os.path.isdir(destination)
    if not folder:
        if len(urls) > 1:
            raise ConfigError(f"cp: {len(urls)} objects cannot all become {destination!r}; give a folder")
        return [Fetch(destination, urls[0].key, None)]
    os.makedirs(destination, exist_ok=True)
    names = _Names(destination)
    return [names.place(url.key, url.key.rpartition("/")[2]) for url in urls]


class _Names:
    """Gives each object a path below the folder, or a refusal. Remembers what it gave."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._folds = _folds_case(root)
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}

    def job(self, item: ObjectSummary, relative: str) -> Fetch:
        return self.place(item.key, relative, item.size, item)

    def place(
        self, key: str, relative: str, size: int | None = None, known: ObjectSummary | None = None
    ) -> Fetch:
        why = _unsafe(relative) or self._taken(key, relative)
        path = os.path.join(self._root, "" if why else relative)
        return Fetch(path, key, size, root=self._root, known=known, refusal=why)

    def _taken(self, key: str, relative: str) -> str:
        name = unicodedata.normalize("NFC", relative).casefold() if self._folds else relative
        parts = name.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts))]
        other = self._files.get(name) or self._folders.get(name)
        other = other or next((self._files[folder] for folder in above if folder in self._files), None)
        if other is not None:
            return f"on this disk it has the place of {other!r}"
        self._files[name] = key
        for folder in above:
            self._folders.setdefault(folder, key)
        return ""


def _unsafe(relative: str) -> str:
    """Why this cannot be the name of a file below a folder; "" if it can."""
    if "\0" in relative:
        return "a name with a zero byte"
    if relative.startswith("/"):
        return "an absolute name, which would leave the folder"
    if os.sep != "/" and (os.sep in relative or ":" in relative):
        return "a name that means a path here"
    parts = relative.split("/")
    if ".." in parts:
        return "a name with '..', which would leave the folder"
    if "." in parts or "" in parts:
        return "a name with an empty part or '.', which no file can have"
    if parts[-1].startswith(".") and parts[-1].endswith(_OURS):
        return "a name that this command uses for half downloads"
    try:
        os.fsencode(relative)
    except UnicodeEncodeError:
        return "a name that this system cannot write"
    return ""


def _folds_case(folder: str) -> bool:
    """True if the file system takes names that differ in case for the same."""
    try:
        with tempfile.NamedTemporaryFile(prefix=".s3accel-Case-", dir=folder) as probe:
            head, name = os.path.split(probe.name)
            return os.path.exists(os.path.join(head, name.swapcase()))
    except OSError:
        return False  # the first object will say why nothing can be written there


def _fetcher(
    client: Client, bucket: str, *, resume: bool
) -> Callable[[Job, Callable[[ProgressEvent], None], Stop], DownloadResult]:
    def work(job: Job, progress: Callable[[ProgressEvent], None], stop: Stop) -> DownloadResult:
        stop.check()
        known = None
        if isinstance(job, Fetch):
            job.check()
            known = job.known
        target: Any = sys.stdout.buffer if job.source == STDOUT else job.source
        result = client.download(bucket, job.key, target, known=known, progress=progress, resume=resume)
        if job.source == STDOUT:
            sys.stdout.buffer.flush()
        return result

    return work
