"""`rediq demo`: hash the files of a folder in tasks, make some fail, and check everything."""

from __future__ import annotations

import argparse
import logging
import os
import platform
import sysconfig
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import attrs
import trio

import rediq_trio as rediq
from rediq_trio._errors import ConfigError
from rediq_trio.cli.demo_report import DemoResult, report
from rediq_trio.cli.demo_tasks import DemoTasks, File, find_files, sha256_of
from rediq_trio.cli.flags import AddParser, port_flag
from rediq_trio.cli.screen import Advance, Screen, open_screen
from rediq_trio.cli.statuses import INTERRUPTED
from rediq_trio.cli.stop_signals import Stop, end_process, stop_signals
from rediq_trio.settings import read_setting, settle_settings
from rediq_trio.store.urls import redacted, scheme_of

ENQUEUE_BATCH = 500
"""Tasks of one `enqueue_many`."""
PROGRESS_INTERVAL = 0.05
"""Seconds between two updates of the progress bar."""
HASH_SAMPLES = 8
"""Hashes that are computed again without the queue."""
LATENCY_SAMPLES = 200
"""Tasks that run one at a time, to measure the latency of an idle queue."""
CLEAN_UP_TIMEOUT = 8.0
"""Seconds to stop the worker and delete the tasks, at most."""
CANCEL_DELAY = 0.1
"""Seconds after its start at which the demo cancels a task."""


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(
        description="Start a private Redis and a worker, hash every file of a folder through the "
        "queue, let some tasks fail, die and be cancelled, and check every invariant.",
    )
    parser.add_argument(
        "folder", metavar="FOLDER", nargs="?", help="whose files to hash (Python's own library)"
    )
    parser.add_argument("--url", help="use this server, not a private one (REDIQ_URL)")
    parser.add_argument("--concurrency", metavar="N", help="tasks that run at once (8)")
    looking = parser.add_mutually_exclusive_group()
    looking.add_argument(
        "--web", action="store_true", help="a story that goes on, and the web page to look at it"
    )
    looking.add_argument(
        "--dash", action="store_true", help="the same story, looked at in this terminal"
    )
    parser.add_argument(
        "--port", metavar="N", type=port_flag, default=8080, help="that of the page (8080)"
    )
    parser.set_defaults(execute=execute)
    return parser


def execute(arguments: argparse.Namespace) -> int:
    url = arguments.url or os.environ.get("REDIQ_URL") or "embedded://"
    scheme_of(url)
    if arguments.web:
        from rediq_trio.cli.web.demo import run

        return run(url, arguments.port)
    if arguments.dash:
        from rediq_trio.cli.web.dash_demo import run_in_terminal

        return run_in_terminal(url)
    concurrency = read_setting("concurrency", arguments.concurrency or "8")
    settle_settings({"concurrency": concurrency})  # to raise for a bad value before any work
    given = arguments.folder is not None
    folder = Path(arguments.folder if given else sysconfig.get_paths()["stdlib"])
    if not folder.is_dir():
        what = "a folder" if folder.exists() else "a folder that exists"
        raise ConfigError.of("FOLDER", str(folder), what)
    skip = () if given else ("site-packages",)
    logging.getLogger("rediq_trio").addFilter(_is_not_of_the_demo)
    return trio.run(_Demo(open_screen(), folder, skip, url, concurrency).run)


def _is_not_of_the_demo(record: logging.LogRecord) -> bool:
    """Drop the records of tasks that fail on purpose: the report tells of them."""
    return not str(getattr(record, "type", "")).startswith("demo:")


@attrs.define(eq=False)
class _Demo:
    _screen: Screen
    _folder: Path
    _skip: Sequence[str]
    _url: str
    _concurrency: int
    _tasks: DemoTasks = attrs.field(factory=DemoTasks)

    async def run(self) -> int:
        """Run the demo; stop in good order after a signal."""
        scope = trio.CancelScope()
        result: DemoResult | None = None
        async with stop_signals() as (stop, nursery):
            nursery.start_soon(_watch_signals, stop, scope)
            with scope:
                result = await self._run()
        if result is None:
            self._screen.say("interrupted: the worker has stopped, its tasks were removed")
            return INTERRUPTED
        return 0 if result.good else 1

    async def _run(self) -> DemoResult:
        files = await trio.to_thread.run_sync(find_files, self._folder, self._skip)
        if not files:
            raise ConfigError.of("FOLDER", str(self._folder), "a folder with readable files")
        size = sum(file.size for file in files)
        self._screen.say(
            f"SHA-256 of {len(files):,} files ({size / 1e6:,.1f} MB) below {self._folder}\n"
            f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {redacted(self._url)}, "
            f"one worker, {self._concurrency} at once"
        )
        async with rediq.serve(
            self._tasks.app,
            self._url,
            queues=[self._tasks.queue],
            concurrency=self._concurrency,
            threads=self._concurrency,
            key_prefix="rediq-demo",
            shutdown_grace=0,
            burst=False,
        ) as server:
            queue = server.client.queue(self._tasks.queue)
            try:
                result = await self._work(server.client, queue, files, size)
            finally:
                # A server with other users would keep the tasks. The worker is stopped first, so
                # that it has given its leases back and no outcome is late.
                with (
                    trio.move_on_after(CLEAN_UP_TIMEOUT, shield=True),
                    suppress(rediq.ConnectionLost),
                ):
                    await server.stop()
                    await queue.flush()
        report(self._screen, result)
        return result

    async def _work(
        self, client: rediq.Client, queue: rediq.Queue, files: Sequence[File], size: int
    ) -> DemoResult:
        begun, began_at = trio.current_time(), time.time()
        total = len(files) + 2  # one dies, one is cancelled
        with self._screen.bars({"enqueued": total, "worked": total}) as bars:
            async with trio.open_nursery() as nursery:
                cancelling = await client.enqueue(self._tasks.wait.task())
                nursery.start_soon(self._cancel, cancelling)
                nursery.start_soon(_watch, queue, total, bars["worked"])
                handles = await self._enqueue(client, files, bars["enqueued"])
        elapsed = trio.current_time() - begun
        samples, wrong = await _verify(files, handles, began_at)
        return DemoResult(
            stats=await queue.stats(),
            elapsed=elapsed,
            size=size,
            completed=await _all(queue, rediq.State.COMPLETED),
            dead=await _all(queue, rediq.State.DEAD),
            latencies=[await self._measure_latency(client) for _ in range(LATENCY_SAMPLES)],
            cancelled=await cancelling.info(),
            probe=self._tasks.probe,
            samples=samples,
            wrong=wrong,
            violations=await queue.check(),
        )

    async def _enqueue(
        self, client: rediq.Client, files: Sequence[File], advance: Advance
    ) -> list[rediq.TaskHandle[str]]:
        handles: list[rediq.TaskHandle[str]] = []
        for first in range(0, len(files), ENQUEUE_BATCH):
            part = files[first : first + ENQUEUE_BATCH]
            handles += await client.enqueue_many(self._tasks.of_files(part, first))
            advance(len(handles))
        await client.enqueue(self._tasks.doomed(self._folder))
        advance(len(files) + 2)
        return handles

    async def _cancel(self, handle: rediq.TaskHandle[None]) -> None:
        probe = self._tasks.probe
        await probe.started.wait()
        await trio.sleep(CANCEL_DELAY)
        probe.asked_at = trio.current_time()
        await handle.cancel()

    async def _measure_latency(self, client: rediq.Client) -> float:
        begun = trio.current_time()
        handle = await client.enqueue(self._tasks.nothing.task())
        await handle.result(timeout=30)
        return trio.current_time() - begun


async def _watch_signals(stop: Stop, scope: trio.CancelScope) -> None:
    await stop.asked.wait()
    scope.cancel()
    await stop.now.wait()
    end_process("interrupted twice: the process ends now", INTERRUPTED)


async def _watch(queue: rediq.Queue, total: int, advance: Advance) -> None:
    """Move the bar until every task has ended."""
    while True:
        stats = await queue.stats()
        ended = stats.completed + stats.dead + stats.cancelled
        advance(ended)
        if ended >= total:
            return
        await trio.sleep(PROGRESS_INTERVAL)


async def _verify(
    files: Sequence[File], handles: Sequence[rediq.TaskHandle[str]], began_at: float
) -> tuple[int, list[str]]:
    """Compute some hashes again; return how many, and the paths of those that differ."""
    step = max(1, len(files) // HASH_SAMPLES)
    compared = 0
    wrong: list[str] = []
    for file, handle in list(zip(files, handles, strict=True))[::step][:HASH_SAMPLES]:
        info = await handle.info()
        try:
            expected = await trio.to_thread.run_sync(sha256_of, file.path)
            if os.stat(file.path).st_mtime >= began_at:
                continue  # another process wrote to the file meanwhile
        except OSError:
            continue
        compared += 1
        if info.result != expected:
            wrong.append(os.fsdecode(file.path))
    return compared, wrong


async def _all(queue: rediq.Queue, state: rediq.State) -> list[rediq.TaskInfo]:
    found: list[rediq.TaskInfo] = []
    while True:
        after = found[-1].id if found else None
        page = await queue.tasks(state, limit=1000, after=after)
        found += page
        if len(page) < 1000:
            return found
