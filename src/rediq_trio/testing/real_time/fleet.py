"""RealFleet: the twin of a `Simulation`, with a real Redis, in real time.

The servers and the client are the real ones; they are hosts of this process, which runs one step of one of
their tasks at a time. So what a handler writes into an object is seen by the test, and a kill is exact:
no task of a killed server takes another step, no `finally` is run, and its connections break.
"""

from __future__ import annotations

import datetime as dt
import math
import warnings
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Never, ParamSpec, Self, TypeVar

import attrs
import outcome
import trio

from rediq_trio._errors import ConfigError, RediqError
from rediq_trio.client import Client, connect
from rediq_trio.handlers.app import App
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.testing.faults import At
from rediq_trio.testing.real_time.network import (
    RealNetwork,
    RealPlannedFaults,
    needs_simulated_time,
)
from rediq_trio.testing.real_time.redis_process import RedisProcess
from rediq_trio.testing.simulated.errors import Deadlock, NotAtRest
from rediq_trio.testing.simulated.handle import SimHandle
from rediq_trio.testing.simulated.servers import SimServer
from rediq_trio.testing.simulated.without_log import without_log
from rediq_trio.testing.world import World
from rediq_trio.values import bounds
from rediq_trio.values.task import Task

P = ParamSpec("P")
R = TypeVar("R")

CLIENT_NAME = "client"
"""The name of the host on which the client runs."""
CALL_WITHIN = 60.0
"""Real seconds within which a call of the client ends."""
REAL_REST_WITHIN = 60.0
"""Real seconds within which a fleet is at rest, by default."""
REST_LOOK = 0.01
"""Real seconds between two looks whether it is."""


class RealFleet:
    """Servers on a Redis of their own, for tests that are plain functions.

    `app` is served by `servers` servers, named `w0`, `w1` and so on, with `settings`, the options of
    `serve`. They run only while a method waits for something; between two calls they stand still, and
    real time passes. Use it as a context manager, or call `close`.
    """

    def __init__(
        self, app: App, *, servers: int = 1, settings: Mapping[str, Any] | None = None
    ) -> None:
        self._closed = True  # until there is something to close
        self._redis = RedisProcess()
        self.world = World(real_time=True)
        self._closed = False
        self.network = RealNetwork(self.world, self._redis)
        self._faults = RealPlannedFaults(self.network)
        self._clients: list[Client] = []
        try:
            self._client_host, url = self.network.open_host(CLIENT_NAME)
            self._servers = {
                f"w{n}": SimServer(self.network, f"w{n}", app, settings or {})
                for n in range(servers)
            }
            self.world.start(self._client_host, _hold_real_client, url, app, self._clients)
            self._wait_until(self._all_started, "the servers to start")
        except BaseException:  # whatever kept it from starting: nobody else would close it
            self.close()
            raise

    def _all_started(self) -> bool:
        up = (each.server is not None for each in self._servers.values() if each.state == "up")
        return bool(self._clients) and all(up)

    def __repr__(self) -> str:
        return f"<RealFleet of {len(self._servers)} servers>"

    @property
    def server(self) -> Mapping[str, SimServer]:
        """The servers by name."""
        return MappingProxyType(self._servers)

    @property
    def client(self) -> Client:
        """The client, whose methods are called by `do`."""
        return self._clients[0]

    # What clients do.

    def do(self, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call an async function on the client's host, and let the fleet run until it returns."""
        if self._closed:
            raise RediqError("the fleet is closed")
        box: list[outcome.Outcome[R]] = []

        async def call() -> None:
            box.append(await outcome.acapture(function, *args, **kwargs))

        self.world.start(self._client_host, call)
        self._wait_until(lambda: bool(box), getattr(function, "__qualname__", repr(function)))
        return box[0].unwrap()

    def _wait_until(self, over: Callable[[], bool], what: str) -> None:
        if not self.world.run(over, until=self.world.now + CALL_WITHIN):
            raise Deadlock(
                f"waited for {what} for {CALL_WITHIN:g} s, real ones:\n{self.world.draw_tasks()}"
            )

    def enqueue(self, task: Task[R], **where: Any) -> SimHandle[R]:
        """Enqueue a task; keywords such as `queue` and `delay` replace those of the task."""
        chosen = attrs.evolve(task, **where) if where else task
        return SimHandle(self.do, self._until_ended, self.do(self.client.enqueue, chosen))

    def _until_ended(self, handle: TaskHandle[Any], timeout: bounds.Duration | None) -> None:
        async def wait() -> None:
            with trio.move_on_after(math.inf if timeout is None else bounds.to_seconds(timeout)):
                await handle.wait()

        self.do(wait)

    # Time.

    def advance(self, duration: float | dt.timedelta) -> Never:
        """Refuse: real time passes on its own."""
        raise needs_simulated_time("advance")

    def wait(self, seconds: float) -> None:
        """Wait for some real seconds, while the fleet runs."""
        self.do(trio.sleep, seconds)

    def rest(self, *, within: float | dt.timedelta = REAL_REST_WITHIN) -> None:
        """Wait in real time until no task is ready, running or due for a retry.

        Raises `NotAtRest` after `within` real seconds.
        """
        end = self.world.now + bounds.to_seconds(within)
        while left := self.do(self._unfinished):
            if self.world.now >= end:
                raise NotAtRest(
                    f"{bounds.to_seconds(within):g} s have passed, real ones, and there is work: "
                    f"{'; '.join(left)}"
                )
            self.wait(REST_LOOK)

    async def _unfinished(self) -> list[str]:
        found: list[str] = []
        for name in await self.client.queues():
            stats = await self.client.queue(name).stats()
            found += [
                f"queue {name} has {count} {state}"
                for state in ("pending", "active", "retry")
                if (count := getattr(stats, state))
            ]
        return found

    def check(self) -> None:
        """Check the invariants of all queues."""
        for name in self.do(self.client.queues):
            found = self.do(self.client.queue(name).check)
            if found:
                raise AssertionError(f"queue {name}: {found[0]}")

    # Faults.

    def kill(self, server: str) -> None:
        """Kill a server: nothing more of it runs, no `finally` either, and its connections break."""
        self.network.kill(self._place(server).host)

    def start(self, server: str) -> None:
        """Start a server again that was killed or has stopped."""
        place = self._place(server)
        if place.state not in ("dead", "stopped"):
            raise ConfigError.of("server", server, f"dead or stopped; it is {place.state}")
        place.start()

    def cut(self, server: str, seconds: float = 0.0, *, hangs: bool = False) -> None:
        """Break the connections of a server, or of `client`, which connects again at once."""
        if seconds or hangs:
            raise needs_simulated_time("a cut that lasts")
        host = self._client_host if server == CLIENT_NAME else self._place(server).host
        self.network.disconnect(host)

    def deploy(self, server: str) -> None:
        """Stop a server in good order, and start another one in its place when it has stopped."""
        place = self._place(server)
        with self.world.entered():
            place.begin_stop()
        place.restart_when_ended()

    def freeze(self, server: str, seconds: float) -> Never:
        """Refuse: it has a length."""
        raise needs_simulated_time("freeze")

    def failover(self, lost: float = 0.5) -> Never:
        """Refuse: there is one Redis, and it forgets nothing."""
        raise needs_simulated_time("failover")

    def at(self, server: str, effect: str, nth: int = 1) -> At:
        """Choose the `nth` step of a handler of a server from now on; `kill` is what may befall it."""
        bounds.check_number("nth", nth, 1, 1_000_000, integer=True)
        return At(self._faults, self._place(server).host.name, effect, nth)

    def _place(self, server: str) -> SimServer:
        if server not in self._servers:
            known = ", ".join(self._servers) or "no server"
            raise ConfigError.of("server", server, f"one of the fleet: {known}")
        return self._servers[server]

    # The end.

    def close(self) -> None:
        """End the servers, the killed ones too, and then Redis."""
        if self._closed:
            return
        self._closed = True
        try:
            with without_log():  # of servers that were killed, and end only now
                self.world.close()
        finally:
            self._redis.close()

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


async def _hold_real_client(url: str, app: App, clients: list[Client]) -> None:
    async with connect(url, app=app) as client:
        clients.append(client)
        await trio.sleep_forever()
