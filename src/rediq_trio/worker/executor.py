"""The executor: runs the claimed tasks, `concurrency` at a time, and more while some of them wait
for other tasks (`slots`).

Each attempt is a Trio task of its own, so context variables cannot leak from one to the
next. It runs in its own cancel scope, whose deadline is the task's timeout.
"""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Iterator, Mapping

import attrs
import trio

from rediq_trio._errors import StoreError
from rediq_trio.worker.attempt import Attempts
from rediq_trio.worker.auto_reset_event import AutoResetEvent
from rediq_trio.worker.availability.outages import Outages
from rediq_trio.worker.leases import AttemptOutcome, HeldLease, LeaseTable, Reason, released
from rediq_trio.worker.outcomes.detail import interrupted
from rediq_trio.worker.prefetch import UNSTARTED_MAX, Prefetch
from rediq_trio.worker.reporting.attempt_times import AttemptTimes


@attrs.define(eq=False)
class Executor:
    """The executor's state: the tasks that wait for a start, and those that run."""

    attempts: Attempts
    lease_table: LeaseTable
    prefetch: Prefetch
    leases: trio.MemoryReceiveChannel[list[HeldLease]]
    outcomes: trio.MemorySendChannel[AttemptOutcome]
    outages: Outages = attrs.field(factory=Outages)
    times: AttemptTimes = attrs.field(factory=AttemptTimes)
    """Counts the attempts."""
    _backlog: deque[tuple[HeldLease, float]] = attrs.field(factory=deque)
    _returned: deque[HeldLease] = attrs.field(factory=deque)
    """Tasks that were released unstarted and may not be back in their queues yet."""
    _running: dict[HeldLease, trio.lowlevel.Task | None] = attrs.field(
        factory=dict[HeldLease, trio.lowlevel.Task | None]
    )
    """Those that run, in the order in which they were started, each with its Trio task once it has
    begun."""
    _batch_arrived: AutoResetEvent = attrs.field(factory=AutoResetEvent)
    _nursery: trio.Nursery | None = None
    _context: contextvars.Context = attrs.field(factory=contextvars.copy_context)
    idle: trio.Event = attrs.field(factory=trio.Event)
    """Set when no more tasks come and none runs."""

    async def run(self) -> None:
        """Run the claimed tasks until the channel is closed and all attempts have ended."""
        with self.outcomes:
            try:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    self.lease_table.slots.open(self._fill_free_slot)
                    async with trio.open_nursery() as watching:
                        watching.start_soon(self._return_unstarted)
                        await self._receive()
                        watching.cancel_scope.cancel()
            finally:
                # There is a backlog only when an actor crashed: release it too.
                self.release_unstarted()
                self.idle.set()

    async def _receive(self) -> None:
        with self.leases:
            async for batch in self.leases:
                now = trio.current_time()
                self._backlog.extend((held, now) for held in batch)
                if self.lease_table.shutting_down:
                    self.release_unstarted()
                elif self.prefetch.returning:
                    # Of a claim that was under way: those that are being returned come first.
                    self._release_backlog()
                self._start(now)
                if self._backlog:
                    self._batch_arrived.set()

    def waiting(self) -> int:
        """Return the number of claimed tasks that have not been started."""
        return len(self._backlog)

    def running(self) -> int:
        """Return the number of running attempts."""
        return len(self._running)

    def running_attempts(self) -> Iterator[HeldLease]:
        """Return the running attempts in the order in which they were started."""
        return iter(tuple(self._running))

    def attempt_tasks(self) -> Mapping[HeldLease, trio.lowlevel.Task | None]:
        """Return the running attempts as `running_attempts` does, each with its Trio task."""
        return dict(self._running)

    def release_unstarted(self) -> None:
        """Release the tasks that were claimed and not started."""
        while self._backlog:
            held, _ = self._backlog.popleft()
            self._settle(held, released(held))

    def cancel_all(self) -> None:
        """Cancel the running attempts, because the worker stops."""
        for held in self._running:
            held.cancel(Reason.SHUTDOWN)

    def release_running(self) -> None:
        """Release the tasks that still run; the outcomes of their attempts will not count."""
        for held in self._running:
            self._settle(held, interrupted(held))

    def _start(self, now: float) -> None:
        assert self._nursery is not None
        most = self.prefetch.concurrency + self.lease_table.slots.lending
        while self._backlog and len(self._running) < most:
            held, _ = self._backlog.popleft()
            if held.is_over(now):
                # The event loop was blocked, say: another worker may have started the task.
                self._lose(held)
                continue
            self._running[held] = None
            # In the executor's own context: a Trio task inherits the context of its starter,
            # which may be an attempt that has just ended.
            self._context.run(self._nursery.start_soon, self._attempt, held)

    async def _attempt(self, held: HeldLease) -> None:
        outcome: AttemptOutcome | None = None
        self._running[held] = trio.lowlevel.current_task()
        try:
            outcome = await self.attempts.run(held)
        except StoreError as error:
            self.outages.stop(held.queue, error)
        finally:
            self._running.pop(held, None)
            if self.lease_table.slots.lending:
                self.lease_table.slots.forget(held)
            outcome = outcome or released(held)
            now = trio.current_time()
            if not held.settled:
                self.times.add(held, outcome, now)
            self._settle(held, outcome)
            self.prefetch.record_attempt(now - held.started)
            self._start(now)
            self.lease_table.announce_room()

    def _fill_free_slot(self) -> None:
        self._start(trio.current_time())
        self.lease_table.announce_room()

    def _lose(self, held: HeldLease) -> None:
        if not held.over:
            held.mark_over()
            self.outages.limiter.warning(
                "task %s/%s: its lease is over before it was started", *held.key,
                extra={"queue": held.queue, "task_id": held.task_id},
            )  # fmt: skip
        held.cancel(Reason.LEASE_LOST)
        self._settle(held, AttemptOutcome(held, None))

    def _settle(self, held: HeldLease, outcome: AttemptOutcome) -> None:
        if not held.settled:
            held.settled = True
            # Never full: the channel is as deep as the number of leases.
            self.outcomes.send_nowait(outcome)

    async def _return_unstarted(self) -> None:
        while True:
            await self._batch_arrived.wait()
            while self._backlog:
                _, since = self._backlog[0]
                left = since + UNSTARTED_MAX - trio.current_time()
                if left > 0:
                    await trio.sleep(left)
                else:
                    self.prefetch.record_unstarted()
                    await self._return_backlog()

    async def _return_backlog(self) -> None:
        """Release the tasks that were not started, and wait until they are back in their queues."""
        self.prefetch.returning = True
        try:
            self._release_backlog()
            while self._returned:
                held = self._returned[0]
                if self.lease_table.get(*held.key) is held:
                    await self.lease_table.room.park()
                else:
                    self._returned.popleft()
        finally:
            self.prefetch.returning = False
            self.lease_table.announce_room()

    def _release_backlog(self) -> None:
        self._returned.extend(held for held, _ in self._backlog)
        self.release_unstarted()
