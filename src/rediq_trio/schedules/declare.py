"""What an app or an operator schedules, on its way to a store and back.

A store keeps of a schedule when it ticks, packed, and a template of its tasks. The
first tick is reckoned from the store's clock, as every later one is.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, cast

import attrs
import trio

from rediq_trio._errors import ConfigError, ConnectionLost, Unconfirmed
from rediq_trio.spec.records import NewTask, Schedule
from rediq_trio.store.port import Store
from rediq_trio.tasks.ids import new_id
from rediq_trio.tasks.prepare import prepare
from rediq_trio.tasks.task_info import instant
from rediq_trio.values.bounds import MAX_METADATA, check_name
from rediq_trio.values.schedule import Cron, Every, pack_when, read_when
from rediq_trio.values.task import Task
from rediq_trio.wire.envelope import open_envelope, pack_envelope
from rediq_trio.wire.packing import UNREADABLE, pack, unpack

SCHEDULE, TICK = "rediq.schedule", "rediq.tick"
"""The metadata of a scheduled task: its schedule's name, and its tick as ISO 8601 has it."""

INSIST_FOR = 15.0
"""Seconds for which a worker that begins tries again to declare its app's schedules."""

_ONCE_ONLY = ("id", "delay", "run_at", "depends_on")
"""Options that make no sense in a task that comes again and again."""


@attrs.frozen
class Entry:
    """One schedule as it is declared in code."""

    name: str
    when: Every | Cron
    task: Task[Any]
    keep: bool = False

    @property
    def queue(self) -> str:
        """The schedule lives where its tasks do."""
        return self.task.queue


def check_entry(name: object, when: object, task: object, max_payload: int) -> Schedule:
    """Check and pack a schedule that expects no tick yet; raise `ConfigError` or `PayloadError`."""
    name = check_name("name", name)
    if not isinstance(when, Every | Cron):
        raise ConfigError.of("when", when, "an Every or a Cron")
    if not isinstance(task, Task):
        raise ConfigError.of("task", task, "a Task: what TaskType.task(...) gives")
    task = cast("Task[Any]", task)
    for option in _ONCE_ONLY:
        if (value := getattr(task, option)) not in (None, ()):
            raise ConfigError.of(option, value, "left out in a scheduled task")
    for option in ("expires", "deadline"):
        if isinstance(value := getattr(task, option), dt.datetime):
            raise ConfigError.of(option, value, "in seconds, from each tick on, in a scheduled task")
    if len({*task.metadata, SCHEDULE, TICK}) > MAX_METADATA:
        most = MAX_METADATA - 2
        raise ConfigError.of("metadata", f"<{len(task.metadata)} entries>", f"at most {most} entries")
    template = attrs.evolve(prepare(task, max_payload).new, id="")
    return Schedule(name, pack(pack_when(when)), template, overlap_skip=when.overlap == "skip")


def read_times(schedule: Schedule) -> Every | Cron:
    """Say when a schedule ticks; raise `ConfigError` for what this version cannot read."""
    try:
        data = unpack(schedule.when)
    except UNREADABLE as error:
        raise ConfigError.of("when", schedule.when, "a schedule that can be decoded") from error
    if not isinstance(data, list):
        raise ConfigError.of("when", data, "a schedule that this version can read")
    return read_when(cast("list[object]", data))


def make_task(schedule: Schedule, tick_ms: int | None) -> NewTask:
    """Make the task of a tick, or of a trigger, from the template; raise `PayloadError`."""
    carried = open_envelope(schedule.template.envelope)
    metadata = {**carried.metadata, SCHEDULE: schedule.name}
    if tick_ms is not None:
        metadata[TICK] = instant(tick_ms).isoformat(timespec="milliseconds")
    envelope = pack_envelope(
        carried.type, carried.payload, carried.timeout, carried.backoff, metadata,
        carried.deadline_ms, carried.depends_on,
    )  # fmt: skip
    return attrs.evolve(schedule.template, id=new_id(), envelope=envelope)


async def declare(store: Store, queue: str, schedules: Iterable[Schedule]) -> None:
    """Declare schedules, whose first ticks are the next ones by the store's clock.

    Raises `ConfigError`, and none is declared, where a partitioned queue would make of
    one key, or one group, two.
    """
    schedules = tuple(schedules)
    keyed = [each.name for each in schedules if is_routed(each.template)]
    counted = (await store.partitions()).get(queue) if keyed else None
    if counted is not None and counted.count > 1:
        raise ConfigError(
            f"schedule {keyed[0]}: the queue {queue} is partitioned, and its tasks have a unique key "
            "or a group, which lie where these are and not where a tick comes in: give the "
            "schedule a queue that is not partitioned"
        )
    now = (await store.agenda(queue, due=1)).now_ms
    short: Unconfirmed | None = None
    for schedule in schedules:
        first = read_times(schedule).next_ms(now) or 0
        try:
            await store.declare(queue, schedule=attrs.evolve(schedule, next_ms=first))
        except Unconfirmed as error:
            short = error
    if short is not None:
        raise short


def is_routed(template: NewTask) -> bool:
    """Say whether tasks made of a template lie where their unique key or their group does."""
    return bool(template.relations.unique or template.relations.group)


@attrs.frozen
class Timetable:
    """All schedules of an app, checked and packed, by their queues."""

    owner: str
    schedules: Mapping[str, tuple[Schedule, ...]]

    @classmethod
    def of(cls, owner: str, entries: Iterable[Entry], max_payload: int) -> Timetable:
        """Check and pack what an app declares."""
        found: dict[str, tuple[Schedule, ...]] = {}
        for entry in entries:
            packed = check_entry(entry.name, entry.when, entry.task, max_payload)
            packed = attrs.evolve(packed, owner=owner, keep=entry.keep)
            found[entry.queue] = (*found.get(entry.queue, ()), packed)
        return cls(owner, found)

    async def post(self, store: Store, queues: Iterable[str]) -> None:
        """Declare them all; remove, there and in `queues`, what the owner declares no more.

        Goes on for a while when the connection is lost: all of it may be done twice.
        """
        give_up = trio.current_time() + INSIST_FOR
        for queue in sorted({*self.schedules, *queues}):
            while True:
                try:
                    await self._post_in(store, queue)
                    break
                except ConnectionLost:
                    if trio.current_time() > give_up:
                        raise
                    await trio.sleep(random.uniform(0.05, 0.5))

    async def _post_in(self, store: Store, queue: str) -> None:
        mine = self.schedules.get(queue, ())
        names = [schedule.name for schedule in mine]
        with suppress(Unconfirmed):  # the next start removes them again
            await store.retract_others(queue, owner=self.owner, names=names)
        if mine:
            with suppress(Unconfirmed):  # the next start declares it again
                await declare(store, queue, mine)
