"""What `rediq doctor` sees of the queues themselves: formats of records, leases and keys.

Each look is a sample with a bound, so that it may be taken at any time. `rediq check` looks at
everything.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from rediq_trio.cli.setup.diagnosis import Diagnosis, ok, unknown, wrong
from rediq_trio.observe.words import counted, shown
from rediq_trio.spec.stored_format import FORMAT
from rediq_trio.store.redis.connection.gateway import Gateway
from rediq_trio.store.redis.keys import QUEUE_KEYS, STATISTICS_KEYS, Keys
from rediq_trio.store.redis.record_format import newer_record

QUEUES_LOOKED_AT = 200
RECORDS_LOOKED_AT = 100
"""Records of each queue."""
KEYS_LOOKED_AT = 100_000
KEYS_PER_SCAN = 1_000
LAPSED_SECONDS = 60.0
"""Seconds after the end of a lease in which a worker of the queue would have seen it."""
NAMED = 3
"""Queues or keys that a line names."""


async def sample_queues(gateway: Gateway, prefix: str) -> list[Diagnosis]:
    """Look at the formats of records, at leases that ran out, and at keys that belong to no queue."""
    keys = Keys(prefix)
    names = [name.decode() for name in await gateway.read(b"SMEMBERS", keys.queues)]
    some = sorted(names)[:QUEUES_LOOKED_AT]
    return [
        await _look_at_formats(gateway, keys, some),
        await _look_at_leases(gateway, keys, some),
        await _look_at_keys(gateway, prefix, names),
    ]


async def _look_at_formats(gateway: Gateway, keys: Keys, queues: Sequence[str]) -> Diagnosis:
    seen, newest, newer = 0, 0, 0
    for queue in queues:
        (records,) = keys.of(queue, ("records",))
        _, flat = await gateway.read(b"HSCAN", records, 0, b"COUNT", RECORDS_LOOKED_AT)
        formats = [newer_record(packed) for packed in flat[1::2]]
        seen += len(formats)
        newer += sum(map(bool, formats))
        newest = max([newest, *formats])
    looked = f"{counted(seen, 'record')} of {counted(len(queues), 'queue')} looked at"
    if newer:
        return wrong(
            "formats", f"format {newest} in {newer:,} of {looked}: a newer rediq-trio wrote them",
            "upgrade this one: it leaves such tasks to newer workers",
        )  # fmt: skip
    return ok("formats", f"format {FORMAT} only ({looked})" if seen else "no task is stored")


async def _look_at_leases(gateway: Gateway, keys: Keys, queues: Sequence[str]) -> Diagnosis:
    seconds, microseconds = await gateway.read(b"TIME")
    now = int(seconds) + int(microseconds) / 1e6
    until = int((now - LAPSED_SECONDS) * 1000)
    lapsed: dict[str, int] = {}
    for queue in queues:
        (active,) = keys.of(queue, ("active",))
        if found := await gateway.read(b"ZCOUNT", active, b"-inf", until):
            lapsed[queue] = found
    if not lapsed:
        return ok("leases", "none ran out unseen")
    return wrong(
        "leases", f"{counted(sum(lapsed.values()), 'task')} of {_named([*lapsed])} run by workers that "
        "are gone", "start a worker that serves the queue: it makes them pending again",
    )  # fmt: skip


async def _look_at_keys(gateway: Gateway, prefix: str, names: Sequence[str]) -> Diagnosis:
    if len(gateway.nodes) > 1:
        return unknown("keys", "not looked at in a Cluster: rediq check --all does")
    known, kinds = {*names}, {*QUEUE_KEYS, *STATISTICS_KEYS}
    of_queue = re.compile(rb"%s:\{([^}]*)\}:(.*)" % re.escape(prefix.encode()), re.DOTALL)
    lost: set[str] = set()
    strange: set[str] = set()
    cursor, looked = b"0", 0
    while True:
        cursor, found = await gateway.read(
            b"SCAN", cursor, b"MATCH", f"{prefix}:{{*".encode(), b"COUNT", KEYS_PER_SCAN
        )
        looked += KEYS_PER_SCAN
        for key in found:
            match = of_queue.fullmatch(key)
            queue = match[1].decode("utf-8", "replace") if match else ""
            if match is None or match[2].decode("utf-8", "replace") not in kinds:
                strange.add(key.decode("utf-8", "replace"))
            elif queue not in known:
                lost.add(queue)
        if cursor == b"0" or looked >= KEYS_LOOKED_AT:
            break
    some = "" if cursor == b"0" else f" among the first {KEYS_LOOKED_AT:,} keys of the server"
    if strange:
        return wrong(
            "keys", f"{counted(len(strange), 'key')} that no queue has: {_named(sorted(strange))}{some}",
            "delete them, once you know who wrote them; rediq check --all looks at the queues",
        )  # fmt: skip
    if lost:
        return wrong(
            "keys", f"the name of {counted(len(lost), 'queue')} is lost: {_named(sorted(lost))}{some}",
            "rediq check QUEUE looks at one; the next task that is enqueued writes its name again",
        )  # fmt: skip
    return ok("keys", f"none is left over{some}; rediq check --all looks at each task")


def _named(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(shown(name, 60) for name in names[:NAMED]) + (
        f" and {more:,} more" if more > 0 else ""
    )


async def clock_apart(gateway: Gateway) -> float:
    """Return how many seconds the server's clock is ahead of ours, by the middle of a round trip."""
    before = time.time()
    seconds, microseconds = await gateway.read(b"TIME")
    return int(seconds) + int(microseconds) / 1e6 - (before + time.time()) / 2
