"""Random histories of two queues that depend on one another, on the specification alone.

Tasks wait for tasks of the other queue, bring children into it, and come in graphs
over both; messages are carried late, twice, half, or by a relay that read them long
ago. At the end everything that can run is run: then nobody may wait any more, and
what was sent must have come exactly once.
"""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from rediq_trio.spec import rules as spec
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Completed, Failed, Fence, Mail, NewTask, Relations
from rediq_trio.spec.records import QueueState
from rediq_trio.testing.judge.invariants import step_violations, violations
from tests.conformance.bench import START

NAMES = ("p", "q")
LEASE = 30

names = st.sampled_from(NAMES)
picks = st.integers(0, 30)


class TwoQueues(RuleBasedStateMachine):
    """One history in each example."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.queues = {name: QueueState() for name in NAMES}
        self.made: list[tuple[str, str]] = []
        """Every task that was enqueued or sent, by its queue and id."""
        self.appeared: dict[tuple[str, str], int] = {}
        self.read: list[tuple[str, tuple[Mail, ...]]] = []
        """What relays have read, to be carried at any later time."""
        self.nonce = 0
        self.numbers = 0
        self.moved: list[tuple[str, str]] = []
        """The tasks that came in place of others, of the other queue."""

    def do(self, name: str, step: str, *args: Any, **options: Any) -> Any:
        before = self.queues[name]
        after, answer = getattr(spec, step)(before, self.now, *args, **options)
        assert list(violations(after)) == []
        assert list(step_violations(before, after)) == []
        for own in after.records.keys() - before.records.keys():
            self.appeared[name, own] = self.appeared.get((name, own), 0) + 1
            assert self.appeared[name, own] == 1, "a task came in twice"
        self.queues[name] = after
        return answer

    def fresh(self, name: str, **options: Any) -> NewTask:
        self.numbers += 1
        own = f"t{self.numbers}"
        self.made.append((name, own))
        return NewTask(own, b"e", **{"retention_ms": 0, "max_retry": 0} | options)

    def chosen(self, picked: list[int]) -> list[tuple[str, str]]:
        """Give tasks that are there, as a client would have looked before it depends on them."""
        there = [(n, own) for n, own in self.made if own in self.queues[n].records]
        return [there[n % len(there)] for n in picked] if there else []

    @rule(
        name=names,
        picked=st.lists(picks, max_size=3),
        run_on_dependency_failure=st.booleans(),
        retention_ms=st.sampled_from([0, 5, 10**6]),
    )
    def enqueue(
        self, name: str, picked: list[int], run_on_dependency_failure: bool, retention_ms: int
    ) -> None:
        needs = dict.fromkeys(_ref(name, each) for each in self.chosen(picked))
        relations = Relations(
            needs=tuple(needs), run_on_dependency_failure=run_on_dependency_failure
        )
        self.do(name, "enqueue", [self.fresh(name, relations=relations, retention_ms=retention_ms)])

    @rule(home=names, places=st.lists(names, min_size=2, max_size=5), links=st.integers(0, 1023))
    def enqueue_a_graph(self, home: str, places: list[str], links: int) -> None:
        """Each node may wait for any that comes after it; written dependents first."""
        nodes = [self.fresh(place) for place in places]
        pairs = [(i, j) for i in range(len(nodes)) for j in range(i + 1, len(nodes))]
        chosen = [pair for n, pair in enumerate(pairs) if links >> n & 1]
        atomic: list[NewTask] = []
        for i, (place, node) in enumerate(zip(places, nodes, strict=True)):
            needs = tuple(_ref(place, (places[b], nodes[b].id)) for a, b in chosen if a == i)
            after = tuple(_ref(place, (places[a], nodes[a].id)) for a, b in chosen if b == i)
            queue = "" if place == home else place
            relations = Relations(queue=queue, needs_later=needs, dependents=after)
            atomic.append(attrs.evolve(node, relations=relations))
        self.do(home, "enqueue", atomic, atomic=True)

    @rule(name=names, limit=st.integers(1, 3))
    def claim(self, name: str, limit: int) -> None:
        self.claim_some(name, limit)

    def claim_some(self, name: str, limit: int) -> int:
        self.nonce += 1
        nonce = self.nonce.to_bytes(8, "big")
        claimed = self.do(name, "claim", limit=limit, lease_ms=LEASE, worker="w", nonce=nonce)
        return len(claimed.leases)

    def held(self, name: str) -> list[Fence]:
        active = [r for r in self.queues[name].records.values() if r.state is State.ACTIVE]
        return [Fence(r.id, r.deliveries, r.nonce) for r in active]

    @rule(name=names, children=st.lists(names, max_size=2), waits=st.booleans())
    def complete_one(self, name: str, children: list[str], waits: bool) -> None:
        for fence in self.held(name)[:1]:
            new: list[NewTask] = []
            for child in children:
                needs = (_ref(child, (name, fence.id)),) if waits else ()
                relations = Relations(queue="" if child == name else child, needs=needs)
                new.append(self.fresh(child, relations=relations))
            self.do(name, "settle", [Completed(fence, b"\x01", tuple(new))])

    @rule(name=names)
    def fail_one(self, name: str) -> None:
        for fence in self.held(name)[:1]:
            self.do(name, "settle", [Failed(fence, "boom", 1)])

    @rule(name=names, picked=picks, ended_as=st.sampled_from(["cancel", "delete", "revive"]))
    def meddle(self, name: str, picked: int, ended_as: str) -> None:
        for at, own in self.chosen([picked]):
            if ended_as == "cancel":
                self.do(at, "cancel", own)
            elif ended_as == "delete":
                self.do(at, "delete", [own])
            else:
                self.do(at, "revive", [own])

    @rule(picked=picks, to=names)
    def requeue(self, picked: int, to: str) -> None:
        """Move a task to the other queue, as a client does that has read it."""
        for at, own in self.chosen([picked]):
            if at == to:
                continue
            seen = self.queues[at].records[own].version
            new = self.fresh(to, relations=Relations(queue=to))
            if self.do(at, "requeue", own, seen=seen, task=new).obstacle is None:
                assert own not in self.queues[at].records
                self.moved.append((to, new.id))
            else:
                self.made.remove((to, new.id))

    @rule(name=names)
    def flush(self, name: str) -> None:
        if len(self.made) % 5 == 0:
            self.do(name, "flush")

    @rule(by=st.sampled_from([1, 10, LEASE, 10**6]), name=names)
    def time_passes(self, by: int, name: str) -> None:
        self.now += by
        self.do(name, "reclaim", limit=100)
        self.do(name, "purge", limit=100, dead_retention_ms=10**5, max_dead=100)

    # --- the relays

    @rule(name=names, limit=st.integers(1, 5))
    def a_relay_reads(self, name: str, limit: int) -> None:
        if mail := self.queues[name].outbox[:limit]:
            self.read.append((name, mail))

    @precondition(lambda self: self.read)
    @rule(picked=picks, most=st.integers(0, 5), acknowledged=st.booleans())
    def a_relay_delivers(self, picked: int, most: int, acknowledged: bool) -> None:
        """Some of what it read, in order; perhaps it dies then, perhaps it does so again later."""
        name, mail = self.read[picked % len(self.read)]
        self.deliver(name, mail[:most], acknowledged)

    def deliver(self, name: str, mail: tuple[Mail, ...], acknowledged: bool = True) -> None:
        for message in mail:
            self.do(message.queue, "receive", name, [message])
            if acknowledged:
                self.do(name, "acknowledge", message.seq)

    # --- the end

    def teardown(self) -> None:
        for _ in range(200):
            busy = False
            for name in NAMES:
                busy |= bool(self.queues[name].outbox)
                self.deliver(name, self.queues[name].outbox)
                self.do(name, "unblock", limit=100)
                self.do(name, "reclaim", limit=100)
                self.do(name, "promote", limit=100)
                busy |= bool(self.claim_some(name, 100))
                busy |= bool(self.held(name))
                self.do(name, "settle", [Completed(f, b"\x01") for f in self.held(name)])
            if not busy:
                break
        else:
            raise AssertionError("the queues do not come to rest")
        assert [self.appeared.get(each) for each in self.moved] == [1] * len(self.moved)
        for name, queue in self.queues.items():
            waiting = [r.id for r in queue.records.values() if r.state is State.BLOCKED]
            assert waiting == [], f"{name}: they wait for ever for {dict(queue.needs)}"


def _ref(queue: str, task: tuple[str, str]) -> str:
    at, own = task
    return own if at == queue else f"{at}/{own}"
