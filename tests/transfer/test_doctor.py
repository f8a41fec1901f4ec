"""The doctor against the local endpoint: what it finds when all is well, and for each thing that is not."""

from __future__ import annotations

import json
import socket
import time

import pytest

pytest.importorskip("pycurl")
pytest.importorskip("uvicorn")
pytest.importorskip("cryptography")

from s3accel import Credentials
from s3accel.errors import ConfigError, CredentialsError, EndpointError
from s3accel.local import Answer, Cut, LocalServer, Slow
from s3accel.transfer.doctor import FAIL, OK, SKIP, WARN, Doctor
from s3accel.transfer.doctor_access import PREFIX
from s3accel.transfer.doctor_checks import check_credentials
from s3accel.transfer.doctor_speed import Speed
from s3accel.transfer.endpoint import resolve

ACCELERATED = "s3-accelerate.amazonaws.com"
MIB = 1 << 20


@pytest.fixture
def examine(s3accel_server, s3accel_bucket):
    """A whole examination of the bucket, both host names led to the endpoint."""
    regional, fast = f"{s3accel_bucket}.s3.us-east-1.amazonaws.com", f"{s3accel_bucket}.{ACCELERATED}"

    def run(bucket=s3accel_bucket, fault=None, connect=(), **options):
        s3accel_server.set_fault(fault)
        options = {
            "region": "us-east-1",
            "credentials": s3accel_server.credentials,
            "connect_to": {**s3accel_server.connect_to(regional, fast), **dict(connect)},
            "ca_file": s3accel_server.ca_file,
            "round_trips": 3,
            **options,
        }
        return Doctor(bucket, **options).report()

    yield run
    s3accel_server.set_fault(None)


def statuses(report):
    return {(check.name, check.route): check.status for check in report.checks}


def test_all_is_well(examine, s3accel_server, s3accel_bucket):
    report = examine()
    assert report.ok
    assert statuses(report) == {
        ("bucket-name", ""): OK,
        ("credentials", ""): OK,
        ("dns", "regional"): OK,
        ("dns", "accelerate"): OK,
        ("region", ""): OK,
        ("clock", ""): OK,
        ("tls", "regional"): WARN,  # this endpoint's certificate is not Amazon's
        ("tls", "accelerate"): WARN,
        ("acceleration", ""): OK,
        ("HeadBucket", ""): OK,
        ("ListObjectsV2", ""): OK,
        ("accelerated-host", "accelerate"): OK,
        ("PutObject", ""): SKIP,
        ("round-trip", "regional"): OK,
        ("round-trip", "accelerate"): OK,
        ("throughput", ""): SKIP,
        ("route", ""): OK,
    }
    for check in report.checks:
        assert check.text
        assert bool(check.remedy) == (check.status in (WARN, FAIL)), check
        json.dumps(check.as_dict())
    tls = report.find("tls", "accelerate")
    assert tls.data["tls_version"] in ("TLSv1.2", "TLSv1.3")
    assert tls.data["cipher"]
    assert "s3accel throwaway test CA" in tls.data["issuer"]
    assert "not a certificate of Amazon's" in tls.text
    assert report.find("round-trip", "regional").data["requests"] == 3
    assert report.find("region").data["region"] == "us-east-1"
    # Nothing was written.
    assert "PutObject" not in {check.name for check in report.checks if check.status != SKIP}


def test_nothing_is_changed_unless_asked_for(examine, s3accel_server):
    before = s3accel_server.stats.operations
    examine()
    made = {name for name, count in s3accel_server.stats.operations.items() if count != before.get(name)}
    assert made == {"HeadBucket", "ListObjectsV2", "GetBucketAccelerateConfiguration"}


def test_secrets_are_not_shown(examine, s3accel_server):
    secret = Credentials(s3accel_server.access_key_id, s3accel_server.secret_access_key, "thetokenthetoken")
    report = examine(credentials=secret)
    text = repr(report) + json.dumps([check.as_dict() for check in report.checks])
    for hidden in (secret.access_key_id, secret.secret_access_key, "thetokenthetoken"):
        assert hidden not in text


# -- what was asked for


def listing(server, bucket):
    return list(server._app.services.store.bucket(bucket).objects)


def test_write_test_cleans_up(examine, s3accel_server, s3accel_bucket):
    report = examine(write_test=True)
    check = report.find("PutObject", "accelerate")
    assert check.status == OK
    assert listing(s3accel_server, s3accel_bucket) == []


def test_write_denied(examine):
    def denied(request):
        return Answer(403, "AccessDenied", "no") if request.method == "PUT" else None

    check = examine(fault=denied, write_test=True).find("PutObject", "accelerate")
    assert (check.status, check.remedy) == (FAIL, "allow s3:PutObject there")


def test_a_probe_that_cannot_be_deleted_is_named(examine, s3accel_server, s3accel_bucket):
    def kept(request):
        return Answer(403, "AccessDenied", "no") if request.method == "DELETE" else None

    report = examine(fault=kept, write_test=True, throughput=MIB, connections=2)
    (left, *others) = sorted(listing(s3accel_server, s3accel_bucket))
    assert all(key.startswith(PREFIX) for key in (left, *others))
    assert len(others) == 8
    check = report.find("PutObject", "accelerate")
    assert check.status == WARN
    assert check.data["left"] in (left, *others)
    assert report.find("throughput", "regional").status == WARN
    assert set(report.find("throughput", "regional").data["left"]) < {left, *others}


def test_throughput_of_both_routes(examine, s3accel_server, s3accel_bucket):
    def slow(request):
        return Slow(per_mebibyte=0.1) if request.method == "PUT" and ACCELERATED not in request.host else None

    report = examine(fault=slow, throughput=4 * MIB, connections=2)
    regional, fast = (report.find("throughput", route) for route in ("regional", "accelerate"))
    assert (regional.status, fast.status) == (OK, OK)
    assert regional.data["bytes"] == fast.data["bytes"] == 4 * MIB
    assert regional.data["bytes_per_second"] < fast.data["bytes_per_second"]
    assert report.find("route").data["use"] == "accelerate"
    assert listing(s3accel_server, s3accel_bucket) == []


def test_acceleration_that_does_not_pay(examine):
    def slow(request):
        return Slow(per_mebibyte=0.1) if request.method == "PUT" and ACCELERATED in request.host else None

    check = examine(fault=slow, throughput=4 * MIB, connections=2).find("route")
    assert (check.status, check.data["use"]) == (WARN, "regional")
    assert "does not pay" in check.text


def test_throughput_that_fails_leaves_nothing(examine, s3accel_server, s3accel_bucket):
    def late(request):
        return Cut(after_work=True) if request.method == "PUT" and ACCELERATED in request.host else None

    report = examine(fault=late, throughput=MIB, connections=2)
    assert report.find("throughput", "accelerate").status == FAIL
    assert report.find("throughput", "regional").status == OK
    assert not report.ok
    assert listing(s3accel_server, s3accel_bucket) == []


def test_round_trips_tell_the_near_route(examine):
    def far(request):
        return Slow(0.02) if request.operation == "HeadBucket" and ACCELERATED not in request.host else None

    report = examine(fault=far)
    near, other = (report.find("round-trip", route).data["median"] for route in ("accelerate", "regional"))
    assert other >= 0.02 > near
    assert "is nearer than" in report.find("route").text


@pytest.mark.parametrize(
    ("accelerated", "regional", "says"),
    [
        (0.0005, 0.0005, "about as near as"),
        (0.0024, 0.0005, "about as near as"),  # milliseconds are noise
        (0.100, 0.109, "about as near as"),
        (0.100, 0.120, "nearer than"),
        (0.120, 0.100, "not as near as"),
    ],
)
def test_round_trips_that_are_alike_are_called_so(accelerated, regional, says):
    hosts = {
        route: resolve("my-bucket", "us-east-1", accelerate=route == "accelerate")
        for route in ("regional", "accelerate")
    }
    speed = Speed(None, hosts, set(hosts), time.monotonic)
    check = speed._advice({}, {"accelerate": [accelerated] * 3, "regional": [regional] * 3})
    assert f"is {says} the region" in check.text


# -- acceleration


@pytest.mark.parametrize(("status", "word"), [("Suspended", "suspended"), (None, "not configured")])
def test_acceleration_that_is_off(examine, s3accel_server, s3accel_bucket, status, word):
    s3accel_server.empty_bucket(s3accel_bucket, delete=True)
    s3accel_server.create_bucket(s3accel_bucket, acceleration=status)
    report = examine(write_test=True)
    check = report.find("acceleration")
    assert (check.status, check.remedy) == (FAIL, f"s3accel accelerate on {s3accel_bucket}")
    assert word in check.text
    host = report.find("accelerated-host", "accelerate")
    assert host.status == FAIL
    assert "--no-accelerate" in host.remedy
    # The rest goes on over the regional route.
    assert report.find("PutObject", "regional").status == OK
    assert report.find("route").data["use"] == "regional"
    assert examine(accelerate=False).ok


def test_a_name_with_a_dot(s3accel_server):
    bucket = "with.a.dot"
    s3accel_server.create_bucket(bucket, acceleration=None)
    try:
        report = Doctor(
            bucket,
            region="us-east-1",
            credentials=s3accel_server.credentials,
            connect_to=s3accel_server.connect_to("s3.us-east-1.amazonaws.com"),
            ca_file=s3accel_server.ca_file,
            round_trips=1,
        ).report()
    finally:
        s3accel_server.empty_bucket(bucket, delete=True)
    assert [check.name for check in report.checks if check.status == FAIL] == ["bucket-name"]
    assert "has a dot" in report.find("bucket-name").text
    assert report.find("ListObjectsV2").status == OK


def test_a_name_that_cannot_be():
    report = Doctor("no such name!", credentials=Credentials("AKID", "secret"), transport=object()).report()
    assert [(check.name, check.status) for check in report.checks] == [("bucket-name", FAIL)]


# -- the network


def test_an_accelerated_host_that_is_unreachable(examine, s3accel_bucket):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{listener.getsockname()[1]}"
        report = examine(connect=[(f"{s3accel_bucket}.{ACCELERATED}:443", dead)], write_test=True)
    tls = report.find("tls", "accelerate")
    assert tls.status == FAIL
    assert "not reachable" in tls.text
    assert report.find("accelerated-host", "accelerate") is None
    assert report.find("PutObject", "regional").status == OK
    assert report.find("route").data["use"] == "regional"


def test_nothing_is_reachable(examine, s3accel_bucket):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{listener.getsockname()[1]}"
        hosts = (f"{s3accel_bucket}.{ACCELERATED}:443", f"{s3accel_bucket}.s3.us-east-1.amazonaws.com:443")
        report = examine(connect=[(host, dead) for host in hosts])
    assert report.find("region").status == FAIL
    assert report.find("clock").status == SKIP
    assert report.checks[-1].name == "tls"


def test_a_certificate_that_is_not_trusted(examine):
    with LocalServer() as stranger:
        report = examine(ca_file=stranger.ca_file)
    tls = report.find("tls", "regional")
    assert tls.status == FAIL
    assert "--ca-file" in tls.remedy


def test_names_are_looked_up(s3accel_server, s3accel_bucket):
    def lookup(host, port, **_):
        if ACCELERATED in host:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, 1, 6, "", (f"192.0.2.{number}", port)) for number in range(1, 6)]

    class Unreachable:
        def send(self, request):
            from s3accel.errors import ConnectError

            raise ConnectError("no connection", host=request.host, phase="connect")

    report = Doctor(
        s3accel_bucket, credentials=s3accel_server.credentials, lookup=lookup, transport=Unreachable()
    ).report()
    assert report.find("dns", "accelerate").status == FAIL
    regional = report.find("dns", "regional")
    assert regional.status == OK
    assert "192.0.2.1, 192.0.2.2, 192.0.2.3 and 2 more" in regional.text


# -- region and clock


def test_the_wrong_region_is_found_out(s3accel_bucket, tmp_path):
    with LocalServer(region="eu-west-1") as server:
        server.create_bucket("in-europe")
        hosts = [
            f"in-europe.{name}"
            for name in (ACCELERATED, "s3.us-east-1.amazonaws.com", "s3.eu-west-1.amazonaws.com")
        ]
        report = Doctor(
            "in-europe",
            region="us-east-1",
            credentials=server.credentials,
            connect_to=server.connect_to(*hosts),
            ca_file=server.ca_file,
            round_trips=1,
        ).report()
    check = report.find("region")
    assert (check.status, check.data["region"]) == (WARN, "eu-west-1")
    assert "--region eu-west-1" in check.remedy
    assert report.find("ListObjectsV2").status == OK
    assert report.find("accelerated-host", "accelerate").status == OK


@pytest.mark.parametrize(("ahead", "status"), [(0, OK), (-300, WARN), (3600, FAIL), (-7200, FAIL)])
def test_clocks(examine, ahead, status):
    report = examine(clock=lambda: time.time() + ahead)
    check = report.find("clock")
    assert check.status == status
    assert check.data["offset"] == pytest.approx(-ahead, abs=2)
    # The examination goes on with S3's time.
    assert report.find("ListObjectsV2").status == OK


# -- credentials and permissions


class Nothing:
    def load(self):
        raise CredentialsError("there are none")


def test_without_credentials_the_rest_is_still_seen(examine):
    report = examine(credentials=Nothing())
    assert report.find("credentials").status == FAIL
    assert "there are none" in report.find("credentials").text
    assert report.find("tls", "accelerate").status == WARN
    assert report.find("permissions").status == SKIP
    assert report.find("round-trip", "accelerate").status == OK
    assert not report.ok


def test_where_credentials_come_from(examine, s3accel_server, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3accel_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3accel_server.secret_access_key)
    check = examine(credentials=None).find("credentials")
    assert check.text == "long-lived credentials from the environment, no expiry known"


def test_bad_credentials_are_not_called_absent(examine, s3accel_server, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3accel_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f" {s3accel_server.secret_access_key}")
    check = examine(credentials=None).find("credentials")
    assert check.status == FAIL
    assert check.text.startswith("the environment: the secret access key has white space at an end")
    assert "botocore" not in check.text
    assert s3accel_server.secret_access_key not in check.text


def test_expiry():
    def made(key="ASIAEXAMPLE", token="token", left=None):
        expires = None if left is None else 1e9 + left
        return check_credentials(Credentials(key, "secret", token, expires), "here", 1e9)[0]

    assert made(left=7200).status == OK
    assert "valid until 2001-09-09 03:46 UTC (120 min)" in made(left=7200).text
    assert made(left=100).status == WARN
    assert made(left=-5).status == FAIL
    assert made(token=None).status == FAIL
    assert made(key="AKIAEXAMPLE", token=None).status == OK


def test_a_secret_that_is_wrong(examine, s3accel_server):
    wrong = Credentials(s3accel_server.access_key_id, "wrong" * 8)
    check = examine(credentials=wrong).find("ListObjectsV2")
    assert check.status == FAIL
    assert "SignatureDoesNotMatch" in check.text
    assert "secret access key" in check.remedy


def test_a_key_that_may_only_write(examine):
    reading = ("HeadBucket", "ListObjectsV2", "GetBucketAccelerateConfiguration")

    def denied(request):
        return Answer(403, "AccessDenied", "no") if request.operation in reading else None

    report = examine(fault=denied, write_test=True)
    assert report.ok
    for name in ("HeadBucket", "ListObjectsV2", "acceleration"):
        assert report.find(name).status == WARN
    assert report.find("accelerated-host", "accelerate").status == WARN
    assert report.find("PutObject", "accelerate").status == OK


def test_no_such_bucket(examine, s3accel_server, s3accel_bucket):
    s3accel_server.empty_bucket(s3accel_bucket, delete=True)
    report = examine()
    s3accel_server.create_bucket(s3accel_bucket)
    check = report.find("region")
    assert check.status == FAIL
    assert "there is no bucket" in check.text


def test_another_endpoint(s3accel_server, s3accel_bucket):
    report = Doctor(
        s3accel_bucket,
        region="us-east-1",
        credentials=s3accel_server.credentials,
        accelerate=False,
        endpoint_url=s3accel_server.endpoint_url,
        ca_file=s3accel_server.ca_file,
        write_test=True,
        round_trips=1,
    ).report()
    assert report.ok
    assert report.find("acceleration") is None
    assert report.find("PutObject", "regional").status == OK


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"throughput": -1}, ConfigError),
        ({"connections": 0}, ConfigError),
        ({"endpoint_url": "https://s3.example"}, ConfigError),
        ({"endpoint_url": "http://s3.example", "accelerate": False}, EndpointError),
        ({"region": "not a region"}, EndpointError),
    ],
)
def test_options_that_cannot_be(options, kind):
    with pytest.raises(kind):
        Doctor("bucket", **options)
