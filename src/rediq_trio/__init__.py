"""Background tasks for Trio programs, on Redis, with a specification that is checked.

Level 4  cli  web                  doors: nothing imports them, but serve opens web late
Level 3  serve  client  admin  app what a user writes with
Level 2  worker/                   where tasks run: a nursery of actors
Level 1  store/                    where tasks live: memory and Redis behind one port
Level 0  spec/                     words and rules: pure, imports neither trio nor redis

Imports go down only.
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
from rediq_trio.admin import Queue
from rediq_trio.app import App, TaskType
from rediq_trio.client import Client, connect
from rediq_trio.context import CurrentTask, current_task
from rediq_trio.dead_letters import DeadLetters
from rediq_trio.handle import TaskHandle
from rediq_trio.schedules import ScheduleInfo, Schedules
from rediq_trio.serve import Server, ServerStats, serve
from rediq_trio.signals import Reject, Retry, Snooze
from rediq_trio.spec.backoff import Exponential, Fixed, Linear
from rediq_trio.spec.invariants import Violation
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.repairs import Repair
from rediq_trio.spec.schedule import Cron, Every
from rediq_trio.spec.throttles import KeyLimit, QueueLimits, Rate
from rediq_trio.spec.unique import Unique
from rediq_trio.spec.values import Progress, QueueStats, Task, TaskInfo, WorkerInfo
from rediq_trio.store.encryption import Encryption
from rediq_trio.store.memory import MemoryStore
from rediq_trio.worker.health import Health
from rediq_trio.worker.watchdog import BlockedLoop
from rediq_trio.workflow import Node, Workflow, chain, gather
from rediq_trio.workflow_handle import WorkflowHandle, WorkflowInfo

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
