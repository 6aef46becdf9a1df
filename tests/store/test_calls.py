"""Calls that wait together: which of them are sent as one, and who has which answer."""

from __future__ import annotations

from typing import Any

import attrs

from rediq_trio.spec.operations import Confirm
from rediq_trio.store.redis.connection.calls import (
    MERGED_ITEMS_MAX,
    MergedCall,
    MergeInfo,
    PendingCall,
    PipelineBuilder,
)


@attrs.define(eq=False)
class RecordedCall(PendingCall):
    """A call that keeps what it is told."""

    answers: list[Any] = attrs.field(factory=list)

    def answer(self, result: Any) -> None:
        self.answers.append(result)


def call(name: str, key: str | None = "k", items: int = 1, *, asking: bool = False) -> RecordedCall:
    own = tuple(f"{name}{n}" for n in range(items))
    merge = None if key is None else MergeInfo(key, 2, items, 10)
    return RecordedCall(
        ("SCRIPT", "head", *own), None, b"", Confirm.NO, 0.0, None, merge, asking=asking
    )


def built(*calls: PendingCall) -> list[PendingCall]:
    builder = PipelineBuilder()
    for each in calls:
        builder.add(each)
    return builder.build()


def test_those_of_one_key_are_one_and_each_has_its_share() -> None:
    a, b, other, c = call("a"), call("b", items=2), call("o", "l"), call("c")
    merged, alone = built(a, b, other, c)
    assert merged.command == ("SCRIPT", "head", "a0", "b0", "b1", "c0")
    assert alone is other
    merged.answer([1, 2, 3, 4])
    assert [each.answers for each in (a, b, c)] == [[[1]], [[2, 3]], [[4]]]


def test_one_that_waits_alone_is_as_it_was() -> None:
    one = call("a")
    assert built(one) == [one]


def test_what_cannot_be_joined_goes_alone() -> None:
    calls = [call("a", None), call("b", None)]
    assert built(*calls) == calls


def test_one_that_a_cluster_has_sent_on_goes_alone_and_asks() -> None:
    asking = [call("a", asking=True), call("b", asking=True)]
    others = [call("c"), call("d")]
    first, second, merged = built(*asking, *others)
    assert [first, second] == asking
    assert isinstance(merged, MergedCall)
    assert merged.calls == others


def test_no_call_grows_beyond_its_bound() -> None:
    calls = [call(f"{n}.", items=MERGED_ITEMS_MAX // 2) for n in range(5)]
    full = MERGED_ITEMS_MAX
    assert [len(each.command) - 2 for each in built(*calls)] == [full, full, full // 2]
