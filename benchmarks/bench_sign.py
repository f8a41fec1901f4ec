"""One request signed with headers: ours and everybody's, in one run.

    pytest benchmarks/bench_sign.py

Two groups: a GET with nothing but what signing needs, and a PUT with six headers and a session token. All
sign the hash of an empty body, so that no one hashes data. Every signature is checked by the tests'
reference implementation before its maker is measured: a fast wrong signature has no place in the table.
"""

from __future__ import annotations

import datetime
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from support import reference

KEY_ID, SECRET, REGION = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1"
TOKEN = "IQoJb3JpZ2luX2VjEXAMPLE" + "0123456789abcdef/+" * 16  # 311 characters, as STS gives
HOST = "examplebucket.s3-accelerate.amazonaws.com"
PATH = "/photos/2026/08/23/a%20picture.jpg"
URL = f"https://{HOST}{PATH}"
PUT_HEADERS = {
    "Content-Type": "image/jpeg",
    "x-amz-acl": "bucket-owner-full-control",
    "x-amz-meta-mtime": "1787479872.123456",
    "x-amz-meta-owner": "somebody",
    "x-amz-storage-class": "INTELLIGENT_TIERING",
    "x-amz-tagging": "project=aurora",
}
REQUESTS: dict[str, tuple[str, dict[str, str], str | None]] = {
    "GET": ("GET", {}, None),
    "PUT, 6 headers, token": ("PUT", PUT_HEADERS, TOKEN),
}
Call = Callable[[], Any]
# A signer to be measured: what is timed, and what gives the signed headers of one such call.
Entry = tuple[Call, Callable[[Any], Mapping[str, str]]]


def utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def s3accel_entry(method: str, headers: dict[str, str], token: str | None) -> Entry:
    from s3accel import Credentials, Signer

    sign = Signer(Credentials(KEY_ID, SECRET, token), REGION).sign
    return (lambda: sign(method, URL, headers, b"")), lambda added: {**headers, **added}


def botocore_entry(method: str, headers: dict[str, str], token: str | None) -> Entry:
    from botocore import auth, awsrequest, credentials

    known = credentials.Credentials(KEY_ID, SECRET, token)
    request = awsrequest.AWSRequest(method=method, url=URL, data=b"")
    for name, value in headers.items():
        request.headers[name] = value

    def call() -> Any:
        # botocore makes a new signer for every request.
        auth.S3SigV4Auth(known, "s3", REGION).add_auth(request)
        return request

    return call, lambda request: dict(request.headers.items())


def awscrt_entry(method: str, headers: dict[str, str], token: str | None) -> Entry:
    from awscrt import auth, http

    config = auth.AwsSigningConfig(
        algorithm=auth.AwsSigningAlgorithm.V4,
        signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
        credentials_provider=auth.AwsCredentialsProvider.new_static(KEY_ID, SECRET, token),
        region=REGION,
        service="s3",
        use_double_uri_encode=False,
        should_normalize_uri_path=False,
        signed_body_value=reference.EMPTY_SHA256,
        signed_body_header_type=auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
    )
    pairs = [("Host", HOST), *headers.items()]

    def call() -> Any:
        # A request can be signed once only, so making it is part of the price; the config is reused.
        request = http.HttpRequest(method, PATH, http.HttpHeaders(pairs))
        return auth.aws_sign_request(request, config).result()

    return call, lambda request: dict(request.headers)


def minio_entry(method: str, headers: dict[str, str], token: str | None) -> Entry:
    from minio import signer
    from minio.credentials import Credentials

    known = Credentials(KEY_ID, SECRET, session_token=token)
    url = urlsplit(URL)

    def call() -> Any:
        now = utc_now()
        whole = {
            **headers,
            "Host": HOST,
            "x-amz-content-sha256": reference.EMPTY_SHA256,
            "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
        }
        if token:
            whole["X-Amz-Security-Token"] = token
        return signer.sign_v4_s3(
            method=method,
            url=url,
            region=REGION,
            headers=whole,
            credentials=known,
            content_sha256=reference.EMPTY_SHA256,
            date=now,
        )

    return call, dict


def requests_aws4auth_entry(method: str, headers: dict[str, str], token: str | None) -> Entry:
    import requests
    from requests_aws4auth import AWS4Auth

    sign = AWS4Auth(KEY_ID, SECRET, REGION, "s3", session_token=token)
    request = requests.Request(method, URL, headers=headers).prepare()

    def call() -> Any:
        # It keeps a date that it finds; a new request has none.
        request.headers.pop("x-amz-date", None)
        return sign(request)

    return call, lambda request: dict(request.headers)


def s3pe_entry(method: str, headers: dict[str, str], token: str | None) -> Entry:
    from s3pe import _s3pe

    sign = _s3pe.sign
    # It takes the date as text and keeps no clock: making that text (about 2 us) is left to the caller.
    stamp = utc_now().strftime("%Y%m%dT%H%M%SZ")

    def call() -> Any:
        return sign(method, HOST, PATH, (), reference.EMPTY_SHA256, stamp, KEY_ID, SECRET, REGION, token)

    # It has no argument for headers of the caller: in the PUT group it signs six headers less than the
    # others.
    return call, dict


def fast_s3_entry(method: str, headers: dict[str, str], token: str | None) -> Entry:
    from fast_s3._signer import SigV4Signer

    sign = SigV4Signer(KEY_ID, SECRET, REGION).sign
    whole = {**headers, **({"x-amz-security-token": token} if token else {})}
    return (lambda: sign(method, HOST, PATH, whole)), dict


SIGNERS: dict[str, tuple[str, Callable[[str, dict[str, str], str | None], Entry]]] = {
    "s3accel": ("s3accel", s3accel_entry),
    "s3pe": ("s3pe", s3pe_entry),
    "fast-s3": ("fast_s3", fast_s3_entry),
    "awscrt": ("awscrt", awscrt_entry),
    "minio-py": ("minio", minio_entry),
    "requests-aws4auth": ("requests_aws4auth", requests_aws4auth_entry),
    "botocore": ("botocore", botocore_entry),
}


def check(method: str, signed: Mapping[str, str]) -> None:
    """Recompute the signature from the headers that came back."""
    found = {name.lower(): value for name, value in signed.items()}
    found.setdefault("host", HOST)
    _, _, rest = found["authorization"].partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    names = parts["SignedHeaders"].split(";")
    canonical, _ = reference.canonical_request(
        method, PATH, list(found.items()), reference.EMPTY_SHA256, names
    )
    who = reference.Identity(KEY_ID, SECRET, found["x-amz-date"], REGION, "s3")
    expected = who.sign_text(reference.string_to_sign(who.timestamp, who.scope, canonical))
    assert parts["Signature"] == expected


@pytest.mark.parametrize("request_name", REQUESTS)
@pytest.mark.parametrize("name", SIGNERS)
def test_sign(benchmark: Any, tables: dict[str, list[tuple[str, ...]]], name: str, request_name: str) -> None:
    package, make = SIGNERS[name]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{name} is not installed")
    method, headers, token = REQUESTS[request_name]
    call, signed = make(method, dict(headers), token)
    check(method, signed(call()))
    benchmark.group = request_name
    benchmark(call)
    if benchmark.stats is None:  # --benchmark-disable
        return
    stats = benchmark.stats.stats
    note = ""
    if name == "s3pe":
        note = "date given" + (", without the 6 headers" if headers else "")
    rows = tables.setdefault(
        f"us for one signature: {request_name}", [("signer", "minimum", "median", "runs", "note")]
    )
    rounds = str(stats.rounds * benchmark.stats.iterations)
    rows.append((name, f"{stats.min * 1e6:.2f}", f"{stats.median * 1e6:.2f}", rounds, note))
