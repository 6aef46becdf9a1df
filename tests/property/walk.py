"""A scripted history that takes every edge of the state machine, through the model and a store."""

from __future__ import annotations

from typing import Any

from rediq_trio.spec.records import Completion, Deferral, Failure, Fence, NewTask
from tests.property.lockstep import Lockstep, Step, leases_of

LEASE = 10


class Walk:
    """Short words for the steps of a history."""

    def __init__(self, both: Lockstep) -> None:
        self.both = both
        self.nonce = 0

    def do(self, name: str, *args: Any, **options: Any) -> Any:
        return self.both.do(Step(name, args, options))

    def add(self, *ids: str, **options: Any) -> None:
        self.do("enqueue", [NewTask(task_id, b"e", **options) for task_id in ids])

    def take(self, limit: int = 1) -> list[Fence]:
        self.nonce += 1
        nonce = self.nonce.to_bytes(8, "big")
        claimed = self.do("claim", limit=limit, lease_ms=LEASE, worker="w", nonce=nonce)
        return leases_of(claimed)

    def active(self, task_id: str, **options: Any) -> Fence:
        self.add(task_id, priority=0, **options)
        [fence] = self.take()
        return fence

    def fail(self, fence: Fence, *, delay: int = 5, final: bool = False) -> None:
        self.do("fail", [Failure(fence, "boom", delay, final)])

    def waiting(self) -> None:
        """Leave one mortal task in each of the states that can expire."""
        self.fail(self.active("retry", expires_in_ms=900), delay=500)
        self.add("scheduled", delay_ms=500, expires_in_ms=900)
        self.add("pending", expires_in_ms=900)

    def ended(self) -> None:
        """Leave one task in each terminal state."""
        self.do("complete", [Completion(self.active("completed"), b"r")])
        self.fail(self.active("dead"), final=True)
        self.add("cancelled")
        self.do("cancel", "cancelled")


def walk_every_edge(both: Lockstep) -> None:
    """Take every edge of `TRANSITIONS` at least once."""
    walk, clock = Walk(both), both.clock
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
            for task_id in ("retry", "scheduled", "pending"):
                walk.do("cancel", task_id)
        else:
            walk.do("delete", ["retry", "scheduled", "pending"])
        walk.do("flush")
    walk.add("expired", expires_in_ms=1)
    clock.advance(1)
    assert walk.take() == []
    walk.do("revive", ["expired"])
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


def _walk_settlements(walk: Walk) -> None:
    clock = walk.both.clock
    fence = walk.active("completes")
    clock.advance(1)
    walk.do("renew", [fence], lease_ms=LEASE)
    walk.do("complete", [Completion(fence, b"r")])
    walk.do("complete", [Completion(walk.active("vanishes", retention_ms=0), b"r")])
    walk.fail(walk.active("retries"))
    walk.do("release", [walk.active("released")])
    walk.do("delete", ["released"])
    walk.do("snooze", [Deferral(walk.active("snoozes"), 5)])
    for settlement in ("fail", "release", "snooze", "stop", "reclaim"):
        fence = walk.active(f"{settlement}-after-cancel")
        walk.do("cancel", fence.id)
        match settlement:
            case "fail":
                walk.fail(fence)
            case "release" | "stop":
                walk.do(settlement, [fence])
            case "snooze":
                walk.do("snooze", [Deferral(fence, 5)])
            case _:
                clock.advance(LEASE)
                walk.do("reclaim", limit=10)
    walk.active("lapses")
    walk.active("lapses-for-good", max_crashes=0)
    clock.advance(LEASE)
    walk.do("reclaim", limit=10)
