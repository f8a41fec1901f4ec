"""Where credentials come from: what stops a chain, what botocore's errors become, when new ones are fetched."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from s3accel import Credentials, RefreshingProvider
from s3accel.credentials import BotocoreProvider, ChainProvider, EnvironmentProvider, default_provider
from s3accel.errors import CredentialsError

NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE")
SECRET = "a/secret+of/forty+letters/0123456789abcd"


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment without credentials; botocore reads its files from the folder that this gives."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


def test_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    with pytest.raises(CredentialsError, match="AWS_SECRET_ACCESS_KEY is not set") as caught:
        EnvironmentProvider().load()
    assert caught.value.absent
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert default_provider().load() == Credentials("AKIA", SECRET)


def test_bad_ones_end_the_chain(monkeypatch: pytest.MonkeyPatch, nobody: Path) -> None:
    (nobody / "credentials").write_text(
        f"[default]\naws_access_key_id=AKIAFILE\naws_secret_access_key={SECRET}\n"
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET + "\n")
    with pytest.raises(CredentialsError) as caught:
        default_provider().load()
    assert not caught.value.absent
    assert str(caught.value).startswith("the environment: the secret access key has white space at an end")
    assert SECRET not in str(caught.value)


def test_nothing_anywhere() -> None:
    pytest.importorskip("botocore")
    with pytest.raises(CredentialsError) as caught:
        default_provider().load()
    assert caught.value.absent
    assert "AWS_ACCESS_KEY_ID is not set" in str(caught.value)
    assert "botocore's chain found no credentials" in str(caught.value)
    assert "<" not in str(caught.value), "no repr of a provider"


@pytest.mark.parametrize(
    ("profile", "file", "says"),
    [
        ("no-such-profile", "", "no-such-profile"),
        (None, "[default]\naws_access_key_id=AKIA\n", "Partial credentials"),
    ],
)
def test_botocores_own_errors(profile: str | None, file: str, says: str, nobody: Path) -> None:
    pytest.importorskip("botocore")
    (nobody / "credentials").write_text(file)
    with pytest.raises(CredentialsError, match="botocore's chain: ") as caught:
        ChainProvider([EnvironmentProvider(), BotocoreProvider(profile)]).load()
    assert says in str(caught.value)
    assert not caught.value.absent


def test_botocores_files(nobody: Path) -> None:
    pytest.importorskip("botocore")
    (nobody / "credentials").write_text(
        f"[default]\naws_access_key_id=AKIAFILE\naws_secret_access_key={SECRET}\naws_session_token=token\n"
    )
    assert default_provider().load() == Credentials("AKIAFILE", SECRET, "token")


class Source:
    """Hands out credentials that live 1,000 s, counts, and fails on demand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.fetched = 0
        self.broken = False

    def __call__(self) -> Credentials:
        if self.broken:
            raise CredentialsError("the source is down")
        self.fetched += 1
        return Credentials(f"AKIA{self.fetched}", SECRET, "token", self.now + 1000)


def test_refreshed_before_they_expire() -> None:
    source = Source()
    provider = RefreshingProvider(source, before=100, clock=lambda: source.now)
    first = provider.load()
    source.now = 899
    assert provider.load() is first
    source.now = 900
    assert provider.load().access_key_id == "AKIA2"
    assert source.fetched == 2


def test_a_failed_fetch_is_no_harm_while_the_old_ones_live() -> None:
    source = Source()
    provider = RefreshingProvider(source, before=100, clock=lambda: source.now)
    first = provider.load()
    source.now, source.broken = 950, True
    assert provider.load() is first
    source.now = 1000
    with pytest.raises(CredentialsError, match="the source is down"):
        provider.load()
    source.broken = False
    assert provider.load().access_key_id == "AKIA2"


def test_one_fetch_at_a_time_and_nobody_waits_for_it_without_need() -> None:
    source, began, go_on = Source(), threading.Event(), threading.Event()

    def slow() -> Credentials:
        if source.fetched:
            began.set()
            assert go_on.wait(10)
        return source()

    provider = RefreshingProvider(slow, before=100, clock=lambda: source.now)
    first = provider.load()
    source.now = 950
    fetching = threading.Thread(target=provider.load)
    fetching.start()
    assert began.wait(10)
    assert provider.load() is first, "the old ones live: no reason to wait"
    go_on.set()
    fetching.join(10)
    assert provider.load().access_key_id == "AKIA2"
    assert source.fetched == 2
