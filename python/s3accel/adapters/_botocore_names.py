"""Which class of ours stands for which of botocore's."""

from __future__ import annotations

from typing import Any

import botocore.auth as _auth

from . import _botocore_auth as native
from ._botocore_v2 import PostInsteadOfV2, QueryInsteadOfV2

__all__ = ["replacement_for", "replacements"]

_PURE: dict[Any, type] = {
    _auth.SigV4Auth: native.V4,
    _auth.S3SigV4Auth: native.S3V4,
    _auth.SigV4QueryAuth: native.V4Query,
    _auth.S3SigV4QueryAuth: native.S3V4Query,
    _auth.S3SigV4PostAuth: native.S3V4Post,
    _auth.S3ExpressAuth: native.Express,
    _auth.S3ExpressQueryAuth: native.ExpressQuery,
    _auth.S3ExpressPostAuth: native.ExpressPost,
    _auth.HmacV1QueryAuth: QueryInsteadOfV2,
    _auth.HmacV1PostAuth: PostInsteadOfV2,
}
# The classes that botocore uses if awscrt is there. CrtSigV4AsymAuth and its kind stay: they do SigV4a.
_CRT: dict[str, type] = {
    "CrtSigV4Auth": native.V4,
    "CrtS3SigV4Auth": native.S3V4,
    "CrtSigV4QueryAuth": native.V4Query,
    "CrtS3SigV4QueryAuth": native.S3V4Query,
}


def replacement_for(cls: Any) -> type | None:
    """Our class for one of botocore's, or None; for a subclass of one, which is somebody else's, None too."""
    found = _PURE.get(cls)
    if found is None and getattr(cls, "__module__", "") == "botocore.crt.auth":
        found = _CRT.get(cls.__name__)
    return found


def replacements(names: dict[str, Any]) -> dict[str, type]:
    """The entries of ``AUTH_TYPE_MAPS`` that we replace."""
    found = {name: replacement_for(cls) for name, cls in names.items()}
    return {name: cls for name, cls in found.items() if cls is not None}
