"""The view of one task: a frozen value with the instant at which it was read."""

from __future__ import annotations

import datetime as dt
from typing import Any

import attrs

from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.values.chance import utc_now
from rediq_trio.values.task import TaskInfo


@attrs.frozen(kw_only=True)
class TaskView:
    """One task at one instant."""

    at: dt.datetime
    """When it was read, by this process's clock."""
    info: TaskInfo


async def look_at_task(handle: TaskHandle[Any]) -> TaskView:
    """Read a task; raise `TaskNotFound`."""
    at = utc_now()
    return TaskView(at=at, info=await handle.info())
