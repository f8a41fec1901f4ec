"""Why S3 refused a signed request: `explain` says what differs, why, and what to do.

S3 answers a wrong signature with its own canonical request and string to sign. They are compared with those of
the request as it was signed, and the first difference has a name, because only few things do that to a request:
a proxy, an encoder, a clock, a pasted secret. Where a server does not show its canonical request, the known
mistakes are tried on the request, and the one that gives exactly the signature seen is named.

Sources: S3 API Reference, "Error responses" (SignatureDoesNotMatch) and "sig-v4-header-based-auth".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from .. import _core
from ..redact import HIDDEN
from .codes import by_code, skew_by_date
from .diff import compare, unveiled
from .error import Refusal, refusal_of
from .known import Hit, Keys, Seen, keys_of, mistake_behind, region_in, secret_behind, signed_by
from .model import Canonical, Confidence, Difference, Explanation, Finding, Veil
from .request import Auth, SignedRequest, auth_of, canonical_of
from .texts import REMEDIES

__all__ = ["CAUSES", "Difference", "Explanation", "SignedRequest", "explain", "explain_s3_error"]

#: Every code that `Explanation.cause` may hold.
CAUSES = frozenset(REMEDIES)

_PIECE = re.compile(r"AWS4-[A-Z0-9-]+-(PAYLOAD|TRAILER)")
_V2_METHODS = ("GET", "PUT", "POST", "HEAD", "DELETE")


def explain(signed_request: Any, error_or_response: Any, *, credentials: Any = None) -> Explanation:
    """Says why S3 refused a request.

    Args:
        signed_request: a `SignedRequest`, a request of s3accel's transfer layer, a prepared request of
            `requests` or botocore, raw HTTP text, or None if only the answer is at hand.
        error_or_response: S3's error XML (or a log or raw HTTP answer that holds it), a dict of its elements
            or botocore's parsed response, `S3Error`, `VerificationError`, botocore's `ClientError`, or a
            response object.
        credentials: `Credentials`, a provider, botocore's credentials, or (access key id, secret[, token]).
            They are used to recompute signatures here, and shown nowhere.

    Raises:
        ConfigError: an argument is none of these; XML with a document type.
        CredentialsError: the provider has no credentials.
    """
    request = None if signed_request is None else SignedRequest.of(signed_request)
    return _Case(request, refusal_of(error_or_response), keys_of(credentials), faithful=False).explain()


def explain_s3_error(request: Any, error: BaseException, *, credentials: Any = None) -> str:
    """The explanation as one paragraph for the text of an exception; "" if there is nothing to explain.

    Args:
        request: the request as s3accel signed and sent it.
        error: the `S3Error` that came back.
        credentials: see `explain`; None does without.

    Never raises: it runs while another error is on its way up.
    """
    try:
        case = _Case(SignedRequest.of(request), refusal_of(error), keys_of(credentials), faithful=True)
        found = case.explain()
    except Exception:  # noqa: BLE001  the error that is being reported must not be lost for this
        return ""
    if found.cause == "not-a-signature-error":
        return ""
    return f"{found.sentence} {found.remedy}"


@dataclass(frozen=True, repr=False)
class _Case:
    """One refusal with all that is known about it.

    ``faithful``: the signer is ours, so the canonical request rebuilt from the request is what it signed.
    """

    request: SignedRequest | None
    refusal: Refusal
    keys: Keys | None
    faithful: bool

    @property
    def auth(self) -> Auth:
        return auth_of(self.request) if self.request is not None else Auth()

    @property
    def veil(self) -> Veil:
        secrets = [self.auth.signature, self.auth.token, self.refusal.signature]
        if self.keys is not None:
            secrets += [self.keys.secret, self.keys.token]
        return Veil(*secrets)

    @property
    def silent(self) -> bool:
        """True if the answer has only a status: HEAD has no body."""
        return self.refusal.code != "SignatureDoesNotMatch"

    def tell(
        self,
        finding: Finding,
        confidence: Confidence,
        also: tuple[str, ...] = (),
        more: tuple[Difference, ...] = (),
    ) -> Explanation:
        return Explanation(
            finding.cause,
            finding.sentence,
            REMEDIES[finding.cause],
            [*finding.differences, *more],
            confidence,
            self.refusal.code,
            tuple(dict.fromkeys(code for code in also if code != finding.cause)),
        )

    def explain(self) -> Explanation:
        refusal, auth = self.refusal, self.auth
        if refusal.code not in ("", "403", "400", "SignatureDoesNotMatch"):
            found = by_code(refusal, self.request, auth, self.keys, self.veil)
            if found is not None:
                return self.tell(found[0], "certain" if found[1] else "likely")
            what = f"{refusal.code}: {self.veil.value(refusal.message)}" if refusal.message else refusal.code
            return self.tell(
                Finding("not-a-signature-error", f"S3 refused for another reason ({what})."), "certain"
            )
        special = self._told_by_headers() if self.silent else self._special_form()
        if special is not None:
            return special
        if auth.signature and refusal.signature and auth.signature != refusal.signature:
            words = (
                "S3 answered to another signature than this request carries: this is the answer to another "
                "request, or something signed it anew on its way."
            )
            difference = Difference("signature", HIDDEN, f"{HIDDEN} (another one)")
            return self.tell(Finding("other-request", words, (difference,)), "certain")
        return self._mismatch()

    def _told_by_headers(self) -> Explanation | None:
        """What an answer without a body still says: the bucket's region, and the server's time."""
        if self.auth.mechanism in ("none", "other") and self.request is not None:
            words = "The request carries no Signature Version 4."
            return self.tell(Finding("authorization-dropped", words), "certain")
        region = region_in(self.refusal.fields)
        if region and self.auth.region and region != self.auth.region:
            found = by_code(
                replace(self.refusal, code="PermanentRedirect"), self.request, self.auth, None, self.veil
            )
        else:
            found = skew_by_date(self.refusal, self.auth)
        return None if found is None else self.tell(found[0], "certain" if found[1] else "likely")

    def _special_form(self) -> Explanation | None:
        """Signatures that do not cover a canonical request: chunks, trailers, POST policies, version 2."""
        text = (self.refusal.to_sign or b"").decode("utf-8", "surrogateescape")
        lines = text.split("\n")
        piece = _PIECE.fullmatch(lines[0])
        if piece is not None:
            return self._piece(piece[1], lines)
        if lines[0] in _V2_METHODS or self.auth.mechanism == "v2":
            return self.tell(
                Finding("signature-v2", "The request was signed with Signature Version 2."), "certain"
            )
        if text and len(lines) == 1 and not text.startswith("AWS4-"):
            words = (
                "The signature of the POST form is not that of its policy, or was made with another secret."
            )
            return self.tell(Finding("post-policy", words), "likely")
        return None

    def _piece(self, kind: str, lines: list[str]) -> Explanation:
        if kind == "TRAILER":
            words = "The request and all chunks were signed correctly; the signature of the trailer does not match."
            return self.tell(Finding("trailer-signature", words), "certain")
        first = len(lines) > 3 and self.auth.signature and lines[3] == self.auth.signature
        which = "the first chunk" if first else "a later chunk" if self.auth.signature else "a chunk"
        words = f"The request itself was signed correctly; the bytes of {which} that S3 received are not those signed."
        received = (Difference("SHA-256 of the chunk", "(not known here)", self.veil.value(lines[-1])),)
        return self.tell(Finding("chunk-signature", words, received), "certain")

    # -- a wrong signature of a canonical request ---------------------------------------------------------

    def _mismatch(self) -> Explanation:
        auth, refusal = self.auth, self.refusal
        ours = canonical_of(self.request, auth) if self.request is not None else None
        theirs = Canonical.parse(refusal.canonical) if refusal.canonical is not None else None
        lines = (refusal.to_sign or b"").decode("utf-8", "surrogateescape").split("\n")
        timestamp, scope, hash_seen = (lines + [""] * 4)[1:4] if len(lines) == 4 else ("", "", "")
        seen = Seen(refusal.signature or auth.signature, timestamp or auth.timestamp, scope or auth.scope)
        if theirs is None and ours is not None and hash_seen == _core.sha256(ours.text()).hex():
            theirs = ours  # the hash says it
        if theirs is None:
            return self._unshown(ours, seen, hash_seen)
        # S3's text as it came: taking it apart and together again could lose what it has beside the parts.
        raw = refusal.canonical if refusal.canonical is not None else theirs.text()
        text = refusal.to_sign or _core.string_to_sign(seen.timestamp, seen.scope, raw)
        if signed_by(self.keys, text, seen):
            spoiled = self._spoiled()
            if spoiled is not None:
                return spoiled
            words = (
                "The signature is right for what S3 received and for the secret at hand, so S3 has another secret "
                f"for the access key id {self.veil.value(auth.access_key_id or refusal.fields.get('AWSAccessKeyId', ''))}."
            )
            return self.tell(Finding("wrong-secret", words), "certain", self._other_key())
        hit = secret_behind(self.keys, text, seen)
        if hit is not None:
            return self._reproduced(hit)
        if ours is None:
            return self._only_theirs(theirs, seen)
        theirs = unveiled(theirs, ours)
        findings = [*self._scope(seen, timestamp, scope), *compare(ours, theirs, auth, self.veil)]
        if findings:
            return self._differs(ours, seen, findings)
        return self._equal(ours, seen)

    def _spoiled(self) -> Explanation | None:
        """The secret at hand made the signature, and looks as no secret does."""
        secret = "" if self.keys is None else self.keys.secret
        if secret != secret.strip():
            words = "The signature was made with the secret as it is at hand, with white space at its end or beginning."
            return self.tell(Finding("secret-white-space", words), "reproduced")
        if secret[:1] in ("'", '"') and secret[:1] == secret[-1:]:
            words = "The signature was made with the secret as it is at hand, with quotes round it."
            return self.tell(Finding("secret-mangled", words), "reproduced")
        return None

    def _scope(self, seen: Seen, timestamp: str, scope: str) -> list[Finding]:
        auth, veil = self.auth, self.veil
        if scope and auth.scope and scope != auth.scope:
            difference = (veil.difference("scope", auth.scope, scope),)
            parts = seen.parts or ("", "", "")
            words = f"The request was signed under the scope {veil.value(auth.scope)}, and S3 used {veil.value(scope)}."
            cause = "credential-date"
            if parts[1] != auth.region:
                cause = "wrong-region"
            elif parts[2] != auth.service:
                cause = "wrong-service"
            return [Finding(cause, words, difference)]
        if timestamp and auth.timestamp and timestamp != auth.timestamp:
            difference = (veil.difference("date", auth.timestamp, timestamp),)
            return [Finding("date-changed", "S3 used another date than the one that was signed.", difference)]
        return []

    def _differs(self, ours: Canonical, seen: Seen, findings: list[Finding]) -> Explanation:
        also = [finding.cause for finding in findings[1:]]
        text = _core.string_to_sign(self.auth.timestamp, self.auth.scope, ours.text())
        mine = Seen(seen.signature, self.auth.timestamp, self.auth.scope)
        if not signed_by(self.keys, text, mine):
            hit = secret_behind(self.keys, text, mine)
            if hit is not None:
                also.append(hit.cause)
        more = tuple(d for f in findings[1:] for d in f.differences if d not in findings[0].differences)
        return self.tell(findings[0], "certain", tuple(also), more)

    def _equal(self, ours: Canonical, seen: Seen) -> Explanation:
        """S3's canonical request and string to sign are ours, its signature is not."""
        rebuilt = self.request is not None and self.request.canonical_request is None
        gone = sorted(set(self.auth.signed_headers) - {name for name, _ in ours.headers}) if rebuilt else []
        if gone:
            shown = self.veil.value(", ".join(gone))
            token = any(name.endswith("-token") for name in gone)
            words = f"SignedHeaders lists {shown}, which is not in the request that was sent."
            return self.tell(Finding("token-missing" if token else "header-dropped", words), "certain")
        if rebuilt and not self.faithful:
            hit = mistake_behind(ours, self.request, self.keys, seen) if self.keys is not None else None
            if hit is not None:
                return self._reproduced(hit)
        key_id = self.veil.value(self.auth.access_key_id or None)
        words = (
            "S3's canonical request and string to sign are the same as ours and only the signature differs: "
        )
        if self.faithful or not rebuilt:
            words += f"the request was signed with another secret than S3 has for the access key id {key_id}."
            return self.tell(Finding("wrong-secret", words), "certain", self._other_key())
        words += f"most likely it was signed with another secret than S3 has for the access key id {key_id}, "
        words += "unless its signer signed another text than it sent"
        words += "." if self.keys is None else " by a mistake that is not known here."
        return self.tell(Finding("wrong-secret", words), "likely", self._other_key())

    def _only_theirs(self, theirs: Canonical, seen: Seen) -> Explanation:
        """The request is not at hand: its mistakes are looked for in what S3 received."""
        if self.keys is not None:
            hit = mistake_behind(theirs, None, self.keys, seen)
            if hit is not None:
                return self._reproduced(Hit(hit.cause, hit.words.replace("the same", "S3's", 1), hit.also))
        headers = dict(theirs.headers)
        empty = sorted(name for name, value in theirs.headers if not value)
        listed = sorted(set(theirs.signed.split(";")) - set(headers))
        host = headers.get("host", "")
        found = Finding("unknown", "S3's canonical request alone does not show what was signed instead.")
        if empty or listed:
            words = f"The signed header {self.veil.value(', '.join(empty or listed))} did not reach S3."
            found = Finding("header-dropped", words)
        elif re.search(r"%25[0-9A-Fa-f]{2}", theirs.path):
            words = "S3 received a path that looks as if it was encoded twice (%25 before two hexadecimal digits)."
            found = Finding("path-double-encoding", words, (self.veil.difference("path", None, theirs.path),))
        elif re.search(r":(80|443)$", host):
            words = (
                f"S3 received the host {self.veil.value(host)} with a default port, which signers leave out."
            )
            found = Finding("host-port", words, (self.veil.header("host", None, host),))
        return self.tell(found, "likely")

    def _unshown(self, ours: Canonical | None, seen: Seen, hash_seen: str) -> Explanation:
        """The server does not show its canonical request."""
        if ours is None:
            words = "The server does not show its canonical request, and the signed request is not at hand."
            return self.tell(Finding("unknown", words), "likely")
        mine = Seen(seen.signature, self.auth.timestamp, self.auth.scope)
        text = _core.string_to_sign(mine.timestamp, mine.scope, ours.text())
        if hash_seen:
            hit = mistake_behind(ours, self.request, None, mine, hash_seen)
            if hit is not None:
                words = hit.words.replace("the same request", "this request")
                finding = Finding(hit.cause, f"The hash in S3's string to sign is that of {words}.")
                return self.tell(finding, "reproduced", hit.also)
        if signed_by(self.keys, text, mine):
            return self._spoiled() or self._signed_well()
        hit = secret_behind(self.keys, text, mine) or (
            mistake_behind(ours, self.request, self.keys, mine) if self.keys is not None else None
        )
        if hit is not None:
            return self._reproduced(hit)
        if self.keys is None and self.silent:
            words = f"The answer {self.refusal.status or ''} has no body that says why (HEAD has none)."
            return self.tell(Finding("no-body", words.replace("  ", " ")), "likely")
        if self.keys is None:
            words = "The server does not show its canonical request, and without credentials nothing can be tried."
            return self.tell(Finding("unknown", words), "likely")
        words = (
            "Neither this secret nor any known mistake gives the signature of the request: it was most likely "
            "signed with another secret than the one at hand."
        )
        return self.tell(Finding("wrong-secret", words), "likely", self._other_key())

    def _signed_well(self) -> Explanation:
        if self.silent:
            words = (
                "The request is signed correctly with these credentials; the refusal (without a body) has "
            )
            return self.tell(Finding("access-denied", f"{words}another reason."), "likely")
        words = (
            "The signature is right for this request and this secret, so the server has another secret for the key "
            "or received the request changed; it does not show what it received."
        )
        return self.tell(Finding("changed-on-the-way", words), "likely", ("wrong-secret",))

    def _reproduced(self, hit: Hit) -> Explanation:
        return self.tell(
            Finding(hit.cause, f"The signature is exactly that of {hit.words}."), "reproduced", hit.also
        )

    def _other_key(self) -> tuple[str, ...]:
        """The credentials at hand are of another key than the one the request names."""
        if (
            self.keys is not None
            and self.auth.access_key_id
            and self.keys.access_key_id != self.auth.access_key_id
        ):
            return ("unknown-access-key",)
        return ()
