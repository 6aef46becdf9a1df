"""What survives a failed attempt: a step that was done; and what does not: a child named in it."""

import trio

import rediq_trio as rediq

app = rediq.App()


async def charge(order: int) -> str:
    print(f"charged order {order}")
    return f"receipt-{order}"


@app.task
async def send(receipt: str) -> None:
    print(f"sent {receipt}")


@app.task(max_retry=2, backoff=rediq.Fixed(0.05))
async def handle_order(order: int) -> None:
    task = rediq.current_task()
    receipt = await task.once("charge", charge, order)
    task.enqueue_after(send.task(receipt))
    if task.attempt == 1:
        raise OSError("the printer is out of paper")
    print(f"done, on attempt {task.attempt}")


async def main() -> None:
    async with rediq.serve(app, "memory://") as server:
        await server.client.enqueue(handle_order.task(17))
        await server.wait_idle()
        stats = await server.client.queue("default").stats()
        print("enqueued in all:", stats.enqueued)


trio.run(main)
