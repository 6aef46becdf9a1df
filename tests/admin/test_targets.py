"""The targets of a queue."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

import rediq_trio as rediq
from rediq_trio import ConfigError, MemoryStore, QueueTargets


async def test_targets_are_set_read_and_removed_one_by_one() -> None:
    async with rediq.connect(MemoryStore()) as client:
        queue = client.queue("q")
        assert await queue.targets() == QueueTargets()
        assert await queue.targets(latency=30, failures=0.01) == QueueTargets(
            latency=30, failures=0.01
        )
        assert await queue.targets(latency=dt.timedelta(minutes=1)) == QueueTargets(
            latency=60, failures=0.01
        )
        assert (await queue.stats()).targets == QueueTargets(latency=60, failures=0.01)
        assert await queue.targets(latency=None) == QueueTargets(failures=0.01)
        await queue.targets(failures=None)
        assert await queue.targets() == QueueTargets()


async def test_targets_at_their_bounds_come_back_as_they_were() -> None:
    async with rediq.connect(MemoryStore()) as client:
        queue = client.queue("q")
        for latency, failures in ((0.001, 0.000_001), (365 * 86_400.0, 1.0), (0.25, 0.123_457)):
            found = await queue.targets(latency=latency, failures=failures)
            assert found == QueueTargets(latency=latency, failures=failures)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"latency": 0}, r"^latency=0: must be a number of seconds from 0.001 to .* \(1 year\)"),
        ({"latency": -1}, r"^latency=-1"),
        ({"latency": float("nan")}, r"^latency=nan"),
        ({"latency": "30s"}, r"^latency='30s'"),
        ({"latency": True}, r"^latency=True"),
        ({"failures": 0}, r"^failures=0: must be a number from 0.000001 to 1"),
        ({"failures": 1.5}, r"^failures=1.5"),
        ({"failures": "1 %"}, r"^failures='1 %'"),
    ],
)
async def test_a_bad_target_is_refused_and_nothing_is_written(
    given: dict[str, Any], message: str
) -> None:
    async with rediq.connect(MemoryStore()) as client:
        queue = client.queue("q")
        with pytest.raises(ConfigError, match=message):
            await queue.targets(**{"latency": 5, "failures": 0.5} | given)
        assert await queue.targets() == QueueTargets()
        assert await client.queues() == []


async def test_all_partitions_have_the_targets_whichever_comes_first() -> None:
    store = MemoryStore()
    async with rediq.connect(store) as client:
        queue = client.queue("q")
        await queue.targets(latency=30)
        await queue.partition(2)
        assert await queue.targets() == QueueTargets(latency=30)
        await queue.targets(failures=0.5)
        for name in ("q~0", "q~1"):
            found = (await store.stats(name)).queue
            assert (found.target_latency_ms, found.target_failures_ppm) == (30_000, 500_000)
        await queue.partition(1)
        assert await queue.targets() == QueueTargets(latency=30, failures=0.5)


async def test_only_what_sets_a_target_is_audited() -> None:
    async with rediq.connect(MemoryStore()) as client:
        queue = client.acting(who="ada").queue("q")
        await queue.targets()
        assert await client.audit() == ()
        await queue.targets(latency=30)
        [entry] = await client.audit()
        assert (entry.what, dict(entry.selection)) == (
            "Queue.targets", {"queue": "q", "latency": "30"},
        )  # fmt: skip
