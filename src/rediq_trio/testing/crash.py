"""crash_everywhere: interrupt a handler at each of its checkpoints, and compare the effects.

Each interruption happens in a simulation of its own: a fresh app, two servers, one task. The handler
runs up to a checkpoint, is interrupted there, and is retried; when nothing is left to do, the effects
must be those of a run without interruption. The last point is after the handler has returned: its work
is done, and nobody has written that it is.
"""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, cast

import attrs
import trio

from rediq_trio._errors import ConfigError, TaskNotFound, quote
from rediq_trio.handlers.app import App
from rediq_trio.handlers.context import CurrentTask
from rediq_trio.spec.lifecycle import State
from rediq_trio.testing.crashes.checkpoints import Checkpoint, CheckpointWatch
from rediq_trio.testing.crashes.report import INTERRUPTIONS, CrashPoint, CrashReport
from rediq_trio.testing.simulated.errors import NotAtRest
from rediq_trio.testing.simulated.not_deterministic import USUAL_SUSPECTS, NotDeterministic
from rediq_trio.testing.simulated.processes import MAX_JOBS, run_in_processes
from rediq_trio.testing.simulated.without_log import without_log
from rediq_trio.testing.simulation import Simulation
from rediq_trio.testing.world import HOST, Host
from rediq_trio.values import bounds
from rediq_trio.values.backoff import Fixed
from rediq_trio.values.task import Task
from rediq_trio.worker.leases import Reason

if TYPE_CHECKING:
    from rediq_trio.worker.leases import HeldLease

MAX_CHECKPOINTS = 100_000
LEASE = 5.0
"""Seconds: a short lease makes short simulations, and no handler can see how long it is."""
FREEZE = 20.0
"""Seconds for which a server freezes: its lease is over by then, and another server has the task."""
RETRY_AFTER = 1.0
"""Seconds after which the task is retried: what it waits for has no part in the test."""
REST_WITHIN = 86_400.0
"""Simulated seconds that a run may take."""


def _callable(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not callable(value):
        raise ConfigError.of(attribute.name, value, "a function")


def _app(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, App):
        raise ConfigError.of(attribute.name, value, "an App")


def _task(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, Task):
        raise ConfigError.of(attribute.name, value, "a Task, as TaskType.task(...) returns it")


@attrs.frozen
class Trial:
    """A task whose handler is to be interrupted, and what tells its effects."""

    app: App[Any] = attrs.field(validator=_app)
    task: Task[Any] = attrs.field(validator=_task)
    effects: Callable[[], Any] = attrs.field(validator=_callable)
    """Returns what the handler has done, such as the balances of all accounts: plain data, or other
    values that can be copied and compared."""
    same: Callable[[Any, Any], bool] = attrs.field(default=operator.eq, validator=_callable)
    """Compares the effects with those that are expected, in this order."""


def crash_everywhere(
    make: Callable[[], Trial],
    *,
    ways: Sequence[str] = ("kill", "freeze", "stop", "timeout"),
    most: int = 500,
    jobs: int = 1,
) -> CrashReport:
    """Interrupt a handler at each of its checkpoints, let it be retried, and compare the effects.

    `make` returns a `Trial` whose app and data are fresh; it is called for each run. `ways` are the
    interruptions: `kill` ends the server without any warning; `freeze` lets it stand still until its lease
    is over and another server has begun the task, then go on; `stop` shuts it down, which cancels the
    handler; `timeout` cancels the handler as its timeout would. `most` bounds the number of checkpoints,
    1 to 100,000. The simulations take no real time but that of the computer. With `jobs`, 1 to 256,
    interruptions are tried by so many processes; the report is the same.

    The report is true if all effects were as expected: `assert report, report`. Raises `ConfigError` for
    a bad argument, for effects that cannot be copied or compared, and if the handler fails without
    interruption; `NotDeterministic` if two runs have different checkpoints or effects.
    """
    _check(make, ways, most, jobs)
    first = _run(make)
    _check_uninterrupted(first)
    _check_same(first, _run(make))
    plan = [
        CrashTry(checkpoint, way)
        for checkpoint in first.checkpoints[:most]
        for way in INTERRUPTIONS
        # Nothing is left to be timed out at the end.
        if way in ways and not (checkpoint.is_end and way == "timeout")
    ]
    tried = [*_tried(make, first, plan, jobs)]
    return CrashReport(
        first.trial.task.type, len(first.checkpoints), tuple(point for point, _ in tried),
        tuple(point for point, is_bad in tried if is_bad),
    )  # fmt: skip


@attrs.frozen
class CrashTry:
    """An interruption to try."""

    checkpoint: Checkpoint
    way: str

    def point(self, effects: Any, expected: Any, raised: str = "") -> CrashPoint:
        """Return what it showed."""
        at = self.checkpoint
        return CrashPoint(at.number, self.way, at.where, at.is_end, effects, expected, raised)


def _tried(
    make: Callable[[], Trial], first: TrialRun, plan: Sequence[CrashTry], jobs: int
) -> Iterator[tuple[CrashPoint, bool]]:
    """Try interruptions; yield what each showed, and whether it is bad."""
    if jobs == 1:
        yield from (_try(make, first, one) for one in plan)
        return

    def look(number: int) -> dict[str, Any]:
        return {"is_as_expected": _is_as_expected(make, first, plan[number])}

    with closing(run_in_processes(look, range(len(plan)), jobs)) as results:
        for number, found in results:
            if found["is_as_expected"]:
                yield plan[number].point(first.effects, first.effects), False
            else:
                # Effects of any kind, and exceptions, need not travel: here they are made again.
                yield _try(make, first, plan[number])


def _try(make: Callable[[], Trial], first: TrialRun, one: CrashTry) -> tuple[CrashPoint, bool]:
    with without_log():
        run = _run(make, one.way, one.checkpoint.number)
    _check_prefix(first, run, one.checkpoint.number)
    is_bad = bool(run.raised) or not _are_same(run.trial, run.effects, first.effects)
    return one.point(run.effects, first.effects, run.raised), is_bad


def _is_as_expected(make: Callable[[], Trial], first: TrialRun, one: CrashTry) -> bool:
    """Return whether an interruption had the very effects of a run without any."""
    try:
        point, is_bad = _try(make, first, one)
        # Values that are equal may still differ where a report shows them.
        return not is_bad and point.effects == first.effects and repr(point.effects) == repr(first.effects)
    except Exception:
        return False  # raised again by whoever tries it again


@attrs.frozen
class TrialRun:
    """What one simulation showed."""

    trial: Trial
    checkpoints: tuple[Checkpoint, ...]
    effects: Any
    state: State | None
    """The state of the task in the end; None if it was removed."""
    error: str
    attempts: int

    @property
    def raised(self) -> str:
        """What the handler failed with for good when it was run again; "" if it did not."""
        # After a single attempt the interruption itself has used up `max_retry` or `max_crashes`.
        return self.error if self.state is not State.COMPLETED and self.attempts > 1 else ""


def _check(make: object, ways: object, most: object, jobs: object) -> None:
    if not callable(make):
        raise ConfigError.of("make", make, "a function that returns a Trial")
    known = f"some of {', '.join(INTERRUPTIONS)}"
    given: Any = ways
    if isinstance(ways, str) or not isinstance(ways, Sequence) or not ways:
        raise ConfigError.of("ways", given, known)
    for way in cast("Sequence[object]", ways):
        if way not in INTERRUPTIONS:
            raise ConfigError.of("ways", way, known)
    bounds.check_number("most", most, 1, MAX_CHECKPOINTS, integer=True)
    bounds.check_number("jobs", jobs, 1, MAX_JOBS, integer=True)


def _run(make: Callable[[], Trial], way: str = "", number: int = 0) -> TrialRun:
    """Run a trial in a simulation of its own, with an interruption at one checkpoint or none."""
    trial: object = make()
    if not isinstance(trial, Trial):
        raise ConfigError.of("make", trial, "a function that returns a Trial")
    task = attrs.evolve(
        trial.task, id=trial.task.id or "trial", backoff=Fixed(RETRY_AFTER)
    )
    queues = tuple(dict.fromkeys((task.queue, *trial.app.queues)))
    settings = {"queues": queues, "lease": LEASE, "shutdown_grace": 0}
    with Simulation(trial.app, servers=2, settings=settings) as sim:

        def at(checkpoint: Checkpoint, current: CurrentTask, on: trio.lowlevel.Task) -> None:
            if checkpoint.number == number:
                _interrupt(sim, way, current, on)

        watch = CheckpointWatch(f"{task.queue}/{task.id}", at)
        with sim.world.entered():
            trio.lowlevel.add_instrument(watch)
        handle = sim.enqueue(task)
        error, state = "", None
        try:
            sim.rest(within=REST_WITHIN)
            if way == "freeze":
                sim.advance(FREEZE + 1.0)  # what was frozen goes on
            info = handle.info()
            state, error = info.state, info.error or ""
        except NotAtRest as problem:
            error = str(problem)
        except TaskNotFound:
            state = State.COMPLETED  # and removed: only such tasks may have no retention
        with sim.world.entered():
            trio.lowlevel.remove_instrument(watch)
        if watch.error is not None:
            raise watch.error
        effects = _copied(trial)
    return TrialRun(trial, tuple(watch.seen), effects, state, error, len(watch.attempts))


def _interrupt(
    sim: Simulation, way: str, current: CurrentTask, on: trio.lowlevel.Task
) -> None:
    host = on.context[HOST]
    assert host is not None
    held = cast("HeldLease", current._attempt)
    match way:
        case "kill":
            sim.network.kill(host)
        case "freeze":
            _freeze(sim, host, on)
        case "stop":
            (server,) = (one for one in sim.server.values() if one.host is host)
            server.begin_stop()
            held.cancel(Reason.SHUTDOWN)  # now, not after a few steps of the worker
        case _:
            held.limit_attempt(0.0)


def _freeze(sim: Simulation, host: Host, on: trio.lowlevel.Task) -> None:
    # When a process goes on, its tasks run in any order. The worst one is tried: the handler makes its
    # next step, and only then does the worker notice that the lease is over.
    sim.network.freeze(host, FREEZE + 0.001)
    clock = sim.world.clock
    clock.at(sim.world.now + FREEZE, lambda: sim.world.run_one_step(on))


def _copied(trial: Trial) -> Any:
    effects = trial.effects()
    if inspect.isawaitable(effects):
        if inspect.iscoroutine(effects):
            effects.close()
        raise ConfigError.of("effects", trial.effects, "a def that returns the effects, no async def")
    try:
        # The user may return the very data that the handler of the next run changes.
        copied = copy.deepcopy(effects)
    except Exception as error:
        raise ConfigError(
            f"effects={quote(effects)}: cannot be copied: return plain data, such as a dict"
        ) from error
    if not _are_same(trial, copied, effects):
        raise ConfigError(
            f"effects={quote(effects)}: cannot be compared, as a copy of them is not equal: return plain "
            "data, such as a dict, or pass same="
        )
    return copied


def _are_same(trial: Trial, effects: Any, expected: Any) -> bool:
    try:
        return bool(trial.same(effects, expected))
    except Exception as error:
        raise ConfigError(
            f"effects={quote(effects)}: cannot be compared: {error}; return plain data, such as a dict, or "
            "pass same="
        ) from error


def _check_uninterrupted(run: TrialRun) -> None:
    if run.state is not State.COMPLETED:
        state = "still has work" if run.state is None else f"is {run.state} in the end"
        raise ConfigError(
            f"task: {run.trial.task.type} fails without any interruption, so there is nothing to compare "
            f"with: it {state}: {run.error}"
        )


def _check_same(first: TrialRun, second: TrialRun) -> None:
    _check_prefix(first, second, max(len(first.checkpoints), len(second.checkpoints)))
    if not _are_same(first.trial, second.effects, first.effects):
        raise NotDeterministic(
            f"two runs without interruption had different effects: {quote(first.effects)}, then "
            f"{quote(second.effects)}: {USUAL_SUSPECTS}"
        )


def _check_prefix(first: TrialRun, second: TrialRun, number: int) -> None:
    """Raise `NotDeterministic` unless two runs have the same checkpoints up to a number."""
    runs = first.checkpoints[:number], second.checkpoints[:number]
    for n, (one, other) in enumerate(zip_longest(*runs), 1):
        if one != other:
            raise NotDeterministic(
                f"two runs from the same seed part at checkpoint {n:,}: {_described(one)}, then "
                f"{_described(other)}: {USUAL_SUSPECTS}"
            )


def _described(checkpoint: Checkpoint | None) -> str:
    return "no checkpoint" if checkpoint is None else checkpoint.where
