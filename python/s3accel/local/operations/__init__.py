"""The S3 operations. Each is a coroutine from a verified :class:`~s3accel.local.operations.common.Call` to
a Reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..exchange import Reply
from . import buckets, lists, multipart, objects, reads
from .common import Call

Handler = Callable[[Call], Awaitable[Reply]]

HANDLERS: dict[str, Handler] = {
    "AbortMultipartUpload": multipart.abort_multipart_upload,
    "CompleteMultipartUpload": multipart.complete_multipart_upload,
    "CopyObject": objects.copy_object,
    "CreateBucket": buckets.create_bucket,
    "CreateMultipartUpload": multipart.create_multipart_upload,
    "DeleteBucket": buckets.delete_bucket,
    "DeleteObject": objects.delete_object,
    "DeleteObjects": objects.delete_objects,
    "GetBucketAccelerateConfiguration": buckets.get_acceleration,
    "GetBucketLocation": buckets.get_location,
    "GetObject": reads.get_object,
    "HeadBucket": buckets.head_bucket,
    "HeadObject": reads.head_object,
    "ListBuckets": buckets.list_buckets,
    "ListMultipartUploads": lists.list_multipart_uploads,
    "ListObjects": lists.list_objects,
    "ListObjectsV2": lists.list_objects_v2,
    "ListParts": multipart.list_parts,
    "PutBucketAccelerateConfiguration": buckets.put_acceleration,
    "PutObject": objects.put_object,
    "UploadPart": multipart.upload_part,
    "UploadPartCopy": multipart.upload_part_copy,
}
