"""Driving the product's streaming signer and verifier in the ways the tests need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from . import reference


def drain(stream: Any, data: bytes) -> bytes:
    """Fill every slot in order and seal: the whole encoded body."""
    view = memoryview(data)
    position = 0
    out = bytearray()
    while (slots := stream.slots()) is not None:
        for slot in slots:
            slot[:] = view[position : position + len(slot)]
            position += len(slot)
        out += stream.seal()
    if position != len(data):
        raise AssertionError(f"the slots took {position} of {len(data)} bytes")
    return bytes(out)


def reader(data: bytes) -> Callable[[memoryview], int]:
    """A readinto over ``data``."""
    position = 0
    view = memoryview(data)

    def readinto(target: memoryview) -> int:
        nonlocal position
        piece = view[position : position + len(target)]
        target[: len(piece)] = piece
        position += len(piece)
        return len(piece)

    return readinto


def authorization_parts(value: str) -> tuple[str, str, str]:
    """Credential, SignedHeaders and Signature of an Authorization header."""
    _, _, rest = value.partition(" ")
    found = dict(part.strip().split("=", 1) for part in rest.split(","))
    return found["Credential"], found["SignedHeaders"], found["Signature"]


def identity_of(stream: Any, secret: str) -> reference.Identity:
    """Who signed a stream, as the reference implementation wants it."""
    credential, _, _ = authorization_parts(stream.headers["Authorization"])
    key_id, _, region, service, _ = credential.split("/")
    return reference.Identity(key_id, secret, stream.headers["X-Amz-Date"], region, service)


def check_seed(
    stream: Any, who: reference.Identity, method: str, target: str, own: Iterable[tuple[str, str]]
) -> str:
    """Recompute the seed signature from the headers alone; give it.

    Also checks that nothing that S3 wants signed was left out.
    """
    _, signed, signature = authorization_parts(stream.headers["Authorization"])
    added = {name.lower() for name in stream.headers}
    headers = [(n, v) for n, v in own if n.lower() not in added] + list(stream.headers.items())
    names = signed.split(";")
    assert names == sorted(set(names))
    for name, _ in headers:
        if name.lower().startswith("x-amz-") or name.lower() in ("host", "content-type", "content-md5"):
            assert name.lower() in names, f"{name} is sent but not signed"
    canonical, _ = reference.canonical_request(
        method, target, headers, stream.headers["X-Amz-Content-Sha256"], names
    )
    expected = who.sign_text(reference.string_to_sign(who.timestamp, who.scope, canonical))
    assert signature == expected
    return signature


def feed(body: Any, encoded: bytes, cuts: Sequence[int] = ()) -> tuple[bytes, Any]:
    """Send an encoded body through a BodyVerifier, cut at the given places: object bytes and report."""
    out = bytearray()
    start = 0
    for cut in [*sorted(cuts), len(encoded)]:
        out += body.feed(encoded[start:cut])
        start = cut
    return bytes(out), body.finish()
