"""QueueMachine: a fleet that Hypothesis drives, to be extended by rules of one's own.

The rules are synchronous, as those of any state machine of Hypothesis; a `Simulation` does the waiting, or
a `RealFleet` where the store is a real Redis.
Hypothesis chooses what happens in which order, and shrinks what fails. This module needs the extra
`testing`; `rediq_trio.testing` imports it late.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from hypothesis import currently_in_test_context, note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from rediq_trio._errors import ConfigError, TaskNotFound, TaskStateError
from rediq_trio.handlers.app import App
from rediq_trio.testing.fleets.timeline import timeline_of
from rediq_trio.testing.fleets.watching import FleetNote
from rediq_trio.testing.real_time.fleet import RealFleet
from rediq_trio.testing.simulated.handle import SimHandle
from rediq_trio.testing.simulation import Simulation
from rediq_trio.testing.world import Host
from rediq_trio.values.task import DEFAULT_QUEUE, Task

R = TypeVar("R")

MEMORY_URL, EMBEDDED_URL = "memory://", "embedded://"
LEASE_SECONDS = {MEMORY_URL: 5.0, EMBEDDED_URL: 0.5}
"""A short lease makes short runs, and no handler can see how long it is."""
PAST_A_LEASE = 12.0
"""Seconds after which a lease is over, and another server has begun its task."""
RESTART_AFTER = 0.1
"""Seconds after which a server that died in a handler starts again."""
IDLE_WITHIN = {MEMORY_URL: 86_400.0, EMBEDDED_URL: 60.0}
"""Seconds after which all must be idle, once nothing breaks any more."""
RUN_SECONDS = 0.02
"""Real seconds for which the servers run at a time."""


def _chosen(choose: Callable[[Any], st.SearchStrategy[Any]]) -> Any:
    """Return a strategy that depends on the machine."""
    return st.runner().flatmap(choose)


SERVER_NAMES = _chosen(lambda machine: st.sampled_from(sorted(machine.sim.server)))
"""The name of a server, `w0` or one of the next."""
SERVED_QUEUES = _chosen(lambda machine: st.sampled_from(machine.queues))
TASK_NUMBERS = _chosen(lambda machine: st.integers(0, len(machine.handles) - 1))
"""The number of a task that was enqueued, from 0."""
OUTAGE_LENGTHS = st.sampled_from([0.01, 1.0, PAST_A_LEASE])
OUTAGES = _chosen(lambda machine: OUTAGE_LENGTHS if machine.simulated else st.just(0.0))
"""How long something lasts. In real time nothing does."""
HANGS = _chosen(lambda machine: st.booleans() if machine.simulated else st.just(False))
only_simulated = precondition(lambda machine: machine.simulated)


class QueueMachine(RuleBasedStateMachine):
    """A state machine with a fleet: rules of ours let time pass and things break.

    Extend it: `make_app` returns the app that is served, with fresh data; rules of your own call
    `self.enqueue(task)`; `at_rest` asserts what must hold when all is repaired and no work is left. Such
    a machine is a test: `TestBank = BankMachine.TestCase`.

    When it fails, Hypothesis makes the steps fewer and simpler, prints them, and the timeline of that
    run. They are not made into a `FaultPlan`, which `simulate` would make smaller still, because a plan
    cannot hold what rules of your own do.
    """

    url: str = MEMORY_URL
    """`memory://`, or `embedded://` for a real Redis in real time. There what takes time is left out:
    `time_passes`, `freezes` and `answer_lost`; in their place, `servers_run` waits for a moment."""
    servers: int = 2
    """How many servers there are."""
    queues: tuple[str, ...] = (DEFAULT_QUEUE,)
    """The queues that they serve."""
    settings: Mapping[str, Any] = MappingProxyType({})
    """Other options of `serve`. A lease that is longer than ours makes longer runs."""

    def __init__(self) -> None:
        super().__init__()
        if self.url not in LEASE_SECONDS:
            raise ConfigError.of("url", self.url, f"{MEMORY_URL} or {EMBEDDED_URL}")
        self.simulated = self.url == MEMORY_URL
        """Whether time is simulated."""
        self.app = self.make_app()
        self.handles: list[SimHandle[Any]] = []
        """The tasks that were enqueued."""
        lease = LEASE_SECONDS[self.url]
        options = {"lease": lease, **self.settings, "queues": self.queues}
        kind = Simulation if self.simulated else RealFleet
        self.sim: Simulation | RealFleet = kind(self.app, servers=self.servers, settings=options)
        self.sim.network.on_death = self._start_soon
        self._away = RESTART_AFTER
        self._notes: list[FleetNote] = []
        """What has broken, for the timeline."""

    def make_app(self) -> App[Any]:
        """Return an app with fresh data."""
        raise ConfigError(f"{type(self).__name__} must define make_app")

    def at_rest(self) -> None:
        """Assert what must hold when nothing is broken any more and no work is left."""

    def enqueue(self, task: Task[R], **where: Any) -> SimHandle[R]:
        """Enqueue a task, as `Simulation.enqueue` does; the rules `cancel` and `retry` may choose it."""
        handle = self.sim.enqueue(task, **where)
        if handle.created:
            self.handles.append(handle)
        return handle

    # Time.

    @only_simulated
    @rule(seconds=OUTAGE_LENGTHS)
    def time_passes(self, seconds: float) -> None:
        """Wait for some simulated seconds."""
        self.sim.advance(seconds)

    @precondition(lambda self: not self.simulated)
    @rule()
    def servers_run(self) -> None:
        """Wait for a moment, in real time."""
        self._let_run(RUN_SECONDS)

    # What breaks.

    @rule(server=SERVER_NAMES, away=OUTAGES)
    def server_dies(self, server: str, away: float) -> None:
        """Kill a server, and start it again `away` seconds later."""
        if self._is_up(server):
            self._away = away
            self.sim.kill(server)
            self._away = RESTART_AFTER

    @rule(server=SERVER_NAMES, step=st.integers(1, 8))
    def dies_in_a_handler(self, server: str, step: int) -> None:
        """Kill a server at a step of a handler that is to come."""
        if self._is_up(server):
            self.sim.at(server, "step", step).kill()

    @only_simulated
    @rule(server=SERVER_NAMES, seconds=OUTAGE_LENGTHS)
    def freezes(self, server: str, seconds: float) -> None:
        """Freeze a server for a while."""
        if self._is_up(server):
            self._note(f"{server} freezes for {seconds:g} s")
            self.sim.freeze(server, seconds)

    @rule(server=SERVER_NAMES, seconds=OUTAGES, hangs=HANGS)
    def connection_breaks(self, server: str, seconds: float, hangs: bool) -> None:
        """Cut the connection of a server for a while."""
        if self._is_up(server):
            self._note(f"the connection of {server} breaks for {seconds:g} s")
            self.sim.cut(server, seconds, hangs=hangs)

    @only_simulated
    @rule(server=SERVER_NAMES, effect=st.sampled_from(["claim", "settle", "renew", "remember"]))
    def answer_lost(self, server: str, effect: str) -> None:
        """Lose the answer to a call of a server that is to come: the call has its effect."""
        if self._is_up(server):
            self.sim.at(server, effect).lose_answer()

    # What people do.

    @rule(server=SERVER_NAMES)
    def deploy(self, server: str) -> None:
        """Stop a server in good order, and start another one in its place."""
        if self._is_up(server):
            self._note(f"{server} is deployed")
            self.sim.deploy(server)

    @precondition(lambda self: bool(self.handles))
    @rule(task=TASK_NUMBERS)
    def cancel(self, task: int) -> None:
        """Cancel a task that was enqueued."""
        self._change(self.handles[task].handle.cancel)

    @precondition(lambda self: bool(self.handles))
    @rule(task=TASK_NUMBERS)
    def retry(self, task: int) -> None:
        """Retry a task that is dead or was cancelled."""
        self._change(self.handles[task].handle.retry)

    @rule(queue=SERVED_QUEUES)
    def pause(self, queue: str) -> None:
        """Pause a queue."""
        self.sim.do(self.sim.client.queue(queue).pause)

    @rule(queue=SERVED_QUEUES)
    def resume(self, queue: str) -> None:
        """Resume a queue."""
        self.sim.do(self.sim.client.queue(queue).resume)

    def _change(self, change: Callable[[], Any]) -> None:
        try:
            self.sim.do(change)
        except (TaskNotFound, TaskStateError):
            pass  # it has ended, or has not: nothing was changed

    def _let_run(self, seconds: float) -> None:
        run = self.sim.advance if isinstance(self.sim, Simulation) else self.sim.wait
        run(seconds)

    def _is_up(self, server: str) -> bool:
        return self.sim.server[server].state == "up"

    def _start_soon(self, host: Host) -> None:
        self._note(f"{host.name} dies")
        (place,) = (one for one in self.sim.server.values() if one.host is host)
        world = self.sim.world

        def start() -> None:
            if place.state == "dead" and not world.over:
                place.start()

        world.clock.at(world.now + self._away, start)

    # The end.

    def teardown(self) -> None:
        """Repair everything, let all work be done, and check `at_rest`."""
        try:
            if self.sim.world.error is None:
                self.repair()
                self.sim.rest(within=IDLE_WITHIN[self.url])
                self.sim.check()
                self.at_rest()
        finally:
            timeline = self.timeline() if sys.exc_info()[0] is not None else ""
            if timeline and currently_in_test_context():
                note(f"What happened:\n{timeline}")
            self.sim.close()
            super().teardown()

    def timeline(self) -> str:
        """Return what happened to tasks and servers so far, a line each; "" in real time."""
        if isinstance(self.sim, RealFleet):
            return ""
        return timeline_of(self.sim.history, self._notes)

    def _note(self, text: str) -> None:
        if isinstance(self.sim, Simulation):
            self._notes.append(FleetNote(self.sim.world.now, len(self.sim.history), f"FAULT {text}"))

    def repair(self) -> None:
        """Resume the queues, wait until all that is broken is well again, and start what is down."""
        for queue in self.queues:
            self.resume(queue)
        # What is down comes back by itself, at the latest then.
        self._let_run(PAST_A_LEASE if self.simulated else RESTART_AFTER)
        for name, place in self.sim.server.items():
            if place.state in ("dead", "stopped"):
                self.sim.start(name)
