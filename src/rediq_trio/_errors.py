"""Every exception of the library, grouped by who can fix it.

RediqError
├── ConfigError          the caller: a bad option, name, URL or setting
├── PayloadError         the caller: data that msgpack or the handler cannot take
│   └── PayloadTooLarge
├── UnknownTaskType      the caller: no handler has that name
├── DuplicateTask        the caller: that id exists, or that unique key is taken
├── TaskNotFound         the caller, or time: no such task, or purged
├── NewerTask            the caller's age: a newer version wrote the task
├── ScheduleNotFound     the caller: no schedule has that name
├── QueueFull            the world: the queue is bounded and full
├── TaskFailed           the task: it ended in `dead`
├── TaskCancelled        the task: it was cancelled
├── ConnectionLost       the world: Redis cannot be reached or cannot answer
├── Unconfirmed          the world: less durable than was asked
├── StaleLease           the world: another worker holds the task by now
└── WorkerCrashed        us: an actor of the worker has a bug
"""

from __future__ import annotations

from typing import cast

QUOTE_MAX = 80
"""Maximum characters of a value that an error message quotes."""


def quote(value: object) -> str:
    """Return the representation of a value for an error message, cut to `QUOTE_MAX` characters."""
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= QUOTE_MAX else text[: QUOTE_MAX - 3] + "..."


def group_members(error: BaseException) -> tuple[BaseException, ...]:
    """Return the exceptions directly in a group; none for an exception that is no group."""
    if isinstance(error, BaseExceptionGroup):
        return tuple(cast("BaseExceptionGroup[BaseException]", error).exceptions)
    return ()


def flatten_group(error: BaseException) -> list[BaseException]:
    """Return an exception and, if it is a group, all exceptions in it at any depth, groups included."""
    # No recursion: a handler may nest groups as deep as it likes.
    found = [error]
    for part in found:
        found += group_members(part)
    return found


class RediqError(Exception):
    """The base of every error that this library raises on purpose."""


class ConfigError(RediqError, ValueError):
    """A bad option, name, URL or setting; nothing was written."""

    @classmethod
    def of(cls, field: str, value: object, bound: str) -> ConfigError:
        """Return an error that names the field, the value (cut to 80 characters) and its bound."""
        return cls(f"{field}={quote(value)}: must be {bound}")


class PayloadError(RediqError, ValueError):
    """Data that msgpack cannot carry, or that does not fit the handler."""


class PayloadTooLarge(PayloadError):
    """A payload above `max_payload` bytes."""


class UnknownTaskType(RediqError, LookupError):
    """No handler is registered under that name."""


class DuplicateTask(RediqError):
    """A task with that id exists, or the unique key is taken; nothing was changed."""

    def __init__(self, existing_id: str) -> None:
        super().__init__(f"task {quote(existing_id)} exists already")
        self.existing_id = existing_id
        """The id of the existing task: `"<queue>/<id>"`."""


class TaskNotFound(RediqError, LookupError):
    """No task has that id: it never existed, was deleted, was purged after its retention, or
    went into a batch of its group."""

    def __init__(self, task_id: str) -> None:
        super().__init__(
            f"no task {quote(task_id)}: it never existed, was deleted, was purged after its "
            "retention, or went into a batch of its group"
        )
        self.task_id = task_id


class NewerTask(RediqError):
    """A newer version of the library wrote the task, in a format that this one cannot read.

    Nothing was changed. Upgrade this process.
    """

    def __init__(self, task_id: str, layout: int) -> None:
        super().__init__(
            f"task {quote(task_id)} was written by a newer rediq-trio (format {layout}); "
            "upgrade this process"
        )
        self.task_id = task_id
        self.layout = layout


class ScheduleNotFound(RediqError, LookupError):
    """No schedule in any queue has that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no schedule is named {quote(name)} in any queue")
        self.name = name


class QueueFull(RediqError):
    """The queue is bounded and full; nothing was written."""


class TaskFailed(RediqError):
    """The awaited task is dead."""

    def __init__(self, task_id: str, state: str, reason: str) -> None:
        super().__init__(f"task {task_id} is {state}: {reason}")
        self.task_id = task_id
        self.state = state
        self.reason = reason


class TaskCancelled(RediqError):
    """The awaited task was cancelled."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"task {task_id} was cancelled")
        self.task_id = task_id


class ConnectionLost(RediqError):
    """Redis cannot be reached, did not answer in time, or cannot take commands now.

    The call may or may not have been applied; `sent` is False if it certainly was not.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class Unconfirmed(RediqError):
    """The write was made, but it is not confirmed to be as durable as requested.

    It is lost if the server fails before it becomes durable. Enqueueing a task with an id
    of the caller again is safe.
    """

    def __init__(self, message: str, *, answer: object = None) -> None:
        super().__init__(message)
        self.answer = answer
        """The server's answer to the write."""
        self.ids: tuple[str, ...] = ()
        """The ids of the written tasks, if it was an enqueue."""


class StaleLease(RediqError):
    """The lease is over: another worker may hold the task by now."""


class WorkerCrashed(RediqError):
    """An actor of the worker has a bug; the cause is chained."""
