"""The invariants of what stands beside the tasks, as functions from pictures to violations.

Each picture was read in one atomic step, so what is wrong in one is wrong in the queue,
however busy it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from rediq_trio.spec.check.invariants import Violation, task_violations
from rediq_trio.spec.check.views import (
    GroupPicture,
    KeyPicture,
    Kind,
    LanePicture,
    LetterPicture,
    Picture,
    SchedulePicture,
    SeatPicture,
    Shape,
    Sight,
    Subject,
    TiePicture,
)
from rediq_trio.spec.groups import DEFAULT_RULE
from rediq_trio.spec.lanes import free_at
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import NO_LIMIT, Ending, Mail, Until


def sight_violations(sight: Sight) -> Iterator[Violation]:
    """Check all that can be said of one picture."""
    match sight:
        case Picture():
            yield from task_violations(sight)
        case SeatPicture():
            yield from _seat(sight)
        case TiePicture():
            yield from _tie(sight)
        case LanePicture():
            yield from _lane(sight)
        case KeyPicture():
            yield from _unique(sight)
        case GroupPicture():
            yield from _group(sight)
        case SchedulePicture():
            yield from _schedule(sight)
        case LetterPicture():
            yield from _letter(sight)


def shape_violations(shape: Shape) -> Iterator[Violation]:
    """Check the keys of a queue."""
    for name in shape.mortal:
        yield _of(2, Subject(Kind.QUEUE, name), f"the key {name} has a TTL")
    for name in shape.odd:
        yield _of(2, Subject(Kind.QUEUE, name), f"the key {name}, another type than that of its name")
    for name in shape.strays:
        yield _of(2, Subject(Kind.QUEUE, name), f"the key {name} is none that a queue has")


def _of(invariant: int, subject: Subject, detail: str) -> Violation:
    return Violation(invariant, str(subject), detail, subject)


def seated(picture: SeatPicture) -> bool:
    """Say whether this is the seat that the task's record names."""
    record = picture.record
    if record is None or record.state is not picture.state:
        return False
    if picture.state is State.PENDING:
        return (record.limit_key, record.score) == (picture.name, picture.place)
    return (record.group, record.seq) == (picture.name, picture.place)


def _seat(picture: SeatPicture) -> Iterator[Violation]:
    record, subject = picture.record, picture.subject
    if picture.score is None:
        return
    where = f"sits as {picture.state} at {picture.place} of {picture.name!r}"
    if record is None:
        yield _of(1, subject, f"{where}, and has no readable record")
    elif not seated(picture):
        yield _of(1, subject, f"{where}, and is {record.state} at {record.score}")
    if picture.score:
        yield _of(7, subject, f"{where} out of order, by a score of {picture.score}")


def _tie(picture: TiePicture) -> Iterator[Violation]:
    source, dependent, subject = picture.source, picture.dependent, picture.subject
    alive = source is not None and not source.terminal
    if picture.edge:
        # What cannot be read is found by itself, and buried by a claim, which tells.
        over = not alive and not (picture.has_source and source is None)
        if over and picture.ending is False:
            yield _of(13, subject, "the first is over, and the second was not told")
        if alive and source is not None and not source.has_dependents:
            yield _of(13, subject, "the first does not know that others wait for it")
    if not picture.need:
        if picture.edge and alive and lacks_one(picture):
            yield _of(8, subject, "the second does not know any more that it waits for the first")
    elif dependent is None:
        yield _of(2, subject, "the second left behind that it waits for the first")
    elif (
        dependent.state is State.BLOCKED
        and source is not None
        and not picture.edge
        and (picture.ending is False or alive)
    ):
        yield _of(13, subject, "the second waits, and the first will not tell")


def lacks_one(picture: TiePicture) -> bool:
    """Say whether the second waits for more tasks than are listed."""
    dependent = picture.dependent
    if picture.abroad or dependent is None or dependent.state is not State.BLOCKED:
        return False
    return picture.needs < dependent.waits


def permit_violations(picture: LanePicture, least: int, most: int) -> Iterator[Violation]:
    """Check permits against what the number of active tasks is known to lie between."""
    if not least <= picture.permits <= max(least, most):
        text = f"{picture.permits} permits are out, from {least} to {most} tasks are active"
        yield _of(11, picture.subject, text)


def rate_bound(picture: LanePicture) -> int | None:
    """Give how far ahead the rate's arrival time may be, in us; None without a rate."""
    limit = picture.limit
    if limit is None or not limit.count:
        return None
    return picture.now_ms * 1000 + limit.burst * limit.interval_us


def _lane(picture: LanePicture) -> Iterator[Violation]:
    subject = picture.subject
    if picture.active is not None and picture.permits != picture.active:
        yield _of(11, subject, f"{picture.permits} permits are out, {picture.active} tasks are active")
    if picture.limit is None:
        yield _of(11, subject, "its limit cannot be read")
        return
    if picture.arrival_us is not None:
        bound = rate_bound(picture)
        if bound is None:
            yield _of(11, subject, "has starts counted, and no rate")
        elif picture.arrival_us > bound:
            yield _of(13, subject, f"may start at {picture.arrival_us} us, later than the rate says")
    if subject.name:
        yield from _stands(picture)


def opens_at(picture: LanePicture) -> float:
    """Give from when on a lane is open: infinity while as many run as may, 0 or past for now."""
    limit = picture.limit or NO_LIMIT
    if 0 < limit.concurrency <= picture.permits:
        return inf
    return free_at(limit, picture.arrival_us or 0)


def _stands(picture: LanePicture) -> Iterator[Violation]:
    subject, now = picture.subject, picture.now_ms
    listed = (picture.open is not None) + (picture.shut is not None)
    if picture.first is None:
        if listed or picture.turn is not None:
            yield _of(13, subject, "has a lane, or a turn, and no pending task")
        return
    if listed != 1:
        ended_as = "both open and shut" if listed else "neither open nor shut"
        yield _of(13, subject, f"has pending tasks, and its lane is {ended_as}")
        return
    if picture.turn is None:
        yield _of(13, subject, "has pending tasks and no turn")
    till = opens_at(picture)
    if picture.shut is not None:
        # One that is due is opened by the next claim.
        if picture.shut > now and picture.shut != till:
            yield _of(13, subject, f"is shut till {picture.shut:.0f}, should be till {till:.0f}")
        return
    if till > now:
        yield _of(11, subject, f"is open, should be shut till {till:.0f}")
    stands = picture.turn if picture.fair else picture.first
    if stands is not None and picture.open != stands:
        yield _of(7, subject, f"its lane stands at {picture.open}, should be at {stands}")


def entitled(picture: KeyPicture) -> bool:
    """Say whether the holder of a unique key has a right to it."""
    record, key = picture.record, picture.subject.name
    same = record is not None and record.unique == key
    by_time = not same or (record is not None and record.until is Until.EXPIRED)
    if record is not None and record.terminal and not by_time:
        return False
    if same and record is not None and record.owns_unique_key:
        return True
    return by_time and picture.till_ms is not None


def _unique(picture: KeyPicture) -> Iterator[Violation]:
    if picture.holder is None:
        if picture.till_ms is not None:
            yield _of(6, picture.subject, "has an end of its window and no holder")
    elif picture.has_record and picture.record is None:
        yield _of(6, picture.subject, f"is held by {picture.holder}, whose record cannot be read")
    elif not entitled(picture):
        record = picture.record
        ended_as = "is gone" if record is None else f"is {record.state}, its window over"
        yield _of(6, picture.subject, f"is held by {picture.holder}, which {ended_as}")


def due_ms(picture: GroupPicture) -> int | None:
    """Give when a group becomes a batch; None where that cannot be said."""
    rule = DEFAULT_RULE if picture.rule is None else picture.rule
    if picture.size >= rule.max_size:
        return 0
    first, last = picture.first, picture.last
    if first is None or last is None:
        return None
    return min(first.run_ms + rule.max_delay_ms, last.run_ms + rule.grace_ms)


def _group(picture: GroupPicture) -> Iterator[Violation]:
    subject = picture.subject
    if not picture.size:
        if picture.due_ms is not None or picture.has_rule:
            yield _of(10, subject, "is listed, or has a rule, and has no members")
        return
    if picture.has_rule and picture.rule is None:
        yield _of(10, subject, "its rule cannot be read")
        return
    due = due_ms(picture)
    if picture.due_ms is None:
        yield _of(10, subject, "has members and will never become a batch")
    elif due is not None and picture.due_ms != due:
        yield _of(10, subject, f"becomes a batch at {picture.due_ms}, should at {due}")


def _schedule(picture: SchedulePicture) -> Iterator[Violation]:
    schedule, subject, tick = picture.schedule, picture.subject, picture.tick_ms
    if schedule is None:
        if picture.has_schedule:
            yield _of(9, subject, "cannot be read")
        elif tick is not None:
            yield _of(9, subject, f"expects the tick {tick} and is not there")
        return
    if tick is not None and (schedule.paused or tick <= schedule.last_ms):
        why = "is paused" if schedule.paused else f"has fired that of {schedule.last_ms}"
        yield _of(9, subject, f"expects the tick {tick} and {why}")
    if schedule.revision > picture.revision:
        yield _of(9, subject, f"has the revision {schedule.revision}, which was never given")


def _letter(picture: LetterPicture) -> Iterator[Violation]:
    subject = picture.subject
    if len(picture.items) > 1:
        yield _of(2, subject, "has its number in common with another")
    for item, number in zip(picture.items, picture.numbers, strict=True):
        if item is None:
            yield _of(2, subject, "cannot be read")
        elif isinstance(item, Mail | Ending) and str(number) != subject.name:
            yield _of(2, subject, f"stands at another number than its own, {number}")
        elif number > picture.last:
            yield _of(2, subject, f"has the number {number}, and {picture.last} was the last given")
