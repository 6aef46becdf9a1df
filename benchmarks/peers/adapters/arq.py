"""arq on uvloop: polls every 10 ms, which costs it little; results off is `keep_result=0`."""

from __future__ import annotations

from typing import Any

from adapter import ASYNC, KEPT, Order, produce, run_uvloop, take_order
from arq import create_pool
from arq.connections import RedisSettings
from arq.constants import default_queue_name
from arq.worker import Worker, func

POLL = 0.01
order: Order = take_order()
settings = RedisSettings(host=order.host, port=order.port)


def handler(name: str) -> Any:
    async def handle(ctx: Any, **payload: Any) -> None:
        await ASYNC[name](**payload)

    return func(handle, name=name)


async def main() -> None:
    if order.role == "produce":
        pool = await create_pool(settings)

        async def one(name: str, payload: dict[str, Any]) -> None:
            await pool.enqueue_job(name, **payload)

        await produce(order, one)
    else:
        worker = Worker(
            [handler(name) for name in ASYNC], redis_settings=settings, handle_signals=False,
            max_jobs=order.concurrency, poll_delay=POLL, log_results=False,
            keep_result=KEPT if order.results else 0,
        )  # fmt: skip
        order.unsettled(["ZCARD", default_queue_name])
        await worker.async_run()


run_uvloop(main)
