"""The endpoint as a server on loopback that runs beside the caller's code."""

from __future__ import annotations

import asyncio
import importlib.util
import secrets
import shutil
import socket
import string
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from ..credentials import Credentials
from ..errors import ConfigError
from .app import ClockOption, create_app
from .exchange import MAX_HEAD_BYTES
from .faults import FaultHook
from .names import DEFAULT_BASE_DOMAINS, check_bucket_name
from .records import BucketRecord
from .refusals import Refusal
from .stats import Stats
from .tls import CertificateFiles, make_certificates

START_SECONDS = 15.0
STOP_SECONDS = 15.0


def new_access_key() -> tuple[str, str]:
    """A random access key id (20 characters) and secret (40 characters) in the form AWS uses."""
    letters = string.ascii_uppercase + "234567"
    access_key_id = "AKIA" + "".join(secrets.choice(letters) for _ in range(16))
    alphabet = string.ascii_letters + string.digits + "+/"
    return access_key_id, "".join(secrets.choice(alphabet) for _ in range(40))


class LocalServer:
    """An S3 endpoint on 127.0.0.1 that verifies everything it is sent; a context manager.

    It listens under every S3 host name: point a client at ``endpoint_url`` (path style), or let it connect
    to ``127.0.0.1:port`` when it asks for ``BUCKET.s3-accelerate.amazonaws.com:443`` (:meth:`connect_to`).
    Trust ``ca_file``.

        with LocalServer() as server:
            s3 = boto3.client("s3", endpoint_url=server.endpoint_url, verify=str(server.ca_file), ...)

    Args:
        root: folder to keep objects in; None: a temporary one that is deleted at the end.
        credentials: access key id to secret (or Credentials); None: one random pair. The first pair is what
            ``access_key_id``, ``secret_access_key`` and ``credentials`` give.
        tls: serve HTTPS with a certificate made for this run (needs ``cryptography``); False: plain HTTP.
        port: 0 takes a free one.
        extra_names: further host names for the certificate.

    The other arguments are those of :func:`s3accel.local.create_app`.
    """

    def __init__(
        self,
        root: Path | str | None = None,
        credentials: Mapping[str, str | Credentials] | None = None,
        tls: bool = True,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        region: str = "us-east-1",
        base_domains: Sequence[str] = DEFAULT_BASE_DOMAINS,
        clock: ClockOption = None,
        max_skew: float = 900,
        auto_create_buckets: bool = True,
        require_tls: bool = False,
        durable: bool = False,
        fault: FaultHook | None = None,
        extra_names: Iterable[str] = (),
    ) -> None:
        if credentials is not None and not credentials:
            raise ConfigError(
                "credentials is empty, so no request could ever be verified; leave it out for a random pair"
            )
        if require_tls and not tls:
            raise ConfigError("require_tls=True with tls=False would refuse every request")
        if credentials is None:
            access_key_id, secret = new_access_key()
            credentials = {access_key_id: secret}
        first, value = next(iter(credentials.items()))
        self.credentials = value if isinstance(value, Credentials) else Credentials(first, value)
        self.region = region
        self.stats = Stats()
        self._all_credentials = dict(credentials)
        self._root = None if root is None else Path(root)
        self._tls, self._host, self._wanted_port = tls, host, port
        self._extra_names = tuple(extra_names)
        self._options: dict[str, Any] = {
            "region": region,
            "base_domains": base_domains,
            "clock": clock,
            "max_skew": max_skew,
            "auto_create_buckets": auto_create_buckets,
            "require_tls": require_tls,
            "durable": durable,
            "fault": fault,
        }
        self._temporary: Path | None = None
        self._certificates: CertificateFiles | None = None
        self._port = 0
        self._thread: threading.Thread | None = None
        self._server: Any = None
        self._app: Any = None
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    def __repr__(self) -> str:
        state = self.endpoint_url if self._thread is not None else "stopped"
        return f"<LocalServer {state} {self.region}>"

    # -- what a client needs -------------------------------------------------------------------------------

    @property
    def access_key_id(self) -> str:
        return self.credentials.access_key_id

    @property
    def secret_access_key(self) -> str:
        return self.credentials.secret_access_key

    @property
    def port(self) -> int:
        """The port it listens on. Raises ConfigError before :meth:`start`."""
        if not self._port:
            raise ConfigError("the local endpoint has no port before it is started")
        return self._port

    @property
    def address(self) -> str:
        """``127.0.0.1:port``."""
        return f"[{self._host}]:{self.port}" if ":" in self._host else f"{self._host}:{self.port}"

    @property
    def endpoint_url(self) -> str:
        """Where path-style clients go."""
        return f"{'https' if self._tls else 'http'}://{self.address}"

    @property
    def ca_file(self) -> Path:
        """The certificate clients must trust. Raises ConfigError without TLS or before :meth:`start`."""
        if self._certificates is None:
            raise ConfigError("there is no CA: the local endpoint is not started, or runs with tls=False")
        return self._certificates.ca_file

    def connect_to(self, *hosts: str) -> dict[str, str]:
        """``{"HOST:443": "127.0.0.1:port"}`` for each host (port 80 without TLS), as ``s3accel.Client``
        takes it."""
        default = 443 if self._tls else 80
        return {(host if ":" in host else f"{host}:{default}"): self.address for host in hosts}

    @property
    def root(self) -> Path:
        """The folder of the store."""
        if self._root is None:
            raise ConfigError("the local endpoint has no folder before it is started")
        return self._root

    def create_bucket(self, name: str, *, acceleration: str | None = "Enabled") -> None:
        """Make a bucket without a request. ``acceleration``: "Enabled", "Suspended" or None (never
        configured)."""
        if acceleration not in ("Enabled", "Suspended", None):
            raise ConfigError(f"acceleration is Enabled, Suspended or None, not {acceleration!r}")
        try:
            check_bucket_name(name)
        except Refusal as refusal:
            raise ConfigError(f"{name!r} is not a bucket name S3 takes") from refusal
        services = self._running().services
        services.store.create_bucket(BucketRecord(name, services.now(), acceleration))

    def empty_bucket(self, name: str, *, delete: bool = False) -> None:
        """Delete all objects and uploads of a bucket without a request; with ``delete`` the bucket too."""
        services = self._running().services
        with services.store.lock:
            if name not in services.store.buckets:
                return
            services.uploads.drop_bucket(name)
            for key in list(services.store.bucket(name).objects):
                services.store.delete(name, key)
            if delete:
                services.store.delete_bucket(name)

    def set_fault(self, fault: FaultHook | None) -> None:
        """Change the fault hook while the server runs."""
        self._options["fault"] = fault
        if self._app is not None:
            self._app.set_fault(fault)

    def _running(self) -> Any:
        if self._app is None:
            raise ConfigError("the local endpoint is not started")
        return self._app

    # -- life ----------------------------------------------------------------------------------------------

    def start(self) -> LocalServer:
        """Start to listen; returns when requests are answered. Raises ConfigError with the reason if it
        cannot."""
        if self._thread is not None:
            raise ConfigError(f"the local endpoint already runs at {self.endpoint_url}")
        try:
            import uvicorn
        except ImportError as error:
            raise ConfigError(
                "the local endpoint needs the package uvicorn: pip install 's3accel[local]'"
            ) from error
        self._temporary = Path(tempfile.mkdtemp(prefix="s3accel-local-"))
        listener: socket.socket | None = None
        try:
            if self._tls:
                self._certificates = make_certificates(
                    self._temporary / "tls", region=self.region, extra_names=self._extra_names
                )
            if self._root is None:
                self._root = self._temporary / "store"
            self._app = create_app(self._root, self._all_credentials, stats=self.stats, **self._options)
            listener = self._listen()
            self._port = listener.getsockname()[1]
            config = uvicorn.Config(
                self._app,
                http=_http_protocol(),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                h11_max_incomplete_event_size=MAX_HEAD_BYTES,
                timeout_keep_alive=60,
                timeout_graceful_shutdown=3,
            )
            config.load()
            config.ssl = None if self._certificates is None else self._certificates.server_context()
            self._server = uvicorn.Server(config)
            self._failure = None
            self._thread = threading.Thread(
                target=self._run, args=(listener,), name="s3accel-local", daemon=True
            )
            self._thread.start()
            self._wait_until_ready()
        except BaseException:
            if listener is not None:
                listener.close()
            self.stop()
            raise
        return self

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # With the protocol named asyncio turns Nagle's algorithm off on what it accepts; without it head and body
        # of every answer, which uvicorn writes apart, are 40 ms apart.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self._wanted_port))
            listener.listen(256)
        except OSError as error:
            listener.close()
            reason = error.strerror or error
            raise ConfigError(f"cannot listen on {self._host}:{self._wanted_port}: {reason}") from error
        return listener

    def _run(self, listener: socket.socket) -> None:
        try:
            asyncio.run(self._serve(listener))
        except BaseException as error:  # noqa: BLE001  start() raises it in the caller's thread
            self._failure = error

    async def _serve(self, listener: socket.socket) -> None:
        server = self._server
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        closer = asyncio.create_task(self._close_idle(server, self._stopping))
        try:
            await server.serve(sockets=[listener])
        finally:
            closer.cancel()

    @staticmethod
    async def _close_idle(server: Any, stopping: asyncio.Event) -> None:
        """End connections that idle once the server stops.

        uvicorn closes them politely, which over TLS waits for the client's close_notify; a client that
        keeps the connection in a pool never sends one, and every stop would take the whole grace time.
        """
        await stopping.wait()
        while True:
            if not server.server_state.tasks:
                for connection in list(server.server_state.connections):
                    connection.transport.abort()
            await asyncio.sleep(0.02)

    def _wait_until_ready(self) -> None:
        thread = self._thread
        ready = threading.Event()
        waited = 0.0
        while thread is not None and not self._server.started:
            if not thread.is_alive() or waited > START_SECONDS:
                raise ConfigError(
                    f"the local endpoint did not start within {START_SECONDS:.0f} s: "
                    f"{self._failure or 'no answer'}"
                ) from self._failure
            ready.wait(0.005)
            waited += 0.005

    def stop(self) -> None:
        """Stop listening, let requests in flight end (at most 3 s), and delete what is temporary. May be
        repeated."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._server.should_exit = True
            if self._loop is not None and self._stopping is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._stopping.set)
            thread.join(STOP_SECONDS)
        if self._app is not None:
            self._app.close()
            self._app = None
        self._server, self._certificates, self._port = None, None, 0
        if self._temporary is not None:
            if self._root is not None and self._temporary in self._root.parents:
                self._root = None
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def __enter__(self) -> LocalServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _http_protocol() -> Literal["httptools", "h11"]:
    """httptools if it is there (a C parser), else h11, which uvicorn brings."""
    return "httptools" if importlib.util.find_spec("httptools") is not None else "h11"
