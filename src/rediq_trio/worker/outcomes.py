"""How attempts end: one type for each outcome."""

from __future__ import annotations

import attrs

from rediq_trio.worker.leases import HeldLease


@attrs.frozen(eq=False)
class AttemptSucceeded:
    """The handler returned."""

    held: HeldLease
    result: bytes


@attrs.frozen(eq=False)
class AttemptFailed:
    """The handler raised, ran out of time, or could not be called."""

    held: HeldLease
    error: str
    delay: float
    """Seconds until the next attempt, if there is one."""
    final: bool = False


@attrs.frozen(eq=False)
class AttemptSnoozed:
    """The handler asked to be run later."""

    held: HeldLease
    delay: float
    """Seconds."""


@attrs.frozen(eq=False)
class AttemptCancelled:
    """The handler was cancelled, because someone cancelled the task."""

    held: HeldLease


@attrs.frozen(eq=False)
class AttemptInterrupted:
    """The attempt did not end by itself, or never started: the task is released."""

    held: HeldLease


@attrs.frozen(eq=False)
class AttemptLost:
    """The lease is lost: another worker may hold the task, so nothing is settled."""

    held: HeldLease


AttemptOutcome = (
    AttemptSucceeded
    | AttemptFailed
    | AttemptSnoozed
    | AttemptCancelled
    | AttemptInterrupted
    | AttemptLost
)
