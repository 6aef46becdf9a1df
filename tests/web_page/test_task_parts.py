"""Parts of the page of a task: its way and attempts, tracebacks, values, lines and filters."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from rediq_trio import ConfigError, State
from rediq_trio.observe.filter_line import filter_word, read_filter_line
from rediq_trio.values.hiding import Hidden
from rediq_trio.values.observed.attempt import Attempt
from rediq_trio.values.task import TaskInfo
from rediq_trio.web.drawing.life import Bar, axis, life
from rediq_trio.web.drawing.machine import EDGE_PATHS, machine
from rediq_trio.web.task_parts.life import attempt_rows, axis_of, way_of
from rediq_trio.web.task_parts.payload_text import value_line
from rediq_trio.web.task_parts.traceback import traceback_lines
from rediq_trio.web.task_parts.tree import tree

BEGIN = dt.datetime(2026, 11, 29, 12, tzinfo=dt.UTC)


def at(seconds: float) -> dt.datetime:
    return BEGIN + dt.timedelta(seconds=seconds)


def ended(number: int, begun: float, over: float, outcome: str = "failed", *, delivery: int = 0) -> Attempt:
    return Attempt(
        number=number, delivery=delivery or number, worker="w", started_at=at(begun), ended_at=at(over),
        outcome=outcome, error_type="ValueError", message="no", traceback=None, kind="k",
    )  # fmt: skip


def info(state: State, **more: Any) -> TaskInfo:
    """Return a task that was enqueued at the beginning."""
    fields: dict[str, Any] = {
        "id": "q/1", "queue": "q", "type": "t", "state": state, "priority": 50, "attempt": 0, "max_retry": 3,
        "deliveries": 0, "crashes": 0, "created_at": at(0), "run_at": at(0), "started_at": None,
        "finished_at": None, "progress": None, "result": None, "error": None, "worker": None, "metadata": {},
    }  # fmt: skip
    return TaskInfo(**(fields | more))


START = ("start", "pending")
CLAIM, DONE, DEATH = ("pending", "active"), ("active", "completed"), ("active", "dead")


@pytest.mark.parametrize(
    ("task", "way", "seen"),
    [
        (info(State.PENDING), {START: "enqueue"}, ["pending"]),
        (info(State.SCHEDULED, run_at=at(60)), {("start", "scheduled"): "enqueue"}, ["scheduled"]),
        (info(State.GROUPED, group="g"), {("start", "grouped"): "enqueue"}, ["grouped"]),
        (info(State.BLOCKED, depends_on=("q/0",)), {("start", "blocked"): "enqueue"}, ["blocked"]),
        (
            info(State.COMPLETED, attempt=1, deliveries=1, started_at=at(1), finished_at=at(2)),
            {START: "enqueue", CLAIM: "claim", DONE: "complete"}, ["pending", "active", "completed"],
        ),
        (
            info(State.RETRY, attempt=1, deliveries=1, started_at=at(1), run_at=at(9),
                 attempts=(ended(1, 1, 2),)),
            {START: "enqueue", CLAIM: "claim", ("active", "retry"): "fail"}, ["pending", "active", "retry"],
        ),
        (
            info(State.DEAD, attempt=2, deliveries=2, started_at=at(5), run_at=at(4), finished_at=at(6),
                 attempts=(ended(1, 1, 2), ended(2, 5, 6))),
            {START: "enqueue", CLAIM: "claim ×2", ("active", "retry"): "fail", ("retry", "pending"): "promote",
             DEATH: "fail, the last"},
            ["pending", "active", "retry", "dead"],
        ),
        (
            info(State.PENDING, attempt=0, deliveries=1, crashes=1, started_at=at(1),
                 attempts=(ended(1, 1, 31, "crashed"),)),
            {START: "enqueue", CLAIM: "claim", ("active", "pending"): "crash"}, ["pending", "active"],
        ),
        (
            info(State.DEAD, attempt=0, deliveries=1, crashes=1, started_at=at(1), finished_at=at(31),
                 attempts=(ended(1, 1, 31, "crashed"),)),
            {START: "enqueue", CLAIM: "claim", DEATH: "crash"}, ["pending", "active", "dead"],
        ),
        (
            info(State.SCHEDULED, deliveries=1, snoozes=1, started_at=at(1), run_at=at(90),
                 attempts=(ended(1, 1, 2, "snoozed"),)),
            {START: "enqueue", CLAIM: "claim", ("active", "scheduled"): "snooze"},
            ["pending", "active", "scheduled"],
        ),
        (
            info(State.CANCELLED, finished_at=at(5)),
            {START: "enqueue", ("waiting", "cancelled"): "cancel"}, ["pending", "cancelled"],
        ),
        (
            info(State.CANCELLED, attempt=1, deliveries=1, started_at=at(1), finished_at=at(5)),
            {START: "enqueue", CLAIM: "claim", ("active", "cancelled"): "cancel"},
            ["pending", "active", "cancelled"],
        ),
        (
            info(State.DEAD, depends_on=("q/0",), finished_at=at(5)),
            {("start", "blocked"): "enqueue", ("blocked", "dead"): "a dependency failed"}, ["blocked", "dead"],
        ),
        (
            info(State.DEAD, finished_at=at(5)),
            {START: "enqueue", ("waiting", "dead"): "expire"}, ["pending", "dead"],
        ),
    ],
)  # fmt: skip
def test_the_way_of_a_task_is_made_of_its_counters(
    task: TaskInfo, way: dict[tuple[str, str], str], seen: list[str]
) -> None:
    found = way_of(task, at(100))
    assert {edge: words for edge, words in found.taken.items() if edge != ("blocked", "pending")} == way
    assert sorted(found.visits) == sorted(seen)
    drawn = machine(found.taken, found.visits, task.state.value, found.label)
    assert drawn.count('class="lit"') == len(found.taken)
    assert f"{task.state.value} v here" in drawn


def test_every_edge_can_be_drawn_and_words_are_escaped() -> None:
    drawn = machine(dict.fromkeys(EDGE_PATHS, "<b>"), {"dead": "<i>"}, "dead", '"<u>')
    assert "<b>" not in drawn
    assert "<i>" not in drawn
    assert "<u>" not in drawn
    assert drawn.count('class="lit"') == len(EDGE_PATHS)


def test_attempts_stand_on_one_axis_with_waits_runs_and_backoff() -> None:
    task = info(
        State.RETRY, attempt=2, deliveries=2, started_at=at(10), run_at=at(30),
        attempts=(ended(1, 2, 5), ended(2, 10, 20)),
    )  # fmt: skip
    first, second = attempt_rows(task, at(21))
    assert axis_of(task, at(21)) == (at(0), at(30))
    assert [(bar.kind, bar.since, bar.until) for bar in first.bars] == [("wait", 0, 2), ("run", 2, 5)]
    assert [bar.kind for bar in second.bars] == ["back", "run", "back"]
    assert (first.back, first.waited, first.ran) == (None, 2, 3)
    assert (second.back, second.waited, second.ran) == (5, None, 10)
    drawn = life(second.bars, 30)
    assert 'x="66.67%" y="3" width="33.33%"' in drawn


def test_of_the_last_attempt_backoff_and_wait_are_told_apart() -> None:
    task = info(
        State.ACTIVE, attempt=2, deliveries=2, started_at=at(10), run_at=at(9), worker="w2",
        attempts=(ended(1, 2, 5),),
    )  # fmt: skip
    last = attempt_rows(task, at(12))[-1]
    assert (last.back, last.waited, last.ran, last.ended, last.worker) == (4, 1, 2, "runs", "w2")


def test_a_bar_of_no_time_and_one_outside_of_the_axis_can_be_drawn() -> None:
    drawn = life([Bar("run", 0, 0, "<x>"), Bar("run", 5, 9, "late")], 4)
    assert "<x>" not in drawn
    assert 'width="0.35%"' in drawn
    assert 'x="100.00%" y="3" width="0.00%"' in drawn


def test_the_axis_says_offsets_when_the_clock_would_say_too_little() -> None:
    assert "+1.0 s" in axis(at(0), at(3), dt.UTC)
    assert "12:00:30" in axis(at(0), at(30), dt.UTC)
    assert "30 Nov" in axis(at(0), at(90_000), dt.UTC)


TRACEBACK = """Traceback (most recent call last):
  File "/app/a.py", line 1, in first
    second()
  [3 frames of trio, ssl]
KeyError: 'x'

The error above is the cause of the next one:

Traceback (most recent call last):
  File "/app/b.py", line 22, in second
    raise ValueError
ValueError: no
a note"""


def test_a_traceback_has_its_error_first_and_the_innermost_own_frame_lit() -> None:
    lines = traceback_lines(TRACEBACK)
    assert [line.kind for line in lines] == ["what", "what", "own", "lib", "what", "part", "own"]
    assert [line.text for line in lines[:2]] == ["ValueError: no", "a note"]
    assert [line.last for line in lines if line.kind == "own"] == [False, True]
    assert (lines[-1].file, lines[-1].line, lines[-1].source) == ("/app/b.py", "22", "raise ValueError")


def test_a_text_that_is_no_traceback_is_shown_as_it_is() -> None:
    lines = traceback_lines("panic: at 7\n\n  goroutine 1")
    assert [line.text for line in lines] == ["panic: at 7", "  goroutine 1"]
    assert traceback_lines("") == []


def test_a_tree_has_exact_numbers_bytes_and_what_is_hidden() -> None:
    hidden = Hidden("(hidden by payload.h)")
    drawn = tree({"n": 2**200, "f": 0.1, "b": b"\x00\xff", "s": "<b>\x1b\n", "h": hidden, 7: None})
    assert str(2**200) in drawn.html
    assert "00 ff" in drawn.html
    assert "&lt;b&gt;\\u001b\\n" in drawn.html
    assert "(hidden by payload.h)" in drawn.html
    assert "<b>" not in drawn.html
    assert drawn.whole


def test_a_tree_is_cut_by_size_and_by_depth() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    assert not tree(deep).whole
    wide = tree(["x" * 100] * 1000, 5000)
    assert not wide.whole
    assert len(wide.html) < 10_000
    assert "more</li>" in wide.html
    assert "more characters" in tree("y" * 9000, 1000).html
    assert tree(10**5000).whole


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"to": "ada", "n": 7, "deep": {"a": 1}, "list": [1, 2]}, "to=ada n=7 deep={1} list=[2]"),
        ([1, "x", None], "1 x null"),
        (b"\x01", "0x01"),
        ("a\x1bb", "a\\x1bb"),
        ({}, ""),
    ],
)
def test_a_payload_is_one_line(value: object, line: str) -> None:
    assert value_line(value) == line


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("", {}),
        ("type:mail:send", {"type": "mail:send"}),
        ('error:"no answer" kind:abc', {"error": "no answer", "kind": "abc"}),
        ("meta.a:1 meta.b:2", {"metadata": {"a": "1", "b": "2"}}),
        ("payload.user.id:7", {"payload": ("user.id", 7)}),
        ('payload.user.id:"7"', {"payload": ("user.id", "7")}),
        ("payload:ada limit:acme priority:3", {"payload": "ada", "limit_key": "acme", "priority": 3}),
        ("older:1h younger:2d", {"older_than": 3600.0, "younger_than": 172_800.0}),
    ],
)
def test_a_filter_line_is_read(line: str, options: dict[str, object]) -> None:
    assert read_filter_line(line).options == options


@pytest.mark.parametrize(
    ("line", "words", "caret"),
    [
        ("type:a tpye:b", "did you mean type?", "         ^~~~~~"),
        ("timeout", "write for example error:timeout", "  ^~~~~~~"),
        ("type:a type:b", "there twice", "         ^~~~~~"),
        ("older:soon", "like 90, 250ms", "  ^~~~~~~~~~"),
        ("priority:101", "0 to 100", "  ^"),
        ('error:"a', "not closed", "        ^~"),
        ("payload.:1", "empty", "  ^"),
        ("meta.:1", "has no key", "  ^"),
        ("type:", "has no value", "  ^~~~~"),
        ("x" * 5000, "at most 4,000", ""),
    ],
)
def test_a_mistake_in_a_filter_line_has_a_caret(line: str, words: str, caret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_filter_line(line)
    assert words in str(caught.value)
    if caret:
        assert caught.value.__notes__[1].startswith(caret)


@pytest.mark.parametrize("value", ["plain", "two words", 'a "quote"', "ünï"])
def test_a_word_of_a_filter_is_read_as_it_was_written(value: str) -> None:
    assert read_filter_line(filter_word("error", value)).options == {"error": value}
