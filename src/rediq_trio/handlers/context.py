"""current_task(): what a handler can read about the task it runs, and report about it."""

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
from rediq_trio.handlers.running_attempt import AttemptedTask, RunningAttempt
from rediq_trio.handlers.steps import Steps, read_inputs
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.tasks.prepare import MAX_ATOMIC_BYTES, prepare
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
class WorkerServices:
    """What all attempts of a worker share: made once by the worker."""

    client: Client
    report_progress: Callable[[RunningAttempt, float, str | None], None]
    """Stores an attempt's progress; never blocks."""
    cleanup_grace: float
    """Seconds that a cancelled handler has for its clean-up."""


class CurrentTask:
    """The running task, as its handler sees it. Made by the worker, one per attempt."""

    # One is made for every attempt, so attributes that are rarely used are computed on first use.
    __slots__ = ("_attempt", "_children_size", "_deadline", "_services", "_steps", "_task")

    def __init__(
        self, services: WorkerServices, attempt: RunningAttempt, task: AttemptedTask
    ) -> None:
        self._services = services
        self._attempt = attempt
        self._task = task
        self._steps: Steps | None = None
        self._deadline: dt.datetime | None = None
        self._children_size = 0

    @property
    def id(self) -> str:
        """`"<queue>/<id>"`."""
        return self._attempt.task_id

    @property
    def queue(self) -> str:
        """The name of its queue."""
        return queue_of(self._attempt.queue)

    @property
    def type(self) -> str:
        """The name of its type."""
        return self._task.envelope.type

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self._attempt.lease.attempt

    @property
    def max_retry(self) -> int:
        """Maximum number of further attempts after the first."""
        return self._attempt.lease.max_retry

    @property
    def deadline(self) -> dt.datetime | None:
        """When the attempt runs out of time, by this machine's clock; None for no bound.

        It is the end of the timeout or the task's deadline, whichever comes first."""
        if self._deadline is None:
            self._deadline = deadline_of(self._in_loop(self._attempt.time_left))
        return self._deadline

    @property
    def metadata(self) -> Mapping[str, str]:
        """The metadata that the task was enqueued with."""
        return self._task.envelope.metadata

    @property
    def fence(self) -> int:
        """A number that grows with every delivery of this task, so a database can refuse a smaller one."""
        return self._attempt.fence.deliveries

    @property
    def depends_on(self) -> tuple[str, ...]:
        """Ids of the tasks that it depends on."""
        return self._task.envelope.depends_on

    @property
    def group(self) -> str | None:
        """The group of which this task is the batch; None for any other task. A batch has the
        type of its first member, and no metadata."""
        return self._task.group

    @property
    def members(self) -> tuple[str, ...]:
        """Ids of the tasks that a batch holds."""
        return self._task.members

    @property
    def client(self) -> Client:
        """The worker's own client, to enqueue more or read other tasks."""
        return self._services.client

    def _in_loop(self, ask: Callable[[], R]) -> R:
        # Trio's clock can be read in its own thread only; handlers run in others too.
        return ask() if trio.lowlevel.in_trio_run() else trio.from_thread.run_sync(ask)

    @property
    def cancel_reason(self) -> str | None:
        """Why the attempt is being cancelled; None while it is not.

        `"timeout"`, `"deadline"`, `"cancelled"` (someone asked), `"lease lost"` or `"shutdown"`.
        """
        return self._in_loop(self._attempt.cancel_reason)

    @property
    def shutting_down(self) -> bool:
        """Whether the worker is stopping: the handler should finish soon or save its work."""
        return self._attempt.shutting_down()

    def progress(self, percent: float, message: str | None = None) -> None:
        """Report how far the task is: `percent` from 0 to 100, and what it does now.

        Never blocks, and may be called from a handler's thread. A report is written to
        Redis at most every `progress_interval` seconds; the last one is always written.
        Raises `ConfigError` for a value out of these bounds.
        """
        check_number("percent", percent, 0, 100)
        if message is not None and not isinstance(message, str):
            raise ConfigError.of("message", message, "text")
        text = message if message is None else message[:MAX_MESSAGE]
        self._in_loop(lambda: self._services.report_progress(self._attempt, percent, text))

    def enqueue_after(self, task: Task[R]) -> TaskHandle[R]:
        """Enqueue a task in the same atomic step that completes this one; return its handle.

        The task is enqueued exactly once, into any queue, however often this one is
        attempted; tasks of an attempt that does not complete are dropped. Nothing is
        sent now. Raises `ConfigError` for more than 1,000 in one attempt,
        `PayloadTooLarge` for more than 16 MiB of them, and what `Client.enqueue` raises
        for a bad task. A dependency that does not exist at that time counts as gone. If
        its unique key is taken, the task is dropped.
        """
        if len(self._attempt.children) >= MAX_CHILDREN:
            raise ConfigError.of("enqueue_after", task, f"called at most {MAX_CHILDREN:,} times")
        task = self.client._partition_counts.router(self._attempt.queue)(task)
        one = prepare(task, self.client._max_payload)
        size = self._children_size + len(one.new.envelope)
        if size > MAX_ATOMIC_BYTES:
            raise PayloadTooLarge(
                f"enqueue_after: {size:,} bytes packed; at most {MAX_ATOMIC_BYTES:,} go with one task"
            )
        elsewhere = "" if task.queue == self._attempt.queue else task.queue
        relations = one.new.relations
        if elsewhere:
            relations = attrs.evolve(relations, queue=elsewhere)
        self._children_size = size
        self._attempt.children.append(attrs.evolve(one.new, relations=relations))
        return TaskHandle(self.client._store, task.queue, one.local_id, task.returns)

    @overload
    async def once(
        self, step: str, function: Callable[..., Coroutine[Any, Any, R]], *args: Any
    ) -> R: ...

    @overload
    async def once(self, step: str, function: Callable[..., R], *args: Any) -> R: ...

    async def once(self, step: str, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function once in the task's life, and keep its result with the task.

        Every attempt gets the kept result, as data structured by the function's return
        annotation. `step` names what is done: 1 to 128 characters, different for each
        call. An error is not kept. The result is stored after the call, so if the worker
        dies in between, the next attempt calls the function again. Raises `StaleLease`
        when another worker holds the task by now, and `PayloadError` for a result that
        msgpack cannot carry; neither is kept. When cancelled, it may be kept or not.
        """
        check_label("step", step)
        if self._steps is None:
            self._steps = Steps(self.client._store, self._attempt)
        return await self._steps.once(step, function, *args)

    async def results(self) -> dict[str, Any]:
        """Return the results of the tasks that this one depends on, by their ids, as plain data.

        The result is None for a task that returned None, or that did not complete
        (`on_dependency_failure="run"`). Results are kept with this task, whatever the
        retention of the tasks that returned them. While Redis is away the call waits, as
        long as the attempt may.
        """
        try:
            record = await self.client.task(self.id)._read_until_answered()
        except TaskNotFound:
            raise StaleLease(
                f"{self.id} is gone: another worker has settled it, or it was flushed"
            ) from None
        found: dict[str, Any] = dict.fromkeys(self.depends_on)
        return found | read_inputs(self._attempt.queue, record.inputs)

    @contextmanager
    def cleanup(self) -> Generator[trio.CancelScope]:
        """Shield a handler's clean-up from its cancellation, for `cleanup_grace` seconds at most.

        For `finally` blocks that must wait: `with current_task().cleanup(): await close()`.
        """
        # Bounded by cleanup_grace; unshielded, no `await` in a cancelled handler's `finally` would run.
        with trio.CancelScope(
            shield=True, deadline=trio.current_time() + self._services.cleanup_grace
        ) as scope:
            yield scope

    def __repr__(self) -> str:
        return f"<CurrentTask {self.id} {self.type!r} attempt {self.attempt}>"


_CURRENT: contextvars.ContextVar[CurrentTask] = contextvars.ContextVar("rediq_current_task")


def current_task() -> CurrentTask:
    """Return the task that is running here; raise `ConfigError` outside of a handler."""
    try:
        return _CURRENT.get()
    except LookupError:
        raise ConfigError(
            "current_task() was called outside of a handler: there is no task"
        ) from None


def enter(task: CurrentTask) -> contextvars.Token[CurrentTask]:
    """Make a task the current one in this context. For the worker."""
    return _CURRENT.set(task)


def running_in(context: contextvars.Context) -> CurrentTask | None:
    """Return the task that is the current one in a context. For the watchdog."""
    return context.get(_CURRENT)


def deadline_of(timeout: float) -> dt.datetime | None:
    """Return the instant `timeout` seconds from now; None when no datetime can hold it."""
    if timeout == math.inf:
        return None
    try:
        return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=timeout)
    except OverflowError:
        return None
