"""The fields of the records that are made inside a handler."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
import trio

import rediq_trio as rediq
from rediq_trio.handlers.log_fields import TASK_FIELDS

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
user_log = logging.getLogger("shop.orders")
app = rediq.App()


@app.task("said", max_retry=0)
async def said() -> None:
    user_log.warning("in the handler")
    await trio.to_thread.run_sync(user_log.warning, "in a thread")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_say_in_a_task)


async def _say_in_a_task() -> None:
    user_log.warning("in a task")


@app.task("said-in-thread")
def said_in_thread() -> None:
    user_log.warning("in its own thread")


@app.task("own-fields")
async def own_fields() -> None:
    user_log.warning("with its own", extra={"type": "tea", "worker": None})


@app.task("structured")
async def structured() -> dict[str, Any]:
    bound = await trio.to_thread.run_sync(structlog.contextvars.get_contextvars)
    return {**bound, "same": bound == structlog.contextvars.get_contextvars()}


class Kept(logging.Handler):
    """Keeps the records that reach it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def fields(self) -> dict[str, dict[str, object]]:
        return {
            record.getMessage(): {name: vars(record)[name] for name in TASK_FIELDS}
            for record in self.records
        }


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept()
    handler.addFilter(rediq.logging_filter())
    user_log.addHandler(handler)
    yield handler
    user_log.removeHandler(handler)


async def test_each_record_of_a_handler_names_its_attempt(kept: Kept) -> None:
    async with rediq.serve(app, "memory://", name="w-7", queues=["shop"]) as server:
        options = {"queue": "shop", "id": "t", "metadata": {"traceparent": PARENT}}
        await (await server.client.enqueue(said.options(**options).task())).result(timeout=30)
        threaded = said_in_thread.options(queue="shop", id="u").task()
        await (await server.client.enqueue(threaded)).result(timeout=30)
        user_log.warning("outside")
    found = kept.fields()
    mine = {
        "task_id": "shop/t", "type": "said", "queue": "shop", "attempt": 1, "worker": "w-7",
        "trace_id": TRACE,
    }  # fmt: skip
    assert [found[f"in {where}"] for where in ("the handler", "a thread", "a task")] == [mine] * 3
    assert found["in its own thread"] == mine | {
        "task_id": "shop/u", "type": "said-in-thread", "trace_id": None,
    }  # fmt: skip
    assert found["outside"] == dict.fromkeys(TASK_FIELDS)


async def test_the_queue_of_a_partitioned_task_has_no_partition(kept: Kept) -> None:
    async with rediq.connect("memory://log-fields") as client:
        await client.queue("shop").partition(4)
        async with rediq.serve(app, "memory://log-fields", queues=["shop"]) as server:
            handle = await server.client.enqueue(said.options(queue="shop").task())
            await handle.result(timeout=30)
    fields = kept.fields()["in the handler"]
    assert (fields["queue"], fields["task_id"]) == ("shop", handle.id)


async def test_an_attribute_that_a_record_has_already_stays(kept: Kept) -> None:
    async with rediq.serve(app, "memory://") as server:
        await (await server.client.enqueue(own_fields.task())).result(timeout=30)
    fields = kept.fields()["with its own"]
    assert (fields["type"], fields["worker"], fields["attempt"]) == ("tea", None, 1)


async def test_structlog_has_the_fields_in_its_context_variables() -> None:
    async with rediq.serve(app, "memory://", name="w-7") as server:
        handle = await server.client.enqueue(structured.options(id="t").task())
        found = await handle.result(timeout=30)
    assert found == {
        "task_id": "default/t", "type": "structured", "queue": "default", "attempt": 1,
        "worker": "w-7", "same": True,
    }  # fmt: skip
    assert structlog.contextvars.get_contextvars() == {}


def test_structlog_is_not_imported_by_the_library() -> None:
    code = "import sys, rediq_trio; rediq_trio.serve; sys.exit('structlog' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
