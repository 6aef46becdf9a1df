"""Strategies of Hypothesis for tasks, whose arguments are drawn from annotations, and for plans of faults."""

from __future__ import annotations

import inspect
import typing
from typing import TYPE_CHECKING, Any, Unpack, cast

import attrs

from rediq_trio._errors import ConfigError, PayloadError
from rediq_trio.handlers.app import App, TaskType
from rediq_trio.tasks.prepare import prepare
from rediq_trio.testing.fleets.plan import MAX_SECONDS, MAX_SERVERS, FaultPlan
from rediq_trio.testing.fleets.scenario import Scenario, draw_plan
from rediq_trio.values.bounds import check_number
from rediq_trio.values.task import Task, TaskOptions
from rediq_trio.wire.envelope import pack_value, unpack_value
from rediq_trio.wire.structuring import to_plain

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

MAX_DRAWN_PAYLOAD = 1024 * 1024
"""The most bytes of a payload that is drawn."""


def tasks(
    app: App[Any], *types: str | TaskType[..., Any, Any], **options: Unpack[TaskOptions]
) -> SearchStrategy[Task[Any]]:
    """Return a strategy for tasks of an app's handlers, with arguments that fit their annotations.

    `types` are the handlers, or their names; all of the app if none is named. `options` are those of the
    tasks. A parameter without annotation gets None, numbers or text; one with a default is sometimes left
    out. Values that cannot be sent, such as an `int` of more than 64 bits, are not drawn. Raises
    `ConfigError` for an app without handlers, for bad options, for an annotation of which Hypothesis knows
    no values, and without the extra `testing`; `UnknownTaskType` for a name without a handler.
    """
    strategies = import_strategies()
    if not isinstance(app, App):
        raise ConfigError.of("app", app, "an App")
    found = [one if isinstance(one, TaskType) else app.handler(one) for one in types or app.types]
    if not found:
        raise ConfigError.of("app", app, "an App with handlers")
    made: SearchStrategy[Task[Any]] = strategies.one_of(
        [_tasks_of(one.options(**options)) for one in found]
    )
    return made


def import_strategies() -> Any:
    """Return `hypothesis.strategies`; raise `ConfigError` without Hypothesis."""
    try:
        from hypothesis import strategies
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "hypothesis":
            raise
        raise ConfigError(
            "strategies and QueueMachine need the extra `testing`: pip install 'rediq-trio[testing]'"
        ) from error
    return strategies


def _tasks_of(task_type: TaskType[..., Any, Any]) -> SearchStrategy[Task[Any]]:
    strategies = import_strategies()
    hints = typing.get_type_hints(task_type.function, include_extras=True)
    required: dict[str, SearchStrategy[Any]] = {}
    optional: dict[str, SearchStrategy[Any]] = {}
    for name, parameter in task_type.signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        group = required if parameter.default is parameter.empty else optional
        group[name] = _values_of(hints.get(name, Any), f"{task_type.name}: {name}=")
    arguments = strategies.fixed_dictionaries(required, optional=optional)

    def task(drawn: dict[str, Any]) -> Task[Any] | None:
        made: Task[Any] = task_type.task(**drawn)
        return made if _can_be_sent(task_type, made) else None

    some: SearchStrategy[Task[Any] | None] = arguments.map(task)
    return cast("SearchStrategy[Task[Any]]", some.filter(lambda made: made is not None))


def _can_be_sent(task_type: TaskType[..., Any, Any], task: Task[Any]) -> bool:
    # Whether msgpack carries it, and whether the handler's annotations restore it.
    try:
        prepare(task, MAX_DRAWN_PAYLOAD)
        task_type.arguments(unpack_value(pack_value(to_plain(task.payload, "payload"))))
    except PayloadError:
        return False
    return True


def _values_of(hint: Any, where: str) -> SearchStrategy[Any]:
    from hypothesis.errors import ResolutionFailed

    strategies = import_strategies()
    integers = strategies.integers(-(2**63), 2**64 - 1)
    if hint is int:
        return typing.cast("SearchStrategy[Any]", integers)
    if hint is Any or hint is object or hint is inspect.Parameter.empty:
        plain = (strategies.none(), strategies.booleans(), integers, strategies.text())
        return typing.cast("SearchStrategy[Any]", strategies.one_of(plain))
    values: SearchStrategy[Any] = strategies.from_type(hint)
    try:
        values.validate()
    except (ResolutionFailed, TypeError) as error:
        raise ConfigError(
            f"{where} Hypothesis knows no values of {hint!r}: register_type_strategy() names some"
        ) from error
    return values


def plans(
    scenario: Scenario, *, servers: int = 3, seconds: float = 180.0
) -> SearchStrategy[FaultPlan]:
    """Return a strategy for plans of a scenario, as `draw_plan` makes them of seeds.

    Hypothesis makes a plan smaller by leaving out works and faults. Raises `ConfigError` for a bad
    argument, and without the extra `testing`.
    """
    strategies = import_strategies()
    if not isinstance(scenario, Scenario):
        raise ConfigError.of("scenario", scenario, "a Scenario")
    check_number("servers", servers, 1, MAX_SERVERS, integer=True)
    check_number("seconds", seconds, 0, MAX_SECONDS, above=True)
    # Of ten, so that most parts are left in; the smallest leaves one out.
    choices = strategies.integers(0, 9)

    def parts_of(seed: int) -> SearchStrategy[FaultPlan]:
        plan = draw_plan(scenario, seed, servers=servers, seconds=seconds)
        size = len(plan.works) + len(plan.faults)

        def chosen(kept: list[int]) -> FaultPlan:
            works = [part for part, keep in zip(plan.works, kept, strict=False) if keep]
            rest = kept[len(plan.works) :]
            faults = [part for part, keep in zip(plan.faults, rest, strict=True) if keep]
            return attrs.evolve(plan, works=tuple(works), faults=tuple(faults))

        drawn: SearchStrategy[FaultPlan] = strategies.lists(
            choices, min_size=size, max_size=size
        ).map(chosen)
        return drawn

    found: SearchStrategy[FaultPlan] = strategies.integers(0, 2**32 - 1).flatmap(parts_of)
    return found
