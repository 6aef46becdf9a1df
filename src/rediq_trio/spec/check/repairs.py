"""What of a queue's damage can be put right without guessing.

A repair makes an index, a count or a link what follows from the records; where two records
tell different things, or a payload is gone, only a person can say what is true. Each is
one atomic step that looks again before it writes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from math import inf

import attrs

from rediq_trio.spec.check.invariants import Listing, Violation
from rediq_trio.spec.check.structure_invariants import (
    due_ms,
    entitled,
    lacks_one,
    opens_at,
    rate_bound,
    seated,
    sight_violations,
)
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
from rediq_trio.spec.lifecycle import WAITING, State


class Action(enum.StrEnum):
    """What a repair does. In the order in which repairs are made."""

    PARTITIONS = "partitions"
    PERSIST = "persist"
    SEQ = "seq"
    SENT = "sent"
    LIST = "list"
    UNLIST = "unlist"
    PLACE = "place"
    EXPIRY = "expiry"
    FORGET = "forget"
    SEAT = "seat"
    TIE = "tie"
    FREE = "free"
    PERMITS = "permits"
    LANE = "lane"
    GROUP = "group"
    SCHEDULE = "schedule"
    ENQUEUED = "enqueued"


ORDER = tuple(Action)


@attrs.frozen
class Repair:
    """One thing that can be put right."""

    what: Action
    about: Subject
    before: str
    """What is there now."""
    after: str
    """What will be there."""
    why: str
    """Why that is no guess."""
    queue: str = ""
    """The queue, or the partition, that it is in."""

    @property
    def subject(self) -> str:
        """The id of a task, or the name of what `about.kind` says."""
        return str(self.about)

    def __str__(self) -> str:
        return f"{self.about.kind} {self.subject!r}: {self.before} -> {self.after} ({self.why})"


def repairs_of(sight: Sight) -> Iterator[Repair]:
    """Give what can be put right of what a picture shows."""
    match sight:
        case Picture():
            yield from _task(sight)
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


_RECORD = "the record says it, and an index only follows from records"


def _task(picture: Picture) -> Iterator[Repair]:
    about = Subject(Kind.TASK, picture.id)
    record = picture.record
    if record is None:
        found = [str(state) for state in picture.indexes] + sorted(picture.kept)
        something = found or picture.expiring is not None
        if something and not (picture.unreadable or picture.has_envelope):
            before = f"{', '.join(found) or 'an expiry'}, no record and no payload"
            yield Repair(Action.FORGET, about, before, "nothing",
                         "without a record and a payload there is no task")  # fmt: skip
        return
    state, listed = record.state, sorted(picture.indexes)
    if not listed and picture.has_envelope:
        yield Repair(Action.LIST, about, f"{state}, in no index", f"in the index of {state}", _RECORD)
    elif state in picture.indexes:
        if len(listed) > 1:
            others = ", ".join(sorted(set(listed) - {state}))
            yield Repair(Action.UNLIST, about, f"{state}, also in the indexes of {others}",
                         f"only in that of {state}", _RECORD)  # fmt: skip
        at, own = picture.indexes[state], State.PENDING
        if at != record.score and not (state is own and record.limit_key) and at >= 0:
            yield Repair(Action.PLACE, about, f"{state} at {at}", f"at {record.score}", _RECORD)
    mortal = record.expires_ms if state in WAITING and record.expires_ms else None
    if picture.expiring != mortal:
        yield Repair(Action.EXPIRY, about, f"listed to expire at {picture.expiring}",
                     f"at {mortal}" if mortal else "not listed to expire", _RECORD)  # fmt: skip


def _seat(picture: SeatPicture) -> Iterator[Repair]:
    if picture.score is None:
        return
    where = f"{picture.state} at {picture.place} of {picture.name!r}"
    if seated(picture):
        if picture.score:
            yield Repair(Action.SEAT, picture.subject, f"{where}, score {picture.score}", "score 0",
                         "members that are ordered by bytes have no other")  # fmt: skip
    elif picture.settled:
        yield Repair(Action.SEAT, picture.subject, where, "not there",
                     "the task is listed where its record says")  # fmt: skip
    elif not picture.has_record and not picture.has_envelope:
        yield Repair(Action.SEAT, picture.subject, where, "not there",
                     "without a record and a payload there is no task")  # fmt: skip


def _tie(picture: TiePicture) -> Iterator[Repair]:
    source, about = picture.source, picture.subject
    if picture.has_source and source is None:
        return
    alive = source is not None and not source.terminal
    blocked = picture.dependent is not None and picture.dependent.state is State.BLOCKED
    if not alive and picture.ending is not False:
        return
    told = "who waits for what has ended is told how"
    if picture.edge and alive:
        if lacks_one(picture) and not picture.need:
            yield Repair(Action.TIE, about, "the first knows of the second only", "both know",
                         "the first says so, and the second waits for one more than it knows")  # fmt: skip
        elif source is not None and not source.has_dependents:
            yield Repair(Action.TIE, about, "the first does not know of any", "it does", told)
    elif picture.edge and source is not None:
        yield Repair(Action.TIE, about, f"the first is {source.state}", "the second is told", told)
    elif picture.edge and not picture.abroad and not (blocked and picture.need):
        yield Repair(Action.TIE, about, "the first is gone", "nothing", "the second waits no more")
    elif picture.need and blocked and source is not None and source.state is not State.GROUPED:
        yield Repair(Action.TIE, about, "the second knows of the first only",
                     "both know" if alive else "the second is told", told)  # fmt: skip


def _lane(picture: LanePicture) -> Iterator[Repair]:
    about = picture.subject
    if picture.limit is None:
        return
    if picture.active is not None and picture.permits != picture.active:
        yield Repair(Action.PERMITS, about, f"{picture.permits} permits", f"{picture.active} permits",
                     "a permit is an active task, and these were counted")  # fmt: skip
    fixed = attrs.evolve(picture, permits=picture.active if picture.active is not None else picture.permits)
    bound = rate_bound(picture)
    late = picture.arrival_us is not None and (bound is None or picture.arrival_us > bound)
    if next(sight_violations(attrs.evolve(fixed, active=None)), None) is not None:
        till = opens_at(fixed)
        stands = "no lane" if picture.first is None else (
            "open" if till <= picture.now_ms else "shut while as many run as may" if till == inf
            else f"shut till {till:.0f}"
        )  # fmt: skip
        was: list[str] = []
        if picture.open is not None:
            was.append(f"open at {picture.open}")
        if picture.shut is not None:
            was.append(f"shut till {picture.shut:.0f}")
        if late:
            was.append(f"next start at {picture.arrival_us} us")
        yield Repair(Action.LANE, about, ", ".join(was) or "no lane", stands,
                     "it follows from its tasks, its permits and its limit")  # fmt: skip


def _unique(picture: KeyPicture) -> Iterator[Repair]:
    unreadable = picture.has_record and picture.record is None
    if (picture.holder is None and picture.till_ms is None) or unreadable:
        return
    if picture.holder is None or not entitled(picture):
        yield Repair(Action.FREE, picture.subject, f"held by {picture.holder or 'nobody'}", "free",
                     "no task is in the window of the key")  # fmt: skip


def _group(picture: GroupPicture) -> Iterator[Repair]:
    if picture.has_rule and picture.rule is None:
        return
    due = due_ms(picture) if picture.size else None
    if picture.size and due is None and picture.due_ms is not None:
        return  # a member that cannot be read is another violation
    if picture.due_ms != due or (picture.has_rule and not picture.size):
        after = f"a batch at {0 if due is None else due}" if picture.size else "no group"
        yield Repair(Action.GROUP, picture.subject, f"listed for {picture.due_ms}", after,
                     "it follows from its members and its rule")  # fmt: skip


def _schedule(picture: SchedulePicture) -> Iterator[Repair]:
    schedule, tick = picture.schedule, picture.tick_ms
    if picture.has_schedule and schedule is None:
        return
    if tick is not None and (schedule is None or schedule.paused):
        why = "there is no such schedule" if schedule is None else "one that is paused expects none"
        yield Repair(Action.SCHEDULE, picture.subject, f"the tick {tick}", "no tick", why)
    elif schedule is not None and schedule.revision > picture.revision:
        yield Repair(Action.SCHEDULE, picture.subject, f"revision {picture.revision} was the last",
                     f"{schedule.revision} was", "a revision is never given twice")  # fmt: skip


def _letter(picture: LetterPicture) -> Iterator[Repair]:
    subject, ahead = picture.subject, max(picture.numbers, default=0)
    fine = None not in picture.items and all(str(n) == subject.name for n in picture.numbers)
    if subject.kind is Kind.MESSAGE and fine and ahead > picture.last:
        yield Repair(Action.SENT, subject, f"the last message given is {picture.last}", f"{ahead}",
                     "a message has that number, and none is given twice")  # fmt: skip


def shape_repairs(shape: Shape) -> Iterator[Repair]:
    """Give what can be put right of a queue's keys."""
    for name in shape.mortal:
        yield Repair(Action.PERSIST, Subject(Kind.QUEUE, name), "a TTL", "no TTL",
                     "no key of a queue may go by itself")  # fmt: skip


def listing_repairs(listing: Listing) -> Iterator[Repair]:
    """Give what can be put right of a queue's totals, once its tasks are whole."""
    counters, here = listing.counters, listing.records
    ever = here + counters.purged + counters.deleted + counters.batched
    if here == sum(listing.sizes.values()) and counters.enqueued != ever:
        yield Repair(Action.ENQUEUED, Subject(Kind.QUEUE, "enqueued"), f"{counters.enqueued} enqueued",
                     f"{ever}", "it is what is here, and what has gone")  # fmt: skip


def seq_repair(task_id: str, seq: int, known: int) -> Repair:
    """Give the repair of a queue that would give places out again."""
    return Repair(Action.SEQ, Subject(Kind.TASK, task_id), f"the last place given is {known}",
                  f"{seq}", "a task has it, and none is given twice")  # fmt: skip


def left_over(violations: list[Violation], repairs: list[Repair]) -> list[Violation]:
    """Give the violations that none of the repairs is about.

    Sums over a queue that do not add up only follow from what is wrong with its parts.
    """
    mended = {(repair.queue, repair.about) for repair in repairs}
    places = {repair.queue for repair in repairs}
    return [
        one
        for one in violations
        if ((one.queue, one.about) not in mended if one.about else one.queue not in places)
    ]
