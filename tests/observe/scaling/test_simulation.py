"""Under every pattern of arrivals the rule settles, and keeps the target of latency."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.observe.scaling.simulation import PATTERNS, simulate

LATENCY = 60.0
SETTLED = 300.0
"""Seconds after which the number must have settled."""


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", PATTERNS)
def test_it_settles_and_keeps_the_target(name: str, seed: int) -> None:
    pattern = PATTERNS[name]
    run = simulate(pattern, seed, latency=LATENCY, length=3600.0)
    waits = {minute: wait for minute, wait in run.p95_by_minute().items() if minute >= 2}
    missed = {minute: wait for minute, wait in waits.items() if wait > LATENCY}
    assert len(waits) > 40
    assert len(missed) <= 0.05 * len(waits), missed
    if pattern.steady_from is not None:
        turns = [at for at in run.turns() if at >= pattern.steady_from + SETTLED]
        assert all(later - earlier > 300 for earlier, later in pairwise(turns)), turns


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("steady low", 1, 1), ("steady high", 4, 8), ("heavy tail", 2, 6), ("slow tasks", 7, 16)],
)
def test_a_steady_load_gets_its_slots_and_little_more(name: str, least: int, most: int) -> None:
    pattern = PATTERNS[name]
    run = simulate(pattern, 7, latency=LATENCY, length=3600.0)
    late = [number for at, number in run.desired if at > 1200]
    assert least <= min(late) <= max(late) <= most


def test_a_load_that_went_away_gives_its_workers_back() -> None:
    run = simulate(PATTERNS["step down"], 0, latency=LATENCY, length=3600.0)
    assert max(number for at, number in run.desired if at < 900) >= 5
    assert max(number for at, number in run.desired if at > 900 + 600) <= 2


def test_without_the_stable_window_it_would_not_settle() -> None:
    # What the simulation measures is real: a rule without memory fails it.
    run = simulate(PATTERNS["heavy tail"], 0, latency=LATENCY, length=3600.0, remembers=False)
    turns = [at for at in run.turns() if at >= SETTLED]
    assert any(later - earlier <= 300 for earlier, later in pairwise(turns))
