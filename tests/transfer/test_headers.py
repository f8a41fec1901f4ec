"""The caller's headers are checked before anything is sent, and dealt out to the right requests."""

from __future__ import annotations

import pytest

from s3accel.errors import ConfigError
from s3accel.transfer.headers import object_headers

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ({"Authorization": "x"}, "set by the signer"),
        ({"x-amz-date": "x"}, "set by the signer"),
        ({"X-Amz-Security-Token": "x"}, "set by the signer"),
        ({"Content-Length": "1"}, "set by the signer"),
        ({"Host": "x"}, "set by the signer"),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, "checksum="),
        ({"Bad Name": "x"}, "no header name"),
        ({"X-A\r\nB": "x"}, "no header name"),
        ({"X-A": "x\r\nEvil: 1"}, "signed safely"),
        ({"X-A": " x"}, "signed safely"),
        ({"X-A": "a  b"}, "signed safely"),
        ({"X-A": "é"}, "signed safely"),
        ({"X-A": 5}, "signed safely"),
        ({"x-a": "1", "X-A": "2"}, "twice"),
        ({"Content-Type": ""}, "empty"),
    ],
)
def test_refused(headers, word):
    with pytest.raises(ConfigError, match=word):
        object_headers(None, None, headers)


def test_a_refusal_does_not_show_the_value():
    with pytest.raises(ConfigError) as caught:
        object_headers(None, None, {"x-amz-server-side-encryption-customer-key": "sécret"})
    assert "cret" not in str(caught.value).partition("key")[2]


def test_each_request_gets_what_it_needs(new_client, s3):
    client = new_client(part_size=5 * MIB)
    client.upload(
        bytes(17 * MIB),
        "bkt",
        "k",
        content_type="text/plain",
        metadata={"a": "1", "empty": ""},
        headers={
            "Cache-Control": "max-age=5",
            "If-None-Match": "*",
            "x-amz-server-side-encryption-customer-algorithm": "AES256",
            "x-amz-server-side-encryption-customer-key": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        },
    )
    create, part, complete = (
        next(r.headers for r in s3.seen if r.operation == name) for name in ("Create", "Part", "Complete")
    )
    assert create["content-type"] == "text/plain"
    assert create["x-amz-meta-a"] == "1"
    assert create["x-amz-meta-empty"] == ""
    assert create["cache-control"] == "max-age=5"
    assert "if-none-match" not in create
    assert "if-none-match" not in part
    assert complete["if-none-match"] == "*"
    assert complete["content-type"] == "application/xml"
    assert "x-amz-meta-a" not in part
    for headers in (create, part, complete):
        assert headers["x-amz-server-side-encryption-customer-algorithm"] == "AES256"
        assert "x-amz-server-side-encryption-customer-algorithm" in headers["authorization"]


def test_content_md5_cannot_cover_parts(client, s3):
    headers = {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
    client.upload(b"", "bkt", "k", headers=headers)
    for source in (bytes(20 * MIB), [bytes(20 * MIB)]):
        with pytest.raises(ConfigError, match="Content-MD5"):
            client.upload(source, "bkt", "k", headers=headers)
    assert s3.operations() == ["Put"]


def test_content_encoding_is_kept_before_aws_chunked(new_client, s3):
    new_client(payload="signed-chunks").upload(b"x", "bkt", "k", headers={"Content-Encoding": "gzip"})
    values = [value for name, value in s3.seen[0].headers.items() if name == "content-encoding"]
    assert values == ["gzip,aws-chunked"]
