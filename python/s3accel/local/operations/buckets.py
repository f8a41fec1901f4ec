"""Buckets and their acceleration configuration."""

from __future__ import annotations

from ..body import receive_document
from ..exchange import Reply
from ..names import check_bucket_name
from ..records import BucketRecord
from ..refusals import Refusal, invalid_request, malformed_xml
from ..xml import Child, Element, parse, timestamp
from .common import OWNER_ID, Call, number, xml_reply


async def list_buckets(call: Call) -> Reply:
    prefix = call.query.get("prefix", "")
    limit = number(call, "max-buckets", 10_000, 1, 10_000)
    after = call.query.get("continuation-token", "")
    region = call.query.get("bucket-region", call.services.region)
    names = sorted(
        name
        for name in list(call.store.buckets)
        if name.startswith(prefix) and name > after and region == call.services.region
    )
    buckets: list[Element] = []
    for name in names[:limit]:
        record = call.store.bucket(name).record
        entry: Child = [
            ("Name", name),
            ("CreationDate", timestamp(record.created)),
            ("BucketRegion", call.services.region),
        ]
        buckets.append(("Bucket", entry))
    children: list[Element] = [("Owner", [("ID", OWNER_ID)]), ("Buckets", buckets)]
    if len(names) > limit:
        children.append(("ContinuationToken", names[limit - 1]))
    if prefix:
        children.append(("Prefix", prefix))
    return xml_reply("ListAllMyBucketsResult", children)


async def create_bucket(call: Call) -> Reply:
    body, _ = await receive_document(call.request, call.verified)
    check_bucket_name(call.bucket)
    region = call.services.region
    wanted = "us-east-1"
    if body.strip():
        node = parse(body, "CreateBucketConfiguration")
        wanted = node.get("LocationConstraint") or "us-east-1"
        # "EU" is the old name of eu-west-1.
        wanted = "eu-west-1" if wanted == "EU" else wanted
    if wanted != region:
        raise Refusal(
            "IllegalLocationConstraintException",
            400,
            f"The {wanted if body.strip() else 'unspecified'} location constraint is incompatible for "
            "the region "
            "specific endpoint this request was sent to.",
        )
    with call.store.lock:
        if call.bucket in call.store.buckets:
            # In us-east-1 creating one's own bucket again succeeds, elsewhere it does not (S3 API,
            # CreateBucket).
            if region != "us-east-1":
                raise Refusal(
                    "BucketAlreadyOwnedByYou",
                    409,
                    "Your previous request to create the named bucket succeeded and you already own it.",
                    {"BucketName": call.bucket},
                )
        else:
            call.store.create_bucket(BucketRecord(call.bucket, call.services.now()))
    return Reply(headers=[("Location", f"/{call.bucket}")])


async def delete_bucket(call: Call) -> Reply:
    with call.store.lock:
        call.store.delete_bucket(call.bucket)
        call.services.uploads.drop_bucket(call.bucket)
    return Reply(204)


async def head_bucket(call: Call) -> Reply:
    call.store.bucket(call.bucket)
    return Reply(
        headers=[("x-amz-bucket-region", call.services.region), ("x-amz-access-point-alias", "false")]
    )


async def get_location(call: Call) -> Reply:
    call.store.bucket(call.bucket)
    region = call.services.region
    # us-east-1 is the null location.
    return xml_reply("LocationConstraint", None if region == "us-east-1" else region)


async def get_acceleration(call: Call) -> Reply:
    status = call.store.bucket(call.bucket).record.acceleration
    return xml_reply("AccelerateConfiguration", None if status is None else ("Status", status))


async def put_acceleration(call: Call) -> Reply:
    body, _ = await receive_document(call.request, call.verified)
    bucket = call.store.bucket(call.bucket)
    status = parse(body, "AccelerateConfiguration").get("Status")
    if status not in ("Enabled", "Suspended"):
        raise malformed_xml()
    if "." in call.bucket:
        raise invalid_request(
            "S3 Transfer Acceleration is not supported for buckets with periods (.) in their names"
        )
    with call.store.lock:
        bucket.record.acceleration = status
        call.store.save_bucket(bucket)
    return Reply()
