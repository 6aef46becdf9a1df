"""Schedules: declared, ticked once, paused, triggered, retracted."""

from __future__ import annotations

from typing import Any

import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Answer,
    AnswerKind,
    Completed,
    NewTask,
    Relations,
    Schedule,
    Tick,
)
from rediq_trio.store.broadcast import SignalKind

from .bench import START, Bench, Q, failed, heard, new

NAME = "nightly"
HOUR = 3_600_000


def schedule(**changes: Any) -> Schedule:
    given: dict[str, Any] = {
        "name": NAME,
        "when": b"when",
        "template": NewTask("", b"template", priority=7, relations=Relations(limit_key="a")),
        "owner": "app",
        "next_ms": START,
    }
    return Schedule(**given | changes)


async def known(bench: Bench, name: str = NAME) -> Schedule:
    return (await bench.dump()).schedules[name]


async def fire(
    bench: Bench, *task_ids: str, at: int = START, following: int = START + HOUR, **changes: Any
) -> int | None:
    """Tick as one that has just read the schedule, once in each ms from `at` on."""
    now = (await bench.dump()).schedules.get(changes.get("name", NAME), schedule())
    ticks = [Tick(at + n, new(task_id)) for n, task_id in enumerate(task_ids)]
    given: dict[str, Any] = {
        "name": NAME,
        "expected_ms": now.next_ms,
        "revision": now.revision,
        "ticks": ticks,
        "next_ms": following,
    }
    return await bench.store.tick(Q, **given | changes)


# --- declaring


async def test_a_schedule_is_kept_as_it_was_declared(bench: Bench) -> None:
    assert await bench.store.declare(Q, schedule=schedule(keep=True, overlap_skip=True))
    found = await bench.store.agenda(Q)
    assert found.schedules == (schedule(keep=True, overlap_skip=True, revision=1),)
    assert found.now_ms == START


async def test_the_same_again_changes_nothing(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    before = await bench.dump()
    assert not await bench.store.declare(Q, schedule=schedule(next_ms=START + 5))
    assert await bench.dump() == before


@pytest.mark.parametrize("changes", [{"when": b"other"}, {"overlap_skip": True}])
async def test_other_times_replace_the_expected_tick(bench: Bench, changes: dict[str, Any]) -> None:
    await bench.store.declare(Q, schedule=schedule())
    assert await bench.store.declare(Q, schedule=schedule(next_ms=START + 5, **changes))
    assert await known(bench) == schedule(next_ms=START + 5, revision=2, **changes)


@pytest.mark.parametrize(
    "template",
    [
        NewTask("", b"other", priority=7, relations=Relations(limit_key="a")),
        NewTask("", b"template"),
    ],
)
async def test_another_task_leaves_the_expected_tick(bench: Bench, template: NewTask) -> None:
    await bench.store.declare(Q, schedule=schedule())
    assert await bench.store.declare(Q, schedule=schedule(next_ms=START + 5, template=template))
    assert await known(bench) == schedule(template=template, revision=2)


@pytest.mark.parametrize("changes", [{"owner": ""}, {"keep": True}])
async def test_another_owner_leaves_the_revision(bench: Bench, changes: dict[str, Any]) -> None:
    await bench.store.declare(Q, schedule=schedule())
    assert await bench.store.declare(Q, schedule=schedule(next_ms=START + 5, **changes))
    assert await known(bench) == schedule(revision=1, **changes)


async def test_what_it_did_so_far_stays(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    await fire(bench, "t")
    await bench.store.declare(Q, schedule=schedule(when=b"other", next_ms=START + 9))
    found = await known(bench)
    assert (found.last_ms, found.last_id, found.next_ms) == (START, "t", START + 9)


async def test_what_has_fired_is_not_expected_again(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    await fire(bench, "t")
    await bench.store.declare(Q, schedule=schedule(when=b"other", next_ms=START - 9))
    assert (await known(bench)).next_ms == START + 1


async def test_a_pause_holds_through_a_declaration(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    await bench.store.suspend(Q, name=NAME)
    await bench.store.declare(Q, schedule=schedule(when=b"other"))
    assert await known(bench) == schedule(when=b"other", paused=True, next_ms=0, revision=2)


async def test_a_revision_is_never_given_twice(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    await bench.store.retract(Q, names=[NAME])
    await bench.store.declare(Q, schedule=schedule())
    assert (await known(bench)).revision == 2


async def test_a_queue_with_a_schedule_alone_has_a_name(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    assert await bench.store.queues() == (Q,)


# --- ticking


async def test_a_tick_makes_its_task_and_moves_on(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    assert await fire(bench, "t") == 1
    assert (await bench.record()).state is State.PENDING
    expected = schedule(revision=1, next_ms=START + HOUR, last_ms=START, last_id="t")
    assert await known(bench) == expected
    assert (await bench.dump()).counters.enqueued == 1


async def test_ticks_fire_oldest_first(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    bench.clock.advance(2)
    assert await fire(bench, "b", "a", "c") == 3
    assert await bench.ids(State.PENDING) == ["b", "a", "c"]
    assert (await known(bench)).last_ms == START + 2


async def test_a_second_server_makes_nothing(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    read = await known(bench)
    assert await fire(bench, "t") == 1
    bench.clock.advance(2 * HOUR)
    stale = await fire(bench, "u", expected_ms=read.next_ms, following=START + 3 * HOUR)
    assert stale is None
    assert await bench.ids(State.PENDING) == ["t"]


async def test_what_was_declared_otherwise_meanwhile_does_not_fire(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    read = await known(bench)
    await bench.store.declare(Q, schedule=schedule(template=NewTask("", b"other")))
    assert await fire(bench, "t", revision=read.revision) is None
    assert await bench.ids(State.PENDING) == []


async def test_nothing_fires_before_it_is_due(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule(next_ms=START + 1))
    assert await fire(bench, at=START + 1) is None
    assert await fire(bench, "t", at=START + 1) is None
    bench.clock.advance(1)
    assert await fire(bench, "t", at=START + 1) == 1


async def test_it_fires_at_its_very_instant(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    assert await fire(bench, "t") == 1


@pytest.mark.parametrize(("at", "what"), [(-1, "before the expected one"), (1, "in the future")])
async def test_other_ticks_are_refused(bench: Bench, at: int, what: str) -> None:
    await bench.store.declare(Q, schedule=schedule())
    assert await fire(bench, "t", at=START + at) is None, what
    assert await known(bench) == schedule(revision=1)


async def test_a_tick_cannot_be_named_twice(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    twice = [Tick(START, new("t")), Tick(START, new("u"))]
    assert await fire(bench, ticks=twice) is None


@pytest.mark.parametrize("following", [START, START - 1])
async def test_the_next_tick_is_later(bench: Bench, following: int) -> None:
    await bench.store.declare(Q, schedule=schedule())
    assert await fire(bench, "t", following=following) is None
    assert await fire(bench, following=following) is None


async def test_the_next_tick_is_later_than_all_that_fire(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    bench.clock.advance(5)
    assert await fire(bench, "t", "u", following=START + 1) is None
    assert await fire(bench, "t", "u", following=START + 2) == 2


async def test_a_look_that_fires_nothing_moves_on(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    assert await fire(bench) == 0
    assert await known(bench) == schedule(next_ms=START + HOUR, revision=1)


async def test_a_schedule_may_be_over(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    assert await fire(bench, "t", following=0) == 1
    assert (await known(bench)).next_ms == 0
    assert await fire(bench, "u") is None


async def test_no_schedule_fires_nothing(bench: Bench) -> None:
    assert await fire(bench, "t") is None
    assert await fire(bench, "t", expected_ms=0, revision=0) is None


async def test_an_id_that_exists_is_left_as_it_is(bench: Bench) -> None:
    await bench.add("t")
    await bench.store.declare(Q, schedule=schedule())
    assert await fire(bench, "t") == 0
    assert (await known(bench)).last_id == ""


async def test_an_id_that_exists_replaces_nothing(bench: Bench) -> None:
    relations = Relations(unique="k", replace=True)
    await bench.add("t", relations=relations)
    await bench.store.declare(Q, schedule=schedule())
    assert await fire(bench, ticks=[Tick(START, new("t", priority=3, relations=relations))]) == 0
    assert (await bench.record()).priority == 50


async def test_a_full_queue_takes_the_task_of_a_tick(bench: Bench) -> None:
    await bench.add("full")
    await bench.store.arrange(Q, max_pending=1)
    await bench.store.declare(Q, schedule=schedule())
    assert await fire(bench, "t") == 1


async def test_a_unique_key_that_is_taken_keeps_the_task_out(bench: Bench) -> None:
    await bench.add("holder", relations=Relations(unique="k"))
    await bench.store.declare(Q, schedule=schedule())
    assert await fire(bench, ticks=[Tick(START, new("t", relations=Relations(unique="k")))]) == 0
    found = await known(bench)
    assert (found.last_id, found.last_ms, found.next_ms) == ("", 0, START + HOUR)


async def test_a_tick_may_replace_the_holder_of_its_key(bench: Bench) -> None:
    await bench.add("holder", relations=Relations(unique="k"))
    await bench.store.declare(Q, schedule=schedule())
    relations = Relations(unique="k", replace=True)
    assert await fire(bench, ticks=[Tick(START, new("t", relations=relations))]) == 1
    assert (await known(bench)).last_id == "holder"
    assert await bench.ids(State.PENDING) == ["holder"]


# --- overlap


async def overlapping(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule(overlap_skip=True))
    assert await fire(bench, "t", following=START + 1) == 1
    bench.clock.advance(5)


async def again(bench: Bench, task_id: str = "u") -> int | None:
    at = (await known(bench)).next_ms
    return await fire(bench, task_id, at=at, following=at + 1)


@pytest.mark.parametrize("state", [State.PENDING, State.ACTIVE, State.RETRY])
async def test_a_tick_is_skipped_while_the_last_task_has_not_ended(
    bench: Bench, state: State
) -> None:
    await overlapping(bench)
    if state is not State.PENDING:
        [lease] = await bench.take()
        if state is State.RETRY:
            await bench.store.settle(Q, [failed(lease.fence)])
    assert (await bench.record()).state is state
    assert await again(bench) == 0
    found = await known(bench)
    assert (found.last_id, found.last_ms, found.next_ms) == ("t", START, START + 2)


@pytest.mark.parametrize("state", [State.COMPLETED, State.DEAD, State.CANCELLED, None])
async def test_a_tick_fires_once_the_last_task_has_ended(bench: Bench, state: State | None) -> None:
    await overlapping(bench)
    match state:
        case State.CANCELLED:
            await bench.store.cancel(Q, "t")
        case None:
            await bench.store.delete(Q, ["t"])
        case _:
            [lease] = await bench.take()
            if state is State.DEAD:
                await bench.store.settle(Q, [failed(lease.fence, final=True)])
            else:
                await bench.store.settle(Q, [Completed(lease.fence, b"r")])
    assert await again(bench) == 1


async def test_of_several_ticks_one_fires_where_tasks_must_not_overlap(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule(overlap_skip=True))
    bench.clock.advance(5)
    assert await fire(bench, "t", "u", "v") == 1
    assert await bench.ids(State.PENDING) == ["t"]


async def test_tasks_may_overlap_where_nothing_else_is_said(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    assert await fire(bench, "t", following=START + 1) == 1
    bench.clock.advance(5)
    assert await again(bench) == 1


# --- pausing, triggering, retracting


async def test_a_paused_schedule_expects_nothing(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    read = await known(bench)
    assert await bench.store.suspend(Q, name=NAME)
    assert await known(bench) == schedule(paused=True, next_ms=0, revision=1)
    assert await fire(bench, "t", expected_ms=read.next_ms) is None
    assert await fire(bench, "t") is None
    assert (await bench.store.agenda(Q, due=9)).schedules == ()


async def test_a_resumed_schedule_expects_what_it_is_told(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    await bench.store.suspend(Q, name=NAME)
    assert await bench.store.reinstate(Q, name=NAME, next_ms=START + 7)
    assert await known(bench) == schedule(next_ms=START + 7, revision=1)


async def test_a_resume_goes_back_behind_nothing_that_fired(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    await fire(bench, "t")
    await bench.store.suspend(Q, name=NAME)
    await bench.store.reinstate(Q, name=NAME, next_ms=START)
    assert (await known(bench)).next_ms == START + 1


async def test_a_resume_of_what_runs_changes_nothing(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    assert await bench.store.reinstate(Q, name=NAME, next_ms=START + 7)
    assert await known(bench) == schedule(revision=1)


async def test_what_is_not_there_is_neither_paused_nor_resumed_nor_triggered(bench: Bench) -> None:
    assert not await bench.store.suspend(Q, name=NAME)
    assert not await bench.store.reinstate(Q, name=NAME, next_ms=START)
    assert await bench.store.trigger(Q, name=NAME, task=new("t")) == ()
    assert (await bench.dump()).schedules == {}
    assert await bench.ids(State.PENDING) == []


async def test_a_trigger_makes_one_task_and_leaves_the_ticks(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    assert await bench.store.trigger(Q, name=NAME, task=new("t")) == (State.PENDING,)
    assert await known(bench) == schedule(last_id="t", revision=1)
    assert (await bench.dump()).counters.enqueued == 1


async def test_a_paused_schedule_can_be_triggered(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    await bench.store.suspend(Q, name=NAME)
    assert await bench.store.trigger(Q, name=NAME, task=new("t")) == (State.PENDING,)


async def test_a_trigger_is_refused_as_an_enqueue_is(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    await bench.add("holder", relations=Relations(unique="k"))
    await bench.store.arrange(Q, max_pending=1)
    taken = await bench.store.trigger(Q, name=NAME, task=new("t", relations=Relations(unique="k")))
    assert taken == (Answer(AnswerKind.TAKEN, "holder"),)
    assert await bench.store.trigger(Q, name=NAME, task=new("t")) == (Answer(AnswerKind.FULL),)
    assert await known(bench) == schedule(revision=1)


async def test_retracted_schedules_are_gone(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    await bench.store.declare(Q, schedule=schedule(name="hourly"))
    assert await bench.store.retract(Q, names=[NAME, "unknown"]) == (NAME,)
    assert [s.name for s in (await bench.store.agenda(Q)).schedules] == ["hourly"]
    assert [s.name for s in (await bench.store.agenda(Q, due=9)).schedules] == ["hourly"]
    assert await bench.store.retract(Q, names=[NAME]) == ()


async def test_a_retracted_schedule_is_not_due(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    await bench.store.retract(Q, names=[NAME])
    found = await bench.store.agenda(Q, due=9)
    assert (found.schedules, found.next_in_ms, found.unreadable) == ((), None, ())


async def test_what_an_owner_declares_no_more_goes(bench: Bench) -> None:
    for name, owner, keep in (
        ("still", "app", False),
        ("kept", "app", True),
        ("no-more", "app", False),
        ("another's", "other", False),
        ("added", "", False),
    ):
        await bench.store.declare(Q, schedule=schedule(name=name, owner=owner, keep=keep))
    gone = await bench.store.retract_others(Q, owner="app", names=["still", "unknown"])
    assert gone == ("no-more",)
    left = ["added", "another's", "kept", "still"]
    assert [s.name for s in (await bench.store.agenda(Q)).schedules] == left
    found = await bench.store.agenda(Q, due=9)
    assert ([s.name for s in found.schedules], found.unreadable) == (left, ())


async def test_a_flush_leaves_the_schedules(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule(overlap_skip=True))
    await fire(bench, "t")
    before = (await bench.dump()).schedules
    await bench.store.flush(Q)
    assert (await bench.dump()).schedules == before
    bench.clock.advance(HOUR)
    assert await fire(bench, "u", at=START + HOUR, following=START + 2 * HOUR) == 1


# --- reading


async def test_the_due_come_longest_due_first(bench: Bench) -> None:
    for name, ahead in (("b", -1), ("c", 0), ("a", 0), ("later", 5), ("latest", 9)):
        await bench.store.declare(Q, schedule=schedule(name=name, next_ms=START + ahead))
    found = await bench.store.agenda(Q, due=2)
    assert [s.name for s in found.schedules] == ["b", "a"]
    assert found.next_in_ms == 5
    found = await bench.store.agenda(Q, due=9)
    assert [s.name for s in found.schedules] == ["b", "a", "c"]


async def test_all_come_by_name(bench: Bench) -> None:
    for name in ("b", "a", "c"):
        await bench.store.declare(Q, schedule=schedule(name=name))
    await bench.store.suspend(Q, name="a")
    found = await bench.store.agenda(Q)
    assert [(s.name, s.paused) for s in found.schedules] == [
        ("a", True),
        ("b", False),
        ("c", False),
    ]
    assert found.next_in_ms is None


async def test_a_uuid_is_remembered_too(bench: Bench) -> None:
    own = "018f3b2c-0000-7abc-8def-0123456789ab"
    await bench.store.declare(Q, schedule=schedule(overlap_skip=True))
    await fire(bench, own, following=START + 1)
    assert (await known(bench)).last_id == own
    bench.clock.advance(1)
    assert await again(bench) == 0


# --- signals


async def test_a_new_schedule_is_told(bench: Bench) -> None:
    with bench.store.listen([(Q, "")]) as signals:
        await heard(signals, SignalKind.RESYNC)
        await bench.store.declare(Q, schedule=schedule())
        await heard(signals, SignalKind.TICK)


async def test_a_resume_is_told(bench: Bench) -> None:
    await bench.store.declare(Q, schedule=schedule())
    await bench.store.suspend(Q, name=NAME)
    with bench.store.listen([(Q, "")]) as signals:
        await heard(signals, SignalKind.RESYNC)
        await bench.store.reinstate(Q, name=NAME, next_ms=START)
        await heard(signals, SignalKind.TICK)


async def test_what_changes_no_tick_is_not_told(bench: Bench) -> None:
    with bench.store.listen([(Q, "")]) as signals:
        await heard(signals, SignalKind.RESYNC)
        # Not before: in a Cluster, what was sent before someone listened may still come.
        await bench.store.declare(Q, schedule=schedule())
        await heard(signals, SignalKind.TICK)
        await bench.store.declare(Q, schedule=schedule(owner="other"))
        await fire(bench, following=START + 1)
        await bench.store.suspend(Q, name=NAME)
        await bench.store.pause(Q)
        await bench.store.resume(Q)
        signal = await signals.receive()
    assert signal.kind is SignalKind.WAKE
