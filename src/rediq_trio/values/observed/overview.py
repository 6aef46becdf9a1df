"""The values of an overview: what is counted of many queues at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import attrs

from rediq_trio.values.targets import NO_TARGETS, QueueTargets


@attrs.frozen(kw_only=True)
class QueueCounts:
    """How many tasks of a queue are in each state, and its totals since it was created.

    The same as `QueueStats` without an age and what is noted of a pause. Those of a partitioned queue are sums.
    """

    scheduled: int = 0
    blocked: int = 0
    grouped: int = 0
    pending: int = 0
    active: int = 0
    retry: int = 0
    completed: int = 0
    dead: int = 0
    cancelled: int = 0
    paused: bool = False
    """Whether all its partitions are paused."""
    enqueued: int = 0
    completed_total: int = 0
    failed_total: int = 0
    """Failed attempts, including those that were retried."""
    dead_total: int = 0
    purged: int = 0
    deleted: int = 0
    batched: int = 0
    """Grouped tasks that became part of a batch."""
    targets: QueueTargets = NO_TARGETS
    """What its operators expect of it."""


@attrs.frozen(kw_only=True)
class Overview:
    """The counts of many queues, as `Client.overview` read them."""

    at: dt.datetime
    """When it was read, by the store's clock."""
    queues: Mapping[str, QueueCounts]
    """The counts of each queue, by its name; ordered by name unless names were given."""
