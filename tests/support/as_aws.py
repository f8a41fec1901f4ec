"""AWS's host names lead to a local endpoint, so that what documentation prints can be run word for word.

As a program it is the command `s3accel`; DOCS_ADDRESS (host:port) and DOCS_CA_FILE say where the endpoint is.
"""

from __future__ import annotations

import os
import sys
from typing import Any


def lead(address: str, ca_file: str, change: Any = setattr) -> None:
    """Change what connects: libcurl's transport and urllib3, on which requests and botocore stand.

    Args:
        change: ``setattr``, or a monkeypatch's.
    """
    from urllib3.util import connection

    from s3accel.transfer.doctor import Doctor
    from s3accel.transfer.transport import CurlTransport

    make, connect = CurlTransport.__init__, connection.create_connection
    host, _, port = address.rpartition(":")

    def transport(self: CurlTransport, **options: Any) -> None:
        options["connect_to"] = options.get("connect_to") or {"*": address}
        options["ca_file"] = options.get("ca_file") or ca_file
        make(self, **options)

    def to_endpoint(target: tuple[str, int], *more: Any, **options: Any) -> Any:
        return connect(
            (host, int(port)) if target[0].endswith(".amazonaws.com") else target, *more, **options
        )

    def lookup(*_: object, **__: object) -> list[Any]:
        return [(None, None, None, None, (host, int(port)))]

    change(CurlTransport, "__init__", transport)
    change(connection, "create_connection", to_endpoint)
    change(Doctor.__init__, "__kwdefaults__", {**(Doctor.__init__.__kwdefaults__ or {}), "lookup": lookup})


if __name__ == "__main__":
    from s3accel.cli import main

    lead(os.environ["DOCS_ADDRESS"], os.environ["DOCS_CA_FILE"])
    sys.exit(main())
