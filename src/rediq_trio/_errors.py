"""Every exception of the library, named by whose fault it is.

    RediqError
    ├── ConfigError          the caller: a bad option, name, URL or setting
    ├── PayloadError         the caller: data that msgpack or the handler cannot take
    │   └── PayloadTooLarge
    ├── UnknownTaskType      the caller: no handler goes by that name
    ├── DuplicateTask        the caller: that id exists, or that unique key is taken
    ├── TaskNotFound         the caller, or time: no such task, or purged
    ├── NewerTask            the caller's age: a newer version wrote the task
    ├── ScheduleNotFound     the caller: no schedule goes by that name
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

SHOWN = 80
"""Characters of a bad value that an error message shows."""


def shown(value: object) -> str:
    """Give the representation of a value for an error message, cut to `SHOWN` characters."""
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def members(error: BaseException) -> tuple[BaseException, ...]:
    """Give the exceptions right below a group; none for what is no group."""
    if isinstance(error, BaseExceptionGroup):
        return tuple(cast("BaseExceptionGroup[BaseException]", error).exceptions)
    return ()


def nested(error: BaseException) -> list[BaseException]:
    """Give an exception and, if it is a group, all that is in it at any depth, groups included."""
    # No recursion: a handler may raise groups as deep as it likes.
    found = [error]
    for part in found:
        found += members(part)
    return found


class RediqError(Exception):
    """The root of every error that this library raises on purpose."""


class ConfigError(RediqError, ValueError):
    """A bad option, name, URL or setting; nothing was written."""

    @classmethod
    def of(cls, field: str, value: object, bound: str) -> ConfigError:
        """Name the field, the value (cut to 80 characters) and the bound it broke."""
        return cls(f"{field}={shown(value)}: must be {bound}")


class PayloadError(RediqError, ValueError):
    """Data that msgpack cannot carry, or that does not fit the handler."""


class PayloadTooLarge(PayloadError):
    """A payload above `max_payload` bytes."""


class UnknownTaskType(RediqError, LookupError):
    """No handler is registered under that name."""


class DuplicateTask(RediqError):
    """A task with that id, or the holder of that unique key, is there already; nothing was changed."""

    def __init__(self, existing_id: str) -> None:
        super().__init__(f"task {shown(existing_id)} exists already")
        self.existing_id = existing_id
        """The id of the task that is in the way: `"<queue>/<id>"`."""


class TaskNotFound(RediqError, LookupError):
    """No task has that id: it never existed, was deleted, was purged after its retention, or
    went into a batch of its group."""

    def __init__(self, task_id: str) -> None:
        super().__init__(
            f"no task {shown(task_id)}: it never existed, was deleted, was purged after its "
            "retention, or went into a batch of its group"
        )
        self.task_id = task_id


class NewerTask(RediqError):
    """A newer version of the library wrote the task, in a layout that this one cannot read.

    Nothing was changed. Upgrade this process.
    """

    def __init__(self, task_id: str, layout: int) -> None:
        super().__init__(
            f"task {shown(task_id)} was written by a newer rediq-trio (layout {layout}); "
            "upgrade this process"
        )
        self.task_id = task_id
        self.layout = layout


class ScheduleNotFound(RediqError, LookupError):
    """No schedule goes by that name in any queue."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no schedule is named {shown(name)} in any queue")
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

    A call that ends so may or may not have been applied; `sent` is False when
    it certainly was not.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class Unconfirmed(RediqError):
    """The write was made, and is less durable than was asked for, or not known to be more.

    It may last, or be lost if the server fails now. What has an own id can be repeated
    without harm.
    """

    def __init__(self, message: str, *, answer: object = None) -> None:
        super().__init__(message)
        self.answer = answer
        """What the server answered to the write."""
        self.ids: tuple[str, ...] = ()
        """The ids of the tasks that were written, where it was an enqueue."""


class StaleLease(RediqError):
    """The lease is over: another worker may hold the task by now."""


class WorkerCrashed(RediqError):
    """An actor of the worker has a bug; the cause is chained."""
