"""How schedules do: each with the last task that it enqueued, and one sentence about it.

A schedule keeps its last tick and its last task. What became of the ticks before is known from their
tasks, as long as those are kept: each names its schedule and its tick in its metadata.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Collection, Mapping, Sequence
from functools import partial

import attrs
import trio

from rediq_trio.client import Client
from rediq_trio.observe.words import duration, relative, shown
from rediq_trio.schedules.admin import ScheduleInfo
from rediq_trio.schedules.declare import SCHEDULE_METADATA, TICK_METADATA
from rediq_trio.spec.lifecycle import State
from rediq_trio.store.port import BATCH
from rediq_trio.tasks.for_each import try_each
from rediq_trio.tasks.ids import split_id
from rediq_trio.tasks.task_info import make_task_info
from rediq_trio.values.bounds import MISSED_AFTER
from rediq_trio.values.chance import utc_now
from rediq_trio.values.task import TaskInfo

LATE_AFTER = 10.0
"""Seconds after its tick from which on a task that has not begun is late."""
TICKS_KEPT = 60
"""Ticks of a schedule that are read, at most."""
NEWEST_MAX = 100
"""Tasks of each state that are looked at for the ticks of all schedules of a queue."""
TICKS_WITHIN = 0.2
"""Seconds for which each state is searched for the ticks of a schedule."""
LAST_ERROR_SHOWN = 120
"""Characters of an error that a sentence shows."""
_TICK_STATES = (
    State.COMPLETED, State.DEAD, State.CANCELLED, State.ACTIVE, State.PENDING, State.RETRY,
    State.SCHEDULED, State.BLOCKED,
)  # fmt: skip


class Condition(enum.StrEnum):
    """How a schedule is: the worst of what there is to say about it."""

    WELL = "well"
    OFF = "off"
    """Paused."""
    WARNING = "warning"
    BAD = "bad"


@attrs.frozen(kw_only=True)
class SeenSchedule:
    """One schedule, with the last task that it enqueued."""

    info: ScheduleInfo
    at: dt.datetime
    """When it was read, by this process's clock."""
    last: TaskInfo | None
    """The last task that a tick or a trigger enqueued; None if there is none, or it is gone."""
    served: bool = True
    """Whether a worker serves its queue."""

    @property
    def overdue(self) -> float:
        """Seconds for which its tick is overdue; 0 unless that is a minute or more."""
        if self.info.paused or self.info.next_run is None:
            return 0.0
        late = (self.at - self.info.next_run).total_seconds()
        return late if late >= MISSED_AFTER else 0.0

    @property
    def late(self) -> float | None:
        """Seconds from its last tick to the start of its task, or until now; None if not known."""
        return None if self.last is None else lateness_of(self.last, self.at)

    @property
    def condition(self) -> Condition:
        """How it is."""
        return self._story[0]

    @property
    def said(self) -> str:
        """A sentence about it, without its name and without a full stop."""
        return self._story[1]

    @property
    def state(self) -> State | None:
        """The state of its last task, where the sentence is about that."""
        return self.last.state if self.last is not None and self._story[2] else None

    @property
    def _story(self) -> tuple[Condition, str, bool]:
        """Return how it is, the sentence, and whether that is about its last task."""
        info = self.info
        if info.when is None:
            words = "this version cannot read when it ticks: a worker of a newer version can"
            return Condition.BAD, words, False
        if info.paused:
            return Condition.OFF, "it is paused, and does not tick", False
        if self.overdue:
            whose = "a worker ticks it" if self.served else f"no worker serves {shown(info.queue)}"
            words = f"its tick was due {duration(self.overdue)} ago: {whose}"
            if self.served:
                words = f"its tick was due {duration(self.overdue)} ago, and no worker made it"
            return Condition.BAD, words, False
        if self.last is None:
            if info.last_task_id is not None:
                return Condition.WELL, "its last task is gone: it was kept for a while only", False
            return Condition.WELL, "it has not ticked yet", False
        return (*self._of_last(self.last), True)

    def _of_last(self, last: TaskInfo) -> tuple[Condition, str]:
        late = self.late or 0.0
        if last.state is State.DEAD:
            first = (last.error or "").partition("\n")[0]
            why = f": {shown(first, LAST_ERROR_SHOWN)}" if first else ""
            return Condition.BAD, f"its last task is dead{why}"
        if last.state is State.CANCELLED:
            return Condition.WARNING, "its last task was cancelled"
        if last.state is State.RETRY:
            return (
                Condition.WARNING,
                f"its last task failed, and tries again {relative(last.run_at, self.at)}",
            )
        if last.state is State.ACTIVE:
            return self._of_running(last)
        if last.state is State.COMPLETED:
            return Condition.WELL, "done"
        if late >= LATE_AFTER:
            why = "" if self.served else f": no worker serves {shown(self.info.queue)}"
            level = Condition.WARNING if self.served else Condition.BAD
            return level, f"its last task has waited for {duration(late)}{why}"
        return Condition.WELL, "its last task waits"

    def _of_running(self, last: TaskInfo) -> tuple[Condition, str]:
        since = self.at - last.started_at if last.started_at else dt.timedelta(0)
        words = f"runs for {duration(max(0.0, since.total_seconds()))}"
        info = self.info
        # A tick that was due while it ran: skipped, or made beside it.
        if info.when is not None and last.started_at is not None:
            due = info.when.next_after(last.started_at)
            if due <= self.at and info.when.overlap == "skip":
                return Condition.WARNING, f"{words}: ticks are skipped until it ends"
        return Condition.WELL, words


def tick_of(task: TaskInfo) -> dt.datetime | None:
    """Return the tick for which a task was enqueued; None for one that a trigger made."""
    try:
        tick = dt.datetime.fromisoformat(task.metadata.get(TICK_METADATA, ""))
    except ValueError:
        return None
    return tick if tick.tzinfo is not None else None


def lateness_of(task: TaskInfo, now: dt.datetime) -> float | None:
    """Return the seconds from a task's tick to the start of its first attempt, or until now.

    None for a task that no tick made, and for one that ended without having begun.
    """
    tick = tick_of(task)
    if tick is None:
        return None
    begun = task.attempts[0].started_at if task.attempts else task.started_at
    if begun is None and task.finished_at is not None:
        return None
    return max(0.0, ((begun or now) - tick).total_seconds())


async def read_schedules(
    client: Client, served: Collection[str], names: Collection[str] | None = None
) -> list[SeenSchedule]:
    """Read all schedules, or those of these names, with their last tasks, ordered by name.

    `served` has the queues that a worker serves. A call for each queue with schedules, and one for
    their last tasks; a task that cannot be read counts as gone. Raises as `Schedules.list` does.
    """
    at = utc_now()
    found = [
        each for each in await client.schedules().list() if names is None or each.name in names
    ]
    by_partition: dict[str, list[str]] = {}
    for info in found:
        if info.last_task_id is not None:
            partition, local_id = split_id(info.last_task_id)
            by_partition.setdefault(partition, []).append(local_id)
    read, _ = await try_each(list(by_partition), partial(_read_tasks, client, by_partition))
    tasks = {task.id: task for some in read.values() for task in some}
    return [
        SeenSchedule(
            info=info,
            at=at,
            last=tasks.get(info.last_task_id or ""),
            served=info.queue in served,
        )
        for info in found
    ]


async def _read_tasks(
    client: Client, ids: Mapping[str, Sequence[str]], partition: str
) -> list[TaskInfo]:
    found: list[TaskInfo] = []
    for first in range(0, len(ids[partition]), BATCH):
        some = ids[partition][first : first + BATCH]
        records = await client._patient_store.get(partition, some, skip_newer=True)
        found += [make_task_info(partition, record) for record in records if record is not None]
    return found


@attrs.frozen(kw_only=True)
class KeptTicks:
    """The last tasks of a schedule that are kept."""

    tasks: tuple[TaskInfo, ...]
    """The newest first, 60 at most."""
    whole: bool
    """Whether all tasks of its queue were looked at that could be of it."""

    def outcomes(self, info: ScheduleInfo) -> list[str]:
        """Return what became of its last ticks, the oldest first: states, or "none" without a task.

        A tick that has no task was missed or skipped, or its task was removed. Those before the oldest
        completed task that is kept are left out: theirs may have been removed when their time was over.
        """
        by_tick = {tick: task for task in self.tasks if (tick := tick_of(task)) is not None}
        done = [tick for tick, task in by_tick.items() if task.state is State.COMPLETED]
        ticks = sorted(by_tick)
        if not self.whole or info.when is None or not done:
            return [by_tick[tick].state.value for tick in ticks[-TICKS_KEPT:]]
        found = [by_tick[tick].state.value for tick in ticks if tick < min(done)]
        at, left = min(done), 2 * TICKS_KEPT
        for tick in (each for each in ticks if each >= min(done)):
            while at < tick and left:
                found.append("none")
                at, left = info.when.next_after(at), left - 1
            found.append(by_tick[tick].state.value)
            at = info.when.next_after(tick)
        return found[-TICKS_KEPT:]

    def count(self, *states: State) -> int:
        """Return how many are in these states."""
        return sum(task.state in states for task in self.tasks)

    @property
    def at_once(self) -> int:
        """How many of them run now."""
        return self.count(State.ACTIVE)


async def read_newest(client: Client, queue: str) -> dict[str, KeptTicks]:
    """Read the newest tasks of a queue; return those of its schedules, by the schedules' names.

    A call for each state, of `NEWEST_MAX` tasks at most: what they do not reach is left out.
    """
    found: dict[str, list[TaskInfo]] = {}
    whole = True
    for state in _TICK_STATES:
        some = await client.queue(queue).tasks(state, limit=NEWEST_MAX, newest=True)
        whole = whole and len(some) < NEWEST_MAX
        for task in some:
            if name := task.metadata.get(SCHEDULE_METADATA):
                found.setdefault(name, []).append(task)
    return {name: _ticks_of(tasks, whole=whole) for name, tasks in found.items()}


def _ticks_of(tasks: list[TaskInfo], *, whole: bool) -> KeptTicks:
    tasks.sort(key=lambda task: (tick_of(task) or task.created_at, task.created_at), reverse=True)
    return KeptTicks(tasks=tuple(tasks[:TICKS_KEPT]), whole=whole)


async def read_ticks(client: Client, info: ScheduleInfo) -> KeptTicks:
    """Read the last tasks of a schedule that are kept, at most 60.

    One state after another is searched from the newest, for `TICKS_WITHIN` seconds each.
    """
    found: list[TaskInfo] = []
    whole = True
    for state in _TICK_STATES:
        search = client.queue(info.queue).find(
            state, type=info.type, metadata={SCHEDULE_METADATA: info.name}
        )
        with trio.move_on_after(TICKS_WITHIN) as scope:
            for _ in range(TICKS_KEPT):
                try:
                    found.append(await anext(search))
                except StopAsyncIteration:
                    break
        whole = whole and not scope.cancelled_caught
    return _ticks_of(found, whole=whole)
