"""Runs a journal's jobs for `cp --journal` and `resume`: reports each, ends cleanly when it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from s3accel.redact import redact_url
from s3accel.transfer.journal import Job as Accepted
from s3accel.transfer.journaled import JobReport, JournaledUploader, Stopped

from .exits import Exit, overall, text_of
from .jobs import Job
from .outcome import FAILED, INTERRUPTED, PENDING, UPLOADED, Outcome, Summary
from .report import Reporter
from .values import count_text

__all__ = ["SETTINGS", "note_settings", "noted_settings", "run_journal"]

#: How S3 is reached and how objects are sent, kept in the journal so that `resume` needs no options. No secrets.
SETTINGS = (
    "region",
    "accelerate",
    "dualstack",
    "endpoint_url",
    "connect_to",
    "ca_file",
    "allow_http_host",
    "payload",
    "checksum",
    "chunk_size",
    "part_size",
    "max_concurrency",
)
_STATES = {"stored": UPLOADED, "failed": FAILED, "pending": PENDING}


def note_settings(uploads: JournaledUploader, settings: Mapping[str, Any]) -> None:
    """Keep the client's settings beside the jobs."""
    kept = {name: settings[name] for name in SETTINGS if settings.get(name) is not None}
    if kept.get("ca_file"):
        kept["ca_file"] = os.path.abspath(kept["ca_file"])
    if kept.get("endpoint_url"):
        kept["endpoint_url"] = redact_url(kept["endpoint_url"])
    # None is a choice here, not an absence.
    kept["checksum"] = settings.get("checksum")
    uploads.journal.note("settings", json.dumps(kept, sort_keys=True))


def noted_settings(text: str) -> dict[str, Any]:
    """What `note_settings` kept; empty if the journal was not made by `cp`."""
    found = json.loads(text) if text else {}
    return {name: found[name] for name in SETTINGS if name in found}


def run_journal(uploads: JournaledUploader, reporter: Reporter, summary: Summary) -> Exit:
    """Works on everything that is pending and reports each job once.

    After Ctrl-C or SIGTERM uploads under way are ended; their jobs stay in the journal. A second one leaves at once,
    which loses nothing either.
    """
    started = time.monotonic()
    reporter.begin([_shown(job) for job in uploads.journal.pending()])
    with _signals(reporter) as (stop, code):
        for report in uploads.run(progress=reporter.progress, stop=stop):
            _tell(report, reporter, summary)
        stopped = code()
    left = uploads.journal.counts()["pending"]
    summary.statuses[PENDING] += max(0, left - summary.statuses[PENDING] - summary.statuses[INTERRUPTED])
    summary.seconds = time.monotonic() - started
    if left:
        path = uploads.journal.path
        reporter.note(f"{count_text(left, 'job')} left in {path}; go on with: s3accel resume {path}")
    watched = [job.watch or 0.0 for job in uploads.journal.watched()]
    if watched:
        until = time.strftime("%H:%M", time.localtime(max(watched)))
        reporter.note(
            f"{count_text(len(watched), 'upload')} had been cut off; what was on the way then can reach S3 until {until}:"
            f" s3accel resume {uploads.journal.path}, started after that, looks once more that nothing is left there"
        )
    if stopped is not None:
        return stopped
    return Exit.PENDING if left else overall(summary.failures, summary.uploaded)


def _tell(report: JobReport, reporter: Reporter, summary: Summary) -> None:
    job = report.job
    status = _STATES[report.state]
    if status == PENDING and _is_stop(report.error):
        status = INTERRUPTED
    outcome = Outcome(_shown(job), job.bucket, status, report.result, report.error)
    summary.add(outcome)
    reporter.outcome(outcome)
    if status == PENDING and report.error is not None:
        reporter.note(f"  stays in the journal: {text_of(report.error)}")


def _shown(job: Accepted) -> Job:
    return Job(job.source, job.key, job.size)


def _is_stop(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, Stopped):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def _signals(reporter: Reporter) -> Iterator[tuple[threading.Event, Callable[[], Exit | None]]]:
    """The event that SIGINT and SIGTERM set, and what gives the exit code they mean (None if none came)."""
    stop = threading.Event()
    codes: list[Exit] = []

    def handler(number: int, _frame: FrameType | None) -> None:
        code = Exit.TERMINATED if number == signal.SIGTERM else Exit.INTERRUPTED
        if codes:
            os._exit(code)
        codes.append(code)
        stop.set()
        reporter.note("interrupted: ending the uploads under way (once more to leave at once)")

    def code() -> Exit | None:
        return codes[0] if codes else None

    if threading.current_thread() is not threading.main_thread():
        yield stop, code  # only the main thread may set handlers
        return
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop, code
    finally:
        for number, old in before.items():
            signal.signal(number, old)
