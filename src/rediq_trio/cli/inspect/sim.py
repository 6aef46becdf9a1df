"""`rediq sim`: runs a fleet of an app through storms of faults, in simulated time, or one plan again.

Exit status: 0 if no promise was broken; 1 if one was, or a run could not go on; 2 if an argument is
wrong; 130 after Ctrl-C, with what was run until then.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rediq_trio._errors import ConfigError, quote
from rediq_trio._errors.nursery import innermost
from rediq_trio.cli.flags import AddParser, common_flags
from rediq_trio.cli.inspect.sim_report import SimReport
from rediq_trio.cli.inspect.sim_target import SimTarget, check_first_plan, load_target
from rediq_trio.cli.operate.output import Output, open_output
from rediq_trio.cli.screen import Advance, open_screen
from rediq_trio.cli.statuses import DONE, FAILED, INTERRUPTED
from rediq_trio.observe.words import shown

if TYPE_CHECKING:
    from rediq_trio.testing.fleets.campaign import Campaign, CampaignRuns

DEFAULT_SEEDS = 100
_OF_SEEDS = ("seeds", "seed", "hours", "servers", "jobs", "minutes")
"""Flags that are about seeds, and not about a plan."""


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(
        description="Run servers and clients of an app in simulated time, while servers are killed and "
        "frozen, connections break and answers are lost. The promises of the queue are checked all the "
        "time, and so are functions of yours. Needs no server.",
    )
    parser.add_argument(
        "app", metavar="APP:MAKE", help="a function that returns a new App, or an App"
    )
    parser.add_argument(
        "--scenario", metavar="[MODULE:]NAME", help="what clients do (the only Scenario of the module)"
    )
    for flag, when in (("--at-rest", "at the end of each run"), ("--invariant", "after each effect")):
        parser.add_argument(
            flag, metavar="[MODULE:]NAME", action="append", default=[],
            help=f"a function that checks the fleet {when}; may be given several times",
        )  # fmt: skip
    parser.add_argument("--seeds", metavar="N", help=f"how many runs ({DEFAULT_SEEDS})")
    parser.add_argument("--seed", metavar="S", help="the first seed (a random one)")
    parser.add_argument("--hours", metavar="H", help="simulated hours of a storm (0.05)")
    parser.add_argument("--servers", metavar="N", help="servers of the fleet (3)")
    parser.add_argument("--jobs", metavar="N", help="processes that run seeds (1)")
    parser.add_argument("--minutes", metavar="M", help="begin no seed after so many minutes (never)")
    parser.add_argument("--plan", metavar="FILE", help="run the plan of this file, and no seeds")
    parser.add_argument("--svg", metavar="FILE", help="draw the run that broke a promise")
    common_flags(parser, "json")
    parser.add_argument("--no-color", action="store_true", help="no colors (NO_COLOR)")
    parser.set_defaults(execute=execute)
    return parser


def execute(arguments: argparse.Namespace) -> int:
    """Run seeds or a plan; return 1 if a promise was broken."""
    from rediq_trio.testing.simulated.errors import SimulationError

    out = open_output(json=arguments.json, color=not arguments.no_color)
    given = [name for name in _OF_SEEDS if getattr(arguments, name) is not None]
    if arguments.plan is not None and given:
        raise ConfigError(f"sim: --plan is one run, and goes without --{given[0]}")
    if arguments.svg is not None:
        _check_writable("svg", Path(arguments.svg))
    try:
        target = load_target(arguments, with_plan=arguments.plan is not None)
        if arguments.plan is None:
            return _run_seeds(target, arguments, out)
        return _run_plan(target, arguments, out)
    except SimulationError as error:
        lines = [*str(error).splitlines(), *getattr(error, "__notes__", ())]
        out.note("\n".join(["rediq: " + shown(lines[0]), *map(shown, lines[1:])]))
        return FAILED


def _run_seeds(target: SimTarget, arguments: argparse.Namespace, out: Output) -> int:
    from rediq_trio.testing.fleets.campaign import KEPT_PLANS
    from rediq_trio.testing.fleets.failure import SimulationFailed
    from rediq_trio.testing.fleets.seeds import CampaignCounts

    runs, campaign = _read_runs(target, arguments), _campaign_of(target)
    check_first_plan(runs)
    _check_writable("keep", KEPT_PLANS / "seed.json")
    failure, is_interrupted = None, False
    with ExitStack() as stack:
        found = CampaignCounts(_progress(stack, runs, arguments))
        try:
            campaign.run_all(runs, found, shrink=True, keep=KEPT_PLANS)
        except SimulationFailed as failed:
            failure = failed
        except BaseException as error:
            if not isinstance(innermost(error), KeyboardInterrupt):
                raise
            is_interrupted = True
    return _end(SimReport(target, found, failure, runs.seed, is_interrupted), arguments, out)


def _run_plan(target: SimTarget, arguments: argparse.Namespace, out: Output) -> int:
    from rediq_trio.testing.fleets.failure import SimulationFailed
    from rediq_trio.testing.fleets.plan_files import read_plan
    from rediq_trio.testing.fleets.seeds import CampaignCounts

    path = Path(arguments.plan)
    try:
        plan = read_plan(path)
    except OSError as error:
        raise ConfigError(f"plan={quote(arguments.plan)}: {error.strerror}") from error
    result = _campaign_of(target).run_twice(plan)
    found = CampaignCounts()
    found.add(result)
    failure = None if result.violation is None else SimulationFailed(plan, result, path=path)
    return _end(SimReport(target, found, failure), arguments, out)


def _end(report: SimReport, arguments: argparse.Namespace, out: Output) -> int:
    """Print what was found, draw it, and return the status."""
    failure = report.failure
    if failure is not None and arguments.svg is not None:
        _write_whole(Path(arguments.svg), failure.svg())
    out.object(report.as_object())
    for line in report.lines():
        out.say(shown(line))
    if arguments.svg is not None:
        out.note(f"drawn in {shown(arguments.svg)}" if failure else "nothing was broken, so nothing is drawn")
    if report.is_interrupted:
        out.note("rediq: interrupted: these are the runs until then")
        return INTERRUPTED
    return DONE if failure is None else FAILED


def _campaign_of(target: SimTarget) -> Campaign:
    from rediq_trio.testing.fleets.campaign import Campaign

    settings: Mapping[str, Any] = {} if target.scenario is None else target.scenario.settings
    return Campaign(target.make, settings, target.invariants, target.at_rest)


def _read_runs(target: SimTarget, arguments: argparse.Namespace) -> CampaignRuns:
    from rediq_trio.testing.fleets.campaign import CampaignRuns, draw_first_seed

    given: dict[str, Any] = {"seeds": DEFAULT_SEEDS, "scenario": target.scenario}
    for name in _OF_SEEDS:
        if (text := getattr(arguments, name)) is not None:
            given[name] = _read_number(text, float if name in ("hours", "minutes") else int)
    given.setdefault("seed", draw_first_seed())
    return CampaignRuns(**given)


def _read_number(text: str, kind: type[int] | type[float]) -> object:
    try:
        return kind(text)
    except ValueError:
        return text  # which is refused with the bounds of its field


def _progress(stack: ExitStack, runs: CampaignRuns, arguments: argparse.Namespace) -> Any:
    """Return what shows on a terminal how many runs were made; None elsewhere."""
    from rediq_trio.testing.fleets.campaign import KEPT_PLANS, list_kept

    if arguments.json or not sys.stdout.isatty():
        return None
    total, done = runs.seeds + len(list_kept(KEPT_PLANS)), 0
    advance: Advance | None = None

    def on_run() -> None:
        nonlocal advance, done
        done += 1
        if advance is None:
            # A bar has a thread, and processes are forked before the first run is done.
            bars = open_screen(color=not arguments.no_color).bars({"seeds": total})
            advance = stack.enter_context(bars)["seeds"]
        advance(done)

    return on_run


def _check_writable(field: str, path: Path) -> None:
    """Raise `ConfigError` if a file could not be written; look before anything was run."""
    folder = path.parent
    while field == "keep" and not folder.exists() and folder != folder.parent:
        folder = folder.parent  # what is missing is made
    if path.is_dir():
        raise ConfigError.of(field, str(path), "a file, not a folder")
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ConfigError.of(field, str(path), "in a folder that is there and can be written to")


def _write_whole(path: Path, text: str) -> None:
    """Write a file at once or not at all."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(text, "utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ConfigError(f"svg={quote(str(path))}: {error.strerror}") from error
