"""Each task carries the tenant for whom it was enqueued, also the tasks that it enqueues itself."""

from collections.abc import Iterator
from contextvars import ContextVar

import trio

import rediq_trio as rediq

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
app = rediq.App()


@app.sending
def stamp(sending: rediq.Sending) -> Iterator[None]:
    for task in sending.tasks:
        task.metadata.setdefault("tenant", tenant.get())
    try:
        yield  # the tasks are sent
    except rediq.QueueFull:
        print("no room for", len(sending.tasks))  # and it is raised on
        raise


@app.middleware
async def restore(task: rediq.CurrentTask):
    tenant.set(task.metadata.get("tenant", "nobody"))
    yield


@app.task
async def send_receipt(order: int) -> None:
    print("receipt", order, "for", tenant.get())


@app.task
async def place(order: int) -> None:
    print("order", order, "for", tenant.get())
    rediq.current_task().enqueue_after(send_receipt.task(order))


async def main() -> None:
    async with rediq.serve(app, "memory://", burst=True) as server:
        tenant.set("acme")
        await server.client.enqueue(place.task(7))
        await server.wait_stopped()


trio.run(main)
