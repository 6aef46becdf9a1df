"""Watches a fleet: attempts by way of telemetry, the store by way of its effects, and asks the oracles.

Long, because what happens and what is asked about it are read together.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import attrs

from rediq_trio.handlers.app import App
from rediq_trio.handlers.context import CURRENT, CurrentTask
from rediq_trio.settings import Settings
from rediq_trio.spec.check.findings import Violation
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Claimed, Completed, Fence
from rediq_trio.spec.records import QueueState, Record, by_place
from rediq_trio.tasks.task_info import read_progress
from rediq_trio.testing.effects import Effect, QueueChange
from rediq_trio.testing.fleets import oracles
from rediq_trio.testing.fleets.facts import (
    AnsweredWait,
    AskedCancel,
    FleetAttempt,
    FleetFacts,
    HostLoad,
    KeptProgress,
    LapsedLease,
    SettledOutcome,
)
from rediq_trio.testing.fleets.oracles import Oracle, words
from rediq_trio.testing.judge.invariants import violations
from rediq_trio.testing.network import SimNetwork
from rediq_trio.testing.simulated.servers import SimServer
from rediq_trio.testing.simulated.touched import touched_violations
from rediq_trio.testing.world import HOST, World
from rediq_trio.values.telemetry.port import (
    BegunAttempt,
    EndedAttempt,
    ObservedAttempt,
    ObservedSettlement,
    Telemetry,
)
from rediq_trio.values.telemetry.sending import Sending, ServerAddress

_INVARIANTS = "the invariants of the store hold"


@attrs.frozen
class FleetViolation:
    """A promise that was broken."""

    promise: str
    """The promise as a sentence, or the name of what a test checks."""
    text: str
    at: float
    """Simulated seconds since the beginning."""

    def __str__(self) -> str:
        return f"{self.promise}: {self.text} (at {self.at:.3f} s)"


@attrs.frozen
class FleetNote:
    """Something that happened beside the effects: an attempt that begins, a fault."""

    at: float
    effects: int
    """The number of effects before it."""
    text: str


class FleetWatch:
    """Adds to the facts what happens, and keeps the first promise that was broken."""

    def __init__(self, world: World, network: SimNetwork, settings: Settings) -> None:
        self.facts = FleetFacts(settings)
        self.violation: FleetViolation | None = None
        self.applied: Counter[str] = Counter()
        """How often each oracle applied, and was not excused."""
        self.places: dict[str, SimServer] = {}
        """The server of each host."""
        self.notes: list[FleetNote] = []
        self._world = world
        self._network = network
        self._leases: dict[tuple[str, int], float] = {}
        """When the lease of each delivery of a task runs out."""
        network.watchers.append(self._saw)

    # What is broken.

    def fail(self, promise: str, text: str) -> None:
        """Note that a promise was broken; the first counts."""
        if self.violation is None and not self._world.over:
            self.violation = FleetViolation(promise, text, self._world.now)
            # Without the text: that of an exception may have an address in it.
            self.note(f"BROKEN {promise}")

    def note(self, line: str) -> None:
        """Add a line to the history."""
        if self._world.over:
            return
        history = self._network.history
        self.notes.append(FleetNote(self._world.now, len(history), line))
        history.note(f"{self._world.now:.6f} {line}")

    def ask(self, oracle: Oracle, what: object) -> None:
        """Ask an oracle about what has happened."""
        if self._world.over:
            return
        answer = oracle(self.facts, what)
        if answer is not None:
            self.applied[words(oracle)] += 1
            if answer:
                self.fail(words(oracle), answer)

    def later(self, seconds: float, ask: Callable[[], object]) -> None:
        """Do something after some simulated seconds."""
        self._world.clock.at(self._world.now + seconds, ask)

    def seconds(self, instant_ms: int) -> float:
        """Convert an instant of the store to seconds since the beginning."""
        return self._world.now + (instant_ms - self._world.now_ms()) / 1000

    # Attempts.

    def watched(self, app: App) -> App:
        """Return a copy of an app whose attempts are watched."""
        found = copy.copy(app)
        found.telemetry = _Watching(self, app.telemetry)
        return found

    def begin(self, begun: BegunAttempt, current: CurrentTask) -> FleetAttempt:
        """Note that a handler is about to be called."""
        host = HOST.get()
        assert host is not None
        delivery, now = current.fence, self._world.now
        attempt = FleetAttempt(
            task_id=begun.id, type=begun.type, host=host.name, delivery=delivery, begun=now,
            lease_end=self._leases.get((begun.id, delivery), now), current=current,
        )  # fmt: skip
        self.note(f"{host.name} begins {begun.id} delivery {delivery}")
        self.ask(oracles.no_attempt_begins_on_a_lease_that_is_over, attempt)
        self.ask(oracles.attempts_do_not_overlap, attempt)
        self.ask(oracles.done_work_is_not_done_again, attempt)
        self.facts.begin(attempt)
        self._ask_load(host.name)
        if self.facts.forgotten_since(0.0):
            after = self.facts.settings.beat + 5.0
            self.later(after, lambda: self.ask(oracles.attempts_end_that_the_store_forgot, attempt))
        return attempt

    def end(self, attempt: FleetAttempt, ended: EndedAttempt) -> None:
        """Note that an attempt has ended."""
        attempt.percent = attempt.current._attempt.percent
        self.note(f"{attempt.host} ends {attempt.task_id} {ended.end}")
        self.facts.end(attempt, ended.end, self._world.now)

    def host_is_gone(self, host: str) -> None:
        """Note that nothing runs on a host any more."""
        for attempt in tuple(self.facts.by_host[host]):
            self.facts.end(attempt, None, self._world.now)

    def _ask_load(self, host: str) -> None:
        place, settings = self.places[host], self.facts.settings
        if not isinstance(settings.prefetch, int):
            return  # how much it claims ahead follows its own measurements
        lending = 0
        if place.host.name == host and place.server is not None:
            lending = place.server._worker.lease_table.slots.lending
        leases = sum(
            record.worker == host
            for queue in self._network.store.queue_states.values()
            for record in active(queue)
        )
        slots = settings.concurrency + lending
        running = len(self.facts.by_host[host])
        load = HostLoad(host, leases, running, slots + settings.prefetch, slots, self._world.now)
        self.ask(oracles.no_worker_exceeds_its_slots, load)

    # Effects.

    def _saw(self, effect: Effect, change: QueueChange | None) -> None:
        queue = effect.queue
        if change is None or queue is None or self._world.over:
            return
        after = change.after
        self._check_step(queue, change)
        match effect.name:
            case "claim":
                if isinstance(effect.answer, Claimed):
                    for lease in effect.answer.leases:
                        self._note_lease(queue, after, lease.fence.id)
                self._ask_load(effect.host)
            case "renew":
                for fence in effect.args[1]:
                    self._note_lease(queue, after, fence.id)
            case "settle":
                self._settled(effect, queue, change)
            case "reclaim":
                self._reclaimed(queue, change)
            case "cancel":
                self._cancelled(effect, queue, change)
            case _:
                pass

    def _note_lease(self, queue: str, state: QueueState, local_id: str) -> None:
        record = state.records.get(local_id)
        if record is not None and record.state is State.ACTIVE:
            end = self.seconds(record.lease_ms)
            self._leases[f"{queue}/{local_id}", record.deliveries] = end

    def _settled(self, effect: Effect, queue: str, change: QueueChange) -> None:
        outcomes = effect.kwargs["outcomes"] if "outcomes" in effect.kwargs else effect.args[1]
        for outcome in outcomes:
            record = change.after.records.get(outcome.fence.id)
            before = change.before.records.get(outcome.fence.id)
            if record is None or before is None:
                continue
            fence, task_id = outcome.fence, f"{queue}/{record.id}"
            settled = SettledOutcome(
                task_id, effect.host, fence.deliveries, fence.nonce, before, record,
                self._is_held(effect.host, queue, before, fence),
            )  # fmt: skip
            self.ask(oracles.an_older_token_changes_nothing, settled)
            self.ask(oracles.nothing_counts_as_done_before_it_is_written, settled)
            if not isinstance(outcome, Completed):
                continue
            if record.state is not State.COMPLETED or before.state is not State.ACTIVE:
                continue
            attempt = self.facts.attempt_of(task_id, fence.deliveries, effect.host)
            if attempt is not None and attempt.percent is not None:
                progress = read_progress(record.progress)
                percent = None if progress is None else progress.percent
                self.ask(
                    oracles.the_last_progress_is_kept,
                    KeptProgress(attempt, percent, self._world.now),
                )

    def _is_held(self, host: str, queue: str, record: Record, fence: Fence) -> bool | None:
        place = self.places[host]
        newest = (record.deliveries, record.nonce) == (fence.deliveries, fence.nonce)
        if place.host.name != host or place.server is None or record.state is not State.ACTIVE:
            return None
        if not newest or place.host.state == "dead":
            return None
        return place.server._worker.lease_table.get(queue, record.id) is not None

    def _reclaimed(self, queue: str, change: QueueChange) -> None:
        for record in active(change.before):
            new = change.after.records.get(record.id)
            if new is not None and new.state is State.ACTIVE and new.deliveries == record.deliveries:
                continue
            lapsed = LapsedLease(
                queue, record, self.seconds(record.started_ms), self.seconds(record.lease_ms),
                self._world.now,
            )  # fmt: skip
            for oracle in (
                oracles.leases_are_not_reclaimed_early,
                oracles.no_lease_lapses_without_cause,
                oracles.lapsed_leases_are_reclaimed_in_time,
            ):
                self.ask(oracle, lapsed)

    def _cancelled(self, effect: Effect, queue: str, change: QueueChange) -> None:
        local_id = effect.args[1]
        before, after = (state.records.get(local_id) for state in (change.before, change.after))
        if before is None or after is None or before.cancel or after.state is not State.ACTIVE:
            return
        asked = self._world.now
        cancel = AskedCancel(f"{queue}/{local_id}", asked, asked + oracles.CANCEL_WITHIN)
        self.later(
            oracles.CANCEL_WITHIN, lambda: self.ask(oracles.a_cancel_reaches_its_handler, cancel)
        )

    def answered(self, task_id: str, client: str, ended: float) -> None:
        """Note that a client has heard of the end of a task."""
        self.ask(
            oracles.a_waiter_hears_of_the_end, AnsweredWait(task_id, client, ended, self._world.now)
        )

    def check_invariants(self) -> None:
        """Check the invariants of all queues whole."""
        for name, state in self._network.store.queue_states.items():
            self._note_violations(name, violations(state))

    def _check_step(self, queue: str, change: QueueChange) -> None:
        self._note_violations(queue, touched_violations(change.before, change.after))

    def _note_violations(self, queue: str, found: Iterable[Violation]) -> None:
        self.applied[_INVARIANTS] += 1
        for violation in found:
            self.fail(_INVARIANTS, f"queue {queue}: {violation}")


def active(state: QueueState) -> Iterator[Record]:
    """Return the active tasks of a queue."""
    return state.records.listed(by_place, (State.ACTIVE,))


class _Unwatched:
    """An attempt that called no handler."""

    trace_id: str | None = None

    def end(self, ended: EndedAttempt) -> None: ...


class _WatchedAttempt:
    def __init__(
        self, watch: FleetWatch, attempt: FleetAttempt, others: ObservedAttempt | None
    ) -> None:
        self._watch, self._attempt, self._others = watch, attempt, others
        self.trace_id = None if others is None else others.trace_id

    def end(self, ended: EndedAttempt) -> None:
        self._watch.end(self._attempt, ended)
        if self._others is not None:
            self._others.end(ended)


class _NoSettlement:
    def end(self, error: BaseException | None = None) -> None: ...


@attrs.frozen(eq=False)
class _Watching:
    """Telemetry that watches the attempts, and passes all on to that of the app."""

    watch: FleetWatch
    others: Telemetry | None

    def sending(self, sending: Sending) -> AbstractContextManager[Any]:
        return nullcontext() if self.others is None else self.others.sending(sending)

    def attempt(self, begun: BegunAttempt) -> ObservedAttempt:
        others = None if self.others is None else self.others.attempt(begun)
        current = CURRENT.get(None)
        if current is None:
            return others or _Unwatched()
        return _WatchedAttempt(self.watch, self.watch.begin(begun, current), others)

    def settlement(
        self,
        queue: str,
        count: int,
        attempts: Sequence[ObservedAttempt],
        worker: str,
        server: ServerAddress | None,
    ) -> ObservedSettlement:
        if self.others is None:
            return _NoSettlement()
        theirs = [
            found
            for each in attempts
            if isinstance(each, _WatchedAttempt) and (found := each._others) is not None
        ]
        return self.others.settlement(queue, count, theirs, worker, server)
