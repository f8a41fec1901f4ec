"""minio-py and obstore (Rust's object_store) as real clients, over TLS with the throwaway CA."""

from __future__ import annotations

import io
from typing import Any

import pytest
from local_wire import STRANGE_KEYS

from s3accel.local import LocalServer

MIB = 1024 * 1024
# minio-py and object_store refuse or normalize some keys before anything is sent; that is theirs to decide.
NOT_FOR_MINIO = {"a/./b", "a/../b", "..", ".", "a b+c~d/é//./..%2F"}


@pytest.fixture
def minio(s3accel_server: LocalServer) -> Any:
    library = pytest.importorskip("minio")
    urllib3 = pytest.importorskip("urllib3")
    pool = urllib3.PoolManager(ca_certs=str(s3accel_server.ca_file), retries=False)
    yield library.Minio(
        s3accel_server.address,
        access_key=s3accel_server.access_key_id,
        secret_key=s3accel_server.secret_access_key,
        region=s3accel_server.region,
        http_client=pool,
    )
    pool.clear()


def test_minio_keys(minio: Any, s3accel_bucket: str) -> None:
    keys = [key for key in STRANGE_KEYS if key not in NOT_FOR_MINIO]
    for number, key in enumerate(keys):
        data = b"%d" % number
        minio.put_object(bucket_name=s3accel_bucket, object_name=key, data=io.BytesIO(data), length=len(data))
    for number, key in enumerate(keys):
        response = minio.get_object(bucket_name=s3accel_bucket, object_name=key)
        try:
            assert response.data == b"%d" % number, key
        finally:
            response.close()
            response.release_conn()
    listed = [entry.object_name for entry in minio.list_objects(bucket_name=s3accel_bucket, recursive=True)]
    assert listed == sorted(keys, key=lambda key: key.encode("utf-8"))


def test_minio_multipart_and_stat(minio: Any, s3accel_bucket: str) -> None:
    data = bytes(range(256)) * (11 * MIB // 256)
    result = minio.put_object(
        bucket_name=s3accel_bucket,
        object_name="big",
        data=io.BytesIO(data),
        length=-1,
        part_size=5 * MIB,
        content_type="text/plain",
    )
    assert result.etag.endswith("-3")
    stat = minio.stat_object(bucket_name=s3accel_bucket, object_name="big")
    assert (stat.size, stat.content_type) == (len(data), "text/plain")
    response = minio.get_object(bucket_name=s3accel_bucket, object_name="big", offset=5 * MIB - 3, length=10)
    try:
        assert response.data == data[5 * MIB - 3 : 5 * MIB + 7]
    finally:
        response.close()
        response.release_conn()


def test_minio_with_a_wrong_secret(s3accel_server: LocalServer, minio: Any, s3accel_bucket: str) -> None:
    library = pytest.importorskip("minio")
    urllib3 = pytest.importorskip("urllib3")
    with urllib3.PoolManager(ca_certs=str(s3accel_server.ca_file), retries=False) as pool:
        wrong = library.Minio(
            s3accel_server.address,
            access_key=s3accel_server.access_key_id,
            secret_key="w" * 40,
            region=s3accel_server.region,
            http_client=pool,
        )
        with pytest.raises(library.error.S3Error) as caught:
            wrong.put_object(bucket_name=s3accel_bucket, object_name="k", data=io.BytesIO(b"x"), length=1)
    assert caught.value.code == "SignatureDoesNotMatch"
    assert not list(minio.list_objects(bucket_name=s3accel_bucket))


def obstore_store(server: LocalServer, bucket: str, secret: str | None = None) -> Any:
    library = pytest.importorskip("obstore.store")
    return library.S3Store(
        bucket,
        endpoint=server.endpoint_url,
        region=server.region,
        access_key_id=server.access_key_id,
        secret_access_key=secret or server.secret_access_key,
        virtual_hosted_style_request=False,
        # reqwest takes no CA file from here; the certificate is checked by the other clients.
        client_options={"allow_invalid_certificates": True},
        retry_config={"max_retries": 0},
    )


def test_obstore(s3accel_server: LocalServer, s3accel_bucket: str) -> None:
    obstore = pytest.importorskip("obstore")
    store = obstore_store(s3accel_server, s3accel_bucket)
    keys = ["a b+c~d/é", "pct%20x", "deep/er/key", "!'()+,;=@&$", "\U0001f600"]
    for key in keys:
        obstore.put(store, key, key.encode())
    for key in keys:
        assert bytes(obstore.get(store, key).bytes()) == key.encode()
    listed = [entry["path"] for batch in obstore.list(store) for entry in batch]
    assert sorted(listed) == sorted(keys)
    data = bytes(range(256)) * (11 * MIB // 256)
    obstore.put(store, "big", data, chunk_size=5 * MIB, use_multipart=True)
    assert (
        bytes(obstore.get_range(store, "big", start=5 * MIB - 5, end=5 * MIB + 5))
        == data[5 * MIB - 5 : 5 * MIB + 5]
    )
    assert obstore.head(store, "big")["size"] == len(data)
    with pytest.raises(obstore.exceptions.AlreadyExistsError):
        obstore.put(store, "big", b"x", mode="create")
    obstore.delete(store, [*keys, "big"])
    assert not [entry for batch in obstore.list(store) for entry in batch]


def test_obstore_with_a_wrong_secret(s3accel_server: LocalServer, s3accel_bucket: str) -> None:
    obstore = pytest.importorskip("obstore")
    with pytest.raises(Exception, match=r"SignatureDoesNotMatch|denied|403|Forbidden"):
        obstore.put(obstore_store(s3accel_server, s3accel_bucket, "w" * 40), "k", b"x")
    assert not [e for batch in obstore.list(obstore_store(s3accel_server, s3accel_bucket)) for e in batch]
