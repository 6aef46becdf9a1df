"""What a terminal can show, by its environment and its answer."""

from __future__ import annotations

import pytest

from rediq_trio.dash.ground import colors_of, ground_of


@pytest.mark.parametrize(
    ("env", "colors"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "truecolor"),
        ({"TERM": "xterm-256color"}, "256"),
        ({"TERM": "xterm"}, "standard"),
        ({"TERM": "dumb"}, "none"),
        ({}, "none"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor", "NO_COLOR": ""}, "none"),
    ],
)
def test_colors_are_those_of_the_environment(env: dict[str, str], colors: str) -> None:
    assert colors_of(env) == colors


DARK, LIGHT = b"\x1b]11;rgb:1e1e/1e1e/2e2e\x1b\\", b"\x1b]11;rgb:ff/f8/e7\x07\x1b[?62c"


@pytest.mark.parametrize(
    ("env", "answer", "said", "light"),
    [
        ({}, DARK, None, False),
        ({}, LIGHT, None, True),
        ({"COLORFGBG": "0;15"}, DARK, None, False),
        ({"COLORFGBG": "0;15"}, b"\x1b[?62c", None, True),
        ({"COLORFGBG": "15;0"}, b"", None, False),
        ({}, b"", None, False),
        ({}, LIGHT, False, False),
        ({}, DARK, True, True),
    ],
)
def test_the_answer_decides_then_the_environment(
    env: dict[str, str], answer: bytes, said: bool | None, light: bool
) -> None:
    assert ground_of(env, answer, encoding="utf-8", light=said).light is light


@pytest.mark.parametrize(
    ("encoding", "unicode"), [("utf-8", True), ("UTF-8", True), ("ascii", False), ("", False)]
)
def test_marks_need_utf_8(encoding: str, unicode: bool) -> None:
    assert ground_of({}, b"", encoding=encoding).unicode is unicode
