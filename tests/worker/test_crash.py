"""A bug in an actor ends the worker with its cause, and what has ended is settled first."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore, State, WorkerCrashed
from rediq_trio.worker.poller import Poller
from rediq_trio.worker.settler import Settler

pytestmark = pytest.mark.mock_clock


class Bug(Exception):
    pass


def app() -> rediq.App:
    made = rediq.App()

    @made.task("sleep")
    async def sleep(seconds: float) -> str:
        await trio.sleep(seconds)
        return "slept"

    return made


async def broken(*_: Any) -> bool:
    raise Bug("in an actor")


async def test_a_bug_of_the_poller_gives_back_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    with pytest.raises(WorkerCrashed, match="Bug: in an actor") as crash:
        async with rediq.serve(app(), store, concurrency=1) as server:
            await server.client.enqueue(rediq.Task("sleep", {"seconds": 60}, id="t"))
            await trio.sleep(1)
            monkeypatch.setattr(Poller, "_round", broken)
            await server.client.enqueue(rediq.Task("sleep", {"seconds": 60}))
            server._worker.poller.prefetch.concurrency = 2
            server._worker.lease_table.room.unpark_all()
            await trio.sleep_forever()
    assert isinstance(crash.value.__cause__, Bug)
    (record,) = await store.get("default", ["t"])
    assert record is not None
    assert (record.state, record.attempt) == (State.PENDING, 0)


async def test_an_error_of_the_block_is_not_hidden_by_a_crash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Poller, "_round", broken)
    with pytest.raises(KeyError):
        async with rediq.serve(app(), MemoryStore()):
            raise KeyError("mine")


async def test_a_bug_of_the_settler_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settler, "_settle", broken)
    with pytest.raises(WorkerCrashed, match="Bug"):
        async with rediq.serve(app(), MemoryStore()) as server:
            await server.client.enqueue(rediq.Task("sleep", {"seconds": 1}))
            await trio.sleep_forever()


async def test_a_handler_that_shields_itself_is_waited_for_and_its_task_given_back() -> None:
    made = rediq.App()
    told: list[State] = []
    store = MemoryStore()

    @made.task("stubborn")
    async def stubborn() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(60)
            (record,) = await store.get("default", ["t"])
            assert record is not None
            told.append(record.state)

    async with rediq.serve(made, store, shutdown_grace=1, cleanup_grace=2) as server:
        await server.client.enqueue(stubborn.options(id="t").task())
        await trio.sleep(1)
    assert told == [State.PENDING]


async def test_a_running_handler_sees_that_the_worker_stops() -> None:
    made = rediq.App()
    seen: list[object] = []

    @made.task("watch", timeout=1000)
    async def watch() -> None:
        task = rediq.current_task()
        seen.append((task.shutting_down, task.cancel_reason))
        while not task.shutting_down:
            await trio.sleep(0.1)
        try:
            await trio.sleep_forever()
        finally:
            seen.append((task.shutting_down, task.cancel_reason, repr(task)[:12]))

    async with rediq.serve(made, MemoryStore(), shutdown_grace=1) as server:
        await server.client.enqueue(watch.task())
        await trio.sleep(1)
    assert seen == [(False, None), (True, "shutdown", "<CurrentTask")]


async def test_a_timeout_is_a_reason_too() -> None:
    made = rediq.App()
    seen: list[object] = []

    @made.task("slow", timeout=1, max_retry=0)
    async def slow() -> None:
        try:
            await trio.sleep_forever()
        finally:
            seen.append(rediq.current_task().cancel_reason)

    async with rediq.serve(made, MemoryStore()) as server:
        await (await server.client.enqueue(slow.task())).wait()
    assert seen == ["timeout"]
