"""Credentials that do not print, and where they come from."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, Protocol, runtime_checkable

from .errors import ConfigError, CredentialsError
from .redact import redact_text

__all__ = [
    "BotocoreProvider",
    "ChainProvider",
    "Credentials",
    "EnvironmentProvider",
    "Provider",
    "RefreshingProvider",
    "StaticProvider",
    "default_provider",
]

#: Credentials are renewed this many seconds before they expire, so that a request signed now still arrives
#: with a living token. botocore's advisory refresh is 15 minutes, its mandatory one 10.
REFRESH_BEFORE = 300.0


class Credentials:
    """One access key. Immutable; the secret shows in no repr, log or pickle.

    Args:
        access_key_id: visible ASCII characters without ``/`` and ``,``.
        secret_access_key: as AWS gave it; white space at an end is refused, it is always a pasting error.
        session_token: for temporary credentials.
        expires_at: epoch seconds after which the token is dead, or None.

    Raises:
        CredentialsError: an empty or malformed part; the message never holds its value.

    Python strings cannot be wiped: the secret lives in memory as long as this object does. A `Signer` keeps
    only the key of one day; see `s3accel.signer.SigningKey` for hosts that should not hold the secret at all.
    """

    __slots__ = ("_access_key_id", "_expires_at", "_secret", "_session_token")

    def __init__(
        self,
        access_key_id: str,
        secret_access_key: str,
        session_token: str | None = None,
        expires_at: float | None = None,
    ) -> None:
        self._access_key_id = _checked("access key id", access_key_id, forbidden="/,")
        self._secret = _checked("secret access key", secret_access_key)
        self._session_token = None if session_token is None else _checked("session token", session_token)
        check_expiry(expires_at)
        self._expires_at = expires_at

    @property
    def access_key_id(self) -> str:
        return self._access_key_id

    @property
    def secret_access_key(self) -> str:
        return self._secret

    @property
    def session_token(self) -> str | None:
        return self._session_token

    @property
    def expires_at(self) -> float | None:
        return self._expires_at

    def expired(self, now: float, margin: float = 0.0) -> bool:
        """True if they are dead at ``now + margin`` (epoch seconds)."""
        return self._expires_at is not None and not now + margin < self._expires_at

    def __repr__(self) -> str:
        token = ", session token" if self._session_token else ""
        until = "" if self._expires_at is None else f", expires at {self._expires_at:.0f}"
        return f"<Credentials {self._access_key_id}{token}{until}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credentials):
            return NotImplemented
        return (self._access_key_id, self._secret, self._session_token) == (
            other._access_key_id,
            other._secret,
            other._session_token,
        )

    def __hash__(self) -> int:
        return hash(self._access_key_id)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("Credentials are not pickled; let each process load its own")

    def __copy__(self) -> Credentials:
        return self

    def __deepcopy__(self, memo: object) -> Credentials:
        return self


def check_expiry(expires_at: object) -> None:
    """Refuses what is neither None nor a number; not-a-number is later than nothing and would never expire."""
    if expires_at is None:
        return
    if not isinstance(expires_at, (int, float)) or math.isnan(expires_at):
        raise CredentialsError(f"expires_at must be epoch seconds or None, not {expires_at!r:.40}")


def _checked(what: str, value: object, forbidden: str = "") -> str:
    # The value itself must not reach the message: it may be a secret in the wrong place.
    if not isinstance(value, str):
        raise CredentialsError(f"the {what} must be a str, not {type(value).__name__}")
    value = str.__str__(value)  # the text itself: a subclass may show another one to the checks below
    if not value:
        raise CredentialsError(f"the {what} is empty")
    if value != value.strip():
        raise CredentialsError(f"the {what} has white space at an end, probably pasted along: strip it")
    if any(not "!" <= c <= "~" for c in value) or any(c in value for c in forbidden):
        raise CredentialsError(f"the {what} holds a character that no AWS key has")
    return value


@runtime_checkable
class Provider(Protocol):
    """Anything that gives credentials when asked."""

    def load(self) -> Credentials:
        """Current credentials. Raises CredentialsError if there are none."""
        ...


class StaticProvider:
    """Always the same credentials."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def load(self) -> Credentials:
        return self._credentials

    def __repr__(self) -> str:
        return f"<StaticProvider {self._credentials!r}>"


class EnvironmentProvider:
    """``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` and ``AWS_SESSION_TOKEN``, read at each load."""

    def load(self) -> Credentials:
        access, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        if not access or not secret:
            missing = "AWS_ACCESS_KEY_ID" if not access else "AWS_SECRET_ACCESS_KEY"
            raise CredentialsError(f"{missing} is not set in the environment", absent=True)
        try:
            return Credentials(access, secret, os.environ.get("AWS_SESSION_TOKEN") or None)
        except CredentialsError as error:
            raise CredentialsError(f"the environment: {error}") from None

    def __repr__(self) -> str:
        return "<EnvironmentProvider>"


class BotocoreProvider:
    """botocore's own chain: profiles, SSO, assumed roles, container and instance metadata (extra ``boto``).

    Args:
        profile: a profile of ``~/.aws/config``; None for the default one.

    botocore refreshes the credentials itself; each load takes what it has now, frozen.
    """

    def __init__(self, profile: str | None = None) -> None:
        self._profile = profile
        self._source: Any = None
        self._lock = threading.Lock()

    def load(self) -> Credentials:
        try:
            from botocore.exceptions import BotoCoreError, ClientError
            from botocore.session import Session
        except ImportError:
            raise CredentialsError(
                "botocore is not installed: pip install 's3accel[boto]', or give Credentials", absent=True
            ) from None
        with self._lock:
            try:
                if self._source is None:
                    self._source = Session(profile=self._profile).get_credentials()
                frozen = None if self._source is None else self._source.get_frozen_credentials()
            except (BotoCoreError, ClientError) as error:
                # Half a profile, one that is not there, a login that ended, a role that may not be assumed.
                raise CredentialsError(f"botocore's chain: {redact_text(str(error))}") from error
            expiry = getattr(self._source, "_expiry_time", None)
        if frozen is None:
            raise CredentialsError("botocore's chain found no credentials", absent=True)
        expires_at = None if expiry is None else float(expiry.timestamp())
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token or None, expires_at)

    def __repr__(self) -> str:
        return f"<BotocoreProvider profile={self._profile!r}>"


class ChainProvider:
    """The first of several providers that has credentials."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self._providers = tuple(providers)

    def load(self) -> Credentials:
        reasons = []
        for provider in self._providers:
            try:
                return provider.load()
            except CredentialsError as error:
                if not error.absent:
                    raise  # there are some, and they are bad: another source would hide that
                reasons.append(str(error))
        raise CredentialsError("no credentials found: " + "; ".join(reasons), absent=True)

    def __repr__(self) -> str:
        return f"<ChainProvider of {len(self._providers)}>"


class RefreshingProvider:
    """Credentials that a function fetches, renewed before they expire, one fetch at a time.

    Args:
        fetch: gives new Credentials with ``expires_at``; called without a lock held by anybody else.
        before: seconds before expiry at which a new fetch is made.
        clock: epoch seconds.

    While one thread fetches, others go on with what is still alive, and wait only if nothing is. A fetch that
    fails while the old credentials live is retried at the next load.
    """

    def __init__(
        self,
        fetch: Callable[[], Credentials],
        *,
        before: float = REFRESH_BEFORE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._fetch = fetch
        self._before = before
        self._clock = clock
        self._current: Credentials | None = None
        self._fetching = threading.Lock()

    def load(self) -> Credentials:
        current = self._current
        if current is not None and not current.expired(self._clock(), self._before):
            return current
        alive = current is not None and not current.expired(self._clock())
        if not self._fetching.acquire(blocking=not alive):
            return current  # type: ignore[return-value]  # alive, so it is there
        try:
            current = self._current
            if current is not None and not current.expired(self._clock(), self._before):
                return current  # somebody else fetched while this thread waited
            try:
                self._current = self._fetch()
            except CredentialsError:
                if current is None or current.expired(self._clock()):
                    raise
            return self._current  # type: ignore[return-value]
        finally:
            self._fetching.release()

    def __repr__(self) -> str:
        return f"<RefreshingProvider {self._current!r}>"


def default_provider() -> Provider:
    """The environment, then botocore's chain."""
    return ChainProvider([EnvironmentProvider(), BotocoreProvider()])


def provider_of(credentials: Credentials | Provider | None) -> Provider:
    """What a signer asks: fixed credentials as a provider, None as `default_provider`.

    Raises:
        ConfigError: neither credentials nor a provider.
    """
    if isinstance(credentials, Credentials):
        return StaticProvider(credentials)
    if credentials is None:
        return default_provider()
    if isinstance(credentials, Provider):
        return credentials
    given = f"{type(credentials).__module__}.{type(credentials).__qualname__}"
    advice = ""
    if given.startswith("botocore."):
        advice = "; for botocore's give None (its whole chain), BotocoreProvider(profile), or copy the three texts of frozen ones"
    raise ConfigError(f"credentials must be s3accel's Credentials or a provider, not {given}{advice}")


def load_living(provider: Provider, now: float) -> tuple[Credentials, float]:
    """Credentials, and the time (epoch seconds) at which a signer asks the provider again.

    Raises:
        CredentialsError: there are none, or they are expired at ``now``.
    """
    credentials = provider.load()
    if not isinstance(credentials, Credentials):
        # Of another library, or a test's: nothing is signed that was not checked.
        credentials = Credentials(
            credentials.access_key_id,
            credentials.secret_access_key,
            credentials.session_token,
            credentials.expires_at,
        )
    if credentials.expired(now):
        raise CredentialsError(f"{credentials!r} are expired")
    if credentials.expires_at is not None:
        # Renewed early; when the provider has nothing newer, every so often until they are dead.
        early = credentials.expires_at - REFRESH_BEFORE
        return credentials, early if now < early else min(now + 10.0, credentials.expires_at)
    # A provider may rotate keys that carry no expiry; a minute is what a rotation may lag.
    return credentials, math.inf if isinstance(provider, StaticProvider) else now + 60.0
