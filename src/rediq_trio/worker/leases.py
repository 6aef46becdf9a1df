"""The book of leases in hand: what this worker has claimed and not yet settled.

A lease is in the book from its claim to its settlement, and the book's size is
what bounds claiming: one slot per lease. So when Redis is away and nothing can
be settled, claiming stops by itself, and no channel inside the worker can ever
hold more than there are slots.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Sequence

import attrs
import trio

from rediq_trio.spec.records import Fence, Lease, NewTask

_LATENESS = 0.1
"""Share of the lease that is not relied on: the answer's way, and the handler's way out."""


def margin(lease: float) -> float:
    """Give how long before a lease's end its attempt is cancelled, in seconds."""
    return min(1.0, lease * _LATENESS)


class Reason(enum.StrEnum):
    """Why a running attempt is cancelled. The scope that caught it asks here; nothing is guessed."""

    TIMEOUT = "timeout"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    LEASE_LOST = "lease lost"
    SHUTDOWN = "shutdown"


@attrs.define(eq=False)
class Held:
    """One lease in hand. Owned by the book; its scope belongs to the executor's attempt."""

    queue: str
    lease: Lease
    good_until: float
    """On Trio's clock: from then on another worker may hold the task."""
    ahead: float
    """Seconds that the store's clock is ahead of Trio's."""
    key: tuple[str, str]
    """Its queue and its task's id."""
    book: Book = attrs.field(repr=False)
    begun: float = 0.0
    """When its attempt began, on Trio's clock."""
    scope: trio.CancelScope | None = attrs.field(default=None, repr=False)
    """The attempt's, once it is open."""
    reason: Reason | None = None
    settled: bool = False
    """Its outcome is handed over; a later one does not count."""
    children: list[NewTask] = attrs.field(factory=list)
    """Tasks to be enqueued with the completion."""
    deadline_ms: int = 0
    """When the task's attempts are over, by the store's clock; 0 for never."""

    @property
    def fence(self) -> Fence:
        return self.lease.fence

    @property
    def name(self) -> str:
        """The task's id, with its queue."""
        return f"{self.queue}/{self.lease.fence.id}"

    def cancel(self, reason: Reason) -> None:
        """Cancel the attempt; the first reason stays."""
        if self.reason is None:
            self.reason = reason
            if self.scope is not None:
                self.scope.cancel(reason=reason.value)

    def why_cancelled(self) -> str | None:
        """Give the reason of the cancellation that is under way, a timeout's too."""
        if self.reason is None and self.time_left() <= 0:
            return self.time_out().value
        return None if self.reason is None else self.reason.value

    def open_scope(self, timeout: float) -> trio.CancelScope:
        """Make the attempt's scope: it may take `timeout` seconds from when it began."""
        # A deadline that is there from the start costs half of one that is set later.
        self.scope = scope = trio.CancelScope(deadline=self.begun + timeout)
        if self.reason is not None:
            scope.cancel(reason=self.reason.value)
        return scope

    def set_limit(self, timeout: float) -> None:
        """Give the attempt that long from now, but no longer than to its deadline."""
        assert self.scope is not None
        limit = trio.current_time() + timeout
        if self.deadline_ms:
            limit = min(limit, self.on_trio_clock(self.deadline_ms))
        self.scope.deadline = limit

    def time_left(self) -> float:
        """Give for how many seconds the attempt may go on; inf without an end."""
        return math.inf if self.scope is None else self.scope.deadline - trio.current_time()

    def time_out(self) -> Reason:
        """Give the reason for which time itself ends the attempt: whichever comes first."""
        if self.deadline_ms and self.scope is not None:
            first = self.scope.deadline >= self.on_trio_clock(self.deadline_ms)
            return Reason.DEADLINE if first else Reason.TIMEOUT
        return Reason.TIMEOUT

    def on_trio_clock(self, instant_ms: int) -> float:
        """Give when an instant of the store's clock comes, on Trio's clock."""
        return instant_ms / 1000 - self.ahead

    def comes_too_late(self, delay: float) -> bool:
        """Say whether the deadline comes no later than in `delay` seconds."""
        return bool(self.deadline_ms) and (
            trio.current_time() + delay >= self.on_trio_clock(self.deadline_ms)
        )

    def shutting_down(self) -> bool:
        return self.book.shutting_down


class Book:
    """The leases in hand, by queue and task. Changed between checkpoints only."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], Held] = {}
        self.shutting_down = False
        self.room = trio.lowlevel.ParkingLot()
        """Where one waits for a lease to leave, or for an attempt to make way for the next."""

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(list(self._held.values()))

    def add(
        self, queue: str, leases: Sequence[Lease], *, asked: float, length: float
    ) -> list[Held]:
        """Take in the leases of one claim, `asked` for at that time of Trio's clock, `length` in seconds.

        One of the same task that is still here is lost: a newer one exists.
        """
        if not leases:
            return []
        # The store read its clock after it was asked, so both ends are judged early, not late.
        good_until = asked + length - margin(length)
        ahead = (leases[0].lease_ms - round(length * 1000)) / 1000 - asked
        taken: list[Held] = []
        for lease in leases:
            key = (queue, lease.fence.id)
            old = self._held.get(key)
            if old is not None:
                old.cancel(Reason.LEASE_LOST)
            self._held[key] = held = Held(queue, lease, good_until, ahead, key, self)
            taken.append(held)
        return taken

    def drop(self, held: Held) -> None:
        """Let a lease go: it is settled, or lost for good."""
        if self._held.get(held.key) is held:
            del self._held[held.key]
        self.make_room()

    def make_room(self) -> None:
        """Wake those that wait for room."""
        if self.room:
            self.room.unpark_all()

    def get(self, queue: str, task_id: str) -> Held | None:
        return self._held.get((queue, task_id))

    def next_lapse(self) -> float:
        """Give when the first lease in hand stops being good, on Trio's clock; inf for never."""
        return min(
            (h.good_until for h in self._held.values() if h.reason is not Reason.LEASE_LOST),
            default=math.inf,
        )
