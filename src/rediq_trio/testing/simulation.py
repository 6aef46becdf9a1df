"""Simulation: a fleet in simulated time, for tests that are plain functions.

The servers are the real `serve`, the client is the real `Client`, and the store is the specification.
Only time, chance and the connections are simulated. Time passes in `advance`, `rest`, `step`, `do`,
and while a result is waited for; never on its own. Long, because each method says what it promises.
"""

from __future__ import annotations

import datetime as dt
import math
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType, TracebackType
from typing import Any, ParamSpec, Self, TypeVar

import attrs
import outcome
import trio

from rediq_trio._errors import ConfigError, RediqError, did_you_mean
from rediq_trio.client import Client, connect
from rediq_trio.handlers.app import App, TaskType
from rediq_trio.settings import Settings
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import by_place
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.testing.assertions import (
    SHOWN_TASKS_MAX,
    describe_tasks,
    make_wanted,
    matching,
    tasks_in,
)
from rediq_trio.testing.effects import EFFECT_NAMES, Effect, History, QueueChange
from rediq_trio.testing.faults import At, PlannedFaults
from rediq_trio.testing.network import SimNetwork
from rediq_trio.testing.simulated.errors import Deadlock, NotAtRest
from rediq_trio.testing.simulated.handle import SimHandle
from rediq_trio.testing.simulated.servers import SimServer
from rediq_trio.testing.simulated.skipping import Skipping
from rediq_trio.testing.simulated.touched import touched_violations
from rediq_trio.testing.wire import Wire
from rediq_trio.testing.world import EPOCH, World
from rediq_trio.values import bounds
from rediq_trio.values.bounds import queue_of
from rediq_trio.values.task import Task, TaskInfo
from rediq_trio.wire.batch_envelope import type_in

P = ParamSpec("P")
R = TypeVar("R")

SERVERS_MAX = 1000
CLIENT_HOST = "client"
"""The name of the host on which clients run."""
IDLE_LOOK = 60.0
"""Simulated seconds between two looks whether anything will ever happen again."""
IDLE_MAX = 86_400.0
"""Simulated seconds for which a client may wait while nothing else happens."""
MAX_ADVANCE = 10 * bounds.MAX_DELAY
CHATTER = frozenset({"register", "sample", "tally", "note_size", "trim"})
"""Effects that `step` does not count: workers report about themselves all the time."""


class Simulation:
    """A fleet of servers and clients in simulated time.

    `app` is served by `servers` servers, named `w0`, `w1` and so on, with `settings`, the options of
    `serve`. All chance comes from `seed`; with `noise`, messages take random times and tasks run in a
    random order. Use it as a context manager, or call `close`.
    """

    def __init__(
        self,
        app: App,
        *,
        servers: int = 1,
        seed: int = 0,
        noise: bool = False,
        url: str = "memory://",
        settings: Mapping[str, Any] | None = None,
        allow_real: bool = False,
    ) -> None:
        self._closed = True  # if the arguments are refused
        if not isinstance(app, App):
            raise ConfigError.of("app", app, "an App")
        bounds.check_number("servers", servers, 0, SERVERS_MAX, integer=True)
        bounds.check_number("seed", seed, -(2**63), 2**63, integer=True)
        bounds.check_flag("noise", noise)
        bounds.check_flag("allow_real", allow_real)
        if url != "memory://":
            raise ConfigError.of("url", url, "memory://, because time is simulated")
        settings = {} if settings is None else dict(settings)
        options: dict[str, Any] = {"name": "w0", **_known(settings)}
        Settings(**options)
        self.world = World(seed, noise=noise, allow_real=allow_real)
        self.network = SimNetwork(self.world, noise=noise)
        self.network.watchers.append(partial(_check_step, self.world))
        self._faults = PlannedFaults(self.network)
        self._clients: list[Client] = []
        self._closed = False
        self._servers = {
            f"w{n}": SimServer(self.network, f"w{n}", app, settings) for n in range(servers)
        }
        self._skipping = Skipping(self.network, self._servers, self._faults)
        self.world.clock.before_jump = self._skipping.jump
        wire = self.network.connect(CLIENT_HOST)
        self._client_host = wire.host
        try:
            # What runs does not refer to the simulation, so that one that is left open is noticed.
            self.world.start(wire.host, _hold_client, wire, app, self._clients)
            self.world.run(lambda: bool(self._clients) and self._all_started())
        except BaseException:  # whatever kept it from starting: nobody else would close it
            self.close()
            raise

    def _all_started(self) -> bool:
        return all(server.server is not None for server in self._servers.values())

    def __repr__(self) -> str:
        return f"<Simulation of {len(self._servers)} servers>"

    # What there is.

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    @property
    def now(self) -> dt.datetime:
        """The simulated time of day."""
        return dt.datetime.fromtimestamp(EPOCH + self.world.now, dt.UTC)

    @property
    def history(self) -> History:
        """The effects so far."""
        return self.network.history

    @property
    def server(self) -> Mapping[str, SimServer]:
        """The servers by name."""
        return MappingProxyType(self._servers)

    @property
    def client(self) -> Client:
        """The client, whose methods are called by `do`: `sim.do(sim.client.queue("mail").pause)`."""
        return self._clients[0]

    # What clients do.

    def do(self, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call an async function on the client's host; time passes until it returns."""
        self._check_open()
        box: list[outcome.Outcome[R]] = []

        async def call() -> None:
            box.append(await outcome.acapture(function, *args, **kwargs))

        self._skipping.clients += 1
        try:
            self.world.start(self._client_host, call)
            idle_since = self.world.now
            while not self.world.run(lambda: bool(box), until=self.world.now + IDLE_LOOK):
                if not self._skipping.never():
                    idle_since = self.world.now
                elif self.world.now - idle_since > IDLE_MAX:
                    raise Deadlock(
                        f"a client has waited for {IDLE_MAX:g} s, and nothing else will happen "
                        f"again:\n{self.world.draw_tasks()}"
                    )
        finally:
            self._skipping.clients -= 1
        return box[0].unwrap()

    def enqueue(self, task: Task[R], **where: Any) -> SimHandle[R]:
        """Enqueue a task; keywords such as `queue` and `delay` replace those of the task."""
        chosen = attrs.evolve(task, **where) if where else task
        return SimHandle(self.do, self._until_ended, self.do(self.client.enqueue, chosen))

    def _until_ended(self, handle: TaskHandle[Any], timeout: bounds.Duration | None) -> None:
        """Wait until a task has ended; raise `Deadlock` if it never will."""
        partition, _, local_id = handle.id.partition("/")
        queues, clock = self.network.store.queue_states, self.world.clock
        end = math.inf
        if timeout is not None:
            end = clock.time + bounds.to_seconds(timeout)

        def over() -> bool:
            record = queues[partition].records.get(local_id) if partition in queues else None
            return record is None or record.terminal

        try:
            if not over():
                self.world.run(self._when_changed(over), until=end)
        except Deadlock as dead:
            why = self.do(handle.why)
            raise Deadlock(f"task {handle.id} will never end: {why}\n{dead}") from None

    def _when_changed(self, condition: Callable[[], bool]) -> Callable[[], bool]:
        """Return a condition that is looked at only after an effect."""
        history, seen = self.history, -1

        def changed() -> bool:
            nonlocal seen
            if len(history) == seen:
                return False
            seen = len(history)
            return condition()

        return changed

    # Time.

    def advance(self, duration: float | dt.timedelta) -> None:
        """Move time on by `duration` simulated seconds."""
        self._check_open()
        seconds = bounds.to_seconds(duration)
        bounds.check_seconds("duration", seconds, 0, MAX_ADVANCE)
        self.world.run(until=self.world.now + seconds)

    def rest(self, *, within: float | dt.timedelta = 3600, only: object = None) -> None:
        """Wait until no task is ready, running or due for a retry.

        Scheduled, grouped and blocked tasks do not count. `only` is a task type, a task's id or a
        queue; others do not count then. Raises `NotAtRest` after `within` simulated seconds.
        """
        self._check_open()
        seconds = bounds.to_seconds(within)
        bounds.check_seconds("within", seconds, 0, MAX_ADVANCE)
        chosen = only.name if isinstance(only, TaskType) else only
        end = self.world.now + seconds
        while left := self._unfinished(chosen):
            never = self._skipping.never()
            if never or self.world.now >= end:
                unserved = ", ".join(self._skipping.unserved())
                hint = f"; no live server serves {unserved}" if unserved else ""
                when = "nothing will happen any more" if never else f"{seconds:g} s have passed"
                raise NotAtRest(f"{when}, and there is work: {_few(left)}{hint}")
            self.world.run(self._when_changed(lambda: not self._unfinished(chosen)), until=end)

    def _unfinished(self, only: object) -> list[str]:
        found: list[str] = []
        for name, queue in self.network.store.queue_states.items():
            for state in (State.PENDING, State.ACTIVE, State.RETRY):
                for record in queue.records.listed(by_place, (state,)):
                    task_id = f"{name}/{record.id}"
                    if only in (None, queue_of(name), task_id, type_in(record.envelope)):
                        found.append(f"{task_id} is {state}")
            if only in (None, queue_of(name)) and (queue.outbox or queue.endings):
                found.append(f"{name} has messages")
        return found

    def step(self, n: int = 1) -> list[Effect]:
        """Wait until `n` more effects have happened, and return them."""
        self._check_open()
        bounds.check_number("n", n, 1, 1_000_000, integer=True)
        begin = len(self.history)

        def found() -> list[Effect]:
            return [each for each in self.history.since(begin) if each.name not in CHATTER]

        self.world.run(lambda: len(found()) >= n)
        return found()[:n]

    # What a test asserts.

    def assert_enqueued(
        self,
        type: TaskType[Any, Any, Any] | str | None = None,
        /,
        *,
        count: int | None = None,
        queue: str | None = None,
        state: State | str | None = None,
        run_at: dt.datetime | None = None,
        within: float | dt.timedelta | None = None,
        **payload: Any,
    ) -> TaskInfo:
        """Check that a task is enqueued, or `count` tasks; return the oldest one.

        `payload` are fields of its payload; others may have any value. Without `state`, only tasks
        count that have not ended. `run_at` is when it is due, to a second; `within`, how long from now
        at most. Raises `AssertionError`, which lists what there is, and `ConfigError` for a field that
        no such task has.
        """
        tasks = tasks_in(self.network.store.queue_states)
        where = {"queue": queue, "state": state, "run_at": run_at, "within": within, "count": count}
        wanted = make_wanted(type, payload, tasks, **where)
        found = matching(wanted, tasks, self.now)
        if len(found) != count if count is not None else not found:
            number = "no task" if not found else f"{len(found)} tasks"
            asked = "" if count is None else f", {count} wanted"
            raise AssertionError(
                f"{number} enqueued like {wanted}{asked}; {describe_tasks(wanted, tasks, self.now)}"
            )
        return found[0]

    def assert_not_enqueued(
        self,
        type: TaskType[Any, Any, Any] | str | None = None,
        /,
        *,
        queue: str | None = None,
        state: State | str | None = None,
        run_at: dt.datetime | None = None,
        within: float | dt.timedelta | None = None,
        **payload: Any,
    ) -> None:
        """Check that no such task is enqueued; see `assert_enqueued`."""
        tasks = tasks_in(self.network.store.queue_states)
        where = {"queue": queue, "state": state, "run_at": run_at, "within": within, "count": None}
        wanted = make_wanted(type, payload, tasks, **where)
        if found := matching(wanted, tasks, self.now):
            raise AssertionError(
                f"{len(found)} enqueued like {wanted}; {describe_tasks(wanted, tasks, self.now)}"
            )

    def check(self) -> None:
        """Check the invariants of all queues; raise `AssertionError` for one that is broken.

        Each step is checked when it is made too, as far as this is cheap: whichever method runs the
        simulation then raises what `check` would, and so does every later one.
        """
        for name in self.network.store.queue_states:
            found = self.do(self.client.queue(name).check)
            if found:
                raise AssertionError(f"queue {name}: {found[0]}")

    # Faults.

    def kill(self, server: str) -> None:
        """Kill a server: nothing more of it runs, no `finally` either. `start` starts another one."""
        self.network.kill(self._place(server).host)

    def start(self, server: str) -> None:
        """Start a server again that was killed or has stopped."""
        place = self._place(server)
        if place.state not in ("dead", "stopped"):
            raise ConfigError.of("server", server, f"dead or stopped; it is {place.state}")
        place.start()

    def freeze(self, server: str, seconds: float) -> None:
        """Freeze a server for some seconds: nothing of it runs, and its deadlines pass."""
        bounds.check_seconds("seconds", seconds, 0, MAX_ADVANCE, above=True)
        self.network.freeze(self._place(server).host, seconds)

    def cut(self, server: str, seconds: float, *, hangs: bool = False) -> None:
        """Cut the connection of a server, or of `client`; calls fail, or hang for 10 s."""
        bounds.check_seconds("seconds", seconds, 0, MAX_ADVANCE)
        bounds.check_flag("hangs", hangs)
        host = CLIENT_HOST if server == CLIENT_HOST else self._place(server).host.name
        with self.world.entered():
            self.network.wires[host].cut(seconds, hangs=hangs)

    def deploy(self, server: str, app: App | None = None, **settings: Any) -> None:
        """Stop a server in good order, and start another one in its place when it has stopped."""
        place = self._place(server)
        if app is not None:
            place.app = app
        place.settings.update(settings)
        with self.world.entered():
            place.begin_stop()
        place.restart_when_ended()

    def failover(self, lost: float = 0.5) -> None:
        """Make the store forget its last `lost` seconds, and break all connections for half a second."""
        bounds.check_seconds("lost", lost, 0, 60)
        with self.world.entered():
            self.network.fail_over(lost)

    def at(self, server: str, effect: str, nth: int = 1) -> At:
        """Choose the `nth` effect of a server from now on, to say what befalls it.

        `effect` is an operation of the store, such as `claim`; how an attempt ends, such as
        `complete`; or `step`, a step of a handler. An operation counts only if it changed something.
        """
        if effect not in EFFECT_NAMES:
            hint = did_you_mean(effect, EFFECT_NAMES)
            raise ConfigError.of(
                "effect", effect, f"one of {', '.join(sorted(EFFECT_NAMES))}{hint}"
            )
        bounds.check_number("nth", nth, 1, 1_000_000, integer=True)
        host = CLIENT_HOST if server == CLIENT_HOST else self._place(server).host.name
        return At(self._faults, host, effect, nth)

    def _place(self, server: str) -> SimServer:
        if server not in self._servers:
            known = ", ".join(self._servers) or "no server"
            raise ConfigError.of("server", server, f"one of the simulation: {known}")
        return self._servers[server]

    # The end.

    def _check_open(self) -> None:
        if self._closed:
            raise RediqError("the simulation is closed")

    def close(self) -> None:
        """End the simulation; what still runs is cancelled."""
        if not self._closed:
            self._closed = True
            with self.world.entered():
                self.network.end()
            self.world.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._closed:
            warnings.warn(f"{self!r} was left open", ResourceWarning, source=self, stacklevel=2)


def _few(lines: Sequence[str]) -> str:
    more = f" and {len(lines) - SHOWN_TASKS_MAX} more" if len(lines) > SHOWN_TASKS_MAX else ""
    return "; ".join(lines[:SHOWN_TASKS_MAX]) + more


def _check_step(world: World, effect: Effect, change: QueueChange | None) -> None:
    if change is None:
        return
    for found in touched_violations(change.before, change.after):
        world.fail(AssertionError(f"queue {effect.queue}: {found}, since this step: {effect}"))


async def _hold_client(wire: Wire, app: App, clients: list[Client]) -> None:
    async with connect(wire, app=app) as client:
        clients.append(client)
        await trio.sleep_forever()


def _known(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    known = [field.name for field in attrs.fields(Settings)]
    for name in settings:
        if name not in known:
            hint = did_you_mean(name, known) or f"; there are {', '.join(known)}"
            raise ConfigError(f"settings: unknown setting {name!r}{hint}")
    return settings
