"""How long a stop takes: what is cancelled is over within the time for clean-ups."""

from __future__ import annotations

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import State
from rediq_trio.worker.worker import UNREGISTER_DEADLINE
from tests.actors.parts import Watched, record

pytestmark = pytest.mark.mock_clock

GRACE = 2.0


async def test_a_claim_that_is_not_answered_does_not_hold_up_a_stop() -> None:
    store = Watched()
    store.delay = lambda name: 15.0 if name == "claim" else 0.0
    with trio.move_on_after(1):
        async with rediq.serve(rediq.App(), store, cleanup_grace=GRACE):
            await trio.sleep_forever()
    assert trio.current_time() <= 1 + GRACE


async def test_a_handler_that_shields_itself_gives_its_task_back_within_the_grace() -> None:
    app, store = rediq.App(), Watched()

    @app.task("stubborn")
    async def stubborn() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(60)

    async def serve() -> None:
        with trio.move_on_after(1):
            async with rediq.serve(app, store, cleanup_grace=GRACE) as server:
                await server.client.enqueue(stubborn.options(id="t").task())
                await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        await trio.sleep(0.9)
        assert (await record(store, "t", "default")).state is State.ACTIVE
        await trio.sleep(0.1 + GRACE)
        assert (await record(store, "t", "default")).state is State.PENDING


async def test_while_redis_is_away_a_stop_takes_no_longer() -> None:
    app, store = rediq.App(), Watched()

    @app.task("sleep")
    async def sleep() -> None:
        await trio.sleep(60)

    with trio.move_on_after(1):
        async with rediq.serve(app, store, cleanup_grace=GRACE) as server:
            await server.client.enqueue(sleep.task())
            await trio.sleep(0.5)
            store.away = True
            await trio.sleep_forever()
    # Its record is not removed in this time either.
    assert trio.current_time() <= 1 + GRACE + UNREGISTER_DEADLINE


async def test_what_waits_for_its_start_is_given_back_when_the_stop_begins() -> None:
    app, store = rediq.App(), Watched()
    begun: list[str] = []

    @app.task("sleep")
    async def sleep() -> None:
        begun.append(rediq.current_task().id)
        await trio.sleep(0.8)

    async with rediq.serve(app, store, concurrency=1, prefetch=3) as server:
        handles = await server.client.enqueue_many([sleep.task() for _ in range(4)])
        await trio.sleep(0.5)
        assert server.stats().held == 4
    assert begun == [handles[0].id]
    left = [await record(store, each.id.partition("/")[2], "default") for each in handles]
    assert [each.state for each in left] == [State.COMPLETED, *[State.PENDING] * 3]
    assert [each.attempt for each in left[1:]] == [0] * 3
