"""The contract's invariants, as functions that give violations.

`Picture` and `Listing` are what can be read of a queue, whichever store it is
in. A picture of one task and a listing are each consistent in themselves, so
the checks hold on a live queue too, read in bounded batches. `spec.structures`
has those of what stands beside the tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

import attrs

from rediq_trio.spec.check.views import CONTENTS, Kind, Subject
from rediq_trio.spec.check.views import Picture as Picture
from rediq_trio.spec.lanes import limit_of
from rediq_trio.spec.lifecycle import TERMINAL, WAITING, State
from rediq_trio.spec.records import NO_LIMIT, Counters, QueueState, Record, Until


@attrs.frozen
class Violation:
    """An invariant that does not hold."""

    invariant: int
    """Its number in the contract."""
    subject: str
    """The task's id within its queue, '' for the queue as a whole; or the name of what `kind`
    says."""
    detail: str
    about: Subject | None = attrs.field(default=None, repr=False)
    """What it is about, where that is no task and not the queue as a whole."""
    queue: str = ""
    """The queue, or the partition, that it is in, as `Queue.check` fills it in."""

    @property
    def kind(self) -> Kind:
        """What the subject is."""
        if self.about is not None:
            return self.about.kind
        return Kind.TASK if self.subject else Kind.QUEUE

    def __str__(self) -> str:
        what = self.subject or "the queue"
        if self.kind not in (Kind.TASK, Kind.QUEUE):
            what = f"{self.kind} {self.subject!r}"
        return f"invariant {self.invariant}, {what}: {self.detail}"


@attrs.frozen
class Listing:
    """The sizes and totals of a queue."""

    records: int
    sizes: Mapping[State, int]
    expiring: int
    seq: int
    counters: Counters
    with_ttl: tuple[str, ...] = ()
    """Keys of the queue that carry a TTL."""


def task_violations(picture: Picture) -> Iterator[Violation]:
    """Check all that can be said of one task."""
    record = picture.record
    if picture.newer:
        return  # only the version that wrote it can tell
    if record is None:
        for state in picture.indexes:
            yield Violation(1, picture.id, f"is in the index of {state} and has no readable record")
        left = ["bytes in its place"] * picture.unreadable
        left += ["a payload"] * picture.has_envelope + sorted(picture.kept)
        left += ["an expiry"] * (picture.expiring is not None)
        if not picture.indexes and left:
            yield Violation(2, picture.id, f"has no readable record, and left {', '.join(left)}")
        return
    yield from _one_place(record, picture)
    yield from _one_holder(record)
    yield from _charges(record)
    yield from _ends(record)
    yield from _relations(record, picture)
    yield from _contents(record, picture)


def _one_place(record: Record, picture: Picture) -> Iterator[Violation]:
    listed = sorted(picture.indexes)
    if listed != [record.state]:
        yield Violation(1, record.id, f"is {record.state}, and is in the indexes of {listed}")
    elif picture.indexes[record.state] != record.score:
        at = picture.indexes[record.state]
        yield Violation(7, record.id, f"is {record.state} at {at}, and should be at {record.score}")
    if not picture.has_envelope:
        yield Violation(2, record.id, "has lost its payload")
    mortal = record.expires_ms if record.state in WAITING and record.expires_ms else None
    if picture.expiring != mortal:
        yield Violation(8, record.id, f"expires at {mortal}, and is listed for {picture.expiring}")


def _one_holder(record: Record) -> Iterator[Violation]:
    if record.state is State.ACTIVE:
        if not record.nonce or not record.worker or not record.lease_ms:
            yield Violation(3, record.id, "is active without a lease")
    elif record.lease_ms:
        yield Violation(3, record.id, f"is {record.state} and has a lease")
    if record.nonce and not record.deliveries:
        yield Violation(3, record.id, "has a token and was never delivered")


def _charges(record: Record) -> Iterator[Violation]:
    if not 0 <= record.attempt <= record.max_retry + 1:
        yield Violation(4, record.id, f"attempt {record.attempt} of {record.max_retry + 1}")
    if record.attempt + record.crashes + record.snoozes > record.deliveries:
        parts = f"{record.attempt} attempts, {record.crashes} crashes, {record.snoozes} snoozes"
        yield Violation(4, record.id, f"{parts} in {record.deliveries} deliveries")
    if record.state is State.ACTIVE and record.attempt < 1:
        yield Violation(4, record.id, "is active in no attempt")
    if record.crashes > record.max_crashes and record.state not in (State.DEAD, State.CANCELLED):
        yield Violation(4, record.id, f"{record.crashes} crashes and is {record.state}")


def _ends(record: Record) -> Iterator[Violation]:
    if (record.state in TERMINAL) != bool(record.finished_ms):
        yield Violation(5, record.id, f"is {record.state} and finished at {record.finished_ms}")
    if record.state is State.COMPLETED and not record.deliveries:
        yield Violation(5, record.id, "completed and was never delivered")
    if record.state is State.DEAD and not record.error:
        yield Violation(5, record.id, "is dead for no reason")
    if record.state is State.ACTIVE and record.started_ms < record.run_ms:
        yield Violation(8, record.id, f"started at {record.started_ms}, due at {record.run_ms}")
    if record.state is State.ACTIVE and 0 < record.expires_ms <= record.started_ms:
        yield Violation(8, record.id, f"started at {record.started_ms}, expired at {record.expires_ms}")


def _relations(record: Record, picture: Picture) -> Iterator[Violation]:
    if record.waits != picture.needs:
        yield Violation(8, record.id, f"waits for {record.waits} tasks, {picture.needs} are listed")
    if record.waits and record.state in (State.PENDING, State.ACTIVE, State.SCHEDULED):
        yield Violation(8, record.id, f"is {record.state} and waits for {record.waits} tasks")
    if record.state is State.BLOCKED and not record.waits:
        yield Violation(13, record.id, "is blocked and waits for no task")
    if record.state is State.GROUPED and not record.group:
        yield Violation(10, record.id, "is grouped and in no group")
    if picture.holder == record.id and not record.owns_unique_key:
        yield Violation(6, record.id, f"has the unique key {record.unique!r}, its window over")


def _contents(record: Record, picture: Picture) -> Iterator[Violation]:
    completed = record.state is State.COMPLETED
    for name in sorted(picture.kept & ({"inputs", "steps"} if completed else {"result"})):
        yield Violation(5, record.id, f"is {record.state} and has {name}")
    if "steps" in picture.kept and not record.has_steps:
        yield Violation(2, record.id, "has steps that it does not know of, and would leave behind")


def queue_violations(listing: Listing) -> Iterator[Violation]:
    """Check all that can be said of the queue as a whole."""
    listed = sum(listing.sizes.values())
    if listing.records != listed:
        yield Violation(2, "", f"{listing.records} records, {listed} listed")
    if listing.expiring > sum(listing.sizes.get(state, 0) for state in WAITING):
        yield Violation(8, "", f"{listing.expiring} tasks can expire, more than wait")
    for key in listing.with_ttl:
        yield Violation(2, "", f"the key {key} has a TTL")
    counters = listing.counters
    ever = listing.records + counters.purged + counters.deleted + counters.batched
    if counters.enqueued != ever:
        yield Violation(12, "", f"{counters.enqueued} enqueued, {ever} are here, purged, deleted or batched")


def step_violations(before: QueueState, after: QueueState) -> Iterator[Violation]:
    """Check what no single picture can show: that a step changed only what it may."""
    for task_id, old in before.records.items():
        new = after.records.get(task_id)
        if new is None:
            continue
        if new.deliveries < old.deliveries or (new.deliveries > old.deliveries) != (
            new.state is State.ACTIVE and new.nonce != old.nonce
        ):
            yield Violation(
                4, task_id, f"{old.deliveries} to {new.deliveries} deliveries, {old.state} to {new.state}"
            )
        revived = old.state is not State.COMPLETED and new.state in WAITING
        if old.terminal and new.state is not old.state and not revived:
            yield Violation(5, task_id, f"{old.state} to {new.state}")
        if new.state is State.ACTIVE and old.state is not State.ACTIVE and before.paused:
            yield Violation(8, task_id, "claimed while the queue was paused")
    yield from start_violations(before, after)
    yield from tick_violations(before, after)
    yield from total_violations(before.counters, after.counters)


def total_violations(before: Counters, after: Counters) -> Iterator[Violation]:
    """Check that totals only grow."""
    for total, old in attrs.asdict(before).items():
        if getattr(after, total) < old:
            yield Violation(12, "", f"the total {total} went from {old} to {getattr(after, total)}")


def order_violations(
    queue: QueueState, claimed: Iterable[Record], left: Iterable[Record]
) -> Iterator[Violation]:
    """Check that no ready task was passed over: `claimed` and `left` as they were before the claim.

    Within one limit key always; between keys where neither a limit nor fairness says otherwise.
    """
    last: dict[str, int] = {}
    for record in claimed:
        last[record.limit_key] = max(last.get(record.limit_key, 0), record.score)
    for record in left:
        free = not queue.fair and limit_of(queue, record.limit_key) == NO_LIMIT
        at = max(last.values(), default=0) if free else last.get(record.limit_key, 0)
        if record.score < at:
            yield Violation(7, record.id, f"passed over at {record.score}, {at} was claimed")


def picture_of(queue: QueueState, record: Record) -> Picture:
    """Give the picture of a task of the specification, where a state is its index."""
    mortal = record.state in WAITING and record.expires_ms
    lock = queue.locks.get(record.unique)
    return Picture(
        record.id,
        attrs.evolve(record, envelope=b"", result=b"", progress=b"", inputs=b"", steps=b""),
        {record.state: record.score},
        record.expires_ms if mortal else None,
        needs=len(queue.needs.get(record.id, ())),
        holder=None if lock is None else lock.id,
        kept=frozenset(name for name in CONTENTS if getattr(record, name)),
    )


def listing_of(queue: QueueState) -> Listing:
    """Give the listing of a queue of the specification."""
    sizes: dict[State, int] = {}
    for record in queue.records.values():
        sizes[record.state] = sizes.get(record.state, 0) + 1
    mortal = sum(bool(r.state in WAITING and r.expires_ms) for r in queue.records.values())
    count = len(queue.records)
    return Listing(count, sizes, mortal, queue.seq, queue.counters)


def violations(queue: QueueState) -> list[Violation]:
    """Check a whole queue of the specification."""
    found = list(queue_violations(listing_of(queue)))
    for record in queue.records.values():
        found += task_violations(picture_of(queue, record))
        if record.seq > queue.seq:
            found.append(Violation(7, record.id, f"seq {record.seq} of {queue.seq}"))
    found += _schedule_violations(queue)
    found += _rule_violations(queue)
    return [*found, *_lock_violations(queue), *_link_violations(queue), *_limit_violations(queue)]


def _rule_violations(queue: QueueState) -> Iterator[Violation]:
    groups = {r.group for r in queue.records.values() if r.state is State.GROUPED}
    for group in queue.rules.keys() - groups:
        yield Violation(10, "", f"the group {group!r} has a rule and no members")


def _lock_violations(queue: QueueState) -> Iterator[Violation]:
    for key, lock in queue.locks.items():
        record = queue.records.get(lock.id)
        in_window = record is not None and record.unique == key and record.owns_unique_key
        # Its id may belong to another task by now.
        by_time = record is None or record.unique != key or record.until is Until.EXPIRED
        if not in_window and not (by_time and lock.till_ms):
            yield Violation(6, lock.id, f"has the unique key {key!r}, its window over")
        if record is not None and record.terminal and not by_time:
            yield Violation(6, lock.id, f"is {record.state} and has the unique key {key!r}")


def _link_violations(queue: QueueState) -> Iterator[Violation]:
    left = {ending.id for ending in queue.endings}
    for source, dependents in queue.edges.items():
        record = queue.records.get(source)
        alive = record is not None and not record.terminal
        if not dependents or not (alive or source in left):
            yield Violation(13, source, "is over, and those that wait for it were not told")
        if alive and record is not None and not record.has_dependents:
            yield Violation(13, source, "does not know that others wait for it")
    for task_id, needs in queue.needs.items():
        record = queue.records.get(task_id)
        if not needs or record is None:
            yield Violation(2, task_id, "left tasks behind that it waits for")
        elif record.state is State.BLOCKED:
            for ref in needs:
                yield from _told(queue, record, ref, ref in left)


def _told(queue: QueueState, record: Record, ref: str, pending: bool) -> Iterator[Violation]:
    # What it waits for in another queue cannot be seen from here, nor what comes with it later.
    source = queue.records.get(ref)
    if "/" in ref or source is None or pending:
        return
    if source.terminal or record.id not in queue.edges.get(ref, ()):
        yield Violation(13, record.id, f"waits for {ref}, which will not tell")


def _limit_violations(queue: QueueState) -> Iterator[Violation]:
    marks = list(queue.outbox)
    if any(one.seq >= two.seq for one, two in pairwise(marks)):
        yield Violation(2, "", "messages are out of order")
    if marks and marks[-1].seq > queue.sent:
        yield Violation(2, "", "a message is newer than the last one sent")
    pending = {r.limit_key for r in queue.records.values() if r.state is State.PENDING}
    if pending - {""} != set(queue.turns) - {""}:
        yield Violation(13, "", f"{sorted(pending)} are pending, {sorted(queue.turns)} have a turn")


def _schedule_violations(queue: QueueState) -> Iterator[Violation]:
    for name, schedule in queue.schedules.items():
        if schedule.next_ms and (schedule.paused or schedule.next_ms <= schedule.last_ms):
            yield Violation(9, "", f"the schedule {name} expects the tick {schedule.next_ms}")
        if schedule.revision > queue.revision:
            yield Violation(9, "", f"the schedule {name} has a revision that was never given")


def tick_violations(before: QueueState, after: QueueState) -> Iterator[Violation]:
    """Check that no tick can make a second task: what fired, and what is expected, only grows."""
    for name, new in after.schedules.items():
        old = before.schedules.get(name)
        if old is None:
            continue
        if new.last_ms < old.last_ms or (new.last_ms > old.last_ms and new.last_ms < old.next_ms):
            yield Violation(9, "", f"the schedule {name} fired {new.last_ms} behind {old.last_ms}")
        if new.last_ms != old.last_ms and not old.next_ms:
            yield Violation(9, "", f"the schedule {name} expected no tick, and fired")


def start_violations(before: QueueState, after: QueueState) -> Iterator[Violation]:
    """Check that no claim went over a limit of concurrency."""
    for key in {"", *(r.limit_key for r in after.records.values())}:
        limit = limit_of(after, key)
        was, now = _running(before, key), _running(after, key)
        if limit.concurrency and now > was and now > limit.concurrency:
            yield Violation(11, "", f"{now} tasks run under {key!r}, {limit.concurrency} may")


def _running(queue: QueueState, key: str) -> int:
    active = (r for r in queue.records.values() if r.state is State.ACTIVE)
    return sum(not key or r.limit_key == key for r in active)
