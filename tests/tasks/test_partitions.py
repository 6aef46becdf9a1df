"""Partitioned queues: one name over several hash slots, for those who write with it."""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConfigError, DuplicateTask, MemoryStore, State, Unique
from rediq_trio.spec.check.findings import Action, TargetType, left_over
from rediq_trio.spec.check.partitions import (
    PartitionCount,
    count_partitions,
    partition_violations,
)
from rediq_trio.spec.messages import Claimed
from rediq_trio.store.redis.connection.gateway import open_gateway, parse_address
from rediq_trio.store.redis.keys import Keys
from rediq_trio.tasks.partitions import PartitionCounts
from rediq_trio.values.bounds import PartitionName
from rediq_trio.worker.leases import HeldLease, LeaseTable
from rediq_trio.worker.poller import Poller
from rediq_trio.worker.prefetch import Prefetch
from tests.servers import Server, require_any_server

Where = tuple[Any, dict[str, Any]]


@pytest.fixture(params=["memory", "redis"])
def where(request: pytest.FixtureRequest, start_server: Callable[[str], Server]) -> Where:
    """Give what `serve` and `connect` open, with the keywords they take."""
    if request.param == "memory":
        return MemoryStore(), {}
    return start_server(require_any_server()).url, {"key_prefix": f"parts-{uuid.uuid4().hex[:8]}"}


app = rediq.App()


@app.task("echo", queue="mail")
async def echo(value: Any = None) -> Any:
    return value


@app.task("boom", queue="mail", max_retry=0)
async def boom() -> None:
    raise ValueError("boom")


@app.task("parent", queue="mail")
async def parent(n: int) -> list[str]:
    task = rediq.current_task()
    assert task.queue == "mail"
    return [task.enqueue_after(echo.task(k)).id for k in range(n)]


@app.task("joined", queue="mail")
async def joined() -> list[Any]:
    return sorted((await rediq.current_task().results()).values())


def at(task_id: str) -> str:
    return task_id.partition("/")[0]


async def test_tasks_are_spread_and_their_ids_say_where_they_are(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        queue = client.queue("mail")
        await queue.partition(4)
        handles = await client.enqueue_many([echo.task(n) for n in range(1000)])
        spread = Counter(at(handle.id) for handle in handles)
        assert set(spread) == {f"mail~{n}" for n in range(4)}
        # 250 each, within six standard deviations.
        assert all(170 < count < 330 for count in spread.values())
        info = await client.task(handles[0].id).info()
        assert (info.id, info.queue, handles[0].queue) == (handles[0].id, "mail", "mail")
        assert await client.queues() == ["mail"]
        stats = await queue.stats()
        assert (stats.pending, stats.enqueued) == (1000, 1000)


async def test_a_worker_serves_every_partition(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        await client.queue("mail").partition(3)
    async with rediq.serve(app, where[0], **where[1], queues=["mail"]) as server:
        client = server.client
        assert server.info().queues == ("mail",)
        handles = [await client.enqueue(echo.task(n)) for n in range(30)]
        assert [await h.result(timeout=10) for h in handles] == list(range(30))
        await server.wait_idle()
        assert (await client.queue("mail").stats()).completed_total == 30
        assert await client.queue("mail").check() == []


async def test_delays_and_retries_are_kept_in_every_partition(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        await client.queue("mail").partition(3)
    async with rediq.serve(app, where[0], **where[1], queues=["mail"]) as server:
        later = echo.options(delay=0.05)
        handles = [await server.client.enqueue(later.task(n)) for n in range(10)]
        assert [await h.result(timeout=10) for h in handles] == list(range(10))


async def test_own_ids_have_their_place_and_are_refused_twice(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        await client.queue("mail").partition(8)
        for n in range(20):
            mine = echo.options(id=f"t{n}")
            handle = await client.enqueue(mine.task())
            with pytest.raises(DuplicateTask) as refused:
                await client.enqueue(mine.task())
            assert refused.value.existing_id == handle.id
        # The hash is part of what is stored: it may never change.
        assert at((await client.enqueue(echo.options(id="stable").task())).id) == "mail~7"


async def test_a_unique_key_is_held_once_between_racing_producers(where: Where) -> None:
    async with (
        rediq.connect(where[0], **where[1]) as one,
        rediq.connect(where[0], **where[1]) as two,
    ):
        await one.queue("mail").partition(8)
        for unique in (Unique(key="k"), Unique()):
            got: list[str] = []
            refused: list[str] = []

            async def produce(
                client: rediq.Client, unique: Unique, got: list[str], refused: list[str]
            ) -> None:
                try:
                    got.append((await client.enqueue(echo.options(unique=unique).task(7))).id)
                except DuplicateTask as error:
                    refused.append(error.existing_id)

            async with trio.open_nursery() as nursery:
                for client in (one, two, one, two, one, two):
                    nursery.start_soon(produce, client, unique, got, refused)
            assert len(got) == 1
            assert refused == got * 5


async def test_tasks_of_one_group_lie_together(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        await client.queue("mail").partition(8)
        grouped = [await client.enqueue(echo.options(group="g").task(n)) for n in range(10)]
        assert len({at(handle.id) for handle in grouped}) == 1


async def test_dependencies_workflows_and_children_cross_partitions(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        await client.queue("mail").partition(8)
    async with rediq.serve(app, where[0], **where[1], queues=["mail"]) as server:
        client = server.client
        with trio.fail_after(30):
            firsts = [await client.enqueue(echo.task(n)) for n in range(6)]
            assert len({at(handle.id) for handle in firsts}) > 1
            last = await client.enqueue(joined.options(depends_on=firsts).task())
            assert await last.result(timeout=10) == list(range(6))
            flow = rediq.gather(*(echo.task(n) for n in range(5)), then=joined.task())
            running = await client.enqueue(flow)
            assert await running.result(timeout=10) == list(range(5))
            assert (await running.info()).state == "completed"
            handle = await client.enqueue(parent.task(5))
            ids = await handle.result(timeout=10)
            # Beside their parent, so that they are there once it has completed.
            assert {at(one) for one in ids} == {at(handle.id)}
            assert [await client.task(one).result(timeout=10) for one in ids] == list(range(5))
            await server.wait_idle()


async def test_what_an_operator_does_spans_all_partitions(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        queue = client.queue("mail")
        await queue.partition(3)
        await queue.pause()
        assert (await queue.stats()).paused
        handles = await client.enqueue_many([boom.task() for _ in range(25)])
        ids = {handle.id for handle in handles}
        paged: list[str] = []
        while page := await queue.tasks("pending", limit=4, after=paged[-1] if paged else None):
            paged += [info.id for info in page]
        assert len(paged) == 25
        assert set(paged) == ids
        async with rediq.serve(app, where[0], **where[1], queues=["mail"]):
            await trio.sleep(0.2)
            assert (await queue.stats()).pending == 25
            await queue.resume()
            assert not (await queue.stats()).paused
            for handle in handles:
                assert (await handle.wait(timeout=10)).state is State.DEAD
        assert {info.id for info in await queue.dead.list()} == ids
        assert await queue.dead.retry(handles[0].id) is True
        assert await queue.dead.retry_all() == 24
        stats = await queue.stats()
        assert (stats.pending, stats.dead, stats.dead_total) == (25, 0, 25)
        assert stats.oldest_pending_age >= 0
        assert await handles[0].cancel() is State.CANCELLED
        assert await handles[1].delete() is True
        assert await queue.check() == []
        assert await queue.flush() == 24
        assert (await queue.stats()).deleted == 25
        with pytest.raises(ConfigError, match="after='other~1/x'"):
            await queue.tasks("pending", after="other~1/x")
        with pytest.raises(rediq.TaskNotFound):
            await queue.tasks("pending", after="mail~9/x")


async def test_dead_tasks_are_purged_in_all_partitions(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        queue = client.queue("mail")
        await queue.partition(3)
        async with rediq.serve(app, where[0], **where[1], queues=["mail"]) as server:
            await client.enqueue_many([boom.task() for _ in range(12)])
            await server.wait_idle()
        assert await queue.dead.purge() == 12


async def test_only_an_empty_queue_without_limits_is_partitioned(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        queue = client.queue("mail")
        handle = await client.enqueue(echo.task())
        with pytest.raises(ConfigError, match="no task in any state"):
            await queue.partition(2)
        await handle.cancel()
        with pytest.raises(ConfigError, match="no task in any state"):
            await queue.partition(2)
        await handle.delete()
        limits: list[tuple[dict[str, Any], dict[str, Any]]] = [
            ({"concurrency": 1}, {"concurrency": None}),
            ({"key": "a", "concurrency": 1}, {"key": "a", "concurrency": None}),
            ({"rate": rediq.Rate(1)}, {"rate": None}),
            ({"max_pending": 1}, {"max_pending": None}),
            ({"fair_by": "limit_key"}, {"fair_by": None}),
        ]
        for limit, lifted in limits:
            await queue.limit(**limit)
            with pytest.raises(ConfigError, match="has limits, which cannot hold across slots"):
                await queue.partition(2)
            await queue.limit(**lifted)
        await queue.partition(2)
        await queue.partition(2)
        with pytest.raises(ConfigError, match="queue mail is partitioned"):
            await queue.limit(concurrency=1)
        assert await queue.limits() == rediq.QueueLimits()


async def test_a_partitioned_queue_is_changed_and_undone_while_it_is_empty(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        queue = client.queue("mail")
        await queue.partition(2)
        async with rediq.connect(where[0], **where[1]) as other:
            handle = await other.enqueue(echo.task())
        for count in (3, 1):
            with pytest.raises(ConfigError, match="no task in any state"):
                await queue.partition(count)
        await client.task(handle.id).delete()
        await queue.partition(3)
        await queue.partition(1)
        async with rediq.connect(where[0], **where[1]) as other:
            assert at((await other.enqueue(echo.task())).id) == "mail"
        await queue.limit(concurrency=1)


@pytest.mark.parametrize("count", [0, -1, 65, 2.0, True, "2", None])
async def test_a_bad_number_of_partitions_is_refused(count: Any) -> None:
    async with rediq.connect(MemoryStore()) as client:
        with pytest.raises(ConfigError, match="count="):
            await client.queue("mail").partition(count)


async def test_a_task_that_has_no_place_of_its_own_is_refused_and_nothing_written() -> None:
    store = MemoryStore()
    async with rediq.connect(store) as client:
        await client.queue("mail").partition(2)
        ways: list[dict[str, Any]] = [
            {"id": "t", "unique": Unique(key="k")},
            {"id": "t", "group": "g"},
            {"unique": Unique(key="k"), "group": "g"},
            {"limit_key": "a"},
        ]
        for options in ways:
            for call in (client.enqueue, lambda task: client.enqueue_many([task])):
                with pytest.raises(ConfigError, match="mail is partitioned"):
                    await call(echo.options(**options).task())
        assert (await client.queue("mail").stats()).enqueued == 0


@pytest.mark.parametrize("name", ["mail~1", "mail~", "~1", "~"])
async def test_no_user_names_a_partition(name: str) -> None:
    with pytest.raises(ConfigError, match="queue="):
        rediq.Task("t", queue=name)
    with pytest.raises(ConfigError, match="queues="):
        async with rediq.serve(app, MemoryStore(), queues=[name]):
            pass
    async with rediq.connect(MemoryStore()) as client:
        with pytest.raises(ConfigError):
            client.queue(name)


@pytest.mark.parametrize(
    "bad", ["mail~/x", "mail~100/x", "mail~x/y", "~1/x", "mail~1~2/x", "mail/x~1"]
)
async def test_what_is_no_id_of_a_partition_is_refused(bad: str) -> None:
    async with rediq.connect(MemoryStore()) as client:
        with pytest.raises(ConfigError):
            client.task(bad)
    with pytest.raises(ConfigError):
        rediq.Task("t", depends_on=[bad])


@pytest.mark.mock_clock
async def test_a_client_learns_of_partitions_within_five_seconds() -> None:
    store = MemoryStore()
    async with rediq.connect(store) as client:
        await (await client.enqueue(echo.task())).delete()
        await client.queue("mail").partition(2)
        early = await client.enqueue(echo.task())
        assert at(early.id) == "mail"
        await trio.sleep(5)
        assert at((await client.enqueue(echo.task())).id) in {"mail~0", "mail~1"}
        # What came by the old way is served and seen all the same.
        assert (await client.queue("mail").stats()).pending == 2
        async with rediq.serve(app, store, queues=["mail"]):
            await early.result(timeout=5)


@pytest.mark.mock_clock
async def test_a_worker_says_that_it_does_not_serve_new_partitions(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStore()
    with caplog.at_level(logging.WARNING, "rediq_trio"):
        async with rediq.serve(app, store, queues=["mail"]) as server:
            await trio.sleep(20)
            assert caplog.messages == []
            await server.client.queue("mail").partition(2)
            await trio.sleep(20)
    assert caplog.messages == [
        "queue mail now has 2 partitions, but this worker started with 1: restart it"
    ]


@pytest.mark.mock_clock
async def test_old_numbers_do_while_redis_is_away() -> None:
    store = MemoryStore()
    partitions = PartitionCounts(store)
    await store.set_partitions("mail", 2)
    await partitions.refresh_if_old()
    store.partitions = _away  # type: ignore[method-assign]
    await trio.sleep(10)
    await partitions.refresh_if_old()
    assert partitions.count("mail") == 2
    with pytest.raises(rediq.ConnectionLost):
        await PartitionCounts(store).refresh_if_old()


async def _away() -> dict[str, int]:
    await trio.lowlevel.checkpoint()
    raise rediq.ConnectionLost("away", sent=False)


class Asked(MemoryStore):
    """A store that notes which queue each claim is for."""

    def __init__(self) -> None:
        super().__init__()
        self.claimed: list[str] = []

    async def claim(self, queue: str, **options: Any) -> Claimed:
        self.claimed.append(queue)
        return await super().claim(queue, **options)


async def test_partitions_take_turns_and_queues_keep_their_order() -> None:
    partitions = {
        "mail": ("mail", PartitionName("mail~0"), PartitionName("mail~1")),
        "other": ("other",),
    }
    store, lease_table = Asked(), LeaseTable()
    leases, _ = trio.open_memory_channel[list[HeldLease]](9)
    poller = Poller(
        store,
        ("mail", "other"),
        "w",
        30.0,
        lease_table,
        Prefetch(1, 0),
        lambda: 0,
        leases,
        partitions,
    )
    async with trio.open_nursery() as nursery:
        for _ in range(6):
            assert await poller._round(nursery)
    orders = [store.claimed[i : i + 4] for i in range(0, 24, 4)]
    assert all(order[3:] == ["other"] for order in orders)
    assert Counter(order[0] for order in orders) == {"mail": 2, "mail~0": 2, "mail~1": 2}
    assert all(sorted(order[:3]) == ["mail", "mail~0", "mail~1"] for order in orders)


async def test_every_partition_gets_its_share_of_a_busy_worker() -> None:
    store = MemoryStore()
    async with rediq.connect(store) as client:
        await client.queue("mail").partition(2)
        handles = await client.enqueue_many([echo.task(n) for n in range(200)])
        async with rediq.serve(app, store, queues=["mail"], concurrency=1, prefetch=0) as server:
            await server.wait_idle()
        infos = [await handle.info() for handle in handles]
    ended = [at(i.id) for i in sorted(infos, key=lambda i: i.finished_at or i.created_at)]
    assert 20 < Counter(ended[:100])["mail~0"] < 80


async def test_a_placed_task_is_a_value_of_its_own() -> None:
    store = MemoryStore()
    await store.set_partitions("mail", 2)
    partitions = PartitionCounts(store)
    await partitions.refresh_if_old()
    task = echo.task(1)
    placed = partitions.router()(task)
    assert task.queue == "mail"
    assert placed.queue in {"mail~0", "mail~1"}
    assert attrs.evolve(placed, priority=3).queue == placed.queue


@pytest.mark.parametrize("option", [{"unique": Unique("k")}, {"group": "g"}], ids=str)
async def test_a_schedule_whose_tasks_would_lie_elsewhere_is_refused(option: Any) -> None:
    store = MemoryStore()
    async with rediq.connect(store) as client:
        await client.queue("mail").partition(2)
        keyed = rediq.Task("t", queue="mail", **option)
        with pytest.raises(ConfigError, match="schedule s: the queue mail is partitioned"):
            await client.schedules().add("s", rediq.Every(60), keyed)
        assert await client.schedules().list() == []
        await client.schedules().add("s", rediq.Every(60), rediq.Task("t", queue="mail"))
        assert [each.name for each in await client.schedules().list()] == ["s"]


async def test_a_queue_with_such_a_schedule_is_not_partitioned() -> None:
    async with rediq.connect(MemoryStore()) as client:
        keyed = rediq.Task("t", queue="mail", unique=Unique("k"))
        await client.schedules().add("s", rediq.Every(60), keyed)
        with pytest.raises(ConfigError, match="the schedule s in mail"):
            await client.queue("mail").partition(2)
        await client.schedules().remove("s")
        await client.queue("mail").partition(2)


# --- a number that was lost, as by a failover or a backup from before


async def lose_number(where: Where, prefix: str) -> None:
    """Forget that `mail` is partitioned, as a server does that lost this one write."""
    if isinstance(where[0], MemoryStore):
        where[0]._partitions.pop("mail")
        return
    async with open_gateway(parse_address(where[0]), Keys(prefix)) as gateway:
        assert await gateway.call(b"HDEL", Keys(prefix).partitions, "mail") == 1


async def test_a_number_that_was_lost_is_seen_served_and_put_right(where: Where) -> None:
    prefix = where[1].get("key_prefix", "")
    async with rediq.connect(where[0], **where[1]) as client:
        queue = client.queue("mail")
        await queue.partition(4)
        handles = await client.enqueue_many([echo.task(n) for n in range(40)])
        await lose_number(where, prefix)
        assert (await queue.stats()).pending == 40
        async with rediq.connect(where[0], **where[1]) as late:
            more = [await late.enqueue(echo.options(id=f"own-{n}").task(n)) for n in range(20)]
        assert {at(handle.id) for handle in more} == {f"mail~{n}" for n in range(4)}
        async with rediq.serve(app, where[0], **where[1], queues=["mail"]) as server:
            await server.wait_idle()
        assert [await h.result(timeout=10) for h in handles] == list(range(40))
        [violation] = found = await queue.check()
        assert (violation.invariant, violation.queue, violation.about) == (
            2,
            "mail",
            TargetType.QUEUE,
        )
        assert str(violation) == (
            "invariant 2, the queue: has 4 partitions by the names of queues, and 1 is noted"
        )
        [repair] = plan = await queue.repair_plan(found)
        assert (repair.what, repair.before, repair.after) == (Action.PARTITIONS, "1", "4")
        assert left_over(found, plan) == []
        assert await queue.repair([repair, repair]) == [repair]
        assert await queue.check() == []
        assert await queue.repair_plan(found) == []
        assert await queue.repair(plan) == []


async def test_a_number_that_was_lost_before_any_task_came_is_seen(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        await client.queue("mail").partition(4)
        await lose_number(where, where[1].get("key_prefix", ""))
        [violation] = await client.queue("mail").check()
        assert violation.detail == "has 4 partitions by the names of queues, and 1 is noted"


async def test_to_partition_again_puts_a_lost_number_right(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        queue = client.queue("mail")
        await queue.partition(4)
        await client.enqueue(echo.task())
        await lose_number(where, where[1].get("key_prefix", ""))
        await queue.partition(4)
        assert await queue.check() == []


async def test_a_queue_with_fewer_partitions_than_it_had_has_lost_none(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        queue = client.queue("mail")
        await queue.partition(4)
        await client.enqueue_many([echo.task(n) for n in range(40)])
        await queue.flush()
        for count in (2, 1):
            await queue.partition(count)
            assert await queue.check() == []
        # The same client's, whose store knows the name of each partition by now.
        await queue.partition(4)
        await client._partition_counts.refresh()
        handles = [await client.enqueue(echo.task(n)) for n in range(40)]
        assert {at(handle.id) for handle in handles} == {f"mail~{n}" for n in range(4)}
        await lose_number(where, where[1].get("key_prefix", ""))
        assert (await queue.stats()).pending == 40


async def test_a_name_that_was_lost_is_written_again(redis_server: Server) -> None:
    url, keys = redis_server.url, Keys(f"parts-{uuid.uuid4().hex[:8]}")
    async with (
        rediq.connect(url, key_prefix=keys.queues.decode().partition("/")[0]) as client,
        open_gateway(parse_address(url), keys) as gateway,
    ):
        await client.enqueue(echo.task())
        assert await gateway.call(b"SREM", keys.queues, "mail") == 1
        await client._partition_counts.refresh()
        await client.enqueue(echo.task())
        assert await client.queues() == ["mail"]


@pytest.mark.parametrize(
    ("recorded", "names", "count"),
    [
        (1, [], 1), (4, [], 4), (4, ["q~1"], 4), (1, ["q~0"], 2), (2, ["q~3", "q~1"], 4),
        (1, ["q", "p~3", "qq~3"], 1), (1, ["q~03", "q~", "q~x", "q~-1", "q~100"], 1),
    ],
)  # fmt: skip
def test_there_are_as_many_partitions_as_are_noted_or_named(
    recorded: int, names: list[str], count: int
) -> None:
    found = count_partitions({"q": recorded} if recorded > 1 else {}, names)
    partitioned = found.get("q", PartitionCount())
    assert partitioned.count == count
    assert bool([*partition_violations(partitioned)]) == (recorded < count)
