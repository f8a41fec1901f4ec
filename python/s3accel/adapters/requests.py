"""Signed requests with requests.

    from s3accel.adapters.requests import SigV4Auth, object_url

    auth = SigV4Auth(Credentials(...), "eu-west-1")
    requests.put(object_url("https://bucket.s3.eu-west-1.amazonaws.com", "a/b"), data=open(path, "rb"), auth=auth)

What is refused, and what can be set, stands at `SigV4Auth`.
"""

from __future__ import annotations

import contextvars
import functools
import time
from typing import Any

from ..errors import ConfigError
from ._attempt import Attempt, as_headers, restore
from ._bodies import OnceBody, SignedBody, body_of
from ._signing import RequestSigning, SignsRequests
from ._wire import Wire, object_url, redirect_region, wire_of

try:
    from requests import PreparedRequest, Response
    from requests.adapters import HTTPAdapter
    from requests.auth import AuthBase
except ImportError as error:
    raise ImportError("s3accel.adapters.requests needs requests: pip install requests") from error

__all__ = ["SigV4Adapter", "SigV4Auth", "object_url"]

#: Seconds that a signature may be old when a prepared request is sent once more; S3 takes it for 900.
FRESH = 30.0


class SigV4Auth(SignsRequests, AuthBase):
    """Signs requests: ``auth=`` of a call or of a `requests.Session`. Its arguments stand at ``__init__``.

    The request signs itself again when requests follows a redirect with it, and when it is sent again later
    than FRESH seconds. Retries inside requests' own HTTPAdapter repeat the same bytes, which S3 takes for 15
    minutes; mount a `SigV4Adapter` to have them signed anew.

    Raises:
        ConfigError: a bad argument; or (by requests) a body that cannot be sent in this mode.
        EndpointError: plain HTTP to AWS, or a redirect that is not followed.
        SourceError: the body ended early, or cannot be read again.
    """

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        if not isinstance(r, _Signed):
            r.__class__ = _class_of(type(r))
        state = _State(self._signing)
        r.__dict__["_s3accel"] = state
        state.sign(r)
        return r


class _State:
    """What a signed request knows of itself."""

    def __init__(
        self, signing: RequestSigning, came_from: Wire | None = None, region: str | None = None
    ) -> None:
        self.signing, self.came_from, self.region = signing, came_from, region
        self.attempt: Attempt | None = None
        self.before: dict[str, Any] = {}
        self.what: tuple[Any, ...] = ()
        self.at = 0.0

    def sign(self, request: Any) -> None:
        if self.attempt is not None:
            restore(request.headers, self.before, body_gone=request.body is None)
        wire = wire_of(request.url, self.signing.service)
        if self.came_from is not None:
            wire, region = redirect_region(
                self.came_from, wire, self.signing.service, self.signing.redirect_regions
            )
            self.region = region or self.region
        announced = request.headers.get("Content-Length")
        body: Any = body_of(request.body, None if announced is None else int(announced))
        headers = as_headers(request.headers.items())
        self.attempt = self.signing.attempt(request.method, wire, headers, body, self.region)
        self.before = self.attempt.apply(request.headers)
        request.url = wire.url
        request.body = self.attempt.body
        # Our bodies begin where the file stood whenever they are read: requests must not rewind beneath them.
        request._body_position = None
        self.came_from = wire
        self.what, self.at = (request.method, request.url, request.body), time.monotonic()

    def stale(self, request: Any) -> bool:
        what = (request.method, request.url, request.body)
        same = len(self.what) == 3 and what[:2] == self.what[:2] and what[2] is self.what[2]
        return not same or time.monotonic() - self.at > FRESH

    @staticmethod
    def repeatable(request: Any) -> bool:
        body = request.body
        return not isinstance(body.source if isinstance(body, SignedBody) else body, OnceBody)

    def renew(self, request: Any) -> None:
        if self.attempt is not None:
            self.attempt.renew()
            request.headers.update(self.attempt.headers)
            self.at = time.monotonic()


class _Signed:
    """Mixed into the class of a prepared request: it signs itself when its target is asked for."""

    @property
    def path_url(self) -> str:
        # Every transport adapter reads this last, after requests has changed what a redirect changes.
        state: _State = self.__dict__["_s3accel"]
        if state.stale(self):
            state.sign(self)
        target = state.attempt.wire.target if state.attempt is not None else "/"
        if target.startswith("//") and _collapses_slashes() and _SENDING.get() is not self:
            raise ConfigError(
                "this version of requests sends '/' for the '//' that the path begins with; use path-style URLs, "
                "mount s3accel.adapters.requests.SigV4Adapter, or requests 2.33 or later"
            )
        return target

    def copy(self) -> Any:
        made = super().copy()  # type: ignore[misc]
        state: _State = self.__dict__["_s3accel"]
        made.__class__ = type(self)
        # Unsigned from here on: should the copy go elsewhere, no token goes with it.
        restore(made.headers, state.before)
        made.body = body_of(made.body, None)
        made._body_position = None
        made.__dict__["_s3accel"] = _State(state.signing, state.came_from, state.region)
        return made

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Pickled with a Response by caches: as a plain request, without signature, token and open files.
        plain = dict(self.__dict__)
        state: _State = plain.pop("_s3accel")
        plain["headers"] = plain["headers"].copy()
        restore(plain["headers"], state.before)
        if not isinstance(plain["body"], (bytes, str, type(None))):
            plain["body"] = None
        base = next(cls for cls in type(self).__mro__ if not issubclass(cls, _Signed))
        return _plain, (base, plain)


def _plain(base: type[PreparedRequest], state: dict[str, Any]) -> PreparedRequest:
    made = base.__new__(base)
    made.__dict__.update(state)
    return made


_CLASSES: dict[type[PreparedRequest], type[PreparedRequest]] = {}


def _class_of(base: type[PreparedRequest]) -> type[PreparedRequest]:
    return _CLASSES.setdefault(base, type(f"Signed{base.__name__}", (_Signed, base), {}))


@functools.cache
def _collapses_slashes() -> bool:
    probe = PreparedRequest()
    probe.url = "https://localhost//a"
    return HTTPAdapter().request_url(probe, {}) != "//a"


# What a SigV4Adapter is sending in this thread, and the rest of the retry policy it does it under.
_SENDING: contextvars.ContextVar[Any] = contextvars.ContextVar("s3accel_sending", default=None)
_POLICY: contextvars.ContextVar[Any] = contextvars.ContextVar("s3accel_policy", default=None)


class SigV4Adapter(HTTPAdapter):
    """A transport adapter whose retries are signed anew: ``session.mount("https://", SigV4Adapter(max_retries=...))``.

    It also keeps a path that begins with ``//``, which requests 2.32 and before change. What a request is signed
    with still is its `SigV4Auth`; other requests pass unchanged.
    """

    @property
    def max_retries(self) -> Any:
        return _POLICY.get() or self.__dict__["max_retries"]

    @max_retries.setter
    def max_retries(self, policy: Any) -> None:
        self.__dict__["max_retries"] = policy

    def request_url(self, request: PreparedRequest, proxies: Any) -> str:
        url = super().request_url(request, proxies)
        return request.path_url if isinstance(request, _Signed) and url.startswith("/") else url

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        if not isinstance(request, _Signed):
            return super().send(request, *args, **kwargs)
        from .urllib3 import Again, one_by_one  # whoever uses requests has urllib3

        state: _State = request.__dict__["_s3accel"]
        policy = None
        sending = _SENDING.set(request)
        try:
            while True:
                if policy is None and state.repeatable(request):
                    policy = one_by_one(self.__dict__["max_retries"])
                left = _POLICY.set(policy)
                try:
                    return super().send(request, *args, **kwargs)
                except Again as again:
                    policy = again.retries
                    state.renew(request)
                finally:
                    _POLICY.reset(left)
        finally:
            _SENDING.reset(sending)
