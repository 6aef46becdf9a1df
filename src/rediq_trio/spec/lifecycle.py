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

Theory of operation
-------------------

A task is in exactly one `State`. A `Transition` is what can happen to it: a caller enqueues or
cancels it, a worker claims or settles it, a keeper does what is due. An edge is a pair of the
state before a transition and the state after it. None stands for no task: before its enqueue and
after its removal.

`TRANSITIONS` has the edges of each transition, and no other edge can exist: every rule of the
specification changes states through `spec.change.Change`, which calls `advance` for each change.
`BY_STATE` is the same table by the state before, for the question "what can happen to an active
task?".

Which edge a transition takes is decided by its rule: `fail` leads to retry, dead or cancelled, and
`spec.settle` says when. So this module has no conditions and knows no records.

On Redis, a script of `lua/` makes each transition. The first line of the script names its edges,
and a test compares them with this table. Another test drives the specification and the scripts
through random histories until every edge was taken.

To add a state or a transition, add it here first: tests then name each place that has to follow.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
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
"""The states that only revive, delete, flush and purge leave."""

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
        # A task may be dead at once, because of a task that it needs. A task with a unique key may
        # replace the holder of that key.
        Transition.ENQUEUE: frozenset(
            {
                *((None, s) for s in (*WAITING - {_S.RETRY}, _S.DEAD)),
                *((s, t) for s in (_S.SCHEDULED, _S.PENDING) for t in (_S.SCHEDULED, _S.PENDING)),
            }
        ),
        # Happens to dependents in the step that ended a task, or later.
        Transition.UNBLOCK: frozenset(
            {(_S.BLOCKED, s) for s in (_S.PENDING, _S.SCHEDULED, _S.DEAD)}
        ),
        Transition.PROMOTE: frozenset({(_S.SCHEDULED, _S.PENDING), (_S.RETRY, _S.PENDING)}),
        # A claim buries an expired task instead.
        Transition.CLAIM: frozenset({(_S.PENDING, _S.ACTIVE), (_S.PENDING, _S.DEAD)}),
        Transition.RENEW: frozenset({(_S.ACTIVE, _S.ACTIVE)}),
        Transition.COMPLETE: frozenset({(_S.ACTIVE, _S.COMPLETED), (_S.ACTIVE, None)}),
        # If someone has asked to cancel the task, what would run it again cancels it instead.
        Transition.FAIL: frozenset({(_S.ACTIVE, s) for s in (_S.RETRY, _S.DEAD, _S.CANCELLED)}),
        Transition.RELEASE: frozenset({(_S.ACTIVE, s) for s in (_S.PENDING, _S.CANCELLED)}),
        Transition.SNOOZE: frozenset({(_S.ACTIVE, s) for s in (_S.SCHEDULED, _S.CANCELLED)}),
        Transition.STOP: frozenset({(_S.ACTIVE, _S.CANCELLED)}),
        Transition.RECLAIM: frozenset(
            {(_S.ACTIVE, s) for s in (_S.PENDING, _S.DEAD, _S.CANCELLED)}
        ),
        Transition.EXPIRE: frozenset({(s, _S.DEAD) for s in WAITING}),
        # active -> active: the request is recorded, and the task's worker is notified.
        Transition.CANCEL: frozenset(
            {*((s, _S.CANCELLED) for s in WAITING), (_S.ACTIVE, _S.ACTIVE)}
        ),
        Transition.REVIVE: frozenset(
            {(s, t) for s in (_S.DEAD, _S.CANCELLED) for t in (_S.PENDING, _S.BLOCKED, _S.GROUPED)}
        ),
        Transition.DELETE: frozenset({(s, None) for s in _ANYWHERE - {_S.ACTIVE}}),
        Transition.FLUSH: frozenset({(s, None) for s in _ANYWHERE}),
        Transition.PURGE: frozenset({(s, None) for s in TERMINAL}),
        # The members of a group are removed, and one task that holds them is added.
        Transition.BATCH: frozenset({(_S.GROUPED, None), (None, _S.PENDING)}),
    }
)
"""The edges of each transition."""


def _by_transition(source: State | None) -> Mapping[Transition, frozenset[State | None]]:
    found = {
        transition: frozenset(target for before, target in edges if before is source)
        for transition, edges in TRANSITIONS.items()
    }
    return MappingProxyType({each: targets for each, targets in found.items() if targets})


BY_STATE: Mapping[State | None, Mapping[Transition, frozenset[State | None]]] = MappingProxyType(
    {source: _by_transition(source) for source in (None, *State)}
)
"""The same table by the state before: state -> transition -> the states after it."""

NESTED = (Transition.ENQUEUE, Transition.UNBLOCK)
"""Transitions that happen within others: a completion enqueues children and unblocks dependents."""


class IllegalTransition(AssertionError):
    """A rule of the specification takes an edge that `TRANSITIONS` does not have."""


def advance(transition: Transition, source: State | None, target: State | None) -> State | None:
    """Return `target` if the table has the edge; raise `IllegalTransition` otherwise."""
    if target not in BY_STATE[source].get(transition, ()):
        raise IllegalTransition(f"{transition}: {source} -> {target} is not in TRANSITIONS")
    return target
