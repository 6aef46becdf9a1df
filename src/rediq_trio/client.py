"""Client: how a producer enqueues tasks, and an operator reads queues.

Long, because each method says what it promises.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TypeVar, overload

import attrs
import trio

from rediq_trio._errors import (
    ConnectionLost,
    DuplicateTask,
    QueueFull,
    RediqError,
    TaskNotFound,
    Unconfirmed,
)
from rediq_trio.admin.logbooks import read_audit, read_marks, write_mark
from rediq_trio.admin.overview import read_overview
from rediq_trio.admin.queue import Queue
from rediq_trio.admin.worker_handle import WorkerHandle, check_worker_name
from rediq_trio.settings import settle_patience, warn_misspelt_variables
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Answer, AnswerKind, Enqueued, NewTask
from rediq_trio.store.audit.acting import ActingStore, Actor
from rediq_trio.store.audit.audited import audited
from rediq_trio.store.encrypted.keys import Encryption, resolve_encryption
from rediq_trio.store.encrypted.store import encrypt_store
from rediq_trio.store.opening import open_store
from rediq_trio.store.patient import with_patience
from rediq_trio.store.port import Store
from rediq_trio.store.redis.durability import Durability, Level
from rediq_trio.store.relay import log_dead, relay
from rediq_trio.store.retrying import until_answered
from rediq_trio.store.trio_context import trio_context
from rediq_trio.store.urls import default_url, server_of
from rediq_trio.tasks.enqueue_steps import (
    FULL_QUEUE_FIRST_PAUSE,
    FULL_QUEUE_LONGEST_PAUSE,
    StepWriter,
)
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.tasks.ids import split_id
from rediq_trio.tasks.partitions import PartitionCounts
from rediq_trio.tasks.prepare import PreparedTask, prepare, to_send
from rediq_trio.tasks.task_info import read_worker_infos
from rediq_trio.tasks.waiting import lend_slot
from rediq_trio.values.bounds import (
    MAX_PAYLOAD,
    PATIENCE,
    Duration,
    check_name,
    check_number,
    queue_of,
)
from rediq_trio.values.chance import uniform
from rediq_trio.values.observed.audit import AuditEntry, Mark
from rediq_trio.values.observed.overview import Overview
from rediq_trio.values.observed.workflow import WorkflowStatus
from rediq_trio.values.task import Task, WorkerInfo
from rediq_trio.values.telemetry.port import SendingApp, Telemetry, sending_layers
from rediq_trio.values.telemetry.sending import Senders, SentTask, make_senders

# Imported when they are used: a command that looks at queues is over soon.
if TYPE_CHECKING:
    from rediq_trio.schedules.admin import Schedules
    from rediq_trio.workflow.build import Workflow
    from rediq_trio.workflow.handle import WorkflowHandle
    from rediq_trio.workflow.plan import Plan

R = TypeVar("R")


class Client:
    """Enqueues tasks, and opens tasks, queues and schedules. Made by `connect` and by `serve`."""

    def __init__(
        self,
        store: Store,
        *,
        max_payload: int = MAX_PAYLOAD,
        patience: float = PATIENCE,
        senders: Senders | None = None,
    ) -> None:
        self._store = store
        self._senders = senders
        self._patient_store = with_patience(store, patience)
        self._max_payload = max_payload
        self._open = partial(
            TaskHandle[Any], self._patient_store, max_payload=max_payload, senders=senders
        )
        self._patience = patience
        self._partition_counts = PartitionCounts(store, patience)

    @overload
    async def enqueue(self, task: Task[R], *, wait: bool = False) -> TaskHandle[R]: ...

    @overload
    async def enqueue(self, task: Workflow[R], *, wait: bool = False) -> WorkflowHandle[R]: ...

    @audited()
    async def enqueue(self, task: Task[Any] | Workflow[Any], *, wait: bool = False) -> Any:
        """Enqueue a task, or all tasks of a workflow, all or nothing; return its handle.

        With `unique=`, the handle may be that of the task that holds the key, and then has
        `created` False. Raises `DuplicateTask` if the task's id exists or its unique key is
        taken, `TaskNotFound` if a dependency does not exist, `QueueFull` unless `wait`,
        which waits for room instead, `PayloadError` or `PayloadTooLarge`, and
        `ConnectionLost`. In each case nothing was written, except that after
        `ConnectionLost` a task with an id of the caller may exist: enqueue it again, which
        is safe. `Unconfirmed` means that the task was written, but is less durable than
        requested. When cancelled, the task may exist too.
        """
        if not isinstance(task, Task):
            from rediq_trio.workflow.build import Workflow

            if isinstance(task, Workflow):
                return await self._enqueue_workflow(task, wait=wait)
        await self._partition_counts.refresh_if_old()
        task = self._partition_counts.router()(task)
        # No `with`, which would cost each call without middleware something.
        opened = None if self._senders is None else self._senders.begin("enqueue", (to_send(task),))
        try:
            sent = None if opened is None else opened.sending.tasks[0]
            one = prepare(task, self._max_payload, sent)
            await self._check_elsewhere(one.elsewhere)
            repeatable = task.id is None
            (answer,) = await self._send_when_room(wait, task.queue, (one.new,), repeatable)
            if answer is None:
                raise DuplicateTask(f"{task.queue}/{one.local_id}")
            handle = self._handle(one, answer)
            taken = isinstance(answer, Answer) and answer.kind is AnswerKind.TAKEN
            if taken and one.rejects_duplicate:
                raise DuplicateTask(handle.id)
            if one.elsewhere:
                await relay(self._store, task.queue)
        except BaseException as error:
            if opened is not None:
                opened.end(error)
            raise
        if opened is not None:
            opened.end_sent((handle.created,))
        return handle

    async def _enqueue_workflow(self, workflow: Workflow[R], *, wait: bool) -> WorkflowHandle[R]:
        workflow.check()
        await self._partition_counts.refresh_if_old()
        plan = workflow.plan(self._partition_counts.router())
        if self._senders is None:
            return await self._write_workflow(plan, (), wait=wait)
        tasks = [to_send(attrs.evolve(node.task, id=node.local_id)) for node in plan.nodes]
        with self._senders.around("workflow", tasks, plan.name, plan.id) as sending:
            handle = await self._write_workflow(plan, sending.tasks, wait=wait)
            for sent in sending.tasks:
                sent.created = True
        return handle

    async def _write_workflow(
        self, plan: Plan, sent: Sequence[SentTask], *, wait: bool
    ) -> WorkflowHandle[Any]:
        from rediq_trio.workflow.handle import WorkflowHandle
        from rediq_trio.workflow.listing import forget_refused
        from rediq_trio.workflow.plan import check_atomic, prepare_node

        nodes = [
            prepare_node(node, plan, self._max_payload, each)
            for node, each in zip_longest(plan.nodes, sent)
        ]
        check_atomic(nodes)
        # Tasks of other queues are written later and cannot be rejected then, so check them now.
        await self._check_elsewhere(need for one in nodes for need in one.outside(plan.home))
        for one in nodes:
            if one.task.queue != plan.home:
                (record,) = await self._patient_store.get(one.task.queue, (one.local_id,))
                if record is not None:
                    raise DuplicateTask(f"{one.task.queue}/{one.local_id}")
        repeatable = not any(node.task.id for node in plan.nodes)
        new_tasks = [one.new for one in nodes]
        graph = plan.graph()
        packed, created_ms = graph.pack(), 0

        async def keep() -> None:
            # Before the tasks: so that there are never tasks of a workflow that nobody finds.
            nonlocal created_ms
            created_ms = await self._patient_store.keep_workflow(graph.id, packed)

        answers = await self._send_when_room(
            wait, plan.home, new_tasks, repeatable, atomic=True, first=keep
        )
        try:
            for one, answer in zip(nodes, answers, strict=True):
                if answer is None:
                    raise DuplicateTask(f"{plan.home}/{one.local_id}")
                self._handle(one, answer)  # raises if it was rejected
        except RediqError:
            await forget_refused(self._store, graph.id)
            raise
        if any(one.new.relations.queue or one.outside(plan.home) for one in nodes):
            await relay(self._store, plan.home)
        handles = {
            node.name: self._open(node.queue, node.local_id, node.task.returns)
            for node in plan.nodes
        }
        return WorkflowHandle(graph, handles, created_ms)

    @audited()
    async def enqueue_many(
        self, tasks: Iterable[Task[R]], *, wait: bool = False
    ) -> list[TaskHandle[R]]:
        """Enqueue many tasks; return their handles in order.

        They are written in steps, each all or nothing: one for each queue, and another one
        after 1,000 tasks or 4 MiB. If an id exists or a unique key is taken, the handle is that
        of the existing task and has `created` False. With `wait`, a full queue is waited for,
        and what finds room is written as room comes.

        Raises what `enqueue` raises, except `DuplicateTask`, when nothing was written. When
        something was, it raises `PartlyEnqueued` instead, which has the handles of what was
        written, the tasks that were not, and the reason as its cause. When cancelled, tasks of
        earlier steps stay enqueued, and those of the current one may be.
        """
        await self._partition_counts.refresh_if_old()
        route = self._partition_counts.router  # one for each, so that they are spread
        if self._senders is None:
            return await self._write_many(
                [prepare(route()(task), self._max_payload) for task in tasks], wait
            )
        routed = [route()(task) for task in tasks]
        with self._senders.around("enqueue_many", [*map(to_send, routed)]) as sending:
            prepared = [
                prepare(task, self._max_payload, sent)
                for task, sent in zip(routed, sending.tasks, strict=True)
            ]
            handles = await self._write_many(prepared, wait)
            for sent, handle in zip(sending.tasks, handles, strict=True):
                sent.created = handle.created
        return handles

    async def _write_many(
        self, prepared: Sequence[PreparedTask], wait: bool
    ) -> list[TaskHandle[Any]]:
        await self._check_elsewhere(need for one in prepared for need in one.elsewhere)
        writer = StepWriter(prepared, wait, self._send, self._handle, partial(relay, self._store))
        return await writer.write()

    def _handle(self, one: PreparedTask, answer: State | Answer | None) -> TaskHandle[Any]:
        """Return the handle for an answer; raise if the task was rejected."""
        queue, returns = one.task.queue, one.task.returns
        if isinstance(answer, State):
            return self._open(queue, one.local_id, returns)
        match answer:
            case Answer(AnswerKind.TAKEN | AnswerKind.REPLACED, ref):
                return self._open(queue, ref, returns, created=False)
            case Answer(AnswerKind.FULL):
                raise QueueFull(
                    f"queue {queue} is full: wait for room with enqueue(task, wait=True), "
                    "add workers, or raise limit(max_pending=...)"
                )
            case Answer(AnswerKind.MISSING, ref):
                raise TaskNotFound(f"{queue}/{ref}")
            case _:
                return self._open(queue, one.local_id, returns, created=answer is not None)

    async def _check_elsewhere(self, needs: Iterable[tuple[str, str]]) -> None:
        """Raise `TaskNotFound` if one of these tasks, queue and id, does not exist."""
        wanted: dict[str, dict[str, None]] = {}
        for queue, local_id in needs:
            wanted.setdefault(queue, {})[local_id] = None
        for queue, local_ids in wanted.items():
            records = await self._patient_store.get(queue, list(local_ids))
            for local_id, record in zip(local_ids, records, strict=True):
                if record is None or record.state is State.GROUPED:
                    raise TaskNotFound(f"{queue}/{local_id}")

    async def _send_when_room(
        self,
        wait: bool,
        queue: str,
        tasks: Sequence[NewTask],
        repeatable: bool,
        *,
        atomic: bool = False,
        first: Callable[[], Awaitable[None]] | None = None,
    ) -> Enqueued:
        """Enqueue; with `wait`, repeat while the queue is full. `first` is called before each try."""
        pause = FULL_QUEUE_FIRST_PAUSE
        while True:
            if first is not None:
                await first()
            answers = await self._send(queue, tasks, repeatable=repeatable, atomic=atomic)
            full = any(isinstance(a, Answer) and a.kind is AnswerKind.FULL for a in answers)
            if not (wait and full):
                return answers
            with lend_slot():  # the tasks that make room may need it
                await trio.sleep(uniform(pause / 2, pause))
            pause = min(FULL_QUEUE_LONGEST_PAUSE, pause * 2)

    async def _send(
        self,
        queue: str,
        tasks: Sequence[NewTask],
        *,
        repeatable: bool,
        atomic: bool = False,
        step: bool = False,
    ) -> Enqueued:
        sent_before = False

        def check_repeatable(lost: ConnectionLost) -> None:
            # With ids that are new, a second call finds what the first one wrote.
            nonlocal sent_before
            if lost.sent and not repeatable:
                raise lost
            sent_before = sent_before or lost.sent

        try:
            answers = await until_answered(
                lambda: self._store.enqueue(queue, tasks, atomic=atomic, step=step),
                give_up_after=self._patience,
                on_failure=check_repeatable,
            )
        except Unconfirmed as unconfirmed:
            unconfirmed.ids = tuple(f"{queue}/{task.id}" for task in tasks)
            raise
        written_before = sent_before and repeatable  # if None: its id is new
        if State.DEAD in answers or (written_before and None in answers):  # what it needs is dead
            dying = (State.DEAD, State.BLOCKED, *((None,) if written_before else ()))
            some = zip(tasks, answers, strict=True)
            await log_dead(self._store, queue, [one.id for one, state in some if state in dying])
        if written_before:
            return tuple(State.PENDING if a is None else a for a in answers)
        return answers

    def task(self, task_id: str) -> TaskHandle[Any]:
        """Return a handle for an id without reading it. Raises `ConfigError` for a malformed id."""
        return self._open(*split_id(task_id))

    def queue(self, name: str) -> Queue:
        """Return a queue by its name without reading it. Raises `ConfigError` for a malformed name."""
        return Queue(self._patient_store, check_name("queue", name))

    async def queues(self) -> list[str]:
        """Return the names of all queues that were ever used, sorted."""
        return sorted({queue_of(index) for index in await self._patient_store.queues()})

    async def overview(self, names: Iterable[str] | None = None) -> Overview:
        """Count the tasks of many queues by state, and read their totals; of all queues if None.

        It costs Redis some 10 us a queue, a fifth of `Queue.stats`, and has no ages. The numbers
        are not of one instant: a task that moves meanwhile may be counted twice, or not at all.
        A queue that was never used has zeros. Raises `ConfigError` for a malformed name, and
        `ConnectionLost`, which names a queue that could not be read.
        """
        return await read_overview(self._patient_store, names)

    async def workflow(self, workflow_id: str) -> WorkflowHandle[Any]:
        """Find a workflow again by its id, in any process; return its handle.

        A workflow is found until none of its tasks is left, and for some time after that; of the
        last 10,000. Raises `ConfigError` for a malformed id, `WorkflowNotFound`, and `PayloadError`
        for one whose record this process cannot read.
        """
        from rediq_trio.workflow.handle import WorkflowHandle
        from rediq_trio.workflow.listing import read_graph

        graph, created_ms = await read_graph(self._patient_store, workflow_id)
        handles = {node.name: self._open(node.queue, node.local_id) for node in graph.nodes}
        return WorkflowHandle(graph, handles, created_ms)

    async def workflows(
        self,
        *,
        newest: bool = True,
        state: str | None = None,
        limit: int = 100,
        after: WorkflowStatus | str | None = None,
    ) -> tuple[WorkflowStatus, ...]:
        """Read how far workflows are, the newest first, or the oldest with `newest=False`.

        `state`: only those that are `running`, `completed`, `dead`, `cancelled` or `gone`, for
        which all may be read. `limit` is 1 to 1,000; for the next page, pass the last one, or its
        `cursor`, as `after`. The states are not of one instant. Raises `ConfigError`.
        """
        from rediq_trio.workflow.listing import list_workflows

        return await list_workflows(
            self._patient_store, newest=newest, state=state, limit=limit, after=after
        )

    def schedules(self) -> Schedules:
        """Return the schedules of all queues without reading them."""
        from rediq_trio.schedules.admin import Schedules

        return Schedules(self._patient_store, self._max_payload, self._senders)

    def worker(self, worker_id: str) -> WorkerHandle:
        """Return a live worker by its id, or its instance, without reading it.

        Raises `ConfigError` for what cannot be a worker's name.
        """
        return WorkerHandle(self._patient_store, check_worker_name(worker_id))

    async def workers(self) -> list[WorkerInfo]:
        """Return the live workers, as of their last heartbeats, ordered by id."""
        return read_worker_infos(await self._patient_store.workers())

    def acting(self, *, who: str, tool: str = "", where: str = "") -> Client:
        """Return this client for a person at a tool: each of their changes has an entry in the audit.

        It covers what this client and what it opens change. An entry is written after its call, also
        if that fails or is cancelled. `who`: 1 to 128 characters, a login for example; `tool`: at
        most 64; `where`: at most 200, an address for example. Both clients are closed together.
        Raises `ConfigError`. Each change raises `NotAudited` if it was made without an entry.
        """
        store = ActingStore(self._store, Actor.of(who, tool, where), self._patience)
        return Client(
            store, max_payload=self._max_payload, patience=self._patience, senders=self._senders
        )

    async def audit(
        self, *, newest: bool = True, limit: int = 100, after: AuditEntry | str | None = None
    ) -> tuple[AuditEntry, ...]:
        """Read what people did through tools: the last 10,000 changes, the newest first.

        With `newest=False` the oldest comes first. `limit` is 1 to 1,000; for the next page, pass the
        last entry, or its id, as `after`. What programs do is not there, see `acting`. Raises
        `ConfigError`.
        """
        return await read_audit(self._patient_store, newest=newest, limit=limit, after=after)

    @audited()
    async def mark(self, text: str, by: str = "") -> Mark:
        """Make a mark at this instant, for whoever looks at charts: a deployment, for example.

        `text` has 1 to 200 characters; `by`, who makes it, at most 128, by default the person for
        whom the client is `acting`. When cancelled, it may have been made. Raises `ConfigError`.
        """
        return await write_mark(self._patient_store, text, by)

    async def marks(self) -> tuple[Mark, ...]:
        """Read the last 200 marks, the newest first."""
        return await read_marks(self._patient_store)


@trio_context("from asyncio use rediq.asyncio.connect(), from blocking code rediq.connect_sync()")
async def connect(
    url: str | Store | None = None,
    *,
    max_payload: int = MAX_PAYLOAD,
    key_prefix: str = "rediq",
    allow_eviction: bool = False,
    durability: Level = "memory",
    replicas: int | None = None,
    encryption: Encryption | None = None,
    patience: Duration | None = None,
    app: SendingApp | None = None,
    telemetry: Telemetry | None = None,
) -> AsyncGenerator[Client]:
    """Open a client for as long as the block lasts.

    `url` defaults to `REDIQ_URL`, else to the Redis on this machine; `encryption` to the
    keys in `REDIQ_ENCRYPTION_KEYS`, else to none. With `durability="replicated"` or
    `"fsynced"`, a write raises `Unconfirmed` if it is not confirmed within a second by
    `replicas` replicas (1 by default, 0 with `"fsynced"`) or by the server's disk. Calls that
    are lost are repeated for `patience` seconds, 0 (one try) to 3,600, by default
    `REDIQ_PATIENCE`, else 15: all but the enqueue of a task with an id of the caller. What is
    sent passes the `sending` middleware of `app`, and its telemetry; `telemetry` replaces the
    latter, and is all that a producer without an app needs. Raises
    `ConfigError` for a bad URL or setting, and `ConnectionLost` if the server cannot be
    reached. An exception of the `with` block is raised unchanged.
    """
    check_number("max_payload", max_payload, 1, 512 * 1024 * 1024, integer=True)
    check_name("key_prefix", key_prefix)
    wanted = Durability.of(durability, replicas)
    warn_misspelt_variables()
    encryption = resolve_encryption(encryption)
    patience = settle_patience(patience)
    layers = sending_layers(app, telemetry)
    where = default_url() if url is None else url
    async with open_store(
        where, key_prefix=key_prefix, allow_eviction=allow_eviction, durability=wanted
    ) as store:
        senders = make_senders(layers, server=server_of(where))
        yield Client(
            encrypt_store(store, encryption),
            max_payload=max_payload,
            patience=patience,
            senders=senders,
        )
