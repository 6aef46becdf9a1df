"""Why a task waits, or how it ended."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from rediq_trio.spec.lifecycle import State

_NO_DATA: Mapping[str, Any] = MappingProxyType({})


class WhyKind(enum.StrEnum):
    """What a part of a `Why` is about, the most decisive first."""

    NEWER = "newer"
    """A newer version wrote the task: `format`, `state`."""
    RUNNING = "running"
    """It runs: `worker`, `since`, `lease_until`, `attempt`, `attempts`."""
    LEASE_LAPSED = "lease_lapsed"
    """It was claimed, and its worker has not renewed the lease: as `running`."""
    CANCELLING = "cancelling"
    """Someone asked to cancel it while it ran."""
    COMPLETED = "completed"
    """`finished_at`, `worker`, `kept_until`."""
    DEAD = "dead"
    """`finished_at`, `attempt`, `attempts`, `error`."""
    CANCELLED = "cancelled"
    """`finished_at`, `kept_until`."""
    DEPENDENCIES = "dependencies"
    """It waits for other tasks: `waits`, how many; `tasks`, the id and the state of each of the first
    250, None for one of another queue."""
    ELSEWHERE = "elsewhere"
    """The states of those in another queue: `queue`, `tasks` as above, None for one that is gone."""
    GROUP = "group"
    """It waits in a group: `group`, `size`, `max_size`, `batch_at`, None for at once."""
    RETRY = "retry"
    """It waits for its next attempt: `retry`, `max_retry`, `run_at`, `error`."""
    SCHEDULED = "scheduled"
    """It is due later: `run_at`."""
    PAUSED = "paused"
    """The queue is paused: `by`, `reason`, `since`, None for unknown."""
    UNSERVED = "unserved"
    """No live worker serves the queue: `queue`."""
    NOT_CLAIMING = "not_claiming"
    """Live workers serve the queue, and none of them claims: `queue`, `states`, how many workers are in
    each state."""
    UNKNOWN_TYPE = "unknown_type"
    """Workers claim from the queue, and none knows the task's type: `type`, `workers`, how many,
    `versions`."""
    SLOTS_TAKEN = "slots_taken"
    """Workers claim from the queue, and each runs as many tasks as it has slots, of any queue: `workers`,
    how many, `running`, `slots`, `oldest_since`, by the worker's clock, None for unknown."""
    LIMIT = "limit"
    """As many tasks run as may: `limit_key`, None for the limit of the queue, `running`, `concurrency`,
    `oldest_since`, None for unknown."""
    RATE = "rate"
    """A rate allows no start now: `limit_key`, None for that of the queue, `next_start`, `count`,
    `period`."""
    NEWER_FIRST = "newer_first"
    """The task that is next was written by a newer version, so only workers of that get past it:
    `format`."""
    POSITION = "position"
    """Tasks come before it: `position` and `of` in its priority, from 1; `better`, how many have a
    better priority; `limit_key`, among whose tasks all of these are counted; `other_keys`, how many
    other limit keys have pending tasks; `fair`, whether they take turns."""
    ESTIMATE = "estimate"
    """How long that takes at the rate of the last minute: `seconds`, None if no attempt ended in it;
    `rate`, attempts that ended per second."""
    SERVED = "served"
    """Workers claim from the queue: `workers`, how many; `sure`, how many say that they know its type. A
    pending task has `slots_taken` instead while all of their slots are taken."""
    EXPIRES = "expires"
    """No attempt starts after an instant: `expires`."""
    DEADLINE = "deadline"
    """No attempt starts or continues after an instant: `deadline`."""


@attrs.frozen(kw_only=True)
class WhyPart:
    """One thing that is true of a task at one instant."""

    kind: WhyKind
    sentence: str
    """A clause for people, without a full stop. Text of tasks and of workers is on one line, with
    control characters as escapes."""
    data: Mapping[str, Any] = _NO_DATA
    """What the clause says, by the names that `WhyKind` lists. Durations are seconds, instants aware
    datetimes, states `State`."""
    instant: dt.datetime
    """When it was true, by the store's clock."""


@attrs.frozen(kw_only=True)
class Why:
    """Why a task waits, or how it ended, as `TaskHandle.why` found it."""

    task_id: str
    """`"<queue>/<id>"`."""
    state: State
    sentence: str
    """All parts in one sentence; `str()` returns it too."""
    parts: tuple[WhyPart, ...]
    """The most decisive first. Those about the task and its queue are of one instant; those about
    workers, the rate of the last minute and other queues were read right after."""

    def __str__(self) -> str:
        return self.sentence
