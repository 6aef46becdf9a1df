"""What `rediq sim` runs: the app, the scenario and the checks that its arguments name."""

from __future__ import annotations

import argparse
import inspect
import shlex
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import attrs

from rediq_trio._errors import ConfigError, quote
from rediq_trio.cli.load_app import describe_error, load_named
from rediq_trio.handlers.app import App

if TYPE_CHECKING:
    from rediq_trio.testing.fleets.campaign import CampaignRuns
    from rediq_trio.testing.fleets.fleet import FleetCheck
    from rediq_trio.testing.fleets.scenario import Scenario


@attrs.frozen
class SimTarget:
    """What is run, and what has to hold."""

    make: Any
    """An `App`, or a function that returns one."""
    scenario: Scenario | None
    """None for a plan whose module has none: a plan says itself what is done."""
    invariants: Sequence[FleetCheck]
    at_rest: Sequence[FleetCheck]
    words: Sequence[str]
    """The arguments that named them."""

    def command(self, plan: str) -> str:
        """Return the command that runs a plan again."""
        return shlex.join(["rediq", "sim", *self.words, "--plan", plan])


def load_target(arguments: argparse.Namespace, *, with_plan: bool) -> SimTarget:
    """Import what the arguments name; raise `ConfigError` for what is not there, or not of its kind."""
    module, make = load_named(arguments.app, "app", _what_makes_apps)
    _check_make(arguments.app, make, module)
    words = [arguments.app]
    if arguments.scenario is not None:
        words += ["--scenario", arguments.scenario]
    for flag, names in (("--at-rest", arguments.at_rest), ("--invariant", arguments.invariant)):
        words += [word for name in names for word in (flag, name)]
    return SimTarget(
        make=make,
        scenario=_load_scenario(arguments.scenario, module, with_plan=with_plan),
        invariants=[_load_check("invariant", name, module) for name in arguments.invariant],
        at_rest=[_load_check("at_rest", name, module) for name in arguments.at_rest],
        words=words,
    )


def check_first_plan(runs: CampaignRuns) -> None:
    """Raise `ConfigError` if the scenario does not make a plan of the first seed."""
    try:
        runs.draw(runs.seed)
    except Exception as error:
        raise ConfigError(f"scenario: its work failed: {describe_error(error)}") from error


def _what_makes_apps(module: ModuleType) -> str:
    names = [
        name
        for name, value in vars(module).items()
        if isinstance(value, App)
        or (inspect.isfunction(value) and value.__module__ == module.__name__ and name[0] != "_")
    ]
    if not names:
        return "define one there: a function that returns a new rediq.App"
    return f"it has {', '.join(f'{module.__name__}:{name}' for name in sorted(names))}"


def _check_make(target: str, make: Any, module: ModuleType) -> None:
    if isinstance(make, App):
        return
    if not callable(make):
        raise ConfigError(
            f"app={quote(target)}: is of type {type(make).__name__}, neither an App nor a function that "
            f"returns one; {_what_makes_apps(module)}"
        )
    try:
        app: object = make()
    except Exception as error:
        raise ConfigError(
            f"app={quote(target)}: calling it without arguments failed: {describe_error(error)}"
        ) from error
    if inspect.iscoroutine(app):
        app.close()
    if not isinstance(app, App):
        raise ConfigError(f"app={quote(target)}: returns a {type(app).__name__}, no App")


def _load_scenario(name: str | None, module: ModuleType, *, with_plan: bool) -> Scenario | None:
    from rediq_trio.testing.fleets.scenario import Scenario

    if name is not None:
        found = _load(name, "scenario", module, _scenarios_text)
        if not isinstance(found, Scenario):
            raise ConfigError(
                f"scenario={quote(name)}: is of type {type(found).__name__}, no Scenario; "
                f"{_scenarios_text(module)}"
            )
        return found
    there = _scenarios_of(module)
    if len(there) == 1:
        return next(iter(there.values()))
    if with_plan and not there:
        return None
    raise ConfigError(f"scenario: {_scenarios_text(module)}")


def _scenarios_of(module: ModuleType) -> Mapping[str, Scenario]:
    """Return the scenarios of a module, each by the first of its names."""
    from rediq_trio.testing.fleets.scenario import Scenario

    found: dict[str, Scenario] = {}
    for name, value in vars(module).items():
        if isinstance(value, Scenario) and not any(value is other for other in found.values()):
            found[name] = value
    return found


def _scenarios_text(module: ModuleType) -> str:
    names = sorted(_scenarios_of(module))
    if not names:
        return (
            f"{module.__name__} has no Scenario: make or import one there, or name one with --scenario "
            "module:NAME"
        )
    if len(names) == 1:
        return f"{module.__name__} has {names[0]}"
    return f"{module.__name__} has {', '.join(names)}: name one of them with --scenario"


def _load_check(field: str, name: str, module: ModuleType) -> FleetCheck:
    found = _load(name, field, module, _checks_text)
    if not callable(found):
        raise ConfigError(
            f"{field}={quote(name)}: is of type {type(found).__name__}, no function of a SimulatedFleet"
        )
    return found


def _checks_text(module: ModuleType) -> str:
    return f"name a function of {module.__name__}, object.method, or one elsewhere as module:NAME"


def _load(name: str, field: str, module: ModuleType, there_is: Callable[[ModuleType], str]) -> object:
    target = name if ":" in name else f"{module.__name__}:{name}"
    return load_named(target, field, there_is)[1]
