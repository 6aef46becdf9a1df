"""Every exception of the library, grouped by who can fix it.

RediqError
├── ConfigError          the caller: a bad option, name, URL or setting
├── PayloadError         the caller: data that msgpack or the handler cannot take
│   └── PayloadTooLarge
├── UnknownTaskType      the caller: no handler has that name
├── DuplicateTask        the caller: that id exists, or that unique key is taken
├── TaskNotFound         the caller, or time: no such task, or purged
├── TaskStateError       the caller, or time: the task is in another state than is needed
├── TaskChanged          the caller, or another: the task is not as it was read
├── NewerTask            the caller's age: a newer version wrote the task
├── ScheduleNotFound     the caller: no schedule has that name
├── WorkerNotFound       the caller, or time: no live worker has that name
├── WorkflowNotFound     the caller, or time: no workflow has that id, or none of its tasks is left
├── OrderRefused         the worker's age: its version does not take the order
├── QueueNotEmpty        the caller: something is in the queue that is to be removed
├── QueueFull            the world: the queue is bounded and full
├── PartlyEnqueued       its cause: `enqueue_many` wrote some tasks, then a step was refused
├── TaskFailed           the task: it ended in `dead`
├── TaskCancelled        the task: it was cancelled
├── ConnectionLost       the world: Redis cannot be reached or cannot answer
│   ├── ClientClosed     the caller, a ConfigError too: the client was closed before the call
│   └── ServerRefused    the world: Redis answered that it cannot take the command now
│       └── AccessRefused  the caller, a ConfigError too: login, permission or kind of URL
├── Unconfirmed          the world: less durable than was asked
├── NotAudited           its cause: a change was made, and has no entry in the audit
├── StaleLease           the world: another worker holds the task by now
├── StoreError           us, or damaged data: a command that Redis will never take
└── WorkerCrashed        us: an actor of the worker has a bug
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Sequence
from typing import cast

QUOTE_MAX = 80
"""Maximum characters of a value that an error message quotes."""


def quote(value: object) -> str:
    """Return the representation of a value for an error message, cut to `QUOTE_MAX` characters."""
    # The representation of 100 MB would hold up all that runs beside it.
    text_like = type(value) in (str, bytes)
    try:
        text = repr(cast("str | bytes", value)[: QUOTE_MAX + 1] if text_like else value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # SystemExit too: a value of a user cannot end the worker.
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= QUOTE_MAX else text[: QUOTE_MAX - 3] + "..."


def name_some(names: Sequence[str], limit: int) -> str:
    """Return the first names, at most `limit`, and how many more there are, for a message."""
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of a message that suggests the known word most like another; "" without one."""
    like = difflib.get_close_matches(word, list(known), n=1, cutoff=0.65)
    return f"; did you mean {like[0]}?" if like else ""


def group_members(error: BaseException) -> tuple[BaseException, ...]:
    """Return the exceptions directly in a group; none for an exception that is no group."""
    if isinstance(error, BaseExceptionGroup):
        return tuple(typing.cast("BaseExceptionGroup[BaseException]", error).exceptions)
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
    """A payload above `max_payload` bytes, a result above `max_result`, or a call that Redis refuses
    for its size."""


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


class TaskStateError(RediqError):
    """The task is in a state in which it cannot be changed so; nothing was changed."""

    def __init__(self, task_id: str, state: str, wanted: str, reason: str) -> None:
        super().__init__(f"task {quote(task_id)} is {state}, and must be {wanted}: {reason}")
        self.task_id = task_id
        self.state = state
        """The state in which it is: the value of a `State`."""


class TaskChanged(RediqError):
    """The task was changed by someone else since it was read; nothing was changed by this call."""

    def __init__(self, task_id: str, changed: Sequence[str]) -> None:
        super().__init__(
            f"task {quote(task_id)} was changed since it was read: {', '.join(changed)}; read it again"
        )
        self.task_id = task_id
        self.changed = tuple(changed)
        """What was changed: `payload`, or names of options."""


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


class WorkflowNotFound(RediqError, LookupError):
    """No workflow has that id: it never existed, none of its tasks is left, or it was one of too many."""

    def __init__(self, workflow_id: str) -> None:
        super().__init__(
            f"no workflow {quote(workflow_id)}: it never existed, none of its tasks is left, or its "
            "record was dropped for those of newer ones"
        )
        self.workflow_id = workflow_id


class WorkerNotFound(RediqError, LookupError):
    """No live worker has that name: it never did, or it has ended."""

    def __init__(self, worker: str, more: str) -> None:
        super().__init__(f"no live worker is named {quote(worker)}{more}")
        self.worker = worker


class OrderRefused(RediqError):
    """A live worker does not carry out an order, because of its version or because it takes none."""

    def __init__(self, worker: str, reason: str) -> None:
        super().__init__(f"worker {worker} did not take the order: {reason}")
        self.worker = worker


class QueueNotEmpty(RediqError):
    """Something is in the queue, so it was not removed."""

    def __init__(self, queue: str, left: str) -> None:
        super().__init__(f"queue {queue} is not empty: {left}")
        self.queue = queue
        """The queue, or its partition."""


class QueueFull(RediqError):
    """The queue is bounded and full; nothing was written."""


class PartlyEnqueued(RediqError):
    """`enqueue_many` wrote some of its tasks; then a step was refused, for the chained cause."""

    def __init__(
        self,
        handles: list[typing.Any],
        refused: list[typing.Any],
        reason: BaseException,
    ) -> None:
        super().__init__(
            f"{len(handles) - len(refused):,} of {len(handles):,} tasks were enqueued, then: {reason}; "
            "enqueue_many(error.refused) enqueues the others"
        )
        self.handles = handles
        """A `TaskHandle` for each task, in order; None for one that was not written."""
        self.refused = refused
        """The tasks that were not written, in order, with the ids that they were given. After a
        `ConnectionLost`, some may have been; enqueueing them again is safe."""


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


class ClientClosed(ConnectionLost, ConfigError):
    """The client of the call was closed before it, so nothing was sent. Open another client."""

    def __init__(self, opener: str) -> None:
        super().__init__(f"this client is closed: open another with {opener}", sent=False)


class ServerRefused(ConnectionLost):
    """Redis answered a command with an error that passes: it is loading, full or a replica, say.

    `sent` is False if the command was certainly not carried out. Workers wait until Redis takes
    commands again.
    """

    def __init__(self, message: str, *, reply: str = "", sent: bool = False) -> None:
        super().__init__(message, sent=sent)
        self.reply = reply
        """What Redis answered: the line of its error."""


class AccessRefused(ServerRefused, ConfigError):
    """Redis refuses the user, lacks a permission for it, or is a node of a Cluster.

    An operator must correct it. A call of a client raises it at once; a running worker waits
    until it is corrected.
    """


class Unconfirmed(RediqError):
    """The write was made, but it is not confirmed to be as durable as requested.

    It is lost if the server fails before it becomes durable. Enqueueing a task with an id
    of the caller again is safe.
    """

    def __init__(self, message: str, *, answer: object = None) -> None:
        super().__init__(message)
        self.answer = answer
        """What the write was answered."""
        self.ids: tuple[str, ...] = ()
        """The ids of the written tasks, if it was an enqueue."""


class NotAudited(RediqError):
    """The change was made, but its entry in the audit could not be written, for the chained cause."""

    def __init__(self, what: str, reason: BaseException, *, answer: object = None) -> None:
        super().__init__(
            f"{what} was done, but has no entry in the audit: {reason}; do not do it again, and "
            "make a note of it with Client.mark() when Redis can be written"
        )
        self.answer = answer
        """What the change returned."""


class StaleLease(RediqError):
    """The lease is over: another worker may hold the task by now."""


class StoreError(RediqError):
    """Redis refused a command for good: the data of a queue is damaged, or the library is wrong.

    These are keys of another type (`WRONGTYPE`) or slot, errors of a script, and commands that the
    server does not know or takes other arguments for. A worker stops the queue in which it
    happens; its other queues go on. Check the queue with `rediq check`, and report what you
    cannot explain.
    """

    def __init__(self, message: str, *, reply: str = "", queue: str = "", script: str = "") -> None:
        super().__init__(message)
        self.reply = reply
        """What Redis answered: the line of its error."""
        self.queue = queue
        """The queue whose data the command was for; empty if it was for no queue."""
        self.script = script
        """The name of the script that ran; empty for a plain command."""


class WorkerCrashed(RediqError):
    """An actor of the worker has a bug; the cause is chained."""
