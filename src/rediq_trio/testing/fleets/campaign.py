"""A campaign: kept plans and many seeds of one scenario, with the checks of a test."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.handlers.app import App
from rediq_trio.testing.fleets.failure import SimulationFailed
from rediq_trio.testing.fleets.fleet import FleetCheck, FleetResult, run_plan
from rediq_trio.testing.fleets.plan import MAX_SERVERS, FaultPlan
from rediq_trio.testing.fleets.plan_files import read_plan, save_plan
from rediq_trio.testing.fleets.scenario import Scenario, draw_plan
from rediq_trio.testing.fleets.seeds import CampaignCounts, run_seeds
from rediq_trio.testing.fleets.shrink import shrink as shrink_plan
from rediq_trio.testing.simulated.not_deterministic import USUAL_SUSPECTS, NotDeterministic
from rediq_trio.testing.simulated.processes import MAX_JOBS
from rediq_trio.values import bounds, chance

KEPT_PLANS = Path(".rediq/plans")
"""Where failing plans are kept, below the current folder."""
MAX_SEEDS = 10_000_000
MAX_HOURS = 24.0
MAX_MINUTES = 7 * 24 * 60.0
MakeApp = App[Any] | Callable[[], App[Any]]


@attrs.frozen(kw_only=True)
class CampaignReport:
    """What a campaign has run."""

    runs: int
    """Plans that were run, the kept ones included."""
    seconds: float
    """Simulated seconds of all runs."""
    happened: Mapping[str, int]
    """How many faults of each kind took effect."""
    applied: Mapping[str, int]
    """How often each promise applied, and was kept."""
    seen: Mapping[str, int]
    """What `sometimes` has seen, by name."""
    never_came: int
    """Faults whose effect or time never came."""

    def __str__(self) -> str:
        faults = ", ".join(f"{count} {kind}" for kind, count in sorted(self.happened.items()))
        return (
            f"{self.runs:,} runs, {self.seconds / 3600:.2f} simulated hours; faults: "
            f"{faults or 'none'}; {self.never_came} never came"
        )


def report_of(found: CampaignCounts) -> CampaignReport:
    """Return the report of what was found."""
    return CampaignReport(
        runs=found.runs, seconds=found.seconds, happened=found.happened, applied=found.applied,
        seen=found.seen, never_came=found.never_came,
    )  # fmt: skip


@attrs.frozen(kw_only=True)
class CampaignRuns:
    """Which seeds of which scenario are run, and by how many processes."""

    scenario: Scenario = attrs.field(validator=bounds.one_of(Scenario))
    seed: int = attrs.field(validator=bounds.number(0, 2**62, integer=True))
    """The first seed."""
    seeds: int = attrs.field(default=1, validator=bounds.number(1, MAX_SEEDS, integer=True))
    hours: float = attrs.field(default=0.05, validator=bounds.number(0, MAX_HOURS, above=True))
    """Simulated hours of each storm."""
    servers: int = attrs.field(default=3, validator=bounds.number(1, MAX_SERVERS, integer=True))
    jobs: int = attrs.field(default=1, validator=bounds.number(1, MAX_JOBS, integer=True))
    minutes: float | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(bounds.number(0, MAX_MINUTES, above=True)),
    )
    """Real minutes after which no seed is begun."""

    def draw(self, seed: int) -> FaultPlan:
        """Return the plan of a seed."""
        return draw_plan(self.scenario, seed, servers=self.servers, seconds=self.hours * 3600)

    def run(self, run: Callable[[FaultPlan], FleetResult], found: CampaignCounts) -> int | None:
        """Run the seeds until one fails, and return that one."""
        until = math.inf if self.minutes is None else time.monotonic() + self.minutes * 60
        seeds = range(self.seed, self.seed + self.seeds)
        return run_seeds(lambda seed: run(self.draw(seed)), seeds, self.jobs, found, until)


def draw_first_seed() -> int:
    """Draw the seed of a campaign that was given none."""
    return chance.randrange(2**31)


def list_kept(folder: Path | None) -> Sequence[Path]:
    """Return the files of the plans that were kept in a folder, in their order."""
    return () if folder is None else sorted(folder.glob("*.json"))


def _is_app(value: object) -> bool:
    return isinstance(value, App)


class Campaign:
    """Runs plans of one app, with the checks of a test."""

    def __init__(
        self, make: MakeApp, settings: Mapping[str, Any],
        invariants: Iterable[FleetCheck] = (), at_rest: Iterable[FleetCheck] = (),
    ) -> None:  # fmt: skip
        if not callable(make) and not isinstance(make, App):
            raise ConfigError.of("app_or_make", make, "an App, or a function that returns one")
        self._make: MakeApp = make
        self._settings = settings
        self._invariants, self._at_rest = tuple(invariants), tuple(at_rest)
        for field, checks in (("invariants", self._invariants), ("at_rest", self._at_rest)):
            if not all(callable(check) for check in checks):
                raise ConfigError.of(field, checks, "functions of a SimulatedFleet")

    def run(self, plan: FaultPlan) -> FleetResult:
        """Run a plan."""
        make: Any = self._make
        app: Any = make if isinstance(self._make, App) else make()
        if not _is_app(app):
            raise ConfigError.of("app_or_make", app, "an App, or a function that returns one")
        return run_plan(
            app, plan, self._settings, invariants=self._invariants, at_rest=self._at_rest
        )

    def run_twice(self, plan: FaultPlan) -> FleetResult:
        """Run a plan twice; raise `NotDeterministic` if the runs were not the same."""
        result, again = self.run(plan), self.run(plan)
        if result.digest != again.digest:
            raise NotDeterministic(_difference(result, again))
        return result

    def run_all(
        self, runs: CampaignRuns, found: CampaignCounts, *, shrink: bool, keep: Path | None
    ) -> None:
        """Run the kept plans, then the seeds; raise `SimulationFailed` for the first that fails."""
        for path in list_kept(keep):
            result = self.run(read_plan(path))
            found.add(result)
            if result.violation is not None:
                raise SimulationFailed(result.plan, result, path=path)
        failed = runs.run(self.run, found)
        if failed is not None:
            raise self.fail(runs.draw(failed), shrink=shrink, keep=keep)

    def fail(self, plan: FaultPlan, *, shrink: bool, keep: Path | None) -> SimulationFailed:
        """Return the failure of a plan, which is shrunk and kept if that is asked for."""
        result = self.run_twice(plan)
        if result.violation is None:
            raise NotDeterministic(f"a plan failed, and not when it was run again; {USUAL_SUSPECTS}")
        promise, runs = result.violation.promise, 0

        def fails(small: FaultPlan) -> bool:
            violation = self.run(small).violation
            return violation is not None and violation.promise == promise

        if shrink:
            shrunk = shrink_plan(plan, fails)
            result, runs = self.run(shrunk.plan), shrunk.runs
        path = None
        if keep is not None:
            path = keep / f"seed-{plan.seed}.json"
            save_plan(result.plan, path)
        return SimulationFailed(plan, result, runs=runs, path=path)


def _difference(one: FleetResult, other: FleetResult) -> str:
    """Return where two runs part."""
    for mine, theirs in zip_longest(_events(one), _events(other)):
        if mine != theirs:
            break
    else:
        return f"two runs of one plan were different, in what they read; {USUAL_SUSPECTS}"
    return (
        "two runs of one plan were different. The first difference:\n"
        f"  one:   {mine or 'the end'}\n  other: {theirs or 'the end'}\n{USUAL_SUSPECTS}"
    )


def _events(result: FleetResult) -> Sequence[str]:
    lines = list[str]()
    notes = list(result.notes)
    for number, effect in enumerate(result.history):
        while notes and notes[0].effects <= number:
            note = notes.pop(0)
            lines.append(f"{note.at:.6f} {note.text}")
        lines.append(str(effect))
    return [*lines, *(f"{note.at:.6f} {note.text}" for note in notes)]
