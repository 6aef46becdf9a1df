"""taskiq with taskiq-redis's streams on uvloop; results, when on, are kept in Redis."""

from __future__ import annotations

from typing import Any

from adapter import ASYNC, KEPT, Order, produce, run_uvloop, take_order
from taskiq.acks import AcknowledgeType
from taskiq.api import run_receiver_task
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

order: Order = take_order()
broker: Any = RedisStreamBroker(
    order.url, xread_count=1000, unacknowledged_lock_timeout=60, max_connection_pool_size=5000
)
if order.results:
    broker = broker.with_result_backend(
        RedisAsyncResultBackend(order.url, result_ex_time=KEPT, max_connection_pool_size=5000)
    )
TASKS = {name: broker.register_task(function, task_name=name) for name, function in ASYNC.items()}
GROUP = ["taskiq", "taskiq"]


async def one(name: str, payload: dict[str, Any]) -> None:
    await TASKS[name].kiq(**payload)


async def main() -> None:
    if order.role == "work":
        broker.is_worker_process = True
    await broker.startup()
    if order.role == "produce":
        await produce(order, one)
    else:
        # A stream keeps what was acknowledged, so its length says nothing.
        order.unsettled(["XPENDING", *GROUP])
        await run_receiver_task(
            broker, sync_workers=1, max_async_tasks=order.concurrency, max_prefetch=order.concurrency,
            validate_params=False, ack_time=AcknowledgeType.WHEN_SAVED,
        )  # fmt: skip


run_uvloop(main)
