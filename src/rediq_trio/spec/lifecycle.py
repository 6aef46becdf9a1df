"""The state machine as data.

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

`TRANSITIONS` says which event may take a task from which state to which. The
functions of `spec.rules` go through `advance`, so no other edge can exist; each
script in `lua/` names its edges in its first line, and a test holds the two
together. None stands for "no such task": before its enqueue, after its purge.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType


class State(enum.StrEnum):
    """Where a task is. The order is part of the record format: append only."""

    SCHEDULED = "scheduled"
    """Runs later."""
    BLOCKED = "blocked"
    """Waits for other tasks."""
    GROUPED = "grouped"
    """Waits in an aggregation group."""
    PENDING = "pending"
    """Ready to be claimed."""
    ACTIVE = "active"
    """Claimed by a worker, under a lease."""
    RETRY = "retry"
    """Failed, waits for its backoff."""
    COMPLETED = "completed"
    """Its handler returned."""
    DEAD = "dead"
    """Failed for good; kept as a dead letter."""
    CANCELLED = "cancelled"
    """Cancelled before it completed."""


TERMINAL = frozenset({State.COMPLETED, State.DEAD, State.CANCELLED})
"""States that only revive, delete and purge leave."""

WAITING = frozenset({State.SCHEDULED, State.BLOCKED, State.GROUPED, State.PENDING, State.RETRY})
"""States in which a task waits to be claimed, and in which it can expire."""


class Transition(enum.StrEnum):
    """What can happen to a task. Each is made by one script in `lua/`: that of its name, or
    for an outcome `settle`."""

    ENQUEUE = "enqueue"
    UNBLOCK = "unblock"
    PROMOTE = "promote"
    CLAIM = "claim"
    RENEW = "renew"
    COMPLETE = "complete"
    """Keeps the result for the task's retention; with none, and nobody waiting, drops the task."""
    FAIL = "fail"
    """Charges the attempt: dead when it was the last or the error is final, else retry later."""
    RELEASE = "release"
    """Gives the task back to its old place, its attempt uncharged."""
    SNOOZE = "snooze"
    """Runs the task again after a delay, its attempt uncharged."""
    STOP = "stop"
    """Cancels the task, as was asked, once its handler was stopped; its attempt uncharged."""
    RECLAIM = "reclaim"
    EXPIRE = "expire"
    CANCEL = "cancel"
    REVIVE = "revive"
    DELETE = "delete"
    FLUSH = "flush"
    PURGE = "purge"
    BATCH = "batch"


Edge = tuple[State | None, State | None]

_S = State
_ANYWHERE = frozenset({*WAITING, *TERMINAL, _S.ACTIVE})

TRANSITIONS: Mapping[Transition, frozenset[Edge]] = MappingProxyType(
    {
        # A task may be dead at once, by the task it needs; and one with a unique key may
        # take the place of its holder.
        Transition.ENQUEUE: frozenset(
            {
                *((None, s) for s in (*WAITING - {_S.RETRY}, _S.DEAD)),
                *((s, t) for s in (_S.SCHEDULED, _S.PENDING) for t in (_S.SCHEDULED, _S.PENDING)),
            }
        ),
        # What follows from the end of a task, within the step that ended it or later.
        Transition.UNBLOCK: frozenset(
            {(_S.BLOCKED, s) for s in (_S.PENDING, _S.SCHEDULED, _S.DEAD)}
        ),
        Transition.PROMOTE: frozenset({(_S.SCHEDULED, _S.PENDING), (_S.RETRY, _S.PENDING)}),
        # A claim that meets an expired task buries it instead.
        Transition.CLAIM: frozenset({(_S.PENDING, _S.ACTIVE), (_S.PENDING, _S.DEAD)}),
        Transition.RENEW: frozenset({(_S.ACTIVE, _S.ACTIVE)}),
        Transition.COMPLETE: frozenset({(_S.ACTIVE, _S.COMPLETED), (_S.ACTIVE, None)}),
        # Whatever would run the task again cancels it instead, once a cancel was asked.
        Transition.FAIL: frozenset({(_S.ACTIVE, s) for s in (_S.RETRY, _S.DEAD, _S.CANCELLED)}),
        Transition.RELEASE: frozenset({(_S.ACTIVE, s) for s in (_S.PENDING, _S.CANCELLED)}),
        Transition.SNOOZE: frozenset({(_S.ACTIVE, s) for s in (_S.SCHEDULED, _S.CANCELLED)}),
        Transition.STOP: frozenset({(_S.ACTIVE, _S.CANCELLED)}),
        Transition.RECLAIM: frozenset(
            {(_S.ACTIVE, s) for s in (_S.PENDING, _S.DEAD, _S.CANCELLED)}
        ),
        Transition.EXPIRE: frozenset({(s, _S.DEAD) for s in WAITING}),
        # active -> active: the cancel is asked for, and its worker is told.
        Transition.CANCEL: frozenset(
            {*((s, _S.CANCELLED) for s in WAITING), (_S.ACTIVE, _S.ACTIVE)}
        ),
        Transition.REVIVE: frozenset(
            {(s, t) for s in (_S.DEAD, _S.CANCELLED) for t in (_S.PENDING, _S.BLOCKED, _S.GROUPED)}
        ),
        Transition.DELETE: frozenset({(s, None) for s in _ANYWHERE - {_S.ACTIVE}}),
        Transition.FLUSH: frozenset({(s, None) for s in _ANYWHERE}),
        Transition.PURGE: frozenset({(s, None) for s in TERMINAL}),
        # The members of a group go, and one task that holds them comes.
        Transition.BATCH: frozenset({(_S.GROUPED, None), (None, _S.PENDING)}),
    }
)
"""Every edge of the state machine."""

NESTED = (Transition.ENQUEUE, Transition.UNBLOCK)
"""Events that happen within others: a completion enqueues children and unblocks dependents."""


class IllegalTransition(AssertionError):
    """The specification itself is wrong: an edge that `TRANSITIONS` does not have."""


def advance(transition: Transition, source: State | None, target: State | None) -> State | None:
    """Give `target` when the table has the edge; raise `IllegalTransition` otherwise."""
    if (source, target) not in TRANSITIONS[transition]:
        raise IllegalTransition(f"{transition}: {source} -> {target} is not in TRANSITIONS")
    return target
