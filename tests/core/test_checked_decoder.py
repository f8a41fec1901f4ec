"""ChunkDecoder.checked_by: the caller's function that judges the signatures of a SigV4a stream."""

from __future__ import annotations

import contextlib

import pytest

from s3accel import _core

SIGNATURE = "3045" + "0" * 100
STAMP = "20260101T120000Z"
SCOPE = "20260101/s3/aws4_request"


def body(data: bytes, signature: str = SIGNATURE) -> bytes:
    field = signature.ljust(144, "*").encode()
    return (
        b"%x;chunk-signature=%b\r\n%b\r\n" % (len(data), field, data)
        + b"0;chunk-signature=%b\r\n\r\n" % field
    )


def decoder(check: object, length: int = 5) -> _core.ChunkDecoder:
    return _core.ChunkDecoder.checked_by(check, SCOPE, STAMP, "ab" * 70, False, length, "")  # type: ignore[arg-type]


def test_each_signature_is_asked_for_once_without_its_filling() -> None:
    asked: list[tuple[bytes, str]] = []

    def check(text: bytes, signature: str) -> bool:
        asked.append((text, signature))
        return True

    one = decoder(check)
    assert one.feed(body(b"hello")) == (b"hello", None, 0)
    assert one.finish() == (None, 0)
    assert [signature for _, signature in asked] == [SIGNATURE, SIGNATURE]
    lines = [text.decode().split("\n") for text, _ in asked]
    assert [each[:3] for each in lines] == [["AWS4-ECDSA-P256-SHA256-PAYLOAD", STAMP, SCOPE]] * 2
    # The chain: the seed, then the first chunk's signature.
    assert [each[3] for each in lines] == ["ab" * 70, SIGNATURE]
    assert lines[0][5] == _core.sha256(b"hello").hex()


@pytest.mark.parametrize("size", [5, 100_000])
def test_what_the_function_raises_comes_out_and_the_stream_has_failed(size: int) -> None:
    def check(text: bytes, signature: str) -> bool:
        raise KeyboardInterrupt

    one = decoder(check, size)
    with pytest.raises(KeyboardInterrupt):
        one.feed(body(b"x" * size))
    for _ in range(2):
        data, code, _ = one.feed(b"more")
        assert (data, code) == (b"", "chunk_signature_mismatch")
        assert one.finish()[0] == "chunk_signature_mismatch"


@pytest.mark.parametrize("answer", [False, None, 0, "yes"])
def test_only_true_is_yes(answer: object) -> None:
    one = decoder(lambda text, signature: answer)
    code = None
    with contextlib.suppress(RuntimeError):
        code = one.feed(body(b"hello"))[1]
    assert code in (None, "chunk_signature_mismatch")
    assert one.finish()[0] == "chunk_signature_mismatch"


@pytest.mark.parametrize(
    "signature",
    ["", "*" * 144, "g" * 10, SIGNATURE.upper() + "A", "ab*ab", "a" * 145],
    ids=lambda text: text[:8],
)
def test_what_can_be_no_signature_is_bad_framing(signature: str) -> None:
    one = decoder(lambda text, signature: True)
    assert one.feed(body(b"hello", signature))[1] == "body_incomplete"


@pytest.mark.parametrize(("seed", "stamp"), [("", STAMP), ("ab" * 73, STAMP), ("ab", "now")])
def test_a_stream_without_a_head_fails_at_once(seed: str, stamp: str) -> None:
    one = _core.ChunkDecoder.checked_by(lambda *_: True, SCOPE, stamp, seed, False, 5, "")
    assert one.feed(body(b"hello"))[1] == "wrong_order"
