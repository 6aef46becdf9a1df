"""What type checkers must accept, with the types they must see."""

import datetime as dt
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, assert_type

import rediq_trio as rediq
from rediq_trio.workflow.build import Workflow, chain, gather

app = rediq.App()


@app.task("email:send", queue="emails")
async def send_email(to: str, subject: str = "") -> str:
    return f"{to}: {subject}"


@app.task
def add(a: int, b: int) -> int:
    return a + b


def blocking() -> None:
    with rediq.connect_sync("memory://") as client:
        assert_type(client, rediq.SyncClient)
        handle = client.enqueue(send_email.task(to="a"))
        assert_type(handle, rediq.SyncTaskHandle[str])
        assert_type(handle.result(timeout=5), str)
        assert_type(handle.info(), rediq.TaskInfo)
        assert_type(list(handle.progress()), list[rediq.Progress])
        assert_type([*client.queue("q").history_lines()], list[str])
        assert_type(client.enqueue_many([add.task(1, 2)]), list[rediq.SyncTaskHandle[int]])
        assert_type(client.enqueue(chain(add.task(1, 2))), rediq.SyncWorkflowHandle[int])
        assert_type(client.queue("q").dead, rediq.SyncDeadLetters)
        assert_type(client.schedules().list(), list[rediq.ScheduleInfo])


async def on_asyncio() -> None:
    async with rediq.asyncio.connect("memory://") as client:
        assert_type(client, rediq.asyncio.AsyncioClient)
        handle = await client.enqueue(send_email.task(to="a"))
        assert_type(handle, rediq.asyncio.AsyncioTaskHandle[str])
        assert_type(await handle.result(timeout=5), str)
        assert_type([each async for each in handle.progress()], list[rediq.Progress])
        assert_type([each async for each in client.queue("q").history_lines()], list[str])
        workflow = await client.enqueue(chain(add.task(1, 2)))
        assert_type(workflow, rediq.asyncio.AsyncioWorkflowHandle[int])


def wait(error: Exception, attempt: int) -> float | None:
    return 2.0 if attempt < 3 else None


@app.task("ruled", retry_on=(OSError, TimeoutError), give_up_on=ValueError, retry=wait, deadline=60)
async def ruled(n: int) -> bool:
    return n > 0


@app.task(retry_on=[OSError], retry=lambda error, attempt: attempt * 1.5)
def ruled_thread(n: int) -> bool:
    return n > 0


@app.aggregator("emails:*", max_size=5, grace_period=1.5, max_delay=60)
async def digest(tasks: list[rediq.Task[Any]]) -> rediq.Task[str] | None:
    return send_email.task(to=tasks[0].payload["to"]) if tasks else None


@app.aggregator("sums")
def count(tasks: list[rediq.Task[Any]]) -> None: ...


async def aggregators(task: rediq.Task[Any], info: rediq.TaskInfo) -> None:
    assert_type(await digest([task]), rediq.Task[str] | None)
    assert_type(rediq.current_task().group, str | None)
    assert_type(info.members, tuple[str, ...])


async def main() -> None:
    assert_type(ruled.task(n=1), rediq.Task[bool])
    assert_type(ruled.options(deadline=5).task(1), rediq.Task[bool])
    assert_type(ruled.options(delay=dt.timedelta(hours=1)).task(1).delay, float | None)
    assert_type(rediq.Fixed(dt.timedelta(minutes=1)).seconds, float)
    assert_type(await ruled(1), bool)
    assert_type(ruled_thread(1), bool)
    assert_type(send_email.task(to="a", subject="b"), rediq.Task[str])
    assert_type(await send_email("a"), str)
    assert_type(add(1, 2), int)
    async with rediq.connect("memory://") as client:
        handle = await client.enqueue(send_email.options(priority=3).task(to="a"))
        assert_type(handle, rediq.TaskHandle[str])
        assert_type(await handle.result(), str)
        handles = await client.enqueue_many([add.task(1, b=2)])
        assert_type(await handles[0].result(timeout=1), int)
        async for progress in handle.progress():
            assert_type(progress, rediq.Progress)


def workflows() -> None:
    text, number = send_email.task("a"), add.task(1, 2)
    assert_type(chain(text), Workflow[str])
    assert_type(chain(text, number), Workflow[int])
    assert_type(chain(gather(text, number), chain(number, text)), Workflow[str])
    assert_type(chain(*[text, text]), Workflow[str])
    assert_type(gather(text, number), Workflow[Any])
    assert_type(gather(*[text, text], then=number), Workflow[int])
    assert_type(gather(text, then=chain(number, text)), Workflow[str])
    workflow = Workflow("any")
    node = workflow.add(text)
    workflow.add(number, after=node)
    workflow.add(number, after=["email:send", node])


@app.task("tied", unique=rediq.Unique(until="started", on_conflict="return"), limit_key="k")
async def related(n: int) -> int:
    task = rediq.current_task()
    assert_type(task.enqueue_after(add.task(1, 2)), rediq.TaskHandle[int])
    assert_type(task.depends_on, tuple[str, ...])
    assert_type(await task.results(), dict[str, Any])
    assert_type(await task.once("text", send_email.function, "a"), str)
    assert_type(await task.once("number", add, 1, 2), int)
    assert_type(await task.once("email", send_email, "a"), str)
    return n


async def relations() -> None:
    async with rediq.connect("memory://") as client:
        first = await client.enqueue(related.task(1), wait=True)
        assert_type(first.created, bool)
        second = related.options(depends_on=[first, "q/x"], on_dependency_failure="run")
        assert_type(await client.enqueue(second.task(1)), rediq.TaskHandle[int])
        related.options(depends_on=first, group=None, unique=None)
        related.options(depends_on=(handle for handle in [first]), group="g")
        rediq.Task("t", depends_on=first)
        rediq.Task("t", depends_on=["q/x", first])
        run = await client.enqueue(chain(add.task(1, 2), send_email.task("a")), wait=True)
        assert_type(run, rediq.WorkflowHandle[str])
        assert_type(await run.result(timeout=1), str)
        assert_type(await run.info(), rediq.WorkflowInfo)


class Pool:
    size: int = 3


typed_app = rediq.App[Pool]()
declared: rediq.App[Pool] = rediq.App("declared")
nothing = rediq.App[None]()
app.include(typed_app)


@typed_app.lifespan
async def pool() -> AsyncIterator[Pool]:
    yield Pool()


@declared.lifespan
@asynccontextmanager
async def declared_pool() -> AsyncGenerator[Pool, None]:
    yield Pool()


@app.lifespan
async def untyped_pool() -> AsyncGenerator[int, None]:
    yield 5


@nothing.lifespan
async def no_state() -> AsyncGenerator[None]:
    yield


@typed_app.task
async def sized(task: int) -> int:
    assert_type(typed_app.state, Pool)
    assert_type(declared.state.size, int)
    assert_type(app.state, Any)
    assert_type(rediq.current_task().state, Any)
    return typed_app.state.size


async def serving() -> None:
    async with rediq.serve(typed_app, "memory://") as server:
        assert_type(server, rediq.Server)
