"""Presigned URLs: the published example, what is refused, where the token stands, batches and their options."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest

from s3accel.credentials import Credentials
from s3accel.errors import ConfigError, S3AccelError, SigningError
from s3accel.signer import Signer
from support import reference, vectors

DOC = vectors.load("s3-doc-examples")
EXTRA = vectors.load("signing-extra")
EXTRA_PRESIGN = [case for case in EXTRA["signing_cases"] if case["kind"] == "presign"]
PUBLISHED = [case for case in DOC["cases"] if case["kind"] == "presign"]
WHO = reference.Identity(timestamp="20260823T101112Z", region="eu-west-3")
TOKEN = "IQoJb3JpZ2luX2VjEXAMPLE//token+=="
HOST = "bucket.s3-accelerate.amazonaws.com"
BASE = f"https://{HOST}/"


def signer(token: str | None = None, service: str = "s3", **options: Any) -> Signer:
    known = Credentials(WHO.access_key_id, WHO.secret_access_key, token)
    return Signer(known, WHO.region, service, clock=lambda: reference.epoch(WHO.timestamp), **options)


def pairs(url: str) -> list[tuple[str, str]]:
    return parse_qsl(url.partition("?")[2], keep_blank_values=True)


def expected_signature(method: str, url: str, headers: Any = (), payload: str = "UNSIGNED-PAYLOAD") -> str:
    """Recomputed with hashlib and hmac from the URL as it goes out."""
    target = url.removeprefix(BASE[:-1])
    canonical, _ = reference.canonical_request(
        method, target, [("host", HOST), *headers], payload, leave_out=("X-Amz-Signature",)
    )
    return WHO.sign_text(reference.string_to_sign(WHO.timestamp, WHO.scope, canonical))


def check(method: str, url: str, headers: Any = (), payload: str = "UNSIGNED-PAYLOAD") -> None:
    assert dict(pairs(url))["X-Amz-Signature"] == expected_signature(method, url, headers, payload)


def test_there_are_vectors() -> None:
    assert len(PUBLISHED) == 1
    assert len(EXTRA_PRESIGN) == 5


@pytest.mark.parametrize("case", PUBLISHED, ids=lambda case: case["id"])
@pytest.mark.parametrize("many", [False, True], ids=["presign", "presign_many"])
def test_published_example(case: dict[str, Any], many: bool) -> None:
    meta = DOC["meta"]
    known = Credentials(meta["credentials"]["access_key_id"], meta["credentials"]["secret_access_key"])
    made = Signer(known, meta["region"], clock=lambda: reference.epoch(meta["timestamp"]))
    given = case["input"]
    if many:
        base, _, key = given["url"].rpartition("/")
        (url,) = made.presign_many(given["method"], base + "/", [key], given["expires_seconds"])
    else:
        url = made.presign(given["method"], given["url"], given["expires_seconds"])
    assert url == case["expected"]["url"]


@pytest.mark.parametrize("case", EXTRA_PRESIGN, ids=lambda case: case["id"])
def test_extra_vector(case: dict[str, Any]) -> None:
    """Session tokens inside and outside the signature, S3 Express, another service."""
    given, known = case["input"], EXTRA["meta"]["credentials"]
    made = Signer(
        Credentials(known["access_key_id"], known["secret_access_key"], given["session_token"]),
        given["region"],
        given["service"],
        clock=lambda: reference.epoch(given["timestamp"]),
        sign_presigned_token=given["session_token_signed"] is not False,
    )
    headers = [(n, v) for n, v in given["headers"] if n.lower() != "host"]
    url = made.presign(
        given["method"], given["url"], given["expires_seconds"], headers, given["payload_hash"]
    )
    found = dict(pairs(url))
    assert found["X-Amz-Signature"] == case["expected"]["signature"]
    assert found["X-Amz-SignedHeaders"] == case["expected"]["signed_headers"]
    if given["session_token"]:
        assert found[given["session_token_name"]] == given["session_token"]
    if "url" in case["expected"]:
        assert sorted(pairs(url)) == sorted(pairs(case["expected"]["url"]))


# --- what goes out ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "DELETE", "POST", "PATCH"])
@pytest.mark.parametrize("token", [None, TOKEN], ids=["key", "session"])
@pytest.mark.parametrize("expires", [1, 3600, 604_800])
def test_parameters(method: str, token: str | None, expires: int) -> None:
    url = signer(token).presign(method, BASE + "a%20b//./%2F?versionId=x%2Fy&tagging", expires)
    assert url.startswith(BASE + "a%20b//./%2F?")
    found = dict(pairs(url))
    # The URL keeps its escaped slash; S3 decodes it before it compares signatures.
    read = url.replace("%2F?", "/?", 1)
    assert found.pop("X-Amz-Signature") == expected_signature(method, read)
    assert found == {
        "versionId": "x/y",
        "tagging": "",
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{WHO.access_key_id}/{WHO.scope}",
        "X-Amz-Date": WHO.timestamp,
        "X-Amz-Expires": str(expires),
        "X-Amz-SignedHeaders": "host",
        **({} if token is None else {"X-Amz-Security-Token": token}),
    }


def test_default_is_an_hour() -> None:
    assert dict(pairs(signer().presign("GET", BASE + "k")))["X-Amz-Expires"] == "3600"


def test_repeated_query_names_are_all_signed() -> None:
    """botocore keeps the first and drops the others; S3 takes all of them."""
    url = signer().presign("GET", BASE + "k?a=2&a=1&a-b=3&a=2")
    assert [pair for pair in pairs(url) if pair[0].startswith("a")] == [
        ("a", "1"),
        ("a", "2"),
        ("a", "2"),
        ("a-b", "3"),
    ]
    check("GET", url)


def test_query_is_sent_as_it_is_signed() -> None:
    """Whatever was not encoded canonically goes out so: no server can read it in two ways."""
    url = signer().presign("GET", BASE + "k?a=%2f%7e&b=(c)*&&d")
    assert "?X-Amz-Algorithm=" in url
    assert "&a=%2F~&b=%28c%29%2A&d=&" in url
    check("GET", url)


def test_all_given_headers_are_signed() -> None:
    headers = [
        ("Content-Type", "text/plain"),
        ("X-Amz-Meta-A", " b  c "),
        ("x-amz-meta-a", "d"),
        ("If-Match", "e"),
    ]
    url = signer().presign("PUT", BASE + "k", 60, headers)
    assert dict(pairs(url))["X-Amz-SignedHeaders"] == "content-type;host;if-match;x-amz-meta-a"
    check("PUT", url, headers)


def test_signed_content_hash() -> None:
    """A presigned PUT for one body only: the hash is a signed header and the payload of the signature."""
    digest = "ab" * 32
    headers = {"x-amz-content-sha256": digest}
    url = signer().presign("PUT", BASE + "k", 60, headers, digest)
    assert dict(pairs(url))["X-Amz-SignedHeaders"] == "host;x-amz-content-sha256"
    check("PUT", url, headers.items(), digest)


def test_unsigned_token_follows_the_signature() -> None:
    """The services that want it outside the signature take it after it."""
    url = signer(TOKEN, sign_presigned_token=False).presign("GET", BASE + "k")
    assert pairs(url)[-1] == ("X-Amz-Security-Token", TOKEN)
    bare = url[: url.index("&X-Amz-Security-Token=")]
    assert bare == signer().presign("GET", BASE + "k")


def test_express_names_its_token_differently() -> None:
    found = dict(pairs(signer(TOKEN, "s3express").presign("GET", BASE + "k")))
    assert found["X-Amz-S3session-Token"] == TOKEN
    assert "X-Amz-Security-Token" not in found


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("expires", [0, -1, 604_801, 1 << 40, 10**30, -(10**30)])
def test_expires_out_of_range_is_refused(expires: int) -> None:
    for call in (
        lambda: signer().presign("GET", BASE + "k", expires),
        lambda: signer().presign_many("GET", BASE, ["k"], expires),
        lambda: signer().presign_many("GET", BASE, [("k", {"expires": expires})]),
    ):
        with pytest.raises(ConfigError, match=r"604,?800"):
            call()


@pytest.mark.parametrize("expires", [1.5, 60.0, "60", True, [60]])
def test_expires_is_whole_seconds(expires: Any) -> None:
    with pytest.raises(TypeError, match="whole seconds"):
        signer().presign("GET", BASE + "k", expires)
    with pytest.raises(TypeError, match="whole seconds"):
        signer().presign_many("GET", BASE, ["k"], expires)


OWN = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature", "Security-Token")


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("form", ["X-Amz-{}=1", "a=b&X-Amz-{}=1&c", "X%2DAmz-{}=1", "X-Amz-{}"])
def test_own_parameters_are_refused(name: str, form: str) -> None:
    """Two of one name would let a server choose which one it believes."""
    query = form.format(name)
    with pytest.raises(SigningError):
        signer().presign("GET", f"{BASE}k?{query}")
    with pytest.raises(SigningError):
        signer().presign_many("GET", f"{BASE}?{query}", ["k"])


@pytest.mark.parametrize(
    ("method", "url", "headers"),
    [
        ("G ET", BASE, None),
        ("", BASE, None),
        ("GET", "/k", None),
        ("GET", BASE + "k?a=b+c", None),
        ("GET", BASE + "k?a=%zz", None),
        ("GET", BASE + "a%zz", None),
        ("GET", BASE + "a b", None),
        ("GET", BASE, {"x-amz-meta-a": "b\r\nc"}),
        ("GET", BASE, {"Authorization": "mine"}),
    ],
)
def test_what_cannot_be_signed_is_refused(method: str, url: str, headers: Any) -> None:
    with pytest.raises((SigningError, ConfigError)):
        signer().presign(method, url, 60, headers)


def test_secret_and_token_stand_in_no_error() -> None:
    for call in (
        lambda: signer(TOKEN).presign("GET", BASE + "k", 0),
        lambda: signer(TOKEN).presign("GET", BASE + "a%zz"),
        lambda: signer(TOKEN).presign_many("GET", f"{BASE}k?X-Amz-Security-Token={TOKEN}", ["k"]),
    ):
        with pytest.raises(S3AccelError) as caught:
            call()
        assert WHO.secret_access_key not in str(caught.value)
        assert TOKEN not in str(caught.value)


# --- batches ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 64, 65, 127, 129, 1000])
def test_every_count_of_lanes(count: int) -> None:
    """Ragged keys: no two lanes of the kernels have equal lengths."""
    made = signer(TOKEN)
    keys = [f"{'k' * (i * 37 % 1000)}/{i} +é" for i in range(count)]
    urls = made.presign_many("PUT", BASE, keys, 60, {"x-amz-acl": "private"})
    assert urls == [
        made.presign("PUT", BASE + reference.encode(key, "/"), 60, {"x-amz-acl": "private"}) for key in keys
    ]


def test_keys_of_any_iterable_and_bytes() -> None:
    made = signer()
    one = made.presign_many("GET", BASE, ["a", "é", "c d"])
    assert made.presign_many("GET", BASE, (k for k in ("a", "é", "c d"))) == one
    assert made.presign_many("GET", BASE, (b"a", "é".encode(), b"c d")) == one
    assert (
        b"".join(b"%%%02X" % 0xFF for _ in range(1)).decode() in made.presign_many("GET", BASE, [b"\xff"])[0]
    )


def test_options_of_one_key() -> None:
    made = signer()
    wishes = {"response-content-disposition": 'attachment; filename="a+b.txt"', "partNumber": 3}
    urls = made.presign_many(
        "GET",
        BASE + "?versionId=7",
        [
            "plain",
            ("put", {"method": "PUT", "expires": 5, "headers": {"x-amz-acl": "private"}}),
            ("get", {"query": wishes}),
            "end",
        ],
        60,
    )
    found = [dict(pairs(url)) for url in urls]
    assert [f["versionId"] for f in found] == ["7"] * 4
    assert [f["X-Amz-Expires"] for f in found] == ["60", "5", "60", "60"]
    assert [f["X-Amz-SignedHeaders"] for f in found] == ["host", "host;x-amz-acl", "host", "host"]
    assert found[2]["response-content-disposition"] == 'attachment; filename="a+b.txt"'
    assert found[2]["partNumber"] == "3"
    check("GET", urls[0])
    check("PUT", urls[1], [("x-amz-acl", "private")])
    check("GET", urls[2])


def test_unknown_option_is_refused() -> None:
    with pytest.raises(ConfigError, match="'expiry'"):
        signer().presign_many("GET", BASE, ["a", ("b", {"expiry": 3})])


@pytest.mark.parametrize("base", [f"https://{HOST}", BASE + "folder", BASE + "k?a=/"])
def test_base_must_end_where_keys_begin(base: str) -> None:
    with pytest.raises(ConfigError, match="must end in '/'"):
        signer().presign_many("GET", base, ["k"])


@pytest.mark.parametrize("key", [None, 3, object()])
def test_key_that_is_no_key_is_refused(key: Any) -> None:
    with pytest.raises(TypeError):
        signer().presign_many("GET", BASE, ["a", key])


def test_one_date_for_a_batch() -> None:
    ticks = iter(range(int(reference.epoch("20260823T235959Z")), 1 << 40))
    known = Credentials(WHO.access_key_id, WHO.secret_access_key)
    made = Signer(known, WHO.region, clock=lambda: float(next(ticks)))
    urls = made.presign_many("GET", BASE, [str(i) for i in range(500)])
    assert {dict(pairs(url))["X-Amz-Date"] for url in urls} == {"20260823T235959Z"}


def test_iterator_of_batches() -> None:
    made = signer()
    keys = [f"k{i}" for i in range(10)]
    groups = list(made.presign_iter("GET", BASE, iter(keys), 60, batch=4))
    assert [len(group) for group in groups] == [4, 4, 2]
    assert [url for group in groups for url in group] == made.presign_many("GET", BASE, keys, 60)
    assert list(made.presign_iter("GET", BASE, [])) == []
    with pytest.raises(ConfigError, match="batch"):
        next(made.presign_iter("GET", BASE, keys, batch=0))


def test_iterator_reads_no_further_than_asked() -> None:
    """Millions of keys in constant memory: one group is taken from the source at a time."""
    taken = []

    def source() -> Iterator[str]:
        for i in range(1 << 40):
            taken.append(i)
            yield f"key-{i}"

    groups = signer().presign_iter("GET", BASE, source(), batch=100)
    next(groups)
    assert len(taken) == 100
    tracemalloc.start()
    try:
        next(groups)
        first = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            taken.clear()
            next(groups)
        grown = tracemalloc.get_traced_memory()[0] - first
    finally:
        tracemalloc.stop()
    # 100 URLs of 350 characters are 35,000 bytes; fifty groups held would be 1.7 million.
    assert grown < 100_000


BASE_URL = "https://bucket.s3-accelerate.amazonaws.com/"


def gap_signer(token: str | None = None, service: str = "s3", **options: object) -> Signer:
    known = Credentials("AKIAIOSFODNN7EXAMPLE", "secret", token)
    return Signer(known, "eu-west-3", service, clock=lambda: 1.7e9, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("service", ["execute-api", "iotdevicegateway"])
def test_batch_for_other_services(service: str) -> None:
    made = gap_signer("token", service)
    keys = ["a b", "../c", "é"]
    assert made.presign_many("GET", BASE_URL, keys) == made.presign_many(
        "GET", BASE_URL, [(k, {}) for k in keys]
    )


@pytest.mark.parametrize("service", ["s3", "iotdevicegateway"])
def test_batch_with_an_unsigned_token(service: str) -> None:
    made = gap_signer("token", service, sign_presigned_token=False)
    keys = ["a", "b"]
    assert made.presign_many("GET", BASE_URL, keys) == [made.presign("GET", BASE_URL + k) for k in keys]


def test_options_that_are_none() -> None:
    """headers and query of None mean none, as in presign."""
    made = gap_signer()
    assert made.presign_many("GET", BASE_URL, [("k", {"query": None, "headers": None})]) == made.presign_many(
        "GET", BASE_URL, ["k"]
    )


def test_one_text_is_no_list_of_keys() -> None:
    for keys in ("key", b"key"):
        with pytest.raises(ConfigError, match="one key alone goes to presign"):
            gap_signer().presign_many("GET", BASE_URL, keys)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="one key alone goes to presign"):
            list(gap_signer().presign_iter("GET", BASE_URL, keys))  # type: ignore[arg-type]


def test_options_that_are_none_at_all() -> None:
    with pytest.raises(ConfigError, match=r"the options of key 'k' are a mapping, not int"):
        gap_signer().presign_many("GET", BASE_URL, [("k", 900)])  # type: ignore[list-item]


@pytest.mark.parametrize("url", [BASE_URL + "a#b", BASE_URL + "a?b=c#d"])
def test_a_key_that_was_not_encoded(url: str) -> None:
    """What follows a raw '#' is no part of a URL for HTTP: it would be one for another object."""
    with pytest.raises(SigningError, match="write %23") as caught:
        gap_signer().presign("GET", url)
    assert caught.value.offset == url.index("#")
    assert "a%23b" in gap_signer().presign("GET", BASE_URL + "a%23b")
    assert gap_signer().presign_many("GET", BASE_URL, ["a#b"]) == [
        gap_signer().presign("GET", BASE_URL + "a%23b")
    ]


@pytest.mark.parametrize(
    "make",
    [
        lambda s, h: s.sign("PUT", BASE_URL + "k", h),
        lambda s, h: s.presign("PUT", BASE_URL + "k", 60, h),
        lambda s, h: s.presign_many("PUT", BASE_URL, ["k"], 60, h),
        lambda s, h: s.stream("PUT", BASE_URL + "k", h, 3),
    ],
    ids=["sign", "presign", "presign_many", "stream"],
)
@pytest.mark.parametrize("value", [5, None, 1.5])
def test_a_header_that_is_no_text_is_named(make: Callable[..., Any], value: object) -> None:
    with pytest.raises(
        TypeError, match=f"header X-Count: the value must be str or bytes, not {type(value).__name__}"
    ):
        make(gap_signer(), {"X-Count": value})
