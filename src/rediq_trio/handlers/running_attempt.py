"""RunningAttempt: what the handlers' side may know of an attempt that a worker runs.

The worker is the room above this one, so its own types are not named here: they match.
"""

from __future__ import annotations

from typing import Protocol

from rediq_trio.spec.messages import Fence, Lease, NewTask
from rediq_trio.wire.envelope import Envelope


class RunningAttempt(Protocol):
    """One attempt under its lease, as the worker holds it."""

    @property
    def task_id(self) -> str:
        """`"<queue>/<id>"` of its task."""
        ...

    @property
    def queue(self) -> str:
        """The queue that holds the task, or the partition of it."""
        ...

    @property
    def lease(self) -> Lease: ...

    @property
    def fence(self) -> Fence: ...

    @property
    def settled(self) -> bool:
        """Whether its outcome is decided; what comes later does not count."""
        ...

    @property
    def children(self) -> list[NewTask]:
        """Tasks to enqueue with the completion."""
        ...

    def time_left(self) -> float:
        """Return the seconds that the attempt may still take; inf for no bound."""
        ...

    def cancel_reason(self) -> str | None:
        """Return why the attempt is being cancelled; None while it is not."""
        ...

    def shutting_down(self) -> bool:
        """Return whether the worker is stopping."""
        ...


class AttemptedTask(Protocol):
    """The task of an attempt, opened."""

    @property
    def envelope(self) -> Envelope: ...

    @property
    def group(self) -> str | None:
        """The group of which it is the batch; None for any other task."""
        ...

    @property
    def members(self) -> tuple[str, ...]:
        """Ids of the tasks that a batch holds."""
        ...
