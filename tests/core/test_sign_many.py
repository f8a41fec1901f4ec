"""`sign_many`: many requests under one date and one key, in lanes, each as `sign` would sign it alone."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from s3accel.credentials import Credentials
from s3accel.errors import CredentialsError, SigningError
from s3accel.signer import Signer
from support import reference

WHO = reference.Identity(timestamp="20260823T101112Z", region="eu-west-3")
TOKEN = "IQoJb3JpZ2luX2VjEXAMPLE//token+=="
HOST = "bucket.s3-accelerate.amazonaws.com"
BASE = f"https://{HOST}"


def signer(token: str | None = None, **options: Any) -> Signer:
    known = Credentials(WHO.access_key_id, WHO.secret_access_key, token)
    return Signer(known, WHO.region, clock=lambda: reference.epoch(WHO.timestamp), **options)


def requests(count: int) -> list[tuple[Any, ...]]:
    """Ragged on purpose: long and short paths, bodies and headers, so that no two lanes are alike."""
    made: list[tuple[Any, ...]] = []
    for i in range(count):
        url = f"{BASE}/{'k' * (i * 37 % 900)}/{i}?partNumber={i}&a=%2F"
        headers = [(f"x-amz-meta-{n}", "v" * (i * n % 70)) for n in range(i % 6)]
        body = [b"", b"x" * (i * 101 % 5000), "UNSIGNED-PAYLOAD", bytearray(b"y" * 40), None][i % 5]
        made.append(("PUT", url, headers, body)[: 4 - (i % 7 == 3) - (i % 14 == 3)])
    return made


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 129, 500])
def test_every_count_of_lanes(count: int) -> None:
    made = signer(TOKEN)
    batch = requests(count)
    assert made.sign_many(batch) == [made.sign(*entry) for entry in batch]


def test_against_the_reference() -> None:
    """Not only like `sign`: right. One signature of each lane recomputed with hashlib and hmac."""
    headers = {"x-amz-acl": "private", "Content-Type": "text/plain"}
    batch = [("PUT", f"{BASE}/{i}", headers, f"body {i}".encode()) for i in range(9)]
    for (method, url, _, _), added in zip(batch, signer(TOKEN).sign_many(batch), strict=True):
        whole = [("host", HOST), *headers.items(), *added.items()]
        sent = [(n, v) for n, v in whole if n != "Authorization"]
        canonical, names = reference.canonical_request(
            method, url.removeprefix(BASE), sent, added["X-Amz-Content-Sha256"]
        )
        signature = WHO.sign_text(reference.string_to_sign(WHO.timestamp, WHO.scope, canonical))
        assert added["Authorization"] == WHO.authorization(names, signature)


def test_options_of_the_signer_hold_for_the_batch() -> None:
    made = signer(TOKEN, sign_all_headers=True, content_sha256=False, token_header="X-Other-Token")
    batch = [("GET", f"{BASE}/{i}", {"x-custom": "1"}) for i in range(6)]
    signed = made.sign_many(batch)
    assert signed == [made.sign(*entry) for entry in batch]
    assert all("X-Other-Token" in added and "X-Amz-Content-Sha256" not in added for added in signed)
    assert all("x-custom" in added["Authorization"] for added in signed)


@pytest.mark.parametrize("service", ["execute-api", "s3express", "dynamodb"])
def test_other_services(service: str) -> None:
    known = Credentials(WHO.access_key_id, WHO.secret_access_key, TOKEN)
    made = Signer(known, WHO.region, service, clock=lambda: reference.epoch(WHO.timestamp))
    batch = [("POST", f"{BASE}/a/../b%20c/{i}", {"Content-Type": "text/plain"}, b"{}") for i in range(10)]
    assert made.sign_many(batch) == [made.sign(*entry) for entry in batch]


def test_any_iterable_of_tuples() -> None:
    made = signer()
    batch = requests(20)
    alone = [made.sign(*entry) for entry in batch]
    assert made.sign_many(entry for entry in batch) == alone
    assert made.sign_many(tuple(batch)) == alone


@pytest.mark.parametrize("bad", [("GET",), ("GET", BASE, None, b"", 1), ["GET", BASE], "GET", None, 3])
def test_what_is_no_request_is_refused(bad: Any) -> None:
    with pytest.raises(TypeError):
        signer().sign_many([("GET", BASE), bad])


@pytest.mark.parametrize("at", [0, 1, 5, 15, 16, 40, 63])
@pytest.mark.parametrize(
    "bad",
    [
        ("G ET", BASE + "/k"),
        ("GET", "no url"),
        ("GET", BASE + "/a%zz"),
        ("GET", BASE + "/k", {"x-amz-meta-a": "line\nfeed"}),
        ("GET", BASE + "/k", {"Authorization": "mine"}),
        ("GET", BASE + "/k", None, "not a hash"),
    ],
    ids=["method", "url", "escape", "header", "authorization", "payload"],
)
def test_one_bad_request_says_what_it_says_alone(bad: tuple[Any, ...], at: int) -> None:
    made = signer()
    batch = requests(64)
    batch[at] = bad
    with pytest.raises(SigningError) as alone:
        made.sign(*bad)
    with pytest.raises(SigningError) as many:
        made.sign_many(batch)
    assert str(many.value) == str(alone.value)
    assert (many.value.field, many.value.offset) == (alone.value.field, alone.value.offset)


def test_one_date_for_all() -> None:
    """The clock is asked once: a batch that runs over midnight has one day's key and one date."""
    ticks = iter(range(int(reference.epoch("20260823T235959Z")), 1 << 40))
    known = Credentials(WHO.access_key_id, WHO.secret_access_key)
    made = Signer(known, WHO.region, clock=lambda: float(next(ticks)))
    dates = {added["X-Amz-Date"] for added in made.sign_many(requests(100))}
    assert dates == {"20260823T235959Z"}
    assert {added["X-Amz-Date"] for added in made.sign_many(requests(3))} == {"20260824T000000Z"}


def test_credentials_are_those_of_the_start() -> None:
    """A provider that rotates at every load: no batch mixes two keys."""
    loads = iter(range(1000))
    now = [reference.epoch(WHO.timestamp)]

    class Rotating:
        def load(self) -> Credentials:
            return Credentials(f"AKIAROTATION{next(loads):04}", "secret")

    made = Signer(Rotating(), WHO.region, clock=lambda: now[0])
    seen = set()
    for _ in range(3):
        keys = {added["Authorization"].split("/")[0] for added in made.sign_many(requests(70))}
        assert len(keys) == 1
        seen |= keys
        now[0] += 61
    assert len(seen) == 3


def test_failing_provider_signs_nothing() -> None:
    class Nothing:
        def load(self) -> Credentials:
            raise CredentialsError("none today")

    with pytest.raises(CredentialsError, match="none today"):
        Signer(Nothing(), WHO.region).sign_many(requests(2))


def test_threads_share_a_signer() -> None:
    made = signer(TOKEN)
    batch = requests(200)
    alone = [made.sign(*entry) for entry in batch]
    wrong: list[int] = []

    def run(which: int) -> None:
        for _ in range(10):
            if made.sign_many(batch) != alone:
                wrong.append(which)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_neighbours_that_differ_in_one_thing() -> None:
    """What a request shares with the one before it is not computed again; the rest must not be shared."""
    made = signer(TOKEN)
    headers = {"x-amz-acl": "private", "Content-Type": "text/plain"}
    urls = [
        *(BASE, f"{BASE}/", f"{BASE}/a", f"{BASE}/a?x=1", f"{BASE}?x=1", f"{BASE}#f", f"{BASE}/a%20b#f"),
        *(f"{BASE}.evil/a", f"{BASE}:444/a", f"{BASE}:443/a", f"https://user@{HOST}/a", f"http://{HOST}/a"),
    ]
    batch: list[tuple[Any, ...]] = [("GET", url) for url in urls]
    batch += [
        ("PUT", f"{BASE}/a", headers, "UNSIGNED-PAYLOAD"),
        ("PUT", f"{BASE}/b", headers, "UNSIGNED-PAYLOAD"),
    ]
    batch += [("PUT", f"{BASE}/a", dict(headers), b"1"), ("PUT", f"{BASE}/a", headers, b"2")]
    batch += [("PUT", f"{BASE}/a", {**headers, "x-amz-acl": "public-read"}, b"2"), ("DELETE", f"{BASE}/a")]
    pairs = [(one, other) for one in batch for other in batch]
    for one, other in pairs:
        assert made.sign_many([one, other]) == [made.sign(*one), made.sign(*other)], (one, other)


@pytest.mark.parametrize("url", ["/a b", "/a%zz", "/a?b+c", "/\u00fc", "/a\n", "/%"])
def test_a_bad_neighbour_is_refused_as_alone(url: str) -> None:
    made = signer()
    with pytest.raises(SigningError) as alone:
        made.sign("GET", BASE + url)
    with pytest.raises(SigningError) as batch:
        made.sign_many([("GET", f"{BASE}/ok"), ("GET", BASE + url)])
    assert str(batch.value) == str(alone.value)
    assert batch.value.offset == alone.value.offset
