"""The specification, explored exhaustively within small bounds."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

from rediq_trio.spec import rules as spec
from rediq_trio.spec.messages import NewTask, Outcome, Released
from rediq_trio.spec.records import QueueState
from tests.property.explore import (
    START,
    TICK,
    WORLDS,
    canonical,
    explore,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.uncounted
def test_every_reachable_state_keeps_every_invariant_and_every_edge_is_taken() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.property.explore"],
        cwd=ROOT, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
    counts = re.findall(r"([\d,]+) states", done.stdout)
    assert sum(int(count.replace(",", "")) for count in counts) > 50_000


def test_a_state_is_the_same_at_another_time() -> None:
    def begin(now: int) -> QueueState:
        tasks = [NewTask("a", b"e", expires_in_ms=TICK), NewTask("b", b"e", delay_ms=TICK)]
        return spec.enqueue(QueueState(), now, tasks)[0]

    assert canonical(begin(START), START) == canonical(begin(START + 7), START + 7)
    assert canonical(begin(START), START) != canonical(begin(START), START + 1)


def test_an_exploration_finds_a_transition_that_breaks_an_invariant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = spec.settle

    def careless(queue: QueueState, now: int, outcomes: Sequence[Outcome]) -> object:
        after, answer = good(queue, now, outcomes)
        if not any(isinstance(outcome, Released) for outcome in outcomes):
            return after, answer
        records = {i: attrs.evolve(r, lease_ms=now) for i, r in after.records.items()}
        return attrs.evolve(after, records=records), answer

    monkeypatch.setattr(spec, "settle", careless)
    with pytest.raises(AssertionError):
        explore(WORLDS["attempts"])
