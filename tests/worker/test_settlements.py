"""Attempts that end in different ways at one time, of a worker on a real Redis."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
import trio.testing

import rediq_trio as rediq
from rediq_trio.spec.messages import Completed, Failed, Outcome, Settled, Snoozed, Stopped
from rediq_trio.store.redis.scripts import Script, load_scripts
from rediq_trio.store.redis.store import RedisStore
from tests.actors.parts import Watched, until
from tests.servers import Server, open_redis_store


class CountedScripts(dict[str, Script]):
    """The scripts, and which of them were run."""

    def __init__(self) -> None:
        super().__init__(load_scripts())
        self.run: list[str] = []

    def __getitem__(self, name: str) -> Script:
        self.run.append(name)
        return super().__getitem__(name)


class HeldUp(Watched):
    """A store whose first settlement waits, so that the outcomes after it come together."""

    def __init__(self, store: RedisStore) -> None:
        super().__init__(store)  # type: ignore[arg-type]
        self.go_on = trio.Event()
        self.settled: list[list[type[Outcome]]] = []

    async def settle(self, queue: str, outcomes: Sequence[Outcome]) -> Settled:
        self.settled.append([type(outcome) for outcome in outcomes])
        await self.go_on.wait()
        return await self.store.settle(queue, outcomes)


class Attempts:
    """Handlers that end in every way, and how many attempts have ended."""

    def __init__(self) -> None:
        self.app = rediq.App()
        self.begun = 0
        self.ended = 0

        @self.app.middleware
        async def count(task: rediq.CurrentTask) -> object:
            self.begun += 1
            try:
                yield
            finally:
                self.ended += 1

        @self.app.task("returns")
        async def returns() -> None:
            pass

        @self.app.task("raises", max_retry=3, backoff=rediq.Fixed(60.0))
        async def raises() -> None:
            raise ValueError("boom")

        @self.app.task("rejects")
        async def rejects() -> None:
            raise rediq.Reject("never")

        @self.app.task("snoozes")
        async def snoozes() -> None:
            raise rediq.Snooze(60.0)

        @self.app.task("hangs")
        async def hangs() -> None:
            await trio.sleep_forever()


@pytest.mark.parametrize("each", [1, 7])
async def test_outcomes_of_every_kind_are_written_by_one_script_run(
    redis_server: Server, each: int
) -> None:
    attempts, scripts = Attempts(), CountedScripts()
    names = ["returns", "raises", "rejects", "snoozes"] * each
    async with open_redis_store(redis_server) as opened:
        store = HeldUp(RedisStore(opened.gateway, scripts, opened.keys))
        async with rediq.serve(attempts.app, store, concurrency=100) as server:  # type: ignore[arg-type]
            client = server.client
            await client.enqueue(rediq.Task("returns", {}, retention=0))
            await until(lambda: len(store.settled) == 1)
            hanging = [await client.enqueue(rediq.Task("hangs", {})) for _ in range(each)]
            await client.enqueue_many([rediq.Task(name, {}) for name in names])
            await until(lambda: attempts.begun == 1 + 5 * each)
            for handle in hanging:
                await handle.cancel()
            await until(lambda: attempts.ended == 1 + 5 * each)
            await trio.testing.wait_all_tasks_blocked(0.05)
            store.go_on.set()
            await until(lambda: server.stats().completed == 1 + each)
            await until(lambda: server.stats().cancelled == each)
            stats = await client.queue("default").stats()
            assert (stats.completed, stats.retry, stats.dead) == (each, each, each)
            assert (stats.scheduled, stats.cancelled, stats.active) == (each, each, 0)
            assert await client.queue("default").check() == []
    first, mixed = store.settled
    assert first == [Completed]
    assert {kind: mixed.count(kind) for kind in mixed} == {
        Completed: each, Failed: 2 * each, Snoozed: each, Stopped: each,
    }  # fmt: skip
    assert scripts.run.count("settle") == 2
