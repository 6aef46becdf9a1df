"""The workers' records and orders of the store in memory; the scripts do the same on Redis."""

from __future__ import annotations

import attrs

from rediq_trio.spec.messages import ORDERS_MAX, OrderAnswer, WorkerOrder, WorkerRecord


@attrs.define(eq=False)
class WorkerTable:
    """What live workers said of themselves, and the orders that they have not received yet."""

    _records: dict[str, tuple[int, bytes]] = attrs.field(factory=dict[str, tuple[int, bytes]])
    """Each with the instant until which it counts."""
    _orders: dict[str, tuple[WorkerOrder, ...]] = attrs.field(
        factory=dict[str, tuple[WorkerOrder, ...]]
    )

    def copy(self) -> WorkerTable:
        """Return a table with the same records and orders."""
        return WorkerTable(dict(self._records), dict(self._orders))

    def register(self, now: int, worker: WorkerRecord) -> tuple[WorkerOrder, ...]:
        """Store a heartbeat, forget silent workers, and return the orders that are not received."""
        for silent in [name for name in self._records if not self._alive(now, name)]:
            self.unregister(silent)
        self._records[worker.id] = (now + worker.ttl_ms, worker.data)
        orders = self._orders.pop(worker.id, ())
        if left := tuple(order for order in orders if order.id not in worker.received):
            self._orders[worker.id] = left
        return left

    def unregister(self, worker_id: str) -> None:
        """Forget a worker, and the orders to it."""
        self._records.pop(worker_id, None)
        self._orders.pop(worker_id, None)

    def records(self, now: int, only: str = "") -> tuple[bytes, ...]:
        """Return the records of the live workers, or of only one, ordered by their ids."""
        names = [only] if only else sorted(self._records)
        return tuple(self._records[name][1] for name in names if self._alive(now, name))

    def order(self, now: int, worker_id: str, order: WorkerOrder) -> OrderAnswer:
        """Add an order to those that a worker has not received, unless it is one of them."""
        if not self._alive(now, worker_id):
            self._orders.pop(worker_id, None)
            return OrderAnswer.NO_WORKER
        orders = self._orders.get(worker_id, ())
        if order.id not in [each.id for each in orders]:
            if len(orders) >= ORDERS_MAX:
                return OrderAnswer.TOO_MANY
            self._orders[worker_id] = (*orders, order)
        return OrderAnswer.GIVEN

    def _alive(self, now: int, worker_id: str) -> bool:
        return worker_id in self._records and self._records[worker_id][0] > now
