"""explain on refusals of servers nobody here wrote, with a proxy that really alters requests before them."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable

import pytest
from servers.names import ACCELERATED, BUCKET, REGION
from servers.process import RunningServer

from s3accel.credentials import Credentials
from s3accel.explain import SignedRequest, explain
from s3accel.signer import Signer
from support import reference
from support.altering import AlteringProxy, Message, send
from support.refused import checked

HOST = f"{BUCKET}.{ACCELERATED}"
OWN = [("Content-Type", "text/plain"), ("x-amz-meta-words", "one,two")]


def travel(
    server: RunningServer,
    alter: Callable[[Message], None],
    method: str,
    target: str,
    headers: list[tuple[str, str]],
) -> bytes:
    context = ssl.create_default_context(cafile=str(server.ca_file))
    with AlteringProxy(("127.0.0.1", server.port), alter, context, HOST) as proxy:
        return send(proxy.port, method, target, headers)


def signed(server: RunningServer, target: str, secret: str | None = None) -> list[tuple[str, str]]:
    config = server.config
    signer = Signer(Credentials(config.access_key_id, secret or config.secret_access_key), REGION)
    return [("Host", HOST), *OWN, *signer.sign("PUT", f"https://{HOST}{target}", OWN, b"").items()]


CHANGES: list[tuple[str, str, Callable[[Message], None]]] = [
    ("header-changed", "/a%20b", lambda m: m.set("x-amz-meta-words", "three")),
    ("header-added", "/a%20b", lambda m: m.add("x-amz-meta-words", "three")),
    ("header-refolded", "/a%20b", lambda m: m.set("x-amz-meta-words", "one, two")),
    ("host-port", "/a%20b", lambda m: m.set("Host", f"{HOST}:443")),
    ("path-double-encoding", "/a%20b", lambda m: m.target(lambda t: t.replace("%", "%25"))),
    ("path-normalized", "/a//b", lambda m: m.target(lambda t: t.replace("//", "/"))),
]


@pytest.mark.parametrize(("cause", "target", "alter"), CHANGES, ids=[c[0] for c in CHANGES])
def test_altered_on_the_way(
    server: RunningServer, cause: str, target: str, alter: Callable[[Message], None]
) -> None:
    headers = signed(server, target)
    answer = travel(server, alter, "PUT", target, headers)
    assert answer.startswith(b"HTTP/1.1 403"), answer
    signature = dict(headers)["Authorization"]
    request = SignedRequest("PUT", f"https://{HOST}{target}", tuple(headers))
    for keys in (None, (server.config.access_key_id, server.config.secret_access_key)):
        found = explain(request, answer, credentials=keys)
        checked(found, cause, "certain", signature.rpartition("=")[2], server.config.secret_access_key)


def test_dropped_header(server: RunningServer) -> None:
    """Swift says nothing at all then: what is left is that the request was good when it was sent."""
    headers = signed(server, "/k")
    answer = travel(server, lambda m: m.drop("x-amz-meta-words"), "PUT", "/k", headers)
    assert answer.startswith(b"HTTP/1.1 403"), answer
    keys = (server.config.access_key_id, server.config.secret_access_key)
    found = explain(SignedRequest("PUT", f"https://{HOST}/k", tuple(headers)), answer, credentials=keys)
    if server.name == "swift":
        checked(found, "changed-on-the-way", "likely")
    else:
        checked(found, "header-dropped", "certain")


def test_wrong_secret(server: RunningServer) -> None:
    wrong = "not/the/secret/of/the/server"
    headers = signed(server, "/k", wrong)
    answer = travel(server, lambda message: None, "PUT", "/k", headers)
    request = SignedRequest("PUT", f"https://{HOST}/k", tuple(headers))
    found = explain(request, answer, credentials=(server.config.access_key_id, wrong))
    checked(found, "wrong-secret", "certain", wrong)


def by_hand(server: RunningServer, secret: str, mistake: Callable[[str], str]) -> list[tuple[str, str]]:
    who = reference.Identity(server.config.access_key_id, secret, reference.timestamp_of(time.time()), REGION)
    headers = [
        ("Host", HOST),
        *OWN,
        ("x-amz-date", who.timestamp),
        ("x-amz-content-sha256", reference.EMPTY_SHA256),
    ]
    canonical, names = reference.canonical_request("PUT", "/a%20b", headers, reference.EMPTY_SHA256)
    signature = who.sign_text(reference.string_to_sign(who.timestamp, who.scope, mistake(canonical)))
    return [*headers, ("Authorization", who.authorization(names, signature))]


@pytest.mark.parametrize(
    ("cause", "white", "mistake"),
    [
        ("secret-white-space", "\n", lambda c: c),
        ("path-double-encoding", "", lambda c: c.replace("%20", "%2520")),
        ("host-port", "", lambda c: c.replace(f"host:{HOST}", f"host:{HOST}:443")),
    ],
)
def test_mistake_is_reproduced(
    server: RunningServer, cause: str, white: str, mistake: Callable[[str], str]
) -> None:
    """With or without the server's canonical request: a known mistake gives the signature exactly."""
    secret = server.config.secret_access_key
    headers = by_hand(server, secret + white, mistake)
    answer = travel(server, lambda message: None, "PUT", "/a%20b", headers)
    assert answer.startswith(b"HTTP/1.1 403"), answer
    request = SignedRequest("PUT", f"https://{HOST}/a%20b", tuple(headers))
    found = explain(request, answer, credentials=(server.config.access_key_id, secret))
    checked(found, cause, "reproduced", secret, headers[-1][1].rpartition("=")[2])


@pytest.mark.parametrize(
    ("cause", "mistake"),
    [
        ("path-double-encoding", lambda c: c.replace("%20", "%2520")),
        ("payload-hash", lambda c: c.replace("UNSIGNED-PAYLOAD", reference.EMPTY_SHA256)),
        ("method-changed", lambda c: c.replace("GET", "PUT", 1)),
    ],
)
def test_mistake_in_a_presigned_url(server: RunningServer, cause: str, mistake: Callable[[str], str]) -> None:
    """MiniStack shows no canonical request for a URL."""
    config = server.config
    who = reference.Identity(
        config.access_key_id, config.secret_access_key, reference.timestamp_of(time.time()), REGION
    )
    target = (
        f"/a%20b?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={reference.encode(f'{who.access_key_id}/{who.scope}')}"
        f"&X-Amz-Date={who.timestamp}&X-Amz-Expires=300&X-Amz-SignedHeaders=host"
    )
    canonical, _ = reference.canonical_request("GET", target, [("Host", HOST)], "UNSIGNED-PAYLOAD")
    signature = who.sign_text(reference.string_to_sign(who.timestamp, who.scope, mistake(canonical)))
    target += f"&X-Amz-Signature={signature}"
    answer = travel(server, lambda message: None, "GET", target, [("Host", HOST)])
    assert answer.startswith(b"HTTP/1.1 403"), answer
    assert (b"<CanonicalRequest>" in answer) == (server.name == "swift")
    request = SignedRequest("GET", f"https://{HOST}{target}")
    found = explain(request, answer, credentials=(config.access_key_id, config.secret_access_key))
    checked(found, cause, "reproduced", config.secret_access_key, signature)
