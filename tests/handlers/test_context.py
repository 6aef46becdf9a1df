from __future__ import annotations

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import State

pytestmark = pytest.mark.mock_clock


async def test_a_clean_up_that_hangs_is_cancelled_after_its_grace() -> None:
    app, end = rediq.App(), trio.Event()

    @app.task("hang", timeout=1.0, max_retry=0)
    async def hang() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with rediq.current_task().cleanup():
                await end.wait()

    async with rediq.serve(app, "memory://", cleanup_grace=2.0) as server:
        handle = await server.client.enqueue(hang.task())
        try:
            info = await handle.wait(timeout=10)
        finally:
            end.set()
        assert info.state is State.DEAD
        assert trio.current_time() == pytest.approx(3.0, abs=0.01)


async def test_a_long_message_is_cut() -> None:
    app = rediq.App()

    @app.task("talk")
    async def talk() -> None:
        rediq.current_task().progress(50, "x" * 50_000)

    async with rediq.serve(app, "memory://") as server:
        handle = await server.client.enqueue(talk.task())
        progress = (await handle.wait(timeout=10)).progress
    assert progress is not None
    assert progress.message == "x" * 1000
