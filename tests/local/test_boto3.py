"""boto3 as a real client, over TLS with the throwaway CA."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from typing import Any

import pytest
from local_wire import STRANGE_KEYS

from s3accel.local import LocalServer

boto3 = pytest.importorskip("boto3")
from botocore.exceptions import ClientError  # noqa: E402

MIB = 1024 * 1024


def refused(call: Callable[[], Any]) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call()
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_strange_keys(s3: Any, s3accel_bucket: str) -> None:
    for number, key in enumerate(STRANGE_KEYS):
        s3.put_object(Bucket=s3accel_bucket, Key=key, Body=b"%d" % number)
    for number, key in enumerate(STRANGE_KEYS):
        assert s3.get_object(Bucket=s3accel_bucket, Key=key)["Body"].read() == b"%d" % number, key
    listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket=s3accel_bucket)["Contents"]]
    assert listed == sorted(STRANGE_KEYS, key=lambda key: key.encode("utf-8"))
    answer = s3.delete_objects(
        Bucket=s3accel_bucket,
        Delete={"Objects": [{"Key": key} for key in STRANGE_KEYS if key != "tab\there"]},
    )
    assert len(answer["Deleted"]) == len(STRANGE_KEYS) - 1
    s3.delete_object(Bucket=s3accel_bucket, Key="tab\there")
    assert s3.list_objects_v2(Bucket=s3accel_bucket)["KeyCount"] == 0


def test_headers_and_metadata_come_back(s3: Any, s3accel_bucket: str) -> None:
    s3.put_object(
        Bucket=s3accel_bucket,
        Key="k",
        Body=b"x",
        ContentType="text/plain",
        CacheControl="max-age=5",
        ContentDisposition="attachment",
        ContentEncoding="gzip",
        ContentLanguage="de",
        Metadata={"one": "1", "two": "a b"},
    )
    head = s3.head_object(Bucket=s3accel_bucket, Key="k")
    assert head["ContentType"] == "text/plain"
    assert head["CacheControl"] == "max-age=5"
    assert head["ContentDisposition"] == "attachment"
    assert head["ContentEncoding"] == "gzip"
    assert head["ContentLanguage"] == "de"
    assert head["Metadata"] == {"one": "1", "two": "a b"}
    assert head["ETag"] == '"9dd4e461268c8034f5c8564e155c67a6"'


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_trailing_checksums_of_streams_without_length(s3: Any, s3accel_bucket: str, algorithm: str) -> None:
    pytest.importorskip("awscrt")
    data = bytes(range(256)) * 1200
    # A body that is a file makes botocore send STREAMING-UNSIGNED-PAYLOAD-TRAILER inside HTTP chunked coding.
    answer = s3.put_object(Bucket=s3accel_bucket, Key="k", Body=io.BytesIO(data), ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=s3accel_bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == data
    assert got[f"Checksum{algorithm}"] == answer[f"Checksum{algorithm}"]
    assert got["ChecksumType"] == "FULL_OBJECT"
    assert "ContentEncoding" not in got


def test_a_wrong_secret_stores_nothing(boto: Callable[..., Any], s3: Any, s3accel_bucket: str) -> None:
    wrong = boto(secret="A" * 40)
    code = refused(lambda: wrong.put_object(Bucket=s3accel_bucket, Key="k", Body=b"x" * 300_000))
    assert code == ("SignatureDoesNotMatch", 403)
    assert s3.list_objects_v2(Bucket=s3accel_bucket)["KeyCount"] == 0


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256"])
def test_multipart_composite(s3: Any, s3accel_bucket: str, algorithm: str) -> None:
    data = bytes(range(251)) * (11 * MIB // 251)
    config = pytest.importorskip("boto3.s3.transfer").TransferConfig(
        multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB
    )
    s3.upload_fileobj(
        io.BytesIO(data),
        s3accel_bucket,
        "big",
        ExtraArgs={"ChecksumAlgorithm": algorithm, "Metadata": {"a": "b"}},
        Config=config,
    )
    head = s3.head_object(Bucket=s3accel_bucket, Key="big", ChecksumMode="ENABLED")
    assert head["ETag"].endswith('-3"')
    assert head[f"Checksum{algorithm}"].endswith("-3")
    assert head["ChecksumType"] == "COMPOSITE"
    assert head["Metadata"] == {"a": "b"}
    part = s3.get_object(Bucket=s3accel_bucket, Key="big", PartNumber=2, ChecksumMode="ENABLED")
    assert part["PartsCount"] == 3
    assert part["ContentRange"] == f"bytes {5 * MIB}-{10 * MIB - 1}/{len(data)}"
    assert part["Body"].read() == data[5 * MIB : 10 * MIB]
    back = io.BytesIO()
    s3.download_fileobj(s3accel_bucket, "big", back, Config=config)
    assert back.getvalue() == data


def test_full_object_checksum(s3: Any, s3accel_bucket: str) -> None:
    parts = [b"a" * (5 * MIB), b"b" * 1000]
    upload = s3.create_multipart_upload(
        Bucket=s3accel_bucket, Key="k", ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT"
    )["UploadId"]
    done = []
    for number, data in enumerate(parts, 1):
        answer = s3.upload_part(
            Bucket=s3accel_bucket,
            Key="k",
            UploadId=upload,
            PartNumber=number,
            Body=data,
            ChecksumAlgorithm="CRC64NVME",
        )
        done.append({"PartNumber": number, "ETag": answer["ETag"]})
    s3.put_object(Bucket=s3accel_bucket, Key="whole", Body=b"".join(parts), ChecksumAlgorithm="CRC64NVME")
    whole = s3.head_object(Bucket=s3accel_bucket, Key="whole", ChecksumMode="ENABLED")["ChecksumCRC64NVME"]
    arguments = {
        "Bucket": s3accel_bucket,
        "Key": "k",
        "UploadId": upload,
        "MultipartUpload": {"Parts": done},
        "ChecksumType": "FULL_OBJECT",
    }
    assert refused(lambda: s3.complete_multipart_upload(ChecksumCRC64NVME="AAAAAAAAAAA=", **arguments)) == (
        "BadDigest",
        400,
    )
    assert refused(lambda: s3.complete_multipart_upload(MpuObjectSize=7, **arguments)) == (
        "InvalidRequest",
        400,
    )
    size = sum(map(len, parts))
    answer = s3.complete_multipart_upload(ChecksumCRC64NVME=whole, MpuObjectSize=size, **arguments)
    assert answer["ChecksumCRC64NVME"] == whole
    assert answer["ChecksumType"] == "FULL_OBJECT"
    # The answer may get lost: asked again it is given again.
    assert s3.complete_multipart_upload(ChecksumCRC64NVME=whole, **arguments)["ETag"] == answer["ETag"]


def test_copies(s3: Any, s3accel_bucket: str) -> None:
    source = {"Bucket": s3accel_bucket, "Key": "a b/é+"}
    s3.put_object(**source, Body=b"content", Metadata={"x": "1"}, ContentType="text/plain")
    s3.copy_object(Bucket=s3accel_bucket, Key="copy", CopySource=source)
    got = s3.get_object(Bucket=s3accel_bucket, Key="copy")
    assert (got["Body"].read(), got["Metadata"], got["ContentType"]) == (b"content", {"x": "1"}, "text/plain")
    s3.copy_object(
        Bucket=s3accel_bucket, Key="copy", CopySource=source, MetadataDirective="REPLACE", Metadata={"y": "2"}
    )
    assert s3.head_object(Bucket=s3accel_bucket, Key="copy")["Metadata"] == {"y": "2"}
    assert refused(lambda: s3.copy_object(CopySource=source, **source)) == ("InvalidRequest", 400)
    missing = {"Bucket": s3accel_bucket, "Key": "missing"}
    assert refused(lambda: s3.copy_object(Bucket=s3accel_bucket, Key="c", CopySource=missing)) == (
        "NoSuchKey",
        404,
    )


def test_presigned_urls(boto: Callable[..., Any], s3accel_server: LocalServer, s3accel_bucket: str) -> None:
    requests = pytest.importorskip("requests")
    client = boto()
    arguments = {"Bucket": s3accel_bucket, "Key": "a b/ü"}
    ca = str(s3accel_server.ca_file)
    put = client.generate_presigned_url("put_object", Params=arguments, ExpiresIn=60)
    get = client.generate_presigned_url(
        "get_object", Params={**arguments, "ResponseContentType": "text/x-test"}, ExpiresIn=60
    )
    with requests.Session() as session:
        session.trust_env = False
        assert session.put(put, data=b"by url", verify=ca).status_code == 200
        answer = session.get(get, verify=ca)
        assert (answer.content, answer.headers["content-type"]) == (b"by url", "text/x-test")
        changed = session.get(get.replace("text%2Fx-test", "text%2Fx-other"), verify=ca)
        assert changed.status_code == 403
        assert "<Code>SignatureDoesNotMatch</Code>" in changed.text
        assert session.put(get, data=b"x", verify=ca).status_code == 403


def test_accelerate_endpoint(
    boto: Callable[..., Any],
    s3accel_server: LocalServer,
    s3accel_bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        if isinstance(host, str) and host.endswith(".amazonaws.com"):
            asked.append(host)
            host, port = "127.0.0.1", s3accel_server.port
        return real(host, port, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    client = boto(s3={"use_accelerate_endpoint": True, "addressing_style": "auto"})
    client.put_object(Bucket=s3accel_bucket, Key="k", Body=io.BytesIO(b"accelerated"))
    assert client.get_object(Bucket=s3accel_bucket, Key="k")["Body"].read() == b"accelerated"
    assert set(asked) == {f"{s3accel_bucket}.s3-accelerate.amazonaws.com"}
    regional = boto()
    regional.put_bucket_accelerate_configuration(
        Bucket=s3accel_bucket, AccelerateConfiguration={"Status": "Suspended"}
    )
    assert regional.get_bucket_accelerate_configuration(Bucket=s3accel_bucket)["Status"] == "Suspended"
    with pytest.raises(ClientError, match="S3 Transfer Acceleration is disabled on this bucket"):
        client.get_object(Bucket=s3accel_bucket, Key="k")


def test_buckets(s3: Any) -> None:
    s3.create_bucket(Bucket="made-by-boto3")
    assert "made-by-boto3" in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert s3.head_bucket(Bucket="made-by-boto3")["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket="made-by-boto3")["LocationConstraint"] is None
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket="made-by-boto3")
    s3.put_object(Bucket="made-by-boto3", Key="k", Body=b"")
    assert refused(lambda: s3.delete_bucket(Bucket="made-by-boto3")) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket="made-by-boto3", Key="k")
    s3.delete_bucket(Bucket="made-by-boto3")
    assert refused(lambda: s3.list_objects_v2(Bucket="made-by-boto3")) == ("NoSuchBucket", 404)


def test_what_is_not_there_says_so(s3: Any, s3accel_bucket: str) -> None:
    assert refused(lambda: s3.get_bucket_versioning(Bucket=s3accel_bucket)) == ("NotImplemented", 501)
    assert refused(lambda: s3.get_object_tagging(Bucket=s3accel_bucket, Key="k")) == ("NotImplemented", 501)
    assert refused(lambda: s3.put_object(Bucket=s3accel_bucket, Key="k", Tagging="a=b")) == (
        "NotImplemented",
        501,
    )
    kms = {"ServerSideEncryption": "aws:kms"}
    assert refused(lambda: s3.put_object(Bucket=s3accel_bucket, Key="k", **kms)) == ("NotImplemented", 501)
    assert s3.list_objects_v2(Bucket=s3accel_bucket)["KeyCount"] == 0
