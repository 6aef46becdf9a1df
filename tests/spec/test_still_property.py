"""What a change of tasks that are `still` in a state can reach, by random histories of the specification.

A record does not say when its task entered a state of waiting: `entered_ms` is never later than
that, and may be earlier. So, whatever happened after an instant,

- a task that was in the state then, and stayed in it, is reached;
- of a task that has ended, or is active, nothing is reached that was not in that state then;
- no task is reached that was enqueued, or began an attempt, after the instant.

What is left is a task that was there at the instant in another state, and has waited since without a
new attempt: its attempt failed, its time has come, or it was revived and put off. The clock is not
set back here: by one that is, what came later came before.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rediq_trio.spec import rules
from rediq_trio.spec.lifecycle import TERMINAL, State
from rediq_trio.spec.messages import Completed, Failed, Fence, InState, Relations, Released, Snoozed
from rediq_trio.spec.records import QueueState, Record
from tests.conformance.bench import new

IDS = ("a", "b", "c")
KINDS = (
    "plain", "delayed", "needs", "grouped", "claim", "promote", "reclaim", "complete", "fail", "bury",
    "snooze", "release", "cancel", "revive", "delete", "run now", "put off", "update",
)  # fmt: skip
moves = st.tuples(st.sampled_from(KINDS), st.sampled_from(IDS), st.sampled_from([0, 1, 1, 5, 20]))


class Past:
    """A queue, what has happened in it, and when each task entered its state."""

    def __init__(self) -> None:
        self.queue, self.now, self.claims = QueueState(), 1000, 0
        self.since: dict[str, int] = {}
        self.enqueued: dict[str, int] = {}
        self.started: dict[str, int] = {}

    def move(self, kind: str, name: str, later: int) -> None:
        before = self.queue.records
        self.now += later
        self.queue = self._after(kind, name)
        for task_id in self.queue.records.keys() | before.keys():
            old, found = before.get(task_id), self.queue.records.get(task_id)
            if found is None:
                continue
            if old is None or old.created_ms != found.created_ms:
                self.enqueued[task_id] = self.now
                self.started.pop(task_id, None)
            if old is None or old.state is not found.state or _restarted(old, found):
                self.since[task_id] = self.now
            if old is None or old.deliveries != found.deliveries:
                self.started[task_id] = self.now if found.deliveries else 0

    def _after(self, kind: str, name: str) -> QueueState:
        queue, now = self.queue, self.now
        found = queue.records.get(name)
        fence = Fence(name, found.deliveries, found.nonce) if found else Fence(name, 0, b"")
        match kind:
            case "plain":
                return rules.enqueue(queue, now, [new(name)])[0]
            case "delayed":
                return rules.enqueue(queue, now, [new(name, delay_ms=10)])[0]
            case "needs":
                needed = Relations(needs=(next(one for one in IDS if one != name),))
                return rules.enqueue(queue, now, [new(name, relations=needed)])[0]
            case "grouped":
                return rules.enqueue(queue, now, [new(name, relations=Relations(group="g"))])[0]
            case "claim":
                self.claims += 1
                nonce = self.claims.to_bytes(8, "big")
                return rules.claim(queue, now, limit=1, lease_ms=15, worker="w", nonce=nonce)[0]
            case "promote":
                return rules.promote(queue, now, limit=9)[0]
            case "reclaim":
                return rules.reclaim(queue, now, limit=9)[0]
            case "cancel":
                return rules.cancel(queue, now, name)[0]
            case "revive":
                return rules.revive(queue, now, [name])[0]
            case "delete":
                return rules.delete(queue, now, [name])[0]
            case "run now":
                return rules.reschedule(queue, now, name)[0]
            case "put off":
                return rules.reschedule(queue, now, name, delay_ms=10)[0]
            case "update" if found is not None:
                seen = found.version
                return rules.update(queue, now, name, seen=seen, new=seen)[0]
            case _:
                outcomes: dict[str, Any] = {
                    "complete": Completed(fence, b""), "fail": Failed(fence, "no", 3),
                    "bury": Failed(fence, "no", 3, final=True), "snooze": Snoozed(fence, 3),
                    "release": Released(fence),
                }  # fmt: skip
                return rules.settle(queue, now, [outcomes[kind]])[0] if kind in outcomes else queue


def _restarted(old: Record, found: Record) -> bool:
    """Return whether a task left its state and came back to it in one step, or was made anew."""
    ended_again = found.terminal and old.finished_ms != found.finished_ms
    return old.created_ms != found.created_ms or old.nonce != found.nonce or ended_again


@given(st.lists(moves, max_size=25), st.lists(moves, max_size=25), st.integers(1, 3))
@settings(max_examples=150)
def test_a_change_of_what_is_still_there_reaches_no_task_that_came_or_started_later(
    earlier: list[tuple[str, str, int]], later: list[tuple[str, str, int]], pause: int
) -> None:
    past = Past()
    for each in earlier:
        past.move(*each)
    at, then = past.now, past.queue.records
    past.now += pause
    for each in later:
        past.move(*each)
    for task_id, record in past.queue.records.items():
        reached = record.is_still(InState(record.state, at))
        since = past.since[task_id]
        if since <= at:
            assert reached, (record, since, at)
        if not reached:
            continue
        assert past.enqueued[task_id] <= at
        assert past.started.get(task_id, 0) <= at
        if record.terminal or record.state is State.ACTIVE:
            assert since <= at, (record, since, at)
        assert then[task_id].created_ms == record.created_ms


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_an_ended_task_is_reached_only_as_it_ended_then(state: State) -> None:
    record = Record(
        id="a", envelope=b"", state=state, priority=50, max_retry=0, max_crashes=0,
        retention_ms=0, created_ms=1, run_ms=1, expires_ms=0, seq=1, finished_ms=20,
    )  # fmt: skip
    assert record.is_still(InState(state, 20))
    assert not record.is_still(InState(state, 19))
