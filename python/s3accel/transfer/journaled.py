"""Uploads that are not lost: a client and a journal.

    with Client(region="eu-west-1") as client, JournaledUploader(client, "uploads.journal") as uploads:
        uploads.submit("video.mp4", "my-bucket", "videos/video.mp4")     # on the disk when this returns
        for report in uploads.run():                                       # also what an earlier process left
            print(report.job.where, report.state)

A job ends in exactly one recorded outcome. What fails for reasons that pass (the network, credentials, a server in
trouble) has no outcome yet: it stays pending with its finished parts, for the next ``run``.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from s3accel.errors import ConfigError
from s3accel.transfer.client import Client
from s3accel.transfer.endpoint import validate_key
from s3accel.transfer.headers import object_headers
from s3accel.transfer.journal import Job, Journal, JournalOutcome, NewJob, new_job
from s3accel.transfer.journalrun import JobReport, Run, Stopped
from s3accel.transfer.progress import ProgressCallback
from s3accel.transfer.recovery import Recovery

__all__ = ["JobReport", "JournaledUploader", "Stopped"]

#: Seconds between two looks for uploads of interrupted jobs, where a program calls `run` again and again.
LOOK_EVERY = 60.0


class JournaledUploader:
    """Uploads files through ``client``, every job and part of them kept in the journal at ``path``.

    Args:
        client: is not closed here.
        path: the journal's file; made if it is not there. One process at a time.

    Raises JournalError: the journal cannot be used. ConfigError: it belongs to another S3 service.
    """

    def __init__(self, client: Client, path: str | os.PathLike[str]) -> None:
        self._client = client
        settings = client.settings
        self.journal = Journal(path)
        self._running = threading.Lock()
        self._looked = float("-inf")
        try:
            self._check_service(client.s3.site.endpoint_url or "aws")
        except BaseException:
            self.journal.close()
            raise
        self._recovery = Recovery(
            client.s3, self.journal, checksum=settings.checksum, threshold=settings.multipart_threshold
        )

    def _check_service(self, service: str) -> None:
        """Upload ids of one service mean nothing to another, and a HEAD there would settle the wrong thing."""
        noted = self.journal.noted("service")
        if noted and noted != service and next(self.journal.pending(), None) is not None:
            raise ConfigError(
                f"journal {self.journal.path} has jobs for {noted}, but the client goes to {service}; use a journal of"
                " its own for each service"
            )
        if noted != service:
            self.journal.note("service", service)

    # -- jobs

    def submit(self, source: object, bucket: str, key: str, **options: Any) -> int:
        """Accept one job; its id. It is on the disk when this returns, and uploaded by ``run``.

        Args:
            source: path of a regular file. It must not change until the job has its outcome.
            options: ``content_type``, ``metadata``, ``headers`` as for `Client.upload`; nothing secret.

        Raises ConfigError, SourceError: such a job cannot be. JournalError: it could not be written down, so it was
        not accepted; jobs accepted before are safe.
        """
        return self.submit_many([(source, bucket, key, options)])[0]

    def submit_many(
        self, jobs: Iterable[tuple[object, str, str] | tuple[object, str, str, Mapping[str, Any]]]
    ) -> list[int]:
        """Accept many jobs in one commit: all, or none if one cannot be. Arguments and errors as for ``submit``."""
        return self.journal.accept([self._new_job(*job) for job in jobs])

    def _new_job(
        self, source: object, bucket: str, key: str, options: Mapping[str, Any] | None = None
    ) -> NewJob:
        given = dict(options or {})
        if unknown := set(given) - {"content_type", "metadata", "headers"}:
            raise ConfigError(f"a journaled job has no option {sorted(unknown)[0]!r}")
        validate_key(key)
        self._client.endpoint(bucket)
        object_headers(given.get("content_type"), given.get("metadata"), given.get("headers"))
        return new_job(source, bucket, key, **given)

    def pending(self) -> list[Job]:
        """Accepted jobs that have no outcome yet, oldest first."""
        return list(self.journal.pending())

    def outcomes(self) -> Iterator[tuple[Job, JournalOutcome]]:
        """Every job that has ended, with how."""
        for job in self.journal.finished():
            yield job, JournalOutcome(job.state, **job.outcome)

    # -- work

    def recover(self) -> list[Job]:
        """Abort multipart uploads that belong to no unfinished job, and list the jobs that ``run`` will go on with.

        Called while a run is under way, it leaves alone what that run may just have begun.
        """
        self._recovery.orphans()
        if self._running.acquire(blocking=False):
            try:
                self._look_for_late(now=True)
            finally:
                self._running.release()
        return self.pending()

    def _look_for_late(self, *, now: bool) -> None:
        if now or time.monotonic() - self._looked >= LOOK_EVERY:
            self._looked = time.monotonic()
            self._recovery.late()

    def run(
        self,
        *,
        concurrency: int | None = None,
        progress: ProgressCallback | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[JobReport]:
        """Work on everything that is pending; a report for each job as it ends.

        What an earlier process began is first compared with what S3 holds. Jobs for one key go one after the other, in
        the order they were accepted, and a job that stays pending keeps those behind it waiting. Jobs accepted
        meanwhile are taken along. Leaving the iteration, or setting ``stop``, ends the uploads under way: their jobs
        stay pending, with the parts that are stored.

        Raises JournalError if the journal cannot be written any more; no job is lost by that. ConfigError: another run
        is under way.
        """
        if not self._running.acquire(blocking=False):
            raise ConfigError("the journal's jobs are being worked on already; one run at a time")
        try:
            self._recovery.orphans()
            self._look_for_late(now=False)
            width = concurrency or self._client.settings.max_concurrency
            stop = stop or threading.Event()
            run = Run(self._client, self.journal, self._recovery, width, progress, stop)
            yield from run.reports()
            self._recovery.orphans()
            self._look_for_late(now=run.unsure)
        finally:
            self._running.release()

    def close(self) -> None:
        """Give the journal free; the client stays open."""
        self.journal.close()

    def __enter__(self) -> JournaledUploader:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
