"""AsyncioClient: a client for asyncio, with what it opens.

Long, because it is generated: `python -m docs.other_clients`.
"""

from __future__ import annotations

import builtins
import datetime as dt
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar, Unpack, overload

from rediq_trio._errors import PartlyEnqueued
from rediq_trio.admin.dead_letters import DeadLetters
from rediq_trio.admin.queue import Queue
from rediq_trio.admin.selection import Selection
from rediq_trio.admin.worker_handle import WorkerHandle
from rediq_trio.client import Client
from rediq_trio.clients.asyncio_calls import AsyncioCalls, AsyncioTaskSearch
from rediq_trio.schedules.admin import ScheduleInfo, Schedules
from rediq_trio.spec.check.findings import Repair, Violation
from rediq_trio.spec.lifecycle import State
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.values.bounds import Duration
from rediq_trio.values.filters import FilterOptions
from rediq_trio.values.limits import UNSET, QueueLimits, Rate, Unset
from rediq_trio.values.observed.audit import AuditEntry, Mark
from rediq_trio.values.observed.bulk import BulkProgress, SelectionPreview
from rediq_trio.values.observed.failure_kind import FailureKind
from rediq_trio.values.observed.group import GroupInfo
from rediq_trio.values.observed.overview import Overview
from rediq_trio.values.observed.series import Series
from rediq_trio.values.observed.types import TypeStats
from rediq_trio.values.observed.why import Why
from rediq_trio.values.observed.workflow import WorkflowStatus
from rediq_trio.values.schedule import Cron, Every
from rediq_trio.values.targets import QueueTargets
from rediq_trio.values.task import (
    NewTaskChanges,
    Progress,
    QueueStats,
    Task,
    TaskChanges,
    TaskInfo,
    WorkerInfo,
)
from rediq_trio.workflow.build import Workflow
from rediq_trio.workflow.handle import WorkflowHandle, WorkflowInfo

R = TypeVar("R")


class AsyncioTaskHandle(Generic[R]):
    """One task, by its id. A handle holds no connection; every method asks the store."""

    def __init__(self, calls: AsyncioCalls, on_trio: TaskHandle[R]) -> None:
        self._calls = calls
        self._on_trio = on_trio
        self.id = on_trio.id
        """`"<queue>/<id>"`, with the partition where the queue has some: `"<queue>~3/<id>"`."""
        self.queue = on_trio.queue
        self.created = on_trio.created
        """False when the task existed before: it holds the unique key, or in `enqueue_many`
        it has that id. For `enqueue_after` this is known once the attempt's end is written, for
        another queue once the worker that ran the handler has brought the task there."""

    def __repr__(self) -> str:
        return repr(self._on_trio).replace("TaskHandle", "AsyncioTaskHandle", 1)

    async def info(self) -> TaskInfo:
        """Read all that is known about the task; raise `TaskNotFound` if there is none.

        It is one read of the task's own queue, so all of it was true at one instant. What other
        queues know is left out: `TaskInfo.dependencies` says what this one was notified of.
        """
        return await self._calls.call(self._on_trio.info)

    async def why(self) -> Why:
        """Find out why the task waits, on what it runs or how it ended, in one sentence and its parts.

        All that the task's own queue knows is one read, true at one instant. The live workers, the
        rate of the last minute and the states of tasks in other queues are read right after; those
        parts carry instants of their own. Nothing is changed, and cancelling the call leaves nothing.
        Raises `TaskNotFound` when the task does not exist or exists no longer, as after a flush.
        """
        return await self._calls.call(self._on_trio.why)

    async def result(self, timeout: Duration | None = None) -> R:
        """Wait until the task has ended, and return its result.

        Raises `TaskFailed` when it is dead, `TaskCancelled` when it was cancelled,
        `TaskNotFound` when it does not exist or exists no longer, `PayloadError` when the
        result cannot be read or does not fit the handler's return type, and
        `trio.TooSlowError` after `timeout` seconds, and up to 1 more to find out what to
        say: the task's state, and whether a live worker serves its queue. Cancelling the
        wait does not affect the task. In a handler, its slot is lent meanwhile.
        """
        return await self._calls.call(self._on_trio.result, timeout)

    async def wait(self, timeout: Duration | None = None) -> TaskInfo:
        """Wait until the task has ended in any way, and read it.

        Raises `TaskNotFound` and `trio.TooSlowError` as `result` does. What only `info()` reads is
        None, as in a list of tasks.
        """
        return await self._calls.call(self._on_trio.wait, timeout)

    def progress(self) -> AsyncIterator[Progress]:
        """Iterate over the task's progress until it ends: the newest report, not every one.

        Iterating raises `TaskNotFound` when the task does not exist or exists no longer.
        The iteration may be left at any point.
        """
        return self._calls.iterate(self._on_trio.progress())

    async def cancel(self) -> State:
        """Cancel the task, or ask the worker that runs it to; return its state.

        `cancelled`: it was waiting, and will not run. `active`: its handler is cancelled
        within a second unless it finishes first; `wait()` returns which. Any other state:
        it had ended already, and nothing changed. Raises `TaskNotFound`.
        """
        return await self._calls.call(self._on_trio.cancel)

    async def retry(self) -> State:
        """Make a dead or cancelled task ready again, with new counters; return its state.

        The state is `pending`, or `blocked` or `grouped` if the task waits for others
        again. Any other state means that nothing changed: for example, another task holds
        its unique key, or a dependency in its queue has failed. Raises `TaskNotFound`.
        """
        return await self._calls.call(self._on_trio.retry)

    async def delete(self) -> bool:
        """Remove the task with its result; return False if a worker holds it: cancel it first.

        Raises `TaskNotFound`.
        """
        return await self._calls.call(self._on_trio.delete)

    async def run_now(self) -> bool:
        """Make a task that waits for its time, or for its next attempt, ready now.

        True if it was made ready, False if it was ready already. Its attempts stay counted, and
        it comes after the ready tasks of its priority. When cancelled, it may have happened.
        Raises `TaskNotFound`, and `TaskStateError` for a task that waits for others or in a
        group, that runs, or that has ended.
        """
        return await self._calls.call(self._on_trio.run_now)

    async def reschedule(
        self, *, delay: Duration | None = None, run_at: dt.datetime | None = None
    ) -> State:
        """Make a task that is scheduled, in retry or ready due at another time; return its state.

        Pass one of `delay`, seconds from now, 0 to 1 year, and `run_at`, an aware datetime at
        most 1 year ahead. The state is `scheduled`, or `pending` if the time is now or past. Its
        attempts stay counted. When cancelled, it may have happened. Raises `ConfigError`,
        `TaskNotFound`, and `TaskStateError` as `run_now` does.
        """
        return await self._calls.call(self._on_trio.reschedule, delay=delay, run_at=run_at)

    async def update(
        self, *, seen: TaskInfo | None = None, **changes: Unpack[TaskChanges]
    ) -> State:
        """Change payload and options of a task that waits, in one step; return its state.

        Pass what is to be another: `payload`, `priority`, `max_retry`, `max_crashes`, `timeout`,
        `backoff`, `expires` (seconds from now, an aware datetime, or None), `retention` and
        `metadata`, each as in `Task`. Id and place in the queue stay; with another priority, it
        comes after the others of that. Its deadline stays too. With `seen`, what `info()`
        returned, the change is made only if the task is as it was then.

        When cancelled, the change may have been made. Raises `TaskChanged` if someone else
        changed the task meanwhile, `TaskStateError` if it runs or has ended, `TaskNotFound`,
        `ConfigError`, `PayloadError` and `PayloadTooLarge`.
        """
        return await self._calls.call(self._on_trio.update, seen=seen, **changes)

    async def requeue(self, queue: str) -> AsyncioTaskHandle[R]:
        """Move a task that waits for its time, is ready, dead or cancelled to another queue.

        Return the handle of the new task: it has another id, is due when this one was, and
        begins with new counters. In one step this task is removed, and sent there: if the call is
        lost, a keeper of this queue brings it, once.

        When cancelled, it may have been moved. Raises `TaskStateError` for a task in another
        state, and for one that has to stay: with a unique key, a group, tasks that depend on it,
        someone who waits for its end, or results that it keeps. Raises `TaskChanged` as
        `update` does, `TaskNotFound`, `PayloadError`, and `ConfigError` for a bad queue.
        """
        return AsyncioTaskHandle(self._calls, await self._calls.call(self._on_trio.requeue, queue))

    async def enqueue_again(
        self, *, replace: bool = False, **changes: Unpack[NewTaskChanges]
    ) -> AsyncioTaskHandle[R]:
        """Enqueue a new task of the same payload and options, whatever became of this one.

        Pass what is to be another, as for `Task`. The new task has an id of its own, and waits
        for no time and no other task, unless `delay` or `run_at` is passed. `expires` and
        `deadline` are as long after the enqueue as they were; those that a revival removed are
        not there. It has the same unique key, so `DuplicateTask` is raised as long as a task
        holds that; pass `unique` if the key was to last for a time (`until="expired"`).

        With `replace`, this task, dead or cancelled, is removed in the same step: if the call is
        lost, a keeper of its queue brings the new one, once. One that `requeue` would leave in its
        queue raises `TaskStateError`, and `id`, `unique`, `group`, `delay` and `run_at` cannot be changed.

        When cancelled, the task may exist. Raises what `enqueue` raises, and `TaskNotFound` if
        this task is gone.
        """
        return AsyncioTaskHandle(
            self._calls,
            await self._calls.call(self._on_trio.enqueue_again, replace=replace, **changes),
        )


class AsyncioWorkflowHandle(Generic[R]):
    """One enqueued workflow. A handle holds no connection; every method asks the store."""

    def __init__(self, calls: AsyncioCalls, on_trio: WorkflowHandle[R]) -> None:
        self._calls = calls
        self._on_trio = on_trio
        self.needs: Mapping[str, Sequence[str]] = on_trio.needs
        """Each node's name with the names of those that it waits for."""
        self.name = on_trio.name
        """The workflow's name."""
        self.handles: Mapping[str, AsyncioTaskHandle[Any]] = MappingProxyType(
            {name: AsyncioTaskHandle(calls, handle) for name, handle in on_trio.handles.items()}
        )
        """The handle of each task by its node's name, nodes before those that wait for them."""
        self.id = on_trio.id
        """The workflow's id: `Client.workflow` finds it again by it."""

    def __repr__(self) -> str:
        return repr(self._on_trio).replace("WorkflowHandle", "AsyncioWorkflowHandle", 1)

    async def info(self) -> WorkflowInfo:
        """Read its tasks, up to 1,000 of a queue in one call.

        Raises `TaskNotFound` when none of them exists any more.
        """
        return await self._calls.call(self._on_trio.info)

    async def result(self, timeout: Duration | None = None) -> R:
        """Wait until every sink has ended; return its result, or of several by their names.

        When a sink did not complete, raises the `TaskFailed` or `TaskCancelled` of the
        task that failed first, or `TaskNotFound` if a sink does not exist and no task
        failed. Raises `PayloadError` as `TaskHandle.result` does, and `trio.TooSlowError`
        after `timeout` seconds. Cancelling the wait does not affect the workflow.
        """
        return await self._calls.call(self._on_trio.result, timeout)

    async def wait(self, timeout: Duration | None = None) -> WorkflowInfo:
        """Wait until every task has ended in any way, and read them all.

        Raises `TaskNotFound` and `trio.TooSlowError` as `result` does.
        """
        return await self._calls.call(self._on_trio.wait, timeout)

    async def cancel(self) -> dict[str, State | None]:
        """Cancel every task that has not ended; return the state of each, None if purged.

        Dependents are cancelled before their dependencies, so no further task starts.
        `active` is a task whose worker was asked to stop it; `wait()` returns how it ended.
        When interrupted, tasks cancelled so far stay cancelled, and the call may be
        repeated. Raises `TaskNotFound` when no task exists any more.
        """
        return await self._calls.call(self._on_trio.cancel)

    async def retry(self) -> dict[str, State | None]:
        """Make what has failed ready again; return the state of each task, None if purged.

        Dead and cancelled tasks are revived, those before the ones that wait for them, which wait
        again. What has completed stays so. A task may stay as it was, as with `TaskHandle.retry`; one
        whose dependency is gone stays dead. When interrupted, tasks revived so far stay revived, and
        the call may be repeated. Raises `TaskNotFound` when no task exists any more.
        """
        return await self._calls.call(self._on_trio.retry)

    async def states(self) -> dict[str, State | None]:
        """Read the state of each node, None for one whose task exists no longer, and nothing else."""
        return await self._calls.call(self._on_trio.states)

    async def status(self) -> WorkflowStatus:
        """Read how many of its tasks are done, running and failed, but nothing else of them.

        One call for each queue, which takes Redis some microseconds a task. When no task exists
        any more, its state is `gone`.
        """
        return await self._calls.call(self._on_trio.status)

    async def mermaid(self) -> str:
        """Return a drawing as Mermaid text, coloured by the current states; raises as `info` does."""
        return await self._calls.call(self._on_trio.mermaid)

    async def svg(self) -> str:
        """Return a drawing as an SVG, coloured by the current states; raises as `info` does."""
        return await self._calls.call(self._on_trio.svg)


class AsyncioDeadLetters:
    """The dead tasks of a queue: `Queue.dead`."""

    def __init__(self, calls: AsyncioCalls, on_trio: DeadLetters) -> None:
        self._calls = calls
        self._on_trio = on_trio

    async def list(
        self,
        *,
        limit: int = 100,
        after: str | TaskInfo | None = None,
        newest: bool = False,
        kind: str | None = None,
    ) -> list[TaskInfo]:
        """Read dead tasks in pages like `Queue.tasks`, the newest last, or first with `newest`.

        With `kind`, only those whose last attempt failed so: see `Queue.failures`. To find them
        reads the dead tasks in between, 250 in each call. Raises `ConfigError`, also for
        a kind that the queue does not know, or has forgotten.
        """
        return await self._calls.call(
            self._on_trio.list, limit=limit, after=after, newest=newest, kind=kind
        )

    async def retry(self, task_id: str) -> bool:
        """Make a dead task ready again, with new counters; return False if nothing changed.

        A task stays dead while another holds its unique key, or after a dependency in its
        queue has failed: retry that one first. A task that waited for others waits again.
        Raises `TaskNotFound` if there is no such task.
        """
        return await self._calls.call(self._on_trio.retry, task_id)

    async def retry_all(self) -> int:
        """Make the tasks that are dead now ready again, in batches; return how many.

        As with `retry`, some may stay dead.
        """
        return await self._calls.call(self._on_trio.retry_all)

    async def purge(self) -> int:
        """Delete the tasks that are dead now, in batches; return how many."""
        return await self._calls.call(self._on_trio.purge)


class AsyncioSelection:
    """The tasks in one state that a filter chose at one instant. Made by `Queue.select`.

    It holds the filter and the instant, not the tasks. What is done to them is done to those that
    are still in that state, and have been since then, to the millisecond. So it may be left half-way,
    done again, and done while tasks come and go: what was enqueued, started or ended later is never
    touched. When a task began to wait is not stored: one that was there already may be touched if it
    waits in that state now, and no attempt of it has begun since.

    Each change is an async iterator of `BulkProgress`, which works step by step and only while it
    is iterated. A step takes well under a second; when one is cancelled, its tasks may have been changed
    without being counted. What a step refused is not an error: see `preview`.
    """

    def __init__(self, calls: AsyncioCalls, on_trio: Selection) -> None:
        self._calls = calls
        self._on_trio = on_trio
        self.queue = on_trio.queue
        """The name of its queue."""
        self.state = on_trio.state
        """The state of its tasks."""
        self.at: dt.datetime = on_trio.at
        """The instant, by the clock of the server; of a partitioned queue the latest of its servers'."""

    def __repr__(self) -> str:
        return repr(self._on_trio).replace("Selection", "AsyncioSelection", 1)

    async def count(self) -> int:
        """Count the tasks that are still as they were selected. Each one is looked at."""
        return await self._calls.call(self._on_trio.count)

    async def preview(self) -> SelectionPreview:
        """Count what can be done of them, and what cannot be, by the reason; nothing is changed.

        What one change makes possible is not counted: a task that needs another one can be retried
        once that one was.
        """
        return await self._calls.call(self._on_trio.preview)

    def retry(self, *, rate: float | None = None) -> AsyncIterator[BulkProgress]:
        """Make dead or cancelled tasks ready again, with new counters, the oldest first.

        `rate` is how many a second, above 0 to 1,000,000; None for as fast as it goes. A task whose
        unique key has another holder, or that needs a task which did not complete, stays as it is;
        those that were refused are tried again at the end, as long as any is retried. Raises
        `ConfigError` for another state.
        """
        return self._calls.iterate(self._on_trio.retry(rate=rate))

    def cancel(self) -> AsyncIterator[BulkProgress]:
        """Cancel tasks that wait, or ask the workers of active ones to.

        Raises `ConfigError` for tasks that have ended.
        """
        return self._calls.iterate(self._on_trio.cancel())

    def delete(self) -> AsyncIterator[BulkProgress]:
        """Remove tasks with their results. Raises `ConfigError` for active ones: cancel them first."""
        return self._calls.iterate(self._on_trio.delete())

    def requeue(self, queue: str) -> AsyncIterator[BulkProgress]:
        """Move tasks to another queue, as `TaskHandle.requeue` does, each in one step.

        Those that have to stay are refused. Raises `ConfigError` for a bad queue, and for tasks
        that are blocked, grouped, active or completed.
        """
        return self._calls.iterate(self._on_trio.requeue(queue))

    async def export(self, path: str | os.PathLike[str]) -> int:
        """Write the tasks to a new file that `Queue.import_tasks` reads; return how many.

        The file has a line of JSON for each task, and one for each member of a batch. With keys,
        what is in the lines is encrypted. It is whole or not there: when cancelled, or after an
        error, nothing is left. Raises `ConfigError` if the file exists, `PayloadError` for a task
        that this process cannot read, and `OSError`.
        """
        return await self._calls.call(self._on_trio.export, path)


class AsyncioQueue:
    """One queue, by its name. Made by `Client.queue`."""

    def __init__(self, calls: AsyncioCalls, on_trio: Queue) -> None:
        self._calls = calls
        self._on_trio = on_trio
        self.name = on_trio.name
        self.dead = AsyncioDeadLetters(calls, on_trio.dead)
        """Its dead tasks."""

    def __repr__(self) -> str:
        return repr(self._on_trio).replace("Queue", "AsyncioQueue", 1)

    async def stats(self) -> QueueStats:
        """Count its tasks by state and read its totals, at one instant.

        The numbers of a partitioned queue are sums; each partition is read at its own instant.
        An error names the partition that could not be read.
        """
        return await self._calls.call(self._on_trio.stats)

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
        return await self._calls.call(self._on_trio.series, since, until)

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
        return await self._calls.call(self._on_trio.types, since)

    async def series_bytes(self) -> int:
        """Return how many bytes `series` and `types` use in Redis, about; 0 in a store in memory."""
        return await self._calls.call(self._on_trio.series_bytes)

    async def failures(self) -> tuple[FailureKind, ...]:
        """Read what has failed, by kind: the last 500 kinds of failure, the newest first.

        Failures of one task type, error type, place and message are of one kind; numbers, ids
        and quoted texts in the message do not count. An attempt of which nobody said how it failed,
        because its worker died, is of no kind. Kinds stay when their tasks are retried, deleted or
        purged; `flush()` and `remove()` forget them. Each partition of a partitioned queue keeps
        500, and is read at its own instant.
        """
        return await self._calls.call(self._on_trio.failures)

    async def groups(self, *, limit: int = 100) -> tuple[GroupInfo, ...]:
        """Read the groups that have members, in the order in which they become batches.

        `limit` is 1 to 1,000. Those that come meanwhile may be missed. Each partition of a
        partitioned queue is read at its own instant. Raises `ConfigError`.
        """
        return await self._calls.call(self._on_trio.groups, limit=limit)

    async def partition(self, count: int) -> None:
        """Split the queue into `count` partitions, 2 to 64, each in its own slot; 1 undoes it.

        For a queue that is too busy for one Redis server or slot. Order and fair turns hold
        within a partition only, and limits cannot be used: a queue with limits cannot be
        partitioned. Do it before producers and workers start: a client reads the number
        within 5 seconds, a worker when it starts. Raises `ConfigError` for a queue that has
        tasks in any state, limits, or a schedule whose tasks have a unique key or a group.
        """
        await self._calls.call(self._on_trio.partition, count)

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
        return await self._calls.call(
            self._on_trio.tasks, state, limit=limit, after=after, newest=newest
        )

    def find(
        self,
        state: State | str,
        *,
        newest: bool = True,
        after: str | TaskInfo | None = None,
        **where: Unpack[FilterOptions],
    ) -> AsyncioTaskSearch:
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
        return self._calls.search(self._on_trio.find(state, newest=newest, after=after, **where))

    async def select(self, state: State | str, **where: Unpack[FilterOptions]) -> AsyncioSelection:
        """Select its tasks in one state that a filter chooses, as they are now, to act on them.

        The filter is that of `find`; ages count back from now, by the clock of the server. Only the
        clock is read: the `Selection` holds the filter and the instant. Raises `ConfigError`.
        """
        return AsyncioSelection(
            self._calls, await self._calls.call(self._on_trio.select, state, **where)
        )

    def import_tasks(self, path: str | os.PathLike[str]) -> AsyncIterator[BulkProgress]:
        """Enqueue the tasks of a file that `Selection.export` wrote, whatever queue they are of.

        Each has the id, payload and options that it had, and begins with new counters; it
        does not wait for the tasks that it depended on. One whose id exists, or whose unique key is
        taken, is refused, so it may be left half-way and done again. The whole file is read first:
        nothing is enqueued of a bad one. Iterating raises `ConfigError` with the first bad line, also
        for one that is encrypted with other keys or for another queue, `QueueFull` and `OSError`.
        """
        return self._calls.iterate(self._on_trio.import_tasks(path))

    async def pause(self, reason: str = "", by: str = "") -> None:
        """Stop all claims until `resume`; running tasks continue.

        `reason`, any text of at most 1,000 characters, and `by`, who pauses it, at most 128, are kept
        until `resume`: `stats()` returns them with the time. Pausing a paused queue replaces both, but
        not the time. An error names a partition that could not be paused; those that answer are
        paused. Raises `ConfigError`, and then nothing was paused.
        """
        await self._calls.call(self._on_trio.pause, reason, by)

    async def resume(self) -> None:
        """Allow claims again after `pause`, in each partition that answers."""
        await self._calls.call(self._on_trio.resume)

    async def flush(self) -> int:
        """Remove every task, in one step for each partition; return how many there were.

        What failed, by kind (`failures`), is forgotten.
        Running tasks are removed too: their handlers are cancelled with reason
        `lease lost`, and their outcomes are rejected. An error names a partition that could not
        be flushed; the others are.
        """
        return await self._calls.call(self._on_trio.flush)

    async def remove(self) -> None:
        """Remove a queue that is empty: its name, settings, limits, counters, failures and history.

        Each partition is removed in one step, if nothing is in any of them: no task in any
        state, no schedule, no message to or from another queue, and no unique key whose window
        is open. Its next task makes the queue anew. When cancelled, or after an error, some
        partitions may have been removed; call it again. Raises `QueueNotEmpty`, which names
        what is there.
        """
        await self._calls.call(self._on_trio.remove)

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
        await self._calls.call(
            self._on_trio.limit,
            key=key,
            concurrency=concurrency,
            rate=rate,
            max_pending=max_pending,
            fair_by=fair_by,
        )

    async def limits(self) -> QueueLimits:
        """Read the limits of the queue and of each limit key."""
        return await self._calls.call(self._on_trio.limits)

    async def targets(
        self, *, latency: Duration | Unset | None = UNSET, failures: float | Unset | None = UNSET
    ) -> QueueTargets:
        """Set what its operators expect of the queue; return what is expected now.

        A target that is not passed stays; None removes it. `latency`: how long a pending task may
        wait, seconds, 0.001 to 1 year. `failures`: the share of ended attempts that may fail,
        0.000001 to 1. Targets hold nothing back: `stats()` shows them, and tools alert when one is
        missed. The call may be repeated. Raises `ConfigError`, and then nothing was written.
        """
        return await self._calls.call(self._on_trio.targets, latency=latency, failures=failures)

    async def keep_history(self, count: int) -> None:
        """Keep the last `count` transitions of the queue, 0 to 1,000,000; 0 deletes them.

        Each partition of a partitioned queue keeps that many. Raises `ConfigError`.
        """
        await self._calls.call(self._on_trio.keep_history, count)

    def history_lines(self) -> AsyncGenerator[str]:
        """Yield its history as the lines of a file that `rediq replay` reads."""
        return self._calls.generate(self._on_trio.history_lines())

    async def check(self, *, progress: Callable[[int, int], None] | None = None) -> list[Violation]:
        """Check every invariant that can be read from the queue; return the violations.

        The check only reads, in bounded batches, and may run on a live queue: each thing is
        read at one instant, so a change made meanwhile is never reported as a violation.
        `progress` is called with the number of tasks checked so far and the approximate
        total, at most a few times a second. Raises `NewerTask` if a newer version wrote a
        task: only that version can check it.
        """
        return await self._calls.call(self._on_trio.check, progress=progress)

    async def repair_plan(self, violations: Sequence[Violation]) -> list[Repair]:
        """Read again what `check()` found, and return the repairs that need no guess.

        The call only reads. Violations without a repair are for a person to decide. Raises
        `ConfigError` for a violation of another queue.
        """
        return await self._calls.call(self._on_trio.repair_plan, violations)

    async def repair(self, plan: Sequence[Repair]) -> list[Repair]:
        """Make the repairs of a plan; return those that changed something.

        Each repair is one atomic step that checks again and leaves alone what is right by
        now, so a plan may be made twice. When cancelled, some may have been made. Raises
        `ConfigError` for a repair of another queue, and then nothing was repaired.
        """
        return await self._calls.call(self._on_trio.repair, plan)


class AsyncioSchedules:
    """The schedules of all queues. Made by `Client.schedules`; holds no connection."""

    def __init__(self, calls: AsyncioCalls, on_trio: Schedules) -> None:
        self._calls = calls
        self._on_trio = on_trio

    async def list(self) -> builtins.list[ScheduleInfo]:
        """Read all schedules, ordered by name.

        The queues are read at the same time. An error names a queue that could not be read.
        """
        return await self._calls.call(self._on_trio.list)

    async def get(self, name: str) -> ScheduleInfo:
        """Read one schedule; raise `ScheduleNotFound` when there is none of that name.

        A queue that does not answer matters only if no other one has the schedule.
        """
        return await self._calls.call(self._on_trio.get, name)

    async def add(self, name: str, when: Every | Cron, task: Task[Any]) -> ScheduleInfo:
        """Add a schedule, or replace the one of that name in whichever queue it is.

        A replaced schedule in the same queue stays paused if it was. A schedule ticks while
        a worker serves the task's queue. Raises `ConfigError`, `PayloadError` or
        `PayloadTooLarge`, and then nothing was written. When cancelled, it may have been
        added. After a `ConnectionLost` that names another queue, it has been added, but that
        queue may have one of that name too: add it again.
        """
        return await self._calls.call(self._on_trio.add, name, when, task)

    async def remove(self, name: str) -> None:
        """Remove a schedule; its tasks stay. Raises `ScheduleNotFound` if there is none.

        A schedule that an app declares stays removed, also when workers of the app start,
        until `resume` or `add`.
        """
        await self._calls.call(self._on_trio.remove, name)

    async def pause(self, name: str) -> None:
        """Stop the ticks of a schedule until `resume`; raise `ScheduleNotFound` if there is none."""
        await self._calls.call(self._on_trio.pause, name)

    async def resume(self, name: str) -> None:
        """Resume a schedule from now on; ticks during the pause do not count as missed.

        One that is not paused stays as it is: nothing is written, and no entry in the audit.
        After `remove` of a schedule that an app declares, the workers of the app declare it
        again within half a minute, or when the next one starts.
        Raises `ScheduleNotFound` if there is none of that name, and `ConfigError` if this
        version cannot read when it ticks.
        """
        await self._calls.call(self._on_trio.resume, name)

    async def trigger(self, name: str) -> AsyncioTaskHandle[Any]:
        """Enqueue one task of a schedule now, even while it is paused; its ticks do not change.

        If the unique key is taken, the handle is that of the task that holds it and has
        `created` False. Raises `ScheduleNotFound` if there is no such schedule, and
        `QueueFull`.
        """
        return AsyncioTaskHandle(self._calls, await self._calls.call(self._on_trio.trigger, name))


class AsyncioWorkerHandle:
    """One live worker, by its id or its instance. Made by `Client.worker`; every method asks the store.

    An order is received within a second while Redis answers. Its method returns once the worker's record
    says so, and raises `WorkerNotFound` if no live worker has that name or the worker ends before,
    `ConfigError` if several live workers have the name, `OrderRefused` if the worker's version does not
    take the order, and `ConnectionLost`. When cancelled, or after `ConnectionLost`, the worker may
    have received the order; giving it again does no harm.
    """

    def __init__(self, calls: AsyncioCalls, on_trio: WorkerHandle) -> None:
        self._calls = calls
        self._on_trio = on_trio
        self.id = on_trio.id
        """The id or the instance of the worker, as it was given."""

    def __repr__(self) -> str:
        return repr(self._on_trio).replace("WorkerHandle", "AsyncioWorkerHandle", 1)

    async def info(self) -> WorkerInfo:
        """Return what the worker said in its last heartbeat.

        Raises `WorkerNotFound` if no live worker has that name, and `ConfigError` if several have.
        """
        return await self._calls.call(self._on_trio.info)

    async def quiet(self) -> None:
        """Order the worker to claim no more tasks, until `work` or its end.

        Tasks that it has claimed run on, its leases are renewed, and it does a keeper's duties. Once
        this returns it claims nothing, but for a claim that its Redis has not answered for a second.
        """
        await self._calls.call(self._on_trio.quiet)

    async def work(self) -> None:
        """Order the worker to claim tasks again; one that is not quiet goes on as before."""
        await self._calls.call(self._on_trio.work)

    async def stop(self, *, grace: Duration | None = None) -> None:
        """Order the worker to stop gracefully, as by a signal; return when it has received it.

        Running handlers have `grace` seconds, 0 to 86,400, by default the worker's `shutdown_grace`. A
        second order can shorten the grace. `rediq run` ends then, with status 0: whatever supervises
        it may start it again.
        """
        await self._calls.call(self._on_trio.stop, grace=grace)

    async def stacks(self) -> dict[str, str]:
        """Ask the worker where its running attempts are; return a text for each, by its task's id.

        The text is the tree of the attempt's Trio tasks, with the file, line and function of each call,
        and the calls of its thread if it has one; no local variable and no line of source. At most
        50 attempts, 8,000 characters of each and 64,000 of all.
        """
        return await self._calls.call(self._on_trio.stacks)


class AsyncioClient:
    """Enqueues tasks, and opens tasks, queues and schedules. Made by `connect` and by `serve`."""

    def __init__(self, calls: AsyncioCalls, on_trio: Client) -> None:
        self._calls = calls
        self._on_trio = on_trio

    @overload
    async def enqueue(self, task: Task[R], *, wait: bool = False) -> AsyncioTaskHandle[R]: ...

    @overload
    async def enqueue(
        self, task: Workflow[R], *, wait: bool = False
    ) -> AsyncioWorkflowHandle[R]: ...

    async def enqueue(self, task: Task[Any] | Workflow[Any], *, wait: bool = False) -> Any:
        """Enqueue a task, or all tasks of a workflow, all or nothing; return its handle.

        With `unique=`, the handle may be that of the task that holds the key, and then has
        `created` False. Raises `DuplicateTask` if the task's id exists or its unique key is
        taken, `TaskNotFound` if a dependency does not exist, `QueueFull` unless `wait`,
        which waits for room instead, `PayloadError` or `PayloadTooLarge`, and
        `ConnectionLost`. In each case nothing was written, except that after
        `ConnectionLost` a task with an id of the caller may exist: enqueue it again, which
        is safe. `Unconfirmed` means that the task was written, but is less durable than
        requested. When cancelled, the task may exist too.
        """
        on_trio: Any = self._on_trio
        found = await self._calls.call(on_trio.enqueue, task, wait=wait)
        kind: Any = (
            AsyncioWorkflowHandle if isinstance(found, WorkflowHandle) else AsyncioTaskHandle
        )
        return kind(self._calls, found)

    async def enqueue_many(
        self, tasks: Iterable[Task[R]], *, wait: bool = False
    ) -> list[AsyncioTaskHandle[R]]:
        """Enqueue many tasks; return their handles in order.

        They are written in steps, each all or nothing: one for each queue, and another one
        after 1,000 tasks or 4 MiB. If an id exists or a unique key is taken, the handle is that
        of the existing task and has `created` False. With `wait`, a full queue is waited for,
        and what finds room is written as room comes.

        Raises what `enqueue` raises, except `DuplicateTask`, when nothing was written. When
        something was, it raises `PartlyEnqueued` instead, which has the handles of what was
        written, the tasks that were not, and the reason as its cause. When cancelled, tasks of
        earlier steps stay enqueued, and those of the current one may be.
        """
        try:
            found = await self._calls.call(self._on_trio.enqueue_many, tasks, wait=wait)
        except PartlyEnqueued as error:
            error.handles = [
                None if handle is None else AsyncioTaskHandle(self._calls, handle)
                for handle in error.handles
            ]
            raise
        return [AsyncioTaskHandle(self._calls, handle) for handle in found]

    def task(self, task_id: str) -> AsyncioTaskHandle[Any]:
        """Return a handle for an id without reading it. Raises `ConfigError` for a malformed id."""
        return AsyncioTaskHandle(self._calls, self._on_trio.task(task_id))

    def queue(self, name: str) -> AsyncioQueue:
        """Return a queue by its name without reading it. Raises `ConfigError` for a malformed name."""
        return AsyncioQueue(self._calls, self._on_trio.queue(name))

    async def queues(self) -> list[str]:
        """Return the names of all queues that were ever used, sorted."""
        return await self._calls.call(self._on_trio.queues)

    async def overview(self, names: Iterable[str] | None = None) -> Overview:
        """Count the tasks of many queues by state, and read their totals; of all queues if None.

        It costs Redis some 10 us a queue, a fifth of `Queue.stats`, and has no ages. The numbers
        are not of one instant: a task that moves meanwhile may be counted twice, or not at all.
        A queue that was never used has zeros. Raises `ConfigError` for a malformed name, and
        `ConnectionLost`, which names a queue that could not be read.
        """
        return await self._calls.call(self._on_trio.overview, names)

    async def workflow(self, workflow_id: str) -> AsyncioWorkflowHandle[Any]:
        """Find a workflow again by its id, in any process; return its handle.

        A workflow is found until none of its tasks is left, and for some time after that; of the
        last 10,000. Raises `ConfigError` for a malformed id, `WorkflowNotFound`, and `PayloadError`
        for one whose record this process cannot read.
        """
        return AsyncioWorkflowHandle(
            self._calls, await self._calls.call(self._on_trio.workflow, workflow_id)
        )

    async def workflows(
        self,
        *,
        newest: bool = True,
        state: str | None = None,
        limit: int = 100,
        after: WorkflowStatus | str | None = None,
    ) -> tuple[WorkflowStatus, ...]:
        """Read how far workflows are, the newest first, or the oldest with `newest=False`.

        `state`: only those that are `running`, `completed`, `dead`, `cancelled` or `gone`, for
        which all may be read. `limit` is 1 to 1,000; for the next page, pass the last one, or its
        `cursor`, as `after`. The states are not of one instant. Raises `ConfigError`.
        """
        return await self._calls.call(
            self._on_trio.workflows, newest=newest, state=state, limit=limit, after=after
        )

    def schedules(self) -> AsyncioSchedules:
        """Return the schedules of all queues without reading them."""
        return AsyncioSchedules(self._calls, self._on_trio.schedules())

    def worker(self, worker_id: str) -> AsyncioWorkerHandle:
        """Return a live worker by its id, or its instance, without reading it.

        Raises `ConfigError` for what cannot be a worker's name.
        """
        return AsyncioWorkerHandle(self._calls, self._on_trio.worker(worker_id))

    async def workers(self) -> list[WorkerInfo]:
        """Return the live workers, as of their last heartbeats, ordered by id."""
        return await self._calls.call(self._on_trio.workers)

    def acting(self, *, who: str, tool: str = "", where: str = "") -> AsyncioClient:
        """Return this client for a person at a tool: each of their changes has an entry in the audit.

        It covers what this client and what it opens change. An entry is written after its call, also
        if that fails or is cancelled. `who`: 1 to 128 characters, a login for example; `tool`: at
        most 64; `where`: at most 200, an address for example. Both clients are closed together.
        Raises `ConfigError`. Each change raises `NotAudited` if it was made without an entry.
        """
        return AsyncioClient(self._calls, self._on_trio.acting(who=who, tool=tool, where=where))

    async def audit(
        self, *, newest: bool = True, limit: int = 100, after: AuditEntry | str | None = None
    ) -> tuple[AuditEntry, ...]:
        """Read what people did through tools: the last 10,000 changes, the newest first.

        With `newest=False` the oldest comes first. `limit` is 1 to 1,000; for the next page, pass the
        last entry, or its id, as `after`. What programs do is not there, see `acting`. Raises
        `ConfigError`.
        """
        return await self._calls.call(self._on_trio.audit, newest=newest, limit=limit, after=after)

    async def mark(self, text: str, by: str = "") -> Mark:
        """Make a mark at this instant, for whoever looks at charts: a deployment, for example.

        `text` has 1 to 200 characters; `by`, who makes it, at most 128, by default the person for
        whom the client is `acting`. When cancelled, it may have been made. Raises `ConfigError`.
        """
        return await self._calls.call(self._on_trio.mark, text, by)

    async def marks(self) -> tuple[Mark, ...]:
        """Read the last 200 marks, the newest first."""
        return await self._calls.call(self._on_trio.marks)
