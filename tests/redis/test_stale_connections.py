"""Every call of a client succeeds after the server has closed the connection that it would use."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import (
    Client,
    DeadLetters,
    Every,
    Queue,
    Schedules,
    TaskHandle,
    WorkerHandle,
    WorkflowHandle,
)
from rediq_trio.store.redis.scripts import load_scripts
from tests.faults.refuser import open_refuser
from tests.servers import Server, open_redis_store

Call = Callable[[Client, str], Awaitable[object]]
WITHIN = 60.0
PREFIX = "test"
NAMES = {script.sha: script.name for script in load_scripts().values()}
IDLE_FOR = 0.8
"""Seconds after which a client looks at its connection before it writes."""


def ok(client: Client, queue: str) -> TaskHandle[Any]:
    return client.task(f"{queue}/ok")


def dead(client: Client, queue: str) -> TaskHandle[Any]:
    return client.task(f"{queue}/bad")


def later(client: Client, queue: str) -> TaskHandle[Any]:
    return client.task(f"{queue}/later")


async def bring_back(client: Client, queue: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tasks"
        await (await client.queue(queue).select("completed")).export(path)
        await all_of(client.queue(queue).import_tasks(path))


def workflow(client: Client, queue: str) -> WorkflowHandle[Any]:
    one = rediq.chain(rediq.Task("ok", {}, id="ok", queue=queue))
    plan = one.plan(lambda task: task)
    graph = plan.graph()
    nodes = tuple(attrs.evolve(node, own_id=False) for node in graph.nodes)
    handles = {node.name: ok(client, queue) for node in plan.nodes}
    return WorkflowHandle(attrs.evolve(graph, nodes=nodes), handles)


async def all_of(found: AsyncIterator[Any]) -> list[Any]:
    return [each async for each in found]


def task(queue: str) -> rediq.Task[Any]:
    return rediq.Task("ok", {}, queue=queue)


CALLS: dict[str, Call] = {
    "Client.enqueue": lambda c, q: c.enqueue(task(q)),
    "Client.enqueue_many": lambda c, q: c.enqueue_many([task(q), task(q)]),
    "Client.queues": lambda c, q: c.queues(),
    "Client.overview": lambda c, q: c.overview(),
    "Client.workers": lambda c, q: c.workers(),
    "Client.audit": lambda c, q: c.audit(),
    "Client.mark": lambda c, q: c.mark("a deployment"),
    "Client.marks": lambda c, q: c.marks(),
    "Queue.stats": lambda c, q: c.queue(q).stats(),
    "Queue.series_bytes": lambda c, q: c.queue(q).series_bytes(),
    "Queue.types": lambda c, q: c.queue(q).types(),
    "Queue.series": lambda c, q: c.queue(q).series(dt.timedelta(hours=1)),
    "Queue.failures": lambda c, q: c.queue(q).failures(),
    "Queue.groups": lambda c, q: c.queue(q).groups(),
    "Queue.targets": lambda c, q: c.queue(q).targets(latency=30),
    "Queue.select": lambda c, q: c.queue(q).select("dead"),
    "Queue.import_tasks": bring_back,
    "Queue.remove": lambda c, q: c.queue(f"{q}-empty").remove(),
    "Queue.partition": lambda c, q: c.queue("unused").partition(2),
    "Queue.tasks": lambda c, q: c.queue(q).tasks("completed"),
    "Queue.pause": lambda c, q: c.queue(q).pause(),
    "Queue.resume": lambda c, q: c.queue(q).resume(),
    "Queue.flush": lambda c, q: c.queue(q).flush(),
    "Queue.limit": lambda c, q: c.queue(q).limit(concurrency=3, max_pending=9),
    "Queue.limits": lambda c, q: c.queue(q).limits(),
    "Queue.keep_history": lambda c, q: c.queue(q).keep_history(5),
    "Queue.history_lines": lambda c, q: all_of(c.queue(q).history_lines()),
    "Queue.check": lambda c, q: c.queue(q).check(),
    "Queue.repair_plan": lambda c, q: c.queue(q).repair_plan([]),
    "Queue.repair": lambda c, q: c.queue(q).repair([]),
    "DeadLetters.list": lambda c, q: c.queue(q).dead.list(),
    "DeadLetters.retry": lambda c, q: c.queue(q).dead.retry(f"{q}/bad"),
    "DeadLetters.retry_all": lambda c, q: c.queue(q).dead.retry_all(),
    "DeadLetters.purge": lambda c, q: c.queue(q).dead.purge(),
    "TaskHandle.info": lambda c, q: ok(c, q).info(),
    "TaskHandle.result": lambda c, q: ok(c, q).result(),
    "TaskHandle.wait": lambda c, q: ok(c, q).wait(),
    "TaskHandle.progress": lambda c, q: all_of(ok(c, q).progress()),
    "TaskHandle.cancel": lambda c, q: ok(c, q).cancel(),
    "TaskHandle.retry": lambda c, q: dead(c, q).retry(),
    "TaskHandle.delete": lambda c, q: ok(c, q).delete(),
    "TaskHandle.why": lambda c, q: ok(c, q).why(),
    "TaskHandle.run_now": lambda c, q: later(c, q).run_now(),
    "TaskHandle.reschedule": lambda c, q: later(c, q).reschedule(delay=60),
    "TaskHandle.update": lambda c, q: later(c, q).update(priority=7),
    "TaskHandle.requeue": lambda c, q: later(c, q).requeue(f"{q}-moved"),
    "TaskHandle.enqueue_again": lambda c, q: ok(c, q).enqueue_again(),
    "Schedules.list": lambda c, q: c.schedules().list(),
    "Schedules.get": lambda c, q: c.schedules().get(f"often-{q}"),
    "Schedules.add": lambda c, q: c.schedules().add(f"new-{q}", Every(60), task(q)),
    "Schedules.remove": lambda c, q: c.schedules().remove(f"often-{q}"),
    "Schedules.pause": lambda c, q: c.schedules().pause(f"often-{q}"),
    "Schedules.resume": lambda c, q: c.schedules().resume(f"often-{q}"),
    "Schedules.trigger": lambda c, q: c.schedules().trigger(f"often-{q}"),
    "WorkerHandle.info": lambda c, q: c.worker(q).info(),
    "WorkerHandle.quiet": lambda c, q: c.worker(q).quiet(),
    "WorkerHandle.work": lambda c, q: c.worker(q).work(),
    "WorkerHandle.stop": lambda c, q: c.worker(q).stop(),
    "WorkerHandle.stacks": lambda c, q: c.worker(q).stacks(),
    "WorkflowHandle.info": lambda c, q: workflow(c, q).info(),
    "WorkflowHandle.states": lambda c, q: workflow(c, q).states(),
    "WorkflowHandle.status": lambda c, q: workflow(c, q).status(),
    "WorkflowHandle.retry": lambda c, q: workflow(c, q).retry(),
    "Client.workflow": lambda c, q: c.workflow("kept"),
    "Client.workflows": lambda c, q: c.workflows(),
    "WorkflowHandle.result": lambda c, q: workflow(c, q).result(),
    "WorkflowHandle.wait": lambda c, q: workflow(c, q).wait(),
    "WorkflowHandle.cancel": lambda c, q: workflow(c, q).cancel(),
    "WorkflowHandle.mermaid": lambda c, q: workflow(c, q).mermaid(),
    "WorkflowHandle.svg": lambda c, q: workflow(c, q).svg(),
}


def _asks_the_store(method: object) -> bool:
    if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
        return True
    return "AsyncIterator" in str(inspect.signature(method).return_annotation)  # type: ignore[arg-type]


def test_the_table_has_every_public_call() -> None:
    classes = (Client, Queue, DeadLetters, TaskHandle, Schedules, WorkerHandle, WorkflowHandle)
    found = {
        f"{kind.__name__}.{name}"
        for kind in classes
        for name, method in vars(kind).items()
        if inspect.isfunction(method) and not name.startswith("_") and _asks_the_store(method)
    }
    assert found == CALLS.keys()


def queue_of(call: str) -> str:
    return call.lower().replace(".", "-")


async def fill(server: Server, *calls: str) -> None:
    """Give each of the calls a queue with a completed and a dead task, and a schedule."""
    app = rediq.App()

    @app.task("ok", retention=600)
    async def ok() -> str:
        rediq.current_task().progress(50)
        return "done"

    @app.task("bad", max_retry=0)
    async def bad() -> None:
        raise ValueError

    queues = [queue_of(call) for call in calls]
    async with rediq.connect(server.url, key_prefix=PREFIX) as client:
        for queue in queues:
            await client.enqueue_many([
                ok.options(queue=queue, id="ok").task(), bad.options(queue=queue, id="bad").task()
            ])  # fmt: skip
            await client.schedules().add(f"often-{queue}", Every(3600), task(queue))
        kept = rediq.chain(rediq.Task("ok")).plan().graph().pack()
        await client._store.keep_workflow("kept", kept)
    options: Any = {"key_prefix": PREFIX, "queues": queues, "burst": True}
    async with rediq.serve(app, server.url, **options) as worker:
        await worker.wait_stopped()
    async with rediq.connect(server.url, key_prefix=PREFIX) as client:
        await client.enqueue_many([
            rediq.Task("ok", {}, queue=queue, id="later", delay=3600) for queue in queues
        ])  # fmt: skip


async def call_all(
    server: Server, fault: Callable[[Any], Awaitable[None]], *, patience: float | None
) -> dict[str, str]:
    """Make each call with a client of its own after a fault; return the errors."""
    errors: dict[str, str] = {}
    async with open_redis_store(server, prefix="other") as opened, AsyncExitStack() as stack:
        await fill(server, *CALLS)
        clients: dict[str, Client] = {}
        for name in (queue_of(call) for call in CALLS if call.startswith("WorkerHandle.")):
            options: Any = {"key_prefix": PREFIX, "queues": ["idle"], "name": name}
            await stack.enter_async_context(rediq.serve(rediq.App(), server.url, **options))
        for call in CALLS:
            client = rediq.connect(server.url, key_prefix=PREFIX, patience=patience)
            clients[call] = await stack.enter_async_context(client)
            await clients[call].queue("default").stats()

        async def make(call: str) -> None:
            try:
                await CALLS[call](clients[call], queue_of(call))
            except rediq.RediqError as error:
                errors[call] = repr(error)

        with trio.fail_after(WITHIN):
            await fault(opened.gateway.call)
            async with trio.open_nursery() as nursery:
                for call in CALLS:
                    nursery.start_soon(make, call)
    return errors


async def test_a_connection_that_was_killed_while_it_was_idle_is_replaced_before_it_is_used(
    redis_server: Server,
) -> None:
    async def fault(command: Any) -> None:
        await command(b"CLIENT", b"KILL", b"TYPE", b"normal", b"SKIPME", b"yes")
        await trio.sleep(IDLE_FOR)

    assert await call_all(redis_server, fault, patience=0) == {}


async def test_calls_at_the_moment_of_the_kill_are_made_again(redis_server: Server) -> None:
    async def fault(command: Any) -> None:
        await command(b"CLIENT", b"KILL", b"TYPE", b"normal", b"SKIPME", b"yes")

    assert await call_all(redis_server, fault, patience=None) == {}


async def test_a_connection_that_timed_out_at_the_server_is_replaced_before_it_is_used(
    redis_server: Server,
) -> None:
    async def fault(command: Any) -> None:
        await command(b"CONFIG", b"SET", b"timeout", 1)
        try:
            for _ in range(8):  # often enough for its own connection to stay
                await trio.sleep(0.5)
                await command(b"PING")
        finally:
            await command(b"CONFIG", b"SET", b"timeout", 0)

    assert await call_all(redis_server, fault, patience=0) == {}


async def test_what_waits_for_an_end_is_patient_from_its_first_step(
    redis_server: Server, tmp_path: Path
) -> None:
    async with (
        open_redis_store(redis_server, prefix="other"),
        open_refuser(tmp_path / "s", redis_server.socket, NAMES) as refuser,
    ):
        await fill(redis_server, "TaskHandle.wait")
        async with rediq.connect(refuser.url, key_prefix=PREFIX, patience=0) as client:
            handle = ok(client, queue_of("TaskHandle.wait"))
            refuser.refused, refuser.line = "watch", "MISCONF the disk is full"
            answers: list[Any] = []

            async def note(call: Awaitable[Any]) -> None:
                answers.append(await call)

            with trio.fail_after(WITHIN):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(note, handle.result())
                    nursery.start_soon(note, handle.wait())
                    nursery.start_soon(note, all_of(handle.progress()))
                    while refuser.refusals < 6:
                        await trio.sleep(0.05)
                    assert answers == []
                    refuser.refused = ""
            assert len(answers) == 3


@pytest.mark.parametrize("line", ["MISCONF the disk is full", "ERR upstream timed out"])
async def test_the_patience_of_a_client_ends_with_what_redis_said(
    redis_server: Server, tmp_path: Path, line: str
) -> None:
    async with (
        open_redis_store(redis_server, prefix="other"),
        open_refuser(tmp_path / "s", redis_server.socket, NAMES) as refuser,
    ):
        await fill(redis_server, "Queue.stats")
        refuser.refused, refuser.line = "stats", line
        for patience, tries in ((0, 1), (0.6, 2)):
            refuser.refusals = 0
            async with rediq.connect(refuser.url, key_prefix=PREFIX, patience=patience) as client:
                with pytest.raises(rediq.ServerRefused, match=line) as caught:
                    await client.queue("default").stats()
            assert caught.value.reply == line
            assert refuser.refusals >= tries
            assert (refuser.refusals == 1) == (patience == 0)


async def test_a_call_whose_reply_was_lost_answers_as_if_it_had_not_been(
    redis_server: Server, tmp_path: Path
) -> None:
    async with (
        open_redis_store(redis_server, prefix="other"),
        open_refuser(tmp_path / "s", redis_server.socket, NAMES) as refuser,
    ):
        await fill(redis_server, "TaskHandle.delete")
        async with rediq.connect(refuser.url, key_prefix=PREFIX) as client:
            queue = queue_of("TaskHandle.delete")
            refuser.loses = {"delete"}
            assert await ok(client, queue).delete()
            with pytest.raises(rediq.TaskNotFound):
                await ok(client, queue).delete()
            refuser.loses = {"revive"}
            assert await dead(client, queue).retry() is rediq.State.PENDING
            refuser.loses = {"cancel"}
            assert await dead(client, queue).cancel() is rediq.State.CANCELLED
            refuser.loses = {"trigger"}
            triggered = await client.schedules().trigger(f"often-{queue}")
            refuser.loses = {"enqueue"}
            enqueued = await client.enqueue(task(queue))
            assert enqueued.created
            pending = await client.queue(queue).tasks("pending")
            assert {info.id for info in pending} == {triggered.id, enqueued.id}
            refuser.loses = {"retract"}
            await client.schedules().remove(f"often-{queue}")
            with pytest.raises(rediq.ScheduleNotFound):
                await client.schedules().remove(f"often-{queue}")
        assert refuser.loses == set()
