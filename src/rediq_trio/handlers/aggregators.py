"""Aggregators: functions that handle the batches of a group."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.spec.records import GroupRule
from rediq_trio.tasks.prepare import milliseconds
from rediq_trio.values.bounds import MAX_DELAY, check_label, check_number
from rediq_trio.values.task import Task

MAX_SIZE = 1000
"""Maximum number of members of one batch."""

AggregatorFunction = Callable[
    [list[Task[Any]]], Coroutine[Any, Any, Task[Any] | None] | Task[Any] | None
]


@attrs.frozen(eq=False)
class Aggregator:
    """A function for the batches of one group, or of all groups with a common prefix."""

    name: str
    """The group's name, or a prefix that ends in `*`."""
    function: AggregatorFunction = attrs.field(repr=False)
    rule: GroupRule
    is_async: bool
    """Whether it runs on Trio; otherwise it runs in a worker thread."""


def make_rule(name: str, max_size: int, grace_period: float, max_delay: float) -> GroupRule:
    """Check and return a group's rule; raise `ConfigError` for a value out of its bounds."""
    # A lone `*` is the empty prefix: every group.
    if name != "*":
        check_label("aggregator", name)
    check_number("max_size", max_size, 1, MAX_SIZE, integer=True)
    check_number("grace_period", grace_period, 0, MAX_DELAY, above=True)
    check_number("max_delay", max_delay, grace_period, MAX_DELAY)
    return GroupRule(max_size, milliseconds(grace_period), milliseconds(max_delay))


def make_aggregator(name: str, function: AggregatorFunction, rule: GroupRule) -> Aggregator:
    """Check the function and return its aggregator; raise `ConfigError` if it does not take a list."""
    if not callable(function):
        raise ConfigError.of("aggregator", function, "an async def or a def")
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise ConfigError.of("aggregator", function, "an async def or a def that does not yield")
    try:
        inspect.signature(function).bind([])
    except TypeError:
        raise ConfigError.of("aggregator", function, "a function of one list of tasks") from None
    return Aggregator(name, function, rule, inspect.iscoroutinefunction(function))


def check_not_registered(known: Iterable[str], names: Iterable[str]) -> None:
    """Raise `ConfigError` for a name that is registered already."""
    taken = sorted({*known} & {*names})
    if taken:
        raise ConfigError.of("aggregator", taken[0], "registered once for each group or prefix")
