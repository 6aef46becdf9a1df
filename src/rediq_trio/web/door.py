"""The door: an HTTP endpoint beside a worker, for as long as it serves.

It runs in a thread with a `trio.run` of its own. On the worker's loop it could not
answer while a handler blocks that, which is when a probe wants to know. A worker's
health may be read from any thread; what only the worker's loop can do, reading the
queues, it is asked for (`counts`).

The port is bound, and listened on, before the worker opens a connection; so one that
is taken stops it before any work begins.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import hypercorn.trio
import trio
from hypercorn.config import Config

from rediq_trio._errors import ConfigError, WorkerCrashed
from rediq_trio._nursery import held_back
from rediq_trio.web.counts import Asker, Reader
from rediq_trio.web.metrics import Reading
from rediq_trio.web.pages import make_pages
from rediq_trio.worker.health import NOT_STARTED, Health
from rediq_trio.worker.worker import Worker

log = logging.getLogger("rediq_trio.web")

BACKLOG = 100
"""Connections that may wait to be accepted."""
SLOW = 10.0
"""Seconds that a client may take to say something before it is cut off."""
_GRACE = 0.5
"""Seconds that requests have to finish when the door closes."""


class Door:
    """An open door. Made by `open_door`."""

    def __init__(self, listener: socket.socket) -> None:
        self.port: int = listener.getsockname()[1]
        self._listener = listener
        self._worker: Worker | None = None
        self._reader: Reader | None = None
        self._asker: Asker | None = None
        self._closing = threading.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._stop: trio.Event | None = None

    def show(self, worker: Worker, nursery: trio.Nursery) -> int:
        """Show a worker; what has to be read in its loop is read in `nursery`. Give the port."""
        reader = Reader(worker.client, tuple(worker.settings.queues))
        nursery.start_soon(reader.run)
        self._reader, self._worker = reader, worker
        return self.port

    def health(self) -> Health:
        """Judge the worker that is shown; before there is one, it has not started."""
        return NOT_STARTED if self._worker is None else self._worker.examiner.examine()

    async def read(self) -> Reading:
        """Read what a scrape shows; called in the door's own loop."""
        if self._reader is None:
            return Reading(self.health(), None, None)
        if self._asker is None:
            self._asker = Asker(self._reader)
        counts = await self._asker.counts()
        return Reading(self.health(), self._worker, counts)

    async def run(self) -> None:
        """Serve until `close`. Cancelled, it serves on until then."""
        # A limiter of its own: the default one's threads are for the user's code.
        try:
            await trio.to_thread.run_sync(trio.run, self._serve, limiter=trio.CapacityLimiter(1))
        except Exception as error:
            raise WorkerCrashed(f"the HTTP endpoint: {type(error).__name__}: {error}") from error

    async def _serve(self) -> None:
        self._stop = trio.Event()
        self._token = trio.lowlevel.current_trio_token()
        if self._closing.is_set():
            return
        config = Config()
        config.bind = [f"fd://{self._listener.detach()}"]
        config.errorlog = _server_log()
        config.accesslog = None
        config.include_server_header = False
        config.graceful_timeout = _GRACE
        config.read_timeout = SLOW  # type: ignore[assignment]  # it takes a float
        # ASGI's types differ in letter between the two.
        pages = cast("Any", make_pages(self.health, self.read))
        serve = cast("Any", hypercorn.trio.serve)  # pyright: ignore  (typed in part)
        await serve(pages, config, shutdown_trigger=self._stop.wait)

    def close(self) -> None:
        """Let `run` end."""
        self._closing.set()
        if self._token is not None and self._stop is not None:
            try:
                self._token.run_sync_soon(self._stop.set)
            except trio.RunFinishedError:
                pass  # it has ended already


def _server_log() -> logging.Logger:
    """Give Hypercorn's log: what it says below a warning is of no use in a worker's."""
    found = logging.getLogger("rediq_trio.web.server")
    found.setLevel(logging.WARNING)
    return found


def bind(address: str, port: int) -> socket.socket:
    """Listen on a port; raise `ConfigError` when that cannot be."""
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        # Here, because two may bind the same port, but only one can listen on it.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"metrics_port={port}: cannot listen on {address}: {error.strerror or error}; choose a free "
            "port, or an address of this machine as metrics_address"
        ) from error
    return listener


@asynccontextmanager
async def open_door(address: str, port: int) -> AsyncGenerator[Door]:
    """Listen at once, and serve for as long as the block lasts.

    Raises `ConfigError` when it cannot listen there. An exception of the block
    leaves as it was raised. When the surrounding scope is cancelled, it serves on
    until the block is left.
    """
    with bind(address, port) as listener:
        async with held_back() as hold, trio.open_nursery() as nursery:
            door = Door(listener)
            nursery.start_soon(door.run)
            log.info("health and metrics at http://%s:%d", _shown(address), door.port)
            with hold:
                yield door
            door.close()


def _shown(address: str) -> str:
    return f"[{address}]" if ":" in address else address
