"""Random histories: every transition, and the weather it has to stand.

Time jumps, also onto the very instant at which something is due; workers die and
others take over; stale leases speak; calls come twice; the server forgets its
scripts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from rediq_trio.spec.groups import groups
from rediq_trio.spec.history.type_counts import NO_COUNTS, TypeCounts
from rediq_trio.spec.lifecycle import TERMINAL, State, Transition
from rediq_trio.spec.messages import (
    NO_RELATIONS,
    Completed,
    Failed,
    Fence,
    InState,
    Mail,
    MailKind,
    NewTask,
    Outcome,
    Relations,
    Released,
    Report,
    Schedule,
    Snoozed,
    Tick,
    Until,
    Version,
)
from rediq_trio.spec.order.lanes import next_start
from rediq_trio.spec.records import GroupRule
from rediq_trio.spec.settle import PLAIN_OUTCOMES
from rediq_trio.wire.packing import pack
from tests.property.lockstep import Lockstep, Portal, Step, Taken, leases_of

IDS = (
    "018f3b2c-0000-7abc-8def-0123456789ab",
    "018f3b2c-0000-7abc-8def-0123456789aa",
    "0",
    ".x",
    "sixteen.letters.",
    "z",
)
DEAD_FOR = 40
LEASES = (1, 10, 30)

ids = st.sampled_from(IDS)
stays = st.sampled_from([None, None, 0, -1, 1])
"""By how much a change may come after a task entered its state; None for a change of any task."""
some_ids = st.lists(ids, min_size=1, max_size=3)
limits = st.sampled_from([1, 2, 100])
delays = st.sampled_from([0, 1, 5, 20])
workers = st.sampled_from(["w1", "w2"])
picks = st.lists(st.integers(0, 7), min_size=1, max_size=3)
"""Fences, counted from the newest."""
details = st.sampled_from([b"", b"detail \xff"])
kinds = st.sampled_from(["", "k1", "k2"])
twists = st.sampled_from([None] * 8 + ["nonce", "later", "earlier"])

OTHER = "other"
refs = st.sampled_from([*IDS, f"{OTHER}/x", f"{OTHER}/{IDS[0]}"])
some_refs = st.lists(refs, max_size=2, unique=True).map(tuple)
ends = st.sampled_from(list(Until))
keys = st.sampled_from(["", "k", "l"])
lanes = st.sampled_from(["", "a", "b"])
relations = st.one_of(
    st.just(NO_RELATIONS),
    st.builds(Relations, limit_key=lanes),
    st.builds(
        Relations,
        needs=some_refs,
        run_on_dependency_failure=st.booleans(),
        limit_key=lanes,
        unique=keys,
    ),
    st.builds(
        Relations,
        unique=st.sampled_from(["k", "l"]),
        until=ends,
        ttl_ms=st.sampled_from([0, 3, 9]),
        replace=st.booleans(),
        limit_key=lanes,
    ).filter(lambda tie: tie.ttl_ms or tie.until is not Until.EXPIRED),  # as `Unique` asks
    st.builds(Relations, queue=st.just(OTHER), needs=some_refs),
)
"""Ways of being tied to others."""
limit_sets: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({"concurrency": 0, "count": 0}),
    st.builds(dict, concurrency=st.sampled_from([0, 1, 2])),
    st.builds(
        dict,
        concurrency=st.sampled_from([None, 0, 1]),
        count=st.sampled_from([0, 1, 3, 100]),
        period_ms=st.sampled_from([7, 20, 300]),
        burst=st.sampled_from([1, 2]),
    ),
)

group_rules = st.builds(
    GroupRule,
    max_size=st.sampled_from([1, 2, 3, 10]),
    grace_ms=st.sampled_from([3, 10]),
    max_delay_ms=st.sampled_from([10, 15]),
)

tasks = st.builds(
    NewTask,
    relations=relations,
    id=ids,
    envelope=st.sampled_from([b"e", b"\x00\xff" * 256, b"e" * 513]),
    priority=st.sampled_from([0, 50, 100]),
    max_retry=st.sampled_from([0, 1, 2]),
    max_crashes=st.sampled_from([0, 1]),
    retention_ms=st.sampled_from([0, 5, 70_000]),
    delay_ms=delays,
    expires_in_ms=st.sampled_from([0, 0, 1, 7, 25]),
)

names = st.sampled_from(["daily", "hourly"])
steps = st.tuples(st.sampled_from(["one", "two"]), st.integers(0, 127).map(lambda n: bytes([n])))
schedules = st.builds(
    Schedule,
    name=names,
    when=st.sampled_from([b"one", b"two"]),
    template=st.sampled_from(
        [NewTask("", b"e"), NewTask("", b"e", relations=Relations(unique="k"))]
    ),
    owner=st.sampled_from(["", "app"]),
    keep=st.sampled_from([False, False, True]),
    overlap_skip=st.booleans(),
)
"""What a tick makes is handed to it: no template is looked into."""

MakeOutcome = Callable[[Fence, tuple[NewTask, ...]], Outcome]
OUTCOMES: tuple[MakeOutcome, ...] = (
    lambda fence, children: Completed(fence, b"\xa6result"),
    lambda fence, children: Completed(fence, b"", children),
    lambda fence, children: Failed(fence, "boom", 5),
    lambda fence, children: Failed(fence, "boom", 5, final=True),
    lambda fence, children: Failed(fence, "boom", 5, detail=b"how", kind="k1", sample=b"one"),
    lambda fence, children: Failed(fence, "boom", 5, kind="k3", sample=b"three"),
    lambda fence, children: Released(fence, b"why"),
    lambda fence, children: Completed(fence, b"\xa6result", children, retention_ms=7),
    lambda fence, children: Failed(fence, "boom", 5, max_retry=1),
    lambda fence, children: Snoozed(fence, 5),
    *(lambda fence, children, plain=plain: plain(fence) for plain in PLAIN_OUTCOMES.values()),
)
"""Ways to end an attempt, for batches of several."""


def twisted(fence: Fence, twist: str | None) -> Fence:
    match twist:
        case "nonce":
            return attrs.evolve(fence, nonce=b"another!")
        case "later":
            return attrs.evolve(fence, deliveries=fence.deliveries + 1)
        case "earlier":
            return attrs.evolve(fence, deliveries=fence.deliveries - 1)
        case _:
            return fence


class Histories(RuleBasedStateMachine):
    """One history in each example."""

    portal: Portal
    """Set by whoever runs the machine."""
    seen: set[Taken]
    """The edges that all histories of a run took, for whoever runs the machine."""

    def __init__(self) -> None:
        super().__init__()
        self.both = self.open()
        self.fences: list[Fence] = []
        self.last: Step | None = None
        self.history: list[Step] = []
        self.nonce = 0

    def open(self) -> Lockstep:
        return Lockstep(self.portal)

    def do(self, name: str, /, *args: Any, **options: Any) -> Any:
        return self.take(Step(name, args, options))

    def take(self, step: Step) -> Any:
        answer = self.both.do(step)
        self.last = step
        self.history.append(step)
        if step.name == "claim":
            self.fences += leases_of(answer)
        return answer

    def chosen(self, picked: list[int], twist: str | None) -> list[Fence]:
        found = [self.fences[-1 - n % len(self.fences)] for n in picked]
        return [twisted(found[0], twist), *found[1:]]

    def claim_some(self, limit: int, lease_ms: int, worker: str) -> None:
        self.nonce += 1
        nonce = self.nonce.to_bytes(8, "big")
        self.do("claim", limit=limit, lease_ms=lease_ms, worker=worker, nonce=nonce)

    @initialize(
        batch=st.lists(tasks, min_size=1, max_size=4), history=st.sampled_from([0, 3, 1000, 1000])
    )
    def begin(self, batch: list[NewTask], history: int) -> None:
        self.do("arrange", history=history)
        self.do("enqueue", batch)

    @rule(
        batch=st.lists(tasks, max_size=3),
        together=st.sampled_from(["", "", "atomic", "step", "step"]),
    )
    def enqueue(self, batch: list[NewTask], together: str) -> None:
        fit = [task for task in batch if task.id not in task.relations.needs]
        if together == "atomic":
            fit = list({task.id: task for task in fit}.values())
        self.do("enqueue", fit, **({together: True} if together else {}))

    @rule(task=tasks, below=tasks, apart=st.booleans())
    def enqueue_a_graph(self, task: NewTask, below: NewTask, apart: bool) -> None:
        """Two tasks at once, the first of which waits for the second."""
        first = attrs.evolve(
            task,
            relations=Relations(
                needs_later=(below.id,),
                run_on_dependency_failure=task.relations.run_on_dependency_failure,
            ),
        )
        if apart:
            to = attrs.evolve(first.relations, queue=OTHER, needs_later=(f"q/{below.id}",))
            first = attrs.evolve(first, relations=to)
        dependent = f"{OTHER}/{task.id}" if apart else task.id
        second = attrs.evolve(below, relations=Relations(dependents=(dependent,)))
        if task.id != below.id:
            self.do("enqueue", [first, second], atomic=True)

    @rule(task=tasks, group=st.sampled_from(["g", "h"]), unique=keys, until=ends)
    def enqueue_into_a_group(self, task: NewTask, group: str, unique: str, until: Until) -> None:
        relations = Relations(
            group=group, unique=unique, until=until, ttl_ms=9 if until == Until.EXPIRED else 0
        )
        self.do("enqueue", [attrs.evolve(task, delay_ms=0, relations=relations)])

    @rule(group=st.sampled_from(["g", "h", "i"]), given=group_rules)
    def set_group_rules(self, group: str, given: GroupRule) -> None:
        self.do("set_group_rules", rules={group: given, "nobody": given})

    @rule(
        task_ids=st.lists(ids, max_size=3),
        given=st.dictionaries(st.sampled_from(["g", "h*", "*", "g*"]), group_rules, max_size=3),
    )
    def batch(self, task_ids: list[str], given: dict[str, GroupRule]) -> None:
        self.do("batch", ids=task_ids, rules=given)

    @rule(batch=st.lists(tasks, min_size=2, max_size=4), size=st.integers(1, 3))
    def enqueue_a_full_group(self, batch: list[NewTask], size: int) -> None:
        self.do(
            "enqueue", [attrs.evolve(t, delay_ms=0, relations=Relations(group="g")) for t in batch]
        )
        self.do("set_group_rules", rules={"g": GroupRule(size, 5, 9)})
        self.do("batch", ids=["z", "0"])

    @rule(key=st.sampled_from(["", "*", "a", "b"]), limit=limit_sets)
    def limit(self, key: str, limit: dict[str, int | None]) -> None:
        self.do("limit", key=key, **limit)

    @rule(
        most=st.sampled_from([None, 0, 1, 3]),
        fair=st.sampled_from([None, False, True]),
        history=st.sampled_from([None, None, 0, 2, 5, 1000]),
        latency=st.sampled_from([None, 0, 30_000]),
        failures=st.sampled_from([None, 0, 10_000]),
    )
    def arrange(
        self,
        most: int | None,
        fair: bool | None,
        history: int | None,
        latency: int | None,
        failures: int | None,
    ) -> None:
        targets = {"target_latency_ms": latency, "target_failures_ppm": failures}
        self.do("arrange", max_pending=most, fair=fair, history=history, **targets)

    @rule(limit=st.sampled_from([1, 2, 100]))
    def unblock(self, limit: int) -> None:
        self.do("unblock", limit=limit)

    @rule(
        task=tasks,
        own=ids,
        ref=ids,
        ended_as=st.sampled_from([*TERMINAL, None]),
        off=st.integers(-1, 2),
    )
    def mail_comes(
        self, task: NewTask, own: str, ref: str, ended_as: State | None, off: int
    ) -> None:
        """Messages of another queue: new, out of turn, or known."""
        first = max(1, self.both.model.received.get(OTHER, 0) + off)
        task = attrs.evolve(task, relations=attrs.evolve(task.relations, queue=""))
        mail = [
            Mail(first, "q", MailKind.SUBSCRIBE, id=own, ref=ref),
            Mail(
                first + 1, "q", MailKind.ENDED, id=own, ref="x", ended_as=ended_as, result=b"\x07"
            ),
        ]
        if task.id not in task.relations.needs:
            mail.append(Mail(first + 2, "q", MailKind.TASK, task=task))
        self.do("receive", OTHER, mail)

    @rule(back=st.integers(0, 2), refused=st.lists(st.tuples(ids, ids), max_size=3))
    def mail_has_arrived(self, back: int, refused: list[tuple[str, str]]) -> None:
        outbox = self.both.model.outbox
        if outbox:
            noted = [(parent, f"{OTHER}/{child}") for parent, child in refused]
            self.do("acknowledge", outbox[max(0, len(outbox) - 1 - back)].seq, refused=noted)

    # --- schedules

    @rule(schedule=schedules, ahead=st.sampled_from([-5, 0, 1, 20, None]))
    def declare(self, schedule: Schedule, ahead: int | None) -> None:
        next_ms = 0 if ahead is None else self.both.clock.now + ahead
        self.do("declare", schedule=attrs.evolve(schedule, next_ms=next_ms))

    @precondition(lambda self: self.both.model.schedules)
    @rule(
        name=names,
        batch=st.lists(tasks, max_size=3),
        first=st.sampled_from([0, 0, 0, -1, 1]),
        apart=st.sampled_from([1, 1, 4, 0]),
        following=st.sampled_from([1, 1, 9, 0, None]),
        twist=st.sampled_from([None] * 6 + ["expected", "revision"]),
        waits=st.booleans(),
    )
    def tick(
        self,
        name: str,
        batch: list[NewTask],
        first: int,
        apart: int,
        following: int | None,
        twist: str | None,
        waits: bool,
    ) -> None:
        """Ticks as they are expected, or early, late, out of order, by one who read them before."""
        schedule = self.both.model.schedules.get(name)
        expected = schedule.next_ms if schedule else self.both.clock.now
        revision = schedule.revision if schedule else 1
        if waits:
            self.both.clock.now = max(self.both.clock.now, expected + 4 * len(batch))
        fit = [task for task in batch if task.id not in task.relations.needs]
        ticks = [Tick(expected + first + n * apart, task) for n, task in enumerate(fit)]
        last = max([expected, *(tick.at_ms for tick in ticks)])
        self.do(
            "tick",
            name=name,
            expected_ms=expected + (twist == "expected"),
            revision=revision - (twist == "revision"),
            ticks=ticks,
            next_ms=0 if following is None else last + following,
        )

    @rule(name=names)
    def suspend(self, name: str) -> None:
        self.do("suspend", name=name)

    @rule(name=names, ahead=st.sampled_from([-5, 0, 1, 20]))
    def reinstate(self, name: str, ahead: int) -> None:
        self.do("reinstate", name=name, next_ms=self.both.clock.now + ahead)

    @rule(name=names, task=tasks)
    def trigger(self, name: str, task: NewTask) -> None:
        if task.id not in task.relations.needs:
            self.do("trigger", name=name, task=task)

    @rule(some=st.lists(names, max_size=2))
    def retract(self, some: list[str]) -> None:
        self.do("retract", names=some)

    @rule(owner=st.sampled_from(["app", "another"]), some=st.lists(names, max_size=1))
    def retract_others(self, owner: str, some: list[str]) -> None:
        self.do("retract_others", owner=owner, names=some)

    @rule(due=st.sampled_from([0, 1, 5]))
    def agenda(self, due: int) -> None:
        self.do("agenda", due=due)

    @precondition(lambda self: self.fences)
    @rule(picked=picks, twist=twists, step=steps)
    def remember(self, picked: list[int], twist: str | None, step: tuple[str, bytes]) -> None:
        self.do("remember", self.chosen(picked, twist)[0], step)

    @precondition(lambda self: self.fences)
    @rule(picked=picks, twist=twists, children=st.lists(tasks, min_size=1, max_size=2))
    def complete_with_children(
        self, picked: list[int], twist: str | None, children: list[NewTask]
    ) -> None:
        fit = tuple(c for c in children if c.id not in c.relations.needs)
        fence = self.chosen(picked, twist)[0]
        self.do("settle", [Completed(fence, b"\x2a", fit)])

    @rule(task=tasks, at=st.integers(-2, 20))
    def enqueue_for_an_instant(self, task: NewTask, at: int) -> None:
        now = self.both.clock.now
        task = attrs.evolve(
            task, delay_ms=0, run_at_ms=now + at, expires_in_ms=0, expires_at_ms=now + 9
        )
        self.do("enqueue", [task])

    @rule(limit=limits, lease_ms=st.sampled_from(LEASES), worker=workers)
    def claim(self, limit: int, lease_ms: int, worker: str) -> None:
        self.claim_some(limit, lease_ms, worker)

    @precondition(lambda self: self.fences)
    @rule(picked=picks, twist=twists, lease_ms=st.sampled_from(LEASES))
    def renew(self, picked: list[int], twist: str | None, lease_ms: int) -> None:
        self.do("renew", self.chosen(picked, twist), lease_ms=lease_ms)

    @precondition(lambda self: self.fences)
    @rule(picked=picks, twist=twists)
    def complete(self, picked: list[int], twist: str | None) -> None:
        fences = self.chosen(picked, twist)
        self.do("settle", [Completed(f, pack(f"result {f.deliveries}")) for f in fences])

    @precondition(lambda self: self.fences)
    @rule(
        picked=picks,
        twist=twists,
        delay=delays,
        final=st.sampled_from([False, False, True]),
        detail=details,
        kind=kinds,
    )
    def fail(
        self,
        picked: list[int],
        twist: str | None,
        delay: int,
        final: bool,
        detail: bytes,
        kind: str,
    ) -> None:
        fences = self.chosen(picked, twist)
        more = {"detail": detail, "kind": kind}
        self.do(
            "settle",
            [Failed(f, "böom", delay, final, sample=f.id.encode(), **more) for f in fences],  # type: ignore[arg-type]
        )

    @precondition(lambda self: self.fences)
    @rule(picked=picks, twist=twists, plain=st.sampled_from([*PLAIN_OUTCOMES]))
    def settle_plain(self, picked: list[int], twist: str | None, plain: Transition) -> None:
        self.do("settle", [PLAIN_OUTCOMES[plain](f) for f in self.chosen(picked, twist)])

    @precondition(lambda self: self.fences)
    @rule(picked=picks, twist=twists, delay=delays, detail=details)
    def snooze(self, picked: list[int], twist: str | None, delay: int, detail: bytes) -> None:
        self.do("settle", [Snoozed(f, delay, detail) for f in self.chosen(picked, twist)])

    @precondition(lambda self: self.fences)
    @rule(
        picked=st.lists(st.integers(0, 7), min_size=2, max_size=5),
        twist=twists,
        made=st.lists(st.sampled_from(OUTCOMES), min_size=5, max_size=5),
        child=tasks,
    )
    def settle_mixed(
        self, picked: list[int], twist: str | None, made: list[MakeOutcome], child: NewTask
    ) -> None:
        children = () if child.id in child.relations.needs else (child,)
        fences = self.chosen(picked, twist)
        self.do("settle", [make(f, children) for make, f in zip(made, fences, strict=False)])

    @precondition(lambda self: self.fences)
    @rule(picked=picks, twist=twists, progress=st.binary(min_size=1, max_size=2))
    def report(self, picked: list[int], twist: str | None, progress: bytes) -> None:
        self.do("report", [Report(f, progress) for f in self.chosen(picked, twist)])

    @rule(limit=limits, name=st.sampled_from(["promote", "promote", "reclaim", "expire"]))
    def keep(self, limit: int, name: str) -> None:
        self.do(name, limit=limit)

    @rule(limit=limits, max_dead=st.sampled_from([0, 1, 100]))
    def purge(self, limit: int, max_dead: int) -> None:
        self.do("purge", limit=limit, dead_retention_ms=DEAD_FOR, max_dead=max_dead)

    @rule(
        later=st.sampled_from([0, 0, 9_000, 30_001]),
        known=st.sampled_from([-1, -1, 0, 1]),
        unseen_ms=st.sampled_from([0, 60_000]),
    )
    def sample(self, later: int, known: int, unseen_ms: int) -> None:
        """By a worker that knows the last sample, or one that a failover lost."""
        self.both.clock.advance(later)
        known = self.both.model.series.last.step + known if known >= 0 else -1
        self.do("sample", known=known, unseen_ms=unseen_ms)

    @rule(
        later=st.sampled_from([0, 0, 9_000, 301_000]),
        worker=st.sampled_from([b"worker-1", b"worker-2"]),
        number=st.integers(0, 5),
        counts=st.dictionaries(st.sampled_from(["", "mail", "sum"]), st.just((1, *NO_COUNTS[1:])), max_size=2),
    )  # fmt: skip
    def tally(self, later: int, worker: bytes, number: int, counts: dict[str, TypeCounts]) -> None:
        self.both.clock.advance(later)
        self.do("tally", worker=worker, number=number, counts=counts)

    @rule(later=st.sampled_from([0, 301_000, 90_000_000]), shed=st.sampled_from([0, 1, 500]))
    def trim(self, later: int, shed: int) -> None:
        self.both.clock.advance(later)
        self.do("trim", shed=shed)

    def still(self, task_id: str, by: int | None) -> dict[str, Any]:
        """Return what a task must still be for a change: its state, since some instant."""
        record = self.both.model.records.get(task_id)
        if by is None or record is None:
            return {}
        return {"still": InState(record.state if by else State.DEAD, record.entered_ms + by)}

    @rule(task_id=ids, by=stays)
    def cancel(self, task_id: str, by: int | None) -> None:
        self.do("cancel", task_id, **self.still(task_id, by))

    @precondition(lambda self: self.fences)
    @rule(picked=picks)
    def cancel_in_hand(self, picked: list[int]) -> None:
        self.do("cancel", self.chosen(picked, None)[0].id)

    @rule(task_id=ids, delay=delays, at=st.sampled_from([None, None, -2, 0, 7]))
    def reschedule(self, task_id: str, delay: int, at: int | None) -> None:
        run_at = 0 if at is None else self.both.clock.now + at
        self.do("reschedule", task_id, delay_ms=delay, run_at_ms=run_at)

    @rule(
        task_id=ids,
        task=tasks,
        expires=st.sampled_from([0, 0, 4, 30]),
        stale=st.sampled_from([{}] * 6 + [{"envelope": b"x"}, {"priority": 7}, {"expires_ms": 1}]),
    )
    def update(self, task_id: str, task: NewTask, expires: int, stale: dict[str, Any]) -> None:
        record = self.both.model.records.get(task_id)
        numbers = task.priority, task.max_retry, task.max_crashes, task.retention_ms
        at = expires and self.both.clock.now + expires
        new = Version(task.envelope, *numbers, at)
        seen = attrs.evolve(record.version if record else new, **stale)
        self.do("update", task_id, seen=seen, new=new, expires_in_ms=task.expires_in_ms)

    @rule(task_id=ids, new_id=ids, stale=st.sampled_from([{}] * 4 + [{"envelope": b"x"}]), by=stays)
    def requeue(self, task_id: str, new_id: str, stale: dict[str, Any], by: int | None) -> None:
        record = self.both.model.records.get(task_id)
        if record is None:
            seen, key = Version(b"e", 1, 1, 1, 1), ""
        else:
            seen, key = attrs.evolve(record.version, **stale), record.limit_key
        task = NewTask(new_id, b"e", relations=Relations(queue=OTHER, limit_key=key))
        self.do("requeue", task_id, seen=seen, task=task, **self.still(task_id, by))

    @rule(task_ids=some_ids, by=stays)
    def revive(self, task_ids: list[str], by: int | None) -> None:
        self.do("revive", task_ids, **self.still(task_ids[0] if task_ids else "", by))

    @rule(task_ids=some_ids, by=stays)
    def delete(self, task_ids: list[str], by: int | None) -> None:
        self.do("delete", task_ids, **self.still(task_ids[0] if task_ids else "", by))

    @rule(task_id=ids)
    def watch(self, task_id: str) -> None:
        self.do("watch", task_id)

    @rule(note=st.sampled_from([b"", b"one", b"\xff\x00"]))
    def pause(self, note: bytes) -> None:
        self.do("pause", note)

    @rule()
    def resume(self) -> None:
        self.do("resume")

    @precondition(lambda self: len(self.history) > 20)
    @rule()
    def flush(self) -> None:
        self.do("flush")

    @precondition(lambda self: len(self.history) > 20)
    @rule(emptied=st.booleans(), known=st.sampled_from([None, False, True, True]))
    def remove_queue(self, emptied: bool, known: bool | None) -> None:
        if emptied:
            self.do("flush")
            self.do("retract", names=["daily", "hourly"])
            if outbox := self.both.model.outbox:
                self.do("acknowledge", outbox[-1].seq)
            self.both.clock.advance(1)
        received = dict(self.both.model.received)
        self.do("remove_queue", received=None if known is None else received if known else {"a": 1})

    # --- the weather

    @rule(by=st.sampled_from([1, 3, 10, 31, 60_000]))
    def time_passes(self, by: int) -> None:
        self.both.clock.advance(by)

    @rule(by=st.sampled_from([1, 3, 10, 40]))
    def the_clock_is_set_back(self, by: int) -> None:
        self.both.clock.advance(-by)

    @rule(pick=st.integers(0, 9), off=st.sampled_from([0, 0, -1, 1]))
    def time_jumps_to_where_something_is_due(self, pick: int, off: int) -> None:
        clock = self.both.clock
        due = sorted({at for at in self.instants() if at + off > clock.now})
        if due:
            clock.now = due[pick % len(due)] + off

    def instants(self) -> list[int]:
        found: list[int] = []
        for record in self.both.model.records.values():
            if record.state in TERMINAL:
                found.append(record.purge_ms or record.finished_ms + DEAD_FOR)
            else:
                found += [record.run_ms, record.lease_ms, record.expires_ms]
        found += [s.next_ms for s in self.both.model.schedules.values()]
        found += [g.due_ms for g in groups(self.both.model.records, self.both.model.rules)]
        found += [lock.till_ms for lock in self.both.model.locks.values()]
        found += [-(-at // 1000) for at in self.both.model.rates.values()]
        found += filter(None, [next_start(self.both.model, self.both.clock.now)])
        return found

    @precondition(lambda self: self.held())
    @rule(renewed_by=st.sampled_from([None, "the dead"]))
    def a_worker_dies_and_another_takes_over(self, renewed_by: str | None) -> None:
        dead = self.held()
        self.both.clock.now = max(
            self.both.clock.now, *(self.both.model.records[f.id].lease_ms for f in dead)
        )
        self.do("reclaim", limit=100)
        self.claim_some(100, 10, "heir")
        if renewed_by:
            self.do("renew", dead, lease_ms=10)
            self.do("settle", [Completed(f, b"too late") for f in dead])

    def held(self) -> list[Fence]:
        active = [r for r in self.both.model.records.values() if r.state is State.ACTIVE]
        return [Fence(r.id, r.deliveries, r.nonce) for r in active]

    @precondition(lambda self: self.last)
    @rule()
    def the_last_call_comes_twice(self) -> None:
        assert self.last is not None
        self.take(self.last)

    @precondition(lambda self: self.history)
    @rule(n=st.integers(0, 30))
    def an_old_call_comes_again(self, n: int) -> None:
        step = self.history[-1 - n % len(self.history)]
        # A claim comes again at once or never: its nonce is its own.
        if step.name != "claim":
            self.take(step)

    @rule()
    def the_server_forgets_its_scripts(self) -> None:
        self.both.forget_scripts()

    def teardown(self) -> None:
        self.both.finish()
        self.seen |= self.both.taken
