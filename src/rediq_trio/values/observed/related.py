"""What a task is related to: its unique key, and the tasks that it depends on."""

from __future__ import annotations

import datetime as dt
from typing import Literal

import attrs

from rediq_trio.spec.lifecycle import State


@attrs.frozen
class UniqueKey:
    """A task's unique key, and who has it."""

    key: str
    """The key, or a hash of it in a queue whose payloads are encrypted."""
    until: Literal["done", "started", "expired"]
    held: bool
    """Whether this task has it. In a list of tasks it may be over by time nevertheless."""
    holder: str | None = None
    """The id of the task that has it; None if it is free, and in a list of tasks."""
    held_until: dt.datetime | None = None
    """When it becomes free by time; None for never, and in a list of tasks."""


@attrs.frozen
class Dependency:
    """A task that another one depends on, as the other one's queue knows it."""

    id: str
    """`"<queue>/<id>"`."""
    state: State | None
    """Of one that is awaited: its state, None for a task of another queue, for one that is gone, and
    after the first 100. Of another one: `completed`, or None if only its end is known."""
    awaited: bool
    """Whether the task still waits for it: its queue was not notified of its end."""
