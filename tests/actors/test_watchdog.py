"""The watchdog, with a clock of the tests: time passes only while a marked line blocks the loop.

So a loop that waits for its turn on a busy machine is never reported, and a block ends only once
the watchdog has noticed it.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from queue import Queue, SimpleQueue
from typing import Any

import attrs
import pytest
import trio
import trio.testing

import rediq_trio as rediq
from rediq_trio.worker import watchdog
from rediq_trio.worker.watchdog import CHECKS_PER_BOUND, LEASE_PARTS, Watchdog

LEASE = 3.0
BOUND = LEASE / LEASE_PARTS
CHECK = BOUND / CHECKS_PER_BOUND
"""Real seconds between two checks of the watchdog."""
STEP = 0.4 * BOUND
"""Seconds that pass at once: two steps are within the bound, three are beyond it."""
WITHIN = 60.0
"""Real seconds after which a line ends that the watchdog has not noticed: a test fails then."""
MARK = "# blocks"
REPORT = re.compile(
    r"blocked for ([\d.]+) s by the handler (\S+) \(task (\S+)\), at (\S+):(\d+) in (\w+)"
)
LINES = Path(__file__).read_text("utf-8").splitlines()


@attrs.define(eq=False)
class Clock:
    """What the watchdog takes for the module `time`."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def advance(self) -> None:
        self.now += STEP


@attrs.define(eq=False)
class Blocks:
    """Lets time pass while a marked line blocks the loop, until the watchdog has noticed it."""

    clock: Clock
    thread: int = attrs.field(factory=threading.get_ident)
    """The thread of the loop."""
    server: rediq.Server | None = None
    noticed: list[rediq.Health] = attrs.field(factory=list)
    """What another thread read during each block."""
    end: SimpleQueue[None] | Queue[None] = attrs.field(factory=SimpleQueue)
    """What a marked line waits for."""

    def run(self, over: threading.Event) -> None:
        while not over.wait(CHECK):
            if self.server is None or MARK not in self._line():
                continue
            # The loop does not leave the line before it is told to.
            if self.server.stats().blocked > len(self.noticed):
                self.noticed.append(self.server.health())
                self.end.put(None)
            elif self.server.stats().blocked == len(self.noticed) and self.end.empty():
                self.clock.advance()

    def _line(self) -> str:
        """Return the innermost line of this file on the stack of the loop's thread."""
        frame = sys._current_frames().get(self.thread)
        while frame is not None and frame.f_code.co_filename != __file__:
            frame = frame.f_back
        return "" if frame is None else LINES[frame.f_lineno - 1]


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Blocks]:
    found, over = Blocks(Clock()), threading.Event()
    monkeypatch.setattr(watchdog, "time", found.clock)
    thread = threading.Thread(target=found.run, args=(over,), name="time passes")
    thread.start()
    yield found
    over.set()
    thread.join()


def app_of(blocks: Blocks) -> rediq.App:
    app = rediq.App()

    @app.task("stalls")
    async def stalls() -> None:
        blocks.end.get(timeout=WITHIN)  # blocks

    @app.task("stalls-in-a-child")
    async def stalls_in_a_child() -> None:
        async def child() -> None:
            blocks.end.get(timeout=WITHIN)  # blocks

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)

    @app.task("works-in-a-thread")
    def works_in_a_thread() -> None:
        for _ in range(10):
            trio.from_thread.run_sync(blocks.clock.advance)
            threading.Event().wait(CHECK)

    @app.task("waits")
    async def waits() -> None:
        for _ in range(10):
            blocks.clock.advance()
            await trio.sleep(CHECK)

    return app


def reports(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "rediq_trio.watchdog" and record.levelno == logging.ERROR
    ]


@asynccontextmanager
async def serving(blocks: Blocks, app: rediq.App) -> AsyncGenerator[rediq.Server]:
    """Serve an app; at the end, wait until the loop runs again."""
    async with rediq.serve(app, "memory://", lease=LEASE) as server:
        blocks.server = server
        yield server
        while server.health().blocked is not None:
            await trio.sleep(0.01)


async def _run(
    blocks: Blocks, kind: str, app: rediq.App | None = None
) -> tuple[rediq.Server, rediq.TaskHandle[Any]]:
    async with serving(blocks, app or app_of(blocks)) as server:
        handle = await server.client.enqueue(rediq.Task(kind))
        while not server.stats().completed:
            await trio.sleep(0.01)
    return server, handle


@pytest.mark.parametrize(
    ("kind", "function", "end"),
    [
        pytest.param("stalls", "stalls", SimpleQueue, id="stalls"),
        pytest.param("stalls-in-a-child", "child", SimpleQueue, id="stalls-in-a-child"),
        # Its innermost frames are those of the standard library.
        pytest.param("stalls", "stalls", Queue, id="stalls-in-a-library"),
    ],
)
async def test_who_blocks_the_loop_is_named_with_its_task_and_line(
    kind: str, function: str, end: Any, blocks: Blocks, caplog: pytest.LogCaptureFixture
) -> None:
    blocks.end = end()
    server, handle = await _run(blocks, kind)
    (said,) = reports(caplog)
    found = REPORT.search(said)
    assert found is not None, said
    assert float(found[1]) > BOUND
    assert found.group(2, 3, 4, 6) == (kind, handle.id, "test_watchdog.py", function)
    assert MARK in LINES[int(found[5]) - 1]
    assert "Make the handler a plain def" in said
    health = server.health()
    assert (server.stats().blocked, health.blocks, health.blocked) == (1, 1, None)
    last = health.last_blocked
    assert last is not None
    assert (last.handler, last.task) == (kind, handle.id)
    assert BOUND < last.seconds <= blocks.clock.now


async def test_a_middleware_that_blocks_is_told_with_the_handler_it_is_around(
    blocks: Blocks, caplog: pytest.LogCaptureFixture
) -> None:
    mine = rediq.App()

    @mine.task("innocent")
    async def innocent() -> None: ...

    @mine.middleware
    async def slow(task: rediq.CurrentTask) -> AsyncGenerator[None]:
        blocks.end.get(timeout=WITHIN)  # blocks
        yield

    await _run(blocks, "innocent", mine)
    (said,) = reports(caplog)
    assert "by the handler innocent" in said
    assert "in slow" in said


async def test_a_task_of_the_program_that_blocks_is_told_as_what_it_is(
    blocks: Blocks, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(blocks, app_of(blocks)) as server:
        await trio.testing.wait_all_tasks_blocked()
        blocks.end.get(timeout=WITHIN)  # blocks
    (said,) = reports(caplog)
    assert "which is no handler" in said
    assert "trio.to_thread.run_sync" in said
    last = server.health().last_blocked
    assert last is not None
    assert (last.handler, last.task) == (None, None)


@pytest.mark.parametrize("kind", ["works-in-a-thread", "waits"])
async def test_a_handler_in_a_thread_and_one_that_waits_are_not_reported(
    kind: str, blocks: Blocks, caplog: pytest.LogCaptureFixture
) -> None:
    server, _ = await _run(blocks, kind)
    assert blocks.clock.now > 3 * BOUND
    assert (server.stats().completed, server.stats().blocked) == (1, 0)
    assert reports(caplog) == []


async def test_each_time_is_counted_and_told_once(
    blocks: Blocks, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(blocks, app_of(blocks)) as server:
        await trio.testing.wait_all_tasks_blocked()
        for count in (1, 2):
            blocks.end.get(timeout=WITHIN)  # blocks
            while server.health().blocked is not None:
                await trio.sleep(0.01)
            assert server.stats().blocked == count
    assert len(reports(caplog)) == 2


async def test_what_blocks_can_be_read_from_another_thread_while_it_does(blocks: Blocks) -> None:
    await _run(blocks, "stalls")
    (health,) = blocks.noticed
    assert not health.ready
    assert "by the handler stalls" in health.reasons[0]


async def test_how_long_it_was_is_measured_by_the_clock_of_the_machine() -> None:
    async with rediq.serve(rediq.App(), "memory://", lease=0.6) as server:
        await trio.testing.wait_all_tasks_blocked()
        begun = time.monotonic()
        while not server.stats().blocked and time.monotonic() < begun + WITHIN:
            time.sleep(0.01)  # noqa: ASYNC251  (what is tested)
        while server.health().blocked is not None:
            await trio.sleep(0.01)
        last = server.health().last_blocked
        assert last is not None
        # The machine may have held up the loop before; then that is what was measured.
        assert last.seconds > 0.6 / LEASE_PARTS


def watchdogs() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("rediq watchdog")]


async def test_its_thread_ends_with_the_worker_however_that_ends() -> None:
    async with rediq.serve(rediq.App(), "memory://"):
        await trio.testing.wait_all_tasks_blocked()
        (thread,) = watchdogs()
        assert thread.daemon
    assert watchdogs() == []
    with trio.CancelScope() as scope:
        async with rediq.serve(rediq.App(), "memory://"):
            scope.cancel()
            await trio.sleep_forever()
    assert watchdogs() == []
    with pytest.raises(RuntimeError, match="mine"):
        async with rediq.serve(rediq.App(), "memory://"):
            raise RuntimeError("mine")
    assert watchdogs() == []


async def test_several_workers_have_one_each() -> None:
    async with rediq.serve(rediq.App(), "memory://"), rediq.serve(rediq.App(), "memory://"):
        await trio.testing.wait_all_tasks_blocked()
        assert len(watchdogs()) == 2
    assert watchdogs() == []


def test_its_thread_ends_by_itself_when_the_loop_is_gone() -> None:
    async def main() -> threading.Thread:
        watching = Watchdog(0.1).watching()
        watching.__enter__()
        (thread,) = watchdogs()
        return thread

    thread = trio.run(main)
    thread.join(30)
    assert not thread.is_alive()


def test_the_delay_of_the_loop_is_the_longest_of_the_last_checks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(watchdog, "time", clock)
    watched = Watchdog(LEASE)
    assert watched.loop_delay() == 0
    for seconds in (0.5, 0.25):
        watched._asked, watched._answered = clock.now, None
        clock.now += seconds
        assert watched.loop_delay() == pytest.approx(0.5 if seconds < 0.5 else seconds)
        watched._answer()
    assert watched.loop_delay() == pytest.approx(0.5)
    for _ in range(CHECKS_PER_BOUND):
        watched._asked, watched._answered = clock.now, None
        watched._answer()
    assert watched.loop_delay() == 0
