"""Trying the known mistakes: which of them gives exactly the signature, or the hash, that was seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from .. import _core
from ..credentials import Provider
from ..errors import ConfigError
from .model import Canonical, octets
from .request import SignedRequest
from .variants import Mistake, mistakes, secret_variants

#: Pairs of mistakes tried at most. Some 2,500 of them, what an ordinary request gives, take 50 ms (measured).
MAX_PAIRS = 4000


class Keys(NamedTuple):
    """Credentials as they were given, white space and all."""

    access_key_id: str
    secret: str
    token: str | None

    def __repr__(self) -> str:
        return f"<Keys {self.access_key_id}>"


def keys_of(credentials: Any) -> Keys | None:
    """From Credentials, a provider, botocore's credentials, or a tuple (id, secret[, token]).

    A tuple is taken as it is: `Credentials` refuses a secret with white space, which may be what is wrong.

    Raises:
        ConfigError: none of these. CredentialsError: the provider has none.
    """
    if credentials is None or isinstance(credentials, Keys):
        return credentials
    if isinstance(credentials, tuple) and 2 <= len(credentials) <= 3:
        access, secret = credentials[:2]
        if isinstance(access, str) and isinstance(secret, str) and secret:
            return Keys(access, secret, credentials[2] if len(credentials) == 3 else None)
    if isinstance(credentials, Provider):
        credentials = credentials.load()
    frozen = getattr(credentials, "get_frozen_credentials", None)
    if callable(frozen):
        credentials = frozen()
    for names in (
        ("access_key_id", "secret_access_key", "session_token"),
        ("access_key", "secret_key", "token"),
    ):
        access, secret, token = (getattr(credentials, name, None) for name in names)
        if isinstance(access, str) and isinstance(secret, str) and secret:
            return Keys(access, secret, token if isinstance(token, str) and token else None)
    # The value itself must not reach the message.
    raise ConfigError(
        f"credentials must be Credentials, a provider or (access key id, secret), not {type(credentials).__name__}"
    )


@dataclass(frozen=True, repr=False)
class Seen:
    """A signature that was seen, and what it was made under."""

    signature: str
    timestamp: str
    scope: str

    @property
    def parts(self) -> tuple[str, str, str] | None:
        parts = self.scope.split("/")
        return (parts[0], parts[1], parts[2]) if len(parts) == 4 else None


class Hit(NamedTuple):
    """A mistake that reproduces what was seen; ``words`` end "the signature is that of ..."."""

    cause: str
    words: str
    also: tuple[str, ...] = ()


def _key(secret: str, date: str, region: str, service: str) -> bytes:
    # Not SigningKey.derive: it refuses secrets that cannot be, and those are wanted here.
    key = b"AWS4" + octets(secret)
    for part in (date, region, service, "aws4_request"):
        key = _core.hmac_sha256(key, octets(part))
    return key


def signs(key: bytes, text: bytes, signature: str) -> bool:
    return _core.equal_constant_time(_core.hmac_sha256(key, text).hex(), signature.lower())


def signed_by(keys: Keys | None, text: bytes, seen: Seen) -> bool:
    """True if these very credentials give the signature for this string to sign."""
    return (
        keys is not None
        and seen.parts is not None
        and signs(_key(keys.secret, *seen.parts), text, seen.signature)
    )


def secret_behind(keys: Keys | None, text: bytes, seen: Seen) -> Hit | None:
    """The mistake with the secret, or with the key's derivation, that gives the signature for this text."""
    if keys is None or seen.parts is None:
        return None
    date, region, service = seen.parts
    for cause, words, secret in secret_variants(keys.secret):
        if (
            secret
            and secret != keys.secret
            and signs(_key(secret, date, region, service), text, seen.signature)
        ):
            return Hit(cause, f"this request signed with the secret {words}")
    for cause, words, other in _derivations(date, region, service):
        if signs(_key(keys.secret, *other), text, seen.signature):
            return Hit(cause, f"this request signed with a key derived for {words}")
    return None


def _derivations(date: str, region: str, service: str) -> Iterator[tuple[str, str, tuple[str, str, str]]]:
    for other in ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "auto", "aws-global", ""):
        if other != region:
            yield "wrong-region", f"the region {other!r} instead of {region!r}", (date, other, service)
    for other in ("s3", "s3express", "s3-object-lambda", "s3-outposts", "execute-api", "sts", ""):
        if other != service:
            yield "wrong-service", f"the service {other!r} instead of {service!r}", (date, region, other)
    try:
        day = datetime.strptime(date, "%Y%m%d")
    except ValueError:
        return
    for days, words in ((-1, "the day before"), (1, "the day after")):
        other = (day + timedelta(days)).strftime("%Y%m%d")
        yield "credential-date", f"{words} the one in the scope", (other, region, service)


def mistake_behind(
    base: Canonical, request: SignedRequest | None, keys: Keys | None, seen: Seen, hash_seen: str = ""
) -> Hit | None:
    """The mistake in the canonical request that gives the signature (or, in hex, the hash) that was seen.

    One mistake is tried first, then one together with white space round the secret, then two.
    """
    single = list(mistakes(base, request))
    hit = _first(single, keys, seen, hash_seen)
    if hit is not None:
        return hit
    if keys is not None and seen.parts is not None:
        secrets = [v for v in secret_variants(keys.secret) if v[0] == "secret-white-space" and v[2]]
        derived = [(words, _key(secret, *seen.parts)) for _, words, secret in secrets]
        for mistake in single:
            text = _core.string_to_sign(seen.timestamp, seen.scope, mistake.canonical.text())
            for words, key in derived:
                if signs(key, text, seen.signature):
                    both = f"{_same(mistake)}, signed with the secret {words}"
                    return Hit(mistake.cause, both, ("secret-white-space",))
    return _first(_pairs(single, request), keys, seen, hash_seen)


def _pairs(single: list[Mistake], request: SignedRequest | None) -> Iterator[Mistake]:
    count = 0
    for one in single:
        for two in mistakes(one.canonical, request):
            if one.cause == two.cause:
                continue
            count += 1
            if count > MAX_PAIRS:
                return
            yield Mistake(one.cause, f"{one.words}, and {two.words}", two.canonical)


def _same(mistake: Mistake) -> str:
    return f"the same request {mistake.words}"


def _first(
    tried: list[Mistake] | Iterator[Mistake], keys: Keys | None, seen: Seen, hash_seen: str
) -> Hit | None:
    key = _key(keys.secret, *seen.parts) if keys is not None and seen.parts is not None else None
    for mistake in tried:
        canonical = mistake.canonical.text()
        if hash_seen and _core.sha256(canonical).hex() == hash_seen:
            return Hit(mistake.cause, _same(mistake))
        if key is not None and seen.signature:
            text = _core.string_to_sign(seen.timestamp, seen.scope, canonical)
            if signs(key, text, seen.signature):
                return Hit(mistake.cause, _same(mistake))
    return None


def region_in(fields: Mapping[str, str]) -> str:
    """The right region, if the refusal says it."""
    return fields.get("Region") or fields.get("BucketRegion") or ""
