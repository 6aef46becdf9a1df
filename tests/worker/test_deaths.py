"""A task that dies although no attempt of it failed is logged once, however many workers there are."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio.spec.messages import Death
from rediq_trio.store.memory import MemoryStore
from rediq_trio.store.relay import log_deaths, relay
from tests.actors.parts import Watched
from tests.servers import Server, open_redis_store
from tests.worker.twin import check_sound, twins


async def test_of_two_workers_one_logs_each_death(
    redis_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    app = rediq.App()

    @app.task("job", max_crashes=0)
    async def job() -> None: ...

    prefix = f"deaths-{uuid.uuid4().hex[:8]}"
    async with rediq.connect(redis_server.url, key_prefix=prefix) as client:
        crashed = await client.enqueue_many([job.task() for _ in range(3)])
        lease = {"limit": 3, "lease_ms": 300, "nonce": b"12345678"}
        await client._store.claim("default", worker="gone", **lease)
        # A claim finds the first three, a keeper the others.
        expiring = [job.options(expires=0.3, delay=delay) for delay in (None, 60)]
        expired = await client.enqueue_many([kind.task() for kind in expiring for _ in range(3)])
    await trio.sleep(0.5)
    async with twins(app, redis_server, key_prefix=prefix) as (client, _):
        reasons = {handle.id: "its worker died under it 1 times" for handle in crashed}
        reasons |= {handle.id: "expired" for handle in expired}
        for task_id, reason in reasons.items():
            assert (await client.task(task_id).wait(timeout=60)).error == reason
        with trio.fail_after(60):
            while sum(record.levelname == "ERROR" for record in caplog.records) < len(reasons):
                await trio.sleep(0.05)
        assert (await client.queue("default").stats()).dead_total == len(reasons)
        await check_sound(client)
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert sorted(record.getMessage() for record in errors) == sorted(
        f"task {task_id} (job), attempt 0: dead: {reason}" for task_id, reason in reasons.items()
    )
    assert {vars(record)["worker"] for record in errors} <= {"one", "two"}


async def test_a_death_because_of_another_task_is_logged_once_like_any_other(
    redis_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    app = rediq.App()

    @app.task("source", max_retry=0)
    async def source() -> None:
        raise ValueError("no")

    @app.task("after")
    async def after() -> None: ...

    prefix = f"deaths-{uuid.uuid4().hex[:8]}"
    async with rediq.connect(redis_server.url, key_prefix=prefix) as client:
        first = await client.enqueue(source.task())
        second = await client.enqueue(after.options(depends_on=first.id).task())
        third = await client.enqueue(after.options(queue="side", depends_on=second.id).task())
    queues = (["default", "side"],) * 2
    async with twins(app, redis_server, queues, key_prefix=prefix) as (client, _):
        info = await client.task(third.id).wait(timeout=60)
        with trio.fail_after(60):
            while sum(record.levelname == "ERROR" for record in caplog.records) < 3:
                await trio.sleep(0.05)
        await trio.sleep(0.2)
    assert info.error == f"the task {second.id} that it needs is dead"
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert sorted(record.getMessage() for record in errors) == sorted(
        [
            f"task {first.id} (source), attempt 1: dead: ValueError: no",
            f"task {second.id} (after), attempt 0: dead: the task {first.id.partition('/')[2]} that it "
            "needs is dead",
            f"task {third.id} (after), attempt 0: dead: the task {second.id} that it needs is dead",
        ]
    )
    fields = {(vars(each)["task_id"], vars(each)["type"], vars(each)["queue"]) for each in errors}
    assert fields == {
        (first.id, "source", "default"), (second.id, "after", "default"), (third.id, "after", "side"),
    }  # fmt: skip


async def test_a_client_that_carries_the_end_of_a_task_logs_who_dies_by_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with rediq.connect("memory://") as client:
        first = await client.enqueue(rediq.Task("source"))
        others = [rediq.Task("after", queue="side", depends_on=first.id) for _ in range(12)]
        handles = await client.enqueue_many(others)
        await first.cancel()
        states = {(await handle.info()).state for handle in handles}
    assert states == {rediq.State.DEAD}
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert errors[-1].getMessage() == "2 more tasks died because of one that they need"
    assert {each.getMessage() for each in errors[:-1]} < {
        f"task {handle.id} (after), attempt 0: dead: the task {first.id} that it needs was cancelled"
        for handle in handles
    }
    assert {vars(each)["type"] for each in errors[:-1]} == {"after"}
    assert len(errors) == 11


Change = Callable[[rediq.Client, rediq.TaskHandle[Any]], Awaitable[object]]


async def _cancel_some(client: rediq.Client, _: rediq.TaskHandle[Any]) -> object:
    selection = await client.queue("default").select(rediq.State.PENDING)
    return [progress async for progress in selection.cancel()]


async def _delete_some(client: rediq.Client, _: rediq.TaskHandle[Any]) -> object:
    selection = await client.queue("default").select(rediq.State.PENDING)
    return [progress async for progress in selection.delete()]


class Losing(Watched):
    """A store that loses the first answer to each of these calls."""

    def __init__(
        self, store: Any, names: tuple[str, ...] = ("cancel", "delete", "enqueue")
    ) -> None:
        super().__init__(store)
        self.names = names

    def __getattr__(self, name: str) -> Any:
        self.deaf = int(name in self.names and name not in self.calls)
        return super().__getattr__(name)


@pytest.mark.parametrize("lost", [False, True], ids=["answered", "answer lost"])
@pytest.mark.parametrize(
    ("change", "how"),
    [
        (lambda _, handle: handle.cancel(), "was cancelled"),
        (lambda _, handle: handle.delete(), "is gone"),
        (_cancel_some, "was cancelled"),
        (_delete_some, "is gone"),
    ],
    ids=["cancel", "delete", "a selection cancelled", "a selection deleted"],
)
async def test_a_client_logs_who_dies_by_its_own_call(
    redis_server: Server, change: Change, how: str, caplog: pytest.LogCaptureFixture, *, lost: bool
) -> None:
    async with (
        open_redis_store(redis_server) as opened,
        rediq.connect(Losing(opened.store) if lost else opened.store) as client,
    ):
        first = await client.enqueue(rediq.Task("source"))
        second = await client.enqueue(rediq.Task("after", depends_on=first.id))
        third = await client.enqueue(rediq.Task("last", depends_on=second.id))
        await change(client, first)
        await relay(client._store, "default")
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    needed, then = first.id.partition("/")[2], second.id.partition("/")[2]
    assert [each.getMessage() for each in errors] == [
        f"task {second.id} (after), attempt 0: dead: the task {needed} that it needs {how}",
        f"task {third.id} (last), attempt 0: dead: the task {then} that it needs is dead",
    ]
    assert [(vars(each)["task_id"], vars(each)["queue"]) for each in errors] == [
        (second.id, "default"),
        (third.id, "default"),
    ]


async def test_who_dies_with_a_cancelled_workflow_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with rediq.connect("memory://") as client:
        workflow = await client.enqueue(rediq.gather(rediq.Task("source"), rediq.Task("source")))
        node = next(iter(workflow.handles.values()))
        outside = await client.enqueue(rediq.Task("after", depends_on=node.id))
        await workflow.cancel()
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    local = node.id.partition("/")[2]
    assert errors == [
        f"task {outside.id} (after), attempt 0: dead: the task {local} that it needs was cancelled"
    ]


@pytest.mark.parametrize("how", ["alone", "with others", "in a workflow"])
async def test_a_client_logs_what_is_dead_as_soon_as_it_is_enqueued(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with rediq.connect("memory://") as client:
        needed = await client.enqueue(rediq.Task("source"))
        await needed.cancel()
        task = rediq.Task("after", id="late", depends_on=needed.id)
        if how == "alone":
            await client.enqueue(task)
        elif how == "with others":
            other = await client.enqueue(rediq.Task("other"))
            waits = rediq.Task("waits", depends_on=other.id)
            await client.enqueue_many([rediq.Task("other"), waits, task])
        else:
            await client.enqueue(rediq.gather(task, rediq.Task("other"), then=rediq.Task("last")))
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    local = needed.id.partition("/")[2]
    said = (
        f"task default/late (after), attempt 0: dead: the task {local} that it needs was cancelled"
    )
    assert errors.count(said) == 1
    assert len(errors) == 1 + (how == "in a workflow")


async def test_a_client_logs_what_was_dead_when_enqueued_by_a_call_whose_answer_was_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with rediq.connect(losing := Losing(MemoryStore(), ())) as client:
        needed = await client.enqueue(rediq.Task("source"))
        await needed.cancel()
        losing.calls.clear()
        losing.names = ("enqueue",)
        late = await client.enqueue(rediq.Task("after", depends_on=needed.id))
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    local = needed.id.partition("/")[2]
    assert errors == [
        f"task {late.id} (after), attempt 0: dead: the task {local} that it needs was cancelled"
    ]
    assert losing.calls.count("enqueue") == 2


async def test_a_client_that_is_cancelled_meanwhile_logs_deaths_without_their_types(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStore()
    with trio.CancelScope() as scope:
        scope.cancel()
        await log_deaths(store, [("default~3", Death("t", 2, "expired"))] * 12)
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0] == "task default~3/t ((unreadable)), attempt 2: dead: expired"
    assert messages[10:] == ["2 more tasks died because of one that they need"]
    assert vars(caplog.records[0])["queue"] == "default"
