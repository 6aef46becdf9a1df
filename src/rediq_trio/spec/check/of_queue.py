"""The pictures of a queue of the specification, where much of what a server keeps just follows."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import attrs

from rediq_trio.spec.check.invariants import picture_of
from rediq_trio.spec.check.views import (
    GroupPicture,
    KeyPicture,
    Kind,
    LanePicture,
    LetterPicture,
    Picture,
    SchedulePicture,
    SeatPicture,
    Sight,
    Subject,
    TiePicture,
)
from rediq_trio.spec.groups import DEFAULT_RULE, due_at
from rediq_trio.spec.ids import split_ref
from rediq_trio.spec.lanes import free_at, limit_of
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import Ending, Mail, QueueState, Record


def subjects_of(queue: QueueState) -> list[Subject]:
    """Give all that can be looked at in a queue, each once."""
    return list(dict.fromkeys(_subjects(queue)))


def _subjects(queue: QueueState) -> Iterator[Subject]:
    records = queue.records.values()
    yield from (Subject(Kind.TASK, task_id) for task_id in queue.records)
    for record in records:
        if record.state is State.PENDING and record.limit_key:
            yield Subject(Kind.SEAT, record.id, f"pending {record.score} {record.limit_key}")
        if record.state is State.GROUPED:
            yield Subject(Kind.SEAT, record.id, f"grouped {record.score} {record.group}")
            yield Subject(Kind.GROUP, record.group)
    keys = {r.limit_key for r in records if r.state in (State.PENDING, State.ACTIVE)}
    keys = {*keys, *queue.turns, *queue.limits, *queue.rates} - {""}
    yield from (Subject(Kind.LANE, key) for key in ("", *sorted(keys)))
    yield from (Subject(Kind.GROUP, group) for group in queue.rules)
    yield from (Subject(Kind.UNIQUE, key) for key in queue.locks)
    yield from (Subject(Kind.SCHEDULE, name) for name in queue.schedules)
    for own, dependents in queue.edges.items():
        yield from (Subject(Kind.TIE, own, dependent) for dependent in sorted(dependents))
    for own, refs in queue.needs.items():
        yield from (tie_of(own, ref) for ref in sorted(refs))
    yield from (Subject(Kind.MESSAGE, str(mail.seq)) for mail in queue.outbox)
    yield from (Subject(Kind.SENDER, sender) for sender in queue.received)


def tie_of(own: str, ref: str) -> Subject:
    """Give the tie between a task and one that it waits for."""
    return Subject(Kind.TIE, ref, own)


def sight_of(queue: QueueState, now: int, subject: Subject) -> Sight:
    """Give the picture of one subject."""
    match subject.kind:
        case Kind.TASK:
            record = queue.records.get(subject.name)
            if record is None:
                return Picture(subject.name, None, {}, None, has_envelope=False)
            return picture_of(queue, record)
        case Kind.SEAT:
            return _seat(queue, subject)
        case Kind.TIE:
            return _tie(queue, subject)
        case Kind.LANE:
            return _lane(queue, now, subject)
        case Kind.UNIQUE:
            lock = queue.locks.get(subject.name)
            record = queue.records.get(lock.id) if lock else None
            holder, till = (lock.id, lock.till_ms or None) if lock else (None, None)
            return KeyPicture(subject, holder, till, record, record is not None)
        case Kind.GROUP:
            return _group(queue, subject)
        case Kind.SCHEDULE:
            found = queue.schedules.get(subject.name)
            tick = found.next_ms or None if found else None
            return SchedulePicture(subject, found, found is not None, tick, queue.revision)
        case Kind.MESSAGE | Kind.SENDER | Kind.ENDING | Kind.QUEUE:
            return _letter(queue, subject)


def _seat(queue: QueueState, subject: Subject) -> SeatPicture:
    record = queue.records.get(subject.name)
    state, place, name = subject.other.split(" ", 2)
    picture = SeatPicture(
        subject, State(state), name, int(place), 0, record, True, True, record is not None
    )
    gone = record is None or f"{record.state} {record.score}" != f"{state} {place}"
    return attrs.evolve(picture, score=None) if gone else picture


def _tie(queue: QueueState, subject: Subject) -> TiePicture:
    own, dependent = subject.name, subject.other
    source, second = queue.records.get(own), queue.records.get(dependent)
    return TiePicture(
        subject,
        edge=dependent in queue.edges.get(own, ()),
        need=own in queue.needs.get(dependent, ()),
        source=source,
        dependent=second,
        has_source=source is not None,
        needs=len(queue.needs.get(dependent, ())),
        ending=any(ending.id == own for ending in queue.endings),
        abroad=bool(split_ref(own)[0] or split_ref(dependent)[0]),
    )


def _of(queue: QueueState, state: State, key: str) -> list[Record]:
    return [r for r in queue.records.values() if r.state is state and r.limit_key == key]


def _lane(queue: QueueState, now: int, subject: Subject) -> LanePicture:
    key = subject.name
    limit, arrival = limit_of(queue, key), queue.rates.get(key)
    first = min((r.score for r in _of(queue, State.PENDING, key)), default=None) if key else None
    active = len(_of(queue, State.ACTIVE, key)) if key else 0
    full = 0 < limit.concurrency <= active
    till = inf if full else free_at(limit, arrival or 0)
    turn, lane = queue.turns.get(key), None
    if first is not None and till <= now:
        lane = turn if queue.fair else first
    return LanePicture(
        subject,
        now_ms=now,
        fair=queue.fair,
        turn_now=queue.turn,
        first=first,
        open=lane,
        shut=till if first is not None and till > now else None,
        turn=turn,
        permits=active,
        active=active,
        limit=limit,
        arrival_us=arrival,
    )


def _group(queue: QueueState, subject: Subject) -> GroupPicture:
    name, rule = subject.name, queue.rules.get(subject.name)
    members = [
        r for r in queue.records.values() if r.state is State.GROUPED and r.group == name
    ]
    members.sort(key=lambda r: r.seq)
    due = due_at(members, rule or DEFAULT_RULE) if members else None
    first, last = (members[0], members[-1]) if members else (None, None)
    return GroupPicture(subject, len(members), rule, rule is not None, due, first, last)


def _letter(queue: QueueState, subject: Subject) -> LetterPicture:
    if subject.kind is Kind.SENDER:
        number = queue.received.get(subject.name)
        items: tuple[Mail | Ending | int | None, ...] = () if number is None else (number,)
        return LetterPicture(subject, number or 0, items, () if number is None else (number,))
    found = tuple(mail for mail in queue.outbox if str(mail.seq) == subject.name)
    return LetterPicture(subject, queue.sent, found, tuple(mail.seq for mail in found))
