"""Presigned S3 requests that botocore would sign with Signature Version 2: Version 4 instead.

botocore presigns with Version 2 in old regions unless told otherwise. S3 takes Version 4 everywhere, signs
conditions and `Range` with it, and new regions and encryption need it.
"""

from __future__ import annotations

import logging
from typing import Any

import botocore.auth as _auth

from ._botocore_auth import S3V4Post, S3V4Query
from ._botocore_state import count

__all__ = ["PostInsteadOfV2", "QueryInsteadOfV2"]

logger = logging.getLogger("s3accel.adapters.botocore")
_warned = False


def _meant(request: Any) -> bool:
    """True if the client was configured for Version 2: that is not a fallback, and stays.

    The endpoint rules name Version 4, and botocore notes that; a configured version that the rules do not name
    makes it note nothing (`EndpointRulesetResolver.auth_schemes_to_signing_ctx`).
    """
    return not str(request.context.get("auth_type") or "").startswith("v4")


def _warn() -> None:
    global _warned
    count("instead_of_v2")
    if not _warned:
        _warned = True
        # A log line and no Python warning: those can be made errors, and nobody's presigning may break here.
        logger.warning(
            "botocore would have presigned with Signature Version 2; s3accel presigns with Version 4. Give the "
            "client Config(signature_version='s3v4') to say so yourself. (Said once.)"
        )


class QueryInsteadOfV2(S3V4Query):
    """Stands for `HmacV1QueryAuth`."""

    def add_auth(self, request: Any) -> Any:
        if _meant(request):
            return _auth.HmacV1QueryAuth(self.credentials, expires=self._expires).add_auth(request)
        _warn()
        return super().add_auth(request)


class PostInsteadOfV2(S3V4Post):
    """Stands for `HmacV1PostAuth`."""

    def add_auth(self, request: Any) -> Any:
        if _meant(request):
            return _auth.HmacV1PostAuth(self.credentials).add_auth(request)
        _warn()
        return super().add_auth(request)
