"""POST policies: browser uploads by a form, without the browser ever seeing a key.

`sign_post` makes the fields of a form for one bucket and key; `PostPolicy` is the same in steps; `sign_policy`
signs a ready document byte for byte. All three refuse what S3 would refuse, before anything is signed.

Source: S3 API Reference, "sigv4-UsingHTTPPOST", "sigv4-HTTPPOSTConstructPolicy", "sigv4-post-example".
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from .. import _core
from ..credentials import Credentials, Provider
from ..errors import ConfigError, VerificationError
from ..signer import Signer
from .rules import FILENAME, MAX_FIELDS_SIZE, MAX_KEY_SIZE, Policy, is_exempt, parse_policy

__all__ = ["PostPolicy", "sign_policy", "sign_post"]

ALGORITHM = "AWS4-HMAC-SHA256"
#: The signing key dies seven days after its date, and the form with it.
MAX_EXPIRES = 604_800
#: One POST carries at most 5 GiB, like one PUT.
MAX_FILE = 5 * 2**30
#: What signing adds to the form; nobody else may.
OWN_FIELDS = frozenset(
    {
        "policy",
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-s3session-token",
        "x-amz-security-token",
        "x-amz-signature",
    }
)

_Condition = Mapping[str, str] | Sequence[Any]


class PostPolicy:
    """The conditions that a form must meet, and the fields that are known already.

    Args:
        bucket: the form's target.
        key: the object key; ``${filename}`` in it stands for the name of the file that the user picks, and
            then the key is only held to what comes before it.
        expires: seconds that the form may be used from the moment it is signed, 1 to 604,800.

    Every method gives the policy itself, so they can be chained::

        fields = PostPolicy("photos", "user/42/${filename}").field("acl", "private").size(1, 10_000_000).sign(signer)

    A form may hold the fields that `sign` gives, the fields that a condition names, and ``x-ignore-...``;
    the file comes last, in a field named ``file``.
    """

    def __init__(self, bucket: str, key: str, *, expires: int = 3600) -> None:
        if not isinstance(bucket, str) or not bucket:
            raise ConfigError("a POST policy needs a bucket")
        if not isinstance(key, str) or not key:
            raise ConfigError(f"a POST policy needs a key; {FILENAME} alone stands for the user's file name")
        if len(key.encode("utf-8")) > MAX_KEY_SIZE:
            raise ConfigError(f"the key has more than {MAX_KEY_SIZE} bytes in UTF-8")
        if not isinstance(expires, int) or isinstance(expires, bool) or not 1 <= expires <= MAX_EXPIRES:
            raise ConfigError(f"a form may live 1 to {MAX_EXPIRES} seconds (7 days), not {expires!r}")
        self._bucket = bucket
        self._key = key
        self._expires = expires
        self._fields: dict[str, str] = {}
        self._conditions: list[Any] = []

    @property
    def bucket(self) -> str:
        return self._bucket

    @property
    def key(self) -> str:
        return self._key

    def field(self, name: str, value: str, *, condition: bool = True) -> PostPolicy:
        """A field of the form with this very value.

        Args:
            condition: False if a condition given elsewhere covers the field.

        Raises:
            ConfigError: a name that the form cannot hold or that is there already.
        """
        lower = self._name(name)
        if not isinstance(value, str):
            raise ConfigError(f"form field {name!r}: the value must be a str, not {type(value).__name__}")
        if lower in ("bucket", "key") or lower in (known.lower() for known in self._fields):
            raise ConfigError(f"form field {name!r} is set already")
        self._fields[name] = value
        if condition and not is_exempt(lower):
            self._conditions.append({name: value})
        return self

    def equals(self, name: str, value: str) -> PostPolicy:
        """The user's form must hold this value in a field that is not among ours."""
        self._name(name)
        return self.condition(["eq", f"${name}", value])

    def starts_with(self, name: str, prefix: str) -> PostPolicy:
        """The field's value must begin like this; an empty prefix allows anything."""
        self._name(name)
        return self.condition(["starts-with", f"${name}", prefix])

    def size(self, least: int, most: int) -> PostPolicy:
        """The file must have this many bytes, both ends inclusive; at most 5 GiB go into one POST."""
        return self.condition(["content-length-range", least, most])

    def condition(self, condition: _Condition) -> PostPolicy:
        """A condition in the form of the document: ``{"acl": "private"}``, ``["starts-with", "$key", "a/"]``.

        Raises:
            ConfigError: it is none that S3 reads, or its range is empty.
        """
        made: Any = dict(condition) if isinstance(condition, Mapping) else list(condition)
        if isinstance(made, list) and made and made[0] == "content-length-range":
            numbers = made[1:]
            if len(numbers) != 2 or any(not isinstance(n, int) or isinstance(n, bool) for n in numbers):
                raise ConfigError(f"content-length-range takes two numbers of bytes, not {numbers!r}")
            if not 0 <= numbers[0] <= numbers[1] <= MAX_FILE:
                raise ConfigError(
                    f"content-length-range {numbers[0]} to {numbers[1]}: the first may not be larger, and one "
                    f"POST carries 0 to {MAX_FILE} bytes"
                )
        _read({"expiration": "2000-01-01T00:00:00Z", "conditions": [made]})
        self._conditions.append(made)
        return self

    def document(self, expiration: float, own: Iterable[Mapping[str, str]] = ()) -> str:
        """The JSON text. `expiration`: epoch seconds. `own`: the conditions of the signature's fields."""
        prefix, variable, _ = self._key.partition(FILENAME)
        return json.dumps(
            {
                "expiration": datetime.fromtimestamp(expiration, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "conditions": [
                    *self._conditions,
                    {"bucket": self._bucket},
                    ["starts-with", "$key", prefix] if variable else {"key": self._key},
                    *own,
                ],
            }
        )

    def sign(self, signer: Signer) -> dict[str, str]:
        """The fields of the form, `key` and the signature's own included, all to be sent as they are.

        Args:
            signer: for ``s3`` and the bucket's region, or for ``s3express`` with a session.

        Raises:
            ConfigError: S3 would refuse the form: a field that no condition covers, or that does not meet
                its own condition. The values that the user will fill in are not known yet.
            CredentialsError: the signer has no living credentials. The form dies with them.
        """
        frozen = _freeze(signer)
        signed_at = _core.epoch_of(frozen.timestamp)
        text = self.document(signed_at + self._expires, ({n: v} for n, v in frozen.fields.items()))
        fields = {**self._fields, "key": self._key, **frozen.fields}
        _check(text.encode("utf-8"), fields, self._bucket, signed_at)
        return {**fields, **_signed(text.encode("utf-8"), frozen)}

    @staticmethod
    def _name(name: str) -> str:
        if not isinstance(name, str) or not name or not name.isascii() or not name.isprintable():
            raise ConfigError(f"{name!r} is no name of a form field")
        lower = name.lower()
        if lower in OWN_FIELDS:
            raise ConfigError(f"form field {name!r} is made by signing")
        if lower == "file":
            raise ConfigError("the file comes last in the form and is no field of the policy")
        return lower

    def __repr__(self) -> str:
        return f"<PostPolicy {self._bucket}/{self._key} {len(self._conditions)} conditions>"


def sign_post(
    credentials: Credentials | Provider | None,
    region: str,
    bucket: str,
    key: str,
    *,
    expires: int = 3600,
    conditions: Iterable[_Condition] = (),
    fields: Mapping[str, str] | None = None,
    content_length_range: tuple[int, int] | None = None,
    service: str = "s3",
    clock: Callable[[], float] | None = None,
) -> dict[str, str]:
    """The fields of a form that uploads one file into `bucket` under `key`, ready to be sent.

    Args:
        credentials, region, service, clock: as for `Signer`.
        bucket, key, expires: as for `PostPolicy`.
        conditions: further conditions in the document's form.
        fields: further fields of the form; one that no condition names is held to its value.
        content_length_range: least and most bytes of the file.

    The form goes to the bucket's own host (``https://bucket.s3-accelerate.amazonaws.com/`` for example) as
    ``multipart/form-data``, these fields first and the file last.

    Raises:
        ConfigError: S3 would refuse the form. CredentialsError: there are no living credentials.
    """
    policy = PostPolicy(bucket, key, expires=expires)
    given = [dict(c) if isinstance(c, Mapping) else list(c) for c in conditions]
    for condition in given:
        policy.condition(condition)
    named = {str(n).lower() for c in given if isinstance(c, dict) for n in c}
    named |= {str(c[1])[1:].lower() for c in given if isinstance(c, list) and len(c) > 1}
    if content_length_range is not None:
        policy.size(*content_length_range)
    for name, value in (fields or {}).items():
        policy.field(name, value, condition=name.lower() not in named)
    return policy.sign(Signer(credentials, region, service, clock=clock))


def sign_policy(
    document: str | bytes,
    signer: Signer,
    fields: Mapping[str, str] | None = None,
    *,
    check: bool = True,
) -> dict[str, str]:
    """Signs a ready policy document byte for byte, line ends and white space included.

    Args:
        document: JSON. It must hold conditions for ``x-amz-algorithm``, ``x-amz-credential`` and
            ``x-amz-date`` (and the session token) that fit the signer and the moment.
        fields: the form's other fields, to be checked with the policy and given back with the signature's.
        check: False signs the document whatever it says.

    Raises:
        ConfigError: S3 would refuse the document, or the form for one of its known fields.
    """
    raw = document.encode("utf-8") if isinstance(document, str) else bytes(document)
    frozen = _freeze(signer)
    whole = {**(fields or {}), **frozen.fields}
    if check:
        _check(raw, whole, None, _core.epoch_of(frozen.timestamp))
    return {**whole, **_signed(raw, frozen)}


class _Frozen(NamedTuple):
    """What one form is signed with. `fields`: the form fields that say so."""

    key: _core.SigningKey
    timestamp: str
    fields: dict[str, str]


def _freeze(signer: Signer) -> _Frozen:
    # One call gives key, time and token that belong together, whatever a refresh does meanwhile.
    added, _, timestamp, _, _, _, key = signer._sign_detailed("POST", "https://localhost/", None, b"")
    credential = added["Authorization"].partition("Credential=")[2].partition(",")[0]
    fields = {
        "x-amz-algorithm": ALGORITHM,
        "x-amz-credential": credential,
        "x-amz-date": timestamp,
    }
    for name, value in added.items():
        if name.lower() == "x-amz-security-token":
            fields["x-amz-security-token"] = value
        elif name.lower() == "x-amz-s3session-token":
            fields["X-Amz-S3session-Token"] = value
    return _Frozen(key, timestamp, fields)


def _signed(document: bytes, frozen: _Frozen) -> dict[str, str]:
    # The string to sign is the base64 text itself: no hash, no canonical request.
    encoded = base64.b64encode(document).decode("ascii")
    return {"policy": encoded, "x-amz-signature": frozen.key.sign(encoded)}


def _read(document: Any) -> Policy:
    try:
        return parse_policy(document if isinstance(document, bytes) else json.dumps(document).encode("utf-8"))
    except VerificationError as error:
        raise ConfigError(f"S3 would refuse this POST policy: {error.message}") from None
    except (TypeError, ValueError) as error:
        raise ConfigError(f"this cannot be written as JSON: {error}") from None


def _check(document: bytes, fields: Mapping[str, str], bucket: str | None, now: float) -> None:
    """Refuses what S3 would refuse, for all that is known before the user fills in the form."""
    policy = _read(document)
    form = {name.lower(): value for name, value in fields.items()}
    if len(form) != len(fields):
        raise ConfigError("two form fields have the same name in another case; S3 would see one of them only")
    sizes = (len(n.encode("utf-8")) + len(v.encode("utf-8")) for n, v in form.items())
    if sum(sizes) + -(-len(document) // 3) * 4 > MAX_FIELDS_SIZE:
        raise ConfigError(f"the form's fields have more than {MAX_FIELDS_SIZE} bytes together")
    key = form.get("key")
    if key is not None and FILENAME in key:
        # The rest of the key is the user's; its beginning must be able to meet the conditions.
        before = key.partition(FILENAME)[0]
        for condition in policy.conditions:
            if condition.field == "key" and condition.operator == "eq":
                raise ConfigError(
                    f"a key with {FILENAME} equals no text; use starts-with for what comes before"
                )
            if condition.field == "key" and not (
                before.startswith(condition.value) or condition.value.startswith(before)
            ):
                raise ConfigError(f"S3 would refuse this form: the key never meets {condition}")
        key = None
    if not policy.covers("key"):
        raise ConfigError("S3 would refuse this form: no condition of the policy covers the key")
    for least, most in policy.ranges:
        if least > most:
            raise ConfigError(f"content-length-range {least} to {most} allows no file at all")
    try:
        policy.check(form, bucket, key, now, partial=True)
    except VerificationError as error:
        raise ConfigError(f"S3 would refuse this form: {error.message}") from None
