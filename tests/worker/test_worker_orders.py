"""Orders to live workers, in memory and on Redis: heard soon, by the worker meant, and once."""

from __future__ import annotations

import threading
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConfigError, MemoryStore, OrderRefused, State, WorkerInfo, WorkerNotFound
from rediq_trio.spec.messages import ORDERS_MAX, WorkerOrder, WorkerRecord
from rediq_trio.tasks.task_info import pack_worker_info, read_worker_info
from rediq_trio.wire.orders import pack_order
from rediq_trio.worker.reporting.orders import STACKS_KEPT, OrderInbox
from tests.actors.parts import Watched
from tests.servers import Server

WITHIN = 20.0
"""Seconds that anything may take on a busy machine."""
SOON = 5.0
"""Seconds within which an order is heard here; a beat comes every 20 s. Usually it is 0.05."""
app = rediq.App("ordered")


@app.task("one")
async def one() -> int:
    return 1


@app.task("hold")
async def hold() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever, name="a child")
        await trio.sleep_forever()


@app.task("brief")
async def brief() -> str:
    while not rediq.current_task().shutting_down:
        await trio.sleep(0.01)
    return "ended in order"


LET_GO = threading.Event()


@app.task("in-thread")
def in_thread() -> None:
    LET_GO.wait(WITHIN)


@attrs.frozen
class Place:
    """A store for workers and clients of one test."""

    url: Any
    prefix: str

    @asynccontextmanager
    async def serve(self, **options: Any) -> AsyncIterator[rediq.Server]:
        given = {"name": "w", "lease": 60, "shutdown_grace": 0, "key_prefix": self.prefix}
        async with rediq.serve(app, self.url, **(given | options)) as server:
            await known(server.client, server.info().instance)
            yield server


@pytest.fixture(params=["memory", "redis"])
def place(request: pytest.FixtureRequest) -> Place:
    prefix = f"orders-{uuid.uuid4().hex[:8]}"
    if request.param == "memory":
        return Place(MemoryStore(), prefix)
    server: Server = request.getfixturevalue("redis_server")
    return Place(server.url, prefix)


async def known(client: rediq.Client, instance: str | None) -> None:
    """Wait until a worker's first record is written."""
    assert instance is not None
    await eventually(client._store.workers, lambda found: found, instance)


async def eventually(look: Any, fits: Callable[[Any], Any], *args: Any) -> Any:
    with trio.fail_after(WITHIN):
        while not fits(found := await look(*args)):
            await trio.sleep(0.02)
    return found


async def state_of(client: rediq.Client, worker: str = "w") -> tuple[str | None, int | None]:
    info = await client.worker(worker).info()
    return info.state, info.running


async def test_a_quiet_worker_claims_nothing_and_goes_on_with_what_runs(place: Place) -> None:
    async with place.serve(concurrency=5) as server:
        client, worker = server.client, server.client.worker("w")
        running = await client.enqueue(hold.task())
        await eventually(running.info, lambda info: info.state is State.ACTIVE)
        with trio.fail_after(SOON):
            await worker.quiet()
        assert await state_of(client) == ("quiet", 1)
        waiting = await client.enqueue(one.task())
        await trio.sleep(0.3)
        assert (await waiting.info()).state is State.PENDING
        assert (await running.info()).state is State.ACTIVE
        with trio.fail_after(SOON):
            await worker.work()
            assert await waiting.result() == 1
        assert await state_of(client) == ("working", 1)


async def test_a_quiet_worker_does_a_keepers_duties(place: Place) -> None:
    async with place.serve() as server:
        await server.client.worker("w").quiet()
        handle = await server.client.enqueue(one.options(delay=0.1).task())
        await eventually(handle.info, lambda info: info.state is State.PENDING)


async def test_a_quiet_worker_stays_healthy_and_claims_nothing_of_many_queues(
    place: Place,
) -> None:
    queues = {f"q{n}": n + 1 for n in range(20)}
    async with place.serve(queues=queues) as server:
        await server.client.worker("w").quiet()
        handles = [await server.client.enqueue(one.options(queue=q).task()) for q in queues]
        await trio.sleep(1.2)
        assert {(await handle.info()).state for handle in handles} == {State.PENDING}
        assert server.health().ready
        assert server.health().last_poll < 15
        await server.client.worker("w").work()
        for handle in handles:
            assert await handle.result(timeout=WITHIN) == 1


async def test_orders_that_are_repeated_do_no_harm(place: Place) -> None:
    async with place.serve() as server:
        worker = server.client.worker("w")
        for _ in range(2):
            await worker.quiet()
        for _ in range(2):
            await worker.work()
        assert (await state_of(server.client))[0] == "working"
        info = await worker.info()
        assert info.orders is not None
        assert [order.name for order in info.orders] == ["quiet", "quiet", "work", "work"]
        assert len({order.id for order in info.orders}) == 4
        assert info.orders == tuple(sorted(info.orders, key=lambda order: order.received_at))


async def test_an_order_given_again_after_a_later_one_is_not_carried_out_again(
    place: Place,
) -> None:
    async with place.serve() as server:
        client, store = server.client, server.client._store
        info = await client.worker("w").info()
        assert info.instance is not None
        first = WorkerOrder("first", pack_order("quiet"))
        await store.order(info.instance, first, queue="default")
        await eventually(state_of, lambda found: found[0] == "quiet", client)
        await client.worker("w").work()
        # As after an answer that was lost.
        await store.order(info.instance, first, queue="default")
        assert await client.worker("w").stacks() == {}
        assert (await state_of(client))[0] == "working"


async def test_an_order_goes_to_one_of_two_workers_of_one_name(place: Place) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(place.serve())
        second = await stack.enter_async_context(place.serve())
        client = first.client
        with pytest.raises(ConfigError, match="2 live workers have this name") as caught:
            await client.worker("w").quiet()
        mine, other = first.info().instance, second.info().instance
        assert mine is not None
        assert other is not None
        assert mine in str(caught.value)
        assert other in str(caught.value)
        await client.worker(mine).quiet()
        assert (await state_of(client, mine))[0] == "quiet"
        assert (await state_of(client, other))[0] == "working"


@pytest.mark.parametrize("name", ["nobody", "v", "w#00000000", "\x1b[31m"])
async def test_an_unknown_worker_is_a_clear_error(place: Place, name: str) -> None:
    async with place.serve(name="w-of-mail") as server:
        for call in ("info", "quiet", "work", "stop", "stacks"):
            with pytest.raises(WorkerNotFound, match="no live worker is named") as caught:
                await getattr(server.client.worker(name), call)()
            assert "live are w-of-mail" in str(caught.value)
            assert "\x1b" not in str(caught.value)
        with pytest.raises(WorkerNotFound, match="did you mean w-of-mail"):
            await server.client.worker("w-of-mial").quiet()


@pytest.mark.parametrize("name", ["", "x" * 301, 5, None, "\ud800"])
async def test_a_name_that_no_worker_can_have_is_refused(name: Any) -> None:
    async with rediq.connect(MemoryStore()) as client:
        with pytest.raises(ConfigError, match="worker="):
            client.worker(name)


async def test_without_a_live_worker_an_order_says_so(place: Place) -> None:
    async with rediq.connect(place.url, key_prefix=place.prefix) as client:
        with pytest.raises(WorkerNotFound, match="no worker is alive"):
            await client.worker("w").quiet()


async def test_a_stop_lets_handlers_end_within_its_grace(place: Place) -> None:
    async with place.serve(shutdown_grace=0) as server:
        handle = await server.client.enqueue(brief.task())
        await eventually(handle.info, lambda info: info.state is State.ACTIVE)
        with trio.fail_after(SOON):
            await server.client.worker("w").stop(grace=WITHIN)
        with trio.fail_after(WITHIN):
            await server.wait_stopped()
        assert await handle.result(timeout=1) == "ended in order"
        assert await server.client.workers() == []
        with pytest.raises(WorkerNotFound):
            await server.client.worker("w").stop()


async def test_a_stop_ends_handlers_after_its_grace_and_a_second_can_shorten_it(
    place: Place,
) -> None:
    async with place.serve(shutdown_grace=3600) as server:
        handle = await server.client.enqueue(hold.task())
        await eventually(handle.info, lambda info: info.state is State.ACTIVE)
        await server.client.worker("w").stop(grace=3000)
        assert await state_of(server.client) == ("stopping", 1)
        await server.client.worker("w").stop(grace=4000)
        assert not server._worker.finished.is_set()
        with trio.fail_after(WITHIN):
            await server.client.worker("w").stop(grace=0.1)
            await server.wait_stopped()
        info = await handle.info()
        assert (info.state, info.attempt) == (State.PENDING, 0)


@pytest.mark.parametrize("grace", [-1, 86_401, float("nan"), "soon", True])
async def test_a_grace_out_of_its_bounds_is_refused(place: Place, grace: Any) -> None:
    async with place.serve() as server:
        with pytest.raises(ConfigError, match="grace="):
            await server.client.worker("w").stop(grace=grace)
        assert (await state_of(server.client))[0] == "working"


async def test_stacks_show_the_tasks_of_each_attempt_and_no_values(place: Place) -> None:
    LET_GO.clear()
    async with place.serve(concurrency=3) as server:
        client, worker = server.client, server.client.worker("w")
        assert await worker.stacks() == {}
        nursery = await client.enqueue(hold.task())
        thread = await client.enqueue(in_thread.task())
        for handle in (nursery, thread):
            await eventually(handle.info, lambda info: info.state is State.ACTIVE)
        await eventually(worker.stacks, lambda found: "in in_thread" in found.get(thread.id, ""))
        with trio.fail_after(SOON):
            found = await worker.stacks()
        LET_GO.set()
    assert found.keys() == {nursery.id, thread.id}
    first = found[nursery.id].splitlines()
    assert first[0] == "hold"
    assert any(line.endswith(" in hold") and __file__ in line for line in first)
    child = first.index("  a child")
    assert first[child + 1].startswith("    ")
    assert "sleep_forever" in first[child + 1]
    assert "its thread" in found[thread.id].splitlines()


async def test_where_payloads_are_encrypted_stacks_hold_code_only(place: Place) -> None:
    pytest.importorskip("cryptography")
    keys = rediq.Encryption(keys=[rediq.Encryption.generate_key()])
    async with place.serve(encryption=keys) as server:
        handle = await server.client.enqueue(hold.task())
        await eventually(handle.info, lambda info: info.state is State.ACTIVE)
        (text,) = (await server.client.worker("w").stacks()).values()
        for line in text.splitlines():
            known_line = line.strip() in ("hold", "sleep_forever") or " in " in line or "..." in line
            assert known_line, line
        # The name that the handler gave to a task may be a text of its payload.
        assert "a child" not in text


async def test_an_order_is_heard_when_redis_is_there_again() -> None:
    watched = Watched()
    store: Any = watched
    async with (
        rediq.serve(app, store, name="w", lease=60, shutdown_grace=0) as server,
        rediq.connect(watched.store) as client,
    ):
        info = await eventually(client.workers, lambda found: found)
        assert info[0].state == "working"
        watched.away = True
        done = trio.Event()

        async def order() -> None:
            await client.worker("w").quiet()
            done.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(order)
            await trio.sleep(0.5)
            assert not done.is_set()
            assert not server._worker.poller.quiet
            watched.away = False
            with trio.fail_after(WITHIN):
                await done.wait()
        assert (await state_of(client))[0] == "quiet"


async def test_an_order_is_heard_though_the_answers_to_it_are_lost() -> None:
    watched = Watched()
    store: Any = watched
    async with rediq.serve(app, store, name="w", lease=60, shutdown_grace=0) as server:
        await eventually(server.client.workers, lambda found: found)
        for name in ("quiet", "work", "quiet"):
            watched.deaf = 3
            with trio.fail_after(WITHIN):
                await getattr(server.client.worker("w"), name)()
        info = await server.client.worker("w").info()
        assert [order.name for order in info.orders or ()] == ["quiet", "work", "quiet"]


def older(info: WorkerInfo) -> bytes:
    """Pack a record as a version without orders did."""
    return pack_worker_info(attrs.evolve(info, orders=None))


async def test_a_worker_of_an_older_version_takes_no_order(place: Place) -> None:
    async with place.serve() as server:
        old = attrs.evolve(server.info(), id="old", instance="old#1", version="0.1.0")
        await server.client._store.register(WorkerRecord("old#1", older(old), 60_000))
        with pytest.raises(OrderRefused, match=r"worker old .*0\.1\.0, takes none: upgrade it"):
            await server.client.worker("old").quiet()


async def test_an_order_that_a_worker_does_not_know_is_answered(place: Place) -> None:
    async with place.serve() as server:
        worker = server.client.worker("w")
        with pytest.raises(OrderRefused, match="does not know it: upgrade the worker"):
            await worker._order("dance")
        store, instance = server.client._store, server.info().instance
        assert instance is not None
        await store.order(instance, WorkerOrder("bad", b"\xc1"), queue="default")
        info = await eventually(worker.info, lambda info: len(info.orders) == 2)
        assert info.orders[1].refused == "the order cannot be decoded"
        assert info.state == "working"


async def test_a_worker_that_hears_nothing_takes_a_bounded_number_of_orders() -> None:
    store = MemoryStore()
    async with rediq.serve(app, store, name="real") as server:
        deaf = attrs.evolve(server.info(), id="deaf", instance="deaf#1")
        await store.register(WorkerRecord("deaf#1", pack_worker_info(deaf), 60_000))
        for n in range(ORDERS_MAX):
            await store.order("deaf#1", WorkerOrder(str(n), pack_order("work")), queue="default")
        with pytest.raises(OrderRefused, match="16 orders wait to be received"):
            await server.client.worker("deaf").quiet()


async def test_a_worker_that_ends_before_it_hears_is_an_error() -> None:
    store = MemoryStore()
    async with rediq.serve(app, store, name="real") as server:
        deaf = attrs.evolve(server.info(), id="deaf", instance="deaf#1")
        await store.register(WorkerRecord("deaf#1", pack_worker_info(deaf), 500))
        with trio.fail_after(WITHIN), pytest.raises(WorkerNotFound, match="it ended before"):
            await server.client.worker("deaf").quiet()
        await store.register(WorkerRecord("deaf#1", pack_worker_info(deaf), 500))
        with trio.fail_after(WITHIN):
            await server.client.worker("deaf").stop()


@pytest.mark.mock_clock
async def test_stacks_are_forgotten_after_a_while() -> None:
    async def nothing() -> None: ...

    book = OrderInbox("w", nothing, lambda: None, lambda _: None, lambda: {"q/t": "here"})
    assert await book.receive([WorkerOrder("1", pack_order("stacks"))])
    assert [order.stacks for order in book.shown()] == [{"q/t": "here"}]
    await trio.sleep(STACKS_KEPT)
    assert [order.stacks for order in book.shown()] == [None]
    assert not await book.receive([WorkerOrder("1", pack_order("stacks"))])


async def test_orders_of_a_record_are_read_as_they_were_written() -> None:
    store = MemoryStore()
    async with rediq.serve(app, store, name="w") as server:
        await eventually(server.client.workers, lambda found: found)
        await server.client.worker("w").stacks()
        info = server.info()
        read = read_worker_info(pack_worker_info(info))
        assert read.orders is not None
        assert info.orders is not None
        assert [(o.id, o.name, o.refused, o.stacks) for o in read.orders] == [
            (o.id, o.name, o.refused, o.stacks) for o in info.orders
        ]


async def test_a_handler_may_order_its_own_worker(place: Place) -> None:
    async with place.serve() as server:
        mine = rediq.Task("order-mine")
        handle = await server.client.enqueue(mine)
        assert await handle.result(timeout=WITHIN) == "quiet"


@app.task("order-mine")
async def order_mine() -> str | None:
    client = rediq.current_task().client
    await client.worker("w").quiet()
    return (await client.worker("w").info()).state
