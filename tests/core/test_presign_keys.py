"""What a signature is made with: a day's key without the secret, the learned clock, credentials that change.

Every property is shown for `sign`, `sign_many`, `presign` and `presign_many`: they share one state.
"""

from __future__ import annotations

import copy
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from s3accel.clock import Clock, system_clock
from s3accel.credentials import REFRESH_BEFORE, Credentials, RefreshingProvider
from s3accel.errors import ConfigError, CredentialsError, SigningError
from s3accel.signer import Signer, SigningKey
from support import reference

WHO = reference.Identity(timestamp="20260823T101112Z", region="eu-west-3")
TOKEN = "IQoJb3JpZ2luX2VjEXAMPLE//token+=="
KNOWN = Credentials(WHO.access_key_id, WHO.secret_access_key, TOKEN)
BASE = "https://bucket.s3-accelerate.amazonaws.com/"
DAY = 86_400.0
MORNING = reference.epoch("20260823T000000Z")

CALLS: dict[str, Callable[[Signer], Any]] = {
    "sign": lambda s: s.sign("PUT", BASE + "k", {"x-amz-acl": "private"}, b"body"),
    "sign_many": lambda s: s.sign_many([("GET", BASE + "a"), ("PUT", BASE + "b", None, b"body")]),
    "presign": lambda s: s.presign("GET", BASE + "k", 60),
    "presign_many": lambda s: s.presign_many("GET", BASE, ["a", ("b", {"expires": 5})]),
    "stream": lambda s: s.stream("PUT", BASE + "k", None, 100_000, checksum="crc32").headers,
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


class At:
    """A clock that stands where it is put."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


# --- a day's key --------------------------------------------------------------------------------------------


def of_the_day(clock: Callable[[], float], token: str | None = TOKEN) -> Signer:
    key = Signer(KNOWN, WHO.region, clock=clock).signing_key()
    restored = SigningKey.restore(key.export(), key.date, key.region, key.service)
    return Signer.from_key(restored, WHO.access_key_id, token, clock=clock)


@each_call
@pytest.mark.parametrize("seconds", [0.0, 1.0, DAY / 2, DAY - 1, DAY - 0.001])
def test_key_signs_like_the_secret_all_day(call: Callable[[Signer], Any], seconds: float) -> None:
    made_at = At(MORNING + 1000)
    signer = of_the_day(made_at)
    made_at.now = MORNING + seconds
    assert call(signer) == call(Signer(KNOWN, WHO.region, clock=made_at))


@each_call
@pytest.mark.parametrize("seconds", [DAY, DAY + 1, 2 * DAY, 30 * DAY, -0.001, -DAY])
def test_key_of_another_day_is_refused(call: Callable[[Signer], Any], seconds: float) -> None:
    """S3 would take a presigned URL of yesterday's key for a week; a header it would refuse without a reason."""
    now = At(MORNING + 1000)
    signer = of_the_day(now)
    before = call(signer)
    now.now = MORNING + seconds
    today = reference.timestamp_of(now.now)[:8]
    for _ in range(2):
        with pytest.raises(CredentialsError, match=rf"key of 20260823 only, and it is {today} \(UTC\)"):
            call(signer)
    now.now = MORNING + 1000
    assert call(signer) == before, "within its day it signs again"


def test_key_without_a_token() -> None:
    now = At(MORNING + 5)
    plain = Credentials(WHO.access_key_id, WHO.secret_access_key)
    assert CALLS["sign"](of_the_day(now, None)) == CALLS["sign"](Signer(plain, WHO.region, clock=now))


def test_exported_key_is_aws_s_own() -> None:
    """32 bytes, those that anybody derives from the documents; only when asked for."""
    key = Signer(KNOWN, WHO.region, clock=At(MORNING)).signing_key()
    assert key.export() == reference.signing_key(WHO.secret_access_key, "20260823", WHO.region, "s3")
    assert (key.date, key.region, key.service) == ("20260823", WHO.region, "s3")
    assert key.scope == f"20260823/{WHO.region}/s3/aws4_request"
    for shown in (repr(key), str(key), f"{key}"):
        assert key.export().hex() not in shown
        assert repr(key.export())[2:-1] not in shown


def test_key_for_another_service_and_region() -> None:
    now = At(MORNING + 7)
    full = Signer(KNOWN, "us-east-1", "execute-api", clock=now)
    signer = Signer.from_key(full.signing_key(), WHO.access_key_id, TOKEN, clock=now)
    assert (signer.region, signer.service) == ("us-east-1", "execute-api")
    for name in ("sign", "sign_many", "presign"):
        assert CALLS[name](signer) == CALLS[name](full), name


def test_all_headers_with_a_key() -> None:
    now = At(MORNING + 7)
    full = Signer(KNOWN, WHO.region, clock=now, sign_all_headers=True)
    signer = Signer.from_key(full.signing_key(), WHO.access_key_id, TOKEN, clock=now, sign_all_headers=True)
    headers = {"x-custom": "1", "If-Match": "2"}
    assert signer.sign("GET", BASE, headers) == full.sign("GET", BASE, headers)


@pytest.mark.parametrize("damage", [b"", bytes(31), bytes(33)])
def test_key_of_a_wrong_length_is_refused(damage: bytes) -> None:
    with pytest.raises((SigningError, ConfigError, ValueError)):
        SigningKey.restore(damage, "20260823", "us-east-1", "s3")


@pytest.mark.parametrize("date", ["2026-08-23", "", "20260823T", "20261323"])
def test_key_of_no_day_is_refused(date: str) -> None:
    with pytest.raises((SigningError, ConfigError, ValueError)):
        SigningKey.restore(bytes(32), date, "us-east-1", "s3")


@pytest.mark.parametrize(
    "copied", [pickle.dumps, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"]
)
def test_keys_and_signers_are_not_copied_by_accident(copied: Callable[[Any], Any]) -> None:
    signer = of_the_day(At(MORNING))
    for secret in (signer, signer.signing_key()):
        with pytest.raises(TypeError):
            copied(secret)


def test_refresh_of_a_key_signer_goes_on_with_its_key() -> None:
    """There is no provider to ask: the key is what there is."""
    signer = of_the_day(At(MORNING + 9))
    before = CALLS["presign"](signer)
    signer.refresh()
    assert CALLS["presign"](signer) == before


# --- the clock ----------------------------------------------------------------------------------------------


@pytest.fixture
def learned() -> Iterator[Clock]:
    """The process's clock, as it was afterwards."""
    system_clock.reset()
    yield system_clock
    system_clock.reset()


def dates(signer: Signer) -> dict[str, float]:
    """The moment each call says, as epoch seconds."""
    found = {
        "sign": CALLS["sign"](signer)["X-Amz-Date"],
        "sign_many": CALLS["sign_many"](signer)[0]["X-Amz-Date"],
        "presign": CALLS["presign"](signer),
        "presign_many": CALLS["presign_many"](signer)[1],
        "stream": CALLS["stream"](signer)["X-Amz-Date"],
    }
    stamps = {name: text.partition("X-Amz-Date=")[2][:16] or text for name, text in found.items()}
    return {name: reference.epoch(stamp) for name, stamp in stamps.items()}


def near(found: dict[str, float], moment: float) -> bool:
    return all(abs(value - moment) < 5 for value in found.values())


@pytest.mark.parametrize("offset", [-40_000.0, -901.0, 901.0, 40_000.0])
def test_learned_offset_reaches_every_call(learned: Clock, offset: float) -> None:
    """One server's time serves signers made before and after, header signing and presigning alike."""
    before = Signer(KNOWN, WHO.region)
    assert near(dates(before), time.time())
    assert learned.learn(time.time() + offset)
    assert near(dates(before), time.time() + offset)
    assert near(dates(Signer(KNOWN, WHO.region)), time.time() + offset)
    learned.reset()
    assert near(dates(before), time.time())


@pytest.mark.parametrize("offset", [2.0, -59.0, 86_500.0, -1e6])
def test_offset_not_worth_or_not_believed_changes_nothing(learned: Clock, offset: float) -> None:
    signer = Signer(KNOWN, WHO.region)
    assert not learned.learn(time.time() + offset)
    assert near(dates(signer), time.time())


def test_offset_over_midnight_changes_the_key(learned: Clock) -> None:
    """The scope's day is the server's day, whatever ours is."""
    signer = Signer(KNOWN, WHO.region)
    now = time.time()
    CALLS["sign"](signer)
    learned.learn(now + DAY - 10)
    day = reference.timestamp_of(now + DAY - 10)[:8]
    assert f"/{day}/" in CALLS["sign"](signer)["Authorization"]
    assert f"%2F{day}%2F" in CALLS["presign"](signer)


def test_offset_is_not_for_clocks_of_one_s_own(learned: Clock) -> None:
    signer = Signer(KNOWN, WHO.region, clock=lambda: MORNING)
    learned.learn(time.time() + 5000)
    assert near(dates(signer), MORNING)
    own = Clock(lambda: MORNING)
    assert own.learn(MORNING + 3600)
    assert near(dates(Signer(KNOWN, WHO.region, clock=own)), MORNING + 3600)


def test_learned_time_ends_a_key_s_day(learned: Clock) -> None:
    now = time.time()
    key = Signer(KNOWN, WHO.region).signing_key()
    signer = Signer.from_key(key, WHO.access_key_id)
    # To the other side of the nearest midnight, but no further than is believed.
    into = now % DAY
    learned.learn(now - into - 100 if into < DAY / 2 else now - into + DAY + 100)
    for call in CALLS.values():
        with pytest.raises(CredentialsError, match="holds the key of"):
            call(signer)


# --- credentials that change --------------------------------------------------------------------------------


class Sts:
    """Gives a new key at each load, alive for an hour, and counts."""

    def __init__(self, clock: Callable[[], float], life: float | None = 3600.0) -> None:
        self.clock, self.life = clock, life
        self.loads = 0
        self.broken = False

    def load(self) -> Credentials:
        if self.broken:
            raise CredentialsError("no answer from STS")
        self.loads += 1
        until = None if self.life is None else self.clock() + self.life
        return Credentials(f"ASIASESSION{self.loads:05}", "secret", f"token{self.loads}", until)


def who_signs(signer: Signer) -> str:
    """The access key, the same in headers and URLs; and the token belongs to it."""
    added, url = CALLS["sign"](signer), CALLS["presign"](signer)
    key = added["Authorization"].partition("Credential=")[2].partition("/")[0]
    assert f"X-Amz-Credential={key}%2F" in url
    token = f"token{int(key[-5:])}"
    assert added["X-Amz-Security-Token"] == token
    assert f"X-Amz-Security-Token={token}&" in url
    return str(key)


def test_credentials_are_renewed_early() -> None:
    now = At(MORNING)
    sts = Sts(now)
    signer = Signer(sts, WHO.region, clock=now)
    seen = []
    for seconds in (
        0,
        1,
        3600 - REFRESH_BEFORE - 1,
        3600 - REFRESH_BEFORE,
        3599,
        3600 - REFRESH_BEFORE + 3599,
    ):
        now.now = MORNING + seconds
        seen.append(who_signs(signer)[-1])
    assert seen == ["1", "1", "1", "2", "2", "3"]
    assert sts.loads == 3


@each_call
def test_expired_credentials_are_not_used(call: Callable[[Signer], Any]) -> None:
    now = At(MORNING)

    class Dead:
        def load(self) -> Credentials:
            return Credentials("ASIADEAD", "secret", "token", MORNING + 10)

    signer = Signer(Dead(), WHO.region, clock=now)
    call(signer)
    now.now += 10
    with pytest.raises(CredentialsError, match="expired") as caught:
        call(signer)
    assert "secret" not in str(caught.value)


def test_refresh_asks_the_provider_at_once() -> None:
    now = At(MORNING)
    sts = Sts(now)
    signer = Signer(sts, WHO.region, clock=now)
    assert who_signs(signer)[-1] == "1"
    signer.refresh()
    assert who_signs(signer)[-1] == "2"


def test_rotation_without_an_expiry_is_noticed_within_a_minute() -> None:
    now = At(MORNING)
    sts = Sts(now, life=None)
    signer = Signer(sts, WHO.region, clock=now)
    who_signs(signer)
    now.now += 59
    assert who_signs(signer)[-1] == "1"
    now.now += 1
    assert who_signs(signer)[-1] == "2"


def test_static_credentials_are_asked_once_a_day() -> None:
    """Nothing can change them: a new key is derived at midnight only."""
    now = At(MORNING)
    signer = Signer(KNOWN, WHO.region, clock=now)
    first = signer.signing_key()
    now.now += DAY - 1
    assert signer.signing_key() is first
    now.now += 1
    assert signer.signing_key().date == "20260824"


def together(count: int, work: Callable[[], Any]) -> list[Any]:
    """The results of `count` threads that began at one moment."""
    gate = threading.Barrier(count)
    results: list[Any] = []

    def run() -> None:
        gate.wait()
        try:
            results.append(work())
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_one_refresh_in_flight() -> None:
    """Eight threads find the credentials about to end: one asks, the others go on with what is still alive."""
    now = At(MORNING)
    entered, release = threading.Event(), threading.Event()
    fetches = []

    def fetch() -> Credentials:
        fetches.append(threading.get_ident())
        number = len(fetches)
        if number > 1:
            entered.set()
            assert release.wait(10)
        return Credentials(f"ASIASESSION{number:05}", "secret", f"token{number}", now.now + 3600)

    provider = RefreshingProvider(fetch, clock=now)
    provider.load()
    now.now += 3600 - REFRESH_BEFORE
    slow = threading.Thread(target=provider.load)
    slow.start()
    assert entered.wait(10)
    old = together(8, lambda: provider.load().access_key_id)
    assert old == ["ASIASESSION00001"] * 8
    release.set()
    slow.join()
    assert provider.load().access_key_id == "ASIASESSION00002"
    assert len(fetches) == 2


def test_threads_of_one_signer_share_one_first_load() -> None:
    """At the start there is nothing alive: all wait for the one that asks, and every signature is whole."""
    now = At(MORNING)
    fetches = []

    def fetch() -> Credentials:
        fetches.append(1)
        time.sleep(0.05)
        number = len(fetches)
        return Credentials(f"ASIASESSION{number:05}", "secret", f"token{number}", now.now + 3600)

    signer = Signer(RefreshingProvider(fetch, clock=now), WHO.region, clock=now)
    assert together(8, lambda: who_signs(signer)) == ["ASIASESSION00001"] * 8
    assert len(fetches) == 1


def test_failed_refresh_goes_on_while_the_old_lives() -> None:
    now = At(MORNING)
    sts = Sts(now)
    signer = Signer(RefreshingProvider(sts.load, clock=now), WHO.region, clock=now)
    who_signs(signer)
    sts.broken = True
    now.now = MORNING + 3500
    assert who_signs(signer)[-1] == "1"
    sts.broken = False
    now.now += 11
    assert who_signs(signer)[-1] == "2"
    sts.broken = True
    now.now += 3600
    with pytest.raises(CredentialsError, match="STS"):
        who_signs(signer)


def test_no_signature_mixes_two_keys() -> None:
    """A provider that rotates while eight threads sign: key, token and signature are always of one load."""
    now = At(MORNING)
    sts = Sts(now)
    signer = Signer(sts, WHO.region, clock=now)
    stop = threading.Event()

    def rotate() -> None:
        while not stop.is_set():
            signer.refresh()
            time.sleep(0.0005)

    def work() -> int:
        for i in range(1_000_000):
            # On a busy machine the thread that rotates may come late.
            if i >= 150 and sts.loads > 1:
                break
            added = signer.sign("GET", BASE + "k")
            _, _, rest = added["Authorization"].partition("Credential=")
            key = rest.partition("/")[0]
            whole = [("host", BASE[8:-1]), *((n, v) for n, v in added.items() if n != "Authorization")]
            canonical, _ = reference.canonical_request("GET", "/k", whole, added["X-Amz-Content-Sha256"])
            who = reference.Identity(key, "secret", added["X-Amz-Date"], WHO.region)
            text = reference.string_to_sign(who.timestamp, who.scope, canonical)
            assert added["Authorization"].endswith(who.sign_text(text))
            assert added["X-Amz-Security-Token"] == f"token{int(key[-5:])}"
        return 150

    rotating = threading.Thread(target=rotate)
    rotating.start()
    try:
        results = together(8, work)
    finally:
        stop.set()
        rotating.join()
    assert results == [150] * 8
    assert sts.loads > 1


def test_refresh_error_says_what_failed_and_heals() -> None:
    now = At(MORNING)
    sts = Sts(now)
    sts.broken = True
    signer = Signer(sts, WHO.region, clock=now)
    for call in CALLS.values():
        with pytest.raises(CredentialsError, match="no answer from STS"):
            call(signer)
    sts.broken = False
    assert who_signs(signer)[-1] == "1"
