"""Reading and setting the acceleration of a bucket: always on the regional host, XML that cannot bite."""

from __future__ import annotations

import pytest

pytest.importorskip("pycurl")
pytest.importorskip("uvicorn")
pytest.importorskip("cryptography")

from s3accel import Credentials
from s3accel.errors import AccessDenied, ConfigError, EndpointError, S3Error, TransportError
from s3accel.local import Answer
from s3accel.transfer import Client
from s3accel.transfer.bucketconfig import ENABLED, NEVER_SET, SUSPENDED, BucketConfig
from s3accel.transfer.messages import Headers, Response
from s3accel.transfer.retry import NO_RETRY

KEY = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")


class Canned:
    """A transport that answers everything alike and remembers what it was sent."""

    def __init__(self, body=b"", status=200):
        self.body, self.status, self.seen = body, status, []

    def send(self, request):
        self.seen.append(
            (request.method, request.url, b"".join(request.body.frames()) if request.body else b"")
        )
        return Response(self.status, Headers(), self.body)


@pytest.fixture
def config(s3accel_server, s3accel_bucket):
    hosts = [f"{s3accel_bucket}.s3.us-east-1.amazonaws.com"]
    with BucketConfig(
        region="us-east-1",
        credentials=s3accel_server.credentials,
        connect_to=s3accel_server.connect_to(*hosts),
        ca_file=s3accel_server.ca_file,
        retry=NO_RETRY,
    ) as made:
        yield made
    s3accel_server.set_fault(None)


def test_off_and_on_again(config, s3accel_server, s3accel_bucket):
    assert config.status(s3accel_bucket) == ENABLED
    config.set(s3accel_bucket, False)
    assert config.status(s3accel_bucket) == SUSPENDED
    config.set(s3accel_bucket, True)
    config.set(s3accel_bucket, True)
    assert config.status(s3accel_bucket) == ENABLED
    # The service took it for what it is.
    host = f"{s3accel_bucket}.s3-accelerate.amazonaws.com"
    with Client(
        region="us-east-1",
        credentials=s3accel_server.credentials,
        connect_to=s3accel_server.connect_to(host),
        ca_file=s3accel_server.ca_file,
    ) as client:
        assert client.upload(b"x", s3accel_bucket, "k").host == host


def test_never_set(config, s3accel_server, s3accel_bucket):
    s3accel_server.empty_bucket(s3accel_bucket, delete=True)
    s3accel_server.create_bucket(s3accel_bucket, acceleration=None)
    assert config.status(s3accel_bucket) == NEVER_SET


def test_denied(config, s3accel_server, s3accel_bucket):
    s3accel_server.set_fault(lambda _: Answer(403, "AccessDenied", "Access Denied"))
    for call in (lambda: config.status(s3accel_bucket), lambda: config.set(s3accel_bucket, False)):
        with pytest.raises(AccessDenied, match="BucketAccelerateConfiguration"):
            call()


def test_no_such_bucket(config, s3accel_server, s3accel_bucket):
    s3accel_server.empty_bucket(s3accel_bucket, delete=True)
    with pytest.raises(S3Error, match="NoSuchBucket"):
        config.status(s3accel_bucket)
    s3accel_server.create_bucket(s3accel_bucket)


def test_names_that_cannot_be_accelerated_are_refused_at_once():
    transport = Canned()
    config = BucketConfig(region="eu-west-1", credentials=KEY, transport=transport)
    with pytest.raises(EndpointError, match="has a dot"):
        config.set("my.bucket", True)
    assert transport.seen == []
    config.set("my.bucket", False)  # suspending is always possible
    assert transport.seen[0][1] == "https://s3.eu-west-1.amazonaws.com/my.bucket?accelerate="


def test_what_goes_over_the_wire():
    transport = Canned()
    config = BucketConfig(region="eu-west-1", credentials=KEY, dualstack=True, transport=transport)
    config.set("bucket", True)
    assert transport.seen == [
        (
            "PUT",
            "https://bucket.s3.dualstack.eu-west-1.amazonaws.com/?accelerate=",
            (
                b'<AccelerateConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status>'
                b"</AccelerateConfiguration>"
            ),
        )
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<AccelerateConf",
        b"<Other/>",
        b"<AccelerateConfiguration><Status>On</Status></AccelerateConfiguration>",
        b'<!DOCTYPE a [<!ENTITY b "Enabled">]><AccelerateConfiguration><Status>&b;</Status></AccelerateConfiguration>',
    ],
)
def test_answers_that_are_none(body):
    config = BucketConfig(region="eu-west-1", credentials=KEY, transport=Canned(body), retry=NO_RETRY)
    with pytest.raises(TransportError):
        config.status("bucket")


def test_options_that_cannot_be():
    with pytest.raises(ConfigError, match="belong to the transport"):
        BucketConfig(transport=Canned(), ca_file="x")
