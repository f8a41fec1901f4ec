"""SigV4a for botocore without awscrt: Multi-Region Access Points and the few services that want it.

botocore knows SigV4a only through awscrt. These classes are its own Version 4 classes with the words of SigV4a:
another algorithm, no region in the scope, and the regions in a header or parameter.

Source: IAM User Guide, "Create a signed AWS API request"; botocore, crt/auth.py.
"""

from __future__ import annotations

import os
import re
import threading
from typing import Any

import botocore.auth as _auth

from .. import _core
from ..credentials import Credentials
from ..errors import ConfigError
from ..signer import uri_encode
from ..sigv4a import ALGORITHM, SigningKeyV4a
from ..sigv4a.inputs import region_set_of

__all__ = ["CLASSES", "forget"]

_REGION_SET = "X-Amz-Region-Set"
_lock = threading.Lock()
_random = os.urandom(32)
_keys: dict[bytes, SigningKeyV4a] = {}
MAX_KEYS = 16


def _key(credentials: Any) -> SigningKeyV4a:
    """The key of these credentials, found by a keyed hash of the secret: deriving one takes as long as signing."""
    who = f"{credentials.access_key}\n{credentials.secret_key}".encode()
    tag = _core.hmac_sha256(_random, who)
    with _lock:
        key = _keys.get(tag)
        if key is None:
            known = Credentials(credentials.access_key, credentials.secret_key)
            key = SigningKeyV4a.derive(known.access_key_id, known.secret_access_key)
            if len(_keys) >= MAX_KEYS:
                _keys.clear()
            _keys[tag] = key
        return key


def forget() -> None:
    """Drops the keys, which unlike those of Version 4 do not end with the day."""
    with _lock:
        _keys.clear()


def _after_fork() -> None:
    global _lock, _random
    _lock, _random = threading.Lock(), os.urandom(32)
    _keys.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _V4a:
    """The words that differ from Version 4; botocore's class stands behind it."""

    credentials: Any
    _service_name: str
    _region_name: str

    def credential_scope(self, request: Any) -> str:
        if not re.fullmatch(r"[a-z0-9-]{1,64}", self._service_name):
            raise ConfigError(f"{self._service_name!r} is no service name")
        return f"{request.context['timestamp'][0:8]}/{self._service_name}/aws4_request"

    def scope(self, request: Any) -> str:
        return f"{self.credentials.access_key}/{self.credential_scope(request)}"

    def string_to_sign(self, request: Any, canonical_request: str) -> str:
        digest = _core.sha256(canonical_request.encode("utf-8")).hex()
        return "\n".join((ALGORITHM, request.context["timestamp"], self.credential_scope(request), digest))

    def signature(self, string_to_sign: str, request: Any) -> str:
        return _key(self.credentials).sign(string_to_sign.encode("utf-8"))


class _Header(_V4a):
    def _modify_request_before_signing(self, request: Any) -> None:
        super()._modify_request_before_signing(request)  # type: ignore[misc]
        del request.headers[_REGION_SET]
        request.headers[_REGION_SET] = region_set_of(self._region_name)

    def _inject_signature_to_request(self, request: Any, signature: str) -> Any:
        super()._inject_signature_to_request(request, signature)  # type: ignore[misc]
        value = request.headers["Authorization"].replace("AWS4-HMAC-SHA256", ALGORITHM, 1)
        del request.headers["Authorization"]
        request.headers["Authorization"] = value
        return request


class V4a(_Header, _auth.SigV4Auth):  # type: ignore[misc]
    """Any service."""


class S3V4a(_Header, _auth.S3SigV4Auth):  # type: ignore[misc]
    """S3."""


class S3V4aQuery(_V4a, _auth.S3SigV4QueryAuth):  # type: ignore[misc]
    """Presigned S3 URLs."""

    def _modify_request_before_signing(self, request: Any) -> None:
        super()._modify_request_before_signing(request)
        request.url = request.url.replace(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256",
            f"X-Amz-Algorithm={ALGORITHM}&{_REGION_SET}={uri_encode(self._region_name)}",
            1,
        )


#: By the names under which awscrt's classes would be in ``AUTH_TYPE_MAPS``.
CLASSES: dict[str, type] = {"v4a": V4a, "s3v4a": S3V4a, "s3v4a-query": S3V4aQuery}
