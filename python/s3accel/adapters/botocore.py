"""boto3, botocore, aiobotocore and what stands on them, signed by the core.

    import s3accel
    s3accel.install()

From then on every client of the process, made before or after, signs natively, sends bodies without copying
them over and over, and presigns with Version 4. `uninstall` puts back exactly what stood there. To change one
client only, use `attach`.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal

try:
    import botocore.auth as _auth
    import botocore.awsrequest
    import botocore.exceptions
    import botocore.httpchecksum as _http
except ImportError as error:
    raise ImportError("s3accel.install() needs botocore: pip install 's3accel[boto]' (or boto3)") from error

from ..errors import ConfigError
from . import _botocore_presign as presign
from ._botocore_attach import Attachment
from ._botocore_attach import attach as _attach
from ._botocore_body import CHECKSUMS, ChunkedBody
from ._botocore_names import replacements
from ._botocore_notes import annotate
from ._botocore_send import sending
from ._botocore_state import core, counts, settings
from ._botocore_stream import header_checksum

__all__ = ["Attachment", "Installation", "attach", "install", "installed", "stats", "uninstall"]

Payload = Literal["signed-chunks"] | None

_ABSENT: Any = object()
_lock = threading.RLock()
_undo: list[Callable[[], None]] = []
_installations: list[Installation] = []


class Installation:
    """What `install` gives: a context manager whose end takes this installation back."""

    def __init__(self, check: float, payload: Payload) -> None:
        self._check = check
        self._payload = payload

    def uninstall(self) -> None:
        """Takes this installation back; with it the last, botocore is what it was."""
        with _lock:
            if self in _installations:
                _installations.remove(self)
                _apply()

    def __enter__(self) -> Installation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.uninstall()

    def __repr__(self) -> str:
        state = "active" if self in _installations else "taken back"
        return f"<s3accel in botocore, {state}, check={self._check}, payload={self._payload!r}>"


def install(*, check: float = 0.0, payload: Payload = None) -> Installation:
    """Signs everything botocore sends in this process.

    Args:
        check: the share of requests, 0 to 1, that botocore's own code signs too. At the first difference
            botocore's signers are put back, the difference is logged without secrets, and botocore's
            signature is sent.
        payload: ``"signed-chunks"`` sends the bodies of PutObject and UploadPart as signed chunks
            (``STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER``) with an exact Content-Length; None leaves botocore's
            own choice (an unsigned trailer over HTTPS).

    Returns:
        An `Installation`, which is a context manager. Installing again changes the options until that is
        taken back.

    Raises:
        ConfigError: an argument is out of range.

    If the `cryptography` package is there and awscrt is not, botocore learns SigV4a too (Multi-Region Access
    Points). Only botocore's own signer classes are replaced: one that somebody else put into
    ``botocore.auth.AUTH_TYPE_MAPS`` stays, and subclasses of botocore's signers sign as before.
    """
    if not 0.0 <= check <= 1.0:
        raise ConfigError(f"check is the share of requests to compare, 0 to 1, not {check!r}")
    if payload not in (None, "signed-chunks"):
        raise ConfigError(f"payload is None or 'signed-chunks', not {payload!r}")
    with _lock:
        installation = Installation(check, payload)
        _installations.append(installation)
        _apply()
        return installation


def uninstall() -> None:
    """Takes every installation back. What somebody else has put on top of ours meanwhile stays."""
    with _lock:
        _installations.clear()
        _apply()


def installed() -> bool:
    """True if botocore signs natively in this process."""
    return bool(_undo)


def attach(client_or_session: Any, *, payload: Payload = None) -> Attachment:
    """Signs natively for one client, or for the clients that one session makes from now on.

    Args:
        client_or_session: a client of boto3, botocore or aiobotocore, a boto3 resource's ``meta.client``, or a
            session of any of the three.
        payload: as for `install`.

    Returns:
        An `Attachment` with ``detach()``, which is a context manager.

    Raises:
        ConfigError: it is neither client nor session, or payload is unknown.
    """
    if payload not in (None, "signed-chunks"):
        raise ConfigError(f"payload is None or 'signed-chunks', not {payload!r}")
    return _attach(client_or_session, payload == "signed-chunks")


def stats() -> dict[str, Any]:
    """What was done since the process began.

    Returns:
        ``signed`` and ``presigned`` requests and POST ``policies``; ``by_botocore``: requests that botocore's
        own code signed because something was not as the core knows it; ``streams``: bodies sent as signed
        chunks; ``checked``, ``different`` and ``unchecked`` of the proof mode; ``instead_of_v2``: presigned with
        Version 4 in place of 2; ``templates``: presigned from a cached request; ``explained`` refusals; ``keys``:
        signing keys held now; ``installed``.
    """
    signed, presigned, keys = core.counts()
    seldom = dict.fromkeys(
        (
            "policies",
            "by_botocore",
            "streams",
            "checked",
            "different",
            "unchecked",
            "instead_of_v2",
            "templates",
            "explained",
        ),
        0,
    )
    return {
        "installed": installed(),
        "signed": signed,
        "presigned": presigned,
        "keys": keys,
        **seldom,
        **counts(),
    }


# --- putting in and taking out ------------------------------------------------------------------------------


def _apply() -> None:
    """Makes botocore be what the list of installations says. The caller holds the lock."""
    last = _installations[-1] if _installations else None
    settings.check = last._check if last is not None else 0.0
    settings.signed_chunks = last is not None and last._payload == "signed-chunks"
    settings.on_difference = uninstall
    settings.generation += 1
    if last is not None and not _undo:
        _put_in()
    elif last is None and _undo:
        while _undo:
            _undo.pop()()
        core.clear(presign.random_key())


def _put_in() -> None:
    for name, cls in replacements(_auth.AUTH_TYPE_MAPS).items():
        _set_item(_auth.AUTH_TYPE_MAPS, name, cls)
    for name, cls in _sigv4a().items():
        if name not in _auth.AUTH_TYPE_MAPS:
            _set_item(_auth.AUTH_TYPE_MAPS, name, cls)
    for name, checksum in CHECKSUMS.items():
        known = _http._CHECKSUM_CLS.get(name)
        if known is None or known.__module__ == _http.__name__:
            _set_item(_http._CHECKSUM_CLS, name, checksum)
            if name not in _http._SUPPORTED_CHECKSUM_ALGORITHMS:
                _append(_http._SUPPORTED_CHECKSUM_ALGORITHMS, name)
    _set_attribute(_http, "AwsChunkedWrapper", ChunkedBody)
    _set_attribute(
        _http, "_apply_request_header_checksum", header_checksum(_http._apply_request_header_checksum)
    )
    connection = botocore.awsrequest.AWSConnection
    _set_attribute(connection, "request", sending(connection.request))
    _undo.append(presign.put_in())
    _set_attribute(
        botocore.exceptions.ClientError, "__init__", _noting(botocore.exceptions.ClientError.__init__)
    )


def _sigv4a() -> dict[str, type]:
    """The classes for SigV4a if the package for ECDSA is there. A new name in botocore's map changes what it
    chooses, so none is added that could not be kept."""
    if importlib.util.find_spec("cryptography") is None:
        return {}
    from . import _botocore_v4a as v4a

    _undo.append(v4a.forget)
    return v4a.CLASSES


def _noting(original: Any) -> Any:
    def __init__(self: Any, error_response: Any, operation_name: Any) -> None:  # noqa: N807
        original(self, error_response, operation_name)
        annotate(self)

    return __init__


def _set_item(mapping: dict[str, Any], key: str, value: Any) -> None:
    before = mapping.get(key, _ABSENT)

    def undo() -> None:
        if mapping.get(key) is not value:
            return  # somebody put another one there: it is not ours to take away
        if before is _ABSENT:
            del mapping[key]
        else:
            mapping[key] = before

    mapping[key] = value
    _undo.append(undo)


def _append(names: list[str], name: str) -> None:
    names.append(name)
    _undo.append(lambda: names.remove(name) if name in names else None)


def _set_attribute(owner: Any, name: str, value: Any) -> None:
    before = owner.__dict__[name]

    def undo() -> None:
        if owner.__dict__.get(name) is value:
            setattr(owner, name, before)

    setattr(owner, name, value)
    _undo.append(undo)
