"""The rules of S3's POST policies: what a policy document may say and what a form must hold to meet it.

Signing and verifying both read them here, so that a form is refused before it is signed for the same reason
for which S3 would refuse it later. Faults are S3's own errors.

Source: S3 API Reference, "sigv4-HTTPPOSTConstructPolicy" and "sigv4-HTTPPOSTForms"; the texts of refusals are
those of servers that were compared with S3.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ..errors import VerificationError

__all__ = ["FILENAME", "Condition", "Policy", "expand_key", "is_exempt", "parse_policy", "read_policy"]

#: Replaced in the field `key` by the name of the file that the browser sends.
FILENAME = "${filename}"
#: All form fields before the file, with their names, may have this many bytes together.
MAX_FIELDS_SIZE = 20_480
#: Object keys are at most this long in UTF-8.
MAX_KEY_SIZE = 1024

_EXPIRATION = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,18}", re.ASCII)


def invalid(message: str) -> VerificationError:
    """The document cannot be read as a policy."""
    return VerificationError("InvalidPolicyDocument", 400, f"Invalid Policy: {message}")


def denied(message: str) -> VerificationError:
    """The form does not meet its policy."""
    return VerificationError("AccessDenied", 403, f"Invalid according to Policy: {message}")


def is_exempt(field: str) -> bool:
    """True for a form field (lower case) that needs no condition."""
    return field in ("file", "policy", "x-amz-signature") or field.startswith("x-ignore-")


@dataclass(frozen=True)
class Condition:
    """What one field must hold.

    Attributes:
        operator: ``"eq"`` or ``"starts-with"``. field: lower case, without ``$``.
        value: the text or its beginning; an empty beginning is met by every text.
    """

    operator: str
    field: str
    value: str

    def met_by(self, value: str | None) -> bool:
        if value is None:
            return False
        if self.operator == "eq":
            return value == self.value
        if self.field == "content-type":
            # A comma list of types is met only if every one of them is.
            return all(part.strip().startswith(self.value) for part in value.split(","))
        return value.startswith(self.value)

    def __str__(self) -> str:
        return json.dumps([self.operator, f"${self.field}", self.value])


@dataclass(frozen=True)
class Policy:
    """A policy document that could be read.

    Attributes:
        expiration: epoch seconds.
        conditions: all but the ranges. ranges: (least, most) bytes of the file, inclusive.
    """

    expiration: float
    conditions: tuple[Condition, ...]
    ranges: tuple[tuple[int, int], ...]

    def covers(self, field: str) -> bool:
        return any(condition.field == field for condition in self.conditions)

    def check(
        self,
        fields: Mapping[str, str],
        bucket: str | None,
        key: str | None,
        now: float,
        *,
        partial: bool = False,
    ) -> None:
        """Raises VerificationError unless the policy lives and the form meets it.

        Args:
            fields: by lower-case name. bucket: where the form goes. key: with the file's name in it.
            now: epoch seconds.
            partial: the form is still to be filled in; fields that are not there (and a bucket or key of
                None) are not held to their conditions yet.
        """
        if now >= self.expiration:
            raise denied("Policy expired.")
        for field in fields:
            if not is_exempt(field) and not self.covers(field):
                raise denied(f"Extra input fields: {field}")
        resolved: dict[str, str | None] = {**fields, "bucket": bucket, "key": key}
        for condition in self.conditions:
            value = resolved.get(condition.field)
            if not (condition.met_by(value) or (partial and value is None)):
                raise denied(f"Policy Condition failed: {condition}")
        if not self.covers("bucket"):
            raise denied("Extra input fields: bucket")

    def check_length(self, length: int) -> None:
        """Raises VerificationError (EntityTooLarge, EntityTooSmall) for a file of that many bytes."""
        for least, most in self.ranges:
            if length > most:
                raise VerificationError(
                    "EntityTooLarge",
                    400,
                    "Your proposed upload exceeds the maximum allowed size",
                    {"ProposedSize": str(length), "MaxSizeAllowed": str(most)},
                )
            if length < least:
                raise VerificationError(
                    "EntityTooSmall",
                    400,
                    "Your proposed upload is smaller than the minimum allowed size",
                    {"ProposedSize": str(length), "MinSizeAllowed": str(least)},
                )


def expand_key(key: str, filename: str) -> str:
    """The key with the file's name in it; of a path that a browser sends only the last part counts."""
    return key.replace(FILENAME, re.split(r"[/\\]", filename)[-1])


def read_policy(encoded: str) -> Policy:
    """The policy in the form field of that name: base64 of a JSON document."""
    text = encoded.strip()
    if not text:
        raise invalid("Expecting '{' but found End-of-Input")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise invalid("invalid Base64 encoding.") from None
    return parse_policy(raw)


def parse_policy(document: bytes) -> Policy:
    """Reads a policy document. Raises VerificationError (InvalidPolicyDocument) with S3's text."""
    try:
        parsed = json.loads(document.decode("utf-8"), object_pairs_hook=_Pairs, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise invalid("Invalid JSON.") from None
    if not isinstance(parsed, _Pairs):
        raise invalid("Invalid JSON.")
    members = dict(parsed)
    if len(members) != len(parsed):
        raise invalid("Invalid JSON.")  # a name given twice means two things to two readers
    if "expiration" not in members:
        raise invalid("Policy missing expiration.")
    if "conditions" not in members:
        raise invalid("Policy missing conditions.")
    for name in members:
        if name not in ("expiration", "conditions"):
            raise invalid(f"Unexpected: '{name}'.")
    listed = members["conditions"]
    if not isinstance(listed, list) or isinstance(listed, _Pairs):
        raise invalid("Invalid 'conditions' value: must be a List.")
    conditions: list[Condition] = []
    ranges: list[tuple[int, int]] = []
    for entry in listed:
        made = _condition(entry)
        if isinstance(made, Condition):
            conditions.append(made)
        else:
            ranges.append(made)
    return Policy(_expiration(members["expiration"]), tuple(conditions), tuple(ranges))


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its duplicates kept."""


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _expiration(value: Any) -> float:
    found = _EXPIRATION.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        try:
            moment = datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
        except ValueError:
            pass
        else:
            return moment.timestamp() + float(f"0.{found[2] or 0}")
    raise invalid(f"Invalid 'expiration' value: '{value if isinstance(value, str) else ''}'")


def _condition(entry: Any) -> Condition | tuple[int, int]:
    if isinstance(entry, _Pairs):
        if len(entry) != 1:
            raise invalid(
                "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified."
            )
        name, value = entry[0]
        if not isinstance(value, str):
            raise invalid("Invalid Simple-Condition: value must be a string.")
        return _named("eq", name, value)
    if not isinstance(entry, list):
        raise invalid("Invalid condition test: must be a List or Object.")
    if not entry or not isinstance(entry[0], str):
        raise invalid("Invalid Condition: missing operation identifier.")
    operator = entry[0].lower()
    if operator not in ("eq", "starts-with", "content-length-range"):
        raise invalid(f"Invalid Condition: unknown operation '{entry[0]}'.")
    if len(entry) != 3:
        raise invalid(f"Invalid {operator}: wrong number of arguments.")
    if operator == "content-length-range":
        return _number(entry[1]), _number(entry[2])
    name, value = entry[1], entry[2]
    if not isinstance(name, str) or not name.startswith("$") or not isinstance(value, str):
        raise invalid(f"Invalid {operator}: a field with '$' and a text are needed.")
    return _named(operator, name[1:], value)


def ascii_lower(name: str) -> str:
    """Field names are ASCII: whoever reads the form after us does not take a KELVIN SIGN for a k."""
    return name.lower() if name.isascii() else "".join(c.lower() if c.isascii() else c for c in name)


def _named(operator: str, name: str, value: str) -> Condition:
    if not name.strip():
        raise invalid("Invalid Condition: no field is named.")
    return Condition(operator, ascii_lower(name), value)


def _number(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    raise invalid("Invalid content-length-range: a number of bytes is needed.")
