"""Client: what a producer holds."""

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
from rediq_trio.spec.records import Answer, AnswerKind, Enqueued, NewTask
from rediq_trio.store.encrypted.keys import Encryption, resolve_encryption
from rediq_trio.store.encrypted.store import encrypt_store
from rediq_trio.store.opening import open_store
from rediq_trio.store.port import BATCH, Store
from rediq_trio.store.redis.durability import Durability, Level
from rediq_trio.store.relay import relay
from rediq_trio.store.urls import default_url
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.tasks.ids import split_id
from rediq_trio.tasks.partitions import Partitions
from rediq_trio.tasks.prepare import Prepared, prepare
from rediq_trio.tasks.task_info import describe_worker
from rediq_trio.values.bounds import MAX_PAYLOAD, check_name, check_number, queue_of
from rediq_trio.values.task import Task, WorkerInfo
from rediq_trio.workflow.build import Workflow
from rediq_trio.workflow.handle import WorkflowHandle
from rediq_trio.workflow.prepare import check_whole, prepare_node

R = TypeVar("R")

RESEND_FOR = 15.0
"""Seconds for which an enqueue that can be repeated without harm is sent again."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two looks whether a full queue has room."""
BATCH_BYTES = 4 * 1024 * 1024
"""Bytes of envelopes that one call carries, unless a single one is larger."""


class Client:
    """A producer's and an operator's way to the queues. Made by `connect` and by `serve`."""

    def __init__(self, store: Store, *, max_payload: int = MAX_PAYLOAD) -> None:
        self._store = store
        self._max_payload = max_payload
        self._partitions = Partitions(store)

    @overload
    async def enqueue(self, task: Task[R], *, wait: bool = False) -> TaskHandle[R]: ...

    @overload
    async def enqueue(self, task: Workflow[R], *, wait: bool = False) -> WorkflowHandle[R]: ...

    async def enqueue(self, task: Task[Any] | Workflow[Any], *, wait: bool = False) -> Any:
        """Put a task into its queue, or a workflow's tasks into theirs, all of them or none.

        With `unique=` the handle may be that of the task that holds the key, and has
        `created` False then. Raises `DuplicateTask` when its own id exists, or its
        unique key has a holder; `TaskNotFound` when a task it depends on does not
        exist; `QueueFull` unless `wait`, which waits for room instead; `PayloadError`
        or `PayloadTooLarge`; and `ConnectionLost`. In each case nothing was written,
        except that with `ConnectionLost` and an own id the task may be there (to
        enqueue it again is safe). `Unconfirmed` says that it was written, and is less
        durable than was asked for. When cancelled, it may be there too.
        """
        if isinstance(task, Workflow):
            return await self._enqueue_workflow(task, wait=wait)
        task = await self._placed(task)
        one = prepare(task, self._max_payload)
        await self._check_elsewhere(one.elsewhere)
        repeatable = task.id is None
        (answer,) = await self._send_patiently(wait, task.queue, (one.new,), repeatable)
        if answer is None:
            raise DuplicateTask(f"{task.queue}/{one.own}")
        handle = self._handle(one, answer)
        if isinstance(answer, Answer) and answer.kind is AnswerKind.TAKEN and one.rejects:
            raise DuplicateTask(handle.id)
        if one.elsewhere:
            await relay(self._store, task.queue)
        return handle

    async def _enqueue_workflow(self, workflow: Workflow[R], *, wait: bool) -> WorkflowHandle[R]:
        workflow.check()
        await self._partitions.known()
        plan = workflow.plan(self._partitions.placer())
        nodes = [prepare_node(node, plan.home, self._max_payload) for node in plan.nodes]
        check_whole(nodes)
        # What is written elsewhere later can be refused no more: it is looked at before.
        await self._check_elsewhere(need for one in nodes for need in one.outside(plan.home))
        await self._check_new(one for one in nodes if one.task.queue != plan.home)
        repeatable = not any(node.task.id for node in plan.nodes)
        news = [one.new for one in nodes]
        answers = await self._send_patiently(wait, plan.home, news, repeatable, whole=True)
        for one, answer in zip(nodes, answers, strict=True):
            if answer is None:
                raise DuplicateTask(f"{plan.home}/{one.own}")
            self._handle(one, answer)  # raises what refused it
        if any(one.new.relations.queue or one.outside(plan.home) for one in nodes):
            await relay(self._store, plan.home)
        handles = {
            node.name: TaskHandle[Any](self._store, node.queue, node.own, node.task.returns)
            for node in plan.nodes
        }
        return WorkflowHandle(plan, handles)

    async def _placed(self, task: Task[R]) -> Task[R]:
        await self._partitions.known()
        return self._partitions.placer()(task)

    async def _check_new(self, nodes: Iterable[Prepared]) -> None:
        """Raise `DuplicateTask` when there is a task of one of these ids."""
        for one in nodes:
            (record,) = await self._store.get(one.task.queue, (one.own,))
            if record is not None:
                raise DuplicateTask(f"{one.task.queue}/{one.own}")

    async def enqueue_many(self, tasks: Iterable[Task[R]]) -> list[TaskHandle[R]]:
        """Put many tasks into their queues, up to 1,000 in one step, and give their handles in order.

        All are checked before the first is written. An id that exists already is
        left as it is, and its handle has `created` False; so has the handle of the
        holder of a unique key. When an error or a cancellation ends it half-way,
        the steps that were done stay done.
        """
        await self._partitions.known()
        prepared = [
            prepare(self._partitions.placer()(task), self._max_payload) for task in tasks
        ]
        await self._check_elsewhere(need for one in prepared for need in one.elsewhere)
        handles: dict[int, TaskHandle[R]] = {}
        by_queue: dict[str, list[int]] = {}
        for place, one in enumerate(prepared):
            by_queue.setdefault(one.task.queue, []).append(place)
        for queue, places in by_queue.items():
            for part in _parts(places, [prepared[place].new for place in places]):
                repeatable = all(prepared[place].task.id is None for place in part)
                news = [prepared[place].new for place in part]
                answers = await self._send(queue, news, repeatable=repeatable)
                for place, answer in zip(part, answers, strict=True):
                    handles[place] = self._handle(prepared[place], answer)
            if any(prepared[place].elsewhere for place in places):
                await relay(self._store, queue)
        return [handles[place] for place in range(len(prepared))]

    def _handle(self, one: Prepared, answer: State | Answer | None) -> TaskHandle[Any]:
        """Give the handle that an answer stands for; raise what refused the task."""
        queue, returns = one.task.queue, one.task.returns
        if isinstance(answer, State):
            return TaskHandle(self._store, queue, one.own, returns)
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
                    self._store, queue, one.own, returns, created=answer is not None
                )

    async def _check_elsewhere(self, needs: Iterable[tuple[str, str]]) -> None:
        """Raise `TaskNotFound` when one of these tasks, queue and id, is not there."""
        wanted: dict[str, dict[str, None]] = {}
        for queue, own in needs:
            wanted.setdefault(queue, {})[own] = None
        for queue, owns in wanted.items():
            records = await self._store.get(queue, list(owns))
            for own, record in zip(owns, records, strict=True):
                if record is None or record.state is State.GROUPED:
                    raise TaskNotFound(f"{queue}/{own}")

    async def _send_patiently(
        self,
        wait: bool,
        queue: str,
        tasks: Sequence[NewTask],
        repeatable: bool,
        *,
        whole: bool = False,
    ) -> Enqueued:
        """Send; with `wait`, again and again while the queue is full."""
        pause = FIRST_PAUSE
        while True:
            answers = await self._send(queue, tasks, repeatable=repeatable, whole=whole)
            full = any(isinstance(a, Answer) and a.kind is AnswerKind.FULL for a in answers)
            if not (wait and full):
                return answers
            await trio.sleep(random.uniform(pause / 2, pause))
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _send(
        self, queue: str, tasks: Sequence[NewTask], *, repeatable: bool, whole: bool = False
    ) -> Enqueued:
        give_up = trio.current_time() + RESEND_FOR
        sent_before = False
        while True:
            try:
                answers = await self._store.enqueue(queue, tasks, atomic=whole)
            except ConnectionLost as lost:
                # With ids that are new, a second sending finds what the first one wrote.
                if not (repeatable or not lost.sent) or trio.current_time() > give_up:
                    raise
                sent_before = sent_before or lost.sent
                await trio.sleep(random.uniform(0.05, 0.5))
            except Unconfirmed as short:
                short.ids = tuple(f"{queue}/{task.id}" for task in tasks)
                raise
            else:
                if sent_before and repeatable:
                    return tuple(State.PENDING if a is None else a for a in answers)
                return answers

    def task(self, task_id: str) -> TaskHandle[Any]:
        """Give a handle for an id; nothing is asked yet. Raises `ConfigError` for what is no id."""
        return TaskHandle(self._store, *split_id(task_id))

    def queue(self, name: str) -> Queue:
        """Give a queue by its name; nothing is asked yet. Raises `ConfigError` for what is no name."""
        return Queue(self._store, check_name("queue", name))

    async def queues(self) -> list[str]:
        """Give the names of the queues that were ever used, sorted."""
        return sorted({queue_of(place) for place in await self._store.queues()})

    def schedules(self) -> Schedules:
        """Give the schedules of all queues; nothing is asked yet."""
        return Schedules(self._store, self._max_payload)

    async def workers(self) -> list[WorkerInfo]:
        """Give the live workers, as of their last heartbeats, ordered by id."""
        return [describe_worker(said) for said in await self._store.workers()]


def _parts(places: Sequence[int], tasks: Sequence[NewTask]) -> Iterable[list[int]]:
    part: list[int] = []
    size = 0
    for place, task in zip(places, tasks, strict=True):
        if part and (len(part) == BATCH or size + len(task.envelope) > BATCH_BYTES):
            yield part
            part, size = [], 0
        part.append(place)
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

    `url` defaults to `REDIQ_URL`, else to the Redis on this machine, `encryption` to the
    keys in `REDIQ_ENCRYPTION_KEYS`, else to none. With `durability` "replicated" or
    "fsynced" a write that is not confirmed within a second, by `replicas` replicas (1
    unless given, 0 with "fsynced") or on the server's disk, raises `Unconfirmed`. Raises
    `ConfigError` for a bad URL or setting and `ConnectionLost` when the server cannot be
    reached. An exception of the block leaves as it was raised.
    """
    check_number("max_payload", max_payload, 1, 512 * 1024 * 1024, whole=True)
    check_name("key_prefix", key_prefix)
    wanted = Durability.of(durability, replicas)
    encryption = resolve_encryption(encryption)
    where = default_url() if url is None else url
    async with open_store(
        where, key_prefix=key_prefix, allow_eviction=allow_eviction, durability=wanted
    ) as store:
        yield Client(encrypt_store(store, encryption), max_payload=max_payload)
