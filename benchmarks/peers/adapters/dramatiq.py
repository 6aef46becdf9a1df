"""dramatiq with threads, without its Prometheus middleware; a failed task is tried again."""

from __future__ import annotations

import threading
from typing import Any

import dramatiq
from adapter import KEPT, SYNC, Order, produce_in_threads, take_order
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Retries
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

PREFETCH = 1000
"""Else twice the threads, and it pauses whenever it has that many."""
order: Order = take_order()
broker: Any = RedisBroker(url=order.url, middleware=[Retries()])
options: dict[str, Any] = {}
if order.results:
    broker.add_middleware(Results(backend=RedisBackend(url=order.url), result_ttl=KEPT * 1000))
    options["store_results"] = True
dramatiq.set_broker(broker)
ACTORS = {
    name: dramatiq.actor(function, actor_name=name, **options) for name, function in SYNC.items()
}


def one(name: str, payload: dict[str, Any]) -> None:
    ACTORS[name].send(**payload)


if order.role == "produce":
    produce_in_threads(order, one)
else:
    worker = dramatiq.Worker(broker, worker_timeout=100, worker_threads=order.concurrency)
    worker.queue_prefetch = PREFETCH
    order.unsettled(["HLEN", "dramatiq:default.msgs"])
    worker.start()
    threading.Event().wait()
