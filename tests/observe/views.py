"""Views for tests, and what they are made of."""

from __future__ import annotations

import datetime as dt
from typing import Any

from rediq_trio.observe.recent import Checked, Recent
from rediq_trio.observe.views import FleetView, QueueView
from rediq_trio.schedules.admin import ScheduleInfo
from rediq_trio.values.observed.failure_kind import FailureKind
from rediq_trio.values.observed.types import TypeStats
from rediq_trio.values.schedule import Every
from rediq_trio.values.task import QueueStats, WorkerInfo

AT = dt.datetime(2026, 11, 29, 2, 50, 21, tzinfo=dt.UTC)


def worker(name: str = "w", **more: Any) -> WorkerInfo:
    given: dict[str, Any] = {
        "id": name, "host": "h", "pid": 1, "queues": ("q",), "concurrency": 3, "running": 2,
        "started_at": AT, "last_heartbeat": AT, "version": "1", "types": (), "schedules": (),
    }  # fmt: skip
    return WorkerInfo(**given | more)


def recent(**more: Any) -> Recent:
    given: dict[str, Any] = {
        "at": AT, "ended": 0, "failed": 0, "deaths": 0, "new_kinds": (), "totals": (0, 0),
    }  # fmt: skip
    return Recent(**given | more)


def kind(**more: Any) -> FailureKind:
    given: dict[str, Any] = {
        "kind": "0123456789ab", "count": 2, "first_seen": AT, "last_seen": AT, "type": "t",
        "error_type": "ValueError", "message": "no", "place": None, "task_ids": (),
    }  # fmt: skip
    return FailureKind(**given | more)


def checked(**more: Any) -> Checked:
    return Checked(**{"at": AT, "overdue": (), "memory": ()} | more)


def schedule(name: str = "s", *, ago: float) -> ScheduleInfo:
    return ScheduleInfo(
        name=name, queue="q", type="t", when=Every(60), description="every 60 s", paused=False,
        next_run=AT - dt.timedelta(seconds=ago), last_run=None, last_task_id=None, owner=None,
    )  # fmt: skip


def queue(
    name: str = "q",
    *,
    workers: tuple[str, ...] = ("w",),
    rate: float | None = None,
    recent: Recent | None = None,
    **stats: Any,
) -> QueueView:
    return QueueView(
        name=name, at=AT, stats=QueueStats(**stats), workers=workers, rate=rate, recent=recent
    )


def type_stats(name: str, failed: int, of: int) -> TypeStats:
    """Return the statistics of a type of which some attempts failed, and all others completed."""
    none = dict.fromkeys(("timed_out", "snoozed", "cancelled", "released", "lost"), 0)
    return TypeStats(
        type=name, since=AT, until=AT, completed=of - failed, failed=failed, wait=None, run=None, **none
    )


def fleet(*queues: QueueView, **more: Any) -> FleetView:
    return FleetView(at=AT, queues=queues, **{"workers": (worker(),)} | more)
