"""The work: a seeded mix of stories, each of which touches one thing that the queue promises."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import trio

import rediq_trio as rediq
from tests.chaos.caller import Caller
from tests.chaos.kinds import NARROW, PACED

SOON = rediq.Fixed(0.2)
BULK = 20
"""Plain tasks that one call enqueues at most."""


@attrs.define(eq=False)
class Mix:
    """Tells stories. One per producer."""

    caller: Caller
    rng: random.Random
    _recent: deque[str] = attrs.field(factory=lambda: deque(maxlen=400))

    def choose(self) -> tuple[int, Callable[[], Awaitable[None]]]:
        """Choose the next story; return how many tasks it makes, about, and the story."""
        names = [*STORIES]
        (name,) = self.rng.choices(names, [STORIES[n][0] for n in names])
        _, size, story = STORIES[name]
        return size, lambda: story(self)

    def place(self) -> str:
        """Choose a queue."""
        return self.rng.choice(("main", "main", "side"))

    def brief(self) -> float:
        """Choose how long a task takes: most are brief, some outlast a few renewals."""
        draw = self.rng.random()
        if draw < 0.02:
            return self.rng.uniform(0.5, 4.0)
        return 0.0 if draw < 0.5 else self.rng.uniform(0.0, 0.03)

    async def plain(self) -> None:
        """Enqueue one task with a priority."""
        task = self.caller.task(
            "plain",
            seconds=self.brief(),
            queue=self.place(),
            priority=self.rng.choice((10, 50, 50, 90)),
        )
        await self._enqueue(task)

    async def bulk(self) -> None:
        """Enqueue several tasks in one call."""
        queue = self.place()
        tasks = [self.caller.task("plain", seconds=self.brief(), queue=queue) for _ in range(BULK)]
        await self.caller.enqueue_many(tasks)
        self._recent.append(f"{queue}/{tasks[0].id}")

    async def _enqueue(self, task: rediq.Task[Any]) -> bool:
        made = await self.caller.enqueue(task)
        if made:
            self._recent.append(f"{task.queue}/{task.id}")
        return made

    async def delayed(self) -> None:
        """Enqueue a task for later."""
        await self._enqueue(self.caller.task("delayed", delay=self.rng.uniform(0.05, 4.0)))

    async def failing(self) -> None:
        """Enqueue a task that fails, at first or always, in one of the ways there are."""
        kind = self.rng.choice(("flaky", "again", "raise", "reject", "snooze"))
        retries = self.rng.randint(0, 3)
        times = self.rng.randint(1, 3)
        await self._enqueue(
            self.caller.task(kind, times=times, max_retry=retries, backoff=SOON, queue=self.place())
        )

    async def slow(self) -> None:
        """Enqueue a task that takes longer than it may, by its timeout or its deadline."""
        bound = self.rng.choice(({"timeout": 0.3}, {"deadline": self.rng.uniform(0.1, 1.0)}))
        await self._enqueue(
            self.caller.task("slow", seconds=2.0, max_retry=1, backoff=SOON, **bound)
        )

    async def cancelled(self) -> None:
        """Cancel a task while it waits, or while it runs, or when it has just ended."""
        seconds = self.rng.choice((0.0, 0.5, 3.0))
        delay = self.rng.choice((None, None, 1.0))
        task = self.caller.task("cancelled", seconds=seconds, delay=delay, queue=self.place())
        if await self._enqueue(task):
            await trio.sleep(self.rng.uniform(0.0, 1.0))
            await self.caller.cancel(f"{task.queue}/{task.id}")

    async def unique(self) -> None:
        """Enqueue a task under a key that others want too."""
        until = self.rng.choice(("done", "started", "expired"))
        rule = rediq.Unique(
            key=f"k{self.rng.randrange(12)}-{until}",
            until=until,
            ttl=1.5 if until == "expired" else None,
            on_conflict=self.rng.choice(("reject", "return", "replace")),
        )
        delay = self.rng.choice((None, 0.5))
        await self._enqueue(
            self.caller.task("unique", seconds=self.rng.uniform(0, 0.5), unique=rule, delay=delay)
        )

    async def family(self) -> None:
        """Enqueue a task that waits for two others, one of which may fail, in two queues."""
        kind = self.rng.choice(("plain", "plain", "raise"))
        first = self.caller.task("plain", seconds=self.brief(), queue="main")
        second = self.caller.task(kind, queue="side", max_retry=0)
        if await self._enqueue(first) and await self._enqueue(second):
            needs = (f"main/{first.id}", f"side/{second.id}")
            policy = self.rng.choice(("dead", "run"))
            await self._enqueue(
                self.caller.task(
                    "after", queue=self.place(), depends_on=needs, on_dependency_failure=policy
                )
            )

    async def parent(self) -> None:
        """Enqueue a task that enqueues others with its completion."""
        await self._enqueue(
            self.caller.task("parent", times=self.rng.randint(1, 3), seconds=self.brief())
        )

    async def grouped(self) -> None:
        """Enqueue tasks that wait for one another."""
        group = f"g{self.rng.randrange(4)}"
        for _ in range(self.rng.randint(1, 4)):
            await self._enqueue(
                self.caller.task("grouped", seconds=self.brief(), group=group, queue="side")
            )

    async def limited(self) -> None:
        """Enqueue tasks under a limit."""
        key = self.rng.choice((NARROW, PACED))
        for _ in range(3):
            await self._enqueue(
                self.caller.task(
                    "limited", seconds=self.rng.uniform(0, 0.1), limit_key=key, queue="lanes"
                )
            )

    async def expiring(self) -> None:
        """Enqueue a task that is worth nothing after a while, and may be late."""
        await self._enqueue(
            self.caller.task("expiring", priority=95, expires=self.rng.uniform(0.05, 2.0))
        )

    async def twice(self) -> None:
        """Enqueue one task two times."""
        task = self.caller.task("twice", queue=self.place())
        await self._enqueue(task)
        await self.caller.enqueue(task)

    async def threaded(self) -> None:
        """Enqueue a task whose handler runs in a thread."""
        await self._enqueue(self.caller.task("threaded", "threaded", seconds=self.brief()))

    async def changed(self) -> None:
        """Change a task that waits, or that has just begun, or ended."""
        kind, retries = self.rng.choice((("delayed", 0), ("raise", 2), ("plain", 0)))
        delay = self.rng.uniform(0.3, 3.0) if kind == "delayed" else None
        queue, backoff = self.place(), rediq.Fixed(self.rng.uniform(0.2, 2.0))
        task = self.caller.task(kind, queue=queue, delay=delay, max_retry=retries, backoff=backoff)
        if not await self.caller.enqueue(task):
            return
        await trio.sleep(self.rng.uniform(0.0, 0.5))
        own = f"{queue}/{task.id}"
        for _ in range(self.rng.randint(1, 2)):
            match self.rng.randrange(4):
                case 0:
                    await self.caller.run_now(own)
                case 1:
                    await self.caller.reschedule(own, self.rng.choice((0.0, 0.5, 2.0)))
                case 2:
                    await self.caller.update(own, self.rng.choice((5, 60, 95)))
                case _:
                    # Its new id may be unknown, so this is the last that is done with it.
                    await self.caller.requeue(own, "main" if queue == "side" else "side")
                    return

    async def again(self) -> None:
        """Enqueue a task once more, whatever became of it."""
        task = self.caller.task("plain", seconds=self.brief(), queue=self.place())
        if await self._enqueue(task):
            await trio.sleep(self.rng.uniform(0.0, 1.0))
            await self.caller.enqueue_again(task)

    async def herd(self) -> None:
        """Change all tasks of a selection; those that come after it must stay as they are."""
        queue, state = self.place(), self.rng.choice(("scheduled", "pending", "dead"))
        first = self._herded(queue, state, "")
        key = f"herd-{first.id}"
        herd = [self._herded(queue, state, key) for _ in range(self.rng.randint(2, 6))]
        if not all([await self.caller.enqueue(task) for task in herd]):
            return
        if state == "dead":
            await trio.sleep(self.rng.uniform(0.2, 1.5))
        selected_at = time.monotonic_ns()
        try:
            selection = await self.caller.client.queue(queue).select(state, limit_key=key)
        except rediq.RediqError:
            return
        await trio.sleep(0.05)
        late = [self._herded(queue, state, key) for _ in range(2)]
        if not all([await self.caller.enqueue(task) for task in late]):
            return
        await trio.sleep(self.rng.uniform(0.0, 1.0))
        changes = ("retry", "delete", "requeue") if state == "dead" else ("cancel", "delete", "requeue")
        await self.caller.change_all(
            self.rng.choice(changes), selection,
            [f"{queue}/{task.id}" for task in herd], [f"{queue}/{task.id}" for task in late],
            selected_at, "main" if queue == "side" else "side",
        )  # fmt: skip

    def _herded(self, queue: str, state: str, key: str) -> rediq.Task[Any]:
        kind, delay = ("reject", None) if state == "dead" else ("plain", None)
        if state == "scheduled":
            delay = self.rng.uniform(1.0, 4.0)
        priority = 99 if state == "pending" else 50
        return self.caller.task(
            kind, queue=queue, delay=delay, priority=priority, limit_key=key or None, max_retry=0
        )

    async def operate(self) -> None:
        """Read, revive or delete an older task."""
        if self._recent:
            chosen = self.rng.choice(self._recent)
            draw = self.rng.random()
            if draw < 0.7:
                await self.caller.info(chosen)
            elif draw < 0.9:
                await self.caller.retry(chosen)
            else:
                await self.caller.delete(chosen)


STORIES: dict[str, tuple[float, int, Callable[[Mix], Awaitable[None]]]] = {
    "plain": (40, 1, Mix.plain),
    "bulk": (7, BULK, Mix.bulk),
    "delayed": (4, 1, Mix.delayed),
    "failing": (6, 1, Mix.failing),
    "slow": (1, 1, Mix.slow),
    "cancelled": (3, 1, Mix.cancelled),
    "unique": (4, 1, Mix.unique),
    "family": (4, 3, Mix.family),
    "parent": (4, 3, Mix.parent),
    "grouped": (3, 3, Mix.grouped),
    "limited": (1, 3, Mix.limited),
    "expiring": (2, 1, Mix.expiring),
    "twice": (2, 1, Mix.twice),
    "threaded": (1, 1, Mix.threaded),
    "changed": (6, 1, Mix.changed),
    "again": (2, 2, Mix.again),
    "herd": (1.5, 6, Mix.herd),
    "operate": (5, 0, Mix.operate),
}
"""Each story: its weight, the tasks it makes, and what it does."""
