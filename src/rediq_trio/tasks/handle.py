"""TaskHandle: one enqueued task, as whoever asked for it sees it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any, Generic, TypeVar

import trio

from rediq_trio._errors import ConnectionLost, TaskCancelled, TaskFailed, TaskNotFound
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import Record
from rediq_trio.store.broadcast import SignalKind
from rediq_trio.store.port import Store
from rediq_trio.store.relay import relay
from rediq_trio.tasks.task_info import describe, describe_progress
from rediq_trio.values.bounds import check_number, queue_of
from rediq_trio.values.task import Progress, TaskInfo
from rediq_trio.wire.envelope import unpack_value
from rediq_trio.wire.structuring import structurer

R = TypeVar("R")

LOOK_AGAIN = 5.0
"""Seconds between looks of a waiter, in case a signal was lost."""


class TaskHandle(Generic[R]):
    """One task, by its id. Holding it costs nothing; every method asks the store."""

    def __init__(
        self, store: Store, place: str, own: str, returns: Any = None, *, created: bool = True
    ) -> None:
        self._store = store
        self._own = own
        self._returns = returns
        self._place = place
        self.id = f"{place}/{own}"
        """`"<queue>/<id>"`, with the partition where the queue has some: `"<queue>~3/<id>"`."""
        self.queue = queue_of(place)
        self.created = created
        """False when the handle is that of a task that was there before: the holder of a
        unique key, or in `enqueue_many` one of that id."""

    def __repr__(self) -> str:
        return f"<TaskHandle {self.id}>"

    async def info(self) -> TaskInfo:
        """Read all that is known of the task; raise `TaskNotFound` when there is none."""
        return describe(self._place, await self._record())

    async def _record(self) -> Record:
        (record,) = await self._store.get(self._place, (self._own,))
        if record is None:
            raise TaskNotFound(self.id)
        return record

    async def result(self, timeout: float | None = None) -> R:
        """Wait for the task's end and give what its handler returned.

        Raises `TaskFailed` when it is dead, `TaskCancelled`, `TaskNotFound` when
        there is no such task (any more), `PayloadError` when the result cannot be read
        (it is encrypted, say) or does not fit the handler's return type, and `trio.TooSlowError` after `timeout`
        seconds. Cancelling the wait leaves the task alone.
        """
        record = await self._ended(timeout)
        info = describe(self._place, record)
        if info.state is State.DEAD:
            raise TaskFailed(self.id, info.state.value, info.error or "")
        if info.state is State.CANCELLED:
            raise TaskCancelled(self.id)
        found: Any = unpack_value(record.result, what="result") if record.result else None
        structure = structurer(self._returns)
        value: R = found if structure is None else structure(found)
        return value

    async def wait(self, timeout: float | None = None) -> TaskInfo:
        """Wait for the task's end, whichever, and read it.

        Raises `TaskNotFound` and `trio.TooSlowError` as `result` does.
        """
        return describe(self._place, await self._ended(timeout))

    async def _ended(self, timeout: float | None) -> Record:
        if timeout is not None:
            check_number("timeout", timeout, 0, float("inf"))
        with trio.fail_after(float("inf") if timeout is None else timeout):
            # Waiting is noted in the store, which then tells the end, and keeps a task
            # without retention long enough to be read.
            await self._watch()
            with self._store.listen([(self._place, self._own)]) as signals:
                while True:
                    record = await self._record_patiently()
                    if record.terminal:
                        return record
                    with trio.move_on_after(LOOK_AGAIN):
                        while (await signals.receive()).kind is SignalKind.PROGRESS:
                            pass
        raise AssertionError("unreachable: fail_after raises")

    async def _watch(self) -> None:
        if await self._store.watch(self._place, self._own) is None:
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
        return await self._changed(await self._store.cancel(self._place, self._own))

    async def retry(self) -> State:
        """Make a dead or cancelled task ready again, its counters new; give the state it is in now.

        `pending` when that was done, or `blocked` or `grouped` where it waits for others
        again; any other state was left as it was: also while another task holds its
        unique key, or one of its queue that it needs has failed. Raises `TaskNotFound`.
        """
        return await self._changed((await self._store.revive(self._place, (self._own,)))[0])

    async def delete(self) -> bool:
        """Remove the task with its result; False when a worker holds it: cancel it first.

        Raises `TaskNotFound`.
        """
        state = await self._changed((await self._store.delete(self._place, (self._own,)))[0])
        return state is not State.ACTIVE

    async def _changed(self, state: State | None) -> State:
        if state is None:
            raise TaskNotFound(self.id)
        # Tasks of other queues that wait for this one hear of it, served or not.
        await relay(self._store, self._place)
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
        with handle._store.listen([(handle._place, handle._own)]) as signals:
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
