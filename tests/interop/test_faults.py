"""The faults of the fault matrix in front of OpenStack Swift: what its own timeouts, resets and repeated requests make of
them, where the endpoint of the test suite could be kinder than a service.

Connections are spoilt byte by byte on the way; answers are replaced, truncated or lost after the server has done its work.
"""

from __future__ import annotations

import itertools
import os
import ssl
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pycurl", reason="uploads need pycurl: pip install 's3accel[transfer]'")

from servers.names import BUCKET, REGION
from servers.process import RunningServer

from s3accel.credentials import Credentials
from s3accel.errors import (
    ConnectError,
    ConnectionLost,
    S3AccelError,
    S3Error,
    SlowDown,
    TransferTimeout,
    UploadError,
)
from s3accel.transfer import Client, CurlTransport, JournaledUploader, RetryPolicy
from support.wire import FaultyAnswers, Spoil, SpoiltWire, answer_of, cut_body, s3_error

pytestmark = pytest.mark.parametrize("server", ["swift"], indirect=True, scope="session")

MIB = 1024 * 1024
SIZES = {"lane": 3_000, "put": 300_000, "parts": 11 * MIB}
WAYS = list(SIZES)


@dataclass
class Scene:
    """Swift, a key of its own, and what stands between a client and them."""

    server: RunningServer
    boto: Any
    context: ssl.SSLContext
    key: str = field(default_factory=lambda: f"faults/{uuid.uuid4()}")
    open: list[Any] = field(default_factory=list)

    def wire(self, spoil: Callable[[int], Spoil | None] = lambda _number: None) -> SpoiltWire:
        self.open.append(SpoiltWire(("127.0.0.1", self.server.port), spoil))
        return self.open[-1]  # type: ignore[no-any-return]

    def answers(self, fault: Callable[[str, str], Any]) -> FaultyAnswers:
        made = FaultyAnswers(
            ("127.0.0.1", self.server.port),
            context=ssl.create_default_context(cafile=str(self.server.ca_file)),
            server_name="localhost",
            front=self.context,
            fault=fault,
        )
        made.__enter__()
        self.open.append(made)
        return made

    def send(self, address: str, way: str, data: bytes, **options: Any) -> Any:
        """The UploadResult, or the exception."""
        slow = {"connect_timeout": 2.0, "stall_seconds": 2.0} if options.pop("impatient", False) else {}
        transport = CurlTransport(ca_file=str(self.server.ca_file), connect_to={"*": address}, **slow)
        config = self.server.config
        defaults: dict[str, Any] = {
            "region": REGION,
            "credentials": Credentials(config.access_key_id, config.secret_access_key),
            "retry": RetryPolicy(base_delay=0, throttle_delay=0),
            "transport": transport,
            "part_size": 5 * MIB,
            "multipart_threshold": 5 * MIB,
            "max_concurrency": 1,
        }
        events: list[Any] = []
        try:
            with Client(**{**defaults, **options}) as client:
                if way == "lane":
                    [outcome] = client.put_many([(self.key, data)], bucket=BUCKET)
                    return outcome.error or outcome.result
                result = client.upload(data, BUCKET, self.key, progress=events.append)
                assert [event.bytes_done for event in events if event.kind == "done"] == [len(data)]
                return result
        except S3AccelError as error:
            return error
        finally:
            transport.close()

    def stored(self) -> bytes | None:
        """As boto3 reads it, past all proxies."""
        try:
            found: bytes = self.boto.get_object(Bucket=BUCKET, Key=self.key)["Body"].read()
        except self.boto.exceptions.NoSuchKey:
            return None
        return found

    def uploads(self) -> list[str]:
        """Multipart uploads that were left behind."""
        found = self.boto.list_multipart_uploads(Bucket=BUCKET, Prefix=self.key)
        return [item["UploadId"] for item in found.get("Uploads", ())]

    def right(self, result: Any, data: bytes, failed: int | None) -> None:
        """Stored, once and right, after ``failed`` attempts (None: at least one) that count as nothing else."""
        assert not isinstance(result, Exception), result
        assert result.attempts - 1 == len(result.retries)
        assert len(result.retries) == failed if failed is not None else result.retries
        assert result.size == len(data)
        assert self.stored() == data
        assert self.uploads() == []

    def absent(self, error: Any, cause: type[Exception], attempts: int, *texts: str) -> None:
        assert isinstance(error, UploadError), error
        assert isinstance(error.__cause__, cause), error.__cause__
        assert (error.attempts, len(error.history)) == (attempts, attempts - 1)
        for text in texts:
            assert text in str(error), str(error)
        assert self.stored() is None
        assert self.uploads() == []


@pytest.fixture
def scene(server: RunningServer, boto_client: Any, certificates: tuple[Path, Path, Path]) -> Iterator[Scene]:
    _, chain, key = certificates
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    scene = Scene(server, boto_client, context)
    yield scene
    for one in scene.open:
        one.__exit__(None, None, None) if isinstance(one, FaultyAnswers) else one.close()


def first(spoil: Spoil) -> Callable[[int], Spoil | None]:
    return lambda number: spoil if number == 1 else None


def at(operation: str, *faults: Any, always: bool = False) -> Callable[[str, str], Any]:
    """The next requests of this kind meet these faults; with ``always``, all of them the first."""
    left = itertools.repeat(faults[0]) if always else iter(faults)

    def fault(method: str, target: str) -> Any:
        query = target.partition("?")[2]
        kinds = {
            "body": method == "PUT",
            "create": method == "POST" and query.startswith("uploads"),
            "complete": method == "POST" and "uploadId=" in query,
        }
        return next(left, None) if kinds[operation] else None

    return fault


# -- connections


@pytest.mark.parametrize("way", WAYS)
def test_connection_refused(scene: Scene, way: str) -> None:
    wire = scene.wire()
    wire.close()
    error = scene.send(wire.address, way, bytes(SIZES[way]))
    scene.absent(error, ConnectError, 3, "no connection")


@pytest.mark.parametrize(
    ("way", "after"), [("lane", 100), ("lane", 2_500), ("put", 2_500), ("put", 200_000), ("parts", 3 * MIB)]
)
def test_reset_after_bytes_of_the_request(scene: Scene, way: str, after: int) -> None:
    data = os.urandom(SIZES[way])
    wire = scene.wire(first(Spoil(cut_request=after)))
    scene.right(scene.send(wire.address, way, data), data, 1)


@pytest.mark.parametrize("way", ["lane", "put"])
def test_reset_in_the_answer(scene: Scene, way: str) -> None:
    """Swift has stored the object when the answer breaks off, so the same bytes are stored again."""
    data = os.urandom(SIZES[way])
    wire = scene.wire()
    scene.right(scene.send(wire.address, way, data), data, 0)
    whole = wire.received[1]  # a handshake and one answer
    wire.spoil = lambda number: Spoil(cut_response=whole - 60) if number == 2 else None
    scene.right(scene.send(wire.address, way, data), data, 1)


def test_resets_without_end(scene: Scene) -> None:
    wire = scene.wire(lambda _number: Spoil(cut_request=200_000))
    error = scene.send(wire.address, "put", os.urandom(SIZES["put"]))
    scene.absent(error, ConnectionLost, 3, "connection was lost")


@pytest.mark.parametrize(("way", "after"), [("lane", 2_500), ("put", 100_000), ("parts", 2 * MIB)])
def test_a_stall_ends_and_is_tried_again(scene: Scene, way: str, after: int) -> None:
    data = os.urandom(SIZES[way])
    wire = scene.wire(first(Spoil(stall_after=after)))
    result = scene.send(wire.address, way, data, impatient=True)
    scene.right(result, data, 1)
    assert "timed out" in result.retries[0]


def test_a_stall_without_end_is_a_timeout(scene: Scene) -> None:
    wire = scene.wire(lambda _number: Spoil(stall_after=100_000))
    policy = RetryPolicy(max_attempts=2, base_delay=0)
    error = scene.send(wire.address, "put", os.urandom(SIZES["put"]), impatient=True, retry=policy)
    scene.absent(error, TransferTimeout, 2, "timed out")


@pytest.mark.parametrize(("way", "rate"), [("lane", 2_000), ("put", 100_000), ("parts", 4_000_000)])
def test_a_slow_drip_is_no_fault(scene: Scene, way: str, rate: int) -> None:
    data = os.urandom(SIZES[way])
    wire = scene.wire(lambda _number: Spoil(drip=rate))
    scene.right(scene.send(wire.address, way, data, impatient=True), data, 0)


# -- answers


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "answer",
    [
        s3_error(500, "InternalError"),
        answer_of(502, b"<html>bad gateway</html>"),
        s3_error(503, "ServiceUnavailable"),
        s3_error(503, "SlowDown"),
        s3_error(200, "InternalError"),
        answer_of(500, b"<?xml version='1.0'?><Error><Code>Inter"),
    ],
    ids=["500", "502", "503", "SlowDown", "inside-200", "truncated-500"],
)
def test_a_storm_that_passes(scene: Scene, way: str, answer: bytes) -> None:
    data = os.urandom(SIZES[way])
    proxy = scene.answers(at("body", answer, answer))
    scene.right(scene.send(proxy.address, way, data), data, 2)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("code", "cause"), [("InternalError", S3Error), ("SlowDown", SlowDown)])
def test_a_storm_that_stays(scene: Scene, way: str, code: str, cause: type[Exception]) -> None:
    proxy = scene.answers(at("body", s3_error(503, code), always=True))
    error = scene.send(proxy.address, way, os.urandom(SIZES[way]))
    scene.absent(error, cause, 3, code, "nothing was stored" if way != "parts" else "no parts left behind")


@pytest.mark.parametrize("way", WAYS)
def test_the_answer_is_lost_after_the_whole_request_was_taken(scene: Scene, way: str) -> None:
    data = os.urandom(SIZES[way])
    proxy = scene.answers(at("body", lambda _answer: b""))
    scene.right(scene.send(proxy.address, way, data), data, 1)


@pytest.mark.parametrize("fault", [lambda _answer: b"", cut_body(30)], ids=["lost", "truncated"])
def test_the_answer_of_complete_is_spoilt(scene: Scene, fault: Callable[[bytes], bytes]) -> None:
    """The object is there, and the second Complete is told NoSuchUpload or the same again: either way it is stored once."""
    data = os.urandom(SIZES["parts"])
    proxy = scene.answers(at("complete", fault))
    scene.right(scene.send(proxy.address, "parts", data), data, 1)


@pytest.mark.parametrize("fault", [lambda _answer: b"", cut_body(60)], ids=["lost", "truncated"])
def test_the_answer_of_create_is_spoilt(scene: Scene, fault: Callable[[bytes], bytes]) -> None:
    """Nobody was told the id of the first upload; it is empty, and all that is left."""
    data = os.urandom(SIZES["parts"])
    proxy = scene.answers(at("create", fault))
    result = scene.send(proxy.address, "parts", data)
    assert result.attempts == 2, result
    assert scene.stored() == data
    [left] = scene.uploads()
    assert scene.boto.list_parts(Bucket=BUCKET, Key=scene.key, UploadId=left).get("Parts", []) == []
    scene.boto.abort_multipart_upload(Bucket=BUCKET, Key=scene.key, UploadId=left)


def test_the_journal_ends_what_a_lost_create_left(scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(SIZES["parts"]))
    proxy = scene.answers(at("create", lambda _answer: b""))
    config = scene.server.config
    with (
        Client(
            region=REGION,
            credentials=Credentials(config.access_key_id, config.secret_access_key),
            ca_file=str(scene.server.ca_file),
            connect_to={"*": proxy.address},
            retry=RetryPolicy(base_delay=0),
            multipart_threshold=5 * MIB,
        ) as client,
        JournaledUploader(client, tmp_path / "journal") as uploads,
    ):
        uploads.submit(file, BUCKET, scene.key)
        [report] = uploads.run()
    scene.right(report.result, file.read_bytes(), 1)
