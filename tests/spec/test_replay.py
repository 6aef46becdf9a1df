"""A replay names the step that was changed, in a history that the specification recorded."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.replay import Break, ReplaySettings, replay
from rediq_trio.spec.lifecycle import State, Transition
from rediq_trio.spec.messages import Completed, Relations, Released, Snoozed, Stopped, Until
from rediq_trio.spec.records import Limit, QueueState
from tests.property.test_replay import Alone
from tests.property.walk import Walk, walk_every_edge

S = State


def first_break(entries: tuple[Entry, ...], settings: ReplaySettings | None = None) -> Break | None:
    return next(replay(entries, settings), None)


def walked(history: int = 1000) -> Walk:
    """Begin a history of an empty queue."""
    walk = Walk(Alone())
    walk.do("arrange", history=history)
    return walk


@attrs.frozen
class Recorded:
    """A history, and what was set at its end."""

    queue: QueueState

    def find(self, transition: str, task_id: str = "", target: State | str | None = "any") -> Entry:
        """Give the last entry of an event, of a task, to a state."""
        found = [
            e for e in self.queue.entries
            if e.transition == transition and e.id == task_id and target in ("any", e.target)
        ]  # fmt: skip
        assert found, (transition, task_id)
        return found[-1]

    def changed(self, entry: Entry, **changes: Any) -> tuple[Entry, ...]:
        """Give the entries with one of them changed."""
        return tuple(attrs.evolve(e, **changes) if e is entry else e for e in self.queue.entries)

    def told(self, entry: Entry, **changes: Any) -> Break:
        """Give the first break once an entry is changed; it must be at that entry."""
        assert first_break(self.queue.entries, ReplaySettings.of(self.queue)) is None
        found = first_break(self.changed(entry, **changes), ReplaySettings.of(self.queue))
        assert found is not None
        assert found.entry.number == entry.number, str(found)
        return found


def recorded(tell: Callable[[Walk], None]) -> Recorded:
    walk = walked()
    tell(walk)
    return Recorded(walk.both.model)


def lives(walk: Walk) -> None:
    """Tasks that take every way that a task of its own can take."""
    clock = walk.both.clock
    walk.do("settle", [Completed(walk.active("completes"), b"r")])
    walk.fail(walk.active("retries"))
    clock.advance(5)
    walk.do("promote", limit=10)
    walk.fail(walk.take()[0])
    walk.fail(walk.active("dies", max_retry=0))
    walk.do("settle", [Released(walk.active("released"))])
    walk.do("cancel", "released")
    walk.do("revive", ["released"])
    walk.do("settle", [Snoozed(walk.take()[0], 5)])
    walk.active("lapses")
    clock.advance(10)
    walk.do("reclaim", limit=10)
    walk.do("delete", ["lapses"])
    walk.add("expires", expires_in_ms=5)
    clock.advance(5)
    walk.do("expire", limit=10)
    fence = walk.active("stops")
    walk.do("cancel", "stops")
    walk.do("settle", [Stopped(fence)])
    clock.advance(10**8)
    walk.do("purge", limit=10, dead_retention_ms=1, max_dead=10)


@pytest.mark.parametrize(
    ("transition", "task", "changes", "invariant", "said"),
    [
        # Claims and settlements move the counters as the contract says.
        ("claim", "completes", {"deliveries": 2}, 4, "deliveries is 2, should be 1"),
        ("claim", "completes", {"attempt": 0}, 4, "attempt is 0, should be 1"),
        ("complete", "completes", {"attempt": 0}, 4, "attempt is 0, should be 1"),
        ("fail", "retries", {"attempt": 1}, 4, "attempt is 1, should be 2"),
        ("release", "released", {"attempt": 1}, 4, "attempt is 1, should be 0"),
        ("snooze", "released", {"attempt": 1}, 4, "attempt is 1, should be 0"),
        ("snooze", "released", {"snoozes": 0}, 4, "snoozes is 0, should be 1"),
        ("reclaim", "lapses", {"crashes": 0}, 4, "crashes is 0, should be 1"),
        ("reclaim", "lapses", {"attempt": 1}, 4, "attempt is 1, should be 0"),
        ("stop", "stops", {"attempt": 1}, 4, "attempt is 1, should be 0"),
        ("revive", "released", {"cancel": True}, 3, "cancel is True, should be False"),
        # No retry beyond the last attempt, and no death before it by itself.
        ("fail", "dies", {"target": S.RETRY}, 1, "state is retry, should be dead"),
        ("fail", "dies", {"target": S.CANCELLED}, 1, "state is cancelled, should be dead"),
        # A lease lapses at its end, not before; a task is due at its instant.
        ("reclaim", "lapses", {"now_ms": 1}, 3, "state is pending, should be active"),
        ("promote", "retries", {"now_ms": 1}, 8, "state is pending, should be retry"),
        ("expire", "expires", {"now_ms": 1}, 1, "state is dead, should be pending"),
        ("claim", "stops", {"now_ms": 10**15, "expires_ms": 5}, 8, "expires_ms is 5, should be 0"),
        ("enqueue", "expires", {"run_ms": 10**15}, 8, "state is pending, should be scheduled"),
        ("enqueue", "expires", {"run_ms": 5}, 8, "run_ms is 5"),
        # Places are given in order, and kept.
        ("enqueue", "stops", {"seq": 1}, 7, "seq is 1, should be"),
        ("release", "released", {"seq": 99}, 7, "seq is 99, should be"),
        ("claim", "stops", {"priority": 9}, 7, "priority is 9, should be 0"),
        # A cancel has to be asked for, and is not forgotten.
        ("stop", "stops", {"cancel": False}, 3, "cancel is False, should be True"),
        ("cancel", "stops", {"cancel": False}, 3, "cancel is False, should be True"),
        # Edges, and where the task was.
        ("claim", "completes", {"target": S.COMPLETED}, 0, "pending -> completed is no edge of it"),
        (
            "purge",
            "completes",
            {"transition": "claim", "target": S.ACTIVE},
            5,
            "completed -> active",
        ),
        ("promote", "retries", {"source": S.SCHEDULED}, 1, "it was retry, not scheduled"),
        ("enqueue", "stops", {"id": "completes"}, 1, "it was completed, not missing"),
        ("purge", "completes", {"source": S.DEAD}, 1, "it was completed, not dead"),
        ("claim", "completes", {"id": "nobody"}, 1, "it was not there, not pending"),
        ("purge", "completes", {"transition": "renew"}, 0, "there is no such step of a task"),
        ("purge", "completes", {"transition": "eat"}, 0, "there is no such step of a task"),
        ("purge", "completes", {"id": "", "after": (1,)}, 0, "there is no such step of a queue"),
    ],
)
def test_a_step_that_was_changed_is_the_first_that_breaks(
    transition: str, task: str, changes: dict[str, Any], invariant: int, said: str
) -> None:
    history = recorded(lives)
    if changes.get("now_ms") == 1:
        changes = changes | {"now_ms": history.queue.entries[0].now_ms}
    found = history.told(history.find(transition, task), **changes)
    assert (found.invariant, said in found.detail) == (invariant, True), str(found)


def test_a_completion_that_leaves_a_retry_is_no_edge() -> None:
    history = recorded(lives)
    found = history.told(history.find("complete", "completes"), target=S.RETRY)
    assert "active -> retry is no edge" in found.detail


def test_an_expired_task_is_not_claimed() -> None:
    def tell(walk: Walk) -> None:
        walk.add("t", expires_in_ms=50)
        walk.take()

    history = recorded(tell)
    late = history.find("enqueue", "t").expires_ms
    found = history.told(history.find("claim", "t"), now_ms=late, till_ms=late + 10)
    assert (found.invariant, found.detail) == (8, "state is active, should be dead")


def test_a_step_that_is_missing_or_comes_twice_is_named() -> None:
    entries = recorded(lives).queue.entries
    found = first_break((*entries[:3], *entries[4:]))
    assert found is not None
    assert (found.entry.number, found.detail) == (5, "it follows step 3")
    found = first_break((*entries[:4], *entries[3:]))
    assert found is not None
    assert (found.entry.number, found.detail) == (4, "it follows step 4")


def test_a_paused_queue_gives_no_task() -> None:
    def tell(walk: Walk) -> None:
        walk.do("pause")
        walk.do("resume")
        walk.add("t")
        walk.take()

    history = recorded(tell)
    resumed, claimed = history.find("resume"), history.find("claim", "t")
    found = first_break(history.changed(resumed, transition="pause", after=(1,)))
    assert found is not None
    assert (found.entry.number, found.invariant) == (claimed.number, 8)
    assert found.detail == "the queue is paused"
    assert history.told(resumed, before=(0,)).detail == "it was 1, not 0"


def test_a_token_is_given_once() -> None:
    def tell(walk: Walk) -> None:
        for _ in range(2):
            walk.do("settle", [Completed(walk.active("t", retention_ms=0), b"")])

    history = recorded(tell)
    first = next(e for e in history.queue.entries if e.transition == "claim")
    found = history.told(history.find("claim", "t"), nonce=first.nonce)
    assert (found.invariant, "was given before" in found.detail) == (3, True)


def test_a_unique_key_has_one_holder() -> None:
    def tell(walk: Walk) -> None:
        walk.add("a", relations=Relations(unique="k", until=Until.STARTED, ttl_ms=50))
        walk.add("b", relations=Relations(unique="l"))
        walk.do("cancel", "b")
        walk.add("c", relations=Relations(unique="m"))
        walk.add("c", relations=Relations(unique="m", replace=True))
        walk.do("revive", ["b"])

    history = recorded(tell)
    enqueued = history.find("enqueue", "b")
    found = history.told(enqueued, unique="k")
    assert (found.invariant, found.detail) == (6, "the unique key 'k' is held by a")
    # Not once its window is over.
    later = history.find("enqueue", "a").till_ms
    assert first_break(history.changed(enqueued, unique="k", now_ms=later, run_ms=later)) != found
    found = history.told(history.find("cancel", "b"), owns_unique_key=True)
    assert (found.invariant, found.detail) == (6, "owns_unique_key is True, should be False")
    taken = history.changed(history.find("enqueue", "c"), unique="l")
    found = first_break(taken)
    assert found is not None
    assert (found.entry.transition, found.invariant) == ("revive", 6)


def test_a_key_that_is_freed_by_a_start_may_be_taken() -> None:
    def tell(walk: Walk) -> None:
        walk.active("a", relations=Relations(unique="k", until=Until.STARTED))
        walk.add("b", relations=Relations(unique="k"))

    history = recorded(tell)
    found = first_break(history.changed(history.find("claim", "a"), owns_unique_key=True))
    assert found is not None
    assert (found.entry.id, found.detail) == ("b", "the unique key 'k' is held by a")


def dependents(walk: Walk) -> None:
    walk.add("a", "z")
    walk.blocked("b", "a", "z")
    for fence in walk.take(2):
        walk.do("settle", [Completed(fence, b"r")])


def test_a_task_waits_until_those_it_needs_have_completed() -> None:
    history = recorded(dependents)
    unblocked = history.find("unblock", "b")
    needs = (*history.find("enqueue", "b").needs, "b")
    found = first_break(history.changed(history.find("enqueue", "b"), needs=needs))
    assert found is not None
    assert (found.entry.number, found.invariant) == (unblocked.number, 8)
    assert found.detail == "the task b that it needs is blocked"
    assert history.told(unblocked, waits=1).detail == "waits is 1, should be 0"


def test_whether_those_it_needs_died_matters_unless_it_is_lenient() -> None:
    def tell(walk: Walk) -> None:
        walk.add("a")
        walk.add("b", relations=Relations(needs=("a",), run_on_dependency_failure=True))
        walk.fail(walk.take()[0], final=True)

    history = recorded(tell)
    assert history.find("unblock", "b").target is S.PENDING
    strict = tuple(
        attrs.evolve(e, run_on_dependency_failure=False) if e.id == "b" else e
        for e in history.queue.entries
    )
    found = first_break(strict)
    assert found is not None
    assert (found.entry.transition, found.detail) == ("unblock", "the task a that it needs is dead")


def test_the_first_of_the_ready_tasks_is_claimed_first() -> None:
    def tell(walk: Walk) -> None:
        walk.add("a", "b", relations=Relations(limit_key="k"))
        walk.add("c")
        walk.take(3)

    history = recorded(tell)
    first, second = history.find("claim", "a"), history.find("claim", "b")
    swapped = tuple(
        attrs.evolve(second, number=e.number) if e is first
        else attrs.evolve(first, number=e.number) if e is second else e
        for e in history.queue.entries
    )  # fmt: skip
    for settings in (
        ReplaySettings(),
        ReplaySettings(fair=True, limits={}),
        ReplaySettings(fair=False),
    ):
        found = first_break(swapped, settings)
        assert found is not None
        assert (found.entry.number, found.invariant, found.detail) == (
            first.number,
            7,
            "a is before it",
        )
    third = history.find("claim", "c")
    swapped = tuple(
        attrs.evolve(third, number=e.number) if e is first
        else attrs.evolve(first, number=e.number) if e is third else e
        for e in history.queue.entries
    )  # fmt: skip
    found = first_break(swapped, ReplaySettings(paused=False, fair=False, limits={}))
    assert found is not None
    assert (found.entry.number, found.detail) == (first.number, "a is before it")
    # A limit key may have its turn, or be shut.
    for settings in (ReplaySettings(fair=True), ReplaySettings(fair=False, limits={"k": Limit(9)})):
        found = first_break(swapped, settings)
        assert found is not None
        assert found.entry.id == "b" or found.entry.number > first.number


def test_no_more_run_than_a_limit_allows() -> None:
    def tell(walk: Walk) -> None:
        walk.do("limit", key="k", concurrency=2)
        walk.do("limit", key="", concurrency=3)
        walk.add("a", "b", relations=Relations(limit_key="k"))
        walk.add("c")
        walk.take(3)
        walk.do("limit", key="k", concurrency=1)

    history = recorded(tell)
    keyed, whole, last = [e for e in history.queue.entries if e.transition == "limit"]
    for entry, task, what in ((keyed, "b", "limit key 'k'"), (whole, "c", "queue")):
        lower = (entry.after[0] - 1, *entry.after[1:])
        found = first_break(history.changed(entry, after=lower), ReplaySettings.of(history.queue))
        assert found is not None
        assert (found.entry.transition, found.entry.id, found.invariant) == ("claim", task, 11)
        assert found.detail == f"{lower[0]} of the {what} run already, {lower[0]} may"
    assert history.told(last, before=(7, 0, 0, 1)).invariant == 11


def test_no_more_start_than_a_rate_allows() -> None:
    def tell(walk: Walk) -> None:
        walk.do("limit", key="k", count=1, period_ms=100, burst=1)
        walk.add("a", "b", relations=Relations(limit_key="k"))
        walk.take(2)
        walk.both.clock.advance(100)
        walk.take()

    history = recorded(tell)
    claimed = history.find("claim", "b")
    found = history.told(claimed, now_ms=claimed.now_ms - 1)
    assert (found.invariant, found.detail) == (
        11, "the rate of the limit key 'k' lets none start for 1 ms",
    )  # fmt: skip


def test_a_flush_takes_every_task() -> None:
    def tell(walk: Walk) -> None:
        walk.add("a", "b")
        walk.do("flush")
        walk.add("a")

    history = recorded(tell)
    found = history.told(history.find("flush"), after=(1,))
    assert (found.invariant, found.detail) == (2, "1 tasks went, should be 2")


def test_a_batch_is_new_and_its_members_go() -> None:
    def tell(walk: Walk) -> None:
        walk.add("a", relations=Relations(group="g"))
        walk.both.clock.advance(30_000)
        walk.do("batch", ids=["b"])

    history = recorded(tell)
    assert history.told(history.find("batch", "b"), attempt=1).invariant == 4
    assert history.told(history.find("batch", "a"), target=S.PENDING).invariant == 0


def test_what_a_lost_beginning_leaves_unknown_is_taken_on_trust() -> None:
    history = recorded(lives)
    entries = history.queue.entries
    for first in range(len(entries)):
        assert list(replay(entries[first:])) == []
    # Also that there were tasks already.
    claimed = next(n for n, e in enumerate(entries) if e.transition == "claim")
    assert list(replay((attrs.evolve(entries[0], after=(9,)), *entries[claimed:])))[1:] == []


def test_settings_before_a_lost_beginning_are_told_by_what_changed_them() -> None:
    def tell(walk: Walk) -> None:
        walk.do("limit", key="", concurrency=1)
        walk.add("a", "b")
        walk.take(1)
        walk.do("limit", key="", concurrency=9)
        walk.do("arrange", fair=True)
        walk.do("pause")

    queue = recorded(tell).queue
    settings = ReplaySettings.of(queue).before(queue.entries[2:])
    assert settings == ReplaySettings(paused=False, fair=False, limits={"": Limit(1)})


def test_a_clock_that_was_set_back_breaks_nothing() -> None:
    def tell(walk: Walk) -> None:
        walk.do("limit", key="", count=1, period_ms=100)
        walk.add("a", "b", relations=Relations(unique="k", until=Until.EXPIRED, ttl_ms=50))
        walk.take()
        walk.both.clock.advance(500)
        walk.do("purge", limit=10, dead_retention_ms=1, max_dead=10)
        walk.add("c", relations=Relations(unique="k"))
        walk.both.clock.advance(-480)
        walk.add("d", "e")
        walk.take()

    queue = recorded(tell).queue
    assert list(map(str, replay(queue.entries, ReplaySettings.of(queue)))) == []


_FIELDS = [f.name for f in attrs.fields(Entry) if f.name not in ("before", "after")]


@cache
def every_edge() -> tuple[Entry, ...]:
    """Give a history that has every edge of the state machine."""
    alone = Alone()
    walk_every_edge(alone)
    return alone.model.entries


@pytest.mark.uncounted
@given(st.data())
def test_no_change_of_a_step_makes_a_replay_fail(data: st.DataObject) -> None:
    entries = every_edge()
    place = data.draw(st.integers(0, len(entries) - 1))
    name = data.draw(st.sampled_from(_FIELDS))
    other = data.draw(st.sampled_from(entries))
    changed = attrs.evolve(entries[place], **{name: getattr(other, name)})
    for found in replay((*entries[:place], changed, *entries[place + 1 :])):
        assert str(found).startswith(f"step {found.entry.number}, ")


def test_every_event_of_a_task_but_a_renewal_makes_an_entry() -> None:
    assert {*Transition} - {entry.transition for entry in every_edge()} == {Transition.RENEW}


def test_a_queue_that_keeps_no_history_has_none() -> None:
    walk = walked(0)
    walk.active("t")
    assert (walk.both.model.entries, walk.both.model.last_entry) == ((), 0)


def test_a_task_of_an_earlier_version_has_no_rank_before_it_is_ready() -> None:
    def tell(walk: Walk) -> None:
        walk.add("delayed", delay_ms=5)
        walk.add("needed", delay_ms=5)
        walk.blocked("waits", "needed")
        walk.both.clock.advance(5)
        walk.do("promote", limit=10)
        walk.do("settle", [Completed(fence, b"r") for fence in walk.take(2)])

    history = recorded(tell)
    waiting = (S.SCHEDULED, S.BLOCKED)
    entries = tuple(
        attrs.evolve(e, seq=0) if e.target in waiting else e for e in history.queue.entries
    )
    assert {e.id for e in entries if not e.seq and e.id} == {"delayed", "needed", "waits"}
    assert list(replay(entries)) == []


def test_a_task_is_never_ready_without_a_rank() -> None:
    history = recorded(lives)
    found = history.told(history.find("enqueue", "stops"), seq=0)
    assert (found.invariant, "seq is 0, should be" in found.detail) == (7, True)
