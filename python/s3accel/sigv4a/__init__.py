"""SigV4a: one signature that is valid in several regions, as S3 Multi-Region Access Points want it.

The requests look like those of Signature Version 4, with ECDSA over P-256 in place of HMAC, no region in the
scope, and the signed header or parameter ``X-Amz-Region-Set``. Canonical requests come from the same core.

Source: IAM User Guide, "Create a signed AWS API request"; aws-c-auth, `source/aws_signing.c`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, NoReturn, cast

from .. import _core
from ..clock import system_clock
from ..credentials import Credentials, Provider, load_living, provider_of
from ..errors import ConfigError
from ..streaming import DEFAULT_CHUNK_SIZE, SignedStream
from .ecdsa import ALGORITHM, PublicKeyV4a, SigningKeyV4a
from .inputs import S3_SERVICES, Headers, payload_hash, region_set_of
from .streaming import SignedStreamV4a, encoded_length_v4a

__all__ = [
    "ALGORITHM",
    "PublicKeyV4a",
    "SignedStreamV4a",
    "SignerV4a",
    "SigningKeyV4a",
    "encoded_length_v4a",
    "region_set_of",
]

MAX_EXPIRES = 604_800


class _Frozen(NamedTuple):
    """What one request is signed with."""

    credentials: Credentials
    key: SigningKeyV4a
    until: float


class SignerV4a:
    """Signs requests with SigV4a. Thread-safe. It has the words of `Signer`: sign, presign, stream.

    Args:
        credentials: `Credentials`, a provider, or None for the environment and then botocore's chain.
        region_set: where the signature shall be valid: ``"*"``, ``"us-east-1,us-west-*"`` or a sequence of
            names. SDKs sign for Multi-Region Access Points with ``"*"``.
        service: ``"s3"``; any other service gets AWS's generic path rule (normalized, encoded twice).
        clock: a callable giving epoch seconds; None for the process's clock with its learned offset.
        sign_all_headers: sign every header of the request that may be signed, instead of `host`,
            `content-type`, `content-md5`, `range` and `x-amz-*`.
        content_sha256: send ``X-Amz-Content-Sha256``; None: only for S3, which requires it.

    Needs the extra ``sigv4a``. A signature takes about 40 us, of which nearly all is ECDSA. Unlike `Signer`
    it cannot forget the secret's worth: the derived key does not depend on the day (see `SigningKeyV4a`).
    """

    def __init__(
        self,
        credentials: Credentials | Provider | None,
        region_set: str | Iterable[str] = "*",
        service: str = "s3",
        *,
        clock: Callable[[], float] | None = None,
        sign_all_headers: bool = False,
        content_sha256: bool | None = None,
    ) -> None:
        self._provider = provider_of(credentials)
        if not isinstance(service, str) or not re.fullmatch(r"[a-z0-9-]{1,64}", service):
            raise ConfigError(f"{service!r} is no service name")
        self._region_set = region_set_of(region_set)
        self._service = service
        self._clock: Callable[[], float] = system_clock if clock is None else clock
        self._select = "all" if sign_all_headers else "recommended"
        self._generic = service not in S3_SERVICES
        self._content_sha256 = not self._generic if content_sha256 is None else content_sha256
        self._lock = threading.Lock()
        self._frozen: _Frozen | None = None

    @property
    def region_set(self) -> str:
        return self._region_set

    @property
    def service(self) -> str:
        return self._service

    def refresh(self) -> None:
        """Drops the key so that the next request asks the provider (after ExpiredToken, for example)."""
        self._frozen = None

    def _freeze(self, now: float) -> _Frozen:
        frozen = self._frozen
        if frozen is not None and now < frozen.until:
            return frozen
        with self._lock:
            frozen = self._frozen
            if frozen is not None and now < frozen.until:
                return frozen  # another thread renewed it meanwhile
            credentials, until = load_living(self._provider, now)
            if frozen is not None and frozen.credentials == credentials:
                key = frozen.key
            else:
                key = SigningKeyV4a.derive(credentials.access_key_id, credentials.secret_access_key)
            self._frozen = _Frozen(credentials, key, until)
            return self._frozen

    def sign(self, method: str, url: str, headers: Headers = None, payload: Any = b"") -> dict[str, str]:
        """The headers to add to a request.

        Args:
            method: as it will be sent.
            url: absolute and percent-encoded, exactly as it goes out.
            headers: the request's own; values as str (ASCII) or bytes.
            payload: the body, or its SHA-256 in 64 hexadecimal digits, or one of S3's constants.

        Raises:
            SigningError: the request cannot be signed as it stands.
            CredentialsError: there are no living credentials.
            ConfigError: the `cryptography` package is missing.
        """
        return self._sign_detailed(method, url, headers, payload)[0]

    def _sign_detailed(
        self, method: str, url: str, headers: Headers = None, payload: Any = b""
    ) -> tuple[dict[str, str], str, str, bytes, bytes, str, SigningKeyV4a]:
        """sign() with every stage, in the order in which `Signer` gives them."""
        now = self._clock()
        frozen = self._freeze(now)
        own = _listed(headers)
        given = _core.signing_input(method, url, own, payload_hash(payload), self._service, ecdsa=True)
        _, host, path, query, digest = given
        added = {"X-Amz-Date": _core.timestamp_of(now), "X-Amz-Region-Set": self._region_set}
        if self._content_sha256:
            added["X-Amz-Content-Sha256"] = digest
        if frozen.credentials.session_token:
            added["X-Amz-Security-Token"] = frozen.credentials.session_token
        whole = [*own, *added.items()]
        canonical, signed = self._canonical(method, path, query, host, whole, digest, self._select)
        timestamp = added["X-Amz-Date"]
        text = _core.string_to_sign(timestamp, self._scope(timestamp), canonical, ALGORITHM)
        signature = frozen.key.sign(text)
        credential = f"{frozen.credentials.access_key_id}/{self._scope(timestamp)}"
        authorization = f"{ALGORITHM} Credential={credential}, SignedHeaders={signed}, Signature={signature}"
        return (
            {"Authorization": authorization, **added},
            signature,
            timestamp,
            canonical,
            text,
            signed,
            frozen.key,
        )

    def presign(
        self,
        method: str,
        url: str,
        expires: int = 3600,
        headers: Headers = None,
        payload: str | None = None,
    ) -> str:
        """A URL that carries its signature.

        Args:
            method, url: as for `sign`; a query in the URL is signed with it.
            expires: whole seconds, 1 to 604,800 (7 days).
            headers: all of them are signed; whoever uses the URL must send them unchanged.
            payload: what the canonical request ends in; None: ``UNSIGNED-PAYLOAD`` for S3, the hash of an
                empty body for other services.

        Raises:
            ConfigError: expires out of range. SigningError: method, URL or headers cannot be signed.
        """
        if not isinstance(expires, int) or isinstance(expires, bool) or not 1 <= expires <= MAX_EXPIRES:
            raise ConfigError(
                f"a presigned URL may live 1 to {MAX_EXPIRES} seconds (7 days), not {expires!r}"
            )
        now = self._clock()
        frozen = self._freeze(now)
        own = _listed(headers)
        text = (
            payload
            if payload is None or isinstance(payload, str)
            else memoryview(payload).tobytes().decode("latin-1")
        )
        given = _core.signing_input(method, url, own, text, self._service, presigned=True, ecdsa=True)
        base, host, path, query, digest = given
        _, signed = _core.canonical_request(method, "/", own, digest, select="all", host=host)
        timestamp = _core.timestamp_of(now)
        parameters = {
            "X-Amz-Algorithm": ALGORITHM,
            "X-Amz-Credential": f"{frozen.credentials.access_key_id}/{self._scope(timestamp)}",
            "X-Amz-Date": timestamp,
            "X-Amz-Expires": str(expires),
            "X-Amz-Region-Set": self._region_set,
            "X-Amz-SignedHeaders": signed,
        }
        if frozen.credentials.session_token:
            parameters["X-Amz-Security-Token"] = frozen.credentials.session_token
        pairs = [f"{name}={_core.uri_encode(value)}" for name, value in parameters.items()]
        query = _core.canonical_query("&".join([query, *pairs]))
        canonical, _ = self._canonical(method, path, query, host, own, digest, "all")
        to_sign = _core.string_to_sign(timestamp, self._scope(timestamp), canonical, ALGORITHM)
        return f"{base}{'' if path else '/'}?{query}&X-Amz-Signature={frozen.key.sign(to_sign)}"

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

        The arguments and errors are those of `Signer.stream`. A stream with ``signed=False`` has a signed
        head and unsigned chunks.
        """
        if not signed:
            # Unsigned frames know no key: the native encoder makes them.
            return SignedStream(
                cast(Any, self),
                method,
                url,
                headers,
                decoded_length,
                chunk_size=chunk_size,
                checksum=checksum,
                signed=False,
            )
        return SignedStreamV4a(
            self, method, url, headers, decoded_length, chunk_size=chunk_size, checksum=checksum
        )

    def public_key(self) -> PublicKeyV4a:
        """What a server needs to check the signatures made now."""
        return self._freeze(self._clock()).key.public_key

    def _scope(self, timestamp: str) -> str:
        return f"{timestamp[:8]}/{self._service}/aws4_request"

    def _canonical(
        self,
        method: str,
        path: str,
        query: str,
        host: str,
        headers: list[tuple[str, Any]],
        digest: str,
        select: str,
    ) -> tuple[bytes, str]:
        target = (path or "/") + (f"?{query}" if query else "")
        generic = self._generic
        return _core.canonical_request(
            method, target, headers, digest, generic, generic, select, decode=not generic, host=host
        )

    def __repr__(self) -> str:
        who = "not used yet" if self._frozen is None else self._frozen.credentials.access_key_id
        return f"<SignerV4a {self._region_set}/{self._service} {who}>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a SignerV4a holds a signing key and is not pickled; make one in each process")


def _listed(headers: Headers) -> list[tuple[str, Any]]:
    """The pairs, read once: an iterator is gone afterwards."""
    if headers is None:
        return []
    return list(headers.items() if isinstance(headers, Mapping) else headers)
