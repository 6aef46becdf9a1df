"""current_task(): what a handler can read about the task it runs, and report about it."""

from __future__ import annotations

import contextvars
import datetime as dt
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload
from weakref import WeakValueDictionary

import attrs
import trio

from rediq_trio._errors import ConfigError, DuplicateTask, PayloadTooLarge, StaleLease, TaskNotFound
from rediq_trio.handlers.lifespan import Lifespans
from rediq_trio.handlers.permits import report_held_permit
from rediq_trio.handlers.results import ResultPacker, check_size
from rediq_trio.handlers.running_attempt import AttemptedTask, RunningAttempt
from rediq_trio.handlers.steps import Steps, read_inputs
from rediq_trio.spec.records import Record
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.tasks.prepare import MAX_ATOMIC_BYTES, PreparedTask, prepare, to_send
from rediq_trio.tasks.waiting import RUNNING_HANDLER
from rediq_trio.values.bounds import check_label, check_number, queue_of
from rediq_trio.values.chance import utc_now
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
    results: ResultPacker = attrs.field(factory=ResultPacker)
    """Packs the results of handlers and of their steps."""
    lifespans: Lifespans = attrs.field(factory=Lifespans)
    """The lifespans of the served app, and what they yielded."""
    worker: str = "worker"
    """The name of the worker."""
    sent_children: WeakValueDictionary[tuple[str, str], TaskHandle[Any]] = attrs.field(
        factory=WeakValueDictionary[tuple[str, str], TaskHandle[Any]]
    )
    """Handles that handlers keep of tasks for other queues, which may refuse them: by the id of the
    task that asked for it, and its own."""


class CurrentTask:
    """The running task, as its handler sees it. Made by the worker, one per attempt."""

    # One is made for every attempt, so attributes that are rarely used are computed on first use.
    __slots__ = (
        "_attempt",
        "_child_ids",
        "_children_size",
        "_deadline",
        "_services",
        "_steps",
        "_task",
    )

    def __init__(
        self, services: WorkerServices, attempt: RunningAttempt, task: AttemptedTask
    ) -> None:
        self._services = services
        self._attempt = attempt
        self._task = task
        self._steps: Steps | None = None
        self._deadline: dt.datetime | None = None
        self._child_ids: set[str] = set()
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
    def worker(self) -> str:
        """The name of the worker that runs it."""
        return self._services.worker

    @property
    def trace_id(self) -> str | None:
        """The id of the trace that it belongs to, 32 hexadecimal digits, from `traceparent` in its
        metadata, or that of its span; None without a valid one."""
        return self._attempt.trace_id

    @property
    def max_retry(self) -> int:
        """Maximum number of further attempts after the first."""
        return self._attempt.lease.max_retry

    @property
    def deadline(self) -> dt.datetime | None:
        """When the attempt runs out of time, by this machine's clock; None for no bound.

        It is the end of the timeout or the task's deadline, whichever comes first."""
        if self._deadline is None:
            left = self._in_loop(self._attempt.time_left)
            with suppress(OverflowError):  # inf, and what no datetime can hold
                self._deadline = utc_now() + dt.timedelta(seconds=left)
        return self._deadline

    @property
    def metadata(self) -> Mapping[str, str]:
        """The metadata that the task was enqueued with."""
        return self._task.envelope.metadata

    @property
    def workflow(self) -> str | None:
        """The id of the workflow that it is a part of, or that a part of it has enqueued with
        `enqueue_after`; None for none. See `Client.workflow`."""
        return self._task.envelope.workflow or None

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

    @property
    def state(self) -> Any:
        """What the lifespan of the handler's app yielded, before the worker claimed its first task.

        The app is the one that registered the handler, or the aggregator of a batch. If it has no
        lifespan, the state is that of the app that includes it. `App.state` is the same with its
        type. Raises `ConfigError` without a lifespan.
        """
        return self._services.lifespans.state_of_task(self.type, self._task.group)

    def runs(self, attempt: RunningAttempt) -> bool:
        """Return whether this is what a handler sees of that attempt."""
        return self._attempt is attempt

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
        `PayloadTooLarge` for more than 16 MiB of them, `DuplicateTask` for an id that this
        attempt has used, and what `Client.enqueue` raises for a bad task. A dependency that
        does not exist at that time counts as gone.

        The running task's own id and unique key are free for the new task, which then
        succeeds it: the result of the running task is not kept, and who waits for that id
        waits for the new task. If at that time another task has the id or the unique key, the
        task is not enqueued: `created` of the handle becomes False, the running task's `error`
        says so, and unless `on_conflict="return"` asks for that, the worker logs a warning and
        counts it. For another queue it is found out a moment later, when the task arrives there:
        then who brings it, mostly a worker of this queue, completes `error` and logs the warning. It
        counts it if it is a worker, and `created` changes if it is this worker.
        """
        if len(self._attempt.children) >= MAX_CHILDREN:
            raise ConfigError.of("enqueue_after", task, f"called at most {MAX_CHILDREN:,} times")
        task = self.client._partition_counts.router(self._attempt.queue)(task)
        # Found out without packing it, while other handlers wait.
        if isinstance(task, Task):  # `prepare` refuses anything else
            check_size(task.payload, self.client._max_payload, what="payload")
        one = self._prepare_child(task)
        handle = self.client._open(task.queue, one.local_id, task.returns)
        if handle.id in self._child_ids:
            raise DuplicateTask(handle.id)
        size = self._children_size + len(one.new.envelope)
        if size > MAX_ATOMIC_BYTES:
            raise PayloadTooLarge(
                f"enqueue_after: {size:,} bytes packed; at most {MAX_ATOMIC_BYTES:,} go with one task"
            )
        new = one.new
        may_exist = task.unique is not None and not one.rejects_duplicate
        if task.queue != self._attempt.queue:
            relations = attrs.evolve(new.relations, queue=task.queue)
            parent = self._attempt.fence.id
            new = attrs.evolve(new, relations=relations, parent=parent, may_exist=may_exist)
            self._services.sent_children[self.id, handle.id] = handle
        else:
            handles = self._attempt.child_handles = self._attempt.child_handles or {}
            handles[one.local_id] = handle, may_exist
        self._children_size = size
        self._child_ids.add(handle.id)
        self._attempt.children.append(new)
        return handle

    def _prepare_child(self, task: Task[Any]) -> PreparedTask:
        senders, most = self.client._senders, self.client._max_payload
        workflow = self._task.envelope.workflow
        if senders is None:
            return prepare(task, most, workflow=workflow)
        with senders.around("enqueue_after", (to_send(task),)) as sending:
            return prepare(task, most, sending.tasks[0], workflow)

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
        when another worker holds the task by now, `PayloadError` for a result that msgpack
        cannot carry, and `PayloadTooLarge` for one above the worker's `max_result`; none of
        these is kept. When cancelled, it may be kept or not.
        """
        check_label("step", step)
        if self._steps is None:
            self._steps = Steps(
                self.client._store, self._attempt, self._services.results, self._task.conversions
            )
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
        # Unshielded, no `await` in a cancelled handler's `finally` would run.
        with trio.move_on_after(self._services.cleanup_grace, shield=True) as scope:
            yield scope

    def _lend_slot(self) -> AbstractContextManager[None]:
        """Lend the handler's slot to other tasks while the block lasts."""
        return self._attempt.lend_slot()

    async def _report_pending(self, partition: str, record: Record) -> bool:
        """Log it if a task that this one waits for needs a permit that is held meanwhile."""
        store = self.client._store
        return await report_held_permit(store, self._attempt, partition, record)

    def __repr__(self) -> str:
        return f"<CurrentTask {self.id} {self.type!r} attempt {self.attempt}>"


CURRENT = cast("contextvars.ContextVar[CurrentTask]", RUNNING_HANDLER)
"""Set by the worker; it names the attempt also in the Trio tasks that a handler starts."""


def current_task() -> CurrentTask:
    """Return the task that is running here; raise `ConfigError` outside of a handler."""
    try:
        return CURRENT.get()
    except LookupError:
        raise ConfigError(
            "current_task() was called outside of a handler: there is no task"
        ) from None
