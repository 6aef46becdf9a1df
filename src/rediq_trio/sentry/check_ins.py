"""Check-ins of schedules: a monitor for each schedule of an app, in which its tasks report.

The id of a check-in is made from the task's, so that attempts on several workers are one check-in: it begins
with the first attempt, and ends when the task has completed or is dead.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any

import attrs
from sentry_sdk.crons import MonitorStatus, capture_checkin

from rediq_trio.handlers.app import App
from rediq_trio.handlers.context import CurrentTask
from rediq_trio.handlers.failed_attempt import FailedAttempt
from rediq_trio.schedules.declare import SCHEDULE_METADATA, TICK_METADATA, ScheduleDeclaration
from rediq_trio.values.schedule import Cron

SLUG_MAX = 50
"""Characters that Sentry takes of a monitor's slug."""
CHECK_IN_MARGIN = 5
"""Minutes by which a task may begin late before Sentry calls it missed."""


@attrs.frozen(eq=False)
class CheckIns:
    """The check-ins of the schedules of an app."""

    app: App[Any]

    def begin(self, task: CurrentTask) -> None:
        """Check in when the first attempt of a scheduled task begins."""
        if task.attempt == 1:
            self._send(task.id, task.queue, task.metadata, MonitorStatus.IN_PROGRESS)

    def succeed(self, task: CurrentTask) -> None:
        """Check in when a scheduled task has completed."""
        self._send(task.id, task.queue, task.metadata, MonitorStatus.OK)

    def fail(self, failed: FailedAttempt) -> None:
        """Check in when a scheduled task has failed for good."""
        self._send(failed.id, failed.queue, failed.metadata, MonitorStatus.ERROR)

    def _send(self, task_id: str, queue: str, metadata: Mapping[str, str], status: str) -> None:
        if TICK_METADATA not in metadata:
            return  # not a tick: an operator may have triggered it
        declared = self._declared(queue, metadata.get(SCHEDULE_METADATA, ""))
        if declared is None or (config := monitor_config(declared)) is None:
            return
        capture_checkin(
            monitor_slug=slug_of(queue, declared.name),
            check_in_id=hashlib.blake2b(task_id.encode(), digest_size=16).hexdigest(),
            status=status,
            monitor_config=config,
        )

    def _declared(self, queue: str, name: str) -> ScheduleDeclaration | None:
        return next(
            (one for one in self.app.schedules if (one.queue, one.name) == (queue, name)), None
        )


def slug_of(queue: str, name: str) -> str:
    """Return the slug of a schedule's monitor: the queue and the name, in the characters it may have."""
    whole = f"{queue}-{name}"
    slug = re.sub(r"[^a-z0-9_-]", "-", whole.lower())
    if slug == whole and len(slug) <= SLUG_MAX:
        return slug
    # What was changed or cut makes no two names one.
    digest = hashlib.blake2b(whole.encode(), digest_size=4).hexdigest()
    return f"{slug[: SLUG_MAX - 9]}-{digest}"


def monitor_config(declared: ScheduleDeclaration) -> Any:
    """Return the configuration of a schedule's monitor; None for an interval that Sentry cannot have.

    Sentry counts in whole minutes.
    """
    schedule: dict[str, Any]
    if isinstance(declared.when, Cron):
        schedule = {"type": "crontab", "value": declared.when.line}
        zone = declared.when.timezone
    else:
        minutes, rest = divmod(declared.when.seconds, 60)
        if rest or not minutes:
            return None
        schedule, zone = {"type": "interval", "value": int(minutes), "unit": "minute"}, "UTC"
    return {
        "schedule": schedule,
        "timezone": zone,
        "checkin_margin": CHECK_IN_MARGIN,
        "max_runtime": max(1, math.ceil(declared.task.timeout / 60)),
    }
