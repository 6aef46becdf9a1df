"""Change: a queue while one rule works on it.

A task comes in only by `add`, changes its state only by `move`, and is removed only by `remove`.
So whatever must follow from these (an entry of the history, a freed unique key, the counters) is
written once, here. `propagate` notifies the dependents of tasks that ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import attrs

from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.stream import entry_of, with_entries
from rediq_trio.spec.ids import pack_ref, split_ref
from rediq_trio.spec.lifecycle import TERMINAL, State, Transition, advance
from rediq_trio.spec.messages import Death, Mail, MailKind, Until
from rediq_trio.spec.order.table import MutableTable
from rediq_trio.spec.records import (
    CANCELLED_GRACE_MS,
    ORDERED_AT_ONCE,
    PROPAGATED_AT_ONCE,
    Ending,
    Lock,
    QueueState,
    Record,
    by_place,
    pack_lane,
)
from rediq_trio.spec.stored_format import ENDED_AS, NEED_FAILED, NIL

SENT_PER_MS = 1024
"""Message numbers per millisecond. A number is at least the time in ms times this, so it is new even
after a failover that lost messages."""


class Change:
    """A queue while one rule works on it: mutable parts of a `QueueState`, until `done`."""

    def __init__(self, queue: QueueState, now: int) -> None:
        self.queue = queue
        self.now = now
        self.records = MutableTable(queue.records)
        self.seq = queue.seq
        self.totals: dict[str, int] = {}
        self.locks = MutableTable(queue.locks)
        self.edges = MutableTable(queue.edges)
        self.needs = MutableTable(queue.needs)
        self.endings = deque[Ending]()
        self.deferred = list(queue.endings)
        self.outbox = list(queue.outbox)
        self.sent = queue.sent
        self.rates = MutableTable(queue.rates)
        self.turn = queue.turn
        self.turns = MutableTable(queue.turns)
        self.rules = MutableTable(queue.rules)
        self._lanes: dict[str, None] = {}
        self._groups: dict[str, None] = {}
        self.entries: list[Entry] = []
        self.died: list[Death] = []
        """The tasks that died because of one that they need."""

    def count(self, total: str, by: int = 1) -> None:
        self.totals[total] = self.totals.get(total, 0) + by

    def add(
        self, record: Record, state: State, transition: Transition = Transition.ENQUEUE,
        *, needs: Sequence[str] = (), **changes: Any,
    ) -> Record:  # fmt: skip
        """Add a new task in its first state, whatever `record.state` says."""
        advance(transition, None, state)
        self.count("enqueued")
        new = attrs.evolve(record, state=state, **changes)
        self._record_entry(transition, None, new, needs)
        return self._put(new)

    def move(self, transition: Transition, record: Record, target: State, **changes: Any) -> Record:
        """Move a task along an edge of `TRANSITIONS`."""
        advance(transition, record.state, target)
        if target is not State.ACTIVE:
            changes.setdefault("lease_ms", 0)
        self._touch(record)
        new = attrs.evolve(record, state=target, **changes)
        if _ends_window(new):
            new = self._unlock(new)
        if target in TERMINAL and record.state not in TERMINAL:
            self._end(new, target, new.result)
        if transition is not Transition.RENEW:
            self._record_entry(transition, record, new)
        return self._put(new)

    def remove(
        self, transition: Transition, record: Record, *, result: bytes | None = None
    ) -> None:
        """Remove a task; `result` is for one that completed."""
        advance(transition, record.state, None)
        self._touch(record)
        if record.until is not Until.EXPIRED or transition in (Transition.DELETE, Transition.FLUSH):
            record = self._unlock(record)
        if transition is not Transition.FLUSH:  # which writes one entry for all tasks
            self._record_entry(transition, record, None)
        if record.state not in TERMINAL:
            ended_as = None if result is None else State.COMPLETED
            self._end(record, ended_as, result or b"")
        del self.records[record.id]
        self.needs.pop(record.id, None)

    def ready(self, transition: Transition, record: Record, **changes: Any) -> Record:
        """Make a task pending, after the pending tasks of its priority."""
        return self.move(transition, record, State.PENDING, seq=self.next_seq(), **changes)

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq

    def bury(self, transition: Transition, record: Record, reason: str, **changes: Any) -> Record:
        self.count("dead")
        return self.move(
            transition, record, State.DEAD, error=reason, finished_ms=self.now, **changes
        )

    def cancel(self, transition: Transition, record: Record, **changes: Any) -> Record:
        purge = self.now + max(record.retention_ms, CANCELLED_GRACE_MS)
        return self.move(
            transition, record, State.CANCELLED, finished_ms=self.now, purge_ms=purge, **changes
        )

    def _record_entry(
        self, transition: Transition, old: Record | None, new: Record | None,
        needs: Sequence[str] = (),
    ) -> None:  # fmt: skip
        if self.queue.history:
            self.entries.append(entry_of(self.now, transition, old, new, self.locks, needs))

    def _put(self, record: Record) -> Record:
        self.records[record.id] = record
        self._touch(record)
        return record

    def _touch(self, record: Record) -> None:
        if record.limit_key:
            self._lanes[record.limit_key] = None
        if record.group:
            self._groups[record.group] = None

    def _end(self, record: Record, ended_as: State | None, result: bytes) -> None:
        if record.has_dependents:
            self.endings.append(Ending(record.id, ended_as, result))

    def holder(self, key: str) -> str | None:
        """Return the holder of a unique key whose window is open."""
        lock = self.locks.get(key)
        return None if lock is None or 0 < lock.till_ms <= self.now else lock.id

    def lock(self, record: Record, till_ms: int) -> None:
        self.locks[record.unique] = Lock(record.id, till_ms)

    def free(self, record: Record) -> None:
        """Free the key of a task that is about to complete, for its children."""
        if record.until is not Until.EXPIRED:
            self.records[record.id] = self._unlock(record)

    def _unlock(self, record: Record) -> Record:
        if not record.owns_unique_key:
            return record
        lock = self.locks.get(record.unique)
        if lock is not None and lock.id == record.id:
            del self.locks[record.unique]
        return attrs.evolve(record, owns_unique_key=False)

    def send(self, queue: str, kind: MailKind, **fields: Any) -> None:
        """Add a message to another queue to the outbox."""
        self.sent = max(self.sent + 1, self.now * SENT_PER_MS)
        self.outbox.append(Mail(self.sent, queue, kind, **fields))

    def link(self, source: Record, dependent: str) -> None:
        """Subscribe `dependent` to the end of a task that has not ended."""
        self.edges[source.id] = self.edges.get(source.id, frozenset()) | {dependent}
        if not source.has_dependents:
            self._put(attrs.evolve(source, has_dependents=True))

    def need(self, task_id: str, ref: str) -> None:
        self.needs[task_id] = self.needs.get(task_id, frozenset()) | {ref}

    def check_dependency(self, task_id: str, ref: str) -> None:
        """Make a task wait for another one; notify it at once if that has ended."""
        queue, local_id = split_ref(ref)
        self.need(task_id, ref)
        if queue:
            self.send(queue, MailKind.SUBSCRIBE, id=task_id, ref=local_id)
        else:
            self.subscribe(local_id, task_id)

    def subscribe(self, local_id: str, dependent: str, *, again: bool = False) -> None:
        """Subscribe `dependent` to the end of a task; notify it now if the task has ended or is gone.

        One that asks again may be subscribed already, or wait for a task that is still on its way.
        """
        source = self.records.get(local_id)
        if again and (source is None or dependent in self.edges.get(local_id, ())):
            return
        if source is None or source.state is State.GROUPED:
            self.notify_dependent(local_id, dependent, None, b"")
        elif source.state in TERMINAL:
            self.notify_dependent(local_id, dependent, source.state, source.result)
        else:
            self.link(source, dependent)

    def notify_dependent(
        self, local_id: str, dependent: str, ended_as: State | None, result: bytes
    ) -> None:
        """Notify a dependent, of this queue or another, of how a task has ended."""
        queue, dependent_id = split_ref(dependent)
        if queue:
            about = {"id": dependent_id, "ref": local_id, "ended_as": ended_as, "result": result}
            self.send(queue, MailKind.ENDED, **about)
        else:
            self.resolve(dependent_id, local_id, ended_as, result)

    def resolve(self, task_id: str, ref: str, ended_as: State | None, result: bytes) -> None:
        """Resolve a dependency of a task, once: `ref`, which it waits for, has ended."""
        record = self.records.get(task_id)
        if record is None or record.state is not State.BLOCKED:
            return
        if ref not in self.needs.get(task_id, ()):
            return
        if ended_as is not State.COMPLETED and not record.run_on_dependency_failure:
            reason = NEED_FAILED % (ref, ENDED_AS[ended_as])
            self.died.append(death_of(self.bury(Transition.UNBLOCK, record, reason)))
            return
        self.needs[task_id] -= {ref}
        if not self.needs[task_id]:
            del self.needs[task_id]
        inputs = (*record.inputs, (ref, result)) if result and result != NIL else record.inputs
        record = self._put(attrs.evolve(record, inputs=inputs, waits=record.waits - 1))
        if record.waits == 0 and record.run_ms > self.now:
            self.move(Transition.UNBLOCK, record, State.SCHEDULED)
        elif record.waits == 0:
            self.ready(Transition.UNBLOCK, record)

    def propagate(self, budget: int = PROPAGATED_AT_ONCE) -> int:
        """Notify the dependents of tasks that have ended, and of those that end by it.

        The dependents of one task are notified in the order in which they were enqueued. Return how
        many were notified, `budget` at most. The rest is deferred to `unblock`.
        """
        notified = 0
        while self.endings:
            ending = self.endings[0]
            waiting = self._dependents(ending.id)
            for dependent in waiting[: budget - notified]:
                self.notify_dependent(ending.id, dependent, ending.ended_as, ending.result)
            left = frozenset(waiting[budget - notified :])
            if left:
                self.edges[ending.id] = left
            else:
                self.edges.pop(ending.id, None)
            notified += len(waiting) - len(left)
            if notified == budget:
                break
            self.endings.popleft()
        self.deferred += self.endings
        self.endings.clear()
        return notified

    def _dependents(self, task_id: str) -> list[str]:
        """Return who waits for a task, in the order in which they are notified.

        Those of other queues come first, because this queue does not know when they were enqueued.
        """
        found = sorted(self.edges.get(task_id, ()), key=pack_ref)
        first = sorted(found[:ORDERED_AT_ONCE], key=self._enqueue_order)
        return first + found[ORDERED_AT_ONCE:]

    def _enqueue_order(self, ref: str) -> tuple[int, int]:
        queue, local_id = split_ref(ref)
        record = None if queue else self.records.get(local_id)
        return (0, 0) if record is None else record.enqueue_order

    def done(self) -> QueueState:
        self.propagate()
        self._turn_lanes()
        self._drop_rules()
        old = self.queue.counters
        totals = {name: getattr(old, name) + by for name, by in self.totals.items()}
        after = attrs.evolve(
            self.queue,
            records=self.records.table,
            seq=self.seq,
            counters=attrs.evolve(old, **totals),
            locks=self.locks.table,
            edges=self.edges.table,
            needs=self.needs.table,
            endings=tuple(self.deferred),
            outbox=tuple(self.outbox),
            sent=self.sent,
            rates=self.rates.table,
            turn=self.turn,
            turns=self.turns.table,
            rules=self.rules.table,
        )
        return with_entries(after, self.entries)

    def _drop_rules(self) -> None:
        for group in self._groups:
            if not self._listed(State.GROUPED, group):
                self.rules.pop(group, None)

    def _listed(self, state: State, lane: str) -> bool:
        return self.records.table.first(by_place, (state, pack_lane(lane))) is not None

    def _turn_lanes(self) -> None:
        for key in self._lanes:
            if self._listed(State.PENDING, key):
                self.turns.setdefault(key, self.turn)
            else:
                self.turns.pop(key, None)


def death_of(record: Record) -> Death:
    """Return what is answered of a task that went to dead."""
    return Death(record.id, record.attempt, record.error)


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
