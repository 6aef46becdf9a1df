"""Every record that is made inside a handler says which attempt it belongs to."""

import logging
import sys

import trio

import rediq_trio as rediq

log = logging.getLogger("shop")
handler = logging.StreamHandler(sys.stdout)
handler.setFormatter(
    logging.Formatter("%(levelname)s %(message)s [%(task_id)s, attempt %(attempt)s]")
)
handler.addFilter(rediq.logging_filter())
log.addHandler(handler)
app = rediq.App()


def price(item: str) -> float:
    log.warning("no price for %s", item)  # in a thread, and knows nothing of tasks
    return 0.0


@app.task
async def order(item: str) -> float:
    return await trio.to_thread.run_sync(price, item)


async def main() -> None:
    async with rediq.serve(app, "memory://") as server:
        log.warning("the shop is open")
        handle = await server.client.enqueue(order.options(id="order-7").task("tea"))
        await handle.result(timeout=10)


trio.run(main)
