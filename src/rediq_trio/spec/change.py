"""Draft: a queue while one transition works on it.

No task changes state but by `move`, comes but by `add`, goes but by `remove`:
so what has to follow from each can be neither forgotten nor done twice. What
a task's end means for those that wait for it follows in `ripple`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs

from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.stream import describe_step, with_entries
from rediq_trio.spec.ids import pack_ref, split_ref
from rediq_trio.spec.lifecycle import TERMINAL, Event, State, advance
from rediq_trio.spec.records import (
    CANCELLED_GRACE_MS,
    RIPPLE,
    Ending,
    Lock,
    Mail,
    MailKind,
    Queue,
    Record,
    Rule,
    Until,
)

NIL = b"\xc0"
"""A result that is None, packed. It is not handed on."""

HOW = {
    State.COMPLETED: "is completed",
    State.DEAD: "is dead",
    State.CANCELLED: "was cancelled",
    None: "is gone",
}


class Draft:
    """The queue while one transition works on it."""

    def __init__(self, queue: Queue, now: int) -> None:
        self.queue = queue
        self.now = now
        self.records = dict(queue.records)
        self.seq = queue.seq
        self.totals: dict[str, int] = {}
        self.locks = dict(queue.locks)
        self.edges = dict(queue.edges)
        self.needs = dict(queue.needs)
        self.endings = deque[Ending]()
        self.held_over = list(queue.endings)
        self.outbox = list(queue.outbox)
        self.sent = queue.sent
        self.rates = dict(queue.rates)
        self.turn = queue.turn
        self.turns = dict(queue.turns)
        self._lanes: set[str] = set()
        self.notes: list[Entry] = []

    def count(self, total: str, by: int = 1) -> None:
        self.totals[total] = self.totals.get(total, 0) + by

    # --- what tasks do

    def add(
        self, record: Record, state: State, event: Event = Event.ENQUEUE,
        *, needs: Sequence[str] = (), **changes: Any,
    ) -> Record:  # fmt: skip
        """Put a new task in, whose `state` is not yet one."""
        advance(event, None, state)
        self.count("enqueued")
        new = attrs.evolve(record, state=state, **changes)
        self._note(event, None, new, needs)
        return self._put(new)

    def move(self, event: Event, record: Record, target: State, **changes: Any) -> Record:
        """Take a task along an edge of the table."""
        advance(event, record.state, target)
        if target is not State.ACTIVE:
            changes.setdefault("lease_ms", 0)
        self._touch(record)
        new = attrs.evolve(record, state=target, **changes)
        if _ends_window(new):
            new = self._unlock(new)
        if target in TERMINAL and record.state not in TERMINAL:
            self._end(new, target, new.result)
        if event is not Event.RENEW:
            self._note(event, record, new)
        return self._put(new)

    def remove(self, event: Event, record: Record, *, result: bytes | None = None) -> None:
        """Let a task go; with a result, because it completed."""
        advance(event, record.state, None)
        self._touch(record)
        if record.until is not Until.EXPIRED or event in (Event.DELETE, Event.FLUSH):
            record = self._unlock(record)
        if event is not Event.FLUSH:  # one entry for all
            self._note(event, record, None)
        if record.state not in TERMINAL:
            how = None if result is None else State.COMPLETED
            self._end(record, how, result or b"")
        del self.records[record.id]
        self.needs.pop(record.id, None)

    def ready(self, event: Event, record: Record, **changes: Any) -> Record:
        """Make a task pending, behind those of its priority that are ready."""
        return self.move(event, record, State.PENDING, seq=self.next_seq(), **changes)

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq

    def bury(self, event: Event, record: Record, reason: str, **changes: Any) -> Record:
        self.count("dead")
        return self.move(
            event, record, State.DEAD, error=reason, finished_ms=self.now, **changes
        )

    def cancel(self, event: Event, record: Record, **changes: Any) -> Record:
        purge = self.now + max(record.retention_ms, CANCELLED_GRACE_MS)
        return self.move(
            event, record, State.CANCELLED, finished_ms=self.now, purge_ms=purge, **changes
        )

    def _note(
        self, event: Event, old: Record | None, new: Record | None, needs: Sequence[str] = ()
    ) -> None:
        if self.queue.history:
            self.notes.append(describe_step(self.now, event, old, new, self.locks, needs))

    def _put(self, record: Record) -> Record:
        self.records[record.id] = record
        self._touch(record)
        return record

    def _touch(self, record: Record) -> None:
        if record.limit_key:
            self._lanes.add(record.limit_key)

    def _end(self, record: Record, how: State | None, result: bytes) -> None:
        if record.followed:
            self.endings.append(Ending(record.id, how, result))

    # --- unique keys

    def holder(self, key: str) -> str | None:
        """Give the task in the window of a unique key."""
        lock = self.locks.get(key)
        return None if lock is None or 0 < lock.till_ms <= self.now else lock.id

    def lock(self, record: Record, till_ms: int) -> None:
        self.locks[record.unique] = Lock(record.id, till_ms)

    def free(self, record: Record) -> None:
        """Free the key of a task that is about to complete, for its children."""
        if record.until is not Until.EXPIRED:
            self.records[record.id] = self._unlock(record)

    def _unlock(self, record: Record) -> Record:
        if not record.holds:
            return record
        lock = self.locks.get(record.unique)
        if lock is not None and lock.id == record.id:
            del self.locks[record.unique]
        return attrs.evolve(record, holds=False)

    # --- tasks that wait for others

    def post(self, queue: str, kind: MailKind, **fields: Any) -> None:
        """Put a message to another queue into the outbox."""
        self.sent = max(self.sent + 1, self.now * 1024)
        self.outbox.append(Mail(self.sent, queue, kind, **fields))

    def link(self, source: Record, dependent: str) -> None:
        """Let `dependent` be told of the end of a task that has not ended."""
        self.edges[source.id] = self.edges.get(source.id, frozenset()) | {dependent}
        if not source.followed:
            self._put(attrs.evolve(source, followed=True))

    def need(self, task_id: str, ref: str) -> None:
        self.needs[task_id] = self.needs.get(task_id, frozenset()) | {ref}

    def look(self, task_id: str, ref: str) -> None:
        """Let a task wait for another, and tell it at once where that has ended."""
        queue, own = split_ref(ref)
        self.need(task_id, ref)
        if queue:
            self.post(queue, MailKind.LINK, id=task_id, ref=own)
        else:
            self.follow(own, task_id)

    def follow(self, own: str, dependent: str) -> None:
        """Let `dependent` be told of the end of a task, now where it has ended or is not there."""
        source = self.records.get(own)
        if source is None or source.state is State.GROUPED:
            self.tell(own, dependent, None, b"")
        elif source.state in TERMINAL:
            self.tell(own, dependent, source.state, source.result)
        else:
            self.link(source, dependent)

    def tell(self, own: str, dependent: str, how: State | None, result: bytes) -> None:
        """Tell a dependent, here or elsewhere, how a task has ended."""
        queue, dependent_id = split_ref(dependent)
        if queue:
            self.post(queue, MailKind.TOLD, id=dependent_id, ref=own, how=how, result=result)
        else:
            self.resolve(dependent_id, own, how, result)

    def resolve(self, task_id: str, ref: str, how: State | None, result: bytes) -> None:
        """Take note, once, of the end of a task that another one waits for."""
        record = self.records.get(task_id)
        if record is None or record.state is not State.BLOCKED:
            return
        if ref not in self.needs.get(task_id, ()):
            return
        if how is not State.COMPLETED and not record.lenient:
            self.bury(Event.UNBLOCK, record, f"the task {ref} that it needs {HOW[how]}")
            return
        self.needs[task_id] -= {ref}
        if not self.needs[task_id]:
            del self.needs[task_id]
        inputs = record.inputs
        if result and result != NIL:
            inputs += pack_raw(pack_ref(ref)) + result
        record = self._put(attrs.evolve(record, inputs=inputs, waits=record.waits - 1))
        if record.waits == 0:
            self.unblock(Event.UNBLOCK, record)

    def unblock(self, event: Event, record: Record) -> None:
        if record.run_ms > self.now:
            self.move(event, record, State.SCHEDULED)
        else:
            self.ready(event, record)

    def ripple(self, budget: int = RIPPLE) -> int:
        """Tell those that wait for the tasks that have ended, and so on, `budget` at most.

        What is left is held over, and `queue.unblock` goes on with it. Gives how many were told.
        """
        told = 0
        while self.endings:
            ending = self.endings[0]
            waiting = sorted(self.edges.get(ending.id, ()), key=pack_ref)
            for dependent in waiting[: budget - told]:
                self.tell(ending.id, dependent, ending.how, ending.result)
            left = frozenset(waiting[budget - told :])
            if left:
                self.edges[ending.id] = left
            else:
                self.edges.pop(ending.id, None)
            told += len(waiting) - len(left)
            if told == budget:
                break
            self.endings.popleft()
        self.held_over += self.endings
        self.endings.clear()
        return told

    # --- the end of the step

    def done(self) -> Queue:
        self.ripple()
        self._turn_lanes()
        counters = self.queue.counters
        counters = attrs.evolve(
            counters, **{name: getattr(counters, name) + by for name, by in self.totals.items()}
        )
        after = attrs.evolve(
            self.queue,
            records=MappingProxyType(self.records),
            seq=self.seq,
            counters=counters,
            locks=MappingProxyType(self.locks),
            edges=MappingProxyType(self.edges),
            needs=MappingProxyType(self.needs),
            endings=tuple(self.held_over),
            outbox=tuple(self.outbox),
            sent=self.sent,
            rates=MappingProxyType(self.rates),
            turn=self.turn,
            turns=MappingProxyType(self.turns),
            rules=self._rules_in_use(),
        )
        return with_entries(after, self.notes)

    def _rules_in_use(self) -> Mapping[str, Rule]:
        rules = self.queue.rules
        if not rules:
            return rules
        groups = {r.group for r in self.records.values() if r.state is State.GROUPED}
        return MappingProxyType({group: rules[group] for group in rules if group in groups})

    def _turn_lanes(self) -> None:
        for key in self._lanes:
            if any(r.limit_key == key and r.state is State.PENDING for r in self.records.values()):
                self.turns.setdefault(key, self.turn)
            else:
                self.turns.pop(key, None)


def _ends_window(record: Record) -> bool:
    match record.state:
        case State.ACTIVE:
            return record.until is Until.STARTED
        case State.CANCELLED:
            return True
        case State.COMPLETED | State.DEAD:
            return record.until is not Until.EXPIRED
        case _:
            return False


def pack_raw(raw: bytes) -> bytes:
    """Give text as the scripts' msgpack has it, which knows no other kind of bytes."""
    size = len(raw)
    if size < 32:
        return bytes([0xA0 | size]) + raw
    if size < 256:
        return bytes([0xD9, size]) + raw
    if size < 65_536:
        return b"\xda" + size.to_bytes(2, "big") + raw
    return b"\xdb" + size.to_bytes(4, "big") + raw
