"""The seeded schedule of faults: one after the other, sometimes two at once, and quiet between."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import ClassVar, Protocol

import trio

from tests.chaos.failovers import CLUSTER, SENTINEL
from tests.chaos.ground import Ground
from tests.chaos.network import NETWORK
from tests.chaos.outages import GONE, JUMPS, OUTAGES, Away
from tests.chaos.processes import PROCESSES

QUIET = (0.3, 2.0)
"""Seconds between the recovery from a fault and the next one."""
TOGETHER = 0.2
"""How often two faults come at once."""
LONG_RUN = 300.0
"""Seconds from which on a run has room for the server to be away for a minute."""


class Fault(Protocol):
    """Something that goes wrong for a while."""

    kind: ClassVar[str]
    lasts: ClassVar[tuple[float, float]]
    """Seconds with a lease of 3, the shortest and the longest."""

    async def begin(self, ground: Ground) -> str:
        """Begin the fault; return its target."""
        ...

    async def end(self, ground: Ground) -> None:
        """End the fault, and return when it is over."""
        ...


KINDS: dict[str, type[Fault]] = {
    kind.kind: kind for kind in (*PROCESSES, *NETWORK, *OUTAGES, *JUMPS, *SENTINEL, *CLUSTER)
}


def possible(ground: Ground, seconds: float) -> list[str]:
    """Return the faults that are possible on this ground in a run of that length."""
    found = [kind.kind for kind in PROCESSES]
    if ground.proxy is not None:
        found += [kind.kind for kind in NETWORK]
    if ground.redis is not None:
        found += [kind.kind for kind in OUTAGES if kind is not Away or seconds >= LONG_RUN]
        if ground.redis.jumps:
            found += [kind.kind for kind in JUMPS]
    if ground.service is not None:
        cluster = hasattr(ground.service, "move_slot")
        found += [kind.kind for kind in (CLUSTER if cluster else SENTINEL)]
    return found


def may_meet(one: str, other: str) -> bool:
    """Return whether two faults may come at once."""
    alone = {Away.kind, *(kind.kind for kind in (*SENTINEL, *CLUSTER))}
    gone = {kind.kind for kind in GONE}
    return not alone & {one, other} and not gone >= {one, other}


def rounds(names: Sequence[str], rng: random.Random) -> Iterator[list[str]]:
    """Return faults without end, in random order: each once before any comes again."""
    while True:
        left = [*names]
        rng.shuffle(left)
        while left:
            chosen = [left.pop()]
            if left and rng.random() < TOGETHER and may_meet(chosen[0], left[-1]):
                chosen.append(left.pop())
            yield chosen


async def cause(ground: Ground, names: Sequence[str]) -> None:
    """Run faults one after the other, each with a wait for the recovery and a quiet time after it."""
    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(cause_one, ground, name)
    # Python takes its time to start: a process that was killed is away until it is back.
    await ground.fleet.wait_ready()
    await ground.measure("+".join(names))
    await trio.sleep(ground.rng.uniform(*QUIET) * ground.pace)


async def cause_one(ground: Ground, name: str) -> None:
    """Run one fault from its begin to its end."""
    fault = KINDS[name]()
    note = ground.observer.note
    note("fault", kind=name, target="", begin=True)
    target = await fault.begin(ground)
    await trio.sleep(ground.rng.uniform(*fault.lasts) * ground.pace)
    await fault.end(ground)
    note("fault", kind=name, target=target, begin=False)
    ground.faults[name] = ground.faults.get(name, 0) + 1
