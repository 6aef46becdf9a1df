"""A fault in a filter of the command line has a caret under its place."""

from __future__ import annotations

import pytest

from tests.cli.test_operate import Typed, put, task, typed

__all__ = ["typed"]


@pytest.mark.parametrize(
    ("flag", "text", "said", "line", "at"),
    [
        ("--meta", "customer", "--meta='customer': must be KEY=VALUE", "customer", 8),
        ("--meta", "=ann", "--meta='=ann': must be KEY=VALUE", "=ann", 0),
        ("--meta", "k=" + "x" * 4097, "must be a mapping of at most", "..." + "x" * 31, 33),
        ("--older", "2h30", "--older: '2h30': must be a duration like", "2h30", 2),
        ("--younger", "soon", "--younger: 'soon': must be a duration like", "soon", 0),
        ("--older", "999999d", "--older: older_than=", "999999d", 0),
        ("--priority", "5x", "--priority: priority='5x': must be a whole number", "5x", 1),
        ("--priority", "101", "--priority: priority=101: must be", "101", 0),
        ("--type", "t" * 257, "1 to 256", None, 33),
        ("--error", "", "--error: error='': must be text of 1 to 1,000", "", 0),
        ("--kind", "k" * 65, "1 to 64", None, 33),
        ("--limit-key", "a\x00b", "printable", r"a\x00b", 1),
        ("--limit-key", "*", "and not '*'", "*", 0),
        ("--payload", "x" * 1001, "1 to 1,000 characters", None, 33),
    ],
)  # fmt: skip
def test_the_place_of_a_fault_in_a_filter_has_a_caret(
    flag: str, text: str, said: str, line: str | None, at: int, typed: Typed
) -> None:
    put(typed.place, task())
    found = typed("task", "list", "emails", f"{flag}={text}")
    assert (found.status, found.out) == (2, "")
    first, *pointed = found.err.splitlines()
    assert first.startswith("rediq: --")
    assert said in first
    if not text:
        assert pointed == []  # there is no place in it
    else:
        shown_text, caret = pointed
        assert line is None or shown_text == f"  {line}"
        assert caret == " " * (at + 2) + "^"
    assert typed("dead", "delete", "emails", f"{flag}={text}", "--yes").err == found.err


def test_the_place_of_a_fault_in_a_path_has_a_caret(typed: Typed) -> None:
    put(typed.place, task())
    for path, at in (("to..x=3", 3), ("to.=3", 3), (".to=3", 0), ("\x1b..x=3", 5)):
        said = typed("task", "list", "emails", f"--payload={path}")
        assert said.status == 2
        first, text, caret = said.err.splitlines()
        assert first == "rediq: --payload: a part of the path is empty; write it like user.id=7"
        assert (text, caret) == ("  " + path.replace("\x1b", "\\x1b"), " " * (at + 2) + "^")


@pytest.mark.parametrize("verb", ["list", "cancel"])
def test_a_filter_that_would_tell_what_is_hidden_is_refused(
    verb: str, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIQ_HIDE", "payload.card")
    words = ("--state", "pending") if verb == "list" else ("--state", "pending", "--yes")
    put(typed.place, task())
    refused = typed("task", verb, "emails", *words, "--payload", "card=4412")
    assert refused.status == 2
    assert "payload.card is hidden, and cannot be searched" in refused.err
    assert typed("task", verb, "emails", *words, "--payload", "to=nobody").status == 0
