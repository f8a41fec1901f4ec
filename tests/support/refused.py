"""Requests signed by the reference signer, changed or not, and refused by the product's verifier."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from s3accel.credentials import Credentials
from s3accel.errors import VerificationError
from s3accel.explain import CAUSES, Explanation, SignedRequest
from s3accel.verify import Verifier

from . import reference

HOST = "bucket.s3.amazonaws.com"
TOKEN = "FwoGZXIvYXdzEXAMPLETOKEN" * 6
WHO = reference.Identity()
NOW = reference.epoch(WHO.timestamp)


@dataclass
class Signed:
    """One signed request, as it goes over the wire."""

    method: str = "PUT"
    target: str = "/a%20b/c%2Bd.txt"
    headers: list[tuple[str, str]] = field(default_factory=list)
    signature: str = ""

    @property
    def request(self) -> SignedRequest:
        return SignedRequest(self.method, f"https://{HOST}{self.target}", tuple(self.headers))

    def copy(self) -> Signed:
        return Signed(self.method, self.target, list(self.headers), self.signature)

    def set(self, name: str, value: str) -> None:
        self.headers = [(n, value if n.lower() == name else v) for n, v in self.headers]

    def drop(self, name: str) -> None:
        self.headers = [(n, v) for n, v in self.headers if n.lower() != name]


def sign(
    method: str = "PUT",
    target: str = "/a%20b/c%2Bd.txt",
    extra: Sequence[tuple[str, str]] = (("Content-Type", "text/plain"), ("x-amz-meta-words", "one,two")),
    *,
    payload: str = reference.EMPTY_SHA256,
    token: str | None = None,
    who: reference.Identity = WHO,
    mistake: Callable[[str], str] = lambda canonical: canonical,
) -> Signed:
    """A header-signed request; ``mistake`` changes the canonical request before it is hashed."""
    headers = [("Host", HOST), *extra, ("x-amz-date", who.timestamp), ("x-amz-content-sha256", payload)]
    if token is not None:
        headers.append(("x-amz-security-token", token))
    canonical, names = reference.canonical_request(method, target, headers, payload)
    signature = who.sign_text(reference.string_to_sign(who.timestamp, who.scope, mistake(canonical)))
    headers.append(("Authorization", who.authorization(names, signature)))
    return Signed(method, target, headers, signature)


def presign(
    target: str = "/a%20b", expires: int = 3600, *, query: str = "", who: reference.Identity = WHO
) -> Signed:
    credential = reference.encode(f"{who.access_key_id}/{who.scope}")
    whole = (
        f"{target}?{query}X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}"
        f"&X-Amz-Date={who.timestamp}&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host"
    )
    canonical, _ = reference.canonical_request("GET", whole, [("Host", HOST)], "UNSIGNED-PAYLOAD")
    signature = who.sign_text(reference.string_to_sign(who.timestamp, who.scope, canonical))
    return Signed("GET", f"{whole}&X-Amz-Signature={signature}", [("Host", HOST)], signature)


def refusal(
    received: Signed, *, credentials: Credentials | None = None, region: str = "us-east-1", now: float = NOW
) -> VerificationError:
    """The verifier's refusal of a request as it was received."""
    known = credentials or Credentials(WHO.access_key_id, WHO.secret_access_key)
    verifier = Verifier({known.access_key_id: known}.get, region=region, clock=lambda: now)
    try:
        verifier.verify(received.method, received.target, received.headers)
    except VerificationError as error:
        return error
    raise AssertionError("the request was accepted")


def xml(error: Any, without: Sequence[str] = ()) -> str:
    """S3's error document; ``without`` some elements, as other servers leave them out."""
    fields = {"Code": error.code, "Message": error.message, **error.extra, "RequestId": "4442587FB7D0A2F9"}
    inner = "".join(f"<{k}>{escape(v)}</{k}>" for k, v in fields.items() if k not in without)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'


#: What servers leave out that do not show their canonical request (MiniStack, SeaweedFS, ceph).
TERSE = (
    "CanonicalRequest",
    "CanonicalRequestBytes",
    "StringToSign",
    "StringToSignBytes",
    "SignatureProvided",
)


def checked(found: Explanation, cause: str, confidence: str, *secrets: str) -> Explanation:
    """The cause is the one meant, and nothing secret is in any text of it."""
    shown = f"{found}\n{found!r}\n{json.dumps(found.to_dict())}"
    assert (found.cause, found.confidence) == (cause, confidence), str(found)
    assert found.cause in CAUSES
    assert set(found.also) <= CAUSES
    for text in (found.sentence, found.remedy):
        assert text.endswith(".")
        assert "\n" not in text
    for secret in (WHO.secret_access_key, TOKEN, *secrets):
        assert secret not in shown
        assert secret.strip() not in shown
    return found
