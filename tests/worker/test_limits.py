"""Workers under limits, on a real Redis: what is never exceeded, and that work goes on at once."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore, Rate
from rediq_trio.spec.messages import Claimed, Due
from rediq_trio.spec.records import Limit
from tests.faults.crew import LEASE, crew, until
from tests.faults.laborer import labor
from tests.servers import Server

WOKEN = 30.0
"""Seconds within which a poller that was woken starts a task: far fewer than one sleeps without a signal."""


@pytest.fixture
def pollers_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an idle poller sleep for so long that only a signal starts a task in time."""
    monkeypatch.setattr("rediq_trio.worker.poller.POLL_INTERVAL", 20 * WOKEN)


@attrs.define
class Seen:
    """What handlers did, by limit key."""

    running: Counter[str] = attrs.field(factory=Counter)
    most: Counter[str] = attrs.field(factory=Counter)
    done: list[str] = attrs.field(factory=list)
    begun: trio.Event = attrs.field(factory=trio.Event)
    go: dict[str, trio.Event] = attrs.field(factory=dict)

    def app(self) -> rediq.App:
        made = rediq.App()

        @made.task("work", queue="q", timeout=60)
        async def work(key: str = "", seconds: float = 0.0) -> None:
            self.begun.set()
            for one in {"", key}:
                self.running[one] += 1
                self.most[one] = max(self.most[one], self.running[one])
            try:
                if key in self.go:
                    await self.go[key].wait()
                await trio.sleep(seconds)
            finally:
                self.running.subtract({"", key})
            self.done.append(key)

        return made


def task(key: str = "", seconds: float = 0.0, **options: Any) -> rediq.Task[Any]:
    payload = {"key": key, "seconds": seconds}
    return rediq.Task("work", payload, queue="q", limit_key=key or None, **options)


@asynccontextmanager
async def two_workers(
    server: Server, seen: Seen, **options: Any
) -> AsyncIterator[tuple[rediq.Client, rediq.Queue]]:
    """Serve twice, with an app each, on one queue; nothing is there yet."""
    where: dict[str, Any] = {"key_prefix": f"limits-{uuid.uuid4().hex[:8]}", "queues": ["q"]}
    async with (
        rediq.serve(seen.app(), server.url, name="one", **where, **options) as one,
        rediq.serve(seen.app(), server.url, name="two", **where, **options),
    ):
        yield one.client, one.client.queue("q")


async def done(seen: Seen, count: int, within: float = 20) -> None:
    with trio.fail_after(within):
        while len(seen.done) < count:
            await trio.sleep(0.005)


async def test_no_more_run_at_once_than_the_queue_and_the_key_may(redis_server: Server) -> None:
    seen = Seen()
    async with two_workers(redis_server, seen) as (client, queue):
        await queue.limit(concurrency=2)
        await queue.limit(key="*", concurrency=1)
        keys = ["a", "b", "c", ""] * 15
        await client.enqueue_many([task(key, 0.005) for key in keys])
        await done(seen, 60)
    assert seen.most[""] == 2
    assert all(seen.most[key] == 1 for key in "abc")


@pytest.mark.usefixtures("pollers_sleep")
async def test_work_goes_on_as_soon_as_a_permit_frees(redis_server: Server) -> None:
    seen = Seen(go={"a": trio.Event()})
    async with two_workers(redis_server, seen) as (client, queue):
        await queue.limit(key="a", concurrency=1)
        first = await client.enqueue(task("a"))
        await seen.begun.wait()
        second = await client.enqueue(task("a"))
        other = await client.enqueue(task("b"))
        await other.result(timeout=5)
        seen.go["a"].set()
        ended = await second.wait(timeout=WOKEN)
        before = (await first.info()).finished_at
        assert before is not None
        assert ended.started_at is not None
        assert ended.started_at >= before


@pytest.mark.usefixtures("pollers_sleep")
async def test_work_goes_on_as_soon_as_a_permit_of_the_queue_frees(redis_server: Server) -> None:
    seen = Seen(go={"a": trio.Event()})
    async with two_workers(redis_server, seen) as (client, queue):
        await queue.limit(concurrency=1)
        await client.enqueue(task("a"))
        await seen.begun.wait()
        second = await client.enqueue(task("b"))
        with trio.move_on_after(0.3):
            await second.wait()
        assert (await second.info()).state is rediq.State.PENDING
        seen.go["a"].set()
        await second.result(timeout=WOKEN)


@pytest.mark.usefixtures("pollers_sleep")
async def test_a_limit_that_is_lifted_lets_tasks_start_at_once(redis_server: Server) -> None:
    seen = Seen(go={"a": trio.Event()})
    async with two_workers(redis_server, seen) as (client, queue):
        await queue.limit(concurrency=1)
        await client.enqueue(task("a"))
        await seen.begun.wait()
        second = await client.enqueue(task("b"))
        await queue.limit(concurrency=None)
        await second.result(timeout=WOKEN)
        seen.go["a"].set()


@pytest.mark.parametrize("key", [None, "a", "*"])
async def test_starts_are_spaced_by_the_servers_clock(
    redis_server: Server, key: str | None
) -> None:
    seen = Seen()
    async with two_workers(redis_server, seen) as (client, queue):
        await queue.limit(key=key, rate=Rate(20, per=1.0, burst=2))
        handles = await client.enqueue_many([task("a") for _ in range(12)])
        await done(seen, 12)
        infos = [await handle.info() for handle in handles]
    starts = sorted(info.started_at.timestamp() * 1000 for info in infos if info.started_at)
    begin = starts[0]
    # The first two at once, then one every 50 ms, none early; the arrival time says how.
    limit, arrival = Limit(count=20, period_ms=1000, burst=2), begin
    assert (limit.interval_us, limit.tolerance_us) == (50_000, 50_000)
    for at in starts:
        assert at >= arrival - 50 - 0.001
        arrival = max(arrival, at) + 50
    # Late only by as much as a wake-up takes on a busy machine.
    assert starts[-1] - begin < 10 * 50 + 1500


@pytest.mark.mock_clock
async def test_a_rate_an_hour_away_is_waited_for_in_silence() -> None:
    store = Counting()
    async with rediq.serve(Seen().app(), store, queues=["q"]) as server:
        await server.client.queue("q").limit(rate=Rate(1, per=3600), concurrency=5)
        await server.client.queue("q").limit(key="*", rate=Rate(1, per=3600), concurrency=1)
        await server.client.enqueue_many([task("a"), task("a"), task(), task("b")])
        await trio.sleep(1)
        store.calls.clear()
        await trio.sleep(60)
        # An idle poller looks every 5 s, a keeper promotes every 15 s.
        assert store.calls["claim"] <= 20
        assert store.calls["promote"] <= 8


@pytest.mark.mock_clock
async def test_a_full_concurrency_is_waited_for_in_silence() -> None:
    store, seen = Counting(), Seen(go={"a": trio.Event()})
    async with rediq.serve(seen.app(), store, queues=["q"]) as server:
        await server.client.queue("q").limit(rate=Rate(10, per=1), concurrency=1)
        await server.client.enqueue_many([task("a", expires=3000.0), task("b"), task("b")])
        await trio.sleep(1)
        store.calls.clear()
        await trio.sleep(20)
        assert store.calls["claim"] <= 8
        assert store.calls["promote"] <= 4
        seen.go["a"].set()
        await trio.sleep(0.5)
        assert len(seen.done) == 3


@pytest.mark.mock_clock
@pytest.mark.parametrize(
    ("count", "keys", "seconds"), [(10, 1, 20), (100, 1, 3), (1000, 1, 0.3), (10, 20, 1)]
)
async def test_a_rate_is_reached_by_one_worker_that_asks_once_for_each_start(
    count: int, keys: int, seconds: float
) -> None:
    store, seen = Counting(), Seen()
    async with rediq.serve(seen.app(), store, queues=["q"]) as server:
        queue = server.client.queue("q")
        await queue.limit(key="*", rate=Rate(count))
        await queue.pause()
        each = round(count * seconds) + 20
        await server.client.enqueue_many([task(f"{n % keys}") for n in range(each * keys)])
        await trio.sleep(1)
        store.calls.clear()
        await queue.resume()
        await trio.sleep(seconds)
        # With less than a period the tolerance, 20 ms of starts, is seen too.
        assert 0.97 * count * seconds <= len(seen.done) / keys <= count * (seconds + 0.02) + 1
        assert store.calls["claim"] <= len(seen.done) + 30
        assert store.calls["promote"] <= 5


@pytest.mark.mock_clock
async def test_a_rate_is_reached_though_answers_take_time() -> None:
    store, seen = Counting(delay=0.003), Seen()
    async with rediq.serve(seen.app(), store, queues=["q"]) as server:
        queue = server.client.queue("q")
        await queue.limit(key="a", rate=Rate(100))
        await server.client.enqueue_many([task("a") for _ in range(350)])
        await trio.sleep(3)
        assert 291 <= len(seen.done) <= 303


@pytest.mark.mock_clock
async def test_a_worker_without_room_leaves_the_next_start_to_another() -> None:
    store, seen = MemoryStore(), Seen()
    where: dict[str, Any] = {"queues": ["q"], "concurrency": 1, "prefetch": 0}
    async with (
        rediq.serve(seen.app(), store, name="one", **where) as one,
        rediq.serve(seen.app(), store, name="two", **where),
    ):
        queue = one.client.queue("q")
        await queue.limit(key="a", rate=Rate(10))
        await one.client.enqueue_many([task("a", 0.15) for _ in range(40)])
        await trio.sleep(2)
        assert seen.most[""] == 2
        # One that takes 0.15 s at a time would do 14.
        assert len(seen.done) >= 18


class Counting(MemoryStore):
    """The memory store, with a count of what is asked of it."""

    def __init__(self, delay: float = 0.0) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self._delay = delay
        """Seconds for which the answer to a claim is under way."""

    async def claim(self, *args: Any, **options: Any) -> Claimed:
        self.calls["claim"] += 1
        answer = await super().claim(*args, **options)
        await trio.sleep(self._delay)
        return answer

    async def promote(self, *args: Any, **options: Any) -> Due:
        self.calls["promote"] += 1
        return await super().promote(*args, **options)


async def commands(client: rediq.Client) -> int:
    """Count what the server was asked since it began."""
    gateway: Any = client._store._gateway  # type: ignore[attr-defined]
    said: bytes = await gateway.call(b"INFO", b"commandstats")
    lines = [line for line in said.decode().splitlines() if line.startswith("cmdstat_evalsha")]
    return sum(int(line.partition("calls=")[2].partition(",")[0]) for line in lines)


async def test_a_server_is_left_alone_while_all_wait_for_a_rate(redis_server: Server) -> None:
    async with two_workers(redis_server, Seen()) as (client, queue):
        await queue.limit(rate=Rate(1, per=3600), concurrency=2)
        await client.enqueue_many([task("a") for _ in range(20)])
        await trio.sleep(1)
        before = await commands(client)
        await trio.sleep(2)
        assert await commands(client) - before < 40


async def test_a_large_tenant_does_not_delay_a_small_one(redis_server: Server) -> None:
    seen = Seen()
    async with two_workers(redis_server, seen, concurrency=2, prefetch=0) as (client, queue):
        await queue.limit(fair_by="limit_key")
        await queue.pause()
        await client.enqueue_many([task("large", 0.001) for _ in range(500)])
        await client.enqueue_many([task("small", 0.001) for _ in range(5)])
        await queue.resume()
        await done(seen, 505)
    last = max(place for place, key in enumerate(seen.done) if key == "small")
    assert last < 30


async def test_the_permits_of_a_killed_worker_come_back_with_its_leases() -> None:
    with crew() as us:
        first = us.hire()
        async with rediq.connect(us.server.url) as client:
            queue = client.queue("default")
            await queue.limit(concurrency=1)
            await queue.limit(key="a", concurrency=1)
            mine = labor.options(limit_key="a", priority=60)
            await client.enqueue(mine.task(seconds=60.0))

            async def begun() -> bool:
                return len(us.lines("begin")) == 1

            await until(begun)
            second = await client.enqueue(mine.options(priority=10).task(seconds=0.0))
            us.hire()

            async def both_there() -> bool:
                return len(await client.workers()) == 2

            await until(both_there)
            assert (await second.info()).state is rediq.State.PENDING
            first.kill()
            first.wait()
            info = await second.wait(timeout=LEASE + 5.0)
            assert (info.state, info.deliveries) == (rediq.State.COMPLETED, 1)
