"""The soak's producer: a steady mix, and clients that come and go."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import trio

import rediq_trio as rediq
from tests.chaos.soak.chores import BACKOFF, KEPT, OTHER, QUEUE

VISITS = 0.25
"""Seconds between two clients that come and go."""
AT_ONCE = 100
"""Stories that go on at once."""
KINDS = ("plain", "plain", "plain", "fails", "rejects", "snoozes", "parent", "steps")
STUCK = 60.0
"""Seconds that a waiter waits, at most."""
AWAITED = 60.0
"""Seconds that a task is kept that someone asks for what it returned."""


def chore(kind: str, **options: object) -> rediq.Task[str]:
    """Make a task."""
    options = {"queue": QUEUE, "retention": KEPT, "backoff": BACKOFF, "max_retry": 1, **options}
    return rediq.Task("chore", {"kind": kind}, **options)  # type: ignore[arg-type]


@attrs.define(eq=False)
class Producer:
    """Enqueues at a rate, until `stopping`."""

    url: str
    rate: float
    lingering: bool = True
    """Run stories too whose tasks are kept for a minute: those with a cancel or a waiter."""
    leaks: trio.Nursery | None = None
    """The planted leak: clients that no one closes are opened there."""
    stopping: bool = False
    told: int = 0
    visits: int = 0
    _rng: random.Random = attrs.field(factory=lambda: random.Random(7))

    async def run(self, client: rediq.Client) -> None:
        """Produce, and end what was begun."""
        room = trio.CapacityLimiter(AT_ONCE)
        begun = trio.current_time()
        due = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._visit)
            while not self.stopping:
                while due <= (trio.current_time() - begun) * self.rate and not self.stopping:
                    due += 1
                    token = object()
                    await room.acquire_on_behalf_of(token)
                    nursery.start_soon(self._one, client, room, token)
                await trio.sleep(1 / self.rate)

    async def _one(self, client: rediq.Client, room: trio.CapacityLimiter, token: object) -> None:
        try:
            await self._choose()(client)
            self.told += 1
        finally:
            room.release_on_behalf_of(token)

    def _choose(self) -> Callable[[rediq.Client], Awaitable[None]]:
        stories = {self.plain: 60, self.keyed: 10, self.grouped: 8}
        if self.lingering:
            stories |= {self.awaited: 10, self.related: 6, self.cancelled: 6}
        (chosen,) = self._rng.choices([*stories], [*stories.values()])
        return chosen

    async def plain(self, client: rediq.Client) -> None:
        """Enqueue a task, now or for later."""
        delay = self._rng.choice((None, None, 0.3))
        await client.enqueue(chore(self._rng.choice(KINDS), delay=delay))

    async def awaited(self, client: rediq.Client) -> None:
        """Enqueue a task, in a thread or not, and wait for what it returns."""
        threaded: rediq.Task[Any] = rediq.Task("threaded", {}, queue=QUEUE, retention=AWAITED)
        plain = chore("plain", retention=AWAITED)
        handle = await client.enqueue(self._rng.choice((plain, threaded)))
        await handle.result(timeout=STUCK)

    async def related(self, client: rediq.Client) -> None:
        """Enqueue a chain over two queues, and follow it."""
        places = (QUEUE, OTHER, QUEUE)
        links = [chore("plain", queue=place, retention=AWAITED) for place in places]
        handle = await client.enqueue(rediq.chain(*links))
        await handle.result(timeout=STUCK)

    async def cancelled(self, client: rediq.Client) -> None:
        """Enqueue a task that takes long, and cancel it, waiting or running."""
        handle = await client.enqueue(chore("slow"))
        await trio.sleep(self._rng.choice((0, 0.2)))
        await handle.cancel()

    async def keyed(self, client: rediq.Client) -> None:
        """Enqueue a task under a key that may be taken, or that is new each time."""
        key = self._rng.choice(("k", f"k{self.told}"))
        rule = rediq.Unique(key=key, on_conflict=self._rng.choice(("return", "replace")))
        if self._rng.random() < 0.3:
            rule = rediq.Unique(key=key, until="expired", ttl=1.0, on_conflict="return")
        task = chore("plain", unique=rule, limit_key=f"lane{self.told % 50}")
        try:
            await client.enqueue(task)
        except rediq.DuplicateTask:
            pass  # the holder runs already, so it cannot be replaced

    async def grouped(self, client: rediq.Client) -> None:
        """Enqueue members of a group."""
        await client.enqueue_many([chore("heap", group="heap") for _ in range(3)])

    async def _visit(self) -> None:
        """Open a client, use it, close it; again and again."""
        while not self.stopping:
            async with rediq.connect(self.url) as client:
                await client.enqueue(chore("plain"))
            if self.leaks is not None:
                self.leaks.start_soon(self._forget)
            self.visits += 1
            await trio.sleep(VISITS)

    async def _forget(self) -> None:
        async with rediq.connect(self.url):
            await trio.sleep_forever()
