"""Temporary credentials: session tokens in headers, presigned URLs and forms, and what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from local_forms import post
from local_wire import Answer, Wire

from s3accel import Credentials, Signer
from s3accel.errors import ConfigError
from s3accel.local import LocalServer
from s3accel.postpolicy import sign_post

TOKEN = "IQoJb3JpZ2luX2VjEO///+token/with=signs"


class Endpoint:
    """An endpoint with temporary credentials and a clock that the test moves."""

    def __init__(self) -> None:
        self.now = time.time()
        self.credentials = Credentials("ASIATEST", "secret", TOKEN, self.now + 1000)
        forever = Credentials("ASIAFOREVER", "secret", "another-token")
        known = {"ASIATEST": self.credentials, "ASIAFOREVER": forever}
        self.server = LocalServer(credentials=known, clock=lambda: self.now, max_skew=10_000)
        self.server.start()
        self.wire = Wire(self.server)

    def as_(self, token: str | None = TOKEN, key_id: str = "ASIATEST") -> Credentials:
        """What a client holds: it does not know when the server thinks its token dies."""
        return Credentials(key_id, "secret", token)

    def header(self, credentials: Credentials, method: str = "GET") -> Answer:
        url = f"{self.server.endpoint_url}/bucket/k"
        signer = Signer(credentials, "us-east-1", clock=lambda: self.now)
        headers = {"Host": self.server.address, **signer.sign(method, url, None, b"")}
        return self.wire.raw(method, "/bucket/k", {**headers, "Content-Length": "0"})

    def query(self, credentials: Credentials, method: str = "GET") -> Answer:
        signer = Signer(credentials, "us-east-1", clock=lambda: self.now)
        parts = urlsplit(signer.presign(method, f"{self.server.endpoint_url}/bucket/k"))
        headers = {"Host": parts.netloc, "Content-Length": "0"}
        return self.wire.raw(method, f"{parts.path}?{parts.query}", headers)

    def form(self, credentials: Credentials, method: str = "POST") -> Answer:
        fields = sign_post(credentials, "us-east-1", "bucket", "k", clock=lambda: self.now)
        return post(self.wire, "/bucket", fields)


@pytest.fixture(scope="module")
def module_endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    yield endpoint
    endpoint.server.stop()


@pytest.fixture
def endpoint(module_endpoint: Endpoint) -> Iterator[Endpoint]:
    start = module_endpoint.now
    yield module_endpoint
    module_endpoint.now = start


WAYS: list[Callable[..., Answer]] = [Endpoint.header, Endpoint.query, Endpoint.form]


@pytest.mark.parametrize("way", WAYS)
def test_tokens(endpoint: Endpoint, way: Callable[..., Answer]) -> None:
    method = "POST" if way is Endpoint.form else "PUT"
    for wrong in (None, TOKEN[:-1], TOKEN + "x", "another-token"):
        answer = way(endpoint, endpoint.as_(wrong), method)
        assert (answer.status, answer.code) == (400, "InvalidToken"), wrong
    mixed = way(endpoint, endpoint.as_(TOKEN, "ASIAFOREVER"), method)
    assert (mixed.status, mixed.code) == (400, "InvalidToken")
    assert way(endpoint, endpoint.as_(), method).status in (200, 204)
    assert way(endpoint, endpoint.as_("another-token", "ASIAFOREVER"), method).status in (200, 204)


@pytest.mark.parametrize("way", WAYS)
def test_expiry(endpoint: Endpoint, way: Callable[..., Answer]) -> None:
    method = "POST" if way is Endpoint.form else "PUT"
    endpoint.now += 999
    assert way(endpoint, endpoint.as_(), method).status in (200, 204)
    endpoint.now += 2
    answer = way(endpoint, endpoint.as_(), method)
    assert (answer.status, answer.code) == (400, "ExpiredToken")
    assert way(endpoint, endpoint.as_("wrong"), method).code == "InvalidToken"
    assert endpoint.header(endpoint.as_("another-token", "ASIAFOREVER"), "PUT").status == 200


def test_a_presigned_url_dies_with_its_session(endpoint: Endpoint) -> None:
    signer = Signer(endpoint.as_(), "us-east-1", clock=lambda: endpoint.now)
    parts = urlsplit(signer.presign("GET", f"{endpoint.server.endpoint_url}/bucket?list-type=2", 100_000))
    target, headers = f"{parts.path}?{parts.query}", {"Host": parts.netloc}
    assert endpoint.header(endpoint.as_(), "PUT").status == 200
    assert endpoint.wire.raw("GET", target, headers).status == 200
    endpoint.now += 2000
    assert endpoint.wire.raw("GET", target, headers).code == "ExpiredToken"


def test_signed_chunks(endpoint: Endpoint) -> None:
    signer = Signer(endpoint.as_(), "us-east-1", clock=lambda: endpoint.now)
    url = f"{endpoint.server.endpoint_url}/bucket/stream"
    stream = signer.stream("PUT", url, {}, 20_000, chunk_size=8192, checksum="crc64nvme")
    body = b"".join(stream.pieces(bytes(20_000)))
    headers = {"Host": endpoint.server.address, **stream.headers}
    assert endpoint.wire.raw("PUT", "/bucket/stream", headers, body).status == 200
    headers["X-Amz-Security-Token"] = "another-token"
    assert endpoint.wire.raw("PUT", "/bucket/stream", headers, body).code == "InvalidToken"


def test_boto3() -> None:
    boto3 = pytest.importorskip("boto3")
    from botocore.config import Config
    from botocore.exceptions import ClientError

    good = Credentials("ASIATEST", "secret", TOKEN)
    dead = Credentials("ASIADEAD", "secret", TOKEN, time.time() - 1)
    with LocalServer(credentials={"ASIATEST": good, "ASIADEAD": dead}) as server:
        made: list[Any] = []

        def client(key_id: str, token: str | None) -> Any:
            made.append(
                boto3.client(
                    "s3",
                    region_name=server.region,
                    endpoint_url=server.endpoint_url,
                    verify=str(server.ca_file),
                    aws_access_key_id=key_id,
                    aws_secret_access_key="secret",
                    aws_session_token=token,
                    config=Config(
                        signature_version="s3v4",
                        s3={"addressing_style": "path"},
                        retries={"max_attempts": 1, "mode": "standard"},
                    ),
                )
            )
            return made[-1]

        wire = Wire(server)
        s3 = client("ASIATEST", TOKEN)
        s3.put_object(Bucket="bucket", Key="k", Body=b"data")
        assert s3.get_object(Bucket="bucket", Key="k")["Body"].read() == b"data"
        url = urlsplit(s3.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "k"}))
        assert wire.raw("GET", f"{url.path}?{url.query}", {"Host": url.netloc}).body == b"data"
        signed = s3.generate_presigned_post("bucket", "form")
        assert signed["fields"]["x-amz-security-token"] == TOKEN
        assert post(wire, "/bucket", signed["fields"]).status == 204
        for key_id, token, code in (
            ("ASIATEST", "wrong", "InvalidToken"),
            ("ASIATEST", None, "InvalidToken"),
            ("ASIADEAD", TOKEN, "ExpiredToken"),
        ):
            with pytest.raises(ClientError) as caught:
                client(key_id, token).put_object(Bucket="bucket", Key="k2", Body=b"data")
            assert caught.value.response["Error"]["Code"] == code
        assert [one["Key"] for one in s3.list_objects_v2(Bucket="bucket")["Contents"]] == ["form", "k"]
        for one in made:
            one.close()


def test_credentials_under_another_name() -> None:
    server = LocalServer(credentials={"AKIAONE": Credentials("AKIATWO", "secret")})
    with pytest.raises(ConfigError, match="under 'AKIAONE' are those of 'AKIATWO'"):
        server.start()
