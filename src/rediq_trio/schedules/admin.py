"""Schedules: what an operator reads and changes at run time."""

from __future__ import annotations

import builtins
import datetime as dt
from typing import Any

import attrs

from rediq_trio._errors import ConfigError, PayloadError, QueueFull, ScheduleNotFound
from rediq_trio.schedules.declare import (
    declare,
    make_scheduled_task,
    pack_schedule,
    read_recurrence,
)
from rediq_trio.spec.messages import Answer, AnswerKind, Schedule
from rediq_trio.store.port import Store
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.tasks.task_info import UNREADABLE_TEXT, instant
from rediq_trio.values.bounds import check_name
from rediq_trio.values.schedule import Cron, Every, describe_schedule
from rediq_trio.values.task import Task
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

    def __init__(self, store: Store, max_payload: int) -> None:
        self._store = store
        self._max_payload = max_payload

    async def list(self) -> builtins.list[ScheduleInfo]:
        """Read all schedules, ordered by name."""
        found = [
            _describe(queue, schedule)
            for queue in await self._store.queues()
            for schedule in (await self._store.agenda(queue)).schedules
        ]
        return sorted(found, key=lambda info: (info.name, info.queue))

    async def get(self, name: str) -> ScheduleInfo:
        """Read one schedule; raise `ScheduleNotFound` when there is none of that name."""
        queue, schedule = (await self._find(name))[0]
        return _describe(queue, schedule)

    async def add(self, name: str, when: Every | Cron, task: Task[Any]) -> ScheduleInfo:
        """Add a schedule, or replace the one of that name in whichever queue it is.

        A replaced schedule in the same queue stays paused if it was. A schedule ticks while
        a worker serves the task's queue. Raises `ConfigError`, `PayloadError` or
        `PayloadTooLarge`, and then nothing was written. When cancelled, it may have been
        added.
        """
        schedule = pack_schedule(name, when, task, self._max_payload)
        await declare(self._store, task.queue, (schedule,))
        for queue in await self._store.queues():
            if queue != task.queue:
                await self._store.retract(queue, names=(name,))
        return await self.get(name)

    async def remove(self, name: str) -> None:
        """Remove a schedule; its tasks stay. Raises `ScheduleNotFound` if there is none.

        A schedule that an app declares comes back when the app is served again: pause it
        instead.
        """
        check_name("name", name)
        queues = await self._store.queues()
        gone = [await self._store.retract(queue, names=(name,)) for queue in queues]
        if not any(gone):
            raise ScheduleNotFound(name)

    async def pause(self, name: str) -> None:
        """Stop the ticks of a schedule until `resume`; raise `ScheduleNotFound` if there is none."""
        for queue, _ in await self._find(name):
            await self._store.suspend(queue, name=name)

    async def resume(self, name: str) -> None:
        """Resume a schedule from now on; ticks during the pause do not count as missed.

        Raises `ScheduleNotFound` if there is none of that name, and `ConfigError` if this
        version cannot read when it ticks.
        """
        for queue, schedule in await self._find(name):
            when = read_recurrence(schedule)
            now = (await self._store.agenda(queue, due=1)).now_ms
            await self._store.reinstate(queue, name=name, next_ms=when.next_ms(now) or 0)

    async def trigger(self, name: str) -> TaskHandle[Any]:
        """Enqueue one task of a schedule now, even while it is paused; its ticks do not change.

        If the unique key is taken, the handle is that of the task that holds it and has
        `created` False. Raises `ScheduleNotFound` if there is no such schedule, and
        `QueueFull`.
        """
        queue, schedule = (await self._find(name))[0]
        task = make_scheduled_task(schedule, None)
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

    async def _find(self, name: str) -> builtins.list[tuple[str, Schedule]]:
        """Return the schedules of that name, usually one; raise `ScheduleNotFound` for none."""
        check_name("name", name)
        found = [
            (queue, schedule)
            for queue in await self._store.queues()
            for schedule in (await self._store.agenda(queue)).schedules
            if schedule.name == name
        ]
        if not found:
            raise ScheduleNotFound(name)
        return found


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
        next_run=instant(schedule.next_ms) if schedule.next_ms else None,
        last_run=instant(schedule.last_ms) if schedule.last_ms else None,
        last_task_id=f"{queue}/{schedule.last_id}" if schedule.last_id else None,
        owner=schedule.owner or None,
    )
