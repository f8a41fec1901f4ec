"""minio-py's signatures by the core: `install_minio` puts them in, `uninstall_minio` takes them out again."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import SplitResult

from .. import _core
from .._core import SigningKey, uri_encode

try:
    from minio import signer as _signer
except ImportError as error:
    raise ImportError("s3accel.adapters.minio needs minio: pip install minio") from error

__all__ = ["install_minio", "uninstall_minio"]

#: What minio-py leaves out of a signature.
_NOT_SIGNED = ("authorization", "user-agent")
#: Keys of one day that one set of credentials keeps: regions and services that a process talks to.
_KEPT_KEYS = 16

_lock = threading.Lock()
_replaced: list[tuple[Any, Any]] = []  # minio's function and ours
# The derived keys live as long as minio's credentials do; the secret is not kept a second time.
_keys: weakref.WeakKeyDictionary[Any, dict[tuple[str, str, str], SigningKey]] = weakref.WeakKeyDictionary()


def install_minio() -> None:
    """Makes minio-py (7.x) sign with the core, in this process. Calling it again changes nothing.

    Replaced are ``sign_v4_s3``, ``sign_v4_sts``, ``presign_v4`` and ``post_presign_v4`` of ``minio.signer``, and
    the same functions wherever minio's own modules have imported them. The signatures are minio's, byte for
    byte. minio-py sends bodies unsigned over TLS and hashed over plain HTTP; that stays as it is.
    """
    with _lock:
        if _replaced:
            return
        ours = {
            "sign_v4_s3": _sign_v4_s3,
            "sign_v4_sts": _sign_v4_sts,
            "presign_v4": _presign_v4,
            "post_presign_v4": _post_presign_v4,
        }
        for name, new in ours.items():
            old = getattr(_signer, name, None)
            if old is not None:
                _swap(old, new)
                _replaced.append((old, new))


def uninstall_minio() -> None:
    """Puts back exactly what `install_minio` replaced; what somebody else replaced meanwhile stays."""
    with _lock:
        for old, new in _replaced:
            _swap(new, old)
        _replaced.clear()
        _keys.clear()


def _swap(old: Any, new: Any) -> None:
    """Replaces a function in every module of minio, those included that were imported after installing."""
    for name, module in list(sys.modules.items()):
        if name == "minio" or name.startswith("minio."):
            for attribute, value in list(vars(module).items()):
                if value is old:
                    setattr(module, attribute, new)


def _key(credentials: Any, date: str, region: str, service: str) -> SigningKey:
    with _lock:
        keys = _keys.setdefault(credentials, {})
        key = keys.get((date, region, service))
        if key is None:
            if len(keys) >= _KEPT_KEYS:
                keys.clear()
            key = SigningKey.derive(credentials.secret_key, date, region, service)
            keys[date, region, service] = key
        return key


def _sign(
    service: str,
    method: str,
    url: SplitResult,
    region: str,
    headers: Any,
    credentials: Any,
    content_sha256: str,
    date: datetime,
) -> Any:
    timestamp = date.strftime("%Y%m%dT%H%M%SZ")
    key = _key(credentials, timestamp[:8], region, service)
    pairs = [
        (name, each)
        for name, value in headers.items()
        if name.lower() not in _NOT_SIGNED
        for each in (value if isinstance(value, (list, tuple)) else (value,))
    ]
    canonical, signed = _canonical(method, url.path, url.query, pairs, content_sha256)
    signature = key.sign(_core.string_to_sign(timestamp, key.scope, canonical))
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{key.scope}, "
        f"SignedHeaders={signed}, Signature={signature}"
    )
    return headers


def _canonical(
    method: str, path: str, query: str, headers: list[tuple[str, Any]], payload: str
) -> tuple[bytes, str]:
    target = (path or "/") + (f"?{query}" if query else "")
    names = sorted({name.lower() for name, _ in headers})
    return _core.canonical_request(method, target, headers, payload, select=names)


def _sign_v4_s3(
    *,
    method: str,
    url: SplitResult,
    region: str,
    headers: Mapping[str, Any],
    credentials: Any,
    content_sha256: str,
    date: datetime,
) -> Any:
    return _sign("s3", method, url, region, headers, credentials, content_sha256, date)


def _sign_v4_sts(
    *,
    method: str,
    url: SplitResult,
    region: str,
    headers: Mapping[str, Any],
    credentials: Any,
    content_sha256: str,
    date: datetime,
) -> Any:
    return _sign("sts", method, url, region, headers, credentials, content_sha256, date)


def _presign_v4(
    *,
    method: str,
    url: SplitResult,
    region: str,
    credentials: Any,
    date: datetime,
    expires: int,
) -> SplitResult:
    timestamp = date.strftime("%Y%m%dT%H%M%SZ")
    key = _key(credentials, timestamp[:8], region, "s3")
    query = (
        (f"{url.query}&" if url.query else "")
        + "X-Amz-Algorithm=AWS4-HMAC-SHA256"
        + f"&X-Amz-Credential={uri_encode(f'{credentials.access_key}/{key.scope}')}"
        + f"&X-Amz-Date={timestamp}&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host"
    )
    canonical, _ = _canonical(method, url.path, query, [("host", url.netloc)], "UNSIGNED-PAYLOAD")
    signature = key.sign(_core.string_to_sign(timestamp, key.scope, canonical))
    return url._replace(query=f"{query}&X-Amz-Signature={signature}")


def _post_presign_v4(data: str, secret_key: str, date: datetime, region: str) -> str:
    # minio gives no credentials here, only the secret: there is nothing to keep a key with.
    return SigningKey.derive(secret_key, date.strftime("%Y%m%d"), region, "s3").sign(data)
