"""How attempts end. An outcome is a type, not a flag."""

from __future__ import annotations

import attrs

from rediq_trio.worker.leases import Held


@attrs.frozen(eq=False)
class Succeeded:
    """The handler returned."""

    held: Held
    result: bytes


@attrs.frozen(eq=False)
class Failed:
    """The handler raised, ran out of time, or could not be called."""

    held: Held
    error: str
    delay: float
    """Seconds until the next attempt, if there is one."""
    final: bool = False


@attrs.frozen(eq=False)
class Snoozed:
    """The handler asked to be run later."""

    held: Held
    delay: float
    """Seconds."""


@attrs.frozen(eq=False)
class Cancelled:
    """The handler was cancelled because someone asked for it."""

    held: Held


@attrs.frozen(eq=False)
class Interrupted:
    """The attempt did not come to its end, or never began: the task is given back."""

    held: Held


@attrs.frozen(eq=False)
class Lost:
    """The lease is lost: another worker may hold the task, so there is nothing to settle."""

    held: Held


Outcome = Succeeded | Failed | Snoozed | Cancelled | Interrupted | Lost
