"""RedisStore: one Lua script per transition, behind the port.

It packs arguments, names keys and unpacks answers; what happens is in `lua/`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import attrs
import trio

from rediq_trio._errors import TaskNotFound
from rediq_trio.spec.carried import Kept
from rediq_trio.spec.check.findings import Action, Repair, Target
from rediq_trio.spec.check.table import View
from rediq_trio.spec.check.totals import KeyReport, QueueTotals
from rediq_trio.spec.groups import Group
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.ids import pack_id, unpack_id, unpack_ref
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Agenda,
    Claimed,
    Due,
    Enqueued,
    Fence,
    Lease,
    Mail,
    NewTask,
    Outcome,
    Report,
    Schedule,
    Settled,
    Tick,
    Verdict,
    WorkerRecord,
)
from rediq_trio.spec.partitioning import PartitionCount
from rediq_trio.spec.records import Counters, GroupRule, Limit, Lock, QueueState, Record
from rediq_trio.store.broadcast import Signal, Topic
from rediq_trio.store.port import BATCH, Stats, check_batch
from rediq_trio.store.redis.check.reader import CheckReader
from rediq_trio.store.redis.codec import (
    answer_of,
    known_states,
    outcome_args,
    pack_mail,
    pack_options,
    pack_rate,
    pack_rule,
    read_ending,
    read_limit,
    read_mail,
    read_rule,
    read_schedule,
    read_task_whole,
    state_of,
)
from rediq_trio.store.redis.connection.gateway import Gateway, ReplyError
from rediq_trio.store.redis.durability import confirm_of
from rediq_trio.store.redis.history_codec import read_entry
from rediq_trio.store.redis.keys import INDEX_OF, Keys
from rediq_trio.store.redis.queue_names import QueueNames
from rediq_trio.store.redis.record_format import newer_format, refuse_newer
from rediq_trio.store.redis.scripts import Script
from rediq_trio.wire.batch_envelope import read_envelope
from rediq_trio.wire.packed_values import pack_pair

Clock = Callable[[], int]


def _fence(fence: Fence) -> tuple[bytes, int, bytes]:
    return pack_id(fence.id), fence.deliveries, fence.nonce


def _due(reply: list[int]) -> Due:
    return Due(reply[0], None if reply[1] < 0 else reply[1])


def _names(reply: list[bytes]) -> tuple[str, ...]:
    return tuple(sorted(name.decode("utf-8", "replace") for name in reply))


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

    async def enqueue(
        self, queue: str, tasks: Sequence[NewTask], *, atomic: bool = False
    ) -> Enqueued:
        check_batch("enqueue", tasks)
        args: list[Any] = [self._now(), int(atomic)]
        for task in tasks:
            args += (pack_id(task.id), task.envelope, pack_options(task))
        # Producers that wait at the same time share a call, except for an atomic one.
        items = 0 if atomic else len(tasks)
        reply = await self._run_named("enqueue", queue, args, head=2, items=items)
        return tuple(map(answer_of, reply))

    async def _run_named(
        self, name: str, queue: str, args: Sequence[Any], *, head: int = 0, items: int = 0
    ) -> Any:
        """Run a script that may be the first to write to its queue."""
        # The name first: a crash in between leaves a name, never a lost task.
        short = await self._names.add(queue)
        reply = await self._run(name, queue, args, head=head, items=items)
        if short is not None:
            short.answer = reply
            raise short
        return reply

    async def outbox(self, queue: str, *, limit: int) -> tuple[Mail, ...]:
        key = self._keys.of(queue, ("outbox",))[0]
        members = await self._gateway.read(b"ZRANGE", key, 0, limit - 1)
        return tuple(map(read_mail, members))

    async def receive(self, queue: str, sender: str, mail: Sequence[Mail]) -> int:
        check_batch("receive", mail)
        args = [self._now(), sender, *map(pack_mail, mail)]
        last: int = await self._run_named("receive", queue, args)
        return last

    async def acknowledge(self, queue: str, seq: int) -> int:
        left: int = await self._run("acknowledge", queue, (seq,))
        return left

    async def unblock(self, queue: str, *, limit: int) -> Due:
        return _due(await self._run("unblock", queue, (self._now(), limit)))

    async def limit(
        self,
        queue: str,
        *,
        key: str,
        concurrency: int | None = None,
        count: int | None = None,
        period_ms: int = 0,
        burst: int = 1,
    ) -> None:
        running = "" if concurrency is None else concurrency
        args = (self._now(), key, running, pack_rate(count, period_ms, burst))
        await self._run("limit", queue, args)

    async def limits(self, queue: str) -> dict[str, Limit]:
        limits = await self._hash(queue, "limits")
        return {key.decode(): read_limit(raw) for key, raw in limits.items()}

    async def set_group_rules(self, queue: str, *, rules: Mapping[str, GroupRule]) -> int:
        check_batch("set_group_rules", rules)
        args = [part for group, rule in rules.items() for part in (group, pack_rule(rule))]
        many: int = await self._run("set_group_rules", queue, args)
        return many

    async def batch(self, queue: str, *, ids: Sequence[str]) -> Due:
        check_batch("batch", ids)
        return _due(await self._run("batch", queue, [self._now(), *map(pack_id, ids)]))

    async def groups(self, queue: str, *, limit: int, start: int = 0) -> tuple[Group, ...]:
        reply = await self._run("groups", queue, (start, min(limit, BATCH)))
        return tuple(
            Group(name.decode(), read_rule(rule) if rule else None, size, round(float(at)))
            for name, rule, size, at in reply
        )

    async def arrange(
        self,
        queue: str,
        *,
        max_pending: int | None = None,
        fair: bool | None = None,
        history: int | None = None,
    ) -> None:
        given = (max_pending, None if fair is None else int(fair), history)
        await self._run("arrange", queue, (self._now(), *("" if n is None else n for n in given)))

    async def history(self, queue: str, *, after: int, limit: int) -> tuple[Entry, ...]:
        meta, history = self._keys.of(queue, ("meta", "history"))
        kept, last_entry = await self._gateway.read(b"HMGET", meta, b"history", b"noted")
        # Redis cuts whole blocks: before the last `kept` there may be others.
        first = max(after, int(last_entry or 0) - int(kept or 0)) + 1
        found = await self._gateway.read(b"XRANGE", history, first, b"+", b"COUNT", limit)
        return tuple(read_entry(int(at.split(b"-")[0]), fields[1]) for at, fields in found)

    async def agenda(self, queue: str, *, due: int = 0) -> Agenda:
        now, next_in, *rest = await self._run("agenda", queue, (self._now(), due))
        found: list[Schedule] = []
        unreadable: list[str] = []
        for raw_name, at, raw in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
            name = raw_name.decode("utf-8", "replace")
            schedule = read_schedule(name, raw, round(float(at or 0)))
            if schedule is None:
                unreadable.append(name)
            else:
                found.append(schedule)
        if not due:
            found.sort(key=lambda s: s.name)
        return Agenda(
            now, tuple(found), None if next_in < 0 else next_in, tuple(sorted(unreadable))
        )

    async def declare(self, queue: str, *, schedule: Schedule) -> bool:
        s, template = schedule, schedule.template
        args = (
            s.name, s.when, template.envelope, pack_options(template), s.owner, int(s.keep),
            int(s.overlap_skip), s.next_ms,
        )  # fmt: skip
        return bool(await self._run_named("declare", queue, args))

    async def retract(self, queue: str, *, names: Collection[str]) -> tuple[str, ...]:
        return _names(await self._run("retract", queue, [*names]))

    async def retract_others(
        self, queue: str, *, owner: str, names: Collection[str]
    ) -> tuple[str, ...]:
        return _names(await self._run("retract_others", queue, [owner, *names]))

    async def suspend(self, queue: str, *, name: str) -> bool:
        return bool(await self._run("suspend", queue, (name, 1, 0)))

    async def reinstate(self, queue: str, *, name: str, next_ms: int) -> bool:
        return bool(await self._run("suspend", queue, (name, 0, next_ms)))

    async def tick(
        self,
        queue: str,
        *,
        name: str,
        expected_ms: int,
        revision: int,
        ticks: Sequence[Tick],
        next_ms: int,
    ) -> int | None:
        check_batch("tick", ticks)
        args: list[Any] = [self._now(), name, expected_ms, revision, next_ms]
        for tick in ticks:
            args += (tick.at_ms, pack_id(tick.task.id), tick.task.envelope, pack_options(tick.task))
        made: int = await self._run("tick", queue, args)
        return None if made < 0 else made

    async def trigger(self, queue: str, *, name: str, task: NewTask) -> Enqueued:
        args = (self._now(), name, pack_id(task.id), task.envelope, pack_options(task))
        return tuple(map(answer_of, await self._run("trigger", queue, args)))

    async def remember(self, queue: str, fence: Fence, step: Kept) -> bool:
        return bool(await self._run("remember", queue, (*_fence(fence), pack_pair(*step))))

    async def claim(
        self, queue: str, *, limit: int, lease_ms: int, worker: str, nonce: bytes
    ) -> Claimed:
        args = (self._now(), min(limit, BATCH), lease_ms, worker, nonce)
        reply = await self._run("claim", queue, args)
        remaining, till = reply[0], reply[1]
        newer = newer_format(-remaining)
        leases = [
            Lease(
                Fence(unpack_id(reply[i]), reply[i + 1], nonce),
                reply[i + 2],
                reply[i + 3],
                read_envelope(reply[i + 4]),
                till,
            )
            for i in range(2, len(reply), 5)
        ]
        return Claimed(tuple(leases), max(0, remaining), newer)

    async def renew(
        self, queue: str, fences: Sequence[Fence], *, lease_ms: int
    ) -> tuple[Verdict, ...]:
        check_batch("renew", fences)
        args: list[Any] = [self._now(), lease_ms]
        for fence in fences:
            args += _fence(fence)
        return tuple(map(Verdict, await self._run("renew", queue, args)))

    async def settle(self, queue: str, outcomes: Sequence[Outcome]) -> Settled:
        check_batch("settle", outcomes)
        args: list[Any] = [self._now()]
        for outcome in outcomes:
            args += (*_fence(outcome.fence), *outcome_args(outcome))
        return tuple(map(state_of, await self._run("settle", queue, args)))

    async def report(self, queue: str, items: Sequence[Report]) -> tuple[bool, ...]:
        check_batch("report", items)
        args: list[Any] = []
        for item in items:
            args += (*_fence(item.fence), item.progress)
        return tuple(map(bool, await self._run("report", queue, args)))

    async def promote(self, queue: str, *, limit: int) -> Due:
        return _due(await self._run("promote", queue, (self._now(), limit)))

    async def reclaim(self, queue: str, *, limit: int) -> Due:
        return _due(await self._run("reclaim", queue, (self._now(), limit)))

    async def expire(self, queue: str, *, limit: int) -> Due:
        return _due(await self._run("expire", queue, (self._now(), limit)))

    async def purge(self, queue: str, *, limit: int, dead_retention_ms: int, max_dead: int) -> Due:
        args = (self._now(), limit, dead_retention_ms, max_dead)
        return _due(await self._run("purge", queue, args))

    async def cancel(self, queue: str, task_id: str) -> State | None:
        code = await self._run("cancel", queue, (self._now(), pack_id(task_id)))
        return known_states(queue, (task_id,), (code,))[0]

    async def revive(self, queue: str, ids: Sequence[str]) -> Settled:
        return await self._operate("revive", queue, ids)

    async def delete(self, queue: str, ids: Sequence[str]) -> Settled:
        return await self._operate("delete", queue, ids)

    async def _operate(self, name: str, queue: str, ids: Sequence[str]) -> Settled:
        check_batch(name, ids)
        codes = await self._run(name, queue, [self._now(), *map(pack_id, ids)])
        return known_states(queue, ids, codes)

    async def watch(self, queue: str, task_id: str) -> State | None:
        code = await self._run("watch", queue, (pack_id(task_id),))
        return known_states(queue, (task_id,), (code,))[0]

    async def pause(self, queue: str) -> None:
        await self._run("pause", queue, (self._now(), "1"))

    async def resume(self, queue: str) -> None:
        await self._run("pause", queue, (self._now(), "0"))

    async def flush(self, queue: str) -> int:
        gone: int = await self._run("flush", queue, (self._now(),))
        return gone

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
"""The states whose sizes `stats.lua` gives, in order, behind the number of records."""


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
