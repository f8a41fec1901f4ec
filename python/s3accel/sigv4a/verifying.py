"""Checking requests and streams that are signed with SigV4a. `Verifier` hands them over to this module.

What a SigV4a request says about itself is judged by the core's own parser, so that order, codes and limits
are the same for both schemes: the authentication is put into the words of SigV4 for it (another algorithm,
a region in the Credential that stands for none). The canonical request comes from the core as well; only
the key, the region set and the signature are SigV4a's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import unquote_to_bytes

from .. import _core
from ..credentials import Credentials
from ..errors import VerificationError
from ..verify import VerifiedRequest
from ..verify.body import ChunkDecoder
from ..verify.errors import refusal, signature_mismatch
from .decoder import ChunkDecoderV4a
from .ecdsa import ALGORITHM, PublicKeyV4a, SigningKeyV4a
from .streaming import STREAMING, STREAMING_TRAILER

__all__ = ["VerifiedRequestV4a", "VerifierV4a", "region_set_allows"]

Headers = Sequence[tuple[str, str]]

#: Stands for the region that a SigV4a scope does not have, while the core's parser looks at it.
NO_REGION = "-"
CREDENTIAL_FORM = "<YOUR-AKID>/YYYYMMDD/SERVICE/aws4_request"
#: A region set longer than this is refused: there are not that many regions.
MAX_REGION_SET = 2048

_CREDENTIAL = re.compile(r"(?:^|(?<=[, \t]))Credential=([^,]*)")


@dataclass(frozen=True)
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

    def decoder(self, key: PublicKeyV4a, trailer_name: str) -> ChunkDecoder:
        with_signatures, with_trailer = self.STREAMING[self.payload]
        if not with_signatures:
            return super().decoder(None, trailer_name)
        return ChunkDecoderV4a(
            key,
            self.timestamp,
            self.scope,
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
            method,
            _target_in_v4(target),
            _headers_in_v4(headers),
            None,
            self._service,
            now,
            self._max_skew,
            body_sha256,
        )
        if parsed.error is not None and not parsed.deferred:
            raise self._refusal(parsed.error, parsed, now)
        region_set = self._region_set(target, headers, parsed)
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
        scope = f"{parsed.date}/{parsed.service}/aws4_request"
        fault, _, canonical, text = _core.string_to_verify(method, target, headers, parsed, ALGORITHM, scope)
        if fault not in (None, "signed_header_missing"):
            raise self._refusal(fault, parsed, now)
        complete = fault is None
        try:
            key.verify(text, parsed.signature)
        except VerificationError:
            complete = False
        if not complete:
            raise signature_mismatch(parsed.access_key_id, canonical, text, parsed.signature)
        claims = _Claims(
            parsed.access_key_id,
            parsed.mechanism,
            parsed.timestamp,
            scope,
            parsed.signed_headers,
            parsed.signature,
            parsed.payload_hash,
            canonical,
            text,
            key,
        )
        return VerifiedRequestV4a(claims, headers, region_set)

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

    def _region_set(self, target: str, headers: Headers, parsed: _core.ParsedAuth) -> str:
        query = parsed.mechanism == "query"
        if query:
            values = [value for name, value in _parameters(target) if name == "X-Amz-Region-Set"][:1]
        else:
            values = [value.strip(" \t") for name, value in headers if name.lower() == "x-amz-region-set"]
        code = "AuthorizationQueryParametersError" if query else "AuthorizationHeaderMalformed"
        if not values or not values[0] or len(values) > 1 or len(values[0]) > MAX_REGION_SET:
            raise VerificationError(code, 400, "SigV4a needs one X-Amz-Region-Set that names regions.")
        if self._region is not None and not region_set_allows(values[0], self._region):
            raise VerificationError(
                code,
                400,
                f"The region set '{values[0]}' does not include '{self._region}'",
                {"Region": self._region},
            )
        return values[0]

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


def _decoded(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ").encode("utf-8", "surrogateescape")).decode("latin-1")


def _parameters(target: str) -> list[tuple[str, str]]:
    # A '#' is an ordinary byte of a request target, in the query too.
    pairs = (segment.partition("=") for segment in target.partition("?")[2].split("&"))
    return [(_decoded(name), _decoded(value)) for name, _, value in pairs]


def _with_region(credential: str) -> str:
    parts = credential.split("/")
    return "/".join([*parts[:2], NO_REGION, *parts[2:]])


def _target_in_v4(target: str) -> str:
    before, question, query = target.partition("?")
    if not question:
        return target
    segments = query.split("&")
    for i, segment in enumerate(segments):
        name, _, value = segment.partition("=")
        if _decoded(name) == "X-Amz-Algorithm" and _decoded(value) == ALGORITHM:
            segments[i] = "X-Amz-Algorithm=AWS4-HMAC-SHA256"
        elif _decoded(name) == "X-Amz-Credential":
            credential = _with_region(_decoded(value)).encode("latin-1")
            segments[i] = f"X-Amz-Credential={_core.uri_encode(credential)}"
    return f"{before}?{'&'.join(segments)}"


def _headers_in_v4(headers: Headers) -> Headers:
    for i, (name, value) in enumerate(headers):
        # The first one counts, as in the core.
        if name.lower() == "authorization":
            scheme, space, rest = value.strip(" \t").partition(" ")
            if scheme != ALGORITHM:
                return headers
            rest = _CREDENTIAL.sub(lambda found: f"Credential={_with_region(found[1].rstrip())}", rest)
            return [*headers[:i], (name, f"AWS4-HMAC-SHA256{space}{rest}"), *headers[i + 1 :]]
    return headers
