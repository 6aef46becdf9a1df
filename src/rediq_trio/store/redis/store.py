"""RedisStore: the operations of a queue as Lua scripts, and what is read beside them.

The operations are made from `spec.operations` and `operation_codec`; what happens is in `lua/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from types import CoroutineType
from typing import Any, Concatenate, ParamSpec, TypeVar

import attrs
import trio

from rediq_trio._errors import TaskNotFound
from rediq_trio.spec.check.findings import Action, Repair, Target
from rediq_trio.spec.check.partitions import PartitionCount
from rediq_trio.spec.check.table import View
from rediq_trio.spec.check.totals import KeyReport, QueueTotals
from rediq_trio.spec.groups import Group
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.ids import pack_id, unpack_id, unpack_ref
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Fence,
    Mail,
    WorkerRecord,
)
from rediq_trio.spec.operations import OP, Operation
from rediq_trio.spec.records import Counters, Limit, Lock, QueueState, Record
from rediq_trio.store.broadcast import Signal, Topic
from rediq_trio.store.port import BATCH, Stats, check_batch, check_batched, implements_store
from rediq_trio.store.redis import operation_codec
from rediq_trio.store.redis.check.reader import CheckReader
from rediq_trio.store.redis.codec import (
    read_ending,
    read_limit,
    read_mail,
    read_rule,
    read_task_whole,
)
from rediq_trio.store.redis.connection.gateway import Gateway, ReplyError
from rediq_trio.store.redis.durability import OTHER_SCRIPT, confirm_of
from rediq_trio.store.redis.history_codec import read_entry
from rediq_trio.store.redis.keys import INDEX_OF, Keys
from rediq_trio.store.redis.operation_codec import Now, ScriptCall
from rediq_trio.store.redis.queue_names import QueueNames
from rediq_trio.store.redis.record_format import refuse_newer
from rediq_trio.store.redis.scripts import Script

P = ParamSpec("P")
A = TypeVar("A")
Clock = Callable[[], int]


def sends(
    operation: Operation[P, A], call: Callable[Concatenate[str, Now, P], ScriptCall[A]]
) -> Callable[Concatenate[RedisStore, str, P], CoroutineType[Any, Any, A]]:
    """Return the method that sends an operation to its script and reads the reply."""
    script = OTHER_SCRIPT.get(operation.name, operation.name)

    async def method(self: RedisStore, queue: str, /, *args: P.args, **kwargs: P.kwargs) -> A:
        check_batched(operation, args, kwargs)
        sent = call(queue, self._now(), *args, **kwargs)
        # The name first: a crash in between leaves a name, never a lost task.
        short = await self._names.add(queue) if operation.names_queue else None
        answer = sent.read(
            await self._run(script, queue, sent.args, head=sent.head, items=sent.items)
        )
        if short is not None:
            short.answer = answer
            raise short
        return answer

    method.__name__ = method.__qualname__ = operation.name
    method.__doc__ = operation.rule.__doc__
    return method  # type: ignore[return-value]  # mypy has no CoroutineType for an async def


@implements_store
class RedisStore:
    """Tasks in a Redis, reached through one gateway.

    `clock` gives the time in whole milliseconds to every script, for tests; by
    default scripts read the server's own.
    """

    def __init__(
        self, gateway: Gateway, scripts: dict[str, Script], keys: Keys, clock: Clock | None = None
    ) -> None:
        self._gateway = gateway
        self._scripts = scripts
        self._keys = keys
        self._clock = clock
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
        keys, confirm = self._keys.of(queue, names), confirm_of(name)
        return await self._gateway.run(script, keys, args, confirm, head=head, items=items)

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
    set_group_rules = sends(OP.set_group_rules, operation_codec.set_group_rules)
    batch = sends(OP.batch, operation_codec.batch)
    tick = sends(OP.tick, operation_codec.tick)

    cancel = sends(OP.cancel, operation_codec.cancel)
    revive = sends(OP.revive, operation_codec.of_ids)
    delete = sends(OP.delete, operation_codec.of_ids)
    watch = sends(OP.watch, operation_codec.watch)
    pause = sends(OP.pause, operation_codec.pause)
    resume = sends(OP.resume, operation_codec.resume)
    flush = sends(OP.flush, operation_codec.flush)
    limit = sends(OP.limit, operation_codec.limit)
    arrange = sends(OP.arrange, operation_codec.arrange)

    agenda = sends(OP.agenda, operation_codec.agenda)
    declare = sends(OP.declare, operation_codec.declare)
    retract = sends(OP.retract, operation_codec.retract)
    retract_others = sends(OP.retract_others, operation_codec.retract_others)
    suspend = sends(OP.suspend, operation_codec.suspend)
    reinstate = sends(OP.reinstate, operation_codec.reinstate)
    trigger = sends(OP.trigger, operation_codec.trigger)

    async def outbox(self, queue: str, *, limit: int) -> tuple[Mail, ...]:
        key = self._keys.of(queue, ("outbox",))[0]
        members = await self._gateway.read(b"ZRANGE", key, 0, limit - 1)
        return tuple(map(read_mail, members))

    async def limits(self, queue: str) -> dict[str, Limit]:
        limits = await self._hash(queue, "limits")
        return {key.decode(): read_limit(raw) for key, raw in limits.items()}

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

    async def list(
        self, queue: str, state: State, *, limit: int, after: str | None = None
    ) -> tuple[str, ...]:
        named = state.value if state in (State.PENDING, State.GROUPED) else ""
        args = (limit, b"" if after is None else pack_id(after), named)
        try:
            ids = await self._run("list", queue, args, index=INDEX_OF[state])
        except ReplyError as error:
            if "NOTLISTED" in str(error):
                raise TaskNotFound(f"{queue}/{after}") from error
            raise
        return tuple(map(unpack_id, ids))

    async def stats(self, queue: str) -> Stats:
        reply = await self._run("stats", queue, (self._now(),))
        sizes, age, found = _read_stats(reply)
        return Stats(found, sizes, age)

    async def totals(self, queue: str) -> QueueTotals:
        reply = await self._run("stats", queue, (self._now(),))
        sizes, _, found = _read_stats(reply)
        return QueueTotals(reply[0], sizes, reply[1 + len(_SIZED)], found.seq, found.counters)

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
        found = (await self.stats(queue)).queue
        ids = await self._gateway.read(b"HKEYS", self._keys.of(queue, ("records",))[0])
        records = await self.get(queue, [unpack_id(i) for i in ids])
        mail = await self.outbox(queue, limit=0)
        return attrs.evolve(
            found,
            records={record.id: record for record in records if record is not None},
            locks=await self._locks(queue),
            edges=await self._relations(queue, "edges"),
            needs=await self._relations(queue, "needs"),
            endings=tuple(read_ending(raw) for raw, _ in await self._zset(queue, "endings")),
            outbox=mail,
            received={k.decode(): int(n) for k, n in (await self._hash(queue, "received")).items()},
            limits=await self.limits(queue),
            rates={k.decode(): at for k, at in await self._zset(queue, "rates")},
            turns={k.decode(): int(n) for k, n in (await self._hash(queue, "turns")).items()},
            schedules={s.name: s for s in (await self.agenda(queue)).schedules},
            revision=await self._revision(queue),
            entries=await self.history(queue, after=0, limit=1_000_000),
            rules={k.decode(): read_rule(r) for k, r in (await self._hash(queue, "rules")).items()},
        )

    async def _revision(self, queue: str) -> int:
        found = await self._gateway.read(b"HGET", self._keys.of(queue, ("meta",))[0], b"revision")
        return int(found or 0)

    async def _hash(self, queue: str, name: str) -> dict[bytes, bytes]:
        flat = await self._gateway.read(b"HGETALL", self._keys.of(queue, (name,))[0])
        return dict(zip(flat[::2], flat[1::2], strict=True))

    async def _zset(self, queue: str, name: str) -> Sequence[tuple[bytes, int]]:
        key = self._keys.of(queue, (name,))[0]
        flat = await self._gateway.read(b"ZRANGE", key, 0, -1, b"WITHSCORES")
        return [(flat[i], round(float(flat[i + 1]))) for i in range(0, len(flat), 2)]

    async def _locks(self, queue: str) -> dict[str, Lock]:
        till: dict[bytes, int] = dict(await self._zset(queue, "locks"))
        holders = await self._hash(queue, "unique")
        return {k.decode(): Lock(unpack_id(h), till.get(k, 0)) for k, h in holders.items()}

    async def _relations(self, queue: str, name: str) -> dict[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}
        for raw, _ in await self._zset(queue, name):
            own, ref = unpack_id(raw[1 : raw[0] + 1]), unpack_ref(raw[raw[0] + 1 :])
            found[own] = found.get(own, frozenset()) | {ref}
        return found

    async def register(self, worker: WorkerRecord) -> None:
        args = (self._now(), worker.id, worker.ttl_ms, worker.data)
        await self._run_workers("register", args)

    async def unregister(self, worker_id: str) -> None:
        await self._run_workers("unregister", (worker_id,))

    async def workers(self) -> tuple[bytes, ...]:
        return tuple(await self._run_workers("workers", (self._now(),)))

    async def _run_workers(self, name: str, args: Sequence[Any]) -> Any:
        script, keys = self._scripts[name], self._keys.workers
        return await self._gateway.run(script, keys, args, confirm_of(name))

    async def queues(self) -> tuple[str, ...]:
        return await self._names.read()

    async def partitions(self) -> dict[str, PartitionCount]:
        return await self._names.partitions()

    async def set_partitions(self, queue: str, count: int) -> None:
        await self._names.set_partitions(queue, count)

    def listen(
        self, topics: Iterable[Topic]
    ) -> AbstractContextManager[trio.MemoryReceiveChannel[Signal]]:
        return self._gateway.listen(topics)


_SIZED = (
    State.SCHEDULED, State.BLOCKED, State.GROUPED, State.PENDING, State.ACTIVE,
    State.RETRY, State.COMPLETED, State.DEAD, State.CANCELLED,
)  # fmt: skip
"""The states whose sizes `stats.lua` gives, in order, after the number of records."""


def _read_stats(reply: list[int]) -> tuple[dict[State, int], int, QueueState]:
    sizes = {state: size for state, size in zip(_SIZED, reply[1:], strict=False) if size}
    age, paused, seq, sent, turn, max_pending, fair, history, last_entry, *totals = reply[
        2 + len(_SIZED) :
    ]
    found = QueueState(
        seq=seq,
        paused=bool(paused),
        counters=Counters(*totals),
        sent=sent,
        turn=turn,
        max_pending=max_pending,
        fair=bool(fair),
        history=history,
        last_entry=last_entry,
    )
    return sizes, age, found
