"""What each part of a `Why` says, checked against the specification at the instant that it carries.

The checks ask the specification what would happen then, and do not compute as the library does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from rediq_trio.spec import rules as spec
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.order.lanes import ordered
from rediq_trio.spec.records import QueueState, Record
from rediq_trio.spec.stored_format import EXPIRED
from rediq_trio.tasks.described_info import id_of
from rediq_trio.tasks.instants import instant
from rediq_trio.tasks.pause_note import PauseNote, read_pause_note
from rediq_trio.tasks.task_info import make_task_info
from rediq_trio.values.observed.why import WhyKind, WhyPart
from rediq_trio.values.task import WorkerInfo
from tests.conformance.bench import Q


@attrs.frozen
class Facts:
    """The world at one instant."""

    now: int
    queue: QueueState
    task_id: str
    workers: Sequence[WorkerInfo]
    others: Mapping[str, QueueState]

    @property
    def record(self) -> Record:
        return self.queue.records[self.task_id]

    def state(self, task_id: str) -> State | None:
        record = self.queue.records.get(task_id)
        return record and record.state


def starts(facts: Facts, at: int | None = None) -> bool:
    """Return whether a claim would start the task if it alone were ready."""
    records = facts.queue.records.items()
    left = {n: r for n, r in records if r.state is not State.PENDING or n == facts.task_id}
    queue = attrs.evolve(facts.queue, records=left)
    now = facts.now if at is None else at
    _, claimed = spec.claim(queue, now, limit=1, lease_ms=10, worker="w", nonce=b"12345678")
    return [lease.fence.id for lease in claimed.leases] == [facts.task_id]


def processed_before(queue: QueueState, now: int, task_id: str) -> int:
    """Return how many tasks a worker takes until it has taken this one, without any limits."""
    queue = attrs.evolve(queue, limits={}, rates={}, paused=False)
    for taken in range(1, len(queue.records) + 1):
        nonce = taken.to_bytes(8, "big")
        queue, _ = spec.claim(queue, now, limit=1, lease_ms=10, worker="w", nonce=nonce)
        if queue.records[task_id].state is not State.PENDING:
            return taken
    raise AssertionError(f"{task_id} is never taken")


def _held(facts: Facts, data: Mapping[str, Any]) -> bool:
    record = facts.record
    return record.state is State.ACTIVE and data == {
        "worker": record.worker,
        "since": instant(record.started_ms),
        "lease_until": instant(record.lease_ms),
        "attempt": record.attempt,
        "attempts": record.max_retry + 1,
    }


def _running(facts: Facts, data: Mapping[str, Any]) -> bool:
    return _held(facts, data) and facts.record.lease_ms > facts.now


def _lapsed(facts: Facts, data: Mapping[str, Any]) -> bool:
    after, _ = spec.reclaim(facts.queue, facts.now, limit=100)
    reclaimed = after.records[facts.task_id].state is not State.ACTIVE
    return _held(facts, data) and reclaimed


def _cancelling(facts: Facts, data: Mapping[str, Any]) -> bool:
    return facts.record.state is State.ACTIVE and facts.record.cancel and not data


def _completed(facts: Facts, data: Mapping[str, Any]) -> bool:
    record = facts.record
    ends = instant(record.finished_ms), record.worker, instant(record.purge_ms)
    return record.state is State.COMPLETED and tuple(data.values()) == ends


def _dead(facts: Facts, data: Mapping[str, Any]) -> bool:
    record = facts.record
    said = instant(record.finished_ms), record.attempt, record.max_retry + 1, record.error or None
    return record.state is State.DEAD and tuple(data.values()) == said


def _cancelled(facts: Facts, data: Mapping[str, Any]) -> bool:
    record = facts.record
    ends = instant(record.finished_ms), instant(record.purge_ms)
    return record.state is State.CANCELLED and tuple(data.values()) == ends


def _dependencies(facts: Facts, data: Mapping[str, Any]) -> bool:
    needs = facts.queue.needs[facts.task_id]
    expected = {id_of(Q, ref): facts.state(ref) for ref in needs}
    same = dict(data["tasks"]) == expected and data["waits"] == len(needs)
    return same and facts.record.state is State.BLOCKED


def _elsewhere(facts: Facts, data: Mapping[str, Any]) -> bool:
    found = facts.others[data["queue"]].records
    for name, state in data["tasks"]:
        record = found.get(name.partition("/")[2])
        if (record and record.state) is not state:
            return False
    return bool(data["tasks"])


def _group(facts: Facts, data: Mapping[str, Any]) -> bool:
    def gathers(at: int) -> bool:
        after, _ = spec.batch(facts.queue, at, ids=[f"new{n}" for n in range(20)])
        return any(record.group == data["group"] for record in facts.queue.records.values()) and (
            members(after) < members(facts.queue)
        )

    def members(queue: QueueState) -> int:
        grouped = (r for r in queue.records.values() if r.state is State.GROUPED)
        return sum(r.group == data["group"] for r in grouped)

    at = data["batch_at"]
    due = facts.now if at is None else max(facts.now, round(at.timestamp() * 1000))
    early = due > facts.now and gathers(due - 1)
    return data["size"] == members(facts.queue) and gathers(due) and not early


def _due(facts: Facts, at: Any) -> bool:
    due = round(at.timestamp() * 1000)

    def is_pending(now: int) -> bool:
        after, _ = spec.promote(facts.queue, now, limit=100)
        return after.records[facts.task_id].state is State.PENDING

    return is_pending(max(due, facts.now)) and not (due > facts.now and is_pending(due - 1))


def _retry(facts: Facts, data: Mapping[str, Any]) -> bool:
    record = facts.record
    said = record.attempt, record.max_retry, record.error or None
    same = (data["retry"], data["max_retry"], data["error"]) == said
    return record.state is State.RETRY and same and _due(facts, data["run_at"])


def _scheduled(facts: Facts, data: Mapping[str, Any]) -> bool:
    return facts.record.state is State.SCHEDULED and _due(facts, data["run_at"])


def _paused(facts: Facts, data: Mapping[str, Any]) -> bool:
    note = read_pause_note(facts.queue.pause_note) or PauseNote("(unreadable)")
    said = (data["by"], data["reason"]) == (note.by, note.reason)
    since = data["since"] == instant(facts.queue.paused_since_ms)
    return facts.queue.paused and said and since and not _may_start(facts)


def _may_start(facts: Facts) -> bool:
    return facts.record.state is State.PENDING and starts(facts)


def _limit(facts: Facts, data: Mapping[str, Any]) -> bool:
    active = [r for r in facts.queue.records.values() if r.state is State.ACTIVE]
    counted = [r for r in active if data["limit_key"] in (None, r.limit_key)]
    oldest = min(r.started_ms for r in counted)
    same = data["running"] == len(counted) and data["oldest_since"] == instant(oldest)
    # It is this limit that holds: without it, so many may run.
    return same and data["running"] >= data["concurrency"] > 0 and not starts(facts)


def _rate(facts: Facts, data: Mapping[str, Any]) -> bool:
    at = round(data["next_start"].timestamp() * 1000)
    return at > facts.now and not starts(facts, at - 1)


def _position(facts: Facts, data: Mapping[str, Any]) -> bool:
    record, key = facts.record, facts.record.limit_key
    lane = [r for r in ordered(facts.queue, State.PENDING) if r.limit_key == key]
    equal = [r.id for r in lane if r.priority == record.priority]
    better = sum(r.priority < record.priority for r in lane)
    keys = {r.limit_key for r in ordered(facts.queue, State.PENDING)} - {"", key}
    return data == {
        "position": equal.index(record.id) + 1,
        "of": len(equal),
        "better": better,
        "limit_key": key or None,
        "other_keys": len(keys),
        "fair": facts.queue.fair,
    }


def _serving(facts: Facts) -> list[WorkerInfo]:
    return [worker for worker in facts.workers if Q in worker.queues]


def _claiming(facts: Facts) -> list[WorkerInfo]:
    return [worker for worker in _serving(facts) if worker.state in ("working", None)]


def _unserved(facts: Facts, data: Mapping[str, Any]) -> bool:
    return not _serving(facts) and data == {"queue": Q}


def _not_claiming(facts: Facts, data: Mapping[str, Any]) -> bool:
    return not _claiming(facts) and sum(data["states"].values()) == len(_serving(facts)) > 0


def _types(facts: Facts) -> list[tuple[str, ...] | None]:
    return [worker.types for worker in _claiming(facts)]


def _unknown_type(facts: Facts, data: Mapping[str, Any]) -> bool:
    kind = make_task_info(Q, facts.record).type
    nobody = all(types is not None and kind not in types for types in _types(facts))
    versions = {worker.version for worker in _claiming(facts)}
    return nobody and data == {
        "type": kind,
        "workers": len(_types(facts)),
        "versions": tuple(sorted(versions)),
    }


def free_slots(facts: Facts) -> int:
    """Return how many more tasks the workers that claim from the queue may run."""
    return sum(worker.concurrency - worker.running for worker in _claiming(facts))


def _slots_taken(facts: Facts, data: Mapping[str, Any]) -> bool:
    claiming = _claiming(facts)
    since = [task.since for worker in claiming for task in worker.running_tasks or ()]
    return free_slots(facts) == 0 and data == {
        "workers": len(claiming),
        "running": sum(worker.running for worker in claiming),
        "slots": sum(worker.concurrency for worker in claiming),
        "oldest_since": min(since, default=None),
    }


def _served(facts: Facts, data: Mapping[str, Any]) -> bool:
    info = make_task_info(Q, facts.record)
    sure = sum(info.type in (types or ()) for types in _types(facts))
    return data == {"workers": len(_types(facts)), "sure": 0 if info.members else sure}


def _expires(facts: Facts, data: Mapping[str, Any]) -> bool:
    at = round(data["expires"].timestamp() * 1000)

    def has_expired(now: int) -> bool:
        after, _ = spec.expire(facts.queue, now, limit=100)
        record = after.records[facts.task_id]
        # It may be dead before, by another that expires and that it needs.
        return record.state is State.DEAD and record.error == EXPIRED

    return has_expired(max(at, facts.now)) and not (at > facts.now and has_expired(at - 1))


def _deadline(facts: Facts, data: Mapping[str, Any]) -> bool:
    return data == {"deadline": make_task_info(Q, facts.record).deadline}


def _estimate(facts: Facts, data: Mapping[str, Any]) -> bool:
    """The rate is that of the counters, see `RatedQueue`; here, that the seconds follow from it."""
    return data["seconds"] is None if data["rate"] == 0 else data["seconds"] > 0


TRUE: Mapping[WhyKind, Callable[[Facts, Mapping[str, Any]], bool]] = {
    WhyKind.RUNNING: _running,
    WhyKind.LEASE_LAPSED: _lapsed,
    WhyKind.CANCELLING: _cancelling,
    WhyKind.COMPLETED: _completed,
    WhyKind.DEAD: _dead,
    WhyKind.CANCELLED: _cancelled,
    WhyKind.DEPENDENCIES: _dependencies,
    WhyKind.ELSEWHERE: _elsewhere,
    WhyKind.GROUP: _group,
    WhyKind.RETRY: _retry,
    WhyKind.SCHEDULED: _scheduled,
    WhyKind.PAUSED: _paused,
    WhyKind.UNSERVED: _unserved,
    WhyKind.NOT_CLAIMING: _not_claiming,
    WhyKind.UNKNOWN_TYPE: _unknown_type,
    WhyKind.SLOTS_TAKEN: _slots_taken,
    WhyKind.LIMIT: _limit,
    WhyKind.RATE: _rate,
    WhyKind.POSITION: _position,
    WhyKind.ESTIMATE: _estimate,
    WhyKind.SERVED: _served,
    WhyKind.EXPIRES: _expires,
    WhyKind.DEADLINE: _deadline,
}
"""A check for each kind but those that only a newer version causes, which the specification has not."""

ONE_OF: Mapping[State, frozenset[WhyKind]] = {
    State.SCHEDULED: frozenset({WhyKind.SCHEDULED}),
    State.BLOCKED: frozenset({WhyKind.DEPENDENCIES}),
    State.GROUPED: frozenset({WhyKind.GROUP}),
    State.PENDING: frozenset({WhyKind.POSITION}),
    State.ACTIVE: frozenset({WhyKind.RUNNING, WhyKind.LEASE_LAPSED}),
    State.RETRY: frozenset({WhyKind.RETRY}),
    State.COMPLETED: frozenset({WhyKind.COMPLETED}),
    State.DEAD: frozenset({WhyKind.DEAD}),
    State.CANCELLED: frozenset({WhyKind.CANCELLED}),
}
"""The kinds of which a task in each state has exactly one part, and in no other state any."""


def nothing_holds(facts: Facts, parts: Sequence[WhyPart]) -> bool:
    """Return whether, by these parts, a worker would start the pending task if it alone were ready."""
    holding = {WhyKind.PAUSED, WhyKind.LIMIT, WhyKind.RATE}
    if any(part.kind in holding for part in parts):
        return False
    ends = [part.data.get("expires") or part.data.get("deadline") for part in parts]
    return all(end is None or end > instant(facts.now) for end in ends)
