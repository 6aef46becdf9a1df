"""What one step has changed is checked, and nothing else."""

from __future__ import annotations

import attrs
import pytest

from rediq_trio.spec.messages import NewTask, Schedule
from rediq_trio.spec.records import Counters, Lock, QueueState, Record
from rediq_trio.testing.simulated.touched import touched_violations
from tests.spec.test_invariants import ACTIVE, COMPLETED, DEAD, PENDING, RETRY, queue_of


def broken(before: QueueState, after: QueueState) -> list[int]:
    return [violation.invariant for violation in touched_violations(before, after)]


BAD = attrs.evolve(DEAD, error="", id="bad", seq=2)


@pytest.mark.parametrize(
    ("old", "new", "invariants"),
    [
        (PENDING, ACTIVE, []),
        (ACTIVE, attrs.evolve(RETRY, nonce=b""), []),
        (COMPLETED, RETRY, [5]),
        (PENDING, attrs.evolve(ACTIVE, worker=""), [3]),
        (PENDING, attrs.evolve(PENDING, seq=10), [7]),
    ],
)
def test_a_changed_task_is_checked(old: Record, new: Record, invariants: list[int]) -> None:
    assert broken(queue_of(old), queue_of(new)) == invariants


def test_a_new_task_is_checked() -> None:
    empty = queue_of(PENDING)
    assert broken(empty, queue_of(PENDING, BAD)) == [5]


def test_a_task_that_was_wrong_before_is_not_checked_again() -> None:
    before = queue_of(PENDING, BAD)
    after = attrs.evolve(before, records=before.records.set("t", ACTIVE))
    assert broken(before, after) == []


def test_a_task_that_goes_breaks_nothing() -> None:
    before = queue_of(PENDING, counters=Counters(enqueued=1))
    after = QueueState(seq=9, counters=Counters(enqueued=1, deleted=1))
    assert broken(before, after) == []


def test_the_totals_are_checked() -> None:
    assert broken(queue_of(PENDING), queue_of(ACTIVE, counters=Counters(enqueued=2))) == [12]
    assert broken(queue_of(PENDING), queue_of(PENDING, counters=Counters())) == [12, 12]


def test_a_unique_key_without_its_task_is_found() -> None:
    before = queue_of(PENDING)
    assert broken(before, attrs.evolve(before, locks={"key": Lock("nobody")})) == [6]
    assert broken(attrs.evolve(before, locks={"key": Lock("nobody")}), before) == []


def test_a_tick_that_goes_back_is_found() -> None:
    ticked = Schedule("s", b"w", NewTask("", b"e"), revision=1, last_ms=50, next_ms=60)
    before = queue_of(PENDING, schedules={"s": ticked})
    earlier = attrs.evolve(ticked, last_ms=40)
    assert broken(before, attrs.evolve(before, schedules={"s": earlier})) == [9]
