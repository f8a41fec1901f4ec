"""The transfer layer: moves objects through the accelerated endpoint, signed by the core. See `Client`.

Importing this package imports no libcurl; making a `Client` without a transport of one's own does.
"""

from __future__ import annotations

from s3accel.transfer.bucketconfig import BucketConfig
from s3accel.transfer.client import Client
from s3accel.transfer.deletes import DeleteOutcome
from s3accel.transfer.endpoint import Endpoint
from s3accel.transfer.journaled import JournaledUploader
from s3accel.transfer.messages import Certificate, ConnectionInfo, Request, Response
from s3accel.transfer.objectinfo import ObjectInfo
from s3accel.transfer.progress import ProgressEvent
from s3accel.transfer.results import DownloadResult, JobOutcome, UploadResult
from s3accel.transfer.retry import RetryPolicy
from s3accel.transfer.route import Router
from s3accel.transfer.routepolicy import RoutePolicy
from s3accel.transfer.s3xml import ObjectSummary
from s3accel.transfer.transport import CurlTransport, Transport

__all__ = [
    "BucketConfig",
    "Certificate",
    "Client",
    "ConnectionInfo",
    "CurlTransport",
    "DeleteOutcome",
    "DownloadResult",
    "Endpoint",
    "JobOutcome",
    "JournaledUploader",
    "ObjectInfo",
    "ObjectSummary",
    "ProgressEvent",
    "Request",
    "Response",
    "RetryPolicy",
    "RoutePolicy",
    "Router",
    "Transport",
    "UploadResult",
]
