"""A run that never was: the specification itself, driven at random, and what would be observed of it.

Calls are carried out some time after they were made and answered some time after that, or
never; replies are lost, workers die, stop and go on too late, the server's clock jumps. All
of it follows from a seed, in no time, and every promise is kept by construction.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from rediq_trio.spec import rules as spec
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Answer,
    AnswerKind,
    Completed,
    Failed,
    Lease,
    NewTask,
    Relations,
    Released,
    Schedule,
    Snoozed,
    Stopped,
    Tick,
    Until,
)
from rediq_trio.spec.records import GroupRule, QueueState

LEASE_MS = 60
EVERY_MS = 100
EPOCH_MS = 1_000_000
LIMITS = {"narrow": {"concurrency": 2}, "paced": {"rate": [3, 0.2, 2]}}
UNTIL = {"done": Until.DONE, "started": Until.STARTED, "expired": Until.EXPIRED}


@attrs.define(eq=False)
class Flight:
    """A call that is on its way."""

    client: str
    number: int
    carry: Callable[[], Any]
    answer: Any = None
    carried: bool = False
    lost: bool = False


@attrs.define(eq=False)
class Hand:
    """A lease in a worker's hand."""

    lease: Lease
    started: bool = False
    settle: Callable[[], None] | None = None


class Refused(Exception):
    """A call that was answered with an error."""


class Pretend:
    """One run."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.rng = random.Random(seed)
        self.queue = QueueState()
        self.ms, self.offset, self.nonce, self.made = EPOCH_MS, 0, 0, 0
        self.lines: dict[str, list[dict[str, Any]]] = {}
        self.flights: list[Flight] = []
        self.workers: dict[str, list[Hand]] = {}
        self.options: dict[str, tuple[NewTask, dict[str, Any]]] = {}
        self.ticks: dict[str, int] = {}
        self._beat = 0
        self.note(
            "driver", "setup", limits=LIMITS, lease=LEASE_MS / 1000, durability="memory",
            server="plain", schedules={"s": {"every": EVERY_MS / 1000, "catch_up": "all"}},
        )  # fmt: skip
        self.do("limit", key="narrow", concurrency=2)
        self.do("limit", key="paced", count=3, period_ms=200, burst=2)
        first = EPOCH_MS + EVERY_MS
        self.do("declare", schedule=Schedule("s", b"", NewTask("", b""), next_ms=first))
        for _ in range(2):
            self.boot()

    @property
    def now(self) -> int:
        """What the server's clock shows."""
        return self.ms + self.offset

    def note(self, client: str, event: str, **fields: Any) -> None:
        self._beat += 1
        line = {"t": self.ms * 1_000_000 + self._beat, "c": client, "e": event, **fields}
        self.lines.setdefault(client, []).append(line)

    def do(self, name: str, /, *args: Any, **options: Any) -> Any:
        self.queue, answer = getattr(spec, name)(self.queue, self.now, *args, **options)
        return answer

    # --- clients

    def call(
        self, op: str, own: str, carry: Callable[[], Any], args: dict[str, Any] | None = None
    ) -> None:
        client = self.rng.choice(("p0", "p1"))
        number = len(self.lines.get(client, ()))
        self.note(client, "call", n=number, op=op, id=f"q/{own}", args=args or {})
        self.flights.append(Flight(client, number, carry))

    def enqueue(self) -> None:
        if self.options and self.rng.random() < 0.15:
            own = self.rng.choice([*self.options])
        else:
            self.made += 1
            own = f"t{self.made}"
            self.options[own] = self.choose(own)
        task, args = self.options[own]
        self.call("enqueue", own, lambda: self.enqueue_checked(task), args)

    def choose(self, own: str) -> tuple[NewTask, dict[str, Any]]:
        rng = self.rng
        kind = rng.choice(["plain"] * 3 + ["needs", "group", "unique", "unique", "narrow", "paced"])
        args: dict[str, Any] = {
            "max_retry": rng.randint(0, 2), "max_crashes": rng.choice((0, 1, 50)), "retention": 86_400,
            "due_s": rng.choice((None, None, 0.03)) if kind in ("plain", "unique") else None,
            "expires_s": rng.choice((None, None, 0.2)), "kind": kind,
        }  # fmt: skip
        relations: dict[str, Any] = {}
        if kind == "needs" and self.options:
            needs = rng.sample([*self.options], min(len(self.options), rng.randint(1, 2)))
            relations = {"needs": tuple(needs), "run_on_dependency_failure": rng.random() < 0.4}
            policy = "run" if relations["run_on_dependency_failure"] else "dead"
            args |= {"depends_on": [f"q/{n}" for n in needs], "on_dependency_failure": policy}
        elif kind == "group":
            args["group"] = relations["group"] = rng.choice(("g", "h"))
        elif kind in ("narrow", "paced"):
            args["limit_key"] = relations["limit_key"] = kind
        elif kind == "unique":
            until, conflict = rng.choice([*UNTIL]), rng.choice(("reject", "replace", "return"))
            key = f"{rng.choice('kl')}-{until}"
            args["unique"] = {"key": key, "until": until, "on_conflict": conflict}
            ttl = 90 if until == "expired" else 0
            relations = {
                "unique": key,
                "until": UNTIL[until],
                "ttl_ms": ttl,
                "replace": conflict == "replace",
            }
        task = NewTask(
            own, b"e", max_retry=args["max_retry"], max_crashes=args["max_crashes"],
            retention_ms=86_400_000, delay_ms=round((args["due_s"] or 0) * 1000),
            expires_in_ms=round((args["expires_s"] or 0) * 1000), relations=Relations(**relations),
        )  # fmt: skip
        return task, args

    def enqueue_checked(self, task: NewTask) -> Any:
        (answer,) = self.do("enqueue", [task])
        if answer is None:
            return {"created": False, "id": f"q/{task.id}"}
        if not isinstance(answer, Answer):
            return {"created": True, "id": f"q/{task.id}"}
        if answer.kind is AnswerKind.MISSING:
            raise Refused("TaskNotFound")
        return {"created": False, "id": f"q/{answer.ref}"}

    def operate(self) -> None:
        if not self.options:
            return
        own = self.rng.choice([*self.options][-30:])
        op = self.rng.choice(("info", "info", "info", "cancel", "retry", "delete"))
        carry = {
            "info": lambda: self.facts(own),
            "cancel": lambda: self.do("cancel", own).state,
            "retry": lambda: self.do("revive", [own])[0],
            "delete": lambda: self.remove(own),
        }[op]
        self.call(op, own, carry)

    def facts(self, own: str) -> Any:
        record = self.queue.records.get(own)
        if record is None:
            return None
        return {
            name: getattr(record, name) for name in ("state", "attempt", "deliveries", "crashes")
        }

    def remove(self, own: str) -> Any:
        state = self.do("delete", [own])[0]
        return None if state is None else state is not State.ACTIVE

    def fly(self) -> None:
        """Carry a call out, or answer one."""
        if not self.flights:
            return
        flight = self.rng.choice(self.flights)
        if not flight.carried:
            flight.carried = True
            try:
                flight.answer = flight.carry()
            except Refused as refused:
                flight.answer = refused
        else:
            self.flights.remove(flight)
            if isinstance(flight.answer, Refused):
                if not flight.lost:
                    error = str(flight.answer)
                    self.note(flight.client, "raise", n=flight.number, error=error, sent=False)
            elif not flight.lost:
                self.note(flight.client, "return", n=flight.number, answer=flight.answer)

    def lose(self) -> None:
        """Tell a client nothing, or that nobody knows; its call may still be carried out."""
        waiting = [flight for flight in self.flights if not flight.lost]
        if waiting:
            flight = self.rng.choice(waiting)
            flight.lost = True
            if self.rng.random() < 0.7:
                self.note(
                    flight.client, "raise", n=flight.number, error="ConnectionLost", sent=True
                )
            if not flight.carried and self.rng.random() < 0.5:
                self.flights.remove(flight)

    # --- workers

    def boot(self) -> None:
        name = f"w{self.nonce}"
        self.nonce += 1
        self.workers[name] = []
        self.note(name, "boot")

    def claim(self) -> None:
        name = self.rng.choice([*self.workers])
        self.nonce += 1
        claimed = self.do(
            "claim", limit=self.rng.randint(1, 3), lease_ms=LEASE_MS, worker=name,
            nonce=self.nonce.to_bytes(8, "big"),
        )  # fmt: skip
        if self.rng.random() < 0.9:  # else the reply is lost
            self.workers[name] += [Hand(lease) for lease in claimed.leases]

    def work(self) -> None:
        """Start, end or settle what a worker has in hand, oldest first."""
        name = self.rng.choice([*self.workers])
        hands = self.workers[name]
        waiting = [hand for hand in hands if not hand.started]
        begun = [hand for hand in hands if hand.started and hand.settle is None]
        ended = [hand for hand in hands if hand.settle is not None]
        choice = self.rng.random()
        if waiting and choice < 0.4:
            self.start(name, waiting[0])
        elif begun and choice < 0.7:
            self.end(name, self.rng.choice(begun))
        elif ended:
            hand = self.rng.choice(ended)
            assert hand.settle is not None
            hand.settle()
            if self.rng.random() < 0.8:  # else the reply is lost, and it is sent again
                hands.remove(hand)

    def start(self, name: str, hand: Hand) -> None:
        hand.started = True
        own, more = hand.lease.fence.id, {}
        if own.startswith("batch"):
            more["members"] = [f"q/{m}" for m in self.members[own]]
        if own in self.ticks:
            more |= {"schedule": "s", "tick": self.ticks[own]}
        fence, attempt = hand.lease.fence.deliveries, hand.lease.attempt
        self.note(name, "start", id=f"q/{own}", fence=fence, attempt=attempt, worker=name, **more)

    members: dict[str, list[str]]

    def end(self, name: str, hand: Hand, how: str = "", reason: str | None = None) -> None:
        fence, rng = hand.lease.fence, self.rng
        record = self.queue.records.get(fence.id)
        if not how:
            how = rng.choice(["success"] * 4 + ["raise", "retry", "reject", "snooze", "timeout"])
            if record is not None and record.cancel and rng.random() < 0.5:
                how, reason = "cancelled", "cancelled"
        children: tuple[NewTask, ...] = ()
        if how == "success" and rng.random() < 0.2:
            self.made += 1
            children = (NewTask(f"child{self.made}", b"c"),)
        gone = Released if reason == "shutdown" else Stopped
        hand.settle = {
            "success": lambda: self.do("settle", [Completed(fence, b"", children)]),
            "raise": lambda: self.do("settle", [Failed(fence, "", 5)]),
            "retry": lambda: self.do("settle", [Failed(fence, "", 1)]),
            "timeout": lambda: self.do("settle", [Failed(fence, "", 1)]),
            "reject": lambda: self.do("settle", [Failed(fence, "", 0, True)]),
            "snooze": lambda: self.do("settle", [Snoozed(fence, 10)]),
            "cancelled": lambda: self.do("settle", [gone(fence)]),
        }[how]
        more = {"children": [f"q/{child.id}" for child in children]} if children else {}
        self.note(
            name, "end", id=f"q/{fence.id}", fence=fence.deliveries, how=how, reason=reason, **more
        )

    def renew(self) -> None:
        name = self.rng.choice([*self.workers])
        fences = [hand.lease.fence for hand in self.workers[name]]
        self.do("renew", fences, lease_ms=LEASE_MS)

    def lose_worker(self) -> None:
        """Kill one, or let one stop in good order."""
        name = self.rng.choice([*self.workers])
        hands = self.workers.pop(name)
        if self.rng.random() < 0.5:
            for hand in hands:
                if hand.started and hand.settle is None and self.rng.random() < 0.3:
                    self.do(
                        "settle", [Released(hand.lease.fence)]
                    )  # it does not come to its end in time
                    self.end(name, hand, "success")
                elif hand.started:
                    if hand.settle is None:
                        self.end(name, hand, "cancelled", "shutdown")
                    assert hand.settle is not None
                    hand.settle()
                else:
                    self.do("settle", [Released(hand.lease.fence)])
            self.note(name, "exit")
        self.boot()

    # --- the queue itself

    def keep(self) -> None:
        name = self.rng.choice(("promote", "promote", "reclaim", "expire", "unblock"))
        self.do(name, limit=self.rng.choice((1, 100)))

    def batch(self) -> None:
        self.do("set_group_rules", rules={"g": GroupRule(3, 20, 60), "h": GroupRule(2, 20, 60)})
        self.made += 1
        own, before = f"batch{self.made}", set(self.queue.records)
        groups = {r.id: r.group for r in self.queue.records.values() if r.state is State.GROUPED}
        self.do("batch", ids=[own])
        if own in self.queue.records:
            self.members[own] = [m for m in groups if m in before - set(self.queue.records)]

    def tick(self) -> None:
        schedule = self.queue.schedules["s"]
        due = range(schedule.next_ms, self.now + 1, EVERY_MS)[:5]
        if due:
            tasks = []
            for at in due:
                self.made += 1
                tasks.append(Tick(at, NewTask(f"tick{self.made}", b"t")))
                self.ticks[f"tick{self.made}"] = at
            self.do(
                "tick", name="s", expected_ms=schedule.next_ms, revision=schedule.revision,
                ticks=tasks, next_ms=due[-1] + EVERY_MS,
            )  # fmt: skip

    def jump(self) -> None:
        """Set the server's clock ahead or behind, or right again."""
        seconds = 0.3 * self.rng.choice((-1, 1))
        kind = "clock-forward" if seconds > 0 else "clock-backward"
        if self.offset:
            kind = "clock-forward" if self.offset > 0 else "clock-backward"
            target = f"{self.offset / 1000:+g} s"
            self.offset = 0
            self.note("driver", "fault", kind=kind, target=target, begin=False)
        else:
            self.note("driver", "fault", kind=kind, target="", begin=True)
            self.offset = round(seconds * 1000)

    # --- the run

    def run(self, steps: int) -> None:
        """Take so many steps, and write down what was observed."""
        self.members = {}
        doings: dict[Callable[[], None], int] = {
            self.enqueue: 8, self.operate: 4, self.fly: 24, self.lose: 2, self.claim: 10,
            self.work: 36, self.renew: 5, self.lose_worker: 1, self.keep: 10, self.batch: 2,
            self.tick: 2,
        }  # fmt: skip
        for _ in range(steps):
            (doing,) = self.rng.choices([*doings], [*doings.values()])
            doing()
            self.ms += self.rng.choice((0, 0, 1, 1, 2, 5))
            if self.rng.random() < 0.003:
                self.jump()
            if self.rng.random() < 0.01:
                self.ms += 70  # everybody stands still, for longer than a lease
        if self.offset:
            self.jump()
        self.finish()

    def finish(self) -> None:
        self.ms += 1
        for record in self.queue.records.values():
            names = (
                "state",
                "attempt",
                "deliveries",
                "crashes",
                "snoozes",
                "created_ms",
                "run_ms",
                "error",
            )
            facts = {name: getattr(record, name) for name in names}
            members = (
                [f"q/{m}" for m in self.members[record.id]] if record.id in self.members else None
            )
            more = (
                {"schedule": "s", "tick": self.ticks[record.id]} if record.id in self.ticks else {}
            )
            self.note("final", "task", id=f"q/{record.id}", **facts, members=members, **more)
        counters = attrs.asdict(self.queue.counters)
        self.note("final", "queue", name="q", counters=counters, violations=[])
        self.write()

    def write(self) -> None:
        """Write the files."""
        self.folder.mkdir(exist_ok=True)
        for client, lines in self.lines.items():
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (self.folder / f"{client}.jsonl").write_text(text, "utf-8")
