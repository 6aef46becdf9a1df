"""Each view of what stands beside the tasks breaks the invariant it should, and no other."""

from __future__ import annotations

from math import inf
from typing import Any

import attrs
import pytest

from rediq_trio.admin.check import check_queue, plan_repairs
from rediq_trio.spec.check.dependency import DependencyView, dependency_target
from rediq_trio.spec.check.findings import Action, Target, TargetType, Violation, left_over
from rediq_trio.spec.check.group import GroupView
from rediq_trio.spec.check.lane import LaneView, lane_target
from rediq_trio.spec.check.message import MessageView
from rediq_trio.spec.check.table import CHECKS, TargetCheck, View, repairs_of, violations_of
from rediq_trio.spec.check.task import task_target
from rediq_trio.spec.check.totals import (
    KeyReport,
    QueueTotals,
    key_repairs,
    key_violations,
    permit_violations,
    totals_repairs,
)
from rediq_trio.spec.check.unique import UniqueKeyView
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Mail, MailKind, NewTask, Schedule, Until
from rediq_trio.spec.records import (
    NO_LIMIT,
    Counters,
    Ending,
    GroupRule,
    Limit,
    Lock,
    QueueState,
    Record,
)
from rediq_trio.store.memory import MemoryStore

Q, NOW = "q", 1_000
PENDING = Record("t", b"e", State.PENDING, 50, 3, 3, 1000, created_ms=10, run_ms=10, seq=1)
LEASED: dict[str, Any] = {"deliveries": 1, "attempt": 1, "nonce": b"n" * 8, "worker": "w"}
ACTIVE = attrs.evolve(PENDING, state=State.ACTIVE, lease_ms=50, started_ms=20, **LEASED)
DEAD = attrs.evolve(ACTIVE, state=State.DEAD, lease_ms=0, finished_ms=30, error="boom")
BLOCKED = attrs.evolve(PENDING, state=State.BLOCKED, id="b", seq=0, waits=1)
GROUPED = attrs.evolve(PENDING, state=State.GROUPED, group="g")

LANE = LaneView(
    lane_target("k"), NOW, fair=False, turn_now=5, first=7, open=7, shut=None, turn=3,
    permits=1, active=1, limit=NO_LIMIT, arrival_us=None,
)  # fmt: skip
ONE = Limit(concurrency=1)
RATE = Limit(count=1, period_ms=100)


def found(view: View) -> list[int]:
    return [one.invariant for one in violations_of(view)]


@pytest.mark.parametrize(
    ("changes", "invariants"),
    [
        ({}, []),
        ({"permits": 2}, [11]),
        ({"permits": 2, "active": None}, []),
        ({"limit": None}, [11]),
        ({"limit": RATE, "arrival_us": 1_000_000}, []),
        ({"limit": RATE, "arrival_us": 1_100_000}, [11]),
        ({"limit": RATE, "arrival_us": 1_100_000, "open": None, "shut": 1_100}, []),
        ({"limit": RATE, "arrival_us": 1_100_001, "open": None, "shut": 1_101}, [13]),
        ({"arrival_us": 5}, [11]),
        ({"limit": ONE}, [11]),
        ({"limit": ONE, "open": None, "shut": inf}, []),
        ({"open": None, "shut": inf}, [13]),
        ({"open": None, "shut": NOW}, []),
        ({"open": None, "shut": NOW + 1}, [13]),
        ({"open": None}, [13]),
        ({"shut": inf}, [13]),
        ({"turn": None}, [13]),
        ({"open": 8}, [7]),
        ({"fair": True}, [7]),
        ({"fair": True, "open": 3}, []),
        ({"first": None}, [13]),
        ({"first": None, "open": None}, [13]),
        ({"first": None, "open": None, "turn": None}, []),
    ],
)
def test_a_lane_is_where_its_tasks_and_its_limit_put_it(
    changes: dict[str, Any], invariants: list[int]
) -> None:
    view = attrs.evolve(LANE, **changes)
    assert found(view) == invariants
    assert bool(list(repairs_of(view))) == bool(invariants and view.limit)


@pytest.mark.parametrize(("permits", "wrong"), [(1, True), (2, False), (4, False), (5, True)])
def test_permits_lie_between_what_was_active_all_the_time_and_all_that_may_be(
    permits: int, wrong: bool
) -> None:
    view = attrs.evolve(LANE, permits=permits, active=None)
    assert bool(list(permit_violations(view, 2, 4))) is wrong


KEY = UniqueKeyView(Target(TargetType.UNIQUE, "k"), "t", None, None, has_record=False)
HOLDER = attrs.evolve(PENDING, unique="k", owns_unique_key=True)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"record": HOLDER, "has_record": True}, False),
        ({"record": attrs.evolve(HOLDER, owns_unique_key=False), "has_record": True}, True),
        (
            {"record": attrs.evolve(DEAD, unique="k", owns_unique_key=True), "has_record": True},
            True,
        ),
        ({"record": PENDING, "has_record": True}, True),
        ({"record": PENDING, "has_record": True, "till_ms": 5}, False),
        (
            {
                "record": attrs.evolve(DEAD, unique="k", until=Until.EXPIRED),
                "has_record": True,
                "till_ms": 5,
            },
            False,
        ),
        ({}, True),
        ({"till_ms": 5}, False),
        ({"has_record": True}, True),
        ({"holder": None}, False),
        ({"holder": None, "till_ms": 5}, True),
    ],
)
def test_a_unique_key_has_a_holder_with_a_right_to_it(changes: dict[str, Any], wrong: bool) -> None:
    view = attrs.evolve(KEY, **changes)
    assert found(view) == [6] * wrong
    unreadable = view.has_record and view.record is None
    assert [one.what for one in repairs_of(view)] == [Action.FREE] * (wrong and not unreadable)


GROUP = GroupView(
    Target(TargetType.GROUP, "g"), 1, GroupRule(2, 50, 90), True, 60, GROUPED, GROUPED
)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, False),
        ({"due_ms": 61}, True),
        ({"due_ms": None}, True),
        ({"size": 2, "due_ms": 0}, False),
        ({"size": 2}, True),
        ({"rule": None, "has_rule": False, "due_ms": 30_010}, False),
        ({"rule": None}, True),
        ({"size": 0}, True),
        ({"size": 0, "due_ms": None}, True),
        ({"size": 0, "due_ms": None, "rule": None, "has_rule": False}, False),
        ({"first": None}, False),
    ],
)
def test_a_group_is_due_as_its_members_and_its_rule_say(
    changes: dict[str, Any], wrong: bool
) -> None:
    assert found(attrs.evolve(GROUP, **changes)) == [10] * wrong


@pytest.mark.parametrize(
    ("numbers", "last", "wrong"),
    [((5,), 5, 0), ((5,), 4, 1), ((6,), 9, 1), ((5, 5), 5, 1), ((), 0, 0)],
)
def test_a_message_stands_at_its_own_number(
    numbers: tuple[int, ...], last: int, wrong: int
) -> None:
    items = tuple(Mail(number, "o", MailKind.SUBSCRIBE) for number in numbers)
    assert found(MessageView(Target(TargetType.MESSAGE, "5"), last, items, numbers)) == [2] * wrong


def test_totals_are_counted_anew_only_where_the_tasks_are_whole() -> None:
    totals = QueueTotals(2, {State.PENDING: 2}, 0, 2, Counters(enqueued=5, purged=1))
    assert [repair.after for repair in totals_repairs(totals)] == ["3"]
    assert list(totals_repairs(attrs.evolve(totals, records=1))) == []
    assert list(totals_repairs(attrs.evolve(totals, sizes={}))) == []


def test_what_no_repair_is_about_is_left_over() -> None:
    one, two = task_target("one"), task_target("two")
    wrong = [Violation(1, s.name, "", s, "q") for s in (one, two)]
    sums = Violation(2, "", "", queue="q")
    [repair] = repairs_of(KEY)
    planned = [attrs.evolve(repair, target=one, queue="q")]
    assert left_over([*wrong, sums], planned) == [wrong[1]]
    assert left_over([*wrong, sums], []) == [*wrong, sums]


def test_a_violation_says_what_it_is_about() -> None:
    assert str(Violation(12, "", "no")) == "invariant 12, the queue: no"
    assert str(Violation(1, "t", "no")) == "invariant 1, t: no"
    target = dependency_target("a", "b")
    wrong = Violation(13, str(target), "no", target)
    assert str(wrong) == "invariant 13, dependency 'a -> b': no"
    assert wrong.about is TargetType.DEPENDENCY


SUBSCRIBE = DependencyView(
    dependency_target("t", "b"),
    True,
    True,
    attrs.evolve(PENDING, has_dependents=True),
    BLOCKED,
    True,
    1,
    False,
)


@pytest.mark.parametrize(
    ("changes", "invariant", "detail"),
    [
        ({"source": DEAD}, 13, "t has ended, and b was not notified"),
        ({"source": None, "has_source": False}, 13, "t has ended, and b was not notified"),
        ({"source": PENDING}, 13, "the record of t does not say that tasks wait for it"),
        (
            {"in_needs": False, "needs": 0}, 8,
            "`needs` does not list t for b, which waits for it",
        ),
        ({"dependent": None}, 2, "`needs` still lists t for b, which no longer exists"),
        (
            {"in_edges": False}, 13,
            "b waits for t, and will not be notified: `edges` does not list it",
        ),
    ],
)  # fmt: skip
def test_a_dependency_that_one_side_lacks_is_said_in_plain_words(
    changes: dict[str, Any], invariant: int, detail: str
) -> None:
    assert list(violations_of(SUBSCRIBE)) == []
    [wrong] = violations_of(attrs.evolve(SUBSCRIBE, **changes))
    assert (wrong.invariant, wrong.detail) == (invariant, detail)


@pytest.mark.parametrize(
    "changes",
    [
        {"source": DEAD, "unresolved": True},
        {"source": DEAD, "unresolved": None},
        {"source": None},
        {"dependent": DEAD, "in_edges": False},
    ],
)
def test_a_dependency_that_may_still_be_told_of_is_sound(changes: dict[str, Any]) -> None:
    assert found(attrs.evolve(SUBSCRIBE, **changes)) == []


def test_each_key_that_is_wrong_is_named() -> None:
    report = KeyReport(with_ttl=("a", "b"), unknown=("c",), wrong_type=("d (set, not hash)",))
    assert [(one.invariant, one.subject, one.about) for one in key_violations(report)] == [
        (2, name, TargetType.QUEUE) for name in ("a", "b", "d (set, not hash)", "c")
    ]
    assert [repair.subject for repair in key_repairs(report)] == ["a", "b"]


# --- the table


@pytest.mark.parametrize("kind", [kind for kind in TargetType if kind is not TargetType.QUEUE])
def test_each_type_of_target_has_all_parts_of_a_check(kind: TargetType) -> None:
    assert isinstance(CHECKS[kind], TargetCheck)


# --- a queue of the specification, by way of the store that keeps it


def queue_of(*records: Record, **changes: Any) -> QueueState:
    found = QueueState({r.id: r for r in records}, seq=9, counters=Counters(enqueued=len(records)))
    return attrs.evolve(found, **changes)


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        (queue_of(PENDING), []),
        (queue_of(HOLDER, locks={"k": Lock("t")}), []),
        (queue_of(PENDING, locks={"k": Lock("t")}), [(6, "k")]),
        (queue_of(locks={"k": Lock("gone")}), [(6, "k")]),
        (queue_of(attrs.evolve(PENDING, limit_key="k"), turns={"k": 0}), []),
        (queue_of(attrs.evolve(PENDING, limit_key="k")), [(13, "k")]),
        (queue_of(turns={"k": 0}), [(13, "k")]),
        (queue_of(rates={"k": 5}), [(11, "k")]),
        (queue_of(GROUPED), []),
        (queue_of(rules={"g": GroupRule()}), [(10, "g")]),
        (queue_of(attrs.evolve(PENDING, seq=10)), [(7, "t")]),
        (
            queue_of(
                attrs.evolve(PENDING, has_dependents=True), BLOCKED,
                edges={"t": frozenset({"b"})}, needs={"b": frozenset({"t"})},
            ),
            [],
        ),
        (
            queue_of(PENDING, BLOCKED, needs={"b": frozenset({"t"})}),
            [(13, "t -> b")],
        ),
        (queue_of(DEAD, edges={"t": frozenset({"o/x"})}), [(13, "t -> o/x")]),
        (queue_of(DEAD, edges={"t": frozenset({"o/x"})}, endings=(Ending("t", State.DEAD),)), []),
        (queue_of(needs={"b": frozenset({"t"})}), [(2, "t -> b")]),
        (queue_of(outbox=(Mail(2, "o", MailKind.SUBSCRIBE),), sent=1), [(2, "2")]),
        (queue_of(received={"o": 5}), []),
        (
            queue_of(
                schedules={"s": Schedule("s", b"w", NewTask("", b"e"), paused=True, next_ms=5)}
            ),
            [(9, "s")],
        ),
        (queue_of(schedules={"s": Schedule("s", b"w", NewTask("", b"e"), revision=2)}), [(9, "s")]),
    ],
)  # fmt: skip
async def test_a_check_looks_at_every_part_of_a_queue_in_memory(
    queue: QueueState, expected: list[tuple[int, str]]
) -> None:
    store = MemoryStore(clock=lambda: NOW)
    store._queues[Q] = queue
    found = await check_queue(store, Q, Q, None)
    assert [(one.invariant, one.subject) for one in found] == expected
    for repair in await plan_repairs(store, found):
        assert not await store.repair(Q, repair)
