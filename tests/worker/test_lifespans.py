"""When lifespans are entered and left, and how their errors and cancellations end."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio.worker.poller import Poller

WITHIN = 30.0


class Lost(Exception):
    """What a background task raises when it loses its connection."""


async def test_it_is_entered_before_the_first_claim_and_left_after_the_last_outcome() -> None:
    app, store = rediq.App(), rediq.MemoryStore()
    log: list[str] = []
    handle: rediq.TaskHandle[str]

    @app.lifespan
    async def lifespan() -> AsyncGenerator[None]:
        async with rediq.connect(store) as client:
            await trio.sleep(0.1)
            log.append(f"entered: {(await client.task(handle.id).info()).state}")
            yield
            log.append(f"left: {(await client.task(handle.id).info()).state}")

    @app.task
    async def work() -> str:
        log.append("runs")
        await trio.sleep(0.3)
        return "done"

    async with rediq.connect(store) as client:
        handle = await client.enqueue(work.task())
        async with rediq.serve(app, store):
            with trio.fail_after(WITHIN):
                while "runs" not in log:
                    await trio.sleep(0.01)
        assert log == ["entered: pending", "runs", "left: completed"]


async def test_stop_and_a_burst_leave_it() -> None:
    app = rediq.App()
    log: list[str] = []

    @app.lifespan
    async def lifespan() -> AsyncGenerator[None]:
        yield
        await trio.sleep(0.05)
        log.append("left")

    async with rediq.serve(app, "memory://") as server:
        await server.stop()
        assert log == ["left"]
    async with rediq.serve(app, "memory://", burst=True) as server:
        await server.wait_stopped()
        assert log == ["left", "left"]


@pytest.mark.mock_clock
async def test_health_is_judged_from_the_end_of_a_slow_start() -> None:
    app = rediq.App()

    @app.lifespan
    async def lifespan() -> AsyncGenerator[None]:
        await trio.sleep(3600)
        yield

    async with rediq.serve(app, "memory://") as server:
        assert server.health().alive
        await trio.sleep(1)
        assert server.health().healthy


async def test_an_error_while_entering_ends_serve_unwrapped_and_leaves_the_outer_ones() -> None:
    app, inner = rediq.App(), rediq.App()
    log: list[str] = []

    @app.lifespan
    async def outer_lifespan() -> AsyncGenerator[None]:
        async with trio.open_nursery():
            try:
                yield
                log.append("left without an error")
            finally:
                log.append("closed")

    @inner.lifespan
    async def inner_lifespan() -> AsyncGenerator[None]:
        async with trio.open_nursery():
            raise Lost("no database")
        yield

    app.include(inner)
    with pytest.raises(Lost, match="no database"):
        async with rediq.serve(app, "memory://"):
            log.append("served")
    assert log == ["left without an error", "closed"]


async def test_an_error_while_leaving_is_logged_and_raised_after_the_outcomes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app, store = rediq.App(), rediq.MemoryStore()

    @app.lifespan
    async def pool() -> AsyncGenerator[None]:
        yield
        raise Lost("while closing")

    @app.task
    async def work() -> str:
        await trio.sleep(0.2)
        return "done"

    async with rediq.connect(store) as client:
        with pytest.raises(Lost, match="while closing"):
            async with rediq.serve(app, store) as server:
                handle = await server.client.enqueue(work.task())
                with trio.fail_after(WITHIN):
                    while not server.stats().running:
                        await trio.sleep(0.01)
        assert await client.task(handle.id).result(WITHIN) == "done"
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "pool of the app" in record.getMessage()
    assert "failed: Lost: while closing" in record.getMessage()


async def test_an_error_of_the_block_is_raised_and_that_of_the_lifespan_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = rediq.App()

    @app.lifespan
    async def pool() -> AsyncGenerator[None]:
        yield
        raise Lost("while closing")

    with pytest.raises(ZeroDivisionError):
        async with rediq.serve(app, "memory://"):
            raise ZeroDivisionError
    assert "failed: Lost: while closing" in caplog.text


async def test_a_background_task_that_fails_ends_serve_with_its_error() -> None:
    app, store = rediq.App(), rediq.MemoryStore()
    fail = trio.Event()

    async def background() -> None:
        await fail.wait()
        raise Lost("the connection")

    @app.lifespan
    async def lifespan() -> AsyncGenerator[str]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(background)
            yield "pool"
            nursery.cancel_scope.cancel()

    @app.task
    async def quick() -> Any:
        return app.state

    @app.task
    async def shielded() -> str:
        with trio.CancelScope(shield=True):
            await fail.wait()
            await trio.sleep(0.2)
        return "done"

    @app.task
    async def slow() -> None:
        await trio.sleep_forever()

    async with rediq.connect(store) as client:
        with pytest.raises(Lost, match="the connection"):
            async with rediq.serve(app, store) as server:
                assert await (await client.enqueue(quick.task())).result(WITHIN) == "pool"
                ends = await client.enqueue(shielded.task())
                waits = await client.enqueue(slow.task())
                with trio.fail_after(WITHIN):
                    while server.stats().running < 2:
                        await trio.sleep(0.01)
                fail.set()
                await trio.sleep(WITHIN)
        assert (await ends.info()).state is rediq.State.COMPLETED
        info = await waits.info()
        assert (info.state, info.attempt, info.crashes) == (rediq.State.PENDING, 0, 0)


async def test_an_outer_background_task_that_fails_while_an_inner_one_enters() -> None:
    app, inner = rediq.App(), rediq.App()

    async def background() -> None:
        await trio.sleep(0.05)
        raise Lost

    @app.lifespan
    async def outer_lifespan() -> AsyncGenerator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(background)
            yield

    @inner.lifespan
    async def inner_lifespan() -> AsyncGenerator[None]:
        async with trio.open_nursery():
            await trio.sleep_forever()
        yield

    app.include(inner)
    with pytest.raises(Lost):
        async with rediq.serve(app, "memory://"):
            raise AssertionError


async def test_a_scope_that_ends_by_itself_is_an_error_and_not_a_silent_stop() -> None:
    app = rediq.App("shop")

    @app.lifespan
    async def lifespan() -> AsyncGenerator[None]:
        with trio.move_on_after(0.05):
            yield

    with pytest.raises(rediq.ConfigError, match=r"app 'shop'.*cancelled from inside"):
        async with rediq.serve(app, "memory://") as server:
            await server.wait_stopped()


@pytest.mark.mock_clock
async def test_a_worker_that_crashes_leaves_the_lifespans_without_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = rediq.App()
    log: list[str] = []

    async def broken(*_: Any) -> bool:
        raise ZeroDivisionError("in an actor")

    @app.lifespan
    async def lifespan() -> AsyncGenerator[None]:
        try:
            yield
            log.append("left")
        except Exception:  # it would suppress the crash if it saw it
            log.append("suppressed")

    monkeypatch.setattr(Poller, "_round", broken)
    with pytest.raises(rediq.WorkerCrashed, match="in an actor"):
        async with rediq.serve(app, "memory://"):
            await trio.sleep_forever()
    assert log == ["left"]


async def test_serve_that_is_cancelled_while_entering_is_cancelled_at_once() -> None:
    app, inner = rediq.App(), rediq.App()
    log: list[str] = []

    @app.lifespan
    async def outer_lifespan() -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await trio.sleep(0.05)  # it has `cleanup_grace`, since it was entered
            log.append("closed")

    @inner.lifespan
    async def inner_lifespan() -> AsyncGenerator[None]:
        scope.cancel()
        await trio.sleep_forever()
        yield

    app.include(inner)
    with trio.CancelScope() as scope:
        async with rediq.serve(app, "memory://"):
            raise AssertionError
    assert scope.cancelled_caught
    assert log == ["closed"]


async def test_a_cancelled_start_whose_clean_up_takes_too_long_is_a_cancellation() -> None:
    app, inner = rediq.App(), rediq.App()

    @app.lifespan
    async def outer_lifespan() -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await trio.sleep_forever()

    @inner.lifespan
    async def inner_lifespan() -> AsyncGenerator[None]:
        await trio.sleep_forever()
        yield

    app.include(inner)
    with trio.fail_after(WITHIN), trio.move_on_after(0.1) as scope:
        async with rediq.serve(app, "memory://", cleanup_grace=0.2):
            raise AssertionError
    assert scope.cancelled_caught


async def test_serve_that_is_cancelled_leaves_within_the_cleanup_grace() -> None:
    app, store = rediq.App(), rediq.MemoryStore()
    log: list[str] = []

    @app.lifespan
    async def lifespan() -> AsyncGenerator[None]:
        yield  # where nothing is raised
        await trio.sleep(0.1)
        log.append("closed")

    @app.task
    async def slow() -> None:
        await trio.sleep_forever()

    async with rediq.connect(store) as client:
        handle = await client.enqueue(slow.task())
        with trio.CancelScope() as scope:
            async with rediq.serve(app, store) as server:
                while not server.stats().running:
                    await trio.sleep(0.01)
                scope.cancel()
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert log == ["closed"]
        assert (await handle.info()).state is rediq.State.PENDING


async def test_what_still_runs_in_a_lifespan_is_cancelled_after_the_cleanup_grace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = rediq.App()

    @app.lifespan
    async def lifespan() -> AsyncGenerator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            yield

    with trio.fail_after(WITHIN):
        async with rediq.serve(app, "memory://", cleanup_grace=0.2):
            pass
    assert "not left within cleanup_grace (0.2 s)" in caplog.text
