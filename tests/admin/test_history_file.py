"""Recordings: what a store keeps comes back from its lines as it was."""

from __future__ import annotations

import gc
import json
import warnings
from contextlib import aclosing

import pytest

import rediq_trio as rediq
from rediq_trio.admin.history_file import history_lines, read_histories
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.replay import ReplaySettings, replay
from rediq_trio.spec.messages import NewTask, Relations
from rediq_trio.store.memory import MemoryStore
from tests.property.test_replay import Alone
from tests.property.walk import walk_every_edge


class Past(MemoryStore):
    """A store that a history has been led through."""

    def __init__(self) -> None:
        super().__init__()
        alone = Alone()
        walk_every_edge(alone)
        self._queues["q"] = alone.model


async def test_every_entry_comes_back_as_it_was() -> None:
    store = Past()
    await store.limit("q", key="k", concurrency=2, count=1, period_ms=5)
    await store.pause("q")
    lines = [line async for line in history_lines(store, "q")]
    assert all("\n" not in line for line in lines)
    [found] = read_histories(lines)
    queue = await store.dump("q")
    assert (found.queue, found.settings) == ("q", ReplaySettings.of(queue))
    assert found.entries == queue.entries
    assert found.is_complete
    assert list(replay(found.entries, found.settings)) == []


async def test_a_new_recording_begins_where_entries_were_cut_away() -> None:
    class Busy(MemoryStore):
        """A store that takes three tasks in between the first page and the second."""

        async def history(self, queue: str, *, after: int, limit: int) -> tuple[Entry, ...]:
            if after == 4:
                tasks = [
                    NewTask(f"more{n}", b"", relations=Relations(unique=f"ü{n}")) for n in range(3)
                ]
                await self.enqueue(queue, tasks)
            return await super().history(queue, after=after, limit=2)

    store = Busy()
    await store.arrange("q", history=3)
    await store.enqueue("q", [NewTask(f"t{n}", b"") for n in range(4)])
    lines = [line async for line in history_lines(store, "q")]
    histories = list(read_histories(["", *lines, "  "]))
    steps = [[entry.number for entry in one.entries] for one in histories]
    assert steps == [[3, 4], [6, 7, 8]]
    assert not any(one.is_complete for one in histories)
    assert [list(replay(one.entries, one.settings)) for one in histories] == [[], []]


async def test_a_queue_without_a_history_is_a_recording_without_entries() -> None:
    lines = [line async for line in history_lines(MemoryStore(), "q")]
    assert len(lines) == 1
    [found] = read_histories(lines)
    assert (found.entries, found.is_complete) == ((), False)


async def test_workers_let_their_queues_keep_a_history() -> None:
    app = rediq.App()
    async with rediq.serve(app, "memory://", queues=["a", "b"], history=5) as server:
        for name in ("a", "b"):
            queue = server.client.queue(name)
            lines = [json.loads(line) async for line in queue.history_lines()]
            assert [line.get("event") for line in lines] == [None, "begin"]
            await queue.keep_history(0)
            assert len([line async for line in queue.history_lines()]) == 1


async def test_lines_that_are_not_all_read_leave_nothing_to_be_collected() -> None:
    async with rediq.connect("memory://") as client:
        queue = client.queue("a")
        await queue.keep_history(5)
        async with aclosing(queue.history_lines()) as lines:
            async for _ in lines:
                break
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            gc.collect()
        assert [str(each.message) for each in found] == []


async def test_a_worker_without_the_setting_leaves_what_is_set() -> None:
    app, url = rediq.App(), "memory://kept"
    async with rediq.connect(url) as client:
        await client.queue("a").keep_history(5)
        async with rediq.serve(app, url, queues=["a"]):
            pass
        lines = [line async for line in client.queue("a").history_lines()]
        assert '"kept": 5' in lines[0]


@pytest.mark.parametrize("count", [-1, 1_000_001, 1.5, "many", True])
async def test_a_number_out_of_bounds_is_refused(count: int) -> None:
    async with rediq.connect("memory://") as client:
        with pytest.raises(rediq.ConfigError, match=r"count=.*0 to 1,000,000"):
            await client.queue("a").keep_history(count)
    with pytest.raises(rediq.ConfigError, match=r"history=.*0 to 1,000,000"):
        async with rediq.serve(rediq.App(), "memory://", history=count):
            raise AssertionError("it serves")
