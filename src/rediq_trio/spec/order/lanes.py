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

from heapq import heappop, heappush
from itertools import islice, takewhile

from rediq_trio.spec.change import Change
from rediq_trio.spec.ids import pack_id
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.order.table import Key, Table
from rediq_trio.spec.records import (
    ANY_KEY,
    NO_LIMIT,
    PRIORITY_SPAN,
    Limit,
    QueueState,
    Record,
    by_place,
    by_running,
    pack_lane,
)


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
        self._waiting: list[tuple[int, bytes, str]] = []
        """A heap of the lanes that have tasks, the next one first."""
        self._served: str | None = None
        for head in change.records.table.heads(by_place, (State.PENDING,)):
            self._wait(head)

    def _wait(self, head: Record) -> None:
        key = head.limit_key
        order = self._change.turns.get(key, 0) if self._queue.fair else head.score
        heappush(self._waiting, (order, key.encode(), key))

    def _free(self, key: str) -> bool:
        limit = limit_of(self._queue, key)
        if limit.concurrency and running(self._change.records.table, key) >= limit.concurrency:
            return False
        return free_at(limit, self._change.rates.get(key, 0)) <= self._change.now

    def remaining(self) -> int:
        """Return how many tasks a further claim would find at least: one per open lane of a key."""
        if not self._free(""):
            return 0
        records = self._change.records.table
        keys = [head.limit_key for head in records.heads(by_place, (State.PENDING,))]
        return records.count(by_place, lane_prefix("")) + sum(
            self._free(key) for key in keys if key
        )

    def next(self) -> Record | None:
        """Return the next task, which leaves its lane before the next call; None if no lane is open."""
        records = self._change.records.table
        if self._served is not None and (
            head := records.first(by_place, lane_prefix(self._served))
        ):
            self._wait(head)
        self._served = None
        while self._waiting and self._free(""):
            key = heappop(self._waiting)[-1]
            if key and not self._free(key):
                continue  # nothing opens it while this claim lasts
            self._served = key
            if key or self._queue.fair:
                self._change.turn += 1
                self._change.turns[key] = self._change.turn
            return records.first(by_place, lane_prefix(key))
        return None

    def started(self, record: Record) -> None:
        """Count a start against the rates of a task."""
        for key in dict.fromkeys(("", record.limit_key)):
            limit = limit_of(self._queue, key)
            if limit.count:
                arrival = self._change.rates.get(key, 0)
                self._change.rates[key] = arrival_after(limit, arrival, self._change.now)


def running(records: Table[Record], key: str) -> int:
    """Return how many tasks of a limit key are active; with '', of the whole queue."""
    return records.count(by_running, (key,) if key else ())


def lane_prefix(key: str) -> Key:
    """Return what the places in a lane begin with."""
    return State.PENDING, pack_lane(key)


def next_start(queue: QueueState, now: int) -> int | None:
    """Return the first instant at which a start becomes possible by a rate alone."""
    records, whole = queue.records, limit_of(queue, "")
    if not records.count(by_place, (State.PENDING,)):
        return None
    if 0 < whole.concurrency <= running(records, ""):
        return None
    queue_free_at = free_at(whole, queue.rates.get("", 0))
    if queue_free_at > now:
        return queue_free_at
    starts: list[int] = []
    for key in [head.limit_key for head in records.heads(by_place, (State.PENDING,))]:
        limit = limit_of(queue, key)
        at = free_at(limit, queue.rates.get(key, 0))
        if key and at > now and not 0 < limit.concurrency <= running(records, key):
            starts.append(at)
    return min(starts, default=None)


def ordered(queue: QueueState, state: State) -> list[Record]:
    """Return the tasks in one state, in the order of its index.

    Pending tasks with a limit key come after those without, key by key. Grouped tasks come
    group by group.
    """
    return list(queue.records.listed(by_place, (state,)))


def oldest_due_ms(queue: QueueState) -> int | None:
    """Return since when the first task of a priority, or of a limit key, has been due; None for none.

    Of each, only the first is looked at.
    """
    lanes = queue.records.heads(by_place, (State.PENDING,))
    heads = [head.run_ms for head in lanes if head.limit_key]
    prefix = lane_prefix("")
    head = queue.records.first(by_place, prefix)
    while head is not None:
        heads.append(head.run_ms)
        last = (*prefix, (head.priority + 1) * PRIORITY_SPAN - 1)
        head = next(queue.records.listed(by_place, prefix, after=last), None)
    return min(heads, default=None)


def rank(record: Record) -> tuple[int, bytes]:
    """Return the sort key of a task among those of its state."""
    return record.score, pack_id(record.id)


def first_tasks(
    queue: QueueState, state: State, limit: int, until: int | None = None
) -> list[Record]:
    """Return the first tasks in one state; with `until`, of those that are due by then."""
    found = queue.records.listed(by_place, (state,))
    return list(islice(takewhile(lambda r: until is None or r.score <= until, found), limit))
