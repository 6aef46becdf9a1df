"""Replay: run a recorded history through the specification.

`replay` takes entries in their order and returns the steps that break the specification;
`replay_until` returns the queue after one of them. `rerun`
checks each step of a task by itself. This module checks what concerns several tasks: who may hold a
unique key, which tasks must have ended before, which task is next, how many may run and start.

A history may have lost its beginning. An unknown task or setting is then accepted as it is first
seen, so a step is only reported if it is certainly wrong. There are two exceptions, if a store's
clock was set back: a rate, or a unique key whose window ends by time, that a purge has removed
meanwhile.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush
from typing import Any

import attrs

from rediq_trio.spec.check.findings import Findings
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.rerun import differences, record_of
from rediq_trio.spec.lifecycle import TERMINAL, TRANSITIONS, State, Transition
from rediq_trio.spec.operate import limit
from rediq_trio.spec.order.lanes import arrival_after, free_at, limit_of, rank
from rediq_trio.spec.records import NO_LIMIT, Limit, Lock, QueueState, Record


@attrs.frozen
class ReplaySettings:
    """The settings of a queue when its history was read; None for an unknown one."""

    paused: bool | None = None
    fair: bool | None = None
    limits: Mapping[str, Limit] | None = None

    @classmethod
    def of(cls, queue: QueueState) -> ReplaySettings:
        """Return the settings of a queue."""
        return cls(queue.paused, queue.fair, queue.limits)

    def before(self, entries: Sequence[Entry]) -> ReplaySettings:
        """Return the settings before these entries."""
        paused, fair = self.paused, self.fair
        limits = None if self.limits is None else dict(self.limits)
        for entry in reversed(entries):
            if entry.transition in ("pause", "resume"):
                paused = bool(entry.before[0])
            elif entry.transition == "arrange":
                fair = bool(entry.before[0])
            elif entry.transition == "limit" and limits is not None:
                limits[entry.key] = Limit(*entry.before)
        return ReplaySettings(paused, fair, limits)


@attrs.frozen
class Break:
    """A step that breaks the specification."""

    entry: Entry
    invariant: int
    """The number of the broken invariant in `docs/invariants.md`; 0 for the state machine or the history."""
    detail: str

    def __str__(self) -> str:
        rule = f"invariant {self.invariant}" if self.invariant else "the state machine"
        subject = f" of {self.entry.id}" if self.entry.id else ""
        return f"step {self.entry.number}, {self.entry.transition}{subject}: {rule}: {self.detail}"


def replay(entries: Sequence[Entry], settings: ReplaySettings | None = None) -> Iterator[Break]:
    """Return every break, in order. Each step is checked against what the entries before it say."""
    state = _Replay((settings or ReplaySettings()).before(entries))
    for entry in entries:
        for invariant, detail in state.take(entry):
            yield Break(entry, invariant, detail)


@attrs.frozen
class ReplayedQueue:
    """What a history says of its queue after one of its steps."""

    records: Mapping[str, Record]
    settings: ReplaySettings
    is_complete: bool
    """Whether the queue has no other task."""


def replay_until(
    entries: Sequence[Entry], count: int, settings: ReplaySettings | None = None
) -> ReplayedQueue:
    """Return the queue after its first `count` entries. The settings are those after all entries."""
    state = _Replay((settings or ReplaySettings()).before(entries))
    for entry in entries[:count]:
        for _ in state.take(entry):
            pass  # it continues from a step that breaks the specification
    return state.known()


_TASK_TRANSITIONS = {*map(str, Transition)} - {Transition.RENEW, Transition.FLUSH}
"""The transitions that write an entry for each task."""


class _Replay:
    """What is known of the queue while its history is replayed."""

    def __init__(self, settings: ReplaySettings) -> None:
        self._settings = settings
        limits = {k: v for k, v in (settings.limits or {}).items() if v != NO_LIMIT}
        self._queue = QueueState(limits=limits)
        """The queue with its limits and rates only."""
        self._step = 0
        self._latest = 0
        self._seq = 0
        self._tokens: set[tuple[str, int, bytes]] = set()
        self._forget(knows_all=False)

    def _forget(self, *, knows_all: bool) -> None:
        """Start over; with `knows_all` the queue has no tasks, else it may have any."""
        self._knows_all = knows_all
        self._records: dict[str, Record] = {}
        self._gone: set[str] = set()
        self._locks: dict[str, Lock] = {}
        self._running: Counter[str] = Counter()
        self._heads: defaultdict[str | None, list[tuple[int, bytes, str]]] = defaultdict(list)
        """Limit key -> heap of its pending tasks; None has the heap of all."""
        self._needs: dict[str, frozenset[str]] = {}
        self._dependents: defaultdict[str, set[str]] = defaultdict(set)

    def known(self) -> ReplayedQueue:
        """Return what is known now."""
        limits = None if self._settings.limits is None else dict(self._queue.limits)
        settings = attrs.evolve(self._settings, limits=limits)
        return ReplayedQueue(dict(self._records), settings, self._knows_all)

    def take(self, entry: Entry) -> Findings:
        """Return what is wrong with the next step, and continue from it."""
        if self._step and entry.number != self._step + 1:
            yield 0, f"it follows step {self._step}"
        self._step = entry.number
        if entry.now_ms < self._latest:
            # The clock was set back: rates, and windows that end by time, may have been removed.
            self._queue = attrs.evolve(self._queue, rates={})
            self._locks = {k: lock for k, lock in self._locks.items() if not lock.till_ms}
        self._latest = entry.now_ms
        if entry.id:
            yield from self._check_task(entry)
        else:
            yield from self._check_queue(entry)

    def _check_queue(self, entry: Entry) -> Findings:
        match entry.transition:
            case "begin":
                self._forget(knows_all=entry.after == (0,))
            case "flush":
                if self._knows_all and entry.after != (len(self._records),):
                    yield 2, f"{entry.after[0]} tasks went, should be {len(self._records)}"
                self._forget(knows_all=True)
            case "pause" | "resume" | "arrange":
                name = "fair" if entry.transition == "arrange" else "paused"
                was = getattr(self._settings, name)
                if was is not None and entry.before != (int(was),):
                    yield 0, f"it was {int(was)}, not {entry.before[0]}"
                changed: dict[str, Any] = {name: bool(entry.after[0])}
                self._settings = attrs.evolve(self._settings, **changed)
            case "limit":
                before, after = Limit(*entry.before), Limit(*entry.after)
                known = self._queue.limits.get(entry.key, NO_LIMIT)
                if self._settings.limits is not None and before != known:
                    yield 11, f"the limit was {known}, not {before}"
                self._queue, _ = limit(
                    self._queue, entry.now_ms, key=entry.key, concurrency=after.concurrency,
                    count=after.count, period_ms=after.period_ms, burst=after.burst,
                )  # fmt: skip
            case _:
                yield 0, "there is no such step of a queue"

    def _check_task(self, entry: Entry) -> Findings:
        before = self._records.get(entry.id)
        yield from self._check_edge(entry, before)
        yield from self._check_unique_key(entry, before)
        if entry.transition == Transition.UNBLOCK and entry.target is not State.DEAD:
            yield from self._check_needs(entry)
        if entry.transition == Transition.CLAIM:
            yield from self._check_claim(entry, before)
        self._record(entry, before)

    def _check_edge(self, entry: Entry, before: Record | None) -> Findings:
        """Check the edge, the state before, and the values that the specification computes."""
        if entry.transition not in _TASK_TRANSITIONS:
            yield 0, "there is no such step of a task"
            return
        transition = Transition(entry.transition)
        if (entry.source, entry.target) not in TRANSITIONS[transition]:
            source, target = entry.source or "-", entry.target or "-"
            yield 5 if entry.source in TERMINAL else 0, f"{source} -> {target} is no edge of it"
            return
        known = before is not None or self._knows_all or entry.id in self._gone
        was = before and before.state
        if known and was is not entry.source:
            yield 1, f"it was {was or 'not there'}, not {entry.source or 'missing'}"
            return
        if before is not None or entry.source is None:
            yield from differences(before, entry, self._seq)

    def _check_unique_key(self, entry: Entry, before: Record | None) -> Findings:
        """Check that no other task holds the unique key that this one takes."""
        again = (
            entry.transition == Transition.REVIVE
            and before is not None
            and not before.owns_unique_key
        )
        taken = entry.owns_unique_key and (again or entry.transition == Transition.ENQUEUE)
        held = self._locks.get(entry.unique) if entry.unique else None
        if taken:
            if held and held.id != entry.id and not 0 < held.till_ms <= entry.now_ms:
                yield 6, f"the unique key {entry.unique!r} is held by {held.id}"
            self._locks[entry.unique] = Lock(entry.id, entry.till_ms)
        elif held and held.id == entry.id and not entry.owns_unique_key:
            del self._locks[entry.unique]

    def _check_needs(self, entry: Entry) -> Findings:
        """Check that the tasks that it waited for have ended, if they are known."""
        for ref in sorted(self._needs.get(entry.id, ())):
            source = self._records.get(ref)
            if source is None and not (self._knows_all or ref in self._gone):
                continue
            good = source is not None and source.state is State.COMPLETED
            ended = source is None or source.terminal or source.state is State.GROUPED
            if not good and not (ended and entry.run_on_dependency_failure):
                yield 8, f"the task {ref} that it needs is {source.state if source else 'gone'}"

    def _check_claim(self, entry: Entry, before: Record | None) -> Findings:
        """Check that the task may be claimed now."""
        if self._settings.paused:
            yield 8, "the queue is paused"
        if before is not None:
            yield from self._check_order(before)
        if entry.target is not State.ACTIVE:
            return
        token = entry.id, entry.deliveries, entry.nonce
        if token in self._tokens:
            yield 3, f"the token ({entry.deliveries}, {entry.nonce.hex()}) was given before"
        self._tokens.add(token)
        if self._settings.limits is not None:
            yield from self._check_limits(entry)

    def _check_order(self, record: Record) -> Findings:
        lanes: list[str | None] = [record.limit_key]
        if self._settings.fair is False:
            lanes.append("")
            if self._settings.limits is not None and not self._queue.limits:
                lanes.append(None)
        for lane in dict.fromkeys(lanes):
            first = self._first(lane)
            if first is not None and rank(first) < rank(record):
                yield 7, f"{first.id} is before it"
                return

    def _first(self, lane: str | None) -> Record | None:
        heap = self._heads[lane]
        while heap:
            score, _, task_id = heap[0]
            record = self._records.get(task_id)
            if (
                record is not None
                and (record.state, record.score) == (State.PENDING, score)
                and lane in (None, record.limit_key)  # one that was replaced may have another
            ):
                return record
            heappop(heap)
        return None

    def _check_limits(self, entry: Entry) -> Findings:
        rates = dict(self._queue.rates)
        for key in sorted({"", entry.limit_key}):
            holds = limit_of(self._queue, key)
            running = self._running[key] if key else self._running.total()
            what = f"limit key {key!r}" if key else "queue"
            if holds.concurrency and running >= holds.concurrency:
                yield 11, f"{running} of the {what} run already, {holds.concurrency} may"
            if holds.count:
                at = free_at(holds, rates.get(key, 0))
                if at > entry.now_ms:
                    yield 11, f"the rate of the {what} lets none start for {at - entry.now_ms} ms"
                rates[key] = arrival_after(holds, rates.get(key, 0), entry.now_ms)
        self._queue = attrs.evolve(self._queue, rates=rates)

    def _record(self, entry: Entry, before: Record | None) -> None:
        if before is not None and before.state is State.ACTIVE:
            self._running[before.limit_key] -= 1
        self._seq = max(self._seq, entry.seq)
        record = record_of(entry)
        if record is None:
            self._records.pop(entry.id, None)
            self._gone.add(entry.id)
        else:
            if before is not None and not record.nonce and entry.transition != Transition.RECLAIM:
                record = attrs.evolve(record, nonce=before.nonce, worker=before.worker)
            self._records[entry.id] = record
            if record.state is State.ACTIVE:
                self._running[record.limit_key] += 1
            elif record.state is State.PENDING:
                for lane in (record.limit_key, None):
                    heappush(self._heads[lane], (*rank(record), entry.id))
        self._record_needs(entry)

    def _record_needs(self, entry: Entry) -> None:
        if entry.source is None or entry.target is None:
            self._needs.pop(entry.id, None)
        if entry.needs:
            here = {ref for ref in entry.needs if "/" not in ref}
            done = {
                ref for ref in here
                if (found := self._records.get(ref)) and found.state is State.COMPLETED
            }  # fmt: skip
            self._needs[entry.id] = frozenset(here - done)
            for ref in here - done:
                self._dependents[ref].add(entry.id)
        completed = entry.transition == Transition.COMPLETE
        if completed or entry.target is None or entry.target in TERMINAL:
            for dependent in self._dependents.pop(entry.id, ()):
                record = self._records.get(dependent)
                if record is None or dependent not in self._needs:
                    continue
                if completed or record.run_on_dependency_failure:
                    self._needs[dependent] -= {entry.id}
                else:
                    self._dependents[entry.id].add(dependent)
