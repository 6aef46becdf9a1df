"""What `rediq check` says: to people, and to programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs

from rediq_trio.cli.screen import Screen
from rediq_trio.spec.check.findings import Repair, Violation, left_over

SHOWN = 20
"""Violations of one invariant that are shown to people."""
MEANINGS: Mapping[int, str] = MappingProxyType(
    {
        1: "a task is not in the one index that its state names",
        2: "something of a task, of a message, or of the queue itself is lost or left over",
        3: "a task is active without a lease, or has a lease and is not active",
        4: "the counters of a task contradict one another",
        5: "the stored data of a task does not fit its state",
        6: "a unique key is held by a task that has no right to it",
        7: "a task is at the wrong position in its queue",
        8: "an expiry or a dependency of a task does not agree with its record",
        9: "a schedule cannot be read, or expects a tick that it must not",
        10: "a group does not become a batch when it should",
        11: "permits or lanes do not agree with the tasks that run",
        12: "the totals do not agree with a recount",
        13: "a task waits for something that will not come",
    }
)
"""What a violated invariant means to an operator, by its number."""
ADVICE: Mapping[int, str] = MappingProxyType(
    {
        1: (
            "where record and index contradict each other, read the task (client.task(id).info()), "
            "decide, and delete or revive it; a claim makes an unreadable task dead, with a reason"
        ),
        2: (
            "restore the key from a backup, or delete the task and enqueue it again; a worker moves a "
            "task without its payload or record to dead; delete unknown keys by hand, once you know "
            "who wrote them"
        ),
        3: "delete the task, or wait for its lease to run out",
        4: "it has no immediate effect; delete and enqueue again a task whose counters must be exact",
        5: "delete or revive the task",
        6: "a worker makes an unreadable holder dead; run the check again then",
        7: "delete the task and enqueue it again",
        8: "look at what the task depends on; cancel it, or enqueue it again without",
        9: "declare the schedule again: restart the app that owns it, or client.schedules().add",
        10: "start a worker that has the group's aggregator: it writes the rule again",
        11: (
            "set the limit again with queue.limit(); with more than 1,000 running tasks let some end, "
            "or pause the queue, and run the repair again"
        ),
        12: "repair what else is violated first; the totals follow",
        13: "cancel it, or enqueue it again without the dependency",
    }
)
"""What a person does about violations that `--repair` leaves, by the invariant."""
_VIOLATION_FIELDS = ("invariant", "queue", "about", "kind", "subject", "detail")
_REPAIR_FIELDS = ("what", "queue", "about", "kind", "subject", "before", "after", "why")


@attrs.frozen
class Finding:
    """What was found in one queue, and done about it."""

    queue: str
    violations: list[Violation]
    plan: list[Repair]
    made: list[Repair] | None = None
    """The repairs that changed something; None when none were asked for."""
    left: list[Violation] | None = None
    """What a second check found after the repairs."""

    @property
    def sound(self) -> bool:
        return not (self.violations if self.left is None else self.left)


def to_json(findings: Sequence[Finding]) -> str:
    """Return the findings as a JSON document; `docs/check.md` says what is in it."""
    sound = all(finding.sound for finding in findings)
    document = {"version": 1, "sound": sound, "queues": [_queue(each) for each in findings]}
    return json.dumps(document, indent=2, ensure_ascii=False)


def _queue(finding: Finding) -> dict[str, Any]:
    left = left_over(finding.violations, finding.plan)
    return {
        "queue": finding.queue,
        "sound": finding.sound,
        "violations": [_plain(one) | {"repairable": one not in left} for one in finding.violations],
        "plan": [_plain(one) for one in finding.plan],
        "made": None if finding.made is None else [_plain(one) for one in finding.made],
        "left": None if finding.left is None else [_plain(one) for one in finding.left],
    }


def _plain(one: Violation | Repair) -> dict[str, Any]:
    names = _VIOLATION_FIELDS if isinstance(one, Violation) else _REPAIR_FIELDS
    # `kind` is an older name of `about`.
    return {name: getattr(one, "about" if name == "kind" else name) for name in names}


def show_violations(screen: Screen, finding: Finding) -> None:
    """Show what is violated, invariant by invariant."""
    if finding.sound:
        screen.say(f"{finding.queue}: every invariant holds")
        return
    some = finding.violations if finding.left is None else finding.left
    what = "violation" if len(some) == 1 else "violations"
    screen.say(f"{finding.queue}: {len(some):,} {what}")
    for number in sorted({one.invariant for one in some}):
        here = [one for one in some if one.invariant == number]
        screen.say(f"  invariant {number}: {MEANINGS[number]}")
        for one in here[:SHOWN]:
            subject = one.subject or "the queue"
            about = "" if one.about.value in ("task", "queue") else f"{one.about.value} "
            screen.say(f"    {about}{subject}: {one.detail}")
        if len(here) > SHOWN:
            screen.say(f"    and {len(here) - SHOWN:,} more; --json names all")


def show_plan(screen: Screen, finding: Finding) -> None:
    """Show what can be repaired, and what a person has to do."""
    for one in finding.plan[:SHOWN]:
        screen.say(
            f"  {one.what.value} {one.about.value} {one.subject}: {one.before} -> {one.after}"
        )
        screen.say(f"    no guess: {one.why}")
    if len(finding.plan) > SHOWN:
        screen.say(f"  and {len(finding.plan) - SHOWN:,} more; --json names all")
    show_advice(screen, left_over(finding.violations, finding.plan))


def show_advice(screen: Screen, violations: Sequence[Violation]) -> None:
    """Show what a person does about what is not repaired."""
    for number in sorted({one.invariant for one in violations}):
        screen.say(f"  not repaired, invariant {number}: {ADVICE[number]}")
