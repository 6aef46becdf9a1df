"""Partitions: one queue over several hash slots.

A queue `mail` with eight partitions is made of the ordinary queues `mail~0` to `mail~7`.
Users cannot choose such a name; for keys, stores and scripts it is a name like any other.
Tasks that must meet are in one partition: those with the same local id, unique key or group
are routed by a stable hash of it, all others at random. `mail` itself is served and counted
too, for tasks of producers that did not know of the partitions yet. The word *partition*
also means the queue itself where it is not partitioned.
"""

from __future__ import annotations

import copy
import math
from typing import Any, TypeVar
from zlib import crc32

import trio

from rediq_trio._errors import ConfigError, ConnectionLost
from rediq_trio.store.port import Store
from rediq_trio.store.retrying import until_answered
from rediq_trio.tasks.prepare import unique_key
from rediq_trio.values.bounds import PATIENCE, PartitionName
from rediq_trio.values.chance import randrange
from rediq_trio.values.task import Task

R = TypeVar("R")

MAX_PARTITIONS = 64
"""Maximum number of partitions of a queue."""
PARTITION_COUNTS_FRESH = 5.0
"""Seconds for which a client relies on the partition counts that it has read."""


def partitions_of(queue: str, count: int) -> tuple[str, ...]:
    """Return every partition that may hold tasks of a queue."""
    if count == 1:
        return (queue,)
    return (queue, *(PartitionName(f"{queue}~{n}") for n in range(count)))


class PartitionCounts:
    """The number of partitions of each queue, as one client has read them."""

    def __init__(self, store: Store, patience: float = PATIENCE) -> None:
        self._store = store
        self._patience = patience
        self._counts: dict[str, int] = {}
        self._read_at = -math.inf

    def count(self, queue: str) -> int:
        """Return the number that was last read; 1 for a queue that is not partitioned."""
        return self._counts.get(queue, 1)

    async def refresh(self) -> None:
        """Read the numbers now."""
        self._counts = {name: each.count for name, each in (await self._store.partitions()).items()}
        self._read_at = trio.current_time()

    async def refresh_if_old(self) -> None:
        """Read the numbers again if they are too old; while Redis is away, use the old ones."""
        if trio.current_time() - self._read_at < PARTITION_COUNTS_FRESH:
            return
        ever_read = self._read_at > -math.inf
        try:
            await until_answered(self.refresh, give_up_after=0.0 if ever_read else self._patience)
        except ConnectionLost:
            if not ever_read:
                raise

    def router(self, near: str = "") -> PartitionRouter:
        """Return a router for tasks that are enqueued together, or together with a task in `near`."""
        queue, _, number = near.partition("~")
        still_there = number and int(number) < self.count(queue)
        return PartitionRouter(self, {queue: int(number)} if still_there else {})


class PartitionRouter:
    """Chooses partitions for tasks that are enqueued together: free ones share one partition."""

    def __init__(self, partition_counts: PartitionCounts, chosen: dict[str, int]) -> None:
        self._partition_counts = partition_counts
        self._chosen = chosen

    def __call__(self, task: Task[R]) -> Task[R]:
        """Return the task with its partition as its queue; raise `ConfigError` if none fits."""
        if not isinstance(task, Task) or isinstance(task.queue, PartitionName):
            return task
        count = self._partition_counts.count(task.queue)
        if count == 1:
            return task
        routed = copy.copy(task)
        # Tasks are frozen, but nobody else has seen this copy.
        object.__setattr__(
            routed, "queue", PartitionName(f"{task.queue}~{self._number(task, count)}")
        )
        return routed

    def _number(self, task: Task[Any], count: int) -> int:
        if task.limit_key is not None:
            raise ConfigError.of(
                "limit_key", task.limit_key, f"None: the queue {task.queue} is partitioned"
            )
        routing_keys = {"id": task.id, "unique": task.unique, "group": task.group}
        given = [name for name, value in routing_keys.items() if value is not None]
        if len(given) > 1:
            bound = f"without {given[1]}: the queue {task.queue} is partitioned, and routes by one of them"
            raise ConfigError.of(given[0], routing_keys[given[0]], bound)
        if not given:
            if task.queue not in self._chosen:
                self._chosen[task.queue] = randrange(count)
            return self._chosen[task.queue]
        key = task.id or task.group or unique_key(task)
        return crc32(key.encode()) % count
