"""S3 Express One Zone: sessions, which stand for credentials in requests to directory buckets.

`CreateSession` is signed with IAM credentials and gives a key, a secret and a token for one bucket and five
minutes. `ExpressSessions` keeps one session for each bucket and identity and renews it a minute early; it
does no I/O itself but is given a function that sends a request.

Source: S3 API Reference, CreateSession; S3 User Guide, "Authenticating and authorizing requests" for directory
buckets.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import unescape
from typing import NoReturn

from .clock import parse_http_date, system_clock
from .credentials import Credentials, Provider, RefreshingProvider, provider_of
from .errors import ConfigError, CredentialsError, S3Error
from .redact import redact_text
from .signer import Signer

__all__ = ["ExpressSessions", "SessionRequest", "SessionResponse", "create_session_request", "directory_host"]

SERVICE = "s3express"
#: A session lives five minutes; this many seconds before its end a new one is made.
REFRESH_BEFORE = 60.0
#: Sessions kept at most; what was asked for longest ago goes first.
MAX_SESSIONS = 100
#: CreateSession answers with about 1 KiB.
MAX_ANSWER = 65_536

_REGION = re.compile(r"[a-z0-9-]{1,64}")
_BUCKET = re.compile(r"(?=.{1,63}\Z)[a-z0-9][a-z0-9-]*--(?P<zone>[a-z0-9-]+)--(?:x-s3|xa-s3)")
_MODES = ("ReadWrite", "ReadOnly")


@dataclass(frozen=True)
class SessionRequest:
    """What is to be sent, exactly as it stands. `headers` hold everything but Host, which is the URL's."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class SessionResponse:
    """What came back. `body` holds a secret."""

    status: int
    body: bytes = field(repr=False)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a SessionResponse holds a secret and is not pickled")


def directory_host(bucket: str, region: str, *, dualstack: bool = False) -> str:
    """The host of a directory bucket, whose name ends in its zone: ``name--use1-az5--x-s3``.

    Raises:
        ConfigError: it is no name of a directory bucket or of an access point for one, or no region.
    """
    found = _BUCKET.fullmatch(bucket)
    if found is None:
        raise ConfigError(
            f"{bucket!r} is no directory bucket; those are named like name--use1-az5--x-s3 and have sessions"
        )
    if not _REGION.fullmatch(region):
        raise ConfigError(f"{region!r} is no region; regions are named like us-east-1")
    middle = "dualstack." if dualstack else ""
    return f"{bucket}.s3express-{found['zone']}.{middle}{region}.amazonaws.com"


def create_session_request(
    credentials: Credentials | Provider | None,
    region: str,
    bucket: str,
    *,
    mode: str = "ReadWrite",
    headers: Mapping[str, str] | None = None,
    base_url: str | None = None,
    clock: Callable[[], float] | None = None,
) -> SessionRequest:
    """A signed CreateSession.

    Args:
        credentials, region, clock: as for `Signer`; IAM credentials, not those of a session.
        mode: ``"ReadWrite"`` or ``"ReadOnly"``.
        headers: more to send and sign, for example ``x-amz-server-side-encryption``.
        base_url: in place of ``https://`` and the bucket's own host.

    Raises:
        ConfigError: bucket or mode cannot be. CredentialsError: there are no living credentials.
    """
    if mode not in _MODES:
        raise ConfigError(f"session mode {mode!r}: it is one of {' and '.join(_MODES)}")
    url = f"{(base_url or 'https://' + directory_host(bucket, region)).rstrip('/')}/?session"
    own = {**(headers or {}), "x-amz-create-session-mode": mode}
    # The service is s3express, but the token of IAM credentials goes by its ordinary name.
    signer = Signer(credentials, region, SERVICE, clock=clock, token_header="X-Amz-Security-Token")  # noqa: S106
    return SessionRequest("GET", url, {**own, **signer.sign("GET", url, own)})


class ExpressSessions:
    """Sessions for directory buckets, one for each bucket and identity. Thread-safe.

    Args:
        credentials: IAM credentials, a provider, or None for the environment and then botocore's chain.
        region: of the buckets.
        send: sends a `SessionRequest` and gives the `SessionResponse`; it may raise what it likes.
        mode, clock: as for `create_session_request`.
        base_url: bucket -> what stands in place of ``https://`` and the bucket's own host.

    While one thread renews a session, others go on with the living one.

    CopyObject, UploadPartCopy, HeadBucket and all calls to the control endpoint take IAM credentials, not a
    session: sign them with a `Signer` for ``s3express`` made with ``token_header="X-Amz-Security-Token"``.
    """

    def __init__(
        self,
        credentials: Credentials | Provider | None,
        region: str,
        send: Callable[[SessionRequest], SessionResponse],
        *,
        mode: str = "ReadWrite",
        base_url: Callable[[str], str] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        if mode not in _MODES:
            raise ConfigError(f"session mode {mode!r}: it is one of {' and '.join(_MODES)}")
        self._identity = provider_of(credentials)
        self._region = region
        self._send = send
        self._mode = mode
        self._base_url = base_url
        self._clock: Callable[[], float] = system_clock if clock is None else clock
        self._lock = threading.Lock()
        # In the order of use. Credentials compare by value, so an identity that rotates gets its own session.
        self._sessions: dict[tuple[str, Credentials], RefreshingProvider] = {}

    def credentials(self, bucket: str) -> Credentials:
        """The bucket's living session.

        Raises:
            ConfigError: it is no directory bucket. CredentialsError: no session could be made.
        """
        identity = self._identity.load()
        with self._lock:
            session = self._sessions.pop((bucket, identity), None)
            if session is None:
                if self._base_url is None:
                    directory_host(bucket, self._region)
                session = RefreshingProvider(
                    lambda: self._create(bucket, identity), before=REFRESH_BEFORE, clock=self._clock
                )
            self._sessions[(bucket, identity)] = session
            while len(self._sessions) > MAX_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
        return session.load()

    def provider(self, bucket: str) -> Provider:
        """The bucket's session as a provider, for ``Signer(provider, region, "s3express")``."""
        return _SessionProvider(self, bucket)

    def signer(self, bucket: str) -> Signer:
        """A signer for object requests to the bucket; the token goes out as ``x-amz-s3session-token``."""
        clock = None if self._clock is system_clock else self._clock
        return Signer(self.provider(bucket), self._region, SERVICE, clock=clock)

    def forget(self, bucket: str) -> None:
        """Drops the bucket's sessions, after a request was refused with an expired or invalid token."""
        with self._lock:
            for known in [known for known in self._sessions if known[0] == bucket]:
                del self._sessions[known]

    def _create(self, bucket: str, identity: Credentials) -> Credentials:
        base_url = None if self._base_url is None else self._base_url(bucket)
        request = create_session_request(
            identity, self._region, bucket, mode=self._mode, base_url=base_url, clock=self._clock
        )
        try:
            response = self._send(request)
        except CredentialsError:
            raise
        except Exception as error:
            reason = redact_text(str(error))
            raise CredentialsError(f"no session for {bucket}: {type(error).__name__}: {reason}") from error
        return _read_session(bucket, response)

    def __repr__(self) -> str:
        return f"<ExpressSessions {self._region} {self._mode} {len(self._sessions)} sessions>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("ExpressSessions hold credentials and are not pickled; make them in each process")


class _SessionProvider:
    def __init__(self, sessions: ExpressSessions, bucket: str) -> None:
        self._sessions = sessions
        self._bucket = bucket

    def load(self) -> Credentials:
        return self._sessions.credentials(self._bucket)

    def __repr__(self) -> str:
        return f"<session provider of {self._bucket}>"


def _read_session(bucket: str, response: SessionResponse) -> Credentials:
    # The answer is flat and its four values hold no markup, so no XML parser has to meet a server's bytes.
    text = response.body[:MAX_ANSWER].decode("utf-8", "replace")
    if response.status != 200:
        refused = S3Error(
            _element(text, "Code") or str(response.status),
            response.status,
            _element(text, "Message") or "",
            request_id=_element(text, "RequestId") or "",
            operation="CreateSession",
            bucket=bucket,
        )
        raise CredentialsError(f"no session for {bucket}: {refused}") from refused
    access, secret, token, until = (
        _element(text, name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
    )
    expires_at = None if until is None else parse_http_date(until)
    if not (access and secret and token) or expires_at is None:
        raise CredentialsError(
            f"no session for {bucket}: the answer to CreateSession lacks a key, a token or its expiry"
        )
    return Credentials(access, secret, token, expires_at)


def _element(text: str, name: str) -> str | None:
    found = re.search(f"<{name}>([^<]*)</{name}>", text)
    return None if found is None else unescape(found[1]).strip()
