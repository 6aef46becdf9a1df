"""The text of a traceback that is kept."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from rediq_trio.worker.outcomes.traceback_text import (
    MAX_TRACEBACK,
    MEMBERS_SHOWN,
    traceback_text,
)


def caught(function: Callable[[], Any]) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")


def fail() -> NoReturn:
    secret = "a local variable"  # noqa: F841
    raise ValueError("no")


def fail_deeper() -> NoReturn:
    fail()


def chained(*, suppressed: bool = False, explicit: bool = False) -> BaseException:
    def both() -> None:
        try:
            fail()
        except ValueError as error:
            if suppressed:
                raise KeyError("second") from None
            if explicit:
                raise KeyError("second") from error
            raise KeyError("second")  # noqa: B904

    return caught(both)


def test_each_frame_of_the_users_code_is_shown_with_its_line_and_no_variables() -> None:
    lines = traceback_text(caught(fail_deeper)).splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert [line.rpartition(" in ")[2] for line in lines[1:-1:2]] == [
        "caught",
        "fail_deeper",
        "fail",
    ]
    assert lines[-2:] == ['    raise ValueError("no")', "ValueError: no"]
    assert f'"{__file__}", line' in lines[-3]
    assert "a local variable" not in "\n".join(lines)


def test_frames_of_libraries_are_folded_into_one_line_with_their_number() -> None:
    lines = traceback_text(caught(lambda: json.loads("{"))).splitlines()
    assert lines[-2] == "  [3 frames of json]"
    assert lines[-1].startswith("JSONDecodeError: ")


def test_a_package_that_is_installed_is_shown_if_it_is_the_handlers() -> None:
    text = traceback_text(caught(lambda: json.loads("{")), own=("json",))
    assert "in raw_decode" in text
    assert "frames of" not in text


def test_a_cause_is_above_what_it_led_to() -> None:
    text = traceback_text(chained(explicit=True))
    assert text.index("ValueError: no\n\nThe error above is the cause") < text.index("KeyError: ")
    assert text.endswith("KeyError: 'second'")


def test_a_context_is_above_what_was_raised_while_it_was_handled() -> None:
    text = traceback_text(chained())
    assert "ValueError: no\n\nWhile the error above was handled" in text
    assert text.endswith("KeyError: 'second'")


def test_a_suppressed_context_is_left_out() -> None:
    assert "ValueError" not in traceback_text(chained(suppressed=True))


def test_the_parts_of_a_group_follow_it() -> None:
    group = ExceptionGroup("both", [caught(fail), chained(explicit=True)])
    text = traceback_text(group)
    assert text.startswith("ExceptionGroup: both (2 sub-exceptions)\n")
    assert text.index("Part 1 of 2:\nTraceback") < text.index("Part 2 of 2:\nTraceback")
    assert text.endswith("KeyError: 'second'")
    assert text.count("ValueError: no") == 2


def test_a_group_of_one_is_its_part() -> None:
    error = caught(fail)
    assert traceback_text(ExceptionGroup("a nursery", [error])) == traceback_text(error)


def test_nested_groups_are_flattened_and_their_number_is_bounded() -> None:
    group = ExceptionGroup("outer", [caught(fail), ExceptionGroup("inner", [caught(fail)] * 30)])
    text = traceback_text(group)
    assert "Part 1 of 2:" in text, "the same error counts once"
    many = ExceptionGroup("outer", [ExceptionGroup("inner", [caught(fail) for _ in range(30)])])
    text = traceback_text(many)
    assert f"Part {MEMBERS_SHOWN} of 30:" in text
    assert text.endswith("and 20 more parts")


def test_a_syntax_error_says_where() -> None:
    text = traceback_text(caught(lambda: compile("1 +", "<made>", "exec")))
    assert text.splitlines()[-1] == "SyntaxError: invalid syntax (<made>, line 1)"


def test_a_recursion_is_shown_once_with_its_number() -> None:
    def down(left: int) -> None:
        if left == 0:
            fail()
        down(left - 1)

    lines = traceback_text(caught(lambda: down(800))).splitlines()
    assert "  [the frame above 799 more times]" in lines
    assert len(lines) < 20
    assert lines[-1] == "ValueError: no"


def test_the_innermost_frames_are_kept_of_one_that_is_too_long() -> None:
    names: dict[str, Any] = {"fail": fail}
    for n in range(300):
        inner = f"step_{n - 1}" if n else "fail"
        exec(compile(f"def step_{n}():\n    {inner}()", f"/made/{n}/{'x' * 90}.py", "exec"), names)
    text = traceback_text(caught(names["step_299"]))
    assert MAX_TRACEBACK - 300 < len(text.encode()) <= MAX_TRACEBACK
    assert text.splitlines()[0] == "Traceback (most recent call last):"
    assert "more entries]" in text.splitlines()[1]
    assert "in step_299" not in text
    assert text.endswith('raise ValueError("no")\nValueError: no')


def test_each_of_a_long_chain_has_its_share() -> None:
    def raised(message: str, cause: BaseException | None) -> BaseException:
        def down(left: int) -> None:
            if left == 0:
                raise ValueError(message) from cause
            (down if left % 2 else lambda n: down(n))(left - 1)

        return caught(lambda: down(60))

    error: BaseException | None = None
    for n in range(4):
        error = raised(f"number {n}", error)
    assert error is not None
    text = traceback_text(error)
    assert len(text.encode()) <= MAX_TRACEBACK
    for n in range(4):
        assert f"ValueError: number {n}" in text


@pytest.mark.parametrize("most", [1, 10, 100, 1000])
def test_any_bound_holds_in_bytes(most: int) -> None:
    error = caught(fail)
    error.__cause__ = ValueError("ü€😀" * 1000)
    assert len(traceback_text(error, most).encode()) <= most


def test_a_huge_message_is_cut() -> None:
    assert len(traceback_text(ValueError("x" * 50_000_000))) < 500


def test_a_message_that_utf8_cannot_carry_is_replaced() -> None:
    assert traceback_text(ValueError("a\udcffb")) == "ValueError: a?b"


def test_notes_are_shown_after_the_message() -> None:
    error = ValueError("no")
    for note in ("first", "second", "third", "fourth"):
        error.add_note(note)
    assert traceback_text(error) == "ValueError: no\nfirst\nsecond\nthird"
    error.__notes__ = "no list"  # type: ignore[assignment]
    assert traceback_text(error) == "ValueError: no"


def test_a_missing_source_leaves_the_line_out() -> None:
    names: dict[str, Any] = {"fail": fail, "__loader__": 7}
    exec(compile("def made():\n    fail()", "/nowhere/made.py", "exec"), names)
    text = traceback_text(caught(names["made"]))
    assert '  File "/nowhere/made.py", line 2, in made\n  File ' in text


class EvilStr(Exception):
    def __str__(self) -> str:
        raise SystemExit("in __str__")


class EvilCause(Exception):
    @property
    def __cause__(self) -> NoReturn:  # type: ignore[override]
        raise SystemExit("in __cause__")


def test_an_exception_whose_methods_raise_ends_nothing() -> None:
    assert traceback_text(EvilStr()) == "EvilStr: (its __str__ raised SystemExit)"
    assert traceback_text(EvilCause()) == "(the traceback could not be read: SystemExit)"


def test_cycles_end() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    text = traceback_text(first)
    assert text.count("ValueError: second") == 1
    assert text.endswith("ValueError: first")


def test_deep_causes_and_groups_take_a_bounded_time() -> None:
    error: Exception = ValueError("innermost")
    for _ in range(20_000):
        above = ExceptionGroup("group", [error, error])
        above.__cause__ = error
        error = above
    begun = time.monotonic()
    assert len(traceback_text(error).encode()) <= MAX_TRACEBACK
    assert time.monotonic() - begun < 20
