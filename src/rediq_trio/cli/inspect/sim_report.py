"""What `rediq sim` says: to people, and to programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from rediq_trio.cli.inspect.sim_target import SimTarget
from rediq_trio.observe.words import counted

if TYPE_CHECKING:
    from rediq_trio.testing.fleets.failure import SimulationFailed
    from rediq_trio.testing.fleets.seeds import CampaignCounts


@attrs.frozen
class SimReport:
    """What was run, and what was broken."""

    target: SimTarget
    found: CampaignCounts
    failure: SimulationFailed | None
    seed: int | None = None
    """The first seed; None for a plan."""
    is_interrupted: bool = False

    def as_object(self) -> Mapping[str, Any]:
        """Return it for programs."""
        found = self.found
        return {
            "runs": found.runs,
            "seconds": found.seconds,
            "seed": self.seed,
            "interrupted": self.is_interrupted,
            "faults": _by_name(found.happened),
            "never_came": found.never_came,
            "promises": _by_name(found.applied),
            "seen": _by_name(found.seen),
            "failure": None if self.failure is None else _failure_object(self.target, self.failure),
        }

    def lines(self) -> Iterator[str]:
        """Return it for people."""
        found = self.found
        if self.failure is not None:
            yield from _failure_lines(self.target, self.failure)
            yield ""
        since = "" if self.seed is None else f" from seed {self.seed}"
        yield f"{counted(found.runs, 'run')}{since}, {found.seconds / 3600:.2f} simulated hours"
        yield from _table("faults that took effect", found.happened)
        if found.never_came:
            yield f"{counted(found.never_came, 'fault')} never came: what they were aimed at did not happen"
        yield from _table("promises, and how often each was checked", found.applied)
        yield from _table("seen by sometimes()", found.seen)
        if self.is_interrupted and found.failed is not None:
            yield f"seed {found.failed} broke a promise; its plan was being made smaller"
        elif self.failure is None and not self.is_interrupted:
            yield "no promise was broken"


def _by_name(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _table(title: str, counts: Mapping[str, int]) -> Iterator[str]:
    if counts:
        yield f"{title}:"
        for name, number in sorted(counts.items()):
            yield f"  {number:>9,}  {name}"


def _failure_lines(target: SimTarget, failure: SimulationFailed) -> Iterator[str]:
    first, *rest = failure.summary.splitlines()
    yield f"BROKEN {first}"
    yield from rest
    yield from failure.timeline().splitlines()
    if failure.path is not None:
        yield ""
        yield f"the plan is in {failure.path}; run it again with:"
        yield f"  {target.command(str(failure.path))}"


def _failure_object(target: SimTarget, failure: SimulationFailed) -> Mapping[str, Any]:
    violation, path = failure.violation, failure.path
    return {
        "promise": violation.promise,
        "text": violation.text,
        "at": violation.at,
        "seed": failure.seed,
        "parts": failure.plan.size,
        "small_parts": failure.small.size,
        "shrink_runs": failure.shrink_runs,
        "plan": None if path is None else str(path),
        "command": None if path is None else target.command(str(path)),
        "timeline": failure.timeline().splitlines(),
    }
