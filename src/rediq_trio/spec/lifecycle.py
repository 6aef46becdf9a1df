"""The state machine: the states of a task, the transitions, and the table of all edges.

    enqueue ──> scheduled ──promote──> pending ──claim──> active ──complete──> completed
                    ^                   ^  ^                │
                    └──────snooze───────│──│────────────────┤
                                        │  └──release,──────┤
                                        │     reclaim       │
                              promote   │                   │
                         retry ─────────┘ <──────fail───────┤
                                                            ├──fail, reclaim──> dead
                                                            └──stop, ...──────> cancelled

    enqueue ──> grouped x n ──batch──> one pending task, which holds them

    scheduled, retry, pending ──reschedule──> scheduled, or pending at once
    any that waits ──update──> the same state
    scheduled, retry, pending, dead, cancelled ──requeue──> a new task of another queue

Theory of operation
-------------------

A task is in exactly one `State`. A `Transition` is what can happen to it: a caller enqueues or
cancels it, a worker claims or settles it, a keeper does what is due. An edge is a pair of the
state before a transition and the state after it. None stands for no task: before its enqueue and
after its removal.

`TRANSITIONS` has the edges of each transition, and no other edge can exist: every rule of the
specification changes states through `spec.change.Change`, which calls `advance` for each change.

Which edge a transition takes is decided by its rule: `fail` leads to retry, dead or cancelled, and
`spec.settle` says when. So this module has no conditions and knows no records.

On Redis, a script of `lua/` makes each transition. The first line of the script names its edges,
and a test compares them with this table. Another test drives the specification and the scripts
through random histories until every edge was taken.

To add a state or a transition, add it here first: tests then name each place that has to follow.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from itertools import product
from types import MappingProxyType


class State(enum.StrEnum):
    """The state of a task. The order is part of the record format: append only."""

    SCHEDULED = "scheduled"
    """Is due later."""
    BLOCKED = "blocked"
    """Waits for other tasks."""
    GROUPED = "grouped"
    """Waits in an aggregation group."""
    PENDING = "pending"
    """Ready to be claimed."""
    ACTIVE = "active"
    """Claimed by a worker, which holds a lease on it."""
    RETRY = "retry"
    """Failed, and waits for its backoff."""
    COMPLETED = "completed"
    """Its handler returned."""
    DEAD = "dead"
    """Failed for good; kept as a dead letter."""
    CANCELLED = "cancelled"
    """Cancelled before it completed."""


TERMINAL = frozenset({State.COMPLETED, State.DEAD, State.CANCELLED})
"""The states that only revive, requeue, delete, flush and purge leave."""

WAITING = frozenset({State.SCHEDULED, State.BLOCKED, State.GROUPED, State.PENDING, State.RETRY})
"""The states in which a task waits to be claimed, and can expire."""


class Transition(enum.StrEnum):
    """What can happen to a task.

    One script in `lua/` makes each: `settle` for the outcomes of attempts, else the one of its name.
    """

    ENQUEUE = "enqueue"
    UNBLOCK = "unblock"
    PROMOTE = "promote"
    CLAIM = "claim"
    RENEW = "renew"
    COMPLETE = "complete"
    """Keeps the result for the task's retention; without retention or waiters, removes the task."""
    FAIL = "fail"
    """Counts the attempt: dead if it was the last one or the error is final, else retry later."""
    RELEASE = "release"
    """Returns the task to its old rank in pending. The attempt is not counted."""
    SNOOZE = "snooze"
    """Runs the task again after a delay. The attempt is not counted."""
    STOP = "stop"
    """Cancels the task, as someone asked, after its handler has stopped. The attempt is not counted."""
    RECLAIM = "reclaim"
    EXPIRE = "expire"
    CANCEL = "cancel"
    RESCHEDULE = "reschedule"
    """Makes a waiting task due at another time, as someone asked."""
    UPDATE = "update"
    """Changes payload and options of a waiting task."""
    REQUEUE = "requeue"
    """Removes a task, and sends one of its payload and options to another queue."""
    REVIVE = "revive"
    DELETE = "delete"
    FLUSH = "flush"
    PURGE = "purge"
    BATCH = "batch"


Edge = tuple[State | None, State | None]

_S = State
_ANYWHERE = frozenset({*WAITING, *TERMINAL, _S.ACTIVE})


def _edges(sources: Iterable[State | None], targets: Iterable[State | None]) -> frozenset[Edge]:
    """Return an edge from each of the sources to each of the targets."""
    return frozenset(product(sources, targets))


TRANSITIONS: Mapping[Transition, frozenset[Edge]] = MappingProxyType(
    {
        # A task may be dead at once, because of a task that it needs. A task with a unique key may
        # replace the holder of that key.
        Transition.ENQUEUE: _edges([None], [*WAITING - {_S.RETRY}, _S.DEAD])
        | _edges([_S.SCHEDULED, _S.PENDING], [_S.SCHEDULED, _S.PENDING]),
        # Happens to dependents in the step that ended a task, or later.
        Transition.UNBLOCK: _edges([_S.BLOCKED], [_S.PENDING, _S.SCHEDULED, _S.DEAD]),
        Transition.PROMOTE: _edges([_S.SCHEDULED, _S.RETRY], [_S.PENDING]),
        # A claim buries an expired task instead.
        Transition.CLAIM: _edges([_S.PENDING], [_S.ACTIVE, _S.DEAD]),
        Transition.RENEW: _edges([_S.ACTIVE], [_S.ACTIVE]),
        Transition.COMPLETE: _edges([_S.ACTIVE], [_S.COMPLETED, None]),
        # If someone has asked to cancel the task, what would run it again cancels it instead.
        Transition.FAIL: _edges([_S.ACTIVE], [_S.RETRY, _S.DEAD, _S.CANCELLED]),
        Transition.RELEASE: _edges([_S.ACTIVE], [_S.PENDING, _S.CANCELLED]),
        Transition.SNOOZE: _edges([_S.ACTIVE], [_S.SCHEDULED, _S.CANCELLED]),
        Transition.STOP: _edges([_S.ACTIVE], [_S.CANCELLED]),
        Transition.RECLAIM: _edges([_S.ACTIVE], [_S.PENDING, _S.DEAD, _S.CANCELLED]),
        Transition.EXPIRE: _edges(WAITING, [_S.DEAD]),
        # active -> active: the request is recorded, and the task's worker is notified.
        Transition.CANCEL: _edges(WAITING, [_S.CANCELLED]) | _edges([_S.ACTIVE], [_S.ACTIVE]),
        Transition.RESCHEDULE: _edges([_S.SCHEDULED, _S.RETRY, _S.PENDING], [_S.SCHEDULED])
        | _edges([_S.SCHEDULED, _S.RETRY], [_S.PENDING]),
        Transition.UPDATE: frozenset((each, each) for each in WAITING),
        # The new task is part of a message, and enqueued where that arrives.
        Transition.REQUEUE: _edges(
            [_S.SCHEDULED, _S.PENDING, _S.RETRY, _S.DEAD, _S.CANCELLED], [None]
        ),
        Transition.REVIVE: _edges([_S.DEAD, _S.CANCELLED], [_S.PENDING, _S.BLOCKED, _S.GROUPED]),
        Transition.DELETE: _edges(_ANYWHERE - {_S.ACTIVE}, [None]),
        Transition.FLUSH: _edges(_ANYWHERE, [None]),
        Transition.PURGE: _edges(TERMINAL, [None]),
        # The members of a group are removed, and one task that holds them is added.
        Transition.BATCH: _edges([_S.GROUPED], [None]) | _edges([None], [_S.PENDING]),
    }
)
"""The edges of each transition."""


class IllegalTransition(AssertionError):
    """A rule of the specification takes an edge that `TRANSITIONS` does not have."""


def advance(transition: Transition, source: State | None, target: State | None) -> State | None:
    """Return `target` if the table has the edge; raise `IllegalTransition` otherwise."""
    if (source, target) not in TRANSITIONS[transition]:
        raise IllegalTransition(f"{transition}: {source} -> {target} is not in TRANSITIONS")
    return target
