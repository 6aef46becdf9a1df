"""Which pending task is next, under limits and fairness.

The pending tasks of one limit key are a lane; those without a limit key are a lane too. A lane is
open while its limit allows a start. A claim takes the first task of all open lanes, by priority and
age; in a fair queue it takes the first task of the open lane that was served longest ago.

Rates follow the generic cell rate algorithm (GCRA, ITU-T I.371). A start at `t` is allowed when the
theoretical arrival time is at most a tolerance ahead of it: `arrival - tolerance <= t`. Each start
sets `arrival = max(arrival, t) + interval`. With `tolerance = (count + burst - 1) * interval - period`,
at most `count + burst - 1` tasks start in any period: after the first of n starts, at `t`, the arrival
time is at least `t + interval`, and before the last at least `t + (n - 1) * interval`. So the last
one comes at `t + (n - 1) * interval - tolerance` or later. If it comes within the period, then
`(n - 1) * interval < period + tolerance = (count + burst - 1) * interval`, so `n <= count + burst - 1`.

The tolerance is `burst - 1` intervals, and what the interval is longer than `period / count`, times
`count`: the slack. A start that comes late by up to the slack delays none of those after it.
"""

from __future__ import annotations

from collections import Counter, deque
from heapq import nsmallest

from rediq_trio.spec.change import Change
from rediq_trio.spec.ids import pack_id
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import ANY_KEY, NO_LIMIT, Limit, QueueState, Record


def limit_of(queue: QueueState, key: str) -> Limit:
    """Return the limit that applies to a key, or with '' to the whole queue."""
    found = queue.limits.get(key)
    if found is None and key:
        found = queue.limits.get(ANY_KEY)
    return found or NO_LIMIT


def free_at(limit: Limit, arrival_us: int) -> int:
    """Return when the rate allows a start, in whole ms; 0 without a rate."""
    if not limit.count:
        return 0
    return -(-(arrival_us - limit.tolerance_us) // 1000)


def arrival_after(limit: Limit, arrival_us: int, now: int) -> int:
    """Return the theoretical arrival time after a start, in microseconds."""
    return max(arrival_us, now * 1000) + limit.interval_us


class Lanes:
    """The lanes of a queue, while a claim takes tasks from them."""

    def __init__(self, change: Change) -> None:
        self._change = change
        self._queue = change.queue
        records = change.records.values()
        self._active = Counter(r.limit_key for r in records if r.state is State.ACTIVE)
        self._running = self._active.total()
        self._lanes: dict[str, deque[Record]] = {}
        for record in sorted((r for r in records if r.state is State.PENDING), key=rank):
            self._lanes.setdefault(record.limit_key, deque()).append(record)

    def _free(self, key: str, running: int) -> bool:
        limit = limit_of(self._queue, key)
        if limit.concurrency and running >= limit.concurrency:
            return False
        return free_at(limit, self._change.rates.get(key, 0)) <= self._change.now

    def open(self) -> list[str]:
        """Return the lanes that have a task and may start it."""
        if not self._free("", self._running):
            return []
        return [key for key in self._lanes if not key or self._free(key, self._active[key])]

    def remaining(self) -> int:
        """Return how many tasks a further claim would find at least: one per open lane of a key."""
        return sum(1 if key else len(self._lanes[key]) for key in self.open())

    def next(self) -> Record | None:
        """Take the next task out of its lane; None when no lane is open."""
        chosen = min(self.open(), key=self._order, default=None)
        if chosen is None:
            return None
        lane = self._lanes[chosen]
        record = lane.popleft()
        if not lane:
            del self._lanes[chosen]
        if chosen or self._queue.fair:
            self._change.turn += 1
            self._change.turns[chosen] = self._change.turn
        return record

    def _order(self, key: str) -> tuple[int, bytes]:
        if self._queue.fair:
            return self._change.turns.get(key, 0), key.encode()
        return self._lanes[key][0].score, key.encode()

    def started(self, record: Record) -> None:
        """Count a start against the limits of a task."""
        self._running += 1
        self._active[record.limit_key] += 1
        for key in {"", record.limit_key}:
            limit = limit_of(self._queue, key)
            if limit.count:
                arrival = self._change.rates.get(key, 0)
                self._change.rates[key] = arrival_after(limit, arrival, self._change.now)


def next_start(queue: QueueState, now: int) -> int | None:
    """Return the first instant at which a start becomes possible by a rate alone."""
    records = queue.records.values()
    lanes = {r.limit_key for r in records if r.state is State.PENDING}
    active = Counter(r.limit_key for r in records if r.state is State.ACTIVE)
    whole = limit_of(queue, "")
    if not lanes or 0 < whole.concurrency <= active.total():
        return None
    queue_free_at = free_at(whole, queue.rates.get("", 0))
    if queue_free_at > now:
        return queue_free_at
    starts: list[int] = []
    for key in lanes - {""}:
        limit = limit_of(queue, key)
        at = free_at(limit, queue.rates.get(key, 0))
        if at > now and (not limit.concurrency or active[key] < limit.concurrency):
            starts.append(at)
    return min(starts, default=None)


def ordered(queue: QueueState, state: State) -> list[Record]:
    """Return the tasks in one state, in the order of its index.

    Pending tasks with a limit key come after those without, key by key. Grouped tasks come
    group by group.
    """
    found = (r for r in queue.records.values() if r.state is state)
    return sorted(found, key=_listed)


def oldest_due_ms(queue: QueueState) -> int | None:
    """Return since when the first task of a priority, or of a limit key, has been due; None for none.

    Of each, only the first is looked at.
    """
    heads: dict[int | str, int] = {}
    for record in ordered(queue, State.PENDING):
        heads.setdefault(record.limit_key or record.priority, record.run_ms)
    return min(heads.values(), default=None)


def _listed(record: Record) -> tuple[bytes, int, bytes]:
    lane = ""
    if record.state is State.PENDING:
        lane = record.limit_key
    elif record.state is State.GROUPED:
        lane = record.group
    return bytes([len(lane.encode())]) + lane.encode(), *rank(record)


def rank(record: Record) -> tuple[int, bytes]:
    """Return the sort key of a task among those of its state."""
    return record.score, pack_id(record.id)


def first_tasks(
    queue: QueueState, state: State, limit: int, until: int | None = None
) -> list[Record]:
    """Return the first tasks in one state; with `until`, of those that are due by then."""
    found = (
        r
        for r in queue.records.values()
        if r.state is state and (until is None or r.score <= until)
    )
    return nsmallest(limit, found, key=rank)
