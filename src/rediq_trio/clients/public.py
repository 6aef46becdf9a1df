"""The public names of `rediq_trio`, which imports this module when the first of them is used."""

from rediq_trio._errors import (
    AccessRefused,
    ClientClosed,
    ConfigError,
    ConnectionLost,
    DuplicateTask,
    NewerTask,
    NotAudited,
    OrderRefused,
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
    WorkerNotFound,
    WorkflowNotFound,
)
from rediq_trio.admin.dead_letters import DeadLetters
from rediq_trio.admin.queue import Queue
from rediq_trio.admin.search import TaskSearch
from rediq_trio.admin.selection import Selection
from rediq_trio.admin.worker_handle import WorkerHandle
from rediq_trio.client import Client, connect
from rediq_trio.clients.connect_sync import connect_sync
from rediq_trio.clients.sync_calls import SyncTaskSearch
from rediq_trio.clients.sync_client import (
    SyncClient,
    SyncDeadLetters,
    SyncQueue,
    SyncSchedules,
    SyncSelection,
    SyncTaskHandle,
    SyncWorkerHandle,
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
from rediq_trio.values.backoff import Exponential, Fixed, Linear
from rediq_trio.values.limits import KeyLimit, QueueLimits, Rate
from rediq_trio.values.observed.attempt import Attempt, ErrorText
from rediq_trio.values.observed.audit import AuditEntry, Mark
from rediq_trio.values.observed.bulk import BulkProgress, Possible, SelectionPreview
from rediq_trio.values.observed.failure_kind import FailureKind
from rediq_trio.values.observed.group import GroupInfo
from rediq_trio.values.observed.overview import Overview, QueueCounts
from rediq_trio.values.observed.related import Dependency, UniqueKey
from rediq_trio.values.observed.series import Series, SeriesGap, SeriesPoint
from rediq_trio.values.observed.signature import TaskSignature
from rediq_trio.values.observed.types import Percentiles, TypeStats
from rediq_trio.values.observed.why import Why, WhyKind, WhyPart
from rediq_trio.values.observed.workers import ReceivedOrder, RunningTask, WorkerHealth
from rediq_trio.values.observed.workflow import WorkflowStatus
from rediq_trio.values.schedule import Cron, Every
from rediq_trio.values.targets import QueueTargets
from rediq_trio.values.task import Progress, QueueStats, Task, TaskInfo, Unique, WorkerInfo
from rediq_trio.values.telemetry.sending import Sending, SentTask
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
    "AuditEntry",
    "BlockedLoop",
    "BulkProgress",
    "Client",
    "ClientClosed",
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
    "FailureKind",
    "Fixed",
    "GroupInfo",
    "Health",
    "KeyLimit",
    "Linear",
    "Mark",
    "MemoryStore",
    "NewerTask",
    "Node",
    "NotAudited",
    "OrderRefused",
    "Overview",
    "PartlyEnqueued",
    "PayloadError",
    "PayloadTooLarge",
    "Percentiles",
    "Possible",
    "Progress",
    "Queue",
    "QueueCounts",
    "QueueFull",
    "QueueLimits",
    "QueueNotEmpty",
    "QueueStats",
    "QueueTargets",
    "Rate",
    "ReceivedOrder",
    "RediqError",
    "Reject",
    "Repair",
    "Retry",
    "RunningTask",
    "ScheduleInfo",
    "ScheduleNotFound",
    "Schedules",
    "Selection",
    "SelectionPreview",
    "Sending",
    "SentTask",
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
    "SyncSelection",
    "SyncTaskHandle",
    "SyncTaskSearch",
    "SyncWorkerHandle",
    "SyncWorkflowHandle",
    "Task",
    "TaskCancelled",
    "TaskChanged",
    "TaskFailed",
    "TaskHandle",
    "TaskInfo",
    "TaskNotFound",
    "TaskSearch",
    "TaskSignature",
    "TaskStateError",
    "TaskType",
    "TypeStats",
    "Unconfirmed",
    "Unique",
    "UniqueKey",
    "UnknownTaskType",
    "Violation",
    "Why",
    "WhyKind",
    "WhyPart",
    "WorkerCrashed",
    "WorkerHandle",
    "WorkerHealth",
    "WorkerInfo",
    "WorkerNotFound",
    "Workflow",
    "WorkflowHandle",
    "WorkflowInfo",
    "WorkflowNotFound",
    "WorkflowStatus",
    "chain",
    "connect",
    "connect_sync",
    "current_task",
    "gather",
    "logging_filter",
    "serve",
]
