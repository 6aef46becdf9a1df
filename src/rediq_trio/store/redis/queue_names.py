"""The names of the queues that were ever used, and how many partitions each has, in Redis."""

from __future__ import annotations

from typing import Any

from rediq_trio._errors import Unconfirmed
from rediq_trio.spec.operations import Confirm
from rediq_trio.spec.partitioning import PartitionCount, count_partitions, lapsed_names
from rediq_trio.store.redis.connection.gateway import Gateway
from rediq_trio.store.redis.keys import Keys


class QueueNames:
    """What one client knows of the names. Made by `RedisStore`."""

    def __init__(self, gateway: Gateway, keys: Keys) -> None:
        self._gateway = gateway
        self._keys = keys
        self._known: set[str] = set()
        """The names that are known to be written."""

    async def read(self) -> tuple[str, ...]:
        """Return all names, sorted."""
        names = await self._gateway.read(b"SMEMBERS", self._keys.queues)
        return tuple(sorted(name.decode() for name in names))

    async def add(self, queue: str) -> Unconfirmed | None:
        """Write a name, once; return the error to raise later where that is not confirmed."""
        if queue in self._known:
            return None
        short = await self._write(b"SADD", self._keys.queues, queue)
        if short is None:
            self._known.add(queue)
        return short

    async def _write(self, *command: Any) -> Unconfirmed | None:
        # The error is for later: `Unconfirmed` says that all was written.
        try:
            await self._gateway.write(*command, confirm=Confirm.RAISE)
        except Unconfirmed as short:
            return short
        return None

    async def partitions(self) -> dict[str, PartitionCount]:
        """Read how many partitions each queue has, by what is noted and by the names."""
        flat = await self._gateway.read(b"HGETALL", self._keys.partitions)
        recorded = {k.decode(): int(n) for k, n in zip(flat[::2], flat[1::2], strict=True)}
        names = await self.read()
        # A name that was lost, or removed by another client, is written again with the next task.
        self._known &= {*names}
        return count_partitions(recorded, names)

    async def set_partitions(self, queue: str, count: int) -> None:
        """Note a number, and the name of the last partition; forget those above it."""
        lapsed = lapsed_names(queue, count, await self.read())
        self._known -= {*lapsed}
        # In this order, a crash in between leaves the higher number noted: all is served.
        writes: list[tuple[Any, ...]] = [(b"SREM", self._keys.queues, *lapsed)] if lapsed else []
        if count == 1:
            writes.append((b"HDEL", self._keys.partitions, queue))
        else:
            writes.append((b"HSET", self._keys.partitions, queue, count))
            writes.append((b"SADD", self._keys.queues, f"{queue}~{count - 1}"))
        short = [unconfirmed for one in writes if (unconfirmed := await self._write(*one))]
        if short:
            raise short[-1]

    async def repair_partitions(self, queue: str) -> bool:
        """Note what the names say, where less is noted; say whether it was."""
        counted = (await self.partitions()).get(queue, PartitionCount())
        if counted.recorded >= counted.named:
            return False
        args = (self._keys.partitions, queue, counted.named)
        await self._gateway.write(b"HSET", *args, confirm=Confirm.RAISE)
        return True
