"""A fake S3 that can be recovered from, and uploaders that come and go as processes do."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from s3accel import checksums
from s3accel.errors import ConnectionLost
from s3accel.transfer.journal import PENDING
from s3accel.transfer.journaled import JournaledUploader
from s3accel.transfer.messages import Headers, Request, Response

from ..conftest import FakeS3, Seen, error

MIB = 1024 * 1024
BUCKET = "bucket"


def crc(data: bytes) -> str:
    running = checksums.new("crc64nvme")
    running.update(data)
    return checksums.encode(running.digest())


def stamp(when: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(when))


@dataclass
class RecoverableS3(FakeS3):
    """The fake with dates, checksums and the list of uploads, which recovery looks at."""

    modified: dict[str, float] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)

    def do_put(self, request: Request, seen: Seen, key: str, body: bytes, etag: str) -> Response:
        self.modified[key] = time.time()
        return super().do_put(request, seen, key, body, etag)

    def do_create(self, request: Request, seen: Seen, key: str, body: bytes, etag: str) -> Response:
        answer = super().do_create(request, seen, key, body, etag)
        self.begin(f"upload-{self.created}", key)
        return answer

    def begin(self, upload_id: str, key: str, when: float | None = None) -> dict[int, bytes]:
        self.keys[upload_id] = key
        self.begun[upload_id] = time.time() if when is None else when
        return self.uploads.setdefault(upload_id, {})

    def do_complete(self, request: Request, seen: Seen, key: str, body: bytes, etag: str) -> Response:
        self.modified[key] = time.time()
        return super().do_complete(request, seen, key, body, etag)

    def do_listparts(self, request: Request, seen: Seen, key: str, body: bytes, etag: str) -> Response:
        parts = self.uploads.get(seen.query["uploadId"])
        if parts is None:
            return error("NoSuchUpload", 404)
        items = "".join(
            f'<Part><PartNumber>{n}</PartNumber><ETag>"{hashlib.md5(data).hexdigest()}"</ETag>'
            f"<ChecksumCRC64NVME>{crc(data)}</ChecksumCRC64NVME><Size>{len(data)}</Size></Part>"
            for n, data in sorted(parts.items())
        )
        return self.ok(f"<ListPartsResult>{items}</ListPartsResult>".encode())

    def do_get(self, request: Request, seen: Seen, key: str, body: bytes, etag: str) -> Response:
        if "uploads" not in seen.query:
            return super().do_get(request, seen, key, body, etag)
        items = "".join(
            f"<Upload><Key>{escape(self.keys[one])}</Key><UploadId>{one}</UploadId>"
            f"<Initiated>{stamp(self.begun[one])}</Initiated></Upload>"
            for one in self.uploads
            if self.keys[one].startswith(seen.query["prefix"])
        )
        return self.ok(f"<ListMultipartUploadsResult>{items}</ListMultipartUploadsResult>".encode())

    def do_head(self, request: Request, seen: Seen, key: str, body: bytes, etag: str) -> Response:
        answer = super().do_head(request, seen, key, body, etag)
        if answer.status != 200:
            return answer
        info = self.info.get(key, {})
        shown = {
            name: info[name] for name in info if name.startswith("x-amz-meta-") or name == "content-type"
        }
        more = {
            "last-modified": formatdate(self.modified.get(key, 0), usegmt=True),
            "date": formatdate(time.time(), usegmt=True),
            "x-amz-checksum-crc64nvme": crc(self.objects[key]),
            "x-amz-checksum-type": "FULL_OBJECT",
            **shown,
        }
        return Response(200, Headers([*answer.headers, *more.items()]))

    def count(self, operation: str) -> int:
        return self.operations().count(operation)


@pytest.fixture
def s3() -> RecoverableS3:
    return RecoverableS3()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "uploads.journal"


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Makes source files: small, or of four parts."""

    def new(name: str = "source", size: int = 17 * MIB, seed: int = 1) -> Path:
        file = tmp_path / name
        file.write_bytes((bytes(range(seed, 256)) * (size // 200 + 1))[:size])
        return file

    return new


@pytest.fixture
def uploads(new_client, path):
    """Opens the journal as a new process would: what was open before is closed."""
    opened: list[JournaledUploader] = []

    def open_(**options):
        for one in opened:
            one.close()
        client = new_client(**{"part_size": 5 * MIB, "multipart_threshold": 5 * MIB, **options})
        opened.append(JournaledUploader(client, path))
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


def lost(_request: Request, _s3: FakeS3) -> Exception:
    return ConnectionLost("broken", host="fake", phase="send")


def losing_part(number: int):
    def hook(request: Request, s3: FakeS3) -> Exception | None:
        return lost(request, s3) if f"partNumber={number}&" in request.url else None

    return hook


def interrupted(uploads, s3, source, number=3, key="big"):
    """A job of four parts of which one never arrived; the process is gone."""
    first = uploads(max_concurrency=1)
    job = first.submit(source, BUCKET, key)
    s3.hook = losing_part(number)
    [report] = first.run()
    assert report.state == PENDING
    s3.hook = None
    s3.seen.clear()
    return job


def begun(uploads, source, **options):
    """A job of which only its beginning is known."""
    one = uploads()
    number = one.submit(source, BUCKET, "k", **options)
    one.journal.begin([number])
    return uploads()
