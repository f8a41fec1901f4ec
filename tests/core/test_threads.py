"""Many threads over one object, while others change what it reads, with the GIL and without.

Every answer is checked against one that a single thread made: a race that only spoils a value is found as well as one
that ends the process. On an interpreter without the GIL the threads really meet; with it they are made to change
places as often as they can.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import itertools
import re
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from s3accel import Credentials, Signer, SigningKey, Verifier, _core
from s3accel.errors import SigningError, VerificationError

NOW = 1767268800.0
URL = "https://h/b/k"
CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "token")
THREADS = 4
BUSY = "in use by another thread"


@pytest.fixture(autouse=True)
def _often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def together(
    *works: Callable[[], object], rounds: int = 1000, beside: Callable[[int], object] | None = None
) -> None:
    """Each work in a thread of its own, `rounds` times; `beside` again and again until all are done."""
    barrier = threading.Barrier(len(works) + (beside is not None))
    failures: list[BaseException] = []
    done = threading.Event()

    def run(work: Callable[[], object]) -> None:
        try:
            barrier.wait()
            for _ in range(rounds):
                work()
        except BaseException as error:
            failures.append(error)

    def run_beside(change: Callable[[int], object]) -> None:
        try:
            barrier.wait()
            for i in itertools.count():
                change(i)
                if done.is_set():
                    return
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    other = [] if beside is None else [threading.Thread(target=run_beside, args=(beside,))]
    for thread in threads + other:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    for thread in other:
        thread.join()
    if failures:
        raise failures[0]


def signer(now: float = NOW) -> Signer:
    return Signer(CREDENTIALS, "us-east-1", clock=lambda: now)


# -- the signer


def test_one_signer_whose_key_is_dropped_and_whose_clock_runs() -> None:
    headers = {"x-amz-meta-a": "1"}
    moments = [NOW, NOW + 1, NOW + 86_400]
    expected = {}
    for moment in moments:
        made = signer(moment).sign("GET", URL, headers)
        expected[made["X-Amz-Date"]] = made
    tick = itertools.count()
    shared = Signer(CREDENTIALS, "us-east-1", clock=lambda: moments[next(tick) // 8 % 3])

    def sign() -> None:
        made = shared.sign("GET", URL, headers)
        assert made == expected[made["X-Amz-Date"]]

    def sign_many() -> None:
        for made in shared.sign_many([("GET", URL, headers)] * 3):
            assert made == expected[made["X-Amz-Date"]]

    def key() -> None:
        assert shared.signing_key().scope.endswith("/us-east-1/s3/aws4_request")

    def change(i: int) -> None:
        shared.refresh()
        shared._set_clock(lambda: moments[i % 3])

    together(sign, sign, sign_many, key, beside=change)


def test_a_key_that_another_thread_renews_for_its_own_day() -> None:
    others = [NOW + 86_400, NOW - 86_400]

    class Midnight(Signer):
        def _renew(self, now: float) -> None:
            super()._renew(now)
            # What a thread does that read the clock on the other side of midnight.
            if others:
                super()._renew(others.pop())

    shared = Midnight(CREDENTIALS, "us-east-1", clock=lambda: NOW)
    assert shared.sign("GET", URL) == signer().sign("GET", URL)
    assert not others


def checked(shared: Signer, headers: Any, key: SigningKey) -> None:
    """Signs headers that are changing: whatever state was signed, all stages must speak of the same one."""
    _, signature, _, canonical, to_sign, names, _ = shared._sign_detailed("GET", URL, headers)
    assert key.sign(to_sign) == signature
    assert to_sign.endswith(hashlib.sha256(canonical).hexdigest().encode())
    lines = canonical.split(b"\n")[3:-3]
    assert [line.split(b":")[0] for line in lines] == names.encode().split(b";")
    for line in lines:
        # Each value is one digit, 200 times; a list may hold a name twice.
        if line.startswith(b"x-amz-meta-"):
            assert all(re.fullmatch(rb"(\d)\1{199}", value) for value in line.split(b":")[1].split(b","))


def change_dict(shared: dict[str, str], i: int) -> None:
    shared[f"x-amz-meta-{i % 30}"] = str(i % 10) * 200
    shared.pop(f"x-amz-meta-{(i * 7 + 3) % 30}", None)
    if i % 50 == 0:
        shared.clear()


def change_list(shared: list[Any], i: int) -> None:
    name = f"x-amz-meta-{i % 30}"
    pair = (name, str(i % 10) * 200)
    shared.append(pair if i % 2 else list(pair))
    if len(shared) > 20:
        del shared[: i % 20]
    if i % 50 == 0:
        shared.clear()


@pytest.mark.parametrize("kind", [dict, list])
def test_headers_that_others_change(kind: type) -> None:
    shared = signer()
    key = shared.signing_key()
    headers: Any = kind()
    change = change_dict if kind is dict else change_list

    def sign() -> None:
        checked(shared, headers, key)

    def presign() -> None:
        assert shared.presign("GET", URL, 60, headers).startswith(URL + "?")

    together(sign, sign, sign, presign, beside=lambda i: change(headers, i))


def test_a_pair_that_others_change() -> None:
    shared = signer()
    key = shared.signing_key()
    pair: Any = ["x-amz-meta-0", "0" * 200]

    def change(i: int) -> None:
        pair.clear()
        pair.extend(["x-amz-meta-0", str(i % 10) * 200])

    def sign() -> None:
        with contextlib.suppress(ValueError):  # there was no name in it, or no value
            checked(shared, [pair], key)

    together(*[sign] * 3, beside=change)


def test_lists_of_requests_and_keys_that_others_change() -> None:
    shared = signer()
    expected = shared.sign("GET", URL)
    urls = {key: shared.presign_many("GET", "https://h/b/", [key])[0] for key in ("a" * 100, "b" * 100)}
    requests: list[Any] = []
    keys: list[str] = []
    data: list[bytes] = []

    def change(i: int) -> None:
        requests.append(("".join(["G", "ET"]), URL))
        keys.append("ab"[i % 2] * 100)
        data.append(bytes([i % 7]) * 500)
        if i % 20 == 0:
            requests.clear()
            keys.clear()
            data.clear()

    def sign_many() -> None:
        assert all(made == expected for made in shared.sign_many(requests))

    def presign_many() -> None:
        assert set(shared.presign_many("GET", "https://h/b/", keys)) <= set(urls.values())

    digests = {hashlib.sha256(bytes([i]) * 500).digest() for i in range(7)}
    codes = {_core.hmac_sha256(b"k", bytes([i]) * 500) for i in range(7)}

    def hash_many() -> None:
        assert set(_core.sha256_many(data)) <= digests
        assert set(_core.hmac_sha256_many(b"k", data)) <= codes

    together(sign_many, presign_many, hash_many, beside=change)


def test_the_signer_of_botocore() -> None:
    core = _core.BotocoreSigner(b"k" * 32)
    now = datetime.datetime(2026, 1, 1, 12)
    shared: list[Any] = []

    def sign(headers: list[Any], secret: str) -> Any:
        args = ("AK", secret, None, "us-east-1", "s3", [], None, b"", None, 1)
        return core.sign(headers, {}, "PUT", URL, now, *args)

    def own(secret: str) -> dict[str, str]:
        headers = [("Host", "h"), ("x-amz-meta-a", "1")]
        assert sign(headers, secret) is True
        return dict(headers)

    secrets = [f"secret{i}" for i in range(80)]  # more than the cache holds
    expected = {secret: own(secret) for secret in secrets}
    turn = itertools.count()

    def sign_own() -> None:
        secret = secrets[next(turn) % len(secrets)]
        assert own(secret) == expected[secret]

    def change(i: int) -> None:
        if i % 100 == 0:
            core.clear(bytes([i % 256]) * 32)
        shared.append(("x-amz-meta-a", "1" * (i % 50)))
        if i % 30 == 0:
            shared.clear()

    together(sign_own, sign_own, lambda: sign(shared, "secret0"), core.counts, beside=change)
    assert core.counts()[0] >= 80 + 2000


# -- the verifier


def test_one_verifier_whose_room_for_keys_is_small() -> None:
    known = {f"AKID{i}": Credentials(f"AKID{i}", f"secret{i}" * 4, f"token{i}" * 9) for i in range(12)}

    class Small(Verifier):
        MAX_KEYS = 4

    def lookup(name: str) -> Credentials:
        if name == "AKID0":  # never the same object: each is an entry of its own
            return Credentials("AKID0", "secret0" * 4, "token0" * 9)
        return known[name]

    shared = Small(lookup, clock=lambda: NOW)
    requests = []
    for credentials in known.values():
        made = Signer(credentials, "us-east-1", clock=lambda: NOW).sign("GET", URL)
        requests.append((credentials.access_key_id, [("Host", "h"), *made.items()]))
    wrong = [(n, v[:-1] + "g" if n == "Authorization" else v) for n, v in requests[3][1]]
    turn = itertools.count()

    def verify() -> None:
        name, headers = requests[next(turn) % len(requests)]
        assert shared.verify("GET", "/b/k", headers).access_key_id == name

    def refuse() -> None:
        with pytest.raises(VerificationError):
            shared.verify("GET", "/b/k", wrong)

    changing: list[Any] = list(requests[1][1])

    def verify_changing() -> None:
        with contextlib.suppress(VerificationError):
            shared.verify("GET", "/b/k", changing)

    def change(i: int) -> None:
        changing.append(requests[1][1][i % len(requests[1][1])])
        if i % 20 == 0:
            changing.clear()

    together(verify, verify, refuse, verify_changing, beside=change)


# -- hashes, keys, kernels


def test_one_hash() -> None:
    piece, times = b"x" * 300, 400
    shared = _core.Sha256()
    reached = hashlib.sha256()
    allowed = [reached.digest()]
    for _ in range(times):
        reached.update(piece)
        allowed.append(reached.digest())

    def look() -> None:
        assert shared.digest() in allowed
        assert bytes.fromhex(shared.hexdigest()) in allowed

    together(lambda: shared.update(piece), lambda: shared.update(piece), look, look, rounds=times // 2)
    assert shared.digest() == allowed[-1]


def test_small_updates_and_large_ones() -> None:
    shared = _core.Sha256()
    large = b"x" * 2**20
    together(lambda: shared.update(b"x"), lambda: shared.update(large), shared.digest, rounds=30)
    assert shared.digest() == hashlib.sha256(b"x" * 30 * (2**20 + 1)).digest()


def test_functions_and_keys() -> None:
    data = bytes(range(256)) * 40
    key = SigningKey.derive("secret", "20260101", "us-east-1", "s3")
    raw, signature = key.export(), key.sign("text")
    plain = hashlib.sha256(data).digest()
    crc = _core.crc64nvme(data)

    def use() -> None:
        assert _core.sha256(data) == plain
        assert _core.crc64nvme(data) == crc
        assert key.sign("text") == signature
        assert key.export() == raw
        assert SigningKey.restore(raw, "20260101", "us-east-1", "s3").sign("text") == signature
        assert [k["name"] for k in _core.kernels() if k["active"]]
        with pytest.raises(SigningError):
            SigningKey.derive("secret", "tomorrow", "us-east-1", "s3")

    together(*[use] * THREADS, rounds=200)


# -- what goes step by step


def encoder(length: int, checksum: str = "sha256") -> Any:
    key = SigningKey.derive("secret", "20260101", "us-east-1", "s3")
    name = f"x-amz-checksum-{checksum}"
    sizes = {"sha256": 44, "crc64nvme": 12}
    return _core.ChunkEncoder(
        key, "20260101T120000Z", "0" * 64, length, 8192, checksum, name, sizes[checksum]
    )


def body(checksum: str, length: int) -> list[bytes]:
    whole, frames = encoder(length, checksum), []
    while (slots := whole.open(4)) is not None:
        whole.fill(b"x" * sum(map(len, slots)))
        frames.append(whole.seal())
    return frames


@pytest.mark.parametrize("checksum", ["sha256", "crc64nvme"])
def test_one_encoder_that_others_look_at(checksum: str) -> None:
    length = 8192 * 120
    shared, frames = encoder(length, checksum), []
    seen = [length]

    def step() -> None:
        slots = shared.open(4)
        if slots is not None:
            shared.fill(b"x" * sum(map(len, slots)))
            frames.append(shared.seal())

    def look() -> None:
        left = shared.remaining
        assert left <= seen[-1]
        seen[:] = [left]
        assert shared.open_payload in (0, 8192 * 4)
        assert shared.finished in (False, True)
        assert len(shared.checksum()) in (8, 32)
        assert shared.encoded_length > length

    together(step, look, rounds=200)
    assert frames == body(checksum, length)


def test_one_encoder_that_all_want_to_step() -> None:
    """Whoever comes while another is in a step is told so; the body is as one thread would have made it."""
    length = 8192 * 200
    shared = encoder(length)
    frames: list[bytes] = []
    refused: list[str] = []

    def step() -> None:
        try:
            slots = shared.open(4)
            if slots is not None:
                size = sum(map(len, slots))
                shared.fill(b"x" * size)
                frames.append(shared.seal())
        except (RuntimeError, SigningError, ValueError) as error:
            refused.append(str(error))

    together(*[step] * THREADS, rounds=400)
    for text in refused:
        assert BUSY in text or "out of turn" in text or "not filled" in text or "was released" in text
    while not shared.finished:  # what was opened last and left
        with contextlib.suppress(SigningError):
            shared.open(4)
        shared.fill(b"x" * shared.open_payload)
        frames.append(shared.seal())
    assert sorted(frames) == sorted(body("sha256", length))


def decoder(encoded: bytes, length: int) -> Any:
    key = SigningKey.derive("secret", "20260101", "us-east-1", "s3")
    return _core.ChunkDecoder(key, "20260101T120000Z", "0" * 64, True, length, "x-amz-checksum-sha256")


def test_one_decoder_that_others_look_at() -> None:
    length = 8192 * 120
    encoded = b"".join(body("sha256", length))
    shared = decoder(encoded, length)
    pieces = iter([encoded[i : i + 5000] for i in range(0, len(encoded), 5000)])
    decoded = []
    seen = [0]

    def feed() -> None:
        for piece in itertools.islice(pieces, 1):
            got, code, _ = shared.feed(piece)
            assert code is None
            decoded.append(got)

    def look() -> None:
        done = shared.decoded
        assert done >= seen[-1]
        seen[:] = [done]
        assert shared.data_chunks <= 120
        assert shared.bad_chunk_size == 0
        assert shared.provided <= length
        shared.to_sign, shared.provided_signature, shared.trailer_value, shared.bad_chunk  # noqa: B018

    together(feed, look, look, rounds=220)
    assert shared.finish() == (None, 0)
    assert b"".join(decoded) == b"x" * length


def test_one_decoder_that_all_feed() -> None:
    """What comes of it is nobody's, but it is an answer or a clear refusal."""
    length = 8192 * 120
    encoded = b"".join(body("sha256", length))
    shared = decoder(encoded, length)
    refused: set[str] = set()

    def feed() -> None:
        try:
            got, code, _ = shared.feed(encoded[:30_000])
            assert set(got) <= set(b"x")
            assert code is None or isinstance(code, str)
            shared.finish()
        except RuntimeError as error:
            refused.add(str(error))

    together(*[feed] * THREADS, rounds=400)
    assert refused <= {"this object is " + BUSY}


def test_a_stream_and_a_body_refuse_a_second_thread() -> None:
    stream = signer().stream("PUT", URL, None, 100_000, checksum="crc64nvme")
    stream.slots()
    with stream._turn:
        for step in (stream.slots, stream.seal, lambda: list(stream.pieces(b"x" * 100_000))):
            with pytest.raises(RuntimeError, match=BUSY):
                step()
    signed = signer().sign("PUT", URL, {}, b"body")
    received = Verifier(lambda _: CREDENTIALS, clock=lambda: NOW).verify(
        "PUT", "/b/k", [("Host", "h"), *signed.items()]
    )
    checks = received.body()
    with checks._turn:
        with pytest.raises(RuntimeError, match=BUSY):
            checks.feed(b"body")
        with pytest.raises(RuntimeError, match=BUSY):
            checks.finish()
    checks.feed(b"body")
    assert checks.finish().length == 4


# -- the module


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this interpreter always has a GIL"
)
def test_the_module_does_not_bring_the_gil_back() -> None:
    program = "import sys, s3accel; raise SystemExit(sys._is_gil_enabled())"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_an_isolated_subinterpreter_is_told_so() -> None:
    """Whoever meets it must not be sent to build again what is built."""
    interpreters = pytest.importorskip(
        "_interpreters", reason="isolated subinterpreters came with CPython 3.12"
    )
    made = interpreters.create()
    try:
        said = interpreters.exec(made, f"import sys; sys.path[:] = {sys.path!r}; import s3accel")
    finally:
        interpreters.destroy(made)
    assert said.type.__name__ == "ImportError"
    assert "does not support isolated subinterpreters" in said.msg
    assert "pip install" not in said.msg
