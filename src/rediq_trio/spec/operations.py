"""Every operation of a queue, once: its rule, and what everybody else has to know of it.

An operation is what a caller asks of a queue in one atomic step. This table is what the
stores, durability, encryption, the random histories, the replay and the judge are made
from or held to; a test names whoever forgets a row. To add one, see
`docs/internals/adding-an-operation.md`.

`confirm` and `carries` have no default: whoever adds an operation decides what becomes of it
when it is not confirmed, and what encryption has to wrap.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast, final

import attrs

from rediq_trio.spec import rules
from rediq_trio.spec.lifecycle import Transition
from rediq_trio.spec.records import QueueState
from rediq_trio.spec.settle import TRANSITION_OF

P = ParamSpec("P")
A = TypeVar("A")

Rule = Callable[Concatenate[QueueState, int, P], tuple[QueueState, A]]
"""A rule takes a queue, the time in whole milliseconds and its arguments, and returns the queue
that follows, with the answer."""


class Confirm(enum.IntEnum):
    """What becomes of a write that the server did not confirm as `durability` asks."""

    NO = 0
    """It is not waited for: it reads only, or what is lost of it is soon written again. A claim
    that is confirmed confirms all that led to it."""
    RAISE = 1
    """Its caller, a client or an operator, gets `Unconfirmed`."""
    NOTE = 2
    """Its caller, a worker, gets the answer, and the log a line: it can do the work again."""


class Carries(enum.Flag):
    """What an operation carries of a user's data, which encryption must wrap."""

    NOTHING = 0
    TASKS_IN = enum.auto()
    """Envelopes of tasks that come in."""
    TASKS_OUT = enum.auto()
    """Records of tasks, with all that is kept of them."""
    LEASES_OUT = enum.auto()
    """Envelopes of tasks that a worker takes."""
    RESULTS_IN = enum.auto()
    ERRORS_IN = enum.auto()
    """What is kept of failed attempts."""
    ERRORS_OUT = enum.auto()
    STEPS_IN = enum.auto()
    """Results of the steps of `once`."""
    PROGRESS_IN = enum.auto()
    SCHEDULES_IN = enum.auto()
    """Envelopes of the tasks that schedules make."""
    SCHEDULES_OUT = enum.auto()
    NOTES_IN = enum.auto()
    """What an operator writes for others to read."""
    NOTES_OUT = enum.auto()
    ENCRYPTED = enum.auto()
    """Envelopes and results that were encrypted before, and stay so."""


def _as_set(transitions: Iterable[Transition]) -> frozenset[Transition]:
    return frozenset(transitions)


@final
@attrs.frozen
class Operation(Generic[P, A]):
    """One operation of a queue."""

    rule: Rule[P, A]
    transitions: frozenset[Transition] = attrs.field(converter=_as_set)
    """What happens to tasks by it, beside what follows from that; empty for none."""
    confirm: Confirm
    carries: Carries
    batched: str = ""
    """The argument that a store bounds, by name; '' for none. It is the last positional one."""
    names_queue: bool = False
    """It may be the first that a queue is used by: a store records the queue's name before."""

    @property
    def name(self) -> str:
        """The name of its rule, of its store method, and as a rule of its script."""
        return self.rule.__name__


_T, _NO, _RAISE, _NOTE = Transition, Confirm.NO, Confirm.RAISE, Confirm.NOTE
_NOTHING = Carries.NOTHING


@final
class OP:
    """The operations, by name."""

    # What comes in.
    enqueue = Operation(
        rules.enqueue, {_T.ENQUEUE}, confirm=_RAISE, carries=Carries.TASKS_IN, batched="tasks",
        names_queue=True,
    )  # fmt: skip
    receive = Operation(
        rules.receive, {_T.ENQUEUE, _T.UNBLOCK}, confirm=_RAISE, carries=Carries.ENCRYPTED,
        batched="mail", names_queue=True,
    )  # fmt: skip
    acknowledge = Operation(rules.acknowledge, (), confirm=_NO, carries=_NOTHING)

    # What a worker does.
    claim = Operation(rules.claim, {_T.CLAIM}, confirm=_NOTE, carries=Carries.LEASES_OUT)
    renew = Operation(rules.renew, {_T.RENEW}, confirm=_NO, carries=_NOTHING, batched="fences")
    settle = Operation(
        rules.settle, TRANSITION_OF.values(), confirm=_NOTE,
        carries=Carries.RESULTS_IN | Carries.TASKS_IN | Carries.ERRORS_IN, batched="outcomes",
    )  # fmt: skip
    report = Operation(rules.report, (), confirm=_NO, carries=Carries.PROGRESS_IN, batched="items")
    remember = Operation(rules.remember, (), confirm=_NOTE, carries=Carries.STEPS_IN)
    # What is lost of it is missing in the statistics.
    tally = Operation(rules.tally, (), confirm=_NO, carries=_NOTHING)

    # What a keeper does.
    promote = Operation(rules.promote, {_T.PROMOTE}, confirm=_NO, carries=_NOTHING)
    unblock = Operation(rules.unblock, {_T.UNBLOCK}, confirm=_NO, carries=_NOTHING)
    reclaim = Operation(rules.reclaim, {_T.RECLAIM}, confirm=_NO, carries=_NOTHING)
    expire = Operation(rules.expire, {_T.EXPIRE}, confirm=_NO, carries=_NOTHING)
    purge = Operation(rules.purge, {_T.PURGE}, confirm=_NO, carries=_NOTHING)
    # A step that is lost is a gap.
    sample = Operation(rules.sample, (), confirm=_NO, carries=_NOTHING)
    # What is lost of it is removed again by the next.
    trim = Operation(rules.trim, (), confirm=_NO, carries=_NOTHING)
    set_group_rules = Operation(
        rules.set_group_rules, (), confirm=_NO, carries=_NOTHING, batched="rules"
    )
    batch = Operation(rules.batch, {_T.BATCH}, confirm=_NO, carries=_NOTHING, batched="ids")
    tick = Operation(
        rules.tick, {_T.ENQUEUE}, confirm=_NO, carries=Carries.TASKS_IN, batched="ticks"
    )

    # What a caller or an operator does.
    cancel = Operation(rules.cancel, {_T.CANCEL}, confirm=_RAISE, carries=_NOTHING)
    reschedule = Operation(rules.reschedule, {_T.RESCHEDULE}, confirm=_RAISE, carries=_NOTHING)
    update = Operation(rules.update, {_T.UPDATE}, confirm=_RAISE, carries=Carries.TASKS_IN)
    requeue = Operation(rules.requeue, {_T.REQUEUE}, confirm=_RAISE, carries=Carries.TASKS_IN)
    revive = Operation(rules.revive, {_T.REVIVE}, confirm=_RAISE, carries=_NOTHING, batched="ids")
    delete = Operation(rules.delete, {_T.DELETE}, confirm=_RAISE, carries=_NOTHING, batched="ids")
    # Its loss costs a waiter the signal, and no task.
    watch = Operation(rules.watch, (), confirm=_NO, carries=_NOTHING)
    pause = Operation(rules.pause, (), confirm=_RAISE, carries=Carries.NOTES_IN)
    resume = Operation(rules.resume, (), confirm=_RAISE, carries=_NOTHING)
    flush = Operation(rules.flush, {_T.FLUSH}, confirm=_RAISE, carries=_NOTHING)
    limit = Operation(rules.limit, (), confirm=_RAISE, carries=_NOTHING)
    arrange = Operation(rules.arrange, (), confirm=_RAISE, carries=_NOTHING)

    remove_queue = Operation(rules.remove_queue, (), confirm=_RAISE, carries=_NOTHING)

    # Schedules.
    agenda = Operation(rules.agenda, (), confirm=_NO, carries=Carries.SCHEDULES_OUT)
    declare = Operation(
        rules.declare, (), confirm=_RAISE, carries=Carries.SCHEDULES_IN, names_queue=True
    )
    retract = Operation(rules.retract, (), confirm=_RAISE, carries=_NOTHING)
    retract_others = Operation(rules.retract_others, (), confirm=_RAISE, carries=_NOTHING)
    suspend = Operation(rules.suspend, (), confirm=_RAISE, carries=_NOTHING)
    reinstate = Operation(rules.reinstate, (), confirm=_RAISE, carries=_NOTHING)
    trigger = Operation(rules.trigger, {_T.ENQUEUE}, confirm=_RAISE, carries=Carries.TASKS_IN)


def _rows() -> Iterator[tuple[str, Operation[Any, Any]]]:
    for name, value in vars(OP).items():
        if isinstance(value, Operation):
            yield name, cast("Operation[Any, Any]", value)


OPERATIONS: Mapping[str, Operation[Any, Any]] = MappingProxyType(dict(_rows()))
"""Every operation, by name."""

for _name, _each in OPERATIONS.items():
    if _name != _each.name:
        raise TypeError(f"spec/operations.py: OP.{_name} has the rule {_each.name}")
