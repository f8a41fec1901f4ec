"""An upload daemon as small as can be; `test_kill.py` runs it and kills it.

It is given a JSON object on standard input: the journal, the folder with the files, the bucket, where the endpoint is. It accepts
every file that the journal does not know yet, works until nothing is pending, and says "ready" before and "done" after.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from s3accel import Credentials
from s3accel.transfer import Client
from s3accel.transfer.journaled import JournaledUploader


def main() -> int:
    settings = json.loads(sys.stdin.readline())
    print("ready", flush=True)
    client = Client(
        region="us-east-1",
        credentials=Credentials(settings["id"], settings["secret"]),
        connect_to={"*": settings["address"]},
        ca_file=settings["ca_file"],
        part_size=5 * 1024 * 1024,
        multipart_threshold=5 * 1024 * 1024,
        max_concurrency=4,
    )
    with client, JournaledUploader(client, settings["journal"]) as uploads:
        known = {job.key for job in uploads.pending()} | {job.key for job, _ in uploads.outcomes()}
        files = [file for file in sorted(Path(settings["folder"]).iterdir()) if file.name not in known]
        for start in range(0, len(files), 10):
            uploads.submit_many((file, settings["bucket"], file.name) for file in files[start : start + 10])
        for _report in uploads.run():
            pass
        left = len(uploads.pending())
    print("done", left, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
