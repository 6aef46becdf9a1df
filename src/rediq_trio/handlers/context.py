"""current_task(): what a handler can learn of the task it runs, and tell about it."""

from __future__ import annotations

import contextvars
import datetime as dt
import math
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, overload

import attrs
import trio

from rediq_trio._errors import ConfigError, PayloadTooLarge, StaleLease, TaskNotFound
from rediq_trio.handlers.steps import Steps, read_inputs
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.tasks.prepare import MAX_WHOLE, prepare
from rediq_trio.values.bounds import check_label, check_number, queue_of
from rediq_trio.values.task import Task

if TYPE_CHECKING:
    from rediq_trio.client import Client

R = TypeVar("R")

MAX_CHILDREN = 1000
"""Tasks that one attempt may enqueue with its completion."""

MAX_MESSAGE = 1000
"""Characters of a progress message that are kept."""


@attrs.frozen(eq=False)
class Desk:
    """What all attempts of a worker share."""

    client: Client
    report: Callable[[Any, float, str | None], None]
    """Takes note of an attempt's progress."""
    cleanup_grace: float
    """Seconds."""


class CurrentTask:
    """The running task, as its handler sees it. Made by the worker, one per attempt."""

    # What most handlers never ask for is looked up when asked for: it is made for each task.
    __slots__ = ("_children_size", "_deadline", "_desk", "_held", "_job", "_steps")

    def __init__(self, desk: Desk, held: Any, job: Any) -> None:
        self._desk = desk
        self._held = held
        self._job = job
        self._steps: Steps | None = None
        self._deadline: dt.datetime | None = None
        self._children_size = 0

    @property
    def id(self) -> str:
        """`"<queue>/<id>"`."""
        return str(self._held.name)

    @property
    def queue(self) -> str:
        """The name of its queue."""
        return queue_of(self._held.queue)

    @property
    def type(self) -> str:
        """The name of its type."""
        return str(self._job.envelope.type)

    @property
    def attempt(self) -> int:
        """From 1."""
        return int(self._held.lease.attempt)

    @property
    def max_retry(self) -> int:
        """How often it is attempted again at most."""
        return int(self._held.lease.max_retry)

    @property
    def deadline(self) -> dt.datetime | None:
        """When the attempt is out of time, by this machine's clock; None when it never is.

        Its timeout or the task's deadline, whichever comes first."""
        if self._deadline is None:
            self._deadline = deadline_of(self._in_loop(self._held.time_left))
        return self._deadline

    @property
    def metadata(self) -> Mapping[str, str]:
        """What it was enqueued with."""
        found: Mapping[str, str] = self._job.envelope.metadata
        return found

    @property
    def fence(self) -> int:
        """Grows with every delivery of this task: let a database refuse a smaller one."""
        return int(self._held.lease.fence.deliveries)

    @property
    def depends_on(self) -> tuple[str, ...]:
        """Ids of the tasks that it depends on."""
        found: tuple[str, ...] = self._job.envelope.depends_on
        return found

    @property
    def group(self) -> str | None:
        """The group whose batch it is; None for any other task. A batch has the type of its
        first member, and no metadata."""
        found: str | None = self._job.group
        return found

    @property
    def members(self) -> tuple[str, ...]:
        """Ids of the tasks that a batch holds."""
        found: tuple[str, ...] = self._job.members
        return found

    @property
    def client(self) -> Client:
        """The worker's own client: enqueue more, look at other tasks."""
        return self._desk.client

    def _in_loop(self, ask: Callable[[], R]) -> R:
        # Trio's clock can be read in its own thread only; handlers run in others too.
        return ask() if trio.lowlevel.in_trio_run() else trio.from_thread.run_sync(ask)

    @property
    def cancel_reason(self) -> str | None:
        """Why the attempt is being cancelled; None while it is not.

        `"timeout"`, `"deadline"`, `"cancelled"` (someone asked), `"lease lost"` or `"shutdown"`.
        """
        reason: str | None = self._in_loop(self._held.why_cancelled)
        return reason

    @property
    def shutting_down(self) -> bool:
        """Whether the worker is stopping: finish soon, or save what you have."""
        down: bool = self._held.shutting_down()
        return down

    def progress(self, percent: float, message: str | None = None) -> None:
        """Say how far the task is: `percent` from 0 to 100 and what it does now.

        Never blocks; callable from a handler's thread too. Written to Redis at
        most every `progress_interval` seconds, the last one always. Raises
        `ConfigError` out of those bounds.
        """
        check_number("percent", percent, 0, 100)
        if message is not None and not isinstance(message, str):
            raise ConfigError.of("message", message, "text")
        text = message if message is None else message[:MAX_MESSAGE]
        self._in_loop(lambda: self._desk.report(self._held, percent, text))

    def enqueue_after(self, task: Task[R]) -> TaskHandle[R]:
        """Enqueue a task in the same atomic step in which this one completes; give its handle.

        Exactly once, into any queue, however often this task is attempted: the tasks
        named in an attempt that does not complete are forgotten. Nothing is sent now.
        Raises `ConfigError` for more than 1,000 in one attempt, `PayloadTooLarge` for
        more than 16 MiB of them, and as `Client.enqueue` does for a bad task. A task that
        it depends on and that is not there then counts as gone; while a unique key has a
        holder, the task is dropped.
        """
        if len(self._held.children) >= MAX_CHILDREN:
            raise ConfigError.of("enqueue_after", task, f"called at most {MAX_CHILDREN:,} times")
        task = self.client._partitions.placer(self._held.queue)(task)
        one = prepare(task, self.client._max_payload)
        size = self._children_size + len(one.new.envelope)
        if size > MAX_WHOLE:
            raise PayloadTooLarge(
                f"enqueue_after: {size:,} bytes packed; at most {MAX_WHOLE:,} go with one task"
            )
        elsewhere = "" if task.queue == self._held.queue else task.queue
        relations = one.new.relations
        if elsewhere:
            relations = attrs.evolve(relations, queue=elsewhere)
        self._children_size = size
        self._held.children.append(attrs.evolve(one.new, relations=relations))
        return TaskHandle(self.client._store, task.queue, one.own, task.returns)

    @overload
    async def once(
        self, step: str, function: Callable[..., Coroutine[Any, Any, R]], *args: Any
    ) -> R: ...

    @overload
    async def once(self, step: str, function: Callable[..., R], *args: Any) -> R: ...

    async def once(self, step: str, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function once in the task's life: its result is kept with the task.

        A later attempt gets the kept result, as data structured by the function's
        return annotation, and so does the first. `step`: 1 to 128 characters, one per
        thing done. An error is not kept. The call comes before its record: a worker
        that dies between the two makes the next attempt call again. Raises `StaleLease`
        when another worker holds the task by now, and `PayloadError` for a result that
        msgpack cannot carry; it is not kept then. When cancelled, it may be kept or not.
        """
        check_label("step", step)
        if self._steps is None:
            self._steps = Steps(self.client._store, self._held)
        return await self._steps.once(step, function, *args)

    async def results(self) -> dict[str, Any]:
        """Give what the tasks that this one depends on returned, by their ids, as plain data.

        None for one that returned None, or that did not complete
        (`on_dependency_failure="run"`). Kept with this task, whatever their retention.
        While Redis is away it waits, as long as the attempt may.
        """
        try:
            record = await self.client.task(self.id)._record_patiently()
        except TaskNotFound:
            raise StaleLease(
                f"{self.id} is gone: another worker has settled it, or it was flushed"
            ) from None
        found: dict[str, Any] = dict.fromkeys(self.depends_on)
        return found | read_inputs(self._held.queue, record.inputs)

    @contextmanager
    def cleanup(self) -> Generator[trio.CancelScope]:
        """Shield a handler's clean-up from its cancellation, for `cleanup_grace` seconds at most.

        For `finally` blocks that must wait: `with current_task().cleanup(): await close()`.
        """
        # Bounded by cleanup_grace; unshielded, no `await` in a cancelled handler's `finally` would run.
        with trio.CancelScope(
            shield=True, deadline=trio.current_time() + self._desk.cleanup_grace
        ) as scope:
            yield scope

    def __repr__(self) -> str:
        return f"<CurrentTask {self.id} {self.type!r} attempt {self.attempt}>"


_CURRENT: contextvars.ContextVar[CurrentTask] = contextvars.ContextVar("rediq_current_task")


def current_task() -> CurrentTask:
    """Give the task that is running here; raise `ConfigError` outside of a handler."""
    try:
        return _CURRENT.get()
    except LookupError:
        raise ConfigError(
            "current_task() was called outside of a handler: there is no task"
        ) from None


def enter(task: CurrentTask) -> contextvars.Token[CurrentTask]:
    """Make a task the current one in this context. For the executor."""
    return _CURRENT.set(task)


def running_in(context: contextvars.Context) -> CurrentTask | None:
    """Give the task that is the current one in a context. For the watchdog."""
    return context.get(_CURRENT)


def deadline_of(timeout: float) -> dt.datetime | None:
    """Give the instant `timeout` seconds from now; None when it is out of reach."""
    if timeout == math.inf:
        return None
    try:
        return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=timeout)
    except OverflowError:
        return None
