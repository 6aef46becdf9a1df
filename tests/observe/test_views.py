from __future__ import annotations

import datetime as dt

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConnectionLost, MemoryStore, Task
from rediq_trio.observe.views import FleetView, look
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Failed
from tests.actors.parts import Watched
from tests.observe.views import queue


async def test_a_look_reads_all_queues_and_workers() -> None:
    store, app = MemoryStore(), rediq.App()

    @app.task("one")
    async def one() -> None: ...

    async with rediq.connect(store) as client:
        await client.enqueue_many([one.options(queue="b").task() for _ in range(3)])
        await client.enqueue(one.options(queue="a", delay=60).task())
        view = await look(client)
        assert [(each.name, each.waiting, each.rate) for each in view.queues] == [
            ("a", 1, None), ("b", 3, None),
        ]  # fmt: skip
        assert (view.workers, dict(view.unread), view.away) == ((), {}, None)
        for each in view.queues:
            assert each.stats == attrs.evolve(
                await client.queue(each.name).stats(),
                oldest_pending_age=each.stats.oldest_pending_age,
            )
        assert view.queue("b") is view.queues[1]
        assert view.queue("c") is None
        assert [each.name for each in (await look(client, ["b"])).queues] == ["b"]
        assert abs(dt.datetime.now(dt.UTC) - view.at) < dt.timedelta(minutes=1)


async def test_the_workers_that_serve_a_queue_are_named() -> None:
    store, app = MemoryStore(), rediq.App()

    @app.task("one")
    async def one() -> None: ...

    async with rediq.connect(store) as client:
        handle = await client.enqueue(one.options(queue="a").task())
        await client.enqueue(one.options(queue="b").task())
        async with rediq.serve(app, store, queues=["a"], name="w"):
            await handle.result(timeout=30)
            before = attrs.evolve(await look(client), at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
            view = await look(client)
            assert [worker.id for worker in view.workers] == ["w"]
            assert [each.workers for each in view.queues] == [("w",), ()]
        await client.enqueue(one.options(queue="a").task())
        async with rediq.serve(app, store, queues=["a"], burst=True) as server:
            await server.wait_stopped()
        seen = [attrs.evolve(each, at=view.at) for each in before.queues]
        after = await look(client, before=attrs.evolve(view, queues=tuple(seen)))
        found = after.queue("a")
        assert found is not None
        elapsed = (after.at - view.at).total_seconds()
        assert found.rate == pytest.approx(1 / elapsed)


def test_what_waits_is_what_runs_without_a_persons_doing() -> None:
    each = queue(**{state.value: 10**n for n, state in enumerate(State)})
    waits = (State.SCHEDULED, State.BLOCKED, State.GROUPED, State.PENDING, State.RETRY)
    assert each.waiting == sum(10**n for n, state in enumerate(State) if state in waits)
    assert each.tasks == int("1" * len(State))


async def test_nothing_can_be_read_while_redis_is_away() -> None:
    store = Watched()
    async with rediq.connect(store, patience=0) as client:
        await client.enqueue(rediq.Task("a", {}))
        store.away = True
        with pytest.raises(ConnectionLost):
            await look(client)
    assert FleetView.empty().queues == ()


async def test_a_queue_that_is_not_read_is_named_and_the_others_are_shown() -> None:
    store = Watched()
    async with rediq.connect(store, patience=0) as client:
        await client.enqueue_many([Task("t", queue=name) for name in ("a", "b")])
        store.away_queues = {"a"}
        view = await look(client)
        assert [each.name for each in view.queues] == ["b"]
        assert dict(view.unread) == {"a": "away"}
        with pytest.raises(ConnectionLost):
            await look(client, ["a"])


async def test_queues_are_read_one_by_one_if_not_all_can_be_read_at_once() -> None:
    class WithoutOverview(Watched):
        async def overview(self, queues: list[str]) -> None:
            raise ConnectionLost("away", sent=False)

    store = WithoutOverview()
    async with rediq.connect(store, patience=0) as client:
        await client.enqueue_many([Task("t", queue=name) for name in ("a", "b")])
        store.away_queues = {"a"}
        view = await look(client)
        assert [(each.name, each.stats.pending) for each in view.queues] == [("b", 1)]
        assert dict(view.unread) == {"a": "away"}


async def test_a_queue_with_pending_tasks_or_a_pause_is_read_by_itself() -> None:
    clock = [1_700_000_000_000]
    store = Watched(MemoryStore(lambda: clock[0]))
    async with rediq.connect(store) as client:
        await client.enqueue(Task("t", queue="pending"))
        for name in ("idle", "paused"):
            await client.enqueue(rediq.Task("t", queue=name, delay=3600))
        await client.queue("paused").pause("a deployment", by="ada")
        clock[0] += 5_000
        store.calls.clear()
        pending, paused = (await look(client, ["idle", "pending", "paused"])).queues[1:]
        assert store.count("stats") == 2
        assert pending.stats.oldest_pending_age == 5
        assert (paused.stats.paused_by, paused.stats.paused_reason) == ("ada", "a deployment")


async def test_a_view_of_some_queues_looks_at_no_schedule_and_no_server() -> None:
    store = Watched()
    async with rediq.connect(store) as client:
        await client.enqueue(Task("t", queue="a"))
        assert (await look(client, ["a"])).checked is None
        assert store.count("server_memory") == 0
        view = await look(client)
        assert view.checked is not None
        assert (await look(client, before=view)).checked is view.checked
        assert store.count("server_memory") == 1


async def test_what_is_known_of_the_last_minutes_is_not_read_again() -> None:
    store = Watched()
    async with rediq.connect(store) as client:
        await client.enqueue(Task("t", queue="a"))
        (lease,) = (
            await store.claim("a", limit=1, lease_ms=9000, worker="w", nonce=b"n" * 8)
        ).leases
        await store.settle("a", [Failed(lease.fence, "no", 0, final=True)])
        view = await look(client)
        store.calls.clear()
        (again,) = (await look(client, before=view)).queues
        assert again.recent == view.queues[0].recent
        assert [each for each in store.calls if each in ("series", "failures")] == []


async def test_a_quiet_worker_serves_no_queue() -> None:
    store, app = MemoryStore(), rediq.App()

    @app.task("one")
    async def one() -> None: ...

    async with (
        rediq.connect(store) as client,
        rediq.serve(app, store, queues=["a"], name="w"),
    ):
        await client.enqueue(one.options(queue="a", delay=3600).task())
        while not await client.workers():
            await trio.sleep(0.01)
        assert [each.workers for each in (await look(client)).queues] == [("w",)]
        await client.worker("w").quiet()
        assert [each.workers for each in (await look(client)).queues] == [()]


async def test_a_rate_needs_time_between_two_views_and_is_not_negative() -> None:
    async with rediq.connect(MemoryStore()) as client:
        await client.enqueue(Task("t", queue="a"))
        view = await look(client)
        minute = dt.timedelta(minutes=1)
        (earlier,) = view.queues
        earlier = attrs.evolve(earlier, stats=attrs.evolve(earlier.stats, completed_total=5))
        for at, rate in ((view.at - minute, 0), (view.at + minute, None)):
            before = attrs.evolve(view, queues=(attrs.evolve(earlier, at=at),))
            assert [each.rate for each in (await look(client, before=before)).queues] == [rate]


async def test_what_could_not_be_judged_is_in_the_view() -> None:
    class WithoutMemory(Watched):
        async def server_memory(self) -> None:
            raise ConnectionLost("no right", sent=False)

    async with rediq.connect(WithoutMemory(), patience=0) as client:
        await client.enqueue(Task("t", queue="a"))
        assert dict((await look(client)).unknown) == {"memory": "no right"}
