"""Presigned URLs, used by a plain HTTP client without any key, and spoiled in one place each.

Every URL is right once; each twin differs from it in one thing, so that a refusal has one reason.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import pytest
from rawhttp import Answer, send
from servers.names import ACCELERATED, BUCKET, REGION, REGIONAL
from servers.process import RunningServer

from s3accel.credentials import Credentials
from s3accel.signer import Signer

HOST = f"{BUCKET}.{ACCELERATED}"
BASE = f"https://{HOST}/"
BODY = b"what a browser sends with nothing but the URL"
METHODS = ("GET", "HEAD", "PUT", "DELETE")
HEADERS = {"Content-Type": "text/plain", "x-amz-meta-words": "one  two"}


@pytest.fixture(autouse=True)
def _bucket(boto_client: Any) -> None:
    """boto_client makes the bucket."""


def known(server: RunningServer, secret: str | None = None) -> Credentials:
    config = server.config
    return Credentials(config.access_key_id, secret or config.secret_access_key)


def signer_for(server: RunningServer, **options: Any) -> Signer:
    return Signer(known(server), REGION, **options)


@pytest.fixture(scope="module")
def session(server: RunningServer) -> Credentials:
    """Credentials of a session that the server's own STS made."""
    if server.name != "ministack":
        pytest.skip(f"{server.name} has no STS")
    boto3 = pytest.importorskip("boto3", reason="boto3 asks STS for a session")
    client = boto3.client(
        "sts",
        endpoint_url=server.endpoint_url,
        region_name=REGION,
        aws_access_key_id=server.config.access_key_id,
        aws_secret_access_key=server.config.secret_access_key,
        verify=str(server.ca_file),
    )
    made = client.get_session_token(DurationSeconds=900)["Credentials"]
    client.close()
    return Credentials(
        made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"], made["Expiration"].timestamp()
    )


def use(
    server: RunningServer, method: str, url: str, headers: Iterable[tuple[str, str]] = (), body: bytes = BODY
) -> Answer:
    """Exactly what stands in the URL, to its host."""
    parts = urlsplit(url)
    host = parts.netloc
    target = url.removeprefix(f"{parts.scheme}://{host}")
    sent = list(headers)
    if method == "PUT":
        sent.append(("Content-Length", str(len(body))))
    return send(server, method, host, target, sent, body if method == "PUT" else b"")


def stored(boto_client: Any, key: str) -> bytes | None:
    listed = boto_client.list_objects_v2(Bucket=BUCKET, Prefix=key).get("Contents", ())
    if all(item["Key"] != key for item in listed):
        return None
    body: bytes = boto_client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return body


def flip(text: str, at: int = -1) -> str:
    digits = list(text)
    digits[at] = "0" if digits[at] != "0" else "1"
    return "".join(digits)


def prepare(boto_client: Any, method: str, key: str) -> bytes | None:
    """The object as the method wants to find it: absent for PUT, there for the others."""
    if method == "PUT":
        boto_client.delete_object(Bucket=BUCKET, Key=key)
        return None
    boto_client.put_object(Bucket=BUCKET, Key=key, Body=BODY)
    return BODY


def check_taken(
    server: RunningServer, boto_client: Any, method: str, key: str, url: str, headers: Any = ()
) -> Answer:
    """The answer of a right URL, and what it did to the object."""
    answer = use(server, method, url, headers)
    assert answer.status in (200, 204), answer.body
    if method == "GET":
        assert answer.body == BODY
    elif method == "HEAD":
        assert answer.headers["content-length"] == str(len(BODY))
    else:
        assert stored(boto_client, key) == (BODY if method == "PUT" else None)
    return answer


def check_refused(server: RunningServer, method: str, url: str, headers: Any = ()) -> None:
    answer = use(server, method, url, headers)
    assert answer.status in (400, 401, 403), (method, url, answer.status, answer.body)
    assert BODY not in answer.body


# --- each method, right and spoiled -------------------------------------------------------------------------


def twins(method: str, url: str) -> dict[str, tuple[str, str]]:
    """Requests that differ from the right one in one thing: name -> method and URL."""
    other = {"GET": "DELETE", "HEAD": "DELETE", "PUT": "GET", "DELETE": "GET"}[method]
    return {
        "signature-first": (method, flip(url, url.index("X-Amz-Signature=") + 16)),
        "signature-last": (method, flip(url)),
        "no-signature": (method, url.partition("&X-Amz-Signature=")[0]),
        "method": (other, url),
        "key": (method, url.replace("/right%20", "/other%20")),
        "expires-raised": (method, url.replace("X-Amz-Expires=60", "X-Amz-Expires=600")),
        "date": (method, url.replace("X-Amz-Date=20", "X-Amz-Date=19")),
        "parameter-added": (method, url.replace("&X-Amz-Date", "&versions=y&X-Amz-Date")),
        "access-key": (method, url.replace("Credential=A", "Credential=B")),
        "signed-header-added": (method, url.replace("SignedHeaders=", "SignedHeaders=date%3B")),
    }


@pytest.mark.parametrize(
    ("method", "domain"), [*((method, ACCELERATED) for method in METHODS), ("PUT", REGIONAL)]
)
def test_each_method(server: RunningServer, boto_client: Any, method: str, domain: str) -> None:
    key = f"presigned/right {method}+é"
    before = prepare(boto_client, method, key)
    (url,) = signer_for(server).presign_many(method, f"https://{BUCKET}.{domain}/", [key], 60)
    for name, (how, twin) in twins(method, url).items():
        assert (how, twin) != (method, url), name
        check_refused(server, how, twin)
    assert stored(boto_client, key) == before
    check_taken(server, boto_client, method, key, url)


@pytest.mark.parametrize("method", METHODS)
def test_expired(server: RunningServer, boto_client: Any, method: str) -> None:
    """One that ran out two seconds ago, and its like that has a minute left."""
    key = f"presigned/expired-{method}"
    before = prepare(boto_client, method, key)
    past = signer_for(server, clock=lambda: time.time() - 62)
    check_refused(server, method, past.presign(method, BASE + key, 60))
    assert stored(boto_client, key) == before
    check_taken(server, boto_client, method, key, past.presign(method, BASE + key, 122))


@pytest.mark.parametrize("method", METHODS)
def test_wrong_secret(server: RunningServer, boto_client: Any, method: str) -> None:
    key = f"presigned/secret-{method}"
    before = prepare(boto_client, method, key)
    wrong = Signer(known(server, "x" * 40), REGION)
    check_refused(server, method, wrong.presign(method, BASE + key, 60))
    assert stored(boto_client, key) == before


def test_url_of_another_host(server: RunningServer, boto_client: Any) -> None:
    """The host is signed: a URL for the accelerated host is no good at the regional one."""
    prepare(boto_client, "GET", "presigned/host")
    url = signer_for(server).presign("GET", BASE + "presigned/host", 60)
    check_refused(server, "GET", url.replace(ACCELERATED, REGIONAL))
    check_taken(server, boto_client, "GET", "presigned/host", url)


# --- signed headers, what S3 answers with, the process's other signers ----------------------------------------


@pytest.mark.parametrize("many", [False, True], ids=["presign", "presign_many"])
def test_signed_headers(server: RunningServer, boto_client: Any, many: bool) -> None:
    """Whoever uses the URL must send the headers it was signed with; white space is folded."""
    key = f"presigned/headers-{many}"
    prepare(boto_client, "PUT", key)
    signer = signer_for(server)
    if many:
        (url,) = signer.presign_many("PUT", BASE, [(key, {"headers": HEADERS})], 60)
    else:
        url = signer.presign("PUT", BASE + key, 60, HEADERS)
    assert "X-Amz-SignedHeaders=content-type%3Bhost%3Bx-amz-meta-words&" in url
    right = list(HEADERS.items())
    for spoiled in (
        [],
        right[:1],
        right[1:],
        [right[0], ("x-amz-meta-words", "one twofold")],
        [("Content-Type", "text/html"), right[1]],
        [*right, ("x-amz-meta-words", "three")],
    ):
        check_refused(server, "PUT", url, spoiled)
    assert stored(boto_client, key) is None
    check_taken(server, boto_client, "PUT", key, url, right)
    found = boto_client.head_object(Bucket=BUCKET, Key=key)
    assert found["ContentType"] == "text/plain"
    assert found["Metadata"]["words"].split() == ["one", "two"]


def test_response_headers(server: RunningServer, boto_client: Any) -> None:
    """The query that names the download; changed or taken away, the signature no longer fits."""
    key = "presigned/disposition"
    prepare(boto_client, "GET", key)
    wanted = 'attachment; filename="a b+c%3B.txt"'
    signer = signer_for(server)
    wishes = {"response-content-disposition": wanted, "response-content-type": "text/x-interop"}
    (url,) = signer.presign_many("GET", BASE, [(key, {"query": wishes})], 60)
    check_refused(server, "GET", url.replace("attachment", "inline"))
    first = url.index("&response-content-type=")
    check_refused(server, "GET", url[:first] + url[url.index("&X-Amz-Signature", first) :])
    answer = check_taken(server, boto_client, "GET", key, url)
    assert answer.headers["content-disposition"] == wanted
    assert answer.headers["content-type"].startswith("text/x-interop")


KEYS = (
    "a b+c~d/é//./..%2F",
    "/lead",
    "trail/",
    "pct%20x",
    "tab\there",
    "!*'();:@&=$,?#[]\"<>\\|\\^{}`",
    "e\u0301-日本語-😀",
    "key?partNumber=1&uploadId=x",
    "k" * 700,
)


def test_batch_of_strange_keys(server: RunningServer, boto_client: Any) -> None:
    """One batch to put, one to get, one to delete; the same URLs one for another key are refused."""
    signer = signer_for(server)
    keys = [f"batch/{key}" for key in KEYS]
    batches = {method: signer.presign_many(method, BASE, keys, 60) for method in ("PUT", "GET", "DELETE")}
    for i, url in enumerate(batches["PUT"]):
        other = batches["PUT"][i - 1]
        check_refused(
            server, "PUT", url[: url.index("X-Amz-Signature=")] + other[other.index("X-Amz-Signature=") :]
        )
    assert boto_client.list_objects_v2(Bucket=BUCKET, Prefix="batch/")["KeyCount"] == 0
    for key, url in zip(keys, batches["PUT"], strict=True):
        check_taken(server, boto_client, "PUT", key, url)
    for method in ("GET", "DELETE"):
        for key, url in zip(keys, batches[method], strict=True):
            check_taken(server, boto_client, method, key, url)


def test_key_of_the_day(server: RunningServer, boto_client: Any) -> None:
    """A signer that was given the exported key and never the secret, for URLs and for headers."""
    key = signer_for(server).signing_key()
    restored = type(key).restore(key.export(), key.date, key.region, key.service)
    signer = Signer.from_key(restored, server.config.access_key_id)
    url = signer.presign("PUT", BASE + "presigned/from-key", 60)
    check_refused(server, "PUT", flip(url))
    check_taken(server, boto_client, "PUT", "presigned/from-key", url)
    target = "/presigned/from-key"
    answer = send(server, "GET", HOST, target, signer.sign("GET", f"https://{HOST}{target}").items(), b"")
    assert (answer.status, answer.body) == (200, BODY)
    foreign = type(key).restore(bytes(32), key.date, key.region, key.service)
    wrong = Signer.from_key(foreign, server.config.access_key_id)
    check_refused(server, "GET", wrong.presign("GET", BASE + "presigned/from-key", 60))


def test_batch_of_signed_headers(server: RunningServer, boto_client: Any) -> None:
    """`sign_many`: each set of headers fits its own request and no other."""
    names = [f"many/{i}" for i in range(5)]
    bodies = [name.encode() * 10 for name in names]
    requests = [("PUT", BASE + n, HEADERS, body) for n, body in zip(names, bodies, strict=True)]
    signed = signer_for(server).sign_many(requests)
    for i, (name, body) in enumerate(zip(names, bodies, strict=True)):
        sent = [*HEADERS.items(), ("Content-Length", str(len(body)))]
        answer = send(server, "PUT", HOST, f"/{name}", [*signed[i - 1].items(), *sent], body)
        assert answer.status in (400, 403), answer.body
        assert stored(boto_client, name) is None
        answer = send(server, "PUT", HOST, f"/{name}", [*signed[i].items(), *sent], body)
        assert answer.status == 200, answer.body
        assert stored(boto_client, name) == body


# --- sessions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["ministack"], indirect=True, scope="session")
@pytest.mark.parametrize("method", METHODS)
def test_session(server: RunningServer, boto_client: Any, session: Credentials, method: str) -> None:
    """Credentials of an STS session: the token stands in the URL, signed."""
    key = f"presigned/right session-{method}"
    before = prepare(boto_client, method, key)
    (url,) = Signer(session, REGION).presign_many(method, BASE, [key], 60)
    spoiled = dict(twins(method, url))
    token = url.index("X-Amz-Security-Token=")
    end = url.index("&", token)
    spoiled["token-changed"] = (method, flip(url, token + 30))
    spoiled["token-dropped"] = (method, url[: token - 1] + url[end:])
    bare = Credentials(session.access_key_id, session.secret_access_key)
    spoiled["token-never-there"] = (method, Signer(bare, REGION).presign(method, url.partition("?")[0], 60))
    for name, (how, twin) in spoiled.items():
        assert (how, twin) != (method, url), name
        check_refused(server, how, twin)
    assert stored(boto_client, key) == before
    check_taken(server, boto_client, method, key, url)
