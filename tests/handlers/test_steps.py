"""The steps of a task: each is done once, its result kept, whatever else happens meanwhile."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
from collections.abc import Awaitable
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore, PayloadError, StaleLease
from rediq_trio.handlers.steps import Steps, read_inputs, read_steps
from rediq_trio.spec.messages import Failed
from rediq_trio.wire.envelope import pack_value
from rediq_trio.worker.leases import HeldLease, LeaseTable
from tests.actors.parts import Q, Watched, claim, new_task

pytestmark = pytest.mark.mock_clock


@attrs.define
class Call:
    """A function that counts its calls, and takes a second."""

    answer: Any = "done"
    count: int = 0

    async def __call__(self, *args: Any) -> Any:
        self.count += 1
        await trio.sleep(1)
        if isinstance(self.answer, Exception):
            raise self.answer
        return (self.answer, *args) if args else self.answer


@attrs.frozen
class Receipt:
    number: int
    at: dt.datetime


@dataclasses.dataclass(frozen=True)
class Parcel:
    weight: float


MOMENT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


async def first_attempt(store: Any) -> HeldLease:
    await store.enqueue(Q, [new_task(id="t", max_retry=5)])
    return await deliver(store)


async def deliver(store: Any) -> HeldLease:
    (held,) = await claim(store, LeaseTable())
    return held


async def next_attempt(store: Any, held: HeldLease) -> HeldLease:
    """Fail the attempt and claim the task again."""
    await store.settle(Q, [Failed(held.fence, "boom", 0)])
    await store.promote(Q, limit=1)
    return await deliver(store)


async def test_a_step_is_done_once_in_the_life_of_a_task() -> None:
    store, call = Watched(), Call()
    held = await first_attempt(store)
    for _ in range(3):
        steps = Steps(store, held)
        assert await steps.once("charge", call, 7) == ["done", 7]
        assert await steps.once("charge", call, 8) == ["done", 7]
        held = await next_attempt(store, held)
    assert call.count == 1


async def test_a_first_delivery_reads_nothing() -> None:
    store = Watched()
    steps = Steps(store, await first_attempt(store))
    await steps.once("a", Call())
    await steps.once("b", Call())
    assert (store.count("get"), store.count("remember")) == (0, 2)


async def test_a_later_delivery_reads_once() -> None:
    store = Watched()
    steps = Steps(store, await next_attempt(store, await first_attempt(store)))
    before = store.count("get")
    for name in "abc":
        await steps.once(name, Call())
    assert store.count("get") - before == 1


async def test_steps_are_told_apart_by_their_names() -> None:
    store = Watched()
    steps = Steps(store, await first_attempt(store))
    assert await steps.once("a", Call("a")) == "a"
    assert await steps.once("b", Call("b")) == "b"
    assert await steps.once("a", Call("c")) == "a"


async def test_two_calls_of_one_step_at_a_time_are_one() -> None:
    store, call = Watched(), Call()
    steps = Steps(store, await first_attempt(store))
    got: list[Any] = []

    async def ask() -> None:
        got.append(await steps.once("a", call))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        nursery.start_soon(ask)
    assert (got, call.count) == (["done", "done"], 1)


@pytest.mark.parametrize("again", [False, True], ids=["first attempt", "later attempt"])
async def test_two_steps_side_by_side_know_of_each_other(*, again: bool) -> None:
    store, calls = Watched(), [Call("a"), Call("b")]
    held = await first_attempt(store)
    steps = Steps(store, await next_attempt(store, held) if again else held)
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            begun = trio.current_time()
            for name, call in zip("ab", calls, strict=True):
                nursery.start_soon(steps.once, name, call)
        assert trio.current_time() - begun <= 1.01, "the one waited for the other"
    assert [call.count for call in calls] == [1, 1]


async def test_an_error_is_not_kept() -> None:
    store, call = Watched(), Call(ValueError("boom"))
    steps = Steps(store, await first_attempt(store))
    for _ in range(2):
        with pytest.raises(ValueError, match="boom"):
            await steps.once("a", call)
    call.answer = "well"
    assert await steps.once("a", call) == "well"
    assert call.count == 3


async def test_a_plain_function_is_a_step_too() -> None:
    store = Watched()
    held = await first_attempt(store)
    assert await Steps(store, held).once("a", sum, [1, 2]) == 3
    assert await Steps(store, await next_attempt(store, held)).once("a", sum, [9]) == 3


async def test_none_is_a_result_and_kept() -> None:
    store, call = Watched(), Call(None)
    held = await first_attempt(store)
    assert await Steps(store, held).once("a", call) is None
    assert await Steps(store, await next_attempt(store, held)).once("a", call) is None
    assert call.count == 1


async def pay(number: int) -> Receipt:
    await trio.lowlevel.checkpoint()
    return Receipt(number, MOMENT)


def weigh() -> list[Parcel]:
    return [Parcel(1.5)]


def later(number: int) -> Awaitable[Receipt]:
    return pay(number)


@pytest.mark.parametrize(
    ("function", "args", "expected"),
    [
        (pay, (3,), Receipt(3, MOMENT)),
        (weigh, (), [Parcel(1.5)]),
        (later, (3,), Receipt(3, MOMENT)),
        (functools.partial(pay, number=3), (), Receipt(3, MOMENT)),
    ],
)
async def test_a_result_is_what_the_function_gives_on_every_attempt(
    function: Any, args: tuple[Any, ...], expected: Any
) -> None:
    store = Watched()
    held = await first_attempt(store)
    for _ in range(2):
        assert await Steps(store, held).once("a", function, *args) == expected
        held = await next_attempt(store, held)


async def test_without_an_annotation_the_result_is_plain_on_every_attempt() -> None:
    store = Watched()
    held = await first_attempt(store)
    for _ in range(2):
        found = await Steps(store, held).once("a", lambda: pay(3))
        assert found == {"number": 3, "at": MOMENT.isoformat()}
        held = await next_attempt(store, held)


async def test_a_result_that_cannot_be_carried_is_an_error() -> None:
    store = Watched()
    steps = Steps(store, await first_attempt(store))
    with pytest.raises(PayloadError, match="result"):
        await steps.once("a", Call(object()))
    assert store.count("remember") == 0


async def test_a_step_of_a_lease_that_is_over_is_not_kept() -> None:
    store, call = Watched(), Call()
    held = await first_attempt(store)
    newer = await next_attempt(store, held)
    with pytest.raises(StaleLease, match=r"step 'a' of work/t: its lease is over"):
        await Steps(store, held).once("a", call)
    assert await Steps(store, newer).once("a", Call("newer")) == "newer"


async def test_a_step_waits_for_the_store_to_come_back() -> None:
    store, call = Watched(), Call()
    steps = Steps(store, await next_attempt(store, await first_attempt(store)))
    store.away = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(steps.once, "a", call)
        await trio.sleep(10)
        assert call.count == 0
        store.away = False
        await trio.sleep(1)
        store.away = True
        await trio.sleep(10)
        assert nursery.child_tasks
        store.away = False
    assert call.count == 1


async def test_a_lost_answer_does_not_repeat_a_step() -> None:
    store, call = Watched(), Call()
    held = await first_attempt(store)
    steps = Steps(store, held)
    store.deaf = 1
    assert await steps.once("a", call) == "done"
    assert await Steps(store, await next_attempt(store, held)).once("a", call) == "done"
    assert (call.count, store.count("remember")) == (1, 2)


async def test_a_cancelled_call_leaves_the_step_to_be_done_again() -> None:
    store, call = Watched(), Call()
    steps = Steps(store, await first_attempt(store))
    with trio.move_on_after(0.5):
        await steps.once("a", call)
    assert await steps.once("a", call) == "done"
    assert call.count == 2


@pytest.mark.parametrize("name", ["", "x" * 129, "a\nb", 5, None])
async def test_the_name_of_a_step_has_bounds(name: Any) -> None:
    app = rediq.App()

    @app.task("t", max_retry=0)
    async def handler() -> None:
        await rediq.current_task().once(name, Call())

    async with rediq.serve(app, MemoryStore()) as server:
        with pytest.raises(rediq.TaskFailed, match="ConfigError: step="):
            await (await server.client.enqueue(handler.task())).result(timeout=10)


@pytest.mark.parametrize("own", ["plain", "0190a0b0-c0d0-7e0f-8a0b-0c0d0e0f0a0b", "x" * 128])
@pytest.mark.parametrize("queue", ["", "other", "o" * 128])
def test_results_are_read_by_the_ids_of_their_tasks(queue: str, own: str) -> None:
    ref = f"{queue}/{own}" if queue else own
    inputs = ((ref, pack_value({"n": 1})), ("z", pack_value([b"\xff"])))
    expected = {f"{queue or 'mine'}/{own}": {"n": 1}, "mine/z": [b"\xff"]}
    assert read_inputs("mine", inputs) == expected


def test_steps_that_cannot_be_read_are_an_error() -> None:
    with pytest.raises(PayloadError, match="the kept steps cannot be decoded"):
        read_steps([("a", b"\x01"), ("", b"")])
