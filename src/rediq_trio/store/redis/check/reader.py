"""Read the parts of a queue from Redis for a check, and repair them.

One call of a script reads a view, and one call makes a repair. `codec` says which script, for each
type of target, and `scan` finds all targets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from rediq_trio.spec.check.findings import Action, Repair, Target
from rediq_trio.spec.check.table import View
from rediq_trio.spec.check.totals import KeyReport
from rediq_trio.spec.ids import unpack_id
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Fence
from rediq_trio.spec.operations import Confirm
from rediq_trio.store.redis.check.codec import CODECS, record_of
from rediq_trio.store.redis.check.scan import STRUCTURES, next_count
from rediq_trio.store.redis.connection.gateway import Gateway
from rediq_trio.store.redis.keys import (
    HASH_KEYS,
    KEY_TABLE,
    QUEUE_KEYS,
    STATISTICS_KEYS,
    Keys,
)
from rediq_trio.wire.packing import text_of

VIEWS_PER_CALL = 50
"""Views that one call reads at most, so that it keeps Redis busy for about a millisecond."""
LEASES_PER_SCAN = 400
"""Active tasks that one SCAN reads, about."""
CURSOR_BASE = 64
"""The base of a cursor: it must be more than there are structures."""

Run = Callable[..., Awaitable[Any]]


class CheckReader:
    """Reads and repairs a store's queues for a check. Made by `RedisStore`."""

    def __init__(
        self, gateway: Gateway, keys: Keys, run: Run, now: Callable[[], int | str]
    ) -> None:
        self._gateway = gateway
        self._keys = keys
        self._run = run
        self._now = now
        self._counts: dict[tuple[str, int], int] = {}
        """(queue, structure) -> how many items to read next. A hint that all scans share."""

    async def targets(self, queue: str, cursor: int) -> tuple[int, tuple[Target, ...]]:
        position, number = divmod(cursor, CURSOR_BASE)
        structure = STRUCTURES[number]
        scan = b"HSCAN" if structure.name in HASH_KEYS else b"ZSCAN"
        key = self._keys.of(queue, (structure.name,))[0]
        count = structure.at_once
        if position:
            count = self._counts.get((queue, number), count)
        position, items = await self._gateway.read(scan, key, position, b"COUNT", count)
        self._counts[queue, number] = next_count(items)
        following = int(position) * CURSOR_BASE + number
        if not int(position):
            following = (number + 1) % len(STRUCTURES)
        found: dict[Target, None] = {}
        for i in range(0, len(items), 2):
            found.update(dict.fromkeys(structure.read(items[i], items[i + 1])))
        if structure.orphans and found:
            raws = await self._records(queue, [target.raw[0] for target in found])
            found = {t: None for t, raw in zip(found, raws, strict=True) if raw is None}
        return following, tuple(found)

    async def _records(self, queue: str, ids: list[bytes]) -> list[bytes | None]:
        key = self._keys.of(queue, ("records",))[0]
        found: list[bytes | None] = []
        for i in range(0, len(ids), VIEWS_PER_CALL):
            found += await self._gateway.read(b"HMGET", key, *ids[i : i + VIEWS_PER_CALL])
        return found

    async def views(self, queue: str, targets: Sequence[Target]) -> tuple[View, ...]:
        found: list[View] = []
        for i in range(0, len(targets), VIEWS_PER_CALL):
            part = targets[i : i + VIEWS_PER_CALL]
            codec = CODECS[part[0].type]
            args: list[Any] = [self._now()] if codec.timed else []
            for target in part:
                args += codec.arguments(target)
            reply = await self._run(codec.script, queue, args)
            head, replies = reply[: codec.head], reply[codec.head :]
            found += (codec.view(t, head, each) for t, each in zip(part, replies, strict=True))
        return tuple(found)

    async def active_leases(
        self, queue: str, cursor: int
    ) -> tuple[int, tuple[tuple[Fence, str], ...]]:
        key = self._keys.of(queue, ("active",))[0]
        following, items = await self._gateway.read(
            b"ZSCAN", key, cursor, b"COUNT", LEASES_PER_SCAN
        )
        ids = items[::2]
        found: list[tuple[Fence, str]] = []
        for own, raw in zip(ids, await self._records(queue, ids), strict=True):
            record = record_of(unpack_id(own), raw or b"")
            if record is not None and record.state is State.ACTIVE:
                fence = Fence(record.id, record.deliveries, record.nonce)
                found.append((fence, record.limit_key))
        return int(following), tuple(found)

    async def key_report(self, queue: str) -> KeyReport:
        names = self._keys.of(queue, QUEUE_KEYS)
        with_ttl: list[str] = []
        wrong_type: list[str] = []
        reply = await self._run("inspect_keys", queue, ())
        for row, key, kind, left in zip(KEY_TABLE, names, reply[::2], reply[1::2], strict=True):
            expected = b"zset" if row.type == "sorted set" else row.type.encode()
            if kind not in (expected, b"none"):
                wrong_type.append(f"{key.decode()} ({kind.decode()}, not {expected.decode()})")
            if left >= 0:
                with_ttl.append(key.decode())
        known = (*names, *self._keys.of(queue, STATISTICS_KEYS))
        unknown = await self._unknown(queue, frozenset(known))
        return KeyReport(tuple(with_ttl), unknown, tuple(wrong_type))

    async def _unknown(self, queue: str, known: frozenset[bytes]) -> tuple[str, ...]:
        # Names of queues have none of the characters that are special in a pattern.
        pattern = self._keys.of(queue, ("*",))[0]
        unknown: set[bytes] = set()
        cursor = b"0"
        while True:
            cursor, found = await self._gateway.read(
                b"SCAN", cursor, b"MATCH", pattern, b"COUNT", 1000, key=pattern
            )
            unknown |= set(found) - known
            if int(cursor) == 0:
                return tuple(sorted(text_of(key) for key in unknown))

    async def repair(self, queue: str, repair: Repair) -> bool:
        what, target = repair.what, repair.target
        if what is Action.PERSIST:
            return bool(
                await self._gateway.write(b"PERSIST", target.name.encode(), confirm=Confirm.RAISE)
            )
        if what is Action.ENQUEUED:
            return bool(await self._run("repair_totals", queue, (what, b"")))
        script, args = CODECS[target.type].repair(what, target, self._now())
        return bool(await self._run(script, queue, args))
