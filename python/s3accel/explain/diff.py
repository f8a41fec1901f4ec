"""Our canonical request beside S3's: what differs, line by line, and which habit of which software does that."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from urllib.parse import unquote

from ..redact import HIDDEN
from .model import Canonical, Difference, Finding, Veil, join_pairs, octets
from .request import Auth
from .variants import as_received, decoded, encoded, path_variants, value_variants

_TOKENS = ("x-amz-security-token", "x-amz-s3session-token")
#: Of a presigned URL these say that somebody encoded the URL anew.
_REENCODED = frozenset(
    {
        "path-double-encoding",
        "path-encoding",
        "path-plus-or-space",
        "query-double-encoding",
        "query-encoding",
        "query-plus-or-space",
    }
)


def unveiled(theirs: Canonical, ours: Canonical) -> Canonical:
    """S3's canonical request with what was hidden in it before it was kept taken from ours."""
    if HIDDEN not in theirs.query and all(value != HIDDEN for _, value in theirs.headers):
        return theirs
    mine = dict(ours.headers)
    headers = tuple((name, mine.get(name, v) if v == HIDDEN else v) for name, v in theirs.headers)
    values = dict(ours.pairs())
    pairs = [(name, values.get(name, v) if v == HIDDEN else v) for name, v in theirs.pairs()]
    return Canonical(theirs.method, theirs.path, join_pairs(pairs), headers, theirs.signed, theirs.payload)


def compare(ours: Canonical, theirs: Canonical, auth: Auth, veil: Veil) -> list[Finding]:
    """All findings, in the order of the canonical request; empty if both are the same."""
    findings: list[Finding] = []
    if ours.method != theirs.method:
        findings.append(
            Finding(
                "method-changed",
                f"The request was signed as {veil.value(ours.method)} and reached S3 as {veil.value(theirs.method)}.",
                (veil.difference("method", ours.method, theirs.method),),
            )
        )
    if ours.path != theirs.path:
        findings.append(_path(ours.path, theirs.path, veil))
    findings += _query(ours, theirs, veil)
    findings += _headers(ours, theirs, veil)
    findings += _payload(ours, theirs, veil)
    if auth.mechanism == "query" and findings and findings[0].cause in _REENCODED:
        first = findings[0]
        words = f"{first.sentence} A browser, chat program or HTTP library that encodes a presigned URL anew does that."
        findings.insert(0, Finding("presigned-url-reencoded", words, first.differences))
    if not findings and ours.text() != theirs.text():
        # The same values in another arrangement, which only a signer of its own can make.
        what = veil.difference(
            "canonical request", ours.text().decode("latin-1"), theirs.text().decode("latin-1")
        )
        findings.append(
            Finding(
                "canonical-form",
                "The canonical request was put together in another order or form than S3's, with the same values.",
                (what,),
            )
        )
    return findings


def _path(ours: str, theirs: str, veil: Veil) -> Finding:
    difference = (veil.difference("path", ours, theirs),)
    if as_received(ours) == theirs and "+" not in ours:
        return Finding("path-encoding", "The path was not signed in S3's own encoding.", difference)
    for cause, words, text in path_variants(ours):
        # A variant that changes nothing explains nothing, though S3's own encoding may make "theirs" of it.
        if text != ours and theirs in (text, as_received(text)):
            return Finding(cause, f"The path reached S3 {words}, which is not how it was signed.", difference)
    for cause, words, text in path_variants(theirs):
        if text == ours:
            return Finding(cause, f"The path was signed {words}, which is not how it reached S3.", difference)
    plain, other = decoded(ours), decoded(theirs)
    if unicodedata.normalize("NFC", plain) == unicodedata.normalize("NFC", other):
        return Finding(
            "path-unicode",
            "The key was signed in one Unicode form (NFC or NFD) and sent in the other; S3 takes them for two keys.",
            difference,
        )
    if ours.endswith(theirs) or theirs.endswith(ours):
        longer, what = (ours, "lost") if len(ours) > len(theirs) else (theirs, "got")
        prefix = longer[: abs(len(ours) - len(theirs))]
        return Finding(
            "path-prefix", f"The path {what} the prefix {veil.value(prefix)} after it was signed.", difference
        )
    if re.sub(r"[+ ]", "", plain) == re.sub(r"[+ ]", "", other):
        return Finding(
            "path-plus-or-space", "A + and a space of the path were mixed up after signing.", difference
        )
    if ours.lower() == theirs.lower():
        return Finding(
            "path-changed", "The path changed between upper and lower case after it was signed.", difference
        )
    return Finding("path-changed", "S3 received another path than the one that was signed.", difference)


def _query(ours: Canonical, theirs: Canonical, veil: Veil) -> list[Finding]:
    if ours.query == theirs.query:
        return []
    mine, other = ours.pairs(), theirs.pairs()
    if sorted(mine) == sorted(other):
        what = "unsorted" if mine != sorted(mine) else "in another form (a parameter without '=')"
        difference = Difference("query", *(veil.value(_shown(q)) for q in (mine, other)))
        cause = "query-order" if mine != other else "query-encoding"
        return [Finding(cause, f"The query was signed {what}; S3 sorts names and values.", (difference,))]
    lost = list((Counter(mine) - Counter(other)).elements())
    new = list((Counter(other) - Counter(mine)).elements())
    findings: list[Finding] = []
    for name, value in list(lost):
        # The nearest of the new ones: the same name, else a name that only its encoding tells apart.
        match = next((p for p in new if p[0] == name), None) or next(
            (p for p in new if decoded(decoded(p[0])) == decoded(decoded(name))), None
        )
        if match is None:
            continue
        lost.remove((name, value))
        new.remove(match)
        findings.append(_changed_pair((name, value), match, veil))
    my_names, other_names = Counter(n for n, _ in mine), Counter(n for n, _ in other)
    for name, value in lost:
        missing = (veil.parameter(name, value, None),)
        if other_names[name]:
            words = f"The query parameter {veil.value(name)} was signed {my_names[name]} times and reached S3 only "
            words += "once." if other_names[name] == 1 else f"{other_names[name]} times."
            findings.append(Finding("query-duplicates", words, missing))
        else:
            words = f"The query parameter {veil.value(name)} was signed and did not reach S3."
            findings.append(Finding("query-dropped", words, missing))
    for name, value in new:
        missing = (veil.parameter(name, None, value),)
        if my_names[name]:
            words = f"The query parameter {veil.value(name)} reached S3 once more than it was signed."
            findings.append(Finding("query-duplicates", words, missing))
        elif decoded(name).startswith("amp;"):
            words = "The URL was HTML-escaped (& became &amp;) before it was used."
            findings.append(Finding("presigned-url-reencoded", words, missing))
        else:
            words = f"The query parameter {veil.value(name)} was added after signing."
            findings.append(Finding("query-added", words, missing))
    return findings


def _changed_pair(mine: tuple[str, str], other: tuple[str, str], veil: Veil) -> Finding:
    shown = veil.value(mine[0])
    difference = (veil.parameter(mine[0], mine[1], other[1]),)
    if mine[0] != other[0]:
        return Finding(
            "query-encoding",
            f"The query parameter {shown} was signed with its name encoded in another way than S3's.",
            (veil.difference("query parameter name", mine[0], other[0]), *difference),
        )
    for cause, words, text in value_variants(mine[1]):
        if other[1] in (text, encoded(decoded(text))):
            return Finding(
                cause,
                f"The value of the query parameter {shown} reached S3 {words}, which is not how it was signed.",
                difference,
            )
    for cause, words, text in value_variants(other[1]):
        if text == mine[1]:
            return Finding(
                cause,
                f"The value of the query parameter {shown} was signed {words}, which is not how it reached S3.",
                difference,
            )
    return Finding(
        "query-changed", f"The query parameter {shown} has another value than the one signed.", difference
    )


def _shown(pairs: Iterable[tuple[str, str]]) -> str:
    # Names suffice where only the order differs; values may be secret.
    return join_pairs((name, "...") for name, _ in pairs)


def _headers(ours: Canonical, theirs: Canonical, veil: Veil) -> list[Finding]:
    findings: list[Finding] = []
    mine, other = dict(ours.headers), dict(theirs.headers)
    names = sorted({*mine, *other}, key=lambda name: (name != "host", name))
    for name in names:
        if name == "x-amz-content-sha256" and ours.payload != theirs.payload:
            continue  # told with the payload
        a, b = mine.get(name), other.get(name)
        if a != b:
            findings.append(_header(name, a, b, veil))
    if ours.signed != theirs.signed and not (set(mine) ^ set(other)):
        a_names, b_names = set(ours.signed.split(";")), set(theirs.signed.split(";"))
        # A name that is listed but whose header is on neither side is a header that never was there.
        gone = sorted((a_names ^ b_names) - set(mine)) or sorted(a_names ^ b_names)
        cause, words = "header-dropped", f"lists {veil.value(', '.join(gone))}, which did not reach S3"
        if not gone:
            cause, words = "canonical-form", "is not what S3 signs: every name once, in alphabetical order"
        difference = veil.difference("signed headers", ours.signed, theirs.signed)
        findings.append(Finding(cause, f"SignedHeaders {words}.", (difference,)))
    return findings


def _header(name: str, mine: str | None, other: str | None, veil: Veil) -> Finding:
    difference = (veil.header(name, mine, other),)
    shown = veil.value(name)
    if name in _TOKENS:
        if not other:
            return Finding("token-missing", "The session token was signed and did not reach S3.", difference)
        if not mine:
            return Finding("token-added", "A session token was added after signing.", difference)
        return Finding("token-changed", "S3 received another session token than the one signed.", difference)
    if name == "host" and mine and other:
        return _host(mine, other, difference, veil)
    if name == "x-amz-date":
        return Finding("date-changed", "S3 received another x-amz-date than the one signed.", difference)
    if not other and mine:
        cause = "content-type-dropped" if name == "content-type" else "header-dropped"
        return Finding(cause, f"The header {shown} was signed and did not reach S3.", difference)
    if not mine:
        cause = "content-type-added" if name == "content-type" else "header-added"
        who = "an HTTP library or proxy" if name == "content-type" else "a proxy or HTTP library"
        return Finding(cause, f"The header {shown} has a value that {who} added after signing.", difference)
    return _value(name, mine, other or "", difference, veil)


def _host(mine: str, other: str, difference: tuple[Difference, ...], veil: Veil) -> Finding:
    port = re.compile(r":\d+$")
    if port.sub("", mine).lower() == port.sub("", other).lower() and port.search(mine) != port.search(other):
        a, b = port.search(mine), port.search(other)
        if (a and a[0]) != (b and b[0]):
            with_port = f"with the port {a[0][1:]}" if a else "without a port"
            arrived = f"with the port {b[0][1:]}" if b else "without one" if a else "without a port"
            return Finding(
                "host-port", f"The host was signed {with_port} and reached S3 {arrived}.", difference
            )
        return Finding(
            "host-changed", "The host changed between upper and lower case after signing.", difference
        )
    return Finding(
        "host-changed",
        f"The request was signed for the host {veil.value(mine)} and reached S3 with the host {veil.value(other)}.",
        difference,
    )


def _value(name: str, mine: str, other: str, difference: tuple[Difference, ...], veil: Veil) -> Finding:
    """Two values of one signed header, both there."""
    shown = veil.value(name)

    def finding(cause: str, words: str) -> Finding:
        return Finding(cause, f"The signed header {shown} {words}.", difference)

    if re.sub(r"[\s\u00a0]+", "", mine) == re.sub(r"[\s\u00a0]+", "", other):
        return finding("header-refolded", "reached S3 with other white space (folded, merged or split anew)")
    a, b = [p.strip() for p in mine.split(",")], [p.strip() for p in other.split(",")]
    if sorted(a) == sorted(b):
        return finding("header-order", "reached S3 with its values in another order")
    more, less = Counter(b) - Counter(a), Counter(a) - Counter(b)
    if not less:
        return finding("header-added", "got a further value after signing (a second header of that name)")
    if not more:
        return finding(
            "header-dropped", "lost one of its values after signing (of duplicate headers one was kept)"
        )
    if mine.lower() == other.lower():
        return finding("header-case", "changed between upper and lower case after signing")
    if _same_in_other_letters(mine, other):
        return finding(
            "header-encoding", "holds characters beyond ASCII that were encoded anew after signing"
        )
    if mine.strip("\"'") == other.strip("\"'"):
        return finding("header-changed", "gained or lost its quotes after signing")
    return finding("header-changed", "has another value than the one signed")


def _same_in_other_letters(mine: str, other: str) -> bool:
    def forms(text: str) -> set[bytes]:
        raw = octets(text)
        out = {raw, octets(unquote(text))}
        for source, target in (("utf-8", "latin-1"), ("latin-1", "utf-8")):
            try:
                out.add(raw.decode(source).encode(target))
            except UnicodeError:
                continue
        return out

    beyond = not (mine.isascii() and other.isascii()) or "%" in mine + other
    return beyond and bool(forms(mine) & forms(other))


def _payload(ours: Canonical, theirs: Canonical, veil: Veil) -> list[Finding]:
    if ours.payload == theirs.payload:
        return []
    words = f"The request was signed with the payload hash {_payload_words(ours.payload, veil)} and reached S3 with "
    words += f"{_payload_words(theirs.payload, veil)}."
    return [Finding("payload-hash", words, (veil.difference("payload hash", ours.payload, theirs.payload),))]


def _payload_words(payload: str, veil: Veil) -> str:
    return f"{payload[:12]}..." if re.fullmatch("[0-9A-Fa-f]{64}", payload) else veil.value(payload)
