"""Reading the JSON files of ``tests/vectors`` and turning their inputs into bytes."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
REPOSITORY = VECTORS.parent.parent


@functools.cache
def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def third_party(name: str) -> tuple[dict[str, Any] | None, str]:
    """A file of another project's data, which is not copied into this one: its content, or why it is absent.

    Looked for in the folder named by S3ACCEL_THIRD_PARTY_VECTORS, then in ``shared/vectors/third-party``
    beside the repository.
    """
    named = os.environ.get("S3ACCEL_THIRD_PARTY_VECTORS")
    folders = ([Path(named)] if named else []) + [REPOSITORY.parent / "shared" / "vectors" / "third-party"]
    for folder in folders:
        path = folder / f"{name}.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8")), ""
    return None, f"{name}.json is not here: set S3ACCEL_THIRD_PARTY_VECTORS to the folder that holds it"


PATTERN = "byte i = i mod 251"


def data_of(spec: dict[str, Any]) -> bytes:
    """The bytes a vector describes: as UTF-8, as hex, as repeated bytes or as the counting pattern."""
    if "utf8" in spec:
        return bytes(spec["utf8"].encode("utf-8"))
    if "hex" in spec:
        return bytes.fromhex(spec["hex"])
    if "repeat_hex" in spec:
        return bytes.fromhex(spec["repeat_hex"]) * int(spec["count"])
    if "repeat" in spec:
        return bytes(spec["repeat"].encode()) * int(spec["count"])
    if spec.get("pattern") == PATTERN:
        count = int(spec["count"])
        return (bytes(range(251)) * (count // 251 + 1))[:count]
    raise ValueError(f"unknown input: {sorted(spec)}")


def slug(text: str, limit: int = 60) -> str:
    """A test id: what pytest can select by, from a sentence."""
    kept = "".join(c if c.isalnum() or c in "-_.=&%+~" else "-" for c in text)
    return kept.strip("-")[:limit] or "empty"
