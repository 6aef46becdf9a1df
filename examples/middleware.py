"""Middleware: measure each attempt, and carry a trace from the producer into the handler."""

import contextvars
import os
import uuid
from collections.abc import AsyncGenerator

import trio

import rediq_trio as rediq

app = rediq.App()
trace: contextvars.ContextVar[str] = contextvars.ContextVar("trace", default="none")


@app.middleware
async def timing(task: rediq.CurrentTask) -> AsyncGenerator[None, None]:
    begun = trio.current_time()
    ended = "cancelled"
    try:
        yield
        ended = "ok"
    except Exception as error:
        ended = type(error).__name__
        raise
    finally:
        took = trio.current_time() - begun
        print(f"{task.type} attempt {task.attempt}: {ended}, {took:.1f} s")


@app.middleware
async def tracing(task: rediq.CurrentTask) -> AsyncGenerator[None, None]:
    # Set around the handler; each attempt has a context of its own.
    trace.set(task.metadata.get("trace", "none"))
    yield


@app.task("charge", max_retry=1, backoff=rediq.Fixed(0.05))
async def charge(cents: int) -> str:
    if rediq.current_task().attempt == 1:
        raise OSError("the bank is away")
    return f"charged {cents} cents under trace {trace.get()}"


async def main() -> None:
    url = os.environ.get("REDIQ_URL", "embedded://")
    async with rediq.serve(app, url) as server:
        mine = uuid.uuid4().hex
        handle = await server.client.enqueue(charge.options(metadata={"trace": mine}).task(1250))
        said = await handle.result(timeout=10)
        print(said.replace(mine, "of the producer"))


trio.run(main)
