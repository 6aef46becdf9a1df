from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import trio
import trio.testing

import rediq_trio as rediq
from rediq_trio.worker.watchdog import LEASE_PARTS, Watchdog

LEASE = 0.6
STALL = 0.7
"""Seconds: longer than the lease, so that one who is late still sees it."""
REPORT = re.compile(
    r"blocked for ([\d.]+) s by the handler (\S+) \(task (\S+)\), at (\S+):(\d+) in (\w+)"
)
LINES = Path(__file__).read_text("utf-8").splitlines()
app = rediq.App()


@app.task("stalls")
async def stalls() -> None:
    time.sleep(STALL)  # noqa: ASYNC251  (what is tested)


@app.task("stalls-in-a-child")
async def stalls_in_a_child() -> None:
    async def child() -> None:
        time.sleep(STALL)  # noqa: ASYNC251

    async with trio.open_nursery() as nursery:
        nursery.start_soon(child)


@app.task("stalls-in-a-library")
async def stalls_in_a_library() -> None:
    threading.Event().wait(STALL)


@app.task("works-in-a-thread")
def works_in_a_thread() -> None:
    time.sleep(STALL)


def reports(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "rediq_trio.watchdog" and record.levelno == logging.ERROR
    ]


async def _run(kind: str, of: rediq.App = app) -> tuple[rediq.Server, rediq.TaskHandle[object]]:
    async with rediq.serve(of, "memory://", lease=LEASE) as server:
        handle = await server.client.enqueue(rediq.Task(kind))
        while server.stats().running or not handle_ended(server):
            await trio.sleep(0.01)
    return server, handle


def handle_ended(server: rediq.Server) -> bool:
    stats = server.stats()
    return bool(stats.completed or stats.stale)


@pytest.mark.parametrize(
    ("kind", "function"),
    [
        ("stalls", "stalls"),
        ("stalls-in-a-child", "child"),
        ("stalls-in-a-library", "stalls_in_a_library"),
    ],
)
async def test_who_blocks_the_loop_is_named_with_its_task_and_line(
    kind: str, function: str, caplog: pytest.LogCaptureFixture
) -> None:
    server, handle = await _run(kind)
    (said,) = reports(caplog)
    found = REPORT.search(said)
    assert found is not None, said
    assert float(found[1]) >= LEASE / LEASE_PARTS
    assert found.group(2, 3, 4, 6) == (kind, handle.id, "test_watchdog.py", function)
    assert "STALL" in LINES[int(found[5]) - 1]
    assert "Make the handler a plain def" in said
    health = server.health()
    assert (server.stats().blocked, health.blocks, health.blocked) == (1, 1, None)
    last = health.last_blocked
    assert last is not None
    assert (last.handler, last.task) == (kind, handle.id)
    assert LEASE / LEASE_PARTS <= last.seconds <= STALL + 5


async def test_a_middleware_that_blocks_is_told_with_the_handler_it_is_around(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mine = rediq.App()

    @mine.task("innocent")
    async def innocent() -> None: ...

    @mine.middleware
    async def slow(task: rediq.CurrentTask) -> AsyncGenerator[None]:
        time.sleep(STALL)  # noqa: ASYNC251
        yield

    await _run("innocent", mine)
    (said,) = reports(caplog)
    assert "by the handler innocent" in said
    assert "in slow" in said


async def test_a_task_of_the_program_that_blocks_is_told_as_what_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with rediq.serve(app, "memory://", lease=LEASE) as server:
        await trio.testing.wait_all_tasks_blocked()
        time.sleep(STALL)  # noqa: ASYNC251
        while server.health().blocked is not None or not server.stats().blocked:
            await trio.sleep(0.01)
    (said,) = reports(caplog)
    assert "which is no handler" in said
    assert "trio.to_thread.run_sync" in said
    last = server.health().last_blocked
    assert last is not None
    assert (last.handler, last.task) == (None, None)


async def test_a_handler_in_a_thread_and_one_that_waits_are_not_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, _ = await _run("works-in-a-thread")
    assert (server.stats().completed, server.stats().blocked) == (1, 0)
    assert reports(caplog) == []


async def test_each_time_is_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async with rediq.serve(app, "memory://", lease=LEASE) as server:
        await trio.testing.wait_all_tasks_blocked()
        for count in (1, 2):
            time.sleep(STALL)  # noqa: ASYNC251
            while server.stats().blocked < count or server.health().blocked is not None:
                await trio.sleep(0.01)
    assert server.stats().blocked == 2
    assert len(reports(caplog)) == 2


def test_what_blocks_can_be_read_from_another_thread_while_it_does() -> None:
    seen: list[rediq.Health] = []

    async def main() -> None:
        async with rediq.serve(app, "memory://", lease=LEASE) as server:

            def look() -> None:
                give_up = time.monotonic() + 30
                while time.monotonic() < give_up and not seen:
                    health = server.health()
                    if health.blocked is not None:
                        seen.append(health)
                    time.sleep(0.005)

            watcher = threading.Thread(target=look)
            watcher.start()
            await server.client.enqueue(rediq.Task("stalls"))
            while watcher.is_alive():
                await trio.sleep(0.01)

    trio.run(main)
    (health,) = seen
    assert not health.ready
    assert "by the handler stalls" in health.reasons[0]


def watchdogs() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("rediq watchdog")]


async def test_its_thread_ends_with_the_worker_however_that_ends() -> None:
    async with rediq.serve(app, "memory://"):
        await trio.testing.wait_all_tasks_blocked()
        (thread,) = watchdogs()
        assert thread.daemon
    assert watchdogs() == []
    with trio.CancelScope() as scope:
        async with rediq.serve(app, "memory://"):
            scope.cancel()
            await trio.sleep_forever()
    assert watchdogs() == []
    with pytest.raises(RuntimeError, match="mine"):
        async with rediq.serve(app, "memory://"):
            raise RuntimeError("mine")
    assert watchdogs() == []


async def test_several_workers_have_one_each() -> None:
    async with rediq.serve(app, "memory://"), rediq.serve(app, "memory://"):
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
