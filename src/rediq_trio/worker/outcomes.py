"""How an attempt ended: what the store is to write of its task, if anything."""

from __future__ import annotations

import attrs

from rediq_trio.spec.messages import Failed, Outcome, Released
from rediq_trio.worker.leases import HeldLease


@attrs.frozen(eq=False)
class AttemptOutcome:
    """The end of an attempt that a worker held a lease for."""

    held: HeldLease
    written: Outcome | None
    """None when the lease is lost: another worker may hold the task, so nothing is settled."""


def failed(held: HeldLease, error: str, delay: float, *, final: bool = False) -> AttemptOutcome:
    """Return the outcome of a failure; the next attempt, if there is one, is `delay` seconds away."""
    return AttemptOutcome(held, Failed(held.fence, error, round(delay * 1000), final))


def released(held: HeldLease) -> AttemptOutcome:
    """Return the outcome of an attempt that did not end by itself, or never started."""
    return AttemptOutcome(held, Released(held.fence))
