"""The public names of `rediq_trio`, which imports this module when the first of them is used."""

from rediq_trio._errors import (
    AccessRefused,
    ConfigError,
    ConnectionLost,
    DuplicateTask,
    NewerTask,
    PartlyEnqueued,
    PayloadError,
    PayloadTooLarge,
    QueueFull,
    QueueNotEmpty,
    RediqError,
    ScheduleNotFound,
    ServerRefused,
    StaleLease,
    StoreError,
    TaskCancelled,
    TaskChanged,
    TaskFailed,
    TaskNotFound,
    TaskStateError,
    Unconfirmed,
    UnknownTaskType,
    WorkerCrashed,
)
from rediq_trio.admin.dead_letters import DeadLetters
from rediq_trio.admin.queue import Queue
from rediq_trio.client import Client, connect
from rediq_trio.clients.connect_sync import connect_sync
from rediq_trio.clients.sync_client import (
    SyncClient,
    SyncDeadLetters,
    SyncQueue,
    SyncSchedules,
    SyncTaskHandle,
    SyncWorkflowHandle,
)
from rediq_trio.handlers.app import App, TaskType
from rediq_trio.handlers.context import CurrentTask, current_task
from rediq_trio.handlers.exceptions import Reject, Retry, Snooze
from rediq_trio.handlers.log_fields import logging_filter
from rediq_trio.schedules.admin import ScheduleInfo, Schedules
from rediq_trio.serve import Server, ServerStats, serve
from rediq_trio.spec.check.findings import Repair, Violation
from rediq_trio.spec.lifecycle import State
from rediq_trio.store.encrypted.keys import Encryption
from rediq_trio.store.memory import MemoryStore
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.values.attempt import Attempt, ErrorText
from rediq_trio.values.backoff import Exponential, Fixed, Linear
from rediq_trio.values.limits import KeyLimit, QueueLimits, Rate
from rediq_trio.values.overview import Overview, QueueCounts
from rediq_trio.values.related import Dependency, UniqueKey
from rediq_trio.values.schedule import Cron, Every
from rediq_trio.values.series import Series, SeriesGap, SeriesPoint
from rediq_trio.values.task import Progress, QueueStats, Task, TaskInfo, Unique, WorkerInfo
from rediq_trio.values.workers import RunningTask, WorkerHealth
from rediq_trio.wire.converter import Converter
from rediq_trio.worker.health import Health
from rediq_trio.worker.watchdog import BlockedLoop
from rediq_trio.workflow.build import Node, Workflow, chain, gather
from rediq_trio.workflow.handle import WorkflowHandle, WorkflowInfo

for _thing in [*globals().values()]:
    if isinstance(_thing, type) and issubclass(_thing, BaseException):
        # A traceback shows the name by which a program imports it, not a private module.
        _thing.__module__ = "rediq_trio"

__all__ = [
    "AccessRefused",
    "App",
    "Attempt",
    "BlockedLoop",
    "Client",
    "ConfigError",
    "ConnectionLost",
    "Converter",
    "Cron",
    "CurrentTask",
    "DeadLetters",
    "Dependency",
    "DuplicateTask",
    "Encryption",
    "ErrorText",
    "Every",
    "Exponential",
    "Fixed",
    "Health",
    "KeyLimit",
    "Linear",
    "MemoryStore",
    "NewerTask",
    "Node",
    "Overview",
    "PartlyEnqueued",
    "PayloadError",
    "PayloadTooLarge",
    "Progress",
    "Queue",
    "QueueCounts",
    "QueueFull",
    "QueueLimits",
    "QueueNotEmpty",
    "QueueStats",
    "Rate",
    "RediqError",
    "Reject",
    "Repair",
    "Retry",
    "RunningTask",
    "ScheduleInfo",
    "ScheduleNotFound",
    "Schedules",
    "Series",
    "SeriesGap",
    "SeriesPoint",
    "Server",
    "ServerRefused",
    "ServerStats",
    "Snooze",
    "StaleLease",
    "State",
    "StoreError",
    "SyncClient",
    "SyncDeadLetters",
    "SyncQueue",
    "SyncSchedules",
    "SyncTaskHandle",
    "SyncWorkflowHandle",
    "Task",
    "TaskCancelled",
    "TaskChanged",
    "TaskFailed",
    "TaskHandle",
    "TaskInfo",
    "TaskNotFound",
    "TaskStateError",
    "TaskType",
    "Unconfirmed",
    "Unique",
    "UniqueKey",
    "UnknownTaskType",
    "Violation",
    "WorkerCrashed",
    "WorkerHealth",
    "WorkerInfo",
    "Workflow",
    "WorkflowHandle",
    "WorkflowInfo",
    "chain",
    "connect",
    "connect_sync",
    "current_task",
    "logging_filter",
    "gather",
    "serve",
]
