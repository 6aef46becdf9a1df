"""A worker's record: what each heartbeat writes about the worker, for `Client.workers`.

It is made once for each heartbeat, never for a task. What does not change is computed once.
"""

from __future__ import annotations

import datetime as dt
import os
import socket
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from rediq_trio._version import __version__
from rediq_trio.handlers.app import App
from rediq_trio.settings import Settings
from rediq_trio.tasks.worker_details import RUNNING_MAX
from rediq_trio.values.observed.workers import ReceivedOrder, RunningTask, WorkerHealth, WorkerState
from rediq_trio.values.task import WorkerInfo
from rediq_trio.worker.executor import Executor
from rediq_trio.worker.health import HealthJudge
from rediq_trio.worker.leases import HeldLease
from rediq_trio.worker.outcomes.stuck import StuckAttempts
from rediq_trio.worker.watchdog import Watchdog

_STATM = Path("/proc/self/statm")


@attrs.define(eq=False)
class RecordMaker:
    """Makes the record of one worker from what its parts know."""

    app: App
    settings: Settings
    instance: str
    started_at: dt.datetime
    executor: Executor
    stuck: StuckAttempts
    watchdog: Watchdog
    health_judge: HealthJudge
    state: Callable[[], WorkerState]
    shows_progress: bool
    """Whether the progress of tasks may be read by all; False where it is encrypted."""
    orders: Callable[[], tuple[ReceivedOrder, ...]] = tuple
    """Returns the orders that the worker has received."""
    _settings: Mapping[str, Any] = attrs.field(init=False)
    _types: tuple[str, ...] = attrs.field(init=False)
    _schedules: tuple[str, ...] = attrs.field(init=False)
    _host: str = attrs.field(factory=socket.gethostname)

    def __attrs_post_init__(self) -> None:
        self._settings = plain_settings(self.settings)
        self._types = tuple(task_type.name for task_type in self.app.types)
        self._schedules = tuple(f"{each.queue}/{each.name}" for each in self.app.schedules)

    def info(self) -> WorkerInfo:
        """Return what the worker's heartbeats say about it."""
        settings, health = self.settings, self.health_judge.judge()
        return WorkerInfo(
            id=settings.name,
            host=self._host,
            pid=os.getpid(),
            queues=tuple(settings.queues),
            concurrency=settings.concurrency,
            running=self.executor.running(),
            started_at=self.started_at,
            last_heartbeat=dt.datetime.now(dt.UTC),
            version=__version__,
            stuck=self.stuck.ids(),
            types=self._types,
            schedules=self._schedules,
            instance=self.instance,
            state=self.state(),
            type_count=len(self._types),
            running_tasks=self._running_tasks(),
            health=WorkerHealth(alive=health.alive, ready=health.ready, reasons=health.reasons),
            loop_delay=self.watchdog.loop_delay(),
            memory=resident_bytes(),
            settings=self._settings,
            labels=settings.labels,
            orders=self.orders(),
        )

    def _running_tasks(self) -> tuple[RunningTask, ...]:
        now, here = dt.datetime.now(dt.UTC), self.health_judge.clock.current_time()
        running = islice(self.executor.running_attempts(), RUNNING_MAX)
        return tuple(self._running_task(held, now, here) for held in running)

    def _running_task(self, held: HeldLease, now: dt.datetime, here: float) -> RunningTask:
        return RunningTask(
            id=held.task_id,
            type=held.type,
            attempt=held.lease.attempt,
            since=now - dt.timedelta(seconds=here - held.started) if held.started else now,
            percent=held.percent if self.shows_progress else None,
        )


def plain_settings(settings: Settings) -> Mapping[str, Any]:
    """Return settings as plain data by name, without the labels, which have a field of their own."""
    found = attrs.asdict(settings, recurse=False)
    del found["labels"]
    if not isinstance(settings.queues, dict):
        found["queues"] = list(settings.queues)
    return MappingProxyType(found)


def resident_bytes() -> int | None:
    """Return the bytes of this process that are in memory; None where there is no `/proc`."""
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
