"""Files of plans: what is written is what is read, and errors name the line and the field."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rediq_trio import PayloadError
from rediq_trio.testing.fleets.plan import Fault, FaultKind, FaultPlan, Work
from rediq_trio.testing.fleets.plan_files import (
    PLAN_FORMAT,
    dump_plan,
    load_plan,
    read_plan,
    save_plan,
)
from tests.testing.plans.strategies import some_plans

PLAN = FaultPlan(
    seed=3, servers=2,
    works=[Work("pay", {"order": 7}, {"queue": "mail"}, at=2.5), Work("ship", client=1)],
    faults=[
        Fault(kind=FaultKind.KILL, host="w0", effect="claim", nth=2, seconds=3),
        Fault(kind=FaultKind.CUT, host="w1", at=2.25, hangs=True),
    ],
)  # fmt: skip
TEXT = dump_plan(PLAN)


@given(some_plans)
def test_a_plan_is_read_as_it_was_written(plan: FaultPlan) -> None:
    assert load_plan(dump_plan(plan)) == plan


def test_a_file_has_one_line_for_each_part() -> None:
    lines = TEXT.splitlines()
    assert '    {"type": "ship", "client": 1}' in lines
    assert '    {"kind": "cut", "host": "w1", "at": 2.25, "hangs": true}' in lines


@given(st.integers(0, len(TEXT.rstrip()) - 1))
def test_a_file_that_is_cut_anywhere_is_refused_with_its_line(length: int) -> None:
    with pytest.raises(PayloadError, match=r"^the plan, line \d+: "):
        load_plan(TEXT[:length])


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ('"format": 1', f'"format": {PLAN_FORMAT + 1}', "line 2: format is 2, and this version"),
        ('"format": 1', '"format": "1"', "line 2: format is '1', not a whole number"),
        ('"format": 1,', "", "line 1: the field 'format' is missing, so this is no plan"),
        ('"servers": 2', '"servers": 0', "line 4: servers=0: must be"),
        ('"servers": 2,', "", "the field 'servers' is missing"),
        ('"servers": 2', '"serfers": 2', "line 4: 'serfers' is no field of a plan"),
        ('"servers": 2', '"servers": 2, "servers": 3', "line 4: servers is there twice"),
        ('"type": "pay"', '"type": ""', r"line 9: works\[0\]\.type=''"),
        ('"type": "ship", ', "", r"line 10: works\[1\]\.type is missing"),
        ('{"type": "ship", "client": 1}', "7", r"line 10: works\[1\] is 7, not an object"),
        ('"nth": 2', '"nth": 0', r"line 13: faults\[0\]\.nth=0: must be"),
        ('"hangs"', '"hang"', r"line 14: faults\[1\]\.hang is no field: kind, host"),
        ('"at": 2.25', '"at": 2.25, "effect": "claim"', r"line 14: faults\[1\]\.at=2\.25: must be"),
        ('"kind": "cut"', '"kind": "cut', "line 14: not JSON"),
        ('"seed": 3', f'"seed": {"9" * 5000}', "line 3: not readable"),
        ('"seed": 3', '"seed": NaN', "line 3: seed=nan"),
    ],
)
def test_an_edited_file_is_refused_with_its_line_and_field(old: str, new: str, error: str) -> None:
    assert TEXT.count(old) == 1
    with pytest.raises(PayloadError, match=f"^the plan.*{error}"):
        load_plan(TEXT.replace(old, new))


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", TEXT + "x", "[" * 100_000])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(PayloadError, match=r"^the plan, line \d+: "):
        load_plan(text)


def test_a_saved_plan_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "plans" / "one.json"
    save_plan(PLAN, path)
    assert read_plan(path) == PLAN
    assert [*path.parent.iterdir()] == [path]
    path.write_bytes(b"\xff")
    with pytest.raises(PayloadError, match=r"one\.json: not UTF-8"):
        read_plan(path)
