"""One client of bench_upload.py in a process of its own: puts objects, prints JSON with its CPU and wall time.

python upload_workers.py NAME small|large FILE SIZE COUNT IN_FLIGHT PORT CA_FILE

FILE is what is sent as a large object; small ones are bytes in memory (files beside FILE for the programs).
"""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from upload_programs import PROGRAMS, program

KEY_ID, SECRET, REGION = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1"
Run = Callable[[int], Any]


def threads(count: int, in_flight: int, put: Callable[[str], Any]) -> None:
    """``count`` puts from ``in_flight`` threads, which is how the rivals without an engine are used."""
    numbers = iter(range(count))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            put(f"key{number:08d}")

    running = [threading.Thread(target=work) for _ in range(in_flight)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def s3accel_client(port: int, ca: str, in_flight: int, **options: Any) -> Any:
    from s3accel import Credentials
    from s3accel.transfer import Client

    return Client(
        region=REGION,
        credentials=Credentials(KEY_ID, SECRET),
        accelerate=False,
        endpoint_url=f"https://localhost:{port}",
        ca_file=ca,
        max_concurrency=in_flight,
        **options,
    )


def s3accel(kind: str, source: Any, in_flight: int, port: int, ca: str, **options: Any) -> Run:
    client = s3accel_client(port, ca, in_flight, **options)
    if kind == "large":
        return lambda _count: client.upload(source, "bucket", "large")

    def run(count: int) -> None:
        items = ((f"key{number:08d}", source) for number in range(count))
        for outcome in client.put_many(items, bucket="bucket", concurrency=in_flight):
            if outcome.error is not None:
                raise outcome.error

    return run


def s3accel_unsigned(kind: str, source: Any, in_flight: int, port: int, ca: str) -> Run:
    return s3accel(
        kind, source, in_flight, port, ca, payload="unsigned-trailer" if kind == "large" else "unsigned"
    )


def boto3(kind: str, source: Any, in_flight: int, port: int, ca: str) -> Run:
    import boto3 as library
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config

    client = library.client(
        "s3",
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
        region_name=REGION,
        endpoint_url=f"https://localhost:{port}",
        verify=ca,
        config=Config(max_pool_connections=in_flight),
    )
    if kind == "large":
        config = TransferConfig(
            multipart_chunksize=16 << 20, max_concurrency=in_flight, preferred_transfer_client="classic"
        )
        return lambda _count: client.upload_file(source, "bucket", "large", Config=config)
    return lambda count: threads(
        count, in_flight, lambda key: client.put_object(Bucket="bucket", Key=key, Body=source)
    )


def minio(kind: str, source: Any, in_flight: int, port: int, ca: str) -> Run:
    import urllib3
    from minio import Minio

    pool = urllib3.PoolManager(maxsize=in_flight, ca_certs=ca)
    client = Minio(f"localhost:{port}", access_key=KEY_ID, secret_key=SECRET, region=REGION, http_client=pool)
    if kind == "large":
        return lambda _count: client.fput_object(
            "bucket", "large", source, part_size=16 << 20, num_parallel_uploads=in_flight
        )
    return lambda count: threads(
        count, in_flight, lambda key: client.put_object("bucket", key, io.BytesIO(source), len(source))
    )


def obstore_store(port: int) -> Any:
    from obstore.store import S3Store

    # It takes no CA file of one's own here: verification is off, which is cheaper, if anything.
    return S3Store(
        "bucket",
        endpoint=f"https://localhost:{port}",
        access_key_id=KEY_ID,
        secret_access_key=SECRET,
        region=REGION,
        client_options={"allow_invalid_certificates": True},
    )


def obstore(kind: str, source: Any, in_flight: int, port: int, ca: str) -> Run:
    """Its blocking call on threads, which costs it less CPU than its coroutines."""
    from pathlib import Path

    store = obstore_store(port)
    if kind == "large":
        return lambda _count: store.put(
            "large", Path(source), use_multipart=True, chunk_size=16 << 20, max_concurrency=in_flight
        )
    return lambda count: threads(count, in_flight, lambda key: store.put(key, source, use_multipart=False))


def obstore_async(kind: str, source: Any, in_flight: int, port: int, ca: str) -> Run:
    store = obstore_store(port)

    async def puts(count: int) -> None:
        numbers = iter(range(count))

        async def work() -> None:
            for number in numbers:
                await store.put_async(f"key{number:08d}", source, use_multipart=False)

        await asyncio.gather(*(work() for _ in range(in_flight)))

    return lambda count: asyncio.run(puts(count))


def awscrt(kind: str, source: Any, in_flight: int, port: int, ca: str) -> Run:
    from awscrt import auth, http, s3
    from awscrt import io as crt_io

    group = crt_io.EventLoopGroup(2)
    resolver = crt_io.DefaultHostResolver(group)
    bootstrap = crt_io.ClientBootstrap(group, resolver)
    options = crt_io.TlsContextOptions()
    options.override_default_trust_store_from_path(ca_filepath=ca)
    provider = auth.AwsCredentialsProvider.new_static(KEY_ID, SECRET)
    client = s3.S3Client(
        bootstrap=bootstrap,
        region=REGION,
        signing_config=s3.create_default_s3_signing_config(region=REGION, credential_provider=provider),
        tls_connection_options=crt_io.ClientTlsContext(options).new_connection_options(),
        part_size=16 << 20,
        multipart_upload_threshold=16 << 20,
        throughput_target_gbps=10.0,
    )

    def put(key: str) -> Any:
        size = os.path.getsize(source) if kind == "large" else len(source)
        headers = http.HttpHeaders(
            [("Host", f"localhost:{port}"), ("Content-Length", str(size)), ("Content-Type", "x/y")]
        )
        body = None if kind == "large" else io.BytesIO(source)
        return client.make_request(
            type=s3.S3RequestType.PUT_OBJECT,
            request=http.HttpRequest("PUT", f"/bucket/{key}", headers, body),
            send_filepath=source if kind == "large" else None,
            checksum_config=s3.S3ChecksumConfig(
                algorithm=s3.S3ChecksumAlgorithm.CRC64NVME, location=s3.S3ChecksumLocation.TRAILER
            ),
        ).finished_future.result()

    if kind == "large":
        return lambda _count: put("large")
    return lambda count: threads(count, in_flight, put)


WORKERS: dict[str, Callable[..., Run]] = {
    "s3accel": s3accel,
    "s3accel unsigned": s3accel_unsigned,
    "boto3": boto3,
    "minio-py": minio,
    "obstore threads": obstore,
    "obstore async": obstore_async,
    "awscrt": awscrt,
}
#: What has to be importable for each.
NEEDS = {
    "s3accel": "pycurl",
    "s3accel unsigned": "pycurl",
    "boto3": "boto3",
    "minio-py": "minio",
    "obstore threads": "obstore",
    "obstore async": "obstore",
    "awscrt": "awscrt",
}


def installed(name: str) -> bool:
    if name in PROGRAMS:
        return program(name) is not None
    return importlib.util.find_spec(NEEDS[name]) is not None


def used(who: int) -> tuple[float, int]:
    """CPU seconds and peak memory in bytes, of this process or of the programs that it has run."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def main(name: str, kind: str, file: str, size: int, count: int, in_flight: int, port: int, ca: str) -> None:
    with tempfile.TemporaryDirectory(dir=os.path.dirname(file)) as folder:
        source: Any = file
        if name in PROGRAMS:
            if kind == "small":
                for number in range(count):
                    with open(f"{folder}/key{number:08d}", "wb") as small:
                        small.write(os.urandom(size))
                source = folder
            run = PROGRAMS[name](kind, source, in_flight, port, ca, KEY_ID, SECRET)
        else:
            if kind == "small":
                source = os.urandom(size)
            run = WORKERS[name](kind, source, in_flight, port, ca)
            if kind == "small":
                run(min(count, 4 * in_flight))  # connections, caches
        who = resource.RUSAGE_CHILDREN if name in PROGRAMS else resource.RUSAGE_SELF
        started, (before, _) = time.monotonic(), used(who)
        run(count)
        wall, (after, peak) = time.monotonic() - started, used(who)
    print(json.dumps({"cpu": after - before, "wall": wall, "peak": peak}), flush=True)
    os._exit(0)  # awscrt's threads would keep the process


if __name__ == "__main__":
    name, kind, file, *numbers, ca = sys.argv[1:]
    main(name, kind, file, *map(int, numbers), ca)
