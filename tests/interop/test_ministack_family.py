"""The forms that only MiniStack checks: SigV4a, browser forms and sessions of its own STS. Each with twins.

Every request is right once and is then spoiled in one place, so that a refusal has one reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from rawhttp import Answer, send
from servers.names import ACCELERATED, BUCKET, REGION
from servers.process import RunningServer

from s3accel.credentials import Credentials
from s3accel.postpolicy import PostPolicy, sign_post
from s3accel.signer import Signer

HOST = f"{BUCKET}.{ACCELERATED}"
BASE = f"https://{HOST}"
BODY = b"forty-two bytes of a body, and some of them"


# Swift checks none of these forms, so it is not started for them.
pytestmark = pytest.mark.parametrize("server", ["ministack"], indirect=True, scope="session")


@pytest.fixture(autouse=True)
def _bucket(boto_client: Any) -> None:
    """boto_client makes the bucket."""


def known(server: RunningServer, secret: str | None = None) -> Credentials:
    config = server.config
    return Credentials(config.access_key_id, secret or config.secret_access_key)


@pytest.fixture(scope="module")
def session(server: RunningServer) -> Credentials:
    """Credentials of a session that the server's own STS made."""
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


def stored(boto_client: Any, key: str) -> bytes | None:
    listed = boto_client.list_objects_v2(Bucket=BUCKET, Prefix=key).get("Contents", ())
    if all(item["Key"] != key for item in listed):
        return None
    body: bytes = boto_client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return body


def put(server: RunningServer, signer: Any, key: str, spoil: Callable[[dict[str, str]], None]) -> Answer:
    headers = {"x-amz-meta-a": "b"}
    headers.update(signer.sign("PUT", f"{BASE}/{key}", headers, BODY))
    headers["Content-Length"] = str(len(BODY))
    spoil(headers)
    return send(server, "PUT", HOST, f"/{key}", headers.items(), BODY)


def flip(text: str, at: int = -1) -> str:
    digits = list(text)
    digits[at] = "0" if digits[at] != "0" else "1"
    return "".join(digits)


def leave(headers: dict[str, str]) -> None:
    """Right as it is."""


def flip_signature(headers: dict[str, str]) -> None:
    headers["Authorization"] = flip(headers["Authorization"])


def change_header(headers: dict[str, str]) -> None:
    headers["x-amz-meta-a"] = "c"


def change_region_set(headers: dict[str, str]) -> None:
    headers["X-Amz-Region-Set"] = "us-east-1"


def change_token(headers: dict[str, str]) -> None:
    headers["X-Amz-Security-Token"] = flip(headers["X-Amz-Security-Token"], 5)


# --- SigV4a -------------------------------------------------------------------------------------------------


def asymmetric(credentials: Credentials, region_set: str = "*") -> Any:
    pytest.importorskip("cryptography", reason="SigV4a needs the cryptography package")
    from s3accel.sigv4a import SignerV4a

    return SignerV4a(credentials, region_set)


@pytest.mark.parametrize("region_set", ["*", REGION, f"eu-west-1,{REGION}", "us-*"])
def test_sigv4a_header_is_taken(server: RunningServer, boto_client: Any, region_set: str) -> None:
    key = f"v4a/taken-{len(region_set)}"
    answer = put(server, asymmetric(known(server), region_set), key, leave)
    assert answer.status == 200, answer.body
    assert stored(boto_client, key) == BODY


@pytest.mark.parametrize("spoil", [flip_signature, change_header, change_region_set])
def test_sigv4a_twin_is_refused(server: RunningServer, boto_client: Any, spoil: Any) -> None:
    answer = put(server, asymmetric(known(server)), "v4a/spoiled", spoil)
    assert answer.status == 403, answer.body
    assert stored(boto_client, "v4a/spoiled") is None


def test_sigv4a_wrong_secret_is_refused(server: RunningServer, boto_client: Any) -> None:
    answer = put(server, asymmetric(known(server, "x" * 40)), "v4a/wrong", leave)
    assert answer.status == 403, answer.body
    assert stored(boto_client, "v4a/wrong") is None


def test_sigv4a_presigned(server: RunningServer, boto_client: Any) -> None:
    signer = asymmetric(known(server))
    length = [("Content-Length", str(len(BODY)))]
    key = "v4a/pre%20signed"
    target = signer.presign("PUT", f"{BASE}/{key}", 60).removeprefix(BASE)
    twins = (
        flip(target),
        target.replace("X-Amz-Expires=60", "X-Amz-Expires=61"),
        target.replace("pre%20signed", "other"),
        target.replace("Region-Set=%2A", "Region-Set=us-%2A"),
        target + "&x=y",
    )
    for twin in twins:
        assert twin != target
        answer = send(server, "PUT", HOST, twin, length, BODY)
        assert answer.status == 403, (twin, answer.body)
    assert stored(boto_client, "v4a/pre signed") is None
    answer = send(server, "PUT", HOST, target, length, BODY)
    assert answer.status == 200, answer.body
    got = send(server, "GET", HOST, signer.presign("GET", f"{BASE}/{key}").removeprefix(BASE), [], b"")
    assert (got.status, got.body) == (200, BODY)


# --- sessions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hmac", "sigv4a"])
def test_session_is_taken(server: RunningServer, boto_client: Any, session: Credentials, kind: str) -> None:
    signer = Signer(session, REGION) if kind == "hmac" else asymmetric(session)
    key = f"session/{kind}"
    answer = put(server, signer, key, leave)
    assert answer.status == 200, answer.body
    assert stored(boto_client, key) == BODY
    got = send(server, "GET", HOST, signer.presign("GET", f"{BASE}/{key}", 60).removeprefix(BASE), [], b"")
    assert (got.status, got.body) == (200, BODY)


@pytest.mark.parametrize("kind", ["hmac", "sigv4a"])
@pytest.mark.parametrize("spoil", [flip_signature, change_token])
def test_session_twin_is_refused(
    server: RunningServer, boto_client: Any, session: Credentials, kind: str, spoil: Any
) -> None:
    signer = Signer(session, REGION) if kind == "hmac" else asymmetric(session)
    answer = put(server, signer, "session/spoiled", spoil)
    assert 400 <= answer.status < 500, answer.body
    assert stored(boto_client, "session/spoiled") is None


def test_session_without_its_token_is_refused(server: RunningServer, session: Credentials) -> None:
    bare = Credentials(session.access_key_id, session.secret_access_key)
    answer = put(server, Signer(bare, REGION), "session/bare", leave)
    assert 400 <= answer.status < 500, answer.body


# --- browser forms ------------------------------------------------------------------------------------------

BOUNDARY = "----s3accel-form"


def post(server: RunningServer, fields: dict[str, str], body: bytes = BODY, name: str = "a.txt") -> Answer:
    """What a browser sends for the form."""
    parts = b"".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
        for field, value in fields.items()
    )
    parts += (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: text/plain\r\n\r\n"
    ).encode()
    whole = parts + body + f"\r\n--{BOUNDARY}--\r\n".encode()
    headers = [
        ("Content-Type", f"multipart/form-data; boundary={BOUNDARY}"),
        ("Content-Length", str(len(whole))),
    ]
    return send(server, "POST", HOST, "/", headers, whole)


def form(server: RunningServer, key: str, **options: Any) -> dict[str, str]:
    return sign_post(known(server), REGION, BUCKET, key, **options)


def test_form_is_taken(server: RunningServer, boto_client: Any) -> None:
    fields = form(
        server,
        "form/${filename}",
        conditions=[["starts-with", "$Content-Type", "text/"]],
        fields={"Content-Type": "text/plain", "success_action_status": "201", "x-amz-meta-a": "é b"},
        content_length_range=(1, 100),
    )
    answer = post(server, fields)
    assert answer.status == 201, answer.body
    assert stored(boto_client, "form/a.txt") == BODY


@pytest.mark.parametrize("with_token", [False, True], ids=["key", "session"])
def test_form_of_a_policy(
    server: RunningServer, boto_client: Any, session: Credentials, with_token: bool
) -> None:
    key = f"form/policy-{with_token}"
    signer = Signer(session if with_token else known(server), REGION)
    fields = PostPolicy(BUCKET, key).size(0, 100).sign(signer)
    answer = post(server, fields)
    assert answer.status in (200, 204), answer.body
    assert stored(boto_client, key) == BODY
    if with_token:
        token = flip(fields["x-amz-security-token"], 5)
        assert 400 <= post(server, {**fields, "x-amz-security-token": token}).status < 500


SPOILED: list[tuple[str, Callable[[dict[str, str]], dict[str, str]], bytes, int]] = [
    ("signature", lambda f: {**f, "x-amz-signature": flip(f["x-amz-signature"])}, BODY, 403),
    ("policy", lambda f: {**f, "policy": f["policy"][:40] + "A" + f["policy"][41:]}, BODY, 403),
    ("key", lambda f: {**f, "key": "elsewhere"}, BODY, 403),
    ("field-value", lambda f: {**f, "x-amz-meta-a": "c"}, BODY, 403),
    ("uncovered-field", lambda f: {**f, "x-amz-meta-b": "c"}, BODY, 403),
    ("too-large", lambda f: f, BODY * 3, 400),
    ("too-small", lambda f: f, b"", 400),
]


@pytest.mark.parametrize(("change", "body", "status"), [c[1:] for c in SPOILED], ids=[c[0] for c in SPOILED])
def test_spoiled_form_is_refused(
    server: RunningServer, boto_client: Any, change: Any, body: bytes, status: int
) -> None:
    fields = form(server, "form/spoiled", fields={"x-amz-meta-a": "b"}, content_length_range=(1, 100))
    answer = post(server, change(fields), body)
    assert answer.status == status, answer.body
    assert stored(boto_client, "form/spoiled") is None
    assert stored(boto_client, "elsewhere") is None


def test_expired_form_is_refused(server: RunningServer, boto_client: Any) -> None:
    fields = form(server, "form/expired", expires=60, clock=lambda: time.time() - 61)
    answer = post(server, fields)
    assert answer.status == 403, answer.body
    assert stored(boto_client, "form/expired") is None


def test_form_of_a_wrong_secret_is_refused(server: RunningServer) -> None:
    answer = post(server, sign_post(known(server, "x" * 40), REGION, BUCKET, "form/wrong"))
    assert answer.status == 403, answer.body
