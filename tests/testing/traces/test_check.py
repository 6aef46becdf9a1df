"""check_trace: a good history, a planted violation, a cut file, and a queue at an instant."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from rediq_trio import ConfigError
from rediq_trio.admin.history_file import history_lines
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Completed
from rediq_trio.store.memory import MemoryStore
from rediq_trio.testing import check_trace
from tests.conformance.bench import START, Bench, Clock, Q, failed

BEGIN = datetime.fromtimestamp(START / 1000, UTC)


async def recorded() -> list[str]:
    """Return the history of two tasks: one completes after a second, one fails a second later."""
    clock = Clock()
    bench = Bench(MemoryStore(clock), clock)
    await bench.store.arrange(Q, history=100)
    await bench.add("good", "bad")
    clock.advance(1000)
    one, two = [lease.fence for lease in await bench.take(2)]
    await bench.store.settle(Q, [Completed(one, b"r")])
    clock.advance(1000)
    await bench.store.settle(Q, [failed(two)])
    return [line async for line in history_lines(bench.store, Q)]


def changed(lines: list[str], step: int, **fields: Any) -> list[str]:
    """Return the lines, with other values in one step."""
    found = [json.loads(line) for line in lines]
    return [json.dumps(one | fields if one.get("step") == step else one) for one in found]


def step_of(lines: list[str], event: str, task: str) -> int:
    found = [json.loads(line) for line in lines]
    return next(one["step"] for one in found if (one.get("event"), one.get("id")) == (event, task))


async def test_a_good_trace_is_true_and_says_so(tmp_path: Path) -> None:
    lines = await recorded()
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join(lines), "utf-8")
    for trace in (path, str(path), lines):
        report = check_trace(trace)
        assert report
        assert str(report) == "q: 7 steps, from its beginning\n  keeps to the specification"
        assert (report.violations, report.states) == ((), ())
    [history] = report.histories
    assert check_trace(history.entries)


async def test_a_violation_names_its_entry_and_the_promise() -> None:
    lines = await recorded()
    step = step_of(lines, "claim", "bad")
    report = check_trace(changed(lines, step, source="completed"))
    assert not report
    found = report.violations[0]
    assert (found.queue, found.entry.number, found.invariant) == (Q, step, 5)
    assert found.promise == "A terminal state changes only by revive, requeue, delete and purge."
    assert f"step {step}, claim of bad: completed -> active is no edge of it" in str(report)
    assert "breaks invariant 5: A terminal state changes only by" in str(report)
    assert "bad: enqueue, - -> pending" in str(report)
    assert "good: " not in str(report)
    assert "BREAKS  invariant 5: completed -> active" in report.timeline()


async def test_a_missing_step_breaks_the_history() -> None:
    lines = await recorded()
    step = step_of(lines, "complete", "good")
    report = check_trace([line for line in lines if json.loads(line).get("step") != step])
    assert "no step is missing" in report.violations[0].promise
    assert report.violations[0].detail == f"it follows step {step - 1}"


async def test_the_timeline_has_a_line_for_each_step() -> None:
    report = check_trace(await recorded())
    assert report.timeline(task="bad").splitlines() == [
        "     0.000 s  q step 3  bad: enqueue, - -> pending",
        "     1.000 s  q step 5  bad: claim, pending -> active, attempt 1, delivery 1, by w",
        "     2.000 s  q step 7  bad: fail, active -> retry, attempt 1, delivery 1, 'boom'",
    ]
    assert len(report.timeline().splitlines()) == 7
    with pytest.raises(ConfigError, match="task='nobody': must be a task with a step"):
        report.timeline(task="nobody")


async def test_the_picture_has_the_attempts() -> None:
    drawn = check_trace(await recorded()).svg()
    ElementTree.fromstring(drawn)
    assert "attempt 1, delivery 1: completed" in drawn
    assert "attempt 1, delivery 1: failed" in drawn
    assert "Nothing was broken." in drawn


@pytest.mark.parametrize(
    "at",
    [BEGIN + timedelta(seconds=1.5), timedelta(seconds=1.5), 6],
    ids=["datetime", "timedelta", "step"],
)
async def test_the_state_at_an_instant_is_that_after_the_last_step_until_then(at: Any) -> None:
    report = check_trace(await recorded(), at=at)
    [found] = report.states
    assert (found.queue, found.step, found.now_ms, found.is_complete) == (Q, 6, START + 1000, True)
    assert found.tasks["bad"].state is State.ACTIVE
    assert (found.ids(State.ACTIVE), found.ids(State.COMPLETED)) == (("bad",), ("good",))
    assert "q after step 6: 1 active, 1 completed" in str(report)


async def test_at_the_last_step_the_state_is_that_of_the_end() -> None:
    lines = await recorded()
    for at in (7, BEGIN + timedelta(days=1)):
        [found] = check_trace(lines, at=at).states
        assert (found.step, found.tasks["bad"].state) == (7, State.RETRY)


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (0, r"at=0: must be the number of a step, 1 to 7"),
        (8, r"at=8: must be the number of a step, 1 to 7"),
        (timedelta(seconds=-1), r"at=.*: must be 0 or more"),
        (BEGIN - timedelta(seconds=1), r"at=.*: must be 2023-11-14T22:13:20\+00:00 or later"),
        (datetime(2030, 1, 1), r"at=.*: must be a datetime with a timezone, a timedelta"),
        (1.5, r"at=1.5: must be a datetime with a timezone, a timedelta"),
        (True, r"at=True: must be a datetime with a timezone, a timedelta"),
    ],
)
async def test_a_bad_instant_is_refused(at: Any, said: str) -> None:
    lines = await recorded()
    with pytest.raises(ConfigError, match=said):
        check_trace(lines, at=at)


async def test_a_trace_without_steps_has_no_instant() -> None:
    [head, *_] = await recorded()
    assert check_trace([head])
    with pytest.raises(ConfigError, match="at=1: must be None: the trace has no steps"):
        check_trace([head], at=1)


async def test_a_cut_file_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join(await recorded())[:-20], "utf-8")
    with pytest.raises(ConfigError, match=r"q\.jsonl: line 8 is not a line of a history"):
        check_trace(path)


def test_what_is_no_trace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing: No such file"):
        check_trace(tmp_path / "missing")
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"bytes: no text: invalid start byte"):
        check_trace(tmp_path / "bytes")
    with pytest.raises(ConfigError, match="no history in 0 lines"):
        check_trace([])


async def test_each_history_of_a_file_has_its_state() -> None:
    lines = await recorded()
    other = [line.replace('"queue": "q"', '"queue": "other"') for line in lines]
    report = check_trace([*lines, *changed(other, 4, source="dead")], at=7)
    assert [one.queue for one in report.states] == ["q", "other"]
    assert {one.queue for one in report.violations} == {"other"}
    assert "q: 7 steps, from its beginning\n  keeps to the specification\nother: 7 steps" in str(
        report
    )
