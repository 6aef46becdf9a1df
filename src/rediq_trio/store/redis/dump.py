"""The dump: a whole queue of Redis as the specification's value, for tests; and parts that others read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import attrs

from rediq_trio.spec.ids import unpack_id, unpack_ref
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import Counters, Lock, QueueState
from rediq_trio.store.port import Store
from rediq_trio.store.redis.codec import read_ending, read_rule
from rediq_trio.store.redis.connection.gateway import Gateway
from rediq_trio.store.redis.keys import Keys
from rediq_trio.store.redis.series_codec import read_all, read_all_types
from rediq_trio.wire.packing import fields_of

V = TypeVar("V")


async def dump_queue(store: Store, gateway: Gateway, keys: Keys, queue: str) -> QueueState:
    """Read it with as many commands as it takes: not bounded, and not one atomic step."""
    return await _Dump(store, gateway, keys).read(queue)


async def read_hash(
    gateway: Gateway, keys: Keys, queue: str, name: str, read: Callable[[bytes], V]
) -> dict[str, V]:
    """Read a whole hash of a queue, its fields as text."""
    flat = await gateway.read(b"HGETALL", keys.of(queue, (name,))[0])
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return {field.decode(): read(value) for field, value in pairs}


@attrs.frozen
class _Dump:
    _store: Store
    _gateway: Gateway
    _keys: Keys

    async def read(self, queue: str) -> QueueState:
        found = (await self._store.stats(queue)).queue
        ids = await self._gateway.read(b"HKEYS", self._keys.of(queue, ("records",))[0])
        records = await self._store.get(queue, [unpack_id(i) for i in ids])
        meta = self._keys.of(queue, ("meta",))[0]
        numbers = (b"revision", b"ask_at", b"asked", b"asked_needs")
        revision, ask_at, asked, needs = await self._gateway.read(b"HMGET", meta, *numbers)
        return attrs.evolve(
            found,
            records={record.id: record for record in records if record is not None},
            locks=await self._locks(queue),
            edges=await self._relations(queue, "edges"),
            needs=await self._relations(queue, "needs"),
            endings=tuple(read_ending(raw) for raw, _ in await self._zset(queue, "endings")),
            outbox=await self._store.outbox(queue, limit=0),
            received=await read_hash(self._gateway, self._keys, queue, "received", int),
            limits=await self._store.limits(queue),
            rates={k.decode(): at for k, at in await self._zset(queue, "rates")},
            turns=await read_hash(self._gateway, self._keys, queue, "turns", int),
            schedules={s.name: s for s in (await self._store.agenda(queue)).schedules},
            revision=int(revision or 0),
            ask_at_ms=int(ask_at or 0),
            asked=int(asked or 0),
            asked_needs=int(needs or 0),
            entries=await self._store.history(queue, after=0, limit=1_000_000),
            rules=await read_hash(self._gateway, self._keys, queue, "rules", read_rule),
            kinds=await self._store.failure_kinds(queue),
            series=read_all(await read_hash(self._gateway, self._keys, queue, "series", bytes)),
            types=read_all_types(await self._raw_hash(queue, "types")),
        )

    async def _raw_hash(self, queue: str, name: str) -> dict[bytes, bytes]:
        flat = await self._gateway.read(b"HGETALL", self._keys.of(queue, (name,))[0])
        return dict(zip(flat[::2], flat[1::2], strict=True))

    async def _zset(self, queue: str, name: str) -> Sequence[tuple[bytes, int]]:
        key = self._keys.of(queue, (name,))[0]
        flat = await self._gateway.read(b"ZRANGE", key, 0, -1, b"WITHSCORES")
        return [(flat[i], round(float(flat[i + 1]))) for i in range(0, len(flat), 2)]

    async def _locks(self, queue: str) -> dict[str, Lock]:
        till = {key.decode(): at for key, at in await self._zset(queue, "locks")}
        holders = await read_hash(self._gateway, self._keys, queue, "unique", unpack_id)
        return {key: Lock(holder, till.get(key, 0)) for key, holder in holders.items()}

    async def _relations(self, queue: str, name: str) -> dict[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}
        for raw, _ in await self._zset(queue, name):
            own, ref = unpack_id(raw[1 : raw[0] + 1]), unpack_ref(raw[raw[0] + 1 :])
            found[own] = found.get(own, frozenset()) | {ref}
        return found


_STATS = (
    "paused", "seq", "sent", "turn", "max_pending", "fair", "history", "last_entry",
    "target_latency_ms", "target_failures_ppm",
)  # fmt: skip
"""What `stats.lua` returns of a queue's settings and numbers, in order, before the counters."""


def read_stats(reply: list[Any]) -> tuple[dict[State, int], int, QueueState]:
    """Return the sizes of the states, the age of the oldest pending task, and the rest."""
    # Before these: the number of records, the size of each state, and how many can expire.
    sizes = {state: size for state, size in zip(State, reply[1:], strict=False) if size}
    age, *rest = reply[2 + len(State) :]
    fields = fields_of(_STATS, rest, strict=False)
    fields |= {name: bool(fields[name]) for name in ("paused", "fair")}
    if fields["paused"]:
        *rest, fields["paused_since_ms"], fields["pause_note"] = rest
    return sizes, age, QueueState(**fields, counters=Counters(*rest[len(_STATS) :]))
