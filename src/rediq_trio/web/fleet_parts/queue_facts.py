"""What is known of one queue beside its numbers: limits and who holds them, groups, schedules, cost.

Each is read anew after some seconds at the earliest, once for all who look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import attrs

from rediq_trio.observe.alerts import Alert
from rediq_trio.observe.scaling import read_scaling
from rediq_trio.observe.views import FleetView, QueueView
from rediq_trio.observe.words import count, counted, duration, shown
from rediq_trio.schedules.admin import ScheduleInfo
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import ANY_KEY
from rediq_trio.values.limits import KeyLimit, QueueLimits
from rediq_trio.values.observed.group import GroupInfo
from rediq_trio.values.task import TaskInfo, WorkerInfo
from rediq_trio.web.fleet_parts.queue_table import paused_words
from rediq_trio.web.fleet_parts.readings import readings_of
from rediq_trio.web.site.page import Visit

FACTS_FRESH, FACTS_KEPT = 5.0, 60.0
"""Seconds for which what changes often, and what hardly changes, counts."""
HOLDERS_READ = 200
"""Active tasks that are read to say who holds a limit."""
SAMPLED = 20
"""Tasks of a state that are read to say which types wait."""
GROUPS_SHOWN = 20
HOLDERS_SHOWN = 3
NO_LIMITS = QueueLimits()


@attrs.frozen(kw_only=True)
class LimitRow:
    """A limit, and the running tasks that it counts."""

    key: str | None
    """The limit key; None for the queue itself."""
    of_any: bool
    """Whether its limit is that of `*`, for keys without one of their own."""
    limit: KeyLimit
    running: int
    holders: tuple[TaskInfo, ...]
    """Some of those that run, those first that have run longest."""

    @property
    def full(self) -> bool:
        """Whether as many run as may."""
        return self.limit.concurrency is not None and self.running >= self.limit.concurrency

    @property
    def rate_words(self) -> str:
        """How many may start in which time; "" without a rate."""
        rate = self.limit.rate
        return "" if rate is None else f"{count(rate.count)} in {duration(rate.per)}"


@attrs.frozen(kw_only=True)
class QueueFacts:
    """What is known of a queue beside its numbers."""

    limits: QueueLimits = NO_LIMITS
    limit_rows: tuple[LimitRow, ...] = ()
    active_read: int = 0
    """Active tasks that were looked at for who holds the limits."""
    groups: tuple[GroupInfo, ...] = ()
    schedules: tuple[ScheduleInfo, ...] = ()
    workers: tuple[WorkerInfo, ...] = ()
    """Those that serve it, quiet ones too."""
    partitions: int = 1
    series_bytes: int | None = None
    desired: int | None = None
    """How many workers would be enough; None if it is not known."""
    sampled: int = 0
    """Pending tasks that were looked at, those first that will be claimed first."""
    lanes: tuple[tuple[str, int], ...] = ()
    """How many of those have which limit key, the one with the most first."""
    missing: tuple[str, ...] = ()
    """Types of tasks that wait, which no worker of the queue has a handler for."""


async def read_facts(visit: Visit, view: FleetView, queue: QueueView) -> QueueFacts:
    """Return what is known of a queue; what cannot be read now is left out."""
    readings, client, name = readings_of(visit), visit.shared.client, queue.name
    handle, away = client.queue(name), view.away is not None
    limits = (
        await readings.get(("limits", name), FACTS_FRESH, handle.limits, away=away) or NO_LIMITS
    )
    sample = await _sample(visit, view, queue, State.PENDING)
    lanes = Counter(info.limit_key for info in sample if info.limit_key)
    rows, looked = await _limit_rows(visit, view, queue, limits)
    groups: tuple[GroupInfo, ...] = ()
    if queue.stats.grouped:
        found = await readings.get(
            ("groups", name), FACTS_FRESH, lambda: handle.groups(limit=GROUPS_SHOWN), away=away
        )
        groups = found or ()
    schedules = await readings.get(("schedules",), 10.0, client.schedules().list, away=away) or []
    scaling = await readings.get(
        ("scaling", name), 30.0, lambda: read_scaling(client, name, queue.stats, view.workers), away=away
    )  # fmt: skip
    partitions = await readings.get(
        ("partitions", name), FACTS_KEPT, handle._reader.partitions, away=away
    )
    kept = await readings.get(("bytes", name), FACTS_KEPT, handle.series_bytes, away=away)
    serving = tuple(each for each in view.workers if name in each.queues)
    return QueueFacts(
        limits=limits,
        limit_rows=rows,
        active_read=looked,
        groups=groups,
        schedules=tuple(each for each in schedules if each.queue == name),
        workers=serving,
        partitions=len(partitions or (name,)),
        series_bytes=kept,
        desired=None if scaling is None or not serving else scaling.desired,
        sampled=len(sample),
        lanes=tuple(lanes.most_common()),
        missing=await _missing_types(visit, view, queue, serving, sample),
    )


async def _limit_rows(
    visit: Visit, view: FleetView, queue: QueueView, limits: QueueLimits
) -> tuple[tuple[LimitRow, ...], int]:
    if limits.concurrency is None and limits.rate is None and not limits.keys:
        return (), 0
    handle = visit.shared.client.queue(queue.name)
    running = await readings_of(visit).get(
        ("active", queue.name),
        FACTS_FRESH,
        lambda: handle.tasks(State.ACTIVE, limit=HOLDERS_READ),
        away=view.away is not None,
    )
    return limit_rows(limits, running or [], queue.stats.active), len(running or [])


def limit_rows(
    limits: QueueLimits, running: Sequence[TaskInfo], active: int
) -> tuple[LimitRow, ...]:
    """Return the limits of a queue with those who hold them: the queue's own, each key's, and other keys'."""
    ordered = sorted(running, key=lambda info: (info.started_at or info.created_at, info.id))
    rows: list[LimitRow] = []
    whole = KeyLimit(concurrency=limits.concurrency, rate=limits.rate)
    if whole != KeyLimit():
        rows.append(LimitRow(
            key=None, of_any=False, limit=whole, running=active, holders=tuple(ordered[:HOLDERS_SHOWN])
        ))  # fmt: skip
    named = {key: limit for key, limit in limits.keys.items() if key != ANY_KEY}
    rows += [_key_row(key, limit, ordered) for key, limit in named.items()]
    if (other := limits.keys.get(ANY_KEY)) is not None:
        keys = sorted({info.limit_key for info in ordered if info.limit_key} - set(named))
        rows += [_key_row(key, other, ordered, of_any=True) for key in keys]
        if not keys:
            rows.append(_key_row(ANY_KEY, other, (), of_any=True))
    return tuple(rows)


def _key_row(
    key: str, limit: KeyLimit, running: Sequence[TaskInfo], *, of_any: bool = False
) -> LimitRow:
    some = [info for info in running if info.limit_key == key]
    holders = tuple(some[:HOLDERS_SHOWN])
    return LimitRow(key=key, of_any=of_any, limit=limit, running=len(some), holders=holders)


async def _sample(
    visit: Visit, view: FleetView, queue: QueueView, state: State
) -> Sequence[TaskInfo]:
    """Return some tasks of a state, those first that are next."""
    if not getattr(queue.stats, state.value):
        return ()
    handle = visit.shared.client.queue(queue.name)
    found = await readings_of(visit).get(
        ("sample", queue.name, state),
        10.0,
        lambda: handle.tasks(state, limit=SAMPLED),
        away=view.away is not None,
    )
    return found or ()


async def _missing_types(
    visit: Visit,
    view: FleetView,
    queue: QueueView,
    serving: Sequence[WorkerInfo],
    pending: Sequence[TaskInfo],
) -> tuple[str, ...]:
    """Return types that wait and that none of the workers has, of a sample of the tasks that wait."""
    if not serving or any(each.types is None for each in serving):
        return ()
    known = {name for each in serving for name in each.types or ()}
    waits = (*pending, *await _sample(visit, view, queue, State.SCHEDULED))
    return tuple(dict.fromkeys(
        info.type for info in waits if info.type not in known and not info.members
    ))  # fmt: skip


def why_of(view: FleetView, queue: QueueView, facts: QueueFacts, alerts: Sequence[Alert]) -> str:
    """Return how a queue is and why, in a sentence or two: what holds its tasks first."""
    stats = queue.stats
    rules = {each.rule: each for each in alerts}
    if stats.paused:
        words = paused_words(queue, view.at, 300)
        return f"{words[:1].upper()}{words[1:]}. Nothing is claimed until it is resumed; what runs goes on."
    if not queue.workers and queue.waiting:
        quiet = [each.id for each in facts.workers if each.state == "quiet"]
        some = counted(queue.waiting, "task waits", "tasks wait")
        if quiet:
            names = shown(", ".join(quiet[:3]))
            return f"{some}, and {names}, which would serve it, claims nothing: it is quiet."
        start = f"rediq run module:app --queues {queue.name}"
        return f"{some}, and no live worker serves it. Start one: {start}"
    if facts.missing:
        types = ", ".join(shown(each, 60) for each in facts.missing[:3])
        return (
            f"No worker of it has a handler for {types}: such tasks are handed back, and die in the end. "
            "Deploy it."
        )
    held = [row for row in facts.limit_rows if row.full]
    if stats.pending and held:
        return _held(queue, held)
    if stats.pending and (lane := _lane(facts)):
        return lane
    rated = [row for row in facts.limit_rows if row.limit.rate is not None and row.key is None]
    if stats.pending and rated and "late" in rules:
        age = duration(stats.oldest_pending_age)
        some = counted(stats.pending, "pending task")
        return f"Starts are limited to {rated[0].rate_words}: the oldest of {some} waits for {age}."
    serving = [each for each in facts.workers if each.state != "quiet"]
    slots = sum(each.concurrency for each in serving)
    if stats.pending and slots and sum(each.running for each in serving) >= slots:
        some = counted(stats.pending, "task waits", "tasks wait")
        return f"All slots of its workers, {count(slots)}, are taken, and {some} for one."
    for name in ("late", "failing", "type-failing", "dead-growing", "new-failure", "missed-tick"):
        if name in rules:
            text = shown(rules[name].text)
            return text[:1].upper() + text[1:].rstrip(".") + "."
    if not queue.waiting and not stats.active:
        return "Nothing waits, and nothing runs."
    return "It works as it should."


def _lane(facts: QueueFacts) -> str:
    """Return what is said if most of the tasks that are next have one limit key, and it has a limit."""
    if not facts.lanes or facts.lanes[0][1] * 2 < facts.sampled:
        return ""
    key, number = facts.lanes[0]
    row = next((each for each in facts.limit_rows if each.key == key), None)
    if row is None:
        return ""
    bound = [f"{count(row.limit.concurrency)} at once"] if row.limit.concurrency else []
    bound += (
        [f"{count(row.limit.rate.count)} starts in {duration(row.limit.rate.per)}"]
        if row.limit.rate
        else []
    )
    of = counted(facts.sampled, "task that is next has", "tasks that are next have")
    some = "All" if number == facts.sampled else count(number)
    return f"{some} of {of} the limit key {shown(key, 60)}, which is limited to {', '.join(bound)}."


def _held(queue: QueueView, held: Sequence[LimitRow]) -> str:
    row = held[0]
    most = row.limit.concurrency or 0
    what = "the queue" if row.key is None else f"the limit key {shown(row.key, 60)}"
    oldest = row.holders[0] if row.holders else None
    since = ""
    if oldest is not None and oldest.started_at is not None:
        age = (queue.at - oldest.started_at).total_seconds()
        since = f", the oldest for {duration(max(0.0, age))}"
    more = (
        f"; {counted(len(held) - 1, 'other limit')} {'is' if len(held) == 2 else 'are'} full too"
        if len(held) > 1
        else ""
    )
    return (
        f"{counted(most, 'task runs', 'tasks run')}, as many as {what} may{since}{more}. "
        f"{counted(queue.stats.pending, 'task')} wait."
    )
