"""Entry: one step in the history of a queue."""

from __future__ import annotations

import attrs

from rediq_trio.spec.lifecycle import State

MAX_HISTORY = 1_000_000
"""Entries that a queue can keep, at most."""
REASON_BYTES = 100
"""Bytes of a reason that an entry keeps, at most."""
MOST_NEEDS = 100
"""Dependencies of a task that an entry names, at most."""


@attrs.frozen
class Entry:
    """One transition of a task, or one change of the queue, with the values after it.

    Renewed leases, progress and results of steps make no entry, because they change no state.
    """

    number: int
    """Its number in the queue: one more than that of the entry before, even if that one is gone."""
    now_ms: int
    """The store's time. Entries are ordered by number, because a clock may be set back."""
    transition: str
    """The `Transition` of a task; or for the queue: begin, pause, resume, limit, arrange, flush."""
    id: str = ""
    """The task's id; '' for an entry of the queue."""
    source: State | None = None
    """The state before; None for a task that did not exist."""
    target: State | None = None
    """The state after; None for a task that was removed."""
    deliveries: int = 0
    attempt: int = 0
    crashes: int = 0
    snoozes: int = 0
    max_retry: int = 0
    max_crashes: int = 0
    priority: int = 0
    seq: int = 0
    """Its rank among the ready tasks of its priority."""
    run_ms: int = 0
    expires_ms: int = 0
    cancel: bool = False
    """Someone asked to cancel the task while it was active."""
    till_ms: int = 0
    """For a claim, when the lease runs out; for a reclaim, when it ran out; for an enqueue, when
    the window of the unique key ends by time, 0 for never."""
    nonce: bytes = b""
    """The nonce of a claim."""
    worker: str = ""
    """The worker of a claim."""
    reason: str = ""
    """Why the task is dead or in retry, at most `REASON_BYTES` long."""
    unique: str = ""
    owns_unique_key: bool = False
    limit_key: str = ""
    group: str = ""
    waits: int = 0
    """How many tasks this one waits for."""
    run_on_dependency_failure: bool = False
    needs: tuple[str, ...] = ()
    """For an enqueue: references of the tasks that it waits for."""
    key: str = ""
    """For a limit: its key."""
    before: tuple[int, ...] = ()
    """For a setting: its value before. A limit is concurrency, count, period in ms and burst."""
    after: tuple[int, ...] = ()
    """For a setting: its value after. For a flush, how many tasks were removed; for `begin`, how
    many exist."""
