"""The servers of a fleet: each runs the real `serve` on a host of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import trio

from rediq_trio._errors import ConnectionLost
from rediq_trio.handlers.app import App
from rediq_trio.serve import Server, serve
from rediq_trio.settings import Settings
from rediq_trio.store.port import Store
from rediq_trio.testing.simulated.host_network import HostNetwork
from rediq_trio.testing.world import Host

RECONNECT_AFTER = 1.0
"""Seconds after which a server starts again whose first calls were lost."""


class SimServer:
    """A place in the fleet, with the host that has it now: after a deploy or a start, another one."""

    def __init__(
        self, network: HostNetwork, name: str, app: App, settings: Mapping[str, Any]
    ) -> None:
        self._network = network
        self.name = name
        self.app = app
        self.settings = dict(settings)
        self.starts = 0
        self.host: Host
        """The host that has the place now."""
        self.server: Server | None = None
        self._stop = trio.Event()
        self.ended = trio.Event()
        self.start()

    def __repr__(self) -> str:
        return f"<SimServer {self.name}, {self.state}>"

    @property
    def state(self) -> Literal["up", "frozen", "dead", "stopped"]:
        """Whether it runs."""
        return "stopped" if self.ended.is_set() else self.host.state

    def start(self) -> None:
        """Start a new host in this place, which runs `serve`."""
        name = f"{self.name}#{self.starts}" if self.starts else self.name
        self.starts += 1
        self.host, store = self._network.open_host(name)
        self._stop, self.ended, self.server = trio.Event(), trio.Event(), None
        self._network.world.start(self.host, self._serve, self.host, store, self._stop, self.ended)

    async def _serve(
        self, host: Host, store: Store | str, stop: trio.Event, ended: trio.Event
    ) -> None:
        try:
            while not stop.is_set():
                try:
                    options: dict[str, Any] = {"name": host.name, **self.settings}
                    async with serve(self.app, store, **options) as server:
                        self.server = server
                        await stop.wait()
                except ConnectionLost:
                    if host.world.over:
                        return
                    await trio.sleep(RECONNECT_AFTER)
        finally:
            ended.set()

    def begin_stop(self) -> None:
        """Begin a stop in good order; `ended` is set when it is over."""
        self._stop.set()

    def restart_when_ended(self) -> None:
        """Start a new host in this place when the one that has it now has stopped."""
        ended, world = self.ended, self._network.world

        async def restart() -> None:
            await ended.wait()
            if self.ended is ended and not world.over:
                self.start()

        world.start(None, restart)

    def is_idle(self) -> bool:
        """Return whether it holds no lease and is neither starting nor stopping."""
        if self.state in ("dead", "stopped"):
            return True
        if self.state == "frozen" or self.server is None or self._stop.is_set():
            return False
        return self.server.stats().held == 0

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that it serves."""
        return tuple(self._options.queues)

    @property
    def retention(self) -> tuple[int, int]:
        """For how many ms it keeps dead tasks, and how many."""
        return round(self._options.dead_retention * 1000), self._options.max_dead

    @property
    def _options(self) -> Settings:
        assert self.server is not None
        return self.server._worker.settings
