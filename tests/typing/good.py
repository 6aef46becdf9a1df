"""What type checkers must accept, with the types they must see."""

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
