"""No story costs more than its budget, in commands, round trips, steps and calls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks import budgets
from benchmarks.budgets import ALLOWED, LEFT_OUT, Budget, broken, held, read_budgets
from benchmarks.server import Bench, run_server
from benchmarks.stories import STORIES
from tests.servers import find_servers, require_any_server

FASTEST = ("redis-7", "valkey-8", "redis-6.2")
"""Which server plays them: the first of these that there is."""


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    require_any_server()
    found = [str(find_servers()[name]) for name in FASTEST if name in find_servers()]
    with run_server(found[0]) as bench:
        yield bench


@pytest.mark.parametrize("story", [*STORIES])
def test_no_story_costs_more_than_its_budget_or_so_little_that_it_guards_nothing(
    bench: Bench, story: str
) -> None:
    stories, written = read_budgets()
    assert broken(bench, story, held(stories[story], written)) == []


def test_each_figure_of_each_story_has_a_budget_or_a_reason_to_have_none() -> None:
    stories, _ = read_budgets()
    for name in STORIES:
        assert stories[name].keys() == {*ALLOWED} - {*LEFT_OUT.get(name, ())}
    assert stories.keys() == STORIES.keys()


def test_a_figure_out_of_its_range_is_told_of() -> None:
    budget = Budget(0.9, 1.1)
    assert budget.judge(1.0) == ""
    assert "1.2 is above its budget, 1.1" in budget.judge(1.2)
    assert "--write" in budget.judge(0.8)


def test_a_story_that_became_dearer_fails(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "PLAYED", 1)
    wrong = broken(bench, "enqueue_many", {"inside": Budget(0, 1), "tasks": Budget(0, 0)})
    assert len(wrong) == 1
    assert wrong[0].startswith("enqueue_many: inside: ")


def test_steps_and_calls_hold_for_the_versions_that_they_were_written_with() -> None:
    every = {name: Budget(0, 1) for name in ALLOWED}
    assert held(every, budgets.versions()) == every
    others = held(every, {"python": "3.1"})
    assert others.keys() == every.keys() - {"steps", "calls"}
