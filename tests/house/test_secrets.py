"""A canary for a secret: it shows in no repr, log line, error text, traceback or pickle, nor does a session token.

What a program must send it may also show to the one who asks for it by name: `SignedStream.headers`, and the
properties of `Credentials`. Those are the only ways.
"""

from __future__ import annotations

import copy
import io
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from s3accel import (
    Credentials,
    EnvironmentProvider,
    RefreshingProvider,
    Signer,
    SigningKey,
    StaticProvider,
    Verifier,
    errors,
    redact,
)
from s3accel.credentials import default_provider
from support import reference

PACKAGE = Path(errors.__file__).parent
KEY_ID = "AKIACANARYCANARYCANA"
SECRET = "CanarySecretCanarySecretCanarySecret/+aZ"
TOKEN = "CanaryTokenCanaryTokenCanaryTokenCanaryToken//=="
URL = "https://bucket.s3-accelerate.amazonaws.com/key"
NOW = reference.epoch("20260823T101112Z")
# Pieces, so that a shortened secret is found as well.
FORBIDDEN = (SECRET, SECRET[:16], SECRET[-12:], TOKEN, TOKEN[:20], TOKEN[-14:])


def assert_clean(text: str, where: str) -> None:
    found = [piece for piece in FORBIDDEN if piece in text]
    assert not found, f"{where} shows {found[0]!r}: {text[:300]}"


def credentials() -> Credentials:
    return Credentials(KEY_ID, SECRET, TOKEN)


def signer() -> Signer:
    made = Signer(credentials(), "us-east-1", clock=lambda: NOW)
    made.sign("GET", URL)  # from here on it holds a key
    return made


def verified() -> Any:
    headers = {"host": "bucket.s3-accelerate.amazonaws.com"}
    added = signer().sign("GET", URL, headers)
    known = credentials()
    verifier = Verifier(lambda key: known, clock=lambda: NOW)
    return verifier.verify("GET", "/key", [*headers.items(), *added.items()])


def refreshing() -> RefreshingProvider:
    made = RefreshingProvider(credentials)
    made.load()
    return made


OBJECTS: dict[str, Callable[[], Any]] = {
    "Credentials": credentials,
    "StaticProvider": lambda: StaticProvider(credentials()),
    "RefreshingProvider": refreshing,
    "EnvironmentProvider": EnvironmentProvider,
    "default_provider": default_provider,
    "Signer": signer,
    "SigningKey": lambda: SigningKey.derive(SECRET, "20260823", "us-east-1", "s3"),
    "SignedStream": lambda: signer().stream("PUT", URL, None, 5, checksum="crc64nvme"),
    "Verifier": lambda: Verifier(lambda key: credentials(), clock=lambda: NOW),
    "VerifiedRequest": verified,
    "BodyVerifier": lambda: verified().body(),
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)


@pytest.mark.parametrize("name", OBJECTS)
def test_object_does_not_print_it(name: str) -> None:
    made = OBJECTS[name]()
    shown = {
        "repr": repr(made),
        "str": str(made),
        "format": f"{made}",
        "percent": "%s %r" % (made, made),  # noqa: UP031 - what logging does
        "in a list": repr([made]),
        "pprint": pprint.pformat(made),
    }
    for how, text in shown.items():
        assert_clean(text, f"{how} of {name}")


@pytest.mark.parametrize("name", OBJECTS)
def test_vars_do_not_hold_it_in_the_open(name: str) -> None:
    """Debuggers and error reporters print an object's attributes."""
    made = OBJECTS[name]()
    held = dict(getattr(made, "__dict__", {}))
    if name == "SignedStream":
        assert held.pop("headers")["X-Amz-Security-Token"] == TOKEN
    assert_clean(repr(held), f"vars of {name}")


@pytest.mark.parametrize("name", ["Credentials", "Signer", "SigningKey", "SignedStream", "StaticProvider"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_pickle(name: str, protocol: int) -> None:
    with pytest.raises(TypeError) as caught:
        pickle.dumps(OBJECTS[name](), protocol)
    assert_clean(str(caught.value), f"pickling {name}")


@pytest.mark.parametrize("name", ["Signer", "SigningKey"])
def test_no_copy_by_accident(name: str) -> None:
    with pytest.raises(TypeError):
        copy.deepcopy(OBJECTS[name]())


@pytest.mark.parametrize("name", ["Signer", "SignedStream"])
def test_signer_does_not_keep_the_secret_in_its_attributes(name: str) -> None:
    """It keeps the key of one day. (The provider beside it may hold the secret; that is its work.)"""
    made = OBJECTS[name]()
    for key, value in vars(made).items():
        assert value != SECRET, f"{name}.{key} is the secret"


FAILURES: dict[str, Callable[[], Any]] = {
    "secret with a line end": lambda: Credentials(KEY_ID, SECRET + "\n"),
    "secret with a space inside": lambda: Credentials(KEY_ID, SECRET[:20] + " " + SECRET[20:]),
    "token with a line end": lambda: Credentials(KEY_ID, SECRET, TOKEN + "\n"),
    "secret as the key id": lambda: Credentials(SECRET, "x"),
    "secret of the wrong type": lambda: Credentials(KEY_ID, SECRET.encode()),  # type: ignore[arg-type]
    "derive with a bad date": lambda: SigningKey.derive(SECRET, "tomorrow", "us-east-1", "s3"),
    "derive with a bad secret": lambda: SigningKey.derive(SECRET + "\n", "20260823", "us-east-1", "s3"),
    "token as a header of the caller": lambda: signer().sign("GET", URL, {"X-Amz-Security-Token": TOKEN}),
    "bad header": lambda: signer().sign("GET", URL, {"x-amz-meta-a": "b\r\nc"}),
    "bad query": lambda: signer().sign("GET", f"{URL}?X-Amz-Security-Token={TOKEN}&a=%zz"),
    "bad chunk size": lambda: signer().stream("PUT", URL, None, 5, chunk_size=1),
    "credentials as a region": lambda: Signer(credentials(), credentials()),  # type: ignore[arg-type]
    "secret as credentials": lambda: Signer(SECRET, "us-east-1"),  # type: ignore[arg-type]
    "expired": lambda: Signer(Credentials(KEY_ID, SECRET, TOKEN, 1.0), "us-east-1").sign("GET", URL),
}


@pytest.mark.parametrize("name", FAILURES)
def test_error_does_not_tell_it(name: str) -> None:
    with pytest.raises(Exception) as caught:
        FAILURES[name]()
    error = caught.value
    assert_clean(str(error), name)
    assert_clean(repr(error), name)
    assert_clean(repr(vars(error)), name)
    # Of the traceback only the product's own frames: the line of this test that holds the call is above them.
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    assert_clean("".join(traceback.format_list(frames)), name)


def test_redaction_knows_what_the_signer_sends() -> None:
    stream = signer().stream("PUT", URL, None, 5, checksum="crc64nvme")
    assert_clean(repr(redact.redact_headers(stream.headers)), "redact_headers")
    lines = "\n".join(f"{name}: {value}" for name, value in stream.headers.items())
    assert_clean(redact.redact_text(lines), "redact_text")
    signature = stream.headers["Authorization"].rpartition("=")[2]
    assert signature not in redact.redact_text(lines)
    assert_clean(redact.redact_url(f"{URL}?X-Amz-Security-Token={TOKEN}&X-Amz-Signature=00"), "redact_url")


# --- A whole upload with everything logged ------------------------------------------------------------------


@pytest.fixture
def everything_logged() -> Iterator[io.StringIO]:
    """Every logger there is at DEBUG, into one text."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s %(args)s"))
    root = logging.getLogger()
    known = [root, *(logging.getLogger(name) for name in sorted(logging.root.manager.loggerDict))]
    before = [(one, one.level, one.disabled) for one in known]
    for one in known:
        one.setLevel(logging.DEBUG)
        one.disabled = False
    root.addHandler(handler)
    yield text
    root.removeHandler(handler)
    for one, level, disabled in before:
        one.setLevel(level)
        one.disabled = disabled


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Any]:
    pytest.importorskip("pycurl", reason="uploads need pycurl: pip install 's3accel[transfer]'")
    pytest.importorskip("uvicorn", reason="the local endpoint needs pip install 's3accel[local]'")
    pytest.importorskip("cryptography", reason="the local endpoint needs pip install 's3accel[local]'")
    from s3accel.local import LocalServer

    with LocalServer(credentials={KEY_ID: Credentials(KEY_ID, SECRET, TOKEN)}) as server:
        server.create_bucket("canary-bucket")
        yield server


def client_for(endpoint: Any, known: Credentials, **options: Any) -> Any:
    from s3accel.transfer.client import Client

    return Client(
        region="us-east-1",
        credentials=known,
        connect_to=endpoint.connect_to(
            "canary-bucket.s3-accelerate.amazonaws.com", "canary-bucket.s3.us-east-1.amazonaws.com"
        ),
        ca_file=str(endpoint.ca_file),
        **options,
    )


@pytest.mark.parametrize("mode", ["signed-chunks", "signed", "unsigned-trailer", "unsigned"])
def test_upload_with_everything_logged(
    endpoint: Any,
    everything_logged: io.StringIO,
    capfd: pytest.CaptureFixture[str],
    mode: str,
    tmp_path: Path,
) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * 800)
    events: list[Any] = []
    with client_for(endpoint, credentials(), payload=mode) as client:
        logging.getLogger("s3accel").debug("the fixture hears this")
        result = client.upload(source, "canary-bucket", f"logged/{mode}", progress=events.append)
        assert_clean(repr(result), "UploadResult")
        assert_clean(repr(events), "progress events")
        assert_clean(repr(client) + str(client), "Client")
        assert_clean(repr(getattr(client, "__dict__", {})), "vars of Client")
        assert client.get("canary-bucket", f"logged/{mode}") == source.read_bytes()
    out, err = capfd.readouterr()
    logged = everything_logged.getvalue()
    assert "the fixture hears this" in logged
    assert_clean(logged, "the log")
    assert_clean(out, "standard output")
    assert_clean(err, "standard error")


@pytest.mark.parametrize("mode", ["signed-chunks", "signed", "unsigned"])
def test_failed_upload_with_everything_logged(
    endpoint: Any, everything_logged: io.StringIO, capfd: pytest.CaptureFixture[str], mode: str
) -> None:
    """The server refuses: the error, its causes and every frame of the product with its local variables."""
    wrong = Credentials(KEY_ID, SECRET[::-1], TOKEN)
    with client_for(endpoint, wrong, payload=mode) as client, pytest.raises(errors.S3AccelError) as caught:
        client.upload(b"x" * 100_000, "canary-bucket", f"refused/{mode}")
    secrets = (SECRET, SECRET[::-1], SECRET[:16], SECRET[-12:])
    pieces = (*FORBIDDEN, SECRET[::-1])
    error: BaseException | None = caught.value
    while error is not None:
        for text in (str(error), repr(error), repr(vars(error))):
            found = [piece for piece in pieces if piece in text]
            assert not found, f"{type(error).__name__} shows {found[0]!r}: {text[:400]}"
        # The frame that sends a request holds the headers that are sent, with the token; the secret that they
        # were made with is in no frame.
        steps = traceback.walk_tb(error.__traceback__)
        for frame in traceback.StackSummary.extract(steps, capture_locals=True):
            if PACKAGE in Path(frame.filename).parents:
                for variable, value in (frame.locals or {}).items():
                    assert not any(piece in value for piece in secrets), (
                        f"{variable} in {frame.name} ({frame.filename}:{frame.lineno}) holds the secret"
                    )
        error = error.__cause__ or error.__context__
    out, err = capfd.readouterr()
    for text in (everything_logged.getvalue(), out, err):
        assert not [piece for piece in pieces if piece in text]
