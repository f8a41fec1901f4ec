"""Signed requests with urllib3.

    from s3accel.adapters.urllib3 import SigV4PoolManager

    http = SigV4PoolManager(credentials=Credentials(...), region="eu-west-1")
    http.request("PUT", object_url("https://bucket.s3.eu-west-1.amazonaws.com", "a/b"), body=open(path, "rb"))

What is refused, and what can be set, stands at `SigV4PoolManager`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from typing import Any

from ..credentials import Credentials, Provider
from ..signer import Signer
from ..streaming import DEFAULT_CHUNK_SIZE
from ._attempt import as_headers, restore
from ._bodies import OnceBody, SignedBody, body_of
from ._signing import RequestSigning
from ._wire import Wire, object_url, redirect_region, wire_of

try:
    from urllib3 import PoolManager, Retry
    from urllib3.exceptions import MaxRetryError
except ImportError as error:
    raise ImportError("s3accel.adapters.urllib3 needs urllib3: pip install urllib3") from error

__all__ = ["SigV4PoolManager", "object_url"]


class SigV4PoolManager(PoolManager):
    """A `urllib3.PoolManager` that signs every request, and every retry and redirect of it anew.

    Args:
        credentials, region, service: a `Signer`, `Credentials`, a provider or None (environment, then
            botocore's chain), with the endpoint's region and service (``"s3"`` if not given).
        payload: ``"auto"`` (files to S3 as signed chunks, all else hashed), ``"signed-chunks"``, ``"signed"``,
            ``"unsigned-trailer"`` or ``"unsigned"``.
        checksum: of `s3accel.checksums.ALGORITHMS`, sent as a trailer of bodies in chunks.
        redirect_regions: regions that S3 may redirect to for the same bucket and key.
        clock: epoch seconds.
        sign_all_headers: as of `Signer`.

    All else goes to PoolManager. The URL is sent as S3 reads it: dot segments and double slashes stay.

    Raises:
        ConfigError: a bad argument; or (by requests) a body that cannot be sent in this mode.
        EndpointError: plain HTTP to AWS, or a redirect that is not followed.
        SourceError: the body ended early, or cannot be read again for a retry.
    """

    def __init__(
        self,
        *args: Any,
        credentials: Signer | Credentials | Provider | None = None,
        region: str | None = None,
        service: str | None = None,
        payload: str = "auto",
        checksum: str | None = None,
        chunk_size: int = DEFAULT_CHUNK_SIZE,
        redirect_regions: Collection[str] = (),
        clock: Callable[[], float] | None = None,
        sign_all_headers: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._signing = RequestSigning(
            credentials,
            region,
            service,
            payload=payload,
            checksum=checksum,
            chunk_size=chunk_size,
            redirect_regions=redirect_regions,
            clock=clock,
            sign_all_headers=sign_all_headers,
        )

    def urlopen(self, method: str, url: str, redirect: bool = True, **kw: Any) -> Any:  # type: ignore[override]
        given = kw.pop("headers", None)
        headers = _merged(self.headers if given is None else given)
        retries = kw.pop("retries", None)
        if retries is None:
            retries = self.connection_pool_kw.get("retries")
        retries = retries if isinstance(retries, Retry) else Retry.from_int(retries, redirect=redirect)
        announced = next((value for name, value in headers.items() if name.lower() == "content-length"), None)
        body: Any = body_of(kw.pop("body", None), None if announced is None else int(announced))
        kw.pop("chunked", None)  # the length is known, or the request is refused
        kw.update(redirect=False, assert_same_host=False)
        wire: Wire = wire_of(url, self._signing.service)
        region: str | None = None
        while True:
            attempt = self._signing.attempt(method, wire, as_headers(headers.items()), body, region)
            before = attempt.apply(headers)
            if not isinstance(attempt.body, SignedBody):
                body = attempt.body  # what could be read only once is in memory now
            if not isinstance(body, OnceBody):
                retries = one_by_one(retries)
            pool = self.connection_from_host(wire.host, port=wire.port, scheme=wire.scheme)
            while True:
                try:
                    response: Any = pool.urlopen(
                        method, wire.target, body=attempt.body, headers=headers, retries=retries, **kw
                    )
                    break
                except Again as again:
                    retries = again.retries
                    attempt.renew()
                    headers.update(attempt.headers)
            location = redirect and response.get_redirect_location()
            if not location:
                return response
            try:
                retries = response.retries.increment(method, url, response=response, _pool=pool)
            except MaxRetryError:
                if retries.raise_on_redirect:
                    response.drain_conn()
                    raise
                return response
            response.drain_conn()
            wire, led_to = redirect_region(
                wire, location, self._signing.service, self._signing.redirect_regions
            )
            region = led_to or region
            gone = response.status == 303 and method != "HEAD"
            restore(headers, before, body_gone=gone)
            if gone:
                method, body = "GET", None
                for name in [name for name in headers if name.lower().startswith("content-")]:
                    del headers[name]


def _merged(given: Any) -> dict[str, Any]:
    """The caller's headers as a dict of our own; what is given twice becomes one list, as urllib3 sends it."""
    headers: dict[str, Any] = {}
    for name, value in given.items() if hasattr(given, "items") else given or ():
        comma: Any = b", " if isinstance(value, bytes) else ", "
        headers[name] = value if name not in headers else headers[name] + comma + value
    return headers


class Again(Exception):
    """The pause before a retry is over; `retries` is what is left of the policy."""

    def __init__(self, retries: Retry) -> None:
        super().__init__("a request is to be signed again")
        self.retries = retries


def one_by_one(retries: Retry) -> Retry:
    """The same retry policy, which raises `Again` where urllib3 would repeat the request by itself.

    urllib3 repeats it with the headers it was given. `Retry.sleep` is the last thing it calls before, when the
    connection is in order again or closed.
    """
    bound = copy.copy(retries)
    bound.__class__ = _class_of(type(retries))
    return bound


_CLASSES: dict[type[Retry], type[Retry]] = {}


def _class_of(base: type[Retry]) -> type[Retry]:
    if base in _CLASSES.values():
        return base
    if base not in _CLASSES:

        def sleep(self: Any, response: Any = None) -> None:
            base.sleep(self, response)
            raise Again(self)

        _CLASSES[base] = type(f"OneByOne{base.__name__}", (base,), {"sleep": sleep})
    return _CLASSES[base]
