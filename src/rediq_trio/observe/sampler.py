"""One sampler for any number of viewers: it reads once for all of them, and not at all for none."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import attrs
import trio

from rediq_trio._errors import RediqError
from rediq_trio._errors.nursery import unwrapped_errors
from rediq_trio.client import Client
from rediq_trio.observe.views import FleetView, look

EVERY = 2.0
"""Seconds from the beginning of a reading to that of the next."""

_Channel = tuple[trio.MemorySendChannel[FleetView], trio.MemoryReceiveChannel[FleetView]]


class ViewSampler:
    """Hands each new view to whoever looks. Made by `sampling`."""

    def __init__(self, client: Client, every: float) -> None:
        self._client = client
        self._every = every
        self._channels: dict[int, _Channel] = {}
        self._opened = 0
        self._wanted = trio.Event()
        self._asked_now = trio.Event()
        self._view: FleetView | None = None
        self.readings = 0
        """How often the queues were read, or could not be."""

    @contextmanager
    def views(self) -> Generator[trio.MemoryReceiveChannel[FleetView]]:
        """Receive each new view while the block lasts.

        A viewer that is slow misses views: only the newest is kept for it.
        """
        send, receive = trio.open_memory_channel[FleetView](1)
        if self._channels and self._view is not None:
            send.send_nowait(self._view)  # it is as new as what the others have
        self._opened += 1
        key = self._opened
        self._channels[key] = send, receive
        self._wanted.set()
        try:
            yield receive
        finally:
            del self._channels[key]
            send.close()
            receive.close()

    def read_now(self) -> None:
        """Read at once, rather than at the end of the interval: something was changed."""
        self._asked_now.set()

    async def run(self) -> None:
        """Read at each interval while somebody looks."""
        while True:
            if not self._channels:
                self._view = None
                self._wanted = trio.Event()
                await self._wanted.wait()
            self._asked_now = trio.Event()
            next_at = trio.current_time() + self._every
            await self._read()
            with trio.move_on_at(next_at):
                await self._asked_now.wait()

    async def _read(self) -> None:
        try:
            self._view = await look(self._client, before=self._view)
        except RediqError as error:
            why = " ".join(str(error).split())
            self._view = attrs.evolve(self._view or FleetView.empty(), away=why)
        self.readings += 1
        for send, receive in self._channels.values():
            if send.statistics().current_buffer_used:
                receive.receive_nowait()  # its viewer was too slow for this one
            send.send_nowait(self._view)


@asynccontextmanager
async def sampling(client: Client, *, every: float = EVERY) -> AsyncGenerator[ViewSampler]:
    """Run a sampler while the block lasts.

    However many look at once, the queues are read once in `every` seconds, and never when nobody
    looks. While Redis is away, views are those of before, with the reason in `away`.
    """
    sampler = ViewSampler(client, every)
    async with unwrapped_errors() as captured, trio.open_nursery() as nursery:
        nursery.start_soon(sampler.run)
        with captured:
            yield sampler
        nursery.cancel_scope.cancel()
