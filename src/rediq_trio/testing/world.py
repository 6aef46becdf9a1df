"""What makes a whole fleet a function of its seed: hosts, time, chance and the order of steps.

A `World` is one run of Trio, which plain code runs step by step. Time stands still while anything can run, and
then jumps to whatever comes next. Each host has a stream of chance of its own, so that what befalls
one of them does not change the draws of another.

Long, because time, hosts and the end of a run are one machine.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, Literal

import outcome
import trio

from rediq_trio.testing.real_time.clock import RealClock
from rediq_trio.testing.simulated.clock import SimClock, never
from rediq_trio.testing.simulated.errors import Deadlock, RealWorld, Stuck
from rediq_trio.testing.simulated.interrupts import InterruptWatch
from rediq_trio.testing.simulated.stuck_guard import STUCK_AFTER, Interrupted, StuckGuard
from rediq_trio.testing.simulated.task_tree import draw_tasks
from rediq_trio.testing.simulated.trio_run import (
    FirstInFirstOut,
    RunQueue,
    Scheduler,
    TrioRun,
    TrioTask,
    leaves,
    spawn,
    waits_for_the_real_world,
)
from rediq_trio.values import chance
from rediq_trio.values.chance import CHANCE

HOST: ContextVar[Host | None] = ContextVar("rediq_trio.testing.host", default=None)
"""The host that a task runs on."""
EPOCH = 1_700_000_000.0
"""The seconds since 1970 at which each simulation begins."""
REAL_LOOK = 0.0005
"""Real seconds between two looks whether a thread or the operating system has answered."""
IDLE_LOOKS_MAX = 100
"""How often the end of a simulation looks for something to do before it gives up."""
FORCED_MAX = 10
"""How often tasks that do not end are forced to."""
CLOSE_MAX = 100_000.0
"""Simulated seconds that the end of a simulation takes, at most."""


class Host:
    """One process of the simulated fleet: what runs on it, and its stream of chance."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.state: Literal["up", "frozen", "dead"] = "up"
        self.random = random.Random(f"{world.seed}/{name}")
        self.held: list[TrioTask] = []
        """Tasks that would run if the host were up."""

    def __repr__(self) -> str:
        return f"<Host {self.name}, {self.state}>"

    # What `values.chance` asks for.

    def uniform(self, low: float, high: float) -> float:
        """Draw a number."""
        return self.random.uniform(low, high)

    def randrange(self, stop: int) -> int:
        """Draw a whole number."""
        return self.random.randrange(stop)

    def entropy(self, size: int) -> bytes:
        """Draw bytes."""
        return self.random.randbytes(size)

    def wall(self) -> float:
        """Return the time of day of the world, in seconds since 1970."""
        return self.world.epoch + self.world.now

    def threads(self) -> bool:
        """Return that handlers run in the event loop."""
        return False


class World:
    """A run of Trio that plain code runs step by step, with its hosts. `close` ends it.

    With `real_time` its time is the real one, and its hosts may use sockets.
    """

    def __init__(
        self,
        seed: object = 0,
        *,
        noise: bool = False,
        scheduler: Scheduler | None = None,
        allow_real: bool = False,
        real_time: bool = False,
    ) -> None:
        self.seed = seed
        self.random = random.Random(f"{seed}/world")
        self.clock = RealClock() if real_time else SimClock()
        self.epoch = chance.wall() if real_time else EPOCH
        """The seconds since 1970 at the beginning."""
        self.hosts: dict[str, Host] = {}
        self.over = False
        """Whether the simulation is being closed: nothing counts any more."""
        self.error: BaseException | None = None
        self.before_step: Callable[[Host, TrioTask], bool] | None = None
        """Called when a task of a host becomes ready; returns whether it is withheld."""
        self._allow_real = allow_real or real_time
        self._real: set[TrioTask] = set()
        """Tasks that wait for a thread or the operating system."""
        if scheduler is None:
            scheduler = random.Random(f"{seed}/scheduler") if noise else FirstInFirstOut()
        self._scheduler = scheduler
        self._nursery: trio.Nursery | None = None
        self._interrupts = InterruptWatch(self.fail)
        self._run = TrioRun(self._main, self.clock, self._make_queue)
        self.clock.after_steps = self._run.queue.end_step
        self._guard = StuckGuard(lambda: self.clock.jumps, self._report_stuck)
        if allow_real:
            self.clock.holds = self._waits_really
        self._run.go_on(lambda: self._nursery is not None)

    @property
    def now(self) -> float:
        """The seconds since the beginning."""
        return self.clock.current_time()

    def now_ms(self) -> int:
        """Return the milliseconds since 1970."""
        return round((self.epoch + self.now) * 1000)

    def _make_queue(self) -> RunQueue:
        return RunQueue(self._scheduler, self._withholds, self._real.discard, self._after_step)

    async def _main(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await trio.sleep_forever()

    # Hosts.

    def add_host(self, name: str) -> Host:
        """Add a host, whose name no other has had."""
        assert name not in self.hosts, name
        host = self.hosts[name] = Host(self, name)
        return host

    def start(
        self, host: Host | None, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any
    ) -> None:
        """Start a task on a host, or on none; what it raises ends the simulation."""
        assert self._nursery is not None

        def variables() -> None:
            HOST.set(host)
            CHANCE.set(host)

        with self._run.entered():
            spawn(self._nursery, variables, self._guarded, function, args)

    async def _guarded(
        self, function: Callable[..., Coroutine[Any, Any, Any]], args: tuple[Any, ...]
    ) -> None:
        try:
            await function(*args)
        except Exception as error:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """End the simulation: `run` raises the error after this step."""
        if self.error is None and not self.over:
            self.error = error

    def kill(self, host: Host) -> None:
        """Run nothing more of a host: no handler goes on, and no `finally` is run."""
        host.state = "dead"
        self._withdraw(host)

    def freeze(self, host: Host) -> None:
        """Run nothing of a host until it is thawed; its deadlines pass meanwhile."""
        if host.state == "up":
            host.state = "frozen"
            self._withdraw(host)

    def thaw(self, host: Host) -> None:
        """Go on with a frozen host."""
        if host.state == "frozen":
            self._revive(host)

    def run_one_step(self, task: TrioTask) -> None:
        """Run the next step of a task of a frozen host, if it is ready; the host stays frozen.

        A process that goes on runs its tasks in any order: this makes one of them the first.
        """
        host = task.context.get(HOST)
        if host is not None and host.state == "frozen" and task in host.held:
            host.held.remove(task)
            self._run.queue.append_anyway(task)

    def _withdraw(self, host: Host) -> None:
        host.held += self._run.queue.withdraw(lambda task: task.context.get(HOST) is host)

    def _revive(self, host: Host) -> None:
        host.state = "up"
        held, host.held = host.held, []
        for task in held:
            self._run.queue.append(task)

    def _withholds(self, task: TrioTask) -> bool:
        host = task.context.get(HOST)
        if host is None:
            return False
        if host.state == "up" and self.before_step is not None and self.before_step(host, task):
            host.held.append(task)
            return True
        if host.state == "up":
            return False
        host.held.append(task)
        return True

    def _after_step(self, task: TrioTask) -> None:
        self.clock.stepped = True
        if task.context.get(HOST) is None or not waits_for_the_real_world(task):
            return
        self._real.add(task)
        if not self._allow_real:
            self.fail(RealWorld(
                "a simulation has no threads, sockets and processes, because their time is real; "
                f"replace them in this test, or pass allow_real=True:\n{draw_tasks(task)}"
            ))  # fmt: skip

    def entered(self) -> AbstractContextManager[None]:
        """Make this the current run of Trio while the block lasts."""
        return self._run.entered()

    def _waits_really(self) -> bool:
        if self._real:
            time.sleep(REAL_LOOK)
        return bool(self._real)

    def _report_stuck(self, stack: str) -> None:
        self._interrupts.is_stuck = True
        self.fail(Stuck(
            f"for {STUCK_AFTER:g} s, real ones, a step of the simulation has not ended; it is at\n"
            f"{stack}\nThe tasks are:\n{self.draw_tasks()}"
        ))  # fmt: skip

    # Time.

    def run(self, over: Callable[[], bool] = never, *, until: float = math.inf) -> bool:
        """Go on until the condition holds or the instant `until` has come; return whether it holds.

        Raises what has failed, and `Deadlock` if nothing will ever happen again.
        """
        clock = self.clock
        clock.limit, clock.stopped, clock.nothing_left = until, False, False
        clock.over = lambda: self.error is not None or over()
        self._guard.enter()
        try:
            with self._interrupts.watching():
                self._run.go_on(lambda: clock.stopped or clock.over())
        except BaseException as error:
            if self.error is None:
                raise
            raise self.error from error  # what the guard has interrupted
        finally:
            self._guard.leave()
            clock.limit, clock.over = math.inf, never
        if self.error is not None:
            raise self.error
        if self._run.ended is not None:
            self._run.ended.unwrap()
        if clock.nothing_left and not over():
            raise Deadlock(
                f"nothing will ever happen again, after {self.now:g} s:\n{self.draw_tasks()}"
            )
        return over()

    def draw_tasks(self) -> str:
        """Return the tree of tasks as text, each with the line at which it waits."""
        return draw_tasks(self._run.root)

    # The end.

    def close(self) -> None:
        """End the run: what is left of all hosts, the dead ones too, is cancelled.

        Raises `Stuck` if something of it does not end.
        """
        if self.over:
            return
        self.over = True
        self.before_step = None
        try:
            self._end_all()
        finally:
            self._guard.close()
        self._interrupts.close(self.error)

    def _end_all(self) -> None:
        clock = self.clock
        clock.before_jump, clock.over, clock.stopped = None, never, False
        clock.holds = self._waits_really
        if self._run.ended is None and self._nursery is not None:
            with self._run.entered():
                self._nursery.cancel_scope.cancel()
            for host in self.hosts.values():
                self._revive(host)
        clock.limit = clock.time + CLOSE_MAX
        self._run_to_end()
        if self._run.ended is None:
            tree = self.draw_tasks()
            for _ in range(FORCED_MAX):
                if self._run.ended is None:
                    self._force()
            if self.error is None:
                raise Stuck(f"these tasks did not end when they were cancelled:\n{tree}")

    def _run_to_end(self) -> None:
        clock, idle_looks = self.clock, 0
        give_up_at = time.monotonic() + STUCK_AFTER

        def over() -> bool:
            # Trio's own end takes some looks at its wake-up socket.
            nonlocal idle_looks
            idle_looks = idle_looks + 1 if clock.stopped else 0
            clock.stopped = False
            return idle_looks > IDLE_LOOKS_MAX or time.monotonic() > give_up_at

        self._guard.enter()
        try:
            with self._interrupts.watching():
                self._run.go_on(over)
        except BaseException:
            # If there is one, `run` has raised it, and this is what the guard has interrupted.
            if self.error is None:
                raise
        finally:
            self._guard.leave()

    def _force(self) -> None:
        """End tasks that shield themselves, by an exception where they wait."""
        with self._run.entered():
            for task in leaves(self._run.root):
                if task.context.get(HOST) is not None:
                    trio.lowlevel.reschedule(task, outcome.Error(Interrupted()))
        self._run_to_end()
