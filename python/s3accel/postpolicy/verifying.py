"""Checking browser uploads (`POST /` with a form) whose POST policy is signed with Signature Version 4.

The signature covers the base64 text of the policy and nothing else; what binds the other fields is that the
policy must hold a condition for each of them. So the signature is checked first, then the policy.

Source: S3 API Reference, "sigv4-UsingHTTPPOST", "sigv4-HTTPPOSTConstructPolicy".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from .. import _core
from ..credentials import Credentials
from ..errors import SigningError, VerificationError
from ..verify.errors import MISMATCH, hex_bytes
from .rules import MAX_FIELDS_SIZE, MAX_KEY_SIZE, Policy, ascii_lower, denied, expand_key, read_policy

__all__ = ["VerifiedPost", "verify_post"]

ALGORITHM = "AWS4-HMAC-SHA256"
#: A signing key is good for seven days from its date, whatever the policy says.
KEY_LIFE = 7 * 86_400.0

_AUTHENTICATION = ("policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature")


@dataclass(frozen=True)
class VerifiedPost:
    """A form whose policy is signed, alive and met. The file is still to come: see `check_length`.

    Attributes:
        access_key_id: who signed. timestamp, scope: when and for what.
        bucket, key: where the file goes; the file's name stands in the key.
        fields: every field before the file by lower-case name, the signature's own included.
        policy: its conditions; ``policy.ranges`` holds the sizes allowed.
    """

    access_key_id: str
    timestamp: str
    scope: str
    bucket: str
    key: str
    policy: Policy = field(repr=False)
    fields: Mapping[str, str] = field(repr=False)

    def check_length(self, length: int) -> None:
        """Must be called with the number of the file's bytes, and may be called with fewer on the way.

        Raises:
            VerificationError: EntityTooLarge or EntityTooSmall.
        """
        self.policy.check_length(length)

    @property
    def most(self) -> int | None:
        """The largest file allowed in bytes, so that a server can stop reading; None if nothing limits it."""
        return min((most for _, most in self.policy.ranges), default=None)


def verify_post(
    fields: Iterable[tuple[str, str]],
    bucket: str,
    *,
    lookup: Callable[[str], Credentials | None],
    region: str | None,
    service: str,
    now: float,
    filename: str = "",
) -> VerifiedPost:
    """Checks the fields of a form. `Verifier.verify_post` calls this with its own settings.

    Args:
        fields: name and value of every field before the file, in order, duplicates kept.
        bucket: the one the form was sent to.
        lookup, region, service: as in `Verifier`. now: epoch seconds.
        filename: of the file part, for ``${filename}`` in the key.

    Raises:
        VerificationError: with S3's code, status and extra elements.
    """
    form = _form(fields)
    _octets(filename)
    if "key" not in form:
        raise _missing("key")
    key = expand_key(form["key"], filename)
    if not key:
        raise VerificationError("InvalidArgument", 400, "User key must have a length greater than 0.")
    if len(key.encode("utf-8", "surrogateescape")) > MAX_KEY_SIZE:
        raise VerificationError("KeyTooLongError", 400, "Your key is too long")
    if not any(name in form for name in _AUTHENTICATION):
        if "awsaccesskeyid" in form or "signature" in form:
            raise VerificationError(
                "InvalidRequest",
                400,
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
            )
        raise VerificationError("AccessDenied", 403, "Access Denied")
    for name in _AUTHENTICATION:
        if name not in form:
            raise _missing(name)
    if form["x-amz-algorithm"] != ALGORITHM:
        raise _argument("x-amz-algorithm", form["x-amz-algorithm"], f"Only {ALGORITHM} is supported")
    access_key_id, scope = _credential(form["x-amz-credential"], form["x-amz-date"], region, service, now)

    known = lookup(access_key_id)
    if known is None:
        raise VerificationError(
            "InvalidAccessKeyId",
            403,
            "The AWS Access Key Id you provided does not exist in our records.",
            {"AWSAccessKeyId": access_key_id},
        )
    token = form.get("x-amz-security-token", form.get("x-amz-s3session-token", ""))
    if not _core.equal_constant_time(known.session_token or "", token.encode("utf-8", "surrogateescape")):
        raise VerificationError("InvalidToken", 400, "The provided token is malformed or otherwise invalid.")
    if known.expired(now):
        raise VerificationError("ExpiredToken", 400, "The provided token has expired.")

    date, scope_region, scope_service, _ = scope.split("/")
    try:
        signing_key = _core.SigningKey.derive(known.secret_access_key, date, scope_region, scope_service)
    except (SigningError, UnicodeEncodeError) as error:
        message = str(error) if isinstance(error, SigningError) else "the Credential is mal-formed"
        raise _argument("x-amz-credential", form["x-amz-credential"], message) from None
    to_sign = form["policy"].encode("utf-8", "surrogateescape")
    provided = form["x-amz-signature"].encode("utf-8", "surrogateescape")
    if not _core.equal_constant_time(signing_key.sign(to_sign), provided):
        raise VerificationError(
            "SignatureDoesNotMatch",
            403,
            MISMATCH,
            {
                "AWSAccessKeyId": access_key_id,
                "StringToSign": form["policy"],
                "SignatureProvided": form["x-amz-signature"],
                "StringToSignBytes": hex_bytes(to_sign),
            },
        )
    policy = read_policy(form["policy"])
    policy.check(form, bucket, key, now)
    return VerifiedPost(access_key_id, form["x-amz-date"], scope, bucket, key, policy, form)


def _octets(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise VerificationError(
            "MalformedPOSTRequest", 400, "A form field holds a character that stands for no byte."
        ) from None


def _form(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    form: dict[str, str] = {}
    size = 0
    for given in fields.items() if isinstance(fields, Mapping) else fields:
        name, value = (
            text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text for text in given
        )
        lower = ascii_lower(name)
        size += len(_octets(f"{name}{value}"))
        if size > MAX_FIELDS_SIZE:
            raise VerificationError(
                "MaxPostPreDataLengthExceededError",
                400,
                "Your POST request fields preceding the upload file was too large.",
                {"MaxPostPreDataLengthBytes": str(MAX_FIELDS_SIZE)},
            )
        if lower in form:
            # Which of two values the policy was checked for and which one is used later must not differ.
            raise _argument(name, "", f"The form must contain the field '{name}' only once.")
        form[lower] = value
    return form


def _credential(
    credential: str, timestamp: str, region: str | None, service: str, now: float
) -> tuple[str, str]:
    """Access key id and scope, judged."""
    try:
        signed_at = _core.epoch_of(timestamp)
    except (SigningError, UnicodeEncodeError):
        raise _argument(
            "x-amz-date", timestamp, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""
        ) from None
    parts = credential.split("/")
    if len(parts) != 5 or not parts[0] or len(parts[0]) > 256:
        raise _argument(
            "x-amz-credential",
            credential,
            'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".',
        )
    access_key_id, date, scope_region, scope_service, terminal = parts
    if date != timestamp[:8]:
        message = (
            f'Invalid credential date "{date}". This date is not the same as X-Amz-Date: "{timestamp[:8]}".'
        )
        raise _argument("x-amz-credential", credential, message)
    if terminal != "aws4_request":
        message = f'incorrect terminal "{terminal}". This endpoint uses "aws4_request".'
        raise _argument("x-amz-credential", credential, message)
    if scope_service != service:
        message = f'incorrect service "{scope_service}". This endpoint belongs to "{service}".'
        raise _argument("x-amz-credential", credential, message)
    if not scope_region or (region is not None and scope_region != region):
        message = f'the region "{scope_region}" is wrong; expecting "{region or ""}"'
        raise _argument("x-amz-credential", credential, message)
    if now > signed_at + KEY_LIFE:
        raise denied("Policy expired.")
    return access_key_id, credential[len(access_key_id) + 1 :]


def _argument(name: str, value: str, message: str) -> VerificationError:
    return VerificationError(
        "InvalidArgument", 400, message, {"ArgumentName": name, "ArgumentValue": value[:256]}
    )


def _missing(name: str) -> VerificationError:
    message = (
        f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the "
        "fields."
    )
    return VerificationError("InvalidArgument", 400, message, {"ArgumentName": name, "ArgumentValue": ""})
