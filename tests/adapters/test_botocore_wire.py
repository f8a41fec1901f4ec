"""With and without `install` botocore sends the same bytes, signature included."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("botocore")

import botocore.auth
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from s3accel.adapters import botocore as adapter
from support.botocore_wire import (
    ACCESS_KEY,
    SECRET,
    TOKEN,
    Parameters,
    Wire,
    client,
    frozen,
    outcome,
    pure_python,
    request,
)

CONFIGS: dict[str, dict[str, Any]] = {
    "default": {},
    "accelerate": {"s3": {"use_accelerate_endpoint": True}},
    "http-path": {"endpoint_url": "http://127.0.0.1:9000", "s3": {"addressing_style": "path"}},
    "when-required": {"request_checksum_calculation": "when_required", "token": TOKEN},
    "signed-payload": {"s3": {"payload_signing_enabled": True}, "region": "eu-west-1"},
    "unsigned-payload": {"s3": {"payload_signing_enabled": False}, "token": TOKEN},
    "odd-port": {"endpoint_url": "https://storage.example.com:8443/base", "token": TOKEN},
}


def every_operation(target: Any, seed: int, bucket: str = "amzn-s3-demo-bucket") -> Any:
    model = target.meta.service_model
    for name in model.operation_names:
        operation = model.operation_model(name)
        yield name, Parameters(seed, bucket=bucket).of(operation)


def run(target: Any, wire: Wire, name: str, parameters: dict[str, Any]) -> Any:
    with frozen():
        return outcome(lambda: target._make_api_call(name, dict(parameters)), wire)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_s3_operation(config: str) -> None:
    target = client(**CONFIGS[config])
    wire = Wire(target)
    sent = 0
    before = adapter.stats()
    for seed in range(2):
        for name, parameters in every_operation(target, seed):
            with pure_python():
                expected = run(target, wire, name, parameters)
                with adapter.install():
                    found = run(target, wire, name, parameters)
            assert found == expected, (name, parameters)
            sent += len(expected[0])
    after = adapter.stats()
    assert sent > 150  # the parameters are good enough for botocore to send most of the operations
    # Nearly everything was signed by the core, and not by botocore's code in its place.
    assert after["signed"] - before["signed"] > 150
    assert after["by_botocore"] - before["by_botocore"] < 10


def test_s3_express_operations() -> None:
    target = client()
    wire = Wire(target)
    bucket = "amzn-s3-demo--use1-az4--x-s3"
    kinds = set()
    run(target, wire, "HeadBucket", {"Bucket": bucket})  # makes the session, which is cached
    for name, parameters in every_operation(target, 3, bucket):
        with pure_python():
            expected = run(target, wire, name, parameters)
            with adapter.install():
                found = run(target, wire, name, parameters)
        assert found == expected, name
        kinds |= {header for request in expected[0] for header, _ in request[2]}
    assert "x-amz-s3session-token" in {kind.lower() for kind in kinds}


def test_s3_express_presigned() -> None:
    target = client()
    Wire(target)
    given = {"Bucket": "amzn-s3-demo--use1-az4--x-s3", "Key": "a b/ü"}

    def call() -> Any:
        with frozen():
            return target.generate_presigned_url("get_object", given, 60)

    with frozen():
        target.head_bucket(Bucket=given["Bucket"])  # makes the session, which is cached
    with pure_python():
        expected = call()
        before = adapter.stats()
        with adapter.install():
            assert [call(), call()] == [expected, expected]
    assert "X-Amz-S3session-Token=" in expected
    after = adapter.stats()
    assert after["presigned"] >= before["presigned"] + 2
    assert after["by_botocore"] == before["by_botocore"]


@pytest.mark.parametrize("name", ["s3v4-presign-post", "v4-s3express-presign-post"])
def test_policies(name: str) -> None:
    with adapter.install():
        ours = botocore.auth.AUTH_TYPE_MAPS[name]
    results = []
    for cls in (ours, botocore.auth.AUTH_TYPE_MAPS[name]):
        made = request()
        made.context = {
            "s3-presign-post-fields": {"key": "a"},
            "s3-presign-post-policy": {"conditions": [{"key": "a"}]},
        }
        express = {"identity_cache": None} if "express" in name else {}
        with frozen():
            credentials = ReadOnlyCredentials(ACCESS_KEY, SECRET, TOKEN)
            cls(credentials, "s3express" if express else "s3", "us-east-1", **express).add_auth(made)
        results.append(made.context)
    assert ours is not botocore.auth.AUTH_TYPE_MAPS[name]
    assert results[0] == results[1]
    assert len(results[0]["s3-presign-post-fields"]["x-amz-signature"]) == 64


SERVICES = ["dynamodb", "sts", "sqs", "lambda", "iot", "iot-data", "apigateway", "route53"]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("token", [None, TOKEN], ids=["key", "token"])
def test_other_services(service: str, token: str | None) -> None:
    target = client(service, token=token)
    wire = Wire(target)
    model = target.meta.service_model
    for name in model.operation_names[:25]:
        parameters = Parameters(1).of(model.operation_model(name))
        with pure_python():
            expected = run(target, wire, name, parameters)
            with adapter.install():
                found = run(target, wire, name, parameters)
        assert found == expected, name


def comparable(result: Any) -> Any:
    """awscrt orders the headers differently and names the host; what is left of that is the message."""
    requests, error = result
    return [
        (method, url, sorted((n.lower(), v) for n, v in headers if n.lower() != "host"), body)
        for method, url, headers, body in requests
    ], error


def test_against_awscrts_signers() -> None:
    from botocore.compat import HAS_CRT

    if not HAS_CRT:
        pytest.skip("awscrt is not installed or switched off")
    target = client(token=TOKEN)
    wire = Wire(target)
    compared = 0
    for name, parameters in every_operation(target, 5):
        expected = comparable(run(target, wire, name, parameters))
        with adapter.install():
            found = comparable(run(target, wire, name, parameters))
        assert found == expected, name
        compared += 1
    assert compared > 90


# --- presigned URLs and forms ---------------------------------------------------------------------------------


def test_every_presigned_operation() -> None:
    target = client(signature_version="s3v4", token=TOKEN)
    for seed in range(2):
        for name, parameters in every_operation(target, seed):
            method = next(m for m, op in target.meta.method_to_api_mapping.items() if op == name)

            def call(method: str = method, parameters: Any = parameters) -> Any:
                with frozen():
                    try:
                        return target.generate_presigned_url(method, dict(parameters), 900)
                    except Exception as e:
                        return f"{type(e).__name__}: {e}"

            with pure_python():
                expected = call()
                with adapter.install():
                    # The first call makes a template if it can, the second uses it.
                    assert [call(), call()] == [expected, expected], name


KEYS = st.one_of(
    st.text(min_size=1, max_size=40), st.sampled_from(["/", "//a", ".", "a/../b", "a b+c~*", "ü\x00"])
)
EXTRAS = st.sampled_from(
    [{}, {"VersionId": "v 1"}, {"ResponseContentType": "text/plain; a=b"}, {"Range": "bytes=0-9"}]
)


@settings(max_examples=60)
@given(key=KEYS, extra=EXTRAS, expires=st.integers(1, 604_800))
def test_presigned_from_a_template(key: str, extra: dict[str, str], expires: int) -> None:
    target = PRESIGNING[0] if PRESIGNING else client(signature_version="s3v4", token=TOKEN)
    PRESIGNING[:] = [target]
    parameters = {"Bucket": "amzn-s3-demo-bucket", "Key": key, **extra}

    def call() -> Any:
        with frozen():
            try:
                return target.generate_presigned_url("get_object", dict(parameters), expires)
            except Exception as e:
                return type(e).__name__

    with pure_python():
        expected = call()
        with adapter.install():
            assert call() == expected
            assert call() == expected


PRESIGNING: list[Any] = []


def test_presigned_forms() -> None:
    for options in ({"signature_version": "s3v4", "token": TOKEN}, {"signature_version": "s3"}):
        target = client(**options)

        def call(target: Any = target) -> Any:
            with frozen():
                return target.generate_presigned_post(
                    "amzn-s3-demo-bucket", "a/${filename}", {"acl": "private"}, [{"acl": "private"}], 60
                )

        with pure_python():
            expected = call()
            with adapter.install():
                assert call() == expected


def test_presigned_with_other_services() -> None:
    target = client("sts", token=TOKEN)

    def call() -> Any:
        with frozen():
            return target.generate_presigned_url("get_caller_identity", {}, 60)

    with pure_python():
        expected = call()
        with adapter.install():
            assert call() == expected
    target = client("rds")
    with pure_python(), frozen():
        expected = target.generate_db_auth_token("db.example.com", 3306, "user")
        with adapter.install():
            assert target.generate_db_auth_token("db.example.com", 3306, "user") == expected


def test_version_4_where_botocore_falls_back_to_2(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s3accel.adapters._botocore_v2._warned", False)
    plain, told = client(), client(signature_version="s3v4")
    parameters = {"Bucket": "amzn-s3-demo-bucket", "Key": "k"}
    with pure_python(), frozen():
        assert "AWSAccessKeyId=" in plain.generate_presigned_url("get_object", parameters)
        expected = told.generate_presigned_url("get_object", parameters)
        form = told.generate_presigned_post("amzn-s3-demo-bucket", "k")
        with adapter.install():
            assert plain.generate_presigned_url("get_object", parameters) == expected
            assert plain.generate_presigned_post("amzn-s3-demo-bucket", "k") == form
            warned = [record for record in caplog.records if "Version 2" in record.getMessage()]
            assert [record.levelname for record in warned] == ["WARNING"]  # once, not for each
            # Who configures Version 2 gets it.
            meant = client(signature_version="s3").generate_presigned_url("get_object", parameters)
            assert "AWSAccessKeyId=" in meant
