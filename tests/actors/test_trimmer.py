"""When a worker notes the bytes of statistics, and removes what is too much."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from rediq_trio import ConnectionLost, StoreError
from rediq_trio.store.memory import MemoryStore
from rediq_trio.worker.keeping.keeper import Keeper
from rediq_trio.worker.keeping.trimmer import Trimmer
from tests.actors.parts import Q, Watched, new_task

pytestmark = pytest.mark.mock_clock


class Sized(MemoryStore):
    """A store whose queues take as many bytes as they are said to, of which as many may go."""

    def __init__(self, sizes: dict[str, int], fixed: int = 0) -> None:
        super().__init__()
        self.bytes, self.fixed = sizes, fixed
        self.gone = Counter[str]()
        self.away = ""

    async def series_bytes(self, queue: str) -> int:
        return self.bytes.get(queue, 0)

    async def trim(self, queue: str, *, shed: int) -> int:
        if queue == self.away:
            raise ConnectionLost("away", sent=False)
        gone = min(shed, self.bytes[queue] - self.fixed)
        self.bytes[queue] -= gone
        self.gone[queue] += gone
        return gone


@asynccontextmanager
async def trimming(store: Any, most: int = 100) -> AsyncIterator[Trimmer]:
    trimmer = Trimmer(store, most)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trimmer.run)
        yield trimmer
        nursery.cancel_scope.cancel()


async def grow(trimmer: Trimmer, *queues: str) -> None:
    for queue in queues:
        trimmer.add(queue)
        await trio.sleep(1)


async def test_the_queues_that_were_longest_not_used_lose_what_is_too_much() -> None:
    store = Sized({"a": 40, "b": 40, "c": 20})
    async with trimming(store) as trimmer:
        await grow(trimmer, "a", "b", "c")
        assert store.gone == {}
        store.bytes["c"] = 70
        await grow(trimmer, "c")
    assert store.gone == {"a": 40, "b": 10}
    assert sum(store.bytes.values()) == 100


async def test_a_queue_that_lost_some_is_still_the_first_to_lose() -> None:
    store = Sized({"a": 60, "b": 20, "c": 30})
    async with trimming(store) as trimmer:
        await grow(trimmer, "a", "b", "c")
        store.bytes["c"] = 45
        await grow(trimmer, "c")
    assert store.gone == {"a": 25}


async def test_a_queue_that_can_lose_no_more_gives_way_to_the_next() -> None:
    store = Sized({"a": 40, "b": 40, "c": 40}, fixed=30)
    async with trimming(store) as trimmer:
        await grow(trimmer, "a", "b", "c")
        assert store.gone == {"a": 10}
        await grow(trimmer, "c")
        assert store.gone == {"a": 10, "b": 10}


async def test_a_queue_that_is_away_holds_up_no_other() -> None:
    store = Sized({"a": 60, "b": 60, "c": 90})
    store.away = "a"
    async with trimming(store) as trimmer:
        await grow(trimmer, "a", "b", "c")
    assert store.gone["b"] == 50


async def test_a_queue_that_is_gone_counts_no_more() -> None:
    store = Sized({"a": 60, "b": 50})
    async with trimming(store) as trimmer:
        await grow(trimmer, "a")
        store.bytes["a"] = 0
        await grow(trimmer, "b")
        store.bytes["b"] = 90
        await grow(trimmer, "b")
    assert store.bytes["b"] == 90


async def test_a_connection_that_was_lost_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    store = Watched(Sized({"a": 150}))
    async with trimming(store) as trimmer:
        store.away = True
        await grow(trimmer, "a")
        store.away = False
        await grow(trimmer, "a")
    assert await store.series_bytes("a") == 100
    assert caplog.text == ""


async def test_what_the_store_refuses_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    class Refusing(MemoryStore):
        async def note_size(self, *_: object, **__: object) -> Any:
            raise StoreError("no rights")

    async with trimming(Refusing()) as trimmer:
        await grow(trimmer, "a", "a")
    assert caplog.text.count("the size of statistics cannot be noted") == 1


async def test_a_keeper_notes_a_queue_once_in_ten_minutes_of_use_and_an_idle_one_never() -> None:
    store = Watched()
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(Keeper(store, (Q,), dead_retention=300.0, max_dead=100).run)
        await trio.sleep(3600)
        assert store.count("note_size") == 0
        for n in range(360):
            await store.enqueue(Q, [new_task(id=f"t{n}")])
            await trio.sleep(10)
        assert 6 <= store.count("note_size") <= 7
        await store.flush(Q)
        await trio.sleep(60)
        before = store.count("note_size")
        await trio.sleep(7200)
        assert store.count("note_size") == before
        nursery.cancel_scope.cancel()
