"""S3's XML: documents out, small documents in."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Union

from .refusals import malformed_xml

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

Child = Union[str, "Element", Iterable["Element"], None]
Element = tuple[str, Child]
"""An element is ``(name, child)``; the child is text, elements or None (``<Name/>``)."""

# XML 1.0 cannot carry most control characters at all. S3 writes them as character references nevertheless
# (which is why encoding-type=url exists), and a carriage return must be a reference or a parser turns it
# into a line feed.
_SPECIAL = re.compile('[&<>"\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]')
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def escape(text: str) -> str:
    return _SPECIAL.sub(lambda found: _NAMED.get(found[0]) or f"&#x{ord(found[0]):x};", text)


def _write(out: list[str], name: str, child: Child) -> None:
    if child is None or child == "":
        out.append(f"<{name}/>")
    elif isinstance(child, str):
        out.append(f"<{name}>{escape(child)}</{name}>")
    else:
        out.append(f"<{name}>")
        # A tuple is one element, anything else a series of them.
        for inner, value in [child] if isinstance(child, tuple) else child:
            _write(out, inner, value)
        out.append(f"</{name}>")


def document(root: str, children: Child, namespace: str | None = NAMESPACE) -> bytes:
    """A whole document, in S3's namespace unless told otherwise."""
    out: list[str] = []
    _write(out, root, children)
    text = "".join(out)
    if namespace is not None:
        # It goes on the root only; its start tag is the first thing written.
        text = text.replace(f"<{root}", f'<{root} xmlns="{namespace}"', 1)
    return (DECLARATION + text).encode("utf-8")


def error_document(
    code: str, message: str, extra: Mapping[str, str], resource: str, request_id: str, host_id: str
) -> bytes:
    """S3's error document. It has no namespace, as on the real service."""
    children: list[Element] = [("Code", code), ("Message", message)]
    children.extend(extra.items())
    if (
        "Resource" not in extra
        and not {"Key", "BucketName"} & extra.keys()
        and code != "SignatureDoesNotMatch"
    ):
        children.append(("Resource", resource))
    children += [("RequestId", request_id), ("HostId", host_id)]
    out = [DECLARATION]
    _write(out, "Error", children)
    return "".join(out).encode("utf-8")


def timestamp(epoch: float) -> str:
    """ISO 8601 with milliseconds, as S3 writes times in documents."""
    moment = datetime.fromtimestamp(int(epoch), timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


class Node:
    """A parsed element whose namespace is ignored."""

    def __init__(self, element: ElementTree.Element) -> None:
        self._element = element

    @property
    def name(self) -> str:
        return self._element.tag.rpartition("}")[2]

    @property
    def text(self) -> str:
        return self._element.text or ""

    def children(self, name: str | None = None) -> list[Node]:
        nodes = [Node(element) for element in self._element]
        return nodes if name is None else [node for node in nodes if node.name == name]

    def get(self, name: str) -> str | None:
        """The text of the only child of that name; None if there is none. Two of them are refused."""
        found = self.children(name)
        if len(found) > 1:
            raise malformed_xml()
        return found[0].text if found else None


def parse(body: bytes, root: str) -> Node:
    """Parse a request document; refuses (MalformedXML) what is broken, has another root or a document
    type."""
    # A document type is never needed and is where entity expansion attacks live.
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise malformed_xml()
    try:
        node = Node(ElementTree.fromstring(body))  # noqa: S314  no document type gets here
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise malformed_xml() from error
    if node.name != root:
        raise malformed_xml()
    return node
