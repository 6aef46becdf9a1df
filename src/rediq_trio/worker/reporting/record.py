"""A worker's record: what each heartbeat writes about the worker, for `Client.workers`.

It is made once for each heartbeat, never for a task. What does not change is computed once.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from rediq_trio import __version__
from rediq_trio.handlers.app import App, TaskType
from rediq_trio.settings import Settings
from rediq_trio.tasks.worker_details import RUNNING_MAX
from rediq_trio.values.chance import host_and_pid, simulated, utc_now
from rediq_trio.values.observed.signature import TaskSignature
from rediq_trio.values.observed.workers import ReceivedOrder, RunningTask, WorkerHealth, WorkerState
from rediq_trio.values.task import WorkerInfo
from rediq_trio.worker.executor import Executor
from rediq_trio.worker.health import HealthJudge
from rediq_trio.worker.leases import HeldLease
from rediq_trio.worker.outcomes.stuck import StuckAttempts
from rediq_trio.worker.reporting.recent import RecentCount
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
    totals: Callable[[], tuple[int, int]]
    """Returns how many leases the worker has lost so far, and how many writes were not confirmed."""
    shows_progress: bool
    """Whether the progress of tasks may be read by all; False where it is encrypted."""
    orders: Callable[[], tuple[ReceivedOrder, ...]] = tuple
    """Returns the orders that the worker has received."""
    _lost: RecentCount = attrs.field(factory=RecentCount)
    _not_confirmed: RecentCount = attrs.field(factory=RecentCount)
    _settings: Mapping[str, Any] = attrs.field(init=False)
    _types: tuple[str, ...] = attrs.field(init=False)
    _signatures: Mapping[str, TaskSignature] = attrs.field(init=False)
    _schedules: tuple[str, ...] = attrs.field(init=False)
    _machine: tuple[str, int] = attrs.field(factory=host_and_pid)

    def __attrs_post_init__(self) -> None:
        self._settings = plain_settings(self.settings)
        self._types = tuple(task_type.name for task_type in self.app.types)
        self._signatures = {each.name: _signature_of(each) for each in self.app.types}
        self._schedules = tuple(f"{each.queue}/{each.name}" for each in self.app.schedules)

    def info(self) -> WorkerInfo:
        """Return what the worker's heartbeats say about it."""
        settings, health = self.settings, self.health_judge.judge()
        here = self.health_judge.clock.current_time()
        lost, unconfirmed = self.totals()
        return WorkerInfo(
            id=settings.name,
            host=self._machine[0],
            pid=self._machine[1],
            queues=tuple(settings.queues),
            concurrency=settings.concurrency,
            running=self.executor.running(),
            started_at=self.started_at,
            last_heartbeat=utc_now(),
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
            leases_lost=self._lost.grown(here, lost),
            unconfirmed=self._not_confirmed.grown(here, unconfirmed),
            signatures=self._signatures,
        )

    def _running_tasks(self) -> tuple[RunningTask, ...]:
        now, here = utc_now(), self.health_judge.clock.current_time()
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


def _signature_of(task_type: TaskType[..., Any, Any]) -> TaskSignature:
    required, accepted = task_type.required, task_type.accepted
    names = [
        name
        for name, one in task_type.signature.parameters.items()
        if one.kind is not one.VAR_KEYWORD
    ]
    return TaskSignature(
        required=tuple(name for name in names if name in required),
        optional=tuple(name for name in names if name not in required),
        open=accepted is None,
    )


def resident_bytes() -> int | None:
    """Return the bytes of this process that are in memory; None where there is no `/proc`, and in a
    simulation."""
    if simulated() is not None:
        return None
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
