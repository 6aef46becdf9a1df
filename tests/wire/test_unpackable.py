"""What msgpack cannot carry: the error says where it is and what to pass instead."""

from __future__ import annotations

import array
import dataclasses
from typing import Any

import attrs
import pytest

import rediq_trio as rediq
from rediq_trio import PayloadError
from rediq_trio.tasks.prepare import prepare
from rediq_trio.values.bounds import MAX_PAYLOAD
from rediq_trio.wire.envelope import pack_value
from rediq_trio.wire.structuring import to_plain


class Model:
    """As a model of pydantic."""

    def model_dump(self, mode: str = "python") -> dict[str, Any]:
        return {}

    def __repr__(self) -> str:
        return "Model(n=1)"


class Scalar:
    """As a scalar of numpy."""

    ndim = 0

    def tolist(self) -> int:
        return 1

    def __repr__(self) -> str:
        return "int64(1)"


class Unreadable:
    def __repr__(self) -> str:
        raise ValueError


@attrs.frozen
class Order:
    lines: Any


@dataclasses.dataclass
class Line:
    price: Any


async def coroutine() -> None: ...


CANNOT = "msgpack cannot carry "
BY_APP = "give the app of its task type a rediq.Converter for it"
BAD_KEY = "must be str or bytes: pass "
SAID: dict[str, tuple[Any, str]] = {
    "a model": (
        {"to": [1, Model()]},
        f"payload['to'][1]: {CANNOT}Model Model(n=1): pass .model_dump(mode='json'), or {BY_APP}",
    ),
    "a scalar": (
        {"n": Scalar()},
        f"payload['n']: {CANNOT}Scalar int64(1): pass .item(), or {BY_APP}",
    ),
    "an array": (
        {"a": array.array("i", [1])},
        f"payload['a']: {CANNOT}array array('i', [1]): pass .tolist(), or {BY_APP}",
    ),
    "inside of attrs": (
        Order({"x": [Line(Model())]}),
        f"payload['lines']['x'][0]['price']: {CANNOT}Model ",
    ),
    "a large number": (
        {"n": [2**64]},
        f"payload['n'][0]: {CANNOT}int {2**64}: it has more than 64 bits: pass str(...)",
    ),
    "a surrogate": (
        {"s": "\ud800"},
        f"payload['s']: {CANNOT}str '\\ud800': it is no valid Unicode: pass bytes",
    ),
    "a generator": ({"g": (n for n in ())}, ": pass list(...)"),
    "a function": ({"f": len}, "<built-in function len>: pass its name"),
    "an object": ([Unreadable()], "<Unreadable whose repr raised ValueError>: pass a dict, or "),
    "an object of a class": ({"o": object()}, f"that an annotation names, or {BY_APP}"),
    "a key that is a number": ({"a": [{1: 2}]}, f"payload['a'][0]: key 1: {BAD_KEY}str(key)"),
    "a key that is a tuple": (
        {"a": {(1, 2): 3}},
        f"payload['a']: key (1, 2): {BAD_KEY}a list of pairs",
    ),
    "a tuple in attrs": (
        Order({(1, 2): 3}),
        f"payload.lines: key (1, 2): {BAD_KEY}a list of pairs",
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_the_error_says_where_it_is_and_what_to_do(name: str) -> None:
    value, said = SAID[name]
    with pytest.raises(PayloadError) as caught:
        prepare(rediq.Task("t", value), MAX_PAYLOAD)
    assert said in str(caught.value)


def test_a_coroutine_is_to_be_awaited() -> None:
    made = coroutine()
    with pytest.raises(PayloadError, match="await it first"):
        pack_value({"c": made})
    made.close()


def test_a_result_is_called_a_result() -> None:
    value: Any = 1
    for _ in range(70):
        value = [value]
    with pytest.raises(PayloadError, match=r"^result: nested deeper than 64 levels"):
        pack_value(value, what="result")
    with pytest.raises(PayloadError, match=r"^result: key 1: must be str or bytes"):
        pack_value({1: 2}, what="result")
    with pytest.raises(PayloadError, match=r"^result: msgpack cannot carry Model"):
        pack_value(Model(), what="result")


def test_sets_are_packed_as_lists() -> None:
    assert to_plain({"s": {1}}) == {"s": [1]}
    with pytest.raises(PayloadError, match=r"payload: msgpack cannot carry set \{1\}: pass sorted"):
        pack_value({1})


def test_whatever_a_value_raises_is_a_bad_payload() -> None:
    class Broken(dict[str, int]):
        def items(self) -> Any:
            raise KeyError("no")

    with pytest.raises(PayloadError, match=r"payload .* cannot be made plain: KeyError"):
        prepare(rediq.Task("t", [Broken(a=1)]), MAX_PAYLOAD)
