"""Every reachable state of the specification, within small bounds, breadth first.

    python -m tests.property.explore

Three tasks and two workers: tasks are enqueued, claimed, settled in every way,
lost by workers that die, cancelled, revived, deleted, watched, flushed; time
goes by in ticks of half a minute, the half of the grace. In every state all
invariants are checked, and every settlement with a stale fence must change
nothing; on every step, what a step may change.

Two states count as one when no transition can tell them apart (`canonical`):
times matter only relative to now, and past ones only by their order; places
in the queue only by their order; names of workers, nonces and totals not at
all. That makes the space finite without a bound on time or on deliveries.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from itertools import count
from typing import Any

import attrs

from rediq_trio.spec.groups import DEFAULT_RULE
from rediq_trio.spec.lifecycle import TRANSITIONS, State, Transition
from rediq_trio.spec.messages import (
    Completed,
    Failed,
    Fence,
    NewTask,
    Relations,
    Report,
    Snoozed,
    Until,
    Verdict,
)
from rediq_trio.spec.records import ANY_KEY, CANCELLED_GRACE_MS, GroupRule, QueueState, Record
from rediq_trio.spec.settle import PLAIN_OUTCOMES
from rediq_trio.testing.judge.invariants import step_violations, violations
from tests.property.lockstep import Step, Taken, edges_taken, order_kept

TICK = CANCELLED_GRACE_MS // 2
BATCH = "batch"
"""The id of a batch; what may happen to it is what may to a task that may complete."""
START = 1_700_000_000_000
WORKERS = 2
"""Each holds one task at a time."""


@attrs.frozen
class Actor:
    """A task, and what may happen to it."""

    task: NewTask
    may: frozenset[str]
    """Steps, and `crash`; a task that may `enqueue` is enqueued again once it is gone."""


def actor(task_id: str, may: str, **options: Any) -> Actor:
    rules = {"retention_ms": 0, "max_retry": 0, "max_crashes": 0} | options
    return Actor(NewTask(task_id, b"e", **rules), frozenset(may.split()))


_STARTED = Relations(unique="k", until=Until.STARTED)
_REPLACES = Relations(unique="k", until=Until.STARTED, replace=True)
_THROTTLED = Relations(unique="k", until=Until.EXPIRED, ttl_ms=2 * TICK)
_LIMITED = Relations(limit_key="k")

_GROUPED = Relations(group="g")
_RULE = GroupRule(2, TICK, 2 * TICK)

SETTINGS: dict[str, tuple[Step, ...]] = {
    "a limit of one": (Step("limit", (), {"key": "k", "concurrency": 1}),),
    "a rate": (
        Step("limit", (), {"key": ANY_KEY, "count": 1, "period_ms": 2 * TICK}),
        Step("limit", (), {"key": "", "concurrency": 1}),
    ),
    "a fair queue": (Step("arrange", (), {"fair": True}),),
}
"""What is set before a world begins."""

WORLDS: dict[str, tuple[Actor, ...]] = {
    "attempts": (
        actor("a", "fail release crash cancel", max_retry=1),
        actor("b", "snooze complete cancel", priority=40),
        actor("c", "complete watch", delay_ms=TICK, expires_in_ms=2 * TICK),
    ),
    "crashes and revivals": (
        actor("a", "complete fail cancel crash release snooze revive", max_crashes=1),
        actor("b", "complete delete fail revive"),
        actor("c", "complete enqueue flush"),
    ),
    "ends": (
        actor("a", "complete fail cancel revive delete", retention_ms=TICK),
        actor("b", "fail revive delete watch pause"),
        actor("c", "complete enqueue flush"),
    ),
    "two dependent tasks": (
        actor("a", "complete fail crash cancel delete revive enqueue", retention_ms=TICK),
        actor(
            "b",
            "complete cancel delete revive enqueue crash flush",
            relations=Relations(needs=("a",)),
        ),
    ),
    "a chain, its end in any case": (
        actor("a", "complete fail cancel delete"),
        actor("b", "complete fail delete revive", relations=Relations(needs=("a",)), delay_ms=TICK),
        actor(
            "c",
            "complete",
            relations=Relations(needs=("b",), run_on_dependency_failure=True),
            expires_in_ms=3 * TICK,
        ),
    ),
    "a unique pair": (
        actor(
            "a", "complete fail crash cancel delete revive enqueue", relations=Relations(unique="k")
        ),
        actor("b", "complete fail crash cancel revive enqueue", relations=Relations(unique="k")),
    ),
    "a unique pair, one to replace the other": (
        actor("a", "complete fail release cancel revive enqueue", relations=_STARTED),
        actor("b", "complete snooze delete enqueue", relations=_REPLACES, delay_ms=TICK),
        actor("c", "enqueue", relations=_REPLACES, priority=40),
    ),
    "a unique key for a time": (
        actor("a", "complete fail cancel delete revive enqueue", relations=_THROTTLED),
        actor("b", "complete flush enqueue", relations=_THROTTLED),
    ),
    "a limit of one": (
        actor("a", "complete fail release crash cancel enqueue", relations=_LIMITED),
        actor("b", "complete snooze crash delete enqueue", relations=_LIMITED, priority=40),
        actor("c", "complete enqueue"),
    ),
    "a rate": (
        actor("a", "complete release enqueue", relations=_LIMITED),
        actor("b", "complete fail enqueue", relations=_LIMITED),
    ),
    "a fair queue": (
        actor("a", "complete release enqueue", relations=Relations(limit_key="one")),
        actor("b", "complete release enqueue", relations=Relations(limit_key="one"), priority=40),
        actor("c", "complete release crash enqueue", relations=Relations(limit_key="two")),
    ),
    "a group of three": (
        actor("a", "cancel govern batch", relations=_GROUPED),
        actor("b", "complete fail crash", relations=_GROUPED, retention_ms=TICK),
        actor("c", "delete", relations=_GROUPED, expires_in_ms=3 * TICK),
    ),
    "a group that comes back": (
        actor("a", "cancel revive flush update", relations=_GROUPED, expires_in_ms=2 * TICK),
    ),
    "a task that is changed": (
        actor("a", "fail cancel reschedule update requeue", max_retry=1, delay_ms=TICK),
    ),
    "a blocked task that is changed": (
        actor("a", "complete"),
        actor("b", "update", relations=Relations(needs=("a",))),
    ),
    "waits": (
        actor("a", "complete fail cancel revive delete", retention_ms=TICK),
        actor("b", "fail delete cancel", max_retry=1, expires_in_ms=2 * TICK),
        actor("c", "complete enqueue delete flush", delay_ms=TICK),
    ),
}
"""Each a set of three tasks with what may happen to them: together all that can."""


def canonical(queue: QueueState, now: int) -> Hashable:
    """Give what the transitions can tell of a state."""
    records = queue.records.values()
    places = sorted(r.seq for r in records if r.seq and not r.terminal)
    expiries = _past((r.expires_ms for r in records if not r.terminal), now)
    past = {state: _past((_due(r) for r in records if r.state is state), now) for state in State}
    rows = []
    for r in records:
        alive = not r.terminal
        spare = r.deliveries - r.attempt - r.crashes - r.snoozes
        rows.append(
            (
                r.id,
                r.state,
                bool(r.nonce),
                r.has_waiters,
                spare > 0,
                _distance(_due(r), past[r.state], now),
                alive and (r.priority, r.seq and places.index(r.seq)),
                alive and r.expires_ms and (1, _distance(r.expires_ms, expiries, now)),
                alive and (r.attempt, r.crashes, r.cancel, r.has_dependents),
                (
                    r.owns_unique_key,
                    r.waits,
                    r.run_on_dependency_failure,
                    bool(r.inputs),
                    r.run_ms > now and r.run_ms - now,
                ),
            )
        )
    return queue.paused, frozenset(rows), _relations(queue, now)


def _relations(queue: QueueState, now: int) -> Hashable:
    # Of instants that are past only that they are; turns by their order, where they matter.
    locks = {(k, v.id, max(0, v.till_ms - now), v.till_ms > 0) for k, v in queue.locks.items()}
    turns = sorted(set(queue.turns.values())) if queue.fair else []
    return (
        frozenset(locks),
        frozenset(queue.edges.items()),
        frozenset(queue.needs.items()),
        frozenset((k, at - now * 1000) for k, at in queue.rates.items() if at > now * 1000),
        frozenset((k, turns.index(t)) for k, t in queue.turns.items() if turns),
        frozenset(queue.rules.items()),
        frozenset(_ages(queue, now)),
        bool(turns) and turns[-1] == queue.turn,
    )


def _due(record: Record) -> int:
    match record.state:
        case State.PENDING:
            return 0
        case State.DEAD:
            return record.finished_ms + TICK
        case _:
            return record.score


def _past(instants: Iterable[int], now: int) -> list[int]:
    return sorted({at for at in instants if at <= now}, reverse=True)


def _distance(at: int, past: list[int], now: int) -> int:
    """Give a future instant as its distance and a past one as its rank, 0 the latest."""
    return at - now if at > now else -past.index(at)


def _ages(queue: QueueState, now: int) -> Iterator[Hashable]:
    # Of grouped tasks how long they have waited, until that is enough under the group's rule.
    grouped = [r for r in queue.records.values() if r.state is State.GROUPED]
    for record in sorted(grouped, key=lambda r: r.seq):
        rule = queue.rules.get(record.group, DEFAULT_RULE)
        yield record.id, min(now - record.run_ms, rule.max_delay_ms)


def steps(queue: QueueState, actors: tuple[Actor, ...], nonce: bytes) -> Iterator[Step]:
    """Give every step that the world allows from a state."""
    may = frozenset[str]().union(*(a.may for a in actors))
    active = sum(r.state is State.ACTIVE for r in queue.records.values())
    if active < WORKERS:
        options = {"lease_ms": TICK, "worker": "w", "nonce": nonce}
        yield Step("claim", (), {"limit": 1, **options})
        if not active:
            yield Step("claim", (), {"limit": WORKERS, **options})
    for name in ("promote", "expire", *(["reclaim"] if "crash" in may else [])):
        for limit in (1, 3):
            yield Step(name, (), {"limit": limit})
    for limit, max_dead in ((1, 9), (3, 9), (3, 1)):
        options = {"limit": limit, "dead_retention_ms": TICK, "max_dead": max_dead}
        yield Step("purge", (), options)
    if "set_group_rules" in may:
        yield Step("set_group_rules", (), {"rules": {"g": _RULE}})
    if "batch" in may:
        yield Step("batch", (), {"ids": [BATCH]})
        yield from _about(next(a for a in actors if "complete" in a.may), queue.records.get(BATCH))
    if "pause" in may:
        yield Step("resume" if queue.paused else "pause")
    if "flush" in may:
        yield Step("flush")
    for each in actors:
        record = queue.records.get(each.task.id)
        if record is not None:
            yield from _about(each, record)
        elif "enqueue" in each.may:
            yield Step("enqueue", ([each.task],))


def _about(each: Actor, record: Record | None) -> Iterator[Step]:
    if record is None:
        return
    yield Step("enqueue", ([each.task],))
    if "cancel" in each.may:
        yield Step("cancel", (record.id,))
    if "reschedule" in each.may:
        yield Step("reschedule", (record.id,), {"delay_ms": TICK})
        yield Step("reschedule", (record.id,))
    if "update" in each.may:
        new = attrs.evolve(record.version, priority=0)
        yield Step("update", (record.id,), {"seen": record.version, "new": new})
    if "requeue" in each.may:
        moved = NewTask("new", b"e", relations=Relations(queue="other"))
        yield Step("requeue", (record.id,), {"seen": record.version, "task": moved})
    if "watch" in each.may:
        yield Step("watch", (record.id,))
    for name in ("revive", "delete"):
        if name in each.may:
            yield Step(name, ([record.id],))
    if record.nonce:
        # Of a lease in hand, or one that was settled before and is settled again.
        fence = Fence(record.id, record.deliveries, record.nonce)
        yield Step("renew", ([fence],), {"lease_ms": TICK})
        for step in settlements(fence):
            (transition,) = step.transitions_of(record.id)
            if transition in each.may or transition is Transition.STOP:
                yield step


def settlements(*fences: Fence) -> Iterator[Step]:
    """Give every way in which attempts may end."""
    yield Step("settle", ([Completed(fence, b"r") for fence in fences],))
    for final in (False, True):
        yield Step("settle", ([Failed(fence, "boom", TICK, final) for fence in fences],))
    for plain in PLAIN_OUTCOMES.values():
        yield Step("settle", ([plain(fence) for fence in fences],))
    yield Step("settle", ([Snoozed(fence, TICK) for fence in fences],))


def check_stale(queue: QueueState, now: int) -> None:
    """Check that no fence but the current one changes anything."""
    stale = []
    for record in queue.records.values():
        good = Fence(record.id, record.deliveries, record.nonce)
        stale.append(attrs.evolve(good, nonce=b"another!"))
        stale.append(attrs.evolve(good, deliveries=good.deliveries + 1))
        stale.append(attrs.evolve(good, deliveries=good.deliveries - 1))
    for step in settlements(*stale):
        assert step.on_model(queue, now) == (queue, (None,) * len(stale)), (step, queue)
    renewal = Step("renew", (stale,), {"lease_ms": TICK})
    assert renewal.on_model(queue, now) == (queue, (Verdict.LOST,) * len(stale)), queue
    said = Step("report", ([Report(fence, b"p") for fence in stale],))
    assert said.on_model(queue, now) == (queue, (False,) * len(stale)), queue


@attrs.define
class Exploration:
    """What was seen of one world."""

    states: int = 0
    transitions: int = 0
    edges: set[Taken] = attrs.field(factory=set)


def explore(actors: tuple[Actor, ...], settings: Iterable[Step] = ()) -> Exploration:
    """Visit every state that can be reached, and check it; raise `AssertionError` for a bad one."""
    found = Exploration()
    nonces = count(1)
    start = QueueState()
    for step in (*settings, Step("enqueue", ([each.task for each in actors],))):
        before, start = start, step.on_model(start, START)[0]
        found.edges |= set(edges_taken(step, before, start))
    seen = {canonical(start, START)}
    frontier = deque([(start, START)])
    while frontier:
        before, now = frontier.popleft()
        found.states += 1
        check_stale(before, now)
        following = [(before, now + TICK)]
        for step in steps(before, actors, next(nonces).to_bytes(8, "big")):
            after, answer = step.on_model(before, now)
            found.transitions += 1
            if after == before:
                continue
            check_step(step, before, after, answer)
            found.edges.update(edges_taken(step, before, after))
            following.append((after, now))
        for after, then in following:
            key = canonical(after, then)
            if key not in seen:
                seen.add(key)
                frontier.append((after, then))
    return found


def check_step(step: Step, before: QueueState, after: QueueState, answer: object) -> None:
    """Check the state that a step led to, and the step."""
    bad = [*violations(after), *step_violations(before, after), *order_kept(step, before, after)]
    assert bad == [], f"{step} from {before}: {bad}"


def main() -> int:
    """Explore every world, print what was seen, and say whether every edge was taken."""
    edges: set[Taken] = set()
    for name, actors in WORLDS.items():
        begin = time.monotonic()
        found = explore(actors, SETTINGS.get(name, ()))
        edges |= found.edges
        took = time.monotonic() - begin
        print(f"{name}: {found.states:,} states, {found.transitions:,} transitions, {took:.1f} s")
    print(f"{len(edges)} edges taken:")
    for transition, source, target in sorted(edges, key=str):
        print(f"  {transition}: {source or '-'} -> {target or '-'}")
    missing = every_edge() - edges
    for transition, source, target in sorted(missing, key=str):
        print(f"MISSING {transition}: {source or '-'} -> {target or '-'}")
    return 1 if missing else 0


def every_edge() -> set[Taken]:
    """Give the edges of the state machine."""
    return {(transition, *edge) for transition, edges in TRANSITIONS.items() for edge in edges}


if __name__ == "__main__":
    sys.exit(main())
