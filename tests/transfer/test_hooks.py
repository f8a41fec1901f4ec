"""Observers, resumed uploads, and routes chosen by a router."""

from __future__ import annotations

import pytest

from s3accel.errors import ConfigError, ConnectError, UploadError
from s3accel.transfer import RetryPolicy
from s3accel.transfer.hooks import Resume
from s3accel.transfer.route import Router
from s3accel.transfer.s3xml import CompletedPart

PARTS = {"part_size": 5 << 20, "multipart_threshold": 5 << 20}
DATA = bytes(range(256)) * (12 << 12)  # 12 MiB: three parts


class Notes:
    """An observer that writes everything down. ``keeps``: what it answers when an upload has failed."""

    def __init__(self, keeps=False):
        self.calls = []
        self.keeps = keeps
        self.parts = {}

    def accepted(self, job):
        self.calls.append(("accepted", job))

    def multipart_created(self, job, upload_id, part_size, algorithm, route):
        self.calls.append(("created", job.id, upload_id, part_size, algorithm, route))

    def part_stored(self, job, part):
        self.parts[part.number] = part
        self.calls.append(("part", job.id, part.number))

    def keep(self, job, error):
        self.calls.append(("keep", job.id, type(error).__name__))
        return self.keeps

    def finished(self, job, result, error):
        self.calls.append(("finished", job.id, result, error))

    def names(self):
        return [call[0] for call in self.calls]


def test_an_observer_sees_every_step(client, new_client, s3, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(DATA)
    notes = Notes()
    client = new_client(observer=notes, **PARTS)
    result = client.upload(path, "bkt", "k", content_type="text/plain", job_id="job-1")
    assert notes.names() == ["accepted", "created", "part", "part", "part", "finished"]
    job = notes.calls[0][1]
    assert (job.id, job.path, job.size) == ("job-1", str(path), len(DATA))
    assert job.stamp == (len(DATA), path.stat().st_mtime_ns)
    assert job.options == {"content_type": "text/plain"}
    assert notes.calls[1] == ("created", "job-1", "upload-1", 5 << 20, "crc64nvme", "")
    assert notes.calls[-1] == ("finished", "job-1", result, None)
    assert sorted(notes.parts) == [1, 2, 3]


def test_many_jobs_each_finished_once(new_client, s3, s3_error):
    notes = Notes()
    client = new_client(observer=notes)
    s3.hook = lambda request, _: s3_error("AccessDenied", 403) if "/bad" in request.url else None
    jobs = [("good", b"x"), ("bad", b"x"), ("gone", "/nowhere/at/all")]
    outcomes = list(client.put_many(jobs, bucket="bkt"))
    assert len(outcomes) == 3
    assert notes.names().count("accepted") == 2  # a source that cannot be opened is never accepted
    assert notes.names().count("finished") == 2
    assert len({call[1].id for call in notes.calls if call[0] == "accepted"}) == 2


def test_an_observer_that_refuses_stops_the_upload_before_it_begins(new_client, s3):
    class Full(Notes):
        def accepted(self, job):
            raise OSError("disk full")

        def finished(self, job, result, error):
            raise OSError("disk full")

    client = new_client(observer=Full())
    with pytest.raises(OSError, match="disk full"):
        client.upload(b"x", "bkt", "k")
    assert s3.seen == []
    (outcome,) = client.put_many([("k", b"x")], bucket="bkt")
    assert isinstance(outcome.error, OSError)


def test_an_observer_that_fails_at_the_end_changes_nothing(new_client, s3, caplog):
    class Late(Notes):
        def finished(self, job, result, error):
            raise OSError("disk full")

    assert new_client(observer=Late()).upload(b"x", "bkt", "k").size == 1
    assert "failed to take the outcome" in caplog.text


def test_a_kept_upload_is_resumed_without_its_parts(new_client, s3, s3_error):
    notes = Notes(keeps=True)
    client = new_client(observer=notes, retry=RetryPolicy(max_attempts=1), max_concurrency=1, **PARTS)
    s3.hook = lambda request, _: s3_error("InternalError", 500) if "partNumber=3" in request.url else None
    with pytest.raises(UploadError, match="parts are kept under upload id upload-1, to go on later") as info:
        client.upload(DATA, "bkt", "k")
    assert info.value.aborted is None
    assert "Abort" not in s3.operations()
    s3.hook = None
    s3.seen.clear()
    stored = {number: part for number, part in notes.parts.items() if number < 3}
    resume = Resume("upload-1", 5 << 20, stored)
    # A plan of another part size is forced to that of the upload.
    result = new_client(multipart_threshold=100 << 20).upload(DATA, "bkt", "k", resume=resume)
    assert s3.operations() == ["Part", "Complete"]
    assert s3.objects["k"] == DATA
    assert (result.resumed, result.parts, result.attempts) == (2, 3, 1)


def test_keep_parts_leaves_them_without_an_observer(new_client, s3, s3_error):
    client = new_client(**PARTS)
    s3.hook = lambda request, _: s3_error("AccessDenied", 403) if "partNumber=2" in request.url else None
    with pytest.raises(UploadError, match="kept"):
        client.upload(DATA, "bkt", "k", keep_parts=True)
    assert list(s3.uploads) == ["upload-1"]


def test_parts_of_another_source_are_refused(client, s3):
    wrong = Resume("u", 5 << 20, {3: CompletedPart(3, '"e"', 5 << 20, "")})
    with pytest.raises(ConfigError, match="cannot be resumed: part 3"):
        client.upload(DATA, "bkt", "k", resume=wrong)
    with pytest.raises(ConfigError, match="a stream cannot be resumed"):
        client.upload(iter([b"x"]), "bkt", "k", resume=wrong)
    assert s3.seen == []


def test_routes(new_client, s3):
    for accelerate, kind in ((True, "accelerate"), ("always", "accelerate"), ("never", "regional")):
        result = new_client(accelerate=accelerate).upload(b"x", "bkt", "k")
        assert (result.kind, result.route) == (kind, kind)
    with pytest.raises(ConfigError, match="can be True, False"):
        new_client(accelerate="sometimes")
    with pytest.raises(ConfigError, match="one route only"):
        new_client(accelerate="auto", endpoint_url="https://elsewhere.example")
    with pytest.raises(ConfigError, match="only with accelerate='auto'"):
        new_client(router=Router())


def test_auto_measures_both_and_says_why(new_client, s3):
    client = new_client(accelerate="auto")
    results = [client.upload(b"x", "bkt", f"k{n}") for n in range(12)]
    assert {result.route for result in results} == {"accelerate", "regional"}
    assert all(result.route_reason for result in results)
    many = [outcome.result for outcome in client.put_many([(f"m{n}", b"x") for n in range(5)], bucket="bkt")]
    assert all(result.route_reason for result in many)


def test_auto_falls_back_when_acceleration_is_not_configured(new_client, s3, s3_error):
    def not_configured(request, _):
        if "s3-accelerate" in request.url:
            return s3_error(
                "InvalidRequest", 400, "S3 Transfer Acceleration is not configured on this bucket"
            )
        return None

    s3.hook = not_configured
    router = Router()
    client = new_client(accelerate="auto", router=router, **PARTS)
    result = client.upload(DATA, "bkt", "k")
    assert (result.route, s3.objects["k"]) == ("regional", DATA)
    assert "over the accelerate route" in result.retries[0]
    assert client.upload(b"x", "bkt", "k").retries == ()  # the second upload knows


def test_auto_falls_back_when_a_host_cannot_be_reached(new_client, s3):
    s3.hook = lambda request, _: ConnectError("no") if "s3-accelerate" in request.url else None
    client = new_client(accelerate="auto")
    result = client.upload(b"abc", "bkt", "k")
    assert (result.route, result.attempts) == ("regional", 2)


def test_auto_rules_out_names_that_cannot_be_accelerated(new_client, s3):
    result = new_client(accelerate="auto").upload(b"x", "my.bucket", "k")
    assert result.route == "regional"
    assert "dot" in result.route_reason
