"""Faults of the network between the clients and a server, made by the proxy."""

from __future__ import annotations

from typing import ClassVar

import attrs
import trio

from tests.chaos.ground import Ground
from tests.chaos.proxy import Proxy, Way

NOTICED_WITHIN = 15.0
"""Seconds in which a client has to notice that its connection is dead: a round trip's deadline and more."""


def proxy_of(ground: Ground) -> Proxy:
    """Return the proxy of a run; a run without one has no network faults."""
    assert ground.proxy is not None
    return ground.proxy


@attrs.define
class _Network:
    """What most of them share: it ends when the proxy is calm."""

    async def end(self, ground: Ground) -> None:
        proxy_of(ground).calm()


@attrs.define
class Drop(_Network):
    """Reset connections, all or some."""

    kind: ClassVar[str] = "drop"
    lasts: ClassVar[tuple[float, float]] = (0.0, 0.0)

    async def begin(self, ground: Ground) -> str:
        share = ground.rng.choice((0.3, 1.0))
        return f"{proxy_of(ground).drop(share)} connections"


@attrs.define
class Delay(_Network):
    """Hold back every chunk."""

    kind: ClassVar[str] = "delay"
    lasts: ClassVar[tuple[float, float]] = (2.0, 4.0)

    async def begin(self, ground: Ground) -> str:
        proxy_of(ground).delay = ground.rng.uniform(0.02, 0.4)
        return f"{proxy_of(ground).delay * 1000:.0f} ms"


@attrs.define
class Stall(_Network):
    """Hold back all traffic, then pass it on: a partition that heals."""

    kind: ClassVar[str] = "stall"
    lasts: ClassVar[tuple[float, float]] = (1.0, 8.0)

    async def begin(self, ground: Ground) -> str:
        proxy_of(ground).stall()
        return "all"


@attrs.define
class HalfOpen(_Network):
    """Lose what passes in one direction, or both."""

    kind: ClassVar[str] = "half-open"
    lasts: ClassVar[tuple[float, float]] = (2.0, 12.0)

    async def begin(self, ground: Ground) -> str:
        ways: tuple[Way, ...] = ground.rng.choice((("up",), ("down",), ("up", "down")))
        proxy_of(ground).swallow(*ways)
        return ",".join(ways)


@attrs.define
class Vanish(_Network):
    """Kill the connections that there are without a word to their ends, which have to notice."""

    kind: ClassVar[str] = "vanish"
    lasts: ClassVar[tuple[float, float]] = (0.0, 0.0)

    async def begin(self, ground: Ground) -> str:
        return f"{proxy_of(ground).vanish()} connections"

    async def end(self, ground: Ground) -> None:
        with trio.move_on_after(NOTICED_WITHIN):
            while proxy_of(ground).vanished():
                await trio.sleep(0.05)


@attrs.define
class Refuse(_Network):
    """Reset all connections and take no new ones."""

    kind: ClassVar[str] = "refuse"
    lasts: ClassVar[tuple[float, float]] = (0.5, 6.0)

    async def begin(self, ground: Ground) -> str:
        proxy_of(ground).refuse()
        proxy_of(ground).drop()
        return "all"


@attrs.define
class LoseReplies(_Network):
    """Pass requests on, and lose the replies."""

    kind: ClassVar[str] = "lose-replies"
    lasts: ClassVar[tuple[float, float]] = (1.0, 2.0)

    async def begin(self, ground: Ground) -> str:
        count = ground.rng.randint(3, 12)
        proxy_of(ground).lose_replies(count)
        return f"{count} connections"


NETWORK = (Drop, Delay, Stall, HalfOpen, Vanish, Refuse, LoseReplies)
