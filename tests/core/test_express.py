"""S3 Express: the CreateSession vector, one session for each bucket and identity, one refresh in flight."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import pytest

from s3accel.credentials import Credentials
from s3accel.errors import ConfigError, CredentialsError, S3Error
from s3accel.express import (
    ExpressSessions,
    SessionRequest,
    SessionResponse,
    create_session_request,
    directory_host,
)
from s3accel.verify import Verifier
from support import reference, vectors

EXTRA = vectors.load("signing-extra")
CREATE = next(case for case in EXTRA["signing_cases"] if case["id"] == "s3express-create-session")
GET = next(case for case in EXTRA["signing_cases"] if case["id"] == "s3express-get-object")
BUCKET = "examplebucket--use1-az5--x-s3"
IAM = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "iam-token")
START = reference.epoch("20260101T120000Z")


def answer(number: int, until: float) -> SessionResponse:
    stamp = reference.timestamp_of(until)
    expiration = f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}T{stamp[9:11]}:{stamp[11:13]}:{stamp[13:15]}Z"
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<CreateSessionResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Credentials>'
        f"<SessionToken>session&#43;{number}==</SessionToken><SecretAccessKey>secret/{number}</SecretAccessKey>"
        f"<AccessKeyId>ASIA{number}</AccessKeyId><Expiration>{expiration}</Expiration>"
        "</Credentials></CreateSessionResult>"
    )
    return SessionResponse(200, body.encode())


class Server:
    """Makes sessions of five minutes and counts them."""

    def __init__(self) -> None:
        self.now = START
        self.requests: list[SessionRequest] = []
        self.fails: SessionResponse | Exception | None = None

    def __call__(self, request: SessionRequest) -> SessionResponse:
        self.requests.append(request)
        if isinstance(self.fails, Exception):
            raise self.fails
        return self.fails or answer(len(self.requests), self.now + 300)

    def clock(self) -> float:
        return self.now


def sessions(server: Server, credentials: Any = IAM, **options: Any) -> ExpressSessions:
    return ExpressSessions(credentials, "us-east-1", server, **{"clock": server.clock, **options})


def test_create_session_vector() -> None:
    given, expected = CREATE["input"], CREATE["expected"]
    known = EXTRA["meta"]["credentials"]
    request = create_session_request(
        Credentials(known["access_key_id"], known["secret_access_key"], given["session_token"]),
        given["region"],
        BUCKET,
        clock=lambda: reference.epoch(given["timestamp"]),
    )
    assert request.method == given["method"]
    assert request.url == given["url"]
    assert request.headers["Authorization"] == expected["authorization"]
    assert request.headers["X-Amz-Security-Token"] == given["session_token"]
    assert request.headers["x-amz-create-session-mode"] == "ReadWrite"
    assert not any(name.lower() == "x-amz-s3session-token" for name in request.headers)


def test_request_with_the_session() -> None:
    """The vector's key and token come out of an answer to CreateSession."""
    given, expected = GET["input"], GET["expected"]
    known = EXTRA["meta"]["credentials"]
    server = Server()
    server.now = reference.epoch(given["timestamp"])
    body = answer(1, server.now + 300).body
    for made, wanted in (
        (b"ASIA1", known["access_key_id"].encode()),
        (b"secret/1", known["secret_access_key"].encode()),
        (b"session&#43;1==", given["session_token"].encode()),
    ):
        body = body.replace(made, wanted)
    server.fails = SessionResponse(200, body)
    signer = sessions(server).signer(BUCKET)
    added = signer.sign(given["method"], given["url"])
    assert added["x-amz-s3session-token"] == given["session_token"]
    assert added["Authorization"] == expected["authorization"]
    assert "X-Amz-Security-Token" not in added


def test_signed_requests_verify() -> None:
    server = Server()
    made = sessions(server)
    session = made.credentials(BUCKET)
    assert session.session_token == "session+1=="
    host = directory_host(BUCKET, "us-east-1")
    verifier = Verifier(lambda key: session, region="us-east-1", service="s3express", clock=server.clock)
    added = made.signer(BUCKET).sign("GET", f"https://{host}/k")
    verifier.verify("GET", "/k", [("host", host), *added.items()])
    url = made.signer(BUCKET).presign("GET", f"https://{host}/k", 60)
    assert "X-Amz-S3session-Token=session%2B1%3D%3D" in url
    verifier.verify("GET", url.removeprefix(f"https://{host}"), [("host", host)])
    iam = Verifier(lambda key: IAM, region="us-east-1", service="s3express", clock=server.clock)
    request = server.requests[0]
    iam.verify("GET", "/?session", [("host", host), *request.headers.items()])
    assert len(server.requests) == 1


def test_renewed_a_minute_early() -> None:
    server = Server()
    made = sessions(server)
    signer = made.signer(BUCKET)
    for later, number in ((0, 1), (239, 1), (1, 2), (200, 2), (60, 3)):
        server.now += later
        assert made.credentials(BUCKET).access_key_id == f"ASIA{number}"
    added = signer.sign("GET", "https://h/")
    assert "Credential=ASIA3/" in added["Authorization"]
    # A signer asks again within seconds, so that it follows a session that was renewed.
    server.now += 245
    assert "Credential=ASIA4/" in signer.sign("GET", "https://h/")["Authorization"]


def test_each_bucket_and_identity_has_its_own() -> None:
    server = Server()
    current = [IAM]

    class Rotating:
        def load(self) -> Credentials:
            return current[0]

    made = sessions(server, Rotating())
    assert made.credentials(BUCKET).access_key_id == "ASIA1"
    assert made.credentials("other--use1-az4--x-s3").access_key_id == "ASIA2"
    assert made.credentials(BUCKET).access_key_id == "ASIA1"
    current[0] = Credentials("AKIAANOTHER", "secret")
    assert made.credentials(BUCKET).access_key_id == "ASIA3"
    current[0] = IAM
    assert made.credentials(BUCKET).access_key_id == "ASIA1"
    assert (
        server.requests[1].url
        == "https://other--use1-az4--x-s3.s3express-use1-az4.us-east-1.amazonaws.com/?session"
    )
    made.forget(BUCKET)
    assert made.credentials(BUCKET).access_key_id == "ASIA4"


def test_the_oldest_session_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    from s3accel import express

    monkeypatch.setattr(express, "MAX_SESSIONS", 2)
    server = Server()
    made = sessions(server)
    names = [f"b{i}--use1-az4--x-s3" for i in range(3)]
    made.credentials(names[0])
    made.credentials(names[1])
    made.credentials(names[0])
    made.credentials(names[2])
    assert len(server.requests) == 3
    made.credentials(names[0])
    assert len(server.requests) == 3
    made.credentials(names[1])
    assert len(server.requests) == 4


def test_one_refresh_in_flight() -> None:
    server = Server()
    release, entered = threading.Event(), threading.Event()
    calls = []

    def slow(request: SessionRequest) -> SessionResponse:
        calls.append(request)
        entered.set()
        if not release.wait(10):
            raise AssertionError("nobody released the refresh")
        return answer(len(calls), server.now + 300)

    made = ExpressSessions(IAM, "us-east-1", slow, clock=server.clock)
    got: list[str] = []
    threads = [
        threading.Thread(target=lambda: got.append(made.credentials(BUCKET).access_key_id)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    assert entered.wait(10)
    release.set()
    for thread in threads:
        thread.join(10)
    assert got == ["ASIA1"] * 8
    assert len(calls) == 1

    # The next refresh: while one thread waits for it, the others go on with the living session.
    server.now += 250
    release.clear()
    entered.clear()
    refreshing = threading.Thread(target=lambda: got.append(made.credentials(BUCKET).access_key_id))
    refreshing.start()
    assert entered.wait(10)
    assert made.credentials(BUCKET).access_key_id == "ASIA1"
    release.set()
    refreshing.join(10)
    assert got[-1] == "ASIA2"
    assert len(calls) == 2


DENIED = SessionResponse(
    403,
    b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message><RequestId>4442587FB7D0A2F9</RequestId></Error>",
)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (DENIED, "403 AccessDenied: Access Denied .request id 4442587FB7D0A2F9."),
        (SessionResponse(500, b""), "500"),
        (SessionResponse(200, b"<CreateSessionResult/>"), "lacks a key"),
        (SessionResponse(200, answer(1, START + 1).body.replace(b"20", b"xx")), "lacks a key"),
        (ConnectionError("reset by x-amz-s3session-token: abc"), "ConnectionError: reset by"),
        (CredentialsError("no more"), "no more"),
    ],
    ids=["denied", "no-body", "empty", "expiry", "connection", "credentials"],
)
def test_no_session(fault: Any, text: str) -> None:
    server = Server()
    server.fails = fault
    with pytest.raises(CredentialsError, match=text) as caught:
        sessions(server).credentials(BUCKET)
    assert "abc" not in str(caught.value)
    if fault is DENIED:
        cause = caught.value.__cause__
        assert isinstance(cause, S3Error)
        assert (cause.code, cause.operation, cause.bucket) == ("AccessDenied", "CreateSession", BUCKET)


def test_a_failed_refresh_leaves_the_living_session() -> None:
    server = Server()
    made = sessions(server)
    made.credentials(BUCKET)
    server.fails = ConnectionError("reset")
    server.now += 250
    assert made.credentials(BUCKET).access_key_id == "ASIA1"
    server.now += 50
    with pytest.raises(CredentialsError):
        made.credentials(BUCKET)
    server.fails = None
    assert made.credentials(BUCKET).access_key_id.startswith("ASIA")


@pytest.mark.parametrize(
    ("bucket", "dualstack", "host"),
    [
        (BUCKET, False, f"{BUCKET}.s3express-use1-az5.us-east-1.amazonaws.com"),
        (BUCKET, True, f"{BUCKET}.s3express-use1-az5.dualstack.us-east-1.amazonaws.com"),
        ("ap--usw2-lax1-az1--xa-s3", False, "ap--usw2-lax1-az1--xa-s3.s3express-usw2-lax1-az1.us-east-1.amazonaws.com"),
    ],
)  # fmt: skip
def test_directory_host(bucket: str, dualstack: bool, host: str) -> None:
    assert directory_host(bucket, "us-east-1", dualstack=dualstack) == host


@pytest.mark.parametrize(
    "bucket",
    ["", "bucket", "bucket--x-s3", "B--use1-az5--x-s3", "a/b--use1-az5--x-s3", "a" * 60 + "--z--x-s3"],
)
def test_no_directory_bucket(bucket: str) -> None:
    server = Server()
    with pytest.raises(ConfigError, match="no directory bucket"):
        sessions(server).credentials(bucket)
    assert server.requests == []


def test_own_endpoint_and_mode() -> None:
    server = Server()
    made = sessions(server, mode="ReadOnly", base_url=lambda bucket: f"https://127.0.0.1:8000/{bucket}/")
    made.credentials("any")
    assert server.requests[0].url == "https://127.0.0.1:8000/any/?session"
    assert server.requests[0].headers["x-amz-create-session-mode"] == "ReadOnly"
    with pytest.raises(ConfigError, match="mode"):
        sessions(server, mode="WriteOnly")
    with pytest.raises(ConfigError, match="mode"):
        create_session_request(IAM, "us-east-1", BUCKET, mode="x")


def test_more_headers_are_signed() -> None:
    request = create_session_request(
        IAM, "us-east-1", BUCKET, headers={"x-amz-server-side-encryption": "aws:kms"}
    )
    assert "x-amz-server-side-encryption" in request.headers["Authorization"]
    assert request.headers["x-amz-server-side-encryption"] == "aws:kms"


def test_secrets_stay_inside() -> None:
    server = Server()
    made = sessions(server)
    session = made.credentials(BUCKET)
    things = [made, made.provider(BUCKET), made.signer(BUCKET), server.requests[0], answer(1, 0), session]
    for thing in things:
        for secret in (
            IAM.secret_access_key,
            "iam-token",
            "secret/1",
            "session+1",
            "session&#43;1",
            "Signature",
        ):
            assert secret not in repr(thing)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(made)


def test_an_interactive_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """None means the environment, as for every signer."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    server = Server()
    sessions(server, None).credentials(BUCKET)
    assert "Credential=AKIAENV/" in server.requests[0].headers["Authorization"]
