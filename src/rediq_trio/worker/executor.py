"""The executor: runs the claimed tasks, `concurrency` at a time.

Each attempt is a Trio task of its own, so context variables cannot leak from one to the
next. It runs in its own cancel scope, whose deadline is the task's timeout.
"""

from __future__ import annotations

import contextvars
from collections import deque

import attrs
import trio

from rediq_trio.worker.attempt import Attempts
from rediq_trio.worker.auto_reset_event import AutoResetEvent
from rediq_trio.worker.leases import HeldLease, LeaseTable, Reason
from rediq_trio.worker.outcomes import AttemptOutcome, released
from rediq_trio.worker.prefetch import UNSTARTED_MAX, Prefetch


@attrs.define(eq=False)
class Executor:
    """The executor's state: the tasks that wait for a start, and those that run."""

    attempts: Attempts
    lease_table: LeaseTable
    prefetch: Prefetch
    leases: trio.MemoryReceiveChannel[list[HeldLease]]
    outcomes: trio.MemorySendChannel[AttemptOutcome]
    _backlog: deque[tuple[HeldLease, float]] = attrs.field(factory=deque)
    _running: set[HeldLease] = attrs.field(factory=set)
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
                self._start()
                if self._backlog:
                    self._batch_arrived.set()

    def waiting(self) -> int:
        """Return the number of claimed tasks that have not been started."""
        return len(self._backlog)

    def running(self) -> int:
        """Return the number of running attempts."""
        return len(self._running)

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
            self._settle(held, released(held))

    def _start(self) -> None:
        assert self._nursery is not None
        while self._backlog and len(self._running) < self.prefetch.concurrency:
            held, _ = self._backlog.popleft()
            self._running.add(held)
            # In the executor's own context: a Trio task inherits the context of its starter,
            # which may be an attempt that has just ended.
            self._context.run(self._nursery.start_soon, self._attempt, held)

    async def _attempt(self, held: HeldLease) -> None:
        outcome = released(held)
        try:
            outcome = await self.attempts.run(held)
        finally:
            self._running.discard(held)
            self._settle(held, outcome)
            self.prefetch.record_attempt(trio.current_time() - held.started)
            self._start()
            self.lease_table.announce_room()

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
                    self.release_unstarted()
