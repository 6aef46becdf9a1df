"""huey with threads that block on Redis. It takes a task off its list before it runs: at most once."""

from __future__ import annotations

import threading
from typing import Any

from adapter import SYNC, Order, produce_in_threads, take_order
from huey import RedisHuey
from huey.consumer import Consumer

order: Order = take_order()
# redis-py's own limit is 100 connections, beyond which huey fails and loses tasks.
url = f"{order.url}/0?max_connections=5000"
huey: Any = RedisHuey(
    "bench",
    url=url,
    immediate=False,
    results=order.results,
    store_none=order.results,
    blocking=True,
)
TASKS = {name: huey.task(name=name)(function) for name, function in SYNC.items()}


def one(name: str, payload: dict[str, Any]) -> None:
    TASKS[name](**payload)


if order.role == "produce":
    produce_in_threads(order, one)
else:
    consumer = Consumer(huey, workers=order.concurrency, worker_type="thread", periodic=False)
    order.unsettled(["LLEN", huey.storage.queue_key])
    consumer.start()
    threading.Event().wait()
