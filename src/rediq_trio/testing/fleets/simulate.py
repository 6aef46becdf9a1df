"""`simulate`: runs a scenario with many seeds, and `replay`: runs one plan again, exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rediq_trio._errors import ConfigError
from rediq_trio.testing.fleets.campaign import (
    KEPT_PLANS,
    Campaign,
    CampaignReport,
    CampaignRuns,
    MakeApp,
    draw_first_seed,
    report_of,
)
from rediq_trio.testing.fleets.failure import NeverSeen, SimulationFailed
from rediq_trio.testing.fleets.fleet import FleetCheck
from rediq_trio.testing.fleets.plan import FaultPlan
from rediq_trio.testing.fleets.plan_files import read_plan
from rediq_trio.testing.fleets.scenario import Scenario, draw_plan
from rediq_trio.testing.fleets.seeds import CampaignCounts
from rediq_trio.values import bounds


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
    minutes: float | None = None,
    shrink: bool = True,
    keep: Path | str | None = KEPT_PLANS,
) -> CampaignReport:
    """Run a scenario with `seeds` seeds, and raise `SimulationFailed` for the first that fails.

    A run is a storm of `hours` simulated hours, in which faults happen to `servers` servers; then all is
    healed, and the fleet has to come to rest. The promises of the queue are checked all the time,
    `invariants` after each effect, and `at_rest` at the end; both are functions of the `SimulatedFleet`, and what
    they raise is the failure. `seed` is the first seed; a random one by default. `sometimes` are names that
    the function of that name has to see in at least one run; `NeverSeen` is raised otherwise. With `jobs`,
    seeds are run by so many processes, and what is found is the same. After `minutes`, real ones, no more
    seeds are begun, however many there are.

    A function that makes the app is called for each run, so that a run cannot see what another one left.
    A failing plan is shrunk, and kept in the folder `keep`; kept plans run first the next time. None
    keeps none. `NotDeterministic` is raised if a failing seed does not fail in the same way twice.
    """
    bounds.check_flag("shrink", shrink)
    runs = CampaignRuns(
        scenario=scenario, seed=draw_first_seed() if seed is None else seed, seeds=seeds, hours=hours,
        servers=servers, jobs=jobs, minutes=minutes,
    )  # fmt: skip
    campaign = Campaign(app_or_make, scenario.settings, invariants, at_rest)
    found = CampaignCounts()
    campaign.run_all(runs, found, shrink=shrink, keep=None if keep is None else Path(keep))
    for name in sometimes:
        if not found.seen[name]:
            raise NeverSeen(name, found.runs)
    return report_of(found)


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
