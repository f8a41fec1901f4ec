"""Ranges, conditions, overrides, conditional writes and listings, as they go over the wire."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from local_wire import Wire

from s3accel.local.conditions import parse_range
from s3accel.local.refusals import Refusal

DATA = bytes(range(100))


@pytest.fixture
def stored(wire: Wire, s3accel_bucket: str) -> str:
    target = f"/{s3accel_bucket}/k"
    assert wire.send("PUT", target, body=DATA, headers={"Content-Type": "text/plain"}).status == 200
    return target


@pytest.mark.parametrize(
    ("header", "first", "length"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 10),
        ("bytes=90-", 90, 10),
        ("bytes=90-1000", 90, 10),
        ("bytes=-7", 93, 7),
        ("bytes=-1000", 0, 100),
    ],
)
def test_ranges(wire: Wire, stored: str, header: str, first: int, length: int) -> None:
    answer = wire.send("GET", stored, headers={"Range": header})
    assert answer.status == 206
    assert answer.body == DATA[first : first + length]
    assert answer.headers["content-range"] == f"bytes {first}-{first + length - 1}/100"
    assert "x-amz-checksum-crc64nvme" not in answer.headers


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=200-300", "bytes=-0"])
def test_ranges_behind_the_end(wire: Wire, stored: str, header: str) -> None:
    answer = wire.send("GET", stored, headers={"Range": header})
    assert (answer.status, answer.code, answer.error["ActualObjectSize"]) == (416, "InvalidRange", "100")


@pytest.mark.parametrize("header", ["bytes=5-2", "bytes=", "bytes=-", "lines=1-2", "bytes=a-b"])
def test_what_is_no_range_is_ignored(wire: Wire, stored: str, header: str) -> None:
    answer = wire.send("GET", stored, headers={"Range": header})
    assert (answer.status, answer.body) == (200, DATA)


def test_several_ranges_are_refused(wire: Wire, stored: str) -> None:
    assert wire.send("GET", stored, headers={"Range": "bytes=0-1,5-6"}).code == "NotImplemented"


def test_ranges_of_an_empty_object() -> None:
    assert parse_range(None, 0) is None
    with pytest.raises(Refusal):
        parse_range("bytes=0-", 0)


def test_conditions(wire: Wire, stored: str) -> None:
    head = wire.send("HEAD", stored)
    etag, modified = head.headers["etag"], head.headers["last-modified"]
    past, future = "Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
    for headers, status in [
        ({"If-Match": etag}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": f'"other", {etag}'}, 200),
        ({"If-Match": '"other"'}, 412),
        ({"If-None-Match": etag}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-Modified-Since": modified}, 304),
        ({"If-Modified-Since": past}, 200),
        ({"If-Modified-Since": "no date"}, 200),
        ({"If-Unmodified-Since": past}, 412),
        ({"If-Unmodified-Since": future}, 200),
        ({"If-Match": etag, "If-Unmodified-Since": past}, 200),
        ({"If-None-Match": '"other"', "If-Modified-Since": future}, 200),
    ]:
        answer = wire.send("GET", stored, headers=headers)
        assert answer.status == status, headers
        if status == 304:
            assert (answer.body, answer.headers["etag"]) == (b"", etag)


def test_overrides(wire: Wire, stored: str) -> None:
    answer = wire.send("GET", f"{stored}?response-content-type=a%2Fb&response-expires=never")
    assert (answer.headers["content-type"], answer.headers["expires"]) == ("a/b", "never")
    split = wire.send("GET", f"{stored}?response-content-type=a%0D%0Ax-evil:%201")
    assert (split.status, split.code) == (400, "InvalidArgument")


def test_checksum_mode_and_part_number(wire: Wire, stored: str) -> None:
    answer = wire.send("GET", stored, headers={"x-amz-checksum-mode": "ENABLED"})
    assert answer.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    assert len(answer.headers["x-amz-checksum-crc64nvme"]) == 12
    first = wire.send("GET", f"{stored}?partNumber=1")
    assert (first.status, first.body) == (206, DATA)
    assert wire.send("GET", f"{stored}?partNumber=2").code == "InvalidPartNumber"
    assert wire.send("GET", f"{stored}?partNumber=1", headers={"Range": "bytes=0-1"}).code == "InvalidRequest"


def test_conditional_writes(wire: Wire, stored: str, s3accel_bucket: str) -> None:
    etag = wire.send("HEAD", stored).headers["etag"]
    for headers, status in [
        ({"If-None-Match": "*"}, 412),
        ({"If-None-Match": '"x"'}, 501),
        ({"If-Match": '"x"'}, 412),
        ({"If-Match": etag}, 200),
        ({"If-Match": etag}, 412),
    ]:
        assert wire.send("PUT", stored, body=b"new", headers=headers).status == status, headers
    fresh = f"/{s3accel_bucket}/fresh"
    assert wire.send("PUT", fresh, body=b"x", headers={"If-Match": etag}).code == "NoSuchKey"
    assert wire.send("PUT", fresh, body=b"x", headers={"If-None-Match": "*"}).status == 200
    assert wire.send("DELETE", fresh, headers={"If-Match": '"x"'}).status == 412
    assert wire.send("DELETE", fresh).status == 204
    assert wire.send("DELETE", fresh).status == 204


def test_large_objects_survive_their_replacement_while_they_are_read(wire: Wire, s3accel_bucket: str) -> None:
    target, data = f"/{s3accel_bucket}/big", bytes(12_000_000)
    assert wire.send("PUT", target, body=data).status == 200
    connection = wire.connect()
    connection.request("GET", target, headers=wire.headers("GET", target))
    response = connection.getresponse()
    start = response.read(1000)
    assert wire.send("DELETE", target).status == 204
    assert start + response.read() == data
    connection.close()
    assert wire.send("GET", target).status == 404


def listing(wire: Wire, target: str) -> tuple[list[str], list[str], dict[str, str]]:
    answer = wire.send("GET", target)
    assert answer.status == 200, answer.body
    root = ElementTree.fromstring(answer.body)
    space = "{http://s3.amazonaws.com/doc/2006-03-01/}"
    keys = [entry.findtext(f"{space}Key") or "" for entry in root.findall(f"{space}Contents")]
    prefixes = [entry.findtext(f"{space}Prefix") or "" for entry in root.findall(f"{space}CommonPrefixes")]
    return keys, prefixes, {child.tag.removeprefix(space): child.text or "" for child in root}


@pytest.fixture
def listed(s3: Any, s3accel_bucket: str) -> str:
    for key in ["a/1", "a/2", "b", "c d+e/é", "c d+e/f", "z"]:
        s3.put_object(Bucket=s3accel_bucket, Key=key, Body=b"")
    return f"/{s3accel_bucket}"


def test_list_v2(wire: Wire, listed: str) -> None:
    keys, prefixes, fields = listing(wire, f"{listed}?list-type=2&delimiter=%2F&max-keys=2")
    assert (keys, prefixes) == (["b"], ["a/"])
    assert (fields["KeyCount"], fields["IsTruncated"]) == ("2", "true")
    token = fields["NextContinuationToken"]
    keys, prefixes, fields = listing(
        wire,
        f"{listed}?list-type=2&delimiter=%2F&encoding-type=url&continuation-token={token.replace('=', '%3D')}",
    )
    assert (keys, prefixes, fields["IsTruncated"]) == (["z"], ["c%20d%2Be/"], "false")
    keys, _, _ = listing(wire, f"{listed}?list-type=2&start-after=c&prefix=c&encoding-type=url")
    assert keys == ["c%20d%2Be/f", "c%20d%2Be/%C3%A9"]
    assert listing(wire, f"{listed}?list-type=2&max-keys=0")[2]["IsTruncated"] == "false"
    assert listing(wire, f"{listed}?list-type=2&max-keys=5000")[2]["MaxKeys"] == "1000"


def test_list_v1(wire: Wire, listed: str) -> None:
    keys, prefixes, fields = listing(wire, f"{listed}?delimiter=%2F&max-keys=1")
    assert (keys, prefixes, fields["NextMarker"]) == ([], ["a/"], "a/")
    keys, prefixes, _ = listing(wire, f"{listed}?delimiter=%2F&marker=a%2F")
    assert (keys, prefixes) == (["b", "z"], ["c d+e/"])


def test_boto3_paginates(s3: Any, listed: str) -> None:
    for name in ("list_objects_v2", "list_objects"):
        pages = s3.get_paginator(name).paginate(Bucket=listed[1:], PaginationConfig={"PageSize": 2})
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        assert keys == ["a/1", "a/2", "b", "c d+e/f", "c d+e/é", "z"]
