"""Reading ``multipart/form-data`` as it streams in: the fields of a form, then the bytes of its one file.

Strict on purpose. Where two readers could take the same bytes for two different forms (a boundary inside a
line, a folded header, a name given twice, something before the first boundary), the form is refused: what
the policy was checked for must be what is stored.

Source: RFC 7578 (forms), RFC 2046 section 5.1 (boundaries); S3 API Reference, "sigv4-HTTPPOSTForms": the file
is the last field that counts, and fields with their names may have 20 KB.
"""

from __future__ import annotations

import re

from ..postpolicy.rules import MAX_FIELDS_SIZE
from .refusals import Refusal, precondition_failed

MAX_PART_HEAD = 4096
"""The header lines of one part. A file name of 1,024 bytes, percent-encoded, is 3 KiB."""

MAX_PARTS = 256

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  a token of RFC 9110's grammar
_PARAMETER = re.compile(
    rf';[ \t]*({_TOKEN})=(?:"((?:[^"\\\r\n]|\\.)*)"|([^\s";,]+))[ \t]*', re.ASCII | re.DOTALL
)
_HEADER = re.compile(rf"({_TOKEN}):[ \t]*(.*?)[ \t]*", re.ASCII | re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\])')
_PLAIN_CODINGS = frozenset({"7bit", "8bit", "binary"})


def malformed() -> Refusal:
    return Refusal(
        "MalformedPOSTRequest",
        400,
        "The body of your POST request is not well-formed multipart/form-data.",
    )


def _parameters(text: str) -> dict[str, str]:
    """``; name=value; name="value"`` to the end of the text, each name once."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None or match[1].lower() in found:
            raise malformed()
        quoted = match[2]
        found[match[1].lower()] = match[3] if quoted is None else _ESCAPED.sub(r"\1", quoted)
        at = match.end()
    return found


def boundary_of(content_type: str | None) -> bytes:
    """The boundary that a request's Content-Type names.

    Raises Refusal: PreconditionFailed if it is no form, MalformedPOSTRequest if it has no usable boundary.
    """
    kind, semicolon, rest = (content_type or "").partition(";")
    if kind.strip(" \t").lower() != "multipart/form-data":
        raise precondition_failed("Bucket POST must be of the enclosure-type multipart/form-data")
    boundary = _parameters(semicolon + rest).get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise malformed()
    return boundary.encode("ascii")


class FormReader:
    """A form, fed in pieces of any size; holds no more than a part's head, the fields, and one boundary.

    Attributes:
        fields: name and value of every field before the file, in order, duplicates kept.
        filename: of the file part, as sent; "" if it has none.
        at_file: True as soon as the file part has begun: `fields` is complete then.
        ended: True once the closing boundary was read.

    What follows the file is read and dropped, within the limit of the fields, as S3 does it: forms made by
    hand have their submit button there.
    """

    def __init__(self, boundary: bytes) -> None:
        self.fields: list[tuple[str, str]] = []
        self.filename = ""
        self.at_file = False
        self.ended = False
        self._delimiter = b"\r\n--" + boundary
        # The first boundary stands at the beginning of the body, without the line end of all the others.
        self._buffer = b"\r\n"
        self._state = "first"
        self._name = ""
        self._in_file = False
        self._used = 0
        self._parts = 0

    def feed(self, piece: bytes) -> bytes:
        """Takes the next bytes of the body; gives those of the file among them.

        Raises Refusal: MalformedPOSTRequest, MaxPostPreDataLengthExceededError.
        """
        self._buffer = self._buffer + piece if self._buffer else piece
        out = b""
        while True:
            if self._state == "body" and self._in_file:
                data, more = self._file_bytes()
                # A form holds one file part, so there is at most one such run of bytes in a piece.
                out = data or out
            else:
                more = self._step()
            if not more:
                return out

    def finish(self) -> None:
        """Must be called at the end of the body. Raises Refusal MalformedPOSTRequest if the form has no end,
        InvalidArgument if it has no file."""
        if not self.ended or self._buffer not in (b"", b"\r\n"):
            raise malformed()
        if not self.at_file:
            raise Refusal(
                "InvalidArgument",
                400,
                "POST requires exactly one file upload per request.",
                {"ArgumentName": "file", "ArgumentValue": "0"},
            )

    def _step(self) -> bool:
        """Go on by one element; False if more bytes are needed for it."""
        buffer = self._buffer
        if self._state == "first":
            if not buffer.startswith(self._delimiter[: len(buffer)]):
                raise malformed()
            if len(buffer) < len(self._delimiter):
                return False
            self._advance(len(self._delimiter), "boundary")
        elif self._state == "boundary":
            if len(buffer) < 2:
                return False
            if buffer.startswith(b"\r\n"):
                self._advance(2, "head")
            elif buffer.startswith(b"--"):
                self.ended = True
                self._advance(2, "end")
            else:
                raise malformed()
        elif self._state == "head":
            end = buffer.find(b"\r\n\r\n")
            if end > MAX_PART_HEAD or (end < 0 and len(buffer) > MAX_PART_HEAD + 3):
                raise malformed()
            if end < 0:
                return False
            self._begin_part(buffer[:end])
            self._advance(end + 4, "body")
        elif self._state == "body":
            end = buffer.find(self._delimiter)
            size = len(buffer) - len(self._delimiter) if end < 0 else end
            if self._used + size > MAX_FIELDS_SIZE:
                raise self._too_much()
            if end < 0:
                return False
            self._used += end
            if not self.at_file:
                self.fields.append((self._name, _text(buffer[:end])))
            self._advance(end + len(self._delimiter), "boundary")
        else:
            if not b"\r\n".startswith(buffer):
                raise malformed()
            return False
        return True

    def _file_bytes(self) -> tuple[bytes, bool]:
        buffer = self._buffer
        end = buffer.find(self._delimiter)
        if end >= 0:
            self._in_file = False
            self._used = 0
            self._advance(end + len(self._delimiter), "boundary")
            return buffer[:end], True
        # What is left could be the beginning of a boundary.
        keep = buffer.rfind(b"\r", max(0, len(buffer) - len(self._delimiter) + 1))
        if keep < 0:
            self._buffer = b""
            return buffer, False
        self._buffer = buffer[keep:]
        return buffer[:keep], False

    def _advance(self, count: int, state: str) -> None:
        self._buffer = self._buffer[count:]
        self._state = state

    def _begin_part(self, head: bytes) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise self._too_much()
        disposition = None
        seen = set()
        for line in _text(head).split("\r\n"):
            found = _HEADER.fullmatch(line)
            if found is None or found[1].lower() in seen or "\n" in line or "\r" in line:
                raise malformed()
            name, value = found[1].lower(), found[2]
            seen.add(name)
            if name == "content-disposition":
                disposition = value
            elif name == "content-transfer-encoding" and value.lower() not in _PLAIN_CODINGS:
                raise malformed()
        kind, semicolon, rest = (disposition or "").partition(";")
        if kind.strip(" \t").lower() != "form-data":
            raise malformed()
        parameters = _parameters(semicolon + rest)
        # RFC 7578 section 4.2 forbids filename*: two names of one file would be two readers' choice.
        if "name" not in parameters or "filename*" in parameters or "name*" in parameters:
            raise malformed()
        self._name = parameters["name"]
        if self.at_file:
            return
        if self._name.lower() == "file":
            self.at_file = self._in_file = True
            self.filename = parameters.get("filename", "")
        else:
            self._used += len(self._name.encode("utf-8"))

    def _too_much(self) -> Refusal:
        if self.at_file:
            return malformed()
        return Refusal(
            "MaxPostPreDataLengthExceededError",
            400,
            "Your POST request fields preceding the upload file were too large.",
            {"MaxPostPreDataLengthBytes": str(MAX_FIELDS_SIZE)},
        )


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise malformed() from error
