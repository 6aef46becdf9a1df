"""Schedules on their way to a store and back, declared by an app or added by an operator.

A store keeps the packed recurrence of a schedule and a template of its tasks. The first
tick is computed from the store's clock, like every later one.

A declared schedule that an operator removes is kept as a paused schedule whose template has the
type `REMOVED_TYPE`. So no worker declares it again, whenever it starts, and the stored format needs
no field for it. Nobody sees it in a list, and it goes when its app no longer declares it.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, cast

import attrs

from rediq_trio._errors import (
    AccessRefused,
    ConfigError,
    ConnectionLost,
    PayloadError,
    Unconfirmed,
)
from rediq_trio.spec.messages import NewTask, Schedule
from rediq_trio.store.port import Store
from rediq_trio.store.retrying import until_answered
from rediq_trio.tasks.for_each import try_each
from rediq_trio.tasks.ids import new_id
from rediq_trio.tasks.instants import instant
from rediq_trio.tasks.prepare import prepare
from rediq_trio.values.backoff import DEFAULT_BACKOFF
from rediq_trio.values.bounds import MAX_METADATA, PATIENCE, check_name, queue_of
from rediq_trio.values.schedule import Cron, Every, pack_recurrence, unpack_recurrence
from rediq_trio.values.task import Task
from rediq_trio.values.telemetry.sending import SentTask
from rediq_trio.wire.envelope import Envelope, open_envelope, pack_envelope, pack_value
from rediq_trio.wire.packing import UNPACK_ERRORS, pack, unpack

log = logging.getLogger("rediq_trio")

SCHEDULE_METADATA, TICK_METADATA = "rediq.schedule", "rediq.tick"
"""Metadata keys of a scheduled task: its schedule's name, and its tick in ISO 8601."""

REMOVED_TYPE = "rediq.removed_schedule"
"""The type in the template of a declared schedule that was removed at run time."""

_ONE_TIME_OPTIONS = ("id", "delay", "run_at", "depends_on")
"""Options that make no sense in a task that is repeated."""


@attrs.frozen
class ScheduleDeclaration:
    """One schedule, as an app declares it."""

    name: str
    when: Every | Cron
    task: Task[Any]
    keep: bool = False

    @property
    def queue(self) -> str:
        """The queue of its tasks, which also stores the schedule."""
        return self.task.queue


def pack_schedule(name: object, when: object, task: object, max_payload: int) -> Schedule:
    """Check and pack a schedule without a next tick; raise `ConfigError` or `PayloadError`."""
    name = check_name("name", name)
    if not isinstance(when, Every | Cron):
        raise ConfigError.of("when", when, "an Every or a Cron")
    if not isinstance(task, Task):
        raise ConfigError.of("task", task, "a Task, as TaskType.task(...) returns it")
    task = cast("Task[Any]", task)
    for option in _ONE_TIME_OPTIONS:
        if (value := getattr(task, option)) not in (None, ()):
            raise ConfigError.of(option, value, "left out in a scheduled task")
    for option in ("expires", "deadline"):
        if isinstance(value := getattr(task, option), dt.datetime):
            bound = "in seconds, from each tick on, in a scheduled task"
            raise ConfigError.of(option, value, bound)
    if len({*task.metadata, SCHEDULE_METADATA, TICK_METADATA}) > MAX_METADATA:
        bound = f"at most {MAX_METADATA - 2} entries"
        raise ConfigError.of("metadata", f"<{len(task.metadata)} entries>", bound)
    template = attrs.evolve(prepare(task, max_payload).new, id="")
    return Schedule(
        name, pack(pack_recurrence(when)), template, overlap_skip=when.overlap == "skip"
    )


def read_recurrence(schedule: Schedule) -> Every | Cron:
    """Return when a schedule ticks; raise `ConfigError` for what this version cannot read."""
    try:
        data = unpack(schedule.when)
    except UNPACK_ERRORS as error:
        raise ConfigError.of("when", schedule.when, "a schedule that can be decoded") from error
    if not isinstance(data, list):
        raise ConfigError.of("when", data, "a schedule that this version can read")
    return unpack_recurrence(cast("list[object]", data))


def make_scheduled_task(schedule: Schedule, tick_ms: int | None) -> NewTask:
    """Return the task of a tick, or of a trigger (None), from the template; raise `PayloadError`."""
    opened = open_envelope(schedule.template.envelope)
    metadata = {**opened.metadata, SCHEDULE_METADATA: schedule.name}
    if tick_ms is not None:
        metadata[TICK_METADATA] = instant(tick_ms).isoformat(timespec="milliseconds")
    return attrs.evolve(_packed_with(schedule.template, opened, metadata), id=new_id())


def _packed_with(task: NewTask, opened: Envelope, metadata: Mapping[str, str]) -> NewTask:
    envelope = pack_envelope(
        opened.type, opened.payload, opened.timeout, opened.backoff, metadata,
        opened.deadline_ms, opened.depends_on, max_retry_is_set=opened.max_retry_is_set,
    )  # fmt: skip
    return attrs.evolve(task, envelope=envelope)


def scheduled_to_send(queue: str, task: NewTask) -> SentTask:
    """Return the task of a schedule as middleware of `sending` sees it."""
    opened = open_envelope(task.envelope)
    return SentTask(f"{queue}/{task.id}", opened.type, queue_of(queue), dict(opened.metadata))


def with_metadata(task: NewTask, metadata: Mapping[str, str]) -> NewTask:
    """Return a task with other metadata; the task itself if they are what it has."""
    opened = open_envelope(task.envelope)
    return task if metadata == opened.metadata else _packed_with(task, opened, metadata)


def removed(schedule: Schedule) -> Schedule:
    """Return the placeholder for a declared schedule that is removed at run time."""
    envelope = pack_envelope(REMOVED_TYPE, pack_value({}), 1.0, DEFAULT_BACKOFF, {})
    return attrs.evolve(schedule, template=NewTask("", envelope), keep=False)


def is_removed(schedule: Schedule) -> bool:
    """Return whether a schedule is the placeholder for one that was removed at run time."""
    try:
        return open_envelope(schedule.template.envelope).type == REMOVED_TYPE
    except PayloadError:
        return False


async def declare(store: Store, queue: str, schedules: Iterable[Schedule]) -> None:
    """Declare schedules; each first tick is the next one by the store's clock.

    Raises `ConfigError`, and then none is declared, if the queue is partitioned and tasks
    have a unique key or a group, which could not be held to one partition.
    """
    schedules = tuple(schedules)
    keyed = [each.name for each in schedules if is_routed(each.template)]
    counted = (await store.partitions()).get(queue) if keyed else None
    if counted is not None and counted.count > 1:
        raise ConfigError(
            f"schedule {keyed[0]}: the queue {queue} is partitioned, and tasks with a unique key "
            "or a group cannot be scheduled there, as a tick is not routed to the key's "
            "partition: use a queue that is not partitioned"
        )
    now = (await store.agenda(queue, due=1)).now_ms
    unconfirmed: Unconfirmed | None = None
    for schedule in schedules:
        first = read_recurrence(schedule).next_ms(now) or 0
        try:
            await store.declare(queue, schedule=attrs.evolve(schedule, next_ms=first))
        except Unconfirmed as error:
            unconfirmed = error
    if unconfirmed is not None:
        raise unconfirmed


def is_routed(template: NewTask) -> bool:
    """Return whether tasks of a template are routed by a unique key or a group."""
    return bool(template.relations.unique or template.relations.group)


@attrs.frozen
class AppSchedules:
    """All schedules of an app, checked and packed, by their queues."""

    owner: str
    schedules: Mapping[str, Sequence[Schedule]]

    @classmethod
    def of(
        cls, owner: str, declarations: Iterable[ScheduleDeclaration], max_payload: int
    ) -> AppSchedules:
        """Check and pack the declarations of an app."""
        found: dict[str, list[Schedule]] = {}
        for each in declarations:
            packed = pack_schedule(each.name, each.when, each.task, max_payload)
            packed = attrs.evolve(packed, owner=owner, keep=each.keep)
            found.setdefault(each.queue, []).append(packed)
        return cls(owner, found)

    async def declare(self, store: Store, patience: float = PATIENCE) -> None:
        """Declare all schedules but those that were removed at run time.

        Lost calls are repeated for `patience` seconds. A queue that does not answer until then is
        left to the declarer.
        """

        async def declare_in(queue: str) -> None:
            await until_answered(partial(self._declare_in, store, queue), give_up_after=patience)

        _, failures = await try_each(sorted(self.schedules), declare_in)
        for queue, error in failures.items():
            if isinstance(error, AccessRefused) or not isinstance(error, ConnectionLost):
                raise error
            log.warning("the schedules of queue %s are not declared yet: %s", queue, error)

    async def _declare_in(self, store: Store, queue: str) -> None:
        stored = (await store.agenda(queue)).schedules
        removed_names = {schedule.name for schedule in stored if is_removed(schedule)}
        mine = [each for each in self.schedules[queue] if each.name not in removed_names]
        for schedule in self.schedules[queue]:
            if schedule.name in removed_names:
                log.info(
                    "schedule %s of queue %s was removed at run time, so it is not declared; "
                    "Schedules.resume undoes the removal", schedule.name, queue,
                )  # fmt: skip
        if mine:
            with suppress(Unconfirmed):  # a worker that finds it gone declares it again
                await declare(store, queue, mine)
