"""What `crash_everywhere` found: a point for each interruption, and a text that says where and what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from types import MappingProxyType
from typing import Any

import attrs

INTERRUPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "kill": "the server is killed",
        "freeze": "the server freezes until after its lease is over, then goes on",
        "stop": "the server is stopped, which cancels the handler",
        "timeout": "the handler takes longer than its timeout",
    }
)
"""The ways to interrupt a handler, and what each does."""

CRASH_ADVICE = """\
A handler is run again after an interruption, from its first line. Change the data and note that this is done
in one transaction, let the service refuse a second call with the same key (`current_task().id`), or refuse
writes with an older fence (`current_task().fence`)."""


@attrs.frozen
class CrashPoint:
    """One interruption, in a simulation of its own."""

    number: int
    """The number of the checkpoint, from 1."""
    way: str
    """`kill`, `freeze`, `stop` or `timeout`."""
    where: str
    """File, line and function of the handler, and of the function that it awaited."""
    is_end: bool
    """Whether the attempt had ended, and its outcome was not written."""
    effects: Any
    """The effects in the end."""
    expected: Any
    """The effects of a run without interruption."""
    raised: str = ""
    """What the handler failed with after the interruption; "" if it did not fail."""


@attrs.frozen
class CrashReport:
    """The result of `crash_everywhere`: true if no interruption changed the effects."""

    type: str
    """The type of the task."""
    checkpoints: int
    """The number of checkpoints of a run without interruption, the end of the handler included."""
    points: tuple[CrashPoint, ...]
    """All interruptions."""
    bad: tuple[CrashPoint, ...]
    """Those after which the effects were not as expected, or the handler failed."""

    def __bool__(self) -> bool:
        return not self.bad

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterable[str]:
        tried = len({point.number for point in self.points})
        all_of = "" if tried == self.checkpoints else f" of {self.checkpoints:,}"
        yield (
            f"{self.type}: {len(self.bad):,} of {len(self.points):,} interruptions at {tried:,}{all_of} "
            "checkpoints changed its effects"
        )
        if not self.bad:
            return
        for _, same in groupby(self.bad, key=lambda point: point.number):
            yield from _describe_checkpoint([*same])
        yield ""
        yield CRASH_ADVICE


def _describe_checkpoint(points: list[CrashPoint]) -> Iterable[str]:
    yield ""
    yield f"{points[0].where} (checkpoint {points[0].number:,})"
    # Interruptions with the same effects share a paragraph.
    left: dict[tuple[str, str], list[CrashPoint]] = {}
    for point in points:
        left.setdefault((repr(point.effects), point.raised), []).append(point)
    for (effects, raised), same in left.items():
        for point in same:
            yield f"  {point.way}: {INTERRUPTIONS[point.way]}"
        yield f"    effects:  {effects}"
        yield f"    expected: {same[0].expected!r}"
        if raised:
            yield f"    then:     {raised}"
