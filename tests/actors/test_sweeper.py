"""How often a worker looks for records of workflows that are gone."""

from __future__ import annotations

import pytest
import trio

from rediq_trio import StoreError
from rediq_trio.spec.history.workflows import CHECK_FIRST_MS
from rediq_trio.store.memory import MemoryStore
from rediq_trio.wire.envelope import pack_value
from rediq_trio.worker.keeping.workflows import (
    LOOKED_AT_ONCE,
    SWEEP_EVERY,
    SWEEP_MAX_SLEEP,
    run_sweeper,
)
from rediq_trio.workflow.graph import GRAPH_VERSION
from tests.actors.parts import Watched

pytestmark = pytest.mark.mock_clock

NO_TASKS = pack_value([GRAPH_VERSION, None, [], []], what="workflow")
"""The packed record of a workflow without tasks."""


async def test_workers_without_workflows_look_once_in_a_quarter_of_an_hour() -> None:
    store, workers, hours = Watched(), 4, 10
    async with trio.open_nursery() as nursery:
        for _ in range(workers):
            nursery.start_soon(run_sweeper, store)
        await trio.sleep(3600)
        before = store.count("due_workflows")
        await trio.sleep(hours * 3600)
        looks = store.count("due_workflows") - before
        nursery.cancel_scope.cancel()
    assert looks / workers / hours <= 3600 / (SWEEP_MAX_SLEEP * 0.8)
    assert looks / workers / hours >= 3600 / SWEEP_MAX_SLEEP - 1


async def test_as_long_as_there_is_something_to_look_at_it_looks_each_minute() -> None:
    store = Watched()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_sweeper, store)
        await trio.sleep(4 * SWEEP_MAX_SLEEP)
        for n in range(40):
            await store.keep_workflow(f"w{n}", NO_TASKS)
            await trio.sleep(SWEEP_EVERY)
        before = store.count("due_workflows")
        await trio.sleep(4 * SWEEP_EVERY)
        assert store.count("due_workflows") - before >= 3
        nursery.cancel_scope.cancel()


async def test_a_round_goes_on_while_there_is_more_to_look_at() -> None:
    store, many = Watched(), 50 * LOOKED_AT_ONCE
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_sweeper, store)
        for n in range(many):
            await store.keep_workflow(f"w{n}", NO_TASKS)
        await trio.sleep(CHECK_FIRST_MS / 1000)
        assert len(await store.workflows(limit=many)) == many
        await trio.sleep(SWEEP_MAX_SLEEP)
        assert await store.workflows(limit=many) == ()
        # Not in one go: others want Redis too.
        assert store.count("due_workflows") <= SWEEP_MAX_SLEEP
        nursery.cancel_scope.cancel()


async def test_a_round_that_fails_is_said_once_and_made_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Refusing(MemoryStore):
        async def due_workflows(self, *, limit: int) -> tuple[()]:
            raise StoreError("no rights")

    store = Watched(Refusing())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_sweeper, store)
        await trio.sleep(3 * SWEEP_EVERY)
        store.away = True
        await trio.sleep(3 * SWEEP_EVERY)
        nursery.cancel_scope.cancel()
    assert store.count("due_workflows") >= 6
    assert caplog.text.count("records of workflows that are gone cannot be removed") == 1
