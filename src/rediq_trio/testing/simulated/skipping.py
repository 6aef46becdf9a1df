"""Skips the time in which nothing can happen: only heartbeats, and looks that find nothing.

When no attempt runs, no call is on its way and no client waits, time goes to just before the next
instant at which the store has something due. All servers then look once, as after a long sleep.
Nothing is skipped with noise, or while a fault is planned: then the looks are what is tested.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs

from rediq_trio.spec.lifecycle import State
from rediq_trio.testing.faults import PlannedFaults
from rediq_trio.testing.network import SimNetwork
from rediq_trio.testing.simulated.due import has_any, next_due_ms
from rediq_trio.testing.simulated.servers import SimServer
from rediq_trio.testing.world import EPOCH
from rediq_trio.values.bounds import queue_of

NEVER_PURGED = (10**15, 10**9)
"""For how many ms dead tasks are kept, and how many, while no server is up."""
SETTLE = 2.0
"""Seconds before an instant at which the looks begin again, so that they are over by then."""


@attrs.define(eq=False)
class Skipping:
    """Decides how far time may go. It is called before each jump of the clock."""

    network: SimNetwork
    servers: Mapping[str, SimServer]
    faults: PlannedFaults
    clients: int = 0
    """Calls of clients that are under way."""
    _seen: tuple[object, ...] = ()
    """The effects and the states of the servers for which the next instant was last computed."""
    _due: float = 0.0

    def jump(self, when: float) -> float:
        """Return the instant to go to instead of the next one, `when`; inf if nothing is ever due."""
        clock = self.network.world.clock
        if when <= clock.time or self.clients or not self.is_idle():
            return when
        target = min(self.next_due(), clock.limit) - SETTLE
        return target if when < target else when

    def is_idle(self) -> bool:
        """Return whether nothing runs and nothing is on its way."""
        network = self.network
        if network.noise or len(self.faults) or network.world.over:
            return False
        if network.world.clock.next_event() < math.inf:
            return False  # a call, a signal, the end of a fault
        return all(server.is_idle() for server in self.servers.values())

    def next_due(self) -> float:
        """Return the simulated instant at which the store next has something to do; inf for never."""
        seen = (len(self.network.history), *(server.state for server in self.servers.values()))
        if seen != self._seen:
            self._seen, self._due = seen, self._compute()
        return self._due

    def _compute(self) -> float:
        store, now = self.network.store, self.network.world.now_ms()
        live = [server for server in self.servers.values() if server.state == "up"]
        served = {queue for server in live for queue in server.queues}
        kept = min((s.retention for s in live), default=NEVER_PURGED)
        found = [
            next_due_ms(name, queue, now, served, kept) for name, queue in store.queue_states.items()
        ]
        return min(found, default=math.inf) / 1000 - EPOCH

    def never(self) -> bool:
        """Return whether nothing will ever happen again by itself."""
        return self.is_idle() and self.next_due() == math.inf

    def unserved(self) -> list[str]:
        """Return the queues with pending tasks that no live server serves."""
        live = [server for server in self.servers.values() if server.state == "up"]
        served = {queue for server in live for queue in server.queues}
        queues = self.network.store.queue_states.items()
        waiting = {queue_of(name) for name, queue in queues if has_any(queue, State.PENDING)}
        return sorted(waiting - served)
