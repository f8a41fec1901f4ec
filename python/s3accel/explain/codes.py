"""Refusals that S3's code and message explain, without canonical requests."""

from __future__ import annotations

import re
from urllib.parse import unquote

from .error import Refusal, epoch_of
from .known import Keys, region_in
from .model import Difference, Finding, Veil
from .request import EMPTY_SHA256, Auth, SignedRequest

_QUOTED = re.compile(r"[\"']([^\"']*)[\"']")
_REDIRECTS = (
    "PermanentRedirect",
    "TemporaryRedirect",
    "Redirect",
    "301",
    "307",
    "IllegalLocationConstraintException",
    "IncorrectEndpoint",
)
_LOGINS = ("Basic", "Bearer", "Digest", "Negotiate", "NTLM", "AWS")
_SKEW_SECONDS = 900.0


def by_code(
    refusal: Refusal, request: SignedRequest | None, auth: Auth, keys: Keys | None, veil: Veil
) -> tuple[Finding, bool] | None:
    """The cause, and whether S3's answer proves it; None if the code does not say."""
    code, message = refusal.code, refusal.message
    lower = message.lower()
    if code in ("AuthorizationHeaderMalformed", "AuthorizationQueryParametersError") or code in _REDIRECTS:
        return _malformed(refusal, request, auth, veil)
    if code in ("RequestTimeTooSkewed", "RequestExpired") or (
        code == "AccessDenied" and "not valid yet" in lower
    ):
        return _skew(refusal, auth), True
    if code == "AccessDenied":
        return _denied(refusal, request, auth, veil)
    if code == "InvalidAccessKeyId":
        return _unknown_key(refusal, auth, veil)
    if code in ("InvalidToken", "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"):
        return _token(code, auth, keys)
    if code in ("MissingSecurityHeader", "MissingAuthenticationToken"):
        return _no_authorization(request)
    if code == "InvalidArgument":
        return _argument(refusal, request, auth, veil)
    if code == "InvalidRequest" and ("aws4-hmac-sha256" in lower or "authorization mechanism" in lower):
        return Finding(
            "signature-v2", "The request was signed with Signature Version 2, which this endpoint refuses."
        ), True
    if code == "InvalidRequest" and "x-amz-content-sha256" in lower:
        return _no_payload_hash(request), True
    return _body(refusal, auth, veil)


def _malformed(
    refusal: Refusal, request: SignedRequest | None, auth: Auth, veil: Veil
) -> tuple[Finding, bool]:
    message, lower = refusal.message, refusal.message.lower()
    region = region_in(refusal.fields)
    quoted = _QUOTED.findall(message)
    if region or "region" in lower or refusal.code in _REDIRECTS:
        region = region or (quoted[-1] if "expecting" in lower and quoted else "")
        signed = auth.region or (quoted[0] if "region" in lower and quoted else "")
        host = refusal.fields.get("Endpoint", "")
        where = f"the bucket is in {veil.value(region)}" if region else "the bucket is in another region"
        where += f" (endpoint {veil.value(host)})" if host else ""
        words = f"The request was signed for the region {veil.value(signed)}, and {where}."
        if not signed:
            words = f"The request went to a wrong region: {where}."
        return Finding(
            "wrong-region", words, (veil.difference("region", signed or None, region or None),)
        ), True
    if "incorrect service" in lower:
        mine, theirs = [*quoted, "", ""][:2]
        words = f"The request was signed for the service {veil.value(mine)}; this endpoint is {veil.value(theirs)}."
        return Finding("wrong-service", words, (veil.difference("service", mine, theirs),)), True
    url = request.url if request is not None else ""
    if "&amp;" in url or "amp;X-Amz-" in url:
        return Finding(
            "presigned-url-reencoded", "The URL was HTML-escaped (& became &amp;) before it was used."
        ), True
    if re.search(r"(?i)X-Amz-Credential=[^&]*%25", url):
        return Finding(
            "presigned-url-reencoded", "The URL's query was encoded a second time (%2F became %252F)."
        ), True
    if refusal.code == "AuthorizationQueryParametersError" and "requires" in lower:
        names = ("Algorithm", "Credential", "Signature", "Date", "SignedHeaders", "Expires")
        query = unquote(url.partition("?")[2])
        missing = [f"X-Amz-{name}" for name in names if f"X-Amz-{name}=" not in query]
        what = (
            f"{', '.join(missing)} is missing from"
            if missing and url
            else "a signing parameter is missing from"
        )
        return Finding("presigned-url-cut", f"The presigned URL was cut or changed: {what} its query."), bool(
            missing
        )
    if "x-amz-expires" in lower:
        return Finding("presign-expires", f"The URL's lifetime is not allowed: {_said(message, veil)}"), True
    if "date" in lower and "credential" in lower and "x-amz-date must" not in lower:
        return Finding("credential-date", f"The day in the credential is wrong: {_said(message, veil)}"), True
    cause = "credential-malformed" if "the credential is mal" in lower else "authorization-malformed"
    return Finding(cause, f"S3 cannot read the authorization: {_said(message, veil)}"), True


def _said(message: str, veil: Veil) -> str:
    return veil.value(message.strip()).rstrip(".") + "."


def _skew(refusal: Refusal, auth: Auth) -> Finding:
    asked = refusal.fields.get("RequestTime") or refusal.fields.get("X-Amz-Date") or auth.timestamp
    server = refusal.fields.get("ServerTime") or refusal.date
    difference = (Difference("time", asked or "(unknown)", server or "(unknown)"),)
    a, b = epoch_of(asked), epoch_of(server)
    if a is None or b is None:
        return Finding("clock-skew", "The time of the request is too far from S3's time.", difference)
    seconds = a - b
    words = (
        f"This machine's clock is {_duration(abs(seconds))} {'ahead of' if seconds > 0 else 'behind'} S3's"
    )
    whole = round(seconds / 1800)
    if whole and abs(seconds - whole * 1800) < 120 and abs(seconds) <= 15 * 3600:
        words += ", about a whole number of half hours: local time was probably used for UTC"
    elif seconds < 0 and abs(seconds) < 7 * 86400:
        words += ", or the request waited that long between signing and sending"
    return Finding("clock-skew", f"{words}.", difference)


def skew_by_date(refusal: Refusal, auth: Auth) -> tuple[Finding, bool] | None:
    """Clocks too far apart by the answer's own Date header, whatever else the answer says."""
    server, mine = epoch_of(refusal.date), epoch_of(auth.timestamp)
    if (
        auth.mechanism == "header"
        and server is not None
        and mine is not None
        and abs(server - mine) > _SKEW_SECONDS
    ):
        return _skew(refusal, auth), False
    return None


def _duration(seconds: float) -> str:
    whole = round(seconds)
    parts = []
    for name, size in (("days", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"


def _denied(refusal: Refusal, request: SignedRequest | None, auth: Auth, veil: Veil) -> tuple[Finding, bool]:
    lower = refusal.message.lower()
    unsigned = refusal.fields.get("HeadersNotSigned", "")
    if unsigned or "not signed" in lower:
        names = [name for name in re.split(r"[,;\s]+", unsigned.lower()) if name]
        held = {name.lower() for name, _ in request.headers} if request is not None else set()
        held.add("host")
        shown = veil.value(", ".join(names) or "x-amz-* headers")
        differences = tuple(
            veil.header(name, "(sent, not signed)" if name in held else None, "(received)") for name in names
        )
        if request is not None and names and not held.intersection(names):
            return Finding(
                "header-added",
                f"{shown} was added to the request on its way, and is not signed.",
                differences,
            ), True
        return Finding(
            "header-not-signed", f"{shown} was sent but is not listed in SignedHeaders.", differences
        ), True
    if "expired" in lower or "Expires" in refusal.fields:
        expires, server = refusal.fields.get("Expires", ""), refusal.fields.get("ServerTime", refusal.date)
        a, b = epoch_of(expires), epoch_of(server)
        words = "The presigned URL is past its time"
        if a is not None and b is not None:
            words = f"The presigned URL expired {_duration(max(0.0, b - a))} before it was used"
        difference = Difference("time", f"valid until {veil.value(expires)}", veil.value(server))
        return Finding("presigned-expired", f"{words}.", (difference,)), True
    if "date" in lower:
        sent = request is not None and request.header("x-amz-date") is not None
        how = "did not reach S3" if sent else "is missing or malformed"
        return Finding("date-missing", f"The x-amz-date header {how}."), True
    if request is not None and auth.mechanism == "none":
        return Finding(
            "authorization-dropped", "The request carries no signature at all, so S3 took it as anonymous."
        ), True
    skewed = skew_by_date(refusal, auth)
    if skewed is not None:
        return skewed
    return (
        Finding(
            "access-denied",
            "S3 does not complain about the signature: either the policies do not allow this, or the "
            "Authorization header was lost on the way and the request was taken as anonymous.",
        ),
        False,
    )


def _unknown_key(refusal: Refusal, auth: Auth, veil: Veil) -> tuple[Finding, bool]:
    name = refusal.fields.get("AWSAccessKeyId") or auth.access_key_id
    shown = veil.value(name or None)
    difference = (
        Difference("access key id", veil.value(auth.access_key_id or name), "(unknown to this endpoint)"),
    )
    if name.startswith("ASIA") and auth.mechanism != "none" and not auth.token:
        return (
            Finding(
                "token-missing",
                f"{shown} is a temporary access key, and the request carries no session token.",
                difference,
            ),
            True,
        )
    if name != name.strip() or "%" in name:
        return Finding(
            "unknown-access-key", f"The access key id {shown} has white space or escapes in it.", difference
        ), True
    return Finding("unknown-access-key", f"This endpoint knows no access key id {shown}.", difference), True


def _token(code: str, auth: Auth, keys: Keys | None) -> tuple[Finding, bool]:
    if code != "InvalidToken":
        return Finding("token-expired", "The session token has expired."), True
    if auth.mechanism != "none" and not auth.token:
        return Finding(
            "token-missing", "The access key is a temporary one and the request carries no session token."
        ), True
    if keys is not None and auth.token and keys.token != auth.token:
        which = "another session token than" if keys.token else "a session token, which is not part of"
        words = f"The request carries {which} the credentials at hand."
        return Finding("token-foreign", words), keys.access_key_id == auth.access_key_id
    return Finding(
        "token-foreign",
        "The session token does not belong to this access key, or was lost, cut or changed on its way.",
    ), True


def _no_authorization(request: SignedRequest | None) -> tuple[Finding, bool]:
    sent = request is not None and request.header("authorization") is not None
    words = "did not reach S3: something on the way removed it" if sent else "is missing from the request"
    return Finding("authorization-dropped", f"The Authorization header {words}."), True


def _argument(
    refusal: Refusal, request: SignedRequest | None, auth: Auth, veil: Veil
) -> tuple[Finding, bool] | None:
    lower = refusal.message.lower()
    value = refusal.fields.get("ArgumentValue", "")
    if "only one auth mechanism" in lower:
        return Finding(
            "two-mechanisms", "The request carries an Authorization header and a presigned query at once."
        ), True
    if "unsupported authorization type" in lower:
        sent = value or (request.header("authorization") or "" if request is not None else "")
        # Only a name that is known is shown: another word may be a bare token.
        kind = sent.partition(" ")[0]
        words = "The Authorization header that reached S3 is of another type"
        words += f" ({kind})" if kind in _LOGINS else ""
        if auth.mechanism in ("header", "v2"):
            words += ": something replaced the signature, such as a ~/.netrc entry or a proxy's own login"
        return Finding("authorization-replaced", f"{words}."), True
    if (
        refusal.fields.get("ArgumentName", "").lower() == "x-amz-content-sha256"
        or "x-amz-content-sha256" in lower
    ):
        held = request.header("x-amz-content-sha256") if request is not None else None
        difference = (veil.header("x-amz-content-sha256", held, value or None),)
        return Finding(
            "payload-hash",
            "x-amz-content-sha256 is neither a SHA-256 in hex nor a known constant.",
            difference,
        ), True
    return None


def _no_payload_hash(request: SignedRequest | None) -> Finding:
    held = request is not None and request.header("x-amz-content-sha256") is not None
    words = "was signed and did not reach S3" if held else "is missing, and S3 requires it"
    return Finding("header-dropped" if held else "payload-hash", f"The header x-amz-content-sha256 {words}.")


def _body(refusal: Refusal, auth: Auth, veil: Veil) -> tuple[Finding, bool] | None:
    code = refusal.code
    if code == "XAmzContentSHA256Mismatch":
        mine = refusal.fields.get("ClientComputedContentSHA256", "")
        theirs = refusal.fields.get("S3ComputedContentSHA256", "")
        difference = (veil.difference("SHA-256 of the body", mine or None, theirs or None),)
        if mine.startswith("STREAMING-"):
            words = f"{mine} cannot be used here (with a presigned URL it is taken for a wrong hash)."
            return Finding("payload-hash", words, difference), True
        if theirs == EMPTY_SHA256:
            return Finding(
                "payload-changed", "The signature is right, but S3 received an empty body.", difference
            ), True
        if mine == EMPTY_SHA256:
            return Finding(
                "payload-changed", "An empty body was signed, and S3 received one.", difference
            ), True
        return Finding(
            "payload-changed",
            "The signature is right, but the body that S3 received is not the one that was hashed.",
            difference,
        ), True
    if code in (
        "BadDigest",
        "InvalidDigest",
        "IncompleteBody",
        "MalformedTrailerError",
        "InvalidChunkSizeError",
    ):
        words = f"The signature of the request is right, but its body is not what was announced ({code})."
        return Finding("payload-changed", words), True
    if code == "InvalidSignature" or code == "UnsupportedSignature":
        return Finding(
            "signature-v2", "The endpoint does not support this version of the signature or the token."
        ), False
    return None
