"""Planted bugs: their rows fit the library, and a sample of them is found."""

from __future__ import annotations

import pytest

from tests.python_mutants import compiled_copy, unfit
from tests.testing.planted import mutant_of, searched
from tests.testing.planted_bugs import BUGS, DIRECTED

SAMPLE = (BUGS[0], BUGS[8], BUGS[13])


def test_each_planted_bug_fits_its_module_and_has_a_directed_plan() -> None:
    assert [*unfit([mutant_of(bug) for bug in BUGS])] == []
    assert {bug.name for bug in BUGS} == {*DIRECTED}


@pytest.mark.slow
def test_a_directed_plan_finds_each_bug_of_a_sample() -> None:
    with compiled_copy() as base:
        for bug in SAMPLE:
            found = searched(bug, base, ["--seeds", "0"])
            assert found["directed"] is not None, bug.name
