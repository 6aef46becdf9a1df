"""The values of tasks: a task to be enqueued, and what can be read about tasks and queues.

All are frozen and validated where they are built, so illegal values cannot exist.
Long, because each field says what it is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Generic, Literal, Protocol, TypedDict, TypeVar, cast

import attrs
from attrs.validators import optional

from rediq_trio._errors import ConfigError
from rediq_trio.spec.lifecycle import State
from rediq_trio.values import bounds
from rediq_trio.values.backoff import DEFAULT_BACKOFF, Backoff, Exponential, Fixed, Linear
from rediq_trio.values.chance import utc_now
from rediq_trio.values.observed.attempt import Attempt
from rediq_trio.values.observed.related import Dependency, UniqueKey
from rediq_trio.values.observed.signature import TaskSignature
from rediq_trio.values.observed.workers import ReceivedOrder, RunningTask, WorkerHealth, WorkerState
from rediq_trio.values.stored_metadata import StoredMetadata
from rediq_trio.values.targets import NO_TARGETS, QueueTargets
from rediq_trio.values.unset import UNSET_MAX_RETRY, UNSET_RETENTION, UNSET_TIMEOUT

R = TypeVar("R")

DEFAULT_QUEUE = "default"
# The defaults, which need no check.
_NO_METADATA: Mapping[str, str] = MappingProxyType({})
_NO_DEFAULTS: Mapping[str, Any] = MappingProxyType({})
_NO_TASKS = ()
_RETENTION = bounds.seconds(0, bounds.MAX_RETENTION)
_TRIES = bounds.number(0, bounds.MAX_TRIES, integer=True)


def _metadata(value: Mapping[str, str]) -> Mapping[str, str]:
    if value is _NO_METADATA or type(value) is StoredMetadata:
        return value
    # A copy that nobody else can change; a value that is no mapping is left to the validator.
    return MappingProxyType(dict(value)) if isinstance(value, Mapping) else value  # pyright: ignore  (untyped callers)


def _check_metadata(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is _NO_METADATA or type(value) is StoredMetadata:
        return
    if not isinstance(value, Mapping):
        raise ConfigError.of(attribute.name, value, "a mapping of str to str")
    value = cast("Mapping[Any, Any]", value)
    if len(value) > bounds.MAX_METADATA:
        raise ConfigError.of(
            attribute.name, f"<{len(value)} entries>", f"at most {bounds.MAX_METADATA} entries"
        )
    if (key := bounds.WORKFLOW_METADATA) in value:
        bound = f"without the key {key!r}, which holds the id of a workflow: use another key"
        raise ConfigError.of(attribute.name, key, bound)
    for text in (*value.keys(), *value.values()):
        if not isinstance(text, str) or len(text) > bounds.MAX_METADATA_TEXT:
            bound = f"str to str, each at most {bounds.MAX_METADATA_TEXT:,} characters"
            raise ConfigError.of(attribute.name, text, bound)


def _check_run_at(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None:
        bounds.check_instant(attribute.name, value)
        assert isinstance(value, dt.datetime)
        latest = utc_now() + dt.timedelta(seconds=bounds.MAX_DELAY)
        if value > latest:
            raise ConfigError.of(attribute.name, value, "at most 1 year ahead")


def _check_timeout(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is UNSET_TIMEOUT:
        return
    if value is None:
        raise ConfigError.of(attribute.name, value, "seconds above 0, or math.inf for no bound")
    if type(value) is not float or not value > 0:
        bounds.check_seconds(attribute.name, value, 0, above=True)


def _check_retention(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not UNSET_RETENTION:
        _RETENTION(None, attribute, value)


def _check_backoff(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, Exponential | Linear | Fixed):
        bound = "Exponential or Linear or Fixed, such as rediq.Fixed(5)"
        raise ConfigError.of(attribute.name, value, bound)


def _instant_or_seconds(high: float) -> bounds.Validator:
    """Return a validator that accepts an aware datetime, or seconds above 0 to `high`."""

    def validate(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if isinstance(value, dt.datetime):
            bounds.check_instant(attribute.name, value)
        elif value is not None:
            bounds.check_seconds(attribute.name, value, 0, high, above=True)

    return validate


def _check_label(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    bounds.check_label(attribute.name, value)


class Identified(Protocol):
    """Anything with a task's id: a handle, or a `TaskInfo`."""

    @property
    def id(self) -> str: ...


def _task_ids(value: Any) -> Any:
    """Return the ids of handles, and a single dependency as a tuple of one."""
    if value is _NO_TASKS:
        return value
    if isinstance(value, str) or hasattr(value, "id"):
        value = (value,)
    if not isinstance(value, Iterable):
        return value
    many = cast("Iterable[Any]", value)
    return tuple(one if isinstance(one, str) else getattr(one, "id", one) for one in many)


def _check_task_ids(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, tuple):
        raise ConfigError.of(attribute.name, value, "ids or handles of tasks")
    many = cast("tuple[Any, ...]", value)
    if len(many) > bounds.MAX_DEPENDENCIES:
        raise ConfigError.of(
            attribute.name, f"<{len(many)} tasks>", f"at most {bounds.MAX_DEPENDENCIES:,} tasks"
        )
    for one in many:
        if not bounds.is_task_id(one):
            bound = f"a task's id, '<queue>/<id>', each part {bounds.NAME_BOUND}, or its handle"
            raise ConfigError.of(attribute.name, one, bound)


@attrs.frozen
class Unique:
    """Allow at most one task at a time with a key, within one queue.

    The key is taken from the enqueue on. It is free again when the task reaches a terminal
    state (`until="done"`), at its first claim (`"started"`), or after `ttl` seconds only
    (`"expired"`); with a `ttl`, never later than that. Meanwhile, a second task is rejected
    with `DuplicateTask` (`"reject"`), returns the handle of the first (`"return"`), or
    replaces the payload and options of the first if that was never claimed (`"replace"`).
    """

    key: str | None = attrs.field(default=None, validator=optional(bounds.text))
    """1 to 256 characters; None for the task's type and arguments, the defaults of its handler
    included."""
    until: Literal["done", "started", "expired"] = attrs.field(
        default="done", validator=bounds.choice("done", "started", "expired")
    )
    ttl: float | None = attrs.field(
        default=None,
        converter=bounds.to_seconds_or_none,
        validator=optional(bounds.seconds(0, bounds.MAX_RETENTION, above=True)),
    )
    """Seconds from the enqueue, or from the last replacement."""
    on_conflict: Literal["reject", "replace", "return"] = attrs.field(
        default="reject", validator=bounds.choice("reject", "replace", "return")
    )

    def __attrs_post_init__(self) -> None:
        if self.until == "expired" and self.ttl is None:
            raise ConfigError.of("ttl", self.ttl, 'given where until is "expired"')


def _check_unique(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, Unique):
        bound = "a Unique, such as rediq.Unique() or rediq.Unique('a key')"
        raise ConfigError.of(attribute.name, value, bound)


class TaskOptions(TypedDict, total=False):
    """The options of `Task`, `@app.task(...)` and `TaskType.options(...)`."""

    id: str | None
    queue: str
    priority: int
    max_retry: int
    max_crashes: int
    timeout: float | dt.timedelta
    backoff: Backoff
    delay: float | dt.timedelta | None
    run_at: dt.datetime | None
    expires: float | dt.timedelta | dt.datetime | None
    deadline: float | dt.timedelta | dt.datetime | None
    retention: float | dt.timedelta
    metadata: Mapping[str, str]
    unique: Unique | None
    depends_on: Identified | Iterable[str | Identified]
    on_dependency_failure: Literal["dead", "run"]
    group: str | None
    limit_key: str | None


class TaskChanges(TypedDict, total=False):
    """What `TaskHandle.update` changes of a waiting task."""

    payload: Any
    priority: int
    max_retry: int
    max_crashes: int
    timeout: float | dt.timedelta
    backoff: Backoff
    expires: float | dt.timedelta | dt.datetime | None
    retention: float | dt.timedelta
    metadata: Mapping[str, str]


class NewTaskChanges(TaskChanges, total=False):
    """What of a task is another in the one that `TaskHandle.enqueue_again` makes."""

    id: str | None
    queue: str
    delay: float | dt.timedelta | None
    run_at: dt.datetime | None
    deadline: float | dt.timedelta | dt.datetime | None
    unique: Unique | None
    group: str | None
    limit_key: str | None


@attrs.frozen(kw_only=True)
class Task(Generic[R]):
    """A task to be enqueued: an immutable value, checked as it is built.

    `TaskType.task(...)` makes one with the options of its handler. A task that is made by name,
    `Task("mail:send", {...})`, does not know them: `timeout`, `backoff`, `max_retry` and
    `retention` are those of the handler that runs it, unless they are set here. All other options
    matter before a handler is known, and are those of the task: `queue`, `priority`,
    `max_crashes`, `expires`, `unique` and so on.

    Raises `ConfigError` for an option out of its bounds. The payload is checked
    when the task is enqueued, because its bound (`max_payload`) is the client's.
    """

    type: str = attrs.field(kw_only=False, validator=bounds.text)
    """The name of the handler."""
    payload: Any = attrs.field(kw_only=False, factory=dict, repr=False)
    """A mapping becomes the handler's keyword arguments; any other value is its one argument."""
    id: str | None = attrs.field(default=None, validator=optional(bounds.name))
    """The local id within the queue; None for a new UUIDv7."""
    queue: str = attrs.field(default=DEFAULT_QUEUE, validator=bounds.queue)
    """The queue's name."""
    priority: int = attrs.field(default=50, validator=bounds.number(0, 100, integer=True))
    """0 (first) to 100 (last)."""
    max_retry: int = attrs.field(default=UNSET_MAX_RETRY, validator=_TRIES)
    """Attempts after the first, 0 to 1,000,000."""
    max_crashes: int = attrs.field(default=3, validator=_TRIES)
    """How often a worker may die while it runs the task before the task is dead, 0 to 1,000,000."""
    timeout: float = attrs.field(
        default=UNSET_TIMEOUT, converter=bounds.to_seconds, validator=_check_timeout
    )
    """Seconds that each attempt may take; `math.inf` for no bound."""
    backoff: Backoff = attrs.field(default=DEFAULT_BACKOFF, validator=_check_backoff)
    """How long to wait after each failure."""
    delay: float | None = attrs.field(
        default=None,
        converter=bounds.to_seconds_or_none,
        validator=optional(bounds.seconds(0, bounds.MAX_DELAY)),
    )
    """Seconds to wait before the first attempt, 0 to 1 year."""
    run_at: dt.datetime | None = attrs.field(default=None, validator=_check_run_at)
    """The instant of the first attempt, at most 1 year ahead; an aware datetime."""
    expires: float | dt.datetime | None = attrs.field(
        default=None,
        converter=bounds.to_seconds_or_instant,
        validator=_instant_or_seconds(bounds.MAX_RETENTION),
    )
    """No attempt starts after it: seconds from the enqueue, or an aware datetime."""
    deadline: float | dt.datetime | None = attrs.field(
        default=None,
        converter=bounds.to_seconds_or_instant,
        validator=_instant_or_seconds(bounds.MAX_DELAY),
    )
    """No attempt starts or continues after it: seconds from the enqueue, above 0 to 1 year, or an
    aware datetime."""
    retention: float = attrs.field(
        default=UNSET_RETENTION,
        converter=bounds.to_seconds,
        validator=_check_retention,
    )
    """Seconds for which the finished task and its result are kept; 0 to remove them at once."""
    metadata: Mapping[str, str] = attrs.field(
        default=_NO_METADATA, converter=_metadata, validator=_check_metadata
    )
    """Text that is stored with the task."""
    unique: Unique | None = attrs.field(default=None, validator=optional(_check_unique))
    """Reject, or replace, a second task with the same key."""
    depends_on: tuple[str, ...] = attrs.field(
        default=(), converter=_task_ids, validator=_check_task_ids
    )
    """Ids or handles of tasks, of any queue, that must have completed before it runs."""
    on_dependency_failure: Literal["dead", "run"] = attrs.field(
        default="dead", validator=bounds.choice("dead", "run")
    )
    """What happens when a dependency is dead, cancelled or gone: the task is dead too, or runs."""
    group: str | None = attrs.field(default=None, validator=optional(_check_label))
    """The group in which it waits to become part of a batch, 1 to 128 characters (bytes, as UTF-8)."""
    limit_key: str | None = attrs.field(default=None, validator=optional(_check_label))
    """The limit key under which the queue's limits count it, 1 to 128 characters (bytes, as UTF-8)."""
    left_out: Mapping[str, Any] = attrs.field(default=_NO_DEFAULTS, eq=False, repr=False)
    """Default values of parameters that the payload may leave out, for the default unique key.
    `TaskType.task` sets it."""
    returns: Any = attrs.field(default=None, eq=False, repr=False)
    """The type into which the result is structured; None for plain msgpack data. `TaskType.task` sets
    it, with the converters of its app."""

    def __attrs_post_init__(self) -> None:
        if self.delay is not None and self.run_at is not None:
            raise ConfigError.of("run_at", self.run_at, "left out if delay is given")
        if self.group is not None:
            for name in ("delay", "run_at", "depends_on", "limit_key"):
                if getattr(self, name) not in (None, ()):
                    raise ConfigError.of(name, getattr(self, name), "left out if group is given")
        replaces = self.unique is not None and self.unique.on_conflict == "replace"
        if replaces and (self.depends_on or self.group):
            raise ConfigError.of("unique", self.unique, "without replace where tasks wait together")
        if self.id is not None and f"{self.queue}/{self.id}" in self.depends_on:
            raise ConfigError.of("depends_on", self.id, "other tasks than itself")


@attrs.frozen
class Progress:
    """The progress that a running task last reported."""

    percent: float
    """0 to 100."""
    message: str | None
    """What it is doing, at most 1,000 characters."""
    updated_at: dt.datetime
    """When it was reported, by the worker's clock."""


@attrs.frozen(kw_only=True)
class TaskInfo:
    """What is known about a task at one instant."""

    id: str
    """`"<queue>/<id>"`."""
    queue: str
    type: str
    state: State
    priority: int
    attempt: int
    """Attempts charged so far, including the running one."""
    max_retry: int
    deliveries: int
    """How often it was claimed."""
    crashes: int
    """How often its lease ran out."""
    created_at: dt.datetime
    run_at: dt.datetime
    """When it became due, or will."""
    deadline: dt.datetime | None = None
    """The instant after which no attempt starts or continues, by the store's clock; None without
    one, and for a task that was revived."""
    started_at: dt.datetime | None
    """When it was last claimed."""
    finished_at: dt.datetime | None
    """When it reached a terminal state."""
    progress: Progress | None
    result: Any
    """What the handler returned, as plain msgpack data; None unless completed."""
    error: str | None
    """Why the last attempt failed, or why the task is dead. Of a completed task: which tasks of its
    `enqueue_after` were not enqueued, as others had their ids or unique keys. `(unreadable: ...)` with
    the reason if it is encrypted with a key that this process does not have."""
    attempts: tuple[Attempt, ...] = ()
    """Its last attempts that did not complete it, at most ten, the oldest first."""
    worker: str | None
    """The worker that last claimed it."""
    metadata: Mapping[str, str]
    workflow: str | None = None
    """The id of the workflow that it is a part of, or whose part has enqueued it with
    `enqueue_after`; None for none. See `Client.workflow`."""
    depends_on: tuple[str, ...] = ()
    group: str | None = None
    """The group in which it waits, or waited when it ended; of a batch, the group of its
    members."""
    members: tuple[str, ...] = ()
    """Ids of the members of a batch, in order; its `type` is that of the first."""
    version: str = attrs.field(default="", repr=False)
    """Stands for what can be changed of it: `update(seen=info)` compares it."""
    cursor: str = attrs.field(default="", repr=False)
    """Its place among the tasks in its state: as `after` of `Queue.tasks` and `DeadLetters.list` it
    holds that place even when the task has gone."""
    payload: Any = attrs.field(default=None, repr=False)
    """What it was enqueued with, as plain msgpack data; of a batch, the list of its members' payloads.
    None also where `payload_missing` says why it cannot be shown."""
    payload_missing: str | None = None
    """Why there is no payload: encrypted with a key that this process does not have, damaged or lost.
    None if there is one."""
    timeout: float | None = None
    """Seconds for each attempt; None for what the handler that runs it says, and for a batch."""
    backoff: Backoff | None = None
    """How long to wait after each failure; None for what the handler that runs it says, and for a
    batch."""
    expires: dt.datetime | None = None
    """The instant after which no attempt starts, the deadline included; None without one."""
    retention: float | None = None
    """Seconds for which it is kept once it has completed; None for what the handler that runs it
    says."""
    max_crashes: int = 3
    snoozes: int = 0
    """How often a handler snoozed it."""
    on_dependency_failure: Literal["dead", "run"] = "dead"
    limit_key: str | None = None
    unique: UniqueKey | None = None
    """Its unique key; None without one."""
    dependencies: tuple[Dependency, ...] | None = None
    """The tasks that it depends on, 250 at most, those that it still waits for first if there are
    more. None in a list of tasks."""
    dependents: tuple[str, ...] | None = None
    """Ids of the tasks that wait for its end, the first 250 of `dependent_count`. None in a list of
    tasks."""
    dependent_count: int | None = None
    """How many tasks wait for its end. None in a list of tasks."""
    steps: tuple[str, ...] = ()
    """The names of the steps whose results are kept, in the order of their ends."""
    size: int = 0
    """Bytes of its payload, metadata, result, progress, steps and results of dependencies, packed
    and, where this process has the keys, not encrypted."""


@attrs.frozen(kw_only=True)
class QueueStats:
    """How many tasks of a queue are in each state, and its totals since it was created."""

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
    oldest_pending_age: float = 0.0
    """Seconds since the oldest pending task was due; 0 if none is pending. The first task of each
    priority is compared."""
    enqueued: int = 0
    completed_total: int = 0
    failed_total: int = 0
    """Failed attempts, including those that were retried."""
    dead_total: int = 0
    purged: int = 0
    deleted: int = 0
    batched: int = 0
    """Grouped tasks that became part of a batch."""
    paused_by: str = ""
    """Who paused the queue, if they said so. Like the reason, text that anybody may have written."""
    paused_reason: str = ""
    paused_since: dt.datetime | None = None
    """When it was paused, by the clock of the server; None if it is not, or if an older version
    paused it."""
    targets: QueueTargets = NO_TARGETS
    """What its operators expect of it."""


@attrs.frozen(kw_only=True)
class WorkerInfo:
    """What a live worker reported in its last heartbeat."""

    id: str
    host: str
    pid: int
    queues: tuple[str, ...]
    concurrency: int
    running: int
    """Attempts running at the last heartbeat."""
    started_at: dt.datetime
    last_heartbeat: dt.datetime
    version: str
    """The version of rediq-trio."""
    types: tuple[str, ...] | None = None
    """The types that it has handlers for, ordered by name; None if it does not say, because it is of
    an older version or has more than a thousand."""
    schedules: tuple[str, ...] | None = None
    """The schedules that its app declares, as `"<queue>/<name>"`; None if it does not say."""
    stuck: tuple[str, ...] = ()
    """Ids of tasks whose attempts ran on after their timeout at the last heartbeat, up to 100."""
    instance: str | None = None
    """Its name with 8 random digits, which no other start of it has. This and what follows is None if
    the worker is of an older version."""
    state: WorkerState | None = None
    """`"starting"`, `"working"`, `"quiet"` or `"stopping"`."""
    type_count: int | None = None
    """How many types it has handlers for, also when `types` is None."""
    running_tasks: tuple[RunningTask, ...] | None = None
    """The attempts that ran at the last heartbeat, those first that had run longest, up to 50."""
    health: WorkerHealth | None = None
    loop_delay: float | None = None
    """Seconds by which its event loop was late at most, in the last ten checks of its watchdog, which
    take a third of the lease."""
    memory: int | None = None
    """Bytes of its process in memory; None also where the system does not say."""
    settings: Mapping[str, Any] | None = None
    """The settings that it runs with, by name; durations in seconds."""
    labels: Mapping[str, str] | None = None
    orders: tuple[ReceivedOrder, ...] | None = None
    """The orders that it has received, up to 10, the newest last; None also if its version takes none."""
    leases_lost: int | None = None
    """Leases that were over before their outcomes were written, in the last 10 minutes."""
    unconfirmed: int | None = None
    """Writes that were made and not confirmed as `durability` asks for, in the last 10 minutes."""
    signatures: Mapping[str, TaskSignature] | None = attrs.field(default=None, repr=False)
    """What its handlers take, by type: of the first 200 types, as far as they fit in 8 KiB."""
