"""Presigned URLs, other services and batches against botocore, awscrt and the one-by-one form of each call.

The generator (``support/strategies.py``) says what is left out and why. Differences from botocore's presigning
that remain and are right: it keeps the first of several query parameters of one name (we keep all, as awscrt
and S3 do; `test_s3_presign_against_awscrt`), it decodes a query and encodes it again, and it writes the
parameters in another order (the order on the wire is not signed).
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from s3accel.credentials import Credentials
from s3accel.errors import S3AccelError
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
GENERIC_SERVICES = ("dynamodb", "execute-api", "sts", "es", "iotdevicegateway")
EXPIRES = st.one_of(st.sampled_from([1, 60, 3600, 604_799, 604_800]), st.integers(1, 604_800))


def as_sent(headers: Sequence[tuple[str, str]]) -> list[tuple[str, bytes]]:
    """As bytes: as str our values are visible ASCII only, the witnesses send UTF-8 of any str."""
    return [(name, value.encode()) for name, value in headers]


def signer_for(case: Case, **options: Any) -> Signer:
    known = Credentials(case.who.access_key_id, case.who.secret_access_key, case.token)
    moment = reference.epoch(case.who.timestamp)
    return Signer(known, case.who.region, case.who.service, clock=lambda: moment, **options)


def no_empty_content_type(case: Case) -> bool:
    # Ours refuses one: HTTP libraries put their own in its place, and the signature would not fit.
    return all(value.strip(" \t") for name, value in case.headers if name == "Content-Type")


def names_of(query: str) -> list[str]:
    return [name for name, _ in parse_qsl(query, keep_blank_values=True)]


def taken_apart(url: str) -> tuple[str, list[tuple[str, str]], str]:
    """Everything before the query, the parameters sorted, and the signature (always the last of ours)."""
    head, _, query = url.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    (signature,) = [value for name, value in pairs if name == "X-Amz-Signature"]
    return head, sorted(pair for pair in pairs if pair[0] != "X-Amz-Signature"), signature


def botocore_presign(case: Case, expires: int) -> str:
    from botocore import auth, awsrequest, credentials

    request = awsrequest.AWSRequest(method=case.method, url=case.url)
    for name, value in case.headers:
        request.headers.add_header(name, value)
    kind = auth.S3SigV4QueryAuth if case.who.service == "s3" else auth.SigV4QueryAuth
    known = credentials.Credentials(case.who.access_key_id, case.who.secret_access_key, case.token)
    moment = rivals.when(case.who.timestamp).replace(tzinfo=None)
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        kind(known, case.who.service, case.who.region, expires).add_auth(request)
    made: str = request.url
    return made


def awscrt_presign(case: Case, expires: int) -> tuple[str, str]:
    """The signature and the signed headers' names."""
    from awscrt import auth, http

    generic = case.who.service != "s3"
    request = http.HttpRequest(
        case.method, case.target, http.HttpHeaders([("Host", case.host_header), *case.headers])
    )
    config = auth.AwsSigningConfig(
        algorithm=auth.AwsSigningAlgorithm.V4,
        signature_type=auth.AwsSignatureType.HTTP_REQUEST_QUERY_PARAMS,
        credentials_provider=auth.AwsCredentialsProvider.new_static(
            case.who.access_key_id, case.who.secret_access_key, case.token
        ),
        region=case.who.region,
        service=case.who.service,
        date=rivals.when(case.who.timestamp),
        use_double_uri_encode=generic,
        should_normalize_uri_path=generic,
        signed_body_value=reference.EMPTY_SHA256 if generic else "UNSIGNED-PAYLOAD",
        signed_body_header_type=auth.AwsSignedBodyHeaderType.NONE,
        expiration_in_seconds=expires,
    )
    signed = auth.aws_sign_request(request, config).result(timeout=10)
    found = dict(parse_qsl(urlsplit(signed.path).query, keep_blank_values=True))
    return found["X-Amz-Signature"], found["X-Amz-SignedHeaders"]


def compare_with_botocore(case: Case, expires: int) -> None:
    assume(no_empty_content_type(case))
    names = names_of(case.query)
    assume(len(names) == len(set(names)))
    ours = signer_for(case).presign(case.method, case.url, expires, as_sent(case.headers))
    assert ours.startswith(case.url.partition("?")[0] + "?"), "what stands before the query goes out as given"
    assert taken_apart(ours) == taken_apart(botocore_presign(case, expires))


@needs_botocore
@given(strategies.cases(WITNESSED), EXPIRES)
def test_s3_presign_against_botocore(case: Case, expires: int) -> None:
    compare_with_botocore(case, expires)


@needs_botocore
@given(strategies.cases(WITNESSED, GENERIC_SERVICES), EXPIRES)
def test_generic_presign_against_botocore(case: Case, expires: int) -> None:
    """Other services: the path normalized and encoded twice, the hash of an empty body."""
    compare_with_botocore(case, expires)


def compare_with_awscrt(case: Case, expires: int) -> None:
    assume(no_empty_content_type(case))
    assume(not any(name.lower().startswith("x-amz-") for name in names_of(case.query)))
    _, pairs, signature = taken_apart(
        signer_for(case).presign(case.method, case.url, expires, as_sent(case.headers))
    )
    assert (signature, dict(pairs)["X-Amz-SignedHeaders"]) == awscrt_presign(case, expires)


@needs_awscrt
@given(strategies.cases(WITNESSED), EXPIRES)
def test_s3_presign_against_awscrt(case: Case, expires: int) -> None:
    """Repeated query names too: both sign all of them."""
    compare_with_awscrt(case, expires)


@needs_awscrt
@given(strategies.cases(WITNESSED, GENERIC_SERVICES), EXPIRES)
def test_generic_presign_against_awscrt(case: Case, expires: int) -> None:
    compare_with_awscrt(case, expires)


# --- Signer.sign for other services -------------------------------------------------------------------------


@needs_botocore
@given(strategies.cases(WITNESSED, GENERIC_SERVICES, unsigned=False))
def test_generic_sign_against_botocore(case: Case) -> None:
    """The public entry, every header signed: the Authorization header is equal to the last letter."""
    assume(no_empty_content_type(case))
    theirs = rivals.botocore_sign(case.who, case.token, case.method, case.url, case.headers, case.body)
    signer = signer_for(case, sign_all_headers=True)
    added = signer.sign(case.method, case.url, as_sent(case.headers), case.body or b"")
    assert added["Authorization"] == theirs.authorization
    assert added["X-Amz-Date"] == case.who.timestamp
    assert added.get("X-Amz-Security-Token") == case.token
    assert "X-Amz-Content-Sha256" not in added, "only S3 wants it"


@needs_awscrt
@given(strategies.cases(WITNESSED, GENERIC_SERVICES, unsigned=False), st.booleans())
def test_generic_sign_against_awscrt(case: Case, with_hash: bool) -> None:
    assume(no_empty_content_type(case))
    assume(not any(name.lower().startswith("x-amz-") for name in names_of(case.query)))
    body = case.body or b""
    headers = [("Host", case.host_header), *case.headers]
    theirs = rivals.awscrt_sign(
        case.who,
        case.token,
        case.method,
        case.target,
        headers,
        hashlib.sha256(body).hexdigest(),
        True,
        True,
        with_hash,
    )
    signer = signer_for(case, sign_all_headers=True, content_sha256=with_hash)
    added = signer.sign(case.method, case.url, as_sent(case.headers), body)
    assert f"SignedHeaders={theirs.signed_headers}, " in added["Authorization"]
    assert added["Authorization"].endswith(f"Signature={theirs.signature}")
    assert ("X-Amz-Content-Sha256" in added) == with_hash


# --- Batches equal one by one -------------------------------------------------------------------------------


@st.composite
def requests(draw: st.DrawFn) -> tuple[Case, list[tuple[Any, ...]]]:
    """One identity and up to 40 requests, some refused: more than one batch of lanes, ragged lengths."""
    services = ("s3", "s3", "dynamodb")
    first = draw(strategies.cases(WITNESSED, services))
    made: list[tuple[Any, ...]] = []
    for case in draw(st.lists(strategies.cases(WITNESSED), max_size=4)):
        payload = draw(st.sampled_from([case.body or b"", "UNSIGNED-PAYLOAD", b"x" * 5000, None]))
        whole = (case.method, case.url, as_sent(case.headers), payload)
        made.append(whole[: draw(st.integers(2, 4))])
    repeat = draw(st.integers(1, 10))
    return first, made * repeat


def outcome(call: Any) -> Any:
    try:
        return call()
    except S3AccelError as error:
        return (type(error), str(error))


@settings(max_examples=settings.default.max_examples // 2)
@given(requests())
def test_sign_many_is_sign_repeated(made: tuple[Case, list[tuple[Any, ...]]]) -> None:
    """Equal headers; where one by one would raise, the batch raises the same error."""
    first, batch = made
    signer = signer_for(first)
    alone = outcome(lambda: [signer.sign(*entry) for entry in batch])
    assert outcome(lambda: signer.sign_many(batch)) == alone
    assert outcome(lambda: signer.sign_many(iter(batch))) == alone


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "method": st.sampled_from(strategies.METHODS),
        "expires": EXPIRES,
        "headers": st.sampled_from([None, {"Content-Type": "text/plain"}, [("x-amz-acl", "private")]]),
        "query": st.dictionaries(
            st.sampled_from(["versionId", "partNumber", "response-content-type", "a b", "é"]),
            st.one_of(st.text(strategies.KEY_ALPHABET, max_size=8), st.integers(0, 10_000)),
            max_size=3,
        ),
    },
)
# A lone surrogate has no UTF-8; the generator has none.
RAW_KEYS = st.one_of(strategies.KEYS, strategies.KEYS.map(lambda key: key.encode()), st.binary(max_size=20))


@settings(max_examples=settings.default.max_examples // 2)
@given(
    strategies.cases(WITNESSED),
    st.lists(st.one_of(RAW_KEYS, RAW_KEYS, st.tuples(RAW_KEYS, OPTIONS)), max_size=40),
    EXPIRES,
    st.sampled_from(["", "versionId=3", "a=1&a=2&b"]),
    st.integers(1, 50),
)
def test_presign_many_is_presign_repeated(
    case: Case, keys: list[Any], expires: int, query: str, batch: int
) -> None:
    """Raw keys and (key, options) pairs; the witness encodes the keys and joins the query itself."""
    assume(no_empty_content_type(case))
    signer = signer_for(case)
    headers = as_sent(case.headers)
    base = f"{case.scheme}://{case.host}/some/"
    expected = []
    for entry in keys:
        key, options = entry if isinstance(entry, tuple) else (entry, {})
        more = [
            f"{reference.encode(n)}={reference.encode(str(v))}" for n, v in options.get("query", {}).items()
        ]
        whole = "&".join([*([query] if query else []), *more])
        expected.append(
            signer.presign(
                options.get("method", case.method),
                base + reference.encode(key, safe="/") + (f"?{whole}" if whole else ""),
                options.get("expires", expires),
                options.get("headers", headers),
            )
        )
    with_query = base + (f"?{query}" if query else "")
    assert signer.presign_many(case.method, with_query, keys, expires, headers) == expected
    groups = list(signer.presign_iter(case.method, with_query, iter(keys), expires, headers, batch=batch))
    assert [len(group) for group in groups[:-1]] == [batch] * (len(groups) - 1)
    assert [url for group in groups for url in group] == expected
