"""The fingerprint of a failure: what is alike, what is not, and what anybody may raise."""

from __future__ import annotations

import re
import time
import types
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rediq_trio.tasks.failure_kinds import FailureSample, pack_sample
from rediq_trio.wire.packing import unpack
from rediq_trio.worker.outcomes.fingerprint import (
    KIND_LENGTH,
    MESSAGE_MAX,
    NORMALIZED_MAX,
    SAMPLE_TEXT,
    fingerprint,
    normalized,
    place_of,
    shortened,
)
from tests.worker.test_traceback_text import caught

SAMPLE = FailureSample("pay", "ValueError", "no such card", "shop.cards:charge")
LONGEST = 2000
"""Characters of the longest message that a worker keeps."""


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("", ""),
        ("no such card", "no such card"),
        ("card 17 declined", "card <#> declined"),
        ("took 0.25 s, -3 left, +4, 1,000 seen", "took <#> s, <#> left, <#> seen"),
        ("1e-05 and 3.5E+10", "<#> and <#>"),
        ("user17 is gone", "user<#> is gone"),
        ("at 2026-11-29T08:53:14.123+00:00", "at <#>T<#>"),
        ("<Row object at 0x7f3a2b1c>", "<Row object at <#>>"),
        ("commit 9fceb02d0ae598e95dc970b74767f19372d61af8", "commit <#>"),
        ("id 12345678", "id <#>"),
        ("id 1234567", "id <#>"),
        ("id 1234567a", "id <#>"),
        ("a facade", "a facade"),
        ("deadbeef is a word here", "deadbeef is a word here"),
        ("task 01a2268c-5a70-7072-8db8-8d57fae725e9", "task <#>"),
        ("task 01A2268C-5A70-7072-8DB8-8D57FAE725E9!", "task <#>!"),
        ("token Zm9vYmFyMTIzNDU2Nzg5", "token <#>"),
        ("internationalization of names", "internationalization of names"),
        ("key 'alice' is missing", "key <text> is missing"),
        ('key "alice" is missing', "key <text> is missing"),
        ("column `name` is missing", "column <text> is missing"),
        (r"key 'it\'s' is missing", "key <text> is missing"),
        ('key "it\'s" is missing', "key <text> is missing"),
        ("can't open 'a b' as it won't", "can't open <text> as it won't"),
        ("users' files of the 'x'", "users' files of the <text>"),
        ("cut in 'the middle of", "cut in <text>"),
        ("''", "<text>"),
        ("[1, 2, 3]", "[<#>]"),
        ("['a', 'b']", "[<text>]"),
        ("a\n  b\t c", "a b c"),
        ("١٢٣ rows", "<#> rows"),
    ],
)
def test_what_differs_from_task_to_task_is_replaced(message: str, expected: str) -> None:
    assert normalized(message) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("card 1 of 'ann' declined", "card 22 of 'bob b.' declined"),
        ("rows [1, 2]", "rows [1, 2, 3]"),
        ("id 7 at 0xff", "id 99999999 at 0xdeadbeef"),
        ("id 12345678", "id 1234abcd"),
    ],
)
def test_failures_of_one_cause_have_one_fingerprint(one: str, other: str) -> None:
    assert fingerprint(attrs.evolve(SAMPLE, message=one)) == fingerprint(
        attrs.evolve(SAMPLE, message=other)
    )


@pytest.mark.parametrize("field", ["type", "error_type", "message", "place"])
def test_each_part_makes_another_kind(field: str) -> None:
    assert fingerprint(attrs.evolve(SAMPLE, **{field: "another"})) != fingerprint(SAMPLE)


def test_parts_do_not_run_into_each_other() -> None:
    one, other = FailureSample("a", "bc", "", ""), FailureSample("ab", "c", "", "")
    assert fingerprint(one) != fingerprint(other)


def test_a_fingerprint_stays_what_it_is() -> None:
    # Workers of all versions count the same failure as one kind.
    assert fingerprint(SAMPLE) == "ed8efe04dd2e"
    assert re.fullmatch(rf"[0-9a-f]{{{KIND_LENGTH}}}", fingerprint(SAMPLE))


HOSTILE: list[Callable[[int], str]] = [
    lambda n: "'" * n,
    lambda n: "'a " * (n // 3),
    lambda n: " 'a" * (n // 3),
    lambda n: "'" + r"\'" * (n // 2) + "x",
    lambda n: "'" + r"\'" * (n // 2 - 1) + "'x",
    lambda n: "\\" * n,
    lambda n: "'\"`" * (n // 3),
    lambda n: "0" * n,
    lambda n: "0x" * (n // 2),
    lambda n: "a" * n,
    lambda n: "a1" * (n // 2),
    lambda n: "1," * (n // 2),
    lambda n: "1 ," * (n // 3),
    lambda n: "'' ;" * (n // 4),
    lambda n: "1e" * (n // 2),
    lambda n: "12345678-1234-1234-1234-12345678901" * (n // 35),
    lambda n: " " * n,
    lambda n: "<#>" * (n // 3),
    lambda n: "<text> , " * (n // 9),
    lambda n: "\x00\x1b[31m\u202e" * (n // 7),
    lambda n: "\ud800" * n,
    lambda n: "１" * n,
]


@pytest.mark.parametrize("make", HOSTILE)
def test_no_message_takes_long(make: Callable[[int], str]) -> None:
    message = make(LONGEST)
    assert len(message) > MESSAGE_MAX
    began = time.process_time()  # other programs may be busy
    found = normalized(message)
    assert time.process_time() - began < 0.5
    assert len(found) <= NORMALIZED_MAX
    assert normalized(message + " and more") == found
    assert len(fingerprint(attrs.evolve(SAMPLE, message=message))) == KIND_LENGTH


@given(st.text(alphabet=st.characters(codec=None)), st.text())
def test_any_texts_have_a_fingerprint_and_a_bounded_sample(one: str, other: str) -> None:
    sample = FailureSample(one * 50, other * 50, one * 50, other * 50)
    assert len(fingerprint(sample)) == KIND_LENGTH
    kept = pack_sample(shortened(sample))
    assert len(kept) <= 2.5 * SAMPLE_TEXT + 60
    assert isinstance(unpack(kept), dict)


@given(st.integers(0, 10**12), st.text(alphabet="abc '\"", max_size=9))
def test_a_number_does_not_change_the_fingerprint(number: int, tail: str) -> None:
    def of(message: str) -> str:
        return fingerprint(attrs.evolve(SAMPLE, message=message))

    assert of(f"row {number} - {tail}") == of(f"row 7 - {tail}")


# The place


class Mailer:
    def send(self) -> None:
        raise ValueError("no")


def through_a_library() -> None:
    re.compile("(")


def test_the_place_is_the_innermost_function_of_the_users_code() -> None:
    assert place_of(caught(Mailer().send), ()) == f"{__name__}:Mailer.send"
    assert place_of(caught(through_a_library), ()) == f"{__name__}:through_a_library"


def test_the_place_of_a_nested_function_says_where_it_is() -> None:
    def inner() -> None:
        raise ValueError

    assert place_of(caught(inner), ()).endswith(
        "test_the_place_of_a_nested_function_says_where_it_is.<locals>.inner"
    )


def test_a_line_above_does_not_change_the_place() -> None:
    places: set[str] = set()
    for above in ("", "\n\n# more\n"):
        module = types.ModuleType("handlers_of_mine")
        code = compile(f"{above}def fails():\n    raise ValueError", "/mine/handlers.py", "exec")
        exec(code, vars(module))
        places.add(place_of(caught(module.fails), ()))
    assert places == {"handlers_of_mine:fails"}


def test_a_script_has_the_same_place_as_the_module_that_a_worker_imports() -> None:
    variables: dict[str, Any] = {"__name__": "__main__", "__file__": "/mine/shop.py"}
    exec(compile("def fails():\n    raise ValueError", "/mine/shop.py", "exec"), variables)
    assert place_of(caught(variables["fails"]), ()) == "shop:fails"


def test_an_error_that_no_code_of_the_user_raised_has_no_place() -> None:
    assert place_of(None, ()) == ""
    assert place_of(ValueError("never raised"), ()) == ""
    library: dict[str, Any] = {"__name__": "installed.lib"}
    file = "/x/site-packages/installed/lib.py"
    exec(compile("def fails():\n    raise ValueError", file, "exec"), library)
    error = caught(library["fails"])
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
    assert place_of(error, ()) == ""
    assert place_of(error, ("installed",)) == "installed.lib:fails"


def test_globals_that_are_no_texts_do_no_harm() -> None:
    variables: dict[str, Any] = {"__name__": 7}
    exec(compile("def fails():\n    raise ValueError", "/mine/x.py", "exec"), variables)
    error = caught(variables["fails"])
    assert place_of(error, ("mine",)) == "7:fails"
