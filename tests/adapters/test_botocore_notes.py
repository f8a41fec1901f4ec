"""A refused signature explains itself as a note on botocore's own exception, whose type and response stay."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("boto3")
pytest.importorskip("uvicorn")
pytest.importorskip("cryptography")

import boto3
from botocore.exceptions import ClientError

from s3accel.adapters import botocore as adapter
from s3accel.local import LocalServer

BUCKET = "refusals"
WRONG = "wrong" * 8


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with LocalServer() as server:
        server.create_bucket(BUCKET)
        yield server


def options(server: LocalServer, secret: str = WRONG) -> dict[str, Any]:
    return {
        "region_name": server.region,
        "endpoint_url": server.endpoint_url,
        "verify": str(server.ca_file),
        "aws_access_key_id": server.access_key_id,
        "aws_secret_access_key": secret,
    }


CALLS: dict[str, Any] = {
    "get": lambda s3: s3.get_object(Bucket=BUCKET, Key="k"),
    "put": lambda s3: s3.put_object(Bucket=BUCKET, Key="k", Body=b"x" * 100_000, Metadata={"a": "b  c"}),
    "list": lambda s3: s3.list_objects_v2(Bucket=BUCKET, Prefix="a b"),
    "pages": lambda s3: list(s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)),
}


@contextlib.contextmanager
def switched_on(way: str, session: Any) -> Iterator[Any]:
    if way == "install":
        with adapter.install():
            yield session.client
    elif way == "both":
        with adapter.install(), adapter.attach(session):
            yield session.client
    elif way == "attach session":
        with adapter.attach(session):
            yield session.client
    else:
        attached = contextlib.ExitStack()

        def client(*args: Any, **kwargs: Any) -> Any:
            made = session.client(*args, **kwargs)
            attached.enter_context(adapter.attach(made))
            return made

        with attached:
            yield client


def notes(error: BaseException) -> list[str]:
    """Python 3.10 has no `add_note`, but the attribute all the same."""
    return [note for note in getattr(error, "__notes__", ()) if note.startswith("s3accel: ")]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("way", ["install", "attach client", "attach session", "both"])
def test_wrong_secret(server: LocalServer, way: str, call: str) -> None:
    session = boto3.Session()
    with pytest.raises(ClientError) as plain:
        CALLS[call](session.client("s3", **options(server)))
    assert notes(plain.value) == []
    with switched_on(way, session) as client, pytest.raises(ClientError) as caught:
        CALLS[call](client("s3", **options(server)))
    error = caught.value
    assert type(error) is type(plain.value)
    assert error.response["Error"]["Code"] == "SignatureDoesNotMatch"
    assert error.response["Error"].keys() == plain.value.response["Error"].keys()
    assert str(error) == str(plain.value)
    (note,) = notes(error)  # one, also where two would add it
    assert "wrong-secret" in note
    assert WRONG not in note
    assert error.response["Error"]["SignatureProvided"] not in note


def test_other_errors_get_none(server: LocalServer) -> None:
    right = options(server, server.credentials.secret_access_key)
    with adapter.install():
        for arguments in (right, {**right, "aws_access_key_id": "AKIANOBODY"}):
            with pytest.raises(ClientError) as caught:
                boto3.client("s3", **arguments).get_object(Bucket=BUCKET, Key="absent")
            assert notes(caught.value) == []


def test_detached_client_explains_no_more(server: LocalServer) -> None:
    client = boto3.client("s3", **options(server))
    adapter.attach(client).detach()
    assert "_make_api_call" not in vars(client)
    with pytest.raises(ClientError) as caught:
        client.list_objects_v2(Bucket=BUCKET)
    assert notes(caught.value) == []


def test_calls_replaced_in_the_class_run(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests and tracers replace `BaseClient._make_api_call`, also after a client was attached to."""
    client = boto3.client("s3", **options(server))
    with adapter.attach(client):
        monkeypatch.setattr(
            "botocore.client.BaseClient._make_api_call", lambda self, name, arguments: (name, arguments)
        )
        assert client.list_buckets() == ("ListBuckets", {})


@pytest.mark.parametrize("way", ["install", "attach"])
def test_aiobotocore(server: LocalServer, way: str) -> None:
    aio = pytest.importorskip("aiobotocore.session", reason="aiobotocore is not installed here")

    async def work() -> ClientError:
        async with aio.get_session().create_client("s3", **options(server)) as client:
            with (
                adapter.install() if way == "install" else adapter.attach(client),
                pytest.raises(ClientError) as caught,
            ):
                await client.put_object(Bucket=BUCKET, Key="k", Body=b"x")
        return caught.value

    (note,) = notes(asyncio.run(work()))
    assert "wrong-secret" in note
