"""rq's SimpleWorker, which does not fork for each job; it runs one job at a time."""

from __future__ import annotations

from typing import Any

from adapter import KEPT, SYNC, Order, Task, produce_in_threads, take_order
from redis import Redis
from rq import Queue, SimpleWorker

order: Order = take_order()
connection: Any = Redis.from_url(order.url)
queue: Any = Queue("bench", connection=connection)
TTL = KEPT if order.results else 0


def one(name: str, payload: dict[str, Any]) -> None:
    queue.enqueue(SYNC[name], kwargs=payload, result_ttl=TTL)


def many(tasks: list[Task]) -> None:
    queue.enqueue_many(
        [Queue.prepare_data(SYNC[name], kwargs=payload, result_ttl=TTL) for name, payload in tasks]
    )


if order.role == "produce":
    produce_in_threads(order, one, many)
else:
    worker = SimpleWorker([queue], connection=connection)
    order.unsettled(["LLEN", queue.key], ["ZCARD", queue.started_job_registry.key])
    worker.work(logging_level="WARNING")
