"""Groups, from the enqueue of their members to what became of the batch."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore, State, Task, TaskInfo
from rediq_trio.spec.records import GroupRule
from rediq_trio.wire.batch_envelope import is_batch
from tests.servers import Server

Q = "mail"


def member(n: int = 0, group: str = "user:1", kind: str = "notify", **options: Any) -> Task[Any]:
    return Task(kind, {"n": n}, queue=Q, group=group, **options)


async def ended(client: rediq.Client, count: int, batched: int | None = None) -> list[TaskInfo]:
    """Wait until so many tasks have ended, and give those that are batches."""
    queue = client.queue(Q)
    with trio.fail_after(3600):
        while True:
            stats = await queue.stats()
            if stats.completed + stats.dead >= count and batched in (None, stats.batched):
                break
            await trio.sleep(0.05)
    found = [*await queue.tasks("completed"), *await queue.tasks("dead")]
    return [info for info in found if info.members]


async def work(app: rediq.App, *tasks: Task[Any], batches: int = 1) -> list[TaskInfo]:
    """Serve until the batches of these tasks, and what they led to, have ended."""
    async with rediq.serve(app, MemoryStore(), queues=[Q]) as server:
        await server.client.enqueue_many(tasks)
        with trio.fail_after(3600):
            while len(found := await ended(server.client, batches)) < batches:
                pass
            await server.wait_idle()
        assert await server.client.queue(Q).check() == []
        return found


mock_clock = pytest.mark.mock_clock


@mock_clock
async def test_an_aggregator_gets_the_members_as_they_were_enqueued() -> None:
    app = rediq.App()
    got: list[list[Task[Any]]] = []

    @app.aggregator("user:1", max_size=2)
    async def digest(tasks: list[Task[Any]]) -> None:
        got.append(tasks)

    first = member(
        1, id="a", priority=3, max_retry=7, max_crashes=2, timeout=90.0, retention=5.0,
        backoff=rediq.Fixed(4.0), metadata={"k": "v"},
    )  # fmt: skip
    (batch,) = await work(app, first, member(2, id="b", timeout=5.0))
    assert [attrs.evolve(task, group="user:1") for task in got[0]] == [
        first,
        member(2, id="b", timeout=5.0),
    ]
    assert (batch.state, batch.result, batch.type) == (State.COMPLETED, None, "notify")
    assert (batch.group, batch.members) == ("user:1", (f"{Q}/a", f"{Q}/b"))
    assert (batch.priority, batch.max_retry, batch.metadata) == (3, 7, {})


@mock_clock
async def test_the_task_that_an_aggregator_gives_is_enqueued_with_the_completion() -> None:
    app = rediq.App()

    @app.task("digest", queue=Q)
    async def send(ns: list[int]) -> list[int]:
        return ns

    @app.aggregator("user:*", max_size=3)
    async def digest(tasks: list[Task[Any]]) -> Task[list[int]]:
        return send.task(ns=[task.payload["n"] for task in tasks])

    async with rediq.serve(app, MemoryStore(), queues=[Q]) as server:
        await server.client.enqueue_many([member(n) for n in range(3)])
        (batch,) = await ended(server.client, 2)
        assert await server.client.task(batch.result).result() == [0, 1, 2]


@mock_clock
async def test_an_aggregator_may_go_on_with_one_of_the_members() -> None:
    app = rediq.App()
    ran: list[int] = []

    @app.task("notify", queue=Q)
    async def notify(n: int) -> None:
        ran.append(n)

    @app.aggregator("user:1", grace_period=1.0)
    async def last(tasks: list[Task[Any]]) -> Task[Any]:
        return tasks[-1]

    (batch,) = await work(app, *(member(n, id=f"m{n}") for n in range(4)))
    assert (batch.result, ran) == (f"{Q}/m3", [3])


async def test_a_plain_function_aggregates_in_a_thread() -> None:
    app = rediq.App()
    seen: list[tuple[str | None, int]] = []

    @app.aggregator("user:1", max_size=1)
    def digest(tasks: list[Task[Any]]) -> None:
        trio.from_thread.check_cancelled()
        seen.append((rediq.current_task().group, len(tasks)))

    await work(app, member())
    assert seen == [("user:1", 1)]


@mock_clock
@pytest.mark.parametrize("given", [3, "digest", [Task("digest")], Task], ids=repr)
async def test_what_is_neither_a_task_nor_none_ends_a_batch(given: Any) -> None:
    app = rediq.App()

    @app.aggregator("user:1", max_size=2)
    async def digest(tasks: list[Task[Any]]) -> Any:
        return given

    (batch,) = await work(app, member(1), member(2))
    assert (batch.state, batch.attempt, len(batch.members)) == (State.DEAD, 1, 2)
    assert batch.error is not None
    assert repr(given)[:40] in batch.error
    assert "must be a Task or None" in batch.error


@mock_clock
async def test_a_task_that_cannot_be_enqueued_ends_a_batch_and_leaves_nothing() -> None:
    app = rediq.App()

    @app.aggregator("user:1", max_size=1)
    async def digest(tasks: list[Task[Any]]) -> Task[Any]:
        return Task("digest", object(), queue=Q)

    (batch,) = await work(app, member(1))
    assert (batch.state, batch.attempt) == (State.DEAD, 1)
    assert "msgpack cannot carry" in (batch.error or "")


@mock_clock
async def test_a_batch_is_retried_and_in_the_end_dead_with_its_members() -> None:
    app = rediq.App()
    begun: list[float] = []
    good = False

    @app.aggregator("user:1", max_size=2)
    async def digest(tasks: list[Task[Any]]) -> None:
        begun.append(trio.current_time())
        if not good:
            raise ValueError("no mail today")

    async with rediq.serve(app, MemoryStore(), queues=[Q]) as server:
        options: dict[str, Any] = {"max_retry": 2, "backoff": rediq.Fixed(5.0)}
        await server.client.enqueue_many([member(n, **options) for n in range(2)])
        (batch,) = await ended(server.client, 1)
        assert (batch.state, batch.attempt, len(batch.members)) == (State.DEAD, 3, 2)
        assert batch.error == "ValueError: no mail today"
        assert [round(b - a) for a, b in pairwise(begun)] == [5, 5]
        good = True
        assert await server.client.queue(Q).dead.retry(batch.id)
        assert (await server.client.task(batch.id).wait()).members == batch.members
        assert len(begun) == 4


@mock_clock
async def test_a_batch_has_the_time_of_its_most_patient_member() -> None:
    app = rediq.App()

    @app.aggregator("user:1", max_size=2)
    async def digest(tasks: list[Task[Any]]) -> None:
        await trio.sleep(40 if rediq.current_task().attempt == 1 else 49)

    options = {"max_retry": 1, "backoff": rediq.Fixed(0.0)}
    (batch,) = await work(app, member(timeout=1.0, **options), member(timeout=45.0, **options))
    assert batch.state is State.COMPLETED
    app = rediq.App()
    app.aggregator("user:1", max_size=1)(digest)
    (batch,) = await work(app, member(timeout=39.0, max_retry=0))
    assert batch.error == "timeout: it took longer than 39 s"


@attrs.frozen
class Item:
    n: int


@mock_clock
async def test_without_an_aggregator_the_handler_gets_the_list_of_payloads() -> None:
    app = rediq.App()
    seen: list[Any] = []

    @app.task("notify", queue=Q)
    async def notify(items: list[Item]) -> int:
        task = rediq.current_task()
        seen.append((task.type, task.group, task.members))
        return sum(item.n for item in items)

    tasks = [member(n, group="later", id=f"m{n}") for n in range(3)]
    (batch,) = await work(app, *tasks)
    assert batch.result == 3
    assert seen == [("notify", "later", (f"{Q}/m0", f"{Q}/m1", f"{Q}/m2"))]


DEADLY = {
    "two types": ([member(), member(kind="other")], "'notify' and of 'other', and no aggregator"),
    "no handler": ([member(kind="other")], "no handler is named 'other'"),
    "no fit": ([member(kind="two")], "two: the payload does not fit"),
    "no structure": ([member(), Task("notify", {"x": 1}, queue=Q, group="user:1")], "is no list"),
}


@mock_clock
@pytest.mark.parametrize("name", DEADLY)
async def test_a_batch_that_cannot_be_handled_is_dead_with_its_members(name: str) -> None:
    tasks, reason = DEADLY[name]
    app = rediq.App()

    @app.task("notify", queue=Q)
    async def notify(items: list[Item]) -> None: ...

    @app.task("two", queue=Q)
    async def two(n: int, m: int) -> None: ...

    (batch,) = await work(app, *tasks)
    assert (batch.state, batch.attempt) == (State.DEAD, 1)
    assert reason in (batch.error or "")
    assert len(batch.members) == len(tasks)


@mock_clock
async def test_a_member_that_is_too_large_for_the_worker_ends_its_batch() -> None:
    app = rediq.App()

    @app.aggregator("*", max_size=2)
    async def digest(tasks: list[Task[Any]]) -> None: ...

    store = MemoryStore()
    async with rediq.serve(app, store, queues=[Q], max_payload=100) as server:
        async with rediq.connect(store) as client:
            big = Task("notify", "x" * 200, id="big", queue=Q, group="user:1")
            await client.enqueue_many([member(), big])
        (batch,) = await ended(server.client, 1)
        assert "member big: payload: 202 bytes" in (batch.error or "")


@mock_clock
async def test_a_name_wins_over_a_prefix_and_a_long_prefix_over_a_short_one() -> None:
    app = rediq.App()
    by: dict[str, str] = {}

    def register(name: str) -> None:
        @app.aggregator(name, max_size=1)
        async def digest(tasks: list[Task[Any]]) -> None:
            by[rediq.current_task().group or ""] = name

    for name in ("user:*", "*", "user:1:*", "user:1:x", "user:1"):
        register(name)
    groups = ["user:1", "user:1:x", "user:1:xy", "user:2", "users"]
    await work(app, *(member(group=group) for group in groups), batches=5)
    assert by == dict(zip(groups, ["user:1", "user:1:x", "user:1:*", "user:*", "*"], strict=True))


@mock_clock
async def test_a_group_keeps_the_time_that_its_aggregator_gives() -> None:
    app = rediq.App()
    at: list[tuple[float, int]] = []

    @app.aggregator("user:*", grace_period=2.0, max_delay=5.0)
    async def digest(tasks: list[Task[Any]]) -> None:
        at.append((round(trio.current_time() - begun, 1), len(tasks)))

    async with rediq.serve(app, MemoryStore(), queues=[Q]) as server:
        await trio.sleep(20)
        begun = trio.current_time()
        for n in range(5):
            await server.client.enqueue(member(n))
            await trio.sleep(1.5)
        await ended(server.client, 2)
    assert at == [(5.0, 4), (8.0, 1)]


@pytest.mark.uncounted
@mock_clock
async def test_a_rule_that_was_changed_in_code_holds_for_groups_that_wait() -> None:
    store = MemoryStore()
    slow, quick = rediq.App(), rediq.App()

    async def digest(tasks: list[Task[Any]]) -> None: ...

    slow.aggregator("user:*", grace_period=1000.0, max_delay=9999.0)(digest)
    quick.aggregator("user:*", grace_period=2000.0, max_delay=3000.0, max_size=2)(digest)
    async with rediq.serve(slow, store, queues=[Q]) as server:
        await server.client.enqueue_many([member(n, group=f"user:{n % 600}") for n in range(1200)])
        await trio.sleep(600)
        assert (await server.client.queue(Q).stats()).grouped == 1200
    async with rediq.serve(quick, store, queues=[Q]) as server:
        await trio.sleep(10)
        assert (await server.client.queue(Q).stats()).batched == 1200


@mock_clock
async def test_a_group_whose_signal_was_lost_gets_its_rule_all_the_same() -> None:
    app = rediq.App()
    app.aggregator("user:*", grace_period=1.0)(lambda tasks: None)
    store = MemoryStore()
    async with rediq.serve(app, store, queues=[Q]) as server:
        await trio.sleep(1)
        store._broadcast.publish = lambda signal: None  # type: ignore[method-assign]
        await server.client.enqueue(member())
        await trio.sleep(45)  # an idle queue is looked at within 30 s
        assert (await server.client.queue(Q).stats()).batched == 1


@mock_clock
async def test_no_batch_is_larger_than_its_aggregator_takes_whatever_signals_are_lost() -> None:
    app = rediq.App()
    got: list[int] = []
    app.aggregator("*", max_size=3)(lambda tasks: got.append(len(tasks)))
    store = MemoryStore()
    async with rediq.serve(app, store, queues=[Q]) as server:
        await trio.sleep(1)
        store._broadcast.publish = lambda signal: None  # type: ignore[method-assign]
        for group in range(20):
            await trio.sleep(3)
            await server.client.enqueue_many([member(n, group=f"g{group}") for n in range(10)])
        await trio.sleep(100)
        assert sum(got) == 200
    assert max(got) == 3


@mock_clock
@pytest.mark.parametrize("lost", [False, True])
async def test_a_burst_that_its_aggregator_takes_whole_is_one_batch(*, lost: bool) -> None:
    app = rediq.App()
    got: list[int] = []
    app.aggregator("*", max_size=50)(lambda tasks: got.append(len(tasks)))
    store = MemoryStore()
    async with rediq.serve(app, store, queues=[Q]) as server:
        await trio.sleep(1)
        if lost:
            store._broadcast.publish = lambda signal: None  # type: ignore[method-assign]
        for group in range(5):
            await trio.sleep(3)
            await server.client.enqueue_many([member(n, group=f"g{group}") for n in range(50)])
        await trio.sleep(100)
    assert got == [50] * 5


@mock_clock
@pytest.mark.parametrize("plain", [False, True], ids=["async", "thread"])
async def test_a_batch_that_is_too_large_goes_to_its_aggregator_in_parts(plain: bool) -> None:
    app = rediq.App()
    got: list[list[int]] = []

    @app.task("done", queue=Q)
    async def done(n: int) -> int:
        return n

    def digest(tasks: list[Task[Any]]) -> Task[Any] | None:
        got.append([task.payload["n"] for task in tasks])
        return done.task(n=tasks[0].payload["n"]) if len(tasks) == 3 else None

    async def digest_async(tasks: list[Task[Any]]) -> Task[Any] | None:
        return digest(tasks)

    app.aggregator("user:*", max_size=3)(digest if plain else digest_async)
    store = MemoryStore()
    async with rediq.serve(rediq.App(), store, queues=["other"]) as server:
        await server.client.enqueue_many([member(n) for n in range(8)])
        await store.set_group_rules(Q, rules={"user:1": GroupRule(8)})
        assert (await store.batch(Q, ids=["b"])).moved == 1
    async with rediq.serve(app, store, queues=[Q]) as server:
        (batch,) = await ended(server.client, 3)
        first, second, third = batch.result
        assert third is None
        assert [await server.client.task(i).result() for i in (first, second)] == [0, 3]
    assert got == [[0, 1, 2], [3, 4, 5], [6, 7]]


@mock_clock
async def test_who_waits_for_a_member_learns_that_it_went_into_a_batch() -> None:
    app = rediq.App()
    async with rediq.serve(app, MemoryStore(), queues=[Q]) as server:
        handle = await server.client.enqueue(member())
        assert (await handle.info()).group == "user:1"
        with pytest.raises(rediq.TaskNotFound, match="went into a batch of its group"):
            await handle.result(timeout=60)


@mock_clock
async def test_middleware_sees_a_batch() -> None:
    app = rediq.App()
    seen: list[Any] = []

    @app.middleware
    async def watch(task: rediq.CurrentTask) -> Any:
        seen.append((task.type, task.group, len(task.members), dict(task.metadata)))
        yield

    app.aggregator("user:1", max_size=1)(lambda tasks: None)
    await work(app, member(metadata={"a": "b"}))
    assert seen == [("notify", "user:1", 1, {})]


@mock_clock
async def test_an_ordinary_task_has_no_group_and_no_members() -> None:
    app = rediq.App()

    @app.task("look", queue=Q)
    async def look() -> Any:
        task = rediq.current_task()
        return [task.group, list(task.members)]

    async with rediq.serve(app, MemoryStore(), queues=[Q]) as server:
        handle = await server.client.enqueue(look.task())
        assert await handle.result() == [None, []]
        info = await handle.info()
        assert (info.group, info.members) == (None, ())


async def test_however_many_serve_each_member_is_in_exactly_one_batch(server: Server) -> None:
    seen: Counter[int] = Counter()
    handed_on: Counter[int] = Counter()
    total = 400

    def app() -> rediq.App:
        made = rediq.App()

        @made.task("digest", queue=Q)
        async def send(ns: list[int]) -> None:
            handed_on.update(ns)

        @made.aggregator("user:*", max_size=7, grace_period=0.05, max_delay=0.2)
        async def digest(tasks: list[Task[Any]]) -> Task[Any]:
            ns = [task.payload["n"] for task in tasks]
            seen.update(ns)
            assert len(tasks) <= 7
            return send.task(ns=ns)

        return made

    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(
                rediq.serve(app(), server.url, queues=[Q], key_prefix="groups", name=f"w{n}")
            )
            for n in range(2)
        ]
        client = servers[0].client
        queue = client.queue(Q)
        await queue.flush()
        before = (await queue.stats()).batched
        async with trio.open_nursery() as nursery:

            async def produce(first: int) -> None:
                for n in range(first, total, 4):
                    await client.enqueue(member(n, group=f"user:{n % 9}", retention=0))

            for first in range(4):
                nursery.start_soon(produce, first)
        while sum(handed_on.values()) < total:
            await trio.sleep(0.02)
        for each in servers:
            await each.wait_idle()
        stats = await queue.stats()
        assert (stats.batched - before, stats.grouped, stats.dead) == (total, 0, 0)
        assert await queue.check() == []
    assert seen == handed_on == Counter(range(total))


def test_an_envelope_is_that_of_a_batch_or_not() -> None:
    assert is_batch(b"\x93\x02\xa1g\x90")
    assert not is_batch(b"\x93\x01\xa1g\xc4\x00")
    assert not is_batch(b"")
