"""RedisStore: the operations of a queue as Lua scripts, and what is read beside them.

The operations are made from `spec.operations` and `operation_codec`; what happens is in `lua/`.

Long, because each read has a method of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Concatenate, ParamSpec, TypeVar

import attrs
import trio

from rediq_trio._errors import StoreError, TaskNotFound, Unconfirmed
from rediq_trio.spec.check.findings import Action, Repair, Target
from rediq_trio.spec.check.partitions import PartitionCount
from rediq_trio.spec.check.table import View
from rediq_trio.spec.check.totals import KeyReport, QueueTotals
from rediq_trio.spec.groups import Group
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.kinds import KINDS_KEPT, StoredKind
from rediq_trio.spec.history.logbook import (
    LOGBOOK_SIZES,
    NONCES_COMPARED,
    LinePlace,
    Logbook,
    LogLine,
)
from rediq_trio.spec.history.samples import SeriesRead
from rediq_trio.spec.history.sizes import Excess
from rediq_trio.spec.history.type_counts import TypesRead
from rediq_trio.spec.history.workflows import WorkflowRecord
from rediq_trio.spec.ids import pack_id, unpack_id
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Fence,
    Mail,
    OrderAnswer,
    Removal,
    WorkerOrder,
    WorkerRecord,
)
from rediq_trio.spec.operations import OP, Operation
from rediq_trio.spec.records import Limit, Place, QueueState, Record
from rediq_trio.store.broadcast import Signal, Topic
from rediq_trio.store.call_meter import CallMeter
from rediq_trio.store.port import (
    BATCH,
    Counts,
    ServerMemory,
    Stats,
    Store,
    check_batch,
    check_batched,
    implements_store,
)
from rediq_trio.store.reads.description import Description
from rediq_trio.store.reads.scan import ALL, SCAN_STEP, Scanned, Where, kind_of
from rediq_trio.store.reads.situation import Situation
from rediq_trio.store.reads.states import StatesRead
from rediq_trio.store.redis import operation_codec, series_codec
from rediq_trio.store.redis.check.reader import CheckReader
from rediq_trio.store.redis.codec import (
    read_limit,
    read_mail,
    read_rule,
    read_task_whole,
)
from rediq_trio.store.redis.connection.gateway import Gateway
from rediq_trio.store.redis.dump import dump_queue, read_hash, read_stats
from rediq_trio.store.redis.durability import OTHER_SCRIPT, confirm_of
from rediq_trio.store.redis.history_codec import (
    lines_command,
    read_entry,
    read_line,
    read_place,
    read_workflow,
)
from rediq_trio.store.redis.keys import INDEX_OF, Keys
from rediq_trio.store.redis.kinds_codec import read_kinds
from rediq_trio.store.redis.operation_codec import Now, ScriptCall
from rediq_trio.store.redis.overview import find_schedules, read_memory, read_overview
from rediq_trio.store.redis.queue_names import QueueNames
from rediq_trio.store.redis.reads_codec import read_description, read_situation, read_states
from rediq_trio.store.redis.record_format import refuse_newer
from rediq_trio.store.redis.scan_codec import read_scanned, scan_args
from rediq_trio.store.redis.scripts import Script

P = ParamSpec("P")
A = TypeVar("A")
V = TypeVar("V")
Clock = Callable[[], int]


def sends(
    operation: Operation[P, A], call: Callable[Concatenate[str, Now, P], ScriptCall[A]]
) -> Callable[Concatenate[RedisStore, str, P], Coroutine[Any, Any, A]]:
    """Return the method that sends an operation to its script and reads the reply."""
    script = OTHER_SCRIPT.get(operation.name, operation.name)

    async def method(self: RedisStore, queue: str, /, *args: P.args, **kwargs: P.kwargs) -> A:
        check_batched(operation, args, kwargs)
        sent = call(queue, self._now(), *args, **kwargs)
        # The name first: a crash in between leaves a name, never a lost task.
        short = await self._names.add(queue) if operation.names_queue else None
        try:
            reply = await self._run(script, queue, sent.args, head=sent.head, items=sent.items)
        except Unconfirmed as unconfirmed:
            unconfirmed.answer = sent.read(unconfirmed.answer)
            raise
        answer = sent.read(reply)
        if self._meter is not None:
            self._meter.add_items(operation, args, kwargs, answer)
        if short is not None:
            short.answer = answer
            raise short
        return answer

    method.__name__ = method.__qualname__ = operation.name
    method.__doc__ = operation.rule.__doc__
    return method


@implements_store
class RedisStore(Store):
    """Tasks in a Redis, reached through one gateway.

    `clock` gives the time in whole milliseconds to every script, for tests; by
    default scripts read the server's own.
    """

    def __init__(
        self,
        gateway: Gateway,
        scripts: dict[str, Script],
        keys: Keys,
        clock: Clock | None = None,
        meter: CallMeter | None = None,
        product: str = "",
    ) -> None:
        self.product = product
        """What the server was when it was connected to: "Redis 7.2.4"; "" if that is not known."""
        self._gateway = gateway
        self._scripts = scripts
        self._keys = keys
        self._clock = clock
        self._meter = meter
        self._names = QueueNames(gateway, keys)
        self._check = CheckReader(gateway, keys, self._run, self._now)

    @property
    def unconfirmed(self) -> int:
        return self._gateway.unconfirmed

    async def _run(
        self,
        name: str,
        queue: str,
        args: Sequence[Any],
        *,
        head: int = 0,
        items: int = 0,
        **swap: str,
    ) -> Any:
        script = self._scripts[name]
        names = tuple(swap.get(key, key) for key in script.keys) if swap else script.keys
        return await self._send(script, self._keys.of(queue, names), args, head, items)

    async def _send(
        self,
        script: Script,
        keys: Sequence[bytes],
        args: Sequence[Any],
        head: int = 0,
        items: int = 0,
    ) -> Any:
        confirm = confirm_of(script.name)
        if self._meter is None:
            return await self._gateway.run(script, keys, args, confirm, head=head, items=items)
        begun = time.perf_counter()
        try:
            return await self._gateway.run(script, keys, args, confirm, head=head, items=items)
        finally:
            self._meter.add(script.name, time.perf_counter() - begun)

    def _now(self) -> int | str:
        return self._clock() if self._clock else ""

    enqueue = sends(OP.enqueue, operation_codec.enqueue)
    receive = sends(OP.receive, operation_codec.receive)
    acknowledge = sends(OP.acknowledge, operation_codec.acknowledge)
    claim = sends(OP.claim, operation_codec.claim)
    renew = sends(OP.renew, operation_codec.renew)
    settle = sends(OP.settle, operation_codec.settle)
    report = sends(OP.report, operation_codec.report)
    remember = sends(OP.remember, operation_codec.remember)
    promote = sends(OP.promote, operation_codec.limited)
    unblock = sends(OP.unblock, operation_codec.limited)
    reclaim = sends(OP.reclaim, operation_codec.limited)
    expire = sends(OP.expire, operation_codec.limited)
    purge = sends(OP.purge, operation_codec.purge)
    sample = sends(OP.sample, series_codec.sample)
    tally = sends(OP.tally, series_codec.tally)
    trim = sends(OP.trim, series_codec.trim)
    set_group_rules = sends(OP.set_group_rules, operation_codec.set_group_rules)
    batch = sends(OP.batch, operation_codec.batch)
    tick = sends(OP.tick, operation_codec.tick)
    cancel = sends(OP.cancel, operation_codec.cancel)
    reschedule = sends(OP.reschedule, operation_codec.reschedule)
    update = sends(OP.update, operation_codec.update)
    requeue = sends(OP.requeue, operation_codec.requeue)
    revive = sends(OP.revive, operation_codec.revive)
    delete = sends(OP.delete, operation_codec.delete)
    watch = sends(OP.watch, operation_codec.watch)
    pause = sends(OP.pause, operation_codec.pause)
    resume = sends(OP.resume, operation_codec.resume)
    flush = sends(OP.flush, operation_codec.flush)
    limit = sends(OP.limit, operation_codec.limit)
    arrange = sends(OP.arrange, operation_codec.arrange)
    _remove_keys = sends(OP.remove_queue, operation_codec.remove_queue)
    agenda = sends(OP.agenda, operation_codec.agenda)
    declare = sends(OP.declare, operation_codec.declare)
    retract = sends(OP.retract, operation_codec.retract)
    retract_others = sends(OP.retract_others, operation_codec.retract_others)
    suspend = sends(OP.suspend, operation_codec.suspend)
    reinstate = sends(OP.reinstate, operation_codec.reinstate)
    trigger = sends(OP.trigger, operation_codec.trigger)

    async def remove_queue(
        self, queue: str, /, *, received: Mapping[str, int] | None = None
    ) -> Removal:
        answer = await self._remove_keys(queue, received=received)
        if answer.removed:
            await self._names.remove(queue)
            # A task may have come in between.
            if (await self.totals(queue)).records:
                await self._names.add(queue)
        return answer

    async def outbox(self, queue: str, *, limit: int) -> tuple[Mail, ...]:
        key = self._keys.of(queue, ("outbox",))[0]
        members = await self._gateway.read(b"ZRANGE", key, 0, limit - 1)
        return tuple(map(read_mail, members))

    async def limits(self, queue: str) -> dict[str, Limit]:
        return await read_hash(self._gateway, self._keys, queue, "limits", read_limit)

    async def groups(self, queue: str, *, limit: int, start: int = 0) -> tuple[Group, ...]:
        reply = await self._run("groups", queue, (start, min(limit, BATCH)))
        return tuple(
            Group(name.decode(), read_rule(rule) if rule else None, size, round(float(at)))
            for name, rule, size, at in reply
        )

    async def history(self, queue: str, *, after: int, limit: int) -> tuple[Entry, ...]:
        meta, history = self._keys.of(queue, ("meta", "history"))
        kept, last_entry = await self._gateway.read(b"HMGET", meta, b"history", b"noted")
        # Redis cuts whole blocks: before the last `kept` there may be others.
        first = max(after, int(last_entry or 0) - int(kept or 0)) + 1
        found = await self._gateway.read(b"XRANGE", history, first, b"+", b"COUNT", limit)
        return tuple(read_entry(int(at.split(b"-")[0]), fields[1]) for at, fields in found)

    async def get(
        self, queue: str, ids: Sequence[str], *, skip_newer: bool = False
    ) -> tuple[Record | None, ...]:
        found: list[Record | None] = []
        for i in range(0, len(ids), BATCH):
            part = ids[i : i + BATCH]
            replies = await self._run("inspect", queue, [*map(pack_id, part)])
            for task_id, reply in zip(part, replies, strict=True):
                record = read_task_whole(task_id, reply)
                if record is None and not skip_newer:
                    refuse_newer(f"{queue}/{task_id}", reply[0])
                found.append(record)
        return tuple(found)

    async def description(self, queue: str, task_id: str) -> Description | None:
        now, reply = await self._run("description", queue, (self._now(), pack_id(task_id)))
        return read_description(f"{queue}/{task_id}", now, reply)

    async def situation(self, queue: str, task_id: str) -> Situation | None:
        reply = await self._run("situation", queue, (self._now(), pack_id(task_id)))
        return read_situation(f"{queue}/{task_id}", reply)

    async def states(self, queue: str, ids: Sequence[str]) -> StatesRead:
        check_batch("states", ids)
        return read_states(await self._run("states", queue, (self._now(), *map(pack_id, ids))))

    async def list(
        self, queue: str, state: State, *, limit: int, after: str | None = None
    ) -> tuple[str, ...]:
        named = state.value if state in (State.PENDING, State.GROUPED) else ""
        args = (limit, b"" if after is None else pack_id(after), named)
        try:
            ids = await self._run("list", queue, args, index=INDEX_OF[state])
        except StoreError as error:
            if "NOTLISTED" in error.reply:
                raise TaskNotFound(f"{queue}/{after}") from error
            raise
        return tuple(map(unpack_id, ids))

    async def scan(
        self,
        queue: str,
        state: State,
        *,
        limit: int,
        after: Place | None = None,
        newest: bool = False,
        where: Where = ALL,
    ) -> Scanned:
        args = scan_args(self._now(), state, min(limit, SCAN_STEP), after, newest, where)
        scanned = read_scanned(await self._run("scan", queue, args))
        if not where.kind:
            return scanned
        # The script looks at the last bytes of the attempts, which may be a text by chance.
        records = tuple(one for one in scanned.records if kind_of(one) == where.kind)
        return attrs.evolve(scanned, records=records)

    async def stats(self, queue: str) -> Stats:
        reply = await self._run("stats", queue, (self._now(),))
        sizes, age, found = read_stats(reply)
        return Stats(found, sizes, age)

    async def series(
        self, queue: str, *, level: int, since_ms: int, until_ms: int = 0
    ) -> SeriesRead:
        reply = await self._run("series", queue, (self._now(), level, since_ms, until_ms))
        return series_codec.read_series(level, reply)

    async def types(self, queue: str, *, since_ms: int) -> TypesRead:
        return series_codec.read_types(await self._run("types", queue, (self._now(), since_ms)))

    async def series_bytes(self, queue: str) -> int:
        return sum(await self._run("statistics", queue, ()))

    async def failure_kinds(self, queue: str) -> Mapping[str, StoredKind]:
        return read_kinds(await self._run("failure_kinds", queue, (KINDS_KEPT,)))

    async def overview(self, queues: Sequence[str]) -> tuple[int, tuple[Counts, ...]]:
        check_batch("overview", queues)
        now_ms, counts = await read_overview(self._gateway, self._keys, queues)
        return self._clock() if self._clock else now_ms, counts

    async def server_memory(self) -> tuple[ServerMemory, ...]:
        replies = await self._gateway.call_each(b"INFO", b"memory")
        return tuple(read_memory(str(node), reply) for node, reply in replies.items())

    async def with_schedules(self, queues: Sequence[str], name: str = "") -> tuple[str, ...]:
        check_batch("with_schedules", queues)
        return await find_schedules(self._gateway, self._keys, queues, name)

    async def totals(self, queue: str) -> QueueTotals:
        reply = await self._run("stats", queue, (self._now(),))
        sizes, _, found = read_stats(reply)
        return QueueTotals(reply[0], sizes, reply[1 + len(State)], found.seq, found.counters)

    async def key_report(self, queue: str) -> KeyReport:
        return await self._check.key_report(queue)

    async def targets(self, queue: str, cursor: int) -> tuple[int, tuple[Target, ...]]:
        return await self._check.targets(queue, cursor)

    async def views(self, queue: str, targets: Sequence[Target]) -> tuple[View, ...]:
        check_batch("views", targets)
        return await self._check.views(queue, targets)

    async def active_leases(
        self, queue: str, cursor: int
    ) -> tuple[int, tuple[tuple[Fence, str], ...]]:
        return await self._check.active_leases(queue, cursor)

    async def repair(self, queue: str, repair: Repair) -> bool:
        if repair.what is Action.PARTITIONS:
            return await self._names.repair_partitions(queue)
        return await self._check.repair(queue, repair)

    async def dump(self, queue: str) -> QueueState:
        return await dump_queue(self, self._gateway, self._keys, queue)

    async def register(self, worker: WorkerRecord) -> tuple[WorkerOrder, ...]:
        args = (self._now(), worker.id, worker.ttl_ms, worker.data, *worker.received)
        orders = await self._run_workers("register", args)
        return tuple(WorkerOrder(name.decode(), data) for name, data in orders)

    async def unregister(self, worker_id: str) -> None:
        await self._run_workers("unregister", (worker_id,))

    async def workers(self, only: str = "") -> tuple[bytes, ...]:
        return tuple(await self._run_workers("workers", (self._now(), only)))

    async def order(self, worker_id: str, order: WorkerOrder, *, queue: str) -> OrderAnswer:
        args = (self._now(), worker_id, order.id, order.data, self._keys.channel(queue))
        return OrderAnswer(await self._run_workers("order", args))

    async def _run_workers(self, name: str, args: Sequence[Any]) -> Any:
        script = self._scripts[name]
        keys = [self._keys.workers[key] for key in script.keys]
        return await self._send(script, keys, args)

    async def queues(self) -> tuple[str, ...]:
        return await self._names.read()

    async def partitions(self) -> dict[str, PartitionCount]:
        return await self._names.partitions()

    async def set_partitions(self, queue: str, count: int) -> None:
        await self._names.set_partitions(queue, count)

    async def log(self, logbook: Logbook, *, nonce: bytes, data: bytes) -> LinePlace:
        args = (self._now(), LOGBOOK_SIZES[logbook], NONCES_COMPARED, nonce, data)
        script, keys = self._scripts["log"], [self._keys.logbooks[logbook]]
        return read_place(await self._gateway.run(script, keys, args, confirm_of("log")))

    async def logged(
        self, logbook: Logbook, *, limit: int, after: LinePlace | None = None, newest: bool = False
    ) -> tuple[LogLine, ...]:
        key = self._keys.logbooks[logbook]
        command = lines_command(key, limit=limit, after=after, newest=newest)
        return tuple(map(read_line, await self._gateway.read(*command)))

    async def note_size(
        self, queue: str, size: int, *, last: bool, most: int = 0
    ) -> tuple[Excess, ...]:
        script = self._scripts["note_size"]
        keys = [self._keys.statistics[key] for key in script.keys]
        answers = await self._send(script, keys, (self._now(), queue, size, int(last), most))
        return tuple(Excess(name.decode(), shed) for name, shed in answers)

    async def keep_workflow(self, workflow_id: str, data: bytes) -> int:
        args = (self._now(), workflow_id, data)
        return int(await self._run_workflows("keep_workflow", args))

    async def forget_workflow(self, workflow_id: str) -> None:
        await self._run_workflows("forget_workflow", (workflow_id,))

    async def workflow(self, workflow_id: str) -> WorkflowRecord | None:
        found = await self._run_workflows("list_workflows", (0, "", 1, workflow_id))
        return read_workflow(found[0]) if found else None

    async def workflows(
        self, *, limit: int, after: int | None = None, newest: bool = False
    ) -> tuple[WorkflowRecord, ...]:
        args = (int(newest), "" if after is None else after, limit, "")
        return tuple(map(read_workflow, await self._run_workflows("list_workflows", args)))

    async def due_workflows(self, *, limit: int) -> tuple[WorkflowRecord, ...]:
        due = await self._run_workflows("due_workflows", (self._now(), limit))
        return tuple(map(read_workflow, due))

    async def _run_workflows(self, name: str, args: Sequence[Any]) -> Any:
        script = self._scripts[name]
        keys = [self._keys.workflows[key] for key in script.keys]
        return await self._send(script, keys, args)

    def listen(
        self, topics: Iterable[Topic]
    ) -> AbstractContextManager[trio.MemoryReceiveChannel[Signal]]:
        return self._gateway.listen(topics)
