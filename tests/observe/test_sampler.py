from __future__ import annotations

import pytest
import trio

import rediq_trio as rediq
from rediq_trio.observe.sampler import sampling
from tests.actors.parts import Watched

pytestmark = pytest.mark.mock_clock


async def test_nobody_looks_and_nothing_is_read() -> None:
    async with rediq.connect(Watched()) as client, sampling(client, every=2) as sampler:
        await trio.sleep(100)
        assert sampler.readings == 0


async def test_many_viewers_cost_what_one_does() -> None:
    readings = []
    for viewers in (1, 20):
        async with rediq.connect(Watched()) as client, sampling(client, every=2) as sampler:

            async def look(sampler: object = sampler) -> None:
                with sampler.views() as views:  # type: ignore[attr-defined]
                    for _ in range(5):
                        await views.receive()

            async with trio.open_nursery() as nursery:
                for _ in range(viewers):
                    nursery.start_soon(look)
            readings.append(sampler.readings)
    assert readings == [5, 5]


async def test_reading_stops_with_the_last_viewer_and_begins_with_the_next() -> None:
    async with rediq.connect(Watched()) as client, sampling(client, every=2) as sampler:
        with sampler.views() as views:
            await views.receive()
        await trio.sleep(100)
        before = sampler.readings
        assert before <= 2
        await client.enqueue(rediq.Task("a", {}))
        with sampler.views() as views:
            view = await views.receive()
        assert [each.name for each in view.queues] == ["default"]
        assert view.queues[0].rate is None  # the view before is too old to compare with
        assert sampler.readings == before + 1


async def test_a_second_viewer_gets_what_the_first_sees_at_once() -> None:
    async with rediq.connect(Watched()) as client, sampling(client, every=2) as sampler:
        with sampler.views() as first:
            seen = await first.receive()
            with sampler.views() as second:
                assert second.receive_nowait() is seen


async def test_a_slow_viewer_gets_the_newest_view_only() -> None:
    async with rediq.connect(Watched()) as client, sampling(client, every=2) as sampler:
        with sampler.views() as views:
            await views.receive()
            await client.enqueue(rediq.Task("a", {}))
            await trio.sleep(21)
            view = views.receive_nowait()
            assert [each.stats.pending for each in view.queues] == [1]
            with pytest.raises(trio.WouldBlock):
                views.receive_nowait()


async def test_while_redis_is_away_the_views_are_those_of_before() -> None:
    store = Watched()
    async with rediq.connect(store, patience=0) as client, sampling(client, every=2) as sampler:
        await client.enqueue(rediq.Task("a", {}))
        with sampler.views() as views:
            good = await views.receive()
            store.away = True
            bad = await views.receive()
            assert (bad.queues, bad.at) == (good.queues, good.at)
            assert bad.away
            assert good.away is None
            store.away = False
            assert (await views.receive()).away is None
