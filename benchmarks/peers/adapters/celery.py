"""celery without events, gossip, mingle and heartbeat; tasks are acknowledged late."""

from __future__ import annotations

from typing import Any

from adapter import KEPT, SYNC, Order, produce_in_threads, take_order
from celery import Celery

order: Order = take_order()
app: Any = Celery("bench", broker=order.url, backend=order.url if order.results else None)
app.conf.update(
    task_acks_late=True, task_ignore_result=not order.results, worker_prefetch_multiplier=100,
    result_expires=KEPT, worker_send_task_events=False, task_send_sent_event=False,
    broker_connection_retry_on_startup=True, worker_enable_remote_control=False,
    worker_hijack_root_logger=False, broker_pool_limit=32,
)  # fmt: skip
TASKS = {name: app.task(name=name)(function) for name, function in SYNC.items()}


def one(name: str, payload: dict[str, Any]) -> None:
    TASKS[name].apply_async(kwargs=payload)


if order.role == "produce":
    produce_in_threads(order, one)
else:
    import celery.apps.worker
    import celery.bin.worker  # noqa: F401 - not while it is measured

    order.unsettled(["LLEN", "celery"], ["HLEN", "unacked"])
    app.worker_main([
        "worker", "--concurrency", str(order.concurrency), "--pool", order.variant or "threads",
        "--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat",
    ])  # fmt: skip
