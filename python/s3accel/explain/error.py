"""What S3 answered, from whatever form it is at hand in: XML, a log, a dict, an exception, a response."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from xml.parsers import expat

from ..clock import http_date_of
from ..errors import ConfigError
from .model import octets

#: An error body is a few KiB; a log around it may be larger.
MAX_BYTES = 4 << 20
#: How far before <Error> a document type is looked for; what stands before that is the rest of a log.
_PROLOG = 1024
_ERROR = re.compile(r"<Error[\s>]")
_ELEMENT = re.compile(r"<([A-Za-z][\w.-]*)>([^<]*)</\1>")
_STATUS = re.compile(r"^(?:< )?HTTP/[0-9.]+ ([0-9]{3})", re.MULTILINE)
_HEADER = re.compile(r"(?im)^(?:< )?(date|x-amz-bucket-region):[ \t]*([^\r\n]+)")


@dataclass(frozen=True)
class Refusal:
    """S3's refusal. ``fields`` are the further elements of its body by name."""

    code: str = ""
    status: int = 0
    message: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    date: str = ""

    def _bytes(self, name: str) -> bytes | None:
        """An element that also comes as hex digits, which survive what XML readers do to white space."""
        digits = self.fields.get(f"{name}Bytes", "")
        try:
            if digits.strip():
                return bytes.fromhex(digits)
        except ValueError:
            pass
        text = self.fields.get(name)
        return octets(text) if text else None

    @property
    def canonical(self) -> bytes | None:
        return self._bytes("CanonicalRequest")

    @property
    def to_sign(self) -> bytes | None:
        return self._bytes("StringToSign")

    @property
    def signature(self) -> str:
        return self.fields.get("SignatureProvided", "").strip()

    def __repr__(self) -> str:
        return f"<Refusal {self.status} {self.code}>"


def refusal_of(error: Any) -> Refusal:
    """Reads an error.

    Args:
        error: XML or a log that holds it (text or bytes, a raw HTTP response too), a dict of elements or
            botocore's parsed response, an exception of s3accel or botocore, or a response object.

    Raises:
        ConfigError: nothing of that kind, or XML with a document type.
    """
    if isinstance(error, Refusal):
        return error
    if isinstance(error, (bytes, bytearray, memoryview)):
        return _from_text(bytes(error).decode("utf-8", "surrogateescape"))
    if isinstance(error, str):
        return _from_text(error)
    if isinstance(error, Mapping):
        return _from_mapping(error)
    if isinstance(error, BaseException):
        return _from_exception(error)
    body = getattr(error, "body", None)
    if not isinstance(body, (bytes, str)):
        body = getattr(error, "content", None)
    status = getattr(error, "status", None)
    status = status if isinstance(status, int) else getattr(error, "status_code", None)
    if isinstance(status, int):
        parsed = refusal_of(body) if isinstance(body, (bytes, str)) and body.strip() else Refusal()
        headers = _lower_headers(getattr(error, "headers", None))
        return _with(parsed, status, headers)
    raise ConfigError(
        f"cannot read an S3 error from {type(error).__name__}; give the error's XML, a dict of its elements, "
        "the exception, or the response"
    )


def _lower_headers(headers: Any) -> dict[str, str]:
    if headers is None:
        return {}
    items = headers.items() if hasattr(headers, "items") else headers
    return {str(name).lower(): str(value) for name, value in items}


def _with(refusal: Refusal, status: int, headers: Mapping[str, str]) -> Refusal:
    fields = dict(refusal.fields)
    if "x-amz-bucket-region" in headers:
        fields.setdefault("Region", headers["x-amz-bucket-region"])
    return Refusal(
        refusal.code, status or refusal.status, refusal.message, fields, headers.get("date") or refusal.date
    )


def _status(value: Any) -> int:
    """An HTTP status from a log or a caller's object; 0 for what is none."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,3}", value):
        return int(value)
    return value if isinstance(value, int) and 0 < value < 1000 else 0


def _from_mapping(error: Mapping[Any, Any]) -> Refusal:
    inner = error.get("Error")
    if isinstance(inner, Mapping):
        metadata = error.get("ResponseMetadata")
        metadata = metadata if isinstance(metadata, Mapping) else {}
        return _with(
            _from_mapping(inner),
            _status(metadata.get("HTTPStatusCode")),
            _lower_headers(metadata.get("HTTPHeaders")),
        )
    fields = {str(name): str(value) for name, value in error.items() if isinstance(value, (str, int))}
    status = fields.pop("Status", fields.pop("HTTPStatusCode", "0"))
    return Refusal(
        fields.pop("Code", ""),
        _status(status),
        fields.pop("Message", ""),
        fields,
        fields.get("Date", ""),
    )


def _from_exception(error: BaseException) -> Refusal:
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            break
        response = getattr(seen, "response", None)
        if isinstance(response, Mapping):  # botocore's ClientError
            return _from_mapping(response)
        code, extra = getattr(seen, "code", None), getattr(seen, "extra", None)
        if isinstance(code, str) and isinstance(extra, Mapping):
            fields = {str(name): str(value) for name, value in extra.items()}
            status, message = getattr(seen, "status", 0), getattr(seen, "message", "")
            return Refusal(code, _status(status), str(message), fields, fields.get("Date", ""))
        seen = seen.__cause__
    raise ConfigError(
        f"{type(error).__name__} is not an answer of S3; explain S3Error, VerificationError or botocore's ClientError"
    )


def _from_text(text: str) -> Refusal:
    if len(text) > MAX_BYTES:
        raise ConfigError(
            f"{len(text)} characters are no S3 error; at most {MAX_BYTES} are read: cut the log"
        )
    found = _ERROR.search(text)
    # A log may begin with "100 Continue" or a redirect: the answer is the last one.
    status = next(reversed([*_STATUS.finditer(text)]), None)
    headers = {name.lower(): value.strip() for name, value in _HEADER.findall(text)}
    end = text.find("</Error>", found.end()) if found is not None else -1
    if found is None or end < 0:
        if status is None and text.strip():
            raise ConfigError("there is no S3 error (<Error>...</Error>) in this text")
        return _with(Refusal(), int(status[1]) if status else 0, headers)
    xml = text[found.start() : end + len("</Error>")]
    prolog = text[max(0, found.start() - _PROLOG) : found.start()].rpartition("<?xml")[2]
    if "<!DOCTYPE" in prolog.upper() or "<!" in xml:
        raise ConfigError("the error body has a document type, which S3 never sends; it is not read")
    if "\\n" in xml and "\n" not in xml[xml.find("<StringToSign>") : xml.find("</StringToSign>")]:
        # A log with the repr of the body: b'<Error>...\n...'.
        xml = xml.encode("latin-1", "backslashreplace").decode("unicode_escape")
        xml = xml.encode("latin-1", "replace").decode("utf-8", "surrogateescape")
    fields = _elements(xml)
    refusal = Refusal(fields.pop("Code", ""), 0, fields.pop("Message", ""), fields)
    return _with(refusal, int(status[1]) if status else 0, headers)


def _elements(xml: str) -> dict[str, str]:
    """The children of <Error> that hold only text."""
    out: dict[str, str] = {}
    stack: list[str] = []
    text: list[str] = []

    def start(name: str, _: object) -> None:
        stack.append(name.rpartition(":")[2])
        text.clear()

    def end(_: str) -> None:
        name = stack.pop()
        if len(stack) == 1:
            out.setdefault(name, "".join(text))

    def doctype(*_: object) -> None:
        raise ConfigError("the error body has a document type, which S3 never sends; it is not read")

    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text.append
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(xml.encode("utf-8", "replace"), True)
    except expat.ExpatError:
        # S3 writes control characters of keys as references that XML 1.0 forbids; a log may have cut lines.
        out.clear()
        for name, value in _ELEMENT.findall(xml):
            out.setdefault(name, html.unescape(value))
    return out


def epoch_of(text: str) -> float | None:
    """Seconds since 1970 of any of the forms S3 and HTTP write times in; None if it is none of them."""
    text = text.strip()
    for form in ("%Y%m%dT%H%M%SZ", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=timezone.utc).timestamp()
        except ValueError:
            continue
    return http_date_of(text)
