"""The judge knows what changes of waiting tasks, moves and bulk changes allow, and finds the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.faults.test_judge import OPTIONS, Story, blamed


@pytest.fixture
def story(tmp_path: Path) -> Story:
    found = Story(tmp_path)
    found.atomic("bystander", 1)
    return found


def part(story: Story, at: float, op: str, own: str, *, back: float = 1, **args: Any) -> None:
    """Tell of the part of one task in a bulk change."""
    story.calls += 1
    story.note(at, "p", "call", n=story.calls, op=op, id=f"q/{own}", args=args)
    story.note(at + back, "p", "raise", n=story.calls, error="Untold", sent=True)


def arrives(story: Story, own: str, origin: str, state: str = "completed") -> None:
    """Tell of a task that was moved, and is there at the end."""
    ran = state == "completed"
    if ran:
        story.run(20, own, origin=f"q/{origin}")
    story.final(own, state, origin=f"q/{origin}", attempt=int(ran), deliveries=int(ran))


# --- another time


@pytest.mark.parametrize(("op", "answer"), [("run_now", True), ("reschedule", "pending")])
def test_a_task_that_was_hurried_may_start_before_it_was_due(
    story: Story, op: str, answer: Any
) -> None:
    story.enqueue(5, "a", due_s=60)
    story.call(6, op, "a", answer, delay_s=0)
    story.run(7, "a")
    story.final("a")
    assert story.judge().passed


def test_a_task_that_a_refused_call_did_not_hurry_may_not(story: Story) -> None:
    story.enqueue(5, "a", due_s=60)
    story.note(6, "p", "call", n=99, op="run_now", id="q/a", args={})
    story.note(6.01, "p", "raise", n=99, error="TaskStateError")
    story.run(7, "a")
    story.final("a")
    assert blamed(story.judge()) == [(3, "q/a")]


def test_a_task_that_was_put_off_starts_at_its_new_time(story: Story) -> None:
    for own, at in (("a", 17), ("b", 12)):
        story.enqueue(5, own, due_s=1)
        story.call(5.5, "reschedule", own, "scheduled", delay_s=10)
        story.run(at, own)
        story.final(own)
    verdict = story.judge()
    assert blamed(verdict) == [(3, "q/b")]
    assert "before the time that it was put off to" in verdict.report()


def test_a_failover_may_forget_that_a_task_was_put_off_and_no_more(story: Story) -> None:
    for own, at in (("forgotten", 12), ("early", 7)):
        story.enqueue(5, own, due_s=4)
        story.call(5.5, "reschedule", own, "scheduled", delay_s=10)
        story.run(at, own)
        story.final(own)
    story.note(6, "driver", "fault", kind="sentinel-failover", target="", begin=True)
    story.note(6.5, "driver", "fault", kind="sentinel-failover", target="", begin=False)
    verdict = story.judge()
    assert {each for _, each in blamed(verdict)} == {"q/early"}
    assert [each.subject for each in verdict.losses] == ["q/forgotten"]


@pytest.mark.parametrize(
    ("op", "answer"), [("run_now", True), ("reschedule", "scheduled"), ("update", "pending")]
)
def test_a_task_that_ran_cannot_have_been_changed(story: Story, op: str, answer: Any) -> None:
    story.enqueue(5, "a")
    story.run(6, "a")
    story.call(7, "info", "a", {"state": "completed", "attempt": 1, "deliveries": 1, "crashes": 0})
    story.call(8, op, "a", answer, delay_s=10)
    story.final("a")
    assert blamed(story.judge()) == [(5, "q/a")]


def test_a_task_that_was_changed_existed(story: Story) -> None:
    story.enqueue(5, "a", due_s=60)
    story.call(6, "update", "a", "scheduled")
    assert blamed(story.judge()) == [(1, "q/a")]


# --- another queue


def test_a_moved_task_arrives_under_another_id(story: Story) -> None:
    story.enqueue(5, "a", due_s=60)
    story.call(6, "requeue", "a", "other/x")
    arrives(story, "x", "a")
    assert story.judge().passed


@pytest.mark.parametrize("planted", ["lost", "twice", "still there", "by nobody"])
def test_what_is_wrong_with_a_move_is_found(story: Story, planted: str) -> None:
    story.enqueue(5, "a", due_s=60)
    if planted != "by nobody":
        story.call(6, "requeue", "a", "other/x")
    if planted != "lost":
        arrives(story, "x", "a")
    if planted == "twice":
        arrives(story, "y", "a")
    if planted == "still there":
        story.final("a", "scheduled", attempt=0, deliveries=0)
    verdict = story.judge()
    assert (1 if planted in ("lost", "by nobody") else 2, "q/a") in blamed(verdict)
    assert {subject for _, subject in blamed(verdict)} == {"q/a"}


def test_a_move_without_an_answer_may_have_happened_or_not(story: Story) -> None:
    for own in ("a", "b"):
        story.enqueue(5, own, due_s=60)
        part(story, 6, "requeue", own)
    arrives(story, "x", "a", state="scheduled")
    story.final("b", "scheduled", attempt=0, deliveries=0)
    assert story.judge().passed


# --- many at once


def test_a_part_of_a_bulk_change_may_have_happened(story: Story) -> None:
    for own in ("a", "b", "c"):
        story.enqueue(5, own, due_s=60)
        part(story, 6, "delete" if own == "c" else "cancel", own)
    story.final("a", "cancelled", attempt=0, deliveries=0)
    story.final("b", "scheduled", attempt=0, deliveries=0)
    assert story.judge().passed


@pytest.mark.parametrize("clock", [False, True])
def test_what_came_after_the_selection_is_not_touched(story: Story, *, clock: bool) -> None:
    story.enqueue(5, "cancelled", due_s=60)
    story.enqueue(5, "deleted", due_s=60)
    for own, op in (("cancelled", "cancel"), ("deleted", "delete")):
        part(story, 6, op, own, late_since=round(4.9e9))
    story.final("cancelled", "cancelled", attempt=0, deliveries=0)
    if clock:  # by the clock of the server, they came before
        story.note(4.95, "driver", "fault", kind="clock-back", target="-8 s", begin=True)
        story.note(7, "driver", "fault", kind="clock-back", target="-8 s", begin=False)
    wrong = [] if clock else [(1, "q/deleted"), (5, "q/cancelled")]
    assert blamed(story.judge()) == wrong


def test_only_one_who_asks_for_it_may_change_a_task(story: Story) -> None:
    story.enqueue(5, "a", **{**OPTIONS, "due_s": 60})
    story.final("a", "cancelled", attempt=0, deliveries=0)
    assert blamed(story.judge()) == [(5, "q/a")]
