"""The S3 operations: what each sends and what its answer means.

Nothing here starts threads. Sources: S3 API Reference, the page of each operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from xml.etree.ElementTree import Element

from s3accel import checksums
from s3accel.errors import ChecksumMismatch, S3Error, TransportError
from s3accel.transfer import s3xml
from s3accel.transfer.body import Payload
from s3accel.transfer.calls import Call, Caller, Operation, Site, Stored
from s3accel.transfer.messages import Headers, Response, Sink
from s3accel.transfer.objectinfo import ObjectInfo, object_info, range_value
from s3accel.transfer.s3xml import CompletedPart, ListedPart, ListedUpload, ListPage
from s3accel.transfer.wholes import checksum_type, multipart_etag, whole_checksum

__all__ = ["S3", "Call", "ObjectInfo", "Site", "Stored"]

Items = Iterable[tuple[str, str]]

#: CompleteMultipartUpload of thousands of parts may be silent for minutes (S3 API Reference).
COMPLETE_STALL = 600.0


class S3(Caller):
    """The operations, over what Caller knows. Thread-safe."""

    def _check_stored(self, operation: Operation, stored: Stored, what: str) -> Stored:
        """Compare the checksum S3 computed, if it says one, with ours."""
        name = operation.payload.checksum if operation.payload is not None else None
        if name is not None and stored.checksum:
            theirs = stored.response.headers.get(checksums.lookup(name).header)
            if theirs and theirs != stored.checksum:
                raise ChecksumMismatch(
                    f"{what} s3://{operation.bucket}/{operation.key} is stored with {name} {theirs}, sent was"
                    f" {stored.checksum}: delete it or send it again"
                )
        return stored

    # -- objects

    def put_object(
        self, bucket: str, key: str, payload: Payload, headers: Items = (), call: Call | None = None
    ) -> Stored:
        """Store one object of up to 5 GiB."""
        operation = Operation("PutObject", "PUT", bucket, key, headers=tuple(headers), payload=payload)
        return self._check_stored(operation, self.run(operation, call), "the object")

    def head_object(self, bucket: str, key: str, headers: Items = (), call: Call | None = None) -> ObjectInfo:
        headers = [("x-amz-checksum-mode", "ENABLED"), *headers]
        stored = self.run(Operation("HeadObject", "HEAD", bucket, key, headers=headers), call)
        return object_info(bucket, key, stored.response)

    def get_object(
        self,
        bucket: str,
        key: str,
        sink: Sink,
        *,
        byte_range: tuple[int, int | None] | None = None,
        headers: Items = (),
        call: Call | None = None,
    ) -> ObjectInfo:
        """Read an object into a sink.

        Args:
            sink: called with the answer's headers at the start of each successful answer, gives what takes the
                bytes. When it is called again, what the earlier one took is void.
            byte_range: half-open ``(start, stop)``; stop None: to the end.

        A whole object with a full-object checksum is checked while it is read: ChecksumMismatch.
        """
        items = [("x-amz-checksum-mode", "ENABLED"), *headers]
        if byte_range is not None:
            items.append(("Range", range_value(*byte_range)))
        check: tuple[str, str, checksums.Checksum] | None = None

        def checked(answer: Headers) -> Callable[[bytes], object]:
            nonlocal check
            write = sink(answer)
            check = None if byte_range is not None else _full_checksum(answer)
            if check is None:
                return write
            update = check[2].update

            def both(data: bytes) -> None:
                update(data)
                write(data)

            return both

        stored = self.run(Operation("GetObject", "GET", bucket, key, headers=items, sink=checked), call)
        if check is not None and checksums.encode(check[2].digest()) != check[1]:
            raise ChecksumMismatch(
                f"s3://{bucket}/{key}: the bytes received have another {check[0]} than the object ({check[1]});"
                " discard them"
            )
        return object_info(bucket, key, stored.response)

    def delete_object(self, bucket: str, key: str, headers: Items = (), call: Call | None = None) -> None:
        self.run(Operation("DeleteObject", "DELETE", bucket, key, headers=tuple(headers)), call)

    def list_objects(
        self,
        bucket: str,
        prefix: str = "",
        delimiter: str | None = None,
        token: str = "",
        max_keys: int = 1000,
    ) -> ListPage:
        """One page of ListObjectsV2."""
        query = [
            ("list-type", "2"),
            ("encoding-type", "url"),
            ("max-keys", str(max_keys)),
            ("prefix", prefix),
        ]
        if delimiter:
            query.append(("delimiter", delimiter))
        if token:
            query.append(("continuation-token", token))
        stored = self.run(Operation("ListObjectsV2", "GET", bucket, query=query, root="ListBucketResult"))
        return s3xml.read_list(_root(stored))

    def head_bucket(self, bucket: str) -> str:
        """The bucket's region as S3 says it (or the one that worked). Raises S3Error if it is not ours to see."""
        stored = self.run(Operation("HeadBucket", "HEAD", bucket))
        region = stored.response.headers.get("x-amz-bucket-region") or self.region(bucket)
        self._regions[bucket] = region
        return region

    # -- multipart

    def create_multipart(
        self, bucket: str, key: str, checksum: str | None, headers: Items = (), call: Call | None = None
    ) -> str:
        """Begin a multipart upload and return its id. CRCs are FULL_OBJECT, other checksums COMPOSITE."""
        items = list(headers)
        if checksum is not None:
            items.append(("x-amz-checksum-algorithm", checksum.upper()))
            items.append(("x-amz-checksum-type", checksum_type(checksum)))
        query = [("uploads", "")]
        root = "InitiateMultipartUploadResult"
        operation = Operation("CreateMultipartUpload", "POST", bucket, key, query, items, b"", root=root)
        upload_id = s3xml.text_of(_root(self.run(operation, call)), "UploadId")
        if not upload_id:
            raise TransportError("CreateMultipartUpload was answered without an UploadId", phase="receive")
        return upload_id

    def upload_part(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        number: int,
        payload: Payload,
        headers: Items = (),
        call: Call | None = None,
    ) -> tuple[CompletedPart, Response]:
        query = [("partNumber", str(number)), ("uploadId", upload_id)]
        # The result reports the connection of CompleteMultipartUpload, so no part's handshake has to be watched.
        operation = Operation(
            "UploadPart", "PUT", bucket, key, query, tuple(headers), payload=payload, watched=False
        )
        stored = self._check_stored(operation, self.run(operation, call), f"part {number} of")
        if not stored.etag:
            raise TransportError(
                f"part {number} was answered {stored.response.status} without an ETag", phase="receive"
            )
        return CompletedPart(number, stored.etag, payload.length, stored.checksum), stored.response

    def list_parts(
        self, bucket: str, key: str, upload_id: str, headers: Items = (), call: Call | None = None
    ) -> list[ListedPart]:
        """All parts that S3 holds for the upload, over as many pages as there are."""
        found: list[ListedPart] = []
        marker: int | None = None
        while True:
            query = [("uploadId", upload_id)]
            if marker is not None:
                query.append(("part-number-marker", str(marker)))
            operation = Operation(
                "ListParts", "GET", bucket, key, query, tuple(headers), root="ListPartsResult"
            )
            parts, marker = s3xml.read_parts(_root(self.run(operation, call)))
            found += parts
            if marker is None:
                return found

    def list_uploads(self, bucket: str, prefix: str = "") -> Iterator[ListedUpload]:
        """Multipart uploads under way below ``prefix``, page by page."""
        marker: tuple[str, str] | None = ("", "")
        while marker is not None:
            query = [("uploads", ""), ("encoding-type", "url"), ("prefix", prefix)]
            query += [
                (name, value)
                for name, value in zip(("key-marker", "upload-id-marker"), marker, strict=True)
                if value
            ]
            root = "ListMultipartUploadsResult"
            operation = Operation("ListMultipartUploads", "GET", bucket, None, query, root=root)
            found, marker = s3xml.read_uploads(_root(self.run(operation)))
            yield from found

    def complete_multipart(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        parts: Sequence[CompletedPart],
        checksum: str | None,
        headers: Items = (),
        call: Call | None = None,
    ) -> Stored:
        """Make the object of its parts. The whole object's CRC, where there is one, goes along and is compared.

        If an attempt's answer was lost and the next one says NoSuchUpload, the first may have succeeded: the object
        is looked at, and only if it is what would have been made, that counts as success.
        """
        call = call or Call()
        size = sum(part.size for part in parts)
        whole = whole_checksum(checksum, parts)
        items = [*headers, ("x-amz-mp-object-size", str(size))]
        if checksum is not None:
            items.append(("x-amz-checksum-type", checksum_type(checksum)))
            if whole and checksum_type(checksum) == "FULL_OBJECT":
                items.append((checksums.lookup(checksum).header, whole))
        body = s3xml.complete_body(parts, checksum)
        items.append(("Content-Type", "application/xml"))
        operation = Operation(
            "CompleteMultipartUpload",
            "POST",
            bucket,
            key,
            [("uploadId", upload_id)],
            items,
            body,
            stall=COMPLETE_STALL,
            root="CompleteMultipartUploadResult",
        )
        try:
            stored = self.run(operation, call)
        except S3Error as error:
            if error.code != "NoSuchUpload" or call.history.attempts < 2:
                raise
            return self._completed_before(bucket, key, parts, size, checksum, whole, error, call.route)
        root = _root(stored)
        if whole and checksum is not None:
            theirs = s3xml.text_of(root, f"Checksum{checksum.upper()}") or whole
            if theirs != whole:
                raise ChecksumMismatch(
                    f"s3://{bucket}/{key} is stored with {checksum} {theirs}, sent was {whole}: delete it or send"
                    " it again"
                )
        return Stored(s3xml.text_of(root, "ETag"), stored.version_id, whole, stored.response, stored.endpoint)

    def _completed_before(
        self,
        bucket: str,
        key: str,
        parts: Sequence[CompletedPart],
        size: int,
        checksum: str | None,
        whole: str,
        error: S3Error,
        route: str,
    ) -> Stored:
        headers = [("x-amz-checksum-mode", "ENABLED")]
        stored = self.run(Operation("HeadObject", "HEAD", bucket, key, headers=headers), Call(route=route))
        info = object_info(bucket, key, stored.response)
        same = info.etag.strip('"') == multipart_etag(parts)
        if checksum is not None and info.checksums.get(checksum):
            same = info.checksums[checksum] == whole
        if info.size != size or not same:
            raise error
        return Stored(info.etag, info.version_id, whole, stored.response, stored.endpoint)

    def abort_multipart(
        self, bucket: str, key: str, upload_id: str, headers: Items = (), call: Call | None = None
    ) -> None:
        """Give up the upload and its parts. An upload that is gone already counts as success."""
        query = [("uploadId", upload_id)]
        operation = Operation(
            "AbortMultipartUpload", "DELETE", bucket, key, query=query, headers=tuple(headers)
        )
        try:
            self.run(operation, call)
        except S3Error as error:
            if error.code != "NoSuchUpload":
                raise


def _root(stored: Stored) -> Element:
    if stored.root is None:  # the caller named no root: nothing was parsed
        raise TransportError("the answer has no XML", phase="receive", retryable=False)
    return stored.root


def _full_checksum(headers: Headers) -> tuple[str, str, checksums.Checksum] | None:
    """Name, value and a running sum of the first checksum that covers the whole object, if there is one."""
    if headers.get("x-amz-checksum-type") == "COMPOSITE":
        return None
    for name, algorithm in checksums.ALGORITHMS.items():
        value = headers.get(algorithm.header)
        if value and "-" not in value and not name.startswith("xxhash"):
            return name, value, checksums.new(name)
    return None
