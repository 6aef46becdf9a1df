from __future__ import annotations

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore
from tests.actors.parts import Watched

pytestmark = pytest.mark.mock_clock

app = rediq.App()


@app.task("nap", queue="emails", timeout=1000)
async def nap(seconds: float = 0) -> None:
    await trio.sleep(seconds)


async def said(handle: rediq.TaskHandle[None] | rediq.WorkflowHandle[None]) -> str:
    with pytest.raises(trio.TooSlowError) as caught:
        await handle.result(timeout=2)
    with pytest.raises(trio.TooSlowError) as waited:
        await handle.wait(timeout=2)
    assert str(caught.value) == str(waited.value)
    return str(caught.value)


async def test_a_queue_that_nobody_serves_is_named() -> None:
    async with rediq.serve(app, MemoryStore()) as server:
        handle = await server.client.enqueue(nap.task())
        assert await said(handle) == (
            f"task {handle.id} has not ended after 2 s: it is pending, and no live worker serves the "
            'queue emails: start one with queues=["emails"], or rediq run ... --queues emails'
        )


async def test_the_state_is_said_and_how_many_workers_serve_the_queue() -> None:
    async with rediq.serve(app, MemoryStore(), queues=["emails"]) as server:
        handle = await server.client.enqueue(nap.options(delay=60).task())
        assert (await said(handle)).endswith(
            ": it is scheduled; live workers that serve the queue emails: 1"
        )
        running = await server.client.enqueue(nap.task(100))
        name = server.info().id
        assert (await said(running)).endswith(f": it is active, in worker {name}")


async def test_a_workflow_names_the_node_that_holds_it_up() -> None:
    async with rediq.serve(app, MemoryStore(), queues=["emails"]) as server:
        flow = rediq.Workflow[None]("two")
        first = flow.add(nap.task(100), "first")
        flow.add(nap.task(), "second", after=first)
        handle = await server.client.enqueue(flow)
        text = await said(handle)
        assert text.startswith(f"node 'first': task {handle.handles['first'].id} has not ended")


async def test_a_store_that_is_away_is_said_and_ends_the_wait() -> None:
    store = Watched()
    client = rediq.Client(store)
    handle = await client.enqueue(nap.task())

    async def leave() -> None:
        await trio.sleep(1)
        store.away = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(leave)
        with pytest.raises(trio.TooSlowError, match="Redis does not answer: away"):
            await handle.result(timeout=10)


async def test_a_store_that_hangs_does_not_hold_up_the_error() -> None:
    class Hanging(Watched):
        async def workers(self) -> tuple[bytes, ...]:
            await trio.sleep_forever()
            raise AssertionError

    handle = await rediq.Client(Hanging()).enqueue(nap.task())
    began = trio.current_time()
    with pytest.raises(
        trio.TooSlowError, match="has not ended after 5 s, and Redis does not answer"
    ):
        await handle.result(timeout=5)
    assert trio.current_time() - began == pytest.approx(6)
