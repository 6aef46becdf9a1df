"""Which functions can be handlers, and what is said of the others."""

from __future__ import annotations

import datetime as dt
import functools
from typing import Any

import pytest

import rediq_trio as rediq
from rediq_trio import ConfigError, MemoryStore, PayloadError


async def plain(n: int, when: dt.datetime | None = None) -> int:
    return n


class Owner:
    async def method(self, n: int) -> int:
        return n

    @classmethod
    async def of_class(cls, n: int) -> int:
        return n

    @staticmethod
    async def static(n: int) -> int:
        return n

    async def __call__(self, n: int) -> int:
        return n


REFUSED: dict[str, tuple[Any, str]] = {
    "a lambda": (lambda n: n, "a def: a lambda has no name"),
    "a class": (Owner, "a function, no class: write a def"),
    "a method of an object": (Owner().method, "no method of an object: write a def"),
    "a method of a class": (Owner.of_class, "no method of an object: write a def"),
    "a method without its object": (Owner.method, "a function outside of class Owner: no task can"),
    "a callable object": (Owner(), "no object that can be called: write a def"),
    "a partial": (functools.partial(plain, 1), "no partial: write a def that calls it"),
    "a static method object": (
        Owner.__dict__["static"],
        "write this decorator below @staticmethod",
    ),
    "a handler": (rediq.App().task("x")(plain), "a function, no object that can be called"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_a_handler_is_refused_in_words(name: str) -> None:
    function, said = REFUSED[name]
    for register in (rediq.App().task, rediq.App().task("named")):
        with pytest.raises(ConfigError, match=said):
            register(function)


def test_a_classmethod_below_the_decorator_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="a classmethod is none"):
        rediq.App().task(Owner.__dict__["of_class"])
    with pytest.raises(ConfigError, match="and a classmethod as a def"):
        rediq.App().task("named")(Owner.__dict__["of_class"])


async def test_functions_inside_of_others_decorated_and_static_ones_are_handlers() -> None:
    app = rediq.App()

    @functools.wraps(plain)
    async def wrapped(*args: Any, **kwargs: Any) -> int:
        return 1 + await plain(*args, **kwargs)

    @app.task
    async def local(self: int) -> int:
        return self

    types = [app.task("wrapped")(wrapped), app.task("static")(Owner.static), local]
    async with rediq.serve(app, MemoryStore()) as server:
        results = [await (await server.client.enqueue(one.task(5))).result() for one in types]
    assert results == [6, 5, 5]


@pytest.mark.parametrize("name", ["delay", "send", "apply_async"])
def test_calls_of_other_libraries_are_answered_with_ours(name: str) -> None:
    made = rediq.App().task("plain")(plain)
    said = rf"{name}\(\) is of another library: write await client.enqueue\(plain.task\(...\)\)"
    with pytest.raises(AttributeError, match=said):
        getattr(made, name)
    assert not hasattr(made, name)
    with pytest.raises(AttributeError, match="'TaskType' object has no attribute 'other'"):
        getattr(made, "other")  # noqa: B009  (a type checker refuses it)


def test_an_argument_that_does_not_fit_is_named() -> None:
    made = rediq.App().task("plain")(plain)
    with pytest.raises(PayloadError, match="plain: when='tomorrow' is no "):
        made.arguments({"n": 1, "when": "tomorrow"})


def test_a_misspelt_option_is_suggested() -> None:
    with pytest.raises(ConfigError, match=r"unknown option 'timout'; did you mean timeout\?"):
        rediq.App().task("plain", timout=5)(plain)  # type: ignore[call-overload]  # pyright: ignore
