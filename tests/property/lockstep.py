"""The specification and a store on a real server, led through one history in lock-step.

A `Step` is a transition with its arguments. `Lockstep.do` takes it in both, and
compares all that can be seen: the answer, the whole queue, and the invariants
of the store's own indexes.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import product
from queue import Queue as Inbox
from typing import Any, TypeVar

import attrs
import trio

from rediq_trio.admin.check import check_queue
from rediq_trio.spec import rules as spec
from rediq_trio.spec.check.findings import Violation
from rediq_trio.spec.check.table import violations_of
from rediq_trio.spec.check.task import task_target
from rediq_trio.spec.check.totals import queue_violations
from rediq_trio.spec.groups import groups
from rediq_trio.spec.lifecycle import TRANSITIONS, State, Transition
from rediq_trio.spec.messages import Claimed
from rediq_trio.spec.order.table import Table
from rediq_trio.spec.records import Place, QueueState, Record
from rediq_trio.spec.settle import TRANSITION_OF
from rediq_trio.store.memory import MemoryStore
from rediq_trio.store.reads.description import description_of
from rediq_trio.store.reads.scan import ALL, Where, scan
from rediq_trio.store.reads.situation import situation_of
from rediq_trio.store.reads.states import states_of
from rediq_trio.testing.judge.invariants import order_violations, step_violations, violations
from tests.conformance.bench import Bench, Clock, Q
from tests.derived.state import derived_violations
from tests.servers import OpenStore, Server, open_redis_store

A = TypeVar("A")

Taken = tuple[Transition, State | None, State | None]
"""An edge of the state machine that was taken."""
NESTED = (Transition.ENQUEUE, Transition.UNBLOCK)
"""Transitions that happen within others: a completion enqueues children and unblocks dependents."""


@attrs.frozen
class Step:
    """One transition, by the name it has in the specification and in the store."""

    name: str
    args: tuple[Any, ...] = ()
    options: dict[str, Any] = attrs.field(factory=dict)

    def on_model(self, queue: QueueState, now: int) -> tuple[QueueState, Any]:
        after: tuple[QueueState, Any] = getattr(spec, self.name)(
            queue, now, *self.args, **self.options
        )
        return after

    def transitions_of(self, task_id: str) -> Iterator[Transition]:
        """Give the transitions that the step may make of a task, beside those nested in it."""
        if self.name == "settle":
            for outcome in self.args[0]:
                if outcome.fence.id == task_id:
                    yield TRANSITION_OF[type(outcome)]
        elif self.name in set(Transition):
            yield Transition(self.name)


def edges_taken(step: Step, before: QueueState, after: QueueState) -> Iterator[Taken]:
    """Give the edges that the step took, as the change of each task shows them."""
    if step.name != "settle" and step.name not in set(Transition):
        return
    for task_id in before.records.keys() | after.records.keys():
        old, new = before.records.get(task_id), after.records.get(task_id)
        if old != new and not _only_told(old, new):
            edge = (old.state if old else None, new.state if new else None)
            possible = (*step.transitions_of(task_id), *NESTED)
            yield next((e for e in possible if edge in TRANSITIONS[e]), possible[0]), *edge


def _only_told(old: Record | None, new: Record | None) -> bool:
    """Say whether all that changed is what a task knows of others."""
    if old is None or new is None or old.state is not new.state:
        return False
    known = {"has_dependents": new.has_dependents, "waits": new.waits, "inputs": new.inputs}
    return attrs.evolve(old, **known) == new


def order_kept(step: Step, before: QueueState, after: QueueState) -> list[object]:
    """Check that a claim passed no ready task over."""
    if step.name != "claim":
        return []
    pending = [r for r in before.records.values() if r.state is State.PENDING]

    def left(record: Record) -> bool:
        return after.records[record.id].state is State.PENDING

    return list(
        order_violations(before, [r for r in pending if not left(r)], filter(left, pending))
    )


def overdue(step: Step, after: QueueState, answer: Any, now: int) -> list[object]:
    """Check that no group is due once a batch has left ids unused."""
    if step.name != "batch" or answer.moved + 1 > len(set(step.options["ids"])):
        return []
    if any(task_id in after.records for task_id in step.options["ids"][answer.moved :]):
        return []
    found = groups(after.records, after.rules)
    return [group for group in found if group.due_ms <= now]


def differences(found: QueueState, expected: QueueState) -> list[str]:
    """Say where a queue that was read is not the one of the specification."""
    said: list[str] = []
    for field in (f.name for f in attrs.fields(QueueState)):
        one, two = getattr(found, field), getattr(expected, field)
        if field == "records":
            for task_id in sorted(one.keys() | two.keys()):
                said += _record_differences(task_id, one.get(task_id), two.get(task_id))
        elif one != two:
            said.append(f"{field}: {one}, should be {two}")
        # What was read has indexes that were made from all rows, at once.
        if isinstance(one, Table) and one.indexes() != two.indexes():
            said.append(f"{field}: indexes {two.indexes()}, should be {one.indexes()}")
    return said


def _record_differences(task_id: str, one: Record | None, two: Record | None) -> list[str]:
    if one is None or two is None:
        return [] if one is two else [f"{task_id}: {one}, should be {two}"]
    return [
        f"{task_id}: {f.name} is {getattr(one, f.name)}, should be {getattr(two, f.name)}"
        for f in attrs.fields(Record)
        if getattr(one, f.name) != getattr(two, f.name)
    ]


class Lockstep:
    """A model and a store. Used from one thread; the store lives in that of a `Portal`."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self.clock = portal.clock
        self.clock.now = Clock().now
        self.model = QueueState()
        self.taken: set[Taken] = set()
        self.turn = 0
        portal.run(self._empty)

    async def _empty(self) -> None:
        await self._portal.opened.gateway.call(b"FLUSHALL")

    def do(self, step: Step) -> Any:
        """Take a step in both, compare, and give the answer."""
        before, now = self.model, self.clock.now
        self.model, expected = step.on_model(before, now)
        answer = self._portal.run(self._on_store, step)
        self.taken.update(edges_taken(step, before, self.model))
        assert answer == expected
        assert list(violations(self.model)) == []
        # With a queue that is removed, its totals go.
        assert step.name == "remove_queue" or not list(step_violations(before, self.model))
        assert order_kept(step, before, self.model) == []
        assert overdue(step, self.model, answer, now) == []
        return answer

    async def _on_store(self, step: Step) -> Any:
        store = self._portal.opened.store
        answer = await getattr(store, step.name)(Q, *step.args, **step.options)
        ids = list(map(task_target, sorted(self.model.records)))
        found = await store.dump(Q)
        totals = await store.totals(Q)
        wrong = differences(found, self.model)
        assert not wrong, wrong
        expected = groups(self.model.records, self.model.rules)
        assert await store.groups(Q, limit=1000) == tuple(expected)
        assert list(queue_violations(totals)) == []
        # One task after another in turn: all of them would take too long.
        self.turn += 1
        for task_id in sorted(self.model.records)[self.turn % 6 :][:1]:
            described = description_of(self.model, self.clock.now, task_id)
            assert await store.description(Q, task_id) == described
            situated = situation_of(self.model, self.clock.now, task_id)
            assert await store.situation(Q, task_id) == situated
        for view in await store.views(Q, ids):
            assert list(violations_of(view)) == []
        opened, now = self._portal.opened, self.clock.now
        assert await derived_violations(opened, Q, self.model, now) == []
        return answer

    def forget_scripts(self) -> None:
        """Make the server forget every script."""
        self._portal.run(self._portal.opened.gateway.call, b"SCRIPT", b"FLUSH")

    def finish(self) -> None:
        """Check at the end of a history that no structure mentions a task that is not there."""
        assert self._portal.run(self._mentioned) == set(self.model.records)
        self._portal.run(self._scanned)
        wrong = self._portal.run(self._checked)
        assert not wrong, wrong

    async def _mentioned(self) -> set[str]:
        return await Bench(self._portal.opened.store, self.clock).mentioned()

    async def _scanned(self) -> None:
        """Compare what scans find, both ways, in steps of different lengths, by each filter."""
        store, now = self._portal.opened.store, self.clock.now
        middle = (Clock().now + now) // 2
        named = [*sorted(self.model.records), "nobody"]
        assert await store.states(Q, named) == states_of(self.model, now, named)
        for task_id in named:
            assert await store.situation(Q, task_id) == situation_of(self.model, now, task_id)
        filters = [
            ALL, Where(priority=50, error="oo"), Where(limit_key="a", since_ms=middle),
            Where(type_head=b"\xff", until_ms=middle), Where(entered_by_ms=middle), Where(kind="k1"),
        ]  # fmt: skip
        for state, newest in product(State, (False, True)):
            for limit, where in enumerate(filters, start=1):
                last: Place | None = None
                while True:
                    found = await store.scan(
                        Q, state, limit=limit, after=last, newest=newest, where=where
                    )
                    assert attrs.evolve(found, cost=0) == scan(
                        self.model, now, state, limit=limit, after=last, newest=newest, where=where
                    )
                    last = found.last
                    if found.over:
                        break

    async def _checked(self) -> list[Violation]:
        memory = MemoryStore(clock=self.clock)
        memory._queues[Q] = self.model
        found = await check_queue(memory, Q, Q, None)
        return [*found, *await check_queue(self._portal.opened.store, Q, Q, None)]


@attrs.frozen
class Portal:
    """A store in a Trio loop of another thread, so that each step need not connect anew."""

    token: trio.lowlevel.TrioToken
    opened: OpenStore
    clock: Clock

    def run(self, call: Callable[..., Awaitable[A]], *args: Any) -> A:
        return trio.from_thread.run(call, *args, trio_token=self.token)


@contextmanager
def open_portal(server: Server) -> Iterator[Portal]:
    """Run a store on the server in a thread of its own while the block lasts."""
    inbox: Inbox[Portal | BaseException] = Inbox()
    done = trio.Event()

    async def serve() -> None:
        clock = Clock()
        async with open_redis_store(server, clock=clock) as opened:
            inbox.put(Portal(trio.lowlevel.current_trio_token(), opened, clock))
            await done.wait()

    def run() -> None:
        try:
            trio.run(serve)
        except BaseException as error:
            inbox.put(error)

    thread = threading.Thread(target=run, name="store under test")
    thread.start()
    portal = inbox.get()
    if isinstance(portal, BaseException):
        raise portal
    try:
        yield portal
    finally:
        portal.token.run_sync_soon(done.set)
        thread.join()


def leases_of(answer: Claimed) -> list[Any]:
    """Give the fences that a claim gave out."""
    return [lease.fence for lease in answer.leases]
