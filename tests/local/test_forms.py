"""Browser uploads: forms with a signed POST policy, from boto3 and from s3accel, and their corrupted twins."""

from __future__ import annotations

import base64
import hashlib
import time
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from typing import Any

import pytest
from local_forms import BOUNDARY, CONTENT_TYPE, changed_policy, encode_form, post
from local_wire import Wire

from s3accel import Signer, checksums
from s3accel.local import FaultRequest, LocalServer
from s3accel.postpolicy import PostPolicy, sign_post

Fields = dict[str, str]


@pytest.fixture
def sign(s3accel_server: LocalServer, s3accel_bucket: str) -> Callable[..., Fields]:
    """A function that signs a form for the bucket of the test."""

    def make(key: str = "user/${filename}", **options: Any) -> Fields:
        return sign_post(s3accel_server.credentials, s3accel_server.region, s3accel_bucket, key, **options)

    return make


def keys(wire: Wire, bucket: str) -> list[str]:
    listed = wire.send("GET", f"/{bucket}?list-type=2").body
    return [node.text or "" for node in ElementTree.fromstring(listed).iter() if node.tag.endswith("}Key")]


def refused(wire: Wire, bucket: str, fields: Any, *file: bytes | None, **options: Any) -> tuple[int, str]:
    """Status and code of a refusal, after which there is nothing in the bucket and nothing half received."""
    answer = post(wire, f"/{bucket}", fields, *file, **options)
    assert keys(wire, bucket) == []
    assert list((wire.server.root / "temporary").iterdir()) == []
    return answer.status, answer.code


def test_boto3_and_urllib(s3accel_server: LocalServer, s3: Any, s3accel_bucket: str) -> None:
    signed = s3.generate_presigned_post(
        s3accel_bucket,
        "pictures/${filename}",
        Fields={"Content-Type": "image/png", "x-amz-meta-who": "me"},
        Conditions=[
            {"Content-Type": "image/png"},
            {"x-amz-meta-who": "me"},
            ["content-length-range", 1, 3_000_000],
        ],
    )
    data = bytes(range(256)) * 8000
    import ssl

    context = ssl.create_default_context(cafile=str(s3accel_server.ca_file))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    request = urllib.request.Request(
        signed["url"],
        encode_form(signed["fields"].items(), data, "a cat.png"),
        {"Content-Type": CONTENT_TYPE},
    )
    with opener.open(request) as answer:
        assert (answer.status, answer.read()) == (204, b"")
        assert answer.headers["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    got = s3.get_object(Bucket=s3accel_bucket, Key="pictures/a cat.png")
    assert got["Body"].read() == data
    assert (got["ContentType"], got["Metadata"]) == ("image/png", {"who": "me"})


@pytest.mark.parametrize("form", ["{0}.s3-accelerate.amazonaws.com", "{0}.s3.us-east-1.amazonaws.com"])
def test_the_buckets_own_host(
    wire: Wire, s3accel_bucket: str, sign: Callable[..., Fields], form: str
) -> None:
    host = form.format(s3accel_bucket)
    answer = post(wire, "/", sign("a/b c"), host=host)
    assert (answer.status, answer.headers["location"]) == (204, f"https://{host}/a%2Fb%20c")
    assert wire.send("GET", "/a/b%20c", host=host).body == b"the file"


@pytest.mark.parametrize(
    ("value", "status"), [("200", 200), ("201", 201), ("204", 204), ("202", 204), ("", 204)]
)
def test_success_action_status(
    wire: Wire, s3accel_bucket: str, sign: Callable[..., Fields], value: str, status: int
) -> None:
    answer = post(wire, f"/{s3accel_bucket}", sign(fields={"success_action_status": value}), filename="ä&b")
    assert answer.status == status
    location = f"https://{wire.server.address}/{s3accel_bucket}/user%2F%C3%A4%26b"
    assert answer.headers["location"] == location
    if status != 201:
        assert answer.body == b""
        return
    document = ElementTree.fromstring(answer.body)
    assert document.tag == "PostResponse"
    assert {child.tag: child.text for child in document} == {
        "Location": location,
        "Bucket": s3accel_bucket,
        "Key": "user/ä&b",
        "ETag": answer.headers["etag"],
    }


@pytest.mark.parametrize(
    ("target", "start"),
    [
        ("https://example.org/done", "https://example.org/done?bucket="),
        ("http://example.org/?a=1#top", "http://example.org/?a=1&bucket="),
        ("javascript:alert(1)", None),
        ("//example.org/", None),
        ("https://exa mple.org/", None),
        ("https://[", None),
        ("https://example.org/\r\nSet-Cookie: a=b", None),
    ],
)
def test_success_action_redirect(
    wire: Wire, s3accel_bucket: str, sign: Callable[..., Fields], target: str, start: str | None
) -> None:
    fields = sign("k", fields={"success_action_redirect": target, "success_action_status": "200"})
    answer = post(wire, f"/{s3accel_bucket}", fields)
    assert "set-cookie" not in answer.headers
    if start is None:
        assert answer.status == 200
        return
    md5 = hashlib.md5(b"the file").hexdigest()
    end = "#top" if target.endswith("#top") else ""
    expected = f"{start}{s3accel_bucket}&key=k&etag=%22{md5}%22{end}"
    assert (answer.status, answer.headers["location"]) == (303, expected)


def test_what_is_stored(wire: Wire, s3accel_bucket: str, sign: Callable[..., Fields]) -> None:
    fields = sign(
        "k",
        fields={
            "acl": "private",
            "Cache-Control": "max-age=1",
            "X-Amz-Meta-Note": "päck",
            "x-amz-storage-class": "STANDARD_IA",
            "x-amz-server-side-encryption": "AES256",
        },
    )
    # Neither the file part's type nor an HTTP header counts, nor what the page has below the file.
    below = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="x-amz-meta-a"\r\n\r\n1\r\n'.encode()
    more = {**fields, "x-ignore-me": "1"}
    answer = post(wire, f"/{s3accel_bucket}", more, after=below, headers={"Cache-Control": "no"})
    assert (answer.status, answer.headers["x-amz-server-side-encryption"]) == (204, "AES256")
    head = wire.send("HEAD", f"/{s3accel_bucket}/k", headers={"x-amz-checksum-mode": "ENABLED"}).headers
    assert head["cache-control"] == "max-age=1"
    assert head["content-type"] == "binary/octet-stream"
    assert head["x-amz-meta-note"].encode("latin-1").decode() == "päck"
    assert head["x-amz-storage-class"] == "STANDARD_IA"
    assert head["x-amz-checksum-crc64nvme"] == answer.headers["x-amz-checksum-crc64nvme"]
    assert "x-amz-meta-a" not in head


@pytest.mark.parametrize("name", sorted(checksums.ALGORITHMS))
def test_checksum_fields(wire: Wire, s3accel_bucket: str, sign: Callable[..., Fields], name: str) -> None:
    if name.startswith("xxhash"):
        pytest.importorskip("xxhash", reason=f"{name} needs the package xxhash")
    running = checksums.new(name)
    running.update(b"the file")
    header = f"x-amz-checksum-{name}"
    value = checksums.encode(running.digest())
    fields = sign("k", fields={header: value, "x-amz-checksum-algorithm": name.upper()})
    answer = refused(wire, s3accel_bucket, fields, b"the filE")
    assert answer == (400, "BadDigest")
    answer = post(wire, f"/{s3accel_bucket}", fields)
    assert (answer.status, answer.headers[header]) == (204, value)


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ({"x-amz-checksum-crc32": "AAAA"}, "InvalidRequest"),
        ({"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-crc32c": "AAAAAA=="}, "InvalidRequest"),
        ({"x-amz-checksum-algorithm": "CRC32"}, "InvalidRequest"),
        ({"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-crc32c": "AAAAAA=="}, "InvalidRequest"),
        ({"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, "BadDigest"),
        ({"Content-MD5": "?"}, "InvalidDigest"),
        ({"acl": "public-read"}, "AccessControlListNotSupported"),
        ({"tagging": "<Tagging/>"}, "NotImplemented"),
        ({"x-amz-website-redirect-location": "/"}, "NotImplemented"),
        ({"x-amz-server-side-encryption": "aws:kms"}, "NotImplemented"),
        ({"x-amz-storage-class": "NONE"}, "InvalidStorageClass"),
        ({"x-amz-meta-a": "a" * 2050}, "MetadataTooLarge"),
        ({"Content-Type": "text/\x01"}, "InvalidArgument"),
    ],
)
def test_fields_that_are_refused(
    wire: Wire, s3accel_bucket: str, sign: Callable[..., Fields], extra: Fields, code: str
) -> None:
    assert refused(wire, s3accel_bucket, sign("k", fields=extra))[1] == code


def _flip(fields: Fields) -> Fields:
    signature = fields["x-amz-signature"]
    return {**fields, "x-amz-signature": ("0" if signature[0] != "0" else "1") + signature[1:]}


@pytest.mark.parametrize(
    ("corrupt", "status", "code"),
    [
        (lambda f: changed_policy(f, expiration="2100-01-01T00:00:00Z"), 403, "SignatureDoesNotMatch"),
        (lambda f: changed_policy(f, conditions=[]), 403, "SignatureDoesNotMatch"),
        (_flip, 403, "SignatureDoesNotMatch"),
        (lambda f: {**f, "x-amz-date": f["x-amz-date"][:-2] + "xZ"}, 400, "InvalidArgument"),
        (lambda f: {**f, "policy": "!"}, 403, "SignatureDoesNotMatch"),
        (lambda f: {"x-amz-meta-a": "1", **f}, 403, "AccessDenied"),
        (lambda f: {"submit": "Send", **f}, 403, "AccessDenied"),
        (lambda f: {**f, "key": "elsewhere/k"}, 403, "AccessDenied"),
        (lambda f: {**f, "key": "User/k"}, 403, "AccessDenied"),
        (lambda f: {**f, "key": "user/" + "k" * 1020}, 400, "KeyTooLongError"),
        (lambda f: {**f, "acl": "bucket-owner-full-control"}, 403, "AccessDenied"),
        (lambda f: [*f.items(), ("Key", "user/k")], 400, "InvalidArgument"),
        (lambda f: {**f, "x-ignore-a": "a" * 21_000}, 400, "MaxPostPreDataLengthExceededError"),
        (lambda f: {n: v for n, v in f.items() if n != "key"}, 400, "InvalidArgument"),
        (lambda f: {n: v for n, v in f.items() if n != "acl"}, 403, "AccessDenied"),
        (lambda f: {n: v for n, v in f.items() if n != "policy"}, 400, "InvalidArgument"),
        (lambda f: {n: v for n, v in f.items() if n != "x-amz-signature"}, 400, "InvalidArgument"),
        (lambda f: {"key": f["key"]}, 403, "AccessDenied"),
        (
            lambda f: {"key": "k", "AWSAccessKeyId": "A", "policy": "e30=", "signature": "s"},
            400,
            "InvalidArgument",
        ),
        (lambda f: {"key": "k", "AWSAccessKeyId": "A", "signature": "s"}, 400, "InvalidRequest"),
        (
            lambda f: {**f, "x-amz-credential": "AKIANOBODY/" + f["x-amz-credential"].partition("/")[2]},
            403,
            "InvalidAccessKeyId",
        ),
        (
            lambda f: {**f, "x-amz-credential": f["x-amz-credential"].replace("us-east-1", "eu-west-1")},
            400,
            "InvalidArgument",
        ),
        (lambda f: {**f, "x-amz-security-token": "t"}, 400, "InvalidToken"),
    ],
)
def test_corrupted_forms(
    wire: Wire,
    s3accel_bucket: str,
    sign: Callable[..., Fields],
    corrupt: Callable[[Fields], Any],
    status: int,
    code: str,
) -> None:
    fields = sign(fields={"acl": "private"}, content_length_range=(1, 100))
    assert refused(wire, s3accel_bucket, corrupt(fields)) == (status, code)
    assert post(wire, f"/{s3accel_bucket}", fields).status == 204  # the uncorrupted twin


@pytest.mark.parametrize(
    ("size", "code"), [(1, "EntityTooSmall"), (301, "EntityTooLarge"), (3_000_000, "EntityTooLarge")]
)
def test_sizes(wire: Wire, s3accel_bucket: str, sign: Callable[..., Fields], size: int, code: str) -> None:
    fields = sign("k", content_length_range=(2, 300))
    assert refused(wire, s3accel_bucket, fields, bytes(size)) == (400, code)
    assert post(wire, f"/{s3accel_bucket}", fields, bytes(2)).status == 204
    assert post(wire, f"/{s3accel_bucket}", fields, bytes(300)).status == 204


def test_expired_and_another_bucket(
    wire: Wire, s3accel_bucket: str, s3accel_server: LocalServer, sign: Callable[..., Fields]
) -> None:
    old = sign("k", expires=60, clock=lambda: time.time() - 61)
    assert refused(wire, s3accel_bucket, old) == (403, "AccessDenied")
    other = sign_post(s3accel_server.credentials, "us-east-1", "another-bucket", "k")
    assert refused(wire, s3accel_bucket, other) == (403, "AccessDenied")


def test_a_bad_signature_is_explained(wire: Wire, s3accel_bucket: str, sign: Callable[..., Fields]) -> None:
    fields = changed_policy(sign("k"), expiration="2100-01-01T00:00:00Z")
    error = post(wire, f"/{s3accel_bucket}", fields).error
    assert error["StringToSign"] == fields["policy"]
    assert error["SignatureProvided"] == fields["x-amz-signature"]
    assert "CanonicalRequest" not in error


def test_forms_that_are_none(wire: Wire, s3accel_bucket: str, sign: Callable[..., Fields]) -> None:
    fields = sign("k")
    no_form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert refused(wire, s3accel_bucket, fields, headers=no_form) == (412, "PreconditionFailed")
    no_boundary = {"Content-Type": "multipart/form-data"}
    assert refused(wire, s3accel_bucket, fields, headers=no_boundary) == (400, "MalformedPOSTRequest")
    assert refused(wire, s3accel_bucket, fields, None) == (400, "InvalidArgument")
    signed = wire.headers("POST", f"/{s3accel_bucket}")
    both = {"Authorization": signed["Authorization"]}
    assert refused(wire, s3accel_bucket, fields, headers=both) == (400, "InvalidArgument")
    for name in ("x-amz-content-sha256", "If-None-Match", "Content-Encoding", "x-amz-acl", "x-amz-meta-a"):
        assert refused(wire, s3accel_bucket, fields, headers={name: "a"}) == (501, "NotImplemented")
    assert post(wire, f"/{s3accel_bucket}?acl", fields).code == "NotImplemented"
    assert post(wire, f"/{s3accel_bucket}/k", fields).code == "MethodNotAllowed"
    assert post(wire, "/", fields).code == "MethodNotAllowed"


def test_framing(wire: Wire, s3accel_bucket: str, sign: Callable[..., Fields]) -> None:
    body = encode_form(sign("k").items(), b"x")
    headers = {"Host": wire.server.address, "Content-Type": CONTENT_TYPE}
    path = f"/{s3accel_bucket}"
    assert wire.raw("POST", path, headers).code == "MissingContentLength"
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    assert (
        wire.raw("POST", path, {**headers, "Transfer-Encoding": "chunked"}, chunked).code == "NotImplemented"
    )
    huge = {**headers, "Content-Length": str(6 * 1024**3), "Expect": "100-continue"}
    assert wire.raw("POST", path, huge).code == "EntityTooLarge"
    short = body[:-4]
    answer = wire.raw("POST", path, {**headers, "Content-Length": str(len(short))}, short)
    assert (answer.status, answer.code) == (400, "MalformedPOSTRequest")
    assert keys(wire, s3accel_bucket) == []


def test_a_client_that_goes_away(wire: Wire, s3accel_bucket: str, sign: Callable[..., Fields]) -> None:
    body = encode_form(sign("k").items(), bytes(400_000))
    for length in (100, 300_000):
        before = wire.server.stats.refusals.get("IncompleteBody", 0)
        connection = wire.connect()
        connection.putrequest("POST", f"/{s3accel_bucket}", skip_accept_encoding=True)
        connection.putheader("Content-Type", CONTENT_TYPE)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:length])
        connection.close()
        deadline = time.monotonic() + 5
        while wire.server.stats.refusals.get("IncompleteBody", 0) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert wire.server.stats.refusals["IncompleteBody"] == before + 1
    assert list((wire.server.root / "temporary").iterdir()) == []


def test_counters_and_hooks(
    wire: Wire, s3accel_bucket: str, s3accel_server: LocalServer, sign: Callable[..., Fields]
) -> None:
    seen: list[FaultRequest] = []
    s3accel_server.set_fault(lambda request: seen.append(request))
    before = s3accel_server.stats.snapshot()
    try:
        post(wire, f"/{s3accel_bucket}", _flip(sign("k")))
        post(wire, f"/{s3accel_bucket}", sign("k"))
    finally:
        s3accel_server.set_fault(None)
    after = s3accel_server.stats.snapshot()
    assert [(one.operation, one.bucket, one.key) for one in seen] == [
        ("PostObject", s3accel_bucket, None)
    ] * 2
    assert after.signatures_verified - before.signatures_verified == 1
    assert after.operations["PostObject"] - before.operations.get("PostObject", 0) == 1


def test_buckets_are_made_by_forms_that_are_right(s3accel_server: LocalServer, wire: Wire) -> None:
    signer = Signer(s3accel_server.credentials, s3accel_server.region)
    fields = PostPolicy("new-bucket", "k").size(0, 10).sign(signer)
    assert post(wire, "/new-bucket", _flip(fields)).code == "SignatureDoesNotMatch"
    assert wire.send("HEAD", "/new-bucket").status == 404
    assert post(wire, "/new-bucket", fields, b"").status == 204
    s3accel_server.empty_bucket("new-bucket", delete=True)


def test_an_empty_and_a_big_file(wire: Wire, s3accel_bucket: str, sign: Callable[..., Fields]) -> None:
    for data in (b"", b"\r\n--" + BOUNDARY[:-1].encode() + b"\r\n", bytes(20_000_000)):
        fields = sign("k", fields={"Content-MD5": base64.b64encode(hashlib.md5(data).digest()).decode()})
        assert post(wire, f"/{s3accel_bucket}", fields, data).status == 204
        assert wire.send("GET", f"/{s3accel_bucket}/k").body == data
