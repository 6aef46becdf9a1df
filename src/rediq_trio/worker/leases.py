"""The leases that this worker has claimed and not yet settled, and the outcomes of their attempts.

A lease is in the table from its claim to its settlement, and the size of the table bounds
claiming. So when Redis is away and nothing can be settled, claiming stops by itself, and
no channel inside the worker ever holds more items than the table.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType

import attrs
import trio

from rediq_trio.handlers.running_attempt import ChildHandles
from rediq_trio.spec.messages import Failed, Fence, Lease, NewTask, Outcome, Released, Stopped
from rediq_trio.values.telemetry.port import ObservedAttempt
from rediq_trio.worker.slots import Slots

SAFETY_SHARE = 0.1
"""Share of the lease that is not used: time for the answer to arrive and the handler to end."""


def margin(lease: float) -> float:
    """Return how many seconds before the end of a lease its attempt is cancelled."""
    return min(1.0, lease * SAFETY_SHARE)


class Reason(enum.StrEnum):
    """Why a running attempt is cancelled; set before its scope is cancelled, never guessed."""

    TIMEOUT = "timeout"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    LEASE_LOST = "lease lost"
    SHUTDOWN = "shutdown"


@attrs.define(eq=False)
class HeldLease:
    """One lease that the worker holds. Owned by the lease table; its scope by the attempt."""

    queue: str
    lease: Lease
    safe_until: float
    """From then on another worker may hold the task, on Trio's clock."""
    clock_offset: float
    """Seconds that the store's clock is ahead of Trio's."""
    key: tuple[str, str]
    """The queue and the local id of its task."""
    lease_table: LeaseTable = attrs.field(repr=False)
    started: float = 0.0
    """When its attempt started, on Trio's clock."""
    type: str = ""
    """The type of its task, once the attempt has read it."""
    trace_id: str | None = None
    """The id of the trace that its task belongs to, once the attempt has read it; None without one."""
    observed: ObservedAttempt | None = attrs.field(default=None, repr=False)
    """Its attempt as telemetry looks at it; None without telemetry, or before the attempt begins."""
    percent: float | None = None
    """The progress that the attempt last reported, 0 to 100."""
    scope: trio.CancelScope | None = attrs.field(default=None, repr=False)
    """The cancel scope of the attempt, once it is open."""
    reason: Reason | None = None
    settled: bool = False
    """Whether its outcome is decided; a later one does not count."""
    over: bool = False
    """Whether it is known to be over; from then on it is neither renewed nor logged again."""
    children: list[NewTask] = attrs.field(factory=list)
    """Tasks to be enqueued with the completion."""
    child_handles: ChildHandles | None = None
    """Those of the children in its own queue; None without any."""
    thread: int | None = attrs.field(default=None, repr=False)
    """The identifier of the thread in which its handler runs; None without a thread."""
    deadline_ms: int = 0
    """The deadline of the task, by the store's clock; 0 for none."""
    max_retry: int | None = None
    """The handler's `max_retry`, if it applies because the producer left it unset."""
    retention_ms: int | None = None
    """The handler's retention, which applies if the producer left it unset."""
    thread_limiter: trio.CapacityLimiter | None = attrs.field(default=None, repr=False)
    """The limiter of the thread in which its handler runs; None without a thread."""

    @property
    def fence(self) -> Fence:
        return self.lease.fence

    @property
    def task_id(self) -> str:
        """`"<queue>/<id>"` of the task."""
        return f"{self.queue}/{self.lease.fence.id}"

    def mark_over(self) -> None:
        """Note that the lease is over before its outcome is written; it is counted once."""
        if not self.over:
            self.over = True
            self.lease_table.lost += 1

    def ended_by_time(self) -> bool:
        """Return whether the timeout or the deadline ended the attempt."""
        return self.reason is None and self.scope is not None and self.scope.cancelled_caught

    def cancel(self, reason: Reason) -> None:
        """Cancel the attempt; only the first reason is kept."""
        if reason is Reason.LEASE_LOST:
            self.mark_over()
        if self.reason is None:
            self.reason = reason
            if self.scope is not None:
                self.scope.cancel(reason=reason.value)

    def is_over(self, now: float) -> bool:
        """Return whether another worker may hold the task by `now`, on Trio's clock."""
        return self.over or self.safe_until <= now

    def cancel_reason(self) -> str | None:
        """Return the reason of the cancellation that is under way, also of a timeout."""
        if self.reason is None and self.time_left() <= 0:
            return self.timeout_reason().value
        return None if self.reason is None else self.reason.value

    def open_scope(self, timeout: float) -> trio.CancelScope:
        """Return the attempt's cancel scope, which ends `timeout` seconds after its start."""
        # A deadline that is given at once costs half of one that is set later.
        self.scope = scope = trio.CancelScope(deadline=self.started + timeout)
        if self.reason is not None:
            scope.cancel(reason=self.reason.value)
        return scope

    def limit_attempt(self, timeout: float) -> None:
        """End the attempt `timeout` seconds from now, or at its deadline if that is earlier."""
        assert self.scope is not None
        limit = trio.current_time() + timeout
        if self.deadline_ms:
            limit = min(limit, self.trio_time(self.deadline_ms))
        self.scope.deadline = limit

    def time_left(self) -> float:
        """Return the seconds that the attempt may still take; inf for no bound."""
        return math.inf if self.scope is None else self.scope.deadline - trio.current_time()

    def timeout_reason(self) -> Reason:
        """Return the reason that ends the attempt by time: the timeout or the deadline."""
        if self.deadline_ms and self.scope is not None:
            first = self.scope.deadline >= self.trio_time(self.deadline_ms)
            return Reason.DEADLINE if first else Reason.TIMEOUT
        return Reason.TIMEOUT

    def trio_time(self, instant_ms: int) -> float:
        """Convert an instant of the store's clock to Trio's clock."""
        return instant_ms / 1000 - self.clock_offset

    def deadline_within(self, delay: float) -> bool:
        """Return whether the deadline is at most `delay` seconds away."""
        return bool(self.deadline_ms) and (
            trio.current_time() + delay >= self.trio_time(self.deadline_ms)
        )

    def shutting_down(self) -> bool:
        return self.lease_table.shutting_down

    def lend_slot(self) -> AbstractContextManager[None]:
        """Lend the attempt's slot while the block lasts."""
        return self.lease_table.slots.lend(self)

    def waiting(self) -> Sequence[tuple[str, str]]:
        """Return the queue and local id of each task of this worker whose slot is lent."""
        waiting = self.lease_table.slots.waiting()
        return [held.key for held in waiting if isinstance(held, HeldLease)]


class LeaseTable:
    """The leases that the worker holds, by queue and task. Changed between checkpoints only."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], HeldLease] = {}
        self.shutting_down = False
        self.lost = 0
        """Leases that were over before their outcomes were written, so far."""
        self.room = trio.lowlevel.ParkingLot()
        """The poller waits here for a lease to leave or for an attempt to end."""
        self.slots = Slots()
        """The slots of attempts that wait for other tasks."""

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[HeldLease]:
        return iter(list(self._held.values()))

    def add(
        self, queue: str, leases: Sequence[Lease], *, asked_at: float, length: float
    ) -> list[HeldLease]:
        """Add the leases of one claim that was sent at `asked_at`, by Trio's clock.

        `length` is the lease in seconds. An older lease of the same task is lost.
        """
        if not leases:
            return []
        # The store read its clock after `asked_at`, so both times are early, never late.
        safe_until = asked_at + length - margin(length)
        clock_offset = (leases[0].lease_ms - round(length * 1000)) / 1000 - asked_at
        taken: list[HeldLease] = []
        for lease in leases:
            key = (queue, lease.fence.id)
            old = self._held.get(key)
            if old is not None:
                old.cancel(Reason.LEASE_LOST)
            self._held[key] = held = HeldLease(queue, lease, safe_until, clock_offset, key, self)
            taken.append(held)
        return taken

    def drop(self, held: HeldLease) -> None:
        """Remove a lease: it is settled, or lost for good."""
        if self._held.get(held.key) is held:
            del self._held[held.key]
        self.announce_room()

    def announce_room(self) -> None:
        """Wake the poller if it waits for room."""
        if self.room:
            self.room.unpark_all()

    def get(self, queue: str, task_id: str) -> HeldLease | None:
        return self._held.get((queue, task_id))

    def count(self, queues: Collection[str]) -> int:
        """Return the number of leases of some queues."""
        return sum(held.queue in queues for held in self._held.values())

    def count_settled(self, queues: Collection[str]) -> int:
        """Return the number of leases of some queues whose outcomes only have to be written."""
        return sum(held.settled and held.queue in queues for held in self._held.values())

    def next_expiry(self) -> float:
        """Return when the first lease stops being safe, on Trio's clock; inf without one."""
        return min(
            (h.safe_until for h in self._held.values() if not h.over),
            default=math.inf,
        )


_COUNTED_AS: Mapping[type[Outcome], str] = MappingProxyType({Stopped: "cancelled"})
"""What a count is named, where that is not the name of the outcome."""


def counted_as(kind: type[Outcome]) -> str:
    """Return what statistics and metrics call an outcome."""
    return _COUNTED_AS.get(kind, kind.__name__.lower())


@attrs.frozen(eq=False)
class AttemptOutcome:
    """The end of an attempt that a worker held a lease for."""

    held: HeldLease
    written: Outcome | None
    """None when the lease is lost: another worker may hold the task, so nothing is settled."""


def failed(held: HeldLease, error: str, delay: float, *, final: bool = False) -> AttemptOutcome:
    """Return the outcome of a failure; the next attempt, if there is one, is `delay` seconds away."""
    written = Failed(held.fence, error, round(delay * 1000), final, held.max_retry)
    return AttemptOutcome(held, written)


def released(held: HeldLease) -> AttemptOutcome:
    """Return the outcome of an attempt that did not end by itself, or never started."""
    return AttemptOutcome(held, Released(held.fence))
