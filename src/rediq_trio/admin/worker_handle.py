"""WorkerHandle: one live worker, and the orders that it takes.

An order is given to one start of a worker, its *instance*, and never to another one that has the same
name. It is given again until the worker's record says that it was received: so neither a lost signal nor a
failover loses it, and the worker carries it out once.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from rediq_trio._errors import ConfigError, OrderRefused, WorkerNotFound, did_you_mean, name_some
from rediq_trio.spec.messages import ORDERS_MAX, OrderAnswer, WorkerOrder
from rediq_trio.store.audit.audited import audited
from rediq_trio.store.port import Store
from rediq_trio.tasks.task_info import read_worker_infos
from rediq_trio.values.bounds import Duration, check_seconds, check_text, to_seconds
from rediq_trio.values.chance import entropy
from rediq_trio.values.observed.workers import ReceivedOrder
from rediq_trio.values.task import WorkerInfo
from rediq_trio.wire.orders import pack_order

WORKER_NAME_MAX = 300
"""Maximum characters of the name by which a worker is looked for."""
GRACE_MAX = 86_400.0
"""Maximum seconds of grace of an order to stop, 1 day; as of the setting."""
FIRST_LOOK, LONGEST_LOOK = 0.02, 0.25
"""Seconds between two looks at the record of a worker that is to receive an order."""
FIRST_REPEAT, LONGEST_REPEAT = 1.0, 5.0
"""Seconds until an order is given again that was not received."""


class WorkerHandle:
    """One live worker, by its id or its instance. Made by `Client.worker`; every method asks the store.

    An order is received within a second while Redis answers. Its method returns once the worker's record
    says so, and raises `WorkerNotFound` if no live worker has that name or the worker ends before,
    `ConfigError` if several live workers have the name, `OrderRefused` if the worker's version does not
    take the order, and `ConnectionLost`. When cancelled, or after `ConnectionLost`, the worker may
    have received the order; giving it again does no harm.
    """

    def __init__(self, store: Store, worker_id: str) -> None:
        self._store = store
        self.id = worker_id
        """The id or the instance of the worker, as it was given."""

    def __repr__(self) -> str:
        return f"<WorkerHandle {self.id}>"

    async def info(self) -> WorkerInfo:
        """Return what the worker said in its last heartbeat.

        Raises `WorkerNotFound` if no live worker has that name, and `ConfigError` if several have.
        """
        workers = read_worker_infos(await self._store.workers())
        found = [worker for worker in workers if self.id in (worker.instance, worker.id)]
        if not found:
            raise WorkerNotFound(self.id, _hint(self.id, workers))
        if len(found) > 1:
            instances = [worker.instance or f"{worker.host}:{worker.pid}" for worker in found]
            bound = f"one of {name_some(instances, 5)}: {len(found)} live workers have this name"
            raise ConfigError.of("worker", self.id, bound)
        return found[0]

    @audited("worker", "id")
    async def quiet(self) -> None:
        """Order the worker to claim no more tasks, until `work` or its end.

        Tasks that it has claimed run on, its leases are renewed, and it does a keeper's duties. Once
        this returns it claims nothing, but for a claim that its Redis has not answered for a second.
        """
        await self._order("quiet")

    @audited("worker", "id")
    async def work(self) -> None:
        """Order the worker to claim tasks again; one that is not quiet goes on as before."""
        await self._order("work")

    @audited("worker", "id")
    async def stop(self, *, grace: Duration | None = None) -> None:
        """Order the worker to stop gracefully, as by a signal; return when it has received it.

        Running handlers have `grace` seconds, 0 to 86,400, by default the worker's `shutdown_grace`. A
        second order can shorten the grace. `rediq run` ends then, with status 0: whatever supervises
        it may start it again.
        """
        seconds = None if grace is None else to_seconds(grace)
        if seconds is not None:
            check_seconds("grace", seconds, 0, GRACE_MAX)
        await self._order("stop", seconds)

    async def stacks(self) -> dict[str, str]:
        """Ask the worker where its running attempts are; return a text for each, by its task's id.

        The text is the tree of the attempt's Trio tasks, with the file, line and function of each call,
        and the calls of its thread if it has one; no local variable and no line of source. At most
        50 attempts, 8,000 characters of each and 64,000 of all.
        """
        received = await self._order("stacks")
        return dict((received and received.stacks) or {})

    async def _order(self, name: str, seconds: float | None = None) -> ReceivedOrder | None:
        """Send an order, wait until it is received, and return it; None if the worker has stopped by it."""
        info = await self.info()
        instance = info.instance
        if instance is None or info.orders is None:
            raise OrderRefused(
                info.id, f"its version, {info.version}, takes none: upgrade it, or send it a signal"
            )
        order = WorkerOrder(entropy(8).hex(), pack_order(name, seconds))
        look, repeat = FIRST_LOOK, FIRST_REPEAT
        while True:
            given = await self._store.order(instance, order, queue=info.queues[0])
            if given is OrderAnswer.TOO_MANY:
                reason = f"{ORDERS_MAX} orders wait to be received: is its event loop blocked?"
                raise OrderRefused(info.id, reason)
            if given is OrderAnswer.NO_WORKER:
                if name == "stop":
                    return None
                raise WorkerNotFound(self.id, " any more: it ended before it received the order")
            again = trio.current_time() + repeat
            while trio.current_time() < again:
                if received := await self._find(instance, order.id):
                    if received.refused is not None:
                        raise OrderRefused(info.id, received.refused)
                    return received
                await trio.sleep(look)
                look = min(LONGEST_LOOK, look * 1.5)
            repeat = min(LONGEST_REPEAT, repeat * 2)

    async def _find(self, instance: str, order_id: str) -> ReceivedOrder | None:
        for worker in read_worker_infos(await self._store.workers(instance)):
            for order in worker.orders or ():
                if order.id == order_id:
                    return order
        return None


def _hint(name: str, workers: Sequence[WorkerInfo]) -> str:
    if not workers:
        return ": no worker is alive"
    names = [worker.id for worker in workers]
    return did_you_mean(name, names) or f"; live are {name_some(names, 5)}"


def check_worker_name(value: object) -> str:
    """Return the value if it can be the name of a worker; raise `ConfigError` otherwise."""
    return check_text("worker", value, 1, WORKER_NAME_MAX)
