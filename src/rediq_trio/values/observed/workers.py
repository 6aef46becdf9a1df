"""What a worker says of itself beside its `WorkerInfo`: what it runs, and how it is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Literal

import attrs

WorkerState = Literal["starting", "working", "quiet", "stopping"]
"""Starting: its app's lifespans are being entered. Quiet: it claims nothing, and finishes what it
has. Stopping: the same, and then it ends."""


@attrs.frozen(kw_only=True)
class RunningTask:
    """An attempt that ran at a worker's last heartbeat."""

    id: str
    """`"<queue>/<id>"` of its task."""
    type: str
    attempt: int
    """The number of the attempt, from 1."""
    since: dt.datetime
    """When it started, by the worker's clock."""
    percent: float | None = None
    """The progress that it last reported, 0 to 100; None without any, and where progress is
    encrypted."""


@attrs.frozen(kw_only=True)
class WorkerHealth:
    """How a worker judged its own health at its last heartbeat; see `Health`."""

    alive: bool
    ready: bool
    reasons: tuple[str, ...] = ()
    """Why it was not ready, each a sentence, up to 10; empty when it was."""


@attrs.frozen(kw_only=True)
class ReceivedOrder:
    """An order that a worker has received, see `WorkerHandle`."""

    id: str
    """Drawn by whoever gave it."""
    name: str
    """`"quiet"`, `"work"`, `"stop"` or `"stacks"`."""
    received_at: dt.datetime
    """By the worker's clock."""
    refused: str | None = None
    """Why the worker did not carry it out; None if it did."""
    stacks: Mapping[str, str] | None = attrs.field(default=None, repr=False)
    """The answer to `"stacks"`, which the worker forgets after 30 s: the tree of Trio tasks of each
    running attempt, by the id of its task."""
