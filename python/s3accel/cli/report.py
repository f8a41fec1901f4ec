"""What a person or a machine sees of a run: bars on a terminal, lines elsewhere, JSON lines on request.

Results go to standard output, progress and errors to standard error, so that either can be kept alone.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from s3accel.errors import DownloadError, UploadError

from .exits import Exit, remedy_of, text_of
from .jobs import Job
from .outcome import DOWNLOADED, FAILED, PENDING, UPLOADED, Outcome, Summary, error_dict
from .values import count_text, rate_text, seconds_text, size_text

if TYPE_CHECKING:
    from s3accel.transfer import ProgressEvent

__all__ = ["BarReporter", "JsonReporter", "LineReporter", "Reporter", "new_reporter", "printable"]

#: On a terminal, runs of at most this many objects also print a line for each; larger ones only what failed.
LINES_ON_TERMINAL = 20
#: Objects from this size on get a bar, or a line now and then, of their own.
LARGE = 32 << 20
#: Seconds between two progress lines where there is no terminal.
LINE_EVERY = 10.0


def printable(text: str) -> str:
    """Text from outside (file names, S3's messages) without control characters that would move a cursor."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


class Reporter:
    """Hears everything about a run. `progress` is called from any thread, the rest from one."""

    def begin(self, jobs: list[Job]) -> None:
        """All jobs, before the first starts."""

    def progress(self, event: ProgressEvent) -> None:
        """One progress event of one object."""

    def skipped(self, path: str, reason: str) -> None:
        """Something in a folder that is not uploaded."""

    def outcome(self, outcome: Outcome) -> None:
        """How one job ended; once for each job."""

    def fatal(self, error: BaseException) -> None:
        """The run as a whole cannot be: nothing was sent."""

    def note(self, text: str) -> None:
        """Something to know while it runs."""

    def finish(self, summary: Summary, code: Exit) -> None:
        """The end."""

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def failed_prefix(outcome: Outcome) -> str:
    # An UploadError's own text says where to, a DownloadError's also from where; others do not know it.
    if isinstance(outcome.error, DownloadError):
        return "failed: "
    if isinstance(outcome.error, UploadError):
        return f"failed: {outcome.job.label}: "
    return f"failed: {outcome.job.way(outcome.url)}: "


def error_lines(prefix: str, error: BaseException) -> list[str]:
    """An error for people: what happened, and on a second line what to do, if that is known."""
    lines = [printable(f"{prefix}{text_of(error)}")]
    remedy = remedy_of(error)
    if remedy:
        lines.append(f"  what to do: {remedy}")
    return lines


def summary_text(summary: Summary) -> str:
    speed = rate_text(summary.uploaded_bytes, summary.seconds)
    took = f"{size_text(summary.uploaded_bytes)} in {seconds_text(summary.seconds)} ({speed})"
    verb = DOWNLOADED if summary.downloads else UPLOADED
    parts = [f"{count_text(summary.done, 'object')} {verb}, {took}"]
    for status in (FAILED, "interrupted", PENDING, "not started"):
        if summary.statuses[status]:
            parts.append(f"{summary.statuses[status]:,} {status}")
    if summary.skipped:
        parts.append(f"{summary.skipped:,} skipped")
    if summary.connections:
        parts.append(", ".join(f"{tls} {cipher}" for tls, cipher in sorted(summary.connections)))
    return "; ".join(parts)


def uploaded_line(outcome: Outcome) -> str:
    result = outcome.result
    if result is None:
        return outcome.job.way(outcome.url)
    if hasattr(result, "payload_mode"):
        number = result.parts
        how = f"{number} parts" if number > 1 else "1 put"
        if result.resumed:
            how += f", {result.resumed} of them were there already"
    else:
        number = result.ranges
        how = f"{count_text(number, 'range')}, {result.checksum_algorithm if result.verified else 'not'} verified"
        if result.resumed:
            how += f", {size_text(result.resumed)} were there already"
    again = f", {len(result.retries)} repeated" if result.retries else ""
    if result.route_reason:  # there was a choice
        again += f", {result.route}"
    return (
        f"{outcome.job.way(outcome.url)}  {size_text(result.size)} in {seconds_text(result.seconds)} "
        f"({how}{again})"
    )


class JsonReporter(Reporter):
    """One JSON object a line on standard output: ``object`` for each job, then one ``summary``."""

    def _print(self, item: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(item, ensure_ascii=True) + "\n")
        sys.stdout.flush()

    def skipped(self, path: str, reason: str) -> None:
        self._print({"event": "skipped", "source": path, "reason": reason})

    def outcome(self, outcome: Outcome) -> None:
        self._print(outcome.as_dict())

    def note(self, text: str) -> None:
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()

    def fatal(self, error: BaseException) -> None:
        self._print({"event": "error", "error": error_dict(error)})

    def finish(self, summary: Summary, code: Exit) -> None:
        self._print(summary.as_dict(code))


class LineReporter(Reporter):
    """Plain lines, nothing that a log file would choke on."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._lock = threading.Lock()
        self._last = time.monotonic()

    def out(self, text: str) -> None:
        with self._lock:
            sys.stdout.write(printable(text) + "\n")
            sys.stdout.flush()

    def err(self, text: str) -> None:
        with self._lock:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def progress(self, event: ProgressEvent) -> None:
        if self._quiet:
            return
        url = printable(f"s3://{event.bucket}/{event.key}")
        if event.kind == "retry":
            part = f" part {event.part}" if event.part else ""
            self.err(f"{url}{part}: attempt {event.attempt} failed, trying again: {printable(event.reason)}")
        elif event.kind == "progress" and time.monotonic() - self._last >= LINE_EVERY:
            self._last = time.monotonic()
            if event.bytes_total:
                share = f"{100 * event.bytes_done // event.bytes_total} % of {size_text(event.bytes_total)}"
            else:
                share = size_text(event.bytes_done)
            self.err(f"{url}: {share}")

    def skipped(self, path: str, reason: str) -> None:
        self.err(printable(f"skipped {path}: {reason}"))

    def outcome(self, outcome: Outcome) -> None:
        if outcome.done:
            if not self._quiet:
                self.out(uploaded_line(outcome))
        elif outcome.error is not None and outcome.status == FAILED:
            for line in error_lines(failed_prefix(outcome), outcome.error):
                self.err(line)
        elif not self._quiet:
            self.err(printable(f"{outcome.status}: {outcome.job.way(outcome.url)}"))

    def fatal(self, error: BaseException) -> None:
        for line in error_lines("s3accel: ", error):
            self.err(line)

    def note(self, text: str) -> None:
        self.err(printable(text))

    def finish(self, summary: Summary, code: Exit) -> None:
        if not self._quiet:
            self.out(summary_text(summary))
        elif code is not Exit.DONE:
            self.err(summary_text(summary))


class BarReporter(Reporter):
    """Bars on standard error: one for the whole run, one for each large object under way."""

    def __init__(self, console: Console, *, results_to_stdout: bool = False) -> None:
        self._console = console
        self._lines = LineReporter() if results_to_stdout else None
        self._every_line = False
        self._lock = threading.Lock()
        self._done: dict[str, int] = {}
        self._bars: dict[str, TaskID] = {}
        self._moved = 0
        self._finished = 0
        self._count = 0
        self._whole: TaskID | None = None
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            refresh_per_second=8,
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, jobs: list[Job]) -> None:
        self._count = len(jobs)
        self._every_line = self._count <= LINES_ON_TERMINAL
        sizes = [job.size for job in jobs if job.size is not None]
        total = sum(sizes) if len(sizes) == self._count else None
        self._whole = self._bar.add_task(self._counted(), total=total)
        self._bar.start()

    def _counted(self) -> str:
        return f"{self._finished:,} of {count_text(self._count, 'object')}"

    def progress(self, event: ProgressEvent) -> None:
        with self._lock:
            if event.kind == "retry":
                part = f" part {event.part}" if event.part else ""
                url = f"s3://{event.bucket}/{event.key}"
                self.note(f"{url}{part}: attempt {event.attempt} failed, trying again: {event.reason}")
            self._move(event.key, event.bytes_done)
            if (event.bytes_total or event.bytes_done) < LARGE or self._count == 1:
                return
            bar = self._bars.get(event.key)
            if event.kind in ("done", "failed"):
                if bar is not None:
                    self._bar.remove_task(self._bars.pop(event.key))
            elif bar is None:
                name = printable(event.key.rpartition("/")[2] or event.key)
                self._bars[event.key] = self._bar.add_task(
                    f"  {name[:28]}", total=event.bytes_total, completed=event.bytes_done
                )
            else:
                self._bar.update(bar, completed=event.bytes_done)

    def _move(self, key: str, done: int) -> None:
        self._moved += done - self._done.get(key, 0)
        self._done[key] = done
        if self._whole is not None:
            self._bar.update(self._whole, completed=self._moved)

    def skipped(self, path: str, reason: str) -> None:
        self.note(f"skipped {path}: {reason}")

    def outcome(self, outcome: Outcome) -> None:
        with self._lock:
            self._finished += 1
            sent = self._done.pop(outcome.job.key, 0)
            if not outcome.done:
                self._moved -= sent
            bar = self._bars.pop(outcome.job.key, None)
            if bar is not None:
                self._bar.remove_task(bar)
            if self._whole is not None:
                self._bar.update(self._whole, description=self._counted())
        if outcome.done:
            if self._lines is not None:
                self._lines.outcome(outcome)
            elif self._every_line:
                self.note(uploaded_line(outcome))
        elif outcome.error is not None and outcome.status == FAILED:
            self._error(failed_prefix(outcome), outcome.error)

    def _error(self, prefix: str, error: BaseException) -> None:
        first, *rest = error_lines(prefix, error)
        self._console.print(f"[red]{escape(first)}[/red]", highlight=False, soft_wrap=True)
        for line in rest:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def fatal(self, error: BaseException) -> None:
        self._error("s3accel: ", error)

    def note(self, text: str) -> None:
        self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def finish(self, summary: Summary, code: Exit) -> None:
        self._bar.stop()
        if self._lines is not None:
            self._lines.finish(summary, code)
            return
        style = "green" if code is Exit.DONE else "yellow"
        text = escape(summary_text(summary))
        self._console.print(f"[{style}]{text}[/{style}]", highlight=False, soft_wrap=True)


def new_reporter(**options: Any) -> Reporter:
    """The one that fits `--json`, `--quiet`, `--verbose` and where the output goes."""
    if options["as_json"]:
        return JsonReporter()
    # Log lines and bars on one terminal destroy each other, so -v goes without bars.
    if sys.stderr.isatty() and not options["quiet"] and not options["verbose"]:
        return BarReporter(Console(stderr=True), results_to_stdout=not sys.stdout.isatty())
    return LineReporter(options["quiet"])
