"""The progress flusher: the last report of a task is never overtaken by its outcome."""

from __future__ import annotations

import pytest
import trio

import rediq_trio as rediq


@pytest.mark.mock_clock
async def test_the_last_progress_is_kept_also_when_the_handler_returns_at_once() -> None:
    app = rediq.App()

    @app.task("report")
    async def report() -> None:
        rediq.current_task().progress(100, "done")

    async with rediq.serve(app, "memory://", concurrency=1) as server:
        # Trio shuffles who runs first: one of many would have been overtaken.
        for _ in range(30):
            handle = await server.client.enqueue(report.task())
            await handle.wait(timeout=10)
            progress = (await handle.info()).progress
            assert progress is not None
            assert progress.percent == 100
            await trio.sleep(1)  # until the flusher waits again
