"""Faults of the processes: killed, stopped for too long, deployed, poisoned."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import ClassVar

import attrs
import trio

import rediq_trio as rediq
from tests.chaos.caller import Caller
from tests.chaos.fleet import Member
from tests.chaos.ground import Ground

BACK_WITHIN = 20.0
"""Seconds until a process has to be replaced."""


async def wait_replaced(ground: Ground, member: Member, incarnation: int) -> None:
    """Wait until a place is filled again."""
    with trio.move_on_after(BACK_WITHIN):
        while member.incarnation == incarnation or not member.alive:
            await trio.sleep(0.05)


@attrs.define
class KillWorkers:
    """SIGKILL one or two workers."""

    kind: ClassVar[str] = "kill-worker"
    lasts: ClassVar[tuple[float, float]] = (0.0, 0.0)
    _gone: list[tuple[Member, int]] = attrs.field(factory=list)

    async def begin(self, ground: Ground) -> str:
        living = ground.fleet.workers()
        for member in ground.rng.sample(living, min(len(living), ground.rng.randint(1, 2))):
            self._gone.append((member, member.incarnation))
            ground.fleet.kill(member)
        return ",".join(f"{member.label}.{number}" for member, number in self._gone)

    async def end(self, ground: Ground) -> None:
        for member, number in self._gone:
            await wait_replaced(ground, member, number)


@attrs.define
class KillProducer:
    """SIGKILL a producer."""

    kind: ClassVar[str] = "kill-producer"
    lasts: ClassVar[tuple[float, float]] = (0.0, 0.0)

    async def begin(self, ground: Ground) -> str:
        living = ground.fleet.producers()
        if not living:
            return ""
        member = ground.rng.choice(living)
        name = member.name
        ground.fleet.kill(member)
        return name

    async def end(self, ground: Ground) -> None:
        pass


@attrs.define
class FreezeWorker:
    """SIGSTOP a worker until its lease is over, then let it go on."""

    kind: ClassVar[str] = "freeze-worker"
    lasts: ClassVar[tuple[float, float]] = (4.0, 6.0)
    _frozen: Member | None = None

    async def begin(self, ground: Ground) -> str:
        living = ground.fleet.workers()
        if not living:
            return ""
        self._frozen = ground.rng.choice(living)
        ground.fleet.freeze(self._frozen)
        return self._frozen.name

    async def end(self, ground: Ground) -> None:
        if self._frozen is not None:
            ground.fleet.thaw(self._frozen)


@attrs.define
class Deploy:
    """SIGTERM every worker, one after the other, and wait for the next."""

    kind: ClassVar[str] = "deploy"
    lasts: ClassVar[tuple[float, float]] = (0.0, 0.0)

    async def begin(self, ground: Ground) -> str:
        names: list[str] = []
        for member in ground.fleet.workers():
            if not member.alive:
                continue
            names.append(member.name)
            number = member.incarnation
            ground.fleet.terminate(member)
            await wait_replaced(ground, member, number)
        return ",".join(names)

    async def end(self, ground: Ground) -> None:
        pass


@asynccontextmanager
async def reached(url: str) -> AsyncGenerator[rediq.Client]:
    """Connect, however long Redis is away for another fault."""
    async with AsyncExitStack() as stack:
        while True:
            try:
                client = await stack.enter_async_context(rediq.connect(url))
                break
            except rediq.ConnectionLost:
                await trio.sleep(0.1)
        yield client


@attrs.define
class Poison:
    """Enqueue a task that kills whoever runs it."""

    kind: ClassVar[str] = "poison"
    lasts: ClassVar[tuple[float, float]] = (0.0, 0.0)
    _task: str = ""

    async def begin(self, ground: Ground) -> str:
        async with reached(ground.url) as client:
            caller = Caller(client, ground.observer)
            task = caller.task(
                "poison",
                id=f"poison-{ground.poison}",
                priority=0,
                max_crashes=ground.rng.randint(0, 2),
            )
            ground.poison += 1
            ground.fleet.suicides.add(f"main/{task.id}")
            await caller.enqueue(task)
        self._task = f"main/{task.id}"
        return self._task

    async def end(self, ground: Ground) -> None:
        with trio.move_on_after(BACK_WITHIN):
            async with reached(ground.url) as client:
                await client.task(self._task).wait()


PROCESSES = (KillWorkers, KillProducer, FreezeWorker, Deploy, Poison)
