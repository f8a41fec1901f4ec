"""One client or one session instead of the whole process."""

from __future__ import annotations

from inspect import iscoroutinefunction
from types import TracebackType
from typing import Any

from botocore.exceptions import ClientError

from ..errors import ConfigError
from ._botocore_names import replacement_for
from ._botocore_notes import annotate

__all__ = ["Attachment", "attach"]


class Attachment:
    """What `attach` gives. `detach` takes it back; it is a context manager too."""

    def __init__(self) -> None:
        self._undo: list[Any] = []

    def detach(self) -> None:
        """The client signs as botocore does again; clients that a session made meanwhile keep s3accel."""
        while self._undo:
            self._undo.pop()()

    def __enter__(self) -> Attachment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()

    def __repr__(self) -> str:
        return f"<s3accel attachment, {'active' if self._undo else 'taken back'}>"


def attach(target: Any, signed_chunks: bool) -> Attachment:
    attachment = Attachment()
    # A boto3 session holds a botocore session, which makes the clients.
    session = getattr(target, "_session", target)
    if hasattr(target, "_request_signer") and hasattr(target, "meta"):
        _client(target, signed_chunks, attachment)
    elif hasattr(session, "create_client") and hasattr(session, "get_component"):
        _session(session, signed_chunks, attachment)
    else:
        raise ConfigError(f"attach() takes a client or a session, not {type(target).__name__}")
    return attachment


def _client(client: Any, signed_chunks: bool, attachment: Attachment) -> None:
    signer = client._request_signer
    original = signer.get_auth_instance
    if iscoroutinefunction(original):

        async def get_auth_instance(*args: Any, **kwargs: Any) -> Any:
            return _ours(await original(*args, **kwargs), args, kwargs)

    else:

        def get_auth_instance(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
            return _ours(original(*args, **kwargs), args, kwargs)

    for name in ("get_auth_instance", "get_auth"):
        _set(signer, name, get_auth_instance, attachment)
    _set(client, "_make_api_call", _explaining(client), attachment)
    if signed_chunks:
        service = client.meta.service_model.service_id.hyphenize()

        def mark(context: Any, **kwargs: Any) -> None:
            context["s3accel_signed_chunks"] = True

        client.meta.events.register_first(f"before-call.{service}", mark)
        attachment._undo.append(lambda: client.meta.events.unregister(f"before-call.{service}", mark))


def _explaining(client: Any) -> Any:
    """The client's calls, whose exceptions are explained.

    The method is looked up at each call: tests and tracers replace it in the class.
    """
    own = client.__dict__.get("_make_api_call")

    def call(*args: Any, **kwargs: Any) -> Any:
        return (
            own(*args, **kwargs) if own is not None else type(client)._make_api_call(client, *args, **kwargs)
        )

    if iscoroutinefunction(client._make_api_call):

        async def make_api_call(*args: Any, **kwargs: Any) -> Any:
            try:
                return await call(*args, **kwargs)
            except ClientError as error:
                annotate(error)
                raise

    else:

        def make_api_call(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
            try:
                return call(*args, **kwargs)
            except ClientError as error:
                annotate(error)
                raise

    return make_api_call


def _ours(auth: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The same signer with our class."""
    cls = replacement_for(type(auth))
    if cls is None:
        return auth
    made: Any = object.__new__(cls)
    made.__dict__.update(auth.__dict__)
    if "_region_name" not in made.__dict__:  # Version 2 knows neither region nor service
        made.__dict__["_service_name"] = args[0] if args else kwargs.get("signing_name")
        made.__dict__["_region_name"] = args[1] if len(args) > 1 else kwargs.get("region_name")
    if "_expires" not in made.__dict__ and "_expiration_in_seconds" in made.__dict__:  # awscrt's classes
        made.__dict__["_expires"] = made.__dict__["_expiration_in_seconds"]
    return made


def _session(session: Any, signed_chunks: bool, attachment: Attachment) -> None:
    # aiobotocore's create_client gives a context manager around the coroutine _create_client.
    name = "_create_client" if hasattr(session, "_create_client") else "create_client"
    original = getattr(session, name)
    if iscoroutinefunction(original):

        async def create_client(*args: Any, **kwargs: Any) -> Any:
            client = await original(*args, **kwargs)
            _client(client, signed_chunks, Attachment())
            return client

    else:

        def create_client(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
            client = original(*args, **kwargs)
            _client(client, signed_chunks, Attachment())
            return client

    _set(session, name, create_client, attachment)


def _set(owner: Any, name: str, value: Any, attachment: Attachment) -> None:
    absent = object()
    before = owner.__dict__.get(name, absent)
    setattr(owner, name, value)

    def undo() -> None:
        if owner.__dict__.get(name) is value:
            if before is absent:
                delattr(owner, name)
            else:
                setattr(owner, name, before)

    attachment._undo.append(undo)
