"""Registering aggregators: which groups they are for, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import rediq_trio as rediq
from rediq_trio import ConfigError, Task
from rediq_trio.spec.groups import matching
from rediq_trio.spec.records import GroupRule


async def digest(tasks: list[Task[Any]]) -> None: ...


async def generates(tasks: list[Task[Any]]) -> Any:
    yield None


def yields(tasks: list[Task[Any]]) -> Any:
    yield None


def needs_two(tasks: list[Task[Any]], more: int) -> None: ...


BAD_OPTIONS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no name": ("", {}, "aggregator=''.*1 to 128"),
    "a long name": ("x" * 129, {}, "aggregator='xxx.*1 to 128"),
    "a name with a line": ("a\nb", {}, "aggregator="),
    "a number": (3, {}, "aggregator=3"),
    "a function": (digest, {}, "aggregator=<function"),
    "no members": ("g", {"max_size": 0}, "max_size=0.*from 1 to 1,000"),
    "too many members": ("g", {"max_size": 1001}, "max_size=1001.*from 1 to 1,000"),
    "half a member": ("g", {"max_size": 1.5}, "max_size=1.5.*a whole number"),
    "true": ("g", {"max_size": True}, "max_size=True"),
    "no grace": ("g", {"grace_period": 0}, "grace_period=0.*above 0"),
    "endless grace": ("g", {"grace_period": float("inf")}, "grace_period=inf"),
    "no number": ("g", {"grace_period": float("nan")}, "grace_period=nan"),
    "grace that is text": ("g", {"grace_period": "30"}, "grace_period='30'"),
    "a delay below the grace": ("g", {"max_delay": 29.0}, "max_delay=29.0.*from 30.0"),
    "too long a delay": ("g", {"max_delay": 1e9}, "max_delay=1000000000.0"),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_a_bad_option_is_refused_before_there_is_a_function(name: str) -> None:
    group, options, said = BAD_OPTIONS[name]
    with pytest.raises(ConfigError, match=said):
        rediq.App().aggregator(group, **options)


@pytest.mark.parametrize("function", [generates, yields, needs_two, 3, None, "digest"])
def test_what_cannot_be_called_with_a_list_is_refused(function: Any) -> None:
    app = rediq.App()
    with pytest.raises(ConfigError, match=r"aggregator=.*must be a"):
        app.aggregator("g")(function)
    assert app.aggregators == {}


def test_a_function_is_given_back_as_it_is() -> None:
    assert rediq.App().aggregator("g")(digest) is digest


def test_the_rule_is_kept_in_ms() -> None:
    app = rediq.App()
    app.aggregator("a")(digest)
    app.aggregator("b", max_size=1000, grace_period=0.0001, max_delay=1)(digest)
    rules = {name: each.rule for name, each in app.aggregators.items()}
    assert rules == {"a": GroupRule(10, 30_000, 300_000), "b": GroupRule(1000, 1, 1000)}


def test_a_name_is_registered_once() -> None:
    app = rediq.App()
    app.aggregator("user:*")(digest)
    app.aggregator("user:1")(digest)
    with pytest.raises(ConfigError, match=r"aggregator='user:\*'.*once"):
        app.aggregator("user:*")
    twice = app.aggregator("g")
    twice(digest)
    with pytest.raises(ConfigError, match=r"aggregator='g'.*once"):
        twice(digest)


def test_an_app_takes_over_the_aggregators_of_another() -> None:
    one, two = rediq.App(), rediq.App()
    one.aggregator("a")(digest)
    two.aggregator("b*")(digest)
    one.include(two)
    assert set(one.aggregators) == {"a", "b*"}
    with pytest.raises(ConfigError, match=r"aggregator='b\*'.*once"):
        one.include(two)


def test_an_app_whose_aggregators_collide_takes_over_nothing() -> None:
    one, two = rediq.App(), rediq.App()
    one.aggregator("a")(digest)
    two.aggregator("a")(digest)
    two.task("t")(digest)
    with pytest.raises(ConfigError):
        one.include(two)
    assert one.types == ()


def test_the_aggregators_of_an_app_cannot_be_changed_from_outside() -> None:
    with pytest.raises(TypeError):
        rediq.App().aggregators["a"] = None  # type: ignore[index]


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("user", "user"), ("users", "user*"), ("user:1", "user:*"), ("user:", "user:*"),
        ("other", "*"), ("user:*", "user:*"), ("userb*", "user*"),
    ],
)  # fmt: skip
def test_the_name_wins_and_then_the_longest_prefix(group: str, expected: str) -> None:
    assert matching(["*", "user*", "user:*", "user", "x*y"], group) == expected


@pytest.mark.parametrize("group", ["a", "xzy", "use"])
def test_a_group_may_have_no_aggregator(group: str) -> None:
    assert matching(["x*y", "user*", "b"], group) is None
