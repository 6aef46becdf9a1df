from __future__ import annotations

import datetime as dt

import attrs
import pytest

import rediq_trio as rediq
from rediq_trio import ConnectionLost, MemoryStore
from rediq_trio.observe.views import FleetView, look
from rediq_trio.spec.lifecycle import State
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
