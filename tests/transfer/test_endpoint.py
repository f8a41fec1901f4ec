"""Bucket, region and mode -> host, or the reason why not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3accel.errors import ConfigError, EndpointError
from s3accel.transfer.endpoint import REGIONAL_OPERATIONS, resolve, validate_key


@pytest.mark.parametrize(
    ("options", "host", "kind"),
    [
        ({"accelerate": True}, "bkt.s3-accelerate.amazonaws.com", "accelerate"),
        (
            {"accelerate": True, "dualstack": True},
            "bkt.s3-accelerate.dualstack.amazonaws.com",
            "accelerate-dualstack",
        ),
        ({"accelerate": False}, "bkt.s3.eu-west-1.amazonaws.com", "regional"),
        ({"accelerate": False, "dualstack": True}, "bkt.s3.dualstack.eu-west-1.amazonaws.com", "dualstack"),
    ],
)
def test_hosts(options, host, kind):
    endpoint = resolve("bkt", "eu-west-1", **options)
    assert (endpoint.host, endpoint.kind, endpoint.region) == (host, kind, "eu-west-1")
    assert endpoint.url("a b/c") == f"https://{host}/a%20b/c"
    assert not endpoint.bucket_in_path


def test_regional_host_in_china():
    assert resolve("bkt", "cn-north-1", accelerate=False).host == "bkt.s3.cn-north-1.amazonaws.com.cn"
    endpoint = resolve("bkt", "cn-north-1", accelerate=False, dualstack=True)
    assert endpoint.host == "bkt.s3.dualstack.cn-north-1.amazonaws.com.cn"


@pytest.mark.parametrize("bucket", ["my.bucket", "Old_Bucket", "xn--abc"])
def test_names_no_wildcard_covers_go_by_path(bucket):
    endpoint = resolve(bucket, "us-east-1", accelerate=False)
    assert endpoint.bucket_in_path
    assert endpoint.url("k") == f"https://s3.us-east-1.amazonaws.com/{bucket}/k"


@pytest.mark.parametrize(
    ("bucket", "words"),
    [
        ("my.bucket", ["dot", "acceleration is impossible", "accelerate=False"]),
        ("MyBucket", ["upper-case", "accelerate=False"]),
        ("ab", ["2 characters", "3 to 63"]),
        ("a" * 64, ["64 characters"]),
        ("192.168.5.4", ["IP address"]),
        ("bucket--use1-az4--x-s3", ["--x-s3", "directory bucket"]),
        ("ap--use1-az4--xa-s3", ["--xa-s3", "access point"]),
        ("alias-abc-s3alias", ["alias"]),
        ("olap--ol-s3", ["Object Lambda"]),
        ("xn--bucket", ["xn--", "check the name"]),
        ("under_score", ["not DNS compliant", "accelerate=False"]),
        ("-dash", ["not DNS compliant"]),
        ("dash-", ["not DNS compliant"]),
        ("bücket", ["not DNS compliant"]),
        ("", ["empty"]),
        ("arn:aws:s3:eu-west-1:123456789012:accesspoint/ap", ["ARN", "access point alias"]),
    ],
)
def test_what_cannot_be_accelerated_says_why_and_what_to_do(bucket, words):
    with pytest.raises(EndpointError) as caught:
        resolve(bucket, "us-east-1", accelerate=True)
    text = str(caught.value)
    for word in words:
        assert word in text
    assert caught.value.reason
    assert caught.value.remedy
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"region": "cn-north-1"}, "aws-cn"),
        ({"region": "fips-us-east-1"}, "FIPS"),
        ({"region": "us-east-1-fips"}, "FIPS"),
        ({"region": "accelerate"}, "own region"),
        ({"region": "us east"}, "no region"),
        ({"region": ""}, "no region"),
        ({"endpoint_url": "https://minio.example"}, "exclude each other"),
        ({"path_style": True}, "path style"),
    ],
)
def test_what_excludes_acceleration(options, word):
    with pytest.raises(EndpointError, match=word):
        resolve("bkt", **{"region": "us-east-1", **options}, accelerate=True)


def test_global_signs_as_us_east_1():
    assert resolve("bkt", "aws-global", accelerate=True).region == "us-east-1"


@pytest.mark.parametrize("operation", sorted(REGIONAL_OPERATIONS - {"ListBuckets"}))
def test_bucket_operations_go_to_the_regional_host(operation):
    assert resolve("bkt", "eu-west-1", accelerate=True, operation=operation).kind == "regional"


def test_list_buckets_needs_no_bucket():
    endpoint = resolve("", "eu-west-1", accelerate=True, operation="ListBuckets")
    assert endpoint.url() == "https://s3.eu-west-1.amazonaws.com/"


def test_custom_endpoint_by_path_or_by_host():
    by_path = resolve("bkt", "us-east-1", accelerate=False, endpoint_url="https://minio.example:9000/")
    assert by_path.url("k", [("b", "2"), ("a", "1 +")]) == "https://minio.example:9000/bkt/k?a=1%20%2B&b=2"
    by_host = resolve(
        "bkt", "us-east-1", accelerate=False, endpoint_url="https://minio.example:443", path_style=False
    )
    assert by_host.url("k") == "https://bkt.minio.example/k"
    assert (
        resolve("bkt", "us-east-1", accelerate=False, endpoint_url="https://[::1]:9000").authority
        == "[::1]:9000"
    )


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("ftp://x", "http"),
        ("minio:9000", "http"),
        ("https://user:pw@host", "user info"),
        ("https://host/path", "path"),
        ("https://host?x=1", "path or query"),
        ("https://host:99999", "no URL"),
        ("https://bkt.s3-accelerate.amazonaws.com", "accelerate=True"),
        ("http://minio.example", "allow_http_host"),
        ("http://s3.us-east-1.amazonaws.com", "never allowed"),
        ("http://S3.CN-NORTH-1.AMAZONAWS.COM.CN", "never allowed"),
    ],
)
def test_custom_endpoints_that_are_refused(url, word):
    with pytest.raises(EndpointError, match=word) as caught:
        resolve("bkt", "us-east-1", accelerate=False, endpoint_url=url)
    assert "pw" not in str(caught.value)


def test_plain_http_needs_the_exact_host_and_is_never_aws():
    options = {"accelerate": False, "endpoint_url": "http://127.0.0.1:9000"}
    assert resolve("bkt", "us-east-1", allow_http_host="127.0.0.1", **options).scheme == "http"
    with pytest.raises(EndpointError, match="plain HTTP"):
        resolve("bkt", "us-east-1", allow_http_host="127.0.0.2", **options)
    with pytest.raises(EndpointError, match="never"):
        resolve(
            "bkt",
            "us-east-1",
            accelerate=False,
            endpoint_url="http://s3.amazonaws.com",
            allow_http_host="s3.amazonaws.com",
        )


def test_virtual_hosts_of_ip_addresses_do_not_exist():
    with pytest.raises(EndpointError, match="path_style=True"):
        resolve("bkt", "us-east-1", accelerate=False, endpoint_url="https://127.0.0.1", path_style=False)


def test_the_path_is_the_key_encoded_once_and_never_normalized():
    url = resolve("bkt", "us-east-1", accelerate=True).url("a//./b/../c d%2F~+é")
    assert url == "https://bkt.s3-accelerate.amazonaws.com/a//./b/../c%20d%252F~%2B%C3%A9"


def test_keys():
    validate_key("é" * 512)
    for key, word in [
        ("", "empty"),
        ("é" * 513, "1026 bytes"),
        ("a\ud800", "surrogate"),
        (b"k", "must be str"),
    ]:
        with pytest.raises(ConfigError, match=word):
            validate_key(key)


@given(st.text(min_size=0, max_size=80))
def test_any_name_is_refused_or_becomes_one_label(bucket):
    try:
        endpoint = resolve(bucket, "us-east-1", accelerate=True)
    except EndpointError:
        return
    assert endpoint.host.count(".") == 3
    assert endpoint.host == f"{bucket}.s3-accelerate.amazonaws.com"
    assert 3 <= len(bucket) <= 63
