"""Each part of what `why()` answers is true in the specification at the instant that it carries."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import attrs
import pytest
import trio
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from rediq_trio import MemoryStore, State, Why, WhyKind, WorkerInfo
from rediq_trio.spec import rules as spec
from rediq_trio.spec.lifecycle import WAITING
from rediq_trio.spec.messages import Completed, NewTask, Relations, WorkerRecord
from rediq_trio.spec.records import QueueState, Record
from rediq_trio.store.reads.situation import situation_of
from rediq_trio.tasks.instants import instant
from rediq_trio.tasks.pause_note import pack_pause_note
from rediq_trio.tasks.task_info import pack_worker_info
from rediq_trio.tasks.why.explain import explain
from rediq_trio.tasks.why.part_makers import starts_before
from rediq_trio.values.backoff import DEFAULT_BACKOFF
from rediq_trio.values.observed.workers import RunningTask
from rediq_trio.values.unset import UNSET_TIMEOUT
from rediq_trio.wire.envelope import pack_envelope
from tests.conformance.bench import Clock, Q
from tests.property.histories import IDS, OTHER, Histories
from tests.property.lockstep import Lockstep, Step
from tests.property.test_replay import Alone
from tests.property.walk import Walk, walk_every_edge
from tests.property.why_facts import (
    ONE_OF,
    TRUE,
    Facts,
    free_slots,
    nothing_holds,
    processed_before,
    starts,
)

WORKER = WorkerInfo(
    id="w", host="h", pid=7, queues=(Q,), concurrency=3, running=0, started_at=instant(0),
    last_heartbeat=instant(0), version="1.2.0", types=("known",), schedules=(), state="working",
)  # fmt: skip
FULL = attrs.evolve(
    WORKER, running=3, types=("known", "unknown"),
    running_tasks=(RunningTask(id="q/r", type="known", attempt=1, since=instant(5)),),
)  # fmt: skip
"""All of whose slots are taken."""
CREWS: tuple[tuple[WorkerInfo, ...], ...] = (
    (WORKER,),
    (),
    (WORKER, attrs.evolve(WORKER, id="v", types=None, state=None)),
    (attrs.evolve(WORKER, state="quiet"), attrs.evolve(WORKER, id="v", state="stopping")),
    (attrs.evolve(WORKER, queues=("another",)),),
    (WORKER, attrs.evolve(WORKER, id="v", types=("other",), version="1.3.0")),
    (FULL,),
    (FULL, attrs.evolve(FULL, id="v", running_tasks=None), attrs.evolve(WORKER, id="u", state="quiet")),
    (FULL, attrs.evolve(FULL, id="v", running=2)),
)
"""The workers that are alive, in turn."""


def dressed(record: Record) -> Record:
    """Return the record with an envelope that can be read: of a type, some with a deadline."""
    if not isinstance(record.envelope, bytes):
        return record
    number = sum(record.id.encode())
    kind = ("known", "unknown")[number % 2]
    deadline = record.expires_ms if number % 3 == 0 else 0
    packed = pack_envelope(kind, b"\xc0", UNSET_TIMEOUT, DEFAULT_BACKOFF, {}, deadline)
    return attrs.evolve(record, envelope=packed)


class Moving(MemoryStore):
    """A store in which time passes and things happen between any two reads."""

    def __init__(self, queue: QueueState, now: int) -> None:
        self.times = Clock()
        self.times.now = now
        super().__init__(clock=self.times)
        other = QueueState()
        for step in (NewTask("x", b"e"), NewTask(IDS[0], b"e", delay_ms=9)):
            other, _ = spec.enqueue(other, now, [step])
        records = {name: dressed(record) for name, record in queue.records.items()}
        self._queues = {Q: attrs.evolve(queue, records=records), OTHER: other}
        self.read: dict[int, Mapping[str, QueueState]] = {}
        """What was read, by the instant."""

    async def dump(self, queue: str) -> QueueState:
        if self.read:
            self.times.advance(1)
            for name, found in self._queues.items():
                after, _ = spec.claim(
                    found, self.times.now, limit=1, lease_ms=9, worker="m", nonce=b"moving.."
                )
                self._queues[name], _ = spec.promote(after, self.times.now, limit=1)
        self.read[self.times.now] = dict(self._queues)
        return await super().dump(queue)


def explained(store: Moving, crew: tuple[WorkerInfo, ...], task_id: str) -> Why:
    async def ask() -> Why:
        for each in crew:
            await store.register(
                WorkerRecord(id=each.id, ttl_ms=60_000, data=pack_worker_info(each))
            )
        return await explain(store, Q, task_id)

    return trio.run(ask)


def check(queue: QueueState, now: int, crew: tuple[WorkerInfo, ...], task_id: str) -> Why:
    """Ask why a task waits, and check each part at its instant, and that none is missing."""
    store = Moving(queue, now)
    why = explained(store, crew, task_id)
    first = Facts(now, store.read[now][Q], task_id, crew, {})
    for part in why.parts:
        at = round(part.instant.timestamp() * 1000)
        facts = Facts(at, store.read[at][Q], task_id, crew, store.read[at])
        assert TRUE[part.kind](facts, part.data), part
        assert part.sentence in why.sentence
        if part.kind is WhyKind.ESTIMATE and part.data["seconds"] is not None:
            found = situation_of(first.queue, now, task_id)
            assert found is not None
            taken = starts_before(found)
            assert part.data["seconds"] * part.data["rate"] == pytest.approx(taken)
            if not first.queue.fair:
                assert taken == processed_before(first.queue, now, task_id)
    kinds = [part.kind for part in why.parts]
    state = first.record.state
    for each, expected in ONE_OF.items():
        assert sum(kind in expected for kind in kinds) == (each is state)
    if state in WAITING:
        about = [
            WhyKind.UNSERVED, WhyKind.NOT_CLAIMING, WhyKind.UNKNOWN_TYPE, WhyKind.SLOTS_TAKEN, WhyKind.SERVED,
        ]  # fmt: skip
        assert sum(kinds.count(kind) for kind in about) == 1
        assert (WhyKind.PAUSED in kinds) is first.queue.paused
    assert WhyKind.SLOTS_TAKEN not in kinds or state is State.PENDING
    assert WhyKind.SERVED not in kinds or state is not State.PENDING or free_slots(first) > 0
    if state is State.PENDING:
        assert nothing_holds(first, why.parts) is starts(first)
    assert str(why) == why.sentence
    assert why.sentence.startswith(f"{Q}/{task_id} is {state}: ")
    return why


class Explained(Alone):
    """The specification, which explains each task after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.crews = cycle(CREWS)
        self.kinds: set[WhyKind] = set()
        self.turn = 0

    def chosen(self) -> list[str]:
        return sorted(self.model.records)[-6:]

    def do(self, step: Step) -> Any:
        answer = super().do(step)
        crew = next(self.crews)
        for task_id in self.chosen():
            why = check(self.model, self.clock.now, crew, task_id)
            self.kinds.update(part.kind for part in why.parts)
        return answer

    def finish(self) -> None:
        pass


class ExplainedInTurn(Explained):
    """The same, one task after each step in turn: all of them would take too long."""

    def chosen(self) -> list[str]:
        self.turn += 1
        return sorted(self.model.records)[self.turn % len(IDS) :][:1]


class Asked(Histories):
    """One history in each example."""

    def open(self) -> Lockstep:
        return ExplainedInTurn()


@pytest.mark.uncounted
def test_each_part_is_true_at_its_instant_in_random_histories() -> None:
    machine = type("Asked", (Asked,), {"seen": set()})
    share = settings(max_examples=max(1, settings().max_examples // 8))
    run_state_machine_as_test(machine, settings=share)


def test_each_part_is_true_at_its_instant_and_every_cause_is_seen() -> None:
    both = Explained()
    walk_every_edge(both)
    walk = Walk(both)
    walk_causes(walk)
    newer = {WhyKind.NEWER, WhyKind.NEWER_FIRST}  # see tests/redis/test_why.py
    assert both.kinds == set(WhyKind) - newer == set(TRUE)


def walk_causes(walk: Walk) -> None:
    """Hold tasks by limits, dependencies elsewhere and a pause, in a queue that has a rate."""
    clock = walk.both.clock
    walk.do("flush")
    walk.do("settle", [Completed(walk.active("completes"), b"r")])
    walk.fail(walk.active("fails"), final=True)
    walk.do("delete", ["completes", "fails"])
    clock.advance(10_000)
    walk.do("sample", known=-1, unseen_ms=0)
    for n in range(6):
        walk.add(f"ready{n}", priority=n % 2, expires_in_ms=900)
    walk.blocked("waits", "other/x", f"other/{IDS[0]}", "other/none", "ready0")
    clock.advance(60_000)
    walk.do("sample", known=-1, unseen_ms=0)
    walk.do("flush")
    for key in ("a", "b"):
        walk.add(*(f"{key}{n}" for n in range(3)), relations=Relations(limit_key=key))
    walk.do("arrange", fair=True)
    walk.do("limit", key="a", concurrency=1)
    walk.do("limit", key="b", count=1, period_ms=500)
    walk.take(4)
    walk.do("limit", key="", concurrency=1, count=2, period_ms=700)
    walk.do("pause", pack_pause_note("deploy\x1b", "ops"))
    clock.advance(20)
    walk.do("cancel", "a0")
    walk.do("resume")
