"""Why a task waits, where only a server can show it: newer versions, and what the read costs."""

from __future__ import annotations

import re

import pytest

from rediq_trio import TaskHandle, Why, WhyKind
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import NewTask, Relations
from rediq_trio.store.reads.situation import ACTIVE_READ, Standing
from tests.conformance.bench import Q
from tests.opened import Opened
from tests.redis.conftest import Behind, open_behind
from tests.redis.test_newer_layout import Newer, _opened
from tests.servers import Server


@pytest.fixture
def newer(behind: Opened) -> Opened:
    """Give a bench on each server on which tasks can be made a newer version's."""
    return Opened(lambda: _opened(behind))


async def asked(behind: Behind, task_id: str) -> Why:
    handle = TaskHandle[object](behind.bench.store, Q, task_id)
    return await handle.why()


async def test_a_task_of_a_newer_version_says_so_with_its_state(newer: Newer) -> None:
    bench = newer.behind.bench
    await bench.add("n", delay_ms=9)
    await newer.age("n", layout=3)
    await bench.store.pause(Q)
    why = await asked(newer.behind, "n")
    assert why.state is State.SCHEDULED
    kinds = [part.kind for part in why.parts]
    assert kinds == [WhyKind.NEWER, WhyKind.PAUSED, WhyKind.UNSERVED]
    assert why.parts[0].data == {"format": 3, "state": State.SCHEDULED}
    assert why.sentence.startswith(
        "q/n is scheduled: a newer rediq-trio wrote it (format 3): upgrade this process to know more; "
    )


@pytest.mark.parametrize("key", ["", "k"], ids=["no limit key", "a limit key"])
async def test_a_task_after_one_of_a_newer_version_says_so(newer: Newer, key: str) -> None:
    bench = newer.behind.bench
    await bench.add("n", "t", "u", relations=Relations(limit_key=key))
    await bench.add("other", relations=Relations(limit_key="another"))
    await newer.age("t")
    for task_id in ("n", "u"):
        why = await asked(newer.behind, task_id)
        assert WhyKind.NEWER_FIRST not in [part.kind for part in why.parts]
    await newer.age("n")
    found = await bench.store.situation(Q, "u")
    assert found is not None
    assert found.standing == Standing(better=0, ahead=2, equal=3, newer_head=2)
    why = await asked(newer.behind, "u")
    (part,) = [part for part in why.parts if part.kind is WhyKind.NEWER_FIRST]
    assert part.data == {"format": 2}
    assert "(format 2): only workers of that version get past it" in why.sentence
    why = await asked(newer.behind, "other")
    assert WhyKind.NEWER_FIRST not in [part.kind for part in why.parts]


async def test_a_dependency_of_a_newer_version_has_its_state(newer: Newer) -> None:
    bench = newer.behind.bench
    await bench.add("n", delay_ms=9)
    await bench.add("t", relations=Relations(needs=("n",)))
    await newer.age("n")
    found = await bench.store.states(Q, ["n", "t", "none"])
    assert found.states == (State.SCHEDULED, State.BLOCKED, None)
    assert "it waits for 1 task: q/n (scheduled)" in (await asked(newer.behind, "t")).sentence


async def test_a_record_that_cannot_be_read_is_not_found(behind: Behind) -> None:
    await behind.bench.add("t")
    await behind.raw("HSET", "records", "t", b"nonsense")
    assert await behind.bench.store.situation(Q, "t") is None
    assert (await behind.bench.store.states(Q, ["t"])).states == (None,)


async def commands(behind: Behind, task_id: str) -> dict[str, int]:
    """Read a task's situation; return how often which command was called."""
    await behind.gateway.call("CONFIG", "RESETSTAT")
    assert await behind.bench.store.situation(Q, task_id) is not None
    stats: str = (await behind.gateway.call("INFO", "commandstats")).decode()
    found = re.findall(r"cmdstat_(\w+):calls=(\d+)", stats)
    return {name: int(calls) for name, calls in found if name[0] in "hz"}


async def fill(behind: Behind, tasks: int, keys: int) -> None:
    """Make so many tasks pending, a tenth of them with one of so many limit keys."""
    for start in range(0, tasks, 1000):
        batch = [
            NewTask(
                f"t{n:06}",
                b"e",
                priority=n % 7,
                relations=Relations(limit_key=f"key{n // 10 % keys}" if n % 10 == 0 else ""),
            )
            for n in range(start, start + 1000)
        ]
        await behind.bench.store.enqueue(Q, batch)


async def test_the_read_costs_the_same_however_many_tasks_are_pending(
    redis_server: Server,
) -> None:
    """A command returns 1 element each, or `ACTIVE_READ` at most, and counts and ranks none."""
    async with open_behind(redis_server) as behind:
        bench = behind.bench
        await bench.store.limit(Q, key="key0", concurrency=ACTIVE_READ)
        await bench.store.limit(Q, key="", concurrency=ACTIVE_READ)
        await bench.add(
            *(f"a{n}" for n in range(ACTIVE_READ)), relations=Relations(limit_key="key0")
        )
        await bench.take(ACTIVE_READ)
        await fill(behind, 1000, 100)
        few = [await commands(behind, task_id) for task_id in ("t000990", "t000999")]
        await fill(behind, 100_000, 10_000)
        found = await bench.store.situation(Q, "t099999")
        assert found is not None
        assert (found.unkeyed, found.keyed, found.lanes) == (90_000, 10_000, 10_000)
        assert found.standing.ahead > 10_000
        many = [await commands(behind, task_id) for task_id in ("t099990", "t099999")]
        assert many == few
        assert all(sum(calls.values()) < 60 for calls in many)


async def test_a_damaged_task_is_passed_over_in_the_search_for_the_oldest(newer: Newer) -> None:
    bench, raw = newer.behind.bench, newer.behind.raw
    await bench.store.limit(Q, key="", concurrency=3)
    for task_id in ("damaged", "n", "oldest"):
        await bench.active(task_id)
        bench.clock.advance(5)
    await bench.add("t")
    await raw("HSET", "records", "damaged", b"\x01")
    await newer.age("n")
    found = await bench.store.situation(Q, "t")
    assert found is not None
    assert found.whole.oldest_ms == (await bench.record("oldest")).started_ms
