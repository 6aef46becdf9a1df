"""Client: how a producer enqueues tasks, and an operator reads queues."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, overload

import trio

from rediq_trio._errors import ConnectionLost, DuplicateTask, QueueFull, TaskNotFound, Unconfirmed
from rediq_trio.admin.queue import Queue
from rediq_trio.schedules.admin import Schedules
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Answer, AnswerKind, Enqueued, NewTask
from rediq_trio.store.encrypted.keys import Encryption, resolve_encryption
from rediq_trio.store.encrypted.store import encrypt_store
from rediq_trio.store.opening import open_store
from rediq_trio.store.port import BATCH, Store
from rediq_trio.store.redis.durability import Durability, Level
from rediq_trio.store.relay import relay
from rediq_trio.store.retrying import RETRY_FOR, until_answered
from rediq_trio.store.urls import default_url
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.tasks.ids import split_id
from rediq_trio.tasks.partitions import PartitionCounts
from rediq_trio.tasks.prepare import PreparedTask, prepare
from rediq_trio.tasks.task_info import read_worker_info
from rediq_trio.values.bounds import MAX_PAYLOAD, check_name, check_number, queue_of
from rediq_trio.values.task import Task, WorkerInfo
from rediq_trio.workflow.build import Workflow
from rediq_trio.workflow.handle import WorkflowHandle
from rediq_trio.workflow.prepare import check_atomic, prepare_node

R = TypeVar("R")

FULL_QUEUE_FIRST_PAUSE, FULL_QUEUE_LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two attempts to enqueue into a full queue."""
ENQUEUE_BYTES_MAX = 4 * 1024 * 1024
"""Maximum bytes of envelopes that one call carries, unless a single one is larger."""


class Client:
    """Enqueues tasks, and opens tasks, queues and schedules. Made by `connect` and by `serve`."""

    def __init__(self, store: Store, *, max_payload: int = MAX_PAYLOAD) -> None:
        self._store = store
        self._max_payload = max_payload
        self._partition_counts = PartitionCounts(store)

    @overload
    async def enqueue(self, task: Task[R], *, wait: bool = False) -> TaskHandle[R]: ...

    @overload
    async def enqueue(self, task: Workflow[R], *, wait: bool = False) -> WorkflowHandle[R]: ...

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
        if isinstance(task, Workflow):
            return await self._enqueue_workflow(task, wait=wait)
        task = await self._routed(task)
        one = prepare(task, self._max_payload)
        await self._check_elsewhere(one.elsewhere)
        repeatable = task.id is None
        (answer,) = await self._send_when_room(wait, task.queue, (one.new,), repeatable)
        if answer is None:
            raise DuplicateTask(f"{task.queue}/{one.local_id}")
        handle = self._handle(one, answer)
        if isinstance(answer, Answer) and answer.kind is AnswerKind.TAKEN and one.rejects_duplicate:
            raise DuplicateTask(handle.id)
        if one.elsewhere:
            await relay(self._store, task.queue)
        return handle

    async def _enqueue_workflow(self, workflow: Workflow[R], *, wait: bool) -> WorkflowHandle[R]:
        workflow.check()
        await self._partition_counts.refresh_if_old()
        plan = workflow.plan(self._partition_counts.router())
        nodes = [prepare_node(node, plan.home, self._max_payload) for node in plan.nodes]
        check_atomic(nodes)
        # Tasks of other queues are written later and cannot be rejected then, so check them now.
        await self._check_elsewhere(need for one in nodes for need in one.outside(plan.home))
        await self._check_new(one for one in nodes if one.task.queue != plan.home)
        repeatable = not any(node.task.id for node in plan.nodes)
        new_tasks = [one.new for one in nodes]
        answers = await self._send_when_room(wait, plan.home, new_tasks, repeatable, atomic=True)
        for one, answer in zip(nodes, answers, strict=True):
            if answer is None:
                raise DuplicateTask(f"{plan.home}/{one.local_id}")
            self._handle(one, answer)  # raises if it was rejected
        if any(one.new.relations.queue or one.outside(plan.home) for one in nodes):
            await relay(self._store, plan.home)
        handles = {
            node.name: TaskHandle[Any](self._store, node.queue, node.local_id, node.task.returns)
            for node in plan.nodes
        }
        return WorkflowHandle(plan, handles)

    async def _routed(self, task: Task[R]) -> Task[R]:
        await self._partition_counts.refresh_if_old()
        return self._partition_counts.router()(task)

    async def _check_new(self, nodes: Iterable[PreparedTask]) -> None:
        """Raise `DuplicateTask` if a task with one of these ids exists."""
        for one in nodes:
            (record,) = await self._store.get(one.task.queue, (one.local_id,))
            if record is not None:
                raise DuplicateTask(f"{one.task.queue}/{one.local_id}")

    async def enqueue_many(self, tasks: Iterable[Task[R]]) -> list[TaskHandle[R]]:
        """Enqueue many tasks, up to 1,000 in one step; return their handles in order.

        All tasks are checked before the first is written. If an id exists or a unique key
        is taken, the handle is that of the existing task and has `created` False. After an
        error or a cancellation, tasks enqueued by earlier steps stay enqueued.
        """
        await self._partition_counts.refresh_if_old()
        prepared = [
            prepare(self._partition_counts.router()(task), self._max_payload) for task in tasks
        ]
        await self._check_elsewhere(need for one in prepared for need in one.elsewhere)
        handles: dict[int, TaskHandle[R]] = {}
        by_queue: dict[str, list[int]] = {}
        for index, one in enumerate(prepared):
            by_queue.setdefault(one.task.queue, []).append(index)
        for queue, indexes in by_queue.items():
            for part in _split(indexes, [prepared[index].new for index in indexes]):
                repeatable = all(prepared[index].task.id is None for index in part)
                new_tasks = [prepared[index].new for index in part]
                answers = await self._send(queue, new_tasks, repeatable=repeatable)
                for index, answer in zip(part, answers, strict=True):
                    handles[index] = self._handle(prepared[index], answer)
            if any(prepared[index].elsewhere for index in indexes):
                await relay(self._store, queue)
        return [handles[index] for index in range(len(prepared))]

    def _handle(self, one: PreparedTask, answer: State | Answer | None) -> TaskHandle[Any]:
        """Return the handle for an answer; raise if the task was rejected."""
        queue, returns = one.task.queue, one.task.returns
        if isinstance(answer, State):
            return TaskHandle(self._store, queue, one.local_id, returns)
        match answer:
            case Answer(AnswerKind.TAKEN | AnswerKind.REPLACED, ref):
                return TaskHandle(self._store, queue, ref, returns, created=False)
            case Answer(AnswerKind.FULL):
                raise QueueFull(
                    f"queue {queue} is full: wait for room with enqueue(task, wait=True), "
                    "add workers, or raise limit(max_pending=...)"
                )
            case Answer(AnswerKind.MISSING, ref):
                raise TaskNotFound(f"{queue}/{ref}")
            case _:
                return TaskHandle(
                    self._store, queue, one.local_id, returns, created=answer is not None
                )

    async def _check_elsewhere(self, needs: Iterable[tuple[str, str]]) -> None:
        """Raise `TaskNotFound` if one of these tasks, queue and id, does not exist."""
        wanted: dict[str, dict[str, None]] = {}
        for queue, local_id in needs:
            wanted.setdefault(queue, {})[local_id] = None
        for queue, local_ids in wanted.items():
            records = await self._store.get(queue, list(local_ids))
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
    ) -> Enqueued:
        """Enqueue; with `wait`, repeat while the queue is full."""
        pause = FULL_QUEUE_FIRST_PAUSE
        while True:
            answers = await self._send(queue, tasks, repeatable=repeatable, atomic=atomic)
            full = any(isinstance(a, Answer) and a.kind is AnswerKind.FULL for a in answers)
            if not (wait and full):
                return answers
            await trio.sleep(random.uniform(pause / 2, pause))
            pause = min(FULL_QUEUE_LONGEST_PAUSE, pause * 2)

    async def _send(
        self, queue: str, tasks: Sequence[NewTask], *, repeatable: bool, atomic: bool = False
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
                lambda: self._store.enqueue(queue, tasks, atomic=atomic),
                give_up_after=RETRY_FOR,
                on_failure=check_repeatable,
            )
        except Unconfirmed as unconfirmed:
            unconfirmed.ids = tuple(f"{queue}/{task.id}" for task in tasks)
            raise
        if sent_before and repeatable:
            return tuple(State.PENDING if a is None else a for a in answers)
        return answers

    def task(self, task_id: str) -> TaskHandle[Any]:
        """Return a handle for an id without reading it. Raises `ConfigError` for a malformed id."""
        return TaskHandle(self._store, *split_id(task_id))

    def queue(self, name: str) -> Queue:
        """Return a queue by its name without reading it. Raises `ConfigError` for a malformed name."""
        return Queue(self._store, check_name("queue", name))

    async def queues(self) -> list[str]:
        """Return the names of all queues that were ever used, sorted."""
        return sorted({queue_of(index) for index in await self._store.queues()})

    def schedules(self) -> Schedules:
        """Return the schedules of all queues without reading them."""
        return Schedules(self._store, self._max_payload)

    async def workers(self) -> list[WorkerInfo]:
        """Return the live workers, as of their last heartbeats, ordered by id."""
        return [read_worker_info(said) for said in await self._store.workers()]


def _split(indexes: Sequence[int], tasks: Sequence[NewTask]) -> Iterable[list[int]]:
    part: list[int] = []
    size = 0
    for index, task in zip(indexes, tasks, strict=True):
        if part and (len(part) == BATCH or size + len(task.envelope) > ENQUEUE_BYTES_MAX):
            yield part
            part, size = [], 0
        part.append(index)
        size += len(task.envelope)
    if part:
        yield part


@asynccontextmanager
async def connect(
    url: str | Store | None = None,
    *,
    max_payload: int = MAX_PAYLOAD,
    key_prefix: str = "rediq",
    allow_eviction: bool = False,
    durability: Level = "memory",
    replicas: int | None = None,
    encryption: Encryption | None = None,
) -> AsyncGenerator[Client]:
    """Open a client for as long as the block lasts.

    `url` defaults to `REDIQ_URL`, else to the Redis on this machine; `encryption` to the
    keys in `REDIQ_ENCRYPTION_KEYS`, else to none. With `durability="replicated"` or
    `"fsynced"`, a write raises `Unconfirmed` if it is not confirmed within a second by
    `replicas` replicas (1 by default, 0 with `"fsynced"`) or by the server's disk. Raises
    `ConfigError` for a bad URL or setting, and `ConnectionLost` if the server cannot be
    reached. An exception of the `with` block is raised unchanged.
    """
    check_number("max_payload", max_payload, 1, 512 * 1024 * 1024, integer=True)
    check_name("key_prefix", key_prefix)
    wanted = Durability.of(durability, replicas)
    encryption = resolve_encryption(encryption)
    where = default_url() if url is None else url
    async with open_store(
        where, key_prefix=key_prefix, allow_eviction=allow_eviction, durability=wanted
    ) as store:
        yield Client(encrypt_store(store, encryption), max_payload=max_payload)
