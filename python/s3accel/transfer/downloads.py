"""The client's downloads and deletions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from s3accel.transfer.deletes import DeleteOutcome, delete_objects
from s3accel.transfer.download import Target, fetch_object
from s3accel.transfer.fetched import DownloadSettings
from s3accel.transfer.plan import DEFAULT_PART_SIZE
from s3accel.transfer.progress import ProgressCallback
from s3accel.transfer.results import DownloadResult
from s3accel.transfer.retry import RetryPolicy
from s3accel.transfer.s3 import S3
from s3accel.transfer.s3xml import ObjectSummary
from s3accel.transfer.upload import UploadSettings

__all__ = ["Downloads"]

#: What a download to a stream holds at most. A file needs half a MiB for each range in flight.
DEFAULT_MEMORY_LIMIT = 128 * 1024 * 1024


class Downloads:
    """What `Client` can fetch and delete."""

    _s3: S3
    settings: UploadSettings
    _progress: ProgressCallback | None
    _retry: RetryPolicy | None

    def download(
        self,
        bucket: str,
        key: str,
        target: Target,
        *,
        version_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        part_size: int | None = None,
        concurrency: int | None = None,
        memory_limit: int = DEFAULT_MEMORY_LIMIT,
        resume: bool = True,
        fsync: bool = False,
        known: ObjectSummary | None = None,
        progress: ProgressCallback | None = None,
    ) -> DownloadResult:
        """Fetch ``s3://bucket/key`` in parallel ranges, all of the same state of the object, and check the whole.

        Args:
            target: a path, or a binary file open for writing, which gets the bytes in order. A path appears only when
                everything is there and right; a device or pipe of that name is written to.
            headers: customer key (SSE-C), expected owner, request payer.
            part_size: bytes of one range; an object up to this size is fetched in one request. The client's, else
                16 MiB. More where 10,000 ranges would not do.
            concurrency: ranges in flight; the client's ``max_concurrency``.
            memory_limit: bytes held at once for a file that is written in order.
            resume: keep what arrived beside the target when a large download fails, and go on from it if the object
                is still the same.
            fsync: bytes and name are on the disk when this returns.
            known: the object's line of a listing, which saves a request for a small object.
            progress: instead of the client's. An exception raised in it ends the download.

        Raises:
            ConfigError (EndpointError): before anything is sent.
            NoSuchKey, AccessDenied, S3Error, TransportError: the object could not be had; nothing is left behind.
            ObjectChanged: it was replaced or deleted meanwhile; nothing is left behind.
            ChecksumMismatch: what arrived is not what S3 holds; nothing is left behind.
            DownloadError: anything else in the middle; its text says what is left, ``__cause__`` is the last error.
        """
        settings = DownloadSettings(
            part_size=part_size or self.settings.part_size or DEFAULT_PART_SIZE,
            concurrency=concurrency or self.settings.max_concurrency,
            memory_limit=memory_limit,
            resume=resume,
            fsync=fsync,
        )
        return fetch_object(
            self._s3,
            bucket,
            key,
            target,
            settings,
            progress=progress or self._progress,
            headers=headers,
            version_id=version_id,
            known=known,
        )

    def delete_many(self, bucket: str, keys: Iterable[str]) -> Iterator[DeleteOutcome]:
        """Delete many objects, 1,000 to a request; outcomes come in the order of the keys, one for each.

        Nothing is begun before the first outcome is asked for; ``keys`` is read only as fast as S3 answers.
        """
        return delete_objects(self._s3, bucket, keys, policy=self._retry)
