"""After a crash: what S3 holds is compared with what the journal says, so that nothing is sent twice or left behind.

Nothing is guessed. An object counts as stored only if its size and checksum (or ETag) are those of the file; a part
counts only if they are those of its range; whatever cannot be shown is sent again, which is always right.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from calendar import timegm
from email.utils import parsedate_to_datetime

from s3accel import checksums
from s3accel.errors import AccessDenied, NoSuchKey, S3AccelError, S3Error, SourceError, TransportError
from s3accel.transfer.attempts import describe
from s3accel.transfer.calls import Call, Operation
from s3accel.transfer.headers import ObjectHeaders, object_headers
from s3accel.transfer.hooks import Resume
from s3accel.transfer.journal import PENDING, STORED, Job, Journal, JournalOutcome, JournalUpload
from s3accel.transfer.messages import Headers
from s3accel.transfer.objectinfo import ObjectInfo, object_info
from s3accel.transfer.plan import MIN_PART_SIZE, PartRange, Plan
from s3accel.transfer.s3 import S3
from s3accel.transfer.s3xml import CompletedPart, ListedPart
from s3accel.transfer.wholes import multipart_etag, whole_checksum

__all__ = ["Recovery", "job_headers"]

log = logging.getLogger("s3accel.transfer")

#: Bytes read at a time when a file is summed up again.
BLOCK = 1 << 20
#: Seconds by which whole-second server times and the moment of noting may differ.
SLACK = 2.0
#: S3 refuses requests that were signed longer ago (RequestTimeTooSkewed): what a dead process sent arrives by then, or
#: never. For the same reason its time and ours are this close, once what was learned of its clock is added.
SKEW = 900.0
#: Seconds for which the key of an interrupted multipart upload is watched.
WATCH = SKEW + 60.0
#: What HEAD shows of the headers an object was put with.
_SHOWN = frozenset(
    {
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "expires",
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-aws-kms-key-id",
        "x-amz-storage-class",
        "x-amz-website-redirect-location",
    }
)


def job_headers(job: Job) -> ObjectHeaders:
    """The headers of its requests. Raises ConfigError."""
    options = job.options
    return object_headers(options.get("content_type"), options.get("metadata"), options.get("headers"))


class Recovery:
    """Settles jobs that an earlier process left.

    Args:
        checksum: the algorithm uploads are made with now; one begun with another is not carried on.
        threshold: size in bytes from which on objects go in parts.
    """

    def __init__(self, s3: S3, journal: Journal, *, checksum: str | None, threshold: int) -> None:
        self._s3 = s3
        self._journal = journal
        self._checksum = checksum
        #: Objects of so many bytes and more may have been multipart uploads, with these or with earlier settings.
        self.multipart_from = min(threshold, MIN_PART_SIZE)

    def prepare(self, job: Job) -> JournalOutcome | Resume | None:
        """How a job that was begun before goes on.

        Returns its outcome if it is stored already, the multipart upload to carry on, or None: start anew.

        Raises SourceError (the file changed; uploads are aborted), S3Error, TransportError, CredentialsError: nothing
        is settled then.
        """
        try:
            job.check_unchanged()
            changed = None
        except SourceError as error:
            changed = error
        resume: Resume | None = None
        for upload in reversed(self._journal.uploads(job.id)):
            listed = self._list_parts(job, upload)
            if listed is None:
                # Completed, with the answer lost; or aborted, or expired by the bucket's rules.
                info = self._head(job)
                self._abort(job, upload)
                if info and self._is_of(job, info, upload, changed is None):
                    return self._found(info, len(upload.parts))
            elif changed is None and resume is None and self._fits(upload):
                resume = self._resume(job, upload, listed)
            else:
                self._abort(job, upload)
        if resume is not None:
            return resume
        if changed is not None:
            raise SourceError(
                f"{changed}; the job had been begun: if all of it was sent before, {job.where} holds what the file was"
            ) from changed
        self.sweep(job)
        info = self._head(job)
        return self._found(info, 0) if info and self._is_of(job, info, None, True) else None

    def orphans(self) -> int:
        """Abort uploads whose job has its outcome. Returns how many are gone; those that resist stay noted."""
        gone = 0
        for upload in self._journal.uploads():
            job = self._journal.job(upload.job)
            if job.state == PENDING:
                continue
            try:
                gone += self._abort(job, upload)
            except S3AccelError as error:
                log.warning(
                    "upload %s of %s could not be aborted: %s", upload.upload_id, job.where, describe(error)
                )
                if isinstance(error, TransportError):
                    break  # each of the others would wait as long for the same network
        return gone

    def late(self) -> None:
        """Sweep after every job that is watched, and no longer watch those whose time is over.

        A CreateMultipartUpload that was on its way when its process died may be carried out after the next process
        has looked. Nothing else may be at work on these jobs meanwhile: an upload it has just begun, and not written
        down yet, looks the same.
        """
        for job in self._journal.watched():
            over = job.watch is not None and job.watch < time.time()
            try:
                self.sweep(job)
            except S3AccelError as error:
                log.warning(
                    "unfinished uploads of %s could not be looked for: %s", job.where, describe(error)
                )
                if isinstance(error, TransportError):
                    break
                continue
            if over:
                self._journal.unwatch(job.id)

    def sweep(self, job: Job) -> None:
        """Abort what a CreateMultipartUpload left whose answer was never recorded.

        Such an upload has no parts (its id is recorded before the first), it is for exactly this key, and it is not
        older than the job's beginning nor younger than the time the job is watched; nothing else is touched. Without
        the right to list uploads it is left to the bucket's lifecycle rules.
        """
        if job.begun is None or not self.may_leave_uploads(job):
            return
        until = job.watch if job.watch is not None else time.time() + WATCH
        known = self._journal.upload_ids()
        headers = job_headers(job).part
        try:
            for found in list(self._s3.list_uploads(job.bucket, job.key)):
                if found.key != job.key or found.upload_id in known:
                    continue
                begun = _epoch(found.initiated) - self._s3.clock_offset
                if not job.begun - SKEW <= begun <= until:
                    continue
                if self._is_empty(job, found.upload_id, headers):
                    self._s3.abort_multipart(job.bucket, job.key, found.upload_id, headers)
                    log.info(
                        "aborted upload %s of %s: begun before a crash, without parts",
                        found.upload_id,
                        job.where,
                    )
        except S3Error as error:
            if error.status not in (400, 403, 405, 501):
                raise
            log.warning("unfinished uploads of %s could not be looked for: %s", job.where, describe(error))

    def _is_empty(self, job: Job, upload_id: str, headers: tuple[tuple[str, str], ...]) -> bool:
        try:
            return not self._s3.list_parts(job.bucket, job.key, upload_id, headers)
        except S3Error as error:
            if error.code != "NoSuchUpload":
                raise
            return False

    def may_leave_uploads(self, job: Job) -> bool:
        """True if a multipart upload may have been begun for it that the journal does not know."""
        return job.begun is not None and job.size >= self.multipart_from

    # -- multipart

    def _list_parts(self, job: Job, upload: JournalUpload) -> list[ListedPart] | None:
        """What S3 holds of it; None if it knows no such upload, or does not let us look."""
        try:
            return self._s3.list_parts(job.bucket, job.key, upload.upload_id, job_headers(job).part)
        except S3Error as error:
            if error.code != "NoSuchUpload" and not isinstance(error, AccessDenied):
                raise
            return None

    def _fits(self, upload: JournalUpload) -> bool:
        return upload.part_size > 0 and upload.checksum == self._checksum

    def _resume(self, job: Job, upload: JournalUpload, listed: list[ListedPart]) -> Resume:
        plan = _plan(job, upload)
        parts: dict[int, CompletedPart] = {}
        for item in listed:
            if not 1 <= item.number <= plan.count or item.size != plan.part(item.number).length:
                continue  # sent again under the same number, which replaces it
            known = upload.parts.get(item.number)
            if known is not None and _same_part(known, item, upload.checksum):
                parts[item.number] = known
                continue
            adopted = _adopt(job, upload.checksum, plan.part(item.number), item)
            if adopted is not None:
                self._journal.add_part(job.id, upload.upload_id, adopted)
                parts[item.number] = adopted
        log.info("%s: %d of %d parts are stored already", job.where, len(parts), plan.count)
        return Resume(upload_id=upload.upload_id, part_size=upload.part_size, parts=parts, route=upload.route)

    def _abort(self, job: Job, upload: JournalUpload) -> bool:
        headers = job_headers(job).part
        try:
            self._s3.abort_multipart(job.bucket, job.key, upload.upload_id, headers)
            if self._list_parts(job, upload):
                # A part that was on its way during the abort may outlive it (S3 API Reference, AbortMultipartUpload).
                self._s3.abort_multipart(job.bucket, job.key, upload.upload_id, headers)
        except AccessDenied as error:
            # Stays noted, for a run that may; the job itself can go on without it.
            log.warning(
                "upload %s of %s could not be aborted: %s", upload.upload_id, job.where, describe(error)
            )
            return False
        self._journal.drop_upload(job.id, upload.upload_id)
        return True

    # -- whole objects

    def _head(self, job: Job) -> tuple[ObjectInfo, Headers] | None:
        headers = [("x-amz-checksum-mode", "ENABLED"), *job_headers(job).part]
        try:
            stored = self._s3.run(
                Operation("HeadObject", "HEAD", job.bucket, job.key, headers=headers), Call()
            )
        except NoSuchKey:
            return None
        except S3Error as error:
            if error.status in (403, 405):  # no right to look, or a delete marker: sending again is right
                return None
            raise
        return object_info(job.bucket, job.key, stored.response), stored.response.headers

    def _is_of(
        self, job: Job, found: tuple[ObjectInfo, Headers], upload: JournalUpload | None, readable: bool
    ) -> bool:
        info, headers = found
        if info.size != job.size or _too_old(job, headers) or not _same_headers(job, headers):
            return False
        if upload is not None and upload.part_size and len(upload.parts) == _plan(job, upload).count:
            parts = [upload.parts[number] for number in sorted(upload.parts)]
            whole = whole_checksum(upload.checksum, parts)
            theirs = info.checksums.get(upload.checksum or "", "")
            if whole and theirs:
                return whole == theirs
            return info.etag.strip('"') == multipart_etag(parts)
        return readable and _same_content(job, info)

    def _found(self, found: tuple[ObjectInfo, Headers], parts: int) -> JournalOutcome:
        info = found[0]
        name = next(iter(info.checksums), None)
        return JournalOutcome(
            STORED,
            etag=info.etag,
            version_id=info.version_id,
            checksum=info.checksums[name] if name else None,
            checksum_algorithm=name,
            parts=parts,
            found=True,
        )


# -- comparisons


def _plan(job: Job, upload: JournalUpload) -> Plan:
    return Plan(job.size, upload.part_size, -(-job.size // upload.part_size))


def _same_part(known: CompletedPart, item: ListedPart, checksum: str | None) -> bool:
    theirs = dict(item.checksums).get(checksum or "", "")
    if theirs and known.checksum and theirs != known.checksum:
        return False
    return known.size == item.size and known.etag.strip('"') == item.etag.strip('"')


def _adopt(job: Job, checksum: str | None, part: PartRange, item: ListedPart) -> CompletedPart | None:
    """The part S3 holds, if it is byte for byte the file's: by its checksum, or by an ETag that is an MD5."""
    theirs = dict(item.checksums).get(checksum or "", "")
    ours, md5 = _sums(job, checksum, part.offset, part.length)
    etag = item.etag.strip('"').lower()
    same = theirs == ours if theirs and ours else bool(re.fullmatch("[0-9a-f]{32}", etag)) and etag == md5
    return CompletedPart(part.number, item.etag, part.length, ours) if same else None


def _same_content(job: Job, info: ObjectInfo) -> bool:
    if info.checksum_type != "COMPOSITE":
        for name, value in info.checksums.items():
            if "-" not in value and checksums.ALGORITHMS[name].native:
                return _sums(job, name, 0, job.size)[0] == value
    etag = info.etag.strip('"').lower()
    return bool(re.fullmatch("[0-9a-f]{32}", etag)) and etag == _sums(job, None, 0, job.size)[1]


def _sums(job: Job, checksum: str | None, offset: int, length: int) -> tuple[str, str]:
    """Checksum (base64, "" without one) and MD5 (hex) of a range of the file. Raises SourceError."""
    running = checksums.new(checksum) if checksum else None
    md5 = hashlib.md5(usedforsecurity=False)
    try:
        with open(job.path, "rb", buffering=0) as file:
            file.seek(offset)
            while length:
                block = file.read(min(BLOCK, length))
                if not block:
                    raise SourceError(f"{job.source} ended early, at byte {file.tell()} of {job.size}")
                length -= len(block)
                md5.update(block)
                if running is not None:
                    running.update(block)
    except OSError as error:
        raise SourceError(f"{job.source} could not be read: {error.strerror or error}") from error
    return checksums.encode(running.digest()) if running is not None else "", md5.hexdigest()


def _too_old(job: Job, headers: Headers) -> bool:
    """True if the object was there before the job began; the server's own two dates are compared, not our clock."""
    try:
        stored = parsedate_to_datetime(headers.get("last-modified")).timestamp()
        now = parsedate_to_datetime(headers.get("date")).timestamp()
    except (TypeError, ValueError, IndexError):
        return True
    return job.begun is None or now - stored > time.time() - job.begun + SLACK


def _same_headers(job: Job, headers: Headers) -> bool:
    """As far as HEAD shows them."""
    return all(
        headers.get(name) == value
        for name, value in job_headers(job).put
        if name.lower() in _SHOWN or name.lower().startswith("x-amz-meta-")
    )


def _epoch(text: str) -> float:
    """``2026-08-23T10:00:00.000Z`` in epoch seconds; 0 for anything else."""
    found = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)", text)
    return float(timegm(time.strptime(found[1], "%Y-%m-%dT%H:%M:%S"))) if found else 0.0
