"""Converters of an app: its own types as arguments, results and results of steps."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConfigError, Converter, MemoryStore, PayloadError, State
from rediq_trio.wire.structuring import Conversions, make_structurer, to_plain

pytestmark = pytest.mark.mock_clock


class Money:
    """A type of which nobody knows how it is carried."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(self.cents)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.cents})"


class Tip(Money):
    pass


class Fee(Money):
    pass


@dataclasses.dataclass
class Line:
    price: Money
    note: Money | None = None


@attrs.frozen
class Order:
    lines: list[Line]
    total: Money


def load(cents: Any, kind: type[Money]) -> Money:
    return kind(cents)


MONEY = Converter(Money, to_plain=lambda money: money.cents, from_plain=load)
ONE, NINE = Money(1), Money(9)
ORDER = Order([Line(Money(1)), Line(Money(2), Money(3))], Money(6))


def carried(value: Any, kind: Any, *converters: Converter[Any]) -> tuple[Any, Any]:
    """Return the plain data, and what is restored of it."""
    conversions = Conversions(converters)
    plain = to_plain(value, "value", conversions)
    structure = make_structurer(kind, "", conversions)
    assert structure is not None
    return plain, structure(plain)


@pytest.mark.parametrize(
    ("value", "kind", "plain"),
    [
        (Money(5), Money, 5),
        ([Money(1), Money(2)], list[Money], [1, 2]),
        ({"a": [Money(1)]}, dict[str, list[Money]], {"a": [1]}),
        ((Money(1), "x"), tuple[Money, str], [1, "x"]),
        (None, Money | None, None),
        (Money(7), Money | None, 7),
        (
            ORDER, Order,
            {"lines": [{"price": 1, "note": None}, {"price": 2, "note": 3}], "total": 6},
        ),
    ],
)  # fmt: skip
def test_a_value_is_converted_and_restored_at_any_depth(value: Any, kind: Any, plain: Any) -> None:
    assert carried(value, kind, MONEY) == (plain, value)


def test_a_converter_is_for_subclasses_and_gets_the_class_of_the_annotation() -> None:
    assert carried([Tip(1), Money(2)], list[Money], MONEY) == ([1, 2], [Money(1), Money(2)])
    assert carried([Tip(1)], list[Tip], MONEY) == ([1], [Tip(1)])


def test_the_converter_of_the_nearest_class_is_taken() -> None:
    tip = Converter(Tip, lambda tip: str(tip.cents), lambda text, kind: kind(int(text)))
    for both in ((MONEY, tip), (tip, MONEY)):
        assert to_plain([Tip(1), Fee(2)], "value", Conversions(both)) == ["1", 2]
        assert carried(Tip(1), Tip, *both) == ("1", Tip(1))
        assert carried(Fee(2), Fee, *both) == (2, Fee(2))


def test_a_converter_takes_precedence_over_the_library() -> None:
    number = Converter(decimal.Decimal, float, lambda number, kind: kind(number))
    assert carried(decimal.Decimal("1.5"), decimal.Decimal, number) == (1.5, decimal.Decimal("1.5"))
    line = Converter(Line, lambda line: line.price.cents, lambda cents, kind: kind(Money(cents)))
    assert carried(Order([Line(Money(1))], Money(2)), Order, MONEY, line) == (
        {"lines": [1], "total": 2},
        Order([Line(Money(1))], Money(2)),
    )
    stamp = Converter(
        dt.datetime, dt.datetime.timestamp, lambda at, _: dt.datetime.fromtimestamp(at, dt.UTC)
    )
    at = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    assert carried({"at": at}, dict[str, dt.datetime], stamp) == (
        {"at": at.timestamp()},
        {"at": at},
    )


def test_without_a_converter_the_type_is_left_to_msgpack() -> None:
    assert make_structurer(Money) is None
    assert to_plain({"price": Money(1)}) == {"price": Money(1)}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: rediq.App(converters=[MONEY, MONEY]), "converters: two are for Money"),
        (lambda: rediq.App(converters=MONEY), "must be a list of rediq.Converter objects"),
        (lambda: rediq.App(converters=[Money]), "must be a rediq.Converter"),
        (lambda: Converter("Money", str, load), "type='Money': must be a class"),
        (lambda: Converter(dict, str, load), "type=<class 'dict'>: must be a class that msgpack cannot"),
        (lambda: Converter(object, str, load), "type=<class 'object'>: must be a class"),
        (lambda: Converter(Money, None, load), "to_plain=None: must be a function of the value"),
        (lambda: Converter(Money, str, 3), "from_plain=3: must be a function of the plain data and"),
    ],
)  # fmt: skip
def test_a_bad_converter_is_refused_in_words(make: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert said in str(caught.value)


def fails(_: Any, kind: Any = None) -> Any:
    raise KeyError("rate")


def app_with(to_plain: Any = MONEY.to_plain, from_plain: Any = load) -> rediq.App:
    return rediq.App(converters=[Converter(Money, to_plain, from_plain)])


@pytest.mark.parametrize(
    ("to_plain", "said"),
    [
        (fails, "raised KeyError: \"'rate'\""),
        (lambda _: {"rate": [Line]}, "it['rate'][0]: msgpack cannot carry type"),
        (lambda _: {1: 2}, "returned {1: 2}: it: key 1: must be str or bytes"),
    ],
)
def test_a_failing_to_plain_says_where_and_of_what(to_plain: Any, said: str) -> None:
    app = app_with(to_plain)

    @app.task("pay")
    async def pay(lines: list[Line]) -> None: ...

    with pytest.raises(PayloadError) as caught:
        pay.task([Line(Money(1))])
    start = "pay: payload['lines'][0].price: to_plain of the converter of Money "
    assert str(caught.value).startswith(start)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("from_plain", "said"),
    [
        (fails, "from_plain of the converter of Money raised KeyError: \"'rate'\""),
        (lambda *_: 7, "from_plain of the converter of Money returned 7, which is no Money"),
        (lambda cents, _: Money(cents), "returned Money(1), which is no Tip"),
    ],
)
async def test_a_failing_from_plain_makes_the_task_dead(from_plain: Any, said: str) -> None:
    app = app_with(from_plain=from_plain)
    called = False

    @app.task("pay")
    async def pay(price: Money, tip: Tip) -> None:
        nonlocal called
        called = True

    async with rediq.serve(app, MemoryStore()) as server:
        handle = await server.client.enqueue(pay.task(Money(1), Tip(1)))
        info = await handle.wait(timeout=60)
    assert (info.state, called) == (State.DEAD, False)
    assert info.error is not None
    assert said in info.error
    assert "=1 is no " in info.error


async def test_arguments_results_and_steps_are_converted() -> None:
    app = app_with()
    kept: list[Any] = []

    def step() -> list[Money]:
        return [Money(8)]

    @app.task("pay", max_retry=1, backoff=rediq.Fixed(0.1))
    async def pay(order: Order, tip: Money = NINE) -> dict[str, Money]:
        kept.append(await rediq.current_task().once("step", step))
        if rediq.current_task().attempt == 1:
            raise OSError("once more")
        return {"total": order.total, "tip": tip}

    async with rediq.serve(app, MemoryStore()) as server:
        handle = await server.client.enqueue(pay.task(ORDER))
        assert await handle.result(timeout=60) == {"total": Money(6), "tip": Money(9)}
        assert kept == [[Money(8)], [Money(8)]]
        # A handle that is opened by its id knows no app.
        assert await server.client.task(handle.id).result(timeout=60) == {"total": 6, "tip": 9}


async def test_the_result_of_a_failing_converter_makes_the_task_dead() -> None:
    app = app_with(to_plain=fails)

    @app.task("pay")
    async def pay() -> list[Money]:
        return [Money(1)]

    async with rediq.serve(app, MemoryStore()) as server:
        info = await (await server.client.enqueue(pay.task())).wait(timeout=60)
    said = "PayloadError: result[0]: to_plain of the converter of Money raised KeyError"
    assert info.error is not None
    assert info.error.startswith(said)


async def test_a_batch_gets_the_payloads_of_its_members_restored() -> None:
    app = app_with()

    @app.task("pay", group="g")
    async def pay(orders: list[dict[str, Money]]) -> int:
        return sum(order["price"].cents for order in orders)

    async with rediq.serve(app, MemoryStore()) as server:
        plain = rediq.Task("pay", {"price": 3}, group="g")
        await server.client.enqueue_many([plain, plain])
        queue = server.client.queue("default")
        with trio.fail_after(600):
            while not (done := await queue.tasks(state=State.COMPLETED, limit=10)):
                await trio.sleep(1)
        assert done[0].result == 6


async def test_the_handlers_of_an_included_app_keep_their_converters() -> None:
    other = rediq.App(
        converters=[Converter(Money, lambda m: str(m.cents), lambda text, kind: kind(int(text)))]
    )

    @other.task("theirs")
    async def theirs(price: Money) -> Money:
        return price

    app = app_with()
    app.include(other)

    @app.task("ours")
    async def ours(price: Money) -> Money:
        return price

    plain = rediq.App()
    plain.include(app)
    async with rediq.serve(plain, MemoryStore()) as server:
        tasks = [theirs.task(Money(1)), ours.task(Money(2))]
        assert [task.payload for task in tasks] == [{"price": "1"}, {"price": 2}]
        handles = await server.client.enqueue_many(tasks)
        assert [await each.result(timeout=60) for each in handles] == [Money(1), Money(2)]
        assert [(await each.info()).result for each in handles] == ["1", 2]


async def test_equal_values_of_an_own_type_have_one_default_key() -> None:
    app = app_with()

    @app.task("pay", unique=rediq.Unique())
    async def pay(price: Money = ONE) -> None: ...

    async with rediq.connect(MemoryStore()) as client:
        first = await client.enqueue(pay.task())
        with pytest.raises(rediq.DuplicateTask) as caught:
            await client.enqueue(pay.task(Money(1)))
        assert caught.value.existing_id == first.id


async def test_a_task_made_by_name_says_how_such_a_value_is_passed() -> None:
    async with rediq.connect(MemoryStore()) as client:
        with pytest.raises(PayloadError, match=r"payload\['price'\].* a rediq.Converter for it$"):
            await client.enqueue(rediq.Task("pay", {"price": Money(1)}))
