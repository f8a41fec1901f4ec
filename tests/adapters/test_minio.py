"""minio-py with its signatures made by the core."""

from __future__ import annotations

import io
import sys
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

minio = pytest.importorskip("minio")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from minio.credentials import Credentials as MinioCredentials  # noqa: E402
from minio.helpers import queryencode  # noqa: E402

from s3accel.adapters.minio import install_minio, uninstall_minio  # noqa: E402
from s3accel.local import LocalServer  # noqa: E402
from support.httplibs import BIG  # noqa: E402

NAMES = ("sign_v4_s3", "sign_v4_sts", "presign_v4", "post_presign_v4")
DATE = datetime(2026, 3, 1, 23, 59, 59)


def functions() -> dict[tuple[str, str], Any]:
    return {
        (name, attribute): value
        for name, module in sys.modules.items()
        if name == "minio" or name.startswith("minio.")
        for attribute, value in vars(module).items()
        if attribute in NAMES
    }


@pytest.fixture
def installed() -> Any:
    install_minio()
    yield
    uninstall_minio()


def test_restored_exactly() -> None:
    before = functions()
    assert len(before) >= 8
    install_minio()
    install_minio()
    during = functions()
    assert all(during[name] is not before[name] for name in before)
    uninstall_minio()
    uninstall_minio()
    after = functions()
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)


def test_late_module_is_restored_too(installed: None) -> None:
    import types

    late = types.ModuleType("minio.late")
    late.sign_v4_s3 = minio.signer.sign_v4_s3  # type: ignore[attr-defined]
    sys.modules["minio.late"] = late
    try:
        uninstall_minio()
        assert late.sign_v4_s3 is minio.signer.sign_v4_s3  # type: ignore[attr-defined]
        assert late.sign_v4_s3.__module__ == "minio.signer"  # type: ignore[attr-defined]
    finally:
        del sys.modules["minio.late"]


texts = st.text(st.characters(codec="utf-8"), max_size=12)
values = st.text(st.sampled_from("ab c~!*'();/?&=+,"), min_size=1, max_size=12).map(str.strip)


@given(
    method=st.sampled_from(["GET", "PUT", "HEAD", "DELETE", "POST"]),
    key=texts,
    query=st.lists(st.tuples(texts.filter(bool), texts), max_size=4, unique_by=lambda pair: pair[0]),
    extra=st.dictionaries(st.sampled_from(["x-amz-meta-a", "Content-Type", "Range", "X-Amz-Acl"]), values),
    lists=st.lists(values, min_size=1, max_size=3),
    token=st.none() | st.just("tok/en=="),
    region=st.sampled_from(["us-east-1", "eu-west-3"]),
)
def test_same_headers_as_minios_own(
    method: str,
    key: str,
    query: list[tuple[str, str]],
    extra: dict[str, str],
    lists: list[str],
    token: str | None,
    region: str,
) -> None:
    text = "&".join(f"{queryencode(name)}={queryencode(value)}" for name, value in query)
    url = urlsplit(f"https://play.example:9000/bucket/{queryencode(key)}".replace("%2F", "/"))._replace(
        query=text
    )
    headers: dict[str, Any] = {
        "Host": url.netloc,
        "User-Agent": "MinIO (test)",
        "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
        "x-amz-date": DATE.strftime("%Y%m%dT%H%M%SZ"),
        "x-amz-meta-list": lists,
        **extra,
    }
    if token:
        headers["X-Amz-Security-Token"] = token
    credentials = MinioCredentials("AKIAMINIO", "secret/+", token)
    arguments = {"method": method, "url": url, "region": region, "credentials": credentials, "date": DATE}
    signing = {**arguments, "content_sha256": "UNSIGNED-PAYLOAD"}
    results = []
    for install in (False, True):
        if install:
            install_minio()
        try:
            results.append(
                (
                    minio.api.sign_v4_s3(headers=dict(headers), **signing),
                    minio.signer.sign_v4_sts(headers=dict(headers), **signing),
                    minio.api.presign_v4(expires=3600, **arguments),
                    minio.datatypes.post_presign_v4("cG9saWN5", "secret", DATE, region),
                )
            )
        finally:
            uninstall_minio()
    assert results[0] == results[1]


@pytest.mark.parametrize("tls", [True, False])
def test_client(installed: None, tls: bool) -> None:
    with LocalServer(tls=tls) as server:
        pool = urllib3.PoolManager(ca_certs=str(server.ca_file) if tls else None)
        client = minio.Minio(
            server.address,
            access_key=server.access_key_id,
            secret_key=server.secret_access_key,
            region=server.region,
            secure=tls,
            http_client=pool,
        )
        client.make_bucket(bucket_name="bucket")
        for key in ("a b+c~d/é%2F", "!*'();:@&=$,?#[]"):
            client.put_object(bucket_name="bucket", object_name=key, data=io.BytesIO(BIG), length=len(BIG))
            assert client.stat_object(bucket_name="bucket", object_name=key).size == len(BIG)
            address = client.presigned_get_object(
                bucket_name="bucket", object_name=key, expires=timedelta(minutes=5)
            )
            assert pool.request("GET", address).data == BIG
        assert server.stats.snapshot().signatures_verified >= 7
        pool.clear()
