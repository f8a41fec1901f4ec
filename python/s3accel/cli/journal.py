"""`s3accel journal`: what is in a journal. Only looks, so it may be asked while uploads run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import click

from s3accel.transfer.journal import PENDING, STORED, Job, Journal

from .exits import Exit
from .report import printable
from .values import count_text, size_text

__all__ = ["journal"]


@click.command(short_help="Show the jobs of a journal.")
@click.argument("file", metavar="JOURNAL", type=click.Path(exists=True, dir_okay=False))
@click.option("-a", "--all", "everything", is_flag=True, help="Also what was uploaded.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: every job, then the counts.")
@click.option(
    "--forget",
    metavar="DAYS",
    type=click.FloatRange(0),
    help="Delete the records of jobs that ended longer ago. Not while uploads run.",
)
def journal(file: str, everything: bool, as_json: bool, forget: float | None) -> Exit:
    """Show the jobs of JOURNAL: those that are left, and those that failed.

    Ends with 0 if nothing is left, with 8 if jobs are.
    """
    if forget is not None:
        with Journal(file) as found:
            count = found.forget(before=time.time() - forget * 86400)
            _print(f"{count_text(count, 'record')} deleted")
    with Journal(file, readonly=True) as found:
        kept = {upload.job: upload for upload in found.uploads()}
        for job in _jobs(found, everything):
            upload = kept.get(job.id)
            parts = 0 if upload is None else len(upload.parts)
            _print(json.dumps(_as_dict(job, parts)) if as_json else _line(job, parts))
        counts = found.counts()
    left = counts[PENDING]
    if as_json:
        _print(json.dumps({"event": "journal", **counts, "uploads": len(kept)}))
    else:
        _print(f"{count_text(left, 'job')} left, {counts[STORED]:,} uploaded, {counts['failed']:,} failed")
    return Exit.PENDING if left else Exit.DONE


def _jobs(found: Journal, everything: bool) -> Iterator[Job]:
    yield from found.pending()
    yield from (job for job in found.finished() if everything or job.state != STORED)


def _line(job: Job, parts: int) -> str:
    text = f"{job.id}  {job.state}  {job.source} -> {job.where}  {size_text(job.size)}"
    if parts:
        text += f", {count_text(parts, 'part')} kept"
    if job.runs:
        text += f", begun {count_text(job.runs, 'time')}"
    reason = job.trouble or job.outcome.get("error", "")
    return printable(text) + (f"\n    {printable(reason)}" if reason else "")


def _as_dict(job: Job, parts: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "event": "job",
        "id": job.id,
        "state": job.state,
        "source": job.source,
        "bucket": job.bucket,
        "key": job.key,
        "size": job.size,
        "accepted": job.accepted,
        "runs": job.runs,
        "parts_kept": parts,
    }
    if job.trouble:
        found["trouble"] = job.trouble
    if job.finished is not None:
        found |= {"finished": job.finished, **job.outcome}
    return found


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
