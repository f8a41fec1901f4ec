"""Multipart uploads beside the objects of a :class:`~s3accel.local.store.Store`."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from collections import OrderedDict
from dataclasses import asdict
from pathlib import Path

from .records import Part, UploadRecord
from .refusals import no_such_upload
from .staged import Staged
from .store import Store

REMEMBERED = 1000
"""How many finished completions are remembered, so that a repeated one (its answer was lost) gets its
answer again."""


class Uploads:
    """The multipart uploads of a store. May be used from any thread; shares the store's lock."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = store.root / "uploads"
        self._open: dict[str, UploadRecord] = {}
        self._done: OrderedDict[str, tuple[str, str, bytes, dict[str, str]]] = OrderedDict()
        self._load()

    def _load(self) -> None:
        for folder in self._folder.iterdir():
            description = folder / "upload.json"
            if not description.is_file():
                shutil.rmtree(folder)
                continue
            data = json.loads(description.read_text("utf-8"))
            data["metadata"] = [(name, value) for name, value in data["metadata"]]
            upload = UploadRecord(**data)
            for file in folder.glob("part-*.json"):
                part = Part(**json.loads(file.read_text("utf-8")))
                upload.parts[part.number] = part
            self._open[upload.upload_id] = upload
        used = {part.file for upload in self._open.values() for part in upload.parts.values()}
        for bucket in self._store.buckets.values():
            for record in bucket.objects.values():
                used.update(segment.file for segment in record.segments)
        self._store.remove_unreferenced(used)

    def _part_path(self, upload_id: str, number: int) -> Path:
        return self._folder / upload_id / f"part-{number:05d}.json"

    @staticmethod
    def new_id() -> str:
        return secrets.token_urlsafe(48)

    def create(self, upload: UploadRecord) -> None:
        with self._store.lock:
            self._store.bucket(upload.bucket)
            folder = self._folder / upload.upload_id
            folder.mkdir()
            self._store.write_json(folder / "upload.json", upload.to_json())
            self._open[upload.upload_id] = upload

    def find(self, upload_id: str, bucket: str, key: str) -> UploadRecord:
        """Raises Refusal: NoSuchBucket, NoSuchUpload (also when it belongs to another key)."""
        with self._store.lock:
            self._store.bucket(bucket)
            upload = self._open.get(upload_id)
            if upload is None or (upload.bucket, upload.key) != (bucket, key):
                raise no_such_upload(upload_id)
            return upload

    def put_part(self, upload: UploadRecord, part: Part, staged: Staged) -> None:
        """Keep a part, in place of an earlier one of that number. Raises Refusal when the upload ended
        meanwhile."""
        with self._store.lock:
            self.find(upload.upload_id, upload.bucket, upload.key)
            part.file = self._store.keep_data(staged)
            self._store.write_json(self._part_path(upload.upload_id, part.number), asdict(part))
            old = upload.parts.get(part.number)
            upload.parts[part.number] = part
            if old is not None:
                self._store.drop_data([old.file])

    def abort(self, upload: UploadRecord) -> None:
        with self._store.lock:
            self.find(upload.upload_id, upload.bucket, upload.key)
            self._forget(upload, set())

    def finish(self, upload: UploadRecord, used: set[str], body: bytes, headers: dict[str, str]) -> None:
        """The upload became an object made of the data files ``used``; parts that were left out are
        deleted."""
        with self._store.lock:
            self._forget(upload, used)
            self._done[upload.upload_id] = (upload.bucket, upload.key, body, headers)
            while len(self._done) > REMEMBERED:
                self._done.popitem(last=False)

    def finished(self, upload_id: str, bucket: str, key: str) -> tuple[bytes, dict[str, str]] | None:
        """The answer a completed upload got, or None."""
        with self._store.lock:
            done = self._done.get(upload_id)
            if done is None or done[:2] != (bucket, key):
                return None
            return done[2], done[3]

    def _forget(self, upload: UploadRecord, keep: set[str]) -> None:
        # The description goes first: a folder without one is swept at the next start.
        folder = self._folder / upload.upload_id
        with contextlib.suppress(FileNotFoundError):
            (folder / "upload.json").unlink()
        shutil.rmtree(folder, ignore_errors=True)
        del self._open[upload.upload_id]
        self._store.drop_data([part.file for part in upload.parts.values() if part.file not in keep])

    def drop_bucket(self, bucket: str) -> None:
        """Forget the uploads of a bucket that was deleted."""
        with self._store.lock:
            for upload in [upload for upload in self._open.values() if upload.bucket == bucket]:
                self._forget(upload, set())

    def of_bucket(self, bucket: str) -> list[UploadRecord]:
        """The uploads in progress, by key and then by the time they began."""
        with self._store.lock:
            mine = [upload for upload in self._open.values() if upload.bucket == bucket]
        return sorted(mine, key=lambda upload: (upload.key, upload.initiated, upload.upload_id))
