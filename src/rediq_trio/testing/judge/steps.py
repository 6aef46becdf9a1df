"""The observations of a task as operations on its model.

A call with an answer took effect between call and answer, and that answer was right; if a lost one
may have gone before it, which the client repeated, it may have taken effect once more. A call without
an answer may take effect at any later time, or never. A start proves that a claim with its fence
happened before. After an end, a settlement of it may follow. A stopping worker releases tasks only
after its last start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from rediq_trio.spec.lifecycle import TERMINAL, WAITING, State
from rediq_trio.spec.settle import PLAIN_OUTCOMES
from rediq_trio.testing.judge import model as spec
from rediq_trio.testing.judge.model import GONE, Form, Model
from rediq_trio.testing.judge.observed import (
    NEVER,
    SECOND,
    Call,
    End,
    Observation,
    Observed,
    ObservedTask,
)

UNKNOWN_FORM = Form(10**6, 10**6, delayed=True, expires=True, has_deadline=True)
"""The form of a task whose options are unknown: it allows whatever any option allows."""
ANSWERED = {
    "cancel": "cancelled", "retry": "revived", "delete": "deleted", "update": "updated",
    "reschedule": "rescheduled", "run_now": "made ready", "requeue": "moved",
}  # fmt: skip
"""Operation -> the kind of its step if its answer is known."""
DUE_STATES = (State.PENDING, State.SCHEDULED, State.RETRY)
"""States in which a task can be made due at another time."""
RIVALS = 3
"""Unanswered enqueues of one form that may replace a task, at most. More add no new states."""


@attrs.frozen
class Step:
    """One operation on a task's model."""

    kind: str
    params: tuple[Any, ...]
    call: float
    back: float
    must: bool
    seen: Observation | None = attrs.field(default=None, eq=False)
    """The observation; None for a task that is missing at the end."""

    @property
    def only_observes(self) -> bool:
        """Whether a history without this step allows at least as much."""
        return self.kind in ("info", "present", "absent", "taken", "claim", "final")


def form_of(observed: Observed, args: Mapping[str, Any]) -> Form:
    """Return the form of a task with these options."""
    retention = args.get("retention")
    length = (observed.ended - observed.begun) / SECOND
    return Form(
        max_retry=args.get("max_retry", 3),
        max_crashes=args.get("max_crashes", 3),
        delayed=bool(args.get("due_s")),
        expires=bool(args.get("expires_s") or args.get("deadline_s")),
        needs=bool(args.get("depends_on")),
        run_on_dependency_failure=args.get("on_dependency_failure") == "run",
        grouped=bool(args.get("group")),
        keyed=bool(args.get("unique")),
        no_retention=retention == 0,
        purged=retention is not None and retention < length,
        has_deadline=bool(args.get("deadline_s")),
    )


def steps_of(observed: Observed, task: ObservedTask, named: Mapping[str, list[End]]) -> list[Step]:
    """Return the operations on one task."""
    found = [*_births(observed, task, named)]
    for call in task.calls:
        if not call.void:
            found.append(_called(observed, call))
        if call.may_be_repeated:
            found.append(Step(call.op, (), call.at, call.back or NEVER, False, call))
    found += _replacements(observed, task)
    for start in task.starts:
        found.append(Step("claim", (start.fence, start.attempt), -NEVER, start.at, True, start))
        process = observed.processes.get(start.process)
        if process is not None and process.stopping:
            since = max(start.at, process.last_start)
            found.append(Step("settle", (start.fence, "release"), since, NEVER, False))
    has_deadline = UNKNOWN_FORM.has_deadline if not task.args else bool(task.args.get("deadline_s"))
    for end in task.ends:
        for ended_as in settlements(end, has_deadline):
            found.append(Step("settle", (end.fence, ended_as), end.at, NEVER, False, end))
    final = task.final
    params = () if final is None else (
        State(final.state), final.attempt, final.deliveries, final.crashes, final.snoozes
    )  # fmt: skip
    found.append(Step("final", params, observed.ended, NEVER, True, final))
    return found


def _births(
    observed: Observed, task: ObservedTask, named: Mapping[str, list[End]]
) -> Iterator[Step]:
    """Return how a task that no client enqueued may have been created."""
    for end in named.get(task.id, ()):
        yield Step("enqueue", (UNKNOWN_FORM,), end.at, NEVER, False, end)
    for each in (*task.starts[:1], *task.finals[:1]):
        if each.members:
            yield Step("enqueue", (_held(observed, each.members),), -NEVER, NEVER, False)
            return
        if each.moved_from:
            # It is due when the one that was moved was, which may have been put off.
            origin = observed.tasks.get(each.moved_from)
            form = form_of(observed, origin.args) if origin and origin.args else UNKNOWN_FORM
            yield Step("enqueue", (attrs.evolve(form, delayed=True),), -NEVER, NEVER, False)
            yield Step("enqueue", (attrs.evolve(form, delayed=False),), -NEVER, NEVER, False)
            return
        if each.schedule:
            yield Step("enqueue", (UNKNOWN_FORM,), -NEVER, NEVER, False)
            return


def _held(observed: Observed, members: Iterable[str]) -> Form:
    """Return the form of a batch, which has the highest bounds of its members."""
    known = [observed.tasks[m].args for m in members if m in observed.tasks]
    if not all(known) or not known:
        return attrs.evolve(UNKNOWN_FORM, is_batch=True)
    return Form(
        max(args.get("max_retry", 3) for args in known),
        max(args.get("max_crashes", 3) for args in known),
        is_batch=True,
    )


def _called(observed: Observed, call: Call) -> Step:
    answer = call.answer
    if not call.known:
        params = (form_of(observed, call.args),) if call.op == "enqueue" else ()
        return Step(call.op, params, call.at, NEVER, False, call)
    assert call.back is not None
    kind, params = call.op, (answer,)
    if call.op == "enqueue":
        kind, params = "absent", ()
        if call.created:
            kind, params = "created", (form_of(observed, call.args),)
        elif call.holder == call.id:
            kind = "present"
    elif call.op == "info" and answer is not None:
        params = tuple(answer[name] for name in ("state", "attempt", "deliveries", "crashes"))
    elif call.op == "info":
        params = ()
    kind = ANSWERED.get(kind, kind)
    return Step(kind, params, call.at, call.back, True, call)


def _replacements(observed: Observed, task: ObservedTask) -> Iterator[Step]:
    for call in task.held:
        unique = call.args.get("unique")
        assert call.back is not None
        if not unique:
            continue
        if unique["on_conflict"] == "replace":
            params = (form_of(observed, call.args), unique["until"])
            yield Step("replaced", params, call.at, call.back, True, call)
        else:
            yield Step("taken", (unique["until"],), call.at, call.back, True, call)
    counts: dict[Form, int] = {}
    for call in task.rivals:
        form = form_of(observed, call.args)
        counts[form] = counts.get(form, 0) + 1
        if counts[form] <= RIVALS:
            yield Step("replace", (form,), call.at, NEVER, False, call)


def settlements(end: End, has_deadline: bool) -> tuple[str, ...]:
    """Return the ways in which an attempt with this end may be settled."""
    fails = ("fail", "bury") if has_deadline else ("fail",)
    match end.ended_as, end.reason:
        case "success", _:
            return ("complete",)
        case "reject", _:
            return ("bury",)
        case transition, _ if transition == "snooze" or transition in PLAIN_OUTCOMES:
            return (transition,)
        case "cancelled", "cancelled":
            return ("stop",)
        case "cancelled", "shutdown":
            return ("release",)
        case "cancelled", "deadline":
            return ("bury",)
        case "cancelled", "lease lost":
            return ()
        case ("cancelled", "timeout") | ("raise" | "retry" | "timeout", _):
            return fails
        case _:
            return ("stop", "release")


def effect(kind: str, params: tuple[Any, ...]) -> Callable[[Model], Iterable[Model]]:
    """Return the function of an operation: from a state to the states that fit its answer."""
    return lambda model: _effect(kind, params, model)


def _effect(kind: str, params: tuple[Any, ...], model: Model) -> Iterable[Model]:
    there = model.state is not None
    match kind:
        case "created" | "enqueue":
            return () if there else spec.enqueued(params[0])
        case "present":
            return (model,) if there else ()
        case "absent":
            return () if there else (model,)
        case "claim":
            found = spec.claimed(model) if model.deliveries == params[0] - 1 else ()
            return [after for after in found if after.attempt == params[1]]
        case "settle":
            return spec.settled(model, params[1]) if model.deliveries == params[0] else ()
        case "replace":
            return spec.replaced(model, params[0])
        case "replaced":
            return (*spec.replaced(model, params[0]), *_held_by(model, params[1]))
        case "taken":
            return _held_by(model, params[0])
        case "final":
            facts = model.state, model.attempt, model.deliveries, model.crashes, model.snoozes
            return (model,) if (facts == params if params else not there) else ()
        case "info":
            seen = model.state, model.attempt, model.deliveries, model.crashes
            return (model,) if (seen == params if params else not there) else ()
        case _:
            return _operated(kind, params, model)


def _held_by(model: Model, until: str) -> Iterable[Model]:
    """Return the model if it may hold its unique key in this state."""
    match until:
        case "done":
            holds = model.state is not None and model.state not in TERMINAL
        case "started":
            holds = model.state in WAITING
        case _:
            holds = True
    return (model,) if holds else ()


def _operated(kind: str, params: tuple[Any, ...], model: Model) -> Iterable[Model]:
    if model.state is None:
        return (model,) if params == (None,) else ()
    match kind:
        case "cancel":
            return spec.cancelled(model)
        case "retry":
            return spec.revived(model)
        case "delete":
            return spec.deleted(model)
        case "reschedule":
            return (*spec.rescheduled(model), *spec.made_ready(model))
        case "run_now":
            return spec.made_ready(model)
        case "update":
            return (model,)
        case "requeue":
            return spec.moved(model)
        case "rescheduled" | "made ready" | "updated" | "moved":
            return _changed(kind, params[0], model)
        case "cancelled":
            return [after for after in spec.cancelled(model) if after.state == params[0]]
        case "revived":
            return [after for after in spec.revived(model) if after.state == params[0]]
        case "deleted":
            if params[0] in (False, "active"):
                return (model,) if model.state is State.ACTIVE else ()
            fits = params[0] is True or params[0] == model.state
            return (GONE,) if fits and model.state is not State.ACTIVE and params[0] else ()
        case _:
            raise AssertionError(kind)


def _changed(kind: str, answer: Any, model: Model) -> Iterable[Model]:
    """Return a waiting task after a change of it that was answered."""
    match kind:
        case "rescheduled":
            found = (*spec.rescheduled(model), *spec.made_ready(model))
            return [each for each in found if each.state == answer and model.state in DUE_STATES]
        case "made ready":
            before = DUE_STATES[1:] if answer else (State.PENDING,)
            return spec.made_ready(model) if model.state in before else ()
        case "updated":
            return (model,) if model.state in WAITING and model.state == answer else ()
        case _:
            return [each for each in spec.moved(model) if each == GONE]
