"""Searching the tasks of a queue: what a filter chooses, how it is paced, and leaving it."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

import rediq_trio as rediq
from rediq_trio import ConfigError, Encryption, MemoryStore, Task
from rediq_trio.admin.filters import read_filter
from rediq_trio.admin.search import (
    LEAST_STEP,
    STEP_SECONDS,
    UNREPORTED_PART,
    UNREPORTED_SECONDS,
    Throttle,
)
from rediq_trio.store.reads.scan import SCAN_STEP, Scanned
from tests.servers import Server, require_any_server

Where = tuple[Any, dict[str, Any]]
OLD, NEW, OTHER = (Encryption.generate_key() for _ in range(3))


@pytest.fixture(params=["memory", "redis"])
def where(request: pytest.FixtureRequest, start_server: Callable[[str], Server]) -> Where:
    """Return what `connect` opens, with the keywords it takes."""
    if request.param == "memory":
        return MemoryStore(), {}
    return start_server(require_any_server()).url, {"key_prefix": f"find-{uuid.uuid4().hex[:8]}"}


async def found(queue: rediq.Queue, state: str = "pending", **options: Any) -> set[str]:
    """Return the ids that a search finds; each is found once."""
    ids = [
        info.id.partition("/")[2] for info in [one async for one in queue.find(state, **options)]
    ]
    assert len({*ids}) == len(ids)
    return {*ids}


SOME = [
    Task("mail", {"user": {"id": 7, "name": "Ada"}, "to": ["x", "y"]}, id="a", queue="q",
         metadata={"tenant": "acme", "zone": "b"}, priority=10, limit_key="k"),
    Task("mail:late", {"user": {"id": 8}, "ok": True}, id="b", queue="q",
         metadata={"tenant": "acme"}),
    Task("mai", ["user", 3.5], id="c", queue="q", limit_key="other"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "abc"),
        ({"type": "mail"}, "a"),
        ({"type": "mai"}, "c"),
        ({"type": None}, "abc"),
        ({"priority": 10}, "a"),
        ({"limit_key": "k"}, "a"),
        ({"metadata": {"tenant": "acme"}}, "ab"),
        ({"metadata": {"tenant": "acme", "zone": "b"}}, "a"),
        ({"metadata": {"zone": "c"}}, ""),
        ({"payload": "Ad"}, "a"),
        ({"payload": "3.5"}, "c"),
        ({"payload": "user"}, "abc"),
        ({"payload": ("user.id", 7)}, "a"),
        ({"payload": ("to.1", "y")}, "a"),
        ({"payload": ("to.2", "y")}, ""),
        ({"payload": ("ok", 1)}, ""),
        ({"payload": ("ok", True)}, "b"),
        ({"payload": ("user", {"id": 8})}, "b"),
        ({"payload": ("1", 3.5)}, "c"),
        ({"type": "mail", "payload": ("user.id", 8)}, ""),
        ({"older_than": 3600}, ""),
        ({"younger_than": dt.timedelta(hours=1)}, "abc"),
        ({"younger_than": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)}, "abc"),
        ({"older_than": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)}, ""),
    ],
)
async def test_a_filter_chooses(where: Where, options: dict[str, Any], expected: str) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        await client.enqueue_many(SOME)
        for newest in (True, False):
            assert await found(client.queue("q"), newest=newest, **options) == {*expected}


async def test_a_part_of_an_error_is_found(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        queue = client.queue("q")
        needed = await client.enqueue(Task("t", {}, id="needed", queue="q", delay=60))
        await client.enqueue(Task("t", {}, id="x", queue="q", depends_on=needed))
        await needed.cancel()
        assert await found(queue, "dead", error="needed") == {"x"}
        assert await found(queue, "dead", error="other") == set()


async def test_all_partitions_are_searched_the_newest_first(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        queue = client.queue("q")
        await queue.partition(4)
        tasks = [Task("t", {"n": n % 2}, queue="q", id=f"t{n}", delay=60 + n) for n in range(60)]
        await client.enqueue_many(tasks)
        search = queue.find("scheduled", payload=("n", 1))
        assert search.looked_at == 0
        assert search.of is None
        infos = [info async for info in search]
        expected = [f"t{n}" for n in reversed(range(60)) if n % 2]
        assert [info.id.partition("/")[2] for info in infos] == expected
        assert search.looked_at == search.of == 60


async def test_a_search_can_be_left_and_goes_on_after_a_cancelled_step(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        queue = client.queue("q")
        await client.enqueue_many([Task("t", {}, queue="q", id=f"t{n}") for n in range(300)])
        async for _ in queue.find("pending"):
            break
        search = queue.find("pending", newest=False)
        seen = [await anext(search)]
        while True:
            with trio.CancelScope() as scope:
                scope.cancel()
                await anext(search)
            assert scope.cancelled_caught
            try:
                seen.append(await anext(search))
            except StopAsyncIteration:
                break
        assert [info.id for info in seen] == [f"q/t{n}" for n in range(300)]
        async with aclosing(queue.find("pending")) as closed:
            await anext(closed)
        assert [info async for info in closed] == []


async def test_what_is_encrypted_is_found_by_those_who_have_the_keys(where: Where) -> None:
    for n, keys in enumerate([[OLD], [NEW, OLD]]):
        async with rediq.connect(where[0], encryption=Encryption(keys), **where[1]) as client:
            task = Task("t", {"user": "ada"}, id=f"t{n}", queue="q", metadata={"tenant": "acme"})
            await client.enqueue(task)
    for keys, some in (([NEW, OLD], {"t0", "t1"}), ([NEW], {"t1"}), ([OTHER], set[str]())):
        async with rediq.connect(where[0], encryption=Encryption(keys), **where[1]) as client:
            queue = client.queue("q")
            assert await found(queue, payload=("user", "ada")) == some
            assert await found(queue, metadata={"tenant": "acme"}) == some
            search = queue.find("pending", payload="ada")
            assert {info.id async for info in search} == {f"q/{name}" for name in some}
            assert search.unreadable == 2 - len(some)
            # The type is not encrypted.
            assert await found(queue, type="t") == {"t0", "t1"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"typ": "x"}, r"find\(\): there is no option typ"),
        ({"type": ""}, "type"),
        ({"error": "x" * 1001}, "error.*1,000"),
        ({"error": 5}, "error"),
        ({"limit_key": ""}, "limit_key"),
        ({"priority": True}, "priority"),
        ({"older_than": -1}, "older_than"),
        ({"older_than": float("nan")}, "older_than"),
        ({"younger_than": dt.datetime(2020, 1, 1)}, "younger_than.*time zone"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": "a"}, "metadata"),
        ({"payload": ""}, "payload"),
        ({"payload": ("a", 1, 2)}, "payload"),
        ({"payload": 5}, "payload"),
        ({"newest": 1}, "newest"),
    ],
)
async def test_a_bad_filter_is_refused_before_anything_is_read(
    options: dict[str, Any], words: str
) -> None:
    async with rediq.connect(MemoryStore()) as client:
        with pytest.raises(ConfigError, match=words):
            client.queue("q").find("dead", **options)
        with pytest.raises(ConfigError, match="state"):
            client.queue("q").find("asleep")


costs = st.floats(0, 0.1)


@given(st.lists(st.tuples(costs, st.integers(0, SCAN_STEP)), max_size=20))
def test_a_step_is_smaller_after_one_that_took_redis_more_than_a_millisecond(
    steps: list[tuple[float, int]],
) -> None:
    throttle = Throttle()
    for cost, looked_at in steps:
        before = throttle.step
        throttle.note(0.0, cost, Scanned(1, 9, looked_at, None, False, (), cost))
        assert LEAST_STEP <= throttle.step <= min(SCAN_STEP, max(2 * before, LEAST_STEP))
        if cost and looked_at and throttle.step > LEAST_STEP:
            assert throttle.step * cost / looked_at <= STEP_SECONDS * (1 + 1e-9)


@pytest.mark.mock_clock
@pytest.mark.parametrize(
    ("took", "cost", "next_after"),
    [(0.0021, 0.002, 0.021), (0.1, 0.002, 0.032), (0.001, 0.0001, 0.0035), (0.001, 0.0, 0.001)],
    ids=["nearby", "far away", "a small step", "no server"],
)
async def test_a_search_takes_at_most_a_tenth_of_the_time_of_redis(
    took: float, cost: float, next_after: float
) -> None:
    throttle = Throttle()
    began = trio.current_time()
    await trio.sleep(took)
    throttle.note(began, trio.current_time(), Scanned(1, 9, 9, None, False, (), cost))
    await throttle.wait()
    assert trio.current_time() - began == pytest.approx(max(took, next_after))


@given(st.lists(st.tuples(costs, costs, st.floats(0, 0.01)), min_size=1, max_size=40))
def test_in_no_second_do_steps_take_more_than_a_tenth(
    steps: list[tuple[float, float, float]],
) -> None:
    """What a step takes Redis lies between what it reports and that with what it may not report."""
    throttle, now, spent = Throttle(), 0.0, [(0.0, 0.0)]
    for reported, more, idle in steps:
        reported = min(reported, STEP_SECONDS) + 1e-6
        busy = reported + min(more, reported * UNREPORTED_PART + UNREPORTED_SECONDS)
        began = max(now + idle, throttle.not_before)
        now = began + busy
        throttle.note(began, now, Scanned(1, 9, 9, None, False, (), reported))
        spent.append((began, busy))
    for at, _ in spent:
        within = sum(busy for began, busy in spent if at <= began < at + 1)
        # The second ends in the middle of what a step has to wait.
        assert within <= 0.1 + spent[-1][1] + 2 * STEP_SECONDS


def test_an_age_counts_back_from_the_time_of_the_store() -> None:
    where = read_filter("find", {"older_than": 10, "younger_than": 20}).where(100_000)
    assert (where.since_ms, where.until_ms) == (80_000, 90_000)


@pytest.mark.parametrize("newest", [True, False])
async def test_a_search_goes_on_from_where_another_one_was_left(
    where: Where, newest: bool
) -> None:
    url, options = where
    async with rediq.connect(url, **options) as client:
        queue = client.queue("q")
        await client.enqueue_many(Task("t", {"n": n}, queue="q") for n in range(400))
        looked, after = 0, None
        for _ in range(400):
            search = queue.find("pending", newest=newest, after=after, payload=("n", -1))
            assert search.cursor is None
            while not search.looked_at and await search._step():
                pass
            looked += search.looked_at
            if (after := search.cursor) is None:
                break
        assert looked == 400
        whole = [one.id async for one in queue.find("pending", newest=newest)]
        cursor = [one async for one in queue.find("pending", newest=newest)][99].cursor
        rest = [one.id async for one in queue.find("pending", newest=newest, after=cursor)]
        assert rest == whole[100:]


async def test_a_search_of_a_partitioned_queue_goes_on_after_a_task(where: Where) -> None:
    url, options = where
    async with rediq.connect(url, **options) as client:
        queue = client.queue("q")
        await queue.partition(3)
        await client.enqueue_many(Task("t", {"n": n}, queue="q") for n in range(60))
        for newest in (True, False):
            found = [one async for one in queue.find("pending", newest=newest)]
            after = found[19].cursor
            rest = [one.id async for one in queue.find("pending", newest=newest, after=after)]
            assert rest == [one.id for one in found[20:]]
