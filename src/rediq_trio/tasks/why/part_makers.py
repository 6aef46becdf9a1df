"""The parts of a `Why` that are about its task, its queue's limits and who is before it.

Each function returns the parts of one sort, all true at the instant of the one read of the queue.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import attrs

from rediq_trio.spec.groups import DEFAULT_RULE
from rediq_trio.spec.lifecycle import WAITING, State
from rediq_trio.spec.order.lanes import free_at
from rediq_trio.spec.records import Record
from rediq_trio.store.reads.situation import LimitUse, Situation
from rediq_trio.tasks.described_info import id_of
from rediq_trio.tasks.instants import instant, instant_or_none
from rediq_trio.tasks.pause_note import PauseNote, read_pause_note
from rediq_trio.tasks.task_info import UNREADABLE_TEXT
from rediq_trio.values.observed.why import WhyKind, WhyPart
from rediq_trio.values.task import TaskInfo
from rediq_trio.values.words import counted, duration, ordinal, shown
from rediq_trio.wire.encrypted_error import shown_error

QUOTED_MAX = 200
"""Characters of an error or a reason that a clause quotes."""
NAMED_TASKS_MAX = 5
"""Maximum tasks that a clause names."""


@attrs.frozen
class PartMaker:
    """Makes parts that were true at one instant."""

    now_ms: int

    def make(self, kind: WhyKind, sentence: str, **data: Any) -> WhyPart:
        """Return a part."""
        return WhyPart(
            kind=kind,
            sentence=sentence,
            data=MappingProxyType(data),
            instant=instant(self.now_ms),
        )

    def ago(self, at_ms: int) -> str:
        """Return for how long something has been so, in words."""
        return duration(max(0, self.now_ms - at_ms) / 1000)

    def ahead(self, at_ms: int) -> str:
        """Return how long it is until an instant, in words."""
        return duration(max(0, at_ms - self.now_ms) / 1000)


def own_parts(partition: str, found: Situation, info: TaskInfo | None) -> Iterator[WhyPart]:
    """Return what the one read of the task's queue says."""
    maker = PartMaker(found.now_ms)
    if found.state in WAITING and found.paused:
        yield _paused(maker, found)
    if found.description is None or info is None:
        text = (
            f"a newer rediq-trio wrote it (format {found.newer}): upgrade this process to know more"
        )
        yield maker.make(WhyKind.NEWER, text, format=found.newer, state=found.state)
        return
    record = found.description.record
    yield from _state_parts(maker, partition, found, record)
    yield from _end_parts(maker, record, info)
    if record.state is State.PENDING:
        yield from _limit_parts(maker, found.whole, None)
        if record.limit_key:
            yield from _limit_parts(maker, found.lane, record.limit_key)
        yield from _position_parts(maker, found, record)


def _paused(maker: PartMaker, found: Situation) -> WhyPart:
    note = read_pause_note(found.pause_note) or PauseNote(UNREADABLE_TEXT)
    text = "the queue is paused"
    if note.by:
        text += f" by {shown(note.by, QUOTED_MAX)}"
    if found.paused_since_ms:
        text += f" for {maker.ago(found.paused_since_ms)}"
    if note.reason:
        text += f": {shown(note.reason, QUOTED_MAX)}"
    since = instant_or_none(found.paused_since_ms)
    return maker.make(WhyKind.PAUSED, text, by=note.by, reason=note.reason, since=since)


def _state_parts(
    maker: PartMaker, partition: str, found: Situation, record: Record
) -> Iterator[WhyPart]:
    match record.state:
        case State.ACTIVE:
            yield _running(maker, record)
            if record.cancel:
                text = "someone asked to cancel it, and its worker has to stop it"
                yield maker.make(WhyKind.CANCELLING, text)
        case State.BLOCKED:
            yield _dependencies(maker, partition, found, record)
        case State.GROUPED:
            yield _group(maker, found)
        case State.RETRY | State.SCHEDULED:
            yield _due_later(maker, record)
        case State.COMPLETED | State.DEAD | State.CANCELLED:
            yield _ended(maker, record)
        case State.PENDING:
            pass


def _running(maker: PartMaker, record: Record) -> WhyPart:
    data = {
        "worker": record.worker,
        "since": instant(record.started_ms),
        "lease_until": instant(record.lease_ms),
        "attempt": record.attempt,
        "attempts": record.max_retry + 1,
    }
    worker = shown(record.worker, QUOTED_MAX)
    if record.lease_ms <= maker.now_ms:
        text = (
            f"the lease of worker {worker} ran out {maker.ago(record.lease_ms)} ago, and it is delivered "
            "again as soon as a worker of the queue sees that"
        )
        return maker.make(WhyKind.LEASE_LAPSED, text, **data)
    text = (
        f"it runs on worker {worker} for {maker.ago(record.started_ms)}, attempt {record.attempt:,} of "
        f"{record.max_retry + 1:,}, with a lease for {maker.ahead(record.lease_ms)} more"
    )
    return maker.make(WhyKind.RUNNING, text, **data)


def _dependencies(maker: PartMaker, partition: str, found: Situation, record: Record) -> WhyPart:
    assert found.description is not None
    tasks = tuple((id_of(partition, ref), state) for ref, state in found.description.needs)
    named = [f"{each} ({state})" if state else each for each, state in tasks[:NAMED_TASKS_MAX]]
    more = record.waits - len(named)
    text = f"it waits for {counted(record.waits, 'task')}: {', '.join(named)}"
    text += f" and {more:,} more" if more > 0 else ""
    return maker.make(WhyKind.DEPENDENCIES, text, waits=record.waits, tasks=tasks)


def _group(maker: PartMaker, found: Situation) -> WhyPart:
    group = found.group
    assert group is not None
    most = (group.rule or DEFAULT_RULE).max_size
    text = f"it is in the group {shown(group.name)} with {counted(group.size, 'task')}, which becomes a batch"
    if group.due_ms <= maker.now_ms:
        text += " as soon as a worker of the queue makes it"
    else:
        text += f" in {maker.ahead(group.due_ms)}"
        if group.rule is not None:
            text += f", or when {most - group.size:,} more come"
    return maker.make(
        WhyKind.GROUP,
        text,
        group=group.name,
        size=group.size,
        max_size=most,
        batch_at=instant_or_none(group.due_ms),
    )


def _due_later(maker: PartMaker, record: Record) -> WhyPart:
    run_at = instant(record.run_ms)
    if record.run_ms > maker.now_ms:
        due = f"in {maker.ahead(record.run_ms)}"
    else:
        due = f"since {maker.ago(record.run_ms)}, and is ready as soon as a worker of the queue sees that"
    if record.state is State.SCHEDULED:
        return maker.make(WhyKind.SCHEDULED, f"it is due {due}", run_at=run_at)
    error = f", after {shown(shown_error(record.error), QUOTED_MAX)}" if record.error else ""
    text = f"its retry {record.attempt:,} of {record.max_retry:,} is due {due}{error}"
    return maker.make(
        WhyKind.RETRY,
        text,
        retry=record.attempt,
        max_retry=record.max_retry,
        run_at=run_at,
        error=shown_error(record.error) or None,
    )


def _ended(maker: PartMaker, record: Record) -> WhyPart:
    finished, ago = instant(record.finished_ms), maker.ago(record.finished_ms)
    kept_until = instant_or_none(record.purge_ms)
    if record.state is State.COMPLETED:
        text = f"it completed {ago} ago on worker {shown(record.worker, QUOTED_MAX)}"
        return maker.make(
            WhyKind.COMPLETED,
            text,
            finished_at=finished,
            worker=record.worker,
            kept_until=kept_until,
        )
    if record.state is State.CANCELLED:
        text = f"it was cancelled {ago} ago"
        return maker.make(WhyKind.CANCELLED, text, finished_at=finished, kept_until=kept_until)
    attempts = record.max_retry + 1
    text = f"it died {ago} ago after {record.attempt:,} of {counted(attempts, 'attempt')}"
    return maker.make(
        WhyKind.DEAD,
        f"{text}: {shown(shown_error(record.error), QUOTED_MAX)}",
        finished_at=finished,
        attempt=record.attempt,
        attempts=attempts,
        error=shown_error(record.error) or None,
    )


def _end_parts(maker: PartMaker, record: Record, info: TaskInfo) -> Iterator[WhyPart]:
    """Return what ends the wait, or the attempt, by time."""
    if record.state in WAITING and record.expires_ms and info.deadline != info.expires:
        if record.expires_ms > maker.now_ms:
            text = f"it is dead in {maker.ahead(record.expires_ms)} unless an attempt starts before"
        else:
            text = f"it expired {maker.ago(record.expires_ms)} ago, and will not start"
        yield maker.make(WhyKind.EXPIRES, text, expires=info.expires)
    if info.deadline is not None and not record.terminal:
        apart = (info.deadline - instant(maker.now_ms)).total_seconds()
        text = f"its deadline is in {duration(apart)}" if apart > 0 else (
            f"its deadline was {duration(-apart)} ago"
        )  # fmt: skip
        yield maker.make(WhyKind.DEADLINE, text, deadline=info.deadline)


def _limit_parts(maker: PartMaker, use: LimitUse, key: str | None) -> Iterator[WhyPart]:
    whose = "the queue" if key is None else f"the limit key {shown(key)}"
    if use.is_held:
        text = f"{use.running:,} of {use.limit.concurrency:,} tasks of {whose} run"
        text += f", the oldest for {maker.ago(use.oldest_ms)}" if use.oldest_ms else ""
        yield maker.make(
            WhyKind.LIMIT,
            text,
            limit_key=key,
            running=use.running,
            concurrency=use.limit.concurrency,
            oldest_since=instant_or_none(use.oldest_ms),
        )
    start_ms = free_at(use.limit, use.arrival_us)
    if start_ms > maker.now_ms:
        yield maker.make(
            WhyKind.RATE,
            f"the rate of {whose} allows the next start in {maker.ahead(start_ms)}",
            limit_key=key,
            next_start=instant(start_ms),
            count=use.limit.count,
            period=use.limit.period_ms / 1000,
        )


def _position_parts(maker: PartMaker, found: Situation, record: Record) -> Iterator[WhyPart]:
    standing, key = found.standing, record.limit_key
    if standing.newer_head:
        yield maker.make(
            WhyKind.NEWER_FIRST,
            f"a newer rediq-trio wrote the task that is next (format {standing.newer_head}): only workers "
            "of that version get past it",
            format=standing.newer_head,
        )
    text = f"it is {ordinal(standing.ahead + 1)} of {standing.equal:,} in its priority"
    text += f" and the limit key {shown(key)}" if key else ""
    text += (
        f", after {counted(standing.better, 'task')} of better priority" if standing.better else ""
    )
    others = found.lanes - bool(key)
    if others > 0:
        keys = counted(others, "limit key" if not key else "other limit key")
        text += f"; {keys} {'takes' if others == 1 else 'take'} turns with it" if found.fair else (
            f"; {keys} {'has' if others == 1 else 'have'} pending tasks too"
        )  # fmt: skip
    yield maker.make(
        WhyKind.POSITION,
        text,
        position=standing.ahead + 1,
        of=standing.equal,
        better=standing.better,
        limit_key=key or None,
        other_keys=others,
        fair=found.fair,
    )


def starts_before(found: Situation) -> int | None:
    """Return how many starts it takes until a pending task has started; None if that cannot be said.

    Limit keys that take turns get as many each. Otherwise the tasks of other keys come before it or
    not, by their priority and age, and nobody has counted these.
    """
    assert found.description is not None
    lanes = found.lanes + bool(found.unkeyed)
    starts = found.standing.better + found.standing.ahead + 1
    if lanes <= 1:
        return starts
    return starts * lanes if found.fair else None
