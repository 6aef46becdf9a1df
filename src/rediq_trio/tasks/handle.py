"""TaskHandle: one enqueued task, as its producer sees it.

Long, because each method says what it promises.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar, Unpack

import trio

from rediq_trio._errors import ConnectionLost, TaskCancelled, TaskFailed, TaskNotFound
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Death
from rediq_trio.spec.records import Record
from rediq_trio.store.audit.audited import audited
from rediq_trio.store.broadcast import SignalKind
from rediq_trio.store.port import Store
from rediq_trio.store.relay import relay
from rediq_trio.store.retrying import raise_access_refused, until_answered
from rediq_trio.tasks.changes.again import enqueue_again
from rediq_trio.tasks.changes.changing import reschedule, update
from rediq_trio.tasks.changes.moving import requeue
from rediq_trio.tasks.changes.replacing import replace as replace_task
from rediq_trio.tasks.described_info import make_described_info
from rediq_trio.tasks.failures import failure_cause
from rediq_trio.tasks.task_info import make_task_info, read_progress
from rediq_trio.tasks.too_slow import too_slow
from rediq_trio.tasks.waiting import RUNNING_HANDLER, lend_slot
from rediq_trio.tasks.why.explain import explain
from rediq_trio.values.bounds import (
    MAX_PAYLOAD,
    Duration,
    check_flag,
    check_seconds,
    queue_of,
    to_seconds,
)
from rediq_trio.values.observed.why import Why
from rediq_trio.values.task import NewTaskChanges, Progress, TaskChanges, TaskInfo
from rediq_trio.values.telemetry.sending import Senders
from rediq_trio.wire.envelope import unpack_value
from rediq_trio.wire.structuring import make_structurer

R = TypeVar("R")

RECHECK_INTERVAL = 5.0
"""Seconds after which a waiter reads the task again, in case a signal was lost."""


class TaskHandle(Generic[R]):
    """One task, by its id. A handle holds no connection; every method asks the store."""

    def __init__(
        self,
        store: Store,
        partition: str,
        local_id: str,
        returns: Any = None,
        *,
        created: bool = True,
        max_payload: int = MAX_PAYLOAD,
        senders: Senders | None = None,
    ) -> None:
        self._store = store
        self._local_id = local_id
        self._returns = returns
        self._max_payload = max_payload
        self._senders = senders
        self._partition = partition
        self.id = f"{partition}/{local_id}"
        """`"<queue>/<id>"`, with the partition where the queue has some: `"<queue>~3/<id>"`."""
        self.queue = queue_of(partition)
        self.created = created
        """False when the task existed before: it holds the unique key, or in `enqueue_many`
        it has that id. For `enqueue_after` this is known once the attempt's end is written, for
        another queue once the worker that ran the handler has brought the task there."""

    def __repr__(self) -> str:
        return f"<TaskHandle {self.id}>"

    async def info(self) -> TaskInfo:
        """Read all that is known about the task; raise `TaskNotFound` if there is none.

        It is one read of the task's own queue, so all of it was true at one instant. What other
        queues know is left out: `TaskInfo.dependencies` says what this one was notified of.
        """
        found = await self._store.description(self._partition, self._local_id)
        if found is None:
            raise TaskNotFound(self.id)
        return make_described_info(self._partition, found)

    async def why(self) -> Why:
        """Find out why the task waits, on what it runs or how it ended, in one sentence and its parts.

        All that the task's own queue knows is one read, true at one instant. The live workers, the
        rate of the last minute and the states of tasks in other queues are read right after; those
        parts carry instants of their own. Nothing is changed, and cancelling the call leaves nothing.
        Raises `TaskNotFound` when the task does not exist or exists no longer, as after a flush.
        """
        return await explain(self._store, self._partition, self._local_id)

    async def _record(self) -> Record:
        (record,) = await self._store.get(self._partition, (self._local_id,))
        if record is None:
            raise TaskNotFound(self.id)
        return record

    async def result(self, timeout: Duration | None = None) -> R:
        """Wait until the task has ended, and return its result.

        Raises `TaskFailed` when it is dead, `TaskCancelled` when it was cancelled,
        `TaskNotFound` when it does not exist or exists no longer, `PayloadError` when the
        result cannot be read or does not fit the handler's return type, and
        `trio.TooSlowError` after `timeout` seconds, and up to 1 more to find out what to
        say: the task's state, and whether a live worker serves its queue. Cancelling the
        wait does not affect the task. In a handler, its slot is lent meanwhile.
        """
        record = await self._ended(timeout)
        if record.state is not State.COMPLETED and (
            failure := failure_of(make_task_info(self._partition, record))
        ):
            raise failure
        found: Any = unpack_value(record.result, what="result") if record.result else None
        structure = make_structurer(self._returns, "result ")
        value: R = found if structure is None else structure(found)
        return value

    async def wait(self, timeout: Duration | None = None) -> TaskInfo:
        """Wait until the task has ended in any way, and read it.

        Raises `TaskNotFound` and `trio.TooSlowError` as `result` does. What only `info()` reads is
        None, as in a list of tasks.
        """
        return make_task_info(self._partition, await self._ended(timeout))

    async def _ended(self, timeout: Duration | None) -> Record:
        reported = False
        with wait_at_most(timeout), lend_slot():
            # The store records the wait: it then signals the task's end, and keeps a task
            # without retention long enough to be read.
            await self._watch()
            with self._store.listen([(self._partition, self._local_id)]) as signals:
                while True:
                    record = await self._read_until_answered()
                    if record.terminal:
                        return record
                    with trio.move_on_after(RECHECK_INTERVAL) as recheck:
                        while (await signals.receive()).kind is SignalKind.PROGRESS:
                            pass
                    if recheck.cancelled_caught and not reported:
                        reported = await self._report_pending(record)
        raise await too_slow(self._store, self._partition, self._local_id, timeout)

    async def _report_pending(self, record: Record) -> bool:
        handler = RUNNING_HANDLER.get(None)
        if handler is None or record.state is not State.PENDING:
            return False
        with suppress(ConnectionLost):  # it is asked again in the next interval
            return await handler._report_pending(self._partition, record)
        return False

    async def _watch(self) -> None:
        state = await until_answered(
            lambda: self._store.watch(self._partition, self._local_id),
            on_failure=raise_access_refused,
        )
        if state is None:
            raise TaskNotFound(self.id)

    async def _read_until_answered(self) -> Record:
        # A waiter outlives a restart of Redis.
        return await until_answered(self._record)

    def progress(self) -> AsyncIterator[Progress]:
        """Iterate over the task's progress until it ends: the newest report, not every one.

        Iterating raises `TaskNotFound` when the task does not exist or exists no longer.
        The iteration may be left at any point.
        """
        return _ProgressFeed(self)

    @audited("task", "id")
    async def cancel(self) -> State:
        """Cancel the task, or ask the worker that runs it to; return its state.

        `cancelled`: it was waiting, and will not run. `active`: its handler is cancelled
        within a second unless it finishes first; `wait()` returns which. Any other state:
        it had ended already, and nothing changed. Raises `TaskNotFound`.
        """
        answer = await self._store.cancel(self._partition, self._local_id)
        return await self._changed(answer.state, answer.deaths)

    @audited("task", "id")
    async def retry(self) -> State:
        """Make a dead or cancelled task ready again, with new counters; return its state.

        The state is `pending`, or `blocked` or `grouped` if the task waits for others
        again. Any other state means that nothing changed: for example, another task holds
        its unique key, or a dependency in its queue has failed. Raises `TaskNotFound`.
        """
        (state,) = await self._store.revive(self._partition, (self._local_id,))
        return await self._changed(state)

    @audited("task", "id")
    async def delete(self) -> bool:
        """Remove the task with its result; return False if a worker holds it: cancel it first.

        Raises `TaskNotFound`.
        """
        deleted = await self._store.delete(self._partition, (self._local_id,))
        return await self._changed(deleted[0], deleted.deaths) is not State.ACTIVE

    @audited("task", "id")
    async def run_now(self) -> bool:
        """Make a task that waits for its time, or for its next attempt, ready now.

        True if it was made ready, False if it was ready already. Its attempts stay counted, and
        it comes after the ready tasks of its priority. When cancelled, it may have happened.
        Raises `TaskNotFound`, and `TaskStateError` for a task that waits for others or in a
        group, that runs, or that has ended.
        """
        answer = await reschedule(self._store, self._partition, self._local_id, delay=0)
        return answer.before is not State.PENDING

    @audited("task", "id")
    async def reschedule(
        self, *, delay: Duration | None = None, run_at: dt.datetime | None = None
    ) -> State:
        """Make a task that is scheduled, in retry or ready due at another time; return its state.

        Pass one of `delay`, seconds from now, 0 to 1 year, and `run_at`, an aware datetime at
        most 1 year ahead. The state is `scheduled`, or `pending` if the time is now or past. Its
        attempts stay counted. When cancelled, it may have happened. Raises `ConfigError`,
        `TaskNotFound`, and `TaskStateError` as `run_now` does.
        """
        answer = await reschedule(
            self._store, self._partition, self._local_id, delay=delay, run_at=run_at
        )
        assert answer.after is not None
        return answer.after

    @audited("task", "id")
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
        most = self._max_payload
        return await update(self._store, self._partition, self._local_id, changes, seen, most)

    @audited("task", "id")
    async def requeue(self, queue: str) -> TaskHandle[R]:
        """Move a task that waits for its time, is ready, dead or cancelled to another queue.

        Return the handle of the new task: it has another id, is due when this one was, and
        begins with new counters. In one step this task is removed, and sent there: if the call is
        lost, a keeper of this queue brings it, once.

        When cancelled, it may have been moved. Raises `TaskStateError` for a task in another
        state, and for one that has to stay: with a unique key, a group, tasks that depend on it,
        someone who waits for its end, or results that it keeps. Raises `TaskChanged` as
        `update` does, `TaskNotFound`, `PayloadError`, and `ConfigError` for a bad queue.
        """
        partition, local_id = await requeue(self._store, self._partition, self._local_id, queue)
        return self._other(partition, local_id)

    @audited("task", "id")
    async def enqueue_again(
        self, *, replace: bool = False, **changes: Unpack[NewTaskChanges]
    ) -> TaskHandle[R]:
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
        check_flag("replace", replace)
        if replace:
            created = True
            partition, local_id = await replace_task(
                self._store,
                self._partition,
                self._local_id,
                changes,
                self._max_payload,
                self._senders,
            )
        else:
            partition, local_id, created = await enqueue_again(
                self._store,
                self._partition,
                self._local_id,
                changes,
                self._max_payload,
                self._senders,
            )
        return self._other(partition, local_id, created=created)

    def _other(self, partition: str, local_id: str, *, created: bool = True) -> TaskHandle[R]:
        return TaskHandle(
            self._store, partition, local_id, self._returns,
            created=created, max_payload=self._max_payload, senders=self._senders,
        )  # fmt: skip

    async def _changed(self, state: State | None, deaths: Sequence[Death] = ()) -> State:
        if state is None:
            raise TaskNotFound(self.id)
        # Dependents in other queues are notified, whether or not a worker serves this queue.
        await relay(self._store, self._partition, deaths)
        return state


def wait_at_most(timeout: Duration | None) -> trio.CancelScope:
    """Check a timeout in seconds, and return the scope that ends then; None for no timeout."""
    if timeout is None:
        return trio.CancelScope()
    timeout = to_seconds(timeout)
    check_seconds("timeout", timeout, 0)
    return trio.move_on_after(timeout)


def failure_of(task: TaskInfo) -> TaskFailed | TaskCancelled | None:
    """Return the error that waiting for the result of an ended task raises; None if it has one."""
    if task.state is State.DEAD:
        failure = TaskFailed(task.id, task.state.value, task.error or "")
        failure.__cause__ = failure_cause(task.id, failure.reason)
        return failure
    return TaskCancelled(task.id) if task.state is State.CANCELLED else None


class _ProgressFeed:
    """Iterates over a task's progress. Not a generator, which would need closing when left early."""

    def __init__(self, handle: TaskHandle[Any]) -> None:
        self._handle = handle
        self._seen = b""
        self._over = False

    def __aiter__(self) -> _ProgressFeed:
        return self

    async def __anext__(self) -> Progress:
        handle = self._handle
        if self._over:
            raise StopAsyncIteration
        with lend_slot():
            return await self._next(handle)

    async def _next(self, handle: TaskHandle[Any]) -> Progress:
        await handle._watch()
        with handle._store.listen([(handle._partition, handle._local_id)]) as signals:
            while True:
                record = await handle._read_until_answered()
                self._over = record.terminal
                if record.progress != self._seen:
                    self._seen = record.progress
                    if (progress := read_progress(record.progress)) is not None:
                        return progress
                if self._over:
                    raise StopAsyncIteration
                with trio.move_on_after(RECHECK_INTERVAL):
                    await signals.receive()
