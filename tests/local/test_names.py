"""Host and raw path to bucket and key."""

from __future__ import annotations

import pytest

from s3accel.local.names import Address, check_bucket_name, locate, origin_form, parse_query
from s3accel.local.refusals import Refusal


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("b.s3-accelerate.amazonaws.com", "/k", ("b", "k", "virtual", "accelerate", None)),
        ("b.s3-accelerate.amazonaws.com:8443", "/k", ("b", "k", "virtual", "accelerate", None)),
        ("B.S3-Accelerate.dualstack.amazonaws.com", "/", ("b", None, "virtual", "accelerate", None)),
        ("s3-accelerate.amazonaws.com", "/b/k", ("b", "k", "path", "accelerate", None)),
        ("b.s3.eu-west-1.amazonaws.com", "/k", ("b", "k", "virtual", "regional", "eu-west-1")),
        ("b.s3.dualstack.us-east-1.amazonaws.com", "/k", ("b", "k", "virtual", "regional", "us-east-1")),
        ("b.s3-us-west-2.amazonaws.com", "/k", ("b", "k", "virtual", "regional", "us-west-2")),
        ("a.b.c.s3.amazonaws.com", "/k", ("a.b.c", "k", "virtual", "regional", None)),
        ("s3.amazonaws.com", "/b/k", ("b", "k", "path", "regional", None)),
        ("s3.us-east-1.amazonaws.com:443", "/b", ("b", None, "path", "regional", "us-east-1")),
        ("localhost:9000", "/b/k", ("b", "k", "path", "custom", None)),
        ("b.localhost", "/k", ("b", "k", "virtual", "custom", None)),
        ("127.0.0.1:1", "/b/k", ("b", "k", "path", "custom", None)),
        ("[::1]:9000", "/b/k", ("b", "k", "path", "custom", None)),
        ("storage", "/", (None, None, "path", "custom", None)),
    ],
)
def test_hosts(host: str, path: str, expected: tuple[object, ...]) -> None:
    assert locate(host, path) == Address(*expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/b//a", "/a"),
        ("/b/a/../c", "a/../c"),
        ("/b/a%2Fb", "a/b"),
        ("/b/a+b%2B", "a+b+"),
        ("/b/%2e%2e/x", "../x"),
        ("/b/%C3%A9", "é"),
        ("/b/", None),
        ("/b/%2525", "%25"),
    ],
)
def test_keys_are_percent_decoded_and_nothing_else(path: str, key: str | None) -> None:
    assert locate("127.0.0.1", path).key == key


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/b/%zz", "InvalidURI"),
        ("/b/%C3", "InvalidURI"),
        ("/b/" + "k" * 1025, "KeyTooLongError"),
        ("/b/" + "%C3%A9" * 513, "KeyTooLongError"),
        ("//key", "InvalidBucketName"),
        ("*", "InvalidURI"),
    ],
)
def test_paths_that_name_no_key(path: str, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        locate("127.0.0.1", path)
    assert caught.value.code == code


@pytest.mark.parametrize("name", ["abc", "a.b.c", "0a-b", "x" * 63])
def test_bucket_names(name: str) -> None:
    check_bucket_name(name)


@pytest.mark.parametrize(
    "name",
    ["ab", "x" * 64, "Abc", "a_b", "-ab", "ab-", "a..b", "1.2.3.4", "xn--a", "a--x-s3", "..", "a/b", "é12"],
)
def test_bad_bucket_names(name: str) -> None:
    with pytest.raises(Refusal) as caught:
        check_bucket_name(name)
    assert caught.value.code == "InvalidBucketName"


def test_targets_in_absolute_form() -> None:
    assert origin_form("http://proxy.example:80/b//k") == "/b//k"
    assert origin_form("https://host") == "/"
    assert origin_form("") == "/"


def test_query() -> None:
    assert parse_query("a=1&&b&c=x%20y+z&d==") == [("a", "1"), ("b", ""), ("c", "x y z"), ("d", "=")]
