from __future__ import annotations

import datetime as dt
from types import MappingProxyType
from typing import Any

import attrs
import pytest

import rediq_trio as rediq
from rediq_trio.cli.demo_report import DemoResult, report
from rediq_trio.cli.demo_tasks import CancellationProbe
from rediq_trio.cli.screen import PlainScreen

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def task(state: rediq.State, **more: Any) -> rediq.TaskInfo:
    given: dict[str, Any] = {
        "id": "q/1", "queue": "q", "type": "t", "state": state, "priority": 50, "attempt": 1,
        "max_retry": 3, "deliveries": 1, "crashes": 0, "created_at": NOW, "run_at": NOW,
        "started_at": NOW + dt.timedelta(seconds=1), "finished_at": NOW + dt.timedelta(seconds=3),
        "progress": None, "result": None, "error": None, "worker": "w",
        "metadata": MappingProxyType({}),
    }  # fmt: skip
    return rediq.TaskInfo(**(given | more))


GOOD = DemoResult(
    stats=rediq.QueueStats(completed=2, dead=1, cancelled=1, enqueued=4),
    elapsed=2.0,
    size=3_000_000,
    completed=[task(rediq.State.COMPLETED)] * 2,
    dead=[task(rediq.State.DEAD, error="why")],
    latencies=[0.001, 0.002],
    cancelled=task(rediq.State.CANCELLED),
    probe=CancellationProbe(took=0.01, reason="cancelled"),
    samples=2,
    wrong=[],
    violations=[],
)


def test_a_good_outcome_is_told_with_its_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert GOOD.good
    report(PlainScreen(), GOOD)
    said = capsys.readouterr().out
    assert "1 files/s, 1.5 MB/s" in said
    assert "p50 1,000.0 ms, p95 1,000.0 ms, p99 1,000.0 ms  enqueue to start" in said
    assert "p50 2,000.0 ms" in said
    assert "p50 1.0 ms, p95 2.0 ms" in said
    assert "all invariants hold (checked on 4 tasks)" in said


def test_a_violation_is_named_and_no_good_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    bad = attrs.evolve(GOOD, violations=[rediq.Violation(3, "1", "is active without a lease")])
    assert not bad.good
    report(PlainScreen(), bad)
    said = capsys.readouterr().out
    assert "1 violations: invariant 3, 1: is active without a lease" in said
    assert "all invariants hold" not in said


def test_a_wrong_hash_is_named_and_no_good_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    bad = attrs.evolve(GOOD, wrong=["/some/file"])
    assert not bad.good
    report(PlainScreen(), bad)
    assert "1 of 2 hashes agree with hashlib; not those of /some/file" in capsys.readouterr().out


def test_a_task_that_saw_no_cancelled_is_no_good_outcome() -> None:
    assert not attrs.evolve(GOOD, probe=CancellationProbe()).good
