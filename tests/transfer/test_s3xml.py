"""S3's XML, read strictly and written plainly; and the calls that live on it."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from s3accel.errors import (
    AccelerationUnavailable,
    AccessDenied,
    NoSuchKey,
    S3Error,
    SignatureMismatch,
    SlowDown,
)
from s3accel.transfer import s3xml
from s3accel.transfer.messages import Headers, Response
from s3accel.transfer.retry import RetryPolicy
from s3accel.transfer.s3 import S3, Site
from s3accel.transfer.s3xml import CompletedPart
from s3accel.transfer.wholes import multipart_etag, whole_checksum

BOMB = b'<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;">]><Error><Code>&z;</Code></Error>'


@pytest.mark.parametrize(
    "data", [BOMB, BOMB.decode().encode("utf-16"), b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>']
)
def test_document_types_are_refused(data):
    with pytest.raises(ElementTree.ParseError, match="refused"):
        s3xml.parse(data)


def answer(status, body=b"", **headers):
    return Response(status, Headers((name.replace("_", "-"), value) for name, value in headers.items()), body)


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("NoSuchKey", "", NoSuchKey),
        ("AccessDenied", "", AccessDenied),
        ("SignatureDoesNotMatch", "", SignatureMismatch),
        ("SlowDown", "", SlowDown),
        (
            "InvalidRequest",
            "S3 Transfer Acceleration is not configured on this bucket",
            AccelerationUnavailable,
        ),
        ("InvalidRequest", "something else", S3Error),
        ("NoSuchBucket", "", S3Error),
    ],
)
def test_codes_become_classes(code, message, kind):
    body = f"<Error><Code>{code}</Code><Message>{message}</Message><X>1</X><RequestId>R</RequestId></Error>".encode()
    error = s3xml.error_from(answer(400, body, x_amz_id_2="H"), "PutObject", "b", "k")
    assert type(error) is kind
    assert (error.code, error.status, error.request_id, error.host_id) == (code, 400, "R", "H")
    assert error.extra == {"X": "1"}
    assert (error.operation, error.bucket, error.key) == ("PutObject", "b", "k")


def test_answers_without_a_body():
    error = s3xml.error_from(
        answer(403, x_amz_request_id="R", x_amz_bucket_region="eu-west-1"), "HeadObject", "b", "k"
    )
    assert isinstance(error, AccessDenied)
    assert (error.code, error.request_id, error.extra) == ("403", "R", {"Region": "eu-west-1"})
    assert isinstance(s3xml.error_from(answer(404), "HeadObject", "b", "k"), NoSuchKey)
    assert type(s3xml.error_from(answer(404), "HeadBucket", "b", "")) is S3Error


@pytest.mark.parametrize("body", [b"<html><body>502 Bad Gateway", BOMB, b"\xff\xfe", b"<a/>"])
def test_bodies_that_are_no_s3_errors(body):
    error = s3xml.error_from(answer(502, body), "PutObject", "b", "k")
    assert (error.code, error.status) == ("502", 502)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<Error><Code>InternalError</Code></Error>", True),
        (b"   <?xml version='1.0'?>\n<Error><Code>x</Code></Error>", True),
        (b"<Error><Code>Int", True),
        (b"<ListBucketResult><Contents><Key>&lt;Error</Key></Contents></ListBucketResult>", False),
        (b"<ListBucketResult><Errors/></ListBucketResult>", False),
        (b"", False),
    ],
)
def test_errors_inside_a_200(body, expected):
    assert s3xml.holds_error(answer(200, body)) is expected


def test_complete_body():
    parts = [CompletedPart(1, '"a&b"', 5, "AAAA"), CompletedPart(2, "c", 5, "")]
    root = s3xml.parse(s3xml.complete_body(parts, "crc32"))
    assert [child.tag for child in root[0]] == ["PartNumber", "ETag", "ChecksumCRC32"]
    assert [child.tag for child in root[1]] == ["PartNumber", "ETag"]
    assert root[0][1].text == '"a&b"'


def test_names_in_listings_are_decoded():
    body = (
        b"<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>a+b%2Bc%0A%C3%A9</Key><Size>3</Size></Contents>"
        b"<CommonPrefixes><Prefix>p%20q/</Prefix></CommonPrefixes></ListBucketResult>"
    )
    page = s3xml.read_list(s3xml.parse(body))
    assert [(entry.key, entry.is_prefix) for entry in page.entries] == [("a b+c\né", False), ("p q/", True)]
    assert page.next_token == ""
    plain = b"<ListBucketResult><Contents><Key>a+b%20c</Key></Contents></ListBucketResult>"
    assert s3xml.read_list(s3xml.parse(plain)).entries[0].key == "a+b%20c"


def test_list_parts_goes_over_pages(s3, client):
    s3.uploads["u"] = {number: bytes(number) for number in range(1, 6)}
    calls = S3(s3, Site("eu-west-1"), client._s3._credentials, policy=RetryPolicy(max_attempts=1))
    assert [(part.number, part.size) for part in calls.list_parts("bkt", "k", "u")] == [
        (n, n) for n in range(1, 6)
    ]
    assert len(s3.seen) == 3


def test_wholes():
    assert whole_checksum(None, [CompletedPart(1, "e", 1, "")]) == ""
    assert whole_checksum("crc32", [CompletedPart(1, "e", 1, "AAAAAA=="), CompletedPart(2, "e", 1, "")]) == ""
    assert multipart_etag([CompletedPart(1, "no-md5", 1)]) == ""
    etag = '"d41d8cd98f00b204e9800998ecf8427e"'
    assert multipart_etag([CompletedPart(1, etag, 0)]) == "59adb24ef3cdbe0297f05b395827453f-1"
