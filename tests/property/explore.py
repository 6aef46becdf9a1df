"""Every reachable state of the specification, within small bounds, breadth first.

    python -m tests.property.explore

Three tasks and two workers: tasks are enqueued, claimed, settled in every way,
lost by workers that die, cancelled, revived, deleted, watched, flushed; time
goes by in ticks of half a minute, the half of the grace. In every state all
invariants are checked, and every settlement with a stale fence must change
nothing; on every step, what a step may change.

Two states count as one when no transition can tell them apart (`canonical`):
times matter only relative to now, and past ones only by their order; places
in the queue only by their order; names of workers, nonces and totals not at
all. That makes the space finite without a bound on time or on deliveries.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from itertools import count
from types import MappingProxyType
from typing import Any

import attrs

from rediq_trio.spec.invariants import step_violations, violations
from rediq_trio.spec.lifecycle import TERMINAL, TRANSITIONS, WAITING, State
from rediq_trio.spec.records import (
    CANCELLED_GRACE_MS,
    Completion,
    Deferral,
    Failure,
    Fence,
    NewTask,
    Queue,
    Record,
)
from tests.property.lockstep import Step, Taken, edges_taken, order_kept

TICK = CANCELLED_GRACE_MS // 2
START = 1_700_000_000_000
LEASE = TICK
DEAD_FOR = TICK
WORKERS = 2
"""Each holds one task at a time."""


@attrs.frozen
class Actor:
    """A task, and what may happen to it besides being run."""

    task: NewTask
    cancelled: bool = False
    revived: bool = False
    deleted: bool = False
    watched: bool = False
    released: bool = False
    snoozed: bool = False
    retried: bool = False
    again: bool = False
    """Whether it is enqueued again once it is gone."""


@attrs.frozen
class World:
    """The bounds of one exploration."""

    actors: tuple[Actor, ...]
    paused: bool = False
    flushed: bool = False


def _task(task_id: str, **options: Any) -> NewTask:
    return NewTask(task_id, b"e", retention_ms=0, **{"max_retry": 0, "max_crashes": 0} | options)


@attrs.frozen
class Found:
    """What an exploration saw."""

    states: int
    transitions: int
    edges: frozenset[Taken]
    seconds: float


def canonical(queue: Queue, now: int) -> Hashable:
    """Give what the transitions can tell of a state."""
    records = queue.records.values()
    places = sorted(r.seq for r in records if r.seq)
    expiries = _ranked((r.expires_ms for r in records if r.expires_ms), now)
    scores: dict[State, dict[int, int]] = {
        state: _ranked((_due(r) for r in records if r.state is state), now) for state in State
    }
    rows = []
    for r in records:
        alive = r.state not in TERMINAL
        spare = r.deliveries - r.attempt - r.crashes - r.snoozes
        rows.append(
            (
                r.id,
                r.state,
                bool(r.nonce),
                r.waited,
                min(spare, 1),
                r.state is not State.PENDING and scores[r.state][_due(r)],
                alive and r.seq and places.index(r.seq),
                alive and expiries.get(r.expires_ms),
                alive and (r.attempt, r.crashes, r.cancel),
            )
        )
    return queue.paused, frozenset(rows)


def _due(record: Record) -> int:
    match record.state:
        case State.PENDING:
            return 0
        case State.DEAD:
            return record.finished_ms + DEAD_FOR
        case _:
            return record.score


def _ranked(instants: Iterator[int], now: int) -> dict[int, int]:
    """Give each future instant as its distance and each past one as its rank, 0 the latest."""
    past = sorted({at for at in instants if at <= now}, reverse=True)
    ranks = {at: -rank for rank, at in enumerate(past)}
    return _Distances(ranks, now)


class _Distances(dict[int, int]):
    def __init__(self, ranks: dict[int, int], now: int) -> None:
        super().__init__(ranks)
        self.now = now

    def __missing__(self, at: int) -> int:
        return at - self.now
