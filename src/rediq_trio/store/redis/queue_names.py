"""The names of all queues that were ever used, and their numbers of partitions, in Redis."""

from __future__ import annotations

from typing import Any

from rediq_trio._errors import Unconfirmed
from rediq_trio.spec.check.partitions import PartitionCount, count_partitions, lapsed_names
from rediq_trio.spec.operations import Confirm
from rediq_trio.store.redis.connection.gateway import Gateway
from rediq_trio.store.redis.keys import Keys


class QueueNames:
    """Reads and writes the names, and caches those that are written. Made by `RedisStore`."""

    def __init__(self, gateway: Gateway, keys: Keys) -> None:
        self._gateway = gateway
        self._keys = keys
        self._known: set[str] = set()
        """Names that are certainly written."""

    async def read(self) -> tuple[str, ...]:
        """Return all names, sorted."""
        names = await self._gateway.read(b"SMEMBERS", self._keys.queues)
        return tuple(sorted(name.decode() for name in names))

    async def add(self, queue: str) -> Unconfirmed | None:
        """Write a name, once; return the error to raise later if the write was not confirmed."""
        if queue in self._known:
            return None
        unconfirmed = await self._write(b"SADD", self._keys.queues, queue)
        if unconfirmed is None:
            self._known.add(queue)
        return unconfirmed

    async def remove(self, queue: str) -> None:
        """Remove a name."""
        self._known.discard(queue)
        await self._gateway.write(b"SREM", self._keys.queues, queue, confirm=Confirm.RAISE)

    async def _write(self, *command: Any) -> Unconfirmed | None:
        # The caller raises the error after all writes: `Unconfirmed` says that all was written.
        try:
            await self._gateway.write(*command, confirm=Confirm.RAISE)
        except Unconfirmed as unconfirmed:
            return unconfirmed
        return None

    async def partitions(self) -> dict[str, PartitionCount]:
        """Return the recorded and the named number of partitions of each partitioned queue."""
        flat = await self._gateway.read(b"HGETALL", self._keys.partitions)
        recorded = {k.decode(): int(n) for k, n in zip(flat[::2], flat[1::2], strict=True)}
        names = await self.read()
        # A name that was lost, or removed by another client, is written again with the next task.
        self._known &= {*names}
        return count_partitions(recorded, names)

    async def set_partitions(self, queue: str, count: int) -> None:
        """Write the number of partitions and the name of the last one; remove names above it."""
        lapsed = lapsed_names(queue, count, await self.read())
        self._known -= {*lapsed}
        # In this order, a crash in between leaves the higher number: all partitions are served.
        writes: list[tuple[Any, ...]] = [(b"SREM", self._keys.queues, *lapsed)] if lapsed else []
        if count == 1:
            writes.append((b"HDEL", self._keys.partitions, queue))
        else:
            writes.append((b"HSET", self._keys.partitions, queue, count))
            writes.append((b"SADD", self._keys.queues, f"{queue}~{count - 1}"))
        unconfirmed = [error for one in writes if (error := await self._write(*one))]
        if unconfirmed:
            raise unconfirmed[-1]

    async def repair_partitions(self, queue: str) -> bool:
        """Write the number that the names imply, if a lower one is recorded; return whether it was."""
        counted = (await self.partitions()).get(queue, PartitionCount())
        if counted.recorded >= counted.named:
            return False
        args = (self._keys.partitions, queue, counted.named)
        await self._gateway.write(b"HSET", *args, confirm=Confirm.RAISE)
        return True
