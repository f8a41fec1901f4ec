"""Published vectors: header signing, each stage by itself and then the Signer."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from s3accel import _core
from s3accel.credentials import Credentials
from s3accel.signer import Signer
from support import reference, vectors

DOC = vectors.load("s3-doc-examples")
EXTRA = vectors.load("signing-extra")
DOC_HEADER = [case for case in DOC["cases"] if case["kind"] == "header"]
EXTRA_HEADER = [case for case in EXTRA["signing_cases"] if case["kind"] == "header"]
RECOMMENDED = re.compile(r"host|content-type|content-md5|range|x-amz-.*")
# What the signer makes itself and takes from nobody.
OWN = {"x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "authorization"}


def check_stages(
    *,
    expected: dict[str, Any],
    method: str,
    target: str,
    headers: list[tuple[str, str]],
    payload: str,
    secret: str,
    timestamp: str,
    region: str,
    service: str,
    double_encode: bool,
    normalize: bool,
) -> None:
    names = expected["signed_headers"].split(";")
    canonical, signed = _core.canonical_request(
        method, target, headers, payload, double_encode, normalize, names
    )
    assert canonical.decode("utf-8") == expected["canonical_request"]
    assert signed == expected["signed_headers"]
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    text = _core.string_to_sign(timestamp, scope, canonical)
    assert text.decode() == expected["string_to_sign"]
    key = _core.SigningKey.derive(secret, timestamp[:8], region, service)
    assert key.sign(text) == expected["signature"]


def components(authorization: str) -> dict[str, str]:
    """Algorithm and components; a space after the commas does not matter (the documents have none)."""
    algorithm, _, rest = authorization.partition(" ")
    pairs = (part.strip().partition("=") for part in rest.split(","))
    return {"algorithm": algorithm, **{name: value for name, _, value in pairs}}


@pytest.mark.parametrize("case", DOC_HEADER, ids=lambda case: case["id"])
def test_doc_example_stages(case: dict[str, Any]) -> None:
    meta = DOC["meta"]
    check_stages(
        expected=case["expected"],
        method=case["input"]["method"],
        target=case["input"]["target"],
        headers=[(n, v) for n, v in case["input"]["headers"]],
        payload=case["expected"]["payload_hash"],
        secret=meta["credentials"]["secret_access_key"],
        timestamp=meta["timestamp"],
        region=meta["region"],
        service=meta["service"],
        double_encode=False,
        normalize=False,
    )


@pytest.mark.parametrize("case", DOC_HEADER, ids=lambda case: case["id"])
def test_doc_example_signer(case: dict[str, Any]) -> None:
    """The Signer gives the published signature, from the body itself and from its hash."""
    meta = DOC["meta"]
    signed = case["expected"]["signed_headers"].split(";")
    signer = Signer(
        Credentials(meta["credentials"]["access_key_id"], meta["credentials"]["secret_access_key"]),
        meta["region"],
        clock=lambda: reference.epoch(meta["timestamp"]),
        # One of the examples signs its Date header, which the Signer leaves alone unless told otherwise.
        sign_all_headers=not all(RECOMMENDED.fullmatch(name) for name in signed),
    )
    headers = {n: v for n, v in case["input"]["headers"] if n.lower() not in OWN}
    for payload in (case["input"]["body_utf8"].encode(), case["expected"]["payload_hash"]):
        added = signer.sign(case["input"]["method"], case["input"]["url"], headers, payload)
        assert components(added["Authorization"]) == components(case["expected"]["authorization"])
        assert added["X-Amz-Date"] == meta["timestamp"]
        assert added["X-Amz-Content-Sha256"] == case["expected"]["payload_hash"]


@pytest.mark.parametrize("case", EXTRA_HEADER, ids=lambda case: case["id"])
def test_extra_stages(case: dict[str, Any]) -> None:
    given = case["input"]
    headers = [(n, v) for n, v in given["headers"]] + [("X-Amz-Date", given["timestamp"])]
    if given["adds_x_amz_content_sha256"]:
        headers.append(("X-Amz-Content-Sha256", given["payload_hash"]))
    if given["session_token"]:
        headers.append((given["session_token_name"], given["session_token"]))
    parts = urlsplit(given["url"])
    check_stages(
        expected=case["expected"],
        method=given["method"],
        target=parts.path + (f"?{parts.query}" if parts.query else ""),
        headers=headers,
        payload=given["payload_hash"],
        secret=EXTRA["meta"]["credentials"]["secret_access_key"],
        timestamp=given["timestamp"],
        region=given["region"],
        service=given["service"],
        double_encode=given["double_encode_path"],
        normalize=given["normalize_path"],
    )


# CreateSession is signed for s3express with the token of IAM credentials; all other requests to that service use
# the session's token in another header, and that is what a Signer for s3express does.
SIGNER_CASES = [c for c in EXTRA_HEADER if c["id"] != "s3express-create-session"]


@pytest.mark.parametrize("case", SIGNER_CASES, ids=lambda case: case["id"])
def test_extra_signer(case: dict[str, Any]) -> None:
    given = case["input"]
    known = EXTRA["meta"]["credentials"]
    signer = Signer(
        Credentials(known["access_key_id"], known["secret_access_key"], given["session_token"]),
        given["region"],
        given["service"],
        clock=lambda: reference.epoch(given["timestamp"]),
    )
    added = signer.sign(given["method"], given["url"], given["headers"], given["payload_hash"])
    assert added["X-Amz-Date"] == given["timestamp"]
    if given["session_token"]:
        assert added[given["session_token_name"]] == given["session_token"]
    assert ("X-Amz-Content-Sha256" in added) == given["adds_x_amz_content_sha256"]
    assert components(added["Authorization"]) == components(case["expected"]["authorization"])


def third_party_cases(name: str, field: str) -> list[Any]:
    """Cases of a file that is not part of the project, or one that is skipped and says why."""
    found, reason = vectors.third_party(name)
    if found is None:
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="absent")]
    return [pytest.param(case, id=case["id"]) for case in found[field]]


@pytest.mark.parametrize("case", third_party_cases("aws-c-auth-v4", "cases"))
def test_aws_c_auth_header(case: dict[str, Any]) -> None:
    """The suite's targets hold raw UTF-8 and its headers folded lines: no HTTP message could carry them."""
    context = case["context"]
    headers = [(n, v) for n, v in case["input"]["headers"]]
    if not any(n.lower() == "x-amz-date" for n, _ in headers):
        headers.append(("X-Amz-Date", context["timestamp"]))
    if context["add_x_amz_content_sha256_header"]:
        headers.append(("x-amz-content-sha256", context["payload_hash"]))
    token_signed = context["session_token"] and not context["omit_session_token_from_signature"]
    if token_signed and not any(n.lower() == "x-amz-security-token" for n, _ in headers):
        headers.append(("X-Amz-Security-Token", context["session_token"]))
    check_stages(
        expected=case["header"],
        method=case["input"]["method"],
        target=case["input"]["target"],
        headers=headers,
        payload=context["payload_hash"],
        secret=context["secret_access_key"],
        timestamp=context["timestamp"],
        region=context["region"],
        service=context["service"],
        double_encode=context["encode_path"],
        normalize=context["normalize_path"],
    )


@pytest.mark.parametrize("case", third_party_cases("duplicate-query-keys", "duplicate_key_signing_cases"))
def test_duplicate_query_key(case: dict[str, Any]) -> None:
    lines = case["canonical_request"].split("\n")
    check_stages(
        expected={**case, "signed_headers": lines[-2]},
        method="GET",
        target=case["target"],
        headers=[("Host", "example.amazonaws.com"), ("X-Amz-Date", case["timestamp"])],
        payload=reference.EMPTY_SHA256,
        secret=case["secret_access_key"],
        timestamp=case["timestamp"],
        region=case["region"],
        service=case["service"],
        double_encode=True,
        normalize=True,
    )
