"""The server round the endpoint: start and stop, options, certificates, faults, counters, persistence."""

from __future__ import annotations

import datetime
import json
import logging
import ssl
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from local_wire import STRANGE_KEYS, Wire

from s3accel import Credentials, uri_encode
from s3accel.errors import ConfigError
from s3accel.local import Answer, Cut, FaultRequest, LocalServer, Slow
from s3accel.local.store import Store


def test_objects_outlive_the_server(tmp_path: Path) -> None:
    root = tmp_path / "store"
    credentials = {"AKIATEST": "secret"}
    with LocalServer(root, credentials) as server:
        wire = Wire(server)
        assert wire.send("PUT", "/bucket/a/../b", body=b"x", headers={"x-amz-meta-a": "1"}).status == 200
        upload = wire.send("POST", "/bucket/k?uploads").body.decode()
        upload_id = upload.partition("<UploadId>")[2].partition("<")[0]
        assert wire.send("PUT", f"/bucket/k?uploadId={upload_id}&partNumber=1", body=b"part").status == 200
        first_ca = server.ca_file
    assert not first_ca.exists()
    (root / "data" / "ab").mkdir(exist_ok=True)
    (root / "data" / "ab" / ("ab" + "0" * 30)).write_bytes(b"left behind by a crash")
    (root / "temporary" / "half").write_bytes(b"half a body")
    with LocalServer(root, credentials) as server:
        wire = Wire(server)
        got = wire.send("GET", "/bucket/a/../b")
        assert (got.body, got.headers["x-amz-meta-a"]) == (b"x", "1")
        assert b"<Size>4</Size>" in wire.send("GET", f"/bucket/k?uploadId={upload_id}").body
        assert not (root / "data" / "ab" / ("ab" + "0" * 30)).exists()
        assert not (root / "temporary" / "half").exists()


def test_folders_that_are_not_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="not empty and not a store"):
        LocalServer(tmp_path).start()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    store = Store(tmp_path / "store")
    with pytest.raises(ConfigError, match="another endpoint uses"):
        Store(tmp_path / "store")
    store.close()
    (tmp_path / "store" / "s3accel-store.json").write_text('{"format": 99}')
    with pytest.raises(ConfigError, match="format 99"):
        Store(tmp_path / "store")


def test_start_and_stop() -> None:
    threads = set(threading.enumerate())
    server = LocalServer()
    with pytest.raises(ConfigError, match="before it is started"):
        _ = server.port
    server.start()
    try:
        with pytest.raises(ConfigError, match="already runs"):
            server.start()
        with pytest.raises(ConfigError, match="cannot listen"):
            LocalServer(port=server.port).start()
        wire = Wire(server)
        idle = wire.connect()
        idle.request("GET", "/", headers=wire.headers("GET", "/"))
        assert idle.getresponse().read()
        root = server.root
    finally:
        before = time.monotonic()
        server.stop()
    # A client that keeps its connection does not hold the server up.
    assert time.monotonic() - before < 2
    idle.close()
    assert not root.exists()
    server.stop()
    assert set(threading.enumerate()) <= threads
    with server:
        assert Wire(server).send("GET", "/").status == 200


def test_secrets_do_not_show(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with LocalServer() as server:
        wire = Wire(server)
        wire.send("PUT", "/bucket/k", body=b"x")
        wire.send("GET", "/bucket/k", secret="w" * 40)
        assert server.secret_access_key not in repr(server) + repr(server.stats) + repr(server.credentials)
    assert server.secret_access_key not in caplog.text


@pytest.mark.parametrize(
    "arguments", [{"credentials": {}}, {"tls": False, "require_tls": True}, {"credentials": {"A": ""}}]
)
def test_arguments_that_cannot_work(arguments: dict[str, object]) -> None:
    with pytest.raises(Exception, match=r"empty|require_tls"):
        LocalServer(**arguments).start()  # type: ignore[arg-type]


def test_plain_http_and_another_region() -> None:
    with LocalServer(tls=False, region="eu-central-1") as server:
        assert server.endpoint_url.startswith("http://127.0.0.1:")
        assert server.connect_to("a.example") == {"a.example:80": server.address}
        wire = Wire(server)
        headers = wire.headers("GET", "/")
        request = urllib.request.Request(server.endpoint_url + "/", headers=headers)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            assert answer.status == 200
        with pytest.raises(ConfigError, match="no CA"):
            _ = server.ca_file


def test_clock_and_session_token() -> None:
    def long_ago() -> float:
        return 1_000_000_000.0

    credentials = Credentials("ASIATEST", "secret", "token")
    with LocalServer(credentials={"ASIATEST": credentials}, clock=long_ago, max_skew=5) as server:
        wire = Wire(server)
        assert wire.send("GET", "/", clock=long_ago).code == "InvalidToken"
        signed = wire.headers("GET", "/", clock=long_ago, token="token")
        answer = wire.raw("GET", "/", signed)
        assert (answer.status, answer.headers["date"]) == (200, "Sun, 09 Sep 2001 01:46:40 GMT")
        late = wire.send("GET", "/", clock=lambda: 1_000_000_006.0, token="token")
        assert late.code == "RequestTimeTooSkewed"


def test_buckets_are_not_made_when_not_wanted() -> None:
    with LocalServer(auto_create_buckets=False) as server:
        assert Wire(server).send("PUT", "/bucket/k", body=b"x").code == "NoSuchBucket"
        server.create_bucket("bucket")
        assert Wire(server).send("PUT", "/bucket/k", body=b"x").status == 200
        with pytest.raises(ConfigError, match="not a bucket name"):
            server.create_bucket("No")
        with pytest.raises(ConfigError, match="Enabled, Suspended or None"):
            server.create_bucket("bucket", acceleration="on")


def test_certificates(s3accel_server: LocalServer) -> None:
    from cryptography import x509

    folder = s3accel_server.ca_file.parent
    assert stat.S_IMODE((folder / "server-key.pem").stat().st_mode) == 0o600
    assert {path.name for path in folder.iterdir()} == {"ca.pem", "server.pem", "server-key.pem"}
    certificate = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "*.s3-accelerate.amazonaws.com" in names.get_values_for_type(x509.DNSName)
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(days=300) < left < datetime.timedelta(days=398), "398: what some clients refuse"


def test_old_tls_is_refused(s3accel_server: LocalServer) -> None:
    context = s3accel_server._certificates.server_context()  # type: ignore[union-attr]
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_counters(s3accel_server: LocalServer, s3accel_bucket: str, wire: Wire) -> None:
    before = s3accel_server.stats.snapshot()
    wire.send("PUT", f"/{s3accel_bucket}/k", body=b"12345")
    wire.send("GET", f"/{s3accel_bucket}/missing")
    after = s3accel_server.stats.snapshot()
    assert after.requests - before.requests == 2
    assert after.signatures_verified - before.signatures_verified == 2
    assert after.bytes_received - before.bytes_received == 5
    assert after.operations["PutObject"] - before.operations.get("PutObject", 0) == 1
    assert after.refusals["NoSuchKey"] - before.refusals.get("NoSuchKey", 0) == 1


class TestFaults:
    @pytest.fixture
    def bucket(self, s3accel_server: LocalServer, s3accel_bucket: str) -> str:
        yield s3accel_bucket
        s3accel_server.set_fault(None)

    def test_an_answer(self, s3accel_server: LocalServer, wire: Wire, bucket: str) -> None:
        seen: list[FaultRequest] = []

        def hook(request: FaultRequest) -> Answer | None:
            seen.append(request)
            slow_down = Answer(503, "SlowDown", "Please reduce your request rate.", {"Retry-After": "1"})
            return slow_down if len(seen) == 1 else None

        s3accel_server.set_fault(hook)
        answer = wire.send("PUT", f"/{bucket}/k", body=b"x")
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "SlowDown", "1")
        assert wire.send("PUT", f"/{bucket}/k", body=b"x").status == 200
        assert [(one.operation, one.bucket, one.key) for one in seen] == [("PutObject", bucket, "k")] * 2
        assert "Authorization" not in repr(seen[0])
        assert seen[0].header("authorization").startswith("AWS4-HMAC-SHA256")  # type: ignore[union-attr]

    def test_a_200_that_is_an_error(self, s3accel_server: LocalServer, wire: Wire, bucket: str) -> None:
        s3accel_server.set_fault(
            lambda request: Answer(200, body=b"<Error><Code>InternalError</Code></Error>")
        )
        answer = wire.send("POST", f"/{bucket}/k?uploadId=x", body=b"<CompleteMultipartUpload/>")
        assert (answer.status, b"InternalError" in answer.body) == (200, True)

    @pytest.mark.parametrize("cut", [Cut(), Cut(after_bytes=100_000), Cut(after_work=True)])
    def test_a_cut(self, s3accel_server: LocalServer, wire: Wire, bucket: str, cut: Cut) -> None:
        s3accel_server.set_fault(lambda request: cut)
        with pytest.raises(OSError):
            wire.send("PUT", f"/{bucket}/k", body=bytes(500_000))
        s3accel_server.set_fault(None)
        assert wire.send("HEAD", f"/{bucket}/k").status == (200 if cut.after_work else 404)

    def test_slow(self, s3accel_server: LocalServer, wire: Wire, bucket: str) -> None:
        s3accel_server.set_fault(lambda request: Slow(0.2, per_mebibyte=0.2))
        start = time.monotonic()
        assert wire.send("PUT", f"/{bucket}/k", body=bytes(1 << 20)).status == 200
        assert time.monotonic() - start >= 0.4

    def test_a_hook_that_fails(
        self, s3accel_server: LocalServer, wire: Wire, bucket: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        s3accel_server.set_fault(lambda request: 1 / 0)  # type: ignore[arg-type, return-value]
        answer = wire.send("PUT", f"/{bucket}/k", body=b"x")
        assert (answer.status, answer.code) == (500, "InternalError")
        assert "ZeroDivisionError" in caplog.text


def test_the_other_http_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s3accel.local.server._http_protocol", lambda: "h11")
    with LocalServer() as server:
        wire = Wire(server)
        data = bytes(range(256)) * 8000
        for key in STRANGE_KEYS:
            target = "/bucket/" + uri_encode(key, keep_slash=True)
            assert wire.send("PUT", target, body=data[: len(key)]).status == 200
            assert wire.send("GET", target).body == data[: len(key)]
        assert wire.send("PUT", "/bucket/big", body=data).status == 200
        assert wire.send("GET", "/bucket/big").body == data
        assert wire.send("PUT", "/bucket/big", body=data, secret="w" * 40).code == "SignatureDoesNotMatch"
        server.set_fault(lambda request: Cut(after_bytes=1000))
        with pytest.raises(OSError):
            wire.send("PUT", "/bucket/cut", body=data)


def test_a_big_body_does_not_hold_up_the_others(
    s3accel_server: LocalServer, wire: Wire, s3accel_bucket: str
) -> None:
    body = bytes(48 * 1024 * 1024)
    headers = wire.headers("PUT", f"/{s3accel_bucket}/big", body=body)
    thread = threading.Thread(target=wire.raw, args=("PUT", f"/{s3accel_bucket}/big", headers, body))
    thread.start()
    slowest = 0.0
    while thread.is_alive():
        start = time.monotonic()
        wire.send("HEAD", f"/{s3accel_bucket}")
        slowest = max(slowest, time.monotonic() - start)
    thread.join()
    assert slowest < 1


@pytest.mark.parametrize("parser", ["h11", "httptools"])
def test_no_connection_is_left_behind(parser: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that closes while the rest of its refused body is still being dropped is noticed."""
    monkeypatch.setattr("s3accel.local.server._http_protocol", lambda: parser)
    with LocalServer() as server:
        wire = Wire(server)
        for _ in range(5):
            answer = wire.send("PUT", "/bucket/k", body=bytes(2_000_000), secret="w" * 40)
            assert answer.code == "SignatureDoesNotMatch"
        deadline = time.monotonic() + 5
        while server._server.server_state.connections and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not server._server.server_state.connections


def test_the_plugin_in_somebody_elses_project(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(
        "def test_it(s3accel_server, s3accel_bucket):\n"
        "    assert s3accel_server.endpoint_url.startswith('https://127.0.0.1:')\n"
        "    assert s3accel_bucket.startswith('test-')\n"
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "s3accel.local.pytest_plugin",
        "-p",
        "no:cacheprovider",
        ".",
    ]
    registered = "import importlib.metadata as m; print([e.value for e in m.entry_points(group='pytest11')])"
    points = subprocess.run(
        [sys.executable, "-c", registered], capture_output=True, text=True, check=True
    ).stdout
    if "s3accel.local.pytest_plugin" in points:
        del command[4:6]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_plugin_loads_nothing() -> None:
    code = (
        "import sys, json, s3accel.local.pytest_plugin\n"
        "print(json.dumps([m for m in ('uvicorn', 'cryptography', 'asyncio', 'httptools') if m in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == []
