"""How a user sets limits, and what may go wrong with it."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConfigError, KeyLimit, MemoryStore, QueueFull, QueueLimits, Rate
from tests.servers import Server, require_any_server

Where = tuple[Any, dict[str, Any]]


@pytest.fixture(params=["memory", "redis"])
def where(request: pytest.FixtureRequest, start_server: Callable[[str], Server]) -> Where:
    """Give what `serve` and `connect` open, with the keywords they take."""
    if request.param == "memory":
        return MemoryStore(), {}
    return start_server(require_any_server()).url, {"key_prefix": f"limits-{uuid.uuid4().hex[:8]}"}


app = rediq.App()


@app.task("nothing", queue="q")
async def nothing() -> None:
    pass


async def test_what_is_set_can_be_read_and_what_is_not_named_stays(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        queue = client.queue("q")
        assert await queue.limits() == QueueLimits()
        await queue.limit(concurrency=5, rate=Rate(100, per=60, burst=10), max_pending=1000)
        await queue.limit(key="acme", concurrency=2)
        await queue.limit(key="*", rate=Rate(3))
        await queue.limit(fair_by="limit_key")
        expected = QueueLimits(
            concurrency=5,
            rate=Rate(100, per=60, burst=10),
            max_pending=1000,
            fair_by="limit_key",
            keys={"*": KeyLimit(rate=Rate(3)), "acme": KeyLimit(concurrency=2)},
        )
        assert await queue.limits() == expected
        await queue.limit(concurrency=None)
        assert await queue.limits() == attrs.evolve(expected, concurrency=None)
        await queue.limit(rate=None, max_pending=None)
        await queue.limit(key="acme", concurrency=None, rate=None)
        await queue.limit(key="*", rate=None)
        assert await queue.limits() == QueueLimits(fair_by="limit_key")
        await queue.limit(fair_by=None)
        assert await queue.limits() == QueueLimits()


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "name what to set"),
    ({"key": "a"}, "name what to set"),
    ({"concurrency": 0}, "concurrency=0: must be a whole number from 1 to 1,000,000"),
    ({"concurrency": -1}, "concurrency=-1"),
    ({"concurrency": True}, "concurrency=True"),
    ({"concurrency": 1.5}, "concurrency=1.5"),
    ({"concurrency": 1_000_001}, "concurrency=1000001"),
    ({"rate": 5}, "rate=5: must be a Rate"),
    ({"rate": (5, 1)}, "rate="),
    ({"max_pending": 0}, "max_pending=0: must be a whole number from 1 to"),
    ({"max_pending": -5, "concurrency": 3}, "max_pending=-5"),
    ({"fair_by": "queue"}, "fair_by='queue': must be 'limit_key'"),
    ({"fair_by": True}, "fair_by=True"),
    ({"key": "", "concurrency": 1}, "key=''"),
    ({"key": "x" * 129, "concurrency": 1}, "key='xxx"),
    ({"key": "a\n", "concurrency": 1}, "key="),
    ({"key": 7, "concurrency": 1}, "key=7"),
    ({"key": "a", "max_pending": 1}, "key='a': must be None"),
    ({"key": "*", "fair_by": "limit_key"}, r"key='\*': must be None"),
]


@pytest.mark.parametrize(("options", "said"), BAD, ids=lambda value: str(value)[:50])
async def test_a_bad_limit_is_refused_and_nothing_is_written(
    options: dict[str, Any], said: str
) -> None:
    async with rediq.connect(MemoryStore()) as client:
        queue = client.queue("q")
        with pytest.raises(ConfigError, match=said):
            await queue.limit(**options)
        assert await queue.limits() == QueueLimits()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"count": 0}, "count=0"),
        ({"count": -1}, "count=-1"),
        ({"count": 1.0}, "count=1.0"),
        ({"count": 1_000_001}, "count=1000001"),
        ({"count": 1, "per": 0}, "per=0"),
        ({"count": 1, "per": 0.0009}, "per=0.0009"),
        ({"count": 1, "per": math.inf}, "per=inf"),
        ({"count": 1, "per": math.nan}, "per=nan"),
        ({"count": 1, "per": "1"}, "per='1'"),
        ({"count": 5, "burst": 0}, "burst=0"),
        ({"count": 5, "burst": 6}, "burst=6: must be a whole number from 1 to 5"),
    ],
    ids=str,
)
def test_a_bad_rate_cannot_be_made(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Rate(**options)


@pytest.mark.parametrize(
    "rate", [Rate(1), Rate(1_000_000, per=0.001, burst=1_000_000), Rate(1, per=366 * 86_400)]
)
async def test_the_smallest_and_largest_rates_are_kept(where: Where, rate: Rate) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        await client.queue("q").limit(rate=rate)
        assert (await client.queue("q").limits()).rate == rate


async def test_a_full_queue_refuses_or_is_waited_for(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        queue = client.queue("q")
        await queue.limit(max_pending=2)
        for _ in range(2):
            await client.enqueue(nothing.task())
        with pytest.raises(QueueFull, match="queue q is full"):
            await client.enqueue(nothing.task())
        with pytest.raises(QueueFull):
            await client.enqueue(rediq.chain(nothing.task(), nothing.task()))
        with trio.move_on_after(0.1) as has_waiters:
            await client.enqueue(nothing.task(), wait=True)
        assert has_waiters.cancelled_caught
        assert (await queue.stats()).enqueued == 2
        async with trio.open_nursery() as nursery:

            async def produce() -> None:
                for _ in range(20):
                    await client.enqueue(nothing.task(), wait=True)
                    assert (await queue.stats()).pending <= 2

            nursery.start_soon(produce)
            async with rediq.serve(app, where[0], **where[1], queues=["q"]) as server:
                with trio.fail_after(20):
                    while (await queue.stats()).completed < 22:
                        await trio.sleep(0.01)
                await server.wait_idle()
