"""Each invariant fires on a value that breaks it, and on nothing else."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from rediq_trio.spec.check.table import violations_of
from rediq_trio.spec.check.task import RecordView, task_target, view_of
from rediq_trio.spec.check.totals import QueueTotals, queue_violations, totals_of
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Mail, MailKind
from rediq_trio.spec.records import Counters, Ending, Lock, QueueState, Record
from rediq_trio.testing.judge.invariants import order_violations, step_violations, violations

S = State
PENDING = Record("t", b"e", S.PENDING, 50, 3, 3, 1000, created_ms=10, run_ms=10, seq=1)
LEASED: dict[str, Any] = {"deliveries": 1, "attempt": 1, "nonce": b"n" * 8, "worker": "w"}
ACTIVE = attrs.evolve(PENDING, state=S.ACTIVE, lease_ms=50, started_ms=20, **LEASED)
RETRY = attrs.evolve(ACTIVE, state=S.RETRY, lease_ms=0, error="boom", run_ms=40)
COMPLETED = attrs.evolve(ACTIVE, state=S.COMPLETED, lease_ms=0, finished_ms=30, purge_ms=99)
DEAD = attrs.evolve(RETRY, state=S.DEAD, finished_ms=30)
CANCELLED = attrs.evolve(PENDING, state=S.CANCELLED, finished_ms=30, purge_ms=99)
SCHEDULED = attrs.evolve(PENDING, state=S.SCHEDULED, run_ms=40, seq=0)
GOOD = (PENDING, ACTIVE, RETRY, COMPLETED, DEAD, CANCELLED, SCHEDULED)


def shown(record: Record) -> RecordView:
    """Return the view of a task that is alone in its queue."""
    lock = {record.unique: Lock(record.id)} if record.owns_unique_key else {}
    return view_of(QueueState({record.id: record}, locks=lock), 0, task_target(record.id))


def found(view: RecordView) -> list[int]:
    return [violation.invariant for violation in violations_of(view)]


@pytest.mark.parametrize("record", GOOD, ids=lambda record: record.state)
def test_a_good_task_breaks_nothing(record: Record) -> None:
    assert found(shown(record)) == []
    assert found(shown(attrs.evolve(record, expires_ms=70))) == []


@pytest.mark.parametrize(
    ("record", "changes", "invariant"),
    [
        (ACTIVE, {"nonce": b""}, 3),
        (ACTIVE, {"worker": ""}, 3),
        (ACTIVE, {"lease_ms": 0}, 3),
        (RETRY, {"lease_ms": 50}, 3),
        (PENDING, {"nonce": b"n" * 8}, 3),
        (RETRY, {"attempt": 5, "deliveries": 5}, 4),
        (PENDING, {"attempt": -1}, 4),
        (RETRY, {"deliveries": 2, "snoozes": 2}, 4),
        (RETRY, {"deliveries": 2, "crashes": 2}, 4),
        (ACTIVE, {"attempt": 0}, 4),
        (RETRY, {"crashes": 4, "deliveries": 5}, 4),
        (COMPLETED, {"finished_ms": 0}, 5),
        (PENDING, {"finished_ms": 30}, 5),
        (COMPLETED, {"deliveries": 0, "attempt": 0, "nonce": b""}, 5),
        (DEAD, {"error": ""}, 5),
        (ACTIVE, {"run_ms": 21}, 8),
        (ACTIVE, {"expires_ms": 20}, 8),
    ],
)
def test_a_broken_record_breaks_one_invariant(
    record: Record, changes: dict[str, Any], invariant: int
) -> None:
    assert found(shown(attrs.evolve(record, **changes))) == [invariant]


@pytest.mark.parametrize(
    ("changes", "invariant"),
    [
        ({"indexes": {}}, 1),
        ({"indexes": {S.ACTIVE: 50}}, 1),
        ({"indexes": {S.PENDING: PENDING.score, S.DEAD: 5}}, 1),
        ({"indexes": {S.PENDING: PENDING.score + 1}}, 7),
        ({"has_envelope": False}, 2),
        ({"expiring": 5}, 8),
    ],
)
def test_a_task_listed_wrongly_breaks_one_invariant(
    changes: dict[str, Any], invariant: int
) -> None:
    assert found(attrs.evolve(shown(PENDING), **changes)) == [invariant]


def test_a_mortal_task_is_listed_for_its_expiry_while_it_waits() -> None:
    mortal = attrs.evolve(PENDING, expires_ms=70)
    assert found(attrs.evolve(shown(mortal), expiring=None)) == [8]
    assert found(attrs.evolve(shown(mortal), expiring=71)) == [8]
    active = attrs.evolve(ACTIVE, expires_ms=70)
    assert found(attrs.evolve(shown(active), expiring=70)) == [8]


def test_an_id_without_a_record_leaves_nothing_behind() -> None:
    nothing = RecordView(task_target("t"), None, {}, None, has_envelope=False)
    assert found(nothing) == []
    assert found(attrs.evolve(nothing, indexes={S.PENDING: 1, S.DEAD: 2})) == [1, 1]
    assert found(attrs.evolve(nothing, has_envelope=True)) == [2]
    assert found(attrs.evolve(nothing, expiring=5)) == [2]


TOTALS = QueueTotals(3, {S.PENDING: 2, S.DEAD: 1}, 2, 2, Counters(enqueued=6, purged=1, deleted=2))


@pytest.mark.parametrize(
    ("changes", "invariants"),
    [
        ({}, []),
        ({"records": 4}, [2, 12]),
        ({"sizes": {S.PENDING: 2}}, [2]),
        ({"expiring": 3}, [8]),
        ({"counters": Counters(enqueued=7, purged=1, deleted=2)}, [12]),
    ],
)
def test_a_queue_that_does_not_add_up_is_found(
    changes: dict[str, Any], invariants: list[int]
) -> None:
    bad = queue_violations(attrs.evolve(TOTALS, **changes))
    assert [violation.invariant for violation in bad] == invariants


def queue_of(*records: Record, **changes: Any) -> QueueState:
    counters = Counters(enqueued=len(records))
    queue = QueueState({r.id: r for r in records}, seq=9, counters=counters)
    return attrs.evolve(queue, **changes)


@pytest.mark.parametrize(
    ("old", "new", "invariants"),
    [
        (PENDING, ACTIVE, []),
        (DEAD, attrs.evolve(PENDING, deliveries=1), []),
        (CANCELLED, PENDING, []),
        (ACTIVE, attrs.evolve(ACTIVE, lease_ms=60), []),
        (ACTIVE, attrs.evolve(PENDING), [4]),
        (ACTIVE, attrs.evolve(ACTIVE, deliveries=2), [4]),
        (PENDING, attrs.evolve(PENDING, deliveries=1), [4]),
        (ACTIVE, attrs.evolve(ACTIVE, nonce=b"m" * 8), [4]),
        (COMPLETED, RETRY, [5]),
        (COMPLETED, attrs.evolve(PENDING, deliveries=1), [5]),
        (DEAD, COMPLETED, [5]),
    ],
)
def test_a_step_changes_only_what_it_may(old: Record, new: Record, invariants: list[int]) -> None:
    bad = step_violations(queue_of(old), queue_of(new))
    assert [violation.invariant for violation in bad] == invariants


def test_a_new_task_may_have_the_id_of_one_that_completed_in_the_step() -> None:
    fresh = attrs.evolve(PENDING, seq=2)
    before = queue_of(ACTIVE, counters=Counters(enqueued=1))
    totals = {"enqueued": 2, "completed": 1, "purged": 1}
    assert list(step_violations(before, queue_of(fresh, counters=Counters(**totals)))) == []
    for name in totals:
        fewer = Counters(**totals | {name: getattr(before.counters, name)})
        bad = step_violations(before, queue_of(fresh, counters=fewer))
        assert [violation.invariant for violation in bad] == [4]
    used = queue_of(attrs.evolve(fresh, attempt=1), counters=Counters(**totals))
    assert [violation.invariant for violation in step_violations(before, used)] == [4]


def test_a_claim_while_paused_is_found() -> None:
    bad = step_violations(queue_of(PENDING, paused=True), queue_of(ACTIVE, paused=True))
    assert [violation.invariant for violation in bad] == [8]


def test_a_total_that_shrinks_is_found() -> None:
    before, after = queue_of(PENDING), queue_of(PENDING, counters=Counters())
    assert [violation.invariant for violation in step_violations(before, after)] == [12]


def test_a_task_that_goes_is_no_step_violation() -> None:
    assert list(step_violations(queue_of(DEAD), QueueState(counters=Counters(enqueued=1)))) == []


def test_a_ready_task_that_was_passed_over_is_found() -> None:
    first, second = PENDING, attrs.evolve(PENDING, id="u", seq=2)
    assert list(order_violations(QueueState(), [first], [second])) == []
    assert list(order_violations(QueueState(), [], [first])) == []
    [bad] = order_violations(QueueState(), [second], [first])
    assert (bad.invariant, bad.subject) == (7, "t")


def test_a_whole_queue_is_checked_at_once() -> None:
    good = queue_of(PENDING, attrs.evolve(ACTIVE, id="u", seq=2))
    assert violations(good) == []
    assert [v.invariant for v in violations(attrs.evolve(good, seq=1))] == [7]
    assert [v.invariant for v in violations(attrs.evolve(good, counters=Counters()))] == [12]
    broken = queue_of(attrs.evolve(DEAD, error=""))
    assert [str(v) for v in violations(broken)] == ["invariant 5, t: is dead for no reason"]


BLOCKED = attrs.evolve(PENDING, state=S.BLOCKED, id="b", seq=0, waits=1)
HOLDER = attrs.evolve(PENDING, unique="k", owns_unique_key=True)
FOLLOWED = attrs.evolve(PENDING, has_dependents=True)
LINKED: dict[str, Any] = {
    "edges": {"t": frozenset({"b"})},
    "needs": {"b": frozenset({"t"})},
}


@pytest.mark.parametrize(
    ("record", "changes", "invariant"),
    [
        (HOLDER, {"holder": "t"}, None),
        (HOLDER, {"holder": "another"}, None),
        (attrs.evolve(HOLDER, owns_unique_key=False), {"holder": "t"}, 6),
        (BLOCKED, {"needs": 1}, None),
        (BLOCKED, {"needs": 2}, 8),
        (attrs.evolve(BLOCKED, waits=0), {"needs": 0}, 13),
        (attrs.evolve(PENDING, waits=1), {"needs": 1}, 8),
        (attrs.evolve(DEAD, waits=1), {"needs": 1}, None),
        (attrs.evolve(PENDING, state=S.GROUPED, group="g"), {}, None),
        (attrs.evolve(PENDING, state=S.GROUPED), {}, 10),
    ],
)
def test_relations_that_are_wrong_break_one_invariant(
    record: Record, changes: dict[str, Any], invariant: int | None
) -> None:
    assert found(attrs.evolve(shown(record), **changes)) == (
        [] if invariant is None else [invariant]
    )


@pytest.mark.parametrize(
    ("records", "changes", "invariants"),
    [
        ((HOLDER,), {"locks": {"k": Lock("t")}}, []),
        ((), {"locks": {"k": Lock("gone", 99)}}, []),
        ((), {"locks": {"k": Lock("gone")}}, [6]),
        ((PENDING,), {"locks": {"k": Lock("t", 99)}}, []),
        ((PENDING,), {"locks": {"k": Lock("t")}}, [6]),
        ((attrs.evolve(DEAD, unique="k", owns_unique_key=True),), {"locks": {"k": Lock("t")}}, [6]),
        ((FOLLOWED, BLOCKED), LINKED, []),
        ((PENDING, BLOCKED), LINKED, [13]),
        ((FOLLOWED, BLOCKED), LINKED | {"edges": {}}, [13]),
        ((DEAD, BLOCKED), LINKED, [13]),
        ((DEAD, BLOCKED), LINKED | {"endings": (Ending("t", S.DEAD),)}, []),
        ((FOLLOWED,), {"edges": {"t": frozenset({"b"})}}, []),
        ((), {"edges": {"t": frozenset({"b"})}}, [13]),
        ((), {"needs": {"b": frozenset({"t"})}}, [2]),
        ((BLOCKED,), {"needs": {"b": frozenset({"o/t"})}}, []),
        (
            (),
            {
                "outbox": (Mail(2, "o", MailKind.SUBSCRIBE), Mail(1, "o", MailKind.SUBSCRIBE)),
                "sent": 2,
            },
            [2],
        ),
        ((), {"outbox": (Mail(2, "o", MailKind.SUBSCRIBE),), "sent": 1}, [2]),
        ((attrs.evolve(PENDING, limit_key="l"),), {"turns": {"l": 0}}, []),
        ((attrs.evolve(PENDING, limit_key="l"),), {}, [13]),
        ((), {"turns": {"l": 0}}, [13]),
        ((FOLLOWED,), {"edges": {"t": frozenset()}}, [2]),
        ((PENDING,), {"needs": {"t": frozenset()}}, [2]),
    ],
)
def test_what_ties_tasks_together_is_checked_for_the_whole_queue(
    records: tuple[Record, ...], changes: dict[str, Any], invariants: list[int]
) -> None:
    bad = violations(queue_of(*records, **changes))
    assert [violation.invariant for violation in bad] == invariants


def test_the_totals_of_a_queue_count_what_is_there() -> None:
    queue = queue_of(
        attrs.evolve(PENDING, expires_ms=70), attrs.evolve(DEAD, id="u", expires_ms=70)
    )
    assert totals_of(queue) == QueueTotals(2, {S.PENDING: 1, S.DEAD: 1}, 1, 9, Counters(enqueued=2))
