"""`simulate`: runs a scenario with many seeds, and `replay`: runs one plan again, exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.handlers.app import App
from rediq_trio.testing.fleets.failure import NeverSeen, SimulationFailed
from rediq_trio.testing.fleets.fleet import FleetCheck, FleetResult, run_plan
from rediq_trio.testing.fleets.plan import MAX_SERVERS, FaultPlan
from rediq_trio.testing.fleets.plan_files import read_plan, save_plan
from rediq_trio.testing.fleets.scenario import Scenario, draw_plan
from rediq_trio.testing.fleets.seeds import CampaignCounts, run_seeds
from rediq_trio.testing.fleets.shrink import shrink as shrink_plan
from rediq_trio.testing.not_deterministic import USUAL_SUSPECTS, NotDeterministic
from rediq_trio.values import bounds, chance

KEPT_PLANS = Path(".rediq/plans")
"""Where failing plans are kept, below the current folder."""
MAX_SEEDS = 10_000_000
MAX_HOURS = 24.0
MAX_JOBS = 256
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


def simulate(
    app_or_make: MakeApp,
    scenario: Scenario,
    *,
    seed: int | None = None,
    seeds: int = 1,
    hours: float = 0.05,
    servers: int = 3,
    invariants: Iterable[FleetCheck] = (),
    at_rest: Iterable[FleetCheck] = (),
    sometimes: Iterable[str] = (),
    jobs: int = 1,
    shrink: bool = True,
    keep: Path | str | None = KEPT_PLANS,
) -> CampaignReport:
    """Run a scenario with `seeds` seeds, and raise `SimulationFailed` for the first that fails.

    A run is a storm of `hours` simulated hours, in which faults happen to `servers` servers; then all is
    healed, and the fleet has to come to rest. The promises of the queue are checked all the time,
    `invariants` after each effect, and `at_rest` at the end; both are functions of the `SimulatedFleet`, and what
    they raise is the failure. `seed` is the first seed; a random one by default. `sometimes` are names that
    the function of that name has to see in at least one run; `NeverSeen` is raised otherwise. With `jobs`,
    seeds are run by so many processes.

    A function that makes the app is called for each run, so that a run cannot see what another one left.
    A failing plan is shrunk, and kept in the folder `keep`; kept plans run first the next time. None
    keeps none. `NotDeterministic` is raised if a failing seed does not fail in the same way twice.
    """
    bounds.check_number("seeds", seeds, 1, MAX_SEEDS, integer=True)
    bounds.check_number("hours", hours, 0, MAX_HOURS, above=True)
    bounds.check_number("servers", servers, 1, MAX_SERVERS, integer=True)
    bounds.check_number("jobs", jobs, 1, MAX_JOBS, integer=True)
    bounds.check_flag("shrink", shrink)
    if not isinstance(scenario, Scenario):
        raise ConfigError.of("scenario", scenario, "a Scenario")
    first = chance.randrange(2**31) if seed is None else seed
    bounds.check_number("seed", first, 0, 2**62, integer=True)
    campaign = Campaign(app_or_make, scenario.settings, invariants, at_rest)
    folder = None if keep is None else Path(keep)
    found = CampaignCounts()
    for path in sorted(folder.glob("*.json")) if folder is not None else ():
        result = campaign.run(read_plan(path))
        found.add(result)
        if result.violation is not None:
            raise SimulationFailed(result.plan, result, path=path)

    def draw(one: int) -> FaultPlan:
        return draw_plan(scenario, one, servers=servers, seconds=hours * 3600)

    failed = run_seeds(lambda one: campaign.run(draw(one)), range(first, first + seeds), jobs, found)
    if failed is not None:
        raise campaign.fail(draw(failed), shrink=shrink, keep=folder)
    for name in sometimes:
        if not found.seen[name]:
            raise NeverSeen(name, found.runs)
    return report_of(found)


def report_of(found: CampaignCounts) -> CampaignReport:
    """Return the report of what was found."""
    return CampaignReport(
        runs=found.runs, seconds=found.seconds, happened=found.happened, applied=found.applied,
        seen=found.seen, never_came=found.never_came,
    )  # fmt: skip


def replay(
    plan_or_path_or_seed: FaultPlan | Path | str | int,
    make: MakeApp,
    scenario: Scenario | None = None,
    *,
    hours: float = 0.05,
    servers: int = 3,
    invariants: Iterable[FleetCheck] = (),
    at_rest: Iterable[FleetCheck] = (),
    strict: bool = False,
) -> CampaignReport:
    """Run one plan twice, and raise `SimulationFailed` if it fails.

    A plan may be given as a value, as the path of its file, or as the seed that `simulate` had, with its
    scenario, `hours` and `servers`. Raises `NotDeterministic` with the first difference if the two runs are
    not the same, and `ConfigError` with `strict` for a fault that never came.
    """
    if isinstance(plan_or_path_or_seed, FaultPlan):
        plan = plan_or_path_or_seed
    elif isinstance(plan_or_path_or_seed, int):
        if scenario is None:
            raise ConfigError.of("scenario", None, "given, to draw the plan of a seed")
        seed = plan_or_path_or_seed
        plan = draw_plan(scenario, seed, servers=servers, seconds=hours * 3600)
    else:
        plan = read_plan(Path(plan_or_path_or_seed))
    settings: Mapping[str, Any] = {} if scenario is None else scenario.settings
    result = Campaign(make, settings, invariants, at_rest).run_twice(plan)
    if result.violation is not None:
        raise SimulationFailed(plan, result)
    if strict and result.never_came:
        raise ConfigError(f"never came: {'; '.join(str(fault) for fault in result.never_came)}")
    found = CampaignCounts()
    found.add(result)
    return report_of(found)


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
