"""Handlers that fork or start processes: the connection of the worker stays untouched."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import pytest
import trio

import rediq_trio as rediq
from tests.servers import Server


def fork_and_wait() -> int:
    """Fork as old libraries do, and end the child at once."""
    child = os.fork()
    if child == 0:
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_a_process() -> int:
    """Run a forked process of multiprocessing, whose end runs handlers of `atexit` of its own."""
    child = multiprocessing.get_context("fork").Process(target=sys.exit, args=(7,))
    child.start()
    child.join()
    assert child.exitcode is not None
    return child.exitcode


def in_a_pool() -> int:
    """Run something in a pool of forked processes."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        return sum(pool.map(int, ["3", "4"]))


def in_a_program() -> int:
    """Run another program."""
    return subprocess.run([sys.executable, "-c", "raise SystemExit(7)"], check=False).returncode


KINDS: dict[str, Callable[[], int]] = {
    "os.fork": fork_and_wait,
    "a process": in_a_process,
    "a pool": in_a_pool,
    "a program": in_a_program,
}


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_a_handler_may_fork_while_its_worker_talks_to_redis(
    redis_server: Server, kind: str
) -> None:
    app = rediq.App()

    @app.task("forks", timeout=300)
    def forks() -> int:
        return KINDS[kind]()

    @app.task("loops", timeout=300)
    async def loops(n: int) -> int:
        await trio.lowlevel.checkpoint()
        return n

    prefix = f"forks-{uuid.uuid4().hex[:8]}"
    async with rediq.serve(app, redis_server.url, key_prefix=prefix, concurrency=8) as server:
        client = server.client
        forking = await client.enqueue_many([forks.task() for _ in range(4)])
        beside = await client.enqueue_many([loops.task(n) for n in range(100)])
        assert [await handle.result(timeout=120) for handle in forking] == [7] * 4
        assert [await handle.result(timeout=120) for handle in beside] == list(range(100))
        stats = await client.queue("default").stats()
        assert (stats.completed_total, stats.failed_total) == (104, 0)
        assert server.health().ready
        assert await client.queue("default").check() == []


async def test_a_handler_may_run_a_process_of_trio(redis_server: Server) -> None:
    app = rediq.App()

    @app.task("runs", timeout=300)
    async def runs() -> int:
        command = [sys.executable, "-c", "raise SystemExit(7)"]
        return (await trio.run_process(command, check=False)).returncode

    prefix = f"forks-{uuid.uuid4().hex[:8]}"
    async with rediq.serve(app, redis_server.url, key_prefix=prefix) as server:
        handles = await server.client.enqueue_many([runs.task() for _ in range(4)])
        assert [await handle.result(timeout=120) for handle in handles] == [7] * 4
        assert server.health().ready
