"""Schedules: what an operator reads and changes at run time."""

from __future__ import annotations

import builtins
import datetime as dt
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import attrs

from rediq_trio._errors import (
    ConfigError,
    PayloadError,
    QueueFull,
    RediqError,
    ScheduleNotFound,
    Unconfirmed,
)
from rediq_trio.schedules.declare import (
    declare,
    is_removed,
    make_scheduled_task,
    pack_schedule,
    read_recurrence,
    removed,
    scheduled_to_send,
    with_metadata,
)
from rediq_trio.spec.messages import Answer, AnswerKind, NewTask, Schedule
from rediq_trio.store.audit.audited import audited, auditing
from rediq_trio.store.port import BATCH, Store
from rediq_trio.tasks.for_each import call_each, first_failure, naming_lost, try_each
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.tasks.instants import instant_or_none
from rediq_trio.tasks.task_info import UNREADABLE_TEXT
from rediq_trio.values.bounds import check_name
from rediq_trio.values.schedule import Cron, Every, describe_schedule
from rediq_trio.values.task import Task
from rediq_trio.values.telemetry.sending import Senders
from rediq_trio.wire.envelope import open_envelope


@attrs.frozen(kw_only=True)
class ScheduleInfo:
    """What is known about a schedule at one instant."""

    name: str
    queue: str
    """The queue of its tasks, which also stores the schedule."""
    type: str
    """The type of its tasks."""
    when: Every | Cron | None
    """When it ticks; None if this version cannot read it."""
    description: str
    """When it ticks, in a few words."""
    paused: bool
    next_run: dt.datetime | None
    """The next tick; None while it is paused."""
    last_run: dt.datetime | None
    """The last tick that enqueued a task."""
    last_task_id: str | None
    """The last task that a tick or a trigger enqueued."""
    owner: str | None
    """The name of the app that declares it; None if it was added at run time."""


class Schedules:
    """The schedules of all queues. Made by `Client.schedules`; holds no connection."""

    def __init__(self, store: Store, max_payload: int, senders: Senders | None = None) -> None:
        self._store = store
        self._senders = senders
        self._max_payload = max_payload

    async def list(self) -> builtins.list[ScheduleInfo]:
        """Read all schedules, ordered by name.

        The queues are read at the same time. An error names a queue that could not be read.
        """
        found = [_describe(queue, schedule) for queue, schedule in await self._all()]
        return sorted(found, key=lambda info: (info.name, info.queue))

    async def get(self, name: str) -> ScheduleInfo:
        """Read one schedule; raise `ScheduleNotFound` when there is none of that name.

        A queue that does not answer matters only if no other one has the schedule.
        """
        queue, schedule = await self._find(name)
        return _describe(queue, schedule)

    @audited()
    async def add(self, name: str, when: Every | Cron, task: Task[Any]) -> ScheduleInfo:
        """Add a schedule, or replace the one of that name in whichever queue it is.

        A replaced schedule in the same queue stays paused if it was. A schedule ticks while
        a worker serves the task's queue. Raises `ConfigError`, `PayloadError` or
        `PayloadTooLarge`, and then nothing was written. When cancelled, it may have been
        added. After a `ConnectionLost` that names another queue, it has been added, but that
        queue may have one of that name too: add it again.
        """
        schedule = pack_schedule(name, when, task, self._max_payload)
        for stored in await self._named_in(task.queue, name):
            if is_removed(stored):
                await self._store.retract(task.queue, names=(name,))
        await declare(self._store, task.queue, (schedule,))
        await self._remove(name, except_in=task.queue)
        return await self.get(name)

    @audited()
    async def remove(self, name: str) -> None:
        """Remove a schedule; its tasks stay. Raises `ScheduleNotFound` if there is none.

        A schedule that an app declares stays removed, also when workers of the app start,
        until `resume` or `add`.
        """
        check_name("name", name)
        if not await self._remove(name):
            raise ScheduleNotFound(name)

    async def _remove(self, name: str, *, except_in: str | None = None) -> bool:
        """Remove a schedule from all queues, or all but one; return whether there was one."""
        queues = [queue for queue in await self._queues_with(name) if queue != except_in]
        return any(await call_each(queues, partial(self._remove_from, name)))

    async def _remove_from(self, name: str, queue: str) -> bool:
        stored = await self._named_in(queue, name)
        if not any(schedule.owner or is_removed(schedule) for schedule in stored):
            return bool(await self._store.retract(queue, names=(name,)))
        gone = False
        for schedule in stored:
            if not is_removed(schedule):
                # Paused first: what is declared in its place stays paused.
                with suppress(Unconfirmed):  # the confirmation of the next write is for both
                    await self._store.suspend(queue, name=name)
                await self._store.declare(queue, schedule=removed(schedule))
                gone = True
        return gone

    @audited()
    async def pause(self, name: str) -> None:
        """Stop the ticks of a schedule until `resume`; raise `ScheduleNotFound` if there is none."""
        found, failure = await self._search(name)
        for queue, _ in found:
            await self._store.suspend(queue, name=name)
        if failure is not None:
            raise failure
        if not found:
            raise ScheduleNotFound(name)

    async def resume(self, name: str) -> None:
        """Resume a schedule from now on; ticks during the pause do not count as missed.

        One that is not paused stays as it is: nothing is written, and no entry in the audit.
        After `remove` of a schedule that an app declares, the workers of the app declare it
        again within half a minute, or when the next one starts.
        Raises `ScheduleNotFound` if there is none of that name, and `ConfigError` if this
        version cannot read when it ticks.
        """
        check_name("name", name)
        stored = await self._stored(name)
        shown = [each for each in stored if not is_removed(each[1])]
        if not stored:
            raise ScheduleNotFound(name)
        paused = [each for each in shown if each[1].paused]
        if not paused and shown:
            return
        async with auditing(self._store, "Schedules.resume", {"name": name}):
            await self._resume(name, paused, [] if shown else stored)

    async def _resume(
        self,
        name: str,
        paused: Sequence[tuple[str, Schedule]],
        gone: Sequence[tuple[str, Schedule]],
    ) -> None:
        for queue, _ in gone:
            await self._store.retract(queue, names=(name,))
        for queue, schedule in paused:
            when = read_recurrence(schedule)
            now = (await self._store.agenda(queue, due=1)).now_ms
            await self._store.reinstate(queue, name=name, next_ms=when.next_ms(now) or 0)

    @audited()
    async def trigger(self, name: str) -> TaskHandle[Any]:
        """Enqueue one task of a schedule now, even while it is paused; its ticks do not change.

        If the unique key is taken, the handle is that of the task that holds it and has
        `created` False. Raises `ScheduleNotFound` if there is no such schedule, and
        `QueueFull`.
        """
        queue, schedule = await self._find(name)
        task = make_scheduled_task(schedule, None)
        if self._senders is None:
            return await self._trigger(queue, name, task)
        with self._senders.around("trigger", (scheduled_to_send(queue, task),), name) as sending:
            (sent,) = sending.tasks
            handle = await self._trigger(queue, name, with_metadata(task, sent.metadata))
            sent.created = handle.created
        return handle

    async def _trigger(self, queue: str, name: str, task: NewTask) -> TaskHandle[Any]:
        answers = await self._store.trigger(queue, name=name, task=task)
        if not answers:
            raise ScheduleNotFound(name)
        match answers[0]:
            case Answer(AnswerKind.TAKEN | AnswerKind.REPLACED, ref):
                return TaskHandle(self._store, queue, ref, created=False)
            case Answer(AnswerKind.FULL):
                raise QueueFull(f"queue {queue} is full: trigger {name} again when there is room")
            case _:
                return TaskHandle(self._store, queue, task.id)

    async def _all(self) -> builtins.list[tuple[str, Schedule]]:
        return [each for each in await self._stored() if not is_removed(each[1])]

    async def _stored(self, name: str | None = None) -> builtins.list[tuple[str, Schedule]]:
        """Return all schedules, or those of a name, with the placeholders for removed ones."""
        queues = await self._queues_with(name)
        stored = await call_each(queues, partial(self._named_in, name=name))
        return [(q, schedule) for q, some in zip(queues, stored, strict=True) for schedule in some]

    async def _queues_with(self, name: str | None) -> builtins.list[str]:
        """Return the queues that may have schedules, or one of that name, in a call for a thousand.

        Those that cannot be read now are among them.
        """
        queues = await self._store.queues()
        found: builtins.list[str] = []
        for first in range(0, len(queues), BATCH):
            found += await self._store.with_schedules(queues[first : first + BATCH], name or "")
        return found

    async def _named_in(self, queue: str, name: str | None) -> builtins.list[Schedule]:
        with naming_lost(queue):
            agenda = await self._store.agenda(queue)
        return [schedule for schedule in agenda.schedules if name in (None, schedule.name)]

    async def _search(
        self, name: str
    ) -> tuple[builtins.list[tuple[str, Schedule]], RediqError | None]:
        """Return the schedules of that name, usually one, and why a queue could not be read."""
        check_name("name", name)
        queues = await self._queues_with(name)
        stored, failures = await try_each(queues, partial(self._named_in, name=name))
        found = [
            (queue, schedule)
            for queue in queues
            for schedule in stored.get(queue, ())
            if not is_removed(schedule)
        ]
        return found, first_failure(queues, failures) if failures else None

    async def _find(self, name: str) -> tuple[str, Schedule]:
        """Return a schedule of that name and its queue; raise `ScheduleNotFound` for none."""
        found, failure = await self._search(name)
        if not found:
            raise ScheduleNotFound(name) if failure is None else failure
        return found[0]


def _describe(queue: str, schedule: Schedule) -> ScheduleInfo:
    try:
        when = read_recurrence(schedule)
    except ConfigError:
        when = None
    try:
        task_type = open_envelope(schedule.template.envelope).type
    except PayloadError:
        task_type = UNREADABLE_TEXT
    return ScheduleInfo(
        name=schedule.name,
        queue=queue,
        type=task_type,
        when=when,
        description=UNREADABLE_TEXT if when is None else describe_schedule(when),
        paused=schedule.paused,
        next_run=instant_or_none(schedule.next_ms),
        last_run=instant_or_none(schedule.last_ms),
        last_task_id=f"{queue}/{schedule.last_id}" if schedule.last_id else None,
        owner=schedule.owner or None,
    )
