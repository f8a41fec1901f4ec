"""Our canonical request, string to sign and signature against botocore and awscrt, over generated requests.

The generator (``support/strategies.py``) says what is left out and why. Differences that remain and are
right are named below where they are taken into account.
"""

from __future__ import annotations

import hashlib
import importlib.util
from typing import Any

import pytest
from hypothesis import assume, given

from s3accel import _core
from s3accel.credentials import Credentials
from s3accel.signer import Signer
from support import reference, rivals, strategies
from support.strategies import Case

pytestmark = pytest.mark.differential
needs_botocore = pytest.mark.skipif(
    importlib.util.find_spec("botocore") is None, reason="botocore, the witness, is not installed"
)
needs_awscrt = pytest.mark.skipif(
    importlib.util.find_spec("awscrt") is None, reason="awscrt, the witness, is not installed"
)
WITNESSED = strategies.RECOMMENDED_NAMES + strategies.ORDINARY_NAMES
GENERIC_SERVICES = ("dynamodb", "execute-api", "sts")
# Newer botocore leaves the tracing headers unsigned; they are no hop-by-hop headers, and nobody else does.
ONLY_BOTOCORE_SKIPS = {"baggage", "traceparent", "tracestate"}


def as_sent(headers: list[tuple[str, str]]) -> list[tuple[str, bytes]]:
    """Header values as bytes. As str ours takes visible ASCII only: which bytes go out is the caller's to say.

    botocore and awscrt take any str and send UTF-8.
    """
    return [(name, value.encode("utf-8")) for name, value in headers]


def payload_of(case: Case) -> str:
    return "UNSIGNED-PAYLOAD" if case.body is None else hashlib.sha256(case.body).hexdigest()


def ours_in_stages(
    case: Case, select: Any, double_encode: bool, normalize: bool, content_sha256: bool
) -> tuple[bytes, str, bytes, str]:
    payload = payload_of(case)
    headers: list[tuple[str, str | bytes]] = [("Host", case.host_header), *as_sent(case.headers)]
    headers.append(("X-Amz-Date", case.who.timestamp))
    if content_sha256:
        headers.append(("X-Amz-Content-Sha256", payload))
    if case.token:
        headers.append(("X-Amz-Security-Token", case.token))
    canonical, signed = _core.canonical_request(
        case.method, case.target, headers, payload, double_encode, normalize, select
    )
    text = _core.string_to_sign(case.who.timestamp, case.who.scope, canonical)
    key = _core.SigningKey.derive(
        case.who.secret_access_key, case.who.timestamp[:8], case.who.region, case.who.service
    )
    return canonical, signed, text, key.sign(text)


def signer_for(case: Case) -> Signer:
    known = Credentials(case.who.access_key_id, case.who.secret_access_key, case.token)
    return Signer(known, case.who.region, case.who.service, clock=lambda: reference.epoch(case.who.timestamp))


@needs_botocore
@given(strategies.cases(WITNESSED))
def test_s3_stages_against_botocore(case: Case) -> None:
    theirs = rivals.botocore_sign(case.who, case.token, case.method, case.url, case.headers, case.body)
    canonical, signed, text, signature = ours_in_stages(case, "all", False, False, True)
    assert canonical.decode("utf-8") == theirs.canonical
    assert signed == theirs.signed_headers
    assert text.decode() == theirs.to_sign
    assert signature == theirs.signature


@needs_botocore
@given(strategies.cases(WITNESSED, GENERIC_SERVICES, unsigned=False))
def test_generic_stages_against_botocore(case: Case) -> None:
    theirs = rivals.botocore_sign(case.who, case.token, case.method, case.url, case.headers, case.body)
    canonical, signed, text, signature = ours_in_stages(case, "all", True, True, False)
    assert canonical.decode("utf-8") == theirs.canonical
    assert signed == theirs.signed_headers
    assert text.decode() == theirs.to_sign
    assert signature == theirs.signature


@needs_botocore
@given(strategies.cases(WITNESSED + strategies.NEVER_SIGNED_NAMES + tuple(sorted(ONLY_BOTOCORE_SKIPS))))
def test_what_is_never_signed_against_botocore(case: Case) -> None:
    theirs = rivals.botocore_sign(case.who, case.token, case.method, case.url, case.headers, case.body)
    _, signed, _, _ = ours_in_stages(case, "all", False, False, True)
    assert set(signed.split(";")) - ONLY_BOTOCORE_SKIPS == set(theirs.signed_headers.split(";"))


@needs_botocore
@given(strategies.cases(strategies.RECOMMENDED_NAMES))
def test_signer_against_botocore(case: Case) -> None:
    """The public entry: the Authorization header is equal to the last letter."""
    assume(
        all(value.strip(" \t") for name, value in case.headers if name == "Content-Type")
    )  # refused when empty
    theirs = rivals.botocore_sign(case.who, case.token, case.method, case.url, case.headers, case.body)
    payload: bytes | str = "UNSIGNED-PAYLOAD" if case.body is None else case.body
    added = signer_for(case).sign(case.method, case.url, as_sent(case.headers), payload)
    assert added["Authorization"] == theirs.authorization
    assert added["X-Amz-Date"] == case.who.timestamp
    assert added["X-Amz-Content-Sha256"] == payload_of(case)
    assert added.get("X-Amz-Security-Token") == case.token


@needs_botocore
@given(strategies.cases(WITNESSED + strategies.NEVER_SIGNED_NAMES))
def test_signer_leaves_other_headers_alone(case: Case) -> None:
    """Headers outside the recommended set may be sent, changed or dropped on the way: the signature stays."""
    assume(all(value.strip(" \t") for name, value in case.headers if name == "Content-Type"))
    kept = [(n, v) for n, v in case.headers if n in strategies.RECOMMENDED_NAMES]
    theirs = rivals.botocore_sign(case.who, case.token, case.method, case.url, kept, case.body)
    payload: bytes | str = "UNSIGNED-PAYLOAD" if case.body is None else case.body
    assert signer_for(case).sign(case.method, case.url, as_sent(case.headers), payload)["Authorization"] == (
        theirs.authorization
    )


def showable_to_awscrt(case: Case) -> bool:
    # awscrt refuses to sign a query that names one of the presigning parameters.
    return not any(part.lower().startswith("x-amz-") for part in case.query.split("&"))


@needs_awscrt
@given(strategies.cases(WITNESSED))
def test_s3_signature_against_awscrt(case: Case) -> None:
    assume(showable_to_awscrt(case))
    headers = [("Host", case.host_header), *case.headers]
    theirs = rivals.awscrt_sign(
        case.who, case.token, case.method, case.target, headers, payload_of(case), False, False
    )
    _, signed, _, signature = ours_in_stages(case, "all", False, False, True)
    assert signed == theirs.signed_headers
    assert signature == theirs.signature


@needs_awscrt
@given(strategies.cases(WITNESSED, GENERIC_SERVICES, unsigned=False))
def test_generic_signature_against_awscrt(case: Case) -> None:
    assume(showable_to_awscrt(case))
    headers = [("Host", case.host_header), *case.headers]
    theirs = rivals.awscrt_sign(
        case.who, case.token, case.method, case.target, headers, payload_of(case), True, True, False
    )
    _, signed, _, signature = ours_in_stages(case, "all", True, True, False)
    assert signed == theirs.signed_headers
    assert signature == theirs.signature
