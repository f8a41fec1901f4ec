"""What the bucket and the credentials allow, tested without harm."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree

from s3accel.errors import AccelerationUnavailable
from s3accel.transfer import s3xml
from s3accel.transfer.bucketconfig import ENABLED, SUSPENDED
from s3accel.transfer.doctor_ask import Answer, Asker, RepeatedBody, remedy_of
from s3accel.transfer.doctor_checks import FAIL, OK, SKIP, WARN, Check
from s3accel.transfer.endpoint import Endpoint
from s3accel.transfer.routepolicy import ACCELERATE, REGIONAL

__all__ = ["PREFIX", "Access", "probe_key"]

#: Where what the doctor stores lies, so that it is known for what it is if it is ever left behind.
PREFIX = ".s3accel-doctor/"
_LIST = (("list-type", "2"), ("max-keys", "1"))
_DENIED = ("AccessDenied", "403")


def probe_key() -> str:
    return PREFIX + secrets.token_hex(8)


class Access:
    """``usable``: the routes that answered as a route should; known after the checks."""

    def __init__(self, asker: Asker, endpoints: Mapping[str, Endpoint]) -> None:
        self._asker = asker
        self._endpoints = endpoints
        self.usable: set[str] = set()

    def checks(self, write_test: bool) -> Iterator[Check]:
        """Acceleration (status, and whether the host takes requests), then the permissions."""
        if self._asker.signer is None:
            self.usable = set(self._endpoints)
            yield Check("permissions", SKIP, "without credentials nothing can be asked")
            return
        status = ""
        if REGIONAL in self._endpoints:
            if self._endpoints[REGIONAL].kind != "custom":
                check, status = self._status()
                yield check
            yield self._head()
            answer = self._list(REGIONAL)
            yield self._listing(answer)
            if answer.error is None or answer.code in _DENIED:
                self.usable.add(REGIONAL)
        if ACCELERATE in self._endpoints:
            yield self._accelerated(status)
        yield self._write(write_test)

    def _list(self, route: str) -> Answer:
        return self._asker.ask(self._endpoints[route], "ListObjectsV2", "GET", query=_LIST)

    def _status(self) -> tuple[Check, str]:
        endpoint = self._endpoints[REGIONAL]
        name = "acceleration"
        query = (("accelerate", ""),)
        answer = self._asker.ask(endpoint, "GetBucketAccelerateConfiguration", "GET", query=query)
        if answer.code in _DENIED:
            text = "whether acceleration is enabled cannot be asked: s3:GetAccelerateConfiguration is missing"
            return Check(name, WARN, text, "allow s3:GetAccelerateConfiguration; uploads do not need it"), ""
        if answer.error is not None or answer.response is None:
            return Check(
                name, FAIL, f"acceleration cannot be asked for: {answer.text}", remedy_of(answer.error)
            ), ""
        try:
            status = s3xml.text_of(s3xml.parse(answer.response.body), "Status")
        except ElementTree.ParseError as error:
            return Check(name, FAIL, f"the answer about acceleration is no XML ({error})"), ""
        data = {"acceleration": status or None}
        if status == ENABLED:
            return Check(name, OK, "Transfer Acceleration is enabled", data=data), status
        what = "suspended" if status == SUSPENDED else "not configured"
        wanted = ACCELERATE in self._endpoints
        remedy = f"s3accel accelerate on {endpoint.bucket}" if wanted else ""
        return Check(
            name, FAIL if wanted else OK, f"Transfer Acceleration is {what}", remedy, data=data
        ), status

    def _head(self) -> Check:
        answer = self._asker.ask(self._endpoints[REGIONAL], "HeadBucket", "HEAD")
        return _permission("HeadBucket", "s3:ListBucket", "finding the bucket's region", answer)

    def _listing(self, answer: Answer) -> Check:
        return _permission("ListObjectsV2", "s3:ListBucket", "listing", answer)

    def _accelerated(self, status: str) -> Check:
        name, endpoint = "accelerated-host", self._endpoints[ACCELERATE]
        answer = self._list(ACCELERATE)
        if answer.error is None or (answer.code in _DENIED and status == ENABLED):
            self.usable.add(ACCELERATE)
            return Check(name, OK, f"{endpoint.host} takes requests", route=ACCELERATE)
        if isinstance(answer.error, AccelerationUnavailable):
            message = answer.error.message.partition(";")[0]
            remedy = f"s3accel accelerate on {endpoint.bucket}, or upload with --no-accelerate"
            return Check(name, FAIL, f"{endpoint.host} refuses: {message}", remedy, ACCELERATE)
        if answer.code in _DENIED:
            self.usable.add(ACCELERATE)
            text = f"{endpoint.host} answers, but without s3:ListBucket it does not show whether it takes uploads"
            return Check(name, WARN, text, "ask again with --write-test", ACCELERATE)
        text = f"{endpoint.host} does not serve the bucket: {answer.text}"
        return Check(name, FAIL, text, remedy_of(answer.error), ACCELERATE)

    def _write(self, wanted: bool) -> Check:
        name = "PutObject"
        if not wanted:
            return Check(name, SKIP, "whether objects may be written was not tested (--write-test does)")
        if not self.usable:
            return Check(name, SKIP, "no route is left to write through")
        route = ACCELERATE if ACCELERATE in self.usable else REGIONAL
        endpoint, key = self._endpoints[route], probe_key()
        answer = self._asker.ask(endpoint, name, "PUT", key, body=RepeatedBody(64))
        where = f"s3://{endpoint.bucket}/{key}"
        if answer.error is not None:
            remedy = "allow s3:PutObject there" if answer.code in _DENIED else remedy_of(answer.error)
            return Check(name, FAIL, f"an object cannot be written: {answer.text}", remedy, route)
        gone = self._asker.ask(endpoint, "DeleteObject", "DELETE", key)
        if gone.error is not None:
            text = f"{where} was written, but cannot be deleted and is still there: {gone.text}"
            return Check(
                name, WARN, text, "delete it; uploads do not need s3:DeleteObject", route, {"left": key}
            )
        return Check(name, OK, "an object of 64 bytes was written and deleted", route=route)


def _permission(operation: str, right: str, purpose: str, answer: Answer) -> Check:
    """One call that needs a right which uploads do not need."""
    if answer.error is None:
        return Check(operation, OK, f"allowed ({right})")
    if answer.code in _DENIED:
        text = f"refused: {right} is missing; uploads do not need it, {purpose} does"
        return Check(operation, WARN, text, f"allow {right} on the bucket, if you want that")
    return Check(operation, FAIL, f"failed: {answer.text}", remedy_of(answer.error))
