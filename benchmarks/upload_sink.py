"""nginx on loopback with TLS 1.3 that reads bodies and throws them away, with just enough of S3's answers.

Bodies below 1 MiB are read and discarded by the worker that answers; larger ones are read whole into memory before
the answer (they go through an internal location that is given everything but the body).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from s3accel.local.tls import make_certificates

CONFIGURATION = """
worker_processes 1; daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 300s; client_max_body_size 0;
  client_body_buffer_size 17m; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  large_client_header_buffers 4 16k; default_type application/xml;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.3;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    error_page 418 = @large;
    location / {{
      add_header ETag '"d41d8cd98f00b204e9800998ecf8427e"'; add_header x-amz-request-id 4442587FB7D0A2F9;
      if ($args ~ "^uploads") {{
        return 200 '<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>large</Key><UploadId>u</UploadId></InitiateMultipartUploadResult>';
      }}
      if ($request_method = POST) {{
        return 200 '<CompleteMultipartUploadResult><Location>/</Location><Bucket>bucket</Bucket><Key>large</Key><ETag>"x-1"</ETag></CompleteMultipartUploadResult>';
      }}
      if ($content_length ~ "^[0-9]{{7,}}$") {{ return 418; }}
      return 200;
    }}
    location @large {{
      add_header ETag '"d41d8cd98f00b204e9800998ecf8427e"';
      proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_http_version 1.1;
      proxy_pass http://unix:{folder}/inner;
    }}
  }}
  server {{ listen unix:{folder}/inner; return 200; }}
}}
"""


class Sink:
    """Starts nginx in ``folder``. Raises FileNotFoundError if it is not installed."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            raise FileNotFoundError("nginx")
        files = make_certificates(folder)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]
        self.ca_file = str(files.ca_file)
        path = folder / "nginx.conf"
        text = CONFIGURATION.format(
            folder=folder, port=self.port, certificate=files.certificate_file, key=files.key_file
        )
        path.write_text(text, encoding="utf-8")
        self._process = subprocess.Popen(
            [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(path)]
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((folder / "error.log").read_text(encoding="utf-8")) from None
                time.sleep(0.05)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
