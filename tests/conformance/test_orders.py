"""Orders to workers: given, heard and forgotten alike by both stores."""

import trio

from rediq_trio.spec.messages import ORDERS_MAX, OrderAnswer, WorkerOrder, WorkerRecord
from rediq_trio.store.broadcast import Signal, SignalKind

from .bench import Bench, Q
from .test_signals import listening

FIRST, SECOND = WorkerOrder("1", b"\x00one"), WorkerOrder("2", b"two")


async def give(bench: Bench, *orders: WorkerOrder, to: str = "w#1") -> list[OrderAnswer]:
    return [await bench.store.order(to, order, queue=Q) for order in orders]


async def beat(bench: Bench, *ids: str, worker: str = "w#1") -> tuple[WorkerOrder, ...]:
    return await bench.store.register(WorkerRecord(worker, b"w", 50, ids))


async def test_a_worker_without_orders_hears_none(bench: Bench) -> None:
    assert await beat(bench) == ()
    assert await beat(bench, "1") == ()


async def test_orders_come_in_their_order_until_they_are_heard(bench: Bench) -> None:
    await beat(bench)
    assert await give(bench, FIRST, SECOND) == [OrderAnswer.GIVEN] * 2
    assert await beat(bench) == (FIRST, SECOND)
    assert await beat(bench, "1") == (SECOND,)
    assert await beat(bench) == (SECOND,)
    assert await beat(bench, "1", "2") == ()
    assert await beat(bench) == ()


async def test_an_order_that_is_given_again_is_one(bench: Bench) -> None:
    await beat(bench)
    assert await give(bench, FIRST, SECOND, FIRST) == [OrderAnswer.GIVEN] * 3
    assert await beat(bench) == (FIRST, SECOND)


async def test_an_order_is_for_one_worker(bench: Bench) -> None:
    await beat(bench)
    await beat(bench, worker="w#2")
    await give(bench, FIRST)
    assert await beat(bench, worker="w#2") == ()
    assert await beat(bench) == (FIRST,)


async def test_a_worker_that_is_not_alive_takes_no_order(bench: Bench) -> None:
    assert await give(bench, FIRST) == [OrderAnswer.NO_WORKER]
    await beat(bench)
    bench.clock.advance(49)
    assert await give(bench, FIRST) == [OrderAnswer.GIVEN]
    bench.clock.advance(1)
    assert await give(bench, FIRST) == [OrderAnswer.NO_WORKER]
    assert await beat(bench) == ()


async def test_orders_of_a_worker_that_fell_silent_are_forgotten(bench: Bench) -> None:
    await beat(bench)
    await give(bench, FIRST)
    bench.clock.advance(50)
    await beat(bench, worker="w#2")
    assert await beat(bench) == ()


async def test_orders_of_a_worker_that_leaves_are_forgotten(bench: Bench) -> None:
    await beat(bench)
    await give(bench, FIRST)
    await bench.store.unregister("w#1")
    assert await give(bench, FIRST) == [OrderAnswer.NO_WORKER]
    assert await beat(bench) == ()


async def test_few_orders_wait_to_be_heard(bench: Bench) -> None:
    await beat(bench)
    orders = [WorkerOrder(str(n), b"o") for n in range(ORDERS_MAX)]
    assert set(await give(bench, *orders)) == {OrderAnswer.GIVEN}
    more = WorkerOrder("more", b"o")
    assert await give(bench, more, orders[0]) == [OrderAnswer.TOO_MANY, OrderAnswer.GIVEN]
    assert await beat(bench, "0") == tuple(orders[1:])
    assert await give(bench, more) == [OrderAnswer.GIVEN]


async def test_a_worker_is_notified_of_an_order(bench: Bench) -> None:
    await beat(bench)
    async with listening(bench) as signals:
        await give(bench, FIRST)
        with trio.fail_after(10):
            assert await signals.receive() == Signal(Q, SignalKind.ORDER, "w#1")
        await give(bench, FIRST)


async def test_one_worker_can_be_read_alone(bench: Bench) -> None:
    await bench.store.register(WorkerRecord("w1", b"one", 50))
    await bench.store.register(WorkerRecord("w2", b"two", 100))
    assert await bench.store.workers("w1") == (b"one",)
    assert await bench.store.workers("none") == ()
    bench.clock.advance(50)
    assert await bench.store.workers("w1") == ()
    assert await bench.store.workers("w2") == (b"two",)
