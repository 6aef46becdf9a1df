"""The health server: an HTTP endpoint for probes and metrics, next to a worker.

It runs in a thread, with a `trio.run` of its own. On the worker's loop it could not answer while a
handler blocks the loop, which is when a probe must know. The health of a worker may be read from
any thread; the statistics of its queues are read in the worker's loop (`queue_stats`).

The server listens on its port before the worker opens a connection, so a port that is taken is an
error before any work begins.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import attrs
import hypercorn.trio
import trio
from hypercorn.config import Config
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rediq_trio._errors import ConfigError, WorkerCrashed, quote
from rediq_trio._errors.nursery import unwrapped_errors
from rediq_trio.web.metric_table import Scrape
from rediq_trio.web.metrics import exposition
from rediq_trio.web.queue_stats import StatsReader
from rediq_trio.worker.health import NOT_STARTED, Health
from rediq_trio.worker.worker import Worker

log = logging.getLogger("rediq_trio.web")

ACCEPT_BACKLOG = 100
"""Connections that may wait to be accepted."""
READ_TIMEOUT = 10.0
"""Seconds until a client must send something; then its connection is closed."""
_CLOSE_GRACE = 0.5
"""Seconds that requests have to finish when the server closes."""
_NO_STORE = {"Cache-Control": "no-store"}


def _refusal(status: int, error: str) -> Response:
    return JSONResponse({"error": error}, status, _NO_STORE)


class HealthServer:
    """A running endpoint. Made by `open_health_server`."""

    def __init__(self, listener: socket.socket) -> None:
        self.port: int = listener.getsockname()[1]
        self._listener = listener
        self._worker: Worker | None = None
        self._reader: StatsReader | None = None
        self._closing = threading.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._stop = trio.Event()
        """Set in the server's loop only."""

    def attach(self, worker: Worker, nursery: trio.Nursery) -> int:
        """Serve the health of a worker, read its queues in `nursery`, and return the port."""
        reader = StatsReader(worker.client, tuple(worker.settings.queues), worker.times.forget)
        nursery.start_soon(reader.run)
        self._reader, self._worker = reader, worker
        return self.port

    def health(self) -> Health:
        """Return the health of the worker; before one is attached, it has not started."""
        return NOT_STARTED if self._worker is None else self._worker.health_judge.judge()

    async def scrape(self) -> Scrape:
        """Read the values of one scrape; called in the server's own loop."""
        if self._reader is None:
            return Scrape(self.health(), self._worker, None)
        stats, scaling = await self._reader.numbers()
        return Scrape(self.health(), self._worker, stats, scaling)

    async def scale(self, queue: str) -> Response:
        """Return how many workers a queue needs, as a response; called in the server's own loop."""
        if self._reader is None or self._worker is None:
            return _refusal(503, "the worker has not started; ask again later")
        served = self._worker.settings.queues
        if queue not in served:
            return _refusal(
                404,
                f"this worker does not serve the queue {quote(queue)}; it serves {', '.join(served)}",
            )
        _, scaling = await self._reader.numbers()
        if (found := scaling.get(queue)) is None:
            return _refusal(503, f"the queue {queue} cannot be read now; ask again later")
        content = {"queue": queue, "desired_workers": found.desired}
        return JSONResponse(content, 200, _NO_STORE)

    async def run(self) -> None:
        """Serve until `close`, also when cancelled before."""
        # A limiter of its own, because the threads of the default one are for the user's code.
        try:
            await trio.to_thread.run_sync(trio.run, self._serve, limiter=trio.CapacityLimiter(1))
        except Exception as error:
            raise WorkerCrashed(f"the HTTP endpoint: {type(error).__name__}: {error}") from error

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        if self._closing.is_set():
            return
        config = Config()
        config.bind = [f"fd://{self._listener.detach()}"]
        config.errorlog = logging.getLogger("rediq_trio.web.server")
        config.errorlog.setLevel(logging.WARNING)  # the rest is of no use in a worker's log
        config.accesslog = None
        config.include_server_header = False
        config.graceful_timeout = _CLOSE_GRACE
        config.read_timeout = READ_TIMEOUT  # type: ignore[assignment]  # it takes a float
        # Starlette and Hypercorn spell the types of ASGI differently.
        app = cast("Any", self._app())
        serve = cast("Any", hypercorn.trio.serve)  # pyright: ignore  (typed in part)
        await serve(app, config, shutdown_trigger=self._stop.wait)

    def _app(self) -> Starlette:
        """Make the ASGI application, which reads health and metrics at each request."""

        def probe(passes: Callable[[Health], bool]) -> Callable[[Request], Awaitable[Response]]:
            async def answer(_: Request) -> Response:
                found = self.health()
                content = {"healthy": found.healthy, **attrs.asdict(found)}
                return JSONResponse(content, 200 if passes(found) else 503, _NO_STORE)

            return answer

        async def metrics(request: Request) -> Response:
            accept = request.headers.get("accept", "")
            body, media_type = exposition(await self.scrape(), accept)
            return Response(body, 200, _NO_STORE | {"Vary": "Accept"}, media_type)

        async def scale(request: Request) -> Response:
            return await self.scale(request.path_params["queue"])

        pages = {
            "/healthz": probe(lambda health: health.alive),
            "/readyz": probe(lambda health: health.ready),
            "/metrics": metrics,
            "/scale/{queue}": scale,
        }
        return Starlette(routes=[Route(path, page) for path, page in pages.items()])

    def close(self) -> None:
        """End `run`."""
        self._closing.set()
        if self._token is not None:
            try:
                self._token.run_sync_soon(self._stop.set)
            except trio.RunFinishedError:
                pass  # it has ended already


def bind(address: str, port: int) -> socket.socket:
    """Listen on a port; raise `ConfigError` if that is impossible."""
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        # Here, because two processes may bind the same port, but only one can listen on it.
        listener.listen(ACCEPT_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"metrics_port={port}: cannot listen on {address}: {error.strerror or error}; choose a free "
            "port, or an address of this machine as metrics_address"
        ) from error
    return listener


@asynccontextmanager
async def open_health_server(address: str, port: int) -> AsyncGenerator[HealthServer]:
    """Listen at once, and serve while the block lasts.

    Raises `ConfigError` if the server cannot listen on the port. An exception of the block leaves
    as it was raised. If the surrounding scope is cancelled, the server runs until the end of the
    block.
    """
    with bind(address, port) as listener:
        async with unwrapped_errors() as captured, trio.open_nursery() as nursery:
            health_server = HealthServer(listener)
            nursery.start_soon(health_server.run)
            host = f"[{address}]" if ":" in address else address
            log.info("health and metrics at http://%s:%d", host, health_server.port)
            with captured:
                yield health_server
            health_server.close()
