"""`rediq bench`: how many tasks a worker of this machine works in a second, on this Redis.

The tasks do nothing, so what is measured is the queue: Redis, the way to it, and one process of Python.
They are in a queue of their own, which is removed at the end, however the measurement ends.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Sequence
from typing import Any

import attrs
import trio

from rediq_trio._errors import ConfigError
from rediq_trio.cli.flags import AddParser, common_flags
from rediq_trio.cli.operate.output import Output, open_output
from rediq_trio.cli.operate.session import GaveUp, time_flag
from rediq_trio.cli.run import tune_garbage_collector
from rediq_trio.cli.statuses import DONE
from rediq_trio.cli.supervisor import shared_server
from rediq_trio.client import Client, connect
from rediq_trio.handlers.app import App
from rediq_trio.observe.words import count, counted, duration, shown
from rediq_trio.serve import Server, serve
from rediq_trio.settings import read_setting, settle_settings
from rediq_trio.spec.lifecycle import State
from rediq_trio.store.urls import default_url, scheme_of
from rediq_trio.values.bounds import check_name
from rediq_trio.values.task import Task

TASKS_MAX = 1_000_000
SINGLE_TASKS = 200
"""Tasks that are enqueued one at a time, to measure how long one waits for an idle worker."""
BENCH_BATCH = 1_000
REMOVE_WITHIN = 30.0
"""Seconds for removing the queue, also after Ctrl-C."""
_SETTLED_POLL_INTERVAL = 0.005
_NO_OP = "bench:no-op"


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(
        description="Measure this machine and its Redis: enqueue tasks that do nothing, in a queue of "
        "their own, work them with one worker, and remove the queue.",
    )
    parser.add_argument("--tasks", metavar="N", default="10000", help="how many (10000)")
    parser.add_argument(
        "--queue", metavar="NAME", help="a name that no queue has (bench- and a random one)"
    )
    parser.add_argument("--concurrency", metavar="N", help="tasks at once, as for rediq run (10)")
    common_flags(parser, "url", "key_prefix", "json")
    parser.add_argument("--no-color", action="store_true", help="no colors (NO_COLOR)")
    parser.add_argument(
        "--timeout", metavar="TIME", type=time_flag, default=math.inf,
        help="give up after that long, like 60s (never)",
    )  # fmt: skip
    parser.set_defaults(execute=execute)
    return parser


@attrs.frozen
class Measured:
    """What was measured; times in seconds."""

    tasks: int
    concurrency: int
    enqueue_seconds: float
    work_seconds: float
    """From the start of the worker until the last task was settled."""
    waits: Sequence[float]
    """How long each single task waited, from its enqueue to the start of its handler; sorted."""

    def say(self, out: Output) -> None:
        p50, p99 = percentile(self.waits, 0.5), percentile(self.waits, 0.99)
        out.object({
            "tasks": self.tasks, "concurrency": self.concurrency,
            "enqueue_seconds": self.enqueue_seconds, "enqueue_rate": self.tasks / self.enqueue_seconds,
            "work_seconds": self.work_seconds, "work_rate": self.tasks / self.work_seconds,
            "waiting": {"tasks": len(self.waits), "p50": p50, "p99": p99},
        })  # fmt: skip
        out.fields("", [
            ("tasks", f"{count(self.tasks)}, which do nothing; {count(self.concurrency)} at once"),
            ("enqueued", _rate(self.tasks, self.enqueue_seconds)),
            ("worked", f"{_rate(self.tasks, self.work_seconds)}, by one worker"),
            ("waiting", f"p50 {_short(p50)}, p99 {_short(p99)} "
             f"({count(len(self.waits))} tasks, one at a time)"),
        ])  # fmt: skip


def _rate(tasks: int, seconds: float) -> str:
    return f"{count(round(tasks / seconds))} tasks/s ({duration(seconds)})"


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else duration(seconds)


def percentile(ordered: Sequence[float], part: float) -> float:
    """Return the smallest value that `part` of the sorted values do not exceed."""
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def execute(arguments: argparse.Namespace) -> int:
    url = arguments.url or default_url()
    tasks = read_tasks(arguments.tasks)
    options: dict[str, Any] = (
        {} if arguments.key_prefix is None else {"key_prefix": arguments.key_prefix}
    )
    if arguments.concurrency is not None:
        options["concurrency"] = read_setting("concurrency", arguments.concurrency)
    name = check_name("queue", arguments.queue or f"bench-{os.urandom(4).hex()}")
    settings = settle_settings({**options, "queues": {name: 1.0}})
    if scheme_of(url) == "memory":
        raise ConfigError.of("url", url, "that of a server: memory:// has nothing to measure")
    bench = _Bench(url, name, tasks, settings.key_prefix, settings.concurrency)
    out = open_output(json=arguments.json, color=not arguments.no_color)
    tune_garbage_collector()  # as `rediq run` does
    trio.run(bench.run, out, arguments.timeout)
    return DONE


def read_tasks(text: str) -> int:
    """Return the number of tasks; raise `ConfigError`."""
    if not text.isdecimal() or not 1 <= int(text) <= TASKS_MAX:
        raise ConfigError.of("tasks", text, f"a whole number from 1 to {TASKS_MAX:,}")
    return int(text)


@attrs.define(eq=False)
class _Bench:
    _url: str
    _queue: str
    _tasks: int
    _prefix: str
    _concurrency: int
    _waits: list[float] = attrs.field(factory=list[float])
    _started: trio.Event = attrs.field(factory=trio.Event)
    """Set when the handler of a single task has begun."""

    async def run(self, out: Output, within: float) -> None:
        with trio.move_on_after(within) as scope:
            async with (
                shared_server(self._url) as url,
                connect(url, key_prefix=self._prefix) as client,
            ):
                await self._check_free(client)
                try:
                    measured = await self._measure(client, url)
                finally:
                    with trio.move_on_after(REMOVE_WITHIN) as removing:
                        removing.shield = True
                        await client.queue(self._queue).flush()
                        await client.queue(self._queue).remove()
            measured.say(out)
        if scope.cancelled_caught:
            raise GaveUp(
                f"it was not done within {duration(within)}: its queue was removed. Give it longer with "
                "--timeout, or fewer --tasks"
            )

    async def _check_free(self, client: Client) -> None:
        """Raise `ConfigError` if the queue was ever used: it is removed at the end."""
        if self._queue in await client.queues():
            stats = await client.queue(self._queue).stats()
            tasks = sum(getattr(stats, state.value) for state in State)
            has = f"has {counted(tasks, 'task')}" if tasks else "was used before"
            raise ConfigError(
                f"queue={shown(self._queue)}: this queue {has}, and a measurement would remove it: "
                "name one that is not there, or none"
            )

    async def _measure(self, client: Client, url: str) -> Measured:
        begun = time.monotonic()
        for first in range(0, self._tasks, BENCH_BATCH):
            some = min(BENCH_BATCH, self._tasks - first)
            await client.enqueue_many([self._task(0.0) for _ in range(some)])
        enqueued = time.monotonic()
        async with serve(
            self._app(), url, queues={self._queue: 1.0}, key_prefix=self._prefix,
            concurrency=self._concurrency,
        ) as server:  # fmt: skip
            opened = time.monotonic()
            await _wait_settled(server, self._tasks)
            worked = time.monotonic()
            for _ in range(SINGLE_TASKS):
                self._started = trio.Event()
                await client.enqueue(self._task(time.monotonic()))
                await self._started.wait()
        return Measured(
            self._tasks, self._concurrency, enqueued - begun, worked - opened, sorted(self._waits)
        )

    def _task(self, sent: float) -> Task[None]:
        return Task[None](_NO_OP, {"sent": sent}, queue=self._queue, retention=0)

    def _app(self) -> App:
        app = App("bench")

        async def no_op(sent: float) -> None:
            if sent:
                self._waits.append(time.monotonic() - sent)
                self._started.set()

        app.task(_NO_OP, queue=self._queue)(no_op)
        return app


async def _wait_settled(server: Server, tasks: int) -> None:
    # By the worker's own count, for which nobody has to ask Redis.
    while server.stats().completed < tasks:
        await trio.sleep(_SETTLED_POLL_INTERVAL)
