"""Checking requests and streams that are signed with SigV4a. `Verifier` hands them over to this module.

What a SigV4a request says about itself, its canonical request and its chunks are read and judged by the core, with
the rules, codes and limits of SigV4. Here are only the keys, the meaning of a region set, and ECDSA.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from .. import _core
from ..credentials import Credentials
from ..errors import VerificationError
from ..verify import VerifiedRequest
from ..verify.errors import refusal, signature_mismatch
from .ecdsa import PublicKeyV4a, SigningKeyV4a
from .streaming import STREAMING, STREAMING_TRAILER

__all__ = ["VerifiedRequestV4a", "VerifierV4a", "region_set_allows"]

Headers = Sequence[tuple[str, str]]

CREDENTIAL_FORM = "<YOUR-AKID>/YYYYMMDD/SERVICE/aws4_request"


@dataclass(frozen=True, repr=False)
class _Claims:
    """What `VerifiedRequest` reads."""

    access_key_id: str
    mechanism: str
    timestamp: str
    scope: str
    signed_headers: str
    signature: str
    payload_hash: str
    canonical_request: bytes
    string_to_sign: bytes
    key: PublicKeyV4a


class VerifiedRequestV4a(VerifiedRequest):
    """A request whose SigV4a signature is right. Its body is still to be checked: see `body`.

    Attributes beyond those of `VerifiedRequest`:
        region_set: ``X-Amz-Region-Set`` as sent. The scope has no region; the signature is hexadecimal DER.
    """

    __slots__ = ("region_set",)

    STREAMING: ClassVar[Mapping[str, tuple[bool, bool]]] = {
        STREAMING: (True, False),
        STREAMING_TRAILER: (True, True),
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER": (False, True),
    }

    def __init__(self, claims: _Claims, headers: Headers, region_set: str) -> None:
        super().__init__(claims, headers)
        self.region_set = region_set

    def decoder(self, key: PublicKeyV4a, trailer_name: str) -> _core.ChunkDecoder:
        with_signatures, with_trailer = self.STREAMING[self.payload]
        if not with_signatures:
            return super().decoder(None, trailer_name)
        return _core.ChunkDecoder.checked_by(
            key.matches,
            self.scope,
            self.timestamp,
            self.signature,
            with_trailer,
            self.decoded_length or 0,
            trailer_name,
        )

    def __repr__(self) -> str:
        return f"<VerifiedRequestV4a {self.access_key_id} {self.scope} {self.payload}>"


class VerifierV4a:
    """Checks SigV4a requests. The arguments are those of `Verifier`, which calls this for them.

    Args:
        lookup: access key id -> `Credentials`, a `PublicKeyV4a`, or None if there is no such key.
        region: must be in the region set; None accepts any.
        service, clock, max_skew: as in `Verifier`.

    Needs the extra ``sigv4a``. A check takes about 130 us, most of it ECDSA.
    """

    #: Public keys kept; deriving one costs about as much as two signatures.
    MAX_KEYS = 1024

    def __init__(
        self,
        lookup: Callable[[str], Credentials | PublicKeyV4a | None],
        *,
        region: str | None,
        service: str,
        clock: Callable[[], float],
        max_skew: float,
    ) -> None:
        self._lookup = lookup
        self._region = region
        self._service = service
        self._clock = clock
        self._max_skew = max_skew
        self._keys: dict[str, tuple[Credentials, PublicKeyV4a]] = {}

    def verify(
        self, method: str, target: str, headers: Headers, body_sha256: str | None = None
    ) -> VerifiedRequestV4a:
        """Checks everything but the body. Arguments and errors are those of `Verifier.verify`."""
        now = self._clock()
        parsed = _core.parse_auth(
            method, target, headers, None, self._service, now, self._max_skew, body_sha256, ecdsa=True
        )
        if parsed.error is not None and not parsed.deferred:
            raise self._refusal(parsed.error, parsed, now)
        self._check_region_set(parsed)
        known = self._lookup(parsed.access_key_id)
        if known is None:
            raise self._refusal("unknown_access_key", parsed, now)
        if not _core.equal_constant_time(known.session_token or "", parsed.session_token):
            raise self._refusal("invalid_token", parsed, now)
        if known.expired(now):
            raise self._refusal("expired_token", parsed, now)
        if parsed.error is not None:
            raise self._refusal(parsed.error, parsed, now)

        key = known if isinstance(known, PublicKeyV4a) else self._derived(known)
        fault, _, canonical, text = _core.string_to_verify(method, target, headers, parsed)
        if fault not in (None, "signed_header_missing"):
            raise self._refusal(fault, parsed, now)
        if not key.matches(text, parsed.signature) or fault is not None:
            raise signature_mismatch(parsed.access_key_id, canonical, text, parsed.signature)
        claims = _Claims(
            parsed.access_key_id,
            parsed.mechanism,
            parsed.timestamp,
            parsed.scope,
            parsed.signed_headers,
            parsed.signature,
            parsed.payload_hash,
            canonical,
            text,
            key,
        )
        request = VerifiedRequestV4a(claims, headers, parsed.region_set)
        if body_sha256 is not None:
            request.check_body_sha256(body_sha256)
        return request

    def _derived(self, known: Credentials) -> PublicKeyV4a:
        kept = self._keys.get(known.access_key_id)
        # Equal access key ids do not make equal secrets: the very object must be the one it came from.
        if kept is not None and kept[0] is known:
            return kept[1]
        key = SigningKeyV4a.derive(known.access_key_id, known.secret_access_key).public_key
        if len(self._keys) >= self.MAX_KEYS:
            self._keys.clear()
        self._keys[known.access_key_id] = (known, key)
        return key

    def _check_region_set(self, parsed: _core.ParsedAuth) -> None:
        if self._region is None or region_set_allows(parsed.region_set, self._region):
            return
        query = parsed.mechanism == "query"
        raise VerificationError(
            "AuthorizationQueryParametersError" if query else "AuthorizationHeaderMalformed",
            400,
            f"The region set '{parsed.region_set}' does not include '{self._region}'",
            {"Region": self._region},
        )

    def _refusal(self, code: str, parsed: _core.ParsedAuth, now: float) -> VerificationError:
        return refusal(
            code,
            parsed,
            now,
            region=self._region,
            service=self._service,
            max_skew=self._max_skew,
            credential=CREDENTIAL_FORM,
        )


def region_set_allows(region_set: str, region: str) -> bool:
    """True if one entry of the set is the region, ``*`` standing for any part of a name."""
    return any(_matches(entry.strip(" "), region) for entry in region_set.split(","))


def _matches(pattern: str, name: str) -> bool:
    # From left to right, each piece at its first place: linear, whatever a client writes.
    first, *rest = pattern.split("*")
    if not rest:
        return name == first
    if not name.startswith(first):
        return False
    at = len(first)
    for piece in rest[:-1]:
        found = name.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return name.endswith(rest[-1]) and at + len(rest[-1]) <= len(name)
