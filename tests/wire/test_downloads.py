"""Downloads against the local endpoint: every size, target and checksum, and what disturbs them."""

from __future__ import annotations

import errno
import io
import itertools
import os
import threading

import pytest

pytest.importorskip("uvicorn")

from s3accel.errors import ChecksumMismatch, ConfigError, DownloadError, NoSuchKey, ObjectChanged
from s3accel.local.faults import Answer, Cut
from s3accel.transfer import Client, RetryPolicy
from s3accel.transfer.partfile import PartFile

MIB = 1024 * 1024
STEP = MIB // 2
DATA = os.urandom(11 * STEP + 12_345)
LARGE = DATA * 2


@pytest.fixture
def new_client(s3accel_server):
    clients = []

    def make(**options):
        defaults = {
            "region": s3accel_server.region,
            "credentials": s3accel_server.credentials,
            "retry": RetryPolicy(base_delay=0, throttle_delay=0),
            "connect_to": {"*": s3accel_server.address},
            "ca_file": s3accel_server.ca_file,
            "max_concurrency": 4,
        }
        clients.append(Client(**{**defaults, **options}))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(new_client):
    return new_client()


@pytest.fixture
def faults(s3accel_server):
    """``faults(predicate, action, times)``: the next requests that match get the action; or a hook of one's own."""
    yield s3accel_server.set_fault
    s3accel_server.set_fault(None)


def first(count, predicate, action):
    left = itertools.count(count, -1)
    return lambda request: action if predicate(request) and next(left) > 0 else None


def is_range(start):
    return lambda r: r.operation == "GetObject" and (r.header("range") or "").startswith(f"bytes={start}-")


def left_in(folder):
    return sorted(item.name for item in folder.iterdir())


@pytest.mark.parametrize("size", [0, 1, 16_384, STEP - 1, STEP, STEP + 1, 5 * STEP, len(DATA)])
@pytest.mark.parametrize("to", ["path", "stream"])
def test_every_size(client, s3accel_bucket, tmp_path, size, to):
    data = DATA[:size]
    client.upload(data, s3accel_bucket, "k")
    path = tmp_path / "out"
    target = path if to == "path" else io.BytesIO()
    result = client.download(s3accel_bucket, "k", target, part_size=STEP)
    assert (path.read_bytes() if to == "path" else target.getvalue()) == data
    assert (result.size, result.verified, result.checksum_algorithm) == (size, True, "crc64nvme")
    assert result.checksum == client.head(s3accel_bucket, "k").checksums["crc64nvme"]
    assert (result.ranges, result.attempts) == (max(1, -(-size // STEP)), 1)
    assert result.host == f"{s3accel_bucket}.s3-accelerate.amazonaws.com"
    assert (result.route, result.tls_version) == ("accelerate", "TLSv1.3")
    assert left_in(tmp_path) == (["out"] if to == "path" else [])


@pytest.mark.parametrize("name", ["crc32", "crc32c", "crc64nvme", "sha256", "sha1"])
@pytest.mark.parametrize("multipart", [False, True])
def test_every_kind_of_checksum_is_compared(new_client, s3accel_bucket, tmp_path, name, multipart):
    threshold = 5 * MIB if multipart else 1 << 30
    client = new_client(checksum=name, part_size=5 * MIB, multipart_threshold=threshold)
    client.upload(LARGE, s3accel_bucket, "k")
    composite = multipart and name.startswith("sha")
    assert (client.head(s3accel_bucket, "k").checksum_type == "COMPOSITE") is composite
    stream = io.BytesIO()
    for target in (tmp_path / "out", stream):
        result = client.download(s3accel_bucket, "k", target, part_size=3 * MIB)
        assert result.verified, result.verification
        assert result.checksum_algorithm == name
        assert result.ranges == (3 if composite else 4)
    assert (tmp_path / "out").read_bytes() == LARGE == stream.getvalue()


def test_a_composite_checksum_that_cannot_be_had_is_not_pretended(new_client, s3accel_bucket):
    client = new_client(checksum="sha256", part_size=5 * MIB, multipart_threshold=5 * MIB)
    client.upload(LARGE, s3accel_bucket, "k")
    stream = io.BytesIO()
    result = client.download(s3accel_bucket, "k", stream, part_size=MIB, memory_limit=4 * MIB)
    assert stream.getvalue() == LARGE
    assert (result.verified, result.checksum) == (False, None)
    assert "part by part" in result.verification


def test_known_small_objects_take_one_request(client, s3accel_server, s3accel_bucket, tmp_path):
    client.upload(b"one", s3accel_bucket, "k")
    (known,) = client.list(s3accel_bucket)
    before = s3accel_server.stats.requests
    result = client.download(s3accel_bucket, "k", tmp_path / "out", known=known)
    assert s3accel_server.stats.requests - before == 1
    assert result.verified
    assert result.info.content_type == "binary/octet-stream"
    client.upload(b"another", s3accel_bucket, "k")  # the listing is old now
    assert client.download(s3accel_bucket, "k", tmp_path / "out", known=known).size == 7
    assert (tmp_path / "out").read_bytes() == b"another"


def test_progress_counts_every_byte_once(client, s3accel_bucket, faults, tmp_path):
    client.upload(DATA, s3accel_bucket, "k")
    events = []
    faults(first(1, is_range(3 * STEP), Answer(500)))
    client.download(s3accel_bucket, "k", tmp_path / "out", part_size=STEP, progress=events.append)
    assert [events[0].kind, events[-1].kind] == ["started", "done"]
    assert events[-1].bytes_done == events[-1].bytes_total == len(DATA)
    assert sum(event.kind == "part" for event in events) == 12
    assert [event.part for event in events if event.kind == "retry"] == [4]


# -- what disturbs


@pytest.mark.parametrize(
    "action",
    [Answer(500), Answer(503, "SlowDown"), Cut(), Cut(after_work=True)],
    ids=["500", "503", "cut", "late"],
)
def test_a_range_is_asked_for_again(client, s3accel_bucket, faults, tmp_path, action):
    client.upload(DATA, s3accel_bucket, "k")
    faults(first(2, is_range(2 * STEP), action))
    result = client.download(s3accel_bucket, "k", tmp_path / "out", part_size=STEP)
    assert (tmp_path / "out").read_bytes() == DATA
    assert (result.attempts, len(result.retries), result.verified) == (3, 2, True)


def test_what_arrived_is_kept_and_gone_on_with(client, s3accel_server, s3accel_bucket, faults, tmp_path):
    client.upload(DATA, s3accel_bucket, "k")
    path = tmp_path / "out"
    path.write_bytes(b"old")
    faults(lambda r: Answer(500) if is_range(8 * STEP)(r) else None)
    with pytest.raises(DownloadError, match=r"after 3 tries.*kept beside the target") as caught:
        client.download(s3accel_bucket, "k", path, part_size=STEP, concurrency=2)
    assert caught.value.kept >= 7 * STEP
    assert path.read_bytes() == b"old"
    assert left_in(tmp_path) == [".out.s3accel-data", ".out.s3accel-part", "out"]
    faults(None)
    before = s3accel_server.stats.operations.get("GetObject", 0)
    result = client.download(
        s3accel_bucket, "k", path, part_size=5 * STEP
    )  # the ranges are those of the first call
    assert result.resumed == caught.value.kept
    assert result.verified
    assert (
        s3accel_server.stats.operations["GetObject"] - before == result.ranges == 12 - result.resumed // STEP
    )
    assert path.read_bytes() == DATA
    assert left_in(tmp_path) == ["out"]


def test_spoilt_bytes_of_an_earlier_call_are_fetched_again(client, s3accel_bucket, faults, tmp_path):
    client.upload(DATA, s3accel_bucket, "k")
    path = tmp_path / "out"
    faults(lambda r: Answer(500) if is_range(8 * STEP)(r) else None)
    with pytest.raises(DownloadError) as caught:
        client.download(s3accel_bucket, "k", path, part_size=STEP, concurrency=1)
    faults(None)
    with open(tmp_path / ".out.s3accel-data", "r+b") as file:
        file.seek(STEP + 5)
        file.write(b"\x00\x01\x02")
    with open(tmp_path / ".out.s3accel-part", "ab") as file:
        file.write(b'{"number": 11, "offs')  # a line that a power cut left unfinished
    result = client.download(s3accel_bucket, "k", path, part_size=STEP)
    assert result.resumed == caught.value.kept - STEP
    assert path.read_bytes() == DATA


def test_another_object_is_not_gone_on_with(client, s3accel_bucket, faults, tmp_path):
    client.upload(DATA, s3accel_bucket, "k")
    faults(lambda r: Answer(500) if is_range(8 * STEP)(r) else None)
    with pytest.raises(DownloadError):
        client.download(s3accel_bucket, "k", tmp_path / "out", part_size=STEP)
    faults(None)
    client.upload(DATA[::-1], s3accel_bucket, "k")
    result = client.download(s3accel_bucket, "k", tmp_path / "out", part_size=STEP)
    assert (result.resumed, result.verified) == (0, True)
    assert (tmp_path / "out").read_bytes() == DATA[::-1]


def test_without_resume_nothing_is_left(client, s3accel_bucket, faults, tmp_path):
    client.upload(DATA, s3accel_bucket, "k")
    faults(lambda r: Answer(500) if is_range(8 * STEP)(r) else None)
    with pytest.raises(DownloadError, match="nothing of it was kept") as caught:
        client.download(s3accel_bucket, "k", tmp_path / "out", part_size=STEP, resume=False)
    assert caught.value.kept == 0
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("how", ["replaced", "deleted"])
@pytest.mark.parametrize("to", ["path", "stream"])
def test_an_object_that_changes_meanwhile(client, new_client, s3accel_bucket, faults, tmp_path, how, to):
    client.upload(DATA, s3accel_bucket, "k")
    other = new_client()
    changed = threading.Event()

    def change(event):
        if event.kind == "part" and not changed.is_set():
            changed.set()
            if how == "deleted":
                other.delete(s3accel_bucket, "k")
            else:
                other.upload(DATA[::-1], s3accel_bucket, "k")

    target = tmp_path / "out" if to == "path" else io.BytesIO()
    with pytest.raises(ObjectChanged, match="changed while it was read"):
        client.download(s3accel_bucket, "k", target, part_size=STEP, concurrency=1, progress=change)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("to", ["path", "stream"])
@pytest.mark.parametrize("size", [STEP, len(DATA)], ids=["whole", "ranges"])
def test_corrupted_bytes_become_no_file(client, s3accel_server, s3accel_bucket, tmp_path, size, to):
    client.upload(DATA[:size], s3accel_bucket, "k")
    for file in (s3accel_server.root / "data").rglob("*"):
        if file.is_file() and file.stat().st_size == size:
            with open(file, "r+b") as stored:
                stored.seek(size // 2)
                byte = stored.read(1)
                stored.seek(size // 2)
                stored.write(bytes([byte[0] ^ 1]))
    stream = io.BytesIO()
    target = tmp_path / "out" if to == "path" else stream
    with pytest.raises(ChecksumMismatch, match="crc64nvme"):
        client.download(s3accel_bucket, "k", target, part_size=STEP)
    assert left_in(tmp_path) == []
    assert size > STEP or not stream.getvalue()  # one piece is checked before it is written


@pytest.mark.parametrize("where", ["allocate", "write"])
def test_a_full_disk(client, s3accel_bucket, tmp_path, monkeypatch, where):
    client.upload(DATA, s3accel_bucket, "k")

    def full(self, *arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(PartFile, where, full)
    with pytest.raises(DownloadError, match="No space left") as caught:
        client.download(s3accel_bucket, "k", tmp_path / "out", part_size=STEP)
    assert isinstance(caught.value.__cause__, OSError)
    assert left_in(tmp_path) == []


def test_ctrl_c_keeps_what_arrived(client, s3accel_bucket, tmp_path):
    client.upload(DATA, s3accel_bucket, "k")

    def callback(event):
        if event.kind == "part" and event.part == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.download(
            s3accel_bucket, "k", tmp_path / "out", part_size=STEP, concurrency=1, progress=callback
        )
    assert left_in(tmp_path) == [".out.s3accel-data", ".out.s3accel-part"]
    assert client.download(s3accel_bucket, "k", tmp_path / "out", part_size=STEP).resumed == 2 * STEP


def test_two_downloads_to_one_target(client, s3accel_bucket, tmp_path):
    client.upload(DATA, s3accel_bucket, "k")
    second = []

    def callback(event):
        if event.kind == "part" and not second:
            try:
                client.download(s3accel_bucket, "k", tmp_path / "out", part_size=STEP)
            except ConfigError as error:
                second.append(error)

    client.download(s3accel_bucket, "k", tmp_path / "out", part_size=STEP, progress=callback)
    assert "under way" in str(second[0])
    assert (tmp_path / "out").read_bytes() == DATA


def test_refused_at_once(client, s3accel_bucket, tmp_path):
    with pytest.raises(NoSuchKey):
        client.download(s3accel_bucket, "absent", tmp_path / "out")
    for target, says in [(tmp_path, "is a folder"), (object(), "cannot write")]:
        with pytest.raises(ConfigError, match=says):
            client.download(s3accel_bucket, "k", target)
    with pytest.raises(ConfigError, match="does not go with a download"):
        client.download(s3accel_bucket, "k", tmp_path / "out", headers={"Cache-Control": "no"})
    client.upload(b"x", s3accel_bucket, "k")
    with pytest.raises(ConfigError, match="make it first"):
        client.download(s3accel_bucket, "k", tmp_path / "no" / "out")
    assert left_in(tmp_path) == []


def test_devices_long_names_fsync(client, s3accel_bucket, tmp_path):
    client.upload(DATA, s3accel_bucket, "k")
    assert client.download(s3accel_bucket, "k", "/dev/null").verified
    assert not os.path.isfile("/dev/null")
    path = tmp_path / ("ä" * 127)
    client.download(s3accel_bucket, "k", path, part_size=STEP, fsync=True)
    assert path.read_bytes() == DATA
    assert left_in(tmp_path) == [path.name]


def test_memory_of_a_stream_is_bounded(client, s3accel_bucket):
    client.upload(DATA, s3accel_bucket, "k")
    waiting = []

    class Slow(io.RawIOBase):
        def write(self, data):
            waiting.append(len(threading.enumerate()))
            return min(len(data), 300_000)  # a raw file may take less than all

    result = client.download(s3accel_bucket, "k", Slow(), part_size=STEP, memory_limit=3 * STEP)
    assert result.verified
    assert len(waiting) >= 23


def test_the_auto_route(new_client, s3accel_server, tmp_path):
    s3accel_server.create_bucket("plain-bucket", acceleration=None)
    try:
        client = new_client(accelerate="auto")
        client.upload(DATA, "plain-bucket", "k")
        for _ in range(3):
            result = client.download("plain-bucket", "k", tmp_path / "out", part_size=STEP)
            assert (result.route, result.verified) == ("regional", True)
        assert result.route_reason
    finally:
        s3accel_server.empty_bucket("plain-bucket", delete=True)


# -- deletions


KEYS = [" a ", "b&<>\"'", "c\rd", "e\nf", "g\x01h", "i\ufffej", "ü日", "k//..//", "\tl"]


def test_delete_many(client, s3accel_server, s3accel_bucket):
    keys = KEYS + [f"n{number}" for number in range(20)]
    for key in keys:
        client.upload(b"", s3accel_bucket, key)
    before = s3accel_server.stats.operations.get("DeleteObjects", 0)
    outcomes = list(client.delete_many(s3accel_bucket, iter([*keys, "never there", ""])))
    assert [outcome.key for outcome in outcomes] == [*keys, "never there", ""]
    assert [outcome.key for outcome in outcomes if not outcome.deleted] == [""]
    assert list(client.list(s3accel_bucket)) == []
    assert s3accel_server.stats.operations["DeleteObjects"] - before == 1


def test_delete_many_in_batches(client, s3accel_server, s3accel_bucket):
    before = s3accel_server.stats.operations.get("DeleteObjects", 0)
    outcomes = list(client.delete_many(s3accel_bucket, (f"x{number}" for number in range(2_001))))
    assert len(outcomes) == 2_001
    assert all(outcome.deleted for outcome in outcomes)
    assert s3accel_server.stats.operations["DeleteObjects"] - before == 3
