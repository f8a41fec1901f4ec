"""SigV4a without awscrt, beside awscrt's own."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("botocore")

from botocore.awsrequest import AWSRequest
from botocore.compat import HAS_CRT
from botocore.credentials import ReadOnlyCredentials

from s3accel.adapters import botocore as adapter
from support.botocore_wire import (
    ACCESS_KEY,
    CREDENTIALS,
    SECRET,
    TOKEN,
    Wire,
    client,
    frozen,
    outcome,
    request,
)

REGIONS = "us-east-1,eu-*"


def canonical_of(made: AWSRequest, names: str, payload: str) -> str:
    """Written here once more, from the documentation."""
    split = urlsplit(made.url)
    pairs = sorted(pair for pair in split.query.split("&") if not pair.startswith("X-Amz-Signature="))
    values = {name.lower(): " ".join(value.split()) for name, value in made.headers.items()}
    values.setdefault("host", split.netloc)
    lines = [f"{name}:{values[name]}" for name in names.split(";")]
    query = "&".join(pair if "=" in pair else f"{pair}=" for pair in pairs)
    return "\n".join([made.method, split.path, query, *lines, "", names, payload])


def verified(made: AWSRequest, canonical: str, signature: str) -> None:
    from s3accel.sigv4a import PublicKeyV4a, SigningKeyV4a

    key: PublicKeyV4a = SigningKeyV4a.derive(ACCESS_KEY, SECRET).public_key
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-ECDSA-P256-SHA256\n20260823T123456Z\n20260823/s3/aws4_request\n{digest}"
    key.verify(text.encode(), signature)


@pytest.mark.parametrize("who", ["ours", "awscrt"])
@pytest.mark.parametrize("body", [b"", b"body"])
def test_sigv4a_header(who: str, body: bytes) -> None:
    pytest.importorskip("cryptography")
    from s3accel.adapters import _botocore_v4a as v4a

    cls: Any = v4a.S3V4a
    if who == "awscrt":
        if not HAS_CRT:
            pytest.skip("awscrt is not installed or switched off")
        from botocore.crt.auth import CrtS3SigV4AsymAuth as cls
    made = request(body)
    with frozen():
        cls(ReadOnlyCredentials(ACCESS_KEY, SECRET, TOKEN), "s3", REGIONS).add_auth(made)
    authorization = made.headers["Authorization"]
    assert authorization.startswith(
        f"AWS4-ECDSA-P256-SHA256 Credential={ACCESS_KEY}/20260823/s3/aws4_request, SignedHeaders=host;"
    )
    names = authorization.partition("SignedHeaders=")[2].partition(",")[0]
    assert names == "host;x-amz-content-sha256;x-amz-date;x-amz-meta-a;x-amz-region-set;x-amz-security-token"
    digest = hashlib.sha256(body).hexdigest()
    assert made.headers["X-Amz-Content-SHA256"] == digest
    assert made.headers["X-Amz-Region-Set"] == REGIONS
    verified(made, canonical_of(made, names, digest), authorization.partition("Signature=")[2])


def test_sigv4a_presigned() -> None:
    pytest.importorskip("cryptography")
    from s3accel.adapters import _botocore_v4a as v4a

    made = request()
    made.headers = type(made.headers)()
    with frozen():
        v4a.S3V4aQuery(CREDENTIALS, "s3", REGIONS, expires=60).add_auth(made)  # type: ignore[no-untyped-call]
    assert "X-Amz-Region-Set=us-east-1%2Ceu-%2A&" in made.url
    verified(made, canonical_of(made, "host", "UNSIGNED-PAYLOAD"), made.url.partition("X-Amz-Signature=")[2])


def test_multi_region_access_point() -> None:
    pytest.importorskip("cryptography")
    target = client()
    wire = Wire(target)
    arn = "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap"
    with adapter.install():
        requests, error = outcome(lambda: target.get_object(Bucket=arn, Key="k"), wire)
    assert error is None
    headers = {name.lower(): value for name, value in requests[0][2]}
    assert headers["authorization"].startswith(b"AWS4-ECDSA-P256-SHA256 ")
    assert headers["x-amz-region-set"] == b"*"
