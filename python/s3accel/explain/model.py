"""What an explanation is made of: canonical requests taken apart, findings, and text fit to be shown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ..redact import HIDDEN, SECRET_HEADERS, SECRET_QUERY, redact_text

Confidence = Literal["certain", "reproduced", "likely"]

#: Longest value shown whole; of a longer one, the surroundings of the first difference.
SHOWN = 160
#: Secrets shorter than this are no AWS secrets, and hiding them would eat into ordinary words.
_SHORTEST_SECRET = 8
_HEX_SIGNATURE = re.compile(r"(?i)\bsignature\s*[:=]\s*[0-9a-f]{64,144}")


class Difference(NamedTuple):
    """One thing that is not the same on both sides; values are redacted."""

    what: str
    ours: str
    theirs: str


@dataclass(frozen=True)
class Finding:
    """One cause that was found. ``code`` is the key of its remedy."""

    cause: str
    sentence: str
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """Why a request was refused. Printing it shows no secret, token or signature.

    Attributes:
        cause: a short stable code, for programs; `s3accel.explain.CAUSES` lists them all.
        sentence: what differs and why, for people.
        remedy: what to do, one sentence.
        diff: what differs, as (what, ours, theirs); "ours" is what was signed, "theirs" what S3 received.
        confidence: ``"certain"`` if S3's own answer proves it, ``"reproduced"`` if a known mistake gives
            exactly the signature (or the hash) that was seen, else ``"likely"``.
        code: S3's error code.
        also: further causes found in the same request.
    """

    cause: str
    sentence: str
    remedy: str
    diff: list[Difference] = field(default_factory=list)
    confidence: Confidence = "likely"
    code: str = ""
    also: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.cause} ({self.confidence}): {self.sentence}"]
        for what, ours, theirs in self.diff:
            lines += [f"  {what}", f"    signed:   {ours}", f"    received: {theirs}"]
        if self.also:
            lines.append(f"Found besides: {', '.join(self.also)}.")
        lines.append(f"Remedy: {self.remedy}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain lists, dicts and texts, for JSON."""
        return {
            "cause": self.cause,
            "confidence": self.confidence,
            "sentence": self.sentence,
            "remedy": self.remedy,
            "code": self.code,
            "also": list(self.also),
            "diff": [item._asdict() for item in self.diff],
        }


def octets(text: str) -> bytes:
    """UTF-8, with the bytes that stand as surrogates as they were; what is neither character nor byte becomes '?'."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # nothing that could be sent: it must not keep the rest from being explained
        return re.sub("[\ud800-\udc7f\udd00-\udfff]", "?", text).encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Canonical:
    """A canonical request taken apart. Texts are UTF-8, other bytes kept as surrogates."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    signed: str
    payload: str

    @classmethod
    def parse(cls, data: bytes) -> Canonical | None:
        """None if it has not the shape of one."""
        lines = data.decode("utf-8", "surrogateescape").split("\n")
        if len(lines) < 6:
            return None
        headers = []
        for line in lines[3:-2]:
            name, colon, value = line.partition(":")
            if colon:
                headers.append((name, value))
        return cls(lines[0], lines[1], lines[2], tuple(headers), lines[-2], lines[-1])

    def text(self) -> bytes:
        """The bytes that are hashed."""
        block = "".join(f"{name}:{value}\n" for name, value in self.headers)
        text = "\n".join((self.method, self.path, self.query, block, self.signed, self.payload))
        return octets(text)

    def with_header(self, name: str, value: str | None) -> Canonical:
        """The same with another value of a header, or without it (also in SignedHeaders) for None."""
        if value is None:
            headers = tuple(item for item in self.headers if item[0] != name)
            signed = ";".join(item for item in self.signed.split(";") if item != name)
        else:
            rest = [item for item in self.headers if item[0] != name]
            headers = tuple(sorted([*rest, (name, value)]))
            signed = ";".join(sorted({*self.signed.split(";"), name} - {""}))
        return Canonical(self.method, self.path, self.query, headers, signed, self.payload)

    def pairs(self) -> list[tuple[str, str]]:
        """Names and values of the query, encoded, in order."""
        return pairs_of(self.query)


def pairs_of(query: str) -> list[tuple[str, str]]:
    out = []
    for segment in query.split("&"):
        if segment:
            name, _, value = segment.partition("=")
            out.append((name, value))
    return out


def join_pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return "&".join(f"{name}={value}" for name, value in pairs)


class Veil:
    """Makes text fit to be shown: known secrets hidden, control characters escaped, long values cut."""

    def __init__(self, *secrets: str | None) -> None:
        found = {text for secret in secrets if secret for text in (secret, secret.strip())}
        # The longest first: one secret may hold another (the same with white space).
        self._secrets = sorted((s for s in found if len(s) >= _SHORTEST_SECRET), key=len, reverse=True)

    def __repr__(self) -> str:
        return f"<Veil over {len(self._secrets)} texts>"

    def text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        text = redact_text(text)
        text = _HEX_SIGNATURE.sub(lambda found: found[0].rstrip("0123456789abcdefABCDEF") + HIDDEN, text)
        # What a server sent may hold terminal escapes.
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

    def value(self, value: str | None) -> str:
        """One value, whole if it is short."""
        if value is None:
            return "(absent)"
        if value == "":
            return "(empty)"
        text = self.text(value)
        return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(value)} characters)"

    def difference(
        self, what: str, ours: str | None, theirs: str | None, *, secret: bool = False
    ) -> Difference:
        """Both sides, cut round the place where they begin to differ."""
        if secret:
            return Difference(what, _hidden(ours), _hidden(theirs))
        if ours is None or theirs is None or max(len(ours), len(theirs)) <= SHOWN:
            return Difference(what, self.value(ours), self.value(theirs))
        # Hidden first, cut then: a cut through a secret would leave half of it in sight.
        left, right = self.text(ours), self.text(theirs)
        at = next(
            (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b),
            min(len(left), len(right)),
        )
        start = max(0, at - SHOWN // 4)
        return Difference(what, _window(left, start), _window(right, start))

    def header(self, name: str, ours: str | None, theirs: str | None) -> Difference:
        return self.difference(f"header {name}", ours, theirs, secret=name.lower() in SECRET_HEADERS)

    def parameter(self, name: str, ours: str | None, theirs: str | None) -> Difference:
        # The access key id and scope in X-Amz-Credential are no secret.
        secret = name.lower() in SECRET_QUERY and name.lower() != "x-amz-credential"
        return self.difference(f"query parameter {self.text(name)}", ours, theirs, secret=secret)


def _hidden(value: str | None) -> str:
    if value is None:
        return "(absent)"
    return f"{HIDDEN} ({len(value)} characters)" if value else "(empty)"


def _window(text: str, start: int) -> str:
    piece = text[start : start + SHOWN]
    return (
        ("..." if start else "") + (piece or "(ends before)") + ("..." if start + SHOWN < len(text) else "")
    )
