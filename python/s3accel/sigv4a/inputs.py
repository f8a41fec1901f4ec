"""What `SignerV4a` takes beside what the core judges for both schemes (`_core.signing_input`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .. import _core
from ..errors import ConfigError
from .streaming import EMPTY_HASH

__all__ = ["S3_SERVICES", "Headers", "payload_hash", "region_set_of"]

Headers = Mapping[str, Any] | Iterable[tuple[str, Any]] | None

#: Services whose path is signed decoded and encoded again; for all others it is normalized and encoded once more.
S3_SERVICES = frozenset({"s3", "s3express", "s3-outposts", "s3-object-lambda"})

_REGION = re.compile(r"[a-z0-9*-]{1,64}")


def region_set_of(regions: str | Iterable[str]) -> str:
    """The text of ``X-Amz-Region-Set``: names joined by commas; ``*`` stands for any part of a name.

    Raises:
        ConfigError: no region, or one that cannot be a region's name.
    """
    names = regions.split(",") if isinstance(regions, str) else list(regions)
    for name in names:
        if not isinstance(name, str) or not _REGION.fullmatch(name):
            raise ConfigError(
                f"{name!r} is no region of a region set; write names like us-east-1, us-west-* or * without spaces"
            )
    if not names:
        raise ConfigError("a region set needs at least one region; * stands for all")
    return ",".join(names)


def payload_hash(payload: Any) -> str:
    """The text that stands for a payload in the canonical request."""
    if payload is None:
        return EMPTY_HASH
    return payload if isinstance(payload, str) else _core.sha256(payload).hex()
