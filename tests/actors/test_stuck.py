"""Attempts that run on after their timeout are reported. Threads run under the real clock."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore
from rediq_trio.serve import Server


@asynccontextmanager
async def stuck_worker(kind: str) -> AsyncGenerator[tuple[Server, rediq.TaskHandle[None]]]:
    """Serve one task that runs on until the block is left; the worker has one slot."""
    app = rediq.App()
    over, in_loop = threading.Event(), trio.Event()

    @app.task("in_thread", timeout=0.2)
    def in_thread() -> None:
        over.wait(60)

    @app.task("shielded", timeout=0.2)
    async def shielded() -> None:
        with trio.CancelScope(shield=True):
            await in_loop.wait()

    @app.task("child", timeout=0.2)
    async def child() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shielded)

    settings = {"concurrency": 1, "cleanup_grace": 0.2, "heartbeat": 0.1}
    async with rediq.serve(app, MemoryStore(), **settings) as server:  # type: ignore[arg-type]
        handle = await server.client.enqueue(rediq.Task(kind, {}, timeout=0.2))
        try:
            yield server, handle
        finally:
            over.set()
            in_loop.set()


async def until_stuck(server: Server) -> None:
    with trio.fail_after(30):
        while not server.stats().stuck:
            await trio.sleep(0.01)


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("in_thread", "over.wait(60)"),
        ("shielded", "await in_loop.wait()"),
        ("child", "await in_loop.wait()"),
    ],
)
async def test_an_attempt_that_outlives_its_timeout_is_reported_with_its_stack(
    kind: str, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with stuck_worker(kind) as (server, handle):
        await until_stuck(server)
        await trio.sleep(0.5)
        (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
        assert f"task {handle.id} ({kind}), attempt 1: runs on " in record.getMessage()
        assert line in record.getMessage()
        assert "rediq_trio/worker" not in record.getMessage()
        assert record.__dict__["task_id"] == handle.id
        assert (server.stats().stuck, server.stats().stuck_total) == (1, 1)


async def test_when_it_has_ended_it_is_stuck_no_longer_and_stays_counted() -> None:
    async with stuck_worker("shielded") as (server, _):
        await until_stuck(server)
    assert (server.stats().stuck_total, server.stats().completed) == (1, 1)


async def test_a_worker_all_of_whose_slots_are_stuck_is_not_ready() -> None:
    async with stuck_worker("in_thread") as (server, handle):
        assert server.health().ready
        await until_stuck(server)
        health = server.health()
        assert (health.alive, health.ready) == (True, False)
        assert health.reasons == (
            f"all 1 slots are taken by attempts that run on after their timeout, such as {handle.id}",
        )


async def test_the_record_of_the_worker_names_what_is_stuck() -> None:
    async with stuck_worker("in_thread") as (server, handle):
        await until_stuck(server)
        with trio.fail_after(30):
            while (await server.client.workers())[0].stuck != (handle.id,):
                await trio.sleep(0.05)


async def test_an_attempt_that_ends_in_its_clean_up_is_not_stuck() -> None:
    app = rediq.App()

    @app.task("tidy", timeout=0.1, max_retry=0)
    async def tidy() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with rediq.current_task().cleanup():
                await trio.sleep(0.2)

    async with rediq.serve(app, MemoryStore(), cleanup_grace=30) as server:
        await (await server.client.enqueue(tidy.task())).wait(timeout=30)
        assert server.stats().stuck_total == 0
