"""`generate_presigned_url` without building the same request again and again.

Nearly all of its cost is finding out what botocore would send: events, validation, endpoint rules,
serialization. For a given client, operation, bucket and other parameters only the key differs, and the key
appears in the path alone. So botocore's own code runs twice for such a combination, with the key and with
another one; if both requests are the same template with the key filled in, the template serves further keys.

It is used only while nothing can have changed: the client's event handlers are all botocore's and the same,
the bucket is not known to live in another region, client configuration and signer classes are those that the
template was made with. Credentials, time and the list of unsigned headers are read for each URL.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable
from typing import Any

import botocore.auth as _auth
import botocore.signers as _signers
from botocore.client import BaseClient

from .. import _core
from ..errors import S3AccelError
from ..redact import redact_url
from ._botocore_auth import HOOKS, S3V4Query, now
from ._botocore_state import capture, core, count, settings

__all__ = ["put_in", "random_key"]

MAX_TEMPLATES = 64  # a client that presigns for more combinations than this gains little from any of them
PROBE = "s3accel-probe"
_PLAIN = (str, int, bool)
_EVENTS = (
    "provide-client-params",
    "before-parameter-build",
    "before-endpoint-resolution",
    "choose-signer",
    "before-sign",
)
# botocore's own handlers of those events, read one by one: none makes anything of the key but its place in the
# path (and in context, where presigning does not look). A handler that is not named here means: no template.
_HANDLERS = frozenset(
    {
        "ClientCreator._default_s3_presign_to_sigv2",
        "ClientCreator._inject_s3_input_parameters",
        "S3ExpressIdentityResolver.resolve_s3express_identity",
        "S3RegionRedirectorv2.annotate_request_context",
        "S3RegionRedirectorv2.redirect_from_cache",
        "_handle_request_validation_mode_member",
        "_set_auth_scheme_preference_signer",
        "_set_extra_headers_for_unsigned_request",
        "convert_body_to_file_like_object",
        "customize_endpoint_resolver_builtins",
        "generate_idempotent_uuid",
        "handle_copy_source_param",
        "remove_arn_from_signing_path",
        "remove_bucket_from_url_paths_from_model",
        "set_operation_specific_signer",
        "sse_md5",
        "validate_ascii_metadata",
        "validate_bucket_name",
    }
)
logger = logging.getLogger("s3accel.adapters.botocore")
_original = _signers.generate_presigned_url


def random_key() -> bytes:
    return os.urandom(32)


class _Template:
    """One client's presigned request with a hole for the key."""

    __slots__ = (
        "auth",
        "before",
        "config",
        "config_s3",
        "generation",
        "handlers",
        "headers",
        "method",
        "names",
        "operation",
        "payload",
        "redirects",
        "resolver",
    )

    def __init__(
        self, client: Any, auth: Any, before: str, parts: Any, handlers: Any, redirects: Any
    ) -> None:
        _, _, self.method, self.headers, self.operation, self.payload = parts
        self.auth = auth
        self.before = before  # the URL up to the key
        self.handlers = handlers
        self.redirects = redirects
        self.generation = settings.generation
        self.config = client.meta.config
        self.config_s3 = _copy(client.meta.config.s3)
        self.resolver = client._ruleset_resolver
        self.names = [name for name, cls in _auth.AUTH_TYPE_MAPS.items() if cls is type(auth)]

    def holds(self, client: Any, bucket: str) -> bool:
        """True if botocore would still make this request of these parameters."""
        auth = self.auth
        names = _auth.AUTH_TYPE_MAPS
        return (
            self.generation == settings.generation
            and client.meta.events._emitter._lookup_cache is self.handlers
            and client.meta.config is self.config
            and self.config.s3 == self.config_s3
            and client._ruleset_resolver is self.resolver
            and bucket not in self.redirects
            and all(names.get(name) is type(auth) for name in self.names)
            and _core.BotocoreSigner.unchanged(type(auth), HOOKS, auth._s3accel_originals)
        )

    def sign(self, client: Any, key: str, expires: int) -> str | None:
        credentials = client._request_signer._credentials
        if credentials is None:
            return None
        frozen = credentials.get_frozen_credentials()
        auth = self.auth
        url: str | None = core.presign(
            list(self.headers),
            {},
            self.method,
            self.before + _core.uri_encode(key, True),
            now(),
            frozen.access_key,
            frozen.secret_key,
            frozen.token,
            auth._region_name,
            auth._service_name,
            _auth.SIGNED_HEADERS_BLACKLIST,
            None,
            self.payload,
            self.operation,
            auth._s3accel_flags,
            str(expires),
            auth._s3accel_token,
        )
        return url


def _copy(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else value


def generate_presigned_url(
    self: Any,
    ClientMethod: Any,  # noqa: N803
    Params: Any = None,  # noqa: N803
    ExpiresIn: Any = 3600,  # noqa: N803
    HttpMethod: Any = None,  # noqa: N803
) -> Any:
    place = _place(ClientMethod, Params, ExpiresIn, HttpMethod)
    if place is None:
        return _original(self, ClientMethod, Params, ExpiresIn, HttpMethod)
    templates = self.__dict__.get("_s3accel_templates")
    if templates is None:
        templates = self.__dict__.setdefault("_s3accel_templates", {})
    template = templates.get(place, _original)
    if template is not _original and template is not None:
        if template.holds(self, Params["Bucket"]):
            url = template.sign(self, Params["Key"], ExpiresIn)
            if url is not None:
                if settings.check and random.random() < settings.check:  # noqa: S311
                    return _compared(self, url, ClientMethod, Params, ExpiresIn, HttpMethod)
                return url
        else:
            template = _original
    if template is None:  # tried before, and no template could be made
        return _original(self, ClientMethod, Params, ExpiresIn, HttpMethod)
    parts: list[Any] = []
    token = capture.set(parts)
    try:
        url = _original(self, ClientMethod, dict(Params), ExpiresIn, HttpMethod)
        if len(parts) == 1:
            _original(self, ClientMethod, {**Params, "Key": PROBE}, ExpiresIn, HttpMethod)
    finally:
        capture.reset(token)
    if len(templates) >= MAX_TEMPLATES:
        templates.clear()
    made = _template(self, place[0], Params, parts)
    if made is not None:
        count("templates")
    templates[place] = made
    return url


def _place(method: Any, params: Any, expires: Any, http_method: Any) -> Any:
    """What a template is found by: everything that decides the request but the key. None: never a template."""
    if type(params) is not dict or type(expires) is not int or type(method) is not str:
        return None
    key, bucket = params.get("Key"), params.get("Bucket")
    if type(key) is not str or not key or type(bucket) is not str:
        return None
    if not (http_method is None or type(http_method) is str):
        return None
    if len(params) == 2:
        return (method, http_method, bucket)
    others = []
    for name, value in params.items():
        if name == "Key":
            continue
        # Handlers rewrite these parameters, some in the caller's own dict.
        if type(value) not in _PLAIN or type(name) is not str or "SSE" in name or name.startswith("Copy"):
            return None
        others.append((name, type(value), value))
    return (method, http_method, bucket, *sorted(others, key=lambda item: item[0]))


def _template(client: Any, method: str, params: Any, parts: list[Any]) -> _Template | None:
    """The template behind two requests, or None if they are not one template with two keys."""
    if len(parts) != 2:
        return None
    auth, url, *rest = parts[0]
    probe_auth, probe_url, *probe_rest = parts[1]
    try:
        path = _core.uri_encode(params["Key"], True)
    except (S3AccelError, UnicodeError):
        return None
    before = probe_url.partition("?")[0].removesuffix(PROBE)
    if (
        not isinstance(auth, S3V4Query)
        or type(auth) is not type(probe_auth)
        or auth._service_name != probe_auth._service_name
        or auth._region_name != probe_auth._region_name
        or before == probe_url.partition("?")[0]
        or not before.endswith("/")
        or url.partition("?")[0] != before + path
        or rest != probe_rest
        or client._request_signer._credentials is None
        or _own_credentials(client, auth)
    ):
        return None
    operation = client.meta.method_to_api_mapping.get(method)
    found = _handlers(client, operation)
    if found is None:
        return None
    return _Template(client, auth, before, parts[1], *found)


def _own_credentials(client: Any, auth: Any) -> bool:
    """True if the request was signed with other credentials than the client's (S3 Express sessions)."""
    frozen = client._request_signer._credentials.get_frozen_credentials()
    return bool(
        auth.credentials.access_key != frozen.access_key or auth.credentials.secret_key != frozen.secret_key
    )


def _handlers(client: Any, operation: str) -> tuple[Any, Any] | None:
    """The client's registrations (an object that is replaced when they change) and the regions it has
    learned, if all handlers of a presigned request are botocore's."""
    emitter = getattr(client.meta.events, "_emitter", None)
    lookup = getattr(emitter, "_lookup_cache", None)
    if not isinstance(lookup, dict) or emitter is None:
        return None
    service = client.meta.service_model.service_id.hyphenize()
    redirects: Any = {}
    for event in _EVENTS:
        for handler in emitter._handlers.prefix_search(f"{event}.{service}.{operation}"):
            module = getattr(handler, "__module__", None) or ""
            name = getattr(handler, "__qualname__", "")
            if not module.startswith("botocore.") or name not in _HANDLERS:
                return None
            if name == "S3RegionRedirectorv2.redirect_from_cache":
                redirects = handler.__self__._cache
    return lookup, redirects


def _compared(client: Any, ours: str, *args: Any) -> Any:
    """Proof mode: the same URL by the whole of botocore's code, whose signature is checked in turn."""
    theirs = _original(client, *args)
    count("checked")
    if _without_time(ours) == _without_time(theirs):
        return theirs
    count("different")
    logger.error(
        "s3accel presigned from a template what botocore would not have; botocore's URL is given and botocore's "
        "code is back in place.\ns3accel: %s\nbotocore: %s",
        redact_url(ours),
        redact_url(theirs),
    )
    if settings.on_difference is not None:
        settings.on_difference()
    return theirs


def _without_time(url: str) -> list[str]:
    """A presigned URL without what changes from one second to the next."""
    pairs = url.replace("?", "&").split("&")
    return [pair for pair in pairs if not pair.startswith(("X-Amz-Date=", "X-Amz-Signature="))]


def put_in() -> Callable[[], None]:
    """Puts `generate_presigned_url` into the classes of all clients, those that exist and those to come;
    gives the function that takes it out."""
    if _signers.generate_presigned_url is not _original:
        return lambda: None  # somebody has replaced it: that one is left alone
    _signers.generate_presigned_url = generate_presigned_url
    generate_presigned_url.__doc__ = _original.__doc__
    _exchange(_original, generate_presigned_url)

    def take_out() -> None:
        if _signers.generate_presigned_url is generate_presigned_url:
            _signers.generate_presigned_url = _original
        _exchange(generate_presigned_url, _original)

    return take_out


def _exchange(old: Any, new: Any) -> None:
    for cls in BaseClient.__subclasses__():
        if cls.__dict__.get("generate_presigned_url") is old:
            cls.generate_presigned_url = new
