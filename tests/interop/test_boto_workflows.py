"""What people do with boto3, aiobotocore, s3fs and pandas, without and with s3accel: the same comes out.

Each workflow runs three times against one server and returns all that its user could see: results, counts and
exceptions. The servers are the local endpoint and the two strict ones that nobody here wrote.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import random
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from ssl import create_default_context
from typing import Any

import pytest

pytest.importorskip("boto3", reason="boto3 is what is tested here")
pytest.importorskip("uvicorn", reason="the local endpoint needs s3accel[local]")

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError
from servers.names import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY
from servers.process import RunningServer

from s3accel.adapters import botocore as adapter
from s3accel.local import LocalServer
from support.faulty import FaultyProxy

MIB = 1 << 20
BUCKET = "boto-workflows"
WAYS: dict[str, dict[str, Any] | None] = {
    "botocore": None,
    "installed": {"check": 0.5},
    "signed-chunks": {"payload": "signed-chunks"},
}
CONFIG: dict[str, Any] = {
    "s3": {"addressing_style": "path"},
    "signature_version": "s3v4",
    "retries": {"mode": "standard", "total_max_attempts": 3},  # botocore's default since 1.44
}
DATA = random.Random(5).randbytes(5 * MIB + 54_321)
PARTS = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)


OPEN: list[Any] = []  # clients to be closed: a server that ends waits for their connections


@dataclass(frozen=True)
class Place:
    """A server, and how its users reach it."""

    port: int
    ca_file: Path
    certificates: tuple[Path, Path, Path]
    folder: Path
    prefix: str = ""

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def options(self, **more: Any) -> dict[str, Any]:
        return {
            "endpoint_url": self.url,
            "region_name": REGION,
            "aws_access_key_id": ACCESS_KEY_ID,
            "aws_secret_access_key": SECRET_ACCESS_KEY,
            "verify": str(self.ca_file),
            **more,
        }

    def client(self, **more: Any) -> Any:
        made = boto3.client("s3", **self.options(config=Config(**CONFIG), **more))
        OPEN.append(made)
        return made

    def at(self, key: str) -> dict[str, str]:
        return {"Bucket": BUCKET, "Key": f"{self.prefix}/{key}"}

    def through(self, proxy: FaultyProxy) -> Place:
        return Place(proxy.port, self.certificates[0], self.certificates, self.folder, self.prefix)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Retries need not wait here.
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0)
    adapter.uninstall()
    yield
    adapter.uninstall()
    while OPEN:
        OPEN.pop().close()


@pytest.fixture(scope="module")
def local() -> Iterator[LocalServer]:
    with LocalServer(credentials={ACCESS_KEY_ID: SECRET_ACCESS_KEY}) as server:
        yield server


def failure(call: Callable[[], Any]) -> tuple[Any, ...]:
    """The exception of a call as its user sees it."""
    try:
        call()
    except ClientError as error:
        facts = error.response["Error"].get("Code"), error.response["ResponseMetadata"]["HTTPStatusCode"]
        return type(error).__name__, str(error), facts
    except (BotoCoreError, OSError) as error:
        return type(error).__name__, getattr(error, "code", None)
    raise AssertionError("no exception")


def objects(place: Place) -> Any:
    s3 = place.client()
    seen: list[Any] = []
    for key, body in {"ä b/+ &~": b"text", "empty": b"", "chunk": b"x" * 65_536, "big": DATA}.items():
        put = s3.put_object(Body=body, ContentType="text/x-a; b=c", Metadata={"a": "b  c"}, **place.at(key))
        head = s3.head_object(**place.at(key))
        seen += [put["ETag"], head["ContentLength"], head["ContentType"], head["Metadata"]]
        seen.append(hashlib.sha256(s3.get_object(**place.at(key))["Body"].read()).hexdigest())
    for algorithm in ("CRC32", "SHA256"):
        s3.put_object(Body=io.BytesIO(DATA), ChecksumAlgorithm=algorithm, **place.at(algorithm))
        body = s3.get_object(ChecksumMode="ENABLED", Range="bytes=5-104", **place.at(algorithm))["Body"]
        seen.append(body.read() == DATA[5:105])
    s3.copy_object(CopySource=place.at("ä b/+ &~"), **place.at("copy"))
    seen.append(s3.get_object(**place.at("copy"))["Body"].read())
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=BUCKET, Prefix=place.prefix + "/", PaginationConfig={"PageSize": 2}
    )
    keys = [item["Key"].partition("/")[2] for page in pages for item in page.get("Contents", ())]
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": place.at(key)["Key"]} for key in keys]})
    left = s3.list_objects_v2(Bucket=BUCKET, Prefix=place.prefix + "/")["KeyCount"]
    return [*seen, keys, left]


def exceptions(place: Place) -> Any:
    s3 = place.client()
    s3.put_object(Body=b"x", **place.at("there"))
    wrong = place.client(aws_secret_access_key="wrong" * 8)
    nobody = place.client(aws_access_key_id="AKIANOBODYATALL00000")
    calls: list[Callable[[], Any]] = [
        lambda: s3.get_object(**place.at("absent")),
        lambda: s3.head_object(**place.at("absent")),
        lambda: s3.list_objects_v2(Bucket="no-such-bucket-here"),
        lambda: s3.get_object(Range="bytes=100-", **place.at("there")),
        lambda: s3.upload_part(PartNumber=1, UploadId="bm90aGluZw", Body=DATA, **place.at("there")),
        lambda: s3.put_object(Body=DATA, ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==", **place.at("digest")),
        lambda: s3.put_object(Bucket=BUCKET, Key=7, Body=b""),
        lambda: wrong.put_object(Body=DATA, **place.at("wrong")),
        lambda: wrong.list_objects_v2(Bucket=BUCKET),
        lambda: nobody.get_object(**place.at("there")),
    ]
    return [failure(call) for call in calls]


def transfers(place: Place) -> Any:
    s3 = place.client()
    path = place.folder / "file"
    path.write_bytes(DATA)
    seen: list[Any] = []
    for kind in ("file", "fileobj", "one request"):
        counted: list[int] = []
        config = PARTS if kind != "one request" else None
        if kind == "fileobj":
            s3.upload_fileobj(
                io.BytesIO(DATA), *place.at(kind).values(), Callback=counted.append, Config=config
            )
        else:
            s3.upload_file(str(path), *place.at(kind).values(), Callback=counted.append, Config=config)
        seen += [sum(counted), s3.head_object(**place.at(kind))["ETag"]]
        back = io.BytesIO()
        s3.download_fileobj(*place.at(kind).values(), back, Callback=counted.append)
        seen += [sum(counted), back.getvalue() == DATA]
    return seen


def retries(place: Place) -> Any:
    _, chain, key = place.certificates
    seen: list[Any] = []
    path = place.folder / "file"
    path.write_bytes(DATA)
    with FaultyProxy(place.port, place.ca_file, chain, key) as proxy:
        through = place.through(proxy)
        s3 = through.client()
        for how in ("500", "cut"):
            proxy.break_first(b"PUT .*/single", how)
            with path.open("rb") as file:
                s3.put_object(Body=file, **place.at(f"single-{how}"))
            proxy.break_first(b"PUT .*partNumber=2", how)
            counted: list[int] = []
            s3.upload_file(
                str(path), *place.at(f"parts-{how}").values(), Callback=counted.append, Config=PARTS
            )
            proxy.break_first(b"GET ", how)
            for name in ("single", "parts"):
                seen.append(s3.get_object(**place.at(f"{name}-{how}"))["Body"].read() == DATA)
            seen += [sum(counted), proxy.broken]
    return seen


def presigned(place: Place) -> Any:
    s3 = place.client()
    context = create_default_context(cafile=str(place.ca_file))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )

    def fetch(url: str, data: bytes | None = None, method: str = "GET", **headers: str) -> Any:
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with opener.open(request, timeout=20) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def sign(operation: str, key: str, **more: Any) -> str:
        url: str = s3.generate_presigned_url(operation, {**place.at(key), **more}, 60)
        return url

    seen = []
    for key in ("plain", "ä b/+ &~"):
        kind = {"Content-Type": "text/plain"}
        seen.append(fetch(sign("put_object", key, ContentType="text/plain"), b"data", "PUT", **kind))
        seen.append(fetch(sign("get_object", key)))
        seen.append(fetch(sign("get_object", key), Range="bytes=1-2"))
        seen.append(fetch(sign("head_object", key), method="HEAD"))
        seen.append(fetch(sign("get_object", key), method="PUT", data=b"other"))
        seen.append(fetch(sign("get_object", key).replace("X-Amz-Expires=60", "X-Amz-Expires=61")))
        seen.append(fetch(sign("delete_object", key), method="DELETE"))
        seen.append(fetch(sign("get_object", key)))
    return seen


def with_aiobotocore(place: Place) -> Any:
    aio = pytest.importorskip("aiobotocore.session", reason="aiobotocore is not installed")
    from aiobotocore.config import AioConfig

    async def work() -> Any:
        seen: list[Any] = []
        async with aio.get_session().create_client("s3", **place.options(config=AioConfig(**CONFIG))) as s3:
            for key, body in {"a": b"text", "b": DATA, "c": io.BytesIO(DATA)}.items():
                put = await s3.put_object(Body=body, **place.at(key))
                got = await s3.get_object(**place.at(key))
                seen += [put["ETag"], hashlib.sha256(await got["Body"].read()).hexdigest()]
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=place.prefix + "/")
            seen += [item["Size"] async for page in pages for item in page["Contents"]]
            try:
                await s3.get_object(**place.at("absent"))
            except s3.exceptions.NoSuchKey as error:
                seen.append(str(error))
            url = await s3.generate_presigned_url("get_object", place.at("a"), 60)
            seen.append("X-Amz-Signature=" in url)
        return seen

    return asyncio.run(work())


def storage_options(place: Place) -> dict[str, Any]:
    return {
        "key": ACCESS_KEY_ID,
        "secret": SECRET_ACCESS_KEY,
        "endpoint_url": place.url,
        "client_kwargs": {"region_name": REGION, "verify": str(place.ca_file)},
        "config_kwargs": CONFIG,
    }


def with_s3fs(place: Place) -> Any:
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
    fs = s3fs.S3FileSystem(**storage_options(place), skip_instance_cache=True)
    root = f"{BUCKET}/{place.prefix}"
    fs.pipe(f"{root}/small ä+", b"abc")
    with fs.open(f"{root}/big", "wb", block_size=5 * MIB) as file:
        file.write(DATA)
    with fs.open(f"{root}/big", "rb") as file:
        file.seek(MIB)
        same = file.read() == DATA[MIB:]
    names = [name.removeprefix(root) for name in sorted(fs.ls(root))]
    seen = [fs.cat(f"{root}/small ä+"), same, names, fs.info(f"{root}/big")["size"]]
    seen.append(failure(lambda: fs.cat(f"{root}/absent"))[0])
    fs.rm(root, recursive=True)
    return [*seen, fs.exists(f"{root}/big")]


def with_pandas(place: Place) -> Any:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    pytest.importorskip("s3fs", reason="pandas reaches S3 through s3fs, which is not installed")
    frame = pandas.DataFrame({"n": range(1000), "text": [f"row {i}" for i in range(1000)]})
    url, options = f"s3://{BUCKET}/{place.prefix}/frame", storage_options(place)
    frame.to_csv(f"{url}.csv", index=False, storage_options=options)
    seen = [pandas.read_csv(f"{url}.csv", storage_options=options).equals(frame)]
    with contextlib.suppress(ImportError):  # Parquet is pyarrow's
        frame.to_parquet(f"{url}.parquet", storage_options=options)
        seen.append(pandas.read_parquet(f"{url}.parquet", storage_options=options).equals(frame))
    return seen


WORKFLOWS = (objects, exceptions, transfers, retries, presigned, with_aiobotocore, with_s3fs, with_pandas)


def same_with_and_without(place: Place, work: Callable[[Place], Any]) -> None:
    outcomes = {}
    # The bucket is there already when another workflow made it.
    with contextlib.suppress(ClientError):
        place.client().create_bucket(Bucket=BUCKET)
    for way, arguments in WAYS.items():
        before = adapter.stats()
        here = Place(place.port, place.ca_file, place.certificates, place.folder, f"{work.__name__}-{way}")
        with adapter.install(**arguments) if arguments is not None else contextlib.nullcontext():
            outcomes[way] = work(here)
            # Still there: the proof mode takes botocore's signers back at the first difference.
            assert adapter.installed() == (arguments is not None)
        after = adapter.stats()
        done = {name: after[name] - before[name] for name in after if name not in ("installed", "keys")}
        if arguments is None:
            assert not any(done.values())
        else:
            assert done["signed"] + done["presigned"] > 0
            assert done["by_botocore"] == done["different"] == 0
    assert outcomes["installed"] == outcomes["botocore"]
    assert outcomes["signed-chunks"] == outcomes["botocore"]


@pytest.mark.parametrize("work", WORKFLOWS, ids=lambda work: work.__name__)
def test_against_strict_servers(
    server: RunningServer, certificates: tuple[Path, Path, Path], work: Any, tmp_path: Path
) -> None:
    same_with_and_without(Place(server.port, server.ca_file, certificates, tmp_path), work)


@pytest.mark.parametrize("work", WORKFLOWS, ids=lambda work: work.__name__)
def test_against_the_local_endpoint(
    local: LocalServer, certificates: tuple[Path, Path, Path], work: Any, tmp_path: Path
) -> None:
    same_with_and_without(Place(local.port, local.ca_file, certificates, tmp_path), work)


# --- credentials that end in the middle ---------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["ministack"], indirect=True, scope="session")
@pytest.mark.parametrize("way", WAYS)
def test_temporary_credentials_end_in_the_middle(
    server: RunningServer, certificates: tuple[Path, Path, Path], way: str, tmp_path: Path
) -> None:
    """Only MiniStack has an STS; it refuses a session from the second on in which it ends."""
    import botocore.session

    place = Place(server.port, server.ca_file, certificates, tmp_path, f"sts-{way}")
    with contextlib.suppress(ClientError):
        place.client().create_bucket(Bucket=BUCKET)
    sts = boto3.client("sts", **place.options(config=Config(parameter_validation=False)))
    OPEN.append(sts)
    given: list[dict[str, str]] = []

    def fetch() -> dict[str, str]:
        made = sts.get_session_token(DurationSeconds=3)["Credentials"]
        names = {"access_key": "AccessKeyId", "secret_key": "SecretAccessKey", "token": "SessionToken"}
        keys = {name: made[theirs] for name, theirs in names.items()}
        given.append({**keys, "expiry_time": made["Expiration"].isoformat()})
        return given[-1]

    arguments = WAYS[way]
    with adapter.install(**arguments) if arguments is not None else contextlib.nullcontext():
        session = botocore.session.Session()
        session._credentials = RefreshableCredentials.create_from_metadata(
            fetch(), fetch, "sts", advisory_timeout=1, mandatory_timeout=1
        )
        options = {name: value for name, value in place.options().items() if name[:4] != "aws_"}
        s3 = session.create_client("s3", **options, config=Config(**CONFIG))
        OPEN.append(s3)
        used: list[str] = []
        s3.meta.events.register_last(
            "before-send", lambda request, **kw: used.append(str(request.headers["X-Amz-Security-Token"]))
        )
        count = 0
        while len(given) < 3 and count < 2000:
            s3.put_object(Body=DATA[:200_000], **place.at(str(count)))
            count += 1
        assert s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{place.prefix}/")["KeyCount"] == min(count, 1000)
        assert len(dict.fromkeys(used)) == 3

        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        stale = place.client(**dict(zip(names, given[0].values(), strict=False)))
        # Which one depends on whether the session was cleared away already.
        refused = failure(lambda: stale.list_objects_v2(Bucket=BUCKET))[2][0]
        assert refused in ("ExpiredToken", "InvalidAccessKeyId")
    assert adapter.stats()["keys"] == 0  # nothing is kept of any of them
