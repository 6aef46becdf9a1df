"""Queue and DeadLetters: what an operator does to a queue as a whole."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

from rediq_trio._errors import ConfigError, TaskNotFound
from rediq_trio.describe import describe, describe_stats
from rediq_trio.ids import split_id
from rediq_trio.spec.invariants import Violation, queue_violations, task_violations
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.limits import check_label, check_number
from rediq_trio.spec.records import ANY_KEY, NO_LIMIT
from rediq_trio.spec.throttles import (
    MAX_PENDING,
    MAX_RATE,
    UNSET,
    QueueLimits,
    Rate,
    Unset,
    describe_limit,
)
from rediq_trio.spec.values import QueueStats, TaskInfo
from rediq_trio.store.port import BATCH, Store


class Queue:
    """One queue, by its name. Made by `Client.queue`."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.name = name
        self.dead = DeadLetters(self)
        """Its dead tasks."""

    def __repr__(self) -> str:
        return f"<Queue {self.name!r}>"

    async def stats(self) -> QueueStats:
        """Count its tasks by state and read its totals, as one consistent picture."""
        return describe_stats(await self._store.stats(self.name))

    async def tasks(
        self, state: State | str, *, limit: int = 100, after: str | None = None
    ) -> list[TaskInfo]:
        """Read its tasks in one state, those behind task `after`, newest last.

        Pending ones come in the order in which they will be claimed. Give the
        last task's id as `after` for the next page. `limit`: 1 to 1,000. Raises
        `TaskNotFound` when `after` has left that state, and `ConfigError`.
        """
        try:
            wanted = State(state)
        except ValueError:
            raise ConfigError.of("state", state, "one of " + ", ".join(State)) from None
        check_number("limit", limit, 1, BATCH, whole=True)
        ids = await self._store.list(
            self.name, wanted, limit=limit, after=None if after is None else self._own(after)
        )
        records = await self._store.get(self.name, ids)
        # A task may have moved on between the two reads.
        return [
            describe(self.name, record)
            for record in records
            if record is not None and record.state is wanted
        ]

    def _own(self, task_id: str) -> str:
        queue, own = split_id(task_id)
        if queue != self.name:
            raise ConfigError.of("after", task_id, f"a task of the queue {self.name}")
        return own

    async def pause(self) -> None:
        """Let no task be claimed from now on; running ones go on. Holds until `resume`."""
        await self._store.pause(self.name)

    async def resume(self) -> None:
        """Let tasks be claimed again."""
        await self._store.resume(self.name)

    async def flush(self) -> int:
        """Remove every task in one step and give how many there were.

        Running ones too: their handlers are cancelled with reason `lease lost`,
        and their outcomes refused.
        """
        return await self._store.flush(self.name)

    async def limit(
        self,
        *,
        key: str | None = None,
        concurrency: int | Unset | None = UNSET,
        rate: Rate | Unset | None = UNSET,
        max_pending: int | Unset | None = UNSET,
        fair_by: Literal["limit_key"] | Unset | None = UNSET,
    ) -> None:
        """Limit the queue, or a limit key of it, on all its workers together.

        What is named is set, or lifted by None; what is not named stays. The next claim
        keeps to it; tasks that run already go on. May be repeated without harm. Raises
        `ConfigError`, and nothing was written then.

        `key`: None for the queue as a whole, a limit key, or `"*"` for each key that has no
        limit of its own. `concurrency`: tasks that may run at once, 1 to 1,000,000.
        `rate`: how many may start within a period, a `Rate`. `max_pending`: tasks that may be
        pending, 1 to 1,000,000,000; a further `enqueue` raises `QueueFull`. `fair_by`:
        `"limit_key"` lets the limit keys take turns, whatever the priorities of their tasks;
        those without a key take turns as one more. The last two are the whole queue's.
        """
        if all(value is UNSET for value in (concurrency, rate, max_pending, fair_by)):
            raise ConfigError("limit(): name what to set: concurrency, rate, max_pending or fair_by")
        if key is not None and key != ANY_KEY:
            check_label("key", key)
        if key is not None and not (max_pending is UNSET and fair_by is UNSET):
            raise ConfigError.of("key", key, "None with max_pending and fair_by, which a queue has")
        if concurrency is not UNSET and concurrency is not None:
            check_number("concurrency", concurrency, 1, MAX_RATE, whole=True)
        if rate is not UNSET and rate is not None and not isinstance(rate, Rate):
            raise ConfigError.of("rate", rate, "a Rate, or None")
        if max_pending is not UNSET and max_pending is not None:
            check_number("max_pending", max_pending, 1, MAX_PENDING, whole=True)
        if fair_by is not UNSET and fair_by is not None and fair_by != "limit_key":
            raise ConfigError.of("fair_by", fair_by, "'limit_key', or None")
        if concurrency is not UNSET or rate is not UNSET:
            running = None if concurrency is UNSET else concurrency or 0
            parts = {}
            if rate is None:
                parts = {"count": 0}
            elif rate is not UNSET:
                parts = {"count": rate.count, "period_ms": rate.period_ms, "burst": rate.burst}
            await self._store.limit(self.name, key=key or "", concurrency=running, **parts)
        if max_pending is not UNSET or fair_by is not UNSET:
            await self._store.arrange(
                self.name,
                max_pending=None if max_pending is UNSET else max_pending or 0,
                fair=None if fair_by is UNSET else fair_by is not None,
            )

    async def limits(self) -> QueueLimits:
        """Read what limits the queue, and each of its limit keys."""
        found = (await self._store.stats(self.name)).queue
        keys = dict(await self._store.limits(self.name))
        whole = describe_limit(keys.pop("", NO_LIMIT))
        return QueueLimits(
            concurrency=whole.concurrency,
            rate=whole.rate,
            max_pending=found.max_pending or None,
            fair_by="limit_key" if found.fair else None,
            keys=MappingProxyType({key: describe_limit(keys[key]) for key in sorted(keys)}),
        )

    async def check(self) -> list[Violation]:
        """Check every invariant that can be seen in the queue as it is; give those violated.

        Read-only, in bounded batches, and sound on a live queue: each task is
        looked at as one consistent picture.
        """
        found = list(queue_violations(await self._store.listing(self.name)))
        cursor = 0
        seen: set[str] = set()
        while True:
            cursor, ids = await self._store.listed(self.name, cursor)
            new = [task_id for task_id in ids if task_id not in seen]
            seen.update(new)
            for picture in await self._store.pictures(self.name, new):
                found += task_violations(picture)
            if cursor == 0:
                return found


class DeadLetters:
    """The dead tasks of a queue: `Queue.dead`."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    @property
    def _store(self) -> Store:
        return self._queue._store

    async def list(self, *, limit: int = 100, after: str | None = None) -> list[TaskInfo]:
        """Read dead tasks, newest last; pages as `Queue.tasks` does."""
        return await self._queue.tasks(State.DEAD, limit=limit, after=after)

    async def retry(self, task_id: str) -> bool:
        """Make a dead task ready again, its counters new; False when it is not dead.

        Raises `TaskNotFound` when there is no such task.
        """
        (record,) = await self._store.get(self._queue.name, (self._queue._own(task_id),))
        if record is None:
            raise TaskNotFound(task_id)
        if record.state is not State.DEAD:
            return False
        (state,) = await self._store.revive(self._queue.name, (record.id,))
        return state is State.PENDING

    async def retry_all(self) -> int:
        """Make the tasks that are dead now ready again, in batches; give how many."""
        return await self._each_batch(revive=True)

    async def purge(self) -> int:
        """Delete the tasks that are dead now, in batches; give how many."""
        return await self._each_batch(revive=False)

    async def _each_batch(self, *, revive: bool) -> int:
        # Bounded by what is dead at the start: revived tasks may die again meanwhile.
        left = (await self._queue.stats()).dead
        done = 0
        name = self._queue.name
        while left > 0:
            ids = await self._store.list(name, State.DEAD, limit=min(left, BATCH))
            if not ids:
                break
            left -= len(ids)
            if revive:
                states = await self._store.revive(name, ids)
                done += sum(state is State.PENDING for state in states)
            else:
                states = await self._store.delete(name, ids)
                done += sum(state is State.DEAD for state in states)
        return done
