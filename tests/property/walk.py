"""A scripted history that takes every edge of the state machine, through the model and a store."""

from __future__ import annotations

from typing import Any

import attrs

from rediq_trio.spec.lifecycle import TRANSITIONS, State, Transition
from rediq_trio.spec.messages import (
    Completed,
    Failed,
    Fence,
    NewTask,
    Relations,
    Snoozed,
)
from rediq_trio.spec.records import GroupRule
from rediq_trio.spec.settle import PLAIN_OUTCOMES
from tests.property.lockstep import Lockstep, Step, leases_of

LEASE = 10
WAITING = ("retry", "scheduled", "pending", "blocked", "grouped")


class Walk:
    """Short words for the steps of a history."""

    def __init__(self, both: Lockstep) -> None:
        self.both = both
        self.nonce = 0

    def do(self, name: str, *args: Any, **options: Any) -> Any:
        return self.both.do(Step(name, args, options))

    def add(self, *ids: str, **options: Any) -> None:
        rest = {"envelope": b"e"} | options
        self.do("enqueue", [NewTask(task_id, **rest) for task_id in ids])

    def take(self, limit: int = 1) -> list[Fence]:
        self.nonce += 1
        nonce = self.nonce.to_bytes(8, "big")
        claimed = self.do("claim", limit=limit, lease_ms=LEASE, worker="w", nonce=nonce)
        return leases_of(claimed)

    def active(self, task_id: str, **options: Any) -> Fence:
        self.add(task_id, priority=0, **options)
        [fence] = self.take()
        return fence

    def fence(self, task_id: str) -> Fence:
        record = self.both.model.records[task_id]
        return Fence(task_id, record.deliveries, record.nonce)

    def fail(self, fence: Fence, *, delay: int = 5, final: bool = False) -> None:
        self.do("settle", [Failed(fence, "boom", delay, final)])

    def blocked(self, task_id: str, *needs: str, **options: Any) -> None:
        self.add(task_id, relations=Relations(needs=needs), **options)

    def waiting(self) -> None:
        """Leave one mortal task in each of the states that can expire."""
        self.add("needed", delay_ms=9_000)
        self.blocked("blocked", "needed", expires_in_ms=900)
        self.add("grouped", expires_in_ms=900, relations=Relations(group="g"))
        self.fail(self.active("retry", expires_in_ms=900), delay=500)
        self.add("scheduled", delay_ms=500, expires_in_ms=900)
        self.add("pending", expires_in_ms=900)

    def ended(self) -> None:
        """Leave one task in each terminal state."""
        self.do("settle", [Completed(self.active("completed"), b"r")])
        self.fail(self.active("dead"), final=True)
        self.add("cancelled")
        self.do("cancel", "cancelled")


def walk_every_edge(both: Lockstep) -> None:
    """Take every edge of `TRANSITIONS` at least once."""
    walk, clock = Walk(both), both.clock
    walk.do("arrange", history=1000)
    _walk_settlements(walk)
    walk.do("flush")

    walk.waiting()
    clock.advance(500)
    walk.do("promote", limit=10)
    walk.do("flush")
    for name in ("expire", "cancel", "delete"):
        walk.waiting()
        if name == "expire":
            clock.advance(900)
            walk.do("expire", limit=10)
        elif name == "cancel":
            for task_id in WAITING:
                walk.do("cancel", task_id)
            walk.do("revive", ["grouped"])
        else:
            walk.do("delete", [*WAITING])
        walk.do("flush")
    walk.add("expired", expires_in_ms=1)
    clock.advance(1)
    assert walk.take() == []
    walk.do("revive", ["expired"])
    walk.do("flush")

    _walk_dependencies(walk)
    walk.do("flush")
    _walk_changes(walk)
    walk.do("flush")
    _walk_replacements(walk)
    walk.do("flush")
    _walk_groups(walk)
    walk.do("flush")

    walk.ended()
    walk.do("revive", ["dead", "cancelled"])
    walk.do("flush")
    walk.ended()
    walk.do("delete", ["completed", "dead", "cancelled"])
    walk.ended()
    clock.advance(10**8)
    walk.do("purge", limit=10, dead_retention_ms=1, max_dead=10)

    walk.ended()
    walk.waiting()
    walk.active("active")
    walk.do("flush")


def _walk_dependencies(walk: Walk) -> None:
    walk.blocked("b", walk.active("a").id)
    walk.blocked("later", "a", run_at_ms=walk.both.clock.now + 50)
    walk.do("settle", [Completed(walk.fence("a"), b"r")])
    walk.fail(walk.active("c"), final=True)
    walk.blocked("d", "c")
    walk.blocked("f", walk.active("e").id)
    walk.fail(walk.fence("e"), final=True)
    walk.do("revive", ["e"])
    walk.do("revive", ["f"])
    walk.do("cancel", "f")
    walk.do("revive", ["f"])
    walk.add("g", relations=Relations(group="g"), expires_in_ms=5)
    walk.both.clock.advance(5)
    walk.do("expire", limit=10)
    walk.do("revive", ["g"])


def _walk_groups(walk: Walk) -> None:
    clock = walk.both.clock
    for n in range(20):
        walk.add(
            f"m{n}",
            relations=Relations(group="g", unique=f"k{n}"),
            max_retry=n,
            retention_ms=10 ** min(n, 11),
        )
    walk.do("watch", "m3")
    walk.do("set_group_rules", rules={"g": GroupRule(17, 50, 200), "none": GroupRule()})
    walk.do("batch", ids=["m19", "b1", "b2"])
    clock.advance(49)
    walk.add("late", relations=Relations(group="g"))
    walk.do("batch", ids=["b2"])
    clock.advance(50)
    walk.do("batch", ids=["b2"])
    walk.do("batch", ids=["b2"])
    walk.add("large", relations=Relations(group="h"), envelope=b"x" * 70_000)
    walk.do("set_group_rules", rules={"h": GroupRule(1)})
    walk.do("batch", ids=["b3"])
    for n in range(11):
        walk.add(f"n{n}", relations=Relations(group="user:1"))
    walk.do("batch", ids=["b4"])
    clock.advance(30_000)
    rules = {
        "*": GroupRule(1, 1, 1),
        "user:*": GroupRule(3, 50_000, 50_000),
        "user:1": GroupRule(4),
    }
    walk.do("batch", ids=["b4"], rules={**rules, "user:1": GroupRule(20, 50_000, 50_000)})
    walk.do("batch", ids=["b4", "b5", "b6", "b7"], rules=rules)


def _walk_changes(walk: Walk) -> None:
    walk.waiting()
    for task_id in WAITING:
        seen = walk.both.model.records[task_id].version
        walk.do("update", task_id, seen=seen, new=attrs.evolve(seen, priority=7, expires_ms=0))
    for task_id in ("retry", "scheduled"):
        walk.do("reschedule", task_id)
        walk.do("reschedule", task_id, delay_ms=100)
        walk.do("reschedule", task_id, run_at_ms=walk.both.clock.now + 50)
    walk.fail(walk.active("fails"), delay=500)
    walk.ended()
    walk.add("ready")
    walk.add("later", delay_ms=900)
    walk.fail(walk.active("again"), delay=500)
    for task_id in ("ready", "later", "again", "dead", "cancelled"):
        seen = walk.both.model.records[task_id].version
        moved = NewTask("new", b"e", relations=Relations(queue="other"))
        walk.do("requeue", task_id, seen=seen, task=moved)
    walk.do("reschedule", "fails", delay_ms=100)


def _walk_replacements(walk: Walk) -> None:
    key = Relations(unique="k", replace=True)
    walk.add("first", relations=key)
    for priority, delay in enumerate((0, 50, 50, 0)):
        walk.add("next", relations=key, delay_ms=delay, priority=priority)


def _walk_settlements(walk: Walk) -> None:
    clock = walk.both.clock
    fence = walk.active("completes")
    clock.advance(1)
    walk.do("renew", [fence], lease_ms=LEASE)
    walk.do("settle", [Completed(fence, b"r")])
    walk.do("settle", [Completed(walk.active("vanishes", retention_ms=0), b"r")])
    walk.fail(walk.active("retries"))
    for transition, plain in PLAIN_OUTCOMES.items():
        if (State.ACTIVE, State.PENDING) in TRANSITIONS[transition]:
            walk.do("settle", [plain(walk.active(transition))])
            walk.do("delete", [transition])
    walk.do("settle", [Snoozed(walk.active("snoozes"), 5)])
    for settlement in ("fail", "snooze", "reclaim", *PLAIN_OUTCOMES):
        fence = walk.active(f"{settlement}-after-cancel")
        walk.do("cancel", fence.id)
        match settlement:
            case "fail":
                walk.fail(fence)
            case Transition():
                walk.do("settle", [PLAIN_OUTCOMES[settlement](fence)])
            case "snooze":
                walk.do("settle", [Snoozed(fence, 5)])
            case _:
                clock.advance(LEASE)
                walk.do("reclaim", limit=10)
    walk.active("lapses")
    walk.active("lapses-for-good", max_crashes=0)
    clock.advance(LEASE)
    walk.do("reclaim", limit=10)
