"""What S3 answers to a request that fails verification: the one table of codes, statuses and texts.

Source: S3 API Reference, "Error responses"; where it is silent, servers that were compared with S3.
"""

from __future__ import annotations

from typing import Any

from .. import _core
from ..errors import VerificationError

__all__ = ["hex_bytes", "iso", "refusal", "sha256_mismatch", "signature_mismatch"]

#: What the core's `Verified` and `ParsedAuth`, and their like for SigV4a, have in common.
Claims = Any

MISMATCH = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your key and signing method."
)
_QUERY_NEEDS = (
    "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
    "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
)


def iso(epoch: float) -> str:
    """ISO 8601 as S3's error bodies write it."""
    t = _core.timestamp_of(epoch)
    return f"{t[:4]}-{t[4:6]}-{t[6:11]}:{t[11:13]}:{t[13:]}"


def hex_bytes(data: bytes) -> str:
    """Two digits for each byte, with spaces between: the `...Bytes` elements."""
    return data.hex(" ")


def sha256_mismatch(signed: str, found: str) -> VerificationError:
    """For a body whose SHA-256 is not the one in the canonical request."""
    return VerificationError(
        "XAmzContentSHA256Mismatch",
        400,
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
        {"ClientComputedContentSHA256": signed, "S3ComputedContentSHA256": found},
    )


def refusal(
    code: str,
    parsed: Claims,
    now: float,
    *,
    region: str | None,
    service: str,
    max_skew: float,
    credential: str = "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request",
) -> VerificationError:
    """S3's error for a code of the core.

    Args:
        parsed: what was read of the request before the fault.
        now: the server's time in epoch seconds. region, service, max_skew: what was asked for.
        credential: the form that the Credential should have had.
    """
    query = parsed.mechanism == "query"
    malformed = "AuthorizationQueryParametersError" if query else "AuthorizationHeaderMalformed"
    prefix = (
        "Error parsing the X-Amz-Credential parameter; "
        if query
        else "The authorization header is malformed; "
    )
    detail = parsed.detail

    def bad(message: str, **extra: str) -> VerificationError:
        return VerificationError(malformed, 400, message, extra)

    if code in ("signature_mismatch", "signed_header_missing"):
        return signature_mismatch(
            parsed.access_key_id, parsed.canonical_request, parsed.string_to_sign, parsed.signature
        )
    if code == "unknown_access_key":
        return VerificationError(
            "InvalidAccessKeyId",
            403,
            "The AWS Access Key Id you provided does not exist in our records.",
            {"AWSAccessKeyId": parsed.access_key_id},
        )
    if code == "invalid_token":
        return VerificationError("InvalidToken", 400, "The provided token is malformed or otherwise invalid.")
    if code == "expired_token":
        return VerificationError("ExpiredToken", 400, "The provided token has expired.")
    if code == "bad_target":
        return VerificationError(
            "InvalidURI",
            400,
            "Couldn't parse the specified URI: it is neither a path nor an http(s) URL of the Host that was asked.",
        )
    if code == "bad_method":
        return VerificationError("MethodNotAllowed", 405, "The specified method is not one of HTTP's.")
    if code == "auth_missing":
        return VerificationError("AccessDenied", 403, "Access Denied")
    if code == "auth_unsupported_v2":
        return VerificationError(
            "InvalidRequest",
            400,
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
        )
    if code == "auth_two_mechanisms":
        return VerificationError(
            "InvalidArgument",
            400,
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query "
            "string parameter or the Authorization header should be specified",
            {"ArgumentName": "Authorization"},
        )
    if code == "auth_unknown_type":
        if query:
            return bad(
                'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"',
            )
        return VerificationError(
            "InvalidArgument",
            400,
            "Unsupported Authorization Type",
            {"ArgumentName": "Authorization", "ArgumentValue": detail},
        )
    if code == "auth_malformed":
        if query:
            return bad(_QUERY_NEEDS)
        return bad(f"{prefix}the {detail or 'Authorization'} component is missing or malformed.")
    if code == "credential_malformed":
        return bad(f'{prefix}the Credential is mal-formed; expecting "{credential}".')
    if code == "credential_bad_date":
        return bad(
            f'{prefix}incorrect date format "{detail}". This date in the credential must be in the format "yyyyMMdd".'
        )
    if code == "credential_wrong_terminal":
        return bad(f'{prefix}incorrect terminal "{detail}". This endpoint uses "aws4_request".')
    if code == "credential_wrong_service":
        return bad(f'{prefix}incorrect service "{detail}". This endpoint belongs to "{service}".')
    if code == "credential_wrong_region":
        return bad(f"{prefix}the region '{detail}' is wrong; expecting '{region or ''}'", Region=region or "")
    if code == "credential_date_mismatch":
        return bad(
            f'{prefix}Invalid credential date "{parsed.date}". This date is not the same as X-Amz-Date: '
            f'"{parsed.timestamp[:8]}".'
        )
    if code == "region_set_malformed":
        return VerificationError(malformed, 400, "SigV4a needs one X-Amz-Region-Set that names regions.")
    if code == "date_missing":
        if query:
            return bad("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
        return VerificationError(
            "AccessDenied", 403, "AWS authentication requires a valid Date or x-amz-date header"
        )
    if code == "expires_not_a_number":
        return bad("X-Amz-Expires should be a number")
    if code == "expires_negative":
        return bad("X-Amz-Expires must be non-negative")
    if code == "expires_too_large":
        return bad(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be "
            "less than 604800 seconds"
        )
    if code == "time_skewed":
        return VerificationError(
            "RequestTimeTooSkewed",
            403,
            "The difference between the request time and the current time is too large.",
            {
                "RequestTime": parsed.timestamp,
                "ServerTime": iso(now),
                "MaxAllowedSkewMilliseconds": str(int(max_skew * 1000)),
            },
        )
    if code == "request_expired":
        return VerificationError(
            "AccessDenied",
            403,
            "Request has expired",
            {
                "X-Amz-Expires": str(parsed.expires),
                "Expires": iso(_core.epoch_of(parsed.timestamp) + parsed.expires),
                "ServerTime": iso(now),
            },
        )
    if code == "request_not_yet_valid":
        return VerificationError(
            "AccessDenied",
            403,
            "Request is not valid yet",
            {"X-Amz-Date": parsed.timestamp, "ServerTime": iso(now)},
        )
    if code == "content_sha256_missing":
        return VerificationError(
            "InvalidRequest", 400, "Missing required header for this request: x-amz-content-sha256"
        )
    if code == "content_sha256_invalid":
        return VerificationError(
            "InvalidArgument",
            400,
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, "
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER "
            "or a valid sha256 value.",
            {"ArgumentName": "x-amz-content-sha256", "ArgumentValue": detail},
        )
    if code == "header_not_signed":
        return VerificationError(
            "AccessDenied",
            403,
            "There were headers present in the request which were not signed",
            {"HeadersNotSigned": detail},
        )
    if code == "too_long":
        return VerificationError(
            "RequestHeaderSectionTooLarge",
            400,
            "Your request header section exceeds the maximum allowed size.",
        )
    return VerificationError("InvalidRequest", 400, f"The request could not be read: {code}")


def signature_mismatch(
    access_key_id: str, canonical: bytes, to_sign: bytes, provided: str
) -> VerificationError:
    """SignatureDoesNotMatch with the strings that were computed here, and nothing of the secret."""
    return VerificationError(
        "SignatureDoesNotMatch",
        403,
        MISMATCH,
        {
            "AWSAccessKeyId": access_key_id,
            "StringToSign": to_sign.decode("latin-1"),
            "SignatureProvided": provided,
            "StringToSignBytes": hex_bytes(to_sign),
            "CanonicalRequest": canonical.decode("latin-1"),
            "CanonicalRequestBytes": hex_bytes(canonical),
        },
    )
