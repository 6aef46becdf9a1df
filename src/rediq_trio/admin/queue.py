"""Queue: what an operator does to a queue as a whole."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from types import MappingProxyType
from typing import Literal

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.admin.check import check_queue, plan_repairs
from rediq_trio.admin.dead_letters import DeadLetters
from rediq_trio.admin.history_file import record_lines
from rediq_trio.admin.reading import QueueReader
from rediq_trio.schedules.declare import is_routed
from rediq_trio.spec.check.findings import Repair, Violation
from rediq_trio.spec.history.entry import MAX_HISTORY
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.partitioning import (
    ABOUT,
    partition_repairs,
    partition_violations,
)
from rediq_trio.spec.records import ANY_KEY, NO_LIMIT
from rediq_trio.store.port import Store
from rediq_trio.store.relay import relay
from rediq_trio.tasks.partitions import MOST, places_of
from rediq_trio.tasks.task_info import describe_stats, sum_stats
from rediq_trio.values.bounds import check_label, check_number
from rediq_trio.values.limits import (
    MAX_PENDING,
    MAX_RATE,
    UNSET,
    QueueLimits,
    Rate,
    Unset,
    describe_limit,
)
from rediq_trio.values.task import QueueStats, TaskInfo


class Queue:
    """One queue, by its name. Made by `Client.queue`."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.name = name
        self._reader = QueueReader(store, name)
        self.dead = DeadLetters(self._reader)
        """Its dead tasks."""

    def __repr__(self) -> str:
        return f"<Queue {self.name!r}>"

    async def stats(self) -> QueueStats:
        """Count its tasks by state and read its totals, as one consistent picture.

        Of a partitioned queue each partition is one, and they are summed.
        """
        places = await self._reader.places()
        return sum_stats([describe_stats(await self._store.stats(place)) for place in places])

    async def partition(self, count: int) -> None:
        """Spread the queue over `count` hash slots, 2 to 64; 1 undoes it.

        For a queue that is more than one Redis server or slot can carry. Order and
        turns hold within a partition only, and limits not at all: a queue that has any
        cannot be partitioned. Do it before producers and workers start: a client learns
        of it within 5 seconds, a worker when it starts. Raises `ConfigError` for a
        queue that has tasks, in any state, or limits, or a schedule whose tasks have a
        unique key or a group.
        """
        check_number("count", count, 1, MOST, whole=True)
        before = await self._reader.places()
        if before == places_of(self.name, count):
            # Written again: the first time it may not have been confirmed.
            await self._store.set_partitions(self.name, count)
            return
        if await self.limits() != QueueLimits():
            raise ConfigError.of(
                "count", count, f"1: the queue {self.name} has limits, which cannot hold across slots"
            )
        for place in before:
            sizes = (await self._store.stats(place)).sizes
            if sum(sizes.values()):
                raise ConfigError.of(
                    "count", count, f"set while the queue {self.name} has no task in any state"
                )
        for schedule in (await self._store.agenda(self.name, due=0)).schedules:
            if is_routed(schedule.template):
                raise ConfigError.of(
                    "count", count, f"1: the tasks of the schedule {schedule.name} in {self.name} "
                    "have a unique key or a group, which a tick could not be routed by"
                )  # fmt: skip
        await self._store.set_partitions(self.name, count)

    async def tasks(
        self, state: State | str, *, limit: int = 100, after: str | None = None
    ) -> list[TaskInfo]:
        """Read its tasks in one state, those behind task `after`, newest last.

        Pending ones come in the order in which they will be claimed, partition by
        partition where the queue has some. Give the
        last task's id as `after` for the next page. `limit`: 1 to 1,000. Raises
        `TaskNotFound` when `after` has left that state, and `ConfigError`.
        """
        return await self._reader.tasks(state, limit=limit, after=after)

    async def pause(self) -> None:
        """Let no task be claimed from now on; running ones go on. Holds until `resume`."""
        for place in await self._reader.places():
            await self._store.pause(place)

    async def resume(self) -> None:
        """Let tasks be claimed again."""
        for place in await self._reader.places():
            await self._store.resume(place)

    async def flush(self) -> int:
        """Remove every task in one step (of each partition) and give how many there were.

        Running ones too: their handlers are cancelled with reason `lease lost`,
        and their outcomes refused.
        """
        removed = 0
        for place in await self._reader.places():
            removed += await self._store.flush(place)
            await relay(self._store, place)
        return removed

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
        if len(await self._reader.places()) > 1:
            raise ConfigError(
                f"limit(): the queue {self.name} is partitioned, and no limit can hold across slots"
            )
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

    async def keep_history(self, count: int) -> None:
        """Let the queue keep its last `count` transitions, 0 to 1,000,000; 0 forgets those it has.

        Of a partitioned queue, each partition keeps so many. Raises `ConfigError`.
        """
        check_number("count", count, 0, MAX_HISTORY, whole=True)
        for place in await self._reader.places():
            await self._store.arrange(place, history=count)

    async def history_lines(self) -> AsyncGenerator[str]:
        """Give what it keeps of its history, as the lines of a file that `rediq replay` reads."""
        for place in await self._reader.places():
            async for line in record_lines(self._store, place):
                yield line

    async def check(self, *, progress: Callable[[int, int], None] | None = None) -> list[Violation]:
        """Check every invariant that can be seen in the queue as it is; return the violations.

        Read-only, in bounded batches, and sound on a live queue: each thing is read in one
        atomic step, whatever moves meanwhile. `progress` is called with the number
        of tasks looked at so far and how many there are about, a few times a second at most.
        Raises `NewerTask` where a newer version wrote a task: only that version can judge.
        """
        found = await self._lost_partitions()
        for place in await self._reader.places():
            found += await check_queue(self._store, self.name, place, progress)
        return found

    async def _lost_partitions(self) -> list[Violation]:
        first = await self._reader.partition_count()
        # Read twice: what is noted and the names are not read in one step.
        again = await self._reader.partition_count() if any(partition_violations(first)) else first
        some = partition_violations(again) if again == first else ()
        return [attrs.evolve(one, queue=self.name) for one in some]

    async def repair_plan(self, violations: Sequence[Violation]) -> list[Repair]:
        """Look again at what `check()` found, and return what can be repaired without guessing.

        It only reads. What is not in the plan is for a person to decide. A violation of
        another queue raises `ConfigError`.
        """
        places = await self._reader.places()
        for violation in violations:
            if violation.queue not in places:
                raise ConfigError.of("violations", violation.queue, f"of the queue {self.name}")
        plan = await plan_repairs(self._store, violations)
        if any(violation.target == ABOUT for violation in violations):
            some = partition_repairs(await self._reader.partition_count())
            plan = [*(attrs.evolve(one, queue=self.name) for one in some), *plan]
        return plan

    async def repair(self, plan: Sequence[Repair]) -> list[Repair]:
        """Make the repairs of a plan; return those that changed something.

        Each is one atomic step, which looks again: what is right by now is left alone, so
        making a plan twice does no more than once. When cancelled, some may have been made.
        A repair of another queue raises `ConfigError`, and nothing was repaired then.
        """
        places = await self._reader.places()
        for repair in plan:
            if repair.queue not in places:
                raise ConfigError.of("plan", repair.queue, f"for the queue {self.name}")
        return [repair for repair in plan if await self._store.repair(repair.queue, repair)]
