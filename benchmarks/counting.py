"""Counts what a story costs, in figures that do not depend on how fast the machine is.

Redis tells by its `commandstats` what was called; a line of the gateway, what it sent and in how
many round trips; an instrument, how often Trio ran a task; cProfile, how many functions were called. A
story decides what is counted: all that happens inside of `Counting.counted`, in this process.
"""

from __future__ import annotations

import cProfile
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager

import trio
from redis.asyncio.connection import Connection

from benchmarks.server import Bench
from rediq_trio.store.redis.connection.calls import PendingCall
from rediq_trio.store.redis.connection.confirmer import WriteConfirmer
from rediq_trio.store.redis.connection.pipeline import Pipeline

ASIDE = frozenset({"info", "hello", "client", "command", "config", "ping", "subscribe", "select"})
"""Commands of the benchmark itself, of connecting and of listening."""
SCRIPTS = (b"EVALSHA", b"EVAL")


class Counting(trio.abc.Instrument):
    """What was counted so far. For one story, in the process that runs it."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._found: Counter[str] = Counter()
        self._aside: trio.lowlevel.Task | None = None
        self._calls = 0

    @contextmanager
    def counted(self) -> Generator[None]:
        """Count while the block lasts; more than one block adds up."""
        profile = cProfile.Profile()
        exchange, before = Pipeline._exchange, self._server()

        async def exchanging(
            pipeline: Pipeline,
            connection: Connection,
            packed: list[bytes],
            calls: list[PendingCall],
            confirmer: WriteConfirmer | None,
        ) -> bool:
            self._found["round_trips"] += 1
            # Of a call that was sent ahead nothing is left to be sent.
            self._found["commands"] += len(packed) or len(calls)
            self._found["scripts"] += sum(call.command[0] in SCRIPTS for call in calls)
            return await exchange(pipeline, connection, packed, calls, confirmer)

        # The one place where a benchmark reaches into the library: there alone is a round trip whole.
        Pipeline._exchange = exchanging  # type: ignore[method-assign]
        trio.lowlevel.add_instrument(self)
        profile.enable()
        try:
            yield
        finally:
            profile.disable()
            trio.lowlevel.remove_instrument(self)
            Pipeline._exchange = exchange  # type: ignore[method-assign]
            self._calls += sum(entry.callcount for entry in profile.getstats())
            self._found["called"] += self._server() - before

    @contextmanager
    def aside(self) -> Generator[None]:
        """Leave out the steps of the task that this is called in: it only waits for the story's end."""
        self._aside = trio.lowlevel.current_task()
        try:
            yield
        finally:
            self._aside = None

    def figures(self, units: int) -> Mapping[str, float]:
        """Give what was counted, for each of so many units."""
        found = self._found
        return {
            "commands": found["commands"] / units,
            "scripts": found["scripts"] / units,
            "inside": (found["called"] - found["commands"]) / units,
            "round_trips": found["round_trips"] / units,
            "tasks": found["tasks"] / units,
            "steps": found["steps"] / units,
            "calls": self._calls / units,
        }

    def _server(self) -> int:
        """Give how many commands Redis has carried out, those inside of scripts too."""
        total = 0
        for name, stats in self._bench.info("commandstats").items():
            if name.removeprefix("cmdstat_").partition("|")[0] not in ASIDE:
                total += int(stats["calls"])  # type: ignore[index]
        return total

    # --- what Trio tells

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self._found["tasks"] += 1

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is not self._aside:
            self._found["steps"] += 1
