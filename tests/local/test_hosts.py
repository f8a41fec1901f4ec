"""Virtual hosts over TLS: which names reach which bucket, and what the acceleration endpoint does not serve."""

from __future__ import annotations

import pytest
from local_wire import Wire

from s3accel.local import LocalServer

HOSTS = [
    "{}.s3-accelerate.amazonaws.com",
    "{}.s3-accelerate.dualstack.amazonaws.com",
    "{}.s3-accelerate.amazonaws.com:8443",
    "{}.s3.amazonaws.com",
    "{}.s3.us-east-1.amazonaws.com",
    "{}.s3.dualstack.us-east-1.amazonaws.com",
]


@pytest.mark.parametrize("form", HOSTS)
def test_virtual_hosts(wire: Wire, s3accel_bucket: str, form: str) -> None:
    host = form.format(s3accel_bucket)
    assert wire.send("PUT", "/a//../b%20c", host=host, body=b"x").status == 200
    assert wire.send("GET", f"/{s3accel_bucket}/a//../b%20c").body == b"x"
    assert wire.send("GET", "/a//../b%20c", host=host).body == b"x"


@pytest.mark.parametrize(
    "path", ["//lead", "//", "///x//", "/..", "/../..", "/.", "/a%3Fb%23c", "/http%3A//h/p"]
)
def test_paths_that_look_like_something_else(wire: Wire, s3accel_bucket: str, path: str) -> None:
    host = f"{s3accel_bucket}.s3-accelerate.amazonaws.com"
    assert wire.send("PUT", path, host=host, body=path.encode()).status == 200
    assert wire.send("GET", path, host=host).body == path.encode()
    assert wire.send("GET", f"/{s3accel_bucket}{path}").body == path.encode()


@pytest.mark.parametrize("host", ["s3.amazonaws.com", "s3.us-east-1.amazonaws.com", "localhost"])
def test_path_style_hosts(wire: Wire, s3accel_bucket: str, host: str) -> None:
    assert wire.send("PUT", f"/{s3accel_bucket}/k", host=host, body=b"x").status == 200
    assert wire.send("GET", "/", host=host).status == 200


def refusal(wire: Wire, method: str, path: str, host: str, body: bytes = b"") -> str:
    answer = wire.send(method, path, host=host, body=body)
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    return answer.error["Message"]


def test_what_cannot_be_accelerated(wire: Wire, s3accel_server: LocalServer, s3accel_bucket: str) -> None:
    host = "s3-accelerate.amazonaws.com"
    only_virtual = "S3 Transfer Acceleration endpoint only supports virtual style requests."
    assert refusal(wire, "GET", "/", host) == only_virtual
    assert refusal(wire, "GET", f"/{s3accel_bucket}/k", host) == only_virtual
    mine = f"{s3accel_bucket}.{host}"
    assert "does not support CreateBucket" in refusal(wire, "PUT", "/", mine)
    assert "does not support DeleteBucket" in refusal(wire, "DELETE", "/", mine)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (None, "S3 Transfer Acceleration is not configured on this bucket"),
        ("Suspended", "S3 Transfer Acceleration is disabled on this bucket"),
    ],
)
def test_buckets_without_acceleration(
    wire: Wire, s3accel_server: LocalServer, state: str | None, message: str
) -> None:
    name = f"not-accelerated-{str(state).lower()}"
    s3accel_server.create_bucket(name, acceleration=state)
    assert refusal(wire, "PUT", "/k", f"{name}.s3-accelerate.amazonaws.com", b"x") == message
    assert wire.send("PUT", "/k", host=f"{name}.s3.amazonaws.com", body=b"x").status == 200
    s3accel_server.empty_bucket(name, delete=True)


def test_the_configuration_round_trip(wire: Wire, s3accel_server: LocalServer) -> None:
    s3accel_server.create_bucket("configured", acceleration=None)
    assert b"<Status>" not in wire.send("GET", "/configured?accelerate").body
    body = b"<AccelerateConfiguration><Status>Enabled</Status></AccelerateConfiguration>"
    assert wire.send("PUT", "/configured?accelerate", body=body).status == 200
    assert b"<Status>Enabled</Status>" in wire.send("GET", "/configured?accelerate").body
    assert wire.send("PUT", "/k", host="configured.s3-accelerate.amazonaws.com", body=b"x").status == 200
    assert (
        wire.send("PUT", "/configured?accelerate", body=body.replace(b"Enabled", b"On")).code
        == "MalformedXML"
    )
    s3accel_server.empty_bucket("configured", delete=True)


def test_dotted_buckets(wire: Wire, s3accel_server: LocalServer) -> None:
    assert wire.send("PUT", "/dotted.bucket/k", body=b"x").status == 200
    body = b"<AccelerateConfiguration><Status>Enabled</Status></AccelerateConfiguration>"
    answer = wire.send("PUT", "/dotted.bucket?accelerate", body=body)
    assert answer.error["Message"].endswith("not supported for buckets with periods (.) in their names")
    headers = wire.headers("GET", "/k", host="dotted.bucket.s3-accelerate.amazonaws.com")
    assert "periods" in wire.raw("GET", "/k", headers).error["Message"]
    s3accel_server.empty_bucket("dotted.bucket", delete=True)


def test_the_first_write_makes_the_bucket(wire: Wire, s3accel_server: LocalServer) -> None:
    host = "made-on-the-way.s3-accelerate.amazonaws.com"
    assert wire.send("GET", "/k", host=host).code == "NoSuchBucket"
    assert wire.send("PUT", "/k", host=host, body=b"x").status == 200
    s3accel_server.empty_bucket("made-on-the-way", delete=True)
    assert wire.send("PUT", "/No_Bucket/k", body=b"x").code == "InvalidBucketName"
