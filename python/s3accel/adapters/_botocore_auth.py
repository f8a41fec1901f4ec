"""botocore's signer classes with the signature made by the core.

Each class is a subclass of botocore's own and overrides `add_auth` alone. Before it signs natively it makes
sure that the rules are botocore's: if a hook (`canonical_request`, `payload`, ...) was overridden in a
subclass, on the instance, or replaced in botocore itself, or if the request is not what botocore makes, then
botocore's `add_auth` runs, hooks and all.
"""

from __future__ import annotations

import logging
from email._policybase import compat32  # the policy of every HTTPHeaders
from types import FunctionType
from typing import Any
from urllib.parse import urlsplit

import botocore.auth as _auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.exceptions import NoCredentialsError
from botocore.utils import percent_encode_sequence

from .. import _core
from ..redact import redact_text
from . import _botocore_check as check
from ._botocore_body import adopted
from ._botocore_notes import remember
from ._botocore_payload import hold_position, payload_of
from ._botocore_state import capture, core, count, settings

__all__ = ["S3V4", "V4", "Express", "ExpressPost", "ExpressQuery", "S3V4Post", "S3V4Query", "V4Query"]

logger = logging.getLogger("botocore.auth")  # where people look for these lines

S3, EXPRESS, DETAILED, UNSIGNED = 1, 2, 4, 8  # bind_botocore.cpp

HOOKS = (
    "_header_value",
    "_inject_signature_to_request",
    "_is_streaming_checksum_payload",
    "_modify_request_before_signing",
    "_normalize_url_path",
    "_set_necessary_date_headers",
    "_should_sha256_sign_payload",
    "_sign",
    "_canonical_query_string_params",
    "_canonical_query_string_url",
    "canonical_headers",
    "canonical_query_string",
    "canonical_request",
    "credential_scope",
    "headers_to_sign",
    "payload",
    "scope",
    "signature",
    "signed_headers",
    "string_to_sign",
)
_HOOKS = frozenset(HOOKS)
_AUTH_FILE = _auth.SigV4Auth.add_auth.__code__.co_filename
_ADD_AUTH = _auth.SigV4Auth.add_auth


def botocores_own(function: Any) -> bool:
    """True for a function that stands in botocore's auth.py, and not for a wrapper around it."""
    return isinstance(function, FunctionType) and function.__code__.co_filename == _AUTH_FILE


def now() -> Any:
    """The time by botocore's clock, which tests freeze in one way or the other."""
    current = getattr(_auth, "get_current_datetime", None)
    # Before 1.40 or so botocore asked datetime itself.
    return current() if current is not None else _auth.datetime.datetime.utcnow()


class _Native:
    """What the native classes share. It stands before botocore's class in the order of bases."""

    _s3accel_flags = 0
    _s3accel_originals: tuple[Any, ...] = ()
    credentials: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Only classes of this module are known to follow botocore's rules; of a user's subclass every hook is
        # compared with the one that stood in its parent here.
        if cls.__module__ == __name__ and hasattr(cls, "canonical_request"):
            hooks = tuple(getattr(cls, name) for name in HOOKS)
            genuine = all(botocores_own(hook) for hook in hooks) and botocores_own(_ADD_AUTH)
            # Hooks that something wrapped before us: nothing equals them, so botocore's code always runs.
            cls._s3accel_originals = hooks if genuine else (None,) * len(HOOKS)

    def _s3accel_fast(self, request: Any) -> bool:
        headers = request.headers
        return (
            _core.BotocoreSigner.unchanged(type(self), HOOKS, self._s3accel_originals)
            and _auth.SigV4Auth.add_auth is _ADD_AUTH
            and _HOOKS.isdisjoint(self.__dict__)
            and type(request) is AWSRequest
            and type(headers) is HTTPHeaders
            and headers.policy is compat32
        )


class _Header(_Native):
    """Header signing."""

    _region_name: str
    _service_name: str

    def add_auth(self, request: Any) -> Any:
        credentials = self.credentials
        if credentials is None:
            raise NoCredentialsError()
        context = request.context
        data = request.data
        if data is not None and type(data) is not bytes:
            hold_position(context, data)
            request.data = adopted(data)
            if settings.signed_chunks or "s3accel_signed_chunks" in context:
                from . import _botocore_stream as stream  # only who asks for it pays for it

                if stream.wanted(self, request) and stream.sign(self, request):
                    return None
        if not self._s3accel_fast(request):
            count("by_botocore")
            return super().add_auth(request)  # type: ignore[misc]
        before = check.before(request) if settings.check else None
        done = self._s3accel_sign(request, credentials)
        if done is None:
            count("by_botocore")
            return super().add_auth(request)  # type: ignore[misc]
        if before is not None:
            check.compare(self, request, before)
        return None

    def _s3accel_sign(self, request: Any, credentials: Any, payload: Any = None, flags: int = 0) -> Any:
        """Signs natively: None if nothing was done, else True, or the stages if asked for."""
        context = request.context
        flags |= self._s3accel_flags
        if not flags & S3 and not context.get("payload_signing_enabled", True):
            flags |= UNSIGNED
        debug = logger.isEnabledFor(logging.DEBUG)
        done = core.sign(
            request.headers._headers,
            context,
            request.method,
            request.url,
            now(),
            credentials.access_key,
            credentials.secret_key,
            credentials.token,
            self._region_name,
            self._service_name,
            _auth.SIGNED_HEADERS_BLACKLIST,
            None if flags & S3 else self._normalize_url_path,  # type: ignore[attr-defined]
            payload if payload is not None else payload_of(self, request, flags & S3),
            self.canonical_query_string(request) if request.params else None,  # type: ignore[attr-defined]
            flags | DETAILED if debug else flags,
        )
        if done is not None:
            if debug:
                log_stages(done)
            remember(request)
        return done


class _Query(_Native):
    """Presigned URLs."""

    _region_name: str
    _service_name: str
    _expires: Any
    _s3accel_token = "X-Amz-Security-Token"  # noqa: S105  a parameter's name

    def add_auth(self, request: Any) -> Any:
        credentials = self.credentials
        if credentials is None:
            raise NoCredentialsError()
        if not self._s3accel_fast(request):
            count("by_botocore")
            return super().add_auth(request)  # type: ignore[misc]
        before = check.before(request) if settings.check else None
        headers = request.headers
        operation = operation_query(request)
        s3 = self._s3accel_flags & S3
        debug = logger.isEnabledFor(logging.DEBUG)
        # Parameters in the body move into the URL, so that nothing is left to hash.
        payload = _auth.UNSIGNED_PAYLOAD if s3 else payload_of(self, request, s3, empty=True)
        url = core.presign(
            headers._headers,
            request.context,
            request.method,
            request.url,
            now(),
            credentials.access_key,
            credentials.secret_key,
            credentials.token,
            self._region_name,
            self._service_name,
            _auth.SIGNED_HEADERS_BLACKLIST,
            None if s3 else self._normalize_url_path,  # type: ignore[attr-defined]
            payload,
            operation,
            self._s3accel_flags | DETAILED if debug else self._s3accel_flags,
            str(self._expires),
            self._s3accel_token,
        )
        if url is None:
            count("by_botocore")
            return super().add_auth(request)  # type: ignore[misc]
        if debug:
            log_stages(url[1])
            url = url[0]
        captured = capture.get()
        if captured is not None:
            captured.append((self, request.url, request.method, list(headers._headers), operation, payload))
        request.url = url
        if request.params:
            request.params = {}
        if request.data:
            request.data = ""
        if before is not None:
            check.compare(self, request, before)
        return None


def operation_query(request: Any) -> str:
    """The parameters of a presigned request that are not the signature's, encoded by botocore's own rules."""
    url, params, data = request.url, request.params, request.data
    if not params and not data and "?" not in url:
        return ""
    query = urlsplit(url).query
    pairs = {name: values[0] for name, values in _auth.parse_qs(query, keep_blank_values=True).items()}
    if params:
        pairs.update(params)
    if data:
        pairs.update(_auth._get_body_as_dict(request))
    encoded: str = percent_encode_sequence(pairs) if pairs else ""
    return encoded


class _Signature:
    """POST policies: botocore's code, with the key from the cache."""

    credentials: Any
    _region_name: str
    _service_name: str

    def signature(self, string_to_sign: str, request: Any) -> Any:
        date = request.context["timestamp"][0:8]
        key = core.key(self.credentials.secret_key, date, self._region_name, self._service_name)
        if key is None:
            return super().signature(string_to_sign, request)  # type: ignore[misc]
        count("policies")
        return key.sign(string_to_sign)


def log_stages(stages: Any) -> None:
    """botocore's debug lines, without the session token that botocore would write into the log."""
    logger.debug("Calculating signature using v4 auth (s3accel).")
    logger.debug("CanonicalRequest:\n%s", redact_text(stages[0]))
    logger.debug("StringToSign:\n%s", stages[1])


class V4(_Header, _auth.SigV4Auth):  # type: ignore[misc]
    """Any service."""


class S3V4(_Header, _auth.S3SigV4Auth):  # type: ignore[misc]
    """S3."""

    _s3accel_flags = S3


class Express(_Header, _auth.S3ExpressAuth):  # type: ignore[misc]
    """S3 Express sessions."""

    _s3accel_flags = S3 | EXPRESS


class V4Query(_Query, _auth.SigV4QueryAuth):  # type: ignore[misc]
    """Presigned requests of any service."""


class S3V4Query(_Query, _auth.S3SigV4QueryAuth):  # type: ignore[misc]
    """Presigned S3 URLs."""

    _s3accel_flags = S3


class ExpressQuery(_Query, _auth.S3ExpressQueryAuth):  # type: ignore[misc]
    """Presigned S3 Express URLs."""

    _s3accel_flags = S3
    _s3accel_token = "X-Amz-S3session-Token"  # noqa: S105  a parameter's name


class S3V4Post(_Signature, _auth.S3SigV4PostAuth):  # type: ignore[misc]
    """POST policies."""


class ExpressPost(_Signature, _auth.S3ExpressPostAuth):  # type: ignore[misc]
    """POST policies for S3 Express."""
