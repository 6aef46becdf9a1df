"""A memory store over the connection of a simulated host, without noise and without faults. Not shipped."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import outcome

from rediq_trio.testing.network import SimNetwork
from rediq_trio.testing.wire import Wire
from rediq_trio.testing.world import World


class WiredWorld:
    """A simulated world, for one test. The test moves the store's time; simulated time is the wire's alone."""

    def __init__(self) -> None:
        self._now = lambda: 0
        self.world = World()
        self.network = SimNetwork(self.world, clock=lambda: self._now())
        self.wire: Wire = self.network.connect("client")

    @asynccontextmanager
    async def open_store(self, clock: Callable[[], int]) -> AsyncIterator[Wire]:
        """Open the store as the host sees it."""
        self._now = clock
        yield self.wire

    def run(self, test: Callable[[], Awaitable[None]]) -> None:
        """Run a test on the host, and end the world."""
        ended: list[outcome.Outcome[None]] = []

        async def run_test() -> None:
            ended.append(await outcome.acapture(test))

        try:
            self.world.start(self.wire.host, run_test)
            self.world.run(lambda: bool(ended))
        finally:
            self.network.end()
            self.world.close()
        ended[0].unwrap()
