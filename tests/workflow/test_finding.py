"""Workflows are found again by their ids, on each store, in any process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConfigError, DuplicateTask, QueueFull, State, Task
from rediq_trio.spec.history.workflows import CHECK_FIRST_MS
from rediq_trio.spec.messages import Completed, Failed
from rediq_trio.store.port import Store
from rediq_trio.store.relay import relay
from rediq_trio.workflow.listing import sweep
from tests.conformance.bench import Clock
from tests.opened import Opened
from tests.servers import Server, open_redis_store

app = rediq.App()


@app.task("add", max_retry=0)
async def add(a: int, b: int = 0) -> int:
    return a + b


@app.task("boom", max_retry=0)
async def boom() -> None:
    raise ValueError("boom")


@app.task("parent")
async def parent() -> str | None:
    task = rediq.current_task()
    task.enqueue_after(Task("nobody", id="child", delay=1000))
    return task.workflow


@asynccontextmanager
async def stored(kind: str, server: Server) -> AsyncIterator[tuple[Store, Clock]]:
    clock = Clock()
    if kind == "memory":
        yield rediq.MemoryStore(clock), clock
        return
    async with open_redis_store(server, clock=clock) as opened:
        yield opened.store, clock


@pytest.fixture(params=["memory", "redis"])
def place(request: pytest.FixtureRequest, redis_server: Server) -> Opened:
    return Opened(lambda: stored(request.param, redis_server))


def shape(last: str = "last") -> rediq.Workflow[Any]:
    workflow: rediq.Workflow[Any] = rediq.Workflow("nightly\u00e9")
    first = workflow.add(Task("a", queue="one"), "first")
    middle = workflow.add(Task("b", queue="two"), "middle", after=first)
    workflow.add(Task("c", queue="one"), last, after=[first, middle])
    return workflow


async def end(store: Store, queue: str, *, good: bool = True) -> None:
    """Run the next task of a queue, as a worker does, and let its end be known everywhere."""
    claimed = await store.claim(queue, limit=1, lease_ms=9000, worker="w", nonce=b"n" * 8)
    fence = claimed.leases[0].fence
    outcome = Completed(fence, b"\x01") if good else Failed(fence, "no", 0, final=True)
    await store.settle(queue, [outcome])
    await relay(store, queue)


async def test_a_workflow_is_found_in_another_process(place: tuple[Store, Clock]) -> None:
    store, _ = place
    async with rediq.connect(store) as client:
        handle = await client.enqueue(shape())
    async with rediq.connect(store) as client:
        found = await client.workflow(handle.id)
        assert (found.id, found.name) == (handle.id, "nightly\u00e9")
        assert list(found.handles) == ["first", "middle", "last"]
        assert {name: list(before) for name, before in found.needs.items()} == {
            "first": [], "middle": ["first"], "last": ["first", "middle"],
        }  # fmt: skip
        assert [each.id for each in found.handles.values()] == [
            each.id for each in handle.handles.values()
        ]
        assert await found.states() == {
            "first": State.PENDING, "middle": State.BLOCKED, "last": State.BLOCKED,
        }  # fmt: skip
        assert (await found.handles["first"].info()).workflow == handle.id
        assert await found.mermaid() == await handle.mermaid()


async def test_the_status_says_how_many_are_done_running_and_failed(
    place: tuple[Store, Clock],
) -> None:
    store, _ = place
    async with rediq.connect(store) as client:
        handle = await client.enqueue(shape())
        status = await handle.status()
        assert (status.state, status.total, status.done, status.waiting) == ("running", 3, 0, 3)
        await end(store, "one")
        await store.claim("two", limit=1, lease_ms=9000, worker="w", nonce=b"n" * 8)
        status = await handle.status()
        assert (status.done, status.running, status.waiting, status.failed) == (1, 1, 1, 0)
        [listed] = await client.workflows()
        assert listed.cursor
        assert (listed.id, listed.counts, listed.created_at) == (
            handle.id, status.counts, status.created_at,
        )  # fmt: skip


async def test_retry_revives_what_died_and_what_died_with_it(place: tuple[Store, Clock]) -> None:
    store, _ = place
    async with rediq.connect(store) as client:
        handle = await client.enqueue(shape())
        await end(store, "one")
        await end(store, "two", good=False)
        assert (await handle.status()).state == "dead"
        assert (await handle.status()).failed == 2
        found = await client.workflow(handle.id)
        assert await found.retry() == {
            "first": State.COMPLETED, "middle": State.PENDING, "last": State.BLOCKED,
        }  # fmt: skip
        await end(store, "two")
        await end(store, "one")
        assert (await found.status()).state == "completed"
        assert await found.retry() == dict.fromkeys(found.handles, State.COMPLETED)


async def test_a_whole_chain_that_died_is_revived(place: tuple[Store, Clock]) -> None:
    store, _ = place
    async with rediq.connect(store) as client:
        handle = await client.enqueue(rediq.chain(*(Task(name, queue="one") for name in "abc")))
        await end(store, "one", good=False)
        assert set((await handle.states()).values()) == {State.DEAD}
        assert [*(await handle.retry()).values()] == [State.PENDING, State.BLOCKED, State.BLOCKED]


async def test_a_workflow_that_was_found_is_cancelled(place: tuple[Store, Clock]) -> None:
    store, _ = place
    async with rediq.connect(store) as client:
        found = await client.workflow((await client.enqueue(shape())).id)
        assert await found.cancel() == dict.fromkeys(found.handles, State.CANCELLED)
        assert (await found.status()).state == "cancelled"
        assert set((await found.retry()).values()) == {State.PENDING, State.BLOCKED}


async def test_workflows_are_listed_in_pages_and_by_state(place: tuple[Store, Clock]) -> None:
    store, clock = place
    async with rediq.connect(store) as client:
        ids: list[str] = []
        for _ in range(4):
            ids.append((await client.enqueue(shape())).id)
            clock.advance(10)
        await (await client.workflow(ids[1])).cancel()
        first = await client.workflows(limit=3)
        assert [one.id for one in first] == ids[:0:-1]
        assert [one.id for one in await client.workflows(after=first[-1])] == ids[:1]
        assert [one.id for one in await client.workflows(after=first[0].cursor, newest=False)] == []
        oldest = await client.workflows(newest=False, limit=1)
        assert [one.id for one in oldest] == ids[:1]
        assert [one.id for one in await client.workflows(state="cancelled")] == [ids[1]]
        assert [one.id for one in await client.workflows(state="running", limit=2)] == [
            ids[3], ids[2],
        ]  # fmt: skip


async def test_a_workflow_that_is_refused_leaves_no_record(place: tuple[Store, Clock]) -> None:
    store, _ = place
    async with rediq.connect(store) as client:
        await client.enqueue(Task("a", id="taken"))
        with pytest.raises(DuplicateTask):
            await client.enqueue(rediq.chain(Task("a", id="taken"), Task("b")))
        await client.queue("full").limit(max_pending=1)
        await client.enqueue(Task("a", queue="full"))
        with pytest.raises(QueueFull):
            await client.enqueue(rediq.chain(Task("a", queue="full"), Task("b", queue="full")))
        assert await client.workflows() == ()


async def test_a_record_stays_until_no_task_is_left(place: tuple[Store, Clock]) -> None:
    store, clock = place
    async with rediq.connect(store) as client:
        handle = await client.enqueue(shape())
        clock.advance(CHECK_FIRST_MS)
        assert (await sweep(store)).removed == 0
        await handle.cancel()
        for queue in ("one", "two"):
            clock.advance(3_700_000)
            await store.purge(queue, limit=100, dead_retention_ms=1, max_dead=1)
        assert (await client.workflows(state="gone"))[0].gone == 3
        assert (await sweep(store)).removed == 1
        with pytest.raises(rediq.WorkflowNotFound, match=handle.id):
            await client.workflow(handle.id)


async def test_a_record_of_which_some_tasks_are_gone_stays(place: tuple[Store, Clock]) -> None:
    store, clock = place
    async with rediq.connect(store) as client:
        handle = await client.enqueue(shape())
        await client.queue("two").flush()
        clock.advance(CHECK_FIRST_MS)
        assert (await sweep(store)).removed == 0
        assert (await client.workflow(handle.id)).id == handle.id


async def test_a_later_task_with_the_id_of_a_node_is_not_the_node(
    place: tuple[Store, Clock],
) -> None:
    store, clock = place
    async with rediq.connect(store) as client:
        handle = await client.enqueue(rediq.chain(Task("a", id="mine"), Task("b", id="other")))
        await client.queue("default").flush()
        await client.enqueue(Task("a", id="mine"))
        again = await client.enqueue(rediq.chain(Task("b", id="other"), Task("c")))
        assert set((await handle.states()).values()) == {None}
        assert (await handle.status()).state == "gone"
        with pytest.raises(rediq.TaskNotFound):
            await handle.info()
        with pytest.raises(rediq.TaskNotFound):
            await handle.retry()
        clock.advance(CHECK_FIRST_MS)
        assert (await sweep(store)).removed == 1
        assert [one.id for one in await client.workflows()] == [again.id]


async def test_a_record_that_cannot_be_read_is_listed_as_such_and_left(
    place: tuple[Store, Clock],
) -> None:
    store, clock = place
    await store.keep_workflow("odd", b"\xc1")
    await store.keep_workflow("newer", b"\x94\x02\xc0\x90\x90")
    clock.advance(1)
    async with rediq.connect(store) as client:
        handle = await client.enqueue(shape())
        newest, *others = await client.workflows()
        assert newest.id == handle.id
        assert [(one.id, one.state) for one in others] == [
            ("newer", "unreadable"), ("odd", "unreadable"),
        ]  # fmt: skip
        assert others[0].unreadable is not None
        assert "version 2" in others[0].unreadable
        with pytest.raises(rediq.PayloadError, match="workflow odd cannot be decoded"):
            await client.workflow("odd")
        clock.advance(CHECK_FIRST_MS)
        await client.queue("one").flush()
        await client.queue("two").flush()
        assert (await sweep(store)).removed == 1
        assert [one.id for one in await client.workflows()] == ["newer", "odd"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"state": "done"}, "state.*'done'.*running, completed"),
        ({"after": "x"}, "after.*cursor"),
        ({"after": "9" * 17}, "after"),
        ({"newest": 1}, "newest"),
    ],
)
async def test_bad_arguments_of_a_list_are_refused(given: dict[str, Any], said: str) -> None:
    async with rediq.connect("memory://") as client:
        with pytest.raises(ConfigError, match=said):
            await client.workflows(**given)


async def test_a_malformed_id_is_refused() -> None:
    async with rediq.connect("memory://") as client:
        with pytest.raises(ConfigError, match="workflow"):
            await client.workflow("a/b")


async def test_the_id_is_no_metadata_of_the_user() -> None:
    most = {f"k{n}": "v" for n in range(64)}
    async with rediq.connect("memory://") as client:
        handle = await client.enqueue(rediq.chain(Task("a", metadata=most), Task("b")))
        info = await handle.handles["a"].info()
        assert (dict(info.metadata), info.workflow) == (most, handle.id)
        assert (await handle.handles["b"].info()).metadata == {}
        await handle.handles["a"].update(metadata={"other": "1"})
        info = await handle.handles["a"].info()
        assert (dict(info.metadata), info.workflow) == ({"other": "1"}, handle.id)
        again = await handle.handles["a"].enqueue_again()
        assert (await again.info()).workflow is None
        with pytest.raises(ConfigError, match=r"metadata.*rediq\.workflow.*another key"):
            Task("a", metadata={"rediq.workflow": "x"})


async def test_a_handler_knows_its_workflow_and_its_children_belong_to_it() -> None:
    async with rediq.serve(app, "memory://") as server:
        handle: Any = await server.client.enqueue(rediq.chain(add.task(1), parent.task()))
        with trio.fail_after(30):
            assert await handle.result() == handle.id
        assert (await server.client.task("default/child").info()).workflow == handle.id
        assert (await handle.status()).total == 2
        plain = await server.client.enqueue(parent.options(id="plain").task())
        assert await plain.result() is None


@pytest.mark.mock_clock
async def test_a_worker_removes_the_records_of_what_is_gone() -> None:
    async with rediq.serve(app, "memory://") as server:
        handle = await server.client.enqueue(rediq.chain(add.task(1), boom.task()))
        await handle.wait()
        await trio.sleep(CHECK_FIRST_MS / 1000 + 120)
        assert [one.id for one in await server.client.workflows(state="dead")] == [handle.id]
        await server.client.queue("default").flush()
        await trio.sleep(3600 + 120)
        assert await server.client.workflows() == ()


@pytest.mark.mock_clock
async def test_a_workflow_that_waits_for_room_keeps_its_record() -> None:
    async with rediq.connect("memory://") as client, trio.open_nursery() as nursery:
        queue = client.queue("default")
        await queue.limit(max_pending=1)
        blocker = await client.enqueue(Task("a"))

        async def enqueue() -> None:
            await client.enqueue(rediq.chain(Task("b"), Task("c")), wait=True)

        nursery.start_soon(enqueue)
        for _ in range(40):
            await trio.sleep(60)
            await sweep(client._store)
        [waiting] = await client.workflows()
        assert waiting.state == "gone"
        await blocker.delete()
        await trio.sleep(60)
        assert [one.state for one in await client.workflows()] == ["running"]
