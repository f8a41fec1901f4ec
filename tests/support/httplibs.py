"""What every HTTP library's adapter must do, as tests that a library's own test file runs through a driver."""

from __future__ import annotations

import hashlib
import http.server
import io
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from s3accel import Credentials, Signer, Verifier
from s3accel.errors import ConfigError, EndpointError, SigningError, SourceError
from s3accel.local import LocalServer
from s3accel.local.faults import Answer, FaultRequest

KEYS = [
    "plain.txt",
    "a b+c~d/é//./..%2F",
    "a//b",
    "a/./b",
    "a/../b",
    "..",
    ".",
    "/lead",
    "//",
    "trail/",
    "pct%20x",
    "!*'();:@&=$,?#[]\"<>\\|^{}",
    "\U0001f600/e\u0301",
]
BIG = bytes(range(256)) * 1200  # several chunks of the default size, and not a whole number of them


@dataclass
class Reply:
    status: int
    body: bytes = b""


@dataclass
class Recorder:
    """A plain HTTP server that keeps what it gets and answers 200."""

    url: str = ""
    requests: list[tuple[str, str, list[tuple[str, str]], bytes]] = field(default_factory=list)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.recorder.requests.append((self.command, self.path, self.headers.items(), body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"ok")

    do_GET = do_POST = do_PUT = _any

    def log_message(self, *args: Any) -> None:
        pass


def recording() -> Iterator[Recorder]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.recorder = Recorder(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.recorder  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


class Watch:
    """The fault hook: keeps what the endpoint was asked, and answers as a test wants."""

    def __init__(self) -> None:
        self.seen: list[FaultRequest] = []
        self.plan: list[Any] = []

    def __call__(self, request: FaultRequest) -> Any:
        self.seen.append(request)
        action = self.plan.pop(0) if self.plan else None
        return action(request) if callable(action) else action


def redirect(location: str, status: int = 307) -> Answer:
    return Answer(status, "TemporaryRedirect", "Please re-send.", {"Location": location})


def botocore_signature(
    service: str, secret: str, method: str, url: str, headers: list[tuple[str, str]]
) -> tuple[str, str]:
    """The signature a request carries, and the one botocore computes for the same headers and date."""
    auth = pytest.importorskip("botocore.auth")
    awsrequest = pytest.importorskip("botocore.awsrequest")
    given = {name.lower(): value for name, value in headers}
    match = re.search(
        r"Credential=([^/]+)/\d+/([^/]+)/.*SignedHeaders=([^,]+), Signature=(\w+)", given["authorization"]
    )
    assert match is not None
    request = awsrequest.AWSRequest(
        method, url, headers={name: given[name] for name in match[3].split(";") if name != "host"}
    )
    request.headers["host"] = given["host"]
    request.context["timestamp"] = given["x-amz-date"]
    kind = auth.S3SigV4Auth if service == "s3" else auth.SigV4Auth
    signer = kind(
        type("C", (), {"access_key": match[1], "secret_key": secret, "token": None})(), service, match[2]
    )
    signer.payload = lambda _: given.get("x-amz-content-sha256") or given["body"]
    canonical = signer.canonical_request(request)
    return match[4], signer.signature(signer.string_to_sign(request, canonical), request)


class Contract:
    """Subclassed by each library's tests, with a fixture `make(**options) -> send`.

    ``send(method, url, body=None, headers=None, follow=False, retries=0) -> Reply``; `object_url` is the
    adapter's own.
    """

    object_url: Callable[..., Any]
    unread_files = False  # files must be given through an async iterable
    text_headers = (("x-amz-meta-a", "b  c"),)

    @pytest.fixture
    def watch(self, s3accel_server: LocalServer) -> Iterator[Watch]:
        watch = Watch()
        s3accel_server.set_fault(watch)
        yield watch
        s3accel_server.set_fault(None)

    @pytest.fixture
    def recorder(self) -> Iterator[Recorder]:
        yield from recording()

    @pytest.fixture
    def base(self, s3accel_server: LocalServer, s3accel_bucket: str) -> str:
        return f"{s3accel_server.endpoint_url}/{s3accel_bucket}"

    def url(self, base: str, key: str = "key") -> Any:
        return type(self).object_url(base, key)

    def stored(self, server: LocalServer, bucket: str) -> set[str]:
        return set(server._running().services.store.bucket(bucket).objects)

    def file(self, data: bytes, tmp_path: Path) -> Any:
        path = tmp_path / secrets.token_hex(4)
        path.write_bytes(data)
        return path.open("rb")

    # --- keys, queries and headers ------------------------------------------------------------------------

    def test_keys(self, make: Any, base: str, s3accel_server: LocalServer, s3accel_bucket: str) -> None:
        send = make()
        for number, key in enumerate(KEYS):
            assert send("PUT", self.url(base, key), b"%d" % number).status == 200, key
        assert self.stored(s3accel_server, s3accel_bucket) == set(KEYS)
        for number, key in enumerate(KEYS):
            assert send("GET", self.url(base, key)).body == b"%d" % number, key

    def test_leading_slash_in_a_virtual_host(
        self,
        make: Any,
        base: str,
        watch: Watch,
        s3accel_server: LocalServer,
        s3accel_bucket: str,
        names: None,
    ) -> None:
        host = f"https://{s3accel_bucket}.s3.us-east-1.amazonaws.com:{s3accel_server.port}"
        assert make()("PUT", self.url(host, "/a//b/"), b"x").status == 200
        assert watch.seen[-1].target == "//a//b/"
        assert watch.seen[-1].header("host") == host.removeprefix("https://")

    def test_queries(self, make: Any, base: str, watch: Watch) -> None:
        send = make()
        assert send("PUT", self.url(base, "a b+c/d"), b"1").status == 200
        reply = send("GET", base + "?list-type=2&prefix=a+b%2Bc%2F&delimiter=")
        assert (reply.status, b"a b+c/d" in reply.body) == (200, True)
        assert watch.seen[-1].target.endswith("?list-type=2&prefix=a%20b%2Bc%2F&delimiter=")

    def test_canonical_path(self, make: Any, base: str, watch: Watch) -> None:
        assert make()("PUT", base + "/a(b)!'*:@=;,$&~%2fc", b"1").status == 200
        assert watch.seen[-1].target.endswith("/a%28b%29%21%27%2A%3A%40%3D%3B%2C%24%26~/c")

    def test_signed_as_botocore_would(
        self, make: Any, base: str, watch: Watch, s3accel_server: LocalServer
    ) -> None:
        url = self.url(base, "a b/é")
        headers = dict(self.text_headers)
        assert make()("PUT", url, b"body", {"Content-Type": "text/plain", **headers}).status == 200
        seen = watch.seen[-1]
        ours, botocores = botocore_signature(
            "s3",
            s3accel_server.secret_access_key,
            "PUT",
            f"https://{seen.host}{seen.target}",
            list(seen.headers),
        )
        assert ours == botocores
        assert "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-meta-a" in (
            seen.header("authorization") or ""
        )

    # --- bodies -------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("payload", ["auto", "signed-chunks", "signed", "unsigned-trailer", "unsigned"])
    def test_bodies(self, make: Any, base: str, watch: Watch, tmp_path: Path, payload: str) -> None:
        send = make(payload=payload)
        for size in (0, 1, 70_000, len(BIG)):
            assert send("PUT", self.url(base), BIG[:size]).status == 200
            assert send("GET", self.url(base)).body == BIG[:size]
        kind = watch.seen[-2].header("x-amz-content-sha256") or ""
        wanted = {
            "signed-chunks": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "unsigned-trailer": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "unsigned": "UNSIGNED-PAYLOAD",
        }.get(payload)
        assert kind == wanted if wanted else re.fullmatch("[0-9a-f]{64}", kind)

    @pytest.mark.parametrize("payload", ["auto", "signed"])
    def test_file_from_where_it_stands(
        self, make: Any, base: str, watch: Watch, tmp_path: Path, payload: str
    ) -> None:
        if self.unread_files:
            pytest.skip("httpx's AsyncClient takes no files")
        send = make(payload=payload, checksum="crc32c" if payload == "auto" else None)
        for start in (0, 6, len(BIG)):
            with self.file(BIG, tmp_path) as file:
                file.seek(start)
                assert send("PUT", self.url(base), file, {"Content-Encoding": "x-coding"}).status == 200
            assert send("GET", self.url(base)).body == BIG[start:]
            sent = watch.seen[-2]
            assert sent.header("content-length") is not None
            assert sent.header("transfer-encoding") is None
            streamed = (sent.header("x-amz-content-sha256") or "").startswith("STREAMING")
            assert streamed == (payload == "auto" and start < len(BIG))

    def test_generator(self, make: Any, base: str, watch: Watch) -> None:
        def blocks() -> Iterator[bytes]:
            for at in range(0, len(BIG), 10_000):
                yield BIG[at : at + 10_000]

        with pytest.raises(ConfigError, match=r"length is unknown.*Content-Length.*payload='signed'"):
            make()("PUT", self.url(base), blocks())
        assert watch.seen == []
        length = {"Content-Length": str(len(BIG))}
        for options, headers in (
            ({}, length),
            ({"payload": "signed"}, {}),
            ({"payload": "unsigned"}, length),
        ):
            assert make(**options)("PUT", self.url(base), blocks(), headers).status == 200
            assert make()("GET", self.url(base)).body == BIG
        sent = [request.header("x-amz-content-sha256") or "" for request in watch.seen[::2]]
        assert [text[:9] for text in (sent[0], sent[2])] == ["STREAMING", "UNSIGNED-"]

    def test_generator_that_ends_early(self, make: Any, base: str) -> None:
        with pytest.raises(Exception) as caught:
            make()("PUT", self.url(base), iter([b"abc"]), {"Content-Length": "100000"})
        errors: list[Any] = [caught.value]
        while errors[-1] is not None and not isinstance(errors[-1], SourceError):
            errors.append(errors[-1].__cause__ or errors[-1].__context__)
        assert isinstance(errors[-1], SourceError)

    def test_digest_known_before(self, make: Any, base: str, watch: Watch) -> None:
        digest = hashlib.sha256(BIG).hexdigest()
        assert make()("PUT", self.url(base), BIG, {"x-amz-content-sha256": digest.upper()}).status == 200
        assert make()("PUT", self.url(base), BIG, {"x-amz-content-sha256": "0" * 64}).status == 400
        with pytest.raises(ConfigError, match="x-amz-content-sha256"):
            make()("PUT", self.url(base), BIG, {"x-amz-content-sha256": "STREAMING-X"})

    # --- again --------------------------------------------------------------------------------------------

    def test_retry_is_signed_anew(self, make: Any, base: str, watch: Watch, tmp_path: Path) -> None:
        clock = iter(range(100))
        now = time.time()
        send = make(clock=lambda: now + 5 * next(clock))
        bodies: list[Any] = [BIG]
        if not self.unread_files:
            positioned = self.file(b"HEADER" + BIG, tmp_path)
            positioned.seek(6)
            bodies += [positioned, io.BytesIO(BIG)]
        for body in bodies:
            watch.seen.clear()
            watch.plan = [Answer(500)]
            assert send("PUT", self.url(base), body, retries=2).status == 200
            first, second = watch.seen
            assert first.header("x-amz-date") != second.header("x-amz-date")
            assert make()("GET", self.url(base)).body == BIG
            if hasattr(body, "close"):
                body.close()

    def test_redirect_in_one_host(self, make: Any, base: str, watch: Watch, tmp_path: Path) -> None:
        send = make()
        watch.plan = [redirect(str(self.url(base, "there (1)")))]
        if self.unread_files:
            assert send("PUT", self.url(base, "here"), BIG, follow=True).status == 200
        else:
            with self.file(b"HEADER" + BIG, tmp_path) as file:
                file.seek(6)
                assert send("PUT", self.url(base, "here"), file, follow=True).status == 200
        assert len(watch.seen) == 2
        assert watch.seen[1].target.endswith("/there%20%281%29")
        assert send("GET", self.url(base, "there (1)")).body == BIG
        watch.plan = [redirect("there%20(1)", 303)]
        assert send("GET", self.url(base, "here"), follow=True).body == BIG

    def test_put_that_becomes_a_get(self, make: Any, base: str, watch: Watch) -> None:
        send = make(payload="signed-chunks")
        assert send("PUT", self.url(base, "there"), b"there").status == 200
        watch.plan = [redirect(str(self.url(base, "there")), 303)]
        assert send("PUT", self.url(base, "here"), BIG, follow=True).body == b"there"
        assert watch.seen[-1].header("x-amz-decoded-content-length") is None

    def test_redirect_to_another_host(self, make: Any, base: str, watch: Watch, recorder: Recorder) -> None:
        with LocalServer() as other:
            for url in (other.endpoint_url, recorder.url):
                watch.plan = [redirect(f"{url}/b/key")]
                with pytest.raises(EndpointError, match="nothing was sent"):
                    make(redirect_regions=["eu-west-1"])("PUT", self.url(base), b"x", follow=True)
            assert other.stats.snapshot().requests == 0
        assert recorder.requests == []

    def test_redirect_not_followed(self, make: Any, base: str, watch: Watch) -> None:
        watch.plan = [redirect("https://example.com/")]
        assert make()("PUT", self.url(base), b"x").status == 307

    @pytest.fixture
    def names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = socket.getaddrinfo

        def loopback(host: Any, *args: Any, **kwargs: Any) -> Any:
            text = host.decode() if isinstance(host, bytes) else host
            return real("127.0.0.1" if text and text.endswith(".amazonaws.com") else host, *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", loopback)

    def test_redirect_to_another_region(self, make: Any, names: None) -> None:
        watch = Watch()
        hosts = [f"bucket.s3.{region}.amazonaws.com" for region in ("us-east-1", "eu-west-1")]
        with LocalServer(fault=watch, extra_names=hosts) as server:
            first, second = (f"https://{host}:{server.port}" for host in hosts)
            server.create_bucket("bucket")

            def judge(request: FaultRequest) -> Answer:
                verifier = Verifier({server.access_key_id: server.credentials}.get, region="eu-west-1")
                verifier.verify(request.method, request.target, request.headers)
                return Answer(200, body=b"")

            def send(location: str, allowed: list[str]) -> Reply:
                watch.plan = [redirect(location), judge]
                adapter = make(
                    credentials=server.credentials, ca_file=server.ca_file, redirect_regions=allowed
                )
                return adapter("PUT", f"{first}/key", BIG, follow=True)

            assert send(f"{second}/key", ["eu-west-1"]).status == 200
            count = len(watch.seen)
            for location, allowed in (
                (f"{second}/key", ["eu-west-3"]),
                (f"{second}/other", ["eu-west-1"]),
                (f"{second.replace('bucket', 'x')}/key", ["eu-west-1"]),
            ):
                with pytest.raises(EndpointError, match="nothing was sent"):
                    send(location, allowed)
            assert len(watch.seen) == count + 3

    # --- credentials, TLS, other services -----------------------------------------------------------------

    def test_wrong_secret(self, make: Any, base: str, s3accel_server: LocalServer) -> None:
        send = make(credentials=Credentials(s3accel_server.access_key_id, "wrong"))
        reply = send("PUT", self.url(base), b"x")
        assert (reply.status, b"SignatureDoesNotMatch" in reply.body) == (403, True)

    def test_session_token(self, make: Any) -> None:
        token = "token/with+strange=="
        known = Credentials("AKIATOKEN", "secret", token)
        with LocalServer(credentials={"AKIATOKEN": known}) as server:
            base = f"{server.endpoint_url}/bucket"
            server.create_bucket("bucket")
            send = make(credentials=known, ca_file=server.ca_file)
            for body in (b"x", BIG):
                assert send("PUT", self.url(base), body).status == 200
            other = Credentials("AKIATOKEN", "secret", "another")
            assert make(credentials=other, ca_file=server.ca_file)("GET", self.url(base)).status in (400, 403)

    def test_signer_of_ones_own(self, make: Any, base: str, s3accel_server: LocalServer) -> None:
        signer = Signer(s3accel_server.credentials, s3accel_server.region, sign_all_headers=True)
        assert make(credentials=signer, region=None)("PUT", self.url(base), b"x").status == 200
        with pytest.raises(ConfigError, match="leave region"):
            make(credentials=signer, region="eu-west-1")
        with pytest.raises(ConfigError, match="payload"):
            make(payload="all")

    def test_plain_http(self, make: Any, recorder: Recorder) -> None:
        with pytest.raises(EndpointError, match="plain HTTP"):
            make()("PUT", "http://bucket.s3.us-east-1.amazonaws.com/key", b"x")
        for payload in ("unsigned", "unsigned-trailer"):
            with pytest.raises(ConfigError, match="plain HTTP"):
                make(payload=payload)("PUT", recorder.url + "/b/key", b"x")
        with pytest.raises(ConfigError, match="plain HTTP"):
            make()("PUT", recorder.url + "/b/key", b"x", {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
        assert recorder.requests == []
        assert make(payload="signed-chunks")("PUT", recorder.url + "/b/key", b"x").status == 200

    def test_stray_percent(self, make: Any, base: str) -> None:
        if type(self).__name__ in ("TestRequests", "TestAiohttp", "TestHttpx", "TestHttpxAsync"):
            pytest.skip("the library writes %25 for it before anybody sees it")
        with pytest.raises(SigningError, match="'%'"):
            make()("GET", base + "/100%")

    @pytest.mark.parametrize("service", ["sts", "dynamodb", "execute-api"])
    def test_other_services(self, make: Any, recorder: Recorder, service: str, tmp_path: Path) -> None:
        credentials = Credentials("AKIAOTHER", "secret")
        send = make(credentials=credentials, service=service)
        url = recorder.url + "/stage/a%20b/c(d)//e?x=1+2&y=%2F"
        body = b'{"TableName": "t"}'
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "DynamoDB_20120810.GetItem"}
        assert send("POST", url, body, headers).status == 200
        if not self.unread_files:
            with self.file(body, tmp_path) as file:
                assert send("POST", url, file, headers).status == 200
        with pytest.raises(ConfigError, match=r"bytes or a seekable file|payload='signed'"):
            send("POST", url, iter([body]), {**headers, "Content-Length": str(len(body))})
        for method, target, received, sent in recorder.requests:
            assert sent == body
            ours, botocores = botocore_signature(
                service,
                "secret",
                method,
                recorder.url + target,
                [*received, ("body", hashlib.sha256(sent).hexdigest())],
            )
            assert ours == botocores
            verified = Verifier({"AKIAOTHER": credentials}.get, region="us-east-1", service=service).verify(
                method, target, received, body_sha256=hashlib.sha256(sent).hexdigest()
            )
            assert verified.access_key_id == "AKIAOTHER"
        assert recorder.requests[0][1] == "/stage/a%20b/c(d)//e?x=1%202&y=%2F"
        assert len(recorder.requests) == (1 if self.unread_files else 2)
