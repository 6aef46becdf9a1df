"""Replay: a recorded history, run through the specification.

`replay` takes entries in their order and gives what breaks the specification. Each step of
a task is run by `spec.rerun`; here is what concerns several tasks: who may hold a key, what
must have ended before, whose turn it is, how many may run and start.

A history may have lost its beginning. What is not known is taken on trust: a task that is
first seen, a setting that no entry and no header tells. Nothing is said to be broken that
may have been right. Two things bend that where a store's clock was set back: a rate, or a
unique key by time, that a purge has forgotten in between.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush

import attrs

from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.rerun import differences, record_of
from rediq_trio.spec.indexes import rank
from rediq_trio.spec.lanes import free_at, limit_of
from rediq_trio.spec.lifecycle import TERMINAL, TRANSITIONS, State, Transition
from rediq_trio.spec.operate import limit
from rediq_trio.spec.records import NO_LIMIT, Limit, Lock, QueueState, Record


@attrs.frozen
class ReplaySettings:
    """What was set in a queue when its history was read; None where that is not known."""

    paused: bool | None = None
    fair: bool | None = None
    limits: Mapping[str, Limit] | None = None

    @classmethod
    def of(cls, queue: QueueState) -> ReplaySettings:
        """Give those of a queue."""
        return cls(queue.paused, queue.fair, queue.limits)

    def before(self, entries: Sequence[Entry]) -> ReplaySettings:
        """Give what was set before these entries."""
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
    """Its number in the contract; 0 for the state machine, or the history itself."""
    detail: str

    def __str__(self) -> str:
        rule = f"invariant {self.invariant}" if self.invariant else "the state machine"
        subject = f" of {self.entry.id}" if self.entry.id else ""
        return f"step {self.entry.number}, {self.entry.transition}{subject}: {rule}: {self.detail}"


def replay(entries: Sequence[Entry], settings: ReplaySettings | None = None) -> Iterator[Break]:
    """Give every break, in order; each step goes on from what the last one said."""
    walk = _Walk((settings or ReplaySettings()).before(entries))
    for entry in entries:
        for invariant, detail in walk.take(entry):
            yield Break(entry, invariant, detail)


Findings = Iterator[tuple[int, str]]
_EVENTS = {*map(str, Transition)} - {Transition.RENEW, Transition.FLUSH}
"""Those that have an entry for each task."""


class _Walk:
    """What is known of the queue on the way."""

    def __init__(self, settings: ReplaySettings) -> None:
        self._settings = settings
        limits = {k: v for k, v in (settings.limits or {}).items() if v != NO_LIMIT}
        self._queue = QueueState(limits=limits)
        """Its limits and rates."""
        self._step = 0
        self._latest = 0
        self._seq = 0
        self._tokens: set[tuple[str, int, bytes]] = set()
        self._forget(whole=False)

    def _forget(self, *, whole: bool) -> None:
        """Begin anew; with `whole`, there is no task."""
        self._whole = whole
        self._records: dict[str, Record] = {}
        self._gone: set[str] = set()
        self._locks: dict[str, Lock] = {}
        self._running: Counter[str] = Counter()
        self._heads: defaultdict[str | None, list[tuple[int, bytes, str]]] = defaultdict(list)
        """The pending tasks of each limit key, and under None all, as heaps."""
        self._needs: dict[str, frozenset[str]] = {}
        self._followers: defaultdict[str, set[str]] = defaultdict(set)

    def take(self, entry: Entry) -> Findings:
        """Say what is wrong with the next step, and go on from it."""
        if self._step and entry.number != self._step + 1:
            yield 0, f"it follows step {self._step}"
        self._step = entry.number
        if entry.now_ms < self._latest:
            # The clock was set back: what binds by time may have been forgotten.
            self._queue = attrs.evolve(self._queue, rates={})
            self._locks = {k: lock for k, lock in self._locks.items() if not lock.till_ms}
        self._latest = entry.now_ms
        if entry.id:
            yield from self._task(entry)
        else:
            yield from self._of_queue(entry)

    # --- a step of the queue

    def _of_queue(self, entry: Entry) -> Findings:
        match entry.transition:
            case "begin":
                self._forget(whole=entry.after == (0,))
            case "flush":
                if self._whole and entry.after != (len(self._records),):
                    yield 2, f"{entry.after[0]} tasks went, should be {len(self._records)}"
                self._forget(whole=True)
            case "pause" | "resume":
                yield from _unlike(entry.before, self._settings.paused)
                self._settings = attrs.evolve(self._settings, paused=bool(entry.after[0]))
            case "arrange":
                yield from _unlike(entry.before, self._settings.fair)
                self._settings = attrs.evolve(self._settings, fair=bool(entry.after[0]))
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

    # --- a step of a task

    def _task(self, entry: Entry) -> Findings:
        before = self._records.get(entry.id)
        yield from self._moves(entry, before)
        yield from self._holds(entry, before)
        if entry.transition == Transition.UNBLOCK and entry.target is not State.DEAD:
            yield from self._waits(entry)
        if entry.transition == Transition.CLAIM:
            yield from self._claims(entry, before)
        self._keep(entry, before)

    def _moves(self, entry: Entry, before: Record | None) -> Findings:
        """Check the edge, where the task was, and what the specification makes of it."""
        if entry.transition not in _EVENTS:
            yield 0, "there is no such step of a task"
            return
        transition = Transition(entry.transition)
        if (entry.source, entry.target) not in TRANSITIONS[transition]:
            source, target = entry.source or "-", entry.target or "-"
            yield 5 if entry.source in TERMINAL else 0, f"{source} -> {target} is no edge of it"
            return
        known = before is not None or self._whole or entry.id in self._gone
        was = before and before.state
        if known and was is not entry.source:
            yield 1, f"it was {was or 'not there'}, not {entry.source or 'missing'}"
            return
        if before is not None or entry.source is None:
            yield from differences(before, entry, self._seq)

    def _holds(self, entry: Entry, before: Record | None) -> Findings:
        """Check that nobody else holds the unique key that the task takes."""
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

    def _waits(self, entry: Entry) -> Findings:
        """Check that the tasks it waited for have ended, those of this queue that are known."""
        for ref in sorted(self._needs.get(entry.id, ())):
            source = self._records.get(ref)
            if source is None and not (self._whole or ref in self._gone):
                continue
            good = source is not None and source.state is State.COMPLETED
            ended = source is None or source.terminal or source.state is State.GROUPED
            if not good and not (ended and entry.run_on_dependency_failure):
                yield 8, f"the task {ref} that it needs is {source.state if source else 'gone'}"

    def _claims(self, entry: Entry, before: Record | None) -> Findings:
        """Check that the task may start, and start now."""
        if self._settings.paused:
            yield 8, "the queue is paused"
        if before is not None:
            yield from self._turn(before)
        if entry.target is not State.ACTIVE:
            return
        token = entry.id, entry.deliveries, entry.nonce
        if token in self._tokens:
            yield 3, f"the token ({entry.deliveries}, {entry.nonce.hex()}) was given before"
        self._tokens.add(token)
        if self._settings.limits is not None:
            yield from self._limited(entry)

    def _turn(self, record: Record) -> Findings:
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

    def _limited(self, entry: Entry) -> Findings:
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
                rates[key] = max(rates.get(key, 0), entry.now_ms * 1000) + holds.interval_us
        self._queue = attrs.evolve(self._queue, rates=rates)

    # --- what is known behind it

    def _keep(self, entry: Entry, before: Record | None) -> None:
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
        self._note_needs(entry)

    def _note_needs(self, entry: Entry) -> None:
        if entry.source is None:
            self._needs.pop(entry.id, None)
        if entry.needs:
            here = {ref for ref in entry.needs if "/" not in ref}
            done = {
                ref for ref in here
                if (found := self._records.get(ref)) and found.state is State.COMPLETED
            }  # fmt: skip
            self._needs[entry.id] = frozenset(here - done)
            for ref in here - done:
                self._followers[ref].add(entry.id)
        if entry.target is None:
            self._needs.pop(entry.id, None)
        completed = entry.transition == Transition.COMPLETE
        if completed or entry.target is None or entry.target in TERMINAL:
            for follower in self._followers.pop(entry.id, ()):
                record = self._records.get(follower)
                if record is None or follower not in self._needs:
                    continue
                if completed or record.run_on_dependency_failure:
                    self._needs[follower] -= {entry.id}
                else:
                    self._followers[entry.id].add(follower)


def _unlike(before: tuple[int, ...], known: bool | None) -> Findings:
    if known is not None and before != (int(known),):
        yield 0, f"it was {int(known)}, not {before[0]}"
