from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import trio
import trio.testing

import rediq_trio as rediq
from rediq_trio.settings import Settings
from rediq_trio.worker.health import ACTOR_OVERDUE, POLL_OVERDUE, REDIS_AWAY_MAX
from tests.actors.parts import PLAIN, Watched

pytestmark = pytest.mark.mock_clock

app = rediq.App()
LONG = 20 * max(POLL_OVERDUE, REDIS_AWAY_MAX, ACTOR_OVERDUE)


@app.task("waits", timeout=math.inf)
async def waits(seconds: float) -> None:
    await trio.sleep(seconds)


@app.task("waits-in-a-thread", timeout=math.inf)
def waits_in_a_thread() -> None:
    released.wait(60)


released = threading.Event()


class Silent(Watched):
    """A store that never answers some of its calls."""

    def __init__(self, *methods: str) -> None:
        super().__init__()
        self.silent = {*methods}

    def __getattr__(self, name: str) -> Any:
        method = super().__getattr__(name)
        if name in PLAIN:
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            if name in self.silent:
                await trio.sleep_forever()
            return await method(*args, **kwargs)

        return call


async def observed(server: rediq.Server, seconds: float) -> list[rediq.Health]:
    """Look at a worker's health, often, for some time."""
    seen: list[rediq.Health] = []
    end = trio.current_time() + seconds
    while trio.current_time() < end:
        seen.append(server.health())
        await trio.sleep(0.37)
    return seen


def complaints(seen: Iterable[rediq.Health]) -> set[str]:
    return {reason for health in seen for reason in health.reasons}


async def when(server: rediq.Server, condition: Callable[[rediq.Health], bool]) -> rediq.Health:
    """Wait for a health that meets a condition."""
    with trio.fail_after(3600):
        while not condition(health := server.health()):
            await trio.sleep(0.1)
    return health


async def test_a_worker_that_has_nothing_to_do_is_healthy() -> None:
    async with rediq.serve(app, "memory://") as server:
        seen = await observed(server, LONG)
    assert complaints(seen) == set()
    assert all(h.healthy and h.alive and h.ready and h.connected for h in seen)
    assert max(h.last_poll for h in seen) < POLL_OVERDUE / 2
    assert max(h.last_beat for h in seen) <= 10.0
    assert len(seen) > 100


async def test_a_full_one_is_healthy_while_its_attempts_run() -> None:
    async with rediq.serve(app, "memory://", concurrency=2) as server:
        await server.client.enqueue_many([waits.task(seconds=LONG)] * 5)
        await when(server, lambda _: server.stats().running == 2)
        seen = await observed(server, LONG - 10)
        assert server.stats().held == 2
        await server.client.queue("default").flush()
    assert complaints(seen) == set()


async def test_one_whose_queue_is_paused_is_healthy() -> None:
    async with rediq.serve(app, "memory://") as server:
        await server.client.queue("default").pause()
        await server.client.enqueue(waits.task(seconds=0))
        seen = await observed(server, LONG)
        assert (await server.client.queue("default").stats()).pending == 1
    assert complaints(seen) == set()


async def test_one_whose_handlers_take_long_in_their_threads_is_healthy() -> None:
    released.clear()
    async with rediq.serve(app, "memory://", concurrency=2, threads=2) as server:
        try:
            await server.client.enqueue_many([waits_in_a_thread.task()] * 3)
            await when(server, lambda _: server.stats().running == 2)
            seen = await observed(server, LONG)
            assert server.stats().running == 2
        finally:
            released.set()
    assert complaints(seen) == set()


@pytest.mark.parametrize("lease", [0.5, 3600.0])
async def test_one_with_a_short_or_a_long_lease_is_healthy(lease: float) -> None:
    async with rediq.serve(app, "memory://", lease=lease) as server:
        seen = await observed(server, max(LONG, 2 * lease))
    # The watchdog goes by the real clock: a busy machine may hold the loop up for a sixth of a second.
    assert {
        said for said in complaints(seen) if "the event loop has been blocked" not in said
    } == set()


@pytest.mark.parametrize("silent", ["heartbeat", "settler", "keeper"])
async def test_an_actor_that_hangs_is_what_a_restart_would_mend(silent: str) -> None:
    methods = {"heartbeat": "register", "settler": "settle", "keeper": "reclaim"}
    store = Silent()
    async with rediq.serve(app, store, cleanup_grace=1.0) as server:
        await observed(server, LONG)
        store.silent.add(methods[silent])
        await server.client.enqueue(waits.task(seconds=0))
        health = await when(server, lambda h: not h.alive)
        assert not health.ready
        assert f"the {silent} has made no progress for" in health.reasons[0]
        assert len([r for r in health.reasons if "made no progress" in r]) == 1


async def test_claims_that_are_never_answered_make_it_unready_and_no_restart_would_help() -> None:
    store = Silent()
    async with rediq.serve(app, store, cleanup_grace=1.0) as server:
        await observed(server, LONG)
        store.silent.add("claim")
        begun = trio.current_time()
        health = await when(server, lambda h: not h.ready)
        assert trio.current_time() - begun <= POLL_OVERDUE + 1
        assert health.reasons[0].startswith("the poller has had no answer for 15 s")
        assert health.alive
        seen = await observed(server, LONG)
        assert all(h.alive and not h.ready for h in seen)
        store.silent.clear()
        health = await when(server, lambda h: h.ready)
        assert health.reasons == ()


async def test_while_redis_is_away_it_is_alive_and_not_ready_and_comes_back_by_itself() -> None:
    store = Watched()
    async with rediq.serve(app, store) as server:
        await observed(server, LONG)
        store.away = True
        begun = trio.current_time()
        health = await when(server, lambda h: not h.ready)
        assert REDIS_AWAY_MAX - 6 <= trio.current_time() - begun <= REDIS_AWAY_MAX + 1
        assert not health.connected
        # An idle poller, which looks every 4 to 6 s, may have had its last answer before that.
        late = ("the poller has had no answer for 15 s", "Redis has not answered for 10 s")
        assert {*health.reasons} <= {*late}
        health = await when(server, lambda h: late[1] in h.reasons)
        assert trio.current_time() - begun <= REDIS_AWAY_MAX + 1
        seen = await observed(server, LONG)
        assert all(h.alive and not h.ready for h in seen)
        assert "the heartbeat has not succeeded for" in " ".join(seen[-1].reasons)
        store.away = False
        assert (await when(server, lambda h: h.ready)).connected


async def test_a_full_worker_knows_as_well_that_redis_is_away() -> None:
    store = Watched()
    async with rediq.serve(app, store, concurrency=1, lease=3600) as server:
        await server.client.enqueue(waits.task(seconds=LONG))
        await when(server, lambda _: server.stats().running == 1)
        store.away = True
        begun = trio.current_time()
        await when(server, lambda h: not h.ready)
        assert trio.current_time() - begun <= REDIS_AWAY_MAX + 5
        store.away = False


async def test_a_short_absence_of_redis_goes_unnoticed() -> None:
    store = Watched()
    async with rediq.serve(app, store) as server:
        await observed(server, LONG)
        store.away = True
        seen = await observed(server, REDIS_AWAY_MAX / 3)
        store.away = False
        seen += await observed(server, LONG)
    assert complaints(seen) == set()


async def test_a_worker_that_stops_is_alive_and_not_ready_until_its_end() -> None:
    async with rediq.serve(app, "memory://", shutdown_grace=600) as server:
        await server.client.enqueue(waits.task(seconds=500))
        await when(server, lambda _: server.stats().running == 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.stop)
            await trio.testing.wait_all_tasks_blocked()
            seen = await observed(server, 400)
        assert complaints(seen) == {"the worker is stopping"}
        assert all(h.alive and not h.ready for h in seen)
    assert server.health().reasons == ("the worker has stopped",)
    assert server.health().alive


async def test_it_can_be_asked_from_another_thread() -> None:
    async with rediq.serve(app, "memory://") as server:
        await observed(server, LONG)
        there = await trio.to_thread.run_sync(server.health)
        assert there.ready
        assert 0 <= there.last_beat <= Settings().beat + 1
