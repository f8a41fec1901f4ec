"""SigV4a against awscrt, the AWS C library: its random signatures verify over our canonical requests.

The generator (``support/strategies.py``) says what is left out and why. What awscrt signs is also sent through
our `Verifier`, and botocore's SigV4a classes (which stand on awscrt) are checked with one request each.
"""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import assume, given, settings

pytest.importorskip("cryptography", reason="SigV4a needs the cryptography package")
pytest.importorskip("awscrt", reason="awscrt, the witness, is not installed")

from s3accel import _core
from s3accel.credentials import Credentials
from s3accel.sigv4a import SignerV4a, SigningKeyV4a
from s3accel.verify import Verifier
from support import reference, rivals, sigv4a, strategies
from support.strategies import Case

pytestmark = pytest.mark.differential

WITNESSED = strategies.RECOMMENDED_NAMES + strategies.ORDINARY_NAMES
REGION_SETS = ("*", "us-east-1", "us-east-1,eu-*", "us-west-*")
GENERIC = ("execute-api", "dynamodb")
MAX_EXPIRES = 604_800


def awscrt_sign(
    case: Case, region_set: str, payload: str, *, expires: int | None = None
) -> tuple[str, list[tuple[str, str]]]:
    """The target and the headers that awscrt sends."""
    from awscrt import auth, http

    generic = case.who.service != "s3"
    headers = [("Host", case.host_header), *case.headers]
    request = http.HttpRequest(case.method, case.target, http.HttpHeaders(headers))
    config = auth.AwsSigningConfig(
        algorithm=auth.AwsSigningAlgorithm.V4_ASYMMETRIC,
        signature_type=(
            auth.AwsSignatureType.HTTP_REQUEST_HEADERS
            if expires is None
            else auth.AwsSignatureType.HTTP_REQUEST_QUERY_PARAMS
        ),
        credentials_provider=auth.AwsCredentialsProvider.new_static(
            case.who.access_key_id, case.who.secret_access_key, case.token
        ),
        region=region_set,
        service=case.who.service,
        date=rivals.when(case.who.timestamp),
        use_double_uri_encode=generic,
        should_normalize_uri_path=generic,
        signed_body_value=payload,
        signed_body_header_type=(
            auth.AwsSignedBodyHeaderType.NONE
            if generic or expires is not None
            else auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256
        ),
        expiration_in_seconds=expires,
    )
    signed = auth.aws_sign_request(request, config).result(timeout=10)
    return signed.path, list(signed.headers)


def showable(case: Case) -> bool:
    # awscrt refuses to sign a query that names one of the presigning parameters.
    return not any(part.lower().startswith("x-amz-") for part in case.query.split("&"))


def payload_of(case: Case) -> str:
    return "UNSIGNED-PAYLOAD" if case.body is None else hashlib.sha256(case.body).hexdigest()


def public_key(case: Case) -> Any:
    who = sigv4a.IdentityV4a(case.who.access_key_id, case.who.secret_access_key)
    return who.private.public_key()


def region_set_for(case: Case) -> str:
    """One of a few, chosen by the case so that a failure can be repeated."""
    return REGION_SETS[len(case.path) % len(REGION_SETS)]


@given(strategies.cases(WITNESSED, ("s3", *GENERIC)))
def test_header_signature(case: Case) -> None:
    """Canonical request and string to sign are ours; the signature over them is awscrt's."""
    assume(showable(case))
    generic = case.who.service != "s3"
    assume(not (generic and case.body is None))
    region_set = region_set_for(case)
    _, sent = awscrt_sign(case, region_set, payload_of(case))
    found = {name.lower(): value for name, value in sent}
    assert found["x-amz-region-set"] == region_set
    assert found["x-amz-date"] == case.who.timestamp
    scheme, _, rest = found["authorization"].partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    assert scheme == sigv4a.ALGORITHM
    assert parts["Credential"] == (
        f"{case.who.access_key_id}/{case.who.timestamp[:8]}/{case.who.service}/aws4_request"
    )

    known = Credentials(case.who.access_key_id, case.who.secret_access_key, case.token)
    signer = SignerV4a(
        known,
        region_set,
        case.who.service,
        clock=lambda: reference.epoch(case.who.timestamp),
        sign_all_headers=True,
    )
    headers = [("Host", case.host_header), *((n, v.encode()) for n, v in case.headers)]
    _, ours, _, _, text, signed, _ = signer._sign_detailed(case.method, case.url, headers, payload_of(case))
    assert signed == parts["SignedHeaders"]
    assert sigv4a.is_valid(public_key(case), text, parts["Signature"])
    assert sigv4a.is_valid(public_key(case), text, ours)


@given(strategies.cases(WITNESSED))
def test_verifier_takes_what_awscrt_signed(case: Case) -> None:
    assume(showable(case))
    assume(all(value.isascii() for _, value in case.headers))
    region_set = region_set_for(case)
    target, sent = awscrt_sign(case, region_set, payload_of(case))
    known = Credentials(case.who.access_key_id, case.who.secret_access_key, case.token)
    verifier = Verifier(
        lambda key: known if key == known.access_key_id else None,
        clock=lambda: reference.epoch(case.who.timestamp),
    )
    verified = verifier.verify(case.method, target, sent)
    assert verified.access_key_id == known.access_key_id
    assert verified.payload == payload_of(case)


@given(strategies.cases(("Content-Type", "x-amz-acl", "Cache-Control")))
def test_presigned(case: Case) -> None:
    """The same parameters, and awscrt's signature verifies over our canonical request, ours over the same."""
    assume(showable(case))
    # Values that awscrt would send in another form are left out of the comparison of texts.
    assume(all(value.isascii() for _, value in case.headers))
    expires = 1 + len(case.path) * 977 % MAX_EXPIRES
    region_set = region_set_for(case)
    target, _ = awscrt_sign(case, region_set, "UNSIGNED-PAYLOAD", expires=expires)
    query, _, signature = target.partition("?")[2].rpartition("&X-Amz-Signature=")

    known = Credentials(case.who.access_key_id, case.who.secret_access_key, case.token)
    signer = SignerV4a(known, region_set, clock=lambda: reference.epoch(case.who.timestamp))
    headers = [("Host", case.host_header), *case.headers]
    url = signer.presign(case.method, case.url, expires, headers)
    ours, _, our_signature = urlsplit(url).query.rpartition("&X-Amz-Signature=")
    assert ours == _core.canonical_query(query)
    canonical, _ = _core.canonical_request(
        case.method, f"{case.path}?{ours}", headers, "UNSIGNED-PAYLOAD", select="all"
    )
    text = sigv4a.string_to_sign(case.who.timestamp, "s3", canonical.decode())
    assert sigv4a.is_valid(public_key(case), text, signature)
    assert sigv4a.is_valid(public_key(case), text, our_signature)


@settings(max_examples=20)
@given(strategies.cases(("Content-Type",)))
def test_key_derivation_against_the_reference(case: Case) -> None:
    key = SigningKeyV4a.derive(case.who.access_key_id, case.who.secret_access_key)
    assert sigv4a.is_valid(public_key(case), b"text", key.sign(b"text"))


# --- botocore with awscrt -----------------------------------------------------------------------------------

HOST = "alias.mrap.accesspoint.s3-global.amazonaws.com"
KNOWN = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "session/token+==")


def botocore_request(kind: str, body: bytes) -> Any:
    pytest.importorskip("botocore", reason="botocore, the witness, is not installed")
    from botocore import awsrequest, credentials
    from botocore.crt import auth

    frozen = credentials.Credentials(KNOWN.access_key_id, KNOWN.secret_access_key, KNOWN.session_token)
    request = awsrequest.AWSRequest(method="PUT", url=f"https://{HOST}/a%20b/c//d?x-id=PutObject", data=body)
    if kind == "header":
        auth.CrtS3SigV4AsymAuth(frozen, "s3", "*").add_auth(request)
    else:
        auth.CrtS3SigV4AsymQueryAuth(frozen, "s3", "*", expires=300).add_auth(request)
    return request


@pytest.mark.parametrize("kind", ["header", "query"])
def test_verifier_takes_what_botocore_signed(kind: str) -> None:
    # botocore moves a body into the query when it presigns.
    content = b"hello" if kind == "header" else b""
    request = botocore_request(kind, content)
    parts = urlsplit(request.url)
    headers = [("Host", HOST), *((n, v) for n, v in request.headers.items() if n.lower() != "host")]
    verifier = Verifier(lambda key: KNOWN, region="ap-southeast-2")
    verified = verifier.verify("PUT", f"{parts.path}?{parts.query}", headers)
    assert verified.mechanism == kind
    assert verified.scope.endswith("/s3/aws4_request")
    body = verified.body()
    body.feed(b"hello")
    assert body.finish().length == 5
