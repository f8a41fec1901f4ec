"""Buckets and objects in a folder.

Layout below the root (a marker file says that the folder is ours)::

    s3accel-store.json                    marker and format number
    buckets/BUCKET/bucket.json
    buckets/BUCKET/objects/SHA256(key).json     one object: headers, metadata, names of its data files
    uploads/UPLOAD_ID/upload.json         one multipart upload, and part-NNNNN.json beside it
    data/xx/RANDOM                        the bytes, never changed once they are here
    temporary/                            what is being received

No file name is made from a key's text, so ``..``, ``//``, any UTF-8 and 1,024 bytes are all the same to it.
An object exists when its JSON file was renamed into place; its bytes were renamed into ``data`` before. A
body that is refused stays in ``temporary`` only until it is deleted. All methods may be called from any
thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ..errors import ConfigError
from .conditions import UNCONDITIONAL, WriteCondition
from .records import BucketRecord, ObjectRecord, Segment
from .refusals import Refusal, no_such_bucket, no_such_key
from .staged import Staged

_MARKER = "s3accel-store.json"
_DATA_NAME = re.compile(r"[0-9a-f]{32}")
FORMAT = 1


class Bucket:
    """A bucket in memory: its record, its objects by key, and the keys in order when somebody lists."""

    def __init__(self, record: BucketRecord) -> None:
        self.record = record
        self.objects: dict[str, ObjectRecord] = {}
        self._sorted: list[str] | None = None

    def sorted_keys(self) -> list[str]:
        # Code point order is the byte order of UTF-8, which is the order S3 lists in.
        if self._sorted is None:
            self._sorted = sorted(self.objects)
        return self._sorted

    def changed(self) -> None:
        self._sorted = None


class Store:
    """A folder of buckets.

    Raises :class:`s3accel.errors.ConfigError` when the folder holds something else already. Everything but
    the bytes is kept in memory too (about 1 KiB an object).
    """

    def __init__(self, root: Path, *, durable: bool = False) -> None:
        self.root = root
        self.durable = durable
        self.lock = threading.RLock()
        self.buckets: dict[str, Bucket] = {}
        self._lock_file: IO[bytes] | None = None
        self._open_folder()
        self._claim()
        self._load()

    # -- the folder ----------------------------------------------------------------------------------------

    def _open_folder(self) -> None:
        marker = self.root / _MARKER
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            if not marker.exists():
                if any(self.root.iterdir()):
                    raise ConfigError(
                        f"the folder {self.root} is not empty and not a store of s3accel; nothing was "
                        "changed: "
                        "give an empty or a new folder"
                    )
                self.write_json(marker, {"format": FORMAT}, direct=True)
            found = json.loads(marker.read_text("utf-8")).get("format")
        except (OSError, ValueError, AttributeError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"the folder {self.root} cannot be used as a store: {error}") from error
        if found != FORMAT:
            raise ConfigError(f"the store in {self.root} has format {found!r}; this version reads {FORMAT}")
        for name in ("buckets", "uploads", "data", "temporary"):
            (self.root / name).mkdir(exist_ok=True)

    def _claim(self) -> None:
        """Keep a second endpoint out of the folder: each would delete what the other is receiving."""
        try:
            import fcntl
        except ImportError:  # Windows has no flock; there the user has to take care.
            return
        self._lock_file = open(self.root / "lock", "wb")  # noqa: SIM115
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise ConfigError(
                f"another endpoint uses the store in {self.root}; stop it or give another folder"
            ) from error

    def close(self) -> None:
        """Let go of the folder."""
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    def _load(self) -> None:
        for leftover in (self.root / "temporary").iterdir():
            leftover.unlink()
        for folder in sorted((self.root / "buckets").iterdir()):
            description = folder / "bucket.json"
            if not description.is_file():
                continue
            bucket = Bucket(BucketRecord(**json.loads(description.read_text("utf-8"))))
            for file in (folder / "objects").glob("*.json"):
                record = ObjectRecord.from_json(json.loads(file.read_text("utf-8")))
                bucket.objects[record.key] = record
            self.buckets[bucket.record.name] = bucket

    def remove_unreferenced(self, used: set[str]) -> None:
        """Delete data files that nothing names: what a killed process left between two renames."""
        for folder in (self.root / "data").iterdir():
            for file in folder.iterdir():
                if _DATA_NAME.fullmatch(file.name) and file.name not in used:
                    file.unlink()

    def write_json(self, path: Path, data: Any, *, direct: bool = False) -> None:
        text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
        if direct:
            path.write_text(text, "utf-8")
            return
        with self.stage() as staged:
            staged.write(text.encode("ascii"))
            staged.keep(path, self.durable)

    def stage(self) -> Staged:
        """A new file for bytes that are being received."""
        return Staged(self.root / "temporary" / secrets.token_hex(16))

    def data_path(self, name: str) -> Path:
        return self.root / "data" / name[:2] / name

    def keep_data(self, staged: Staged) -> str:
        """Move a received file to its final place; returns its name."""
        name = secrets.token_hex(16)
        path = self.data_path(name)
        path.parent.mkdir(exist_ok=True)
        staged.keep(path, self.durable)
        return name

    def drop_data(self, names: list[str]) -> None:
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                self.data_path(name).unlink()

    # -- buckets -------------------------------------------------------------------------------------------

    def bucket(self, name: str) -> Bucket:
        """Raises Refusal NoSuchBucket."""
        with self.lock:
            found = self.buckets.get(name)
        if found is None:
            raise no_such_bucket(name)
        return found

    def create_bucket(self, record: BucketRecord) -> Bucket:
        """Make a bucket; returns the one there is if it exists already."""
        with self.lock:
            if record.name in self.buckets:
                return self.buckets[record.name]
            folder = self.root / "buckets" / record.name
            (folder / "objects").mkdir(parents=True, exist_ok=True)
            bucket = Bucket(record)
            self.save_bucket(bucket)
            self.buckets[record.name] = bucket
            return bucket

    def save_bucket(self, bucket: Bucket) -> None:
        self.write_json(self.root / "buckets" / bucket.record.name / "bucket.json", vars(bucket.record))

    def delete_bucket(self, name: str) -> None:
        with self.lock:
            bucket = self.bucket(name)
            if bucket.objects:
                raise Refusal(
                    "BucketNotEmpty",
                    409,
                    "The bucket you tried to delete is not empty",
                    {"BucketName": name},
                )
            shutil.rmtree(self.root / "buckets" / name)
            del self.buckets[name]

    # -- objects -------------------------------------------------------------------------------------------

    def _object_path(self, bucket: str, key: str) -> Path:
        name = hashlib.sha256(key.encode("utf-8")).hexdigest()
        return self.root / "buckets" / bucket / "objects" / f"{name}.json"

    def find(self, bucket: str, key: str) -> ObjectRecord:
        """Raises Refusal NoSuchBucket or NoSuchKey."""
        with self.lock:
            record = self.bucket(bucket).objects.get(key)
        if record is None:
            raise no_such_key(key)
        return record

    def etag(self, bucket: str, key: str) -> str | None:
        with self.lock:
            record = self.bucket(bucket).objects.get(key)
            return None if record is None else record.etag

    def commit(
        self,
        bucket_name: str,
        record: ObjectRecord,
        condition: WriteCondition = UNCONDITIONAL,
        staged: Staged | None = None,
    ) -> None:
        """Put an object in place of what was there, in one step.

        With ``staged`` its bytes become the object's only segment; otherwise ``record.segments`` name data
        files that are already kept. Raises Refusal when the bucket is gone or the condition does not hold;
        nothing is changed then.
        """
        with self.lock:
            bucket = self.bucket(bucket_name)
            old = bucket.objects.get(record.key)
            condition.check(record.key, None if old is None else old.etag)
            if staged is not None:
                size = staged.size
                record.segments = [Segment(self.keep_data(staged), size, 1, record.checksum)]
            self.write_json(self._object_path(bucket_name, record.key), record.to_json())
            bucket.objects[record.key] = record
            if old is None:
                bucket.changed()
            else:
                self._retire(old)

    def delete(self, bucket_name: str, key: str, condition: WriteCondition = UNCONDITIONAL) -> bool:
        """Delete an object; False if there was none. Raises Refusal (NoSuchBucket, PreconditionFailed)."""
        with self.lock:
            bucket = self.bucket(bucket_name)
            old = bucket.objects.get(key)
            condition.check(key, None if old is None else old.etag)
            if old is None:
                return False
            self._object_path(bucket_name, key).unlink()
            del bucket.objects[key]
            bucket.changed()
            self._retire(old)
            return True

    def _retire(self, record: ObjectRecord) -> None:
        """Delete the bytes of a replaced object, or leave that to the last reader."""
        record.replaced = True
        if record.readers == 0:
            self.drop_data([segment.file for segment in record.segments])

    @contextlib.contextmanager
    def reading(self, bucket: str, key: str) -> Iterator[ObjectRecord]:
        """An object whose bytes stay on the disk until the block ends, even if it is replaced meanwhile."""
        with self.lock:
            record = self.find(bucket, key)
            record.readers += 1
        try:
            yield record
        finally:
            self.release(record)

    def hold(self, bucket: str, key: str) -> ObjectRecord:
        """Like :meth:`reading` for an answer that is sent later: every hold needs its :meth:`release`."""
        with self.lock:
            record = self.find(bucket, key)
            record.readers += 1
            return record

    def release(self, record: ObjectRecord) -> None:
        with self.lock:
            record.readers -= 1
            if record.replaced and record.readers == 0:
                self.drop_data([segment.file for segment in record.segments])

    def read_segments(self, segments: list[Segment], start: int, length: int, block: int) -> Iterator[bytes]:
        """The bytes ``start`` to ``start + length`` of consecutive segments, in blocks of at most ``block``
        bytes."""
        for segment in segments:
            if length <= 0:
                return
            if start >= segment.size:
                start -= segment.size
                continue
            with open(self.data_path(segment.file), "rb", buffering=0) as file:
                file.seek(start)
                left = min(segment.size - start, length)
                length -= left
                start = 0
                while left > 0:
                    data = file.read(min(block, left))
                    if not data:
                        raise OSError(f"the data file {segment.file} is shorter than its record says")
                    left -= len(data)
                    yield data
