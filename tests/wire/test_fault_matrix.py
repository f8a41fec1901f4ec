"""Every fault against every way an object can be sent: what the user sees, how often it was tried, and that the stored
object is right or absent, with no multipart upload left behind and every job with exactly one outcome.

Between client and endpoint stands a proxy that spoils connections; the endpoint, which verifies every byte, answers
wrongly where it is told to.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from s3accel import Clock, Credentials
from s3accel.errors import (
    ChecksumMismatch,
    ConnectError,
    ConnectionLost,
    CredentialsError,
    NoSuchKey,
    S3Error,
    SlowDown,
    SourceError,
    TlsError,
    TransferTimeout,
    UploadError,
)
from s3accel.local import LocalServer
from s3accel.local.faults import Answer, Cut
from s3accel.transfer import Client, CurlTransport, RetryPolicy
from support.wire import Spoil, SpoiltWire

MIB = 1024 * 1024
SIZES = {"lane": 3_000, "put": 300_000, "parts": 11 * MIB}
#: The request that carries (the first of) the body.
BODY = {"lane": "PutObject", "put": "PutObject", "parts": "UploadPart"}
WAYS = list(SIZES)
INSIDE = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>inside</Message></Error>"


@dataclass
class Scene:
    """A client, the wire it uses and the server behind it."""

    server: LocalServer
    bucket: str
    wire: SpoiltWire
    ca_file: str
    clients: list[Client] = field(default_factory=list)

    def client(self, **options: Any) -> Client:
        slow = {"connect_timeout": 1.0, "stall_seconds": 1.0} if options.pop("impatient", False) else {}
        connect_to = options.pop("connect_to", {"*": self.wire.address})
        defaults: dict[str, Any] = {
            "region": self.server.region,
            "credentials": self.server.credentials,
            "retry": RetryPolicy(base_delay=0, throttle_delay=0),
            "transport": CurlTransport(ca_file=self.ca_file, connect_to=connect_to, **slow),
            "part_size": 5 * MIB,
            "multipart_threshold": 5 * MIB,
        }
        self.clients.append(Client(**{**defaults, **options}))
        return self.clients[-1]

    def send(self, client: Client, way: str, data: bytes) -> Any:
        """The UploadResult, or the exception; there is one outcome, whichever way."""
        if way == "lane":
            outcomes = list(client.put_many([("key", data)], bucket=self.bucket))
            assert len(outcomes) == 1
            return outcomes[0].error or outcomes[0].result
        events: list[Any] = []
        try:
            result: Any = client.upload(data, self.bucket, "key", progress=events.append)
        except Exception as error:
            result = error
        ends = [event for event in events if event.kind in ("done", "failed")]
        assert len(ends) == (1 if events else 0)
        if not isinstance(result, Exception):
            assert ends[0].bytes_done == len(data)  # what was sent twice is not counted twice
        return result

    def stored(self) -> bytes | None:
        with Client(
            region=self.server.region,
            credentials=self.server.credentials,
            ca_file=self.ca_file,
            connect_to={"*": self.server.address},
        ) as direct:
            try:
                return direct.get(self.bucket, "key")
            except NoSuchKey:
                return None

    def fault(self, operation: str, *answers: Any, always: bool = False) -> None:
        """The next requests of this kind are answered so; with ``always``, all of them with the first."""
        left = itertools.repeat(answers[0]) if always else iter(answers)
        self.server.set_fault(
            lambda request: next(left, None) if request.operation == operation else None  # type: ignore[arg-type]
        )

    def clean(self) -> None:
        assert self.server._app.services.uploads._open == {}, "a multipart upload was left behind"


@pytest.fixture
def scene(s3accel_server, s3accel_bucket):
    wire = SpoiltWire(("127.0.0.1", s3accel_server.port))
    scene = Scene(s3accel_server, s3accel_bucket, wire, str(s3accel_server.ca_file))
    yield scene
    for client in scene.clients:
        client.close()
        client.s3.transport.close()
    s3accel_server.set_fault(None)
    wire.close()


def right(scene: Scene, result: Any, data: bytes, failed: int) -> None:
    """It was stored, once and right, after ``failed`` attempts that were not counted as anything else."""
    assert not isinstance(result, Exception), result
    assert result.attempts - 1 == len(result.retries) == failed
    assert result.size == len(data)
    assert scene.stored() == data
    scene.clean()


def absent(scene: Scene, error: Any, cause: type[Exception], attempts: int, *texts: str) -> None:
    assert isinstance(error, UploadError), error
    assert isinstance(error.__cause__, cause), error.__cause__
    assert error.attempts == attempts
    assert len(error.history) == attempts - 1
    for text in texts:
        assert text in str(error), str(error)
    assert scene.stored() is None
    scene.clean()


def first(spoil: Spoil) -> Callable[[int], Spoil | None]:
    return lambda number: spoil if number == 1 else None


# -- the way there


@pytest.mark.parametrize("way", WAYS)
def test_connection_refused(scene, way):
    scene.wire.close()
    error = scene.send(scene.client(), way, bytes(SIZES[way]))
    scene.wire = SpoiltWire(("127.0.0.1", scene.server.port))
    absent(
        scene, error, ConnectError, 3, "no connection", "nothing was stored" if way != "parts" else "starting"
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("after", [100, 2_500])
def test_reset_after_bytes_of_the_request(scene, way, after):
    data = os.urandom(SIZES[way])
    scene.wire.spoil = first(Spoil(cut_request=after))
    result = scene.send(scene.client(), way, data)
    assert not isinstance(result, Exception), result
    if way != "parts":  # there the first connection belongs to CreateMultipartUpload
        assert result.attempts == 2
    assert scene.stored() == data
    scene.clean()


def test_reset_in_the_middle_of_a_part(scene):
    data = os.urandom(SIZES["parts"])
    scene.wire.spoil = first(Spoil(cut_request=2 * MIB))
    result = scene.send(scene.client(max_concurrency=1), "parts", data)
    right(scene, result, data, 1)
    assert result.retries == ("the connection was lost",)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("after", [100, 3_000])
def test_reset_in_the_answer(scene, way, after):
    """In the handshake, and behind it."""
    data = os.urandom(SIZES[way])
    scene.wire.spoil = first(Spoil(cut_response=after))
    result = scene.send(scene.client(max_concurrency=1), way, data)
    assert not isinstance(result, Exception), result
    assert scene.stored() == data
    scene.clean()


@pytest.mark.parametrize(
    ("way", "operation"),
    [
        *BODY.items(),
        ("parts", "CreateMultipartUpload"),
        ("parts", "CompleteMultipartUpload"),
    ],
)
def test_reset_after_the_whole_request_was_taken(scene, way, operation):
    """S3 has done what was asked; only its answer is lost. It is asked again, and nothing is there twice."""
    data = os.urandom(SIZES[way])
    scene.fault(operation, Cut(after_work=True))
    result = scene.send(scene.client(max_concurrency=1), way, data)
    if operation != "CreateMultipartUpload":
        right(scene, result, data, 1)
        return
    # Both attempts began an upload, and nobody was told the first one's id: it is empty, and the bucket's lifecycle
    # rule ends it. (The journal knows that one may be there and aborts it.)
    assert not isinstance(result, Exception), result
    assert result.attempts == 2
    assert scene.stored() == data
    [left] = scene.server._app.services.uploads._open.values()
    assert left.parts == {}


@pytest.mark.parametrize("way", WAYS)
def test_resets_without_end(scene, way):
    scene.wire.spoil = lambda number: Spoil(cut_request=2_500 if way == "lane" else 200_000)
    error = scene.send(scene.client(max_concurrency=1), way, os.urandom(SIZES[way]))
    scene.wire.spoil = lambda number: None
    assert isinstance(error, UploadError)
    assert isinstance(error.__cause__, ConnectionLost)
    assert error.attempts == 3
    assert scene.stored() is None


@pytest.mark.parametrize("way", WAYS)
def test_a_stall_ends_and_is_tried_again(scene, way):
    data = os.urandom(SIZES[way])
    scene.wire.spoil = first(Spoil(stall_after=2 * MIB if way == "parts" else 2_500))
    result = scene.send(scene.client(impatient=True, max_concurrency=1), way, data)
    right(scene, result, data, 1)
    assert "timed out" in result.retries[0]


def test_a_stall_without_end_is_a_timeout(scene):
    scene.wire.spoil = lambda number: Spoil(stall_after=2_500)
    policy = RetryPolicy(max_attempts=2, base_delay=0)
    error = scene.send(scene.client(impatient=True, retry=policy), "put", os.urandom(300_000))
    absent(scene, error, TransferTimeout, 2, "timed out")


def test_a_deadline_ends_what_still_moves(scene):
    scene.wire.spoil = lambda number: Spoil(drip=100_000)
    policy = RetryPolicy(base_delay=0, deadline=0.7)
    error = scene.send(scene.client(retry=policy), "put", os.urandom(600_000))
    assert isinstance(error.__cause__, TransferTimeout)
    assert error.attempts == 1
    assert "the deadline would pass" in str(error)
    assert scene.stored() is None


@pytest.mark.parametrize(("way", "rate"), [("lane", 2_000), ("put", 200_000), ("parts", 8_000_000)])
def test_a_slow_drip_is_no_fault(scene, way, rate):
    data = os.urandom(SIZES[way])
    scene.wire.spoil = lambda number: Spoil(drip=rate)
    right(scene, scene.send(scene.client(impatient=True), way, data), data, 0)


@pytest.mark.parametrize("way", WAYS)
def test_a_certificate_of_another_name(scene, way):
    client = scene.client(
        accelerate=False, endpoint_url="https://wrong.example", connect_to={"*": scene.wire.address}
    )
    error = scene.send(client, way, bytes(SIZES[way]))
    absent(scene, error, TlsError, 1, "certificate was refused")


@pytest.mark.parametrize("way", WAYS)
def test_a_name_that_does_not_exist(scene, way):
    client = scene.client(accelerate=False, endpoint_url="https://nowhere.invalid", connect_to={})
    error = scene.send(client, way, bytes(SIZES[way]))
    absent(scene, error, ConnectError, 3, "nowhere.invalid")


# -- what S3 says


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, "InternalError"),
        Answer(502, body=b"<html>bad gateway</html>"),
        Answer(503, "ServiceUnavailable"),
        Answer(503, "SlowDown"),
        Answer(200, body=INSIDE),
        Answer(500, body=b"<?xml version='1.0'?><Error><Code>Inter"),
        Answer(400, "BadDigest"),
        Answer(400, "IncompleteBody"),
        Answer(400, "XAmzContentSHA256Mismatch"),
        Answer(400, "RequestTimeout"),
    ],
    ids=lambda answer: f"{answer.status}-{answer.code}-{len(answer.body or b'')}",
)
def test_an_error_that_passes(scene, way, answer):
    data = os.urandom(SIZES[way])
    scene.fault(BODY[way], answer)
    right(scene, scene.send(scene.client(), way, data), data, 1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("answer", "cause", "attempts"),
    [
        (Answer(500, "InternalError"), S3Error, 3),
        (Answer(503, "SlowDown"), SlowDown, 3),
        (Answer(200, body=INSIDE), S3Error, 3),
        (Answer(400, "BadDigest"), S3Error, 2),
        (Answer(400, "XAmzContentSHA256Mismatch"), S3Error, 2),
        (Answer(403, "AccessDenied"), S3Error, 1),
        (Answer(400, "InvalidArgument"), S3Error, 1),
    ],
    ids=lambda value: getattr(value, "code", None),
)
def test_an_error_that_stays(scene, way, answer, cause, attempts):
    scene.fault(BODY[way], answer, always=True)
    error = scene.send(scene.client(), way, os.urandom(SIZES[way]))
    scene.server.set_fault(None)
    code = "InternalError" if answer.body else answer.code
    absent(
        scene,
        error,
        cause,
        attempts,
        code,
        "nothing was stored" if way != "parts" else "no parts left behind",
    )


def test_a_storm_of_slow_down_is_survived_with_fewer_in_flight(scene):
    storm = [Answer(503, "SlowDown")] * 60
    scene.fault("PutObject", *storm)
    client = scene.client(retry=RetryPolicy(max_attempts=30, base_delay=0, throttle_delay=0))
    items = [(f"k{n}", b"x" * n) for n in range(100)]
    outcomes = list(client.put_many(items, bucket=scene.bucket))
    assert sorted(outcome.key for outcome in outcomes) == sorted(key for key, _ in items)
    assert [outcome.error for outcome in outcomes] == [None] * 100
    assert sum(outcome.result.attempts for outcome in outcomes) == 160


@pytest.mark.parametrize("answer", [Answer(500), Answer(502), Answer(503, "SlowDown")], ids=str)
def test_a_storm_over_parts_is_survived(scene, answer):
    data = os.urandom(SIZES["parts"])
    scene.fault("UploadPart", *[answer] * 9)
    client = scene.client(retry=RetryPolicy(max_attempts=12, base_delay=0, throttle_delay=0))
    right(scene, scene.send(client, "parts", data), data, 9)


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("CreateMultipartUpload", b"<InitiateMultipartUploadResult><UploadId>abc"),
        ("CreateMultipartUpload", INSIDE),
        ("CompleteMultipartUpload", b"<CompleteMultipartUploadResult><ETag>"),
        ("CompleteMultipartUpload", b"<?xml version='1.0'?>\n   "),
        ("CompleteMultipartUpload", INSIDE),
    ],
)
@pytest.mark.parametrize("always", [False, True])
def test_truncated_xml_and_errors_inside_200_around_parts(scene, operation, body, always):
    data = os.urandom(SIZES["parts"])
    scene.fault(operation, Answer(200, body=body), always=always)
    result = scene.send(scene.client(), "parts", data)
    scene.server.set_fault(None)
    if not always:
        right(scene, result, data, 1)
        return
    assert isinstance(result, UploadError)
    assert result.attempts == 3
    assert ("starting" if operation.startswith("Create") else "completing") in str(result)
    assert scene.stored() is None
    scene.clean()


def test_a_retry_budget_ends_a_storm(scene):
    scene.fault("PutObject", Answer(503, "SlowDown"), always=True)
    client = scene.client(retry=RetryPolicy(max_attempts=5, base_delay=0, throttle_delay=0, budget=10))
    items = [(f"k{n}", b"x") for n in range(20)]
    outcomes = list(client.put_many(items, bucket=scene.bucket))
    assert len(outcomes) == 20
    assert sum(outcome.error.attempts for outcome in outcomes) == 30
    assert any("the retry budget is spent" in str(outcome.error) for outcome in outcomes)


@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_checksum_in_the_answer_is_said(scene, way):
    wrong = Answer(200, body=b"", headers={"ETag": '"e"', "x-amz-checksum-crc64nvme": "AAAAAAAAAAA="})
    scene.fault(BODY[way], wrong)
    error = scene.send(scene.client(max_concurrency=1), way, os.urandom(SIZES[way]))
    absent(scene, error, ChecksumMismatch, 1, "AAAAAAAAAAA=")


def test_a_wrong_checksum_of_the_whole_object_is_said(scene):
    """It is stored with something else than was sent: the user is told to delete it, and it is not aborted or retried."""
    body = b"<CompleteMultipartUploadResult><ETag>e</ETag><ChecksumCRC64NVME>AAAAAAAAAAA=</ChecksumCRC64NVME></CompleteMultipartUploadResult>"
    scene.fault("CompleteMultipartUpload", Answer(200, body=body))
    error = scene.send(scene.client(), "parts", os.urandom(SIZES["parts"]))
    assert isinstance(error.__cause__, ChecksumMismatch)
    assert (error.attempts, error.aborted) == (1, None)
    assert "is stored with crc64nvme AAAAAAAAAAA=" in str(error)
    assert "delete it or send it again" in str(error)


def test_a_part_without_or_with_a_wrong_etag_makes_no_object(scene):
    for answer in (Answer(200, body=b""), Answer(200, body=b"", headers={"ETag": '"0123"'})):
        scene.fault("UploadPart", answer)
        error = scene.send(scene.client(max_concurrency=1), "parts", os.urandom(SIZES["parts"]))
        assert isinstance(error, UploadError) or answer.headers == {}, error
        if isinstance(error, UploadError):
            assert scene.stored() is None
        scene.clean()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_to_another_region_is_signed_anew(scene, way, status):
    data = os.urandom(SIZES[way])
    answer = Answer(status, "PermanentRedirect", headers={"x-amz-bucket-region": scene.server.region})
    scene.fault("CreateMultipartUpload" if way == "parts" else "PutObject", answer)
    client = scene.client(region="eu-north-1")
    result = scene.send(client, way, data)
    assert not isinstance(result, Exception), result
    assert scene.stored() == data
    assert client.endpoint(scene.bucket).region == scene.server.region


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("hours", [-3, 3])
def test_a_skewed_clock_is_learned(scene, way, hours):
    import time

    data = os.urandom(SIZES[way])
    clock = Clock(lambda: time.time() + hours * 3600)
    result = scene.send(scene.client(clock=clock), way, data)
    assert not isinstance(result, Exception), result
    assert scene.stored() == data
    assert abs(clock.offset + hours * 3600) < 60
    if way != "parts":
        assert result.attempts == 2
        assert "clock is wrong" in result.retries[0]


class Rotating:
    """Gives other credentials with every load, as a metadata service does."""

    def __init__(self, *credentials: Credentials) -> None:
        self.left = list(credentials)
        self.loads = 0

    def load(self) -> Credentials:
        self.loads += 1
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


@pytest.mark.parametrize("way", WAYS)
def test_a_token_that_expires_on_the_way(scene, way):
    data = os.urandom(SIZES[way])
    scene.fault(BODY[way], Answer(400, "ExpiredToken", "The provided token has expired."))
    rotating = Rotating(scene.server.credentials, scene.server.credentials)
    result = scene.send(scene.client(credentials=rotating), way, data)
    right(scene, result, data, 1)
    assert "expired" in result.retries[0]
    assert rotating.loads == 2


@pytest.mark.parametrize("way", WAYS)
def test_a_token_that_stays_expired(scene, way):
    scene.fault(BODY[way], Answer(400, "ExpiredToken"), always=True)
    rotating = Rotating(scene.server.credentials)
    error = scene.send(scene.client(credentials=rotating, max_concurrency=1), way, os.urandom(SIZES[way]))
    scene.server.set_fault(None)
    absent(scene, error, S3Error, 2, "ExpiredToken")


def test_credentials_that_are_dead_already_are_never_sent(scene):
    dead = Credentials("AKIDEXAMPLE", "secret", None, expires_at=1.0)
    before = scene.wire.connections
    error = scene.send(scene.client(credentials=Rotating(dead)), "put", b"x" * 300_000)
    assert isinstance(error, CredentialsError)
    assert scene.wire.connections == before


# -- the source


@pytest.mark.parametrize("size", [300_000, 11 * MIB])
@pytest.mark.parametrize("change", ["cut", "rewritten"])
def test_a_source_that_changes_while_it_is_sent(scene, tmp_path, size, change):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))

    def spoil(event: Any) -> None:
        if event.kind == "started":
            os.truncate(path, size // 2) if change == "cut" else os.utime(path, (1, 1))

    client = scene.client()
    with pytest.raises(UploadError) as info:
        client.upload(path, scene.bucket, "key", progress=spoil)
    assert isinstance(info.value.__cause__, SourceError)
    assert "ended early" in str(info.value) or "changed while it was read" in str(info.value)
    assert scene.stored() is None
    scene.clean()
