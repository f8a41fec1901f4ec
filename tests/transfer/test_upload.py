"""Uploads over a fake S3: what is sent, what is stored, what is left when it fails."""

from __future__ import annotations

import io
import itertools
import logging
import os
import re
import threading

import pytest

from s3accel import checksums
from s3accel.errors import (
    AccelerationUnavailable,
    AccessDenied,
    ChecksumMismatch,
    ConfigError,
    ConnectionLost,
    EndpointError,
    S3Error,
    SignatureMismatch,
    SourceError,
    TransportError,
    UploadError,
)
from s3accel.transfer import RetryPolicy
from s3accel.transfer.messages import ConnectionInfo, Headers, Response

MIB = 1024 * 1024
DATA = bytes(range(251)) * (12 * MIB // 251)
MODES = ["signed-chunks", "signed", "unsigned-trailer", "unsigned"]


def crc(name, data):
    running = checksums.new(name)
    running.update(data)
    return checksums.encode(running.digest())


# -- what is sent


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 300_000, 3 * MIB])
def test_every_mode_stores_what_was_given(new_client, s3, mode, size, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(DATA[:size])
    client = new_client(payload=mode)
    for source in (DATA[:size], path, io.BytesIO(DATA[:size]), iter([DATA[:size]])):
        result = client.upload(source, "bkt", "k")
        assert s3.objects["k"] == DATA[:size]
        assert result.payload_mode == mode
        assert result.checksum == crc("crc64nvme", DATA[:size])
        assert result.checksum_algorithm == "crc64nvme"
        assert (result.size, result.parts, result.attempts) == (size, 0, 1)
    sha = s3.seen[-1].headers["x-amz-content-sha256"]
    expected = {
        "signed-chunks": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "unsigned-trailer": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "unsigned": "UNSIGNED-PAYLOAD",
        "signed": sha,
    }
    assert sha == expected[mode]


def test_auto_signs_chunks_of_bodies_larger_than_one(client, s3):
    assert client.upload(bytes(65536), "bkt", "k").payload_mode == "signed"
    assert client.upload(bytes(65537), "bkt", "k").payload_mode == "signed-chunks"


@pytest.mark.parametrize("name", ["crc32", "crc32c", "CRC64NVME", "sha1", "sha256", "sha512", "md5", None])
@pytest.mark.parametrize("mode", ["signed-chunks", "unsigned"])
def test_every_checksum(new_client, s3, name, mode):
    client = new_client(payload=mode, checksum=name, part_size=5 * MIB, multipart_threshold=5 * MIB)
    one = client.upload(b"abc", "bkt", "one")
    many = client.upload(DATA, "bkt", "many")
    assert s3.objects == {"one": b"abc", "many": DATA}
    if name is None:
        assert one.checksum is None
        assert many.checksum is None
        return
    lower = name.lower()
    assert one.checksum == crc(lower, b"abc")
    assert many.checksum_algorithm == lower
    complete = s3.seen[-1]
    if lower.startswith("crc"):
        assert many.checksum == crc(lower, DATA)
        assert complete.headers["x-amz-checksum-type"] == "FULL_OBJECT"
        assert complete.headers[f"x-amz-checksum-{lower}"] == many.checksum
    else:
        assert many.checksum.endswith("-3")
        assert complete.headers["x-amz-checksum-type"] == "COMPOSITE"
        assert f"x-amz-checksum-{lower}" not in complete.headers
    assert complete.body.count(f"<Checksum{lower.upper()}>".encode()) == 3


def write_all(fd):
    with open(fd, "wb") as file:
        file.write(DATA)


@pytest.mark.parametrize("kind", ["path", "memory", "file", "seekable", "iterator", "pipe"])
def test_parts_from_every_source(new_client, s3, tmp_path, kind):
    path = tmp_path / "f"
    path.write_bytes(DATA)
    client = new_client(part_size=5 * MIB, multipart_threshold=5 * MIB, max_concurrency=3)
    expected, file, thread = DATA, None, None
    if kind == "path":
        source = path
    elif kind == "memory":
        source = memoryview(DATA)
    elif kind == "iterator":
        source = (DATA[start : start + 777_777] for start in range(0, len(DATA), 777_777))
    elif kind == "pipe":
        read, write = os.pipe()
        file = source = open(read, "rb", buffering=0)  # noqa: SIM115
        thread = threading.Thread(target=write_all, args=(write,))
        thread.start()
    else:
        file = source = open(path, "rb") if kind == "file" else io.BytesIO(DATA)  # noqa: SIM115
        file.seek(1000)
        expected = DATA[1000:]
    result = client.upload(source, "bkt", "dir/k")
    if file is not None:
        if kind in ("file", "seekable"):
            assert file.tell() == len(DATA)
        file.close()
    if thread is not None:
        thread.join()
    assert s3.objects["dir/k"] == expected
    assert (result.parts, result.attempts) == (3, 1)
    assert result.etag.endswith('-3"')
    assert s3.uploads == {}


def test_frames_are_groups_not_parts(new_client, s3, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(DATA)
    new_client(part_size=5 * MIB, multipart_threshold=5 * MIB).upload(path, "bkt", "k")
    assert s3.largest_frame < 2 * MIB


def test_the_result_says_where_it_went(client):
    result = client.upload(b"x", "bkt", "k")
    assert (result.bucket, result.key) == ("bkt", "k")
    assert result.host == "bkt.s3-accelerate.amazonaws.com"
    assert result.kind == "accelerate"
    assert result.connection.tls_version == "TLSv1.3"
    assert result.version_id == "v1"
    assert result.seconds > 0
    assert result.retries == ()


# -- failures


def test_a_server_error_is_retried_from_a_rewound_source(client, s3, s3_error):
    s3.faults = [
        lambda *_: s3_error("InternalError", 500),
        lambda *_: ConnectionLost("gone", phase="receive"),
    ]
    result = client.upload(io.BytesIO(DATA[:100_000]), "bkt", "k")
    assert s3.objects["k"] == DATA[:100_000]
    assert result.attempts == 3
    assert result.retries == ("500 InternalError", "the connection was lost")
    bodies = {request.body[-1000:] for request in s3.seen}
    assert len(s3.seen) == 3
    assert len({request.headers["x-amz-decoded-content-length"] for request in s3.seen}) == 1
    assert len(bodies) >= 1


def test_every_attempt_is_signed_afresh(new_client, s3, s3_error):
    now = itertools.count(1_700_000_000)
    s3.faults = [lambda *_: s3_error("InternalError", 500)]
    new_client(clock=lambda: float(next(now))).upload(DATA[:200_000], "bkt", "k")
    dates = [request.headers["x-amz-date"] for request in s3.seen]
    signatures = [request.headers["authorization"] for request in s3.seen]
    chunk_signatures = [re.search(rb"chunk-signature=(\w+)", request.body)[1] for request in s3.seen]
    assert len(set(dates)) == len(set(signatures)) == len(set(chunk_signatures)) == 2


def test_a_rewind_goes_to_where_the_file_stood_never_to_zero(client, s3):
    file = io.BytesIO(DATA[:200_000])
    file.seek(12_345)
    s3.cut_after = 70_000
    result = client.upload(file, "bkt", "k")
    assert s3.objects["k"] == DATA[12_345:200_000]
    assert result.attempts == 2
    # The connection broke while sending, so the second attempt asks before it sends.
    assert s3.seen[0].headers["expect"] == "100-continue"
    assert "expect" not in re.search("SignedHeaders=([^,]*)", s3.seen[0].headers["authorization"])[1]


def test_on_failure_a_file_is_left_where_it_stood(client, s3, s3_error, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(DATA)
    s3.hook = lambda *_: s3_error("AccessDenied", 403)
    with open(path, "rb") as file:
        file.seek(99)
        with pytest.raises(UploadError):
            client.upload(file, "bkt", "k")
        assert file.tell() == 99


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("SignatureDoesNotMatch", 403, SignatureMismatch),
        ("AccessDenied", 403, AccessDenied),
        ("NoSuchBucket", 404, S3Error),
    ],
)
def test_what_is_never_retried(client, s3, s3_error, code, status, kind):
    s3.hook = lambda *_: s3_error(code, status)
    with pytest.raises(UploadError) as caught:
        client.upload(b"x", "bkt", "k")
    assert type(caught.value.__cause__) is kind
    assert len(s3.seen) == 1
    assert str(caught.value) == (
        f"put of s3://bkt/k failed after 1 try: {status} {code}: no (request id 4442587FB7D0A2F9); nothing was stored"
    )


@pytest.mark.parametrize(
    "message",
    [
        "S3 Transfer Acceleration is not configured on this bucket",
        "S3 Transfer Accelerate is disabled on this bucket.",
    ],
)
def test_acceleration_unavailable_says_the_remedy(client, s3, s3_error, message):
    s3.hook = lambda *_: s3_error("InvalidRequest", 400, message)
    with pytest.raises(UploadError, match="accelerate=False") as caught:
        client.upload(b"x", "bkt", "k")
    assert isinstance(caught.value.__cause__, AccelerationUnavailable)
    assert "PutBucketAccelerateConfiguration" in str(caught.value.__cause__)
    assert len(s3.seen) == 1


def test_a_part_that_fails_for_good(new_client, s3, s3_error):
    def fault(request, _):
        return (
            s3_error("SlowDown", 503, "Please reduce your request rate.")
            if "partNumber=2" in request.url
            else None
        )

    s3.hook = fault
    client = new_client(
        part_size=5 * MIB,
        multipart_threshold=0,
        max_concurrency=1,
        retry=RetryPolicy(max_attempts=4, base_delay=0, throttle_delay=0),
    )
    with pytest.raises(UploadError) as caught:
        client.upload(bytes(42 * 5 * MIB // 10), "bkt", "k")
    error = caught.value
    assert str(error) == (
        "part 2 of 5 of s3://bkt/k failed after 4 tries: 503 SlowDown: Please reduce your request rate. (request id"
        " 4442587FB7D0A2F9); before that: 503 SlowDown (3 times); upload aborted, no parts left behind"
    )
    assert (error.bucket, error.key, error.part, error.attempts) == ("bkt", "k", 2, 4)
    assert (error.upload_id, error.aborted) == ("upload-1", True)
    assert s3.uploads == {}
    assert s3.operations() == ["Create", "Part", *["Part"] * 4, "Abort", "ListParts"]


def test_abort_comes_after_the_last_part_in_flight(new_client, s3, s3_error):
    began = threading.Barrier(3)
    released = threading.Event()
    finished = []

    def fault(request, fake):
        if "partNumber" not in request.url:
            if "uploadId" in request.url:
                finished.append("abort" if request.method == "DELETE" else "other")
            return None
        began.wait(10)
        if "partNumber=1&" in request.url:
            released.set()
            return s3_error("AccessDenied", 403)
        released.wait(10)
        threading.Event().wait(0.2)
        finished.append("part")
        return None

    s3.hook = fault
    client = new_client(part_size=5 * MIB, max_concurrency=3)
    with pytest.raises(UploadError) as caught:
        client.upload(bytes(60 * MIB), "bkt", "k")
    assert caught.value.part == 1
    assert finished == ["part", "part", "abort", "other"]
    # No further part was begun after the failure.
    assert s3.operations().count("Part") == 3


def test_an_abort_that_leaves_parts_is_repeated(new_client, s3, s3_error):
    aborts = []

    def fault(request, fake):
        if "partNumber" in request.url:
            return s3_error("AccessDenied", 403)
        if request.method == "DELETE":
            aborts.append(1)
            if len(aborts) == 1:
                fake.uploads["upload-1"][9] = b"late"
                return Response(204, Headers())
        return None

    s3.hook = fault
    with pytest.raises(UploadError) as caught:
        new_client(part_size=5 * MIB).upload(bytes(20 * MIB), "bkt", "k")
    assert caught.value.aborted
    assert len(aborts) == 2


def test_an_abort_that_fails_is_said(new_client, s3, s3_error):
    def fault(request, fake):
        if "partNumber" in request.url or request.method == "DELETE":
            return s3_error("AccessDenied", 403)
        return None

    s3.hook = fault
    with pytest.raises(
        UploadError, match=r"abort failed too \(403 AccessDenied.*upload id upload-1"
    ) as caught:
        new_client(part_size=5 * MIB).upload(bytes(20 * MIB), "bkt", "k")
    assert caught.value.aborted is False


def test_an_interrupt_leaves_no_parts_behind(new_client, s3):
    def fault(request, fake):
        return KeyboardInterrupt() if "partNumber=2" in request.url else None

    s3.hook = fault
    with pytest.raises(KeyboardInterrupt):
        new_client(part_size=5 * MIB).upload(bytes(20 * MIB), "bkt", "k")
    assert s3.uploads == {}


def complete_fault(answer, times=1):
    left = [times]

    def fault(request, fake):
        if request.method == "POST" and "uploadId" in request.url and left[0]:
            left[0] -= 1
            return answer(request, fake)
        return None

    return fault


def test_an_error_inside_a_200_of_complete_is_an_error(new_client, s3, s3_error):
    s3.hook = complete_fault(lambda *_: s3_error("InternalError", 200, "try again"), times=5)
    with pytest.raises(
        UploadError, match=r"completing s3://bkt/k \(4 parts\) failed after 3 tries"
    ) as caught:
        new_client(part_size=5 * MIB).upload(bytes(20 * MIB), "bkt", "k")
    assert caught.value.__cause__.status == 200
    assert caught.value.aborted
    assert "k" not in s3.objects


@pytest.mark.parametrize(
    "body", [b"", b"   ", b"<CompleteMultipartUploadResult><ETag>", b"<html/>", b"<!DOCTYPE a><a/>"]
)
def test_an_empty_cut_or_strange_200_of_complete_is_tried_again(new_client, s3, body):
    s3.hook = complete_fault(lambda *_: Response(200, Headers(), body, ConnectionInfo()))
    result = new_client(part_size=5 * MIB).upload(bytes(20 * MIB), "bkt", "k")
    assert s3.objects["k"] == bytes(20 * MIB)
    assert result.parts == 4
    s3.hook = complete_fault(lambda *_: Response(200, Headers(), body, ConnectionInfo()), times=9)
    with pytest.raises(UploadError) as caught:
        new_client(part_size=5 * MIB).upload(bytes(20 * MIB), "bkt", "k2")
    assert isinstance(caught.value.__cause__, TransportError)


def test_a_completion_whose_answer_was_lost_is_recognized(new_client, s3):
    def answer_lost(request, fake):
        fake.answer(request, fake.seen[-1])
        return ConnectionLost("lost", phase="receive")

    s3.hook = complete_fault(answer_lost)
    result = new_client(part_size=5 * MIB).upload(bytes(20 * MIB), "bkt", "k")
    assert result.checksum == crc("crc64nvme", bytes(20 * MIB))
    assert s3.operations()[-3:] == ["Complete", "Complete", "Head"]


def test_a_completion_that_was_lost_and_is_not_there(new_client, s3):
    def vanish(request, fake):
        fake.uploads.clear()
        return ConnectionLost("lost", phase="receive")

    s3.hook = complete_fault(vanish)
    with pytest.raises(UploadError):
        new_client(part_size=5 * MIB).upload(bytes(20 * MIB), "bkt", "k")


def test_a_stored_object_with_another_checksum(client, s3, s3_error):
    wrong = Response(200, Headers([("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=")]), b"", ConnectionInfo())
    s3.hook = lambda *_: wrong
    with pytest.raises(UploadError, match="delete it or send it again") as caught:
        client.upload(b"x", "bkt", "k")
    assert isinstance(caught.value.__cause__, ChecksumMismatch)
    assert "nothing was stored" not in str(caught.value)


def test_a_lost_answer_to_a_put_is_not_called_nothing(new_client, s3):
    s3.hook = lambda *_: ConnectionLost("lost", phase="receive")
    with pytest.raises(UploadError, match="may have been stored"):
        new_client().upload(b"x", "bkt", "k")


# -- sources that fail


def test_a_file_that_shrinks_while_it_is_sent(new_client, s3, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(DATA)

    def fault(request, fake):
        if "partNumber=1&" in request.url:
            os.truncate(path, 6 * MIB)
        return None

    s3.hook = fault
    with pytest.raises(UploadError) as caught:
        new_client(part_size=5 * MIB, multipart_threshold=0, max_concurrency=1).upload(path, "bkt", "k")
    assert isinstance(caught.value.__cause__, SourceError)
    assert "ended early" in str(caught.value)
    assert caught.value.part == 2
    assert caught.value.aborted
    assert s3.objects == {}


@pytest.mark.parametrize("size", [3 * MIB, 12 * MIB])
@pytest.mark.parametrize("mode", MODES)
def test_a_file_that_changes_while_it_is_sent(new_client, s3, tmp_path, size, mode):
    path = tmp_path / "f"
    path.write_bytes(DATA[:size])
    client = new_client(payload=mode, part_size=5 * MIB, multipart_threshold=5 * MIB)

    def callback(event):
        if event.kind == "started":
            os.utime(path, ns=(1, 1))

    with pytest.raises(UploadError, match="changed while it was read") as caught:
        client.upload(path, "bkt", "k", progress=callback)
    assert isinstance(caught.value.__cause__, SourceError)
    assert s3.objects == {}


def test_an_iterator_that_fails_in_the_middle(new_client, s3):
    def chunks():
        yield bytes(7 * MIB)
        raise RuntimeError("producer died")

    with pytest.raises(UploadError) as caught:
        new_client(part_size=5 * MIB).upload(chunks(), "bkt", "k")
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert caught.value.aborted
    assert s3.uploads == {}


# -- fixes


def test_the_clock_is_corrected_once(new_client, s3, s3_error):
    from s3accel import Clock

    clock = Clock(lambda: 1_700_000_000.0)
    skew = {"ServerTime": "2023-11-15T00:00:00Z"}
    s3.faults = [lambda *_: s3_error("RequestTimeTooSkewed", 403, **skew)]
    result = new_client(clock=clock).upload(b"x", "bkt", "k")
    assert [request.headers["x-amz-date"] for request in s3.seen] == ["20231114T221320Z", "20231115T000000Z"]
    assert result.attempts == 2
    assert clock.offset == 6400


def test_the_region_is_learned_once_and_kept(new_client, s3, s3_error):
    s3.faults = [lambda *_: s3_error("AuthorizationHeaderMalformed", 400, Region="ap-south-1")]
    client = new_client(region="us-east-1")
    client.upload(b"x", "bkt", "k")
    client.upload(b"x", "bkt", "k")
    regions = [request.headers["authorization"].split("/")[2] for request in s3.seen]
    assert regions == ["us-east-1", "ap-south-1", "ap-south-1"]


def test_a_region_learned_from_head_moves_the_host(new_client, s3, s3_error):
    s3.objects["k"] = b"x"
    s3.faults = [lambda *_: Response(301, Headers([("x-amz-bucket-region", "ap-south-1")]))]
    assert new_client(region="us-east-1", accelerate=False).head("bkt", "k").size == 1
    assert [r.url.split("/")[2] for r in s3.seen] == [
        "bkt.s3.us-east-1.amazonaws.com",
        "bkt.s3.ap-south-1.amazonaws.com",
    ]


def test_expired_credentials_are_fetched_again(new_client, s3, s3_error):
    from s3accel import Credentials

    tokens = iter(["first", "second", "third"])

    class Provider:
        def load(self):
            return Credentials("AKIDEXAMPLE", "secret", next(tokens))

    s3.faults = [lambda *_: s3_error("ExpiredToken", 400)]
    new_client(credentials=Provider()).upload(b"x", "bkt", "k")
    assert [request.headers["x-amz-security-token"] for request in s3.seen] == ["first", "second"]


def test_expired_static_credentials_are_final(client, s3, s3_error):
    s3.hook = lambda *_: s3_error("ExpiredToken", 400)
    with pytest.raises(UploadError, match="ExpiredToken"):
        client.upload(b"x", "bkt", "k")
    assert len(s3.seen) == 1


# -- refused before anything is sent


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ((b"x", "my.bucket", "k"), EndpointError),
        ((b"x", "bkt", ""), ConfigError),
        ((b"x", "bkt", "k" * 1025), ConfigError),
        ((5, "bkt", "k"), ConfigError),
        (("/no/such/file", "bkt", "k"), SourceError),
    ],
)
def test_bad_arguments(client, s3, arguments, kind):
    with pytest.raises(kind):
        client.upload(*arguments)
    assert s3.seen == []


# -- secrets


def test_no_secret_in_logs_errors_or_reprs(new_client, s3, s3_error, caplog):
    from s3accel import Credentials

    caplog.set_level(logging.DEBUG)
    credentials = Credentials("AKIDEXAMPLE", "canary-secret-1234567890", "canary-token-1234567890")
    s3.faults = [lambda *_: s3_error("InternalError", 500)]
    client = new_client(credentials=credentials)
    client.upload(bytes(100_000), "bkt", "k")
    s3.hook = lambda *_: s3_error(
        "SignatureDoesNotMatch", 403, "x-amz-security-token:canary-token-1234567890"
    )
    with pytest.raises(UploadError) as caught:
        client.upload(b"x", "bkt", "k")
    signature = re.search(r"Signature=(\w+)", s3.seen[-1].headers["authorization"])[1]
    shown = caplog.text + str(caught.value) + repr(client) + repr(caught.value)
    for secret in ("canary-secret", "canary-token", signature):
        assert secret not in shown
    assert "attempt 1 failed" in caplog.text
