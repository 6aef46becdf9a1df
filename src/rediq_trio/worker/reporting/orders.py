"""The orders that a worker receives: from what the store returns to what the worker does.

The heartbeat hands them on, one call at a time, and then writes the record again, which says that they
were received. An order comes again until such a record is written, and after an answer that its giver
lost; so the worker remembers the ids, and carries each out once.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs
import trio

from rediq_trio import __version__
from rediq_trio._errors import PayloadError
from rediq_trio.spec.messages import ORDERS_MAX, WorkerOrder
from rediq_trio.tasks.worker_details import ORDERS_SHOWN
from rediq_trio.values.chance import utc_now
from rediq_trio.values.observed.workers import ReceivedOrder
from rediq_trio.wire.orders import read_order

STACKS_KEPT = 30.0
"""Seconds for which a worker's record carries the answer to `stacks`."""
ORDERS_REMEMBERED = 1000
"""Orders whose ids a worker remembers, to carry each out once."""

log = logging.getLogger("rediq_trio")


@attrs.define(eq=False)
class OrderInbox:
    """The orders that one worker has received."""

    worker: str
    """The worker's name, for the log."""
    quiet: Callable[[], Awaitable[None]]
    work: Callable[[], None]
    stop: Callable[[float | None], None]
    """Takes the seconds that running handlers have; None for those of the settings."""
    stacks: Callable[[], Mapping[str, str]]
    _received: dict[str, ReceivedOrder] = attrs.field(factory=dict[str, ReceivedOrder])
    """By their ids, the oldest first."""
    _stacks_until: float = 0.0
    """When the stacks of the orders are to be forgotten, on Trio's clock."""

    def received_ids(self) -> tuple[str, ...]:
        """Return the ids that the store need not return again."""
        return tuple(self._received)[-ORDERS_MAX:]

    def shown(self) -> tuple[ReceivedOrder, ...]:
        """Return the orders that the worker's record names, the newest last."""
        if self._stacks_until and self._stacks_until <= trio.current_time():
            self._stacks_until = 0.0
            for name, order in self._received.items():
                if order.stacks is not None:
                    self._received[name] = attrs.evolve(order, stacks=None)
        return tuple(self._received.values())[-ORDERS_SHOWN:]

    async def receive(self, orders: Sequence[WorkerOrder]) -> bool:
        """Carry out the orders that are new, in their order; return whether there were any."""
        new = [order for order in orders if order.id not in self._received]
        for order in new:
            self._received[order.id] = received = await self._carry_out(order)
            if received.refused is None:
                log.info("worker %s: order %s", self.worker, received.name)
            else:
                log.warning("worker %s: order %s: %s", self.worker, received.name, received.refused)
        for old in tuple(self._received)[:-ORDERS_REMEMBERED]:
            del self._received[old]
        return bool(new)

    async def _carry_out(self, order: WorkerOrder) -> ReceivedOrder:
        name, refused, stacks = "(unreadable)", None, None
        try:
            name, seconds = read_order(order.data)
        except PayloadError as error:
            return self._note(order, name, str(error), None)
        match name:
            case "quiet":
                await self.quiet()
            case "work":
                self.work()
            case "stop":
                self.stop(seconds)
            case "stacks":
                stacks = self.stacks()
                self._stacks_until = trio.current_time() + STACKS_KEPT
            case _:
                refused = (
                    f"version {__version__} of this worker does not know it: upgrade the worker"
                )
        return self._note(order, name, refused, stacks)

    def _note(
        self, order: WorkerOrder, name: str, refused: str | None, stacks: Mapping[str, str] | None
    ) -> ReceivedOrder:
        return ReceivedOrder(
            id=order.id,
            name=name,
            received_at=utc_now(),
            refused=refused,
            stacks=stacks,
        )
