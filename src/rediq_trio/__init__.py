"""Background tasks for Trio programs, on Redis, with a specification that is checked.

__main__             `python -m rediq_trio`
cli  testing         the command line; checks that other projects can run
asyncio              `async with rediq.asyncio.connect(...)`, for asyncio programs
clients              blocking and asyncio clients, made from the Trio one
serve                `async with rediq.serve(...)`: a worker and its client
web                  health and metrics of a worker, over HTTP
worker               the actors that claim tasks, run them and settle their outcomes
handlers             what handlers are written with: App, current_task, once
client               how tasks are enqueued and looked up
admin                one queue, for its operator: pause, limit, check, dead letters
workflow  schedules  graphs of tasks; tasks at the ticks of a schedule
tasks                one task, for its producer: preparation, handle, partitions
settings             the settings of a worker
store                where tasks are kept: in memory or in Redis, behind one interface
wire                 how payloads, envelopes and results are packed
values               what users write and read, checked when it is built
spec                 the rules of the queue: pure functions over immutable values
_version             the version of the package
_errors  _nursery    the exceptions; how errors leave a nursery

A package or module imports only from the lines below its own.
"""

import importlib
from typing import TYPE_CHECKING, Any

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
from rediq_trio._version import __version__ as __version__
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
from rediq_trio.values.related import Dependency, UniqueKey
from rediq_trio.values.overview import Overview, QueueCounts
from rediq_trio.values.schedule import Cron, Every
from rediq_trio.values.series import Series, SeriesGap, SeriesPoint
from rediq_trio.values.task import Progress, QueueStats, Task, TaskInfo, Unique, WorkerInfo
from rediq_trio.values.workers import RunningTask, WorkerHealth
from rediq_trio.wire.converter import Converter
from rediq_trio.worker.health import Health
from rediq_trio.worker.watchdog import BlockedLoop
from rediq_trio.workflow.build import Node, Workflow, chain, gather
from rediq_trio.workflow.handle import WorkflowHandle, WorkflowInfo

if TYPE_CHECKING:
    from rediq_trio import asyncio as asyncio
else:

    def __getattr__(name: str) -> Any:
        """Import `rediq.asyncio` when it is first used: other programs do without asyncio."""
        if name != "asyncio":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return importlib.import_module("rediq_trio.asyncio")


for _name in [*globals()]:
    _thing = globals()[_name]
    if isinstance(_thing, type) and issubclass(_thing, BaseException):
        # A traceback shows the name by which a program imports it, not a private module.
        _thing.__module__ = __name__

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
    "gather",
    "serve",
]
