"""The three kinds of clients have the same classes, methods, parameters and return types."""

from __future__ import annotations

import ast
import inspect
import re
import typing
from typing import Any

import pytest

import rediq_trio as rediq
from docs import other_clients

NAMES = (*other_clients.CLASSES,)
PREFIXES = {"Sync": rediq, "Asyncio": rediq.asyncio}
ONLY_BLOCKING = {"close", "__enter__", "__exit__"}
"""What a blocking client has that others do not: those are opened by `async with`."""


def public(kind: type) -> dict[str, Any]:
    return {name: found for name, found in vars(kind).items() if not name.startswith("_")}


def annotation(hint: str, prefix: str) -> str:
    """Return the type as the Trio client names it."""
    text = re.sub(rf"\b{prefix}(?=[A-Z])", "", hint)
    if prefix == "Sync":
        text = re.sub(r"\b(Generator|Iterator)\b", r"Async\1", text)
    return ast.unparse(ast.parse(text))


def shown(function: Any, prefix: str) -> dict[str, Any]:
    """Return each parameter with its kind, default and type, and the type of the result."""
    signature = inspect.signature(function)
    found: dict[str, Any] = {
        name: (parameter.kind, parameter.default, annotation(parameter.annotation, prefix))
        for name, parameter in signature.parameters.items()
        if name != "self"
    }
    return found | {"return": annotation(signature.return_annotation, prefix)}


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("name", NAMES)
def test_a_class_has_the_same_methods_and_types(name: str, prefix: str) -> None:
    trio_kind, kind = getattr(rediq, name), getattr(PREFIXES[prefix], prefix + name)
    more = ONLY_BLOCKING if (prefix, name) == ("Sync", "Client") else set[str]()
    assert public(kind).keys() - more == public(trio_kind).keys()
    assert public(trio_kind)
    for method, function in public(trio_kind).items():
        other = public(kind)[method]
        assert shown(other, prefix) == shown(function, ""), method
        assert inspect.getdoc(other) == inspect.getdoc(function), method
        for one, same in zip(
            typing.get_overloads(function), typing.get_overloads(other), strict=True
        ):
            assert shown(same, prefix) == shown(one, ""), method


@pytest.mark.parametrize("prefix", PREFIXES)
def test_what_is_awaited_on_trio_is_awaited_on_asyncio_and_not_in_blocking_code(
    prefix: str,
) -> None:
    awaited = 0
    for name in NAMES:
        trio_kind, kind = getattr(rediq, name), getattr(PREFIXES[prefix], prefix + name)
        for method, function in public(trio_kind).items():
            expected = inspect.iscoroutinefunction(function) and prefix == "Asyncio"
            assert inspect.iscoroutinefunction(public(kind)[method]) == expected, method
            awaited += inspect.iscoroutinefunction(function)
    assert awaited > 30


def test_the_functions_that_open_a_client_take_the_same() -> None:
    wanted = [*inspect.signature(rediq.connect).parameters.values()]
    assert [*inspect.signature(rediq.connect_sync).parameters.values()] == wanted
    assert [*inspect.signature(rediq.asyncio.connect).parameters.values()] == wanted


def test_an_object_is_shown_with_its_own_class() -> None:
    with rediq.connect_sync("memory://") as client:
        assert repr(client.task("q/a")) == "<SyncTaskHandle q/a>"
        assert repr(client.queue("q")) == "<SyncQueue 'q'>"


def test_all_names_of_the_package_but_asyncio_can_be_imported_with_a_star() -> None:
    # `asyncio` would hide the standard library's.
    assert "asyncio" not in rediq.__all__
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        rediq.other  # noqa: B018
