"""What type checkers must refuse: each marked line, and no other."""

from collections.abc import AsyncIterator

import rediq_trio as rediq
from rediq_trio.workflow.build import Workflow, chain, gather

app = rediq.App()


@app.task("email:send", queue="emails")
async def send_email(to: str, subject: str = "") -> str:
    return f"{to}: {subject}"


@app.task("bad", prioriti=3)  # error
async def bad_option() -> None: ...


@app.task("bad", retry_on=3)  # error
async def bad_rule() -> None: ...


@app.task("bad", give_up_on=KeyboardInterrupt)  # error
async def bad_class() -> None: ...


@app.task("bad", retry=lambda error: 1.0)  # error
async def bad_function() -> None: ...


@app.aggregator("g")  # error
async def bad_result(tasks: list[rediq.Task[str]]) -> int:
    return 1


@app.aggregator("g")  # error
async def bad_parameter(tasks: str) -> None: ...


@app.aggregator("g", max_size="10")  # error
async def bad_size(tasks: list[rediq.Task[str]]) -> None: ...


def blocking() -> None:
    with rediq.connect_sync("memory://") as client:
        handle = client.enqueue(send_email.task(to="a"))
        number: int = handle.result()  # error
        client.enqueue("email:send")  # error
        client.queue("q").limit(concurrency="5")  # error
        del number
    with rediq.connect("memory://"):  # error
        pass


async def on_asyncio() -> None:
    async with rediq.asyncio.connect("memory://") as client:
        handle = await client.enqueue(send_email.task(to="a"))
        number: int = await handle.result()  # error
        await client.enqueue("email:send")  # error
        del number


async def main() -> None:
    send_email.task(to=1)  # error
    send_email.task()  # error
    send_email.task(to="a", other=1)  # error
    send_email.options(priority="high")  # error
    send_email.options(retry_on=OSError)  # error
    send_email.options(deadline="soon")  # error
    async with rediq.connect("memory://") as client:
        handle = await client.enqueue(send_email.task(to="a"))
        number: int = await handle.result()  # error
        await client.enqueue("email:send")  # error
        del number


def workflows() -> None:
    chain()  # error
    chain(send_email)  # error
    gather(send_email, then=send_email.task("a"))  # error
    Workflow().add("email:send")  # error
    Workflow().add(send_email.task("a"), after=5)  # error


@app.task("bad", unique="key")  # error
async def bad_unique() -> None: ...


@app.task("bad", on_dependency_failure="die")  # error
async def bad_policy() -> None: ...


async def relations() -> None:
    rediq.Unique(until="end")  # error
    rediq.Unique(on_conflict="ignore")  # error
    send_email.options(depends_on=5)  # error
    send_email.options(group=3)  # error
    task = rediq.current_task()
    task.enqueue_after(send_email)  # error
    text: str = await task.once("step", len, "abc")  # error
    await task.once(send_email)  # error
    async with rediq.connect("memory://") as client:
        handle = await client.enqueue(chain(send_email.task(to="a")))
        number: int = await handle.result()  # error
        del number, text


class Pool:
    size: int = 3


typed_app = rediq.App[Pool]()


@typed_app.lifespan  # error
async def another_state() -> AsyncIterator[str]:
    yield "no pool"


@typed_app.lifespan  # error
async def with_parameter(pool: Pool) -> AsyncIterator[Pool]:
    yield pool


@typed_app.task
async def sized() -> str:
    typed_app.state = Pool()  # error
    text: str = typed_app.state.size  # error
    return text
