"""What a worker does without in a simulation: threads, and whatever differs from run to run."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from typing import Any

import pytest
import trio
import trio.testing

import rediq_trio as rediq
from rediq_trio.worker.handler_call import INLINE_DELAY_MAX
from tests.seeded import NOON, seeded

pytestmark = pytest.mark.mock_clock
IN_CONTEXT: ContextVar[int] = ContextVar("in_context", default=0)
SEEN_AFTER: list[int] = []
app = rediq.App("simulated")


@app.middleware
async def look_after(task: rediq.CurrentTask) -> AsyncGenerator[None]:
    yield
    SEEN_AFTER.append(IN_CONTEXT.get())


@app.task("where")
def where() -> tuple[str, bool, int]:
    IN_CONTEXT.set(IN_CONTEXT.get() + 1)
    return threading.current_thread().name, rediq.current_task().shutting_down, IN_CONTEXT.get()


@app.task("large")
async def large() -> str:
    return "x" * 100_000


@app.task("asks", max_retry=0)
def asks(name: str) -> None:
    call: Any = getattr(trio.from_thread, name)
    call(*[trio.sleep, 0][: 0 if name == "check_cancelled" else 2])


@app.task("raises", max_retry=0)
def raises() -> None:
    raise RuntimeError("of its own")


async def run(task: rediq.Task[Any]) -> tuple[Any, float]:
    """Return the result of a task in a simulation of its own, and the seconds that it took."""
    with seeded(1):
        async with rediq.serve(app, rediq.MemoryStore(), name="w") as server:
            begun, before = trio.current_time(), threading.active_count()
            handle = await server.client.enqueue(task)
            result = await handle.result(timeout=30)
            assert threading.active_count() == before
            return result, trio.current_time() - begun


async def test_a_def_handler_runs_in_the_event_loop_after_a_delay() -> None:
    (thread, stopping, seen), took = await run(where.task())
    assert thread == threading.current_thread().name
    assert 0 < took < INLINE_DELAY_MAX
    assert not stopping
    assert (seen, SEEN_AFTER[-1]) == (1, 0), "it runs in a copy of the context"


async def test_a_large_result_is_packed_in_the_event_loop() -> None:
    result, _ = await run(large.task())
    assert len(result) == 100_000


@pytest.mark.parametrize("name", ["run", "run_sync", "check_cancelled"])
async def test_what_needs_a_thread_is_refused_by_name(name: str) -> None:
    line = asks.function.__code__.co_firstlineno + 3
    with pytest.raises(rediq.TaskFailed, match=rf"test_simulated.py:{line} calls trio.from_thread.{name}: "):
        await run(asks.task(name))


async def test_an_error_of_the_handlers_own_stays_as_it_is() -> None:
    with pytest.raises(rediq.TaskFailed, match="RuntimeError: of its own"):
        await run(raises.task())


async def test_a_worker_looks_the_same_on_each_machine_and_starts_no_watchdog() -> None:
    seen: list[rediq.WorkerInfo] = []
    for _ in range(2):
        with seeded(2):
            before = threading.active_count()
            async with rediq.serve(app, rediq.MemoryStore(), name="w") as server:
                await trio.sleep(1)
                assert threading.active_count() == before
                (info,) = await server.client.workers()
                seen.append(info)
    first, second = seen
    assert (first.host, first.pid, first.memory) == ("simulated", 1, None)
    assert first.instance == second.instance
    assert first.started_at.timestamp() >= NOON


async def test_two_runs_of_a_seed_have_the_same_ids() -> None:
    async def play(seed: int) -> set[str]:
        store = rediq.MemoryStore()
        with seeded(seed):
            async with rediq.connect(store) as client:
                return {(await client.enqueue(where.task())).id for _ in range(20)}

    first, again, other = [await play(seed) for seed in (1, 1, 2)]
    assert len(first) == 20
    assert first == again
    assert not first & other
