"""The network of a simulated fleet: one store, a wire for each host, and who watches the effects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import outcome

from rediq_trio.spec.operations import OPERATIONS
from rediq_trio.store.port import READS, Store
from rediq_trio.testing.effects import Effect, History, QueueChange, names_of
from rediq_trio.testing.simulated.host_network import HostNetwork
from rediq_trio.testing.simulated.store import SimStore
from rediq_trio.testing.wire import Link, Spoil, Wire, WireCall
from rediq_trio.testing.world import Host, World

LATENCY = 0.0005
"""Seconds that a message takes without noise."""

Watcher = Callable[[Effect, QueueChange | None], None]
"""Called after each effect; with the queue before and after it, for an operation."""


class SimNetwork(HostNetwork, Link):
    """One store, and the hosts that are connected to it.

    `clock` returns the store's time, in ms since 1970: that of the world by default.
    """

    def __init__(
        self, world: World, *, noise: bool = False, clock: Callable[[], int] | None = None
    ) -> None:
        super().__init__(world)
        self.noise = noise
        self.store = SimStore(clock or world.now_ms, lambda: world.now)
        self.board = self.store.board
        self.wires: dict[str, Wire] = {}
        self.history = History()
        self.watchers: list[Watcher] = []
        self.failed_over_at: float | None = None
        """When the store last went back in time."""
        self.thaws: dict[str, float] = {}
        """When each frozen host goes on."""
        self.store.keep_past()

    def connect(self, name: str) -> Wire:
        """Add a host, and return its wire."""
        wire = self.wires[name] = Wire(self.world.add_host(name), self)
        return wire

    def open_host(self, name: str) -> tuple[Host, Store]:
        """Add a host; return it with its wire."""
        wire = self.connect(name)
        return wire.host, wire

    def latency(self, host: Host) -> float:
        """Return the seconds that a message of the host takes: now and then, much longer with noise."""
        if not self.noise:
            return LATENCY
        drawn = host.random.random()
        return 0.0002 + 0.002 * drawn if drawn < 0.95 else 4.0 * (drawn - 0.95)

    # Effects.

    def apply(
        self, host: Host, call: WireCall
    ) -> tuple[outcome.Outcome[Any], Effect | None, Spoil | None]:
        """Apply a call; return its answer, the effect if it has one, and what befalls it."""
        store, name = self.store, call.name
        operation = name in OPERATIONS
        queue = call.args[0] if operation else ""
        before = store.queue_state(queue) if operation else None
        past = store.past() if self.rule is not None and name not in READS else None
        self.board.held = []
        answer = store.call(name, call.args, call.kwargs)
        after = store.queue_state(queue) if operation else None
        if operation and after == before:
            signals, self.board.held = self.board.held, None
            for signal in signals:
                self.board.publish(signal)
            self.history.note(f"{self.world.now:.6f} {host.name} {name} {queue}")
            return answer, None, None
        numbers = self._counts.next(host.name, names_of(name, call.args, call.kwargs))
        effect = Effect(
            at=self.world.now, host=host.name, name=name, numbers=numbers, args=call.args,
            kwargs=call.kwargs, answer=answer.value if isinstance(answer, outcome.Value) else None,
            error=cast("Exception", answer.error) if isinstance(answer, outcome.Error) else None,
        )  # fmt: skip
        spoil = None if self.rule is None else self.rule(effect)
        signals, self.board.held = self.board.held, None
        if spoil is not None and spoil.kind in ("lose_call", "late") and past is not None:
            store.restore(past)
            return answer, None, spoil
        self._counts.record(host.name, numbers)
        for signal in signals:
            self.board.publish(signal)
        if name in READS:
            self.history.note(str(effect))
            return answer, None, spoil
        store.keep_past()
        self.history.add(effect)
        change = None if before is None or after is None else QueueChange(before, after)
        for watcher in self.watchers:
            watcher(effect, change)
        return answer, effect, spoil

    # What befalls hosts.

    def disconnect(self, host: Host) -> None:
        """Note that a host is dead: what it has sent arrives, nothing comes back."""
        self.wires[host.name].die()

    def freeze(self, host: Host, seconds: float) -> None:
        """Freeze a host for some seconds; longer if it is frozen already."""
        if host.state == "dead":
            return
        until = max(self.thaws.get(host.name, 0.0), self.world.now + seconds)
        self.thaws[host.name] = until
        self.world.freeze(host)
        self.world.clock.at(until, lambda: self._thaw(host, until))

    def _thaw(self, host: Host, until: float) -> None:
        if self.thaws.get(host.name) == until:
            self.thaw(host)

    def thaw(self, host: Host) -> None:
        """Thaw a frozen host now."""
        self.thaws.pop(host.name, None)
        self.world.thaw(host)

    def fail_over(self, lost: float) -> None:
        """Make the store forget its last `lost` seconds, and break all connections."""
        self.store.fail_over(lost)
        self.failed_over_at = self.world.now
        for wire in self.wires.values():
            if wire.host.state != "dead":
                wire.cut(0.5)

    @property
    def busy(self) -> bool:
        """Whether a call of a host that is not dead is on its way."""
        return any(wire.busy for wire in self.wires.values() if wire.host.state != "dead")

    def end(self) -> None:
        """Fail all calls on their way, so that their callers can end."""
        with self.world.entered():  # callers are woken
            for wire in self.wires.values():
                wire.cut(0.0)
