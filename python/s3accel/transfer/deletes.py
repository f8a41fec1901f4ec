"""Many deletions: DeleteObjects in batches of 1,000, with an outcome for every key.

Source: S3 API Reference, DeleteObjects.
"""

from __future__ import annotations

import hashlib
import random
import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from s3accel import checksums
from s3accel.errors import ConfigError, S3AccelError, S3Error
from s3accel.transfer.calls import Operation
from s3accel.transfer.endpoint import validate_key
from s3accel.transfer.retry import RetryPolicy, classify
from s3accel.transfer.s3 import S3
from s3accel.transfer.s3xml import NAMESPACE

__all__ = ["MAX_BATCH", "DeleteOutcome", "delete_objects"]

#: S3 takes at most so many keys in one request.
MAX_BATCH = 1000
#: Requests in flight. One takes S3 some hundred milliseconds, so a few of them keep a listing busy.
CONCURRENCY = 4

#: What XML 1.0 can carry as it is. A carriage return is turned into a line feed by every parser, also in answers, so
#: such keys are deleted one by one, where the name is in the URL.
_PLAIN = re.compile("[\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")


@dataclass(frozen=True)
class DeleteOutcome:
    """How the deletion of one key ended; ``error`` is None if S3 says that it is gone (or never was there)."""

    key: str
    error: S3AccelError | None = None

    @property
    def deleted(self) -> bool:
        return self.error is None


def delete_objects(
    s3: S3, bucket: str, keys: Iterable[str], *, policy: RetryPolicy | None = None
) -> Iterator[DeleteOutcome]:
    """Delete every key; outcomes come in the order of the keys, exactly one for each.

    ``keys`` is read only as fast as S3 answers. A request that fails as a whole (no permission, no network) is the
    outcome of each of its keys; what was not asked for then is still tried.
    """
    if isinstance(keys, (str, bytes)):
        raise ConfigError("keys is one text; give an iterable of keys")
    s3.endpoint(bucket, "DeleteObjects")
    return _batches(s3, bucket, iter(keys), policy or RetryPolicy())


def _batches(s3: S3, bucket: str, keys: Iterator[str], policy: RetryPolicy) -> Iterator[DeleteOutcome]:
    running: deque[Future[list[DeleteOutcome]]] = deque()
    stop = threading.Event()
    with ThreadPoolExecutor(CONCURRENCY, "s3accel-delete") as threads:
        try:
            while batch := list(islice(keys, MAX_BATCH)):
                running.append(threads.submit(_delete, s3, bucket, batch, policy, stop))
                if len(running) >= CONCURRENCY:
                    yield from running.popleft().result()
            while running:
                yield from running.popleft().result()
        finally:
            stop.set()
            for future in running:
                future.cancel()


def _delete(
    s3: S3, bucket: str, batch: Sequence[str], policy: RetryPolicy, stop: threading.Event
) -> list[DeleteOutcome]:
    found: dict[str, S3AccelError | None] = {}
    together: list[str] = []
    for key in dict.fromkeys(batch):
        try:
            validate_key(key)
        except ConfigError as error:
            found[key] = error
            continue
        if _PLAIN.fullmatch(key):
            together.append(key)
        else:
            found[key] = _delete_one(s3, bucket, key)
    # Single keys may fail with what a later request cures, though the request itself succeeded.
    for attempt in range(1, policy.max_attempts + 1):
        if not together or stop.is_set():
            break
        try:
            answers = _ask(s3, bucket, together)
        except S3AccelError as error:
            found.update(dict.fromkeys(together, error))
            break
        found.update(answers)
        verdicts = {key: classify(error) for key, error in answers.items() if error is not None}
        together = [key for key, verdict in verdicts.items() if verdict.retry]
        if together and attempt < policy.max_attempts:
            stop.wait(max(policy.delay(attempt, verdicts[key], random.random()) for key in together))  # noqa: S311
    return [DeleteOutcome(key, found[key]) for key in batch if key in found]


def _delete_one(s3: S3, bucket: str, key: str) -> S3AccelError | None:
    try:
        s3.delete_object(bucket, key)
    except S3AccelError as error:
        return error
    return None


def _ask(s3: S3, bucket: str, keys: Sequence[str]) -> dict[str, S3AccelError | None]:
    """One DeleteObjects: an error or None for each key. Raises what concerns the request as a whole."""
    body = _document(keys)
    running = checksums.new("crc32")
    running.update(body)
    md5 = hashlib.md5(body, usedforsecurity=False).digest()
    headers = [
        ("Content-Type", "application/xml"),
        # S3 demands one of the two; older servers know only the first, directory buckets only the second.
        ("Content-MD5", checksums.encode(md5)),
        ("x-amz-checksum-crc32", checksums.encode(running.digest())),
    ]
    operation = Operation(
        "DeleteObjects", "POST", bucket, None, [("delete", "")], headers, body, root="DeleteResult"
    )
    root = s3.run(operation).root
    said = {} if root is None else _read(root, bucket)
    missing = S3Error("NoAnswer", 200, "S3 did not say what became of this key", operation="DeleteObjects")
    return {key: said.get(key, missing) for key in keys}


def _document(keys: Sequence[str]) -> bytes:
    objects = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys)
    return f'<Delete xmlns="{NAMESPACE}">{objects}</Delete>'.encode()


def _read(root: Element, bucket: str) -> dict[str, S3AccelError | None]:
    said: dict[str, S3AccelError | None] = {
        item.findtext("Key") or "": None for item in root.findall("Deleted")
    }
    for item in root.findall("Error"):
        key = item.findtext("Key") or ""
        code, message = (item.findtext(name) or "" for name in ("Code", "Message"))
        said[key] = S3Error(
            code or "Unknown", 200, message, operation="DeleteObjects", bucket=bucket, key=key
        )
    return said
