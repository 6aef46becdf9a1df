"""The model of one task: which states may follow which, according to the specification.

The model has no rules of its own. Each function builds a queue of one task, calls a rule of
`spec.rules`, and reads the task back. Time is not modelled: whatever is due at some instant may happen
at any. Other tasks are not modelled either, so a blocked task may be notified of their ends at any
time. Results are cached, because one task has few states.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

import attrs

from rediq_trio.spec import rules as spec
from rediq_trio.spec.lifecycle import TERMINAL, TRANSITIONS, State, Transition
from rediq_trio.spec.messages import (
    Completed,
    Failed,
    Fence,
    Mail,
    MailKind,
    NewTask,
    Outcome,
    Relations,
    Snoozed,
)
from rediq_trio.spec.records import GroupRule, Lock, QueueState, Record
from rediq_trio.spec.settle import PLAIN_OUTCOMES

NOW, LATER = 1_000, 2_000
OWN, NEEDED, KEY, NONCE = "x", "elsewhere/y", "k", b"nonce..."


@attrs.frozen(cache_hash=True)
class Form:
    """The options of a task, as far as its states depend on them."""

    max_retry: int = 3
    max_crashes: int = 3
    delayed: bool = False
    expires: bool = False
    """It has `expires` or a deadline."""
    needs: bool = False
    """It waits for other tasks, or did."""
    run_on_dependency_failure: bool = False
    grouped: bool = False
    keyed: bool = False
    no_retention: bool = False
    """Its retention is 0, so its completion may remove it."""
    purged: bool = False
    """Its retention is shorter than the run."""
    has_deadline: bool = False
    """It has a deadline, which may make a failure final, or fail it before its handler starts."""
    is_batch: bool = False
    """It is a batch."""


class Model(NamedTuple):
    """One task at one instant. `state` is None for no task."""

    state: State | None = None
    deliveries: int = 0
    attempt: int = 0
    crashes: int = 0
    snoozes: int = 0
    cancel: bool = False
    waits: bool = False
    expires: bool = False
    form: Form = Form()


GONE = Model()


def _task(form: Form) -> NewTask:
    return NewTask(
        OWN, b"", max_retry=form.max_retry, max_crashes=form.max_crashes,
        retention_ms=0 if form.no_retention else 3_600_000,
        delay_ms=LATER if form.delayed else 0, expires_in_ms=LATER if form.expires else 0,
        relations=Relations(
            needs=(NEEDED,) if form.needs else (), run_on_dependency_failure=form.run_on_dependency_failure,
            group="g" if form.grouped else "", unique=KEY if form.keyed else "", replace=form.keyed,
        ),
    )  # fmt: skip


def _queue(
    model: Model, *, due: bool = True, lapsed: bool = False, over: bool = False
) -> QueueState:
    """Return a queue with only this task, with times that make it due, lapsed or expired as asked."""
    form = model.form
    assert model.state is not None
    record = Record(
        id=OWN, envelope=b"", state=model.state, priority=50,
        max_retry=form.max_retry, max_crashes=form.max_crashes,
        retention_ms=0 if form.no_retention else 3_600_000, created_ms=NOW,
        run_ms=NOW if due else LATER, expires_ms=(NOW if over else LATER) if model.expires else 0, seq=1,
        attempt=model.attempt, deliveries=model.deliveries, crashes=model.crashes,
        snoozes=model.snoozes, nonce=NONCE, lease_ms=NOW if lapsed else LATER, cancel=model.cancel,
        unique=KEY if form.keyed else "", owns_unique_key=form.keyed, waits=int(model.waits),
        run_on_dependency_failure=form.run_on_dependency_failure, group="g" if form.grouped else "", purge_ms=NOW,
    )  # fmt: skip
    needs = {OWN: frozenset({NEEDED})} if model.waits else {}
    locks = {KEY: Lock(OWN)} if form.keyed and model.state not in TERMINAL else {}
    return QueueState(
        records=MappingProxyType({OWN: record}),
        needs=MappingProxyType(needs),
        locks=MappingProxyType(locks),
        rules=MappingProxyType({"g": GroupRule(1)}) if model.state is State.GROUPED else {},
    )


def _read(queue: QueueState, form: Form) -> Model:
    record = queue.records.get(OWN)
    if record is None:
        return GONE
    return Model(
        record.state, record.deliveries, record.attempt, record.crashes, record.snoozes,
        record.cancel, record.waits > 0, record.expires_ms > 0, form,
    )  # fmt: skip


# --- what callers do


@cache
def enqueued(form: Form) -> tuple[Model, ...]:
    """Return the task after its enqueue."""
    if form.is_batch:
        assert (None, State.PENDING) in TRANSITIONS[Transition.BATCH]
        return (Model(State.PENDING, form=form),)
    after, _ = spec.enqueue(QueueState(), NOW, [_task(form)])
    return (_read(after, form),)


@cache
def replaced(model: Model, form: Form) -> tuple[Model, ...]:
    """Return a task after another one with its unique key has replaced it."""
    if model.state is None:
        return ()
    rival = attrs.evolve(_task(form), id="rival")
    after, (answer,) = spec.enqueue(_queue(_keyed(model), due=False), NOW, [rival])
    if {*after.records} != {OWN} or getattr(answer, "state", None) is None:
        return ()
    return (_read(after, form),)


def _keyed(model: Model) -> Model:
    """Return the task with a unique key."""
    return model._replace(form=attrs.evolve(model.form, keyed=True))


@cache
def cancelled(model: Model) -> tuple[Model, ...]:
    """Return a task after a cancel."""
    return (_read(spec.cancel(_queue(model), NOW, OWN)[0], model.form),)


@cache
def deleted(model: Model) -> tuple[Model, ...]:
    """Return a task after a delete."""
    return (_read(spec.delete(_queue(model), NOW, [OWN])[0], model.form),)


@cache
def revived(model: Model) -> tuple[Model, ...]:
    """Return a task after a revival; also unchanged if other tasks may prevent it."""
    after = _read(spec.revive(_queue(model), NOW, [OWN])[0], model.form)
    found = [after]
    if after.state is State.BLOCKED:
        found += resolved(after)  # tasks that it needs in its own queue notify it at once
    if model.form.needs or model.form.keyed:
        found.append(model)
    return tuple(dict.fromkeys(found))


@cache
def rescheduled(model: Model) -> tuple[Model, ...]:
    """Return a task after it was put off; unchanged if it cannot be."""
    return (_read(spec.reschedule(_queue(model), NOW, OWN, delay_ms=1)[0], model.form),)


@cache
def made_ready(model: Model) -> tuple[Model, ...]:
    """Return a task after it was made due at once; unchanged if it cannot be."""
    return (_read(spec.reschedule(_queue(model), NOW, OWN)[0], model.form),)


@cache
def moved(model: Model) -> tuple[Model, ...]:
    """Return a task after it was moved to another queue; unchanged if it cannot be."""
    if model.state is None:
        return (model,)
    queue = _queue(model)
    new = NewTask("new", b"", relations=Relations(queue="elsewhere"))
    after, _ = spec.requeue(queue, NOW, OWN, seen=queue.records[OWN].version, task=new)
    return (_read(after, model.form),)


# --- what workers do


@cache
def claimed(model: Model) -> tuple[Model, ...]:
    """Return a ready task after a claim."""
    if model.state is not State.PENDING:
        return ()
    after, _ = spec.claim(_queue(model), NOW, limit=1, lease_ms=1, worker="w", nonce=NONCE)
    return (_read(after, model.form),)


def _fence(model: Model) -> Fence:
    return Fence(OWN, model.deliveries, NONCE)


@cache
def settled(model: Model, ended_as: str) -> tuple[Model, ...]:
    """Return a running task after the settlement of its attempt."""
    if model.state is not State.ACTIVE:
        return ()
    queue, fence = _queue(model), _fence(model)
    outcome: Outcome
    match ended_as:
        case "complete":
            outcome = Completed(fence, b"")
        case "fail" | "bury":
            outcome = Failed(fence, "", 1, final=ended_as == "bury")
        case "snooze":
            outcome = Snoozed(fence, 1)
        case _:
            outcome = PLAIN_OUTCOMES[Transition(ended_as)](fence)
    after, _ = spec.settle(queue, NOW, [outcome])
    found = [_read(after, model.form)]
    if ended_as == "complete" and model.form.no_retention:
        # Someone may wait for it; then it is kept for a while.
        retained = attrs.evolve(model.form, no_retention=False)
        found += [
            each._replace(form=model.form)
            for each in settled(model._replace(form=retained), ended_as)
        ]
    return tuple(found)


# --- what the queue does by itself


@cache
def resolved(model: Model) -> tuple[Model, ...]:
    """Return a blocked task after the last task that it needs has ended."""
    found: list[Model] = []
    for ended_as in (State.COMPLETED, State.DEAD):
        mail = [Mail(1, "elsewhere", MailKind.ENDED, id=OWN, ref="y", ended_as=ended_as)]
        for due in (True, False):  # also not due, if the clock was set back since
            after, _ = spec.receive(_queue(model, due=due), NOW, "elsewhere", mail)
            found.append(_read(after, model.form))
    return tuple(dict.fromkeys(found))


@cache
def after_upkeep(model: Model) -> tuple[Model, ...]:
    """Return a task after what a keeper may do: promote, expire, unblock, batch, reclaim, purge."""
    return tuple(dict.fromkeys(each for each in _upkeep(model) if each != model))


def _upkeep(model: Model) -> Iterator[Model]:
    form = model.form
    match model.state:
        case None:
            return
        case State.SCHEDULED | State.RETRY:
            yield _read(spec.promote(_queue(model), NOW, limit=1)[0], form)
        case State.BLOCKED:
            yield from resolved(model)
        case State.GROUPED:
            yield _read(spec.batch(_queue(model), NOW, ids=["b"])[0], form)
        case State.ACTIVE:
            yield _read(spec.reclaim(_queue(model, lapsed=True), NOW, limit=1)[0], form)
        case _ if form.purged and model.state in TERMINAL:
            purged, _ = spec.purge(
                _queue(model), NOW, limit=1, dead_retention_ms=2**50, max_dead=1_000_000
            )
            yield _read(purged, form)
        case _:
            pass
    if model.expires:
        yield _read(spec.expire(_queue(model, over=True), NOW, limit=1)[0], form)
