"""Explanations on botocore's own exceptions: a refused signature says why, as a note."""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from typing import Any

from ..errors import S3AccelError
from ..explain import SignedRequest, explain
from ._botocore_state import count

__all__ = ["annotate", "remember"]


class _Signed:
    """The request that was signed; lives in botocore's context of the call, no longer."""

    __slots__ = ("__weakref__", "request")

    def __init__(self, request: Any) -> None:
        self.request = request


# Weak: a thread that goes on to other things keeps no request, and so no token, alive.
_last: ContextVar[weakref.ref[_Signed] | None] = ContextVar("s3accel_last_signed", default=None)


def remember(request: Any) -> None:
    signed = _Signed(request)
    request.context["s3accel_signed"] = signed
    _last.set(weakref.ref(signed))


def annotate(error: Any) -> None:
    """Adds the explanation to a ClientError that says SignatureDoesNotMatch. Never raises."""
    try:
        response = error.response
        if response.get("Error", {}).get("Code") != "SignatureDoesNotMatch":
            return
        last = _last.get()
        signed = last() if last is not None else None
        text = str(explain(None if signed is None else _facts(signed.request), response))
    except (S3AccelError, AttributeError, TypeError, ValueError, KeyError):
        return  # botocore's error must not be lost for its explanation
    count("explained")
    note = f"s3accel: {text}"
    if hasattr(error, "add_note"):
        error.add_note(note)
    else:  # Python 3.10 shows no notes, programs can
        error.__notes__ = [*getattr(error, "__notes__", []), note]


def _facts(request: Any) -> SignedRequest:
    return SignedRequest(request.method, request.url, tuple(request.headers.items()))
