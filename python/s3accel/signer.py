"""Signing requests: `Signer`, the key of a day, and URI encoding."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NoReturn

from . import _core
from ._core import SigningKey, uri_encode
from .clock import system_clock
from .credentials import Credentials, Provider, load_living, provider_of
from .errors import ConfigError, CredentialsError
from .redact import redact_url
from .streaming import DEFAULT_CHUNK_SIZE, SignedStream

__all__ = ["DEFAULT_CHUNK_SIZE", "Signer", "SigningKey", "uri_encode"]

Headers = Mapping[str, Any] | Iterable[tuple[str, Any]] | None

_DAY = 86_400.0
_S3_SERVICES = ("s3", "s3express", "s3-outposts", "s3-object-lambda")


class Signer(_core.SignerBase):
    """Signs requests for one region and one service. Thread-safe.

    Args:
        credentials: `Credentials`, a provider, or None for the environment and then botocore's chain.
        region: the bucket's own region; for an accelerated host too.
        service: ``"s3"``; any other service gets AWS's generic path rule (normalized, encoded twice).
        clock: a callable giving epoch seconds; None for the process's clock with its learned offset.
        sign_all_headers: sign every header of the request that may be signed, instead of `host`,
            `content-type`, `content-md5`, `range` and `x-amz-*`.
        content_sha256: send ``X-Amz-Content-Sha256``; None: only for S3, which requires it.
        sign_presigned_token: False puts a presigned URL's session token outside the signature, which a few
            services (IoT) want; S3 wants it inside.
        token_header: name of the session token's header; None: ``X-Amz-Security-Token``, or S3 Express's own
            for the service ``s3express`` (whose CreateSession alone is signed with the IAM token).

    What signs is the key derived for one day, region and service. The provider, or the `Credentials` that were
    given, stay referenced: only a signer of `from_key` holds no secret. The provider is asked again on a new day, and five minutes before credentials expire. Each request is signed with one frozen
    set of credentials.

    Source: S3 API Reference, "sig-v4-header-based-auth".
    """

    def __init__(
        self,
        credentials: Credentials | Provider | None,
        region: str,
        service: str = "s3",
        *,
        clock: Callable[[], float] | None = None,
        sign_all_headers: bool = False,
        content_sha256: bool | None = None,
        sign_presigned_token: bool = True,
        token_header: str | None = None,
    ) -> None:
        if not isinstance(region, str) or not region:
            raise ConfigError("a region is needed to sign; for an accelerated host it is the bucket's own")
        self._provider = provider_of(credentials)
        self._region = region
        self._service = service
        self._sign_all = sign_all_headers
        self._sign_token = sign_presigned_token
        express = service == "s3express"
        self._token_header = token_header or ("x-amz-s3session-token" if express else "X-Amz-Security-Token")
        self._fixed: tuple[SigningKey, str, str | None] | None = None
        s3 = service in _S3_SERVICES
        self._content_sha256 = s3 if content_sha256 is None else content_sha256
        self._lock = threading.Lock()
        self._access_key_id = ""
        # The process's clock is read natively, its offset included; only a foreign one costs a call.
        self._set_clock(None if clock is None or clock is system_clock else clock)

    @property
    def region(self) -> str:
        return self._region

    @property
    def service(self) -> str:
        return self._service

    def _renew(self, now: float) -> None:
        """Called by the native half when its key is not good for `now`."""
        with self._lock:
            if self._fixed is not None:
                self._renew_fixed(now, *self._fixed)
                return
            credentials, until = load_living(self._provider, now)
            day = now // _DAY * _DAY
            date = _core.timestamp_of(day)[:8]
            key = SigningKey.derive(credentials.secret_access_key, date, self._region, self._service)
            self._use(key, credentials.access_key_id, credentials.session_token, day, min(until, day + _DAY))

    def _renew_fixed(self, now: float, key: SigningKey, access_key_id: str, token: str | None) -> None:
        start = float(_core.epoch_of(f"{key.date}T000000Z"))
        if not start <= now < start + _DAY:
            today = _core.timestamp_of(now)[:8]
            raise CredentialsError(
                f"this signer holds the key of {key.date} only, and it is {today} (UTC): "
                "get today's key from the host that has the secret"
            )
        self._use(key, access_key_id, token, start, start + _DAY)

    def _use(
        self, key: SigningKey, access_key_id: str, token: str | None, start: float, until: float
    ) -> None:
        self._access_key_id = access_key_id
        self._install(
            key,
            access_key_id,
            token,
            self._token_header,
            start,
            until,
            self._sign_all,
            self._content_sha256,
            self._sign_token,
        )

    @classmethod
    def from_key(
        cls,
        key: SigningKey,
        access_key_id: str,
        session_token: str | None = None,
        *,
        clock: Callable[[], float] | None = None,
        sign_all_headers: bool = False,
    ) -> Signer:
        """A signer for a host that holds one day's key and never sees the secret. For the next day make another.

        Args:
            key: ``SigningKey.restore(exported, date, region, service)``.
            access_key_id, session_token: those of the credentials the key was derived from.

        It signs until the key's day ends (UTC), for the key's region and service; after that every call
        raises CredentialsError that says so.
        """
        if not isinstance(key, SigningKey):
            raise ConfigError(
                f"from_key needs a SigningKey, not {type(key).__name__}: SigningKey.restore(raw, date, region, service)"
            )
        # What will stand in headers is checked now and not at the first request; the secret is none.
        checked = Credentials(access_key_id, "-", session_token)
        access_key_id, session_token = checked.access_key_id, checked.session_token
        signer = cls(
            _NoSecret(),
            key.region,
            key.service,
            clock=clock,
            sign_all_headers=sign_all_headers,
        )
        signer._fixed = (key, access_key_id, session_token)
        return signer

    def refresh(self) -> None:
        """Drops the key so that the next request asks the provider (after ExpiredToken, for example)."""
        self._forget()

    def presign_many(
        self,
        method: str,
        base_url: str,
        keys: Iterable[str | bytes | tuple[str | bytes, Mapping[str, Any]]],
        expires: int = 3600,
        headers: Headers = None,
    ) -> list[str]:
        """Presigned URLs for many keys below one base URL, in their order.

        Args:
            method: of all of them.
            base_url: what stands before the keys, ``https://bucket.s3-accelerate.amazonaws.com/`` for example;
                a query in it (``?versionId=..``) is part of every URL.
            keys: raw object keys (encoded here), or pairs of a key and its own options among ``method``,
                ``expires``, ``headers`` and ``query`` (a mapping).
            expires: whole seconds, 1 to 604,800.
            headers: signed in every URL; whoever uses one must send them.

        All URLs share one date, one key and one template, and their hashes run side by side without the GIL.
        For millions of keys use `presign_iter`, which keeps memory constant.

        Raises:
            ConfigError: expires out of range. SigningError: method, URL or headers cannot be signed.
        """
        _check_base(base_url)
        _check_keys(keys)
        keys = keys if isinstance(keys, (list, tuple)) else list(keys)
        if self._service not in _S3_SERVICES or not self._sign_token:
            # The shared template is S3's; elsewhere each URL is made by itself.
            pairs = [key if isinstance(key, tuple) else (key, {}) for key in keys]
            return [self._presign_one(method, base_url, *p, expires=expires, headers=headers) for p in pairs]
        if not any(isinstance(key, tuple) for key in keys):
            return self._presign_many(method, base_url, keys, expires, headers)
        urls: list[str] = []
        plain: list[Any] = []
        for key in keys:
            if not isinstance(key, tuple):
                plain.append(key)
                continue
            if plain:
                urls += self._presign_many(method, base_url, plain, expires, headers)
                plain = []
            urls.append(self._presign_one(method, base_url, *key, expires=expires, headers=headers))
        if plain:
            urls += self._presign_many(method, base_url, plain, expires, headers)
        return urls

    def _presign_one(
        self,
        method: str,
        base_url: str,
        key: str | bytes,
        options: Mapping[str, Any] = {},
        *,
        expires: int,
        headers: Headers,
    ) -> str:
        if not isinstance(options, Mapping):
            raise ConfigError(f"the options of key {key!r} are a mapping, not {type(options).__name__}")
        unknown = set(options) - {"method", "expires", "headers", "query"}
        if unknown:
            raise ConfigError(f"unknown presign option {sorted(unknown)[0]!r} for key {key!r}")
        base, _, query = base_url.partition("?")
        pairs = [query] if query else []
        pairs += [
            f"{uri_encode(str(k))}={uri_encode(str(v))}" for k, v in (options.get("query") or {}).items()
        ]
        url = base + uri_encode(key, True) + ("?" + "&".join(pairs) if pairs else "")
        return self.presign(
            options.get("method", method),
            url,
            options.get("expires", expires),
            options.get("headers", headers),
        )

    def presign_iter(
        self,
        method: str,
        base_url: str,
        keys: Iterable[str | bytes | tuple[str | bytes, Mapping[str, Any]]],
        expires: int = 3600,
        headers: Headers = None,
        *,
        batch: int = 4096,
    ) -> Iterator[list[str]]:
        """`presign_many` for any number of keys: lists of up to `batch` URLs, in constant memory."""
        if batch < 1:
            raise ConfigError(f"batch must be at least 1, not {batch}")
        _check_keys(keys)
        source = iter(keys)
        while group := list(islice(source, batch)):
            yield self.presign_many(method, base_url, group, expires, headers)

    def stream(
        self,
        method: str,
        url: str,
        headers: Headers = None,
        decoded_length: int = 0,
        *,
        chunk_size: int = DEFAULT_CHUNK_SIZE,
        checksum: str | None = None,
        signed: bool = True,
    ) -> SignedStream:
        """Signs a request whose body goes out as aws-chunked, and gives the stream that makes the body.

        Args:
            method, url, headers: as for `sign`; ``Content-Encoding`` is extended by ``aws-chunked``.
            decoded_length: bytes of the object, exact.
            chunk_size: payload bytes in a chunk, 8,192 to 16,777,216.
            checksum: one of `s3accel.checksums.ALGORITHMS`, sent as a trailer.
            signed: False sends ``STREAMING-UNSIGNED-PAYLOAD-TRAILER`` (needs a checksum, TLS only).

        Raises:
            ConfigError: chunk size, length or checksum cannot be.
            SigningError: the request cannot be signed.

        Source: S3 API Reference, "sigv4-streaming" and "sigv4-streaming-trailers".
        """
        return SignedStream(
            self,
            method,
            url,
            headers,
            decoded_length,
            chunk_size=chunk_size,
            checksum=checksum,
            signed=signed,
        )

    def __repr__(self) -> str:
        who = self._access_key_id or "not used yet"
        return f"<Signer {self._region}/{self._service} {who}>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a Signer holds a signing key and is not pickled; make one in each process")


class _NoSecret:
    """The provider of a signer that was given a key instead of credentials; never asked."""

    def load(self) -> Credentials:
        raise CredentialsError("this signer holds a signing key, not credentials")


def _check_base(base_url: str) -> None:
    path = base_url.partition("?")[0]
    if not path.endswith("/"):
        raise ConfigError(f"the base URL must end in '/', where the keys go: {redact_url(base_url)}")


def _check_keys(keys: object) -> None:
    # A text is an iterable of texts: "abc" would become URLs of the objects a, b and c.
    if isinstance(keys, (str, bytes)):
        raise ConfigError("keys must be an iterable of keys; one key alone goes to presign()")
