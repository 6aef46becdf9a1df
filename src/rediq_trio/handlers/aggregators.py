"""Aggregators: functions that handle the batches of a group."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.spec.records import GroupRule
from rediq_trio.tasks.prepare import milliseconds
from rediq_trio.values.bounds import (
    MAX_DELAY,
    Duration,
    check_label,
    check_number,
    check_seconds,
    to_seconds,
)
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


def make_rule(name: str, max_size: int, grace_period: Duration, max_delay: Duration) -> GroupRule:
    """Check and return a group's rule; raise `ConfigError` for a value out of its bounds."""
    # A lone `*` is the empty prefix: every group.
    if name != "*":
        check_label("aggregator", name)
    check_number("max_size", max_size, 1, MAX_SIZE, integer=True)
    grace_period, max_delay = to_seconds(grace_period), to_seconds(max_delay)
    check_seconds("grace_period", grace_period, 0, MAX_DELAY, above=True)
    check_seconds("max_delay", max_delay, grace_period, MAX_DELAY)
    return GroupRule(max_size, milliseconds(grace_period), milliseconds(max_delay))


def make_aggregator(name: str, function: AggregatorFunction, rule: GroupRule) -> Aggregator:
    """Check the function and return its aggregator; raise `ConfigError` if it does not take a list."""
    check_function("aggregator", function)
    try:
        inspect.signature(function).bind([])
    except TypeError:
        raise ConfigError.of("aggregator", function, "a function of one list of tasks") from None
    return Aggregator(name, function, rule, inspect.iscoroutinefunction(function))


def check_function(field: str, function: object) -> None:
    """Raise `ConfigError` unless the value is an `async def` or a `def` that does not yield."""
    if bound := _bound(function):
        raise ConfigError.of(field, function, bound)


def _bound(function: object) -> str | None:
    """Return what a function must be if it is something else, and how to make it so."""
    if isinstance(function, staticmethod | classmethod):
        return "a function: write this decorator below @staticmethod, and a classmethod as a def"
    if not callable(function):
        return "an async def or a def"
    if isinstance(function, type):
        return "a function, no class: write a def that makes the object and calls it"
    if isinstance(function, functools.partial):
        return "a function, no partial: write a def that calls it, or give the argument a default"
    if inspect.ismethod(function):
        return "a function, no method of an object: write a def that calls it"
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        return "an async def or a def that does not yield"
    if not hasattr(function, "__qualname__"):
        return "a function, no object that can be called: write a def that calls it"
    return None


def check_handler(function: Any) -> None:
    """Raise `ConfigError` unless a function can be a handler: it has a name, and no `self`."""
    check_function("task", function)
    if function.__name__ == "<lambda>":
        raise ConfigError.of("task", function, "a def: a lambda has no name for its tasks")
    owner = function.__qualname__.rpartition(".")[0]
    if owner and not owner.endswith("<locals>"):
        first = next(iter(inspect.signature(function).parameters), "")
        if first in ("self", "cls"):
            bound = f"a function outside of class {owner}: no task can carry its {first}"
            raise ConfigError.of("task", function, bound)
