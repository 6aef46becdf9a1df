"""Queue: what an operator reads and changes of one queue.

Long, because each method says what it promises.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Unpack

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.admin.dead_letters import DeadLetters
from rediq_trio.admin.failure_kinds import read_failures
from rediq_trio.admin.filters import read_filter
from rediq_trio.admin.reading import QueueReader, read_state
from rediq_trio.admin.search import TaskSearch, read_begun
from rediq_trio.spec.check.partitions import ABOUT, partition_repairs, partition_violations
from rediq_trio.spec.history.entry import MAX_HISTORY
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import ANY_KEY, NO_LIMIT
from rediq_trio.store.audit.audited import audited
from rediq_trio.store.audit.steps import audited_steps
from rediq_trio.store.port import Store
from rediq_trio.store.relay import relay
from rediq_trio.tasks.for_each import call_each, naming_lost
from rediq_trio.tasks.partitions import MAX_PARTITIONS, partitions_of
from rediq_trio.tasks.pause_note import pack_pause_note
from rediq_trio.tasks.task_info import make_queue_stats, sum_stats
from rediq_trio.values.bounds import Duration, check_flag, check_label, check_number
from rediq_trio.values.filters import FilterOptions
from rediq_trio.values.limits import (
    MAX_PENDING,
    MAX_RATE,
    UNSET,
    QueueLimits,
    Rate,
    Unset,
    make_key_limit,
)
from rediq_trio.values.observed.bulk import BulkProgress
from rediq_trio.values.observed.failure_kind import FailureKind
from rediq_trio.values.observed.group import GroupInfo
from rediq_trio.values.observed.series import Series
from rediq_trio.values.observed.types import TypeStats
from rediq_trio.values.targets import NO_TARGETS, QueueTargets, pack_targets
from rediq_trio.values.task import QueueStats, TaskInfo

# What is done to a queue at times is imported when it is done: a command that looks is over soon.
if TYPE_CHECKING:
    from rediq_trio.admin.selection import Selection
    from rediq_trio.spec.check.findings import Repair, Violation


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
        """Count its tasks by state and read its totals, at one instant.

        The numbers of a partitioned queue are sums; each partition is read at its own instant.
        An error names the partition that could not be read.
        """
        names = await self._reader.partitions()
        return sum_stats(list(map(make_queue_stats, await call_each(names, self._store.stats))))

    async def series(
        self, since: dt.timedelta | dt.datetime, until: dt.datetime | None = None
    ) -> Series:
        """Read how its numbers have changed over time.

        `since` is how long ago the series begins, up to 30 days, or an aware datetime; `until` is an
        aware datetime, by default now. Steps are of 10 seconds if `since` is at most 1 hour ago, of 1
        minute up to 24 hours, else of 10 minutes. Workers sample the queues that they serve, so
        what happened while none served it, was cut off from Redis, or was lost by a failover, is in
        the `gaps`. The numbers of a partitioned queue are sums. Raises `ConfigError`.
        """
        from rediq_trio.admin.series import read_series

        return await read_series(self._store, await self._reader.partitions(), since, until)

    async def types(
        self, since: dt.timedelta | dt.datetime = dt.timedelta(hours=1)
    ) -> tuple[TypeStats, ...]:
        """Read how its attempts went by type: counts by outcome, how long they waited and ran.

        `since` is how long ago that begins, up to 24 hours, or an aware datetime. What is kept has steps
        of 5 minutes: the one in which `since` lies is counted whole, and `TypeStats.since` is its
        beginning. The busiest type comes first. The 200 busiest types of a queue are kept apart;
        `(other)` is the sum of the rest. Workers add to the counts with each beat, so the last
        seconds may be missing, and what a killed worker had not passed on stays so.

        Percentiles are estimated from buckets: each is in the right one, whose ends are at most
        2.5 times apart, and of which 0 to 1 ms and all above an hour are the first and the last.
        The numbers of a partitioned queue are sums. Raises `ConfigError`.
        """
        from rediq_trio.admin.series import read_types

        return await read_types(self._store, await self._reader.partitions(), since)

    async def series_bytes(self) -> int:
        """Return how many bytes `series` and `types` use in Redis, about; 0 in a store in memory."""
        return sum(await call_each(await self._reader.partitions(), self._store.series_bytes))

    async def failures(self) -> tuple[FailureKind, ...]:
        """Read what has failed, by kind: the last 500 kinds of failure, the newest first.

        Failures of one task type, error type, place and message are of one kind; numbers, ids
        and quoted texts in the message do not count. An attempt of which nobody said how it failed,
        because its worker died, is of no kind. Kinds stay when their tasks are retried, deleted or
        purged; `flush()` and `remove()` forget them. Each partition of a partitioned queue keeps
        500, and is read at its own instant.
        """
        return await read_failures(self._store, await self._reader.partitions())

    async def groups(self, *, limit: int = 100) -> tuple[GroupInfo, ...]:
        """Read the groups that have members, in the order in which they become batches.

        `limit` is 1 to 1,000. Those that come meanwhile may be missed. Each partition of a
        partitioned queue is read at its own instant. Raises `ConfigError`.
        """
        return await self._reader.groups(limit)

    @audited("queue", "name")
    async def partition(self, count: int) -> None:
        """Split the queue into `count` partitions, 2 to 64, each in its own slot; 1 undoes it.

        For a queue that is too busy for one Redis server or slot. Order and fair turns hold
        within a partition only, and limits cannot be used: a queue with limits cannot be
        partitioned. Do it before producers and workers start: a client reads the number
        within 5 seconds, a worker when it starts. Raises `ConfigError` for a queue that has
        tasks in any state, limits, or a schedule whose tasks have a unique key or a group.
        """
        check_number("count", count, 1, MAX_PARTITIONS, integer=True)
        before = await self._reader.partitions()
        if before == partitions_of(self.name, count):
            # Written again: the first time it may not have been confirmed.
            await self._store.set_partitions(self.name, count)
            return
        if bound := await self._partition_bound(before):
            raise ConfigError.of("count", count, bound)
        kept = await self.targets()
        await self._store.set_partitions(self.name, count)
        if kept != NO_TARGETS:
            await self._set_targets(latency=kept.latency, failures=kept.failures)

    async def _partition_bound(self, before: Sequence[str]) -> str | None:
        """Return what the count must be now, and why; None for any number."""
        from rediq_trio.schedules.declare import is_routed

        if await self.limits() != QueueLimits():
            return f"1: the queue {self.name} has limits, which cannot hold across slots"
        if any(any(each.sizes.values()) for each in await call_each(before, self._store.stats)):
            return f"set while the queue {self.name} has no task in any state"
        for schedule in (await self._store.agenda(self.name, due=0)).schedules:
            if is_routed(schedule.template):
                return (
                    f"1: the tasks of the schedule {schedule.name} in {self.name} "
                    "have a unique key or a group, by which a tick cannot be routed"
                )
        return None

    async def tasks(
        self,
        state: State | str,
        *,
        limit: int = 100,
        after: str | TaskInfo | None = None,
        newest: bool = False,
    ) -> list[TaskInfo]:
        """Read its tasks in one state, starting after the task `after`, the newest last.

        Pending tasks come in the order in which they will be claimed, partition by
        partition. For the next page, pass the last task as `after`, or its `cursor`: both hold
        their place when the task has gone. So does its id, with the `Queue` that read the
        page; elsewhere it raises `TaskNotFound` when the task is no longer in that state.
        `limit` is 1 to 1,000; only the last page has fewer tasks. Raises `ConfigError`.

        With `newest=True` the order is reversed, all partitions merged, and `after` goes on
        in that direction. First comes, of `dead` tasks, the one that died last; of
        `completed` and `cancelled` ones, the one that will be purged last, which with equal
        retention ended last; of `blocked` ones, the one enqueued last; of `scheduled` and
        `retry` ones, the one that is due last; of `active` ones, the one whose lease runs
        out last; of `pending` ones, the one that will be claimed last: the last limit key by
        name comes first, and those without one last; of `grouped` ones, the newest
        of the last group by name.
        """
        return await self._reader.tasks(state, limit=limit, after=after, newest=newest)

    def find(
        self,
        state: State | str,
        *,
        newest: bool = True,
        after: str | TaskInfo | None = None,
        **where: Unpack[FilterOptions],
    ) -> TaskSearch:
        """Iterate over its tasks in one state that a filter chooses, the newest first.

        Pass what is to be tested, all of which must hold: `type`, its whole name; `error`, a part
        of the error's text; `kind`, the kind of failure of its last attempt; `metadata`, entries
        that it has; `limit_key`; `priority`; `older_than` and `younger_than`, in seconds, as a
        timedelta or as an aware datetime: since its end, or since its enqueue if it has not ended;
        `payload`, a part of any text in it, or a path and a value such as `("user.id", 7)`. `newest`
        and `after` are as for `tasks`.

        The iterator has `looked_at` and `of`: how many tasks it has looked at, of how many in
        that state; its `cursor` is the place up to which it has, from where another search goes on. It
        reads in steps, and takes at most a tenth of Redis's time. It may be left at any point, also by
        cancellation. Each task is as it was when its step was read. One that
        comes into the state meanwhile may be missed, as may one whose place in it changes.
        `metadata` and `payload` are tested by this process: of encrypted tasks it needs the keys,
        and `unreadable` counts those that it could not test. Raises `ConfigError`.
        """
        check_flag("newest", newest)
        return TaskSearch(
            self._reader, read_state(state), read_filter("find", where), newest=newest, after=after
        )

    async def select(self, state: State | str, **where: Unpack[FilterOptions]) -> Selection:
        """Select its tasks in one state that a filter chooses, as they are now, to act on them.

        The filter is that of `find`; ages count back from now, by the clock of the server. Only the
        clock is read: the `Selection` holds the filter and the instant. Raises `ConfigError`.
        """
        from rediq_trio.admin.bulk import Selected
        from rediq_trio.admin.selection import Selection

        wanted, of = read_state(state), read_filter("select", where)
        partitions = await self._reader.partitions()
        begun = await read_begun(self._reader, wanted, partitions)
        instants = {name: one.now_ms for name, one in zip(partitions, begun, strict=True)}
        return Selection(
            Selected(self._reader, wanted, of, instants, sum(one.size for one in begun))
        )

    def import_tasks(self, path: str | os.PathLike[str]) -> AsyncIterator[BulkProgress]:
        """Enqueue the tasks of a file that `Selection.export` wrote, whatever queue they are of.

        Each has the id, payload and options that it had, and begins with new counters; it
        does not wait for the tasks that it depended on. One whose id exists, or whose unique key is
        taken, is refused, so it may be left half-way and done again. The whole file is read first:
        nothing is enqueued of a bad one. Iterating raises `ConfigError` with the first bad line, also
        for one that is encrypted with other keys or for another queue, `QueueFull` and `OSError`.
        """
        from rediq_trio.admin.exporting import TaskImport

        what = {"queue": self.name, "path": os.fspath(path)}
        return audited_steps(
            self._store, "Queue.import_tasks", what, TaskImport(self._reader, path)
        )

    @audited("queue", "name")
    async def pause(self, reason: str = "", by: str = "") -> None:
        """Stop all claims until `resume`; running tasks continue.

        `reason`, any text of at most 1,000 characters, and `by`, who pauses it, at most 128, are kept
        until `resume`: `stats()` returns them with the time. Pausing a paused queue replaces both, but
        not the time. An error names a partition that could not be paused; those that answer are
        paused. Raises `ConfigError`, and then nothing was paused.
        """
        note = pack_pause_note(reason, by)
        await call_each(await self._reader.partitions(), lambda name: self._store.pause(name, note))

    @audited("queue", "name")
    async def resume(self) -> None:
        """Allow claims again after `pause`, in each partition that answers."""
        await call_each(await self._reader.partitions(), self._store.resume)

    @audited("queue", "name")
    async def flush(self) -> int:
        """Remove every task, in one step for each partition; return how many there were.

        What failed, by kind (`failures`), is forgotten.
        Running tasks are removed too: their handlers are cancelled with reason
        `lease lost`, and their outcomes are rejected. An error names a partition that could not
        be flushed; the others are.
        """
        return sum(await call_each(await self._reader.partitions(), self._flush))

    async def _flush(self, partition: str) -> int:
        removed = await self._store.flush(partition)
        await relay(self._store, partition)
        return removed

    @audited("queue", "name")
    async def remove(self) -> None:
        """Remove a queue that is empty: its name, settings, limits, counters, failures and history.

        Each partition is removed in one step, if nothing is in any of them: no task in any
        state, no schedule, no message to or from another queue, and no unique key whose window
        is open. Its next task makes the queue anew. When cancelled, or after an error, some
        partitions may have been removed; call it again. Raises `QueueNotEmpty`, which names
        what is there.
        """
        from rediq_trio.admin.removal import remove_queue

        await remove_queue(self._store, self.name, await self._reader.partitions())

    @audited("queue", "name")
    async def limit(
        self,
        *,
        key: str | None = None,
        concurrency: int | Unset | None = UNSET,
        rate: Rate | Unset | None = UNSET,
        max_pending: int | Unset | None = UNSET,
        fair_by: Literal["limit_key"] | Unset | None = UNSET,
    ) -> None:
        """Limit the queue, or one of its limit keys, across all workers.

        Each argument sets a limit, or removes it if None; limits that are not passed stay.
        The limits apply from the next claim on; running tasks continue. The call may be
        repeated. Raises `ConfigError`, and then nothing was written.

        `key`: None for the queue itself, a limit key, or `"*"` for every key without a limit
        of its own. `concurrency`: tasks that may run at once, 1 to 1,000,000. `rate`: how
        many may start within a period, as a `Rate`. `max_pending`: tasks that may be
        pending, 1 to 1,000,000,000; with more, `enqueue` raises `QueueFull`. `fair_by`:
        `"limit_key"` makes the limit keys take turns, whatever the priorities of their
        tasks; tasks without a key take turns as one further key. The last two apply to the
        queue itself only.
        """
        if all(value is UNSET for value in (concurrency, rate, max_pending, fair_by)):
            raise ConfigError(
                "limit(): name what to set: concurrency, rate, max_pending or fair_by"
            )
        if key is not None and key != ANY_KEY:
            check_label("key", key)
        if key is not None and not (max_pending is UNSET and fair_by is UNSET):
            raise ConfigError.of(
                "key", key, "None with max_pending and fair_by, which apply to the queue"
            )
        if concurrency is not UNSET and concurrency is not None:
            check_number("concurrency", concurrency, 1, MAX_RATE, integer=True)
        if rate is not UNSET and rate is not None and not isinstance(rate, Rate):
            raise ConfigError.of("rate", rate, "a Rate, or None")
        if max_pending is not UNSET and max_pending is not None:
            check_number("max_pending", max_pending, 1, MAX_PENDING, integer=True)
        if fair_by is not UNSET and fair_by is not None and fair_by != "limit_key":
            raise ConfigError.of("fair_by", fair_by, "'limit_key', or None")
        if len(await self._reader.partitions()) > 1:
            raise ConfigError(
                f"limit(): the queue {self.name} is partitioned, and limits cannot hold across slots"
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
        """Read the limits of the queue and of each limit key."""
        found = (await self._store.stats(self.name)).queue
        keys = dict(await self._store.limits(self.name))
        whole_limits = make_key_limit(keys.pop("", NO_LIMIT))
        return QueueLimits(
            concurrency=whole_limits.concurrency,
            rate=whole_limits.rate,
            max_pending=found.max_pending or None,
            fair_by="limit_key" if found.fair else None,
            keys=MappingProxyType({key: make_key_limit(keys[key]) for key in sorted(keys)}),
        )

    async def targets(
        self,
        *,
        latency: Duration | Unset | None = UNSET,
        failures: float | Unset | None = UNSET,
    ) -> QueueTargets:
        """Set what its operators expect of the queue; return what is expected now.

        A target that is not passed stays; None removes it. `latency`: how long a pending task may
        wait, seconds, 0.001 to 1 year. `failures`: the share of ended attempts that may fail,
        0.000001 to 1. Targets hold nothing back: `stats()` shows them, and tools alert when one is
        missed. The call may be repeated. Raises `ConfigError`, and then nothing was written.
        """
        if latency is not UNSET or failures is not UNSET:
            await self._set_targets(latency=latency, failures=failures)
        return (await self.stats()).targets

    @audited("queue", "name", what="Queue.targets")
    async def _set_targets(
        self, *, latency: Duration | Unset | None = UNSET, failures: float | Unset | None = UNSET
    ) -> None:
        change = partial(self._store.arrange, **pack_targets(latency, failures))
        await call_each(await self._reader.partitions(), change)

    @audited("queue", "name")
    async def keep_history(self, count: int) -> None:
        """Keep the last `count` transitions of the queue, 0 to 1,000,000; 0 deletes them.

        Each partition of a partitioned queue keeps that many. Raises `ConfigError`.
        """
        check_number("count", count, 0, MAX_HISTORY, integer=True)
        await call_each(
            await self._reader.partitions(), partial(self._store.arrange, history=count)
        )

    async def history_lines(self) -> AsyncGenerator[str]:
        """Yield its history as the lines of a file that `rediq replay` reads."""
        from rediq_trio.admin.history_file import history_lines

        for partition in await self._reader.partitions():
            async with aclosing(history_lines(self._store, partition)) as lines:
                with naming_lost(partition):
                    async for line in lines:
                        yield line

    async def check(self, *, progress: Callable[[int, int], None] | None = None) -> list[Violation]:
        """Check every invariant that can be read from the queue; return the violations.

        The check only reads, in bounded batches, and may run on a live queue: each thing is
        read at one instant, so a change made meanwhile is never reported as a violation.
        `progress` is called with the number of tasks checked so far and the approximate
        total, at most a few times a second. Raises `NewerTask` if a newer version wrote a
        task: only that version can check it.
        """
        from rediq_trio.admin.check import check_queue

        found = await self._lost_partitions()
        for partition in await self._reader.partitions():
            # One after another: a check reads a whole partition, and its progress is shown.
            with naming_lost(partition):
                found += await check_queue(self._store, self.name, partition, progress)
        return found

    async def _lost_partitions(self) -> list[Violation]:
        first = await self._reader.partition_count()
        # Read twice: what is noted and the names are not read in one step.
        again = await self._reader.partition_count() if any(partition_violations(first)) else first
        some = partition_violations(again) if again == first else ()
        return [attrs.evolve(one, queue=self.name) for one in some]

    async def repair_plan(self, violations: Sequence[Violation]) -> list[Repair]:
        """Read again what `check()` found, and return the repairs that need no guess.

        The call only reads. Violations without a repair are for a person to decide. Raises
        `ConfigError` for a violation of another queue.
        """
        from rediq_trio.admin.check import plan_repairs

        partitions = await self._reader.partitions()
        for violation in violations:
            if violation.queue not in partitions:
                raise ConfigError.of("violations", violation.queue, f"of the queue {self.name}")
        plan = await plan_repairs(self._store, violations)
        if any(violation.target == ABOUT for violation in violations):
            some = partition_repairs(await self._reader.partition_count())
            plan = [*(attrs.evolve(one, queue=self.name) for one in some), *plan]
        return plan

    @audited("queue", "name")
    async def repair(self, plan: Sequence[Repair]) -> list[Repair]:
        """Make the repairs of a plan; return those that changed something.

        Each repair is one atomic step that checks again and leaves alone what is right by
        now, so a plan may be made twice. When cancelled, some may have been made. Raises
        `ConfigError` for a repair of another queue, and then nothing was repaired.
        """
        partitions = await self._reader.partitions()
        for repair in plan:
            if repair.queue not in partitions:
                raise ConfigError.of("plan", repair.queue, f"for the queue {self.name}")
        concerned = list(dict.fromkeys(repair.queue for repair in plan))
        made = await call_each(concerned, partial(self._repair_partition, plan))
        return [plan[n] for n in sorted(n for numbers in made for n in numbers)]

    async def _repair_partition(self, plan: Sequence[Repair], partition: str) -> list[int]:
        """Make the repairs of one partition; return the numbers of those that changed something."""
        here = [n for n, repair in enumerate(plan) if repair.queue == partition]
        return [n for n in here if await self._store.repair(partition, plan[n])]
