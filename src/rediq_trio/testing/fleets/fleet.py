"""A fleet: runs a plan. First a storm, in which faults happen; then all is healed, and it has to rest.

Long, because a run from its storm to its rest is one story.
"""

from __future__ import annotations

import contextvars
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

import attrs
import trio

from rediq_trio._errors import WorkerCrashed
from rediq_trio.handlers.app import App
from rediq_trio.settings import Settings
from rediq_trio.testing.effects import Effect, History
from rediq_trio.testing.fleets import oracles
from rediq_trio.testing.fleets.clients import FleetClients
from rediq_trio.testing.fleets.facts import GracefulStop
from rediq_trio.testing.fleets.plan import (
    CALL_KINDS,
    STEP_EFFECT,
    Fault,
    FaultKind,
    FaultPlan,
    StepOrder,
)
from rediq_trio.testing.fleets.rest import all_ended, longest_due, longest_timeout, unrested
from rediq_trio.testing.fleets.seen import SEEN, SeenConditions
from rediq_trio.testing.fleets.watching import FleetNote, FleetViolation, FleetWatch, active
from rediq_trio.testing.network import SimNetwork
from rediq_trio.testing.simulated.priorities import RandomPriorities
from rediq_trio.testing.simulated.servers import SimServer
from rediq_trio.testing.simulated.trio_run import Scheduler
from rediq_trio.testing.simulated.without_log import without_log
from rediq_trio.testing.wire import HANG, Spoil, SpoilKind
from rediq_trio.testing.world import Host, World

DEFAULTS: Mapping[str, Any] = {
    "concurrency": 4, "prefetch": 1, "shutdown_grace": 10.0, "cleanup_grace": 2.0,
}  # fmt: skip
"""Settings of servers where a scenario leaves them open: small, so that bounds are met."""
FAILOVER_OUTAGE = 0.5
"""Seconds for which a failover breaks all connections."""
LOOK_EVERY = 1.0
"""Seconds between two looks whether all is at rest."""
_SPOILS: Mapping[FaultKind, SpoilKind] = {
    FaultKind.LOSE_BEFORE: "lose_call",
    FaultKind.LOSE_AFTER: "lose_answer",
    FaultKind.LATE: "late",
    FaultKind.SLOW: "delay",
}
_PROMISE_OF_REST = "after the faults the fleet comes to rest"
_PROMISE_OF_WORKERS = "no actor of a worker crashes"

FleetCheck = Callable[["SimulatedFleet"], object]
"""What a test checks: at each effect, or at rest. What it raises is the failure."""


@attrs.frozen(kw_only=True)
class FleetResult:
    """What became of a plan."""

    plan: FaultPlan
    violation: FleetViolation | None
    history: History
    digest: str
    """Equal for two runs that were the same."""
    notes: Sequence[FleetNote]
    """What happened beside the effects, in order."""
    seconds: float
    """Simulated seconds that it took."""
    never_came: tuple[Fault, ...]
    """Faults whose effect or time never came."""
    happened: Mapping[str, int]
    """How many faults of each kind took effect."""
    applied: Mapping[str, int]
    """How often each oracle applied."""
    seen: Mapping[str, int]
    """How often the condition of each `sometimes` held, by its name."""


class SimulatedFleet:
    """One run of a plan. Made by `run_plan`, and passed to the checks of a test."""

    def __init__(
        self, app: App, plan: FaultPlan, settings: Mapping[str, Any],
        invariants: Sequence[FleetCheck] = (), at_rest: Sequence[FleetCheck] = (),
    ) -> None:  # fmt: skip
        self.plan = plan
        """What is run."""
        self.app = app
        options: dict[str, Any] = {"queues": _queues(plan), **DEFAULTS, **settings}
        named: dict[str, Any] = {"name": "w0", **options}
        self.settings = Settings(**named)
        """The settings of the servers."""
        self.world = World(plan.seed, noise=plan.noise, scheduler=_scheduler(plan))
        self.network = SimNetwork(self.world, noise=plan.noise)
        self.watch = FleetWatch(self.world, self.network, self.settings)
        self.facts = self.watch.facts
        self._options = options
        self._invariants, self._at_rest = invariants, at_rest
        self._healed = False
        self._aimed: dict[tuple[str, str, int], list[Fault]] = defaultdict(list)
        self._happened: list[Fault] = []
        self._clients = FleetClients(app, self.network, self.watch)
        self._changed_at = 0.0
        """When a task last changed its state."""
        self._took = 0.0
        """The simulated seconds until the run was at rest, or failed."""
        self.places: dict[str, SimServer] = {}
        """The servers by name, `"w0"` and so on."""

    # The run.

    def run(self) -> FleetResult:
        """Run the plan."""
        seen = SeenConditions()
        contextvars.copy_context().run(self._run, seen)
        history = self.network.history
        return FleetResult(
            plan=self.plan, violation=self.watch.violation, history=history, digest=history.digest,
            notes=tuple(self.watch.notes), seconds=self._took,
            never_came=tuple(f for f in self.plan.faults if f not in self._happened),
            happened=Counter(fault.kind.value for fault in self._happened),
            applied=self.watch.applied, seen=seen.counts,
        )  # fmt: skip

    def _run(self, seen: SeenConditions) -> None:
        SEEN.set(seen)
        try:
            self._start()
            self._run_until(self.plan.seconds)
            self._heal()
            self._come_to_rest()
            self._check_the_end()
        except WorkerCrashed as error:
            self.watch.fail(_PROMISE_OF_WORKERS, f"{error}: {error.__cause__!r}")
        finally:
            # What is left is given years to end, which are no part of the run.
            self._took = self.world.now
            with self.world.entered():
                self.network.end()
            self.world.close()

    def _broken(self) -> bool:
        return self.watch.violation is not None

    def _run_until(self, instant: float) -> None:
        if not self._broken():
            self.world.run(self._broken, until=instant)

    def _start(self) -> None:
        self.network.rule = self._rule
        self.network.on_death = self._on_death
        self.network.watchers.append(self._saw)
        if any(fault.effect == STEP_EFFECT for fault in self.plan.faults):
            self.network.count_steps()
        watched = self.watch.watched(self.app)
        for n in range(self.plan.servers):
            self.places[f"w{n}"] = SimServer(self.network, f"w{n}", watched, self._options)
            self._note_host(f"w{n}")
        self._clients.start(self.plan)
        for fault in self.plan.faults:
            if fault.effect is None:
                assert fault.at is not None
                self.world.clock.at(fault.at, partial(self._befall, fault))
            else:
                self._aimed[fault.host, fault.effect, fault.nth].append(fault)

    def _note_host(self, place: str) -> None:
        host = self.places[place].host.name
        self.facts.born[host] = self.world.now
        self.facts.servers[host] = None
        self.watch.places[host] = self.places[place]

    # Faults.

    def _rule(self, effect: Effect) -> Spoil | None:
        if self._healed or not self._aimed:
            return None
        spoil = None
        for name, number in effect.numbers.items():
            for fault in self._aimed.pop((effect.host, name, number), ()):
                spoil = self._befall(fault, effect) or spoil
        return spoil

    def _befall(self, fault: Fault, effect: Effect | None = None) -> Spoil | None:
        """Cause a fault; return what becomes of the effect that it is aimed at."""
        if self._healed or self._broken():
            return None
        now, kind = self.world.now, fault.kind
        place = self.places.get(fault.host)
        wire = self.network.wires.get(fault.host if place is None else place.host.name)
        if wire is None or wire.host.state == "dead":
            return None
        self._happened.append(fault)
        self.watch.note(f"FAULT {fault}")
        outages = self.facts.outages[wire.host.name]
        if kind in CALL_KINDS:
            # Until its caller has the answer, or has repeated the call.
            outages.add(now, now + fault.seconds + oracles.CALL_MAX)
            return Spoil(_SPOILS[kind], fault.seconds)
        if kind is FaultKind.FAILOVER:
            self._soon(lambda: self._fail_over(fault.seconds))
        elif kind is FaultKind.CUT:
            hang = HANG if fault.hangs else 0.0
            outages.add(now, now + fault.seconds + hang + oracles.CALL_MAX)
            self._soon(lambda: wire.cut(fault.seconds, hangs=fault.hangs))
        elif kind is FaultKind.FREEZE:
            until = now + fault.seconds
            outages.add(now, until + oracles.CALL_MAX)
            self.facts.stood_still[wire.host.name].add(now, until + oracles.CALL_MAX)
            if effect is not None and effect.name == STEP_EFFECT:
                return Spoil("freeze", fault.seconds)
            self._soon(lambda: self.network.freeze(wire.host, fault.seconds))
        elif place is not None and kind is FaultKind.KILL:
            self.world.clock.at(now + fault.seconds, lambda: self._start_again(place))
            if effect is not None:
                return Spoil("kill")
            self._soon(lambda: self.network.kill(wire.host))
        elif place is not None:
            self._soon(lambda: self._deploy(place, wire.host))
        return None

    def _soon(self, call: Callable[[], object]) -> None:
        self.world.clock.at(self.world.now, call)

    def _fail_over(self, lost: float) -> None:
        self.facts.failovers.append(self.world.now)
        for host in self.facts.born:
            self.facts.outages[host].add(
                self.world.now, self.world.now + FAILOVER_OUTAGE + oracles.CALL_MAX
            )
        self.network.fail_over(lost)

    def _on_death(self, host: Host) -> None:
        self.facts.outages[host.name].add(self.world.now, math.inf)
        self.watch.host_is_gone(host.name)

    def _start_again(self, place: SimServer) -> None:
        if place.state == "dead":
            place.start()
            self._note_host(place.name)

    def _deploy(self, place: SimServer, host: Host) -> None:
        if place.host is not host or host.name in self.facts.stopping or host.state == "dead":
            return
        self.facts.stopping[host.name] = begun = self.world.now
        ended = place.ended
        place.begin_stop()
        self.world.start(None, self._after_stop, place, host, ended, begun)

    async def _after_stop(
        self, place: SimServer, host: Host, ended: trio.Event, begun: float
    ) -> None:
        await ended.wait()
        if self.world.over:
            return
        left = [
            f"{name}/{record.id}"
            for name, queue in self.network.store.queue_states.items()
            for record in active(queue)
            if record.worker == host.name
        ]
        stop = GracefulStop(host.name, begun, self.world.now, tuple(left))
        self.watch.ask(oracles.nothing_is_left_behind, stop)
        self.watch.ask(oracles.a_stop_takes_no_longer_than_its_graces, stop)
        self.watch.host_is_gone(host.name)
        self.facts.outages[host.name].add(self.world.now, math.inf)
        if place.host is host:
            place.start()
            self._note_host(place.name)

    # Rest.

    def _heal(self) -> None:
        if self._broken():
            return
        self._healed = True
        self.watch.note("HEALED")
        self.watch.check_invariants()
        with self.world.entered():
            for place in self.places.values():
                if place.state == "frozen":
                    self.network.thaw(place.host)
                elif place.state == "dead":
                    self._start_again(place)
            for wire in self.network.wires.values():
                if wire.host.state == "frozen":
                    self.network.thaw(wire.host)
                if wire.host.state != "dead" and not wire.connected:
                    wire.reconnect()

    def _saw(self, effect: Effect, change: object) -> None:
        if effect.name in ("enqueue", "claim", "settle", "reclaim", "promote", "cancel", "unblock"):
            self._changed_at = self.world.now
        for check in self._invariants:
            self._check(check)

    def _check(self, check: FleetCheck) -> None:
        if self._broken():
            return
        try:
            check(self)
        except Exception as error:
            self.watch.fail(getattr(check, "__name__", repr(check)), f"{type(error).__name__}: {error}")

    def _come_to_rest(self) -> None:
        self._changed_at = self.world.now
        store, longest = self.network.store, longest_timeout(self.plan)
        # A work may begin after the storm.
        self._run_until(max([self.world.now, *(work.at for work in self.plan.works)]))
        while not self._broken() and (left := unrested(store, self.world.now_ms())):
            waited = self.world.now - self._changed_at
            due = longest_due(store, self.world.now_ms())
            if waited > self.settings.lease + 5.0 + longest + due:
                text = f"nothing has changed for {waited:.0f} s, and {'; '.join(left[:5])}"
                self.watch.fail(_PROMISE_OF_REST, text)
                return
            self._run_until(self.world.now + LOOK_EVERY)
        # Whoever waits has heard of the end by now, and a store that was asked answers. A slow answer
        # of the storm may still be under way.
        last = max((outages.last_end() for outages in self.facts.outages.values()), default=0.0)
        self._run_until(max(self.world.now, last) + oracles.ANSWERED_WITHIN + 5.0)
        waiting = self._clients.waiting()
        if waiting and not self._broken() and not self.facts.failovers and all_ended(store):
            self.watch.fail(_PROMISE_OF_REST, f"nobody has answered to {'; '.join(waiting[:5])}")

    def _check_the_end(self) -> None:
        if self._broken():
            return
        self.watch.check_invariants()
        for check in self._at_rest:
            self._check(check)


def _scheduler(plan: FaultPlan) -> Scheduler | None:
    if not plan.noise or plan.order is StepOrder.UNIFORM:
        return None
    return RandomPriorities(Random(f"{plan.seed}/scheduler"))


def _queues(plan: FaultPlan) -> list[str]:
    return sorted({work.task().queue for work in plan.works} | {"default"})


def run_plan(
    app: App,
    plan: FaultPlan,
    settings: Mapping[str, Any],
    *,
    invariants: Sequence[FleetCheck] = (),
    at_rest: Sequence[FleetCheck] = (),
) -> FleetResult:
    """Run a plan, and return what became of it. The log of the library is off meanwhile."""
    with without_log():
        return SimulatedFleet(app, plan, settings, invariants, at_rest).run()
