"""A task with all of its queue that decides when it runs."""

from __future__ import annotations

from typing import Any

import pytest

from rediq_trio._errors import RediqError
from rediq_trio.spec.groups import Group
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Relations
from rediq_trio.spec.records import GroupRule, Limit
from rediq_trio.store.port import BATCH
from rediq_trio.store.reads import situation
from rediq_trio.store.reads.situation import LimitUse, Situation, Standing
from rediq_trio.store.reads.states import StatesRead

from .bench import START, Bench, Q, new


async def situated(bench: Bench, task_id: str = "t") -> Situation:
    found = await bench.store.situation(Q, task_id)
    assert found is not None
    return found


def keyed(key: str) -> dict[str, Any]:
    return {"relations": Relations(limit_key=key)}


async def test_a_task_that_is_not_there_has_no_situation(bench: Bench) -> None:
    assert await bench.store.situation(Q, "nobody") is None


async def test_a_situation_holds_the_description_at_its_instant(bench: Bench) -> None:
    await bench.add("t", delay_ms=9)
    bench.clock.advance(7)
    found = await situated(bench)
    assert found.now_ms == START + 7
    assert found.state is State.SCHEDULED
    assert found.description == await bench.store.description(Q, "t")
    assert (found.newer, found.standing, found.group) == (0, Standing(), None)
    assert found.whole == found.lane == LimitUse()


async def test_a_pause_is_said_with_its_note_and_time(bench: Bench) -> None:
    await bench.add("t")
    assert not (await situated(bench)).paused
    bench.clock.advance(3)
    await bench.store.pause(Q, b"note")
    found = await situated(bench)
    assert (found.paused, found.paused_since_ms, found.pause_note) == (True, START + 3, b"note")


async def test_a_task_stands_among_those_of_its_priority(bench: Bench) -> None:
    await bench.add("far", priority=70)
    await bench.add("soon", priority=3)
    await bench.add("first", "t", "last")
    assert (await situated(bench)).standing == Standing(better=1, ahead=1, equal=3)
    assert (await situated(bench, "soon")).standing == Standing(better=0, ahead=0, equal=1)
    assert (await situated(bench, "far")).standing == Standing(better=4, ahead=0, equal=1)


async def test_a_task_stands_among_those_of_its_limit_key(bench: Bench) -> None:
    await bench.add("plain")
    for key in ("a", "k", "longer"):
        await bench.add(f"{key}-far", priority=51, **keyed(key))
        await bench.add(f"{key}-soon", f"{key}-sooner", priority=3, **keyed(key))
        await bench.add(f"{key}1", f"{key}2", f"{key}3", **keyed(key))
    found = await situated(bench, "k2")
    assert found.standing == Standing(better=2, ahead=1, equal=3)
    assert (found.lanes, found.unkeyed, found.keyed, found.fair) == (3, 1, 18, False)
    await bench.store.arrange(Q, fair=True)
    assert (await situated(bench, "k2")).fair


async def test_lanes_that_are_shut_count_too(bench: Bench) -> None:
    await bench.add("a1", "a2", **keyed("a"))
    await bench.add("b1", **keyed("b"))
    await bench.store.limit(Q, key="a", concurrency=1)
    await bench.take()
    assert (await situated(bench, "a2")).lanes == 2


async def test_the_use_of_limits_is_said_with_the_oldest_that_runs(bench: Bench) -> None:
    await bench.store.limit(Q, key="*", concurrency=2)
    await bench.add("plain")
    assert (await situated(bench, "plain")).whole == LimitUse()
    await bench.store.limit(Q, key="", concurrency=4)
    await bench.take()
    for n in range(2):
        bench.clock.advance(1)
        await bench.add(f"a{n}", **keyed("a"))
        await bench.take()
    await bench.add("t", **keyed("a"))
    await bench.add("waits")
    lane = LimitUse(Limit(concurrency=2), running=2, oldest_ms=START + 1)
    assert (await situated(bench)).lane == lane
    assert (await situated(bench)).whole == LimitUse(Limit(concurrency=4), running=3)
    assert (await situated(bench, "waits")).lane == LimitUse()
    await bench.add("later", **keyed("a"), delay_ms=9)
    assert (await situated(bench, "later")).lane == LimitUse(Limit(concurrency=2), running=2)
    await bench.store.limit(Q, key="", concurrency=3)
    whole = LimitUse(Limit(concurrency=3), running=3, oldest_ms=START)
    assert (await situated(bench, "waits")).whole == whole


async def test_the_oldest_of_the_queue_may_have_a_limit_key(bench: Bench) -> None:
    await bench.store.limit(Q, key="", concurrency=2)
    await bench.active("a", **keyed("k"))
    bench.clock.advance(5)
    await bench.active("plain")
    await bench.add("t")
    assert (await situated(bench)).whole.oldest_ms == START


async def test_the_use_of_a_rate_is_said(bench: Bench) -> None:
    await bench.store.limit(Q, key="a", count=1, period_ms=500)
    await bench.add("a1", "t", **keyed("a"))
    await bench.take()
    lane = (await situated(bench)).lane
    assert (lane.limit.count, lane.running) == (1, 1)
    assert lane.arrival_us == (START + 500) * 1000


async def test_of_many_active_tasks_the_oldest_is_unknown(bench: Bench) -> None:
    most = situation.ACTIVE_READ
    await bench.store.limit(Q, key="", concurrency=most)
    await bench.add(*(f"a{n}" for n in range(most)))
    await bench.take(most)
    await bench.add("t")
    assert (await situated(bench)).whole.oldest_ms == START
    await bench.store.limit(Q, key="", concurrency=most + 1)
    await bench.take()
    await bench.add("next")
    assert (await situated(bench, "next")).whole == LimitUse(
        Limit(concurrency=most + 1), running=most + 1
    )


async def test_the_group_of_a_task_is_said(bench: Bench) -> None:
    await bench.add("other", relations=Relations(group="h"))
    await bench.add("t", "u", relations=Relations(group="g"))
    found = (await situated(bench)).group
    assert found == Group("g", None, 2, START + GroupRule().grace_ms)
    rule = GroupRule(max_size=2, grace_ms=5, max_delay_ms=9)
    await bench.store.set_group_rules(Q, rules={"g": rule})
    assert (await situated(bench)).group == Group("g", rule, 2, 0)


async def test_the_states_of_tasks_are_read_in_their_order(bench: Bench) -> None:
    await bench.ended("dead", State.DEAD)
    await bench.add("a", delay_ms=9)
    await bench.add("b")
    bench.clock.advance(2)
    found = await bench.store.states(Q, ["b", "nobody", "a", "dead"])
    states = (State.PENDING, None, State.SCHEDULED, State.DEAD)
    assert found == StatesRead(START + 2, states)
    assert await bench.store.states(Q, []) == StatesRead(START + 2, ())


async def test_too_many_states_are_refused(bench: Bench) -> None:
    with pytest.raises(RediqError, match="states: 1001 items in one call; a store takes at most"):
        await bench.store.states(Q, [new(f"t{n}").id for n in range(BATCH + 1)])
