"""SigV4a requests end to end: headers, presigned URLs, signed chunks; and their corrupted twins."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from local_wire import Answer, Wire

from s3accel import Credentials
from s3accel.local import LocalServer
from s3accel.sigv4a import SignerV4a


@pytest.fixture
def signer(s3accel_server: LocalServer) -> SignerV4a:
    return SignerV4a(s3accel_server.credentials, "us-east-1,eu-*")


def send(
    wire: Wire,
    signer: SignerV4a,
    method: str,
    path: str,
    body: bytes = b"",
    change: Callable[[dict[str, str]], object] | None = None,
    sent: bytes | None = None,
) -> Answer:
    host = wire.server.address
    headers = {"x-amz-meta-a": "1"} if method == "PUT" else {}
    added = signer.sign(method, f"https://{host}{path}", headers, body)
    whole = {"Host": host, **headers, **added, "Content-Length": str(len(body))}
    if change is not None:
        change(whole)
    return wire.raw(method, path, whole, body if sent is None else sent)


def test_headers(wire: Wire, s3accel_bucket: str, signer: SignerV4a) -> None:
    path = f"/{s3accel_bucket}/a%20b/%C3%A4//c"
    assert send(wire, signer, "PUT", path, b"data").status == 200
    assert send(wire, signer, "GET", path).body == b"data"
    assert send(wire, signer, "GET", f"/{s3accel_bucket}?list-type=2&prefix=a%20b").status == 200
    assert send(wire, signer, "DELETE", path).status == 204


@pytest.mark.parametrize(
    ("regions", "status"),
    [("*", 200), ("us-*", 200), ("eu-west-1,us-east-1", 200), ("eu-west-1", 400), ("us-west-*", 400)],
)
def test_region_sets(wire: Wire, s3accel_bucket: str, regions: str, status: int) -> None:
    one = SignerV4a(wire.server.credentials, regions)
    answer = send(wire, one, "PUT", f"/{s3accel_bucket}/k", b"data")
    assert answer.status == status
    if status != 200:
        assert (answer.code, answer.error["Region"]) == ("AuthorizationHeaderMalformed", "us-east-1")
        assert wire.send("HEAD", f"/{s3accel_bucket}/k").status == 404


def _last_digit(headers: dict[str, str]) -> None:
    value = headers["Authorization"]
    headers["Authorization"] = value[:-1] + ("0" if value[-1] != "0" else "1")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        (_last_digit, 403, "SignatureDoesNotMatch"),
        (lambda h: h.update({"x-amz-meta-a": "2"}), 403, "SignatureDoesNotMatch"),
        (lambda h: h.update({"x-amz-meta-b": "2"}), 403, "AccessDenied"),
        (lambda h: h.update({"X-Amz-Region-Set": "*"}), 403, "SignatureDoesNotMatch"),
        (lambda h: h.pop("X-Amz-Region-Set"), 400, "AuthorizationHeaderMalformed"),
        (lambda h: h.update({"X-Amz-Content-Sha256": "0" * 64}), 403, "SignatureDoesNotMatch"),
        (lambda h: h.update({"X-Amz-Security-Token": "t"}), 400, "InvalidToken"),
    ],
)
def test_changed_headers(
    wire: Wire,
    s3accel_bucket: str,
    signer: SignerV4a,
    change: Callable[[dict[str, str]], object],
    status: int,
    code: str,
) -> None:
    path = f"/{s3accel_bucket}/k"
    answer = send(wire, signer, "PUT", path, b"data", change)
    assert (answer.status, answer.code) == (status, code)
    assert send(wire, signer, "PUT", path, b"data", sent=b"dat4").code == "XAmzContentSHA256Mismatch"
    assert wire.send("HEAD", path).status == 404
    assert send(wire, signer, "PUT", path, b"data").status == 200


def test_strangers_and_clocks(wire: Wire, s3accel_bucket: str) -> None:
    path = f"/{s3accel_bucket}/k"
    key_id, secret = wire.server.access_key_id, wire.server.secret_access_key
    wrong = SignerV4a(Credentials(key_id, "w" * 40), "*")
    assert send(wire, wrong, "GET", path).code == "SignatureDoesNotMatch"
    unknown = SignerV4a(Credentials("AKIAUNKNOWN", secret), "*")
    assert send(wire, unknown, "GET", path).code == "InvalidAccessKeyId"
    late = SignerV4a(wire.server.credentials, "*", clock=lambda: time.time() - 1200)
    assert send(wire, late, "GET", path).code == "RequestTimeTooSkewed"


def presigned(wire: Wire, url: str, method: str, body: bytes = b"") -> Answer:
    parts = urlsplit(url)
    headers = {"Host": parts.netloc, "Content-Length": str(len(body))}
    return wire.raw(method, f"{parts.path}?{parts.query}", headers, body)


def test_presigned(wire: Wire, s3accel_bucket: str, signer: SignerV4a) -> None:
    url = f"{wire.server.endpoint_url}/{s3accel_bucket}/k%20%2B"
    assert presigned(wire, signer.presign("PUT", url), "PUT", b"data").status == 200
    good = signer.presign("GET", url)
    assert presigned(wire, good, "GET").body == b"data"
    assert presigned(wire, good, "DELETE").code == "SignatureDoesNotMatch"
    assert presigned(wire, good.replace("k%20", "k%21"), "GET").code == "SignatureDoesNotMatch"
    assert presigned(wire, good + "&partNumber=1", "GET").code == "SignatureDoesNotMatch"
    assert presigned(wire, good.replace("%2Ceu-%2A", ""), "GET").code == "SignatureDoesNotMatch"
    longer = good.replace("X-Amz-Expires=3600", "X-Amz-Expires=3601")
    assert presigned(wire, longer, "GET").code == "SignatureDoesNotMatch"
    elsewhere = SignerV4a(wire.server.credentials, "eu-*").presign("GET", url)
    assert presigned(wire, elsewhere, "GET").code == "AuthorizationQueryParametersError"
    old = SignerV4a(wire.server.credentials, "*", clock=lambda: time.time() - 61).presign("GET", url, 60)
    assert (presigned(wire, old, "GET").error["Message"]) == "Request has expired"


def stream(
    wire: Wire, signer: SignerV4a, path: str, data: bytes, checksum: str | None, signed: bool = True
) -> tuple[dict[str, str], bytearray]:
    host = wire.server.address
    made = signer.stream(
        "PUT", f"https://{host}{path}", {}, len(data), chunk_size=8192, checksum=checksum, signed=signed
    )
    rest = memoryview(data)

    def readinto(slot: memoryview) -> int:
        nonlocal rest
        slot[:] = rest[: len(slot)]
        rest = rest[len(slot) :]
        return len(slot)

    body = bytearray(b"".join(made.frames(readinto)))
    return {"Host": host, **made.headers}, body


@pytest.mark.parametrize(
    ("checksum", "signed"), [(None, True), ("crc32c", True), ("sha1", True), ("crc32", False)]
)
def test_signed_chunks(
    wire: Wire, s3accel_bucket: str, signer: SignerV4a, checksum: str | None, signed: bool
) -> None:
    path, data = f"/{s3accel_bucket}/k", bytes(range(256)) * 120
    before = wire.server.stats.chunks_verified
    headers, body = stream(wire, signer, path, data, checksum, signed)
    answer = wire.raw("PUT", path, headers, bytes(body))
    assert answer.status == 200, answer.body
    assert wire.server.stats.chunks_verified - before == 4
    assert wire.send("GET", path).body == data


@pytest.mark.parametrize("place", ["data", "signature", "padding", "final signature", "trailer", "cut"])
def test_corrupted_chunks(wire: Wire, s3accel_bucket: str, signer: SignerV4a, place: str) -> None:
    path = f"/{s3accel_bucket}/k"
    headers, body = stream(wire, signer, path, bytes(20_000), "crc32")
    padded = False
    if place == "data":
        body[300] ^= 1
    elif place == "signature":
        at = body.index(b"=") + 20
        body[at] = ord("0") if body[at] != ord("0") else ord("1")
    elif place == "padding":
        at = body.index(b"\r\n") - 1
        padded = body[at] == ord("*")  # the longest signatures fill the field
        body[at] = ord("0") if body[at] != ord("0") else ord("1")
    elif place == "final signature":
        at = body.index(b"\r\n0;chunk-signature=") + 40
        body[at] = ord("0") if body[at] != ord("0") else ord("1")
    elif place == "trailer":
        at = body.index(b"x-amz-checksum-crc32:") + 22
        body[at] = ord("A") if body[at] != ord("A") else ord("B")
    else:
        del body[-200:]
        headers["Content-Length"] = str(len(body))
    answer = wire.raw("PUT", path, headers, bytes(body))
    if place == "cut" or (place == "padding" and padded):
        assert (answer.status, answer.code) == (400, "IncompleteBody")
    else:
        assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")
        assert answer.error["StringToSign"].startswith("AWS4-ECDSA-P256-SHA256-")
    assert wire.send("HEAD", path).status == 404
    assert list((wire.server.root / "temporary").iterdir()) == []


@pytest.fixture
def session() -> Iterator[tuple[LocalServer, Credentials]]:
    credentials = Credentials("ASIATEST", "secret", "token")
    with LocalServer(credentials={"ASIATEST": credentials}) as server:
        yield server, credentials


def test_session_tokens(session: tuple[LocalServer, Credentials]) -> None:
    server, credentials = session
    wire, signer = Wire(server), SignerV4a(credentials, "*")
    url = f"{server.endpoint_url}/bucket/k"
    assert send(wire, signer, "PUT", "/bucket/k", b"data").status == 200
    assert presigned(wire, signer.presign("GET", url), "GET").body == b"data"
    without = SignerV4a(Credentials("ASIATEST", "secret"), "*")
    assert send(wire, without, "GET", "/bucket/k").code == "InvalidToken"
    assert presigned(wire, without.presign("GET", url), "GET").code == "InvalidToken"


def test_without_cryptography() -> None:
    """An endpoint that cannot check SigV4a says so, and goes on with everything else."""
    code = """
import sys
from s3accel import Credentials
from s3accel.sigv4a import SignerV4a
who = Credentials("AKIATEST", "secret")
url = "http://127.0.0.1:1/bucket/k"
headers = SignerV4a(who, "*").sign("GET", url)
for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
    del sys.modules[name]
sys.modules["cryptography"] = None
import http.client
from s3accel.local import LocalServer
with LocalServer(credentials={"AKIATEST": "secret"}, tls=False) as server:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/bucket/k", headers={"Host": "127.0.0.1:1", **headers})
    answer = connection.getresponse()
    print(answer.status, answer.read().decode())
    connection.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.startswith("501 "), done.stdout + done.stderr
    assert "<Code>NotImplemented</Code>" in done.stdout
    assert (
        "pip install &#x27;s3accel[sigv4a]&#x27;" in done.stdout
        or "pip install 's3accel[sigv4a]'" in done.stdout
    )
