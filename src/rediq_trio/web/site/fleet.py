"""The view of the fleet that all pages and streams of a site share.

Its sampler reads while a stream is open, and for `LINGER` seconds after a page asked: a visitor who follows
links has the next view at once, and a site that nobody looks at costs Redis nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import attrs
import trio

from rediq_trio._errors.nursery import unwrapped_errors
from rediq_trio.client import Client
from rediq_trio.observe.sampler import ViewSampler, sampling
from rediq_trio.observe.views import FleetView
from rediq_trio.values.chance import utc_now

FLEET_EVERY = 0.9
"""Seconds between two views while somebody looks: a change is seen within a second, with the answer to a page."""
LINGER = 3.0
"""Seconds for which queues are read after a page asked, with no stream open."""
VIEW_WAIT_MAX = 3.0
"""Seconds that a page waits for a view."""
SILENT_AFTER = 6.0
"""Seconds without a new view, while somebody looks, after which Redis counts as away."""
NOT_READ = f"Redis did not answer within {VIEW_WAIT_MAX:g} s"


class Fleet:
    """The newest view, for whoever asks, and each view, for streams. Made by `watching`."""

    def __init__(self, sampler: ViewSampler) -> None:
        self._sampler = sampler
        self._looking = 0
        self._asked_at = -float("inf")
        self._asked = trio.Event()
        self._new = trio.Event()
        self._view: FleetView | None = None
        self._last: FleetView | None = None
        """The last view that was read, however long ago."""
        self._waits_for = -float("inf")
        """Views that were begun before this, by the clock of the loop, are too old."""
        self._read_at = -float("inf")
        self._kept_at = -float("inf")
        self.away_since: dt.datetime | None = None
        """Since when Redis is away, by this process's clock; None while it answers."""
        self.number = 0
        """How many views there were: a stream sends it, and it never goes down."""

    @contextmanager
    def looking(self) -> Generator[None]:
        """Read at each interval while the block lasts."""
        self._looking += 1
        self._asked.set()
        try:
            yield
        finally:
            self._looking -= 1

    def changed(self) -> None:
        """Have the queues read again at once: a page that is asked for after an act shows what it did."""
        self._waits_for = trio.current_time()
        self._sampler.read_now()

    async def view(self) -> FleetView:
        """Return the newest view; one that says that Redis is away if none comes in time."""
        self._asked_at = trio.current_time()
        self._asked.set()
        with trio.move_on_after(VIEW_WAIT_MAX):
            while self._view is None or self._read_at < self._waits_for:
                await self._new.wait()
        if self._view is None:
            return attrs.evolve(self._last or FleetView.empty(), away=NOT_READ)
        if self._view.away is None and (silent := self._silent_for()) is not None:
            return attrs.evolve(self._view, away=f"Redis has not answered for {silent:.0f} s.")
        return self._view

    async def after(self, number: int) -> None:
        """Wait until there is a view after that of this number, or until one is overdue."""
        with trio.move_on_after(FLEET_EVERY + 1):
            while self._view is None or self.number <= number:
                await self._new.wait()

    @property
    def away_for(self) -> float | None:
        """The seconds for which Redis is away, or has not answered; None while it does."""
        if self.away_since is not None:
            return max(0.0, (utc_now() - self.away_since).total_seconds())
        return self._silent_for()

    def _silent_for(self) -> float | None:
        silent = trio.current_time() - self._kept_at
        return silent if self._view is not None and silent > SILENT_AFTER else None

    async def run(self) -> None:
        """Keep the newest view while somebody looks."""
        while True:
            await self._asked.wait()
            with self._sampler.views() as views:
                while self._wanted():
                    begun = trio.current_time()
                    with trio.move_on_after(LINGER):
                        self._keep(await views.receive(), begun)
            self._view = None
            if not self._wanted():
                self._asked = trio.Event()

    def _wanted(self) -> bool:
        return self._looking > 0 or trio.current_time() - self._asked_at < LINGER

    def _keep(self, view: FleetView, begun: float) -> None:
        # A view that was being read when something was changed may not show it: the next one does.
        changed_meanwhile = begun < self._waits_for
        if view.away is None:
            self._last = view
        elif self.away_since is None:
            self.away_since = view.at  # that of the last one that could be read
        if view.away is not None and self._last is not None:  # nobody looked, and Redis is away now
            view = attrs.evolve(self._last, away=view.away)
        self._view, self._read_at = view, begun if changed_meanwhile else trio.current_time()
        self.number += 1
        self._kept_at = trio.current_time()
        if view.away is None:
            self.away_since = None
        if changed_meanwhile:
            self._sampler.read_now()
        event, self._new = self._new, trio.Event()
        event.set()


@asynccontextmanager
async def watching(client: Client, *, every: float = FLEET_EVERY) -> AsyncGenerator[Fleet]:
    """Run what keeps the newest view, while the block lasts."""
    async with (
        unwrapped_errors() as captured,
        sampling(client, every=every) as sampler,
        trio.open_nursery() as nursery,
    ):
        fleet = Fleet(sampler)
        nursery.start_soon(fleet.run)
        with captured:
            yield fleet
        nursery.cancel_scope.cancel()
