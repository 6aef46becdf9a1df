"""Views for tests, and what they are made of."""

from __future__ import annotations

import datetime as dt
from typing import Any

from rediq_trio.observe.views import FleetView, QueueView
from rediq_trio.values.task import QueueStats, WorkerInfo

AT = dt.datetime(2026, 11, 29, 2, 50, 21, tzinfo=dt.UTC)


def worker(name: str = "w", **more: Any) -> WorkerInfo:
    given: dict[str, Any] = {
        "id": name, "host": "h", "pid": 1, "queues": ("q",), "concurrency": 3, "running": 2,
        "started_at": AT, "last_heartbeat": AT, "version": "1", "types": (), "schedules": (),
    }  # fmt: skip
    return WorkerInfo(**given | more)


def queue(
    name: str = "q", *, workers: tuple[str, ...] = ("w",), rate: float | None = None, **stats: Any
) -> QueueView:
    return QueueView(name=name, at=AT, stats=QueueStats(**stats), workers=workers, rate=rate)


def fleet(*queues: QueueView, **more: Any) -> FleetView:
    return FleetView(at=AT, queues=queues, **{"workers": (worker(),)} | more)
