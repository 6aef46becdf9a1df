"""Short runs of the fault bench: each fault once, and a server that is away for long.

`python -m tests.chaos` runs it for as long as one likes. These are no `async def`: every
wait in a run has its bound, and together they may take longer than a test does as a rule.
"""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
import trio

from rediq_trio.testing.judge import judge
from rediq_trio.testing.judge.seen import VIEWED
from tests.chaos.failovers import CLUSTER, SENTINEL
from tests.chaos.faults import KINDS
from tests.chaos.outages import JUMPS, Away
from tests.chaos.run import Plan, Report, run
from tests.chaos.server import find_faketime

pytestmark = [pytest.mark.slow, pytest.mark.uncounted, pytest.mark.usefixtures("embedded_server")]

BRIEF = Plan(seed=1, seconds=240.0, rate=60.0, workers=2, lease=1.5, once=True, recover_within=45.0)
"""Ends when each fault has come once. Its bounds are those of a machine that is busy: how fast
the queue recovers is measured by the bench, and a test only proves that it does."""


def check(report: Report) -> None:
    """Check that no promise was broken; where one was, what the judge says is the message."""
    assert report.passed, "\n".join([*report.violations, report.judged])


def test_every_fault_of_one_server_comes_once_and_no_promise_is_broken(
    tmp_path: Path,
) -> None:
    report = trio.run(run, attrs.evolve(BRIEF, keep=tmp_path), print)
    check(report)
    missing = {kind.kind for kind in (*SENTINEL, *CLUSTER)} | {Away.kind}
    if find_faketime() is None:
        missing |= {kind.kind for kind in JUMPS}
    assert report.faults.keys() == KINDS.keys() - missing
    assert report.duplicates > 0  # leases did lapse, and attempts did fail
    assert report.starts > report.acknowledged / 2


def test_a_server_that_is_away_for_long_costs_nothing_and_needs_no_restart(
    tmp_path: Path,
) -> None:
    plan = attrs.evolve(BRIEF, faults=(Away.kind,), away=15.0, keep=tmp_path)
    report = trio.run(run, plan, print)
    check(report)
    assert report.faults == {Away.kind: 1}
    assert {path.stem for path in tmp_path.glob("w*.jsonl")} == {"w0.0", "w1.0"}
    assert report.recoveries[Away.kind] <= 45.0


def test_what_a_viewer_sees_through_the_faults_is_what_the_histories_passed_through(
    tmp_path: Path,
) -> None:
    faults = ("kill-worker", "redis-crash", "lose-replies")
    plan = attrs.evolve(BRIEF, seconds=20.0, once=False, faults=faults, keep=tmp_path)
    report = trio.run(run, plan, print)
    check(report)
    assert report.views > 30
    # The same run is refused once a single count that was seen is another one.
    views = tmp_path / VIEWED / "views.jsonl"
    lines = [json.loads(line) for line in views.read_text().splitlines()]
    lines[-1]["queues"]["main"]["numbers"]["completed_total"] += 1
    views.write_text("\n".join(map(json.dumps, lines)) + "\n")
    (broken,) = judge(tmp_path).violations
    assert (broken.invariant, broken.subject) == (7, "main")
    assert broken.sentence.startswith("completed_total is seen as ")
