"""RunningAttempt: what the handlers' side may know of an attempt that a worker runs.

The worker is the room above this one, so its own types are not named here: they match.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from rediq_trio.spec.messages import Fence, Lease, NewTask
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.wire.envelope import Envelope
from rediq_trio.wire.structuring import Conversions

ChildHandles = dict[str, tuple[TaskHandle[Any], bool]]
"""Id of a child -> its handle, and whether a child whose unique key is taken is to be dropped in
silence (`on_conflict="return"`)."""


class RunningAttempt(Protocol):
    """One attempt under its lease, as the worker holds it."""

    queue: str
    """The queue that holds the task, or the partition of it."""
    lease: Lease
    settled: bool
    """Whether its outcome is decided; what comes later does not count."""
    percent: float | None
    """The progress that it last reported, 0 to 100."""
    trace_id: str | None
    """The id of the trace that the task belongs to; None without one."""
    children: list[NewTask]
    """Tasks to enqueue with the completion."""
    child_handles: ChildHandles | None
    """Those of the children in its own queue; None without any."""

    @property
    def task_id(self) -> str:
        """`"<queue>/<id>"` of its task."""
        ...

    @property
    def fence(self) -> Fence: ...

    def time_left(self) -> float:
        """Return the seconds that the attempt may still take; inf for no bound."""
        ...

    def cancel_reason(self) -> str | None:
        """Return why the attempt is being cancelled; None while it is not."""
        ...

    def shutting_down(self) -> bool:
        """Return whether the worker is stopping."""
        ...

    def lend_slot(self) -> AbstractContextManager[None]:
        """Lend its slot to other attempts while the block lasts."""
        ...

    def waiting(self) -> Sequence[tuple[str, str]]:
        """Return the queue and local id of each task of this worker whose slot is lent."""
        ...


class AttemptedTask(Protocol):
    """The task of an attempt, opened."""

    envelope: Envelope
    group: str | None
    """The group of which it is the batch; None for any other task."""
    members: tuple[str, ...]
    """Ids of the tasks that a batch holds."""
    conversions: Conversions
    """Those of the app of its type."""
