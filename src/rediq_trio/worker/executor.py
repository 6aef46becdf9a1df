"""The executor: runs the claimed tasks, `concurrency` at a time.

Each attempt is a Trio task of its own (so context variables cannot leak from one
to the next) in a cancel scope of its own, whose deadline is the task's timeout.
"""

from __future__ import annotations

import contextvars
from collections import deque

import attrs
import trio

from rediq_trio.worker.attempt import Attempts
from rediq_trio.worker.bell import Bell
from rediq_trio.worker.flow import HOARD, Flow
from rediq_trio.worker.leases import Book, Held, Reason
from rediq_trio.worker.outcomes import Interrupted, Outcome


@attrs.define(eq=False)
class Executor:
    """The executor's state: what waits, what runs."""

    attempts: Attempts
    book: Book
    flow: Flow
    leases: trio.MemoryReceiveChannel[list[Held]]
    outcomes: trio.MemorySendChannel[Outcome]
    _backlog: deque[tuple[Held, float]] = attrs.field(factory=deque)
    _running: set[Held] = attrs.field(factory=set)
    _arrived: Bell = attrs.field(factory=Bell)
    _nursery: trio.Nursery | None = None
    _context: contextvars.Context = attrs.field(factory=contextvars.copy_context)
    idle: trio.Event = attrs.field(factory=trio.Event)
    """Set when no more tasks come and none runs."""

    async def run(self) -> None:
        """Run what comes until no more does and all has ended."""
        with self.outcomes:
            try:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    async with trio.open_nursery() as watching:
                        watching.start_soon(self._give_back_hoarded)
                        await self._take_in()
                        watching.cancel_scope.cancel()
            finally:
                # Reached with a backlog only when an actor crashed: give it back too.
                self.hand_back()
                self.idle.set()

    async def _take_in(self) -> None:
        with self.leases:
            async for batch in self.leases:
                now = trio.current_time()
                self._backlog.extend((held, now) for held in batch)
                if self.book.shutting_down:
                    self.hand_back()
                self._start()
                if self._backlog:
                    self._arrived.ring()

    def waiting(self) -> int:
        """Give how many claimed tasks have not been started."""
        return len(self._backlog)

    def running(self) -> int:
        """Give how many attempts run."""
        return len(self._running)

    def hand_back(self) -> None:
        """Give back what was claimed and not started."""
        while self._backlog:
            held, _ = self._backlog.popleft()
            self._settle(held, Interrupted(held))

    def cancel_all(self) -> None:
        """Cancel what runs, because the worker stops."""
        for held in self._running:
            held.cancel(Reason.SHUTDOWN)

    def abandon_all(self) -> None:
        """Give back what still runs; its own outcome will not count."""
        for held in self._running:
            self._settle(held, Interrupted(held))

    def _start(self) -> None:
        assert self._nursery is not None
        while self._backlog and len(self._running) < self.flow.concurrency:
            held, _ = self._backlog.popleft()
            self._running.add(held)
            # From the executor's own context: a task inherits that of whoever starts it,
            # and that may be an attempt that has just ended.
            self._context.run(self._nursery.start_soon, self._attempt, held)

    async def _attempt(self, held: Held) -> None:
        outcome: Outcome = Interrupted(held)
        try:
            outcome = await self.attempts.run(held)
        finally:
            self._running.discard(held)
            self._settle(held, outcome)
            self.flow.ended(trio.current_time() - held.begun)
            self._start()
            self.book.make_room()

    def _settle(self, held: Held, outcome: Outcome) -> None:
        if not held.settled:
            held.settled = True
            # There is room: the channel is as deep as there can be leases.
            self.outcomes.send_nowait(outcome)

    async def _give_back_hoarded(self) -> None:
        while True:
            await self._arrived.wait_rung()
            while self._backlog:
                _, since = self._backlog[0]
                left = since + HOARD - trio.current_time()
                if left > 0:
                    await trio.sleep(left)
                else:
                    self.flow.hoarded()
                    self.hand_back()
