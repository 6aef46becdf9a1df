"""Faults of servers that stand in for one another: failovers, asked for and forced, and slots that move."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import attrs
import redis
import trio

from tests.chaos.ground import Ground
from tests.chaos.kinds import QUEUES

STANDBY_WITHIN = 90.0
"""Seconds until a replica has to be in step with a new master."""


async def wait_standby(ground: Ground) -> None:
    """Wait until a replica could take over from the master: the next failover needs one."""
    with trio.fail_after(STANDBY_WITHIN):
        while True:
            try:
                await trio.to_thread.run_sync(ground.service.wait_replicas, 1)
            except RuntimeError:
                continue  # a full copy takes long on a busy machine
            return


async def wait_other_master(
    ground: Ground, old: Any, again: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Wait until another server is the master; ask again for what the Sentinels gave up.

    What they begin by themselves they begin again by themselves.
    """
    with trio.fail_after(STANDBY_WITHIN):
        while True:
            try:
                await trio.to_thread.run_sync(ground.service.wait_master, old)
            except RuntimeError:
                if again is not None:
                    await again()
            else:
                return


@attrs.define
class KillMaster:
    """Kill the master; when another has its place, start it again as a replica of that."""

    kind: ClassVar[str] = "sentinel-kill"
    lasts: ClassVar[tuple[float, float]] = (0.0, 0.0)
    _old: Any = None

    async def begin(self, ground: Ground) -> str:
        self._old = await trio.to_thread.run_sync(ground.service.master)
        await trio.to_thread.run_sync(self._old.kill)
        return f"port {self._old.port}"

    async def end(self, ground: Ground) -> None:
        try:
            await wait_other_master(ground, self._old)
        except trio.TooSlowError:
            # Sentinels whose own clocks stood still do nothing for a while (TILT): the old one goes on.
            ground.observer.note("fault", kind="sentinels-idle", target="", begin=True)
        await trio.to_thread.run_sync(self._old.start)
        await wait_standby(ground)


@attrs.define
class Failover:
    """Ask a Sentinel for another master."""

    kind: ClassVar[str] = "sentinel-failover"
    lasts: ClassVar[tuple[float, float]] = (0.0, 0.0)
    _old: Any = None

    async def begin(self, ground: Ground) -> str:
        service = ground.service
        self._old = await trio.to_thread.run_sync(service.master)
        with trio.fail_after(STANDBY_WITHIN):
            await self._ask(ground)
        return f"port {self._old.port}"

    async def _ask(self, ground: Ground) -> None:
        while not await trio.to_thread.run_sync(_accepted, ground.service.sentinels[0]):
            await trio.sleep(0.5)

    async def end(self, ground: Ground) -> None:
        await wait_other_master(ground, self._old, lambda: self._ask(ground))
        await wait_standby(ground)


def _accepted(sentinel: Any) -> bool:
    """Ask for a failover; return whether the Sentinel has begun one."""
    try:
        sentinel.ask("SENTINEL", "FAILOVER", "main")
    except redis.ResponseError:
        return False  # one is under way, or no replica is good enough yet
    return True


SENTINEL = (KillMaster, Failover)


async def choose_slot(ground: Ground) -> int:
    """Return the slot of a random queue."""
    queue = ground.rng.choice([*QUEUES])
    node = await trio.to_thread.run_sync(ground.service.alive)
    return int(await trio.to_thread.run_sync(node.ask, "CLUSTER", "KEYSLOT", f"{{{queue}}}"))


@attrs.define
class KillOwner:
    """Kill the node that has a queue's slot; start it again when another has it."""

    kind: ClassVar[str] = "cluster-kill"
    lasts: ClassVar[tuple[float, float]] = (0.0, 0.0)
    _slot: int = 0
    _old: Any = None

    async def begin(self, ground: Ground) -> str:
        self._slot = await choose_slot(ground)
        self._old = await trio.to_thread.run_sync(ground.service.owner, self._slot)
        await trio.to_thread.run_sync(self._old.kill)
        return f"port {self._old.port}"

    async def end(self, ground: Ground) -> None:
        await trio.to_thread.run_sync(ground.service.wait_owner, self._slot, self._old)
        await trio.to_thread.run_sync(self._old.start)
        await trio.to_thread.run_sync(ground.service.wait_whole)


@attrs.define
class TakeOver:
    """Make a replica take over from its master, without loss."""

    kind: ClassVar[str] = "cluster-failover"
    lasts: ClassVar[tuple[float, float]] = (0.0, 0.0)
    _slot: int = 0
    _old: Any = None

    async def begin(self, ground: Ground) -> str:
        self._slot = await choose_slot(ground)
        self._old = await trio.to_thread.run_sync(ground.service.owner, self._slot)
        replica = await trio.to_thread.run_sync(ground.service.replica_of, self._old)
        await trio.to_thread.run_sync(replica.ask, "CLUSTER", "FAILOVER")
        return f"port {self._old.port}"

    async def end(self, ground: Ground) -> None:
        await trio.to_thread.run_sync(ground.service.wait_owner, self._slot, self._old)
        await trio.to_thread.run_sync(ground.service.wait_whole)


@attrs.define
class MoveSlot:
    """Move the slot of a queue to another master, under load."""

    kind: ClassVar[str] = "move-slot"
    lasts: ClassVar[tuple[float, float]] = (0.0, 0.0)

    async def begin(self, ground: Ground) -> str:
        service = ground.service
        slot = await choose_slot(ground)
        owner = await trio.to_thread.run_sync(service.owner, slot)
        others = await trio.to_thread.run_sync(_masters, service, owner)
        target = ground.rng.choice(others)
        await trio.to_thread.run_sync(service.move_slot, slot, target)
        return f"slot {slot} from port {owner.port} to port {target.port}"

    async def end(self, ground: Ground) -> None:
        pass


def _masters(service: Any, owner: Any) -> list[Any]:
    return [n for n in service.nodes if n.process and n is not owner and n.role() == "master"]


CLUSTER = (KillOwner, TakeOver, MoveSlot)
