"""The proof mode, and what is kept and logged."""

from __future__ import annotations

import gc
import io
import logging
import weakref
from typing import Any

import pytest

pytest.importorskip("botocore")

from s3accel.adapters import botocore as adapter
from support.botocore_wire import (
    SECRET,
    TOKEN,
    Wire,
    client,
    frozen,
    outcome,
    pure_python,
    strip,
)


def test_proof_mode_agrees() -> None:
    target = client(token=TOKEN)
    Wire(target)
    before = adapter.stats()
    with adapter.install(check=1.0):
        target.put_object(Bucket="b-b-b", Key="k", Body=b"x")
        target.list_objects_v2(Bucket="b-b-b", Prefix="a b")
        for _ in range(3):
            target.generate_presigned_url("get_object", {"Bucket": "b-b-b", "Key": "k"})
        assert adapter.installed()
    after = adapter.stats()
    assert after["checked"] - before["checked"] >= 5
    assert after["different"] == before["different"]


def test_proof_mode_catches_a_planted_difference(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from s3accel.adapters import _botocore_auth as native

    target = client(token=TOKEN)
    wire = Wire(target)

    def call() -> Any:
        return strip(
            outcome(lambda: target.list_objects_v2(Bucket="b-b-b", Prefix="a b"), wire),
            {"amz-sdk-invocation-id"},
        )

    with frozen(), pure_python():
        expected = call()
        adapter.install(check=1.0)

        class Planted:
            """The core with one wrong rule: it signs a header that botocore leaves out."""

            def __getattr__(self, name: str) -> Any:
                return getattr(native_core, name)

            def sign(self, *args: Any) -> Any:
                left = [name for name in args[10] if name != "user-agent"]
                return native_core.sign(*args[:10], left, *args[11:])

        native_core = native.core
        monkeypatch.setattr(native, "core", Planted())
        before = adapter.stats()
        with caplog.at_level(logging.ERROR):
            assert call() == expected  # botocore's signature went out
        assert not adapter.installed()
        assert call() == expected
    assert adapter.stats()["different"] == before["different"] + 1
    assert "Authorization" in caplog.text
    assert "[hidden]" in caplog.text
    assert TOKEN not in caplog.text
    assert SECRET not in caplog.text


def test_proof_mode_watches_templates(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from s3accel.adapters import _botocore_presign as presign

    target = client(signature_version="s3v4")

    def call() -> str:
        url: str = target.generate_presigned_url("get_object", {"Bucket": "b-b-b", "Key": "k"})
        return url

    with frozen(), pure_python():
        expected = call()
        adapter.install(check=1.0)
        assert [call(), call()] == [expected] * 2
        monkeypatch.setattr(presign._Template, "sign", lambda *a: expected.replace("/k?", "/other?"))
        with caplog.at_level(logging.ERROR):
            assert call() == expected
    assert not adapter.installed()
    assert "X-Amz-Signature=[hidden]" in caplog.text


def test_bodies_are_let_go_at_once() -> None:
    class Body(io.BytesIO):
        pass

    target = client()
    wire = Wire(target)
    for arguments in ({}, {"payload": "signed-chunks"}):
        with adapter.install(**arguments):  # type: ignore[arg-type]
            body = Body(b"x" * 1000)
            target.put_object(Bucket="b-b-b", Key="k", Body=body)
            wire.requests.clear()
            gone = weakref.ref(body)
            gc.disable()
            try:
                del body
                assert gone() is None
            finally:
                gc.enable()


def test_debug_log_shows_no_token(caplog: pytest.LogCaptureFixture) -> None:
    target = client(token=TOKEN)
    Wire(target)
    with adapter.install(), caplog.at_level(logging.DEBUG, logger="botocore.auth"):
        target.list_objects_v2(Bucket="b-b-b")
        target.generate_presigned_url("get_object", {"Bucket": "b-b-b", "Key": "k"})
    text = "\n".join(r.getMessage() for r in caplog.records if r.name == "botocore.auth")
    assert "CanonicalRequest" in text
    assert TOKEN[:40] not in text
