"""Strict and weighted queues, as real workers serve them."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import rediq_trio as rediq
from rediq_trio import MemoryStore
from rediq_trio.worker.prefetch import UNSTARTED_MAX
from tests.actors.parts import Watched, until
from tests.servers import Server

MANY = 10_000


class Line:
    """Counts which queues the tasks that were started came from; keeps its queues filled."""

    def __init__(
        self, *, most: int = MANY, refill: bool = True, midway: Mapping[str, int] | None = None
    ) -> None:
        self.order: list[str] = []
        self.over = trio.Event()
        self.app = rediq.App()

        @self.app.task("stand", retention=0)
        async def stand() -> None:
            task = rediq.current_task()
            if not self.over.is_set():
                self.order.append(task.queue)
                if len(self.order) == most // 2:
                    await fill(task.client, midway or {})
                if len(self.order) == most:
                    self.over.set()
                elif refill:
                    await task.client.enqueue(tasks(task.queue)[0])
            await trio.lowlevel.checkpoint()


def tasks(queue: str, count: int = 1) -> list[rediq.Task[Any]]:
    return [rediq.Task("stand", {}, queue=queue, retention=0)] * count


async def fill(client: rediq.Client, queues: Mapping[str, int]) -> None:
    for queue, count in queues.items():
        await client.enqueue_many(tasks(queue, count))


async def lined_up(
    store: Any, ready: Mapping[str, int], *, most: int = MANY, refill: bool = True, **settings: Any
) -> list[str]:
    """Serve queues that hold so many ready tasks each; give the queues of those started, in order."""
    line = Line(most=most, refill=refill)
    prefix = (
        {} if isinstance(store, MemoryStore) else {"key_prefix": f"line-{uuid.uuid4().hex[:8]}"}
    )
    async with rediq.connect(store, **prefix) as client:
        await fill(client, ready)
        async with rediq.serve(line.app, store, **prefix, **settings):
            await line.over.wait()
    return line.order


def furthest(order: Sequence[str], shares: Mapping[str, float]) -> float:
    """Give by how many tasks the counts were ever away from their shares."""
    counts = dict.fromkeys(shares, 0)
    worst = 0.0
    for started, queue in enumerate(order, start=1):
        counts[queue] += 1
        worst = max(worst, *(abs(counts[q] - share * started) for q, share in shares.items()))
    return worst


WORKERS = [(1, 0), (10, 0), (10, 20), (1, 20)]
"""Concurrency and prefetch."""
SHARES = {"a": 0.75, "b": 0.25}


@pytest.mark.uncounted
@pytest.mark.mock_clock
@pytest.mark.parametrize(("concurrency", "prefetch"), WORKERS)
async def test_over_many_tasks_each_queue_has_the_share_of_its_weight(
    concurrency: int, prefetch: int
) -> None:
    order = await lined_up(
        MemoryStore(),
        {"a": 60, "b": 60},
        queues={"a": 3, "b": 1},
        concurrency=concurrency,
        prefetch=prefetch,
    )
    counts = Counter(order)
    assert counts["a"] == pytest.approx(0.75 * MANY, rel=0.05)
    assert counts["b"] == pytest.approx(0.25 * MANY, rel=0.05)
    # At every moment, too, to within what is claimed at once.
    assert furthest(order, SHARES) <= concurrency + prefetch


@pytest.mark.uncounted
@pytest.mark.mock_clock
@pytest.mark.parametrize(("concurrency", "prefetch"), WORKERS)
async def test_a_queue_of_a_hundredth_of_the_weight_does_not_starve(
    concurrency: int, prefetch: int
) -> None:
    order = await lined_up(
        MemoryStore(),
        {"a": 60, "b": 60},
        most=2_020,
        queues={"a": 100, "b": 1},
        concurrency=concurrency,
        prefetch=prefetch,
    )
    places = [place for place, queue in enumerate(order) if queue == "b"]
    waits = [after - before for before, after in pairwise([0, *places])]
    assert len(places) == pytest.approx(20, abs=1)
    assert max(waits) <= 101 + concurrency + prefetch


@pytest.mark.mock_clock
async def test_an_empty_queue_gives_its_share_away_and_does_not_come_back_for_it() -> None:
    line, store = Line(most=2_000, midway={"a": 60}), MemoryStore()
    async with rediq.connect(store) as client:
        await fill(client, {"b": 60})
        async with rediq.serve(line.app, store, queues={"a": 3, "b": 1}, prefetch=20):
            await line.over.wait()
    assert set(line.order[:1_000]) == {"b"}
    # What was claimed ahead of `b` before comes first.
    assert furthest(line.order[1_030:], SHARES) <= 30


@pytest.mark.mock_clock
@pytest.mark.parametrize(("concurrency", "prefetch"), [*WORKERS, (10, "auto")])
async def test_in_strict_order_nothing_is_started_before_all_of_the_queue_above(
    concurrency: int, prefetch: Any
) -> None:
    order = await lined_up(
        MemoryStore(),
        {"low": 100, "high": 300, "middle": 100},
        most=500,
        refill=False,
        queues=["high", "middle", "low"],
        concurrency=concurrency,
        prefetch=prefetch,
    )
    assert order == ["high"] * 300 + ["middle"] * 100 + ["low"] * 100


@pytest.mark.mock_clock
async def test_in_strict_order_a_queue_that_is_never_empty_keeps_the_one_below_waiting() -> None:
    order = await lined_up(
        MemoryStore(), {"low": 20, "high": 60}, most=1_000, queues=["high", "low"], prefetch=20
    )
    assert set(order) == {"high"}


@pytest.mark.mock_clock
async def test_in_strict_order_what_a_blocked_worker_returns_is_started_before_the_queue_below() -> (
    None
):
    app, store, order = rediq.App(), Watched(), list[str]()

    @app.task("block")
    async def block() -> None:
        order.append(rediq.current_task().queue)
        if len(order) == 11:
            # The event loop is blocked for so long that the ten claimed ahead are returned,
            # which then takes a moment.
            clock = trio.lowlevel.current_clock()
            assert isinstance(clock, MockClock)
            clock.jump(UNSTARTED_MAX + 0.5)
            store.delay = lambda name: 0.3 if name == "settle" else 0.0

    async with rediq.connect(store) as client:
        for queue, count in (("low", 30), ("high", 21)):
            await client.enqueue_many([rediq.Task("block", {}, queue=queue)] * count)
        queues = ["high", "low"]
        async with rediq.serve(app, store, queues=queues, concurrency=1, prefetch=20):
            await until(lambda: len(order) == 51)
    assert order == ["high"] * 21 + ["low"] * 30


async def test_on_a_server_the_shares_are_the_same(redis_server: Server) -> None:
    order = await lined_up(
        redis_server.url, {"a": 10_000, "b": 5_000}, refill=False, queues={"a": 3, "b": 1}
    )
    assert Counter(order)["b"] == pytest.approx(0.25 * MANY, rel=0.05)


async def test_on_a_server_the_strict_order_is_the_same(redis_server: Server) -> None:
    order = await lined_up(
        redis_server.url,
        {"low": 500, "high": 3_000},
        most=3_500,
        refill=False,
        queues=["high", "low"],
        concurrency=10,
    )
    # Ten run at once. Trio chooses in which order tasks begin that are started together.
    assert set(order[: 3_000 - 9]) == {"high"}
    assert set(order[3_000 + 9 :]) == {"low"}
    assert Counter(order) == {"high": 3_000, "low": 500}
