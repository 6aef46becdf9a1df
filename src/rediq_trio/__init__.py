"""Background tasks for Trio programs, on Redis, with a specification that is checked.

__main__             `python -m rediq_trio`
cli  testing         the command line; checks that other projects can run
serve                `async with rediq.serve(...)`: a worker and its client
web                  health and metrics of a worker, over HTTP
worker               the actors that claim tasks, run them and settle their outcomes
handlers             what handlers are written with: App, current_task, once
client               how tasks are enqueued and looked up
admin                one queue, for its operator: pause, limit, check, dead letters
workflow  schedules  graphs of tasks; tasks at the ticks of a schedule
tasks                one task, for its producer: preparation, handle, partitions
settings             the settings of a worker
store                where tasks are kept: in memory or in Redis, behind one port
wire                 how payloads, envelopes and results are packed
values               what users write and read, checked when it is built
spec                 the rules of the queue: pure functions over immutable values
_errors  _nursery    the exceptions; how errors leave a nursery

A package or module imports only from the lines below its own.
"""

from rediq_trio._errors import (
    ConfigError,
    ConnectionLost,
    DuplicateTask,
    NewerTask,
    PayloadError,
    PayloadTooLarge,
    QueueFull,
    RediqError,
    ScheduleNotFound,
    StaleLease,
    TaskCancelled,
    TaskFailed,
    TaskNotFound,
    Unconfirmed,
    UnknownTaskType,
    WorkerCrashed,
)
from rediq_trio.admin.dead_letters import DeadLetters
from rediq_trio.admin.queue import Queue
from rediq_trio.client import Client, connect
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
from rediq_trio.values.backoff import Exponential, Fixed, Linear
from rediq_trio.values.limits import KeyLimit, QueueLimits, Rate
from rediq_trio.values.schedule import Cron, Every
from rediq_trio.values.task import Progress, QueueStats, Task, TaskInfo, WorkerInfo
from rediq_trio.values.unique import Unique
from rediq_trio.worker.health import Health
from rediq_trio.worker.watchdog import BlockedLoop
from rediq_trio.workflow.build import Node, Workflow, chain, gather
from rediq_trio.workflow.handle import WorkflowHandle, WorkflowInfo

__all__ = [
    "App",
    "BlockedLoop",
    "Client",
    "ConfigError",
    "ConnectionLost",
    "Cron",
    "CurrentTask",
    "DeadLetters",
    "DuplicateTask",
    "Encryption",
    "Every",
    "Exponential",
    "Fixed",
    "Health",
    "KeyLimit",
    "Linear",
    "MemoryStore",
    "NewerTask",
    "Node",
    "PayloadError",
    "PayloadTooLarge",
    "Progress",
    "Queue",
    "QueueFull",
    "QueueLimits",
    "QueueStats",
    "Rate",
    "RediqError",
    "Reject",
    "Repair",
    "Retry",
    "ScheduleInfo",
    "ScheduleNotFound",
    "Schedules",
    "Server",
    "ServerStats",
    "Snooze",
    "StaleLease",
    "State",
    "Task",
    "TaskCancelled",
    "TaskFailed",
    "TaskHandle",
    "TaskInfo",
    "TaskNotFound",
    "TaskType",
    "Unconfirmed",
    "Unique",
    "UnknownTaskType",
    "Violation",
    "WorkerCrashed",
    "WorkerInfo",
    "Workflow",
    "WorkflowHandle",
    "WorkflowInfo",
    "chain",
    "connect",
    "current_task",
    "gather",
    "serve",
]
