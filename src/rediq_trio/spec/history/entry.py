"""Entry: one step of a queue's history."""

from __future__ import annotations

import attrs

from rediq_trio.spec.lifecycle import State

MAX_HISTORY = 1_000_000
"""Entries that a queue keeps, at most."""
REASON_BYTES = 100
"""Of the reason why a task failed, at most."""
MOST_NEEDS = 100
"""Tasks that an entry names as waited for; the others go unnamed."""


@attrs.frozen
class Entry:
    """One transition of one task, or of the queue: what is there once it happened.

    Renewed leases, progress and kept steps make no entry: they change no state.
    """

    number: int
    """Its number in the queue; each is one more than the last, also when those before are gone."""
    now_ms: int
    """The store's time. The number says what came first: a clock may be set back."""
    transition: str
    """An `Event`; or of the queue: begin, pause, resume, limit, arrange, flush."""
    id: str = ""
    """The task's id; '' for an entry of the queue."""
    source: State | None = None
    """None: it did not exist."""
    target: State | None = None
    """None: it is gone."""
    deliveries: int = 0
    attempt: int = 0
    crashes: int = 0
    snoozes: int = 0
    max_retry: int = 0
    max_crashes: int = 0
    priority: int = 0
    seq: int = 0
    """Its place among the ready tasks of its priority."""
    run_ms: int = 0
    expires_ms: int = 0
    cancel: bool = False
    """A cancel was asked while it was active."""
    till_ms: int = 0
    """Of a claim, when its lease runs out; of a reclaim, when it had; of an enqueue, when
    the window of its unique key ends in any case, 0 for never."""
    nonce: bytes = b""
    """Of a claim."""
    worker: str = ""
    """Of a claim."""
    reason: str = ""
    """Why it is dead, or in retry; cut short."""
    unique: str = ""
    owns_unique_key: bool = False
    limit_key: str = ""
    group: str = ""
    waits: int = 0
    """How many tasks it waits for."""
    run_on_dependency_failure: bool = False
    needs: tuple[str, ...] = ()
    """Of an enqueue: the tasks it waits for."""
    key: str = ""
    """Of a limit: its key."""
    before: tuple[int, ...] = ()
    """Of a setting: what it was. A limit is concurrency, count, period in ms and burst."""
    after: tuple[int, ...] = ()
    """Of a setting: what it is. Of a flush, how many tasks went; of `begin`, how many there are."""
