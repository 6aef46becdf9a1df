from __future__ import annotations

import logging

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore

pytestmark = pytest.mark.mock_clock

app = rediq.App()
for number in range(12):

    @app.task(f"mail {number:02}", queue="emails")
    async def mail() -> None: ...


@app.task("plain")
async def plain() -> None: ...


async def test_handlers_of_a_queue_that_nobody_serves_are_a_warning_at_the_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "rediq_trio")
    async with rediq.serve(app, MemoryStore()):
        (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    text = warning.getMessage()
    assert text.startswith("tasks of mail 00, mail 01, ")
    assert "mail 09 and 2 more wait in the queue emails, which neither this worker" in text
    assert "(it serves default)" in text


async def test_a_queue_that_another_live_worker_serves_is_no_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStore()
    async with rediq.serve(app, store, queues=["emails", "default"], name="one"):
        await trio.sleep(1)
        caplog.set_level(logging.INFO, "rediq_trio")
        async with rediq.serve(app, store, queues={"emails": 1}, name="two"):
            (said,) = caplog.records
    assert said.levelno == logging.INFO
    assert said.getMessage() == "the queue default of plain is left to other workers"


async def test_a_worker_that_serves_all_queues_of_its_app_says_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "rediq_trio")
    assert app.queues == ("default", "emails")
    async with rediq.serve(app, MemoryStore(), queues=app.queues):
        assert caplog.records == []
