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
    """The request that was signed; lives in botocore's context of the call, no longer.

    Not the request object itself: that holds the context, and a circle would keep the body until the next
    garbage collection.
    """

    __slots__ = ("__weakref__", "headers", "method", "url")

    def __init__(self, request: Any) -> None:
        self.method = request.method
        self.url = request.url
        self.headers = request.headers


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
        noted = any(note.startswith("s3accel: ") for note in getattr(error, "__notes__", ()))
        if noted or response.get("Error", {}).get("Code") != "SignatureDoesNotMatch":
            return
        last = _last.get()
        signed = last() if last is not None else None
        text = str(explain(None if signed is None else _facts(signed), response))
    except (S3AccelError, AttributeError, TypeError, ValueError, KeyError):
        return  # botocore's error must not be lost for its explanation
    count("explained")
    note = f"s3accel: {text}"
    if hasattr(error, "add_note"):
        error.add_note(note)
    else:  # Python 3.10 shows no notes, programs can
        error.__notes__ = [*getattr(error, "__notes__", []), note]


def _facts(signed: _Signed) -> SignedRequest:
    # While sending, botocore sets every header once more as bytes, and its header object appends: each name
    # is there twice by now. What was signed is the str.
    headers = [(name, value) for name, value in signed.headers.items() if isinstance(value, str)]
    return SignedRequest(signed.method, signed.url, tuple(headers or signed.headers.items()))
