"""Proof mode: a share of the requests is signed by botocore's own code too, and the results are compared."""

from __future__ import annotations

import logging
import random
from typing import Any

from botocore.awsrequest import AWSRequest

from ..redact import redact_headers, redact_text, redact_url
from ._botocore_state import count, settings

__all__ = ["before", "compare"]

logger = logging.getLogger("s3accel.adapters.botocore")


def before(request: Any) -> Any:
    """A copy of the request for botocore's signer, or None if this one is not checked."""
    if random.random() >= settings.check:  # noqa: S311  a sample, nothing secret
        return None
    copy = AWSRequest(
        method=request.method,
        url=request.url,
        headers=None,
        data=request.data,
        params=request.params,
        auth_path=request.auth_path,
    )
    for name, value in request.headers.items():
        copy.headers[name] = value
    copy.context = dict(request.context)
    return copy


def compare(auth: Any, request: Any, copy: Any) -> None:
    """Signs the copy as botocore does, at the same time, and compares.

    If there is a difference, botocore's result is what is sent, botocore's signers are put back, and the
    difference is logged without secrets.
    """
    base = next(cls for cls in type(auth).__mro__ if cls.__module__ == "botocore.auth")
    twin: Any = object.__new__(base)
    twin.__dict__.update(auth.__dict__)
    copy.context["timestamp"] = request.context["timestamp"]
    body = copy.data
    if body is not None and hasattr(body, "read") and not hasattr(body, "seek"):
        count("unchecked")  # hashing it once more would use it up
        return
    try:
        twin._modify_request_before_signing(copy)
        canonical = twin.canonical_request(copy)
        to_sign = twin.string_to_sign(copy, canonical)
        twin._inject_signature_to_request(copy, twin.signature(to_sign, copy))
    except Exception:
        logger.exception("the check of a signature failed; the request goes out as s3accel signed it")
        count("unchecked")
        return
    count("checked")
    ours, theirs = list(request.headers.items()), list(copy.headers.items())
    if ours == theirs and request.url == copy.url:
        return
    count("different")
    logger.error(
        "s3accel signed a request differently from botocore; botocore's signature is sent and botocore's "
        "signers are back in place.\n%s %s\nheaders only s3accel has: %s\nheaders only botocore has: %s\n"
        "botocore's canonical request:\n%s",
        request.method,
        redact_url(copy.url),
        redact_headers([item for item in ours if item not in theirs]),
        redact_headers([item for item in theirs if item not in ours]),
        redact_text(canonical),
    )
    request.headers = copy.headers
    request.url, request.params, request.data = copy.url, copy.params, copy.data
    if settings.on_difference is not None:
        settings.on_difference()
