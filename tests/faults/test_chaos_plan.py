"""The fault bench's schedule, fleet of faults and command line, without a server."""

from __future__ import annotations

import json
import random
from itertools import islice
from pathlib import Path

import attrs
import pytest
import trio

from rediq_trio import ConfigError
from tests.chaos.__main__ import parse, show
from tests.chaos.faults import KINDS, rounds
from tests.chaos.observe import Observer, read
from tests.chaos.run import Plan, Report, run


def test_a_seed_fixes_the_order_of_the_faults() -> None:
    names = sorted(KINDS)
    first, again, other = (
        list(islice(rounds(names, random.Random(seed)), 40)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_each_fault_comes_once_before_any_comes_again() -> None:
    names = sorted(KINDS)
    came: list[str] = []
    for chosen in rounds(names, random.Random(3)):
        came += chosen
        if len(came) >= len(names):
            break
    assert sorted(came) == names


def test_failovers_come_alone() -> None:
    for chosen in islice(rounds(sorted(KINDS), random.Random(4)), 500):
        alone = [
            name
            for name in chosen
            if name.startswith(("sentinel", "cluster", "move", "redis-away"))
        ]
        assert len(chosen) == 1 or not alone


def test_a_server_is_ended_by_one_fault_at_a_time() -> None:
    for chosen in islice(rounds(sorted(KINDS), random.Random(5)), 2_000):
        assert sum(name in ("redis-crash", "redis-restart", "redis-away") for name in chosen) <= 1


def test_what_is_noted_is_read_back(tmp_path: Path) -> None:
    observer = Observer(tmp_path, "p0.0")
    number = observer.call("enqueue", "main/1", {"kind": "plain"})
    observer.returned(number, {"created": True, "id": "main/1"})
    observer.close()
    call, back = read(tmp_path)
    assert (call["c"], call["e"], call["n"], call["op"]) == ("p0.0", "call", number, "enqueue")
    assert (back["e"], back["n"], back["answer"]) == (
        "return",
        number,
        {"created": True, "id": "main/1"},
    )
    assert back["t"] >= call["t"]


def test_the_command_line_makes_a_plan() -> None:
    plan, where = parse(["--minutes", "2", "--seed", "7", "--faults", "drop,delay", "--json", "x"])
    assert (plan.seconds, plan.seed, plan.faults) == (120.0, 7, ("drop", "delay"))
    assert where == Path("x")
    assert parse([])[0].seed != parse([])[0].seed


def test_a_report_says_seed_and_verdict_and_is_json() -> None:
    report = Report(Plan(seed=42, seconds=1.0), faults={"drop": 2}, violations=["promise 1: lost"])
    text = show(report)
    assert "seed 42" in text
    assert "VIOLATED: promise 1: lost" in text
    assert text.endswith("BROKEN")
    assert json.loads(json.dumps(report.as_data()))["passed"] is False
    assert show(attrs.evolve(report, violations=[])).endswith("every promise kept")


@pytest.mark.parametrize(
    ("field", "plan"),
    [
        ("faults", Plan(seed=1, seconds=1.0, faults=("nonsense",))),
        ("durability", Plan(seed=1, seconds=1.0, durability="replicated")),
    ],
)
def test_a_plan_that_cannot_be_is_refused(field: str, plan: Plan) -> None:
    with pytest.raises(ConfigError, match=field):
        trio.run(run, plan, print)
