"""Small files of a journal over real connections: many at a time, each with exactly one outcome, whatever happens."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("pycurl")

from s3accel.errors import AccessDenied
from s3accel.local import Answer, Cut, FaultRequest, LocalServer
from s3accel.transfer import Client, JournaledUploader, RetryPolicy
from s3accel.transfer.journal import FAILED, PENDING, STORED

FILES = 300


@pytest.fixture
def client(s3accel_server: LocalServer) -> Iterator[Client]:
    with Client(
        credentials=s3accel_server.credentials,
        connect_to={"*": s3accel_server.address},
        ca_file=s3accel_server.ca_file,
        retry=RetryPolicy(max_attempts=20, base_delay=0, throttle_delay=0),
        max_concurrency=4,
    ) as made:
        yield made
    s3accel_server.set_fault(None)


@pytest.fixture
def uploads(client: Client, tmp_path: Path, s3accel_bucket: str) -> Iterator[JournaledUploader]:
    """Its jobs: files of 0 to 299 bytes under the key of their size."""
    with JournaledUploader(client, tmp_path / "journal") as made:
        for size in range(FILES):
            (tmp_path / f"{size:03}").write_bytes(bytes([size % 251]) * size)
        made.submit_many((tmp_path / f"{size:03}", s3accel_bucket, f"{size:03}") for size in range(FILES))
        yield made


def keys(client: Client, bucket: str) -> list[str]:
    return [summary.key for summary in client.list(bucket)]


def test_faults_are_repeated_and_refusals_are_outcomes(
    uploads: JournaledUploader,
    client: Client,
    s3accel_server: LocalServer,
    s3accel_bucket: str,
    tmp_path: Path,
) -> None:
    numbers = itertools.count()

    def fault(request: FaultRequest) -> Answer | Cut | None:
        if request.operation != "PutObject":
            return None
        if request.key and request.key.endswith("7"):
            return Answer(403, "AccessDenied")
        return {3: Answer(503, "SlowDown"), 5: Cut(after_work=True), 8: Answer(500)}.get(next(numbers) % 20)

    s3accel_server.set_fault(fault)
    reports = list(uploads.run())
    s3accel_server.set_fault(None)
    assert sorted(report.job.key for report in reports) == [f"{size:03}" for size in range(FILES)]
    refused = {report.job.key for report in reports if report.state == FAILED}
    assert refused == {f"{size:03}" for size in range(FILES) if size % 10 == 7}
    assert all(
        isinstance(report.error.__cause__, AccessDenied) for report in reports if report.state == FAILED
    )
    assert uploads.journal.counts() == {PENDING: 0, STORED: FILES - len(refused), FAILED: len(refused)}
    assert sum(len(report.result.retries) for report in reports if report.result) > 10
    stored = keys(client, s3accel_bucket)
    assert stored == sorted({report.job.key for report in reports} - refused)
    for key in stored:
        assert client.get(s3accel_bucket, key) == (tmp_path / key).read_bytes()


def test_a_run_that_is_left_records_what_it_had_begun(
    uploads: JournaledUploader, client: Client, s3accel_bucket: str
) -> None:
    for number, _report in enumerate(uploads.run()):
        if number == 40:
            break
    assert 40 < uploads.journal.counts()[STORED] < FILES
    with_outcome = sorted(job.key for job, _ in uploads.outcomes())
    assert with_outcome == keys(client, s3accel_bucket)
    rest = list(uploads.run())
    assert len(with_outcome) + len(rest) == FILES
    assert not any(report.outcome.found for report in rest if report.outcome)


def test_a_run_that_is_stopped_leaves_the_others(uploads: JournaledUploader) -> None:
    stop = threading.Event()
    reports = []
    for report in uploads.run(stop=stop):
        reports.append(report)
        stop.set()
    assert {report.state for report in reports} == {STORED}
    assert len(reports) == uploads.journal.counts()[STORED] < FILES
    assert len(uploads.pending()) == FILES - len(reports)


def test_with_bad_credentials_few_are_asked_in_vain(
    s3accel_server: LocalServer, uploads: JournaledUploader
) -> None:
    seen = itertools.count()

    def fault(request: FaultRequest) -> Answer:
        next(seen)
        return Answer(403, "InvalidAccessKeyId")

    s3accel_server.set_fault(fault)
    reports = list(uploads.run())
    assert {report.state for report in reports} == {PENDING}
    assert len(reports) == next(seen) <= 8
    assert len(uploads.pending()) == FILES
