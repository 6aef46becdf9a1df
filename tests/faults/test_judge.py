"""The judge accepts what the specification does, and finds each fault that is planted, by its number."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from rediq_trio.testing.judge import JudgeVerdict, Unreadable, judge
from tests.faults.pretend import Pretend

OPTIONS: dict[str, Any] = {
    "max_retry": 3, "max_crashes": 3, "due_s": None, "expires_s": None, "unique": None,
    "limit_key": None, "depends_on": [], "group": None, "retention": 86_400, "kind": "plain",
}  # fmt: skip
LIMITS = {"narrow": {"concurrency": 1}, "paced": {"rate": [2, 1.0, 1]}}
SETUP: dict[str, Any] = {"limits": LIMITS, "lease": 3.0, "durability": "memory", "server": "plain"}


@attrs.define(eq=False)
class Story:
    """A run, told line by line. Instants are seconds."""

    folder: Path
    lines: list[dict[str, Any]] = attrs.field(factory=list)
    setup: dict[str, Any] = attrs.field(factory=lambda: dict(SETUP))
    completed: int = 0
    calls: int = 0

    def note(self, at: float, client: str, event: str, **fields: Any) -> None:
        self.lines.append({"t": round(at * 1e9), "c": client, "e": event, **fields})

    def call(
        self, at: float, op: str, own: str, answer: Any, *, back: float = 0.01, **args: Any
    ) -> None:
        """Tell of a call that was answered."""
        self.calls += 1
        self.note(at, "p", "call", n=self.calls, op=op, id=f"q/{own}", args=args)
        self.note(at + back, "p", "return", n=self.calls, answer=answer)

    def enqueue(self, at: float, own: str, **options: Any) -> None:
        made = {"created": True, "id": f"q/{own}"}
        self.call(at, "enqueue", own, made, **{**OPTIONS, **options})

    def run(
        self, at: float, own: str, fence: int = 1, *, attempt: int = 0, how: str = "success",
        end: float = 0.05, worker: str = "w", reason: str | None = None, **more: Any,
    ) -> None:  # fmt: skip
        """Tell of a handler, from its start to its end."""
        children = {"children": more.pop("children")} if "children" in more else {}
        self.note(
            at,
            worker,
            "start",
            id=f"q/{own}",
            fence=fence,
            attempt=attempt or fence,
            worker=worker,
            **more,
        )
        if how:
            self.note(
                at + end,
                worker,
                "end",
                id=f"q/{own}",
                fence=fence,
                how=how,
                reason=reason,
                **children,
            )

    def final(self, own: str, state: str = "completed", **facts: Any) -> None:
        self.completed += state == "completed"
        facts = {
            "attempt": 1,
            "deliveries": 1,
            "crashes": 0,
            "snoozes": 0,
            "members": None,
            **facts,
        }
        self.note(1000, "final", "task", id=f"q/{own}", state=state, **facts)

    def atomic(self, own: str, at: float, **options: Any) -> None:
        """Tell of a task to which nothing happened but what should."""
        self.enqueue(at, own, **options)
        self.run(at + 0.1, own)
        self.final(own)

    def judge(self, **counters: int) -> JudgeVerdict:
        files: dict[str, list[dict[str, Any]]] = {
            "driver": [{"t": 0, "c": "driver", "e": "setup", **self.setup}],
            "w": [{"t": 0, "c": "w", "e": "boot"}],
        }
        counters = {"completed": self.completed, **counters}
        self.note(1001, "final", "queue", name="q", counters=counters, violations=[])
        for line in sorted(self.lines, key=lambda line: line["t"]):
            files.setdefault(line["c"], []).append(line)
        for client, lines in files.items():
            text = "\n".join(json.dumps(line) for line in lines) + "\n"
            (self.folder / f"{client}.jsonl").write_text(text, "utf-8")
        return judge(self.folder)


@pytest.fixture
def story(tmp_path: Path) -> Story:
    found = Story(tmp_path)
    found.atomic("bystander", 1)
    return found


def blamed(verdict: JudgeVerdict) -> list[tuple[int, str]]:
    """Give what was broken: the promise and the subject."""
    return [(each.invariant, each.subject) for each in verdict.violations]


# --- what is right is accepted


@pytest.mark.parametrize("seed", range(24))
def test_what_the_specification_does_is_accepted(seed: int, tmp_path: Path) -> None:
    Pretend(tmp_path / "run", seed).run(1500)
    verdict = judge(tmp_path / "run")
    assert verdict.violations == [], verdict.report()
    assert verdict.counts["starts"] > 50


def test_every_way_to_run_again_is_told(tmp_path: Path) -> None:
    told: set[str] = set()
    for seed in range(6):
        Pretend(tmp_path / str(seed), seed).run(1500)
        told |= {each.explanation for each in judge(tmp_path / str(seed)).duplicates}
    assert told >= {
        "the attempt failed", "it was snoozed", "it was released", "its lease lapsed",
    }  # fmt: skip


def test_a_plain_story_is_accepted(story: Story) -> None:
    verdict = story.judge()
    assert verdict.passed
    assert "1. nothing is lost, and nothing comes from nowhere: kept" in verdict.report()


# --- 1: nothing is lost, and nothing comes from nowhere


def test_a_lost_task_is_found(story: Story) -> None:
    story.enqueue(5, "gone")
    verdict = story.judge()
    assert blamed(verdict) == [(1, "q/gone")]
    assert "enqueue (kind=plain, max_retry=3, max_crashes=3) -> created True" in verdict.report()


def test_a_task_that_only_a_repeat_told_of_is_lost_too(story: Story) -> None:
    story.call(5, "enqueue", "gone", {"created": False, "id": "q/gone"}, **OPTIONS)
    assert blamed(story.judge()) == [(1, "q/gone")]


def test_a_deleted_task_is_not_lost(story: Story) -> None:
    story.enqueue(5, "gone", due_s=60)
    story.call(6, "delete", "gone", True)
    assert story.judge().passed


def test_a_task_that_a_delete_did_not_take_is_lost(story: Story) -> None:
    story.enqueue(5, "gone")
    story.run(5.5, "gone", how="")
    story.call(6, "delete", "gone", False)
    assert blamed(story.judge()) == [(1, "q/gone")]


def test_an_enqueue_that_nobody_answered_may_be_lost(story: Story) -> None:
    story.note(5, "p", "call", n=77, op="enqueue", id="q/maybe", args=OPTIONS)
    story.note(6, "p", "call", n=78, op="enqueue", id="q/perhaps", args=OPTIONS)
    story.note(7, "p", "raise", n=78, error="ConnectionLost", sent=True)
    story.final("perhaps", "pending", attempt=0, deliveries=0)
    assert story.judge().passed


@pytest.mark.parametrize("refused", ["", "QueueFull"])
def test_a_phantom_is_found(story: Story, refused: str) -> None:
    if refused:
        story.note(5, "p", "call", n=77, op="enqueue", id="q/ghost", args=OPTIONS)
        story.note(6, "p", "raise", n=77, error=refused, sent=False)
    story.final("ghost", "pending", attempt=0, deliveries=0)
    assert blamed(story.judge()) == [(1, "q/ghost")]


def test_a_task_that_is_there_twice_is_found(story: Story) -> None:
    story.enqueue(5, "both")
    story.run(6, "both")
    story.final("both")
    story.final("both", "dead")
    assert (1, "q/both") in blamed(story.judge())


def test_what_a_queue_finds_in_itself_is_told(story: Story) -> None:
    wrong = [{"invariant": 2, "subject": "x", "detail": "left a payload behind"}]
    story.note(1000, "final", "queue", name="other", counters={}, violations=wrong)
    assert blamed(story.judge()) == [(1, "other")]


# --- 2: what the queue does itself is done once


def test_a_double_completion_is_found(story: Story) -> None:
    story.enqueue(5, "twice")
    story.run(6, "twice", 1)
    story.run(16, "twice", 2, attempt=1)
    story.final("twice", deliveries=2, attempt=2)
    assert blamed(story.judge()) == [(2, "q/twice")]


def test_a_second_success_after_a_lapse_is_none(story: Story) -> None:
    story.enqueue(5, "twice")
    story.run(6, "twice", 1)
    story.run(16, "twice", 2, attempt=1)
    story.final("twice", deliveries=2, crashes=1)
    verdict = story.judge()
    assert verdict.passed
    assert [each.explanation for each in verdict.duplicates] == ["its lease lapsed"]


def test_two_successes_under_one_fence_are_found(story: Story) -> None:
    story.enqueue(5, "twice")
    story.run(6, "twice")
    story.run(6.01, "twice", worker="w2")
    story.final("twice")
    assert (2, "q/twice") in blamed(story.judge())


def test_a_completion_that_was_counted_twice_is_found(story: Story) -> None:
    assert blamed(story.judge(completed=2)) == [(2, "q")]


def test_a_missing_child_is_found(story: Story) -> None:
    story.enqueue(5, "parent")
    story.run(6, "parent", children=["q/child"])
    story.final("parent")
    verdict = story.judge()
    assert blamed(verdict) == [(2, "q/parent")]
    assert "its child q/child is missing" in verdict.report()


def test_a_child_of_a_refused_attempt_is_found(story: Story) -> None:
    story.enqueue(5, "parent")
    story.run(6, "parent", 1, children=["q/early"])
    story.run(16, "parent", 2, attempt=1, children=["q/late"])
    story.final("parent", deliveries=2, crashes=1)
    for child in ("early", "late"):
        story.run(17, child)
        story.final(child)
    verdict = story.judge()
    assert blamed(verdict) == [(2, "q/parent")]
    assert "q/early came from an attempt that did not complete it" in verdict.report()


def test_a_member_in_two_batches_is_found(story: Story) -> None:
    story.enqueue(5, "member", group="g")
    for batch in ("b1", "b2"):
        story.run(7, batch, members=["q/member"])
        story.final(batch, members=["q/member"])
    assert blamed(story.judge()) == [(2, "q/member")]


def test_a_member_in_one_batch_is_right(story: Story) -> None:
    story.enqueue(5, "member", group="g")
    story.run(7, "b1", members=["q/member"])
    story.final("b1", members=["q/member"])
    assert story.judge().passed


def test_a_batch_whose_members_change_is_found(story: Story) -> None:
    story.enqueue(5, "m1", group="g")
    story.enqueue(5, "m2", group="g")
    story.run(7, "b1", members=["q/m1"])
    story.final("b1", members=["q/m1", "q/m2"])
    assert blamed(story.judge()) == [(2, "q/b1")]


def tick(story: Story, own: str, at: int, tick_ms: int) -> None:
    story.run(at, own, schedule="s", tick=tick_ms)
    story.final(own)


def test_a_twin_tick_is_found(story: Story) -> None:
    story.setup["schedules"] = {"s": 10.0}
    tick(story, "one", 10, 10_000)
    tick(story, "two", 11, 10_000)
    assert blamed(story.judge()) == [(2, "s")]


@pytest.mark.parametrize("written", ["1970-01-01T00:00:20.000+00:00", 20_000])
def test_a_missing_tick_is_found_where_all_are_caught_up(story: Story, written: Any) -> None:
    story.setup["schedules"] = {"s": {"every": 10.0, "catch_up": "all"}}
    tick(story, "one", 10, 10_000)
    tick(story, "three", 30, 30_000)
    if written == 20_000:
        assert blamed(story.judge()) == [(2, "s")]
    else:
        tick(story, "two", 20, written)
        assert story.judge().passed


def test_a_long_hole_in_the_ticks_is_found_where_nothing_went_wrong(story: Story) -> None:
    story.setup["schedules"] = {"s": 10.0}
    tick(story, "one", 10, 10_000)
    tick(story, "ten", 100, 100_000)
    assert blamed(story.judge()) == [(2, "s")]


@pytest.mark.parametrize(
    ("kind", "begin", "end"), [("redis-away", 20, 90), ("clock-forward", 2, 3)]
)
def test_a_long_hole_in_the_ticks_may_come_with_a_fault(
    story: Story, kind: str, begin: float, end: float
) -> None:
    story.setup["schedules"] = {"s": 10.0}
    tick(story, "one", 10, 10_000)
    tick(story, "ten", 100, 100_000)
    story.note(begin, "driver", "fault", kind=kind, target="", begin=True)
    story.note(end, "driver", "fault", kind=kind, target="+90 s", begin=False)
    assert story.judge().passed


def test_a_hole_that_nobody_lived_through_is_none(story: Story) -> None:
    story.setup["schedules"] = {"s": 10.0}
    tick(story, "one", 10, 10_000)
    tick(story, "ten", 12, 100_000)
    assert story.judge().passed


# --- 3: nothing starts too early, too late or too often


def test_a_start_before_it_was_due_is_found(story: Story) -> None:
    story.enqueue(5, "early", due_s=10)
    story.run(14.9, "early")
    story.final("early")
    verdict = story.judge()
    assert blamed(verdict) == [(3, "q/early")]
    assert "it was due" in verdict.report()


def test_a_start_that_the_servers_clock_allows_is_not_too_early(story: Story) -> None:
    story.enqueue(5, "early", due_s=10)
    story.run(14.9, "early")
    story.final("early")
    story.note(12, "driver", "fault", kind="clock-forward", target="", begin=True)
    story.note(16, "driver", "fault", kind="clock-forward", target="+8 s", begin=False)
    assert story.judge().passed


def test_a_claim_after_the_expiry_is_found(story: Story) -> None:
    story.enqueue(5, "late", expires_s=2)
    waiting = {"state": "pending", "attempt": 0, "deliveries": 0, "crashes": 0}
    story.call(8, "info", "late", waiting)
    story.run(9, "late")
    story.final("late")
    assert blamed(story.judge()) == [(3, "q/late")]


def test_a_start_after_the_expiry_may_have_been_claimed_before(story: Story) -> None:
    story.enqueue(5, "late", expires_s=2)
    story.run(9, "late")
    story.final("late")
    assert story.judge().passed


@pytest.mark.parametrize("state", ["completed", "dead"])
def test_a_start_before_what_it_needs_has_completed_is_found(story: Story, state: str) -> None:
    story.enqueue(5, "first")
    story.enqueue(6, "second", depends_on=["q/first"], on_dependency_failure="dead")
    story.run(7, "second")
    story.run(8, "first", how="success" if state == "completed" else "reject")
    story.final("first", state)
    story.final("second")
    assert blamed(story.judge()) == [(3, "q/second")]


def test_one_that_runs_whatever_becomes_of_what_it_needs_is_right(story: Story) -> None:
    story.enqueue(5, "first")
    story.enqueue(6, "second", depends_on=["q/first"], on_dependency_failure="run")
    story.run(7, "first", how="reject")
    story.run(8, "second")
    story.final("first", "dead")
    story.final("second")
    assert story.judge().passed


def test_too_many_at_once_are_found(story: Story) -> None:
    for own in ("a", "b"):
        story.enqueue(5, own, limit_key="narrow")
        story.run(6, own, end=2 if own == "a" else 1)
        story.final(own)
    assert blamed(story.judge()) == [(3, "limit narrow of q")]


def test_one_whose_lease_had_lapsed_does_not_count(story: Story) -> None:
    for own in ("a", "b"):
        story.enqueue(5, own, limit_key="narrow")
    story.run(6, "a", 1, end=6)
    story.run(10, "b")
    story.run(20, "a", 2, attempt=1)
    story.final("a", deliveries=2, crashes=1)
    story.final("b")
    assert story.judge().passed


def test_too_many_in_a_window_are_found(story: Story) -> None:
    for number in range(4):
        story.enqueue(5 + number / 10, f"r{number}", limit_key="paced")
        story.run(5.05 + number / 10, f"r{number}")
        story.final(f"r{number}")
    verdict = story.judge()
    assert blamed(verdict) == [(3, "limit paced of q")]
    assert "2 in 1 s with a burst of 1 may" in verdict.report()


def test_starts_at_the_pace_of_a_rate_are_right(story: Story) -> None:
    for number in range(9):
        story.enqueue(5 + number / 2, f"r{number}", limit_key="paced")
        story.run(5.05 + number / 2, f"r{number}")
        story.final(f"r{number}")
    assert story.judge().passed


# --- 4: each start has its reason


def test_an_unexplained_start_is_found(story: Story) -> None:
    story.enqueue(5, "again")
    story.run(6, "again", 1, how="")
    story.run(16, "again", 2)
    story.final("again", deliveries=2, attempt=2)
    assert blamed(story.judge()) == [(4, "q/again")]


def test_a_start_within_the_lease_of_another_is_found(story: Story) -> None:
    story.enqueue(5, "again")
    story.run(6, "again", 1, how="")
    story.run(7, "again", 2, attempt=1)
    story.final("again", deliveries=2, crashes=1)
    assert blamed(story.judge()) == [(4, "q/again")]


def test_a_fence_that_was_given_twice_is_found(story: Story) -> None:
    story.enqueue(5, "again")
    story.run(6, "again", 1, how="")
    story.run(16, "again", 1, worker="w2")
    story.final("again", crashes=0)
    verdict = story.judge()
    assert blamed(verdict) == [(4, "q/again")]
    assert verdict.violations[0].sentence == "fence 1 was given 2 times"


def test_a_lapse_that_the_record_does_not_count_is_found(story: Story) -> None:
    story.enqueue(5, "again")
    story.run(6, "again", 1, how="")
    story.run(16, "again", 2, attempt=1)
    story.final("again", deliveries=2, crashes=0)
    verdict = story.judge()
    assert blamed(verdict) == [(4, "q/again")]
    assert verdict.violations[0].sentence == (
        "1 starts are explained by lapses only, and its record counts 0"
    )


@pytest.mark.parametrize(
    "facts",
    [
        {"deliveries": 0, "attempt": 0},
        {"snoozes": 1, "deliveries": 2},
        {"attempt": 2, "deliveries": 2},
    ],
)
def test_counters_that_were_not_seen_are_found(story: Story, facts: dict[str, int]) -> None:
    story.enqueue(5, "miscounted")
    story.run(6, "miscounted", 2, attempt=facts.get("attempt", 1) or 1)
    story.final("miscounted", **facts)
    assert blamed(story.judge()) == [(4, "q/miscounted")]


# --- 5: each task's history is one that the specification has


def facts(state: str, attempt: int = 0, deliveries: int = 0) -> dict[str, Any]:
    return {"state": state, "attempt": attempt, "deliveries": deliveries, "crashes": 0}


def test_a_stale_read_is_found(story: Story) -> None:
    story.enqueue(5, "stale")
    story.run(6, "stale")
    story.call(7, "info", "stale", facts("completed", 1, 1))
    story.call(8, "info", "stale", facts("pending"))
    story.final("stale")
    verdict = story.judge()
    assert blamed(verdict) == [(5, "q/stale")]


def test_a_task_that_is_not_found_after_its_enqueue_returned_is_found(story: Story) -> None:
    story.enqueue(5, "unseen")
    story.call(6, "info", "unseen", None)
    story.run(7, "unseen")
    story.final("unseen")
    verdict = story.judge()
    assert blamed(verdict) == [(5, "q/unseen")]
    (violation,) = verdict.violations
    assert len(violation.history) == 2, "the enqueue and the read are all that it takes"


def test_a_read_that_overlaps_the_enqueue_may_see_nothing(story: Story) -> None:
    story.enqueue(5, "unseen")
    story.call(4.9, "info", "unseen", None, back=1)
    story.run(7, "unseen")
    story.final("unseen")
    assert story.judge().passed


def test_a_run_of_a_cancelled_task_is_found(story: Story) -> None:
    story.enqueue(5, "off", due_s=1)
    story.call(5.5, "cancel", "off", "cancelled")
    story.run(9, "off")
    story.final("off")
    assert blamed(story.judge()) == [(5, "q/off")]


@pytest.mark.parametrize(("back", "sound"), [(1.1, True), (0.2, True), (0.04, False)])
def test_a_call_that_took_long_may_have_been_made_twice(
    back: float, sound: bool, story: Story
) -> None:
    # The first answer, `active`, was lost; the client repeated the call, as it does, and was told
    # what had become of the task meanwhile.
    story.enqueue(5, "off")
    story.run(6, "off", how="cancelled", reason="cancelled", end=0.03)
    story.call(6.01, "cancel", "off", "cancelled", back=back)
    story.final("off", "cancelled", attempt=0)
    assert blamed(story.judge()) == ([] if sound else [(5, "q/off")])


def test_a_retry_may_have_been_made_twice(story: Story) -> None:
    story.enqueue(5, "again")
    story.run(5.1, "again", how="reject")
    story.run(6.5, "again", 2, attempt=1)
    story.call(6, "retry", "again", "completed", back=1)
    story.final("again", attempt=1, deliveries=2)
    assert story.judge().passed


def test_a_completion_before_any_success_is_found(story: Story) -> None:
    story.enqueue(5, "failed")
    story.run(6, "failed", how="reject")
    story.final("failed")
    assert blamed(story.judge()) == [(5, "q/failed")]


def test_a_history_that_is_too_long_is_undecided_and_a_violation(story: Story) -> None:
    story.judge()
    verdict = judge(story.folder, most=1)
    assert verdict.undecided == ["q/bystander"]
    assert blamed(verdict) == [(5, "q/bystander")]


# --- 6: what was confirmed by replicas outlives a failover


@pytest.mark.parametrize(
    ("durability", "kind", "found", "lost"),
    [
        ("memory", "sentinel-kill", [], 1),
        ("memory", "move-slot", [(1, "q/gone")], 0),
        ("replicated", "sentinel-kill", [(6, "q/gone")], 0),
        ("replicated", "sentinel-failover", [], 1),
    ],
)
def test_a_failover_loses_what_is_documented_and_no_more(
    story: Story, durability: str, kind: str, found: list[tuple[int, str]], lost: int
) -> None:
    story.setup |= {"server": "sentinel", "durability": durability}
    story.enqueue(5, "gone")
    story.note(5, "driver", "fault", kind=kind, target="", begin=True)
    story.note(9, "driver", "fault", kind=kind, target="port 1", begin=False)
    verdict = story.judge()
    assert blamed(verdict) == found
    assert len(verdict.losses) == lost


def test_a_step_that_a_failover_has_undone_is_forgiven(story: Story) -> None:
    story.setup |= {"server": "sentinel", "durability": "replicated"}
    story.enqueue(5, "again")
    story.run(6, "again", 1)
    story.run(9, "again", 1, worker="w2")
    story.final("again")
    story.note(7, "driver", "fault", kind="sentinel-kill", target="", begin=True)
    story.note(8, "driver", "fault", kind="sentinel-kill", target="port 1", begin=False)
    verdict = story.judge()
    assert verdict.passed
    assert [each.subject for each in verdict.losses] == ["q/again"]


@pytest.mark.parametrize(("confirmed", "found"), [(True, [(6, "q/gone")]), (False, [])])
def test_only_what_replicas_confirmed_outlives_a_failover(
    story: Story, confirmed: bool, found: list[tuple[int, str]]
) -> None:
    story.setup |= {"server": "sentinel", "durability": "replicated"}
    if confirmed:
        story.enqueue(5, "gone")
    else:
        story.note(5, "p", "call", n=100, op="enqueue", id="q/gone", args=OPTIONS)
        story.note(5.5, "p", "raise", n=100, error="Unconfirmed", sent=True)
    # It was there for certain, at the master that was lost.
    story.run(6, "gone", how="")
    story.note(7, "driver", "fault", kind="sentinel-kill", target="", begin=True)
    story.note(8, "driver", "fault", kind="sentinel-kill", target="port 1", begin=False)
    assert blamed(story.judge()) == found


def test_a_failover_does_not_explain_a_phantom(story: Story) -> None:
    story.setup |= {"server": "sentinel"}
    story.final("ghost", "pending", attempt=0, deliveries=0)
    story.note(7, "driver", "fault", kind="sentinel-kill", target="", begin=True)
    assert blamed(story.judge()) == [(1, "q/ghost")]


# --- what is read


def test_a_cut_last_line_is_left_out(story: Story) -> None:
    story.judge()
    with (story.folder / "w.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"t": 99, "c": "w", "e": "sta')
    assert judge(story.folder).passed


def test_a_damaged_line_is_told(story: Story) -> None:
    story.judge()
    path = story.folder / "w.jsonl"
    path.write_text("{broken\n" + path.read_text("utf-8"), "utf-8")
    with pytest.raises(Unreadable, match=r"w\.jsonl, line 1"):
        judge(story.folder)


def test_a_run_without_its_end_is_not_judged(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"no final\.jsonl"):
        judge(tmp_path)


@pytest.mark.parametrize("lost", [False, True])
def test_the_command_tells_the_verdict(story: Story, lost: bool) -> None:
    if lost:
        story.enqueue(5, "gone")
    story.judge()
    said = subprocess.run(
        [sys.executable, "-m", "rediq_trio.testing.judge", str(story.folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == int(lost), said.stderr
    assert ("BROKEN 1 times" in said.stdout) is lost
