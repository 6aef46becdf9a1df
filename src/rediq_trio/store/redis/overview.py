"""Reads of many queues at once: plain commands in one pipeline for each server, and no script.

A script that reads eleven keys of a queue takes Redis 25 us; the commands take 6. Most of many queues
have no task, or tasks in a few states, so what can be known to be 0 is not asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import attrs

from rediq_trio._errors import ConnectionLost
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import Counters
from rediq_trio.store.port import Counts, ServerMemory
from rediq_trio.store.redis.connection.gateway import Gateway
from rediq_trio.store.redis.keys import INDEX_OF, Keys

_COUNTERS = tuple(field.name for field in attrs.fields(Counters))
_TARGETS = ("target_latency_ms", "target_failures_ppm")
_META = tuple(name.encode() for name in ("paused", *_TARGETS, *_COUNTERS))
_SIZED = (
    *((state, INDEX_OF[state]) for state in State),
    (State.PENDING, "keyed"),
)
_USUAL = frozenset({State.PENDING, State.ACTIVE, State.SCHEDULED, State.COMPLETED, State.DEAD})
_STEPS = (
    tuple(each for each in _SIZED if each[0] in _USUAL and each[1] != "keyed"),
    tuple(each for each in _SIZED if each[0] not in _USUAL or each[1] == "keyed"),
)
"""The indexes with the tasks of each state: those that are read first, and those that are read of
queues with more tasks."""
_MEMORY = re.compile(rb"^(used_memory|maxmemory):(\d+)", re.MULTILINE)


async def read_overview(
    gateway: Gateway, keys: Keys, queues: Sequence[str]
) -> tuple[int, tuple[Counts, ...]]:
    """Return the server's time in ms, and the counts of each queue."""
    commands: list[tuple[Any, ...]] = [(b"TIME",)]
    for queue in queues:
        records, meta = keys.of(queue, ("records", "meta"))
        commands += ((b"HLEN", records), (b"HMGET", meta, *_META))
    (seconds, microseconds), *replies = await _read_each(gateway, commands, ["", *_twice(queues)])
    left = dict(zip(queues, replies[::2], strict=True))
    sizes: dict[str, dict[State, int]] = {queue: {} for queue in queues}
    for indexes in _STEPS:
        await _read_sizes(gateway, keys, indexes, left, sizes)
    counts = [
        _counts(sizes[queue], *fields) for queue, fields in zip(queues, replies[1::2], strict=True)
    ]
    return int(seconds) * 1000 + int(microseconds) // 1000, tuple(counts)


def _counts(sizes: dict[State, int], paused: bytes | None, *numbers: bytes | None) -> Counts:
    latency_ms, failures_ppm, *counters = (int(number or 0) for number in numbers)
    return Counts(sizes, paused == b"1", Counters(*counters), latency_ms, failures_ppm)


async def _read_sizes(
    gateway: Gateway,
    keys: Keys,
    indexes: Sequence[tuple[State, str]],
    left: dict[str, int],
    sizes: dict[str, dict[State, int]],
) -> None:
    """Read the sizes of these indexes, of the queues with tasks left that were not found yet."""
    names = tuple(name for _, name in indexes)
    some = [queue for queue in left if left[queue] > 0]
    commands: list[tuple[Any, ...]] = []
    for queue in some:
        commands += ((b"ZCARD", key) for key in keys.of(queue, names))
        # Counted again, and last: tasks that have come since must not hide those that stand still.
        commands.append((b"HLEN", *keys.of(queue, ("records",))))
    named = [queue for queue in some for _ in (*names, "records")]
    replies = iter(await _read_each(gateway, commands, named))
    for queue in some:
        for state, _ in indexes:
            if size := next(replies):
                sizes[queue][state] = sizes[queue].get(state, 0) + size
        left[queue] = next(replies) - sum(sizes[queue].values())


async def find_schedules(
    gateway: Gateway, keys: Keys, queues: Sequence[str], name: str
) -> tuple[str, ...]:
    """Return the queues that have schedules, or one of this name, and those that do not answer."""
    hashes = [keys.of(queue, ("schedules",))[0] for queue in queues]
    commands = [(b"HEXISTS", key, name) if name else (b"HLEN", key) for key in hashes]
    replies = await gateway.read_each(commands)
    return tuple(queue for queue, reply in zip(queues, replies, strict=True) if reply)


def read_memory(server: str, info: bytes) -> ServerMemory:
    """Return the memory of a server, from what it says of itself."""
    found = dict(_MEMORY.findall(info))
    return ServerMemory(server, int(found.get(b"used_memory", 0)), int(found.get(b"maxmemory", 0)))


async def _read_each(
    gateway: Gateway, commands: Sequence[tuple[Any, ...]], queues: Sequence[str]
) -> list[Any]:
    replies = await gateway.read_each(commands)
    for queue, reply in zip(queues, replies, strict=True):
        if isinstance(reply, Exception):
            if queue and isinstance(reply, ConnectionLost):
                reply.args = (f"queue {queue}: {reply}", *reply.args[1:])
            raise reply
    return replies


def _twice(queues: Sequence[str]) -> list[str]:
    return [queue for queue in queues for _ in range(2)]
