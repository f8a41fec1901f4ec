"""Other implementations as witnesses: botocore (pure Python) and awscrt (the AWS C library)."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from unittest import mock

from . import reference


@dataclass(frozen=True)
class Signed:
    """What a rival made. ``canonical`` and ``to_sign`` are None where it does not give them."""

    canonical: str | None
    to_sign: str | None
    signed_headers: str
    signature: str
    authorization: str


def when(timestamp: str) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(reference.epoch(timestamp), datetime.timezone.utc)


def botocore_sign(
    who: reference.Identity,
    token: str | None,
    method: str,
    url: str,
    headers: Sequence[tuple[str, str]],
    body: bytes | None,
) -> Signed:
    """botocore's own classes: S3SigV4Auth for s3, else SigV4Auth. ``body`` None means UNSIGNED-PAYLOAD."""
    from botocore import auth, awsrequest, credentials

    request = awsrequest.AWSRequest(method=method, url=url, data=body or b"")
    for name, value in headers:
        request.headers.add_header(name, value)
    if body is None:
        # The way botocore itself reaches UNSIGNED-PAYLOAD: https, a checksum or MD5 header present, and the
        # operation's payload signing off. Setting the S3 option says the same without more headers.
        config = mock.Mock(s3={"payload_signing_enabled": False})
        request.context.update(client_config=config, payload_signing_enabled=False)
    kind = auth.S3SigV4Auth if who.service == "s3" else auth.SigV4Auth
    known = credentials.Credentials(who.access_key_id, who.secret_access_key, token)
    signer = kind(known, who.service, who.region)
    kept: dict[str, str] = {}
    make_canonical, make_text = signer.canonical_request, signer.string_to_sign

    def canonical_request(request: object) -> str:
        kept["canonical"] = make_canonical(request)
        return kept["canonical"]

    def string_to_sign(request: object, canonical: str) -> str:
        kept["text"] = make_text(request, canonical)
        return kept["text"]

    signer.canonical_request, signer.string_to_sign = canonical_request, string_to_sign
    moment = when(who.timestamp).replace(tzinfo=None)
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        signer.add_auth(request)
    authorization = request.headers["Authorization"]
    _, _, rest = authorization.partition(" ")
    found = dict(part.strip().split("=", 1) for part in rest.split(","))
    return Signed(kept["canonical"], kept["text"], found["SignedHeaders"], found["Signature"], authorization)


def awscrt_sign(
    who: reference.Identity,
    token: str | None,
    method: str,
    target: str,
    headers: Sequence[tuple[str, str]],
    payload: str,
    double_encode: bool,
    normalize: bool,
    add_content_sha256: bool = True,
) -> Signed:
    """aws_sign_request. ``headers`` must hold Host; date, token and content hash are added by awscrt."""
    from awscrt import auth, http

    request = http.HttpRequest(method, target, http.HttpHeaders(list(headers)))
    config = auth.AwsSigningConfig(
        algorithm=auth.AwsSigningAlgorithm.V4,
        signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
        credentials_provider=auth.AwsCredentialsProvider.new_static(
            who.access_key_id, who.secret_access_key, token
        ),
        region=who.region,
        service=who.service,
        date=when(who.timestamp),
        use_double_uri_encode=double_encode,
        should_normalize_uri_path=normalize,
        signed_body_value=payload,
        signed_body_header_type=(
            auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256
            if add_content_sha256
            else auth.AwsSignedBodyHeaderType.NONE
        ),
    )
    signed = auth.aws_sign_request(request, config).result(timeout=10)
    authorization = next(v for n, v in signed.headers if n.lower() == "authorization")
    _, _, rest = authorization.partition(" ")
    found = dict(part.strip().split("=", 1) for part in rest.split(","))
    return Signed(None, None, found["SignedHeaders"], found["Signature"], authorization)
