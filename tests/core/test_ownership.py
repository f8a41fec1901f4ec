"""Views never outlive their owner, objects are as safe as hashlib's, and no memory that nobody wrote is signed.

Every trick changes what a call reads while it reads it. Expected signatures come from a second signer that was given
the same values in a list nobody touches.
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import gc
import hashlib
import pickle
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from s3accel import Credentials, Signer, Verifier, _core
from s3accel.errors import SourceError

NOW = 1767268800.0
CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
URL = "https://h/b/k"
junk: list[str] = []


def signer() -> Signer:
    return Signer(CREDENTIALS, "us-east-1", clock=lambda: NOW)


def fresh(letter: str = "A") -> str:
    """A str with no other reference."""
    return "".join([letter] * 200)


def reuse_memory() -> None:
    junk[:] = [("B" * 200 + str(i))[:200] for i in range(64)]


def expected(headers: Any) -> str:
    return signer().sign("GET", URL, headers)["Authorization"]


# -- headers that change while they are read


class ClearingPair:
    def __init__(self, owner: Any) -> None:
        self.owner = owner

    def __iter__(self) -> Iterator[str]:
        self.owner.clear()
        reuse_memory()
        return iter(("x-amz-meta-b", "1"))


def shrinking_list() -> list[Any]:
    headers: list[Any] = [("x-amz-meta-a", fresh())]
    headers.append(ClearingPair(headers))
    return [*headers][:0] or headers


SIGN: dict[str, Callable[[Signer, Any], Any]] = {
    "sign": lambda s, h: s.sign("GET", URL, h)["Authorization"],
    "sign_many": lambda s, h: s.sign_many([("GET", URL, h)])[0]["Authorization"],
    "presign": lambda s, h: s.presign("GET", URL, 60, h),
    "presign_many": lambda s, h: s.presign_many("GET", "https://h/b/", ["k"], 60, h)[0],
    "stream": lambda s, h: s.stream("PUT", URL, h, 0).headers["Authorization"],
}


@pytest.mark.parametrize("entry", SIGN)
def test_a_list_that_shrinks_while_it_is_read(entry: str) -> None:
    call = SIGN[entry]
    steady = [("x-amz-meta-a", fresh()), ("x-amz-meta-b", "1")]
    if entry == "stream":
        steady = steady[:]  # its headers are copied in Python first; the trick must do no harm there either
        headers = [("x-amz-meta-a", fresh()), ("x-amz-meta-b", "1")]
    else:
        headers = shrinking_list()
    assert call(signer(), headers) == call(signer(), steady)


def test_an_earlier_entry_of_a_batch_is_changed_by_a_later_one() -> None:
    first = {"x-amz-meta-a": fresh()}

    class Later(dict):  # type: ignore[type-arg]
        def items(self) -> Any:
            first.clear()
            reuse_memory()
            return [("x-amz-meta-b", "1")]

    got = signer().sign_many([("GET", URL, first), ("GET", URL, Later())])
    assert got[0]["Authorization"] == expected({"x-amz-meta-a": "A" * 200})


def test_canonical_request_with_a_selection_that_clears_the_headers() -> None:
    headers = {"host": "h", "x-amz-meta-a": fresh()}

    def select() -> Iterator[str]:
        yield "host"
        headers.clear()
        reuse_memory()
        yield "x-amz-meta-a"

    canonical, _ = _core.canonical_request("GET", "/", headers, "UNSIGNED-PAYLOAD", select=select())
    assert b"x-amz-meta-a:" + b"A" * 200 + b"\n" in canonical


@pytest.mark.parametrize("kind", [dict, list])
def test_a_lookup_that_clears_the_request(kind: type) -> None:
    value = fresh()
    signed = signer().sign("PUT", URL, {"x-amz-meta-a": value})
    headers = kind({"Host": "h", **signed, "x-amz-meta-a": value}.items())
    del value, signed

    def lookup(_: str) -> Credentials:
        headers.clear()
        reuse_memory()
        return CREDENTIALS

    verified = Verifier(lookup, clock=lambda: NOW).verify("PUT", "/b/k", headers)
    assert b"x-amz-meta-a:" + b"A" * 200 + b"\n" in verified.canonical_request


def run_beside(change: Callable[[int], None], work: Callable[[], None]) -> None:
    stop = threading.Event()

    def loop() -> None:
        i = 0
        while not stop.is_set():
            i += 1
            change(i)

    interval = sys.getswitchinterval()
    thread = threading.Thread(target=loop)
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        work()
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)


def test_a_thread_that_changes_the_headers_of_a_batch() -> None:
    shared = {"x-amz-meta-a": "0" * 3000}
    body = b"x" * 65536
    allowed = {
        signer().sign("PUT", URL, {"x-amz-meta-a": str(j) * 3000}, body)["Authorization"] for j in range(4)
    }

    def work() -> None:
        s = signer()
        for _ in range(60):
            for made in s.sign_many([("PUT", URL, shared, body)] * 8):
                assert made["Authorization"] in allowed

    run_beside(lambda i: shared.__setitem__("x-amz-meta-a", str(i % 4) * 3000), work)


def test_a_thread_that_changes_the_list_botocore_signs() -> None:
    core = _core.BotocoreSigner(b"k" * 32)
    first = ("x-amz-meta-a", "0" * 3000)
    headers: list[Any] = [first, ("Host", "h")]
    now = datetime.datetime(2026, 1, 1, 12)
    body = b"x" * 65536

    def sign() -> str:
        key = ("AK", "secret", None, "us-east-1", "s3", [], None)
        assert core.sign(headers, {}, "PUT", URL, now, *key, body, None, 1) is True
        made = dict(headers)["Authorization"]
        headers[:] = [first, ("Host", "h")]
        return str(made)

    allowed = set()
    for digit in range(10):
        headers[0] = ("x-amz-meta-a", str(digit) * 3000)
        allowed.add(sign())

    def change(i: int) -> None:
        with contextlib.suppress(IndexError):
            headers[0] = ("x-amz-meta-a", str(i % 10) * 3000)

    def work() -> None:
        for _ in range(200):
            assert sign() in allowed

    run_beside(change, work)


def test_sequences_that_make_their_items_as_they_are_asked() -> None:
    class Made:
        def __len__(self) -> int:
            return 300

        def __getitem__(self, i: int) -> bytes:
            if i >= 300:
                raise IndexError
            return bytes([i % 256]) * 50

    every = [bytes([i % 256]) * 50 for i in range(300)]
    assert _core.sha256_many(Made()) == [hashlib.sha256(one).digest() for one in every]  # type: ignore[arg-type]
    assert _core.hmac_sha256_many(b"k", Made()) == [_core.hmac_sha256(b"k", one) for one in every]  # type: ignore[arg-type]


# -- objects with state


def test_threads_share_a_hash() -> None:
    for size in (100, 70_000):
        shared = _core.Sha256()
        data = b"x" * size

        def update(shared: Any = shared, data: bytes = data) -> None:
            for _ in range(100):
                shared.update(data)
                shared.digest()

        threads = [threading.Thread(target=update) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert shared.digest() == hashlib.sha256(b"x" * size * 400).digest()


NATIVE = [name for name, value in vars(_core).items() if isinstance(value, type)]


@pytest.mark.parametrize("name", NATIVE)
def test_no_object_without_its_constructor(name: str) -> None:
    cls = getattr(_core, name)
    if name == "SignerBase":
        assert isinstance(cls.__new__(cls), cls)  # whose every method can be called on a blank one
        return
    with pytest.raises(TypeError):
        cls.__new__(cls)
    with pytest.raises(TypeError):
        object.__new__(cls)


def test_native_objects_are_not_copied_or_pickled() -> None:
    key = _core.SigningKey.derive("secret", "20260101", "us-east-1", "s3")
    for made in (_core.Sha256(), key, _core.ChunkEncoder(None, "", "", 10, 8192, "", "", 0)):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError):
                pickle.dumps(made, protocol)
        with pytest.raises(TypeError):
            copy.copy(made)


class Subclass(_core.Sha256):
    pass


def test_a_subclass_is_made_as_usual() -> None:
    made = Subclass()
    made.update(b"abc")
    assert made.digest() == hashlib.sha256(b"abc").digest()
    with pytest.raises(TypeError):
        Subclass.__new__(Subclass)


def test_a_truth_value_that_cannot_be_told_is_raised() -> None:
    class Ambiguous:
        def __bool__(self) -> bool:
            raise ValueError("ambiguous")

    for option in ("sign_all_headers", "content_sha256", "sign_presigned_token"):
        s = Signer(CREDENTIALS, "us-east-1", clock=lambda: NOW, **{option: Ambiguous()})
        with pytest.raises(ValueError, match="ambiguous"):
            s.sign("GET", URL)


# -- cycles


def collected(make: Callable[[], Any]) -> bool:
    reference = weakref.ref(make())
    gc.collect()
    return reference() is None


def test_cycles_through_the_native_half_are_collected() -> None:
    signed = signer().sign("GET", "https://h/k")

    class App:
        def __init__(self) -> None:
            self.verifier = Verifier(self.look, clock=lambda: NOW)
            self.verifier.verify("GET", "/k", [("host", "h"), *signed.items()])

        def look(self, _: str) -> Credentials:
            return CREDENTIALS

    class Known:
        secret_access_key = CREDENTIALS.secret_access_key
        session_token = None
        expires_at = None

    class Keeper:
        def __init__(self) -> None:
            self.known = Known()
            self.known.app = self  # type: ignore[attr-defined]
            self.native = _core.VerifierBase(lambda _, known=self.known: known, None, "s3", 900.0, 10)
            self.native.verify("GET", "/k", [("host", "h"), *signed.items()], NOW, None)

    class Token(str):
        pass

    def token() -> Token:
        made = Token("tok")
        base = type("Base", (_core.SignerBase,), {})()
        made.owner = base  # type: ignore[attr-defined]
        base._set_clock(lambda: NOW)
        key = _core.SigningKey.derive("secret", "20260101", "us-east-1", "s3")
        base._install(key, "AK", made, "X-Amz-Security-Token", 0.0, 9e9, False, True, True)
        base.sign("GET", "https://h/")
        return made

    assert collected(App)
    assert collected(Keeper)
    assert collected(token)


# -- memory that nobody wrote


@pytest.mark.parametrize("missing", [8, 100, 30_000])
@pytest.mark.parametrize("checksum", [None, "crc32", "sha256"])
def test_seal_without_filling(checksum: str | None, missing: int) -> None:
    stream = signer().stream("PUT", URL, {}, 300_000, checksum=checksum)
    slots = stream.slots()
    assert slots is not None
    for slot in slots[:-1]:
        slot[:] = b"x" * len(slot)
    slots[-1][:-missing] = b"y" * (len(slots[-1]) - missing)
    with pytest.raises(SourceError, match="not filled"):
        stream.seal()


def test_a_source_that_says_more_than_it_wrote_sends_nothing_of_others() -> None:
    secret = b"TOP-SECRET-FROM-ELSEWHERE." * 1200
    del secret

    def lies(view: memoryview) -> int:
        view[:10] = b"0123456789"
        view[-16:] = b"!" * 16
        return len(view)

    body = b"".join(signer().stream("PUT", URL, {}, 30_000).frames(lies))
    assert b"TOP-SECRET" not in body
    assert b"0123456789" + bytes(30_000 - 26) + b"!" * 16 in body


@pytest.mark.parametrize("count", [-1, 10**6, 30_001, 1.0, "5", True, b"x"])
def test_a_count_that_cannot_be(count: Any) -> None:
    with pytest.raises(SourceError, match="readinto"):
        list(signer().stream("PUT", URL, {}, 30_000).frames(lambda _: count))


@pytest.mark.parametrize("count", [0, None])
def test_a_source_that_ends_early(count: Any) -> None:
    with pytest.raises(SourceError, match="ended 30000 bytes"):
        list(signer().stream("PUT", URL, {}, 30_000).frames(lambda _: count))
