"""What `rediq check` says: to people, and to programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from rediq_trio.cli.screen import Screen
from rediq_trio.spec.check.findings import Repair, Violation, left_over
from rediq_trio.spec.check.meanings import ADVICE, MEANINGS

SHOWN = 20
"""Violations of one invariant that are shown to people."""
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


def as_document(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings for programs; `docs/check.md` says what is in it."""
    sound = all(finding.sound for finding in findings)
    return {"version": 1, "sound": sound, "queues": [_queue(each) for each in findings]}


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
