"""Calls that wait together: which of them are sent as one, and who has which answer."""

from __future__ import annotations

from typing import Any

import attrs

from rediq_trio.spec.operations import Confirm
from rediq_trio.store.redis.connection.calls import JOINED, Call, Joined, Joint, Load


@attrs.define(eq=False)
class Told(Call):
    """A call that keeps what it is told."""

    heard: list[Any] = attrs.field(factory=list)

    def answer(self, result: Any) -> None:
        self.heard.append(result)


def call(name: str, key: str | None = "k", items: int = 1, *, asking: bool = False) -> Told:
    own = tuple(f"{name}{n}" for n in range(items))
    joint = None if key is None else Joint(key, 2, items, 10)
    return Told(("SCRIPT", "head", *own), None, b"", Confirm.NO, 0.0, None, joint, asking=asking)


def loaded(*calls: Call) -> list[Call]:
    load = Load()
    for each in calls:
        load.take(each)
    return load.calls()


def test_those_of_one_key_are_one_and_each_has_its_share() -> None:
    a, b, other, c = call("a"), call("b", items=2), call("o", "l"), call("c")
    joined, alone = loaded(a, b, other, c)
    assert joined.command == ("SCRIPT", "head", "a0", "b0", "b1", "c0")
    assert alone is other
    joined.answer([1, 2, 3, 4])
    assert [each.heard for each in (a, b, c)] == [[[1]], [[2, 3]], [[4]]]


def test_one_that_waits_alone_is_as_it_was() -> None:
    one = call("a")
    assert loaded(one) == [one]


def test_what_cannot_be_joined_goes_alone() -> None:
    calls = [call("a", None), call("b", None)]
    assert loaded(*calls) == calls


def test_one_that_a_cluster_has_sent_on_goes_alone_and_asks() -> None:
    asking = [call("a", asking=True), call("b", asking=True)]
    others = [call("c"), call("d")]
    first, second, joined = loaded(*asking, *others)
    assert [first, second] == asking
    assert isinstance(joined, Joined)
    assert joined.parts == others


def test_no_call_grows_beyond_its_bound() -> None:
    calls = [call(f"{n}.", items=JOINED // 2) for n in range(5)]
    assert [len(each.command) - 2 for each in loaded(*calls)] == [JOINED, JOINED, JOINED // 2]
