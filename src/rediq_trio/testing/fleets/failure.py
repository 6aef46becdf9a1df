"""SimulationFailed: a seed, or a plan, that broke a promise; with the smallest plan that still does."""

from __future__ import annotations

from pathlib import Path

from rediq_trio.testing.effects import History
from rediq_trio.testing.fleets.fleet import FleetResult
from rediq_trio.testing.fleets.plan import FaultPlan
from rediq_trio.testing.fleets.timeline import timeline
from rediq_trio.testing.fleets.timeline_picture import timeline_picture
from rediq_trio.testing.fleets.watching import FleetViolation


class SimulationFailed(AssertionError):
    """A plan broke a promise of the queue, or a check of a test.

    The message has the smallest plan that was found to fail in the same way.
    """

    def __init__(
        self, plan: FaultPlan, result: FleetResult, *, runs: int = 0, path: Path | None = None
    ) -> None:
        assert result.violation is not None
        self.plan = plan
        """The plan that failed first."""
        self.small = result.plan
        """The smallest plan that was found to fail in the same way."""
        self.violation: FleetViolation = result.violation
        """What it broke."""
        self.history: History = result.history
        """The effects of the run of the smallest plan."""
        self.path = path
        """The file that keeps the smallest plan; None if it was not kept."""
        self.shrink_runs = runs
        """Runs that shrinking took; 0 if nothing was shrunk."""
        self._result = result
        lines = [str(self.violation), f"seed {plan.seed}, {plan.size} parts"]
        if runs:
            lines[-1] += f", shrunk in {runs} runs to {self.small.size}"
        lines.append(str(self.small))
        self.summary = "\n".join(lines)
        """What was broken, by which seed, and the smallest plan."""
        if path is not None:
            lines.append(f"kept in {path}; run it again with `replay({str(path)!r}, make, scenario)`")
        super().__init__("\n".join(lines))

    @property
    def seed(self) -> int:
        """The seed of the plan."""
        return self.plan.seed

    def timeline(self) -> str:
        """Return what happened in the run of the smallest plan, a line for each effect."""
        return timeline(self._result)

    def svg(self) -> str:
        """Return the run of the smallest plan as a picture: hosts as lanes, attempts as bars, faults as marks."""
        return timeline_picture(self._result)


class NeverSeen(AssertionError):
    """A campaign in which something never happened that `sometimes` was to see."""

    def __init__(self, name: str, seeds: int) -> None:
        super().__init__(f"no run of {seeds} has seen {name!r}: the campaign does not reach it")
        self.name = name
        self.seeds = seeds
