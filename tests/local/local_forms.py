"""Forms as a browser sends them, and their corrupted twins."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

from local_wire import Answer, Wire

BOUNDARY = "----WebKitFormBoundaryAbc123"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def encode_form(
    fields: Iterable[tuple[str, str]], file: bytes | None, filename: str = "cat.png", after: bytes = b""
) -> bytes:
    """The body of a form: fields, then the file, then what a page may have below it."""
    out = []
    for name, value in fields:
        out.append(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        )
    if file is not None:
        out.append(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
            "Content-Type: image/png\r\n\r\n".encode()
        )
        out.append(file + b"\r\n")
    return b"".join([*out, after, f"--{BOUNDARY}--\r\n".encode()])


def post(
    wire: Wire,
    path: str,
    fields: Mapping[str, str] | Iterable[tuple[str, str]],
    file: bytes | None = b"the file",
    *,
    host: str | None = None,
    filename: str = "cat.png",
    after: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send a form without any header that signs it."""
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    body = encode_form(pairs, file, filename, after)
    whole = {
        "Host": host or wire.server.address,
        "Content-Type": CONTENT_TYPE,
        "Content-Length": str(len(body)),
        **(headers or {}),
    }
    return wire.raw("POST", path, whole, body, host=host)


def changed_policy(fields: Mapping[str, str], **changes: Any) -> dict[str, str]:
    """The form with another policy under the old signature."""
    document = json.loads(base64.b64decode(fields["policy"]))
    document.update(changes)
    return {**fields, "policy": base64.b64encode(json.dumps(document).encode()).decode()}
