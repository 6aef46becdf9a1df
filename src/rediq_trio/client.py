"""Client: what a producer holds. TaskHandle: one enqueued task."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import trio

from rediq_trio._errors import (
    ConfigError,
    ConnectionLost,
    DuplicateTask,
    TaskCancelled,
    TaskFailed,
    TaskNotFound,
)
from rediq_trio.admin import Queue
from rediq_trio.deadlines import first_end, pack_deadline
from rediq_trio.describe import describe, describe_progress, describe_worker
from rediq_trio.ids import new_id, split_id
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.limits import MAX_PAYLOAD, check_name, check_number
from rediq_trio.spec.records import NewTask, Record
from rediq_trio.spec.values import Progress, Task, TaskInfo, WorkerInfo
from rediq_trio.store.broadcast import Kind
from rediq_trio.store.envelope import pack_envelope, pack_value
from rediq_trio.store.opening import open_store
from rediq_trio.store.port import BATCH, Store
from rediq_trio.store.urls import default_url
from rediq_trio.structuring import plain, structurer

R = TypeVar("R")

RESEND_FOR = 15.0
"""Seconds for which an enqueue that can be repeated without harm is sent again."""
LOOK_AGAIN = 5.0
"""Seconds between looks of a waiter, in case a signal was lost."""
BATCH_BYTES = 4 * 1024 * 1024
"""Bytes of envelopes that one call carries, unless a single one is larger."""


def _milliseconds(seconds: float | None) -> int:
    return 0 if seconds is None else max(1, round(seconds * 1000)) if seconds else 0


def _instant(moment: dt.datetime | None) -> int:
    return 0 if moment is None else max(1, round(moment.timestamp() * 1000))


class TaskHandle(Generic[R]):
    """One task, by its id. Holding it costs nothing; every method asks the store."""

    def __init__(
        self, store: Store, queue: str, own: str, returns: Any = None, *, created: bool = True
    ) -> None:
        self._store = store
        self._own = own
        self._returns = returns
        self.id = f"{queue}/{own}"
        """`"<queue>/<id>"`."""
        self.queue = queue
        self.created = created
        """False when `enqueue_many` met a task of that id and left it as it was."""

    def __repr__(self) -> str:
        return f"<TaskHandle {self.id}>"

    async def info(self) -> TaskInfo:
        """Read all that is known of the task; raise `TaskNotFound` when there is none."""
        return describe(self.queue, await self._record())

    async def _record(self) -> Record:
        (record,) = await self._store.get(self.queue, (self._own,))
        if record is None:
            raise TaskNotFound(self.id)
        return record

    async def result(self, timeout: float | None = None) -> R:
        """Wait for the task's end and give what its handler returned.

        Raises `TaskFailed` when it is dead, `TaskCancelled`, `TaskNotFound` when
        there is no such task (any more), `PayloadError` when the result does not
        fit the handler's return type, and `trio.TooSlowError` after `timeout`
        seconds. Cancelling the wait leaves the task alone.
        """
        record = await self._ended(timeout)
        info = describe(self.queue, record)
        if info.state is State.DEAD:
            raise TaskFailed(self.id, info.state.value, info.error or "")
        if info.state is State.CANCELLED:
            raise TaskCancelled(self.id)
        structure = structurer(self._returns)
        value: R = info.result if structure is None else structure(info.result)
        return value

    async def wait(self, timeout: float | None = None) -> TaskInfo:
        """Wait for the task's end, whichever, and read it.

        Raises `TaskNotFound` and `trio.TooSlowError` as `result` does.
        """
        return describe(self.queue, await self._ended(timeout))

    async def _ended(self, timeout: float | None) -> Record:
        if timeout is not None:
            check_number("timeout", timeout, 0, float("inf"))
        with trio.fail_after(float("inf") if timeout is None else timeout):
            # Waiting is noted in the store, which then tells the end, and keeps a task
            # without retention long enough to be read.
            await self._watch()
            with self._store.listen([(self.queue, self._own)]) as signals:
                while True:
                    record = await self._record_patiently()
                    if record.terminal:
                        return record
                    with trio.move_on_after(LOOK_AGAIN):
                        while (await signals.receive()).kind is Kind.PROGRESS:
                            pass
        raise AssertionError("unreachable: fail_after raises")

    async def _watch(self) -> None:
        if await self._store.watch(self.queue, self._own) is None:
            raise TaskNotFound(self.id)

    async def _record_patiently(self) -> Record:
        # A waiter outlives a restart of Redis: it just looks again.
        while True:
            try:
                return await self._record()
            except ConnectionLost:
                await trio.sleep(random.uniform(0.1, 0.5))

    def progress(self) -> AsyncIterator[Progress]:
        """Give each new progress of the task until it ends; the newest, not every one.

        Iterating raises `TaskNotFound` when there is no such task (any more). It may
        be left at any point.
        """
        return _ProgressFeed(self)

    async def cancel(self) -> State:
        """Cancel the task, or ask the worker that runs it to; give the state it is in now.

        `cancelled`: it was waiting, and will not run. `active`: its handler will
        be cancelled within a second, unless it finishes first; `wait()` tells
        which. Any other: it had ended already, and nothing changed. Raises
        `TaskNotFound`.
        """
        return self._found(await self._store.cancel(self.queue, self._own))

    async def retry(self) -> State:
        """Make a dead or cancelled task ready again, its counters new; give the state it is in now.

        `pending` when that was done; any other state was left as it was. Raises
        `TaskNotFound`.
        """
        return self._found((await self._store.revive(self.queue, (self._own,)))[0])

    async def delete(self) -> bool:
        """Remove the task with its result; False when a worker holds it: cancel it first.

        Raises `TaskNotFound`.
        """
        state = self._found((await self._store.delete(self.queue, (self._own,)))[0])
        return state is not State.ACTIVE

    def _found(self, state: State | None) -> State:
        if state is None:
            raise TaskNotFound(self.id)
        return state


class _ProgressFeed:
    """Iterates over a task's progress. No generator: one that is left early needs closing."""

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
        await handle._watch()
        with handle._store.listen([(handle.queue, handle._own)]) as signals:
            while True:
                record = await handle._record_patiently()
                self._over = record.terminal
                if record.progress != self._seen:
                    self._seen = record.progress
                    if (progress := describe_progress(record.progress)) is not None:
                        return progress
                if self._over:
                    raise StopAsyncIteration
                with trio.move_on_after(LOOK_AGAIN):
                    await signals.receive()


class Client:
    """A producer's and an operator's way to the queues. Made by `connect` and by `serve`."""

    def __init__(self, store: Store, *, max_payload: int = MAX_PAYLOAD) -> None:
        self._store = store
        self._max_payload = max_payload

    async def enqueue(self, task: Task[R]) -> TaskHandle[R]:
        """Put a task into its queue.

        Raises `DuplicateTask` when its own id exists, `PayloadError` or
        `PayloadTooLarge`, and `ConnectionLost`; in each case nothing was written,
        except that with `ConnectionLost` and an own id the task may be there (to
        enqueue it again is safe). When cancelled, it may be there too.
        """
        own, new = self._new(task)
        (state,) = await self._send(task.queue, (new,), repeatable=task.id is None)
        if state is None:
            raise DuplicateTask(f"{task.queue}/{own}")
        return TaskHandle(self._store, task.queue, own, task.returns)

    async def enqueue_many(self, tasks: Iterable[Task[R]]) -> list[TaskHandle[R]]:
        """Put many tasks into their queues, up to 1,000 in one step, and give their handles in order.

        All are checked before the first is written. An id that exists already is
        left as it is, and its handle has `created` False. When an error or a
        cancellation ends it half-way, the steps that were done stay done.
        """
        prepared = [(task, *self._new(task)) for task in tasks]
        handles: dict[int, TaskHandle[R]] = {}
        by_queue: dict[str, list[int]] = {}
        for place, (task, _, _) in enumerate(prepared):
            by_queue.setdefault(task.queue, []).append(place)
        for queue, places in by_queue.items():
            for part in _parts(places, [prepared[place][2] for place in places]):
                repeatable = all(prepared[place][0].id is None for place in part)
                news = [prepared[place][2] for place in part]
                states = await self._send(queue, news, repeatable=repeatable)
                for place, state in zip(part, states, strict=True):
                    task, own, _ = prepared[place]
                    handles[place] = TaskHandle(
                        self._store, queue, own, task.returns, created=state is not None
                    )
        return [handles[place] for place in range(len(prepared))]

    def _new(self, task: Task[Any]) -> tuple[str, NewTask]:
        if not isinstance(task, Task):
            raise ConfigError.of("task", task, "a Task: what TaskType.task(...) gives")
        payload = pack_value(plain(task.payload), most=self._max_payload)
        own = task.id or new_id()
        ends = pack_deadline(task.deadline)
        expires = first_end(task.expires, task.deadline)
        lasting = expires if isinstance(expires, int | float) else None
        until = expires if isinstance(expires, dt.datetime) else None
        return own, NewTask(
            id=own,
            envelope=pack_envelope(
                task.type, payload, task.timeout, task.backoff, task.metadata, ends
            ),
            priority=task.priority,
            max_retry=task.max_retry,
            max_crashes=task.max_crashes,
            retention_ms=_milliseconds(task.retention),
            delay_ms=_milliseconds(task.delay),
            run_at_ms=_instant(task.run_at),
            expires_in_ms=_milliseconds(lasting),
            expires_at_ms=_instant(until),
        )

    async def _send(
        self, queue: str, tasks: Sequence[NewTask], *, repeatable: bool
    ) -> Sequence[State | None]:
        give_up = trio.current_time() + RESEND_FOR
        sent_before = False
        while True:
            try:
                states = await self._store.enqueue(queue, tasks)
            except ConnectionLost as lost:
                # With ids that are new, a second sending finds what the first one wrote.
                if not (repeatable or not lost.sent) or trio.current_time() > give_up:
                    raise
                sent_before = sent_before or lost.sent
                await trio.sleep(random.uniform(0.05, 0.5))
            else:
                if sent_before and repeatable:
                    return [state or State.PENDING for state in states]
                return states

    def task(self, task_id: str) -> TaskHandle[Any]:
        """Give a handle for an id; nothing is asked yet. Raises `ConfigError` for what is no id."""
        return TaskHandle(self._store, *split_id(task_id))

    def queue(self, name: str) -> Queue:
        """Give a queue by its name; nothing is asked yet. Raises `ConfigError` for what is no name."""
        return Queue(self._store, check_name("queue", name))

    async def queues(self) -> list[str]:
        """Give the names of the queues that were ever used, sorted."""
        return list(await self._store.queues())

    async def workers(self) -> list[WorkerInfo]:
        """Give the live workers, as of their last heartbeats, ordered by id."""
        return [describe_worker(said) for said in await self._store.roster()]


def _parts(places: Sequence[int], tasks: Sequence[NewTask]) -> Iterable[list[int]]:
    part: list[int] = []
    size = 0
    for place, task in zip(places, tasks, strict=True):
        if part and (len(part) == BATCH or size + len(task.envelope) > BATCH_BYTES):
            yield part
            part, size = [], 0
        part.append(place)
        size += len(task.envelope)
    if part:
        yield part


@asynccontextmanager
async def connect(
    url: str | Store | None = None,
    *,
    max_payload: int = MAX_PAYLOAD,
    key_prefix: str = "rediq",
    allow_eviction: bool = False,
) -> AsyncGenerator[Client]:
    """Open a client for as long as the block lasts.

    `url` defaults to `REDIQ_URL`, else to the Redis on this machine. Raises
    `ConfigError` for a bad URL or setting and `ConnectionLost` when the server
    cannot be reached. An exception of the block leaves as it was raised.
    """
    check_number("max_payload", max_payload, 1, 512 * 1024 * 1024, whole=True)
    check_name("key_prefix", key_prefix)
    where = default_url() if url is None else url
    async with open_store(where, key_prefix=key_prefix, allow_eviction=allow_eviction) as store:
        yield Client(store, max_payload=max_payload)
