"""HostNetwork: hosts that reach one store, the numbers of their effects, and what befalls them."""

from __future__ import annotations

from collections.abc import Callable

from rediq_trio.handlers.context import CURRENT
from rediq_trio.store.port import Store
from rediq_trio.testing.effects import HANDLER_STEP, Effect, EffectCounts
from rediq_trio.testing.simulated.trio_run import TrioTask
from rediq_trio.testing.wire import Spoil
from rediq_trio.testing.world import Host, World

SpoilRule = Callable[[Effect], Spoil | None]
"""Says what befalls an effect."""


class HostNetwork:
    """The base of a simulated network and of a real one: it knows the steps of handlers."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rule: SpoilRule | None = None
        self.on_death: Callable[[Host], None] = lambda _host: None
        """Called when a host has been killed."""
        self._counts = EffectCounts()

    def open_host(self, name: str) -> tuple[Host, Store | str]:
        """Add a host; return it, and the store or the URL that it uses."""
        raise NotImplementedError

    def count(self, host: str, name: str) -> int:
        """Return how many effects of a name a host has had."""
        return self._counts.count(host, name)

    def count_steps(self) -> None:
        """Count the steps of handlers from now on, so that the rule is asked about them."""
        self.world.before_step = self._before_step

    def _before_step(self, host: Host, task: TrioTask) -> bool:
        if task.context.get(CURRENT) is None:
            return False
        numbers = self._counts.next(host.name, (HANDLER_STEP,))
        self._counts.record(host.name, numbers)
        effect = Effect(at=self.world.now, host=host.name, name=HANDLER_STEP, numbers=numbers)
        spoil = None if self.rule is None else self.rule(effect)
        if spoil is None:
            return False
        self.befall(host, spoil)
        return host.state != "up"

    def befall(self, host: Host, spoil: Spoil) -> None:
        """Kill or freeze a host."""
        if spoil.kind == "kill":
            self.kill(host)
        elif spoil.kind == "freeze":
            self.freeze(host, spoil.seconds)

    def kill(self, host: Host) -> None:
        """Kill a host."""
        self.world.kill(host)
        self.disconnect(host)
        self.on_death(host)

    def disconnect(self, host: Host) -> None:
        """Note that a host is dead: nothing reaches it any more."""
        raise NotImplementedError

    def freeze(self, host: Host, seconds: float) -> None:
        """Freeze a host for some seconds."""
        raise NotImplementedError
