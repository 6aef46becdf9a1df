"""Partitions: one queue over several hash slots.

A partitioned queue `mail` is the ordinary queues `mail~0` to `mail~7`: a name that no
user can give, and for keys, stores and scripts a name like any other. What each
task must meet lies in one place: tasks of one own id, of one unique key and of one
group are placed by a stable hash of it, all others at random. `mail` itself is served
and counted too, for tasks of a producer that did not know of the partitions yet.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Mapping
from typing import Any, TypeVar
from zlib import crc32

import trio

from rediq_trio._errors import ConfigError, ConnectionLost
from rediq_trio.spec.partitioning import PartitionCount
from rediq_trio.store.port import Store
from rediq_trio.tasks.prepare import unique_key
from rediq_trio.values.bounds import Place
from rediq_trio.values.task import Task

R = TypeVar("R")

MOST = 64
"""Partitions that a queue may have."""
FRESH = 5.0
"""Seconds for which a client relies on what it has read of the partitions."""
PATIENCE = 15.0
"""Seconds for which a client that has never read them tries to."""


def places_of(queue: str, count: int) -> tuple[str, ...]:
    """Give every place where a queue's tasks may be."""
    if count == 1:
        return (queue,)
    return (queue, *(Place(f"{queue}~{n}") for n in range(count)))


class Partitions:
    """How many partitions each queue has, as one client knows it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._counts: Mapping[str, PartitionCount] = {}
        self._read_at = -math.inf

    def count(self, queue: str) -> int:
        """Give the number that was last read; 1 for a queue that is not partitioned."""
        return self._counts.get(queue, PartitionCount()).count

    async def refresh(self) -> None:
        """Read the numbers now."""
        self._counts = await self._store.partitions()
        self._read_at = trio.current_time()

    async def known(self) -> None:
        """Read the numbers where those at hand are too old; older ones do while Redis is away."""
        begin = trio.current_time()
        while trio.current_time() - self._read_at >= FRESH:
            try:
                await self.refresh()
            except ConnectionLost:
                if self._read_at > -math.inf:
                    return
                if trio.current_time() - begin > PATIENCE:
                    raise
                await trio.sleep(random.uniform(0.05, 0.5))

    def placer(self, beside: str = "") -> Placer:
        """Give what places tasks that are enqueued together, or beside a task in some place."""
        queue, _, number = beside.partition("~")
        known = number and int(number) < self.count(queue)
        return Placer(self, {queue: int(number)} if known else {})


class Placer:
    """Places tasks that are enqueued together: those that may lie anywhere lie side by side."""

    def __init__(self, partitions: Partitions, chosen: dict[str, int]) -> None:
        self._partitions = partitions
        self._chosen = chosen

    def __call__(self, task: Task[R]) -> Task[R]:
        """Give the task with its place as its queue; raise `ConfigError` where there is none."""
        if not isinstance(task, Task) or isinstance(task.queue, Place):
            return task
        count = self._partitions.count(task.queue)
        if count == 1:
            return task
        placed = copy.copy(task)
        # Past the freeze: a new value that nobody else has seen.
        object.__setattr__(placed, "queue", Place(f"{task.queue}~{self._number(task, count)}"))
        return placed

    def _number(self, task: Task[Any], count: int) -> int:
        if task.limit_key is not None:
            raise ConfigError.of(
                "limit_key", task.limit_key, f"None: the queue {task.queue} is partitioned"
            )
        ways = {"id": task.id, "unique": task.unique, "group": task.group}
        given = [name for name, value in ways.items() if value is not None]
        if len(given) > 1:
            bound = f"without {given[1]}: the queue {task.queue} is partitioned, and has a place for one"
            raise ConfigError.of(given[0], ways[given[0]], bound)
        if not given:
            if task.queue not in self._chosen:
                self._chosen[task.queue] = random.randrange(count)
            return self._chosen[task.queue]
        key = task.id or task.group or unique_key(task)
        return crc32(key.encode()) % count
