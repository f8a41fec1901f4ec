"""explain on real refusals: a proxy that really alters requests stands before the local endpoint."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from s3accel.credentials import Credentials
from s3accel.explain import SignedRequest, explain
from s3accel.signer import Signer
from support import reference
from support.altering import AlteringProxy, Message, send
from support.refused import checked

pytest.importorskip("uvicorn", reason="the local S3 endpoint needs pip install 's3accel[local]'")
pytest.importorskip("cryptography", reason="the local S3 endpoint needs pip install 's3accel[local]'")

from s3accel.local import LocalServer

HOST = "bucket.s3.amazonaws.com"
KEYS = Credentials("AKIAWIREEXPLAINTESTS", "wire/explain+secret/of/forty/characters/")
TEMPORARY = Credentials(
    "ASIAWIREEXPLAINTESTS", "another+secret/of/forty/characters/for/it", "session-token-" * 20
)
BODY = b"what was signed"
OWN = (("Content-Type", "text/plain"), ("x-amz-meta-words", "one,two"))

Change = Callable[[Message], None]


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    known = {KEYS.access_key_id: KEYS, TEMPORARY.access_key_id: TEMPORARY}
    with LocalServer(credentials=known, tls=False) as running:
        yield running


@dataclasses.dataclass
class Trip:
    """One signed request and what came back for it."""

    request: SignedRequest
    answer: bytes

    @property
    def status(self) -> int:
        return int(self.answer.split(b" ", 2)[1])

    @property
    def signature(self) -> str:
        return (self.request.header("authorization") or "").rpartition("Signature=")[2] or "no signature"


def travel(
    server: LocalServer,
    alter: Change,
    method: str = "PUT",
    target: str = "/a%20b/c%2Bd.txt",
    own: tuple[tuple[str, str], ...] = OWN,
    *,
    credentials: Credentials = KEYS,
    region: str = "us-east-1",
    clock: Callable[[], float] | None = None,
) -> Trip:
    """Sign with the product's signer, send through the proxy."""
    body = BODY if method == "PUT" else b""
    signer = Signer(credentials, region, clock=clock)
    added = signer.sign(method, f"http://{HOST}{target}", own, body)
    return deliver(server, alter, method, target, [("Host", HOST), *own, *added.items()], body)


def deliver(
    server: LocalServer, alter: Change, method: str, target: str, headers: list[tuple[str, str]], body: bytes
) -> Trip:
    with AlteringProxy(("127.0.0.1", server.port), alter) as proxy:
        answer = send(proxy.port, method, target, headers, body)
    return Trip(SignedRequest(method, f"http://{HOST}{target}", tuple(headers)), answer)


def leave(message: Message) -> None:
    """An honest proxy."""


def path(change: Callable[[str], str]) -> Change:
    return lambda message: message.target(change)


def test_an_honest_proxy_changes_nothing(server: LocalServer) -> None:
    assert travel(server, leave).status == 200


CHANGES: list[tuple[str, Change, dict[str, Any], str]] = [
    ("header-changed", lambda m: m.set("x-amz-meta-words", "three"), {}, "header-changed"),
    ("header-added", lambda m: m.add("x-amz-meta-words", "three"), {}, "header-added"),
    ("new-header", lambda m: m.add("x-amz-meta-via", "proxy"), {}, "header-added"),
    ("header-dropped", lambda m: m.drop("x-amz-meta-words"), {}, "header-dropped"),
    ("header-refolded", lambda m: m.set("x-amz-meta-words", "one, two"), {}, "header-refolded"),
    ("header-lower", lambda m: m.set("content-type", "TEXT/plain"), {}, "header-case"),
    ("type-dropped", lambda m: m.drop("content-type"), {}, "content-type-dropped"),
    ("host-with-port", lambda m: m.set("Host", f"{HOST}:443"), {}, "host-port"),
    ("other-host", lambda m: m.set("Host", "bucket.s3.us-east-1.amazonaws.com"), {}, "host-changed"),
    ("double-encoding", path(lambda t: t.replace("%", "%25")), {}, "path-double-encoding"),
    ("space-to-plus", path(lambda t: t.replace("%20", "+")), {}, "path-plus-or-space"),
    ("plus-to-space", path(lambda t: t.replace("%2B", "%20")), {}, "path-plus-or-space"),
    ("merged-slashes", path(lambda t: t.replace("//", "/")), {"target": "/a//b"}, "path-normalized"),
    ("resolved-dots", path(lambda _: "/a/c"), {"target": "/a/b/../c"}, "path-normalized"),
    ("lost-slash", path(lambda t: t.rstrip("/")), {"target": "/folder/"}, "path-normalized"),
    ("prefix", path(lambda t: f"/s3{t}"), {}, "path-prefix"),
    (
        "duplicate-query",
        path(lambda t: t.replace("&prefix=b", "")),
        {"method": "GET", "target": "/?list-type=2&prefix=a&prefix=b"},
        "query-duplicates",
    ),
    (
        "query-plus",
        path(lambda t: t.replace("%2B", "+")),
        {"method": "GET", "target": "/?list-type=2&prefix=a%2Bb"},
        "query-plus-or-space",
    ),
    (
        "query-added",
        path(lambda t: f"{t}&max-keys=5"),
        {"method": "GET", "target": "/?list-type=2"},
        "query-added",
    ),
    ("method", lambda m: m.method("GET"), {"method": "DELETE"}, "method-changed"),
    ("body", lambda m: m.replace_body(b"something else"), {}, "payload-changed"),
    ("payload-hash", lambda m: m.set("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), {}, "payload-hash"),
    ("token-dropped", lambda m: m.drop("x-amz-security-token"), {"credentials": TEMPORARY}, "token-foreign"),
    (
        "token-foreign",
        lambda m: m.set("x-amz-security-token", "foreign-token-" * 20),
        {"credentials": TEMPORARY},
        "token-foreign",
    ),
    ("authorization", lambda m: m.set("Authorization", "Basic dTpw"), {}, "authorization-replaced"),
    ("wrong-region", leave, {"region": "eu-west-1"}, "wrong-region"),
    ("clock-behind", leave, {"clock": lambda: time.time() - 3600}, "clock-skew"),
    ("clock-ahead", leave, {"clock": lambda: time.time() + 1200}, "clock-skew"),
    ("unknown-key", leave, {"credentials": Credentials("AKIANOBODY", "x" * 40)}, "unknown-access-key"),
]


@pytest.mark.parametrize(("alter", "how", "cause"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_altered(server: LocalServer, alter: Change, how: dict[str, Any], cause: str) -> None:
    trip = travel(server, alter, **how)
    assert trip.status in (400, 403), trip.answer
    keys = how.get("credentials", KEYS)
    for given in (None, keys):
        found = explain(trip.request, trip.answer, credentials=given)
        checked(
            found,
            cause,
            "certain",
            trip.signature,
            keys.secret_access_key,
            keys.session_token or TEMPORARY.session_token,
        )


def test_folding_a_header_is_no_cause(server: LocalServer) -> None:
    """White space inside a value is collapsed by both sides: this one must pass."""
    spaced = (("x-amz-meta-words", "one two"),)
    assert travel(server, lambda m: m.set("x-amz-meta-words", "one \t  two"), own=spaced).status == 200


def test_temporary_key_without_its_token(server: LocalServer) -> None:
    bare = Credentials(TEMPORARY.access_key_id, TEMPORARY.secret_access_key)
    trip = travel(server, leave, credentials=bare)
    assert trip.status == 400
    checked(
        explain(trip.request, trip.answer, credentials=TEMPORARY), "token-missing", "certain", trip.signature
    )


def test_wrong_secret(server: LocalServer) -> None:
    wrong = Credentials(KEYS.access_key_id, "not/the/secret/that/the/server/has/at/all")
    trip = travel(server, leave, credentials=wrong)
    assert trip.status == 403
    found = explain(trip.request, trip.answer, credentials=wrong)
    checked(found, "wrong-secret", "certain", trip.signature, wrong.secret_access_key)


def by_hand(
    secret: str = KEYS.secret_access_key, mistake: Callable[[str], str] = lambda c: c
) -> list[tuple[str, str]]:
    """Headers from a signer that takes any secret and makes a mistake."""
    who = reference.Identity(KEYS.access_key_id, secret, reference.timestamp_of(time.time()))
    payload = reference.EMPTY_SHA256
    headers = [("Host", HOST), *OWN, ("x-amz-date", who.timestamp), ("x-amz-content-sha256", payload)]
    canonical, names = reference.canonical_request("PUT", "/a%20b", headers, payload)
    signature = who.sign_text(reference.string_to_sign(who.timestamp, who.scope, mistake(canonical)))
    return [*headers, ("Authorization", who.authorization(names, signature))]


@pytest.mark.parametrize("white", ["\n", "\r\n", " ", "\t"], ids=["lf", "crlf", "space", "tab"])
def test_pasted_white_space(server: LocalServer, white: str) -> None:
    trip = deliver(server, leave, "PUT", "/a%20b", by_hand(KEYS.secret_access_key + white), b"")
    assert trip.status == 403
    found = explain(trip.request, trip.answer, credentials=KEYS)
    checked(found, "secret-white-space", "reproduced", trip.signature, KEYS.secret_access_key)
    # The proxy altered something besides: both are told.
    trip = deliver(
        server,
        lambda m: m.set("Host", f"{HOST}:443"),
        "PUT",
        "/a%20b",
        by_hand(KEYS.secret_access_key + white),
        b"",
    )
    found = explain(trip.request, trip.answer, credentials=KEYS)
    assert checked(found, "host-port", "certain", trip.signature).also == ("secret-white-space",)


@pytest.mark.parametrize(
    ("mistake", "cause"),
    [
        (lambda c: c.replace("%20", "%2520"), "path-double-encoding"),
        (lambda c: c.replace("%20", "+"), "path-plus-or-space"),
        (lambda c: c.replace(f"host:{HOST}", f"host:{HOST}:80"), "host-port"),
        (lambda c: c[: c.rindex("\n") + 1] + "UNSIGNED-PAYLOAD", "payload-hash"),
    ],
)
def test_mistake_of_a_signer(server: LocalServer, mistake: Callable[[str], str], cause: str) -> None:
    trip = deliver(server, leave, "PUT", "/a%20b", by_hand(mistake=mistake), b"")
    assert trip.status == 403
    checked(explain(trip.request, trip.answer, credentials=KEYS), cause, "reproduced", trip.signature)


def test_chunk_altered_in_a_stream(server: LocalServer) -> None:
    from support import streams

    stream = Signer(KEYS, "us-east-1").stream("PUT", f"http://{HOST}/k", None, 20_000, chunk_size=8192)
    headers = [("Host", HOST), *((n, v) for n, v in stream.headers.items() if n.lower() != "content-length")]

    def alter(message: Message) -> None:
        message.body = message.body[:200] + b"!" + message.body[201:]

    trip = deliver(server, alter, "PUT", "/k", headers, streams.drain(stream, bytes(20_000)))
    assert trip.status == 403
    checked(explain(trip.request, trip.answer), "chunk-signature", "certain", trip.signature)


def presigned(seconds_ago: float, expires: int) -> str:
    who = reference.Identity(
        KEYS.access_key_id, KEYS.secret_access_key, reference.timestamp_of(time.time() - seconds_ago)
    )
    target = (
        f"/a%20b?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={reference.encode(f'{who.access_key_id}/{who.scope}')}"
        f"&X-Amz-Date={who.timestamp}&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host"
    )
    canonical, _ = reference.canonical_request("GET", target, [("Host", HOST)], "UNSIGNED-PAYLOAD")
    return f"{target}&X-Amz-Signature={who.sign_text(reference.string_to_sign(who.timestamp, who.scope, canonical))}"


@pytest.mark.parametrize(
    ("alter", "seconds_ago", "cause"),
    [
        (path(lambda t: t.replace("/a%20b", "/a%2520b")), 0, "presigned-url-reencoded"),
        (path(lambda t: t.replace("&", "&amp;")), 0, "presigned-url-cut"),
        (lambda m: m.add("x-amz-meta-via", "proxy"), 0, "header-added"),
        (leave, 300, "presigned-expired"),
    ],
)
def test_presigned_url(server: LocalServer, alter: Change, seconds_ago: float, cause: str) -> None:
    target = presigned(seconds_ago, 60)
    trip = deliver(server, alter, "GET", target, [("Host", HOST)], b"")
    assert trip.status in (400, 403)
    found = explain(trip.request, trip.answer)
    confidence = "likely" if cause == "presigned-url-cut" else "certain"
    checked(found, cause, confidence, target.rpartition("=")[2])


def test_client_error_of_boto3(server: LocalServer) -> None:
    """An unmodified boto3 program: the request as botocore sent it, and the ClientError it raised."""
    boto3 = pytest.importorskip("boto3", reason="boto3 makes the request")
    config = pytest.importorskip("botocore.config")
    exceptions = pytest.importorskip("botocore.exceptions")
    sent: list[Any] = []

    def alter(message: Message) -> None:
        message.target(lambda t: t.replace("%20", "+"))

    with AlteringProxy(("127.0.0.1", server.port), alter) as proxy:
        client = boto3.client(
            "s3",
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{proxy.port}",
            aws_access_key_id=KEYS.access_key_id,
            aws_secret_access_key=KEYS.secret_access_key,
            config=config.Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )
        client.meta.events.register("before-send.s3", lambda request, **_: sent.append(request))
        with pytest.raises(exceptions.ClientError) as caught:
            client.put_object(Bucket="bucket", Key="a b", Body=BODY)
        client.close()
    found = explain(sent[0], caught.value, credentials=KEYS)
    checked(found, "path-plus-or-space", "certain", KEYS.secret_access_key)
