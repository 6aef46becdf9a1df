"""The overview of a client, and schedules that are found by name."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import attrs
import pytest

import rediq_trio as rediq
from rediq_trio import ConfigError, MemoryStore
from rediq_trio.store.redis.store import RedisStore
from tests.servers import Server, open_redis_store, require_any_server

Where = tuple[Any, dict[str, Any]]
HOUR = rediq.Every(3600)


@pytest.fixture(params=["memory", "redis"])
def where(request: pytest.FixtureRequest, start_server: Callable[[str], Server]) -> Where:
    """What `connect` opens, with the keywords it takes."""
    if request.param == "memory":
        return MemoryStore(), {}
    return start_server(require_any_server()).url, {"key_prefix": f"all-{uuid.uuid4().hex[:8]}"}


def task(queue: str, **options: Any) -> rediq.Task[Any]:
    return rediq.Task("t", None, queue=queue, **options)


async def test_all_queues_are_counted_as_each_by_itself(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        await client.enqueue_many([task(f"q{n % 3}", delay=n % 2 * 60 or None) for n in range(10)])
        await client.queue("q1").pause()
        found = await client.overview()
        assert list(found.queues) == ["q0", "q1", "q2"]
        for name, counts in found.queues.items():
            stats = attrs.asdict(await client.queue(name).stats())
            for shown_of_one in (
                "oldest_pending_age",
                "paused_by",
                "paused_reason",
                "paused_since",
            ):
                del stats[shown_of_one]
            assert attrs.asdict(counts) == stats
        assert abs(found.at - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)


async def test_partitions_are_summed(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        await client.queue("mail").partition(3)
        await client.enqueue_many([task("mail", id=f"t{n}") for n in range(20)])
        found = await client.overview()
        assert [*found.queues] == ["mail"]
        assert (found.queues["mail"].pending, found.queues["mail"].enqueued) == (20, 20)
        assert not found.queues["mail"].paused
        await client.queue("mail").pause()
        assert (await client.overview(["mail"])).queues["mail"].paused


async def test_queues_are_counted_by_name(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        assert (await client.overview()).queues == {}
        await client.enqueue(task("b"))
        found = await client.overview(name for name in ("b", "a", "b"))
        assert {name: one.pending for name, one in found.queues.items()} == {"b": 1, "a": 0}
        assert (await client.overview([])).queues == {}
        assert await client.queues() == ["b"]


@pytest.mark.parametrize("names", ["mail", 5, ["a b"], ["mail~0"], [None]])
async def test_what_names_no_queues_is_refused(names: Any) -> None:
    async with rediq.connect(MemoryStore()) as client:
        with pytest.raises(ConfigError, match=r"queue|names"):
            await client.overview(names)


async def test_more_queues_than_a_call_takes_are_read(
    where: Where, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rediq_trio.admin.overview.BATCH", 2)
    monkeypatch.setattr("rediq_trio.schedules.admin.BATCH", 2)
    async with rediq.connect(where[0], **where[1]) as client:
        await client.enqueue_many([task(f"q{n}") for n in range(5)])
        assert [one.pending for one in (await client.overview()).queues.values()] == [1] * 5
        await client.schedules().add("s", HOUR, task("q3"))
        assert (await client.schedules().get("s")).queue == "q3"
        assert [info.queue for info in await client.schedules().list()] == ["q3"]


async def test_a_schedule_is_found_without_reading_every_queue(redis_server: Server) -> None:
    async with open_redis_store(redis_server) as opened:
        client = rediq.Client(opened.store)
        await client.enqueue_many([task(f"q{n}") for n in range(40)])
        schedules = client.schedules()
        for name, queue in (("s", "q7"), ("t", "q9")):
            await schedules.add(name, HOUR, task(queue))
        read: list[str] = []
        agenda = RedisStore.agenda

        async def counted(self: RedisStore, queue: str, *, due: int = 0) -> Any:
            read.append(queue)
            return await agenda(self, queue, due=due)

        for call, expected in (
            (lambda: schedules.get("s"), ["q7"]),
            (lambda: schedules.pause("s"), ["q7"]),
            (lambda: schedules.trigger("s"), ["q7"]),
            (lambda: schedules.remove("s"), ["q7"]),
            (schedules.list, ["q9"]),
        ):
            read.clear()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(RedisStore, "agenda", counted)
                await call()
            assert read == expected
        with pytest.raises(rediq.ScheduleNotFound):
            await schedules.get("s")
