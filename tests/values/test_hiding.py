"""What is hidden of payloads, results, errors and metadata."""

from __future__ import annotations

import re
from typing import Any

import pytest

import rediq_trio as rediq
from rediq_trio import ConfigError
from rediq_trio.values.hiding import Hidden, Hiding, check_search

CARD = {"card": "4111", "to": "ada", "items": [{"token": "t", "n": 1}, {"token": "u"}]}


@pytest.mark.parametrize(
    ("paths", "field", "value", "shown"),
    [
        ("", "payload", CARD, CARD),
        (
            "payload.card",
            "payload",
            {"card": 1, "to": 2},
            {"card": "(hidden by payload.card)", "to": 2},
        ),
        ("payload.card", "result", {"card": 1}, {"card": 1}),
        ("payload.card", "payload", {"x": {"card": 1}}, {"x": {"card": 1}}),
        ("payload.card", "payload", ["card"], ["card"]),
        ("payload.card", "payload", "card", "card"),
        (
            "payload.*.card",
            "payload",
            {"x": {"card": 1}},
            {"x": {"card": "(hidden by payload.*.card)"}},
        ),
        (
            "payload.items.1",
            "payload",
            {"items": [1, 2]},
            {"items": [1, "(hidden by payload.items.1)"]},
        ),
        ("**.token", "metadata", {"token": "x"}, {"token": "(hidden by **.token)"}),
        ("**.a.b", "payload", {"x": {"a": {"b": 1}}}, {"x": {"a": {"b": "(hidden by **.a.b)"}}}),
        ("payload.**.b", "payload", {"x": [{"b": 1}]}, {"x": [{"b": "(hidden by payload.**.b)"}]}),
        ("result", "result", 7, "(hidden by result)"),
        ("result", "result", None, None),
        ("error, result", "error", "boom", "(hidden by error)"),
    ],
)
def test_a_path_hides_what_it_names_and_nothing_else(
    paths: str, field: str, value: object, shown: object
) -> None:
    assert Hiding.of(paths)(value, field) == shown


def test_what_is_hidden_can_be_told_from_a_text() -> None:
    hidden = Hiding.of(["**.token"])(CARD, "payload")
    assert isinstance(hidden, dict)
    assert isinstance(hidden["items"][0]["token"], Hidden)
    assert CARD["items"][0]["token"] == "t"  # type: ignore[index]


@pytest.mark.parametrize(
    "path", ["secrets", "payload..x", ".payload", "payload.", "payload.**", "**"]
)
def test_a_path_that_names_nothing_is_refused(path: str) -> None:
    with pytest.raises(rediq.ConfigError, match="hide"):
        Hiding.of(path)


def test_the_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIQ_HIDE", "result error")
    assert Hiding.from_environment().paths == (("result",), ("error",))


async def test_a_task_is_shown_without_what_is_hidden() -> None:
    async with rediq.connect("memory://") as client:
        task = rediq.Task("x", payload={"card": 1, "to": 2}, metadata={"email": "a@b"})
        info = await (await client.enqueue(task)).info()
    shown = Hiding.of("payload.card,metadata").info(info)
    assert shown.payload == {"card": "(hidden by payload.card)", "to": 2}
    assert "a@b" not in repr(shown)
    assert Hiding().info(info) is info


@pytest.mark.parametrize(
    ("hide", "search", "refused"),
    [
        ("payload.card", {"payload": ("card", "4412")}, "payload.card is hidden"),
        ("payload.card", {"payload": ("card.number", 4412)}, "payload.card.number is hidden"),
        ("payload.card", {"payload": ("name", "ada")}, ""),
        ("payload.card", {"payload": "4412"}, "parts of it are hidden"),
        ("**.token", {"payload": ("a.b.token", "x")}, "payload.a.b.token is hidden"),
        ("**.token", {"payload": "x"}, "parts of it are hidden"),
        ("error", {"payload": "x"}, ""),
        ("error", {"error": "card"}, "error is hidden"),
        ("metadata.email", {"metadata": {"email": "a@b"}}, "metadata.email is hidden"),
        ("metadata.email", {"metadata": {"tenant": "acme"}, "error": "x"}, ""),
    ],
)
def test_a_search_cannot_tell_what_is_hidden(
    hide: str, search: Any, refused: str
) -> None:
    rules = Hiding.of(hide)
    if not refused:
        check_search(rules, search)
        return
    with pytest.raises(ConfigError, match=re.escape(refused)):
        check_search(rules, search)


def test_a_function_that_hides_is_asked_and_its_payloads_are_searched_at_paths_only() -> None:
    def hide(value: object, field: str) -> object:
        return "hidden" if field == "error" else value

    check_search(hide, {"payload": ("name", "ada"), "metadata": {"tenant": "acme"}})
    for search in ({"payload": "ada"}, {"error": "card"}):
        with pytest.raises(ConfigError, match="hidden"):
            check_search(hide, search)  # type: ignore[arg-type]  # a part of a FilterOptions
