"""Faults of the server itself: it dies, comes back, forgets scripts, stands still, is full, and
its clock jumps."""

from __future__ import annotations

from typing import ClassVar

import attrs
import trio

from tests.chaos.ground import Ground
from tests.chaos.server import Redis


def server_of(ground: Ground) -> Redis:
    """Return the server of a run with one."""
    assert ground.redis is not None
    return ground.redis


@attrs.define
class _Outage:
    """What those share that are over by themselves."""

    async def end(self, ground: Ground) -> None:
        pass


@attrs.define
class Crash(_Outage):
    """Kill the server; start it again on its append-only file."""

    kind: ClassVar[str] = "redis-crash"
    lasts: ClassVar[tuple[float, float]] = (0.0, 5.0)

    async def begin(self, ground: Ground) -> str:
        await server_of(ground).kill()
        return "server"

    async def end(self, ground: Ground) -> None:
        await server_of(ground).start()


@attrs.define
class Restart(Crash):
    """Stop the server in good order; start it again."""

    kind: ClassVar[str] = "redis-restart"
    lasts: ClassVar[tuple[float, float]] = (0.0, 2.0)

    async def begin(self, ground: Ground) -> str:
        await server_of(ground).stop()
        return "server"


@attrs.define
class Away(Crash):
    """Kill the server, and leave it away for a minute."""

    kind: ClassVar[str] = "redis-away"
    lasts: ClassVar[tuple[float, float]] = (0.0, 0.0)

    async def begin(self, ground: Ground) -> str:
        await server_of(ground).kill()
        await trio.sleep(ground.away)
        return f"{ground.away:g} s"


@attrs.define
class KillClients(_Outage):
    """Make the server close its clients' connections."""

    kind: ClassVar[str] = "client-kill"
    lasts: ClassVar[tuple[float, float]] = (0.0, 0.0)

    async def begin(self, ground: Ground) -> str:
        chosen = ground.rng.choice(("normal", "pubsub"))
        await server_of(ground).ask("CLIENT", "KILL", "TYPE", chosen, "SKIPME", "yes")
        return chosen


@attrs.define
class FlushScripts(_Outage):
    """Make the server forget its cached scripts."""

    kind: ClassVar[str] = "script-flush"
    lasts: ClassVar[tuple[float, float]] = (0.0, 0.0)

    async def begin(self, ground: Ground) -> str:
        await server_of(ground).ask("SCRIPT", "FLUSH")
        return "server"


@attrs.define
class StandStill(_Outage):
    """Stop the server for a while that may be longer than a lease."""

    kind: ClassVar[str] = "debug-sleep"
    lasts: ClassVar[tuple[float, float]] = (0.0, 0.0)

    async def begin(self, ground: Ground) -> str:
        seconds = ground.rng.uniform(0.5, 5.0) * ground.pace
        await server_of(ground).ask("DEBUG", "SLEEP", f"{seconds:.3f}")
        return f"{seconds:.1f} s"


@attrs.define
class Full(_Outage):
    """Make the server run out of memory."""

    kind: ClassVar[str] = "maxmemory"
    lasts: ClassVar[tuple[float, float]] = (0.5, 5.0)

    async def begin(self, ground: Ground) -> str:
        await server_of(ground).ask("CONFIG", "SET", "maxmemory", "1mb")
        return "1 MB"

    async def end(self, ground: Ground) -> None:
        await server_of(ground).ask("CONFIG", "SET", "maxmemory", "0")


@attrs.define
class ClockForward(_Outage):
    """Set the server's clock ahead, and back again afterwards."""

    kind: ClassVar[str] = "clock-forward"
    lasts: ClassVar[tuple[float, float]] = (1.0, 4.0)

    async def begin(self, ground: Ground) -> str:
        return self._jump(ground, 1.0)

    def _jump(self, ground: Ground, sign: float) -> str:
        seconds = sign * ground.rng.choice((1.0, 2.5, 8.0, 60.0))
        server_of(ground).jump(seconds)
        return f"{seconds:+g} s"

    async def end(self, ground: Ground) -> None:
        server_of(ground).jump(0.0)


@attrs.define
class ClockBackward(ClockForward):
    """Set the server's clock behind, and forward again afterwards."""

    kind: ClassVar[str] = "clock-backward"

    async def begin(self, ground: Ground) -> str:
        return self._jump(ground, -1.0)


GONE = (Crash, Restart, Away)
"""Those that end the server's process and start it again: one at a time."""
JUMPS = (ClockForward, ClockBackward)
OUTAGES = (Crash, Restart, KillClients, FlushScripts, StandStill, Full, Away)
